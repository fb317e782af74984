/* tokenizer.json, or a GGUF file with a tokenizer, from a stranger: whatever the file says, opening
 * ends with a tokenizer or a message, and a tokenizer that opens keeps the promises: ids exist, and
 * plain text gives no control token (but for WordPiece's unknown word, which a file may call
 * control). */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "text/chat.h"
#include "text/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(x)                                                                                   \
    do {                                                                                           \
        if (!(x))                                                                                  \
            abort();                                                                               \
    } while (0)

static void check_encode(const struct tokenizer *t, struct span text, unsigned mode)
{
    struct token_vec ids = { 0 };
    struct kt_error err = { 0 };
    if (!tokenizer_encode(t, &ids, text, mode, &err)) {
        bool wordpiece = strcmp(tokenizer_kind(t), "wordpiece") == 0;
        for (size_t i = 0; i < ids.n; i++) {
            CHECK(ids.ids[i] >= 0 && (size_t)ids.ids[i] < tokenizer_n_vocab(t));
            CHECK(mode != TOK_PLAIN || wordpiece || !tokenizer_is_control(t, ids.ids[i]));
        }
    }
    token_vec_deinit(&ids);
}

/* Every token's own bytes, as text. */
static void check_tokens(const struct tokenizer *t)
{
    for (size_t id = 0; id < tokenizer_n_vocab(t) && id < 200; id++) {
        struct span bytes = tokenizer_bytes(t, (int32_t)id, true);
        check_encode(t, bytes, TOK_PLAIN);
        check_encode(t, bytes, TOK_SPECIAL | TOK_FRAME);
        int32_t found = tokenizer_find(t, bytes);
        CHECK(found >= -1 && found < (int32_t)tokenizer_n_vocab(t));
        tokenizer_is_samplable(t, (int32_t)id);
    }
}

static enum kt_status open_gguf(struct tokenizer **t, const uint8_t *data, size_t size,
                                struct kt_error *err)
{
    struct model_file *f;
    *t = NULL;
    enum kt_status st = model_file_open_memory(&f, MODEL_GGUF, data, size, "fuzz", err);
    if (st)
        return st;
    st = tokenizer_open(t, f, err);
    if (!st)
        chat_layout_of(f, *t);
    model_file_close(f);
    return st;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tokenizer *t;
    struct kt_error err = { 0 };
    struct span text = { (const char *)data, size };
    enum kt_status st = span_starts(text, SPAN("GGUF"))
                            ? open_gguf(&t, data, size, &err)
                            : tokenizer_open_json(&t, text, "fuzz", &err);
    CHECK(!st == !!t);
    CHECK(!st || (err.status == st && err.text[0]));
    if (st)
        return 0;
    size_t n;
    const int32_t *stops = tokenizer_stops(t, &n);
    for (size_t i = 0; i < n; i++)
        CHECK(stops[i] >= 0 && (size_t)stops[i] < tokenizer_n_vocab(t));
    check_tokens(t);
    check_encode(t, SPAN("The <|im_start|>\n12 abcab \xCC\x81\xFF"), TOK_PLAIN);
    tokenizer_close(t);
    return 0;
}
