/* constrain/schema_check.c: are keywords used as JSON Schema says? Then what works with a schema need not ask again. On the
 * way $id and $anchor are collected, and here they are looked up. Keywords that nobody knows are no mistake: the
 * standard has them ignored. */
#include "constrain/schema_priv.h"

#include <string.h>

#include "base/size.h"

/* ---- what a keyword's value has to be ----------------------------------------------------------- */

enum want {
    W_SCHEMA,
    W_SCHEMAS, /* an array of them, not empty */
    W_MAP,     /* an object of them           */
    W_COUNT,   /* a whole number from 0 on    */
    W_NUMBER,
    W_FACTOR, /* a number above 0            */
    W_STRING,
    W_STRINGS, /* an array of them            */
    W_LISTS,   /* an object of arrays of them */
    W_TYPE,
    W_ARRAY,
    W_BOOLEAN,
    W_ITEMS,  /* a schema, or an array of them          */
    W_DEPEND, /* an object of schemas or arrays of strings */
};

static const struct {
    const char *key;
    enum want want;
} KEYWORDS[] = {
    { "$anchor", W_STRING },
    { "$defs", W_MAP },
    { "$dynamicAnchor", W_STRING },
    { "$id", W_STRING },
    { "$ref", W_STRING },
    { "additionalItems", W_SCHEMA },
    { "additionalProperties", W_SCHEMA },
    { "allOf", W_SCHEMAS },
    { "anyOf", W_SCHEMAS },
    { "contains", W_SCHEMA },
    { "definitions", W_MAP },
    { "dependencies", W_DEPEND },
    { "dependentRequired", W_LISTS },
    { "dependentSchemas", W_MAP },
    { "else", W_SCHEMA },
    { "enum", W_ARRAY },
    { "exclusiveMaximum", W_NUMBER },
    { "exclusiveMinimum", W_NUMBER },
    { "format", W_STRING },
    { "if", W_SCHEMA },
    { "items", W_ITEMS },
    { "maxContains", W_COUNT },
    { "maxItems", W_COUNT },
    { "maxLength", W_COUNT },
    { "maxProperties", W_COUNT },
    { "maximum", W_NUMBER },
    { "minContains", W_COUNT },
    { "minItems", W_COUNT },
    { "minLength", W_COUNT },
    { "minProperties", W_COUNT },
    { "minimum", W_NUMBER },
    { "multipleOf", W_FACTOR },
    { "not", W_SCHEMA },
    { "nullable", W_BOOLEAN },
    { "oneOf", W_SCHEMAS },
    { "pattern", W_STRING },
    { "patternProperties", W_MAP },
    { "prefixItems", W_SCHEMAS },
    { "properties", W_MAP },
    { "propertyNames", W_SCHEMA },
    { "required", W_STRINGS },
    { "then", W_SCHEMA },
    { "type", W_TYPE },
    { "unevaluatedItems", W_SCHEMA },
    { "unevaluatedProperties", W_SCHEMA },
    { "uniqueItems", W_BOOLEAN },
};

bool sc_says_nothing(const struct js *schema)
{
    static const char *const SILENT[] = { "$anchor", "$defs",       "$dynamicAnchor",
                                          "$id",     "definitions", "then",
                                          "else",    "minContains", "maxContains" };
    static const char *const OTHERS[] = { "const", "$dynamicRef", "$recursiveRef" };
    if (schema->kind != JS_OBJECT || schema->made)
        return schema->kind == JS_TRUE;
    for (size_t i = 0; i < ARRAY_LEN(KEYWORDS); i++) {
        bool silent = false;
        for (size_t k = 0; k < ARRAY_LEN(SILENT) && !silent; k++)
            silent = strcmp(KEYWORDS[i].key, SILENT[k]) == 0;
        if (!silent && js_get(schema, KEYWORDS[i].key))
            return false;
    }
    for (size_t i = 0; i < ARRAY_LEN(OTHERS); i++) {
        if (js_get(schema, OTHERS[i]))
            return false;
    }
    return true;
}

static unsigned type_bit(const struct js *name)
{
    static const struct {
        const char *name;
        unsigned bits;
    } TYPES[] = { { "null", T_NULL },     { "boolean", T_BOOLEAN }, { "integer", T_INTEGER },
                  { "number", T_NUMBER }, { "string", T_STRING },   { "array", T_ARRAY },
                  { "object", T_OBJECT } };
    for (size_t i = 0; name->kind == JS_STRING && i < ARRAY_LEN(TYPES); i++) {
        if (span_eq_str(name->text, TYPES[i].name))
            return TYPES[i].bits;
    }
    return 0;
}

