/* tests/kernels/judge.c: see judge.h. */
#include "judge.h"

#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/half.h"

/* ---- random numbers ---- */

uint64_t rng_state = 1;

uint64_t rng_next(void)
{
    rng_state ^= rng_state >> 12;
    rng_state ^= rng_state << 25;
    rng_state ^= rng_state >> 27;
    return rng_state * 0x2545F4914F6CDD1Du;
}

size_t rng_below(size_t n)
{
    return (size_t)(rng_next() >> 11) % n;
}

/* Near enough: the sum of four uniform numbers. */
float rng_normal(void)
{
    float sum = 0;
    for (int i = 0; i < 4; i++)
        sum += (float)(rng_next() >> 40) * 0x1p-24f - 0.5f;
    return sum * 1.7320508f;
}

const char *const fill_names[FILL_COUNT] = { "noise", "zero", "extreme", "sparse" };

static float extreme_float(void)
{
    static const float values[] = { 3e14f, -3e14f, 1e-30f,  -1e-30f, 1e-42f, -1e-42f,
                                    0.0f,  -0.0f,  65504.f, 127.5f,  -0.5f,  1.0f };
    return values[rng_below(sizeof(values) / sizeof(values[0]))];
}

void fill_floats(float *x, size_t n, enum fill fill)
{
    for (size_t i = 0; i < n; i++) {
        float v = fill == FILL_ZERO      ? 0.0f
                  : fill == FILL_EXTREME ? extreme_float()
                  : fill == FILL_SPARSE && rng_below(8)
                      ? 0.0f
                      : rng_normal() * (rng_below(50) ? 1.0f : 30.0f);
        memcpy((uint8_t *)x + i * sizeof(v), &v, sizeof(v)); /* x may lie at any address */
    }
}

void fill_bytes(void *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        ((uint8_t *)p)[i] = (uint8_t)(rng_next() >> 32);
}

uint16_t random_half(enum fill fill)
{
    static const uint16_t extremes[] = {
        0x7bff, 0xfbff, 0x0001, 0x8001, 0x03ff, 0x0400, 0x8000, 0
    };
    if (fill == FILL_ZERO || (fill == FILL_SPARSE && rng_below(4)))
        return 0;
    if (fill == FILL_EXTREME)
        return extremes[rng_below(sizeof(extremes) / sizeof(extremes[0]))];
    return f32_to_f16(rng_normal() * 0.02f);
}

/* ---- weights ---- */

/* Where a block holds half-precision numbers: everything else may be any byte. */
static size_t half_offsets(size_t at[2], enum qtype type)
{
    static const struct {
        enum qtype type;
        size_t n, at[2];
    } table[] = {
        { QT_Q4_0, 1, { 0 } },    { QT_Q4_1, 2, { 0, 2 } }, { QT_Q5_0, 1, { 0 } },
        { QT_Q5_1, 2, { 0, 2 } }, { QT_Q8_0, 1, { 0 } },    { QT_Q2_K, 2, { 80, 82 } },
        { QT_Q3_K, 1, { 108 } },  { QT_Q4_K, 2, { 0, 2 } }, { QT_Q5_K, 2, { 0, 2 } },
        { QT_Q6_K, 1, { 208 } },  { QT_IQ4_NL, 1, { 0 } },  { QT_IQ4_XS, 1, { 0 } },
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        if (table[i].type == type) {
            memcpy(at, table[i].at, sizeof(table[i].at));
            return table[i].n;
        }
    }
    return 0;
}

static void fill_float_weights(uint8_t *p, enum qtype type, size_t n, enum fill fill)
{
    for (size_t i = 0; i < n; i++) {
        float f;
        fill_floats(&f, 1, fill);
        uint32_t bits = f32_bits(f);
        uint16_t half = random_half(fill), top = (uint16_t)(bits >> 16);
        if (type == QT_F32)
            memcpy(p + 4 * i, &bits, 4);
        else
            memcpy(p + 2 * i, type == QT_F16 ? &half : &top, 2);
    }
}

void fill_weights(void *p, enum qtype type, size_t n_rows, size_t row_bytes, enum fill fill)
{
    const struct qtype_traits *t = qtype_traits(type);
    size_t n_blocks = n_rows * row_bytes / t->block_bytes, at[2];
    if (t->is_float) {
        fill_float_weights(p, type, n_blocks, fill);
        return;
    }
    fill_bytes(p, n_rows * row_bytes);
    size_t n_halves = half_offsets(at, type);
    for (size_t b = 0; b < n_blocks; b++) {
        uint8_t *block = (uint8_t *)p + b * t->block_bytes;
        for (size_t i = 0; i < n_halves; i++) {
            uint16_t h = random_half(fill);
            memcpy(block + at[i], &h, 2);
        }
        if (type == QT_MXFP4 && fill != FILL_EXTREME) /* else any of 2^-128 to 2^127 */
            block[0] = (uint8_t)(fill == FILL_ZERO ? 0 : 110 + block[0] % 20);
    }
}

/* ---- guarded memory ---- */

