/* Models that embed and rank (Qwen3-Embedding, Qwen3-Reranker), from text to number.
 *
 * Goal: the numbers of the transformers library, whatever the file leaves out. Method: the 'qwen3'
 * of synthetic.h with a vocabulary of bytes is written as GGUF in the ways that converters write
 * such models; vectors and scores are compared with companions.json (tools/reference/companions.py).
 * Keys and values are kept in half precision, which is what the tolerances are for: measured are a
 * cosine of 0.9999998 and differences of 0.01 in the log of the odds, whose spread is about 10. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/files.h"
#include "base/half.h"
#include "base/size.h"
#include "golden/synthetic.h"
#include "kontor/engine.h"
#include "support/model_writer.h"

#define COSINE_MIN    0.999999
#define LOG_ODDS_DIFF 0.05

enum { D = SYNTH_HIDDEN, YES = 257, NO = 258, ENDOFTEXT = 259, N_CONTROL = 5, N_CTX = 512 };

/* How a file is written. */
struct variant {
    uint32_t pooling; /* 0: the key is missing */
    bool add_eos, rows, rows_swapped, rows_wrong, no_words, no_end;
    const char *layout;
};

static json_t *golden;
static char *dir;
static struct kt_error err;

/* ---- the model ------------------------------------------------------------------------------- */

static void put_tokenizer(struct gguf_writer *w, const struct variant *v)
{
    static const char *const CONTROL[N_CONTROL] = { "<|endoftext|>", "<|im_start|>", "<|im_end|>",
                                                    "<think>", "</think>" };
    static char text[SYNTH_VOCAB][24];
    const char *tokens[SYNTH_VOCAB];
    int32_t types[SYNTH_VOCAB];
    unsigned n_moved = 0;
    for (unsigned i = 0; i < SYNTH_VOCAB; i++) {
        bool printed = (i >= 33 && i <= 126) || (i >= 161 && i <= 255 && i != 173);
        unsigned c = printed ? i : 256 + n_moved;
        n_moved += !printed && i < 256;
        types[i] = 1;
        if (i >= ENDOFTEXT + N_CONTROL || (i == ENDOFTEXT && v->no_end))
            snprintf(text[i], sizeof(text[i]), "<extra%u>", i);
        else if (i >= ENDOFTEXT)
            snprintf(text[i], sizeof(text[i]), "%s", CONTROL[i - ENDOFTEXT]);
        else if (i >= 256)
            snprintf(text[i], sizeof(text[i]), "%s", i == 256 ? "ye" : i == YES ? "yes" : "no");
        else if (c < 128)
            snprintf(text[i], sizeof(text[i]), "%c", (char)c);
        else
            snprintf(text[i], sizeof(text[i]), "%c%c", (char)(0xC0 | c >> 6),
                     (char)(0x80 | (c & 63)));
        if (i >= ENDOFTEXT && i < ENDOFTEXT + N_CONTROL)
            types[i] = i < ENDOFTEXT + 3 ? 3 : 4;
        tokens[i] = text[i];
    }
    if (v->no_words)
        strcpy(text[NO], "xx");
    const char *merges[] = { "y e", "ye s", "n o" };
    gguf_put_str(w, "tokenizer.ggml.model", "gpt2");
    gguf_put_str(w, "tokenizer.ggml.pre", "qwen2");
    gguf_put_arr_str(w, "tokenizer.ggml.tokens", tokens, SYNTH_VOCAB);
    gguf_put_arr_i32(w, "tokenizer.ggml.token_type", types, SYNTH_VOCAB);
    gguf_put_arr_str(w, "tokenizer.ggml.merges", merges, v->no_words ? 2 : 3);
    gguf_put_u32(w, "tokenizer.ggml.eos_token_id", ENDOFTEXT);
    gguf_put_bool(w, "tokenizer.ggml.add_bos_token", false);
    if (v->add_eos)
        gguf_put_bool(w, "tokenizer.ggml.add_eos_token", true);
}

