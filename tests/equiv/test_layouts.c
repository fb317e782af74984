/* Goal: one model in many spellings is one model, and a spelling mistake is named.
 * Method: the folder of a model of golden/synthetic.h is written anew with other prefixes, other types
 * of the same numbers, experts together or apart, and in several shards: the trunk and the multi-token
 * head must give the same bits. Converted to GGUF, where sums have another order, nearly the same.
 * Then every tensor in turn is renamed, which is to be missing, or turned on its side, and those of the
 * multi-token head are given another length or a brother: the error names what is wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/files.h"
#include "base/half.h"
#include "golden/synthetic.h"
#include "kernels/kernels.h"
#include "model/convert.h"
#include "model/model.h"
#include "model/model_file.h"
#include "support/model_writer.h"

enum { N_TOKENS = 12, N_FLOATS = (2 * N_TOKENS - 1) * SYNTH_VOCAB, PATH_LEN = 600, SHARDS_MAX = 3 };

static const char *const MODELS[] = { "moe-r2", "moe-r4", "qwen35-r4" }; /* all with the head */

static void must(enum kt_status st, const struct kt_error *err)
{
    if (st)
        fail_msg("%s: %s", kt_status_name(st), err->text);
}

/* Logits of all tokens, then of all pairs of the multi-token head. Heap. */
static float *run(const char *path)
{
    struct kt_error err = { 0 };
    struct kernels k;
    struct model_file *f;
    struct model *m;
    struct model_run *r;
    struct model_state *s, *head;
    int32_t tokens[N_TOKENS];
    float *hidden = malloc(N_TOKENS * SYNTH_HIDDEN * sizeof(float)),
          *out = malloc(N_FLOATS * sizeof(float));
    assert_true(hidden && out);
    for (int i = 0; i < N_TOKENS; i++)
        tokens[i] = (i * 91 + 5) % SYNTH_VOCAB;
    kernels_init(&k, cpu_detect());
    must(model_file_open(&f, path, &err), &err);
    must(model_create(&m, f, &k, NULL, &err), &err);
    must(model_run_create(&r, m, N_TOKENS, &err), &err);
    must(model_state_create(&s, m, N_TOKENS, (struct state_types){ 0 }, &err), &err);
    must(model_mtp_state_create(&head, m, N_TOKENS, (struct state_types){ 0 }, &err), &err);
    struct model_span sp = { .state = s,
                             .tokens = tokens,
                             .n_tokens = N_TOKENS,
                             .logits_of = OUT_ALL,
                             .logits = out,
                             .hidden = hidden };
    must(model_step(r, &sp, 1, &err), &err);
    sp = (struct model_span){ .state = head,
                              .tokens = tokens + 1,
                              .n_tokens = N_TOKENS - 1,
                              .logits_of = OUT_ALL,
                              .logits = out + N_TOKENS * SYNTH_VOCAB,
                              .hidden_in = hidden };
    must(model_mtp_step(r, &sp, 1, &err), &err);
    model_state_destroy(s);
    model_state_destroy(head);
    model_run_destroy(r);
    model_destroy(m);
    model_file_close(f);
    free(hidden);
    return out;
}

/* ---- other spellings ---- */

struct spelling {
    const char *what, *prefix;
    enum qtype type;  /* of what is BF16 */
    bool through_f16; /* numbers rounded to halves first */
    bool regroup;     /* experts: together if they are apart, and the other way round */
    size_t n_shards;
};

struct writing {
    const struct spelling *sp;
    const struct synth *m;
    struct st_writer shards[SHARDS_MAX];
    struct buf index; /* "name": "file", ... */
    size_t n;
};

static void put(struct writing *w, const char *name, uint32_t n_dims, const uint64_t *dims,
                const float *v, bool keep_f32)
{
    size_t n = 1;
    for (uint32_t i = 0; i < n_dims; i++)
        n *= dims[i];
    float *f = malloc(n * sizeof(*f));
    uint16_t *half = malloc(n * sizeof(*half));
    assert_true(f && half);
    enum qtype type = keep_f32 ? QT_F32 : w->sp->type;
    for (size_t i = 0; i < n; i++) {
        f[i] = !keep_f32 && w->sp->through_f16 ? f16_to_f32(f32_to_f16(v[i])) : v[i];
        half[i] = type == QT_F16 ? f32_to_f16(f[i]) : f32_to_bf16(f[i]);
    }
    size_t shard = w->n++ % w->sp->n_shards;
    st_put_tensor(&w->shards[shard], name, type, n_dims, dims, type == QT_F32 ? (void *)f : half);
    buf_printf(&w->index, "%s\"%s\": \"part-%zu.safetensors\"", w->index.len ? ", " : "", name,
               shard);
    free(half);
    free(f);
}

