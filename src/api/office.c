/* api/office.c: matters, search and ask. The caller's right to the matter was decided in
 * routes.c; what is opened here is c->matter and nothing else. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "api/api_priv.h"
#include "kontor/cache.h"
#include "base/log.h"
#include "kontor/office.h"

/* ---- matters that stay open ------------------------------------------------------------------ */

/* Opening one means deriving keys and, for the first search, loading its vectors; so the last ones stay open,
 * for reading. A handle serves one request at a time. */
enum kt_status matter_take(struct kt_matter **out, struct call *c, struct kt_error *err)
{
    struct matter_pool *p = &c->api->matters;
    *out = NULL;
    pthread_mutex_lock(&p->lock);
    for (size_t i = p->n_idle; i-- > 0 && !*out;) {
        if (strcmp(kt_matter_id(p->idle[i]), c->matter) != 0)
            continue;
        *out = p->idle[i];
        memmove(p->idle + i, p->idle + i + 1, (--p->n_idle - i) * sizeof(p->idle[0]));
    }
    c->pool_turn = p->turn;
    pthread_mutex_unlock(&p->lock);
    return *out ? KT_OK : kt_matter_open_id(out, c->api->opts.store, c->matter, KT_READ, err);
}

void matter_give(struct call *c, struct kt_matter *m)
{
    struct matter_pool *p = &c->api->matters;
    struct kt_matter *oldest = NULL;
    if (!m)
        return;
    pthread_mutex_lock(&p->lock);
    if (c->pool_turn != p->turn) { /* its matter may have changed or be gone: it is not kept */
        oldest = m;
    } else {
        if (p->n_idle == MATTER_HANDLES) {
            oldest = p->idle[0];
            memmove(p->idle, p->idle + 1, --p->n_idle * sizeof(p->idle[0]));
        }
        p->idle[p->n_idle++] = m;
    }
    pthread_mutex_unlock(&p->lock);
    kt_matter_close(oldest);
}

void matters_close(struct api *a, const char *id)
{
    struct matter_pool *p = &a->matters;
    size_t kept = 0;
    pthread_mutex_lock(&p->lock);
    p->turn++;
    for (size_t i = 0; i < p->n_idle; i++) {
        if (id && strcmp(kt_matter_id(p->idle[i]), id) != 0)
            p->idle[kept++] = p->idle[i];
        else
            kt_matter_close(p->idle[i]);
    }
    p->n_idle = kept;
    pthread_mutex_unlock(&p->lock);
}

enum { WRITE_LOOK_MS = 200 };

bool write_begin(struct call *c, struct kt_matter **out)
{
    struct kt_error err;
    struct timespec until;
    do {
        if (http_gone(c->rq)) {
            reply_error(c, 499, NULL, NULL, NULL, "cancelled");
            return false;
        }
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += WRITE_LOOK_MS * 1000000L;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
    } while (pthread_mutex_timedlock(&c->api->writer, &until) != 0);
    if (kt_matter_open_id(out, c->api->opts.store, c->matter, KT_WRITE, &err) == KT_OK)
        return true;
    pthread_mutex_unlock(&c->api->writer);
    reply_kt_error(c, &err);
    return false;
}

void write_end(struct call *c, struct kt_matter *m)
{
    kt_matter_close(m);
    matters_close(c->api, c->matter); /* opened before this: they would search what was */
    pthread_mutex_unlock(&c->api->writer);
}

/* ---- matters --------------------------------------------------------------------------------- */

static const char *right_name(enum access_right r)
{
    return r == ACCESS_WRITE ? "write" : r == ACCESS_READ ? "read" : "none";
}

/* Members see theirs; administrators see that there are others, too, to give rights to them. */
static json_t *matter_json(struct call *c, const struct kt_matter_info *m, enum access_right right)
{
    (void)c;
    json_t *j =
        json_pack("{s:s,s:s,s:s}", "id", m->id, "name", m->name, "right", right_name(right));
    if (right != ACCESS_NONE) {
        json_object_set_new(j, "documents", json_integer((json_int_t)m->n_documents));
        json_object_set_new(j, "chunks", json_integer((json_int_t)m->n_chunks));
        json_object_set_new(j, "bytes", json_integer((json_int_t)m->bytes));
    }
    return j;
}

