/* Importance data (model/importance.h): collected, written, read, used.
 *
 * Method: sums of the first layer against the definition, worked out here from the tensors; those of
 * experts counted; a folder and its GGUF file must lead to the same quantised model, each with data
 * measured on itself, which shows that names and the order of columns are followed. Data of another
 * model, and damaged files, are refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/files.h"
#include "base/size.h"
#include "golden/synthetic.h"
#include "model/convert.h"
#include "model/importance.h"
#include "model/model.h"
#include "support/model_writer.h"

enum { N_TOKENS = 24, PATH_LEN = 600 };

static char dir[64];

static void must(enum kt_status st, const struct kt_error *err)
{
    if (st)
        fail_msg("%s: %s", kt_status_name(st), err->text);
}

static void path_of(char out[static PATH_LEN], const char *name)
{
    snprintf(out, PATH_LEN, "%s/%s", dir, name);
}

static int32_t token(size_t i)
{
    return (int32_t)(i * 37 % SYNTH_VOCAB);
}

/* Logits of the last token; with 'out', importance data on the way. */
static void read_text(const char *model, const char *out, float *logits)
{
    struct kt_error err = { 0 };
    struct model_file *f;
    struct kernels k;
    struct model *m;
    struct model_state *s;
    struct model_run *r;
    struct importance_sums *sums;
    int32_t ids[N_TOKENS];
    for (size_t i = 0; i < N_TOKENS; i++)
        ids[i] = token(i);
    kernels_init(&k, cpu_detect());
    must(model_file_open(&f, model, &err), &err);
    must(model_create(&m, f, &k, NULL, &err), &err);
    must(model_state_create(&s, m, N_TOKENS, (struct state_types){ 0 }, &err), &err);
    must(model_run_create(&r, m, N_TOKENS, &err), &err);
    must(importance_sums_create(&sums, f, &err), &err);
    if (out)
        model_run_observe(r, sums);
    for (size_t at = 0; at < N_TOKENS; at += 12) { /* in two steps */
        struct model_span span = {
            .state = s, .tokens = ids + at, .n_tokens = 12, .logits_of = OUT_LAST, .logits = logits
        };
        must(model_step(r, &span, 1, &err), &err);
    }
    if (out)
        must(importance_sums_write(sums, out, "a text", 1, N_TOKENS, &err), &err);
    importance_sums_destroy(sums);
    model_run_destroy(r);
    model_state_destroy(s);
    model_destroy(m);
    model_file_close(f);
}

static float *floats_of(const struct model_file *f, const char *name, size_t *n)
{
    const struct tensor *t = model_file_tensor(f, name);
    assert_non_null(t);
    *n = t->dims[0] * t->dims[1];
    float *v = malloc(*n * sizeof(*v));
    assert_non_null(v);
    qtype_traits(t->type)->dequant(v, t->data, *n);
    return v;
}

/* Kept once for q, k and v, found under each name. */
static void check_products(const struct importance *p, struct span name,
                           const double want[static SYNTH_HIDDEN], double pair)
{
    float *products = calloc(SYNTH_HIDDEN, IMPORTANCE_BLOCK * sizeof(*products));
    assert_non_null(products);
    assert_true(importance_has_products(p, name, SYNTH_HIDDEN));
    assert_false(importance_has_products(p, name, SYNTH_HIDDEN + 1));
    assert_true(importance_products(p, name, products));
    for (size_t c = 0; c < SYNTH_HIDDEN; c++) {
        double got = (double)products[c * IMPORTANCE_BLOCK + c % IMPORTANCE_BLOCK];
        if (fabs(got - want[c]) > 1e-4 * want[c])
            fail_msg("square of column %zu: %g, expected %g", c, got, want[c]);
    }
    double got = (double)products[3 * IMPORTANCE_BLOCK + 10];
    if (fabs(got - pair) > 1e-4 * sqrt(want[3] * want[10]))
        fail_msg("columns 3 and 10: %g, expected %g", got, pair);
    free(products);
}

