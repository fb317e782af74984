/* tests/kernels/test_matmul.c: the product of every weight type, and the preparation of
 * activations. */
#include "judge.h"

#include <stdlib.h>
#include <string.h>

struct acts {
    struct act a;
    size_t bytes[4];
};

/* Activations in guarded memory, quantised by ref. */
static struct acts acts_make(size_t n_rows, size_t n_cols, enum fill fill, enum side side)
{
    struct acts x = { .a = { .n_rows = n_rows, .n_cols = n_cols, .stride = act_stride(n_cols) } };
    act_bytes(&x.bytes[0], &x.bytes[1], &x.bytes[2], &x.bytes[3], n_rows, n_cols);
    x.a.f = guard_alloc(x.bytes[0], side);
    x.a.q = guard_alloc(x.bytes[1], side);
    x.a.d = guard_alloc(x.bytes[2], side);
    x.a.isum = guard_alloc(x.bytes[3], side);
    for (size_t m = 0; m < n_rows; m++)
        fill_floats(x.a.f + m * x.a.stride, n_cols, fill);
    levels[0].k.act_quantize(&x.a, 0, n_rows);
    return x;
}

/* The first n_rows of x, again flush against a forbidden page. */
static struct act acts_first(const struct acts *x, size_t n_rows, enum side side)
{
    struct act a = x->a;
    size_t b[4];
    a.n_rows = n_rows;
    act_bytes(&b[0], &b[1], &b[2], &b[3], n_rows, a.n_cols);
    a.f = guard_copy(a.f, b[0], side);
    a.q = guard_copy(a.q, b[1], side);
    a.d = guard_copy(a.d, b[2], side);
    a.isum = guard_copy(a.isum, b[3], side);
    return a;
}

/* The same, arranged as a level likes it, in two goes and over junk. */
static void acts_arrange(struct act *a, const struct level *l, enum side side)
{
    size_t bytes = act_tile_bytes(a->n_rows, a->n_cols), half = a->n_rows / 2;
    a->tiles = guard_alloc(bytes, side);
    memset(a->tiles, 0xff, bytes);
    l->k.act_arrange(a, half, a->n_rows);
    l->k.act_arrange(a, 0, half);
    a->n_arranged = a->n_rows;
}

enum { M_MAX = 64, ROWS_MAX = 37 };
static const size_t row_counts[] = { 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 23, 32, 64 };

/* All levels, one count of activation rows, one range of weight rows, against ref's full product
 * 'all'
 * ([M_MAX, n_rows]): so a result may depend neither on the count nor on the range. */
static void judge_range(const struct mat *w, const struct acts *x, const float *all, size_t n_m,
                        size_t row0, size_t row1, enum fill fill, enum side side)
{
    size_t ldy = w->n_rows, n_y = (n_m - 1) * ldy + row1; /* y ends with the last number written */
    struct act a = acts_first(x, n_m, side);
    float *junk = guard_alloc(n_y * sizeof(float), side);
    float *y = guard_alloc(n_y * sizeof(float), side);
    fill_bytes(junk, n_y * sizeof(float));
    float *expected = guard_copy(junk, n_y * sizeof(float), side);
    for (size_t m = 0; m < n_m; m++)
        memcpy(expected + m * ldy + row0, all + m * ldy + row0, (row1 - row0) * sizeof(float));

    for (size_t l = 0; l < n_levels; l++) {
        memcpy(y, junk, n_y * sizeof(float));
        about_to_run(qtype_traits(w->type)->name, levels[l].name);
        levels[l].k.matmul[w->type](y, ldy, w, &a, row0, row1);
        check_floats(y, expected, n_y, "matmul %s %s [%zu, %zu] x %zu rows %zu..%zu %s weights",
                     levels[l].name, qtype_traits(w->type)->name, w->n_rows, w->n_cols, n_m, row0,
                     row1, fill_names[fill]);
        if (!levels[l].k.act_arrange)
            continue;
        struct act arranged = a;
        acts_arrange(&arranged, &levels[l], side);
        memcpy(y, junk, n_y * sizeof(float));
        levels[l].k.matmul[w->type](y, ldy, w, &arranged, row0, row1);
        check_floats(y, expected, n_y,
                     "matmul %s %s, arranged, [%zu, %zu] x %zu rows %zu..%zu %s weights",
                     levels[l].name, qtype_traits(w->type)->name, w->n_rows, w->n_cols, n_m, row0,
                     row1, fill_names[fill]);
    }
}

