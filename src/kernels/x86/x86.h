/* kernels/x86/x86.h: what the x86-64 levels override: one function a family and level. */
#ifndef KERNELS_X86_X86_H
#define KERNELS_X86_X86_H

#include "kernels/kernels.h"

void kernels_init_x86(struct kernels *k, uint32_t cpu);

void kernels_init_float_avx2(struct kernels *k);
void kernels_init_float_avx512(struct kernels *k);
void kernels_init_matmul_int_avx2(struct kernels *k);
void kernels_init_matmul_int_avxvnni(struct kernels *k);
void kernels_init_matmul_int_avx512(struct kernels *k);
void kernels_init_matmul_int_avx512vnni(struct kernels *k);
void kernels_init_matmul_int_amx(struct kernels *k);

#endif
