/* kernels/matmul_spread_template.h: weights in integer blocks as bytes in the order of their columns,
 * for matmul_few_template.h. Where matmul_panel_template.h takes the same blocks apart for many rows
 * at a time, here it is 256 columns of one row: 'p' is the first of its blocks. */
#ifndef KERNELS_MATMUL_SPREAD_TEMPLATE_H
#define KERNELS_MATMUL_SPREAD_TEMPLATE_H

#include "kernels/matmul_panel_template.h"

enum { COLS_VECTORS = 16 / V_ROWS };

/* 256 columns of a row, as bytes */
struct group {
    struct cols c[4];
};

static inline struct cols cols_and(struct cols a, uint32_t mask)
{
    for (size_t i = 0; i < COLS_VECTORS; i++)
        a.v[i] = v_and(a.v[i], v_set32(mask));
    return a;
}

static inline struct cols cols_or(struct cols a, struct cols b)
{
    for (size_t i = 0; i < COLS_VECTORS; i++)
        a.v[i] = v_or(a.v[i], b.v[i]);
    return a;
}

static inline struct cols cols_shr(struct cols a, unsigned n)
{
    for (size_t i = 0; i < COLS_VECTORS; i++)
        a.v[i] = v_shr(a.v[i], n);
    return a;
}

static inline struct cols cols_lookup(const uint8_t table[16], struct cols a)
{
    for (size_t i = 0; i < COLS_VECTORS; i++)
        a.v[i] = v_lookup(table, a.v[i]);
    return a;
}

static inline struct cols cols_eight_bits(struct cols a)
{
    for (size_t i = 0; i < COLS_VECTORS; i++)
        a.v[i] = eight_bits(a.v[i]);
    return a;
}

static inline uint32_t load32(const uint8_t *p)
{
    uint32_t x;
    memcpy(&x, p, sizeof(x));
    return x;
}

static inline void spread_q4_0(struct group *g, const uint8_t *p)
{
    for (size_t i = 0; i < 4; i++, p += 36)
        g->c[i] = v_nibbles(p + 2, p + 20);
}

static inline void spread_q4_1(struct group *g, const uint8_t *p)
{
    for (size_t i = 0; i < 4; i++, p += 40)
        g->c[i] = v_nibbles(p + 4, p + 24);
}

static inline void spread_q5_0(struct group *g, const uint8_t *p)
{
    for (size_t i = 0; i < 4; i++, p += 44)
        g->c[i] = v_cols_add(v_nibbles(p + 6, p + 28), load32(p + 2), load32(p + 24),
                             v_set32(0x10101010));
}

static inline void spread_q5_1(struct group *g, const uint8_t *p)
{
    for (size_t i = 0; i < 4; i++, p += 48)
        g->c[i] = v_cols_add(v_nibbles(p + 8, p + 32), load32(p + 4), load32(p + 28),
                             v_set32(0x10101010));
}

static inline void spread_q8_0(struct group *g, const uint8_t *p)
{
    for (size_t i = 0; i < 4; i++, p += 68)
        g->c[i] = cols_eight_bits(v_cols(p + 2, p + 36));
}

static inline void spread_iq4_nl(struct group *g, const uint8_t *p)
{
    for (size_t i = 0; i < 4; i++, p += 36)
        g->c[i] = cols_eight_bits(cols_lookup(iq4_levels, v_nibbles(p + 2, p + 20)));
}

static inline void spread_mxfp4(struct group *g, const uint8_t *p)
{
    for (size_t i = 0; i < 4; i++, p += 34)
        g->c[i] = cols_lookup(fp4_levels, v_nibbles(p + 1, p + 18));
}

static inline void spread_nvfp4(struct group *g, const uint8_t *p)
{
    for (size_t i = 0; i < 4; i++, p += 36)
        g->c[i] = cols_lookup(fp4_levels, v_nibbles8(p + 4));
}

static inline void spread_q4_k(struct group *g, const uint8_t *p)
{
    for (size_t i = 0; i < 4; i++)
        g->c[i] = cols_and(v_planes(p + 16 + 32 * i, 0, 4), 0x0f0f0f0f);
}

static inline void spread_q5_k(struct group *g, const uint8_t *p)
{
    for (int i = 0; i < 4; i++) /* bit 2 i of 'high' belongs to the low nibbles */
        g->c[i] = cols_or(cols_and(v_planes(p + 48 + 32 * i, 0, 4), 0x0f0f0f0f),
                          cols_and(v_planes(p + 16, 2 * i - 4, 2 * i - 3), 0x10101010));
}

static inline void spread_q6_k(struct group *g, const uint8_t *p)
{
    for (size_t half = 0; half < 2; half++) {
        const uint8_t *low = p + 64 * half, *high = p + 128 + 32 * half;
        struct cols q = v_cols(low, low + 32);
        g->c[2 * half] =
            cols_or(cols_and(q, 0x0f0f0f0f), cols_and(v_planes(high, -4, -2), 0x30303030));
        g->c[2 * half + 1] = cols_or(cols_and(cols_shr(q, 4), 0x0f0f0f0f),
                                     cols_and(v_planes(high, 0, 2), 0x30303030));
    }
}

static inline void spread_iq4_xs(struct group *g, const uint8_t *p)
{
    for (size_t i = 0; i < 4; i++)
        g->c[i] =
            cols_eight_bits(cols_lookup(iq4_levels, v_nibbles(p + 8 + 32 * i, p + 24 + 32 * i)));
}

static inline void spread_q2_k(struct group *g, const uint8_t *p)
{
    for (int i = 0; i < 4; i++)
        g->c[i] = cols_and(v_planes(p + 16 + 32 * (i / 2), i % 2 * 4, i % 2 * 4 + 2), 0x03030303);
}

static inline void spread_q3_k(struct group *g, const uint8_t *p)
{
    for (int i = 0; i < 4; i++) /* bit 2 i of 'high' is the third one of these 32 columns */
        g->c[i] =
            cols_or(cols_and(v_planes(p + 32 + 32 * (i / 2), i % 2 * 4, i % 2 * 4 + 2), 0x03030303),
                    cols_and(v_planes(p, 2 * i - 2, 2 * i - 1), 0x04040404));
}

typedef void (*spread_fn)(struct group *g, const uint8_t *p);

#endif
