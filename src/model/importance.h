/* model/importance.h: which columns of a matrix matter, measured on a text.
 *
 *   struct importance_sums   collects, while a model reads: for every matrix and input column the sum
 *                            of squares of what the matrix was multiplied with
 *   struct importance        such data from a file, for the quantiser
 *
 * An error in weight [r, c] changes output r by that error times input c: errors in columns with large
 * inputs cost more, and the quantiser can trade one for the other. Matrices of experts have sums and
 * counts of their own, since each sees other tokens.
 *
 * The file is GGUF as llama.cpp's tool of this purpose writes it (docs/FORMATS.md), so that either can
 * use the other's. Names are those of the model it was measured on. */
#ifndef MODEL_IMPORTANCE_H
#define MODEL_IMPORTANCE_H

#include "kernels/kernels.h"
#include "model/model_file.h"

struct importance_sums;

/* 'file' is the measured model's, borrowed. */
KT_MUST_CHECK enum kt_status importance_sums_create(struct importance_sums **out,
                                                    const struct model_file *file,
                                                    struct kt_error *err);
void importance_sums_destroy(struct importance_sums *s);
/* w is about to be multiplied with the rows of x. Matrices that lie in no tensor of the file are
 * passed over. One thread at a time. */
void importance_sums_add(struct importance_sums *s, const struct mat *w, const struct act *x);
/* 'text_name' says what was read, in windows of n_window tokens. Replaces 'path' as one step. */
KT_MUST_CHECK enum kt_status
importance_sums_write(const struct importance_sums *s, const char *path, const char *text_name,
                      size_t n_windows, size_t n_window, struct kt_error *err);

struct importance;

/* Sums of products are kept for blocks of so many neighbouring columns. */
enum { IMPORTANCE_BLOCK = 256 };

KT_MUST_CHECK enum kt_status importance_open(struct importance **out, const char *path,
                                             struct kt_error *err);
void importance_close(struct importance *p);
/* The name under which data about a tensor is kept: without the "model." or "model.language_model." of
 * folders, since names in GGUF files are short. */
struct span importance_name(struct span tensor);
/* How many matrices it knows (a stack of experts is one). */
size_t importance_n(const struct importance *p);
/* Does it know tensor 'name'? Then *n_cols and *n_mats are its shape. */
bool importance_find(const struct importance *p, struct span name, size_t *n_cols, size_t *n_mats);
/* Mean squares of matrix mat_idx of a tensor that it knows: out[n_cols], scaled to a mean of one and
 * none below a hundred-thousandth. False when this matrix was never used: nothing is known then. */
bool importance_get(const struct importance *p, struct span name, size_t mat_idx, float *out);
/* Sums of products of the inputs of the one matrix that tensor 'name' is: out[n_cols][IMPORTANCE_BLOCK], where row
 * c belongs to column c and entry l, from the diagonal on, to place l of c's block of columns; the rest is 0. Also
 * found when they are kept under another matrix with the same input. False: not known, out is untouched. */
bool importance_products(const struct importance *p, struct span name, float *out);
bool importance_has_products(const struct importance *p, struct span name, size_t n_cols);
/* The matrix that reads the same as tensor 'name', so that its products serve both: "blk.3.attn_k.weight" ->
 * "blk.3.attn_q.weight" in 'out'. False: none, this one has its own. */
bool importance_stand_in(struct span name, char out[static 256]);

#endif
