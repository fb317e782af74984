/* store/index.h: chunks in and out of the full-text index. All calls are part of the caller's
 * transaction. */
#ifndef STORE_INDEX_H
#define STORE_INDEX_H

#include <stdint.h>

#include "base/span.h"
#include "base/status.h"

struct kt_matter;
struct sqlite3_stmt;

/* The statement behind index_put() or index_take(), prepared once for many chunks. */
KT_MUST_CHECK enum kt_status index_prepare_put(struct sqlite3_stmt **out, struct kt_matter *m,
                                               struct kt_error *err);
KT_MUST_CHECK enum kt_status index_prepare_take(struct sqlite3_stmt **out, struct kt_matter *m,
                                                struct kt_error *err);
/* Put a chunk in, or take it out again with the same text and parts. */
KT_MUST_CHECK enum kt_status index_row(struct kt_matter *m, struct sqlite3_stmt *q,
                                       int64_t chunk_id, struct span text, struct span parts,
                                       struct kt_error *err);
/* Count the words of a document in (by = 1) or out (by = -1); 'text' is the document's whole text.
 * Words counted in are known to the splitter from then on; the first call of a handle loads the
 * matter's vocabulary. */
KT_MUST_CHECK enum kt_status index_count_words(struct kt_matter *m, struct span text, int by,
                                               struct kt_error *err);
/* The compound parts of the words of 'text', in the form index_row() takes, appended to out. */
void index_parts(struct kt_matter *m, struct span text, struct buf *out);

#endif
