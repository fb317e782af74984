/* Tokenizers against the reference (tests/golden/tokenizer, made by tools/reference/tokenizer.py
 * with another implementation).
 *
 * Every splitting rule on a small vocabulary of our own, and three published tokenizers from their
 * own files: Qwen3.5 (tokenizer.json), SmolLM2 (GGUF), MiniLM (WordPiece). Each on the same 1,100
 * random texts from all of Unicode, in plain and in special mode; of these only hashes are kept. A
 * list of awkward texts is kept in full, so that a difference can be read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tokenizer_fixture.h"

static json_t *golden, *atoms;

static void check_ids(const char *kind, const struct tokenizer *t, struct span text, unsigned mode,
                      const json_t *expected)
{
    struct token_vec ids = encoded(t, text, mode);
    struct token_vec want = { 0 };
    size_t i;
    json_t *v;
    json_array_foreach(expected, i, v)
    {
        assert_true(token_vec_push(&want, (int32_t)json_integer_value(v)));
    }
    if (ids.n != want.n || (ids.n && memcmp(ids.ids, want.ids, ids.n * sizeof(*ids.ids)) != 0))
        fail_msg("%s, %s mode, %s:\n  expected %s\n  found    %s", kind,
                 mode & TOK_SPECIAL ? "special" : "plain", shown(text), shown_ids(want.ids, want.n),
                 shown_ids(ids.ids, ids.n));
    token_vec_deinit(&want);
    token_vec_deinit(&ids);
}

static void check_full(const char *kind, const struct tokenizer *t, const json_t *list)
{
    size_t i;
    json_t *row;
    json_array_foreach(list, i, row)
    {
        const json_t *s = json_array_get(row, 0);
        struct span text = { json_string_value(s), json_string_length(s) };
        check_ids(kind, t, text, TOK_PLAIN, json_array_get(row, 1));
        check_ids(kind, t, text, TOK_SPECIAL, json_array_get(row, json_array_size(row) - 1));
    }
}

static uint32_t hash_at(const json_t *hashes, size_t i)
{
    char hex[9] = { 0 };
    assert_true(json_string_length(hashes) >= 8 * (i + 1));
    memcpy(hex, json_string_value(hashes) + 8 * i, 8);
    return (uint32_t)strtoul(hex, NULL, 16);
}

/* How many of the random texts differ; the first few are printed. */
static size_t count_wrong(const char *kind, const struct tokenizer *t, const json_t *g,
                          unsigned mode, size_t *n_ids)
{
    const json_t *hashes = json_object_get(g, mode & TOK_SPECIAL ? "special" : "plain");
    const char *ranges = json_string_value(json_object_get(g, "ranges"));
    size_t n_texts = (size_t)json_integer_value(json_object_get(golden, "n_texts")), n_wrong = 0;
    uint64_t seed = (uint64_t)json_integer_value(json_object_get(golden, "seed"));
    for (size_t i = 0; i < n_texts; i++) {
        struct buf text = { 0 };
        random_text(&text, atoms, ranges, seed + i);
        struct token_vec ids = encoded(t, buf_span(&text), mode);
        *n_ids += ids.n;
        if (hash_ids(&ids) != hash_at(hashes, i) && n_wrong++ < 5)
            print_message("%s, %s mode, seed %zu: %s\n  gives %s, which the reference does not\n",
                          kind, mode & TOK_SPECIAL ? "special" : "plain", (size_t)seed + i,
                          shown(buf_span(&text)), shown_ids(ids.ids, ids.n));
        token_vec_deinit(&ids);
        buf_deinit(&text);
    }
    return n_wrong;
}

static void check_kind(const char *kind, struct tokenizer *t)
{
    const json_t *g = json_object_get(json_object_get(golden, "kinds"), kind);
    assert_non_null(g);
    check_full(kind, t, json_object_get(g, "full"));
    size_t n_ids = 0, n_special = 0;
    size_t n_wrong = count_wrong(kind, t, g, TOK_PLAIN, &n_ids);
    n_wrong += count_wrong(kind, t, g, TOK_SPECIAL, &n_special);
    tokenizer_close(t);
    if (n_wrong)
        fail_msg("%s: %zu random texts differ from the reference", kind, n_wrong);
    assert_int_equal(n_ids, json_integer_value(json_object_get(g, "n_ids")));
}

static void check_tiny(const char *kind, const char *name)
{
    const json_t *g = json_object_get(json_object_get(golden, "kinds"), kind);
    struct tokenizer *t = open_tiny(json_object_get(g, "parts"));
    assert_string_equal(tokenizer_kind(t), name);
    check_kind(kind, t);
}

static void gpt2(void **state)
{
    (void)state;
    check_tiny("tiny/gpt2", "bpe/gpt2");
}

static void smollm(void **state)
{
    (void)state;
    check_tiny("tiny/smollm", "bpe/smollm");
}

static void qwen2(void **state)
{
    (void)state;
    check_tiny("tiny/qwen2", "bpe/qwen2");
}

static void qwen35(void **state)
{
    (void)state;
    check_tiny("tiny/qwen35", "bpe/qwen35");
}

static void llama_bpe(void **state)
{
    (void)state;
    check_tiny("tiny/llama-bpe", "bpe/llama-bpe");
}

static void published_qwen35(void **state)
{
    (void)state;
    check_kind("qwen35", open_testdata("qwen35"));
}

static void published_smollm2(void **state)
{
    (void)state;
    check_kind("smollm2", open_testdata("SmolLM2-135M-Instruct.Q4_1.gguf"));
}

static void published_minilm(void **state)
{
    (void)state;
    check_kind("minilm", open_testdata("minilm"));
}

int main(void)
{
    golden = golden_json("golden.json");
    atoms = golden_json("atoms.json");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gpt2),
        cmocka_unit_test(smollm),
        cmocka_unit_test(qwen2),
        cmocka_unit_test(qwen35),
        cmocka_unit_test(llama_bpe),
        cmocka_unit_test(published_qwen35),
        cmocka_unit_test(published_smollm2),
        cmocka_unit_test(published_minilm),
    };
    int n_failed = cmocka_run_group_tests(tests, NULL, NULL);
    json_decref(golden);
    json_decref(atoms);
    return n_failed;
}
