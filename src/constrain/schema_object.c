/* constrain/schema_object.c: objects: named properties in the order in which they are declared, those that are not
 * required may be left out; then others, as far as additionalProperties, patternProperties and propertyNames let them.
 *
 * The names of the others are cut into regions, in each of which the same schemas hold for the value. A name can come
 * twice there, which no grammar can count; so others are never relied on when more than one is wanted
 * (minProperties). */
#include "constrain/schema_priv.h"

#include "base/size.h"

struct pattern {
    const struct occ *occ;
    const struct js *node; /* of the value; its key is the pattern */
    const struct dfa *dfa;
};

struct object {
    struct compilation *c;
    const struct atom *a;
    struct pattern *pattern;
    size_t n_patterns;
    const struct dfa *names; /* what propertyNames lets through; NULL: any */
};

static bool in_scope(const struct occ *o, const struct occ *holder)
{
    for (const struct occ *p = o->original; p; p = p->up) {
        if (p == holder->original)
            return !o->is_mute || o == holder;
    }
    return false;
}

static void find_patterns(struct object *ob)
{
    struct compilation *c = ob->c;
    size_t n = 0;
    for (const struct occ *o = ob->a->occs; o; o = o->next) {
        const struct js *p = js_get(o->node, "patternProperties");
        n += p ? p->n_items : 0;
    }
    ob->pattern = sc_alloc(c, n + 1, sizeof(*ob->pattern));
    for (const struct occ *o = ob->a->occs; o && ob->pattern; o = o->next) {
        const struct js *p = js_get(o->node, "patternProperties");
        for (size_t i = 0; p && i < p->n_items && !c->st; i++) {
            const struct dfa *d = regex_dfa(c, p->item[i]->key, p->item[i], NULL, NULL);
            ob->pattern[ob->n_patterns++] = (struct pattern){ o, p->item[i], d };
        }
    }
}

static void find_names(struct object *ob)
{
    struct list schemas = { 0 };
    for (const struct occ *o = ob->a->occs; o; o = o->next) {
        const struct js *names = js_get(o->node, "propertyNames");
        if (names && names->kind != JS_TRUE)
            list_push(ob->c, &schemas, names);
    }
    if (schemas.n)
        ob->names = conj_strings(ob->c, conj_of(ob->c, &schemas), schemas.item[0]);
}

/* ---- what holds for a property ------------------------------------------------------------------- */

/* Do the properties and patterns of o speak of this name? */
static bool speaks_of(const struct object *ob, const struct occ *o, struct span key)
{
    if (js_get_span(js_get(o->node, "properties"), key))
        return true;
    for (size_t i = 0; i < ob->n_patterns; i++) {
        const struct pattern *p = &ob->pattern[i];
        if (p->occ == o && p->dfa && dfa_accepts(p->dfa, key))
            return true;
    }
    return false;
}

static bool covers_all(const struct occ *o, const struct occ *holder)
{
    return js_get(o->node, "additionalProperties") ||
           (o != holder && js_get(o->node, "unevaluatedProperties"));
}

static void push_named(const struct object *ob, struct list *l, const struct occ *o,
                       struct span key)
{
    struct compilation *c = ob->c;
    const struct js *own = js_get_span(js_get(o->node, "properties"), key),
                    *others = js_get(o->node, "additionalProperties"),
                    *unevaluated = js_get(o->node, "unevaluatedProperties");
    if (own)
        list_push(c, l, own);
    for (size_t i = 0; i < ob->n_patterns; i++) {
        const struct pattern *p = &ob->pattern[i];
        if (p->occ == o && p->dfa && dfa_accepts(p->dfa, key))
            list_push(c, l, p->node);
    }
    if (others && !speaks_of(ob, o, key))
        list_push(c, l, others);
    if (!unevaluated || unevaluated->kind == JS_TRUE)
        return;
    bool evaluated = false;
    for (const struct occ *x = ob->a->occs; x && !evaluated; x = x->next)
        evaluated = in_scope(x, o) && (covers_all(x, o) || speaks_of(ob, x, key));
    if (!evaluated)
        list_push(c, l, unevaluated);
}

