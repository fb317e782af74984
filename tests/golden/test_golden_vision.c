/* Goal: images and videos give the numbers of the transformers library: the patches to the bit, the
 * tower's vectors, the logits of prompts they stand in, and those of the multi-token head; from a folder
 * and from GGUF with an mmproj file, which must agree to the bit; for any number of threads; and however
 * the prompt is cut.
 * Method: the models and prompts of sighted.h; tools/reference/vision.py recorded the reference. Mistakes
 * made on purpose are listed in docs/MODEL.md. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "golden/gold.h"
#include "golden/sighted.h"
#include "kernels/kernels.h"
#include "model/model.h"
#include "model/positions.h"
#include "support/model_writer.h"

static const double TOLERANCE = 2e-3, EXPECTED = 1e-4;

static void must(enum kt_status st, const struct kt_error *err)
{
    if (st)
        fail_msg("%s: %s", kt_status_name(st), err->text);
}

static void *get(size_t n, size_t size)
{
    void *p = calloc(n, size);
    assert_non_null(p);
    return p;
}

/* ---- patches ---- */

static uint64_t fnv(uint64_t h, const void *data, size_t n)
{
    const uint8_t *p = data;
    for (size_t i = 0; i < n; i++)
        h = (h ^ p[i]) * 0x100000001B3u;
    return h;
}

static uint64_t recorded_hash(const char *scene)
{
    char path[512], name[32];
    uint64_t hash, found = 0;
    snprintf(path, sizeof(path), "%s/tests/golden/pixels.txt", getenv("KONTOR_SOURCE"));
    FILE *f = fopen(path, "r");
    if (!f)
        fail_msg("%s is missing", path);
    while (fscanf(f, "%31s %" SCNx64, name, &hash) == 2) {
        if (strcmp(name, scene) == 0)
            found = hash;
    }
    fclose(f);
    return found;
}

static void test_patches(void **state)
{
    (void)state;
    struct kt_error err = { 0 };
    for (size_t s = 0; s < N_SCENES; s++) {
        struct vision_input in[SCENE_MEDIA_MAX];
        struct vision_grid g;
        uint64_t h = 0xCBF29CE484222325u;
        scene_open(in, &SCENES[s]);
        for (size_t i = 0; i < SCENES[s].n_media; i++) {
            must(vision_grid_of(&g, &in[i], &err), &err);
            size_t n = (size_t)g.rows * g.cols * 4, stride = VISION_PATCH_FLOATS;
            float *out = get(n, stride * sizeof(*out));
            for (uint32_t pair = 0; pair < g.n_pairs; pair++) {
                vision_patches(out, stride, &in[i], pair, 0, n / 2); /* in two parts */
                vision_patches(out + n / 2 * stride, stride, &in[i], pair, n / 2, n - n / 2);
                h = fnv(h, out, n * stride * sizeof(*out));
            }
            free(out);
        }
        scene_close(in);
        if (h != recorded_hash(SCENES[s].name))
            fail_msg("patches of %s: hash %016" PRIx64 ", recorded %016" PRIx64, SCENES[s].name, h,
                     recorded_hash(SCENES[s].name));
    }
}

/* ---- positions ---- */

static void test_positions(void **state)
{
    (void)state;
    /* the illustration of the fact sheet: 4 of text, an image of 2 x 3, 2 of text */
    const struct prompt_run runs[] = { { .n = 4 }, { .rows = 2, .cols = 3 }, { .n = 2 } };
    const uint32_t want[12][3] = { { 0, 0, 0 }, { 1, 1, 1 }, { 2, 2, 2 }, { 3, 3, 3 },
                                   { 4, 4, 4 }, { 4, 4, 5 }, { 4, 4, 6 }, { 4, 5, 4 },
                                   { 4, 5, 5 }, { 4, 5, 6 }, { 7, 7, 7 }, { 8, 8, 8 } };
    uint32_t got[12][3];
    assert_int_equal(prompt_positions(got, runs, ARRAY_LEN(runs), 0), 9);
    assert_memory_equal(got, want, sizeof(want));
}

/* ---- vectors ---- */

