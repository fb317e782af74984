/* src/base: what everything else stands on.
 *
 * Method: tables of cases; where the domain is small, all of it (every 16-bit float, every code
 * point, every two-byte string); where a law is known, the law on random input with the seed
 * printed. */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/compiler.h"
#include "base/files.h"
#include "base/half.h"
#include "base/log.h"
#include "base/pool.h"
#include "base/rng.h"
#include "base/size.h"
#include "base/span.h"
#include "base/status.h"
#include "base/utf8.h"
#include "support/model_writer.h"

/* ---- status ---------------------------------------------------------------------------------- */

static void every_status_has_a_name(void **state)
{
    (void)state;
    for (int a = KT_OK; a <= KT_E_INTERNAL; a++) {
        assert_string_not_equal(kt_status_name((enum kt_status)a), "unknown status");
        for (int b = KT_OK; b < a; b++)
            assert_string_not_equal(kt_status_name((enum kt_status)a),
                                    kt_status_name((enum kt_status)b));
    }
    assert_string_equal(kt_status_name((enum kt_status) - 1), "unknown status");
    assert_string_equal(kt_status_name((enum kt_status)99), "unknown status");
}

static void messages_are_cut_at_characters(void **state)
{
    (void)state;
    /* Texts of 1-, 2-, 3- and 4-byte characters, long enough to be cut at every position. */
    static const char *const UNITS[] = { "a", "ü", "€", "🚀" };
    for (size_t u = 0; u < ARRAY_LEN(UNITS); u++) {
        for (size_t shift = 0; shift < 4; shift++) {
            struct buf text = { 0 };
            struct kt_error err;
            while (text.len < 2 * KT_ERROR_TEXT_MAX)
                buf_append_str(&text, UNITS[u]);
            assert_int_equal(kt_fail(&err, KT_E_LIMIT, "%.*s%s", (int)shift, "xxx", text.ptr),
                             KT_E_LIMIT);
            size_t len = strlen(err.text);
            assert_int_equal(err.status, KT_E_LIMIT);
            assert_true(utf8_valid(span_of(err.text)));
            assert_true(len < KT_ERROR_TEXT_MAX && len >= KT_ERROR_TEXT_MAX - 4);
            kt_error_prefix(&err, "%.*s", (int)shift + 1, "wxyz");
            assert_true(utf8_valid(span_of(err.text)));
            assert_int_equal(strncmp(err.text, "wxyz", shift + 1), 0);
            buf_deinit(&text);
        }
    }
}

static void a_prefix_goes_before_the_message(void **state)
{
    (void)state;
    struct kt_error err;
    assert_int_equal(kt_fail(&err, KT_E_FORMAT, "line %d", 3), KT_E_FORMAT);
    kt_error_prefix(&err, "%s", "a.txt");
    assert_string_equal(err.text, "a.txt: line 3");
    assert_int_equal(err.status, KT_E_FORMAT);
    kt_error_prefix(NULL, "nobody listens");
    assert_int_equal(kt_fail(NULL, KT_E_IO, "nobody listens"), KT_E_IO);
    assert_int_equal(kt_fail_errno(NULL, ENOSPC, "nobody listens"), KT_E_NOSPACE);
}

static void errno_becomes_a_status(void **state)
{
    (void)state;
    static const struct {
        int errnum;
        enum kt_status status;
    } CASES[] = { { ENOENT, KT_E_NOTFOUND }, { ENOTDIR, KT_E_NOTFOUND }, { ENOSPC, KT_E_NOSPACE },
                  { EDQUOT, KT_E_NOSPACE },  { ENOMEM, KT_E_NOMEM },     { EACCES, KT_E_IO } };
    for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
        struct kt_error err;
        assert_int_equal(kt_fail_errno(&err, CASES[i].errnum, "x"), CASES[i].status);
        assert_int_equal(err.status, CASES[i].status);
        assert_int_equal(strncmp(err.text, "x: ", 3), 0);
        assert_non_null(strstr(err.text, strerror(CASES[i].errnum)));
    }
}

/* ---- span, buf ------------------------------------------------------------------------------- */

