/* The integers of prepared rows, made where and when their readers want them. */
#ifndef MODEL_ACT_H
#define MODEL_ACT_H

#include "kernels/kernels.h"

/* Whether x's integers, which are about to be made, are also arranged for products: decided once, before threads share
 * the rows among them. */
static inline void act_will_arrange(const struct kernels *k, struct act *x)
{
    bool pays = k->act_arrange && x->tiles && x->n_rows >= ACT_ARRANGE_FROM;
    x->n_arranged = pays ? x->n_rows : 0;
}

/* The integers of rows [row0, row1), from f. */
static inline void act_integers(const struct kernels *k, struct act *x, size_t row0, size_t row1)
{
    k->act_quantize(x, row0, row1);
    if (x->n_arranged)
        k->act_arrange(x, row0, row1);
}

#endif
