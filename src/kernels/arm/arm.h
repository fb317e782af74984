/* kernels/arm/arm.h: what the 64-bit ARM levels override: one function a family and level. */
#ifndef KERNELS_ARM_ARM_H
#define KERNELS_ARM_ARM_H

#include "kernels/kernels.h"

void kernels_init_arm(struct kernels *k, uint32_t cpu);

void kernels_init_float_neon(struct kernels *k);
void kernels_init_matmul_int_neon(struct kernels *k);
void kernels_init_matmul_int_dotprod(struct kernels *k);

#endif
