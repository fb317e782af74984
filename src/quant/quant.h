/* quant/quant.h: how weights are stored: one row of a table for each block format.
 *
 * A block is a run of consecutive elements of a row with shared scales. The layouts are those of
 * GGUF (docs/FORMATS.md gives every byte); the enum's values are GGUF's type ids. A quantised
 * number is an exact product of small integers and half-precision scales, and dequantising gives
 * exactly that float.
 *
 * This module knows numbers and bytes, nothing of files, models or processors. Pure functions. */
#ifndef QUANT_QUANT_H
#define QUANT_QUANT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum qtype {
    QT_F32 = 0,
    QT_F16 = 1,
    QT_Q4_0 = 2,
    QT_Q4_1 = 3,
    QT_Q5_0 = 6,
    QT_Q5_1 = 7,
    QT_Q8_0 = 8,
    QT_Q2_K = 10,
    QT_Q3_K = 11,
    QT_Q4_K = 12,
    QT_Q5_K = 13,
    QT_Q6_K = 14,
    QT_IQ4_NL = 20,
    QT_IQ4_XS = 23,
    QT_BF16 = 30,
    QT_MXFP4 = 39,
    QT_NVFP4 = 40,
    QT_COUNT = 41, /* one more than the largest id: for tables indexed by type */
};

/* 32 consecutive weights of a row, taken apart for integer arithmetic. With u[e] the stored
 * integer, weight[e] = scale[e / 16] * (u[e] - offset) + min[e / 16]            exactly, in float.
 * 'scale' and 'min' are already multiplied out (d * sub-scale); formats with one scale per 32
 * elements set both halves alike. Every u fits uint8_t, and u - offset fits int8_t. */
struct qsub {
    uint8_t u[32];
    uint8_t offset;
    float scale[2];
    float min[2];
};

struct qtype_traits {
    const char *name;     /* "Q4_K"; as GGUF tools spell it                                 */
    uint16_t block_len;   /* elements a block; a row is a multiple of it                    */
    uint16_t block_bytes; /* bytes a block                                                  */
    bool is_float;        /* F32, F16, BF16: no integers inside, unpack is NULL             */
    bool has_min;         /* some min may be nonzero                                        */
    bool split_scale;     /* scale[0] and scale[1] may differ                               */
    /* n elements, a multiple of block_len */
    void (*dequant)(float *restrict y, const void *restrict x, size_t n);
    /* sub-block 'sub_idx' (32 elements each, counted from the row's start) of a row at 'row' */
    void (*unpack)(struct qsub *out, const void *restrict row, size_t sub_idx);
};

/* NULL for a type we do not know. */
const struct qtype_traits *qtype_traits(enum qtype type);
/* By name, for command lines; false when unknown. */
bool qtype_from_name(enum qtype *out, const char *name);
/* Bytes of a row of n elements; false when n is not a multiple of the block or the product
 * overflows. */
bool qtype_row_bytes(size_t *out, enum qtype type, size_t n_elems);

#endif
