/* Tokenizers (src/text): what must hold whatever the reference says.
 *
 * The published values of the Qwen3.5 vocabulary; laws on random texts (the way back gives the
 * text, plain text never makes a control token, a stream of tokens shows the same as all at once);
 * the same vocabulary through GGUF and through tokenizer.json; and files that are wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/files.h"
#include "base/rng.h"
#include "base/size.h"
#include "base/utf8.h"
#include "support/model_writer.h"
#include "text/unicode.h"
#include "tokenizer_fixture.h"

enum { N_RANDOM = 400 };

static json_t *atoms, *golden;
static struct tokenizer *qwen; /* the published one; slow to open, so opened once */

static struct tokenizer *open_kind(const char *kind)
{
    char name[32];
    snprintf(name, sizeof(name), "tiny/%s", kind);
    return open_tiny(
        json_object_get(json_object_get(json_object_get(golden, "kinds"), name), "parts"));
}

static const char *const KINDS[] = { "gpt2", "smollm", "qwen2", "qwen35", "llama-bpe" };

static void assert_ids(const char *what, const struct token_vec *ids, const int32_t *want, size_t n)
{
    if (ids->n != n || (n && memcmp(ids->ids, want, n * sizeof(*want)) != 0))
        fail_msg("%s:\n  expected %s\n  found    %s", what, shown_ids(want, n),
                 shown_ids(ids->ids, ids->n));
}

static void assert_same_ids(const char *what, const struct token_vec *a, const struct token_vec *b)
{
    assert_ids(what, a, b->ids, b->n);
}

/* ---- published values ------------------------------------------------------------------------ */

static void qwen35_gives_the_published_ids(void **state)
{
    (void)state;
    static const struct {
        const char *text, *ids;
    } CASES[] = {
        { "Hello, world!", "9419 11 1814 0" },
        { "Hello world", "9419 1814" },
        { "hello", "14556" },
        { "a", "64" },
        { " ", "220" },
        { "\n", "198" },
        { "\n\n", "271" },
        { "Hello\nWorld", "9419 198 9833" },
        { "The quick brown fox jumps over the lazy dog.",
          "760 3841 13477 37550 33075 888 279 15217 5388 13" },
        { "  multiple   spaces", "220 5081 256 12258" },
        { "  spaced  text\n", "220 61674 220 1414 198" },
        { "123 + 456 = 579", "16 17 18 478 220 19 20 21 283 220 20 22 24" },
        { "Hello, world! 12345", "9419 11 1814 0 220 16 17 18 19 20" },
        { "don't won't I'm you're", "14572 914 2677 914 353 2688 488 2224" },
        { "caf\u00e9 r\u00e9sum\u00e9 na\u00efve", "895 56868 238976 91603 571" },
        { "Caf\u00e9 \u2014 \u03ba\u03cc\u03c3\u03bc\u03bf\u03c2 \U0001F680",
          "34 2492 933 1892 166265 203260 10838 248 222" },
        { "\u4f60\u597d\uff0c\u4e16\u754c\uff01", "109266 3709 96748 6115" },
        { "Hello, world! \u4f60\u597d", "9419 11 1814 0 220 109266" },
        { "You are a helpful assistant.", "2523 513 264 10631 17313 13" },
        { "The capital of France is", "760 6511 314 9338 369" },
        { "What is 17 times 23? Reply with the number only, no prose.",
          "3710 369 220 16 22 2942 220 17 18 30 17308 440 279 1324 1132 11 874 58655 13" },
        { "Template probe user message.", "7048 21059 1156 1876 13" },
        { "Write a production-quality Python LRU cache with tests and type hints.",
          "7734 264 5492 21408 12654 436 34810 6297 440 6813 321 913 29642 13" },
        { "<0.3 seconds>", "27 15 13 18 6283 29" },
        { "<think>Let me think about this.</think>", "248068 9764 728 1683 883 411 13 248069" },
        { "<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n",
          "248045 846 198 9419 248046 198 248045 74455 198" },
        { "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\nSay OK."
          "<|im_end|>\n<|im_start|>assistant\n",
          "248045 8678 198 2523 513 264 10631 17313 13 248046 198 248045 846 198 44240 10092 13 "
          "248046 "
          "198 248045 74455 198" },
        { "<|im_start|>assistant\n<think>\n", "248045 74455 198 248068 198" },
        { "<|im_start|>assistant\n<think>\n\n</think>\n\n",
          "248045 74455 198 248068 271 248069 271" },
    };
    for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
        struct token_vec ids = encoded(qwen, span_of(CASES[i].text), TOK_SPECIAL);
        if (strcmp(shown_ids(ids.ids, ids.n), CASES[i].ids) != 0)
            fail_msg("%s:\n  expected %s\n  found    %s", shown(span_of(CASES[i].text)),
                     CASES[i].ids, shown_ids(ids.ids, ids.n));
        token_vec_deinit(&ids);
    }
    struct token_vec ids = encoded(qwen,
                                   SPAN("Hello, world! \u0928\u092e\u0938\u094d\u0924\u0947 "
                                        "\u0ba4\u0bae\u0bbf\u0bb4\u0bcd 1234"),
                                   TOK_PLAIN);
    assert_int_equal(ids.n, 15);
    token_vec_deinit(&ids);
}

