/* One block of memory, handed out in parts: the same code lays out scratch memory and, with no block,
 * says how large it must be. */
#ifndef MODEL_CARVE_H
#define MODEL_CARVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/size.h"
#include "kernels/kernels.h"

/* With base NULL it only adds up. */
struct carver {
    char *base;
    size_t used;
    bool overflow;
};

static inline void *carve(struct carver *c, size_t n, size_t m, size_t elem)
{
    size_t bytes, end;
    if (c->overflow || !size_mul(&bytes, n, m) || !size_mul(&bytes, bytes, elem) ||
        !size_add(&end, c->used, bytes) || end > SIZE_MAX / 2) {
        c->overflow = true;
        return NULL;
    }
    void *p = c->base ? c->base + c->used : NULL;
    c->used = size_align(end, 64);
    return p;
}

static inline float *carve_floats(struct carver *c, size_t n, size_t m)
{
    return (float *)carve(c, n, m, sizeof(float));
}

static inline struct act carve_act(struct carver *c, size_t n, size_t n_cols)
{
    size_t stride = act_stride(n_cols);
    return (struct act){
        .n_cols = n_cols,
        .stride = stride,
        .f = carve_floats(c, n, stride),
        .q = (int8_t *)carve(c, n, stride, sizeof(int8_t)),
        .d = carve_floats(c, n, stride / 32),
        .isum = (int16_t *)carve(c, n, stride / 16, sizeof(int16_t)),
    };
}

/* The same with room to arrange it. Only levels that arrange ever touch that. */
static inline struct act carve_act_arranged(struct carver *c, size_t n, size_t n_cols)
{
    struct act x = carve_act(c, n, n_cols);
    x.tiles = carve(c, act_tile_bytes(n, 32), act_stride(n_cols) / 32, 1);
    return x;
}

#endif
