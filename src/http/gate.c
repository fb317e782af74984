/* http/gate.c: one thread that listens, judges heads, and watches the clock and the clients.
 *
 * A head is looked at where it lies, in the socket's own buffer (MSG_PEEK), so that libmicrohttpd later
 * reads exactly the bytes that were judged. A client that drips costs a descriptor and nothing else:
 * threads begin when a head is whole. Only this thread frees connections; others change their state. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/size.h"
#include "http/http_priv.h"

enum { EVENTS = 64, TICK_MS = 200 };

static uint64_t in_ms(unsigned ms)
{
    return clock_now_ns() + (uint64_t)ms * 1000000u;
}

void gate_wake(struct http_server *s)
{
    uint64_t one = 1;
    if (write(s->wake_fd, &one, sizeof(one)) < 0)
        return; /* it is awake already */
}

/* ---- connections; server.lock is held ------------------------------------------------------- */

static void link_conn(struct http_server *s, struct conn *c)
{
    c->next = s->conns;
    if (s->conns)
        s->conns->prev = c;
    s->conns = c;
    s->n_conns++;
}

static void drop(struct http_server *s, struct conn *c)
{
    if (c->prev)
        c->prev->next = c->next;
    else
        s->conns = c->next;
    if (c->next)
        c->next->prev = c->prev;
    s->n_conns--;
    s->n_heads -= c->state == CONN_HEAD;
    epoll_ctl(s->epoll_fd, EPOLL_CTL_DEL, c->fd, NULL);
    close(c->fd);
    free(c);
    pthread_cond_broadcast(&s->idle);
}

static void watch(struct http_server *s, struct conn *c, int op)
{
    struct epoll_event ev = { .events = EPOLLIN | EPOLLRDHUP | EPOLLET, .data.ptr = c };
    epoll_ctl(s->epoll_fd, op, c->fd, &ev);
}

void gate_add(struct http_server *s, int fd, const struct conn *like)
{
    struct conn *c = calloc(1, sizeof(*c));
    if (!c) {
        close(fd);
        return;
    }
    *c = (struct conn){ .fd = fd, .mhd_fd = -1, .is_tls = like->is_tls, .state = CONN_HEAD };
    memcpy(c->peer, like->peer, sizeof(c->peer));
    c->peer_port = like->peer_port;
    c->own_port = like->own_port;
    c->since_ns = clock_now_ns();
    c->deadline_ns = in_ms(HTTP_HEAD_MS);
    pthread_mutex_lock(&s->lock);
    link_conn(s, c);
    s->n_heads++;
    pthread_mutex_unlock(&s->lock);
    watch(s, c, EPOLL_CTL_ADD);
}

static void linger(struct http_server *s, struct conn *c)
{
    s->n_heads -= c->state == CONN_HEAD;
    c->state = CONN_LINGER;
    c->deadline_ns = in_ms(HTTP_LINGER_MS);
    shutdown(c->fd, SHUT_WR);
    watch(s, c, EPOLL_CTL_MOD);
}

/* A short answer of our own to what is not a request: nothing of it is echoed. */
static void refuse_head(struct http_server *s, struct conn *c, int status, const char *why)
{
    char text[512], body[256], id[17];
    bool again = status == 503; /* the client's fault or not */
    make_id(id);
    int n_body = snprintf(body, sizeof(body),
                          "{\"error\":{\"message\":\"%s\",\"type\":\"invalid_request_error\","
                          "\"param\":null,\"code\":null}}\n",
                          why);
    int n = snprintf(
        text, sizeof(text),
        "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n"
        "Connection: close\r\nX-Content-Type-Options: nosniff\r\nX-Request-Id: %s\r\n%s\r\n%s",
        status, http_reason(status), n_body, id, again ? "Retry-After: 5\r\n" : "", body);
    s->refused_heads++;
    if (send(c->fd, text, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT) < n)
        log_event(LOG_DEBUG, "http.refusal_lost", LOG_I64("status", status), LOG_END);
    log_event(LOG_INFO, "http.refused", LOG_WORD("id", id), LOG_I64("status", status), LOG_END);
    linger(s, c);
}

/* ---- the states ------------------------------------------------------------------------------ */

