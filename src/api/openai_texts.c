/* api/openai_texts.c: models, embeddings, rerank, tokens. */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "api/api_priv.h"

/* ---- models ---------------------------------------------------------------------------------- */

static json_t *model_json(const struct api *a, const char *name, const struct kt_engine *e,
                          size_t n_ctx)
{
    struct kt_engine_info info;
    kt_engine_info(e, &info);
    return json_pack("{s:s,s:s,s:I,s:s,s:s,s:I,s:b}", "id", name, "object", "model", "created",
                     (json_int_t)a->started_unix, "owned_by", "local", "architecture", info.arch,
                     "context_length", (json_int_t)(n_ctx ? n_ctx : info.n_ctx_train), "sees",
                     (int)info.sees);
}

static json_t *model_list(const struct call *c)
{
    const struct crew *w = c->crew;
    json_t *list = json_array();
    for (size_t i = 0; i < w->n_chats; i++)
        json_array_append_new(list, model_json(c->api, w->chats[i].name, w->chats[i].engine,
                                               desk_n_ctx(w->chats[i].desk)));
    if (w->embed_name)
        json_array_append_new(list, model_json(c->api, w->embed_name, w->embed, 0));
    if (w->rank_name)
        json_array_append_new(list, model_json(c->api, w->rank_name, w->rank, 0));
    return list;
}

void handle_models(struct call *c)
{
    reply_json(c, 200, json_pack("{s:s,s:o}", "object", "list", "data", model_list(c)));
}

void handle_model(struct call *c)
{
    const char *name = http_param(c->rq, "model");
    json_t *list = model_list(c), *found = NULL, *m;
    size_t i;
    json_array_foreach(list, i, m)
    {
        if (strcmp(json_string_value(json_object_get(m, "id")), name) == 0)
            found = json_incref(m);
    }
    json_decref(list);
    if (found)
        reply_json(c, 200, found);
    else
        reply_error(c, 404, NULL, "model_not_found", "model",
                    "there is no such model here; GET /v1/models lists those there are");
}

/* ---- texts ----------------------------------------------------------------------------------- */

struct texts {
    const char **list;
    size_t n, n_tokens;
};

static bool push_text(struct call *c, struct texts *t, const char *param, const json_t *v,
                      const struct kt_engine *e)
{
    struct kt_error err;
    int32_t *ids;
    size_t n;
    if (!json_is_string(v) || strlen(json_string_value(v)) != json_string_length(v) ||
        json_string_length(v) == 0) {
        reply_error(c, 400, NULL, "invalid_value", param,
                    "'%s' takes texts that are not empty; token ids are not taken, they are "
                    "another model's",
                    param);
        return false;
    }
    if (kt_tokenize(e, json_string_value(v), json_string_length(v), KT_TOKENS_PLAIN, &ids, &n,
                    &err)) {
        reply_kt_error(c, &err);
        return false;
    }
    free(ids);
    t->list[t->n++] = json_string_value(v);
    t->n_tokens += n;
    return true;
}

/* A text or an array of texts (or of objects that have one). */
static bool read_texts(struct call *c, struct texts *t, const char *param,
                       const struct kt_engine *e)
{
    json_t *v = json_object_get(c->body, param);
    size_t n = json_is_array(v) ? json_array_size(v) : 1;
    bool is_list =
        json_is_array(v) || strcmp(param, "documents") != 0; /* of one there is no order */
    if (n == 0 || n > TEXTS_MAX || !is_list) {
        reply_error(c, 400, NULL, "invalid_value", param, "'%s' takes 1 to %d texts", param,
                    TEXTS_MAX);
        return false;
    }
    t->list = calloc(n, sizeof(*t->list));
    bool ok = t->list != NULL;
    if (!ok)
        reply_error(c, 503, NULL, NULL, NULL, "out of memory");
    for (size_t i = 0; i < n && ok; i++) {
        json_t *one = json_is_array(v) ? json_array_get(v, i) : v;
        json_t *text = json_is_object(one) ? json_object_get(one, "text") : one;
        ok = push_text(c, t, param, text, e);
    }
    return ok;
}

