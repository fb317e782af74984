/* Goal: a vision tower's file is judged before it is used, and so is an image. Method: a tiny tower, each of whose
 * tensors is in turn left out or of another shape, in both containers; metadata that contradict the tensors or
 * ask for what is not computed; images of impossible sizes; a tower of 8-bit matrices; a memory bound that holds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "base/span.h"
#include "golden/sighted.h"
#include "kernels/kernels.h"
#include "model/vision.h"
#include "support/model_writer.h"

static const struct sighted TINY = {
    .text = { .name = "tiny",
              .arch = ARCH_QWEN35,
              .n_layers = 1,
              .n_heads = 1,
              .n_kv_heads = 1,
              .head_dim = 256,
              .tied = true,
              .theta = 1e7,
              .nk = 1,
              .nv = 1,
              .nested = true },
    .n_layers = 1,
    .d = 32,
    .n_heads = 2,
    .n_ff = 64,
};

static struct kernels kernels;

static void must(enum kt_status st, const struct kt_error *err)
{
    if (st)
        fail_msg("%s: %s", kt_status_name(st), err->text);
}

/* Opening the tower of 'path' for a model of width d_model; *v is NULL when it fails. */
static enum kt_status open_tower(struct model_file **f, struct vision **v, const char *path,
                                 struct pool *pool, uint32_t d_model, struct kt_error *err)
{
    *v = NULL;
    *f = NULL;
    enum kt_status st = model_file_open(f, path, err);
    return st ? st : vision_create(v, *f, &kernels, pool, d_model, err);
}

static void close_tower(struct model_file *f, struct vision *v)
{
    vision_destroy(v);
    model_file_close(f);
}

/* Opening must fail with a message that has all of the words. */
static void refuse(const char *path, enum kt_status want, const char *const *words, size_t n)
{
    struct kt_error err = { 0 };
    struct model_file *f;
    struct vision *v;
    enum kt_status st = open_tower(&f, &v, path, NULL, SYNTH_HIDDEN, &err);
    if (st != want)
        fail_msg("%s, expected %s: %s", kt_status_name(st), kt_status_name(want), err.text);
    for (size_t i = 0; i < n; i++) {
        if (!strstr(err.text, words[i]))
            fail_msg("'%s' does not say '%s'", err.text, words[i]);
    }
    assert_null(v);
    close_tower(f, v);
}

#define REFUSE(path, status, ...)                                                                  \
    refuse(path, status, (const char *const[]){ __VA_ARGS__ },                                     \
           ARRAY_LEN(((const char *const[]){ __VA_ARGS__ })))

/* ---- tensors ---- */

static void spoil_one(void *ctx, const char *hf, const char *gguf)
{
    char *dir = ctx, path[512], name[96];
    snprintf(path, sizeof(path), "%s/mmproj.gguf", dir);
    snprintf(name, sizeof(name), "model.visual.%s", hf);
    for (int bad = 0; bad < 2; bad++) {
        sighted_left_out = bad ? NULL : hf;
        sighted_misshapen = bad ? hf : NULL;
        const char *says = bad ? "expected [" : "is missing";
        sighted_write_tower_folder(&TINY, dir);
        REFUSE(dir, KT_E_FORMAT, dir, name, says);
        sighted_write_mmproj(&TINY, path, QT_BF16);
        REFUSE(path, KT_E_FORMAT, path, gguf, says);
    }
    sighted_left_out = sighted_misshapen = NULL;
}

static void test_spoiled_tensors(void **state)
{
    (void)state;
    char *dir = temp_dir_make();
    sighted_each(&TINY, spoil_one, dir);
    temp_dir_remove(dir);
}

