/* constrain/schema_json.c: memory, failures, and JSON read strictly: RFC 8259, UTF-8, no key twice, numbers as they
 * are written. Values keep where they stand, so that a message can name a place. */
#include "constrain/schema_priv.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "base/utf8.h"

/* ---- memory, work, failures ------------------------------------------------------------------- */

/* The arena gives whole cache lines; most of what is kept here is smaller. */
void *sc_alloc(struct compilation *c, size_t n, size_t size)
{
    enum { ROOM = 32768 };
    size_t bytes;
    if (c->st)
        return NULL;
    if (!size_mul(&bytes, n, size) || bytes > SCHEMA_MEMORY_MAX - c->n_bytes) {
        sc_fail(c, KT_E_LIMIT, NULL, NULL, "it needs more than %d MiB while it is worked on",
                SCHEMA_MEMORY_MAX >> 20);
        return NULL;
    }
    bytes = size_align(bytes ? bytes : 1, sizeof(void *));
    c->n_bytes += bytes;
    void *p;
    if (bytes > ROOM / 4) {
        p = arena_alloc(&c->arena, bytes);
    } else {
        if (bytes > c->n_room) {
            c->room = arena_alloc(&c->arena, ROOM);
            c->n_room = c->room ? ROOM : 0;
        }
        p = c->room;
        if (p) {
            c->room += bytes;
            c->n_room -= bytes;
        }
    }
    if (!p)
        sc_fail(c, KT_E_NOMEM, NULL, NULL, "out of memory");
    return p;
}

struct span sc_copy(struct compilation *c, struct span s)
{
    char *p = sc_alloc(c, s.len + 1, 1);
    if (!p)
        return (struct span){ 0 };
    if (s.len)
        memcpy(p, s.ptr, s.len);
    return (struct span){ p, s.len };
}

bool sc_work(struct compilation *c, size_t n)
{
    c->n_steps += n;
    if (c->n_steps > SCHEMA_WORK_MAX)
        sc_fail(c, KT_E_LIMIT, NULL, NULL,
                "there is too much in it to work out; make it smaller, or with fewer alternatives "
                "(anyOf, oneOf, not, if) of one value");
    return !c->st;
}

void list_push(struct compilation *c, struct list *l, const void *p)
{
    if (l->n == l->cap) {
        size_t cap = l->cap ? l->cap * 2 : 4;
        const void **item = sc_alloc(c, cap, sizeof(*item));
        if (!item)
            return;
        if (l->n)
            memcpy(item, l->item, l->n * sizeof(*item));
        l->item = item;
        l->cap = cap;
    }
    l->item[l->n++] = p;
}

/* What may stand in a message: keys are cut, and nothing a terminal would obey. */
static void pointer_part(struct buf *out, const struct js *v)
{
    enum { KEY_MAX = 40 };
    buf_append_char(out, '/');
    if (v->up->kind == JS_ARRAY) {
        buf_printf(out, "%zu", v->idx);
        return;
    }
    for (size_t i = 0; i < v->key.len && i < KEY_MAX; i++) {
        unsigned char ch = (unsigned char)v->key.ptr[i];
        if (ch == '~' || ch == '/')
            buf_append_str(out, ch == '~' ? "~0" : "~1");
        else
            buf_append_char(out, ch > 0x20 && ch < 0x7F ? (char)ch : '?');
    }
    if (v->key.len > KEY_MAX)
        buf_append_str(out, "...");
}

static void pointer(struct buf *out, const struct js *v)
{
    enum { PARTS_MAX = 24 };
    const struct js *part[PARTS_MAX];
    size_t n = 0;
    for (; v && v->up; v = v->up) {
        bool made = v->up->kind != JS_ARRAY && (v->up->kind != JS_OBJECT || !v->key.ptr);
        if (!made && n == PARTS_MAX)
            memmove(part + 1, part,
                    (--n - 1) * sizeof(part[0])); /* the innermost and the outermost ones */
        if (!made)
            part[n++] = v;
    }
    while (n)
        pointer_part(out, part[--n]);
}

