/* http/bridge.c: libmicrohttpd, which reads what the gate has judged and writes what handlers answer.
 *
 * It runs a thread a connection, so its callbacks may wait. What it is told: one connection, one request
 * ("Connection: close" on every answer). What it is not trusted with: strictness (head.h), deadlines and
 * noticing that a client left (gate.c). */
#include <errno.h>
#include <fcntl.h>
#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/size.h"
#include "http/http_priv.h"

/* What a refused body may still send until the connection is cut; a reasonable client stops by itself. */
enum { DISCARD_BYTES = 1 << 20 };

/* ---- the answer, outwards ------------------------------------------------------------------- */

static struct timespec after_ms(unsigned ms)
{
    uint64_t t = clock_now_ns() + (uint64_t)ms * 1000000u;
    return (struct timespec){ (time_t)(t / 1000000000u), (long)(t % 1000000000u) };
}

static ssize_t take_out(struct http_request *rq, char *out, size_t max)
{
    size_t n = MIN(max, rq->out.len - rq->out_sent);
    memcpy(out, rq->out.ptr + rq->out_sent, n);
    rq->out_sent += n;
    if (rq->out_sent == rq->out.len) {
        buf_clear(&rq->out);
        rq->out_sent = 0;
    }
    pthread_cond_broadcast(&rq->changed);
    return (ssize_t)n;
}

/* More of an event stream: what there is, or a comment when there has been nothing for long. */
static ssize_t read_stream(void *ctx, uint64_t pos, char *out, size_t max)
{
    (void)pos;
    struct http_request *rq = ctx;
    static const char HEARTBEAT[] = ": \n\n";
    ssize_t n = 0;
    pthread_mutex_lock(&rq->lock);
    struct timespec until = after_ms(HTTP_HEARTBEAT_MS);
    while (n == 0) {
        if (atomic_load(&rq->gone))
            n = MHD_CONTENT_READER_END_WITH_ERROR;
        else if (rq->out.len > rq->out_sent)
            n = take_out(rq, out, max);
        else if (!rq->handler_runs)
            n = MHD_CONTENT_READER_END_OF_STREAM;
        else if (pthread_cond_timedwait(&rq->changed, &rq->lock, &until) == ETIMEDOUT) {
            n = (ssize_t)MIN(max, sizeof(HEARTBEAT) - 1);
            memcpy(out, HEARTBEAT, (size_t)n);
        }
    }
    pthread_mutex_unlock(&rq->lock);
    return n;
}

static void add_fields(struct MHD_Response *r, const struct http_request *rq)
{
    MHD_add_response_header(r, "Connection", "close");
    MHD_add_response_header(r, "X-Request-Id", rq->id);
    MHD_add_response_header(r, "X-Content-Type-Options", "nosniff");
    if (rq->content_type)
        MHD_add_response_header(r, "Content-Type", rq->content_type);
    bool cache = false; /* a handler has said how it may be kept */
    for (size_t i = 0; i < rq->n_fields; i++) {
        cache |= strcmp(rq->fields[i].name, "Cache-Control") == 0;
        MHD_add_response_header(r, rq->fields[i].name, rq->fields[i].value);
    }
    if (!cache)
        MHD_add_response_header(r, "Cache-Control", "no-store");
}

static enum MHD_Result send_answer(struct http_request *rq)
{
    struct MHD_Response *r;
    if (rq->reply == REPLY_STREAM) {
        r = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 16384, read_stream, rq, NULL);
        if (r) /* proxies would hold events back to send more at once */
            MHD_add_response_header(r, "X-Accel-Buffering", "no");
    } else {
        r = MHD_create_response_from_buffer(rq->out.len, rq->out.ptr, MHD_RESPMEM_PERSISTENT);
    }
    if (!r)
        return MHD_NO;
    add_fields(r, rq);
    enum MHD_Result ok = MHD_queue_response(rq->mhd, (unsigned)rq->status, r);
    MHD_destroy_response(r);
    return ok;
}

/* ---- the request, inwards ------------------------------------------------------------------- */

static void refuse(struct http_request *rq, int status, const char *why)
{
    const struct http_hooks *h = &rq->server->opts.hooks;
    rq->refused = true;
    if (rq->reply == REPLY_NONE)
        h->refuse(rq, status, why, h->ctx);
}

/* The path, the method, and what the layer above says of who asks. */
static void begin(struct http_request *rq)
{
    struct http_server *s = rq->server;
    bool path_known;
    if (http_gone(rq)) { /* in a rush of clients that leave at once, those that stay come first */
        refuse(rq, 499, "cancelled");
        return;
    }
    rq->route_idx = route_find(rq, &path_known);
    if (rq->route_idx == SIZE_MAX) {
        struct buf methods = { 0 };
        route_methods(rq, &methods);
        if (path_known && methods.ptr && !methods.failed)
            http_field(rq, "Allow", methods.ptr);
        buf_deinit(&methods);
        refuse(rq, path_known ? 405 : 404,
               path_known ? "this path does not take this method"
                          : "there is nothing at this path");
        return;
    }
    rq->body_max = s->opts.routes[rq->route_idx].body_max;
    log_request(rq->id);
    bool go_on = s->opts.hooks.before(rq, rq->route_idx, s->opts.hooks.ctx);
    log_request(NULL);
    if (!go_on) {
        rq->refused = true;
        return;
    }
    const char *length = http_header(rq, "Content-Length"); /* judged: digits */
    if (length && strtoull(length, NULL, 10) > rq->body_max)
        refuse(rq, 413, "the body is larger than this path takes");
}

