/* constrain/schema_dfa.c: languages of strings as complete deterministic automata, so that they can be intersected and
 * complemented. Characters are put into kinds, those between which an automaton makes no difference; kinds are the
 * columns of its table. State 0 accepts nothing and is never left, except after dfa_not(). */
#include "constrain/schema_rows.h"

#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "base/utf8.h"

bool dfa_too_many(struct compilation *c, size_t n, const struct js *at, const char *what)
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
        if (dfa_too_many(c, states.n, at, what) || !grow_table(c, d, s + 1, &cap))
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
        if (dfa_too_many(c, states.n / 4, at, what) || !grow_table(c, d, s + 1, &cap))
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
    return !small || dfa_too_many(c, small->n_states, at, what) ? NULL : small;
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
