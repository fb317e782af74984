/* kernels/arm/v128.h: the vocabulary of the templates in 128 bits, for 64-bit ARM. See x86/v512.h.
 */
#ifndef KERNELS_ARM_V128_H
#define KERNELS_ARM_V128_H

#include <arm_neon.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef uint32x4_t vi;
typedef float32x4_t vf;

enum { V_ROWS = 4 };

/* ---- integers ---- */

static inline vi v_set32(uint32_t x)
{
    return vdupq_n_u32(x);
}

static inline vi v_and(vi a, vi b)
{
    return vandq_u32(a, b);
}

static inline vi v_or(vi a, vi b)
{
    return vorrq_u32(a, b);
}

static inline vi v_xor(vi a, vi b)
{
    return veorq_u32(a, b);
}

static inline vi v_add32(vi a, vi b)
{
    return vaddq_u32(a, b);
}

static inline vi v_sub32(vi a, vi b)
{
    return vsubq_u32(a, b);
}

static inline vi v_mul32(vi a, vi b)
{
    return vmulq_u32(a, b);
}

static inline vi v_load_int(const void *p)
{
    return vreinterpretq_u32_u8(vld1q_u8(p));
}

static inline void v_store_int(void *p, vi x)
{
    vst1q_u8(p, vreinterpretq_u8_u32(x));
}

static inline vi v_shl(vi x, unsigned n)
{
    return vshlq_u32(x, vdupq_n_s32((int)n));
}

static inline vi v_shr(vi x, unsigned n)
{
    return vshlq_u32(x, vdupq_n_s32(-(int)n));
}

static inline vi v_sar(vi x, unsigned n)
{
    return vreinterpretq_u32_s32(vshlq_s32(vreinterpretq_s32_u32(x), vdupq_n_s32(-(int)n)));
}

/* the sum of the two signed 16-bit halves of each element */
static inline vi v_add_halves(vi x)
{
    return vreinterpretq_u32_s32(vpaddlq_s16(vreinterpretq_s16_u32(x)));
}

static inline vi v_lookup(const uint8_t table[16], vi idx)
{
    return vreinterpretq_u32_u8(vqtbl1q_u8(vld1q_u8(table), vreinterpretq_u8_u32(idx)));
}

/* the byte 'byte' of each 32-bit element, four times */
static inline vi v_byte_x4(vi x, unsigned byte)
{
    return vmulq_u32(v_and(v_shr(x, 8 * byte), v_set32(0xff)), v_set32(0x01010101));
}

/* u, with 'value' added to the bytes where x and bits have a bit in common */
static inline vi v_add_where(vi u, vi x, vi bits, vi value)
{
    uint8x16_t where = vtstq_u8(vreinterpretq_u8_u32(x), vreinterpretq_u8_u32(bits));
    uint8x16_t add = vandq_u8(where, vreinterpretq_u8_u32(value));
    return vreinterpretq_u32_u8(vaddq_u8(vreinterpretq_u8_u32(u), add));
}

/* 16 bytes of row j */
static inline vi v_rows(const uint8_t *p, size_t stride, size_t j)
{
    return v_load_int(p + j * stride);
}

static inline vi v_zip_lo32(vi a, vi b)
{
    return vzip1q_u32(a, b);
}

static inline vi v_zip_hi32(vi a, vi b)
{
    return vzip2q_u32(a, b);
}

static inline vi v_zip_lo64(vi a, vi b)
{
    return vreinterpretq_u32_u64(vzip1q_u64(vreinterpretq_u64_u32(a), vreinterpretq_u64_u32(b)));
}

static inline vi v_zip_hi64(vi a, vi b)
{
    return vreinterpretq_u32_u64(vzip2q_u64(vreinterpretq_u64_u32(a), vreinterpretq_u64_u32(b)));
}

/* ---- columns across the lanes, for matmul_few_template.h: see x86/v512.h ---- */

struct cols {
    vi v[4];
};

static inline struct cols v_cols(const uint8_t *p, const uint8_t *q)
{
    return (
        struct cols){ { v_load_int(p), v_load_int(p + 16), v_load_int(q), v_load_int(q + 16) } };
}

static inline vi v_plane(vi x, int n)
{
    return vreinterpretq_u32_u8(vshlq_u8(vreinterpretq_u8_u32(x), vdupq_n_s8((int8_t)-n)));
}

