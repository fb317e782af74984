/* tests/kernels/test_vector.c: norms, activations, sums, conversions, convolution and the scan. */
#include "judge.h"

#include <string.h>

/* Every function here takes at most three inputs of n floats and gives n floats; this is one call
 * of it. */
struct row_case {
    float *y;
    const float *a, *b, *c;
    size_t n;
};

static void run_rmsnorm(const struct kernels *k, const struct row_case *r)
{
    k->rmsnorm(r->y, r->a, r->b, r->n, 1e-6f);
}

static void run_rmsnorm_plain(const struct kernels *k, const struct row_case *r)
{
    k->rmsnorm(r->y, r->a, NULL, r->n, 1e-5f);
}

static void run_layernorm(const struct kernels *k, const struct row_case *r)
{
    k->layernorm(r->y, r->a, r->b, r->c, r->n, 1e-12f);
}

static void run_l2norm(const struct kernels *k, const struct row_case *r)
{
    k->l2norm(r->y, r->a, r->n, 1e-6f);
}

static void run_silu(const struct kernels *k, const struct row_case *r)
{
    k->silu(r->y, r->a, r->n);
}

static void run_silu_mul(const struct kernels *k, const struct row_case *r)
{
    k->silu_mul(r->y, r->a, r->b, r->n);
}

static void run_sigmoid_mul(const struct kernels *k, const struct row_case *r)
{
    k->sigmoid_mul(r->y, r->a, r->b, r->n);
}

static void run_gelu_erf(const struct kernels *k, const struct row_case *r)
{
    k->gelu_erf(r->y, r->a, r->n);
}

static void run_gelu_tanh(const struct kernels *k, const struct row_case *r)
{
    k->gelu_tanh(r->y, r->a, r->n);
}

/* These three work in place: y starts as a. */
static void run_add(const struct kernels *k, const struct row_case *r)
{
    memmove(r->y, r->a, r->n * sizeof(float));
    k->add(r->y, r->b, r->n);
}

static void run_scale(const struct kernels *k, const struct row_case *r)
{
    memmove(r->y, r->a, r->n * sizeof(float));
    k->scale(r->y, -1.7f, r->n);
}

static void run_softmax(const struct kernels *k, const struct row_case *r)
{
    memmove(r->y, r->a, r->n * sizeof(float));
    k->softmax(r->y, r->n);
}

static const struct {
    const char *name;
    void (*run)(const struct kernels *k, const struct row_case *r);
} row_functions[] = {
    { "rmsnorm", run_rmsnorm },
    { "rmsnorm without weights", run_rmsnorm_plain },
    { "layernorm", run_layernorm },
    { "l2norm", run_l2norm },
    { "silu", run_silu },
    { "silu_mul", run_silu_mul },
    { "sigmoid_mul", run_sigmoid_mul },
    { "gelu_erf", run_gelu_erf },
    { "gelu_tanh", run_gelu_tanh },
    { "add", run_add },
    { "scale", run_scale },
    { "softmax", run_softmax },
};

static void judge_row(size_t f, size_t n, enum fill fill, enum side side)
{
    size_t bytes = n * sizeof(float);
    float *a = guard_alloc(bytes, side), *b = guard_alloc(bytes, side),
          *c = guard_alloc(bytes, side);
    float *expected = guard_alloc(bytes, side), *y = guard_alloc(bytes, side);
    fill_floats(a, n, fill);
    fill_floats(b, n, fill);
    fill_floats(c, n, fill);
    for (size_t i = 0; i < n && fill == FILL_NOISE; i++)
        a[i] *= 6.0f; /* far enough for the exponentials to saturate */
    row_functions[f].run(&levels[0].k, &(struct row_case){ expected, a, b, c, n });

    for (size_t l = 1; l < n_levels; l++) {
        const char *name = levels[l].name;
        about_to_run(row_functions[f].name, name);
        fill_bytes(y, bytes);
        row_functions[f].run(&levels[l].k, &(struct row_case){ y, a, b, c, n });
        check_floats(y, expected, n, "%s %s n %zu %s", row_functions[f].name, name, n,
                     fill_names[fill]);
        memcpy(y, a, bytes); /* and onto its own input */
        row_functions[f].run(&levels[l].k, &(struct row_case){ y, y, b, c, n });
        check_floats(y, expected, n, "%s %s in place n %zu %s", row_functions[f].name, name, n,
                     fill_names[fill]);
    }
    guard_release_all();
}

