/* constrain/schema_array.c: arrays. Without contains and uniqueItems an array is some items of their own schemas, then any
 * number of the same. contains is held by counting: place in the array and number of matching items so far are the
 * state. uniqueItems is held where items are few given values. */
#include "constrain/schema_priv.h"

#include "base/size.h"

struct array {
    struct compilation *c;
    const struct atom *a;
    uint64_t lo, hi;
    size_t n_prefix; /* places with a schema of their own */
};

static bool in_scope(const struct occ *o, const struct occ *holder)
{
    for (const struct occ *p = o->original; p; p = p->up) {
        if (p == holder->original)
            return !o->is_mute || o == holder;
    }
    return false;
}

static size_t n_prefix_of(const struct js *node)
{
    const struct js *prefix = sc_prefix(node);
    return prefix ? prefix->n_items : 0;
}

/* What holds for the item at this place; every place from n_prefix on is the same. */
static const struct conj *item_at(const struct array *ar, size_t place, const struct js *more)
{
    struct compilation *c = ar->c;
    struct list l = { 0 };
    for (const struct occ *o = ar->a->occs; o && sc_work(c, 1); o = o->next) {
        const struct js *items = sc_items(o->node), *rest = js_get(o->node, "unevaluatedItems");
        if (place < n_prefix_of(o->node))
            list_push(c, &l, sc_prefix(o->node)->item[place]);
        else if (items)
            list_push(c, &l, items);
        if (!rest || rest->kind == JS_TRUE)
            continue;
        bool evaluated = false;
        for (const struct occ *x = ar->a->occs; x && !evaluated; x = x->next)
            evaluated = in_scope(x, o) && (place < n_prefix_of(x->node) || sc_items(x->node) ||
                                           (x != o && js_get(x->node, "unevaluatedItems")));
        if (!evaluated)
            list_push(c, &l, rest);
    }
    if (more)
        list_push(c, &l, more);
    return conj_of(c, &l);
}

static void measure(struct array *ar, unsigned depth)
{
    struct compilation *c = ar->c;
    atom_counts(c, ar->a, "minItems", "maxItems", &ar->lo, &ar->hi);
    for (const struct occ *o = ar->a->occs; o; o = o->next)
        ar->n_prefix = MAX(ar->n_prefix, n_prefix_of(o->node));
    for (size_t i = 0; i <= ar->n_prefix && i < ar->hi && !c->st; i++) {
        if (conj_is_empty(c, item_at(ar, i, NULL), depth))
            ar->hi = i;
    }
    ar->n_prefix = (size_t)MIN((uint64_t)ar->n_prefix, ar->hi);
}

bool array_is_empty(struct compilation *c, const struct atom *a, unsigned depth)
{
    struct array ar = { .c = c, .a = a };
    if (depth == 0)
        return false;
    measure(&ar, depth - 1);
    return ar.lo > ar.hi;
}

/* ---- contains ------------------------------------------------------------------------------------- */

enum { CONTAINS_MAX = 3 };

struct contained {
    const struct js *schema;
    uint64_t min, max; /* UINT64_MAX: no end */
    size_t n_counts;   /* that are told apart */
};

struct counting {
    struct array *ar;
    struct contained of[CONTAINS_MAX];
    size_t n;
    size_t n_places, n_counts; /* all counts multiplied */
    struct production **rule;
};

static uint64_t whole(struct compilation *c, const struct js *v, uint64_t otherwise)
{
    struct decimal d;
    uint64_t n;
    if (!v || !decimal_read(c, &d, v->text))
        return otherwise;
    return decimal_u64(&d, SCHEMA_COUNT_MAX, &n) ? n : SCHEMA_COUNT_MAX;
}

