/* Converting and quantising models (model/convert.h).
 *
 * Goal: a folder and the GGUF file made of it are the same model.
 * Method: the models of golden/synthetic.h, whose GGUF form is written by the tests' own writer,
 * independently of the converter: every tensor must have the same name, type, dimensions and bytes.
 * Then both are run: the same logits to the bit where rows keep their order, else as near as the
 * golden test asks. Quantised files are run, too, and must not depend on the number of threads.
 * And what goes wrong leaves nothing behind: a number that is none, a full disk, an interruption at
 * any point, an output that is there already. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/files.h"
#include "base/half.h"
#include "base/size.h"
#include "golden/sighted.h"
#include "model/convert.h"
#include "model/model.h"
#include "model/vision.h"
#include "support/model_writer.h"

enum { N_TOKENS = 24, PATH_LEN = 600 };

static void must(enum kt_status st, const struct kt_error *err)
{
    if (st)
        fail_msg("%s: %s", kt_status_name(st), err->text);
}

static void convert(const char *in, const char *out, const char *type, struct pool *pool)
{
    struct kt_error err = { 0 };
    struct convert_result result;
    struct convert_options opts = { .type = type, .pool = pool, .replace = true };
    must(model_convert(in, out, &opts, &result, &err), &err);
    assert_true(result.n_tensors > 0);
}

static size_t n_files(const char *dir)
{
    size_t n = 0;
    DIR *d = opendir(dir);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));)
        n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

static void read_all(struct buf *out, const char *path)
{
    struct kt_error err = { 0 };
    must(file_read(out, path, (size_t)1 << 30, &err), &err);
}

/* ---- the same tensors ------------------------------------------------------------------------ */

static void same_tensor(const char *model, const struct tensor *want, const struct tensor *got)
{
    char name[80];
    snprintf(name, sizeof(name), "%.*s", (int)want->name.len, want->name.ptr);
    if (!got)
        fail_msg("%s: tensor %s is not in the converted file", model, name);
    /* Tables of positions stay float in every file of ours; the tests' writer has them as BF16. */
    bool table = span_starts(want->name, SPAN("position_embd.")) ||
                 span_starts(want->name, SPAN("token_types."));
    if (got->type != (table ? QT_F32 : want->type) || got->n_dims != want->n_dims)
        fail_msg("%s: tensor %s has type %d and %u dimensions, expected %d and %u", model, name,
                 (int)got->type, got->n_dims, (int)want->type, want->n_dims);
    for (uint32_t i = 0; i < want->n_dims; i++)
        assert_int_equal(got->dims[i], want->dims[i]);
    if (table) {
        uint16_t h;
        float v;
        for (size_t i = 0; i < want->bytes / 2; i++) {
            memcpy(&h, (const uint8_t *)want->data + 2 * i, 2);
            memcpy(&v, (const uint8_t *)got->data + 4 * i, 4);
            assert_true(v == bf16_to_f32(h));
        }
        return;
    }
    const uint8_t *a = want->data, *b = got->data;
    for (size_t i = 0; i < want->bytes; i++) {
        if (a[i] != b[i])
            fail_msg("%s: tensor %s differs first in byte %zu of %zu", model, name, i, want->bytes);
    }
}

/* The tests' writer keeps one model's gates and ups together, which readers accept; ours has them
 * apart. */
static bool same_halves(const struct tensor *both, const struct model_file *f)
{
    size_t at = span_find(both->name, SPAN("ffn_gate_up_exps"), 0);
    if (at == SIZE_MAX)
        return false;
    static const char *const PARTS[] = { "ffn_gate_exps", "ffn_up_exps" };
    for (size_t i = 0; i < 2; i++) {
        char name[80];
        snprintf(name, sizeof(name), "%.*s%s.weight", (int)at, both->name.ptr, PARTS[i]);
        const struct tensor *t = model_file_tensor(f, name);
        assert_non_null(t);
        assert_true(t->type == QT_BF16 && t->n_dims == 3 && 2 * t->dims[1] == both->dims[1]);
        size_t half = t->bytes / t->dims[2];
        for (size_t e = 0; e < t->dims[2]; e++)
            assert_memory_equal((const uint8_t *)t->data + e * half,
                                (const uint8_t *)both->data + (2 * e + i) * half, half);
    }
    return true;
}

