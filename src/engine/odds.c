#include "engine/odds.h"

#include <string.h>

/* A row more costs a tenth of a step, as long as nobody knows better: reading the weights is most of
 * a step, and that is done once for all rows. It is never free, whatever a lucky measurement says. A
 * guess by the head: a layer and a part of the output matrix. */
static const double ROW_PART = 0.1, ROW_PART_MIN = 0.01, HEAD_PART = 0.1;
/* How much a guess counts at least among those before it; how much the head is forgiven with each step without. */
static const double GUESS_WEIGHT = 1.0 / 20, FORGIVE = 1.0 / 1024;
/* Below this gain a plain step is the safer choice; the head has to be paid before one knows. */
static const double MARGIN = 1.04, HEAD_MARGIN = 1.08;
enum {
    PRIOR = 4,
    LOOK_AGAIN = 64, /* steps without a plain one: what does that take by now? */
    PATIENCE = 200,
    PATIENCE_MAX = 20000, /* guesses passed over before one row is tried again */
};

static const double EXPECTED[ODDS_KIND_COUNT] = {
    [ODDS_MATCH_3] = 0.5,   [ODDS_MATCH_5] = 0.7,   [ODDS_MATCH_8] = 0.8,  [ODDS_MATCH_16] = 0.9,
    [ODDS_QUOTE] = 0.8,     [ODDS_FORCED] = 1.0,    [ODDS_HEAD_LOW] = 0.3, [ODDS_HEAD_FAIR] = 0.5,
    [ODDS_HEAD_HIGH] = 0.7, [ODDS_HEAD_SURE] = 0.9,
};
static const double EXPECTED_HEAD = 0.6;

enum odds_kind odds_kind_of_match(size_t n_agreed)
{
    return n_agreed < 5    ? ODDS_MATCH_3
           : n_agreed < 8  ? ODDS_MATCH_5
           : n_agreed < 16 ? ODDS_MATCH_8
                           : ODDS_MATCH_16;
}

enum odds_kind odds_kind_of_head(float probability)
{
    return probability < 0.4f    ? ODDS_HEAD_LOW
           : probability < 0.7f  ? ODDS_HEAD_FAIR
           : probability < 0.92f ? ODDS_HEAD_HIGH
                                 : ODDS_HEAD_SURE;
}

void odds_init(struct odds *o)
{
    memset(o, 0, sizeof(*o));
    memcpy(o->true_part, EXPECTED, sizeof(EXPECTED));
    o->head_part = EXPECTED_HEAD;
}

/* ---- what a step takes ---- */

static void add_sample(struct odds_samples *s, double v)
{
    s->v[s->n++ % ODDS_SAMPLES] = v;
}

/* 'otherwise' as long as there is none. Of an even number the lower middle one. */
static double median(const struct odds_samples *s, double otherwise)
{
    double v[ODDS_SAMPLES];
    size_t n = 0, n_all = s->n < ODDS_SAMPLES ? s->n : ODDS_SAMPLES;
    for (size_t i = 0; i < n_all; i++) { /* insertion sort of five */
        size_t at = n++;
        for (; at > 0 && v[at - 1] > s->v[i]; at--)
            v[at] = v[at - 1];
        v[at] = s->v[i];
    }
    return n ? v[(n - 1) / 2] : otherwise;
}

static double row_part(const struct odds *o)
{
    double part = median(&o->row_part, ROW_PART);
    return part > ROW_PART_MIN ? part : ROW_PART_MIN;
}

double odds_step_s(const struct odds *o, size_t n_rows)
{
    if (o->n_others)
        return o->one_s + o->row_s * (double)(o->n_others + n_rows - 1);
    return median(&o->plain_s, 0) * (1 + row_part(o) * (double)(n_rows - 1));
}

void odds_in_company(struct odds *o, size_t n_others, double one_s, double row_s)
{
    o->n_others = n_others;
    o->one_s = one_s;
    o->row_s = row_s;
}

