/* engine/head.h: the multi-token head, kept in step with one timeline, and its guesses.
 *
 * Its t-th pair is the trunk's hidden state of token t and the token t + 1 (docs/MODEL.md 2.4). Pairs are
 * gathered as the tokens become certain and handed over together when a guess is wanted: the head's weights
 * are read once for all of them. Guesses after the first feed the head's own hidden state back; what that
 * leaves in its keys and values is cut off again afterwards, so that it only ever remembers what is true.
 *
 * Guesses may be wrong, so the head may take short cuts that the trunk may not: only some ids are
 * looked at, and it may begin in the middle of a text, where it has not seen what came before (the rotation
 * is relative, so that its positions may be counted from there). */
#ifndef ENGINE_HEAD_H
#define ENGINE_HEAD_H

#include <stdbool.h>

#include "engine/engine_priv.h"

enum {
    HEAD_PAIRS_MAX = 64, /* gathered before they are handed over even without a guess */
    /* Ids the head may guess: the first, and those the timeline has shown. docs/PERFORMANCE.md has the
     * share of office text that these are. */
    HEAD_IDS = 65536,
    HEAD_SEEN_MAX = 4096,
};

struct head;

/* For a timeline of up to n_ctx tokens whose steps have up to n_rows rows. */
KT_MUST_CHECK enum kt_status
head_create(struct head **out, struct kt_engine *e, struct turn_seat *seat, struct model_run *run,
            size_t n_ctx, size_t n_rows, struct state_types types, struct kt_error *err);
void head_destroy(struct head *h);
/* How long it has waited for others since this was last asked. */
double head_waited_s(struct head *h);
/* What it takes beside its keys and values. */
KT_MUST_CHECK bool head_bytes(size_t *bytes, const struct kt_engine *e, size_t n_rows);

/* The ids of these are among those that may be guessed, and of all tokens seen later; replaces what an
 * earlier call said. */
void head_remember(struct head *h, const int32_t *tokens, size_t n);

/* [n_rows, d_model]: where the trunk's next step puts its rows' hidden states. */
float *head_rows(struct head *h);
/* After that step: the row of the token that is now the last, which is the at-th of the timeline. */
void head_saw_row(struct head *h, size_t row, size_t at);
/* The timeline was computed without hidden states, or starts over. */
void head_lost(struct head *h);
/* Token 'id' becomes the at-th of the timeline: call before the next step overwrites the rows. 'keen':
 * guesses are likely to be wanted soon; otherwise pairs are dropped when they become many. */
KT_MUST_CHECK enum kt_status head_saw_token(struct head *h, int32_t id, size_t at, bool keen,
                                            struct kt_error *err);
/* A chunk of a prompt, after its step with hidden states: tokens [at, at + n) of the timeline. The first was
 * given to head_saw_token() before the step. */
KT_MUST_CHECK enum kt_status head_saw_chunk(struct head *h, const int32_t *tokens, size_t n,
                                            size_t at, struct kt_error *err);

/* Guess the token after the last one given to head_saw_token(); then, 'last' being the guess before, the ones
 * after that. *id is the most probable that may be produced, -1 when there is none. head_cut() afterwards. */
KT_MUST_CHECK enum kt_status head_guess(struct head *h, int32_t *id, float *probability,
                                        struct kt_error *err);
KT_MUST_CHECK enum kt_status head_guess_on(struct head *h, int32_t last, int32_t *id,
                                           float *probability, struct kt_error *err);
void head_cut(struct head *h);

#endif
