/* Reading the head of an HTTP reply. */
#include "hub/reply.h"

#include <string.h>
#include <strings.h>

#include "base/size.h"

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

void reply_reset(struct http_reply *r)
{
    *r = (struct http_reply){
        .linked_size = -1, .length = -1, .range_from = -1, .range_to = -1, .range_total = -1
    };
}

static void take_location(struct http_reply *r, struct span v)
{
    bool fits = v.len < sizeof(r->location) && !memchr(v.ptr ? v.ptr : "", 0, v.len);
    memcpy(r->location, v.ptr ? v.ptr : "", fits ? v.len : 0);
    r->location[fits ? v.len : 0] = '\0';
}

void reply_take_line(struct http_reply *r, struct span line)
{
    struct span v;
    if (span_starts(line, SPAN("HTTP/"))) {
        reply_reset(r);
    } else if (header_is(line, "Location", &v)) {
        take_location(r, v);
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
