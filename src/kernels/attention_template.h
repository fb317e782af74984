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
    ATTN_ROWS = 64, /* of images; prompts come in fewer */
    ATTN_DH_MAX = 256,
    ATTN_WIDE = 16,      /* positions widened together */
    ATTN_DH_NARROW = 96, /* up to here a tile of floats is 24 KB */
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

/* The same of two rows, for each of which a key is loaded once. */
static inline __attribute__((always_inline)) void
scores_of_two(float *p0, float *p1, const float *q0, const float *q1, const float *k, size_t dh,
              vf factor)
{
    enum { KEYS = V_PER_16 == 1 ? V_ROWS / 2 : V_ROWS / 4 };
    vf acc0[V_ROWS][V_PER_16], acc1[V_ROWS][V_PER_16];
#pragma GCC unroll 4
    for (size_t key0 = 0; key0 < V_ROWS; key0 += KEYS) {
        struct sums s0[KEYS], s1[KEYS];
#pragma GCC unroll 8
        for (size_t key = 0; key < KEYS; key++)
            s0[key] = s1[key] = sums_zero();
        for (size_t c = 0; c < dh; c += 16) {
#pragma GCC unroll 4
            for (size_t j = 0; j < V_PER_16; j++) {
                vf qs0 = v_load(q0 + c + V_ROWS * j), qs1 = v_load(q1 + c + V_ROWS * j);
#pragma GCC unroll 8
                for (size_t key = 0; key < KEYS; key++) {
                    vf ks = v_load(k + (key0 + key) * dh + c + V_ROWS * j);
                    s0[key].v[j] = v_fma(qs0, ks, s0[key].v[j]);
                    s1[key].v[j] = v_fma(qs1, ks, s1[key].v[j]);
                }
            }
        }
#pragma GCC unroll 8
        for (size_t i = 0; i < KEYS; i++) {
            size_t at = (key0 + i) % 4 * (V_ROWS / 4) + (key0 + i) / 4;
#pragma GCC unroll 4
            for (size_t j = 0; j < V_PER_16; j++) {
                acc0[at][j] = s0[i].v[j];
                acc1[at][j] = s1[i].v[j];
            }
        }
    }
    v_store(p0, v_mul(factor, v_fold_rows(acc0)));
    v_store(p1, v_mul(factor, v_fold_rows(acc1)));
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

static void attn_scores_of_two(float *p0, float *p1, const float *q0, const float *q1,
                               const float *k, size_t n, size_t dh, float factor)
{
    size_t j = 0;
    for (; j + V_ROWS <= n; j += V_ROWS)
        scores_of_two(p0 + j, p1 + j, q0, q1, k + j * dh, dh, v_set(factor));
    for (; j < n; j++) {
        p0[j] = factor * score_one(KV_F32, q0, k + j * dh, dh);
        p1[j] = factor * score_one(KV_F32, q1, k + j * dh, dh);
    }
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

/* The same for two rows, for each of which a value is loaded once. */
static inline __attribute__((always_inline)) void
attn_mix_two(float *o0, float *o1, float shrink0, float shrink1, const float *p0, const float *p1,
             const float *v, size_t n, size_t dh, size_t c, size_t n_v)
{
    vf acc0[8], acc1[8];
#pragma GCC unroll 8
    for (size_t i = 0; i < n_v; i++) {
        acc0[i] = v_mul(v_load(o0 + c + V_ROWS * i), v_set(shrink0));
        acc1[i] = v_mul(v_load(o1 + c + V_ROWS * i), v_set(shrink1));
    }
    for (size_t j = 0; j < n; j++) {
        vf weight0 = v_set(p0[j]), weight1 = v_set(p1[j]);
#pragma GCC unroll 8
        for (size_t i = 0; i < n_v; i++) {
            vf value = v_load(v + j * dh + c + V_ROWS * i);
            acc0[i] = v_fma(weight0, value, acc0[i]);
            acc1[i] = v_fma(weight1, value, acc1[i]);
        }
    }
#pragma GCC unroll 8
    for (size_t i = 0; i < n_v; i++) {
        v_store(o0 + c + V_ROWS * i, acc0[i]);
        v_store(o1 + c + V_ROWS * i, acc1[i]);
    }
}

static void attn_mix_all_two(float *o0, float *o1, float shrink0, float shrink1, const float *p0,
                             const float *p1, const float *v, size_t n, size_t dh)
{
    enum { WIDE = V_ROWS == 8 ? 4 : 8 }; /* sixteen registers, or thirty-two */
    size_t c = 0;
    for (; c + WIDE * V_ROWS <= dh; c += WIDE * V_ROWS)
        attn_mix_two(o0, o1, shrink0, shrink1, p0, p1, v, n, dh, c, WIDE);
    /* What is left in as few walks over the positions as it takes: each vector of the output is a
     * chain of additions that wait for one another, and a walk with few chains is mostly waiting.
     * Heads of 64 and 80 elements are four and five vectors of sixteen. */
    for (; WIDE == 8 && c + 5 * V_ROWS <= dh; c += 5 * V_ROWS)
        attn_mix_two(o0, o1, shrink0, shrink1, p0, p1, v, n, dh, c, 5);
    for (; WIDE == 8 && c + 4 * V_ROWS <= dh; c += 4 * V_ROWS)
        attn_mix_two(o0, o1, shrink0, shrink1, p0, p1, v, n, dh, c, 4);
    for (; c + 2 * V_ROWS <= dh; c += 2 * V_ROWS)
        attn_mix_two(o0, o1, shrink0, shrink1, p0, p1, v, n, dh, c, 2);
    for (; c < dh; c += V_ROWS)
        attn_mix_two(o0, o1, shrink0, shrink1, p0, p1, v, n, dh, c, 1);
}

/* Positions [pos, pos + n) of keys or values: as they are, or widened into 'wide'. */
static inline const void *attn_take(const struct attn_args *a, bool values, size_t pos, size_t n,
                                    bool widen, float *wide)
{
    const char *p = attn_rows(a, values, pos);
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

/* Keys, or values, [at, at + n) of a tile, as floats or halves, and the rows that see them. Rows go
 * in twos where both see the same number. */
struct attn_step {
    const struct attn_args *a;
    size_t row0, n_rows, at, n;
    struct attn_row *rows;
    const void *kv;
    bool halves;
};

static size_t attn_seen(const struct attn_step *s, size_t i)
{
    size_t n = s->rows[i].n;
    return n <= s->at ? 0 : attn_min(s->n, n - s->at);
}

static bool attn_pairs(const struct attn_step *s, size_t i)
{
    return !s->halves && i + 1 < s->n_rows && attn_seen(s, i) == attn_seen(s, i + 1);
}

static void attn_step_scores(const struct attn_step *s)
{
    const struct attn_args *a = s->a;
    for (size_t i = 0; i < s->n_rows; i++) {
        const float *q = a->q + (s->row0 + i) * a->q_stride;
        float *p = s->rows[i].p + s->at;
        size_t n = attn_seen(s, i);
        if (n == 0)
            continue;
        if (attn_pairs(s, i)) {
            i++;
            attn_scores_of_two(p, s->rows[i].p + s->at, q, q + a->q_stride, s->kv, n, a->dh,
                               a->scale);
        } else if (s->halves) {
            attn_scores(p, KV_F16, q, s->kv, n, a->dh, a->scale);
        } else {
            attn_scores(p, KV_F32, q, s->kv, n, a->dh, a->scale);
        }
    }
}

/* A multiplication by 1 changes no bit, so that only a tile's first positions shrink. */
static void attn_step_mix(const struct attn_step *s, float *o, size_t o_stride)
{
    size_t dh = s->a->dh;
    for (size_t i = 0; i < s->n_rows; i++) {
        const struct attn_row *r = &s->rows[i];
        float *out = o + i * o_stride, shrink = s->at ? 1.0f : r->shrink;
        size_t n = attn_seen(s, i);
        if (n == 0)
            continue;
        if (attn_pairs(s, i)) {
            i++;
            attn_mix_all_two(out, out + o_stride, shrink, s->at ? 1.0f : r[1].shrink, r->p + s->at,
                             r[1].p + s->at, s->kv, n, dh);
        } else if (s->halves) {
            attn_mix_all(out, shrink, r->p + s->at, KV_F16, s->kv, n, dh);
        } else {
            attn_mix_all(out, shrink, r->p + s->at, KV_F32, s->kv, n, dh);
        }
    }
}

static void attn_tile(const struct attn_args *a, size_t row0, size_t n_rows, size_t pos0, size_t n,
                      struct attn_row *rows, float *o, size_t o_stride)
{
    _Alignas(64) float wide[ATTN_WIDE * ATTN_DH_MAX];
    bool widen = a->type == KV_Q8 || (a->type == KV_F16 && n_rows >= ATTN_WIDEN_FROM);
    /* floats of narrow heads fit the nearest cache whole */
    bool few = widen || (a->type == KV_F32 && a->dh > ATTN_DH_NARROW);
    size_t step = few ? ATTN_WIDE : ATTN_TILE;
    struct attn_step s = {
        .a = a, .row0 = row0, .n_rows = n_rows, .rows = rows, .halves = a->type == KV_F16 && !widen
    };
    for (s.at = 0; s.at < n; s.at += step) {
        s.n = attn_min(step, n - s.at);
        s.kv = attn_take(a, false, pos0 + s.at, s.n, widen, wide);
        attn_step_scores(&s);
    }
    for (size_t i = 0; i < n_rows; i++)
        if (rows[i].n)
            attn_weigh(&rows[i]);
    for (s.at = 0; s.at < n; s.at += step) {
        s.n = attn_min(step, n - s.at);
        s.kv = attn_take(a, true, pos0 + s.at, s.n, widen, wide);
        attn_step_mix(&s, o, o_stride);
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
    _Alignas(64) float o[ATTN_ROWS * ATTN_DH_MAX];
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

/* What token t reads of q, k and v, whose rows lie far apart: a whole walk ahead of it. */
static inline void delta_ask(const struct deltanet_args *a, size_t t, size_t c, size_t n_v)
{
    for (size_t i = 0; i < a->dk; i += 16) {
        __builtin_prefetch(a->q + t * a->q_stride + i);
        __builtin_prefetch(a->k + t * a->k_stride + i);
    }
    for (size_t i = 0; i < n_v * V_ROWS; i += 16) {
        __builtin_prefetch(a->v + t * a->v_stride + c + i);
        __builtin_prefetch(a->out + t * a->o_stride + c + i, 1);
    }
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
    for (size_t t = 0; t + 1 < a->n; t++) {
        if (t + 2 < a->n)
            delta_ask(a, t + 2, c, n_v);
        delta_walk(a, type, t, c, n_v, true, m);
    }
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
