/* engine/score.c: logits handed out, and the probability of given text. */
#include "engine/engine_priv.h"

#include <math.h>

enum kt_status kt_logits(struct kt_context *c, const int32_t *tokens, size_t n_tokens,
                         kt_logits_fn fn, void *ctx, struct kt_error *err)
{
    if (n_tokens > c->n_ctx)
        return kt_fail(err, KT_E_LIMIT, "logits: %zu tokens, the context holds %zu", n_tokens,
                       c->n_ctx);
    enum kt_status st = context_check_tokens(c, tokens, n_tokens, err);
    if (st)
        return st;
    context_reset(c);
    return context_append_all(c, tokens, n_tokens, fn, ctx, err);
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
    *logprob = 0;
    if (n_prefix == 0 || n_tail == 0)
        return kt_fail(err, KT_E_USAGE, "score: %zu tokens after %zu; both need at least one",
                       n_tail, n_prefix);
    if (n_prefix > c->n_ctx || n_tail > c->n_ctx - n_prefix)
        return kt_fail(err, KT_E_LIMIT, "score: %zu and %zu tokens, the context holds %zu",
                       n_prefix, n_tail, c->n_ctx);
    enum kt_status st = context_check_tokens(c, tail, n_tail, err);
    size_t n_cached;
    if (!st)
        st = context_advance(c, prefix, n_prefix, &n_cached, NULL, NULL, err);
    if (st)
        return st;
    struct scoring s = { tail, n_tail, kt_logprob(c->logits, c->engine->n_vocab, tail[0]) };
    /* The last token of the tail is judged, never needed as input. */
    if (n_tail > 1)
        st = context_append_all(c, tail, n_tail - 1, add_row, &s, err);
    if (!st && !isfinite(s.logprob))
        st = kt_fail(err, KT_E_INTERNAL,
                     "score: the probability is not a number; try `kontor inspect`");
    *logprob = st ? 0 : s.logprob;
    return st;
}
