/* kernels/matmul_int_template.h: weights in integer blocks times quantised activations, for any
 * vector width.
 *
 * Rows of weights lie across the lanes: V_ROWS rows (16, 8 or 4) are worked on together, and the
 * block order of kernels.h, a sum over sub-blocks in turn, is then simply a loop. Nothing is summed
 * across lanes.
 *
 * First a panel is taken apart (matmul_panel_template.h). Then tiles of up to 8 rows of activations
 * run over the panel: each 4 bytes of q are broadcast and multiplied with u[c]. So weights are read
 * and taken apart once for all rows of activations, and the same code serves one row (decode) and
 * hundreds (prefill).
 *
 * A group of fewer than V_ROWS rows is copied to the stack first, so nothing outside the rows is
 * read.
 *
 * The level's file includes v512.h (or a sister) before this and defines LEVEL(name) and
 *
 *     V_SIGNED    8-bit weights are wanted signed, not shifted by 128
 *     V_TILE      rows in the largest tile, as many as there are registers for: 4 or 8
 *     V_WIDE      16 when the level has tiles of its own for up to 16 rows, or 0: it then defines
 *                 wide_panel() and wide_tile(), see below
 *     V_WIDE_FROM rows of activations from which they take all of a product with fewer than 16
 *     V_FEW       rows of activations, at most 2, up to which matmul_few_template.h has it
 *     V_ARRANGE   what act_arrange() is for this level, or NULL
 *     V_BEGIN(n, split) and V_END(n): what has to be said around a product with n rows of activations
 *     v_dot(sum, n_m, u, n, q, stride, kind)
 *                 to each of n_m sums the products of n words of u with 4 n bytes at its q; the
 * rows alternate, because each sum alone is a chain of additions waiting for one another
 */

#include "kernels/matmul_panel_template.h"
#include "kernels/matmul_spread_template.h"

/* What the integers of a format look like: the largest tells how many products fit 16 bits. */
enum kind { U4 = 15, U5 = 31, U6 = 63, S8 = 255 };

enum {
    M_BLOCK = 256, /* rows of activations at a time: their sums are 16 KiB at 512 bits */
    ROW_CHUNK_MAX = CHUNK_SUBS * 34, /* bytes a row: the widest format is Q8_0 */
    /* Results, in floats, from which they leave the caches: their lines lie far apart, and to fetch each before it is
     * overwritten took a tenth of a prompt's time. */
    AWAY_FROM = 1 << 18,
};

/* ---- tiles: n_m rows of activations over a panel -------------------------------------------- */

#if !V_WIDE
static inline void wide_panel(struct sub *panel, size_t n_subs, int offset)
{
    (void)panel, (void)n_subs, (void)offset;
}

static inline void wide_tile(const struct tile_args *t, size_t n_m, bool split, bool has_min)
{
    (void)t, (void)n_m, (void)split, (void)has_min;
}
#endif

static inline __attribute__((always_inline)) void
tile(const struct tile_args *t, size_t n_m, enum kind kind, bool split, bool has_min, int offset)
{
    const size_t n_parts = split ? 2 : 1, n_words = 8 / n_parts;
    struct tile_aux x;
    for (size_t m = 0; m < n_m; m++)
        aux_row(tile_row(&x, m), t->n_subs, t->d + m * (t->q_stride / 32),
                t->isum + m * (t->q_stride / 16), split, has_min, offset);

    vf acc[TILE_MAX];
#pragma GCC unroll 16
    for (size_t m = 0; m < n_m; m++)
        acc[m] = t->first ? v_set(0.0f) : v_load(t->y + m * V_ROWS);

    for (size_t b = 0; b < t->n_subs; b++) {
        const struct sub *s = &t->panel[b];
#pragma GCC unroll 2
        for (size_t part = 0; part < n_parts; part++) {
            vi sum[TILE_MAX];
#pragma GCC unroll 16
            for (size_t m = 0; m < n_m; m++)
                sum[m] = v_set32(offset ? (uint32_t)x.start[part][m][b] : 0);
            v_dot(sum, n_m, s->u + 4 * part, n_words, t->q + 32 * b + 16 * part, t->q_stride, kind);
#pragma GCC unroll 16
            for (size_t m = 0; m < n_m; m++) {
                acc[m] = v_fma(v_mul(s->scale[part], v_set(x.d[m][b])), v_from_int(sum[m]), acc[m]);
                if (has_min)
                    acc[m] = v_fma(s->min[part], v_set(x.dsum[part][m][b]), acc[m]);
            }
        }
    }
#pragma GCC unroll 16
    for (size_t m = 0; m < n_m; m++)
        v_store(t->y + m * V_ROWS, acc[m]);
}

