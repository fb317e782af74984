#include "constrain/quote_list.h"

#include <stdlib.h>

void quote_list_add(struct quote_list *l, const struct quote_text *t, size_t out_start,
                    uint32_t place, size_t depth)
{
    if (l->n == l->cap) {
        size_t cap = l->cap ? l->cap * 2 : 8;
        struct kt_quote *list = realloc(l->list, cap * sizeof(*list));
        if (!list) {
            l->failed = true;
            return;
        }
        l->list = list;
        l->cap = cap;
    }
    l->list[l->n++] = (struct kt_quote){
        .out_start = out_start,
        .out_end = out_start + depth,
        .src_idx = quote_text_source(t, place),
        .src_start = t->origin[place],
        .src_end = t->origin[place + depth - 1] + 1u, /* the last byte is no space */
    };
}

void quote_list_deinit(struct quote_list *l)
{
    free(l->list);
    *l = (struct quote_list){ 0 };
}

enum kt_status quote_check_lengths(size_t min_bytes, size_t max_bytes, struct kt_error *err)
{
    if (min_bytes > max_bytes)
        return kt_fail(err, KT_E_USAGE,
                       "quotations: shortest %zu bytes, longest %zu: the other way round?",
                       min_bytes, max_bytes);
    if (max_bytes > QUOTE_LEN_MAX)
        return kt_fail(err, KT_E_LIMIT, "quotations: longest %zu bytes, at most %d are possible",
                       max_bytes, QUOTE_LEN_MAX);
    return KT_OK;
}
