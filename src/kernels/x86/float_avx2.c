/* kernels/x86/float_avx2.c: everything but the integer products, with AVX2, FMA and F16C. */
#include "kernels/x86/v256.h"

#include "kernels/ref/ref.h"
#include "kernels/ref/vmath.h"
#include "kernels/words.h"
#include "kernels/x86/x86.h"

#define LEVEL(name) name##_avx2

#include "kernels/vector_template.h"
#include "kernels/matmul_float_template.h"
#include "kernels/attention_template.h"
#include "kernels/float_table.h"
