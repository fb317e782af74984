/* What: which tokens may follow under a grammar. A mask has exactly the tokens whose bytes lead on; there is never none;
 * whatever is sampled is one of the grammar's texts, ends at once where nothing can follow, and holds quotations that
 * stand in the sources. How: a vocabulary of bytes, words and torn characters; each mask compared with every token by
 * itself; thousands of answers by a "model" that is noise, judged by kt_grammar_match(), by jansson and by comparing
 * quotations. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/rng.h"
#include "base/size.h"
#include "base/utf8.h"
#include "constrain/guide.h"
#include "constrain/program.h"
#include "constrain/slice.h"

static const char TEXT[] = "Mietvertrag zwischen der Vermieterin, Frau Dr. \xC3\x9C"
                           "ber-Wei\xC3\x9F, und dem Mieter. Die Miete betr\xC3\xA4gt 1.250,00 "
                           "\xE2\x82\xAC und ist am 3. Werktag f\xC3\xA4llig; \xF0\x9F\x98\x80 "
                           "{\"name\": \"x\", \"list\": [1, 2, null]} C:\\pfad\n "
                           "</think>\n\n<think> true false aaaa bbbb ((())) a@b.de";

enum { N_TOKENS = 1600, ID_STOP = 256, ID_SILENT = 257 };

static struct {
    char bytes[N_TOKENS][16];
    size_t len[N_TOKENS], n;
    uint64_t samplable[N_TOKENS / 64 + 1];
    struct token_trie *trie;
} vocab;

static struct span vocab_bytes(const void *ctx, int32_t id)
{
    (void)ctx;
    return (struct span){ vocab.bytes[id], vocab.len[id] };
}

static void vocab_add(const char *s, size_t len)
{
    memcpy(vocab.bytes[vocab.n], s, len);
    vocab.len[vocab.n] = len;
    mask_set(vocab.samplable, vocab.n++);
}

static int setup(void **state)
{
    (void)state;
    for (int b = 0; b < 256; b++)
        vocab_add((char[]){ (char)b }, 1);
    vocab_add("", 0); /* ID_STOP */
    vocab_add("", 0); /* ID_SILENT */
    vocab_add("</think>", 8);
    vocab_add("\n\n", 2);
    vocab_add("\":", 2);
    vocab_add("\": \"", 4);
    vocab_add("\"},", 3);
    struct rng rng;
    rng_init(&rng, 7);
    while (vocab.n < N_TOKENS - 500) { /* torn as BPE tears; some of them twice */
        size_t len = 1 + rng_below(&rng, 9), at = rng_below(&rng, sizeof(TEXT) - 1 - len);
        vocab_add(TEXT + at, len);
    }
    for (size_t i = 0; i < 500; i++) { /* words, all different: of them a string is made mostly */
        char word[16];                 /* SLICE_CHARS: the longest that counts */
        for (size_t k = 0; k < sizeof(word); k++)
            word[k] = (char)('a' + rng_below(&rng, k < 2 ? 6 : 23));
        vocab_add(word, sizeof(word));
    }
    struct kt_error err;
    return token_trie_create(&vocab.trie, vocab.n, vocab_bytes, NULL, vocab.samplable,
                             &(int32_t){ ID_STOP }, 1, &err);
}

static int teardown(void **state)
{
    (void)state;
    token_trie_destroy(vocab.trie);
    return 0;
}

static const char LEASE[] =
    "\xC2\xA7 1 Die Miete betr\xC3\xA4gt 1.250,00 \xE2\x82\xAC und ist am 3. Werktag "
    "f\xC3\xA4llig. Siehe C:\\Miete\\a und "
    "\"Anlage 3\".\n\xC2\xA7 2 Der  Mieter zahlt\teine Kaution von 3.750,00 \xE2\x82\xAC.";
static const char LETTER[] =
    "Wir haben die Miete am 2. Mai erhalten. Die Miete f\xC3\xBCr Juni steht noch aus.";
static const struct kt_quote_source SOURCES[] = { { LEASE, sizeof(LEASE) - 1 },
                                                  { LETTER, sizeof(LETTER) - 1 } };

/* ---- grammars -------------------------------------------------------------------------------- */

