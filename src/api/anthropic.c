/* api/anthropic.c: /v1/messages and its token count. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/api_priv.h"

static const struct param MESSAGE_PARAMS[] = {
    { "model", PARAM_USED, NULL, NULL },
    { "messages", PARAM_USED, NULL, NULL },
    { "system", PARAM_USED, NULL, NULL },
    { "max_tokens", PARAM_USED, NULL, NULL },
    { "stream", PARAM_USED, NULL, NULL },
    { "temperature", PARAM_USED, NULL, NULL },
    { "top_p", PARAM_USED, NULL, NULL },
    { "top_k", PARAM_USED, NULL, NULL },
    { "stop_sequences", PARAM_USED, NULL, NULL },
    { "metadata", PARAM_IGNORED, NULL, NULL },
    { "service_tier", PARAM_IGNORED, NULL, NULL },
    { "cache_control", PARAM_IGNORED, NULL, NULL },
    { "tools", PARAM_ONLY, "[]", "tools are not supported by this server yet" },
    { "tool_choice", PARAM_ONLY, "{\"type\":\"none\"}",
      "tools are not supported by this server yet" },
    { "thinking", PARAM_ONLY, "{\"type\":\"disabled\"}",
      "this server's models answer without thinking aloud" },
    { "output_config", PARAM_ONLY, NULL, "this server's output is not constrained yet" },
    { "output_format", PARAM_ONLY, NULL, "this server's output is not constrained yet" },
    { "container", PARAM_ONLY, NULL, "nothing is run" },
    { "mcp_servers", PARAM_ONLY, "[]", "nothing here asks the network" },
};

struct message {
    struct generation g;
    bool stream;
    char id[48];
};

/* The system text: a string or text blocks; *out heap, NULL for none. */
static bool read_system(struct call *c, char **out, size_t *len)
{
    json_t *v = json_object_get(c->body, "system"), *part;
    struct buf b = { 0 };
    size_t i;
    bool ok = !v || json_is_null(v) || json_is_string(v) || json_is_array(v);
    *out = NULL;
    *len = 0;
    if (json_is_string(v))
        buf_append(&b, json_string_value(v), json_string_length(v));
    json_array_foreach(v, i, part)
    {
        json_t *text = json_object_get(part, "text");
        ok = ok && json_is_string(text);
        if (b.len)
            buf_append_str(&b, "\n");
        buf_append(&b, json_string_value(text), json_string_length(text));
    }
    if (!ok)
        reply_error(c, 400, NULL, NULL, "system",
                    "'system' takes a string or an array of text blocks");
    if (ok && b.len) {
        *len = b.len;
        *out = buf_take(&b);
    }
    buf_deinit(&b);
    return ok;
}

/* Roles of this dialect: the system text has its own place. */
static bool check_roles(struct call *c, const json_t *messages)
{
    for (size_t i = 0; i < json_array_size(messages); i++) {
        const char *role = json_string_value(json_object_get(json_array_get(messages, i), "role"));
        if (!role || (strcmp(role, "user") != 0 && strcmp(role, "assistant") != 0)) {
            reply_error(c, 400, NULL, NULL, "messages",
                        "messages.%zu.role: expected 'user' or 'assistant'", i);
            return false;
        }
    }
    return true;
}

static bool read_prompt(struct call *c, int32_t **ids, size_t *n)
{
    char *system = NULL;
    size_t system_len = 0;
    json_t *messages = json_object_get(c->body, "messages");
    bool ok = param_required(c, "messages") && check_roles(c, messages) &&
              read_system(c, &system, &system_len) &&
              chat_prompt(c, messages, system, system_len, ids, n);
    free(system);
    return ok;
}

static const char *stop_reason(const struct message *m)
{
    switch (m->g.result.finish) {
    case KT_FINISH_LENGTH:
        return "max_tokens";
    case KT_FINISH_STOP_STRING:
        return "stop_sequence";
    case KT_FINISH_STOP:
    case KT_FINISH_CANCELLED:
        break;
    }
    return "end_turn";
}

/* In this dialect input_tokens are those that were not cached. */
static json_t *usage(size_t n_prompt, size_t n_cached, size_t n_generated)
{
    return json_pack("{s:I,s:I,s:I,s:I}", "input_tokens", (json_int_t)(n_prompt - n_cached),
                     "cache_creation_input_tokens", (json_int_t)0, "cache_read_input_tokens",
                     (json_int_t)n_cached, "output_tokens", (json_int_t)n_generated);
}

