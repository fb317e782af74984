/* Goal: tokens that were only tried leave no trace. Method: a text is read token by token, and every
 * row of logits and, now and then, the whole state are kept. The same text is read again by steps
 * that begin with its next tokens and go on with wrong ones, of which a random number is taken back;
 * between them plain steps, copies, and another sequence in the same step that does the same. Every
 * row of a token that stayed, and the bytes of the state, must be those of the plain reading. Shapes
 * with and without recurrence, dense and with experts. The seed is printed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "golden/synthetic.h"
#include "model/model_priv.h"
#include "support/model_writer.h"
#include "support/must.h"

enum { N_TEXT = 352, N_CTX = N_TEXT + 16, ROWS_MAX = 9, EVERY = 16, SEED = 77 };

static const struct {
    const char *synth;
    enum qtype mats;
    struct state_types types;
    size_t n_threads;
} CASES[] = {
    { "llama-tied", QT_Q8_0, { KV_F16, STATE_F32 }, 1 },
    { "qwen35-r1", QT_Q8_0, { KV_Q8, STATE_BF16 }, 2 },
    { "qwen35-r3", QT_Q4_K, { KV_F32, STATE_F32 }, 1 },
    { "moe-r2", QT_Q4_K, { KV_F16, STATE_F32 }, 1 },
};

/* A text and what plain reading makes of it. */
struct plain {
    int32_t tokens[N_TEXT];
    float *logits;                              /* [N_TEXT, SYNTH_VOCAB]         */
    struct model_state *states[N_TEXT / EVERY]; /* after EVERY * (i + 1) tokens  */
};

struct setting {
    struct kernels k;
    struct pool *pool;
    struct model *m;
    struct state_types types;
    const char *name;
};

static struct model_state *new_state(const struct setting *e)
{
    struct model_state *s;
    must(model_state_create(&s, e->m, N_CTX, e->types, &err));
    return s;
}

static void read_plainly(struct plain *p, const struct setting *e, uint64_t seed)
{
    struct rng rng;
    rng_init(&rng, seed);
    p->logits = malloc((size_t)N_TEXT * SYNTH_VOCAB * sizeof(float));
    assert_non_null(p->logits);
    struct model_state *s = new_state(e);
    struct model_run *r;
    must(model_run_create(&r, e->m, 1, &err));
    for (size_t i = 0; i < N_TEXT; i++) {
        p->tokens[i] = (int32_t)rng_below(&rng, SYNTH_VOCAB);
        struct model_span sp = { .state = s,
                                 .tokens = &p->tokens[i],
                                 .n_tokens = 1,
                                 .logits_of = OUT_ALL,
                                 .logits = p->logits + i * SYNTH_VOCAB };
        must(model_step(r, &sp, 1, &err));
        if ((i + 1) % EVERY == 0) {
            p->states[i / EVERY] = new_state(e);
            model_state_copy(p->states[i / EVERY], s);
        }
    }
    model_run_destroy(r);
    model_state_destroy(s);
}

static void plain_free(struct plain *p)
{
    free(p->logits);
    for (size_t i = 0; i < N_TEXT / EVERY; i++)
        model_state_destroy(p->states[i]);
}

/* One sequence on its way through a text. */
struct walk {
    const struct plain *p;
    struct model_state *s;
    size_t at; /* tokens that stayed */
    int32_t tokens[ROWS_MAX];
    size_t n, n_good; /* of the current step: rows, and how many of them are the text's */
    bool tentative;
    float *logits; /* [ROWS_MAX, SYNTH_VOCAB] */
};

static void walk_open(struct walk *w, const struct plain *p, const struct setting *e)
{
    *w = (struct walk){ .p = p, .s = new_state(e) };
    must(model_state_allow_tentative(w->s, ROWS_MAX, &err));
    w->logits = malloc((size_t)ROWS_MAX * SYNTH_VOCAB * sizeof(float));
    assert_non_null(w->logits);
}

static void walk_close(struct walk *w)
{
    model_state_destroy(w->s);
    free(w->logits);
}

