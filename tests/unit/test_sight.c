/* Goal: an engine finds its vision part wherever it is, pairs the pads of a prompt with its images, looks at each image
 * once, and does not take one picture's state for another's.
 * Method: the models and prompts of golden/sighted.h through the public API; logits against the recorded ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/size.h"
#include "base/files.h"
#include "engine/engine_priv.h"
#include "engine/speculate.h"
#include "golden/gold.h"
#include "golden/sighted.h"
#include "kontor/engine.h"
#include "support/model_writer.h"

static const double TOLERANCE = 2e-3, EXPECTED = 1e-4;

/* One folder for all tests: dense/ is a model's folder, gguf/ has the same in two files. */
static char *base, dense[256], moe[256], gguf[256], gguf_file[512], mmproj_file[512];

static void must(enum kt_status st, const struct kt_error *err)
{
    if (st)
        fail_msg("%s: %s", kt_status_name(st), err->text);
}

static void refused(enum kt_status st, enum kt_status want, const struct kt_error *err,
                    const char *says)
{
    if (st != want || !strstr(err->text, says))
        fail_msg("%s, expected %s: '%s' says '%s'?", kt_status_name(st), kt_status_name(want),
                 err->text, says);
}

static struct kt_engine *open_engine(const char *path, const char *mmproj)
{
    struct kt_error err = { 0 };
    struct kt_engine *e;
    must(kt_engine_open(&e, path,
                        &(struct kt_engine_options){ .n_threads = 2, .mmproj_path = mmproj }, &err),
         &err);
    return e;
}

static struct kt_context *open_context(struct kt_engine *e, size_t n_batch)
{
    struct kt_error err = { 0 };
    struct kt_context *c;
    must(kt_context_create(
             &c, e,
             &(struct kt_context_options){ .n_ctx = 256, .kv = KT_KV_F32, .n_batch = n_batch },
             &err),
         &err);
    return c;
}

/* A prompt of golden/sighted.h with its pixels. */
struct prompt {
    const struct scene *s;
    struct gold g;
    struct vision_input pixels[SCENE_MEDIA_MAX];
    struct kt_vision_input media[SCENE_MEDIA_MAX];
};

static void prompt_open(struct prompt *p, const char *model, size_t scene)
{
    char name[96];
    p->s = &SCENES[scene];
    snprintf(name, sizeof(name), "%s.%s.gold", model, p->s->name);
    gold_open(&p->g, name);
    scene_open(p->pixels, p->s);
    for (size_t i = 0; i < p->s->n_media; i++)
        p->media[i] = (struct kt_vision_input){ p->pixels[i].rgb, p->pixels[i].n_frames,
                                                p->pixels[i].height, p->pixels[i].width };
}

static void prompt_close(struct prompt *p)
{
    scene_close(p->pixels);
    gold_close(&p->g);
}

static enum kt_status keep_row(void *ctx, size_t pos, const float *logits, size_t n_vocab,
                               struct kt_error *err)
{
    (void)err;
    memcpy((float *)ctx + pos * n_vocab, logits, n_vocab * sizeof(float));
    return KT_OK;
}

static void check_logits(struct kt_engine *e, const struct prompt *p, size_t n_batch)
{
    struct kt_error err = { 0 };
    struct kt_context *c = open_context(e, n_batch);
    size_t n = (size_t)p->g.n_tokens;
    float *out = calloc(n, SYNTH_VOCAB * sizeof(*out));
    must(kt_logits_media(c, p->g.tokens, n, p->media, p->s->n_media, keep_row, out, &err), &err);
    struct gold_distance d = gold_compare(&p->g, out, TOLERANCE);
    print_message("%-8s max |delta| / std %.2e\n", p->s->name, d.max_abs);
    if (!(d.max_abs <= EXPECTED) || d.n_wrong)
        fail_msg("%s: %.2e from the reference", p->s->name, d.max_abs);
    free(out);
    kt_context_destroy(c);
}

