/* kernels/attention_template.h: the rows of a cache, attention over it and the gated delta rule, for
 * any vector width.
 *
 * Attention goes split by split and tile by tile (64 positions) through up to ATTN_ROWS query rows,
 * so that a tile of keys, then of values, is read once for all of them. Where widening first is
 * cheaper, it is done for ATTN_WIDE positions at a time, which stay in the nearest cache. A row's
 * running maximum and sum are kept beside; its output is the running sum itself. Heads of odd or
 * huge size go to ref. */
#include "base/half.h"

enum {
    ATTN_TILE = 64,
    ATTN_ROWS = 32,
    ATTN_DH_MAX = 256,
    ATTN_WIDE = 16,      /* positions widened together */
    ATTN_WIDEN_FROM = 3, /* rows from which widening halves first is cheaper; integers always are */
};

/* ---- rows of the cache ---------------------------------------------------------------------- */

/* 32 numbers as integers; their scale. */
static inline uint16_t q8_block(int8_t *q, const float *x)
{
    vf max = v_set(0.0f);
    for (size_t i = 0; i < KV_Q8_BLOCK; i += V_ROWS)
        max = v_max(v_abs(v_load(x + i)), max);
    float wanted = v_max_of(max) / 127.0f;
    uint16_t scale = f32_to_f16(wanted < 65504.0f ? wanted : 65504.0f);
    vf up = v_set(scale ? 1.0f / f16_to_f32(scale) : 0.0f);
    for (size_t i = 0; i < KV_Q8_BLOCK; i += V_ROWS) {
        vf y = v_mul(v_load(x + i), up);
        y = v_min(v_max(y, v_set(-127.0f)), v_set(127.0f));
        v_store_i8(q + i, v_sub32(v_bits(v_add(y, v_set(VM_ROUND))), v_bits(v_set(VM_ROUND))));
    }
    return scale;
}

static void kv_store(enum kv_type type, void *row, const float *x, size_t dh)
{
    if (type != KV_Q8) {
        if (type == KV_F16)
            f32_to_f16_row(row, x, dh);
        else
            memcpy(row, x, dh * sizeof(float));
        return;
    }
    int8_t *to = row;
    for (size_t i = 0; i < dh; i += KV_Q8_BLOCK) {
        float last[KV_Q8_BLOCK] = { 0 };
        int8_t q[KV_Q8_BLOCK];
        size_t n = dh - i < KV_Q8_BLOCK ? dh - i : KV_Q8_BLOCK;
        if (n < KV_Q8_BLOCK)
            memcpy(last, x + i, n * sizeof(float));
        uint16_t scale = q8_block(q, n < KV_Q8_BLOCK ? last : x + i);
        memcpy(to + i, q, n);
        memcpy(to + dh + i / KV_Q8_BLOCK * 2, &scale, sizeof(scale));
    }
}

/* n rows of dh numbers; dh is a multiple of 16 */
static void q8_widen(float *y, const void *rows, size_t n, size_t dh)
{
    const int8_t *row = rows;
    for (size_t j = 0; j < n; j++, row += kv_row_bytes(KV_Q8, dh), y += dh) {
        for (size_t c = 0; c < dh; c += KV_Q8_BLOCK) {
            uint16_t half;
            memcpy(&half, row + dh + c / KV_Q8_BLOCK * 2, sizeof(half));
            vf scale = v_set_half(half);
            size_t end = dh - c < KV_Q8_BLOCK ? dh : c + KV_Q8_BLOCK;
            for (size_t i = c; i < end; i += V_ROWS)
                v_store(y + i, v_mul(v_load_i8(row + i), scale));
        }
    }
}

/* ---- attention ------------------------------------------------------------------------------ */

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

/* Scores of one row against n keys, which lie at 'k' as floats or halves. */
static inline __attribute__((always_inline)) void attn_scores(float *p, enum kv_type type,
                                                              const float *q, const void *k,
                                                              size_t n, size_t dh, float factor)
{
    size_t j = 0, row_bytes = dh * (type == KV_F16 ? 2 : 4);
    for (; j + V_ROWS <= n; j += V_ROWS)
        v_store(p + j, v_mul(v_set(factor), scores(type, q, (const char *)k + j * row_bytes, dh)));
    for (; j < n; j++)
        p[j] = factor * score_one(type, q, (const char *)k + j * row_bytes, dh);
}

/* The row's new maximum, and its scores become weights. */
static inline void attn_weigh(struct attn_row *r)
{
    float tile_max = max_of(r->p, r->n), m = tile_max > r->m ? tile_max : r->m;
    r->shrink = vm_exp(r->m - m);
    r->m = m;
    exp_less(r->p, m, r->n);
    r->l = r->l * r->shrink + sum(r->p, r->n);
}

