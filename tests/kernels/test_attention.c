/* tests/kernels/test_attention.c: rows of a cache, attention over it, and the gated delta
 * rule. */
#include "judge.h"

#include <string.h>

#include "base/half.h"

static const char *const kv_names[] = { "f32", "f16", "q8" };

static void fill_kv(void *p, size_t n_rows, size_t dh, enum kv_type type, enum fill fill)
{
    float row[512];
    for (size_t i = 0; i < n_rows; i++) {
        fill_floats(row, dh, type != KV_F32 && fill == FILL_EXTREME ? FILL_NOISE : fill);
        levels[0].k.kv_store(type, (char *)p + i * kv_row_bytes(type, dh), row, dh);
    }
}

/* The same rows in pages, values before keys, and the last page only as long as it is used. */
static void lay_in_pages(struct attn_args *a, size_t n_ctx, enum side side)
{
    size_t row = kv_row_bytes(a->type, a->dh), n_pages = (n_ctx + ATTN_PAGE - 1) / ATTN_PAGE;
    char **pages = guard_alloc(n_pages * sizeof(*pages), side);
    a->v_at = rng_below(3) * row;
    a->k_at = a->v_at + ATTN_PAGE * row;
    for (size_t i = 0; i < n_pages; i++) {
        size_t first = i * ATTN_PAGE, n = n_ctx - first < ATTN_PAGE ? n_ctx - first : ATTN_PAGE;
        pages[i] = guard_alloc(a->k_at + n * row, side);
        fill_bytes(pages[i], a->k_at + n * row);
        memcpy(pages[i] + a->k_at, (const char *)a->k + first * row, n * row);
        memcpy(pages[i] + a->v_at, (const char *)a->v + first * row, n * row);
    }
    a->pages = pages;
    a->k = a->v = NULL;
}

/* The same in splits: parts of all rows that see a split, then each row's parts joined. */
static void judge_parts(const struct attn_args *a, const float *expected, enum side side)
{
    size_t stride = attn_part_floats(a->dh) + rng_below(2) * 3, n_splits = 0;
    for (size_t i = 0; i < a->n_q; i++) {
        size_t n = (a->n_visible[i] + ATTN_SPLIT - 1) / ATTN_SPLIT;
        n_splits = n > n_splits ? n : n_splits;
    }
    for (size_t l = 0; l < n_levels; l++) {
        size_t n_floats = a->n_q * n_splits * stride;
        float *parts = guard_alloc(n_floats * 4, side), *out = guard_alloc(a->dh * 4, side);
        fill_bytes(parts, n_floats * 4);
        for (size_t i = 0; i < a->n_q; i++) {
            struct attn_args one = *a;
            one.q += i * a->q_stride;
            one.n_visible += i;
            one.n_q = 1;
            size_t n = (a->n_visible[i] + ATTN_SPLIT - 1) / ATTN_SPLIT;
            about_to_run("attention_part", levels[l].name);
            for (size_t split = n; split-- > 0;) { /* in no special order */
                one.out = parts + (i * n_splits + split) * stride;
                levels[l].k.attention_part(&one, split);
            }
            about_to_run("attention_join", levels[l].name);
            levels[l].k.attention_join(out, parts + i * n_splits * stride, stride, n, a->dh);
            check_floats(out, expected + i * a->out_stride, a->dh,
                         "attention %s in %zu parts, row %zu, dh %zu, %u positions, %s",
                         levels[l].name, n, i, a->dh, a->n_visible[i], kv_names[a->type]);
        }
    }
}

/* A query row must give the same whether computed alone or with others: rows in one call, then one
 * by one. */
static void judge_attention(size_t dh, size_t n_q, size_t n_ctx, enum kv_type type, enum fill fill,
                            enum side side)
{
    size_t q_stride = dh + rng_below(2) * 8, out_stride = dh + rng_below(2) * 5;
    size_t q_n = (n_q - 1) * q_stride + dh, out_n = (n_q - 1) * out_stride + dh;
    size_t kv_bytes = n_ctx * kv_row_bytes(type, dh);
    float *q = guard_alloc(q_n * 4, side), *junk = guard_alloc(out_n * 4, side);
    void *k = guard_alloc(kv_bytes, side), *v = guard_alloc(kv_bytes, side);
    uint32_t *visible = guard_alloc(n_q * 4, side);
    fill_floats(q, q_n, fill == FILL_EXTREME ? FILL_NOISE : fill);
    fill_kv(k, n_ctx, dh, type, fill == FILL_EXTREME ? FILL_NOISE : fill);
    fill_kv(v, n_ctx, dh, type, fill);
    fill_bytes(junk, out_n * 4);
    for (size_t i = 0; i < n_q; i++)
        visible[i] = 1 + (uint32_t)rng_below(n_ctx);
    visible[rng_below(n_q)] = (uint32_t)n_ctx;

