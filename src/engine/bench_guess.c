/* engine/bench_guess.c: what guessing costs: steps that verify, beside plain ones, and guesses of the
 * multi-token head. How often guesses come true depends on the text and is not measured here; what is
 * measured says how often they must. */
#include "engine/engine_priv.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/rng.h"
#include "base/size.h"
#include "engine/head.h"
#include "engine/speculate.h"

enum { REPS_MAX = 1000, REPS = 9, DEPTH_MIN = 32 };

struct guess_bench {
    struct kt_engine *e;
    struct model_state *state;
    struct model_run *run;
    struct head *head; /* NULL: the model has none */
    size_t n_real;
    struct rng rng;
    int32_t tokens[SPECULATION_ROWS];
    float *logits; /* [SPECULATION_ROWS, n_vocab] */
};

static enum kt_status begin(struct guess_bench *b, struct kt_engine *e, size_t n_ctx,
                            struct state_types types, struct kt_error *err)
{
    *b = (struct guess_bench){ .e = e };
    size_t n_real = model_shape_of(e->model)->n_vocab_real;
    b->n_real = n_real && n_real < e->n_vocab ? n_real : e->n_vocab;
    rng_init(&b->rng, 1);
    b->logits = calloc(SPECULATION_ROWS, e->n_vocab * sizeof(*b->logits));
    enum kt_status st = model_state_create(&b->state, e->model, n_ctx, types, err);
    if (!st)
        st = model_state_allow_tentative(b->state, SPECULATION_ROWS, err);
    if (!st)
        st = model_run_create(&b->run, e->model, SPECULATION_ROWS, err);
    if (!st && model_has_mtp(e->model))
        st = head_create(&b->head, e, NULL, b->run, n_ctx, SPECULATION_ROWS, types, err);
    if (!st && !b->logits)
        st = kt_fail(err, KT_E_NOMEM, "bench: out of memory");
    return st;
}

static void end(struct guess_bench *b)
{
    head_destroy(b->head);
    model_run_destroy(b->run);
    model_state_destroy(b->state);
    free(b->logits);
}

/* A step of n rows of which the first stays, as when all guesses were wrong. */
static enum kt_status verify(struct guess_bench *b, size_t n, double *seconds, struct kt_error *err)
{
    for (size_t i = 0; i < n; i++)
        b->tokens[i] = (int32_t)rng_below(&b->rng, b->n_real);
    size_t at = model_state_n_past(b->state);
    if (b->head) {
        enum kt_status st = head_saw_token(b->head, b->tokens[0], at, true, err);
        if (st)
            return st;
    }
    struct model_span span = { .state = b->state,
                               .tokens = b->tokens,
                               .n_tokens = n,
                               .logits_of = OUT_ALL,
                               .logits = b->logits,
                               .hidden = b->head ? head_rows(b->head) : NULL,
                               .tentative = n > 1 };
    enum kt_status st = engine_step_timed(b->e, b->run, &span, 1, seconds, err);
    if (!st && n > 1)
        model_state_accept(b->state, 1);
    if (!st && b->head)
        head_saw_row(b->head, 0, at);
    return st;
}

/* One guess for the token after the last, and the step that follows the true one. */
static enum kt_status guess(struct guess_bench *b, double *seconds, struct kt_error *err)
{
    int32_t id, token = (int32_t)rng_below(&b->rng, b->n_real);
    float p;
    enum kt_status st = head_saw_token(b->head, token, model_state_n_past(b->state), true, err);
    uint64_t start = clock_now_ns();
    if (!st)
        st = head_guess(b->head, &id, &p, err);
    *seconds = (double)(clock_now_ns() - start) * 1e-9;
    head_cut(b->head);
    double unused;
    return st ? st : verify(b, 1, &unused, err);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *v, size_t n)
{
    qsort(v, n, sizeof(*v), by_value);
    return v[n / 2];
}

static enum kt_status measure(struct guess_bench *b, const struct kt_bench_request *rq,
                              size_t n_reps, struct kt_bench_guesses *out, struct kt_error *err)
{
    static const size_t ROWS[KT_BENCH_ROWS] = { 1, 2, 3, 5, 9, 13 };
    double t[KT_BENCH_ROWS + 1][REPS_MAX], unused;
    enum kt_status st = KT_OK;
    for (size_t i = 0; i < MAX(rq->n_depth, (size_t)DEPTH_MIN) && !st; i++)
        st = verify(b, 1, &unused, err);
    /* Round after round, so that what slows the machine slows all alike. */
    for (size_t r = 0; r < n_reps && !st; r++) {
        for (size_t i = 0; i < KT_BENCH_ROWS && !st; i++)
            st = verify(b, ROWS[i], &t[i][r], err);
        if (!st && b->head)
            st = guess(b, &t[KT_BENCH_ROWS][r], err);
        if (!st && rq->on_progress && !rq->on_progress(rq->callback_ctx, r + 1, n_reps))
            return kt_fail(err, KT_E_CANCELLED, "cancelled");
    }
    for (size_t i = 0; i < KT_BENCH_ROWS && !st; i++) {
        out->n_rows[i] = ROWS[i];
        out->rows_s[i] = median(t[i], n_reps);
    }
    if (!st && b->head)
        out->head_s = median(t[KT_BENCH_ROWS], n_reps);
    return st;
}

enum kt_status kt_bench_guesses(struct kt_engine *e, const struct kt_bench_request *rq,
                                struct kt_bench_guesses *out, struct kt_error *err)
{
    *out = (struct kt_bench_guesses){ 0 };
    size_t n_reps = rq->n_reps ? rq->n_reps : REPS, n_ctx;
    if (model_shape_of(e->model)->arch == ARCH_BERT)
        return kt_fail(err, KT_E_UNSUPPORTED, "%s: bench measures models that write text",
                       model_file_path(e->file));
    if (n_reps > REPS_MAX ||
        !size_add(&n_ctx, rq->n_depth, DEPTH_MIN + n_reps * (KT_BENCH_ROWS + 2) + SPECULATION_ROWS))
        return kt_fail(err, KT_E_LIMIT, "bench: at most %d repetitions", REPS_MAX);
    struct guess_bench b;
    enum kt_status st = begin(&b, e, n_ctx, engine_state_types(rq->kv, rq->state), err);
    if (!st)
        st = measure(&b, rq, n_reps, out, err);
    end(&b);
    return st;
}
