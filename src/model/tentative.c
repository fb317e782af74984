/* Rows that may be taken back: what a step with a tentative span keeps until somebody decides.
 *
 * Keys and values are cut by counting. A recurrent state cannot be cut, and copying it for every step
 * would cost more than a step gains. So a tentative step does not touch it: each head's state is
 * walked on in a copy of one head's size, which a core's cache holds, and forgotten. Kept are the
 * small things that went into it: k, v, decay and beta of every row. Once it is known how many rows
 * stay, the next step, which reads each head's state anyway, first lets it learn those rows again.
 * They are the same calls of the same kernel with the same numbers, so the state has the bits it would
 * have had without the detour. The state is read and written once in a step, as ever; only the
 * arithmetic of the recurrence is done twice.
 *
 * The convolution is simpler: its state is the last three raw columns, so the columns before the rows
 * and those of the rows are kept in line, and three of them are put back.
 *
 *   settled --(tentative step of n rows)--> undecided --(accept k)--> pending k rows
 *      ^                                                                  |
 *      +------------------(the next step, or a copy of the state)---------+
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "model/model_priv.h"

/* k, v, and the two gates of each value head: one row of 'inputs'. */
static size_t input_width(const struct model_shape *s)
{
    return lin_k_width(s) + lin_v_width(s) + 2 * (size_t)s->lin_v_heads;
}

static size_t n_linear_layers(const struct model_shape *s)
{
    size_t n = 0;
    for (uint32_t i = 0; i < s->n_layers; i++)
        n += s->recurrent[i];
    return n;
}

/* Floats of the three arrays, which follow each other. */
static bool floats_of(const struct model_shape *s, size_t n_rows, size_t *raw, size_t *inputs)
{
    size_t n_layers = n_linear_layers(s);
    return n_rows <= TENTATIVE_MAX && size_mul(raw, n_layers * (3 + n_rows), conv_width(s)) &&
           size_mul(inputs, n_layers * n_rows, input_width(s)) && *raw < SIZE_MAX / 64 &&
           *inputs < SIZE_MAX / 64;
}

bool tentative_size(size_t *bytes, const struct model_shape *s, size_t n_rows)
{
    size_t raw, inputs;
    *bytes = 0;
    if (!floats_of(s, n_rows, &raw, &inputs))
        return false;
    if (n_linear_layers(s))
        *bytes = (raw + 2 * inputs + s->lin_v_dim) * sizeof(float);
    return true;
}

enum kt_status model_state_allow_tentative(struct model_state *s, size_t n_rows,
                                           struct kt_error *err)
{
    const struct model_shape *sh = &s->m->shape;
    struct tentative *t = &s->tentative;
    size_t bytes, raw, inputs;
    assert(!s->mtp);
    assert(t->n_rows == 0);
    assert(t->n_pending == 0);
    if (!tentative_size(&bytes, sh, n_rows) || !floats_of(sh, n_rows, &raw, &inputs))
        return kt_fail(err, KT_E_LIMIT, "%zu tentative rows are more than the %d that are possible",
                       n_rows, TENTATIVE_MAX);
    enum kt_status st = memory_check(bytes, "taking back so many rows", err);
    if (st)
        return st;
    float *block = bytes ? calloc(1, bytes) : NULL;
    if (bytes && !block)
        return kt_fail(err, KT_E_NOMEM, "%zu tentative rows: %zu MiB are not available", n_rows,
                       bytes >> 20);
    free(t->raw);
    *t = (struct tentative){ .n_max = n_rows };
    if (block) {
        t->raw = block;
        t->inputs[0] = t->raw + raw;
        t->inputs[1] = t->inputs[0] + inputs;
        t->sink = t->inputs[1] + inputs;
    }
    return KT_OK;
}

void tentative_clear(struct model_state *s)
{
    size_t bytes;
    if (s->tentative.raw && tentative_size(&bytes, &s->m->shape, s->tentative.n_max))
        memset(s->tentative.raw, 0, bytes);
}

/* ---- what is kept ---- */

static float *raw_columns(const struct model_state *s, uint32_t layer)
{
    return s->tentative.raw +
           s->m->slot[layer] * (3 + s->tentative.n_max) * conv_width(&s->m->shape);
}

static float *inputs_of(const struct model_state *s, size_t half, uint32_t layer)
{
    return s->tentative.inputs[half] +
           s->m->slot[layer] * s->tentative.n_max * input_width(&s->m->shape);
}

