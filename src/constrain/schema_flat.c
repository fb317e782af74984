/* constrain/schema_flat.c: what has to hold for one value, multiplied out: a list of atoms, one of which holds.
 *
 * A state is half of that work: schemas still to be looked at, choices still to be made. Schemas are opened until none
 * is left ($ref and allOf bring more of them), then the smallest choice (anyOf, oneOf, if, not, dependentSchemas) is
 * made in every possible way. Lists are shared between states, so that a way costs what is new in it. */
#include "constrain/schema_priv.h"

#include <string.h>

#include "base/size.h"

struct todo {
    const struct js *node;
    const struct occ *up;
    bool is_mute;
    const struct todo *next;
};
struct choice {
    const struct js *const *alt;
    size_t n_alts;
    const struct occ *up;
    bool is_mute;
    const struct choice *next;
};
struct state {
    const struct todo *todo;
    const struct choice *choices;
    const struct occ *occs; /* the last one first */
    unsigned types;
    const struct js *values;
};

struct flattening {
    struct compilation *c;
    struct atom *first, *last;
    size_t n_atoms;
    unsigned depth;
};

/* ---- conjs -------------------------------------------------------------------------------------- */

static struct conj *find_conj(struct compilation *c, const struct list *nodes, uint64_t hash)
{
    if (c->n_conjs * 2 >= c->n_conj_slots) {
        size_t n = c->n_conj_slots ? c->n_conj_slots * 2 : 256;
        struct conj **slot = sc_alloc(c, n, sizeof(*slot));
        if (!slot)
            return NULL;
        for (size_t i = 0; i < c->n_conj_slots; i++) {
            if (!c->conjs[i])
                continue;
            size_t k = c->conjs[i]->hash & (n - 1);
            while (slot[k])
                k = (k + 1) & (n - 1);
            slot[k] = c->conjs[i];
        }
        c->conjs = slot;
        c->n_conj_slots = n;
    }
    size_t k = hash & (c->n_conj_slots - 1);
    for (; c->conjs[k]; k = (k + 1) & (c->n_conj_slots - 1)) {
        struct conj *cj = c->conjs[k];
        if (cj->hash == hash && cj->n_nodes == nodes->n &&
            (nodes->n == 0 || memcmp(cj->node, nodes->item, nodes->n * sizeof(*cj->node)) == 0))
            return cj;
    }
    struct conj *cj = sc_alloc(c, 1, sizeof(*cj));
    if (!cj)
        return NULL;
    if (++c->n_conjs > SCHEMA_CONJS_MAX) {
        sc_fail(c, KT_E_LIMIT, NULL, NULL, "more than %d combinations of schemas",
                SCHEMA_CONJS_MAX);
        return NULL;
    }
    cj->node = (const struct js **)(uintptr_t)nodes->item;
    cj->n_nodes = nodes->n;
    cj->hash = hash;
    return c->conjs[k] = cj;
}

const struct conj *conj_of(struct compilation *c, const struct list *nodes)
{
    struct list own = { 0 };
    uint64_t h = 0xCBF29CE484222325u;
    for (size_t i = 0; i < nodes->n; i++) {
        const struct js *node = nodes->item[i];
        bool known = !node || sc_says_nothing(node);
        for (size_t k = 0; k < own.n && !known; k++)
            known = own.item[k] == node;
        if (known || !sc_work(c, own.n / 4 + 1))
            continue;
        list_push(c, &own, node);
        h = (h ^ (uintptr_t)node >> 3) * 0x100000001B3u;
        h ^= h >> 31;
    }
    return c->st ? NULL : find_conj(c, &own, h);
}

const struct conj *conj_of_one(struct compilation *c, const struct js *node)
{
    struct list l = { 0 };
    list_push(c, &l, node);
    return conj_of(c, &l);
}

/* ---- states ------------------------------------------------------------------------------------- */

