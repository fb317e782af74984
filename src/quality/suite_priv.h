/* Shared by the files that read suites. */
#ifndef QUALITY_SUITE_PRIV_H
#define QUALITY_SUITE_PRIV_H

#include "quality/suite.h"

/* What a file's name says about all its questions. */
struct file_facts {
    const char *path;
    struct span folder; /* of the file, for images */
    struct span subject, language;
};

/* A zeroed question with the file's subject and language; NULL: out of memory. */
struct question *suite_push(struct suite *s, const struct file_facts *f);
/* Everything a question must have, and its id. 'row' is for the message. */
KT_MUST_CHECK enum kt_status question_finish(struct question *q, const struct file_facts *f,
                                             size_t row, struct kt_error *err);
/* "B" or "b" -> 1; false for anything else. */
bool letter_of(struct span s, uint32_t *out);

KT_MUST_CHECK enum kt_status suite_add_csv(struct suite *s, struct span text,
                                           const struct file_facts *f, struct kt_error *err);
KT_MUST_CHECK enum kt_status suite_add_jsonl(struct suite *s, struct span text,
                                             const struct file_facts *f, struct kt_error *err);

#endif
