/* model/positions.h: where the tokens of a prompt with images are.
 *
 * Text goes on one by one, the same in all three coordinates (time, row, column). The vectors of an
 * image of rows x cols that begins at p have time p, row p + y and column p + x; what follows begins at
 * p + max(rows, cols). A video is an image for each pair of frames, each after the text with its time:
 * time is told by that text alone. */
#ifndef MODEL_POSITIONS_H
#define MODEL_POSITIONS_H

#include <stddef.h>
#include <stdint.h>

/* n tokens of text, or the rows x cols vectors of an image. */
struct prompt_run {
    uint32_t n;          /* of text; 0 for an image */
    uint32_t rows, cols; /* of an image             */
};

/* How many tokens a run has. */
static inline size_t prompt_run_tokens(const struct prompt_run *r)
{
    return r->n ? r->n : (size_t)r->rows * r->cols;
}

/* Token 'idx' of a run that begins at 'p'. */
static inline void prompt_run_position(uint32_t at[static 3], const struct prompt_run *r,
                                       uint32_t p, size_t idx)
{
    uint32_t i = (uint32_t)idx;
    at[0] = r->n ? p + i : p;
    at[1] = r->n ? p + i : p + i / r->cols;
    at[2] = r->n ? p + i : p + i % r->cols;
}

/* Where what follows it begins. */
static inline uint32_t prompt_run_end(const struct prompt_run *r, uint32_t p)
{
    uint32_t longer = r->rows > r->cols ? r->rows : r->cols;
    return p + (r->n ? r->n : longer);
}

/* Positions of all tokens of the runs: out [all tokens]. Returns where what follows begins; 'p' is where the
 * first run does. */
uint32_t prompt_positions(uint32_t (*out)[3], const struct prompt_run *runs, size_t n_runs,
                          uint32_t p);

#endif
