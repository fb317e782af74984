#include "model/ops.h"

#include <string.h>

#include "model/act.h"
#include "model/rope.h"

enum {
    MATMUL_GRAIN = 16, /* weight rows a thread takes at least */
    QUANT_GRAIN = 32,  /* the same where the results are quantised: whole sub-blocks */
    /* Elements whose element-wise work takes about as long as waking the other threads. */
    SERIAL_FLOATS = 8192,
};

void act_shape(struct act *x, size_t n_rows, size_t n_cols)
{
    x->n_rows = n_rows;
    x->n_cols = n_cols;
    x->stride = act_stride(n_cols);
    x->n_arranged = 0;
}

void for_rows(const struct model_run *r, size_t n, size_t row_floats, pool_fn fn, void *ctx)
{
    size_t grain = n * row_floats <= SERIAL_FLOATS ? n : 1;
    pool_for(r->m->pool, n, grain, fn, ctx);
}

bool any_integers(const struct mat *const *mats, size_t n)
{
    bool any = false;
    for (size_t i = 0; i < n; i++)
        any |= !qtype_traits(mats[i]->type)->is_float;
    return any;
}

static bool wants_integers(const struct mat *w)
{
    return any_integers(&w, 1);
}

/* ---- rows in, rows out ---- */

struct embed_job {
    struct model_run *r;
    const struct mat *embd;
};

static void embed_range(void *ctx, size_t row0, size_t row1, size_t thread_idx)
{
    (void)thread_idx;
    const struct embed_job *j = ctx;
    struct model_run *r = j->r;
    const struct mat *embd = j->embd;
    const struct model_shape *s = &r->m->shape;
    void (*dequant)(float *restrict, const void *restrict, size_t) =
        qtype_traits(embd->type)->dequant;
    for (size_t i = row0; i < row1; i++) {
        const struct row *row = &r->b.rows[i];
        float *x = r->b.x + i * s->d_model;
        if (row->embed)
            memcpy(x, row->embed, s->d_model * sizeof(*x));
        else
            dequant(x, (const char *)embd->data + (size_t)row->token * embd->row_bytes, s->d_model);
        if (s->rope_dims)
            rope_angles(r->b.rope + i * s->rope_dims, s, r->m->inv_freq, row->at);
    }
}

void embed_tokens(struct model_run *r, const struct mat *embd)
{
    struct embed_job j = { r, embd };
    for_rows(r, r->n_rows, r->m->shape.d_model, embed_range, &j);
}

struct norm_job {
    struct model_run *r;
    struct act *x;
    const float *w;
    bool integers;
};

static void norm_range(void *ctx, size_t row0, size_t row1, size_t thread_idx)
{
    (void)thread_idx;
    struct norm_job *j = ctx;
    const struct model_shape *s = &j->r->m->shape;
    const struct kernels *k = j->r->m->k;
    for (size_t i = row0; i < row1; i++)
        k->rmsnorm(j->x->f + i * j->x->stride, j->r->b.x + i * s->d_model, j->w, s->d_model,
                   s->norm_eps);
    if (j->integers)
        act_integers(j->r->m->k, j->x, row0, row1);
}

void norm_rows(struct model_run *r, const float *w, const struct projection *readers, size_t n)
{
    bool integers = false;
    for (size_t i = 0; i < n; i++)
        integers |= wants_integers(readers[i].w);
    act_shape(&r->b.in, r->n_rows, r->m->shape.d_model);
    if (integers)
        act_will_arrange(r->m->k, &r->b.in);
    struct norm_job j = { r, &r->b.in, w, integers };
    for_rows(r, r->n_rows, r->m->shape.d_model, norm_range, &j);
}

static void quantize_range(void *ctx, size_t row0, size_t row1, size_t thread_idx)
{
    (void)thread_idx;
    struct norm_job *j = ctx;
    act_integers(j->r->m->k, j->x, row0, row1);
}

void quantize_rows(struct model_run *r, struct act *x, const struct mat *reader)
{
    struct norm_job j = { r, x, NULL, true };
    if (!wants_integers(reader))
        return;
    act_will_arrange(r->m->k, x);
    for_rows(r, x->n_rows, x->n_cols, quantize_range, &j);
}

static void norm_outputs_range(void *ctx, size_t j0, size_t j1, size_t thread_idx)
{
    (void)thread_idx;
    struct norm_job *j = ctx;
    const struct model_shape *s = &j->r->m->shape;
    for (size_t i = j0; i < j1; i++) {
        const struct out_row *o = &j->r->b.outs[i];
        float *in = j->x->f + i * j->x->stride;
        j->r->m->k->rmsnorm(in, j->r->b.x + o->row * s->d_model, j->w, s->d_model, s->norm_eps);
        if (o->hidden)
            memcpy(o->hidden, in, s->d_model * sizeof(float));
    }
    if (j->integers)
        act_integers(j->r->m->k, j->x, j0, j1);
}

