/* api/openai_chat.c: /v1/chat/completions and /v1/completions.
 *
 * Both are the same work: prompts to tokens, one answer a choice, whole or as events. What differs is the
 * envelope, and stands in the two small functions that make a chunk. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/api_priv.h"
#include "api/talk.h"
#include "base/clock.h"

#define NOT_YET "this server's output is not constrained yet"

static const struct param CHAT_PARAMS[] = {
    { "model", PARAM_USED, NULL, NULL },
    { "messages", PARAM_USED, NULL, NULL },
    { "stream", PARAM_USED, NULL, NULL },
    { "stream_options", PARAM_USED, NULL, NULL },
    { "max_tokens", PARAM_USED, NULL, NULL },
    { "max_completion_tokens", PARAM_USED, NULL, NULL },
    { "temperature", PARAM_USED, NULL, NULL },
    { "top_p", PARAM_USED, NULL, NULL },
    { "top_k", PARAM_USED, NULL, NULL },
    { "min_p", PARAM_USED, NULL, NULL },
    { "presence_penalty", PARAM_USED, NULL, NULL },
    { "seed", PARAM_USED, NULL, NULL },
    { "stop", PARAM_USED, NULL, NULL },
    { "n", PARAM_USED, NULL, NULL },
    { "user", PARAM_IGNORED, NULL, NULL },
    { "safety_identifier", PARAM_IGNORED, NULL, NULL },
    { "prompt_cache_key", PARAM_IGNORED, NULL, NULL },
    { "prompt_cache_retention", PARAM_IGNORED, NULL, NULL },
    { "metadata", PARAM_IGNORED, NULL, NULL },
    { "service_tier", PARAM_IGNORED, NULL, NULL },
    { "reasoning_effort", PARAM_USED, NULL, NULL },
    { "chat_template_kwargs", PARAM_USED, NULL, NULL },
    { "verbosity", PARAM_IGNORED, NULL, NULL },
    { "parallel_tool_calls", PARAM_ONLY, "true", "the model decides how many it calls" },
    { "store", PARAM_ONLY, "false", "nothing is stored" },
    { "frequency_penalty", PARAM_ONLY, "0", "only presence_penalty is" },
    { "logit_bias", PARAM_ONLY, "{}", "probabilities are not biased token by token" },
    { "logprobs", PARAM_ONLY, "false", "probabilities are not given out yet" },
    { "top_logprobs", PARAM_ONLY, "0", "probabilities are not given out yet" },
    { "response_format", PARAM_ONLY, "{\"type\":\"text\"}", NOT_YET },
    { "tools", PARAM_USED, NULL, NULL },
    { "tool_choice", PARAM_USED, NULL, NULL },
    { "functions", PARAM_ONLY, "[]", "use tools" },
    { "function_call", PARAM_ONLY, "\"none\"", "use tools" },
    { "modalities", PARAM_ONLY, "[\"text\"]", "only text is written" },
    { "audio", PARAM_ONLY, NULL, "only text is written" },
    { "prediction", PARAM_ONLY, NULL, "answers are not predicted" },
    { "web_search_options", PARAM_ONLY, NULL, "nothing here asks the network" },
};

static const struct param TEXT_PARAMS[] = {
    { "model", PARAM_USED, NULL, NULL },
    { "prompt", PARAM_USED, NULL, NULL },
    { "stream", PARAM_USED, NULL, NULL },
    { "stream_options", PARAM_USED, NULL, NULL },
    { "max_tokens", PARAM_USED, NULL, NULL },
    { "temperature", PARAM_USED, NULL, NULL },
    { "top_p", PARAM_USED, NULL, NULL },
    { "top_k", PARAM_USED, NULL, NULL },
    { "min_p", PARAM_USED, NULL, NULL },
    { "presence_penalty", PARAM_USED, NULL, NULL },
    { "seed", PARAM_USED, NULL, NULL },
    { "stop", PARAM_USED, NULL, NULL },
    { "n", PARAM_USED, NULL, NULL },
    { "user", PARAM_IGNORED, NULL, NULL },
    { "best_of", PARAM_ONLY, "1", "answers are not ranked" },
    { "echo", PARAM_ONLY, "false", "the prompt is not repeated" },
    { "suffix", PARAM_ONLY, "\"\"", "texts are continued at their end only" },
    { "frequency_penalty", PARAM_ONLY, "0", "only presence_penalty is" },
    { "logit_bias", PARAM_ONLY, "{}", "probabilities are not biased token by token" },
    { "logprobs", PARAM_ONLY, NULL, "probabilities are not given out yet" },
};

struct answer {
    struct generation g;
    struct api_talk *talk; /* NULL: a plain text is continued */
    struct api_reply reply;
    int32_t *ids; /* of a plain text */
    bool is_chat;
    bool stream, with_usage;
    int64_t n_choices; /* of each prompt */
    char id[48];
    int64_t created;
    size_t index; /* of the choice that is written */
    json_t *choices;
    size_t n_prompt, n_cached, n_generated;
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

