/* kernels/vector_template.h: norms, activations and conversions over rows of numbers, for any
 * vector width. The mathematics is ref/vmath.h and ref/vector.c said again, operation by operation.
 *
 * Where a row's length is no multiple of the vector, elementwise functions take the rest through a
 * small buffer, and sums go on one by one: nothing outside a row is touched. */

/* ---- the functions of vmath.h --------------------------------------------------------------- */

static inline vf v_abs(vf x)
{
    return v_from_bits(v_and(v_bits(x), v_set32(0x7fffffff)));
}

static inline vf v_negated(vf x)
{
    return v_from_bits(v_xor(v_bits(x), v_set32(0x80000000)));
}

static inline vf v_copysign(vf magnitude, vf sign)
{
    return v_from_bits(v_or(v_bits(magnitude), v_and(v_bits(sign), v_set32(0x80000000))));
}

static inline vf v_exp(vf x)
{
    x = v_min(v_set(89.0f), x);
    x = v_max(v_set(-89.0f), x);
    vf t = v_fma(x, v_set(1.44269504f), v_set(VM_ROUND));
    vf n = v_sub(t, v_set(VM_ROUND));
    vf r = v_fma(n, v_set(-0.693145752f), x);
    r = v_fma(n, v_set(-1.42860677e-6f), r);

    vf p = v_set(0.00138145984f);
    p = v_fma(p, r, v_set(0.0083687169f));
    p = v_fma(p, r, v_set(0.0416683881f));
    p = v_fma(p, r, v_set(0.166665206f));
    p = v_fma(p, r, v_set(0.499999934f));
    p = v_fma(p, v_mul(r, r), r);
    p = v_add(p, v_set(1.0f));
    return v_zero_below(v_scale2(p, t, n), x, VM_EXP_MIN);
}

static inline vf v_sigmoid(vf x)
{
    vf one = v_set(1.0f);
    vf e = v_exp(v_from_bits(v_or(v_bits(x), v_set32(0x80000000))));
    return v_div(v_select_negative(x, e, one), v_add(one, e));
}

/* The second argument is the other operand of those that have one. */
static inline vf v_silu(vf x, vf unused)
{
    (void)unused;
    return v_mul(x, v_sigmoid(x));
}

static inline vf v_silu_mul(vf gate, vf up)
{
    return v_mul(v_silu(gate, up), up);
}

static inline vf v_sigmoid_mul(vf gate, vf x)
{
    return v_mul(x, v_sigmoid(gate));
}

static inline vf v_tanh(vf x)
{
    vf one = v_set(1.0f), e = v_exp(v_mul(v_set(-2.0f), v_abs(x)));
    return v_copysign(v_div(v_sub(one, e), v_add(one, e)), x);
}

static inline vf v_erf(vf x)
{
    vf one = v_set(1.0f), a = v_abs(x);
    vf t = v_div(one, v_fma(v_set(0.45f), a, one));
    vf p = v_set(0.0925696073f);
    p = v_fma(p, t, v_set(-0.494104157f));
    p = v_fma(p, t, v_set(0.857167427f));
    p = v_fma(p, t, v_set(-0.375802399f));
    p = v_fma(p, t, v_set(0.460170377f));
    p = v_fma(p, t, v_set(0.201009469f));
    p = v_fma(p, t, v_set(0.258989676f));
    return v_copysign(v_fma(v_negated(v_mul(p, t)), v_exp(v_negated(v_mul(a, a))), one), x);
}

static inline vf v_gelu_erf(vf x, vf unused)
{
    (void)unused;
    vf h = v_mul(v_set(0.5f), x);
    return v_fma(h, v_erf(v_mul(x, v_set(0.707106781f))), h);
}

static inline vf v_gelu_tanh(vf x, vf unused)
{
    (void)unused;
    vf u = v_fma(v_mul(v_mul(x, x), v_set(0.044715f)), x, x);
    vf h = v_mul(v_set(0.5f), x);
    return v_fma(h, v_tanh(v_mul(v_set(0.797884561f), u)), h);
}

/* ---- elementwise ---------------------------------------------------------------------------- */