static void check_engine(const char *path, const char *mmproj, const char *model)
{
    struct kt_engine *e = open_engine(path, mmproj);
    struct kt_engine_info info;
    kt_engine_info(e, &info);
    assert_true(info.sees);
    assert_int_equal(info.image_pad, SIGHTED_IMAGE_PAD);
    assert_int_equal(info.video_pad, SIGHTED_VIDEO_PAD);
    for (size_t s = 0; s < N_SCENES; s++) {
        struct prompt p;
        prompt_open(&p, model, s);
        check_logits(e, &p, 64); /* cuts images */
        prompt_close(&p);
    }
    kt_engine_close(e);
}

static void test_logits(void **state)
{
    (void)state;
    check_engine(dense, NULL, "sight-dense");
    check_engine(moe, NULL, "sight-moe");
    check_engine(gguf_file, NULL, "sight-dense"); /* found beside it */
}

/* The multi-token head over the same prompts, in batches that cut images. */
static void test_logits_of_the_other_head(void **state)
{
    (void)state;
    struct kt_engine *e = open_engine(dense, NULL);
    for (size_t s = 0; s < N_SCENES; s++) {
        struct kt_error err = { 0 };
        struct prompt p;
        struct gold g;
        char name[96];
        prompt_open(&p, "sight-dense", s);
        snprintf(name, sizeof(name), "sight-dense.%s.mtp.gold", p.s->name);
        gold_open(&g, name);
        size_t n = (size_t)p.g.n_tokens;
        assert_int_equal(g.n_tokens, n - 1);
        float *out = calloc(n, SYNTH_VOCAB * sizeof(*out));
        for (size_t n_batch = 256; n_batch > 1; n_batch = n_batch == 256 ? 13 : 0) {
            struct kt_context *c = open_context(e, n_batch);
            must(kt_logits_mtp_media(c, p.g.tokens, n, p.media, p.s->n_media, keep_row, out, &err),
                 &err);
            struct gold_distance d = gold_compare(&g, out, TOLERANCE);
            print_message("%-8s other head, batches of %zu: max |delta| / std %.2e\n", p.s->name,
                          n_batch, d.max_abs);
            if (!(d.max_abs <= EXPECTED) || d.n_wrong)
                fail_msg("%s: %.2e from the reference", name, d.max_abs);
            refused(kt_logits_mtp(c, p.g.tokens, n, keep_row, out, &err), KT_E_USAGE, &err,
                    "comes with 0 only");
            kt_context_destroy(c);
        }
        free(out);
        gold_close(&g);
        prompt_close(&p);
    }
    kt_engine_close(e);
}

/* ---- which file ---- */

static bool sees(const char *path)
{
    struct kt_engine *e = open_engine(path, NULL);
    struct kt_engine_info info;
    kt_engine_info(e, &info);
    kt_engine_close(e);
    return info.sees;
}

static void refuse_to_look(const char *path, const char *says)
{
    struct kt_error err = { 0 };
    struct kt_engine *e = open_engine(path, NULL);
    uint8_t rgb[32 * 32 * 3] = { 0 };
    float vector[SYNTH_HIDDEN];
    struct kt_vision_input in = { rgb, 1, 32, 32 };
    refused(kt_vision_embed(e, &in, vector, NULL, NULL, &err), KT_E_UNSUPPORTED, &err, says);
    kt_engine_close(e);
}

