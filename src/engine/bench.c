/* engine/bench.c: how many tokens a second, with nothing but the model in the time: fixed token
 * ids, no tokenizer, no sampling. The work is that of llama-bench's pp and tg tests, so that the
 * two compare: a prompt in chunks of n_batch with the logits of its last token; then single tokens
 * with logits each. */
#include "engine/engine_priv.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/rng.h"
#include "base/size.h"

enum { N_STREAMS_MAX = 64, N_REPS_MAX = 1000 };

struct bench {
    struct kt_engine *e;
    const struct kt_bench_request *rq;
    size_t n_streams, n_reps, n_batch;
    struct model_run *run;
    struct model_state *deep; /* rq->n_depth tokens in; NULL: depth 0 */
    struct model_state *states[N_STREAMS_MAX];
    struct model_state *reader; /* of the chunk in a mixed step; NULL: there is none */
    int32_t *tokens;            /* [largest of all that is asked] */
    float *logits;              /* [n_streams, n_vocab] */
};

static enum kt_status bench_init(struct bench *b, struct kt_error *err)
{
    const struct kt_bench_request *rq = b->rq;
    if (rq->mixed && rq->n_prompt == 0)
        return kt_fail(err, KT_E_USAGE, "bench: a mixed step needs a prompt of at least one token");
    if (b->n_streams > N_STREAMS_MAX || b->n_reps > N_REPS_MAX)
        return kt_fail(err, KT_E_LIMIT, "bench: at most %d streams and %d repetitions",
                       N_STREAMS_MAX, N_REPS_MAX);
    size_t n_new = MAX(MAX(rq->n_prompt, rq->n_gen), (size_t)1), n_ctx;
    if (!size_add(&n_ctx, rq->n_depth, n_new) || n_ctx > INT32_MAX)
        return kt_fail(err, KT_E_LIMIT,
                       "bench: %zu tokens at depth %zu are more than any model takes", n_new,
                       rq->n_depth);
    struct state_types types = engine_state_types(rq->kv, rq->state);
    size_t n_rows = MAX(b->n_batch, b->n_streams) + (rq->mixed ? b->n_streams : 0);
    enum kt_status st = model_run_create(&b->run, b->e->model, n_rows, err);
    for (size_t i = 0; i < b->n_streams && !st; i++)
        st = model_state_create(&b->states[i], b->e->model, n_ctx, types, err);
    if (!st && rq->mixed)
        st = model_state_create(&b->reader, b->e->model, n_ctx, types, err);
    if (!st && rq->n_depth)
        st = model_state_create(&b->deep, b->e->model, rq->n_depth, types, err);
    if (st)
        return st;
    size_t n_tokens = MAX(n_new, rq->n_depth);
    b->tokens = calloc(n_tokens, sizeof(*b->tokens));
    b->logits = calloc(b->n_streams, b->e->n_vocab * sizeof(*b->logits));
    if (!b->tokens || !b->logits)
        return kt_fail(err, KT_E_NOMEM, "bench: out of memory");
    struct rng rng;
    rng_init(&rng, 1);
    size_t n_real = model_shape_of(b->e->model)->n_vocab_real;
    n_real = n_real && n_real < b->e->n_vocab ? n_real : b->e->n_vocab;
    for (size_t i = 0; i < n_tokens; i++)
        b->tokens[i] = (int32_t)rng_below(&rng, n_real);
    return KT_OK;
}

static void bench_deinit(struct bench *b)
{
    for (size_t i = 0; i < b->n_streams && i < N_STREAMS_MAX; i++)
        model_state_destroy(b->states[i]);
    model_state_destroy(b->deep);
    model_state_destroy(b->reader);
    model_run_destroy(b->run);
    free(b->tokens);
    free(b->logits);
}

static enum kt_status fill(struct bench *b, struct model_state *s, size_t n, struct kt_error *err)
{
    enum kt_status st = KT_OK;
    for (size_t i = 0; i < n && !st;) {
        size_t k = MIN(b->n_batch, n - i);
        bool last = i + k == n;
        struct model_span span = { .state = s,
                                   .tokens = b->tokens + i,
                                   .n_tokens = k,
                                   .logits_of = last ? OUT_LAST : OUT_NONE,
                                   .logits = last ? b->logits : NULL };
        st = engine_step(b->e, b->run, &span, 1, err);
        i += k;
    }
    return st;
}

static void rewind_one(struct bench *b, struct model_state *s)
{
    if (b->deep)
        model_state_copy(s, b->deep);
    else
        model_state_reset(s);
}

static void rewind_states(struct bench *b)
{
    for (size_t i = 0; i < b->n_streams; i++)
        rewind_one(b, b->states[i]);
}

