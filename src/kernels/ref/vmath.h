/* kernels/ref/vmath.h: exp, sigmoid, softplus, tanh and erf, one number at a time.
 *
 * The C library's versions differ between systems; ours are short polynomials whose every operation
 * is written out, so that the vector versions (x86/, arm/) can repeat the same operations in the
 * same order and reach the same bits. fmaf is the only operation with a single rounding for two
 * steps; the compiler is told not to fuse anything by itself.
 *
 * exp is within 2 ulp, and 0 where the result would be subnormal; sigmoid within 4 ulp for |x| <
 * 87; tanh and erf within 4e-7 absolute. A NaN comes out as a NaN. */
#ifndef KERNELS_REF_VMATH_H
#define KERNELS_REF_VMATH_H

#include <math.h>
#include <stdint.h>
#include <string.h>

/* Adding 1.5 * 2^23 leaves the nearest integer (ties to even) in the low bits of the sum. */
#define VM_ROUND 12582912.0f

static inline uint32_t vm_bits(float x)
{
    uint32_t u;
    memcpy(&u, &x, sizeof(u));
    return u;
}

static inline float vm_float(uint32_t u)
{
    float x;
    memcpy(&x, &u, sizeof(x));
    return x;
}

/* Below this e^x would be a subnormal float, with which processors compute a hundred times slower.
 */
#define VM_EXP_MIN (-87.3365402f)

/* e^x = 2^n * e^r with |r| <= ln 2 / 2. The power of two is applied in two factors, because n
 * reaches 128 (overflow) and one float exponent cannot hold that. */
static inline float vm_exp(float x)
{
    x = x > 89.0f ? 89.0f : x;   /* e^89 is infinite */
    x = x < -89.0f ? -89.0f : x; /* any number below VM_EXP_MIN */

    float t = fmaf(x, 1.44269504f, VM_ROUND);
    float n = t - VM_ROUND;
    float r =
        fmaf(n, -0.693145752f, x); /* ln 2 in two parts; the first has few bits, so this is exact */
    r = fmaf(n, -1.42860677e-6f, r);

    float p = 0.00138145984f;
    p = fmaf(p, r, 0.0083687169f);
    p = fmaf(p, r, 0.0416683881f);
    p = fmaf(p, r, 0.166665206f);
    p = fmaf(p, r, 0.499999934f);
    p = fmaf(p, r * r, r);
    p = p + 1.0f;

    int32_t k = (int32_t)(vm_bits(t) - vm_bits(VM_ROUND));
    int32_t k1 = k >= 0 ? k / 2 : -((1 - k) / 2); /* floor(k / 2) */
    float y = p * vm_float((uint32_t)(k1 + 127) << 23) * vm_float((uint32_t)(k - k1 + 127) << 23);
    return x < VM_EXP_MIN ? 0.0f : y;
}

/* Both branches divide by 1 + e^-|x|, which cannot overflow. */
static inline float vm_sigmoid(float x)
{
    float e = vm_exp(-fabsf(x));
    return (x < 0.0f ? e : 1.0f) / (1.0f + e);
}

static inline float vm_silu(float x)
{
    return x * vm_sigmoid(x);
}

static inline float vm_tanh(float x)
{
    float e = vm_exp(-2.0f * fabsf(x));
    return copysignf((1.0f - e) / (1.0f + e), x);
}

/* log(1 + e^x) = max(x, 0) + log(1 + e), e = e^-|x| in (0, 1]; and log(1 + e) = 2 atanh(s), s = e /
 * (2 + e), whose series in s^2 <= 1/9 is short. */
static inline float vm_softplus(float x)
{
    float e = vm_exp(-fabsf(x));
    float s = e / (2.0f + e);
    float z = s * s;
    float p = 0.140122296f;
    p = fmaf(p, z, 0.139995705f);
    p = fmaf(p, z, 0.200108495f);
    p = fmaf(p, z, 0.333332066f);
    float l = fmaf(p * z, s, s);
    return fmaf(2.0f, l, x > 0.0f ? x : 0.0f);
}

/* erf(|x|) = 1 - t P(t) e^(-x^2), t = 1 / (1 + 0.45 |x|). */
static inline float vm_erf(float x)
{
    float a = fabsf(x);
    float t = 1.0f / fmaf(0.45f, a, 1.0f);
    float p = 0.0925696073f;
    p = fmaf(p, t, -0.494104157f);
    p = fmaf(p, t, 0.857167427f);
    p = fmaf(p, t, -0.375802399f);
    p = fmaf(p, t, 0.460170377f);
    p = fmaf(p, t, 0.201009469f);
    p = fmaf(p, t, 0.258989676f);
    return copysignf(fmaf(-(p * t), vm_exp(-(a * a)), 1.0f), x);
}

static inline float vm_gelu_erf(float x)
{
    float h = 0.5f * x;
    return fmaf(h, vm_erf(x * 0.707106781f), h);
}

/* 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) */
static inline float vm_gelu_tanh(float x)
{
    float u = fmaf(x * x * 0.044715f, x, x);
    float h = 0.5f * x;
    return fmaf(h, vm_tanh(0.797884561f * u), h);
}

#endif
