/* kernels/x86/matmul_int_avxvnni.c: vpdpbusd in 256 bits, for processors that have it without
 * AVX-512. */
#define LEVEL(name) name##_avxvnni
#define V_DPBUSD    _mm256_dpbusd_avx_epi32

#include "kernels/x86/matmul_int_vnni256.h"
