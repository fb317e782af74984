/* http/head.h: a request's head, judged byte by byte before anything else reads it.
 *
 * Servers and proxies that read the same bytes differently are how requests are smuggled and checks
 * avoided. So whatever has two readings is refused here: what passes has one. RFC 9112 would allow
 * some of it (a bare LF, for instance); no client that we know sends it. */
#ifndef HTTP_HEAD_H
#define HTTP_HEAD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"

struct http_head {
    size_t len;         /* bytes up to and with the empty line */
    struct span method; /* these point into the bytes given */
    struct span target; /* path and query, as sent */
    bool has_body;
    bool chunked;
    uint64_t body_len; /* Content-Length; 0 when chunked or none */
};

/* 0: more bytes are needed. 200: it is whole and has one meaning; *out is filled. Anything else is the
 * status to refuse it with, and *why a fixed sentence. Looks at no more than HTTP_HEAD_BYTES. */
int http_head_judge(struct http_head *out, struct span bytes, const char **why);

/* %XX decoded into out (at most len bytes, terminated: room for len + 1), or false when it is not
 * well-formed: a broken escape, a zero byte, ill-formed UTF-8. */
bool http_unescape(char *out, size_t *out_len, struct span s);

#endif
