#include "constrain/constraint.h"

#include <stdlib.h>

#include "base/size.h"
#include "constrain/guide.h"
#include "constrain/quote.h"

/* One of the two. */
struct constraint {
    struct guide *guide;
    struct quote *quote;
};

enum kt_status constraint_create(struct constraint **out, struct token_trie *v,
                                 const struct constraint_options *o, struct kt_error *err)
{
    *out = NULL;
    struct constraint *c = calloc(1, sizeof(*c));
    if (!c)
        return kt_fail(err, KT_E_NOMEM, "constraint: out of memory");
    enum kt_status st;
    if (o->grammar) {
        struct guide_options go = { .thinking = o->thinking,
                                    .may_think = o->may_think,
                                    .ignore_stops = o->ignore_stops,
                                    .quotes = o->quotes,
                                    .n_quotes = o->n_quotes,
                                    .quote_min = o->quote_min,
                                    .quote_max = o->quote_max };
        st = guide_create(&c->guide, v, o->grammar, &go, err);
    } else {
        struct quote_options qo = { o->quote_min, o->quote_max, o->start_in_quote };
        st = quote_create(&c->quote, v, o->quotes, o->n_quotes, &qo, err);
    }
    if (st) {
        constraint_destroy(c);
        return st;
    }
    *out = c;
    return KT_OK;
}

void constraint_destroy(struct constraint *c)
{
    if (!c)
        return;
    guide_destroy(c->guide);
    quote_destroy(c->quote);
    free(c);
}

enum kt_status constraint_mask(struct constraint *c, uint64_t *mask, bool *any,
                               struct kt_error *err)
{
    if (c->guide)
        return guide_mask(c->guide, mask, any, err);
    *any = quote_mask(c->quote, mask);
    return KT_OK;
}

enum kt_status constraint_accept(struct constraint *c, int32_t id, struct kt_error *err)
{
    if (c->guide ? guide_accept(c->guide, id) : quote_accept(c->quote, id))
        return KT_OK;
    enum kt_status st = c->guide ? guide_status(c->guide, err) : KT_OK;
    return st ? st : kt_fail(err, KT_E_INTERNAL, "constraint: token %d is not allowed", id);
}

bool constraint_ended(const struct constraint *c)
{
    return c->guide && guide_ended(c->guide);
}

size_t constraint_allows(struct constraint *c, const int32_t *ids, size_t n)
{
    return c->guide ? guide_allows(c->guide, ids, n) : quote_allows(c->quote, ids, n);
}

int32_t constraint_forced(struct constraint *c, const int32_t *ids, size_t n)
{
    return c->guide ? guide_forced(c->guide, ids, n) : quote_forced(c->quote, ids, n);
}

size_t constraint_ahead(struct constraint *c, char *out, size_t n_max, bool *certain)
{
    *certain = c->guide != NULL;
    return c->guide ? guide_ahead(c->guide, out, n_max) : quote_ahead(c->quote, out, n_max);
}

size_t constraint_certain(const struct constraint *c, size_t end)
{
    if (c->guide)
        return end; /* nothing is cut back; quotations are true as far as they go */
    end = MIN(end, quote_open_at(c->quote));
    size_t n;
    const struct kt_quote *list = quote_list(c->quote, &n);
    for (size_t i = n; i-- > 0;) { /* quotations are shown whole */
        size_t open = list[i].out_start ? list[i].out_start - 1 : 0;
        if (open < end && end < list[i].out_end + 1)
            return open;
    }
    return end;
}

void constraint_end(struct constraint *c, struct span text, size_t *keep, bool *close)
{
    *keep = text.len;
    *close = false;
    if (c->guide)
        guide_end(c->guide, text.len);
    else
        quote_end(c->quote, text, keep, close);
}

const struct kt_quote *constraint_quotes(const struct constraint *c, size_t *n)
{
    return c->guide ? guide_quotes(c->guide, n) : quote_list(c->quote, n);
}

bool constraint_failed(const struct constraint *c)
{
    return c->guide ? guide_failed(c->guide) : quote_failed(c->quote);
}
