/* api/openai_answer.c: see openai_answer.h. What the two routes differ in is the envelope, and stands in the small functions
 * that make a choice. */
#include "api/openai_answer.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"

/* What both routes know. */
static const struct param COMMON[] = {
    { "model", PARAM_USED, NULL, NULL },
    { "stream", PARAM_USED, NULL, NULL },
    { "stream_options", PARAM_USED, NULL, NULL },
    { "max_tokens", PARAM_USED, NULL, NULL },
    { "temperature", PARAM_USED, NULL, NULL },
    { "top_p", PARAM_USED, NULL, NULL },
    { "top_k", PARAM_USED, NULL, NULL },
    { "min_p", PARAM_USED, NULL, NULL },
    { "presence_penalty", PARAM_USED, NULL, NULL },
    { "frequency_penalty", PARAM_USED, NULL, NULL },
    { "logit_bias", PARAM_USED, NULL, NULL },
    { "seed", PARAM_USED, NULL, NULL },
    { "stop", PARAM_USED, NULL, NULL },
    { "n", PARAM_USED, NULL, NULL },
    { "logprobs", PARAM_USED, NULL, NULL },
    { "response_format", PARAM_USED, NULL, NULL },
    { "user", PARAM_IGNORED, NULL, NULL },
};

/* ---- envelopes ------------------------------------------------------------------------------- */

static json_t *envelope(const struct answer *a, bool chunk, json_t *choices)
{
    const char *object = !a->is_chat ? "text_completion"
                         : chunk     ? "chat.completion.chunk"
                                     : "chat.completion";
    return json_pack("{s:s,s:s,s:I,s:s,s:o}", "id", a->id, "object", object, "created",
                     (json_int_t)a->created, "model", a->g.call->chat_name, "choices", choices);
}

/* Of the tokens whose text has gone out by now; takes them. */
static json_t *logprobs_json(struct answer *a)
{
    if (!a->g.logprobs)
        return json_null();
    return a->is_chat ? json_pack("{s:o,s:n}", "content", notes_take(&a->g.notes, a->g.n_written),
                                  "refusal")
                      : notes_take_plain(&a->g.notes, a->g.n_written);
}

/* Takes both. */
static json_t *chunk_choice(const struct answer *a, json_t *delta_or_text, json_t *logprobs,
                            const char *finish)
{
    return json_pack("[{s:I,s:o,s:o,s:s?}]", "index", (json_int_t)a->index,
                     a->is_chat ? "delta" : "text", delta_or_text, "logprobs", logprobs,
                     "finish_reason", finish);
}

static json_t *call_json(const struct answer *a, size_t index, const char *name,
                         const char *arguments)
{
    char id[64];
    snprintf(id, sizeof(id), "call_%s_%zu_%zu", http_id(a->g.call->rq), a->index, index);
    return json_pack("{s:s,s:s,s:{s:s,s:s}}", "id", id, "type", "function", "function", "name",
                     name, "arguments", arguments);
}

static json_t *message_json(const struct answer *a, const struct kt_reply *r)
{
    json_t *m = json_pack(
        "{s:s,s:o,s:n}", "role", "assistant", "content",
        r->n_calls && !r->text_len ? json_null() : text_json(r->text, r->text_len), "refusal");
    if (r->reasoning_len)
        json_object_set_new(m, "reasoning_content", text_json(r->reasoning, r->reasoning_len));
    json_t *calls = r->n_calls ? json_array() : NULL;
    for (size_t i = 0; i < r->n_calls; i++)
        json_array_append_new(calls, call_json(a, i, r->calls[i].name, r->calls[i].arguments));
    if (calls)
        json_object_set_new(m, "tool_calls", calls);
    return m;
}

static json_t *whole_choice(struct answer *a, const struct kt_reply *r, const char *finish)
{
    json_t *said = r ? message_json(a, r) : text_json(a->g.result.text, a->g.result.text_len);
    return json_pack("{s:I,s:o,s:o,s:s}", "index", (json_int_t)a->index, r ? "message" : "text",
                     said, "logprobs", logprobs_json(a), "finish_reason", finish);
}

