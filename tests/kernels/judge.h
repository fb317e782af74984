/* tests/kernels/judge.h: what the judges of the kernels share.
 *
 * Goal: every level of the table gives the bytes of ref, on any size, alignment and content, reads
 * nothing outside its inputs and writes nothing outside its outputs. Method: inputs and outputs lie
 * flush against pages that may not be touched, at either end; outputs are filled with junk first
 * and compared whole, gaps included. ref itself is judged against double precision with a stated
 * tolerance (truth.c). */
#ifndef TESTS_KERNELS_JUDGE_H
#define TESTS_KERNELS_JUDGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "kernels/kernels.h"

/* ---- random numbers: xorshift64*, from the printed seed ---- */

extern uint64_t rng_state;
uint64_t rng_next(void);
size_t rng_below(size_t n);
float rng_normal(void);

/* What a buffer is filled with. EXTREME stays so small that finite sums stay finite. */
enum fill { FILL_NOISE, FILL_ZERO, FILL_EXTREME, FILL_SPARSE, FILL_COUNT };
extern const char *const fill_names[FILL_COUNT];
void fill_floats(float *x, size_t n, enum fill fill);
void fill_bytes(void *p, size_t n);
uint16_t random_half(enum fill fill);

/* Weights of any type: random integers, scales of the kind asked for. */
void fill_weights(void *p, enum qtype type, size_t n_rows, size_t row_bytes, enum fill fill);

/* ---- guarded memory ---- */

enum side { SIDE_END, SIDE_START }; /* which end lies against the forbidden page */
/* n bytes; given back, all of them at once, by guard_release_all. Aborts without memory. */
void *guard_alloc(size_t n, enum side side);
void *guard_copy(const void *p, size_t n, enum side side);
void guard_release_all(void);

/* ---- verdicts ---- */

struct verdict {
    size_t passed, failed;
};
extern struct verdict verdict;

/* One check: equal bytes, or both floats NaN. 'what' is printf text that says how to find the case
 * again. */
bool check_floats(const float *found, const float *expected, size_t n, const char *what, ...)
    __attribute__((format(printf, 4, 5)));
bool check_bytes(const void *found, const void *expected, size_t n, const char *what, ...)
    __attribute__((format(printf, 4, 5)));
bool check(bool ok, const char *what, ...) __attribute__((format(printf, 2, 3)));

/* Said before every call of a kernel, so that a crash on a guard page can be told apart from
 * others. */
void about_to_run(const char *slot, const char *level);
void report_crashes(uint64_t seed);

/* ---- levels ---- */

struct level {
    const char *name;
    uint32_t flags;
    struct kernels k;
};
extern struct level levels[8]; /* [0] is ref */
extern size_t n_levels;
void levels_init(void);

/* ---- the judges ---- */

void test_matmul(void);
void test_vector(void);
void test_attention(void);
void test_truth(void);
void bench(void);

#endif