/* y = f(a, b), element by element; y may be a or b */
static inline __attribute__((always_inline)) void map(float *y, const float *a, const float *b,
                                                      size_t n, vf (*f)(vf, vf))
{
    size_t i = 0;
    for (; i + V_ROWS <= n; i += V_ROWS)
        v_store(y + i, f(v_load(a + i), v_load(b + i)));
    if (i < n) {
        float ta[V_ROWS] = { 0 }, tb[V_ROWS] = { 0 };
        memcpy(ta, a + i, (n - i) * sizeof(float));
        memcpy(tb, b + i, (n - i) * sizeof(float));
        v_store(ta, f(v_load(ta), v_load(tb)));
        memcpy(y + i, ta, (n - i) * sizeof(float));
    }
}

static void add(float *y, const float *x, size_t n)
{
    map(y, y, x, n, v_add);
}

/* y = x * a */
static inline void scale_to(float *y, const float *x, float a, size_t n)
{
    vf factor = v_set(a);
    size_t i = 0;
    for (; i + V_ROWS <= n; i += V_ROWS)
        v_store(y + i, v_mul(v_load(x + i), factor));
    for (; i < n; i++)
        y[i] = x[i] * a;
}

static void scale(float *y, float a, size_t n)
{
    scale_to(y, y, a, n);
}

static void silu(float *y, const float *x, size_t n)
{
    map(y, x, x, n, v_silu);
}

static void silu_mul(float *y, const float *gate, const float *up, size_t n)
{
    map(y, gate, up, n, v_silu_mul);
}

static void sigmoid_mul(float *y, const float *gate, const float *x, size_t n)
{
    map(y, gate, x, n, v_sigmoid_mul);
}

static void gelu_erf(float *y, const float *x, size_t n)
{
    map(y, x, x, n, v_gelu_erf);
}

static void gelu_tanh(float *y, const float *x, size_t n)
{
    map(y, x, x, n, v_gelu_tanh);
}

static void f32_to_f16_row(uint16_t *y, const float *x, size_t n)
{
    size_t i = 0;
    for (; i + V_ROWS <= n; i += V_ROWS)
        v_store_f16(y + i, v_load(x + i));
    ref_f32_to_f16(y + i, x + i, n - i);
}

static void f16_to_f32_row(float *y, const uint16_t *x, size_t n)
{
    size_t i = 0;
    for (; i + V_ROWS <= n; i += V_ROWS)
        v_store(y + i, v_load_f16(x + i));
    ref_f16_to_f32(y + i, x + i, n - i);
}

/* ---- sums ----------------------------------------------------------------------------------- */

/* Sixteen running sums; how many vectors that is depends on the level. */
struct sums {
    vf v[V_PER_16];
};

static inline struct sums sums_zero(void)
{
    struct sums s;
    for (size_t i = 0; i < V_PER_16; i++)
        s.v[i] = v_set(0.0f);
    return s;
}

/* The last n < 16 products, one by one: the other lanes keep what they have, even a negative zero.
 */
static inline struct sums sums_dot_rest(struct sums s, const float *a, const float *b, size_t n)
{
    float lane[16];
    for (size_t i = 0; i < V_PER_16; i++)
        v_store(lane + V_ROWS * i, s.v[i]);
    for (size_t i = 0; i < n; i++)
        lane[i] = fmaf(a[i], b[i], lane[i]);
    for (size_t i = 0; i < V_PER_16; i++)
        s.v[i] = v_load(lane + V_ROWS * i);
    return s;
}

static float dot(const float *a, const float *b, size_t n)
{
    struct sums s = sums_zero();
    size_t i = 0;
    for (; i + 16 <= n; i += 16)
        for (size_t j = 0; j < V_PER_16; j++)
            s.v[j] = v_fma(v_load(a + i + V_ROWS * j), v_load(b + i + V_ROWS * j), s.v[j]);
    if (i < n)
        s = sums_dot_rest(s, a + i, b + i, n - i);
    return v_fold(s.v);
}