static void find_contained(struct counting *k)
{
    struct compilation *c = k->ar->c;
    for (const struct occ *o = k->ar->a->occs; o && !c->st; o = o->next) {
        const struct js *schema = js_get(o->node, "contains");
        uint64_t min = whole(c, js_get(o->node, "minContains"), 1),
                 max = whole(c, js_get(o->node, "maxContains"), UINT64_MAX);
        if (!schema || (min == 0 && max == UINT64_MAX))
            continue;
        if (k->n == CONTAINS_MAX) {
            sc_fail(c, KT_E_UNSUPPORTED, schema, NULL, "more than %d of them for one array",
                    CONTAINS_MAX);
            return;
        }
        uint64_t n = max == UINT64_MAX ? min : max;
        k->of[k->n++] = (struct contained){ schema, min, max, (size_t)n + 1 };
    }
}

static size_t count_of(const struct counting *k, size_t state, size_t which)
{
    for (size_t i = 0; i < which; i++)
        state /= k->of[i].n_counts;
    return state % k->of[which].n_counts;
}

/* Counts after an item that matches where the bits say; SIZE_MAX: one too many. */
static size_t counted(const struct counting *k, size_t state, unsigned bits)
{
    size_t next = 0, factor = 1;
    for (size_t i = 0; i < k->n; i++) {
        size_t n = count_of(k, state, i);
        if (bits >> i & 1 && n + 1 < k->of[i].n_counts)
            n++;
        else if (bits >> i & 1 && k->of[i].max != UINT64_MAX)
            return SIZE_MAX;
        next += n * factor;
        factor *= k->of[i].n_counts;
    }
    return next;
}

static bool is_enough(const struct counting *k, size_t state)
{
    for (size_t i = 0; i < k->n; i++) {
        if (count_of(k, state, i) < k->of[i].min)
            return false;
    }
    return true;
}

/* The item's own schemas, and for each contains that it matches, or, where there is a maximum, that it does not. */
static const struct conj *item_of_kind(struct counting *k, size_t place, unsigned bits)
{
    struct compilation *c = k->ar->c;
    struct js *more = js_new(c, JS_OBJECT, k->ar->a->occs->node), *all = js_new(c, JS_ARRAY, more);
    for (size_t i = 0; i < k->n; i++) {
        if (bits >> i & 1)
            js_push(c, all, k->of[i].schema);
        else if (k->of[i].max != UINT64_MAX)
            js_push(c, all, js_not(c, k->of[i].schema));
    }
    if (!all || !all->n_items)
        return item_at(k->ar, place, NULL);
    js_put_str(c, more, "allOf", all);
    return item_at(k->ar, place, more);
}

