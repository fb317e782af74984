/* serve/lane.c: a bounded queue in front of some streams.
 *
 *   lane_begin():  WAITS --turn comes--> RUNS --lane_end()--> gone
 *                    |  ^                  |
 *                    |  '-- lane_go_on() --'  somebody better waits and no stream is free: paused, and
 *                    |                        first of its user's when one is
 *                    '-- visitor gone, lane closing --> struck off
 *
 * Whoever runs or is paused has a place (the memory of a context). When somebody better waits and has none, a paused
 * job is told to give up its own: it then begins anew, later. Nobody waits for ever: with every half minute in the queue
 * a job is a class better, and what it gets then it has for some seconds at least. A job lives on the stack of whoever waits for it, and
 * its work is done there. */
#include <errno.h>
#include <time.h>

#include "base/clock.h"
#include "base/size.h"
#include "serve/serve_priv.h"

enum {
    LOOK_MS = 100,
    LOOK_MAX_MS = 500
}; /* how often someone who waits is asked whether they still do */

/* So who is worst has a fourteenth of a stream, however busy the others are: five seconds after at most a minute. */
static const uint64_t AGE_NS = 30000000000u, UNDISTURBED_NS = 5000000000u;

/* ---- whose turn it is ---- */

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

static size_t streams_of(const struct lane *l, int64_t user)
{
    size_t n = 0;
    for (const struct job *j = l->running; j; j = j->next)
        n += j->visitor->user == user;
    return n;
}

/* The class that a job which waits has by now. */
static enum serve_class class_now(const struct lane *l, const struct job *j, uint64_t now)
{
    uint64_t better = now > j->waits_since_ns ? (now - j->waits_since_ns) / l->age_ns : 0;
    return better >= (uint64_t)j->visitor->class ? SERVE_INTERACTIVE
                                                 : j->visitor->class - (enum serve_class)better;
}

static bool goes_before(const struct lane *l, const struct job *a, const struct job *b,
                        uint64_t now)
{
    enum serve_class a_class = class_now(l, a, now), b_class = class_now(l, b, now);
    if (a_class != b_class)
        return a_class < b_class;
    bool a_aged = a_class != a->visitor->class, b_aged = b_class != b->visitor->class;
    if (a_aged != b_aged)
        return a_aged; /* it waits longer than anybody of the class would */
    if (a->has_place != b->has_place)
        return a->has_place; /* it was begun */
    size_t a_runs = streams_of(l, a->visitor->user), b_runs = streams_of(l, b->visitor->user);
    if (a_runs != b_runs)
        return a_runs < b_runs;
    return last_turn(l, a->visitor->user) < last_turn(l, b->visitor->user);
}

/* The first of those who wait, of them all or of those who have a place. */
static struct job *best_waiting(const struct lane *l, bool has_place)
{
    struct job *best = NULL;
    uint64_t now = clock_now_ns();
    for (struct job *j = l->first; j; j = j->next)
        if ((!has_place || j->has_place) && (!best || goes_before(l, j, best, now)))
            best = j; /* equal: the earlier one stays */
    return best;
}

/* ---- lists ---- */

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

static void line_up(struct lane *l, struct job *j, bool in_front)
{
    j->state = JOB_WAITS;
    if (in_front) {
        j->next = l->first;
        l->first = j;
        if (!j->next)
            l->last = &j->next;
    } else {
        j->next = NULL;
        *l->last = j;
        l->last = &j->next;
    }
    l->n_waiting++;
}

static void stop_running(struct lane *l, struct job *j)
{
    struct job **at = &l->running;
    while (*at != j)
        at = &(*at)->next;
    *at = j->next;
    l->n_running--;
}

static void give_place(struct lane *l, struct job *j)
{
    l->n_places_taken -= j->has_place;
    j->has_place = false;
}

/* ---- decisions ---- */

/* Of those that can be interrupted and are worse than 'class' the worst, the latest begun: to pause if it runs, to
 * lose its place if it is paused. NULL: none, or one is asked already. */
static struct job *victim(struct job *list, enum serve_class class, bool runs)
{
    struct job *worst = NULL;
    uint64_t now = clock_now_ns();
    for (struct job *j = list; j; j = j->next) {
        if ((runs ? j->yields : j->gives_up))
            return NULL;
        if (!j->pausable || j->visitor->class <= class ||
            (runs ? now < j->undisturbed_until_ns : !j->has_place))
            continue;
        if (!worst || j->visitor->class > worst->visitor->class ||
            (j->visitor->class == worst->visitor->class && j->begun_ns > worst->begun_ns))
            worst = j;
    }
    return worst;
}

static void start(struct lane *l, struct job *j)
{
    uint64_t now = clock_now_ns();
    j->undisturbed_until_ns =
        class_now(l, j, now) != j->visitor->class ? now + l->undisturbed_ns : 0;
    strike(l, j);
    j->state = JOB_RUNS;
    j->yields = j->gives_up = false;
    if (!j->begun_ns)
        j->begun_ns = now;
    if (!j->has_place) {
        j->has_place = true;
        l->n_places_taken++;
    }
    j->next = l->running;
    l->running = j;
    l->n_running++;
    note_turn(l, j->visitor->user);
}

/* Let begin whoever can, and see that who cannot soon will. Those who wait are woken only when it is for one of them: each
 * that comes would wake all others otherwise. */
