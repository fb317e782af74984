/* URLs, taken apart by libcurl itself, so that what is judged is what is used; and proxies. */
#include "hub/url.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hub/limits.h"

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

enum kt_status url_origin(struct origin *out, const struct curl_api *api, const char *url,
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

bool origin_same(const struct origin *a, const struct origin *b)
{
    return a->port == b->port && strcmp(a->host, b->host) == 0;
}

void url_resolve(char *out, size_t size, const struct curl_api *api, const char *base,
                 const char *location)
{
    CURLU *u = api->url();
    bool ok = u && location[0] && strlen(location) <= HUB_URL_MAX &&
              api->url_set(u, CURLUPART_URL, base, 0) == CURLUE_OK &&
              api->url_set(u, CURLUPART_URL, location, CURLU_NON_SUPPORT_SCHEME) == CURLUE_OK;
    if (!ok || !url_text(out, size, api, u, CURLUPART_URL))
        out[0] = '\0';
    api->url_cleanup(u);
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

const char *url_proxy(const char *host)
{
    const char *proxy = env_either("https_proxy", "HTTPS_PROXY");
    if (!proxy || !proxy[0])
        proxy = env_either("all_proxy", "ALL_PROXY");
    return proxy && proxy[0] && !without_proxy(host) ? proxy : "";
}
