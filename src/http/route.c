/* http/route.c: from a method and a path to an index of the table. The table is short; it is read from the top. */
#include <stdlib.h>
#include <string.h>

#include "http/http_priv.h"

/* Does path fit the pattern? The values of its braces point into path. */
static bool fits(const char *pattern, const char *path, struct span params[HTTP_PARAMS])
{
    size_t n = 0;
    while (*pattern && *path) {
        if (*pattern == '{') {
            size_t len = strcspn(path, "/");
            if (len == 0 || n == HTTP_PARAMS)
                return false;
            params[n++] = (struct span){ path, len };
            path += len;
            pattern = strchr(pattern, '}') + 1;
        } else if (*pattern++ != *path++) {
            return false;
        }
    }
    return !*pattern && !*path;
}

static bool keep_params(struct http_request *rq, const char *pattern,
                        const struct span params[HTTP_PARAMS])
{
    rq->params_of = pattern;
    for (size_t i = 0; i < HTTP_PARAMS && params[i].ptr; i++) {
        rq->params[i] = strndup(params[i].ptr, params[i].len);
        if (!rq->params[i])
            return false;
    }
    return true;
}

/* A path that a route spells out is that one's, also with a method that only a route with parameters takes. */
static bool is_spelled(const struct http_request *rq)
{
    const struct http_options *o = &rq->server->opts;
    for (size_t i = 0; i < o->n_routes; i++)
        if (strcmp(o->routes[i].path, rq->path) == 0)
            return true;
    return false;
}

size_t route_find(struct http_request *rq, bool *path_known)
{
    const struct http_options *o = &rq->server->opts;
    bool spelled = is_spelled(rq);
    *path_known = false;
    for (size_t i = 0; i < o->n_routes; i++) {
        struct span params[HTTP_PARAMS] = { 0 };
        if (!fits(o->routes[i].path, rq->path, params) ||
            (spelled && strcmp(o->routes[i].path, rq->path) != 0))
            continue;
        *path_known = true;
        if (strcmp(o->routes[i].method, rq->method) == 0)
            return keep_params(rq, o->routes[i].path, params) ? i : SIZE_MAX;
    }
    return SIZE_MAX;
}

void route_methods(const struct http_request *rq, struct buf *out)
{
    const struct http_options *o = &rq->server->opts;
    bool spelled = is_spelled(rq);
    for (size_t i = 0; i < o->n_routes; i++) {
        struct span params[HTTP_PARAMS] = { 0 };
        if (fits(o->routes[i].path, rq->path, params) &&
            (!spelled || strcmp(o->routes[i].path, rq->path) == 0))
            buf_printf(out, "%s%s", out->len ? ", " : "", o->routes[i].method);
    }
}

const char *http_param(const struct http_request *rq, const char *name)
{
    size_t i = 0, len = strlen(name);
    for (const char *p = rq->params_of; p && (p = strchr(p, '{')); i++) {
        p++;
        if (strncmp(p, name, len) == 0 && p[len] == '}')
            return i < HTTP_PARAMS ? rq->params[i] : NULL;
    }
    return NULL;
}
