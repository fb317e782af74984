/* serve/lane.c: a bounded queue and the one thread that works it off.
 *
 *   lane_do():  WAITS --turn comes--> RUNS --run() returns--> DONE
 *                 '-- visitor gone, lane closing --> struck off
 *
 * A job lives on the stack of whoever waits for it. */
#include <errno.h>
#include <time.h>

#include "base/clock.h"
#include "base/size.h"
#include "serve/serve_priv.h"

enum { LOOK_MS = 100 }; /* how often someone who waits is asked whether they still do */

static uint64_t last_turn(const struct lane *l, int64_t user)
{
    for (size_t i = 0; i < LANE_USERS; i++)
        if (l->turns[i].turn && l->turns[i].user == user)
            return l->turns[i].turn;
    return 0;
}

static void note_turn(struct lane *l, int64_t user)
{
    size_t slot = 0;
    for (size_t i = 0; i < LANE_USERS; i++) {
        if (l->turns[i].turn && l->turns[i].user == user) {
            slot = i;
            break;
        }
        if (l->turns[i].turn < l->turns[slot].turn)
            slot = i;
    }
    l->turns[slot].user = user;
    l->turns[slot].turn = ++l->turn;
}

static bool goes_before(const struct lane *l, const struct job *a, const struct job *b)
{
    if (a->visitor->class != b->visitor->class)
        return a->visitor->class < b->visitor->class;
    return last_turn(l, a->visitor->user) < last_turn(l, b->visitor->user);
}

static void strike(struct lane *l, struct job *j)
{
    struct job **at = &l->first;
    while (*at != j)
        at = &(*at)->next;
    *at = j->next;
    if (!*at)
        l->last = at;
    l->n_waiting--;
}

static struct job *next_job(struct lane *l)
{
    struct job *best = l->first;
    for (struct job *j = l->first; j; j = j->next)
        if (goes_before(l, j, best)) /* equal: the earlier one stays */
            best = j;
    strike(l, best);
    return best;
}

static void *lane_main(void *ctx)
{
    struct lane *l = ctx;
    pthread_mutex_lock(&l->lock);
    for (;;) {
        while (!l->first && !l->closing)
            pthread_cond_wait(&l->changed, &l->lock);
        if (!l->first)
            break;
        struct job *j = next_job(l);
        j->state = JOB_RUNS;
        j->begun_ns = clock_now_ns();
        note_turn(l, j->visitor->user);
        l->running = true;
        pthread_mutex_unlock(&l->lock);
        enum kt_status st = j->run(j);
        pthread_mutex_lock(&l->lock);
        l->running = false;
        j->st = st;
        j->state = JOB_DONE;
        pthread_cond_broadcast(&l->changed);
    }
    pthread_mutex_unlock(&l->lock);
    return NULL;
}

enum kt_status lane_open(struct lane *l, size_t n_waiting_max, struct kt_error *err)
{
    *l = (struct lane){ .n_waiting_max = n_waiting_max };
    l->last = &l->first;
    pthread_mutex_init(&l->lock, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&l->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    l->started = pthread_create(&l->thread, NULL, lane_main, l) == 0;
    return l->started ? KT_OK : kt_fail(err, KT_E_NOMEM, "serve: no thread for a queue");
}

void lane_close(struct lane *l)
{
    if (!l->started)
        return;
    pthread_mutex_lock(&l->lock);
    l->closing = true;
    pthread_cond_broadcast(&l->changed);
    pthread_mutex_unlock(&l->lock);
    pthread_join(l->thread, NULL);
    pthread_mutex_destroy(&l->lock);
    pthread_cond_destroy(&l->changed);
    l->started = false;
}

bool lane_stops(struct lane *l, const struct visitor *v)
{
    pthread_mutex_lock(&l->lock);
    bool closing = l->closing;
    pthread_mutex_unlock(&l->lock);
    return closing || (v->gone && v->gone(v->ctx));
}

static enum kt_status wait_turn(struct lane *l, struct job *j)
{
    while (j->state != JOB_DONE) {
        uint64_t t = clock_now_ns() + (uint64_t)LOOK_MS * 1000000u;
        struct timespec until = { (time_t)(t / 1000000000u), (long)(t % 1000000000u) };
        pthread_cond_timedwait(&l->changed, &l->lock, &until);
        if (j->state != JOB_WAITS)
            continue;
        bool gone = j->visitor->gone && j->visitor->gone(j->visitor->ctx);
        if (gone || l->closing) {
            strike(l, j);
            l->cancelled++;
            return kt_fail(j->err, KT_E_CANCELLED, "cancelled");
        }
    }
    l->cancelled += j->st == KT_E_CANCELLED;
    return j->st;
}

enum kt_status lane_do(struct lane *l, struct job *j)
{
    j->next = NULL;
    j->state = JOB_WAITS;
    j->queued_ns = clock_now_ns();
    pthread_mutex_lock(&l->lock);
    enum kt_status st = KT_OK;
    if (l->closing)
        st = kt_fail(j->err, KT_E_BUSY, "the server is stopping");
    else if (l->n_waiting >= l->n_waiting_max)
        st = kt_fail(j->err, KT_E_BUSY,
                     "%zu requests are waiting already, no more are taken; try again in a moment",
                     l->n_waiting);
    if (st) {
        l->refused++;
    } else {
        *l->last = j;
        l->last = &j->next;
        l->n_waiting++;
        pthread_cond_broadcast(&l->changed);
        st = wait_turn(l, j);
    }
    pthread_mutex_unlock(&l->lock);
    return st;
}
