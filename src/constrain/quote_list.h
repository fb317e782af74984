/* constrain/quote_list.h: the quotations of an answer, as they are closed. */
#ifndef CONSTRAIN_QUOTE_LIST_H
#define CONSTRAIN_QUOTE_LIST_H

#include "constrain/quote_text.h"

struct quote_list {
    struct kt_quote *list;
    size_t n, cap;
    bool failed; /* out of memory */
};

/* 'depth' bytes from output offset out_start, which stand at 'place' of the text. */
void quote_list_add(struct quote_list *l, const struct quote_text *t, size_t out_start,
                    uint32_t place, size_t depth);
void quote_list_deinit(struct quote_list *l);

/* Are the bounds of a quotation's length any? KT_E_USAGE, KT_E_LIMIT. */
KT_MUST_CHECK enum kt_status quote_check_lengths(size_t min_bytes, size_t max_bytes,
                                                 struct kt_error *err);

#endif