/* The next step: some tokens of the text, then some that are not. */
static struct model_span propose(struct walk *w, struct rng *rng)
{
    size_t left = N_TEXT - w->at, most = left < ROWS_MAX ? left : ROWS_MAX;
    w->tentative = rng_below(rng, 5) > 0;
    w->n = w->tentative ? 1 + rng_below(rng, ROWS_MAX) : 1 + rng_below(rng, most);
    w->n_good = w->tentative ? rng_below(rng, (w->n < left ? w->n : left) + 1) : w->n;
    for (size_t i = 0; i < w->n; i++)
        w->tokens[i] =
            i < w->n_good ? w->p->tokens[w->at + i] : (int32_t)rng_below(rng, SYNTH_VOCAB);
    return (struct model_span){ .state = w->s,
                                .tokens = w->tokens,
                                .n_tokens = w->n,
                                .logits_of = OUT_ALL,
                                .logits = w->logits,
                                .tentative = w->tentative };
}

static void decide(struct walk *w, const struct setting *e)
{
    assert_int_equal(model_state_n_past(w->s), w->at + w->n);
    if (w->tentative)
        model_state_accept(w->s, w->n_good);
    if (memcmp(w->logits, w->p->logits + w->at * SYNTH_VOCAB,
               w->n_good * SYNTH_VOCAB * sizeof(float)) != 0)
        fail_msg("%s (seed %d): after %zu tokens, a step of %zu rows has other logits", e->name,
                 SEED, w->at, w->n);
    w->at += w->n_good;
    assert_int_equal(model_state_n_past(w->s), w->at);
}

static void same_bytes(const char *what, const struct setting *e, size_t at, const void *a,
                       const void *b, size_t n)
{
    if (memcmp(a, b, n) != 0)
        fail_msg("%s (seed %d): after %zu tokens the %s are others", e->name, SEED, at, what);
}

/* The state as it is, and as the plain reading left it; 'copy' is settled, whatever w->s is. */
static void compare_state(const struct walk *w, struct model_state *copy, const struct setting *e)
{
    const struct model_state *want = w->p->states[w->at / EVERY - 1];
    const struct model_shape *s = &e->m->shape;
    model_state_copy(copy, w->s);
    assert_int_equal(copy->n_past, want->n_past);
    size_t row = kv_row_bytes(e->types.kv, s->head_dim);
    for (size_t at = 0; at < want->n_past; at += ATTN_PAGE) {
        size_t used = MIN((size_t)ATTN_PAGE, want->n_past - at) * row;
        const char *a = copy->page_rows[at / ATTN_PAGE], *b = want->page_rows[at / ATTN_PAGE];
        for (size_t head = 0; head + ATTN_PAGE * row <= want->sizes.page; head += ATTN_PAGE * row)
            same_bytes("keys and values", e, w->at, a + head, b + head, used);
    }
    same_bytes("recurrent states", e, w->at, copy->recurrent, want->recurrent,
               want->sizes.recurrent);
    same_bytes("convolution columns", e, w->at, copy->conv, want->conv, want->sizes.conv);
}

/* Two sequences, each at its own pace, most steps together. */
static void walk_both(const struct setting *e, const struct plain *a, const struct plain *b)
{
    struct rng rng;
    rng_init(&rng, SEED);
    struct walk w[2];
    walk_open(&w[0], a, e);
    walk_open(&w[1], b, e);
    struct model_state *copy = new_state(e);
    must(model_state_allow_tentative(copy, ROWS_MAX, &err));
    struct model_run *r;
    must(model_run_create(&r, e->m, 2 * ROWS_MAX, &err));
    size_t n_steps = 0, n_compared = 0;
    while (w[0].at < N_TEXT || w[1].at < N_TEXT) {
        struct model_span spans[2];
        struct walk *in[2];
        size_t n = 0;
        for (size_t i = 0; i < 2; i++) {
            if (w[i].at == N_TEXT || (w[!i].at < N_TEXT && rng_below(&rng, 4) == 0))
                continue;
            in[n] = &w[i];
            spans[n++] = propose(&w[i], &rng);
        }
        must(model_step(r, spans, n, &err));
        for (size_t i = 0; i < n; i++) {
            decide(in[i], e);
            if (in[i]->at == 0 || in[i]->at % EVERY != 0)
                continue;
            compare_state(in[i], copy, e);
            n_compared++;
            if (rng_below(&rng, 2)) { /* go on with the copy */
                struct model_state *t = in[i]->s;
                in[i]->s = copy;
                copy = t;
            }
        }
        n_steps += n > 0;
    }
    if (n_steps < 120 || n_compared < 10)
        fail_msg("%s: only %zu steps and %zu states compared", e->name, n_steps, n_compared);
    model_run_destroy(r);
    model_state_destroy(copy);
    walk_close(&w[0]);
    walk_close(&w[1]);
}

