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

#if defined(__x86_64__) || defined(__aarch64__)

enum { CHAINS = 12 };

/* The 64-bit words of n_bytes, added up. */
static uint64_t sum_words(const void *data, size_t n_bytes)
{
    uint64_t sum = 0, word;
    for (size_t at = 0; at < n_bytes; at += sizeof(word)) {
        memcpy(&word, (const char *)data + at, sizeof(word));
        sum += word;
    }
    return sum;
}

/* One instruction set: n rounds of CHAINS sums of type 'vec', each of which STEP(sum, a, b) adds OPS operations to. */
#define PEAK(name, isa, vec, first, second, STEP, OPS)                                             \
    __attribute__((target(isa))) static uint64_t name(size_t n, uint64_t *sink)                    \
    {                                                                                              \
        vec acc[CHAINS];                                                                           \
        __typeof__(first) a = first, b = second;                                                   \
        memset(acc, 0, sizeof(acc));                                                               \
        for (size_t r = 0; r < n; r++) {                                                           \
            HIDE(a);                                                                               \
            _Pragma("GCC unroll 12") for (size_t i = 0; i < CHAINS; i++) acc[i] =                  \
                STEP(acc[i], a, b);                                                                \
        }                                                                                          \
        *sink += sum_words(acc, sizeof(acc));                                                      \
        return (uint64_t)n * CHAINS * (OPS);                                                       \
    }

#endif

#if defined(__x86_64__)

#include <immintrin.h>

#include "kernels/x86/tiles.h"

/* Keeps a value in its register and hides from the compiler what it is. */
#define HIDE(v) __asm__ volatile("" : "+v"(v))

__attribute__((target("avx2"), always_inline)) static inline __m256i pairs_256(__m256i sum,
                                                                               __m256i a, __m256i b)
{
    __m256i products = _mm256_maddubs_epi16(a, b);
    HIDE(products); /* each is made anew */
    return _mm256_add_epi32(sum, _mm256_madd_epi16(products, _mm256_set1_epi16(1)));
}

__attribute__((target("avx512f,avx512bw"), always_inline)) static inline __m512i
pairs_512(__m512i sum, __m512i a, __m512i b)
{
    __m512i products = _mm512_maddubs_epi16(a, b);
    HIDE(products);
    return _mm512_add_epi32(sum, _mm512_madd_epi16(products, _mm512_set1_epi16(1)));
}

PEAK(int8_avx2, "avx2", __m256i, _mm256_set1_epi8(3), _mm256_set1_epi8(-5), pairs_256, 64)
PEAK(int8_avxvnni, "avx2,avxvnni", __m256i, _mm256_set1_epi8(3), _mm256_set1_epi8(-5),
     _mm256_dpbusd_avx_epi32, 64)
PEAK(int8_avx512, "avx512f,avx512bw", __m512i, _mm512_set1_epi8(3), _mm512_set1_epi8(-5), pairs_512,
     128)
PEAK(int8_avx512vnni, "avx512f,avx512vnni", __m512i, _mm512_set1_epi8(3), _mm512_set1_epi8(-5),
     _mm512_dpbusd_epi32, 128)
PEAK(float_avx2, "avx2,fma", __m256, _mm256_set1_ps(0.5f), _mm256_set1_ps(0.25f), _mm256_fmadd_ps,
     16)
PEAK(float_avx512, "avx512f", __m512, _mm512_set1_ps(0.5f), _mm512_set1_ps(0.25f), _mm512_fmadd_ps,
     32)

/* Whole tiles: 16 x 16 sums of 64 products each. */
__attribute__((target("avx512f,amx-tile,amx-int8"))) static uint64_t int8_amx(size_t n,
                                                                              uint64_t *sink)
{
    enum { TILES = 4 };
    struct tile_config config = { .palette = 1 };
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

#elif defined(__aarch64__)

#include <arm_neon.h>

#define HIDE(v) __asm__ volatile("" : "+w"(v))

static inline __attribute__((always_inline)) int32x4_t pairs_128(int32x4_t sum, int8x16_t a,
                                                                 int8x16_t b)
{
    int16x8_t products = vmull_s8(vget_low_s8(a), vget_low_s8(b));
    products = vmlal_high_s8(products, a, b);
    HIDE(products); /* each is made anew */
    return vpadalq_s16(sum, products);
}

#define FMA_128(sum, a, b) vfmaq_f32(a, sum, b)

PEAK(int8_neon, "arch=armv8-a", int32x4_t, vdupq_n_s8(3), vdupq_n_s8(-5), pairs_128, 32)
PEAK(int8_dotprod, "arch=armv8.2-a+dotprod", int32x4_t, vdupq_n_s8(3), vdupq_n_s8(-5), vdotq_s32,
     32)
PEAK(float_neon, "arch=armv8-a", float32x4_t, vdupq_n_f32(0.5f), vdupq_n_f32(0.25f), FMA_128, 8)
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
