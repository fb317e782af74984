/* kernels/x86/v256.h: the vocabulary of the templates in 256 bits. See v512.h. */
#ifndef KERNELS_X86_V256_H
#define KERNELS_X86_V256_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef __m256i vi;
typedef __m256 vf;

enum { V_ROWS = 8 };

/* ---- integers ---- */

static inline vi v_set32(uint32_t x)
{
    return _mm256_set1_epi32((int)x);
}

static inline vi v_and(vi a, vi b)
{
    return _mm256_and_si256(a, b);
}

static inline vi v_or(vi a, vi b)
{
    return _mm256_or_si256(a, b);
}

static inline vi v_xor(vi a, vi b)
{
    return _mm256_xor_si256(a, b);
}

static inline vi v_add32(vi a, vi b)
{
    return _mm256_add_epi32(a, b);
}

static inline vi v_sub32(vi a, vi b)
{
    return _mm256_sub_epi32(a, b);
}

static inline vi v_mul32(vi a, vi b)
{
    return _mm256_mullo_epi32(a, b);
}

static inline vi v_load_int(const void *p)
{
    return _mm256_loadu_si256(p);
}

static inline void v_store_int(void *p, vi x)
{
    _mm256_storeu_si256(p, x);
}

static inline vi v_shl(vi x, unsigned n)
{
    return _mm256_slli_epi32(x, n);
}

static inline vi v_shr(vi x, unsigned n)
{
    return _mm256_srli_epi32(x, n);
}

static inline vi v_sar(vi x, unsigned n)
{
    return _mm256_srai_epi32(x, n);
}

/* the sum of the two signed 16-bit halves of each element */
static inline vi v_add_halves(vi x)
{
    return _mm256_madd_epi16(x, _mm256_set1_epi16(1));
}

static inline vi v_lookup(const uint8_t table[16], vi idx)
{
    return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)table)),
                               idx);
}

/* the byte 'byte' of each 32-bit element, four times */
static inline vi v_byte_x4(vi x, unsigned byte)
{
    const __m128i idx = _mm_add_epi8(_mm_set_epi32(0x0c0c0c0c, 0x08080808, 0x04040404, 0),
                                     _mm_set1_epi8((char)byte));
    return _mm256_shuffle_epi8(x, _mm256_broadcastsi128_si256(idx));
}

/* u, with 'value' added to the bytes where x and bits have a bit in common */
static inline vi v_add_where(vi u, vi x, vi bits, vi value)
{
    vi clear = _mm256_cmpeq_epi8(_mm256_and_si256(x, bits), _mm256_setzero_si256());
    return _mm256_add_epi8(u, _mm256_andnot_si256(clear, value));
}

/* 16 bytes each of the rows j and 4 + j */
static inline vi v_rows(const uint8_t *p, size_t stride, size_t j)
{
    p += j * stride;
    vi x = _mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)p));
    return _mm256_inserti128_si256(x, _mm_loadu_si128((const __m128i *)(p + 4 * stride)), 1);
}

static inline vi v_zip_lo32(vi a, vi b)
{
    return _mm256_unpacklo_epi32(a, b);
}

static inline vi v_zip_hi32(vi a, vi b)
{
    return _mm256_unpackhi_epi32(a, b);
}

static inline vi v_zip_lo64(vi a, vi b)
{
    return _mm256_unpacklo_epi64(a, b);
}

static inline vi v_zip_hi64(vi a, vi b)
{
    return _mm256_unpackhi_epi64(a, b);
}

/* ---- columns across the lanes, for matmul_few_template.h: see v512.h ---- */

struct cols {
    vi v[2];
};

static inline struct cols v_cols(const uint8_t *p, const uint8_t *q)
{
    return (struct cols){ { v_load_int(p), v_load_int(q) } };
}

static inline vi v_plane(vi x, int n)
{
    return n < 0 ? v_shl(x, (unsigned)-n) : v_shr(x, (unsigned)n);
}

static inline struct cols v_planes(const uint8_t *p, int n, int m)
{
    vi x = v_load_int(p);
    return (struct cols){ { v_plane(x, n), v_plane(x, m) } };
}

static inline vi v_nibbles_of(const uint8_t *p)
{
    vi x = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)p));
    const vi count = _mm256_set_epi32(4, 4, 4, 4, 0, 0, 0, 0);
    return _mm256_and_si256(_mm256_srlv_epi32(x, count), v_set32(0x0f0f0f0f));
}

static inline struct cols v_nibbles(const uint8_t *p, const uint8_t *q)
{
    return (struct cols){ { v_nibbles_of(p), v_nibbles_of(q) } };
}

