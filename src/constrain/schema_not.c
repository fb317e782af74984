/* constrain/schema_not.c: the opposite of a schema, as schemas of which one holds.
 *
 * A schema is the conjunction of its keywords, so that its opposite is that one of them does not hold; and the opposite
 * of most keywords can be said with other keywords. {"required": ["a"]} is not: an object without a. Where it cannot
 * (that some property that nobody named breaks a rule) the schema is refused. */
#include "constrain/schema_priv.h"

#include "base/size.h"

struct opposite {
    struct compilation *c;
    const struct js *node;
    struct list *out;
};

const struct js *js_not(struct compilation *c, const struct js *arg)
{
    struct js *own = (struct js *)(uintptr_t)arg;
    if (!arg || c->st)
        return NULL;
    if (!own->opposite) {
        struct js *n = js_new(c, JS_NOT, arg);
        if (n)
            n->arg = arg;
        own->opposite = n;
    }
    return own->opposite;
}

/* A new alternative, of values of these types only (0: of any), with nothing said yet. */
static struct js *way(struct opposite *o, unsigned types)
{
    struct js *schema = js_new(o->c, JS_OBJECT, o->node);
    struct js_made *made = sc_alloc(o->c, 1, sizeof(*made));
    if (!schema || !made)
        return NULL;
    made->types = types;
    schema->made = made;
    list_push(o->c, o->out, schema);
    return schema;
}

static struct js_made *made_of(struct js *schema)
{
    return (struct js_made *)(uintptr_t)schema->made;
}

/* {key: value} of these types. */
static void say(struct opposite *o, unsigned types, const char *key, const struct js *value)
{
    struct js *schema = way(o, types);
    if (schema)
        js_put_str(o->c, schema, key, value);
}

static void say_count(struct opposite *o, unsigned types, const char *key, uint64_t n)
{
    say(o, types, key, js_new_number(o->c, n, o->node));
}

static uint64_t count(struct opposite *o, const struct js *v)
{
    struct decimal d;
    uint64_t n;
    if (!decimal_read(o->c, &d, v->text))
        return 0;
    return decimal_u64(&d, SCHEMA_COUNT_MAX, &n) ? n : SCHEMA_COUNT_MAX;
}

/* Not at least n is at most n - 1. */
static void not_least(struct opposite *o, unsigned types, const char *key, const char *opposite_key)
{
    const struct js *v = js_get(o->node, key);
    if (v && count(o, v) > 0)
        say_count(o, types, opposite_key, count(o, v) - 1);
}

static void not_most(struct opposite *o, unsigned types, const char *key, const char *opposite_key)
{
    const struct js *v = js_get(o->node, key);
    if (v)
        say_count(o, types, opposite_key, count(o, v) + 1);
}

static void not_limit(struct opposite *o, const char *key, const char *opposite_key)
{
    const struct js *v = js_get(o->node, key);
    if (v)
        say(o, T_NUMBER, opposite_key, v);
}

/* An object with this property. */
static struct js *with_property(struct opposite *o, struct span key)
{
    struct js *schema = way(o, T_OBJECT), *required = js_new(o->c, JS_ARRAY, o->node),
              *name = js_new(o->c, JS_STRING, o->node);
    if (!schema || !required || !name)
        return NULL;
    name->text = key;
    js_push(o->c, required, name);
    js_put_str(o->c, schema, "required", required);
    return schema;
}

static void one_property(struct opposite *o, struct js *schema, struct span key,
                         const struct js *value)
{
    struct js *props = js_new(o->c, JS_OBJECT, o->node);
    if (!schema || !props)
        return;
    js_put(o->c, props, key, value);
    js_put_str(o->c, schema, "properties", props);
}

static void not_objects(struct opposite *o)
{
    const struct js *props = js_get(o->node, "properties"), *required = js_get(o->node, "required"),
                    *lists = js_get(o->node, "dependentRequired"),
                    *schemas = js_get(o->node, "dependentSchemas");
    for (size_t i = 0; props && i < props->n_items; i++) {
        if (props->item[i]->kind != JS_TRUE)
            one_property(o, with_property(o, props->item[i]->key), props->item[i]->key,
                         js_not(o->c, props->item[i]));
    }
    for (size_t i = 0; required && i < required->n_items; i++)
        one_property(o, way(o, T_OBJECT), required->item[i]->text,
                     js_new_bool(o->c, false, o->node));
    for (size_t i = 0; lists && i < lists->n_items; i++) {
        const struct js *list = lists->item[i];
        for (size_t k = 0; k < list->n_items; k++)
            one_property(o, with_property(o, list->key), list->item[k]->text,
                         js_new_bool(o->c, false, o->node));
    }
    for (size_t i = 0; schemas && i < schemas->n_items; i++) {
        struct js *schema = with_property(o, schemas->item[i]->key);
        if (schema)
            js_put_str(o->c, schema, "not", schemas->item[i]);
    }
    not_least(o, T_OBJECT, "minProperties", "maxProperties");
    not_most(o, T_OBJECT, "maxProperties", "minProperties");
}

