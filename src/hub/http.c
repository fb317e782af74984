/* One HTTPS request, by libcurl. */
#include "hub/http.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/files.h"
#include "base/size.h"
#include "hub/address.h"
#include "hub/limits.h"
#include "hub/url.h"
#include "kontor/version.h"

enum {
    STALL_S = 30,
    STALL_BYTES = 1024,
    DISCARD_MAX = 1 << 20, /* of an error page; it may never end */
};

struct http {
    const struct curl_api *api;
    CURL *curl;
    struct origin hub;
    bool hub_named;
    char *auth; /* "Authorization: Bearer ...", or NULL */
    char *ca_file;
    unsigned stall_s;
    bool (*stop)(void);

    /* of the request under way */
    struct origin at;
    bool by_proxy;
    bool address_refused;
    struct http_reply *reply;
    const struct http_sink *sink;
    bool begun;
    size_t discarded; /* bytes of a body that nobody reads */
    enum kt_status sink_status;
    struct kt_error *err;
};

bool http_is_hub(const struct http *h, const char *url)
{
    struct origin o;
    return url_origin(&o, h->api, url, NULL) == KT_OK && origin_same(&o, &h->hub);
}

void http_origin(const struct http *h, char *out, size_t size, const char *url)
{
    struct origin o;
    if (url_origin(&o, h->api, url, NULL))
        snprintf(out, size, "?");
    else if (o.port == 443)
        snprintf(out, size, "https://%s", o.host);
    else
        snprintf(out, size, "https://%s:%u", o.host, o.port);
}

/* ---- the reply ---- */

static size_t on_header(char *data, size_t size, size_t n, void *ctx)
{
    struct http *h = ctx;
    reply_take_line(h->reply, (struct span){ data, size * n });
    return size * n;
}

static size_t on_body(char *data, size_t size, size_t n, void *ctx)
{
    struct http *h = ctx;
    size_t len = size * n;
    h->api->easy_getinfo(h->curl, CURLINFO_RESPONSE_CODE, &h->reply->status);
    if (!h->sink || (h->reply->status != 200 && h->reply->status != 206))
        return (h->discarded += len) <= DISCARD_MAX ? len : 0; /* an error page */
    if (!h->begun) {
        h->begun = true;
        h->sink_status = h->sink->begin(h->sink->ctx, h->reply, h->err);
    }
    if (!h->sink_status)
        h->sink_status = h->sink->data(h->sink->ctx, data, len, h->err);
    return h->sink_status ? 0 : len;
}

/* ---- connecting ---- */

/* Called with each address before anything is sent to it. */
static curl_socket_t on_socket(void *ctx, curlsocktype purpose, struct curl_sockaddr *a)
{
    struct http *h = ctx;
    bool named = h->hub_named && strcmp(h->at.host, h->hub.host) == 0;
    if (!h->by_proxy && !named && !address_is_public(&a->addr)) {
        h->address_refused = true;
        return CURL_SOCKET_BAD;
    }
    (void)purpose;
    return socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
}

static int on_progress(void *ctx, curl_off_t dl_all, curl_off_t dl, curl_off_t ul_all,
                       curl_off_t ul)
{
    struct http *h = ctx;
    (void)dl_all, (void)dl, (void)ul_all, (void)ul;
    return h->stop && h->stop();
}

static bool set_up(struct http *h, const char *url, const char *proxy, struct curl_slist *headers)
{
    const struct curl_api *c = h->api;
    CURL *e = h->curl;
    c->easy_reset(e); /* keeps connections */
    bool ok = c->easy_setopt(e, CURLOPT_URL, url) == CURLE_OK &&
              c->easy_setopt(e, CURLOPT_PROTOCOLS_STR, "https") == CURLE_OK &&
              c->easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L) == CURLE_OK &&
              c->easy_setopt(e, CURLOPT_SSL_VERIFYPEER, 1L) == CURLE_OK &&
              c->easy_setopt(e, CURLOPT_SSL_VERIFYHOST, 2L) == CURLE_OK &&
              c->easy_setopt(e, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2) == CURLE_OK &&
              c->easy_setopt(e, CURLOPT_PROXY, proxy) == CURLE_OK &&
              c->easy_setopt(e, CURLOPT_NOPROXY, "") == CURLE_OK &&
              c->easy_setopt(e, CURLOPT_HTTPHEADER, headers) == CURLE_OK &&
              c->easy_setopt(e, CURLOPT_OPENSOCKETFUNCTION, on_socket) == CURLE_OK &&
              c->easy_setopt(e, CURLOPT_OPENSOCKETDATA, h) == CURLE_OK;
    if (h->ca_file)
        ok = ok && c->easy_setopt(e, CURLOPT_CAINFO, h->ca_file) == CURLE_OK &&
             c->easy_setopt(e, CURLOPT_CAPATH, NULL) == CURLE_OK;
    if (!ok)
        return false;
    c->easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
    c->easy_setopt(e, CURLOPT_USERAGENT, "kontor/" KT_VERSION);
    c->easy_setopt(e, CURLOPT_CONNECTTIMEOUT, (long)h->stall_s);
    c->easy_setopt(e, CURLOPT_LOW_SPEED_LIMIT, (long)STALL_BYTES);
    c->easy_setopt(e, CURLOPT_LOW_SPEED_TIME, (long)h->stall_s);
    c->easy_setopt(e, CURLOPT_BUFFERSIZE, 256L * 1024);
    c->easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header);
    c->easy_setopt(e, CURLOPT_HEADERDATA, h);
    c->easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
    c->easy_setopt(e, CURLOPT_WRITEDATA, h);
    c->easy_setopt(e, CURLOPT_NOPROGRESS, 0L);
    c->easy_setopt(e, CURLOPT_XFERINFOFUNCTION, on_progress);
    c->easy_setopt(e, CURLOPT_XFERINFODATA, h);
    return true;
}

