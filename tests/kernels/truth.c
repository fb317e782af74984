/* tests/kernels/truth.c: ref itself against double precision. What every level equals to the bit
 * must also be right: the functions of vmath.h over their range, a product of each weight type,
 * attention, and the delta rule, each with a tolerance derived from its number of roundings. */
#include "judge.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/ref/vmath.h"

/* distance in units of the last place of the true value; below 2^-126 that unit no longer shrinks
 */
static double ulps(float found, double truth)
{
    int exp;
    frexp(fmax(fabs(truth), 0x1p-126), &exp);
    return fabs((double)found - truth) / ldexp(1.0, exp - 24);
}

static void truth_vmath(void)
{
    double exp_max = 0, sigmoid_max = 0, softplus_max = 0, tanh_max = 0, erf_max = 0, gelu_max = 0;
    for (int i = -873000; i <= 887000; i += 7) {
        float x = (float)i * 1e-4f;
        exp_max = fmax(exp_max, ulps(vm_exp(x), exp(x)));
        tanh_max = fmax(tanh_max, fabs(vm_tanh(x / 8) - tanh((double)(x / 8))));
        erf_max = fmax(erf_max, fabs(vm_erf(x / 8) - erf((double)(x / 8))));
        double g = x / 8, gelu = 0.5 * g * (1 + erf(g * M_SQRT1_2));
        gelu_max = fmax(gelu_max, fabs(vm_gelu_erf(x / 8) - gelu) / fmax(1, fabs(g)));
        if (x > -87 && x < 87) {
            sigmoid_max = fmax(sigmoid_max, ulps(vm_sigmoid(x), 1 / (1 + exp(-(double)x))));
            softplus_max = fmax(softplus_max, ulps(vm_softplus(x), log1p(exp((double)x))));
        }
    }
    check(exp_max < 2, "exp: %g ulp, expected less than 2", exp_max);
    check(sigmoid_max < 4, "sigmoid: %g ulp, expected less than 4", sigmoid_max);
    check(softplus_max < 4, "softplus: %g ulp, expected less than 4", softplus_max);
    check(tanh_max < 4e-7, "tanh: off by %g, expected less than 4e-7", tanh_max);
    check(erf_max < 4e-7, "erf: off by %g, expected less than 4e-7", erf_max);
    check(gelu_max < 4e-7, "gelu_erf: off by %g |x|, expected less than 4e-7", gelu_max);

    check(vm_exp(89.0f) == INFINITY && vm_exp(INFINITY) == INFINITY, "exp overflows to infinity");
    check(vm_exp(-INFINITY) == 0.0f && vm_exp(-200.0f) == 0.0f, "exp underflows to 0");
    check(vm_exp(-87.337f) == 0.0f && vm_exp(-87.336f) >= 0x1p-126f, "exp skips subnormals");
    check(vm_exp(0.0f) == 1.0f && vm_sigmoid(0.0f) == 0.5f, "exp(0) is 1, sigmoid(0) is 1/2");
    check(isnan(vm_exp(NAN)) && isnan(vm_sigmoid(NAN)), "a NaN stays one");
    check(vm_sigmoid(1e30f) == 1.0f && vm_sigmoid(-1e30f) == 0.0f, "sigmoid saturates");
}

/* n roundings of partial sums as large as the sum of magnitudes */
static bool near(double found, double truth, double magnitude, size_t n)
{
    return fabs(found - truth) <= 0x1p-24 * (double)(n + 4) * magnitude + 1e-37;
}

/* Weights dequantised by the format's own function, activations as q * d: the kernel multiplies
 * exactly these, so only the float sums may differ: three roundings a sub-block and one for each
 * product. */
static void truth_matmul(enum qtype type, size_t n_cols)
{
    enum { ROWS = 5, M = 3 };
    const struct qtype_traits *t = qtype_traits(type);
    struct mat w = { .type = type, .n_rows = ROWS, .n_cols = n_cols };
    if (!qtype_row_bytes(&w.row_bytes, type, n_cols))
        abort();
    void *data = guard_alloc(ROWS * w.row_bytes, SIDE_END);
    fill_weights(data, type, ROWS, w.row_bytes, FILL_NOISE);
    w.data = data;

    size_t b[4];
    struct act x = { .n_rows = M, .n_cols = n_cols, .stride = act_stride(n_cols) };
    act_bytes(&b[0], &b[1], &b[2], &b[3], M, n_cols);
    x.f = guard_alloc(b[0], SIDE_END);
    x.q = guard_alloc(b[1], SIDE_END);
    x.d = guard_alloc(b[2], SIDE_END);
    x.isum = guard_alloc(b[3], SIDE_END);
    for (size_t m = 0; m < M; m++)
        fill_floats(x.f + m * x.stride, n_cols, FILL_NOISE);
    levels[0].k.act_quantize(&x, 0, M);

    float *y = guard_alloc(ROWS * M * sizeof(float), SIDE_END);
    float *row = guard_alloc(n_cols * sizeof(float), SIDE_END);
    levels[0].k.matmul[type](y, ROWS, &w, &x, 0, ROWS);
    for (size_t r = 0; r < ROWS; r++) {
        t->dequant(row, (const char *)data + r * w.row_bytes, n_cols);
        for (size_t m = 0; m < M; m++) {
            double truth = 0, magnitude = 0;
            for (size_t c = 0; c < n_cols; c++) {
                size_t i = m * x.stride + c;
                double a = t->is_float ? x.f[i] : (double)x.q[i] * x.d[i / 32];
                truth += row[c] * a;
                magnitude += fabs(row[c] * a);
            }
            /* with a min, (w - min) and min are summed apart, and may be larger than w */
            magnitude *= t->has_min ? 8 : 1;
            check(near(y[m * ROWS + r], truth, magnitude, t->is_float ? n_cols / 16 : n_cols / 8),
                  "matmul ref %s row %zu of %zu columns: %.9g, in double %.9g, magnitude %g",
                  t->name, r, n_cols, (double)y[m * ROWS + r], truth, magnitude);
        }
    }
    guard_release_all();
}