static json_t *chunk_choice(const struct answer *a, json_t *delta_or_text, const char *finish)
{
    return json_pack("[{s:I,s:o,s:n,s:s?}]", "index", (json_int_t)a->index,
                     a->is_chat ? "delta" : "text", delta_or_text, "logprobs", "finish_reason",
                     finish);
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

static json_t *whole_choice(const struct answer *a, const struct kt_reply *r, const char *finish)
{
    json_t *said = r ? message_json(a, r) : text_json(a->g.result.text, a->g.result.text_len);
    return json_pack("{s:I,s:o,s:n,s:s}", "index", (json_int_t)a->index, r ? "message" : "text",
                     said, "logprobs", "finish_reason", finish);
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
                                      NULL));
}

static bool send_delta(struct answer *a, json_t *delta)
{
    return send_chunk(a, chunk_choice(a, delta, NULL));
}

static bool on_said(void *ctx, const char *text, size_t len)
{
    return send_delta(ctx, json_pack("{s:o}", "content", text_json(text, len)));
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
    if (a->talk)
        return api_reply_push(&a->reply, text, len);
    return !a->stream || send_chunk(a, chunk_choice(a, text_json(text, len), NULL));
}

static void count(struct answer *a, bool same_prompt)
{
    const struct kt_generate_result *r = &a->g.result;
    if (!same_prompt) {
        a->n_prompt += r->tokens_prompt;
        a->n_cached += r->tokens_cached;
    }
    a->n_generated += r->n_tokens;
}

static enum kt_status begin_reply(struct answer *a, struct kt_error *err)
{
    struct reply_sink sink = { on_thought, on_said, on_call, a };
    return a->talk ? api_reply_begin(&a->reply, a->talk, a->stream ? &sink : NULL, err) : KT_OK;
}

/* What was held back is given out, and the choice ends. False when nobody is there. */
static bool end_choice(struct answer *a, struct kt_error *err, enum kt_status *st)
{
    const struct kt_reply *r = NULL;
    *st = a->talk ? api_reply_finish(&a->reply, &r, err) : KT_OK;
    if (*st)
        return false;
    bool calls = r && r->n_calls && a->g.result.finish == KT_FINISH_STOP;
    const char *finish = calls ? "tool_calls" : kt_finish_name(a->g.result.finish);
    if (!a->stream)
        return json_array_append_new(a->choices, whole_choice(a, r, finish)) == 0;
    return send_chunk(a, chunk_choice(a, a->is_chat ? json_object() : json_string(""), finish));
}

