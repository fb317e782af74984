/* kernels/x86/matmul_int_amx.c: the integer sums of 16 rows of weights by 16 rows of activations in
 * one instruction. A panel's 32 columns are a tile of weights as they lie: 8 times 16 rows of 4
 * bytes. Only one sub-block is summed at a time, because the floats go sub-block by sub-block
 * (kernels.h); half the instruction would be idle with more. From 8 to 15 rows the tiles
 * are shorter; fewer, and what is left over from sixteens, take VNNI.
 *
 * While tiles are in use, even one now and then, the processor's second unit for 512-bit multiplications rests (measured:
 * 64 fused multiply-adds take 34 cycles, with a single tilezero among them 67); additions still have two. So the
 * products' floats are what takes the time, one operation a cycle: per sub-block and 16 x 16 sums 48 (without mins 32),
 * while 16 cycles of products, 16 of storing and 12 of loading go on beside them. What follows from it:
 *
 *  - sums become floats by a subtraction instead of a conversion, see sum_start;
 *  - a step (a sub-block, or half of one with split scales) is multiplied three steps before its floats, and stored one
 *    step before: an instruction's result is there after 50 cycles, and what it stores is read from the cache;
 *  - activations lie in the order in which they are read (struct wide_block).
 *
 * The compiler does not know that tile instructions read memory: hence barriers around them. */
#include "kernels/x86/tiles.h"
#include "kernels/x86/v512.h"
#include "kernels/x86/x86.h"

#define LEVEL(name) name##_amx
#define V_SIGNED    0
#define V_TILE      8
#define V_WIDE      16
#define V_WIDE_FROM 8
#define V_FEW       2
#define V_ARRANGE   act_arrange
#define V_DPBUSD    _mm512_dpbusd_epi32

/* Tiles 0 to 3: sums; 4 and 5: activations, 6 and 7: weights, of 32 columns or of 16. */
static const struct tile_config tiles_of_32 = {
    .palette = 1,
    .row_bytes = { 64, 64, 64, 64, 32, 32, 64, 64 },
    .rows = { 16, 16, 16, 16, 16, 16, 8, 8 },
};
static const struct tile_config tiles_of_16 = {
    .palette = 1,
    .row_bytes = { 64, 64, 64, 64, 16, 16, 64, 64 },
    .rows = { 16, 16, 16, 16, 16, 16, 4, 4 },
};

/* Tiles of n_rows rows of activations, at most 16. */
static void begin(size_t n_rows, bool split)
{
    struct tile_config c = split ? tiles_of_16 : tiles_of_32;
    for (size_t i = 0; i < 6 && n_rows < V_WIDE; i++)
        c.rows[i] = (uint8_t)n_rows;
    __asm__ volatile("" ::"r"(&c) : "memory"); /* all of it is read */
    _tile_loadconfig(&c);
}

#define V_BEGIN(n_rows, split)                                                                     \
    if ((n_rows) >= V_WIDE_FROM)                                                                   \
    begin(n_rows, split)
#define V_END(n_rows)                                                                              \
    if ((n_rows) >= V_WIDE_FROM)                                                                   \
    _tile_release()

#define TILES_BARRIER __asm__ volatile("" ::: "memory")

#include "kernels/ref/vmath.h"
#include "kernels/x86/vnni.h"

#include "kernels/matmul_panel_template.h"

/* The integers less their offset, so that no sum has to be corrected. */
static void wide_panel(struct sub *panel, size_t n_subs, int offset)
{
    for (size_t b = 0; b < n_subs; b++)
        for (size_t i = 0; i < 8; i++)
            panel[b].u[i] = _mm512_sub_epi8(panel[b].u[i], _mm512_set1_epi8((char)offset));
}

/* 1.5 * 2^23: a float's last bits count ones there, so that an integer added to its bits is added to the number. A tile
 * that begins with it has its sums as floats, this much too large; and a subtraction, which is exact, is done by a port
 * of the processor that multiplies nothing while tiles are in use. Sums are below 2^22. */