static inline struct cols v_planes(const uint8_t *p, int n, int m)
{
    vi lo = v_load_int(p), hi = v_load_int(p + 16);
    return (struct cols){ { v_plane(lo, n), v_plane(hi, n), v_plane(lo, m), v_plane(hi, m) } };
}

static inline struct cols v_nibbles(const uint8_t *p, const uint8_t *q)
{
    const vi low4 = v_set32(0x0f0f0f0f);
    vi x = v_load_int(p), y = v_load_int(q);
    return (struct cols){ { v_and(x, low4), v_plane(x, 4), v_and(y, low4), v_plane(y, 4) } };
}

static inline struct cols v_nibbles8(const uint8_t *p)
{
    const vi low4 = v_set32(0x0f0f0f0f);
    vi x = v_load_int(p), y = v_load_int(p + 16);
    vi x_hi = v_plane(x, 4), y_hi = v_plane(y, 4);
    x = v_and(x, low4);
    y = v_and(y, low4);
    return (struct cols){ { v_zip_lo64(x, x_hi), v_zip_hi64(x, x_hi), v_zip_lo64(y, y_hi),
                            v_zip_hi64(y, y_hi) } };
}

static inline vi v_add_bits(vi x, uint32_t bits, vi value)
{
    const vi bit = vreinterpretq_u32_u64(vdupq_n_u64(0x8040201008040201));
    uint8x16_t bytes = vcombine_u8(vdup_n_u8((uint8_t)bits), vdup_n_u8((uint8_t)(bits >> 8)));
    return v_add_where(x, vreinterpretq_u32_u8(bytes), bit, value);
}

static inline struct cols v_cols_add(struct cols c, uint32_t lo, uint32_t hi, vi value)
{
    return (struct cols){ { v_add_bits(c.v[0], lo, value), v_add_bits(c.v[1], lo >> 16, value),
                            v_add_bits(c.v[2], hi, value), v_add_bits(c.v[3], hi >> 16, value) } };
}

static inline vi v_add_pairs32(vi a, vi b)
{
    return vpaddq_u32(a, b);
}

static inline vi v_add_pairs16(vi a, vi b)
{
    return vpaddq_u32(a, b);
}

static inline void v_transpose(vi x[V_ROWS])
{
    vi lo01 = v_zip_lo32(x[0], x[1]), lo23 = v_zip_lo32(x[2], x[3]);
    vi hi01 = v_zip_hi32(x[0], x[1]), hi23 = v_zip_hi32(x[2], x[3]);
    x[0] = v_zip_lo64(lo01, lo23);
    x[1] = v_zip_hi64(lo01, lo23);
    x[2] = v_zip_lo64(hi01, hi23);
    x[3] = v_zip_hi64(hi01, hi23);
}

/* ---- floats ---- */

static inline vf v_set(float x)
{
    return vdupq_n_f32(x);
}

static inline vf v_load(const float *p)
{
    return vld1q_f32(p);
}

static inline void v_store(float *p, vf x)
{
    vst1q_f32(p, x);
}

/* Half a line or less is better left to the caches. */
static inline void v_store_away(float *p, vf x)
{
    v_store(p, x);
}

static inline void v_stored_away(void)
{
}

static inline vf v_add(vf a, vf b)
{
    return vaddq_f32(a, b);
}

static inline vf v_sub(vf a, vf b)
{
    return vsubq_f32(a, b);
}

static inline vf v_mul(vf a, vf b)
{
    return vmulq_f32(a, b);
}

static inline vf v_div(vf a, vf b)
{
    return vdivq_f32(a, b);
}

static inline vf v_fma(vf a, vf b, vf c)
{
    return vfmaq_f32(c, a, b);
}

/* a > b ? a : b, and a < b ? a : b: b when one of them is a NaN */
static inline vf v_max(vf a, vf b)
{
    return vbslq_f32(vcgtq_f32(a, b), a, b);
}

static inline vf v_min(vf a, vf b)
{
    return vbslq_f32(vcltq_f32(a, b), a, b);
}

static inline vf v_select_negative(vf x, vf if_negative, vf otherwise)
{
    return vbslq_f32(vcltzq_f32(x), if_negative, otherwise);
}

static inline vf v_from_bits(vi x)
{
    return vreinterpretq_f32_u32(x);
}

static inline vi v_bits(vf x)
{
    return vreinterpretq_u32_f32(x);
}

static inline vf v_from_int(vi x)
{
    return vcvtq_f32_s32(vreinterpretq_s32_u32(x));
}

