/* What: every step of the sampler and their order, on logits whose answer can be worked out by
 * hand. How: exact sets of what may come out, over many draws; frequencies against the softmax,
 * within five standard deviations; the same seed twice. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "base/size.h"
#include "engine/sample.h"

enum { N = 200, DRAWS = 20000 };

static struct kernels kernels;

static int setup(void **state)
{
    (void)state;
    kernels_init(&kernels, cpu_detect());
    return 0;
}

static void allow_all(uint64_t *mask, size_t n)
{
    memset(mask, 0, mask_words(n) * sizeof(*mask));
    for (size_t i = 0; i < n; i++)
        mask_set(mask, i);
}

/* Counts of DRAWS draws from the same logits (a fresh "seen" set each time unless 'remember'). */
static void draw_counts(const struct kt_sampling *o, const float *logits, const uint64_t *mask,
                        size_t n, unsigned *counts)
{
    struct sampler s;
    struct kt_error err;
    assert_int_equal(sampler_init(&s, o, n, &kernels, &err), KT_OK);
    memset(counts, 0, n * sizeof(*counts));
    for (int i = 0; i < DRAWS; i++) {
        int32_t id;
        float lp;
        if (s.counts)
            memset(s.counts, 0, n * sizeof(*s.counts));
        if (sampler_pick(&s, logits, mask, &id, &lp, &err))
            fail_msg("pick failed: %s", err.text);
        assert_in_range(id, 0, n - 1);
        counts[id]++;
    }
    sampler_deinit(&s);
}

static void expect_frequencies(const char *what, const unsigned *counts, const double *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        double mean = p[i] * DRAWS, sd = sqrt(p[i] * (1 - p[i]) * DRAWS);
        if (fabs(counts[i] - mean) > 5 * sd + 1e-9)
            fail_msg("%s: id %zu drawn %u times of %d, expected %.1f +- %.1f", what, i, counts[i],
                     DRAWS, mean, 5 * sd);
    }
}

static void greedy_takes_the_largest_allowed(void **state)
{
    (void)state;
    float logits[N];
    for (size_t i = 0; i < N; i++)
        logits[i] = (float)(i % 50); /* 49 at 49, 99, 149, 199 */
    uint64_t mask[4];
    allow_all(mask, N);
    struct sampler s;
    struct kt_error err;
    assert_int_equal(
        sampler_init(&s, &(struct kt_sampling){ .top_k = 3, .min_p = 0.5f }, N, &kernels, &err),
        KT_OK);
    int32_t id;
    float lp;
    assert_int_equal(sampler_pick(&s, logits, mask, &id, &lp, &err), KT_OK);
    assert_int_equal(id, 49); /* the smallest id of equals */
    assert_int_equal(sampler_pick(&s, logits, mask, &id, &lp, &err), KT_OK);
    assert_int_equal(id, 49);
    mask[0] &= ~((uint64_t)1 << 49);
    assert_int_equal(sampler_pick(&s, logits, mask, &id, &lp, &err), KT_OK);
    assert_int_equal(id, 99);
    sampler_deinit(&s);
}

static void logprob_is_of_the_allowed(void **state)
{
    (void)state;
    float logits[4] = { 1, 2, 3, 100 };
    uint64_t mask[1] = { 7 }; /* not 3 */
    struct sampler s;
    struct kt_error err;
    assert_int_equal(sampler_init(&s, &(struct kt_sampling){ 0 }, 4, &kernels, &err), KT_OK);
    int32_t id;
    float lp;
    assert_int_equal(sampler_pick(&s, logits, mask, &id, &lp, &err), KT_OK);
    double expected = 3 - log(exp(1) + exp(2) + exp(3));
    assert_int_equal(id, 2);
    assert_float_equal(lp, expected, 1e-5);
    sampler_deinit(&s);
}

static void temperature_scales(void **state)
{
    (void)state;
    float logits[3] = { 0, 1, 2 };
    uint64_t mask[1] = { 7 };
    unsigned counts[3];
    static const float T[] = { 0.5f, 1, 3 };
    for (size_t t = 0; t < ARRAY_LEN(T); t++) {
        double p[3], sum = 0;
        for (int i = 0; i < 3; i++)
            sum += p[i] = exp((double)logits[i] / (double)T[t]);
        for (int i = 0; i < 3; i++)
            p[i] /= sum;
        draw_counts(&(struct kt_sampling){ .temperature = T[t], .seed = 7 }, logits, mask, 3,
                    counts);
        expect_frequencies("temperature", counts, p, 3);
    }
}

