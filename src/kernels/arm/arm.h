/* kernels/arm/arm.h: what the 64-bit ARM levels override. */
#ifndef KERNELS_ARM_ARM_H
#define KERNELS_ARM_ARM_H

#include "kernels/kernels.h"

void kernels_init_arm(struct kernels *k, uint32_t cpu);

#endif
