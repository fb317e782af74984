/* kernels/x86/matmul_int_vnni256.h: vpdpbusd in 256 bits, which processors have in two encodings; the file that
 * includes this says which one as V_DPBUSD, and its LEVEL. */
#include "kernels/x86/v256.h"
#include "kernels/x86/x86.h"

#define V_SIGNED    0
#define V_TILE      4
#define V_WIDE      0
#define V_WIDE_FROM 0
#define V_FEW       1

static inline vi v_dot4(vi w, vi q, int largest)
{
    (void)largest;
    return V_DPBUSD(_mm256_setzero_si256(), w, q);
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
            sum[m] = V_DPBUSD(sum[m], u[i], _mm256_set1_epi32(four));
        }
    }
}

#define V_BEGIN(n_rows, split) ((void)(split))
#define V_END(n_rows)          ((void)0)

#include "kernels/matmul_int_template.h"