    struct attn_args a = { .type = type,
                           .dh = dh,
                           .n_q = n_q,
                           .q = q,
                           .q_stride = q_stride,
                           .k = k,
                           .v = v,
                           .n_visible = visible,
                           .scale = rng_below(2) ? 0.125f : 3.0f,
                           .out = guard_copy(junk, out_n * 4, side),
                           .out_stride = out_stride };
    float *expected = a.out;
    levels[0].k.attention(&a);
    if (rng_below(2))
        lay_in_pages(&a, n_ctx, side);
    judge_parts(&a, expected, side);
    a.out = guard_alloc(out_n * 4, side);
    for (size_t l = a.pages ? 0 : 1; l < n_levels; l++) {
        memcpy(a.out, junk, out_n * 4);
        about_to_run("attention", levels[l].name);
        levels[l].k.attention(&a);
        check_floats(a.out, expected, out_n,
                     "attention %s dh %zu, %zu rows, %zu positions, %s, scale %g, %s",
                     levels[l].name, dh, n_q, n_ctx, kv_names[type], (double)a.scale,
                     fill_names[fill]);
        size_t one = rng_below(n_q);
        struct attn_args alone = a;
        alone.q += one * q_stride;
        alone.n_visible += one;
        alone.n_q = 1;
        alone.out += one * out_stride;
        levels[l].k.attention(&alone);
        check_floats(alone.out, expected + one * out_stride, dh,
                     "attention %s row %zu alone, dh %zu, %zu positions", levels[l].name, one, dh,
                     n_ctx);
    }
    guard_release_all();
}

/* A row of the cache, with junk around what a level may write. */
static void judge_kv_store(enum kv_type type, size_t dh, enum fill fill, enum side side)
{
    size_t bytes = kv_row_bytes(type, dh);
    float *x = guard_alloc(dh * 4, side);
    fill_floats(x, dh, fill);
    if (rng_below(2))
        for (size_t i = 0; i < dh; i++)
            x[i] *= 1e-6f; /* scales that are subnormal halves, and 0 */
    void *expected = guard_alloc(bytes, side), *found = guard_alloc(bytes, side);
    levels[0].k.kv_store(type, expected, x, dh);
    for (size_t l = 1; l < n_levels; l++) {
        fill_bytes(found, bytes);
        about_to_run("kv_store", levels[l].name);
        levels[l].k.kv_store(type, found, x, dh);
        check_bytes(found, expected, bytes, "kv_store %s %s dh %zu, %s", levels[l].name,
                    kv_names[type], dh, fill_names[fill]);
    }
    guard_release_all();
}

