/* engine/pace.h: what goes into the next step when several want one.
 *
 * A step reads the weights once for all its rows, so those who write an answer (some rows each, all or none of
 * them) always ride together. Prompts come in by the slice: as many rows as fit a time, which is short while
 * somebody's answer is being written and read, so that it never stops. Who gets the slice: the better class,
 * in it the user who has had least, then whoever came first; what they leave goes to the next.
 *
 * Times are measured as steps are made and fitted with three numbers: what a step takes whatever it does
 * (reading the weights), what a row of an answer adds and what a row of a prompt adds. Pure: no clock, no locks,
 * no allocation. */
#ifndef ENGINE_PACE_H
#define ENGINE_PACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kontor/engine.h"

/* ---- how long steps take ---- */

struct pace_cost {
    /* Sums over steps without prompts, those long ago counting less: of 1, rows, rows^2, s, rows * s. */
    double n, r, rr, s, rs;
    double prompt_row_s; /* 0: no prompt was read yet */
};

/* A step of so many rows took so long. */
void pace_saw(struct pace_cost *c, size_t n_answer, size_t n_prompt, double seconds);
/* Seconds of a step; 0 as long as nothing is known. */
double pace_step_s(const struct pace_cost *c, size_t n_answer, size_t n_prompt);
/* What a row of an answer adds to a step, and a step with one; 0, 0 as long as nothing is known. */
void pace_answer_s(const struct pace_cost *c, double *one_s, double *row_s);

/* ---- whose turn it is ---- */

enum { PACE_USERS = 64 }; /* whose use is remembered: more than a step has spans */

struct pace_users {
    struct pace_user {
        int64_t user;
        double had_s;   /* of the machine                   */
        size_t n_here;  /* who work at this moment           */
        uint64_t since; /* larger: later; 0: the slot is free */
    } list[PACE_USERS];
    uint64_t clock;
};

/* Somebody of this user begins, ends. Who begins has had as much as the one here who has had least: time away is
 * not saved up. */
void pace_user_comes(struct pace_users *u, int64_t user);
void pace_user_goes(struct pace_users *u, int64_t user);
void pace_user_had(struct pace_users *u, int64_t user, double seconds);
double pace_user_s(const struct pace_users *u, int64_t user);

/* ---- the next step ---- */

struct pace_post {
    enum kt_class class;
    int64_t user;
    double user_s;  /* pace_user_s()                                             */
    bool answer;    /* all of n_rows or nothing; else a prompt, any part of it   */
    bool patient;   /* a prompt that nobody but its owner waits for: no limit    */
    size_t n_rows;  /* >= 1                                                      */
    uint64_t order; /* smaller: earlier                                          */
    size_t n_taken; /* out                                                       */
};

/* Fills in n_taken, in sum at most n_rows_max, which is at least every answer's n_rows. At least one post gets
 * something. alone: nobody else works with this engine. */
void pace_plan(struct pace_post *posts, size_t n, bool alone, const struct pace_cost *c,
               size_t n_rows_max);

#endif