void handle_matters(struct call *c)
{
    struct kt_matter_info *list = NULL;
    size_t n = 0;
    struct kt_error err;
    enum kt_status st = kt_matter_list(c->api->opts.store, &list, &n, &err);
    json_t *data = json_array();
    for (size_t i = 0; i < n && !st; i++) {
        enum access_right right;
        st = access_right(c->api->opts.access, &c->who, list[i].id, &right, &err);
        if (!st && (right != ACCESS_NONE || c->who.admin))
            json_array_append_new(data, matter_json(c, &list[i], right));
    }
    kt_matter_list_free(list, n);
    if (st) {
        json_decref(data);
        reply_kt_error(c, &err);
        return;
    }
    reply_json(c, 200, json_pack("{s:o}", "matters", data));
}

void handle_matter_create(struct call *c)
{
    static const struct param PARAMS[] = { { "name", PARAM_USED, NULL, NULL } };
    const char *name = NULL;
    char id[KT_MATTER_ID_LEN + 1];
    struct kt_error err;
    if (!params_check(c, PARAMS, ARRAY_LEN(PARAMS)) || !param_required(c, "name") ||
        !param_string(c, "name", &name))
        return;
    enum kt_status st = kt_matter_create(c->api->opts.store, name, &err);
    if (!st)
        st = kt_matter_find_id(c->api->opts.store, name, id, &err);
    if (!st && c->who.user)
        st = access_grant(c->api->opts.access, c->who.name, id, ACCESS_WRITE, &err);
    if (st)
        reply_kt_error(c, &err);
    else
        reply_json(c, 201, json_pack("{s:s,s:s,s:s}", "id", id, "name", name, "right", "write"));
}

void handle_matter_destroy(struct call *c)
{
    struct kt_matter *m;
    struct kt_error err;
    char *name = NULL;
    matters_close(c->api, c->matter);
    crew_forget(c->crew, c->matter); /* files are not written into a folder that goes */
    enum kt_status st = kt_matter_open_id(&m, c->api->opts.store, c->matter, KT_READ, &err);
    if (!st) {
        name = strdup(kt_matter_name(m));
        kt_matter_close(m);
        st = name ? kt_matter_destroy(c->api->opts.store, name, &err)
                  : kt_fail(&err, KT_E_NOMEM, "out of memory");
    }
    free(name);
    if (!st)
        st = access_forget_matter(c->api->opts.access, c->matter, &err);
    if (st) {
        reply_kt_error(c, &err);
        return;
    }
    crew_forget(c->crew, c->matter);
    log_event(LOG_WARN, "matter.destroyed", LOG_WORD("matter", c->matter),
              LOG_I64("user", c->who.user), LOG_END);
    reply_json(c, 200, json_pack("{s:s,s:b}", "id", c->matter, "destroyed", 1));
}

void handle_matter_rights(struct call *c)
{
    static const struct param PARAMS[] = { { "user", PARAM_USED, NULL, NULL },
                                           { "right", PARAM_USED, NULL, NULL } };
    static const char *const NAMES[] = { "none", "read", "write" };
    const char *user = NULL, *right = NULL, *id = http_param(c->rq, "matter");
    if (!params_check(c, PARAMS, ARRAY_LEN(PARAMS)) || !param_required(c, "user") ||
        !param_required(c, "right") || !param_string(c, "user", &user) ||
        !param_string(c, "right", &right))
        return;
    for (size_t i = 0; i < ARRAY_LEN(NAMES); i++) {
        if (strcmp(right, NAMES[i]) != 0)
            continue;
        struct kt_matter *m;
        struct kt_error err;
        enum kt_status st = kt_matter_open_id(&m, c->api->opts.store, id, KT_READ, &err);
        if (!st) {
            kt_matter_close(m);
            st = access_grant(c->api->opts.access, user, id, (enum access_right)i, &err);
        }
        if (st)
            reply_kt_error(c, &err);
        else
            reply_json(c, 200, json_pack("{s:s,s:s,s:s}", "id", id, "user", user, "right", right));
        return;
    }
    reply_error(c, 400, NULL, "invalid_value", "right",
                "'right' takes \"none\", \"read\" or \"write\"");
}