static inline struct cols v_nibbles8(const uint8_t *p)
{
    const vi mask = v_set32(0x0f0f0f0f), count = _mm256_set_epi64x(4, 0, 4, 0);
    vi x = v_load_int(p);
    vi lo = _mm256_permute4x64_epi64(x, 0x50), hi = _mm256_permute4x64_epi64(x, 0xfa);
    return (struct cols){ { _mm256_and_si256(_mm256_srlv_epi64(lo, count), mask),
                            _mm256_and_si256(_mm256_srlv_epi64(hi, count), mask) } };
}

static inline vi v_add_bits(vi x, uint32_t bits, vi value)
{
    const vi byte_of_bit =
        _mm256_set_epi64x(0x0303030303030303, 0x0202020202020202, 0x0101010101010101, 0);
    const vi bit = _mm256_set1_epi64x((int64_t)0x8040201008040201);
    return v_add_where(x, _mm256_shuffle_epi8(v_set32(bits), byte_of_bit), bit, value);
}

static inline struct cols v_cols_add(struct cols c, uint32_t lo, uint32_t hi, vi value)
{
    return (struct cols){ { v_add_bits(c.v[0], lo, value), v_add_bits(c.v[1], hi, value) } };
}

static inline vi v_add_pairs16(vi a, vi b)
{
    return v_add_halves(_mm256_packs_epi32(a, b));
}

static inline vi v_add_pairs32(vi a, vi b)
{
    __m256 x = _mm256_castsi256_ps(a), y = _mm256_castsi256_ps(b);
    return _mm256_add_epi32(_mm256_castps_si256(_mm256_shuffle_ps(x, y, 0x88)),
                            _mm256_castps_si256(_mm256_shuffle_ps(x, y, 0xdd)));
}

static inline void v_transpose(vi x[V_ROWS])
{
    vi a[V_ROWS];
#pragma GCC unroll 2
    for (size_t i = 0; i < 8; i += 4) { /* 4 x 4 in each 128 bits */
        vi lo01 = v_zip_lo32(x[i], x[i + 1]), lo23 = v_zip_lo32(x[i + 2], x[i + 3]);
        vi hi01 = v_zip_hi32(x[i], x[i + 1]), hi23 = v_zip_hi32(x[i + 2], x[i + 3]);
        a[i] = v_zip_lo64(lo01, lo23);
        a[i + 1] = v_zip_hi64(lo01, lo23);
        a[i + 2] = v_zip_lo64(hi01, hi23);
        a[i + 3] = v_zip_hi64(hi01, hi23);
    }
#pragma GCC unroll 4
    for (size_t i = 0; i < 4; i++) {
        x[i] = _mm256_permute2x128_si256(a[i], a[4 + i], 0x20);
        x[4 + i] = _mm256_permute2x128_si256(a[i], a[4 + i], 0x31);
    }
}

/* ---- floats ---- */

static inline vf v_set(float x)
{
    return _mm256_set1_ps(x);
}

static inline vf v_load(const float *p)
{
    return _mm256_loadu_ps(p);
}

static inline void v_store(float *p, vf x)
{
    _mm256_storeu_ps(p, x);
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
    return _mm256_add_ps(a, b);
}

static inline vf v_sub(vf a, vf b)
{
    return _mm256_sub_ps(a, b);
}

static inline vf v_mul(vf a, vf b)
{
    return _mm256_mul_ps(a, b);
}

static inline vf v_div(vf a, vf b)
{
    return _mm256_div_ps(a, b);
}

static inline vf v_fma(vf a, vf b, vf c)
{
    return _mm256_fmadd_ps(a, b, c);
}

/* a > b ? a : b, and a < b ? a : b: b when one of them is a NaN */
static inline vf v_max(vf a, vf b)
{
    return _mm256_max_ps(a, b);
}

static inline vf v_min(vf a, vf b)
{
    return _mm256_min_ps(a, b);
}

static inline vf v_select_negative(vf x, vf if_negative, vf otherwise)
{
    return _mm256_blendv_ps(otherwise, if_negative,
                            _mm256_cmp_ps(x, _mm256_setzero_ps(), _CMP_LT_OQ));
}

/* 0 where x < min, otherwise y */
static inline vf v_zero_below(vf y, vf x, float min)
{
    return _mm256_andnot_ps(_mm256_cmp_ps(x, _mm256_set1_ps(min), _CMP_LT_OQ), y);
}

static inline vf v_from_bits(vi x)
{
    return _mm256_castsi256_ps(x);
}

static inline vi v_bits(vf x)
{
    return _mm256_castps_si256(x);
}

static inline vf v_from_int(vi x)
{
    return _mm256_cvtepi32_ps(x);
}