static bool send_chunk(struct answer *a, json_t *choices)
{
    json_t *chunk = envelope(a, true, choices);
    if (a->with_usage)
        json_object_set_new(chunk, "usage", json_null());
    return event_send(a->g.call, NULL, chunk);
}

/* ---- while it is written --------------------------------------------------------------------- */

static bool on_begin(struct generation *g)
{
    struct answer *a = g->ctx;
    if (!a->stream)
        return true;
    if (a->index == 0)
        http_stream_begin(g->call->rq);
    return !a->is_chat ||
           send_chunk(a, chunk_choice(a, json_pack("{s:s,s:s}", "role", "assistant", "content", ""),
                                      json_null(), NULL));
}

static bool send_delta(struct answer *a, json_t *delta)
{
    return send_chunk(a, chunk_choice(a, delta, json_null(), NULL));
}

static bool on_said(void *ctx, const char *text, size_t len)
{
    struct answer *a = ctx;
    json_t *delta = json_pack("{s:o}", "content", text_json(text, len));
    return send_chunk(a, chunk_choice(a, delta, logprobs_json(a), NULL));
}

static bool on_thought(void *ctx, const char *text, size_t len)
{
    return send_delta(ctx, json_pack("{s:o}", "reasoning_content", text_json(text, len)));
}

static bool on_call(void *ctx, size_t index, const char *name, const char *arguments)
{
    struct answer *a = ctx;
    json_t *call = call_json(a, index, name, arguments);
    json_object_set_new(call, "index", json_integer((json_int_t)index));
    return send_delta(a, json_pack("{s:[o]}", "tool_calls", call));
}

static bool on_text(struct generation *g, const char *text, size_t len)
{
    struct answer *a = g->ctx;
    if (g->talk)
        return api_reply_push(&a->reply, text, len);
    return !a->stream ||
           send_chunk(a, chunk_choice(a, text_json(text, len), logprobs_json(a), NULL));
}

static void count(struct answer *a, bool same_prompt)
{
    const struct kt_generate_result *r = &a->g.result;
    if (!same_prompt) {
        a->n_prompt += r->tokens_prompt;
        a->n_cached += r->tokens_cached;
    }
    a->n_generated += r->n_tokens;
    a->n_thought += a->g.notes.n_thought;
}

static enum kt_status begin_reply(struct answer *a, struct kt_error *err)
{
    struct reply_sink sink = { on_thought, on_said, on_call, a };
    return a->g.talk ? api_reply_begin(&a->reply, a->g.talk, a->stream ? &sink : NULL, err) : KT_OK;
}

/* What was held back is given out, and the choice ends. False when nobody is there. */
static bool end_choice(struct answer *a, struct kt_error *err, enum kt_status *st)
{
    const struct kt_reply *r = NULL;
    *st = a->g.talk ? api_reply_finish(&a->reply, &r, err) : KT_OK;
    if (*st)
        return false;
    bool calls = r && r->n_calls && a->g.result.finish == KT_FINISH_STOP;
    const char *finish = calls ? "tool_calls" : kt_finish_name(a->g.result.finish);
    if (!a->stream)
        return json_array_append_new(a->choices, whole_choice(a, r, finish)) == 0;
    return send_chunk(
        a, chunk_choice(a, a->is_chat ? json_object() : json_string(""), json_null(), finish));
}

bool answer_run(struct answer *a)
{
    struct call *c = a->g.call;
    for (int64_t i = 0; i < a->n_choices; i++, a->index++) {
        struct kt_error err;
        enum kt_status st = begin_reply(a, &err);
        if (!st)
            st = generation_run(&a->g, (size_t)i, &err);
        if (!st && a->g.result.finish == KT_FINISH_CANCELLED)
            return false;
        if (!st) {
            count(a, i > 0);
            if (!end_choice(a, &err, &st) && !st)
                return false;
        }
        if (st && (!a->stream || (a->index == 0 && !a->g.begun))) {
            reply_kt_error(c, &err);
            return false;
        }
        if (st) {
            event_send(c, NULL,
                       error_json(STYLE_OPENAI, status_of(st), NULL, NULL, NULL, err.text,
                                  http_id(c->rq)));
            return false;
        }
    }
    return true;
}

