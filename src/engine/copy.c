/* engine/copy.c: a timeline as a place to go on from, more than once. */
#include "engine/engine_priv.h"

#include <string.h>

enum kt_status kt_context_read(struct kt_context *c, const int32_t *tokens, size_t n_tokens,
                               struct kt_error *err)
{
    size_t n_cached;
    if (n_tokens == 0 || n_tokens > c->n_ctx)
        return kt_fail(err, KT_E_LIMIT, "context: %zu tokens, it holds 1 to %zu", n_tokens,
                       c->n_ctx);
    context_settle(c);
    return context_advance(c, tokens, n_tokens, NULL, &n_cached, NULL, NULL, err);
}

enum kt_status kt_context_copy(struct kt_context *dst, struct kt_context *src, struct kt_error *err)
{
    context_settle(src);
    size_t n = model_state_n_past(src->state);
    if (dst->engine != src->engine || dst == src || n > dst->n_ctx)
        return kt_fail(err, KT_E_USAGE, "context: %zu tokens cannot be copied into one of %zu", n,
                       dst->n_ctx);
    context_reset(dst);
    if (src->n_seen > 0)
        return kt_fail(err, KT_E_UNSUPPORTED, "context: one with images cannot be copied");
    model_state_copy(dst->state, src->state);
    memcpy(dst->history, src->history, n * sizeof(*dst->history));
    if (src->has_logits)
        memcpy(dst->logits, context_logits(src), src->engine->n_vocab * sizeof(*dst->logits));
    dst->row = 0;
    dst->has_logits = src->has_logits;
    return KT_OK;
}