static void qwen35_first_merges_make_the_first_ids(void **state)
{
    (void)state;
    static const char *const FIRST[] = { "  ", "    ", "in", " t", "        " };
    for (size_t i = 0; i < ARRAY_LEN(FIRST); i++)
        assert_int_equal(tokenizer_find(qwen, span_of(FIRST[i])), 256 + i);
}

static void assert_stops(const struct tokenizer *t, int32_t a, int32_t b)
{
    size_t n;
    const int32_t *stops = tokenizer_stops(t, &n);
    if (n != 2 || !((stops[0] == a && stops[1] == b) || (stops[0] == b && stops[1] == a)))
        fail_msg("stops: expected %d and %d, found %s", (int)a, (int)b, shown_ids(stops, n));
}

static void qwen35_stops_and_what_may_be_sampled(void **state)
{
    (void)state;
    assert_string_equal(tokenizer_kind(qwen), "bpe/qwen35");
    assert_stops(qwen, 248044, 248046);
    for (int32_t id = 0; id < 248400; id++) {
        bool want = id < 248070; /* 248070..248076 are sound and speech, the rest is padding */
        if (tokenizer_is_samplable(qwen, id) != want)
            fail_msg("token %d: samplable is %d, expected %d", (int)id, !want, want);
    }
    assert_false(tokenizer_is_samplable(qwen, -1));
    assert_true(tokenizer_is_control(qwen, 248045));
    assert_false(
        tokenizer_is_control(qwen, 248068)); /* <think> is shown unless somebody takes it out */
    assert_false(tokenizer_is_control(qwen, 198));
    assert_int_equal(tokenizer_bytes(qwen, 248045, false).len, 0);
    assert_true(span_eq(tokenizer_bytes(qwen, 248045, true), SPAN("<|im_start|>")));
    assert_int_equal(tokenizer_bytes(qwen, 248319, true).len, 0);
    assert_int_equal(tokenizer_find(qwen, SPAN("no such token, surely")), -1);
}

static void smollm2_from_its_own_file(void **state)
{
    (void)state;
    struct tokenizer *t = open_testdata("SmolLM2-135M-Instruct.Q4_1.gguf");
    assert_string_equal(tokenizer_kind(t), "bpe/smollm");
    assert_int_equal(tokenizer_n_vocab(t), 49152);
    assert_stops(t, 2, 0);
    struct token_vec framed = encoded(t, SPAN("Hello"), TOK_FRAME),
                     bare = encoded(t, SPAN("Hello"), 0);
    assert_same_ids("add_bos_token is false", &framed, &bare);
    token_vec_deinit(&framed);
    token_vec_deinit(&bare);
    tokenizer_close(t);
}

static void minilm_frames_its_texts(void **state)
{
    (void)state;
    struct tokenizer *t = open_testdata("minilm");
    assert_string_equal(tokenizer_kind(t), "wordpiece");
    static const struct {
        const char *text;
        int32_t ids[12];
        size_t n;
    } CASES[] = {
        { "Hi Mate", { 101, 7632, 6775, 102 }, 4 },
        { "The Capital of France", { 101, 1996, 3007, 1997, 2605, 102 }, 6 },
        { "Berlin is the capital of German", { 101, 4068, 2003, 1996, 3007, 1997, 2446, 102 }, 8 },
        { "", { 101, 102 }, 2 },
        { "\xFF\xFE", { 101, 102 }, 2 }, /* ill-formed bytes are U+FFFD, which goes */
    };
    for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
        struct token_vec ids = encoded(t, span_of(CASES[i].text), TOK_FRAME);
        assert_ids(CASES[i].text, &ids, CASES[i].ids, CASES[i].n);
        token_vec_deinit(&ids);
    }
    struct token_vec ids = encoded(t, SPAN("unaffable"), TOK_PLAIN);
    struct buf text = { 0 };
    tokenizer_decode(t, &text, ids.ids, ids.n, false);
    assert_string_equal(text.ptr, " unaffable"); /* pieces join, words begin with a space */
    buf_deinit(&text);
    token_vec_deinit(&ids);
    tokenizer_close(t);
}

/* ---- laws on random texts -------------------------------------------------------------------- */

static void assert_round_trip(const struct tokenizer *t, struct span text)
{
    struct token_vec ids = encoded(t, text, TOK_PLAIN);
    struct buf back = { 0 };
    tokenizer_decode(t, &back, ids.ids, ids.n, true);
    if (!span_eq(buf_span(&back), text)) {
        print_message("%s: back comes %s\n", tokenizer_kind(t), shown(buf_span(&back)));
        fail_msg("%s: from %s", tokenizer_kind(t), shown(text));
    }
    for (size_t i = 0; i < ids.n; i++) {
        if (tokenizer_is_control(t, ids.ids[i]) || !tokenizer_is_samplable(t, ids.ids[i]))
            fail_msg("%s: plain text %s gives token %d", tokenizer_kind(t), shown(text),
                     (int)ids.ids[i]);
    }
    buf_deinit(&back);
    token_vec_deinit(&ids);
}

