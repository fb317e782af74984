/* constrain/schema_choice.c: keywords that offer a choice, as lists of schemas of which one must hold. */
#include "constrain/schema_priv.h"

#include "base/size.h"

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
struct list *sc_kept_list(struct compilation *c, const struct js *node, enum kept_kind kind)
{
    struct js *n = (struct js *)(uintptr_t)node;
    if (!n->kept)
        n->kept = sc_alloc(c, N_KEPT, sizeof(*n->kept));
    return n->kept ? &n->kept[kind] : NULL;
}

const struct list *sc_kept(struct compilation *c, const struct js *node, enum kept_kind kind,
                           make_fn make)
{
    struct list *l = sc_kept_list(c, node, kind);
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
void make_one_of(struct compilation *c, const struct js *node, struct list *out)
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

void make_any_of(struct compilation *c, const struct js *node, struct list *out)
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

void make_if(struct compilation *c, const struct js *node, struct list *out)
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
void make_dependent(struct compilation *c, const struct js *node, struct list *out)
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
