/* One set of threads for all parallel work of an engine.
 *
 * The caller writes the job's fields, then increments job_seq; the workers see it change, take
 * ranges until none are left, and count themselves out in 'n_running'. The caller takes ranges too
 * and then waits for n_running to reach 0.
 *
 * Each thread has a share of consecutive rows and takes its ranges in turn, so that it walks through
 * memory in one direction and what was read ahead is its own; a thread that is done helps the
 * others, beginning with its neighbour.
 *
 *   idle --(caller: job_seq++)--> running --(last worker: n_running = 0)--> idle
 *
 * Sleeping: a worker that saw no job for SPIN_ROUNDS goes to sleep on 'wake' under 'mutex'; the
 * caller takes the mutex only when 'n_sleeping' says that somebody sleeps. Fields of the job are
 * written by the caller only between jobs; every 'next' and 'n_running' are atomic. */
#include "base/pool.h"

#include <pthread.h>
#include <sched.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/size.h"

/* About 50 us of spinning: longer than the gap between two steps of a pass, shorter than a time
 * slice. */
enum { SPIN_ROUNDS = 2000, THREADS_MAX = 256 };

struct worker {
    struct pool *pool;
    size_t idx;
    pthread_t thread;
};

/* The rows of a thread; in a cache line of its own. */
struct share {
    _Alignas(64) _Atomic size_t next; /* first row nobody took yet */
    size_t end;
};

struct pool {
    size_t n_threads;       /* with the caller */
    struct worker *workers; /* [n_threads - 1] */
    struct share *shares;   /* [n_threads] */
    size_t n_started;

    _Atomic uint32_t job_seq;
    _Atomic size_t n_running; /* workers that have not finished the job */
    _Atomic bool quit;
    pool_fn fn;
    void *ctx;
    size_t step;

    pthread_mutex_t mutex; /* guards n_sleeping against lost wake-ups */
    pthread_cond_t wake;
    _Atomic size_t n_sleeping;
};

static void cpu_relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static void take_share(struct pool *p, struct share *s, size_t thread_idx)
{
    for (;;) {
        size_t row0 = atomic_fetch_add_explicit(&s->next, p->step, memory_order_relaxed);
        if (row0 >= s->end)
            return;
        p->fn(p->ctx, row0, MIN(row0 + p->step, s->end), thread_idx);
    }
}

static void take_ranges(struct pool *p, size_t thread_idx)
{
    for (size_t i = 0; i < p->n_threads; i++)
        take_share(p, &p->shares[(thread_idx + i) % p->n_threads], thread_idx);
}

static uint32_t wait_for_job(struct pool *p, uint32_t seen)
{
    for (int round = 0; round < SPIN_ROUNDS; round++) {
        uint32_t seq = atomic_load_explicit(&p->job_seq, memory_order_acquire);
        if (seq != seen)
            return seq;
        cpu_relax();
    }
    pthread_mutex_lock(&p->mutex);
    atomic_fetch_add(&p->n_sleeping, 1);
    uint32_t seq;
    while ((seq = atomic_load(&p->job_seq)) == seen)
        pthread_cond_wait(&p->wake, &p->mutex);
    atomic_fetch_sub(&p->n_sleeping, 1);
    pthread_mutex_unlock(&p->mutex);
    return seq;
}

static void *worker_main(void *arg)
{
    struct worker *w = arg;
    struct pool *p = w->pool;
    uint32_t seen = 0;
    for (;;) {
        seen = wait_for_job(p, seen);
        if (atomic_load(&p->quit))
            return NULL;
        take_ranges(p, w->idx);
        atomic_fetch_sub_explicit(&p->n_running, 1, memory_order_release);
    }
}

static void publish(struct pool *p)
{
    atomic_fetch_add(&p->job_seq, 1); /* seq_cst: ordered before the read of n_sleeping */
    if (atomic_load(&p->n_sleeping)) {
        pthread_mutex_lock(&p->mutex);
        pthread_cond_broadcast(&p->wake);
        pthread_mutex_unlock(&p->mutex);
    }
}

/* A container may grant fewer processors than it shows: cgroup v2 "max 100000" or "200000 100000".
 */
