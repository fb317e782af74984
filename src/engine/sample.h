/* engine/sample.h: from a row of logits to one token.
 *
 * The order is fixed and is that of the OpenAI and Hugging Face conventions:
 *   1. ids that may never be sampled, and ids the mask forbids, are gone;
 *   2. biases: what the caller adds to the logits of some tokens; presence penalty: a constant off the logits of
 *      tokens generated already; frequency penalty: another for every time that they were;
 *   3. temperature: logits / T;
 *   4. top-k: the k largest (ties: the smaller id);
 *   5. top-p: of what is left, the smallest set whose probability reaches p (never empty);
 *   6. min-p: of what is left, p >= min_p * the largest p;
 *   7. one draw from what is left, renormalised.
 * Temperature 0 is greedy: the largest logit after step 2, the smaller id of equals, and nothing
 * else.
 *
 * The n-th pick of a sampler draws with the n-th number of its seed, whatever was drawn before it. So a
 * token that was guessed and then picked is the one that would have been picked without the guess, at
 * any temperature: guessing first and comparing afterwards changes no probability.
 *
 * All exponentials go through the kernel table, whose bits are the same on every machine: the same
 * seed and the same logits give the same tokens everywhere. */
#ifndef ENGINE_SAMPLE_H
#define ENGINE_SAMPLE_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "constrain/mask.h"
#include "kernels/kernels.h"
#include "kontor/engine.h"

struct sampler {
    struct kt_sampling opts;
    uint64_t n_picks;
    const struct kernels *kernels; /* borrowed */
    size_t n_vocab;
    size_t n_cand;
    float *x;         /* [n_vocab] candidates' logits, later probabilities */
    int32_t *ids;     /* [n_vocab] candidates' ids                         */
    uint64_t *keys;   /* [n_vocab] (logit, id) as integers that sort       */
    uint32_t *counts; /* [n_vocab] how often generated; NULL: nothing depends on it */
};

/* KT_E_USAGE for values outside their range (the message names which). */
KT_MUST_CHECK enum kt_status sampler_init(struct sampler *s, const struct kt_sampling *opts,
                                          size_t n_vocab, const struct kernels *k,
                                          struct kt_error *err);
void sampler_deinit(struct sampler *s);

/* Choose one id of 'allowed' (bits, [mask_words(n_vocab)]). *logprob is its log-probability among
 * the allowed ids before penalty, temperature and filters: what the model itself thought of it. The
 * chosen id counts as generated. KT_E_INTERNAL when an allowed logit is not a number; KT_E_NOTFOUND
 * when nothing is allowed. */
KT_MUST_CHECK enum kt_status sampler_pick(struct sampler *s, const float *logits,
                                          const uint64_t *allowed, int32_t *id, float *logprob,
                                          struct kt_error *err);

#endif