/* ---- search ---------------------------------------------------------------------------------- */

struct searching {
    struct call *call;
    struct kt_matter *matter;
    const char *query;
    struct kt_find_options options;
    struct kt_explanation explanation;
    struct kt_hit *hits;
    size_t n_hits;
};

static enum kt_status search(void *arg, struct kt_context *none, struct kt_error *err)
{
    (void)none;
    struct searching *s = arg;
    s->options.embedder = desk_embed(s->call->desk);
    return kt_office_find(s->matter, s->query, &s->options, &s->hits, &s->n_hits, err);
}

static json_t *place_json(json_t *j, const char *path, const char *title, const struct kt_place *p)
{
    json_object_set_new(j, "path", json_string(path));
    json_object_set_new(j, "title", title ? json_string(title) : json_null());
    json_object_set_new(j, "page", json_integer(p->page));
    json_object_set_new(j, "paragraph", json_integer(p->para));
    json_object_set_new(j, "box",
                        json_pack("[f,f,f,f]", (double)p->box[0], (double)p->box[1],
                                  (double)p->box[2], (double)p->box[3]));
    json_object_set_new(j, "start", json_integer((json_int_t)p->start));
    json_object_set_new(j, "end", json_integer((json_int_t)p->end));
    return j;
}

static json_t *hit_json(const struct kt_hit *h, const struct kt_explanation *x)
{
    json_t *marks = json_array();
    for (size_t i = 0; i < h->n_marks; i++)
        json_array_append_new(
            marks, json_pack("[I,I]", (json_int_t)h->marks[i].start, (json_int_t)h->marks[i].end));
    json_t *j = json_pack("{s:I,s:o,s:f,s:{s:i,s:i,s:f,s:f}}", "document", (json_int_t)h->doc_id,
                          "text", text_json(h->text, h->text_len), "score", h->score, "stages",
                          "lexical_rank", h->lexical_rank, "dense_rank", h->dense_rank,
                          "lexical_score", h->lexical_score, "dense_score", h->dense_score);
    json_object_set_new(j, "marks", marks);
    json_t *terms = x && h->term_scores ? json_object() : NULL;
    for (size_t i = 0; terms && i < x->n_terms; i++)
        if (h->term_scores[i] > 0)
            json_object_set_new(terms, x->terms[i].text, json_real(h->term_scores[i]));
    if (terms)
        json_object_set_new(json_object_get(j, "stages"), "terms", terms);
    return place_json(j, h->path, h->title, &h->place);
}

static json_t *explanation_json(const struct kt_explanation *x)
{
    json_t *terms = json_array();
    for (size_t i = 0; i < x->n_terms; i++)
        json_array_append_new(terms,
                              json_pack("{s:o,s:s,s:I,s:f}", "term",
                                        text_json(x->terms[i].text, strlen(x->terms[i].text)),
                                        "kind", x->terms[i].kind, "chunks",
                                        (json_int_t)x->terms[i].n_chunks, "idf", x->terms[i].idf));
    return json_pack("{s:o,s:o,s:I,s:I,s:b,s:f,s:f,s:f,s:f}", "terms", terms, "filters",
                     text_json(x->filters, strlen(x->filters)), "documents_let_through",
                     (json_int_t)x->n_let_through, "chunks_scored", (json_int_t)x->n_scored,
                     "exact", (int)x->exact, "lexical_weight", x->lexical_share, "dense_weight",
                     x->dense_share, "best_lexical", x->best_lexical, "best_dense", x->best_dense);
}

