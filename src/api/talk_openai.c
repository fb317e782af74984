/* api/talk_openai.c: conversations as OpenAI's clients write them. */
#include <string.h>

#include "api/api_priv.h"
#include "api/talk.h"

static const char *string_of(const json_t *v)
{
    const char *s = json_string_value(v);
    return s && strlen(s) == json_string_length(v) ? s : NULL;
}

/* An address stands in an object of its own in chat completions, by itself in responses. */
static const json_t *url_in(const json_t *part, const char *key)
{
    const json_t *v = json_object_get(part, key);
    return json_is_object(v) ? json_object_get(v, "url") : v;
}

static bool is_text(const char *type)
{
    return strcmp(type, "text") == 0 || strcmp(type, "input_text") == 0 ||
           strcmp(type, "output_text") == 0;
}

/* Videos are not OpenAI's: as a file in the words of others who serve such models, as frames in Qwen's own. */
static bool read_part(struct api_talk *t, const json_t *part, struct kt_chat_part *out)
{
    const char *type = json_string_value(json_object_get(part, "type"));
    const json_t *text = json_object_get(part, "text"), *fps = json_object_get(part, "fps");
    if (type && is_text(type) && json_is_string(text)) {
        *out = (struct kt_chat_part){ .kind = KT_CHAT_TEXT,
                                      .text = json_string_value(text),
                                      .text_len = json_string_length(text) };
        return true;
    }
    if (type && (strcmp(type, "image_url") == 0 || strcmp(type, "input_image") == 0))
        return api_talk_image_url(t, url_in(part, "image_url"), out);
    if (type && strcmp(type, "video_url") == 0)
        return api_talk_video_url(t, url_in(part, "video_url"), out);
    if (type && strcmp(type, "video") == 0)
        return api_talk_video_frames(t, json_object_get(part, "video"),
                                     fps ? json_number_value(fps) : 2, out);
    reply_error(t->call, 400, NULL, "unsupported_content", t->param,
                "content is of type text, image_url (input_image), video_url or video (frames)");
    return false;
}

bool api_talk_content(struct api_talk *t, const json_t *content, struct kt_chat_message *m)
{
    if (!content || json_is_null(content)) {
        m->text = "";
        return true;
    }
    if (json_is_string(content)) {
        m->text = json_string_value(content);
        m->text_len = json_string_length(content);
        return true;
    }
    if (!json_is_array(content))
        return api_talk_refuse(t, t->param, "a message's content is a string or an array of parts");
    m->n_parts = json_array_size(content);
    struct kt_chat_part *parts = arena_array(&t->arena, m->n_parts + 1, sizeof(*parts));
    m->parts = parts;
    if (!parts)
        return api_talk_nomem(t);
    for (size_t i = 0; i < m->n_parts; i++)
        if (!read_part(t, json_array_get(content, i), &parts[i]))
            return false;
    return true;
}

static bool read_calls(struct api_talk *t, const json_t *list, struct kt_chat_message *m)
{
    if (!list || json_is_null(list))
        return true;
    m->n_calls = json_array_size(list);
    struct kt_chat_call *calls = arena_array(&t->arena, m->n_calls + 1, sizeof(*calls));
    m->calls = calls;
    if (!calls)
        return api_talk_nomem(t);
    bool ok = json_is_array(list);
    for (size_t i = 0; i < m->n_calls && ok; i++) {
        const json_t *f = json_object_get(json_array_get(list, i), "function");
        calls[i].name = string_of(json_object_get(f, "name"));
        calls[i].arguments = string_of(json_object_get(f, "arguments"));
        ok = calls[i].name && (calls[i].arguments || !json_object_get(f, "arguments"));
    }
    return ok ? true
              : api_talk_refuse(
                    t, "messages",
                    "a call of a tool has a function with name and arguments, both strings");
}

static const char *role_of(struct api_talk *t, const json_t *message)
{
    static const char *const ROLES[][2] = { { "system", "system" },
                                            { "developer", "system" },
                                            { "user", "user" },
                                            { "assistant", "assistant" },
                                            { "tool", "tool" } };
    const char *role = json_string_value(json_object_get(message, "role"));
    for (size_t i = 0; role && i < ARRAY_LEN(ROLES); i++)
        if (strcmp(role, ROLES[i][0]) == 0)
            return ROLES[i][1];
    api_talk_refuse(t, "messages",
                    "a message's role is system, developer, user, assistant or tool");
    return NULL;
}

static bool read_message(struct api_talk *t, const json_t *message)
{
    const char *role = json_is_object(message) ? role_of(t, message) : NULL;
    if (!role)
        return json_is_object(message) ? false
                                       : api_talk_refuse(t, "messages", "a message is an object");
    struct kt_chat_message *m = api_talk_message(t, role);
    const json_t *thought = json_object_get(message, "reasoning_content");
    if (json_is_string(thought)) {
        m->reasoning = json_string_value(thought);
        m->reasoning_len = json_string_length(thought);
    }
    return api_talk_content(t, json_object_get(message, "content"), m) &&
           read_calls(t, json_object_get(message, "tool_calls"), m);
}

static bool read_tools(struct api_talk *t)
{
    json_t *tools = json_object_get(t->call->body, "tools");
    if (tools && !json_is_null(tools) && !json_is_array(tools))
        return api_talk_refuse(t, "tools", "'tools' takes an array");
    return api_talk_tools(t, json_is_array(tools) ? json_incref(tools) : json_array());
}

/* "reasoning_effort", Qwen's own {"enable_thinking": false} beside the template, and a bound in tokens. */
static bool read_thinking(struct api_talk *t)
{
    const char *effort = NULL;
    json_t *kwargs = json_object_get(t->call->body, "chat_template_kwargs"), *value;
    const char *name;
    if (!param_string(t->call, "reasoning_effort", &effort) ||
        !api_talk_effort(t, "reasoning_effort", effort) ||
        !param_int(t->call, "thinking_budget", 1, INT32_MAX, &t->n_think_max))
        return false;
    json_object_foreach(kwargs, name, value)
    {
        if (strcmp(name, "enable_thinking") != 0 || !json_is_boolean(value))
            return api_talk_refuse(
                t, "chat_template_kwargs",
                "'chat_template_kwargs' takes {\"enable_thinking\": true or false}");
        t->opts.thinking = json_is_true(value) ? KT_THINK_ON : KT_THINK_OFF;
    }
    return true;
}

bool api_talk_read_openai(struct api_talk *t, struct call *c)
{
    const json_t *messages = json_object_get(c->body, "messages");
    size_t n = json_array_size(messages);
    *t = (struct api_talk){ .call = c };
    if (!json_is_array(messages) || n == 0 || n > MESSAGES_MAX) {
        reply_error(c, 400, NULL, "invalid_value", "messages", "'messages' takes 1 to %d messages",
                    MESSAGES_MAX);
        return false;
    }
    if (!api_talk_begin(t, c, "messages", n))
        return false;
    for (size_t i = 0; i < n; i++)
        if (!read_message(t, json_array_get(messages, i)))
            return false;
    bool parallel = true;
    if (!param_bool(c, "parallel_tool_calls", &parallel))
        return false;
    t->one_call = !parallel;
    return read_tools(t) && read_thinking(t) && api_talk_build(t);
}
