/* api/responses.c: /v1/responses, without a memory of its own: nothing is stored, so nothing can be continued by its id.
 *
 * An answer is a list of items: what was thought, a message, calls of functions. As events, items are opened and closed one
 * after the other; each event has a number, and the last one repeats the whole. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/api_priv.h"
#include "api/talk.h"
#include "base/clock.h"

static const struct param PARAMS[] = {
    { "model", PARAM_USED, NULL, NULL },
    { "input", PARAM_USED, NULL, NULL },
    { "instructions", PARAM_USED, NULL, NULL },
    { "max_output_tokens", PARAM_USED, NULL, NULL },
    { "temperature", PARAM_USED, NULL, NULL },
    { "top_p", PARAM_USED, NULL, NULL },
    { "stream", PARAM_USED, NULL, NULL },
    { "tools", PARAM_USED, NULL, NULL },
    { "tool_choice", PARAM_USED, NULL, NULL },
    { "reasoning", PARAM_USED, NULL, NULL },
    { "metadata", PARAM_IGNORED, NULL, NULL },
    { "user", PARAM_IGNORED, NULL, NULL },
    { "safety_identifier", PARAM_IGNORED, NULL, NULL },
    { "prompt_cache_key", PARAM_IGNORED, NULL, NULL },
    { "prompt_cache_retention", PARAM_IGNORED, NULL, NULL },
    { "service_tier", PARAM_IGNORED, NULL, NULL },
    { "stream_options", PARAM_IGNORED, NULL, NULL },
    { "include", PARAM_ONLY, "[]", "nothing more is given out" },
    { "text", PARAM_ONLY, "{\"format\":{\"type\":\"text\"}}",
      "this server's output is not constrained yet" },
    { "truncation", PARAM_ONLY, "\"disabled\"", "conversations are not cut" },
    { "parallel_tool_calls", PARAM_USED, NULL, NULL },
    { "store", PARAM_ONLY, "false", "nothing is stored" },
    { "previous_response_id", PARAM_ONLY, NULL, "nothing is stored; send the whole conversation" },
    { "conversation", PARAM_ONLY, NULL, "nothing is stored; send the whole conversation" },
    { "background", PARAM_ONLY, "false", "nothing is stored" },
    { "prompt", PARAM_ONLY, NULL, "nothing is stored" },
    { "max_tool_calls", PARAM_ONLY, NULL, "the server runs no tools" },
    { "top_logprobs", PARAM_ONLY, "0", "probabilities are not given out yet" },
};

enum item { ITEM_NONE, ITEM_REASONING, ITEM_MESSAGE };

struct response {
    struct generation g;
    struct api_talk talk;
    struct api_reply reply;
    bool stream;
    int64_t created;
    enum item open;
    struct buf text; /* of the item that is open */
    json_t *output;  /* items that are complete */
    size_t n_events;
};

/* ---- items ----------------------------------------------------------------------------------- */

static json_t *id_json(const struct response *r, const char *prefix)
{
    char id[64];
    snprintf(id, sizeof(id), "%s_%s_%zu", prefix, http_id(r->g.call->rq),
             json_array_size(r->output));
    return json_string(id);
}

static json_t *part_json(enum item kind, const char *text, size_t len)
{
    return kind == ITEM_MESSAGE
               ? json_pack("{s:s,s:o,s:[]}", "type", "output_text", "text", text_json(text, len),
                           "annotations")
               : json_pack("{s:s,s:o}", "type", "reasoning_text", "text", text_json(text, len));
}

/* Takes 'content', an array. */
static json_t *item_json(const struct response *r, enum item kind, json_t *content,
                         const char *status)
{
    return kind == ITEM_MESSAGE
               ? json_pack("{s:o,s:s,s:s,s:s,s:o}", "id", id_json(r, "msg"), "type", "message",
                           "status", status, "role", "assistant", "content", content)
               : json_pack("{s:o,s:s,s:[],s:o}", "id", id_json(r, "rs"), "type", "reasoning",
                           "summary", "content", content);
}

static json_t *call_json(const struct response *r, const char *name, const char *arguments,
                         const char *status)
{
    return json_pack("{s:o,s:s,s:o,s:s,s:s,s:s}", "id", id_json(r, "fc"), "type", "function_call",
                     "call_id", id_json(r, "call"), "name", name, "arguments", arguments, "status",
                     status);
}

