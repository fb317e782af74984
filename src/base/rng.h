/* base/rng.h: xoshiro256** (Blackman & Vigna, 2018), seeded by splitmix64. Repeatable, not secret:
 * keys come from libsodium, never from here. */
#ifndef BASE_RNG_H
#define BASE_RNG_H

#include <stddef.h>
#include <stdint.h>

struct rng {
    uint64_t s[4];
};

static inline void rng_init(struct rng *r, uint64_t seed)
{
    for (int i = 0; i < 4; i++) {
        uint64_t z = (seed += 0x9E3779B97F4A7C15u);
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
        z = (z ^ z >> 27) * 0x94D049BB133111EBu;
        r->s[i] = z ^ z >> 31;
    }
}

static inline uint64_t rng_u64(struct rng *r)
{
    uint64_t *s = r->s;
    uint64_t x = s[1] * 5;
    uint64_t out = (x << 7 | x >> 57) * 9;
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = s[3] << 45 | s[3] >> 19;
    return out;
}

/* Uniform in [0, 1), 24 bits. */
static inline float rng_f32(struct rng *r)
{
    return (float)(rng_u64(r) >> 40) * 0x1p-24f;
}

/* Uniform in [0, n), n > 0; the bias of the multiply is below 2^-32 for the small n used here. */
static inline size_t rng_below(struct rng *r, size_t n)
{
    return (size_t)(((rng_u64(r) >> 32) * (uint64_t)n) >> 32);
}

#endif
