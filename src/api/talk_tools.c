/* api/talk_tools.c: which tools a model may call and whether it must, in the words of three dialects.
 *
 * Each comes down to one list in the form of kontor/chat.h, and a choice: the model decides, it calls something, it calls this
 * one, or it is not told of tools at all. A list of allowed tools narrows what it may call, not what it is told of. */
#include <string.h>

#include "api/api_priv.h"
#include "api/talk.h"

static const char *string_in(const json_t *j, const char *key)
{
    const json_t *v = json_object_get(j, key);
    const char *s = json_string_value(v);
    return s && strlen(s) == json_string_length(v) ? s : NULL;
}

static const char *tool_name(const json_t *tool)
{
    return string_in(json_object_get(tool, "function"), "name");
}

static const json_t *tool_named(const json_t *list, const char *name)
{
    json_t *tool;
    size_t i;
    json_array_foreach((json_t *)(uintptr_t)list, i, tool)
    {
        const char *found = tool_name(tool);
        if (found && strcmp(found, name) == 0)
            return tool;
    }
    return NULL;
}

/* ---- choices --------------------------------------------------------------------------------- */

struct choice {
    enum tool_choice kind;
    const char *name;      /* TOOLS_REQUIRED: this one; NULL: any */
    const json_t *allowed; /* array of the dialect's references; NULL: all */
};

static bool choice_of_word(const char *word, struct choice *out)
{
    static const struct {
        const char *word;
        enum tool_choice kind;
    } WORDS[] = { { "auto", TOOLS_AUTO },
                  { "none", TOOLS_NONE },
                  { "required", TOOLS_REQUIRED },
                  { "any", TOOLS_REQUIRED } };
    for (size_t i = 0; word && i < ARRAY_LEN(WORDS); i++) {
        if (strcmp(word, WORDS[i].word) == 0) {
            out->kind = WORDS[i].kind;
            return true;
        }
    }
    return false;
}

/* {"type":"function","function":{"name"}} of chat completions; {"type":"function","name"} of responses; {"type":"tool","name"} of
 * messages; {"type":"allowed_tools", ...} of the first two. */
static bool read_choice(struct api_talk *t, struct choice *out)
{
    const json_t *v = json_object_get(t->call->body, "tool_choice");
    const char *type = string_in(v, "type");
    *out = (struct choice){ .kind = TOOLS_AUTO };
    if (!v || json_is_null(v) || choice_of_word(json_string_value(v), out))
        return true;
    if (choice_of_word(type, out))
        return true;
    if (type && (strcmp(type, "function") == 0 || strcmp(type, "tool") == 0)) {
        const json_t *f = json_object_get(v, "function");
        out->kind = TOOLS_REQUIRED;
        out->name = string_in(json_is_object(f) ? f : v, "name");
    } else if (type && strcmp(type, "allowed_tools") == 0) {
        const json_t *inner = json_object_get(v, "allowed_tools");
        inner = json_is_object(inner) ? inner : v;
        out->allowed = json_object_get(inner, "tools");
        if (json_array_size(out->allowed) && choice_of_word(string_in(inner, "mode"), out))
            return true;
        out->allowed = NULL;
        out->name = NULL;
        out->kind = TOOLS_NONE;
    }
    return out->name
               ? true
               : api_talk_refuse(t, "tool_choice",
                                 "'tool_choice' takes auto, none, required (any), one function by "
                                 "its name, or allowed_tools with a mode");
}

/* ---- taking them ----------------------------------------------------------------------------- */

/* Those of 'list' that are referred to: heap, as t->tools. */
static bool take_allowed(struct api_talk *t, const json_t *list, const json_t *references)
{
    json_t *few = json_array(), *r;
    size_t i;
    bool ok = true;
    json_array_foreach((json_t *)(uintptr_t)references, i, r)
    {
        const char *name = tool_name(r);
        const json_t *tool = tool_named(list, name                   ? name
                                              : string_in(r, "name") ? string_in(r, "name")
                                                                     : "");
        ok = ok && tool && json_array_append(few, (json_t *)(uintptr_t)tool) == 0;
    }
    t->allowed = ok ? json_dumps(few, JSON_COMPACT) : NULL;
    json_decref(few);
    return t->allowed || api_talk_refuse(t, "tool_choice", "an allowed tool is not among 'tools'");
}

bool api_talk_tools(struct api_talk *t, json_t *list)
{
    struct choice choice;
    json_t *tool;
    size_t i;
    bool ok = read_choice(t, &choice);
    json_array_foreach(list, i, tool)
    {
        const json_t *strict = json_object_get(json_object_get(tool, "function"), "strict");
        if (ok && strict && !json_is_boolean(strict) && !json_is_null(strict))
            ok = api_talk_refuse(t, "tools", "a tool's 'strict' takes true or false");
    }
    json_array_foreach(list, i, tool) t->strict =
        t->strict || json_is_true(json_object_get(json_object_get(tool, "function"), "strict"));
    if (ok && choice.kind == TOOLS_REQUIRED && json_array_size(list) == 0)
        ok = api_talk_refuse(t, "tool_choice", "a tool must be called, and 'tools' has none");
    if (ok && choice.name && !tool_named(list, choice.name))
        ok = api_talk_refuse(t, "tool_choice", "the tool that must be called is not among 'tools'");
    if (ok && choice.allowed)
        ok = take_allowed(t, list, choice.allowed);
    if (ok && choice.kind != TOOLS_NONE && json_array_size(list)) {
        t->choice = choice.kind;
        t->forced_name = choice.name;
        t->tools = json_dumps(list, JSON_COMPACT);
        ok = t->tools || api_talk_nomem(t);
    }
    json_decref(list);
    return ok;
}
