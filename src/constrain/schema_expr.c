/* constrain/schema_expr.c: expressions of the grammar that is made. */
#include "constrain/schema_priv.h"

#include <stdio.h>
#include <string.h>

#include "base/size.h"
#include "base/utf8.h"

/* ---- making them -------------------------------------------------------------------------------- */

static struct expr *ex_new(struct compilation *c, enum expr_kind kind)
{
    struct expr *e = sc_alloc(c, 1, sizeof(*e));
    if (e)
        e->kind = kind;
    return e;
}

const struct expr *ex_never(struct compilation *c)
{
    return ex_new(c, EX_NEVER);
}

const struct expr *ex_empty(struct compilation *c)
{
    return ex_new(c, EX_EMPTY);
}

const struct expr *ex_bytes(struct compilation *c, struct span s)
{
    if (s.len == 0)
        return ex_empty(c);
    struct expr *e = ex_new(c, EX_BYTES);
    if (e)
        e->bytes = sc_copy(c, s);
    return e;
}

const struct expr *ex_str(struct compilation *c, const char *s)
{
    return ex_bytes(c, span_of(s));
}

const struct expr *ex_set(struct compilation *c, struct cset set)
{
    char one[UTF8_MAX_BYTES];
    if (set.n_ranges == 0)
        return ex_never(c);
    if (set.n_ranges == 1 && set.range[0].lo == set.range[0].hi)
        return ex_bytes(c, (struct span){ one, utf8_encode(one, (int32_t)set.range[0].lo) });
    struct expr *e = ex_new(c, EX_SET);
    if (e)
        e->set = set;
    return e;
}

const struct expr *ex_rule(struct compilation *c, struct production *r)
{
    struct expr *e = ex_new(c, EX_RULE);
    if (e)
        e->rule = r;
    return e;
}

struct production *rule_new(struct compilation *c, struct span name)
{
    struct production *r = sc_alloc(c, 1, sizeof(*r));
    if (!r)
        return NULL;
    if (++c->n_rules > SCHEMA_RULES_MAX) {
        sc_fail(c, KT_E_LIMIT, NULL, NULL, "it takes more than %d rules", SCHEMA_RULES_MAX);
        return NULL;
    }
    r->name = name;
    *(c->last_rule ? &c->last_rule->next : &c->rules) = r;
    c->last_rule = r;
    return r;
}

static bool same(const struct expr *a, const struct expr *b)
{
    if (a == b)
        return true;
    if (a->kind != b->kind)
        return false;
    switch (a->kind) {
    case EX_NEVER:
    case EX_EMPTY:
        return true;
    case EX_BYTES:
        return span_eq(a->bytes, b->bytes);
    case EX_SET:
        return cset_equal(a->set, b->set);
    case EX_RULE:
        return a->rule == b->rule;
    default:
        return false;
    }
}

static const struct expr *gather(struct compilation *c, enum expr_kind kind, const struct list *l)
{
    struct expr *e = ex_new(c, kind);
    if (!e)
        return NULL;
    e->child = (const struct expr **)(uintptr_t)l->item;
    e->n_children = l->n;
    return e;
}

const struct expr *ex_all(struct compilation *c, const struct list *l)
{
    struct list parts = { 0 };
    for (size_t i = 0; i < l->n && !c->st; i++) {
        const struct expr *e = l->item[i];
        if (!e)
            return NULL;
        if (e->kind == EX_NEVER)
            return e;
        size_t n = e->kind == EX_CAT ? e->n_children : e->kind != EX_EMPTY;
        for (size_t k = 0; k < n; k++) {
            const struct expr *part = e->kind == EX_CAT ? e->child[k] : e;
            const struct expr *last = parts.n ? parts.item[parts.n - 1] : NULL;
            if (last && last->kind == EX_BYTES && part->kind == EX_BYTES) {
                struct buf both = { 0 };
                buf_append_span(&both, last->bytes);
                buf_append_span(&both, part->bytes);
                parts.item[parts.n - 1] = ex_bytes(c, sc_taken(c, &both));
            } else {
                list_push(c, &parts, part);
            }
        }
    }
    if (c->st)
        return NULL;
    return parts.n == 0 ? ex_empty(c) : parts.n == 1 ? parts.item[0] : gather(c, EX_CAT, &parts);
}