unsigned sc_types(struct compilation *c, const struct js *node)
{
    if (node->kind != JS_OBJECT)
        return T_ALL;
    const struct js *type = js_get(node, "type");
    unsigned bits = node->made && node->made->types ? node->made->types : T_ALL, named = 0;
    if (!type)
        return bits;
    if (type->kind == JS_STRING)
        named = type_bit(type);
    for (size_t i = 0; type->kind == JS_ARRAY && i < type->n_items; i++)
        named |= type_bit(type->item[i]);
    if (js_is_true(js_get(node, "nullable")))
        named |= T_NULL;
    (void)c;
    return bits & named;
}

const struct js *sc_prefix(const struct js *node)
{
    const struct js *items = js_get(node, "items");
    return items && items->kind == JS_ARRAY ? items : js_get(node, "prefixItems");
}

const struct js *sc_items(const struct js *node)
{
    const struct js *items = js_get(node, "items");
    return items && items->kind == JS_ARRAY ? js_get(node, "additionalItems") : items;
}

static bool are_strings(const struct js *v)
{
    for (size_t i = 0; v->kind == JS_ARRAY && i < v->n_items; i++) {
        if (v->item[i]->kind != JS_STRING)
            return false;
    }
    return v->kind == JS_ARRAY;
}

static bool are_lists(const struct js *v)
{
    for (size_t i = 0; v->kind == JS_OBJECT && i < v->n_items; i++) {
        if (!are_strings(v->item[i]))
            return false;
    }
    return v->kind == JS_OBJECT;
}

static bool are_types(const struct js *v)
{
    for (size_t i = 0; v->kind == JS_ARRAY && i < v->n_items; i++) {
        if (!type_bit(v->item[i]))
            return false;
    }
    return v->kind == JS_ARRAY ? v->n_items > 0 : type_bit(v) != 0;
}

static bool is_schema(const struct js *v)
{
    return v->kind == JS_OBJECT || v->kind == JS_TRUE || v->kind == JS_FALSE || v->kind == JS_NOT;
}

static void check_items(struct compilation *c, const struct js *v)
{
    for (size_t i = 0; i < v->n_items && !c->st; i++)
        sc_check(c, (struct js *)(uintptr_t)v->item[i]);
}

static void check_value(struct compilation *c, const struct js *v, enum want want)
{
    struct decimal d;
    bool number = v->kind == JS_NUMBER && decimal_read(c, &d, v->text);
    const char *wanted = NULL;
    switch (want) {
    case W_ITEMS:
        if (v->kind == JS_ARRAY)
            check_items(c, v);
        else
            sc_check(c, (struct js *)(uintptr_t)v);
        break;
    case W_DEPEND:
        if (v->kind != JS_OBJECT)
            wanted = "an object of schemas or of arrays of strings";
        for (size_t i = 0; v->kind == JS_OBJECT && i < v->n_items; i++) {
            if (!are_strings(v->item[i]))
                sc_check(c, (struct js *)(uintptr_t)v->item[i]);
        }
        break;
    case W_SCHEMA:
        sc_check(c, (struct js *)(uintptr_t)v);
        break;
    case W_SCHEMAS:
        if (v->kind != JS_ARRAY || v->n_items == 0)
            wanted = "an array of schemas, at least one";
        else
            check_items(c, v);
        break;
    case W_MAP:
        if (v->kind != JS_OBJECT)
            wanted = "an object of schemas";
        else
            check_items(c, v);
        break;
    case W_COUNT:
        wanted = number && !d.negative && decimal_is_whole(&d) ? NULL : "a whole number from 0 on";
        break;
    case W_NUMBER:
        wanted = number ? NULL : "a number";
        break;
    case W_FACTOR:
        wanted = number && !d.negative && d.n_digits ? NULL : "a number above 0";
        break;
    case W_STRING:
        wanted = v->kind == JS_STRING ? NULL : "a string";
        break;
    case W_STRINGS:
        wanted = are_strings(v) ? NULL : "an array of strings";
        break;
    case W_LISTS:
        wanted = are_lists(v) ? NULL : "an object of arrays of strings";
        break;
    case W_TYPE:
        wanted =
            are_types(v)
                ? NULL
                : "null, boolean, integer, number, string, array or object, or an array of these";
        break;
    case W_ARRAY:
        wanted = v->kind == JS_ARRAY ? NULL : "an array";
        break;
    case W_BOOLEAN:
        wanted = v->kind == JS_TRUE || v->kind == JS_FALSE ? NULL : "true or false";
        break;
    }
    if (wanted)
        sc_fail(c, KT_E_FORMAT, v, NULL, "expected %s", wanted);
}

