/* hub/url.h: where URLs lead, and by which proxy. libcurl's own parser does the work, so that what
 * is judged is what is used. */
#ifndef HUB_URL_H
#define HUB_URL_H

#include <stdbool.h>
#include <stddef.h>

#include "hub/curl_api.h"

struct origin {
    char host[256]; /* as in the URL, lower case */
    unsigned port;
};

/* KT_E_FORMAT unless it is an https URL without a user name in it. Messages quote the host at most. */
KT_MUST_CHECK enum kt_status url_origin(struct origin *out, const struct curl_api *api,
                                        const char *url, struct kt_error *err);
bool origin_same(const struct origin *a, const struct origin *b);
/* 'location' as an absolute URL; it may be relative to 'base'. "" when it cannot be used. 'out' and
 * 'location' may be the same memory. */
void url_resolve(char *out, size_t size, const struct curl_api *api, const char *base,
                 const char *location);
/* What $https_proxy, $all_proxy and $no_proxy say about this host; "" for none. */
const char *url_proxy(const char *host);

#endif
