/* Texts from a stranger, through every splitting rule. The first byte chooses the rule. The
 * promises: no control token, decoding gives the (normalised) text back, and a stream of the ids
 * shows the same as decoding them at once, whole characters at a time. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "base/utf8.h"
#include "text/tokenizer.h"
#include "text/unicode.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(x)                                                                                   \
    do {                                                                                           \
        if (!(x))                                                                                  \
            abort();                                                                               \
    } while (0)

#define SUFFIXES "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define LINES    "\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+"
#define SPELL    "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":"
#define SPLIT(regex)                                                                               \
    "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\",\"behavior\":\"Isolated\","     \
    "\"pattern\":"                                                                                 \
    "{\"Regex\":\"" regex "\"}}," SPELL "false}]}"

static const struct {
    const char *kind, *pre_tokenizer;
    bool nfc;
} RULES[] = {
    { "bpe/gpt2", SPELL "true}", false },
    { "bpe/smollm",
      "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Digits\",\"individual_digits\":true}"
      "," SPELL "true}]}",
      false },
    { "bpe/qwen2",
      SPLIT(SUFFIXES "|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|\\\\p{N}| "
                     "?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*|" LINES),
      true },
    { "bpe/qwen35",
      SPLIT(SUFFIXES "|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?[\\\\p{L}\\\\p{M}]+|\\\\p{N}"
                     "| ?[^\\\\s\\\\p{L}\\\\p{M}\\\\p{N}]+[\\\\r\\\\n]*|" LINES),
      true },
    { "bpe/llama-bpe",
      SPLIT(SUFFIXES "|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|\\\\p{N}{1,3}| "
                     "?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*|" LINES),
      false },
};

static struct tokenizer *tokenizers[ARRAY_LEN(RULES)];

/* The printable spelling of a byte, as JSON text. */
static void put_byte(struct buf *b, int byte)
{
    bool prints = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
    int low = byte < 33 ? byte : byte < 161 ? byte - 127 + 33 : 67;
    buf_printf(b, "\\u%04x", (unsigned)(prints ? byte : 0x100 + low));
}

static void put_pair(struct buf *b, int left, int right, const char *between)
{
    put_byte(b, left);
    buf_append_str(b, between);
    put_byte(b, right);
}

/* Every byte, and a merge for every pair of these: letters, space, newline, digits, parts of
 * accents. */
static const unsigned char PAIRED[] = "ean '\n1\xC3\xA9\xCC\x81";

static void put_vocab(struct buf *b)
{
    buf_append_str(b, "\"vocab\":{");
    for (int i = 0; i < 256; i++) {
        buf_append_str(b, i ? ",\"" : "\"");
        put_byte(b, i);
        buf_printf(b, "\":%d", i);
    }
    int id = 256;
    for (const unsigned char *x = PAIRED; *x; x++) {
        for (const unsigned char *y = PAIRED; *y; y++) {
            buf_append_str(b, ",\"");
            put_pair(b, *x, *y, "");
            buf_printf(b, "\":%d", id++);
        }
    }
    buf_append_str(b, "},\"merges\":[\"");
    for (const unsigned char *x = PAIRED; *x; x++) {
        for (const unsigned char *y = PAIRED; *y; y++) {
            if (x != PAIRED || y != PAIRED)
                buf_append_str(b, "\",\"");
            put_pair(b, *x, *y, " ");
        }
    }
    buf_append_str(b, "\"]");
}

static struct tokenizer *open_rule(size_t k)
{
    struct buf b = { 0 };
    struct kt_error err = { 0 };
    struct tokenizer *t;
    buf_printf(&b,
               "{\"pre_tokenizer\":%s,\"normalizer\":%s,\"added_tokens\":[{\"id\":900,\"content\":"
               "\"<e>\",\"special\":"
               "true}],\"model\":{\"type\":\"BPE\",\"ignore_merges\":%s,",
               RULES[k].pre_tokenizer, RULES[k].nfc ? "{\"type\":\"NFC\"}" : "null",
               k == 4 ? "true" : "false");
    put_vocab(&b);
    buf_append_str(&b, "}}");
    if (tokenizer_open_json(&t, buf_span(&b), "fuzz", &err)) {
        fprintf(stderr, "%s\n", err.text);
        abort();
    }
    CHECK(strcmp(tokenizer_kind(t), RULES[k].kind) == 0);
    buf_deinit(&b);
    return t;
}

static void check_back(const struct tokenizer *t, const struct token_vec *ids, struct span text)
{
    struct buf back = { 0 }, stream = { 0 }, want = { 0 };
    struct token_stream s = { 0 };
    tokenizer_decode(t, &back, ids->ids, ids->n, false);
    CHECK(span_eq(buf_span(&back), text));
    for (size_t i = 0; i < ids->n; i++) {
        CHECK(!tokenizer_is_control(t, ids->ids[i]));
        token_stream_push(&s, t, &stream, ids->ids[i]);
    }
    token_stream_finish(&s, &stream);
    utf8_repair(&want, text);
    CHECK(span_eq(buf_span(&stream), buf_span(&want)) && utf8_valid(buf_span(&stream)));
    buf_deinit(&back);
    buf_deinit(&stream);
    buf_deinit(&want);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size)
        return 0;
    size_t k = data[0] % ARRAY_LEN(RULES);
    if (!tokenizers[k])
        tokenizers[k] = open_rule(k);
    struct span text = { (const char *)data + 1, size - 1 };
    struct buf normal = { 0 };
    struct token_vec ids = { 0 };
    struct kt_error err = { 0 };
    CHECK(unicode_nfc(&normal, text));
    CHECK(!tokenizer_encode(tokenizers[k], &ids, text, TOK_PLAIN, &err));
    check_back(tokenizers[k], &ids, RULES[k].nfc ? buf_span(&normal) : text);
    token_vec_deinit(&ids);
    buf_deinit(&normal);
    return 0;
}
