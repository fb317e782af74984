/* constrain/schema_holds.c: does a value satisfy a schema? Asked of the values of const and enum, which are then written
 * down one by one, so that whatever else is said about them is held exactly. */
#include "constrain/schema_priv.h"

#include "base/size.h"
#include "base/utf8.h"

static bool count_in(struct compilation *c, const struct js *schema, const char *min,
                     const char *max, uint64_t n)
{
    const struct js *lo = js_get(schema, min), *hi = js_get(schema, max);
    struct decimal d;
    uint64_t bound;
    if (lo && decimal_read(c, &d, lo->text) &&
        n < (decimal_u64(&d, SCHEMA_COUNT_MAX, &bound) ? bound : SCHEMA_COUNT_MAX))
        return false;
    return !hi || !decimal_read(c, &d, hi->text) || !decimal_u64(&d, SCHEMA_COUNT_MAX, &bound) ||
           n <= bound;
}

/* Our formats leave out what few write. Where it is asked for the opposite, too, that is not enough to say no. */
static bool format_holds(struct compilation *c, const struct js *v, const struct js *format)
{
    struct span pattern = format_pattern(c, format);
    const struct dfa *d = pattern.ptr ? regex_dfa(c, pattern, format, NULL, NULL) : NULL;
    if (!d || dfa_accepts(d, v->text))
        return !c->st;
    if (c->n_opposites)
        sc_fail(c, KT_E_UNSUPPORTED, format, NULL,
                "whether a value of an enum or const is not of this format cannot be said, and it "
                "stands under not, oneOf or if");
    return false;
}

static bool string_holds(struct compilation *c, const struct js *v, const struct js *schema)
{
    const struct js *pattern = js_get(schema, "pattern");
    const struct js *no = schema->made ? schema->made->no_pattern : NULL;
    if (!count_in(c, schema, "minLength", "maxLength", utf8_count(v->text)))
        return false;
    const struct js *format = js_get(schema, "format");
    if (format && !format_holds(c, v, format))
        return false;
    const struct dfa *d = pattern ? regex_dfa(c, pattern->text, pattern, NULL, NULL) : NULL;
    if (d && !dfa_accepts(d, v->text))
        return false;
    d = no ? regex_dfa(c, no->text, no, NULL, NULL) : NULL;
    return !d || !dfa_accepts(d, v->text);
}

static bool number_holds(struct compilation *c, const struct js *v, const struct js *schema)
{
    static const struct {
        const char *key;
        int from, to; /* what the comparison may give */
    } KEYS[] = { { "minimum", 0, 1 },
                 { "maximum", -1, 0 },
                 { "exclusiveMinimum", 1, 1 },
                 { "exclusiveMaximum", -1, -1 } };
    struct decimal x, b;
    for (size_t i = 0; i < ARRAY_LEN(KEYS); i++) {
        const struct js *bound = js_get(schema, KEYS[i].key);
        if (!bound)
            continue;
        if (!decimal_read(c, &x, v->text) || !decimal_read(c, &b, bound->text))
            return false;
        int d = decimal_compare(&x, &b);
        if (d < KEYS[i].from || d > KEYS[i].to)
            return false;
    }
    const struct js *factor = js_get(schema, "multipleOf");
    const struct js *no = schema->made ? schema->made->no_factor : NULL;
    return (!factor || number_is_multiple(c, v->text, factor)) &&
           (!no || !number_is_multiple(c, v->text, no));
}

static bool array_holds(struct compilation *c, const struct js *v, const struct js *schema)
{
    const struct js *prefix = sc_prefix(schema), *items = sc_items(schema),
                    *contains = js_get(schema, "contains");
    size_t n_prefix = prefix ? prefix->n_items : 0;
    if (!count_in(c, schema, "minItems", "maxItems", v->n_items))
        return false;
    for (size_t i = 0; i < v->n_items && !c->st; i++) {
        const struct js *s = i < n_prefix ? prefix->item[i] : items;
        if (s && !sc_holds(c, v->item[i], s))
            return false;
    }
    if (contains) {
        size_t n = 0;
        for (size_t i = 0; i < v->n_items && !c->st; i++)
            n += sc_holds(c, v->item[i], contains);
        if (!js_get(schema, "minContains") && n == 0)
            return false;
        if (!count_in(c, schema, "minContains", "maxContains", n))
            return false;
    }
    for (size_t i = 0; js_is_true(js_get(schema, "uniqueItems")) && i < v->n_items; i++) {
        for (size_t k = 0; k < i; k++) {
            if (js_equal(c, v->item[i], v->item[k]))
                return false;
        }
    }
    return true;
}

