/* kernels/kernels.c: the table is filled from the slowest level to the fastest, each overriding
 * what it does better; and the sizes of prepared activations and
 * of rows of a cache. */
#include "kernels/kernels.h"
#include "kernels/ref/ref.h"

#if defined(__x86_64__)
#include "kernels/x86/x86.h"
#elif defined(__aarch64__)
#include "kernels/arm/arm.h"
#endif

void kernels_init(struct kernels *k, uint32_t cpu)
{
    kernels_init_ref(k);
#if defined(__x86_64__)
    kernels_init_x86(k, cpu);
#elif defined(__aarch64__)
    kernels_init_arm(k, cpu);
#endif
    k->cpu = cpu;
}

size_t kv_row_bytes(enum kv_type type, size_t dh)
{
    if (type == KV_Q8)
        return dh + (dh + KV_Q8_BLOCK - 1) / KV_Q8_BLOCK * 2;
    return dh * (type == KV_F16 ? 2 : 4);
}

size_t act_stride(size_t n_cols)
{
    return (n_cols + 31) / 32 * 32;
}

size_t act_tile_bytes(size_t n_rows, size_t n_cols)
{
    return (n_rows + 15) / 16 * (act_stride(n_cols) / 32) * ACT_TILE_BYTES;
}

void act_bytes(size_t *f, size_t *q, size_t *d, size_t *isum, size_t n_rows, size_t n_cols)
{
    size_t n = n_rows * act_stride(n_cols);
    *f = n * sizeof(float);
    *q = n * sizeof(int8_t);
    *d = n / 32 * sizeof(float);
    *isum = n / 16 * sizeof(int16_t);
}
