/* api/routes.c: the table of routes, and the one place where it is decided who may use which.
 *
 * A handler is called with an identity that its route asked for, and, when the route says so, with a matter
 * that this identity may read or write. Handlers never decide about rights themselves and have no other way to
 * a matter. Refusals before the body is read cost nothing. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include <sodium.h>

#include "api/api_priv.h"
#include "audit/audit.h"
#include "api/spool.h"
#include "base/clock.h"
#include "base/log.h"

#define OPENAI STYLE_OPENAI

/* clang-format off */
const struct route routes[] = {
    /* method,  path,                       body,       errors,          who,          matter,       handler */
    { "GET",    "/",                        0,          OPENAI,          NEED_NOTHING, ACCESS_NONE,  handle_page },
    { "GET",    "/page/{file}",             0,          OPENAI,          NEED_NOTHING, ACCESS_NONE,  handle_page_file },
    { "GET",    "/health",                  0,          OPENAI,          NEED_NOTHING, ACCESS_NONE,  handle_health },
    { "GET",    "/ready",                   0,          OPENAI,          NEED_NOTHING, ACCESS_NONE,  handle_ready },
    { "GET",    "/metrics",                 0,          OPENAI,          NEED_USER,    ACCESS_NONE,  handle_metrics },
    { "GET",    "/openapi.json",            0,          OPENAI,          NEED_NOTHING, ACCESS_NONE,  handle_openapi },

    { "GET",    "/v1/models",               0,          OPENAI,          NEED_USER,    ACCESS_NONE,  handle_models },
    { "GET",    "/v1/models/{model}",       0,          OPENAI,          NEED_USER,    ACCESS_NONE,  handle_model },
    { "POST",   "/v1/chat/completions",     BODY_CHAT,  OPENAI,          NEED_USER,    ACCESS_NONE,  handle_chat },
    { "POST",   "/v1/responses",            BODY_CHAT,  OPENAI,          NEED_USER,    ACCESS_NONE,  handle_responses },
    { "POST",   "/v1/responses/input_tokens", BODY_CHAT, OPENAI,         NEED_USER,    ACCESS_NONE,  handle_responses_count },
    { "GET",    "/v1/responses/{response}", 0,          OPENAI,          NEED_USER,    ACCESS_NONE,  handle_response },
    { "DELETE", "/v1/responses/{response}", 0,          OPENAI,          NEED_USER,    ACCESS_NONE,  handle_response_remove },
    { "GET",    "/v1/responses/{response}/input_items", 0, OPENAI,       NEED_USER,    ACCESS_NONE,  handle_response_input },
    { "POST",   "/v1/completions",          BODY_TEXTS, OPENAI,          NEED_USER,    ACCESS_NONE,  handle_completions },
    { "POST",   "/v1/embeddings",           BODY_TEXTS, OPENAI,          NEED_USER,    ACCESS_NONE,  handle_embeddings },
    { "POST",   "/v1/rerank",               BODY_TEXTS, OPENAI,          NEED_USER,    ACCESS_NONE,  handle_rerank },
    { "POST",   "/v1/messages",             BODY_CHAT,  STYLE_ANTHROPIC, NEED_USER,    ACCESS_NONE,  handle_messages },
    { "POST",   "/v1/messages/count_tokens", BODY_CHAT, STYLE_ANTHROPIC, NEED_USER,    ACCESS_NONE,  handle_count_tokens },
    { "POST",   "/tokenize",                BODY_TOKENS, OPENAI,          NEED_USER,    ACCESS_NONE,  handle_tokenize },
    { "POST",   "/detokenize",              BODY_TOKENS, OPENAI,          NEED_USER,    ACCESS_NONE,  handle_detokenize },

    { "POST",   "/api/login",               BODY_SMALL, OPENAI,          NEED_NOTHING, ACCESS_NONE,  handle_login },
    { "POST",   "/api/logout",              BODY_SMALL, OPENAI,          NEED_USER,    ACCESS_NONE,  handle_logout },
    { "GET",    "/api/session",             0,          OPENAI,          NEED_USER,    ACCESS_NONE,  handle_session },
    { "GET",    "/api/matters",             0,          OPENAI,          NEED_USER,    ACCESS_NONE,  handle_matters },
    { "POST",   "/api/matters",             BODY_SMALL, OPENAI,          NEED_ADMIN,   ACCESS_NONE,  handle_matter_create },
    { "DELETE", "/api/matters/{matter}",    0,          OPENAI,          NEED_ADMIN,   ACCESS_WRITE, handle_matter_destroy },
    { "PUT",    "/api/matters/{matter}/rights", BODY_SMALL, OPENAI,      NEED_ADMIN,   ACCESS_NONE,  handle_matter_rights },
    { "GET",    "/api/documents",           0,          OPENAI,          NEED_USER,    ACCESS_READ,  handle_documents },
    { "POST",   "/api/documents",           BODY_SMALL, OPENAI,          NEED_ADMIN,   ACCESS_WRITE, handle_document_add },
    { "PUT",    "/api/documents",           BODY_FILE,  STYLE_FILE,      NEED_USER,    ACCESS_WRITE, handle_document_upload },
    { "DELETE", "/api/documents/{document}", 0,         OPENAI,          NEED_USER,    ACCESS_WRITE, handle_document_remove },
    { "GET",    "/api/matters/{matter}/documents/{document}/file", 0, OPENAI, NEED_USER, ACCESS_READ,  handle_document_file },
    { "POST",   "/api/matters/{matter}/documents/{document}/reindex", BODY_SMALL, OPENAI, NEED_USER, ACCESS_WRITE, handle_document_reindex },
    { "GET",    "/api/passage",             0,          OPENAI,          NEED_USER,    ACCESS_READ,  handle_passage },
    { "POST",   "/api/search",              BODY_SMALL, OPENAI,          NEED_USER,    ACCESS_READ,  handle_search },
    { "POST",   "/api/ask",                 BODY_SMALL, OPENAI,          NEED_USER,    ACCESS_READ,  handle_ask },
};
/* clang-format on */
const size_t n_routes = ARRAY_LEN(routes);