/* What the first attention layer reads: the norm of the tokens' embeddings. */
static void first_layer_by_the_definition(void **state)
{
    (void)state;
    char model[PATH_LEN], data[PATH_LEN];
    path_of(model, "llama.gguf");
    path_of(data, "llama.imp");
    float *logits = malloc(2 * SYNTH_VOCAB * sizeof(*logits)), *plain = logits + SYNTH_VOCAB;
    assert_non_null(logits);
    synth_write_gguf(synth_named("llama-tied"), model, QT_BF16);
    read_text(model, NULL, plain);
    read_text(model, data, logits);
    assert_memory_equal(plain, logits, SYNTH_VOCAB * sizeof(*plain)); /* watching changes nothing */

    struct kt_error err = { 0 };
    struct model_file *f;
    size_t n_embd, n_norm;
    must(model_file_open(&f, model, &err), &err);
    float *embd = floats_of(f, "token_embd.weight", &n_embd);
    float *norm = floats_of(f, "blk.0.attn_norm.weight", &n_norm);
    double eps = model_file_float(f, "llama.attention.layer_norm_rms_epsilon", 0), sum = 0;
    double want[SYNTH_HIDDEN] = { 0 }, pair = 0; /* pair: columns 3 and 10 */
    for (size_t t = 0; t < N_TOKENS; t++) {
        const float *x = embd + (size_t)token(t) * SYNTH_HIDDEN;
        double sq = 0;
        for (size_t c = 0; c < SYNTH_HIDDEN; c++)
            sq += (double)x[c] * (double)x[c];
        for (size_t c = 0; c < SYNTH_HIDDEN; c++) {
            double v = (double)x[c] * (double)norm[c] / sqrt(sq / SYNTH_HIDDEN + eps);
            want[c] += v * v;
            sum += v * v;
        }
        pair += (double)x[3] * (double)norm[3] * (double)x[10] * (double)norm[10] /
                (sq / SYNTH_HIDDEN + eps);
    }
    struct importance *p;
    float got[SYNTH_HIDDEN];
    size_t n_cols, n_mats;
    must(importance_open(&p, data, &err), &err);
    static const char *const READERS[] = { "attn_q", "attn_k", "attn_v" };
    for (size_t i = 0; i < ARRAY_LEN(READERS); i++) {
        char name[40];
        snprintf(name, sizeof(name), "blk.0.%s.weight", READERS[i]);
        assert_true(importance_find(p, span_of(name), &n_cols, &n_mats));
        assert_int_equal(n_cols, SYNTH_HIDDEN);
        assert_int_equal(n_mats, 1);
        assert_true(importance_get(p, span_of(name), 0, got));
        check_products(p, span_of(name), want, pair);
        for (size_t c = 0; c < SYNTH_HIDDEN; c++) {
            double w = want[c] * SYNTH_HIDDEN / sum;
            if (fabs((double)got[c] - w) > 1e-4 * w)
                fail_msg("%s column %zu: %g, expected %g", name, c, (double)got[c], w);
        }
    }
    assert_false(importance_find(p, SPAN("blk.0.attn_norm.weight"), &n_cols, &n_mats));
    assert_true(importance_find(p, SPAN("token_embd.weight"), &n_cols, &n_mats)); /* as the head */
    importance_close(p);
    model_file_close(f);
    free(embd);
    free(norm);
    free(logits);
}

static void experts_are_counted_apart(void **state)
{
    (void)state;
    const struct synth *m = synth_named("moe-r2");
    char model[PATH_LEN], data[PATH_LEN];
    path_of(model, "moe.gguf");
    path_of(data, "moe.imp");
    float logits[SYNTH_VOCAB];
    synth_write_gguf(m, model, QT_BF16);
    read_text(model, data, logits);

    struct kt_error err = { 0 };
    struct model_file *f;
    must(model_file_open(&f, data, &err), &err);
    size_t n_found = 0;
    for (size_t i = 0; i < model_file_n_tensors(f); i++) {
        const struct tensor *t = model_file_tensor_at(f, i);
        if (!span_ends(t->name, SPAN("_exps.weight.counts")))
            continue;
        float sum = 0, v;
        for (size_t e = 0; e < t->dims[1]; e++) {
            memcpy(&v, (const char *)t->data + e * sizeof(v), sizeof(v));
            sum += v;
        }
        bool both = span_find(t->name, SPAN("gate_up"), 0) != SIZE_MAX; /* read twice */
        assert_int_equal(t->dims[1], m->n_experts);
        assert_int_equal((int)sum, N_TOKENS * (int)m->n_used * (both ? 2 : 1));
        n_found++;
    }
    assert_true(n_found >= m->n_layers * 2);
    model_file_close(f);
}

