/* Writing IQ4_NL and IQ4_XS: sixteen uneven levels, denser around zero, as weights are.
 *
 * For 32 elements some scales are tried that put the largest of them at or near either end of the levels;
 * for each, the nearest levels, and the scale that fits them best in closed form. That scale is tried once
 * more with the levels nearest under it. IQ4_XS then rounds the eight scales of a block to six bits, and
 * takes of each and its two neighbours the one with the smallest error. */
#include <string.h>

#include "quant/quantize.h"
#include "quant/quantize_priv.h"

enum { SUB = 32, N_SUBS = 8, N = SUB * N_SUBS };

/* Halfway between neighbours of quant_iq4_levels. */
static const float MIDDLES[15] = { -115.5f, -93.5f, -74.0f, -57.0f, -42.0f, -28.5f, -16.0f, -4.5f,
                                   7.0f,    19.0f,  31.5f,  45.5f,  61.0f,  79.0f,  101.0f };

static inline uint8_t nearest(float v)
{
    uint8_t n = 0;
    for (size_t i = 0; i < 15; i++)
        n = (uint8_t)(n + (v > MIDDLES[i]));
    return n;
}

/* The scale that fits the levels nearest to x * inv best; *gain: how much of sum w x^2 it explains. */
static float refit(const float *restrict x, const float *restrict w, float inv, float *gain)
{
    float xl[LANES] = { 0 }, ll[LANES] = { 0 };
    for (size_t i = 0; i < SUB; i++) {
        float l = (float)quant_iq4_levels[nearest(x[i] * inv)];
        xl[i % LANES] += w[i] * x[i] * l;
        ll[i % LANES] += w[i] * l * l;
    }
    float sum_xl = lanes_sum(xl), sum_ll = lanes_sum(ll);
    if (!(sum_ll > 0.0f)) {
        *gain = -1.0f;
        return 0.0f;
    }
    *gain = sum_xl * (sum_xl / sum_ll);
    return sum_xl / sum_ll;
}

static float fit(const float *restrict x, const float *restrict w)
{
    float max = signed_max(x, SUB), best = 0.0f, scale = 0.0f, gain;
    if (max < QUANT_TINY && max > -QUANT_TINY)
        return 0.0f;
    for (int end = 0; end < 2; end++) {
        for (int step = -7; step <= 7; step++) {
            float inv = ((float)quant_iq4_levels[end ? 15 : 0] + 1.5f * (float)step) / max;
            float s = refit(x, w, inv, &gain);
            if (gain > best && s != 0.0f) {
                best = gain;
                scale = s;
            }
        }
    }
    if (scale == 0.0f)
        return max / (float)quant_iq4_levels[0];
    float again = refit(x, w, 1.0f / scale, &gain);
    return gain > best ? again : scale;
}

static void put_levels(uint8_t out[static 16], float *row, const struct quant_columns *c, size_t n,
                       size_t at, float scale)
{
    float inv = scale != 0.0f ? 1.0f / scale : 0.0f;
    uint8_t level[SUB];
    for (size_t e = 0; e < SUB; e++) {
        level[e] = nearest(row[at + e] * inv);
        if (carries(c))
            make_up(row, c, n, at + e, scale * (float)quant_iq4_levels[level[e]]);
    }
    for (size_t i = 0; i < 16; i++)
        out[i] = (uint8_t)(level[i] | level[i + 16] << 4);
}

void quantize_iq4_nl(void *restrict y, float *restrict x, const struct quant_columns *c, size_t n)
{
    struct block_iq4_nl *b = y;
    float w[SUB];
    for (size_t at = 0; at < n; at += SUB, b++) {
        weigh(w, x + at, c, at, SUB);
        put_half(b->d, fit(x + at, w));
        put_levels(b->q, x, c, n, at, quant_half(b->d));
    }
}

static float error_of(const float *restrict x, const float *restrict w, float scale)
{
    float e[LANES] = { 0 }, inv = scale != 0.0f ? 1.0f / scale : 0.0f;
    for (size_t i = 0; i < SUB; i++) {
        float d = scale * (float)quant_iq4_levels[nearest(x[i] * inv)] - x[i];
        e[i % LANES] += w[i] * d * d;
    }
    return lanes_sum(e);
}

/* The six-bit scale for 32 elements, near what would be best. */
static int choose_scale(const float *x, const float *w, float d, float wanted)
{
    int near = (int)round_level(d != 0.0f ? wanted / d : 0.0f, -32.0f, 31.0f), found = near;
    float best = error_of(x, w, d * (float)near);
    for (int s = MAX(near - 1, -32); s <= MIN(near + 1, 31); s++) {
        float e = error_of(x, w, d * (float)s);
        if (e < best) {
            best = e;
            found = s;
        }
    }
    return found;
}

void quantize_iq4_xs(void *restrict y, float *restrict x, const struct quant_columns *c, size_t n)
{
    struct block_iq4_xs *b = y;
    float w[SUB], scale[N_SUBS];
    for (size_t block = 0; block < n; block += N, b++) {
        for (size_t j = 0; j < N_SUBS; j++) {
            size_t at = block + SUB * j;
            weigh(w, x + at, c, at, SUB);
            scale[j] = fit(x + at, w);
        }
        put_half(b->d, signed_max(scale, N_SUBS) / -32.0f);
        float d = quant_half(b->d);
        memset(b->scales_high, 0, sizeof(b->scales_high));
        memset(b->scales_low, 0, sizeof(b->scales_low));
        for (size_t j = 0; j < N_SUBS; j++) {
            size_t at = block + SUB * j;
            weigh(w, x + at, c, at, SUB);
            int s = choose_scale(x + at, w, d, scale[j]);
            unsigned u = (unsigned)(s + 32);
            b->scales_low[j / 2] = (uint8_t)(b->scales_low[j / 2] | (u & 15) << 4 * (j % 2));
            b->scales_high[j / 4] = (uint8_t)(b->scales_high[j / 4] | (u >> 4) << 2 * (j % 4));
            put_levels(b->q[j], x, c, n, at, d * (float)s);
        }
    }
}