static const struct conj *named_value(const struct object *ob, struct span key)
{
    struct list l = { 0 };
    if (ob->names && !dfa_accepts(ob->names, key))
        list_push(ob->c, &l, js_new_bool(ob->c, false, NULL));
    for (const struct occ *o = ob->a->occs; o && sc_work(ob->c, 1); o = o->next)
        push_named(ob, &l, o, key);
    return conj_of(ob->c, &l);
}

static bool is_required(const struct atom *a, struct span key)
{
    for (const struct occ *o = a->occs; o; o = o->next) {
        const struct js *required = js_get(o->node, "required");
        for (size_t i = 0; required && i < required->n_items; i++) {
            if (span_eq(required->item[i]->text, key))
                return true;
        }
    }
    return false;
}

/* Names in the order in which they are declared; those that are only required come last. */
static void find_keys(struct compilation *c, const struct atom *a, struct list *keys)
{
    for (int round = 0; round < 2; round++) {
        for (const struct occ *o = a->occs; o && !c->st; o = o->next) {
            const struct js *from = js_get(o->node, round ? "required" : "properties");
            for (size_t i = 0; from && i < from->n_items && !c->st; i++) {
                struct span key = round ? from->item[i]->text : from->item[i]->key;
                bool known = false;
                for (const struct occ *x = a->occs; x && !known && (round || x != o); x = x->next)
                    known = js_get_span(js_get(x->node, "properties"), key) != NULL;
                for (size_t k = 0; round && k < keys->n && !known; k++)
                    known = span_eq(((const struct js *)keys->item[k])->key, key);
                struct js *named = known || !sc_work(c, 2) ? NULL : sc_alloc(c, 1, sizeof(*named));
                if (named) {
                    named->key = key;
                    list_push(c, keys, named);
                }
            }
        }
    }
}

/* ---- other names ---------------------------------------------------------------------------------- */

struct region {
    const struct dfa *names; /* NULL: all */
    struct list values;      /* schemas   */
    struct list spoken;      /* occurrences with a pattern that matches all of these names */
};

enum { REGIONS_MAX = 64 };

static bool has(const struct list *l, const void *p)
{
    for (size_t i = 0; i < l->n; i++) {
        if (l->item[i] == p)
            return true;
    }
    return false;
}

static struct list copied(struct compilation *c, const struct list *l)
{
    struct list copy = { 0 };
    for (size_t i = 0; i < l->n; i++)
        list_push(c, &copy, l->item[i]);
    return copy;
}

/* Each region in two: names that match the pattern, and those that do not. */
static size_t split(struct object *ob, struct region *r, size_t n, const struct pattern *p)
{
    struct compilation *c = ob->c;
    const char *what = "the patterns of properties' names together";
    for (size_t i = n; i-- > 0 && !c->st;) {
        const struct dfa *in = r[i].names ? dfa_and(c, r[i].names, p->dfa, p->node, what) : p->dfa,
                         *no = dfa_not(c, p->dfa),
                         *out = r[i].names ? dfa_and(c, r[i].names, no, p->node, what) : no;
        if (!in || !out)
            return n;
        if (dfa_is_empty(in))
            continue;
        if (!dfa_is_empty(out)) {
            if (n == REGIONS_MAX) {
                sc_fail(c, KT_E_LIMIT, p->node, NULL, "more than %d kinds of names of properties",
                        REGIONS_MAX);
                return n;
            }
            r[n] = r[i];
            r[n].values = copied(c, &r[i].values);
            r[n].spoken = copied(c, &r[i].spoken);
            r[n++].names = out;
        }
        r[i].names = in;
        list_push(c, &r[i].values, p->node);
        list_push(c, &r[i].spoken, p->occ);
    }
    return n;
}

static void push_others(const struct object *ob, struct region *r, const struct occ *o)
{
    const struct js *others = js_get(o->node, "additionalProperties"),
                    *unevaluated = js_get(o->node, "unevaluatedProperties");
    if (others && !has(&r->spoken, o))
        list_push(ob->c, &r->values, others);
    if (!unevaluated || unevaluated->kind == JS_TRUE)
        return;
    bool evaluated = false;
    for (const struct occ *x = ob->a->occs; x && !evaluated; x = x->next)
        evaluated = in_scope(x, o) && (covers_all(x, o) || has(&r->spoken, x));
    if (!evaluated)
        list_push(ob->c, &r->values, unevaluated);
}