/* ".mlp.experts.gate_up_proj" or "down_proj" of all experts, as one tensor for each. */
static void put_apart(struct writing *w, const char *name, const struct tensor *t, const float *v)
{
    static const char *const IN[] = { "gate_proj", "up_proj" };
    bool in = strstr(name, "gate_up_proj") != NULL;
    int stem = (int)(strrchr(name, '.') - name);
    size_t n_parts = in ? 2 : 1, rows = t->dims[1] / n_parts, n = rows * t->dims[0];
    for (size_t x = 0; x < t->dims[2]; x++) {
        for (size_t part = 0; part < n_parts; part++) {
            char one[192];
            snprintf(one, sizeof(one), "%.*s.%zu.%s.weight", stem, name, x,
                     in ? IN[part] : "down_proj");
            put(w, one, 2, (uint64_t[]){ t->dims[0], rows }, v + (x * n_parts + part) * n, false);
        }
    }
}

static float *values_of(const struct tensor *t, float *at)
{
    size_t n = t->dims[0] * t->dims[1] * t->dims[2];
    float *v = at ? at : malloc(n * sizeof(*v));
    assert_non_null(v);
    qtype_traits(t->type)->dequant(v, t->data, n);
    return v;
}

/* Of ".mlp.experts.0.gate_proj.weight" and its like the stack; nothing of the others. */
static void put_together(struct writing *w, const char *name, const struct tensor *t,
                         const struct model_file *f)
{
    const char *at = strstr(name, ".experts.0.");
    bool gate = at && strstr(at, "gate_proj"), down = at && strstr(at, "down_proj");
    if (!gate && !down)
        return;
    int stem = (int)(at - name);
    size_t n = t->dims[0] * t->dims[1], n_parts = gate ? 2 : 1, x_all = w->m->n_experts;
    float *all = malloc(x_all * n_parts * n * sizeof(*all));
    assert_non_null(all);
    char old[192];
    /* The names of the file, which may have another prefix. */
    int old_stem = (int)(span_find(t->name, SPAN(".experts.0."), 0));
    for (size_t x = 0; x < x_all; x++) {
        for (size_t part = 0; part < n_parts; part++) {
            snprintf(old, sizeof(old), "%.*s.experts.%zu.%s.weight", old_stem, t->name.ptr, x,
                     down   ? "down_proj"
                     : part ? "up_proj"
                            : "gate_proj");
            const struct tensor *one = model_file_tensor(f, old);
            assert_non_null(one);
            values_of(one, all + (x * n_parts + part) * n);
        }
    }
    char stack[192];
    snprintf(stack, sizeof(stack), "%.*s.experts.%s", stem, name,
             gate ? "gate_up_proj" : "down_proj");
    put(w, stack, 3, (uint64_t[]){ t->dims[0], n_parts * t->dims[1], x_all }, all, false);
    free(all);
}

static void respell_tensor(struct writing *w, const struct tensor *t, const struct model_file *f)
{
    static const char *const OLD[] = { "model.language_model.", "model." };
    char name[192];
    snprintf(name, sizeof(name), "%.*s", (int)t->name.len, t->name.ptr);
    for (size_t i = 0; i < 2; i++) {
        if (span_starts(t->name, span_of(OLD[i]))) {
            size_t old = strlen(OLD[i]);
            snprintf(name, sizeof(name), "%s%.*s", w->sp->prefix, (int)(t->name.len - old),
                     t->name.ptr + old);
            break;
        }
    }
    float *v = values_of(t, NULL);
    if (w->sp->regroup && strstr(name, ".experts.") && t->n_dims == 3)
        put_apart(w, name, t, v);
    else if (w->sp->regroup && strstr(name, ".experts."))
        put_together(w, name, t, f);
    else
        put(w, name, t->n_dims, t->dims, v, t->type == QT_F32);
    free(v);
}

