/* serve/desk.c: the desk: two lanes, the warm contexts, and what is counted. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/size.h"
#include "serve/serve_priv.h"

enum { N_CTX_DEFAULT = 8192, N_WAITING_DEFAULT = 64 };

struct desk {
    struct desk_options opts;
    struct lane chat, embed;
    struct warm_set warm; /* the chat lane's thread, under warm_lock for those who look */
    pthread_mutex_t warm_lock;
    pthread_mutex_t lock; /* guards the sums */
    struct desk_counts sums;
};

/* What the system says is there without pushing anything out, in bytes. */
static uint64_t free_memory(void)
{
    unsigned long long kib = 0;
    char line[128];
    FILE *f = fopen("/proc/meminfo", "r");
    while (f && fgets(line, sizeof(line), f))
        if (sscanf(line, "MemAvailable: %llu kB", &kib) == 1)
            break;
    if (f)
        fclose(f);
    return (uint64_t)kib * 1024;
}

enum kt_status desk_open(struct desk **out, const struct desk_options *opts, struct kt_error *err)
{
    *out = NULL;
    struct desk *d = calloc(1, sizeof(*d));
    if (!d)
        return kt_fail(err, KT_E_NOMEM, "serve: out of memory");
    d->opts = *opts;
    pthread_mutex_init(&d->lock, NULL);
    pthread_mutex_init(&d->warm_lock, NULL);
    size_t n_waiting = opts->n_waiting ? opts->n_waiting : N_WAITING_DEFAULT;
    enum kt_status st = KT_OK;
    if (opts->chat) {
        struct kt_engine_info info;
        kt_engine_info(opts->chat, &info);
        size_t n_ctx = opts->n_ctx ? opts->n_ctx : N_CTX_DEFAULT;
        uint64_t memory = opts->memory_bytes ? opts->memory_bytes : free_memory() / 2;
        if (info.is_encoder)
            st = kt_fail(err, KT_E_UNSUPPORTED,
                         "the chat model makes vectors, it does not write text; name another");
        else
            st = warm_open(&d->warm, opts->chat, MIN(n_ctx, (size_t)info.n_ctx_train), memory, err);
    }
    if (!st)
        st = lane_open(&d->chat, n_waiting, err);
    if (!st)
        st = lane_open(&d->embed, n_waiting, err);
    if (st) {
        desk_close(d);
        return st;
    }
    *out = d;
    return KT_OK;
}

void desk_close(struct desk *d)
{
    if (!d)
        return;
    lane_close(&d->chat);
    lane_close(&d->embed);
    warm_close(&d->warm);
    pthread_mutex_destroy(&d->lock);
    pthread_mutex_destroy(&d->warm_lock);
    free(d);
}

struct kt_engine *desk_chat(const struct desk *d)
{
    return d->opts.chat;
}

struct kt_engine *desk_embed(const struct desk *d)
{
    return d->opts.embed;
}

struct kt_engine *desk_rank(const struct desk *d)
{
    return d->opts.rank;
}

size_t desk_n_ctx(const struct desk *d)
{
    return d->warm.options.n_ctx;
}

/* ---- one answer ------------------------------------------------------------------------------ */

struct generating {
    struct desk *desk;
    const struct visitor *visitor;
    const struct kt_generate_request *rq;
    struct kt_generate_result *out;
};

static bool on_text(void *ctx, const char *text, size_t len)
{
    struct generating *g = ctx;
    return !g->rq->on_text || g->rq->on_text(g->rq->callback_ctx, text, len);
}

static void on_token(void *ctx, const struct kt_token *token)
{
    struct generating *g = ctx;
    if (g->rq->on_token)
        g->rq->on_token(g->rq->callback_ctx, token);
}

static bool on_progress(void *ctx, size_t n_done, size_t n_total)
{
    struct generating *g = ctx;
    if (lane_stops(&g->desk->chat, g->visitor))
        return false;
    return !g->rq->on_progress || g->rq->on_progress(g->rq->callback_ctx, n_done, n_total);
}

static void add_up(struct desk *d, const struct kt_generate_result *r)
{
    pthread_mutex_lock(&d->lock);
    d->sums.tokens_prompt += r->tokens_prompt;
    d->sums.tokens_cached += r->tokens_cached;
    d->sums.tokens_generated += r->n_tokens;
    d->sums.prompt_s += r->prompt_s;
    d->sums.decode_s += r->decode_s;
    d->sums.cancelled += r->finish == KT_FINISH_CANCELLED;
    pthread_mutex_unlock(&d->lock);
}