/* All media's vectors, one after the other: heap, [n, d_model]. */
static float *see(const char *path, const struct scene *s, size_t n_threads, size_t n_vectors)
{
    struct kt_error err = { 0 };
    struct kernels k;
    struct pool *pool;
    struct model_file *f;
    struct vision *v;
    struct vision_input in[SCENE_MEDIA_MAX];
    kernels_init(&k, cpu_detect());
    must(pool_create(&pool, n_threads, &err), &err);
    must(model_file_open(&f, path, &err), &err);
    must(vision_create(&v, f, &k, pool, SYNTH_HIDDEN, &err), &err);
    float *out = get(n_vectors, SYNTH_HIDDEN * sizeof(*out));
    size_t at = 0;
    scene_open(in, s);
    for (size_t i = 0; i < s->n_media; i++) {
        struct vision_grid g;
        must(vision_grid_of(&g, &in[i], &err), &err);
        assert_true(at + vision_n_vectors(&g) <= n_vectors);
        must(vision_encode(v, &in[i], out + at * SYNTH_HIDDEN, NULL, NULL, &err), &err);
        at += vision_n_vectors(&g);
    }
    assert_int_equal(at, n_vectors);
    scene_close(in);
    vision_destroy(v);
    model_file_close(f);
    pool_destroy(pool);
    return out;
}

static void check(const char *what, const char *scene, const float *got, const struct gold *g)
{
    struct gold_distance d = gold_compare(g, got, TOLERANCE);
    print_message("%-20s %-8s max |delta| / std %.2e, argmax wrong at %zu of %zu sure positions\n",
                  what, scene, d.max_abs, d.n_wrong, d.n_sure);
    if (!(d.max_abs <= EXPECTED) || d.n_wrong != 0)
        fail_msg("%s of %s differs from the reference by %.2e of its std, expected at most %.0e",
                 what, scene, d.max_abs, EXPECTED);
}

static void gold_named(struct gold *g, const struct sighted *m, const struct scene *s,
                       const char *what)
{
    char name[96];
    snprintf(name, sizeof(name), "%s.%s%s.gold", m->text.name, s->name, what);
    gold_open(g, name);
}

/* ---- prompts ---- */

struct prompt {
    const int32_t *tokens;
    size_t n;
    const float **embeds;     /* [n] */
    uint32_t (*positions)[3]; /* [n] */
};

/* Which runs a prompt has is found from its pads and the sizes of its images. */
static void prompt_make(struct prompt *p, const struct gold *g, const struct scene *s,
                        const float *vectors)
{
    *p = (struct prompt){ .tokens = g->tokens, .n = (size_t)g->n_tokens };
    p->embeds = get(p->n, sizeof(*p->embeds));
    p->positions = get(p->n, sizeof(*p->positions));
    uint32_t next = 0;
    size_t media = 0, pair = 0;
    for (size_t i = 0; i < p->n;) {
        struct prompt_run run = { .n = 1 };
        bool pad = p->tokens[i] == SIGHTED_IMAGE_PAD || p->tokens[i] == SIGHTED_VIDEO_PAD;
        if (pad) {
            assert_true(media < s->n_media);
            run = (struct prompt_run){ .rows = s->sizes[media].height / VISION_UNIT,
                                       .cols = s->sizes[media].width / VISION_UNIT };
            if (++pair >= s->sizes[media].n_frames / 2) {
                media++;
                pair = 0;
            }
        }
        size_t n = prompt_run_tokens(&run);
        assert_true(i + n <= p->n);
        for (size_t k = 0; pad && k < n; k++, vectors += SYNTH_HIDDEN)
            p->embeds[i + k] = vectors;
        next = prompt_positions(p->positions + i, &run, 1, next);
        i += n;
    }
    assert_int_equal(media, s->n_media);
}

static void prompt_free(struct prompt *p)
{
    free(p->embeds);
    free(p->positions);
}

struct loaded {
    struct kernels k;
    struct pool *pool;
    struct model_file *f;
    struct model *m;
    struct model_run *r;
};

static void load(struct loaded *l, const char *path, size_t n_batch, size_t n_threads)
{
    struct kt_error err = { 0 };
    kernels_init(&l->k, cpu_detect());
    must(pool_create(&l->pool, n_threads, &err), &err);
    must(model_file_open(&l->f, path, &err), &err);
    must(model_create(&l->m, l->f, &l->k, l->pool, &err), &err);
    must(model_run_create(&l->r, l->m, n_batch, &err), &err);
}