static void top_k_keeps_k(void **state)
{
    (void)state;
    float logits[N];
    uint64_t mask[4];
    allow_all(mask, N);
    unsigned counts[N];
    for (size_t i = 0; i < N; i++)
        logits[i] = (float)((i * 37) % N) * 0.01f; /* nearly flat, all different */
    static const uint32_t K[] = { 1, 2, 7, 50, 199, 200, 1000 };
    for (size_t k = 0; k < ARRAY_LEN(K); k++) {
        draw_counts(&(struct kt_sampling){ .temperature = 1, .top_k = K[k] }, logits, mask, N,
                    counts);
        for (size_t i = 0; i < N; i++) {
            bool kept = N - (i * 37) % N <= K[k];
            if (counts[i] && !kept)
                fail_msg("top_k %u: id %zu of rank %zu was drawn", K[k], i, N - (i * 37) % N);
            if (!counts[i] && kept && K[k] <= 50)
                fail_msg("top_k %u: id %zu of rank %zu was never drawn", K[k], i, N - (i * 37) % N);
        }
    }
}

static void top_k_breaks_ties_by_id(void **state)
{
    (void)state;
    float logits[6] = { 1, 5, 5, 5, 0, 5 };
    uint64_t mask[1] = { 63 };
    unsigned counts[6];
    draw_counts(&(struct kt_sampling){ .temperature = 1, .top_k = 2 }, logits, mask, 6, counts);
    expect_frequencies("ties", counts, (double[]){ 0, 0.5, 0.5, 0, 0, 0 }, 6);
}

static void top_p_keeps_the_nucleus(void **state)
{
    (void)state;
    float logits[4]; /* probabilities 0.1, 0.2, 0.3, 0.4 */
    for (int i = 0; i < 4; i++)
        logits[i] = logf((float)(i + 1) / 10);
    uint64_t mask[1] = { 15 };
    unsigned counts[4];
    draw_counts(&(struct kt_sampling){ .temperature = 1, .top_p = 0.65f }, logits, mask, 4, counts);
    expect_frequencies("top_p 0.65", counts, (double[]){ 0, 0, 3 / 7.0, 4 / 7.0 }, 4);
    draw_counts(&(struct kt_sampling){ .temperature = 1, .top_p = 0.75f }, logits, mask, 4, counts);
    expect_frequencies("top_p 0.75", counts, (double[]){ 0, 2 / 9.0, 3 / 9.0, 4 / 9.0 }, 4);
    draw_counts(&(struct kt_sampling){ .temperature = 1, .top_p = 1e-9f }, logits, mask, 4, counts);
    expect_frequencies("tiny top_p keeps one", counts, (double[]){ 0, 0, 0, 1 }, 4);
}

static void min_p_is_relative(void **state)
{
    (void)state;
    float logits[4];
    for (int i = 0; i < 4; i++)
        logits[i] = logf((float)(i + 1) / 10);
    uint64_t mask[1] = { 15 };
    unsigned counts[4];
    draw_counts(&(struct kt_sampling){ .temperature = 1, .min_p = 0.6f }, logits, mask, 4, counts);
    expect_frequencies("min_p 0.6 of 0.4", counts, (double[]){ 0, 0, 3 / 7.0, 4 / 7.0 }, 4);
}

/* Guards the order: temperature before top-p (at T = 1/2 the nucleus of 0.65 differs from that at T
 * = 1), top-k before top-p (the nucleus is of what top-k left). */