#define JSON                                                                                       \
    "root ::= value\n"                                                                             \
    "value ::= object | array | string | number | \"true\" | \"false\" | \"null\"\n"               \
    "object ::= \"{\" ws (pair (\",\" ws pair)*)? \"}\" ws\n"                                      \
    "pair ::= string \":\" ws value\n"                                                             \
    "array ::= \"[\" ws (value (\",\" ws value)*)? \"]\" ws\n"                                     \
    "string ::= \"\\\"\" ([^\"\\\\\\x00-\\x1F] | \"\\\\\" ([\"\\\\/bfnrt] | \"u00\" "              \
    "[0-9a-f]{2}))* \"\\\"\" ws\n"                                                                 \
    "number ::= \"-\"? (\"0\" | [1-9] [0-9]{0,14}) (\".\" [0-9]{1,9})? ws\n"                       \
    "ws ::= [ \\n\\t]{0,2}\n"

struct sample {
    const char *grammar;
    bool json, quotes;
};

static const struct sample SAMPLES[] = {
    { JSON, true, false },
    { "root ::= \"{\\\"name\\\": \\\"\" c{0,40} \"\\\", \\\"n\\\": \" [1-9] [0-9]{0,2} \"}\"\nc "
      "::= "
      "[^\"\\\\\\x00-\\x1F]",
      true, false },
    { "root ::= \"{\\\"name\\\": \\\"\" [a-zA-Z .,]{3,60} \"\\\"}\"", true, false },
    { "root ::= \"{\\\"quote\\\": \\\"\" @quote \"\\\", \\\"more\\\": [\" (q (\", \" q){0,3})? "
      "\"]}\"\nq ::= \"\\\"\" @quote \"\\\"\"",
      true, true },
    { "root ::= \"So: \" (@quote \"; \"){1,3} [a-z]{2,9}", false, true },
    { "root ::= (\"a\" | \"aa\" | \"b\"){0,7} (\"bb\" | \"Mieter\")", false, false },
    { "root ::= \"Miete\" | \"Mieter\" | \"Mietvertrag\" | \"Vermieterin\"", false, false },
    { "root ::= /[\\w.]{1,8}@[\\w]{1,8}(\\.[a-z]{2,3}){1,2}/ | /[^a]{0,30}/j", false, false },
    { "root ::= .{0,30} | \"(\" root \")\" | root2{2}\nroot2 ::= [^\\n]{17} \"x\"?", false, false },
    { "root ::= sum\nsum ::= sum [-+] n | n\nn ::= [0-9]{1,2} | \"(\" sum \")\"", false, false },
};

static struct guide *open_guide(const struct kt_grammar *g, bool thinking, bool quotes)
{
    struct guide *u;
    struct kt_error err;
    struct guide_options o = { .thinking = thinking,
                               .quotes = quotes ? SOURCES : NULL,
                               .n_quotes = quotes ? ARRAY_LEN(SOURCES) : 0,
                               .quote_max = 60 };
    if (guide_create(&u, vocab.trie, g, &o, &err))
        fail_msg("guide: %s", err.text);
    return u;
}

static struct kt_grammar *parse(const char *text)
{
    struct kt_grammar *g;
    struct kt_error err;
    if (kt_grammar_parse(&g, text, strlen(text), &err))
        fail_msg("%s\n%s", text, err.text);
    return g;
}

static void get_mask(struct guide *u, uint64_t *mask)
{
    struct kt_error err;
    bool any;
    if (guide_mask(u, mask, &any, &err))
        fail_msg("mask: %s", err.text);
    assert_true(any);
}

/* Any of the mask, the ends less often than the rest. */
static int32_t pick(const uint64_t *mask, struct rng *rng)
{
    int32_t ids[N_TOKENS];
    size_t n = 0;
    for (size_t i = 0; i < vocab.n; i++)
        if (mask_has(mask, i))
            ids[n++] = (int32_t)i;
    assert_true(n > 0);
    int32_t id = ids[rng_below(rng, n)];
    return id == ID_STOP && rng_below(rng, 3) ? ids[rng_below(rng, n)] : id;
}

