/* kernels/matmul_panel_template.h: weights in integer blocks, taken apart for
 * matmul_int_template.h, for any vector width.
 *
 * A panel is V_ROWS rows by at most 768 columns, as 'struct sub's, one for 32 columns. u[c] holds
 * columns 4c to 4c + 3 of every row, one row per 32-bit element; scale and min are floats. The
 * reading goes 16 bytes a row at a time with a 4 x 4 transposition of 32-bit words inside each
 * 128-bit lane: a word of the file becomes a vector with that word of every row. Fields of the block
 * (scales, high bits) come the same way, so a format is a dozen lines. */
#ifndef KERNELS_MATMUL_PANEL_TEMPLATE_H
#define KERNELS_MATMUL_PANEL_TEMPLATE_H

#include "kernels/words.h"

struct sub {
    vi u[8];
    vf scale[2];
    vf min[2];
};

enum {
    CHUNK_SUBS = 24, /* sub-blocks in a panel: at most 18 KiB, which the first cache holds */
    TILE_MAX = V_TILE > V_WIDE ? V_TILE : V_WIDE,
    PREFETCH_TO_L2 = 2, /* __builtin_prefetch's word for it */
};

/* ---- reading ------------------------------------------------------------------------------ */

/* A block of each of V_ROWS rows. 'ahead' is what will be wanted when these rows are done: the rows
 * themselves are read side by side, in jumps that no processor foresees, so the next ones are asked
 * for meanwhile, in the order of memory. It may lie past the end of everything; 0: nothing. */
struct source {
    const uint8_t *p;
    size_t stride;
    uintptr_t ahead;
};

/* words_at() the block's byte 'at', and the same share of what comes next */
static inline struct words words_of(struct source s, size_t at)
{
    for (size_t i = 0; s.ahead && i < 16 * V_ROWS; i += 64)
        __builtin_prefetch((const void *)(s.ahead + at * V_ROWS + i), 0, PREFETCH_TO_L2);
    return words_at(s.p + at, s.stride);
}

/* 16 bytes of nibbles: the low ones are columns 0 to 15, the high ones 16 to 31 */
static inline void nibbles(vi u[8], struct words q)
{
    const vi mask = v_set32(0x0f0f0f0f);
    for (size_t i = 0; i < 4; i++) {
        u[i] = v_and(q.w[i], mask);
        u[i + 4] = v_and(v_shr(q.w[i], 4), mask);
    }
}

/* bit e of 'high' is worth 16 in column e */
static inline void fifth_bits(vi u[8], vi high)
{
    const vi value = v_set32(0x10101010);
    for (unsigned byte = 0; byte < 4; byte++) {
        vi x = v_byte_x4(high, byte);
        u[2 * byte] = v_add_where(u[2 * byte], x, v_set32(0x08040201), value);
        u[2 * byte + 1] = v_add_where(u[2 * byte + 1], x, v_set32(0x80402010), value);
    }
}

/* 8-bit weights as v_dot wants them */
static inline vi eight_bits(vi signed_bytes)
{
    return V_SIGNED ? signed_bytes : v_xor(signed_bytes, v_set32(0x80808080));
}

/* byte 'idx' of 0..3 of each element, without and with sign */
static inline vi byte_of(vi x, unsigned idx)
{
    return idx == 3 ? v_shr(x, 24) : v_and(v_shr(x, 8 * idx), v_set32(0xff));
}

static inline vi signed_byte_of(vi x, unsigned idx)
{
    return v_sar(v_shl(x, 24 - 8 * idx), 24);
}

static inline vf negated(vf x)
{
    return v_from_bits(v_xor(v_bits(x), v_set32(0x80000000)));
}

/* ---- the formats: one block of V_ROWS rows to its sub-blocks -------------------------------- */

static inline void scales_half(struct sub *s, struct source p)
{
    s->scale[0] = v_half_lo(words_of(p, 0).w[0]);
}

static inline void scales_two_halves(struct sub *s, struct source p)
{
    vi head = words_of(p, 0).w[0];
    s->scale[0] = v_half_lo(head);
    s->min[0] = v_half_hi(head);
}

