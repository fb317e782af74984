/* kernels/x86/matmul_int_avxvnni.c: vpdpbusd in 256 bits, for processors that have it without
 * AVX-512. */
#include "kernels/x86/v256.h"
#include "kernels/x86/x86.h"

#define LEVEL(name) name##_avxvnni
#define V_SIGNED    0

static inline vi v_dot(vi acc, const vi *u, size_t n, const int8_t *q, int largest)
{
    (void)largest;
    for (size_t i = 0; i < n; i++) {
        int32_t four;
        memcpy(&four, q + 4 * i, 4);
        acc = _mm256_dpbusd_avx_epi32(acc, u[i], _mm256_set1_epi32(four));
    }
    return acc;
}

#include "kernels/matmul_int_template.h"