/* In strict mode, objects that name properties and say nothing of others have no others. */
static bool is_closed(struct compilation *c, const struct atom *a)
{
    bool named = false, said = false;
    for (const struct occ *o = a->occs; o; o = o->next) {
        const struct js *props = js_get(o->node, "properties");
        named = named || (props && props->n_items && !o->node->made);
        said = said || js_get(o->node, "additionalProperties") ||
               js_get(o->node, "patternProperties") || js_get(o->node, "unevaluatedProperties");
    }
    return c->opts.strict && named && !said;
}

/* The names that m->some speaks of. */
static const struct dfa *some_names(struct compilation *c, const struct js_made *m)
{
    const struct js *props = js_get(m->of, "properties"),
                    *patterns = js_get(m->of, "patternProperties");
    const char *what = "the names of properties";
    if (m->some == SOME_NAME)
        return conj_strings(c, conj_of_one(c, js_not(c, m->of)), m->of);
    if (m->some == SOME_PATTERN)
        return regex_dfa(c, m->of->key, m->of, NULL, NULL);
    size_t n = props ? props->n_items : 0;
    struct span *words = sc_alloc(c, n + 1, sizeof(*words));
    for (size_t i = 0; words && i < n; i++)
        words[i] = props->item[i]->key;
    const struct dfa *d = words ? dfa_not(c, dfa_of_words(c, words, n, m->of)) : NULL;
    for (size_t i = 0; d && patterns && i < patterns->n_items; i++) {
        const struct js *p = patterns->item[i];
        d = dfa_and(c, d, dfa_not(c, regex_dfa(c, p->key, p, NULL, NULL)), p, what);
    }
    return d;
}

/* One property whose name is none of 'keys'; with 'm', such a one as m->some speaks of. */
static const struct expr *other_member(struct object *ob, const struct list *keys,
                                       const struct js_made *m)
{
    struct compilation *c = ob->c;
    struct region *r = sc_alloc(c, REGIONS_MAX, sizeof(*r));
    struct span *words = sc_alloc(c, keys->n + 1, sizeof(*words));
    struct list ways = { 0 };
    size_t n = 1;
    if (!r || !words || is_closed(c, ob->a))
        return ex_never(c);
    r[0].names = m ? some_names(c, m) : ob->names;
    if (m && ob->names)
        r[0].names = dfa_and(c, r[0].names, ob->names, m->of, "the names of properties");
    if (c->st || (m && dfa_is_empty(r[0].names)))
        return ex_never(c);
    if (m && m->some_value)
        list_push(c, &r[0].values, m->some_value);
    for (size_t i = 0; i < ob->n_patterns && !c->st; i++)
        n = split(ob, r, n, &ob->pattern[i]);
    for (size_t i = 0; i < keys->n; i++)
        words[i] = ((const struct js *)keys->item[i])->key;
    const struct dfa *unnamed = NULL;
    const struct js *at = ob->a->occs ? ob->a->occs->node : NULL;
    for (size_t i = 0; i < n && !c->st; i++) {
        for (const struct occ *o = ob->a->occs; o; o = o->next)
            push_others(ob, &r[i], o);
        const struct conj *value = conj_of(c, &r[i].values);
        if (!value || conj_is_empty(c, value, SCHEMA_EMPTY_DEPTH))
            continue;
        if (keys->n && !unnamed)
            unnamed = dfa_not(c, dfa_of_words(c, words, keys->n, at));
        if (keys->n)
            r[i].names =
                r[i].names ? dfa_and(c, r[i].names, unnamed, at, "names of properties") : unnamed;
        if (c->st || (r[i].names && dfa_is_empty(r[i].names)))
            continue;
        struct strings names = { .dfa = r[i].names, .is_free = !r[i].names, .n_parts = 2 };
        list_push(c, &ways, ex_cat3(c, ex_strings(c, &names), ex_colon(c), conj_expr(c, value)));
    }
    return ex_any(c, &ways);
}

