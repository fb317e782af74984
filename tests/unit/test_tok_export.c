/* A tokenizer written as GGUF metadata and read back (text/tok_export.h).
 *
 * Method: the real tokenizer.json of the Qwen3.5 family (byte-level) and of MiniLM (WordPiece), and
 * the one that SmolLM2's own GGUF file has, each exported and opened again. Every id must stand for
 * the same bytes with the same flags, and some thousand random texts must be cut into the same
 * tokens in every mode. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "support/model_writer.h"
#include "text/tok_export.h"
#include "text/tok_priv.h"
#include "tokenizer_fixture.h"

enum { N_TEXTS = 1000 };

static void must(enum kt_status st, const struct kt_error *err)
{
    if (st)
        fail_msg("%s: %s", kt_status_name(st), err->text);
}

static struct tokenizer *export_and_open(const struct tokenizer *t, size_t n_vocab,
                                         const char *path)
{
    struct kt_error err = { 0 };
    struct gguf_write *w;
    must(gguf_write_open(&w, path, &err), &err);
    gguf_write_str(w, "general.architecture", SPAN("llama"));
    must(tokenizer_export(t, w, n_vocab, &err), &err);
    must(gguf_write_finish(w, &err), &err);
    gguf_write_close(w);
    struct model_file *f;
    struct tokenizer *back;
    must(model_file_open(&f, path, &err), &err);
    must(tokenizer_open(&back, f, &err), &err);
    model_file_close(f);
    return back;
}

/* White space that a token takes along is not in the metadata: [MASK], which nobody writes. */
enum { NOT_KEPT = TOKEN_LSTRIP | TOKEN_RSTRIP };

static void same_ids(const char *name, const struct tokenizer *a, const struct tokenizer *b)
{
    for (size_t id = 0; id < a->vocab.n; id++) {
        struct span x = vocab_bytes(&a->vocab, id), y = vocab_bytes(&b->vocab, id);
        unsigned f = a->vocab.flags[id] & ~(unsigned)NOT_KEPT, g = b->vocab.flags[id];
        if (f && (!span_eq(x, y) || f != g))
            fail_msg("%s: id %zu is %s with flags %u, expected %s with %u", name, id, shown(y), g,
                     shown(x), f);
        assert_int_equal(tokenizer_is_samplable(a, (int32_t)id),
                         tokenizer_is_samplable(b, (int32_t)id));
    }
    for (size_t id = a->vocab.n; id < b->vocab.n; id++)
        assert_false(tokenizer_is_samplable(b, (int32_t)id));
    assert_int_equal(a->bpe.n_merges, b->bpe.n_merges);
    size_t n, m;
    const int32_t *stops = tokenizer_stops(a, &n), *read = tokenizer_stops(b, &m);
    for (size_t i = 0; i < n; i++) {
        bool found = false;
        for (size_t k = 0; k < m; k++)
            found = found || read[k] == stops[i];
        if (!found)
            fail_msg("%s: stop token %d is lost", name, stops[i]);
    }
    assert_string_equal(tokenizer_kind(a), tokenizer_kind(b));
}

static void same_texts(const char *name, const struct tokenizer *a, const struct tokenizer *b,
                       const json_t *atoms, const char *ranges)
{
    static const unsigned MODES[] = { TOK_PLAIN, TOK_SPECIAL | TOK_FRAME };
    size_t n_ids = 0;
    for (size_t i = 0; i < N_TEXTS; i++) {
        struct buf text = { 0 };
        random_text(&text, atoms, ranges, 77000 + i);
        for (size_t k = 0; k < ARRAY_LEN(MODES); k++) {
            struct token_vec x = encoded(a, buf_span(&text), MODES[k]),
                             y = encoded(b, buf_span(&text), MODES[k]);
            if (x.n != y.n || (x.n && memcmp(x.ids, y.ids, x.n * sizeof(*x.ids)) != 0))
                fail_msg("%s: text %s is cut into other tokens after export", name,
                         shown(buf_span(&text)));
            n_ids += x.n;
            token_vec_deinit(&x);
            token_vec_deinit(&y);
        }
        buf_deinit(&text);
    }
    assert_true(n_ids > 4 * (size_t)N_TEXTS);
    print_message("%s: %zu ids of %d texts agree\n", name, n_ids, N_TEXTS);
}

static void comes_back_the_same(void **state)
{
    const char *name = *state;
    char *dir = temp_dir_make(), path[512];
    snprintf(path, sizeof(path), "%s/t.gguf", dir);
    json_t *atoms = golden_json("atoms.json");
    struct tokenizer *t = open_testdata(name);
    size_t n_vocab = t->vocab.n + 3;
    struct tokenizer *back = export_and_open(t, n_vocab, path);
    assert_int_equal(back->vocab.n, n_vocab);
    same_ids(name, t, back);
    const char *ranges = NULL;
    json_t *v;
    const char *key;
    json_object_foreach(atoms, key, v)
    {
        if (strcmp(key, "words") != 0)
            ranges = key;
    }
    assert_non_null(ranges);
    same_texts(name, t, back, atoms, ranges);
    tokenizer_close(back);
    tokenizer_close(t);
    json_decref(atoms);
    temp_dir_remove(dir);
}

static void a_smaller_embedding_is_refused(void **state)
{
    (void)state;
    char *dir = temp_dir_make(), path[512];
    snprintf(path, sizeof(path), "%s/t.gguf", dir);
    struct tokenizer *t = open_testdata("minilm");
    struct kt_error err = { 0 };
    struct gguf_write *w;
    must(gguf_write_open(&w, path, &err), &err);
    assert_int_equal(tokenizer_export(t, w, t->vocab.n - 1, &err), KT_E_FORMAT);
    assert_non_null(strstr(err.text, "do not belong together"));
    t->lowercase = false;
    assert_int_equal(tokenizer_export(t, w, t->vocab.n, &err), KT_E_UNSUPPORTED);
    gguf_write_close(w);
    tokenizer_close(t);
    temp_dir_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(comes_back_the_same, (char[]){ "qwen35" }),
        cmocka_unit_test_prestate(comes_back_the_same, (char[]){ "minilm" }),
        cmocka_unit_test_prestate(comes_back_the_same,
                                  (char[]){ "SmolLM2-135M-Instruct.Q4_1.gguf" }),
        cmocka_unit_test(a_smaller_embedding_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
