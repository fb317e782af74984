/* api/responses_items.c: the items of a response, in and out, and the object around them. */
#include <stdio.h>
#include <string.h>

#include "api/responses.h"
#include "base/clock.h"

/* ---- out ------------------------------------------------------------------------------------- */

json_t *response_item_id(const struct response *r, const char *prefix)
{
    char id[KEPT_ID_MAX + 32];
    snprintf(id, sizeof(id), "%s_%s_%zu", prefix, r->id + strlen("resp_"),
             json_array_size(r->output));
    return json_string(id);
}

json_t *response_part(enum item kind, const char *text, size_t len, json_t *logprobs)
{
    if (kind == ITEM_MESSAGE)
        return json_pack("{s:s,s:o,s:[],s:o}", "type", "output_text", "text", text_json(text, len),
                         "annotations", "logprobs", logprobs ? logprobs : json_array());
    json_decref(logprobs);
    return json_pack("{s:s,s:o}", "type", "reasoning_text", "text", text_json(text, len));
}

json_t *response_item(const struct response *r, enum item kind, json_t *content, const char *status)
{
    return kind == ITEM_MESSAGE
               ? json_pack("{s:o,s:s,s:s,s:s,s:o}", "id", response_item_id(r, "msg"), "type",
                           "message", "status", status, "role", "assistant", "content", content)
               : json_pack("{s:o,s:s,s:[],s:o,s:s}", "id", response_item_id(r, "rs"), "type",
                           "reasoning", "summary", "content", content, "status", status);
}

json_t *response_call(const struct response *r, const char *name, const char *arguments,
                      const char *status)
{
    return json_pack("{s:o,s:s,s:o,s:s,s:s,s:s}", "id", response_item_id(r, "fc"), "type",
                     "function_call", "call_id", response_item_id(r, "call"), "name", name,
                     "arguments", arguments, "status", status);
}

const char *response_status(const struct response *r)
{
    return r->g.result.finish == KT_FINISH_LENGTH ? "incomplete" : "completed";
}

void response_collect(struct response *r, const struct kt_reply *reply)
{
    bool has_text = reply->text_len || !reply->n_calls;
    const char *status = response_status(r);
    if (reply->reasoning_len)
        json_array_append_new(
            r->output,
            response_item(r, ITEM_REASONING,
                          json_pack("[o]", response_part(ITEM_REASONING, reply->reasoning,
                                                         reply->reasoning_len, NULL)),
                          has_text || reply->n_calls ? "completed" : status));
    if (has_text) {
        json_t *logprobs = r->g.logprobs ? notes_take(&r->g.notes, r->g.n_written) : NULL;
        json_array_append_new(
            r->output, response_item(r, ITEM_MESSAGE,
                                     json_pack("[o]", response_part(ITEM_MESSAGE, reply->text,
                                                                    reply->text_len, logprobs)),
                                     reply->n_calls ? "completed" : status));
    }
    for (size_t i = 0; i < reply->n_calls; i++)
        json_array_append_new(r->output, response_call(r, reply->calls[i].name,
                                                       reply->calls[i].arguments, "completed"));
}

static json_t *usage_json(const struct response *r)
{
    const struct kt_generate_result *g = &r->g.result;
    return json_pack("{s:I,s:{s:I},s:I,s:{s:I},s:I}", "input_tokens", (json_int_t)g->tokens_prompt,
                     "input_tokens_details", "cached_tokens", (json_int_t)g->tokens_cached,
                     "output_tokens", (json_int_t)g->n_tokens, "output_tokens_details",
                     "reasoning_tokens", (json_int_t)r->g.notes.n_thought, "total_tokens",
                     (json_int_t)(g->tokens_prompt + g->n_tokens));
}

/* What the request said of 'key', or what it means not to say it; takes 'otherwise'. */
static void repeat(json_t *j, const json_t *body, const char *key, json_t *otherwise)
{
    json_t *said = json_object_get(body, key);
    bool is_said = said && !json_is_null(said);
    json_object_set_new(j, key, is_said ? json_incref(said) : json_incref(otherwise));
    json_decref(otherwise);
}