static void test_tensors(void **state)
{
    const struct synth *m = *state;
    char *dir = temp_dir_make(), folder[PATH_LEN], want[PATH_LEN], got[PATH_LEN];
    snprintf(folder, sizeof(folder), "%s/folder", dir);
    snprintf(want, sizeof(want), "%s/want.gguf", dir);
    snprintf(got, sizeof(got), "%s/got.gguf", dir);
    must(dir_make(folder, 0755, NULL), &(struct kt_error){ 0 });
    synth_write_folder(m, folder);
    synth_write_gguf(m, want, QT_BF16);
    convert(folder, got, "BF16", NULL);

    struct kt_error err = { 0 };
    struct model_file *a, *b;
    must(model_file_open(&a, want, &err), &err);
    must(model_file_open(&b, got, &err), &err);
    size_t n_apart = 0;
    for (size_t i = 0; i < model_file_n_tensors(a); i++) {
        const struct tensor *t = model_file_tensor_at(a, i);
        char name[80];
        snprintf(name, sizeof(name), "%.*s", (int)t->name.len, t->name.ptr);
        if (same_halves(t, b))
            n_apart++;
        else
            same_tensor(m->name, t, model_file_tensor(b, name));
    }
    assert_int_equal(model_file_n_tensors(a) + n_apart, model_file_n_tensors(b));
    struct model_shape x, y;
    must(model_shape_from_file(&x, a, &err), &err);
    must(model_shape_from_file(&y, b, &err), &err);
    assert_memory_equal(x.rope_factor, y.rope_factor, sizeof(x.rope_factor));
    assert_memory_equal(x.recurrent, y.recurrent, sizeof(x.recurrent));
    assert_true(x.rope_attn_scale == y.rope_attn_scale && x.rope_theta == y.rope_theta);
    assert_true(x.norm_eps == y.norm_eps && x.n_ctx_train == y.n_ctx_train);
    assert_memory_equal(x.mrope_sections, y.mrope_sections, sizeof(x.mrope_sections));
    assert_int_equal(x.n_vocab_real, y.n_vocab_real);
    assert_int_equal(x.pooling, y.pooling);
    model_file_close(a);
    model_file_close(b);
    temp_dir_remove(dir);
}

/* ---- the same numbers ------------------------------------------------------------------------ */

/* Logits, or an encoder's hidden states: heap, [N_TOKENS, *n_width]. */
static float *run_model(const char *path, size_t *n_width)
{
    struct kt_error err = { 0 };
    struct model_file *f;
    struct model *m;
    struct model_run *r;
    struct kernels k;
    int32_t tokens[N_TOKENS];
    for (int i = 0; i < N_TOKENS; i++)
        tokens[i] = (i * 37 + 11) % SYNTH_VOCAB;
    kernels_init(&k, cpu_detect());
    must(model_file_open(&f, path, &err), &err);
    must(model_create(&m, f, &k, NULL, &err), &err);
    must(model_run_create(&r, m, N_TOKENS, &err), &err);
    const struct model_shape *s = model_shape_of(m);
    bool bert = s->arch == ARCH_BERT;
    *n_width = bert ? s->d_model : s->n_vocab;
    float *out = calloc(N_TOKENS * *n_width, sizeof(float));
    assert_non_null(out);
    if (bert) {
        must(model_encode(r, tokens, N_TOKENS, out, &err), &err);
    } else {
        struct model_state *st;
        must(model_state_create(&st, m, N_TOKENS, (struct state_types){ 0 }, &err), &err);
        struct model_span span = {
            .state = st, .tokens = tokens, .n_tokens = N_TOKENS, .logits_of = OUT_ALL, .logits = out
        };
        must(model_step(r, &span, 1, &err), &err);
        model_state_destroy(st);
    }
    model_run_destroy(r);
    model_destroy(m);
    model_file_close(f);
    return out;
}

