/* Writing block formats (src/quant/quantize.h).
 *
 * Method: rows of known kinds (normal, heavy-tailed, all zero, constant, one outlier, tiny, the
 * largest allowed) are quantised and dequantised again. The error must stay below a bound for the
 * format: for random rows a fraction of their rms, with little room above what was measured when
 * this was written; for every row, half a step of the format's own scale near the largest element,
 * which a wrong scale, sign, nibble or sub-block order breaks at once. */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/half.h"
#include "base/rng.h"
#include "base/size.h"
#include "quant/quantize.h"

enum { N = 4096 };

/* What a format may lose: rms of the error over rms of normally distributed numbers, and the
 * largest error of any element over the largest element of its block. */
static const struct {
    enum qtype type;
    double rel_rms, rel_max;
} FORMATS[] = {
    { QT_F32, 0, 0 },           { QT_F16, 3e-4, 5e-4 },
    { QT_BF16, 2.5e-3, 4e-3 },  { QT_Q8_0, 0.0065, 0.0045 },
    { QT_Q6_K, 0.021, 0.04 },   { QT_Q5_K, 0.036, 0.06 },
    { QT_Q4_K, 0.073, 0.12 },   { QT_Q5_1, 0.036, 0.06 },
    { QT_Q5_0, 0.043, 0.08 },   { QT_Q4_1, 0.076, 0.12 },
    { QT_Q4_0, 0.092, 0.16 },   { QT_IQ4_NL, 0.085, 0.16 },
    { QT_IQ4_XS, 0.087, 0.16 },
};

static float *buffer(void)
{
    float *x = calloc(N, sizeof(*x));
    assert_non_null(x);
    return x;
}

static double uniform(struct rng *r)
{
    return ((double)(rng_u64(r) >> 11) + 0.5) * 0x1p-53;
}

static float normal(struct rng *r)
{
    return (float)(sqrt(-2.0 * log(uniform(r))) * cos(6.283185307179586 * uniform(r)));
}

/* Quantise and dequantise; heap. */
static float *round_trip(enum qtype type, float *x, size_t n)
{
    size_t bytes;
    assert_true(qtype_row_bytes(&bytes, type, n));
    uint8_t *q = malloc(bytes);
    float *y = calloc(n, sizeof(*y));
    assert_non_null(q);
    assert_non_null(y);
    memset(q, 0xA5, bytes); /* every byte must be written */
    quantize_of(type)(q, x, NULL, n);
    qtype_traits(type)->dequant(y, q, n);
    free(q);
    return y;
}

static double rms(const float *x, const float *y, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        double d = (double)x[i] - (y ? (double)y[i] : 0.0);
        sum += d * d;
    }
    return sqrt(sum / (double)n);
}

static void normal_rows_lose_no_more_than_they_should(void **state)
{
    (void)state;
    struct rng r;
    rng_init(&r, 7);
    float *x = buffer();
    for (size_t i = 0; i < N; i++)
        x[i] = 0.02f * normal(&r);
    for (size_t f = 0; f < ARRAY_LEN(FORMATS); f++) {
        float *y = round_trip(FORMATS[f].type, x, N);
        double rel = rms(x, y, N) / rms(x, NULL, N);
        const char *name = qtype_traits(FORMATS[f].type)->name;
        print_message("%-5s rms error / rms %.5f, at most %.5f\n", name, rel, FORMATS[f].rel_rms);
        if (!(rel <= FORMATS[f].rel_rms) ||
            (FORMATS[f].rel_rms > 0 && rel < FORMATS[f].rel_rms / 3))
            fail_msg("%s loses %.5f of the rms, expected at most %.5f and not much less", name, rel,
                     FORMATS[f].rel_rms);
        free(y);
    }
    free(x);
}

/* Fill one block of 256 in one of several shapes. */
static void fill(float *x, size_t kind, struct rng *r)
{
    for (size_t i = 0; i < 256; i++) {
        float u = normal(r);
        x[i] = kind == 0   ? 0.0f
               : kind == 1 ? 1.0f
               : kind == 2 ? -0.25f
               : kind == 3 ? (i == 77 ? -8.0f : 0.01f * u)
               : kind == 4 ? u * u * u
               : kind == 5 ? 1e-30f * u
               : kind == 6 ? (i % 2 ? 65504.0f : -65504.0f)
               : kind == 7 ? 65504.0f
               : kind == 8 ? 3.0f + 0.01f * u
               : kind == 9 ? (u < 0 ? u : -u)
                           : (float)(i % 32) - 16.0f;
    }
}

