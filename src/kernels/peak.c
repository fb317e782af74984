/* kernels/peak.c: see peak.h. Eight or more products are always under way at once, which is more than any of these
 * instructions takes cycles. */
#include "kernels/peak.h"

#include <string.h>

#include "kernels/kernels.h"

enum { READ_BLOCK = 64 };

uint64_t peak_read(const void *data, size_t n)
{
    const uint64_t *p = data;
    uint64_t sum[8] = { 0 };
    size_t n_words = n / sizeof(*p), i = 0;
    for (; i + 8 <= n_words; i += 8)
        for (size_t k = 0; k < 8; k++)
            sum[k] += p[i + k];
    for (; i < n_words; i++)
        sum[0] += p[i];
    for (size_t k = 1; k < 8; k++)
        sum[0] += sum[k];
    return sum[0];
}

#if defined(__x86_64__)

#include <immintrin.h>

#define TARGET(x) __attribute__((target(x)))

enum { CHAINS = 12 };

/* Keeps a value in its register and hides from the compiler what it is. */
#define HIDE(v) __asm__ volatile("" : "+v"(v))

TARGET("avx2") static uint64_t sum_256(const __m256i *v, size_t n)
{
    uint64_t sum = 0, words[4];
    for (size_t i = 0; i < n; i++) {
        memcpy(words, &v[i], sizeof(words));
        sum += words[0] + words[1] + words[2] + words[3];
    }
    return sum;
}

TARGET("avx2") static uint64_t int8_avx2(size_t n, uint64_t *sink)
{
    __m256i acc[CHAINS], a = _mm256_set1_epi8(3), b = _mm256_set1_epi8(-5);
    const __m256i ones = _mm256_set1_epi16(1);
    memset(acc, 0, sizeof(acc));
    for (size_t r = 0; r < n; r++) {
        HIDE(a);
#pragma GCC unroll 12
        for (size_t i = 0; i < CHAINS; i++) {
            __m256i products = _mm256_maddubs_epi16(a, b);
            HIDE(products); /* each is made anew */
            acc[i] = _mm256_add_epi32(acc[i], _mm256_madd_epi16(products, ones));
        }
    }
    *sink += sum_256(acc, CHAINS);
    return (uint64_t)n * CHAINS * 64;
}

TARGET("avx2,avxvnni") static uint64_t int8_avxvnni(size_t n, uint64_t *sink)
{
    __m256i acc[CHAINS], a = _mm256_set1_epi8(3), b = _mm256_set1_epi8(-5);
    memset(acc, 0, sizeof(acc));
    for (size_t r = 0; r < n; r++) {
        HIDE(a);
#pragma GCC unroll 12
        for (size_t i = 0; i < CHAINS; i++)
            acc[i] = _mm256_dpbusd_avx_epi32(acc[i], a, b);
    }
    *sink += sum_256(acc, CHAINS);
    return (uint64_t)n * CHAINS * 64;
}

TARGET("avx512f") static uint64_t sum_512(const __m512i *v, size_t n)
{
    uint64_t sum = 0, words[8];
    for (size_t i = 0; i < n; i++) {
        memcpy(words, &v[i], sizeof(words));
        for (size_t k = 0; k < 8; k++)
            sum += words[k];
    }
    return sum;
}

TARGET("avx512f,avx512bw") static uint64_t int8_avx512(size_t n, uint64_t *sink)
{
    __m512i acc[CHAINS], a = _mm512_set1_epi8(3), b = _mm512_set1_epi8(-5);
    const __m512i ones = _mm512_set1_epi16(1);
    memset(acc, 0, sizeof(acc));
    for (size_t r = 0; r < n; r++) {
        HIDE(a);
#pragma GCC unroll 12
        for (size_t i = 0; i < CHAINS; i++) {
            __m512i products = _mm512_maddubs_epi16(a, b);
            HIDE(products);
            acc[i] = _mm512_add_epi32(acc[i], _mm512_madd_epi16(products, ones));
        }
    }
    *sink += sum_512(acc, CHAINS);
    return (uint64_t)n * CHAINS * 128;
}

