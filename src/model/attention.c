/* Softmax attention over the cache.
 *
 * Storing goes by rows, reading by (span, query heads, query rows): a span of one row takes the
 * query heads of a key/value head together, so that its cache is read once; a span of many rows
 * takes one head and ATTN_TILE rows. A long cache that one row reads is shared among the threads in
 * splits, whose results are joined in order afterwards. Either way each query row is computed alone,
 * in the kernel's order. */
#include "model/attention.h"

#include <math.h>
#include <string.h>

#include "model/ops.h"
#include "model/rope.h"

struct attention_job {
    struct model_run *r;
    const struct layer *l;
    uint32_t layer;
    size_t heads_together; /* of a one-row span */
    bool may_split;        /* long one-row spans: a split of the cache is an item of its own */
};

static size_t head_stride(const struct model_shape *s)
{
    return s->head_dim * (s->attn_gate ? 2 : 1); /* the gate follows each head's query */
}

/* ---- storing ---- */

/* q and k are normed per head, before the rotation. */
static void place_head(const struct model_run *r, float *head, const float *norm,
                       const float *angles)
{
    const struct model_shape *s = &r->m->shape;
    if (norm)
        r->m->k->rmsnorm(head, head, norm, s->head_dim, s->norm_eps);
    rope_apply(head, s, angles);
}

/* Keys of 8 bits are kept turned by a Walsh-Hadamard matrix, and queries that meet them are turned
 * alike: their products stay, but what a few large elements of a key would take of the common scale
 * is spread over all. Plain additions in a fixed order; heads of 2^n elements only. */
static bool turns_keys(const struct model_state *st)
{
    size_t dh = st->m->shape.head_dim;
    return st->types.kv == KV_Q8 && (dh & (dh - 1)) == 0;
}

static void turn_head(float *x, size_t n)
{
    for (size_t half = 1; half < n; half *= 2) {
        for (size_t from = 0; from < n; from += 2 * half) {
            for (size_t i = from; i < from + half; i++) {
                float a = x[i], b = x[i + half];
                x[i] = a + b;
                x[i + half] = a - b;
            }
        }
    }
    float scale = (float)(1.0 / sqrt((double)n));
    for (size_t i = 0; i < n; i++)
        x[i] *= scale;
}

static void store_head(const struct model_run *r, const struct model_state *st, size_t at,
                       uint32_t pos, const float *head)
{
    size_t dh = r->m->shape.head_dim;
    enum kv_type type = st->types.kv;
    char *rows = st->page_rows[pos / ATTN_PAGE] + at;
    r->m->k->kv_store(type, rows + pos % ATTN_PAGE * kv_row_bytes(type, dh), head, dh);
}

static void store_range(void *ctx, size_t row0, size_t row1, size_t thread_idx)
{
    (void)thread_idx;
    struct attention_job *j = ctx;
    struct run_buffers *b = &j->r->b;
    const struct model_shape *s = &j->r->m->shape;
    for (size_t i = row0; i < row1; i++) {
        const struct row *row = &b->rows[i];
        const float *angles = b->rope + i * s->rope_dims;
        bool turned = turns_keys(row->state);
        for (size_t h = 0; h < s->n_heads; h++) {
            float *q = b->q + i * q_width(s) + h * head_stride(s);
            place_head(j->r, q, j->l->q_norm, angles);
            if (turned)
                turn_head(q, s->head_dim);
        }
        for (size_t h = 0; h < s->n_kv_heads; h++) {
            float *k = b->k + i * kv_width(s) + h * s->head_dim;
            const float *v = b->v + i * kv_width(s) + h * s->head_dim;
            place_head(j->r, k, j->l->k_norm, angles);
            if (turned)
                turn_head(k, s->head_dim);
            store_head(j->r, row->state, state_keys_at(row->state, j->layer, h), row->pos, k);
            store_head(j->r, row->state, state_values_at(row->state, j->layer, h), row->pos, v);
        }
    }
}

void attention_store(struct model_run *r, const struct layer *l, uint32_t layer)
{
    struct attention_job j = { .r = r, .l = l, .layer = layer };
    const struct model_shape *s = &r->m->shape;
    for_rows(r, r->n_rows, q_width(s) + 2 * kv_width(s), store_range, &j);
}

/* ---- reading ---- */

/* A span of one row whose cache is long enough to be shared out. */
static bool is_split(const struct attention_job *j, const struct row_span *sp)
{
    return j->may_split && sp->n == 1 && sp->pos0 >= ATTN_SPLIT;
}

static size_t n_splits(const struct row_span *sp)
{
    return sp->pos0 / ATTN_SPLIT + 1;
}

static size_t span_items(const struct attention_job *j, const struct row_span *sp)
{
    const struct model_shape *s = &j->r->m->shape;
    if (is_split(j, sp))
        return s->n_kv_heads * n_splits(sp);
    if (sp->n == 1)
        return s->n_heads / j->heads_together;
    return s->n_heads * ((sp->n + ATTN_TILE - 1) / ATTN_TILE);
}

static void gate_row(const struct model_run *r, float *out, const float *q)
{
    size_t dh = r->m->shape.head_dim;
    if (r->m->shape.attn_gate)
        r->m->k->sigmoid_mul(out, q + dh, out, dh);
}