/* |f - q d| is at most half a step, and the step is a 127th of the largest */
static void truth_quantize(void)
{
    enum { N = 320 };
    float f[N], d[N / 32];
    int8_t q[N];
    int16_t isum[N / 16];
    struct act x = { .n_rows = 1, .n_cols = N, .stride = N, .f = f, .q = q, .d = d, .isum = isum };
    fill_floats(f, N, FILL_NOISE);
    levels[0].k.act_quantize(&x, 0, 1);
    for (size_t i = 0; i < N; i++) {
        double error = fabs(f[i] - (double)q[i] * d[i / 32]);
        check(error <= d[i / 32] * 0.50001, "act_quantize: %g became %d * %g", (double)f[i], q[i],
              (double)d[i / 32]);
    }
    for (size_t h = 0; h < N / 16; h++) {
        int sum = 0;
        for (size_t i = 0; i < 16; i++)
            sum += q[16 * h + i];
        check(sum == isum[h], "act_quantize: isum %d, expected %d", isum[h], sum);
    }
}

static void truth_attention(void)
{
    enum { DH = 64, N = 150 };
    static float q[DH], k[N * DH], v[N * DH], out[DH];
    uint32_t visible = N;
    fill_floats(q, DH, FILL_NOISE);
    fill_floats(k, N * DH, FILL_NOISE);
    fill_floats(v, N * DH, FILL_NOISE);
    levels[0].k.attention(&(struct attn_args){ .type = KV_F32,
                                               .dh = DH,
                                               .n_q = 1,
                                               .q = q,
                                               .q_stride = DH,
                                               .k = k,
                                               .v = v,
                                               .n_visible = &visible,
                                               .scale = 0.125f,
                                               .out = out,
                                               .out_stride = DH });

    double s[N], max = -1e300, total = 0;
    for (size_t j = 0; j < N; j++) {
        s[j] = 0;
        for (size_t c = 0; c < DH; c++)
            s[j] += 0.125 * q[c] * k[j * DH + c];
        max = fmax(max, s[j]);
    }
    for (size_t j = 0; j < N; j++)
        total += s[j] = exp(s[j] - max);
    for (size_t c = 0; c < DH; c++) {
        double truth = 0, magnitude = 0;
        for (size_t j = 0; j < N; j++) {
            truth += s[j] / total * v[j * DH + c];
            magnitude += s[j] / total * fabs(v[j * DH + c]);
        }
        check(fabs(out[c] - truth) < 2e-6 * (1 + magnitude), "attention ref: %.9g, in double %.9g",
              (double)out[c], truth);
    }
}

/* |x - q d| is at most half a step of d, and d is half of a 127th of the largest within its own
 * rounding: by values that one block may hold. */
static void truth_kv_store(void)
{
    enum { DH = 80 };
    float x[DH], one[KV_Q8_BLOCK];
    int8_t row[DH + 6];
    check(kv_row_bytes(KV_Q8, DH) == sizeof(row), "kv_row_bytes %zu", kv_row_bytes(KV_Q8, DH));
    for (int round = 0; round < 20; round++) {
        fill_floats(x, DH, FILL_NOISE);
        levels[0].k.kv_store(KV_Q8, row, x, DH);
        for (size_t i = 0; i < DH; i++) {
            uint16_t scale;
            memcpy(&scale, row + DH + i / KV_Q8_BLOCK * 2, 2);
            levels[0].k.f16_to_f32(one, &scale, 1);
            double error = fabs(x[i] - (double)row[i] * one[0]);
            check(error <= one[0] * 0.57, "kv_store q8: %g became %d * %g", (double)x[i], row[i],
                  (double)one[0]);
        }
    }
}

/* The offsets of STATE_BF16 are spread evenly: a state that only decays follows the exact one,
 * where rounding to nearest would keep it where it is. */