static void check_round_trips(const struct tokenizer *t, uint64_t seed)
{
    for (size_t i = 0; i < N_RANDOM; i++) {
        struct buf text = { 0 }, normal = { 0 };
        random_text(&text, atoms, "ranges", seed + i);
        assert_true(unicode_nfc(&normal, buf_span(&text)));
        assert_round_trip(t, buf_span(&normal));
        buf_deinit(&text);
        buf_deinit(&normal);
    }
}

static void the_way_back_gives_the_text(void **state)
{
    (void)state;
    for (size_t k = 0; k < ARRAY_LEN(KINDS); k++) {
        struct tokenizer *t = open_kind(KINDS[k]);
        check_round_trips(t, 1000 * k + 7);
        tokenizer_close(t);
    }
    check_round_trips(qwen, 99);
}

/* Ill-formed UTF-8 goes through byte by byte, also where neighbours are normalised. */
static void any_bytes_survive(void **state)
{
    (void)state;
    struct rng r;
    rng_init(&r, 20240229);
    for (size_t k = 0; k < ARRAY_LEN(KINDS); k++) {
        struct tokenizer *t = open_kind(KINDS[k]);
        for (size_t i = 0; i < N_RANDOM; i++) {
            char bytes[120];
            size_t n = rng_below(&r, sizeof(bytes));
            for (size_t j = 0; j < n; j++)
                bytes[j] =
                    (char)(rng_below(&r, 3) ? 0x80 + rng_below(&r, 0x4C) : rng_below(&r, 0x80));
            assert_round_trip(t, (struct span){ bytes, n });
        }
        tokenizer_close(t);
    }
}

/* Every control token's own text, alone, twice, and between letters. */
static void check_no_control(const struct tokenizer *t)
{
    size_t n_control = 0;
    for (size_t id = 0; id < tokenizer_n_vocab(t); id++) {
        if (!tokenizer_is_control(t, (int32_t)id))
            continue;
        struct span s = tokenizer_bytes(t, (int32_t)id, true);
        struct buf text = { 0 };
        n_control++;
        buf_append_span(&text, s);
        buf_append_span(&text, s);
        buf_append_str(&text, "x");
        buf_append_span(&text, s);
        buf_append_str(&text, "\n");
        struct token_vec plain = encoded(t, buf_span(&text), TOK_PLAIN),
                         special = encoded(t, s, TOK_SPECIAL);
        for (size_t i = 0; i < plain.n; i++) {
            if (tokenizer_is_control(t, plain.ids[i]))
                fail_msg("plain text %s gives control token %d", shown(buf_span(&text)),
                         (int)plain.ids[i]);
        }
        assert_ids("the same text in special mode", &special, (int32_t[]){ (int32_t)id }, 1);
        token_vec_deinit(&plain);
        token_vec_deinit(&special);
        buf_deinit(&text);
    }
    assert_true(n_control >= 3);
}

static void plain_text_never_makes_a_control_token(void **state)
{
    (void)state;
    check_no_control(qwen);
    struct tokenizer *t = open_testdata("SmolLM2-135M-Instruct.Q4_1.gguf");
    check_no_control(t);
    tokenizer_close(t);
    t = open_kind("llama-bpe"); /* where a whole word may skip merging */
    check_no_control(t);
    tokenizer_close(t);
}

/* Does a stream of these ids show what decoding all of them shows, with torn characters repaired,
 * and is what it has shown at any time well-formed? */
static void check_stream(const struct tokenizer *t, const int32_t *ids, size_t n)
{
    struct buf whole = { 0 }, want = { 0 }, out = { 0 };
    struct token_stream s = { 0 };
    tokenizer_decode(t, &whole, ids, n, false);
    utf8_repair(&want, buf_span(&whole));
    for (size_t i = 0; i < n; i++) {
        token_stream_push(&s, t, &out, ids[i]);
        assert_true(utf8_valid(buf_span(&out)));
        assert_true(out.len + 3 >= utf8_torn_tail(buf_span(&whole)));
    }
    token_stream_finish(&s, &out);
    if (!span_eq(buf_span(&out), buf_span(&want))) {
        print_message("the stream shows %s\n", shown(buf_span(&out)));
        fail_msg("ids %s: expected %s", shown_ids(ids, n), shown(buf_span(&want)));
    }
    buf_deinit(&whole);
    buf_deinit(&want);
    buf_deinit(&out);
}

