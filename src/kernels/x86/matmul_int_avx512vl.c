/* kernels/x86/matmul_int_avx512vl.c: vpdpbusd in 256 bits as AVX-512 says it, for few rows of
 * activations on processors with 512-bit VNNI. */
#define LEVEL(name) name##_avx512vl
#define V_DPBUSD    _mm256_dpbusd_epi32

#include "kernels/x86/matmul_int_vnni256.h"