/* n_v vectors of the output and n positions in turn */
static inline __attribute__((always_inline)) void
attn_mix(float *o, float shrink, const float *p, enum kv_type type, const void *v, size_t n,
         size_t dh, size_t c, size_t n_v)
{
    vf acc[8];
#pragma GCC unroll 8
    for (size_t i = 0; i < n_v; i++)
        acc[i] = v_mul(v_load(o + c + V_ROWS * i), v_set(shrink));
    for (size_t j = 0; j < n; j++) {
        vf weight = v_set(p[j]);
#pragma GCC unroll 8
        for (size_t i = 0; i < n_v; i++)
            acc[i] = v_fma(weight, kv_load(type, v, j * dh + c + V_ROWS * i), acc[i]);
    }
#pragma GCC unroll 8
    for (size_t i = 0; i < n_v; i++)
        v_store(o + c + V_ROWS * i, acc[i]);
}

static inline __attribute__((always_inline)) void attn_mix_all(float *o, float shrink,
                                                               const float *p, enum kv_type type,
                                                               const void *v, size_t n, size_t dh)
{
    size_t c = 0;
    for (; c + 8 * V_ROWS <= dh; c += 8 * V_ROWS)
        attn_mix(o, shrink, p, type, v, n, dh, c, 8);
    for (; c + 4 * V_ROWS <= dh; c += 4 * V_ROWS)
        attn_mix(o, shrink, p, type, v, n, dh, c, 4);
    for (; c < dh; c += V_ROWS)
        attn_mix(o, shrink, p, type, v, n, dh, c, 1);
}

/* Positions [pos, pos + n) of keys or values: as they are, or widened into 'wide'. */
static inline const void *attn_take(const struct attn_args *a, const void *cache, size_t pos,
                                    size_t n, bool widen, float *wide)
{
    const char *p = (const char *)cache + pos * kv_row_bytes(a->type, a->dh);
    if (!widen)
        return p;
    if (a->type == KV_Q8)
        q8_widen(wide, p, n, a->dh);
    else
        f16_to_f32_row(wide, (const uint16_t *)(const void *)p, n * a->dh);
    return wide;
}

