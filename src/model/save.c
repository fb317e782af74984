/* Checkpoints as bytes: the walk over everything that is in one, for whoever writes it down or fills one in.
 *
 * Rows of keys and values come by position first: page by page, in a page head by head, only the rows of the
 * positions asked for. So what two checkpoints of one text have in common need be written once. */
#include <assert.h>
#include <string.h>

#include "base/size.h"
#include "model/model_priv.h"

static size_t row_bytes(const struct model_state *s)
{
    return kv_row_bytes(s->types.kv, s->m->shape.head_dim);
}

static size_t n_heads(const struct model_state *s)
{
    return s->sizes.n_pages ? s->sizes.page / (ATTN_PAGE * row_bytes(s)) : 0;
}

enum kt_status model_state_each_row(const struct model_state *s, size_t from, size_t to,
                                    model_bytes_fn fn, void *ctx, struct kt_error *err)
{
    assert(to <= s->n_past);
    enum kt_status st = KT_OK;
    size_t row = row_bytes(s);
    for (size_t at = from; at < to && s->sizes.n_pages && !st;) {
        size_t n = MIN(ATTN_PAGE - at % ATTN_PAGE, to - at);
        char *rows = s->page_rows[at / ATTN_PAGE] + at % ATTN_PAGE * row;
        for (size_t h = 0; h < n_heads(s) && !st; h++)
            st = fn(ctx, rows + h * ATTN_PAGE * row, n * row, err);
        at += n;
    }
    return st;
}

enum kt_status model_state_each_rest(const struct model_state *s, model_bytes_fn fn, void *ctx,
                                     struct kt_error *err)
{
    assert(s->tentative.n_rows == 0);
    assert(s->tentative.n_pending == 0);
    enum kt_status st = s->sizes.recurrent ? fn(ctx, s->recurrent, s->sizes.recurrent, err) : KT_OK;
    return st || !s->sizes.conv ? st : fn(ctx, s->conv, s->sizes.conv, err);
}

size_t model_state_saved_bytes(const struct model_state *s, size_t from)
{
    return (s->n_past - from) * n_heads(s) * row_bytes(s) + s->sizes.recurrent + s->sizes.conv;
}

enum kt_status model_state_blank(struct model_state **out, const struct model *m,
                                 struct state_types types, size_t n_tokens, uint32_t next_position,
                                 const struct model_state *base, size_t n_base,
                                 struct kt_error *err)
{
    struct model_state *s;
    *out = NULL;
    enum kt_status st = state_create_frozen(&s, m, n_tokens, types, false, err);
    if (st)
        return st;
    if (base) { /* its pages as far as they are the same, then a last one of one's own */
        assert(n_base <= base->n_past && n_base <= n_tokens);
        state_share(s, base, n_base);
        s->n_past = n_base;
    }
    st = state_reserve(s, n_tokens - s->n_past, err);
    if (st) {
        model_state_destroy(s);
        return st;
    }
    s->n_past = n_tokens;
    s->shift = (int64_t)next_position - (int64_t)n_tokens;
    *out = s;
    return KT_OK;
}