static void spans_are_cut_and_compared(void **state)
{
    (void)state;
    struct span s = SPAN("  alpha beta\n");
    struct span none = { 0 };
    assert_true(span_eq_str(span_trim(s), "alpha beta"));
    assert_int_equal(span_trim(SPAN(" \t\r\n")).len, 0);
    assert_int_equal(span_trim(none).len, 0);
    assert_true(span_eq_str(span_sub(s, 2, 7), "alpha"));
    assert_int_equal(span_sub(s, 7, 2).len, 0);
    assert_int_equal(span_sub(s, 100, 200).len, 0);
    assert_true(span_eq(span_sub(s, 0, SIZE_MAX), s));
    assert_int_equal(span_sub(none, 0, 5).len, 0);
    assert_true(span_eq(none, span_of("")));
    assert_true(span_eq(none, span_of(NULL)));
    assert_false(span_eq(SPAN("a"), SPAN("b")));
    assert_false(span_eq(SPAN("a"), SPAN("ab")));
    assert_false(span_eq_str((struct span){ "a\0b", 3 }, "a"));
    assert_true(span_starts(SPAN("abc"), SPAN("ab")));
    assert_true(span_starts(SPAN("abc"), none));
    assert_false(span_starts(SPAN("ab"), SPAN("abc")));
    assert_true(span_ends(SPAN("abc"), SPAN("bc")));
    assert_false(span_ends(SPAN("bc"), SPAN("abc")));
    assert_true(span_ends(none, none));
}

static void find_agrees_with_a_plain_loop(void **state)
{
    (void)state;
    struct rng rng;
    rng_init(&rng, 5);
    for (int round = 0; round < 20000; round++) {
        char hay[12], needle[3];
        size_t n = rng_below(&rng, sizeof(hay) + 1), m = rng_below(&rng, sizeof(needle) + 1);
        size_t from = rng_below(&rng, n + 2);
        for (size_t i = 0; i < n; i++)
            hay[i] = "ab"[rng_below(&rng, 2)];
        for (size_t i = 0; i < m; i++)
            needle[i] = "ab"[rng_below(&rng, 2)];
        size_t want = SIZE_MAX;
        for (size_t i = from; i + m <= n && want == SIZE_MAX; i++) {
            if (memcmp(hay + i, needle, m) == 0)
                want = i;
        }
        size_t got = span_find((struct span){ hay, n }, (struct span){ needle, m }, from);
        if (got != want)
            fail_msg("seed 5, round %d: '%.*s' in '%.*s' from %zu: %zu, expected %zu", round,
                     (int)m, needle, (int)n, hay, from, got, want);
    }
}

static void a_buf_grows_and_stays_terminated(void **state)
{
    (void)state;
    struct buf b = { 0 };
    buf_append_str(&b, "");
    assert_string_equal(b.ptr, "");
    for (int i = 0; i < 1000; i++) {
        buf_printf(&b, "%d,", i);
        assert_int_equal(b.ptr[b.len], 0);
        assert_true(b.cap > b.len);
    }
    buf_append(&b, "\0x", 2);
    buf_append_char(&b, 'y');
    buf_append_span(&b, SPAN("z"));
    buf_append(&b, NULL, 0);
    assert_int_equal(b.len, 3890 + 4);
    assert_memory_equal(b.ptr + 3890, "\0xyz", 5);
    assert_true(span_eq_str(span_sub(buf_span(&b), 0, 6), "0,1,2,"));
    buf_clear(&b);
    assert_int_equal(b.len, 0);
    assert_string_equal(b.ptr, "");
    buf_append_str(&b, "taken");
    char *s = buf_take(&b);
    assert_string_equal(s, "taken");
    assert_null(b.ptr);
    free(s);
    s = buf_take(&b);
    assert_string_equal(s, "");
    free(s);
    buf_deinit(&b);
}

static void a_buf_remembers_that_it_failed(void **state)
{
    (void)state;
    struct buf b = { 0 };
    buf_append_str(&b, "kept");
    assert_false(buf_reserve(&b, SIZE_MAX - 2)); /* overflows with what is there */
    assert_true(b.failed);
    buf_append_str(&b, "more");
    assert_string_equal(b.ptr, "kept");
    assert_null(buf_take(&b));
    assert_false(b.failed);
    buf_deinit(&b);
}