static void test_other_width(void **state)
{
    (void)state;
    struct kt_error err = { 0 };
    struct model_file *f;
    struct vision *v;
    char *dir = temp_dir_make(), path[512];
    snprintf(path, sizeof(path), "%s/mmproj.gguf", dir);
    sighted_write_mmproj(&TINY, path, QT_BF16);
    assert_int_equal(open_tower(&f, &v, path, NULL, 1024, &err), KT_E_FORMAT);
    assert_non_null(strstr(err.text, "256"));
    assert_non_null(strstr(err.text, "1024"));
    assert_non_null(strstr(err.text, "different models"));
    close_tower(f, v);
    temp_dir_remove(dir);
}

/* ---- metadata ---- */

/* The folder's config with 'from' replaced by 'to'. */
static void edit_config(const char *dir, const char *from, const char *to)
{
    char path[512], text[8192];
    snprintf(path, sizeof(path), "%s/config.json", dir);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    size_t n = fread(text, 1, sizeof(text) - 1, f);
    fclose(f);
    text[n] = '\0';
    char *at = strstr(text, from);
    if (!at)
        fail_msg("config.json has no %s", from);
    struct buf out = { 0 };
    buf_append(&out, text, (size_t)(at - text));
    buf_append_str(&out, to);
    buf_append_str(&out, at + strlen(from));
    save_file(dir, "config.json", out.ptr, out.len);
    buf_deinit(&out);
}

static void test_metadata(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to;
        enum kt_status st;
        const char *says[2];
    } CASES[] = {
        { "\"depth\": 1", "\"depth\": 2", KT_E_FORMAT, { "blocks.1.norm1.weight", "is missing" } },
        { "\"depth\": 1", "\"depth\": 0", KT_E_FORMAT, { "vision_config.depth", "expected 1" } },
        { "\"depth\": 1", "\"deep\": 1", KT_E_FORMAT, { "vision_config.depth", "is missing" } },
        { "\"hidden_size\": 32",
          "\"hidden_size\": 64",
          KT_E_FORMAT,
          { "patch_embed", "expected [64]" } },
        { "\"num_heads\": 2", "\"num_heads\": 3", KT_E_FORMAT, { "does not divide", "3 heads" } },
        { "\"num_heads\": 2", "\"num_heads\": 16", KT_E_FORMAT, { "multiple of 4", "16 heads" } },
        { "\"intermediate_size\": 64",
          "\"intermediate_size\": 96",
          KT_E_FORMAT,
          { "linear_fc1", "96" } },
        { "\"out_hidden_size\": 256",
          "\"out_hidden_size\": 128",
          KT_E_FORMAT,
          { "128", "different models" } },
        { "_embeddings\": 2304", "_embeddings\": 2303", KT_E_FORMAT, { "2303", "square" } },
        { "_embeddings\": 2304", "_embeddings\": 2209", KT_E_FORMAT, { "pos_embed", "2209" } },
        { "\"patch_size\": 16", "\"patch_size\": 14", KT_E_UNSUPPORTED, { "patch_size", "14" } },
        { "_patch_size\": 2",
          "_patch_size\": 1",
          KT_E_UNSUPPORTED,
          { "temporal_patch_size", "1" } },
        { "merge_size\": 2", "merge_size\": 4", KT_E_UNSUPPORTED, { "spatial_merge_size", "4" } },
        { "channels\": 3", "channels\": 1", KT_E_UNSUPPORTED, { "in_channels", "1" } },
        { "gelu_pytorch_tanh", "quick_gelu", KT_E_UNSUPPORTED, { "hidden_act", "quick_gelu" } },
        { "indexes\": []", "indexes\": [5]", KT_E_UNSUPPORTED, { "deepstack", "not empty" } },
    };
    char *dir = temp_dir_make();
    for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
        sighted_write_tower_folder(&TINY, dir);
        edit_config(dir, CASES[i].from, CASES[i].to);
        REFUSE(dir, CASES[i].st, dir, CASES[i].says[0], CASES[i].says[1]);
    }
    temp_dir_remove(dir);
}