json_t *response_json(const struct response *r, const char *status, const char *error)
{
    const json_t *body = r->g.call->body;
    json_t *j =
        json_pack("{s:s,s:s,s:I,s:s,s:n,s:n,s:s,s:O,s:b,s:f,s:f,s:b,s:b,s:n,s:I}", "id", r->id,
                  "object", "response", "created_at", (json_int_t)r->created, "status", status,
                  "error", "incomplete_details", "model", r->g.call->chat_name, "output", r->output,
                  "parallel_tool_calls", (int)!r->talk.one_call, "temperature", r->g.temperature,
                  "top_p", r->g.top_p, "store", (int)r->store, "background", 0, "usage",
                  "top_logprobs", (json_int_t)r->g.n_top);
    repeat(j, body, "instructions", json_null());
    repeat(j, body, "max_output_tokens", json_null());
    repeat(j, body, "metadata", json_object());
    repeat(j, body, "previous_response_id", json_null());
    repeat(j, body, "reasoning", json_pack("{s:n,s:n}", "effort", "summary"));
    repeat(j, body, "text", json_pack("{s:{s:s}}", "format", "type", "text"));
    repeat(j, body, "tool_choice", json_string("auto"));
    repeat(j, body, "tools", json_array());
    json_object_set_new(j, "truncation", json_string("disabled"));
    if (strcmp(status, "incomplete") == 0)
        json_object_set_new(j, "incomplete_details",
                            json_pack("{s:s}", "reason", "max_output_tokens"));
    if (error)
        json_object_set_new(j, "error",
                            json_pack("{s:s,s:s}", "code", "server_error", "message", error));
    if (strcmp(status, "in_progress") == 0 || error)
        return j;
    json_object_set_new(j, "completed_at", json_integer((json_int_t)clock_unix_s()));
    json_object_set_new(j, "usage", usage_json(r));
    return j;
}

/* ---- in -------------------------------------------------------------------------------------- */

/* "text" as the one part of a message. */
static json_t *parts_of_text(json_t *text, const char *role)
{
    bool written = role && strcmp(role, "assistant") == 0;
    json_t *part =
        json_pack("{s:s,s:O}", "type", written ? "output_text" : "input_text", "text", text);
    if (written)
        json_object_set_new(part, "annotations", json_array());
    return json_pack("[o]", part);
}

/* An item as it is listed later: with a type, an id, and parts. What is no item stays as it is, to be refused. */
static json_t *item_in(const struct response *r, const json_t *item, size_t index)
{
    json_t *j = json_copy((json_t *)(uintptr_t)item);
    char id[KEPT_ID_MAX + 32];
    if (!json_is_object(j))
        return j;
    const char *type = json_string_value(json_object_get(j, "type"));
    const char *role = json_string_value(json_object_get(j, "role"));
    json_t *content = json_object_get(j, "content");
    if (!type && role)
        json_object_set_new(j, "type", json_string("message"));
    if (role && json_is_string(content))
        json_object_set_new(j, "content", parts_of_text(content, role));
    if (role && !json_object_get(j, "status"))
        json_object_set_new(j, "status", json_string("completed"));
    if (!json_is_string(json_object_get(j, "id"))) {
        snprintf(id, sizeof(id), "%s_%s_in%zu",
                 role                                     ? "msg"
                 : type && strcmp(type, "reasoning") == 0 ? "rs"
                                                          : "fc",
                 r->id + strlen("resp_"), index);
        json_object_set_new(j, "id", json_string(id));
    }
    return j;
}

bool response_read_input(struct response *r)
{
    struct call *c = r->g.call;
    const char *previous = NULL;
    json_t *input = json_object_get(c->body, "input"), *item;
    size_t i;
    if (!param_required(c, "input") || !param_string(c, "previous_response_id", &previous))
        return false;
    if (json_is_string(input)) {
        json_t *message = json_pack("{s:s,s:O}", "role", "user", "content", input);
        json_array_append_new(r->own, item_in(r, message, 0));
        json_decref(message);
    } else if (!json_is_array(input) || json_array_size(input) == 0) {
        reply_error(c, 400, NULL, "invalid_value", "input",
                    "'input' takes a string or 1 to %d items", MESSAGES_MAX);
        return false;
    }
    if (json_is_array(input))
        json_array_foreach(input, i, item) json_array_append_new(r->own, item_in(r, item, i));
    return (!previous || response_recall(c, previous, r->input)) &&
           json_array_extend(r->input, r->own) == 0;
}
