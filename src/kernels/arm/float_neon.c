/* kernels/arm/float_neon.c: everything but the integer products, with what every 64-bit ARM has. */
#include "kernels/arm/v128.h"

#include "kernels/arm/arm.h"
#include "kernels/ref/ref.h"
#include "kernels/ref/vmath.h"
#include "kernels/words.h"

#define LEVEL(name) name##_neon

#include "kernels/vector_template.h"
#include "kernels/matmul_float_template.h"
#include "kernels/attention_template.h"
#include "kernels/float_table.h"
