/* api/anthropic.c: /v1/messages and its token count. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/api_priv.h"
#include "api/shape.h"
#include "api/talk.h"

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
    { "tools", PARAM_USED, NULL, NULL },
    { "tool_choice", PARAM_USED, NULL, NULL },
    { "thinking", PARAM_USED, NULL, NULL },
    { "output_config", PARAM_USED, NULL, NULL },
    { "output_format", PARAM_USED, NULL, NULL },
    { "container", PARAM_ONLY, NULL, "nothing is run" },
    { "inference_geo", PARAM_IGNORED, NULL, NULL },
    { "speed", PARAM_IGNORED, NULL, NULL },
    { "diagnostics", PARAM_IGNORED, NULL, NULL },
    { "user_profile_id", PARAM_IGNORED, NULL, NULL },
    { "workspace_id", PARAM_IGNORED, NULL, NULL },
    { "mcp_servers", PARAM_ONLY, "[]", "nothing here asks the network" },
};

enum block { BLOCK_NONE, BLOCK_THINKING, BLOCK_TEXT, BLOCK_CALL };

struct message {
    struct generation g;
    struct api_talk talk;
    struct api_reply reply;
    bool stream;
    char id[48];
    enum block open; /* of a stream: the block that is being written */
    size_t n_blocks;
};

static const char *stop_reason(const struct message *m, const struct kt_reply *r)
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
    return r->n_calls ? "tool_use" : "end_turn";
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
                     "assistant", "model", m->g.call->chat_name, "content", content, "stop_reason",
                     reason, "stop_sequence", m->g.stopped_by, "usage", use);
}

/* ---- whole ----------------------------------------------------------------------------------- */

static json_t *call_block(const struct message *m, size_t index, const char *name, json_t *input)
{
    char id[64];
    snprintf(id, sizeof(id), "toolu_%s_%zu", http_id(m->g.call->rq), index);
    return json_pack("{s:s,s:s,s:s,s:o}", "type", "tool_use", "id", id, "name", name, "input",
                     input);
}

static json_t *thinking_block(json_t *text)
{
    return json_pack("{s:s,s:o,s:s}", "type", "thinking", "thinking", text, "signature", "");
}

static json_t *content_json(const struct message *m, const struct kt_reply *r)
{
    json_t *content = json_array();
    if (r->reasoning_len)
        json_array_append_new(content, thinking_block(text_json(r->reasoning, r->reasoning_len)));
    if (r->text_len || !r->n_calls)
        json_array_append_new(content, json_pack("{s:s,s:o}", "type", "text", "text",
                                                 text_json(r->text, r->text_len)));
    for (size_t i = 0; i < r->n_calls; i++) {
        json_t *input = json_loads(r->calls[i].arguments, 0, NULL);
        json_array_append_new(content,
                              call_block(m, i, r->calls[i].name, input ? input : json_object()));
    }
    return content;
}

static void reply_whole(struct message *m, const struct kt_reply *reply)
{
    const struct kt_generate_result *r = &m->g.result;
    reply_json(m->g.call, 200,
               message_json(m, content_json(m, reply), stop_reason(m, reply),
                            usage(r->tokens_prompt, r->tokens_cached, r->n_tokens)));
}

/* ---- as events: one block after the other ------------------------------------------------------ */

static bool close_block(struct message *m)
{
    if (m->open == BLOCK_NONE)
        return true;
    m->open = BLOCK_NONE;
    return event_send(
        m->g.call, "content_block_stop",
        json_pack("{s:s,s:I}", "type", "content_block_stop", "index", (json_int_t)m->n_blocks++));
}

/* Takes 'block', what the block begins as. */
static bool open_block(struct message *m, enum block kind, json_t *block)
{
    if (!close_block(m)) {
        json_decref(block);
        return false;
    }
    m->open = kind;
    return event_send(m->g.call, "content_block_start",
                      json_pack("{s:s,s:I,s:o}", "type", "content_block_start", "index",
                                (json_int_t)m->n_blocks, "content_block", block));
}

static bool send_delta(struct message *m, json_t *delta)
{
    return event_send(m->g.call, "content_block_delta",
                      json_pack("{s:s,s:I,s:o}", "type", "content_block_delta", "index",
                                (json_int_t)m->n_blocks, "delta", delta));
}

static bool on_said(void *ctx, const char *text, size_t len)
{
    struct message *m = ctx;
    if (m->open != BLOCK_TEXT &&
        !open_block(m, BLOCK_TEXT, json_pack("{s:s,s:s}", "type", "text", "text", "")))
        return false;
    return send_delta(m,
                      json_pack("{s:s,s:o}", "type", "text_delta", "text", text_json(text, len)));
}

static bool on_thought(void *ctx, const char *text, size_t len)
{
    struct message *m = ctx;
    if (m->open != BLOCK_THINKING &&
        !open_block(m, BLOCK_THINKING, thinking_block(json_string(""))))
        return false;
    return send_delta(
        m, json_pack("{s:s,s:o}", "type", "thinking_delta", "thinking", text_json(text, len)));
}

