/* One text through an encoder. Every token sees every other, the norm comes after each part and its
 * result is the residual stream, everything has a bias, and GELU is the exact one (erf). */
#include <math.h>
#include <string.h>

#include "base/status.h"
#include "model/act.h"
#include "model/ops.h"

struct bert_job {
    struct model_run *r;
    const struct layer *l;
    const float *norm_w, *norm_b;
    bool integers; /* for the matrix that reads 'in' */
};

static void row_of(float *out, const struct mat *table, size_t row)
{
    qtype_traits(table->type)
        ->dequant(out, (const char *)table->data + row * table->row_bytes, table->n_cols);
}

/* x = norm(x), in = x. */
static void norm_in_place(struct bert_job *j, size_t row)
{
    struct act *in = &j->r->b.in;
    size_t d = j->r->m->shape.d_model;
    float *x = j->r->b.x + row * d;
    j->r->m->k->layernorm(x, x, j->norm_w, j->norm_b, d, j->r->m->shape.norm_eps);
    memcpy(in->f + row * in->stride, x, d * sizeof(float));
}

static void norm_range(void *ctx, size_t row0, size_t row1, size_t thread_idx)
{
    (void)thread_idx;
    struct bert_job *j = ctx;
    for (size_t i = row0; i < row1; i++)
        norm_in_place(j, i);
    if (j->integers)
        act_integers(j->r->m->k, &j->r->b.in, row0, row1);
}

static void norm_rows_in_place(struct model_run *r, const float *w, const float *b, bool integers)
{
    struct bert_job j = { .r = r, .norm_w = w, .norm_b = b, .integers = integers };
    act_shape(&r->b.in, r->n_rows, r->m->shape.d_model);
    act_will_arrange(r->m->k, &r->b.in);
    for_rows(r, r->n_rows, r->m->shape.d_model, norm_range, &j);
}

/* x = token + position + type 0, before its norm. */
static void embed(struct model_run *r)
{
    const struct weights *w = &r->m->w;
    size_t d = r->m->shape.d_model;
    for (size_t i = 0; i < r->n_rows; i++) {
        float *x = r->b.x + i * d, *t = r->b.y + i * d;
        row_of(x, &w->embd, (size_t)r->b.rows[i].token);
        row_of(t, &w->type_embd, 0);
        r->m->k->add(x, t, d);
        row_of(t, &w->pos_embd, i);
        r->m->k->add(x, t, d);
    }
}

/* Keys and values of a head side by side, as the kernel reads them: [n_heads, n, head_dim]. */
static void gather_range(void *ctx, size_t head0, size_t head1, size_t thread_idx)
{
    (void)thread_idx;
    struct bert_job *j = ctx;
    struct run_buffers *b = &j->r->b;
    size_t dh = j->r->m->shape.head_dim, n = j->r->n_rows, width = kv_width(&j->r->m->shape);
    for (size_t h = head0; h < head1; h++) {
        for (size_t i = 0; i < n; i++) {
            memcpy(b->keys + (h * n + i) * dh, b->k + i * width + h * dh, dh * sizeof(float));
            memcpy(b->values + (h * n + i) * dh, b->v + i * width + h * dh, dh * sizeof(float));
        }
    }
}

/* An item is a head and ATTN_TILE query rows. */
static void attend_range(void *ctx, size_t item0, size_t item1, size_t thread_idx)
{
    (void)thread_idx;
    struct bert_job *j = ctx;
    const struct model_shape *s = &j->r->m->shape;
    struct run_buffers *b = &j->r->b;
    size_t dh = s->head_dim, n = j->r->n_rows, width = q_width(s);
    uint32_t n_visible[ATTN_TILE];
    for (size_t i = 0; i < ATTN_TILE; i++)
        n_visible[i] = (uint32_t)n;
    for (size_t item = item0; item < item1; item++) {
        size_t h = item % s->n_heads, row = item / s->n_heads * ATTN_TILE;
        struct attn_args a = {
            .type = KV_F32,
            .dh = dh,
            .n_q = MIN((size_t)ATTN_TILE, n - row),
            .q = b->q + row * width + h * dh,
            .q_stride = width,
            .k = b->keys + h * n * dh,
            .v = b->values + h * n * dh,
            .n_visible = n_visible,
            .scale = (float)(1.0 / sqrt((double)dh)),
            .out = b->mix.f + row * b->mix.stride + h * dh,
            .out_stride = b->mix.stride,
        };
        j->r->m->k->attention(&a);
    }
}

