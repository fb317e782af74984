/* Block formats (src/quant).
 *
 * Method: three independent witnesses. The check vectors: blocks filled by a rule, with values
 * worked out by hand. Blocks of random bytes with the values another implementation gives them
 * (tests/data/quant_blocks.bin, made by tools/reference/quant.py). And the two faces of each format
 * against each other: unpack evaluated as its comment says must be what dequant says, to the bit.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/files.h"
#include "base/half.h"
#include "base/rng.h"
#include "base/size.h"
#include "quant/blocks.h"
#include "quant/quant.h"

enum { ELEMS_MAX = 1024 };

/* Equal to the bit, or both not a number. */
static bool same(float a, float b)
{
    return f32_bits(a) == f32_bits(b) || (isnan(a) && isnan(b));
}

/* ---- the table ------------------------------------------------------------------------------- */

static void sizes_are_those_of_the_format(void **state)
{
    (void)state;
    static const struct {
        int id;
        const char *name;
        unsigned len, bytes;
    } CASES[] = {
        { 0, "F32", 1, 4 },       { 1, "F16", 1, 2 },         { 2, "Q4_0", 32, 18 },
        { 3, "Q4_1", 32, 20 },    { 6, "Q5_0", 32, 22 },      { 7, "Q5_1", 32, 24 },
        { 8, "Q8_0", 32, 34 },    { 10, "Q2_K", 256, 84 },    { 11, "Q3_K", 256, 110 },
        { 12, "Q4_K", 256, 144 }, { 13, "Q5_K", 256, 176 },   { 14, "Q6_K", 256, 210 },
        { 20, "IQ4_NL", 32, 18 }, { 23, "IQ4_XS", 256, 136 }, { 30, "BF16", 1, 2 },
        { 39, "MXFP4", 32, 17 },  { 40, "NVFP4", 64, 36 },
    };
    size_t n_known = 0;
    for (int id = -2; id < 100; id++)
        n_known += qtype_traits((enum qtype)id) != NULL;
    assert_int_equal(n_known, ARRAY_LEN(CASES));
    for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
        const struct qtype_traits *t = qtype_traits((enum qtype)CASES[i].id);
        assert_non_null(t);
        assert_string_equal(t->name, CASES[i].name);
        assert_int_equal(t->block_len, CASES[i].len);
        assert_int_equal(t->block_bytes, CASES[i].bytes);
        assert_non_null(t->dequant);
        assert_int_equal(t->is_float, CASES[i].len == 1);
        assert_int_equal(t->unpack == NULL, t->is_float);
        enum qtype back;
        assert_true(qtype_from_name(&back, CASES[i].name));
        assert_int_equal(back, CASES[i].id);
    }
    enum qtype none = QT_Q4_K;
    assert_false(qtype_from_name(&none, "Q9_Z"));
    assert_false(qtype_from_name(&none, ""));
    assert_int_equal(none, QT_Q4_K);
}

static void rows_are_whole_blocks(void **state)
{
    (void)state;
    size_t bytes = 7;
    assert_true(qtype_row_bytes(&bytes, QT_Q4_K, 512));
    assert_int_equal(bytes, 288);
    assert_true(qtype_row_bytes(&bytes, QT_F32, 3));
    assert_int_equal(bytes, 12);
    assert_true(qtype_row_bytes(&bytes, QT_Q8_0, 0));
    assert_int_equal(bytes, 0);
    bytes = 7;
    assert_false(qtype_row_bytes(&bytes, QT_Q4_K, 128));
    assert_false(qtype_row_bytes(&bytes, QT_NVFP4, 32));
    assert_false(qtype_row_bytes(&bytes, QT_Q8_0, SIZE_MAX));           /* no multiple of 32 */
    assert_false(qtype_row_bytes(&bytes, QT_Q8_0, SIZE_MAX / 32 * 32)); /* 34/32 of it overflows */
    assert_false(qtype_row_bytes(&bytes, QT_F32, SIZE_MAX / 2));
    assert_false(qtype_row_bytes(&bytes, (enum qtype)5, 32));
    assert_int_equal(bytes, 7);
}

/* ---- check vectors --------------------------------------------------------------------------- */

struct sample {
    int idx;
    float value;
};
struct vector {
    enum qtype type;
    int d, min; /* where 1.0 and 0.5 go; -1: nowhere */
    float sum;
    struct sample samples[11];
};

