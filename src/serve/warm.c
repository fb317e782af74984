/* serve/warm.c: the contexts that answers are written in, and the cache behind them.
 *
 * There are as many contexts as answers may be at work; what they have seen stays in them until they are needed
 * for somebody else, and in the cache as checkpoints (kontor/cache.h). Walls: a context belongs to one user and one
 * scope at a time; before it becomes another's it is emptied and its memory cleared. The cache's scopes are
 * made of both, the matter first, so that a matter can be forgotten for all users at once. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/size.h"
#include "serve/serve_priv.h"

static bool belongs(const struct warm *s, const struct visitor *v)
{
    return s->context && s->user == v->user && strcmp(s->scope, v->scope) == 0;
}

/* The slot to use: of the same owner the last, as it may go on from what it has; else one that nobody has, or
 * the one unused for longest. */
static struct warm *choose(struct warm_set *w, const struct visitor *v)
{
    struct warm *own = NULL, *empty = NULL, *oldest = NULL;
    for (size_t i = 0; i < w->n_max; i++) {
        struct warm *s = &w->slots[i];
        if (s->busy)
            continue;
        if (!s->context)
            empty = empty ? empty : s;
        else if (belongs(s, v) && (!own || s->used > own->used))
            own = s;
        if (s->context && (!oldest || s->used < oldest->used))
            oldest = s;
    }
    return own ? own : empty ? empty : oldest;
}

static void empty_slot(struct warm *s)
{
    kt_context_destroy(s->context);
    *s = (struct warm){ 0 };
}

static enum kt_status give_to(struct warm *s, struct warm_set *w, const struct visitor *v,
                              struct kt_error *err)
{
    char name[SCOPE_BYTES + 24];
    snprintf(name, sizeof(name), "%s/%lld", v->scope, (long long)v->user);
    s->user = v->user;
    strncpy(s->scope, v->scope, sizeof(s->scope) - 1);
    return kt_context_use_cache(s->context, w->cache, name, err);
}

enum kt_status warm_take(struct warm **out, struct warm_set *w, const struct visitor *v,
                         struct kt_error *err)
{
    struct warm *s = choose(w, v);
    enum kt_status st = KT_OK;
    *out = s;
    if (!s->context)
        st = kt_context_create(&s->context, w->engine, &w->options, err);
    if (!st && !(s->used && belongs(s, v)))
        st = give_to(s, w, v, err);
    if (st) {
        empty_slot(s);
        return st;
    }
    s->used = ++w->clock;
    s->busy = true;
    return KT_OK;
}

void warm_use_files(struct warm *s, const struct visitor *v)
{
    struct kt_error err;
    enum kt_status st =
        v->keep_dir ? kt_context_keep_files(s->context, v->keep_dir, v->keep_key, 0, &err) : KT_OK;
    if (st) /* it costs time, and nothing else */
        log_event(LOG_WARN, "serve.no_files", LOG_U64("status", (uint64_t)st), LOG_END);
}

void warm_give(struct warm *s)
{
    s->busy = false;
    if (s->doomed)
        empty_slot(s);
}

size_t warm_forget(struct warm_set *w, const char *scope)
{
    size_t n_busy = 0;
    for (size_t i = 0; i < w->n_max; i++) {
        struct warm *s = &w->slots[i];
        if (!s->context || strcmp(s->scope, scope) != 0)
            continue;
        if (s->busy) {
            s->doomed = true;
            n_busy++;
        } else {
            empty_slot(s);
        }
    }
    if (n_busy == 0 && w->cache)
        kt_cache_forget(w->cache, scope);
    return n_busy;
}

size_t warm_count(const struct warm_set *w)
{
    size_t n = 0;
    for (size_t i = 0; i < w->n_max; i++)
        n += w->slots[i].context != NULL;
    return n;
}

/* Steps have no more rows than this: more would not make them faster by a row, and take memory. How many of them are a
 * prompt's is decided by the time they take. */
enum { STEP_ROWS = 256 };

static struct kt_context_options options_for(const struct kt_engine *e, size_t n_ctx)
{
    struct kt_engine_info info;
    kt_engine_info(e, &info);
    n_ctx = MIN(n_ctx ? n_ctx : (size_t)N_CTX_DEFAULT, (size_t)info.n_ctx_train);
    return (struct kt_context_options){ .n_ctx = n_ctx, .n_batch = STEP_ROWS };
}

enum kt_status warm_bytes(const struct kt_engine *e, size_t *n_ctx, uint64_t *steps, uint64_t *one,
                          struct kt_error *err)
{
    struct kt_context_options o = options_for(e, *n_ctx);
    enum kt_status st = kt_context_bytes(e, &o, one, err);
    if (!st)
        st = kt_context_shared_bytes(e, &o, steps, err);
    *one -= st ? 0 : *steps;
    *n_ctx = o.n_ctx;
    return st;
}

/* A context for each answer that may be at work, and if half of the memory has room for them, as many again for
 * those that are paused; the rest for checkpoints. If there is hardly any, that is worth more than one context of
 * many, unless so many were asked for (n_streams; 0: nobody did). */
static void share_out(struct warm_set *w, uint64_t bytes, size_t n_streams, uint64_t *for_cache)
{
    uint64_t wanted = n_streams ? n_streams : N_STREAMS_DEFAULT;
    uint64_t fit = bytes / w->context_bytes, n = MIN(fit, wanted);
    n = MAX(n, MIN(fit / 2, 2 * wanted));
    if (n > MAX(n_streams, (size_t)2) && bytes - n * w->context_bytes < w->context_bytes)
        n--;
    w->n_max = (size_t)MIN(n, (uint64_t)WARM_MAX);
    *for_cache = bytes - w->n_max * w->context_bytes;
}

enum kt_status warm_open(struct warm_set *w, struct kt_engine *e, size_t n_ctx,
                         uint64_t memory_bytes, size_t n_streams, struct kt_error *err)
{
    uint64_t steps;
    *w = (struct warm_set){ .engine = e, .options = options_for(e, n_ctx) };
    enum kt_status st = warm_bytes(e, &n_ctx, &steps, &w->context_bytes, err);
    if (st)
        return st;
    struct kt_cache_options o = { 0 };
    share_out(w, memory_bytes > steps ? memory_bytes - steps : 0, n_streams, &o.memory_bytes);
    if (w->n_max == 0)
        return kt_fail(
            err, KT_E_LIMIT,
            "a conversation of %zu tokens takes %llu MB, %llu MB are there for conversations; "
            "use a smaller --ctx, or give more with --memory",
            n_ctx, (unsigned long long)((w->context_bytes + steps) / 1000000 + 1),
            (unsigned long long)(memory_bytes / 1000000));
    return kt_cache_create(&w->cache, e, &o, err);
}

void warm_close(struct warm_set *w)
{
    for (size_t i = 0; i < w->n_max; i++)
        empty_slot(&w->slots[i]);
    kt_cache_destroy(w->cache);
}
