/* What: the parts of speculation that know no model: the index of what followed before (ngram.h), and
 * the decision what is worth trying (odds.h). How: the index against a plain search over all places,
 * on noise of few ids; the decision in a simulated machine whose times and luck are known: it must
 * never lose more than a few per cent against plain steps, and gain where there is something to gain. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "base/size.h"
#include "engine/ngram.h"
#include "engine/odds.h"

static struct kt_error err;

/* ---- what followed before ---- */

/* How many tokens up to a are those up to b, at most NGRAM_MATCH. */
static size_t agreement(const int32_t *t, size_t a, size_t b)
{
    size_t n = 0;
    while (n < NGRAM_MATCH && n <= a && t[a - n] >= 0 && t[a - n] == t[b - n])
        n++;
    return n;
}

static void the_index_finds_what_a_search_finds(void **state)
{
    (void)state;
    enum { N = 600 };
    static const size_t N_IDS[] = { 2, 5, 12 };
    int32_t t[N], got[8];
    struct rng rng;
    rng_init(&rng, 9);
    for (size_t c = 0; c < ARRAY_LEN(N_IDS); c++) {
        struct ngram x;
        size_t n_found = 0;
        assert_int_equal(ngram_init(&x, N, &err), KT_OK);
        for (size_t n = 0; n < N; n++) {
            t[n] = rng_below(&rng, 50) ? (int32_t)rng_below(&rng, N_IDS[c]) : -1;
            ngram_push(&x, t[n]);
            size_t match, best = 0, most = 0, tries = 0;
            /* The latest places where the last run stood; the furthest agreement, the latest of equals. */
            for (size_t i = n; i-- > 0 && tries < NGRAM_TRIES;) {
                bool run = n >= 2 && i >= 2 && t[i] == t[n] && t[i - 1] == t[n - 1] &&
                           t[i - 2] == t[n - 2];
                tries += run;
                size_t k = run ? agreement(t, i, n) : 0;
                if (k >= NGRAM_MIN && k > most) {
                    most = k;
                    best = i + 1;
                }
            }
            size_t n_got = ngram_guess(&x, got, ARRAY_LEN(got), &match);
            assert_int_equal(match, most);
            for (size_t i = 0; i < n_got; i++)
                assert_int_equal(got[i], t[best + i % (n + 1 - best)]);
            if (most && t[best] >= 0)
                assert_true(n_got > 0);
            if (n_got < ARRAY_LEN(got) && most)
                assert_true(t[best + n_got % (n + 1 - best)] < 0);
            n_found += n_got > 0;
        }
        assert_true(n_found > 50);
        ngram_push(&x, 1); /* one more than there is room for */
        assert_int_equal(x.n, N);
        ngram_reset(&x);
        size_t match;
        assert_int_equal(ngram_guess(&x, got, 8, &match), 0);
        ngram_deinit(&x);
    }
}

static void bad_sizes_are_refused(void **state)
{
    (void)state;
    struct ngram x;
    assert_int_equal(ngram_init(&x, 0, &err), KT_E_LIMIT);
    assert_int_equal(ngram_init(&x, SIZE_MAX / 2, &err), KT_E_LIMIT);
    ngram_deinit(&x);
}

/* ---- what is worth trying ---- */

/* A machine: a step of n rows takes 1 + row * (n - 1), give or take 'noise', and one in thirty is
 * interrupted; a guess of the kind comes true with probability 'luck'; one by the head costs 'head'. */
struct machine {
    double row, noise, luck, head;
    bool by_head;
    struct rng rng;
};

static double chance(struct machine *m)
{
    return (double)rng_f32(&m->rng);
}

/* Time for n tokens, divided by that of plain steps; interruptions count for both alike. */
static double run_machine(struct machine *m, size_t n_tokens)
{
    struct odds o;
    odds_init(&o);
    enum odds_kind kinds[ODDS_DRAFT_MAX];
    double spent = 0;
    rng_init(&m->rng, 3);
    for (size_t done = 0; done < n_tokens;) {
        size_t n = 0;
        if (m->by_head) {
            while (n < ODDS_DRAFT_MAX && odds_worth_head(&o, kinds, n)) {
                kinds[n++] = m->luck > 0.7 ? ODDS_HEAD_SURE : ODDS_HEAD_LOW;
                odds_saw_head(&o, m->head);
                spent += m->head;
            }
        } else {
            for (n = 0; n < 8; n++)
                kinds[n] = odds_kind_of_match(3 + n);
        }
        size_t tried = odds_worth(&o, kinds, n), right = 0;
        double time = 1 + m->row * (double)tried;
        spent += time;
        time *= 1 + m->noise * (2 * chance(m) - 1);
        odds_saw_step(&o, tried + 1, rng_below(&m->rng, 30) ? time : 5 * time);
        while (right < n) {
            bool true_one = chance(m) < m->luck;
            odds_saw_guess(&o, kinds[right], true_one);
            if (m->by_head && right == 0)
                odds_saw_first_of_head(&o, true_one);
            if (!true_one || right == tried)
                break;
            right++;
        }
        done += 1 + right;
    }
    return spent / (double)n_tokens;
}

