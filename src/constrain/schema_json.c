/* constrain/schema_json.c: JSON read strictly: RFC 8259, UTF-8, no key twice, numbers as they
 * are written. Values keep where they stand, so that a message can name a place. */
#include "constrain/schema_priv.h"

#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "base/utf8.h"

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
    return sc_compare_spans((*(const struct js *const *)pa)->key,
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