static void judge_deltanet(size_t dk, size_t dv, size_t n, enum state_type type, enum side side)
{
    size_t q_stride = dk + rng_below(3), k_stride = dk + rng_below(3), v_stride = dv + rng_below(3);
    size_t o_stride = dv + rng_below(3), gate_stride = 1 + rng_below(3);
    size_t col0 = rng_below(dv), col1 = col0 + 1 + rng_below(dv - col0);
    if (rng_below(2)) {
        col0 = 0;
        col1 = dv;
    }
    size_t q_n = (n - 1) * q_stride + dk, k_n = (n - 1) * k_stride + dk;
    size_t v_n = (n - 1) * v_stride + dv, o_n = (n - 1) * o_stride + col1;
    size_t g_n = (n - 1) * gate_stride + 1, s_bytes = dk * dv * (type == STATE_BF16 ? 2 : 4);
    void *s0 = guard_alloc(s_bytes, side);
    float *q = guard_alloc(q_n * 4, side);
    float *k = guard_alloc(k_n * 4, side), *v = guard_alloc(v_n * 4, side);
    float *decay = guard_alloc(g_n * 4, side), *beta = guard_alloc(g_n * 4, side);
    float *o0 = guard_alloc(o_n * 4, side);
    if (type == STATE_F32)
        fill_floats(s0, dk * dv, FILL_NOISE);
    for (size_t i = 0; type == STATE_BF16 && i < dk * dv; i++)
        ((uint16_t *)s0)[i] = f32_to_bf16(rng_normal());
    fill_floats(q, q_n, FILL_NOISE);
    fill_floats(k, k_n, FILL_NOISE);
    fill_floats(v, v_n, rng_below(2) ? FILL_NOISE : FILL_SPARSE);
    fill_bytes(o0, o_n * 4);
    for (size_t i = 0; i < k_n; i++)
        k[i] *= 0.1f;
    for (size_t i = 0; i < g_n; i++) {
        decay[i] = (float)rng_below(1001) / 1000.0f;
        beta[i] = (float)rng_below(1001) / 1000.0f;
    }
    struct deltanet_args a = { .s = guard_copy(s0, s_bytes, side),
                               .dk = dk,
                               .dv = dv,
                               .n = n,
                               .col0 = col0,
                               .col1 = col1,
                               .q = q,
                               .k = k,
                               .v = v,
                               .decay = decay,
                               .beta = beta,
                               .q_stride = q_stride,
                               .k_stride = k_stride,
                               .v_stride = v_stride,
                               .gate_stride = gate_stride,
                               .out = guard_copy(o0, o_n * 4, side),
                               .o_stride = o_stride,
                               .type = type,
                               .pos = (uint32_t)rng_next() };
    void *s_expected = a.s;
    float *o_expected = a.out;
    levels[0].k.deltanet(&a);
    a.s = guard_alloc(s_bytes, side);
    a.out = guard_alloc(o_n * 4, side);
    for (size_t l = 1; l < n_levels; l++) {
        memcpy(a.s, s0, s_bytes);
        memcpy(a.out, o0, o_n * 4);
        about_to_run("deltanet", levels[l].name);
        levels[l].k.deltanet(&a);
        check_floats(a.out, o_expected, o_n, "deltanet %s [%zu, %zu] columns %zu..%zu, %zu tokens",
                     levels[l].name, dk, dv, col0, col1, n);
        check_bytes(a.s, s_expected, s_bytes,
                    "deltanet %s state [%zu, %zu] columns %zu..%zu, %zu tokens", levels[l].name, dk,
                    dv, col0, col1, n);
    }
    /* Token by token: the same outputs, and the same state behind them. */
    memcpy(a.s, s0, s_bytes);
    memcpy(a.out, o0, o_n * 4);
    const struct level *last = &levels[n_levels - 1];
    for (size_t t = 0; t < n; t++) {
        struct deltanet_args one = a;
        one.n = 1;
        one.pos += (uint32_t)t;
        one.q += t * q_stride;
        one.k += t * k_stride;
        one.v += t * v_stride;
        one.decay += t * gate_stride;
        one.beta += t * gate_stride;
        one.out += t * o_stride;
        last->k.deltanet(&one);
    }
    check_floats(a.out, o_expected, o_n, "deltanet %s token by token", last->name);
    check_bytes(a.s, s_expected, s_bytes, "deltanet %s state token by token", last->name);
    guard_release_all();
}

void test_attention(void)
{
    static const size_t heads[] = { 64, 32, 128, 256, 16, 72, 80, 48, 7, 272 };
    for (size_t round = 0; round < 90; round++) {
        enum side side = rng_below(2) ? SIDE_END : SIDE_START;
        size_t n_ctx = round < 10 ? 60 + round : 1 + rng_below(200);
        judge_attention(heads[round % (sizeof(heads) / sizeof(heads[0]))],
                        1 + rng_below(round % 4 == 0 ? 80 : 6), n_ctx,
                        (enum kv_type)(round / 3 % 3), (enum fill)(round % FILL_COUNT), side);
        judge_kv_store((enum kv_type)(round % 3), 1 + rng_below(300),
                       (enum fill)(round / 3 % FILL_COUNT), side);
    }
    /* around the ends of splits */
    for (size_t round = 0; round < 9; round++)
        judge_attention(round % 2 ? 32 : 48, 1 + rng_below(4),
                        ATTN_SPLIT * (1 + round % 3) - 1 + rng_below(3), (enum kv_type)(round % 3),
                        FILL_NOISE, rng_below(2) ? SIDE_END : SIDE_START);
    for (size_t round = 0; round < 40; round++)
        judge_deltanet(round % 5 ? 1 + rng_below(20) : 128, round % 5 ? 1 + rng_below(150) : 128,
                       1 + rng_below(5), round % 2 ? STATE_BF16 : STATE_F32,
                       rng_below(2) ? SIDE_END : SIDE_START);
}
