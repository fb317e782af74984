/* kernels/x86/matmul_int_avx512vnni.c: vpdpbusd in 512 bits. */
#include "kernels/x86/v512.h"
#include "kernels/x86/x86.h"

#define LEVEL(name) name##_avx512vnni
#define V_SIGNED    0
#define V_TILE      8
#define V_WIDE      0
#define V_WIDE_FROM 0
#define V_FEW       2
#define V_ARRANGE   NULL
#define V_DPBUSD    _mm512_dpbusd_epi32

#include "kernels/x86/vnni.h"

#define V_BEGIN(n_rows, split) ((void)(split))
#define V_END(n_rows)          ((void)0)

#include "kernels/matmul_int_template.h"
