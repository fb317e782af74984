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
#include "hub/curl_api.h"
#include "hub/jread.h"
#include "hub/limits.h"
#include "kontor/version.h"

enum { STALL_S = 30, STALL_BYTES = 1024 };

struct origin {
    char host[256]; /* as in the URL, lower case */
    unsigned port;
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
    const char *url;
    const struct http_sink *sink;
    bool begun;
    enum kt_status sink_status;
    struct kt_error *err;
};

/* ---- URLs ---- */

static bool url_text(char *out, size_t size, const struct curl_api *api, CURLU *u, CURLUPart part)
{
    char *s = NULL;
    if (api->url_get(u, part, &s, part == CURLUPART_PORT ? CURLU_DEFAULT_PORT : 0) != CURLUE_OK)
        return false;
    bool fits = strlen(s) < size;
    if (fits)
        memcpy(out, s, strlen(s) + 1);
    api->free(s);
    return fits;
}

static bool has_part(const struct curl_api *api, CURLU *u, CURLUPart part)
{
    char *s = NULL;
    bool has = api->url_get(u, part, &s, 0) == CURLUE_OK && s && s[0];
    api->free(s);
    return has;
}

static void lower(char *s)
{
    for (; *s; s++)
        *s = *s >= 'A' && *s <= 'Z' ? (char)(*s + 32) : *s;
}

/* Where a URL leads. Only https, no user name in it. Messages never quote more than the host. */
static enum kt_status url_origin(struct origin *out, const struct curl_api *api, const char *url,
                                 struct kt_error *err)
{
    char scheme[16], port[8];
    CURLU *u = api->url();
    if (!u)
        return kt_fail(err, KT_E_NOMEM, "out of memory");
    enum kt_status st = KT_OK;
    if (strlen(url) > HUB_URL_MAX || api->url_set(u, CURLUPART_URL, url, 0) != CURLUE_OK ||
        !url_text(out->host, sizeof(out->host), api, u, CURLUPART_HOST) ||
        !url_text(port, sizeof(port), api, u, CURLUPART_PORT) ||
        !url_text(scheme, sizeof(scheme), api, u, CURLUPART_SCHEME))
        st = kt_fail(err, KT_E_FORMAT, "an address that is no https URL");
    else if (strcmp(scheme, "https") != 0)
        st = kt_fail(err, KT_E_FORMAT, "%s: the address is %s, only https is used", out->host,
                     scheme);
    else if (has_part(api, u, CURLUPART_USER) || has_part(api, u, CURLUPART_PASSWORD))
        st = kt_fail(err, KT_E_FORMAT, "%s: an address with a user name in it is not used",
                     out->host);
    if (!st) {
        lower(out->host);
        out->port = (unsigned)strtoul(port, NULL, 10);
    }
    api->url_cleanup(u);
    return st;
}

static bool same_origin(const struct origin *a, const struct origin *b)
{
    return a->port == b->port && strcmp(a->host, b->host) == 0;
}

bool http_is_hub(const struct http *h, const char *url)
{
    struct origin o;
    return url_origin(&o, h->api, url, NULL) == KT_OK && same_origin(&o, &h->hub);
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

/* Location may be relative to the URL that it answers. "" when it cannot be used. */
static void resolve_location(struct http *h, char *out, size_t size, const char *location)
{
    out[0] = '\0';
    CURLU *u = h->api->url();
    if (u && strlen(location) <= HUB_URL_MAX &&
        h->api->url_set(u, CURLUPART_URL, h->url, 0) == CURLUE_OK &&
        h->api->url_set(u, CURLUPART_URL, location, CURLU_NON_SUPPORT_SCHEME) == CURLUE_OK)
        url_text(out, size, h->api, u, CURLUPART_URL);
    h->api->url_cleanup(u);
}

/* ---- proxies ---- */

static const char *env_either(const char *low, const char *high)
{
    const char *v = getenv(low);
    return v && v[0] ? v : getenv(high);
}

/* no_proxy: names and addresses separated by commas or spaces; a name also means what ends in it;
 * "*" means everything. */
static bool without_proxy(const char *host)
{
    const char *list = env_either("no_proxy", "NO_PROXY");
    size_t host_len = strlen(host);
    while (list && *list) {
        size_t n = strcspn(list, ", ");
        const char *entry = list;
        list += n;
        list += strspn(list, ", ");
        if (n == 1 && entry[0] == '*')
            return true;
        if (n && entry[0] == '.') {
            entry++;
            n--;
        }
        if (n && n <= host_len && strncasecmp(host + host_len - n, entry, n) == 0 &&
            (n == host_len || host[host_len - n - 1] == '.'))
            return true;
    }
    return false;
}

static const char *proxy_for(const char *host)
{
    const char *proxy = env_either("https_proxy", "HTTPS_PROXY");
    if (!proxy || !proxy[0])
        proxy = env_either("all_proxy", "ALL_PROXY");
    return proxy && proxy[0] && !without_proxy(host) ? proxy : "";
}

/* ---- reading the reply's head ---- */

/* The value if the line is "name: value", white space removed from its ends. */
static bool header_is(struct span line, const char *name, struct span *value)
{
    size_t n = strlen(name);
    if (line.len <= n || line.ptr[n] != ':' || strncasecmp(line.ptr, name, n) != 0)
        return false;
    *value = span_trim(span_sub(line, n + 1, line.len));
    return true;
}

static int64_t number_of(struct span s)
{
    int64_t v = 0;
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] < '0' || s.ptr[i] > '9' || v > (INT64_MAX - 9) / 10)
            return -1;
        v = v * 10 + (s.ptr[i] - '0');
    }
    return s.len ? v : -1;
}