enum { GUARDS_MAX = 64 };
static struct {
    void *map;
    size_t bytes;
} guards[GUARDS_MAX];
static size_t n_guards;

void *guard_alloc(size_t n, enum side side)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t inner = (n + page - 1) / page * page + (n == 0) * page;
    uint8_t *map = n_guards == GUARDS_MAX ? MAP_FAILED
                                          : mmap(NULL, inner + 2 * page, PROT_NONE,
                                                 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED || mprotect(map + page, inner, PROT_READ | PROT_WRITE)) {
        printf("no memory for a test buffer of %zu bytes\n", n);
        abort();
    }
    guards[n_guards].map = map;
    guards[n_guards++].bytes = inner + 2 * page;
    return side == SIDE_START ? map + page : map + page + inner - n;
}

void *guard_copy(const void *p, size_t n, enum side side)
{
    void *copy = guard_alloc(n, side);
    memcpy(copy, p, n);
    return copy;
}

void guard_release_all(void)
{
    while (n_guards) {
        n_guards--;
        munmap(guards[n_guards].map, guards[n_guards].bytes);
    }
}

/* ---- verdicts ---- */

struct verdict verdict;

__attribute__((format(printf, 3, 0))) static bool judge(bool ok, const char *detail,
                                                        const char *what, va_list ap)
{
    if (ok) {
        verdict.passed++;
        return true;
    }
    if (verdict.failed++ < 40) {
        printf("FAILED ");
        vprintf(what, ap);
        printf("%s\n", detail);
    }
    return false;
}

bool check(bool ok, const char *what, ...)
{
    va_list ap;
    va_start(ap, what);
    judge(ok, "", what, ap);
    va_end(ap);
    return ok;
}

static bool same_float(float a, float b)
{
    return f32_bits(a) == f32_bits(b) || (isnan(a) && isnan(b));
}

bool check_floats(const float *found, const float *expected, size_t n, const char *what, ...)
{
    char detail[128] = "";
    size_t i = 0;
    while (i < n && same_float(found[i], expected[i]))
        i++;
    if (i < n)
        snprintf(detail, sizeof(detail), ": at %zu of %zu expected %a (%g), found %a (%g)", i, n,
                 (double)expected[i], (double)expected[i], (double)found[i], (double)found[i]);
    va_list ap;
    va_start(ap, what);
    judge(i == n, detail, what, ap);
    va_end(ap);
    return i == n;
}

bool check_bytes(const void *found, const void *expected, size_t n, const char *what, ...)
{
    const uint8_t *a = found, *b = expected;
    char detail[96] = "";
    size_t i = 0;
    while (i < n && a[i] == b[i])
        i++;
    if (i < n)
        snprintf(detail, sizeof(detail), ": byte %zu of %zu expected %02x, found %02x", i, n, b[i],
                 a[i]);
    va_list ap;
    va_start(ap, what);
    judge(i == n, detail, what, ap);
    va_end(ap);
    return i == n;
}

static const char *volatile now_slot = "nothing", *volatile now_level = "";
static uint64_t crash_seed;

void about_to_run(const char *slot, const char *level)
{
    now_slot = slot;
    now_level = level;
}

static void on_crash(int sig)
{
    char text[256];
    int n =
        snprintf(text, sizeof(text),
                 "FAILED %s %s: signal %d, most likely a touch outside its buffers; --seed %llu\n",
                 now_slot, now_level, sig, (unsigned long long)crash_seed);
    if (write(STDOUT_FILENO, text, (size_t)n) != n)
        _exit(4);
    _exit(3);
}

/* Where the address sanitizer has a handler of its own, that one says more and stays. */
void report_crashes(uint64_t seed)
{
    static const int signals[] = { SIGSEGV, SIGBUS };
    crash_seed = seed;
    for (size_t i = 0; i < 2; i++) {
        struct sigaction now;
        if (sigaction(signals[i], NULL, &now) == 0 && now.sa_handler == SIG_DFL)
            signal(signals[i], on_crash);
    }
}

/* ---- levels ---- */

struct level levels[8];
size_t n_levels;

/* Every combination a processor may have, as far as this one has it. */
void levels_init(void)
{
    static const uint32_t candidates[] = {
        0,
        CPU_AVX2,
        CPU_AVX2 | CPU_AVXVNNI,
        CPU_AVX2 | CPU_AVX512,
        CPU_AVX2 | CPU_AVX512 | CPU_AVX512VNNI,
        CPU_AVX2 | CPU_AVXVNNI | CPU_AVX512 | CPU_AVX512VNNI | CPU_AMX_INT8,
        CPU_NEON,
        CPU_NEON | CPU_DOTPROD,
    };
    uint32_t cpu = cpu_detect();
    for (size_t i = 0; i < sizeof(candidates) / sizeof(candidates[0]); i++) {
        if ((candidates[i] & cpu) != candidates[i])
            continue;
        struct level *l = &levels[n_levels++];
        l->flags = candidates[i];
        l->name = cpu_level_name(l->flags);
        kernels_init(&l->k, l->flags);
    }
}
