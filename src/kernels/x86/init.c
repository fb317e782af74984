/* kernels/x86/init.c: the levels of x86-64 in turn. */
#include "kernels/x86/x86.h"

void kernels_init_x86(struct kernels *k, uint32_t cpu)
{
    (void)k;
    (void)cpu;
}