/* ---- is this request meant for us? ----------------------------------------------------------- */

/* The name of "name:port", without the port; IPv6 in its brackets. */
static struct span host_name(struct span host)
{
    if (host.len && host.ptr[0] == '[') {
        const char *end = memchr(host.ptr, ']', host.len);
        return end ? span_sub(host, 0, (size_t)(end - host.ptr) + 1) : host;
    }
    const char *colon = host.len ? memchr(host.ptr, ':', host.len) : NULL;
    return colon ? span_sub(host, 0, (size_t)(colon - host.ptr)) : host;
}

static bool same_name(struct span a, const char *b)
{
    return a.len == strlen(b) && strncasecmp(a.ptr, b, a.len) == 0;
}

/* A name that somebody else's DNS points at us (rebinding) is not among them. */
static bool is_our_host(const struct api *a, struct span host)
{
    static const char *const LOCAL[] = { "localhost", "127.0.0.1", "[::1]" };
    struct span name = host_name(host);
    for (size_t i = 0; i < ARRAY_LEN(LOCAL); i++)
        if (same_name(name, LOCAL[i]))
            return true;
    for (size_t i = 0; i < a->opts.n_hosts; i++)
        if (same_name(name, a->opts.hosts[i]))
            return true;
    return false;
}

/* Somebody followed a link to the page itself, in an e-mail or on an intranet. It holds nothing of anybody, runs nothing
 * that a link could bring along, and cannot be framed. */
static bool is_visit(struct call *c)
{
    const char *mode = http_header(c->rq, "Sec-Fetch-Mode");
    const char *dest = http_header(c->rq, "Sec-Fetch-Dest");
    return c->route->handle == handle_page && mode && strcmp(mode, "navigate") == 0 && dest &&
           strcmp(dest, "document") == 0;
}

/* Browsers say which page a request comes from. Pages of others have no business here; programs that are
 * no browsers say nothing. */