/* The rows of "yes" and "no" of the tied head, as converters cut them out. */
static void put_rows(struct gguf_writer *w, const struct variant *v)
{
    static float embd[SYNTH_VOCAB * D], rows[3 * D];
    random_weights(embd, "model.embed_tokens.weight", SYNTH_VOCAB * D, 1.0f);
    for (size_t r = 0; r < 2; r++) {
        size_t id = (r == 0) == !v->rows_swapped ? YES : NO;
        for (size_t c = 0; c < D; c++)
            rows[r * D + c] = bf16_to_f32(f32_to_bf16(embd[id * D + c]));
    }
    const char *labels[] = { v->rows_swapped ? "no" : "yes", v->rows_swapped ? "yes" : "no" };
    gguf_put_tensor(w, "cls.output.weight", QT_F32, 2, (uint64_t[]){ D, v->rows_wrong ? 3 : 2 },
                    rows);
    gguf_put_arr_str(w, "qwen3.classifier.output_labels", labels, 2);
}

/* The models of synthetic.h read 4096 tokens; fewer are enough to reach the end. */
static void set_context(struct gguf_writer *w)
{
    static const char KEY[] = "qwen3.context_length";
    size_t at = span_find(buf_span(&w->metas), SPAN(KEY), 0);
    assert_true(at != SIZE_MAX);
    const uint32_t n = N_CTX; /* after the key and the four bytes of its type */
    memcpy(w->metas.ptr + at + strlen(KEY) + 4, &n, sizeof(n));
}

static struct kt_engine *engine_of(struct variant v)
{
    char path[512];
    snprintf(path, sizeof(path), "%s/model.gguf", dir);
    struct synth m = *synth_named("qwen3");
    m.tied = true;
    struct gguf_writer w = { 0 };
    synth_put_gguf(&w, &m, QT_BF16);
    set_context(&w);
    if (v.pooling)
        gguf_put_u32(&w, "qwen3.pooling_type", v.pooling);
    put_tokenizer(&w, &v);
    if (v.rows)
        put_rows(&w, &v);
    if (v.layout)
        gguf_put_str(&w, "tokenizer.chat_template.rerank", v.layout);
    gguf_writer_save(&w, path);
    gguf_writer_deinit(&w);
    struct kt_engine *e;
    if (kt_engine_open(&e, path, NULL, &err))
        fail_msg("%s", err.text);
    return e;
}

/* ---- vectors --------------------------------------------------------------------------------- */

static double cosine(const float *a, const float *b)
{
    double dot = 0, aa = 0, bb = 0;
    for (size_t i = 0; i < D; i++) {
        dot += (double)a[i] * (double)b[i];
        aa += (double)a[i] * (double)a[i];
        bb += (double)b[i] * (double)b[i];
    }
    return dot / sqrt(aa * bb);
}

static void check_vectors(struct kt_engine *e, const char *list, bool query)
{
    size_t i;
    json_t *c;
    double worst = 1;
    json_array_foreach(json_object_get(golden, list), i, c)
    {
        const char *text = json_string_value(json_object_get(c, "text"));
        float got[D], want[D];
        if (query ? kt_embed_queries(e, NULL, &text, 1, got, &err)
                  : kt_embed(e, &text, 1, got, &err))
            fail_msg("%s %zu: %s", list, i, err.text);
        for (size_t k = 0; k < D; k++)
            want[k] = (float)json_number_value(json_array_get(json_object_get(c, "vector"), k));
        double cos = cosine(got, want);
        if (!(cos >= COSINE_MIN))
            fail_msg("%s, text \"%s\": cosine %.9f, expected at least %.6f", list, text, cos,
                     COSINE_MIN);
        worst = fmin(worst, cos);
    }
    assert_true(i > 1);
    print_message("%s: %zu texts, worst cosine %.9f\n", list, i, worst);
}

static void vectors_are_those_of_the_reference(void **state)
{
    (void)state;
    for (int add_eos = 0; add_eos < 2; add_eos++) {
        struct kt_engine *e = engine_of((struct variant){ .pooling = 3, .add_eos = add_eos });
        check_vectors(e, "documents", false);
        check_vectors(e, "queries", true);
        kt_engine_close(e);
    }
}

/* A task of one's own is what stands before the question. */
static void tasks_are_read(void **state)
{
    (void)state;
    struct kt_engine *e = engine_of((struct variant){ .pooling = 3 });
    const char *query = "rent", *whole = "Instruct: Find leases\nQuery:rent";
    float a[D], b[D];
    assert_int_equal(kt_embed_queries(e, "Find leases", &query, 1, a, &err), KT_OK);
    assert_int_equal(kt_embed(e, &whole, 1, b, &err), KT_OK);
    assert_memory_equal(a, b, sizeof(a));
    kt_engine_close(e);
}