static void not_arrays(struct opposite *o)
{
    const struct js *prefix = sc_prefix(o->node), *items = sc_items(o->node),
                    *contains = js_get(o->node, "contains"),
                    *least = js_get(o->node, "minContains"), *most = js_get(o->node, "maxContains");
    for (size_t i = 0; prefix && i < prefix->n_items; i++) {
        struct js *schema = way(o, T_ARRAY), *list = js_new(o->c, JS_ARRAY, o->node);
        for (size_t k = 0; k < i; k++)
            js_push(o->c, list, js_new_bool(o->c, true, o->node));
        js_push(o->c, list, js_not(o->c, prefix->item[i]));
        if (!schema)
            return;
        js_put_str(o->c, schema, "prefixItems", list);
        js_put_str(o->c, schema, "minItems", js_new_number(o->c, i + 1, o->node));
    }
    if (items && items->kind == JS_FALSE)
        say_count(o, T_ARRAY, "minItems", (prefix ? prefix->n_items : 0) + 1);
    else if (items && items->kind != JS_TRUE && prefix)
        sc_fail(
            o->c, KT_E_UNSUPPORTED, items, NULL,
            "its opposite behind prefixItems cannot be said (it stands under not, oneOf or if)");
    else if (items && items->kind != JS_TRUE)
        say(o, T_ARRAY, "contains", js_not(o->c, items));
    if (contains) {
        uint64_t min = least ? count(o, least) : 1;
        struct js *few = min ? way(o, T_ARRAY) : NULL, *many = most ? way(o, T_ARRAY) : NULL;
        if (few) {
            js_put_str(o->c, few, "contains", contains);
            js_put_str(o->c, few, "minContains", js_new_number(o->c, 0, o->node));
            js_put_str(o->c, few, "maxContains", js_new_number(o->c, min - 1, o->node));
        }
        if (many) {
            js_put_str(o->c, many, "contains", contains);
            js_put_str(o->c, many, "minContains", js_new_number(o->c, count(o, most) + 1, o->node));
        }
    }
    not_least(o, T_ARRAY, "minItems", "maxItems");
    not_most(o, T_ARRAY, "maxItems", "minItems");
}

static void not_numbers_and_strings(struct opposite *o)
{
    const struct js *factor = js_get(o->node, "multipleOf"), *pattern = js_get(o->node, "pattern");
    not_limit(o, "minimum", "exclusiveMaximum");
    not_limit(o, "maximum", "exclusiveMinimum");
    not_limit(o, "exclusiveMinimum", "maximum");
    not_limit(o, "exclusiveMaximum", "minimum");
    struct js *schema = factor ? way(o, T_NUMBER) : NULL;
    if (schema)
        made_of(schema)->no_factor = factor;
    schema = pattern ? way(o, T_STRING) : NULL;
    if (schema)
        made_of(schema)->no_pattern = pattern;
    not_least(o, T_STRING, "minLength", "maxLength");
    not_most(o, T_STRING, "maxLength", "minLength");
}

static void not_values(struct opposite *o)
{
    const struct js *one = js_get(o->node, "const"), *many = js_get(o->node, "enum");
    if (one) {
        struct js *list = js_new(o->c, JS_ARRAY, o->node), *schema = way(o, 0);
        js_push(o->c, list, one);
        if (schema)
            made_of(schema)->not_in = list;
    }
    struct js *schema = many ? way(o, 0) : NULL;
    if (schema)
        made_of(schema)->not_in = many;
}

