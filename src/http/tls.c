/* http/tls.c: TLS, as a pump between the client and a pair of local sockets.
 *
 *   client ==TLS== pump thread --plain-- socketpair -- gate, libmicrohttpd
 *
 * So what is behind sees plain bytes and one kind of socket, and the head of a request can be judged where
 * it lies. When the client leaves, the pump closes its end, and the gate sees that as it sees any client
 * leave. TLS 1.2 and later; no renegotiation, no compression, no tickets across restarts. */
#include <errno.h>
#include <openssl/err.h>
#include <openssl/crypto.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "http/http_priv.h"

enum { PUMP_BYTES = 16384, HANDSHAKE_LOOK_MS = 250 };

enum kt_status tls_load(struct ssl_ctx_st **out, const char *cert, const char *key,
                        struct kt_error *err)
{
    *out = NULL;
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    if (!ctx)
        return kt_fail(err, KT_E_NOMEM, "tls: out of memory");
    SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                              SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    enum kt_status st = KT_OK;
    if (SSL_CTX_use_certificate_chain_file(ctx, cert) != 1)
        st = kt_fail(err, KT_E_FORMAT, "%s: not a certificate chain in PEM form that can be read",
                     cert);
    else if (SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1)
        st = kt_fail(err, KT_E_FORMAT,
                     "%s: not a private key in PEM form that can be read, or not the certificate's",
                     key);
    else if (SSL_CTX_check_private_key(ctx) != 1)
        st = kt_fail(err, KT_E_FORMAT, "%s: the key does not belong to the certificate %s", key,
                     cert);
    ERR_clear_error();
    if (st) {
        SSL_CTX_free(ctx);
        return st;
    }
    *out = ctx;
    return KT_OK;
}

void tls_unload(struct ssl_ctx_st *ctx)
{
    SSL_CTX_free(ctx);
}

/* One direction's bytes under way. */
struct lane {
    char bytes[PUMP_BYTES];
    size_t from, to;
    bool ended; /* the source has no more */
};

struct pump {
    struct http_server *server;
    SSL *ssl;
    int net, app;
    struct lane in, out; /* client -> app, app -> client */
    bool net_wants_write;
    bool broken;
};

/* What an SSL call's failure means: true when it only has to be called again. */
static bool again(struct pump *p, int rc)
{
    int e = SSL_get_error(p->ssl, rc);
    ERR_clear_error();
    p->net_wants_write |= e == SSL_ERROR_WANT_WRITE;
    return e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE;
}

static bool wait_for(const struct pump *p, short app_events, int timeout_ms, short *app_got)
{
    struct pollfd fds[2] = {
        { p->net, (short)(POLLIN | (p->net_wants_write ? POLLOUT : 0)), 0 },
        { app_events ? p->app : -1, app_events, 0 },
    };
    int rc;
    while ((rc = poll(fds, 2, timeout_ms)) < 0 && errno == EINTR)
        ;
    *app_got = fds[1].revents;
    return rc > 0;
}

static bool handshake(struct pump *p)
{
    uint64_t deadline = clock_now_ns() + (uint64_t)HTTP_HEAD_MS * 1000000u;
    for (;;) {
        p->net_wants_write = false;
        int rc = SSL_accept(p->ssl);
        if (rc == 1)
            return true;
        uint64_t now = clock_now_ns();
        short ignored;
        if (!again(p, rc) || now >= deadline || atomic_load(&p->server->closing))
            return false;
        if (!wait_for(p, 0, HANDSHAKE_LOOK_MS, &ignored))
            continue; /* is there still time? */
    }
}

static void read_net(struct pump *p)
{
    struct lane *l = &p->in;
    if (l->from < l->to || l->ended)
        return;
    int rc = SSL_read(p->ssl, l->bytes, sizeof(l->bytes));
    l->from = 0;
    l->to = rc > 0 ? (size_t)rc : 0;
    if (rc <= 0 && !again(p, rc))
        l->ended = true;
}

static void write_app(struct pump *p)
{
    struct lane *l = &p->in;
    while (l->from < l->to) {
        ssize_t n = send(p->app, l->bytes + l->from, l->to - l->from, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EAGAIN)
            return;
        if (n <= 0) {
            l->from = l->to; /* the request was answered without its rest */
            return;
        }
        l->from += (size_t)n;
    }
}

static void read_app(struct pump *p)
{
    struct lane *l = &p->out;
    if (l->from < l->to || l->ended)
        return;
    ssize_t n = recv(p->app, l->bytes, sizeof(l->bytes), MSG_DONTWAIT);
    l->from = 0;
    l->to = n > 0 ? (size_t)n : 0;
    l->ended = n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
}

