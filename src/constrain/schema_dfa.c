/* constrain/schema_dfa.c: languages of strings as complete deterministic automata, so that they can be intersected and
 * complemented. Characters are put into kinds, those between which an automaton makes no difference; kinds are the
 * columns of its table. State 0 accepts nothing and is never left, except after dfa_not(). */
#include "constrain/schema_priv.h"

#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "base/utf8.h"

/* ---- numbers of rows --------------------------------------------------------------------------- */

/* A hash table from rows of words to numbers, in the order in which they came. */
struct rows {
    uint32_t *slot; /* 1 + number, or 0 */
    size_t n_slots;
    const uint32_t **row;
    size_t *len;
    size_t n, cap;
};

static uint64_t hash_row(const uint32_t *row, size_t len)
{
    uint64_t h = 0x9E3779B97F4A7C15u ^ len;
    for (size_t i = 0; i < len; i++)
        h = (h ^ row[i]) * 0x100000001B3u, h ^= h >> 29;
    return h;
}

static void rehash(struct compilation *c, struct rows *t)
{
    t->n_slots = t->n_slots ? t->n_slots * 2 : 64;
    t->slot = sc_alloc(c, t->n_slots, sizeof(*t->slot));
    for (size_t i = 0; t->slot && i < t->n; i++) {
        size_t k = hash_row(t->row[i], t->len[i]) & (t->n_slots - 1);
        while (t->slot[k])
            k = (k + 1) & (t->n_slots - 1);
        t->slot[k] = (uint32_t)i + 1;
    }
}

/* The number of this row, which is copied when it is new. */
static uint32_t row_number(struct compilation *c, struct rows *t, const uint32_t *row, size_t len)
{
    if (t->n * 2 >= t->n_slots)
        rehash(c, t);
    if (c->st)
        return 0;
    size_t k = hash_row(row, len) & (t->n_slots - 1);
    for (; t->slot[k]; k = (k + 1) & (t->n_slots - 1)) {
        size_t i = t->slot[k] - 1;
        if (t->len[i] == len && (len == 0 || memcmp(t->row[i], row, len * sizeof(*row)) == 0))
            return (uint32_t)i;
    }
    if (t->n == t->cap) {
        size_t cap = t->cap ? t->cap * 2 : 32;
        const uint32_t **rows = sc_alloc(c, cap, sizeof(*rows));
        size_t *lens = sc_alloc(c, cap, sizeof(*lens));
        if (!rows || !lens)
            return 0;
        if (t->n) {
            memcpy(rows, t->row, t->n * sizeof(*rows));
            memcpy(lens, t->len, t->n * sizeof(*lens));
        }
        t->row = rows;
        t->len = lens;
        t->cap = cap;
    }
    uint32_t *copy = sc_alloc(c, len + 1, sizeof(*copy));
    if (!copy)
        return 0;
    if (len)
        memcpy(copy, row, len * sizeof(*row));
    t->row[t->n] = copy;
    t->len[t->n] = len;
    t->slot[k] = (uint32_t)++t->n;
    return (uint32_t)t->n - 1;
}

static bool too_many(struct compilation *c, size_t n, const struct js *at, const char *what)
{
    if (n > SCHEMA_DFA_MAX)
        sc_fail(c, KT_E_LIMIT, at, NULL,
                "%s takes more than %d states; make lengths, counts or the pattern smaller", what,
                SCHEMA_DFA_MAX);
    return c->st != KT_OK;
}

/* ---- from many states at once to one ------------------------------------------------------------ */

uint32_t nfa_add(struct compilation *c, struct nfa *n, enum nfa_kind kind, uint32_t out0,
                 uint32_t out1)
{
    if (n->n_nodes == n->cap_nodes) {
        size_t cap = n->cap_nodes ? n->cap_nodes * 2 : 64;
        struct nfa_node *node = sc_alloc(c, cap, sizeof(*node));
        if (!node)
            return 0;
        if (n->n_nodes)
            memcpy(node, n->node, n->n_nodes * sizeof(*node));
        n->node = node;
        n->cap_nodes = cap;
    }
    n->node[n->n_nodes] = (struct nfa_node){ .kind = kind, .out = { out0, out1 } };
    return (uint32_t)n->n_nodes++;
}