static const struct vector VECTORS[] = {
    { QT_Q4_0, 0, -1, -21, { { 0, -3 }, { 1, 2 }, { 15, -8 }, { 16, -3 }, { 31, 0 } } },
    { QT_Q4_1,
      0,
      2,
      261,
      { { 0, 15.5f }, { 1, 4.5f }, { 15, 10.5f }, { 16, 9.5f }, { 31, 12.5f } } },
    { QT_Q5_0, 0, -1, 15, { { 0, 9 }, { 1, -2 }, { 15, -12 }, { 16, 14 }, { 31, 1 } } },
    { QT_Q5_1,
      0,
      2,
      521,
      { { 0, 19.5f }, { 1, 24.5f }, { 15, 30.5f }, { 16, 19.5f }, { 31, 5.5f } } },
    { QT_Q8_0, 0, -1, -176, { { 0, 85 }, { 1, 122 }, { 15, -128 }, { 16, -91 }, { 31, -48 } } },
    { QT_Q2_K,
      80,
      82,
      2059,
      { { 0, 33 },
        { 16, -1.5f },
        { 32, 7.5f },
        { 63, 6.5f },
        { 64, 10.5f },
        { 100, 20 },
        { 128, 7.5f },
        { 161, -3.5f },
        { 200, 8 },
        { 255, 4.5f } } },
    { QT_Q3_K,
      108,
      -1,
      958,
      { { 0, 81 },
        { 1, -108 },
        { 16, -96 },
        { 32, -22 },
        { 63, 10 },
        { 64, 34 },
        { 128, 2 },
        { 200, 25 },
        { 255, 42 } } },
    { QT_Q4_K,
      0,
      2,
      54440,
      { { 0, 315.5f },
        { 1, -25.5f },
        { 32, 8 },
        { 63, 40 },
        { 64, 420.5f },
        { 100, 95 },
        { 128, 423 },
        { 161, 705 },
        { 200, 138.5f },
        { 255, 48.5f } } },
    { QT_Q5_K,
      0,
      2,
      116216,
      { { 0, 811.5f },
        { 1, -25.5f },
        { 32, 112 },
        { 63, 80 },
        { 64, 420.5f },
        { 100, 235 },
        { 128, 1047 },
        { 161, 345 },
        { 200, 138.5f },
        { 255, 108.5f } } },
    { QT_Q6_K,
      208,
      -1,
      4612,
      { { 0, -1431 },
        { 1, 1696 },
        { 16, -432 },
        { 32, 231 },
        { 63, -580 },
        { 64, -3040 },
        { 100, 2523 },
        { 128, -351 },
        { 161, -1952 },
        { 200, 1089 },
        { 255, -60 } } },
    { QT_IQ4_NL, 0, -1, -257, { { 0, -35 }, { 1, 25 }, { 15, -127 }, { 16, -35 }, { 31, 1 } } },
    { QT_IQ4_XS,
      0,
      -1,
      -11005,
      { { 0, 65 },
        { 1, -1 },
        { 32, 455 },
        { 63, -175 },
        { 64, 780 },
        { 100, 40 },
        { 128, -585 },
        { 161, 14 },
        { 200, 1140 },
        { 255, -16 } } },
    { QT_MXFP4, -1, -1, 25, { { 0, 0 }, { 1, 6 }, { 15, -3 }, { 16, 3 }, { 31, 6 } } },
};

static void fill_by_rule(uint8_t *block, const struct vector *v)
{
    size_t n = qtype_traits(v->type)->block_bytes;
    for (size_t i = 0; i < n; i++)
        block[i] = (uint8_t)(37 * i + 11);
    uint16_t one = f32_to_f16(1.0f), half = f32_to_f16(0.5f);
    if (v->d >= 0)
        memcpy(block + v->d, &one, 2);
    if (v->min >= 0)
        memcpy(block + v->min, &half, 2);
    if (v->type == QT_MXFP4)
        block[0] = 128;
}

static void check_vectors_agree(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(VECTORS); i++) {
        const struct vector *v = &VECTORS[i];
        const struct qtype_traits *t = qtype_traits(v->type);
        uint8_t block[256];
        float y[256], sum = 0;
        fill_by_rule(block, v);
        t->dequant(y, block, t->block_len);
        for (size_t e = 0; e < t->block_len; e++)
            sum += y[e]; /* small multiples of 0.5: exact */
        if (sum != v->sum)
            fail_msg("%s: the block's sum is %g, expected %g", t->name, (double)sum,
                     (double)v->sum);
        for (size_t s = 0; s < ARRAY_LEN(v->samples); s++) {
            struct sample want = v->samples[s];
            if ((s == 0 || want.idx != 0) && y[want.idx] != want.value)
                fail_msg("%s: element %d is %g, expected %g", t->name, want.idx,
                         (double)y[want.idx], (double)want.value);
        }
    }
}

/* ---- golden ---------------------------------------------------------------------------------- */

struct golden {
    char name[9];
    uint32_t n_elems, n_bytes;
    const uint8_t *blocks, *values;
};

static bool golden_next(struct span *rest, struct golden *g)
{
    if (rest->len == 0)
        return false;
    *g = (struct golden){ 0 };
    assert_true(rest->len >= 16);
    memcpy(g->name, rest->ptr, 8);
    memcpy(&g->n_elems, rest->ptr + 8, 4);
    memcpy(&g->n_bytes, rest->ptr + 12, 4);
    assert_true(g->n_elems <= ELEMS_MAX && rest->len >= 16 + g->n_bytes + 4 * (size_t)g->n_elems);
    g->blocks = (const uint8_t *)rest->ptr + 16;
    g->values = g->blocks + g->n_bytes;
    *rest = span_sub(*rest, 16 + g->n_bytes + 4 * (size_t)g->n_elems, rest->len);
    return true;
}

