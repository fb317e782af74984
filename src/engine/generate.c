/* engine/generate.c: the loop that makes an answer, token by token.
 *
 * What a token does is decided in one order: it may be cancelled before; the constraint and the
 * sampler choose it; a stop token ends the answer; its bytes join the text; a stop string ends the
 * answer before itself; what is certain goes to the caller. Certain is what can no longer be taken
 * back: not the beginning of a stop string, not a part of a character, and no quotation before its
 * closing mark. */
#include "engine/engine_priv.h"
#include "engine/feed.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/size.h"
#include "engine/reuse.h"
#include "engine/sample.h"
#include "engine/speculate.h"

struct generation {
    struct kt_context *c;
    const struct kt_generate_request *rq;
    size_t n_max;
    struct sampler sampler;
    struct constraint *constraint; /* NULL: unrestricted    */
    uint64_t *mask;                /* what it allows now    */
    struct token_stream stream;
    struct buf text;
    size_t n_emitted; /* bytes of text the caller has seen */
    size_t stop_at;   /* text ends here, before a stop string; SIZE_MAX */
    size_t stop_len_max;
    int32_t *tokens;
    size_t n_tokens;
    double logprob_sum;
    enum kt_finish finish;
    bool done;
};

/* ---- checks ---------------------------------------------------------------------------------- */

static enum kt_status check_request(struct generation *g, struct kt_error *err)
{
    const struct kt_generate_request *rq = g->rq;
    size_t n_ctx = g->c->n_ctx;
    if (rq->n_prompt == 0)
        return kt_fail(err, KT_E_USAGE,
                       "generate: the prompt has no tokens, at least one is needed");
    if (rq->n_prompt >= n_ctx || rq->n_max > n_ctx - rq->n_prompt)
        return kt_fail(
            err, KT_E_LIMIT,
            "generate: the prompt has %zu tokens, the answer up to %zu, the context holds %zu; "
            "shorten the prompt or raise the context",
            rq->n_prompt, rq->n_max ? rq->n_max : 1, n_ctx);
    g->n_max = rq->n_max ? rq->n_max : n_ctx - rq->n_prompt;
    for (size_t i = 0; i < rq->n_stop; i++) {
        size_t len = rq->stop[i] ? strlen(rq->stop[i]) : 0;
        if (len == 0)
            return kt_fail(err, KT_E_USAGE, "generate: stop string %zu is empty", i);
        g->stop_len_max = MAX(g->stop_len_max, len);
    }
    if (rq->n_top > KT_TOP_MAX)
        return kt_fail(err, KT_E_USAGE,
                       "generate: %u most likely tokens are asked for, at most %d are given",
                       rq->n_top, KT_TOP_MAX);
    if (rq->n_stop > 0 || rq->quotes || rq->grammar)
        return engine_need_tokenizer(g->c->engine, err);
    return KT_OK;
}

static enum kt_status open_constraint(struct generation *g, struct kt_error *err)
{
    const struct kt_generate_request *rq = g->rq;
    if (!rq->quotes && !rq->grammar)
        return KT_OK;
    g->mask = calloc(mask_words(g->c->engine->n_vocab) + 1, sizeof(*g->mask));
    if (!g->mask)
        return kt_fail(err, KT_E_NOMEM, "generate: out of memory");
    struct token_trie *trie = NULL;
    enum kt_status st = engine_trie(g->c->engine, &trie, err);
    if (st)
        return st;
    struct constraint_options o = { .grammar = rq->grammar,
                                    .thinking = rq->thinking,
                                    .may_think = rq->may_think,
                                    .quotes = rq->quotes,
                                    .n_quotes = rq->n_quotes,
                                    .quote_min = rq->quote_min_bytes,
                                    .quote_max = rq->quote_max_bytes,
                                    .start_in_quote = rq->start_in_quote,
                                    .ignore_stops = rq->ignore_stop_tokens };
    return constraint_create(&g->constraint, trie, &o, err);
}

