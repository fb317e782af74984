/* kernels/arm/matmul_int_dotprod.c: sdot adds four byte products to each 32-bit sum. */
#include "kernels/arm/v128.h"

#include "kernels/arm/arm.h"

#define LEVEL(name) name##_dotprod
#define V_SIGNED    1
#define V_TILE      8
#define V_WIDE      0
#define V_WIDE_FROM 0
#define V_FEW       1
#define V_ARRANGE   NULL

static inline vi v_dot4(vi w, vi q, int largest)
{
    (void)largest;
    return vreinterpretq_u32_s32(
        vdotq_s32(vdupq_n_s32(0), vreinterpretq_s8_u32(w), vreinterpretq_s8_u32(q)));
}

static inline __attribute__((always_inline)) void v_dot(vi *sum, size_t n_m, const vi *u, size_t n,
                                                        const int8_t *q, size_t stride, int largest)
{
    (void)largest;
#pragma GCC unroll 8
    for (size_t i = 0; i < n; i++) {
        int8x16_t w = vreinterpretq_s8_u32(u[i]);
#pragma GCC unroll 8
        for (size_t m = 0; m < n_m; m++) {
            int32_t four;
            memcpy(&four, q + m * stride + 4 * i, 4);
            int8x16_t x = vreinterpretq_s8_s32(vdupq_n_s32(four));
            sum[m] = vreinterpretq_u32_s32(vdotq_s32(vreinterpretq_s32_u32(sum[m]), w, x));
        }
    }
}

#define V_BEGIN(n_rows, split) ((void)(split))
#define V_END(n_rows)          ((void)0)

#include "kernels/matmul_int_template.h"