static void sizes_do_not_wrap(void **state)
{
    (void)state;
    size_t r = 7;
    assert_true(size_mul(&r, SIZE_MAX, 1));
    assert_true(r == SIZE_MAX);
    r = 7;
    assert_false(size_mul(&r, SIZE_MAX / 2 + 1, 2));
    assert_false(size_add(&r, SIZE_MAX, 1));
    assert_int_equal(r, 7);
    assert_true(size_add(&r, SIZE_MAX - 1, 1));
    assert_int_equal(size_align(0, 32), 0);
    assert_int_equal(size_align(1, 32), 32);
    assert_int_equal(size_align(32, 32), 32);
}

/* ---- arena ----------------------------------------------------------------------------------- */

static void arena_memory_is_zeroed_aligned_and_separate(void **state)
{
    (void)state;
    enum { N = 500 };
    static unsigned char *p[N];
    static size_t size[N];
    struct arena a = { 0 };
    struct rng rng;
    rng_init(&rng, 3);
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < N; i++) {
            size[i] = rng_below(&rng, i % 50 == 0 ? 200000 : 300);
            p[i] = arena_alloc(&a, size[i]);
            assert_non_null(p[i]);
            assert_int_equal((uintptr_t)p[i] % 64, 0);
            for (size_t k = 0; k < size[i]; k++)
                assert_int_equal(p[i][k], 0);
            memset(p[i], (int)(i % 251) + 1, size[i]);
        }
        for (size_t i = 0; i < N; i++) {
            for (size_t k = 0; k < size[i]; k++)
                assert_int_equal(p[i][k], i % 251 + 1);
        }
        arena_reset(&a);
    }
    assert_null(arena_alloc(&a, SIZE_MAX));
    assert_null(arena_alloc(&a, SIZE_MAX - 63));
    assert_null(arena_array(&a, SIZE_MAX / 4, 8));
    assert_string_equal(arena_strdup(&a, SPAN("text")), "text");
    assert_string_equal(arena_strdup(&a, (struct span){ 0 }), "");
    arena_deinit(&a);
    assert_null(a.first);
    arena_deinit(&a);
}

#ifdef KT_ASAN
static void arena_memory_is_poisoned_when_it_is_nobodys(void **state)
{
    (void)state;
    struct arena a = { 0 };
    char *p = arena_alloc(&a, 64);
    assert_false(__asan_address_is_poisoned(p + 63));
    assert_true(__asan_address_is_poisoned(p + 64));
    arena_reset(&a);
    assert_true(__asan_address_is_poisoned(p));
    arena_deinit(&a);
}
#endif

/* ---- UTF-8 ----------------------------------------------------------------------------------- */

static void every_code_point_goes_there_and_back(void **state)
{
    (void)state;
    for (int32_t cp = 0; cp <= 0x10FFFF; cp++) {
        char s[UTF8_MAX_BYTES];
        size_t used = 0, n = utf8_encode(s, cp);
        int32_t back = utf8_decode(s, n, &used);
        bool surrogate = cp >= 0xD800 && cp <= 0xDFFF;
        if (surrogate ? back != UTF8_BAD : back != cp || used != n)
            fail_msg("U+%04X: decoded as %d from %zu bytes", (unsigned)cp, (int)back, used);
        for (size_t cut = 1; cut < n && !surrogate; cut++) {
            if (utf8_decode(s, cut, &used) != UTF8_TORN || used != cut)
                fail_msg("U+%04X cut after %zu bytes is not seen as torn", (unsigned)cp, cut);
        }
    }
}

static void ill_formed_text_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t skip; /* the maximal subpart */
    } CASES[] = {
        { "\x80", 1 },
        { "\xBF", 1 },
        { "\xC0\x80", 1 },
        { "\xC1\xBF", 1 },
        { "\xC2\x41", 1 },
        { "\xE0\x80\x80", 1 },
        { "\xE0\x9F\xBF", 1 },
        { "\xE2\x82\x41", 2 },
        { "\xED\xA0\x80", 1 },
        { "\xED\xBF\xBF", 1 },
        { "\xF0\x80\x80\x80", 1 },
        { "\xF0\x8F\xBF\xBF", 1 },
        { "\xF0\x9F\x9A\x41", 3 },
        { "\xF4\x90\x80\x80", 1 },
        { "\xF5\x80\x80\x80", 1 },
        { "\xFE", 1 },
        { "\xFF", 1 },
    };
    for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
        size_t n = 99;
        if (utf8_decode(CASES[i].text, strlen(CASES[i].text), &n) != UTF8_BAD || n != CASES[i].skip)
            fail_msg("case %zu: skip %zu, expected ill-formed and %zu", i, n, CASES[i].skip);
        assert_false(utf8_valid(span_of(CASES[i].text)));
    }
    assert_true(utf8_valid(SPAN("K\xC3\xB6ln \xE2\x82\xAC \xF0\x9F\x9A\x80")));
    assert_false(utf8_valid(SPAN("K\xC3")));
    assert_true(utf8_valid((struct span){ 0 }));
}

