/* kernels/x86/matmul_int_amx.c: the integer sums of 16 rows of weights by 16 rows of activations in
 * one instruction. A panel's 32 columns are a tile of weights as they lie: 8 times 16 rows of 4
 * bytes. Only one sub-block is summed at a time, because the floats go sub-block by sub-block
 * (kernels.h); half the instruction would be idle with more. From 8 to 15 rows the tiles
 * are shorter; fewer, and what is left over from sixteens, take VNNI.
 *
 * An instruction's result is there after 50 cycles and has to go through memory to become floats.
 * So four steps (sub-blocks, or halves with split scales) are multiplied before the first one's sums
 * are stored, and all four are stored before the first is scaled and added.
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

#include "kernels/x86/vnni.h"

#include "kernels/matmul_panel_template.h"

/* The integers less their offset, so that no sum has to be corrected. */
static void wide_panel(struct sub *panel, size_t n_subs, int offset)
{
    for (size_t b = 0; b < n_subs; b++)
        for (size_t i = 0; i < 8; i++)
            panel[b].u[i] = _mm512_sub_epi8(panel[b].u[i], _mm512_set1_epi8((char)offset));
}

/* The sums of a step, in tile 'slot'; neighbours use other registers for what they multiply. */
static inline __attribute__((always_inline)) void multiply(size_t slot, const int8_t *q,
                                                           size_t stride, const vi *u)
{
    switch (slot) {
    case 0:
        _tile_loadd(4, q, stride);
        _tile_loadd(6, u, 64);
        _tile_zero(0);
        _tile_dpbssd(0, 4, 6);
        break;
    case 1:
        _tile_loadd(5, q, stride);
        _tile_loadd(7, u, 64);
        _tile_zero(1);
        _tile_dpbssd(1, 5, 7);
        break;
    case 2:
        _tile_loadd(4, q, stride);
        _tile_loadd(6, u, 64);
        _tile_zero(2);
        _tile_dpbssd(2, 4, 6);
        break;
    default:
        _tile_loadd(5, q, stride);
        _tile_loadd(7, u, 64);
        _tile_zero(3);
        _tile_dpbssd(3, 5, 7);
        break;
    }
}

static inline __attribute__((always_inline)) void store_sums(size_t slot, int32_t (*to)[16])
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

enum { SLOTS = 4 };
typedef int32_t slot_sums[V_WIDE][16];

/* The integer sums of n <= SLOTS steps from 'step0'. */
static inline __attribute__((always_inline)) void
sum_steps(slot_sums *sums, const struct tile_args *t, size_t step0, size_t n, size_t n_parts)
{
    __asm__ volatile("" ::: "memory");
#pragma GCC unroll 4
    for (size_t slot = 0; slot < n; slot++) {
        size_t step = step0 + slot;
        multiply(slot, t->q + 32 / n_parts * step, t->q_stride,
                 t->panel[step / n_parts].u + 4 * (step % n_parts));
    }
#pragma GCC unroll 4
    for (size_t slot = 0; slot < n; slot++)
        store_sums(slot, sums[slot]);
    __asm__ volatile("" ::: "memory");
}

static inline __attribute__((always_inline)) void
add_step(vf *acc, size_t n_m, slot_sums sums, const struct sub *s, const struct tile_aux *x,
         size_t b, size_t part, bool has_min)
{
#pragma GCC unroll 16
    for (size_t m = 0; m < n_m; m++) {
        vf sum = v_from_int(_mm512_load_si512(sums[m]));
        acc[m] = v_fma(v_mul(s->scale[part], v_set(x->d[m][b])), sum, acc[m]);
        if (has_min)
            acc[m] = v_fma(s->min[part], v_set(x->dsum[part][m][b]), acc[m]);
    }
}

/* The rows between those there are and n_m: zeros, so that nothing odd is computed with. */
static void clear_rows(struct tile_aux *x, slot_sums *sums, size_t n_rows, size_t n_m)
{
    for (size_t m = n_rows; m < n_m; m++) {
        memset(x->d[m], 0, sizeof(x->d[m]));
        memset(x->dsum[0][m], 0, sizeof(x->dsum[0][m]));
        memset(x->dsum[1][m], 0, sizeof(x->dsum[1][m]));
        for (size_t slot = 0; slot < SLOTS; slot++)
            memset(sums[slot][m], 0, sizeof(sums[slot][m]));
    }
}

/* t->n_rows of n_m rows; the results of the others go to y, too, where nobody reads them. */
static inline __attribute__((always_inline)) void wide_tile(const struct tile_args *t, size_t n_m,
                                                            bool split, bool has_min)
{
    const size_t n_parts = split ? 2 : 1, n_steps = t->n_subs * n_parts;
    slot_sums sums[SLOTS] __attribute__((aligned(64)));
    struct tile_aux x;
    for (size_t m = 0; m < t->n_rows; m++)
        aux_row(tile_row(&x, m), t->n_subs, t->d + m * (t->q_stride / 32),
                t->isum + m * (t->q_stride / 16), split, has_min, 0);
    clear_rows(&x, sums, t->n_rows, n_m);

    vf acc[V_WIDE];
#pragma GCC unroll 16
    for (size_t m = 0; m < n_m; m++)
        acc[m] = t->first ? v_set(0.0f) : v_load(t->y + m * t->ldy);

    size_t step = 0;
    for (; step + SLOTS <= n_steps; step += SLOTS) {
        sum_steps(sums, t, step, SLOTS, n_parts);
#pragma GCC unroll 4
        for (size_t i = 0; i < SLOTS; i++)
            add_step(acc, n_m, sums[i], &t->panel[(step + i) / n_parts], &x, (step + i) / n_parts,
                     (step + i) % n_parts, has_min);
    }
    for (; step < n_steps; step++) {
        sum_steps(sums, t, step, 1, n_parts);
        add_step(acc, n_m, sums[0], &t->panel[step / n_parts], &x, step / n_parts, step % n_parts,
                 has_min);
    }
#pragma GCC unroll 16
    for (size_t m = 0; m < n_m; m++)
        v_store(t->y + m * t->ldy, acc[m]);
}

#include "kernels/matmul_int_template.h"