static void guessing_never_costs_much(void **state)
{
    (void)state;
    static const double ROWS[] = { 0.02, 0.1, 0.5, 1.0, 1.5 },
                        LUCK[] = { 0, 0.1, 0.3, 0.6, 0.9, 1 };
    for (size_t r = 0; r < ARRAY_LEN(ROWS); r++) {
        for (size_t l = 0; l < ARRAY_LEN(LUCK); l++) {
            for (int by_head = 0; by_head < 2; by_head++) {
                struct machine m = {
                    .row = ROWS[r], .noise = 0.15, .luck = LUCK[l], .head = 0.15, .by_head = by_head
                };
                double t = run_machine(&m, 3000);
                if (!(t < 1.03))
                    fail_msg("a row costs %g, luck %g, %s: %.3f of plain steps", ROWS[r], LUCK[l],
                             by_head ? "head" : "text", t);
            }
        }
    }
}

static void it_gains_where_there_is_something_to_gain(void **state)
{
    (void)state;
    struct machine copying = { .row = 0.1, .noise = 0.15, .luck = 0.95 };
    double t = run_machine(&copying, 3000);
    if (!(t < 0.35))
        fail_msg("copying takes %.3f of plain steps, expected below 0.35", t);
    struct machine head = { .row = 0.1, .noise = 0.15, .luck = 0.8, .head = 0.1, .by_head = true };
    t = run_machine(&head, 3000);
    if (!(t < 0.65))
        fail_msg("with a good head %.3f of plain steps, expected below 0.65", t);
}

/* Single measurements far too long change nothing; when all are, guessing ends, and is tried again. */
static void a_bad_moment_is_forgotten(void **state)
{
    (void)state;
    struct odds o;
    odds_init(&o);
    enum odds_kind kinds[4] = { ODDS_MATCH_16, ODDS_MATCH_16, ODDS_MATCH_16, ODDS_MATCH_16 };
    assert_int_equal(odds_worth(&o, kinds, 4), 0); /* nothing is known yet */
    for (int i = 0; i < 5; i++)
        odds_saw_step(&o, 1, 0.01);
    assert_int_equal(odds_worth(&o, kinds, 4), 4);
    for (int i = 0; i < 5; i++)
        odds_saw_step(&o, 5, i % 3 ? 0.012 : 0.2);
    assert_int_equal(odds_worth(&o, kinds, 4), 4);
    assert_true(odds_step_s(&o, 5) < 0.013);
    for (int i = 0; i < 5; i++)
        odds_saw_step(&o, 5, 0.2);
    size_t n_tried = 0, n_rows = 0;
    for (int i = 0; i < 1000; i++) {
        size_t k = odds_worth(&o, kinds, 4);
        n_tried += k > 0;
        n_rows += k;
        odds_saw_step(&o, k + 1, k ? 0.05 : 0.01);
    }
    assert_in_range(n_tried, 1, 4);
    assert_int_equal(n_rows, n_tried); /* one row at a time */
    /* The machine is quiet again. */
    size_t n_steps = 0, n;
    for (; (n = odds_worth(&o, kinds, 4)) < 4 && n_steps < 20000; n_steps++)
        odds_saw_step(&o, n + 1, n ? 0.011 : 0.01);
    assert_in_range(n_steps, 1, 12000);
}

/* A row for a guess slows all who share the step, and helps one of them. */
static void company_makes_guesses_dearer(void **state)
{
    (void)state;
    static const enum odds_kind SURE[4] = { ODDS_MATCH_16, ODDS_MATCH_16, ODDS_MATCH_16,
                                            ODDS_MATCH_16 };
    static const struct {
        size_t n_others;
        double row_s;
        bool worth;
    } CASES[] = {
        { 1, 0.002, true },  { 4, 0.002, true },  { 15, 0.0002, true },
        { 1, 0.015, false }, { 4, 0.015, false }, { 15, 0.01, false },
    };
    for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
        struct odds o;
        odds_init(&o);
        odds_in_company(&o, CASES[i].n_others, 0.02, CASES[i].row_s);
        assert_int_equal(odds_worth(&o, SURE, 4) > 0, CASES[i].worth);
        assert_int_equal(odds_worth(&o, SURE, 0), 0);
        odds_in_company(&o, 0, 0.02, 0.002); /* alone nothing was measured yet */
        assert_int_equal(odds_worth(&o, SURE, 4), 0);
        odds_saw_step(&o, 1, 0.02);
        assert_true(odds_worth(&o, SURE, 4) > 0);
        odds_in_company(&o, 3, 0, 0); /* nothing is known of such steps */
        assert_int_equal(odds_worth(&o, SURE, 4), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_index_finds_what_a_search_finds),
        cmocka_unit_test(bad_sizes_are_refused),
        cmocka_unit_test(guessing_never_costs_much),
        cmocka_unit_test(it_gains_where_there_is_something_to_gain),
        cmocka_unit_test(a_bad_moment_is_forgotten),
        cmocka_unit_test(company_makes_guesses_dearer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