/* In units of a's standard deviation: the largest difference, and the root of the mean square. */
static double distance(const float *a, const float *b, size_t n, double *rms)
{
    double max = 0, sum = 0, sum2 = 0, diff2 = 0;
    for (size_t i = 0; i < n; i++) {
        double d = (double)a[i] - (double)b[i];
        max = fmax(max, fabs(d));
        diff2 += d * d;
        sum += (double)a[i];
        sum2 += (double)a[i] * (double)a[i];
    }
    double mean = sum / (double)n, std = sqrt(sum2 / (double)n - mean * mean);
    *rms = sqrt(diff2 / (double)n) / std;
    return max / std;
}

/* As in the golden test: llama's rows and the value heads stand in another order. */
static bool same_order(const struct synth *m)
{
    return m->arch != ARCH_LLAMA && m->nk == m->nv && m->yarn_factor == 0;
}

static void test_numbers(void **state)
{
    /* Floats by their largest difference; block formats by the mean square, about twice what was
     * measured, which still is far below what a wrong row order or scale gives (1 and more). */
    static const struct {
        const char *type;
        double bound;
        bool is_float;
    } CASES[] = {
        { "F32", 1e-4, true },
        { "Q8_0", 0.12, false },
        { "Q4_K_M", 0.7, false }, /* Q6_K and, where rows are short, Q5_0 and Q8_0, too */
    };
    const struct synth *m = *state;
    char *dir = temp_dir_make(), folder[PATH_LEN], file[PATH_LEN], name[80];
    snprintf(folder, sizeof(folder), "%s/folder", dir);
    must(dir_make(folder, 0755, NULL), &(struct kt_error){ 0 });
    synth_write_folder(m, folder);
    size_t width;
    float *want = run_model(folder, &width);
    double before = 0;
    for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
        size_t w;
        snprintf(name, sizeof(name), "%s.gguf", CASES[i].type);
        snprintf(file, sizeof(file), "%s/%s", dir, name);
        convert(folder, file, CASES[i].type, NULL);
        float *got = run_model(file, &w);
        assert_int_equal(w, width);
        double rms, max = distance(want, got, N_TOKENS * width, &rms),
                    d = CASES[i].is_float ? max : rms;
        print_message("%-12s %-7s |delta| / std: max %.2e, rms %.2e\n", m->name, CASES[i].type, max,
                      rms);
        /* Where an error changes which experts are asked, it is not small any more. */
        double bound = CASES[i].bound * (m->n_experts && !CASES[i].is_float ? 2.5 : 1.0);
        if (!(d <= bound))
            fail_msg("%s as %s differs by %.3g of the std, expected at most %g", m->name,
                     CASES[i].type, d, bound);
        if (i == 0 && same_order(m) && memcmp(want, got, N_TOKENS * width * sizeof(float)) != 0)
            fail_msg("%s: the folder and the F32 file give different bits", m->name);
        if (i >= 1 && d == before)
            fail_msg("%s as %s: exactly the distance of the type before; was it used at all?",
                     m->name, CASES[i].type);
        before = d;
        free(got);
    }
    free(want);
    temp_dir_remove(dir);
}

/* ---- the same bytes, and nothing left behind ------------------------------------------------- */

struct place {
    char *dir, folder[PATH_LEN], out[PATH_LEN];
};

static void place_make(struct place *p, const char *synth)
{
    p->dir = temp_dir_make();
    snprintf(p->folder, sizeof(p->folder), "%s/folder", p->dir);
    snprintf(p->out, sizeof(p->out), "%s/out.gguf", p->dir);
    must(dir_make(p->folder, 0755, NULL), &(struct kt_error){ 0 });
    synth_write_folder(synth_named(synth), p->folder);
}