/* Query rows [row, row + n_q), or query heads from 'head' on of one row. */
static struct attn_args args_of(const struct attention_job *j, const struct row_span *sp,
                                size_t row, size_t head, size_t n_q, const uint32_t *n_visible)
{
    const struct model_run *r = j->r;
    const struct model_shape *s = &r->m->shape;
    bool one = sp->n == 1;
    size_t kv_head = head / (s->n_heads / s->n_kv_heads);
    return (struct attn_args){
        .type = sp->state->types.kv,
        .dh = s->head_dim,
        .n_q = n_q,
        .q = r->b.q + row * q_width(s) + head * head_stride(s),
        .q_stride = one ? head_stride(s) : q_width(s),
        .pages = sp->state->page_rows,
        .k_at = state_keys_at(sp->state, j->layer, kv_head),
        .v_at = state_values_at(sp->state, j->layer, kv_head),
        .n_visible = n_visible,
        .scale = (float)(1.0 / sqrt((double)s->head_dim)),
        .out = r->b.mix.f + row * r->b.mix.stride + head * s->head_dim,
        .out_stride = one ? s->head_dim : r->b.mix.stride,
    };
}

static void attend(const struct attention_job *j, const struct row_span *sp, size_t item)
{
    const struct model_run *r = j->r;
    const struct model_shape *s = &r->m->shape;
    bool one = sp->n == 1;
    size_t head = one ? item * j->heads_together : item % s->n_heads;
    size_t first = one ? 0 : item / s->n_heads * ATTN_TILE;
    size_t n_q = one ? j->heads_together : MIN((size_t)ATTN_TILE, sp->n - first);

    uint32_t n_visible[ATTN_TILE];
    for (size_t i = 0; i < n_q; i++)
        n_visible[i] = sp->pos0 + (uint32_t)(one ? 0 : first + i) + 1;
    struct attn_args a = args_of(j, sp, sp->row0 + first, head, n_q, n_visible);
    r->m->k->attention(&a);
    for (size_t i = 0; i < n_q; i++)
        gate_row(r, a.out + i * a.out_stride, a.q + i * a.q_stride);
}

/* One split of the cache, for all query heads that read it. */
static void attend_part(const struct attention_job *j, const struct row_span *sp, size_t item)
{
    const struct model_shape *s = &j->r->m->shape;
    size_t group = s->n_heads / s->n_kv_heads, split = item / s->n_kv_heads;
    size_t head = item % s->n_kv_heads * group, part = attn_part_floats(s->head_dim);
    for (size_t i = 0; i < group; i += ATTN_TILE) {
        uint32_t n_visible[ATTN_TILE];
        size_t n_q = MIN((size_t)ATTN_TILE, group - i);
        for (size_t k = 0; k < n_q; k++)
            n_visible[k] = sp->pos0 + 1;
        struct attn_args a = args_of(j, sp, sp->row0, head + i, n_q, n_visible);
        a.out = state_parts(sp->state, head + i) + split * part;
        a.out_stride = (size_t)(state_parts(sp->state, 1) - state_parts(sp->state, 0));
        j->r->m->k->attention_part(&a, split);
    }
}

/* Items of all spans are numbered through. */
static void read_range(void *ctx, size_t item0, size_t item1, size_t thread_idx)
{
    (void)thread_idx;
    struct attention_job *j = ctx;
    const struct row_span *sp = j->r->b.spans;
    size_t base = 0;
    for (size_t item = item0; item < item1; item++) {
        while (item - base >= span_items(j, sp)) {
            base += span_items(j, sp);
            sp++;
        }
        if (is_split(j, sp))
            attend_part(j, sp, item - base);
        else
            attend(j, sp, item - base);
    }
}

/* Query heads of all spans, of which those in splits have parts to join. */
static void join_range(void *ctx, size_t item0, size_t item1, size_t thread_idx)
{
    (void)thread_idx;
    const struct attention_job *j = ctx;
    const struct model_run *r = j->r;
    const struct model_shape *s = &r->m->shape;
    for (size_t item = item0; item < item1; item++) {
        const struct row_span *sp = &r->b.spans[item / s->n_heads];
        if (!is_split(j, sp))
            continue;
        size_t head = item % s->n_heads, part = attn_part_floats(s->head_dim);
        float *out = r->b.mix.f + sp->row0 * r->b.mix.stride + head * s->head_dim;
        r->m->k->attention_join(out, state_parts(sp->state, head), part, n_splits(sp), s->head_dim);
        gate_row(r, out, r->b.q + sp->row0 * q_width(s) + head * head_stride(s));
    }
}

/* How many query heads of a one-row span to take at once: all that share keys and values, unless
 * that leaves threads without work. It divides the group, so that no item crosses into another
 * group. */
static size_t choose_together(const struct model_run *r)
{
    const struct model_shape *s = &r->m->shape;
    size_t group = s->n_heads / s->n_kv_heads, n_threads = pool_threads(r->m->pool);
    bool enough = n_threads == 1 || r->n_spans * s->n_kv_heads >= 4 * n_threads;
    return enough && group <= ATTN_TILE ? group : 1;
}

void attention_read(struct model_run *r, uint32_t layer)
{
    const struct model_shape *s = &r->m->shape;
    act_shape(&r->b.mix, r->n_rows, (size_t)s->n_heads * s->head_dim);
    struct attention_job j = { .r = r,
                               .layer = layer,
                               .heads_together = choose_together(r),
                               .may_split = pool_threads(r->m->pool) > 1 };
    size_t n_items = 0, n_split = 0, work = 0;
    for (size_t i = 0; i < r->n_spans; i++) {
        const struct row_span *sp = &r->b.spans[i];
        n_items += span_items(&j, sp);
        n_split += is_split(&j, sp);
        work += sp->n * (sp->pos0 + sp->n);
    }
    for_rows(r, n_items, work * s->n_heads * s->head_dim / 4 / n_items, read_range, &j);
    if (n_split)
        for_rows(r, r->n_spans * s->n_heads, s->head_dim * 8, join_range, &j);
}
