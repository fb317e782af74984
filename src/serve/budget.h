/* serve/budget.h: does it fit? The memory of a server, added up before anything is loaded.
 *
 *   weights + program + seeing + texts + steps + conversations <= limit
 *
 * weights: the models' files, all of their pages. program: what this process has already, without them (tokenizers, the
 * server itself). seeing: the largest image and what is kept of images. texts: what finding and ranking need. steps: scratch
 * memory, once a model. What then is left is for conversations, those at work and those kept warm, of which every model
 * that writes needs one at least. */
#ifndef SERVE_BUDGET_H
#define SERVE_BUDGET_H

#include "serve/serve.h"

enum { BUDGET_MODELS_MAX = 8 };

struct budget {
    /* in */
    uint64_t limit; /* 0: chosen so that half of what is free is left to others */
    uint64_t
        free; /* what programs can have without pushing anything out; weights that are not in memory come from it */
    uint64_t program, weights, seeing, texts;
    size_t n_models; /* that write */
    struct budget_model {
        uint64_t steps, conversation;
    } models[BUDGET_MODELS_MAX];
    size_t n_ctx; /* of a conversation */
    /* out */
    uint64_t for_conversations[BUDGET_MODELS_MAX]; /* and the model's steps: what a desk may take */
};

/* KT_E_LIMIT: says what takes how much, and which limit would do. */
KT_MUST_CHECK enum kt_status budget_share_out(struct budget *b, struct kt_error *err);

/* Memory of this process without mapped files, when first asked; so that models that come later do not pay for the
 * conversations of those before. */
uint64_t budget_program_bytes(void);
/* What the system says is there without pushing anything out. 0: it does not say. */
uint64_t budget_free_bytes(void);

#endif