static double largest(const float *x, size_t n)
{
    double max = 0;
    for (size_t i = 0; i < n; i++)
        max = fmax(max, fabs((double)x[i]));
    return max;
}

static void odd_rows_come_back(void **state)
{
    (void)state;
    enum { N_KINDS = 11 };
    struct rng r;
    rng_init(&r, 8);
    float x[256];
    for (size_t kind = 0; kind < N_KINDS; kind++) {
        fill(x, kind, &r);
        for (size_t f = 0; f < ARRAY_LEN(FORMATS); f++) {
            float *y = round_trip(FORMATS[f].type, x, 256);
            double worst = 0, max = largest(x, 256);
            for (size_t i = 0; i < 256; i++) {
                assert_true(isfinite(y[i]));
                worst = fmax(worst, fabs((double)x[i] - (double)y[i]));
            }
            /* Below half precision's smallest scales everything may become zero. */
            double bound = fmax(FORMATS[f].rel_max * max, FORMATS[f].type == QT_F32 ? 0 : 2e-4);
            if (!(worst <= bound))
                fail_msg("%s, kind of row %zu with largest element %g: error %g, expected at "
                         "most %g",
                         qtype_traits(FORMATS[f].type)->name, kind, max, worst, bound);
            free(y);
        }
    }
}

static void zero_stays_zero(void **state)
{
    (void)state;
    float x[256] = { 0 };
    for (size_t f = 0; f < ARRAY_LEN(FORMATS); f++) {
        float *y = round_trip(FORMATS[f].type, x, 256);
        for (size_t i = 0; i < 256; i++)
            assert_true(y[i] == 0.0f);
        free(y);
    }
}

/* Numbers that a format can express exactly must be found: levels times a power of two. */
static void what_fits_exactly_is_exact(void **state)
{
    (void)state;
    static const struct {
        enum qtype type;
        int lo, hi;
    } CASES[] = { { QT_Q4_0, -8, 7 },
                  { QT_Q5_0, -16, 15 },
                  { QT_Q4_1, 0, 15 },
                  { QT_Q5_1, 0, 31 },
                  { QT_Q8_0, -127, 127 } };
    float x[256];
    for (size_t c = 0; c < ARRAY_LEN(CASES); c++) {
        int n = CASES[c].hi - CASES[c].lo + 1;
        for (int i = 0; i < 256; i++) /* each block of 32 has both ends */
            x[i] = 0.125f * (float)(i % 32 == 0   ? CASES[c].lo
                                    : i % 32 == 1 ? CASES[c].hi
                                                  : CASES[c].lo + i * 7 % n);
        float *y = round_trip(CASES[c].type, x, 256);
        for (size_t i = 0; i < 256; i++) {
            if (y[i] != x[i])
                fail_msg("%s: element %zu is %g, expected %g", qtype_traits(CASES[c].type)->name, i,
                         (double)y[i], (double)x[i]);
        }
        free(y);
    }
}

/* A block's bytes depend on its own numbers alone. */
static void blocks_are_independent(void **state)
{
    (void)state;
    struct rng r;
    rng_init(&r, 9);
    float *x = buffer();
    for (size_t i = 0; i < N; i++)
        x[i] = normal(&r);
    for (size_t f = 0; f < ARRAY_LEN(FORMATS); f++) {
        const struct qtype_traits *t = qtype_traits(FORMATS[f].type);
        uint8_t whole[4 * N], part[4 * 256];
        quantize_of(FORMATS[f].type)(whole, x, NULL, N);
        for (size_t b = 0; b < N / t->block_len; b++) {
            quantize_of(FORMATS[f].type)(part, x + b * t->block_len, NULL, t->block_len);
            assert_memory_equal(part, whole + b * t->block_bytes, t->block_bytes);
        }
    }
    free(x);
}