static json_t *response_json(const struct response *r, const char *status)
{
    const struct kt_generate_result *g = &r->g.result;
    const json_t *body = r->g.call->body;
    char id[48];
    snprintf(id, sizeof(id), "resp_%s", http_id(r->g.call->rq));
    json_t *j =
        json_pack("{s:s,s:s,s:I,s:s,s:n,s:n,s:s,s:O,s:b,s:s,s:f,s:f,s:b}", "id", id, "object",
                  "response", "created_at", (json_int_t)r->created, "status", status, "error",
                  "incomplete_details", "model", r->g.call->chat_name, "output", r->output,
                  "parallel_tool_calls", (int)!r->talk.one_call, "tool_choice", "auto",
                  "temperature", r->g.temperature, "top_p", r->g.top_p, "store", 0);
    json_t *tools = json_object_get(body, "tools");
    json_object_set_new(j, "tools", json_is_array(tools) ? json_incref(tools) : json_array());
    json_object_set_new(j, "instructions",
                        json_incref(json_object_get(body, "instructions")
                                        ? json_object_get(body, "instructions")
                                        : json_null()));
    json_object_set_new(j, "metadata", json_object());
    if (strcmp(status, "incomplete") == 0)
        json_object_set_new(j, "incomplete_details",
                            json_pack("{s:s}", "reason", "max_output_tokens"));
    if (strcmp(status, "in_progress") == 0)
        return j;
    json_object_set_new(j, "usage",
                        json_pack("{s:I,s:{s:I},s:I,s:{s:I},s:I}", "input_tokens",
                                  (json_int_t)g->tokens_prompt, "input_tokens_details",
                                  "cached_tokens", (json_int_t)g->tokens_cached, "output_tokens",
                                  (json_int_t)g->n_tokens, "output_tokens_details",
                                  "reasoning_tokens", (json_int_t)r->g.notes.n_thought,
                                  "total_tokens", (json_int_t)(g->tokens_prompt + g->n_tokens)));
    return j;
}

/* ---- events ---------------------------------------------------------------------------------- */

/* Takes 'more', the event's own fields. */
static bool send(struct response *r, const char *type, json_t *more)
{
    json_object_set_new(more, "type", json_string(type));
    json_object_set_new(more, "sequence_number", json_integer((json_int_t)r->n_events++));
    return event_send(r->g.call, type, more);
}

static json_t *place(const struct response *r)
{
    return json_pack("{s:I}", "output_index", (json_int_t)json_array_size(r->output));
}

static json_t *place_in_item(const struct response *r)
{
    json_t *j = place(r);
    json_object_set_new(j, "item_id", id_json(r, r->open == ITEM_MESSAGE ? "msg" : "rs"));
    json_object_set_new(j, "content_index", json_integer(0));
    return j;
}

static json_t *with(json_t *j, const char *key, json_t *value)
{
    json_object_set_new(j, key, value);
    return j;
}

static bool open_item(struct response *r, enum item kind)
{
    r->open = kind;
    buf_clear(&r->text);
    return send(r, "response.output_item.added",
                with(place(r), "item", item_json(r, kind, json_array(), "in_progress"))) &&
           send(r, "response.content_part.added",
                with(place_in_item(r), "part", part_json(kind, "", 0)));
}

static bool close_item(struct response *r)
{
    enum item kind = r->open;
    if (kind == ITEM_NONE)
        return true;
    const char *text = r->text.ptr ? r->text.ptr : "";
    json_t *part = part_json(kind, text, r->text.len);
    json_t *item = item_json(r, kind, json_pack("[O]", part), "completed");
    bool ok =
        send(r, kind == ITEM_MESSAGE ? "response.output_text.done" : "response.reasoning_text.done",
             with(with(place_in_item(r), "text", text_json(text, r->text.len)), "logprobs",
                  json_array())) &&
        send(r, "response.content_part.done", with(place_in_item(r), "part", json_incref(part))) &&
        send(r, "response.output_item.done", with(place(r), "item", json_incref(item)));
    json_decref(part);
    r->open = ITEM_NONE;
    return json_array_append_new(r->output, item) == 0 && ok;
}

static bool on_piece(struct response *r, enum item kind, const char *text, size_t len)
{
    if (r->open != kind && (!close_item(r) || !open_item(r, kind)))
        return false;
    buf_append(&r->text, text, len);
    return send(
        r, kind == ITEM_MESSAGE ? "response.output_text.delta" : "response.reasoning_text.delta",
        with(with(place_in_item(r), "delta", text_json(text, len)), "logprobs", json_array()));
}

static bool on_said(void *ctx, const char *text, size_t len)
{
    return on_piece(ctx, ITEM_MESSAGE, text, len);
}

static bool on_thought(void *ctx, const char *text, size_t len)
{
    return on_piece(ctx, ITEM_REASONING, text, len);
}