static bool is_our_origin(struct call *c)
{
    const char *origin = http_header(c->rq, "Origin"), *host = http_header(c->rq, "Host");
    const char *site = http_header(c->rq, "Sec-Fetch-Site");
    if (site && strcmp(site, "same-origin") != 0 && strcmp(site, "none") != 0)
        return is_visit(c);
    if (!origin)
        return true;
    const char *sep = strstr(origin, "://");
    return sep && host && strcasecmp(sep + 3, host) == 0;
}

/* ---- who is it? ------------------------------------------------------------------------------ */

static bool refuse_unknown(struct call *c, const char *why)
{
    atomic_fetch_add(&c->api->counts.denied, 1);
    http_field(c->rq, "WWW-Authenticate", "Bearer realm=\"kontor\"");
    reply_error(c, 401, NULL, "invalid_api_key", NULL, "%s", why);
    return false;
}

/* The API key of either dialect. */
static bool find_key(struct call *c, struct span *key)
{
    const char *bearer = http_header(c->rq, "Authorization");
    const char *x = http_header(c->rq, "X-Api-Key");
    if (bearer && strncasecmp(bearer, "Bearer ", 7) == 0)
        *key = span_trim(span_of(bearer + 7));
    else if (x)
        *key = span_trim(span_of(x));
    else
        return false;
    return true;
}

/* Before there are users: nobody but this machine can reach us, no proxy lets others in, and it is the account
 * that runs the server (or root, who can do everything anyway): other people's accounts on the machine are not it. */
static bool is_local(struct call *c, struct kt_error *err)
{
    size_t n = 1;
    unsigned uid;
    if (!c->api->loopback_only || c->api->opts.n_hosts)
        return false;
    if (access_n_users(c->api->opts.access, &n, err) != KT_OK || n > 0)
        return false;
    return http_peer_uid(c->rq, &uid) && (uid == geteuid() || uid == 0);
}

static bool identify(struct call *c)
{
    struct access *book = c->api->opts.access;
    struct kt_error err = { 0 };
    struct span key, cookie;
    enum kt_status st = KT_E_KEY;
    if (is_local(c, &err)) { /* before the key: clients insist on sending one */
        c->who = (struct identity){ .name = "local", .admin = true };
        return true;
    }
    if (find_key(c, &key))
        st = access_by_key(book, key, &c->who, &err);
    else if (http_cookie(c->rq, "kontor_session", &cookie))
        st = access_by_session(book, cookie, &c->who, &err);
    else
        return refuse_unknown(
            c, "this server needs an API key (Authorization: Bearer ...) or a login");
    if (st == KT_E_KEY)
        return refuse_unknown(c, err.text);
    if (st)
        reply_kt_error(c, &err);
    return st == KT_OK;
}

/* A browser attaches its cookie to whatever page makes it; the token proves that ours did. */
static bool is_own_page(struct call *c)
{
    const char *token = http_header(c->rq, "X-CSRF-Token");
    if (!c->who.by_session || strcmp(http_method(c->rq), "GET") == 0)
        return true;
    return token && strlen(token) == strlen(c->who.csrf) &&
           sodium_memcmp(token, c->who.csrf, strlen(token)) == 0;
}

/* ---- may they? ------------------------------------------------------------------------------- */

static bool may_use_matter(struct call *c)
{
    const char *id = http_param(c->rq, "matter");
    if (!id)
        id = http_query(c->rq, "matter");
    if (!id) {
        reply_error(c, 400, NULL, NULL, "matter",
                    "say which matter: ?matter=ID (GET /api/matters lists them)");
        return false;
    }
    enum access_right may = ACCESS_NONE;
    struct kt_error err;
    enum kt_status st = access_right(c->api->opts.access, &c->who, id, &may, &err);
    if (st) {
        reply_kt_error(c, &err);
        return false;
    }
    bool is_id = strlen(id) == KT_MATTER_ID_LEN;
    if (may < c->route->right || !is_id) {
        atomic_fetch_add(&c->api->counts.denied, 1);
        /* whoever may read knows that it exists; for others it does not */
        if (may == ACCESS_NONE || !is_id)
            reply_error(c, 404, NULL, "not_found", "matter", "there is no such matter for you");
        else
            reply_error(c, 403, NULL, "forbidden", "matter",
                        "you may read this matter, not change it");
        return false;
    }
    memcpy(c->matter, id, sizeof(c->matter));
    return true;
}

