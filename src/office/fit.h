/* office/fit.h: which parts of the passages a model is shown, when not all of them fit its context. */
#ifndef OFFICE_FIT_H
#define OFFICE_FIT_H

#include "office/sentences.h"

struct shown {
    size_t hit;
    size_t start, end; /* bytes of the hit's text */
};

/* Show less: first without passages, from the least relevant on, then less of the last one, around the best sentence, which is
 * always shown. False when there is nothing left to leave out. */
bool shown_less(struct shown *list, size_t *n, const struct kt_hit *hits,
                const struct sentence *best);

#endif
