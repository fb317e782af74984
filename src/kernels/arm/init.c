/* kernels/arm/init.c: the levels of 64-bit ARM in turn. */
#include "kernels/arm/arm.h"

void kernels_init_arm(struct kernels *k, uint32_t cpu)
{
    if (!(cpu & CPU_NEON))
        return;
    kernels_init_float_neon(k);
    kernels_init_matmul_int_neon(k);
    if (cpu & CPU_DOTPROD)
        kernels_init_matmul_int_dotprod(k);
}
