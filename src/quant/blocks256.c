/* The formats with 256-element blocks: a half-precision scale (and min) for the block, and small
 * integer scales (and mins) for its 16- or 32-element sub-blocks.
 *
 * unpack_* multiplies both levels out. That is exact: 11 significant bits of the half times at
 * most 8. */
#include "quant/quant_priv.h"

/* Sub-block s of 8 is the pair of 16-element groups 2s and 2s + 1. */

void unpack_q2_k(struct qsub *restrict out, const void *restrict row, size_t sub_idx)
{
    const struct block_q2_k *b = (const struct block_q2_k *)row + sub_idx / 8;
    size_t s = sub_idx % 8;
    const uint8_t *q = b->q[s / 4];
    for (size_t l = 0; l < 32; l++)
        out->u[l] = q[l] >> 2 * (s % 4) & 3;

    float d = quant_half(b->d), dmin = quant_half(b->dmin);
    out->offset = 0;
    for (size_t g = 0; g < 2; g++) {
        uint8_t both = b->scales[2 * s + g];
        out->scale[g] = d * (float)(both & 15);
        out->min[g] = -(dmin * (float)(both >> 4));
    }
}

/* Sixteen 6-bit numbers in 12 bytes: low nibbles of the first 8 bytes, then their high nibbles; the
 * two high bits of number j lie in byte 8 + j % 4, at bit 2 * (j / 4). Stored with 32 added. */
static int q3_k_scale(const uint8_t s[static 12], size_t j)
{
    int low = j < 8 ? s[j] & 15 : s[j - 8] >> 4;
    int high = s[8 + j % 4] >> 2 * (j / 4) & 3;
    return (low | high << 4) - 32;
}

void unpack_q3_k(struct qsub *restrict out, const void *restrict row, size_t sub_idx)
{
    const struct block_q3_k *b = (const struct block_q3_k *)row + sub_idx / 8;
    size_t s = sub_idx % 8;
    const uint8_t *q = b->q[s / 4];
    for (size_t l = 0; l < 32; l++) {
        unsigned low = q[l] >> 2 * (s % 4) & 3;
        unsigned high = b->high[l] >> s & 1;
        out->u[l] = (uint8_t)(low | high << 2);
    }
    quant_one_scale(out, 0.0f, 4);
    for (size_t g = 0; g < 2; g++)
        out->scale[g] = quant_half(b->d) * (float)q3_k_scale(b->scales, 2 * s + g);
}

/* Eight 6-bit scales and eight 6-bit mins in 12 bytes. The first four of each have the low six bits
 * of a byte of their own; the others take a nibble of the last four bytes and two spare high bits.
 */
static void q4_k_scales(struct qsub *out, const uint8_t half_d[static 2],
                        const uint8_t half_dmin[static 2], const uint8_t s[static 12], size_t j)
{
    unsigned scale, min;
    if (j < 4) {
        scale = s[j] & 63;
        min = s[j + 4] & 63;
    } else {
        scale = (s[j + 4] & 15u) | (s[j - 4] >> 6) << 4;
        min = s[j + 4] >> 4 | (s[j] >> 6) << 4;
    }
    quant_one_scale(out, quant_half(half_d) * (float)scale, 0);
    out->min[0] = out->min[1] = -(quant_half(half_dmin) * (float)min);
}

void unpack_q4_k(struct qsub *restrict out, const void *restrict row, size_t sub_idx)
{
    const struct block_q4_k *b = (const struct block_q4_k *)row + sub_idx / 8;
    size_t s = sub_idx % 8;
    const uint8_t *q = b->q[s / 2];
    for (size_t l = 0; l < 32; l++)
        out->u[l] = q[l] >> 4 * (s % 2) & 15;
    q4_k_scales(out, b->d, b->dmin, b->scales, s);
}

void unpack_q5_k(struct qsub *restrict out, const void *restrict row, size_t sub_idx)
{
    const struct block_q5_k *b = (const struct block_q5_k *)row + sub_idx / 8;
    size_t s = sub_idx % 8;
    const uint8_t *q = b->q[s / 2];
    for (size_t l = 0; l < 32; l++) {
        unsigned low = q[l] >> 4 * (s % 2) & 15;
        unsigned high = b->high[l] >> s & 1;
        out->u[l] = (uint8_t)(low | high << 4);
    }
    q4_k_scales(out, b->d, b->dmin, b->scales, s);
}

void unpack_q6_k(struct qsub *restrict out, const void *restrict row, size_t sub_idx)
{
    const struct block_q6_k *b = (const struct block_q6_k *)row + sub_idx / 8;
    size_t s = sub_idx % 8, half = s / 4, k = s % 4;
    const uint8_t *low = b->low[half] + 32 * (k % 2);
    const uint8_t *high = b->high[half];
    for (size_t l = 0; l < 32; l++) {
        unsigned lo = low[l] >> 4 * (k / 2) & 15;
        unsigned hi = high[l] >> 2 * k & 3;
        out->u[l] = (uint8_t)(lo | hi << 4);
    }
    quant_one_scale(out, 0.0f, 32);
    for (size_t g = 0; g < 2; g++)
        out->scale[g] = quant_half(b->d) * (float)b->scales[2 * s + g];
}

void unpack_iq4_xs(struct qsub *restrict out, const void *restrict row, size_t sub_idx)
{
    const struct block_iq4_xs *b = (const struct block_iq4_xs *)row + sub_idx / 8;
    size_t s = sub_idx % 8;
    int low = b->scales_low[s / 2] >> 4 * (s % 2) & 15;
    int high = quant_u16(b->scales_high) >> 2 * s & 3;
    quant_nibbles(out->u, b->q[s]);
    for (size_t e = 0; e < 32; e++)
        out->u[e] = (uint8_t)(quant_iq4_levels[out->u[e]] + 127); /* 127: the smallest level */
    quant_one_scale(out, quant_half(b->d) * (float)((low | high << 4) - 32), 127);
}