/* n single tokens of every stream, one step for all streams. */
static enum kt_status decode(struct bench *b, size_t n, struct kt_error *err)
{
    enum kt_status st = KT_OK;
    for (size_t i = 0; i < n && !st; i++) {
        struct model_span spans[N_STREAMS_MAX];
        for (size_t s = 0; s < b->n_streams; s++)
            spans[s] = (struct model_span){ .state = b->states[s],
                                            .tokens = b->tokens + i,
                                            .n_tokens = 1,
                                            .logits_of = OUT_LAST,
                                            .logits = b->logits + s * b->e->n_vocab };
        st = engine_step(b->e, b->run, spans, b->n_streams, err);
    }
    return st;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *v, size_t n)
{
    qsort(v, n, sizeof(*v), by_value);
    return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

static enum kt_status measure(struct bench *b, struct kt_bench_result *out, struct kt_error *err)
{
    const struct kt_bench_request *rq = b->rq;
    double pp[N_REPS_MAX], tg[N_REPS_MAX];
    enum kt_status st = b->deep ? fill(b, b->deep, rq->n_depth, err) : KT_OK;
    for (size_t r = 0; r <= b->n_reps && !st;
         r++) { /* round 0 warms caches and pages, and is not counted */
        size_t at = r ? r - 1 : 0;
        rewind_states(b);
        uint64_t t0 = clock_now_ns();
        st = fill(b, b->states[0], rq->n_prompt, err);
        uint64_t t1 = clock_now_ns();
        pp[at] = (double)rq->n_prompt * 1e9 / (double)(t1 - t0 + 1);
        if (st)
            break;
        rewind_states(b);
        size_t n = r ? rq->n_gen : MIN(rq->n_gen, (size_t)4);
        t0 = clock_now_ns();
        st = decode(b, n, err);
        t1 = clock_now_ns();
        tg[at] = (double)(n * b->n_streams) * 1e9 / (double)(t1 - t0 + 1);
        if (rq->on_progress && !rq->on_progress(rq->callback_ctx, r, b->n_reps))
            return kt_fail(err, KT_E_CANCELLED, "cancelled");
    }
    if (st)
        return st;
    out->pp = rq->n_prompt ? median(pp, b->n_reps) : 0;
    out->tg = rq->n_gen ? median(tg, b->n_reps) : 0;
    return KT_OK;
}

/* One step of the streams' next tokens, of a chunk of a prompt, or of both. */
static enum kt_status one_step(struct bench *b, bool streams, bool chunk, double *seconds,
                               struct kt_error *err)
{
    struct model_span spans[N_STREAMS_MAX + 1];
    size_t n = 0;
    for (size_t s = 0; streams && s < b->n_streams; s++)
        spans[n++] = (struct model_span){ .state = b->states[s],
                                          .tokens = b->tokens,
                                          .n_tokens = 1,
                                          .logits_of = OUT_LAST,
                                          .logits = b->logits + s * b->e->n_vocab };
    if (chunk) {
        rewind_one(b, b->reader);
        spans[n++] = (struct model_span){ .state = b->reader,
                                          .tokens = b->tokens,
                                          .n_tokens = MIN(b->rq->n_prompt, b->n_batch) };
    }
    return engine_step_timed(b->e, b->run, spans, n, seconds, err);
}

/* The three in turn, round after round: a busy machine then treats them alike. */
static enum kt_status measure_mixed(struct bench *b, struct kt_bench_result *out,
                                    struct kt_error *err)
{
    double s[3][N_REPS_MAX], unused;
    enum kt_status st = KT_OK;
    for (size_t r = 0; r <= b->n_reps && !st; r++) {
        rewind_states(b);
        for (int what = 0; what < 3 && !st; what++)
            st = one_step(b, what != 1, what != 0, r ? &s[what][r - 1] : &unused, err);
    }
    if (st)
        return st;
    out->streams_s = median(s[0], b->n_reps);
    out->chunk_s = median(s[1], b->n_reps);
    out->mixed_s = median(s[2], b->n_reps);
    return KT_OK;
}

enum kt_status kt_bench(struct kt_engine *e, const struct kt_bench_request *rq,
                        struct kt_bench_result *out, struct kt_error *err)
{
    *out = (struct kt_bench_result){ 0 };
    if (model_shape_of(e->model)->arch == ARCH_BERT)
        return kt_fail(err, KT_E_UNSUPPORTED, "%s: bench measures models that write text",
                       model_file_path(e->file));
    struct bench b = { .e = e,
                       .rq = rq,
                       .n_streams = rq->n_streams ? rq->n_streams : 1,
                       .n_reps = rq->n_reps ? rq->n_reps : 5,
                       .n_batch = rq->n_batch ? rq->n_batch : 512 };
    enum kt_status st = bench_init(&b, err);
    if (!st)
        st = measure(&b, out, err);
    if (!st && rq->mixed)
        st = measure_mixed(&b, out, err);
    bench_deinit(&b);
    return st;
}
