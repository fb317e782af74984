/* What: which rows go into the next step (engine/pace.h). How: a simulated machine whose times are known, with a clock
 * that only the simulation moves: the fit must find the times, and whole afternoons of answers and long prompts keep
 * the promises: nobody's answer stops, the better class goes first, users get equal parts, little is lost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/rng.h"
#include "base/size.h"
#include "engine/pace.h"

/* ---- how long steps take ---- */

struct machine {
    double fixed, answer_row, prompt_row;
};
static const struct machine SMALL = { 0.003, 0.0006, 0.0004 };
static const struct machine LARGE = { 0.080, 0.004, 0.015 };

static double takes(const struct machine *m, size_t n_answer, size_t n_prompt, struct rng *rng)
{
    double noise = rng ? 0.9 + 0.2 * (double)rng_below(rng, 1000) / 1000 : 1;
    return (m->fixed + m->answer_row * (double)n_answer + m->prompt_row * (double)n_prompt) * noise;
}

static void near(const char *what, double got, double want, double part)
{
    if (!(got > want * (1 - part) && got < want * (1 + part)))
        fail_msg("%s: %.6f, expected %.6f", what, got, want);
}

static void the_fit_finds_the_times(void **state)
{
    (void)state;
    const struct machine *const MACHINES[] = { &SMALL, &LARGE };
    for (size_t i = 0; i < ARRAY_LEN(MACHINES); i++) {
        const struct machine *m = MACHINES[i];
        struct pace_cost c = { 0 };
        struct rng rng;
        rng_init(&rng, 4);
        assert_true(pace_step_s(&c, 1, 100) <= 0);
        for (size_t k = 0; k < 400; k++) {
            size_t a = 1 + rng_below(&rng, 8), p = k % 3 ? 0 : 20 + rng_below(&rng, 200);
            double s = takes(m, a, p, &rng);
            pace_saw(&c, a, p, k % 50 == 31 ? s * 40 : s); /* now and then the machine is away */
        }
        near("an answer", pace_step_s(&c, 1, 0), takes(m, 1, 0, NULL), 0.35);
        near("five answers", pace_step_s(&c, 5, 0), takes(m, 5, 0, NULL), 0.25);
        near("a slice", pace_step_s(&c, 5, 100), takes(m, 5, 100, NULL), 0.4);
        double one, row;
        pace_answer_s(&c, &one, &row);
        assert_true(row > 0 && one > row);
    }
}

/* With one kind of step only the slope is a guess, never negative and never all of it. */
static void one_kind_of_step_says_little(void **state)
{
    (void)state;
    struct pace_cost c = { 0 };
    for (size_t k = 0; k < 20; k++)
        pace_saw(&c, 4, 0, 0.1);
    near("four answers", pace_step_s(&c, 4, 0), 0.1, 0.01);
    assert_true(pace_step_s(&c, 1, 0) > 0.05 && pace_step_s(&c, 8, 0) < 0.2);
    pace_saw(&c, 4, 0, 0); /* times that are none */
    pace_saw(&c, 4, 0, -1);
    near("four answers", pace_step_s(&c, 4, 0), 0.1, 0.01);
}

/* ---- one step ---- */

static struct pace_cost known(const struct machine *m)
{
    struct pace_cost c = { 0 };
    for (size_t k = 0; k < 60; k++) {
        pace_saw(&c, 1 + k % 6, 0, takes(m, 1 + k % 6, 0, NULL));
        pace_saw(&c, 1, 100, takes(m, 1, 100, NULL));
    }
    return c;
}

static void answers_always_ride(void **state)
{
    (void)state;
    struct pace_cost c = known(&LARGE);
    struct pace_post p[] = {
        { .class = KT_CLASS_INTERACTIVE, .n_rows = 5000, .order = 1 },
        { .class = KT_CLASS_BACKGROUND, .answer = true, .n_rows = 1, .order = 2 },
        { .class = KT_CLASS_INTERACTIVE, .answer = true, .n_rows = 4, .order = 3 },
        { .class = KT_CLASS_TOOL, .n_rows = 5000, .order = 4 },
    };
    pace_plan(p, 4, false, &c, 512);
    assert_int_equal(p[1].n_taken, 1);
    assert_int_equal(p[2].n_taken, 4);
    assert_true(p[0].n_taken >= 10 && p[0].n_taken <= 20); /* what fits 0.3 s */
    assert_int_equal(p[3].n_taken, 0);
}