static void check_mask(struct guide *u, const uint64_t *mask)
{
    size_t n = 0;
    for (int32_t id = 0; id < (int32_t)vocab.n; id++) {
        bool want = id == ID_STOP ? guide_may_end(u) : guide_allows(u, &id, 1) == 1;
        if (mask_has(mask, (size_t)id) != want)
            fail_msg("token %d (%.*s): in the mask %d, alone %d", id, (int)vocab.len[id],
                     vocab.bytes[id], mask_has(mask, (size_t)id), want);
        n += want;
    }
    int32_t forced = guide_forced(u, NULL, 0);
    if (forced >= 0)
        assert_true(n == 1 && mask_has(mask, (size_t)forced));
    char ahead[64];
    size_t len = guide_ahead(u, ahead, sizeof(ahead));
    for (int32_t id = 0; id < (int32_t)vocab.n && len > 0; id++) /* nothing else can follow */
        if (mask_has(mask, (size_t)id))
            assert_memory_equal(vocab.bytes[id], ahead, MIN(len, vocab.len[id]));
    assert_true(utf8_valid((struct span){ ahead, len }));
}

struct answer {
    struct buf text;
    bool whole; /* it ended by itself */
};

/* Noise under the grammar, up to n_max tokens. */
static struct answer answer(struct guide *u, struct rng *rng, size_t n_max, bool check)
{
    struct answer a = { 0 };
    uint64_t mask[N_TOKENS / 64 + 1] = { 0 };
    for (size_t i = 0; i < n_max; i++) {
        if (guide_ended(u)) {
            a.whole = true;
            break;
        }
        get_mask(u, mask);
        if (check)
            check_mask(u, mask);
        int32_t id = pick(mask, rng);
        if (id == ID_STOP) {
            a.whole = true;
            break;
        }
        assert_true(guide_accept(u, id));
        buf_append_span(&a.text, vocab_bytes(NULL, id));
    }
    guide_end(u, a.text.len);
    return a;
}

static void masks_are_exact(void **state)
{
    (void)state;
    struct rng rng;
    rng_init(&rng, 11);
    for (size_t i = 0; i < ARRAY_LEN(SAMPLES); i++) {
        struct kt_grammar *g = parse(SAMPLES[i].grammar);
        for (int rep = 0; rep < 5; rep++) {
            struct guide *u = open_guide(g, rep == 3, SAMPLES[i].quotes);
            struct answer a = answer(u, &rng, 25, true);
            buf_deinit(&a.text);
            guide_destroy(u);
        }
        kt_grammar_destroy(g);
    }
}

/* Inside strings, endless and counted, with the tokens of the class as one set: before it is made, and then. */
static void slices_change_nothing(void **state)
{
    (void)state;
    static const char *const CLASSES[] = { "[^\"\\\\\\x00-\\x1F]", "[^x-z]", ".",
                                           "[\\u0020-\\uFFFF]" };
    for (size_t i = 0; i < ARRAY_LEN(CLASSES); i++) {
        for (int counted = 0; counted < 3; counted++) {
            char text[200];
            snprintf(text, sizeof(text), "root ::= \"<\" %s%s \">\"",
                     counted == 2 ? "q" : CLASSES[i], counted ? "{2,40}" : "*");
            struct buf b = { 0 };
            buf_append_str(&b, text);
            if (counted == 2)
                buf_printf(&b, "\nq ::= %s | \"\\\\\" [nt]", CLASSES[i]);
            struct kt_grammar *g = parse(b.ptr);
            for (int walked = 0; walked < 2; walked++) {
                struct guide *u = open_guide(g, false, false);
                assert_true(guide_accept_bytes(u, SPAN("<")));
                for (int k = 0; k < 40; k++) {
                    uint64_t mask[N_TOKENS / 64 + 1] = { 0 };
                    get_mask(u, mask);
                    if (k % 8 == 0 || k > 20)
                        check_mask(u, mask);
                    assert_true(guide_accept_bytes(u, SPAN("e")));
                }
                guide_destroy(u);
                slice_missed(vocab.trie, &g->classes[0], SLICE_PAYS);
            }
            const struct slice *s = slice_acquire(vocab.trie, &g->classes[0]);
            assert_non_null(s);
            slice_release(vocab.trie, s);
            kt_grammar_destroy(g);
            buf_deinit(&b);
        }
    }
}

/* ---- what comes out -------------------------------------------------------------------------- */

static void check_quotes(const struct guide *u, struct span text, bool whole)
{
    size_t n;
    const struct kt_quote *q = guide_quotes(u, &n);
    for (size_t i = 0; i < n; i++) {
        const struct kt_quote_source *s = &SOURCES[q[i].src_idx];
        assert_true(q[i].out_end <= text.len && q[i].src_end <= s->text_len);
        assert_true(kt_quote_matches(text.ptr + q[i].out_start, q[i].out_end - q[i].out_start,
                                     s->text + q[i].src_start, q[i].src_end - q[i].src_start));
    }
    assert_true(!whole || n > 0);
}