/* ---- what went wrong ---- */

static enum kt_status fail_certificate(struct http *h, struct kt_error *err)
{
    return kt_fail(err, KT_E_KEY,
                   "%s: its certificate is not trusted; is this network's traffic inspected, or "
                   "the hub a private one? Give its authority's certificate in hub_ca",
                   h->at.host);
}

static enum kt_status explain(struct http *h, CURLcode code, struct kt_error *err)
{
    if (h->sink_status)
        return h->sink_status; /* and 'transient' is as the sink left it */
    h->reply->transient = false;
    if (h->address_refused)
        return kt_fail(err, KT_E_IO,
                       "%s: leads to an address inside a private network or this machine; a "
                       "download does not go there%s",
                       h->at.host,
                       origin_same(&h->at, &h->hub) ? ", unless you name the hub yourself with "
                                                      "--hub"
                                                    : "");
    switch (code) {
    case CURLE_ABORTED_BY_CALLBACK:
        return kt_fail(err, KT_E_CANCELLED, "stopped");
    case CURLE_OUT_OF_MEMORY:
        return kt_fail(err, KT_E_NOMEM, "out of memory");
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_ISSUER_ERROR:
        return fail_certificate(h, err);
    case CURLE_SSL_CACERT_BADFILE:
        return kt_fail(err, KT_E_KEY, "%s: cannot be read as certificates",
                       h->ca_file ? h->ca_file : "the system's list of authorities");
    case CURLE_COULDNT_RESOLVE_PROXY:
        return kt_fail(err, KT_E_IO, "the proxy that https_proxy names is not known");
    case CURLE_OPERATION_TIMEDOUT:
        h->reply->transient = true;
        return kt_fail(err, KT_E_TIMEOUT, "%s: no data for %u seconds", h->at.host, h->stall_s);
    case CURLE_COULDNT_RESOLVE_HOST:
        h->reply->transient = true;
        return kt_fail(err, KT_E_IO, "%s: the name is not known; is this machine online?",
                       h->at.host);
    default:
        h->reply->transient = true;
        return kt_fail(err, KT_E_IO, "%s: %s", h->at.host, h->api->easy_strerror(code));
    }
}

/* ---- one request ---- */

static bool add_header(struct http *h, struct curl_slist **list, const char *line)
{
    struct curl_slist *more = h->api->slist_append(*list, line);
    if (more)
        *list = more;
    return more != NULL;
}

/* Literal addresses are judged before anything is asked of a proxy. */
static enum kt_status check_target(struct http *h, const char *url, struct kt_error *err)
{
    enum kt_status st = url_origin(&h->at, h->api, url, err);
    bool named = h->hub_named && strcmp(h->at.host, h->hub.host) == 0;
    if (!st && !named && !host_may_be_public(h->at.host)) {
        h->address_refused = true;
        st = explain(h, CURLE_OK, err);
    }
    return st;
}