static void judge(struct http_server *s, struct conn *c, bool left)
{
    char bytes[HTTP_HEAD_BYTES];
    ssize_t n = recv(c->fd, bytes, sizeof(bytes), MSG_PEEK | MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        drop(s, c);
        return;
    }
    struct http_head head;
    const char *why = "";
    int status = http_head_judge(&head, (struct span){ bytes, (size_t)n }, &why);
    if (status == 0) {
        if (left)
            drop(s, c);
        return;
    }
    if (status == 200 && atomic_load(&s->stopping)) {
        status = 503;
        why = "this server is being stopped or restarted; try again in a moment";
    }
    if (status != 200) {
        refuse_head(s, c, status, why);
        return;
    }
    s->n_heads--;
    c->gone = left; /* said and left at once: it will not be said again */
    c->state = CONN_OPEN;
    c->since_ns = clock_now_ns();
    c->wants_body = head.has_body;
    if (!bridge_take(s, c)) {
        c->state = CONN_HEAD;
        s->n_heads++;
        refuse_head(s, c, 503, "too many connections; try again in a moment");
    }
}

/* Read away what still comes, so that closing does not reset the connection under the answer. */
static bool discard(struct conn *c)
{
    char bytes[16384];
    for (int i = 0; i < 64; i++) { /* at most 1 MiB a turn */
        ssize_t n = recv(c->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
            return false;
        if (n < 0)
            return true;
    }
    return true;
}

static void on_event(struct http_server *s, struct conn *c, uint32_t events)
{
    bool left = events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR);
    switch (c->state) {
    case CONN_HEAD:
        judge(s, c, left);
        break;
    case CONN_OPEN:
        if (left && !c->gone) {
            c->gone = true;
            if (c->request)
                request_set_gone(c->request);
        }
        break;
    case CONN_LINGER:
        if (!discard(c))
            drop(s, c);
        break;
    }
}

/* Slow bodies: after a while they must have come at a rate that a poor line reaches. What has come and is not read yet is
 * our slowness. */
static bool is_too_slow(const struct conn *c, uint64_t now)
{
    uint64_t ms = (now - c->since_ns) / 1000000u;
    int unread = 0;
    return c->wants_body && ms > HTTP_BODY_GRACE_MS &&
           c->body_bytes * 1000 < (uint64_t)HTTP_BODY_RATE * (ms - HTTP_BODY_GRACE_MS) + 1 &&
           ioctl(c->fd, FIONREAD, &unread) == 0 && unread == 0;
}

static void sweep(struct http_server *s)
{
    uint64_t now = clock_now_ns();
    for (struct conn *c = s->conns, *next; c; c = next) {
        next = c->next;
        if (c->state == CONN_HEAD && now > c->deadline_ns)
            refuse_head(s, c, 408, "the request did not arrive in time");
        else if (c->state == CONN_LINGER && (now > c->deadline_ns || !discard(c)))
            drop(s, c);
        else if (c->state == CONN_OPEN && is_too_slow(c, now))
            shutdown(c->fd, SHUT_RDWR); /* libmicrohttpd notices */
    }
}

/* ---- accepting ------------------------------------------------------------------------------- */

static bool is_loopback_peer(const char *peer)
{
    return strncmp(peer, "127.", 4) == 0 || strcmp(peer, "::1") == 0;
}

static void name_peer(struct conn *c, const struct sockaddr_storage *a)
{
    if (a->ss_family == AF_INET6) {
        c->peer_port = ntohs(((const struct sockaddr_in6 *)a)->sin6_port);
        const struct in6_addr *ip = &((const struct sockaddr_in6 *)a)->sin6_addr;
        if (IN6_IS_ADDR_V4MAPPED(ip))
            inet_ntop(AF_INET, ip->s6_addr + 12, c->peer, sizeof(c->peer));
        else
            inet_ntop(AF_INET6, ip, c->peer, sizeof(c->peer));
    } else if (a->ss_family == AF_INET) {
        c->peer_port = ntohs(((const struct sockaddr_in *)a)->sin_port);
        inet_ntop(AF_INET, &((const struct sockaddr_in *)a)->sin_addr, c->peer, sizeof(c->peer));
    } else {
        strcpy(c->peer, "local");
    }
}

/* Room for one more? When all is taken, the head that has dripped longest makes room. */
static bool make_room(struct http_server *s, const struct conn *fresh)
{
    size_t n_same = 0;
    struct conn *oldest = NULL;
    for (struct conn *c = s->conns; c; c = c->next) {
        n_same += strcmp(c->peer, fresh->peer) == 0;
        if (c->state == CONN_HEAD && (!oldest || c->since_ns < oldest->since_ns))
            oldest = c;
    }
    if (n_same >= HTTP_PER_ADDRESS && !is_loopback_peer(fresh->peer))
        return false;
    if (s->n_conns + s->n_pumps < HTTP_CONNECTIONS)
        return true;
    if (oldest)
        drop(s, oldest);
    return oldest != NULL;
}

