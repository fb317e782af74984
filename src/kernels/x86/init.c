/* kernels/x86/init.c: the levels of x86-64 in turn. Every level takes the ones below it for
 * granted. */
#include "kernels/x86/x86.h"

void kernels_init_x86(struct kernels *k, uint32_t cpu)
{
    if (!(cpu & CPU_AVX2))
        return;
    kernels_init_float_avx2(k);
    kernels_init_matmul_int_avx2(k);
    if (cpu & CPU_AVXVNNI)
        kernels_init_matmul_int_avxvnni(k);

    if (!(cpu & CPU_AVX512))
        return;
    kernels_init_float_avx512(k);
    if (!(cpu & CPU_AVXVNNI)) /* 256 bits with VNNI beat 512 without */
        kernels_init_matmul_int_avx512(k);
    if (!(cpu & CPU_AVX512VNNI))
        return;
    kernels_init_matmul_int_avx512vnni(k);
    if (cpu & CPU_AMX_INT8 & cpu_detect()) /* detecting is also asking the system for the tiles */
        kernels_init_matmul_int_amx(k);
}
