/* Loading libcurl. */
#include "hub/curl_api.h"

#include <dlfcn.h>
#include <stddef.h>
#include <string.h>

#include "base/size.h"

/* CURLOPT_PROTOCOLS_STR came with 7.85. */
enum { VERSION_MIN = 0x075500 };

static const struct {
    const char *symbol;
    size_t at;
} SYMBOLS[] = {
    { "curl_global_init", offsetof(struct curl_api, global_init) },
    { "curl_version_info", offsetof(struct curl_api, version_info) },
    { "curl_easy_init", offsetof(struct curl_api, easy_init) },
    { "curl_easy_reset", offsetof(struct curl_api, easy_reset) },
    { "curl_easy_setopt", offsetof(struct curl_api, easy_setopt) },
    { "curl_easy_perform", offsetof(struct curl_api, easy_perform) },
    { "curl_easy_getinfo", offsetof(struct curl_api, easy_getinfo) },
    { "curl_easy_strerror", offsetof(struct curl_api, easy_strerror) },
    { "curl_easy_cleanup", offsetof(struct curl_api, easy_cleanup) },
    { "curl_slist_append", offsetof(struct curl_api, slist_append) },
    { "curl_slist_free_all", offsetof(struct curl_api, slist_free_all) },
    { "curl_url", offsetof(struct curl_api, url) },
    { "curl_url_set", offsetof(struct curl_api, url_set) },
    { "curl_url_get", offsetof(struct curl_api, url_get) },
    { "curl_url_cleanup", offsetof(struct curl_api, url_cleanup) },
    { "curl_free", offsetof(struct curl_api, free) },
};

static enum kt_status load(struct curl_api *api, struct kt_error *err)
{
    void *lib = dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL);
    if (!lib)
        return kt_fail(err, KT_E_UNSUPPORTED,
                       "downloading needs libcurl, which is not installed; install the package "
                       "libcurl4, or carry the model here by `kontor export` and `import`");
    for (size_t i = 0; i < ARRAY_LEN(SYMBOLS); i++) {
        void *f = dlsym(lib, SYMBOLS[i].symbol);
        if (!f)
            return kt_fail(err, KT_E_UNSUPPORTED, "libcurl.so.4 has no %s; install a newer one",
                           SYMBOLS[i].symbol);
        memcpy((char *)api + SYMBOLS[i].at, &f, sizeof(f));
    }
    if (api->version_info(CURLVERSION_NOW)->version_num < VERSION_MIN)
        return kt_fail(err, KT_E_UNSUPPORTED, "libcurl %s is too old, 7.85 or newer is needed",
                       api->version_info(CURLVERSION_NOW)->version);
    if (api->global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return kt_fail(err, KT_E_UNSUPPORTED, "libcurl cannot be started");
    return KT_OK;
}

const struct curl_api *curl_api(struct kt_error *err)
{
    static struct curl_api api;
    static bool loaded;
    if (!loaded) {
        if (load(&api, err))
            return NULL;
        loaded = true;
    }
    return &api;
}