static void repaired_text_is_valid_and_counted_alike(void **state)
{
    (void)state;
    struct rng rng;
    rng_init(&rng, 11);
    static const uint8_t BYTES[] = { 'a',  0x80, 0xBF, 0xC3, 0xB6, 0xE2, 0x82,
                                     0xAC, 0xED, 0xA0, 0xF0, 0x9F, 0xF4, 0xFF };
    for (int round = 0; round < 20000; round++) {
        char s[10];
        struct buf out = { 0 };
        struct span in = { s, rng_below(&rng, sizeof(s)) };
        for (size_t i = 0; i < in.len; i++)
            s[i] = (char)BYTES[rng_below(&rng, sizeof(BYTES))];
        utf8_repair(&out, in);
        if (!utf8_valid(buf_span(&out)) || utf8_count(in) != utf8_count(buf_span(&out)) ||
            (utf8_valid(in) && !span_eq(in, buf_span(&out))))
            fail_msg("seed 11, round %d: repaired text is wrong", round);
        size_t torn = utf8_torn_tail(in);
        size_t n = 0;
        if (torn > 3 || torn > in.len ||
            (torn && utf8_decode(s + in.len - torn, torn, &n) != UTF8_TORN))
            fail_msg("seed 11, round %d: torn tail of %zu bytes", round, torn);
        buf_deinit(&out);
    }
    assert_int_equal(utf8_torn_tail(SPAN("a\xF0\x9F\x9A")), 3);
    assert_int_equal(utf8_torn_tail(SPAN("a\xC3")), 1);
    assert_int_equal(utf8_torn_tail(SPAN("a\xC3\xB6")), 0);
    assert_int_equal(utf8_torn_tail(SPAN("a\xFF")), 0);
    assert_int_equal(utf8_torn_tail(SPAN("\x80\x80\x80\x80")), 0);
    assert_int_equal(utf8_torn_tail((struct span){ 0 }), 0);
}

/* ---- halves ---------------------------------------------------------------------------------- */

static double half_by_definition(uint16_t h)
{
    int exp = h >> 10 & 31, man = h & 1023;
    double v = exp == 31 ? (man ? NAN : INFINITY)
               : exp     ? ldexp(1024 + man, exp - 25)
                         : ldexp(man, -24);
    return h & 0x8000 ? -v : v;
}

static void every_half_is_read_and_written_exactly(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 65536; h++) {
        float f = f16_to_f32((uint16_t)h);
        double want = half_by_definition((uint16_t)h);
        if (isnan(want) ? !isnan(f) : f32_bits(f) != f32_bits((float)want))
            fail_msg("half %04X is %a, expected %a", h, (double)f, want);
        uint16_t back = f32_to_f16(f);
        if (isnan(want) ? !isnan(f16_to_f32(back)) || (back ^ h) & 0x8000 : back != h)
            fail_msg("half %04X comes back as %04X", h, back);
        uint16_t b = f32_to_bf16(bf16_to_f32((uint16_t)h));
        if (isnan(bf16_to_f32((uint16_t)h)) ? !isnan(bf16_to_f32(b)) : b != h)
            fail_msg("bfloat16 %04X comes back as %04X", h, b);
    }
}

