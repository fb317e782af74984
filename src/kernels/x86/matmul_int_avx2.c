/* kernels/x86/matmul_int_avx2.c: byte products with AVX2 alone.
 * maddubs adds pairs of byte products into 16 bits and saturates, so its results may be added in 16
 * bits only as often as they surely fit: with weights up to 15 a pair is at most 2 * 15 * 127, and
 * eight pairs fit; up to 31, four; up to 63, two. With 8-bit weights the pair itself would not fit,
 * if they were unsigned; but |w| <= 128 times q with w's sign does: 2 * 128 * 127 = 32512. */
#include "kernels/x86/v256.h"
#include "kernels/x86/x86.h"

#define LEVEL(name) name##_avx2
#define V_SIGNED    1
#define V_TILE      4
#define V_WIDE      0
#define V_WIDE_FROM 0
#define V_FEW       1
#define V_ARRANGE   NULL

static inline vi dot_pairs(vi w, vi q, int largest)
{
    if (largest < 64)
        return _mm256_maddubs_epi16(w, q);
    return _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(q, w));
}

static inline vi v_dot4(vi w, vi q, int largest)
{
    return _mm256_madd_epi16(dot_pairs(w, q, largest), _mm256_set1_epi16(1));
}

static inline __attribute__((always_inline)) void v_dot(vi *sum, size_t n_m, const vi *u, size_t n,
                                                        const int8_t *q, size_t stride, int largest)
{
    const size_t group = largest == 15 ? 8 : largest == 31 ? 4 : largest == 63 ? 2 : 1;
    vi pairs[V_TILE];
#pragma GCC unroll 8
    for (size_t i = 0; i < n; i++) {
#pragma GCC unroll 8
        for (size_t m = 0; m < n_m; m++) {
            int32_t four;
            memcpy(&four, q + m * stride + 4 * i, 4);
            vi new = dot_pairs(u[i], _mm256_set1_epi32(four), largest);
            pairs[m] = i % group ? _mm256_add_epi16(pairs[m], new) : new;
            if ((i + 1) % group == 0 || i + 1 == n)
                sum[m] =
                    _mm256_add_epi32(sum[m], _mm256_madd_epi16(pairs[m], _mm256_set1_epi16(1)));
        }
    }
}

#define V_BEGIN(n_rows, split) ((void)(split))
#define V_END(n_rows)          ((void)0)

#include "kernels/matmul_int_template.h"