void sc_fail(struct compilation *c, enum kt_status st, const struct js *at, const char *keyword,
             const char *fmt, ...)
{
    if (c->st)
        return;
    char why[KT_ERROR_TEXT_MAX];
    va_list args;
    va_start(args, fmt);
    vsnprintf(why, sizeof(why), fmt, args);
    va_end(args);
    struct buf place = { 0 };
    pointer(&place, at);
    struct span p = buf_span(&place);
    bool cut = p.len > 200;
    const char *where = cut ? p.ptr + p.len - 200 : p.len ? p.ptr : "";
    if (keyword)
        c->st = kt_fail(c->err, st, "%s: %s%s/%s: %s", c->subject, cut ? "..." : "", where, keyword,
                        why);
    else if (at)
        c->st = kt_fail(c->err, st, "%s: %s%s: %s", c->subject, cut ? "..." : "",
                        p.len ? where : "/", why);
    else
        c->st = kt_fail(c->err, st, "%s: %s", c->subject, why);
    buf_deinit(&place);
}

/* ---- making values ----------------------------------------------------------------------------- */

struct js *js_new(struct compilation *c, enum js_kind kind, const struct js *from)
{
    struct js *v = sc_alloc(c, 1, sizeof(*v));
    if (v) {
        v->kind = kind;
        v->up = from;
        v->is_checked = true;
    }
    return v;
}

struct js *js_new_bool(struct compilation *c, bool v, const struct js *from)
{
    return js_new(c, v ? JS_TRUE : JS_FALSE, from);
}

struct js *js_new_number(struct compilation *c, uint64_t v, const struct js *from)
{
    struct js *n = js_new(c, JS_NUMBER, from);
    char text[24];
    snprintf(text, sizeof(text), "%llu", (unsigned long long)v);
    if (n)
        n->text = sc_copy(c, span_of(text));
    return n;
}

struct js *js_new_string(struct compilation *c, const char *s, const struct js *from)
{
    struct js *v = js_new(c, JS_STRING, from);
    if (v)
        v->text = sc_copy(c, span_of(s));
    return v;
}

static int compare_spans(struct span a, struct span b)
{
    size_t n = MIN(a.len, b.len);
    int d = n ? memcmp(a.ptr, b.ptr, n) : 0;
    return d ? d : (a.len > b.len) - (a.len < b.len);
}

/* Made objects are small: one after the other is compared. */
void js_put(struct compilation *c, struct js *obj, struct span key, const struct js *v)
{
    const struct js **item = sc_alloc(c, obj ? obj->n_items + 1 : 1, sizeof(*item));
    struct js *copy = item && v ? sc_alloc(c, 1, sizeof(*copy)) : NULL;
    if (!copy || !obj)
        return;
    *copy = *v;
    copy->key = key;
    if (obj->n_items)
        memcpy(item, obj->item, obj->n_items * sizeof(*item));
    item[obj->n_items++] = copy;
    obj->item = item;
    obj->sorted = NULL;
}

void js_put_str(struct compilation *c, struct js *obj, const char *key, const struct js *v)
{
    js_put(c, obj, span_of(key), v);
}

void js_push(struct compilation *c, struct js *array, const struct js *v)
{
    const struct js **item = sc_alloc(c, array ? array->n_items + 1 : 1, sizeof(*item));
    if (!item || !array || !v)
        return;
    if (array->n_items)
        memcpy(item, array->item, array->n_items * sizeof(*item));
    item[array->n_items++] = v;
    array->item = item;
}

const struct js *js_get_span(const struct js *obj, struct span key)
{
    if (!obj || obj->kind != JS_OBJECT)
        return NULL;
    if (!obj->sorted) {
        for (size_t i = 0; i < obj->n_items; i++) {
            if (span_eq(obj->item[i]->key, key))
                return obj->item[i];
        }
        return NULL;
    }
    size_t lo = 0, hi = obj->n_items;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        int d = compare_spans(key, obj->sorted[mid]->key);
        if (d == 0)
            return obj->sorted[mid];
        if (d < 0)
            hi = mid;
        else
            lo = mid + 1;
    }
    return NULL;
}

