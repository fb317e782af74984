/* store/marks.h: where in a text the words of a query stand. */
#ifndef STORE_MARKS_H
#define STORE_MARKS_H

#include <stddef.h>

#include "base/span.h"
#include "kontor/store.h"
#include "store/query.h"

/* The words of the text that a plan's terms or phrases are made of, and words that hold such a term as a part; in order, none
 * overlaps another. *out is heap, NULL when there is none; false when memory is short. */
bool marks_find(const struct query_plan *p, struct span text, struct kt_mark **out, size_t *n);

#endif
