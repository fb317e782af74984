/* kernels/x86/matmul_int_avxvnni.c: vpdpbusd in 256 bits, for processors that have it without
 * AVX-512. */
#include "kernels/x86/v256.h"
#include "kernels/x86/x86.h"

#define LEVEL(name) name##_avxvnni
#define V_SIGNED    0
#define V_TILE      4
#define V_WIDE      0
#define V_WIDE_FROM 0
#define V_FEW       1
#define V_ARRANGE   NULL
#define V_DPBUSD    _mm256_dpbusd_avx_epi32

#include "kernels/x86/vnni.h"

#define V_BEGIN(n_rows, split) ((void)(split))
#define V_END(n_rows)          ((void)0)

#include "kernels/matmul_int_template.h"