/* ---- addresses ---------------------------------------------------------------------------------- */

static void add_anchor(struct compilation *c, const struct js *resource, struct span name,
                       const struct js *node)
{
    struct anchor *a = sc_alloc(c, 1, sizeof(*a));
    if (!a)
        return;
    *a = (struct anchor){ .resource = resource, .name = name, .node = node, .next = c->anchors };
    c->anchors = a;
}

static const struct js *resource_of(struct compilation *c, const struct js *node)
{
    for (; node; node = node->up) {
        if (node->is_resource)
            return node;
    }
    return c->root;
}

static struct span address_of(struct compilation *c, const struct js *resource)
{
    for (const struct anchor *a = c->anchors; a; a = a->next) {
        if (!a->resource && a->node == resource)
            return a->name;
    }
    return (struct span){ 0 };
}

/* Where the scheme ends (behind ':'), 0: there is none. */
static size_t scheme_end(struct span uri)
{
    for (size_t i = 0; i < uri.len; i++) {
        char ch = uri.ptr[i];
        if (ch == ':')
            return i ? i + 1 : 0;
        if (!((ch | 0x20) >= 'a' && (ch | 0x20) <= 'z') &&
            !(i && ((ch >= '0' && ch <= '9') || ch == '+' || ch == '-' || ch == '.')))
            return 0;
    }
    return 0;
}

static size_t find_char(struct span s, char ch, size_t from)
{
    const char *p = from < s.len ? memchr(s.ptr + from, ch, s.len - from) : NULL;
    return p ? (size_t)(p - s.ptr) : s.len;
}

/* Takes "." and ".." out of the path, which begins at 'from'. */
static void tidy_path(struct buf *uri, size_t from)
{
    size_t out = from, i = from;
    while (i < uri->len) {
        size_t end = find_char(buf_span(uri), '/', i + 1);
        struct span part = span_sub(buf_span(uri), i, end); /* with its slash in front */
        if (span_eq(part, SPAN("/."))) {
            if (end == uri->len)
                uri->ptr[out++] = '/';
        } else if (span_eq(part, SPAN("/.."))) {
            while (out > from && uri->ptr[--out] != '/')
                continue;
            if (end == uri->len)
                uri->ptr[out++] = '/';
        } else {
            memmove(uri->ptr + out, part.ptr, part.len);
            out += part.len;
        }
        i = end;
    }
    uri->len = out;
}

/* 'ref', without fragment, as seen from 'base' (RFC 3986, 5.2). */
static struct span resolve(struct compilation *c, struct span base, struct span ref)
{
    if (scheme_end(ref) || base.len == 0)
        return sc_copy(c, ref);
    size_t scheme = scheme_end(base), path = scheme;
    bool authority = span_starts(span_sub(base, scheme, base.len), SPAN("//"));
    if (authority)
        path = find_char(base, '/', scheme + 2);
    struct buf out = { 0 };
    if (span_starts(ref, SPAN("//"))) {
        buf_append_span(&out, span_sub(base, 0, scheme));
    } else if (span_starts(ref, SPAN("/"))) {
        buf_append_span(&out, span_sub(base, 0, path));
    } else {
        size_t slash = path; /* behind the last one */
        for (size_t i = path; i < find_char(base, '?', path); i++)
            slash = base.ptr[i] == '/' ? i + 1 : slash;
        buf_append_span(&out, span_sub(base, 0, slash));
        if (slash == path && authority)
            buf_append_char(&out, '/');
    }
    buf_append_span(&out, ref);
    if (!out.failed && path < out.len && out.ptr[path] == '/')
        tidy_path(&out, path);
    return sc_taken(c, &out);
}

static struct span without_fragment(struct span uri)
{
    return span_sub(uri, 0, find_char(uri, '#', 0));
}

static void note_names(struct compilation *c, struct js *schema)
{
    static const char *const ANCHORS[] = { "$anchor", "$dynamicAnchor" };
    const struct js *id = js_get(schema, "$id");
    if (id && id->kind == JS_STRING && without_fragment(id->text).len) {
        struct span base =
            schema->up ? address_of(c, resource_of(c, schema->up)) : (struct span){ 0 };
        schema->is_resource = true;
        add_anchor(c, NULL, resolve(c, base, without_fragment(id->text)), schema);
    }
    for (size_t i = 0; i < ARRAY_LEN(ANCHORS); i++) {
        const struct js *anchor = js_get(schema, ANCHORS[i]);
        if (anchor && anchor->kind == JS_STRING)
            add_anchor(c, resource_of(c, schema), anchor->text, schema);
    }
}

