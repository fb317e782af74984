/* constrain/schema_cset.c: sets of characters, as ranges in the arena. */
#include "constrain/schema_priv.h"

#include <stdlib.h>
#include <string.h>

#include "base/size.h"

enum { SURROGATE_LO = 0xD800, SURROGATE_HI = 0xDFFF };

static int by_start(const void *pa, const void *pb)
{
    const struct range *a = pa, *b = pb;
    return (a->lo > b->lo) - (a->lo < b->lo);
}

/* Adds [lo, hi] behind what is there; joined when adjacent. */
static void put(struct cset *s, uint32_t lo, uint32_t hi)
{
    struct range *last = s->n_ranges ? &s->range[s->n_ranges - 1] : NULL;
    if (last && lo <= last->hi + 1)
        last->hi = MAX(last->hi, hi);
    else
        s->range[s->n_ranges++] = (struct range){ lo, hi };
}

/* The same without surrogates. */
static void put_scalars(struct cset *s, uint32_t lo, uint32_t hi)
{
    if (lo < SURROGATE_LO)
        put(s, lo, MIN(hi, (uint32_t)SURROGATE_LO - 1));
    if (hi > SURROGATE_HI)
        put(s, MAX(lo, (uint32_t)SURROGATE_HI + 1), hi);
}

struct cset cset_of(struct compilation *c, const struct range *ranges, size_t n)
{
    struct range *sorted = sc_alloc(c, n + 1, sizeof(*sorted));
    struct cset s = { sc_alloc(c, 2 * n + 1, sizeof(*s.range)), 0 };
    if (!sorted || !s.range)
        return (struct cset){ 0 };
    if (n)
        memcpy(sorted, ranges, n * sizeof(*sorted));
    qsort(sorted, n, sizeof(*sorted), by_start);
    for (size_t i = 0; i < n; i++)
        put_scalars(&s, sorted[i].lo, MIN(sorted[i].hi, (uint32_t)CP_MAX));
    return s;
}

struct cset cset_all(struct compilation *c)
{
    return cset_of(c, &(struct range){ 0, CP_MAX }, 1);
}

struct cset cset_not(struct compilation *c, struct cset a)
{
    struct cset s = { sc_alloc(c, 2 * a.n_ranges + 3, sizeof(*s.range)), 0 };
    if (!s.range)
        return (struct cset){ 0 };
    uint32_t from = 0;
    for (size_t i = 0; i < a.n_ranges; i++) {
        if (a.range[i].lo > from)
            put_scalars(&s, from, a.range[i].lo - 1);
        from = a.range[i].hi + 1;
    }
    if (from <= CP_MAX)
        put_scalars(&s, from, CP_MAX);
    return s;
}

struct cset cset_and(struct compilation *c, struct cset a, struct cset b)
{
    struct cset s = { sc_alloc(c, a.n_ranges + b.n_ranges + 1, sizeof(*s.range)), 0 };
    if (!s.range)
        return (struct cset){ 0 };
    for (size_t i = 0, k = 0; i < a.n_ranges && k < b.n_ranges;) {
        uint32_t lo = MAX(a.range[i].lo, b.range[k].lo), hi = MIN(a.range[i].hi, b.range[k].hi);
        if (lo <= hi)
            s.range[s.n_ranges++] = (struct range){ lo, hi };
        if (a.range[i].hi < b.range[k].hi)
            i++;
        else
            k++;
    }
    return s;
}

struct cset cset_or(struct compilation *c, struct cset a, struct cset b)
{
    struct range *both = sc_alloc(c, a.n_ranges + b.n_ranges + 1, sizeof(*both));
    if (!both)
        return (struct cset){ 0 };
    if (a.n_ranges)
        memcpy(both, a.range, a.n_ranges * sizeof(*both));
    if (b.n_ranges)
        memcpy(both + a.n_ranges, b.range, b.n_ranges * sizeof(*both));
    return cset_of(c, both, a.n_ranges + b.n_ranges);
}

bool cset_has(struct cset a, uint32_t cp)
{
    size_t lo = 0, hi = a.n_ranges;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (cp > a.range[mid].hi)
            lo = mid + 1;
        else if (cp < a.range[mid].lo)
            hi = mid;
        else
            return true;
    }
    return false;
}

bool cset_equal(struct cset a, struct cset b)
{
    return a.n_ranges == b.n_ranges &&
           (a.n_ranges == 0 || memcmp(a.range, b.range, a.n_ranges * sizeof(*a.range)) == 0);
}