static void test_which_file(void **state)
{
    (void)state;
    struct kt_error err = { 0 };
    struct kt_engine *e;
    char second[512], other[512], blind[256];
    snprintf(second, sizeof(second), "%s/mmproj-second.gguf", gguf);
    snprintf(blind, sizeof(blind), "%s/blind", base);
    must(dir_make(blind, 0700, &err), &err);
    kt_engine_close(open_engine(gguf_file, mmproj_file)); /* named */
    sighted_write_mmproj(&SIGHTED[0], second, QT_F32);
    assert_false(sees(gguf_file)); /* which of the two? */
    refuse_to_look(gguf_file, "2 files mmproj*.gguf");
    assert_int_equal(unlink(second), 0);

    /* alone, beside a file that is another model's, and damaged */
    snprintf(other, sizeof(other), "%s/model.gguf", blind);
    synth_write_gguf(&SIGHTED[0].text, other, QT_BF16);
    assert_false(sees(other));
    refuse_to_look(other, "sees no images");
    snprintf(second, sizeof(second), "%s/mmproj.gguf", blind);
    sighted_left_out = "merger.norm.bias";
    sighted_write_mmproj(&SIGHTED[0], second, QT_BF16);
    sighted_left_out = NULL;
    assert_false(sees(other));
    refuse_to_look(other, "v.post_ln.bias");

    struct kt_engine_options named = { .n_threads = 1, .mmproj_path = second };
    refused(kt_engine_open(&e, other, &named, &err), KT_E_FORMAT, &err, "v.post_ln.bias");
    named.mmproj_path = other;
    refused(kt_engine_open(&e, other, &named, &err), KT_E_NOTFOUND, &err, "no vision tower");
    named.mmproj_path = "/nonexistent/mmproj.gguf";
    refused(kt_engine_open(&e, other, &named, &err), KT_E_NOTFOUND, &err, "/nonexistent");
    synth_write_gguf(synth_named("llama-tied"), other, QT_BF16);
    named.mmproj_path = mmproj_file;
    refused(kt_engine_open(&e, other, &named, &err), KT_E_UNSUPPORTED, &err, "llama");
    assert_false(sees(other)); /* the file beside it is not its own */
}

/* ---- pads ---- */

/* The prompt of images with one thing wrong. */
static void refuse_prompt(struct kt_engine *e, const struct prompt *p, const int32_t *tokens,
                          size_t n_tokens, size_t n_media, const char *says)
{
    struct kt_error err = { 0 };
    struct kt_context *c = open_context(e, 64);
    struct kt_generate_result r;
    struct kt_generate_request rq = {
        .prompt = tokens, .n_prompt = n_tokens, .media = p->media, .n_media = n_media, .n_max = 1
    };
    refused(kt_generate(c, &rq, &r, &err), KT_E_USAGE, &err, says);
    kt_context_destroy(c);
}

static void test_pads(void **state)
{
    (void)state;
    struct kt_engine *e = open_engine(dense, NULL);
    struct prompt p;
    prompt_open(&p, "sight-dense", 0);
    size_t n = (size_t)p.g.n_tokens, first = 0;
    int32_t tokens[256];
    while (p.g.tokens[first] != SIGHTED_IMAGE_PAD)
        first++;
    refuse_prompt(e, &p, p.g.tokens, n, 0, "comes with 0");
    refuse_prompt(e, &p, p.g.tokens, n, 3, "comes with 3");
    refuse_prompt(e, &p, p.g.tokens, first, 4, "has places for 0");
    refuse_prompt(e, &p, p.g.tokens, first + 5, 1, "has 6 vectors");
    memcpy(tokens, p.g.tokens, n * sizeof(*tokens));
    tokens[first + 3] = 1;
    refuse_prompt(e, &p, tokens, n, 4, "there are 3");
    tokens[first + 3] = SIGHTED_VIDEO_PAD;
    refuse_prompt(e, &p, tokens, n, 4, "there are 3");
    memcpy(tokens, p.g.tokens, n * sizeof(*tokens));
    memmove(tokens + first + 7, tokens + first + 6, (n - first - 6) * sizeof(*tokens));
    tokens[first + 6] = SIGHTED_IMAGE_PAD; /* a seventh */
    refuse_prompt(e, &p, tokens, n + 1, 4, "has 64 vectors");
    tokens[first + 6] = SIGHTED_VIDEO_PAD;
    refuse_prompt(e, &p, tokens, n + 1, 4, "does not stand for an image");
    struct kt_vision_input keep = p.media[0];
    p.media[0].width = 97;
    refuse_prompt(e, &p, p.g.tokens, n, 4, "multiples of 32");
    p.media[0] = keep;
    p.media[0].n_frames = 2; /* never read: the pad is an image's */
    refuse_prompt(e, &p, p.g.tokens, n, 4, "does not stand for a video");
    prompt_close(&p);
    kt_engine_close(e);
}

/* ---- what is reused ---- */