/* As many quotations as the JSON has strings, at their places. */
static void check_json_quotes(const struct guide *u, struct span text, const json_t *v)
{
    size_t n;
    const struct kt_quote *q = guide_quotes(u, &n);
    assert_int_equal(n, 1 + json_array_size(json_object_get(v, "more")));
    for (size_t i = 0; i < n; i++) {
        const json_t *s =
            i ? json_array_get(json_object_get(v, "more"), i - 1) : json_object_get(v, "quote");
        assert_int_equal(json_string_length(s), q[i].out_end - q[i].out_start);
        assert_memory_equal(json_string_value(s), text.ptr + q[i].out_start, json_string_length(s));
    }
}

/* With quotations kt_grammar_match() cannot judge: they count as what cannot be. */
static void judge(const struct kt_grammar *g, const struct sample *s, const struct guide *u,
                  const struct answer *a)
{
    struct kt_error err;
    enum kt_grammar_match m = KT_GRAMMAR_NONE;
    struct span text = buf_span(&a->text);
    if (!s->quotes) {
        assert_int_equal(kt_grammar_match(g, text.ptr, text.len, &m, &err), KT_OK);
        if (a->whole ? m != KT_GRAMMAR_WHOLE : m == KT_GRAMMAR_NONE)
            fail_msg("%s\nwrote %.*s", s->grammar, (int)text.len, text.ptr);
    }
    json_t *v = NULL;
    if (s->json && a->whole) {
        json_error_t why;
        v = json_loadb(text.ptr, text.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, &why);
        if (!v)
            fail_msg("not JSON: %s: %.*s", why.text, (int)text.len, text.ptr);
        if (s->quotes)
            check_json_quotes(u, text, v);
        json_decref(v);
    }
    if (s->quotes)
        check_quotes(u, text, a->whole);
}

static void every_answer_is_one_of_the_grammars(void **state)
{
    (void)state;
    struct rng rng;
    rng_init(&rng, 5);
    size_t n_whole = 0, n = 0;
    for (size_t i = 0; i < ARRAY_LEN(SAMPLES); i++) {
        struct kt_grammar *g = parse(SAMPLES[i].grammar);
        for (int rep = 0; rep < 200; rep++, n++) {
            struct guide *u = open_guide(g, false, SAMPLES[i].quotes);
            struct answer a = answer(u, &rng, 160, false);
            judge(g, &SAMPLES[i], u, &a);
            n_whole += a.whole;
            buf_deinit(&a.text);
            guide_destroy(u);
        }
        kt_grammar_destroy(g);
    }
    printf("%zu answers, %zu of them whole\n", n, n_whole);
    assert_true(n_whole > n / 2);
}

/* ---- thoughts -------------------------------------------------------------------------------- */

static void a_thought_is_free(void **state)
{
    (void)state;
    struct kt_grammar *g = parse("root ::= \"Miete\" | \"\\nMiete\"");
    struct rng rng;
    rng_init(&rng, 3);
    size_t n_whole = 0;
    for (int rep = 0; rep < 60; rep++) {
        struct guide *u = open_guide(g, true, false);
        static const char PLAIN[] = "any \"thing\" < a </thin \xC3 \xFF{ <</thi";
        assert_true(guide_accept_bytes(u, (struct span){ PLAIN, (size_t)(rep % 30) }));
        uint64_t mask[N_TOKENS / 64 + 1] = { 0 };
        get_mask(u, mask);
        assert_false(mask_has(mask, ID_STOP));
        check_mask(u, mask);
        assert_true(guide_accept_bytes(u, SPAN("</think>\n\n")) || rep % 30 > 25);
        struct answer a = answer(u, &rng, 30, true);
        if (a.whole)
            assert_true(a.text.len == 5 || a.text.len == 6);
        n_whole += a.whole;
        buf_deinit(&a.text);
        guide_destroy(u);
    }
    assert_true(n_whole > 40);
    struct guide *u = open_guide(g, true, false);
    assert_false(guide_accept_bytes(u, SPAN("</think>\nM")));
    assert_false(guide_accept_bytes(u, SPAN("</think>Miete")));
    assert_true(guide_accept_bytes(u, SPAN("a</think>\n\nMiete")));
    assert_true(guide_ended(u));
    guide_destroy(u);
    /* One that the model may open itself. */
    struct kt_error err;
    struct guide_options may = { .may_think = true };
    assert_int_equal(guide_create(&u, vocab.trie, g, &may, &err), KT_OK);
    assert_false(guide_accept_bytes(u, SPAN("<thing>")));
    assert_false(guide_accept_bytes(u, SPAN("a thought")));
    assert_true(guide_accept_bytes(u, SPAN("<think>\na</think>\n\nM")));
    guide_destroy(u);
    assert_int_equal(guide_create(&u, vocab.trie, g, &may, &err), KT_OK);
    assert_true(guide_accept_bytes(u, SPAN("Miete")));
    assert_true(guide_ended(u));
    guide_destroy(u);
    kt_grammar_destroy(g);
}

