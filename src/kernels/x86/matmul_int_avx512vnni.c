/* kernels/x86/matmul_int_avx512vnni.c: vpdpbusd multiplies 64 unsigned bytes with 64 signed ones
 * and adds each four products to a 32-bit sum, exactly. */
#include "kernels/x86/v512.h"
#include "kernels/x86/x86.h"

#define LEVEL(name) name##_avx512vnni
#define V_SIGNED    0

static inline vi v_dot(vi acc, const vi *u, size_t n, const int8_t *q, int largest)
{
    (void)largest;
    for (size_t i = 0; i < n; i++) {
        int32_t four;
        memcpy(&four, q + 4 * i, 4);
        acc = _mm512_dpbusd_epi32(acc, u[i], _mm512_set1_epi32(four));
    }
    return acc;
}

#include "kernels/matmul_int_template.h"
