/* Tool definitions, and values between text and JSON: see tool.h. */
#include "text/tool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "base/utf8.h"
#include "text/tool_priv.h"

struct tool_set {
    json_t *root;     /* the array                       */
    struct buf *line; /* [n]                             */
    size_t n;
};

/* ---- JSON as Python spells it ---------------------------------------------------------------- */

static void json_string_out(struct buf *out, struct span s)
{
    static const char ESCAPED[] = "\"\\\n\r\t\b\f", LETTER[] = "\"\\nrtbf";
    buf_append_char(out, '"');
    for (size_t i = 0; i < s.len; i++) {
        const char *at = s.ptr[i] ? strchr(ESCAPED, s.ptr[i]) : NULL;
        if (at) {
            buf_append_char(out, '\\');
            buf_append_char(out, LETTER[at - ESCAPED]);
        } else if ((unsigned char)s.ptr[i] < 0x20) {
            buf_printf(out, "\\u%04x", (unsigned char)s.ptr[i]);
        } else {
            buf_append_char(out, s.ptr[i]);
        }
    }
    buf_append_char(out, '"');
}

/* The shortest digits that give the same number, with an exponent below 1e-4 and from 1e16 on. */
static void real_out(struct buf *out, double v)
{
    char s[40];
    int n_digits = 0;
    do
        snprintf(s, sizeof(s), "%.*e", n_digits, v);
    while (strtod(s, NULL) != v && ++n_digits < 17);
    int exponent = atoi(strchr(s, 'e') + 1);
    if (exponent >= -4 && exponent < 16)
        snprintf(s, sizeof(s), "%.*f", MAX(n_digits - exponent, 1), v);
    buf_append_str(out, s);
}

static bool json_out(struct buf *out, const json_t *v, size_t depth);

static bool array_out(struct buf *out, const json_t *v, size_t depth)
{
    size_t i;
    json_t *item;
    bool ok = true;
    buf_append_char(out, '[');
    json_array_foreach(v, i, item)
    {
        buf_append_str(out, i ? ", " : "");
        ok = ok && json_out(out, item, depth + 1);
    }
    buf_append_char(out, ']');
    return ok;
}

static bool object_out(struct buf *out, const json_t *v, size_t depth)
{
    bool ok = true, first = true;
    buf_append_char(out, '{');
    for (void *it = json_object_iter((json_t *)(uintptr_t)v); it;
         it = json_object_iter_next((json_t *)(uintptr_t)v, it), first = false) {
        buf_append_str(out, first ? "" : ", ");
        json_string_out(out, span_of(json_object_iter_key(it)));
        buf_append_str(out, ": ");
        ok = ok && json_out(out, json_object_iter_value(it), depth + 1);
    }
    buf_append_char(out, '}');
    return ok;
}

