/* tests/kernels/bench.c: kernels_judge --bench: time of the hot slots at every level, as a ratio to
 * ref, with bytes of weights and operations a second. One thread; shapes of SmolLM2-135M and
 * Qwen3.5-0.8B. */
#include "judge.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* the best of several runs, at least 'budget_s' together */
static double best_s(void (*run)(const struct kernels *k, void *ctx), const struct kernels *k,
                     void *ctx, double budget_s)
{
    double best = 1e9, start = now_s();
    for (int i = 0; i < 2 || now_s() - start < budget_s; i++) {
        double t = now_s();
        run(k, ctx);
        t = now_s() - t;
        best = t < best ? t : best;
        if (i >= 1 && now_s() - start > 2 * budget_s)
            break;
    }
    return best;
}

static void report(const char *what, void (*run)(const struct kernels *k, void *ctx), void *ctx,
                   double bytes, double ops)
{
    double ref = 0;
    for (size_t l = 0; l < n_levels; l++) {
        double t = best_s(run, &levels[l].k, ctx, l ? 0.05 : 0.0);
        ref = l ? ref : t;
        printf("%-34s %-11s %10.1f us %7.1fx ref %7.1f GB/s %8.1f Gop/s\n", what, levels[l].name,
               t * 1e6, ref / t, bytes / t * 1e-9, ops / t * 1e-9);
    }
}

static void *noise_floats(size_t n)
{
    float *p = aligned_alloc(64, (n * sizeof(float) + 63) / 64 * 64);
    if (!p)
        abort();
    fill_floats(p, n, FILL_NOISE);
    return p;
}

struct matmul_case {
    struct mat w;
    struct act x;
    float *y;
};

static void run_matmul(const struct kernels *k, void *ctx)
{
    struct matmul_case *c = ctx;
    k->matmul[c->w.type](c->y, c->w.n_rows, &c->w, &c->x, 0, c->w.n_rows);
}

static void run_quantize(const struct kernels *k, void *ctx)
{
    struct matmul_case *c = ctx;
    k->act_quantize(&c->x, 0, c->x.n_rows);
}

static void bench_matmul(enum qtype type, size_t n_rows, size_t n_cols, size_t n_m)
{
    struct matmul_case c = { .w = { .type = type, .n_rows = n_rows, .n_cols = n_cols },
                             .x = {
                                 .n_rows = n_m, .n_cols = n_cols, .stride = act_stride(n_cols) } };
    size_t b[4];
    char what[64];
    if (!qtype_row_bytes(&c.w.row_bytes, type, n_cols))
        return;
    void *data = malloc(n_rows * c.w.row_bytes);
    act_bytes(&b[0], &b[1], &b[2], &b[3], n_m, n_cols);
    c.x.f = noise_floats(n_m * c.x.stride);
    c.x.q = malloc(b[1]);
    c.x.d = malloc(b[2]);
    c.x.isum = malloc(b[3]);
    c.y = malloc(n_m * n_rows * sizeof(float));
    if (!data || !c.x.q || !c.x.d || !c.x.isum || !c.y)
        abort();
    fill_weights(data, type, n_rows, c.w.row_bytes, FILL_NOISE);
    c.w.data = data;

    if (type == QT_Q4_1) {
        snprintf(what, sizeof(what), "act_quantize [%zu, %zu]", n_m, n_cols);
        report(what, run_quantize, &c, (double)b[0], (double)(n_m * n_cols));
    }
    levels[0].k.act_quantize(&c.x, 0, n_m);
    snprintf(what, sizeof(what), "%s [%zu, %zu] x %zu", qtype_traits(type)->name, n_rows, n_cols,
             n_m);
    report(what, run_matmul, &c, (double)(n_rows * c.w.row_bytes),
           2.0 * (double)(n_rows * n_cols * n_m));
    free(c.y);
    free(c.x.isum);
    free(c.x.d);
    free(c.x.q);
    free(c.x.f);
    free(data);
}

static void run_attention(const struct kernels *k, void *ctx)
{
    k->attention(ctx);
}

static void bench_attention(enum kv_type type, size_t dh, size_t n_q, uint32_t n_ctx)
{
    static const char *const NAMES[] = { "f32", "f16", "q8" };
    char what[64];
    uint32_t *visible = malloc(n_q * sizeof(uint32_t));
    size_t row = kv_row_bytes(type, dh);
    float *wide = noise_floats(dh);
    char *kv = malloc(2 * n_ctx * row);
    if (!visible || !kv)
        abort();
    for (size_t i = 0; i < 2 * n_ctx; i++) {
        fill_floats(wide, dh, FILL_NOISE);
        levels[0].k.kv_store(type, kv + i * row, wide, dh);
    }
    for (size_t i = 0; i < n_q; i++)
        visible[i] = n_ctx;
    struct attn_args a = { .type = type,
                           .dh = dh,
                           .n_q = n_q,
                           .q = noise_floats(n_q * dh),
                           .q_stride = dh,
                           .k = kv,
                           .v = kv + n_ctx * row,
                           .n_visible = visible,
                           .scale = 0.125f,
                           .out = noise_floats(n_q * dh),
                           .out_stride = dh };
    snprintf(what, sizeof(what), "attention %s dh %zu, %zu rows, %u pos", NAMES[type], dh, n_q,
             n_ctx);
    report(what, run_attention, &a, 2.0 * (double)n_ctx * (double)row,
           4.0 * (double)n_ctx * (double)(dh * n_q));
    free((void *)(uintptr_t)a.q);
    free(a.out);
    free(kv);
    free(wide);
    free(visible);
}