/* Tiles of exactly as many rows as there are, so that the panel is loaded once for all of them. */
static inline __attribute__((always_inline)) void
narrow_tile(const struct tile_args *t, enum kind kind, bool split, bool has_min, int offset)
{
    if (V_TILE == 8 && t->n_rows > 4) {
        if (t->n_rows > 6)
            t->n_rows == 8 ? tile(t, 8, kind, split, has_min, offset)
                           : tile(t, 7, kind, split, has_min, offset);
        else
            t->n_rows == 6 ? tile(t, 6, kind, split, has_min, offset)
                           : tile(t, 5, kind, split, has_min, offset);
    } else if (t->n_rows > 2) {
        t->n_rows == 4 ? tile(t, 4, kind, split, has_min, offset)
                       : tile(t, 3, kind, split, has_min, offset);
    } else {
        t->n_rows == 2 ? tile(t, 2, kind, split, has_min, offset)
                       : tile(t, 1, kind, split, has_min, offset);
    }
}

typedef void (*tile_fn)(const struct tile_args *t);

/* For one look of integers: tiles of up to V_TILE rows, and the wide ones for up to 8, 12 and 16. */
struct tiles {
    tile_fn narrow, wide[3];
    enum kind kind;
    bool split, has_min;
    int offset;
};