static inline void take_q4_0(struct sub *s, struct source p)
{
    nibbles(s->u, words_of(p, 2));
    scales_half(s, p);
}

static inline void take_q4_1(struct sub *s, struct source p)
{
    struct words head = words_of(p, 0), last = words_of(p, 4);
    nibbles(s->u, (struct words){ { head.w[1], head.w[2], head.w[3], last.w[3] } });
    s->scale[0] = v_half_lo(head.w[0]);
    s->min[0] = v_half_hi(head.w[0]);
}

static inline void take_q5_0(struct sub *s, struct source p)
{
    struct words head = words_of(p, 0);
    nibbles(s->u, words_of(p, 6));
    fifth_bits(s->u, v_or(v_shr(head.w[0], 16), v_shl(head.w[1], 16)));
    s->scale[0] = v_half_lo(head.w[0]);
}

static inline void take_q5_1(struct sub *s, struct source p)
{
    struct words head = words_of(p, 0);
    nibbles(s->u, words_of(p, 8));
    fifth_bits(s->u, head.w[1]);
    s->scale[0] = v_half_lo(head.w[0]);
    s->min[0] = v_half_hi(head.w[0]);
}

static inline void take_q8_0(struct sub *s, struct source p)
{
    for (size_t half = 0; half < 2; half++) {
        struct words q = words_of(p, 2 + 16 * half);
        for (size_t i = 0; i < 4; i++)
            s->u[4 * half + i] = eight_bits(q.w[i]);
    }
    scales_half(s, p);
}

static const uint8_t iq4_levels[16] = { 129, 152, 173, 191, 207, 221, 234, 246,
                                        1,   13,  25,  38,  53,  69,  89,  113 }; /* as int8 */

static inline void take_iq4_nl(struct sub *s, struct source p)
{
    nibbles(s->u, words_of(p, 2));
    for (size_t i = 0; i < 8; i++)
        s->u[i] = eight_bits(v_lookup(iq4_levels, s->u[i]));
    scales_half(s, p);
}

static const uint8_t fp4_levels[16] = {
    12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0
}; /* 12 + the level */

/* the scale 2^(e - 128) may be subnormal: as a product of two floats in the middle of the range */
static inline void scales_mxfp4(struct sub *s, struct source p)
{
    vi e = byte_of(words_of(p, 0).w[0], 0);
    vi e1 = v_shr(e, 1), e2 = v_sub32(e, e1);
    s->scale[0] = v_mul(v_from_bits(v_shl(v_add32(e1, v_set32(64)), 23)),
                        v_from_bits(v_shl(v_add32(e2, v_set32(62)), 23)));
}

static inline void take_mxfp4(struct sub *s, struct source p)
{
    nibbles(s->u, words_of(p, 1));
    for (size_t i = 0; i < 8; i++)
        s->u[i] = v_lookup(fp4_levels, s->u[i]);
    scales_mxfp4(s, p);
}

/* Half of an 8-bit float without sign: its exponent and mantissa in the places of a float's, times
 * 2^119. That is right for its subnormals too. 127 is no number and means 0. */
static inline vf e4m3_half(vi x)
{
    vf y = v_mul(v_from_bits(v_shl(v_and(x, v_set32(0x7f)), 20)), v_set(0x1p119f));
    vi is_127 = v_sub32(v_xor(x, v_set32(127)), v_set32(1)); /* negative if so */
    return v_select_negative(v_from_int(is_127), v_set(0.0f), y);
}

static inline void scales_nvfp4(struct sub *s, struct source p)
{
    vi scales = words_of(p, 0).w[0];
    for (unsigned group = 0; group < 4; group++)
        s[group / 2].scale[group % 2] = e4m3_half(byte_of(scales, group));
}

