/* serve/serve_priv.h: what the files of this folder share. */
#ifndef SERVE_SERVE_PRIV_H
#define SERVE_SERVE_PRIV_H

#include <pthread.h>

#include "base/status.h"
#include "kontor/cache.h"
#include "serve/serve.h"

/* ---- lane.c: a bounded queue in front of some streams ---- */

struct job {
    struct job *next;
    const struct visitor *visitor;
    bool pausable; /* its work calls lane_go_on() between steps */
    uint64_t queued_ns, begun_ns;
    uint64_t waits_since_ns;       /* in the queue, for its turn or paused */
    uint64_t undisturbed_until_ns; /* it waited so long that it is not paused before */
    enum { JOB_NEW, JOB_WAITS, JOB_RUNS, JOB_STRUCK } state;
    bool has_place;
    bool yields;   /* is to make room for somebody better */
    bool gives_up; /* paused, and is to give up its place as well */
};

enum { LANE_USERS = 256 }; /* whose last turn is remembered; more people than a small server has */

struct lane {
    pthread_mutex_t lock; /* guards all of it, and the jobs that are in it */
    pthread_cond_t changed;
    bool open, closing;
    size_t n_streams, n_places, n_waiting_max;
    struct job *first, **last; /* who wait, or are paused */
    struct job *running;
    size_t n_waiting, n_running, n_places_taken;
    size_t n_inside; /* between lane_begin() and lane_end() */
    uint64_t age_ns,
        undisturbed_ns; /* who waits is a class better after the one, and then has the other for itself */
    uint64_t turn;
    struct {
        int64_t user;
        uint64_t turn;
    } turns[LANE_USERS];
    uint64_t refused, cancelled, paused;
};

/* n_places, at least n_streams: so many run or are paused at most. */
void lane_open(struct lane *l, size_t n_streams, size_t n_places, size_t n_waiting_max);
/* Everybody inside is told to stop, and waited for. */
void lane_close(struct lane *l);
/* Wait for the turn. After success the caller works and then calls lane_end(); after failure not. */
KT_MUST_CHECK enum kt_status lane_begin(struct lane *l, struct job *j, struct kt_error *err);
void lane_end(struct lane *l, struct job *j, bool cancelled);
/* For whoever works, between steps; may take long: then the job was paused. BEGIN_AGAIN: it has to give up its
 * memory and then calls lane_begin() once more, before others of its kind; lane_end() after that. */
enum lane_word { LANE_GO_ON, LANE_STOP, LANE_BEGIN_AGAIN };
enum lane_word lane_go_on(struct lane *l, struct job *j);

/* ---- warm.c: contexts and what is kept of them; the caller holds a lock, but for the slot that is theirs ---- */

enum { SCOPE_BYTES = 64, WARM_MAX = 64, N_CTX_DEFAULT = 8192, N_STREAMS_DEFAULT = 8 };

struct warm {
    struct kt_context *context;
    int64_t user;
    char scope[SCOPE_BYTES];
    uint64_t used; /* larger: later */
    bool busy;     /* somebody's, from warm_take() to warm_give() */
    bool doomed;   /* to be emptied then */
};

struct warm_set {
    struct kt_engine *engine;
    struct kt_context_options options;
    uint64_t context_bytes;
    struct warm slots[WARM_MAX];
    size_t n_max; /* that there may be */
    struct kt_cache *cache;
    uint64_t clock;
};

/* What one context of *n_ctx tokens takes (0: the default; becomes what it will have) beside scratch memory for steps. */
KT_MUST_CHECK enum kt_status warm_bytes(const struct kt_engine *e, size_t *n_ctx, uint64_t *steps,
                                        uint64_t *one, struct kt_error *err);
/* memory_bytes: for all contexts, checkpoints and steps; n_streams: as in desk_options. */
KT_MUST_CHECK enum kt_status warm_open(struct warm_set *w, struct kt_engine *e, size_t n_ctx,
                                       uint64_t memory_bytes, size_t n_streams,
                                       struct kt_error *err);
void warm_close(struct warm_set *w);
/* A context of the visitor's. At most n_max are busy at once. */
KT_MUST_CHECK enum kt_status warm_take(struct warm **out, struct warm_set *w,
                                       const struct visitor *v, struct kt_error *err);
/* Of a slot that was taken, without the lock: what is kept of it is also in the visitor's files. */
void warm_use_files(struct warm *s, const struct visitor *v);
void warm_give(struct warm *s);
/* Returns how many of that scope are busy; these are forgotten when they are given back. */
size_t warm_forget(struct warm_set *w, const char *scope);
size_t warm_count(const struct warm_set *w);

#endif