static void unload(struct loaded *l)
{
    model_run_destroy(l->r);
    model_destroy(l->m);
    model_file_close(l->f);
    pool_destroy(l->pool);
}

/* Tokens [from, to) in steps of at most n_step. With n_text, tokens from there on are handed over as text
 * without positions: the state must know where they are. */
static void advance(const struct loaded *l, struct model_state *st, const struct prompt *p,
                    size_t from, size_t to, size_t n_step, size_t text_from, float *logits,
                    float *hidden)
{
    struct kt_error err = { 0 };
    for (size_t i = from, n; i < to; i += n) {
        n = MIN(n_step, to - i);
        if (i < text_from)
            n = MIN(n, text_from - i);
        bool text = i >= text_from;
        struct model_span span = {
            .state = st,
            .tokens = p->tokens + i,
            .n_tokens = n,
            .logits_of = logits ? OUT_ALL : OUT_NONE,
            .logits = logits ? logits + i * SYNTH_VOCAB : NULL,
            .hidden = hidden ? hidden + i * SYNTH_HIDDEN : NULL,
            .embeds = text ? NULL : p->embeds + i,
            .positions = text ? NULL : (const uint32_t(*)[3])p->positions + i,
        };
        must(model_step(l->r, &span, 1, &err), &err);
    }
}

static size_t last_pad(const struct prompt *p)
{
    size_t last = 0;
    for (size_t i = 0; i < p->n; i++)
        last = p->embeds[i] ? i : last;
    return last;
}

static struct model_state *new_state(const struct loaded *l, size_t n)
{
    struct kt_error err = { 0 };
    struct model_state *st;
    must(model_state_create(&st, l->m, n, (struct state_types){ .kv = KV_F32 }, &err), &err);
    return st;
}

/* The whole prompt in one step: heap. */
static float *run_whole(const char *path, const struct prompt *p, size_t n_threads)
{
    struct loaded l;
    load(&l, path, p->n, n_threads);
    struct model_state *st = new_state(&l, p->n);
    float *out = get(p->n, SYNTH_VOCAB * sizeof(*out));
    advance(&l, st, p, 0, p->n, p->n, p->n, out, NULL);
    assert_int_equal(model_state_next_position(st), p->positions[p->n - 1][0] + 1);
    model_state_destroy(st);
    unload(&l);
    return out;
}

/* In pieces of 7, which cut images, and the text behind the last image one by one from a copied state. */
static float *run_parts(const char *path, const struct prompt *p)
{
    struct loaded l;
    size_t text = last_pad(p) + 1;
    load(&l, path, 7, 1);
    struct model_state *st = new_state(&l, p->n), *copy = new_state(&l, p->n);
    float *out = get(p->n, SYNTH_VOCAB * sizeof(*out));
    advance(&l, st, p, 0, 9, 7, p->n, out, NULL); /* something to forget */
    model_state_reset(st);
    assert_int_equal(model_state_next_position(st), 0);
    advance(&l, st, p, 0, text, 7, p->n, out, NULL);
    model_state_copy(copy, st);
    advance(&l, copy, p, text, p->n, 1, text, out, NULL);
    assert_int_equal(model_state_next_position(copy), p->positions[p->n - 1][0] + 1);
    model_state_destroy(copy);
    model_state_destroy(st);
    unload(&l);
    return out;
}

static void check_prompt(const struct sighted *m, const struct scene *s, const char *dir,
                         const char *gguf, const struct prompt *p, const struct gold *g)
{
    char what[64];
    size_t bytes = p->n * SYNTH_VOCAB * sizeof(float);
    float *whole = run_whole(dir, p, 1), *parts = run_parts(dir, p), *three = run_whole(dir, p, 3),
          *file = run_whole(gguf, p, 2);
    snprintf(what, sizeof(what), "%s folder", m->text.name);
    check(what, s->name, whole, g);
    assert_memory_equal(parts, whole, bytes);
    assert_memory_equal(three, whole, bytes);
    snprintf(what, sizeof(what), "%s gguf", m->text.name);
    check(what, s->name, file, g);
    free(whole);
    free(parts);
    free(three);
    free(file);
}