/* Bodies of all requests together are bounded, so that many large ones cannot fill the memory. */
static bool charge(struct http_request *rq, size_t n)
{
    struct http_server *s = rq->server;
    pthread_mutex_lock(&s->lock);
    bool ok = s->body_bytes + n <= HTTP_BODIES_BYTES;
    if (ok) {
        s->body_bytes += n;
        rq->body_charged += n;
    }
    rq->conn->body_bytes += n;
    pthread_mutex_unlock(&s->lock);
    return ok;
}

static enum MHD_Result take_body(struct http_request *rq, const char *bytes, size_t n)
{
    if (!rq->refused && n > rq->body_max - rq->body.len)
        refuse(rq, 413, "the body is larger than this path takes");
    if (!rq->refused && !charge(rq, n))
        refuse(rq, 503, "too many large requests at once; try again in a moment");
    if (rq->refused) {
        rq->discarded += n;
        return rq->discarded > DISCARD_BYTES ? MHD_NO : MHD_YES;
    }
    buf_append(&rq->body, bytes, n);
    if (rq->body.failed)
        refuse(rq, 503, "out of memory; try again in a moment");
    return MHD_YES;
}

static void *handler_main(void *ctx)
{
    struct http_request *rq = ctx;
    struct http_server *s = rq->server;
    log_request(rq->id);
    s->opts.hooks.handle(rq, rq->route_idx, s->opts.hooks.ctx);
    log_request(NULL);
    if (rq->reply == REPLY_NONE && http_gone(rq))
        refuse(rq, 499, "cancelled"); /* nobody reads it */
    if (rq->reply == REPLY_NONE)
        refuse(rq, 500, "no answer was made; please report this");
    /* the count first: once handler_runs is false, rq may be gone */
    pthread_mutex_lock(&s->lock);
    s->n_handlers--;
    pthread_mutex_lock(&rq->lock);
    rq->handler_runs = false;
    pthread_cond_broadcast(&rq->changed);
    pthread_mutex_unlock(&rq->lock);
    pthread_cond_broadcast(&s->idle);
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

static bool start_handler(struct http_request *rq)
{
    struct http_server *s = rq->server;
    pthread_mutex_lock(&s->lock);
    rq->conn->wants_body = false;
    bool room = s->n_handlers < HTTP_HANDLERS;
    s->n_handlers += room;
    pthread_mutex_unlock(&s->lock);
    if (!room)
        return false;
    pthread_attr_t attr;
    pthread_t thread;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, HTTP_STACK_BYTES);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    rq->handler_runs = true;
    bool ok = pthread_create(&thread, &attr, handler_main, rq) == 0;
    pthread_attr_destroy(&attr);
    if (!ok) {
        rq->handler_runs = false;
        pthread_mutex_lock(&s->lock);
        s->n_handlers--;
        pthread_mutex_unlock(&s->lock);
    }
    return ok;
}

static enum MHD_Result finish(struct http_request *rq)
{
    if (!rq->refused && http_gone(rq))
        refuse(rq, 499, "cancelled");
    if (!rq->refused && !start_handler(rq))
        refuse(rq, 503, "too many requests at once; try again in a moment");
    pthread_mutex_lock(&rq->lock);
    while (rq->reply == REPLY_NONE && rq->handler_runs)
        pthread_cond_wait(&rq->changed, &rq->lock);
    pthread_mutex_unlock(&rq->lock);
    return rq->reply == REPLY_NONE ? MHD_NO : send_answer(rq);
}

/* libmicrohttpd calls this once with the head, then with each piece of the body, then once more. */
static enum MHD_Result on_request(void *cls, struct MHD_Connection *mhd, const char *url,
                                  const char *method, const char *version, const char *upload,
                                  size_t *upload_len, void **slot)
{
    (void)cls, (void)mhd, (void)url, (void)version;
    struct http_request *rq = *slot;
    if (!rq)
        return MHD_NO;
    if (!rq->begun) {
        rq->begun = true;
        strncpy(rq->method, method, sizeof(rq->method) - 1);
        begin(rq);
        return rq->refused ? send_answer(rq) : MHD_YES;
    }
    if (*upload_len) {
        size_t n = *upload_len;
        *upload_len = 0;
        return take_body(rq, upload, n);
    }
    return finish(rq);
}

