/* api/talk_anthropic.c: conversations as Anthropic's clients write them: the system text apart, tools' answers as blocks
 * of the user's messages. */
#include <string.h>

#include "api/api_priv.h"
#include "api/talk.h"

/* Text blocks, or a string, joined: of the system text, and of a tool's answer. */
static bool join_text(struct api_talk *t, const json_t *v, const char *param, const char **out,
                      size_t *len)
{
    struct buf b = { 0 };
    bool ok = !v || json_is_null(v) || json_is_string(v) || json_is_array(v);
    if (json_is_string(v))
        buf_append(&b, json_string_value(v), json_string_length(v));
    for (size_t i = 0; i < json_array_size(v) && ok; i++) {
        const json_t *text = json_object_get(json_array_get(v, i), "text");
        ok = json_is_string(text);
        if (b.len)
            buf_append_char(&b, '\n');
        buf_append(&b, json_string_value(text), json_string_length(text));
    }
    char *copy = ok ? arena_strdup(&t->arena, b.ptr ? buf_span(&b) : SPAN("")) : NULL;
    *len = b.len;
    *out = copy;
    bool failed = b.failed;
    buf_deinit(&b);
    if (!ok)
        return api_talk_refuse(t, param, "expected a string or an array of text blocks");
    return copy && !failed ? true : api_talk_nomem(t);
}

static bool read_image(struct api_talk *t, const json_t *block, struct kt_chat_part *out)
{
    const json_t *source = json_object_get(block, "source");
    const char *type = json_string_value(json_object_get(source, "type"));
    const json_t *data = json_object_get(source, "data");
    if (!type || strcmp(type, "base64") != 0 || !json_is_string(data))
        return api_talk_refuse(t, "messages",
                               "an image's source is of type base64; addresses are not fetched");
    return api_talk_image(t, json_string_value(data), json_string_length(data), out);
}

/* What a message becomes while its blocks are read: tools' answers are messages of their own and come first. */
struct reading {
    struct api_talk *talk;
    struct kt_chat_message *message; /* of the other blocks; NULL until the first */
    const char *role;
    struct kt_chat_part *parts; /* room for all */
    struct kt_chat_call *calls;
};

static struct kt_chat_message *own_message(struct reading *r)
{
    if (!r->message) {
        r->message = api_talk_message(r->talk, r->role);
        r->message->parts = r->parts;
        r->message->calls = r->calls;
    }
    return r->message;
}

static bool read_tool_use(struct reading *r, const json_t *block)
{
    struct kt_chat_message *m = own_message(r);
    const json_t *name = json_object_get(block, "name"), *input = json_object_get(block, "input");
    if (!json_is_string(name) || !json_is_object(input))
        return api_talk_refuse(r->talk, "messages",
                               "a tool_use block has a name and an input object");
    char *text = json_dumps(input, JSON_COMPACT);
    char *copy = text ? arena_strdup(&r->talk->arena, span_of(text)) : NULL;
    free(text);
    if (!copy)
        return api_talk_nomem(r->talk);
    r->calls[m->n_calls++] = (struct kt_chat_call){ json_string_value(name), copy };
    return true;
}

/* A string, or blocks of text and images. */
static bool read_tool_result(struct api_talk *t, const json_t *content)
{
    struct kt_chat_message *m = api_talk_message(t, "tool");
    size_t n = json_array_size(content);
    bool has_image = false;
    for (size_t i = 0; i < n; i++) {
        const char *type = json_string_value(json_object_get(json_array_get(content, i), "type"));
        has_image = has_image || (type && strcmp(type, "image") == 0);
    }
    if (!has_image)
        return join_text(t, content, "messages", &m->text, &m->text_len);
    struct kt_chat_part *parts = arena_array(&t->arena, n, sizeof(*parts));
    if (!parts)
        return api_talk_nomem(t);
    m->parts = parts;
    m->n_parts = n;
    for (size_t i = 0; i < n; i++) {
        const json_t *block = json_array_get(content, i), *text = json_object_get(block, "text");
        if (!json_is_string(text)) {
            if (!read_image(t, block, &parts[i]))
                return false;
            continue;
        }
        parts[i] = (struct kt_chat_part){ .kind = KT_CHAT_TEXT,
                                          .text = json_string_value(text),
                                          .text_len = json_string_length(text) };
    }
    return true;
}