/* More rows than a step has: whoever came first, and the others next. */
static void answers_too_many_for_a_step_take_turns(void **state)
{
    (void)state;
    struct pace_cost c = known(&SMALL);
    struct pace_post p[5];
    uint64_t order = 0;
    size_t n_steps[5] = { 0 };
    for (size_t i = 0; i < 5; i++)
        p[i] = (struct pace_post){ .answer = true, .n_rows = 13, .order = ++order };
    for (size_t k = 0; k < 50; k++) {
        pace_plan(p, 5, false, &c, 32);
        size_t sum = 0;
        for (size_t i = 0; i < 5; i++) {
            assert_true(p[i].n_taken == 0 || p[i].n_taken == 13);
            sum += p[i].n_taken;
            n_steps[i] += p[i].n_taken > 0;
            p[i].order += p[i].n_taken ? 5 : 0; /* behind those who wait */
        }
        assert_int_equal(sum, 26);
    }
    for (size_t i = 0; i < 5; i++)
        assert_true(n_steps[i] == 20);
}

static void short_prompts_share_a_slice(void **state)
{
    (void)state;
    struct pace_cost c = known(&SMALL);
    struct pace_post p[] = {
        { .class = KT_CLASS_BACKGROUND, .n_rows = 500, .order = 1 },
        { .n_rows = 40, .user = 1, .user_s = 2, .order = 2 },
        { .n_rows = 30, .user = 2, .user_s = 1, .order = 3 },
    };
    pace_plan(p, 3, false, &c, 512);
    assert_int_equal(p[1].n_taken, 40);
    assert_int_equal(p[2].n_taken, 30);
    assert_int_equal(p[0].n_taken, 442); /* nobody better waits for what is left */
    pace_plan(p, 3, false, &c, 50);
    assert_int_equal(p[2].n_taken, 30); /* who had less */
    assert_int_equal(p[1].n_taken, 20);
    assert_int_equal(p[0].n_taken, 0);
}

static void who_is_alone_and_patient_gets_all(void **state)
{
    (void)state;
    struct pace_cost c = known(&LARGE);
    struct pace_post p = { .n_rows = 512, .patient = true, .order = 1 };
    pace_plan(&p, 1, true, &c, 512);
    assert_int_equal(p.n_taken, 512);
    pace_plan(&p, 1, false, &c, 512); /* somebody else is at work */
    assert_true(p.n_taken < 30 && p.n_taken >= 16);
    p.patient = false;
    pace_plan(&p, 1, true, &c, 512);
    assert_true(p.n_taken < 30 && p.n_taken >= 16);
    struct pace_cost blind = { 0 };
    pace_plan(&p, 1, true, &blind, 512);
    assert_int_equal(p.n_taken, 32);
}

/* ---- an afternoon ---- */

enum { N_WRITERS = 5, N_LONG = 30000, N_ROWS = 256 };

struct afternoon {
    double clock, longest_gap, longest_step;
    size_t n_answers, n_prompt; /* rows */
};

/* Five write while somebody else's prompt is read. */
static struct afternoon mixed(const struct machine *m, enum kt_class class)
{
    struct afternoon a = { 0 };
    struct pace_cost c = { 0 };
    struct pace_users users = { 0 };
    struct rng rng;
    rng_init(&rng, 6);
    double last[N_WRITERS] = { 0 };
    for (int64_t u = 0; u <= N_WRITERS; u++)
        pace_user_comes(&users, u);
    for (uint64_t k = 0; a.n_prompt < N_LONG; k++) {
        struct pace_post p[N_WRITERS + 1];
        for (size_t i = 0; i < N_WRITERS; i++)
            p[i] = (struct pace_post){
                .user = (int64_t)i, .answer = true, .n_rows = 1, .order = k * 8 + i
            };
        p[N_WRITERS] = (struct pace_post){ .class = class,
                                           .user = N_WRITERS,
                                           .n_rows = MIN(N_ROWS, N_LONG - a.n_prompt),
                                           .order = k * 8 + 7 };
        for (size_t i = 0; i <= N_WRITERS; i++)
            p[i].user_s = pace_user_s(&users, p[i].user);
        pace_plan(p, N_WRITERS + 1, false, &c, N_ROWS);
        double s = takes(m, N_WRITERS, p[N_WRITERS].n_taken, &rng);
        pace_saw(&c, N_WRITERS, p[N_WRITERS].n_taken, s);
        a.clock += s;
        a.longest_step = k > 20 ? MAX(a.longest_step, s) : 0;
        for (size_t i = 0; i < N_WRITERS; i++) {
            assert_int_equal(p[i].n_taken, 1);
            a.longest_gap = MAX(a.longest_gap, a.clock - last[i]);
            last[i] = a.clock;
            a.n_answers++;
        }
        a.n_prompt += p[N_WRITERS].n_taken;
    }
    return a;
}