static bool on_call(void *ctx, size_t index, const char *name, const char *arguments)
{
    (void)index;
    struct response *r = ctx;
    if (!close_item(r))
        return false;
    json_t *item = call_json(r, name, arguments, "completed");
    bool ok =
        send(r, "response.output_item.added",
             with(place(r), "item", call_json(r, name, "", "in_progress"))) &&
        send(r, "response.function_call_arguments.delta",
             with(with(place(r), "item_id", id_json(r, "fc")), "delta", json_string(arguments))) &&
        send(r, "response.function_call_arguments.done",
             with(with(with(place(r), "item_id", id_json(r, "fc")), "name", json_string(name)),
                  "arguments", json_string(arguments))) &&
        send(r, "response.output_item.done", with(place(r), "item", json_incref(item)));
    return json_array_append_new(r->output, item) == 0 && ok;
}

static bool on_begin(struct generation *g)
{
    struct response *r = g->ctx;
    if (!r->stream)
        return true;
    http_stream_begin(g->call->rq);
    return send(r, "response.created",
                json_pack("{s:o}", "response", response_json(r, "in_progress"))) &&
           send(r, "response.in_progress",
                json_pack("{s:o}", "response", response_json(r, "in_progress")));
}

static bool on_text(struct generation *g, const char *text, size_t len)
{
    struct response *r = g->ctx;
    return api_reply_push(&r->reply, text, len);
}

/* ---- the whole ------------------------------------------------------------------------------- */

static void collect(struct response *r, const struct kt_reply *reply)
{
    if (reply->reasoning_len)
        json_array_append_new(r->output,
                              item_json(r, ITEM_REASONING,
                                        json_pack("[o]", part_json(ITEM_REASONING, reply->reasoning,
                                                                   reply->reasoning_len)),
                                        "completed"));
    if (reply->text_len || !reply->n_calls)
        json_array_append_new(
            r->output,
            item_json(r, ITEM_MESSAGE,
                      json_pack("[o]", part_json(ITEM_MESSAGE, reply->text, reply->text_len)),
                      "completed"));
    for (size_t i = 0; i < reply->n_calls; i++)
        json_array_append_new(
            r->output, call_json(r, reply->calls[i].name, reply->calls[i].arguments, "completed"));
}

static void finish(struct response *r, const struct kt_reply *reply)
{
    const char *status = r->g.result.finish == KT_FINISH_LENGTH ? "incomplete" : "completed";
    if (!r->stream) {
        collect(r, reply);
        reply_json(r->g.call, 200, response_json(r, status));
        return;
    }
    if (r->open == ITEM_NONE && json_array_size(r->output) == 0 && !open_item(r, ITEM_MESSAGE))
        return;
    char type[32];
    snprintf(type, sizeof(type), "response.%s", status);
    if (close_item(r))
        send(r, type, json_pack("{s:o}", "response", response_json(r, status)));
}

static void run(struct response *r)
{
    struct call *c = r->g.call;
    struct kt_error err;
    struct reply_sink sink = { on_thought, on_said, on_call, r };
    const struct kt_reply *reply = NULL;
    enum kt_status st = api_reply_begin(&r->reply, &r->talk, r->stream ? &sink : NULL, &err);
    if (!st)
        st = generation_run(&r->g, 0, &err);
    if (!st && r->g.result.finish == KT_FINISH_CANCELLED)
        return;
    if (!st)
        st = api_reply_finish(&r->reply, &reply, &err);
    if (st && r->g.begun && r->stream)
        send(r, "error", json_pack("{s:n,s:s,s:n}", "code", "message", err.text, "param"));
    else if (st)
        reply_kt_error(c, &err);
    else
        finish(r, reply);
}

void handle_responses(struct call *c)
{
    struct response r = { .g = { .call = c }, .created = clock_unix_s(), .output = json_array() };
    bool ok = params_check(c, PARAMS, ARRAY_LEN(PARAMS)) && model_is_chat(c) &&
              generation_params(&r.g) &&
              param_int(c, "max_output_tokens", 1, INT32_MAX, &r.g.n_max) &&
              param_bool(c, "stream", &r.stream) && param_required(c, "input") &&
              api_talk_read_responses(&r.talk, c);
    generation_from_talk(&r.g, &r.talk);
    r.g.on_begin = on_begin;
    r.g.on_text = on_text;
    r.g.ctx = &r;
    if (ok)
        run(&r);
    json_decref(r.output);
    buf_deinit(&r.text);
    api_reply_end(&r.reply);
    generation_deinit(&r.g);
    api_talk_deinit(&r.talk);
}
