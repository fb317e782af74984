/* store/terms.h: what a text can be found by.
 *
 * A text becomes a row of terms, each at a place; several terms may share a place. Words are folded
 * (fold.h) and stemmed (stem.h). Beside them, at the same place, stands what an office types as one
 * thing: § 433, §433             §433                     12.03.2024, 12. März 2024, 2024-03-12
 * 2024-03-12 DE89 3704 0044 ...      de893704...              1.234,50 €, 1,234.50, 1 234,50 1234.50 12 C
 * 345/23, 345/23     12c345/23 and 345/23     E-Mail, Email                           email
 * Documents and queries use the same function. No memory is allocated; the input may be any bytes.
 */
#ifndef STORE_TERMS_H
#define STORE_TERMS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/span.h"

/* Raise when the same text gives other terms: matters are then indexed again from their stored
 * texts. */
#define TERMS_VERSION "2"

struct term {
    const char *ptr; /* as indexed; borrowed for the call */
    size_t len;
    const char *word; /* folded but not stemmed; NULL unless a natural word */
    size_t word_len;
    size_t start, end; /* the bytes of the text that it was made of */
    bool same_place;   /* stands where the term before it stands */
    bool stop;         /* a word so common that it says nothing in a question */
};

typedef void (*term_fn)(void *ctx, const struct term *t);
void terms_each(struct span text, term_fn fn, void *ctx);

#endif
