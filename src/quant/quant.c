/* The table of block formats, and dequantising through it.
 *
 * There is one description of each format: its unpack function. Dequantising evaluates
 * scale * (u - offset) + min from it, in float, product first; every product is exact, so there is
 * at most one rounding (the addition of a min) and the order cannot matter. */
#include "quant/quant_priv.h"

#include <string.h>

#include "base/size.h"

static inline void dequant_subs(float *restrict y, const void *restrict x, size_t n,
                                unpack_fn unpack)
{
    struct qsub s;
    for (size_t i = 0; i < n / 32; i++, y += 32) {
        unpack(&s, x, i);
        for (size_t e = 0; e < 32; e++)
            y[e] = s.scale[e / 16] * (float)(s.u[e] - s.offset) + s.min[e / 16];
    }
}

/* A function of its own for each format, so that the table can point to it. */
#define DEQUANT(fmt)                                                                               \
    static void dequant_##fmt(float *restrict y, const void *restrict x, size_t n)                 \
    {                                                                                              \
        dequant_subs(y, x, n, unpack_##fmt);                                                       \
    }

DEQUANT(q4_0)
DEQUANT(q4_1)
DEQUANT(q5_0)
DEQUANT(q5_1)
DEQUANT(q8_0)
DEQUANT(iq4_nl)
DEQUANT(mxfp4)
DEQUANT(nvfp4)
DEQUANT(q2_k)
DEQUANT(q3_k)
DEQUANT(q4_k)
DEQUANT(q5_k)
DEQUANT(q6_k)
DEQUANT(iq4_xs)

static void dequant_f32(float *restrict y, const void *restrict x, size_t n)
{
    memcpy(y, x, n * sizeof(*y));
}

static void dequant_f16(float *restrict y, const void *restrict x, size_t n)
{
    const uint8_t *p = x;
    for (size_t i = 0; i < n; i++)
        y[i] = f16_to_f32(quant_u16(p + 2 * i));
}

static void dequant_bf16(float *restrict y, const void *restrict x, size_t n)
{
    const uint8_t *p = x;
    for (size_t i = 0; i < n; i++)
        y[i] = bf16_to_f32(quant_u16(p + 2 * i));
}

static const struct qtype_traits traits[QT_COUNT] = {
    /*          name  len bytes float  min    split  */
    [QT_F32] = { "F32", 1, 4, true, false, false, dequant_f32, NULL },
    [QT_F16] = { "F16", 1, 2, true, false, false, dequant_f16, NULL },
    [QT_BF16] = { "BF16", 1, 2, true, false, false, dequant_bf16, NULL },
    [QT_Q4_0] = { "Q4_0", 32, 18, false, false, false, dequant_q4_0, unpack_q4_0 },
    [QT_Q4_1] = { "Q4_1", 32, 20, false, true, false, dequant_q4_1, unpack_q4_1 },
    [QT_Q5_0] = { "Q5_0", 32, 22, false, false, false, dequant_q5_0, unpack_q5_0 },
    [QT_Q5_1] = { "Q5_1", 32, 24, false, true, false, dequant_q5_1, unpack_q5_1 },
    [QT_Q8_0] = { "Q8_0", 32, 34, false, false, false, dequant_q8_0, unpack_q8_0 },
    [QT_Q2_K] = { "Q2_K", 256, 84, false, true, true, dequant_q2_k, unpack_q2_k },
    [QT_Q3_K] = { "Q3_K", 256, 110, false, false, true, dequant_q3_k, unpack_q3_k },
    [QT_Q4_K] = { "Q4_K", 256, 144, false, true, false, dequant_q4_k, unpack_q4_k },
    [QT_Q5_K] = { "Q5_K", 256, 176, false, true, false, dequant_q5_k, unpack_q5_k },
    [QT_Q6_K] = { "Q6_K", 256, 210, false, false, true, dequant_q6_k, unpack_q6_k },
    [QT_IQ4_NL] = { "IQ4_NL", 32, 18, false, false, false, dequant_iq4_nl, unpack_iq4_nl },
    [QT_IQ4_XS] = { "IQ4_XS", 256, 136, false, false, false, dequant_iq4_xs, unpack_iq4_xs },
    [QT_MXFP4] = { "MXFP4", 32, 17, false, false, false, dequant_mxfp4, unpack_mxfp4 },
    [QT_NVFP4] = { "NVFP4", 64, 36, false, false, true, dequant_nvfp4, unpack_nvfp4 },
};

const struct qtype_traits *qtype_traits(enum qtype type)
{
    if ((unsigned)type >= QT_COUNT || !traits[type].name)
        return NULL;
    return &traits[type];
}

bool qtype_from_name(enum qtype *out, const char *name)
{
    for (int i = 0; i < QT_COUNT; i++) {
        if (traits[i].name && strcmp(traits[i].name, name) == 0) {
            *out = (enum qtype)i;
            return true;
        }
    }
    return false;
}

bool qtype_row_bytes(size_t *out, enum qtype type, size_t n_elems)
{
    const struct qtype_traits *t = qtype_traits(type);
    if (!t || n_elems % t->block_len)
        return false;
    return size_mul(out, n_elems / t->block_len, t->block_bytes);
}
