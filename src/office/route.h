/* office/route.h: what kind of question is this?
 *
 * Most questions are looked up: the answer stands in a passage. Some are not: "how often", "in which documents" and "which mails"
 * are answered from the index, completely and without a model; "summarise" wants a document from beginning to end; "compare" wants
 * passages of two. Decided by rules, which a person can read here and predict, not by a model: a wrong route must be visible and
 * the same every time. docs/ASK.md has the figures on questions that were written for it. */
#ifndef OFFICE_ROUTE_H
#define OFFICE_ROUTE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/span.h"
#include "kontor/office.h"

struct route {
    enum kt_route kind;
    bool german;
    bool documents_only; /* KT_ROUTE_COUNT: in which documents, not how often */
    struct buf what;     /* KT_ROUTE_COUNT: the words to count; KT_ROUTE_COMPARE: what is compared, "" everything */
    struct buf left,
        right; /* KT_ROUTE_DOCUMENT, KT_ROUTE_COMPARE: what the documents are called in the question */
    char type[32];             /* KT_ROUTE_LIST and _COUNT: "mail"; "" any */
    struct buf sender;         /* KT_ROUTE_LIST: "" any */
    char since[11], until[11]; /* "" any */
    const char *reason;        /* for people: the rule */
};
/* False when memory is short. */
bool route_question(struct route *out, struct span question);
void route_deinit(struct route *r);
bool route_is_german(struct span question);

#endif