static void order_of_filters(void **state)
{
    (void)state;
    float logits[4];
    for (int i = 0; i < 4; i++)
        logits[i] = logf((float)(i + 1) / 10);
    uint64_t mask[1] = { 15 };
    unsigned counts[4];
    /* T = 1/2 squares: 1, 4, 9, 16 of 30; 16/30 = 0.53 < 0.65 <= 25/30. T = 2 before: 0.5 would
     * need three. */
    draw_counts(&(struct kt_sampling){ .temperature = 0.5f, .top_p = 0.5f }, logits, mask, 4,
                counts);
    expect_frequencies("temperature, then top_p", counts, (double[]){ 0, 0, 0, 1 }, 4);
    /* top-k 3 leaves 2, 3, 4 of 9: 4/9 = 0.44 >= 0.43. Without the renormalisation 0.4 would not
     * reach it. */
    draw_counts(&(struct kt_sampling){ .temperature = 1, .top_k = 3, .top_p = 0.43f }, logits, mask,
                4, counts);
    expect_frequencies("top_k, then top_p", counts, (double[]){ 0, 0, 0, 1 }, 4);
}

static void presence_comes_before_temperature(void **state)
{
    (void)state;
    float logits[2] = { 0, 0 };
    uint64_t mask[1] = { 3 };
    struct sampler s;
    struct kt_error err;
    unsigned counts[2] = { 0 };
    struct kt_sampling o = { .temperature = 0.5f, .presence_penalty = 1 };
    assert_int_equal(sampler_init(&s, &o, 2, &kernels, &err), KT_OK);
    for (int i = 0; i < DRAWS; i++) {
        int32_t id;
        float lp;
        memset(s.counts, 0, 2 * sizeof(*s.counts));
        s.counts[0] = 7; /* how often does not matter */
        assert_int_equal(sampler_pick(&s, logits, mask, &id, &lp, &err), KT_OK);
        counts[id]++;
    }
    double p0 = 1 / (1 + exp(2)); /* the penalty of 1 is divided by 0.5, too */
    expect_frequencies("presence", counts, (double[]){ p0, 1 - p0 }, 2);
    sampler_deinit(&s);
}

static void presence_counts_once(void **state)
{
    (void)state;
    float logits[3] = { 10, 9, 8 };
    uint64_t mask[1] = { 7 };
    struct sampler s;
    struct kt_error err;
    struct kt_sampling o = { .temperature = 0.001f, .presence_penalty = 1.5f };
    assert_int_equal(sampler_init(&s, &o, 3, &kernels, &err), KT_OK);
    static const int32_t expected[] = { 0, 1, 0,
                                        0 }; /* 10 | 8.5 < 9 | 8.5 > 8, 7.5 | the same: not twice */
    for (size_t i = 0; i < ARRAY_LEN(expected); i++) {
        int32_t id;
        float lp;
        assert_int_equal(sampler_pick(&s, logits, mask, &id, &lp, &err), KT_OK);
        if (id != expected[i])
            fail_msg("pick %zu: id %d, expected %d", i, id, expected[i]);
    }
    sampler_deinit(&s);
}

static void forbidden_ids_never_come_out(void **state)
{
    (void)state;
    float logits[N];
    uint64_t mask[4] = { 0 };
    struct rng rng;
    rng_init(&rng, 3);
    for (size_t i = 0; i < N; i++) {
        logits[i] = rng_f32(&rng);
        if (i % 3)
            logits[i] += 50; /* what is forbidden is what the model wants */
        else
            mask_set(mask, i);
    }
    unsigned counts[N];
    draw_counts(&(struct kt_sampling){ .temperature = 5, .top_p = 0.99f }, logits, mask, N, counts);
    for (size_t i = 0; i < N; i++)
        if (i % 3 && counts[i])
            fail_msg("id %zu is forbidden and was drawn %u times", i, counts[i]);
}

static void seed_repeats(void **state)
{
    (void)state;
    float logits[N] = { 0 };
    uint64_t mask[4];
    allow_all(mask, N);
    int32_t first[100];
    unsigned same_other_seed = 0;
    for (int round = 0; round < 3; round++) {
        struct sampler s;
        struct kt_error err;
        struct kt_sampling o = { .temperature = 1, .seed = round == 2 ? 43 : 42 };
        assert_int_equal(sampler_init(&s, &o, N, &kernels, &err), KT_OK);
        for (size_t i = 0; i < ARRAY_LEN(first); i++) {
            int32_t id;
            float lp;
            assert_int_equal(sampler_pick(&s, logits, mask, &id, &lp, &err), KT_OK);
            if (round == 0)
                first[i] = id;
            else if (round == 1 && id != first[i])
                fail_msg("seed 42, draw %zu: %d, the first time %d", i, id, first[i]);
            else if (round == 2)
                same_other_seed += id == first[i];
        }
        sampler_deinit(&s);
    }
    assert_in_range(same_other_seed, 0, 10); /* 1 in 200 by chance */
}