static bool read_mode(struct call *c, enum kt_search_mode *out)
{
    static const char *const NAMES[] = {
        [KT_SEARCH_HYBRID] = "hybrid", [KT_SEARCH_LEXICAL] = "lexical", [KT_SEARCH_DENSE] = "dense"
    };
    const char *name = NULL;
    if (!param_string(c, "mode", &name))
        return false;
    *out = desk_embed(c->desk) ? KT_SEARCH_HYBRID : KT_SEARCH_LEXICAL;
    for (size_t i = 0; name && i < ARRAY_LEN(NAMES); i++) {
        if (strcmp(name, NAMES[i]) == 0) {
            *out = (enum kt_search_mode)i;
            return true;
        }
    }
    if (name)
        reply_error(c, 400, NULL, "invalid_value", "mode",
                    "'mode' takes \"hybrid\", \"lexical\" or \"dense\"");
    return !name;
}

void handle_search(struct call *c)
{
    static const struct param PARAMS[] = {
        { "query", PARAM_USED, NULL, NULL },  { "k", PARAM_USED, NULL, NULL },
        { "mode", PARAM_USED, NULL, NULL },   { "type", PARAM_USED, NULL, NULL },
        { "from", PARAM_USED, NULL, NULL },   { "path", PARAM_USED, NULL, NULL },
        { "since", PARAM_USED, NULL, NULL },  { "until", PARAM_USED, NULL, NULL },
        { "explain", PARAM_USED, NULL, NULL }
    };
    struct searching s = { .call = c };
    struct kt_search_filter *f = &s.options.filter;
    bool explain = false;
    int64_t k = 10;
    if (!params_check(c, PARAMS, ARRAY_LEN(PARAMS)) || !param_required(c, "query") ||
        !param_string(c, "query", &s.query) || !param_int(c, "k", 1, 100, &k) ||
        !param_string(c, "type", &f->type) || !param_string(c, "from", &f->sender) ||
        !param_string(c, "path", &f->path) || !param_string(c, "since", &f->since) ||
        !param_string(c, "until", &f->until) || !param_bool(c, "explain", &explain) ||
        !read_mode(c, &s.options.mode))
        return;
    s.options.k = (size_t)k;
    s.options.explain = explain ? &s.explanation : NULL;
    struct kt_error err;
    struct visitor v = visitor_of(c);
    enum kt_status st = matter_take(&s.matter, c, &err);
    if (!st && s.options.mode == KT_SEARCH_LEXICAL)
        st = search(&s, NULL, &err);
    else if (!st)
        st = desk_with_embedder(c->desk, &v, search, &s, &err);
    matter_give(c, s.matter);
    if (st) {
        reply_kt_error(c, &err);
    } else {
        json_t *hits = json_array();
        for (size_t i = 0; i < s.n_hits; i++)
            json_array_append_new(hits, hit_json(&s.hits[i], s.options.explain));
        json_t *all = json_pack("{s:o}", "hits", hits);
        if (explain)
            json_object_set_new(all, "explain", explanation_json(&s.explanation));
        reply_json(c, 200, all);
    }
    kt_hits_free(s.hits, s.n_hits);
    kt_explanation_deinit(&s.explanation);
}

/* ---- ask ------------------------------------------------------------------------------------- */

struct asking {
    struct call *call;
    struct kt_matter *matter;
    const char *question;
    size_t n_passages;
    uint64_t seed;
    bool stream;
    size_t n_streamed;
    struct kt_answer answer;
};

static bool ask_text(void *ctx, const char *text, size_t len)
{
    struct asking *a = ctx;
    if (http_gone(a->call->rq))
        return false;
    a->n_streamed += len;
    return !a->stream ||
           event_send(a->call, "text", json_pack("{s:o}", "text", text_json(text, len)));
}

static enum kt_status ask(void *arg, struct kt_context *context, struct kt_error *err)
{
    struct asking *a = arg;
    struct desk *d = a->call->desk;
    struct kt_ask_options o = { .embedder = desk_embed(d),
                                .chat = context,
                                .chat_engine = desk_chat(d),
                                .n_passages = a->n_passages,
                                .n_ctx = context ? desk_n_ctx(d) : 0,
                                .seed = a->seed,
                                .on_text = ask_text,
                                .ctx = a };
    if (a->stream)
        http_stream_begin(a->call->rq);
    return kt_office_ask(a->matter, a->question, &o, &a->answer, err);
}