static int by_value(const void *pa, const void *pb)
{
    uint32_t a = *(const uint32_t *)pa, b = *(const uint32_t *)pb;
    return (a > b) - (a < b);
}

/* Intervals at whose ends some set begins or ends, and their kinds: those that are in the same sets. */
static bool make_kinds(struct compilation *c, struct dfa *d, const struct nfa *n)
{
    struct list sets = { 0 };
    size_t n_cuts = 3;
    for (size_t i = 0; i < n->n_nodes; i++) {
        const struct nfa_node *node = &n->node[i];
        bool known = node->kind != NFA_SET;
        for (size_t k = 0; !known && k < sets.n; k++)
            known = cset_equal(*(const struct cset *)sets.item[k], node->set);
        if (!known)
            list_push(c, &sets, &node->set);
        if (!known)
            n_cuts += 2 * node->set.n_ranges;
        if (sets.n > SCHEMA_KINDS_MAX || !sc_work(c, sets.n / 16 + 1))
            return false;
    }
    uint32_t *cut = sc_alloc(c, n_cuts + 1, sizeof(*cut));
    uint32_t *row = sc_alloc(c, sets.n / 32 + 1, sizeof(*row));
    if (!cut || !row)
        return false;
    size_t k = 0;
    cut[k++] = 0;
    cut[k++] = 0xD800;
    cut[k++] = 0xE000;
    for (size_t i = 0; i < sets.n; i++) {
        const struct cset *s = sets.item[i];
        for (size_t r = 0; r < s->n_ranges; r++) {
            cut[k++] = s->range[r].lo;
            cut[k++] = s->range[r].hi + 1;
        }
    }
    qsort(cut, k, sizeof(*cut), by_value);
    size_t m = 0;
    for (size_t i = 0; i < k; i++) {
        if (cut[i] <= CP_MAX && (m == 0 || cut[m - 1] != cut[i]))
            cut[m++] = cut[i];
    }
    d->cut = cut;
    d->n_cuts = m;
    d->kind_of = sc_alloc(c, m, sizeof(*d->kind_of));
    struct rows kinds = { 0 };
    for (size_t i = 0; d->kind_of && i < m; i++) {
        if (cut[i] == 0xD800) {
            d->kind_of[i] = NO_KIND;
            continue;
        }
        if (!sc_work(c, sets.n / 8 + 1))
            return false;
        memset(row, 0, (sets.n / 32 + 1) * sizeof(*row));
        for (size_t s = 0; s < sets.n; s++) {
            if (cset_has(*(const struct cset *)sets.item[s], cut[i]))
                row[s / 32] |= 1u << (s % 32);
        }
        d->kind_of[i] = (uint16_t)row_number(c, &kinds, row, sets.n / 32 + 1);
        if (kinds.n > SCHEMA_KINDS_MAX)
            return false;
    }
    d->n_kinds = kinds.n;
    return !c->st && d->kind_of;
}

/* The nodes reached without a character, sorted: those that wait for one, for the end, or accept. */
struct closure {
    const struct nfa *n;
    uint32_t *stack, *mark, *out;
    uint32_t now; /* marks of this round */
    size_t n_out;
    bool at_begin;
};