/* ---- embeddings ------------------------------------------------------------------------------ */

static const struct param EMBED_PARAMS[] = {
    { "model", PARAM_USED, NULL, NULL },           { "input", PARAM_USED, NULL, NULL },
    { "encoding_format", PARAM_USED, NULL, NULL }, { "dimensions", PARAM_USED, NULL, NULL },
    { "input_type", PARAM_USED, NULL, NULL },      { "user", PARAM_IGNORED, NULL, NULL },
};

struct embedding {
    struct call *call;
    struct texts texts;
    bool queries;
    size_t dim;
    float *vectors; /* [texts.n, dim] */
};

static enum kt_status embed(void *arg, struct kt_context *none, struct kt_error *err)
{
    (void)none;
    struct embedding *m = arg;
    struct kt_engine *e = desk_embed(m->call->desk);
    enum kt_status st = KT_OK;
    for (size_t i = 0; i < m->texts.n && !st; i += EMBED_BATCH) {
        size_t n = MIN((size_t)EMBED_BATCH, m->texts.n - i);
        float *out = m->vectors + i * m->dim;
        if (http_gone(m->call->rq))
            return kt_fail(err, KT_E_CANCELLED, "cancelled");
        st = m->queries ? kt_embed_queries(e, NULL, m->texts.list + i, n, out, err)
                        : kt_embed(e, m->texts.list + i, n, out, err);
    }
    return st;
}

static json_t *vector_json(const float *v, size_t n, bool base64)
{
    if (!base64) {
        json_t *a = json_array();
        for (size_t i = 0; i < n; i++)
            json_array_append_new(a, json_real((double)v[i]));
        return a;
    }
    size_t cap = sodium_base64_ENCODED_LEN(n * sizeof(float), sodium_base64_VARIANT_ORIGINAL);
    char *text = malloc(cap);
    if (!text)
        return NULL;
    sodium_bin2base64(text, cap, (const uint8_t *)v, n * sizeof(float),
                      sodium_base64_VARIANT_ORIGINAL);
    json_t *s = json_string(text);
    free(text);
    return s;
}

static void reply_vectors(struct call *c, const struct embedding *m, bool base64)
{
    json_t *data = json_array();
    for (size_t i = 0; i < m->texts.n; i++)
        json_array_append_new(
            data, json_pack("{s:s,s:I,s:o}", "object", "embedding", "index", (json_int_t)i,
                            "embedding", vector_json(m->vectors + i * m->dim, m->dim, base64)));
    reply_json(c, 200,
               json_pack("{s:s,s:o,s:s,s:{s:I,s:I}}", "object", "list", "data", data, "model",
                         c->crew->embed_name, "usage", "prompt_tokens",
                         (json_int_t)m->texts.n_tokens, "total_tokens",
                         (json_int_t)m->texts.n_tokens));
}

static bool one_of(struct call *c, const char *param, const char *value, const char *a,
                   const char *b)
{
    if (!value || strcmp(value, a) == 0 || strcmp(value, b) == 0)
        return true;
    reply_error(c, 400, NULL, "invalid_value", param, "'%s' takes \"%s\" or \"%s\"", param, a, b);
    return false;
}

void handle_embeddings(struct call *c)
{
    struct embedding m = { .call = c };
    const char *format = NULL, *type = NULL;
    int64_t dimensions = 0;
    bool ok = params_check(c, EMBED_PARAMS, ARRAY_LEN(EMBED_PARAMS)) && model_is_embed(c) &&
              param_required(c, "input") && param_string(c, "encoding_format", &format) &&
              one_of(c, "encoding_format", format, "float", "base64") &&
              param_string(c, "input_type", &type) &&
              one_of(c, "input_type", type, "document", "query") &&
              param_int(c, "dimensions", 1, 1 << 20, &dimensions);
    struct kt_engine_info info = { 0 };
    if (ok)
        kt_engine_info(desk_embed(c->desk), &info);
    m.dim = info.d_model;
    m.queries = type && strcmp(type, "query") == 0;
    if (ok && dimensions && dimensions != (int64_t)m.dim) {
        reply_error(c, 400, NULL, "unsupported_parameter", "dimensions",
                    "this model's vectors have %zu dimensions", m.dim);
        ok = false;
    }
    ok = ok && read_texts(c, &m.texts, "input", desk_embed(c->desk));
    if (ok) {
        struct kt_error err;
        struct visitor v = visitor_of(c);
        m.vectors = calloc(m.texts.n, m.dim * sizeof(float));
        enum kt_status st = m.vectors ? desk_with_embedder(c->desk, &v, embed, &m, &err)
                                      : kt_fail(&err, KT_E_NOMEM, "out of memory");
        if (st)
            reply_kt_error(c, &err);
        else
            reply_vectors(c, &m, format && strcmp(format, "base64") == 0);
    }
    free(m.vectors);
    free(m.texts.list);
}

