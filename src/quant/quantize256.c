/* Writing the formats with blocks of 256 and two levels of scales.
 *
 * Q4_K and Q5_K, in five steps: a scale and a min for each 32 elements alone; the 6-bit numbers
 * that stand for them; for each 32 elements the pair among the neighbours of that pair that fits
 * best once the rounding of d and dmin is known; the best d and dmin for what was then chosen; and
 * the levels, always with the numbers as they are stored. Errors are weighted by rms + |x|, since
 * large weights matter more than their number says.
 *
 * Q6_K: a scale for each 16 elements with weights x^2, or those of the columns, then 8-bit numbers for the scales. */
#include <string.h>

#include "quant/quantize.h"
#include "quant/quantize_priv.h"

enum { N = 256, SUB = 32, N_SUBS = N / SUB, GROUP = 16, N_GROUPS = N / GROUP };

/* ---- Q4_K and Q5_K --------------------------------------------------------------------------- */

struct k_block {
    const float *x; /* [N] */
    float w[N];
    float top;             /* largest level: 15 or 31     */
    float d, dmin;         /* as they are stored          */
    uint8_t scale[N_SUBS]; /* 6 bits                      */
    uint8_t min[N_SUBS];   /* 6 bits                      */
    uint8_t level[N];
};

/* The level of v = x + the min, and with it the weighted error of 32 elements. */
static inline float sub_error(const float *restrict x, const float *restrict w, float scale,
                              float min, float top)
{
    float inv = scale > 0.0f ? 1.0f / scale : 0.0f, e[LANES] = { 0 };
    for (size_t i = 0; i < SUB; i += LANES) {
        for (size_t k = 0; k < LANES; k++) {
            float l = round_level(inv * (x[i + k] + min), 0.0f, top);
            float d = scale * l - min - x[i + k];
            e[k] += w[i + k] * d * d;
        }
    }
    return lanes_sum(e);
}

static float block_error(const struct k_block *b)
{
    float sum = 0.0f;
    for (size_t j = 0; j < N_SUBS; j++)
        sum += sub_error(b->x + SUB * j, b->w + SUB * j, b->d * b->scale[j], b->dmin * b->min[j],
                         b->top);
    return sum;
}

static float stored_half(float v)
{
    return f16_to_f32(f32_to_f16(clamp(v, 0.0f, 65504.0f)));
}

/* Among the pairs one step away, the one with the smallest error. */
static void choose_pair(struct k_block *b, size_t j)
{
    const float *x = b->x + SUB * j, *w = b->w + SUB * j;
    int scale0 = b->scale[j], min0 = b->min[j];
    float best = sub_error(x, w, b->d * b->scale[j], b->dmin * b->min[j], b->top);
    for (int s = MAX(scale0 - 1, 0); s <= MIN(scale0 + 1, 63); s++) {
        for (int m = MAX(min0 - 1, 0); m <= MIN(min0 + 1, 63); m++) {
            float e = sub_error(x, w, b->d * (float)s, b->dmin * (float)m, b->top);
            if (e < best) {
                best = e;
                b->scale[j] = (uint8_t)s;
                b->min[j] = (uint8_t)m;
            }
        }
    }
}

static void set_levels(struct k_block *b)
{
    for (size_t j = 0; j < N_SUBS; j++) {
        float scale = b->d * b->scale[j], min = b->dmin * b->min[j];
        float inv = scale > 0.0f ? 1.0f / scale : 0.0f;
        for (size_t i = SUB * j; i < SUB * (j + 1); i++)
            b->level[i] = (uint8_t)round_level(inv * (b->x[i] + min), 0.0f, b->top);
    }
}

/* d and dmin that fit best with scales, mins and levels as they are: two linear equations. Kept
 * only when the error is smaller with both rounded and the levels chosen anew. */