static const float sum_start[16] __attribute__((aligned(64))) = {
    VM_ROUND, VM_ROUND, VM_ROUND, VM_ROUND, VM_ROUND, VM_ROUND, VM_ROUND, VM_ROUND,
    VM_ROUND, VM_ROUND, VM_ROUND, VM_ROUND, VM_ROUND, VM_ROUND, VM_ROUND, VM_ROUND,
};

/* The sums of a step, in tile 'slot'; neighbours use other registers for what they multiply. */
static inline __attribute__((always_inline)) void multiply(size_t slot, const int8_t *q,
                                                           const vi *u)
{
    switch (slot) {
    case 0:
        _tile_loadd(0, sum_start, 0);
        _tile_loadd(4, q, 32);
        _tile_loadd(6, u, 64);
        _tile_dpbssd(0, 4, 6);
        break;
    case 1:
        _tile_loadd(1, sum_start, 0);
        _tile_loadd(5, q, 32);
        _tile_loadd(7, u, 64);
        _tile_dpbssd(1, 5, 7);
        break;
    case 2:
        _tile_loadd(2, sum_start, 0);
        _tile_loadd(4, q, 32);
        _tile_loadd(6, u, 64);
        _tile_dpbssd(2, 4, 6);
        break;
    default:
        _tile_loadd(3, sum_start, 0);
        _tile_loadd(5, q, 32);
        _tile_loadd(7, u, 64);
        _tile_dpbssd(3, 5, 7);
        break;
    }
}

static inline __attribute__((always_inline)) void store_sums(size_t slot, float (*to)[16])
{
    switch (slot) {
    case 0:
        _tile_stored(0, to, 64);
        break;
    case 1:
        _tile_stored(1, to, 64);
        break;
    case 2:
        _tile_stored(2, to, 64);
        break;
    default:
        _tile_stored(3, to, 64);
        break;
    }
}

enum { SLOTS = 4, STORE_AHEAD = 1, MULTIPLY_AHEAD = 3 };
typedef float slot_sums[V_WIDE][16];

/* 32 columns of 16 rows of activations, where products read them one after the other: rows as they are prepared lie far
 * apart, and the sixteen lines of a tile came late from the second cache. dsum is d times the sum of q: of all columns,
 * or of each half. */
struct wide_block {
    int8_t q[V_WIDE][32];
    float d[V_WIDE], dsum[2][V_WIDE];
} __attribute__((aligned(64)));
static_assert(sizeof(struct wide_block) == ACT_TILE_BYTES, "room for it in an act");

static inline __attribute__((always_inline)) void
multiply_step(size_t slot, const struct wide_block *x, const struct sub *panel, size_t step,
              size_t n_parts)
{
    size_t b = step / n_parts, part = step % n_parts;
    multiply(slot, x[b].q[0] + 16 * part, panel[b].u + 4 * part);
}

static inline __attribute__((always_inline)) void
add_step(vf *acc, size_t n_m, slot_sums sums, const struct sub *s, const struct wide_block *x,
         size_t part, bool has_min)
{
    const vf start = v_set(VM_ROUND);
#pragma GCC unroll 16
    for (size_t m = 0; m < n_m; m++) {
        vf sum = v_sub(v_load(sums[m]), start);
        acc[m] = v_fma(v_mul(s->scale[part], v_set(x->d[m])), sum, acc[m]);
        if (has_min)
            acc[m] = v_fma(s->min[part], v_set(x->dsum[part][m]), acc[m]);
    }
}

/* Column sums as both formats of mins want them. */
static inline __attribute__((always_inline)) void
block_row(struct wide_block *b, size_t m, const int8_t *q, float d, const int16_t *isum, bool split)
{
    memcpy(b->q[m], q, 32);
    b->d[m] = d;
    b->dsum[0][m] = d * (float)(split ? isum[0] : isum[0] + isum[1]);
    b->dsum[1][m] = d * (float)isum[1];
}

