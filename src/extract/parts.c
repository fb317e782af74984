/* Files inside a file: their names, which become paths. */
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "base/utf8.h"
#include "extract/extract_priv.h"

void doc_parts_free(struct doc_part *parts, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        free(parts[i].name);
        free(parts[i].ptr);
    }
    free(parts);
}

static bool segment_is_safe(struct span s)
{
    return s.len && !span_eq_str(s, ".") && !span_eq_str(s, "..");
}

bool part_name_is_safe(struct span name)
{
    if (!name.len || name.len > PART_NAME_MAX || !utf8_valid(name))
        return false;
    for (size_t i = 0; i < name.len; i++) {
        unsigned char c = (unsigned char)name.ptr[i];
        bool c1 =
            c == 0xC2 && (unsigned char)name.ptr[i + 1] < 0xA0; /* valid: there is a next byte */
        if (c < 0x20 || c == 0x7F || c == '\\' || c1)
            return false;
    }
    for (size_t from = 0; from <= name.len;) {
        size_t to = MIN(span_find(name, SPAN("/"), from), name.len);
        if (!segment_is_safe(span_sub(name, from, to)))
            return false;
        from = to + 1;
    }
    return true;
}

/* Whatever a sender called it, as a name that is safe: clean text, no separators but '/' between segments that lead
 * down. */
static bool name_clean(struct buf *out, struct span name)
{
    struct buf text = { 0 };
    bool ok = normalise(&text, name, false);
    struct span s = buf_span(&text);
    for (size_t from = 0; ok && from < s.len;) {
        size_t to = MIN(span_find(s, SPAN("/"), from), s.len);
        struct span segment = span_trim(span_sub(s, from, to));
        if (segment_is_safe(segment)) {
            if (out->len)
                buf_append_char(out, '/');
            for (size_t i = 0; i < segment.len; i++) {
                char c = segment.ptr[i];
                buf_append_char(out, c == '\\' || c == '\n' || c == '\t' || c == ':' ? '_' : c);
            }
        }
        from = to + 1;
    }
    buf_deinit(&text);
    return ok && !out->failed;
}

/* At most n bytes, whole characters, the ending kept: it says what the file is. */
static void name_shorten(struct buf *name, size_t n)
{
    if (name->len <= n)
        return;
    const char *dot = strrchr(name->ptr, '.');
    size_t ending = dot ? name->len - (size_t)(dot - name->ptr) : 0;
    if (ending > 16)
        ending = 0;
    size_t keep = n - ending;
    while (keep && utf8_is_continuation(name->ptr[keep]))
        keep--;
    while (keep && (name->ptr[keep - 1] == '/' || name->ptr[keep - 1] == ' '))
        keep--; /* the cut fell between two folders */
    memmove(name->ptr + keep, name->ptr + name->len - ending, ending + 1);
    name->len = keep + ending;
}

static bool name_is_taken(const struct builder *b, const char *name)
{
    for (size_t i = 0; i < b->n_parts; i++)
        if (strcmp(b->parts[i].name, name) == 0)
            return true;
    return false;
}

/* "Anlage.pdf" -> "Anlage (2).pdf" */
static bool name_number(struct buf *out, struct span name, size_t n)
{
    size_t dot = name.len;
    for (size_t i = 0; i < name.len; i++)
        dot = name.ptr[i] == '/' ? name.len : name.ptr[i] == '.' ? i : dot;
    buf_clear(out);
    buf_append_span(out, span_sub(name, 0, dot));
    buf_printf(out, " (%zu)", n);
    buf_append_span(out, span_sub(name, dot, name.len));
    return !out->failed;
}

static char *name_make(const struct builder *b, struct span wish)
{
    struct buf name = { 0 }, numbered = { 0 };
    bool ok = name_clean(&name, wish);
    if (ok && !name.len)
        buf_printf(&name, "part %zu", b->n_parts + 1);
    if (ok && !name.failed)
        name_shorten(&name, PART_NAME_MAX - 16);
    if (ok && !name.failed &&
        !part_name_is_safe(buf_span(&name))) { /* what is left of it may mean a folder above */
        buf_clear(&name);
        buf_printf(&name, "part %zu", b->n_parts + 1);
    }
    ok = ok && !name.failed;
    /* the second of a name is "(2)"; after that the count of parts, so that a thousand of one name cost little */
    for (size_t n = 2; ok && name_is_taken(b, numbered.len ? numbered.ptr : name.ptr);
         n = n == 2 ? MAX(b->n_parts + 1, (size_t)3) : n + 1)
        ok = name_number(&numbered, buf_span(&name), n);
    if (ok && numbered.len) {
        buf_deinit(&name);
        name = numbered;
    } else {
        buf_deinit(&numbered);
    }
    if (ok)
        return buf_take(&name);
    buf_deinit(&name);
    return NULL;
}

static bool room_for_part(struct builder *b, size_t len)
{
    if (b->n_parts >= DOC_PARTS_MAX || len > PARTS_BYTES_MAX - b->parts_bytes)
        return builder_refuse(b, REASON_PARTS, PARTS_BYTES_MAX, b->n_parts + 1);
    if (b->n_parts < b->cap_parts)
        return true;
    size_t cap = b->cap_parts ? 2 * b->cap_parts : 8;
    struct doc_part *p = realloc(b->parts, cap * sizeof(*p)); /* cap <= 2 * DOC_PARTS_MAX */
    if (!p)
        return builder_refuse(b, REASON_NOMEM, 0, 0);
    b->parts = p;
    b->cap_parts = cap;
    return true;
}

void builder_part_shown(struct builder *b)
{
    if (!b->n_parts)
        return;
    builder_begin(b, BLOCK_LIST_ITEM);
    builder_text(b, SPAN("Attachment: "));
    builder_text(b, span_of(b->parts[b->n_parts - 1].name));
    builder_end(b);
}

bool builder_part(struct builder *b, struct span name, struct span bytes)
{
    if (!builder_ok(b) || !room_for_part(b, bytes.len))
        return false;
    struct doc_part p = { name_make(b, name), malloc(bytes.len ? bytes.len : 1), bytes.len };
    if (!p.name || !p.ptr) {
        free(p.name);
        free(p.ptr);
        return builder_refuse(b, REASON_NOMEM, 0, 0);
    }
    if (bytes.len)
        memcpy(p.ptr, bytes.ptr, bytes.len);
    b->parts[b->n_parts++] = p;
    b->parts_bytes += bytes.len;
    return true;
}
