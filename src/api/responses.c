/* api/responses.c: /v1/responses: what is asked for, and the answer as a whole. */
#include "api/responses.h"
#include "api/shape.h"

#include <sodium.h>
#include <string.h>

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
    { "metadata", PARAM_USED, NULL, NULL },
    { "user", PARAM_IGNORED, NULL, NULL },
    { "safety_identifier", PARAM_IGNORED, NULL, NULL },
    { "prompt_cache_key", PARAM_IGNORED, NULL, NULL },
    { "prompt_cache_retention", PARAM_IGNORED, NULL, NULL },
    { "service_tier", PARAM_USED, NULL, NULL },
    { "stream_options", PARAM_IGNORED, NULL, NULL },
    { "include", PARAM_USED, NULL, NULL },
    { "text", PARAM_USED, NULL, NULL },
    { "truncation", PARAM_ONLY, "\"disabled\"", "conversations are not cut" },
    { "parallel_tool_calls", PARAM_USED, NULL, NULL },
    { "store", PARAM_USED, NULL, NULL },
    { "previous_response_id", PARAM_USED, NULL, NULL },
    { "conversation", PARAM_ONLY, NULL, "name the response before it: previous_response_id" },
    { "background", PARAM_ONLY, "false", "answers are waited for or streamed" },
    { "prompt", PARAM_ONLY, NULL, "prompts are not kept" },
    { "max_tool_calls", PARAM_IGNORED, NULL, NULL }, /* of tools that the server runs: none */
    { "top_logprobs", PARAM_USED, NULL, NULL },
    { "thinking_budget", PARAM_USED, NULL, NULL },
    { "prompt_cache_options", PARAM_IGNORED, NULL, NULL },
    { "moderation", PARAM_ONLY, NULL, "nothing is judged here" },
    { "context_management", PARAM_ONLY, NULL, "conversations are not cut" },
    { "background_options", PARAM_ONLY, NULL, "answers are waited for or streamed" },
    { "access_programs", PARAM_ONLY, NULL, "there are none here" },
    { "image", PARAM_ONLY, NULL, "images are not made" },
};

static bool read_metadata(struct call *c)
{
    json_t *m = json_object_get(c->body, "metadata"), *value;
    const char *key;
    bool ok = !m || json_is_null(m) || (json_is_object(m) && json_object_size(m) <= 16);
    json_object_foreach(m, key, value) ok =
        ok && strlen(key) <= 64 && json_is_string(value) && json_string_length(value) <= 512;
    if (!ok)
        reply_error(c, 400, NULL, "invalid_value", "metadata",
                    "'metadata' takes up to 16 strings of up to 512 bytes, by keys of up to 64");
    return ok;
}

/* What else a client may want to be given. Most are of tools that are not here, so that there is nothing to give. */
static bool read_include(struct response *r)
{
    static const char *const KNOWN[] = {
        "message.output_text.logprobs",
        "reasoning.encrypted_content",
        "message.input_image.image_url",
        "file_search_call.results",
        "web_search_call.results",
        "web_search_call.action.sources",
        "computer_call_output.output.image_url",
        "code_interpreter_call.outputs",
    };
    struct call *c = r->g.call;
    json_t *list = json_object_get(c->body, "include"), *word;
    size_t i;
    bool ok = !list || json_is_null(list) || json_is_array(list);
    json_array_foreach(list, i, word)
    {
        bool known = false;
        for (size_t k = 0; json_is_string(word) && k < ARRAY_LEN(KNOWN); k++)
            known = known || strcmp(json_string_value(word), KNOWN[k]) == 0;
        ok = ok && known;
        if (known && strcmp(json_string_value(word), KNOWN[0]) == 0)
            r->g.logprobs = true;
    }
    if (!ok)
        reply_error(c, 400, NULL, "invalid_value", "include",
                    "'include' takes an array of the dialect's words, such as "
                    "message.output_text.logprobs");
    return ok;
}

