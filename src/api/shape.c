/* api/shape.c: see shape.h. JSON Schemas and tools become texts of grammars (kontor/schema.h); where two may be meant, a text of
 * both is made of them. */
#include "api/shape.h"

#include <stdlib.h>
#include <string.h>

#include "api/api_priv.h"
#include "api/talk.h"
#include "kontor/schema.h"

static bool refuse(struct call *c, const char *param, const struct kt_error *err)
{
    if (err->status == KT_E_NOMEM)
        reply_kt_error(c, err);
    else
        reply_error(c, 400, NULL, "invalid_value", param, "'%s': %s", param, err->text);
    return false;
}

/* ---- texts of grammars ----------------------------------------------------------------------- */

static bool is_word(char ch, bool first)
{
    bool letter = (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z');
    return letter || (!first && ((ch >= '0' && ch <= '9') || ch == '_' || ch == '-'));
}

/* Where the literal, class, expression or comment that begins at 'at' ends; 'at' when none does. */
static size_t skip_opaque(struct span s, size_t at)
{
    char open = s.ptr[at], close = open == '[' ? ']' : open == '#' ? '\n' : open;
    if (open != '"' && open != '/' && open != '[' && open != '#' && open != '@')
        return at;
    for (size_t i = at + 1; i < s.len; i++) {
        if (open == '@' && !is_word(s.ptr[i], false))
            return i;
        if (s.ptr[i] == '\\' && open != '#')
            i++;
        else if (s.ptr[i] == close)
            return i + 1;
    }
    return s.len;
}

/* A grammar with 'prefix' before each of its rules' names, so that another may stand beside it. A '/' in a class of an expression
 * is written \/, as kontor/constrain.h asks. */
static void append_renamed(struct buf *out, struct span s, const char *prefix)
{
    for (size_t i = 0; i < s.len;) {
        size_t end = skip_opaque(s, i);
        bool flags = end > i && s.ptr[i] == '/';
        if (end == i && is_word(s.ptr[i], true)) {
            buf_append_str(out, prefix);
            while (end < s.len && is_word(s.ptr[end], false))
                end++;
        }
        while (flags && end < s.len && is_word(s.ptr[end], true))
            end++; /* letters after an expression */
        end = end > i ? end : i + 1;
        buf_append(out, s.ptr + i, end - i);
        i = end;
    }
    buf_append_char(out, '\n');
}

static bool compile(struct call *c, const char *param, const struct buf *text,
                    struct kt_grammar **out)
{
    struct kt_error err;
    enum kt_status st = text->failed ? kt_fail(&err, KT_E_NOMEM, "out of memory")
                                     : kt_grammar_parse(out, text->ptr, text->len, &err);
    return st ? refuse(c, param, &err) : true;
}

/* ---- formats --------------------------------------------------------------------------------- */

static const char *string_in(const json_t *j, const char *key)
{
    const json_t *v = json_object_get(j, key);
    const char *s = json_string_value(v);
    return s && strlen(s) == json_string_length(v) ? s : NULL;
}

static bool is_json(const char *type)
{
    return strcmp(type, "json_object") == 0 || strcmp(type, "json_schema") == 0;
}

/* The grammar's text of a JSON format. Chat completions have the schema one level down. */
static bool json_text(struct call *c, const json_t *format, const char *type, const char *param,
                      char **text, size_t *len)
{
    static const char OBJECT[] = "{\"type\":\"object\"}";
    struct kt_error err;
    bool any = strcmp(type, "json_object") == 0;
    const json_t *inner = json_object_get(format, "json_schema");
    const json_t *said = json_is_object(inner) ? inner : format;
    const json_t *schema = json_object_get(said, "schema");
    struct kt_schema_options o = { .strict = json_is_true(json_object_get(said, "strict")) };
    const json_t *strict = json_object_get(said, "strict"), *name = json_object_get(said, "name"),
                 *description = json_object_get(said, "description");
    if ((name && !json_is_string(name)) || (description && !json_is_string(description))) {
        reply_error(c, 400, NULL, "invalid_type", param, "'%s': name and description are strings",
                    param);
        return false;
    }
    if (strict && !json_is_boolean(strict) && !json_is_null(strict)) {
        reply_error(c, 400, NULL, "invalid_type", param, "'%s': strict takes true or false", param);
        return false;
    }
    if (!any && !json_is_object(schema)) {
        reply_error(c, 400, NULL, "invalid_value", param,
                    "'%s' of type json_schema has a schema, an object", param);
        return false;
    }
    char *source = any ? NULL : json_dumps(schema, JSON_COMPACT);
    if (!any && !source) {
        reply_error(c, 503, NULL, NULL, NULL, "out of memory");
        return false;
    }
    enum kt_status st = kt_schema_to_grammar(text, len, any ? OBJECT : source,
                                             strlen(any ? OBJECT : source), &o, &err);
    free(source);
    return st ? refuse(c, param, &err) : true;
}

static bool labels_of(struct call *c, const json_t *list, const char *param,
                      struct kt_grammar **out)
{
    struct kt_error err;
    size_t n = json_array_size(list);
    const char **labels = n && n <= TEXTS_MAX ? calloc(n, sizeof(*labels)) : NULL;
    bool ok = labels != NULL;
    for (size_t i = 0; i < n && ok; i++) {
        const json_t *v = json_array_get(list, i);
        labels[i] = json_string_value(v);
        ok = labels[i] && strlen(labels[i]) == json_string_length(v);
    }
    if (!ok)
        reply_error(c, 400, NULL, "invalid_value", param,
                    "'%s' of type choice has choices, 1 to %d strings", param, TEXTS_MAX);
    else if (kt_grammar_from_labels(out, labels, n, &err))
        ok = refuse(c, param, &err);
    free(labels);
    return ok;
}

static bool plain_format(struct call *c, const json_t *format, const char *type, const char *param,
                         struct kt_grammar **out)
{
    struct kt_error err;
    const char *pattern = string_in(format, "pattern"), *grammar = string_in(format, "grammar");
    enum kt_status st;
    if (strcmp(type, "choice") == 0)
        return labels_of(c, json_object_get(format, "choices"), param, out);
    if (strcmp(type, "regex") == 0 && pattern) {
        st = kt_grammar_from_regex(out, pattern, strlen(pattern), &err);
    } else if (strcmp(type, "grammar") == 0 && grammar) {
        st = kt_grammar_parse(out, grammar, strlen(grammar), &err);
    } else {
        reply_error(
            c, 400, NULL, "invalid_value", param,
            "'%s' is of type text, json_object, json_schema (with a schema), regex (pattern), "
            "grammar (grammar) or choice (choices)",
            param);
        return false;
    }
    return st ? refuse(c, param, &err) : true;
}

/* ---- calls ----------------------------------------------------------------------------------- */

/* 'optional': text may come before them, or instead. */
static bool calls_text(struct call *c, const struct api_talk *t, bool optional, char **text,
                       size_t *len)
{
    struct kt_error err;
    const char *tools = t->allowed ? t->allowed : t->tools;
    struct kt_tools_options o = { .name = t->forced_name,
                                  .n_calls_max = t->one_call ? 1 : 0,
                                  .optional = optional,
                                  .strict = t->strict };
    enum kt_status st = kt_tools_to_grammar(text, len, tools, strlen(tools), &o, &err);
    return st ? refuse(c, "tools", &err) : true;
}

/* ---- the whole ------------------------------------------------------------------------------- */

bool shape_read(struct call *c, const struct api_talk *t, const json_t *format, const char *param,
                struct kt_grammar **out)
{
    struct buf all = { 0 };
    char *json = NULL, *calls = NULL;
    size_t json_len = 0, calls_len = 0;
    const char *type = format ? string_in(format, "type") : "text";
    bool forced = t && t->tools && t->choice == TOOLS_REQUIRED;
    bool may_call = t && t->tools && (forced || t->strict || t->allowed);
    bool free_text = !type || strcmp(type, "text") == 0 || forced;
    *out = NULL;
    if (!type || (!free_text && !is_json(type)))
        return plain_format(c, format, type ? type : "", param, out);
    if (free_text && !may_call)
        return true;
    bool ok = free_text || json_text(c, format, type, param, &json, &json_len);
    /* what answers in JSON may call a tool instead, if there are any */
    if (ok && (may_call || (json && t && t->tools)))
        ok = calls_text(c, t, !forced && !json, &calls, &calls_len);
    buf_append_str(&all, json && calls ? "root ::= call-root | json-root\n"
                         : json        ? "root ::= json-root\n"
                                       : "root ::= call-root\n");
    if (json)
        append_renamed(&all, (struct span){ json, json_len }, "json-");
    if (calls)
        append_renamed(&all, (struct span){ calls, calls_len }, "call-");
    ok = ok && compile(c, json ? param : "tools", &all, out);
    buf_deinit(&all);
    free(json);
    free(calls);
    return ok;
}