TARGET("avx512f,avx512vnni") static uint64_t int8_avx512vnni(size_t n, uint64_t *sink)
{
    __m512i acc[CHAINS], a = _mm512_set1_epi8(3), b = _mm512_set1_epi8(-5);
    memset(acc, 0, sizeof(acc));
    for (size_t r = 0; r < n; r++) {
        HIDE(a);
#pragma GCC unroll 12
        for (size_t i = 0; i < CHAINS; i++)
            acc[i] = _mm512_dpbusd_epi32(acc[i], a, b);
    }
    *sink += sum_512(acc, CHAINS);
    return (uint64_t)n * CHAINS * 128;
}

/* Whole tiles: 16 x 16 sums of 64 products each. */
struct peak_tiles {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} __attribute__((aligned(64)));

TARGET("avx512f,amx-tile,amx-int8") static uint64_t int8_amx(size_t n, uint64_t *sink)
{
    enum { TILES = 4 };
    struct peak_tiles config = { .palette = 1 };
    for (size_t i = 0; i < 8; i++) {
        config.row_bytes[i] = 64;
        config.rows[i] = 16;
    }
    int8_t ones[16][64] __attribute__((aligned(64)));
    int32_t sums[16][16] __attribute__((aligned(64)));
    memset(ones, 1, sizeof(ones));
    __asm__ volatile("" ::"r"(&config), "r"(ones) : "memory"); /* tile instructions read them */
    _tile_loadconfig(&config);
    _tile_loadd(4, ones, 64);
    _tile_loadd(5, ones, 64);
    _tile_loadd(6, ones, 64);
    _tile_loadd(7, ones, 64);
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (size_t r = 0; r < n; r++) {
        _tile_dpbssd(0, 4, 6);
        _tile_dpbssd(1, 4, 7);
        _tile_dpbssd(2, 5, 6);
        _tile_dpbssd(3, 5, 7);
    }
    _tile_stored(0, sums, 64);
    __asm__ volatile("" ::: "memory");
    _tile_release();
    *sink += (uint64_t)sums[0][0];
    return (uint64_t)n * TILES * (16 * 16 * 64 * 2);
}

TARGET("avx2,fma") static uint64_t float_avx2(size_t n, uint64_t *sink)
{
    __m256 acc[CHAINS], a = _mm256_set1_ps(0.5f), b = _mm256_set1_ps(0.25f);
    memset(acc, 0, sizeof(acc));
    for (size_t r = 0; r < n; r++) {
        HIDE(a);
#pragma GCC unroll 12
        for (size_t i = 0; i < CHAINS; i++)
            acc[i] = _mm256_fmadd_ps(acc[i], a, b);
    }
    __m256i bits[CHAINS];
    memcpy(bits, acc, sizeof(bits));
    *sink += sum_256(bits, CHAINS);
    return (uint64_t)n * CHAINS * 16;
}

TARGET("avx512f") static uint64_t float_avx512(size_t n, uint64_t *sink)
{
    __m512 acc[CHAINS], a = _mm512_set1_ps(0.5f), b = _mm512_set1_ps(0.25f);
    memset(acc, 0, sizeof(acc));
    for (size_t r = 0; r < n; r++) {
        HIDE(a);
#pragma GCC unroll 12
        for (size_t i = 0; i < CHAINS; i++)
            acc[i] = _mm512_fmadd_ps(acc[i], a, b);
    }
    __m512i bits[CHAINS];
    memcpy(bits, acc, sizeof(bits));
    *sink += sum_512(bits, CHAINS);
    return (uint64_t)n * CHAINS * 32;
}

#elif defined(__aarch64__)

#include <arm_neon.h>

enum { CHAINS = 12 };

static uint64_t int8_neon(size_t n, uint64_t *sink)
{
    int32x4_t acc[CHAINS];
    int8x16_t a = vdupq_n_s8(3), b = vdupq_n_s8(-5);
    for (size_t i = 0; i < CHAINS; i++)
        acc[i] = vdupq_n_s32(0);
    for (size_t r = 0; r < n; r++) {
        __asm__ volatile("" : "+w"(a));
#pragma GCC unroll 12
        for (size_t i = 0; i < CHAINS; i++) {
            int16x8_t products = vmull_s8(vget_low_s8(a), vget_low_s8(b));
            products = vmlal_high_s8(products, a, b);
            __asm__ volatile("" : "+w"(products));
            acc[i] = vpadalq_s16(acc[i], products);
        }
    }
    for (size_t i = 0; i < CHAINS; i++)
        *sink += (uint64_t)(int64_t)vaddvq_s32(acc[i]);
    return (uint64_t)n * CHAINS * 32;
}