static bool json_out(struct buf *out, const json_t *v, size_t depth)
{
    if (depth > TOOL_DEPTH_MAX)
        return false;
    switch (json_typeof(v)) {
    case JSON_OBJECT:
        return object_out(out, v, depth);
    case JSON_ARRAY:
        return array_out(out, v, depth);
    case JSON_STRING:
        json_string_out(out, (struct span){ json_string_value(v), json_string_length(v) });
        break;
    case JSON_INTEGER:
        buf_printf(out, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
        break;
    case JSON_REAL:
        real_out(out, json_real_value(v));
        break;
    case JSON_TRUE:
        buf_append_str(out, "true");
        break;
    case JSON_FALSE:
        buf_append_str(out, "false");
        break;
    case JSON_NULL:
        buf_append_str(out, "null");
        break;
    }
    return true;
}

bool tool_json(struct buf *out, const json_t *v)
{
    return json_out(out, v, 0);
}

/* ---- definitions ----------------------------------------------------------------------------- */

bool tool_name_ok(struct span name)
{
    if (name.len == 0 || name.len > TOOL_NAME_MAX)
        return false;
    for (size_t i = 0; i < name.len; i++) {
        if ((unsigned char)name.ptr[i] < 0x20 || name.ptr[i] == '<' || name.ptr[i] == '>')
            return false;
    }
    return true;
}

static struct span name_of(const json_t *tool)
{
    return span_of(json_string_value(json_object_get(json_object_get(tool, "function"), "name")));
}

static const json_t *find_tool(const struct tool_set *s, struct span name)
{
    for (size_t i = 0; s && i < s->n; i++) {
        const json_t *tool = json_array_get(s->root, i);
        if (span_eq(name_of(tool), name))
            return tool;
    }
    return NULL;
}

static enum kt_status add_tool(struct tool_set *s, const json_t *tool, struct kt_error *err)
{
    size_t i = s->n;
    if (!tool_name_ok(name_of(tool)))
        return kt_fail(err, KT_E_FORMAT,
                       "tools: entry %zu is not {\"type\": \"function\", \"function\": {\"name\": "
                       "...}} with a name of one line, without < and >",
                       i);
    if (find_tool(s, name_of(tool)))
        return kt_fail(err, KT_E_FORMAT, "tools: entry %zu has the name of an earlier one", i);
    if (!tool_json(&s->line[i], tool))
        return kt_fail(err, KT_E_LIMIT, "tools: entry %zu is nested more than %d deep", i,
                       TOOL_DEPTH_MAX);
    if (s->line[i].failed)
        return kt_fail(err, KT_E_NOMEM, "tools: out of memory");
    s->n++;
    return KT_OK;
}

static enum kt_status parse(struct tool_set *s, struct span json, struct kt_error *err)
{
    if (json.len > TOOL_JSON_MAX)
        return kt_fail(err, KT_E_LIMIT, "tools: definitions of %zu bytes, at most %d", json.len,
                       TOOL_JSON_MAX);
    s->root = json_loadb(json.len ? json.ptr : "", json.len, JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_array(s->root))
        return kt_fail(err, KT_E_FORMAT,
                       "tools: expected a JSON array, without doubled keys and with numbers of at "
                       "most 64 bits");
    size_t n = json_array_size(s->root);
    if (n > TOOLS_MAX)
        return kt_fail(err, KT_E_LIMIT, "tools: %zu of them, at most %d", n, TOOLS_MAX);
    s->line = calloc(n ? n : 1, sizeof(*s->line));
    if (!s->line)
        return kt_fail(err, KT_E_NOMEM, "tools: out of memory");
    enum kt_status st = KT_OK;
    for (size_t i = 0; i < n && !st; i++)
        st = add_tool(s, json_array_get(s->root, i), err);
    return st;
}

enum kt_status tool_set_create(struct tool_set **out, struct span json, struct kt_error *err)
{
    *out = NULL;
    struct tool_set *s = calloc(1, sizeof(*s));
    if (!s)
        return kt_fail(err, KT_E_NOMEM, "tools: out of memory");
    enum kt_status st = parse(s, json, err);
    if (st) {
        tool_set_destroy(s);
        return st;
    }
    *out = s;
    return KT_OK;
}

void tool_set_destroy(struct tool_set *s)
{
    if (!s)
        return;
    size_t n = json_array_size(s->root);
    for (size_t i = 0; s->line && i < n; i++)
        buf_deinit(&s->line[i]);
    free(s->line);
    json_decref(s->root);
    free(s);
}

size_t tool_set_n(const struct tool_set *s)
{
    return s ? s->n : 0;
}

struct span tool_set_line(const struct tool_set *s, size_t i)
{
    return buf_span(&s->line[i]);
}

bool tool_set_has(const struct tool_set *s, struct span name)
{
    return find_tool(s, name) != NULL;
}

/* ---- calls as text --------------------------------------------------------------------------- */

/* As the template's string conversion prints it, which is Python's. */
static bool write_value(struct buf *out, const json_t *v)
{
    switch (json_typeof(v)) {
    case JSON_STRING:
        buf_append_span(out, (struct span){ json_string_value(v), json_string_length(v) });
        return true;
    case JSON_TRUE:
        buf_append_str(out, "True");
        return true;
    case JSON_FALSE:
        buf_append_str(out, "False");
        return true;
    case JSON_NULL:
        buf_append_str(out, "None");
        return true;
    default:
        return tool_json(out, v);
    }
}

static enum kt_status write_arguments(struct buf *out, const json_t *args, struct kt_error *err)
{
    for (void *it = json_object_iter((json_t *)(uintptr_t)args); it;
         it = json_object_iter_next((json_t *)(uintptr_t)args, it)) {
        buf_append_str(out, "<parameter=");
        buf_append_str(out, json_object_iter_key(it));
        buf_append_str(out, ">\n");
        if (!write_value(out, json_object_iter_value(it)))
            return kt_fail(err, KT_E_LIMIT, "chat: a call's arguments are nested more than %d deep",
                           TOOL_DEPTH_MAX);
        buf_append_str(out, "\n</parameter>\n");
    }
    return KT_OK;
}

enum kt_status tool_call_write(struct buf *out, struct span name, struct span arguments,
                               struct kt_error *err)
{
    if (!tool_name_ok(name))
        return kt_fail(err, KT_E_FORMAT,
                       "chat: a call's name must be one line without < and >, at most %d bytes",
                       TOOL_NAME_MAX);
    json_t *args = arguments.len == 0 ? json_object()
                   : arguments.len <= TOOL_JSON_MAX
                       ? json_loadb(arguments.ptr, arguments.len, JSON_REJECT_DUPLICATES, NULL)
                       : NULL;
    enum kt_status st = KT_OK;
    if (!json_is_object(args)) {
        st = kt_fail(err, KT_E_FORMAT, "chat: a call's arguments are not a JSON object");
    } else {
        buf_append_str(out, "\n<function=");
        buf_append_span(out, name);
        buf_append_str(out, ">\n");
        st = write_arguments(out, args, err);
        buf_append_str(out, "</function>\n");
    }
    json_decref(args);
    return st;
}

/* ---- values from text ------------------------------------------------------------------------ */

enum {
    IS_STRING = 1,
    IS_INTEGER = 2,
    IS_NUMBER = 4,
    IS_BOOLEAN = 8,
    IS_NULL = 16,
    IS_OBJECT = 32,
    IS_ARRAY = 64
};

static unsigned type_bit(const json_t *name)
{
    static const char *const NAMES[] = { "string", "integer", "number", "boolean",
                                         "null",   "object",  "array" };
    for (size_t i = 0; json_is_string(name) && i < ARRAY_LEN(NAMES); i++) {
        if (strcmp(json_string_value(name), NAMES[i]) == 0)
            return 1u << i;
    }
    return 0;
}

/* Where "#/..." points to, inside the parameters' schema. */
static const json_t *pointed_at(const json_t *root, const char *ref)
{
    if (!ref || strncmp(ref, "#/", 2) != 0 || strchr(ref, '%'))
        return NULL;
    for (ref++; root && *ref; ref += strcspn(ref, "/")) {
        struct buf key = { 0 };
        for (ref++; *ref && *ref != '/'; ref++) {
            bool escape = *ref == '~' && (ref[1] == '0' || ref[1] == '1');
            ref += escape;
            buf_append_char(&key, !escape ? *ref : *ref == '0' ? '~' : '/');
        }
        if (json_is_array(root))
            root = json_array_get(root, (size_t)strtoul(key.ptr ? key.ptr : "", NULL, 10));
        else
            root = json_object_get(root, key.ptr ? key.ptr : "");
        buf_deinit(&key);
    }
    return root;
}

static unsigned value_bit(const json_t *v)
{
    switch (json_typeof(v)) {
    case JSON_STRING:
        return IS_STRING;
    case JSON_OBJECT:
        return IS_OBJECT;
    case JSON_ARRAY:
        return IS_ARRAY;
    case JSON_NULL:
        return IS_NULL;
    case JSON_INTEGER:
        return IS_INTEGER;
    case JSON_REAL:
        return IS_NUMBER;
    default:
        return IS_BOOLEAN;
    }
}

/* "type", one or several; without it, the types of its values (enum, const) and of what it is combined of (anyOf, oneOf,
 * allOf, a reference). constrain/schema_tools.c, which decides how a value may be written, goes by the same rule. */
static unsigned types_of(const json_t *root, const json_t *schema, unsigned depth)
{
    enum { DEPTH_MAX = 8 };
    static const char *const LISTS[] = { "anyOf", "oneOf", "allOf" };
    const json_t *type = json_object_get(schema, "type"), *one = json_object_get(schema, "const");
    unsigned types = type_bit(type);
    size_t k;
    json_t *item;
    if (!schema || depth > DEPTH_MAX)
        return 0;
    json_array_foreach(type, k, item) types |= type_bit(item);
    if (type)
        return types | (json_is_true(json_object_get(schema, "nullable")) ? IS_NULL : 0);
    json_array_foreach(json_object_get(schema, "enum"), k, item) types |= value_bit(item);
    if (one)
        types |= value_bit(one);
    for (size_t i = 0; i < ARRAY_LEN(LISTS); i++) {
        json_array_foreach(json_object_get(schema, LISTS[i]), k, item) types |=
            types_of(root, item, depth + 1);
    }
    const char *ref = json_string_value(json_object_get(schema, "$ref"));
    return types | types_of(root, pointed_at(root, ref), depth + 1);
}

static unsigned types_wanted(const struct tool_set *s, struct span name, const char *key)
{
    const json_t *function = json_object_get(find_tool(s, name), "function");
    const json_t *parameters = json_object_get(function, "parameters");
    return types_of(parameters, json_object_get(json_object_get(parameters, "properties"), key), 0);
}

static bool is_word(struct span s, const char *lower)
{
    if (s.len != strlen(lower))
        return false;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i] >= 'A' && s.ptr[i] <= 'Z' ? (char)(s.ptr[i] + 32) : s.ptr[i];
        if (c != lower[i])
            return false;
    }
    return true;
}

