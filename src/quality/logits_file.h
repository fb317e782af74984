/* quality/logits_file.h: what a model said about every token of a text, kept so that others can be
 * compared with it.
 *
 *   struct logits_writer   rows go in, in order; the file appears when it is complete
 *   struct logits_file     a finished one, mapped
 *
 * The text is cut into windows of n_window tokens, each read from nothing. Every token but the first
 * of its window is judged, by the row of the token before it: a window of n tokens has n - 1 rows. A
 * last window of one token has none.
 *
 * Log-probabilities are kept in 16 bits each: the largest of a row as it is, the others as whole steps
 * below it (at least one), a step being 1/65535 of the row's range. The error is half a step, some
 * 0.0003, and the divergence that this alone causes some 1e-8. docs/FORMATS.md has the bytes. */
#ifndef QUALITY_LOGITS_FILE_H
#define QUALITY_LOGITS_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "base/span.h"
#include "base/status.h"

struct logits_writer;
struct logits_file;

/* Rows of a text of n_tokens in windows of n_window >= 2. */
size_t logits_n_rows(size_t n_tokens, size_t n_window);

KT_MUST_CHECK enum kt_status logits_writer_open(struct logits_writer **out, const char *path,
                                                size_t n_vocab, size_t n_window, const int32_t *ids,
                                                size_t n_ids, struct kt_error *err);
/* The next row: logits [n_vocab]. KT_E_INTERNAL when one of them is no finite number. */
KT_MUST_CHECK enum kt_status logits_writer_put(struct logits_writer *w, const float *logits,
                                               struct kt_error *err);
/* All rows are there: put the file in its place. */
KT_MUST_CHECK enum kt_status logits_writer_finish(struct logits_writer *w, struct kt_error *err);
void logits_writer_close(struct logits_writer *w); /* without a finish, nothing is left behind */

/* KT_E_FORMAT when the file is not one of these, or not whole. */
KT_MUST_CHECK enum kt_status logits_file_open(struct logits_file **out, const char *path,
                                              struct kt_error *err);
/* The same from bytes in memory, borrowed until closing. */
KT_MUST_CHECK enum kt_status logits_file_open_memory(struct logits_file **out, struct span bytes,
                                                     const char *name, struct kt_error *err);
void logits_file_close(struct logits_file *f);

size_t logits_file_n_vocab(const struct logits_file *f);
size_t logits_file_n_window(const struct logits_file *f);
size_t logits_file_n_tokens(const struct logits_file *f);
int32_t logits_file_token(const struct logits_file *f, size_t idx);
size_t logits_file_n_rows(const struct logits_file *f);
/* Log-probabilities [n_vocab] that add up to one. KT_E_FORMAT when the row's numbers are none. */
KT_MUST_CHECK enum kt_status logits_file_row(const struct logits_file *f, size_t row_idx,
                                             float *logp, struct kt_error *err);

#endif
