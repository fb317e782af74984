/* Writing the formats with blocks of 32, and the plain float types.
 *
 * Q8_0 takes its scale from the largest element: 8 bits leave nothing to search for. The others
 * minimise the squared error weighted by rms + |x|. The plain one would cut off the largest weights
 * more often, and the model's answers suffer from that (docs/FORMATS.md has the figures). */
#include "quant/quantize.h"

#include <float.h>
#include <string.h>

#include "quant/quantize_priv.h"

enum { N = 32 };

/* ---- floats ---------------------------------------------------------------------------------- */

static void put_u16(uint8_t *out, uint16_t v)
{
    out[0] = (uint8_t)v;
    out[1] = (uint8_t)(v >> 8);
}

void quantize_f32(void *restrict y, float *restrict x, const struct quant_columns *c, size_t n)
{
    (void)c;
    memcpy(y, x, n * sizeof(*x));
}

void quantize_f16(void *restrict y, float *restrict x, const struct quant_columns *c, size_t n)
{
    (void)c;
    uint8_t *out = y;
    for (size_t i = 0; i < n; i++)
        put_u16(out + 2 * i, f32_to_f16(x[i]));
}

void quantize_bf16(void *restrict y, float *restrict x, const struct quant_columns *c, size_t n)
{
    (void)c;
    uint8_t *out = y;
    for (size_t i = 0; i < n; i++)
        put_u16(out + 2 * i, f32_to_bf16(x[i]));
}

/* ---- levels to bits -------------------------------------------------------------------------- */

/* The low four bits of 32 levels, low nibbles first. */
static void put_nibbles(uint8_t q[static 16], const uint8_t level[static N])
{
    for (size_t i = 0; i < 16; i++)
        q[i] = (uint8_t)((level[i] & 15) | (level[i + 16] & 15) << 4);
}

static void put_fifth_bits(uint8_t high[static 4], const uint8_t level[static N])
{
    memset(high, 0, 4);
    for (size_t e = 0; e < N; e++)
        high[e / 8] = (uint8_t)(high[e / 8] | (level[e] >> 4) << (e % 8));
}

/* Levels 0 .. top for x = d level + m; d and m as they are stored. */
static void levels(uint8_t level[static N], float *row, const struct quant_columns *c, size_t n,
                   size_t at, float d, float m, float top)
{
    float inv = d != 0.0f ? 1.0f / d : 0.0f;
    for (size_t e = 0; e < N; e++) {
        float l = round_level(inv * (row[at + e] - m), 0.0f, top);
        level[e] = (uint8_t)l;
        if (carries(c))
            make_up(row, c, n, at + e, d * l + m);
    }
}

/* Levels 0 .. 2 half - 1 for x = d (level - half), d as it is stored. */
static void levels_symmetric(uint8_t level[static N], float *row, const struct quant_columns *c,
                             size_t n, size_t at, float d, float half)
{
    float inv = d != 0.0f ? 1.0f / d : 0.0f;
    for (size_t e = 0; e < N; e++) {
        float l = round_level(inv * row[at + e], -half, half - 1.0f);
        level[e] = (uint8_t)(l + half);
        if (carries(c))
            make_up(row, c, n, at + e, d * l);
    }
}

/* ---- the formats ----------------------------------------------------------------------------- */

void quantize_q8_0(void *restrict y, float *restrict x, const struct quant_columns *c, size_t n)
{
    (void)c;
    struct block_q8_0 *b = y;
    for (size_t i = 0; i < n / N; i++, b++, x += N) {
        float max = signed_max(x, N), d = (max < 0.0f ? -max : max) / 127.0f;
        float inv = d > QUANT_TINY / 127.0f ? 1.0f / d : 0.0f;
        put_half(b->d, d);
        for (size_t e = 0; e < N; e++) {
            float v = x[e] * inv; /* to nearest, halves away from zero */
            b->q[e] = (int8_t)clamp(v < 0.0f ? v - 0.5f : v + 0.5f, -127.0f, 127.0f);
        }
    }
}