static void threads_do_not_matter(void **state)
{
    (void)state;
    struct place p;
    place_make(&p, "qwen35-r2");
    struct buf one = { 0 }, many = { 0 };
    struct pool *pool;
    struct kt_error err = { 0 };
    must(pool_create(&pool, 5, &err), &err);
    convert(p.folder, p.out, "Q4_K_M", NULL);
    read_all(&one, p.out);
    convert(p.folder, p.out, "Q4_K_M", pool);
    read_all(&many, p.out);
    assert_int_equal(one.len, many.len);
    assert_memory_equal(one.ptr, many.ptr, one.len);
    pool_destroy(pool);
    buf_deinit(&one);
    buf_deinit(&many);
    temp_dir_remove(p.dir);
}

/* Types change, everything else stays: also when the file goes through F32 and back. */
static void a_file_keeps_its_metadata(void **state)
{
    (void)state;
    struct place p;
    place_make(&p, "llama-rope3");
    char q8[PATH_LEN], f32[PATH_LEN];
    snprintf(q8, sizeof(q8), "%s/q8.gguf", p.dir);
    snprintf(f32, sizeof(f32), "%s/f32.gguf", p.dir);
    convert(p.folder, p.out, "BF16", NULL);
    convert(p.out, f32, "F32", NULL);
    convert(f32, q8, "BF16", NULL);
    struct buf a = { 0 }, b = { 0 };
    read_all(&a, p.out);
    read_all(&b, q8);
    struct kt_error err = { 0 };
    struct model_file *x, *y;
    must(model_file_open(&x, p.out, &err), &err);
    must(model_file_open(&y, q8, &err), &err);
    assert_int_equal(model_file_n_meta(x), model_file_n_meta(y));
    for (size_t i = 0; i < model_file_n_meta(x); i++) {
        const struct meta *m = model_file_meta_at(x, i);
        char key[96];
        snprintf(key, sizeof(key), "%.*s", (int)m->key.len, m->key.ptr);
        const struct meta *n = model_file_meta(y, key);
        if (!n || n->raw_type != m->raw_type || n->i != m->i || n->f != m->f || n->n != m->n)
            fail_msg("metadata %s is not what it was", key);
    }
    for (size_t i = 0; i < model_file_n_tensors(x); i++)
        same_tensor("llama-rope3", model_file_tensor_at(x, i), model_file_tensor_at(y, i));
    model_file_close(x);
    model_file_close(y);
    buf_deinit(&a);
    buf_deinit(&b);
    temp_dir_remove(p.dir);
}

static void fails(const struct place *p, const char *in, const struct convert_options *opts,
                  enum kt_status want, const char *part)
{
    struct kt_error err = { 0 };
    struct convert_result result;
    size_t n = n_files(p->dir);
    enum kt_status st = model_convert(in, p->out, opts, &result, &err);
    if (st != want || !strstr(err.text, part))
        fail_msg("%s '%s', expected %s and '%s'", kt_status_name(st), err.text,
                 kt_status_name(want), part);
    assert_int_equal(n_files(p->dir), n);
}

static void a_nan_is_named(void **state)
{
    (void)state;
    struct place p;
    place_make(&p, "qwen2");
    char bad[PATH_LEN];
    snprintf(bad, sizeof(bad), "%s/bad.gguf", p.dir);
    struct gguf_writer w = { 0 };
    float *v = calloc(3 * 256, sizeof(*v));
    assert_non_null(v);
    v[2 * 256 + 17] = NAN;
    v[2 * 256 + 200] = INFINITY;
    gguf_put_str(&w, "general.architecture", "other");
    gguf_put_random(&w, "blk.0.good.weight", QT_F32, 2, (uint64_t[]){ 256, 4 }, 0.1f);
    gguf_put_tensor(&w, "blk.0.bad.weight", QT_F32, 2, (uint64_t[]){ 256, 3 }, v);
    gguf_writer_save(&w, bad);
    gguf_writer_deinit(&w);
    static const char *const TYPES[] = { "Q4_K_M", "Q8_0", "BF16", "F32" };
    for (size_t i = 0; i < ARRAY_LEN(TYPES); i++)
        fails(&p, bad, &(struct convert_options){ .type = TYPES[i] }, KT_E_FORMAT,
              "tensor blk.0.bad.weight, to be row 2 column 17: not a number");
    free(v);
    temp_dir_remove(p.dir);
}

