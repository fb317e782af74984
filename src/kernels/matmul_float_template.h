/* kernels/matmul_float_template.h: F32, F16 and BF16 weights, for any vector width. Each result is
 * sixteen running sums (lanes16 of kernels.h); several results are computed side by side, so that a
 * loaded weight and a loaded activation are used more than once and the additions do not wait for
 * one another. */

enum {
    FLOAT_ROWS = V_PER_16 == 1 ? 4 : 2, /* weight rows by activation rows: as registers allow */
    FLOAT_COLS = V_PER_16 == 1 ? 4 : 2,
};

static inline __attribute__((always_inline)) size_t elem_bytes(enum qtype type)
{
    return type == QT_F32 ? 4 : 2;
}

static inline __attribute__((always_inline)) vf load_weights(enum qtype type, const uint8_t *p)
{
    return type == QT_F32   ? v_load((const float *)(const void *)p)
           : type == QT_F16 ? v_load_f16(p)
                            : v_load_bf16(p);
}

static inline __attribute__((always_inline)) void
float_tile(float *y, size_t ldy, enum qtype type, const uint8_t *w, size_t w_bytes, const float *x,
           size_t x_stride, size_t n, size_t n_r, size_t n_m)
{
    const size_t size = elem_bytes(type);
    struct sums acc[FLOAT_ROWS][FLOAT_COLS];
#pragma GCC unroll 4
    for (size_t r = 0; r < n_r; r++)
#pragma GCC unroll 4
        for (size_t m = 0; m < n_m; m++)
            acc[r][m] = sums_zero();

    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
#pragma GCC unroll 4
        for (size_t j = 0; j < V_PER_16; j++) {
            vf xs[FLOAT_COLS];
#pragma GCC unroll 4
            for (size_t m = 0; m < n_m; m++)
                xs[m] = v_load(x + m * x_stride + i + V_ROWS * j);
#pragma GCC unroll 4
            for (size_t r = 0; r < n_r; r++) {
                vf ws = load_weights(type, w + r * w_bytes + (i + V_ROWS * j) * size);
#pragma GCC unroll 4
                for (size_t m = 0; m < n_m; m++)
                    acc[r][m].v[j] = v_fma(ws, xs[m], acc[r][m].v[j]);
            }
        }
    }
    for (size_t r = 0; r < n_r; r++) {
        float rest[16];
        if (i < n) {
            uint8_t bytes[16 * 4] = { 0 };
            memcpy(bytes, w + r * w_bytes + i * size, (n - i) * size);
            for (size_t j = 0; j < V_PER_16; j++)
                v_store(rest + V_ROWS * j, load_weights(type, bytes + V_ROWS * j * size));
        }
        for (size_t m = 0; m < n_m; m++) {
            struct sums s = acc[r][m];
            if (i < n)
                s = sums_dot_rest(s, rest, x + m * x_stride + i, n - i);
            y[m * ldy + r] = v_fold(s.v);
        }
    }
}

static inline __attribute__((always_inline)) void
matmul_float(float *y, size_t ldy, const struct mat *w, const struct act *x, size_t row0,
             size_t row1, enum qtype type)
{
    for (size_t r = row0, n_r; r < row1; r += n_r) {
        n_r = row1 - r >= FLOAT_ROWS ? FLOAT_ROWS : 1;
        const uint8_t *p = (const uint8_t *)w->data + r * w->row_bytes;
        for (size_t m = 0, n_m; m < x->n_rows; m += n_m) {
            n_m = x->n_rows - m >= FLOAT_COLS ? FLOAT_COLS : 1;
            const float *f = x->f + m * x->stride;
            float *to = y + m * ldy + r;
            if (n_r > 1 && n_m > 1)
                float_tile(to, ldy, type, p, w->row_bytes, f, x->stride, w->n_cols, FLOAT_ROWS,
                           FLOAT_COLS);
            else if (n_r > 1)
                float_tile(to, ldy, type, p, w->row_bytes, f, x->stride, w->n_cols, FLOAT_ROWS, 1);
            else if (n_m > 1)
                float_tile(to, ldy, type, p, w->row_bytes, f, x->stride, w->n_cols, 1, FLOAT_COLS);
            else
                float_tile(to, ldy, type, p, w->row_bytes, f, x->stride, w->n_cols, 1, 1);
        }
    }
}

static void matmul_f32(float *restrict y, size_t ldy, const struct mat *w, const struct act *x,
                       size_t row0, size_t row1)
{
    matmul_float(y, ldy, w, x, row0, row1, QT_F32);
}

static void matmul_f16(float *restrict y, size_t ldy, const struct mat *w, const struct act *x,
                       size_t row0, size_t row1)
{
    matmul_float(y, ldy, w, x, row0, row1, QT_F16);
}

static void matmul_bf16(float *restrict y, size_t ldy, const struct mat *w, const struct act *x,
                        size_t row0, size_t row1)
{
    matmul_float(y, ldy, w, x, row0, row1, QT_BF16);
}
