/* engine/ngram.h: what followed the last time the text read like this.
 *
 * An index of a token sequence by its runs of NGRAM_MIN tokens. Adding a token and asking take a
 * bounded time each, whatever the length: a hash of the last run leads to the latest place it stood,
 * from there to the place before, for NGRAM_TRIES places, and the one wins that agrees furthest
 * backwards. Answers that quote, repeat names or rewrite a passage are guessed well by this, at no
 * cost that could be measured. Knows nothing of models. */
#ifndef ENGINE_NGRAM_H
#define ENGINE_NGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

enum {
    NGRAM_MIN = 3,    /* tokens that must agree: two agree by chance too often      */
    NGRAM_MATCH = 32, /* longer agreement is not looked for                         */
    NGRAM_TRIES = 16, /* places looked at; the latest are the likeliest             */
};

struct ngram {
    size_t n, n_max;
    int32_t *tokens;  /* [n_max]                                                    */
    uint32_t *before; /* [n_max] where the run that ends here stood before, + 1; 0: nowhere */
    uint32_t *last;   /* [1 << bits] where a run of this hash ended last, + 1               */
    unsigned bits;
};

/* For up to n_max tokens, at most 2^31. Empty at first. */
KT_MUST_CHECK enum kt_status ngram_init(struct ngram *x, size_t n_max, struct kt_error *err);
/* What that takes. */
KT_MUST_CHECK bool ngram_bytes(size_t *bytes, size_t n_max);
void ngram_deinit(struct ngram *x);
void ngram_reset(struct ngram *x);
/* One more token; negative ids agree with nothing, not even themselves (between two texts). More than
 * n_max are ignored. */
void ngram_push(struct ngram *x, int32_t id);
/* What followed the longest agreement with the end of the sequence: up to n_max tokens into 'out', none
 * of them negative. Returns how many; *match is how many tokens agreed. Where the agreement overlaps the
 * end, the guess goes round. */
size_t ngram_guess(const struct ngram *x, int32_t *out, size_t n_max, size_t *match);

#endif