static const struct expr *counting_expr(struct counting *k)
{
    struct array *ar = k->ar;
    struct compilation *c = ar->c;
    uint64_t last = ar->hi == UINT64_MAX ? MAX((uint64_t)ar->n_prefix, ar->lo) : ar->hi;
    last = MAX(last, (uint64_t)1);
    k->n_counts = 1;
    for (size_t i = 0; i < k->n; i++) {
        if (k->of[i].n_counts > SCHEMA_STATES_MAX / k->n_counts)
            k->n_counts = SCHEMA_STATES_MAX;
        else
            k->n_counts *= k->of[i].n_counts;
    }
    if (last >= SCHEMA_STATES_MAX / k->n_counts) {
        sc_fail(
            c, KT_E_LIMIT, k->of[0].schema, NULL,
            "together with minItems, maxItems, minContains or maxContains it takes more than %d "
            "states; make them smaller",
            SCHEMA_STATES_MAX);
        return NULL;
    }
    k->n_places = (size_t)last + 1;
    k->rule = sc_alloc(c, k->n_places * k->n_counts, sizeof(*k->rule));
    for (size_t i = 0; k->rule && i < k->n_places * k->n_counts; i++)
        k->rule[i] = rule_new(c, SPAN("items"));
    size_t n_kinds = (size_t)1 << k->n;
    const struct expr **item = sc_alloc(c, (ar->n_prefix + 1) * n_kinds, sizeof(*item));
    for (size_t p = 0; item && p <= ar->n_prefix; p++) {
        for (unsigned bits = 0; bits < n_kinds && !c->st; bits++) {
            const struct conj *cj = item_of_kind(k, p, bits);
            item[p * n_kinds + bits] =
                conj_is_empty(c, cj, SCHEMA_EMPTY_DEPTH) ? ex_never(c) : conj_expr(c, cj);
        }
    }
    for (size_t p = 0; item && p < k->n_places && !c->st; p++) {
        for (size_t s = 0; s < k->n_counts && !c->st; s++) {
            struct list ways = { 0 };
            for (unsigned bits = 0; bits < n_kinds && p < ar->hi; bits++) {
                size_t to = counted(k, s, bits), next = MIN(p + 1, k->n_places - 1);
                const struct expr *e = item[MIN(p, ar->n_prefix) * n_kinds + bits];
                if (to != SIZE_MAX)
                    list_push(c, &ways,
                              ex_cat3(c, p ? ex_comma(c) : ex_empty(c), e,
                                      ex_rule(c, k->rule[next * k->n_counts + to])));
            }
            if (p >= ar->lo && is_enough(k, s))
                list_push(c, &ways, ex_empty(c));
            k->rule[p * k->n_counts + s]->body = ex_any(c, &ways);
        }
    }
    return c->st ? NULL : ex_rule(c, k->rule[0]);
}

/* ---- uniqueItems ---------------------------------------------------------------------------------- */

/* The values of a conj that has but a few; false: it has more, or they are not given. */
static bool few_values(struct compilation *c, const struct conj *cj, struct list *out)
{
    static const enum js_kind WORDS[] = { JS_NULL, JS_FALSE, JS_TRUE };
    for (const struct atom *a = conj_atoms(c, cj); a && !c->st; a = a->next) {
        struct js *list = js_new(c, JS_ARRAY, NULL);
        if (!a->values && a->types & ~(unsigned)(T_NULL | T_BOOLEAN))
            return false;
        for (size_t i = 0; i < ARRAY_LEN(WORDS); i++)
            js_push(c, list, js_new(c, WORDS[i], NULL));
        const struct js *values = a->values ? a->values : list;
        for (size_t i = 0; values && i < values->n_items && !c->st; i++) {
            bool known = !atom_holds(c, values->item[i], a);
            for (size_t k = 0; k < out->n && !known; k++)
                known = js_equal(c, out->item[k], values->item[i]);
            if (!known)
                list_push(c, out, values->item[i]);
        }
    }
    return !c->st;
}

/* Which ones are there already is the state. */
static const struct expr *any_order(struct array *ar, const struct list *values)
{
    struct compilation *c = ar->c;
    size_t n = (size_t)1 << values->n;
    struct production **rule = sc_alloc(c, n, sizeof(*rule));
    for (size_t s = 0; rule && s < n; s++)
        rule[s] = rule_new(c, SPAN("set"));
    for (size_t s = 0; rule && s < n && !c->st; s++) {
        struct list ways = { 0 };
        unsigned count = (unsigned)__builtin_popcountll(s);
        for (size_t i = 0; i < values->n && count < ar->hi; i++) {
            if (!(s >> i & 1))
                list_push(c, &ways,
                          ex_cat3(c, s ? ex_comma(c) : ex_empty(c), ex_literal(c, values->item[i]),
                                  ex_rule(c, rule[s | (size_t)1 << i])));
        }
        if (count >= ar->lo)
            list_push(c, &ways, ex_empty(c));
        rule[s]->body = ex_any(c, &ways);
    }
    return c->st || !rule ? NULL : ex_rule(c, rule[0]);
}