const struct js *js_get(const struct js *obj, const char *key)
{
    return js_get_span(obj, span_of(key));
}

bool js_is_true(const struct js *v)
{
    return v && v->kind == JS_TRUE;
}

/* ---- reading ----------------------------------------------------------------------------------- */

struct reading {
    struct compilation *c;
    struct span text;
    size_t i;
    unsigned depth;
};

static struct js *bad(struct reading *r, const char *why)
{
    size_t line = 1, start = 0;
    for (size_t k = 0; k < r->i && k < r->text.len; k++) {
        if (r->text.ptr[k] == '\n') {
            line++;
            start = k + 1;
        }
    }
    sc_fail(r->c, KT_E_FORMAT, NULL, NULL, "line %zu, column %zu: not JSON: %s", line,
            r->i - start + 1, why);
    return NULL;
}

static char peek(const struct reading *r)
{
    return r->i < r->text.len ? r->text.ptr[r->i] : '\0';
}

static void skip_space(struct reading *r)
{
    while (r->i < r->text.len && memchr(" \t\r\n", r->text.ptr[r->i], 4))
        r->i++;
}

static bool take(struct reading *r, char ch)
{
    if (peek(r) != ch || r->i >= r->text.len)
        return false;
    r->i++;
    return true;
}

static int32_t hex4(struct reading *r)
{
    int32_t v = 0;
    for (int k = 0; k < 4; k++, r->i++) {
        char ch = peek(r);
        int d = ch >= '0' && ch <= '9'   ? ch - '0'
                : ch >= 'a' && ch <= 'f' ? ch - 'a' + 10
                : ch >= 'A' && ch <= 'F' ? ch - 'A' + 10
                                         : -1;
        if (d < 0)
            return -1;
        v = v << 4 | d;
    }
    return v;
}

/* After \u. */
static int32_t read_unicode(struct reading *r)
{
    int32_t v = hex4(r);
    if (v >= 0xD800 && v <= 0xDBFF) {
        if (!take(r, '\\') || !take(r, 'u'))
            return -1;
        int32_t low = hex4(r);
        return low >= 0xDC00 && low <= 0xDFFF ? 0x10000 + ((v - 0xD800) << 10 | (low - 0xDC00))
                                              : -1;
    }
    return v >= 0xDC00 && v <= 0xDFFF ? -1 : v;
}

/* After the opening mark; the text without escapes is written over room for the raw one. */
static bool read_string(struct reading *r, struct span *out)
{
    size_t end = r->i;
    while (end < r->text.len && r->text.ptr[end] != '"')
        end += r->text.ptr[end] == '\\' ? 2 : 1;
    if (end >= r->text.len)
        return bad(r, "a string without its closing mark"), false;
    char *text = sc_alloc(r->c, end - r->i + 1, 1);
    size_t n = 0;
    while (text && !take(r, '"')) {
        if (take(r, '\\')) {
            static const char LETTERS[] = "\"\\/bfnrt", CHARS[] = "\"\\/\b\f\n\r\t";
            char ch = peek(r);
            const char *p = ch ? strchr(LETTERS, ch) : NULL;
            r->i++;
            if (p) {
                text[n++] = CHARS[p - LETTERS];
                continue;
            }
            int32_t cp = ch == 'u' ? read_unicode(r) : -1;
            if (cp < 0)
                return bad(r, "an escape that stands for no character"), false;
            n += utf8_encode(text + n, cp); /* at most as many bytes as the escape */
            continue;
        }
        size_t step;
        int32_t cp = utf8_decode(r->text.ptr + r->i, r->text.len - r->i, &step);
        if (cp < 0x20)
            return bad(r, cp < 0 ? "ill-formed UTF-8" : "a control character in a string"), false;
        memcpy(text + n, r->text.ptr + r->i, step);
        n += step;
        r->i += step;
    }
    *out = (struct span){ text, n };
    return text != NULL;
}