/* Alternatives of alternatives become one list; twice the same becomes one, as far as that is cheap to see. */
const struct expr *ex_any(struct compilation *c, const struct list *l)
{
    struct list parts = { 0 };
    for (size_t i = 0; i < l->n && !c->st; i++) {
        const struct expr *e = l->item[i];
        if (!e)
            return NULL;
        size_t n = e->kind == EX_ALT ? e->n_children : e->kind != EX_NEVER;
        for (size_t k = 0; k < n; k++) {
            const struct expr *part = e->kind == EX_ALT ? e->child[k] : e;
            bool known = false;
            for (size_t p = 0; p < parts.n && p < 64 && !known; p++)
                known = same(part, parts.item[p]);
            if (!known)
                list_push(c, &parts, part);
        }
    }
    if (c->st)
        return NULL;
    size_t n = 0;
    for (size_t i = 0; i < parts.n; i++) {
        const struct expr *e = parts.item[i];
        if (e->kind != EX_EMPTY)
            parts.item[n++] = e;
    }
    bool may_be_empty = n < parts.n;
    parts.n = n;
    if (n == 0)
        return may_be_empty ? ex_empty(c) : ex_never(c);
    const struct expr *any = n == 1 ? parts.item[0] : gather(c, EX_ALT, &parts);
    return may_be_empty ? ex_repeat(c, any, 0, 1) : any;
}

const struct expr *ex_cat(struct compilation *c, const struct expr *a, const struct expr *b)
{
    struct list l = { 0 };
    list_push(c, &l, a);
    list_push(c, &l, b);
    return ex_all(c, &l);
}

const struct expr *ex_cat3(struct compilation *c, const struct expr *a, const struct expr *b,
                           const struct expr *d)
{
    struct list l = { 0 };
    list_push(c, &l, a);
    list_push(c, &l, b);
    list_push(c, &l, d);
    return ex_all(c, &l);
}

const struct expr *ex_or(struct compilation *c, const struct expr *a, const struct expr *b)
{
    struct list l = { 0 };
    list_push(c, &l, a);
    list_push(c, &l, b);
    return ex_any(c, &l);
}

const struct expr *ex_repeat(struct compilation *c, const struct expr *e, uint32_t min,
                             uint32_t max)
{
    if (!e || max < min)
        return e ? ex_never(c) : NULL;
    if (e->kind == EX_NEVER)
        return min ? e : ex_empty(c);
    if (max == 0 || e->kind == EX_EMPTY)
        return ex_empty(c);
    if (min == 1 && max == 1)
        return e;
    struct expr *r = ex_new(c, EX_REPEAT);
    struct list child = { 0 };
    list_push(c, &child, e);
    if (!r || c->st)
        return NULL;
    r->child = (const struct expr **)(uintptr_t)child.item;
    r->n_children = 1;
    r->min = min;
    r->max = max;
    return r;
}

/* ---- characters --------------------------------------------------------------------------------- */

const struct expr *spell_plain(struct compilation *c, struct cset set)
{
    return ex_set(c, set);
}

/* As JSON writes them between marks, in one way each. Control characters that only \u00XX can write are left out where
 * there is anything else: whoever begins \u in order to write a letter would be led to one of them. */
const struct expr *spell_json(struct compilation *c, struct cset set)
{
    static const struct range SPECIAL[] = { { 0, 0x1F }, { '"', '"' }, { '\\', '\\' } };
    static const char SHORT[] = "\"\\\b\f\n\r\t", LETTERS[] = "\"\\bfnrt";
    struct cset special = cset_of(c, SPECIAL, ARRAY_LEN(SPECIAL));
    struct list ways = { 0 }, controls = { 0 };
    struct cset plain = cset_and(c, set, cset_not(c, special));
    if (plain.n_ranges)
        list_push(c, &ways, ex_set(c, plain));
    struct range letters[sizeof(LETTERS)];
    size_t n_letters = 0;
    for (size_t i = 0; i < sizeof(SHORT) - 1; i++) {
        uint32_t letter = (uint32_t)LETTERS[i];
        if (cset_has(set, (uint32_t)SHORT[i]))
            letters[n_letters++] = (struct range){ letter, letter };
    }
    if (n_letters)
        list_push(c, &ways, ex_cat(c, ex_str(c, "\\"), ex_set(c, cset_of(c, letters, n_letters))));
    for (uint32_t cp = 0; cp < 0x20 && !ways.n; cp++) {
        char text[8];
        snprintf(text, sizeof(text), "\\u%04x", cp);
        if (cset_has(set, cp) && (cp || !c->parameters))
            list_push(c, &controls, ex_str(c, text));
    }
    return ways.n ? ex_any(c, &ways) : ex_any(c, &controls);
}

