/* The two mixers of a decoder layer, between their input and output matrices. */
#ifndef MODEL_ATTENTION_H
#define MODEL_ATTENTION_H

#include "model/model_priv.h"

/* Norm (where the model has one) and turn b.q and b.k, append b.k and b.v to each row's cache. */
void attention_store(struct model_run *r, const struct layer *l, uint32_t layer);
/* mix = softmax attention of b.q over each row's cache, gated where the model has a gate. */
void attention_read(struct model_run *r, uint32_t layer);

/* conv = silu(convolution of b.u over time); q and k normalised per head, q scaled; decay and beta.
 */
void linear_prepare(struct model_run *r, const struct layer *l, uint32_t layer);
/* mix = gated norm of what each head's state answers, after learning each row in turn. */
void linear_recur(struct model_run *r, const struct layer *l, uint32_t layer);

#endif
