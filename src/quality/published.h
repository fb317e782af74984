/* quality/published.h: what the makers of Qwen3.5 say their models score, to read a result beside.
 *
 * Their prompts, samplings and numbers of tries are not known in every detail, so a difference of a
 * point or two says nothing. */
#ifndef QUALITY_PUBLISHED_H
#define QUALITY_PUBLISHED_H

#include <stdbool.h>
#include <stddef.h>

/* Percent, of the suite whose name 'suite' begins with or contains ("mmmlu_test", "GPQA_diamond"), for the
 * qwen35 model with that width and number of layers. *bench is the published name. False: not known. */
bool published_figure(const char *suite, size_t d_model, size_t n_layers, bool thinking,
                      double *percent, const char **bench);

#endif
