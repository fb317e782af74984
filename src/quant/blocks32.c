/* The formats with small blocks: 32 (or, NVFP4, 64) elements under one level of scales.
 *
 * Each unpack_* takes one 32-element sub-block of a row apart; see struct qsub. Products with the
 * scales are exact in float: a half has 11 significant bits, the integers at most 8. */
#include "quant/quant_priv.h"

const int8_t quant_iq4_levels[16] = { -127, -104, -83, -65, -49, -35, -22, -10,
                                      1,    13,   25,  38,  53,  69,  89,  113 };
/* 0, 0.5, 1, 1.5, 2, 3, 4, 6 doubled; the negative zero is stored as plain 0. */
const int8_t quant_fp4_levels[16] = { 0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12 };

enum { IQ4_OFFSET = 127, FP4_OFFSET = 12 }; /* make the smallest level 0 */

void unpack_q4_0(struct qsub *restrict out, const void *restrict row, size_t sub_idx)
{
    const struct block_q4_0 *b = (const struct block_q4_0 *)row + sub_idx;
    quant_nibbles(out->u, b->q);
    quant_one_scale(out, quant_half(b->d), 8);
}

void unpack_q4_1(struct qsub *restrict out, const void *restrict row, size_t sub_idx)
{
    const struct block_q4_1 *b = (const struct block_q4_1 *)row + sub_idx;
    quant_nibbles(out->u, b->q);
    quant_one_scale(out, quant_half(b->d), 0);
    out->min[0] = out->min[1] = quant_half(b->m);
}

static void add_fifth_bits(uint8_t u[static 32], const uint8_t high[static 4])
{
    for (size_t e = 0; e < 32; e++)
        u[e] |= (uint8_t)((high[e / 8] >> e % 8 & 1) << 4);
}

void unpack_q5_0(struct qsub *restrict out, const void *restrict row, size_t sub_idx)
{
    const struct block_q5_0 *b = (const struct block_q5_0 *)row + sub_idx;
    quant_nibbles(out->u, b->q);
    add_fifth_bits(out->u, b->high);
    quant_one_scale(out, quant_half(b->d), 16);
}

void unpack_q5_1(struct qsub *restrict out, const void *restrict row, size_t sub_idx)
{
    const struct block_q5_1 *b = (const struct block_q5_1 *)row + sub_idx;
    quant_nibbles(out->u, b->q);
    add_fifth_bits(out->u, b->high);
    quant_one_scale(out, quant_half(b->d), 0);
    out->min[0] = out->min[1] = quant_half(b->m);
}

void unpack_q8_0(struct qsub *restrict out, const void *restrict row, size_t sub_idx)
{
    const struct block_q8_0 *b = (const struct block_q8_0 *)row + sub_idx;
    for (size_t e = 0; e < 32; e++)
        out->u[e] = (uint8_t)(b->q[e] + 128);
    quant_one_scale(out, quant_half(b->d), 128);
}

void unpack_iq4_nl(struct qsub *restrict out, const void *restrict row, size_t sub_idx)
{
    const struct block_iq4_nl *b = (const struct block_iq4_nl *)row + sub_idx;
    quant_nibbles(out->u, b->q);
    for (size_t e = 0; e < 32; e++)
        out->u[e] = (uint8_t)(quant_iq4_levels[out->u[e]] + IQ4_OFFSET);
    quant_one_scale(out, quant_half(b->d), IQ4_OFFSET);
}

/* 2^(e - 128); the smallest two are subnormal floats. */
static float exponent_scale(uint8_t e)
{
    return e < 2 ? f32_from_bits(0x200000u << e) : f32_from_bits((uint32_t)(e - 1) << 23);
}

void unpack_mxfp4(struct qsub *restrict out, const void *restrict row, size_t sub_idx)
{
    const struct block_mxfp4 *b = (const struct block_mxfp4 *)row + sub_idx;
    quant_nibbles(out->u, b->q);
    for (size_t e = 0; e < 32; e++)
        out->u[e] = (uint8_t)(quant_fp4_levels[out->u[e]] + FP4_OFFSET);
    quant_one_scale(out, exponent_scale(b->e), FP4_OFFSET);
}

/* Half of an unsigned float with 4 exponent bits (bias 7) and 3 of mantissa: half, because the
 * levels are doubled. 0x7F is the format's "not a number" and means 0 here; the top bit is ignored.
 */
static float e4m3_half(uint8_t x)
{
    if (x == 0x7F)
        return 0.0f;
    uint32_t exp = x >> 3 & 15, man = x & 7;
    if (exp == 0)
        return (float)man * 0x1p-10f;
    return f32_from_bits((exp + 119) << 23 | man << 20); /* 119 = 127 - 7 - 1 */
}

void unpack_nvfp4(struct qsub *restrict out, const void *restrict row, size_t sub_idx)
{
    const struct block_nvfp4 *b = (const struct block_nvfp4 *)row + sub_idx / 2;
    size_t group0 = sub_idx % 2 * 2;
    quant_one_scale(out, 0.0f, FP4_OFFSET);
    for (size_t g = 0; g < 2; g++) {
        const uint8_t *q = b->q[group0 + g];
        uint8_t *u = out->u + 16 * g;
        for (size_t i = 0; i < 8; i++) {
            u[i] = (uint8_t)(quant_fp4_levels[q[i] & 15] + FP4_OFFSET);
            u[i + 8] = (uint8_t)(quant_fp4_levels[q[i] >> 4] + FP4_OFFSET);
        }
        out->scale[g] = e4m3_half(b->e[group0 + g]);
    }
}
