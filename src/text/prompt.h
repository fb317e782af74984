/* text/prompt.h: a fixed text of the model's with places to fill.
 *
 * Control tokens spelled out in the layout are recognised; what is filled in is plain text and can
 * never become one. Text between two control tokens is encoded in one go, filled places included, as
 * the model's own tokenizer would see it. */
#ifndef TEXT_PROMPT_H
#define TEXT_PROMPT_H

#include "text/tokenizer.h"

struct prompt_field {
    struct span mark; /* "{query}", as it stands in the layout */
    struct span text;
};

/* Append the ids; on failure 'out' is as before. */
KT_MUST_CHECK enum kt_status prompt_encode(const struct tokenizer *t, struct token_vec *out,
                                           struct span layout, const struct prompt_field *fields,
                                           size_t n_fields, struct kt_error *err);

#endif
