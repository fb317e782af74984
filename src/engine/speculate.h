/* engine/speculate.h: guesses for the tokens that come next, and what became of them.
 *
 * Belongs to one context. Three sources, asked in this order: what a constraint lets follow, or likely follows
 * in a quotation (constraint.h), what followed the same words before (ngram.h), the multi-token head (head.h). How many guesses
 * a step verifies is decided by odds.h. generate.c samples each position as if there were no guesses; a
 * guess that is the token that came out has its logits already. So nothing here can change an answer. */
#ifndef ENGINE_SPECULATE_H
#define ENGINE_SPECULATE_H

#include "engine/engine_priv.h"

struct speculation;

/* For a context whose engine, run, state and n_ctx are set. KT_E_UNSUPPORTED: a head was asked for that the
 * model does not have. */
KT_MUST_CHECK enum kt_status speculation_create(struct speculation **out, struct kt_context *c,
                                                enum kt_speculate kind, struct state_types types,
                                                struct kt_error *err);
void speculation_destroy(struct speculation *s);
/* What it takes, beside the logits of its rows and scratch for steps of as many. */
KT_MUST_CHECK bool speculation_bytes(size_t *bytes, const struct kt_engine *e,
                                     enum kt_speculate kind, size_t n_ctx, size_t n_batch,
                                     struct state_types types);
/* Rows of the steps that verify: the certain token and the guesses. */
enum { SPECULATION_ROWS = TENTATIVE_ROWS };

/* An answer to rq begins: its prompt is read next. KT_E_USAGE: a kind that the context has not. */
KT_MUST_CHECK enum kt_status speculation_begin(struct speculation *s,
                                               const struct kt_generate_request *rq,
                                               struct kt_error *err);
/* Guesses must keep to this, too; borrowed until the answer ends. */
void speculation_set_constraint(struct speculation *s, struct constraint *constraint);
void speculation_end(struct speculation *s, struct kt_generate_result *out);

/* Verify every guess from now on, whatever it costs: for tests. */
void speculation_be_eager(struct speculation *s);

/* ---- for the context ---- */

/* The timeline changed by steps that nobody told about. */
void speculation_lost(struct speculation *s);
/* Around a step of a prompt's tokens [at, at + n), n_total in all, 'pixels': some of which stand for those of
 * an image. *hidden: where it puts its rows' hidden states, NULL: they are not wanted. */
KT_MUST_CHECK enum kt_status
speculation_before_prompt(struct speculation *s, const int32_t *tokens, size_t n, size_t at,
                          size_t n_total, bool pixels, float **hidden, struct kt_error *err);
KT_MUST_CHECK enum kt_status speculation_after_prompt(struct speculation *s, const int32_t *tokens,
                                                      size_t n, size_t at, const float *hidden,
                                                      struct kt_error *err);

/* The answer goes on with token 'id', the at-th of the timeline, which row 'row' of the last step was computed
 * for already. */
KT_MUST_CHECK enum kt_status speculation_hit(struct speculation *s, int32_t id, size_t at,
                                             size_t row, struct kt_error *err);
/* The same when it was not: a step is made next. *guesses for the tokens after it, at most n_max, the callee's
 * until the next call; *hidden as above. */
KT_MUST_CHECK enum kt_status speculation_miss(struct speculation *s, int32_t id, size_t at,
                                              size_t n_max, const int32_t **guesses, size_t *n,
                                              float **hidden, struct kt_error *err);
/* The next step is likely to be made with so many others (odds.h). */
void speculation_in_company(struct speculation *s, size_t n_others, double one_s, double row_s);
/* That step was made, with n guesses, and took so long; 0: not alone. */
void speculation_stepped(struct speculation *s, size_t n, size_t at, double seconds);

#endif
