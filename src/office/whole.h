/* office/whole.h: answers that are complete: made from the index and the stored texts, without a model. */
#ifndef OFFICE_WHOLE_H
#define OFFICE_WHOLE_H

#include "kontor/office.h"
#include "office/route.h"

/* Every place, or every document, where route->what stands. */
KT_MUST_CHECK enum kt_status whole_count(struct kt_matter *m, const struct route *r,
                                         struct kt_answer *out, struct kt_error *err);
/* The documents that the route's filters let through. */
KT_MUST_CHECK enum kt_status whole_list(struct kt_matter *m, const struct route *r,
                                        struct kt_answer *out, struct kt_error *err);
/* The document that 'called' names: most of whose name's words are in it, and no other as well. *id 0: none, or several. *other:
 * not this one. path and title are heap. */
KT_MUST_CHECK enum kt_status whole_named(struct kt_matter *m, struct span called, int64_t other,
                                         struct kt_document_line *out, struct kt_error *err);
/* Without a model: the first sentence of each page, at most WHOLE_PAGES. */
KT_MUST_CHECK enum kt_status whole_outline(struct kt_matter *m, const struct kt_document_line *d,
                                           bool german, struct kt_answer *out,
                                           struct kt_error *err);
/* Bytes [start, end) of a document as a citation of the answer; its number is out->n_citations afterwards. */
KT_MUST_CHECK enum kt_status whole_cite(struct kt_matter *m, struct kt_answer *out,
                                        const struct kt_document_line *d, size_t start, size_t end,
                                        struct kt_error *err);

#endif
