#include "engine/speculate.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/size.h"
#include "engine/head.h"
#include "engine/ngram.h"
#include "engine/odds.h"
#include "engine/sample.h"

enum {
    /* With AUTO the head reads no more than the end of a prompt: a layer's work for all of a long one is
     * more than a short answer earns back. */
    HEAD_WINDOW = 512,
    AHEAD_BYTES = 96, /* of a source, made into tokens: some 20 */
};
static_assert((int)SPECULATION_ROWS == (int)ODDS_ROWS_MAX, "a row for each guess");

struct speculation {
    struct kt_context *c;
    enum kt_speculate kind; /* what the context was made for */
    struct odds odds;
    struct ngram text; /* prompt and answer */
    struct head *head; /* NULL: none        */
    struct token_vec ahead;

    /* of the current answer */
    bool on, lookup, use_head, whole_prompt;
    struct constraint *constraint;
    struct kt_guesses from_text, from_head;

    /* Guesses since the last step. The first n_verified are rows of it, the others were not thought
     * worth it; but whether they come true is worth knowing. */
    int32_t guesses[ODDS_DRAFT_MAX];
    enum odds_kind kinds[ODDS_DRAFT_MAX];
    size_t n_guesses, n_true;
    bool by_head;
};

enum kt_status speculation_create(struct speculation **out, struct kt_context *c,
                                  enum kt_speculate kind, struct state_types types,
                                  struct kt_error *err)
{
    *out = NULL;
    struct speculation *s = calloc(1, sizeof(*s));
    if (!s)
        return kt_fail(err, KT_E_NOMEM, "speculation: out of memory");
    s->c = c;
    s->kind = kind;
    odds_init(&s->odds);
    bool head =
        kind == KT_SPECULATE_MTP || (kind == KT_SPECULATE_AUTO && model_has_mtp(c->engine->model));
    enum kt_status st = ngram_init(&s->text, c->n_ctx, err);
    if (!st)
        st = model_state_allow_tentative(c->state, SPECULATION_ROWS, err);
    if (!st && head)
        st = head_create(&s->head, c->engine, &c->seat, NULL, c->n_ctx,
                         MAX(c->n_batch, (size_t)SPECULATION_ROWS), types, err);
    if (st) {
        speculation_destroy(s);
        return st;
    }
    *out = s;
    return KT_OK;
}

bool speculation_bytes(size_t *bytes, const struct kt_engine *e, enum kt_speculate kind,
                       size_t n_ctx, size_t n_batch, struct state_types types)
{
    const struct model_shape *sh = model_shape_of(e->model);
    bool head = kind != KT_SPECULATE_LOOKUP && model_has_mtp(e->model);
    size_t tentative, index, rows = 0;
    struct state_sizes state = { 0 };
    bool ok = tentative_size(&tentative, sh, SPECULATION_ROWS) && ngram_bytes(&index, n_ctx);
    if (head)
        ok = ok && mtp_state_sizes(&state, sh, n_ctx, types) &&
             head_bytes(&rows, e, MAX(n_batch, (size_t)SPECULATION_ROWS));
    return ok && size_add(bytes, tentative, index) && size_add(bytes, *bytes, state.total) &&
           size_add(bytes, *bytes, rows);
}

void speculation_destroy(struct speculation *s)
{
    if (!s)
        return;
    ngram_deinit(&s->text);
    head_destroy(s->head);
    token_vec_deinit(&s->ahead);
    free(s);
}

/* ---- an answer ---- */

static void forget_guesses(struct speculation *s)
{
    s->n_guesses = s->n_true = 0;
}

