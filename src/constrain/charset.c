#include "constrain/charset.h"

#include <stdlib.h>

enum { SURROGATE_LO = 0xD800, SURROGATE_HI = 0xDFFF };

void charset_add(struct charset *c, uint32_t lo, uint32_t hi)
{
    if (c->n == c->cap) {
        size_t cap = c->cap ? c->cap * 2 : 4;
        struct char_range *r = realloc(c->ranges, cap * sizeof(*r));
        if (!r) {
            c->failed = true;
            return;
        }
        c->ranges = r;
        c->cap = cap;
    }
    c->ranges[c->n++] = (struct char_range){ lo, hi };
}

void charset_add_set(struct charset *c, const struct charset *other)
{
    c->failed = c->failed || other->failed;
    for (size_t i = 0; i < other->n; i++)
        charset_add(c, other->ranges[i].lo, other->ranges[i].hi);
}

static int by_start(const void *pa, const void *pb)
{
    const struct char_range *a = pa, *b = pb;
    return (a->lo > b->lo) - (a->lo < b->lo);
}

/* Ranges without the surrogates: one that spans them becomes two. */
static void drop_surrogates(struct charset *c)
{
    size_t n = c->n, kept = 0;
    for (size_t i = 0; i < n; i++) {
        struct char_range r = c->ranges[i];
        if (r.lo >= SURROGATE_LO && r.hi <= SURROGATE_HI)
            continue;
        if (r.lo < SURROGATE_LO && r.hi > SURROGATE_HI) {
            charset_add(c, SURROGATE_HI + 1, r.hi); /* behind all others; sorted below */
            r.hi = SURROGATE_LO - 1;
        } else if (r.lo >= SURROGATE_LO && r.lo <= SURROGATE_HI) {
            r.lo = SURROGATE_HI + 1;
        } else if (r.hi >= SURROGATE_LO && r.hi <= SURROGATE_HI) {
            r.hi = SURROGATE_LO - 1;
        }
        c->ranges[kept++] = r;
    }
    for (size_t i = n; i < c->n; i++)
        c->ranges[kept++] = c->ranges[i];
    c->n = kept;
}

void charset_settle(struct charset *c)
{
    if (c->failed || c->n == 0)
        return;
    drop_surrogates(c);
    if (c->n == 0)
        return;
    qsort(c->ranges, c->n, sizeof(*c->ranges), by_start);
    size_t last = 0;
    for (size_t i = 1; i < c->n; i++) {
        struct char_range r = c->ranges[i];
        if (r.lo <= c->ranges[last].hi + 1) {
            if (r.hi > c->ranges[last].hi)
                c->ranges[last].hi = r.hi;
        } else {
            c->ranges[++last] = r;
        }
    }
    c->n = last + 1;
}

void charset_negate(struct charset *c)
{
    struct charset out = { .failed = c->failed };
    uint32_t from = 0;
    for (size_t i = 0; i < c->n; i++) {
        if (c->ranges[i].lo > from)
            charset_add(&out, from, c->ranges[i].lo - 1);
        from = c->ranges[i].hi + 1;
    }
    if (from <= CHAR_MAX_CP)
        charset_add(&out, from, CHAR_MAX_CP);
    charset_deinit(c);
    charset_settle(&out);
    *c = out;
}

bool charset_has(const struct charset *c, uint32_t cp)
{
    for (size_t i = 0; i < c->n; i++)
        if (cp >= c->ranges[i].lo && cp <= c->ranges[i].hi)
            return true;
    return false;
}

size_t charset_size(const struct charset *c)
{
    size_t n = 0;
    for (size_t i = 0; i < c->n; i++)
        n += c->ranges[i].hi - c->ranges[i].lo + 1;
    return n;
}

void charset_deinit(struct charset *c)
{
    free(c->ranges);
    *c = (struct charset){ 0 };
}

static const struct char_range DIGITS[] = { { '0', '9' } };
static const struct char_range WORD[] = { { '0', '9' }, { 'A', 'Z' }, { '_', '_' }, { 'a', 'z' } };
static const struct char_range SPACE[] = {
    { 0x09, 0x0D },     { 0x20, 0x20 },     { 0xA0, 0xA0 },     { 0x1680, 0x1680 },
    { 0x2000, 0x200A }, { 0x2028, 0x2029 }, { 0x202F, 0x202F }, { 0x205F, 0x205F },
    { 0x3000, 0x3000 }, { 0xFEFF, 0xFEFF },
};

bool charset_add_escape(struct charset *c, char which)
{
    const struct char_range *r;
    size_t n;
    switch (which | 0x20) {
    case 'd':
        r = DIGITS;
        n = sizeof(DIGITS) / sizeof(*r);
        break;
    case 'w':
        r = WORD;
        n = sizeof(WORD) / sizeof(*r);
        break;
    case 's':
        r = SPACE;
        n = sizeof(SPACE) / sizeof(*r);
        break;
    default:
        return false;
    }
    struct charset one = { 0 };
    for (size_t i = 0; i < n; i++)
        charset_add(&one, r[i].lo, r[i].hi);
    if (!(which & 0x20))
        charset_negate(&one);
    charset_add_set(c, &one);
    charset_deinit(&one);
    return true;
}