/* ---- rerank ---------------------------------------------------------------------------------- */

static const struct param RERANK_PARAMS[] = {
    { "model", PARAM_USED, NULL, NULL },     { "query", PARAM_USED, NULL, NULL },
    { "documents", PARAM_USED, NULL, NULL }, { "top_n", PARAM_USED, NULL, NULL },
    { "user", PARAM_IGNORED, NULL, NULL },   { "return_documents", PARAM_USED, NULL, NULL },
};

struct ranking {
    struct call *call;
    struct kt_engine *engine;
    struct texts documents;
    const char *query;
    float *scores;
};

/* The ranking model, or the finding one, which ranks by its vectors; by name. NULL after an answer. */
static struct kt_engine *ranker_meant(struct call *c)
{
    const char *name = json_string_value(json_object_get(c->body, "model"));
    if (name && c->crew->rank_name && strcmp(name, c->crew->rank_name) == 0)
        return desk_rank(c->desk);
    return model_is_embed(c) ? desk_embed(c->desk) : NULL;
}

static enum kt_status rank(void *arg, struct kt_context *none, struct kt_error *err)
{
    (void)none;
    struct ranking *r = arg;
    enum kt_status st = KT_OK;
    for (size_t i = 0; i < r->documents.n && !st; i += EMBED_BATCH) {
        size_t n = MIN((size_t)EMBED_BATCH, r->documents.n - i);
        if (http_gone(r->call->rq))
            return kt_fail(err, KT_E_CANCELLED, "cancelled");
        st = kt_rerank(r->engine, r->query, r->documents.list + i, n, r->scores + i, err);
    }
    return st;
}

/* Best first; of equals the earlier one. */
static size_t take_best(const struct ranking *r, bool *taken)
{
    size_t best = SIZE_MAX;
    for (size_t i = 0; i < r->documents.n; i++)
        if (!taken[i] && (best == SIZE_MAX || r->scores[i] > r->scores[best]))
            best = i;
    taken[best] = true;
    return best;
}

static void reply_ranking(struct call *c, const struct ranking *r, size_t top_n, bool with_text)
{
    json_t *results = json_array();
    bool *taken = calloc(r->documents.n, sizeof(*taken));
    for (size_t k = 0; k < top_n && taken; k++) {
        size_t i = take_best(r, taken);
        json_t *one =
            json_pack("{s:I,s:f}", "index", (json_int_t)i, "relevance_score", (double)r->scores[i]);
        if (with_text)
            json_object_set_new(one, "document", json_pack("{s:s}", "text", r->documents.list[i]));
        json_array_append_new(results, one);
    }
    free(taken);
    reply_json(c, 200,
               json_pack("{s:O,s:o,s:{s:I}}", "model", json_object_get(c->body, "model"), "results",
                         results, "usage", "total_tokens", (json_int_t)r->documents.n_tokens));
}

