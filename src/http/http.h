/* http/http.h: a small, strict HTTP/1.1 server; it knows nothing of models or matters.
 *
 * Two nouns: the server, which listens, and a request, which lives on a thread of its own from the
 * moment its body is complete until its answer is made.
 *
 *   accept --> [TLS pump] --> HEAD --judged (head.h)--> OPEN --> before() --> body --> handle() --> LINGER
 *                               |                         ^ libmicrohttpd reads and writes here
 *                               '-- refused, late, full: a short answer, LINGER
 *
 * A connection carries one request: its head is judged as raw bytes before libmicrohttpd, which is more
 * lenient, sees any of it, and nothing that follows it on the connection is ever read as a request. So
 * there is nothing to smuggle. A client that leaves is noticed while its answer is being made.
 *
 * Deadlines and bounds are in limits.h. */
#ifndef HTTP_HTTP_H
#define HTTP_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"
#include "base/status.h"

struct http_server;
struct http_request;

struct http_route {
    const char *method; /* "GET" */
    const char *path;   /* "/api/matters/{matter}"; a name in braces takes one segment */
    size_t body_max;    /* bytes; 0: none is taken */
};

/* What the layer above does with a request. All get the route's index; threads as said. */
struct http_hooks {
    /* The head is there, the body not yet: who is it, may they? Return false after http_reply(). Short;
     * runs on the connection's thread. */
    bool (*before)(struct http_request *rq, size_t route_idx, void *ctx);
    /* The whole request. Runs on a thread of its own and may take its time. Returning without an answer is
     * a 500. */
    void (*handle)(struct http_request *rq, size_t route_idx, void *ctx);
    /* An answer for what this module refuses itself: no such route, body too large. Calls http_reply(). */
    void (*refuse)(struct http_request *rq, int status, const char *why, void *ctx);
    /* The request is over, in whatever way; for logs and metrics. route_idx SIZE_MAX: none. */
    void (*done)(struct http_request *rq, size_t route_idx, void *ctx);
    void *ctx;
};

struct http_options {
    const char *const *listen; /* [n_listen] "127.0.0.1:8080", "[::1]:8080" */
    size_t n_listen;
    const int *
        listen_fds; /* [n_listen_fds] sockets that listen already (socket activation); taken over */
    size_t n_listen_fds;
    const char *cert_path, *key_path; /* PEM; both or none */
    /* Called once, when all sockets listen and before anything is taken from them; a failure ends the start. May be NULL. */
    enum kt_status (*opened)(struct kt_error *err);
    const struct http_route *routes; /* [n_routes], borrowed for the server's life */
    size_t n_routes;
    struct http_hooks hooks;
};

/* Listen and serve. KT_E_IO names the address that cannot be had. */
KT_MUST_CHECK enum kt_status
http_server_start(struct http_server **out, const struct http_options *opts, struct kt_error *err);
/* Begin no new requests: who comes to an address of ours is told so (503, Retry-After), who comes to a socket that was
 * handed over waits there for our successor. Wait up to drain_ms for the requests that run, then cancel them; end. NULL is
 * fine. */
void http_server_stop(struct http_server *s, unsigned drain_ms);
/* The port of the i-th address (of interest when 0 was asked for). */
unsigned http_server_port(const struct http_server *s, size_t i);
/* Read certificate and key again; on failure the old ones stay. */
KT_MUST_CHECK enum kt_status http_server_reload(struct http_server *s, struct kt_error *err);
struct http_counts {
    size_t connections, waiting_heads, handlers, body_bytes;
    uint64_t refused_heads; /* answered before they became a request */
};
void http_server_counts(struct http_server *s, struct http_counts *out);

/* Is this address ("127.0.0.1:80", "[::]:80") reachable from this machine only? */
bool http_is_loopback(const char *address);
/* The same of a socket that listens; a local (Unix) one is. */
bool http_fd_is_loopback(int fd);

/* Could a server listen there now? 0, or the error number of the system; -1: it is no address. */
int http_try_listen(const char *address);

struct http_certificate {
    int64_t from_unix, until_unix; /* valid */
    const char
        *other_name; /* the first of the names asked for that it is not for; NULL: it is for all */
};
/* KT_E_FORMAT: cannot be read, or the key is another one's. */
KT_MUST_CHECK enum kt_status
http_certificate_look(struct http_certificate *out, const char *cert_path, const char *key_path,
                      const char *const *names, size_t n_names, struct kt_error *err);

/* ---- a request; every pointer lives as long as it does ---------------------------------------- */

const char *http_id(const struct http_request *rq); /* 16 hex digits */
/* The id that the client or a proxy gave it (X-Request-Id), when it is one: 8 to 64 hex digits and dashes. NULL. */
const char *http_client_id(const struct http_request *rq);
const char *http_method(const struct http_request *rq);
const char *http_path(const struct http_request *rq); /* decoded, without the query */
const char *http_peer(const struct http_request *rq); /* "192.168.1.7" */
/* The user on this machine whose program sent this; false when it did not come from this machine, or nobody can be
 * named for certain. */
bool http_peer_uid(const struct http_request *rq, unsigned *uid);
bool http_is_tls(const struct http_request *rq);
const char *http_param(const struct http_request *rq,
                       const char *name); /* of the route's path; NULL */
const char *http_query(const struct http_request *rq, const char *name);  /* decoded; NULL */
const char *http_header(const struct http_request *rq, const char *name); /* NULL */
/* The value of a cookie, as sent, up to its end; false when there is none. */
bool http_cookie(const struct http_request *rq, const char *name, struct span *out);
struct span http_body(const struct http_request *rq); /* followed by a zero byte */
/* For the layer above. */
void http_set_data(struct http_request *rq, void *data);
void *http_data(const struct http_request *rq);

/* Add a field to the answer, before it begins. Neither may come from outside unchecked. */
void http_field(struct http_request *rq, const char *name, const char *value);
/* The whole answer, once. 'body' is copied. */
void http_reply(struct http_request *rq, int status, const char *content_type, const char *body,
                size_t len);
/* An event stream instead; it ends when handle() returns. */
void http_stream_begin(struct http_request *rq);
/* From any one thread at a time. Never waits. False when nobody reads any more: stop. */
bool http_stream_write(struct http_request *rq, const char *bytes, size_t len);
/* Is the client gone (or the server stopping for good)? From any thread; cheap. */
bool http_gone(const struct http_request *rq);

/* Of the answer, for done(). */
int http_status(const struct http_request *rq); /* 0: none was begun */
bool http_sent(const struct http_request *rq);  /* to its last byte; else the client had left */
uint64_t http_age_ns(const struct http_request *rq);

#endif
