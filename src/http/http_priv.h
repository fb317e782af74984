/* http/http_priv.h: what the files of this folder share.
 *
 *   listen.c   addresses and listening sockets
 *   gate.c     one thread: accepts, judges heads, watches deadlines and who has left
 *   bridge.c   libmicrohttpd's callbacks: body in, answer out
 *   request.c  what handlers see of a request
 *   tls.c      one thread a TLS connection: OpenSSL outside, plain bytes inside
 *   route.c    paths
 *
 * Locks: server.lock guards the list of connections, each connection's state, and the counts;
 * request.lock guards a request's answer. Order: server.lock before request.lock. */
#ifndef HTTP_HTTP_PRIV_H
#define HTTP_HTTP_PRIV_H

#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>

#include "http/head.h"
#include "http/http.h"
#include "http/limits.h"

struct MHD_Connection;
struct MHD_Daemon;
struct MHD_Response;
struct ssl_ctx_st;

enum conn_state { CONN_HEAD, CONN_OPEN, CONN_LINGER };

struct conn {
    struct conn *prev, *next;
    enum conn_state state;
    int fd;     /* ours; libmicrohttpd gets a duplicate, so that the number stays ours, too */
    int mhd_fd; /* OPEN: the duplicate; -1 */
    bool is_tls;
    char peer[INET6_ADDRSTRLEN];
    unsigned peer_port, own_port;
    uint64_t since_ns;    /* of the state */
    uint64_t deadline_ns; /* HEAD, LINGER */
    bool wants_body;      /* OPEN: the body is not complete; guarded by server.lock like the rest */
    uint64_t body_bytes;  /* ... and so much of it is here */
    struct http_request *request; /* OPEN: once libmicrohttpd has begun it */
    bool gone;                    /* the client left before there was a request to tell */
};

struct listener {
    int fd;
    bool inherited; /* whoever gave it goes on listening */
    unsigned port;
};

struct http_server {
    struct http_options opts;
    struct MHD_Daemon *mhd;
    struct ssl_ctx_st *_Atomic tls; /* NULL: plain; replaced by a reload */
    pthread_mutex_t tls_lock;
    struct listener *listeners;
    size_t n_listeners;
    int epoll_fd, wake_fd;
    pthread_t gate;
    atomic_bool gate_runs;
    atomic_bool stopping; /* requests that run are finished, new ones refused */
    atomic_bool closing;  /* those are done: no new connections */

    pthread_mutex_t lock;
    pthread_cond_t idle; /* something ended: for stop() */
    struct conn *conns;
    size_t n_conns, n_heads, n_handlers, n_pumps, body_bytes;
    uint64_t refused_heads;
};

enum reply_state { REPLY_NONE, REPLY_WHOLE, REPLY_STREAM };

struct http_request {
    struct http_server *server;
    struct conn *conn;
    struct MHD_Connection *mhd;
    size_t route_idx;
    char id[17];
    char method[17];
    char *path;                /* decoded */
    char *params[HTTP_PARAMS]; /* in the order of the route's braces */
    const char *params_of;     /* the route's path */
    void *data;
    uint64_t start_ns;
    bool begun;   /* before() was asked */
    bool refused; /* answered before the body */
    bool sent;    /* the answer, to its last byte */
    struct buf body;
    size_t body_max, body_charged, discarded;

    struct {
        char *name, *value;
    } fields[HTTP_REPLY_FIELDS];
    size_t n_fields;

    atomic_bool gone;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t changed;
    enum reply_state reply;
    int status;
    const char *content_type;
    struct buf out;    /* REPLY_WHOLE: the body; REPLY_STREAM: what is not sent yet */
    size_t out_sent;   /* of out */
    bool handler_runs; /* its thread is not over */
};

/* ---- listen.c ---- */
/* Sockets for all addresses, and the queue of events that they and connections stand in. */
KT_MUST_CHECK enum kt_status gate_open(struct http_server *s, struct kt_error *err);

/* ---- gate.c ---- */
void gate_wake(struct http_server *s);
void *gate_main(void *server);
void make_id(char id[static 17]);
/* A stream of plain bytes from a client, to be judged. Takes the descriptor. */
void gate_add(struct http_server *s, int fd, const struct conn *like);

/* ---- bridge.c ---- */
KT_MUST_CHECK enum kt_status bridge_start(struct http_server *s, struct kt_error *err);
void bridge_stop(struct http_server *s);
/* The head of c was judged: libmicrohttpd goes on. False when it cannot. */
bool bridge_take(struct http_server *s, struct conn *c);

/* ---- request.c ---- */
struct http_request *request_create(struct http_server *s, struct conn *c,
                                    struct MHD_Connection *mhd, const char *method,
                                    struct span target);
void request_destroy(struct http_request *rq);
/* The client has left: whoever works or waits for it is told. */
void request_set_gone(struct http_request *rq);

/* ---- route.c ---- */
/* The index, or SIZE_MAX; *path_known: another method would do. Fills rq's params. */
size_t route_find(struct http_request *rq, bool *path_known);
/* The methods that the request's path takes, "GET, POST". */
void route_methods(const struct http_request *rq, struct buf *out);

/* ---- tls.c ---- */
KT_MUST_CHECK enum kt_status tls_load(struct ssl_ctx_st **out, const char *cert, const char *key,
                                      struct kt_error *err);
void tls_unload(struct ssl_ctx_st *ctx);
/* Serve TLS on fd (taken) from a thread of its own. 'like': what is known of the peer. False: no thread. */
bool tls_pump(struct http_server *s, int fd, const struct conn *like);

const char *http_reason(int status);

#endif