static void close_over(struct closure *cl, const uint32_t *from, size_t n_from, bool through_end)
{
    size_t n_stack = 0;
    cl->now++;
    cl->n_out = 0;
    for (size_t i = 0; i < n_from; i++) {
        if (cl->mark[from[i]] != cl->now) {
            cl->mark[from[i]] = cl->now;
            cl->stack[n_stack++] = from[i];
        }
    }
    while (n_stack) {
        uint32_t id = cl->stack[--n_stack];
        const struct nfa_node *node = &cl->n->node[id];
        bool passes = node->kind == NFA_SPLIT || (node->kind == NFA_BEGIN && cl->at_begin) ||
                      (node->kind == NFA_END && through_end);
        if (!passes && node->kind != NFA_BEGIN)
            cl->out[cl->n_out++] = id;
        for (int k = 0; passes && k < 2; k++) {
            uint32_t to = node->out[k];
            if (to != UINT32_MAX && cl->mark[to] != cl->now) {
                cl->mark[to] = cl->now;
                cl->stack[n_stack++] = to;
            }
        }
    }
    qsort(cl->out, cl->n_out, sizeof(*cl->out), by_value);
}

/* A character of each kind, to ask sets with. */
static uint32_t *examples(struct compilation *c, const struct dfa *d)
{
    uint32_t *cp = sc_alloc(c, d->n_kinds + 1, sizeof(*cp));
    for (size_t i = d->n_cuts; cp && i-- > 0;) {
        if (d->kind_of[i] != NO_KIND)
            cp[d->kind_of[i]] = d->cut[i];
    }
    return cp;
}

static bool grow_table(struct compilation *c, struct dfa *d, size_t n_states, size_t *cap)
{
    if (n_states <= *cap)
        return true;
    size_t fresh = *cap ? *cap * 2 : 16;
    uint32_t *next = sc_alloc(c, fresh * (d->n_kinds + 1), sizeof(*next));
    bool *accepts = sc_alloc(c, fresh, sizeof(*accepts));
    if (!next || !accepts)
        return false;
    if (*cap) {
        memcpy(next, d->next, *cap * d->n_kinds * sizeof(*next));
        memcpy(accepts, d->accepts, *cap * sizeof(*accepts));
    }
    d->next = next;
    d->accepts = accepts;
    *cap = fresh;
    return true;
}

const struct dfa *dfa_of_nfa(struct compilation *c, const struct nfa *n, uint32_t start,
                             const struct js *at, const char *what)
{
    struct dfa *d = sc_alloc(c, 1, sizeof(*d));
    if (!d || !make_kinds(c, d, n)) {
        sc_fail(c, KT_E_LIMIT, at, NULL, "%s tells more than %d kinds of characters apart", what,
                SCHEMA_KINDS_MAX);
        return NULL;
    }
    struct closure cl = { .n = n, .at_begin = true };
    cl.stack = sc_alloc(c, n->n_nodes + 1, sizeof(*cl.stack));
    cl.mark = sc_alloc(c, n->n_nodes + 1, sizeof(*cl.mark));
    cl.out = sc_alloc(c, n->n_nodes + 1, sizeof(*cl.out));
    uint32_t *move = sc_alloc(c, n->n_nodes + 1, sizeof(*move)), *example = examples(c, d);
    if (!cl.stack || !cl.mark || !cl.out || !move || !example)
        return NULL;
    struct rows states = { 0 };
    size_t cap = 0;
    row_number(c, &states, NULL, 0); /* state 0: nowhere */
    close_over(&cl, &start, 1, false);
    /* The start is a state of its own, marked by a node that does not exist: only there ^ holds. */
    cl.out[cl.n_out++] = UINT32_MAX;
    d->start = row_number(c, &states, cl.out, cl.n_out);
    for (size_t s = 0; s < states.n && !c->st; s++) {
        if (too_many(c, states.n, at, what) || !grow_table(c, d, s + 1, &cap))
            return NULL;
        const uint32_t *row = states.row[s];
        size_t len = states.len[s];
        cl.at_begin = len && row[len - 1] == UINT32_MAX;
        len -= cl.at_begin;
        close_over(&cl, row, len, true);
        for (size_t i = 0; i < cl.n_out; i++)
            d->accepts[s] = d->accepts[s] || n->node[cl.out[i]].kind == NFA_ACCEPT;
        cl.at_begin = false;
        for (size_t k = 0; k < d->n_kinds && sc_work(c, len / 4 + 1); k++) {
            size_t n_move = 0;
            for (size_t i = 0; i < len; i++) {
                const struct nfa_node *node = &n->node[row[i]];
                if (node->kind == NFA_SET && cset_has(node->set, example[k]))
                    move[n_move++] = node->out[0];
            }
            close_over(&cl, move, n_move, false);
            d->next[s * d->n_kinds + k] = row_number(c, &states, cl.out, cl.n_out);
        }
    }
    d->n_states = states.n;
    return c->st ? NULL : dfa_small(c, d);
}

