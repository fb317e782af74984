/* engine/turns.h: steps made together by all who want one.
 *
 * Each context works on its own thread and has a seat here. turns_step() hands in the rows it wants computed and
 * returns when they are; in between one of the waiting threads made a step of everybody's rows (pace.h says of
 * which). There is no thread of its own: whoever comes last makes the step, so a context that is alone makes all
 * of its steps itself and waits for nobody.
 *
 *   AWAY --turns_step()--> POSTED --step made--> HERE --turns_step()--> POSTED ...
 *                                                 '-- late, turns_leave() --> AWAY
 *
 * A step begins when everybody who is HERE has posted. Whoever takes longer than a part of a step (an image is
 * looked at, a client does not take its text) is AWAY until they post again, and nobody waits for them.
 *
 * Scratch memory for steps is made once, for the largest step that any context may want, and lasts as long as
 * there are contexts. Numbers do not depend on the company (model.h).
 *
 * Work that cannot be shared (the multi-token head, a tile of an image, embeddings) is done between
 * turns_enter() and turns_exit(), one at a time, in turn with steps. */
#ifndef ENGINE_TURNS_H
#define ENGINE_TURNS_H

#include <pthread.h>

#include "base/status.h"
#include "kontor/engine.h"
#include "model/model.h"

struct turns;
struct importance_sums;

enum { TURNS_SPANS_MAX = 64 }; /* of one step; a step plan of fixed size, whoever comes */

/* Fields are turns.c's, under its lock; those marked 'owner' may be set by the owner between steps. */
struct turn_seat {
    struct turns *turns;
    struct turn_seat *next; /* of those who are not away */
    enum { SEAT_AWAY, SEAT_HERE, SEAT_POSTED, SEAT_TAKEN, SEAT_DONE } state;
    enum kt_class class;              /* owner */
    int64_t user;                     /* owner; may not change while not away */
    bool shared;                      /* owner: others may come at any time: no long steps */
    struct importance_sums *observer; /* owner; NULL: none. Such steps are made alone */
    pthread_cond_t wake;
    uint64_t order;
    bool withdrawn; /* it had waited and comes again */
    /* what was posted, and what became of it */
    const struct model_span *span;
    bool answer;
    size_t n_taken;
    double alone_s;
    enum kt_status st;
    struct kt_error *err;
    /* of the last step: rows of answers beside mine, and what one row and one more take */
    size_t n_others;
    double one_s, row_s;
};

KT_MUST_CHECK enum kt_status turns_open(struct turns **out, struct model *m, struct kt_error *err);
void turns_close(struct turns *t);

void turns_sit(struct turns *t, struct turn_seat *s);
void turns_leave(struct turn_seat *s); /* nobody waits for it; it may post again */
void turns_stand_up(struct turn_seat *s);

/* Scratch memory for steps of n_rows, to be given back. */
KT_MUST_CHECK enum kt_status turns_reserve(struct turns *t, size_t n_rows, struct kt_error *err);
void turns_unreserve(struct turns *t);

/* Compute the span, which is the callee's until it returns. answer: all of its rows; otherwise *n_taken of them
 * from the beginning, and logits of the last only if it was among them. 0 of a prompt: others went first for a while,
 * and the caller may want to look whether it is still wanted; it keeps its place when it comes again. *alone_s (may be NULL): the seconds of
 * the step, 0 if others were part of it. n_tokens is at most what was reserved. */
KT_MUST_CHECK enum kt_status turns_step(struct turn_seat *s, const struct model_span *span,
                                        bool answer, size_t *n_taken, double *alone_s,
                                        struct kt_error *err);

struct turns_counts {
    uint64_t n_steps, n_spans; /* made; whose rows were in them, each time */
    size_t n_here, n_waiting;  /* seats: not away; of these, waiting for a step */
};
void turns_count(struct turns *t, struct turns_counts *out);

/* The engine's threads for oneself. Returns the scratch memory, NULL if none is reserved; it observes for 's' if
 * that is not NULL, and those who wait for it to post go on waiting. Short: others wait, too. */
struct model_run *turns_enter(struct turns *t, struct turn_seat *s);
void turns_exit(struct turns *t);

#endif
