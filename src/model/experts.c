#include "model/experts.h"

#include <string.h>

#include "kernels/ref/vmath.h"
#include "model/ops.h"

enum { ROW_BLOCK = 16 }; /* weight rows of one work item */

struct experts_job {
    struct model_run *r;
    const struct layer *l;
    size_t n_blocks;       /* blocks of weight rows per expert */
    bool floats, integers; /* what of expert_in is read */
};

/* ---- choosing ---- */

void experts_choose(struct choice *c, const float *probs, size_t n_experts, size_t n_used)
{
    size_t n = 0;
    for (size_t e = 0; e < n_experts; e++) {
        if (n == n_used && !(probs[e] > c[n - 1].part))
            continue;
        size_t at = n < n_used ? n++ : n_used - 1;
        for (; at > 0 && probs[e] > c[at - 1].part; at--)
            c[at] = c[at - 1];
        c[at] = (struct choice){ .expert = (uint32_t)e, .part = probs[e] };
    }
    float sum = 0.0f;
    for (size_t i = 0; i < n_used; i++)
        sum += c[i].part;
    for (size_t i = 0; i < n_used; i++)
        c[i].part /= sum;
}

static void choose_range(void *ctx, size_t row0, size_t row1, size_t thread_idx)
{
    (void)thread_idx;
    const struct experts_job *j = ctx;
    struct run_buffers *b = &j->r->b;
    const struct model_shape *s = &j->r->m->shape;
    const struct kernels *k = j->r->m->k;
    for (size_t i = row0; i < row1; i++) {
        float *probs = b->probs + i * s->n_experts;
        k->softmax(probs, s->n_experts);
        experts_choose(b->choices + i * s->n_experts_used, probs, s->n_experts, s->n_experts_used);
        b->shared_part[i] =
            vm_sigmoid(k->dot_f32(b->in.f + i * b->in.stride, j->l->shared_gate, s->d_model));
    }
}

/* Places by expert, and within one by row. */
static void assign_places(struct model_run *r)
{
    struct run_buffers *b = &r->b;
    const struct model_shape *s = &r->m->shape;
    size_t n_choices = r->n_rows * s->n_experts_used;
    memset(b->next_place, 0, s->n_experts * sizeof(*b->next_place));
    for (size_t i = 0; i < n_choices; i++)
        b->next_place[b->choices[i].expert]++;

    uint32_t first = 0;
    r->n_crowds = 0;
    for (uint32_t e = 0; e < s->n_experts; e++) {
        uint32_t n = b->next_place[e];
        if (n)
            b->crowds[r->n_crowds++] = (struct crowd){ .expert = e, .first = first, .n = n };
        b->next_place[e] = first;
        first += n;
    }
    for (size_t i = 0; i < n_choices; i++)
        b->choices[i].place = b->next_place[b->choices[i].expert]++;
}

void experts_route(struct model_run *r, const struct layer *l)
{
    const struct model_shape *s = &r->m->shape;
    struct experts_job j = { .r = r, .l = l };
    for_rows(r, r->n_rows, 2 * s->n_experts + s->d_model, choose_range, &j);
    assign_places(r);
}

/* ---- computing ---- */

/* The rows of a crowd, as if they were all. */
static struct act crowd_rows(const struct act *x, const struct crowd *c)
{
    struct act part = *x;
    part.n_rows = c->n;
    part.n_arranged = 0;
    part.f += c->first * x->stride;
    part.q += c->first * x->stride;
    part.d += c->first * (x->stride / 32);
    part.isum += c->first * (x->stride / 16);
    return part;
}

/* Whole strides: the columns that pad a row must be zero here too. */
static void gather_row(const struct experts_job *j, size_t row, size_t place)
{
    const struct act *from = &j->r->b.in;
    struct act *to = &j->r->b.expert_in;
    size_t n = from->stride;
    if (j->floats)
        memcpy(to->f + place * n, from->f + row * n, n * sizeof(*to->f));
    if (!j->integers)
        return;
    memcpy(to->q + place * n, from->q + row * n, n * sizeof(*to->q));
    memcpy(to->d + place * (n / 32), from->d + row * (n / 32), n / 32 * sizeof(*to->d));
    memcpy(to->isum + place * (n / 16), from->isum + row * (n / 16), n / 16 * sizeof(*to->isum));
}

static void gather_range(void *ctx, size_t row0, size_t row1, size_t thread_idx)
{
    (void)thread_idx;
    const struct experts_job *j = ctx;
    size_t n_used = j->r->m->shape.n_experts_used;
    for (size_t i = row0 * n_used; i < row1 * n_used; i++)
        gather_row(j, i / n_used, j->r->b.choices[i].place);
}

