#include "engine/turns.h"

#include <assert.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/size.h"
#include "engine/pace.h"

/* How long a step waits for somebody who is at work: a part of what it will take, within limits. Choosing a token
 * takes a fraction of a millisecond, or some when the vocabulary is large and the answer constrained. */
/* A prompt that others go before comes back to its owner after this time. */
enum { LOOK_NS = 200000000 };
static const double PATIENCE = 0.25, PATIENCE_MIN_S = 0.001, PATIENCE_MAX_S = 0.01;

struct turns {
    struct model *model;
    pthread_mutex_t lock; /* guards all that follows, and the seats */
    struct model_run *run;
    size_t n_reserved;
    struct turn_seat *seats; /* who is not away */
    size_t n_here, n_posted; /* on that list; of these, who wait for a step */
    bool busy;               /* somebody uses the pool and 'run' */
    size_t n_entering;       /* who want it for themselves */
    bool entered_last;       /* the last to have it was one of these */
    bool for_seat;           /* and did it for a seat, which posts soon */
    pthread_cond_t entering;
    uint64_t deadline_ns; /* for those who have not posted */
    uint64_t order;
    struct pace_cost cost;
    struct pace_users users;
    uint64_t n_steps, n_spans;
};

enum kt_status turns_open(struct turns **out, struct model *m, struct kt_error *err)
{
    struct turns *t = *out = calloc(1, sizeof(*t));
    if (!t)
        return kt_fail(err, KT_E_NOMEM, "engine: out of memory");
    t->model = m;
    pthread_mutex_init(&t->lock, NULL);
    pthread_cond_init(&t->entering, NULL);
    return KT_OK;
}

void turns_close(struct turns *t)
{
    if (!t)
        return;
    assert(t->n_here == 0);
    assert(t->n_reserved == 0);
    model_run_destroy(t->run);
    pthread_cond_destroy(&t->entering);
    pthread_mutex_destroy(&t->lock);
    free(t);
}

/* ---- seats ---- */

void turns_sit(struct turns *t, struct turn_seat *s)
{
    *s = (struct turn_seat){ .turns = t };
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&s->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
}

static void come(struct turns *t, struct turn_seat *s)
{
    if (s->state != SEAT_AWAY)
        return;
    s->state = SEAT_HERE;
    s->withdrawn = false;
    s->next = t->seats;
    t->seats = s;
    t->n_here++;
    pace_user_comes(&t->users, s->user);
}

static void go(struct turns *t, struct turn_seat *s)
{
    if (s->state == SEAT_AWAY)
        return;
    struct turn_seat **at = &t->seats;
    while (*at != s)
        at = &(*at)->next;
    *at = s->next;
    s->state = SEAT_AWAY;
    t->n_here--;
    pace_user_goes(&t->users, s->user);
}

/* Whoever has waited longest looks again whether a step can begin. */
static void wake_first(struct turns *t)
{
    struct turn_seat *first = NULL;
    for (struct turn_seat *s = t->seats; s; s = s->next)
        if (s->state == SEAT_POSTED && (!first || s->order < first->order))
            first = s;
    if (first)
        pthread_cond_signal(&first->wake);
}

void turns_leave(struct turn_seat *s)
{
    struct turns *t = s->turns;
    pthread_mutex_lock(&t->lock);
    go(t, s);
    if (t->n_posted == t->n_here)
        wake_first(t);
    pthread_mutex_unlock(&t->lock);
}

void turns_stand_up(struct turn_seat *s)
{
    if (!s->turns)
        return;
    turns_leave(s);
    pthread_cond_destroy(&s->wake);
    s->turns = NULL;
}

/* ---- memory ---- */

enum kt_status turns_reserve(struct turns *t, size_t n_rows, struct kt_error *err)
{
    enum kt_status st = KT_OK;
    turns_enter(t, NULL); /* nobody computes in what is replaced */
    struct model_run *run = NULL;
    if (!t->run || model_run_n_batch(t->run) < n_rows)
        st = model_run_create(&run, t->model, n_rows, err);
    if (!st && run) {
        model_run_destroy(t->run);
        t->run = run;
    }
    if (!st)
        t->n_reserved++;
    turns_exit(t);
    return st;
}

void turns_unreserve(struct turns *t)
{
    turns_enter(t, NULL);
    if (--t->n_reserved == 0) {
        model_run_destroy(t->run);
        t->run = NULL;
    }
    turns_exit(t);
}

/* ---- one step ---- */

