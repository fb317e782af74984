/* constrain/compile_class.c: a set of characters as states between the bytes of their UTF-8.
 *
 * Each length of encoding is a tree of its own: a lead byte, then blocks of 64, 4096 and 262144 characters. A block that
 * is in the set as a whole shares its state with all such blocks; one that is not in it has none; only the blocks at
 * the ends of ranges are looked into. */
#include "constrain/program.h"

#include "base/size.h"

enum { NOTHING = UINT32_MAX };

struct class_build {
    struct kt_grammar *g;
    const struct charset *set;
    uint32_t lo, hi; /* of the set, what counts now: one length's characters */
    uint32_t next;
    uint32_t full[4]; /* any n continuation bytes, then next; NOTHING: not made yet */
};

enum cover { COVER_NONE, COVER_SOME, COVER_ALL };

/* How much of [lo, hi] is in the set, within [b->lo, b->hi]? */
static enum cover cover(const struct class_build *b, uint32_t lo, uint32_t hi)
{
    uint32_t from = MAX(lo, b->lo), to = MIN(hi, b->hi);
    size_t first = 0, n = b->set->n;
    if (from > to)
        return COVER_NONE;
    while (n > 0) { /* the first range that does not end before 'from' */
        size_t half = n / 2;
        if (b->set->ranges[first + half].hi < from) {
            first += half + 1;
            n -= half + 1;
        } else {
            n = half;
        }
    }
    if (first == b->set->n || b->set->ranges[first].lo > to)
        return COVER_NONE;
    const struct char_range *r = &b->set->ranges[first];
    return r->lo <= lo && r->hi >= hi && from == lo && to == hi ? COVER_ALL : COVER_SOME;
}

/* Edges of one state, in ascending order, neighbours joined. */
struct edge_list {
    struct pedge e[256];
    size_t n;
};

static void edge_list_add(struct edge_list *l, unsigned lo, unsigned hi, uint32_t next)
{
    if (next == NOTHING)
        return;
    if (l->n && l->e[l->n - 1].hi + 1u == lo && l->e[l->n - 1].next == next)
        l->e[l->n - 1].hi = (uint8_t)hi;
    else
        l->e[l->n++] = (struct pedge){ (uint8_t)lo, (uint8_t)hi, next };
}

static uint32_t make_branch(struct kt_grammar *g, const struct edge_list *l)
{
    struct pstate s = {
        .kind = ST_BRANCH, .klass = NO_CLASS, .first = (uint32_t)g->n_edges, .n = (uint32_t)l->n
    };
    for (size_t i = 0; i < l->n; i++)
        program_edge(g, l->e[i].lo, l->e[i].hi, l->e[i].next);
    return program_state(g, s);
}

/* Any n continuation bytes. */
static uint32_t full(struct class_build *b, unsigned n)
{
    if (n == 0)
        return b->next;
    if (b->full[n] == NOTHING) {
        struct edge_list l = { .n = 0 };
        edge_list_add(&l, 0x80, 0xBF, full(b, n - 1));
        b->full[n] = make_branch(b->g, &l);
    }
    return b->full[n];
}

/* n continuation bytes that write base + something; NOTHING if none of those is in the set. */
static uint32_t tail(struct class_build *b, uint32_t base, unsigned n)
{
    uint32_t size = 1u << 6 * n;
    enum cover c = cover(b, base, base + size - 1);
    if (c != COVER_SOME)
        return c == COVER_ALL ? full(b, n) : (uint32_t)NOTHING;
    struct edge_list l = { .n = 0 };
    for (uint32_t v = 0; v < 64; v++)
        edge_list_add(&l, 0x80 + v, 0x80 + v, tail(b, base + v * (size >> 6), n - 1));
    return make_branch(b->g, &l);
}

uint32_t program_class(struct kt_grammar *g, const struct charset *set, uint32_t next)
{
    static const struct {
        uint32_t lo, hi;
        unsigned lead0, lead1, n;
    } LENGTHS[] = {
        { 0x80, 0x7FF, 0xC2, 0xDF, 1 },
        { 0x800, 0xFFFF, 0xE0, 0xEF, 2 },
        { 0x10000, 0x10FFFF, 0xF0, 0xF4, 3 },
    };
    struct class_build b = { .g = g, .set = set, .next = next, .hi = 0x7F };
    struct edge_list lead = { .n = 0 };
    for (size_t i = 0; i < ARRAY_LEN(b.full); i++)
        b.full[i] = NOTHING;
    for (uint32_t cp = 0; cp < 0x80; cp++)
        edge_list_add(&lead, cp, cp, tail(&b, cp, 0));
    for (size_t i = 0; i < ARRAY_LEN(LENGTHS); i++) {
        b.lo = LENGTHS[i].lo;
        b.hi = LENGTHS[i].hi;
        uint32_t size = 1u << 6 * LENGTHS[i].n;
        for (unsigned byte = LENGTHS[i].lead0; byte <= LENGTHS[i].lead1; byte++)
            edge_list_add(&lead, byte, byte,
                          tail(&b,
                               (byte & (i == 0   ? 0x1Fu
                                        : i == 1 ? 0x0Fu
                                                 : 0x07u)) *
                                   size,
                               LENGTHS[i].n));
    }
    return make_branch(g, &lead);
}
