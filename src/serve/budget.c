#include "serve/budget.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/size.h"
#include "base/status.h"

/* Where nobody says what a process has. */
static const uint64_t PROGRAM_BYTES = 64000000;

/* "Name:   123 kB" of a file of the system; 0: it has none. */
static uint64_t kib_of(const char *path, const char *name)
{
    unsigned long long kib = 0;
    char line[160];
    size_t len = strlen(name);
    FILE *f = fopen(path, "re");
    while (f && fgets(line, sizeof(line), f))
        if (strncmp(line, name, len) == 0 && sscanf(line + len, ": %llu kB", &kib) == 1)
            break;
    if (f)
        fclose(f);
    return (uint64_t)kib * 1024;
}

uint64_t budget_free_bytes(void)
{
    return kib_of("/proc/meminfo", "MemAvailable");
}

uint64_t budget_program_bytes(void)
{
    static _Atomic uint64_t first;
    uint64_t now = atomic_load(&first), none = 0;
    if (now)
        return now;
    now = kib_of("/proc/self/status", "RssAnon");
    now = now ? now : PROGRAM_BYTES;
    return atomic_compare_exchange_strong(&first, &none, now) ? now : none;
}

static double mb(uint64_t bytes)
{
    return (double)bytes / 1e6;
}

enum kt_status budget_share_out(struct budget *b, struct kt_error *err)
{
    uint64_t fixed = b->program + b->weights + b->seeing + b->texts, least = 0;
    for (size_t i = 0; i < b->n_models; i++)
        least += b->models[i].steps + b->models[i].conversation;
    if (b->limit == 0) {
        uint64_t taken = b->weights + b->seeing + b->texts;
        b->limit = fixed + (b->free > taken ? (b->free - taken) / 2 : 0);
    }
    if (b->n_models && fixed + least > b->limit)
        return kt_fail(err, KT_E_LIMIT,
                       "%.0f MB are needed at least, and there may be %.0f MB: weights take %.0f, "
                       "the program %.0f, images %.0f, finding %.0f, and one conversation of %zu "
                       "tokens for each model that writes %.0f; use a smaller --ctx, a smaller "
                       "model, or --memory %.0f",
                       mb(fixed + least) + 1, mb(b->limit), mb(b->weights), mb(b->program),
                       mb(b->seeing), mb(b->texts), b->n_ctx, mb(least), mb(fixed + least) + 1);
    uint64_t more = b->n_models ? (b->limit - fixed - least) / b->n_models : 0;
    for (size_t i = 0; i < b->n_models; i++)
        b->for_conversations[i] = b->models[i].steps + b->models[i].conversation + more;
    return KT_OK;
}
