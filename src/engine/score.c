/* engine/score.c: logits handed out, and the probability of given text. */
#include "engine/engine_priv.h"
#include "engine/feed.h"

#include <math.h>
#include <stdlib.h>

#include "base/size.h"

enum { MTP_ROWS = 64 }; /* of one step: their logits are some 60 MB at most */

enum kt_status kt_logits(struct kt_context *c, const int32_t *tokens, size_t n_tokens,
                         kt_logits_fn fn, void *ctx, struct kt_error *err)
{
    return kt_logits_media(c, tokens, n_tokens, NULL, 0, fn, ctx, err);
}

enum kt_status kt_logits_media(struct kt_context *c, const int32_t *tokens, size_t n_tokens,
                               const struct kt_vision_input *media, size_t n_media, kt_logits_fn fn,
                               void *ctx, struct kt_error *err)
{
    if (n_tokens > c->n_ctx)
        return kt_fail(err, KT_E_LIMIT, "logits: %zu tokens, the context holds %zu", n_tokens,
                       c->n_ctx);
    enum kt_status st = context_check_tokens(c, tokens, n_tokens, err);
    struct feed feed;
    if (!st)
        st = feed_open(&feed, c->engine, tokens, n_tokens, media, n_media, err);
    if (st)
        return st;
    context_reset(c);
    st = context_append_all(c, tokens, n_tokens, &feed, fn, ctx, err);
    feed_close(&feed);
    return st;
}

/* Memory of a pass with the multi-token head, for MTP_ROWS rows at a time. */
struct mtp_pass {
    struct model_state *state;
    struct feed *feed;
    float *hidden; /* [MTP_ROWS, d_model] */
    float *logits; /* [MTP_ROWS, n_vocab] */
    /* Of the tokens of a step and the one behind them. */
    const float *embeds[MTP_ROWS + 1];
    uint32_t positions[MTP_ROWS + 1][3];
};

static void mtp_end(struct mtp_pass *p)
{
    model_state_destroy(p->state);
    free(p->hidden);
    free(p->logits);
}

static enum kt_status mtp_begin(struct mtp_pass *p, const struct kt_context *c, size_t n_pairs,
                                struct kt_error *err)
{
    const struct kt_engine *e = c->engine;
    enum kt_status st =
        model_mtp_state_create(&p->state, e->model, n_pairs, (struct state_types){ 0 }, err);
    if (st)
        return st;
    p->hidden = calloc(MTP_ROWS, model_shape_of(e->model)->d_model * sizeof(*p->hidden));
    p->logits = calloc(MTP_ROWS, e->n_vocab * sizeof(*p->logits));
    if (!p->hidden || !p->logits)
        return kt_fail(err, KT_E_NOMEM, "logits: out of memory for %d rows", MTP_ROWS);
    return KT_OK;
}

/* n tokens from 'first' on through the trunk for their hidden states, these and the tokens one further through
 * the head: with their vectors, where the hidden states' tokens stand. */
static enum kt_status mtp_rows(struct mtp_pass *p, struct kt_context *c, const int32_t *tokens,
                               size_t first, size_t n, struct kt_error *err)
{
    enum kt_status st = feed_take(p->feed, first, n + 1, p->embeds, p->positions, NULL, NULL, err);
    if (st)
        return st;
    tokens += first;
    struct model_span trunk = { .state = c->state,
                                .tokens = tokens,
                                .n_tokens = n,
                                .hidden = p->hidden,
                                .embeds = p->embeds,
                                .positions = (const uint32_t(*)[3])p->positions };
    struct model_span head = { .state = p->state,
                               .tokens = tokens + 1,
                               .n_tokens = n,
                               .logits_of = OUT_ALL,
                               .logits = p->logits,
                               .hidden_in = p->hidden,
                               .embeds = p->embeds + 1,
                               .positions = (const uint32_t(*)[3])p->positions };
    size_t n_taken;
    st = turns_step(&c->seat, &trunk, true, &n_taken, NULL, err);
    if (st)
        return st;
    struct model_run *run = turns_enter(c->engine->turns, &c->seat);
    st = model_mtp_step(run, &head, 1, err);
    turns_exit(c->engine->turns);
    return st;
}

enum kt_status kt_logits_mtp(struct kt_context *c, const int32_t *tokens, size_t n_tokens,
                             kt_logits_fn fn, void *ctx, struct kt_error *err)
{
    return kt_logits_mtp_media(c, tokens, n_tokens, NULL, 0, fn, ctx, err);
}