static json_t *message_json(const struct message *m, json_t *content, const char *reason,
                            json_t *use)
{
    return json_pack("{s:s,s:s,s:s,s:s,s:o,s:s?,s:s?,s:o}", "id", m->id, "type", "message", "role",
                     "assistant", "model", m->g.call->api->opts.chat_name, "content", content,
                     "stop_reason", reason, "stop_sequence", m->g.stopped_by, "usage", use);
}

static bool on_begin(struct generation *g)
{
    struct message *m = g->ctx;
    struct call *c = g->call;
    http_stream_begin(c->rq);
    return event_send(c, "message_start",
                      json_pack("{s:s,s:o}", "type", "message_start", "message",
                                message_json(m, json_array(), NULL, usage(g->n_prompt, 0, 0)))) &&
           event_send(c, "content_block_start",
                      json_pack("{s:s,s:i,s:{s:s,s:s}}", "type", "content_block_start", "index", 0,
                                "content_block", "type", "text", "text", "")) &&
           event_send(c, "ping", json_pack("{s:s}", "type", "ping"));
}

static bool on_text(struct generation *g, const char *text, size_t len)
{
    return event_send(g->call, "content_block_delta",
                      json_pack("{s:s,s:i,s:{s:s,s:o}}", "type", "content_block_delta", "index", 0,
                                "delta", "type", "text_delta", "text", text_json(text, len)));
}

static void finish_stream(struct message *m)
{
    struct call *c = m->g.call;
    const struct kt_generate_result *r = &m->g.result;
    (void)(event_send(c, "content_block_stop",
                      json_pack("{s:s,s:i}", "type", "content_block_stop", "index", 0)) &&
           event_send(c, "message_delta",
                      json_pack("{s:s,s:{s:s,s:s?},s:o}", "type", "message_delta", "delta",
                                "stop_reason", stop_reason(m), "stop_sequence", m->g.stopped_by,
                                "usage", usage(r->tokens_prompt, r->tokens_cached, r->n_tokens))) &&
           event_send(c, "message_stop", json_pack("{s:s}", "type", "message_stop")));
}

static void reply_whole(struct message *m)
{
    const struct kt_generate_result *r = &m->g.result;
    json_t *content =
        json_pack("[{s:s,s:o}]", "type", "text", "text", text_json(r->text, r->text_len));
    reply_json(m->g.call, 200,
               message_json(m, content, stop_reason(m),
                            usage(r->tokens_prompt, r->tokens_cached, r->n_tokens)));
}

static void run(struct message *m)
{
    struct call *c = m->g.call;
    struct kt_error err;
    enum kt_status st = generation_run(&m->g, 0, &err);
    if (st && m->g.begun && m->stream)
        event_send(
            c, "error",
            error_json(STYLE_ANTHROPIC, status_of(st), NULL, NULL, NULL, err.text, http_id(c->rq)));
    else if (st)
        reply_kt_error(c, &err);
    else if (m->g.result.finish == KT_FINISH_CANCELLED)
        return;
    else if (m->stream)
        finish_stream(m);
    else
        reply_whole(m);
}

void handle_messages(struct call *c)
{
    struct message m = { .g = { .call = c } };
    snprintf(m.id, sizeof(m.id), "msg_%s", http_id(c->rq));
    bool ok = params_check(c, MESSAGE_PARAMS, ARRAY_LEN(MESSAGE_PARAMS)) && model_is_chat(c) &&
              param_required(c, "max_tokens") &&
              param_int(c, "max_tokens", 1, INT32_MAX, &m.g.n_max) && generation_params(&m.g) &&
              generation_stop(&m.g, "stop_sequences") && param_bool(c, "stream", &m.stream) &&
              read_prompt(c, &m.g.prompt, &m.g.n_prompt);
    if (ok && m.stream) {
        m.g.on_begin = on_begin;
        m.g.on_text = on_text;
        m.g.ctx = &m;
    }
    if (ok)
        run(&m);
    generation_deinit(&m.g);
}

void handle_count_tokens(struct call *c)
{
    int32_t *ids = NULL;
    size_t n = 0;
    bool ok = params_check(c, MESSAGE_PARAMS, ARRAY_LEN(MESSAGE_PARAMS)) && model_is_chat(c) &&
              read_prompt(c, &ids, &n);
    free(ids);
    if (ok)
        reply_json(c, 200, json_pack("{s:I}", "input_tokens", (json_int_t)n));
}
