/* engine/context.c: one timeline of tokens and its memory.
 *
 * Callers hand over the whole prefix each time. If what is computed already is its beginning, only
 * the rest is computed; otherwise everything is: a recurrent state cannot be cut back, only started
 * over. */
#include "engine/engine_priv.h"
#include "engine/feed.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "engine/reuse.h"
#include "engine/speculate.h"

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
    struct state_types types = engine_state_types(o.kv, o.state);
    c->n_rows_max = o.speculate == KT_SPECULATE_OFF ? 1 : SPECULATION_ROWS;
    if (!st)
        st = model_state_create(&c->state, e->model, c->n_ctx, types, err);
    turns_sit(e->turns, &c->seat);
    if (!st)
        st = turns_reserve(e->turns, MAX(c->n_batch, c->n_rows_max), err);
    c->reserved = !st;
    if (!st && o.speculate != KT_SPECULATE_OFF)
        st = speculation_create(&c->guessing, c, o.speculate, types, err);
    if (!st) {
        c->history = malloc(c->n_ctx * sizeof(*c->history));
        c->tried = malloc(c->n_rows_max * sizeof(*c->tried));
        c->logits = calloc(c->n_rows_max, e->n_vocab * sizeof(*c->logits));
        c->embeds = calloc(c->n_batch, sizeof(*c->embeds));
        c->positions = calloc(c->n_batch, sizeof(*c->positions));
        if (!c->history || !c->tried || !c->logits || !c->embeds || !c->positions)
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
    speculation_destroy(c->guessing);
    turns_stand_up(&c->seat);
    if (c->reserved)
        turns_unreserve(c->engine->turns);
    model_state_destroy(c->state);
    free(c->history);
    free(c->tried);
    free(c->logits);
    free(c->seen);
    free(c->embeds);
    free(c->positions);
    free(c);
}

void kt_context_share(struct kt_context *c, enum kt_class class, int64_t user)
{
    turns_leave(&c->seat);
    c->seat.class = class;
    c->seat.user = user;
    c->seat.shared = true;
}

