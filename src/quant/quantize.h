/* quant/quantize.h: rows of floats to the block formats, one pure function for each.
 *
 * The bytes depend on the n numbers alone, not on the processor, the thread or what stands beside
 * them. Numbers are finite and at most quantize_max() in magnitude: the caller checks with
 * quantize_check(), because only the caller can say which tensor is broken.
 *
 * Scales are searched, not just taken from the largest element: see quantize32.c and quantize256.c
 * for what is minimised, docs/FORMATS.md for what it gains. */
#ifndef QUANT_QUANTIZE_H
#define QUANT_QUANTIZE_H

#include "quant/quant.h"

/* What is known about the inputs that the n elements of a row will be multiplied with. */
struct quant_columns {
    /* [n] How much an error in each element matters beside the others: mean squared inputs of its column, for
     * example, or with 'carry' what quant_carry() gives. Finite, more than zero. */
    const float *weight;
    /* [n][block], or NULL: an error e in element i, which has place k in its block of columns, is made up
     * for by adding e * carry[i][l] to the element with place l, for every l > k (quant_carry()). */
    const float *carry;
    size_t block;
};

/* n is a multiple of the block length; y and x do not overlap. 'c' is NULL when nothing is known. With c->carry, x is
 * changed; else it is not. Formats without a search do not look at c. */
typedef void (*quantize_fn)(void *restrict y, float *restrict x, const struct quant_columns *c,
                            size_t n);

/* The carry of one block of n columns from the second moments of their inputs, cov[n][stride], symmetric (the
 * upper triangle is read); weight[n] is what an error in each costs that nothing behind it makes up for.
 * scratch[2 n n]. False when cov is as good as zero: then nothing is written. */
bool quant_carry(float *restrict carry, float *restrict weight, const float *cov, size_t n,
                 size_t stride, double *scratch);

void quantize_f32(void *restrict y, float *restrict x, const struct quant_columns *c, size_t n);
void quantize_f16(void *restrict y, float *restrict x, const struct quant_columns *c, size_t n);
void quantize_bf16(void *restrict y, float *restrict x, const struct quant_columns *c, size_t n);
void quantize_q4_0(void *restrict y, float *restrict x, const struct quant_columns *c, size_t n);
void quantize_q4_1(void *restrict y, float *restrict x, const struct quant_columns *c, size_t n);
void quantize_q5_0(void *restrict y, float *restrict x, const struct quant_columns *c, size_t n);
void quantize_q5_1(void *restrict y, float *restrict x, const struct quant_columns *c, size_t n);
void quantize_q8_0(void *restrict y, float *restrict x, const struct quant_columns *c, size_t n);
void quantize_q4_k(void *restrict y, float *restrict x, const struct quant_columns *c, size_t n);
void quantize_q5_k(void *restrict y, float *restrict x, const struct quant_columns *c, size_t n);
void quantize_q6_k(void *restrict y, float *restrict x, const struct quant_columns *c, size_t n);

void quantize_iq4_nl(void *restrict y, float *restrict x, const struct quant_columns *c, size_t n);
void quantize_iq4_xs(void *restrict y, float *restrict x, const struct quant_columns *c, size_t n);

/* The function of a type, or NULL: a format that we read but do not write. */
quantize_fn quantize_of(enum qtype type);
/* The largest magnitude that the format's scales reach without becoming infinite. */
float quantize_max(enum qtype type);
/* The index of the first element that is not a number or beyond quantize_max(type), or n. */
size_t quantize_check(enum qtype type, const float *x, size_t n);

#endif