static bool digits(struct reading *r)
{
    size_t from = r->i;
    while (peek(r) >= '0' && peek(r) <= '9')
        r->i++;
    return r->i > from;
}

static struct js *read_number(struct reading *r)
{
    size_t from = r->i;
    take(r, '-');
    bool zero = peek(r) == '0', ok = digits(r);
    size_t n = r->i - from - (r->text.ptr[from] == '-');
    ok = ok && !(zero && n > 1);
    if (ok && take(r, '.'))
        ok = digits(r);
    if (ok && (peek(r) == 'e' || peek(r) == 'E')) {
        r->i++;
        if (peek(r) == '+' || peek(r) == '-')
            r->i++;
        ok = digits(r);
    }
    if (!ok)
        return bad(r, "a number, or a word, that is none");
    struct js *v = js_new(r->c, JS_NUMBER, NULL);
    if (v)
        v->text = span_sub(r->text, from, r->i);
    return v;
}

static struct js *read_value(struct reading *r);

static bool same_key(const struct js *a, const struct js *b)
{
    return span_eq(a->key, b->key);
}

static int by_key(const void *pa, const void *pb)
{
    return compare_spans((*(const struct js *const *)pa)->key,
                         (*(const struct js *const *)pb)->key);
}

static struct js *finish(struct reading *r, struct js *v, struct list *items)
{
    if (!v || r->c->st)
        return NULL;
    v->item = sc_alloc(r->c, items->n + 1, sizeof(*v->item));
    if (!v->item)
        return NULL;
    for (size_t i = 0; i < items->n; i++) {
        struct js *item = (struct js *)(uintptr_t)items->item[i];
        item->up = v;
        item->idx = i;
        v->item[i] = item;
    }
    v->n_items = items->n;
    if (v->kind != JS_OBJECT)
        return v;
    v->sorted = sc_alloc(r->c, items->n + 1, sizeof(*v->sorted));
    if (!v->sorted)
        return NULL;
    if (items->n)
        memcpy(v->sorted, v->item, items->n * sizeof(*v->sorted));
    qsort(v->sorted, items->n, sizeof(*v->sorted), by_key);
    for (size_t i = 1; i < items->n; i++) {
        if (same_key(v->sorted[i - 1], v->sorted[i])) {
            sc_fail(r->c, KT_E_FORMAT, v->sorted[i], NULL,
                    "the key is there twice; say which one is meant");
            return NULL;
        }
    }
    return v;
}

static struct js *read_array(struct reading *r)
{
    struct js *v = js_new(r->c, JS_ARRAY, NULL);
    struct list items = { 0 };
    skip_space(r);
    if (take(r, ']'))
        return finish(r, v, &items);
    do {
        struct js *item = read_value(r);
        if (!item)
            return NULL;
        list_push(r->c, &items, item);
        skip_space(r);
    } while (take(r, ','));
    return take(r, ']') ? finish(r, v, &items) : bad(r, "expected , or ] in an array");
}

static struct js *read_object(struct reading *r)
{
    struct js *v = js_new(r->c, JS_OBJECT, NULL);
    struct list items = { 0 };
    skip_space(r);
    if (take(r, '}'))
        return finish(r, v, &items);
    do {
        struct span key;
        skip_space(r);
        if (!take(r, '"'))
            return bad(r, "expected a key in quotation marks");
        if (!read_string(r, &key))
            return NULL;
        skip_space(r);
        if (!take(r, ':'))
            return bad(r, "expected : after a key");
        struct js *item = read_value(r);
        if (!item)
            return NULL;
        item->key = key;
        list_push(r->c, &items, item);
        skip_space(r);
    } while (take(r, ','));
    return take(r, '}') ? finish(r, v, &items) : bad(r, "expected , or } in an object");
}

