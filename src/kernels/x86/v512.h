/* kernels/x86/v512.h: the vocabulary of the templates (matmul_int_template.h and its neighbours) in
 * 512 bits: vi is a vector of V_ROWS 32-bit integers (or four times as many bytes), vf one of
 * V_ROWS floats. x86/v256.h and arm/v128.h say the same words; each is one or two instructions. */
#ifndef KERNELS_X86_V512_H
#define KERNELS_X86_V512_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef __m512i vi;
typedef __m512 vf;

enum { V_ROWS = 16 };

/* ---- integers ---- */

static inline vi v_set32(uint32_t x)
{
    return _mm512_set1_epi32((int)x);
}

static inline vi v_and(vi a, vi b)
{
    return _mm512_and_si512(a, b);
}

static inline vi v_or(vi a, vi b)
{
    return _mm512_or_si512(a, b);
}

static inline vi v_xor(vi a, vi b)
{
    return _mm512_xor_si512(a, b);
}

static inline vi v_add32(vi a, vi b)
{
    return _mm512_add_epi32(a, b);
}

static inline vi v_sub32(vi a, vi b)
{
    return _mm512_sub_epi32(a, b);
}

static inline vi v_mul32(vi a, vi b)
{
    return _mm512_mullo_epi32(a, b);
}

static inline vi v_load_int(const void *p)
{
    return _mm512_loadu_si512(p);
}

static inline void v_store_int(void *p, vi x)
{
    _mm512_storeu_si512(p, x);
}

static inline vi v_shl(vi x, unsigned n)
{
    return _mm512_slli_epi32(x, n);
}

static inline vi v_shr(vi x, unsigned n)
{
    return _mm512_srli_epi32(x, n);
}

static inline vi v_sar(vi x, unsigned n)
{
    return _mm512_srai_epi32(x, n);
}

/* the sum of the two signed 16-bit halves of each element */
static inline vi v_add_halves(vi x)
{
    return _mm512_madd_epi16(x, _mm512_set1_epi16(1));
}

static inline vi v_lookup(const uint8_t table[16], vi idx)
{
    return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)table)),
                               idx);
}

/* the byte 'byte' of each 32-bit element, four times */
static inline vi v_byte_x4(vi x, unsigned byte)
{
    const __m128i idx = _mm_add_epi8(_mm_set_epi32(0x0c0c0c0c, 0x08080808, 0x04040404, 0),
                                     _mm_set1_epi8((char)byte));
    return _mm512_shuffle_epi8(x, _mm512_broadcast_i32x4(idx));
}

/* u, with 'value' added to the bytes where x and bits have a bit in common */
static inline vi v_add_where(vi u, vi x, vi bits, vi value)
{
    return _mm512_mask_add_epi8(u, _mm512_test_epi8_mask(x, bits), u, value);
}

/* 16 bytes each of the rows j, 4 + j, 8 + j, 12 + j */
static inline vi v_rows(const uint8_t *p, size_t stride, size_t j)
{
    p += j * stride;
    vi x = _mm512_castsi128_si512(_mm_loadu_si128((const __m128i *)p));
    x = _mm512_inserti32x4(x, _mm_loadu_si128((const __m128i *)(p + 4 * stride)), 1);
    x = _mm512_inserti32x4(x, _mm_loadu_si128((const __m128i *)(p + 8 * stride)), 2);
    return _mm512_inserti32x4(x, _mm_loadu_si128((const __m128i *)(p + 12 * stride)), 3);
}

static inline vi v_zip_lo32(vi a, vi b)
{
    return _mm512_unpacklo_epi32(a, b);
}

static inline vi v_zip_hi32(vi a, vi b)
{
    return _mm512_unpackhi_epi32(a, b);
}

static inline vi v_zip_lo64(vi a, vi b)
{
    return _mm512_unpacklo_epi64(a, b);
}

static inline vi v_zip_hi64(vi a, vi b)
{
    return _mm512_unpackhi_epi64(a, b);
}