/* p * 2^k with one rounding, where t = k + 1.5 * 2^23 and n = k as floats */
static inline vf v_scale2(vf p, vf t, vf n)
{
    (void)n;
    vi k = _mm256_sub_epi32(_mm256_castps_si256(t), _mm256_set1_epi32(0x4b400000));
    vi k1 = _mm256_srai_epi32(k, 1), k2 = _mm256_sub_epi32(k, k1), bias = _mm256_set1_epi32(127);
    vf s1 = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(k1, bias), 23));
    vf s2 = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(k2, bias), 23));
    return _mm256_mul_ps(_mm256_mul_ps(p, s1), s2);
}

/* the low, and the high, 16 bits of each element as a half */
static inline vf v_half_lo(vi x)
{
    x = _mm256_and_si256(x, _mm256_set1_epi32(0xffff));
    x = _mm256_permute4x64_epi64(_mm256_packus_epi32(x, x), 0x08);
    return _mm256_cvtph_ps(_mm256_castsi256_si128(x));
}

static inline vf v_half_hi(vi x)
{
    return v_half_lo(_mm256_srli_epi32(x, 16));
}

static inline vf v_load_f16(const void *p)
{
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p));
}

static inline void v_store_f16(uint16_t *p, vf x)
{
    _mm_storeu_si128((__m128i *)p, _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT));
}

static inline vf v_load_bf16(const void *p)
{
    return v_from_bits(
        _mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)p)), 16));
}

/* V_ROWS small integers as floats */
static inline vf v_load_i8(const int8_t *p)
{
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadu_si64(p)));
}

static inline vf v_set_half(uint16_t h)
{
    return _mm256_cvtph_ps(_mm_set1_epi16((short)h));
}

/* the upper 16 bits of each element */
static inline void v_store_upper16(uint16_t *p, vi x)
{
    x = _mm256_srli_epi32(x, 16);
    x = _mm256_permute4x64_epi64(_mm256_packus_epi32(x, x), 0x08);
    _mm_storeu_si128((__m128i *)p, _mm256_castsi256_si128(x));
}

/* ---- 16 running sums, folded as kernels.h says ---- */

enum { V_PER_16 = 2 };

static inline float v_fold(const vf acc[V_PER_16])
{
    __m256 t8 = _mm256_add_ps(acc[0], acc[1]);
    __m128 t4 = _mm_add_ps(_mm256_castps256_ps128(t8), _mm256_extractf128_ps(t8, 1));
    __m128 t2 = _mm_add_ps(t4, _mm_movehl_ps(t4, t4));
    return _mm_cvtss_f32(_mm_add_ss(t2, _mm_movehdup_ps(t2)));
}

static inline vf v_fold_rows(const vf acc[V_ROWS][V_PER_16])
{
    vf t4[4], t2[2];
#pragma GCC unroll 4
    for (size_t i = 0; i < 4; i++) {
        vf a = _mm256_add_ps(acc[2 * i][0], acc[2 * i][1]);
        vf b = _mm256_add_ps(acc[2 * i + 1][0], acc[2 * i + 1][1]);
        t4[i] =
            _mm256_add_ps(_mm256_permute2f128_ps(a, b, 0x20), _mm256_permute2f128_ps(a, b, 0x31));
    }
#pragma GCC unroll 2
    for (size_t i = 0; i < 2; i++) {
        __m256d a = _mm256_castps_pd(t4[2 * i]), b = _mm256_castps_pd(t4[2 * i + 1]);
        t2[i] = _mm256_add_ps(_mm256_castpd_ps(_mm256_unpacklo_pd(a, b)),
                              _mm256_castpd_ps(_mm256_unpackhi_pd(a, b)));
    }
    return _mm256_add_ps(_mm256_shuffle_ps(t2[0], t2[1], 0x88),
                         _mm256_shuffle_ps(t2[0], t2[1], 0xdd));
}

/* ---- small integers ---- */

static inline void v_store_i8(int8_t *p, vi x)
{
    __m128i x16 = _mm_packs_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
    _mm_storeu_si64(p, _mm_packs_epi16(x16, x16));
}

static inline int32_t v_sum32(vi x)
{
    __m128i t = _mm_add_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
    t = _mm_add_epi32(t, _mm_shuffle_epi32(t, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(t, _mm_shuffle_epi32(t, 0xb1)));
}

static inline float v_max_of(vf x)
{
    __m128 t = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    t = _mm_max_ps(t, _mm_movehl_ps(t, t));
    return _mm_cvtss_f32(_mm_max_ss(t, _mm_movehdup_ps(t)));
}

static inline vi v_dot_i8(vi acc, const int8_t *a, const int8_t *b)
{
    vi wide_a = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)a));
    vi wide_b = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)b));
    return _mm256_add_epi32(acc, _mm256_madd_epi16(wide_a, wide_b));
}

#endif