static void a_stream_shows_the_same_as_the_whole(void **state)
{
    (void)state;
    struct rng r;
    rng_init(&r, 31337);
    struct tokenizer *t = open_kind("gpt2");
    for (size_t i = 0; i < 4 * N_RANDOM; i++) {
        int32_t ids[24];
        size_t n = rng_below(&r, ARRAY_LEN(ids));
        for (size_t j = 0; j < n; j++) /* mostly single bytes: characters torn in every way */
            ids[j] = (int32_t)rng_below(&r, rng_below(&r, 4) ? 256 : tokenizer_n_vocab(t));
        check_stream(t, ids, n);
    }
    for (size_t i = 0; i < N_RANDOM; i++) {
        struct buf text = { 0 };
        random_text(&text, atoms, "ranges", 555 + i);
        struct token_vec ids = encoded(qwen, buf_span(&text), TOK_PLAIN);
        check_stream(qwen, ids.ids, ids.n);
        token_vec_deinit(&ids);
        buf_deinit(&text);
    }
    tokenizer_close(t);
}

/* A megabyte that is a single piece, and one that NFC must sort: both would take hours if anything
 * were quadratic, and the test's time limit would end them. */
static void a_megabyte_without_spaces(void **state)
{
    (void)state;
    enum { MB = 1000000 };
    char *text = malloc(MB);
    assert_non_null(text);
    struct rng r;
    rng_init(&r, 8);
    for (size_t i = 0; i < MB; i++)
        text[i] = (char)('a' + rng_below(&r, 26));
    assert_round_trip(qwen, (struct span){ text, MB });
    memset(text, 'a', MB);
    assert_round_trip(qwen, (struct span){ text, MB });
    memset(text, ' ', MB);
    assert_round_trip(qwen, (struct span){ text, MB });

    /* a letter and marks of two classes in the wrong order, 250,000 times */
    for (size_t i = 0; i + 4 <= MB; i += 4)
        memcpy(text + i, "\xCC\x81\xCC\xA7", 4);
    text[0] = text[1] = 'x'; /* which combines with neither */
    struct buf normal = { 0 };
    assert_true(unicode_nfc(&normal, (struct span){ text, MB }));
    assert_int_equal(normal.len, MB);
    assert_round_trip(qwen, buf_span(&normal));
    buf_deinit(&normal);
    free(text);
}

/* ---- GGUF ------------------------------------------------------------------------------------ */

/* A tokenizer through a GGUF file with these metadata. */
static enum kt_status open_gguf(struct tokenizer **out, const struct gguf_writer *w,
                                struct kt_error *err)
{
    char *dir = temp_dir_make(), *path = path_join(dir, "t.gguf");
    assert_non_null(path);
    gguf_writer_save(w, path);
    struct model_file *f;
    *out = NULL;
    enum kt_status st = model_file_open(&f, path, err);
    if (!st) {
        st = tokenizer_open(out, f, err);
        model_file_close(f);
    }
    free(path);
    temp_dir_remove(dir);
    return st;
}

struct parts { /* what a GGUF tokenizer is made of; strings of 'doc' or heap */
    size_t n, n_merges;
    const char **tokens;
    char **merges;
    int32_t *types;
};

static void parts_init(struct parts *p, const json_t *doc, size_t n_padding)
{
    const json_t *model = json_object_get(doc, "model"),
                 *added = json_object_get(doc, "added_tokens");
    json_t *vocab = json_object_get(model, "vocab"), *v;
    const char *key;
    size_t i;
    *p = (struct parts){ 0 };
    json_object_foreach(vocab, key, v) p->n = MAX(p->n, (size_t)json_integer_value(v) + 1);
    json_array_foreach(added, i, v) p->n =
        MAX(p->n, (size_t)json_integer_value(json_object_get(v, "id")) + 1);
    p->n += n_padding;
    p->tokens = calloc(p->n, sizeof(*p->tokens));
    p->types = calloc(p->n, sizeof(*p->types));
    for (i = 0; i < p->n; i++) {
        p->tokens[i] = "[PAD]";
        p->types[i] = 5;
    }
    json_object_foreach(vocab, key, v)
    {
        p->tokens[json_integer_value(v)] = key;
        p->types[json_integer_value(v)] = 1;
    }
    json_array_foreach(added, i, v)
    {
        size_t id = (size_t)json_integer_value(json_object_get(v, "id"));
        p->tokens[id] = json_string_value(json_object_get(v, "content"));
        p->types[id] = json_is_true(json_object_get(v, "special")) ? 3 : 4;
    }
    json_t *merges = json_object_get(model, "merges");
    p->n_merges = json_array_size(merges);
    p->merges = calloc(p->n_merges + 1, sizeof(*p->merges));
    json_array_foreach(merges, i, v)
    {
        struct buf b = { 0 };
        buf_printf(&b, "%s %s", json_string_value(json_array_get(v, 0)),
                   json_string_value(json_array_get(v, 1)));
        p->merges[i] = buf_take(&b);
        assert_non_null(p->merges[i]);
    }
}

static void parts_deinit(struct parts *p)
{
    for (size_t i = 0; i < p->n_merges; i++)
        free(p->merges[i]);
    free(p->merges);
    free(p->tokens);
    free(p->types);
}

