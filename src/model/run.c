/* Scratch memory of steps: one block, laid out by one function that also says how large it is. */
#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "model/carve.h"
#include "model/model_priv.h"

/* Fills *b with places in c's block for steps of n rows. */
static void layout(struct run_buffers *b, struct carver *c, const struct model_shape *s, size_t n,
                   size_t n_threads)
{
    size_t attn_out = (size_t)s->n_heads * s->head_dim;
    bool bert = s->arch == ARCH_BERT, lin = arch_is_qwen35(s->arch);
    size_t n_ff = ff_width(s), n_chosen = n * s->n_experts_used, m = s->n_ff_expert;

    b->rows = carve(c, n, 1, sizeof(*b->rows));
    b->spans = carve(c, n, 1, sizeof(*b->spans));
    b->outs = carve(c, n, 1, sizeof(*b->outs));
    b->x = carve_floats(c, n, s->d_model);
    b->y = carve_floats(c, n, s->d_model);
    b->rope = carve_floats(c, n, s->rope_dims);
    b->in = carve_act_arranged(c, n, s->d_model);
    b->mix = carve_act_arranged(c, n, lin ? MAX(attn_out, lin_v_width(s)) : attn_out);
    b->ff = carve_act_arranged(c, n, n_ff);
    b->expert_ff = carve_act(c, n_chosen, m);

    size_t start = c->used, end;
    b->pair = carve_act_arranged(c, shape_has_mtp(s) ? n : 0, 2 * (size_t)s->d_model);
    end = c->used;
    c->used = start;
    b->q = carve_floats(c, n, q_width(s));
    b->k = carve_floats(c, n, kv_width(s));
    b->v = carve_floats(c, n, kv_width(s));
    b->keys = carve_floats(c, bert ? n : 0, attn_out);
    b->values = carve_floats(c, bert ? n : 0, attn_out);
    end = MAX(end, c->used);
    c->used = start;
    b->u = carve_floats(c, lin ? n : 0, conv_width(s));
    b->conv = carve_floats(c, lin ? n : 0, conv_width(s));
    b->z = carve_floats(c, lin ? n : 0, lin_v_width(s));
    b->a = carve_floats(c, lin ? n : 0, s->lin_v_heads);
    b->b = carve_floats(c, lin ? n : 0, s->lin_v_heads);
    end = MAX(end, c->used);
    c->used = start;
    b->up = carve_floats(c, bert ? n : 0, n_ff);
    b->probs = carve_floats(c, n, s->n_experts);
    b->shared_part = carve_floats(c, s->n_experts ? n : 0, 1);
    b->choices = carve(c, n_chosen, 1, sizeof(*b->choices));
    b->crowds = carve(c, MIN((size_t)s->n_experts, n_chosen), 1, sizeof(*b->crowds));
    b->next_place = carve(c, s->n_experts, 1, sizeof(*b->next_place));
    b->expert_in = carve_act(c, n_chosen, s->d_model);
    b->expert_gate = carve_floats(c, n_chosen, m);
    b->expert_up = carve_floats(c, n_chosen, m);
    b->expert_out = carve_floats(c, n_chosen, s->d_model);
    c->used = MAX(end, c->used);

    b->tile = carve(c, 2 * n * ROW_TILE, n_threads, sizeof(float));
    b->head_states = carve_floats(c, n_threads * (lin ? s->lin_k_dim + 1 : 0), s->lin_v_dim);
}

bool scratch_size(size_t *out, const struct model_shape *s, size_t n_batch, size_t n_threads)
{
    if (n_batch == 0 || n_batch > 1 << 20 || n_threads == 0 || n_threads > 1 << 16)
        return false;
    struct run_buffers b;
    struct carver c = { 0 };
    layout(&b, &c, s, n_batch, n_threads);
    *out = c.used + 64; /* so that any allocation can be aligned */
    return !c.overflow;
}

enum kt_status model_run_create(struct model_run **out, const struct model *m, size_t n_batch,
                                struct kt_error *err)
{
    *out = NULL;
    size_t n_threads = pool_threads(m->pool), bytes;
    if (n_batch == 0)
        return kt_fail(err, KT_E_USAGE, "a batch of 0 rows");
    if (!scratch_size(&bytes, &m->shape, n_batch, n_threads))
        return kt_fail(err, KT_E_LIMIT, "a batch of %zu rows is larger than any memory", n_batch);
    enum kt_status st = memory_check(bytes, "a batch of this size", err);
    if (st)
        return st;

    struct model_run *r = calloc(1, sizeof(*r));
    void *block = calloc(1, bytes); /* zero: the columns that pad an act are never written */
    if (!r || !block) {
        free(r);
        free(block);
        return kt_fail(err, KT_E_NOMEM, "a batch of %zu rows: %zu MiB are not available", n_batch,
                       bytes >> 20);
    }
    *r = (struct model_run){ .m = m, .n_batch = n_batch, .block = block };
    struct carver c = { .base = (char *)size_align((size_t)block, 64) };
    layout(&r->b, &c, &m->shape, n_batch, n_threads);
    *out = r;
    return KT_OK;
}

void model_run_destroy(struct model_run *r)
{
    if (!r)
        return;
    free(r->block);
    free(r);
}

size_t model_run_n_batch(const struct model_run *r)
{
    return r->n_batch;
}

void model_run_observe(struct model_run *r, struct importance_sums *sums)
{
    r->observer = sums;
}
