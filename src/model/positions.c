#include "model/positions.h"

uint32_t prompt_positions(uint32_t (*out)[3], const struct prompt_run *runs, size_t n_runs,
                          uint32_t p)
{
    for (size_t r = 0; r < n_runs; r++) {
        size_t n = prompt_run_tokens(&runs[r]);
        for (size_t i = 0; i < n; i++)
            prompt_run_position(*out++, &runs[r], p, i);
        p = prompt_run_end(&runs[r], p);
    }
    return p;
}