/* The end token is where the vector is taken: without one there is none. */
static void a_missing_end_token_is_named(void **state)
{
    (void)state;
    struct kt_engine *e = engine_of((struct variant){ .pooling = 3, .no_end = true });
    float v[D];
    assert_int_equal(kt_embed(e, (const char *const[]){ "x" }, 1, v, &err), KT_E_FORMAT);
    assert_non_null(strstr(err.text, "<|endoftext|>"));
    kt_engine_close(e);
}

/* ---- scores ---------------------------------------------------------------------------------- */

static void rerank(struct kt_engine *e, const char *query, const char *const *docs, size_t n,
                   float *scores)
{
    if (kt_rerank(e, query, docs, n, scores, &err))
        fail_msg("%s", err.text);
}

static void check_scores(struct kt_engine *e, const char *what, bool other)
{
    enum { N_MAX = 32 };
    double worst = 0;
    size_t i, k, n_seen = 0;
    json_t *c, *d;
    json_array_foreach(json_object_get(golden, "ranked"), i, c)
    {
        const char *docs[N_MAX];
        float scores[N_MAX];
        size_t n = json_array_size(json_object_get(c, "documents"));
        if (json_is_true(json_object_get(c, "other")) != other)
            continue;
        assert_true(n <= N_MAX);
        json_array_foreach(json_object_get(c, "documents"), k, d) docs[k] = json_string_value(d);
        rerank(e, json_string_value(json_object_get(c, "query")), docs, n, scores);
        for (k = 0; k < n; k++, n_seen++) {
            double want = json_number_value(json_array_get(json_object_get(c, "log_odds"), k));
            double p = (double)scores[k], got = log(p / (1 - p));
            /* 1 - p has 24 bits less than it needs where p is almost 1 */
            double allowed = LOG_ODDS_DIFF + exp(want) * 1e-7;
            if (!(fabs(got - want) <= allowed) && !(want > 15 && p > 0.99999))
                fail_msg("%s: \"%s\": score %g, log odds %g, expected %g", what, docs[k], p, got,
                         want);
            worst = want > 12 ? worst : fmax(worst, fabs(got - want));
        }
    }
    assert_true(n_seen > 20);
    print_message("%s: %zu documents, log odds differ by %.4f at most\n", what, n_seen, worst);
}

static void scores_are_those_of_the_reference(void **state)
{
    (void)state;
    const char *layout = json_string_value(json_object_get(golden, "other_layout"));
    const struct {
        const char *what;
        struct variant v;
        bool other;
    } CASES[] = {
        { "two rows", { .pooling = 4, .rows = true }, false },
        { "rows the other way round", { .pooling = 4, .rows = true, .rows_swapped = true }, false },
        { "the tied head", { .pooling = 4 }, false },
        { "an old file", { .pooling = 0 }, false },
        { "a layout without places",
          { .pooling = 4, .rows = true, .layout = "<|im_start|>" },
          false },
        { "the file's layout", { .pooling = 4, .rows = true, .layout = layout }, true },
    };
    for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
        struct kt_engine *e = engine_of(CASES[i].v);
        check_scores(e, CASES[i].what, CASES[i].other);
        kt_engine_close(e);
    }
}

/* The tokens that all documents share are computed once; that must not show. */
static void together_is_the_same_as_one_by_one(void **state)
{
    (void)state;
    struct kt_engine *e = engine_of((struct variant){ .pooling = 4, .rows = true });
    static const char *const docs[] = { "The rent is due.", "The rent was paid.", "", "The",
                                        "yes" };
    float together[ARRAY_LEN(docs)], alone;
    rerank(e, "rent?", docs, ARRAY_LEN(docs), together);
    for (size_t i = ARRAY_LEN(docs); i-- > 0;) {
        rerank(e, "rent?", &docs[i], 1, &alone);
        if (alone != together[i])
            fail_msg("document %zu: %.9g alone, %.9g in company", i, (double)alone,
                     (double)together[i]);
    }
    assert_int_equal(kt_rerank(e, "rent?", NULL, 0, NULL, &err), KT_OK);
    kt_engine_close(e);
}

static char *repeated(char c, size_t n)
{
    char *s = malloc(n + 1);
    assert_non_null(s);
    memset(s, c, n);
    s[n] = 0;
    return s;
}

/* This layout takes as many tokens as bytes but for two control tokens, and the model reads 512:
 * what is cut is the document's end, and what follows it stays. */
