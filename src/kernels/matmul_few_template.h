/* kernels/matmul_few_template.h: weights in integer blocks times one or two rows of activations.
 *
 * With so few rows a product is as fast as its weights come from memory, and memory is fastest when
 * it is read as it lies. So here the lanes are columns: row after row is read from end to end, a
 * group of 256 columns at a time, spread to bytes in their order and multiplied; what is left of a
 * group is sixteen integers, the sums of 16 columns each. When V_ROWS rows have theirs, a
 * transposition brings the rows across the lanes, and the floats follow in the block order of
 * kernels.h, as in matmul_int_template.h and to the same bits.
 *
 * Included by matmul_int_template.h. The level's file defines
 *
 *     V_FEW               rows of activations up to which this way is taken, 1 or 2; 0: never
 *     v_dot4(w, q, kind)  of each 32-bit element the sum of four products of bytes
 */
#ifndef KERNELS_MATMUL_FEW_TEMPLATE_H
#define KERNELS_MATMUL_FEW_TEMPLATE_H

#include "kernels/matmul_spread_template.h"

enum {
    FEW_MAX = 2,             /* rows of activations */
    GROUP = 256,             /* columns */
    GROUP_SUMS = GROUP / 16, /* of 16 columns each */
    FEW_GROUPS = 16,         /* of a row, before the rows are turned */
    FEW_SUBS = 8 * FEW_GROUPS,
    FEW_AHEAD = 3072,         /* bytes: what is read now and this far ahead is on its way */
    GROUP_BYTES_MAX = 8 * 34, /* Q8_0 */
};

/* ---- integers: groups of one row --------------------------------------------------------------- */

/* Sums of four products of 'kind' in pairs of elements; so many products fit 16 bits. */
static inline vi add_pairs(vi a, vi b, int n_products, enum kind kind)
{
    return n_products * (int)kind * 127 < 32768 ? v_add_pairs16(a, b) : v_add_pairs32(a, b);
}

/* to[sum_place(h)] = the products' sum of columns 16 h to 16 h + 15 */
static inline __attribute__((always_inline)) void dot_group(int32_t *to, const struct group *g,
                                                            const int8_t *q, enum kind kind)
{
    vi s[4 * COLS_VECTORS];
#pragma GCC unroll 8
    for (size_t i = 0; i < 4 * COLS_VECTORS; i++)
        s[i] = v_dot4(g->c[i / COLS_VECTORS].v[i % COLS_VECTORS], v_load_int(q + 4 * V_ROWS * i),
                      kind);
#pragma GCC unroll 2
    for (size_t i = 0; i < COLS_VECTORS; i++)
        v_store_int(to + V_ROWS * i,
                    add_pairs(add_pairs(s[4 * i], s[4 * i + 1], 4, kind),
                              add_pairs(s[4 * i + 2], s[4 * i + 3], 4, kind), 8, kind));
}

static inline size_t sum_place(size_t h)
{
    const size_t lanes = V_ROWS / 4; /* of 128 bits: as many sums has a vector of products */
    size_t vector = h / lanes;
    return vector / 4 * V_ROWS + h % lanes * 4 + vector % 4;
}

/* What a row of activations brings to a chunk. */
struct few_act {
    const int8_t *q;
    float d[FEW_SUBS], dsum[2][FEW_SUBS];
    int32_t start[2][FEW_SUBS];
    int8_t padded[FEW_GROUPS * GROUP];
};

/* V_ROWS rows by a few groups, n sub-blocks from b0 on; with the rows' sums by up to FEW_MAX rows of
 * activations. */
struct chunk {
    size_t r, b0, n;
    const uint8_t *p;
    struct few_act a[FEW_MAX];
    int32_t sums[FEW_MAX][V_ROWS][FEW_GROUPS * GROUP_SUMS] __attribute__((aligned(64)));
};

static inline struct row_aux few_aux(struct few_act *a)
{
    return (struct row_aux){ a->d, { a->dsum[0], a->dsum[1] }, { a->start[0], a->start[1] } };
}

/* Sub-blocks [b0, b0 + n) of row m; columns that are wanting in the last group are 0. */
static inline __attribute__((always_inline)) void
few_act_init(struct few_act *a, const struct act *x, size_t m, size_t b0, size_t n,
             const struct tiles *t)
{
    aux_row(few_aux(a), n, x->d + m * (x->stride / 32) + b0,
            x->isum + m * (x->stride / 16) + 2 * b0, t->split, t->has_min, t->offset);
    a->q = x->q + m * x->stride + 32 * b0;
    if (n % 8 == 0)
        return;
    memset(a->padded, 0, sizeof(a->padded));
    memcpy(a->padded, a->q, 32 * n);
    a->q = a->padded;
}