static enum kt_status generation_init(struct generation *g, struct kt_context *c,
                                      const struct kt_generate_request *rq, struct kt_error *err)
{
    *g = (struct generation){ .c = c, .rq = rq, .stop_at = SIZE_MAX };
    enum kt_status st = check_request(g, err);
    if (!st)
        st = sampler_init(&g->sampler, &rq->sampling, c->engine->n_vocab, &c->engine->kernels, err);
    if (!st)
        st = open_constraint(g, err);
    if (!st && c->guessing) {
        st = speculation_begin(c->guessing, rq, err);
        speculation_set_constraint(c->guessing, g->constraint);
    } else if (!st && rq->speculate != KT_SPECULATE_AUTO && rq->speculate != KT_SPECULATE_OFF) {
        st = kt_fail(err, KT_E_USAGE, "generate: speculation in a context that was made without");
    }
    if (!st && !(g->tokens = calloc(g->n_max, sizeof(*g->tokens))))
        st = kt_fail(err, KT_E_NOMEM, "generate: out of memory for %zu tokens", g->n_max);
    return st;
}

static void generation_deinit(struct generation *g)
{
    sampler_deinit(&g->sampler);
    constraint_destroy(g->constraint);
    free(g->mask);
    free(g->tokens);
    buf_deinit(&g->text);
}

static void finish(struct generation *g, enum kt_finish why)
{
    g->finish = why;
    g->done = true;
}

/* ---- text ------------------------------------------------------------------------------------ */

/* The first stop string that is complete and ends behind 'from'. */
static void find_stop(struct generation *g, size_t from)
{
    size_t begin = from > g->stop_len_max ? from - g->stop_len_max : 0;
    for (size_t i = 0; i < g->rq->n_stop; i++) {
        size_t at = span_find(buf_span(&g->text), span_of(g->rq->stop[i]), begin);
        if (at < g->stop_at)
            g->stop_at = at;
    }
}

/* How much of the text cannot become a stop string any more. */
static size_t before_possible_stop(const struct generation *g)
{
    struct span text = buf_span(&g->text);
    size_t first = text.len > g->stop_len_max ? text.len - g->stop_len_max : 0;
    for (size_t at = first; at < text.len; at++) {
        struct span tail = span_sub(text, at, text.len);
        for (size_t i = 0; i < g->rq->n_stop; i++)
            if (span_starts(span_of(g->rq->stop[i]), tail))
                return at;
    }
    return text.len;
}

/* What of the text is certain. */
static size_t certain_end(const struct generation *g)
{
    size_t end = before_possible_stop(g);
    return g->constraint ? constraint_certain(g->constraint, end) : end;
}

static void emit(struct generation *g, size_t end)
{
    if (end <= g->n_emitted)
        return;
    if (g->rq->on_text &&
        !g->rq->on_text(g->rq->callback_ctx, g->text.ptr + g->n_emitted, end - g->n_emitted))
        finish(g, KT_FINISH_CANCELLED);
    g->n_emitted = end;
}

/* ---- one token ------------------------------------------------------------------------------- */

static bool is_stop(const struct generation *g, int32_t id)
{
    if (g->rq->ignore_stop_tokens || !g->c->engine->tokenizer)
        return false;
    size_t n;
    const int32_t *stops = tokenizer_stops(g->c->engine->tokenizer, &n);
    for (size_t i = 0; i < n; i++)
        if (stops[i] == id)
            return true;
    return false;
}

static enum kt_status choose(struct generation *g, int32_t *id, struct kt_error *err)
{
    const uint64_t *allowed = g->c->engine->samplable;
    enum kt_status st = KT_OK;
    if (g->constraint) {
        bool any = false;
        allowed = g->mask;
        st = constraint_mask(g->constraint, g->mask, &any, err);
        if (!st && !any) /* the vocabulary has no token for what must follow */
            finish(g, KT_FINISH_STOP);
        if (st || !any)
            return st;
    }
    float logprob = 0;
    st = sampler_pick(&g->sampler, context_logits(g->c), allowed, id, &logprob, err);
    if (st)
        return st;
    if (is_stop(g, *id)) {
        finish(g, KT_FINISH_STOP);
        return KT_OK;
    }
    g->logprob_sum += (double)logprob;
    g->tokens[g->n_tokens++] = *id;
    st = g->constraint ? constraint_accept(g->constraint, *id, err) : KT_OK;
    return NEVER(st == KT_E_INTERNAL) ? KT_E_INTERNAL : st;
}