/* Between every two neighbouring halves: just below the middle, the middle, just above it. */
static void halves_round_to_nearest_even(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 0x7C00; h++) {
        double lo = half_by_definition((uint16_t)h);
        double hi = h + 1 == 0x7C00 ? 65536.0 : half_by_definition((uint16_t)(h + 1));
        float mid = (float)((lo + hi) / 2); /* exact: a float has 13 bits more */
        uint16_t even = (uint16_t)(h & 1 ? h + 1 : h);
        for (int sign = 0; sign < 2; sign++) {
            float s = sign ? -1.0f : 1.0f;
            uint16_t bit = sign ? 0x8000 : 0;
            uint16_t below = f32_to_f16(s * nextafterf(mid, 0)), at = f32_to_f16(s * mid);
            uint16_t above = f32_to_f16(s * nextafterf(mid, INFINITY));
            if (below != (h | bit) || at != (even | bit) || above != ((h + 1) | bit))
                fail_msg("around the middle above half %04X: %04X %04X %04X", h | bit, below, at,
                         above);
        }
    }
    assert_int_equal(f32_to_f16(INFINITY), 0x7C00);
    assert_int_equal(f32_to_f16(-3e38f), 0xFC00);
    assert_true(isnan(f16_to_f32(f32_to_f16(NAN))));
}

static void bfloat16_rounds_to_nearest_even(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 0x7F80; h++) {
        uint32_t mid = h << 16 | 0x8000;
        uint32_t even = h & 1 ? h + 1 : h;
        assert_int_equal(f32_to_bf16(f32_from_bits(mid - 1)), h);
        assert_int_equal(f32_to_bf16(f32_from_bits(mid)), even);
        assert_int_equal(f32_to_bf16(f32_from_bits(mid + 1)), h + 1);
        assert_int_equal(f32_to_bf16(f32_from_bits(mid + 1) * -1), (h + 1) | 0x8000);
    }
    assert_true(isnan(bf16_to_f32(f32_to_bf16(f32_from_bits(0x7F800001)))));
}

/* ---- random numbers, clock ------------------------------------------------------------------- */

static void random_numbers_repeat_and_stay_in_range(void **state)
{
    (void)state;
    struct rng a, b, c;
    rng_init(&a, 42);
    rng_init(&b, 42);
    rng_init(&c, 43);
    size_t buckets[7] = { 0 }, n_same = 0;
    double sum = 0;
    for (int i = 0; i < 70000; i++) {
        uint64_t x = rng_u64(&a);
        assert_true(x == rng_u64(&b));
        n_same += x == rng_u64(&c);
        float f = rng_f32(&a);
        assert_true(f >= 0 && f < 1);
        sum += (double)f;
        size_t k = rng_below(&a, 7);
        assert_true(k < 7);
        buckets[k]++;
        rng_u64(&b);
        rng_u64(&b);
    }
    assert_int_equal(n_same, 0);
    assert_true(fabs(sum / 70000 - 0.5) < 0.01);
    for (size_t k = 0; k < 7; k++)
        assert_true(buckets[k] > 9500 && buckets[k] < 10500); /* 10000, 5 sigma = 460 */
    uint64_t t = clock_now_ns();
    assert_true(clock_now_ns() >= t);
    assert_true(clock_unix_s() > 1700000000);
}

/* ---- pool ------------------------------------------------------------------------------------ */

struct count_job {
    _Atomic uint32_t *taken;
    _Atomic size_t sum;
    size_t n, grain, n_threads;
    _Atomic bool bad;
};

static void count_rows(void *ctx, size_t row0, size_t row1, size_t thread_idx)
{
    struct count_job *j = ctx;
    if (row0 >= row1 || row1 > j->n || thread_idx >= j->n_threads)
        atomic_store(&j->bad, true);
    if (j->n > j->grain && (row0 % j->grain || (row1 % j->grain && row1 != j->n)))
        atomic_store(&j->bad, true);
    for (size_t r = row0; r < row1; r++)
        atomic_fetch_add(&j->taken[r], 1);
    atomic_fetch_add(&j->sum, row1 - row0);
}

static void check_job(struct pool *p, size_t n, size_t grain)
{
    static _Atomic uint32_t taken[5000];
    struct count_job j = { .taken = taken, .n = n, .grain = grain, .n_threads = pool_threads(p) };
    for (size_t r = 0; r < n; r++)
        atomic_store(&taken[r], 0);
    pool_for(p, n, grain, count_rows, &j);
    if (atomic_load(&j.bad) || atomic_load(&j.sum) != n)
        fail_msg("%zu rows, grain %zu, %zu threads: wrong ranges", n, grain, j.n_threads);
    for (size_t r = 0; r < n; r++) {
        if (atomic_load(&taken[r]) != 1)
            fail_msg("%zu rows, grain %zu, %zu threads: row %zu was done %u times", n, grain,
                     j.n_threads, r, atomic_load(&taken[r]));
    }
}

