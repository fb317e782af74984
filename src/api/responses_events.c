/* api/responses_events.c: a response while it is written, in the order that the dialect's clients expect:
 *
 *   created, in_progress, { output_item.added, content_part.added, ...delta..., ...done, content_part.done, output_item.done },
 *   completed | incomplete | failed
 *
 * A call of a function has arguments in place of a content part. */
#include <stdio.h>
#include <string.h>

#include "api/responses.h"

/* Takes 'more', the event's own fields. */
bool response_send(struct response *r, const char *type, json_t *more)
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
    json_object_set_new(j, "item_id", response_item_id(r, r->open == ITEM_MESSAGE ? "msg" : "rs"));
    json_object_set_new(j, "content_index", json_integer(0));
    return j;
}

/* Takes 'value'; NULL: as it is. */
static json_t *with(json_t *j, const char *key, json_t *value)
{
    if (value)
        json_object_set_new(j, key, value);
    return j;
}

static bool open_item(struct response *r, enum item kind)
{
    r->open = kind;
    buf_clear(&r->text);
    json_decref(r->logprobs);
    r->logprobs = json_array();
    return response_send(
               r, "response.output_item.added",
               with(place(r), "item", response_item(r, kind, json_array(), "in_progress"))) &&
           response_send(r, "response.content_part.added",
                         with(place_in_item(r), "part", response_part(kind, "", 0, NULL)));
}

static bool close_item(struct response *r, const char *status)
{
    enum item kind = r->open;
    if (kind == ITEM_NONE)
        return true;
    const char *text = r->text.ptr ? r->text.ptr : "";
    bool said = kind == ITEM_MESSAGE;
    json_t *part = response_part(kind, text, r->text.len, json_incref(r->logprobs));
    json_t *item = response_item(r, kind, json_pack("[O]", part), status);
    bool ok =
        response_send(r, said ? "response.output_text.done" : "response.reasoning_text.done",
                      with(with(place_in_item(r), "text", text_json(text, r->text.len)), "logprobs",
                           said ? json_incref(r->logprobs) : NULL)) &&
        response_send(r, "response.content_part.done",
                      with(place_in_item(r), "part", json_incref(part))) &&
        response_send(r, "response.output_item.done", with(place(r), "item", json_incref(item)));
    json_decref(part);
    r->open = ITEM_NONE;
    return json_array_append_new(r->output, item) == 0 && ok;
}

static bool on_piece(struct response *r, enum item kind, const char *text, size_t len)
{
    bool said = kind == ITEM_MESSAGE;
    if (r->open != kind && (!close_item(r, "completed") || !open_item(r, kind)))
        return false;
    buf_append(&r->text, text, len);
    json_t *logprobs = !said           ? NULL
                       : r->g.logprobs ? notes_take(&r->g.notes, r->g.n_written)
                                       : json_array();
    if (logprobs)
        json_array_extend(r->logprobs, logprobs);
    return response_send(
        r, said ? "response.output_text.delta" : "response.reasoning_text.delta",
        with(with(place_in_item(r), "delta", text_json(text, len)), "logprobs", logprobs));
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
    if (!close_item(r, "completed"))
        return false;
    json_t *item = response_call(r, name, arguments, "completed");
    bool ok =
        response_send(r, "response.output_item.added",
                      with(place(r), "item", response_call(r, name, "", "in_progress"))) &&
        response_send(r, "response.function_call_arguments.delta",
                      with(with(place(r), "item_id", response_item_id(r, "fc")), "delta",
                           json_string(arguments))) &&
        response_send(r, "response.function_call_arguments.done",
                      with(with(with(place(r), "item_id", response_item_id(r, "fc")), "name",
                                json_string(name)),
                           "arguments", json_string(arguments))) &&
        response_send(r, "response.output_item.done", with(place(r), "item", json_incref(item)));
    return json_array_append_new(r->output, item) == 0 && ok;
}

const struct reply_sink response_sink = { on_thought, on_said, on_call, NULL };

bool response_on_begin(struct generation *g)
{
    struct response *r = g->ctx;
    if (!r->stream)
        return true;
    http_stream_begin(g->call->rq);
    return response_send(r, "response.created",
                         json_pack("{s:o}", "response", response_json(r, "in_progress", NULL))) &&
           response_send(r, "response.in_progress",
                         json_pack("{s:o}", "response", response_json(r, "in_progress", NULL)));
}

bool response_on_text(struct generation *g, const char *text, size_t len)
{
    struct response *r = g->ctx;
    return api_reply_push(&r->reply, text, len);
}

bool response_close(struct response *r)
{
    if (r->open == ITEM_NONE && json_array_size(r->output) == 0 && !open_item(r, ITEM_MESSAGE))
        return false;
    return close_item(r, response_status(r));
}