/* Every exponential there is, in steps: the whole range of the argument, and the values near its
 * ends. */
static void judge_range_of_exp(void)
{
    enum { N = 4096 };
    static float x[N], expected[N], y[N];
    for (int f = 4; f <= 8; f++) {
        for (int part = 0; part < 8; part++) {
            for (size_t i = 0; i < N; i++)
                x[i] = (float)((double)(part * N + (int)i) / (8 * N) * 240.0 - 120.0);
            row_functions[f].run(&levels[0].k, &(struct row_case){ expected, x, x, x, N });
            for (size_t l = 1; l < n_levels; l++) {
                row_functions[f].run(&levels[l].k, &(struct row_case){ y, x, x, x, N });
                check_floats(y, expected, N, "%s %s from %g", row_functions[f].name, levels[l].name,
                             (double)x[0]);
            }
        }
    }
}

static void judge_dot(size_t n, enum fill fill, enum side side)
{
    float *a = guard_alloc(n * sizeof(float), side), *b = guard_alloc(n * sizeof(float), side);
    fill_floats(a, n, fill);
    fill_floats(b, n, fill);
    float expected = levels[0].k.dot_f32(a, b, n);
    for (size_t l = 1; l < n_levels; l++) {
        about_to_run("dot_f32", levels[l].name);
        float found = levels[l].k.dot_f32(a, b, n);
        check_floats(&found, &expected, 1, "dot_f32 %s n %zu %s", levels[l].name, n,
                     fill_names[fill]);
    }
    guard_release_all();
}

static void judge_halves(size_t n, enum fill fill, enum side side)
{
    float *x = guard_alloc(n * sizeof(float), side);
    uint16_t *h = guard_alloc(n * 2, side), *h_expected = guard_alloc(n * 2, side);
    float *w = guard_alloc(n * sizeof(float), side),
          *w_expected = guard_alloc(n * sizeof(float), side);
    fill_floats(x, n, fill);
    levels[0].k.f32_to_f16(h_expected, x, n);
    levels[0].k.f16_to_f32(w_expected, h_expected, n);
    for (size_t l = 1; l < n_levels; l++) {
        about_to_run("f32_to_f16, f16_to_f32", levels[l].name);
        fill_bytes(h, n * 2);
        fill_bytes(w, n * 4);
        levels[l].k.f32_to_f16(h, x, n);
        check_bytes(h, h_expected, n * 2, "f32_to_f16 %s n %zu %s", levels[l].name, n,
                    fill_names[fill]);
        levels[l].k.f16_to_f32(w, h_expected, n);
        check_floats(w, w_expected, n, "f16_to_f32 %s n %zu %s", levels[l].name, n,
                     fill_names[fill]);
    }
    guard_release_all();
}

/* All halves there are, and the floats half-way between them. */
static void judge_every_half(void)
{
    static uint16_t h[65536], back[65536];
    static float x[65536], y[65536], between[65536];
    for (size_t i = 0; i < 65536; i++)
        h[i] = (uint16_t)i;
    levels[0].k.f16_to_f32(x, h, 65536);
    for (size_t i = 0; i < 65536; i++)
        between[i] = i + 1 < 65536 ? x[i] / 2 + x[i + 1] / 2 : 0;
    for (size_t l = 0; l < n_levels; l++) {
        levels[l].k.f16_to_f32(y, h, 65536);
        check_floats(y, x, 65536, "f16_to_f32 %s of every half", levels[l].name);
        levels[l].k.f32_to_f16(back, x, 65536);
        size_t i = 0;
        while (i < 65536 && (back[i] == h[i] || (i & 0x7fff) > 0x7c00))
            i++;
        check(i == 65536, "f32_to_f16 %s gives back half %04zx as %04x", levels[l].name, i,
              i < 65536 ? back[i] : 0u);
        static uint16_t tie_expected[65536];
        if (l == 0)
            levels[0].k.f32_to_f16(tie_expected, between, 65536);
        levels[l].k.f32_to_f16(back, between, 65536);
        check_bytes(back, tie_expected, 0x7c00 * 2, "f32_to_f16 %s half-way", levels[l].name);
    }
}

