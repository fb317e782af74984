/* constrain/schema_memory.c: memory of a compilation, its failures and where they are, and JSON values that are made. */
#include "constrain/schema_priv.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/size.h"

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

struct span sc_taken(struct compilation *c, struct buf *b)
{
    if (b->failed)
        sc_fail(c, KT_E_NOMEM, NULL, NULL, "out of memory");
    struct span s = b->failed ? (struct span){ 0 } : sc_copy(c, buf_span(b));
    buf_deinit(b);
    return s;
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

int sc_compare_spans(struct span a, struct span b)
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
        int d = sc_compare_spans(key, obj->sorted[mid]->key);
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
