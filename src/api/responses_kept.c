/* api/responses_kept.c: responses that are kept: found again, gone on from, listed, deleted; by their user and nobody else.
 *
 * Kept is {"response", "input": the items of its request, "previous"}. A conversation is a chain of them. */
#include <stdlib.h>
#include <string.h>

#include "api/responses.h"
#include "base/clock.h"

enum kt_status response_keep(const struct response *r, const json_t *whole, struct kt_error *err)
{
    const struct call *c = r->g.call;
    json_t *previous = json_object_get(c->body, "previous_response_id");
    json_t *j = json_pack("{s:O,s:O,s:O}", "response", whole, "input", r->own, "previous",
                          previous ? previous : json_null());
    char *text = j ? json_dumps(j, JSON_COMPACT) : NULL;
    json_decref(j);
    if (!text)
        return kt_fail(err, KT_E_NOMEM, "out of memory");
    enum kt_status st = kept_put(c->api->opts.kept, c->who.user, r->id, span_of(text), err);
    free(text);
    return st;
}

/* NULL after an answer, which names 'param'. */
static json_t *recall(struct call *c, const char *id, const char *param, size_t *bytes)
{
    struct kt_error err;
    char *text = NULL;
    size_t len = 0;
    enum kt_status st = strlen(id) < KEPT_ID_MAX
                            ? kept_get(c->api->opts.kept, c->who.user, id, &text, &len, &err)
                            : kt_fail(&err, KT_E_NOTFOUND, "there is no such response");
    json_t *j = st ? NULL : json_loadb(text, len, 0, NULL);
    free(text);
    *bytes = len;
    if (st == KT_E_NOTFOUND)
        reply_error(c, strcmp(param, "previous_response_id") == 0 ? 400 : 404, NULL,
                    strcmp(param, "previous_response_id") == 0 ? "previous_response_not_found"
                                                               : "not_found",
                    param,
                    "there is no such response of yours (they are kept for %d days, with "
                    "\"store\": true)",
                    KEPT_DAYS);
    else if (st)
        reply_kt_error(c, &err);
    else if (!j)
        reply_error(c, 503, NULL, NULL, NULL, "out of memory");
    return j;
}

/* The chain that ends with 'id', the last first; false after an answer. Takes nothing. */
static bool recall_chain(struct call *c, const char *id, const char *param, json_t *chain)
{
    size_t bytes, all = 0;
    while (id) {
        json_t *one = recall(c, id, param, &bytes);
        if (!one)
            return false;
        json_array_append_new(chain, one);
        all += bytes;
        if (all > BODY_CHAT || json_array_size(chain) > MESSAGES_MAX) {
            reply_error(c, 400, NULL, "context_length_exceeded", param,
                        "the conversation so far is longer than %d MiB", BODY_CHAT >> 20);
            return false;
        }
        id = json_string_value(json_object_get(one, "previous"));
    }
    return true;
}

bool response_recall(struct call *c, const char *id, json_t *items)
{
    json_t *chain = json_array();
    bool ok = recall_chain(c, id, "previous_response_id", chain);
    for (size_t i = json_array_size(chain); i-- > 0 && ok;) {
        json_t *one = json_array_get(chain, i);
        ok = json_array_extend(items, json_object_get(one, "input")) == 0 &&
             json_array_extend(items,
                               json_object_get(json_object_get(one, "response"), "output")) == 0;
    }
    json_decref(chain);
    return ok;
}

/* ---- handlers -------------------------------------------------------------------------------- */

void handle_response(struct call *c)
{
    size_t bytes;
    const char *stream = http_query(c->rq, "stream");
    if (stream && strcmp(stream, "false") != 0) {
        reply_error(c, 400, NULL, "unsupported_parameter", "stream",
                    "a response that is done is given whole; its events are not kept");
        return;
    }
    json_t *one = recall(c, http_param(c->rq, "response"), "response", &bytes);
    if (one)
        reply_json(c, 200, json_incref(json_object_get(one, "response")));
    json_decref(one);
}

