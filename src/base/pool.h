/* base/pool.h: one set of threads for all parallel work of an engine.
 *
 * pool_for() hands out row ranges [row0, row1) of n rows to every thread, the caller's included,
 * and returns when all are done: a barrier, not a queue. Threads spin briefly before they sleep,
 * because the next step of a forward pass follows within microseconds. No thread is ever created
 * per call.
 *
 * Ranges are multiples of 'grain' except the last. Which thread gets which range is not defined;
 * results must not depend on it. One pool_for() at a time per pool: the engine's worker calls it.
 */
#ifndef BASE_POOL_H
#define BASE_POOL_H

#include <stddef.h>

#include "base/status.h"

struct pool;

/* 'thread_idx' is in [0, pool_threads()): for per-thread scratch memory. */
typedef void (*pool_fn)(void *ctx, size_t row0, size_t row1, size_t thread_idx);

/* n_threads counts the caller; 0 means the processors this process may run on (sched_getaffinity,
 * and a cgroup's quota). */
KT_MUST_CHECK enum kt_status pool_create(struct pool **out, size_t n_threads, struct kt_error *err);
void pool_destroy(struct pool *p);
size_t pool_threads(const struct pool *p); /* 1 for NULL */
/* With p NULL, or n <= grain, fn runs on the calling thread alone. */
void pool_for(struct pool *p, size_t n, size_t grain, pool_fn fn, void *ctx);

#endif