static void test_other_projector(void **state)
{
    (void)state;
    char *dir = temp_dir_make(), path[512];
    struct gguf_writer w = { 0 };
    snprintf(path, sizeof(path), "%s/mmproj.gguf", dir);
    gguf_put_str(&w, "general.architecture", "clip");
    gguf_put_str(&w, "clip.projector_type", "pixtral");
    gguf_put_random(&w, "v.patch_embd.weight", QT_F32, 2, (uint64_t[]){ 4, 4 }, 1.0f);
    gguf_writer_save(&w, path);
    gguf_writer_deinit(&w);
    REFUSE(path, KT_E_UNSUPPORTED, path, "pixtral", "qwen3vl_merger");
    temp_dir_remove(dir);
}

/* A text model has none, and that is not a damaged one. */
static void test_no_tower(void **state)
{
    (void)state;
    char *dir = temp_dir_make(), path[512];
    struct gguf_writer w = { 0 };
    snprintf(path, sizeof(path), "%s/model.gguf", dir);
    gguf_put_str(&w, "general.architecture", "qwen35");
    gguf_put_random(&w, "token_embd.weight", QT_F32, 2, (uint64_t[]){ 4, 4 }, 1.0f);
    gguf_writer_save(&w, path);
    gguf_writer_deinit(&w);
    REFUSE(path, KT_E_NOTFOUND, path, "no vision");
    temp_dir_remove(dir);
}

/* ---- inputs ---- */

static void test_inputs(void **state)
{
    (void)state;
    static const struct {
        uint32_t n_frames, height, width;
        enum kt_status st;
    } CASES[] = {
        { 1, 32, 32, KT_OK },
        { 2, 32, 64, KT_OK },
        { 1, 4096, 4096, KT_OK },
        { 1, 32, 65536, KT_OK },
        { 1, 8192, 8192, KT_OK },
        { 1, 0, 32, KT_E_USAGE },
        { 1, 32, 0, KT_E_USAGE },
        { 1, 33, 32, KT_E_USAGE },
        { 1, 32, 48, KT_E_USAGE },
        { 0, 32, 32, KT_E_USAGE },
        { 3, 32, 32, KT_E_USAGE },
        { 1, 32, 65568, KT_E_LIMIT },
        { 1, 8192, 8224, KT_E_LIMIT },
        { 1u << 17, 32, 32, KT_E_LIMIT },
        { 1, 0xFFFFFFE0u, 0xFFFFFFE0u, KT_E_LIMIT },
    };
    for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
        struct kt_error err = { 0 };
        struct vision_grid g;
        struct vision_input in = { NULL, CASES[i].n_frames, CASES[i].height, CASES[i].width };
        if (vision_grid_of(&g, &in, &err) != CASES[i].st)
            fail_msg("%u frames of %u x %u: not %s", CASES[i].n_frames, CASES[i].height,
                     CASES[i].width, kt_status_name(CASES[i].st));
    }
}

/* ---- running ---- */

static uint8_t *noise(size_t n)
{
    float *v = malloc(n * sizeof(*v));
    uint8_t *rgb = malloc(n);
    assert_non_null(v);
    assert_non_null(rgb);
    random_weights(v, "noise", n, 1.0f);
    for (size_t i = 0; i < n; i++)
        rgb[i] = (uint8_t)(v[i] * 128.0f + 128.0f);
    free(v);
    return rgb;
}