static bool read_block(struct reading *r, const json_t *block)
{
    struct api_talk *t = r->talk;
    const char *type = json_string_value(json_object_get(block, "type"));
    const json_t *text = json_object_get(block, "text");
    if (!type)
        return api_talk_refuse(t, "messages", "a content block has a type");
    if (strcmp(type, "text") == 0 && json_is_string(text)) {
        struct kt_chat_message *m = own_message(r);
        r->parts[m->n_parts++] = (struct kt_chat_part){ .kind = KT_CHAT_TEXT,
                                                        .text = json_string_value(text),
                                                        .text_len = json_string_length(text) };
        return true;
    }
    if (strcmp(type, "image") == 0) {
        struct kt_chat_message *m = own_message(r);
        return read_image(t, block, &r->parts[m->n_parts]) && ++m->n_parts;
    }
    if (strcmp(type, "tool_result") == 0)
        return read_tool_result(t, json_object_get(block, "content"));
    if (strcmp(type, "tool_use") == 0)
        return read_tool_use(r, block);
    if (strcmp(type, "thinking") == 0) {
        const json_t *thought = json_object_get(block, "thinking");
        struct kt_chat_message *m = own_message(r);
        m->reasoning = json_string_value(thought);
        m->reasoning_len = json_string_length(thought);
        return true;
    }
    if (strcmp(type, "redacted_thinking") == 0)
        return true;
    reply_error(t->call, 400, NULL, NULL, "messages", "content blocks of this type are not taken");
    return false;
}

static bool read_message(struct api_talk *t, const json_t *message, size_t index)
{
    const char *role = json_string_value(json_object_get(message, "role"));
    const json_t *content = json_object_get(message, "content");
    if (!role || (strcmp(role, "user") != 0 && strcmp(role, "assistant") != 0)) {
        reply_error(t->call, 400, NULL, NULL, "messages",
                    "messages.%zu.role: expected 'user' or 'assistant'", index);
        return false;
    }
    struct reading r = { .talk = t, .role = strcmp(role, "user") == 0 ? "user" : "assistant" };
    if (json_is_string(content)) {
        struct kt_chat_message *m = api_talk_message(t, r.role);
        m->text = json_string_value(content);
        m->text_len = json_string_length(content);
        return true;
    }
    size_t n = json_array_size(content);
    if (n == 0)
        return api_talk_refuse(t, "messages",
                               "a message's content is a string or an array of blocks");
    r.parts = arena_array(&t->arena, n, sizeof(*r.parts));
    r.calls = arena_array(&t->arena, n, sizeof(*r.calls));
    if (!r.parts || !r.calls)
        return api_talk_nomem(t);
    for (size_t i = 0; i < n; i++)
        if (!read_block(&r, json_array_get(content, i)))
            return false;
    return true;
}

