/* kernels/arm/matmul_int_neon.c: byte products without the dot product instruction: eight products
 * of 16 bits at a time, added in pairs to 32 bits. A pair of rows' sums lies in each half vector
 * until the end. */
#include "kernels/arm/v128.h"

#include "kernels/arm/arm.h"

#define LEVEL(name) name##_neon
#define V_SIGNED    1
#define V_TILE      8
#define V_WIDE      0
#define V_WIDE_FROM 0
#define V_FEW       1
#define V_ARRANGE   NULL

static inline vi v_dot4(vi w, vi q, int largest)
{
    (void)largest;
    int8x16_t a = vreinterpretq_s8_u32(w), b = vreinterpretq_s8_u32(q);
    int32x4_t lo = vpaddlq_s16(vmull_s8(vget_low_s8(a), vget_low_s8(b)));
    int32x4_t hi = vpaddlq_s16(vmull_high_s8(a, b));
    return vreinterpretq_u32_s32(vpaddq_s32(lo, hi));
}

static inline __attribute__((always_inline)) void v_dot(vi *sum, size_t n_m, const vi *u, size_t n,
                                                        const int8_t *q, size_t stride, int largest)
{
    (void)largest;
    int32x4_t lo[V_TILE], hi[V_TILE]; /* rows 0 and 1, rows 2 and 3: two partial sums each */
#pragma GCC unroll 8
    for (size_t m = 0; m < n_m; m++)
        lo[m] = hi[m] = vdupq_n_s32(0);
#pragma GCC unroll 8
    for (size_t i = 0; i < n; i++) {
        int8x16_t w = vreinterpretq_s8_u32(u[i]);
#pragma GCC unroll 8
        for (size_t m = 0; m < n_m; m++) {
            int32_t four;
            memcpy(&four, q + m * stride + 4 * i, 4);
            int8x16_t x = vreinterpretq_s8_s32(vdupq_n_s32(four));
            lo[m] = vpadalq_s16(lo[m], vmull_s8(vget_low_s8(w), vget_low_s8(x)));
            hi[m] = vpadalq_s16(hi[m], vmull_high_s8(w, x));
        }
    }
#pragma GCC unroll 8
    for (size_t m = 0; m < n_m; m++)
        sum[m] = vaddq_u32(sum[m], vreinterpretq_u32_s32(vpaddq_s32(lo[m], hi[m])));
}

#define V_BEGIN(n_rows, split) ((void)(split))
#define V_END(n_rows)          ((void)0)

#include "kernels/matmul_int_template.h"
