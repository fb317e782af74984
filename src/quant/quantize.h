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

/* n is a multiple of the block length; y and x do not overlap. 'q' says how much an error in each of
 * the n elements matters beside the others (mean squared inputs of its column, for example; finite,
 * more than zero), or is NULL when nothing is known. Formats without a search do not look at it. */
typedef void (*quantize_fn)(void *restrict y, const float *restrict x, const float *q, size_t n);

void quantize_f32(void *restrict y, const float *restrict x, const float *q, size_t n);
void quantize_f16(void *restrict y, const float *restrict x, const float *q, size_t n);
void quantize_bf16(void *restrict y, const float *restrict x, const float *q, size_t n);
void quantize_q4_0(void *restrict y, const float *restrict x, const float *q, size_t n);
void quantize_q4_1(void *restrict y, const float *restrict x, const float *q, size_t n);
void quantize_q5_0(void *restrict y, const float *restrict x, const float *q, size_t n);
void quantize_q5_1(void *restrict y, const float *restrict x, const float *q, size_t n);
void quantize_q8_0(void *restrict y, const float *restrict x, const float *q, size_t n);
void quantize_q4_k(void *restrict y, const float *restrict x, const float *q, size_t n);
void quantize_q5_k(void *restrict y, const float *restrict x, const float *q, size_t n);
void quantize_q6_k(void *restrict y, const float *restrict x, const float *q, size_t n);

void quantize_iq4_nl(void *restrict y, const float *restrict x, const float *q, size_t n);
void quantize_iq4_xs(void *restrict y, const float *restrict x, const float *q, size_t n);

/* The function of a type, or NULL: a format that we read but do not write. */
quantize_fn quantize_of(enum qtype type);
/* The largest magnitude that the format's scales reach without becoming infinite. */
float quantize_max(enum qtype type);
/* The index of the first element that is not a number or beyond quantize_max(type), or n. */
size_t quantize_check(enum qtype type, const float *x, size_t n);

#endif