/* What is gathered for it; the leader's alone while the lock is not held. */
struct step {
    struct turn_seat *seats[TURNS_SPANS_MAX];
    struct pace_post posts[TURNS_SPANS_MAX];
    struct model_span spans[TURNS_SPANS_MAX];
    size_t n_seats, n_spans, n_answer, n_prompt, n_answering;
    double seconds;
};

static void set_deadline(struct turns *t)
{
    double s = PATIENCE * pace_step_s(&t->cost, t->n_posted, 0);
    s = MIN(MAX(s, PATIENCE_MIN_S), PATIENCE_MAX_S);
    t->deadline_ns = clock_now_ns() + (uint64_t)(s * 1e9);
}

/* The oldest posts, as many as a step takes; one that is observed is alone. */
static void gather(struct turns *t, struct step *step)
{
    uint64_t after = 0;
    while (step->n_seats < TURNS_SPANS_MAX) {
        struct turn_seat *first = NULL;
        for (struct turn_seat *s = t->seats; s; s = s->next)
            if (s->state == SEAT_POSTED && s->order > after && (!first || s->order < first->order))
                first = s;
        if (!first || (first->observer && step->n_seats))
            return;
        after = first->order;
        step->posts[step->n_seats] = (struct pace_post){
            .class = first->class,
            .user = first->user,
            .user_s = pace_user_s(&t->users, first->user),
            .answer = first->answer,
            .patient = !first->shared,
            .n_rows = first->span->n_tokens,
            .order = first->order,
        };
        step->seats[step->n_seats++] = first;
        if (first->observer)
            return;
    }
}

/* The spans that were planned, in place of the seats' own. */
static void make_spans(struct step *step)
{
    size_t n = 0;
    for (size_t i = 0; i < step->n_seats; i++) {
        struct turn_seat *s = step->seats[i];
        struct model_span span = *s->span;
        size_t n_taken = step->posts[i].n_taken;
        if (n_taken == 0)
            continue;
        if (n_taken < span.n_tokens && span.logits_of == OUT_LAST) {
            span.logits_of = OUT_NONE;
            span.logits = NULL;
        }
        span.n_tokens = n_taken;
        *(s->answer ? &step->n_answer : &step->n_prompt) += n_taken;
        step->n_answering += s->answer;
        s->n_taken = n_taken;
        s->state = SEAT_TAKEN;
        step->seats[n] = s;
        step->spans[n++] = span;
    }
    step->n_seats = step->n_spans = n;
}

static void compute(struct turns *t, struct step *step)
{
    struct turn_seat *const *s = step->seats;
    if (s[0]->observer)
        model_run_observe(t->run, s[0]->observer);
    uint64_t start = clock_now_ns();
    enum kt_status st = model_step(t->run, step->spans, step->n_spans, s[0]->err);
    step->seconds = (double)(clock_now_ns() - start) * 1e-9;
    /* Nothing has changed after a failure: then each by itself, so that nobody suffers for another. */
    for (size_t i = 0; i < step->n_spans; i++) {
        s[i]->st = st && step->n_spans > 1 ? model_step(t->run, &step->spans[i], 1, s[i]->err) : st;
        step->seconds = st ? 0 : step->seconds;
    }
    if (s[0]->observer)
        model_run_observe(t->run, NULL);
}

/* What came out, to those who were part of it and to the books. */
static void settle(struct turns *t, struct step *step)
{
    pace_saw(&t->cost, step->n_answer, step->n_prompt, step->seconds);
    double one_s, row_s;
    pace_answer_s(&t->cost, &one_s, &row_s);
    for (size_t i = 0; i < step->n_spans; i++) {
        struct turn_seat *s = step->seats[i];
        double part = (double)s->n_taken / (double)(step->n_answer + step->n_prompt);
        pace_user_had(&t->users, s->user, part * step->seconds);
        s->alone_s = step->n_spans == 1 ? step->seconds : 0;
        s->n_others = step->n_answering - s->answer;
        s->one_s = one_s;
        s->row_s = row_s;
        s->state = SEAT_DONE;
        pthread_cond_signal(&s->wake);
    }
}