/* Tell the caller of the token that was just added. */
static void report(const struct generation *g, int32_t id)
{
    const struct kt_generate_request *rq = g->rq;
    struct kt_token t = { .id = id, .text_end = g->text.len, .n_top = rq->n_top };
    struct token_top top;
    if (!rq->on_token)
        return;
    if (rq->logprobs || rq->n_top)
        token_judge(&t, &top, context_logits(g->c), g->c->engine->n_vocab, g->c->engine->samplable);
    rq->on_token(rq->callback_ctx, &t);
}

static enum kt_status add_text(struct generation *g, int32_t id, struct kt_error *err)
{
    size_t from = g->text.len;
    if (g->c->engine->tokenizer)
        token_stream_push(&g->stream, g->c->engine->tokenizer, &g->text, id);
    if (g->text.failed)
        return kt_fail(err, KT_E_NOMEM, "generate: out of memory for the answer");
    report(g, id);
    find_stop(g, from);
    if (g->stop_at != SIZE_MAX)
        finish(g, KT_FINISH_STOP_STRING);
    else
        emit(g, certain_end(g));
    return KT_OK;
}

static enum kt_status next_token(struct generation *g, struct kt_error *err)
{
    const struct kt_generate_request *rq = g->rq;
    if (rq->on_progress && !rq->on_progress(rq->callback_ctx, rq->n_prompt, rq->n_prompt)) {
        finish(g, KT_FINISH_CANCELLED);
        return KT_OK;
    }
    int32_t id = -1;
    enum kt_status st = choose(g, &id, err);
    if (st || g->done)
        return st;
    st = add_text(g, id, err);
    if (st || g->done)
        return st;
    if (g->constraint && constraint_ended(g->constraint))
        finish(g, KT_FINISH_STOP);
    else if (g->n_tokens == g->n_max)
        finish(g, KT_FINISH_LENGTH);
    if (g->done)
        return KT_OK;
    return context_go_on(g->c, id, g->n_max - g->n_tokens - 1, err);
}

/* ---- the end --------------------------------------------------------------------------------- */

/* Cut the text where the answer ends, and close or drop a quotation that was left open. */
static enum kt_status settle_text(struct generation *g, struct kt_error *err)
{
    if (g->stop_at != SIZE_MAX)
        g->text.len = g->stop_at;
    else if (!g->constraint) /* with one, a torn character is left out instead of replaced */
        token_stream_finish(&g->stream, &g->text);
    if (g->constraint) {
        size_t keep;
        bool close;
        constraint_end(g->constraint, buf_span(&g->text), &keep, &close);
        g->text.len = keep;
        if (close)
            buf_append_char(&g->text, '"');
    }
    buf_append(&g->text, "", 0); /* terminates */
    if (g->text.failed || (g->constraint && constraint_failed(g->constraint)))
        return kt_fail(err, KT_E_NOMEM, "generate: out of memory for the answer");
    if (g->finish != KT_FINISH_CANCELLED)
        emit(g, g->text.len);
    return KT_OK;
}

/* The promise, checked against the sources themselves and not against what the automaton remembers.
 */
static enum kt_status verify_quotes(const struct generation *g, const struct kt_quote *list,
                                    size_t n, struct kt_error *err)
{
    struct span text = buf_span(&g->text);
    for (size_t i = 0; i < n; i++) {
        const struct kt_quote *k = &list[i];
        bool ok =
            k->src_idx < g->rq->n_quotes && k->out_start <= k->out_end && k->out_end <= text.len;
        if (ok) {
            const struct kt_quote_source *s = &g->rq->quotes[k->src_idx];
            ok = k->src_start <= k->src_end && k->src_end <= s->text_len &&
                 kt_quote_matches(text.ptr + k->out_start, k->out_end - k->out_start,
                                  s->text + k->src_start, k->src_end - k->src_start);
        }
        if (NEVER(!ok))
            return kt_fail(err, KT_E_INTERNAL, "generate: quotation %zu is not in its source", i);
    }
    return KT_OK;
}

