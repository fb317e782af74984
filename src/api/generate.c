/* api/generate.c: what the dialects have in common: parameters of sampling, messages to tokens, one answer. */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "api/api_priv.h"

bool caller_gone(void *call)
{
    return http_gone(((struct call *)call)->rq);
}

struct visitor visitor_of(struct call *c)
{
    return (struct visitor){ .user = c->who.user,
                             .scope = c->matter,
                             .class = SERVE_INTERACTIVE,
                             .gone = caller_gone,
                             .ctx = c };
}

/* ---- models ---------------------------------------------------------------------------------- */

static bool is_name(const char *name, const char *asked)
{
    return name && strcmp(asked, name) == 0;
}

/* An answer to whoever asked for another model than one that can do this. */
static bool refuse_model(struct call *c, const char *asked, const char *what)
{
    const struct crew *w = c->crew;
    if (crew_chat_named(w, asked) || is_name(w->embed_name, asked) || is_name(w->rank_name, asked))
        reply_error(c, 400, NULL, "model_not_supported", "model", "this model does not %s", what);
    else
        reply_error(c, 404, NULL, "model_not_found", "model",
                    "there is no such model here; GET /v1/models lists those there are");
    return false;
}

bool model_is_chat(struct call *c)
{
    const char *asked = NULL;
    if (!param_required(c, "model") || !param_string(c, "model", &asked))
        return false;
    const struct crew_chat *m = crew_chat_named(c->crew, asked);
    if (!m)
        return refuse_model(c, asked, "write text");
    c->desk = m->desk;
    c->chat_name = m->name;
    return true;
}

bool model_is_embed(struct call *c)
{
    const char *asked = NULL;
    if (!param_required(c, "model") || !param_string(c, "model", &asked))
        return false;
    return is_name(c->crew->embed_name, asked) || refuse_model(c, asked, "make vectors");
}

/* ---- parameters ------------------------------------------------------------------------------ */

bool generation_params(struct generation *g)
{
    struct call *c = g->call;
    g->temperature = 1;
    g->top_p = 1;
    g->seed = -1;
    int64_t seed = -1;
    bool ok = param_number(c, "temperature", 0, 2, &g->temperature) &&
              param_number(c, "top_p", 0, 1, &g->top_p) &&
              param_number(c, "min_p", 0, 1, &g->min_p) &&
              param_int(c, "top_k", 0, 1 << 20, &g->top_k) &&
              param_number(c, "presence_penalty", -2, 2, &g->presence) &&
              param_int(c, "seed", INT64_MIN, INT64_MAX, &seed);
    if (ok && json_is_integer(json_object_get(c->body, "seed")))
        g->seed = seed & INT64_MAX;
    return ok;
}

bool generation_stop(struct generation *g, const char *name)
{
    struct call *c = g->call;
    json_t *v = json_object_get(c->body, name);
    if (!v || json_is_null(v))
        return true;
    size_t n = json_is_array(v) ? json_array_size(v) : 1;
    bool ok = n <= STOPS_MAX;
    for (size_t i = 0; i < n && ok; i++) {
        json_t *s = json_is_array(v) ? json_array_get(v, i) : v;
        ok = json_is_string(s) && json_string_length(s) > 0 && json_string_length(s) <= 1024 &&
             strlen(json_string_value(s)) == json_string_length(s);
        if (ok)
            g->stop[g->n_stop++] = json_string_value(s);
    }
    if (!ok)
        reply_error(c, 400, NULL, "invalid_value", name,
                    "'%s' takes up to %d strings of 1 to 1024 bytes", name, STOPS_MAX);
    return ok;
}

json_t *usage_json(size_t n_prompt, size_t n_cached, size_t n_generated)
{
    return json_pack("{s:I,s:I,s:I,s:{s:I}}", "prompt_tokens", (json_int_t)n_prompt,
                     "completion_tokens", (json_int_t)n_generated, "total_tokens",
                     (json_int_t)(n_prompt + n_generated), "prompt_tokens_details", "cached_tokens",
                     (json_int_t)n_cached);
}

/* ---- one answer ------------------------------------------------------------------------------ */

static bool begin(struct generation *g)
{
    if (g->begun)
        return true;
    g->begun = true;
    return !g->on_begin || g->on_begin(g);
}

static bool on_text(void *ctx, const char *text, size_t len)
{
    struct generation *g = ctx;
    return begin(g) && (!g->on_text || g->on_text(g, text, len));
}

static bool on_progress(void *ctx, size_t n_done, size_t n_total)
{
    (void)n_done, (void)n_total;
    return begin(ctx);
}

/* The result says that a stop string came, not which: the tokens still have it. */
static const char *which_stop(const struct generation *g)
{
    const struct kt_generate_result *r = &g->result;
    const char *found = NULL;
    char *text;
    size_t len;
    struct kt_error ignored;
    if (r->finish != KT_FINISH_STOP_STRING ||
        kt_detokenize(desk_chat(g->call->desk), r->tokens, r->n_tokens, &text, &len, &ignored))
        return NULL;
    for (size_t i = 0; i < g->n_stop && !found; i++)
        if (span_starts(span_sub((struct span){ text, len }, r->text_len, len),
                        span_of(g->stop[i])))
            found = g->stop[i];
    free(text);
    return found ? found : g->stop[0];
}

enum kt_status generation_run(struct generation *g, size_t index, struct kt_error *err)
{
    struct desk *d = g->call->desk;
    size_t n_ctx = desk_n_ctx(d);
    if (g->n_prompt >= n_ctx)
        return kt_fail(err, KT_E_LIMIT,
                       "the prompt has %zu tokens, a conversation here holds %zu with its answer; "
                       "shorten it, or "
                       "start the server with a larger --ctx",
                       g->n_prompt, n_ctx);
    uint64_t seed;
    randombytes_buf(&seed, sizeof(seed));
    if (g->seed >= 0)
        seed = (uint64_t)g->seed + index;
    struct kt_generate_request rq = {
        .prompt = g->prompt,
        .n_prompt = g->n_prompt,
        .media = g->media,
        .n_media = g->n_media,
        .n_max = g->n_max ? MIN((size_t)g->n_max, n_ctx - g->n_prompt) : 0,
        .sampling = { .temperature = (float)g->temperature,
                      .top_p = (float)g->top_p,
                      .min_p = (float)g->min_p,
                      .top_k = (uint32_t)g->top_k,
                      .presence_penalty = (float)g->presence,
                      .seed = seed },
        .stop = g->stop,
        .n_stop = g->n_stop,
        .on_text = on_text,
        .on_progress = on_progress,
        .callback_ctx = g,
    };
    kt_generate_result_deinit(&g->result);
    struct visitor v = visitor_of(g->call);
    enum kt_status st = desk_generate(d, &v, &rq, &g->result, NULL, err);
    g->stopped_by = st ? NULL : which_stop(g);
    return st;
}

void generation_deinit(struct generation *g)
{
    kt_generate_result_deinit(&g->result);
}
