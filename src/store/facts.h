/* store/facts.h: who wrote a mail and when, for filters.
 *
 * Read from the head that extraction puts at the beginning of a mail's text ("From: ...", "Date: ..."), so that a matter of an
 * earlier version is brought up to date from what is stored. Table mails, one row a message. */
#ifndef STORE_FACTS_H
#define STORE_FACTS_H

#include "base/span.h"
#include "base/status.h"

struct kt_matter;

struct mail_facts {
    struct span sender, recipients; /* of the text; empty: not said */
    char date[11]; /* "2024-03-12" as the sender's clock had it; "" when not said or no date */
};
void mail_facts_read(struct mail_facts *out, struct span text);
/* Is a document of this format a message? */
bool mail_facts_apply(const char *format);

/* After opening: the table, filled from the stored texts when an earlier version had none. Readers of such a matter are told. */
KT_MUST_CHECK enum kt_status facts_prepare(struct kt_matter *m, struct kt_error *err);
/* The row of a document that is being put. */
KT_MUST_CHECK enum kt_status facts_put(struct kt_matter *m, int64_t doc_id, const char *format,
                                       struct span text, struct kt_error *err);

#endif
