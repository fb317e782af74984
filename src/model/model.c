/* Putting a model together: shape, weights, and the few numbers that follow from them. */
#include "model/model.h"

#include <math.h>
#include <stdlib.h>

#include "base/status.h"
#include "model/model_priv.h"
#include "model/rope.h"

static void number_layers(struct model *m)
{
    uint16_t n_attention = 0, n_recurrent = 0;
    for (uint32_t i = 0; i < m->shape.n_layers; i++)
        m->slot[i] = m->shape.recurrent[i] ? n_recurrent++ : n_attention++;
}

enum kt_status model_create(struct model **out, const struct model_file *file,
                            const struct kernels *k, struct pool *pool, struct kt_error *err)
{
    *out = NULL;
    struct model *m = calloc(1, sizeof(*m));
    if (!m)
        return kt_fail(err, KT_E_NOMEM, "model: out of memory");
    m->file = file;
    m->k = k;
    m->pool = pool;
    enum kt_status st = model_shape_from_file(&m->shape, file, err);
    if (!st)
        st = weights_bind(&m->w, &m->arena, &m->shape, file, err);
    if (st) {
        model_destroy(m);
        return st;
    }
    rope_frequencies(m->inv_freq, &m->shape);
    number_layers(m);
    *out = m;
    return KT_OK;
}

void model_destroy(struct model *m)
{
    if (!m)
        return;
    arena_deinit(&m->arena);
    free(m);
}

bool model_has_mtp(const struct model *m)
{
    return shape_has_mtp(&m->shape);
}

const struct model_shape *model_shape_of(const struct model *m)
{
    return &m->shape;
}