/* A new folder with the model of folder 'from'. Heap. */
static char *respell(const struct synth *m, const char *from, const struct spelling *sp)
{
    struct kt_error err = { 0 };
    struct writing w = { .sp = sp, .m = m };
    struct model_file *f;
    struct buf config = { 0 };
    char *dir = temp_dir_make(), path[PATH_LEN];
    must(model_file_open(&f, from, &err), &err);
    for (size_t i = 0; i < model_file_n_tensors(f); i++)
        respell_tensor(&w, model_file_tensor_at(f, i), f);
    for (size_t i = 0; i < sp->n_shards; i++) {
        if (sp->n_shards == 1)
            snprintf(path, sizeof(path), "%s/model.safetensors", dir);
        else
            snprintf(path, sizeof(path), "%s/part-%zu.safetensors", dir, i);
        st_writer_save(&w.shards[i], path);
        st_writer_deinit(&w.shards[i]);
    }
    if (sp->n_shards > 1) {
        struct buf json = { 0 };
        buf_printf(&json, "{\"metadata\": {}, \"weight_map\": {%s}}", w.index.ptr);
        save_file(dir, "model.safetensors.index.json", json.ptr, json.len);
        buf_deinit(&json);
    }
    snprintf(path, sizeof(path), "%s/config.json", from);
    must(file_read(&config, path, 1 << 16, &err), &err);
    save_file(dir, "config.json", config.ptr, config.len);
    buf_deinit(&config);
    buf_deinit(&w.index);
    model_file_close(f);
    return dir;
}

static float *run_spelled(const struct synth *m, const char *from, const struct spelling *sp)
{
    char *dir = respell(m, from, sp);
    float *out = run(dir);
    temp_dir_remove(dir);
    return out;
}

static void one_model(void **state)
{
    static const struct spelling SAME[] = {
        { "both prefixes", "model.language_model.", QT_BF16, false, false, 1 },
        { "the short prefix", "model.", QT_BF16, false, false, 1 },
        { "no prefix, as F32", "", QT_F32, false, false, 1 },
        { "regrouped experts in shards", "model.language_model.", QT_BF16, false, true, 3 },
        { "regrouped experts as F32 in shards", "model.", QT_F32, false, true, 2 },
    };
    static const struct spelling HALVES = { "F16", "model.", QT_F16, true, false, 2 },
                                 WIDE = { "F32 of F16", "model.", QT_F32, true, true, 1 };
    const struct synth *m = synth_named(*state);
    char *dir = temp_dir_make(), gguf[PATH_LEN];
    synth_write_folder(m, dir);
    float *want = run(dir);
    for (size_t i = 0; i < sizeof(SAME) / sizeof(SAME[0]); i++) {
        float *got = run_spelled(m, dir, &SAME[i]);
        if (memcmp(want, got, N_FLOATS * sizeof(float)) != 0)
            fail_msg("%s with %s: other bits", m->name, SAME[i].what);
        free(got);
    }
    float *halves = run_spelled(m, dir, &HALVES), *wide = run_spelled(m, dir, &WIDE);
    if (memcmp(halves, wide, N_FLOATS * sizeof(float)) != 0)
        fail_msg("%s as F16: other bits than the same numbers as F32", m->name);

    struct kt_error err = { 0 };
    struct convert_result result;
    struct convert_options opts = { .type = "BF16" };
    snprintf(gguf, sizeof(gguf), "%s/converted.gguf", dir);
    must(model_convert(dir, gguf, &opts, &result, &err), &err);
    float *file = run(gguf);
    double max = 0, sum2 = 0;
    for (size_t i = 0; i < N_FLOATS; i++) {
        double d = fabs((double)file[i] - (double)want[i]);
        max = d <= max ? max : d; /* NaN stays */
        sum2 += (double)want[i] * (double)want[i];
    }
    max /= sqrt(sum2 / N_FLOATS);
    print_message("%s: converted to GGUF, trunk and multi-token head: max |delta| / std %.1e\n",
                  m->name, max);
    if (!(max <= 1e-4))
        fail_msg("%s: converted to GGUF it differs by %g of the std", m->name, max);
    free(file);
    free(halves);
    free(wide);
    free(want);
    temp_dir_remove(dir);
}

/* ---- mistakes ---- */

