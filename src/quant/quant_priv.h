/* Shared by the files of quant/ alone. */
#ifndef QUANT_PRIV_H
#define QUANT_PRIV_H

#include "base/half.h"
#include "quant/blocks.h"
#include "quant/quant.h"

typedef void (*unpack_fn)(struct qsub *restrict out, const void *restrict row, size_t sub_idx);

void unpack_q4_0(struct qsub *restrict out, const void *restrict row, size_t sub_idx);
void unpack_q4_1(struct qsub *restrict out, const void *restrict row, size_t sub_idx);
void unpack_q5_0(struct qsub *restrict out, const void *restrict row, size_t sub_idx);
void unpack_q5_1(struct qsub *restrict out, const void *restrict row, size_t sub_idx);
void unpack_q8_0(struct qsub *restrict out, const void *restrict row, size_t sub_idx);
void unpack_iq4_nl(struct qsub *restrict out, const void *restrict row, size_t sub_idx);
void unpack_mxfp4(struct qsub *restrict out, const void *restrict row, size_t sub_idx);
void unpack_nvfp4(struct qsub *restrict out, const void *restrict row, size_t sub_idx);
void unpack_q2_k(struct qsub *restrict out, const void *restrict row, size_t sub_idx);
void unpack_q3_k(struct qsub *restrict out, const void *restrict row, size_t sub_idx);
void unpack_q4_k(struct qsub *restrict out, const void *restrict row, size_t sub_idx);
void unpack_q5_k(struct qsub *restrict out, const void *restrict row, size_t sub_idx);
void unpack_q6_k(struct qsub *restrict out, const void *restrict row, size_t sub_idx);
void unpack_iq4_xs(struct qsub *restrict out, const void *restrict row, size_t sub_idx);

static inline uint16_t quant_u16(const uint8_t b[static 2])
{
    return (uint16_t)(b[0] | b[1] << 8);
}

static inline float quant_half(const uint8_t b[static 2])
{
    return f16_to_f32(quant_u16(b));
}

/* 16 bytes to 32 numbers 0..15, low nibbles first. */
static inline void quant_nibbles(uint8_t u[static 32], const uint8_t q[static 16])
{
    for (size_t i = 0; i < 16; i++) {
        u[i] = q[i] & 15;
        u[i + 16] = q[i] >> 4;
    }
}

/* One scale for all 32 elements and no min. The min is -0, not 0: x + -0.0 is x for every x,
 * whereas -0.0 + 0.0 would lose the sign, and dequantising promises the very float. */
static inline void quant_one_scale(struct qsub *out, float scale, uint8_t offset)
{
    out->offset = offset;
    out->scale[0] = out->scale[1] = scale;
    out->min[0] = out->min[1] = -0.0f;
}

#endif
