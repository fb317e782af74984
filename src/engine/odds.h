/* engine/odds.h: is guessing worth it? Decided from what was measured, here, on this machine.
 *
 * Two things are measured as they happen: how long a step of n rows takes, beside a step of one; and
 * how often guesses of a kind come true. A kind is a source of guesses and how sure it was. From these
 * follows, for a list of guesses, how many of them to verify so that most tokens come out in a second;
 * none, when plain steps are faster.
 *
 * A guess from the text costs nothing to make, so that it is judged whether it was verified or not. The
 * head's guesses cost a layer: a head that has failed is believed in a little more each time it is passed
 * over, and so tried again now and then. And if rows are too dear, one is tried again after a while, then
 * after twice as long, and so on.
 *
 * When others write answers in the same steps, a row for a guess slows all of them, and a guess that comes true
 * helps one: what counts is how many tokens of all come out in a second. From some company on that is never worth
 * it where rows are dear.
 *
 * Nothing here changes what is generated, only when. No allocation; one owner. */
#ifndef ENGINE_ODDS_H
#define ENGINE_ODDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    ODDS_DRAFT_MAX = 12,                /* guesses in one step                     */
    ODDS_ROWS_MAX = ODDS_DRAFT_MAX + 1, /* and the token that is certain           */
};

/* A guess from the text itself is the surer the more tokens agreed; the multi-token head says itself
 * how sure it is. */
enum odds_kind {
    ODDS_MATCH_3,
    ODDS_MATCH_5,
    ODDS_MATCH_8,
    ODDS_MATCH_16,
    ODDS_QUOTE,  /* what follows in the source that is being quoted */
    ODDS_FORCED, /* nothing else may follow                         */
    ODDS_HEAD_LOW,
    ODDS_HEAD_FAIR,
    ODDS_HEAD_HIGH,
    ODDS_HEAD_SURE,
    ODDS_KIND_COUNT
};
enum odds_kind odds_kind_of_match(size_t n_agreed);
enum odds_kind odds_kind_of_head(float probability);

/* The last few measurements, of which the median counts: one interrupted step says nothing. */
enum { ODDS_SAMPLES = 5 };
struct odds_samples {
    double v[ODDS_SAMPLES];
    size_t n; /* all that ever were */
};

struct odds {
    bool eager;                   /* for tests: everything is worth it                  */
    struct odds_samples plain_s;  /* of a step of one row                               */
    struct odds_samples row_part; /* what a row more takes, as a part of that           */
    struct odds_samples head_s;   /* of one guess by the multi-token head               */
    /* Of the guesses of a kind, and of the head's first ones, however sure: the part that came true,
     * and how many there were. */
    double true_part[ODDS_KIND_COUNT], head_part;
    unsigned n_seen[ODDS_KIND_COUNT], n_seen_head;
    size_t n_since_plain;        /* steps since the last of one row: time to look again        */
    size_t n_passed, n_patience; /* guesses passed over because rows are dear; when to retry */
    size_t n_others;             /* who write in the same steps, a row each                   */
    double one_s, row_s;         /* of those steps: with one row, and for each more           */
};

void odds_init(struct odds *o);
void odds_saw_step(struct odds *o, size_t n_rows, double seconds);
/* The next step is made with so many others; such steps take that long (pace.h). Theirs are not for
 * odds_saw_step(). */
void odds_in_company(struct odds *o, size_t n_others, double one_s, double row_s);
void odds_saw_head(struct odds *o, double seconds_a_guess);
/* A guess was compared with the token that came; the same of the first guess that the head made. */
void odds_saw_guess(struct odds *o, enum odds_kind kind, bool came_true);
void odds_saw_first_of_head(struct odds *o, bool came_true);

/* Seconds of a step with n rows beside those of others, from what was seen. 0 as long as nothing was. */
double odds_step_s(const struct odds *o, size_t n_rows);
/* How many of the n guesses, each only of use if those before come true, to verify in the next step. */
size_t odds_worth(struct odds *o, const enum odds_kind *kinds, size_t n);
/* Should the multi-token head make one guess more, after the n in hand? When it does not begin, it gains, too. */
bool odds_worth_head(struct odds *o, const enum odds_kind *kinds, size_t n);

#endif