static void accept_all(struct http_server *s, const struct listener *l)
{
    for (int i = 0; i < 64 && l->fd >= 0; i++) {
        struct sockaddr_storage a = { 0 };
        socklen_t len = sizeof(a);
        int fd = accept4(l->fd, (struct sockaddr *)&a, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0)
            return;
        struct conn fresh = { .is_tls = atomic_load(&s->tls) != NULL, .own_port = l->port };
        name_peer(&fresh, &a);
        int one = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        pthread_mutex_lock(&s->lock);
        bool room = make_room(s, &fresh);
        pthread_mutex_unlock(&s->lock);
        if (!room)
            close(fd);
        else if (!fresh.is_tls)
            gate_add(s, fd, &fresh);
        else if (!tls_pump(s, fd, &fresh))
            close(fd);
    }
}

static void on_ready(struct http_server *s, const struct epoll_event *ev)
{
    uint64_t ignored;
    if (ev->data.ptr == &s->wake_fd) {
        if (read(s->wake_fd, &ignored, sizeof(ignored)) < 0)
            return;
        return;
    }
    for (size_t i = 0; i < s->n_listeners; i++) {
        if (ev->data.ptr == &s->listeners[i]) {
            accept_all(s, &s->listeners[i]);
            return;
        }
    }
    pthread_mutex_lock(&s->lock);
    on_event(s, ev->data.ptr, ev->events);
    pthread_mutex_unlock(&s->lock);
}

/* Connections that libmicrohttpd is done with; it has shut its side down, the client may still read. */
static void adopt_closed(struct http_server *s)
{
    for (struct conn *c = s->conns, *next; c; c = next) {
        next = c->next;
        if (c->state == CONN_LINGER && !discard(c))
            drop(s, c);
    }
}

/* What others handed over they go on holding: who comes now waits there for our successor. */
static void give_sockets_back(struct http_server *s)
{
    for (size_t i = 0; i < s->n_listeners; i++) {
        if (!s->listeners[i].inherited)
            continue;
        close(s->listeners[i].fd);
        s->listeners[i].fd = -1;
    }
}

static void stop_listening(struct http_server *s)
{
    for (size_t i = 0; i < s->n_listeners; i++) {
        if (s->listeners[i].fd >= 0)
            close(s->listeners[i].fd);
        s->listeners[i].fd = -1;
    }
    pthread_mutex_lock(&s->lock);
    for (struct conn *c = s->conns, *next; c; c = next) {
        next = c->next;
        if (c->state == CONN_HEAD)
            drop(s, c);
    }
    pthread_mutex_unlock(&s->lock);
}

void *gate_main(void *server)
{
    struct http_server *s = server;
    struct epoll_event events[EVENTS];
    uint64_t swept = 0;
    bool listening = true, drains = false;
    while (s->gate_runs) {
        int n = epoll_wait(s->epoll_fd, events, EVENTS, TICK_MS);
        if (!drains && atomic_load(&s->stopping)) {
            give_sockets_back(s);
            drains = true;
        }
        if (listening && atomic_load(&s->closing)) {
            /* connections may go here: their events of this round would point nowhere */
            stop_listening(s);
            listening = false;
            continue;
        }
        /* An event may free a connection, but only its own; full rooms free others, so accepting
         * comes last. */
        for (int pass = 0; pass < 2; pass++) {
            for (int i = 0; i < n; i++) {
                bool accepts =
                    (struct listener *)events[i].data.ptr >= s->listeners &&
                    (struct listener *)events[i].data.ptr < s->listeners + s->n_listeners;
                if (accepts == (pass == 1))
                    on_ready(s, &events[i]);
            }
        }
        pthread_mutex_lock(&s->lock);
        adopt_closed(s);
        if (clock_now_ns() - swept > (uint64_t)TICK_MS * 1000000u) {
            sweep(s);
            swept = clock_now_ns();
        }
        pthread_mutex_unlock(&s->lock);
    }
    pthread_mutex_lock(&s->lock);
    while (s->conns)
        drop(s, s->conns);
    pthread_mutex_unlock(&s->lock);
    return NULL;
}