static size_t generate(struct kt_context *c, const struct prompt *p, const int32_t *tokens,
                       size_t n_tokens, int32_t out[static 4])
{
    struct kt_error err = { 0 };
    struct kt_generate_result r;
    struct kt_generate_request rq = { .prompt = tokens,
                                      .n_prompt = n_tokens,
                                      .media = p->media,
                                      .n_media = p->s->n_media,
                                      .n_max = 4,
                                      .ignore_stop_tokens = true };
    must(kt_generate(c, &rq, &r, &err), &err);
    assert_int_equal(r.n_tokens, 4);
    memcpy(out, r.tokens, 4 * sizeof(*out));
    size_t cached = r.tokens_cached;
    kt_generate_result_deinit(&r);
    return cached;
}

static void test_reuse(void **state)
{
    (void)state;
    struct kt_engine *e = open_engine(dense, NULL);
    struct prompt p;
    prompt_open(&p, "sight-dense", 1); /* the video */
    struct kt_context *c = open_context(e, 16), *fresh = open_context(e, 64);
    size_t n = (size_t)p.g.n_tokens;
    int32_t tokens[256], out[4], again[4];
    memcpy(tokens, p.g.tokens, n * sizeof(*tokens));
    assert_int_equal(generate(c, &p, tokens, n, out), 0);

    /* The conversation goes on: what is there is not computed again, and nothing comes out differently. */
    memcpy(tokens + n, out, sizeof(out));
    tokens[n + 4] = 17;
    tokens[n + 5] = 18;
    assert_int_equal(generate(c, &p, tokens, n + 6, out),
                     n + 3); /* the last one had no step of its own */
    assert_int_equal(generate(fresh, &p, tokens, n + 6, again), 0);
    assert_memory_equal(out, again, sizeof(out));

    /* One level of one pixel of the last pair: another prompt. */
    size_t last = p.s->n_media - 1;
    uint8_t *rgb = (uint8_t *)(uintptr_t)p.media[last].rgb;
    size_t at = (size_t)p.media[last].n_frames * p.media[last].height * p.media[last].width * 3 - 1;
    rgb[at] ^= 1;
    assert_int_equal(generate(c, &p, tokens, n, out), 0);
    rgb[at] ^= 1;
    assert_int_equal(generate(c, &p, tokens, n, again), 0);

    /* Two images exchanged, of which the state knows the first only so far. */
    struct kt_vision_input first = p.media[0];
    p.media[0].rgb = p.media[0].rgb + 1; /* other pixels, still inside */
    p.media[0].n_frames = 6;
    uint8_t *moved = malloc((size_t)6 * 64 * 128 * 3);
    memcpy(moved, first.rgb, (size_t)6 * 64 * 128 * 3);
    moved[0] ^= 128;
    p.media[0].rgb = moved;
    assert_int_equal(generate(c, &p, tokens, n, out), 0);
    p.media[0] = first;
    free(moved);
    kt_context_destroy(fresh);
    kt_context_destroy(c);
    prompt_close(&p);
    kt_engine_close(e);
}

/* Guesses behind images: the same answer as without, although guessed tokens are taken back. */
static void test_guesses(void **state)
{
    (void)state;
    struct kt_error err = { 0 };
    struct kt_engine *e = open_engine(dense, NULL);
    struct kt_context *c;
    struct kt_context_options opts = {
        .n_ctx = 256, .kv = KT_KV_F32, .n_batch = 32, .speculate = KT_SPECULATE_AUTO
    };
    size_t n_tried = 0, n_right = 0;
    must(kt_context_create(&c, e, &opts, &err), &err);
    speculation_be_eager(c->guessing);
    for (size_t scene = 0; scene < N_SCENES; scene++) {
        struct prompt p;
        prompt_open(&p, "sight-dense", scene);
        static const enum kt_speculate HOW[] = { KT_SPECULATE_OFF, KT_SPECULATE_MTP,
                                                 KT_SPECULATE_LOOKUP, KT_SPECULATE_AUTO };
        int32_t want[40] = { 0 };
        for (size_t i = 0; i < ARRAY_LEN(HOW); i++) {
            struct kt_generate_result r;
            struct kt_generate_request rq = { .prompt = p.g.tokens,
                                              .n_prompt = (size_t)p.g.n_tokens,
                                              .media = p.media,
                                              .n_media = p.s->n_media,
                                              .n_max = 40,
                                              .speculate = HOW[i],
                                              .ignore_stop_tokens = true };
            must(kt_generate(c, &rq, &r, &err), &err);
            assert_int_equal(r.n_tokens, 40);
            if (i == 0)
                memcpy(want, r.tokens, sizeof(want));
            assert_memory_equal(r.tokens, want, sizeof(want));
            n_tried += r.mtp.tried + r.lookup.tried;
            n_right += r.mtp.right + r.lookup.right;
            kt_generate_result_deinit(&r);
        }
        prompt_close(&p);
    }
    print_message("%zu of %zu guesses were right\n", n_right, n_tried);
    assert_true(n_right > 0);
    assert_true(n_tried > n_right);
    kt_context_destroy(c);
    kt_engine_close(e);
}