static void what_exists_stays(void **state)
{
    (void)state;
    struct place p;
    place_make(&p, "qwen2");
    save_file(p.dir, "out.gguf", "mine", 4);
    fails(&p, p.folder, &(struct convert_options){ .type = "BF16" }, KT_E_EXISTS, "exists already");
    fails(&p, p.out, &(struct convert_options){ .type = "BF16", .replace = true }, KT_E_EXISTS,
          "is the input");
    struct buf kept = { 0 };
    read_all(&kept, p.out);
    assert_string_equal(kept.ptr, "mine");
    buf_deinit(&kept);
    fails(&p, p.dir, &(struct convert_options){ .type = "BF16", .replace = true }, KT_E_FORMAT,
          "neither config.json nor tokenizer.json");
    temp_dir_remove(p.dir);
}

static bool count_down(void *ctx, uint64_t done, uint64_t total, struct span tensor)
{
    int *left = ctx;
    assert_true(done <= total && tensor.len > 0);
    return --*left > 0;
}

static void an_interruption_leaves_nothing(void **state)
{
    (void)state;
    struct place p;
    place_make(&p, "qwen2");
    for (int after = 1; after < 38; after += 6) {
        int left = after;
        fails(&p, p.folder,
              &(struct convert_options){ .type = "Q8_0", .on_progress = count_down, .ctx = &left },
              KT_E_CANCELLED, "stopped");
    }
    temp_dir_remove(p.dir);
}

/* A limit on the size of files stands for a full disk: the same failure of the same calls. */
static void a_full_disk_leaves_nothing(void **state)
{
    (void)state;
    struct place p;
    place_make(&p, "qwen2");
    struct rlimit old, small;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    signal(SIGXFSZ, SIG_IGN);
    static const rlim_t SIZES[] = { 0, 100, 100000, 1000000 };
    for (size_t i = 0; i < ARRAY_LEN(SIZES); i++) {
        small = (struct rlimit){ SIZES[i], old.rlim_max };
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
        struct kt_error err = { 0 };
        struct convert_result result;
        size_t n = n_files(p.dir);
        enum kt_status st = model_convert(
            p.folder, p.out, &(struct convert_options){ .type = "F32" }, &result, &err);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
        if (st != KT_E_IO && st != KT_E_NOSPACE)
            fail_msg("with room for %zu bytes: %s '%s', expected a failure to write",
                     (size_t)SIZES[i], kt_status_name(st), err.text);
        assert_int_equal(n_files(p.dir), n);
    }
    temp_dir_remove(p.dir);
}

/* The mixes, by the rules that docs/FORMATS.md gives: 16 layers, so that 0, 1 and 14, 15 and every
 * third between are among those with more bits. */