/* ---- both, either, not ------------------------------------------------------------------------- */

/* Intervals of both, and which pair of kinds each is. */
static bool pair_kinds(struct compilation *c, struct dfa *d, const struct dfa *a,
                       const struct dfa *b, struct rows *pairs)
{
    size_t n = a->n_cuts + b->n_cuts;
    d->cut = sc_alloc(c, n, sizeof(*d->cut));
    d->kind_of = sc_alloc(c, n, sizeof(*d->kind_of));
    if (!d->cut || !d->kind_of)
        return false;
    for (size_t i = 0, k = 0; i < a->n_cuts || k < b->n_cuts;) {
        uint32_t x = i < a->n_cuts ? a->cut[i] : UINT32_MAX,
                 y = k < b->n_cuts ? b->cut[k] : UINT32_MAX, at = MIN(x, y);
        i += x == at;
        k += y == at;
        uint32_t pair[2] = { a->kind_of[i - 1], b->kind_of[k - 1] };
        d->cut[d->n_cuts] = at;
        bool none = pair[0] == NO_KIND || pair[1] == NO_KIND;
        d->kind_of[d->n_cuts++] = none ? NO_KIND : (uint16_t)row_number(c, pairs, pair, 2);
        if (pairs->n >= NO_KIND)
            return false;
    }
    d->n_kinds = pairs->n;
    return !c->st;
}

static const struct dfa *product(struct compilation *c, const struct dfa *a, const struct dfa *b,
                                 bool both, const struct js *at, const char *what)
{
    struct dfa *d = a && b ? sc_alloc(c, 1, sizeof(*d)) : NULL;
    struct rows pairs = { 0 }, states = { 0 };
    if (!d || !pair_kinds(c, d, a, b, &pairs))
        return NULL;
    size_t cap = 0;
    row_number(c, &states, (uint32_t[]){ 0, 0 }, 2);
    d->start = row_number(c, &states, (uint32_t[]){ a->start, b->start }, 2);
    for (size_t s = 0; s < states.n && !c->st; s++) {
        if (too_many(c, states.n / 4, at, what) || !grow_table(c, d, s + 1, &cap))
            return NULL;
        uint32_t x = states.row[s][0], y = states.row[s][1];
        d->accepts[s] = both ? a->accepts[x] && b->accepts[y] : a->accepts[x] || b->accepts[y];
        for (size_t k = 0; k < d->n_kinds && sc_work(c, 1); k++) {
            uint32_t to[2] = { a->next[x * a->n_kinds + pairs.row[k][0]],
                               b->next[y * b->n_kinds + pairs.row[k][1]] };
            d->next[s * d->n_kinds + k] = row_number(c, &states, to, 2);
        }
    }
    d->n_states = states.n;
    const struct dfa *small = c->st ? NULL : dfa_small(c, d);
    return !small || too_many(c, small->n_states, at, what) ? NULL : small;
}

const struct dfa *dfa_and(struct compilation *c, const struct dfa *a, const struct dfa *b,
                          const struct js *at, const char *what)
{
    return product(c, a, b, true, at, what);
}

const struct dfa *dfa_or(struct compilation *c, const struct dfa *a, const struct dfa *b,
                         const struct js *at, const char *what)
{
    return product(c, a, b, false, at, what);
}

