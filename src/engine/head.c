#include "engine/head.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/size.h"
#include "engine/sample.h"

struct head {
    struct kt_engine *e;
    struct turn_seat *seat; /* its context's */
    struct model_run *run;  /* NULL: what its context computes with */
    struct model_state *state;
    size_t d, n_ids, n_ctx, n_rows;
    float *rows;     /* [n_rows, d] the trunk's, of the last step                  */
    size_t last_row; /* of the last token, if last_at is its index                 */
    size_t last_at;  /* SIZE_MAX: its hidden state is not known                    */
    size_t next;     /* index of the pair that comes after those gathered          */
    size_t n_true;   /* pairs in 'state' that are certain                          */
    size_t n_pairs;  /* gathered, not in 'state' yet                               */
    int32_t pair_tokens[HEAD_PAIRS_MAX];
    float *pair_hidden; /* [HEAD_PAIRS_MAX, d]                                      */
    float *own;         /* [HEAD_PAIRS_MAX, d] what the head ended with            */
    size_t own_row;     /* of the last guess                                       */
    float *logits;      /* [n_ids + HEAD_SEEN_MAX]                                 */
    int32_t *seen;      /* [n_seen] ids from n_ids on that the timeline has shown  */
    size_t n_seen;
    uint64_t *is_seen; /* bits, by id                                             */
    double waited_s;   /* for others                                              */
};

enum kt_status head_create(struct head **out, struct kt_engine *e, struct turn_seat *seat,
                           struct model_run *run, size_t n_ctx, size_t n_rows,
                           struct state_types types, struct kt_error *err)
{
    *out = NULL;
    struct head *h = calloc(1, sizeof(*h));
    if (!h)
        return kt_fail(err, KT_E_NOMEM, "multi-token head: out of memory");
    h->e = e;
    h->seat = seat;
    h->run = run;
    h->n_ctx = n_ctx;
    h->n_rows = n_rows;
    h->d = model_shape_of(e->model)->d_model;
    h->n_ids = MIN(e->n_vocab, (size_t)HEAD_IDS);
    enum kt_status st = model_mtp_state_create(&h->state, e->model, n_ctx, types, err);
    if (!st) {
        h->rows = calloc(n_rows, h->d * sizeof(*h->rows));
        h->pair_hidden = calloc(HEAD_PAIRS_MAX, h->d * sizeof(*h->pair_hidden));
        h->own = calloc(HEAD_PAIRS_MAX, h->d * sizeof(*h->own));
        h->logits = calloc(h->n_ids + HEAD_SEEN_MAX, sizeof(*h->logits));
        h->seen = calloc(HEAD_SEEN_MAX, sizeof(*h->seen));
        h->is_seen = calloc(mask_words(e->n_vocab), sizeof(*h->is_seen));
        if (!h->rows || !h->pair_hidden || !h->own || !h->logits || !h->seen || !h->is_seen)
            st = kt_fail(err, KT_E_NOMEM, "multi-token head: out of memory for %zu rows", n_rows);
    }
    if (st) {
        head_destroy(h);
        return st;
    }
    head_lost(h);
    *out = h;
    return KT_OK;
}

bool head_bytes(size_t *bytes, const struct kt_engine *e, size_t n_rows)
{
    size_t floats = HEAD_IDS + HEAD_SEEN_MAX, ids = HEAD_SEEN_MAX + e->n_vocab / 32, rows;
    if (!size_mul(&rows, n_rows + 2 * HEAD_PAIRS_MAX, model_shape_of(e->model)->d_model))
        return false;
    return size_add(bytes, rows, floats + ids) && size_mul(bytes, *bytes, sizeof(float));
}

void head_destroy(struct head *h)
{
    if (!h)
        return;
    model_state_destroy(h->state);
    free(h->rows);
    free(h->pair_hidden);
    free(h->own);
    free(h->logits);
    free(h->seen);
    free(h->is_seen);
    free(h);
}

double head_waited_s(struct head *h)
{
    double s = h->waited_s;
    h->waited_s = 0;
    return s;
}

float *head_rows(struct head *h)
{
    return h->rows;
}

void head_saw_row(struct head *h, size_t row, size_t at)
{
    h->last_row = row;
    h->last_at = at;
}

/* Forget all pairs; the next one is about token 'next'. */
static void start_over(struct head *h, size_t next)
{
    model_state_reset(h->state);
    h->n_true = h->n_pairs = 0;
    h->next = next;
}

void head_lost(struct head *h)
{
    start_over(h, 0);
    h->last_at = SIZE_MAX;
}

/* n pairs into the head; with 'guess' the logits after the last. */
static enum kt_status feed(struct head *h, const float *hidden, const int32_t *tokens, size_t n,
                           bool guess, struct kt_error *err)
{
    struct model_span sp = { .state = h->state,
                             .tokens = tokens,
                             .n_tokens = n,
                             .logits_of = guess ? OUT_LAST : OUT_NONE,
                             .logits = guess ? h->logits : NULL,
                             .n_ids = h->n_ids,
                             .n_more_ids = h->n_seen,
                             .more_ids = h->seen,
                             .hidden = guess ? h->own : NULL,
                             .hidden_in = hidden };
    h->own_row = n - 1;
    uint64_t start = clock_now_ns();
    struct model_run *run = turns_enter(h->e->turns, h->seat);
    h->waited_s += (double)(clock_now_ns() - start) * 1e-9;
    enum kt_status st = model_mtp_step(h->run ? h->run : run, &sp, 1, err);
    turns_exit(h->e->turns);
    return st;
}

