/* A mixture of experts: feed-forward parts of which each row goes through a few.
 *
 * Each expert multiplies all rows that chose it at once. Rows are copied next to each other for
 * that: a place is an index among the rows of the first expert, then of the second, and so on. */
#ifndef MODEL_EXPERTS_H
#define MODEL_EXPERTS_H

#include "model/model_priv.h"

/* The n_used largest of n_experts probabilities, the largest first and the lower index first among
 * equals; their parts are divided by their sum. Whatever the numbers are, NaN too, n_used different
 * experts are chosen. */
void experts_choose(struct choice *c, const float *probs, size_t n_experts, size_t n_used);
/* choices, crowds and shared_part, from the router's product in b.probs. */
void experts_route(struct model_run *r, const struct layer *l);
/* expert_out = down(silu(gate x) * (up x)) for every place. */
void experts_run(struct model_run *r, const struct layer *l);
/* x += sum of part * expert_out, the most probable expert first, + shared_part * y. The order is the
 * row's own, so its sum does not depend on the others. */
void experts_add(struct model_run *r);

#endif
