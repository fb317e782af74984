/* tests/golden/gold.h: reading a .gold file (its format is in tools/reference/goldens.py). */
#ifndef GOLDEN_GOLD_H
#define GOLDEN_GOLD_H

#include <stddef.h>
#include <stdint.h>

struct gold {
    int32_t n_tokens, n_cols, n_width;
    float std;             /* of all values of all positions, also those not kept here */
    const int32_t *tokens; /* [n_tokens] */
    const int32_t *cols;   /* [n_cols]   */
    const int32_t *argmax; /* [n_tokens] */
    const float *margin;   /* [n_tokens] */
    const float *values;   /* [n_tokens, n_cols] */
    int32_t *block;        /* what the pointers point into */
};

/* tests/golden/NAME of the source tree. Fails the test when it is missing or not such a file. */
void gold_open(struct gold *g, const char *name);
void gold_close(struct gold *g);

/* How far 'got' [n_tokens, n_width] is from it. */
struct gold_distance {
    double max_abs; /* largest difference, in units of g->std */
    size_t n_wrong; /* positions whose argmax differs although the reference's margin exceeds
                       'tolerance' */
    size_t n_sure;  /* positions with such a margin */
};
struct gold_distance gold_compare(const struct gold *g, const float *got, double tolerance);

#endif
