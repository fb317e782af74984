/* What: the sum of a server's memory (serve/budget.h): what fits is shared out and never exceeds the limit, what does not is
 * refused with the numbers, and the limit that the message names does fit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "base/size.h"
#include "serve/budget.h"

enum { MB = 1000000 };

static struct budget some(struct rng *rng)
{
    struct budget b = { .program = (1 + rng_below(rng, 90)) * MB,
                        .weights = rng_below(rng, 9000) * MB,
                        .seeing = rng_below(rng, 2) * 600 * MB,
                        .texts = rng_below(rng, 60) * MB,
                        .n_models = 1 + rng_below(rng, BUDGET_MODELS_MAX),
                        .n_ctx = 8192 };
    for (size_t i = 0; i < b.n_models; i++)
        b.models[i] =
            (struct budget_model){ rng_below(rng, 90) * MB, (1 + rng_below(rng, 700)) * MB };
    return b;
}

static uint64_t sum(const struct budget *b)
{
    uint64_t n = b->program + b->weights + b->seeing + b->texts;
    for (size_t i = 0; i < b->n_models; i++)
        n += b->for_conversations[i];
    return n;
}

static void what_fits_is_shared_out(void **state)
{
    (void)state;
    struct rng rng;
    struct kt_error err;
    size_t n_fit = 0, n_refused = 0;
    rng_init(&rng, 3);
    for (size_t k = 0; k < 2000; k++) {
        struct budget b = some(&rng);
        b.limit = (1 + rng_below(&rng, 20000)) * MB;
        if (budget_share_out(&b, &err)) {
            /* The number behind the last --memory is enough, and not far too much. */
            const char *more = strstr(err.text, "--memory ");
            assert_non_null(more);
            assert_int_equal(err.status, KT_E_LIMIT);
            uint64_t enough = strtoull(more + strlen("--memory "), NULL, 10) * MB, old = b.limit;
            b.limit = enough;
            assert_int_equal(budget_share_out(&b, &err), KT_OK);
            b.limit = MIN(enough - 3 * MB, enough);
            assert_int_equal(budget_share_out(&b, &err), KT_E_LIMIT);
            assert_true(enough > old);
            n_refused++;
            continue;
        }
        n_fit++;
        assert_true(sum(&b) <= b.limit && sum(&b) + b.n_models > b.limit);
        for (size_t i = 0; i < b.n_models; i++)
            assert_true(b.for_conversations[i] >= b.models[i].steps + b.models[i].conversation);
    }
    assert_true(n_fit > 300 && n_refused > 300);
}

static void half_of_what_is_free_is_left(void **state)
{
    (void)state;
    struct kt_error err;
    struct budget b = { .free = 10000ull * MB,
                        .program = 50 * MB,
                        .weights = 2000ull * MB,
                        .n_models = 2,
                        .models = { { 20 * MB, 100 * MB }, { 30 * MB, 200 * MB } } };
    assert_int_equal(budget_share_out(&b, &err), KT_OK);
    assert_true(b.limit == (50 + 2000 + 4000) * (uint64_t)MB);
    assert_true(b.for_conversations[1] - b.for_conversations[0] == 110 * (uint64_t)MB);
    b = (struct budget){
        .free = 500 * MB, .weights = 2000ull * MB, .n_models = 1, .models = { { 1, 1 } }
    };
    assert_int_equal(budget_share_out(&b, &err), KT_E_LIMIT);
    b.n_models = 0; /* nothing that writes: nothing to share out */
    assert_int_equal(budget_share_out(&b, &err), KT_OK);
}

static void a_process_has_memory(void **state)
{
    (void)state;
    uint64_t first = budget_program_bytes();
    assert_true(first > 100000 && first < 4000ull * MB);
    char *more = malloc(64 * MB);
    assert_non_null(more);
    memset(more, 1, 64 * MB);
    assert_true(budget_program_bytes() == first); /* when first asked */
    free(more);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_fits_is_shared_out),
        cmocka_unit_test(half_of_what_is_free_is_left),
        cmocka_unit_test(a_process_has_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