static bool property_holds(struct compilation *c, const struct js *v, const struct js *schema)
{
    const struct js *props = js_get(schema, "properties"), *own = js_get_span(props, v->key),
                    *patterns = js_get(schema, "patternProperties"),
                    *others = js_get(schema, "additionalProperties"),
                    *names = js_get(schema, "propertyNames");
    bool named = own != NULL;
    if (own && !sc_holds(c, v, own))
        return false;
    for (size_t i = 0; patterns && i < patterns->n_items && !c->st; i++) {
        const struct js *p = patterns->item[i];
        const struct dfa *d = regex_dfa(c, p->key, p, NULL, NULL);
        if (!d || !dfa_accepts(d, v->key))
            continue;
        named = true;
        if (!sc_holds(c, v, p))
            return false;
    }
    struct js name = { .kind = JS_STRING, .text = v->key };
    return (named || !others || sc_holds(c, v, others)) && (!names || sc_holds(c, &name, names));
}

static bool is_of_name(struct compilation *c, struct span key, const struct js_made *m)
{
    const struct js *patterns = js_get(m->of, "patternProperties");
    struct js name = { .kind = JS_STRING, .text = key };
    if (m->some == SOME_NAME)
        return !sc_holds(c, &name, m->of);
    if (m->some == SOME_PATTERN) {
        const struct dfa *d = regex_dfa(c, m->of->key, m->of, NULL, NULL);
        return d && dfa_accepts(d, key);
    }
    for (size_t i = 0; patterns && i < patterns->n_items; i++) {
        const struct dfa *d = regex_dfa(c, patterns->item[i]->key, patterns->item[i], NULL, NULL);
        if (d && dfa_accepts(d, key))
            return false;
    }
    return !js_get_span(js_get(m->of, "properties"), key);
}

bool sc_some_name(struct compilation *c, struct span key, const struct js_made *m)
{
    c->n_opposites += m->some == SOME_NAME;
    bool is = is_of_name(c, key, m);
    c->n_opposites -= m->some == SOME_NAME;
    return is && !c->st;
}

static bool has_some(struct compilation *c, const struct js *v, const struct js_made *m)
{
    for (size_t i = 0; i < v->n_items && !c->st; i++) {
        if (sc_some_name(c, v->item[i]->key, m) &&
            (!m->some_value || sc_holds(c, v->item[i], m->some_value)))
            return true;
    }
    return false;
}

static bool object_holds(struct compilation *c, const struct js *v, const struct js *schema)
{
    const struct js *required = js_get(schema, "required");
    if (!count_in(c, schema, "minProperties", "maxProperties", v->n_items))
        return false;
    for (size_t i = 0; required && i < required->n_items; i++) {
        if (!js_get_span(v, required->item[i]->text))
            return false;
    }
    if (schema->made && schema->made->some && !has_some(c, v, schema->made))
        return false;
    for (size_t i = 0; i < v->n_items && !c->st; i++) {
        if (!property_holds(c, v->item[i], schema))
            return false;
    }
    return true;
}

static bool is_in(struct compilation *c, const struct js *v, const struct js *list)
{
    for (size_t i = 0; i < list->n_items && !c->st; i++) {
        if (js_equal(c, v, list->item[i]))
            return true;
    }
    return false;
}

bool sc_holds_plain(struct compilation *c, const struct js *v, const struct js *schema)
{
    if (schema->kind == JS_NOT)
        return true;
    if (schema->kind != JS_OBJECT)
        return schema->kind == JS_TRUE;
    const struct js *one = js_get(schema, "const"), *many = js_get(schema, "enum");
    unsigned type = js_type(c, v);
    if (!(type & sc_types(c, schema)) || (one && !js_equal(c, v, one)) ||
        (many && !is_in(c, v, many)))
        return false;
    if (schema->made && schema->made->not_in && is_in(c, v, schema->made->not_in))
        return false;
    switch (type) {
    case T_STRING:
        return string_holds(c, v, schema);
    case T_INTEGER:
    case T_FRACTION:
        return number_holds(c, v, schema);
    case T_ARRAY:
        return array_holds(c, v, schema);
    case T_OBJECT:
        return object_holds(c, v, schema);
    default:
        return true;
    }
}

static size_t n_holding(struct compilation *c, const struct js *v, const struct js *list)
{
    size_t n = 0;
    for (size_t i = 0; i < list->n_items && !c->st; i++)
        n += sc_holds(c, v, list->item[i]);
    return n;
}

