/* engine/context.c: one timeline of tokens and its memory.
 *
 * Callers hand over the whole prefix each time. If what is computed already is its beginning, only
 * the rest is computed; otherwise everything is: a recurrent state cannot be cut back, only started
 * over. */
#include "engine/engine_priv.h"

#include <stdlib.h>
#include <string.h>

#include "base/size.h"

enum {
    N_CTX_DEFAULT = 4096,
    N_BATCH_DEFAULT = 512,
    LOGITS_BYTES_MAX = 64 << 20, /* of all rows of one step, when every row's logits are wanted */
};

enum kt_status kt_context_create(struct kt_context **out, struct kt_engine *e,
                                 const struct kt_context_options *opts, struct kt_error *err)
{
    *out = NULL;
    struct kt_context_options o = opts ? *opts : (struct kt_context_options){ 0 };
    const struct model_shape *s = model_shape_of(e->model);
    if (s->arch == ARCH_BERT)
        return kt_fail(
            err, KT_E_UNSUPPORTED,
            "%s: this model makes vectors, it does not write text; use it with `kontor embed`",
            model_file_path(e->file));
    struct kt_context *c = calloc(1, sizeof(*c));
    if (!c)
        return kt_fail(err, KT_E_NOMEM, "context: out of memory");
    c->engine = e;
    c->n_ctx = o.n_ctx ? o.n_ctx : MIN((size_t)s->n_ctx_train, (size_t)N_CTX_DEFAULT);
    c->n_batch = MIN(o.n_batch ? o.n_batch : (size_t)N_BATCH_DEFAULT, c->n_ctx);

    enum kt_status st = KT_OK;
    size_t bytes;
    if (c->n_ctx > INT32_MAX || !size_mul(&bytes, c->n_ctx, sizeof(*c->history)))
        st =
            kt_fail(err, KT_E_LIMIT, "context: %zu tokens are more than any model takes", c->n_ctx);
    if (!st)
        st = model_state_create(&c->state, e->model, c->n_ctx, engine_state_types(o.kv, o.state),
                                err);
    if (!st)
        st = model_run_create(&c->run, e->model, c->n_batch, err);
    if (!st) {
        c->history = malloc(c->n_ctx * sizeof(*c->history));
        c->logits = malloc(e->n_vocab * sizeof(*c->logits));
        if (!c->history || !c->logits)
            st = kt_fail(err, KT_E_NOMEM, "context: out of memory for %zu tokens", c->n_ctx);
    }
    if (st) {
        kt_context_destroy(c);
        return st;
    }
    *out = c;
    return KT_OK;
}

void kt_context_destroy(struct kt_context *c)
{
    if (!c)
        return;
    model_run_destroy(c->run);
    model_state_destroy(c->state);
    free(c->history);
    free(c->logits);
    free(c);
}

void context_reset(struct kt_context *c)
{
    model_state_reset(c->state);
    c->has_logits = false;
}

enum kt_status context_check_tokens(const struct kt_context *c, const int32_t *tokens,
                                    size_t n_tokens, struct kt_error *err)
{
    for (size_t i = 0; i < n_tokens; i++)
        if (tokens[i] < 0 || (size_t)tokens[i] >= c->engine->n_vocab)
            return kt_fail(
                err, KT_E_USAGE,
                "token %zu has id %d, expected 0 to %zu; were the tokens made for another model?",
                i, tokens[i], c->engine->n_vocab - 1);
    return KT_OK;
}

static enum kt_status step(struct kt_context *c, const int32_t *tokens, size_t n,
                           enum span_output what, float *logits, struct kt_error *err)
{
    size_t n_past = model_state_n_past(c->state);
    struct model_span span = {
        .state = c->state, .tokens = tokens, .n_tokens = n, .logits_of = what, .logits = logits
    };
    enum kt_status st = engine_step(c->engine, c->run, &span, 1, err);
    if (st)
        return st;
    memmove(c->history + n_past, tokens, n * sizeof(*tokens));
    c->has_logits = logits == c->logits;
    return KT_OK;
}

enum kt_status context_append(struct kt_context *c, int32_t token, struct kt_error *err)
{
    return step(c, &token, 1, OUT_LAST, c->logits, err);
}

/* Is the whole of what is computed the beginning of tokens? If it is all of them, their last logits
 * must be at hand, too. */
static bool continues(const struct kt_context *c, const int32_t *tokens, size_t n_tokens)
{
    size_t n_past = model_state_n_past(c->state);
    if (n_past > n_tokens || (n_past == n_tokens && !c->has_logits))
        return false;
    return memcmp(c->history, tokens, n_past * sizeof(*tokens)) == 0;
}

enum kt_status context_advance(struct kt_context *c, const int32_t *tokens, size_t n_tokens,
                               size_t *n_cached, progress_fn progress, void *ctx,
                               struct kt_error *err)
{
    *n_cached = 0;
    enum kt_status st = context_check_tokens(c, tokens, n_tokens, err);
    if (st)
        return st;
    if (!continues(c, tokens, n_tokens))
        context_reset(c);
    *n_cached = model_state_n_past(c->state);
    for (size_t i = *n_cached; i < n_tokens;) {
        if (progress && !progress(ctx, i, n_tokens))
            return kt_fail(err, KT_E_CANCELLED, "cancelled");
        size_t n = MIN(c->n_batch, n_tokens - i);
        bool last = i + n == n_tokens;
        st = step(c, tokens + i, n, last ? OUT_LAST : OUT_NONE, last ? c->logits : NULL, err);
        if (st)
            return st;
        i += n;
    }
    return KT_OK;
}

enum kt_status context_append_all(struct kt_context *c, const int32_t *tokens, size_t n_tokens,
                                  kt_logits_fn fn, void *ctx, struct kt_error *err)
{
    size_t n_vocab = c->engine->n_vocab;
    size_t n_rows = MIN(c->n_batch, MAX((size_t)1, LOGITS_BYTES_MAX / (n_vocab * sizeof(float))));
    float *logits = calloc(n_rows, n_vocab * sizeof(*logits));
    if (!logits)
        return kt_fail(err, KT_E_NOMEM, "logits: out of memory for %zu rows", n_rows);
    enum kt_status st = KT_OK;
    for (size_t i = 0; i < n_tokens && !st;) {
        size_t n = MIN(n_rows, n_tokens - i);
        st = step(c, tokens + i, n, OUT_ALL, logits, err);
        for (size_t k = 0; k < n && !st; k++)
            st = fn(ctx, i + k, logits + k * n_vocab, n_vocab, err);
        i += n;
    }
    free(logits);
    return st;
}
