/* kernels/ref/matmul.c: activations into integers, and the product of a weight matrix with them. */
#include "base/half.h"
#include "kernels/ref/ref.h"
#include "kernels/ref/vmath.h"

static int8_t quantize_one(float x)
{
    x = x > -127.0f ? x : -127.0f;
    x = x < 127.0f ? x : 127.0f;
    return (int8_t)(int32_t)(vm_bits(x + VM_ROUND) - vm_bits(VM_ROUND));
}

static void quantize_32(int8_t *q, float *d, const float *f)
{
    float amax = 0.0f;
    for (size_t i = 0; i < 32; i++)
        amax = fabsf(f[i]) > amax ? fabsf(f[i]) : amax;

    bool tiny = amax < ACT_TINY;
    float up = tiny ? 0.0f : 127.0f / amax;
    *d = tiny ? 0.0f : amax / 127.0f;
    for (size_t i = 0; i < 32; i++)
        q[i] = quantize_one(f[i] * up);
}

void ref_act_quantize(struct act *x, size_t row0, size_t row1)
{
    for (size_t i = row0 * x->stride; i < row1 * x->stride; i += 32) {
        quantize_32(x->q + i, x->d + i / 32, x->f + i);
        for (size_t h = 0; h < 2; h++) {
            int32_t sum = 0;
            for (size_t j = 0; j < 16; j++)
                sum += x->q[i + 16 * h + j];
            x->isum[i / 16 + h] = (int16_t)sum;
        }
    }
}

/* columns [c0, c1) of one sub-block: the exact integer sum */
static int32_t int_dot(const struct qsub *s, const int8_t *q, size_t c0, size_t c1)
{
    int32_t sum = 0;
    for (size_t c = c0; c < c1; c++)
        sum += (s->u[c] - s->offset) * q[c];
    return sum;
}

static float add_whole(float acc, const struct qsub *s, const int8_t *q, float d,
                       const int16_t *isum, bool has_min)
{
    acc = fmaf(s->scale[0] * d, (float)int_dot(s, q, 0, 32), acc);
    if (has_min)
        acc = fmaf(s->min[0], d * (float)(isum[0] + isum[1]), acc);
    return acc;
}

static float add_halves(float acc, const struct qsub *s, const int8_t *q, float d,
                        const int16_t *isum, bool has_min)
{
    for (size_t h = 0; h < 2; h++) {
        acc = fmaf(s->scale[h] * d, (float)int_dot(s, q, 16 * h, 16 * h + 16), acc);
        if (has_min)
            acc = fmaf(s->min[h], d * (float)isum[h], acc);
    }
    return acc;
}

void ref_matmul_int(float *restrict y, size_t ldy, const struct mat *w, const struct act *x,
                    size_t row0, size_t row1)
{
    const struct qtype_traits *t = qtype_traits(w->type);
    for (size_t r = row0; r < row1; r++) {
        const uint8_t *row = (const uint8_t *)w->data + r * w->row_bytes;
        for (size_t m = 0; m < x->n_rows; m++)
            y[m * ldy + r] = 0.0f;
        for (size_t b = 0; b < w->n_cols / 32; b++) {
            struct qsub s;
            t->unpack(&s, row, b);
            for (size_t m = 0; m < x->n_rows; m++) {
                const int8_t *q = x->q + m * x->stride + 32 * b;
                const int16_t *isum = x->isum + m * (x->stride / 16) + 2 * b;
                float d = x->d[m * (x->stride / 32) + b];
                float *acc = &y[m * ldy + r];
                *acc = t->split_scale ? add_halves(*acc, &s, q, d, isum, t->has_min)
                                      : add_whole(*acc, &s, q, d, isum, t->has_min);
            }
        }
    }
}

/* Weights may lie at any address, also an odd one. */
static float load_f32(const uint8_t *p)
{
    float f;
    memcpy(&f, p, sizeof(f));
    return f;
}

static float load_f16(const uint8_t *p)
{
    return f16_to_f32((uint16_t)(p[0] | p[1] << 8));
}

static float load_bf16(const uint8_t *p)
{
    return vm_float((uint32_t)(p[0] | p[1] << 8) << 16);
}

static void matmul_float(float *restrict y, size_t ldy, const struct mat *w, const struct act *x,
                         size_t row0, size_t row1, float (*load)(const uint8_t *),
                         size_t elem_bytes)
{
    for (size_t r = row0; r < row1; r++) {
        const uint8_t *row = (const uint8_t *)w->data + r * w->row_bytes;
        for (size_t m = 0; m < x->n_rows; m++) {
            const float *f = x->f + m * x->stride;
            struct lanes16 acc = { { 0 } };
            for (size_t c = 0; c < w->n_cols; c++)
                acc.v[c % 16] = fmaf(load(row + c * elem_bytes), f[c], acc.v[c % 16]);
            y[m * ldy + r] = ref_lanes16_fold(&acc);
        }
    }
}

void ref_matmul_f32(float *restrict y, size_t ldy, const struct mat *w, const struct act *x,
                    size_t row0, size_t row1)
{
    matmul_float(y, ldy, w, x, row0, row1, load_f32, 4);
}

void ref_matmul_f16(float *restrict y, size_t ldy, const struct mat *w, const struct act *x,
                    size_t row0, size_t row1)
{
    matmul_float(y, ldy, w, x, row0, row1, load_f16, 2);
}

void ref_matmul_bf16(float *restrict y, size_t ldy, const struct mat *w, const struct act *x,
                     size_t row0, size_t row1)
{
    matmul_float(y, ldy, w, x, row0, row1, load_bf16, 2);
}