/* Results so many that they leave the caches: the same, in the rows asked for and nowhere else. */
static void judge_much(enum qtype type, size_t shift)
{
    enum { N_M = 33, ROWS = 37, COLS = 256, LDY = 8192 };
    struct mat w = { .type = type, .n_rows = ROWS, .n_cols = COLS };
    if (!qtype_row_bytes(&w.row_bytes, type, COLS))
        abort();
    void *data = guard_alloc(ROWS * w.row_bytes, SIDE_END);
    fill_weights(data, type, ROWS, w.row_bytes, FILL_NOISE);
    w.data = data;
    struct acts x = acts_make(N_M, COLS, FILL_NOISE, SIDE_END);
    size_t n = (size_t)N_M * LDY;
    float *y = aligned_alloc(64, (n + 16) * sizeof(float));
    float *expected = calloc(n + 16, sizeof(float));
    if (!y || !expected)
        abort();
    levels[0].k.matmul[type](expected + shift, LDY, &w, &x.a, 0, ROWS);
    for (size_t l = 1; l < n_levels; l++) {
        memset(y, 0, (n + 16) * sizeof(float));
        levels[l].k.matmul[type](y + shift, LDY, &w, &x.a, 0, ROWS);
        check_floats(y, expected, n + 16, "matmul %s %s, many results, %zu floats off a line",
                     levels[l].name, qtype_traits(type)->name, shift);
    }
    free(y);
    free(expected);
    guard_release_all();
}

static void judge_matrix(enum qtype type, size_t n_rows, size_t n_cols, enum fill fill,
                         enum fill x_fill, enum side side)
{
    struct mat w = { .type = type, .n_rows = n_rows, .n_cols = n_cols };
    if (!qtype_row_bytes(&w.row_bytes, type, n_cols))
        abort();
    /* flush against the page, hence at whatever alignment the size gives */
    void *data = guard_alloc(n_rows * w.row_bytes, side);
    fill_weights(data, type, n_rows, w.row_bytes, fill);
    w.data = data;

    struct acts x = acts_make(M_MAX, n_cols, x_fill, side);
    float *all = guard_alloc(M_MAX * n_rows * sizeof(float), side);
    levels[0].k.matmul[type](all, n_rows, &w, &x.a, 0, n_rows);

    size_t n_m = row_counts[rng_below(sizeof(row_counts) / sizeof(row_counts[0]))];
    judge_range(&w, &x, all, n_m, 0, n_rows, fill, side);
    size_t row0 = rng_below(n_rows), row1 = row0 + 1 + rng_below(n_rows - row0);
    judge_range(&w, &x, all, 1 + rng_below(9), row0, row1, fill, side);
    guard_release_all();
}

static void judge_counts(enum qtype type, size_t n_cols)
{
    struct mat w = { .type = type, .n_rows = ROWS_MAX, .n_cols = n_cols };
    if (!qtype_row_bytes(&w.row_bytes, type, n_cols))
        abort();
    void *data = malloc(ROWS_MAX * w.row_bytes);
    float *all = malloc(M_MAX * ROWS_MAX * sizeof(float));
    if (!data || !all)
        abort();
    fill_weights(data, type, ROWS_MAX, w.row_bytes, FILL_NOISE);
    w.data = data;
    for (size_t i = 0; i < sizeof(row_counts) / sizeof(row_counts[0]); i++) {
        struct acts x = acts_make(M_MAX, n_cols, FILL_NOISE, SIDE_END);
        levels[0].k.matmul[type](all, ROWS_MAX, &w, &x.a, 0, ROWS_MAX);
        judge_range(&w, &x, all, row_counts[i], i % 3, ROWS_MAX - i % 5, FILL_NOISE, SIDE_END);
        guard_release_all();
    }
    free(all);
    free(data);
}

/* A long prompt: more rows of activations than any level works on at a time. */
static void judge_many(enum qtype type)
{
    enum { MANY = 300, ROWS = 17 };
    struct mat w = { .type = type, .n_rows = ROWS, .n_cols = 256 };
    if (!qtype_row_bytes(&w.row_bytes, type, w.n_cols))
        abort();
    void *data = guard_alloc(ROWS * w.row_bytes, SIDE_END);
    float *all = guard_alloc(MANY * ROWS * sizeof(float), SIDE_END);
    fill_weights(data, type, ROWS, w.row_bytes, FILL_NOISE);
    w.data = data;
    struct acts x = acts_make(MANY, w.n_cols, FILL_NOISE, SIDE_END);
    levels[0].k.matmul[type](all, ROWS, &w, &x.a, 0, ROWS);
    judge_range(&w, &x, all, 255 + rng_below(MANY - 255), 0, ROWS, FILL_NOISE, SIDE_END);
    guard_release_all();
}

