/* hub/curl_api.h: libcurl's functions, loaded at the first use. See http.h for why. */
#ifndef HUB_CURL_API_H
#define HUB_CURL_API_H

#include <curl/curl.h>

#include "base/status.h"

struct curl_api {
    CURLcode (*global_init)(long flags);
    curl_version_info_data *(*version_info)(CURLversion);
    CURL *(*easy_init)(void);
    void (*easy_reset)(CURL *);
    CURLcode (*easy_setopt)(CURL *, CURLoption, ...);
    CURLcode (*easy_perform)(CURL *);
    CURLcode (*easy_getinfo)(CURL *, CURLINFO, ...);
    const char *(*easy_strerror)(CURLcode);
    void (*easy_cleanup)(CURL *);
    struct curl_slist *(*slist_append)(struct curl_slist *, const char *);
    void (*slist_free_all)(struct curl_slist *);
    CURLU *(*url)(void);
    CURLUcode (*url_set)(CURLU *, CURLUPart, const char *, unsigned);
    CURLUcode (*url_get)(CURLU *, CURLUPart, char **, unsigned);
    void (*url_cleanup)(CURLU *);
    void (*free)(void *);
};

/* The one table, which lives as long as the program; NULL with err filled when libcurl is missing
 * or too old. Not thread-safe. */
const struct curl_api *curl_api(struct kt_error *err);

#endif