/* ---- what was seen ---- */

static bool count_calls(void *ctx, size_t n_done, size_t n_total)
{
    (void)n_done;
    (void)n_total;
    ++*(size_t *)ctx;
    return true;
}

/* Did it have to look? An image of one vector, all of whose pixels are 'level'. */
static bool looks_at(struct kt_engine *e, unsigned level, float vector[static SYNTH_HIDDEN])
{
    struct kt_error err = { 0 };
    uint8_t rgb[32 * 32 * 3];
    size_t n_calls = 0;
    memset(rgb, (int)(level & 255), sizeof(rgb));
    rgb[0] = (uint8_t)(level >> 8);
    struct kt_vision_input in = { rgb, 1, 32, 32 };
    assert_int_equal(kt_vision_tokens(&in), 1);
    must(kt_vision_embed(e, &in, vector, count_calls, &n_calls, &err), &err);
    return n_calls > 0;
}

static void test_seen(void **state)
{
    (void)state;
    struct kt_engine *e = open_engine(dense, NULL);
    float first[SYNTH_HIDDEN], vector[SYNTH_HIDDEN];
    assert_true(looks_at(e, 0, first));
    assert_false(looks_at(e, 0, vector));
    assert_memory_equal(first, vector, sizeof(vector));
    for (unsigned i = 1; i < SIGHT_SEEN_MAX + 10; i++)
        assert_true(looks_at(e, i, vector));
    assert_false(looks_at(e, SIGHT_SEEN_MAX + 9, vector));
    assert_true(looks_at(e, 0, vector)); /* long forgotten, and the same again */
    assert_memory_equal(first, vector, sizeof(vector));

    struct kt_vision_input bad = { NULL, 1, 32, 33 };
    struct kt_error err = { 0 };
    assert_int_equal(kt_vision_tokens(&bad), 0);
    refused(kt_vision_embed(e, &bad, vector, NULL, NULL, &err), KT_E_USAGE, &err,
            "multiples of 32");
    kt_engine_close(e);
}

struct asker {
    struct kt_engine *e;
    const struct prompt *p;
    int32_t out[4];
};

static void *ask(void *ctx)
{
    struct asker *a = ctx;
    struct kt_context *c = open_context(a->e, 32);
    generate(c, a->p, a->p->g.tokens, (size_t)a->p->g.n_tokens, a->out);
    kt_context_destroy(c);
    return NULL;
}

/* Two at once ask about the same pictures. */
static void test_together(void **state)
{
    (void)state;
    struct kt_engine *e = open_engine(dense, NULL);
    struct prompt p;
    prompt_open(&p, "sight-dense", 0);
    struct asker askers[2] = { { .e = e, .p = &p }, { .e = e, .p = &p } };
    pthread_t threads[2];
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, ask, &askers[i]), 0);
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_memory_equal(askers[0].out, askers[1].out, sizeof(askers[0].out));
    prompt_close(&p);
    kt_engine_close(e);
}

static bool stop_soon(void *ctx, size_t n_done, size_t n_total)
{
    (void)n_done;
    (void)n_total;
    return --*(int *)ctx > 0;
}