void handle_response_remove(struct call *c)
{
    struct kt_error err;
    const char *id = http_param(c->rq, "response");
    enum kt_status st = strlen(id) < KEPT_ID_MAX
                            ? kept_remove(c->api->opts.kept, c->who.user, id, &err)
                            : kt_fail(&err, KT_E_NOTFOUND, "there is no such response");
    if (st)
        reply_kt_error(c, &err);
    else
        reply_json(c, 200,
                   json_pack("{s:s,s:s,s:b}", "id", id, "object", "response", "deleted", 1));
}

struct page {
    int64_t limit;
    bool oldest_first;
    const char *after;
};

static bool read_page(struct call *c, struct page *p)
{
    const char *limit = http_query(c->rq, "limit"), *order = http_query(c->rq, "order");
    char *end = NULL;
    *p = (struct page){ .limit = 20, .after = http_query(c->rq, "after") };
    if (limit)
        p->limit = strtol(limit, &end, 10);
    if (p->limit < 1 || p->limit > 100 || (end && (*end || end == limit))) {
        reply_error(c, 400, NULL, "invalid_value", "limit", "'limit' takes a number from 1 to 100");
        return false;
    }
    p->oldest_first = order && strcmp(order, "asc") == 0;
    if (!order || p->oldest_first || strcmp(order, "desc") == 0)
        return true;
    reply_error(c, 400, NULL, "invalid_value", "order", "'order' takes asc or desc");
    return false;
}

static const char *id_of(const json_t *item)
{
    const char *id = json_string_value(json_object_get(item, "id"));
    return id ? id : "";
}

static json_t *item_at(const struct page *p, const json_t *items, size_t i)
{
    return json_array_get(items, p->oldest_first ? i : json_array_size(items) - 1 - i);
}

static void reply_page(struct call *c, const struct page *p, const json_t *items)
{
    size_t n = json_array_size(items), at = 0;
    json_t *data = json_array();
    while (p->after && at < n && strcmp(id_of(item_at(p, items, at)), p->after) != 0)
        at++;
    if (p->after)
        at++;
    for (; at < n && json_array_size(data) < (size_t)p->limit; at++)
        json_array_append(data, item_at(p, items, at));
    size_t n_given = json_array_size(data);
    reply_json(c, 200,
               json_pack("{s:s,s:o,s:s?,s:s?,s:b}", "object", "list", "data", data, "first_id",
                         n_given ? id_of(json_array_get(data, 0)) : NULL, "last_id",
                         n_given ? id_of(json_array_get(data, n_given - 1)) : NULL, "has_more",
                         (int)(at < n)));
}

/* What the model read for this response: also what came before. */
void handle_response_input(struct call *c)
{
    struct page page;
    if (!read_page(c, &page))
        return;
    json_t *chain = json_array(), *items = json_array();
    bool ok = recall_chain(c, http_param(c->rq, "response"), "response", chain);
    for (size_t i = json_array_size(chain); i-- > 0 && ok;) {
        json_t *one = json_array_get(chain, i);
        json_array_extend(items, json_object_get(one, "input"));
        if (i > 0)
            json_array_extend(items, json_object_get(json_object_get(one, "response"), "output"));
    }
    if (ok)
        reply_page(c, &page, items);
    json_decref(items);
    json_decref(chain);
}

/* ---- users that are gone ----------------------------------------------------------------------- */

enum kt_status api_forget_users(struct kept *k, struct access *a, struct kt_error *err)
{
    struct access_user *list = NULL;
    size_t n = 0;
    enum kt_status st = access_user_list(a, &list, &n, err);
    int64_t *ids = st ? NULL : calloc(n + 1, sizeof(*ids));
    if (!st && !ids)
        st = kt_fail(err, KT_E_NOMEM, "out of memory");
    for (size_t i = 0; i < n && ids; i++)
        ids[i] = list[i].id;
    /* without users there is one: the account that runs the server, 0 */
    if (!st)
        st = kept_only_users(k, ids, n ? n : 1, err);
    free(ids);
    free(list);
    return st;
}