/* ---- used ------------------------------------------------------------------------------------ */

static void quantize(const char *in, const char *out, const char *data)
{
    struct kt_error err = { 0 };
    struct importance *p = NULL;
    struct convert_result result;
    struct convert_options opts = { .type = "Q4_0", .replace = true };
    if (data)
        must(importance_open(&p, data, &err), &err);
    opts.importance = p;
    must(model_convert(in, out, &opts, &result, &err), &err);
    importance_close(p);
}

static double part_that_differs(const char *a, const char *b)
{
    struct kt_error err = { 0 };
    struct model_file *x, *y;
    size_t n = 0, n_differ = 0;
    must(model_file_open(&x, a, &err), &err);
    must(model_file_open(&y, b, &err), &err);
    assert_int_equal(model_file_n_tensors(x), model_file_n_tensors(y));
    for (size_t i = 0; i < model_file_n_tensors(x); i++) {
        const struct tensor *t = model_file_tensor_at(x, i);
        char name[80];
        snprintf(name, sizeof(name), "%.*s", (int)t->name.len, t->name.ptr);
        const struct tensor *u = model_file_tensor(y, name);
        assert_non_null(u);
        assert_int_equal(t->bytes, u->bytes);
        for (size_t k = 0; k < t->bytes && !qtype_traits(t->type)->is_float; k++, n++)
            n_differ += ((const char *)t->data)[k] != ((const char *)u->data)[k];
    }
    model_file_close(x);
    model_file_close(y);
    return (double)n_differ / (double)n;
}

/* The two engines' sums differ in the last bits where heads stand in another order, so a few levels
 * may; columns in a wrong order would change a tenth of all. */
static void folder_and_file_lead_to_the_same(const char *name)
{
    char folder[PATH_LEN], file[PATH_LEN], folder_imp[PATH_LEN], file_imp[PATH_LEN], a[PATH_LEN],
        b[PATH_LEN], c[PATH_LEN];
    float logits[SYNTH_VOCAB];
    struct kt_error err = { 0 };
    path_of(folder, name);
    path_of(file, "f.gguf");
    path_of(folder_imp, "folder.imp");
    path_of(file_imp, "file.imp");
    path_of(a, "a.gguf");
    path_of(b, "b.gguf");
    path_of(c, "c.gguf");
    must(dir_make(folder, 0700, &err), &err);
    synth_write_folder(synth_named(name), folder);
    struct convert_result result;
    struct convert_options opts = { .type = "F32", .replace = true };
    must(model_convert(folder, file, &opts, &result, &err), &err);
    read_text(folder, folder_imp, logits);
    read_text(file, file_imp, logits);
    quantize(folder, a, folder_imp);
    quantize(file, b, file_imp);
    quantize(folder, c, file_imp);
    double ab = part_that_differs(a, b), ac = part_that_differs(a, c);
    print_message("%s: %.4f %% of the bytes differ, %.4f %%\n", name, 100 * ab, 100 * ac);
    assert_true(ab < 2e-3 && ac < 2e-3);
    quantize(folder, c, NULL);
    assert_true(part_that_differs(a, c) > 0.02); /* it was used */
}

static void dense_models_either_way(void **state)
{
    (void)state;
    folder_and_file_lead_to_the_same("qwen35-r3");
}

static void mixtures_either_way(void **state)
{
    (void)state;
    folder_and_file_lead_to_the_same("moe-r2");
}

