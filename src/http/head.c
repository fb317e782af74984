/* http/head.c: see head.h. Flat on purpose: a table of what a head may look like. */
#include "http/head.h"

#include <string.h>
#include <strings.h>

#include "base/utf8.h"
#include "http/limits.h"

static bool is_token_char(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c && strchr("!#$%&'*+-.^_`|~", c));
}

static bool is_token(struct span s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!is_token_char((unsigned char)s.ptr[i]))
            return false;
    return s.len > 0;
}

static bool name_is(struct span s, const char *name)
{
    return s.len == strlen(name) && strncasecmp(s.ptr, name, s.len) == 0;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool http_unescape(char *out, size_t *out_len, struct span s)
{
    size_t n = 0;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        if (c == '%') {
            int hi = s.len - i >= 3 ? hex_digit(s.ptr[i + 1]) : -1;
            int lo = hi >= 0 ? hex_digit(s.ptr[i + 2]) : -1;
            if (lo < 0)
                return false;
            c = (char)(hi << 4 | lo);
            i += 2;
        }
        if (c == 0)
            return false;
        out[n++] = c;
    }
    out[n] = 0;
    *out_len = n;
    return utf8_valid((struct span){ out, n });
}

/* ---- the request line ---------------------------------------------------------------------- */

/* No segment of the path is empty, "." or "..", decoded: such a path is one a file server would have
 * to think about, and we have no files to serve. A single trailing slash is an empty segment, too. */
static bool is_plain_path(struct span path)
{
    char plain[HTTP_TARGET_BYTES + 1];
    size_t n;
    if (!http_unescape(plain, &n, path) || n == 0 || plain[0] != '/')
        return false;
    if (n == 1)
        return true;
    for (size_t i = 1, start = 1; i <= n; i++) {
        if (i < n && plain[i] != '/')
            continue;
        struct span seg = { plain + start, i - start };
        if (seg.len == 0 || span_eq_str(seg, ".") || span_eq_str(seg, "..") ||
            memchr(seg.ptr, '\\', seg.len))
            return false;
        start = i + 1;
    }
    return true;
}

static int judge_target(struct span target, const char **why)
{
    *why = "the request target is not a path";
    if (target.len == 0 || target.ptr[0] != '/')
        return 400;
    for (size_t i = 0; i < target.len; i++) {
        unsigned char c = (unsigned char)target.ptr[i];
        if (c <= 0x20 || c >= 0x7F || c == '#' || c == '"' || c == '<' || c == '>' || c == '\\')
            return 400;
    }
    *why = "the request target is too long";
    if (target.len > HTTP_TARGET_BYTES)
        return 414;
    const char *q = memchr(target.ptr, '?', target.len);
    *why = "the query is not well-formed";
    char plain[HTTP_TARGET_BYTES + 1];
    size_t n;
    if (q && !http_unescape(plain, &n, span_sub(target, (size_t)(q - target.ptr), target.len)))
        return 400;
    *why = "there is nothing at this path";
    return is_plain_path((struct span){ target.ptr, q ? (size_t)(q - target.ptr) : target.len })
               ? 200
               : 404;
}

struct reading {
    struct http_head *head;
    bool is_1_1;
    size_t n_host, n_length, n_coding, n_single[4];
};

static int judge_request_line(struct reading *r, struct span line, const char **why)
{
    *why = "the request line is malformed";
    const char *a = memchr(line.ptr, ' ', line.len);
    if (!a)
        return 400;
    r->head->method = (struct span){ line.ptr, (size_t)(a - line.ptr) };
    struct span rest = span_sub(line, r->head->method.len + 1, line.len);
    const char *b = memchr(rest.ptr, ' ', rest.len);
    if (!b || !is_token(r->head->method) || r->head->method.len > 16)
        return 400;
    r->head->target = (struct span){ rest.ptr, (size_t)(b - rest.ptr) };
    struct span version = span_sub(rest, r->head->target.len + 1, rest.len);
    if (version.len != 8 || strncmp(version.ptr, "HTTP/", 5) != 0)
        return 400;
    *why = "this HTTP version is not spoken here";
    r->is_1_1 = span_eq_str(version, "HTTP/1.1");
    if (!r->is_1_1 && !span_eq_str(version, "HTTP/1.0"))
        return 505;
    return judge_target(r->head->target, why);
}

/* ---- header fields ------------------------------------------------------------------------- */