static void truth_state_decay(void)
{
    enum { DK = 16, DV = 8, N = 4000 };
    static float q[N * DK], v[N * DV], decay[N], beta[N], out[N * DV];
    uint16_t s[DK * DV];
    for (size_t i = 0; i < DK * DV; i++)
        s[i] = 0x3F80; /* 1 */
    for (size_t t = 0; t < N; t++)
        decay[t] = 0.9995f;
    levels[0].k.deltanet(&(struct deltanet_args){ s, DK, DV, N, 0, DV, q, q, v, decay, beta, DK, DK,
                                                  DV, 1, out, DV, STATE_BF16, 0 });
    double truth = pow((double)0.9995f, N), sum = 0;
    for (size_t i = 0; i < DK * DV; i++) {
        uint32_t bits = (uint32_t)s[i] << 16;
        float x;
        memcpy(&x, &bits, 4);
        sum += x / truth;
        check(fabs(x / truth - 1) < 0.03, "a state that decays is %g, should be %g", (double)x,
              truth);
    }
    check(fabs(sum / (DK * DV) - 1) < 0.01, "on average off by a factor of %g", sum / (DK * DV));
}

/* The recurrence as the specification writes it, S <- a S; m = S'k; S <- S + k (b (v - m))'; o =
 * S'q. */
static void truth_deltanet(void)
{
    enum { DK = 32, DV = 24, N = 20 };
    static float s[DK * DV], q[N * DK], k[N * DK], v[N * DV], decay[N], beta[N], out[N * DV];
    static double state[DK][DV];
    fill_floats(q, N * DK, FILL_NOISE);
    fill_floats(k, N * DK, FILL_NOISE);
    fill_floats(v, N * DV, FILL_NOISE);
    for (size_t t = 0; t < N; t++) {
        levels[0].k.l2norm(k + t * DK, k + t * DK, DK, 1e-6f);
        decay[t] = 0.5f + 0.02f * (float)t;
        beta[t] = 0.9f;
    }
    levels[0].k.deltanet(&(struct deltanet_args){ s, DK, DV, N, 0, DV, q, k, v, decay, beta, DK, DK,
                                                  DV, 1, out, DV, STATE_F32, 0 });
    for (size_t t = 0; t < N; t++) {
        for (size_t c = 0; c < DV; c++) {
            double m = 0, o = 0;
            for (size_t i = 0; i < DK; i++)
                m += (state[i][c] *= decay[t]) * k[t * DK + i];
            for (size_t i = 0; i < DK; i++) {
                state[i][c] += k[t * DK + i] * (double)beta[t] * (v[t * DV + c] - m);
                o += state[i][c] * q[t * DK + i];
            }
            check(fabs(out[t * DV + c] - o) < 1e-5 * (10 + fabs(o)),
                  "deltanet ref token %zu: %.9g, in double %.9g", t, (double)out[t * DV + c], o);
        }
    }
}

static void truth_norms(void)
{
    enum { N = 576 };
    static float x[N], w[N], b[N], y[N];
    fill_floats(x, N, FILL_NOISE);
    fill_floats(w, N, FILL_NOISE);
    fill_floats(b, N, FILL_NOISE);
    double sum = 0, squares = 0, centred = 0;
    for (size_t i = 0; i < N; i++) {
        sum += x[i];
        squares += (double)x[i] * x[i];
    }
    for (size_t i = 0; i < N; i++)
        centred += (x[i] - sum / N) * (x[i] - sum / N);

    levels[0].k.rmsnorm(y, x, w, N, 1e-6f);
    /* relative to the value: the sum of squares has N/16 + 4 roundings, 2.4e-6 at the very worst */
    for (size_t i = 0; i < N; i++) {
        double t = x[i] / sqrt(squares / N + 1e-6) * w[i];
        check(fabs(y[i] - t) < 4e-6 * (1 + fabs(t)), "rmsnorm ref at %zu: %.9g, in double %.9g", i,
              (double)y[i], t);
    }
    levels[0].k.l2norm(y, x, N, 1e-6f);
    for (size_t i = 0; i < N; i++)
        check(fabs(y[i] - x[i] / sqrt(squares + 1e-6)) < 1e-6, "l2norm ref at %zu", i);
    levels[0].k.layernorm(y, x, w, b, N, 1e-12f);
    for (size_t i = 0; i < N; i++) {
        double t = (x[i] - sum / N) / sqrt(centred / N + 1e-12) * w[i];
        check(fabs(y[i] - (t + b[i])) < 8e-6 * (1 + fabs(t) + fabs(b[i])),
              "layernorm ref at %zu: %.9g, in double %.9g", i, (double)y[i], t + b[i]);
    }
    memcpy(y, x, sizeof(y));
    levels[0].k.softmax(y, N);
    double total = 0;
    for (size_t i = 0; i < N; i++)
        total += exp(x[i]);
    for (size_t i = 0; i < N; i++)
        check(fabs(y[i] - exp(x[i]) / total) < 1e-6, "softmax ref at %zu", i);
}

void test_truth(void)
{
    truth_vmath();
    truth_quantize();
    truth_norms();
    truth_attention();
    truth_kv_store();
    truth_deltanet();
    truth_state_decay();
    for (int type = 0; type < QT_COUNT; type++)
        if (qtype_traits((enum qtype)type))
            truth_matmul((enum qtype)type, 768);
}