/* What a model file in memory is refused with; "" when it is not. */
static void refusal(char text[static KT_ERROR_TEXT_MAX], const char *path)
{
    struct kt_error err = { 0 };
    struct kernels k;
    struct model_file *f = NULL;
    struct model *m = NULL;
    kernels_init(&k, 0);
    enum kt_status st = model_file_open(&f, path, &err);
    if (!st)
        st = model_create(&m, f, &k, NULL, &err);
    snprintf(text, KT_ERROR_TEXT_MAX, "%s", st ? err.text : "");
    if (st && st != KT_E_FORMAT && st != KT_E_UNSUPPORTED)
        fail_msg("%s: %s", kt_status_name(st), err.text);
    model_destroy(m);
    model_file_close(f);
}

static void expect_refusal(const char *path, const char *part, const char *what)
{
    char text[KT_ERROR_TEXT_MAX];
    refusal(text, path);
    if (!strstr(text, part))
        fail_msg("%s: '%s', expected '%s' in it", what, text, part);
}

/* The bytes of a file, changed in one place at a time. */
struct patch {
    char path[PATH_LEN];
    struct buf bytes;
};

static void patched(struct patch *p, size_t at, const char *with, size_t n, const char *part,
                    const char *what, const char *model)
{
    char old[64];
    FILE *f = fopen(p->path, "r+b");
    assert_true(f && n <= sizeof(old) && at + n <= p->bytes.len);
    memcpy(old, p->bytes.ptr + at, n);
    assert_int_equal(fseek(f, (long)at, SEEK_SET), 0);
    assert_int_equal(fwrite(with, 1, n, f), n);
    assert_int_equal(fflush(f), 0);
    expect_refusal(model, part, what);
    assert_int_equal(fseek(f, (long)at, SEEK_SET), 0);
    assert_int_equal(fwrite(old, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

/* Every name of a folder changed by a letter, and every matrix turned on its side. */
static void folder_mistakes(const struct synth *m)
{
    struct kt_error err = { 0 };
    struct model_file *f;
    struct patch p = { .bytes = { 0 } };
    char *dir = temp_dir_make();
    synth_write_folder(m, dir);
    snprintf(p.path, sizeof(p.path), "%s/model.safetensors", dir);
    must(file_read(&p.bytes, p.path, (size_t)1 << 30, &err), &err);
    expect_refusal(dir, "", "as it is");
    must(model_file_open(&f, dir, &err), &err);
    size_t n = model_file_n_tensors(f);
    for (size_t i = 0; i < n; i++) {
        const struct tensor *t = model_file_tensor_at(f, i);
        char quoted[200], name[192], part[256], turned[64], shape[64];
        snprintf(name, sizeof(name), "%.*s", (int)t->name.len, t->name.ptr);
        snprintf(quoted, sizeof(quoted), "\"%s\"", name);
        struct span all = { p.bytes.ptr, p.bytes.len };
        size_t at = span_find(all, span_of(quoted), 0);
        assert_true(at != SIZE_MAX);
        /* Some decide what the others are: the embedding their prefix, fc that there is a head. */
        const char *missing = name;
        if (strcmp(name, "mtp.fc.weight") == 0)
            missing = NULL;
        else if (strstr(name, "embed_tokens"))
            missing = "model.embed_tokens.weight";
        if (missing)
            snprintf(part, sizeof(part), "tensor %s [", missing);
        patched(&p, at + t->name.len, "Q", 1, missing ? part : "has no place", name, dir);
        if (t->n_dims < 2 || t->dims[0] == t->dims[1])
            continue;
        size_t from = span_find(all, SPAN("\"shape\":"), at),
               open = span_find(all, SPAN("["), from), close = span_find(all, SPAN("]"), open);
        int len = (int)(close - open - 1);
        snprintf(shape, sizeof(shape), "%.*s", len, p.bytes.ptr + open + 1);
        if (t->n_dims == 2)
            snprintf(turned, sizeof(turned), "%llu,%llu", (unsigned long long)t->dims[0],
                     (unsigned long long)t->dims[1]);
        else
            snprintf(turned, sizeof(turned), "%llu,%llu,%llu", (unsigned long long)t->dims[0],
                     (unsigned long long)t->dims[1], (unsigned long long)t->dims[2]);
        size_t pad = strlen(turned);
        while (pad < (size_t)len)
            turned[pad++] = ' ';
        if (pad != (size_t)len)
            fail_msg("shape '%s' cannot become '%s'", shape, turned);
        snprintf(part, sizeof(part), "tensor %s is [", name);
        patched(&p, open + 1, turned, pad, part, name, dir);
    }
    print_message("%s: each of %zu tensors missing or turned is named\n", m->name, n);
    model_file_close(f);
    buf_deinit(&p.bytes);
    temp_dir_remove(dir);
}

static void every_tensor_is_needed(void **state)
{
    (void)state;
    folder_mistakes(synth_named("qwen35-r4"));
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    folder_mistakes(synth_named("moe-r2"));
#endif
}

/* The head's vectors with one element less, and tensors it cannot have. */
static void heads_are_judged(void **state)
{
    static const char *const STRANGERS[] = {
        "mtp.layers.1.input_layernorm.weight", /* a second layer */
        "mtp.layers.0.self_attn.q_proj.bias",
        "mtp.norm.bias",
        "mtp.layers.0.linear_attn.A_log",
    };
    static const float ZEROS[SYNTH_HIDDEN];
    (void)state;
    struct kt_error err = { 0 };
    const struct synth *m = synth_named("qwen35-r4");
    char *dir = temp_dir_make(), path[PATH_LEN], part[256];
    synth_write_folder(m, dir);
    struct model_file *f;
    must(model_file_open(&f, dir, &err), &err);
    size_t n = model_file_n_tensors(f), n_short = 0;
    char *bad = temp_dir_make();
    struct buf config = { 0 };
    snprintf(path, sizeof(path), "%s/config.json", dir);
    must(file_read(&config, path, 1 << 16, &err), &err);
    save_file(bad, "config.json", config.ptr, config.len);
    snprintf(path, sizeof(path), "%s/model.safetensors", bad);
    for (size_t i = 0; i < n + sizeof(STRANGERS) / sizeof(STRANGERS[0]); i++) {
        const struct tensor *wrong = i < n ? model_file_tensor_at(f, i) : NULL;
        if (wrong && (!span_starts(wrong->name, SPAN("mtp.")) || wrong->n_dims != 1))
            continue;
        struct st_writer w = { 0 };
        char name[192];
        for (size_t k = 0; k < n; k++) {
            const struct tensor *t = model_file_tensor_at(f, k);
            uint64_t dims[TENSOR_DIMS_MAX];
            memcpy(dims, t->dims, sizeof(dims));
            dims[0] -= t == wrong;
            snprintf(name, sizeof(name), "%.*s", (int)t->name.len, t->name.ptr);
            st_put_tensor(&w, name, t->type, t->n_dims, dims, t->data);
        }
        if (wrong) {
            n_short++;
            snprintf(name, sizeof(name), "%.*s", (int)wrong->name.len, wrong->name.ptr);
            snprintf(part, sizeof(part), "tensor %s is [%llu]", name,
                     (unsigned long long)wrong->dims[0] - 1);
        } else {
            snprintf(name, sizeof(name), "%s", STRANGERS[i - n]);
            st_put_tensor(&w, name, QT_F32, 1, (uint64_t[]){ SYNTH_HIDDEN }, ZEROS);
            snprintf(part, sizeof(part), "tensor %s has no place", name);
        }
        st_writer_save(&w, path);
        st_writer_deinit(&w);
        expect_refusal(bad, part, name);
    }
    assert_int_equal(n_short, 7); /* two norms before fc, one after; of the layer two; of q and k */
    model_file_close(f);
    buf_deinit(&config);
    temp_dir_remove(bad);
    temp_dir_remove(dir);
}

int main(void)
{
    enum { N = sizeof(MODELS) / sizeof(MODELS[0]) };
    struct CMUnitTest tests[N + 2];
    for (size_t i = 0; i < N; i++)
        tests[i] = (struct CMUnitTest){ .name = MODELS[i],
                                        .test_func = one_model,
                                        .initial_state = (void *)(uintptr_t)MODELS[i] };
    tests[N] = (struct CMUnitTest)cmocka_unit_test(every_tensor_is_needed);
    tests[N + 1] = (struct CMUnitTest)cmocka_unit_test(heads_are_judged);
    return _cmocka_run_group_tests("layouts", tests, N + 2, NULL, NULL);
}