static void judge_scan(size_t dim, size_t n, enum side side)
{
    int8_t *v = guard_alloc(dim * n, side), *q = guard_alloc(dim, side);
    int32_t *expected = guard_alloc(n * 4, side), *y = guard_alloc(n * 4, side);
    fill_bytes(v, dim * n);
    fill_bytes(q, dim);
    if (rng_below(3) == 0) { /* the largest sums */
        memset(v, -128, dim * n);
        memset(q, -128, dim);
    }
    levels[0].k.scan_i8(expected, v, q, dim, n);
    for (size_t l = 1; l < n_levels; l++) {
        fill_bytes(y, n * 4);
        about_to_run("scan_i8", levels[l].name);
        levels[l].k.scan_i8(y, v, q, dim, n);
        check_bytes(y, expected, n * 4, "scan_i8 %s [%zu, %zu]", levels[l].name, n, dim);
    }
    guard_release_all();
}

static void judge_conv(size_t n_ch, size_t n, enum fill fill, enum side side)
{
    size_t x_stride = n_ch + rng_below(3), y_stride = n_ch + rng_below(3);
    size_t c0 = rng_below(n_ch), c1 = c0 + 1 + rng_below(n_ch - c0);
    if (rng_below(2)) {
        c0 = 0;
        c1 = n_ch;
    }
    size_t x_n = (n - 1) * x_stride + c1, y_n = (n - 1) * y_stride + c1;
    float *x = guard_alloc(x_n * 4, side), *w = guard_alloc(n_ch * 16, side);
    float *state0 = guard_alloc(3 * n_ch * 4, side), *y0 = guard_alloc(y_n * 4, side);
    fill_floats(x, x_n, fill);
    fill_floats(w, 4 * n_ch, fill);
    fill_floats(state0, 3 * n_ch, FILL_NOISE);
    fill_bytes(y0, y_n * 4);

    float *state_expected = guard_copy(state0, 3 * n_ch * 4, side);
    float *expected = guard_copy(y0, y_n * 4, side);
    levels[0].k.conv4_silu(expected, y_stride, x, x_stride, state_expected, w, n_ch, n, c0, c1);
    for (size_t l = 1; l < n_levels; l++) {
        float *state = guard_copy(state0, 3 * n_ch * 4, side), *y = guard_copy(y0, y_n * 4, side);
        about_to_run("conv4_silu", levels[l].name);
        levels[l].k.conv4_silu(y, y_stride, x, x_stride, state, w, n_ch, n, c0, c1);
        check_floats(y, expected, y_n, "conv4_silu %s %zu channels %zu..%zu, %zu tokens, %s",
                     levels[l].name, n_ch, c0, c1, n, fill_names[fill]);
        check_floats(state, state_expected, 3 * n_ch, "conv4_silu %s state %zu channels %zu..%zu",
                     levels[l].name, n_ch, c0, c1);
    }
    guard_release_all();
}

void test_vector(void)
{
    for (int round = 0; round < 48; round++) {
        enum fill fill = (enum fill)(round % FILL_COUNT);
        enum side side = rng_below(2) ? SIDE_END : SIDE_START;
        size_t n = round < 36 ? (size_t)round + 1 : 1 + rng_below(700);
        for (size_t f = 0; f < sizeof(row_functions) / sizeof(row_functions[0]); f++)
            judge_row(f, n, fill, side);
        judge_dot(n, fill, side);
        judge_halves(n, fill, side);
        judge_scan(n, 1 + rng_below(5), side);
        judge_conv(1 + rng_below(80), 1 + rng_below(6), fill, side);
    }
    judge_range_of_exp();
    judge_every_half();
}
