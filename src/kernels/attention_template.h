/* kernels/attention_template.h: attention and the gated delta rule, for any vector width.
 *
 * Attention goes tile by tile (64 positions) and, inside a tile, through up to ATTN_ROWS query
 * rows: so a tile of keys, then of values, stays in the cache for all of them, and half-precision
 * ones are widened once when there are several rows. A row's running maximum and sum are kept
 * beside; its output is the running sum itself. Heads of odd or huge size go to ref. */

enum {
    ATTN_TILE = 64,
    ATTN_ROWS = 32,
    ATTN_DH_MAX = 256,
    ATTN_WIDEN_FROM = 3, /* rows from which widening a tile first is cheaper */
};

struct attn_row {
    float m, l;
    float shrink;
    size_t n; /* positions of this tile it sees */
    float p[ATTN_TILE];
};

static inline __attribute__((always_inline)) vf kv_load(enum kv_type type, const void *p, size_t i)
{
    return type == KV_F16 ? v_load_f16((const uint16_t *)p + i) : v_load((const float *)p + i);
}

/* V_ROWS scores. Half of them at a time: eight chains of additions, and few registers. */
static inline __attribute__((always_inline)) vf scores(enum kv_type type, const float *q,
                                                       const void *k, size_t dh)
{
    vf acc[V_ROWS][V_PER_16];
#pragma GCC unroll 2
    for (size_t key0 = 0; key0 < V_ROWS; key0 += V_ROWS / 2) {
        struct sums s[V_ROWS / 2];
#pragma GCC unroll 8
        for (size_t key = 0; key < V_ROWS / 2; key++)
            s[key] = sums_zero();
        for (size_t c = 0; c < dh; c += 16) {
#pragma GCC unroll 4
            for (size_t j = 0; j < V_PER_16; j++) {
                vf qs = v_load(q + c + V_ROWS * j);
#pragma GCC unroll 8
                for (size_t key = 0; key < V_ROWS / 2; key++)
                    s[key].v[j] = v_fma(qs, kv_load(type, k, (key0 + key) * dh + c + V_ROWS * j),
                                        s[key].v[j]);
            }
        }
#pragma GCC unroll 8
        for (size_t i = 0; i < V_ROWS / 2; i++) /* where v_fold_rows expects it */
#pragma GCC unroll 4
            for (size_t j = 0; j < V_PER_16; j++)
                acc[(key0 + i) % 4 * (V_ROWS / 4) + (key0 + i) / 4][j] = s[i].v[j];
    }
    return v_fold_rows(acc);
}

static inline __attribute__((always_inline)) float score_one(enum kv_type type, const float *q,
                                                             const void *k, size_t dh)
{
    struct sums s = sums_zero();
    for (size_t c = 0; c < dh; c += 16)
        for (size_t j = 0; j < V_PER_16; j++)
            s.v[j] = v_fma(v_load(q + c + V_ROWS * j), kv_load(type, k, c + V_ROWS * j), s.v[j]);
    return v_fold(s.v);
}

static inline size_t kv_bytes(enum kv_type type)
{
    return type == KV_F16 ? 2 : 4;
}

/* Scores of one row against the tile's keys, its new maximum, and its weights p. */
static inline __attribute__((always_inline)) void attn_weigh(struct attn_row *r, enum kv_type type,
                                                             const float *q, const void *k,
                                                             size_t dh, float factor)
{
    size_t j = 0;
    for (; j + V_ROWS <= r->n; j += V_ROWS)
        v_store(r->p + j, v_mul(v_set(factor),
                                scores(type, q, (const char *)k + j * dh * kv_bytes(type), dh)));
    for (; j < r->n; j++)
        r->p[j] = factor * score_one(type, q, (const char *)k + j * dh * kv_bytes(type), dh);

    float tile_max = max_of(r->p, r->n), m = tile_max > r->m ? tile_max : r->m;
    r->shrink = vm_exp(r->m - m);
    r->m = m;
    exp_less(r->p, m, r->n);
    r->l = r->l * r->shrink + sum(r->p, r->n);
}