/* What combines schemas. */
static void not_combined(struct opposite *o)
{
    struct compilation *c = o->c;
    const struct js *all = js_get(o->node, "allOf"), *any = js_get(o->node, "anyOf"),
                    *one = js_get(o->node, "oneOf"), *no = js_get(o->node, "not"),
                    *cond = js_get(o->node, "if"), *then = js_get(o->node, "then"),
                    *otherwise = js_get(o->node, "else");
    for (size_t i = 0; all && i < all->n_items; i++)
        list_push(c, o->out, js_not(c, all->item[i]));
    if (js_get(o->node, "$ref"))
        list_push(c, o->out, js_not(c, sc_target(c, o->node)));
    if (no)
        list_push(c, o->out, no);
    for (int round = 0; round < 2; round++) { /* none of anyOf; none of oneOf */
        const struct js *alts = round ? one : any;
        struct js *none = alts ? js_new(c, JS_ARRAY, o->node) : NULL;
        for (size_t i = 0; none && i < alts->n_items; i++)
            js_push(c, none, js_not(c, alts->item[i]));
        if (none)
            say(o, 0, "allOf", none);
    }
    for (size_t i = 0; one && i < one->n_items && !c->st; i++) {
        for (size_t k = 0; k < i; k++) { /* or two of them */
            struct js *two = js_new(c, JS_ARRAY, o->node);
            js_push(c, two, one->item[i]);
            js_push(c, two, one->item[k]);
            say(o, 0, "allOf", two);
        }
    }
    for (int round = 0; cond && round < 2; round++) {
        const struct js *branch = round ? otherwise : then;
        struct js *two = branch ? js_new(c, JS_ARRAY, o->node) : NULL;
        js_push(c, two, round ? js_not(c, cond) : cond);
        js_push(c, two, js_not(c, branch));
        if (two)
            say(o, 0, "allOf", two);
    }
}

/* That some property breaks a rule for those without names of their own. */
static void some_property(struct opposite *o, enum js_some some, const struct js *of,
                          const struct js *value)
{
    struct js *schema = way(o, T_OBJECT);
    if (!schema)
        return;
    made_of(schema)->some = some;
    made_of(schema)->of = of;
    made_of(schema)->some_value = value;
}

static void not_other_names(struct opposite *o)
{
    const struct js *patterns = js_get(o->node, "patternProperties"),
                    *others = js_get(o->node, "additionalProperties"),
                    *names = js_get(o->node, "propertyNames");
    for (size_t i = 0; patterns && i < patterns->n_items; i++) {
        if (!sc_says_nothing(patterns->item[i]))
            some_property(o, SOME_PATTERN, patterns->item[i], js_not(o->c, patterns->item[i]));
    }
    if (others && !sc_says_nothing(others))
        some_property(o, SOME_OTHER, o->node, js_not(o->c, others));
    if (names && !sc_says_nothing(names))
        some_property(o, SOME_NAME, names, NULL);
}

static void refuse_the_rest(struct opposite *o)
{
    static const char *const KEYS[] = {
        "unevaluatedProperties", "unevaluatedItems", "format",
        "$dynamicRef",           "$recursiveRef",    "dependencies"
    };
    const char *why = "its opposite cannot be said, and it stands under not, if, or a oneOf whose "
                      "alternatives overlap";
    for (size_t i = 0; i < ARRAY_LEN(KEYS); i++) {
        const struct js *v = js_get(o->node, KEYS[i]);
        if (v && v->kind != JS_TRUE)
            sc_fail(o->c, KT_E_UNSUPPORTED, v, NULL, "%s", why);
    }
    if (js_is_true(js_get(o->node, "uniqueItems")))
        sc_fail(o->c, KT_E_UNSUPPORTED, o->node, "uniqueItems", "%s", why);
    if (o->node->made && o->node->made->some)
        sc_fail(o->c, KT_E_UNSUPPORTED, o->node, NULL, "%s", why);
}

static void not_made(struct opposite *o)
{
    const struct js_made *m = o->node->made;
    if (!m)
        return;
    struct js *schema = m->not_in ? way(o, 0) : NULL;
    if (schema)
        js_put_str(o->c, schema, "enum", m->not_in);
    if (m->no_pattern)
        say(o, T_STRING, "pattern", m->no_pattern);
    if (m->no_factor)
        say(o, T_NUMBER, "multipleOf", m->no_factor);
}

static void make_negated(struct compilation *c, const struct js *node, struct list *out)
{
    struct opposite o = { .c = c, .node = node, .out = out };
    if (node->kind == JS_FALSE)
        list_push(c, out, js_new_bool(c, true, node));
    if (node->kind == JS_NOT)
        list_push(c, out, node->arg);
    if (node->kind != JS_OBJECT)
        return;
    unsigned types = sc_types(c, node);
    if (types != T_ALL)
        way(&o, T_ALL & ~types);
    refuse_the_rest(&o);
    not_made(&o);
    not_values(&o);
    not_numbers_and_strings(&o);
    not_objects(&o);
    not_other_names(&o);
    not_arrays(&o);
    not_combined(&o);
}

const struct list *sc_negated(struct compilation *c, const struct js *node)
{
    return sc_kept(c, node, KEPT_NEGATED, make_negated);
}