static void clear_block_rows(struct wide_block *b, size_t m)
{
    for (; m < V_WIDE; m++) {
        memset(b->q[m], 0, sizeof(b->q[m]));
        b->d[m] = b->dsum[0][m] = b->dsum[1][m] = 0.0f;
    }
}

static void act_arrange(struct act *x, size_t row0, size_t row1)
{
    size_t n_subs = x->stride / 32;
    for (size_t m = row0; m < row1; m++) {
        struct wide_block *b = (struct wide_block *)x->tiles + m / V_WIDE * n_subs;
        for (size_t i = 0; i < n_subs; i++)
            block_row(b + i, m % V_WIDE, x->q + m * x->stride + 32 * i, x->d[m * n_subs + i],
                      x->isum + 2 * (m * n_subs + i), false);
        for (size_t i = 0; m + 1 == x->n_rows && i < n_subs; i++)
            clear_block_rows(b + i, m % V_WIDE + 1);
    }
}

/* A tile's blocks from rows as they are prepared. */
static inline __attribute__((always_inline)) void make_blocks(struct wide_block *to,
                                                              const struct tile_args *t, bool split)
{
    for (size_t m = 0; m < t->n_rows; m++)
        for (size_t i = 0; i < t->n_subs; i++)
            block_row(to + i, m, t->q + m * t->q_stride + 32 * i, t->d[m * (t->q_stride / 32) + i],
                      t->isum + m * (t->q_stride / 16) + 2 * i, split);
    for (size_t i = 0; i < t->n_subs; i++)
        clear_block_rows(to + i, t->n_rows);
}

/* t->n_rows of n_m rows. */
static inline __attribute__((always_inline)) void wide_tile(const struct tile_args *t, size_t n_m,
                                                            bool split, bool has_min)
{
    const size_t n_parts = split ? 2 : 1, n_steps = t->n_subs * n_parts;
    slot_sums sums[SLOTS] __attribute__((aligned(64)));
    struct wide_block made[CHUNK_SUBS];
    const struct wide_block *x = t->arranged;
    if (!x || (split && has_min)) {
        make_blocks(made, t, split);
        x = made;
    }
    for (size_t slot = 0; slot < SLOTS; slot++) /* of rows that no tile has: nothing odd */
        memset(sums[slot][t->n_rows], 0, (n_m - t->n_rows) * sizeof(sums[slot][0]));

    vf acc[V_WIDE];
#pragma GCC unroll 16
    for (size_t m = 0; m < n_m; m++)
        acc[m] = t->first || m >= t->n_rows ? v_set(0.0f) : v_load(t->y + m * V_ROWS);

    TILES_BARRIER;
#pragma GCC unroll 4
    for (size_t step = 0; step < MULTIPLY_AHEAD; step++)
        if (step < n_steps)
            multiply_step(step, x, t->panel, step, n_parts);
    store_sums(0, sums[0]);
    for (size_t step0 = 0; step0 < n_steps; step0 += SLOTS) {
#pragma GCC unroll 4
        for (size_t i = 0; i < SLOTS; i++) {
            size_t step = step0 + i, store = step + STORE_AHEAD, next = step + MULTIPLY_AHEAD;
            if (step >= n_steps)
                break;
            TILES_BARRIER;
            if (store < n_steps)
                store_sums((i + STORE_AHEAD) % SLOTS, sums[(i + STORE_AHEAD) % SLOTS]);
            if (next < n_steps)
                multiply_step((i + MULTIPLY_AHEAD) % SLOTS, x, t->panel, next, n_parts);
            TILES_BARRIER;
            add_step(acc, n_m, sums[i], &t->panel[step / n_parts], &x[step / n_parts],
                     step % n_parts, has_min);
        }
    }
#pragma GCC unroll 16
    for (size_t m = 0; m < n_m; m++)
        if (m < t->n_rows)
            v_store(t->y + m * V_ROWS, acc[m]);
}

#include "kernels/matmul_int_template.h"