static struct js *read_word(struct reading *r)
{
    static const struct {
        const char *word;
        enum js_kind kind;
    } WORDS[] = { { "null", JS_NULL }, { "false", JS_FALSE }, { "true", JS_TRUE } };
    for (size_t i = 0; i < ARRAY_LEN(WORDS); i++) {
        if (span_starts(span_sub(r->text, r->i, r->text.len), span_of(WORDS[i].word))) {
            r->i += strlen(WORDS[i].word);
            return js_new(r->c, WORDS[i].kind, NULL);
        }
    }
    return read_number(r);
}

static struct js *read_value(struct reading *r)
{
    skip_space(r);
    if (r->i >= r->text.len)
        return bad(r, "it ends where a value must follow");
    if (++r->depth > SCHEMA_DEPTH_MAX) {
        sc_fail(r->c, KT_E_LIMIT, NULL, NULL, "values in values, more than %d deep",
                SCHEMA_DEPTH_MAX);
        return NULL;
    }
    struct js *v = NULL;
    if (take(r, '{')) {
        v = read_object(r);
    } else if (take(r, '[')) {
        v = read_array(r);
    } else if (take(r, '"')) {
        v = js_new(r->c, JS_STRING, NULL);
        if (v && !read_string(r, &v->text))
            v = NULL;
    } else {
        v = read_word(r);
    }
    r->depth--;
    if (v)
        v->is_checked = false;
    return v;
}

struct js *js_parse(struct compilation *c, struct span text)
{
    if (text.len > SCHEMA_TEXT_MAX) {
        sc_fail(c, KT_E_LIMIT, NULL, NULL, "%zu bytes of JSON, at most %d are read", text.len,
                SCHEMA_TEXT_MAX);
        return NULL;
    }
    struct reading r = { .c = c, .text = text };
    struct js *v = read_value(&r);
    skip_space(&r);
    return v && r.i < text.len ? bad(&r, "something follows the value") : v;
}

/* ---- writing and comparing --------------------------------------------------------------------- */

void js_write_string(struct buf *out, struct span s)
{
    static const char SHORT[] = "\"\\\b\f\n\r\t", LETTERS[] = "\"\\bfnrt";
    buf_append_char(out, '"');
    for (size_t i = 0; i < s.len; i++) {
        char ch = s.ptr[i];
        const char *p = ch ? strchr(SHORT, ch) : NULL;
        if (p)
            buf_append(out, (char[]){ '\\', LETTERS[p - SHORT] }, 2);
        else if ((unsigned char)ch < 0x20)
            buf_printf(out, "\\u%04x", (unsigned)ch);
        else
            buf_append_char(out, ch);
    }
    buf_append_char(out, '"');
}

bool js_equal(struct compilation *c, const struct js *a, const struct js *b)
{
    if (!sc_work(c, 1) || a->kind != b->kind || a->n_items != b->n_items)
        return false;
    struct decimal x, y;
    switch (a->kind) {
    case JS_NUMBER:
        return decimal_read(c, &x, a->text) && decimal_read(c, &y, b->text) &&
               decimal_compare(&x, &y) == 0;
    case JS_STRING:
        return span_eq(a->text, b->text);
    case JS_ARRAY:
        for (size_t i = 0; i < a->n_items; i++) {
            if (!js_equal(c, a->item[i], b->item[i]))
                return false;
        }
        return true;
    case JS_OBJECT:
        for (size_t i = 0; i < a->n_items; i++) {
            const struct js *other = js_get_span(b, a->item[i]->key);
            if (!other || !js_equal(c, a->item[i], other))
                return false;
        }
        return true;
    default:
        return true;
    }
}

unsigned js_type(struct compilation *c, const struct js *v)
{
    struct decimal d;
    switch (v->kind) {
    case JS_NULL:
        return T_NULL;
    case JS_FALSE:
    case JS_TRUE:
        return T_BOOLEAN;
    case JS_STRING:
        return T_STRING;
    case JS_ARRAY:
        return T_ARRAY;
    case JS_OBJECT:
        return T_OBJECT;
    default:
        return decimal_read(c, &d, v->text) && decimal_is_whole(&d) ? T_INTEGER : T_FRACTION;
    }
}