void handle_rerank(struct call *c)
{
    struct ranking r = { .call = c };
    bool with_text = false;
    int64_t top_n = 0;
    bool ok = params_check(c, RERANK_PARAMS, ARRAY_LEN(RERANK_PARAMS)) &&
              (r.engine = ranker_meant(c)) && param_required(c, "query") &&
              param_string(c, "query", &r.query) && param_required(c, "documents") &&
              param_int(c, "top_n", 1, TEXTS_MAX, &top_n) &&
              param_bool(c, "return_documents", &with_text) &&
              read_texts(c, &r.documents, "documents", r.engine);
    if (ok) {
        struct kt_error err;
        struct visitor v = visitor_of(c);
        r.scores = calloc(r.documents.n, sizeof(*r.scores));
        enum kt_status st = r.scores ? desk_with_embedder(c->desk, &v, rank, &r, &err)
                                     : kt_fail(&err, KT_E_NOMEM, "out of memory");
        if (st)
            reply_kt_error(c, &err);
        else
            reply_ranking(c, &r, top_n ? MIN((size_t)top_n, r.documents.n) : r.documents.n,
                          with_text);
    }
    free(r.scores);
    free(r.documents.list);
}

/* ---- tokens ---------------------------------------------------------------------------------- */

/* The engine that is meant: the one named, or the one that writes. NULL after an answer. */
static struct kt_engine *engine_meant(struct call *c)
{
    const struct crew *w = c->crew;
    const char *name = NULL;
    if (!param_string(c, "model", &name))
        return NULL;
    const struct crew_chat *m = name ? crew_chat_named(w, name) : w->n_chats ? w->chats : NULL;
    if (m)
        return m->engine;
    if (w->embed_name && (!name || strcmp(name, w->embed_name) == 0))
        return w->embed;
    reply_error(c, 404, NULL, "model_not_found", "model",
                "there is no such model here; GET /v1/models lists those there are");
    return NULL;
}

void handle_tokenize(struct call *c)
{
    static const struct param PARAMS[] = {
        { "content", PARAM_USED, NULL, NULL },
        { "model", PARAM_USED, NULL, NULL },
        { "special", PARAM_USED, NULL, NULL },
    };
    bool special = false;
    if (!params_check(c, PARAMS, ARRAY_LEN(PARAMS)) || !param_required(c, "content") ||
        !param_bool(c, "special", &special))
        return;
    json_t *content = json_object_get(c->body, "content");
    if (!json_is_string(content)) {
        reply_error(c, 400, NULL, "invalid_type", "content", "'content' takes a string");
        return;
    }
    struct kt_engine *e = engine_meant(c);
    int32_t *ids;
    size_t n;
    struct kt_error err;
    if (!e)
        return;
    if (kt_tokenize(e, json_string_value(content), json_string_length(content),
                    special ? KT_TOKENS_SPECIAL : KT_TOKENS_PLAIN, &ids, &n, &err)) {
        reply_kt_error(c, &err);
        return;
    }
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(list, json_integer(ids[i]));
    free(ids);
    reply_json(c, 200, json_pack("{s:o,s:I}", "tokens", list, "count", (json_int_t)n));
}

void handle_detokenize(struct call *c)
{
    static const struct param PARAMS[] = { { "tokens", PARAM_USED, NULL, NULL },
                                           { "model", PARAM_USED, NULL, NULL } };
    if (!params_check(c, PARAMS, ARRAY_LEN(PARAMS)) || !param_required(c, "tokens"))
        return;
    json_t *list = json_object_get(c->body, "tokens");
    size_t n = json_array_size(list);
    struct kt_engine *e = engine_meant(c);
    if (!e)
        return;
    int32_t *ids = calloc(n + 1, sizeof(*ids));
    bool ok = ids && json_is_array(list);
    for (size_t i = 0; i < n && ok; i++) {
        json_t *id = json_array_get(list, i);
        ok = json_is_integer(id) && json_integer_value(id) >= 0 &&
             json_integer_value(id) <= INT32_MAX;
        ids[i] = ok ? (int32_t)json_integer_value(id) : 0;
    }
    char *text = NULL;
    size_t len;
    struct kt_error err;
    if (!ok)
        reply_error(c, 400, NULL, "invalid_value", "tokens",
                    "'tokens' takes an array of token ids");
    else if (kt_detokenize(e, ids, n, &text, &len, &err))
        reply_kt_error(c, &err);
    else
        reply_json(c, 200, json_pack("{s:o}", "content", text_json(text, len)));
    free(text);
    free(ids);
}
