/* quality/tally.h: how many were right, of all, by subject, by language. */
#ifndef QUALITY_TALLY_H
#define QUALITY_TALLY_H

#include "quality/letter.h"
#include "quality/suite.h"

/* What was chosen for a question: a choice, or one of these. */
enum { CHOSEN_NONE = -1, CHOSEN_NOT_YET = -2 };

struct tally {
    struct span name; /* borrowed from the suite; "" of all, or where a question has none */
    uint64_t n, n_right, n_none;
};

enum tally_by { TALLY_ALL, TALLY_SUBJECT, TALLY_LANGUAGE };

/* chosen: [s->n]; those not asked yet are left out. *out is the caller's to free(), sorted by name;
 * TALLY_ALL gives one row or, when nothing was asked, none. */
KT_MUST_CHECK enum kt_status tally(const struct suite *s, const int8_t *chosen, enum tally_by by,
                                   struct tally **out, size_t *n, struct kt_error *err);

#endif