static void push_todo(struct compilation *c, struct state *s, const struct js *node,
                      const struct occ *up, bool mute)
{
    struct todo *t = sc_alloc(c, 1, sizeof(*t));
    if (!t)
        return;
    *t = (struct todo){ .node = node, .up = up, .is_mute = mute, .next = s->todo };
    s->todo = t;
}

static void push_choice(struct compilation *c, struct state *s, const struct js *const *alt,
                        size_t n, const struct occ *up, bool mute)
{
    struct choice *ch = sc_alloc(c, 1, sizeof(*ch));
    if (!ch)
        return;
    *ch = (struct choice){ .alt = alt, .n_alts = n, .up = up, .is_mute = mute, .next = s->choices };
    s->choices = ch;
}

static void choose(struct compilation *c, struct state *s, const struct list *alts,
                   const struct occ *up)
{
    if (alts)
        push_choice(c, s, (const struct js *const *)(uintptr_t)alts->item, alts->n, up,
                    up->is_mute);
}

/* While it is only asked whether there is anything, oneOf is taken for anyOf, which allows more: what is empty then is
 * empty. To know better one would have to ask the same of the alternatives, and so on. */
static const struct list *one_of(struct compilation *c, const struct js *node)
{
    struct list *made = sc_kept_list(c, node, KEPT_ONE_OF);
    if (!c->n_probes || (made && made->n))
        return sc_kept(c, node, KEPT_ONE_OF, make_one_of);
    const struct js *alts = js_get(node, "oneOf");
    struct list *rough = sc_alloc(c, 1, sizeof(*rough));
    for (size_t i = 0; rough && i < alts->n_items; i++)
        list_push(c, rough, alts->item[i]);
    c->is_rough = true;
    return rough;
}

/* ---- opening schemas ------------------------------------------------------------------------------ */

static void refuse_unknown_ways(struct compilation *c, const struct js *node)
{
    static const struct {
        const char *key, *why;
    } REFUSED[] = {
        { "$dynamicRef", "a reference that depends on where it is used from; write $ref" },
        { "$recursiveRef", "it is of an older draft; write $ref" },
    };
    for (size_t i = 0; i < ARRAY_LEN(REFUSED); i++) {
        const struct js *v = js_get(node, REFUSED[i].key);
        if (v)
            sc_fail(c, KT_E_UNSUPPORTED, v, NULL, "%s", REFUSED[i].why);
    }
}

static void note_values(struct compilation *c, struct state *s, const struct js *node)
{
    const struct js *one = js_get(node, "const"), *many = js_get(node, "enum");
    unsigned types = 0;
    if (one) {
        struct list *l = sc_kept_list(c, node, KEPT_CONST);
        struct js *array = l && !l->n ? js_new(c, JS_ARRAY, node) : NULL;
        if (array) {
            js_push(c, array, one);
            list_push(c, l, array);
        }
        many = l && l->n ? l->item[0] : NULL;
    }
    if (!many)
        return;
    for (size_t i = 0; i < many->n_items && types != T_ALL; i++)
        types |= js_type(c, many->item[i]);
    s->types &= types;
    if (!s->values || many->n_items < s->values->n_items)
        s->values = many;
}

static bool is_known(const struct state *s, const struct js *node, struct compilation *c)
{
    for (const struct occ *o = s->occs; o && sc_work(c, 1); o = o->next) {
        if (o->node == node)
            return true;
    }
    return false;
}