/* 0 where x < min, otherwise y */
static inline vf v_zero_below(vf y, vf x, float min)
{
    return v_from_bits(vbicq_u32(v_bits(y), vcltq_f32(x, v_set(min))));
}

/* p * 2^k, where t = k + 1.5 * 2^23 and n = k as floats */
static inline vf v_scale2(vf p, vf t, vf n)
{
    (void)n;
    vi k = v_sub32(v_bits(t), v_set32(0x4b400000)), bias = v_set32(127);
    vi k1 = v_sar(k, 1), k2 = v_sub32(k, k1);
    vf s1 = v_from_bits(v_shl(v_add32(k1, bias), 23)),
       s2 = v_from_bits(v_shl(v_add32(k2, bias), 23));
    return v_mul(v_mul(p, s1), s2);
}

/* the low, and the high, 16 bits of each element as a half */
static inline vf v_half_lo(vi x)
{
    return vcvt_f32_f16(vreinterpret_f16_u16(vmovn_u32(x)));
}

static inline vf v_half_hi(vi x)
{
    return vcvt_f32_f16(vreinterpret_f16_u16(vshrn_n_u32(x, 16)));
}

static inline vf v_load_f16(const void *p)
{
    return vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(p)));
}

static inline void v_store_f16(uint16_t *p, vf x)
{
    vst1_u16(p, vreinterpret_u16_f16(vcvt_f16_f32(x)));
}

static inline vf v_load_bf16(const void *p)
{
    return v_from_bits(vshll_n_u16(vreinterpret_u16_u8(vld1_u8(p)), 16));
}

/* V_ROWS small integers as floats */
static inline vf v_load_i8(const int8_t *p)
{
    int32_t four;
    memcpy(&four, p, sizeof(four));
    int16x8_t wide = vmovl_s8(vreinterpret_s8_s32(vdup_n_s32(four)));
    return vcvtq_f32_s32(vmovl_s16(vget_low_s16(wide)));
}

static inline vf v_set_half(uint16_t h)
{
    return vcvt_f32_f16(vreinterpret_f16_u16(vdup_n_u16(h)));
}

/* the upper 16 bits of each element */
static inline void v_store_upper16(uint16_t *p, vi x)
{
    vst1_u16(p, vshrn_n_u32(x, 16));
}

/* ---- 16 running sums, folded as kernels.h says ---- */

enum { V_PER_16 = 4 };

static inline vf v_fold_to_4(const vf acc[V_PER_16])
{
    return vaddq_f32(vaddq_f32(acc[0], acc[2]), vaddq_f32(acc[1], acc[3]));
}

static inline float v_fold(const vf acc[V_PER_16])
{
    vf t4 = v_fold_to_4(acc);
    float32x2_t t2 = vadd_f32(vget_low_f32(t4), vget_high_f32(t4));
    return vget_lane_f32(t2, 0) + vget_lane_f32(t2, 1);
}

static inline vf v_fold_rows(const vf acc[V_ROWS][V_PER_16])
{
    vi a = v_bits(v_fold_to_4(acc[0])), b = v_bits(v_fold_to_4(acc[1]));
    vi c = v_bits(v_fold_to_4(acc[2])), d = v_bits(v_fold_to_4(acc[3]));
    vf ab = vaddq_f32(v_from_bits(v_zip_lo64(a, b)), v_from_bits(v_zip_hi64(a, b)));
    vf cd = vaddq_f32(v_from_bits(v_zip_lo64(c, d)), v_from_bits(v_zip_hi64(c, d)));
    return vpaddq_f32(ab, cd);
}

/* ---- small integers ---- */

static inline void v_store_i8(int8_t *p, vi x)
{
    uint16x4_t half = vmovn_u32(x);
    uint32_t four = vget_lane_u32(vreinterpret_u32_u8(vmovn_u16(vcombine_u16(half, half))), 0);
    memcpy(p, &four, 4);
}

static inline int32_t v_sum32(vi x)
{
    return (int32_t)vaddvq_u32(x);
}

static inline float v_max_of(vf x)
{
    return vmaxvq_f32(x);
}

/* acc + the products of 2 V_ROWS signed bytes, somehow distributed over the elements */
static inline vi v_dot_i8(vi acc, const int8_t *a, const int8_t *b)
{
    int16x8_t products = vmull_s8(vld1_s8(a), vld1_s8(b));
    return vreinterpretq_u32_s32(vpadalq_s16(vreinterpretq_s32_u32(acc), products));
}

#endif