/* ---- objects -------------------------------------------------------------------------------------- */

static uint64_t bound(struct compilation *c, const struct js *v)
{
    struct decimal d;
    uint64_t n;
    if (!decimal_read(c, &d, v->text))
        return 0;
    return decimal_u64(&d, SCHEMA_COUNT_MAX, &n) ? n : SCHEMA_COUNT_MAX;
}

void atom_counts(struct compilation *c, const struct atom *a, const char *min, const char *max,
                 uint64_t *lo, uint64_t *hi)
{
    *lo = 0;
    *hi = UINT64_MAX;
    for (const struct occ *o = a->occs; o; o = o->next) {
        const struct js *least = js_get(o->node, min), *most = js_get(o->node, max);
        *lo = least ? MAX(*lo, bound(c, least)) : *lo;
        *hi = most ? MIN(*hi, bound(c, most)) : *hi;
    }
}

/* A value that an array or object must not be equal to: the empty one is a matter of counting, others are not. */
void atom_unequal(struct compilation *c, const struct atom *a, enum js_kind kind, uint64_t *lo)
{
    for (const struct occ *o = a->occs; o; o = o->next) {
        const struct js *list = o->node->made ? o->node->made->not_in : NULL;
        for (size_t i = 0; list && i < list->n_items; i++) {
            if (list->item[i]->kind != kind)
                continue;
            if (list->item[i]->n_items == 0)
                *lo = MAX(*lo, (uint64_t)1);
            else
                sc_fail(c, KT_E_UNSUPPORTED, o->node, NULL,
                        "that a value is not equal to an array or object (not, oneOf or if with "
                        "enum or const) cannot be held");
        }
    }
}

/* What a made schema says of some property; NULL: none does. */
static const struct js_made *find_some(struct compilation *c, const struct atom *a)
{
    const struct js_made *found = NULL;
    for (const struct occ *o = a->occs; o; o = o->next) {
        const struct js_made *m = o->node->made;
        if (!m || !m->some)
            continue;
        if (found)
            sc_fail(c, KT_E_UNSUPPORTED, o->node, NULL,
                    "that properties without names of their own break two rules at once cannot be "
                    "held; it stands under not, if, or a oneOf whose alternatives overlap");
        found = m;
    }
    return found;
}

/* Members of an object, before they are put in a row. */
struct members {
    struct object *ob;
    const struct member_style *style;
    struct list keys; /* all names that are declared */
    struct part *part;
    struct span *key;          /* [n] of the parts */
    const struct conj **value; /* [n]              */
    size_t n;
    uint64_t lo, hi;
    const struct expr *between, *other;
};

/* False: a required one can have no value. */
static bool find_members(struct members *m)
{
    struct compilation *c = m->ob->c;
    size_t n = m->keys.n + 2;
    m->part = sc_alloc(c, n, sizeof(*m->part));
    m->key = sc_alloc(c, n, sizeof(*m->key));
    m->value = sc_alloc(c, n, sizeof(*m->value));
    for (size_t i = 0; i < m->keys.n && !c->st; i++) {
        struct span key = ((const struct js *)m->keys.item[i])->key;
        const struct conj *value = named_value(m->ob, key);
        bool required = is_required(m->ob->a, key);
        if (!conj_is_empty(c, value, SCHEMA_EMPTY_DEPTH)) {
            m->key[m->n] = key;
            m->value[m->n] = value;
            m->part[m->n++] = (struct part){ m->style->member(c, key, value), required };
        } else if (required) {
            return false;
        }
    }
    return !c->st;
}

/* One of the named ones is the property in question, or one behind them is: the last one, as a name could come again
 * with another value. */