static void open_node(struct compilation *c, struct state *s, const struct js *node,
                      const struct occ *occ)
{
    refuse_unknown_ways(c, node);
    note_values(c, s, node);
    const struct js *all = js_get(node, "allOf"), *no = js_get(node, "not");
    /* Lists are turned over at the end: the first is looked at last. */
    for (size_t i = all ? all->n_items : 0; i-- > 0;)
        push_todo(c, s, all->item[i], occ, occ->is_mute);
    if (js_get(node, "$ref")) {
        const struct js *target = sc_target(c, node);
        if (target)
            push_todo(c, s, target, occ, occ->is_mute);
    }
    if (no)
        push_todo(c, s, js_not(c, no), occ, true);
    if (js_get(node, "anyOf"))
        choose(c, s, sc_kept(c, node, KEPT_ANY_OF, make_any_of), occ);
    if (js_get(node, "oneOf"))
        choose(c, s, one_of(c, node), occ);
    if (js_get(node, "if") && (js_get(node, "then") || js_get(node, "else")))
        choose(c, s, sc_kept(c, node, KEPT_IF, make_if), occ);
    if (js_get(node, "dependentRequired") || js_get(node, "dependentSchemas") ||
        js_get(node, "dependencies")) {
        const struct list *pairs = sc_kept(c, node, KEPT_DEPENDENT, make_dependent);
        for (size_t i = 0; pairs && i + 1 < pairs->n; i += 2)
            choose(c, s, &(struct list){ .item = pairs->item + i, .n = 2 }, occ);
    }
}

/* False: nothing satisfies it. */
static bool settle(struct compilation *c, struct state *s)
{
    while (s->todo && sc_work(c, 2)) {
        const struct todo *t = s->todo;
        const struct js *node = t->node;
        s->todo = t->next;
        if (!node || node->kind == JS_FALSE)
            return false;
        if (node->kind == JS_TRUE)
            continue;
        for (const struct occ *o = t->up; o && sc_work(c, 1); o = o->up) {
            if (o->node == node) {
                sc_fail(c, KT_E_UNSUPPORTED, node, NULL,
                        "it refers to itself without a step into the value, which means nothing");
                return false;
            }
        }
        if (is_known(s, node, c))
            continue;
        struct occ *occ = sc_alloc(c, 1, sizeof(*occ));
        if (!occ)
            return false;
        *occ = (struct occ){ .node = node, .up = t->up, .is_mute = t->is_mute, .next = s->occs };
        s->occs = occ;
        if (node->kind == JS_NOT) {
            const struct list *alts = sc_negated(c, node->arg);
            if (!alts || alts->n == 0)
                return false;
            push_choice(c, s, (const struct js *const *)(uintptr_t)alts->item, alts->n, occ, true);
            continue;
        }
        s->types &= sc_types(c, node);
        open_node(c, s, node, occ);
        if (!s->types)
            return false;
    }
    return !c->st;
}

static struct atom *atom_of(struct compilation *c, const struct state *s)
{
    struct atom *a = sc_alloc(c, 1, sizeof(*a));
    if (!a)
        return NULL;
    a->types = s->types;
    a->values = s->values;
    for (const struct occ *o = s->occs; o; o = o->next) {
        struct occ *copy = sc_alloc(c, 1, sizeof(*copy));
        if (!copy || !sc_work(c, 1))
            return NULL;
        /* Copies are made in turned order; that 'up' names the original is what in_scope() is ready for. */
        *copy = *o;
        copy->original = o;
        copy->next = a->occs;
        a->occs = copy;
    }
    return a;
}

static void keep_atom(struct flattening *f, const struct state *s)
{
    struct compilation *c = f->c;
    struct atom *a = atom_of(c, s);
    if (!a)
        return;
    if (++f->n_atoms > SCHEMA_ATOMS_MAX) {
        sc_fail(c, KT_E_LIMIT, s->occs ? s->occs->node : NULL, NULL,
                "more than %d alternatives for one value, when anyOf, oneOf, not and if are "
                "multiplied out",
                SCHEMA_ATOMS_MAX);
        return;
    }
    *(f->last ? &f->last->next : &f->first) = a;
    f->last = a;
}

static bool atom_is_empty(struct compilation *c, const struct atom *a, unsigned depth);

/* Where choices pile up, most combinations contradict each other (a list of if's about one property): ways that are
 * impossible already are not followed. */
static bool is_hopeless(struct flattening *f, const struct state *s)
{
    enum { CHOICES_MIN = 3, LOOK_DEPTH = 1 };
    if (f->depth < CHOICES_MIN || f->c->n_probes > 1)
        return false;
    const struct atom *a = atom_of(f->c, s);
    f->c->n_probes++;
    bool empty = a && atom_is_empty(f->c, a, LOOK_DEPTH);
    f->c->n_probes--;
    return empty;
}