__attribute__((target("arch=armv8.2-a+dotprod"))) static uint64_t int8_dotprod(size_t n,
                                                                               uint64_t *sink)
{
    int32x4_t acc[CHAINS];
    int8x16_t a = vdupq_n_s8(3), b = vdupq_n_s8(-5);
    for (size_t i = 0; i < CHAINS; i++)
        acc[i] = vdupq_n_s32(0);
    for (size_t r = 0; r < n; r++) {
        __asm__ volatile("" : "+w"(a));
#pragma GCC unroll 12
        for (size_t i = 0; i < CHAINS; i++)
            acc[i] = vdotq_s32(acc[i], a, b);
    }
    for (size_t i = 0; i < CHAINS; i++)
        *sink += (uint64_t)(int64_t)vaddvq_s32(acc[i]);
    return (uint64_t)n * CHAINS * 32;
}

static uint64_t float_neon(size_t n, uint64_t *sink)
{
    float32x4_t acc[CHAINS], a = vdupq_n_f32(0.5f), b = vdupq_n_f32(0.25f);
    for (size_t i = 0; i < CHAINS; i++)
        acc[i] = vdupq_n_f32(0);
    for (size_t r = 0; r < n; r++) {
        __asm__ volatile("" : "+w"(a));
#pragma GCC unroll 12
        for (size_t i = 0; i < CHAINS; i++)
            acc[i] = vfmaq_f32(a, acc[i], b);
    }
    for (size_t i = 0; i < CHAINS; i++)
        *sink += vgetq_lane_u32(vreinterpretq_u32_f32(acc[i]), 0);
    return (uint64_t)n * CHAINS * 8;
}

#endif

/* ---- any processor ---- */

static inline uint64_t int8_ref(size_t n, uint64_t *sink)
{
    int8_t a[READ_BLOCK], b[READ_BLOCK];
    memset(a, 3, sizeof(a));
    memset(b, -5, sizeof(b));
    for (size_t r = 0; r < n; r++) {
        __asm__ volatile("" ::"r"(a), "r"(b) : "memory");
        int32_t acc = 0;
        for (size_t i = 0; i < READ_BLOCK; i++)
            acc += a[i] * b[i];
        *sink += (uint64_t)(int64_t)acc;
    }
    return (uint64_t)n * READ_BLOCK * 2;
}

static inline uint64_t float_ref(size_t n, uint64_t *sink)
{
    float acc[16] = { 0 }, a = 0.5f;
    for (size_t r = 0; r < n; r++) {
        __asm__ volatile("" : "+m"(a));
        for (size_t i = 0; i < 16; i++)
            acc[i] = acc[i] * a + 0.25f;
    }
    for (size_t i = 0; i < 16; i++)
        *sink += (uint64_t)(acc[i] * 1024);
    return (uint64_t)n * 16 * 2;
}

uint64_t peak_int8(uint32_t cpu, size_t n_rounds, uint64_t *sink)
{
#if defined(__x86_64__)
    if (cpu & CPU_AMX_INT8)
        return int8_amx(n_rounds, sink);
    if (cpu & CPU_AVX512VNNI)
        return int8_avx512vnni(n_rounds, sink);
    if (cpu & CPU_AVXVNNI)
        return int8_avxvnni(n_rounds, sink);
    if (cpu & CPU_AVX512)
        return int8_avx512(n_rounds, sink);
    if (cpu & CPU_AVX2)
        return int8_avx2(n_rounds, sink);
#elif defined(__aarch64__)
    return cpu & CPU_DOTPROD ? int8_dotprod(n_rounds, sink) : int8_neon(n_rounds, sink);
#endif
    return int8_ref(n_rounds, sink);
}

uint64_t peak_float(uint32_t cpu, size_t n_rounds, uint64_t *sink)
{
    (void)cpu; /* not every architecture has a choice */
#if defined(__x86_64__)
    if (cpu & CPU_AVX512)
        return float_avx512(n_rounds, sink);
    if (cpu & CPU_AVX2)
        return float_avx2(n_rounds, sink);
#elif defined(__aarch64__)
    return float_neon(n_rounds, sink);
#endif
    return float_ref(n_rounds, sink);
}