static bool may(struct call *c)
{
    if (c->route->need == NEED_NOTHING)
        return true;
    if (!identify(c))
        return false;
    if (!is_own_page(c)) {
        reply_error(c, 403, NULL, "csrf", NULL,
                    "the X-CSRF-Token of this session is missing or wrong");
        return false;
    }
    if (c->route->need == NEED_ADMIN && !c->who.admin) {
        atomic_fetch_add(&c->api->counts.denied, 1);
        reply_error(c, 403, NULL, "forbidden", NULL, "this needs an administrator");
        return false;
    }
    return c->route->right == ACCESS_NONE || may_use_matter(c);
}

/* ---- hooks ----------------------------------------------------------------------------------- */

static struct call *call_of(struct http_request *rq, size_t route_idx, struct api *a)
{
    struct call *c = http_data(rq);
    if (!c) {
        c = calloc(1, sizeof(*c));
        if (!c)
            return NULL;
        c->api = a;
        c->rq = rq;
        c->route = route_idx < n_routes ? &routes[route_idx] : NULL;
        http_set_data(rq, c);
    }
    return c;
}

static bool before(struct http_request *rq, size_t route_idx, void *ctx)
{
    struct call *c = call_of(rq, route_idx, ctx);
    if (!c) {
        http_reply(rq, 503, "text/plain", "out of memory\n", 14);
        return false;
    }
    if (!is_our_host(c->api, span_of(http_header(rq, "Host")))) {
        reply_error(c, 421, NULL, "wrong_host", NULL,
                    "this server is not called so; name it with --host when that is meant");
        return false;
    }
    if (!is_our_origin(c)) {
        reply_error(c, 403, NULL, "wrong_origin", NULL,
                    "requests from pages of others are not taken");
        return false;
    }
    return may(c);
}

/* The models that serve now are this request's until it is answered. */
static void crew_take(struct call *c)
{
    struct api *a = c->api;
    pthread_mutex_lock(&a->crew_lock);
    c->crew = a->crew;
    crew_hold(c->crew);
    pthread_mutex_unlock(&a->crew_lock);
    c->desk = c->crew->desk;
    c->chat_name = c->crew->n_chats ? c->crew->chats[0].name : NULL;
    c->chat_path = c->crew->n_chats ? c->crew->chats[0].path : NULL;
}

static void handle(struct http_request *rq, size_t route_idx, void *ctx)
{
    struct call *c = call_of(rq, route_idx, ctx);
    if (!c)
        return;
    audit_actor(c->who.user); /* this thread works for them until it is another's */
    crew_take(c);
    if (c->route->body_max == 0 || c->route->style == STYLE_FILE || body_parse(c))
        c->route->handle(c);
    crew_let_go(c->crew);
}

static void refuse(struct http_request *rq, int status, const char *why, void *ctx)
{
    struct call *c = call_of(rq, SIZE_MAX, ctx);
    if (c)
        reply_error(c, status, NULL, NULL, NULL, "%s", why);
    else
        http_reply(rq, 503, "text/plain", "out of memory\n", 14);
}

/* What a client calls its method may be anything. */
static const char *known_method(const char *method)
{
    static const char *const KNOWN[] = {
        "GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH"
    };
    for (size_t i = 0; i < ARRAY_LEN(KNOWN); i++)
        if (strcmp(method, KNOWN[i]) == 0)
            return KNOWN[i];
    return "other";
}