/* Pair t: the state of token t, where it is, and the vector or token t + 1. Whole, and cut inside the text at the
 * end. */
static void check_mtp(const struct sighted *m, const struct scene *s, const char *path,
                      const struct prompt *p)
{
    struct kt_error err = { 0 };
    struct gold g;
    struct loaded l;
    struct model_state *st, *head;
    size_t n = p->n - 1, text = last_pad(p) + 1;
    gold_named(&g, m, s, ".mtp");
    assert_int_equal(g.n_tokens, n);
    float *hidden = get(p->n, SYNTH_HIDDEN * sizeof(float)),
          *logits = get(n, SYNTH_VOCAB * sizeof(float)), last[SYNTH_VOCAB];
    load(&l, path, p->n, 2);
    must(model_state_create(&st, l.m, p->n, (struct state_types){ 0 }, &err), &err);
    must(model_mtp_state_create(&head, l.m, p->n, (struct state_types){ 0 }, &err), &err);
    advance(&l, st, p, 0, p->n, p->n, p->n, NULL, hidden);
    struct model_span span = { .state = head,
                               .tokens = p->tokens + 1,
                               .n_tokens = n,
                               .logits_of = OUT_ALL,
                               .logits = logits,
                               .hidden_in = hidden,
                               .embeds = p->embeds + 1,
                               .positions = (const uint32_t(*)[3])p->positions };
    must(model_mtp_step(l.r, &span, 1, &err), &err);
    check("sight-dense mtp", s->name, logits, &g);

    assert_true(text + 2 < n);
    model_state_cut(head, n - 1);
    span = (struct model_span){ .state = head,
                                .tokens = p->tokens + n,
                                .n_tokens = 1,
                                .logits_of = OUT_ALL,
                                .logits = last,
                                .hidden_in = hidden + (n - 1) * SYNTH_HIDDEN };
    must(model_mtp_step(l.r, &span, 1, &err), &err);
    assert_memory_equal(last, logits + (n - 1) * SYNTH_VOCAB, sizeof(last));
    model_state_destroy(head);
    model_state_destroy(st);
    unload(&l);
    free(hidden);
    free(logits);
    gold_close(&g);
}

static void check_scene(const struct sighted *m, const struct scene *s, const char *dir,
                        const char *gguf, const char *mmproj)
{
    struct gold vectors, logits;
    struct prompt p;
    char what[64];
    gold_named(&vectors, m, s, ".vectors");
    gold_named(&logits, m, s, "");
    size_t n = (size_t)vectors.n_tokens, bytes = n * SYNTH_HIDDEN * sizeof(float);
    float *one = see(dir, s, 1, n), *three = see(dir, s, 3, n), *file = see(mmproj, s, 2, n);
    snprintf(what, sizeof(what), "%s tower", m->text.name);
    check(what, s->name, one, &vectors);
    assert_memory_equal(three, one, bytes);
    assert_memory_equal(file, one, bytes);

    prompt_make(&p, &logits, s, one);
    check_prompt(m, s, dir, gguf, &p, &logits);
    if (m->text.mtp)
        check_mtp(m, s, dir, &p);
    prompt_free(&p);
    free(one);
    free(three);
    free(file);
    gold_close(&vectors);
    gold_close(&logits);
}

static void test_sighted(void **state)
{
    const struct sighted *m = *state;
    char *dir = temp_dir_make(), gguf[512], mmproj[512];
    snprintf(gguf, sizeof(gguf), "%s/model.gguf", dir);
    snprintf(mmproj, sizeof(mmproj), "%s/mmproj.gguf", dir);
    sighted_write_folder(m, dir);
    synth_write_gguf(&m->text, gguf, QT_BF16);
    sighted_write_mmproj(m, mmproj, QT_BF16);
    for (size_t s = 0; s < N_SCENES; s++)
        check_scene(m, &SCENES[s], dir, gguf, mmproj);
    temp_dir_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_patches),
        cmocka_unit_test(test_positions),
        cmocka_unit_test_prestate(test_sighted, (void *)(uintptr_t)&SIGHTED[0]),
        cmocka_unit_test_prestate(test_sighted, (void *)(uintptr_t)&SIGHTED[1]),
    };
    return cmocka_run_group_tests_name("golden_vision", tests, NULL, NULL);
}