/* Stopped anywhere, also while it looks; the next question is answered as ever. */
static void test_cancel(void **state)
{
    (void)state;
    struct kt_error err = { 0 };
    struct prompt p;
    prompt_open(&p, "sight-dense", 0);
    size_t n = (size_t)p.g.n_tokens;
    int32_t want[4], got[4];
    struct kt_engine *e = open_engine(dense, NULL);
    struct kt_context *c = open_context(e, 64);
    generate(c, &p, p.g.tokens, n, want);
    kt_context_destroy(c);
    kt_engine_close(e);
    for (int after = 1; after < 40; after += 13) {
        e = open_engine(dense, NULL);
        c = open_context(e, 64);
        int left = after;
        struct kt_generate_result r;
        struct kt_generate_request rq = { .prompt = p.g.tokens,
                                          .n_prompt = n,
                                          .media = p.media,
                                          .n_media = p.s->n_media,
                                          .n_max = 4,
                                          .on_progress = stop_soon,
                                          .callback_ctx = &left };
        must(kt_generate(c, &rq, &r, &err), &err);
        assert_int_equal(r.finish, KT_FINISH_CANCELLED);
        kt_generate_result_deinit(&r);
        generate(c, &p, p.g.tokens, n, got);
        assert_memory_equal(got, want, sizeof(want));
        kt_context_destroy(c);
        kt_engine_close(e);
    }
    prompt_close(&p);
}

static void test_score(void **state)
{
    (void)state;
    struct kt_error err = { 0 };
    struct kt_engine *e = open_engine(dense, NULL);
    struct kt_context *c = open_context(e, 64);
    struct prompt p;
    prompt_open(&p, "sight-dense", 0);
    size_t n = (size_t)p.g.n_tokens, n_tail = 4;
    double logprob, want = 0;
    float *out = calloc(n, SYNTH_VOCAB * sizeof(*out));
    must(kt_logits_media(c, p.g.tokens, n, p.media, p.s->n_media, keep_row, out, &err), &err);
    for (size_t i = n - n_tail; i < n; i++)
        want += kt_logprob(out + (i - 1) * SYNTH_VOCAB, SYNTH_VOCAB, p.g.tokens[i]);
    must(kt_score_media(c, p.g.tokens, n - n_tail, p.media, p.s->n_media, p.g.tokens + n - n_tail,
                        n_tail, &logprob, &err),
         &err);
    assert_true(logprob == want);
    free(out);
    prompt_close(&p);
    kt_context_destroy(c);
    kt_engine_close(e);
}

static int set_up(void **state)
{
    (void)state;
    struct kt_error err = { 0 };
    base = temp_dir_make();
    snprintf(dense, sizeof(dense), "%s/dense", base);
    snprintf(moe, sizeof(moe), "%s/moe", base);
    snprintf(gguf, sizeof(gguf), "%s/gguf", base);
    snprintf(gguf_file, sizeof(gguf_file), "%s/model.gguf", gguf);
    snprintf(mmproj_file, sizeof(mmproj_file), "%s/mmproj-dense.gguf", gguf);
    must(dir_make(dense, 0700, &err), &err);
    must(dir_make(moe, 0700, &err), &err);
    must(dir_make(gguf, 0700, &err), &err);
    sighted_write_folder(&SIGHTED[0], dense);
    sighted_write_folder(&SIGHTED[1], moe);
    synth_write_gguf(&SIGHTED[0].text, gguf_file, QT_BF16);
    sighted_write_mmproj(&SIGHTED[0], mmproj_file, QT_BF16);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    temp_dir_remove(base);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_logits),     cmocka_unit_test(test_logits_of_the_other_head),
        cmocka_unit_test(test_which_file), cmocka_unit_test(test_pads),
        cmocka_unit_test(test_reuse),      cmocka_unit_test(test_guesses),
        cmocka_unit_test(test_seen),       cmocka_unit_test(test_together),
        cmocka_unit_test(test_cancel),     cmocka_unit_test(test_score),
    };
    return cmocka_run_group_tests_name("sight", tests, set_up, tear_down);
}