/* 8-bit matrices through the integer kernels: the same bits for one thread and three, and numbers. */
static void test_8_bit(void **state)
{
    (void)state;
    struct kt_error err = { 0 };
    char *dir = temp_dir_make(), path[512];
    snprintf(path, sizeof(path), "%s/mmproj.gguf", dir);
    sighted_write_mmproj(&TINY, path, QT_Q8_0);
    uint8_t *rgb = noise((size_t)4 * 96 * 160 * 3);
    struct vision_input in = { rgb, 4, 96, 160 };
    struct vision_grid g;
    must(vision_grid_of(&g, &in, &err), &err);
    size_t n = vision_n_vectors(&g) * SYNTH_HIDDEN;
    assert_int_equal(n, 2 * 15 * SYNTH_HIDDEN);
    float *out[2];
    for (size_t i = 0; i < 2; i++) {
        struct pool *pool;
        struct model_file *f;
        struct vision *v;
        must(pool_create(&pool, 1 + 2 * i, &err), &err);
        must(open_tower(&f, &v, path, pool, SYNTH_HIDDEN, &err), &err);
        out[i] = calloc(n, sizeof(float));
        must(vision_encode(v, &in, out[i], NULL, NULL, &err), &err);
        close_tower(f, v);
        pool_destroy(pool);
    }
    assert_memory_equal(out[0], out[1], n * sizeof(float));
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)out[0][i] * (double)out[0][i];
    assert_true(sum > 0 && sum < 1e12);
    free(out[0]);
    free(out[1]);
    free(rgb);
    temp_dir_remove(dir);
}

struct stops {
    size_t n_calls, stop_at, total;
};

static bool stop_later(void *ctx, size_t n_done, size_t n_total)
{
    struct stops *s = ctx;
    assert_true(n_done < n_total);
    s->total = n_total;
    return s->n_calls++ != s->stop_at;
}

/* Asked often, stopped at once, whenever that is. */
static void test_cancel(void **state)
{
    (void)state;
    struct kt_error err = { 0 };
    struct model_file *f;
    struct vision *v;
    char *dir = temp_dir_make();
    sighted_write_tower_folder(&TINY, dir);
    must(open_tower(&f, &v, dir, NULL, 0, &err), &err);
    uint8_t *rgb = noise((size_t)160 * 160 * 3);
    struct vision_input in = { rgb, 1, 160, 160 };
    float *out = calloc((size_t)25 * SYNTH_HIDDEN, sizeof(*out));
    struct stops all = { .stop_at = SIZE_MAX };
    must(vision_encode(v, &in, out, stop_later, &all, &err), &err);
    assert_true(all.n_calls >= 4);
    for (size_t i = 0; i < all.n_calls; i++) {
        struct stops s = { .stop_at = i };
        assert_int_equal(vision_encode(v, &in, out, stop_later, &s, &err), KT_E_CANCELLED);
        assert_int_equal(s.n_calls, i + 1);
    }
    free(out);
    free(rgb);
    close_tower(f, v);
    temp_dir_remove(dir);
}

/* Published towers and the largest image: what is said is what the layout adds up to, and nothing in it grows with
 * the square of the patches. */
static void test_memory(void **state)
{
    (void)state;
    const struct vision_shape big = { 27, 1152, 16, 4304, 48, 4096, 1e-6f };
    size_t one, four, sixteen;
    assert_true(vision_scratch_size(&one, &big, &(struct vision_grid){ 1, 32, 32 }, 2));
    assert_true(vision_scratch_size(&four, &big, &(struct vision_grid){ 1, 64, 64 }, 2));
    assert_true(vision_scratch_size(&sixteen, &big, &(struct vision_grid){ 1, 128, 128 }, 2));
    /* x, keys and values of a patch: (1152 + 2 * 16 * 80) floats */
    double patch = (1152 + 2 * 16 * 80) * 4.0;
    double slope = (double)(four - one) / (3 * 4096),
           steep = (double)(sixteen - four) / (12 * 4096);
    assert_true(slope < 1.01 * patch && slope > 0.99 * patch);
    assert_true(steep < 1.01 * patch && steep > 0.99 * patch);
    assert_true(sixteen < (size_t)1 << 30); /* 16.8 million pixels in less than 1 GiB */
}

int main(void)
{
    kernels_init(&kernels, cpu_detect());
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spoiled_tensors), cmocka_unit_test(test_other_width),
        cmocka_unit_test(test_metadata),        cmocka_unit_test(test_other_projector),
        cmocka_unit_test(test_no_tower),        cmocka_unit_test(test_inputs),
        cmocka_unit_test(test_8_bit),           cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests_name("vision", tests, NULL, NULL);
}