static bool on_call(void *ctx, size_t index, const char *name, const char *arguments)
{
    struct message *m = ctx;
    return open_block(m, BLOCK_CALL, call_block(m, index, name, json_object())) &&
           send_delta(
               m, json_pack("{s:s,s:s}", "type", "input_json_delta", "partial_json", arguments)) &&
           close_block(m);
}

static bool on_begin(struct generation *g)
{
    struct message *m = g->ctx;
    struct call *c = g->call;
    if (!m->stream)
        return true;
    http_stream_begin(c->rq);
    return event_send(c, "message_start",
                      json_pack("{s:s,s:o}", "type", "message_start", "message",
                                message_json(m, json_array(), NULL, usage(g->n_prompt, 0, 0)))) &&
           event_send(c, "ping", json_pack("{s:s}", "type", "ping"));
}

static bool on_text(struct generation *g, const char *text, size_t len)
{
    struct message *m = g->ctx;
    return api_reply_push(&m->reply, text, len);
}

static void finish_stream(struct message *m, const struct kt_reply *reply)
{
    struct call *c = m->g.call;
    const struct kt_generate_result *r = &m->g.result;
    /* an answer of nothing is an empty text */
    if (m->n_blocks == 0 && m->open == BLOCK_NONE &&
        !open_block(m, BLOCK_TEXT, json_pack("{s:s,s:s}", "type", "text", "text", "")))
        return;
    (void)(close_block(m) &&
           event_send(c, "message_delta",
                      json_pack("{s:s,s:{s:s,s:s?},s:o}", "type", "message_delta", "delta",
                                "stop_reason", stop_reason(m, reply), "stop_sequence",
                                m->g.stopped_by, "usage",
                                usage(r->tokens_prompt, r->tokens_cached, r->n_tokens))) &&
           event_send(c, "message_stop", json_pack("{s:s}", "type", "message_stop")));
}

/* ---- handlers ---------------------------------------------------------------------------------- */

static void run(struct message *m)
{
    struct call *c = m->g.call;
    struct kt_error err;
    struct reply_sink sink = { on_thought, on_said, on_call, m };
    const struct kt_reply *reply = NULL;
    enum kt_status st = api_reply_begin(&m->reply, &m->talk, m->stream ? &sink : NULL, &err);
    if (!st)
        st = generation_run(&m->g, 0, &err);
    if (!st && m->g.result.finish == KT_FINISH_CANCELLED)
        return;
    if (!st)
        st = api_reply_finish(&m->reply, &reply, &err);
    if (st && m->g.begun && m->stream)
        event_send(
            c, "error",
            error_json(STYLE_ANTHROPIC, status_of(st), NULL, NULL, NULL, err.text, http_id(c->rq)));
    else if (st)
        reply_kt_error(c, &err);
    else if (m->stream)
        finish_stream(m, reply);
    else
        reply_whole(m, reply);
}

/* output_config.format, or, as earlier clients call it, output_format. */
static bool read_shape(struct message *m)
{
    struct call *c = m->g.call;
    const json_t *config = param_object(c, "output_config"),
                 *older = param_object(c, "output_format");
    const json_t *format = json_object_get(config, "format");
    format = json_is_null(format) ? NULL : format;
    if (config && !json_is_object(config)) {
        reply_error(c, 400, NULL, NULL, "output_config", "output_config: expected an object");
        return false;
    }
    return format ? shape_read(c, &m->talk, format, "output_config.format", &m->g.grammar)
                  : shape_read(c, &m->talk, older, "output_format", &m->g.grammar);
}

void handle_messages(struct call *c)
{
    struct message m = { .g = { .call = c } };
    snprintf(m.id, sizeof(m.id), "msg_%s", http_id(c->rq));
    bool ok = params_check(c, MESSAGE_PARAMS, ARRAY_LEN(MESSAGE_PARAMS)) && model_is_chat(c) &&
              param_required(c, "max_tokens") &&
              param_int(c, "max_tokens", 1, INT32_MAX, &m.g.n_max) && generation_params(&m.g) &&
              generation_stop(&m.g, "stop_sequences") && param_bool(c, "stream", &m.stream) &&
              param_required(c, "messages") && api_talk_read_anthropic(&m.talk, c) &&
              read_shape(&m);
    generation_from_talk(&m.g, &m.talk);
    m.g.on_begin = on_begin;
    m.g.on_text = on_text;
    m.g.ctx = &m;
    if (ok)
        run(&m);
    api_reply_end(&m.reply);
    generation_deinit(&m.g);
    api_talk_deinit(&m.talk);
}

/* Whatever a message could not say is refused here, too. */
void handle_count_tokens(struct call *c)
{
    struct message m = { .g = { .call = c } };
    bool ok = params_check(c, MESSAGE_PARAMS, ARRAY_LEN(MESSAGE_PARAMS)) && model_is_chat(c) &&
              param_required(c, "messages") && api_talk_read_anthropic(&m.talk, c) &&
              read_shape(&m);
    if (ok)
        reply_json(c, 200, json_pack("{s:I}", "input_tokens", (json_int_t)m.talk.prompt.n_ids));
    generation_deinit(&m.g);
    api_talk_deinit(&m.talk);
}