void tentative_keep_columns(const struct model_state *s, uint32_t layer, const float *u,
                            size_t n_rows, size_t c0, size_t n)
{
    size_t width = conv_width(&s->m->shape);
    float *raw = raw_columns(s, layer) + c0;
    const float *before = state_conv(s, layer) + c0;
    for (size_t i = 0; i < 3; i++)
        memcpy(raw + i * width, before + i * width, n * sizeof(*raw));
    for (size_t i = 0; i < n_rows; i++)
        memcpy(raw + (3 + i) * width, u + i * width + c0, n * sizeof(*raw));
}

/* The half that is not read by the next replay. */
static float *kept_row(const struct model_state *s, uint32_t layer, size_t row)
{
    return inputs_of(s, !s->tentative.half, layer) + row * input_width(&s->m->shape);
}

void tentative_keep_k(const struct model_state *s, uint32_t layer, size_t row, size_t k_head,
                      const float *k)
{
    size_t dk = s->m->shape.lin_k_dim;
    memcpy(kept_row(s, layer, row) + k_head * dk, k, dk * sizeof(*k));
}

void tentative_keep_v(const struct model_state *s, uint32_t layer, size_t row, size_t v_head,
                      const float *v, float decay, float beta)
{
    const struct model_shape *sh = &s->m->shape;
    float *to = kept_row(s, layer, row) + lin_k_width(sh);
    memcpy(to + v_head * sh->lin_v_dim, v, sh->lin_v_dim * sizeof(*v));
    to += lin_v_width(sh);
    to[v_head] = decay;
    to[sh->lin_v_heads + v_head] = beta;
}

/* ---- deciding and catching up ---- */

static void put_columns_back(struct model_state *s, size_t n_rows)
{
    const struct model_shape *sh = &s->m->shape;
    size_t width = conv_width(sh);
    for (uint32_t i = 0; i < sh->n_layers; i++) {
        if (sh->recurrent[i])
            memcpy(state_conv(s, i), raw_columns(s, i) + n_rows * width, 3 * width * sizeof(float));
    }
}

void model_state_accept(struct model_state *s, size_t n_rows)
{
    struct tentative *t = &s->tentative;
    assert(n_rows <= t->n_rows);
    if (n_rows < t->n_rows && t->raw)
        put_columns_back(s, n_rows);
    s->n_past -= t->n_rows - n_rows;
    t->n_pending = t->raw ? n_rows : 0;
    t->n_rows = 0;
}

void tentative_replay(const struct model_state *s, uint32_t layer, size_t v_head, void *recurrent,
                      size_t col0, size_t col1, float *sink)
{
    const struct model_shape *sh = &s->m->shape;
    size_t width = input_width(sh), k_width = lin_k_width(sh), v_width = lin_v_width(sh);
    const float *in = inputs_of(s, s->tentative.half, layer);
    struct deltanet_args a = {
        .s = recurrent,
        .dk = sh->lin_k_dim,
        .dv = sh->lin_v_dim,
        .n = s->tentative.n_pending,
        .col0 = col0,
        .col1 = col1,
        .q = in + lin_key_head(sh, v_head) * sh->lin_k_dim, /* any: answers are not wanted */
        .k = in + lin_key_head(sh, v_head) * sh->lin_k_dim,
        .v = in + k_width + v_head * sh->lin_v_dim,
        .decay = in + k_width + v_width + v_head,
        .beta = in + k_width + v_width + sh->lin_v_heads + v_head,
        .q_stride = width,
        .k_stride = width,
        .v_stride = width,
        .gate_stride = width,
        .out = sink,
        .o_stride = 0, /* each row's answer over the one before */
        .type = s->types.recurrent,
        .pos = (uint32_t)(s->n_past - s->tentative.n_pending),
    };
    s->m->k->deltanet(&a);
}

void tentative_replay_into(struct model_state *dst, const struct model_state *src)
{
    const struct model_shape *sh = &src->m->shape;
    for (uint32_t i = 0; src->tentative.n_pending && i < sh->n_layers; i++) {
        for (size_t h = 0; sh->recurrent[i] && h < sh->lin_v_heads; h++)
            tentative_replay(src, i, h, state_recurrent(dst, i, h), 0, sh->lin_v_dim,
                             src->tentative.sink);
    }
}

void tentative_after_step(struct model_state *s, size_t n_tentative)
{
    struct tentative *t = &s->tentative;
    t->n_pending = 0;
    t->n_rows = n_tentative;
    t->half = n_tentative ? !t->half : t->half;
}
