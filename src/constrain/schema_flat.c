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

static struct js *both_of(struct compilation *c, const struct js *a, const struct js *b,
                          const struct js *from)
{
    struct js *schema = js_new(c, JS_OBJECT, from), *all = js_new(c, JS_ARRAY, from);
    js_push(c, all, a);
    js_push(c, all, b);
    js_put_str(c, schema, "allOf", all);
    return schema;
}

/* A schema of ours is made once for each place: what is made is kept with the schema that it is made from. */
static struct list *kept(struct compilation *c, const struct js *node, enum kept_kind kind)
{
    struct js *n = (struct js *)(uintptr_t)node;
    if (!n->kept)
        n->kept = sc_alloc(c, N_KEPT, sizeof(*n->kept));
    return n->kept ? &n->kept[kind] : NULL;
}

const struct list *sc_kept(struct compilation *c, const struct js *node, enum kept_kind kind,
                           make_fn make)
{
    struct list *l = kept(c, node, kind);
    if (l && !l->n && !c->st)
        make(c, node, l);
    return l;
}

/* ---- oneOf --------------------------------------------------------------------------------------- */

/* Are all of these nothing but a list of values, with words about them? Then they are one. */
static bool are_values(struct compilation *c, const struct js *alts, struct js *all, bool once)
{
    static const char *const WORDS[] = { "const",      "enum",        "type",
                                         "title",      "description", "$comment",
                                         "deprecated", "examples",    "default" };
    for (size_t i = 0; i < alts->n_items; i++) {
        const struct js *alt = alts->item[i];
        const struct js *one = js_get(alt, "const"), *many = js_get(alt, "enum");
        if (alt->kind != JS_OBJECT || alt->made || !one == !many)
            return false;
        for (size_t k = 0; k < alt->n_items; k++) {
            bool known = false;
            for (size_t w = 0; w < ARRAY_LEN(WORDS) && !known; w++)
                known = span_eq_str(alt->item[k]->key, WORDS[w]);
            if (!known)
                return false;
        }
        for (size_t k = 0; k < (one ? 1 : many->n_items); k++) {
            const struct js *v = one ? one : many->item[k];
            if ((v->kind == JS_ARRAY || v->kind == JS_OBJECT || v->kind == JS_NUMBER) && once)
                return false; /* comparing each with each is left to others */
            if (js_type(c, v) & sc_types(c, alt))
                js_push(c, all, v);
        }
    }
    if (!once)
        return true;
    /* Strings and words: twice the same in two alternatives is in neither. */
    for (size_t i = 0; i < all->n_items; i++) {
        for (size_t k = 0; k < i && sc_work(c, 1); k++) {
            if (js_equal(c, all->item[i], all->item[k]))
                return false;
        }
    }
    return !c->st;
}

static bool disjoint(struct compilation *c, const struct js *a, const struct js *b)
{
    struct list both = { 0 };
    if (!(sc_types(c, a) & sc_types(c, b)))
        return true;
    list_push(c, &both, a);
    list_push(c, &both, b);
    const struct conj *cj = conj_of(c, &both);
    return cj && conj_is_empty(c, cj, SCHEMA_EMPTY_DEPTH);
}

/* Each alternative, without those others that it has something in common with. */
static void make_one_of(struct compilation *c, const struct js *node, struct list *out)
{
    const struct js *alts = js_get(node, "oneOf");
    struct js *values = js_new(c, JS_ARRAY, alts), *schema = js_new(c, JS_OBJECT, alts);
    if (values && are_values(c, alts, values, true)) {
        js_put_str(c, schema, "enum", values);
        list_push(c, out, schema);
        return;
    }
    size_t n = alts->n_items;
    bool *apart = sc_alloc(c, n * n, 1);
    for (size_t i = 0; apart && i < n; i++) {
        for (size_t k = 0; k < i && !c->st; k++)
            apart[i * n + k] = apart[k * n + i] = disjoint(c, alts->item[i], alts->item[k]);
    }
    for (size_t i = 0; apart && i < n && !c->st; i++) {
        const struct js *alt = alts->item[i];
        for (size_t k = 0; k < n; k++) {
            if (k != i && !apart[i * n + k])
                alt = both_of(c, alt, js_not(c, alts->item[k]), alts->item[i]);
        }
        list_push(c, out, alt);
    }
}