/* Weight rows [row0, row1) of one expert's gate and up, for its crowd. */
static void gate_crowd(const struct experts_job *j, const struct crowd *c, size_t row0, size_t row1)
{
    struct run_buffers *b = &j->r->b;
    const struct kernels *k = j->r->m->k;
    const struct mat *gate = &j->l->expert_gate[c->expert], *up = &j->l->expert_up[c->expert];
    const struct act x = crowd_rows(&b->expert_in, c);
    size_t m = gate->n_rows;
    float *g = b->expert_gate + c->first * m, *u = b->expert_up + c->first * m;
    k->matmul[gate->type](g, m, gate, &x, row0, row1);
    k->matmul[up->type](u, m, up, &x, row0, row1);
    for (size_t i = 0; i < c->n; i++)
        k->silu_mul(b->expert_ff.f + (c->first + i) * b->expert_ff.stride + row0, g + i * m + row0,
                    u + i * m + row0, row1 - row0);
}

static void down_crowd(const struct experts_job *j, const struct crowd *c, size_t row0, size_t row1)
{
    struct run_buffers *b = &j->r->b;
    const struct mat *down = &j->l->expert_down[c->expert];
    const struct act x = crowd_rows(&b->expert_ff, c);
    j->r->m->k->matmul[down->type](b->expert_out + c->first * down->n_rows, down->n_rows, down, &x,
                                   row0, row1);
}

/* Items are the blocks of weight rows of all crowds, numbered through: each is one expert's
 * [row0, row1). */
static void each_block(const struct experts_job *j, size_t item0, size_t item1, size_t n_rows,
                       void (*fn)(const struct experts_job *, const struct crowd *, size_t, size_t))
{
    while (item0 < item1) {
        size_t block = item0 % j->n_blocks, n = MIN(item1 - item0, j->n_blocks - block);
        fn(j, &j->r->b.crowds[item0 / j->n_blocks], block * ROW_BLOCK,
           MIN((block + n) * ROW_BLOCK, n_rows));
        item0 += n;
    }
}

static void gate_range(void *ctx, size_t item0, size_t item1, size_t thread_idx)
{
    (void)thread_idx;
    const struct experts_job *j = ctx;
    each_block(j, item0, item1, j->r->m->shape.n_ff_expert, gate_crowd);
}

static void down_range(void *ctx, size_t item0, size_t item1, size_t thread_idx)
{
    (void)thread_idx;
    const struct experts_job *j = ctx;
    each_block(j, item0, item1, j->r->m->shape.d_model, down_crowd);
}

static size_t n_blocks(size_t n_rows)
{
    return (n_rows + ROW_BLOCK - 1) / ROW_BLOCK;
}

/* One matrix of each expert is about to read its crowd's rows. */
static void observe_crowds(const struct model_run *r, const struct mat *list, const struct act *x)
{
    for (size_t i = 0; r->observer && i < r->n_crowds; i++) {
        const struct crowd *c = &r->b.crowds[i];
        const struct act rows = crowd_rows(x, c);
        observe(r, &list[c->expert], &rows);
    }
}

void experts_run(struct model_run *r, const struct layer *l)
{
    struct run_buffers *b = &r->b;
    const struct model_shape *s = &r->m->shape;
    size_t n_places = r->n_rows * s->n_experts_used;
    const struct mat *const readers[2] = { l->expert_gate, l->expert_up };
    struct experts_job j = { .r = r, .l = l };
    j.floats = r->observer || !any_integers(readers, 1) || !any_integers(readers + 1, 1);
    j.integers = any_integers(readers, 2);

    act_shape(&b->expert_in, n_places, s->d_model);
    act_shape(&b->expert_ff, n_places, s->n_ff_expert);
    for_rows(r, r->n_rows, s->n_experts_used * (size_t)s->d_model, gather_range, &j);
    observe_crowds(r, l->expert_gate, &b->expert_in);
    observe_crowds(r, l->expert_up, &b->expert_in);
    j.n_blocks = n_blocks(s->n_ff_expert);
    pool_for(r->m->pool, r->n_crowds * j.n_blocks, 1, gate_range, &j);
    quantize_rows(r, &b->expert_ff, l->expert_down);
    observe_crowds(r, l->expert_down, &b->expert_ff);
    j.n_blocks = n_blocks(s->d_model);
    pool_for(r->m->pool, r->n_crowds * j.n_blocks, 1, down_range, &j);
}

/* ---- adding up ---- */

static void add_row(float *x, const struct choice *c, size_t n_used, const float *out,
                    float shared_part, const float *shared, size_t n)
{
    for (size_t col = 0; col < n; col++) {
        float sum = 0.0f;
        for (size_t i = 0; i < n_used; i++)
            sum += c[i].part * out[c[i].place * n + col];
        x[col] += sum + shared_part * shared[col];
    }
}

static void add_range(void *ctx, size_t row0, size_t row1, size_t thread_idx)
{
    (void)thread_idx;
    const struct experts_job *j = ctx;
    const struct run_buffers *b = &j->r->b;
    const struct model_shape *s = &j->r->m->shape;
    for (size_t i = row0; i < row1; i++)
        add_row(b->x + i * s->d_model, b->choices + i * s->n_experts_used, s->n_experts_used,
                b->expert_out, b->shared_part[i], b->y + i * s->d_model, s->d_model);
}

void experts_add(struct model_run *r)
{
    const struct model_shape *s = &r->m->shape;
    struct experts_job j = { .r = r };
    for_rows(r, r->n_rows, (s->n_experts_used + 1) * (size_t)s->d_model, add_range, &j);
}