static const struct expr *some_expr(struct members *m, const struct js_made *some)
{
    struct compilation *c = m->ob->c;
    struct list ways = { 0 };
    for (size_t i = 0; i < m->n && !c->st; i++) {
        struct list nodes = { 0 };
        struct part was = m->part[i];
        if (!sc_some_name(c, m->key[i], some))
            continue;
        for (size_t k = 0; k < m->value[i]->n_nodes; k++)
            list_push(c, &nodes, m->value[i]->node[k]);
        if (some->some_value)
            list_push(c, &nodes, some->some_value);
        const struct conj *value = conj_of(c, &nodes);
        if (!value || conj_is_empty(c, value, SCHEMA_EMPTY_DEPTH))
            continue;
        m->part[i] = (struct part){ m->style->member(c, m->key[i], value), true };
        list_push(c, &ways, ex_row(c, m->part, m->n, m->lo, m->hi, m->between, m->other));
        m->part[i] = was;
    }
    if (m->other->kind == EX_NEVER || c->st)
        return ex_any(c, &ways);
    const struct expr *last = other_member(m->ob, &m->keys, some);
    if (c->st || last->kind == EX_NEVER)
        return ex_any(c, &ways);
    if (m->hi != UINT64_MAX)
        sc_fail(c, KT_E_UNSUPPORTED, m->ob->a->occs->node, NULL,
                "maxProperties together with not, if or oneOf about properties without names of "
                "their own cannot be held");
    const struct expr *before = ex_repeat(c, ex_cat(c, m->other, m->between), 0, EX_ENDLESS);
    m->part[m->n] = (struct part){ ex_cat(c, before, last), true };
    list_push(c, &ways, ex_row(c, m->part, m->n + 1, m->lo, m->hi, m->between, ex_never(c)));
    return ex_any(c, &ways);
}

const struct expr *object_expr(struct compilation *c, const struct atom *a,
                               const struct member_style *style)
{
    struct object ob = { .c = c, .a = a };
    struct members m = { .ob = &ob, .style = style };
    find_patterns(&ob);
    find_names(&ob);
    find_keys(c, a, &m.keys);
    atom_counts(c, a, "minProperties", "maxProperties", &m.lo, &m.hi);
    atom_unequal(c, a, JS_OBJECT, &m.lo);
    const struct js_made *some = find_some(c, a);
    if (!find_members(&m))
        return c->st ? NULL : ex_never(c);
    m.other = style->is_json && m.hi ? other_member(&ob, &m.keys, NULL) : ex_never(c);
    m.between = style->is_json ? ex_comma(c) : ex_empty(c);
    if (c->st)
        return NULL;
    if (m.other->kind != EX_NEVER && m.lo > m.n + 1 && m.hi >= m.lo)
        sc_fail(c, KT_E_UNSUPPORTED, a->occs ? a->occs->node : NULL, "minProperties",
                "properties without names of their own could be the same one twice; name %llu "
                "of them under properties",
                (unsigned long long)m.lo - 1);
    const struct expr *body =
        some ? some_expr(&m, some) : ex_row(c, m.part, m.n, m.lo, m.hi, m.between, m.other);
    return style->is_json ? ex_cat3(c, ex_cat(c, ex_str(c, "{"), ex_edge(c)), body,
                                    ex_cat(c, ex_edge(c), ex_str(c, "}")))
                          : body;
}

bool object_is_empty(struct compilation *c, const struct atom *a, unsigned depth)
{
    struct object ob = { .c = c, .a = a };
    struct list keys = { 0 };
    uint64_t lo, hi;
    size_t n_required = 0;
    if (depth == 0)
        return false;
    find_patterns(&ob);
    find_keys(c, a, &keys);
    atom_counts(c, a, "minProperties", "maxProperties", &lo, &hi);
    for (size_t i = 0; i < keys.n && !c->st; i++) {
        struct span key = ((const struct js *)keys.item[i])->key;
        if (!is_required(a, key))
            continue;
        n_required++;
        if (conj_is_empty(c, named_value(&ob, key), depth - 1))
            return true;
    }
    return n_required > hi || lo > hi;
}

static const struct expr *json_member(struct compilation *c, struct span key,
                                      const struct conj *value)
{
    return ex_cat(c, ex_key(c, key), conj_expr(c, value));
}

const struct member_style JSON_MEMBERS = { .member = json_member, .is_json = true };
