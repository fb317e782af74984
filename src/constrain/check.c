/* constrain/check.c: what must be known of a grammar before a text is read with it.
 *
 * Productive states are those from which an end can be reached: the others are never entered, so that there is no dead
 * end. Nullable rules can be left as they were entered. Both are the smallest solution of equations between states,
 * found by starting from what is certain and following who depends on it.
 *
 * A rule that calls itself before any byte would wait for itself: that is refused. Without it, "calls before any byte"
 * is an order of the rules, which the automaton needs (rank). */
#include "constrain/program.h"

#include <stdlib.h>

#include "base/size.h"

/* ---- who depends on whom --------------------------------------------------------------------- */

struct users {
    uint32_t *first; /* [n_states + 1] into 'list' */
    uint32_t *list;
};

/* Calls fn for each state that s's truth may follow from. */
static size_t each_used(const struct kt_grammar *g, size_t s, uint32_t *out, size_t i)
{
    const struct pstate *p = &g->states[s];
    size_t n = 0;
    switch (p->kind) {
    case ST_BRANCH:
        n = p->n;
        if (i < n)
            *out = g->edges[p->first + i].next;
        return n;
    case ST_SPLIT:
        n = p->n;
        if (i < n)
            *out = g->targets[p->first + i];
        return n;
    case ST_JUMP:
        *out = g->rules[p->rule].start;
        return 1;
    case ST_CALL:
    case ST_REPEAT:
        *out = i == 0 ? p->next : g->rules[p->rule].start;
        return 2;
    case ST_QUOTE:
        *out = p->next;
        return 1;
    default:
        return 0;
    }
}

static bool users_init(struct users *u, const struct kt_grammar *g)
{
    size_t total = 0;
    uint32_t used = 0;
    u->first = calloc(g->n_states + 2, sizeof(*u->first));
    if (!u->first)
        return false;
    for (size_t s = 0; s < g->n_states; s++) {
        size_t n = each_used(g, s, &used, SIZE_MAX);
        for (size_t i = 0; i < n; i++) {
            each_used(g, s, &used, i);
            u->first[used + 2]++;
        }
        total += n;
    }
    u->list = calloc(total + 1, sizeof(*u->list));
    if (!u->list)
        return false;
    for (size_t s = 0; s < g->n_states; s++)
        u->first[s + 2] += u->first[s + 1];
    for (size_t s = 0; s < g->n_states; s++) {
        size_t n = each_used(g, s, &used, SIZE_MAX);
        for (size_t i = 0; i < n; i++) {
            each_used(g, s, &used, i);
            u->list[u->first[used + 1]++] = (uint32_t)s;
        }
    }
    return true;
}

/* ---- equations ------------------------------------------------------------------------------- */

enum equation { PRODUCTIVE, PRODUCTIVE_UNQUOTED, NULLABLE };

static bool holds(const struct kt_grammar *g, const uint64_t *bits, enum equation eq, size_t s)
{
    const struct pstate *p = &g->states[s];
    bool next = bit_has(bits, p->next);
    switch (p->kind) {
    case ST_RETURN:
        return true;
    case ST_BRANCH:
        return eq != NULLABLE; /* asked for when one of its edges' does */
    case ST_SPLIT:
        return true;
    case ST_JUMP:
        return bit_has(bits, g->rules[p->rule].start);
    case ST_CALL:
        return next && bit_has(bits, g->rules[p->rule].start);
    case ST_REPEAT:
        return next && (p->min == 0 || bit_has(bits, g->rules[p->rule].start));
    case ST_QUOTE:
        return next && eq == PRODUCTIVE;
    default:
        return false;
    }
}

static bool solve(const struct kt_grammar *g, const struct users *u, enum equation eq,
                  uint64_t *bits, uint32_t *todo)
{
    size_t n = 0;
    bit_set(bits, STATE_RETURN);
    todo[n++] = STATE_RETURN;
    while (n > 0) {
        uint32_t s = todo[--n];
        for (uint32_t i = u->first[s]; i < u->first[s + 1]; i++) {
            uint32_t user = u->list[i];
            if (!bit_has(bits, user) && holds(g, bits, eq, user)) {
                bit_set(bits, user);
                todo[n++] = user; /* each once */
            }
        }
    }
    return bit_has(bits, g->start);
}

/* ---- who calls whom at the same byte --------------------------------------------------------- */

/* The i-th state entered from s without a byte; *push: by a call. False: there is no more. */
static bool enters(const struct kt_grammar *g, uint32_t s, size_t i, uint32_t *to, bool *push)
{
    const struct pstate *p = &g->states[s];
    *push = false;
    switch (p->kind) {
    case ST_SPLIT:
        if (i < p->n)
            *to = g->targets[p->first + i];
        return i < p->n;
    case ST_JUMP:
        *to = g->rules[p->rule].start;
        return i == 0;
    case ST_CALL:
    case ST_REPEAT:
        *push = i == 0;
        *to = i == 0 ? g->rules[p->rule].start : p->next;
        return i == 0 ||
               (i == 1 && (g->rules[p->rule].nullable || (p->kind == ST_REPEAT && p->min == 0)));
    default:
        return false;
    }
}