static void put_parts(struct gguf_writer *w, const struct parts *p, const char *model,
                      const char *pre)
{
    gguf_put_str(w, "general.architecture", "llama");
    gguf_put_str(w, "tokenizer.ggml.model", model);
    if (pre)
        gguf_put_str(w, "tokenizer.ggml.pre", pre);
    gguf_put_arr_str(w, "tokenizer.ggml.tokens", p->tokens, p->n);
    gguf_put_arr_i32(w, "tokenizer.ggml.token_type", p->types, p->n);
    if (p->n_merges)
        gguf_put_arr_str(w, "tokenizer.ggml.merges", (const char *const *)p->merges, p->n_merges);
}

static void assert_same_tokenizer(const char *what, const struct tokenizer *a,
                                  const struct tokenizer *b, const char *ranges)
{
    for (size_t i = 0; i < N_RANDOM; i++) {
        struct buf text = { 0 };
        random_text(&text, atoms, ranges, 4000 + i);
        for (unsigned mode = 0; mode < 4; mode++) {
            struct token_vec ids_a = encoded(a, buf_span(&text), mode),
                             ids_b = encoded(b, buf_span(&text), mode);
            assert_same_ids(what, &ids_a, &ids_b);
            token_vec_deinit(&ids_a);
            token_vec_deinit(&ids_b);
        }
        buf_deinit(&text);
    }
}

static void gguf_is_the_same_as_json(void **state)
{
    (void)state;
    static const char *const PRES[] = { "gpt-2", "smollm", "qwen2", "qwen35", "llama-bpe" };
    json_t *doc = golden_json("tiny.json");
    struct parts p;
    parts_init(&p, doc, 0);
    for (size_t k = 0; k < ARRAY_LEN(PRES); k++) {
        struct gguf_writer w = { 0 };
        struct kt_error err = { 0 };
        struct tokenizer *json = open_kind(KINDS[k]), *gguf;
        put_parts(&w, &p, "gpt2", PRES[k]);
        if (open_gguf(&gguf, &w, &err))
            fail_msg("%s: %s", PRES[k], err.text);
        assert_string_equal(tokenizer_kind(gguf), tokenizer_kind(json));
        assert_same_tokenizer(PRES[k], gguf, json, "ranges");
        tokenizer_close(json);
        tokenizer_close(gguf);
        gguf_writer_deinit(&w);
    }
    parts_deinit(&p);
    json_decref(doc);
}

/* GGUF spells a WordPiece vocabulary the other way round. */
static void wordpiece_through_gguf(void **state)
{
    (void)state;
    char *path = testdata_path("minilm/tokenizer.json");
    json_t *doc = json_load_file(path, 0, NULL);
    assert_non_null(doc);
    struct parts p;
    parts_init(&p, doc, 0);
    char **spelled = calloc(p.n, sizeof(*spelled));
    for (size_t i = 0; i < p.n; i++) {
        const char *s = p.tokens[i];
        struct buf b = { 0 };
        size_t len = strlen(s);
        bool bracketed = len > 2 && s[0] == '[' && s[len - 1] == ']';
        bool inner = len > 2 && s[0] == '#' && s[1] == '#';
        buf_printf(&b, "%s%s", bracketed || inner ? "" : "\u2581", inner ? s + 2 : s);
        p.tokens[i] = spelled[i] = buf_take(&b);
    }
    struct gguf_writer w = { 0 };
    struct kt_error err = { 0 };
    struct tokenizer *gguf, *json = open_testdata("minilm");
    put_parts(&w, &p, "bert", NULL);
    gguf_put_u32(&w, "tokenizer.ggml.unknown_token_id", 100);
    gguf_put_u32(&w, "tokenizer.ggml.cls_token_id", 101);
    gguf_put_u32(&w, "tokenizer.ggml.seperator_token_id", 102);
    if (open_gguf(&gguf, &w, &err))
        fail_msg("%s", err.text);
    assert_string_equal(tokenizer_kind(gguf), "wordpiece");
    assert_same_tokenizer("minilm through GGUF", gguf, json, "old");
    tokenizer_close(gguf);
    tokenizer_close(json);
    gguf_writer_deinit(&w);
    for (size_t i = 0; i < p.n; i++)
        free(spelled[i]);
    free(spelled);
    parts_deinit(&p);
    json_decref(doc);
    free(path);
}

