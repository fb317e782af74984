/* hub/reply.h: the head of an HTTP reply, as far as a download depends on it. Everything in it comes
 * from a stranger: what is not exactly of the expected form is as good as absent. */
#ifndef HUB_REPLY_H
#define HUB_REPLY_H

#include "base/span.h"
#include "hub/manifest.h"

enum { LOCATION_MAX = 8192 }; /* HUB_URL_MAX */

struct http_reply {
    long status;                               /* 200, 302, ...; 0: none came                   */
    char location[LOCATION_MAX + 1];           /* where a redirect leads, or ""                 */
    char etag[ETAG_MAX];                       /* strong ones only, with quotes                 */
    char git_id[41];                           /* the ETag, when it is 40 hex digits; or ""     */
    char sha256[65];                           /* X-Linked-ETag, when it is 64 of them; or ""   */
    int64_t linked_size;                       /* X-Linked-Size, or -1                          */
    char commit[65];                           /* X-Repo-Commit, or ""                          */
    int64_t length;                            /* Content-Length, or -1                         */
    int64_t range_from, range_to, range_total; /* Content-Range, or -1                */
    unsigned retry_after_s;                    /* Retry-After in seconds, at most a day, or 0   */
    char error_code[33];                       /* X-Error-Code, letters and digits only         */
    bool transient;                            /* a failure that may pass by itself: try again  */
};

void reply_reset(struct http_reply *r);
/* One line of the head, its end included or not. A status line resets: it begins another head
 * (after "100 Continue", or after the proxy's own). */
void reply_take_line(struct http_reply *r, struct span line);

#endif
