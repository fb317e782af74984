/* What a model needs and what the machine has. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/files.h"
#include "hub/catalogue.h"

enum { N_BATCH = 512 }; /* as kontor inspect plans */

bool memory_need(struct memory_need *out, const struct model_shape *s, uint64_t weight_bytes,
                 size_t n_ctx, size_t n_threads)
{
    const struct memory_request r = { .n_ctx = n_ctx,
                                      .n_streams = 1,
                                      .n_batch = N_BATCH,
                                      .n_threads = n_threads,
                                      .types = { .kv = KV_F16 } };
    struct memory_plan p;
    *out = (struct memory_need){ .weights = weight_bytes };
    if (!memory_plan(&p, s, &r))
        return false;
    out->state = p.total - p.scratch;
    out->scratch = p.scratch;
    return !__builtin_add_overflow(out->weights, (uint64_t)p.total, &out->total);
}

/* A control group's file holds a number, or "max". */
static uint64_t limit_in_file(const char *path)
{
    struct buf text = { 0 };
    uint64_t limit = UINT64_MAX;
    if (file_exists(path) && file_read(&text, path, 64, NULL) == KT_OK && text.len &&
        text.ptr[0] >= '0' && text.ptr[0] <= '9')
        limit = strtoull(text.ptr, NULL, 10);
    buf_deinit(&text);
    return limit;
}

uint64_t memory_of_machine(void)
{
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    uint64_t bytes = pages > 0 && page > 0 ? (uint64_t)pages * (uint64_t)page : 0;
    uint64_t v2 = limit_in_file("/sys/fs/cgroup/memory.max");
    uint64_t v1 = limit_in_file("/sys/fs/cgroup/memory/memory.limit_in_bytes");
    bytes = v2 < bytes ? v2 : bytes;
    return v1 < bytes ? v1 : bytes;
}

enum fit memory_fit(uint64_t need, uint64_t machine)
{
    if (need > machine)
        return FIT_NO;
    return machine - need < machine / 8 ? FIT_TIGHT : FIT_YES;
}

const char *fit_name(enum fit f)
{
    return f == FIT_YES ? "yes" : f == FIT_TIGHT ? "tight" : "no";
}