static enum kt_status give(struct generation *g, struct kt_generate_result *out,
                           struct kt_error *err)
{
    enum kt_status st = settle_text(g, err);
    size_t n_quotes = 0;
    const struct kt_quote *quotes =
        g->constraint ? constraint_quotes(g->constraint, &n_quotes) : NULL;
    if (!st)
        st = verify_quotes(g, quotes, n_quotes, err);
    if (st)
        return st;
    if (n_quotes) {
        out->quotes = malloc(n_quotes * sizeof(*quotes));
        if (!out->quotes)
            return kt_fail(err, KT_E_NOMEM, "generate: out of memory for the quotations");
        memcpy(out->quotes, quotes, n_quotes * sizeof(*quotes));
        out->n_quotes = n_quotes;
    }
    out->text_len = g->text.len;
    out->text = g->text.ptr ? buf_take(&g->text) : calloc(1, 1);
    if (!out->text)
        return kt_fail(err, KT_E_NOMEM, "generate: out of memory for the answer");
    out->tokens = g->tokens;
    g->tokens = NULL;
    out->n_tokens = g->n_tokens;
    out->finish = g->finish;
    out->mean_logprob = g->n_tokens ? (float)(g->logprob_sum / (double)g->n_tokens) : 0.0f;
    return KT_OK;
}

static double seconds_since(uint64_t start_ns)
{
    return (double)(clock_now_ns() - start_ns) * 1e-9;
}

static enum kt_status generation_run(struct generation *g, struct kt_generate_result *out,
                                     struct kt_error *err)
{
    const struct kt_generate_request *rq = g->rq;
    uint64_t start = clock_now_ns();
    struct feed feed;
    enum kt_status st =
        feed_open(&feed, g->c->engine, rq->prompt, rq->n_prompt, rq->media, rq->n_media, err);
    if (st)
        return st;
    st = context_advance(g->c, rq->prompt, rq->n_prompt, &feed, &out->tokens_cached,
                         rq->on_progress, rq->callback_ctx, err);
    feed_close(&feed);
    out->tokens_prompt = rq->n_prompt;
    out->prompt_s = seconds_since(start);
    if (st == KT_E_CANCELLED) {
        finish(g, KT_FINISH_CANCELLED);
        st = KT_OK;
    }
    start = clock_now_ns();
    g->c->n_steps = 0;
    while (!st && !g->done)
        st = next_token(g, err);
    out->decode_s = seconds_since(start);
    out->n_steps = g->c->n_steps;
    if (g->c->guessing)
        speculation_end(g->c->guessing, out);
    return st ? st : give(g, out, err);
}

enum kt_status kt_generate(struct kt_context *c, const struct kt_generate_request *rq,
                           struct kt_generate_result *out, struct kt_error *err)
{
    *out = (struct kt_generate_result){ 0 };
    struct generation g;
    enum kt_status st = generation_init(&g, c, rq, err);
    if (!st)
        st = generation_run(&g, out, err);
    context_settle(c);
    turns_leave(&c->seat);
    if (!st && out->n_tokens)
        reuse_keep(c);
    generation_deinit(&g);
    if (st)
        kt_generate_result_deinit(out);
    return st;
}

void kt_generate_result_deinit(struct kt_generate_result *r)
{
    free(r->text);
    free(r->tokens);
    free(r->quotes);
    *r = (struct kt_generate_result){ 0 };
}

const char *kt_finish_name(enum kt_finish f)
{
    switch (f) {
    case KT_FINISH_STOP:
    case KT_FINISH_STOP_STRING:
        return "stop";
    case KT_FINISH_LENGTH:
        return "length";
    case KT_FINISH_CANCELLED:
        return "cancelled";
    }
    return "unknown";
}