static bool hex_of(char *out, struct span s, size_t n)
{
    out[0] = '\0';
    if (s.len != n)
        return false;
    for (size_t i = 0; i < n; i++) {
        char c = s.ptr[i];
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
            return false;
    }
    memcpy(out, s.ptr, n);
    out[n] = '\0';
    return true;
}

static struct span unquoted(struct span s)
{
    bool quoted = s.len >= 2 && s.ptr[0] == '"' && s.ptr[s.len - 1] == '"';
    return quoted ? span_sub(s, 1, s.len - 1) : s;
}

/* Weak validators say "much the same": no ground for gluing bytes together. */
static void take_etag(struct http_reply *r, struct span v)
{
    bool weak = span_starts(v, SPAN("W/"));
    hex_of(r->git_id, unquoted(weak ? span_sub(v, 2, v.len) : v), 40);
    r->etag[0] = '\0';
    if (weak || v.len < 3 || v.len >= sizeof(r->etag) || v.ptr[0] != '"' || v.ptr[v.len - 1] != '"')
        return;
    for (size_t i = 0; i < v.len; i++) {
        if (v.ptr[i] < 0x20 || v.ptr[i] > 0x7E)
            return;
    }
    memcpy(r->etag, v.ptr, v.len);
    r->etag[v.len] = '\0';
}

/* "bytes 100-199/200" */
static void take_range(struct http_reply *r, struct span v)
{
    size_t dash = span_find(v, SPAN("-"), 0), slash = span_find(v, SPAN("/"), 0);
    if (!span_starts(v, SPAN("bytes ")) || dash == SIZE_MAX || slash == SIZE_MAX || slash < dash)
        return;
    r->range_from = number_of(span_sub(v, 6, dash));
    r->range_to = number_of(span_sub(v, dash + 1, slash));
    r->range_total = number_of(span_sub(v, slash + 1, v.len));
}

static void take_code(struct http_reply *r, struct span v)
{
    size_t n = 0;
    for (; n < v.len && n < sizeof(r->error_code) - 1; n++) {
        char c = v.ptr[n];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')))
            break;
        r->error_code[n] = c;
    }
    r->error_code[n] = '\0';
}

static void take_commit(struct http_reply *r, struct span v)
{
    if (!hex_of(r->commit, v, 40))
        hex_of(r->commit, v, 64);
}

static void reply_reset(struct http_reply *r)
{
    *r = (struct http_reply){
        .linked_size = -1, .length = -1, .range_from = -1, .range_to = -1, .range_total = -1
    };
}

static void take_location(struct http *h, struct span v)
{
    char *text = v.len ? strndup(v.ptr, v.len) : NULL;
    if (text)
        resolve_location(h, h->reply->location, sizeof(h->reply->location), text);
    free(text);
}

static void take_header(struct http *h, struct span line)
{
    struct http_reply *r = h->reply;
    struct span v;
    if (header_is(line, "Location", &v)) {
        take_location(h, v);
    } else if (header_is(line, "ETag", &v)) {
        take_etag(r, v);
    } else if (header_is(line, "X-Linked-ETag", &v)) {
        hex_of(r->sha256, unquoted(v), 64);
    } else if (header_is(line, "X-Linked-Size", &v)) {
        r->linked_size = number_of(v);
    } else if (header_is(line, "X-Repo-Commit", &v)) {
        take_commit(r, v);
    } else if (header_is(line, "Content-Length", &v)) {
        r->length = number_of(v);
    } else if (header_is(line, "Content-Range", &v)) {
        take_range(r, v);
    } else if (header_is(line, "X-Error-Code", &v)) {
        take_code(r, v);
    } else if (header_is(line, "Retry-After", &v)) {
        int64_t s = number_of(v);
        r->retry_after_s = s > 0 ? (unsigned)MIN(s, (int64_t)86400) : 0;
    }
}

static size_t on_header(char *data, size_t size, size_t n, void *ctx)
{
    struct http *h = ctx;
    struct span line = { data, size * n };
    if (span_starts(line, SPAN("HTTP/")))
        reply_reset(h->reply); /* a new head: after 100 Continue, or the proxy's own */
    else
        take_header(h, line);
    return size * n;
}

/* ---- the body ---- */

static size_t on_body(char *data, size_t size, size_t n, void *ctx)
{
    struct http *h = ctx;
    size_t len = size * n;
    h->api->easy_getinfo(h->curl, CURLINFO_RESPONSE_CODE, &h->reply->status);
    if (!h->sink || (h->reply->status != 200 && h->reply->status != 206))
        return len; /* an error page: nobody reads it */
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
                       same_origin(&h->at, &h->hub) ? ", unless you name the hub yourself with "
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
    h->url = url;
    h->err = err;
    h->begun = false;
    h->address_refused = false;
    h->sink_status = KT_OK;
    reply_reset(h->reply);
    enum kt_status st = check_target(h, url, err);
    if (st)
        return st;

    char line[ETAG_MAX + 16];
    struct curl_slist *headers = NULL;
    const char *proxy = proxy_for(h->at.host);
    h->by_proxy = proxy[0] != '\0';
    bool ok = add_header(h, &headers, "Accept-Encoding: identity") &&
              add_header(h, &headers, "Accept: */*");
    if (h->auth && same_origin(&h->at, &h->hub))
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
