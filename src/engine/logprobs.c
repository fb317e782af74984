/* engine/logprobs.c: what the model thought of a token and of the others, for whoever asks.
 *
 * The numbers are those of the model's own distribution: the log softmax of its logits over the whole vocabulary, before a
 * constraint, a penalty or the temperature changes anything. Made only when asked for: it is a pass over the vocabulary. */
#include <math.h>

#include "engine/engine_priv.h"
#include "engine/sample.h"

/* Keep the n best in order; of equals the smaller id, which comes first. */
static void take(struct token_top *top, size_t *n, size_t n_max, int32_t id, float logit)
{
    size_t at = *n;
    if (at == n_max && !(logit > top->logprobs[at - 1]))
        return;
    at = at == n_max ? at - 1 : at;
    for (; at > 0 && logit > top->logprobs[at - 1]; at--) {
        top->ids[at] = top->ids[at - 1];
        top->logprobs[at] = top->logprobs[at - 1];
    }
    top->ids[at] = id;
    top->logprobs[at] = logit;
    *n += *n < n_max;
}

void token_judge(struct kt_token *t, struct token_top *top, const float *logits, size_t n_vocab,
                 const uint64_t *allowed)
{
    double own = kt_logprob(logits, n_vocab, t->id);
    double norm = (double)logits[t->id] - own; /* log of the sum of all e^logit */
    size_t n_max = t->n_top, n = 0;
    for (size_t id = 0; n_max && id < n_vocab; id++)
        if (mask_has(allowed, id) && logits[id] > -INFINITY)
            take(top, &n, n_max, (int32_t)id, logits[id]);
    for (size_t i = 0; i < n; i++)
        top->logprobs[i] = (float)((double)top->logprobs[i] - norm);
    t->logprob = (float)own;
    t->top_ids = top->ids;
    t->top_logprobs = top->logprobs;
    t->n_top = n;
}
