/* Reading JSON that came from outside, strictly. */
#include "hub/jread.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"
#include "hub/limits.h"

void jread_fail(struct jread *r, const char *fmt, ...)
{
    if (r->st)
        return;
    char text[KT_ERROR_TEXT_MAX];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    r->st = kt_fail(r->err, KT_E_FORMAT, "%s: %s", r->name, text);
}

/* jansson's scanner loses bytes of a text, or calls it faulty, when it gets no memory. A manifest that
 * is wrong is something that people throw away: everything is read twice, and the two must agree. */
static enum kt_status parse_twice(json_t **out, struct jread *r, struct span text)
{
    json_error_t where = { 0 };
    const char *bytes = text.ptr ? text.ptr : "";
    json_t *first = json_loadb(bytes, text.len, JSON_REJECT_DUPLICATES, NULL);
    json_t *second = json_loadb(bytes, text.len, JSON_REJECT_DUPLICATES, &where);
    enum json_error_code code = second ? 0 : json_error_code(&where);
    bool starved = (first != NULL) != (second != NULL) || (first && !json_equal(first, second)) ||
                   (!second && (code == json_error_out_of_memory || code == json_error_unknown));
    *out = starved ? NULL : json_incref(second);
    json_decref(first);
    json_decref(second);
    if (starved)
        return kt_fail(r->err, KT_E_NOMEM, "%s: out of memory", r->name);
    if (!*out) /* jansson's own text may quote the file; the place is enough */
        return kt_fail(r->err, KT_E_FORMAT, "%s: line %d, column %d: not JSON", r->name, where.line,
                       where.column);
    return KT_OK;
}

json_t *jread_parse(struct jread *r, struct span text)
{
    json_t *root = NULL;
    if (text.len > HUB_JSON_MAX)
        jread_fail(r, "%zu bytes, at most %d are read", text.len, HUB_JSON_MAX);
    if (!r->st)
        r->st = parse_twice(&root, r, text);
    if (r->st)
        return NULL;
    if (!json_is_object(root)) {
        jread_fail(r, "expected one JSON object");
        json_decref(root);
        return NULL;
    }
    return root;
}

static bool is_listed(const char *known, const char *key)
{
    size_t n = strlen(key);
    if (n == 0 || strchr(key, ' '))
        return false;
    for (const char *p = known; (p = strstr(p, key)); p += n) {
        if ((p == known || p[-1] == ' ') && (p[n] == ' ' || p[n] == '\0'))
            return true;
    }
    return false;
}

bool text_is_plain(const char *s)
{
    size_t len = strlen(s), step;
    for (size_t i = 0; i < len; i += step) {
        int32_t c = utf8_decode(s + i, len - i, &step);
        if (c < 0x20 || /* also: not UTF-8 */
            (c >= 0x7F && c < 0xA0) || (c >= 0x2028 && c <= 0x202E) || (c >= 0x2066 && c <= 0x2069))
            return false; /* controls, line separators, changes of writing direction */
    }
    return true;
}

void jread_known(struct jread *r, const json_t *obj, const char *known)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)obj, key, value)
    {
        if (!is_listed(known, key))
            jread_fail(r, "unknown key '%.40s', expected one of: %s",
                       text_is_plain(key) ? key : "?", known);
    }
}

static const char *keep(struct jread *r, const char *s)
{
    char *copy = arena_strdup(r->arena, span_of(s));
    if (!copy && !r->st)
        r->st = kt_fail(r->err, KT_E_NOMEM, "%s: out of memory", r->name);
    return copy ? copy : "";
}

