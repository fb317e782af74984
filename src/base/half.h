/* base/half.h: IEEE binary16 and bfloat16 to and from float, exactly, in plain C. The kernels have
 * the vector forms; these are for single values and for the reference. Rounding is to nearest, ties
 * to even. */
#ifndef BASE_HALF_H
#define BASE_HALF_H

#include <stdint.h>
#include <string.h>

static inline float f32_from_bits(uint32_t u)
{
    float f;
    memcpy(&f, &u, sizeof(f));
    return f;
}

static inline uint32_t f32_bits(float f)
{
    uint32_t u;
    memcpy(&u, &f, sizeof(u));
    return u;
}

static inline float f16_to_f32(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000u) << 16;
    uint32_t exp = (h >> 10) & 0x1Fu;
    uint32_t man = h & 0x3FFu;
    if (exp == 31) /* infinity and NaN */
        return f32_from_bits(sign | 0x7F800000u | man << 13);
    if (exp == 0) { /* zero and subnormals: man * 2^-24 is exact in float */
        float v = (float)man * 0x1p-24f;
        return f32_from_bits(f32_bits(v) | sign);
    }
    return f32_from_bits(sign | (exp + 112) << 23 | man << 13); /* 112 = 127 - 15 */
}

static inline uint16_t f32_to_f16(float f)
{
    uint32_t u = f32_bits(f);
    uint16_t sign = (uint16_t)((u >> 16) & 0x8000u);
    u &= 0x7FFFFFFFu;
    if (u > 0x7F800000u) /* NaN: quiet, payload's top bits kept */
        return (uint16_t)(sign | 0x7E00u | ((u >> 13) & 0x3FFu));
    if (u >= 0x477FF000u) /* rounds to 2^16 or more: infinity */
        return (uint16_t)(sign | 0x7C00u);
    if (u < 0x38800000u) {                 /* below 2^-14: let float addition do the rounding */
        float v = f32_from_bits(u) + 0.5f; /* ulp of 0.5 is 2^-24, the subnormal step */
        return (uint16_t)(sign | (f32_bits(v) - f32_bits(0.5f)));
    }
    u += 0xFFFu + ((u >> 13) & 1u); /* nearest, ties to even */
    return (uint16_t)(sign | ((u - 0x38000000u) >> 13));
}

static inline float bf16_to_f32(uint16_t h)
{
    return f32_from_bits((uint32_t)h << 16);
}

static inline uint16_t f32_to_bf16(float f)
{
    uint32_t u = f32_bits(f);
    if ((u & 0x7FFFFFFFu) > 0x7F800000u)
        return (uint16_t)(u >> 16 | 0x40u);
    return (uint16_t)((u + 0x7FFFu + ((u >> 16) & 1u)) >> 16);
}

#endif
