/* serve/warm.c: the contexts of the last conversations.
 *
 * A context can go on from what it has seen and from nothing else (a recurrent state cannot be cut), so
 * what is looked for is the conversation whose whole history begins the prompt. Failing that, a free
 * slot; when there is none, the conversation that the prompt is a variant of (the last message edited, an
 * answer made again), because nobody will go on with it; or the one unused for longest. Walls: a slot belongs to one user and one
 * scope; for another it is destroyed and made anew, so that not a byte is left. */
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "serve/serve_priv.h"

static size_t common(const struct warm *s, const int32_t *prompt, size_t n_prompt)
{
    size_t n = 0, max = MIN(s->n_tokens, n_prompt);
    while (n < max && s->tokens[n] == prompt[n])
        n++;
    return n;
}

static bool belongs(const struct warm *s, const struct visitor *v)
{
    return s->context && s->user == v->user && strcmp(s->scope, v->scope) == 0;
}

/* The slot to use. Its context may be somebody else's, or none. */
static struct warm *choose(struct warm_set *w, const struct visitor *v, const int32_t *prompt,
                           size_t n_prompt)
{
    struct warm *whole = NULL, *variant = NULL, *blank = NULL, *empty = NULL, *oldest = NULL;
    size_t whole_len = 0, variant_len = 0;
    for (size_t i = 0; i < w->n_max; i++) {
        struct warm *s = &w->slots[i];
        if (s->busy)
            continue;
        if (!s->context) {
            empty = empty ? empty : s;
            continue;
        }
        if (!oldest || s->used < oldest->used)
            oldest = s;
        if (!belongs(s, v))
            continue;
        size_t n = common(s, prompt, n_prompt);
        if (s->n_tokens == 0) {
            blank = s;
        } else if (n == s->n_tokens && n > whole_len) {
            whole = s;
            whole_len = n;
        } else if (n > s->n_tokens / 2 && n > variant_len) {
            variant = s;
            variant_len = n;
        }
    }
    return whole ? whole : blank ? blank : empty ? empty : variant ? variant : oldest;
}

static void empty_slot(struct warm *s)
{
    kt_context_destroy(s->context);
    if (s->tokens)
        memset(s->tokens, 0, s->n_tokens * sizeof(*s->tokens));
    free(s->tokens);
    *s = (struct warm){ 0 };
}

enum kt_status warm_take(struct warm **out, struct warm_set *w, const struct visitor *v,
                         const int32_t *prompt, size_t n_prompt, struct kt_error *err)
{
    struct warm *s = choose(w, v, prompt, n_prompt);
    *out = s;
    if (!belongs(s, v)) {
        empty_slot(s);
        s->tokens = malloc(w->options.n_ctx * sizeof(*s->tokens));
        enum kt_status st = s->tokens ? kt_context_create(&s->context, w->engine, &w->options, err)
                                      : kt_fail(err, KT_E_NOMEM, "serve: out of memory");
        if (st) {
            empty_slot(s);
            return st;
        }
        s->user = v->user;
        strncpy(s->scope, v->scope, sizeof(s->scope) - 1);
    }
    s->used = ++w->clock;
    s->busy = true;
    return KT_OK;
}

void warm_give(struct warm *s)
{
    s->busy = false;
    if (s->doomed)
        empty_slot(s);
}

void warm_note(struct warm_set *w, struct warm *s, const int32_t *prompt, size_t n_prompt,
               const int32_t *more, size_t n_more)
{
    s->n_tokens = MIN(n_prompt, w->options.n_ctx);
    memcpy(s->tokens, prompt, s->n_tokens * sizeof(*prompt));
    size_t n = MIN(n_more, w->options.n_ctx - s->n_tokens);
    if (n)
        memcpy(s->tokens + s->n_tokens, more, n * sizeof(*more));
    s->n_tokens += n;
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

enum kt_status warm_open(struct warm_set *w, struct kt_engine *e, size_t n_ctx,
                         uint64_t memory_bytes, struct kt_error *err)
{
    uint64_t steps;
    *w = (struct warm_set){ .engine = e, .options = options_for(e, n_ctx) };
    enum kt_status st = warm_bytes(e, &n_ctx, &steps, &w->context_bytes, err);
    if (st)
        return st;
    uint64_t left = memory_bytes > steps ? memory_bytes - steps : 0;
    w->n_max = (size_t)MIN(left / w->context_bytes, (uint64_t)WARM_MAX);
    if (w->n_max == 0)
        return kt_fail(
            err, KT_E_LIMIT,
            "a conversation of %zu tokens takes %llu MB, %llu MB are there for conversations; "
            "use a smaller --ctx, or give more with --memory",
            n_ctx, (unsigned long long)((w->context_bytes + steps) / 1000000 + 1),
            (unsigned long long)(memory_bytes / 1000000));
    return KT_OK;
}

void warm_close(struct warm_set *w)
{
    for (size_t i = 0; i < w->n_max; i++)
        empty_slot(&w->slots[i]);
}