static enum kt_status perform(struct http *h, const char *url, bool head, const char *range,
                              const char *if_range, struct kt_error *err)
{
    h->err = err;
    h->begun = false;
    h->discarded = 0;
    h->address_refused = false;
    h->sink_status = KT_OK;
    reply_reset(h->reply);
    enum kt_status st = check_target(h, url, err);
    if (st)
        return st;

    char line[ETAG_MAX + 16];
    struct curl_slist *headers = NULL;
    const char *proxy = url_proxy(h->at.host);
    h->by_proxy = proxy[0] != '\0';
    bool ok = add_header(h, &headers, "Accept-Encoding: identity") &&
              add_header(h, &headers, "Accept: */*");
    if (h->auth && origin_same(&h->at, &h->hub))
        ok = ok && add_header(h, &headers, h->auth);
    if (if_range && if_range[0]) {
        snprintf(line, sizeof(line), "If-Range: %s", if_range);
        ok = ok && add_header(h, &headers, line);
    }
    ok = ok && set_up(h, url, proxy, headers);
    if (ok && head)
        ok = h->api->easy_setopt(h->curl, CURLOPT_NOBODY, 1L) == CURLE_OK;
    if (ok && range)
        ok = h->api->easy_setopt(h->curl, CURLOPT_RANGE, range) == CURLE_OK;
    if (!ok) {
        st = kt_fail(err, KT_E_INTERNAL, "libcurl refused an option; is it complete?");
    } else {
        CURLcode code = h->api->easy_perform(h->curl);
        h->api->easy_getinfo(h->curl, CURLINFO_RESPONSE_CODE, &h->reply->status);
        url_resolve(h->reply->location, sizeof(h->reply->location), h->api, url,
                    h->reply->location);
        if (code == CURLE_WRITE_ERROR && h->discarded > DISCARD_MAX)
            code = CURLE_OK; /* the head is all that was wanted */
        if (code != CURLE_OK)
            st = explain(h, code, err);
    }
    h->api->slist_free_all(headers);
    return st;
}

enum kt_status http_head(struct http *h, const char *url, struct http_reply *r,
                         struct kt_error *err)
{
    h->reply = r;
    h->sink = NULL;
    return perform(h, url, true, NULL, NULL, err);
}

enum kt_status http_get(struct http *h, const char *url, uint64_t from, const char *if_range,
                        const struct http_sink *sink, struct http_reply *r, struct kt_error *err)
{
    char range[32];
    snprintf(range, sizeof(range), "%llu-", (unsigned long long)from);
    h->reply = r;
    h->sink = sink;
    return perform(h, url, false, from ? range : NULL, from ? if_range : NULL, err);
}

/* ---- opening ---- */

static enum kt_status set_token(struct http *h, const char *token, struct kt_error *err)
{
    size_t n = strlen(token);
    bool ok = n <= HUB_TOKEN_MAX;
    for (size_t i = 0; i < n; i++)
        ok = ok && token[i] > 0x20 && token[i] < 0x7F;
    if (!ok)
        return kt_fail(err, KT_E_USAGE,
                       "the access token is not one: it holds a space or another character that "
                       "tokens do not have, or is too long");
    struct buf b = { 0 };
    buf_printf(&b, "Authorization: Bearer %s", token);
    h->auth = buf_take(&b);
    return h->auth ? KT_OK : kt_fail(err, KT_E_NOMEM, "out of memory");
}

enum kt_status http_open(struct http **out, const struct http_options *o, struct kt_error *err)
{
    *out = NULL;
    const struct curl_api *api = curl_api(err);
    if (!api)
        return err ? err->status : KT_E_UNSUPPORTED;
    struct http *h = calloc(1, sizeof(*h));
    if (!h)
        return kt_fail(err, KT_E_NOMEM, "out of memory");
    h->api = api;
    h->hub_named = o->hub_named;
    h->stall_s = o->stall_s ? o->stall_s : STALL_S;
    h->stop = o->stop;
    h->curl = api->easy_init();
    enum kt_status st = h->curl ? KT_OK : kt_fail(err, KT_E_NOMEM, "out of memory");
    if (!st && (strpbrk(o->hub_url, "?# \t\r\n") || url_origin(&h->hub, api, o->hub_url, err)))
        st = kt_fail(err, KT_E_USAGE, "the hub's address is not of the form https://HOST");
    if (!st && o->token && o->token[0])
        st = set_token(h, o->token, err);
    if (!st && o->ca_file && o->ca_file[0]) {
        h->ca_file = strdup(o->ca_file);
        if (!h->ca_file)
            st = kt_fail(err, KT_E_NOMEM, "out of memory");
        else if (!file_exists(h->ca_file))
            st =
                kt_fail(err, KT_E_NOTFOUND, "%s: hub_ca names it, but it is not there", h->ca_file);
    }
    if (st) {
        http_close(h);
        return st;
    }
    *out = h;
    return KT_OK;
}

void http_close(struct http *h)
{
    if (!h)
        return;
    if (h->curl)
        h->api->easy_cleanup(h->curl);
    if (h->auth)
        explicit_bzero(h->auth, strlen(h->auth));
    free(h->auth);
    free(h->ca_file);
    free(h);
}