void context_reset(struct kt_context *c)
{
    model_state_reset(c->state);
    c->n_seen = 0;
    c->n_tried = 0;
    c->has_logits = false;
    if (c->guessing)
        speculation_lost(c->guessing);
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

/* What a step is made of, beside the context and its tokens. */
struct step {
    enum span_output what;
    float *logits, *hidden; /* NULL: not wanted */
    struct feed *feed;      /* NULL: text */
    bool answer;            /* not a part of it only */
    progress_fn progress;
    void *ctx;
    size_t n_done, n_total; /* of the prompt, for 'progress' */
};

/* While an image is looked at, or others go first, the prompt does not get on. */
static bool still_there(void *ctx, size_t n_tiles, size_t n_tiles_total)
{
    (void)n_tiles;
    (void)n_tiles_total;
    const struct step *s = ctx;
    return !s->progress || s->progress(s->ctx, s->n_done, s->n_total);
}

/* Room for the runs of vectors that begin among n tokens from 'start' on. */
static enum kt_status reserve_seen(struct kt_context *c, size_t n, struct kt_error *err)
{
    if (n <= c->cap_seen - c->n_seen)
        return KT_OK;
    size_t cap = 2 * c->cap_seen + n;
    struct seen_run *seen = realloc(c->seen, cap * sizeof(*seen));
    if (!seen)
        return kt_fail(err, KT_E_NOMEM, "context: out of memory for %zu images", cap);
    c->seen = seen;
    c->cap_seen = cap;
    return KT_OK;
}

/* Those that a step over [start, start + n) has brought into the state; there is room for them. */
static void remember_seen(struct kt_context *c, const struct feed *f, size_t start, size_t n)
{
    for (size_t r = c->n_seen; r < f->n_runs && f->runs[r].start < start + n; r++)
        c->seen[c->n_seen++] = feed_seen_run(f, r);
}

/* The first *n_taken of n tokens. */
static enum kt_status take_step(struct kt_context *c, const int32_t *tokens, size_t n,
                                struct step *s, size_t *n_taken, struct kt_error *err)
{
    size_t n_past = model_state_n_past(c->state);
    struct model_span span = { .state = c->state,
                               .tokens = tokens,
                               .n_tokens = n,
                               .logits_of = s->what,
                               .logits = s->logits,
                               .hidden = s->hidden };
    assert(c->n_tried == 0);
    enum kt_status st = KT_OK;
    bool covers = s->feed && feed_covers(s->feed, n_past, n);
    if (covers) {
        st = reserve_seen(c, s->feed->n_runs - c->n_seen, err);
        if (!st)
            st = feed_take(s->feed, n_past, n, c->embeds, c->positions, still_there, s, err);
        span.embeds = c->embeds;
        span.positions = (const uint32_t(*)[3])c->positions;
    }
    for (*n_taken = 0; !st && *n_taken == 0;) {
        st = turns_step(&c->seat, &span, s->answer, n_taken, NULL, err);
        if (!st && *n_taken == 0 && !still_there(s, 0, 0))
            st = kt_fail(err, KT_E_CANCELLED, "cancelled");
    }
    if (st)
        return st;
    memmove(c->history + n_past, tokens, *n_taken * sizeof(*tokens));
    c->has_logits = s->logits == c->logits && *n_taken == n;
    c->row = 0;
    if (covers)
        remember_seen(c, s->feed, n_past, *n_taken);
    return KT_OK;
}

/* ---- an answer, token by token ---- */

const float *context_logits(const struct kt_context *c)
{
    return c->logits + c->row * c->engine->n_vocab;
}

void context_settle(struct kt_context *c)
{
    if (c->n_tried == 0)
        return;
    size_t n = c->row + 1;
    model_state_accept(c->state, n);
    memcpy(c->history + model_state_n_past(c->state) - n, c->tried, n * sizeof(*c->tried));
    c->n_tried = 0;
}

/* The token and n guesses of those after it in one step. */
static enum kt_status try(struct kt_context *c, int32_t token, const int32_t *guesses, size_t n,
                          float *hidden, double *seconds, struct kt_error *err)
{
    c->tried[0] = token;
    memcpy(c->tried + 1, guesses, n * sizeof(*guesses));
    struct model_span span = { .state = c->state,
                               .tokens = c->tried,
                               .n_tokens = n + 1,
                               .logits_of = OUT_ALL,
                               .logits = c->logits,
                               .hidden = hidden,
                               .tentative = n > 0 };
    size_t n_taken;
    enum kt_status st = turns_step(&c->seat, &span, true, &n_taken, seconds, err);
    if (st)
        return st;
    if (n > 0)
        c->n_tried = n + 1;
    else
        c->history[model_state_n_past(c->state) - 1] = token;
    c->row = 0;
    c->has_logits = true;
    return KT_OK;
}

enum kt_status context_go_on(struct kt_context *c, int32_t token, size_t n_left,
                             struct kt_error *err)
{
    if (!c->guessing) {
        c->n_steps++;
        struct step s = { .what = OUT_LAST, .logits = c->logits, .answer = true };
        size_t n_taken;
        return take_step(c, &token, 1, &s, &n_taken, err);
    }
    size_t at = model_state_n_past(c->state);
    if (c->n_tried)
        at -= c->n_tried - c->row - 1;
    if (c->row + 1 < c->n_tried && c->tried[c->row + 1] == token) {
        c->row++;
        return speculation_hit(c->guessing, token, at, c->row, err);
    }
    context_settle(c);
    c->n_steps++;
    speculation_in_company(c->guessing, c->seat.n_others, c->seat.one_s, c->seat.row_s);
    const int32_t *guesses;
    float *hidden;
    size_t n;
    double seconds;
    enum kt_status st =
        speculation_miss(c->guessing, token, at, n_left, &guesses, &n, &hidden, err);
    if (!st)
        st = try(c, token, guesses, n, hidden, &seconds, err);
    if (!st)
        speculation_stepped(c->guessing, n, at, seconds);
    return st;
}

/* Are the vectors in the state those that the feed would give? */
static bool seen_the_same(const struct kt_context *c, const struct feed *f)
{
    size_t n_past = model_state_n_past(c->state), n = 0;
    while (f && n < f->n_runs && f->runs[n].start < n_past)
        n++;
    if (n != c->n_seen)
        return false;
    for (size_t r = 0; r < n; r++) {
        struct seen_run now = feed_seen_run(f, r);
        if (now.start != c->seen[r].start || now.vector0 != c->seen[r].vector0 ||
            !digest_eq(&now.key, &c->seen[r].key))
            return false;
    }
    return true;
}

/* Is the whole of what is computed the beginning of tokens? If it is all of them, their last logits
 * must be at hand, too. */
static bool continues(const struct kt_context *c, const int32_t *tokens, size_t n_tokens,
                      const struct feed *feed)
{
    size_t n_past = model_state_n_past(c->state);
    if (n_past > n_tokens || (n_past == n_tokens && !c->has_logits))
        return false;
    return memcmp(c->history, tokens, n_past * sizeof(*tokens)) == 0 && seen_the_same(c, feed);
}

enum kt_status context_advance(struct kt_context *c, const int32_t *tokens, size_t n_tokens,
                               struct feed *feed, size_t *n_cached, progress_fn progress, void *ctx,
                               struct kt_error *err)
{
    *n_cached = 0;
    enum kt_status st = context_check_tokens(c, tokens, n_tokens, err);
    if (st)
        return st;
    struct marks marks;
    st = reuse_begin(c, &marks, tokens, n_tokens, feed, continues(c, tokens, n_tokens, feed), err);
    if (st)
        return st;
    *n_cached = model_state_n_past(c->state);
    for (size_t i = *n_cached; i < n_tokens;) {
        if (progress && !progress(ctx, i, n_tokens))
            return kt_fail(err, KT_E_CANCELLED, "cancelled");
        size_t n = MIN(c->n_batch, marks_next(&marks, i, n_tokens) - i);
        bool last = i + n == n_tokens;
        struct step s = { .what = last ? OUT_LAST : OUT_NONE,
                          .logits = last ? c->logits : NULL,
                          .feed = feed,
                          .progress = progress,
                          .ctx = ctx,
                          .n_done = i,
                          .n_total = n_tokens };
        if (c->guessing)
            st = speculation_before_prompt(c->guessing, tokens + i, n, i, n_tokens,
                                           feed && feed_covers(feed, i, n), &s.hidden, err);
        if (!st)
            st = take_step(c, tokens + i, n, &s, &n, err);
        if (!st && c->guessing)
            st = speculation_after_prompt(c->guessing, tokens + i, n, i, s.hidden, err);
        if (st)
            return st;
        i += n;
        if (marks_has(&marks, i))
            reuse_keep(c);
    }
    return KT_OK;
}

enum kt_status context_append_all(struct kt_context *c, const int32_t *tokens, size_t n_tokens,
                                  struct feed *feed, kt_logits_fn fn, void *ctx,
                                  struct kt_error *err)
{
    size_t n_vocab = c->engine->n_vocab;
    size_t n_rows = MIN(c->n_batch, MAX((size_t)1, LOGITS_BYTES_MAX / (n_vocab * sizeof(float))));
    float *logits = calloc(n_rows, n_vocab * sizeof(*logits));
    if (!logits)
        return kt_fail(err, KT_E_NOMEM, "logits: out of memory for %zu rows", n_rows);
    enum kt_status st = KT_OK;
    if (c->guessing)
        speculation_lost(c->guessing);
    for (size_t i = 0; i < n_tokens && !st;) {
        size_t n = MIN(n_rows, n_tokens - i);
        struct step s = { .what = OUT_ALL, .logits = logits, .feed = feed };
        st = take_step(c, tokens + i, n, &s, &n, err);
        for (size_t k = 0; k < n && !st; k++)
            st = fn(ctx, i + k, logits + k * n_vocab, n_vocab, err);
        i += n;
    }
    free(logits);
    return st;
}