/* More threads than processors, jobs in quick succession and after a pause long enough to fall
 * asleep. */
static void every_row_is_done_once(void **state)
{
    (void)state;
    static const size_t THREADS[] = { 1, 2, 3, 8 };
    for (size_t t = 0; t < ARRAY_LEN(THREADS); t++) {
        struct pool *p;
        struct kt_error err;
        struct rng rng;
        rng_init(&rng, THREADS[t]);
        assert_int_equal(pool_create(&p, THREADS[t], &err), KT_OK);
        assert_int_equal(pool_threads(p), THREADS[t]);
        for (int round = 0; round < 300; round++) {
            check_job(p, rng_below(&rng, round % 10 ? 100 : 5000), 1 + rng_below(&rng, 40));
            if (round % 100 == 99)
                usleep(2000);
        }
        pool_destroy(p);
    }
    check_job(NULL, 100, 7);
    assert_int_equal(pool_threads(NULL), 1);
    pool_destroy(NULL);
}

static void a_pool_without_work_ends(void **state)
{
    (void)state;
    struct pool *p;
    struct kt_error err;
    for (int i = 0; i < 50; i++) {
        assert_int_equal(pool_create(&p, 4, &err), KT_OK);
        if (i % 2)
            usleep(500); /* asleep, or still spinning */
        pool_destroy(p);
    }
    assert_int_equal(pool_create(&p, 0, &err), KT_OK);
    assert_true(pool_threads(p) >= 1);
    pool_for(p, 0, 1, NULL, NULL); /* nothing to do: fn is not called */
    pool_destroy(p);
    assert_int_equal(pool_create(&p, 100000, &err), KT_E_LIMIT);
    assert_null(p);
}

/* ---- files ----------------------------------------------------------------------------------- */

static void files_are_mapped_and_read(void **state)
{
    (void)state;
    char *dir = temp_dir_make();
    char *path = path_join(dir, "a"), *empty = path_join(dir, "empty"),
         *fifo = path_join(dir, "fifo");
    char *absent = path_join(dir, "absent");
    struct file_map m;
    struct kt_error err;
    struct buf b = { 0 };
    save_file(dir, "a", "hello\0world", 11);
    save_file(dir, "empty", "", 0);
    assert_int_equal(mkfifo(fifo, 0600), 0);

    assert_int_equal(file_map_open(&m, path, &err), KT_OK);
    assert_int_equal(m.size, 11);
    assert_memory_equal(m.data, "hello\0world", 11);
    file_map_close(&m);
    assert_null(m.data);
    assert_int_equal(file_map_open(&m, empty, &err), KT_OK);
    assert_null(m.data);
    file_map_close(&m);
    assert_int_equal(file_map_open(&m, absent, &err), KT_E_NOTFOUND);
    assert_non_null(strstr(err.text, absent));
    assert_int_equal(file_map_open(&m, dir, &err), KT_E_UNSUPPORTED);
    assert_int_equal(file_map_open(&m, fifo, &err), KT_E_UNSUPPORTED); /* and does not hang */

    buf_append_str(&b, "before ");
    assert_int_equal(file_read(&b, path, 11, &err), KT_OK);
    assert_int_equal(b.len, 18);
    assert_memory_equal(b.ptr, "before hello\0world", 19);
    assert_int_equal(file_read(&b, path, 10, &err), KT_E_LIMIT);
    assert_int_equal(file_read(&b, fifo, 10, &err), KT_E_UNSUPPORTED);
    buf_deinit(&b);
    assert_true(file_exists(path));
    assert_false(file_exists(absent));
    free(path);
    free(empty);
    free(fifo);
    free(absent);
    temp_dir_remove(dir);
}

static size_t count_files(const char *dir)
{
    struct buf cmd = { 0 };
    char line[32] = "";
    buf_printf(&cmd, "ls -A '%s' | wc -l", dir);
    FILE *p = popen(cmd.ptr, "r");
    assert_non_null(p);
    assert_non_null(fgets(line, sizeof(line), p));
    pclose(p);
    buf_deinit(&cmd);
    return (size_t)atoi(line);
}