static inline size_t attn_min(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* One tile. A multiplication by 1 changes no bit, so that only a tile's first positions shrink. */
static void attn_tile(const struct attn_args *a, size_t row0, size_t n_rows, size_t pos0, size_t n,
                      struct attn_row *rows, float *o, size_t o_stride)
{
    float wide[ATTN_WIDE * ATTN_DH_MAX];
    bool widen = a->type == KV_Q8 || (a->type == KV_F16 && n_rows >= ATTN_WIDEN_FROM);
    bool halves = a->type == KV_F16 && !widen;
    size_t step = widen ? ATTN_WIDE : ATTN_TILE;
    for (size_t at = 0; at < n; at += step) {
        size_t n_keys = attn_min(step, n - at);
        const void *k = attn_take(a, a->k, pos0 + at, n_keys, widen, wide);
        for (size_t i = 0; i < n_rows; i++) {
            struct attn_row *r = &rows[i];
            const float *q = a->q + (row0 + i) * a->q_stride;
            size_t seen = r->n <= at ? 0 : attn_min(n_keys, r->n - at);
            if (seen && halves)
                attn_scores(r->p + at, KV_F16, q, k, seen, a->dh, a->scale);
            else if (seen)
                attn_scores(r->p + at, KV_F32, q, k, seen, a->dh, a->scale);
        }
    }
    for (size_t i = 0; i < n_rows; i++)
        if (rows[i].n)
            attn_weigh(&rows[i]);
    for (size_t at = 0; at < n; at += step) {
        size_t n_values = attn_min(step, n - at);
        const void *v = attn_take(a, a->v, pos0 + at, n_values, widen, wide);
        for (size_t i = 0; i < n_rows; i++) {
            const struct attn_row *r = &rows[i];
            size_t seen = r->n <= at ? 0 : attn_min(n_values, r->n - at);
            float shrink = at ? 1.0f : r->shrink;
            if (seen && halves)
                attn_mix_all(o + i * o_stride, shrink, r->p + at, KV_F16, v, seen, a->dh);
            else if (seen)
                attn_mix_all(o + i * o_stride, shrink, r->p + at, KV_F32, v, seen, a->dh);
        }
    }
}

/* What n_rows rows make of the positions [pos0, pos1), which lie in one split. */
static void attn_split(const struct attn_args *a, size_t row0, size_t n_rows, size_t pos0,
                       size_t pos1, struct attn_row *rows, float *o, size_t o_stride)
{
    for (size_t i = 0; i < n_rows; i++) {
        rows[i] = (struct attn_row){ .m = -INFINITY };
        memset(o + i * o_stride, 0, a->dh * sizeof(float));
    }
    for (; pos0 < pos1; pos0 += ATTN_TILE) {
        size_t n = attn_min(ATTN_TILE, pos1 - pos0);
        for (size_t i = 0; i < n_rows; i++) {
            size_t visible = a->n_visible[row0 + i];
            rows[i].n = visible <= pos0 ? 0 : attn_min(visible - pos0, n);
        }
        attn_tile(a, row0, n_rows, pos0, n, rows, o, o_stride);
    }
}

struct attn_joined {
    float m, l;
};

static inline void attn_join(struct attn_joined *j, float *out, const float *o, float m_new,
                             float l_new, size_t dh)
{
    float m = m_new > j->m ? m_new : j->m;
    float c = vm_exp(j->m - m), d = vm_exp(m_new - m);
    j->m = m;
    j->l = j->l * c + l_new * d;
    for (size_t i = 0; i < dh; i += V_ROWS)
        v_store(out + i, v_add(v_mul(v_load(out + i), v_set(c)), v_mul(v_load(o + i), v_set(d))));
}

static inline void attn_divide(float *out, float l, size_t dh)
{
    for (size_t i = 0; i < dh; i += V_ROWS)
        v_store(out + i, v_div(v_load(out + i), v_set(l)));
}

static size_t attn_longest(const struct attn_args *a, size_t row0, size_t n_rows)
{
    size_t n = 0;
    for (size_t i = 0; i < n_rows; i++)
        n = a->n_visible[row0 + i] > n ? a->n_visible[row0 + i] : n;
    return n;
}

static void attend_rows(const struct attn_args *a, size_t row0, size_t n_rows)
{
    struct attn_row rows[ATTN_ROWS];
    struct attn_joined joined[ATTN_ROWS];
    float o[ATTN_ROWS * ATTN_DH_MAX];
    size_t n_max = attn_longest(a, row0, n_rows);
    for (size_t i = 0; i < n_rows; i++) {
        joined[i] = (struct attn_joined){ -INFINITY, 0.0f };
        memset(a->out + (row0 + i) * a->out_stride, 0, a->dh * sizeof(float));
    }
    for (size_t pos0 = 0; pos0 < n_max; pos0 += ATTN_SPLIT) {
        attn_split(a, row0, n_rows, pos0, attn_min(n_max, pos0 + ATTN_SPLIT), rows, o, a->dh);
        for (size_t i = 0; i < n_rows; i++)
            if (a->n_visible[row0 + i] > pos0)
                attn_join(&joined[i], a->out + (row0 + i) * a->out_stride, o + i * a->dh, rows[i].m,
                          rows[i].l, a->dh);
    }
    for (size_t i = 0; i < n_rows; i++)
        attn_divide(a->out + (row0 + i) * a->out_stride, joined[i].l, a->dh);
}

static bool attn_fits(size_t dh)
{
    return dh % 16 == 0 && dh <= ATTN_DH_MAX;
}

static void attention(const struct attn_args *a)
{
    if (!attn_fits(a->dh)) {
        ref_attention(a);
        return;
    }
    for (size_t row = 0; row < a->n_q; row += ATTN_ROWS)
        attend_rows(a, row, attn_min(ATTN_ROWS, a->n_q - row));
}

static void attention_part(const struct attn_args *a, size_t split)
{
    if (!attn_fits(a->dh)) {
        ref_attention_part(a, split);
        return;
    }
    struct attn_row rows[ATTN_ROWS];
    size_t pos0 = split * ATTN_SPLIT;
    for (size_t row = 0; row < a->n_q; row += ATTN_ROWS) {
        size_t n_rows = attn_min(ATTN_ROWS, a->n_q - row);
        size_t pos1 = attn_min(attn_longest(a, row, n_rows), pos0 + ATTN_SPLIT);
        float *out = a->out + row * a->out_stride;
        attn_split(a, row, n_rows, pos0, pos1, rows, out, a->out_stride);
        for (size_t i = 0; i < n_rows; i++) {
            out[i * a->out_stride + a->dh] = rows[i].m;
            out[i * a->out_stride + a->dh + 1] = rows[i].l;
        }
    }
}

static void attention_join(float *out, const float *parts, size_t stride, size_t n, size_t dh)
{
    if (!attn_fits(dh)) {
        ref_attention_join(out, parts, stride, n, dh);
        return;
    }
    struct attn_joined j = { -INFINITY, 0.0f };
    memset(out, 0, dh * sizeof(float));
    for (size_t i = 0; i < n; i++, parts += stride)
        attn_join(&j, out, parts, parts[dh], parts[dh + 1], dh);
    attn_divide(out, j.l, dh);
}

/* ---- the gated delta rule ------------------------------------------------------------------- */

static inline __attribute__((always_inline)) vf state_load(enum state_type type, const void *s,
                                                           size_t at)
{
    return type == STATE_BF16 ? v_load_bf16((const uint16_t *)s + at)
                              : v_load((const float *)s + at);
}

/* Stores x and gives back what was stored. 'dither': of the token, row and columns. */
static inline __attribute__((always_inline)) vf state_store(enum state_type type, void *s,
                                                            size_t at, vf x, vi dither)
{
    if (type == STATE_F32) {
        v_store((float *)s + at, x);
        return x;
    }
    vi bits = v_add32(v_bits(x), v_shr(dither, 16));
    v_store_upper16((uint16_t *)s + at, bits);
    return v_from_bits(v_and(bits, v_set32(0xFFFF0000u)));
}

/* V_ROWS columns from c on. */
static inline vi dither_columns(size_t c)
{
    static const uint32_t LANES[16] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 };
    return v_mul32(v_add32(v_load_int(LANES), v_set32((uint32_t)c)), v_set32(STATE_DITHER_COL));
}