static void bad_logits_are_an_error(void **state)
{
    (void)state;
    static const float BAD[] = { NAN, INFINITY };
    for (size_t b = 0; b < ARRAY_LEN(BAD); b++) {
        float logits[3] = { 1, BAD[b], 2 };
        struct sampler s;
        struct kt_error err;
        int32_t id = 77;
        float lp;
        assert_int_equal(sampler_init(&s, &(struct kt_sampling){ 0 }, 3, &kernels, &err), KT_OK);
        assert_int_equal(sampler_pick(&s, logits, (uint64_t[]){ 7 }, &id, &lp, &err),
                         KT_E_INTERNAL);
        assert_non_null(strstr(err.text, "token 1"));
        assert_int_equal(id, 77);
        assert_int_equal(sampler_pick(&s, logits, (uint64_t[]){ 5 }, &id, &lp, &err),
                         KT_OK); /* not allowed: not looked at */
        assert_int_equal(id, 2);
        assert_int_equal(sampler_pick(&s, logits, (uint64_t[]){ 0 }, &id, &lp, &err),
                         KT_E_NOTFOUND);
        sampler_deinit(&s);
    }
}

static void expect_picks(const struct kt_sampling *o, const float *logits, size_t n,
                         const int32_t *expected, size_t n_expected)
{
    uint64_t mask[1] = { ((uint64_t)1 << n) - 1 };
    struct sampler s;
    struct kt_error err;
    assert_int_equal(sampler_init(&s, o, n, &kernels, &err), KT_OK);
    for (size_t i = 0; i < n_expected; i++) {
        int32_t id;
        float lp;
        assert_int_equal(sampler_pick(&s, logits, mask, &id, &lp, &err), KT_OK);
        if (id != expected[i])
            fail_msg("pick %zu: id %d, expected %d", i, id, expected[i]);
        /* what the model thought of it, whatever was added */
        double sum = 0;
        for (size_t k = 0; k < n; k++)
            sum += exp((double)logits[k]);
        assert_true(fabs((double)lp - ((double)logits[id] - log(sum))) < 1e-4);
    }
    sampler_deinit(&s);
}

static void frequency_counts_every_time(void **state)
{
    (void)state;
    static const float logits[3] = { 10, 9, 8 };
    /* 10 | 8.5 < 9 | 8.5 > 8, 7.5 | 7 < 8 | 7.5 > 7, 6.5 | 7 > 6.5, 6 */
    static const int32_t expected[] = { 0, 1, 0, 2, 1, 0 };
    expect_picks(&(struct kt_sampling){ .frequency_penalty = 1.5f }, logits, 3, expected, 6);
    expect_picks(&(struct kt_sampling){ .frequency_penalty = 1.5f, .temperature = 0.001f }, logits,
                 3, expected, 6);
    /* the first time both: 10 | 7.5 < 9 | 7.5, 6.5 < 8 | 7.5 > 6.5, 5.5 */
    expect_picks(&(struct kt_sampling){ .frequency_penalty = 1, .presence_penalty = 1.5f }, logits,
                 3, (const int32_t[]){ 0, 1, 2, 0 }, 4);
}

static void biases_are_added(void **state)
{
    (void)state;
    static const float logits[4] = { 10, 9, 8, 7 };
    struct kt_logit_bias biases[] = { { 3, 2.5f }, { 0, -100 } };
    struct kt_sampling o = { .biases = biases, .n_biases = 2 };
    expect_picks(&o, logits, 4, (const int32_t[]){ 3, 3 }, 2);
    o.temperature = 0.01f;
    expect_picks(&o, logits, 4, (const int32_t[]){ 3, 3 }, 2);
    /* of a token that is not allowed a bias is nothing: a mask is stronger */
    struct kt_logit_bias forbidden = { 2, 100 };
    struct sampler s;
    struct kt_error err;
    uint64_t mask[1] = { 3 };
    int32_t id;
    float lp;
    o = (struct kt_sampling){ .biases = &forbidden, .n_biases = 1 };
    assert_int_equal(sampler_init(&s, &o, 4, &kernels, &err), KT_OK);
    assert_int_equal(sampler_pick(&s, logits, mask, &id, &lp, &err), KT_OK);
    assert_int_equal(id, 0);
    sampler_deinit(&s);
    /* before the temperature, like penalties */
    unsigned counts[2] = { 0 };
    struct kt_logit_bias one = { 0, -1 };
    mask[0] = 3;
    draw_counts(&(struct kt_sampling){ .temperature = 0.5f, .biases = &one, .n_biases = 1 },
                (const float[]){ 0, 0 }, mask, 2, counts);
    double p0 = 1 / (1 + exp(2));
    expect_frequencies("bias", counts, (double[]){ p0, 1 - p0 }, 2);
}