const struct dfa *dfa_not(struct compilation *c, const struct dfa *a)
{
    struct dfa *d = a ? sc_alloc(c, 1, sizeof(*d)) : NULL;
    if (!d)
        return NULL;
    *d = *a;
    d->accepts = sc_alloc(c, a->n_states, sizeof(*d->accepts));
    for (size_t i = 0; d->accepts && i < a->n_states; i++)
        d->accepts[i] = !a->accepts[i];
    return d->accepts ? dfa_small(c, d) : NULL;
}

/* ---- the smallest one -------------------------------------------------------------------------- */

/* States are parted until those in one part agree in all that follows (Moore). A round numbers them by their own part
 * and those that they lead to; the first state of each is found through a hash table. */
static size_t part_states(struct compilation *c, const struct dfa *a, uint32_t *part)
{
    size_t n = a->n_states, n_slots = 64, n_parts = 1, before = 0;
    while (n_slots < 2 * n)
        n_slots *= 2;
    uint32_t *fresh = sc_alloc(c, n, sizeof(*fresh)), *slot = sc_alloc(c, n_slots, sizeof(*slot));
    if (!fresh || !slot)
        return 0;
    for (size_t s = 0; s < n; s++)
        part[s] = a->accepts[s];
    while (n_parts != before) {
        before = n_parts;
        n_parts = 0;
        if (!sc_work(c, n * (a->n_kinds / 4 + 1)))
            return 0;
        memset(slot, 0, n_slots * sizeof(*slot));
        for (size_t s = 0; s < n; s++) {
            const uint32_t *next = a->next + s * a->n_kinds;
            uint64_t h = part[s] * 0x9E3779B97F4A7C15u;
            for (size_t k = 0; k < a->n_kinds; k++)
                h = (h ^ part[next[k]]) * 0x100000001B3u, h ^= h >> 29;
            size_t at = h & (n_slots - 1);
            for (;; at = (at + 1) & (n_slots - 1)) {
                if (!slot[at]) {
                    slot[at] = (uint32_t)s + 1;
                    fresh[s] = (uint32_t)n_parts++;
                    break;
                }
                size_t other = slot[at] - 1;
                const uint32_t *its = a->next + other * a->n_kinds;
                bool same = part[other] == part[s];
                for (size_t k = 0; k < a->n_kinds && same; k++)
                    same = part[its[k]] == part[next[k]];
                if (same) {
                    fresh[s] = fresh[other];
                    break;
                }
            }
        }
        memcpy(part, fresh, n * sizeof(*part));
    }
    return n_parts;
}

static bool is_dead(const struct dfa *a, const uint32_t *part, size_t s)
{
    bool dead = !a->accepts[s];
    for (size_t k = 0; k < a->n_kinds && dead; k++)
        dead = part[a->next[s * a->n_kinds + k]] == part[s];
    return dead;
}

/* Columns that are equal everywhere become one. */
static void join_kinds(struct compilation *c, struct dfa *d)
{
    struct rows columns = { 0 };
    uint32_t *column = sc_alloc(c, d->n_states, sizeof(*column)),
             *to = sc_alloc(c, d->n_kinds + 1, sizeof(*to));
    uint16_t *kind_of = sc_alloc(c, d->n_cuts, sizeof(*kind_of));
    if (!column || !to || !kind_of)
        return;
    for (size_t k = 0; k < d->n_kinds; k++) {
        for (size_t s = 0; s < d->n_states; s++)
            column[s] = d->next[s * d->n_kinds + k];
        to[k] = row_number(c, &columns, column, d->n_states);
    }
    uint32_t *next = sc_alloc(c, d->n_states * (columns.n + 1), sizeof(*next));
    if (!next)
        return;
    for (size_t k = 0; k < columns.n; k++) {
        for (size_t s = 0; s < d->n_states; s++)
            next[s * columns.n + k] = columns.row[k][s];
    }
    size_t n_cuts = 0;
    uint32_t *cut = sc_alloc(c, d->n_cuts, sizeof(*cut));
    if (!cut)
        return;
    for (size_t i = 0; i < d->n_cuts; i++) {
        uint16_t kind = d->kind_of[i] == NO_KIND ? NO_KIND : (uint16_t)to[d->kind_of[i]];
        if (n_cuts && kind_of[n_cuts - 1] == kind)
            continue;
        cut[n_cuts] = d->cut[i];
        kind_of[n_cuts++] = kind;
    }
    d->next = next;
    d->n_kinds = columns.n;
    d->cut = cut;
    d->kind_of = kind_of;
    d->n_cuts = n_cuts;
}