/* ---- columns across the lanes, for matmul_few_template.h ---- */

/* 64 columns of one row, a byte each, in their order */
struct cols {
    vi v[1];
};

/* 32 bytes from p and 32 from q */
static inline struct cols v_cols(const uint8_t *p, const uint8_t *q)
{
    __m256i lo = _mm256_loadu_si256((const __m256i *)p);
    return (struct cols){ { _mm512_inserti64x4(_mm512_castsi256_si512(lo),
                                               _mm256_loadu_si256((const __m256i *)q), 1) } };
}

/* The 32 bytes at p, twice: with their bits moved down by n, and by m (up, where negative). Bits that
 * come from a neighbour are there too. */
static inline struct cols v_planes(const uint8_t *p, int n, int m)
{
    vi x = _mm512_broadcast_i64x4(_mm256_loadu_si256((const __m256i *)p));
    vi count = _mm512_inserti64x4(_mm512_set1_epi32(n & 31), _mm256_set1_epi32(m & 31), 1);
    return (struct cols){ { _mm512_rorv_epi32(x, count) } };
}

/* 16 bytes of nibbles at p and at q: low ones of p, high ones of p, those of q */
static inline struct cols v_nibbles(const uint8_t *p, const uint8_t *q)
{
    vi x = _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)p));
    x = _mm512_mask_broadcast_i32x4(x, 0xff00, _mm_loadu_si128((const __m128i *)q));
    const vi count = _mm512_set_epi32(4, 4, 4, 4, 0, 0, 0, 0, 4, 4, 4, 4, 0, 0, 0, 0);
    return (struct cols){ { _mm512_and_si512(_mm512_srlv_epi32(x, count), v_set32(0x0f0f0f0f)) } };
}

/* 32 bytes of nibbles: low ones of the first 8, high ones of these, and so on */
static inline struct cols v_nibbles8(const uint8_t *p)
{
    const vi twice = _mm512_set_epi64(3, 3, 2, 2, 1, 1, 0, 0);
    const vi count = _mm512_set_epi64(4, 0, 4, 0, 4, 0, 4, 0);
    vi x = _mm512_castsi256_si512(_mm256_loadu_si256((const __m256i *)p));
    x = _mm512_srlv_epi64(_mm512_permutexvar_epi64(twice, x), count);
    return (struct cols){ { _mm512_and_si512(x, v_set32(0x0f0f0f0f)) } };
}

/* 'value' added to byte i where bit i of the 64 is set: those of lo, then those of hi */
static inline struct cols v_cols_add(struct cols c, uint32_t lo, uint32_t hi, vi value)
{
    __mmask64 bits = (uint64_t)hi << 32 | lo;
    return (struct cols){ { _mm512_mask_add_epi8(c.v[0], bits, c.v[0], value) } };
}

/* Neighbours of a, then of b, as signed 16 bits, added in pairs; they must fit. In each 128 bits. */
static inline vi v_add_pairs16(vi a, vi b)
{
    return v_add_halves(_mm512_packs_epi32(a, b));
}

/* the same of any 32-bit numbers */
static inline vi v_add_pairs32(vi a, vi b)
{
    __m512 x = _mm512_castsi512_ps(a), y = _mm512_castsi512_ps(b);
    return _mm512_add_epi32(_mm512_castps_si512(_mm512_shuffle_ps(x, y, 0x88)),
                            _mm512_castps_si512(_mm512_shuffle_ps(x, y, 0xdd)));
}

