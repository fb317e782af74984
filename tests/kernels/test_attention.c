/* tests/kernels/test_attention.c: attention over a cache, and the gated delta rule. */
#include "judge.h"

#include <string.h>

static void fill_kv(void *p, size_t n, enum kv_type type, enum fill fill)
{
    if (type == KV_F32) {
        fill_floats(p, n, fill);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        float f;
        fill_floats(&f, 1, fill == FILL_EXTREME ? FILL_NOISE : fill);
        levels[0].k.f32_to_f16((uint16_t *)p + i, &f, 1);
    }
}

/* A query row must give the same whether computed alone or with others: rows in one call, then one
 * by one. */
static void judge_attention(size_t dh, size_t n_q, size_t n_ctx, enum kv_type type, enum fill fill,
                            enum side side)
{
    size_t q_stride = dh + rng_below(2) * 8, out_stride = dh + rng_below(2) * 5;
    size_t q_n = (n_q - 1) * q_stride + dh, out_n = (n_q - 1) * out_stride + dh;
    size_t kv_bytes = n_ctx * dh * (type == KV_F16 ? 2 : 4);
    float *q = guard_alloc(q_n * 4, side), *junk = guard_alloc(out_n * 4, side);
    void *k = guard_alloc(kv_bytes, side), *v = guard_alloc(kv_bytes, side);
    uint32_t *visible = guard_alloc(n_q * 4, side);
    fill_floats(q, q_n, fill == FILL_EXTREME ? FILL_NOISE : fill);
    fill_kv(k, n_ctx * dh, type, fill == FILL_EXTREME ? FILL_NOISE : fill);
    fill_kv(v, n_ctx * dh, type, fill);
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
    a.out = guard_alloc(out_n * 4, side);
    for (size_t l = 1; l < n_levels; l++) {
        memcpy(a.out, junk, out_n * 4);
        about_to_run("attention", levels[l].name);
        levels[l].k.attention(&a);
        check_floats(a.out, expected, out_n,
                     "attention %s dh %zu, %zu rows, %zu positions, %s, scale %g, %s",
                     levels[l].name, dh, n_q, n_ctx, type == KV_F16 ? "f16" : "f32",
                     (double)a.scale, fill_names[fill]);
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

static void judge_deltanet(size_t dk, size_t dv, size_t n, enum side side)
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
    size_t g_n = (n - 1) * gate_stride + 1;
    float *s0 = guard_alloc(dk * dv * 4, side), *q = guard_alloc(q_n * 4, side);
    float *k = guard_alloc(k_n * 4, side), *v = guard_alloc(v_n * 4, side);
    float *decay = guard_alloc(g_n * 4, side), *beta = guard_alloc(g_n * 4, side);
    float *o0 = guard_alloc(o_n * 4, side);
    fill_floats(s0, dk * dv, FILL_NOISE);
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
    struct deltanet_args a = { .s = guard_copy(s0, dk * dv * 4, side),
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
                               .o_stride = o_stride };
    float *s_expected = a.s, *o_expected = a.out;
    levels[0].k.deltanet(&a);
    a.s = guard_alloc(dk * dv * 4, side);
    a.out = guard_alloc(o_n * 4, side);
    for (size_t l = 1; l < n_levels; l++) {
        memcpy(a.s, s0, dk * dv * 4);
        memcpy(a.out, o0, o_n * 4);
        about_to_run("deltanet", levels[l].name);
        levels[l].k.deltanet(&a);
        check_floats(a.out, o_expected, o_n, "deltanet %s [%zu, %zu] columns %zu..%zu, %zu tokens",
                     levels[l].name, dk, dv, col0, col1, n);
        check_floats(a.s, s_expected, dk * dv,
                     "deltanet %s state [%zu, %zu] columns %zu..%zu, %zu tokens", levels[l].name,
                     dk, dv, col0, col1, n);
    }
    guard_release_all();
}

void test_attention(void)
{
    static const size_t heads[] = { 64, 32, 128, 256, 16, 72, 80, 48, 7, 272 };
    for (size_t round = 0; round < 60; round++) {
        enum side side = rng_below(2) ? SIDE_END : SIDE_START;
        size_t n_ctx = round < 10 ? 60 + round : 1 + rng_below(200);
        judge_attention(heads[round % (sizeof(heads) / sizeof(heads[0]))],
                        1 + rng_below(round % 4 == 0 ? 40 : 6), n_ctx,
                        rng_below(2) ? KV_F16 : KV_F32, (enum fill)(round % FILL_COUNT), side);
    }
    for (size_t round = 0; round < 24; round++)
        judge_deltanet(round % 3 ? 1 + rng_below(20) : 128, round % 3 ? 1 + rng_below(150) : 128,
                       1 + rng_below(5), rng_below(2) ? SIDE_END : SIDE_START);
}
