/* kernels/arm/init.c: the levels of 64-bit ARM in turn. */
#include "kernels/arm/arm.h"

void kernels_init_arm(struct kernels *k, uint32_t cpu)
{
    (void)k;
    (void)cpu;
}