enum kt_status speculation_begin(struct speculation *s, const struct kt_generate_request *rq,
                                 struct kt_error *err)
{
    static const char *const NAMES[] = { "auto", "off", "mtp", "lookup" };
    enum kt_speculate want = rq->speculate;
    if (want == KT_SPECULATE_AUTO)
        want = s->kind;
    if (want == KT_SPECULATE_MTP && !s->head)
        return kt_fail(err, KT_E_UNSUPPORTED,
                       "generate: speculation by the multi-token head, which this %s has not",
                       model_has_mtp(s->c->engine->model) ? "context" : "model");
    if (want == KT_SPECULATE_LOOKUP && s->kind == KT_SPECULATE_MTP)
        return kt_fail(err, KT_E_USAGE, "generate: speculation is %s, the context was made for %s",
                       NAMES[want], NAMES[s->kind]);
    s->on = want != KT_SPECULATE_OFF;
    s->lookup = want == KT_SPECULATE_AUTO || want == KT_SPECULATE_LOOKUP;
    s->use_head = s->head && (want == KT_SPECULATE_AUTO || want == KT_SPECULATE_MTP);
    s->whole_prompt = want == KT_SPECULATE_MTP;
    s->constraint = NULL;
    s->from_text = s->from_head = (struct kt_guesses){ 0 };
    forget_guesses(s);
    ngram_reset(&s->text);
    for (size_t i = 0; s->lookup && i < rq->n_prompt; i++)
        ngram_push(&s->text, rq->prompt[i]);
    if (s->use_head)
        head_remember(s->head, rq->prompt, rq->n_prompt);
    return KT_OK;
}

void speculation_set_constraint(struct speculation *s, struct constraint *constraint)
{
    s->constraint = constraint;
}

void speculation_end(struct speculation *s, struct kt_generate_result *out)
{
    out->lookup = s->from_text;
    out->mtp = s->from_head;
    s->constraint = NULL;
}

void speculation_be_eager(struct speculation *s)
{
    s->odds.eager = true;
}

/* ---- the prompt ---- */

void speculation_lost(struct speculation *s)
{
    if (s->head)
        head_lost(s->head);
}

/* Is the head likely to be asked? As long as nothing was measured, yes. */
static bool head_is_wanted(struct speculation *s)
{
    return s->use_head &&
           (s->whole_prompt || s->odds.head_s.n == 0 || odds_worth_head(&s->odds, NULL, 0));
}

enum kt_status speculation_before_prompt(struct speculation *s, const int32_t *tokens, size_t n,
                                         size_t at, size_t n_total, bool pixels, float **hidden,
                                         struct kt_error *err)
{
    *hidden = NULL;
    bool near_end = s->whole_prompt || at + n + HEAD_WINDOW > n_total;
    /* The head begins behind an image: it has no eyes of its own. */
    if (!near_end || pixels || !head_is_wanted(s)) {
        speculation_lost(s);
        return KT_OK;
    }
    *hidden = head_rows(s->head);
    return head_saw_token(s->head, tokens[0], at, true, err);
}

enum kt_status speculation_after_prompt(struct speculation *s, const int32_t *tokens, size_t n,
                                        size_t at, const float *hidden, struct kt_error *err)
{
    return hidden ? head_saw_chunk(s->head, tokens, n, at, err) : KT_OK;
}

/* ---- guessing ---- */

static bool can_follow(const struct speculation *s, int32_t id)
{
    const struct kt_engine *e = s->c->engine;
    if (id < 0 || (size_t)id >= e->n_vocab || !mask_has(e->samplable, (size_t)id))
        return false;
    size_t n = 0;
    const int32_t *stops = e->tokenizer ? tokenizer_stops(e->tokenizer, &n) : NULL;
    for (size_t i = 0; i < n; i++)
        if (stops[i] == id)
            return false; /* nothing is computed after it */
    return true;
}

/* How many of the guesses could all be produced. */
static size_t possible(const struct speculation *s, size_t n)
{
    size_t k = 0;
    while (k < n && can_follow(s, s->guesses[k]))
        k++;
    return s->constraint ? constraint_allows(s->constraint, s->guesses, k) : k;
}

/* What must follow, or stands next in the source that is being quoted. */
static size_t guess_constrained(struct speculation *s, size_t n_max)
{
    char text[AHEAD_BYTES];
    bool certain = false;
    size_t len = s->constraint ? constraint_ahead(s->constraint, text, sizeof(text), &certain) : 0;
    s->ahead.n = 0;
    if (len == 0 || tokenizer_encode(s->c->engine->tokenizer, &s->ahead, (struct span){ text, len },
                                     TOK_PLAIN, NULL))
        return 0;
    /* The last token may be half of a word that was cut off. */
    size_t n = MIN(s->ahead.n - (len == sizeof(text)), n_max);
    for (size_t i = 0; i < n; i++) {
        s->guesses[i] = s->ahead.ids[i];
        s->kinds[i] = certain ? ODDS_FORCED : ODDS_QUOTE;
    }
    return n;
}