static enum kt_status generate(struct job *j)
{
    struct generating *g = j->arg;
    struct desk *d = g->desk;
    struct warm *s = NULL;
    pthread_mutex_lock(&d->warm_lock);
    enum kt_status st = warm_take(&s, &d->warm, g->visitor, g->rq->prompt, g->rq->n_prompt, j->err);
    pthread_mutex_unlock(&d->warm_lock);
    if (st)
        return st;
    struct kt_generate_request rq = *g->rq;
    rq.on_text = on_text;
    rq.on_token = rq.on_token ? on_token : NULL;
    rq.on_progress = on_progress;
    rq.callback_ctx = g;
    st = kt_generate(s->context, &rq, g->out, j->err);
    if (st)
        return st;
    /* the last token was sampled, not read: whoever goes on will bring it */
    size_t n = g->out->n_tokens ? g->out->n_tokens - 1 : 0;
    warm_note(&d->warm, s, rq.prompt, rq.n_prompt, g->out->tokens, n);
    add_up(d, g->out);
    return KT_OK;
}

static enum kt_status need(const struct kt_engine *e, const char *what, const char *setting,
                           struct kt_error *err)
{
    return e ? KT_OK
             : kt_fail(err, KT_E_UNSUPPORTED, "this server has no %s; start it with %s", what,
                       setting);
}

enum kt_status desk_generate(struct desk *d, const struct visitor *v,
                             const struct kt_generate_request *rq, struct kt_generate_result *out,
                             double *waited_s, struct kt_error *err)
{
    *out = (struct kt_generate_result){ 0 };
    enum kt_status st = need(d->opts.chat, "model that writes", "-m MODEL", err);
    if (st)
        return st;
    struct generating g = { d, v, rq, out };
    struct job j = { .visitor = v, .run = generate, .arg = &g, .err = err };
    st = lane_do(&d->chat, &j);
    if (waited_s)
        *waited_s = j.begun_ns ? (double)(j.begun_ns - j.queued_ns) * 1e-9 : 0;
    return st;
}

/* ---- other work ------------------------------------------------------------------------------ */

struct working {
    struct desk *desk;
    desk_fn fn;
    void *arg;
};

static enum kt_status work_with_context(struct job *j)
{
    struct working *w = j->arg;
    struct desk *d = w->desk;
    struct warm *s = NULL;
    if (d->opts.chat) {
        pthread_mutex_lock(&d->warm_lock);
        enum kt_status st = warm_take(&s, &d->warm, j->visitor, NULL, 0, j->err);
        pthread_mutex_unlock(&d->warm_lock);
        if (st)
            return st;
        s->n_tokens = 0; /* what it will have seen is not known here */
    }
    return w->fn(w->arg, s ? s->context : NULL, j->err);
}

enum kt_status desk_with_context(struct desk *d, const struct visitor *v, desk_fn fn, void *arg,
                                 struct kt_error *err)
{
    struct working w = { d, fn, arg };
    struct job j = { .visitor = v, .run = work_with_context, .arg = &w, .err = err };
    return lane_do(&d->chat, &j);
}

static enum kt_status work_with_embedder(struct job *j)
{
    struct working *w = j->arg;
    return w->fn(w->arg, NULL, j->err);
}

enum kt_status desk_with_embedder(struct desk *d, const struct visitor *v, desk_fn fn, void *arg,
                                  struct kt_error *err)
{
    enum kt_status st = need(d->opts.embed ? d->opts.embed : d->opts.rank, "embedding model",
                             "--embed-model MODEL", err);
    struct working w = { d, fn, arg };
    struct job j = { .visitor = v, .run = work_with_embedder, .arg = &w, .err = err };
    return st ? st : lane_do(&d->embed, &j);
}

/* ---- forgetting and counting ----------------------------------------------------------------- */

struct forgetting {
    struct desk *desk;
    const char *scope;
};

static enum kt_status forget(struct job *j)
{
    struct forgetting *f = j->arg;
    pthread_mutex_lock(&f->desk->warm_lock);
    warm_forget(&f->desk->warm, f->scope);
    pthread_mutex_unlock(&f->desk->warm_lock);
    return KT_OK;
}

void desk_forget(struct desk *d, const char *scope)
{
    /* on the lane, where no context is in use; before everybody else */
    struct kt_error err;
    struct visitor nobody = { .scope = scope, .class = SERVE_INTERACTIVE };
    struct forgetting f = { d, scope };
    struct job j = { .visitor = &nobody, .run = forget, .arg = &f, .err = &err };
    if (lane_do(&d->chat, &j) != KT_OK)
        return; /* the desk is closing: everything is forgotten */
}

static void count_lane(struct lane *l, struct desk_counts *out)
{
    pthread_mutex_lock(&l->lock);
    out->waiting += l->n_waiting;
    out->running += l->running;
    out->refused += l->refused;
    out->cancelled += l->cancelled;
    pthread_mutex_unlock(&l->lock);
}

void desk_counts(struct desk *d, struct desk_counts *out)
{
    pthread_mutex_lock(&d->lock);
    *out = d->sums;
    pthread_mutex_unlock(&d->lock);
    count_lane(&d->chat, out);
    count_lane(&d->embed, out);
    pthread_mutex_lock(&d->warm_lock);
    out->warm = warm_count(&d->warm);
    out->warm_max = d->warm.n_max;
    out->warm_bytes = d->warm.n_max * d->warm.context_bytes;
    pthread_mutex_unlock(&d->warm_lock);
}