/* x[i]'s element j becomes x[j]'s element i */
static inline void v_transpose(vi x[V_ROWS])
{
    vi a[V_ROWS], b[V_ROWS];
#pragma GCC unroll 4
    for (size_t i = 0; i < 16; i += 4) { /* 4 x 4 in each 128 bits */
        vi lo01 = v_zip_lo32(x[i], x[i + 1]), lo23 = v_zip_lo32(x[i + 2], x[i + 3]);
        vi hi01 = v_zip_hi32(x[i], x[i + 1]), hi23 = v_zip_hi32(x[i + 2], x[i + 3]);
        a[i] = v_zip_lo64(lo01, lo23);
        a[i + 1] = v_zip_hi64(lo01, lo23);
        a[i + 2] = v_zip_lo64(hi01, hi23);
        a[i + 3] = v_zip_hi64(hi01, hi23);
    }
#pragma GCC unroll 4
    for (size_t i = 0; i < 4;
         i++) { /* then these as elements: a[4 r + i] has rows 4 r.., columns i, 4 + i.. */
        b[i] = _mm512_shuffle_i32x4(a[i], a[4 + i], 0x44);
        b[4 + i] = _mm512_shuffle_i32x4(a[i], a[4 + i], 0xee);
        b[8 + i] = _mm512_shuffle_i32x4(a[8 + i], a[12 + i], 0x44);
        b[12 + i] = _mm512_shuffle_i32x4(a[8 + i], a[12 + i], 0xee);
        x[i] = _mm512_shuffle_i32x4(b[i], b[8 + i], 0x88);
        x[4 + i] = _mm512_shuffle_i32x4(b[i], b[8 + i], 0xdd);
        x[8 + i] = _mm512_shuffle_i32x4(b[4 + i], b[12 + i], 0x88);
        x[12 + i] = _mm512_shuffle_i32x4(b[4 + i], b[12 + i], 0xdd);
    }
}

/* ---- floats ---- */

static inline vf v_set(float x)
{
    return _mm512_set1_ps(x);
}

static inline vf v_load(const float *p)
{
    return _mm512_loadu_ps(p);
}

static inline void v_store(float *p, vf x)
{
    _mm512_storeu_ps(p, x);
}

/* Past the caches, as a whole line: for much that is not read soon. v_stored_away() before another thread reads it. */
static inline void v_store_away(float *p, vf x)
{
    if ((uintptr_t)p % 64)
        _mm512_storeu_ps(p, x);
    else
        _mm512_stream_ps(p, x);
}

static inline void v_stored_away(void)
{
    _mm_sfence();
}

static inline vf v_add(vf a, vf b)
{
    return _mm512_add_ps(a, b);
}

static inline vf v_sub(vf a, vf b)
{
    return _mm512_sub_ps(a, b);
}

static inline vf v_mul(vf a, vf b)
{
    return _mm512_mul_ps(a, b);
}

static inline vf v_div(vf a, vf b)
{
    return _mm512_div_ps(a, b);
}

static inline vf v_fma(vf a, vf b, vf c)
{
    return _mm512_fmadd_ps(a, b, c);
}

/* a > b ? a : b, and a < b ? a : b: b when one of them is a NaN */
static inline vf v_max(vf a, vf b)
{
    return _mm512_max_ps(a, b);
}

static inline vf v_min(vf a, vf b)
{
    return _mm512_min_ps(a, b);
}

static inline vf v_select_negative(vf x, vf if_negative, vf otherwise)
{
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(x, _mm512_setzero_ps(), _CMP_LT_OQ), otherwise,
                                if_negative);
}

/* 0 where x < min, otherwise y */
static inline vf v_zero_below(vf y, vf x, float min)
{
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x, _mm512_set1_ps(min), _CMP_NLT_UQ), y);
}

static inline vf v_from_bits(vi x)
{
    return _mm512_castsi512_ps(x);
}

static inline vi v_bits(vf x)
{
    return _mm512_castps_si512(x);
}

static inline vf v_from_int(vi x)
{
    return _mm512_cvtepi32_ps(x);
}

/* p * 2^k with one rounding, where t = k + 1.5 * 2^23 and n = k as floats */
static inline vf v_scale2(vf p, vf t, vf n)
{
    (void)t;
    return _mm512_scalef_ps(p, n);
}

/* the low, and the high, 16 bits of each element as a half */
static inline vf v_half_lo(vi x)
{
    return _mm512_cvtph_ps(_mm512_cvtepi32_epi16(x));
}

