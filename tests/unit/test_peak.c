/* The limits of a machine: every instruction set this processor has counts what it did, and really did it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "kernels/kernels.h"
#include "kernels/peak.h"

static const uint32_t masks[] = {
    0,
    CPU_AMX_INT8,
    CPU_AMX_INT8 | CPU_AVX512VNNI,
    CPU_AMX_INT8 | CPU_AVX512VNNI | CPU_AVXVNNI,
    CPU_AMX_INT8 | CPU_AVX512VNNI | CPU_AVX512,
    CPU_AMX_INT8 | CPU_AVX512VNNI | CPU_AVX512 | CPU_AVXVNNI,
    CPU_DOTPROD,
    UINT32_MAX & ~(uint32_t)CPU_NEON,
};

typedef uint64_t (*peak_fn)(uint32_t cpu, size_t n_rounds, uint64_t *sink);

static void counts(peak_fn fn)
{
    for (size_t i = 0; i < sizeof(masks) / sizeof(masks[0]); i++) {
        uint32_t cpu = cpu_detect() & ~masks[i];
        uint64_t none = 0, some = 0, more = 0;
        assert_int_equal(fn(cpu, 0, &none), 0);
        uint64_t ops = fn(cpu, 100, &some);
        assert_true(ops > 0 && ops % 200 == 0);
        assert_int_equal(fn(cpu, 300, &more), 3 * ops);
        assert_int_equal(none, 0);
        assert_true(some != 0 && more != 0);
        if (fn == peak_int8) /* exact, and a sum: three times the rounds, three times the number */
            assert_true(more == 3 * some || (more & UINT32_MAX) == (3 * some & UINT32_MAX));
    }
}

static void integers_are_counted(void **state)
{
    (void)state;
    counts(peak_int8);
}

static void floats_are_counted(void **state)
{
    (void)state;
    counts(peak_float);
}

static void all_that_is_read_is_summed(void **state)
{
    (void)state;
    uint64_t words[37], sum = 0;
    for (size_t i = 0; i < 37; i++)
        sum += words[i] = i * i + 1;
    assert_int_equal(peak_read(words, sizeof(words)), sum);
    assert_int_equal(peak_read(words, 8), 1);
    assert_int_equal(peak_read(words, 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integers_are_counted),
        cmocka_unit_test(floats_are_counted),
        cmocka_unit_test(all_that_is_read_is_summed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
