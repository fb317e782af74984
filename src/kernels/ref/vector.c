/* kernels/ref/vector.c: sums, norms, activations and conversions over one row of numbers. */
#include "base/half.h"
#include "kernels/ref/ref.h"
#include "kernels/ref/vmath.h"

float ref_lanes16_fold(const struct lanes16 *acc)
{
    float t[8];
    for (size_t l = 0; l < 8; l++)
        t[l] = acc->v[l] + acc->v[l + 8];
    for (size_t l = 0; l < 4; l++)
        t[l] += t[l + 4];
    for (size_t l = 0; l < 2; l++)
        t[l] += t[l + 2];
    return t[0] + t[1];
}

float ref_dot(const float *a, const float *b, size_t n)
{
    struct lanes16 acc = { { 0 } };
    for (size_t i = 0; i < n; i++)
        acc.v[i % 16] = fmaf(a[i], b[i], acc.v[i % 16]);
    return ref_lanes16_fold(&acc);
}

float ref_sum(const float *x, size_t n)
{
    struct lanes16 acc = { { 0 } };
    for (size_t i = 0; i < n; i++)
        acc.v[i % 16] += x[i];
    return ref_lanes16_fold(&acc);
}

void ref_rmsnorm(float *y, const float *x, const float *w, size_t n, float eps)
{
    float inv = 1.0f / sqrtf(ref_dot(x, x, n) / (float)n + eps);
    for (size_t i = 0; i < n; i++)
        y[i] = w ? x[i] * inv * w[i] : x[i] * inv;
}

/* The centred values are computed twice rather than stored: y may be x, and x is needed until the
 * end. */
void ref_layernorm(float *y, const float *x, const float *w, const float *b, size_t n, float eps)
{
    float mean = ref_sum(x, n) / (float)n;
    struct lanes16 acc = { { 0 } };
    for (size_t i = 0; i < n; i++) {
        float c = x[i] - mean;
        acc.v[i % 16] = fmaf(c, c, acc.v[i % 16]);
    }
    float inv = 1.0f / sqrtf(ref_lanes16_fold(&acc) / (float)n + eps);
    for (size_t i = 0; i < n; i++)
        y[i] = fmaf((x[i] - mean) * inv, w[i], b[i]);
}

void ref_l2norm(float *y, const float *x, size_t n, float eps)
{
    float inv = 1.0f / sqrtf(ref_dot(x, x, n) + eps);
    for (size_t i = 0; i < n; i++)
        y[i] = x[i] * inv;
}

void ref_add(float *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] += x[i];
}

void ref_scale(float *y, float a, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] *= a;
}

void ref_silu(float *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = vm_silu(x[i]);
}

void ref_silu_mul(float *y, const float *gate, const float *up, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = vm_silu(gate[i]) * up[i];
}

void ref_sigmoid_mul(float *y, const float *gate, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = x[i] * vm_sigmoid(gate[i]);
}

void ref_gelu_erf(float *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = vm_gelu_erf(x[i]);
}

void ref_gelu_tanh(float *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = vm_gelu_tanh(x[i]);
}

void ref_softmax(float *x, size_t n)
{
    float max = -INFINITY;
    for (size_t i = 0; i < n; i++)
        max = x[i] > max ? x[i] : max;
    for (size_t i = 0; i < n; i++)
        x[i] = vm_exp(x[i] - max);
    float inv = 1.0f / ref_sum(x, n);
    for (size_t i = 0; i < n; i++)
        x[i] *= inv;
}

/* Channel by channel, so that the three remembered values are plain locals. */
void ref_conv4_silu(float *y, size_t y_stride, const float *x, size_t x_stride, float *state,
                    const float *w, size_t n_ch, size_t n, size_t c0, size_t c1)
{
    for (size_t c = c0; c < c1; c++) {
        float s0 = state[c], s1 = state[n_ch + c], s2 = state[2 * n_ch + c];
        for (size_t t = 0; t < n; t++) {
            float s3 = x[t * x_stride + c];
            float acc = fmaf(s0, w[4 * c], 0.0f);
            acc = fmaf(s1, w[4 * c + 1], acc);
            acc = fmaf(s2, w[4 * c + 2], acc);
            acc = fmaf(s3, w[4 * c + 3], acc);
            y[t * y_stride + c] = vm_silu(acc);
            s0 = s1;
            s1 = s2;
            s2 = s3;
        }
        state[c] = s0;
        state[n_ch + c] = s1;
        state[2 * n_ch + c] = s2;
    }
}

void ref_f32_to_f16(uint16_t *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = f32_to_f16(x[i]);
}

void ref_f16_to_f32(float *y, const uint16_t *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = f16_to_f32(x[i]);
}

void ref_scan_i8(int32_t *out, const int8_t *v, const int8_t *q, size_t dim, size_t n_vecs)
{
    for (size_t i = 0; i < n_vecs; i++) {
        int32_t sum = 0;
        for (size_t j = 0; j < dim; j++)
            sum += v[i * dim + j] * q[j];
        out[i] = sum;
    }
}