/* The first libmicrohttpd says of a request; what is returned becomes *slot above. */
static void *on_target(void *cls, const char *target, struct MHD_Connection *mhd)
{
    struct http_server *s = cls;
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    struct conn *c = info ? info->socket_context : NULL;
    if (!c)
        return NULL;
    struct http_request *rq = request_create(s, c, mhd, "", span_of(target));
    pthread_mutex_lock(&s->lock);
    c->request = rq;
    if (rq && c->gone)
        atomic_store(&rq->gone, true);
    pthread_mutex_unlock(&s->lock);
    return rq;
}

static void on_completed(void *cls, struct MHD_Connection *mhd, void **slot,
                         enum MHD_RequestTerminationCode code)
{
    (void)mhd;
    struct http_server *s = cls;
    struct http_request *rq = *slot;
    *slot = NULL;
    if (!rq)
        return;
    rq->sent = code == MHD_REQUEST_TERMINATED_COMPLETED_OK;
    pthread_mutex_lock(&s->lock);
    rq->conn->request = NULL;
    rq->conn->wants_body = false;
    s->body_bytes -= rq->body_charged;
    pthread_mutex_unlock(&s->lock);
    /* also after a success: an event stream whose last byte is sent may have a handler that tidies up */
    pthread_mutex_lock(&rq->lock);
    bool runs = rq->handler_runs;
    if (runs)
        atomic_store(&rq->gone, true);
    pthread_cond_broadcast(&rq->changed);
    while (rq->handler_runs)
        pthread_cond_wait(&rq->changed, &rq->lock);
    pthread_mutex_unlock(&rq->lock);
    s->opts.hooks.done(rq, rq->route_idx, s->opts.hooks.ctx);
    request_destroy(rq);
}

/* ---- connections ---------------------------------------------------------------------------- */

/* libmicrohttpd starts connections in the order they were added, but on threads of their own: the
 * descriptor says which one this is. */
static struct conn *conn_of_fd(struct http_server *s, int fd)
{
    for (struct conn *c = s->conns; c; c = c->next)
        if (c->state == CONN_OPEN && c->mhd_fd == fd)
            return c;
    return NULL;
}

static void on_connection(void *cls, struct MHD_Connection *mhd, void **socket_slot,
                          enum MHD_ConnectionNotificationCode code)
{
    struct http_server *s = cls;
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD);
    pthread_mutex_lock(&s->lock);
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        *socket_slot = info ? conn_of_fd(s, info->connect_fd) : NULL;
    } else if (*socket_slot) {
        struct conn *c = *socket_slot;
        c->state = CONN_LINGER;
        c->mhd_fd = -1;
        shutdown(c->fd,
                 SHUT_WR); /* ours is a duplicate: closing the other says nothing to the client */
        c->deadline_ns = clock_now_ns() + (uint64_t)HTTP_LINGER_MS * 1000000u;
        *socket_slot = NULL;
        pthread_cond_broadcast(&s->idle);
    }
    pthread_mutex_unlock(&s->lock);
    if (code != MHD_CONNECTION_NOTIFY_STARTED)
        gate_wake(s);
}

bool bridge_take(struct http_server *s, struct conn *c)
{
    struct sockaddr_un local = { .sun_family = AF_UNIX };
    struct sockaddr_in remote = { .sin_family = AF_INET };
    c->mhd_fd = fcntl(c->fd, F_DUPFD_CLOEXEC, 0);
    if (c->mhd_fd < 0)
        return false;
    /* it closes the descriptor itself when it fails */
    return (c->is_tls ? MHD_add_connection(s->mhd, c->mhd_fd, (struct sockaddr *)&local,
                                           sizeof(local.sun_family))
                      : MHD_add_connection(s->mhd, c->mhd_fd, (struct sockaddr *)&remote,
                                           sizeof(remote))) == MHD_YES;
}

enum kt_status bridge_start(struct http_server *s, struct kt_error *err)
{
    s->mhd = MHD_start_daemon(
        MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_THREAD_PER_CONNECTION | MHD_USE_POLL |
            MHD_USE_NO_LISTEN_SOCKET | MHD_USE_ITC,
        0, NULL, NULL, on_request, s, MHD_OPTION_NOTIFY_COMPLETED, on_completed, s,
        MHD_OPTION_NOTIFY_CONNECTION, on_connection, s, MHD_OPTION_URI_LOG_CALLBACK, on_target, s,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)HTTP_SEND_S, MHD_OPTION_CONNECTION_LIMIT,
        (unsigned)HTTP_CONNECTIONS, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        (size_t)(HTTP_HEAD_BYTES * 2 + 16384), MHD_OPTION_THREAD_STACK_SIZE,
        (size_t)HTTP_STACK_BYTES, MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_END);
    return s->mhd ? KT_OK : kt_fail(err, KT_E_INTERNAL, "http: libmicrohttpd does not start");
}

void bridge_stop(struct http_server *s)
{
    if (s->mhd)
        MHD_stop_daemon(s->mhd);
    s->mhd = NULL;
}