static bool read_params(struct response *r)
{
    struct call *c = r->g.call;
    bool ok = params_check(c, PARAMS, ARRAY_LEN(PARAMS)) && model_is_chat(c) &&
              generation_params(&r->g) &&
              param_int(c, "max_output_tokens", 1, INT32_MAX, &r->g.n_max) &&
              param_bool(c, "stream", &r->stream) && param_bool(c, "store", &r->store) &&
              read_include(r) && read_metadata(c) &&
              param_int(c, "top_logprobs", 0, KT_TOP_MAX, &r->g.n_top) && response_read_input(r);
    r->g.logprobs = r->g.logprobs || r->g.n_top;
    const json_t *text = param_object(c, "text");
    if (ok && text && !json_is_object(text)) {
        reply_error(c, 400, NULL, "invalid_type", "text", "'text' takes an object");
        return false;
    }
    return ok && api_talk_read_responses(&r->talk, c, r->input) &&
           shape_read(c, &r->talk, json_object_get(text, "format"), "text.format", &r->g.grammar);
}

static void begin(struct response *r, struct call *c)
{
    uint8_t random[16];
    *r = (struct response){ .g = { .call = c },
                            .store = true,
                            .created = clock_unix_s(),
                            .own = json_array(),
                            .input = json_array(),
                            .output = json_array() };
    randombytes_buf(random, sizeof(random));
    memcpy(r->id, "resp_", 5);
    sodium_bin2hex(r->id + 5, 2 * sizeof(random) + 1, random, sizeof(random));
}

static void deinit(struct response *r)
{
    json_decref(r->own);
    json_decref(r->input);
    json_decref(r->output);
    json_decref(r->logprobs);
    buf_deinit(&r->text);
    api_reply_end(&r->reply);
    generation_deinit(&r->g);
    api_talk_deinit(&r->talk);
}

/* ---- the answer ------------------------------------------------------------------------------ */

static void fail(struct response *r, const struct kt_error *err)
{
    if (r->g.begun && r->stream)
        response_send(r, "response.failed",
                      json_pack("{s:o}", "response", response_json(r, "failed", err->text)));
    else
        reply_kt_error(r->g.call, err);
}

static void finish(struct response *r, const struct kt_reply *reply)
{
    const char *status = response_status(r);
    struct kt_error err;
    if (r->stream && !response_close(r))
        return;
    if (!r->stream)
        response_collect(r, reply);
    json_t *whole = response_json(r, status, NULL);
    enum kt_status st = r->store ? response_keep(r, whole, &err) : KT_OK;
    if (st) {
        json_decref(whole);
        fail(r, &err);
    } else if (r->stream) {
        response_send(
            r, strcmp(status, "completed") == 0 ? "response.completed" : "response.incomplete",
            json_pack("{s:o}", "response", whole));
    } else {
        reply_json(r->g.call, 200, whole);
    }
}

static void run(struct response *r)
{
    struct kt_error err;
    struct reply_sink sink = response_sink;
    const struct kt_reply *reply = NULL;
    sink.ctx = r;
    enum kt_status st = api_reply_begin(&r->reply, &r->talk, r->stream ? &sink : NULL, &err);
    if (!st)
        st = generation_run(&r->g, 0, &err);
    if (!st && r->g.result.finish == KT_FINISH_CANCELLED)
        return;
    if (!st)
        st = api_reply_finish(&r->reply, &reply, &err);
    if (st)
        fail(r, &err);
    else
        finish(r, reply);
}

void handle_responses(struct call *c)
{
    struct response r;
    begin(&r, c);
    bool ok = read_params(&r);
    generation_from_talk(&r.g, &r.talk);
    r.g.on_begin = response_on_begin;
    r.g.on_text = response_on_text;
    r.g.ctx = &r;
    if (ok)
        run(&r);
    deinit(&r);
}

/* How many tokens the same request would have to read. */
void handle_responses_count(struct call *c)
{
    struct response r;
    begin(&r, c);
    if (read_params(&r))
        reply_json(c, 200,
                   json_pack("{s:s,s:I}", "object", "response.input_tokens", "input_tokens",
                             (json_int_t)r.talk.prompt.n_ids));
    deinit(&r);
}