/* Four groups of 16 columns: 8 bytes each, low nibbles first, and a scale each. */
static inline void take_nvfp4(struct sub *s, struct source p)
{
    for (unsigned group = 0; group < 4; group++) {
        struct words q = words_of(p, 4 + 16 * (group / 2));
        vi *u = &s[group / 2].u[4 * (group % 2)], mask = v_set32(0x0f0f0f0f);
        for (size_t i = 0; i < 2; i++) {
            vi w = q.w[2 * (group % 2) + i];
            u[i] = v_lookup(fp4_levels, v_and(w, mask));
            u[i + 2] = v_lookup(fp4_levels, v_and(v_shr(w, 4), mask));
        }
    }
    scales_nvfp4(s, p);
}

/* The scales and mins of Q4_K and Q5_K: see quant/blocks256.c for the packing of their 6 bits. Four
 * of each are put together at a time, as the bytes of a word. */
static inline void scales_k4(struct sub *s, struct source p)
{
    const vi low4 = v_set32(0x0f0f0f0f), low6 = v_set32(0x3f3f3f3f), high2 = v_set32(0x30303030);
    struct words head = words_of(p, 0);
    vf d = v_half_lo(head.w[0]), minus_dmin = negated(v_half_hi(head.w[0]));
    vi scales[2] = { v_and(head.w[1], low6),
                     v_or(v_and(head.w[3], low4), v_and(v_shr(head.w[1], 2), high2)) };
    vi mins[2] = { v_and(head.w[2], low6),
                   v_or(v_and(v_shr(head.w[3], 4), low4), v_and(v_shr(head.w[2], 2), high2)) };
    for (unsigned j = 0; j < 8; j++) {
        s[j].scale[0] = v_mul(d, v_from_int(byte_of(scales[j / 4], j % 4)));
        s[j].min[0] = v_mul(minus_dmin, v_from_int(byte_of(mins[j / 4], j % 4)));
    }
}

static inline void take_q4_k(struct sub *s, struct source p)
{
    const vi mask = v_set32(0x0f0f0f0f);
    scales_k4(s, p);
    for (size_t g = 0; g < 8; g++) { /* 16 bytes: half of two sub-blocks */
        struct words q = words_of(p, 16 + 16 * g);
        struct sub *lo = &s[g / 2 * 2], *hi = lo + 1;
        for (size_t i = 0; i < 4; i++) {
            lo->u[g % 2 * 4 + i] = v_and(q.w[i], mask);
            hi->u[g % 2 * 4 + i] = v_and(v_shr(q.w[i], 4), mask);
        }
    }
}

static inline void take_q5_k(struct sub *s, struct source p)
{
    const vi mask = v_set32(0x0f0f0f0f), fifth = v_set32(0x10101010);
    scales_k4(s, p);
    for (size_t half = 0; half < 2; half++) {
        struct words high = words_of(p, 16 + 16 * half);
        for (unsigned g = 0; g < 4; g++) {
            struct words q = words_of(p, 48 + 32 * g + 16 * half);
            vi *lo = &s[2 * g].u[4 * half], *hi = &s[2 * g + 1].u[4 * half];
            for (size_t i = 0; i < 4;
                 i++) { /* bit 2 g of 'high' belongs to lo, bit 2 g + 1 to hi */
                vi h = v_shl(v_shr(high.w[i], 2 * g), 4);
                lo[i] = v_or(v_and(q.w[i], mask), v_and(h, fifth));
                hi[i] = v_or(v_and(v_shr(q.w[i], 4), mask), v_and(v_shr(h, 1), fifth));
            }
        }
    }
}

static inline void scales_q6_k(struct sub *s, struct source p)
{
    vf d = v_half_hi(words_of(p, 194).w[3]);
    struct words scales = words_of(p, 192);
    for (unsigned j = 0; j < 16; j++)
        s[j / 2].scale[j % 2] = v_mul(d, v_from_int(signed_byte_of(scales.w[j / 4], j % 4)));
}