const struct dfa *dfa_small(struct compilation *c, const struct dfa *a)
{
    if (!a)
        return NULL;
    uint32_t *part = sc_alloc(c, a->n_states, sizeof(*part)),
             *order = sc_alloc(c, a->n_states + 1, sizeof(*order)),
             *number = sc_alloc(c, a->n_states, sizeof(*number));
    struct dfa *d = sc_alloc(c, 1, sizeof(*d));
    if (!part || !order || !number || !d || !part_states(c, a, part))
        return NULL;
    /* Parts in the order in which they are reached; 'order' has a state of each, 0 is kept for the dead one. */
    size_t n = 1;
    for (size_t s = 0; s < a->n_states; s++)
        number[s] = UINT32_MAX;
    for (size_t s = 0; s < a->n_states; s++) {
        if (is_dead(a, part, s))
            number[part[s]] = 0;
    }
    if (number[part[a->start]] == UINT32_MAX) {
        order[n] = a->start;
        number[part[a->start]] = (uint32_t)n++;
    }
    for (size_t i = 1; i < n; i++) {
        for (size_t k = 0; k < a->n_kinds; k++) {
            uint32_t to = a->next[order[i] * a->n_kinds + k];
            if (number[part[to]] != UINT32_MAX)
                continue;
            order[n] = to;
            number[part[to]] = (uint32_t)n++;
        }
    }
    *d = *a;
    d->n_states = n;
    d->start = number[part[a->start]];
    d->next = sc_alloc(c, n * (a->n_kinds + 1), sizeof(*d->next));
    d->accepts = sc_alloc(c, n, sizeof(*d->accepts));
    if (!d->next || !d->accepts)
        return NULL;
    for (size_t i = 1; i < n; i++) {
        d->accepts[i] = a->accepts[order[i]];
        for (size_t k = 0; k < a->n_kinds; k++)
            d->next[i * a->n_kinds + k] = number[part[a->next[order[i] * a->n_kinds + k]]];
    }
    join_kinds(c, d);
    return c->st ? NULL : d;
}

bool dfa_is_empty(const struct dfa *a)
{
    return a->start == 0;
}

static uint32_t step(const struct dfa *a, uint32_t state, uint32_t cp)
{
    size_t lo = 0, hi = a->n_cuts;
    while (hi - lo > 1) {
        size_t mid = lo + (hi - lo) / 2;
        if (a->cut[mid] <= cp)
            lo = mid;
        else
            hi = mid;
    }
    return a->kind_of[lo] == NO_KIND ? 0 : a->next[state * a->n_kinds + a->kind_of[lo]];
}

bool dfa_accepts(const struct dfa *a, struct span text)
{
    uint32_t state = a->start;
    for (size_t i = 0, n; i < text.len; i += n) {
        int32_t cp = utf8_decode(text.ptr + i, text.len - i, &n);
        if (cp < 0)
            return false;
        state = step(a, state, (uint32_t)cp);
    }
    return a->accepts[state];
}

struct cset dfa_between(struct compilation *c, const struct dfa *a, uint32_t from, uint32_t to)
{
    struct range *r = sc_alloc(c, a->n_cuts, sizeof(*r));
    size_t n = 0;
    for (size_t i = 0; r && i < a->n_cuts; i++) {
        uint32_t end = i + 1 < a->n_cuts ? a->cut[i + 1] - 1 : CP_MAX;
        if (a->kind_of[i] != NO_KIND && a->next[from * a->n_kinds + a->kind_of[i]] == to)
            r[n++] = (struct range){ a->cut[i], end };
    }
    return cset_of(c, r, n);
}