#define TILES(name, kind_, split_, min_, off)                                                      \
    static inline void name##_wide_16(const struct tile_args *t)                                   \
    {                                                                                              \
        wide_tile(t, 16, split_, min_);                                                            \
    }                                                                                              \
    static inline void name##_wide_12(const struct tile_args *t)                                   \
    {                                                                                              \
        wide_tile(t, 12, split_, min_);                                                            \
    }                                                                                              \
    static inline void name##_wide_8(const struct tile_args *t)                                    \
    {                                                                                              \
        wide_tile(t, 8, split_, min_);                                                             \
    }                                                                                              \
    static inline void name##_narrow(const struct tile_args *t)                                    \
    {                                                                                              \
        narrow_tile(t, kind_, split_, min_, off);                                                  \
    }                                                                                              \
    static const struct tiles name = { .narrow = name##_narrow,                                    \
                                       .wide = { name##_wide_8, name##_wide_12, name##_wide_16 },  \
                                       .kind = kind_,                                              \
                                       .split = split_,                                            \
                                       .has_min = min_,                                            \
                                       .offset = off };

TILES(tile_u4_less_8, U4, false, false, 8)
TILES(tile_u5_less_12, U5, false, false, 12)
TILES(tile_u5_less_16, U5, false, false, 16)
TILES(tile_s8, S8, false, false, V_SIGNED ? 0 : 128)
TILES(tile_u4_min, U4, false, true, 0)
TILES(tile_u5_min, U5, false, true, 0)
TILES(tile_u4_split_less_4, U4, true, false, 4)
TILES(tile_u5_split_less_12, U5, true, false, 12)
TILES(tile_u6_split_less_32, U6, true, false, 32)
TILES(tile_u4_split_min, U4, true, true, 0)

/* ---- the product ---------------------------------------------------------------------------- */

typedef void (*take_fn)(struct sub *s, struct source p);

/* What is special to a format. */
struct format {
    take_fn take, scales;
    spread_fn spread;
    size_t block_subs, block_bytes;
};

#include "kernels/matmul_few_template.h"

static inline struct tile_args skip_rows(struct tile_args t, size_t n)
{
    t.y += n * V_ROWS;
    t.q += n * t.q_stride;
    t.d += n * (t.q_stride / 32);
    t.isum += n * (t.q_stride / 16);
    return t;
}

static void run_narrow(struct tile_args t, size_t n_m, const struct tiles *tiles)
{
    for (; n_m; n_m -= t.n_rows) {
        t.n_rows = n_m < V_TILE ? n_m : V_TILE;
        tiles->narrow(&t);
        t = skip_rows(t, t.n_rows);
    }
}

/* All tiles of a panel: n_m of a product's n_all rows of activations. The rest that no wide tile
 * takes comes first, because wide tiles may want the panel's integers changed. */
static void run_tiles(struct tile_args t, struct sub *panel, size_t n_m, size_t n_all,
                      const struct tiles *tiles)
{
    const char *arranged = t.arranged;
    const size_t tile_row_bytes = t.q_stride / 32 * ACT_TILE_BYTES;
    const size_t wide = V_WIDE, from = V_WIDE_FROM;
    bool few = n_all < wide && n_all >= from;
    size_t n_wide = few ? n_m : wide ? n_m - n_m % 16 : 0; /* wide is 16 or 0 */
    run_narrow(skip_rows(t, n_wide), n_m - n_wide, tiles);
    if (n_wide && tiles->offset)
        wide_panel(panel, t.n_subs, tiles->offset);
    for (size_t m = 0; m < n_wide; m += t.n_rows) {
        t.n_rows = few ? n_m : wide;
        t.arranged = arranged ? arranged + m / 16 * tile_row_bytes : NULL;
        tiles->wide[(t.n_rows - 1) / 4 - 1](&t); /* V_WIDE_FROM is more than 4 */
        t = skip_rows(t, t.n_rows);
    }
}

/* What wide tiles read from row m0 and sub-block b0 on, if it was arranged. */
static inline const void *act_tile(const struct act *x, size_t m0, size_t b0)
{
    if (!x->tiles || x->n_arranged != x->n_rows)
        return NULL;
    return (const char *)x->tiles + (m0 / 16 * (x->stride / 32) + b0) * ACT_TILE_BYTES;
}

/* V_ROWS rows of weights (n_r of them wanted) by n_m <= M_BLOCK rows of activations from row m0.
 * The sums wait beside each other until they are complete: y's rows lie far apart, and each panel would have to visit
 * them all. */
static inline __attribute__((always_inline)) void
matmul_rows(float *y, size_t ldy, const struct mat *w, const struct act *x, size_t r, size_t n_r,
            size_t m0, size_t n_m, const struct format *f, const struct tiles *tiles)
{
    const size_t block_subs = f->block_subs, block_bytes = f->block_bytes;
    struct sub panel[CHUNK_SUBS];
    uint8_t last_rows[V_ROWS * ROW_CHUNK_MAX];
    float sums[M_BLOCK * V_ROWS];
    bool away = x->n_rows * ldy >= AWAY_FROM;
    size_t n_subs = w->n_cols / 32, n_chunks = (n_subs + CHUNK_SUBS - 1) / CHUNK_SUBS;
    /* equal pieces, in whole blocks: a short last one would not be worth its preparations */
    size_t chunk = (n_subs / block_subs + n_chunks - 1) / n_chunks * block_subs;

    for (size_t b0 = 0, n; b0 < n_subs; b0 += n) {
        n = n_subs - b0 < chunk ? n_subs - b0 : chunk;
        const uint8_t *p =
            (const uint8_t *)w->data + r * w->row_bytes + b0 / block_subs * block_bytes;
        size_t stride = w->row_bytes, chunk_bytes = n / block_subs * block_bytes;
        /* the next rows begin where these end, and have as many bytes before this chunk */
        uintptr_t ahead =
            (uintptr_t)w->data + (r + V_ROWS) * stride + V_ROWS * (b0 / block_subs * block_bytes);
        if (n_r < V_ROWS) {
            memset(last_rows, 0, V_ROWS * chunk_bytes);
            for (size_t i = 0; i < n_r; i++)
                memcpy(last_rows + i * chunk_bytes, p + i * stride, chunk_bytes);
            p = last_rows;
            stride = chunk_bytes;
        }
        for (size_t b = 0; b < n; b += block_subs, p += block_bytes) {
            f->take(panel + b, (struct source){ p, stride, ahead });
            ahead += V_ROWS * block_bytes;
        }
        run_tiles((struct tile_args){ .y = sums,
                                      .first = b0 == 0,
                                      .panel = panel,
                                      .n_subs = n,
                                      .q = x->q + m0 * x->stride + 32 * b0,
                                      .q_stride = x->stride,
                                      .d = x->d + m0 * (x->stride / 32) + b0,
                                      .isum = x->isum + m0 * (x->stride / 16) + 2 * b0,
                                      .arranged = act_tile(x, m0, b0) },
                  panel, n_m, x->n_rows, tiles);
    }
    for (size_t m = 0; m < n_m; m++) {
        float *to = y + (m0 + m) * ldy + r;
        if (n_r == V_ROWS && away)
            v_store_away(to, v_load(sums + m * V_ROWS));
        else if (n_r == V_ROWS)
            v_store(to, v_load(sums + m * V_ROWS));
        else
            memcpy(to, sums + m * V_ROWS, n_r * sizeof(float));
    }
}

static inline __attribute__((always_inline)) void
matmul_many(float *y, size_t ldy, const struct mat *w, const struct act *x, size_t row0,
            size_t row1, const struct format *f, const struct tiles *tiles)
{
    V_BEGIN(x->n_rows, tiles->split);
    for (size_t m0 = 0; m0 < x->n_rows; m0 += M_BLOCK) {
        size_t n_m = x->n_rows - m0 < M_BLOCK ? x->n_rows - m0 : M_BLOCK;
        for (size_t r = row0; r < row1; r += V_ROWS) {
            size_t n_r = row1 - r < V_ROWS ? row1 - r : V_ROWS;
            matmul_rows(y, ldy, w, x, r, n_r, m0, n_m, f, tiles);
        }
    }
    v_stored_away();
    V_END(x->n_rows);
}

static inline __attribute__((always_inline)) void
matmul(float *restrict y, size_t ldy, const struct mat *w, const struct act *x, size_t row0,
       size_t row1, const struct format *f, const struct tiles *tiles)
{
    if (w->n_cols == 0) {
        for (size_t m = 0; m < x->n_rows; m++)
            memset(y + m * ldy + row0, 0, (row1 - row0) * sizeof(float));
        return;
    }
    if (x->n_rows <= V_FEW) {
        const uint8_t *end = (const uint8_t *)w->data + row1 * w->row_bytes;
        size_t full = row1 - (row1 - row0) % V_ROWS;
        if (x->n_rows == 1)
            matmul_few(1, y, ldy, w, x, row0, full, end, f, tiles);
        else
            matmul_few(2, y, ldy, w, x, row0, full, end, f, tiles);
        row0 = full;
    }
    matmul_many(y, ldy, w, x, row0, row1, f, tiles);
}

#define MATMUL(name, scales_, block_subs_, block_bytes_, tiles)                                    \
    static void matmul_##name(float *restrict y, size_t ldy, const struct mat *w,                  \
                              const struct act *x, size_t row0, size_t row1)                       \
    {                                                                                              \
        const struct format f = { .take = take_##name,                                             \
                                  .scales = scales_,                                               \
                                  .spread = spread_##name,                                         \
                                  .block_subs = block_subs_,                                       \
                                  .block_bytes = block_bytes_ };                                   \
        matmul(y, ldy, w, x, row0, row1, &f, &tiles);                                              \
    }