/* Each tool in the form that the engine's layouts are made from. */
static bool read_tools(struct api_talk *t)
{
    json_t *tools = json_object_get(t->call->body, "tools"), *tool;
    const json_t *choice = json_object_get(t->call->body, "tool_choice");
    size_t i;
    t->one_call = json_is_true(json_object_get(choice, "disable_parallel_tool_use"));
    if (tools && !json_is_null(tools) && !json_is_array(tools))
        return api_talk_refuse(t, "tools", "'tools' takes an array");
    json_t *list = json_array();
    bool ok = true;
    json_array_foreach(tools, i, tool)
    {
        json_t *name = json_object_get(tool, "name"),
               *schema = json_object_get(tool, "input_schema"),
               *description = json_object_get(tool, "description"),
               *strict = json_object_get(tool, "strict");
        ok = ok && json_is_string(name) && json_is_object(schema);
        json_t *f = json_pack("{s:O?}", "name", name);
        if (description)
            json_object_set(f, "description", description);
        if (schema)
            json_object_set(f, "parameters", schema);
        if (strict)
            json_object_set(f, "strict", strict);
        json_array_append_new(list, json_pack("{s:s,s:o}", "type", "function", "function", f));
    }
    if (ok)
        return api_talk_tools(t, list);
    json_decref(list);
    return api_talk_refuse(t, "tools",
                           "a tool has a name and an input_schema; tools that the server itself "
                           "would run are not there");
}

/* {"type": "enabled", "budget_tokens": n}, {"type": "adaptive"}, which output_config.effort bounds, or disabled, as when nothing
 * is said. */
static bool read_thinking(struct api_talk *t)
{
    const json_t *v = json_object_get(t->call->body, "thinking");
    const json_t *effort =
        json_object_get(json_object_get(t->call->body, "output_config"), "effort");
    const json_t *budget = json_object_get(v, "budget_tokens");
    const json_t *n_max = json_object_get(t->call->body, "max_tokens");
    const char *type = json_string_value(json_object_get(v, "type"));
    if (effort && !json_is_null(effort) && !json_is_string(effort))
        return api_talk_refuse(t, "output_config.effort", "'effort' takes a string");
    if (!api_talk_effort(t, "output_config.effort", json_string_value(effort)))
        return false;
    t->opts.thinking = KT_THINK_OFF;
    if (!v || json_is_null(v) || (type && strcmp(type, "disabled") == 0))
        return true;
    if (!type || (strcmp(type, "enabled") != 0 && strcmp(type, "adaptive") != 0))
        return api_talk_refuse(t, "thinking.type",
                               "'thinking' is of type enabled, adaptive or disabled");
    t->opts.thinking = KT_THINK_ON;
    if (strcmp(type, "enabled") != 0)
        return true;
    json_int_t n = json_integer_value(budget);
    if (!json_is_integer(budget) || n < 1 || n > INT32_MAX ||
        (json_is_integer(n_max) && n >= json_integer_value(n_max)))
        return api_talk_refuse(
            t, "thinking.budget_tokens",
            "thinking.budget_tokens: a whole number from 1, less than max_tokens");
    t->n_think_max = n;
    return true;
}

/* How many messages of ours those are: the system text, each message, each tool's answer. */
static size_t count_messages(const json_t *messages)
{
    size_t n = 1 + json_array_size(messages);
    for (size_t i = 0; i < json_array_size(messages); i++)
        n += json_array_size(json_object_get(json_array_get(messages, i), "content"));
    return n;
}

bool api_talk_read_anthropic(struct api_talk *t, struct call *c)
{
    const json_t *messages = json_object_get(c->body, "messages");
    const char *system = NULL;
    size_t n = json_array_size(messages), system_len = 0;
    *t = (struct api_talk){ .call = c };
    if (n == 0 || n > MESSAGES_MAX) {
        reply_error(c, 400, NULL, NULL, "messages", "'messages' takes 1 to %d messages",
                    MESSAGES_MAX);
        return false;
    }
    if (!api_talk_begin(t, c, "messages", count_messages(messages)) ||
        !join_text(t, json_object_get(c->body, "system"), "system", &system, &system_len))
        return false;
    if (system_len) {
        struct kt_chat_message *m = api_talk_message(t, "system");
        m->text = system;
        m->text_len = system_len;
    }
    for (size_t i = 0; i < n; i++)
        if (!read_message(t, json_array_get(messages, i), i))
            return false;
    return read_tools(t) && read_thinking(t) && api_talk_build(t);
}
