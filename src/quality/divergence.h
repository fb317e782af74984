/* quality/divergence.h: how far one model's predictions are from another's, over a text.
 *
 * A struct divergence_point is one judged token; a struct divergence_summary what is said about all
 * of them. The measures and their names are those that quantised models are usually published with
 * (docs/QUALITY.md). Standard errors take the points as independent, which neighbours in a text are
 * not quite: they are the least that should be believed. Pure functions. */
#ifndef QUALITY_DIVERGENCE_H
#define QUALITY_DIVERGENCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct divergence_point {
    double nll, nll_base; /* -log of the probability of the token that stands there */
    double kl;            /* sum of p (log p - log q), p the base's */
    bool same_top;        /* the most likely token is the same */
};

/* logp_base: [n_vocab] log-probabilities; logits: [n_vocab]; id: the token that stands there. */
struct divergence_point divergence_at(const float *logp_base, const float *logits, size_t n_vocab,
                                      int32_t id);

struct measured {
    double value, error; /* error: standard error, 0 for a single point */
};

struct divergence_summary {
    size_t n;
    struct measured nll, nll_base, nll_difference; /* means; the difference taken token by token */
    struct measured kl;                            /* mean */
    double kl_median, kl_90, kl_99, kl_999, kl_max;
    struct measured same_top; /* fraction */
    struct measured dp;       /* mean of q(token) - p(token) */
    struct measured dp_rms;   /* root of the mean square of that */
};

/* n >= 1; 'scratch' is [n]. */
void divergence_summarise(struct divergence_summary *out, const struct divergence_point *points,
                          size_t n, double *scratch);

/* The mean of n >= 1 numbers and its standard error. */
struct measured measured_mean(const double *x, size_t n);

#endif