static void make_any_of(struct compilation *c, const struct js *node, struct list *out)
{
    const struct js *alts = js_get(node, "anyOf");
    struct js *values = js_new(c, JS_ARRAY, alts), *schema = js_new(c, JS_OBJECT, alts);
    if (values && are_values(c, alts, values, false)) {
        js_put_str(c, schema, "enum", values);
        list_push(c, out, schema);
        return;
    }
    for (size_t i = 0; i < alts->n_items; i++)
        list_push(c, out, alts->item[i]);
}

static void make_if(struct compilation *c, const struct js *node, struct list *out)
{
    const struct js *cond = js_get(node, "if"), *then = js_get(node, "then"),
                    *otherwise = js_get(node, "else");
    struct js *yes = js_new_bool(c, true, cond);
    list_push(c, out, both_of(c, cond, then ? then : yes, cond));
    list_push(c, out, both_of(c, js_not(c, cond), otherwise ? otherwise : yes, cond));
}

/* {"properties": {key: false}} */
static struct js *without_key(struct compilation *c, struct span key, const struct js *from)
{
    struct js *schema = js_new(c, JS_OBJECT, from), *props = js_new(c, JS_OBJECT, from);
    js_put(c, props, key, js_new_bool(c, false, from));
    js_put_str(c, schema, "properties", props);
    return schema;
}

/* An object that has the key. */
static struct js *with_key(struct compilation *c, struct span key, const struct js *from)
{
    struct js *schema = js_new(c, JS_OBJECT, from), *required = js_new(c, JS_ARRAY, from),
              *name = js_new(c, JS_STRING, from);
    struct js_made *made = sc_alloc(c, 1, sizeof(*made));
    if (!schema || !required || !name || !made)
        return NULL;
    name->text = key;
    made->types = T_OBJECT;
    schema->made = made;
    js_push(c, required, name);
    js_put_str(c, schema, "required", required);
    return schema;
}

/* Pairs of alternatives, one pair for each key: it is not there, or it is and something holds. */
static void make_dependent(struct compilation *c, const struct js *node, struct list *out)
{
    const struct js *lists = js_get(node, "dependentRequired"),
                    *schemas = js_get(node, "dependentSchemas"),
                    *either = js_get(node, "dependencies"); /* before 2019-09 */
    for (size_t i = 0; either && i < either->n_items && !c->st; i++) {
        const struct js *entry = either->item[i];
        struct js *needed = js_new(c, JS_OBJECT, entry);
        if (entry->kind == JS_ARRAY)
            js_put_str(c, needed, "required", entry);
        list_push(c, out, without_key(c, entry->key, entry));
        list_push(c, out,
                  both_of(c, with_key(c, entry->key, entry),
                          entry->kind == JS_ARRAY ? needed : entry, entry));
    }
    for (size_t i = 0; lists && i < lists->n_items && !c->st; i++) {
        const struct js *entry = lists->item[i];
        struct js *needed = js_new(c, JS_OBJECT, entry);
        js_put_str(c, needed, "required", entry);
        list_push(c, out, without_key(c, entry->key, entry));
        list_push(c, out, both_of(c, with_key(c, entry->key, entry), needed, entry));
    }
    for (size_t i = 0; schemas && i < schemas->n_items && !c->st; i++) {
        const struct js *entry = schemas->item[i];
        list_push(c, out, without_key(c, entry->key, entry));
        list_push(c, out, both_of(c, with_key(c, entry->key, entry), entry, entry));
    }
}

/* While it is only asked whether there is anything, oneOf is taken for anyOf, which allows more: what is empty then is
 * empty. To know better one would have to ask the same of the alternatives, and so on. */
static const struct list *one_of(struct compilation *c, const struct js *node)
{
    struct list *made = kept(c, node, KEPT_ONE_OF);
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
        struct list *l = kept(c, node, KEPT_CONST);
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
