/* Gated DeltaNet: attention whose memory has a fixed size.
 *
 * Preparing goes by (span, head): a head's channels of the convolution, then its normalisation. The
 * recurrence goes by (span, value head, columns), because the columns of a state never meet. */
#include <math.h>
#include <string.h>

#include "kernels/ref/vmath.h"
#include "model/attention.h"
#include "model/ops.h"

static const float L2_EPS = 1e-6f;

struct linear_job {
    struct model_run *r;
    const struct layer *l;
    uint32_t layer;
    size_t split; /* column ranges a head's state is cut into */
};

/* ---- preparing ---- */

/* Channels [c0, c0 + n) of the convolution for one span. */
static void convolve(const struct linear_job *j, const struct row_span *sp, size_t c0, size_t n)
{
    const struct run_buffers *b = &j->r->b;
    size_t width = conv_width(&j->r->m->shape), at = sp->row0 * width;
    if (sp->tentative)
        tentative_keep_columns(sp->state, j->layer, b->u + at, sp->n, c0, n);
    j->r->m->k->conv4_silu(b->conv + at, width, b->u + at, width, state_conv(sp->state, j->layer),
                           j->l->conv, width, sp->n, c0, c0 + n);
}

/* A query or key head. 1/sqrt(dk) scales the query only, after the normalisation. */
static void prepare_qk(const struct linear_job *j, const struct row_span *sp, size_t head)
{
    const struct model_shape *s = &j->r->m->shape;
    const struct kernels *k = j->r->m->k;
    size_t dk = s->lin_k_dim;
    convolve(j, sp, head * dk, dk);
    for (size_t i = sp->row0; i < sp->row0 + sp->n; i++) {
        float *x = j->r->b.conv + i * conv_width(s) + head * dk;
        k->l2norm(x, x, dk, L2_EPS);
        if (head < s->lin_k_heads)
            k->scale(x, (float)(1.0 / sqrt((double)dk)), dk);
        else if (sp->tentative)
            tentative_keep_k(sp->state, j->layer, i - sp->row0, head - s->lin_k_heads, x);
    }
}

/* A value head and its two gates: decay = exp(-exp(A_log) softplus(a + dt_bias)), beta =
 * sigmoid(b). */
static void prepare_v(const struct linear_job *j, const struct row_span *sp, size_t head)
{
    const struct model_shape *s = &j->r->m->shape;
    size_t width = conv_width(s), c0 = 2 * lin_k_width(s) + head * s->lin_v_dim;
    const float *v = j->r->b.conv + sp->row0 * width + c0;
    convolve(j, sp, c0, s->lin_v_dim);
    for (size_t i = sp->row0; i < sp->row0 + sp->n; i++) {
        float *a = j->r->b.a + i * s->lin_v_heads + head,
              *b = j->r->b.b + i * s->lin_v_heads + head;
        *a = vm_exp(j->l->decay_rate[head] * vm_softplus(*a + j->l->dt_bias[head]));
        *b = vm_sigmoid(*b);
        if (sp->tentative)
            tentative_keep_v(sp->state, j->layer, i - sp->row0, head, v + (i - sp->row0) * width,
                             *a, *b);
    }
}

static void prepare_range(void *ctx, size_t item0, size_t item1, size_t thread_idx)
{
    (void)thread_idx;
    const struct linear_job *j = ctx;
    const struct model_shape *s = &j->r->m->shape;
    size_t n_qk = 2 * s->lin_k_heads, n_heads = n_qk + s->lin_v_heads;
    for (size_t item = item0; item < item1; item++) {
        const struct row_span *sp = &j->r->b.spans[item / n_heads];
        size_t head = item % n_heads;
        if (head < n_qk)
            prepare_qk(j, sp, head);
        else
            prepare_v(j, sp, head - n_qk);
    }
}

void linear_prepare(struct model_run *r, const struct layer *l, uint32_t layer)
{
    const struct model_shape *s = &r->m->shape;
    struct linear_job j = { .r = r, .l = l, .layer = layer };
    size_t n_items = r->n_spans * (2 * s->lin_k_heads + s->lin_v_heads);
    for_rows(r, n_items, r->n_rows * conv_width(s) / n_items, prepare_range, &j);
}

/* ---- recurrence ---- */

