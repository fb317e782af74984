/* Goal: which experts a token goes through, exactly: the largest probabilities in order, the lower
 * index first among equals, parts that add up to 1, and different experts whatever the numbers are.
 * Method: a table, then random probabilities, many of them equal, against sorting all of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>

#include "base/rng.h"
#include "model/experts.h"

enum { E = 16, SEED = 7 };

static void test_table(void **state)
{
    (void)state;
    static const struct {
        float probs[4];
        uint32_t want[2];
        float part; /* of the first */
    } CASES[] = {
        { { 0.1f, 0.5f, 0.3f, 0.1f }, { 1, 2 }, 0.625f },
        { { 0.25f, 0.25f, 0.25f, 0.25f }, { 0, 1 }, 0.5f },
        { { 0.1f, 0.4f, 0.1f, 0.4f }, { 1, 3 }, 0.5f },
        { { 0.2f, 0.2f, 0.6f, 0.0f }, { 2, 0 }, 0.75f },
        { { 0.0f, 0.0f, 0.0f, 1.0f }, { 3, 0 }, 1.0f },
    };
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        struct choice c[2];
        experts_choose(c, CASES[i].probs, 4, 2);
        if (c[0].expert != CASES[i].want[0] || c[1].expert != CASES[i].want[1] ||
            fabsf(c[0].part - CASES[i].part) > 1e-6f || fabsf(c[0].part + c[1].part - 1) > 1e-6f)
            fail_msg("case %zu: experts %u and %u, parts %g and %g; expected %u and %u, %g first",
                     i, c[0].expert, c[1].expert, (double)c[0].part, (double)c[1].part,
                     CASES[i].want[0], CASES[i].want[1], (double)CASES[i].part);
    }
}

static const float *sorted_by;

static int by_probability(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    if (sorted_by[x] != sorted_by[y])
        return sorted_by[x] > sorted_by[y] ? -1 : 1;
    return (x > y) - (x < y);
}

static void test_sorted(void **state)
{
    (void)state;
    struct rng rng;
    rng_init(&rng, SEED);
    for (size_t round = 0; round < 2000; round++) {
        float probs[E];
        uint32_t order[E];
        struct choice c[E];
        size_t n_used = 1 + round % E;
        for (uint32_t e = 0; e < E; e++) {
            probs[e] = (float)(1 + rng_below(&rng, 6)) / 64.0f;
            order[e] = e;
        }
        sorted_by = probs;
        qsort(order, E, sizeof(order[0]), by_probability);
        experts_choose(c, probs, E, n_used);
        for (size_t i = 0; i < n_used; i++) {
            if (c[i].expert != order[i])
                fail_msg("seed %d, round %zu: choice %zu is expert %u, expected %u", SEED, round, i,
                         c[i].expert, order[i]);
        }
    }
}

/* A damaged model may give anything; the experts must exist and differ. */
static void test_no_numbers(void **state)
{
    (void)state;
    struct rng rng;
    rng_init(&rng, SEED);
    for (size_t round = 0; round < 2000; round++) {
        static const float ODD[] = { NAN, INFINITY, -INFINITY, 0.5f, -1.0f };
        float probs[E];
        struct choice c[E];
        size_t n_used = 1 + round % E;
        uint32_t seen = 0;
        for (size_t e = 0; e < E; e++)
            probs[e] = ODD[rng_below(&rng, 5)];
        experts_choose(c, probs, E, n_used);
        for (size_t i = 0; i < n_used; i++) {
            if (c[i].expert >= E || seen & 1u << c[i].expert)
                fail_msg("seed %d, round %zu: expert %u, of %d, or twice", SEED, round, c[i].expert,
                         E);
            seen |= 1u << c[i].expert;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_sorted),
        cmocka_unit_test(test_no_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