void norm_outputs(struct model_run *r, const float *w, const struct mat *head)
{
    act_shape(&r->b.in, r->n_outs, r->m->shape.d_model);
    struct norm_job j = { r, &r->b.in, w, wants_integers(head) };
    act_will_arrange(r->m->k, &r->b.in);
    for_rows(r, r->n_outs, r->m->shape.d_model, norm_outputs_range, &j);
    r->b.in.n_rows = r->n_logits; /* what the head reads: they come first */
    if (r->b.in.n_arranged)
        r->b.in.n_arranged = r->n_logits;
}

struct pair_job {
    struct model_run *r;
    const struct mtp *head;
    bool integers;
};

static void pair_range(void *ctx, size_t row0, size_t row1, size_t thread_idx)
{
    (void)thread_idx;
    const struct pair_job *j = ctx;
    const struct model_shape *s = &j->r->m->shape;
    const struct kernels *k = j->r->m->k;
    struct act *pair = &j->r->b.pair;
    size_t d = s->d_model;
    for (size_t i = row0; i < row1; i++) {
        float *out = pair->f + i * pair->stride;
        k->rmsnorm(out, j->r->b.x + i * d, j->head->embd_norm, d, s->norm_eps);
        k->rmsnorm(out + d, j->r->b.rows[i].hidden_in, j->head->hidden_norm, d, s->norm_eps);
        /* others wrote to this memory; the columns that pad a row must be zero */
        memset(out + 2 * d, 0, (pair->stride - 2 * d) * sizeof(*out));
    }
    if (j->integers)
        act_integers(k, pair, row0, row1);
}

void pair_rows(struct model_run *r, const struct mtp *head)
{
    size_t width = 2 * (size_t)r->m->shape.d_model;
    act_shape(&r->b.pair, r->n_rows, width);
    act_will_arrange(r->m->k, &r->b.pair);
    struct pair_job j = { r, head, wants_integers(&head->fc) };
    for_rows(r, r->n_rows, width, pair_range, &j);
}

/* ---- matrices ---- */

/* Rows [row0, row1) of w for every row of x, with the bias. */
static void matmul_range(const struct model_run *r, float *y, size_t ldy, const struct mat *w,
                         const struct act *x, const float *bias, size_t row0, size_t row1)
{
    r->m->k->matmul[w->type](y, ldy, w, x, row0, row1);
    for (size_t i = 0; bias && i < x->n_rows; i++)
        r->m->k->add(y + i * ldy + row0, bias + row0, row1 - row0);
}

struct project_job {
    struct model_run *r;
    const struct act *x;
    const struct projection *list;
    size_t n;
};

/* The list's matrices stand on top of each other: row0 and row1 count through all of them. */
static void project_range(void *ctx, size_t row0, size_t row1, size_t thread_idx)
{
    (void)thread_idx;
    struct project_job *j = ctx;
    size_t base = 0;
    for (size_t i = 0; i < j->n; i++) {
        const struct projection *p = &j->list[i];
        size_t from = MAX(row0, base), to = MIN(row1, base + p->w->n_rows);
        if (from < to)
            matmul_range(j->r, p->y, p->w->n_rows, p->w, j->x, p->bias, from - base, to - base);
        base += p->w->n_rows;
    }
}

void project(struct model_run *r, const struct act *x, const struct projection *list, size_t n)
{
    size_t n_rows = 0;
    for (size_t i = 0; i < n; i++) {
        n_rows += list[i].w->n_rows;
        observe(r, list[i].w, x);
    }
    struct project_job j = { r, x, list, n };
    pool_for(r->m->pool, n_rows, MATMUL_GRAIN, project_range, &j);
}

static void project_add_range(void *ctx, size_t row0, size_t row1, size_t thread_idx)
{
    (void)thread_idx;
    struct project_job *j = ctx;
    const struct projection *p = j->list;
    struct run_buffers *b = &j->r->b;
    size_t d = p->w->n_rows;
    matmul_range(j->r, p->y, d, p->w, j->x, p->bias, row0, row1);
    for (size_t i = 0; i < j->x->n_rows; i++)
        j->r->m->k->add(b->x + i * d + row0, p->y + i * d + row0, row1 - row0);
}

void project_add(struct model_run *r, const struct mat *w, const struct act *x, const float *bias)
{
    struct projection p = { w, r->b.y, bias };
    struct project_job j = { r, x, &p, 1 };
    observe(r, w, x);
    pool_for(r->m->pool, w->n_rows, MATMUL_GRAIN, project_add_range, &j);
}

struct gated_job {
    struct model_run *r;
    const struct mat *gate, *up;
    bool integers;
};