static void bad_options_are_named(void **state)
{
    (void)state;
    static const struct kt_logit_bias BIASES[] = { { 3, 1 }, { -1, 1 }, { 0, NAN } };
    static const struct {
        struct kt_sampling o;
        const char *name;
    } BAD[] = {
        { { .temperature = -1 }, "temperature" },
        { { .temperature = NAN }, "temperature" },
        { { .top_p = -0.1f }, "top_p" },
        { { .min_p = 1.5f }, "min_p" },
        { { .presence_penalty = NAN }, "presence" },
        { { .frequency_penalty = INFINITY }, "frequency" },
        { { .biases = &BIASES[0], .n_biases = 1 }, "bias of token 3" },
        { { .biases = &BIASES[1], .n_biases = 1 }, "bias of token -1" },
        { { .biases = &BIASES[2], .n_biases = 1 }, "bias of token 0" },
        { { .biases = BIASES, .n_biases = 1025 }, "1025" },
    };
    for (size_t i = 0; i < ARRAY_LEN(BAD); i++) {
        struct sampler s;
        struct kt_error err;
        assert_int_equal(sampler_init(&s, &BAD[i].o, 3, &kernels, &err), KT_E_USAGE);
        if (!strstr(err.text, BAD[i].name))
            fail_msg("case %zu: message '%s' does not name %s", i, err.text, BAD[i].name);
    }
}

/* Random rows against a plain implementation: sort everything, no shortcuts. */
static void set_equals_plain_implementation(void **state)
{
    (void)state;
    struct rng rng;
    rng_init(&rng, 11);
    uint64_t mask[4];
    allow_all(mask, N);
    for (int round = 0; round < 200; round++) {
        float logits[N];
        for (size_t i = 0; i < N; i++)
            logits[i] = 8 * rng_f32(&rng);
        uint32_t k = (uint32_t)rng_below(&rng, N);
        struct kt_sampling o = { .temperature = 0.3f + rng_f32(&rng),
                                 .top_k = k,
                                 .seed = (uint64_t)round };
        struct sampler s;
        struct kt_error err;
        assert_int_equal(sampler_init(&s, &o, N, &kernels, &err), KT_OK);
        for (int d = 0; d < 20; d++) {
            int32_t id;
            float lp;
            assert_int_equal(sampler_pick(&s, logits, mask, &id, &lp, &err), KT_OK);
            size_t rank = 0;
            for (size_t i = 0; i < N; i++)
                rank += logits[i] > logits[id];
            if (k && rank >= k)
                fail_msg("round %d: top_k %u, drawn id %d has rank %zu", round, k, id, rank);
        }
        sampler_deinit(&s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(greedy_takes_the_largest_allowed),
        cmocka_unit_test(logprob_is_of_the_allowed),
        cmocka_unit_test(temperature_scales),
        cmocka_unit_test(top_k_keeps_k),
        cmocka_unit_test(top_k_breaks_ties_by_id),
        cmocka_unit_test(top_p_keeps_the_nucleus),
        cmocka_unit_test(min_p_is_relative),
        cmocka_unit_test(order_of_filters),
        cmocka_unit_test(presence_comes_before_temperature),
        cmocka_unit_test(presence_counts_once),
        cmocka_unit_test(frequency_counts_every_time),
        cmocka_unit_test(biases_are_added),
        cmocka_unit_test(forbidden_ids_never_come_out),
        cmocka_unit_test(seed_repeats),
        cmocka_unit_test(bad_logits_are_an_error),
        cmocka_unit_test(bad_options_are_named),
        cmocka_unit_test(set_equals_plain_implementation),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