enum kt_status kt_logits_mtp_media(struct kt_context *c, const int32_t *tokens, size_t n_tokens,
                                   const struct kt_vision_input *media, size_t n_media,
                                   kt_logits_fn fn, void *ctx, struct kt_error *err)
{
    if (n_tokens < 2 || n_tokens > c->n_ctx)
        return kt_fail(err, KT_E_LIMIT,
                       "logits: %zu tokens; the head needs two and the context holds %zu", n_tokens,
                       c->n_ctx);
    enum kt_status st = context_check_tokens(c, tokens, n_tokens, err);
    struct feed feed;
    if (!st)
        st = feed_open(&feed, c->engine, tokens, n_tokens, media, n_media, err);
    if (st)
        return st;
    struct mtp_pass p = { .feed = &feed };
    size_t n_vocab = c->engine->n_vocab, n_pairs = n_tokens - 1;
    st = mtp_begin(&p, c, n_pairs, err);
    context_reset(c);
    for (size_t i = 0; i < n_pairs && !st;) {
        size_t n = MIN(MIN(c->n_batch, (size_t)MTP_ROWS), n_pairs - i);
        st = mtp_rows(&p, c, tokens, i, n, err);
        for (size_t k = 0; k < n && !st; k++)
            st = fn(ctx, i + k, p.logits + k * n_vocab, n_vocab, err);
        i += n;
    }
    context_reset(c); /* what it has read is not in its history */
    mtp_end(&p);
    feed_close(&feed);
    return st;
}

double kt_logprob(const float *logits, size_t n_vocab, int32_t id)
{
    float top = logits[0];
    for (size_t i = 1; i < n_vocab; i++)
        top = logits[i] > top ? logits[i] : top;
    double sum = 0;
    for (size_t i = 0; i < n_vocab; i++) {
        float d = logits[i] - top;
        if (!(d < -40.0f)) /* less than 5e-18 each; a NaN stays in and shows */
            sum += exp((double)d);
    }
    return (double)(logits[id] - top) - log(sum);
}

/* Row i of the tail's logits judges token i + 1. */
struct scoring {
    const int32_t *tail;
    size_t n_tail;
    double logprob;
};

static enum kt_status add_row(void *ctx, size_t pos, const float *logits, size_t n_vocab,
                              struct kt_error *err)
{
    struct scoring *s = ctx;
    (void)err;
    if (pos + 1 < s->n_tail)
        s->logprob += kt_logprob(logits, n_vocab, s->tail[pos + 1]);
    return KT_OK;
}

enum kt_status kt_score(struct kt_context *c, const int32_t *prefix, size_t n_prefix,
                        const int32_t *tail, size_t n_tail, double *logprob, struct kt_error *err)
{
    return kt_score_media(c, prefix, n_prefix, NULL, 0, tail, n_tail, logprob, err);
}

enum kt_status kt_score_media(struct kt_context *c, const int32_t *prefix, size_t n_prefix,
                              const struct kt_vision_input *media, size_t n_media,
                              const int32_t *tail, size_t n_tail, double *logprob,
                              struct kt_error *err)
{
    *logprob = 0;
    if (n_prefix == 0 || n_tail == 0)
        return kt_fail(err, KT_E_USAGE, "score: %zu tokens after %zu; both need at least one",
                       n_tail, n_prefix);
    if (n_prefix > c->n_ctx || n_tail > c->n_ctx - n_prefix)
        return kt_fail(err, KT_E_LIMIT, "score: %zu and %zu tokens, the context holds %zu",
                       n_prefix, n_tail, c->n_ctx);
    enum kt_status st = context_check_tokens(c, tail, n_tail, err);
    size_t n_cached;
    struct feed feed;
    if (!st)
        st = feed_open(&feed, c->engine, prefix, n_prefix, media, n_media, err);
    if (st)
        return st;
    st = context_advance(c, prefix, n_prefix, &feed, &n_cached, NULL, NULL, err);
    feed_close(&feed);
    if (st)
        return st;
    struct scoring s = { tail, n_tail, kt_logprob(context_logits(c), c->engine->n_vocab, tail[0]) };
    /* The last token of the tail is judged, never needed as input. */
    if (n_tail > 1)
        st = context_append_all(c, tail, n_tail - 1, NULL, add_row, &s, err);
    if (!st && !isfinite(s.logprob))
        st = kt_fail(err, KT_E_INTERNAL,
                     "score: the probability is not a number; try `kontor inspect`");
    *logprob = st ? 0 : s.logprob;
    return st;
}
