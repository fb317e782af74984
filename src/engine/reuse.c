#include "engine/reuse.h"

#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "engine/cache.h"
#include "engine/feed.h"
#include "engine/speculate.h"

enum kt_status kt_context_use_cache(struct kt_context *c, struct kt_cache *cache, const char *scope,
                                    struct kt_error *err)
{
    const char *name = cache ? scope : "";
    if (strlen(name) > KT_CACHE_SCOPE_MAX)
        return kt_fail(err, KT_E_USAGE, "cache: the name of a scope has %zu bytes, at most %d",
                       strlen(name), KT_CACHE_SCOPE_MAX);
    if (cache && cache_engine(cache) != c->engine)
        return kt_fail(err, KT_E_USAGE, "cache: it belongs to another engine than the context");
    if (cache == c->cache && strcmp(name, c->scope) == 0)
        return KT_OK;
    context_settle(c);
    size_t n = model_state_n_past(c->state);
    context_reset(c);
    model_state_clear(c->state);
    explicit_bzero(c->history, n * sizeof(*c->history));
    explicit_bzero(c->logits, c->n_rows_max * c->engine->n_vocab * sizeof(*c->logits));
    c->cache = cache;
    strcpy(c->scope, name);
    return KT_OK;
}

enum kt_status kt_context_keep_files(struct kt_context *c, const char *dir,
                                     const uint8_t key[static KT_CACHE_KEY_BYTES],
                                     uint64_t bytes_max, struct kt_error *err)
{
    static const uint64_t DEFAULT = (uint64_t)4 << 30;
    if (!c->cache)
        return kt_fail(err, KT_E_USAGE, "cache: the context uses none");
    return cache_use_files(c->cache, c->scope, model_state_types(c->state), dir, key,
                           bytes_max ? bytes_max : DEFAULT, err);
}

/* What the prompt's images are, as a context remembers them. *out: [feed->n_runs] heap, NULL when there are none. */
static enum kt_status runs_of(struct seen_run **out, const struct feed *feed, struct kt_error *err)
{
    *out = NULL;
    if (!feed || !feed->n_runs)
        return KT_OK;
    if (!(*out = calloc(feed->n_runs, sizeof(**out))))
        return kt_fail(err, KT_E_NOMEM, "cache: out of memory for %zu images", feed->n_runs);
    for (size_t r = 0; r < feed->n_runs; r++)
        (*out)[r] = feed_seen_run(feed, r);
    return KT_OK;
}

/* The context becomes the first n tokens of the checkpoint. */
static enum kt_status restore(struct kt_context *c, const struct checkpoint *at, size_t n,
                              struct kt_error *err)
{
    struct checkpoint_view v = checkpoint_view(at);
    context_reset(c);
    if (v.prefix.n_seen > c->cap_seen) {
        struct seen_run *seen = realloc(c->seen, v.prefix.n_seen * sizeof(*seen));
        if (!seen)
            return kt_fail(err, KT_E_NOMEM, "context: out of memory for %zu images",
                           v.prefix.n_seen);
        c->seen = seen;
        c->cap_seen = v.prefix.n_seen;
    }
    model_state_copy(c->state, v.state);
    if (n < v.prefix.n)
        model_state_cut(c->state, n);
    memcpy(c->history, v.prefix.tokens, n * sizeof(*c->history));
    if (v.prefix.n_seen)
        memcpy(c->seen, v.prefix.seen, v.prefix.n_seen * sizeof(*c->seen));
    c->n_seen = v.prefix.n_seen;
    c->row = 0;
    c->has_logits = n == v.prefix.n && v.logits;
    if (c->has_logits)
        memcpy(c->logits, v.logits, c->engine->n_vocab * sizeof(*c->logits));
    return KT_OK;
}

enum kt_status reuse_begin(struct kt_context *c, struct marks *m, const int32_t *tokens, size_t n,
                           const struct feed *feed, bool continues, struct kt_error *err)
{
    m->n = 0;
    if (!continues && !c->cache)
        context_reset(c);
    if (!c->cache)
        return KT_OK;
    struct seen_run *seen;
    enum kt_status st = runs_of(&seen, feed, err);
    struct cache_hit hit = { 0 };
    const struct prefix p = { tokens, n, seen, seen ? feed->n_runs : 0 };
    if (!st)
        st = cache_find(c->cache, &hit, c->scope, model_state_types(c->state), &p, err);
    free(seen);
    if (st)
        return st;
    size_t own = continues ? model_state_n_past(c->state) : 0;
    if (hit.at && hit.n > own && hit.n <= c->n_ctx)
        st = restore(c, hit.at, hit.n, err);
    else if (!continues)
        context_reset(c);
    cache_release(c->cache, hit.at);
    if (st) {
        context_reset(c);
        return st;
    }
    marks_choose(m, c->engine, tokens, n, model_state_n_past(c->state), hit.common);
    return KT_OK;
}

void reuse_keep(struct kt_context *c)
{
    if (!c->cache || c->n_tried)
        return;
    const struct prefix p = { c->history, model_state_n_past(c->state), c->seen, c->n_seen };
    cache_keep(c->cache, c->scope, &p, c->state, model_state_types(c->state),
               c->has_logits ? context_logits(c) : NULL);
}