static void a_file_is_replaced_whole_or_not_at_all(void **state)
{
    (void)state;
    char *dir = temp_dir_make();
    char *path = path_join(dir, "a"), *below = path_join(dir, "no/such/folder");
    char *taken = path_join(dir, "folder");
    struct kt_error err;
    struct buf b = { 0 };
    struct stat sb;
    assert_int_equal(file_replace(path, "one", 3, 0600, &err), KT_OK);
    assert_int_equal(stat(path, &sb), 0);
    assert_int_equal(sb.st_mode & 0777, 0600);
    struct file_map old;
    assert_int_equal(file_map_open(&old, path, &err), KT_OK);
    assert_int_equal(file_replace(path, "two!", 4, 0600, &err), KT_OK);
    assert_memory_equal(old.data, "one", 3); /* who has the old one keeps it */
    file_map_close(&old);
    assert_int_equal(file_read(&b, path, 100, &err), KT_OK);
    assert_string_equal(b.ptr, "two!");
    assert_int_equal(file_replace(below, "x", 1, 0600, &err), KT_E_NOTFOUND);
    assert_int_equal(dir_make(taken, 0700, &err), KT_OK);
    assert_int_equal(file_replace(taken, "x", 1, 0600, &err), KT_E_IO); /* a folder is in the way */
    assert_int_equal(count_files(dir), 2); /* no temporary file is left */
    buf_deinit(&b);
    free(path);
    free(below);
    free(taken);
    temp_dir_remove(dir);
}

static void a_full_disk_is_said_so(void **state)
{
    (void)state;
    struct kt_error err;
    int fd = open("/dev/full", O_WRONLY);
    assert_true(fd >= 0);
    assert_int_equal(file_write_fd(fd, "x", 1, "out", &err), KT_E_NOSPACE);
    assert_int_equal(strncmp(err.text, "out: ", 5), 0);
    close(fd);
}

static void pipes_are_read_and_written_whole(void **state)
{
    (void)state;
    enum { N = 1 << 20 };
    int fds[2];
    struct kt_error err;
    struct buf b = { 0 };
    assert_int_equal(pipe(fds), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) { /* writes more than a pipe holds */
        static char big[N];
        memset(big, 'x', N);
        close(fds[0]);
        _exit(file_write_fd(fds[1], big, N, "pipe", NULL) != KT_OK);
    }
    close(fds[1]);
    assert_int_equal(file_read_fd(&b, fds[0], "pipe", N, &err), KT_OK);
    close(fds[0]);
    assert_int_equal(b.len, N);
    buf_deinit(&b);
}

static void folders_are_made_with_their_parents(void **state)
{
    (void)state;
    char *dir = temp_dir_make();
    char *deep = path_join(dir, "a/b//c/"), *file = path_join(dir, "f"),
         *under = path_join(dir, "f/g");
    struct kt_error err;
    assert_int_equal(dir_make(deep, 0700, &err), KT_OK);
    assert_int_equal(dir_make(deep, 0700, &err), KT_OK);
    assert_true(file_exists(deep));
    save_file(dir, "f", "", 0);
    assert_int_equal(dir_make(file, 0700, &err), KT_E_EXISTS);
    assert_int_equal(dir_make(under, 0700, &err), KT_E_NOTFOUND);
    free(deep);
    free(file);
    free(under);
    temp_dir_remove(dir);
}

