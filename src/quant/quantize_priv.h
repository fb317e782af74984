/* Finding scales, shared by the files that write blocks.
 *
 * Two questions, for a group of n numbers x with weights w (n a multiple of 16):
 *   fit_symmetric  scale s and levels l in lo..-lo-1 with   sum w (x - s l)^2        small
 *   fit_affine     scale s, min m, levels 0..top with       sum w (x - s l - m)^2    small
 * Both try a few ways to round, and for each take the best s (and m) in closed form: the error is a
 * quadratic in them. Sums are taken in eight lanes that are folded in one fixed order, so that the
 * compiler may use vectors and every machine gets the same bits. */
#ifndef QUANT_QUANTIZE_PRIV_H
#define QUANT_QUANTIZE_PRIV_H

#include "base/size.h"
#include "quant/quant_priv.h"
#include "quant/quantize.h"

enum { LANES = 8 };

/* Below this no half-precision scale is left; dividing by it is still harmless. */
#define QUANT_TINY 1e-9f

static inline float lanes_sum(const float a[static LANES])
{
    return ((a[0] + a[4]) + (a[2] + a[6])) + ((a[1] + a[5]) + (a[3] + a[7]));
}

/* To the nearest whole number, ties to even; |v| < 2^22. */
static inline float round_near(float v)
{
    return (v + 0x1.8p23f) - 0x1.8p23f;
}

static inline float clamp(float v, float lo, float hi)
{
    v = v > lo ? v : lo; /* what is no number becomes lo: no cast of it may follow */
    return v < hi ? v : hi;
}

static inline float round_level(float v, float lo, float hi)
{
    return round_near(clamp(v, lo, hi));
}

/* As half precision, never infinite. */
static inline void put_half(uint8_t out[static 2], float v)
{
    uint16_t h = f32_to_f16(clamp(v, -65504.0f, 65504.0f));
    out[0] = (uint8_t)h;
    out[1] = (uint8_t)(h >> 8);
}

/* The element of largest magnitude, with its sign. */
static inline float signed_max(const float *x, size_t n)
{
    float max = 0.0f, mag = 0.0f;
    for (size_t i = 0; i < n; i++) {
        float a = x[i] < 0.0f ? -x[i] : x[i];
        if (a > mag) {
            mag = a;
            max = x[i];
        }
    }
    return max;
}

/* What an error in each of n elements (a multiple of LANES) costs, elements 'at' on of a row. Large weights matter more
 * than their number says; what is known about columns says how large what they are multiplied with is. Where errors
 * are made up for, that alone counts. */
static inline void weigh(float *restrict w, const float *restrict x, const struct quant_columns *c,
                         size_t at, size_t n)
{
    float s[LANES] = { 0 };
    for (size_t i = 0; i < n; i++)
        s[i % LANES] += x[i] * x[i];
    float mean = lanes_sum(s) / (float)n, rms = __builtin_sqrtf(mean);
    for (size_t i = 0; i < n; i++) {
        if (!c)
            w[i] = rms + (x[i] < 0.0f ? -x[i] : x[i]);
        else if (c->carry)
            w[i] = c->weight[at + i];
        else
            w[i] = c->weight[at + i] * __builtin_sqrtf(2.0f * mean + x[i] * x[i]);
    }
}

/* Element i of a row of n is stored as 'stored': the columns behind it make up for the error. */
static inline void make_up(float *restrict x, const struct quant_columns *restrict c, size_t n,
                           size_t i, float stored)
{
    size_t place = i % c->block, first = i - place, len = MIN(c->block, n - first);
    const float *restrict carry = c->carry + i * c->block;
    float error = x[i] - stored, *restrict at = x + first;
    for (size_t l = place + 1; l < len; l++)
        at[l] += error * carry[l];
}

static inline bool carries(const struct quant_columns *c)
{
    return c && c->carry;
}

/* The scale; 0 when all of x is as good as zero. lo is -8, -16 or -32: the level with the larger
 * range goes to the largest element, whatever its sign. */