static bool dependents_hold(struct compilation *c, const struct js *v, const struct js *schema)
{
    const struct js *lists = js_get(schema, "dependentRequired"),
                    *schemas = js_get(schema, "dependentSchemas"),
                    *either = js_get(schema, "dependencies");
    for (size_t i = 0; either && i < either->n_items; i++) {
        const struct js *d = either->item[i];
        if (js_get_span(v, d->key) && d->kind != JS_ARRAY && !sc_holds(c, v, d))
            return false;
        for (size_t k = 0; js_get_span(v, d->key) && d->kind == JS_ARRAY && k < d->n_items; k++) {
            if (!js_get_span(v, d->item[k]->text))
                return false;
        }
    }
    for (size_t i = 0; lists && i < lists->n_items; i++) {
        const struct js *list = lists->item[i];
        for (size_t k = 0; js_get_span(v, list->key) && k < list->n_items; k++) {
            if (!js_get_span(v, list->item[k]->text))
                return false;
        }
    }
    for (size_t i = 0; schemas && i < schemas->n_items; i++) {
        if (js_get_span(v, schemas->item[i]->key) && !sc_holds(c, v, schemas->item[i]))
            return false;
    }
    return true;
}

static bool combined_hold(struct compilation *c, const struct js *v, const struct js *schema)
{
    static const char *const REFUSED[] = { "unevaluatedProperties", "unevaluatedItems",
                                           "$dynamicRef", "$recursiveRef" };
    const struct js *all = js_get(schema, "allOf"), *any = js_get(schema, "anyOf"),
                    *one = js_get(schema, "oneOf"), *no = js_get(schema, "not"),
                    *cond = js_get(schema, "if");
    for (size_t i = 0; i < ARRAY_LEN(REFUSED); i++) {
        const struct js *k = js_get(schema, REFUSED[i]);
        if (k && k->kind != JS_TRUE)
            sc_fail(c, KT_E_UNSUPPORTED, k, NULL,
                    "it cannot be asked of the values of an enum or const; leave it out there");
    }
    if (js_get(schema, "$ref")) {
        const struct js *target = sc_target(c, schema);
        if (!target || !sc_holds(c, v, target))
            return false;
    }
    if ((all && n_holding(c, v, all) < all->n_items) || (any && !n_holding(c, v, any)))
        return false;
    c->n_opposites++;
    bool excluded = (one && n_holding(c, v, one) != 1) || (no && sc_holds(c, v, no));
    const struct js *then = cond ? js_get(schema, sc_holds(c, v, cond) ? "then" : "else") : NULL;
    c->n_opposites--;
    if (excluded || (then && !sc_holds(c, v, then)))
        return false;
    return dependents_hold(c, v, schema);
}

bool sc_holds(struct compilation *c, const struct js *v, const struct js *schema)
{
    enum { NESTING_MAX = 400 };
    if (c->st || !sc_work(c, 2))
        return false;
    if (schema->kind == JS_NOT) {
        c->n_opposites++;
        bool holds = sc_holds(c, v, schema->arg);
        c->n_opposites--;
        return !holds && !c->st;
    }
    if (schema->kind != JS_OBJECT)
        return schema->kind == JS_TRUE;
    if (++c->depth > NESTING_MAX)
        sc_fail(c, KT_E_UNSUPPORTED, schema, NULL,
                "it refers to itself without a step into the value, which means nothing");
    bool ok = sc_holds_plain(c, v, schema) && combined_hold(c, v, schema);
    c->depth--;
    return ok && !c->st;
}

bool atom_holds(struct compilation *c, const struct js *v, const struct atom *a)
{
    static const char *const REFUSED[] = { "unevaluatedProperties", "unevaluatedItems" };
    if (!(js_type(c, v) & a->types))
        return false;
    for (const struct occ *o = a->occs; o && !c->st; o = o->next) {
        for (size_t i = 0; i < ARRAY_LEN(REFUSED); i++) {
            const struct js *k = js_get(o->node, REFUSED[i]);
            if (k && k->kind != JS_TRUE && js_type(c, v) == (i ? T_ARRAY : T_OBJECT))
                sc_fail(c, KT_E_UNSUPPORTED, k, NULL,
                        "it cannot be asked of the values of an enum or const; leave it out there");
        }
        if (!sc_holds_plain(c, v, o->node))
            return false;
    }
    return !c->st;
}