static void refuse(struct model_run *r, const struct model_span *sp, const char *message)
{
    enum kt_status st = model_step(r, sp, 1, &err);
    if (st != KT_E_USAGE || !strstr(err.text, message))
        fail_msg("got %s (%s), expected '%s'", kt_status_name(st), err.text, message);
}

static void check_contract(const struct setting *e, const struct plain *p)
{
    static const int32_t MORE[2] = { SYNTH_VOCAB - 1, 500 };
    struct model_state *s = new_state(e);
    struct model_run *r;
    must(model_run_create(&r, e->m, ROWS_MAX, &err));
    float *logits = malloc(2 * SYNTH_VOCAB * sizeof(float));
    assert_non_null(logits);
    struct model_span sp = { .state = s, .tokens = p->tokens, .n_tokens = 3, .tentative = true };
    refuse(r, &sp, "this state takes up to 0");
    assert_int_equal(model_state_allow_tentative(s, TENTATIVE_MAX + 1, &err), KT_E_LIMIT);
    must(model_state_allow_tentative(s, 2, &err));
    refuse(r, &sp, "this state takes up to 2");
    sp.n_tokens = 2;
    must(model_step(r, &sp, 1, &err));
    refuse(r, &sp, "nobody has decided");
    model_state_reset(s); /* takes back all and more */
    struct model_span some = { .state = s,
                               .tokens = p->tokens,
                               .n_tokens = 2,
                               .logits_of = OUT_ALL,
                               .logits = logits,
                               .n_ids = 98,
                               .n_more_ids = 2,
                               .more_ids = MORE };
    must(model_step(r, &some, 1, &err));
    for (size_t i = 0; i < 2; i++) { /* rows of 100: the first of the full ones, and two */
        const float *got = logits + i * 100, *want = p->logits + i * SYNTH_VOCAB;
        assert_memory_equal(got, want, 98 * sizeof(float));
        assert_memory_equal(&got[98], &want[MORE[0]], sizeof(float));
        assert_memory_equal(&got[99], &want[MORE[1]], sizeof(float));
    }
    some.n_ids = SYNTH_VOCAB + 1;
    refuse(r, &some, "the model has 1024");
    free(logits);
    model_run_destroy(r);
    model_state_destroy(s);
}

static void check_size(const struct setting *e)
{
    const struct model_shape *s = &e->m->shape;
    size_t n_linear = 0, eight, k = (size_t)s->lin_k_heads * 128, v = (size_t)s->lin_v_heads * 128;
    for (uint32_t i = 0; i < s->n_layers; i++)
        n_linear += s->recurrent[i];
    assert_true(tentative_size(&eight, s, 8));
    size_t floats = n_linear * (11 * (2 * k + v) + 16 * (k + v + 2 * s->lin_v_heads));
    assert_int_equal(eight, n_linear ? (floats + s->lin_v_dim) * 4 : 0);
    assert_false(tentative_size(&eight, s, TENTATIVE_MAX + 1));
}

static void test_case(void **state)
{
    size_t i = (size_t)(uintptr_t)*state;
    char *dir = temp_dir_make(), path[512];
    struct model_file *f;
    snprintf(path, sizeof(path), "%s/model.gguf", dir);
    synth_write_gguf(synth_named(CASES[i].synth), path, CASES[i].mats);
    must(model_file_open(&f, path, &err));
    struct setting e = { .types = CASES[i].types, .name = CASES[i].synth };
    struct plain a = { 0 }, b = { 0 };
    kernels_init(&e.k, cpu_detect());
    must(pool_create(&e.pool, CASES[i].n_threads, &err));
    must(model_create(&e.m, f, &e.k, e.pool, &err));
    read_plainly(&a, &e, 1);
    read_plainly(&b, &e, 2);
    walk_both(&e, &a, &b);
    check_contract(&e, &a);
    check_size(&e);
    plain_free(&a);
    plain_free(&b);
    model_destroy(e.m);
    pool_destroy(e.pool);
    model_file_close(f);
    temp_dir_remove(dir);
}

int main(void)
{
    struct CMUnitTest tests[sizeof(CASES) / sizeof(CASES[0])];
    const size_t n = sizeof(CASES) / sizeof(CASES[0]);
    for (size_t i = 0; i < n; i++)
        tests[i] = (struct CMUnitTest){ .name = CASES[i].synth,
                                        .test_func = test_case,
                                        .initial_state = (void *)(uintptr_t)i };
    return _cmocka_run_group_tests("tentative", tests, n, NULL, NULL);
}
