/* quality/results.h: answers as they come, so that a run that was stopped goes on where it was.
 *
 * A file of JSON lines. The first says what was asked how ("settings", one line, compared to the byte);
 * each other is one question: {"i", "id", "chosen", "answer", ...}. A line is written with one call, so a
 * killed run leaves at most one torn line, which the next run cuts off. */
#ifndef QUALITY_RESULTS_H
#define QUALITY_RESULTS_H

#include "quality/evaluate.h"
#include "quality/tally.h"

struct results;

/* Reads what is there into chosen[s->n], which the caller has filled with CHOSEN_NOT_YET. KT_E_USAGE when
 * it is of other questions or settings; KT_E_BUSY when another process writes to it. */
KT_MUST_CHECK enum kt_status results_open(struct results **out, const char *path,
                                          const char *settings, const struct suite *s,
                                          int8_t *chosen, struct kt_error *err);
KT_MUST_CHECK enum kt_status results_add(struct results *r, const struct suite *s, size_t idx,
                                         const struct eval_answer *a, bool with_scores,
                                         struct kt_error *err);
void results_close(struct results *r);

/* What is read from a line: false when it is no answer to a question of s. */
bool results_parse(struct span line, const struct suite *s, size_t *idx, int8_t *chosen);

#endif