static size_t guess_from_text(struct speculation *s, size_t n_max)
{
    size_t match, n = guess_constrained(s, n_max);
    if (n)
        return n;
    n = ngram_guess(&s->text, s->guesses, n_max, &match);
    for (size_t i = 0; i < n; i++)
        s->kinds[i] = odds_kind_of_match(match + i);
    return n;
}

/* Behind n guesses: tokens beside which the constraint allows nothing. */
static size_t add_forced(struct speculation *s, size_t n, size_t n_max)
{
    int32_t id;
    while (s->constraint && n < n_max &&
           (id = constraint_forced(s->constraint, s->guesses, n)) >= 0 && can_follow(s, id)) {
        s->guesses[n] = id;
        s->kinds[n++] = ODDS_FORCED;
    }
    return n;
}

/* Guesses of the head, as many as are worth their time. */
static enum kt_status guess_by_head(struct speculation *s, size_t n_max, size_t *n,
                                    struct kt_error *err)
{
    *n = 0;
    if (n_max == 0 || !odds_worth_head(&s->odds, s->kinds, 0))
        return KT_OK;
    uint64_t start = clock_now_ns();
    head_waited_s(s->head);
    size_t n_asked = 1;
    int32_t id;
    float p;
    enum kt_status st = head_guess(s->head, &id, &p, err);
    while (!st && id >= 0) {
        s->guesses[*n] = id;
        s->kinds[*n] = odds_kind_of_head(p);
        if (possible(s, *n + 1) <= *n)
            break;
        ++*n;
        if (*n == n_max || !odds_worth_head(&s->odds, s->kinds, *n))
            break;
        st = head_guess_on(s->head, id, &id, &p, err);
        n_asked++;
    }
    head_cut(s->head);
    double seconds = (double)(clock_now_ns() - start) * 1e-9 - head_waited_s(s->head);
    odds_saw_head(&s->odds, seconds / (double)n_asked);
    return st;
}

/* Compare a token with what was guessed for its place, whether a row was spent on it or not. */
static void learn(struct speculation *s, int32_t id)
{
    if (s->n_true == s->n_guesses)
        return;
    bool right = s->guesses[s->n_true] == id;
    odds_saw_guess(&s->odds, s->kinds[s->n_true], right);
    if (s->n_true == 0 && s->by_head)
        odds_saw_first_of_head(&s->odds, right);
    if (right)
        s->n_true++;
    else
        forget_guesses(s);
}

enum kt_status speculation_hit(struct speculation *s, int32_t id, size_t at, size_t row,
                               struct kt_error *err)
{
    learn(s, id);
    ngram_push(&s->text, id);
    (s->by_head ? &s->from_head : &s->from_text)->right++;
    if (!s->use_head)
        return KT_OK;
    enum kt_status st = head_saw_token(s->head, id, at, true, err);
    head_saw_row(s->head, row, at);
    return st;
}

enum kt_status speculation_miss(struct speculation *s, int32_t id, size_t at, size_t n_max,
                                const int32_t **guesses, size_t *n, float **hidden,
                                struct kt_error *err)
{
    enum kt_status st = KT_OK;
    learn(s, id);
    forget_guesses(s);
    *guesses = s->guesses;
    *n = 0;
    *hidden = NULL;
    if (!s->on)
        return KT_OK;
    n_max = MIN(n_max, (size_t)ODDS_DRAFT_MAX);
    s->by_head = false;
    if (s->lookup) {
        ngram_push(&s->text, id);
        s->n_guesses = add_forced(s, possible(s, guess_from_text(s, n_max)), n_max);
        *n = odds_worth(&s->odds, s->kinds, s->n_guesses);
    }
    if (!s->use_head)
        return KT_OK;
    *hidden = head_rows(s->head);
    st = head_saw_token(s->head, id, at, head_is_wanted(s), err);
    if (!st && *n == 0) {
        s->by_head = true;
        st = guess_by_head(s, n_max, &s->n_guesses, err);
        *n = odds_worth(&s->odds, s->kinds, s->n_guesses);
    }
    return st;
}

void speculation_in_company(struct speculation *s, size_t n_others, double one_s, double row_s)
{
    odds_in_company(&s->odds, n_others, one_s, row_s);
}

void speculation_stepped(struct speculation *s, size_t n, size_t at, double seconds)
{
    odds_saw_step(&s->odds, n + 1, seconds);
    (s->by_head ? &s->from_head : &s->from_text)->tried += n;
    if (s->use_head)
        head_saw_row(s->head, 0, at);
}