static const struct expr *unique_expr(struct array *ar, const struct js *at)
{
    struct compilation *c = ar->c;
    struct list values = { 0 };
    if (ar->n_prefix || !few_values(c, item_at(ar, 0, NULL), &values)) {
        sc_fail(c, KT_E_UNSUPPORTED, at, NULL,
                "it can be held where items are an enum; give them one, or maxItems 1, or leave it "
                "out and check afterwards");
        return NULL;
    }
    if (values.n <= SCHEMA_UNIQUE_ANY_ORDER)
        return any_order(ar, &values);
    struct part *part = sc_alloc(c, values.n, sizeof(*part));
    for (size_t i = 0; part && i < values.n; i++)
        part[i] = (struct part){ ex_literal(c, values.item[i]), false };
    return part ? ex_row(c, part, values.n, ar->lo, ar->hi, ex_comma(c), ex_never(c)) : NULL;
}

/* ---- arrays --------------------------------------------------------------------------------------- */

/* Items behind the prefix. */
static const struct expr *plain_items(struct array *ar)
{
    struct compilation *c = ar->c;
    size_t n = ar->n_prefix;
    const struct expr *rest = ex_empty(c);
    if (ar->hi > n) {
        const struct expr *e = conj_expr(c, item_at(ar, n, NULL));
        uint64_t lo = ar->lo > n ? ar->lo - n : 0,
                 hi = ar->hi == UINT64_MAX ? EX_ENDLESS : ar->hi - n;
        if (n)
            return ex_repeat(c, ex_cat(c, ex_comma(c), e), (uint32_t)lo, (uint32_t)hi);
        uint32_t more = hi == EX_ENDLESS ? EX_ENDLESS : (uint32_t)hi - 1;
        rest =
            ex_cat(c, e, ex_repeat(c, ex_cat(c, ex_comma(c), e), lo ? (uint32_t)lo - 1 : 0, more));
        rest = lo ? rest : ex_repeat(c, rest, 0, 1);
    }
    return rest;
}

/* Those of the prefix nest where they may be missing; every few places get a rule, so that groups in groups do not
 * grow. */
static const struct expr *items_expr(struct array *ar)
{
    enum { RULE_EVERY = 8 };
    struct compilation *c = ar->c;
    const struct expr *e = plain_items(ar);
    for (size_t i = ar->n_prefix; i-- > 0 && !c->st;) {
        const struct expr *item = conj_expr(c, item_at(ar, i, NULL));
        e = ex_cat3(c, i ? ex_comma(c) : ex_empty(c), item, e);
        if (i >= ar->lo)
            e = ex_repeat(c, e, 0, 1);
        if (i % RULE_EVERY == RULE_EVERY - 1) {
            struct production *r = rule_new(c, SPAN("items"));
            if (r)
                r->body = e;
            e = ex_rule(c, r);
        }
    }
    return e;
}

const struct expr *array_expr(struct compilation *c, const struct atom *a)
{
    struct array ar = { .c = c, .a = a };
    struct counting k = { .ar = &ar };
    const struct js *unique = NULL;
    const struct expr *body;
    measure(&ar, SCHEMA_EMPTY_DEPTH);
    atom_unequal(c, a, JS_ARRAY, &ar.lo);
    for (const struct occ *o = a->occs; o; o = o->next)
        unique =
            js_is_true(js_get(o->node, "uniqueItems")) ? js_get(o->node, "uniqueItems") : unique;
    find_contained(&k);
    if (c->st || ar.lo > ar.hi)
        return c->st ? NULL : ex_never(c);
    if (unique && ar.hi > 1) {
        if (k.n)
            sc_fail(c, KT_E_UNSUPPORTED, unique, NULL, "it cannot be held together with contains");
        body = unique_expr(&ar, unique);
    } else {
        body = k.n ? counting_expr(&k) : items_expr(&ar);
    }
    return ex_cat3(c, ex_cat(c, ex_str(c, "["), ex_edge(c)), body,
                   ex_cat(c, ex_edge(c), ex_str(c, "]")));
}