static inline void take_q6_k(struct sub *s, struct source p)
{
    const vi low4 = v_set32(0x0f0f0f0f), high2 = v_set32(0x30303030);
    for (size_t part = 0; part < 4; part++) { /* 128 columns in two halves of 16 */
        size_t block_half = part / 2, half = part % 2;
        struct words high = words_of(p, 128 + 32 * block_half + 16 * half);
        for (unsigned k = 0; k < 2;
             k++) { /* one 16 bytes of low bits serve sub-blocks k and k + 2 */
            struct words low = words_of(p, 64 * block_half + 32 * k + 16 * half);
            vi *a = &s[4 * block_half + k].u[4 * half], *b = &s[4 * block_half + k + 2].u[4 * half];
            for (size_t i = 0; i < 4; i++) {
                vi h = v_shr(high.w[i], 2 * k);
                a[i] = v_or(v_and(low.w[i], low4), v_and(v_shl(h, 4), high2));
                b[i] = v_or(v_and(v_shr(low.w[i], 4), low4), v_and(h, high2));
            }
        }
    }
    scales_q6_k(s, p);
}

static inline void scales_iq4_xs(struct sub *s, struct source p)
{
    struct words head = words_of(p, 0);
    vf d = v_half_lo(head.w[0]);
    vi high = v_shr(head.w[0], 16);
    for (unsigned j = 0; j < 8; j++) {
        vi lo4 = v_and(v_shr(head.w[1], 4 * j), v_set32(15));
        vi hi2 = v_shl(v_and(v_shr(high, 2 * j), v_set32(3)), 4);
        s[j].scale[0] = v_mul(d, v_from_int(v_sub32(v_or(lo4, hi2), v_set32(32))));
    }
}

static inline void take_iq4_xs(struct sub *s, struct source p)
{
    for (unsigned j = 0; j < 8; j++) {
        nibbles(s[j].u, words_of(p, 8 + 16 * j));
        for (size_t i = 0; i < 8; i++)
            s[j].u[i] = eight_bits(v_lookup(iq4_levels, s[j].u[i]));
    }
    scales_iq4_xs(s, p);
}

static inline void scales_q2_k(struct sub *s, struct source p)
{
    vi d_dmin = words_of(p, 68).w[3];
    vf d = v_half_lo(d_dmin), dmin = v_half_hi(d_dmin);
    struct words scales = words_of(p, 0);
    for (unsigned j = 0; j < 16; j++) {
        vi both = byte_of(scales.w[j / 4], j % 4);
        s[j / 2].scale[j % 2] = v_mul(d, v_from_int(v_and(both, v_set32(15))));
        s[j / 2].min[j % 2] = negated(v_mul(dmin, v_from_int(v_shr(both, 4))));
    }
}

static inline void take_q2_k(struct sub *s, struct source p)
{
    const vi mask = v_set32(0x03030303);
    for (size_t part = 0; part < 4; part++) { /* 16 bytes of q: half of four sub-blocks */
        struct words q = words_of(p, 16 + 16 * part);
        for (unsigned k = 0; k < 4; k++)
            for (size_t i = 0; i < 4; i++)
                s[part / 2 * 4 + k].u[part % 2 * 4 + i] = v_and(v_shr(q.w[i], 2 * k), mask);
    }
    scales_q2_k(s, p);
}

static inline void scales_q3_k(struct sub *s, struct source p)
{
    vf d = v_half_hi(words_of(p, 94).w[3]);
    struct words scales = words_of(p, 92); /* w[1], w[2]: low nibbles; w[3]: high bits */
    for (unsigned j = 0; j < 16; j++) {
        vi low = v_shr(byte_of(scales.w[1 + j / 4 % 2], j % 4), j < 8 ? 0 : 4);
        vi high = v_shr(byte_of(scales.w[3], j % 4), 2 * (j / 4));
        vi both = v_or(v_and(low, v_set32(15)), v_shl(v_and(high, v_set32(3)), 4));
        s[j / 2].scale[j % 2] = v_mul(d, v_from_int(v_sub32(both, v_set32(32))));
    }
}