static void mixes_are_as_documented(void **state)
{
    (void)state;
    struct place p;
    place_make(&p, "qwen2");
    char in[PATH_LEN], name[80];
    snprintf(in, sizeof(in), "%s/in.gguf", p.dir);
    struct gguf_writer w = { 0 };
    gguf_put_str(&w, "general.architecture", "other");
    gguf_put_random(&w, "token_embd.weight", QT_F32, 2, (uint64_t[]){ 256, 4 }, 0.1f);
    gguf_put_random(&w, "output.weight", QT_F32, 2, (uint64_t[]){ 256, 4 }, 0.1f);
    gguf_put_random(&w, "output_norm.weight", QT_F16, 1, (uint64_t[]){ 256 }, 0.1f);
    gguf_put_random(&w, "odd.weight", QT_F32, 2, (uint64_t[]){ 96, 4 }, 0.1f);
    gguf_put_random(&w, "odder.weight", QT_F32, 2, (uint64_t[]){ 100, 4 }, 0.1f);
    for (int i = 0; i < 16; i++) {
        snprintf(name, sizeof(name), "blk.%d.attn_v.weight", i);
        gguf_put_random(&w, name, QT_F32, 2, (uint64_t[]){ 256, 2 }, 0.1f);
        snprintf(name, sizeof(name), "blk.%d.ffn_up.weight", i);
        gguf_put_random(&w, name, QT_F32, 3, (uint64_t[]){ 256, 2, 3 }, 0.1f);
    }
    gguf_writer_save(&w, in);
    gguf_writer_deinit(&w);
    convert(in, p.out, "Q4_K_M", NULL);
    struct kt_error err = { 0 };
    struct model_file *f;
    must(model_file_open(&f, p.out, &err), &err);
    assert_int_equal(model_file_int(f, "general.file_type", -1), 15);
    assert_int_equal(model_file_tensor(f, "token_embd.weight")->type, QT_Q4_K);
    assert_int_equal(model_file_tensor(f, "output.weight")->type, QT_Q6_K);
    assert_int_equal(model_file_tensor(f, "output_norm.weight")->type, QT_F32);
    assert_int_equal(model_file_tensor(f, "odd.weight")->type, QT_Q5_0);
    assert_int_equal(model_file_tensor(f, "odder.weight")->type, QT_F16);
    for (int i = 0; i < 16; i++) {
        bool more = i < 2 || i >= 14 || (i - 2) % 3 == 2;
        snprintf(name, sizeof(name), "blk.%d.attn_v.weight", i);
        assert_int_equal(model_file_tensor(f, name)->type, more ? QT_Q6_K : QT_Q4_K);
        snprintf(name, sizeof(name), "blk.%d.ffn_up.weight", i);
        assert_int_equal(model_file_tensor(f, name)->type, QT_Q4_K);
    }
    model_file_close(f);
    temp_dir_remove(p.dir);
}

/* ---- vision --------------------------------------------------------------------------------- */

/* What a tower makes of a small image: heap. */
static float *look(const char *path)
{
    struct kt_error err = { 0 };
    struct kernels k;
    struct model_file *f;
    struct vision *v;
    struct vision_input in[SCENE_MEDIA_MAX];
    kernels_init(&k, cpu_detect());
    must(model_file_open(&f, path, &err), &err);
    must(vision_create(&v, f, &k, NULL, SYNTH_HIDDEN, &err), &err);
    scene_open(in, &SCENES[1]);
    float *out = calloc(3 * 8, SYNTH_HIDDEN * sizeof(*out));
    assert_non_null(out);
    must(vision_encode(v, &in[0], out, NULL, NULL, &err), &err); /* three pairs of 64 x 128 */
    scene_close(in);
    vision_destroy(v);
    model_file_close(f);
    return out;
}

/* Every tensor as the tests' own writer has it (but the kernel's two slices, which are F32 here), and the same
 * vectors to the bit. */