/* fma with 1 is an addition, to the last bit */
static float sum(const float *x, size_t n)
{
    static const float ones[16] = { 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1 };
    struct sums s = sums_zero();
    size_t i = 0;
    for (; i + 16 <= n; i += 16)
        for (size_t j = 0; j < V_PER_16; j++)
            s.v[j] = v_add(s.v[j], v_load(x + i + V_ROWS * j));
    if (i < n)
        s = sums_dot_rest(s, x + i, ones, n - i);
    return v_fold(s.v);
}

static void rmsnorm(float *y, const float *x, const float *w, size_t n, float eps)
{
    float inv = 1.0f / sqrtf(dot(x, x, n) / (float)n + eps);
    vf factor = v_set(inv);
    size_t i = 0;
    if (!w) {
        scale_to(y, x, inv, n);
        return;
    }
    for (; i + V_ROWS <= n; i += V_ROWS)
        v_store(y + i, v_mul(v_mul(v_load(x + i), factor), v_load(w + i)));
    for (; i < n; i++)
        y[i] = x[i] * inv * w[i];
}

static void layernorm(float *y, const float *x, const float *w, const float *b, size_t n, float eps)
{
    float mean = sum(x, n) / (float)n;
    vf centre = v_set(mean);
    struct sums s = sums_zero();
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        for (size_t j = 0; j < V_PER_16; j++) {
            vf c = v_sub(v_load(x + i + V_ROWS * j), centre);
            s.v[j] = v_fma(c, c, s.v[j]);
        }
    }
    float rest[16];
    for (size_t j = 0; j < n - i; j++)
        rest[j] = x[i + j] - mean;
    if (i < n)
        s = sums_dot_rest(s, rest, rest, n - i);

    float inv = 1.0f / sqrtf(v_fold(s.v) / (float)n + eps);
    vf factor = v_set(inv);
    for (i = 0; i + V_ROWS <= n; i += V_ROWS)
        v_store(y + i,
                v_fma(v_mul(v_sub(v_load(x + i), centre), factor), v_load(w + i), v_load(b + i)));
    for (; i < n; i++)
        y[i] = fmaf((x[i] - mean) * inv, w[i], b[i]);
}

static void l2norm(float *y, const float *x, size_t n, float eps)
{
    scale_to(y, x, 1.0f / sqrtf(dot(x, x, n) + eps), n);
}

static float max_of(const float *x, size_t n)
{
    vf max = v_set(-INFINITY);
    size_t i = 0;
    for (; i + V_ROWS <= n; i += V_ROWS)
        max = v_max(v_load(x + i), max);
    float m = v_max_of(max);
    for (; i < n; i++)
        m = x[i] > m ? x[i] : m;
    return m;
}

/* x = e^(x - max) */
static void exp_less(float *x, float max, size_t n)
{
    size_t i = 0;
    for (; i + V_ROWS <= n; i += V_ROWS)
        v_store(x + i, v_exp(v_sub(v_load(x + i), v_set(max))));
    for (; i < n; i++)
        x[i] = vm_exp(x[i] - max);
}

static void softmax(float *x, size_t n)
{
    exp_less(x, max_of(x, n), n);
    scale(x, 1.0f / sum(x, n), n);
}

/* ---- quantised activations ------------------------------------------------------------------ */

static inline void quantize_32(int8_t *q, float *d, int16_t *isum, const float *f)
{
    vf x[32 / V_ROWS], max = v_set(0.0f);
    for (size_t i = 0; i < 32 / V_ROWS; i++) {
        x[i] = v_load(f + V_ROWS * i);
        max = v_max(v_abs(x[i]), max);
    }
    float amax = v_max_of(max);
    bool tiny = amax < ACT_TINY;
    vf up = v_set(tiny ? 0.0f : 127.0f / amax);
    *d = tiny ? 0.0f : amax / 127.0f;

    for (size_t half = 0; half < 2; half++) {
        vi total = v_set32(0);
        for (size_t i = 0; i < V_PER_16; i++) {
            vf scaled = v_mul(x[V_PER_16 * half + i], up);
            scaled = v_min(v_max(scaled, v_set(-127.0f)), v_set(127.0f));
            vi n = v_sub32(v_bits(v_add(scaled, v_set(VM_ROUND))), v_bits(v_set(VM_ROUND)));
            v_store_i8(q + 16 * half + V_ROWS * i, n);
            total = v_add32(total, n);
        }
        isum[half] = (int16_t)v_sum32(total);
    }
}