static struct span golden_open(struct file_map *map)
{
    const char *source = getenv("KONTOR_SOURCE");
    char *path = path_join(source ? source : ".", "tests/data/quant_blocks.bin");
    struct kt_error err;
    if (file_map_open(map, path, &err))
        fail_msg("%s", err.text);
    free(path);
    return (struct span){ (const char *)map->data, map->size };
}

static void random_blocks_agree_with_another_implementation(void **state)
{
    (void)state;
    struct file_map map;
    struct span rest = golden_open(&map);
    struct golden g;
    size_t n_types = 0;
    for (; golden_next(&rest, &g); n_types++) {
        enum qtype type;
        assert_true(qtype_from_name(&type, g.name));
        static float y[ELEMS_MAX];
        qtype_traits(type)->dequant(y, g.blocks, g.n_elems);
        for (size_t e = 0; e < g.n_elems; e++) {
            float want;
            memcpy(&want, g.values + 4 * e, 4);
            if (!same(y[e], want))
                fail_msg("%s: element %zu is %a, expected %a", g.name, e, (double)y[e],
                         (double)want);
        }
    }
    assert_int_equal(n_types, 16); /* all but F32 */
    file_map_close(&map);
}

/* ---- unpack ---------------------------------------------------------------------------------- */

static void check_sub(const char *name, const struct qtype_traits *t, const struct qsub *s,
                      const float *y)
{
    for (size_t e = 0; e < 32; e++) {
        int level = s->u[e] - s->offset;
        float w = s->scale[e / 16] * (float)level;
        w += s->min[e / 16];
        if (!same(w, y[e]))
            fail_msg("%s: unpacked element %zu is %a, dequantised %a", name, e, (double)w,
                     (double)y[e]);
        if (level < -128 || level > 127)
            fail_msg("%s: level %d does not fit 8 bits", name, level);
    }
    if (!t->has_min && (s->min[0] != 0 || s->min[1] != 0))
        fail_msg("%s: a min, but has_min is false", name);
    if (!t->split_scale && (!same(s->scale[0], s->scale[1]) || !same(s->min[0], s->min[1])))
        fail_msg("%s: two scales, but split_scale is false", name);
}

/* Rows of several blocks, at an odd address, so that sub_idx and alignment are seen to work. */
static void unpack_is_dequant(void **state)
{
    (void)state;
    struct file_map map;
    struct span rest = golden_open(&map);
    struct golden g;
    while (golden_next(&rest, &g)) {
        enum qtype type;
        assert_true(qtype_from_name(&type, g.name));
        const struct qtype_traits *t = qtype_traits(type);
        if (t->is_float)
            continue;
        uint8_t *odd = malloc(g.n_bytes + 1);
        assert_non_null(odd);
        memcpy(odd + 1, g.blocks, g.n_bytes);
        static float y[ELEMS_MAX];
        t->dequant(y, g.blocks, g.n_elems);
        for (size_t i = 0; i < g.n_elems / 32; i++) {
            struct qsub s;
            memset(&s, 0xA5, sizeof(s));
            t->unpack(&s, odd + 1, i);
            check_sub(g.name, t, &s, y + 32 * i);
        }
        free(odd);
    }
    file_map_close(&map);
}

/* The product of scale and level must be exact, or unpack and dequant might round differently on a
 * machine that fuses: every scale that a format can make, with its largest level, in double. */
static void products_are_exact(void **state)
{
    (void)state;
    struct rng rng;
    rng_init(&rng, 1);
    for (int id = 0; id < QT_COUNT; id++) {
        const struct qtype_traits *t = qtype_traits((enum qtype)id);
        if (!t || t->is_float)
            continue;
        for (int round = 0; round < 3000; round++) {
            uint8_t block[256];
            struct qsub s;
            for (size_t i = 0; i < t->block_bytes; i++)
                block[i] = (uint8_t)rng_u64(&rng);
            t->unpack(&s, block, rng_below(&rng, t->block_len / 32u));
            for (size_t e = 0; e < 32; e++) {
                float f = s.scale[e / 16] * (float)(s.u[e] - s.offset);
                double d = (double)s.scale[e / 16] * (s.u[e] - s.offset);
                if (isfinite(f) && (double)f != d)
                    fail_msg("%s, seed 1, round %d: %a * %d is not exact in float", t->name, round,
                             (double)s.scale[e / 16], s.u[e] - s.offset);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_are_those_of_the_format),
        cmocka_unit_test(rows_are_whole_blocks),
        cmocka_unit_test(check_vectors_agree),
        cmocka_unit_test(random_blocks_agree_with_another_implementation),
        cmocka_unit_test(unpack_is_dequant),
        cmocka_unit_test(products_are_exact),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