/* The choices of one prompt. False when the answer is over: an error, or nobody there. */
static bool run_prompt(struct answer *a)
{
    struct call *c = a->g.call;
    for (int64_t i = 0; i < a->n_choices; i++, a->index++) {
        struct kt_error err;
        a->g.begun = false;
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

static void finish_answer(struct answer *a)
{
    struct call *c = a->g.call;
    json_t *usage = usage_json(a->n_prompt, a->n_cached, a->n_generated);
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

static bool answer_read(struct answer *a, const char *prefix)
{
    struct call *c = a->g.call;
    int64_t n_max = 0;
    a->n_choices = 1;
    a->created = clock_unix_s();
    snprintf(a->id, sizeof(a->id), "%s-%s", prefix, http_id(c->rq));
    bool ok = model_is_chat(c) && generation_params(&a->g) && generation_stop(&a->g, "stop") &&
              read_stream(a) && param_int(c, "n", 1, CHOICES_MAX, &a->n_choices) &&
              param_int(c, "max_tokens", 1, INT32_MAX, &n_max) &&
              param_int(c, "max_completion_tokens", 1, INT32_MAX, &n_max);
    a->g.n_max = n_max;
    a->g.on_begin = on_begin;
    a->g.on_text = on_text;
    a->g.ctx = a;
    a->choices = a->stream ? NULL : json_array();
    return ok;
}

static void answer_deinit(struct answer *a)
{
    json_decref(a->choices);
    api_reply_end(&a->reply);
    generation_deinit(&a->g);
    free(a->ids);
}

void handle_chat(struct call *c)
{
    struct api_talk talk = { 0 };
    struct answer a = { .g = { .call = c }, .is_chat = true, .talk = &talk };
    bool ok = params_check(c, CHAT_PARAMS, ARRAY_LEN(CHAT_PARAMS)) && answer_read(&a, "chatcmpl") &&
              param_required(c, "messages") && api_talk_read_openai(&talk, c);
    a.g.prompt = talk.prompt.ids;
    a.g.n_prompt = talk.prompt.n_ids;
    a.g.media = talk.prompt.media;
    a.g.n_media = talk.prompt.n_media;
    if (ok && run_prompt(&a))
        finish_answer(&a);
    answer_deinit(&a);
    api_talk_deinit(&talk);
}

/* ---- completions ----------------------------------------------------------------------------- */

static bool ids_of(struct answer *a, const json_t *prompt)
{
    struct call *c = a->g.call;
    struct kt_error err;
    free(a->ids);
    a->ids = NULL;
    a->g.prompt = NULL;
    a->g.n_prompt = 0;
    if (json_is_string(prompt)) {
        if (kt_tokenize(desk_chat(c->desk), json_string_value(prompt), json_string_length(prompt),
                        KT_TOKENS_PLAIN, &a->ids, &a->g.n_prompt, &err)) {
            reply_kt_error(c, &err);
            return false;
        }
    } else {
        struct kt_engine_info info;
        kt_engine_info(desk_chat(c->desk), &info);
        size_t n = json_array_size(prompt);
        a->ids = calloc(n + 1, sizeof(*a->ids));
        a->g.n_prompt = n;
        for (size_t i = 0; i < n && a->ids; i++) {
            json_t *id = json_array_get(prompt, i);
            if (!json_is_integer(id) || json_integer_value(id) < 0 ||
                json_integer_value(id) >= info.n_vocab) {
                reply_error(c, 400, NULL, "invalid_value", "prompt",
                            "token ids are whole numbers from 0 to %u", info.n_vocab - 1);
                return false;
            }
            a->ids[i] = (int32_t)json_integer_value(id);
        }
    }
    a->g.prompt = a->ids;
    if (a->ids && a->g.n_prompt)
        return true;
    reply_error(c, 400, NULL, "invalid_value", "prompt", "the prompt is empty");
    return false;
}

/* A string, strings, token ids, or lists of token ids: how many prompts, 0 when it is none of them. */
static size_t n_prompts(const json_t *prompt)
{
    if (json_is_string(prompt))
        return 1;
    size_t n = json_array_size(prompt);
    json_t *first = json_array_get(prompt, 0);
    if (json_is_integer(first))
        return 1;
    for (size_t i = 0; i < n; i++) {
        json_t *p = json_array_get(prompt, i);
        if (!(json_is_string(first) ? json_is_string(p) : json_is_array(p)))
            return 0;
    }
    return n <= CHOICES_MAX ? n : 0;
}

void handle_completions(struct call *c)
{
    struct answer a = { .g = { .call = c } };
    json_t *prompt = json_object_get(c->body, "prompt");
    bool ok = params_check(c, TEXT_PARAMS, ARRAY_LEN(TEXT_PARAMS)) && answer_read(&a, "cmpl") &&
              param_required(c, "prompt");
    if (ok && a.g.n_max == 0)
        a.g.n_max = 16; /* this endpoint's own default */
    size_t n = n_prompts(prompt);
    bool many = json_is_array(prompt) && !json_is_integer(json_array_get(prompt, 0));
    if (ok && n == 0) {
        reply_error(
            c, 400, NULL, "invalid_value", "prompt",
            "'prompt' takes a string, up to %d strings, token ids, or up to %d lists of them",
            CHOICES_MAX, CHOICES_MAX);
        ok = false;
    }
    /* all of them first: an answer that has begun cannot become a 400 */
    for (size_t i = 0; i < n && ok; i++)
        ok = ids_of(&a, many ? json_array_get(prompt, i) : prompt);
    for (size_t i = 0; i < n && ok; i++)
        ok = (n == 1 || ids_of(&a, json_array_get(prompt, i))) && run_prompt(&a);
    if (ok)
        finish_answer(&a);
    answer_deinit(&a);
}
