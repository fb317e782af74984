/* engine/bench_machine.c: the two ends of this machine's roofline: how fast its memory is read, and how much it computes
 * when nothing has to be read. All threads at once, the best of several tries: a limit is what was reached, not what was
 * usual. */
#include "kontor/engine.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/clock.h"
#include "base/pool.h"
#include "base/size.h"
#include "base/status.h"
#include "kernels/kernels.h"
#include "kernels/peak.h"

enum {
    TRIES = 7,
    READ_BYTES = 512 << 20,    /* of all threads together: more than any cache holds */
    READ_GRAIN = 256 << 10,    /* bytes of one range                                 */
    TRY_NS = 40 * 1000 * 1000, /* of computing                                       */
};

typedef uint64_t (*peak_fn)(uint32_t cpu, size_t n_rounds, uint64_t *sink);

struct machine_bench {
    uint32_t cpu;
    peak_fn fn;
    size_t n_rounds;
    const char *data;
    uint64_t *ops;  /* [n_threads] */
    uint64_t *sink; /* [n_threads] */
};

static void compute(void *ctx, size_t row0, size_t row1, size_t thread_idx)
{
    struct machine_bench *b = ctx;
    for (size_t i = row0; i < row1; i++)
        b->ops[thread_idx] += b->fn(b->cpu, b->n_rounds, &b->sink[thread_idx]);
}

static void read_range(void *ctx, size_t row0, size_t row1, size_t thread_idx)
{
    struct machine_bench *b = ctx;
    b->sink[thread_idx] += peak_read(b->data + row0 * READ_GRAIN, (row1 - row0) * READ_GRAIN);
}

/* Operations a second. The rounds grow until a try is long enough for the clock and for threads that wake up late. */
static double compute_speed(struct machine_bench *b, struct pool *p, peak_fn fn)
{
    size_t n_threads = pool_threads(p);
    double best = 0;
    b->fn = fn;
    b->n_rounds = 1 << 12;
    for (int i = 0; i < TRIES;) {
        memset(b->ops, 0, n_threads * sizeof(*b->ops));
        uint64_t start = clock_now_ns();
        pool_for(p, n_threads * 4, 1, compute, b);
        uint64_t ns = clock_now_ns() - start + 1, ops = 0;
        if (ns < TRY_NS && b->n_rounds < (size_t)1 << 40) {
            b->n_rounds *= 2;
            continue;
        }
        for (size_t t = 0; t < n_threads; t++)
            ops += b->ops[t];
        best = MAX(best, (double)ops * 1e9 / (double)ns);
        i++;
    }
    return best;
}

static double read_speed(struct machine_bench *b, struct pool *p)
{
    double best = 0;
    for (int i = 0; i < TRIES; i++) {
        uint64_t start = clock_now_ns();
        pool_for(p, READ_BYTES / READ_GRAIN, 1, read_range, b);
        best = MAX(best, (double)READ_BYTES * 1e9 / (double)(clock_now_ns() - start + 1));
    }
    return best;
}

enum kt_status kt_bench_machine(const struct kt_engine_options *opts, struct kt_machine_speed *out,
                                struct kt_error *err)
{
    *out = (struct kt_machine_speed){ 0 };
    struct machine_bench b = { .cpu = cpu_detect() & ~(opts ? opts->cpu_mask : 0) };
    struct pool *p;
    enum kt_status st = pool_create(&p, opts ? opts->n_threads : 0, err);
    if (st)
        return st;
    size_t n_threads = pool_threads(p);
    char *data = aligned_alloc(1 << 21, READ_BYTES);
    b.ops = calloc(n_threads, sizeof(*b.ops));
    b.sink = calloc(n_threads, sizeof(*b.sink));
    b.data = data;
    if (!data || !b.ops || !b.sink) {
        st = kt_fail(err, KT_E_NOMEM, "bench: out of memory for the %d MiB that are read",
                     READ_BYTES >> 20);
    } else {
        madvise(data, READ_BYTES,
                MADV_HUGEPAGE);      /* as models are mapped; without, page walks are measured */
        memset(data, 1, READ_BYTES); /* pages of its own, not the one page of zeros */
        out->n_threads = (uint32_t)n_threads;
        out->cpu_level = cpu_level_name(b.cpu);
        out->read_bytes_s = read_speed(&b, p);
        out->int8_ops_s = compute_speed(&b, p, peak_int8);
        out->float_ops_s = compute_speed(&b, p, peak_float);
    }
    free(data);
    free(b.ops);
    free(b.sink);
    pool_destroy(p);
    return st;
}