static void check_tower(const struct sighted *m, const char *dir)
{
    struct kt_error err = { 0 };
    struct convert_result result;
    char out[PATH_LEN], own[PATH_LEN];
    snprintf(out, sizeof(out), "%s/mmproj.gguf", dir);
    snprintf(own, sizeof(own), "%s/own.gguf", dir);
    sighted_write_folder(m, dir);
    sighted_write_mmproj(m, own, QT_BF16);
    float *want = look(dir);
    const size_t bytes = (size_t)3 * 8 * SYNTH_HIDDEN * sizeof(float);
    static const char *const TYPES[] = { "BF16", "F32" };
    for (size_t i = 0; i < ARRAY_LEN(TYPES); i++) {
        struct convert_options opts = { .type = TYPES[i], .replace = true, .vision = true };
        must(model_convert(dir, out, &opts, &result, &err), &err);
        float *got = look(out);
        assert_memory_equal(got, want, bytes);
        free(got);
    }
    free(want);

    struct convert_options opts = { .type = "BF16", .replace = true, .vision = true };
    must(model_convert(dir, out, &opts, &result, &err), &err);
    struct model_file *a, *b;
    must(model_file_open(&a, own, &err), &err);
    must(model_file_open(&b, out, &err), &err);
    assert_int_equal(model_file_n_tensors(a), model_file_n_tensors(b));
    for (size_t i = 0; i < model_file_n_tensors(a); i++) {
        const struct tensor *t = model_file_tensor_at(a, i);
        char name[80];
        snprintf(name, sizeof(name), "%.*s", (int)t->name.len, t->name.ptr);
        const struct tensor *u = model_file_tensor(b, name);
        if (!u || u->n_dims != t->n_dims || memcmp(u->dims, t->dims, sizeof(t->dims)) != 0)
            fail_msg("%s: tensor %s is missing or of another shape", m->text.name, name);
        bool slice = span_starts(t->name, SPAN("v.patch_embd.weight"));
        if (!slice && (u->type != t->type || memcmp(u->data, t->data, t->bytes) != 0))
            fail_msg("%s: tensor %s has another type or other bytes", m->text.name, name);
    }
    for (size_t i = 0; i < model_file_n_meta(a); i++) {
        char key[80];
        struct span k = model_file_meta_at(a, i)->key;
        snprintf(key, sizeof(key), "%.*s", (int)k.len, k.ptr);
        const struct meta *x = model_file_meta(a, key), *y = model_file_meta(b, key);
        if (!y || y->type != x->type || y->i != x->i || y->f != x->f || !span_eq(y->s, x->s))
            fail_msg("%s: %s is not the same", m->text.name, key);
    }
    model_file_close(a);
    model_file_close(b);
}

static void vision_is_a_file_of_its_own(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_SIGHTED; i++) {
        char *dir = temp_dir_make();
        check_tower(&SIGHTED[i], dir);
        temp_dir_remove(dir);
    }
}

static void no_vision_no_file(void **state)
{
    (void)state;
    struct kt_error err = { 0 };
    struct convert_result result;
    char *dir = temp_dir_make(), out[PATH_LEN], gguf[PATH_LEN];
    struct convert_options opts = { .type = "BF16", .vision = true };
    snprintf(out, sizeof(out), "%s/mmproj.gguf", dir);
    snprintf(gguf, sizeof(gguf), "%s/model.gguf", dir);
    synth_write_folder(synth_named("qwen35-r1"), dir);
    synth_write_gguf(synth_named("qwen35-r1"), gguf, QT_BF16);
    size_t n = n_files(dir);
    assert_int_equal(model_convert(dir, out, &opts, &result, &err), KT_E_NOTFOUND);
    assert_non_null(strstr(err.text, "no vision tower"));
    assert_int_equal(model_convert(gguf, out, &opts, &result, &err), KT_E_UNSUPPORTED);
    assert_int_equal(n_files(dir), n);
    temp_dir_remove(dir);
}

int main(void)
{
    struct CMUnitTest tests[64] = {
        cmocka_unit_test(vision_is_a_file_of_its_own),
        cmocka_unit_test(no_vision_no_file),
        cmocka_unit_test(threads_do_not_matter),
        cmocka_unit_test(a_file_keeps_its_metadata),
        cmocka_unit_test(a_nan_is_named),
        cmocka_unit_test(what_exists_stays),
        cmocka_unit_test(an_interruption_leaves_nothing),
        cmocka_unit_test(a_full_disk_leaves_nothing),
        cmocka_unit_test(mixes_are_as_documented),
    };
    size_t n = 9;
    for (size_t i = 0; i < N_SYNTHS; i++) {
        void *state = (void *)(uintptr_t)&SYNTHS[i];
        tests[n++] = (struct CMUnitTest){ .name = SYNTHS[i].name,
                                          .test_func = test_tensors,
                                          .initial_state = state };
        tests[n++] = (struct CMUnitTest){ .name = SYNTHS[i].name,
                                          .test_func = test_numbers,
                                          .initial_state = state };
    }
    return _cmocka_run_group_tests("convert", tests, n, NULL, NULL);
}