/* n rows of w from row 'at', for every row of x, into a tile whose rows are n long. */
static void matmul_tile(const struct model_run *r, float *tile, size_t n, const struct mat *w,
                        const struct act *x, size_t at)
{
    struct mat part = *w;
    part.data = (const char *)w->data + at * w->row_bytes;
    part.n_rows = n;
    r->m->k->matmul[w->type](tile, n, &part, x, 0, n);
}

/* Columns [c0, c0 + n) of a row of x as a row of their own. The columns that pad the last one go
 * with them. */
static struct act act_columns(const struct act *x, size_t row, size_t c0, size_t n)
{
    size_t at = row * x->stride + c0;
    return (struct act){ .n_rows = 1,
                         .n_cols = n,
                         .stride = act_stride(n),
                         .f = x->f + at,
                         .q = x->q + at,
                         .d = x->d + at / 32,
                         .isum = x->isum + at / 16 };
}

/* With many rows, a few columns of all of them at a time: so gate and up stay in the second cache
 * until they are multiplied. With few rows there is nothing to gain, and weights are better read in
 * long pieces. */
static size_t gated_columns(const struct model_run *r)
{
    return r->n_batch / r->n_rows * ROW_TILE;
}

static void gated_range(void *ctx, size_t row0, size_t row1, size_t thread_idx)
{
    struct gated_job *j = ctx;
    const struct model_run *r = j->r;
    const struct act *ff = &r->b.ff;
    size_t all = r->n_batch * ROW_TILE;
    float *gate = r->b.tile + 2 * all * thread_idx, *up = gate + all;
    for (size_t at = row0, n; at < row1; at += n) {
        n = MIN(gated_columns(r), row1 - at);
        matmul_tile(r, gate, n, j->gate, &r->b.in, at);
        matmul_tile(r, up, n, j->up, &r->b.in, at);
        for (size_t i = 0; i < ff->n_rows; i++) {
            struct act part = act_columns(ff, i, at, n);
            r->m->k->silu_mul(part.f, gate + i * n, up + i * n, n);
            if (j->integers)
                r->m->k->act_quantize(&part, 0, 1);
        }
    }
}

static void arrange_range(void *ctx, size_t row0, size_t row1, size_t thread_idx)
{
    (void)thread_idx;
    const struct gated_job *j = ctx;
    j->r->m->k->act_arrange(&j->r->b.ff, row0, row1);
}

void feed_forward_gated(struct model_run *r, const struct mat *gate, const struct mat *up,
                        const struct mat *reader)
{
    act_shape(&r->b.ff, r->n_rows, gate->n_rows);
    struct gated_job j = { r, gate, up, wants_integers(reader) };
    observe(r, gate, &r->b.in);
    observe(r, up, &r->b.in);
    pool_for(r->m->pool, gate->n_rows, QUANT_GRAIN, gated_range, &j);
    act_will_arrange(r->m->k, &r->b.ff); /* threads had columns of all rows until here */
    if (j.integers && r->b.ff.n_arranged)
        for_rows(r, r->n_rows, gate->n_rows, arrange_range, &j);
}

/* ---- logits ---- */

struct logits_job {
    struct model_run *r;
    const struct mat *head;
};

/* Results of different rows go to memory of different callers, so a tile is computed into memory of
 * the thread's own and copied. */
static void logits_range(void *ctx, size_t row0, size_t row1, size_t thread_idx)
{
    struct logits_job *j = ctx;
    struct model_run *r = j->r;
    float *tile = r->b.tile + thread_idx * 2 * r->n_batch * ROW_TILE;
    for (size_t at = row0, n; at < row1; at += n) {
        n = MIN((size_t)ROW_TILE, row1 - at);
        matmul_tile(r, tile, n, j->head, &r->b.in, at);
        for (size_t i = 0; i < r->n_logits; i++)
            memcpy(r->b.outs[i].logits + at, tile + i * n, n * sizeof(float));
    }
}

/* Single rows of the head, wherever they are. */
static void more_logits_range(void *ctx, size_t i0, size_t i1, size_t thread_idx)
{
    struct logits_job *j = ctx;
    struct model_run *r = j->r;
    float *tile = r->b.tile + thread_idx * 2 * r->n_batch * ROW_TILE;
    for (size_t i = i0; i < i1; i++) {
        matmul_tile(r, tile, 1, j->head, &r->b.in, (size_t)r->more_ids[i]);
        for (size_t k = 0; k < r->n_logits; k++)
            r->b.outs[k].logits[r->n_ids + i] = tile[k];
    }
}

void project_logits(struct model_run *r, const struct mat *head)
{
    struct logits_job j = { r, head };
    if (r->n_logits == 0)
        return;
    observe(r, head, &r->b.in);
    pool_for(r->m->pool, r->n_ids, ROW_TILE, logits_range, &j);
    if (r->n_more_ids)
        pool_for(r->m->pool, r->n_more_ids, ROW_TILE, more_logits_range, &j);
}