static void gguf_stops_frame_and_padding(void **state)
{
    (void)state;
    json_t *doc = golden_json("tiny.json");
    struct parts p;
    parts_init(&p, doc, 3);
    size_t n = p.n - 3; /* the last five before the padding are added tokens */
    struct gguf_writer w = { 0 };
    struct kt_error err = { 0 };
    struct tokenizer *t;
    put_parts(&w, &p, "gpt2", "llama-bpe");
    gguf_put_u32(&w, "tokenizer.ggml.bos_token_id", (uint32_t)n - 5);
    gguf_put_u32(&w, "tokenizer.ggml.eos_token_id", 7);
    gguf_put_bool(&w, "tokenizer.ggml.add_eos_token", true);
    if (open_gguf(&t, &w, &err))
        fail_msg("%s", err.text);
    struct token_vec ids = encoded(t, SPAN("!"), TOK_FRAME);
    assert_ids("llama-bpe adds its first token unless told otherwise", &ids,
               (int32_t[]){ (int32_t)n - 5, tokenizer_find(t, SPAN("!")), 7 }, 3);
    size_t n_stops;
    const int32_t *stops = tokenizer_stops(t, &n_stops);
    assert_int_equal(n_stops, 3); /* what the file says, <|im_end|>, <|endoftext|> */
    assert_int_equal(stops[0], 7);
    for (size_t id = n; id < p.n; id++) {
        assert_false(tokenizer_is_samplable(t, (int32_t)id));
        assert_int_equal(tokenizer_bytes(t, (int32_t)id, true).len, 0);
    }
    struct token_vec pad = encoded(t, SPAN("[PAD]"), TOK_SPECIAL);
    assert_true(pad.n > 1); /* padding is no text */
    token_vec_deinit(&pad);
    token_vec_deinit(&ids);
    tokenizer_close(t);
    gguf_writer_deinit(&w);
    parts_deinit(&p);
    json_decref(doc);
}

static void assert_refused(const char *what, enum kt_status st, struct tokenizer *t,
                           const struct kt_error *err, enum kt_status want, const char *part)
{
    if (st != want || t || !strstr(err->text, part))
        fail_msg("%s: expected %s with \"%s\", found %s: %s", what, kt_status_name(want), part,
                 kt_status_name(st), err->text);
}

static void wrong_gguf_is_refused(void **state)
{
    (void)state;
    static const char *const TOKENS[] = { "a", "b", "ab", "c" };
    static const char *const MERGES[] = { "a b" }, *const BROKEN[] = { "ab" },
                             *const MISSING[] = { "b c" };
    static const int32_t TYPES[] = { 1, 1, 1, 1 }, CONTROL[] = { 3, 1, 1, 1 };
    static const struct {
        const char *what, *model, *pre;
        const int32_t *types;
        size_t n_types;
        const char *const *merges;
        enum kt_status st;
        const char *part;
    } CASES[] = {
        { "another model", "llama", "x", TYPES, 4, MERGES, KT_E_UNSUPPORTED,
          "tokenizer.ggml.model" },
        { "no model", NULL, "x", TYPES, 4, MERGES, KT_E_NOTFOUND,
          "tokenizer.ggml.model is missing" },
        { "another rule", "gpt2", "whatever", TYPES, 4, MERGES, KT_E_UNSUPPORTED,
          "tokenizer.ggml.pre is another" },
        { "no rule", "gpt2", NULL, TYPES, 4, MERGES, KT_E_UNSUPPORTED,
          "tokenizer.ggml.pre is missing" },
        { "types too short", "gpt2", "gpt-2", TYPES, 3, MERGES, KT_E_FORMAT, "token_type" },
        { "no merges", "gpt2", "gpt-2", TYPES, 4, NULL, KT_E_FORMAT, "merges is missing" },
        { "a merge of one", "gpt2", "gpt-2", TYPES, 4, BROKEN, KT_E_FORMAT, "merges[0]" },
        { "a merge of nothing", "gpt2", "gpt-2", TYPES, 4, MISSING, KT_E_FORMAT, "merge 0" },
        { "a byte is control", "gpt2", "gpt-2", CONTROL, 4, MERGES, KT_E_FORMAT,
          "control token 0" },
        { "no unknown token", "bert", NULL, TYPES, 4, NULL, KT_E_FORMAT, "unknown token" },
    };
    for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
        struct gguf_writer w = { 0 };
        struct kt_error err = { 0 };
        struct tokenizer *t;
        gguf_put_str(&w, "general.architecture", "llama");
        if (CASES[i].model)
            gguf_put_str(&w, "tokenizer.ggml.model", CASES[i].model);
        if (CASES[i].pre)
            gguf_put_str(&w, "tokenizer.ggml.pre", CASES[i].pre);
        gguf_put_arr_str(&w, "tokenizer.ggml.tokens", TOKENS, 4);
        gguf_put_arr_i32(&w, "tokenizer.ggml.token_type", CASES[i].types, CASES[i].n_types);
        if (CASES[i].merges)
            gguf_put_arr_str(&w, "tokenizer.ggml.merges", CASES[i].merges, 1);
        enum kt_status st = open_gguf(&t, &w, &err);
        assert_refused(CASES[i].what, st, t, &err, CASES[i].st, CASES[i].part);
        gguf_writer_deinit(&w);
    }
}

/* ---- tokenizer.json -------------------------------------------------------------------------- */

#define BYTE_LEVEL "{\"type\":\"ByteLevel\",\"add_prefix_space\":false}"
#define BPE(vocab, merges, more)                                                                   \
    "{\"pre_tokenizer\":" BYTE_LEVEL ",\"model\":{\"type\":\"BPE\",\"vocab\":" vocab               \
    ",\"merges\":" merges more "}}"