static void act_quantize(struct act *x, size_t row0, size_t row1)
{
    for (size_t i = row0 * x->stride; i < row1 * x->stride; i += 32)
        quantize_32(x->q + i, x->d + i / 32, x->isum + i / 16, x->f + i);
}

static void scan_i8(int32_t *out, const int8_t *v, const int8_t *q, size_t dim, size_t n_vecs)
{
    for (size_t i = 0; i < n_vecs; i++, v += dim) {
        vi acc = v_set32(0);
        size_t j = 0;
        for (; j + 2 * V_ROWS <= dim; j += 2 * V_ROWS)
            acc = v_dot_i8(acc, v + j, q + j);
        int32_t total = v_sum32(acc);
        for (; j < dim; j++)
            total += v[j] * q[j];
        out[i] = total;
    }
}

/* ---- convolution ---------------------------------------------------------------------------- */

/* So many tokens ahead their channels are asked for. */
enum { CONV_AHEAD = 8 };

/* n_v vectors of channels through all tokens: a token's channels lie together, those of the next
 * one far away. Four weights a channel are transposed into four vectors. */
static inline __attribute__((always_inline)) void
conv4_channels(float *y, size_t y_stride, const float *x, size_t x_stride, float *state,
               const float *w, size_t n_ch, size_t n, size_t n_v)
{
    vf taps[4][4], s[3][4];
#pragma GCC unroll 4
    for (size_t i = 0; i < n_v; i++) {
        struct words four = words_at((const uint8_t *)(w + 4 * V_ROWS * i), 4 * sizeof(float));
#pragma GCC unroll 4
        for (size_t k = 0; k < 4; k++)
            taps[k][i] = v_from_bits(four.w[k]);
#pragma GCC unroll 3
        for (size_t k = 0; k < 3; k++)
            s[k][i] = v_load(state + k * n_ch + V_ROWS * i);
    }
    for (size_t t = 0; t < n; t++) {
        for (size_t i = 0; t + CONV_AHEAD < n && i < n_v * V_ROWS; i += 16) {
            __builtin_prefetch(x + (t + CONV_AHEAD) * x_stride + i);
            __builtin_prefetch(y + (t + CONV_AHEAD) * y_stride + i, 1);
        }
#pragma GCC unroll 4
        for (size_t i = 0; i < n_v; i++) {
            vf now = v_load(x + t * x_stride + V_ROWS * i);
            vf acc = v_fma(s[0][i], taps[0][i], v_set(0.0f));
            acc = v_fma(s[1][i], taps[1][i], acc);
            acc = v_fma(s[2][i], taps[2][i], acc);
            acc = v_fma(now, taps[3][i], acc);
            v_store(y + t * y_stride + V_ROWS * i, v_silu(acc, acc));
            s[0][i] = s[1][i];
            s[1][i] = s[2][i];
            s[2][i] = now;
        }
    }
#pragma GCC unroll 4
    for (size_t i = 0; i < n_v; i++)
#pragma GCC unroll 3
        for (size_t k = 0; k < 3; k++)
            v_store(state + k * n_ch + V_ROWS * i, s[k][i]);
}

static void conv4_silu(float *y, size_t y_stride, const float *x, size_t x_stride, float *state,
                       const float *w, size_t n_ch, size_t n, size_t c0, size_t c1)
{
    size_t c = c0;
    for (; c + 4 * V_ROWS <= c1; c += 4 * V_ROWS)
        conv4_channels(y + c, y_stride, x + c, x_stride, state + c, w + 4 * c, n_ch, n, 4);
    for (; c + V_ROWS <= c1; c += V_ROWS)
        conv4_channels(y + c, y_stride, x + c, x_stride, state + c, w + 4 * c, n_ch, n, 1);
    if (c < c1)
        ref_conv4_silu(y, y_stride, x, x_stride, state, w, n_ch, n, c, c1);
}