static void an_answer_does_not_stop_for_a_long_prompt(void **state)
{
    (void)state;
    const struct machine *const MACHINES[] = { &SMALL, &LARGE };
    for (size_t i = 0; i < ARRAY_LEN(MACHINES); i++) {
        const struct machine *m = MACHINES[i];
        struct afternoon a = mixed(m, KT_CLASS_INTERACTIVE);
        assert_true(a.longest_step < 0.4 && a.longest_gap < 0.5 + a.longest_step);
        /* The same work one after the other: slices as large as there may be, answers five at a time. */
        double unmixed = (double)N_LONG / N_ROWS * takes(m, 0, N_ROWS, NULL) +
                         (double)a.n_answers / N_WRITERS * takes(m, N_WRITERS, 0, NULL);
        if (a.clock > unmixed / 0.9)
            fail_msg("machine %zu: %.1f s for what takes %.1f s unmixed", i, a.clock, unmixed);
    }
}

/* Two users with prompts, one of whom has sent a second one; a third comes later, when the first has had much. */
static void users_get_equal_parts(void **state)
{
    (void)state;
    struct pace_cost c = known(&LARGE);
    struct pace_users users = { 0 };
    size_t had[4] = { 0 };
    static const int64_t USER[4] = { 1, 1, 2, 3 };
    pace_user_comes(&users, 1);
    pace_user_comes(&users, 1);
    pace_user_comes(&users, 2);
    for (uint64_t k = 0; k < 300; k++) {
        struct pace_post p[4];
        size_t n = k < 100 ? 3 : 4;
        if (k == 100)
            pace_user_comes(&users, 3);
        for (size_t i = 0; i < n; i++)
            p[i] = (struct pace_post){ .user = USER[i],
                                       .user_s = pace_user_s(&users, USER[i]),
                                       .n_rows = 4000,
                                       .order = k * 4 + i + 1 };
        pace_plan(p, n, false, &c, 256);
        for (size_t i = 0; i < n; i++) {
            had[i] += p[i].n_taken;
            pace_user_had(&users, USER[i], 0.3 * (double)p[i].n_taken / 20);
        }
    }
    size_t first = had[0] + had[1], second = had[2], third = had[3];
    assert_true(first < second * 11 / 10 && second < first * 11 / 10);
    /* Of two thirds of the time a third: nothing is saved up by being away. */
    assert_true(third * 5 < first * 2 * 2 + first && third * 5 > first * 2 - first / 2);
    pace_user_goes(&users, 3);
    assert_true(pace_user_s(&users, 3) > 0);
}

/* More users than are remembered: those who left longest ago are forgotten, those at work never. */
static void users_are_forgotten_in_order(void **state)
{
    (void)state;
    struct pace_users users = { 0 };
    pace_user_comes(&users, -7);
    pace_user_had(&users, -7, 5);
    for (int64_t u = 0; u < 3 * PACE_USERS; u++) {
        pace_user_comes(&users, u);
        pace_user_had(&users, u, 1);
        pace_user_goes(&users, u);
    }
    assert_true(pace_user_s(&users, -7) >= 5);
    assert_true(pace_user_s(&users, 0) <= 0 && pace_user_s(&users, 3 * PACE_USERS - 1) >= 1);
    struct pace_users full = { 0 };
    for (int64_t u = 0; u < PACE_USERS + 3; u++)
        pace_user_comes(&full, u); /* three have no place; nothing breaks */
    pace_user_had(&full, PACE_USERS + 1, 1);
    pace_user_goes(&full, PACE_USERS + 1);
    assert_true(pace_user_s(&full, PACE_USERS + 1) <= 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_fit_finds_the_times),
        cmocka_unit_test(one_kind_of_step_says_little),
        cmocka_unit_test(answers_always_ride),
        cmocka_unit_test(answers_too_many_for_a_step_take_turns),
        cmocka_unit_test(short_prompts_share_a_slice),
        cmocka_unit_test(who_is_alone_and_patient_gets_all),
        cmocka_unit_test(an_answer_does_not_stop_for_a_long_prompt),
        cmocka_unit_test(users_get_equal_parts),
        cmocka_unit_test(users_are_forgotten_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
