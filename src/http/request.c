/* http/request.c: what a handler sees of a request, and how it answers. */
#include <microhttpd.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "http/http_priv.h"

void make_id(char id[static 17])
{
    uint8_t random[8];
    randombytes_buf(random, sizeof(random));
    sodium_bin2hex(id, 17, random, sizeof(random));
}

struct http_request *request_create(struct http_server *s, struct conn *c,
                                    struct MHD_Connection *mhd, const char *method,
                                    struct span target)
{
    struct http_request *rq = calloc(1, sizeof(*rq));
    if (!rq)
        return NULL;
    rq->server = s;
    rq->conn = c;
    rq->mhd = mhd;
    rq->route_idx = SIZE_MAX;
    rq->start_ns = clock_now_ns();
    pthread_mutex_init(&rq->lock, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&rq->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    make_id(rq->id);
    strncpy(rq->method, method, sizeof(rq->method) - 1);
    const char *q = target.len ? memchr(target.ptr, '?', target.len) : NULL;
    struct span path = { target.ptr, q ? (size_t)(q - target.ptr) : target.len };
    size_t n;
    rq->path = malloc(path.len + 1);
    if (!rq->path || !http_unescape(rq->path, &n, path)) {
        request_destroy(rq);
        return NULL;
    }
    return rq;
}

void request_destroy(struct http_request *rq)
{
    if (!rq)
        return;
    for (size_t i = 0; i < rq->n_fields; i++) {
        free(rq->fields[i].name);
        free(rq->fields[i].value);
    }
    for (size_t i = 0; i < HTTP_PARAMS; i++)
        free(rq->params[i]);
    free(rq->path);
    buf_deinit(&rq->body);
    buf_deinit(&rq->out);
    pthread_mutex_destroy(&rq->lock);
    pthread_cond_destroy(&rq->changed);
    free(rq);
}

void request_set_gone(struct http_request *rq)
{
    pthread_mutex_lock(&rq->lock);
    atomic_store(&rq->gone, true);
    pthread_cond_broadcast(&rq->changed);
    pthread_mutex_unlock(&rq->lock);
}

/* ---- what was asked ------------------------------------------------------------------------ */

const char *http_id(const struct http_request *rq)
{
    return rq->id;
}

const char *http_client_id(const struct http_request *rq)
{
    const char *id = http_header(rq, "X-Request-Id");
    size_t n = id ? strlen(id) : 0;
    return n >= 8 && n <= 64 && strspn(id, "0123456789abcdefABCDEF-") == n ? id : NULL;
}

const char *http_method(const struct http_request *rq)
{
    return rq->method;
}

const char *http_path(const struct http_request *rq)
{
    return rq->path;
}

const char *http_peer(const struct http_request *rq)
{
    return rq->conn->peer;
}

bool http_is_tls(const struct http_request *rq)
{
    return rq->conn->is_tls;
}

const char *http_query(const struct http_request *rq, const char *name)
{
    return MHD_lookup_connection_value(rq->mhd, MHD_GET_ARGUMENT_KIND, name);
}

const char *http_header(const struct http_request *rq, const char *name)
{
    return MHD_lookup_connection_value(rq->mhd, MHD_HEADER_KIND, name);
}

bool http_cookie(const struct http_request *rq, const char *name, struct span *out)
{
    const char *p = http_header(rq, "Cookie");
    size_t len = strlen(name);
    for (; p && *p; p += strcspn(p, ";")) {
        p += strspn(p, "; ");
        if (strncmp(p, name, len) == 0 && p[len] == '=') {
            p += len + 1;
            *out = (struct span){ p, strcspn(p, "; ") };
            return true;
        }
    }
    return false;
}

struct span http_body(const struct http_request *rq)
{
    return rq->body.ptr ? buf_span(&rq->body) : SPAN("");
}

void http_set_data(struct http_request *rq, void *data)
{
    rq->data = data;
}

void *http_data(const struct http_request *rq)
{
    return rq->data;
}

bool http_gone(const struct http_request *rq)
{
    return atomic_load(&rq->gone);
}

int http_status(const struct http_request *rq)
{
    return rq->status;
}

bool http_sent(const struct http_request *rq)
{
    return rq->sent;
}

uint64_t http_age_ns(const struct http_request *rq)
{
    return clock_now_ns() - rq->start_ns;
}

/* ---- the answer ---------------------------------------------------------------------------- */

void http_field(struct http_request *rq, const char *name, const char *value)
{
    if (NEVER(rq->n_fields == HTTP_REPLY_FIELDS))
        return;
    char *n = strdup(name), *v = strdup(value);
    if (!n || !v) { /* an answer without it would mean something else: none is better */
        free(n);
        free(v);
        request_set_gone(rq);
        return;
    }
    rq->fields[rq->n_fields].name = n;
    rq->fields[rq->n_fields++].value = v;
}

void http_reply(struct http_request *rq, int status, const char *content_type, const char *body,
                size_t len)
{
    pthread_mutex_lock(&rq->lock);
    if (!NEVER(rq->reply != REPLY_NONE)) {
        rq->status = status;
        rq->content_type = content_type;
        buf_append(&rq->out, body, len);
        rq->reply = REPLY_WHOLE;
        pthread_cond_broadcast(&rq->changed);
    }
    pthread_mutex_unlock(&rq->lock);
}

void http_stream_begin(struct http_request *rq)
{
    pthread_mutex_lock(&rq->lock);
    if (!NEVER(rq->reply != REPLY_NONE)) {
        rq->status = 200;
        rq->content_type = "text/event-stream; charset=utf-8";
        rq->reply = REPLY_STREAM;
        pthread_cond_broadcast(&rq->changed);
    }
    pthread_mutex_unlock(&rq->lock);
}

bool http_stream_write(struct http_request *rq, const char *bytes, size_t len)
{
    pthread_mutex_lock(&rq->lock);
    if (!atomic_load(&rq->gone)) {
        buf_append(&rq->out, bytes, len);
        /* a stream with a hole in it is worth nothing; and nobody waits for a client that does not read */
        if (rq->out.failed || rq->out.len - rq->out_sent > HTTP_STREAM_BYTES)
            atomic_store(&rq->gone, true);
        pthread_cond_broadcast(&rq->changed);
    }
    pthread_mutex_unlock(&rq->lock);
    return !atomic_load(&rq->gone);
}

const char *http_reason(int status)
{
    static const struct {
        int status;
        const char *reason;
    } REASONS[] = {
        { 400, "Bad Request" },
        { 404, "Not Found" },
        { 408, "Request Timeout" },
        { 414, "URI Too Long" },
        { 417, "Expectation Failed" },
        { 431, "Request Header Fields Too Large" },
        { 501, "Not Implemented" },
        { 503, "Service Unavailable" },
        { 505, "HTTP Version Not Supported" },
    };
    for (size_t i = 0; i < sizeof(REASONS) / sizeof(REASONS[0]); i++)
        if (REASONS[i].status == status)
            return REASONS[i].reason;
    return "Error";
}