/* One walk over n_v vectors of columns: finishes a token (new state and its output) and, unless it
 * is the last, gathers what the next one reads, m, so that the state is walked once a token and not
 * twice. */
static inline __attribute__((always_inline)) void
delta_walk(const struct deltanet_args *a, enum state_type type, size_t t, size_t c, size_t n_v,
           bool has_next, vf *m)
{
    const float *q = a->q + t * a->q_stride, *k = a->k + t * a->k_stride;
    const float *k_next = has_next ? k + a->k_stride : NULL;
    vf decay = v_set(a->decay[t * a->gate_stride]), beta = v_set(a->beta[t * a->gate_stride]);
    vf decay_next = v_set(has_next ? a->decay[(t + 1) * a->gate_stride] : 0.0f);
    uint32_t dither = (a->pos + (uint32_t)t) * STATE_DITHER_POS;

    vf delta[8], o[8];
    vi columns[8];
#pragma GCC unroll 8
    for (size_t i = 0; i < n_v; i++) {
        delta[i] = v_mul(beta, v_sub(v_load(a->v + t * a->v_stride + c + V_ROWS * i), m[i]));
        o[i] = m[i] = v_set(0.0f);
        columns[i] = type == STATE_BF16 ? dither_columns(c + V_ROWS * i) : v_set32(0);
    }
    size_t at = c;
    for (size_t row = 0; row < a->dk; row++, at += a->dv, dither += STATE_DITHER_ROW) {
        vf ki = v_set(k[row]), qi = v_set(q[row]), ki_next = v_set(has_next ? k_next[row] : 0.0f);
        vi dither_row = v_set32(dither);
#pragma GCC unroll 8
        for (size_t i = 0; i < n_v; i++) {
            vf old = v_mul(decay, state_load(type, a->s, at + V_ROWS * i));
            vf new = v_fma(ki, delta[i], old);
            o[i] = v_fma(new, qi, o[i]);
            new = state_store(type, a->s, at + V_ROWS * i, new, v_add32(columns[i], dither_row));
            if (has_next)
                m[i] = v_fma(v_mul(decay_next, new), ki_next, m[i]);
        }
    }
#pragma GCC unroll 8
    for (size_t i = 0; i < n_v; i++)
        v_store(a->out + t * a->o_stride + c + V_ROWS * i, o[i]);
}

static inline __attribute__((always_inline)) void
delta_columns(const struct deltanet_args *a, enum state_type type, size_t c, size_t n_v)
{
    vf m[8], decay = v_set(a->decay[0]);
#pragma GCC unroll 8
    for (size_t i = 0; i < n_v; i++)
        m[i] = v_set(0.0f);
    size_t at = c;
    for (size_t row = 0; row < a->dk; row++, at += a->dv) {
        vf ki = v_set(a->k[row]);
#pragma GCC unroll 8
        for (size_t i = 0; i < n_v; i++)
            m[i] = v_fma(v_mul(decay, state_load(type, a->s, at + V_ROWS * i)), ki, m[i]);
    }
    for (size_t t = 0; t + 1 < a->n; t++)
        delta_walk(a, type, t, c, n_v, true, m);
    delta_walk(a, type, a->n - 1, c, n_v, false, m);
}

static inline __attribute__((always_inline)) size_t delta_all(const struct deltanet_args *a,
                                                              enum state_type type)
{
    size_t c = a->col0;
    for (; c + 4 * V_ROWS <= a->col1; c += 4 * V_ROWS)
        delta_columns(a, type, c, 4);
    for (; c + V_ROWS <= a->col1; c += V_ROWS)
        delta_columns(a, type, c, 1);
    return c;
}

static void deltanet(const struct deltanet_args *a)
{
    if (a->n == 0)
        return;
    size_t c = a->type == STATE_BF16 ? delta_all(a, STATE_BF16) : delta_all(a, STATE_F32);
    if (c < a->col1) {
        struct deltanet_args rest = *a;
        rest.col0 = c;
        ref_deltanet(&rest);
    }
}