static void decide(struct lane *l)
{
    struct job *j;
    bool concerns_waiting = l->closing;
    while (l->n_running < l->n_streams && (j = best_waiting(l, false))) {
        if (!j->has_place && l->n_places_taken == l->n_places) {
            struct job *paused = victim(l->first, class_now(l, j, clock_now_ns()), false);
            if (paused)
                paused->gives_up = concerns_waiting = true;
            if (paused || !(j = best_waiting(l, true)) || j->gives_up)
                break;
        }
        start(l, j);
        concerns_waiting = true;
    }
    if (l->n_running == l->n_streams && (j = best_waiting(l, false))) {
        struct job *runs = victim(l->running, class_now(l, j, clock_now_ns()), true);
        if (runs)
            runs->yields = true;
    }
    if (concerns_waiting)
        pthread_cond_broadcast(&l->changed);
}

/* ---- for the desk ---- */

void lane_open(struct lane *l, size_t n_streams, size_t n_places, size_t n_waiting_max)
{
    *l = (struct lane){ .n_streams = n_streams,
                        .n_places = n_places,
                        .n_waiting_max = n_waiting_max,
                        .open = true,
                        .age_ns = AGE_NS,
                        .undisturbed_ns = UNDISTURBED_NS };
    l->last = &l->first;
    pthread_mutex_init(&l->lock, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&l->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
}

void lane_close(struct lane *l)
{
    if (!l->open)
        return;
    pthread_mutex_lock(&l->lock);
    l->closing = true;
    pthread_cond_broadcast(&l->changed);
    while (l->n_inside)
        pthread_cond_wait(&l->changed, &l->lock);
    pthread_mutex_unlock(&l->lock);
    pthread_mutex_destroy(&l->lock);
    pthread_cond_destroy(&l->changed);
    l->open = false;
}

static bool is_gone(const struct lane *l, const struct job *j)
{
    return l->closing || (j->visitor->gone && j->visitor->gone(j->visitor->ctx));
}

/* Until it runs, is not wanted any more (then it is struck off) or has to give up its place. */
static bool wait_turn(struct lane *l, struct job *j)
{
    enum serve_class class = class_now(l, j, clock_now_ns());
    while (j->state == JOB_WAITS && !(j->gives_up && j->has_place)) {
        if (is_gone(l, j)) {
            strike(l, j);
            return false;
        }
        if (class_now(l, j, clock_now_ns()) != class) {
            class = class_now(l, j, clock_now_ns());
            decide(l);
            continue;
        }
        /* a crowd looks less often: 2,000 who looked every 100 ms would keep a processor busy */
        uint64_t look_ms = MIN(LOOK_MS * (1 + l->n_waiting / 256), (size_t)LOOK_MAX_MS);
        uint64_t t = clock_now_ns() + look_ms * 1000000u;
        struct timespec until = { (time_t)(t / 1000000000u), (long)(t % 1000000000u) };
        pthread_cond_timedwait(&l->changed, &l->lock, &until);
    }
    return true;
}

static void leave(struct lane *l, struct job *j)
{
    give_place(l, j);
    l->n_inside--;
    decide(l);
}

enum kt_status lane_begin(struct lane *l, struct job *j, struct kt_error *err)
{
    bool again = j->state == JOB_STRUCK; /* it was taken on long ago, and is still inside */
    pthread_mutex_lock(&l->lock);
    enum kt_status st = KT_OK;
    if (l->closing && !again)
        st = kt_fail(err, KT_E_BUSY, "the server is stopping");
    else if (!again && l->n_waiting >= l->n_waiting_max)
        st = kt_fail(err, KT_E_BUSY,
                     "%zu requests are waiting already, no more are taken; try again in a moment",
                     l->n_waiting);
    if (st) {
        l->refused++;
        pthread_mutex_unlock(&l->lock);
        return st;
    }
    if (again) {
        give_place(l, j);
        j->gives_up = false; /* done: who waits for a place looks for another one to take */
    } else {
        j->queued_ns = j->waits_since_ns = clock_now_ns();
        l->n_inside++;
    }
    line_up(l, j, again);
    decide(l);
    if (!wait_turn(l, j)) {
        leave(l, j);
        l->cancelled++;
        st = kt_fail(err, KT_E_CANCELLED, "cancelled");
    }
    pthread_mutex_unlock(&l->lock);
    return st;
}

void lane_end(struct lane *l, struct job *j, bool cancelled)
{
    pthread_mutex_lock(&l->lock);
    if (j->state == JOB_RUNS)
        stop_running(l, j);
    l->cancelled += cancelled;
    leave(l, j);
    pthread_mutex_unlock(&l->lock);
}

enum lane_word lane_go_on(struct lane *l, struct job *j)
{
    if (j->visitor->gone && j->visitor->gone(j->visitor->ctx))
        return LANE_STOP;
    pthread_mutex_lock(&l->lock);
    enum lane_word word = LANE_GO_ON;
    uint64_t now = clock_now_ns();
    if (j->undisturbed_until_ns && now >= j->undisturbed_until_ns) {
        j->undisturbed_until_ns = 0;
        decide(l);
    }
    struct job *best = best_waiting(l, false);
    if (j->yields && best && class_now(l, best, now) < j->visitor->class) {
        j->waits_since_ns = now;
        stop_running(l, j);
        line_up(l, j, true);
        l->paused++;
        decide(l);
        if (!wait_turn(l, j)) {
            j->state = JOB_STRUCK;
            decide(l);
            word = LANE_STOP;
        } else if (j->state == JOB_WAITS) {
            strike(l, j);
            j->state = JOB_STRUCK;
            word = LANE_BEGIN_AGAIN;
        }
    }
    j->yields = false;
    if (word == LANE_GO_ON && l->closing)
        word = LANE_STOP;
    pthread_mutex_unlock(&l->lock);
    return word;
}