/* Any string: any way in which JSON writes a character but \u0000, which few programs can hold. */
static const struct expr *any_char(struct compilation *c)
{
    static const struct range
        DIGIT[] = { { '0', '9' }, { 'A', 'F' }, { 'a', 'f' } },
        NOT_ZERO[] = { { '1', '9' }, { 'A', 'F' }, { 'a', 'f' } },
        NOT_ZERO_D[] = { { '1', '9' }, { 'A', 'C' }, { 'E', 'F' }, { 'a', 'c' }, { 'e', 'f' } },
        LOW[] = { { '0', '7' } }, HIGH[] = { { '8', '9' }, { 'A', 'B' }, { 'a', 'b' } },
        LAST[] = { { 'C', 'F' }, { 'c', 'f' } }, D[] = { { 'D', 'D' }, { 'd', 'd' } },
        LETTER[] = { { '"', '"' }, { '/', '/' }, { '\\', '\\' }, { 'b', 'b' },
                     { 'f', 'f' }, { 'n', 'n' }, { 'r', 'r' },   { 't', 't' } },
        SPECIAL[] = { { 0, 0x1F }, { '"', '"' }, { '\\', '\\' } };
#define SET(list) ex_set(c, cset_of(c, list, ARRAY_LEN(list)))
    const struct expr *digit = SET(DIGIT), *zero = ex_str(c, "0");
    const struct expr *three = ex_repeat(c, digit, 3, 3), *two = ex_repeat(c, digit, 2, 2);
    /* 0000 is left out, and so are halves of pairs. */
    const struct expr *zeros = ex_or(
        c, ex_cat(c, SET(NOT_ZERO), two),
        ex_cat(c, zero, ex_or(c, ex_cat(c, SET(NOT_ZERO), digit), ex_cat(c, zero, SET(NOT_ZERO)))));
    const struct expr *pair = ex_cat3(c, ex_cat3(c, SET(D), SET(HIGH), two), ex_str(c, "\\u"),
                                      ex_cat3(c, SET(D), SET(LAST), two));
    struct list code = { 0 }, ways = { 0 };
    list_push(c, &code, ex_cat(c, SET(NOT_ZERO_D), three));
    list_push(c, &code, ex_cat3(c, SET(D), SET(LOW), two));
    list_push(c, &code, ex_cat(c, zero, zeros));
    list_push(c, &code, pair);
    list_push(c, &ways, ex_set(c, cset_not(c, cset_of(c, SPECIAL, ARRAY_LEN(SPECIAL)))));
    list_push(c, &ways,
              ex_cat(c, ex_str(c, "\\"),
                     ex_or(c, SET(LETTER), ex_cat(c, ex_str(c, "u"), ex_any(c, &code)))));
#undef SET
    return ex_any(c, &ways);
}

enum { SHARED_CHAR, SHARED_STRING };

static const struct expr *shared_char(struct compilation *c)
{
    if (!c->shared[SHARED_CHAR]) {
        struct production *r = c->shared[SHARED_CHAR] = rule_new(c, SPAN("char"));
        if (r)
            r->body = any_char(c);
    }
    return ex_rule(c, c->shared[SHARED_CHAR]);
}

const struct expr *ex_any_string(struct compilation *c)
{
    if (!c->shared[SHARED_STRING]) {
        struct production *r = c->shared[SHARED_STRING] = rule_new(c, SPAN("string"));
        const struct expr *mark = ex_str(c, "\"");
        if (r)
            r->body = ex_cat3(c, mark, ex_repeat(c, shared_char(c), 0, EX_ENDLESS), mark);
    }
    return ex_rule(c, c->shared[SHARED_STRING]);
}

/* ---- automata ----------------------------------------------------------------------------------- */

/* A state's expression is: its loop, then one of the ways on, or the end. States that one arrow leads to are written
 * where it leads; others become rules, which are used in last place only. */
struct drawing {
    struct compilation *c;
    const struct dfa *d;
    spell_fn spell;
    uint32_t *n_in;           /* arrows that lead to a state, without loops */
    struct production **rule; /* of states that several lead to             */
    bool *live;
    struct list todo; /* states whose rules are to be written */
};

static const struct expr *draw_use(struct drawing *w, uint32_t s, unsigned depth);