static void write_net(struct pump *p)
{
    struct lane *l = &p->out;
    while (l->from < l->to) {
        int rc = SSL_write(p->ssl, l->bytes + l->from, (int)(l->to - l->from));
        if (rc <= 0) {
            p->broken = !again(p, rc);
            return;
        }
        l->from += (size_t)rc;
    }
}

/* Until one side ends. The client's end means that it is gone; ours, that the answer is complete. */
static void pump_bytes(struct pump *p)
{
    for (;;) {
        p->net_wants_write = false;
        read_net(p);
        write_app(p);
        read_app(p);
        write_net(p);
        if (p->broken || p->in.ended || (p->out.ended && p->out.from == p->out.to))
            return;
        bool in_full = p->in.from < p->in.to, out_full = p->out.from < p->out.to;
        if (!in_full && !out_full && SSL_pending(p->ssl))
            continue;
        short events = (short)((in_full ? POLLOUT : 0) | (out_full ? 0 : POLLIN)), got;
        p->net_wants_write |= out_full;
        /* a client that takes nothing for so long is gone; without anything to take, only whoever
         * works on the answer knows how long it may be silent */
        if (!wait_for(p, events, out_full ? HTTP_SEND_S * 1000 : -1, &got))
            return;
    }
}

static void say_goodbye(struct pump *p)
{
    SSL_shutdown(p->ssl);
    shutdown(p->net, SHUT_WR);
    struct pollfd fd = { p->net, POLLIN, 0 };
    uint64_t until = clock_now_ns() + (uint64_t)HTTP_LINGER_MS * 1000000u;
    char waste[4096];
    while (clock_now_ns() < until && poll(&fd, 1, HTTP_LINGER_MS / 10) >= 0) {
        ssize_t n = recv(p->net, waste, sizeof(waste), MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno != EAGAIN))
            return;
    }
}

static void *pump_main(void *ctx)
{
    struct pump *p = ctx;
    struct http_server *s = p->server;
    if (!p->broken)
        pump_bytes(p);
    if (!p->broken && !p->in.ended)
        say_goodbye(p);
    if (p->app >= 0)
        close(p->app);
    SSL_free(p->ssl);
    close(p->net);
    free(p);
    OPENSSL_thread_stop(); /* nobody waits for this thread but by the count below, and then the program may end */
    pthread_mutex_lock(&s->lock);
    s->n_pumps--;
    pthread_cond_broadcast(&s->idle);
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

struct start {
    struct pump *pump;
    struct conn like;
};

static void *start_main(void *ctx)
{
    struct start *st = ctx;
    struct pump *p = st->pump;
    struct conn like = st->like;
    free(st);
    int pair[2];
    if (handshake(p) &&
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0) {
        p->app = pair[0];
        gate_add(p->server, pair[1], &like);
    } else {
        p->broken = true;
    }
    return pump_main(p);
}

static SSL *session(struct http_server *s, int fd)
{
    pthread_mutex_lock(&s->tls_lock);
    SSL *ssl = SSL_new(atomic_load(&s->tls)); /* counts itself in; a reload cannot free it */
    pthread_mutex_unlock(&s->tls_lock);
    if (ssl && SSL_set_fd(ssl, fd) != 1) {
        SSL_free(ssl);
        return NULL;
    }
    return ssl;
}

bool tls_pump(struct http_server *s, int fd, const struct conn *like)
{
    struct pump *p = calloc(1, sizeof(*p));
    struct start *st = malloc(sizeof(*st));
    SSL *ssl = p && st ? session(s, fd) : NULL;
    pthread_attr_t attr;
    pthread_t thread;
    bool ok = false;
    pthread_mutex_lock(&s->lock);
    s->n_pumps++;
    pthread_mutex_unlock(&s->lock);
    if (ssl) {
        p->server = s;
        p->ssl = ssl;
        p->net = fd;
        p->app = -1;
        st->pump = p;
        st->like = *like;
        pthread_attr_init(&attr);
        pthread_attr_setstacksize(&attr, HTTP_STACK_BYTES);
        pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
        ok = pthread_create(&thread, &attr, start_main, st) == 0;
        pthread_attr_destroy(&attr);
    }
    if (!ok) {
        pthread_mutex_lock(&s->lock);
        s->n_pumps--;
        pthread_mutex_unlock(&s->lock);
        SSL_free(ssl);
        free(st);
        free(p);
    }
    return ok;
}