/* ---- refused --------------------------------------------------------------------------------- */

static void data_of_another_model_is_refused(void **state)
{
    (void)state;
    char model[PATH_LEN], data[PATH_LEN], out[PATH_LEN];
    struct gguf_writer w = { 0 };
    path_of(model, "moe.gguf");
    path_of(data, "other.imp");
    gguf_put_tensor(&w, "blk.0.attn_q.weight.in_sum2", QT_F32, 2, (uint64_t[]){ 8, 1 }, NULL);
    gguf_put_tensor(&w, "blk.0.attn_q.weight.counts", QT_F32, 2, (uint64_t[]){ 1, 1 }, NULL);
    gguf_put_tensor(&w, "blk.3.attn_q.weight.in_sum2", QT_F32, 2, (uint64_t[]){ 8, 1 }, NULL);
    gguf_put_tensor(&w, "blk.3.attn_q.weight.counts", QT_F32, 2, (uint64_t[]){ 1, 1 }, NULL);
    gguf_writer_save(&w, data);
    gguf_writer_deinit(&w);
    path_of(out, "none.gguf");
    struct kt_error err = { 0 };
    struct importance *p;
    struct convert_result result;
    must(importance_open(&p, data, &err), &err);
    struct convert_options opts = { .type = "Q4_0", .importance = p };
    assert_int_equal(model_convert(model, out, &opts, &result, &err), KT_E_USAGE);
    assert_non_null(strstr(err.text, "another model"));
    assert_int_not_equal(access(out, F_OK), 0);
    importance_close(p);
    assert_int_equal(importance_open(&p, model, &err), KT_E_FORMAT); /* a model is no such data */
    assert_null(p);
}

/* Sums of squares and counts are not negative; products may be. */
static enum kt_status open_with(const char *part, float value, const char *products)
{
    struct gguf_writer w = { 0 };
    struct kt_error err = { 0 };
    struct importance *p;
    float sums[8] = { 0 }, count = 1, pairs[8 * IMPORTANCE_BLOCK] = { 0 };
    char data[PATH_LEN];
    path_of(data, "bad.imp");
    (strcmp(part, "sum") == 0 ? sums : strcmp(part, "count") == 0 ? &count : pairs)[0] = value;
    gguf_put_tensor(&w, "a.in_sum2", QT_F32, 2, (uint64_t[]){ 8, 1 }, sums);
    gguf_put_tensor(&w, "a.counts", QT_F32, 2, (uint64_t[]){ 1, 1 }, &count);
    gguf_put_tensor(&w, products, QT_F32, 2, (uint64_t[]){ IMPORTANCE_BLOCK, 8 }, pairs);
    gguf_writer_save(&w, data);
    gguf_writer_deinit(&w);
    enum kt_status st = importance_open(&p, data, &err);
    importance_close(p);
    return st;
}

static void damaged_numbers_are_refused(void **state)
{
    (void)state;
    static const float BAD[] = { NAN, INFINITY, -1.0f };
    static const char *const PARTS[] = { "sum", "count", "product" };
    for (size_t i = 0; i < ARRAY_LEN(BAD); i++) {
        for (size_t k = 0; k < ARRAY_LEN(PARTS); k++) {
            bool fine = k == 2 && BAD[i] < 0;
            assert_int_equal(open_with(PARTS[k], BAD[i], "a.in_products"),
                             fine ? KT_OK : KT_E_FORMAT);
        }
    }
    assert_int_equal(open_with("sum", 1, "a.in_products"), KT_OK);
}

static int set_up(void **state)
{
    (void)state;
    snprintf(dir, sizeof(dir), "/tmp/kontor-importance-XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    char command[100];
    snprintf(command, sizeof(command), "rm -rf '%s'", dir);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_layer_by_the_definition),
        cmocka_unit_test(experts_are_counted_apart),
        cmocka_unit_test(dense_models_either_way),
        cmocka_unit_test(mixtures_either_way),
        cmocka_unit_test(data_of_another_model_is_refused),
        cmocka_unit_test(damaged_numbers_are_refused),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
