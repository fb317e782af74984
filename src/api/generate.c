/* api/generate.c: what the dialects have in common: which model is meant, parameters of sampling. */
#include <stdlib.h>
#include <string.h>

#include "api/api_priv.h"

bool caller_gone(void *call)
{
    return http_gone(((struct call *)call)->rq);
}

/* OpenAI's clients say "flex" for what may take longer. A conversation that ends with a tool's result comes from a program
 * that goes on by itself: whoever types goes before it. */
static enum serve_class class_of(const struct call *c)
{
    const char *tier = json_string_value(json_object_get(c->body, "service_tier"));
    return tier && strcmp(tier, "flex") == 0 ? SERVE_BACKGROUND : c->class;
}

struct visitor visitor_of(struct call *c)
{
    return (struct visitor){
        .user = c->who.user, .scope = c->matter, .class = class_of(c), .gone = caller_gone, .ctx = c
    };
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
    c->chat_path = m->path;
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

/* A token's id as an object's key: decimal digits without a leading zero. -1: it is none. */
static int64_t id_of_key(const char *key)
{
    int64_t id = 0;
    size_t n = strlen(key);
    if (n == 0 || n > 9 || (n > 1 && key[0] == '0'))
        return -1;
    for (size_t i = 0; i < n; i++) {
        if (key[i] < '0' || key[i] > '9')
            return -1;
        id = id * 10 + (key[i] - '0');
    }
    return id;
}

static bool refuse_bias(struct call *c, uint32_t n_vocab)
{
    reply_error(
        c, 400, NULL, "invalid_value", "logit_bias",
        "'logit_bias' takes an object of up to %d numbers from -100 to 100, by token ids from "
        "0 to %u",
        KT_BIASES_MAX, n_vocab - 1);
    return false;
}

/* After the model is known: ids are its. */
static bool read_biases(struct generation *g)
{
    struct call *c = g->call;
    json_t *v = json_object_get(c->body, "logit_bias"), *value;
    size_t n = json_object_size(v);
    const char *key;
    if (!v || json_is_null(v) || (json_is_object(v) && n == 0))
        return true;
    struct kt_engine_info info;
    kt_engine_info(desk_chat(c->desk), &info);
    if (!json_is_object(v) || n > KT_BIASES_MAX)
        return refuse_bias(c, info.n_vocab);
    g->biases = calloc(n, sizeof(*g->biases));
    if (!g->biases) {
        reply_error(c, 503, NULL, NULL, NULL, "out of memory");
        return false;
    }
    json_object_foreach(v, key, value)
    {
        int64_t id = id_of_key(key);
        double bias = json_number_value(value);
        if (id < 0 || id >= info.n_vocab || !json_is_number(value) ||
            !(bias >= -100 && bias <= 100))
            return refuse_bias(c, info.n_vocab);
        g->biases[g->n_biases++] = (struct kt_logit_bias){ .id = (int32_t)id, .bias = (float)bias };
    }
    return true;
}

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
              param_number(c, "frequency_penalty", -2, 2, &g->frequency) && read_biases(g) &&
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