/* n_v vectors of the output, all positions of the tile in turn */
static inline __attribute__((always_inline)) void attn_mix(float *o, const struct attn_row *r,
                                                           enum kv_type type, const void *v,
                                                           size_t dh, size_t c, size_t n_v)
{
    vf acc[8];
#pragma GCC unroll 8
    for (size_t i = 0; i < n_v; i++)
        acc[i] = v_mul(v_load(o + c + V_ROWS * i), v_set(r->shrink));
    for (size_t j = 0; j < r->n; j++) {
        vf p = v_set(r->p[j]);
#pragma GCC unroll 8
        for (size_t i = 0; i < n_v; i++)
            acc[i] = v_fma(p, kv_load(type, v, j * dh + c + V_ROWS * i), acc[i]);
    }
#pragma GCC unroll 8
    for (size_t i = 0; i < n_v; i++)
        v_store(o + c + V_ROWS * i, acc[i]);
}

static inline __attribute__((always_inline)) void
attn_mix_all(float *o, const struct attn_row *r, enum kv_type type, const void *v, size_t dh)
{
    size_t c = 0;
    for (; c + 8 * V_ROWS <= dh; c += 8 * V_ROWS)
        attn_mix(o, r, type, v, dh, c, 8);
    for (; c + 4 * V_ROWS <= dh; c += 4 * V_ROWS)
        attn_mix(o, r, type, v, dh, c, 4);
    for (; c < dh; c += V_ROWS)
        attn_mix(o, r, type, v, dh, c, 1);
}

/* The tile's first n positions of keys or values: as they are, or widened into 'wide'. */
static inline const void *attn_tile(enum kv_type *type, const struct attn_args *a, const void *p,
                                    size_t pos0, size_t n, size_t n_rows, float *wide)
{
    p = (const char *)p + pos0 * a->dh * kv_bytes(a->type);
    *type = a->type;
    if (a->type == KV_F32 || n_rows < ATTN_WIDEN_FROM)
        return p;
    f16_to_f32_row(wide, p, n * a->dh);
    *type = KV_F32;
    return wide;
}

static void attend_rows(const struct attn_args *a, size_t row0, size_t n_rows)
{
    struct attn_row rows[ATTN_ROWS];
    float wide[ATTN_TILE * ATTN_DH_MAX];
    size_t n_max = 0;
    for (size_t i = 0; i < n_rows; i++) {
        rows[i] = (struct attn_row){ .m = -INFINITY };
        n_max = a->n_visible[row0 + i] > n_max ? a->n_visible[row0 + i] : n_max;
        memset(a->out + (row0 + i) * a->out_stride, 0, a->dh * sizeof(float));
    }

    for (size_t pos0 = 0; pos0 < n_max; pos0 += ATTN_TILE) {
        size_t n = n_max - pos0 < ATTN_TILE ? n_max - pos0 : ATTN_TILE;
        enum kv_type type;
        const void *k = attn_tile(&type, a, a->k, pos0, n, n_rows, wide);
        for (size_t i = 0; i < n_rows; i++) {
            size_t visible = a->n_visible[row0 + i];
            rows[i].n = visible <= pos0 ? 0 : visible - pos0 < n ? visible - pos0 : n;
            const float *q = a->q + (row0 + i) * a->q_stride;
            if (rows[i].n && type == KV_F16)
                attn_weigh(&rows[i], KV_F16, q, k, a->dh, a->scale);
            else if (rows[i].n)
                attn_weigh(&rows[i], KV_F32, q, k, a->dh, a->scale);
        }
        const void *v = attn_tile(&type, a, a->v, pos0, n, n_rows, wide);
        for (size_t i = 0; i < n_rows; i++) {
            float *o = a->out + (row0 + i) * a->out_stride;
            if (rows[i].n && type == KV_F16)
                attn_mix_all(o, &rows[i], KV_F16, v, a->dh);
            else if (rows[i].n)
                attn_mix_all(o, &rows[i], KV_F32, v, a->dh);
        }
    }
    for (size_t i = 0; i < n_rows; i++) {
        float *o = a->out + (row0 + i) * a->out_stride;
        for (size_t c = 0; c < a->dh; c += V_ROWS)
            v_store(o + c, v_div(v_load(o + c), v_set(rows[i].l)));
    }
}

