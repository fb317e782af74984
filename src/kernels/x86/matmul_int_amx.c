/* kernels/x86/matmul_int_amx.c: the integer sums of 16 rows of weights by 16 rows of activations in
 * one instruction. A panel's 32 columns are a tile of weights as they lie: 8 times 16 rows of 4
 * bytes. Only one sub-block is summed at a time, because the floats go sub-block by sub-block
 * (kernels.h); half the instruction would be idle with more. Fewer than 16 rows take VNNI.
 *
 * The compiler does not know that tile instructions read memory: hence a constant configuration,
 * and a barrier before tiles are loaded. */
#include "kernels/x86/v512.h"
#include "kernels/x86/x86.h"

#define LEVEL(name) name##_amx
#define V_SIGNED    0
#define V_TILE      16

/* tile 0: sums; 1 and 2: activations and weights of 32 columns; 3 and 4: of 16 columns */
static const struct {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} tile_config __attribute__((aligned(64))) = {
    .palette = 1,
    .row_bytes = { 64, 32, 64, 16, 64 },
    .rows = { 16, 16, 8, 16, 4 },
};

#define V_BEGIN(n_rows)                                                                            \
    if ((n_rows) >= 16)                                                                            \
    _tile_loadconfig(&tile_config)
#define V_END(n_rows)                                                                              \
    if ((n_rows) >= 16)                                                                            \
    _tile_release()

static inline __attribute__((always_inline)) void dot_tiles(vi *sum, const vi *u, size_t n,
                                                            const int8_t *q, size_t stride)
{
    int32_t c[16][16] __attribute__((aligned(64)));
    __asm__ volatile("" ::: "memory");
    _tile_zero(0);
    if (n == 8) {
        _tile_loadd(1, q, stride);
        _tile_loadd(2, u, 64);
        _tile_dpbsud(0, 1, 2);
    } else {
        _tile_loadd(3, q, stride);
        _tile_loadd(4, u, 64);
        _tile_dpbsud(0, 3, 4);
    }
    _tile_stored(0, c, 64);
    __asm__ volatile("" ::: "memory");
#pragma GCC unroll 16
    for (size_t m = 0; m < 16; m++)
        sum[m] = _mm512_add_epi32(sum[m], _mm512_load_si512(c[m]));
}

static inline __attribute__((always_inline)) void v_dot(vi *sum, size_t n_m, const vi *u, size_t n,
                                                        const int8_t *q, size_t stride, int largest)
{
    (void)largest;
    if (n_m == 16) {
        dot_tiles(sum, u, n, q, stride);
        return;
    }
#pragma GCC unroll 8
    for (size_t i = 0; i < n; i++) {
#pragma GCC unroll 8
        for (size_t m = 0; m < n_m; m++) {
            int32_t four;
            memcpy(&four, q + m * stride + 4 * i, 4);
            sum[m] = _mm512_dpbusd_epi32(sum[m], u[i], _mm512_set1_epi32(four));
        }
    }
}

#include "kernels/matmul_int_template.h"