static void long_documents_are_cut(void **state)
{
    (void)state;
    static const char LAYOUT[] = "Q {query} D {document}<|im_end|><think>";
    const size_t n_fit = N_CTX - strlen("Q q D ") - 2;
    struct kt_engine *e =
        engine_of((struct variant){ .pooling = 4, .rows = true, .layout = LAYOUT });
    char *fits = repeated('h', n_fit), *longer = repeated('h', n_fit + 700),
         *less = repeated('h', n_fit - 1), *query = repeated('q', N_CTX);
    float a, b, c;
    rerank(e, "q", (const char *const[]){ fits }, 1, &a);
    rerank(e, "q", (const char *const[]){ longer }, 1, &b);
    rerank(e, "q", (const char *const[]){ less }, 1, &c);
    assert_true(a == b);
    assert_true(a != c);
    assert_int_equal(kt_rerank(e, query, (const char *const[]){ fits }, 1, &a, &err), KT_E_LIMIT);
    assert_non_null(strstr(err.text, "the query takes 519 tokens of 512"));
    free(fits);
    free(longer);
    free(less);
    free(query);
    kt_engine_close(e);
}

static void embedding_models_rank_by_cosine(void **state)
{
    (void)state;
    struct kt_engine *e = engine_of((struct variant){ .pooling = 3 });
    const char *query = "rent?", *docs[] = { "The rent is due.", "rent?" };
    float q[D], v[2 * D], scores[2];
    assert_int_equal(kt_embed_queries(e, NULL, &query, 1, q, &err), KT_OK);
    assert_int_equal(kt_embed(e, docs, 2, v, &err), KT_OK);
    rerank(e, query, docs, 2, scores);
    for (size_t i = 0; i < 2; i++)
        assert_float_equal(scores[i], cosine(q, v + i * D), 1e-6);
    kt_engine_close(e);
}

static void what_cannot_rank_says_why(void **state)
{
    (void)state;
    static const struct {
        const char *what, *part;
        struct variant v;
        enum kt_status st;
    } CASES[] = {
        { "three rows",
          "cls.output.weight is [256, 3], expected [256, 2]",
          { .pooling = 4, .rows = true, .rows_wrong = true },
          KT_E_FORMAT },
        { "no word for no",
          "no tokens \"yes\" and \"no\"",
          { .pooling = 4, .no_words = true },
          KT_E_FORMAT },
    };
    float score, v[D];
    const char *doc = "x";
    for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
        struct kt_engine *e = engine_of(CASES[i].v);
        enum kt_status st = kt_rerank(e, "q", &doc, 1, &score, &err);
        if (st != CASES[i].st || !strstr(err.text, CASES[i].part))
            fail_msg("%s: expected %s \"%s\", found %s \"%s\"", CASES[i].what,
                     kt_status_name(CASES[i].st), CASES[i].part, kt_status_name(st), err.text);
        assert_int_equal(kt_embed(e, &doc, 1, v, &err), KT_E_UNSUPPORTED);
        assert_non_null(strstr(err.text, "kontor rerank"));
        kt_engine_close(e);
    }
    char path[512];
    snprintf(path, sizeof(path), "%s/llama.gguf", dir);
    synth_write_gguf(synth_named("llama-tied"), path, QT_BF16);
    struct kt_engine *e;
    assert_int_equal(kt_engine_open(&e, path, NULL, &err), KT_OK);
    assert_int_equal(kt_rerank(e, "q", &doc, 1, &score, &err), KT_E_UNSUPPORTED);
    assert_non_null(strstr(err.text, "neither a reranker nor an embedding model"));
    kt_engine_close(e);
}

static int setup(void **state)
{
    (void)state;
    const char *source = getenv("KONTOR_SOURCE");
    if (!source)
        fail_msg("KONTOR_SOURCE is not set; run through ctest");
    char *path = path_join(source, "tests/golden/companions.json");
    golden = path ? json_load_file(path, 0, NULL) : NULL;
    if (!golden)
        fail_msg("%s: missing or not JSON", path);
    free(path);
    dir = temp_dir_make();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    json_decref(golden);
    temp_dir_remove(dir);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vectors_are_those_of_the_reference),
        cmocka_unit_test(tasks_are_read),
        cmocka_unit_test(a_missing_end_token_is_named),
        cmocka_unit_test(scores_are_those_of_the_reference),
        cmocka_unit_test(together_is_the_same_as_one_by_one),
        cmocka_unit_test(long_documents_are_cut),
        cmocka_unit_test(embedding_models_rank_by_cosine),
        cmocka_unit_test(what_cannot_rank_says_why),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
