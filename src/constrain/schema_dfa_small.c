/* constrain/schema_dfa_small.c: the smallest automaton of a language; what can be asked of one; and some that are plain. */
#include "constrain/schema_rows.h"

#include <string.h>

#include "base/size.h"
#include "base/utf8.h"

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
    if (dfa_too_many(c, n_states, at, "minLength or maxLength together with a pattern or a format"))
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