/* Row i of a chunk. Its bytes may be read up to 'end'. */
static inline __attribute__((always_inline)) void dot_row(struct chunk *c, size_t i, size_t stride,
                                                          const uint8_t *end, size_t n_m,
                                                          const struct format *f, enum kind kind)
{
    const size_t group_bytes = 8 / f->block_subs * f->block_bytes;
    const uint8_t *p = c->p + i * stride;
    for (size_t b = 0; b < c->n; b += 8, p += group_bytes) {
        struct group g;
        uint8_t last[GROUP_BYTES_MAX];
        const uint8_t *from = p;
        if (p + group_bytes > end) {
            memset(last, 0, sizeof(last));
            memcpy(last, p, (size_t)(end - p));
            from = last;
        }
        for (size_t k = 0; k < group_bytes; k += 64)
            __builtin_prefetch((const void *)((uintptr_t)p + FEW_AHEAD + k), 0, PREFETCH_TO_L2);
        f->spread(&g, from);
#pragma GCC unroll 2
        for (size_t m = 0; m < n_m; m++)
            dot_group(c->sums[m][i] + 2 * b, &g, c->a[m].q + 32 * b, kind);
    }
}

/* ---- floats: V_ROWS rows --------------------------------------------------------------------- */

/* One group of all rows: t[sum_place(h)] has the sums of 16 columns, rows across the lanes. */
static inline void turn_group(vi t[GROUP_SUMS], const struct chunk *c, size_t m, size_t group)
{
    for (size_t i = 0; i < COLS_VECTORS; i++) {
        for (size_t r = 0; r < V_ROWS; r++)
            t[V_ROWS * i + r] = v_load_int(&c->sums[m][r][group * GROUP_SUMS + V_ROWS * i]);
        v_transpose(t + V_ROWS * i);
    }
}

static inline __attribute__((always_inline)) vf
add_sub(vf acc, const vi turned[GROUP_SUMS], size_t h, const struct sub *s, const struct few_act *a,
        size_t b, const struct tiles *t)
{
    vi half[2] = { turned[sum_place(2 * h)], turned[sum_place(2 * h + 1)] };
    if (!t->split)
        half[0] = v_add32(half[0], half[1]);
    for (size_t part = 0; part < (t->split ? 2 : 1); part++) {
        vi sum = t->offset ? v_add32(half[part], v_set32((uint32_t)a->start[part][b])) : half[part];
        acc = v_fma(v_mul(s->scale[part], v_set(a->d[b])), v_from_int(sum), acc);
        if (t->has_min)
            acc = v_fma(s->min[part], v_set(a->dsum[part][b]), acc);
    }
    return acc;
}

/* The group that begins with sub-block b, to the rows' results. */
static inline __attribute__((always_inline)) void
add_group(float *y, size_t ldy, const struct chunk *c, size_t b, size_t stride, size_t n_m,
          const struct format *f, const struct tiles *t)
{
    size_t n = c->n - b < 8 ? c->n - b : 8;
    const uint8_t *p = c->p + b / f->block_subs * f->block_bytes;
    struct sub s[8];
    for (size_t h = 0; h < n; h += f->block_subs, p += f->block_bytes)
        f->scales(s + h, (struct source){ .p = p, .stride = stride });
    for (size_t m = 0; m < n_m; m++) {
        vi turned[GROUP_SUMS];
        float *to = y + m * ldy + c->r;
        vf acc = c->b0 + b ? v_load(to) : v_set(0.0f);
        turn_group(turned, c, m, b / 8);
        for (size_t h = 0; h < n; h++)
            acc = add_sub(acc, turned, h, s + h, &c->a[m], b + h, t);
        v_store(to, acc);
    }
}

/* Rows [row0, row1), a multiple of V_ROWS; bytes may be read up to 'end'. */
static inline __attribute__((always_inline)) void
matmul_few(size_t n_m, float *y, size_t ldy, const struct mat *w, const struct act *x, size_t row0,
           size_t row1, const uint8_t *end, const struct format *f, const struct tiles *t)
{
    const size_t n_subs = w->n_cols / 32;
    struct chunk c;
    for (c.r = row0; c.r < row1; c.r += V_ROWS) {
        for (c.b0 = 0; c.b0 < n_subs; c.b0 += FEW_SUBS) {
            c.n = n_subs - c.b0 < FEW_SUBS ? n_subs - c.b0 : FEW_SUBS;
            c.p = (const uint8_t *)w->data + c.r * w->row_bytes +
                  c.b0 / f->block_subs * f->block_bytes;
            for (size_t m = 0; m < n_m; m++)
                few_act_init(&c.a[m], x, m, c.b0, c.n, t);
            for (size_t i = 0; i < V_ROWS; i++)
                dot_row(&c, i, w->row_bytes, end, n_m, f, t->kind);
            for (size_t b = 0; b < c.n; b += 8)
                add_group(y, ldy, &c, b, w->row_bytes, n_m, f, t);
        }
    }
}

#endif