static void hashes_and_paths(void **state)
{
    (void)state;
    char *dir = temp_dir_make();
    char *path = path_join(dir, "abc");
    char hex[65];
    struct kt_error err;
    save_file(dir, "abc", "abc", 3);
    assert_int_equal(file_sha256(hex, path, &err), KT_OK);
    assert_string_equal(
        hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"); /* FIPS 180-2 */
    assert_int_equal(file_sha256(hex, dir, &err), KT_E_UNSUPPORTED);
    free(path);
    temp_dir_remove(dir);

    static const struct {
        const char *a, *b, *joined;
    } JOINS[] = { { "a", "b", "a/b" },
                  { "a/", "b", "a/b" },
                  { "a", "/b", "/b" },
                  { "", "b", "b" },
                  { "/", "b", "/b" } };
    for (size_t i = 0; i < ARRAY_LEN(JOINS); i++) {
        char *j = path_join(JOINS[i].a, JOINS[i].b);
        assert_string_equal(j, JOINS[i].joined);
        free(j);
    }
    assert_string_equal(path_base("/a/b.txt"), "b.txt");
    assert_string_equal(path_base("b"), "b");
    assert_string_equal(path_ext("/a.d/b.tar.gz"), ".gz");
    assert_string_equal(path_ext("/a.d/b"), "");
    assert_string_equal(path_ext("/a/.hidden"), "");
}

/* ---- log ------------------------------------------------------------------------------------- */

/* What log_event() writes to stderr, caught in a file. */
static void log_lines_carry_no_content(void **state)
{
    (void)state;
    char *dir = temp_dir_make();
    char *path = path_join(dir, "log");
    int kept = dup(STDERR_FILENO), fd = open(path, O_RDWR | O_CREAT, 0600);
    assert_true(kept >= 0 && fd >= 0);
    dup2(fd, STDERR_FILENO);
    log_set_level(LOG_INFO);
    log_event(LOG_INFO, "document.indexed", LOG_U64("pages", 3), LOG_I64("delta", -2),
              LOG_WORD("kind", "pdf"), LOG_END);
    log_event(LOG_INFO, "odd", LOG_WORD("word", "Dr. Weber\nfake=line"), LOG_END);
    log_event(LOG_DEBUG, "not.shown", LOG_END);
    dup2(kept, STDERR_FILENO);
    close(kept);
    close(fd);
    log_set_level(LOG_WARN);
    struct buf b = { 0 };
    struct kt_error err;
    assert_int_equal(file_read(&b, path, 10000, &err), KT_OK);
    assert_non_null(strstr(b.ptr, "document.indexed"));
    assert_non_null(strstr(b.ptr, "pages=3"));
    assert_non_null(strstr(b.ptr, "delta=-2"));
    assert_non_null(strstr(b.ptr, "kind=pdf"));
    assert_null(strstr(b.ptr, "Weber"));
    assert_null(strstr(b.ptr, "not.shown"));
    size_t n_lines = 0;
    for (size_t i = 0; i < b.len; i++)
        n_lines += b.ptr[i] == '\n';
    assert_int_equal(n_lines, 2);
    buf_deinit(&b);
    free(path);
    temp_dir_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_status_has_a_name),
        cmocka_unit_test(messages_are_cut_at_characters),
        cmocka_unit_test(a_prefix_goes_before_the_message),
        cmocka_unit_test(errno_becomes_a_status),
        cmocka_unit_test(spans_are_cut_and_compared),
        cmocka_unit_test(find_agrees_with_a_plain_loop),
        cmocka_unit_test(a_buf_grows_and_stays_terminated),
        cmocka_unit_test(a_buf_remembers_that_it_failed),
        cmocka_unit_test(sizes_do_not_wrap),
        cmocka_unit_test(arena_memory_is_zeroed_aligned_and_separate),
#ifdef KT_ASAN
        cmocka_unit_test(arena_memory_is_poisoned_when_it_is_nobodys),
#endif
        cmocka_unit_test(every_code_point_goes_there_and_back),
        cmocka_unit_test(ill_formed_text_is_refused),
        cmocka_unit_test(repaired_text_is_valid_and_counted_alike),
        cmocka_unit_test(every_half_is_read_and_written_exactly),
        cmocka_unit_test(halves_round_to_nearest_even),
        cmocka_unit_test(bfloat16_rounds_to_nearest_even),
        cmocka_unit_test(random_numbers_repeat_and_stay_in_range),
        cmocka_unit_test(every_row_is_done_once),
        cmocka_unit_test(a_pool_without_work_ends),
        cmocka_unit_test(files_are_mapped_and_read),
        cmocka_unit_test(a_file_is_replaced_whole_or_not_at_all),
        cmocka_unit_test(a_full_disk_is_said_so),
        cmocka_unit_test(pipes_are_read_and_written_whole),
        cmocka_unit_test(folders_are_made_with_their_parents),
        cmocka_unit_test(hashes_and_paths),
        cmocka_unit_test(log_lines_carry_no_content),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