static json_t *citation_json(const struct kt_citation *k)
{
    struct kt_place p = {
        k->start, k->end, k->page, k->para, { k->box[0], k->box[1], k->box[2], k->box[3] }
    };
    return place_json(json_pack("{s:o}", "quote", text_json(k->quote, strlen(k->quote))), k->path,
                      k->title, &p);
}

static json_t *number_or_null(double x)
{
    return isnan(x) ? json_null() : json_real(x);
}

static json_t *answer_json(const struct kt_answer *a)
{
    json_t *list = json_array();
    for (size_t i = 0; i < a->n_citations; i++)
        json_array_append_new(list, citation_json(&a->citations[i]));
    json_t *all =
        json_pack("{s:o,s:b,s:I,s:o,s:{s:o,s:o,s:o},s:s,s:s}", "answer",
                  text_json(a->text, strlen(a->text)), "supported", (int)a->supported, "passages",
                  (json_int_t)a->n_passages, "citations", list, "support", "score",
                  number_or_null(a->support_score), "coverage", number_or_null(a->coverage),
                  "cosine", number_or_null(a->cosine), "route", kt_route_name(a->route),
                  "route_reason", a->route_reason);
    if (a->route == KT_ROUTE_COUNT || a->route == KT_ROUTE_LIST)
        json_object_set_new(all, "found", json_integer((json_int_t)a->n_found));
    return all;
}

/* Where the matter keeps what the model made of its texts. */
struct side {
    char *dir;
    uint8_t key[KT_CACHE_KEY_BYTES];
};

static enum kt_status side_open(struct side *s, struct call *c, struct visitor *v,
                                struct kt_error *err)
{
    enum kt_status st =
        kt_matter_side(c->api->opts.store, c->matter, KT_CACHE_PURPOSE, &s->dir, s->key, err);
    if (st)
        return st;
    v->keep_dir = s->dir;
    v->keep_key = s->key;
    return KT_OK;
}

static void side_close(struct side *s)
{
    explicit_bzero(s->key, sizeof(s->key));
    free(s->dir);
}

void handle_ask(struct call *c)
{
    static const struct param PARAMS[] = {
        { "question", PARAM_USED, NULL, NULL },
        { "passages", PARAM_USED, NULL, NULL },
        { "seed", PARAM_USED, NULL, NULL },
        { "stream", PARAM_USED, NULL, NULL },
    };
    struct asking a = { .call = c };
    int64_t passages = 4, seed = 0;
    if (!params_check(c, PARAMS, ARRAY_LEN(PARAMS)) || !param_required(c, "question") ||
        !param_string(c, "question", &a.question) || !param_int(c, "passages", 1, 16, &passages) ||
        !param_int(c, "seed", 0, INT64_MAX, &seed) || !param_bool(c, "stream", &a.stream))
        return;
    a.n_passages = (size_t)passages;
    a.seed = (uint64_t)seed;
    struct kt_error err;
    struct visitor v = visitor_of(c);
    struct side side;
    enum kt_status st = matter_take(&a.matter, c, &err);
    if (!st)
        st = side_open(&side, c, &v, &err);
    if (!st) {
        st = desk_with_context(c->desk, &v, ask, &a, &err);
        side_close(&side);
    }
    matter_give(c, a.matter);
    /* once the events have begun an error is one of them */
    if (st && a.stream && http_status(c->rq) != 0)
        event_send(
            c, "error",
            error_json(STYLE_OPENAI, status_of(st), NULL, NULL, NULL, err.text, http_id(c->rq)));
    else if (st)
        reply_kt_error(c, &err);
    else if (a.stream)
        event_send(c, "answer", answer_json(&a.answer));
    else
        reply_json(c, 200, answer_json(&a.answer));
    kt_answer_deinit(&a.answer);
}
