#include "engine/pace.h"

#include "base/size.h"

/* A step with a slice of a prompt takes this long at most, when no answer is being read. While one is, it takes so
 * many times what the answers alone would take, within limits: from the lower one on answers come faster than
 * people read, and slices become inefficient. */
static const double SLICE_S = 0.3, SLICE_MIN_S = 0.06, SLICE_PER_STEP = 4;
enum {
    SLICE_ROWS_MIN = 16,   /* fewer rows of a prompt are not worth reading the weights for      */
    SLICE_ROWS_BLIND = 32, /* as long as nothing was measured                                   */
    PROMPT_ROWS_SEEN = 8,  /* fewer say nothing about what a row costs                          */
};
/* A step of long ago counts this much less with each new one. */
static const double FORGET = 0.98, PROMPT_NEW = 0.3, OUTLIER = 3;
/* What a row adds, as a part of a step of one, when it was not measured, and the least to be believed. */
static const double ROW_PART = 0.1, ROW_PART_MIN = 0.01;

/* ---- how long steps take ---- */

/* s = fixed + row * rows through what was seen; false: nothing was. */
static bool fit(const struct pace_cost *c, double *fixed, double *row)
{
    *fixed = *row = 0;
    if (c->n <= 0)
        return false;
    double mean_r = c->r / c->n, mean_s = c->s / c->n;
    double spread = c->rr / c->n - mean_r * mean_r;
    double unknown = mean_s * ROW_PART / (1 + ROW_PART * (mean_r - 1));
    *row = spread > 0.05 ? (c->rs / c->n - mean_r * mean_s) / spread : unknown;
    *row = MAX(*row, mean_s * ROW_PART_MIN / (1 + ROW_PART_MIN * mean_r));
    *row = MIN(*row, mean_s / mean_r);
    *fixed = mean_s - *row * mean_r;
    return true;
}

void pace_saw(struct pace_cost *c, size_t n_answer, size_t n_prompt, double seconds)
{
    if (!(seconds > 0))
        return;
    double fixed, row, rows = (double)n_answer, expected = pace_step_s(c, n_answer, n_prompt);
    if (expected > 0 && (n_prompt == 0 || c->prompt_row_s > 0))
        seconds = MIN(seconds, expected * OUTLIER); /* something else had the machine */
    if (n_prompt == 0 && n_answer > 0) {
        c->n = c->n * FORGET + 1;
        c->r = c->r * FORGET + rows;
        c->rr = c->rr * FORGET + rows * rows;
        c->s = c->s * FORGET + seconds;
        c->rs = c->rs * FORGET + rows * seconds;
    }
    if (n_prompt < PROMPT_ROWS_SEEN)
        return;
    fit(c, &fixed, &row);
    double left = seconds - fixed - row * rows;
    double one = MAX(left, seconds / 10) / (double)n_prompt;
    c->prompt_row_s =
        c->prompt_row_s > 0 ? c->prompt_row_s + PROMPT_NEW * (one - c->prompt_row_s) : one;
}

double pace_step_s(const struct pace_cost *c, size_t n_answer, size_t n_prompt)
{
    double fixed, row;
    if (!fit(c, &fixed, &row) && c->prompt_row_s <= 0)
        return 0;
    return fixed + row * (double)n_answer + c->prompt_row_s * (double)n_prompt;
}

void pace_answer_s(const struct pace_cost *c, double *one_s, double *row_s)
{
    double fixed;
    fit(c, &fixed, row_s);
    *one_s = fixed + *row_s;
}

/* ---- whose turn it is ---- */

static struct pace_user *find(struct pace_users *u, int64_t user)
{
    for (size_t i = 0; i < PACE_USERS; i++)
        if (u->list[i].since && u->list[i].user == user)
            return &u->list[i];
    return NULL;
}

/* A free slot, or that of whoever left longest ago; NULL: all are at work. */
static struct pace_user *slot(struct pace_users *u)
{
    struct pace_user *best = NULL;
    for (size_t i = 0; i < PACE_USERS; i++)
        if (u->list[i].n_here == 0 && (!best || u->list[i].since < best->since))
            best = &u->list[i];
    return best;
}

static double least_here(const struct pace_users *u)
{
    double least = -1;
    for (size_t i = 0; i < PACE_USERS; i++)
        if (u->list[i].n_here && (least < 0 || u->list[i].had_s < least))
            least = u->list[i].had_s;
    return MAX(least, 0);
}

void pace_user_comes(struct pace_users *u, int64_t user)
{
    struct pace_user *p = find(u, user);
    double least = least_here(u);
    if (!p && (p = slot(u)))
        *p = (struct pace_user){ .user = user };
    if (!p)
        return;
    if (p->n_here++ == 0)
        p->had_s = MAX(p->had_s, least);
    p->since = ++u->clock;
}

void pace_user_goes(struct pace_users *u, int64_t user)
{
    struct pace_user *p = find(u, user);
    if (p && p->n_here)
        p->n_here--;
}

void pace_user_had(struct pace_users *u, int64_t user, double seconds)
{
    struct pace_user *p = find(u, user);
    if (p)
        p->had_s += seconds;
}

double pace_user_s(const struct pace_users *u, int64_t user)
{
    for (size_t i = 0; i < PACE_USERS; i++)
        if (u->list[i].since && u->list[i].user == user)
            return u->list[i].had_s;
    return 0;
}

/* ---- the next step ---- */

static bool goes_before(const struct pace_post *a, const struct pace_post *b)
{
    if (a->answer != b->answer)
        return a->answer;
    if (a->answer)
        return a->order < b->order;
    if (a->class != b->class)
        return a->class < b->class;
    if (a->user_s < b->user_s || a->user_s > b->user_s)
        return a->user_s < b->user_s;
    return a->order < b->order;
}

static struct pace_post *next_post(struct pace_post *posts, size_t n, bool answer)
{
    struct pace_post *best = NULL;
    for (size_t i = 0; i < n; i++)
        if (posts[i].answer == answer && posts[i].n_taken == 0 &&
            (!best || goes_before(&posts[i], best)))
            best = &posts[i];
    return best;
}

/* How many rows of prompts the step may have beside n_answer rows of answers. */
static size_t slice_rows(const struct pace_cost *c, size_t n_answer, bool read)
{
    double answers = pace_step_s(c, n_answer, 0), limit = SLICE_S;
    if (read)
        limit = MIN(MAX(answers * SLICE_PER_STEP, SLICE_MIN_S), SLICE_S);
    if (c->prompt_row_s <= 0)
        return SLICE_ROWS_BLIND;
    double rows = (limit - answers) / c->prompt_row_s;
    return rows > SLICE_ROWS_MIN ? (size_t)MIN(rows, 1e6) : SLICE_ROWS_MIN;
}

void pace_plan(struct pace_post *posts, size_t n, bool alone, const struct pace_cost *c,
               size_t n_rows_max)
{
    size_t n_answer = 0;
    bool read = false;
    struct pace_post *p;
    for (size_t i = 0; i < n; i++)
        posts[i].n_taken = 0;
    while ((p = next_post(posts, n, true)) && p->n_rows <= n_rows_max - n_answer) {
        p->n_taken = p->n_rows;
        n_answer += p->n_rows;
        read = read || p->class == KT_CLASS_INTERACTIVE;
    }
    size_t left = n_rows_max - n_answer;
    if (!(alone && n == 1 && posts[0].patient))
        left = MIN(left, slice_rows(c, n_answer, read));
    while (left && (p = next_post(posts, n, false))) {
        p->n_taken = MIN(p->n_rows, left);
        left -= p->n_taken;
    }
}
