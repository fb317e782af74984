/* What a sequence leaves behind: keys and values of every position for attention, and a state of
 * fixed size for the linear layers. One block of memory, laid out as state_sizes() says, zero at
 * first. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/status.h"
#include "model/model_priv.h"

static size_t row_bytes(const struct model_state *s)
{
    return kv_row_bytes(s->types.kv, s->m->shape.head_dim);
}

static size_t head_bytes(const struct model_state *s)
{
    return s->n_ctx * row_bytes(s);
}

char *state_keys(const struct model_state *s, uint32_t layer, size_t kv_head)
{
    return s->kv +
           ((size_t)s->m->slot[layer] * 2 * s->m->shape.n_kv_heads + kv_head) * head_bytes(s);
}

char *state_values(const struct model_state *s, uint32_t layer, size_t kv_head)
{
    return state_keys(s, layer, s->m->shape.n_kv_heads + kv_head);
}

void *state_recurrent(const struct model_state *s, uint32_t layer, size_t v_head)
{
    const struct model_shape *sh = &s->m->shape;
    size_t elem = s->types.recurrent == STATE_BF16 ? 2 : 4;
    size_t one = (size_t)sh->lin_k_dim * sh->lin_v_dim * elem;
    return s->recurrent + (s->m->slot[layer] * (size_t)sh->lin_v_heads + v_head) * one;
}

float *state_conv(const struct model_state *s, uint32_t layer)
{
    return s->conv + s->m->slot[layer] * 3 * conv_width(&s->m->shape);
}

float *state_parts(const struct model_state *s, size_t head)
{
    size_t n_splits = (s->n_ctx - 1) / ATTN_SPLIT + 1;
    return s->parts + head * n_splits * attn_part_floats(s->m->shape.head_dim);
}

enum kt_status memory_check(size_t bytes, const char *what, struct kt_error *err)
{
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    size_t have = pages > 0 && page > 0 ? (size_t)pages * (size_t)page : SIZE_MAX;
    if (bytes <= have)
        return KT_OK;
    return kt_fail(err, KT_E_LIMIT,
                   "%s needs %zu MiB and this machine has %zu MiB; use a shorter context, "
                   "a smaller batch or a smaller model",
                   what, bytes >> 20, have >> 20);
}

static enum kt_status create(struct model_state **out, const struct model *m, size_t n_ctx,
                             struct state_types types, bool mtp, struct kt_error *err)
{
    if (n_ctx == 0 || n_ctx > UINT32_MAX / 2)
        return kt_fail(err, KT_E_USAGE, "a context of %zu tokens", n_ctx);
    enum kt_status st = state_types_check(&m->shape, types, err);
    if (st)
        return st;
    struct state_sizes sizes;
    if (!(mtp ? mtp_state_sizes : state_sizes)(&sizes, &m->shape, n_ctx, types))
        return kt_fail(err, KT_E_LIMIT, "a context of %zu tokens is larger than any memory", n_ctx);
    st = memory_check(sizes.total, "a context of this length", err);
    if (st)
        return st;

    struct model_state *s = calloc(1, sizeof(*s));
    void *block =
        calloc(1, sizes.total); /* the system's zero pages: untouched positions cost nothing */
    if (!s || !block) {
        free(s);
        free(block);
        return kt_fail(err, KT_E_NOMEM, "a context of %zu tokens: %zu MiB are not available", n_ctx,
                       sizes.total >> 20);
    }
    *s = (struct model_state){
        .m = m, .mtp = mtp, .types = types, .n_ctx = n_ctx, .sizes = sizes, .block = block
    };
    s->kv = (char *)size_align((size_t)block, 64);
    s->recurrent = s->kv + size_align(sizes.kv, 64);
    char *conv = s->recurrent + size_align(sizes.recurrent, 64);
    s->conv = (float *)(void *)conv;
    s->parts = (float *)(void *)(conv + size_align(sizes.conv, 64));
    *out = s;
    return KT_OK;
}

enum kt_status model_state_create(struct model_state **out, const struct model *m, size_t n_ctx,
                                  struct state_types types, struct kt_error *err)
{
    *out = NULL;
    if (m->shape.arch == ARCH_BERT)
        return kt_fail(err, KT_E_UNSUPPORTED,
                       "a bert model encodes whole texts; it has no sequence state");
    return create(out, m, n_ctx, types, false, err);
}

enum kt_status model_mtp_state_create(struct model_state **out, const struct model *m, size_t n_ctx,
                                      struct state_types types, struct kt_error *err)
{
    *out = NULL;
    if (!model_has_mtp(m))
        return kt_fail(err, KT_E_UNSUPPORTED,
                       "%s has no multi-token head; take a file that was converted with it",
                       model_file_path(m->file));
    return create(out, m, n_ctx, types, true, err);
}

void model_state_destroy(struct model_state *s)
{
    if (!s)
        return;
    free(s->tentative.raw);
    free(s->block);
    free(s);
}

/* Old keys and values are unreachable once n_past is 0; the recurrent part is not, it would be
 * added to. */
void model_state_reset(struct model_state *s)
{
    s->n_past = 0;
    s->tentative.n_rows = s->tentative.n_pending = 0;
    s->shift = 0;
    memset(s->recurrent, 0, s->sizes.recurrent);
    memset(s->conv, 0, s->sizes.conv);
}

size_t model_state_n_past(const struct model_state *s)
{
    return s->n_past;
}

uint32_t model_state_next_position(const struct model_state *s)
{
    return (uint32_t)((int64_t)s->n_past + s->shift);
}

size_t model_state_n_ctx(const struct model_state *s)
{
    return s->n_ctx;
}

void model_state_cut(struct model_state *s, size_t n_tokens)
{
    assert(s->mtp);
    assert(n_tokens <= s->n_past);
    s->n_past = n_tokens;
}

static void copy_layer(struct model_state *dst, const struct model_state *src, uint32_t layer)
{
    size_t used = src->n_past * row_bytes(src);
    for (size_t h = 0; used && h < src->m->shape.n_kv_heads; h++) {
        memcpy(state_keys(dst, layer, h), state_keys(src, layer, h), used);
        memcpy(state_values(dst, layer, h), state_values(src, layer, h), used);
    }
}

void model_state_copy(struct model_state *dst, const struct model_state *src)
{
    assert(dst->m == src->m);
    assert(dst->mtp == src->mtp);
    assert(dst->types.kv == src->types.kv);
    assert(dst->types.recurrent == src->types.recurrent);
    assert(dst->n_ctx >= src->n_past);
    assert(src->tentative.n_rows == 0); /* undecided */
    const struct model_shape *sh = &src->m->shape;
    if (src->mtp)
        copy_layer(dst, src, sh->n_layers);
    for (uint32_t i = 0; !src->mtp && i < sh->n_layers; i++) {
        if (!sh->recurrent[i])
            copy_layer(dst, src, i);
    }
    memcpy(dst->recurrent, src->recurrent, src->sizes.recurrent);
    memcpy(dst->conv, src->conv, src->sizes.conv);
    tentative_replay_into(dst, src);
    dst->tentative.n_rows = dst->tentative.n_pending = 0;
    dst->n_past = src->n_past;
    dst->shift = src->shift;
}