/* Single tokens and two of them, which go ways of their own: every fill, and rows so long that they
 * are worked on in pieces, ending in the middle of one. */
static void judge_few(enum qtype type)
{
    enum { ROWS = 33, FEW = 2 };
    size_t block = qtype_traits(type)->block_len;
    for (int fill = 0; fill < FILL_COUNT; fill++) {
        size_t n_cols = fill % 2 ? 4096 + block * (1 + rng_below(9)) : block * (1 + rng_below(40));
        struct mat w = { .type = type, .n_rows = ROWS, .n_cols = n_cols };
        if (!qtype_row_bytes(&w.row_bytes, type, n_cols))
            abort();
        void *data = guard_alloc(ROWS * w.row_bytes, SIDE_END);
        float *all = guard_alloc(FEW * ROWS * sizeof(float), SIDE_END);
        fill_weights(data, type, ROWS, w.row_bytes, (enum fill)fill);
        w.data = data;
        struct acts x = acts_make(FEW, n_cols, (enum fill)rng_below(FILL_COUNT), SIDE_END);
        levels[0].k.matmul[type](all, ROWS, &w, &x.a, 0, ROWS);
        for (size_t n_m = 1; n_m <= FEW; n_m++)
            judge_range(&w, &x, all, n_m, rng_below(16), ROWS - rng_below(2), (enum fill)fill,
                        SIDE_END);
        guard_release_all();
    }
}

static void judge_type(enum qtype type)
{
    static const size_t rows[] = { 1, 3, 4, 8, 15, 16, 17, 33, ROWS_MAX };
    size_t block = qtype_traits(type)->block_len;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        for (int fill = 0; fill < FILL_COUNT; fill++) {
            /* up to two panels of 512 columns and a rest; odd counts for the float types */
            size_t n_cols = block == 1 ? 1 + rng_below(200) : block * (1 + rng_below(1300 / block));
            judge_matrix(type, rows[i], n_cols, (enum fill)fill, (enum fill)rng_below(FILL_COUNT),
                         rng_below(2) ? SIDE_END : SIDE_START);
        }
    }
    judge_many(type);
    judge_few(type);
    judge_counts(type, block == 1 ? 83 : block == 32 || block == 64 ? 576 : 768);
}

static void judge_quantize(void)
{
    for (int round = 0; round < 60; round++) {
        enum fill fill = (enum fill)(round % FILL_COUNT);
        enum side side = rng_below(2) ? SIDE_END : SIDE_START;
        size_t n_rows = 1 + rng_below(5), n_cols = 1 + rng_below(700);
        struct acts x = acts_make(n_rows, n_cols, fill, side);
        size_t row0 = rng_below(n_rows), row1 = row0 + 1 + rng_below(n_rows - row0);
        for (size_t l = 1; l < n_levels; l++) {
            struct act a = acts_first(&x, n_rows, side);
            size_t s = a.stride, n = row1 - row0;
            memset(a.q + row0 * s, 0x55, n * s); /* only these rows are to be written */
            memset(a.d + row0 * s / 32, 0x55, n * s / 32 * sizeof(float));
            memset(a.isum + row0 * s / 16, 0x55, n * s / 16 * sizeof(int16_t));
            about_to_run("act_quantize", levels[l].name);
            levels[l].k.act_quantize(&a, row0, row1);
            const char *name = levels[l].name;
            check_bytes(a.q, x.a.q, x.bytes[1], "act_quantize %s q [%zu, %zu] %s", name, n_rows,
                        n_cols, fill_names[fill]);
            check_bytes(a.d, x.a.d, x.bytes[2], "act_quantize %s d [%zu, %zu] %s", name, n_rows,
                        n_cols, fill_names[fill]);
            check_bytes(a.isum, x.a.isum, x.bytes[3], "act_quantize %s isum [%zu, %zu] %s", name,
                        n_rows, n_cols, fill_names[fill]);
        }
        guard_release_all();
    }
}

void test_matmul(void)
{
    judge_quantize();
    for (int type = 0; type < QT_COUNT; type++) {
        bool known = qtype_traits((enum qtype)type) != NULL;
        for (size_t l = 0; l < n_levels; l++)
            check((levels[l].k.matmul[type] != NULL) == known, "matmul %s has type %d",
                  levels[l].name, type);
        if (known)
            judge_type((enum qtype)type);
    }
    judge_much(QT_Q4_K, 0);
    judge_much(QT_Q8_0, 5);
}
