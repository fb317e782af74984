/* tests/golden/gold.h: reading a .gold file (its forms are in tools/reference/goldens.py). */
#ifndef GOLDEN_GOLD_H
#define GOLDEN_GOLD_H

#include <stddef.h>
#include <stdint.h>

struct gold {
    int32_t n_tokens; /* rows */
    int32_t n_cols, n_width;
    float std;             /* of all values of all rows, also those not kept here */
    const int32_t *argmax; /* [n_tokens] */
    const float *margin;   /* [n_tokens] */
    const float *values;   /* [n_tokens, n_cols] */

    /* One of two forms has these, */
    const int32_t *tokens; /* [n_tokens] */
    const int32_t *cols;   /* [n_cols]   */
    /* the other these; then column j of a row is (j * (n_width / n_cols) + pos) % n_width. */
    const int32_t *pos; /* [n_tokens]: which token's rows these are */
    const float *top, *lse; /* [n_tokens]: largest value, log of the sum of exponentials */
    int32_t *block;         /* what the pointers point into */
};

/* tests/golden/NAME of the source tree. Fails the test when it is missing or not such a file. */
void gold_open(struct gold *g, const char *name);
void gold_close(struct gold *g);

/* How far 'got' [n_rows, n_width] is from its first n_rows rows. */
struct gold_distance {
    double max_abs; /* largest difference, in units of g->std; of top and lse, too */
    size_t n_wrong; /* positions whose argmax differs although the reference's margin exceeds
                       'tolerance' */
    size_t n_sure;  /* positions with such a margin */
};
struct gold_distance gold_compare_rows(const struct gold *g, size_t n_rows, const float *got,
                                       double tolerance);
struct gold_distance gold_compare(const struct gold *g, const float *got, double tolerance);

#endif
