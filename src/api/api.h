/* api/api.h: JSON to tasks and back: what `kontor serve` answers.
 *
 * One noun: the api, which owns the HTTP server and the table of routes (routes.c). What it works with (store,
 * access book, kept answers) is borrowed and must outlive it; the crew is held. docs/SERVER.md says what each route takes and gives;
 * /openapi.json says it to programs, and a test compares it with the table. */
#ifndef API_API_H
#define API_API_H

#include "access/access.h"
#include "http/http.h"
#include "kept/kept.h"
#include "kontor/store.h"
#include "serve/crew.h"

struct api;

struct api_options {
    struct kt_store *store;
    struct access *access;
    struct kept *kept;
    struct crew *crew;        /* the api holds it while it lives */
    const char *const *hosts; /* [n_hosts] names this server is called by, beside loopback's own */
    size_t n_hosts;
    const char *const
        *roots; /* [n_roots] folders that may be indexed through the API; none: none */
    size_t n_roots;
    struct http_options http; /* routes and hooks are filled in here */
};

/* KT_E_USAGE when an address that others reach is asked for without TLS, or without a user. */
KT_MUST_CHECK enum kt_status api_start(struct api **out, const struct api_options *opts,
                                       struct kt_error *err);
/* Let what runs finish, for drain_ms; then cancel. NULL is fine. */
void api_stop(struct api *a, unsigned drain_ms);
struct http_server *api_http(struct api *a);
/* New requests go to this crew, which the api holds from here on; those that run finish with the one they began with. */
void api_set_crew(struct api *a, struct crew *crew);

/* What is kept of users that are gone goes, too; and what was kept before there were users. */
KT_MUST_CHECK enum kt_status api_forget_users(struct kept *k, struct access *a,
                                              struct kt_error *err);

#endif