/* With the lock, which is given back in between. */
static void make_step(struct turns *t)
{
    struct step step = { 0 };
    for (struct turn_seat *s = t->seats, *next; s; s = next) {
        next = s->next;
        if (s->state == SEAT_HERE)
            go(t, s);
    }
    gather(t, &step);
    pace_plan(step.posts, step.n_seats, t->n_here == 1, &t->cost, model_run_n_batch(t->run));
    make_spans(&step);
    t->n_posted -= step.n_spans;
    t->busy = true;
    pthread_mutex_unlock(&t->lock);
    compute(t, &step);
    pthread_mutex_lock(&t->lock);
    t->busy = false;
    t->entered_last = false;
    t->n_steps++;
    t->n_spans += step.n_spans;
    settle(t, &step);
    if (t->n_entering)
        pthread_cond_signal(&t->entering);
    if (t->n_posted) {
        set_deadline(t);
        wake_first(t);
    }
}

/* Is there a step to be made, and may it be made now? */
static bool is_ready(const struct turns *t)
{
    return t->n_posted && (t->n_posted == t->n_here || clock_now_ns() >= t->deadline_ns);
}

static bool goes_next(const struct turns *t)
{
    return !t->busy && (t->n_entering == 0 || t->entered_last) && is_ready(t);
}

/* Until something may have changed; look_ns: or it is so late. */
static void wait(struct turns *t, struct turn_seat *s, uint64_t look_ns)
{
    bool others = t->busy || (t->n_entering && !t->entered_last);
    uint64_t ns = others ? look_ns : MIN(look_ns, t->deadline_ns);
    struct timespec until = { (time_t)(ns / 1000000000u), (long)(ns % 1000000000u) };
    if (ns == UINT64_MAX)
        pthread_cond_wait(&s->wake, &t->lock);
    else
        pthread_cond_timedwait(&s->wake, &t->lock, &until);
}

/* The others are not kept waiting by somebody who is not there. */
static void withdraw(struct turns *t, struct turn_seat *s)
{
    t->n_posted--;
    s->withdrawn = true;
    s->st = KT_OK;
    s->n_taken = 0;
    s->alone_s = 0;
    s->state = SEAT_DONE;
    if (t->n_posted)
        wake_first(t);
}

enum kt_status turns_step(struct turn_seat *s, const struct model_span *span, bool answer,
                          size_t *n_taken, double *alone_s, struct kt_error *err)
{
    struct turns *t = s->turns;
    pthread_mutex_lock(&t->lock);
    come(t, s);
    s->span = span;
    s->answer = answer;
    s->err = err;
    if (!s->withdrawn)
        s->order = ++t->order;
    s->withdrawn = false;
    s->state = SEAT_POSTED;
    uint64_t look_ns = answer ? UINT64_MAX : clock_now_ns() + LOOK_NS;
    if (t->n_posted++ == 0)
        set_deadline(t);
    while (s->state != SEAT_DONE) {
        if (s->state == SEAT_POSTED && goes_next(t))
            make_step(t);
        else if (s->state == SEAT_POSTED && clock_now_ns() >= look_ns)
            withdraw(t, s);
        else
            wait(t, s, s->state == SEAT_POSTED ? look_ns : UINT64_MAX);
    }
    s->state = SEAT_HERE;
    *n_taken = s->n_taken;
    if (alone_s)
        *alone_s = s->alone_s;
    enum kt_status st = s->st;
    pthread_mutex_unlock(&t->lock);
    return st;
}

void turns_count(struct turns *t, struct turns_counts *out)
{
    pthread_mutex_lock(&t->lock);
    *out = (struct turns_counts){ t->n_steps, t->n_spans, t->n_here, t->n_posted };
    pthread_mutex_unlock(&t->lock);
}

/* ---- alone ---- */

struct model_run *turns_enter(struct turns *t, struct turn_seat *s)
{
    pthread_mutex_lock(&t->lock);
    t->n_entering++;
    while (t->busy || (t->entered_last && is_ready(t)))
        pthread_cond_wait(&t->entering, &t->lock);
    t->n_entering--;
    t->busy = true;
    t->entered_last = true;
    t->for_seat = s != NULL;
    struct model_run *run = t->run;
    pthread_mutex_unlock(&t->lock);
    if (run)
        model_run_observe(run, s ? s->observer : NULL);
    return run;
}

void turns_exit(struct turns *t)
{
    pthread_mutex_lock(&t->lock);
    if (t->run)
        model_run_observe(t->run, NULL);
    t->busy = false;
    if (t->n_posted) {
        if (t->for_seat && t->n_posted < t->n_here)
            set_deadline(t);
        wake_first(t);
    }
    if (t->n_entering)
        pthread_cond_signal(&t->entering);
    pthread_mutex_unlock(&t->lock);
}
