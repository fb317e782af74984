/* constrain/schema_rows.h: numbers for rows of words: states that are sets of others, pairs, columns. */
#ifndef CONSTRAIN_SCHEMA_ROWS_H
#define CONSTRAIN_SCHEMA_ROWS_H

#include "constrain/schema_priv.h"

/* A hash table from rows of words to numbers, in the order in which they came. */
struct rows {
    uint32_t *slot; /* 1 + number, or 0 */
    size_t n_slots;
    const uint32_t **row;
    size_t *len;
    size_t n, cap;
};
/* The number of this row, which is copied when it is new. */
uint32_t row_number(struct compilation *c, struct rows *t, const uint32_t *row, size_t len);

#endif