/* With so few levels and nothing known about columns, keeping the largest element as it is costs the model
 * less than the smallest error does (docs/QUALITY.md). */
void quantize_q4_0(void *restrict y, float *restrict x, const struct quant_columns *c, size_t n)
{
    struct block_q4_0 *b = y;
    uint8_t level[N];
    float w[N];
    for (size_t at = 0; at < n; at += N, b++) {
        weigh(w, x + at, c, at, N);
        put_half(b->d, c ? fit_symmetric(x + at, w, N, -8.0f) : signed_max(x + at, N) / -8.0f);
        levels_symmetric(level, x, c, n, at, quant_half(b->d), 8.0f);
        put_nibbles(b->q, level);
    }
}

void quantize_q5_0(void *restrict y, float *restrict x, const struct quant_columns *c, size_t n)
{
    struct block_q5_0 *b = y;
    uint8_t level[N];
    float w[N];
    for (size_t at = 0; at < n; at += N, b++) {
        weigh(w, x + at, c, at, N);
        put_half(b->d, fit_symmetric(x + at, w, N, -16.0f));
        levels_symmetric(level, x, c, n, at, quant_half(b->d), 16.0f);
        put_nibbles(b->q, level);
        put_fifth_bits(b->high, level);
    }
}

void quantize_q4_1(void *restrict y, float *restrict x, const struct quant_columns *c, size_t n)
{
    static const struct affine_search HOW = { .top = 15.0f, .first = -1.0f, .n_steps = 21 };
    struct block_q4_1 *b = y;
    uint8_t level[N];
    float w[N];
    for (size_t at = 0; at < n; at += N, b++) {
        weigh(w, x + at, c, at, N);
        struct affine a = fit_affine(x + at, w, N, HOW);
        put_half(b->d, a.scale);
        put_half(b->m, a.min);
        levels(level, x, c, n, at, quant_half(b->d), quant_half(b->m), 15.0f);
        put_nibbles(b->q, level);
    }
}

void quantize_q5_1(void *restrict y, float *restrict x, const struct quant_columns *c, size_t n)
{
    static const struct affine_search HOW = { .top = 31.0f, .first = -1.0f, .n_steps = 21 };
    struct block_q5_1 *b = y;
    uint8_t level[N];
    float w[N];
    for (size_t at = 0; at < n; at += N, b++) {
        weigh(w, x + at, c, at, N);
        struct affine a = fit_affine(x + at, w, N, HOW);
        put_half(b->d, a.scale);
        put_half(b->m, a.min);
        levels(level, x, c, n, at, quant_half(b->d), quant_half(b->m), 31.0f);
        put_nibbles(b->q, level);
        put_fifth_bits(b->high, level);
    }
}

/* ---- the table ------------------------------------------------------------------------------- */

quantize_fn quantize_of(enum qtype type)
{
    static const quantize_fn FNS[QT_COUNT] = {
        [QT_F32] = quantize_f32,       [QT_F16] = quantize_f16,   [QT_BF16] = quantize_bf16,
        [QT_Q4_0] = quantize_q4_0,     [QT_Q4_1] = quantize_q4_1, [QT_Q5_0] = quantize_q5_0,
        [QT_Q5_1] = quantize_q5_1,     [QT_Q8_0] = quantize_q8_0, [QT_Q4_K] = quantize_q4_k,
        [QT_Q5_K] = quantize_q5_k,     [QT_Q6_K] = quantize_q6_k, [QT_IQ4_NL] = quantize_iq4_nl,
        [QT_IQ4_XS] = quantize_iq4_xs,
    };
    return (unsigned)type < QT_COUNT ? FNS[type] : NULL;
}

float quantize_max(enum qtype type)
{
    if (type == QT_F32)
        return FLT_MAX;
    return type == QT_BF16 ? 0x1.FEp127f : 65504.0f;
}

size_t quantize_check(enum qtype type, const float *x, size_t n)
{
    float max = quantize_max(type);
    for (size_t i = 0; i < n; i++) {
        if (!(x[i] <= max && x[i] >= -max))
            return i;
    }
    return n;
}
