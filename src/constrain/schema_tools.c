/* constrain/schema_tools.c: calls of tools, as Qwen3.5 writes them (text/tool.h):
 *
 *     <tool_call>
 *     <function=NAME>
 *     <parameter=KEY>
 *     VALUE
 *     </parameter>
 *     </function>
 *     </tool_call>
 *
 * A VALUE is read back by the types that its schema names (text/tool.c): where a string is among them, as a string,
 * whatever it looks like, but for the words null and None where null is; else as JSON. So strings are written as they
 * are, up to the first line that is the closing mark, and other values where no string is possible. */
#include "constrain/schema_priv.h"

#include <string.h>

#include "base/size.h"

enum { NAME_MAX_BYTES = 256, READ_DEPTH_MAX = 8 };

/* What the reader takes the text of a value for: types that the schema names, 0 when it names none. */
static unsigned read_types(struct compilation *c, const struct js *schema, unsigned depth)
{
    static const char *const LISTS[] = { "anyOf", "oneOf", "allOf" };
    const struct js *many = js_get(schema, "enum"), *one = js_get(schema, "const");
    unsigned types = 0;
    if (!schema || schema->kind != JS_OBJECT || depth > READ_DEPTH_MAX || c->st)
        return 0;
    if (js_get(schema, "type"))
        return sc_types(c, schema);
    for (size_t i = 0; many && i < many->n_items; i++)
        types |= js_type(c, many->item[i]);
    if (one)
        types |= js_type(c, one);
    for (size_t i = 0; i < ARRAY_LEN(LISTS); i++) {
        const struct js *list = js_get(schema, LISTS[i]);
        for (size_t k = 0; list && k < list->n_items; k++)
            types |= read_types(c, list->item[k], depth + 1);
    }
    const struct js *ref = js_get(schema, "$ref");
    bool plain =
        ref && span_starts(ref->text, SPAN("#/")) && span_find(ref->text, SPAN("%"), 0) == SIZE_MAX;
    if (plain)
        types |= read_types(c, sc_target(c, schema), depth + 1);
    return types & T_FRACTION ? types | T_INTEGER : types;
}

static bool name_ok(struct span name)
{
    if (name.len == 0 || name.len > NAME_MAX_BYTES)
        return false;
    for (size_t i = 0; i < name.len; i++) {
        if ((unsigned char)name.ptr[i] < 0x20 || name.ptr[i] == '<' || name.ptr[i] == '>')
            return false;
    }
    return true;
}

/* ---- strings as they are -------------------------------------------------------------------------- */

static const struct dfa *without(struct compilation *c, const char *pattern)
{
    return dfa_not(c, regex_dfa(c, span_of(pattern), NULL, NULL, NULL));
}

/* Texts that are read as a string. */
static const struct dfa *readable(struct compilation *c, bool may_be_null)
{
    static const char MARK[] = "(^|\\n)</parameter>|\\0",
                      NOTHING[] = "^[ \\t-\\r]*([nN][uU][lL][lL]|[nN][oO][nN][eE])[ \\t-\\r]*$";
    const struct dfa *d = without(c, MARK);
    return may_be_null ? dfa_and(c, d, without(c, NOTHING), NULL, "a text") : d;
}

static const struct expr *text_expr(struct compilation *c, const struct atom *a, unsigned read)
{
    const struct dfa *d = readable(c, read & T_NULL);
    struct list ways = { 0 };
    if (!a->values) {
        struct strings s = atom_strings(c, a);
        const struct dfa *own = s.is_free ? NULL : strings_dfa(c, &s, a->occs->node);
        return ex_dfa(c, s.is_free ? d : dfa_and(c, d, own, a->occs->node, "a parameter's text"),
                      spell_plain);
    }
    for (size_t i = 0; d && i < a->values->n_items && !c->st; i++) {
        const struct js *v = a->values->item[i];
        if (v->kind == JS_STRING && dfa_accepts(d, v->text) && atom_holds(c, v, a))
            list_push(c, &ways, ex_bytes(c, v->text));
    }
    return ex_any(c, &ways);
}

/* ---- other values ---------------------------------------------------------------------------------- */

static bool may_be(struct compilation *c, const struct atom *a, enum js_kind word)
{
    struct js v = { .kind = word };
    return atom_holds(c, &v, a);
}

/* The words of JSON, and those that the layout's template makes of them. */
static const struct expr *words_expr(struct compilation *c, const struct atom *a, unsigned types)
{
    static const struct {
        enum js_kind kind;
        unsigned type;
        const char *json, *template;
    } WORDS[] = { { JS_NULL, T_NULL, "null", "None" },
                  { JS_FALSE, T_BOOLEAN, "false", "False" },
                  { JS_TRUE, T_BOOLEAN, "true", "True" } };
    struct list ways = { 0 };
    for (size_t i = 0; i < ARRAY_LEN(WORDS) && !c->st; i++) {
        if (!(types & WORDS[i].type) || !may_be(c, a, WORDS[i].kind))
            continue;
        list_push(c, &ways, ex_str(c, WORDS[i].json));
        list_push(c, &ways, ex_str(c, WORDS[i].template));
    }
    return ex_any(c, &ways);
}

static const struct expr *value_expr(struct compilation *c, const struct conj *value, unsigned read)
{
    struct list ways = { 0 };
    for (const struct atom *a = conj_atoms(c, value); a && !c->st; a = a->next) {
        bool text = !read || read & T_STRING;
        unsigned types = a->types & read & (text ? T_NULL : T_ALL);
        struct atom json = *a;
        json.types = types & ~(unsigned)(T_NULL | T_BOOLEAN | T_STRING);
        if (text && a->types & T_STRING)
            list_push(c, &ways, text_expr(c, a, read));
        list_push(c, &ways, words_expr(c, a, types));
        if (json.types)
            list_push(c, &ways, atom_expr(c, &json));
    }
    return ex_any(c, &ways);
}