static int judge_length(struct reading *r, struct span v, const char **why)
{
    *why = "Content-Length is not one plain number";
    if (r->n_length++ || v.len == 0 || v.len > 18)
        return 400;
    uint64_t n = 0;
    for (size_t i = 0; i < v.len; i++) {
        if (v.ptr[i] < '0' || v.ptr[i] > '9')
            return 400;
        n = n * 10 + (uint64_t)(v.ptr[i] - '0');
    }
    r->head->body_len = n;
    r->head->has_body = n > 0;
    return 200;
}

static int judge_coding(struct reading *r, struct span v, const char **why)
{
    *why = "more than one Transfer-Encoding";
    if (r->n_coding++)
        return 400;
    *why = "the only transfer encoding taken is chunked";
    if (!name_is(v, "chunked"))
        return 501;
    *why = "Transfer-Encoding needs HTTP/1.1";
    if (!r->is_1_1)
        return 400;
    r->head->chunked = r->head->has_body = true;
    return 200;
}

/* Spaces and tabs; other white space is not allowed at all. */
static struct span trim(struct span s)
{
    while (s.len && (s.ptr[0] == ' ' || s.ptr[0] == '\t'))
        s = span_sub(s, 1, s.len);
    while (s.len && (s.ptr[s.len - 1] == ' ' || s.ptr[s.len - 1] == '\t'))
        s.len--;
    return s;
}

/* These decide who asks and what for: two of them are two meanings. */
static const char *const SINGLE[] = { "Authorization", "Origin", "Content-Type", "X-Api-Key" };

static int judge_field(struct reading *r, struct span line, const char **why)
{
    *why = "a header line is folded or has a space before its colon";
    const char *colon = memchr(line.ptr, ':', line.len);
    struct span name = { line.ptr, colon ? (size_t)(colon - line.ptr) : 0 };
    if (!is_token(name))
        return 400;
    struct span value = trim(span_sub(line, name.len + 1, line.len));
    *why = "a header value holds a control character";
    for (size_t i = 0; i < value.len; i++) {
        unsigned char c = (unsigned char)value.ptr[i];
        if ((c < 0x20 && c != '\t') || c == 0x7F)
            return 400;
    }
    if (name_is(name, "Content-Length"))
        return judge_length(r, value, why);
    if (name_is(name, "Transfer-Encoding"))
        return judge_coding(r, value, why);
    *why = "the request needs exactly one Host";
    if (name_is(name, "Host"))
        return r->n_host++ || value.len == 0 ? 400 : 200;
    *why = "the only expectation met is 100-continue";
    if (name_is(name, "Expect"))
        return name_is(value, "100-continue") ? 200 : 417;
    *why = "a header that decides who asks is there twice";
    for (size_t i = 0; i < sizeof(SINGLE) / sizeof(SINGLE[0]); i++)
        if (name_is(name, SINGLE[i]) && r->n_single[i]++)
            return 400;
    return 200;
}

static int judge_whole(const struct reading *r, const char **why)
{
    *why = "both Content-Length and Transfer-Encoding";
    if (r->n_coding && r->n_length)
        return 400;
    *why = "the request needs exactly one Host";
    return r->is_1_1 && r->n_host == 0 ? 400 : 200;
}

int http_head_judge(struct http_head *out, struct span bytes, const char **why)
{
    *out = (struct http_head){ 0 };
    struct reading r = { .head = out };
    struct span seen = span_sub(bytes, 0, HTTP_HEAD_BYTES);
    size_t n_lines = 0;
    for (size_t at = 0; at < seen.len;) {
        const char *lf = memchr(seen.ptr + at, '\n', seen.len - at);
        size_t end = lf ? (size_t)(lf - seen.ptr) : seen.len;
        /* judged also while the line is not whole yet: a bare CR or NUL waits for nothing */
        struct span part = span_sub(seen, at, end);
        *why = "a bare CR or a zero byte";
        const char *cr = part.len ? memchr(part.ptr, '\r', part.len) : NULL;
        if ((cr && (size_t)(cr - part.ptr) + 1 < part.len) ||
            (part.len && memchr(part.ptr, 0, part.len)))
            return 400;
        if (!lf)
            break;
        *why = "a line ends in a bare LF";
        if (part.len == 0 || part.ptr[part.len - 1] != '\r')
            return 400;
        struct span line = span_sub(part, 0, part.len - 1);
        at = end + 1;
        *why = "too many header fields";
        if (n_lines > HTTP_FIELDS)
            return 431;
        if (n_lines > 0 && line.len == 0) {
            out->len = at;
            return judge_whole(&r, why);
        }
        int status = n_lines == 0 ? judge_request_line(&r, line, why) : judge_field(&r, line, why);
        if (status != 200)
            return status;
        n_lines++;
    }
    *why = "the head is too long";
    return bytes.len >= HTTP_HEAD_BYTES ? 431 : 0;
}
