/* api/talk_responses.c: conversations as OpenAI's newer route writes them: a list of items, in which calls of tools and
 * their answers are items of their own. */
#include <string.h>

#include "api/api_priv.h"
#include "api/talk.h"

static const char *text_of(const json_t *item, const char *key)
{
    const json_t *v = json_object_get(item, key);
    const char *s = json_string_value(v);
    return s && strlen(s) == json_string_length(v) ? s : NULL;
}

/* A call belongs to the assistant's message before it, or to one without words. */
static bool read_call(struct api_talk *t, const json_t *item, size_t n_items)
{
    struct kt_chat_message *m = t->n_msgs ? &t->msgs[t->n_msgs - 1] : NULL;
    if (!m || strcmp(m->role, "assistant") != 0) {
        m = api_talk_message(t, "assistant");
        m->text = "";
    }
    if (!m->calls && !(m->calls = arena_array(&t->arena, n_items, sizeof(*m->calls))))
        return api_talk_nomem(t);
    struct kt_chat_call *call = (struct kt_chat_call *)(uintptr_t)&m->calls[m->n_calls++];
    *call = (struct kt_chat_call){ text_of(item, "name"), text_of(item, "arguments") };
    return call->name && call->arguments
               ? true
               : api_talk_refuse(t, "input",
                                 "a function_call has a name and arguments, both strings");
}

static bool read_message(struct api_talk *t, const json_t *item)
{
    static const char *const ROLES[][2] = { { "system", "system" },
                                            { "developer", "system" },
                                            { "user", "user" },
                                            { "assistant", "assistant" } };
    const char *role = text_of(item, "role");
    for (size_t i = 0; role && i < ARRAY_LEN(ROLES); i++)
        if (strcmp(role, ROLES[i][0]) == 0)
            return api_talk_content(t, json_object_get(item, "content"),
                                    api_talk_message(t, ROLES[i][1]));
    return api_talk_refuse(t, "input", "a message's role is system, developer, user or assistant");
}

static bool read_item(struct api_talk *t, const json_t *item, size_t n_items)
{
    const char *type = text_of(item, "type");
    if (!json_is_object(item))
        return api_talk_refuse(t, "input", "an item is an object");
    if (!type || strcmp(type, "message") == 0)
        return read_message(t, item);
    if (strcmp(type, "function_call") == 0)
        return read_call(t, item, n_items);
    if (strcmp(type, "function_call_output") == 0)
        return api_talk_content(t, json_object_get(item, "output"), api_talk_message(t, "tool"));
    if (strcmp(type, "reasoning") == 0)
        return true; /* what was thought then is not shown to the model again */
    return api_talk_refuse(
        t, "input", "items are of type message, function_call, function_call_output or reasoning");
}

/* Here a tool's function is not an object of its own. */
static bool read_tools(struct api_talk *t)
{
    static const char *const KEYS[] = { "name", "description", "parameters", "strict" };
    json_t *tools = json_object_get(t->call->body, "tools"), *tool;
    size_t i;
    if (tools && !json_is_null(tools) && !json_is_array(tools))
        return api_talk_refuse(t, "tools", "'tools' takes an array");
    json_t *list = json_array();
    bool ok = true;
    json_array_foreach(tools, i, tool)
    {
        const char *type = text_of(tool, "type");
        ok = ok && type && strcmp(type, "function") == 0;
        json_t *f = json_object();
        for (size_t k = 0; k < ARRAY_LEN(KEYS); k++)
            if (json_object_get(tool, KEYS[k]) && !json_is_null(json_object_get(tool, KEYS[k])))
                json_object_set(f, KEYS[k], json_object_get(tool, KEYS[k]));
        json_array_append_new(list, json_pack("{s:s,s:o}", "type", "function", "function", f));
    }
    if (ok)
        return api_talk_tools(t, list);
    json_decref(list);
    return api_talk_refuse(
        t, "tools", "tools are of type function; those that a server runs itself are not there");
}

static bool read_reasoning(struct api_talk *t)
{
    const json_t *reasoning = json_object_get(t->call->body, "reasoning");
    const json_t *effort = json_object_get(reasoning, "effort");
    if (reasoning && !json_is_null(reasoning) && !json_is_object(reasoning))
        return api_talk_refuse(t, "reasoning", "'reasoning' takes an object");
    if (effort && !json_is_null(effort) && !json_is_string(effort))
        return api_talk_refuse(t, "reasoning.effort", "'reasoning.effort' takes a string");
    return api_talk_effort(t, "reasoning.effort", json_string_value(effort)) &&
           param_int(t->call, "thinking_budget", 1, INT32_MAX, &t->n_think_max);
}

bool api_talk_read_responses(struct api_talk *t, struct call *c, const json_t *input)
{
    const char *instructions = NULL;
    size_t n = json_array_size(input);
    *t = (struct api_talk){ .call = c };
    if (n == 0 || n > MESSAGES_MAX) {
        reply_error(c, 400, NULL, "invalid_value", "input",
                    "'input' takes a string or 1 to %d items, those of earlier responses included",
                    MESSAGES_MAX);
        return false;
    }
    if (!param_string(c, "instructions", &instructions) || !api_talk_begin(t, c, "input", n + 1))
        return false;
    if (instructions) {
        struct kt_chat_message *m = api_talk_message(t, "system");
        m->text = instructions;
        m->text_len = strlen(instructions);
    }
    bool ok = true;
    for (size_t i = 0; i < n && ok; i++)
        ok = read_item(t, json_array_get(input, i), n);
    bool parallel = true;
    ok = ok && param_bool(c, "parallel_tool_calls", &parallel);
    t->one_call = !parallel;
    return ok && read_tools(t) && read_reasoning(t) && api_talk_build(t);
}