static void run_deltanet(const struct kernels *k, void *ctx)
{
    k->deltanet(ctx);
}

static void bench_deltanet(enum state_type type, size_t n)
{
    enum { D = 128 };
    char what[64];
    float *gates = noise_floats(n);
    for (size_t i = 0; i < n; i++)
        gates[i] = 0.5f;
    struct deltanet_args a = { noise_floats(D * D),
                               D,
                               D,
                               n,
                               0,
                               D,
                               noise_floats(n * D),
                               noise_floats(n * D),
                               noise_floats(n * D),
                               gates,
                               gates,
                               D,
                               D,
                               D,
                               1,
                               noise_floats(n * D),
                               D,
                               type,
                               0 };
    bool half = type == STATE_BF16;
    snprintf(what, sizeof(what), "deltanet %s [128, 128], %zu tokens", half ? "bf16" : "f32", n);
    report(what, run_deltanet, &a, 2.0 * D * D * (half ? 2 : 4) * (double)n,
           7.0 * D * D * (double)n);
    free(gates);
    free(a.s);
    free((void *)(uintptr_t)a.q);
    free((void *)(uintptr_t)a.k);
    free((void *)(uintptr_t)a.v);
    free(a.out);
}

struct row_case {
    float *y, *a, *b;
    size_t n;
};

static void run_silu_mul(const struct kernels *k, void *ctx)
{
    struct row_case *r = ctx;
    k->silu_mul(r->y, r->a, r->b, r->n);
}

static void run_rmsnorm(const struct kernels *k, void *ctx)
{
    struct row_case *r = ctx;
    k->rmsnorm(r->y, r->a, r->b, r->n, 1e-6f);
}

static void run_gelu_erf(const struct kernels *k, void *ctx)
{
    struct row_case *r = ctx;
    k->gelu_erf(r->y, r->a, r->n);
}

static void run_scan(const struct kernels *k, void *ctx)
{
    struct row_case *r = ctx;
    static int32_t out[1000];
    k->scan_i8(out, (const int8_t *)r->a, (const int8_t *)r->b, 384, 1000);
}

struct conv_case {
    float *y, *x, *state, *w;
    size_t n;
};

enum { CONV_WIDTH = 6144 };

/* A head's 128 channels of each token, as the model asks for them. */
static void run_conv4(const struct kernels *k, void *ctx)
{
    struct conv_case *c = ctx;
    for (size_t at = 0; at < CONV_WIDTH; at += 128)
        k->conv4_silu(c->y, CONV_WIDTH, c->x, CONV_WIDTH, c->state, c->w, CONV_WIDTH, c->n, at,
                      at + 128);
}

static void bench_conv4(size_t n)
{
    char what[64];
    struct conv_case c = { noise_floats(n * CONV_WIDTH), noise_floats(n * CONV_WIDTH),
                           noise_floats(3 * (size_t)CONV_WIDTH),
                           noise_floats(4 * (size_t)CONV_WIDTH), n };
    snprintf(what, sizeof(what), "conv4_silu %d channels, %zu tokens", CONV_WIDTH, n);
    report(what, run_conv4, &c, 8.0 * CONV_WIDTH * (double)n, 8.0 * CONV_WIDTH * (double)n);
    free(c.y);
    free(c.x);
    free(c.state);
    free(c.w);
}

static void bench_rows(void)
{
    enum { N = 100000 };
    struct row_case r = { noise_floats(N), noise_floats(N), noise_floats(N), 8192 };
    report("silu_mul 8192", run_silu_mul, &r, r.n * 12.0, r.n * 1.0);
    report("rmsnorm 8192", run_rmsnorm, &r, r.n * 12.0, r.n * 4.0);
    report("gelu_erf 8192", run_gelu_erf, &r, r.n * 8.0, r.n * 1.0);
    report("scan_i8 [1000, 384]", run_scan, &r, 384e3, 2 * 384e3);
    free(r.y);
    free(r.a);
    free(r.b);
}

void bench(void)
{
    static const enum qtype types[] = { QT_Q4_1,  QT_Q8_0,  QT_Q4_0, QT_Q4_K, QT_Q5_K,   QT_Q6_K,
                                        QT_Q5_0,  QT_Q5_1,  QT_Q2_K, QT_Q3_K, QT_IQ4_NL, QT_IQ4_XS,
                                        QT_MXFP4, QT_NVFP4, QT_F32,  QT_F16,  QT_BF16 };
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        bench_matmul(types[i], 1024, 1024, 1);
        bench_matmul(types[i], 1024, 1024, 5);
        bench_matmul(types[i], 1024, 1024, 128);
    }
    bench_matmul(QT_Q4_1, 576, 576, 128);
    bench_matmul(QT_Q4_1, 49152, 576, 1);
    bench_attention(KV_F16, 64, 3, 512);
    bench_attention(KV_F16, 64, 96, 512);
    for (int type = KV_F32; type <= KV_Q8; type++) {
        bench_attention((enum kv_type)type, 256, 1, 4096);
        bench_attention((enum kv_type)type, 256, 4, 4096);
        bench_attention((enum kv_type)type, 256, 32, 4096);
    }
    for (int type = STATE_F32; type <= STATE_BF16; type++) {
        bench_deltanet((enum state_type)type, 1);
        bench_deltanet((enum state_type)type, 64);
    }
    bench_conv4(1);
    bench_conv4(256);
    bench_rows();
}