/* Tarjan's components, without recursion: those entered from others get the smaller numbers. */
struct components {
    uint32_t *order;  /* [n_states] when it was found, 1...; 0: not yet            */
    uint32_t *low;    /* the earliest found that it leads back to                  */
    uint32_t *number; /* of its component, 1...; 0: not closed                     */
    uint32_t *path, *open;
    size_t *at; /* which of its entries is next, for each of 'path'          */
    uint32_t n_found, n_components;
};

static void visit(struct components *c, const struct kt_grammar *g, uint32_t root)
{
    size_t n_path = 0, n_open = 0;
    c->path[n_path] = root;
    c->at[n_path++] = 0;
    while (n_path > 0) {
        uint32_t s = c->path[n_path - 1], to = 0;
        bool push;
        if (c->order[s] == 0) {
            c->order[s] = c->low[s] = ++c->n_found;
            c->open[n_open++] = s;
        }
        if (enters(g, s, c->at[n_path - 1], &to, &push)) {
            c->at[n_path - 1]++;
            if (!bit_has(g->productive[1], to))
                continue;
            if (c->order[to] == 0) {
                c->path[n_path] = to;
                c->at[n_path++] = 0;
            } else if (c->number[to] == 0) {
                c->low[s] = MIN(c->low[s], c->order[to]);
            }
            continue;
        }
        if (c->low[s] == c->order[s]) {
            c->n_components++;
            do
                c->number[c->open[--n_open]] = c->n_components;
            while (c->open[n_open] != s);
        }
        n_path--;
        if (n_path > 0)
            c->low[c->path[n_path - 1]] = MIN(c->low[c->path[n_path - 1]], c->low[s]);
    }
}

/* A call inside a component is a rule that waits for itself; *number is the component's. */
static bool calls_itself(const struct components *c, const struct kt_grammar *g, uint32_t *number)
{
    for (size_t s = 0; s < g->n_states; s++) {
        uint32_t to = 0;
        bool push;
        if (c->number[s] && enters(g, (uint32_t)s, 0, &to, &push) && push &&
            c->number[to] == c->number[s]) {
            *number = c->number[s];
            return true;
        }
    }
    return false;
}

static enum kt_status order_rules(struct kt_grammar *g, size_t *bad_rule, struct kt_error *err)
{
    size_t n = g->n_states;
    struct components c = { .order = calloc(n, sizeof(uint32_t)),
                            .low = calloc(n, sizeof(uint32_t)),
                            .number = calloc(n, sizeof(uint32_t)),
                            .path = calloc(n, sizeof(uint32_t)),
                            .open = calloc(n, sizeof(uint32_t)),
                            .at = calloc(n, sizeof(size_t)) };
    enum kt_status st = KT_OK;
    uint32_t number;
    if (!c.order || !c.low || !c.number || !c.path || !c.open || !c.at) {
        st = kt_fail(err, KT_E_NOMEM, "grammar: out of memory");
    } else {
        for (size_t r = 0; r < g->n_rules; r++)
            if (c.order[g->rules[r].start] == 0 && bit_has(g->productive[1], g->rules[r].start))
                visit(&c, g, g->rules[r].start);
        for (size_t r = 0; r < g->n_rules; r++)
            g->rules[r].rank = c.number[g->rules[r].start];
        if (calls_itself(&c, g, &number)) {
            *bad_rule = 0;
            while (*bad_rule + 1 < g->n_rules && g->rules[*bad_rule].rank != number)
                ++*bad_rule;
            st = kt_fail(err, KT_E_UNSUPPORTED, "grammar: left recursion");
        }
    }
    free(c.order);
    free(c.low);
    free(c.number);
    free(c.path);
    free(c.open);
    free(c.at);
    return st;
}

enum kt_status program_check(struct kt_grammar *g, size_t *bad_rule, struct kt_error *err)
{
    struct users u = { 0 };
    size_t words = g->n_states / 64 + 1;
    uint32_t *todo = calloc(g->n_states + 1, sizeof(*todo));
    uint64_t *nullable = calloc(words, sizeof(*nullable));
    for (size_t i = 0; i < ARRAY_LEN(g->productive); i++)
        g->productive[i] = calloc(words, sizeof(*g->productive[i]));
    enum kt_status st = KT_OK;
    if (!users_init(&u, g) || !todo || !nullable || !g->productive[0] || !g->productive[1]) {
        st = kt_fail(err, KT_E_NOMEM, "grammar: out of memory");
    } else {
        solve(g, &u, PRODUCTIVE_UNQUOTED, g->productive[0], todo);
        solve(g, &u, NULLABLE, nullable, todo);
        for (size_t r = 0; r < g->n_rules; r++)
            g->rules[r].nullable = bit_has(nullable, g->rules[r].start);
        if (!solve(g, &u, PRODUCTIVE, g->productive[1], todo)) {
            *bad_rule = 0;
            st = kt_fail(err, KT_E_FORMAT, "grammar: no end");
        }
    }
    free(u.first);
    free(u.list);
    free(todo);
    free(nullable);
    return st ? st : order_rules(g, bad_rule, err);
}