static json_t *usage_json(const struct answer *a)
{
    return json_pack("{s:I,s:I,s:I,s:{s:I},s:{s:I}}", "prompt_tokens", (json_int_t)a->n_prompt,
                     "completion_tokens", (json_int_t)a->n_generated, "total_tokens",
                     (json_int_t)(a->n_prompt + a->n_generated), "prompt_tokens_details",
                     "cached_tokens", (json_int_t)a->n_cached, "completion_tokens_details",
                     "reasoning_tokens", (json_int_t)a->n_thought);
}

void answer_finish(struct answer *a)
{
    struct call *c = a->g.call;
    json_t *usage = usage_json(a);
    if (!a->stream) {
        json_t *whole = envelope(a, false, a->choices);
        a->choices = NULL;
        json_object_set_new(whole, "usage", usage);
        reply_json(c, 200, whole);
        return;
    }
    if (a->with_usage) {
        json_t *last = envelope(a, true, json_array());
        json_object_set_new(last, "usage", usage);
        event_send(c, NULL, last);
    } else {
        json_decref(usage);
    }
    static const char DONE[] = "data: [DONE]\n\n";
    (void)http_stream_write(c->rq, DONE, sizeof(DONE) - 1);
}

/* ---- what was asked for ---------------------------------------------------------------------- */

static bool read_stream(struct answer *a)
{
    struct call *c = a->g.call;
    json_t *o = json_object_get(c->body, "stream_options");
    if (!param_bool(c, "stream", &a->stream))
        return false;
    if (o && !json_is_null(o) && (!json_is_object(o) || !a->stream)) {
        reply_error(c, 400, NULL, "invalid_value", "stream_options",
                    "'stream_options' goes with \"stream\": true");
        return false;
    }
    a->with_usage = a->stream && json_is_true(json_object_get(o, "include_usage"));
    return true;
}

/* Chat says true and, apart, how many others; completions say how many. */
static bool read_logprobs(struct answer *a)
{
    struct call *c = a->g.call;
    if (!a->is_chat) {
        json_t *v = json_object_get(c->body, "logprobs");
        a->g.logprobs = v && !json_is_null(v) && !json_is_false(v);
        return !a->g.logprobs || param_int(c, "logprobs", 0, KT_TOP_MAX, &a->g.n_top);
    }
    if (!param_bool(c, "logprobs", &a->g.logprobs) ||
        !param_int(c, "top_logprobs", 0, KT_TOP_MAX, &a->g.n_top))
        return false;
    if (a->g.logprobs || a->g.n_top == 0)
        return true;
    reply_error(c, 400, NULL, "invalid_value", "top_logprobs",
                "'top_logprobs' goes with \"logprobs\": true");
    return false;
}

bool answer_read(struct answer *a, const char *prefix, const struct param *own, size_t n_own)
{
    struct call *c = a->g.call;
    int64_t n_max = 0;
    a->n_choices = 1;
    a->created = clock_unix_s();
    snprintf(a->id, sizeof(a->id), "%s-%s", prefix, http_id(c->rq));
    bool ok = params_check_both(c, COMMON, ARRAY_LEN(COMMON), own, n_own) && model_is_chat(c) &&
              generation_params(&a->g) && generation_stop(&a->g, "stop") && read_stream(a) &&
              read_logprobs(a) && param_int(c, "n", 1, CHOICES_MAX, &a->n_choices) &&
              param_int(c, "max_tokens", 1, INT32_MAX, &n_max) &&
              param_int(c, "max_completion_tokens", 1, INT32_MAX, &n_max);
    a->g.n_max = n_max;
    a->g.on_begin = on_begin;
    a->g.on_text = on_text;
    a->g.ctx = a;
    a->choices = a->stream ? NULL : json_array();
    return ok;
}

void answer_deinit(struct answer *a)
{
    json_decref(a->choices);
    api_reply_end(&a->reply);
    generation_deinit(&a->g);
}