/* ---- plain ones -------------------------------------------------------------------------------- */

const struct dfa *dfa_of_words(struct compilation *c, const struct span *words, size_t n,
                               const struct js *at)
{
    struct nfa nfa = { 0 };
    uint32_t accept = nfa_add(c, &nfa, NFA_ACCEPT, UINT32_MAX, UINT32_MAX), start = UINT32_MAX;
    for (size_t w = 0; w < n && !c->st; w++) {
        uint32_t from = nfa_add(c, &nfa, NFA_SPLIT, UINT32_MAX, UINT32_MAX), first = from;
        for (size_t i = 0, step_; i < words[w].len && !c->st; i += step_) {
            int32_t cp = utf8_decode(words[w].ptr + i, words[w].len - i, &step_);
            uint32_t id = nfa_add(c, &nfa, NFA_SET, UINT32_MAX, UINT32_MAX);
            uint32_t u = (uint32_t)MAX(cp, 0);
            if (c->st)
                return NULL;
            nfa.node[id].set = cset_of(c, &(struct range){ u, u }, 1);
            nfa.node[from].out[0] = id;
            from = id;
        }
        if (c->st || nfa.n_nodes > SCHEMA_NFA_MAX) {
            sc_fail(c, KT_E_LIMIT, at, NULL, "the words in it are too many to be told apart");
            return NULL;
        }
        nfa.node[from].out[0] = accept;
        start = nfa_add(c, &nfa, NFA_SPLIT, first, start);
    }
    if (start == UINT32_MAX)
        start = nfa_add(c, &nfa, NFA_SPLIT, UINT32_MAX, UINT32_MAX);
    return dfa_of_nfa(c, &nfa, start, at, "a list of words");
}

/* State 1 + i: i characters were read; the last one loops when there is no end. */
const struct dfa *dfa_of_run(struct compilation *c, struct cset set, uint32_t n_min, uint32_t n_max,
                             const struct js *at)
{
    size_t n_states = 2 + (size_t)(n_max == UINT32_MAX ? n_min : n_max);
    if (too_many(c, n_states, at, "minLength or maxLength together with a pattern or a format"))
        return NULL;
    struct dfa *d = sc_alloc(c, 1, sizeof(*d));
    size_t n_cuts = 2 * set.n_ranges + 3;
    if (!d)
        return NULL;
    d->cut = sc_alloc(c, n_cuts, sizeof(*d->cut));
    d->kind_of = sc_alloc(c, n_cuts, sizeof(*d->kind_of));
    d->next = sc_alloc(c, n_states * 2, sizeof(*d->next));
    d->accepts = sc_alloc(c, n_states, sizeof(*d->accepts));
    if (c->st)
        return NULL;
    /* Kind 0 is of the set, kind 1 is not. */
    struct cset other = cset_not(c, set);
    struct range *all = sc_alloc(c, set.n_ranges + other.n_ranges + 2, sizeof(*all));
    if (!all)
        return NULL;
    size_t n = 0;
    for (size_t i = 0, k = 0; i < set.n_ranges || k < other.n_ranges;) {
        bool in = k == other.n_ranges || (i < set.n_ranges && set.range[i].lo < other.range[k].lo);
        struct range r = in ? set.range[i++] : other.range[k++];
        if (r.lo == 0xE000) { /* the surrogates before it belong to none */
            d->cut[n] = 0xD800;
            d->kind_of[n++] = NO_KIND;
        }
        d->cut[n] = r.lo;
        d->kind_of[n++] = !in;
    }
    d->n_cuts = n;
    d->n_kinds = 2;
    d->n_states = n_states;
    d->start = 1;
    for (size_t s = 1; s < n_states; s++) {
        d->accepts[s] = s - 1 >= n_min;
        d->next[s * 2] = (uint32_t)(s + 1 < n_states ? s + 1 : n_max == UINT32_MAX ? s : 0);
    }
    return dfa_small(c, d);
}