/* A vocabulary that wants plain text to end its own turn. */
static void merges_into_control_tokens_do_nothing(void **state)
{
    (void)state;
    static const char JSON[] =
        "{\"pre_tokenizer\":" BYTE_LEVEL
        ",\"added_tokens\":[{\"id\":4,\"content\":\"abc\",\"special\":true}],"
        "\"model\":{\"type\":\"BPE\",\"ignore_merges\":true,\"vocab\":{\"a\":0,\"b\":1,\"c\":2,"
        "\"ab\":3,\"abc\":4},"
        "\"merges\":[\"a b\",[\"ab\",\"c\"]]}}";
    struct tokenizer *t;
    struct kt_error err = { 0 };
    if (tokenizer_open_json(&t, SPAN(JSON), "t", &err))
        fail_msg("%s", err.text);
    struct token_vec plain = encoded(t, SPAN("abcab"), TOK_PLAIN),
                     special = encoded(t, SPAN("abcab"), TOK_SPECIAL),
                     alone = encoded(t, SPAN("abc"), TOK_PLAIN);
    assert_ids("plain", &plain, (int32_t[]){ 3, 2, 3 }, 3);
    assert_ids("a whole piece", &alone, (int32_t[]){ 3, 2 }, 2);
    assert_ids("special", &special, (int32_t[]){ 4, 3 }, 2);
    token_vec_deinit(&plain);
    token_vec_deinit(&alone);
    token_vec_deinit(&special);
    tokenizer_close(t);
}

/* Some added tokens take the white space around them along (the reference gives these ids). */
static void added_tokens_may_take_white_space(void **state)
{
    (void)state;
    static const char JSON[] = "{\"pre_tokenizer\":" BYTE_LEVEL ",\"added_tokens\":["
                               "{\"id\":3,\"content\":\"<l>\",\"lstrip\":true},"
                               "{\"id\":4,\"content\":\"<r>\",\"rstrip\":true}],"
                               "\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"\\u0120\":1,"
                               "\"\\u010a\":2},\"merges\":[]}}";
    static const struct {
        const char *text;
        int32_t ids[8];
        size_t n;
    } CASES[] = {
        { "a \n<l> a", { 0, 3, 1, 0 }, 4 },
        { "a <r>\n a", { 0, 1, 4, 0 }, 4 },
        { "  <l>", { 3 }, 1 },
        { "<r> <l>", { 4, 3 }, 2 },
        { "<l> <r> ", { 3, 1, 4 }, 3 },
    };
    struct tokenizer *t;
    struct kt_error err = { 0 };
    if (tokenizer_open_json(&t, SPAN(JSON), "t", &err))
        fail_msg("%s", err.text);
    for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
        struct token_vec ids = encoded(t, span_of(CASES[i].text), TOK_SPECIAL);
        assert_ids(CASES[i].text, &ids, CASES[i].ids, CASES[i].n);
        token_vec_deinit(&ids);
    }
    tokenizer_close(t);
}

