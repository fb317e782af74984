/* Softmax attention over the cache.
 *
 * Storing goes by rows, reading by (span, query heads, query rows): a span of one row takes the
 * query heads of a key/value head together, so that its cache is read once; a span of many rows
 * takes one head and ATTN_TILE rows. Either way each query row is computed alone, in the kernel's
 * order. */
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

static void store_head(const struct model_run *r, const struct model_state *st, char *cache,
                       uint32_t pos, const float *head)
{
    size_t dh = r->m->shape.head_dim;
    if (st->kv_type == KV_F16)
        r->m->k->f32_to_f16((uint16_t *)(void *)cache + pos * dh, head, dh);
    else
        memcpy((float *)(void *)cache + pos * dh, head, dh * sizeof(float));
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
        for (size_t h = 0; h < s->n_heads; h++)
            place_head(j->r, b->q + i * q_width(s) + h * head_stride(s), j->l->q_norm, angles);
        for (size_t h = 0; h < s->n_kv_heads; h++) {
            float *k = b->k + i * kv_width(s) + h * s->head_dim;
            const float *v = b->v + i * kv_width(s) + h * s->head_dim;
            place_head(j->r, k, j->l->k_norm, angles);
            store_head(j->r, row->state, state_keys(row->state, j->layer, h), row->pos, k);
            store_head(j->r, row->state, state_values(row->state, j->layer, h), row->pos, v);
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

static size_t span_items(const struct attention_job *j, const struct row_span *sp)
{
    size_t n_heads = j->r->m->shape.n_heads;
    if (sp->n == 1)
        return n_heads / j->heads_together;
    return n_heads * ((sp->n + ATTN_TILE - 1) / ATTN_TILE);
}

static void gate_rows(const struct model_run *r, const struct attn_args *a)
{
    size_t dh = a->dh;
    for (size_t i = 0; i < a->n_q; i++) {
        float *out = a->out + i * a->out_stride;
        r->m->k->sigmoid_mul(out, a->q + i * a->q_stride + dh, out, dh);
    }
}

static void attend(const struct attention_job *j, const struct row_span *sp, size_t item)
{
    const struct model_run *r = j->r;
    const struct model_shape *s = &r->m->shape;
    bool one = sp->n == 1;
    size_t head = one ? item * j->heads_together : item % s->n_heads;
    size_t first = one ? 0 : item / s->n_heads * ATTN_TILE;
    size_t n_q = one ? j->heads_together : MIN((size_t)ATTN_TILE, sp->n - first);
    size_t kv_head = head / (s->n_heads / s->n_kv_heads);
    size_t row = sp->row0 + first;

    uint32_t n_visible[ATTN_TILE];
    for (size_t i = 0; i < n_q; i++)
        n_visible[i] = sp->pos0 + (uint32_t)(one ? 0 : first + i) + 1;

    struct attn_args a = {
        .type = sp->state->kv_type,
        .dh = s->head_dim,
        .n_q = n_q,
        .q = r->b.q + row * q_width(s) + head * head_stride(s),
        .q_stride = one ? head_stride(s) : q_width(s),
        .k = state_keys(sp->state, j->layer, kv_head),
        .v = state_values(sp->state, j->layer, kv_head),
        .n_visible = n_visible,
        .scale = (float)(1.0 / sqrt((double)s->head_dim)),
        .out = r->b.mix.f + row * r->b.mix.stride + head * s->head_dim,
        .out_stride = one ? s->head_dim : r->b.mix.stride,
    };
    r->m->k->attention(&a);
    if (s->attn_gate)
        gate_rows(r, &a);
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
        attend(j, sp, item - base);
    }
}

/* How many query heads of a one-row span to take at once: all that share keys and values, unless
 * that leaves threads without work. It divides the group, so that no item crosses into another
 * group. */
static size_t choose_together(const struct model_run *r)
{
    const struct model_shape *s = &r->m->shape;
    size_t group = s->n_heads / s->n_kv_heads;
    bool enough = r->n_spans * s->n_kv_heads >= 4 * pool_threads(r->m->pool);
    return enough && group <= ATTN_TILE ? group : 1;
}

void attention_read(struct model_run *r, uint32_t layer)
{
    const struct model_shape *s = &r->m->shape;
    act_shape(&r->b.mix, r->n_rows, (size_t)s->n_heads * s->head_dim);
    struct attention_job j = { .r = r, .layer = layer, .heads_together = choose_together(r) };
    size_t n_items = 0, work = 0;
    for (size_t i = 0; i < r->n_spans; i++) {
        n_items += span_items(&j, &r->b.spans[i]);
        work += r->b.spans[i].n * (r->b.spans[i].pos0 + r->b.spans[i].n);
    }
    for_rows(r, n_items, work * s->n_heads * s->head_dim / 4 / n_items, read_range, &j);
}
