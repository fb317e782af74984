/* http/server.c: a server's beginning and end. */
#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "http/http_priv.h"

static void server_free(struct http_server *s)
{
    bridge_stop(s);
    for (size_t i = 0; i < s->n_listeners; i++)
        if (s->listeners[i].fd >= 0)
            close(s->listeners[i].fd);
    free(s->listeners);
    if (s->epoll_fd >= 0)
        close(s->epoll_fd);
    if (s->wake_fd >= 0)
        close(s->wake_fd);
    tls_unload(atomic_load(&s->tls));
    pthread_mutex_destroy(&s->lock);
    pthread_mutex_destroy(&s->tls_lock);
    pthread_cond_destroy(&s->idle);
    free(s);
}

enum kt_status http_server_start(struct http_server **out, const struct http_options *opts,
                                 struct kt_error *err)
{
    *out = NULL;
    struct http_server *s = calloc(1, sizeof(*s));
    if (!s)
        return kt_fail(err, KT_E_NOMEM, "http: out of memory");
    s->opts = *opts;
    s->epoll_fd = s->wake_fd = -1;
    pthread_mutex_init(&s->lock, NULL);
    pthread_mutex_init(&s->tls_lock, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&s->idle, &monotonic);
    pthread_condattr_destroy(&monotonic);
    enum kt_status st = opts->cert_path ? http_server_reload(s, err) : KT_OK;
    if (!st)
        st = gate_open(s, err);
    if (!st)
        st = bridge_start(s, err);
    if (!st && opts->opened)
        st = opts->opened(err);
    atomic_store(&s->gate_runs, true);
    if (!st && pthread_create(&s->gate, NULL, gate_main, s)) {
        st = kt_fail(err, KT_E_NOMEM, "http: no thread for listening");
    }
    if (st) {
        server_free(s);
        return st;
    }
    *out = s;
    return KT_OK;
}

/* Requests that run; server.lock is held. */
static size_t n_open(const struct http_server *s)
{
    size_t n = 0;
    for (const struct conn *c = s->conns; c; c = c->next)
        n += c->state == CONN_OPEN;
    return n;
}

static size_t n_all(const struct http_server *s)
{
    return s->n_conns + s->n_pumps;
}

static bool wait_none(struct http_server *s, size_t (*count)(const struct http_server *s),
                      unsigned ms)
{
    uint64_t t = clock_now_ns() + (uint64_t)ms * 1000000u;
    struct timespec until = { (time_t)(t / 1000000000u), (long)(t % 1000000000u) };
    int rc = 0;
    while (count(s) > 0 && rc != ETIMEDOUT)
        rc = pthread_cond_timedwait(&s->idle, &s->lock, &until);
    return count(s) == 0;
}

void http_server_stop(struct http_server *s, unsigned drain_ms)
{
    if (!s)
        return;
    atomic_store(&s->stopping, true);
    gate_wake(s);
    pthread_mutex_lock(&s->lock);
    if (!wait_none(s, n_open, drain_ms)) {
        for (struct conn *c = s->conns; c; c = c->next) {
            c->gone = true;
            if (c->request)
                request_set_gone(c->request);
        }
        /* handlers look at http_gone() between steps of their work; they own memory that must not be
         * pulled away under them, so this is waited for, however long it takes */
        while (s->n_handlers > 0)
            pthread_cond_wait(&s->idle, &s->lock);
        for (struct conn *c = s->conns; c; c = c->next)
            shutdown(c->fd, SHUT_RDWR);
    }
    pthread_mutex_unlock(&s->lock);
    atomic_store(&s->closing, true); /* nobody is let in any more; the last answers are read */
    gate_wake(s);
    pthread_mutex_lock(&s->lock);
    wait_none(s, n_all, HTTP_LINGER_MS + 1000);
    pthread_mutex_unlock(&s->lock);
    bridge_stop(s);
    atomic_store(&s->gate_runs, false);
    gate_wake(s);
    pthread_join(s->gate, NULL);
    pthread_mutex_lock(&s->lock);
    while (s->n_pumps > 0) /* their inner ends are closed now */
        pthread_cond_wait(&s->idle, &s->lock);
    pthread_mutex_unlock(&s->lock);
    server_free(s);
}

unsigned http_server_port(const struct http_server *s, size_t i)
{
    return i < s->n_listeners ? s->listeners[i].port : 0;
}

void http_server_counts(struct http_server *s, struct http_counts *out)
{
    pthread_mutex_lock(&s->lock);
    *out = (struct http_counts){ .connections = s->n_conns,
                                 .waiting_heads = s->n_heads,
                                 .handlers = s->n_handlers,
                                 .body_bytes = s->body_bytes,
                                 .refused_heads = s->refused_heads };
    pthread_mutex_unlock(&s->lock);
}

enum kt_status http_server_reload(struct http_server *s, struct kt_error *err)
{
    struct ssl_ctx_st *fresh = NULL;
    if (!s->opts.cert_path)
        return KT_OK;
    enum kt_status st = tls_load(&fresh, s->opts.cert_path, s->opts.key_path, err);
    if (st)
        return st;
    /* a connection that begins holds the lock while it takes its share of the old one */
    pthread_mutex_lock(&s->tls_lock);
    struct ssl_ctx_st *old = atomic_exchange(&s->tls, fresh);
    pthread_mutex_unlock(&s->tls_lock);
    tls_unload(old);
    return KT_OK;
}