static void wrong_json_is_refused(void **state)
{
    (void)state;
#define V2 "{\"a\":0,\"b\":1}"
    static const struct {
        const char *json;
        enum kt_status st;
        const char *part;
    } CASES[] = {
        { "", KT_E_FORMAT, "not well-formed JSON" },
        { "{\"model\":", KT_E_FORMAT, "not well-formed JSON" },
        { "[]", KT_E_UNSUPPORTED, "model type (no type)" },
        { "{\"a\":1,\"a\":2}", KT_E_FORMAT, "not well-formed JSON" },
        { "{}", KT_E_UNSUPPORTED, "model type (no type)" },
        { "{\"model\":{\"type\":\"Unigram\"}}", KT_E_UNSUPPORTED, "Unigram" },
        { "{\"model\":{\"type\":\"BPE\",\"vocab\":" V2 ",\"merges\":[]}}", KT_E_UNSUPPORTED,
          "pre-tokenizer" },
        { "{\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":true},"
          "\"model\":{\"type\":\"BPE\",\"vocab\":" V2 ",\"merges\":[]}}",
          KT_E_UNSUPPORTED, "pre-tokenizer (ByteLevel)" },
        { "{\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\","
          "\"pattern\":{\"Regex\":"
          "\"\\\\p{L}+\"},\"behavior\":\"Isolated\"},{\"type\":\"ByteLevel\",\"add_prefix_space\":"
          "false,\"use_regex\":false}]},"
          "\"model\":{\"type\":\"BPE\",\"vocab\":" V2 ",\"merges\":[]}}",
          KT_E_UNSUPPORTED, "pre-tokenizer (Sequence)" },
        { "{\"normalizer\":{\"type\":\"Lowercase\"},\"pre_tokenizer\":" BYTE_LEVEL
          ",\"model\":{\"type\":\"BPE\",\"vocab\":" V2 ",\"merges\":[]}}",
          KT_E_UNSUPPORTED, "Lowercase" },
        { BPE("[]", "[]", ""), KT_E_FORMAT, "model.vocab" },
        { BPE("{}", "[]", ""), KT_E_FORMAT, "empty" },
        { BPE("{\"a\":-1}", "[]", ""), KT_E_FORMAT, "id" },
        { BPE("{\"a\":4294967296}", "[]", ""), KT_E_FORMAT, "id" },
        { BPE("{\"a\":1.0}", "[]", ""), KT_E_FORMAT, "id" },
        { BPE("{\"a\":0,\"b\":0}", "[]", ""), KT_E_FORMAT, "two tokens have id 0" },
        { BPE(V2, "{}", ""), KT_E_FORMAT, "merges" },
        { BPE(V2, "[\"a\"]", ""), KT_E_FORMAT, "merges[0]" },
        { BPE(V2, "[\"a b c\"]", ""), KT_E_FORMAT, "merges[0]" },
        { BPE(V2, "[[\"a\"]]", ""), KT_E_FORMAT, "merges[0]" },
        { BPE(V2, "[\"a b\"]", ""), KT_E_FORMAT, "merge 0 names a token" },
        { BPE(V2, "[]", ",\"byte_fallback\":true"), KT_E_UNSUPPORTED, "byte_fallback" },
        { BPE(V2, "[]", ",\"dropout\":0.1"), KT_E_UNSUPPORTED, "dropout" },
        { "{\"pre_tokenizer\":" BYTE_LEVEL ",\"post_processor\":{\"type\":\"Odd\"},"
          "\"model\":{\"type\":\"BPE\",\"vocab\":" V2 ",\"merges\":[]}}",
          KT_E_UNSUPPORTED, "post-processor Odd" },
        { "{\"pre_tokenizer\":" BYTE_LEVEL ",\"added_tokens\":[{\"id\":0,\"content\":\"x\"}],"
          "\"model\":{\"type\":\"BPE\",\"vocab\":" V2 ",\"merges\":[]}}",
          KT_E_FORMAT, "two tokens have id 0" },
        { "{\"pre_tokenizer\":" BYTE_LEVEL
          ",\"added_tokens\":[{\"id\":9,\"content\":\"x\",\"single_word\":true}],"
          "\"model\":{\"type\":\"BPE\",\"vocab\":" V2 ",\"merges\":[]}}",
          KT_E_UNSUPPORTED, "single_word" },
        { "{\"model\":{\"type\":\"WordPiece\",\"unk_token\":\"a\",\"vocab\":" V2 "}}",
          KT_E_UNSUPPORTED, "BERT" },
        { "{\"normalizer\":{\"type\":\"BertNormalizer\"},\"pre_tokenizer\":{\"type\":"
          "\"BertPreTokenizer\"},"
          "\"model\":{\"type\":\"WordPiece\",\"unk_token\":\"[UNK]\",\"vocab\":" V2 "}}",
          KT_E_FORMAT, "unk_token" },
        { "{\"normalizer\":{\"type\":\"BertNormalizer\"},\"pre_tokenizer\":{\"type\":"
          "\"BertPreTokenizer\"},"
          "\"model\":{\"type\":\"WordPiece\",\"unk_token\":\"a\",\"max_input_chars_per_word\":"
          "100000,\"vocab\":" V2 "}}",
          KT_E_LIMIT, "max_input_chars_per_word" },
    };
    for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
        struct tokenizer *t;
        struct kt_error err = { 0 };
        enum kt_status st = tokenizer_open_json(&t, span_of(CASES[i].json), "t.json", &err);
        assert_refused(CASES[i].json, st, t, &err, CASES[i].st, CASES[i].part);
    }
}

static int open_shared(void **state)
{
    (void)state;
    golden = golden_json("golden.json");
    atoms = golden_json("atoms.json");
    qwen = open_testdata("qwen35");
    return 0;
}

static int close_shared(void **state)
{
    (void)state;
    tokenizer_close(qwen);
    json_decref(golden);
    json_decref(atoms);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(qwen35_gives_the_published_ids),
        cmocka_unit_test(qwen35_first_merges_make_the_first_ids),
        cmocka_unit_test(qwen35_stops_and_what_may_be_sampled),
        cmocka_unit_test(smollm2_from_its_own_file),
        cmocka_unit_test(minilm_frames_its_texts),
        cmocka_unit_test(the_way_back_gives_the_text),
        cmocka_unit_test(any_bytes_survive),
        cmocka_unit_test(plain_text_never_makes_a_control_token),
        cmocka_unit_test(a_stream_shows_the_same_as_the_whole),
        cmocka_unit_test(a_megabyte_without_spaces),
        cmocka_unit_test(gguf_is_the_same_as_json),
        cmocka_unit_test(wordpiece_through_gguf),
        cmocka_unit_test(gguf_stops_frame_and_padding),
        cmocka_unit_test(wrong_gguf_is_refused),
        cmocka_unit_test(merges_into_control_tokens_do_nothing),
        cmocka_unit_test(added_tokens_may_take_white_space),
        cmocka_unit_test(wrong_json_is_refused),
    };
    return cmocka_run_group_tests(tests, open_shared, close_shared);
}