static void attend(struct model_run *r)
{
    const struct model_shape *s = &r->m->shape;
    struct bert_job j = { .r = r };
    size_t tiles = (r->n_rows + ATTN_TILE - 1) / ATTN_TILE;
    act_shape(&r->b.mix, r->n_rows, (size_t)s->n_heads * s->head_dim);
    for_rows(r, s->n_heads, r->n_rows * s->head_dim * 2, gather_range, &j);
    pool_for(r->m->pool, tiles * s->n_heads, 1, attend_range, &j);
}

static void gelu_range(void *ctx, size_t row0, size_t row1, size_t thread_idx)
{
    (void)thread_idx;
    struct bert_job *j = ctx;
    struct act *ff = &j->r->b.ff;
    size_t n_ff = ff->n_cols;
    for (size_t i = row0; i < row1; i++)
        j->r->m->k->gelu_erf(ff->f + i * ff->stride, j->r->b.up + i * n_ff, n_ff);
}

static void feed_forward(struct model_run *r, const struct layer *l)
{
    const struct projection up = { &l->ffn_up, r->b.up, l->up_bias };
    struct bert_job j = { .r = r };
    project(r, &r->b.in, &up, 1); /* up [n, n_ff] */
    act_shape(&r->b.ff, r->n_rows, r->m->shape.n_ff);
    for_rows(r, r->n_rows, r->m->shape.n_ff, gelu_range, &j); /* ff = gelu(up) */
    quantize_rows(r, &r->b.ff, &l->ffn_down);
    project_add(r, &l->ffn_down, &r->b.ff, l->down_bias);
}

static void attention(struct model_run *r, const struct layer *l)
{
    const struct projection qkv[] = {
        { &l->attn_q, r->b.q, l->q_bias },
        { &l->attn_k, r->b.k, l->k_bias },
        { &l->attn_v, r->b.v, l->v_bias },
    };
    project(r, &r->b.in, qkv, ARRAY_LEN(qkv)); /* q, k, v [n, heads * dim] */
    attend(r);                                 /* mix [n, heads * dim]     */
    quantize_rows(r, &r->b.mix, &l->attn_out);
    project_add(r, &l->attn_out, &r->b.mix, l->out_bias);
}

/* Whether attention, or the feed-forward part, of a layer reads integers. */
static bool attention_integers(const struct layer *l)
{
    return any_integers((const struct mat *const[]){ &l->attn_q, &l->attn_k, &l->attn_v }, 3);
}

static bool feed_forward_integers(const struct layer *l)
{
    return any_integers((const struct mat *const[]){ &l->ffn_up }, 1);
}

static void encode(struct model_run *r)
{
    const struct weights *w = &r->m->w;
    uint32_t n_layers = r->m->shape.n_layers;
    embed(r);
    norm_rows_in_place(r, w->embd_norm_w, w->embd_norm_b, attention_integers(&w->layers[0]));
    for (uint32_t i = 0; i < n_layers; i++) {
        const struct layer *l = &w->layers[i], *next = &w->layers[MIN(i + 1, n_layers - 1)];
        attention(r, l); /* x += attention(in) */
        norm_rows_in_place(r, l->attn_norm_w, l->attn_norm_b,
                           feed_forward_integers(l)); /* in = x = norm(x) */
        feed_forward(r, l);                           /* x += feed-forward(in) */
        norm_rows_in_place(r, l->ffn_norm_w, l->ffn_norm_b, attention_integers(next));
    }
}

enum kt_status model_encode(struct model_run *r, const int32_t *tokens, size_t n_tokens,
                            float *hidden, struct kt_error *err)
{
    const struct model_shape *s = &r->m->shape;
    if (s->arch != ARCH_BERT)
        return kt_fail(err, KT_E_UNSUPPORTED, "%s is not an encoder", arch_name(s->arch));
    if (n_tokens == 0 || n_tokens > r->n_batch || n_tokens > s->n_ctx_train)
        return kt_fail(err, KT_E_LIMIT, "a text of %zu tokens, expected 1 to %zu", n_tokens,
                       MIN(r->n_batch, (size_t)s->n_ctx_train));
    for (size_t i = 0; i < n_tokens; i++) {
        if (tokens[i] < 0 || (uint32_t)tokens[i] >= s->n_vocab)
            return kt_fail(err, KT_E_USAGE, "token %zu is %d, expected 0 to %u", i, tokens[i],
                           s->n_vocab - 1);
        r->b.rows[i] = (struct row){ .pos = (uint32_t)i, .token = tokens[i] };
    }
    r->n_rows = n_tokens;
    encode(r);
    memcpy(hidden, r->b.x, n_tokens * s->d_model * sizeof(float));
    return KT_OK;
}