/* NULL: the text is of none of the types. */
static json_t *typed_value(unsigned types, struct span text)
{
    struct span s = span_trim(text);
    if (types & IS_NULL && (is_word(s, "null") || is_word(s, "none")))
        return json_null();
    if (types & IS_STRING || s.len == 0)
        return NULL;
    if (types & IS_BOOLEAN && (is_word(s, "true") || is_word(s, "false")))
        return json_boolean(is_word(s, "true"));
    json_t *v = json_loadb(s.ptr, s.len, JSON_DECODE_ANY,
                           NULL); /* of a key that is there twice the last counts */
    bool fits = (json_is_integer(v) && types & (IS_INTEGER | IS_NUMBER)) ||
                (json_is_real(v) && types & IS_NUMBER) ||
                (json_is_object(v) && types & IS_OBJECT) || (json_is_array(v) && types & IS_ARRAY);
    if (fits)
        return v;
    json_decref(v);
    return NULL;
}

json_t *tool_value(const struct tool_set *s, struct span name, const char *key, struct span text)
{
    json_t *v = typed_value(types_wanted(s, name, key), text);
    if (v)
        return v;
    struct buf fixed = { 0 };
    utf8_repair(&fixed, text);
    if (!fixed.failed)
        v = json_stringn(fixed.len ? fixed.ptr : "", fixed.len);
    buf_deinit(&fixed);
    return v;
}
