/* serve/desk.c: the desk: two lanes, the warm contexts, and what is counted. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/size.h"
#include "serve/budget.h"
#include "serve/serve_priv.h"

enum { N_WAITING_DEFAULT = 64 };

static_assert((int)SERVE_INTERACTIVE == (int)KT_CLASS_INTERACTIVE, "one order");
static_assert((int)SERVE_BACKGROUND == (int)KT_CLASS_BACKGROUND, "one order");

struct desk {
    struct desk_options opts;
    struct lane chat, embed;
    struct warm_set warm; /* under warm_lock, but for the slots in use */
    pthread_mutex_t warm_lock;
    pthread_cond_t given; /* a slot was given back */
    pthread_mutex_t lock; /* guards the sums */
    struct desk_counts sums;
};

enum kt_status desk_open(struct desk **out, const struct desk_options *opts, struct kt_error *err)
{
    *out = NULL;
    struct desk *d = calloc(1, sizeof(*d));
    if (!d)
        return kt_fail(err, KT_E_NOMEM, "serve: out of memory");
    d->opts = *opts;
    pthread_mutex_init(&d->lock, NULL);
    pthread_mutex_init(&d->warm_lock, NULL);
    pthread_cond_init(&d->given, NULL);
    size_t n_waiting = opts->n_waiting ? opts->n_waiting : N_WAITING_DEFAULT;
    size_t n_streams = opts->n_streams ? opts->n_streams : N_STREAMS_DEFAULT;
    enum kt_status st = KT_OK;
    if (opts->chat) {
        struct kt_engine_info info;
        kt_engine_info(opts->chat, &info);
        uint64_t memory = opts->memory_bytes ? opts->memory_bytes : budget_free_bytes() / 2;
        if (info.is_encoder)
            st = kt_fail(err, KT_E_UNSUPPORTED,
                         "the chat model makes vectors, it does not write text; name another");
        else
            st = warm_open(&d->warm, opts->chat, opts->n_ctx, memory, opts->n_streams, err);
    }
    /* What was asked for is not made less silently. */
    if (!st && opts->chat && opts->n_streams > d->warm.n_max)
        st = kt_fail(err, KT_E_LIMIT,
                     "%zu answers at once need memory for %zu conversations, and there is some for "
                     "%zu; use a smaller --ctx or --streams, or give %.0f MB more with --memory",
                     opts->n_streams, opts->n_streams, d->warm.n_max,
                     (double)((opts->n_streams - d->warm.n_max) * d->warm.context_bytes) / 1e6 + 1);
    size_t n_places = opts->chat && !st ? d->warm.n_max : n_streams;
    if (!st) {
        lane_open(&d->chat, MIN(n_streams, n_places), n_places, n_waiting);
        lane_open(&d->embed, 1, 1, n_waiting); /* texts of one request are a batch already */
    }
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
    pthread_cond_destroy(&d->given);
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

/* It may be begun more than once: when its memory is needed for somebody better it is dropped and made again later.
 * The same tokens come out, and what the visitor has seen of them is not handed out twice. */
struct generating {
    struct desk *desk;
    struct job *job;
    const struct kt_generate_request *rq;
    struct kt_generate_result *out;
    size_t n_text, n_tokens;         /* since it was begun, this time */
    size_t n_text_out, n_tokens_out; /* that the visitor has had      */
    bool again;
};

static bool on_text(void *ctx, const char *text, size_t len)
{
    struct generating *g = ctx;
    size_t from = g->n_text, n_seen = g->n_text_out > from ? MIN(g->n_text_out - from, len) : 0;
    g->n_text += len;
    if (n_seen == len)
        return true;
    g->n_text_out = g->n_text;
    return !g->rq->on_text || g->rq->on_text(g->rq->callback_ctx, text + n_seen, len - n_seen);
}

static void on_token(void *ctx, const struct kt_token *token)
{
    struct generating *g = ctx;
    if (++g->n_tokens <= g->n_tokens_out)
        return;
    g->n_tokens_out = g->n_tokens;
    g->rq->on_token(g->rq->callback_ctx, token);
}

static bool on_progress(void *ctx, size_t n_done, size_t n_total)
{
    struct generating *g = ctx;
    enum lane_word word = lane_go_on(&g->desk->chat, g->job);
    g->again = word == LANE_BEGIN_AGAIN;
    if (word != LANE_GO_ON)
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

static enum kt_status take_context(struct warm **out, struct desk *d, const struct visitor *v,
                                   struct kt_error *err)
{
    pthread_mutex_lock(&d->warm_lock);
    enum kt_status st = warm_take(out, &d->warm, v, err);
    pthread_mutex_unlock(&d->warm_lock);
    if (st)
        return st;
    kt_context_share((*out)->context, (enum kt_class)v->class, v->user);
    warm_use_files(*out, v);
    return KT_OK;
}

static void give_context(struct desk *d, struct warm *s)
{
    pthread_mutex_lock(&d->warm_lock);
    warm_give(s);
    pthread_cond_broadcast(&d->given);
    pthread_mutex_unlock(&d->warm_lock);
}

static enum kt_status generate(struct generating *g, struct kt_error *err)
{
    struct desk *d = g->desk;
    struct warm *s;
    struct kt_generate_request rq = *g->rq;
    enum kt_status st = take_context(&s, d, g->job->visitor, err);
    if (st)
        return st;
    rq.on_text = on_text;
    rq.on_token = rq.on_token ? on_token : NULL;
    rq.on_progress = on_progress;
    rq.callback_ctx = g;
    g->n_text = g->n_tokens = 0;
    g->again = false;
    st = kt_generate(s->context, &rq, g->out, err);
    give_context(d, s);
    return st;
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
    struct job j = { .visitor = v, .pausable = true };
    struct generating g = { .desk = d, .job = &j, .rq = rq, .out = out };
    st = lane_begin(&d->chat, &j, err);
    if (waited_s)
        *waited_s = j.begun_ns ? (double)(j.begun_ns - j.queued_ns) * 1e-9 : 0;
    if (st)
        return st;
    while (!(st = generate(&g, err)) && g.again) {
        kt_generate_result_deinit(out);
        st = lane_begin(&d->chat, &j, err);
        if (st)
            return st;
    }
    if (!st)
        add_up(d, out);
    lane_end(&d->chat, &j, st == KT_E_CANCELLED); /* after which the desk may be gone */
    return st;
}

/* ---- other work ------------------------------------------------------------------------------ */

enum kt_status desk_with_context(struct desk *d, const struct visitor *v, desk_fn fn, void *arg,
                                 struct kt_error *err)
{
    struct job j = { .visitor = v };
    struct warm *s = NULL;
    enum kt_status st = lane_begin(&d->chat, &j, err);
    if (st)
        return st;
    if (d->opts.chat)
        st = take_context(&s, d, v, err);
    if (!st)
        st = fn(arg, s ? s->context : NULL, err);
    if (s)
        give_context(d, s);
    lane_end(&d->chat, &j, st == KT_E_CANCELLED);
    return st;
}

enum kt_status desk_with_embedder(struct desk *d, const struct visitor *v, desk_fn fn, void *arg,
                                  struct kt_error *err)
{
    enum kt_status st = need(d->opts.embed ? d->opts.embed : d->opts.rank, "embedding model",
                             "--embed-model MODEL", err);
    struct job j = { .visitor = v };
    if (!st)
        st = lane_begin(&d->embed, &j, err);
    if (st)
        return st;
    st = fn(arg, NULL, err);
    lane_end(&d->embed, &j, st == KT_E_CANCELLED);
    return st;
}

/* ---- forgetting and counting ----------------------------------------------------------------- */

void desk_forget(struct desk *d, const char *scope)
{
    pthread_mutex_lock(&d->warm_lock);
    while (warm_forget(&d->warm, scope)) /* answers that are being written are finished first */
        pthread_cond_wait(&d->given, &d->warm_lock);
    pthread_mutex_unlock(&d->warm_lock);
}

static void count_lane(struct lane *l, struct desk_counts *out)
{
    pthread_mutex_lock(&l->lock);
    out->waiting += l->n_waiting;
    out->running += l->n_running;
    out->refused += l->refused;
    out->cancelled += l->cancelled;
    out->paused += l->paused;
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
    if (!d->warm.cache)
        return;
    struct kt_cache_counts n;
    kt_cache_count(d->warm.cache, &n);
    out->checkpoints = n.n_checkpoints;
    out->checkpoint_bytes = n.bytes;
    out->checkpoint_bytes_max = n.bytes_max;
    out->checkpoint_hits = n.hits;
}