static void refit(struct k_block *b)
{
    float aa = 0.0f, ab = 0.0f, bb = 0.0f, xa = 0.0f, xb = 0.0f;
    for (size_t j = 0; j < N_SUBS; j++) {
        float laa[LANES] = { 0 }, lab[LANES] = { 0 }, lbb[LANES] = { 0 }, lxa[LANES] = { 0 },
              lxb[LANES] = { 0 };
        for (size_t i = 0; i < SUB; i++) {
            size_t k = i % LANES, e = SUB * j + i;
            float p = (float)(b->scale[j] * b->level[e]), q = b->min[j], w = b->w[e], x = b->x[e];
            laa[k] += w * p * p;
            lab[k] += w * p * q;
            lbb[k] += w * q * q;
            lxa[k] += w * x * p;
            lxb[k] += w * x * q;
        }
        aa += lanes_sum(laa);
        ab += lanes_sum(lab);
        bb += lanes_sum(lbb);
        xa += lanes_sum(lxa);
        xb += lanes_sum(lxb);
    }
    float det = aa * bb - ab * ab;
    struct k_block other = *b;
    if (bb == 0.0f && aa > 0.0f) {
        other.d = stored_half(xa / aa);
    } else if (det > 0.0f) {
        other.d = stored_half((xa * bb - xb * ab) / det);
        other.dmin = stored_half((xa * ab - xb * aa) / det);
    }
    if (block_error(&other) < block_error(b)) {
        b->d = other.d;
        b->dmin = other.dmin;
        set_levels(b);
    }
}

/* The levels one after the other, each error made up for by what follows. Each 32 elements choose their pair
 * anew, since they have moved. */
static void settle(struct k_block *b, float *row, const struct quant_columns *c, size_t n,
                   size_t at)
{
    for (size_t j = 0; j < N_SUBS; j++) {
        weigh(b->w + SUB * j, b->x + SUB * j, c, at + SUB * j, SUB);
        choose_pair(b, j);
        float scale = b->d * b->scale[j], min = b->dmin * b->min[j];
        float inv = scale > 0.0f ? 1.0f / scale : 0.0f;
        for (size_t i = SUB * j; i < SUB * (j + 1); i++) {
            float l = round_level(inv * (b->x[i] + min), 0.0f, b->top);
            b->level[i] = (uint8_t)l;
            make_up(row, c, n, at + i, scale * l - min);
        }
    }
}

static void k_block_fit(struct k_block *b, float *row, const struct quant_columns *c, size_t n,
                        size_t at, struct affine_search how)
{
    const float *x = row + at;
    struct affine a[N_SUBS];
    float max_scale = 0.0f, max_min = 0.0f;
    b->x = x;
    b->top = how.top;
    for (size_t j = 0; j < N_SUBS; j++) {
        weigh(b->w + SUB * j, x + SUB * j, c, at + SUB * j, SUB);
        a[j] = fit_affine(x + SUB * j, b->w + SUB * j, SUB, how);
        max_scale = MAX(max_scale, a[j].scale);
        max_min = MAX(max_min, -a[j].min);
    }
    float inv_scale = max_scale > 0.0f ? 63.0f / max_scale : 0.0f;
    float inv_min = max_min > 0.0f ? 63.0f / max_min : 0.0f;
    for (size_t j = 0; j < N_SUBS; j++) {
        b->scale[j] = (uint8_t)round_level(inv_scale * a[j].scale, 0.0f, 63.0f);
        b->min[j] = (uint8_t)round_level(inv_min * -a[j].min, 0.0f, 63.0f);
    }
    b->d = stored_half(max_scale / 63.0f);
    b->dmin = stored_half(max_min / 63.0f);
    for (size_t j = 0; j < N_SUBS; j++)
        choose_pair(b, j);
    set_levels(b);
    refit(b);
    if (carries(c))
        settle(b, row, c, n, at);
}

/* Eight 6-bit scales and mins in 12 bytes: the first four of each whole, with the upper two bits of
 * the last four above them; the lower four bits of those in the last four bytes. */
static void put_scales(uint8_t out[static 12], const struct k_block *b)
{
    for (size_t j = 0; j < 4; j++) {
        out[j] = (uint8_t)(b->scale[j] | (b->scale[j + 4] >> 4) << 6);
        out[j + 4] = (uint8_t)(b->min[j] | (b->min[j + 4] >> 4) << 6);
        out[j + 8] = (uint8_t)((b->scale[j + 4] & 15) | (b->min[j + 4] & 15) << 4);
    }
}

