/* The operations of a forward pass over all rows of a step, each in parallel: the words in which
 * forward.c and bert.c are written. Every one returns when it is done everywhere.
 *
 * Rows are tokens. Which thread computes what is undefined; every number is computed by one kernel
 * call in that kernel's fixed order, so results do not depend on it. */
#ifndef MODEL_OPS_H
#define MODEL_OPS_H

#include "model/model_priv.h"

/* act = 'n_cols' columns for the rows of this step. Its memory was made for at least that. */
void act_shape(struct act *x, size_t n_rows, size_t n_cols);

/* Whether one of the matrices multiplies integers, so that what they read must be quantised. */
bool any_integers(const struct mat *const *mats, size_t n);

/* One row range each for as many threads as are worth waking: fn as for pool_for(). 'row_floats' is
 * how many elements a row's work touches; little work stays on the calling thread. */
void for_rows(const struct model_run *r, size_t n, size_t row_floats, pool_fn fn, void *ctx);

/* x = embedding of each row's token, or the vector that stands for it; and the angles of its position. */
void embed_tokens(struct model_run *r, const struct mat *embd);
/* pair = norm(x) | norm(hidden_in), with integers when the head's matrix wants them. */
void pair_rows(struct model_run *r, const struct mtp *head);

/* For whoever collects importance data: w is about to read the rows of x. */
static inline void observe(const struct model_run *r, const struct mat *w, const struct act *x)
{
    if (r->observer)
        importance_sums_add(r->observer, w, x);
}

/* y[row] = w x[row] (+ bias): several matrices that read the same x in one go. */
struct projection {
    const struct mat *w;
    float *y;          /* [n_rows, w->n_rows] */
    const float *bias; /* or NULL */
};
void project(struct model_run *r, const struct act *x, const struct projection *list, size_t n);

/* in = rmsnorm(x) * w, with integers when one of the matrices that will read it wants them. */
void norm_rows(struct model_run *r, const float *w, const struct projection *readers, size_t n);
/* The integers of x, when 'reader' wants them. */
void quantize_rows(struct model_run *r, struct act *x, const struct mat *reader);
/* in[j] = final norm of outs[j].row, with integers for the head; copied to outs[j].hidden where
 * wanted. */
void norm_outputs(struct model_run *r, const float *w, const struct mat *head);
/* x += w act (+ bias). */
void project_add(struct model_run *r, const struct mat *w, const struct act *x, const float *bias);
/* ff = silu(gate in) * (up in), with integers when 'reader' wants them. */
void feed_forward_gated(struct model_run *r, const struct mat *gate, const struct mat *up,
                        const struct mat *reader);
/* logits of outs[0 .. n_logits) from the rows of 'in'. */
void project_logits(struct model_run *r, const struct mat *head);

#endif