static void attention(const struct attn_args *a)
{
    if (a->dh % 16 || a->dh > ATTN_DH_MAX) {
        ref_attention(a);
        return;
    }
    for (size_t row = 0; row < a->n_q; row += ATTN_ROWS)
        attend_rows(a, row, a->n_q - row < ATTN_ROWS ? a->n_q - row : ATTN_ROWS);
}

/* ---- the gated delta rule ------------------------------------------------------------------- */

/* One walk over n_v vectors of columns: finishes a token (new state and its output) and, unless it
 * is the last, gathers what the next one reads, m, so that the state is walked once a token and not
 * twice. */
static inline __attribute__((always_inline)) void
delta_walk(const struct deltanet_args *a, size_t t, size_t c, size_t n_v, bool has_next, vf *m)
{
    const float *q = a->q + t * a->q_stride, *k = a->k + t * a->k_stride;
    const float *k_next = has_next ? k + a->k_stride : NULL;
    vf decay = v_set(a->decay[t * a->gate_stride]), beta = v_set(a->beta[t * a->gate_stride]);
    vf decay_next = v_set(has_next ? a->decay[(t + 1) * a->gate_stride] : 0.0f);

    vf delta[8], o[8];
#pragma GCC unroll 8
    for (size_t i = 0; i < n_v; i++) {
        delta[i] = v_mul(beta, v_sub(v_load(a->v + t * a->v_stride + c + V_ROWS * i), m[i]));
        o[i] = m[i] = v_set(0.0f);
    }
    float *s = a->s + c;
    for (size_t row = 0; row < a->dk; row++, s += a->dv) {
        vf ki = v_set(k[row]), qi = v_set(q[row]), ki_next = v_set(has_next ? k_next[row] : 0.0f);
#pragma GCC unroll 8
        for (size_t i = 0; i < n_v; i++) {
            vf new = v_fma(ki, delta[i], v_mul(decay, v_load(s + V_ROWS * i)));
            v_store(s + V_ROWS * i, new);
            o[i] = v_fma(new, qi, o[i]);
            if (has_next)
                m[i] = v_fma(v_mul(decay_next, new), ki_next, m[i]);
        }
    }
#pragma GCC unroll 8
    for (size_t i = 0; i < n_v; i++)
        v_store(a->out + t * a->o_stride + c + V_ROWS * i, o[i]);
}

static inline __attribute__((always_inline)) void delta_columns(const struct deltanet_args *a,
                                                                size_t c, size_t n_v)
{
    vf m[8], decay = v_set(a->decay[0]);
#pragma GCC unroll 8
    for (size_t i = 0; i < n_v; i++)
        m[i] = v_set(0.0f);
    const float *s = a->s + c;
    for (size_t row = 0; row < a->dk; row++, s += a->dv) {
        vf ki = v_set(a->k[row]);
#pragma GCC unroll 8
        for (size_t i = 0; i < n_v; i++)
            m[i] = v_fma(v_mul(decay, v_load(s + V_ROWS * i)), ki, m[i]);
    }
    for (size_t t = 0; t + 1 < a->n; t++)
        delta_walk(a, t, c, n_v, true, m);
    delta_walk(a, a->n - 1, c, n_v, false, m);
}

static void deltanet(const struct deltanet_args *a)
{
    size_t c = a->col0;
    if (a->n == 0)
        return;
    for (; c + 4 * V_ROWS <= a->col1; c += 4 * V_ROWS)
        delta_columns(a, c, 4);
    for (; c + V_ROWS <= a->col1; c += V_ROWS)
        delta_columns(a, c, 1);
    if (c < a->col1) {
        struct deltanet_args rest = *a;
        rest.col0 = c;
        ref_deltanet(&rest);
    }
}