static void done(struct http_request *rq, size_t route_idx, void *ctx)
{
    struct api *a = ctx;
    struct call *c = http_data(rq);
    int status = http_sent(rq) || http_status(rq) == 200 ? http_status(rq) : 0;
    uint64_t ns = http_age_ns(rq);
    atomic_fetch_add(&a->counts.requests[status / 100 > 5 ? 5 : status / 100], 1);
    atomic_fetch_add(&a->counts.seconds_us, ns / 1000);
    atomic_fetch_add(&a->counts.n_seconds, 1);
    log_event(LOG_INFO, "http.request", LOG_WORD("id", http_id(rq)),
              LOG_WORD("client_id", http_client_id(rq) ? http_client_id(rq) : "-"),
              LOG_WORD("method", known_method(http_method(rq))),
              LOG_WORD("route", route_idx < n_routes ? routes[route_idx].path : "-"),
              LOG_I64("user", c ? c->who.user : -1), LOG_I64("status", status),
              LOG_U64("ms", ns / 1000000), LOG_END);
    if (c)
        json_decref(c->body);
    free(c);
}

/* ---- beginning and end ----------------------------------------------------------------------- */

static enum kt_status check_exposure(struct api *a, struct kt_error *err)
{
    const struct api_options *o = &a->opts;
    a->loopback_only = true;
    for (size_t i = 0; i < o->http.n_listen_fds; i++)
        a->loopback_only = a->loopback_only && http_fd_is_loopback(o->http.listen_fds[i]);
    for (size_t i = 0; i < o->http.n_listen; i++)
        a->loopback_only = a->loopback_only && http_is_loopback(o->http.listen[i]);
    size_t n_users = 0;
    enum kt_status st = access_n_users(o->access, &n_users, err);
    if (st)
        return st;
    if ((!a->loopback_only || o->n_hosts) && n_users == 0)
        return kt_fail(err, KT_E_USAGE,
                       "others could reach this server, and it has no users; make one first: "
                       "kontor user add NAME --admin");
    if (!a->loopback_only && !o->http.cert_path)
        return kt_fail(
            err, KT_E_USAGE,
            "on an address that others reach only TLS is spoken: give --cert and --key, or "
            "listen on 127.0.0.1 behind a proxy that has them");
    return KT_OK;
}

enum kt_status api_start(struct api **out, const struct api_options *opts, struct kt_error *err)
{
    *out = NULL;
    struct api *a = calloc(1, sizeof(*a));
    if (!a)
        return kt_fail(err, KT_E_NOMEM, "api: out of memory");
    spool_sweep();
    a->opts = *opts;
    a->started_unix = clock_unix_s();
    pthread_mutex_init(&a->matters.lock, NULL);
    pthread_mutex_init(&a->writer, NULL);
    pthread_mutex_init(&a->crew_lock, NULL);
    a->crew = opts->crew;
    crew_hold(a->crew);
    a->http_routes = calloc(n_routes, sizeof(*a->http_routes));
    enum kt_status st =
        a->http_routes ? check_exposure(a, err) : kt_fail(err, KT_E_NOMEM, "api: out of memory");
    for (size_t i = 0; i < n_routes && !st; i++)
        a->http_routes[i] =
            (struct http_route){ routes[i].method, routes[i].path, routes[i].body_max };
    a->opts.http.routes = a->http_routes;
    a->opts.http.n_routes = n_routes;
    a->opts.http.hooks = (struct http_hooks){ before, handle, refuse, done, a };
    if (!st)
        st = http_server_start(&a->http, &a->opts.http, err);
    if (st) {
        api_stop(a, 0);
        return st;
    }
    *out = a;
    return KT_OK;
}

void api_stop(struct api *a, unsigned drain_ms)
{
    if (!a)
        return;
    http_server_stop(a->http, drain_ms);
    matters_close(a, NULL);
    pthread_mutex_destroy(&a->matters.lock);
    pthread_mutex_destroy(&a->writer);
    crew_let_go(a->crew);
    pthread_mutex_destroy(&a->crew_lock);
    free(a->http_routes);
    free(a);
}

void api_set_crew(struct api *a, struct crew *crew)
{
    crew_hold(crew);
    pthread_mutex_lock(&a->crew_lock);
    struct crew *before = a->crew;
    a->crew = crew;
    pthread_mutex_unlock(&a->crew_lock);
    crew_let_go(before);
}

struct http_server *api_http(struct api *a)
{
    return a->http;
}