static const struct expr *draw(struct drawing *w, uint32_t s, unsigned depth)
{
    struct compilation *c = w->c;
    const struct dfa *d = w->d;
    struct list ways = { 0 };
    bool *done = sc_alloc(c, d->n_states, sizeof(*done));
    const struct expr *loop = NULL;
    if (!done || !sc_work(c, d->n_cuts + d->n_states / 8))
        return NULL;
    for (size_t k = 0; k < d->n_kinds; k++) {
        uint32_t to = d->next[s * d->n_kinds + k];
        if (done[to] || !w->live[to])
            continue;
        done[to] = true;
        const struct expr *set = w->spell(c, dfa_between(c, d, s, to));
        if (to == s)
            loop = set;
        else
            list_push(c, &ways, ex_cat(c, set, draw_use(w, to, depth + 1)));
    }
    if (d->accepts[s])
        list_push(c, &ways, ex_empty(c));
    const struct expr *rest = ex_any(c, &ways);
    return loop ? ex_cat(c, ex_repeat(c, loop, 0, EX_ENDLESS), rest) : rest;
}

static const struct expr *draw_use(struct drawing *w, uint32_t s, unsigned depth)
{
    enum { NESTING_MAX = 24 };
    if (w->n_in[s] == 1 && depth < NESTING_MAX)
        return draw(w, s, depth);
    if (!w->rule[s]) {
        w->rule[s] = rule_new(w->c, SPAN("s"));
        list_push(w->c, &w->todo, &w->rule[s]);
    }
    return ex_rule(w->c, w->rule[s]);
}

/* States from which the end can be reached. */
static void find_live(struct drawing *w)
{
    bool grew = true;
    for (size_t s = 1; s < w->d->n_states; s++)
        w->live[s] = w->d->accepts[s];
    while (grew && sc_work(w->c, w->d->n_states)) {
        grew = false;
        for (size_t s = w->d->n_states; s-- > 1;) {
            bool was = w->live[s];
            for (size_t k = 0; k < w->d->n_kinds && !w->live[s]; k++)
                w->live[s] = w->live[w->d->next[s * w->d->n_kinds + k]];
            grew = grew || w->live[s] != was;
        }
    }
}

const struct expr *ex_dfa(struct compilation *c, const struct dfa *d, spell_fn spell)
{
    if (!d || c->st)
        return NULL;
    struct drawing w = { .c = c, .d = d, .spell = spell };
    w.n_in = sc_alloc(c, d->n_states, sizeof(*w.n_in));
    w.rule = sc_alloc(c, d->n_states, sizeof(*w.rule));
    w.live = sc_alloc(c, d->n_states, sizeof(*w.live));
    bool *seen = sc_alloc(c, d->n_states, sizeof(*seen));
    if (!w.n_in || !w.rule || !w.live || !seen)
        return NULL;
    find_live(&w);
    for (size_t s = 1; s < d->n_states; s++) {
        memset(seen, 0, d->n_states * sizeof(*seen));
        if (!sc_work(c, d->n_states / 8 + 1))
            return NULL;
        for (size_t k = 0; k < d->n_kinds && w.live[s]; k++) {
            uint32_t to = d->next[s * d->n_kinds + k];
            if (to != s && !seen[to])
                w.n_in[to]++;
            seen[to] = true;
        }
    }
    if (!w.live[d->start])
        return ex_never(c);
    w.n_in[d->start] += 2; /* begun from outside, too: arrows back need a rule */
    bool back = w.n_in[d->start] > 2;
    const struct expr *e = back ? draw_use(&w, d->start, 0) : draw(&w, d->start, 0);
    for (size_t i = 0; i < w.todo.n && !c->st; i++) {
        struct production **r = (struct production **)(uintptr_t)w.todo.item[i];
        (*r)->body = draw(&w, (uint32_t)(r - w.rule), 0);
    }
    return c->st ? NULL : e;
}

const struct expr *ex_strings(struct compilation *c, const struct strings *s)
{
    enum { STATES_DRAWN = 40 };
    const struct expr *mark = ex_str(c, "\""), *inside;
    if (c->st)
        return NULL;
    if (s->is_free)
        return ex_any_string(c);
    if (s->dfa) {
        inside = s->n_parts == 1 && s->pattern.ptr && s->dfa->n_states > STATES_DRAWN
                     ? regex_expr(c, s->pattern, spell_json)
                     : NULL;
        inside = inside ? inside : ex_dfa(c, s->dfa, spell_json);
    } else {
        bool all = cset_equal(s->run.set, cset_all(c));
        const struct expr *one = all ? shared_char(c) : spell_json(c, s->run.set);
        inside = ex_repeat(c, one, s->run.n_min, s->run.n_max);
    }
    return ex_cat3(c, mark, inside, mark);
}