static void put_nibbles(uint8_t q[4][SUB], const uint8_t level[static N])
{
    for (size_t g = 0; g < 4; g++) {
        for (size_t l = 0; l < SUB; l++)
            q[g][l] = (uint8_t)((level[64 * g + l] & 15) | (level[64 * g + SUB + l] & 15) << 4);
    }
}

void quantize_q4_k(void *restrict y, float *restrict x, const struct quant_columns *c, size_t n)
{
    static const struct affine_search HOW = {
        .top = 15.0f, .first = -1.0f, .n_steps = 21, .min_negative = true
    };
    struct block_q4_k *out = y;
    struct k_block b;
    for (size_t at = 0; at < n; at += N, out++) {
        k_block_fit(&b, x, c, n, at, HOW);
        put_half(out->d, b.d);
        put_half(out->dmin, b.dmin);
        put_scales(out->scales, &b);
        put_nibbles(out->q, b.level);
    }
}

void quantize_q5_k(void *restrict y, float *restrict x, const struct quant_columns *c, size_t n)
{
    static const struct affine_search HOW = {
        .top = 31.0f, .first = -0.5f, .n_steps = 16, .min_negative = true
    };
    struct block_q5_k *out = y;
    struct k_block b;
    for (size_t at = 0; at < n; at += N, out++) {
        k_block_fit(&b, x, c, n, at, HOW);
        put_half(out->d, b.d);
        put_half(out->dmin, b.dmin);
        put_scales(out->scales, &b);
        put_nibbles(out->q, b.level);
        memset(out->high, 0, sizeof(out->high));
        for (size_t e = 0; e < N; e++)
            out->high[e % SUB] = (uint8_t)(out->high[e % SUB] | (b.level[e] >> 4) << (e / SUB));
    }
}

/* ---- Q6_K ------------------------------------------------------------------------------------ */

static void put_six_bits(struct block_q6_k *out, const uint8_t level[static N])
{
    memset(out->low, 0, sizeof(out->low));
    memset(out->high, 0, sizeof(out->high));
    for (size_t e = 0; e < N; e++) {
        size_t h = e / 128, k = e / 32 % 4, l = e % 32;
        uint8_t *low = &out->low[h][32 * (k & 1) + l], *high = &out->high[h][l];
        *low = (uint8_t)(*low | (level[e] & 15) << (4 * (k / 2)));
        *high = (uint8_t)(*high | (level[e] >> 4) << (2 * k));
    }
}

/* Six bits lose so little that no weight needs more care than its column says. */
static void weigh_squares(float *restrict w, const float *restrict x, const float *q)
{
    for (size_t e = 0; e < GROUP; e++)
        w[e] = q ? q[e] : x[e] * x[e];
}

void quantize_q6_k(void *restrict y, float *restrict x, const struct quant_columns *c, size_t n)
{
    struct block_q6_k *out = y;
    float scale[N_GROUPS], w[GROUP];
    uint8_t level[N];
    for (size_t at = 0; at < n; at += N, out++) {
        for (size_t j = 0; j < N_GROUPS; j++) {
            weigh_squares(w, x + at + GROUP * j, c ? c->weight + at + GROUP * j : NULL);
            scale[j] = fit_symmetric(x + at + GROUP * j, w, GROUP, -32.0f);
        }
        float max = signed_max(scale, N_GROUPS), inv = max != 0.0f ? -128.0f / max : 0.0f;
        put_half(out->d, max / -128.0f);
        float d = quant_half(out->d);
        for (size_t j = 0; j < N_GROUPS; j++) {
            out->scales[j] = (int8_t)round_level(inv * scale[j], -128.0f, 127.0f);
            float s = d * out->scales[j], back = s != 0.0f ? 1.0f / s : 0.0f;
            for (size_t e = GROUP * j; e < GROUP * (j + 1); e++) {
                float l = round_level(back * x[at + e], -32.0f, 31.0f);
                level[e] = (uint8_t)(l + 32.0f);
                if (carries(c))
                    make_up(x, c, n, at + e, s * l);
            }
        }
        put_six_bits(out, level);
    }
}