/* The gathered pairs, which are certain. */
static enum kt_status hand_over(struct head *h, bool guess, struct kt_error *err)
{
    enum kt_status st = KT_OK;
    for (size_t i = 0; i < h->n_pairs && !st;) {
        size_t n = MIN(h->n_rows, h->n_pairs - i);
        bool last = i + n == h->n_pairs;
        st = feed(h, h->pair_hidden + i * h->d, h->pair_tokens + i, n, guess && last, err);
        i += n;
        h->n_true += st ? 0 : n;
    }
    h->n_pairs = 0;
    return st;
}

/* A text's own words are likely to come again, and most of a language that is not English has ids
 * further back. */
static void remember(struct head *h, int32_t id)
{
    if ((size_t)id < h->n_ids || h->n_seen == HEAD_SEEN_MAX || mask_has(h->is_seen, (size_t)id) ||
        !mask_has(h->e->samplable, (size_t)id))
        return;
    mask_set(h->is_seen, (size_t)id);
    h->seen[h->n_seen++] = id;
}

void head_remember(struct head *h, const int32_t *tokens, size_t n)
{
    for (size_t i = 0; i < h->n_seen; i++)
        h->is_seen[(size_t)h->seen[i] / 64] = 0;
    h->n_seen = 0;
    for (size_t i = 0; i < n; i++)
        if (tokens[i] >= 0 && (size_t)tokens[i] < h->e->n_vocab)
            remember(h, tokens[i]);
}

enum kt_status head_saw_token(struct head *h, int32_t id, size_t at, bool keen,
                              struct kt_error *err)
{
    remember(h, id);
    if (h->last_at == SIZE_MAX || h->last_at + 1 != at) { /* its pair cannot be made */
        start_over(h, at);
        return KT_OK;
    }
    if (h->next != h->last_at)
        start_over(h, h->last_at);
    if (h->n_pairs == HEAD_PAIRS_MAX) {
        if (!keen)
            start_over(h, h->last_at);
        enum kt_status st = hand_over(h, false, err);
        if (st)
            return st;
    }
    memcpy(h->pair_hidden + h->n_pairs * h->d, h->rows + h->last_row * h->d,
           h->d * sizeof(*h->rows));
    h->pair_tokens[h->n_pairs++] = id;
    h->next++;
    return KT_OK;
}

enum kt_status head_saw_chunk(struct head *h, const int32_t *tokens, size_t n, size_t at,
                              struct kt_error *err)
{
    if (h->next != at)
        start_over(h, at);
    enum kt_status st = hand_over(h, false, err);
    if (!st && n > 1)
        st = feed(h, h->rows, tokens + 1, n - 1, false, err);
    if (st) {
        head_lost(h);
        return st;
    }
    h->n_true += n - 1;
    h->next = at + n - 1;
    head_saw_row(h, n - 1, at + n - 1);
    return KT_OK;
}

/* ---- guesses ---- */

static void choose(struct head *h, int32_t *id, float *probability)
{
    size_t best = SIZE_MAX;
    for (size_t w = 0; w < mask_words(h->n_ids); w++) {
        for (uint64_t bits = h->e->samplable[w]; bits; bits &= bits - 1) {
            size_t i = w * 64 + (size_t)__builtin_ctzll(bits);
            if (i < h->n_ids && (best == SIZE_MAX || h->logits[i] > h->logits[best]))
                best = i;
        }
    }
    for (size_t i = 0; i < h->n_seen; i++)
        if (best == SIZE_MAX || h->logits[h->n_ids + i] > h->logits[best])
            best = h->n_ids + i;
    *id = -1;
    *probability = 0;
    if (best == SIZE_MAX)
        return;
    h->e->kernels.softmax(h->logits, h->n_ids + h->n_seen);
    *id = best < h->n_ids ? (int32_t)best : h->seen[best - h->n_ids];
    *probability = h->logits[best];
}

enum kt_status head_guess(struct head *h, int32_t *id, float *probability, struct kt_error *err)
{
    *id = -1;
    if (h->n_pairs == 0) /* the last token's pair could not be made */
        return KT_OK;
    enum kt_status st = hand_over(h, true, err);
    if (!st)
        choose(h, id, probability);
    return st;
}

enum kt_status head_guess_on(struct head *h, int32_t last, int32_t *id, float *probability,
                             struct kt_error *err)
{
    *id = -1;
    if (model_state_n_past(h->state) == h->n_ctx)
        return KT_OK;
    /* No pairs wait now: the first one's place carries the head's own state back to it. */
    memcpy(h->pair_hidden, h->own + h->own_row * h->d, h->d * sizeof(*h->own));
    enum kt_status st = feed(h, h->pair_hidden, &last, 1, true, err);
    if (!st)
        choose(h, id, probability);
    return st;
}

void head_cut(struct head *h)
{
    model_state_cut(h->state, h->n_true);
}