/* Knowing which columns matter must make the error there smaller, weighted by how much they do. */
static void what_matters_is_kept_better(void **state)
{
    (void)state;
    struct rng r;
    rng_init(&r, 10);
    float *x = buffer(), *q = buffer(), *y = buffer();
    uint8_t *bytes = malloc(4 * N);
    assert_non_null(bytes);
    for (size_t i = 0; i < N; i++) {
        x[i] = 0.02f * normal(&r);
        q[i] = expf(1.5f * normal(&r));
    }
    for (size_t f = 0; f < ARRAY_LEN(FORMATS); f++) {
        enum qtype type = FORMATS[f].type;
        double sum[2] = { 0 };
        for (size_t with = 0; with < 2; with++) {
            struct quant_columns c = { .weight = q };
            quantize_of(type)(bytes, x, with ? &c : NULL, N);
            qtype_traits(type)->dequant(y, bytes, N);
            for (size_t i = 0; i < N; i++) {
                double d = (double)x[i] - (double)y[i];
                sum[with] += (double)q[i] * d * d;
            }
        }
        bool searched = !qtype_traits(type)->is_float && type != QT_Q8_0;
        print_message("%-6s weighted error %.4f of that without\n", qtype_traits(type)->name,
                      sum[1] / sum[0]);
        if (searched ? !(sum[1] < 0.97 * sum[0]) : sum[1] != sum[0])
            fail_msg("%s: weighted error %g, without importance %g", qtype_traits(type)->name,
                     sum[1], sum[0]);
    }
    free(bytes);
    free(x);
    free(q);
    free(y);
}

/* Second moments of 256 inputs that depend on each other: a few common causes, and noise. */
static void fill_moments(float cov[256][256], struct rng *r)
{
    enum { CAUSES = 24 };
    static float load[256][CAUSES];
    for (size_t i = 0; i < 256; i++) {
        for (size_t k = 0; k < CAUSES; k++)
            load[i][k] = normal(r);
    }
    for (size_t i = 0; i < 256; i++) {
        for (size_t j = 0; j < 256; j++) {
            float sum = i == j ? 8.0f : 0.0f;
            for (size_t k = 0; k < CAUSES; k++)
                sum += load[i][k] * load[j][k];
            cov[i][j] = sum;
        }
    }
}

/* By the definition: when the first column of three is off by one, the others move by -H22^-1 H21; when the second is,
 * the third moves by -H32 / H33. */
static void errors_are_made_up_for_in_the_best_way(void **state)
{
    (void)state;
    enum { STRIDE = 5 };
    static const float COV[3 * STRIDE] = { 4, 1, -2, 0, 0, 1, 3, 0.5f, 0, 0, -2, 0.5f, 2, 0, 0 };
    float carry[3 * STRIDE] = { 0 }, weight[3];
    double scratch[18];
    assert_true(quant_carry(carry, weight, COV, 3, STRIDE, scratch));
    double add = 0.01 * 3, b = 0.8; /* quant_carry's damping and belief: carry.c */
    double h11 = 4 + add, h22 = 3 + add, h33 = 2 + add, h12 = b, h13 = -2 * b, h23 = 0.5 * b;
    double det = h22 * h33 - h23 * h23;
    double m2 = (h33 * h12 - h23 * h13) / det, m3 = (h22 * h13 - h23 * h12) / det;
    assert_float_equal(carry[1], m2, 1e-6);
    assert_float_equal(carry[2], m3, 1e-6);
    assert_float_equal(carry[STRIDE + 2], h23 / h33, 1e-6);
    assert_float_equal(weight[0], h11 - h12 * m2 - h13 * m3, 1e-5);
    assert_float_equal(weight[1], h22 - h23 * h23 / h33, 1e-5);
    assert_float_equal(weight[2], h33, 1e-5);
    const float none[9] = { 0 };
    assert_false(quant_carry(carry, weight, none, 3, 3, scratch));
}

static double output_error(const float *x, const float *y, float cov[256][256])
{
    double sum = 0;
    for (size_t b = 0; b < N; b += 256) {
        for (size_t i = 0; i < 256; i++) {
            for (size_t j = 0; j < 256; j++)
                sum += ((double)x[b + i] - (double)y[b + i]) * (double)cov[i][j] *
                       ((double)x[b + j] - (double)y[b + j]);
        }
    }
    return sum;
}

