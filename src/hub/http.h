/* hub/http.h: one HTTPS request, by libcurl, under rules that keep a download from becoming
 * anything else. The only place of the program that opens a connection to another machine.
 *
 * libcurl is loaded when the first request is made, not when the program starts: no other command
 * has an HTTP client in its address space, and none waits for it (it and what it needs cost 13 ms
 * a start). Redirects are never followed here; the caller decides.
 *
 * Rules, for every request:
 *   - https only, certificates checked against the system's list or 'ca_file';
 *   - public addresses only (address.h), except to the host that the person named as their hub;
 *   - the token goes to the hub's own scheme, host and port and nowhere else, and never into a
 *     message; a User-Agent that says nothing about the machine; no cookies, no netrc;
 *   - a transfer slower than 1 KB/s for 'stall_s' seconds is ended.
 * The proxy variables https_proxy, all_proxy, no_proxy (and in capitals) are honoured. Through a
 * proxy names are resolved by the proxy, so only literal addresses can be checked. */
#ifndef HUB_HTTP_H
#define HUB_HTTP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "hub/reply.h"

struct http_options {
    const char *hub_url; /* "https://host[:port][/path]"                             */
    bool hub_named;      /* the person chose it: its host may be a private address   */
    const char *token;   /* or NULL                                                  */
    const char *ca_file; /* PEM, or NULL: the system's                               */
    unsigned stall_s;    /* 0: 30                                                    */
    bool (*stop)(void);  /* polled a few times a second, or NULL                     */
};

struct http;

/* Strings are copied. KT_E_UNSUPPORTED when libcurl is not installed, KT_E_USAGE for a URL or a
 * token that cannot be used. */
KT_MUST_CHECK enum kt_status http_open(struct http **out, const struct http_options *o,
                                       struct kt_error *err);
void http_close(struct http *h);

/* KT_OK means that a reply came, whatever its status. */
KT_MUST_CHECK enum kt_status http_head(struct http *h, const char *url, struct http_reply *r,
                                       struct kt_error *err);

/* Where the body of a GET goes. 'begin' sees the reply's head before the first byte and may refuse
 * it (the request then ends with its status); 'data' may fail too. Bodies of statuses other than
 * 200 and 206 are not delivered. */
struct http_sink {
    enum kt_status (*begin)(void *ctx, const struct http_reply *r, struct kt_error *err);
    enum kt_status (*data)(void *ctx, const void *data, size_t len, struct kt_error *err);
    void *ctx;
};
/* Bytes from 'from' on; if from > 0 with "If-Range: if_range" unless that is "". */
KT_MUST_CHECK enum kt_status http_get(struct http *h, const char *url, uint64_t from,
                                      const char *if_range, const struct http_sink *sink,
                                      struct http_reply *r, struct kt_error *err);

/* Does the URL belong to the hub itself (scheme, host, port)? */
bool http_is_hub(const struct http *h, const char *url);
/* For messages: scheme, host and port; the rest of a URL may hold signatures. */
void http_origin(const struct http *h, char *out, size_t size, const char *url);

#endif