void odds_saw_step(struct odds *o, size_t n_rows, double seconds)
{
    if (n_rows == 0 || n_rows > ODDS_ROWS_MAX || !(seconds > 0))
        return;
    double one = median(&o->plain_s, 0);
    if (n_rows == 1)
        add_sample(&o->plain_s, seconds);
    else if (one > 0)
        add_sample(&o->row_part, (seconds / one - 1) / (double)(n_rows - 1));
    o->n_since_plain = n_rows == 1 ? 0 : o->n_since_plain + 1;
}

void odds_saw_head(struct odds *o, double seconds)
{
    if (seconds > 0)
        add_sample(&o->head_s, seconds);
}

/* ---- what comes true ---- */

/* What was expected counts like PRIOR guesses, the last few more than those long ago. */
static void learn(double *part, unsigned *n_seen, bool came_true)
{
    double weight = 1.0 / (PRIOR + 1 + *n_seen);
    weight = weight > GUESS_WEIGHT ? weight : GUESS_WEIGHT;
    *part += ((came_true ? 1.0 : 0.0) - *part) * weight;
    *n_seen += *n_seen < 1000;
}

void odds_saw_guess(struct odds *o, enum odds_kind kind, bool came_true)
{
    learn(&o->true_part[kind], &o->n_seen[kind], came_true);
}

void odds_saw_first_of_head(struct odds *o, bool came_true)
{
    learn(&o->head_part, &o->n_seen_head, came_true);
}

/* n guesses would be worth a row, but for its price: is it time to ask for the price again? */
static bool try_again(struct odds *o)
{
    if (o->n_patience == 0)
        o->n_patience = PATIENCE;
    if (++o->n_passed < o->n_patience)
        return false;
    o->n_passed = 0;
    o->n_patience = o->n_patience * 2 < PATIENCE_MAX ? o->n_patience * 2 : PATIENCE_MAX;
    return true;
}

/* What a plain step takes was measured too long ago. In company others see to that. */
static bool is_stale(const struct odds *o)
{
    return o->n_others == 0 && o->n_since_plain >= LOOK_AGAIN;
}

size_t odds_worth(struct odds *o, const enum odds_kind *kinds, size_t n)
{
    double one = odds_step_s(o, 1), all_true = 1, expected = 0, others = (double)o->n_others;
    n = n < ODDS_DRAFT_MAX ? n : ODDS_DRAFT_MAX;
    if (o->eager)
        return n;
    if (n == 0 || one <= 0 || is_stale(o))
        return 0; /* a plain step, for measuring */
    double best_rate = (others + MARGIN) / one;
    size_t best = 0;
    for (size_t i = 0; i < n; i++) {
        all_true *= o->true_part[kinds[i]];
        expected += all_true;
        double rate = (others + 1 + expected) / odds_step_s(o, i + 2);
        if (rate > best_rate) {
            best_rate = rate;
            best = i + 1;
        }
    }
    if (best > 0) {
        o->n_passed = o->n_patience = 0;
        return best;
    }
    bool too_dear = o->true_part[kinds[0]] > MARGIN * (1 + ROW_PART) - 1;
    return too_dear && try_again(o) ? 1 : 0;
}

bool odds_worth_head(struct odds *o, const enum odds_kind *kinds, size_t n)
{
    double one = odds_step_s(o, 1), all_true = 1, expected = (double)o->n_others;
    if (o->eager)
        return n < ODDS_DRAFT_MAX;
    if (one <= 0 || n >= ODDS_DRAFT_MAX || is_stale(o))
        return false;
    double head = median(&o->head_s, HEAD_PART * one);
    for (size_t i = 0; i < n; i++) {
        all_true *= o->true_part[kinds[i]];
        expected += all_true;
    }
    double now = (1 + expected) / (odds_step_s(o, n + 1) + (double)n * head);
    double then =
        (1 + expected + all_true * o->head_part) / (odds_step_s(o, n + 2) + (double)(n + 1) * head);
    double margin = n ? 1 : 1 + (HEAD_MARGIN - 1) / (1 + (double)o->n_others);
    bool worth = then > margin * now;
    if (!worth && n == 0)
        o->head_part += (EXPECTED_HEAD - o->head_part) * FORGIVE;
    return worth;
}
