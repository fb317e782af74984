/* constrain/mask.h: a set of token ids as bits, in 64-bit words. */
#ifndef CONSTRAIN_MASK_H
#define CONSTRAIN_MASK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline size_t mask_words(size_t n_ids)
{
    return (n_ids + 63) / 64;
}
static inline bool mask_has(const uint64_t *mask, size_t id)
{
    return mask[id / 64] >> (id % 64) & 1;
}
static inline void mask_set(uint64_t *mask, size_t id)
{
    mask[id / 64] |= (uint64_t)1 << (id % 64);
}

#endif
