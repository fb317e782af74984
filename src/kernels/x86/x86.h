/* kernels/x86/x86.h: what the x86-64 levels override. */
#ifndef KERNELS_X86_X86_H
#define KERNELS_X86_X86_H

#include "kernels/kernels.h"

void kernels_init_x86(struct kernels *k, uint32_t cpu);

#endif
