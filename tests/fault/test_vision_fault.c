/* Looking at an image while memory runs out: the n-th allocation fails, n = 1, 2, ... until one attempt gets through.
 * Each must end with "out of memory", or the like, and leave nothing behind: the sanitizer build counts what was not
 * freed. First the tower alone, then a whole answer about an image, from the context to the text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "golden/sighted.h"
#include "kontor/engine.h"
#include "fault/failing_alloc.h"
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

static char *dir;
static uint8_t rgb[2][32 * 64 * 3]; /* an image of 32 x 64 pixels, two vectors, and another */

/* Runs fn with the n-th allocation failing, n = 1, 2, ..., until it succeeds without one having failed. */
static size_t fail_each(enum kt_status (*fn)(void *ctx, struct kt_error *err), void *ctx)
{
    for (size_t n = 1;; n++) {
        struct kt_error err = { 0 };
        countdown = n;
        enum kt_status st = fn(ctx, &err);
        bool none_failed = countdown > 0;
        countdown = 0;
        if (!st && none_failed)
            return n - 1;
        if (!st)
            fail_msg("allocation %zu failed and nobody noticed", n);
        if (st != KT_E_NOMEM || !err.text[0])
            fail_msg("allocation %zu failed: %s (%s)", n, kt_status_name(st), err.text);
    }
}

static enum kt_status look(void *ctx, struct kt_error *err)
{
    static struct kernels k;
    kernels_init(&k, 0);
    struct vision *v;
    float out[2 * SYNTH_HIDDEN];
    enum kt_status st = vision_create(&v, ctx, &k, NULL, 0, err);
    if (!st)
        st = vision_encode(v, &(struct vision_input){ rgb[0], 1, 32, 64 }, out, NULL, NULL, err);
    vision_destroy(v);
    return st;
}

static void the_tower(void **state)
{
    (void)state;
    char path[512];
    struct kt_error err = { 0 };
    struct model_file *f;
    snprintf(path, sizeof(path), "%s/mmproj.gguf", dir);
    sighted_write_mmproj(&TINY, path, QT_BF16); /* with slices to join */
    assert_int_equal(model_file_open(&f, path, &err), KT_OK);
    size_t n = fail_each(look, f);
    printf("    the tower: %zu allocations, each failed once\n", n);
    assert_true(n >= 3);
    model_file_close(f);
}

/* Two images, the second of which is new each time: nothing that was seen before helps. */
static enum kt_status answer(void *ctx, struct kt_error *err)
{
    static unsigned round;
    const int32_t pad = SIGHTED_IMAGE_PAD, tokens[] = { 1, pad, pad, 2, pad, pad, 3 };
    const struct kt_vision_input media[2] = { { rgb[0], 1, 32, 64 }, { rgb[1], 1, 32, 64 } };
    struct kt_generate_request rq = { .prompt = tokens,
                                      .n_prompt = 7,
                                      .media = media,
                                      .n_media = 2,
                                      .n_max = 2,
                                      .ignore_stop_tokens = true };
    struct kt_generate_result r;
    struct kt_context *c;
    rgb[1][0] = (uint8_t)++round;
    rgb[1][1] = (uint8_t)(round >> 8);
    enum kt_status st =
        kt_context_create(&c, ctx, &(struct kt_context_options){ .n_ctx = 16, .n_batch = 4 }, err);
    if (st)
        return st;
    st = kt_generate(c, &rq, &r, err);
    if (!st)
        kt_generate_result_deinit(&r);
    kt_context_destroy(c);
    return st;
}

static void an_answer(void **state)
{
    (void)state;
    struct kt_error err = { 0 };
    struct kt_engine *e;
    assert_int_equal(kt_engine_open(&e, dir, &(struct kt_engine_options){ .n_threads = 1 }, &err),
                     KT_OK);
    size_t n = fail_each(answer, e);
    printf("    an answer: %zu allocations, each failed once\n", n);
    assert_true(n > 10);
    kt_engine_close(e);
}

int main(void)
{
    dir = temp_dir_make();
    sighted_write_folder(&TINY, dir);
    memset(rgb, 77, sizeof(rgb));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_tower),
        cmocka_unit_test(an_answer),
    };
    int rc = cmocka_run_group_tests_name("vision_fault", tests, NULL, NULL);
    temp_dir_remove(dir);
    return rc;
}