static const struct expr *parameter(struct compilation *c, struct span key,
                                    const struct conj *value)
{
    const struct js *schema = js_get_span(js_get(c->parameters, "properties"), key);
    struct production *r = rule_new(c, key);
    if (!name_ok(key)) {
        sc_fail(c, KT_E_UNSUPPORTED, schema ? schema : c->parameters, NULL,
                "a parameter's name must be one line without < and >, at most %d bytes",
                NAME_MAX_BYTES);
        return NULL;
    }
    struct buf open = { 0 };
    buf_append_str(&open, "<parameter=");
    buf_append_span(&open, key);
    buf_append_str(&open, ">\n");
    if (r)
        r->body = value_expr(c, value, read_types(c, schema, 0));
    const struct expr *e =
        ex_cat3(c, ex_bytes(c, sc_taken(c, &open)), ex_rule(c, r), ex_str(c, "\n</parameter>\n"));
    if (r && r->body && r->body->kind == EX_NEVER)
        sc_fail(
            c, KT_E_UNSUPPORTED, schema ? schema : c->parameters, NULL,
            "no value of parameter '%.40s' can be written so that it is read back as one; give "
            "it a type",
            key.len && key.len < 40 &&
                    strspn(key.ptr,
                           "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") ==
                        key.len
                ? key.ptr
                : "?");
    return e;
}

static const struct member_style PARAMETERS = { .member = parameter, .is_json = false };

/* ---- calls ----------------------------------------------------------------------------------------- */

/* Behind "<tool_call>", up to and with its end. */
static const struct expr *call_of(struct compilation *c, const struct js *tool)
{
    const struct js *function = js_get(tool, "function"), *name = js_get(function, "name"),
                    *parameters = js_get(function, "parameters");
    struct list ways = { 0 };
    if (!name || name->kind != JS_STRING || !name_ok(name->text)) {
        sc_fail(
            c, KT_E_FORMAT, tool, NULL,
            "it is not {\"type\": \"function\", \"function\": {\"name\": ...}} with a name of one "
            "line, without < and >");
        return NULL;
    }
    if (parameters && parameters->kind != JS_NULL) {
        struct js *own = (struct js *)(uintptr_t)parameters;
        own->is_resource = true;
        sc_check(c, own);
        c->parameters = parameters;
        for (const struct atom *a = conj_atoms(c, conj_of_one(c, parameters)); a && !c->st;
             a = a->next) {
            if (a->types & T_OBJECT && !a->values)
                list_push(c, &ways, object_expr(c, a, &PARAMETERS));
        }
        if (!ways.n)
            sc_fail(c, KT_E_UNSUPPORTED, parameters, NULL, "parameters are an object's schema");
    } else {
        list_push(c, &ways, ex_empty(c));
    }
    struct buf open = { 0 };
    buf_append_str(&open, "\n<function=");
    buf_append_span(&open, name->text);
    buf_append_str(&open, ">\n");
    const struct expr *e = ex_cat3(c, ex_bytes(c, sc_taken(c, &open)), ex_any(c, &ways),
                                   ex_str(c, "</function>\n</tool_call>"));
    return e;
}

static struct production *build_tools(struct compilation *c, void *ctx)
{
    static const struct kt_tools_options DEFAULTS = { 0 };
    const struct kt_tools_options *o = ctx ? ctx : &DEFAULTS;
    struct production *root = rule_new(c, SPAN("root")), *call = rule_new(c, SPAN("call"));
    struct list ways = { 0 };
    if (c->root->kind != JS_ARRAY || !root || !call) {
        sc_fail(c, KT_E_FORMAT, NULL, NULL, "expected a JSON array of tools");
        return NULL;
    }
    for (size_t i = 0; i < c->root->n_items && !c->st; i++) {
        const struct js *tool = c->root->item[i], *name = js_get(js_get(tool, "function"), "name");
        if (!o->name || (name && span_eq_str(name->text, o->name)))
            list_push(c, &ways, call_of(c, tool));
    }
    if (!ways.n)
        sc_fail(c, o->name ? KT_E_NOTFOUND : KT_E_USAGE, NULL, NULL,
                o->name ? "there is none of the name that must be called" : "there are none");
    call->body = ex_any(c, &ways);
    uint32_t more = o->n_calls_max && o->n_calls_max <= SCHEMA_COUNT_MAX
                        ? (uint32_t)o->n_calls_max - 1
                        : EX_ENDLESS;
    const struct expr *next = ex_cat(c, ex_str(c, "\n<tool_call>"), ex_rule(c, call));
    const struct expr *calls = ex_cat(c, ex_rule(c, call), ex_repeat(c, next, 0, more));
    if (!o->after_mark)
        calls = ex_cat(c, ex_str(c, "<tool_call>"), calls);
    if (o->optional && !o->after_mark) {
        struct production *text = rule_new(c, SPAN("text"));
        if (text)
            text->body = ex_dfa(c, without(c, "<tool_call>|\\0"), spell_plain);
        calls = ex_cat(c, ex_rule(c, text), ex_repeat(c, calls, 0, 1));
    }
    root->body = calls;
    return c->st ? NULL : root;
}

enum kt_status kt_tools_to_grammar(char **text, size_t *text_len, const char *tools,
                                   size_t tools_len, const struct kt_tools_options *opts,
                                   struct kt_error *err)
{
    struct kt_schema_options o = { 0 };
    if (opts) {
        o.strict = opts->strict;
        o.space = opts->space;
    }
    return sc_compile(text, text_len, (struct span){ tools, tools_len }, "tools", &o, build_tools,
                      (void *)(uintptr_t)opts, err);
}