/* ---- bounds ---------------------------------------------------------------------------------- */

/* A text of megabytes, deeper and deeper: what is not needed is forgotten, and the masks stay right. */
static void long_answers_keep_little(void **state)
{
    (void)state;
    struct kt_grammar *g =
        parse("root ::= (\"(\" root \")\" | \"\\\"\" [a-z]{0,2000000} \"\\\"\")*");
    struct guide *u = open_guide(g, false, false);
    uint64_t mask[N_TOKENS / 64 + 1] = { 0 };
    char letters[1000];
    memset(letters, 'a', sizeof(letters));
    for (int i = 0; i < 1000; i++)
        assert_true(guide_accept_bytes(u, SPAN("(")));
    assert_true(guide_accept_bytes(u, SPAN("\"")));
    for (int i = 0; i < 700; i++)
        assert_true(guide_accept_bytes(u, (struct span){ letters, sizeof(letters) }));
    get_mask(u, mask);
    check_mask(u, mask);
    assert_true(guide_accept_bytes(u, SPAN("\"")));
    for (int i = 0; i < 1000; i++)
        assert_true(guide_accept_bytes(u, SPAN(")")));
    assert_true(guide_may_end(u));
    assert_false(guide_accept_bytes(u, SPAN(")")));
    guide_destroy(u);
    kt_grammar_destroy(g);
}

static void too_deep_is_said(void **state)
{
    (void)state;
    struct kt_grammar *g = parse("root ::= \"(\" root \")\" | \"x\"");
    struct guide *u = open_guide(g, false, false);
    size_t n = 0;
    while (n < 1000000 && guide_accept_bytes(u, SPAN("((((((((((((((((((((")))
        n += 20;
    assert_true(n > 100000 && n < 1000000);
    uint64_t mask[N_TOKENS / 64 + 1];
    bool any;
    struct kt_error err;
    assert_int_equal(guide_mask(u, mask, &any, &err), KT_E_LIMIT);
    guide_destroy(u);
    kt_grammar_destroy(g);
}

/* ---- what cannot be -------------------------------------------------------------------------- */

static void nothing_to_quote_is_said(void **state)
{
    (void)state;
    struct kt_error err;
    struct guide *u;
    struct kt_grammar *g = parse("root ::= \"\\\"\" @quote \"\\\"\"");
    struct guide_options none = { 0 };
    assert_int_equal(guide_create(&u, vocab.trie, g, &none, &err), KT_E_USAGE);
    struct guide_options empty = { .quotes = &(struct kt_quote_source){ "\"\"", 2 },
                                   .n_quotes = 1 };
    assert_int_equal(guide_create(&u, vocab.trie, g, &empty, &err), KT_E_USAGE);
    struct guide_options wrong = {
        .quotes = SOURCES, .n_quotes = 1, .quote_min = 9, .quote_max = 3
    };
    assert_int_equal(guide_create(&u, vocab.trie, g, &wrong, &err), KT_E_USAGE);
    assert_null(u);
    kt_grammar_destroy(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(masks_are_exact),
        cmocka_unit_test(slices_change_nothing),
        cmocka_unit_test(every_answer_is_one_of_the_grammars),
        cmocka_unit_test(a_thought_is_free),
        cmocka_unit_test(long_answers_keep_little),
        cmocka_unit_test(too_deep_is_said),
        cmocka_unit_test(nothing_to_quote_is_said),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