static inline vf v_half_hi(vi x)
{
    return _mm512_cvtph_ps(_mm512_cvtepi32_epi16(_mm512_srli_epi32(x, 16)));
}

static inline vf v_load_f16(const void *p)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p));
}

static inline void v_store_f16(uint16_t *p, vf x)
{
    _mm256_storeu_si256((__m256i *)p, _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT));
}

static inline vf v_load_bf16(const void *p)
{
    return v_from_bits(
        _mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)p)), 16));
}

/* V_ROWS small integers as floats */
static inline vf v_load_i8(const int8_t *p)
{
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)p)));
}

static inline vf v_set_half(uint16_t h)
{
    return _mm512_cvtph_ps(_mm256_set1_epi16((short)h));
}

/* the upper 16 bits of each element */
static inline void v_store_upper16(uint16_t *p, vi x)
{
    _mm256_storeu_si256((__m256i *)p, _mm512_cvtepi32_epi16(_mm512_srli_epi32(x, 16)));
}

/* ---- 16 running sums, folded as kernels.h says ---- */

enum { V_PER_16 = 1 };

static inline float v_fold(const vf acc[V_PER_16])
{
    __m256 t8 = _mm256_add_ps(_mm512_castps512_ps256(acc[0]), _mm512_extractf32x8_ps(acc[0], 1));
    __m128 t4 = _mm_add_ps(_mm256_castps256_ps128(t8), _mm256_extractf128_ps(t8, 1));
    __m128 t2 = _mm_add_ps(t4, _mm_movehl_ps(t4, t4));
    return _mm_cvtss_f32(_mm_add_ss(t2, _mm_movehdup_ps(t2)));
}

/* V_ROWS folds at once: element k is the fold of acc[k % 4 * (V_ROWS / 4) + k / 4]. Each step adds
 * the two halves of twice as many sums as fit one vector. */
static inline vf v_fold_rows(const vf acc[V_ROWS][V_PER_16])
{
    vf t8[8], t4[4], t2[2];
#pragma GCC unroll 8
    for (size_t i = 0; i < 8; i++) {
        vf a = acc[2 * i][0], b = acc[2 * i + 1][0];
        t8[i] = _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x44), _mm512_shuffle_f32x4(a, b, 0xee));
    }
#pragma GCC unroll 4
    for (size_t i = 0; i < 4; i++) {
        vf a = t8[2 * i], b = t8[2 * i + 1];
        t4[i] = _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x88), _mm512_shuffle_f32x4(a, b, 0xdd));
    }
#pragma GCC unroll 2
    for (size_t i = 0; i < 2; i++) {
        __m512d a = _mm512_castps_pd(t4[2 * i]), b = _mm512_castps_pd(t4[2 * i + 1]);
        t2[i] = _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(a, b)),
                              _mm512_castpd_ps(_mm512_unpackhi_pd(a, b)));
    }
    return _mm512_add_ps(_mm512_shuffle_ps(t2[0], t2[1], 0x88),
                         _mm512_shuffle_ps(t2[0], t2[1], 0xdd));
}

/* ---- small integers ---- */

static inline void v_store_i8(int8_t *p, vi x)
{
    _mm_storeu_si128((__m128i *)p, _mm512_cvtepi32_epi8(x));
}

static inline int32_t v_sum32(vi x)
{
    return _mm512_reduce_add_epi32(x);
}

static inline float v_max_of(vf x)
{
    return _mm512_reduce_max_ps(x);
}

/* acc + the products of 2 V_ROWS signed bytes, somehow distributed over the elements */
static inline vi v_dot_i8(vi acc, const int8_t *a, const int8_t *b)
{
    __m512i wide_a = _mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i *)a));
    __m512i wide_b = _mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i *)b));
    return _mm512_add_epi32(acc, _mm512_madd_epi16(wide_a, wide_b));
}

#endif
