/* serve/serve_priv.h: what the files of this folder share. */
#ifndef SERVE_SERVE_PRIV_H
#define SERVE_SERVE_PRIV_H

#include <pthread.h>

#include "base/status.h"
#include "serve/serve.h"

/* ---- lane.c: a bounded queue and the thread that works it off ---- */

struct job {
    struct job *next;
    const struct visitor *visitor;
    enum kt_status (*run)(struct job *j); /* on the lane's thread */
    void *arg;
    struct kt_error *err;
    enum kt_status st;
    uint64_t queued_ns, begun_ns;
    enum { JOB_WAITS, JOB_RUNS, JOB_DONE } state;
};

enum { LANE_USERS = 256 }; /* whose last turn is remembered; more people than a small server has */

struct lane {
    pthread_mutex_t lock; /* guards all of it */
    pthread_cond_t changed;
    pthread_t thread;
    bool started, closing;
    struct job *first, **last;
    size_t n_waiting, n_waiting_max;
    bool running;
    uint64_t turn;
    struct {
        int64_t user;
        uint64_t turn;
    } turns[LANE_USERS];
    uint64_t refused, cancelled;
};

KT_MUST_CHECK enum kt_status lane_open(struct lane *l, size_t n_waiting_max, struct kt_error *err);
void lane_close(struct lane *l);
/* Wait for the turn and for the work. */
KT_MUST_CHECK enum kt_status lane_do(struct lane *l, struct job *j);
/* For whoever works: should it stop? */
bool lane_stops(struct lane *l, const struct visitor *v);

/* ---- warm.c: contexts that are kept; used by the lane's thread alone but for the counts ---- */

enum { SCOPE_BYTES = 64, WARM_MAX = 64 };

struct warm {
    struct kt_context *context;
    int64_t user;
    char scope[SCOPE_BYTES];
    int32_t *tokens; /* [n_ctx] what the context has seen */
    size_t n_tokens;
    uint64_t used; /* larger: later */
};

struct warm_set {
    struct kt_engine *engine;
    struct kt_context_options options;
    uint64_t context_bytes;
    struct warm slots[WARM_MAX];
    size_t n_max; /* that fit the budget */
    uint64_t clock;
};

KT_MUST_CHECK enum kt_status warm_open(struct warm_set *w, struct kt_engine *e, size_t n_ctx,
                                       uint64_t memory_bytes, struct kt_error *err);
void warm_close(struct warm_set *w);
/* The context for this prompt: the conversation it continues, or a fresh one. */
KT_MUST_CHECK enum kt_status warm_take(struct warm **out, struct warm_set *w,
                                       const struct visitor *v, const int32_t *prompt,
                                       size_t n_prompt, struct kt_error *err);
/* What it has seen by now. */
void warm_note(struct warm_set *w, struct warm *s, const int32_t *prompt, size_t n_prompt,
               const int32_t *more, size_t n_more);
void warm_forget(struct warm_set *w, const char *scope);
size_t warm_count(const struct warm_set *w);

#endif