static inline void take_q3_k(struct sub *s, struct source p)
{
    const vi low2 = v_set32(0x03030303), third = v_set32(0x04040404);
    for (size_t part = 0; part < 4; part++) {
        struct words q = words_of(p, 32 + 16 * part);
        struct words high = words_of(p, 16 * (part % 2));
        for (unsigned k = 0; k < 4; k++) {
            unsigned sub = (unsigned)(part / 2) * 4 + k; /* also its bit in 'high' */
            for (size_t i = 0; i < 4; i++)
                s[sub].u[part % 2 * 4 + i] = v_or(v_and(v_shr(q.w[i], 2 * k), low2),
                                                  v_and(v_shl(v_shr(high.w[i], sub), 2), third));
        }
    }
    scales_q3_k(s, p);
}

/* ---- what tiles of activations need ---------------------------------------------------------- */

/* Some rows of activations over a panel. */
struct tile_args {
    size_t n_rows; /* of them                       */
    float *y;      /* [n_rows, V_ROWS]              */
    bool first;    /* y is to be set, not added to  */
    const struct sub *panel;
    size_t n_subs;
    const int8_t *q; /* [n_m, 32 n_subs] at q_stride */
    size_t q_stride;
    const float *d;       /* [n_m, n_subs] at q_stride / 32      */
    const int16_t *isum;  /* [n_m, 2 n_subs] at q_stride / 16    */
    const void *arranged; /* or NULL: the same as act_arrange() left them */
};

/* What is needed of a row of activations beside q: d; and, of all 32 columns or of each half,
 * d * isum for the mins and the offset's share of the integer sum. */
struct row_aux {
    float *d, *dsum[2];
    int32_t *start[2];
};

struct tile_aux {
    float d[TILE_MAX][CHUNK_SUBS];
    float dsum[2][TILE_MAX][CHUNK_SUBS];
    int32_t start[2][TILE_MAX][CHUNK_SUBS];
};

static inline struct row_aux tile_row(struct tile_aux *x, size_t m)
{
    return (struct row_aux){ x->d[m],
                             { x->dsum[0][m], x->dsum[1][m] },
                             { x->start[0][m], x->start[1][m] } };
}

/* V_ROWS sub-blocks of one row, from sub-block b */
static inline __attribute__((always_inline)) void aux_vector(struct row_aux x, size_t b,
                                                             const float *d, const int16_t *isum,
                                                             bool split, bool has_min, int offset)
{
    vf dv = v_load(d + b);
    vi both = v_load_int(isum + 2 * b); /* the two halves' sums, 16 bits each */
    vi half[2] = { split ? v_sar(v_shl(both, 16), 16) : v_add_halves(both), v_sar(both, 16) };
    v_store(x.d + b, dv);
    for (size_t part = 0; part < (split ? 2 : 1); part++) {
        if (has_min)
            v_store(x.dsum[part] + b, v_mul(dv, v_from_int(half[part])));
        if (offset)
            v_store_int(x.start[part] + b, v_mul32(half[part], v_set32((uint32_t)-offset)));
    }
}

static inline __attribute__((always_inline)) void aux_one(struct row_aux x, size_t b,
                                                          const float *d, const int16_t *isum,
                                                          bool split, bool has_min, int offset)
{
    x.d[b] = d[b];
    for (size_t part = 0; part < (split ? 2 : 1); part++) {
        int32_t sum = split ? isum[2 * b + part] : isum[2 * b] + isum[2 * b + 1];
        if (has_min)
            x.dsum[part][b] = d[b] * (float)sum;
        if (offset)
            x.start[part][b] = -offset * sum;
    }
}

/* Full vectors; the last one overlaps its neighbour rather than reach past the row. */
static inline __attribute__((always_inline)) void aux_row(struct row_aux x, size_t n,
                                                          const float *d, const int16_t *isum,
                                                          bool split, bool has_min, int offset)
{
    if (n < V_ROWS) {
        for (size_t b = 0; b < n; b++)
            aux_one(x, b, d, isum, split, has_min, offset);
        return;
    }
    for (size_t b = 0; b + V_ROWS < n; b += V_ROWS)
        aux_vector(x, b, d, isum, split, has_min, offset);
    aux_vector(x, n - V_ROWS, d, isum, split, has_min, offset);
}

#endif