static inline float fit_symmetric(const float *restrict x, const float *restrict w, size_t n,
                                  float lo)
{
    float max = signed_max(x, n), best = 0.0f, scale = 0.0f;
    if (max < QUANT_TINY && max > -QUANT_TINY)
        return 0.0f;
    for (int step = -9; step <= 9; step++) {
        float inv = (lo + 0.1f * (float)step) / max;
        float xl[LANES] = { 0 }, ll[LANES] = { 0 };
        for (size_t i = 0; i < n; i += LANES) {
            for (size_t k = 0; k < LANES; k++) {
                float l = round_level(inv * x[i + k], lo, -lo - 1.0f);
                xl[k] += w[i + k] * x[i + k] * l;
                ll[k] += w[i + k] * l * l;
            }
        }
        float sum_xl = lanes_sum(xl), sum_ll = lanes_sum(ll);
        if (sum_ll > 0.0f && sum_xl * (sum_xl / sum_ll) > best) {
            scale = sum_xl / sum_ll;
            best = sum_xl * scale; /* how much of sum w x^2 is explained */
        }
    }
    return scale != 0.0f ? scale : max / lo;
}

struct affine {
    float scale; /* >= 0 */
    float min;
};

/* The ways to round: (top + first + 0.1 step) / range for n_steps steps. */
struct affine_search {
    float top, first;
    int n_steps;
    bool min_negative; /* the format stores -min without a sign */
};

static inline struct affine fit_affine(const float *restrict x, const float *restrict w, size_t n,
                                       struct affine_search how)
{
    float min = x[0], max = x[0], sw[LANES] = { 0 }, sx[LANES] = { 0 };
    for (size_t i = 0; i < n; i++) {
        min = x[i] < min ? x[i] : min;
        max = x[i] > max ? x[i] : max;
        sw[i % LANES] += w[i];
        sx[i % LANES] += w[i] * x[i];
    }
    if (how.min_negative && min > 0.0f)
        min = 0.0f;
    if (max - min < QUANT_TINY)
        return (struct affine){ 0.0f, min };
    float sum_w = lanes_sum(sw), sum_x = lanes_sum(sx), best = 0.0f;
    struct affine found = { (max - min) / how.top, min };
    for (int step = -1; step < how.n_steps; step++) {
        /* The first way is the plain one, which something later must beat. */
        float inv = (step < 0 ? how.top : how.top + how.first + 0.1f * (float)step) / (max - min);
        float al[LANES] = { 0 }, all[LANES] = { 0 }, axl[LANES] = { 0 };
        float level[256];
        for (size_t i = 0; i < n; i += LANES) {
            for (size_t k = 0; k < LANES; k++) {
                float l = round_level(inv * (x[i + k] - min), 0.0f, how.top);
                level[i + k] = l;
                al[k] += w[i + k] * l;
                all[k] += w[i + k] * l * l;
                axl[k] += w[i + k] * l * x[i + k];
            }
        }
        float l1 = lanes_sum(al), l2 = lanes_sum(all), xl = lanes_sum(axl);
        float det = sum_w * l2 - l1 * l1;
        struct affine a = found;
        if (step < 0) {
            a = (struct affine){ 1.0f / inv, min };
        } else if (det > 0.0f) {
            a.scale = (sum_w * xl - sum_x * l1) / det;
            a.min = (l2 * sum_x - l1 * xl) / det;
            if (how.min_negative && a.min > 0.0f)
                a = (struct affine){ xl / l2, 0.0f };
        } else {
            continue;
        }
        float e[LANES] = { 0 };
        for (size_t i = 0; i < n; i += LANES) {
            for (size_t k = 0; k < LANES; k++) {
                float d = a.scale * level[i + k] + a.min - x[i + k];
                e[k] += w[i + k] * d * d;
            }
        }
        float err = lanes_sum(e);
        if (a.scale >= 0.0f && (step < 0 || err < best)) {
            best = err;
            found = a;
        }
    }
    return found;
}

#endif