/* What is known about pairs of columns must make the output's error smaller than what is known of each alone. */
static void later_columns_make_up_for_errors(void **state)
{
    (void)state;
    static float cov[256][256], carry[N][256], weight[N], diagonal[N];
    static double scratch[2 * 256 * 256];
    struct rng r;
    rng_init(&r, 12);
    float *x = buffer(), *moved = buffer(), *y = buffer();
    uint8_t *bytes = malloc(4 * N);
    assert_non_null(bytes);
    fill_moments(cov, &r);
    for (size_t b = 0; b < N; b += 256) {
        assert_true(quant_carry(carry[b], weight + b, cov[0], 256, 256, scratch));
        for (size_t i = 0; i < 256; i++)
            diagonal[b + i] = cov[i][i];
    }
    for (size_t i = 0; i < N; i++)
        x[i] = 0.02f * normal(&r);
    for (size_t f = 0; f < ARRAY_LEN(FORMATS); f++) {
        enum qtype type = FORMATS[f].type;
        if (qtype_traits(type)->is_float || type == QT_Q8_0)
            continue;
        double error[2];
        for (size_t with = 0; with < 2; with++) {
            struct quant_columns c = { .weight = with ? weight : diagonal };
            if (with) {
                c.carry = carry[0];
                c.block = 256;
            }
            memcpy(moved, x, N * sizeof(*x));
            quantize_of(type)(bytes, moved, &c, N);
            qtype_traits(type)->dequant(y, bytes, N);
            error[with] = output_error(x, y, cov);
        }
        print_message("%-6s output error %.4f of that without making up\n",
                      qtype_traits(type)->name, error[1] / error[0]);
        if (!(error[1] < 0.75 * error[0]))
            fail_msg("%s: output error %g, without making up for errors %g",
                     qtype_traits(type)->name, error[1], error[0]);
    }
    free(bytes);
    free(x);
    free(moved);
    free(y);
}

/* Data from outside may be anything: no cast of what is no number, no write outside. */
static void nonsense_about_columns_does_no_harm(void **state)
{
    (void)state;
    static const float BAD[] = { NAN, INFINITY, -INFINITY, 3e38f, -3e38f };
    static float carry[256][256], weight[256];
    float x[256];
    uint8_t bytes[1024];
    struct rng r;
    rng_init(&r, 13);
    for (size_t k = 0; k < ARRAY_LEN(BAD); k++) {
        for (size_t f = 0; f < ARRAY_LEN(FORMATS); f++) {
            struct quant_columns c = { weight, carry[0], 256 };
            for (size_t i = 0; i < 256; i++) {
                x[i] = normal(&r);
                weight[i] = i % 3 ? 1.0f : BAD[k];
                for (size_t j = 0; j < 256; j++)
                    carry[i][j] = (i + j) % 5 ? 0.1f : BAD[k];
            }
            quantize_of(FORMATS[f].type)(bytes, x, &c, 256);
        }
    }
}

static void what_is_no_number_is_found(void **state)
{
    (void)state;
    static const float BAD[] = { NAN, INFINITY, -INFINITY, 70000.0f, -65536.0f };
    float x[256] = { 0 };
    for (size_t f = 0; f < ARRAY_LEN(FORMATS); f++) {
        enum qtype type = FORMATS[f].type;
        bool wide = type == QT_F32 || type == QT_BF16;
        assert_int_equal(quantize_check(type, x, 256), 256);
        for (size_t i = 0; i < ARRAY_LEN(BAD); i++) {
            x[201] = BAD[i];
            size_t expected = wide && isfinite(BAD[i]) ? 256 : 201;
            assert_int_equal(quantize_check(type, x, 256), expected);
        }
        x[201] = 0;
    }
    x[3] = FLT_MAX; /* rounds to infinity in BF16 */
    assert_int_equal(quantize_check(QT_BF16, x, 256), 3);
    assert_int_equal(quantize_check(QT_F32, x, 256), 256);
}

static void unknown_types_have_no_function(void **state)
{
    (void)state;
    size_t n = 0;
    for (int id = -2; id < 100; id++)
        n += quantize_of((enum qtype)id) != NULL;
    assert_int_equal(n, ARRAY_LEN(FORMATS));
    assert_null(quantize_of(QT_Q2_K));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(normal_rows_lose_no_more_than_they_should),
        cmocka_unit_test(odd_rows_come_back),
        cmocka_unit_test(zero_stays_zero),
        cmocka_unit_test(what_fits_exactly_is_exact),
        cmocka_unit_test(blocks_are_independent),
        cmocka_unit_test(what_matters_is_kept_better),
        cmocka_unit_test(errors_are_made_up_for_in_the_best_way),
        cmocka_unit_test(later_columns_make_up_for_errors),
        cmocka_unit_test(nonsense_about_columns_does_no_harm),
        cmocka_unit_test(what_is_no_number_is_found),
        cmocka_unit_test(unknown_types_have_no_function),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
