/* office/shelf.h: documents that were read, onto the shelf: cut into chunks, embedded, stored, counted in the report. */
#ifndef OFFICE_SHELF_H
#define OFFICE_SHELF_H

#include "extract/extract.h"
#include "kontor/office.h"
#include "office/scan.h"

struct shelf {
    struct kt_matter *matter;
    const struct kt_add_options *opts;
    struct kt_add_report *report;
    struct reuse *reuse; /* vectors of what is about to be replaced; NULL: none */
};

/* Stores the document at f's path, in one transaction, after those that are inside it, each at its own path below.
 * What cannot be read among these is stored with its reason, as shelf_refuse() does. */
KT_MUST_CHECK enum kt_status shelf_put(struct shelf *s, const struct scan_file *f,
                                       const uint8_t hash[32], const struct document *d,
                                       struct kt_error *err);
/* Stores why there is no text of it: skipped or failed. */
KT_MUST_CHECK enum kt_status shelf_refuse(struct shelf *s, const struct scan_file *f,
                                          const uint8_t hash[32], enum kt_doc_state state,
                                          const char *reason, struct kt_error *err);
/* The same in the report alone. False: out of memory. */
bool shelf_report(struct shelf *s, enum kt_doc_state state, const char *path, const char *reason);
/* A line about something that is never read. False: out of memory. */
bool shelf_left_out(struct shelf *s, const char *path, const char *reason);
/* A refusal by the reader is the document's, everything else is the run's. */
bool shelf_is_refusal(enum kt_status st, enum kt_doc_state *state);

#endif