MATMUL(q4_0, scales_half, 1, 18, tile_u4_less_8)
MATMUL(q4_1, scales_two_halves, 1, 20, tile_u4_min)
MATMUL(q5_0, scales_half, 1, 22, tile_u5_less_16)
MATMUL(q5_1, scales_two_halves, 1, 24, tile_u5_min)
MATMUL(q8_0, scales_half, 1, 34, tile_s8)
MATMUL(q2_k, scales_q2_k, 8, 84, tile_u4_split_min)
MATMUL(q3_k, scales_q3_k, 8, 110, tile_u4_split_less_4)
MATMUL(q4_k, scales_k4, 8, 144, tile_u4_min)
MATMUL(q5_k, scales_k4, 8, 176, tile_u5_min)
MATMUL(q6_k, scales_q6_k, 8, 210, tile_u6_split_less_32)
MATMUL(iq4_nl, scales_half, 1, 18, tile_s8)
MATMUL(iq4_xs, scales_iq4_xs, 8, 136, tile_s8)
MATMUL(mxfp4, scales_mxfp4, 1, 17, tile_u5_less_12)
MATMUL(nvfp4, scales_nvfp4, 2, 36, tile_u5_split_less_12)

const matmul_fn LEVEL(matmul_int)[QT_COUNT] = {
    [QT_Q4_0] = matmul_q4_0,   [QT_Q4_1] = matmul_q4_1,     [QT_Q5_0] = matmul_q5_0,
    [QT_Q5_1] = matmul_q5_1,   [QT_Q8_0] = matmul_q8_0,     [QT_Q2_K] = matmul_q2_k,
    [QT_Q3_K] = matmul_q3_k,   [QT_Q4_K] = matmul_q4_k,     [QT_Q5_K] = matmul_q5_k,
    [QT_Q6_K] = matmul_q6_k,   [QT_IQ4_NL] = matmul_iq4_nl, [QT_IQ4_XS] = matmul_iq4_xs,
    [QT_MXFP4] = matmul_mxfp4, [QT_NVFP4] = matmul_nvfp4,
};

void LEVEL(kernels_init_matmul_int)(struct kernels *k)
{
    for (size_t type = 0; type < QT_COUNT; type++)
        if (LEVEL(matmul_int)[type])
            k->matmul[type] = LEVEL(matmul_int)[type];
    k->act_arrange = V_ARRANGE;
}