void sc_check(struct compilation *c, struct js *schema)
{
    if (c->st || !sc_work(c, 4))
        return;
    if (!is_schema(schema)) {
        sc_fail(c, KT_E_FORMAT, schema, NULL, "a schema is an object, true or false");
        return;
    }
    if (schema->is_checked || schema->kind != JS_OBJECT)
        return;
    schema->is_checked = true;
    note_names(c, schema);
    for (size_t i = 0; i < ARRAY_LEN(KEYWORDS) && !c->st; i++) {
        const struct js *v = js_get(schema, KEYWORDS[i].key);
        if (v)
            check_value(c, v, KEYWORDS[i].want);
    }
}

/* ---- references --------------------------------------------------------------------------------- */

static int hex_digit(char ch)
{
    return ch >= '0' && ch <= '9'   ? ch - '0'
           : ch >= 'a' && ch <= 'f' ? ch - 'a' + 10
           : ch >= 'A' && ch <= 'F' ? ch - 'A' + 10
                                    : -1;
}

/* With %XX taken for bytes. */
static struct span percent_decoded(struct compilation *c, struct span s)
{
    char *text = sc_alloc(c, s.len + 1, 1);
    size_t n = 0;
    for (size_t i = 0; text && i < s.len; i++) {
        bool code = s.ptr[i] == '%' && i + 2 < s.len && hex_digit(s.ptr[i + 1]) >= 0 &&
                    hex_digit(s.ptr[i + 2]) >= 0;
        text[n++] =
            code ? (char)(hex_digit(s.ptr[i + 1]) << 4 | hex_digit(s.ptr[i + 2])) : s.ptr[i];
        i += code ? 2 : 0;
    }
    return (struct span){ text, n };
}

static const struct js *pointed_at(struct compilation *c, const struct js *from,
                                   struct span pointer)
{
    for (size_t i = 0; from && i < pointer.len && sc_work(c, 1);) {
        size_t end = find_char(pointer, '/', i + 1), n = 0;
        char *token = sc_alloc(c, end - i + 1, 1);
        for (size_t k = i + 1; token && k < end; k++) {
            bool escape = pointer.ptr[k] == '~' && k + 1 < end &&
                          (pointer.ptr[k + 1] == '0' || pointer.ptr[k + 1] == '1');
            token[n++] = escape ? (pointer.ptr[k + 1] == '0' ? '~' : '/') : pointer.ptr[k];
            k += escape;
        }
        size_t idx = 0;
        bool digits = n > 0 && n < 8;
        for (size_t k = 0; digits && k < n; k++) {
            digits = token[k] >= '0' && token[k] <= '9';
            idx = idx * 10 + (size_t)(token[k] - '0');
        }
        if (from->kind == JS_ARRAY)
            from = digits && idx < from->n_items ? from->item[idx] : NULL;
        else
            from = js_get_span(from, (struct span){ token, n });
        i = end;
    }
    return from;
}

static const struct js *look_up(struct compilation *c, const struct js *ref)
{
    struct span uri = without_fragment(ref->text);
    struct span fragment = percent_decoded(c, span_sub(ref->text, uri.len + 1, ref->text.len));
    const struct js *resource = resource_of(c, ref);
    if (uri.len) {
        struct span whole = resolve(c, address_of(c, resource), uri);
        resource = NULL;
        for (const struct anchor *a = c->anchors; a && !resource; a = a->next) {
            if (!a->resource && span_eq(a->name, whole))
                resource = a->node;
        }
        if (!resource) {
            sc_fail(c, KT_E_UNSUPPORTED, ref, NULL,
                    "it refers to another document, and nothing is fetched; copy that into $defs");
            return NULL;
        }
    }
    if (fragment.len == 0 || fragment.ptr[0] == '/')
        return pointed_at(c, resource, fragment);
    for (const struct anchor *a = c->anchors; a; a = a->next) {
        if (a->resource == resource && span_eq(a->name, fragment))
            return a->node;
    }
    return NULL;
}

const struct js *sc_target(struct compilation *c, const struct js *node)
{
    struct js *n = (struct js *)(uintptr_t)node;
    const struct js *ref = js_get(node, "$ref");
    if (node->target || c->st)
        return node->target;
    const struct js *target = look_up(c, ref);
    if (!target)
        sc_fail(c, KT_E_FORMAT, ref, NULL, "there is nothing at the place it refers to");
    else
        sc_check(c, (struct js *)(uintptr_t)target);
    n->target = target;
    return c->st ? NULL : target;
}