const char *jread_text(struct jread *r, const json_t *obj, const char *key, bool needed,
                       size_t max_bytes)
{
    const json_t *v = json_object_get(obj, key);
    if (!v) {
        if (needed)
            jread_fail(r, "'%s' is missing", key);
        return "";
    }
    /* jansson refuses texts with a zero inside, so the length is strlen()'s. */
    const char *s = json_string_value(v);
    if (!s || (needed && s[0] == '\0') || json_string_length(v) > max_bytes || !text_is_plain(s)) {
        jread_fail(r, "'%s' is not a text of %d to %zu printable bytes", key, needed ? 1 : 0,
                   max_bytes);
        return "";
    }
    return keep(r, s);
}

uint64_t jread_u64(struct jread *r, const json_t *obj, const char *key, bool needed, uint64_t min,
                   uint64_t max)
{
    const json_t *v = json_object_get(obj, key);
    if (!v) {
        if (needed)
            jread_fail(r, "'%s' is missing", key);
        return 0;
    }
    json_int_t n = json_integer_value(v);
    if (!json_is_integer(v) || n < 0 || (uint64_t)n < min || (uint64_t)n > max) {
        jread_fail(r, "'%s' is not a whole number from %llu to %llu", key, (unsigned long long)min,
                   (unsigned long long)max);
        return min;
    }
    return (uint64_t)n;
}

bool jread_bool(struct jread *r, const json_t *obj, const char *key)
{
    const json_t *v = json_object_get(obj, key);
    if (v && !json_is_boolean(v))
        jread_fail(r, "'%s' is neither true nor false", key);
    return json_is_true(v);
}

const json_t *jread_array(struct jread *r, const json_t *obj, const char *key, size_t max)
{
    const json_t *v = json_object_get(obj, key);
    if (json_is_array(v) && json_array_size(v) >= 1 && json_array_size(v) <= max)
        return v;
    jread_fail(r, "'%s' is not a list of 1 to %zu entries", key, max);
    return NULL;
}

bool hex_ok(const char *s, size_t n)
{
    return strlen(s) == n && strspn(s, "0123456789abcdef") == n;
}

const char *jread_sha256(struct jread *r, const json_t *obj, const char *key, bool needed)
{
    const char *s = jread_text(r, obj, key, needed, 64);
    if (s[0] && !hex_ok(s, 64))
        jread_fail(r, "'%s' is not a SHA-256 (64 hex digits in lower case)", key);
    return s;
}

bool model_name_ok(const char *name)
{
    size_t n = strlen(name);
    return n >= 1 && n <= HUB_NAME_MAX && name[0] != '.' && name[0] != '-' && name[0] != '_' &&
           name[n - 1] != '.' && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789._-") == n &&
           !strstr(name, "..");
}

static bool part_ok(const char *s, size_t n)
{
    if (n == 0 || s[0] == '.' || s[0] == '-')
        return false;
    for (size_t i = 0; i < n; i++) {
        char c = s[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '.' || c == '_' || c == '-' || c == '+'))
            return false;
    }
    return true;
}

static size_t n_parts_ok(const char *path)
{
    size_t n = 0;
    for (const char *p = path;; n++) {
        const char *slash = strchr(p, '/');
        size_t len = slash ? (size_t)(slash - p) : strlen(p);
        if (!part_ok(p, len))
            return 0;
        if (!slash)
            return n + 1;
        p = slash + 1;
    }
}

static bool ends_with(const char *s, const char *tail)
{
    size_t n = strlen(s), m = strlen(tail);
    return n >= m && strcmp(s + n - m, tail) == 0;
}

/* The names of our own files beside them are taken. */
bool model_path_ok(const char *path)
{
    size_t n = strlen(path) <= HUB_PATH_MAX ? n_parts_ok(path) : 0;
    return n >= 1 && n <= HUB_DEPTH_MAX && strcmp(path, MANIFEST_FILE) != 0 &&
           strcmp(path, SIGNATURE_FILE) != 0 && strcmp(path, STATE_FILE) != 0 &&
           !ends_with(path, PART_SUFFIX);
}

bool repository_ok(const char *repo)
{
    return strlen(repo) <= HUB_PATH_MAX && n_parts_ok(repo) == 2;
}
