/* quality/letter.h: which choice a written reply means.
 *
 * Rules, the first that finds something decides; letters must be among the n choices:
 *   1  the last "answer", "antwort" or "\boxed" that a lone letter follows, with nothing between them but
 *      "is", "ist", "option" and signs: "The answer is (B)", "Antwort: **B**", "\boxed{B}"
 *   2  the reply begins with a lone capital letter that ends it or that a sign follows: "B", "B.", "(B)"
 *   3  the last lone capital letter in brackets or stars: "... so (B) it must be"
 *   4  the reply is the text of one choice
 * Otherwise it means none. A lone letter has no letter or digit beside it. Pure functions. */
#ifndef QUALITY_LETTER_H
#define QUALITY_LETTER_H

#include <stdint.h>

#include "base/span.h"

/* The choice, or -1. */
int letter_in_reply(struct span reply, const struct span *choices, uint32_t n_choices);

/* Wilson's interval, 95 %, for k of n (n >= 1). */
struct interval {
    double low, high;
};
struct interval wilson(uint64_t k, uint64_t n);

#endif
