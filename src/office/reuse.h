/* office/reuse.h: vectors of passages that a new version of a document still has.
 *
 * Before a document is replaced, what its vectors were made of is remembered by hash; a passage of the new version that
 * reads the same to the model (title and text, to the byte) takes the vector over. It went through f16 once, and going
 * through it again changes nothing. */
#ifndef OFFICE_REUSE_H
#define OFFICE_REUSE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/span.h"
#include "kontor/store.h"

struct reuse;

/* What the embedding model reads for a passage; heap, NULL when out of memory. */
char *reuse_text(const char *title, struct span text);
/* Of all documents at or below 'path'. *out NULL: there are none. */
KT_MUST_CHECK enum kt_status reuse_collect(struct reuse **out, struct kt_matter *m,
                                           const char *path, struct kt_error *err);
void reuse_destroy(struct reuse *r);
/* The vector that 'text' had, if there was one of this size. r may be NULL. */
bool reuse_find(const struct reuse *r, const char *text, float *v, size_t dim);

#endif
