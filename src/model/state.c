/* What a sequence leaves behind: keys and values of every position for attention, in pages (pages.c), and
 * a state of fixed size for the linear layers, in one block of memory, laid out as state_sizes() says, zero
 * at first. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/status.h"
#include "model/model_priv.h"

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

enum purpose { FOR_STEPS, FOR_STEPS_OF_HEAD, FROZEN, FROZEN_OF_HEAD };

static enum kt_status create(struct model_state **out, const struct model *m, size_t n_ctx,
                             struct state_types types, enum purpose purpose, struct kt_error *err)
{
    bool mtp = purpose == FOR_STEPS_OF_HEAD || purpose == FROZEN_OF_HEAD;
    bool frozen = purpose == FROZEN || purpose == FROZEN_OF_HEAD;
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
    if (frozen) {
        sizes.block -= size_align(sizes.parts, 64);
        sizes.total -= size_align(sizes.parts, 64);
        sizes.parts = 0;
    }

    struct model_state *s = calloc(1, sizeof(*s));
    void *block = calloc(1, sizes.block);
    if (!s || !block) {
        free(s);
        free(block);
        return kt_fail(err, KT_E_NOMEM, "a context of %zu tokens: %zu MiB are not available", n_ctx,
                       sizes.block >> 20);
    }
    *s = (struct model_state){
        .m = m, .mtp = mtp, .types = types, .n_ctx = n_ctx, .sizes = sizes, .block = block
    };
    s->recurrent = (char *)size_align((size_t)block, 64);
    char *conv = s->recurrent + size_align(sizes.recurrent, 64);
    char *table = conv + size_align(sizes.conv, 64);
    char *parts = table + size_align(sizes.table, 64);
    s->conv = (float *)(void *)conv;
    s->pages = (struct kv_page **)(void *)table;
    s->page_rows = (char **)(void *)table + sizes.n_pages;
    s->parts = frozen ? NULL : (float *)(void *)parts;
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
    return create(out, m, n_ctx, types, FOR_STEPS, err);
}

enum kt_status model_mtp_state_create(struct model_state **out, const struct model *m, size_t n_ctx,
                                      struct state_types types, struct kt_error *err)
{
    *out = NULL;
    if (!model_has_mtp(m))
        return kt_fail(err, KT_E_UNSUPPORTED,
                       "%s has no multi-token head; take a file that was converted with it",
                       model_file_path(m->file));
    return create(out, m, n_ctx, types, FOR_STEPS_OF_HEAD, err);
}

enum kt_status state_create_frozen(struct model_state **out, const struct model *m, size_t n_ctx,
                                   struct state_types types, bool mtp, struct kt_error *err)
{
    *out = NULL;
    return create(out, m, n_ctx, types, mtp ? FROZEN_OF_HEAD : FROZEN, err);
}

void model_state_destroy(struct model_state *s)
{
    if (!s)
        return;
    state_release(s, 0);
    free(s->tentative.raw);
    free(s->block);
    free(s);
}

/* Old keys and values are unreachable once n_past is 0; the recurrent part is not, it would be
 * added to. The first page stays for the next text: short ones often come one after the other. */
void model_state_reset(struct model_state *s)
{
    state_release(s, 1);
    s->n_past = 0;
    s->tentative.n_rows = s->tentative.n_pending = 0;
    s->shift = 0;
    memset(s->recurrent, 0, s->sizes.recurrent);
    memset(s->conv, 0, s->sizes.conv);
}

void model_state_clear(struct model_state *s)
{
    state_release(s, 0);
    model_state_reset(s);
    if (s->parts)
        memset(s->parts, 0, s->sizes.parts);
    tentative_clear(s);
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

struct state_types model_state_types(const struct model_state *s)
{
    return s->types;
}

bool model_can_cut(const struct model *m)
{
    for (uint32_t i = 0; i < m->shape.n_layers; i++)
        if (m->shape.recurrent[i])
            return false;
    return m->shape.arch != ARCH_BERT;
}

void model_state_cut(struct model_state *s, size_t n_tokens)
{
    assert(s->mtp || model_can_cut(s->m));
    assert(s->tentative.n_rows == 0);
    assert(n_tokens <= s->n_past);
    s->n_past = n_tokens;
}

void model_state_copy(struct model_state *dst, const struct model_state *src)
{
    assert(dst->m == src->m);
    assert(dst->mtp == src->mtp);
    assert(dst->types.kv == src->types.kv);
    assert(dst->types.recurrent == src->types.recurrent);
    assert(dst->n_ctx >= src->n_past);
    assert(src->tentative.n_rows == 0); /* undecided */
    state_share(dst, src, src->n_past);
    memcpy(dst->recurrent, src->recurrent, src->sizes.recurrent);
    memcpy(dst->conv, src->conv, src->sizes.conv);
    tentative_replay_into(dst, src);
    dst->tentative.n_rows = dst->tentative.n_pending = 0;
    dst->n_past = src->n_past;
    dst->shift = src->shift;
}

enum kt_status model_state_freeze(struct model_state **out, const struct model_state *src,
                                  struct kt_error *err)
{
    enum kt_status st = state_create_frozen(out, src->m, src->n_past, src->types, src->mtp, err);
    if (!st)
        model_state_copy(*out, src);
    return st;
}