static void expand(struct flattening *f, struct state s)
{
    struct compilation *c = f->c;
    if (!settle(c, &s) || is_hopeless(f, &s))
        return;
    const struct choice *best = NULL;
    for (const struct choice *ch = s.choices; ch; ch = ch->next)
        best = !best || ch->n_alts <= best->n_alts ? ch : best;
    if (!best) {
        keep_atom(f, &s);
        return;
    }
    if (++f->depth > SCHEMA_BRANCHES_MAX) {
        sc_fail(c, KT_E_LIMIT, best->up->node, NULL, "more than %d choices for one value",
                SCHEMA_BRANCHES_MAX);
        return;
    }
    const struct choice *others = NULL;
    for (const struct choice *ch = s.choices; ch; ch = ch->next) {
        struct choice *copy = ch == best ? NULL : sc_alloc(c, 1, sizeof(*copy));
        if (!copy)
            continue;
        *copy = *ch;
        copy->next = others;
        others = copy;
    }
    for (size_t i = 0; i < best->n_alts && !c->st; i++) {
        struct state way = s;
        way.choices = others;
        push_todo(c, &way, best->alt[i], best->up, best->is_mute);
        expand(f, way);
    }
    f->depth--;
}

struct atom *conj_atoms(struct compilation *c, const struct conj *cj)
{
    struct conj *own = (struct conj *)(uintptr_t)cj;
    if (!cj || c->st || own->is_flat)
        return cj && !c->st ? own->atoms : NULL;
    bool was_rough = c->is_rough;
    struct flattening f = { .c = c };
    own->is_busy = true;
    c->is_rough = false;
    struct state s = { .types = T_ALL };
    for (size_t i = cj->n_nodes; i-- > 0;)
        push_todo(c, &s, cj->node[i], NULL, false);
    expand(&f, s);
    own->is_busy = false;
    own->is_flat = !c->is_rough;
    own->atoms = c->st ? NULL : f.first;
    c->is_rough = was_rough;
    return own->atoms;
}

/* ---- is there anything? -------------------------------------------------------------------------- */

static bool any_value(struct compilation *c, const struct atom *a)
{
    for (size_t i = 0; i < a->values->n_items && !c->st; i++) {
        if (atom_holds(c, a->values->item[i], a))
            return true;
    }
    return false;
}

static bool atom_is_empty(struct compilation *c, const struct atom *a, unsigned depth)
{
    bool is_free;
    if (a->values)
        return !any_value(c, a);
    if (a->types & (T_NULL | T_BOOLEAN))
        return false;
    if (a->types & T_NUMBER) {
        const struct dfa *d = number_dfa(c, a, &is_free);
        if (is_free || !d || !dfa_is_empty(d))
            return false;
    }
    if (a->types & T_STRING) {
        struct strings s = atom_strings(c, a);
        bool run = s.run.n_min <= s.run.n_max && (s.run.n_min == 0 || s.run.set.n_ranges);
        if (s.is_free || (s.dfa ? !dfa_is_empty(s.dfa) : run))
            return false;
    }
    if (a->types & T_ARRAY && !array_is_empty(c, a, depth))
        return false;
    return !(a->types & T_OBJECT) || object_is_empty(c, a, depth);
}

bool conj_is_empty(struct compilation *c, const struct conj *cj, unsigned depth)
{
    struct conj *own = (struct conj *)(uintptr_t)cj;
    if (!cj || c->st || own->empty_at[depth])
        return cj && !c->st && own->empty_at[depth] > 0;
    if (own->is_busy)
        return false; /* not known while it is being asked for */
    bool empty = true;
    c->n_probes++;
    for (const struct atom *a = conj_atoms(c, cj); a && empty && !c->st; a = a->next)
        empty = atom_is_empty(c, a, depth);
    c->n_probes--;
    own->empty_at[depth] = empty ? 1 : -1;
    return empty && !c->st;
}