/* A tentative span walks on in a copy of its columns, which stand in it where they stood. */
static void walk_copy(struct deltanet_args *a, void *copy)
{
    size_t elem = a->type == STATE_BF16 ? sizeof(uint16_t) : sizeof(float);
    size_t n = (a->col1 - a->col0) * elem;
    for (size_t i = 0; i < a->dk; i++) {
        size_t at = (i * a->dv + a->col0) * elem;
        memcpy((char *)copy + at, (const char *)a->s + at, n);
    }
    a->s = copy;
}

static void recur(const struct linear_job *j, const struct row_span *sp, size_t head, size_t part,
                  float *scratch)
{
    const struct model_run *r = j->r;
    const struct model_shape *s = &r->m->shape;
    size_t width = conv_width(s), k_width = lin_k_width(s), row = sp->row0,
           cols = s->lin_v_dim / j->split;
    const float *conv = r->b.conv + row * width;
    size_t kh = lin_key_head(s, head);

    struct deltanet_args a = {
        .s = state_recurrent(sp->state, j->layer, head),
        .dk = s->lin_k_dim,
        .dv = s->lin_v_dim,
        .n = sp->n,
        .col0 = part * cols,
        .col1 = part * cols + cols,
        .q = conv + kh * s->lin_k_dim,
        .k = conv + k_width + kh * s->lin_k_dim,
        .v = conv + 2 * k_width + head * s->lin_v_dim,
        .decay = r->b.a + row * s->lin_v_heads + head,
        .beta = r->b.b + row * s->lin_v_heads + head,
        .q_stride = width,
        .k_stride = width,
        .v_stride = width,
        .gate_stride = s->lin_v_heads,
        .out = r->b.mix.f + row * r->b.mix.stride + head * s->lin_v_dim,
        .o_stride = r->b.mix.stride,
        .type = sp->state->types.recurrent,
        .pos = sp->pos0,
    };
    if (sp->state->tentative.n_pending)
        tentative_replay(sp->state, j->layer, head, a.s, a.col0, a.col1, scratch);
    if (sp->tentative)
        walk_copy(&a, scratch + s->lin_v_dim);
    r->m->k->deltanet(&a);
}

static void recur_range(void *ctx, size_t item0, size_t item1, size_t thread_idx)
{
    const struct linear_job *j = ctx;
    const struct model_shape *s = &j->r->m->shape;
    size_t n_heads = s->lin_v_heads;
    float *scratch = j->r->b.head_states + thread_idx * (s->lin_k_dim + 1) * (size_t)s->lin_v_dim;
    for (size_t item = item0; item < item1; item++) {
        size_t head_item = item / j->split;
        recur(j, &j->r->b.spans[head_item / n_heads], head_item % n_heads, item % j->split,
              scratch);
    }
}

/* Norm first, gate after; the norm's weights are shared by all heads. */
static void gated_norm_range(void *ctx, size_t row0, size_t row1, size_t thread_idx)
{
    (void)thread_idx;
    const struct linear_job *j = ctx;
    const struct model_shape *s = &j->r->m->shape;
    const struct kernels *k = j->r->m->k;
    struct act *mix = &j->r->b.mix;
    size_t dv = s->lin_v_dim;
    for (size_t i = row0; i < row1; i++) {
        float *o = mix->f + i * mix->stride;
        for (size_t h = 0; h < s->lin_v_heads; h++)
            k->rmsnorm(o + h * dv, o + h * dv, j->l->lin_norm, dv, s->norm_eps);
        k->silu_mul(o, j->r->b.z + i * lin_v_width(s), o, lin_v_width(s));
    }
}

/* Enough items for every thread, each of whole cache lines of the state. */
static size_t choose_split(const struct model_run *r)
{
    const struct model_shape *s = &r->m->shape;
    size_t split = 1, want = 4 * pool_threads(r->m->pool);
    while (r->n_spans * s->lin_v_heads * split < want && s->lin_v_dim % (split * 2 * 16) == 0)
        split *= 2;
    return split;
}

void linear_recur(struct model_run *r, const struct layer *l, uint32_t layer)
{
    const struct model_shape *s = &r->m->shape;
    act_shape(&r->b.mix, r->n_rows, lin_v_width(s));
    struct linear_job j = { .r = r, .l = l, .layer = layer, .split = choose_split(r) };
    pool_for(r->m->pool, r->n_spans * s->lin_v_heads * j.split, 1, recur_range, &j);
    for_rows(r, r->n_rows, 2 * lin_v_width(s), gated_norm_range, &j);
}
