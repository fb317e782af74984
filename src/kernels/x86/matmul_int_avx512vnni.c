/* kernels/x86/matmul_int_avx512vnni.c: vpdpbusd multiplies 64 unsigned bytes with 64 signed ones
 * and adds each four products to a 32-bit sum, exactly. */
#include "kernels/x86/v512.h"
#include "kernels/x86/x86.h"

#define LEVEL(name) name##_avx512vnni
#define V_SIGNED    0
#define V_TILE      8
#define V_WIDE      0
#define V_WIDE_FROM 0
#define V_FEW       2

static inline vi v_dot4(vi w, vi q, int largest)
{
    (void)largest;
    return _mm512_dpbusd_epi32(_mm512_setzero_si512(), w, q);
}

static inline __attribute__((always_inline)) void v_dot(vi *sum, size_t n_m, const vi *u, size_t n,
                                                        const int8_t *q, size_t stride, int largest)
{
    (void)largest;
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

#define V_BEGIN(n_rows, split) ((void)(split))
#define V_END(n_rows)          ((void)0)

#include "kernels/matmul_int_template.h"