static size_t quota_cpus(void)
{
    FILE *f = fopen("/sys/fs/cgroup/cpu.max", "re");
    if (!f)
        return THREADS_MAX;
    long quota = 0, period = 0;
    int got = fscanf(f, "%ld %ld", &quota, &period);
    fclose(f);
    if (got != 2 || quota <= 0 || period <= 0)
        return THREADS_MAX;
    return (size_t)MAX(1L, (quota + period - 1) / period);
}

static size_t default_threads(void)
{
    cpu_set_t set;
    size_t n = sched_getaffinity(0, sizeof(set), &set) == 0 ? (size_t)CPU_COUNT(&set) : 1;
    return MAX((size_t)1, MIN(n, quota_cpus()));
}

enum kt_status pool_create(struct pool **out, size_t n_threads, struct kt_error *err)
{
    *out = NULL;
    if (n_threads == 0)
        n_threads = default_threads();
    if (n_threads > THREADS_MAX)
        return kt_fail(err, KT_E_LIMIT, "%zu threads asked for, at most %d", n_threads,
                       THREADS_MAX);

    struct pool *p = calloc(1, sizeof(*p));
    if (!p)
        return kt_fail(err, KT_E_NOMEM, "thread pool: out of memory");
    p->n_threads = n_threads;
    pthread_mutex_init(&p->mutex, NULL);
    pthread_cond_init(&p->wake, NULL);
    p->workers = calloc(n_threads, sizeof(*p->workers));
    p->shares = aligned_alloc(alignof(struct share), n_threads * sizeof(*p->shares));
    if (!p->workers || !p->shares) {
        pool_destroy(p);
        return kt_fail(err, KT_E_NOMEM, "thread pool: out of memory");
    }
    for (size_t i = 0; i + 1 < n_threads; i++) {
        p->workers[i] = (struct worker){ .pool = p, .idx = i + 1 };
        int e = pthread_create(&p->workers[i].thread, NULL, worker_main, &p->workers[i]);
        if (e) {
            pool_destroy(p);
            return kt_fail_errno(err, e, "cannot start thread %zu of %zu", i + 2, n_threads);
        }
        p->n_started++;
    }
    *out = p;
    return KT_OK;
}

void pool_destroy(struct pool *p)
{
    if (!p)
        return;
    atomic_store(&p->quit, true);
    publish(p);
    for (size_t i = 0; i < p->n_started; i++)
        pthread_join(p->workers[i].thread, NULL);
    pthread_cond_destroy(&p->wake);
    pthread_mutex_destroy(&p->mutex);
    free(p->workers);
    free(p->shares);
    free(p);
}

size_t pool_threads(const struct pool *p)
{
    return p ? p->n_threads : 1;
}

void pool_for(struct pool *p, size_t n, size_t grain, pool_fn fn, void *ctx)
{
    if (n == 0)
        return;
    if (grain == 0)
        grain = 1;
    if (!p || p->n_started == 0 || n <= grain) {
        fn(ctx, 0, n, 0);
        return;
    }
    /* Four ranges a thread: small enough that a thread which was interrupted does not hold up all.
     */
    size_t step = n / (p->n_threads * 4);
    step = MAX(grain, step - step % grain);
    size_t share = (n + p->n_threads - 1) / p->n_threads;
    share += (grain - share % grain) % grain; /* ranges begin at multiples of the grain */

    p->fn = fn;
    p->ctx = ctx;
    p->step = step;
    for (size_t i = 0; i < p->n_threads; i++) {
        atomic_store_explicit(&p->shares[i].next, MIN(i * share, n), memory_order_relaxed);
        p->shares[i].end = MIN((i + 1) * share, n);
    }
    atomic_store_explicit(&p->n_running, p->n_started, memory_order_relaxed);
    publish(p);
    take_ranges(p, 0);
    for (unsigned round = 0; atomic_load_explicit(&p->n_running, memory_order_acquire) != 0;
         round++) {
        if (round < SPIN_ROUNDS)
            cpu_relax();
        else
            sched_yield(); /* more threads than processors: let the others finish */
    }
}
