/* The worker's result on its way through the pipe.
 *
 * All numbers little-endian. A message is one of
 *   document  "KTX1" u32 kind=1  u32 format  u32 n_pages  u64 title_len  u64 text_len  u64 n_blocks
 *             u64 n_parts, title bytes, text bytes, n_blocks x 48 bytes:
 *                 u32 kind  u32 page  u32 para  f32 x0 y0 x1 y1  u32 zero  u64 start  u64 end
 *             n_parts x: u64 name_len  u64 len  name bytes, bytes
 *             "KTXE"
 *   refusal   "KTX1" u32 kind=2  u32 reason  u32 zero  u64 a  u64 b  "KTXE"
 *   report    "KTX1" u32 kind=3  u32 landlock_abi  u32 flags  u32 n_probes  u32 denied (one bit a
 * probe)  "KTXE" The end mark tells a finished message from one that broke off.
 *
 * The writer may have been taken over by the document it read, so the reader believes nothing:
 * lengths are compared with what has arrived, and a document must keep every promise that extract.h
 * makes about it before anybody else sees it. */
#include "extract/extract_priv.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/half.h"
#include "base/size.h"
#include "base/utf8.h"

enum { HEAD_BYTES = 8, DOCUMENT_BYTES = 40, PART_BYTES = 16, BLOCK_BYTES = 48, END_BYTES = 4 };

static const char magic[4] = { 'K', 'T', 'X', '1' };
static const char end_mark[4] = { 'K', 'T', 'X', 'E' };

/* ---- writing -------------------------------------------------------------------------------- */

static void put(struct buf *out, uint64_t v, size_t n_bytes)
{
    char b[8];
    for (size_t i = 0; i < n_bytes; i++)
        b[i] = (char)(v >> 8 * i & 0xFF);
    buf_append(out, b, n_bytes);
}

static void put_head(struct buf *out, enum wire_kind kind)
{
    buf_append(out, magic, sizeof(magic));
    put(out, kind, 4);
}

static bool put_end(struct buf *out)
{
    buf_append(out, end_mark, sizeof(end_mark));
    return !out->failed;
}

static void put_block(struct buf *out, const struct block *b)
{
    put(out, b->kind, 4);
    put(out, b->page, 4);
    put(out, b->para, 4);
    for (int i = 0; i < 4; i++)
        put(out, f32_bits(b->box[i]), 4);
    put(out, 0, 4);
    put(out, b->start, 8);
    put(out, b->end, 8);
}

bool wire_put_document(struct buf *out, const struct document *d)
{
    size_t title_len = d->title ? strlen(d->title) : 0;
    put_head(out, WIRE_DOCUMENT);
    put(out, d->format, 4);
    put(out, d->n_pages, 4);
    put(out, title_len, 8);
    put(out, d->text_len, 8);
    put(out, d->n_blocks, 8);
    put(out, d->n_parts, 8);
    buf_append(out, d->title, title_len);
    buf_append(out, d->text, d->text_len);
    for (size_t i = 0; i < d->n_blocks; i++)
        put_block(out, &d->blocks[i]);
    for (size_t i = 0; i < d->n_parts; i++) {
        const struct doc_part *p = &d->parts[i];
        put(out, strlen(p->name), 8);
        put(out, p->len, 8);
        buf_append_str(out, p->name);
        buf_append(out, p->ptr, p->len);
    }
    return put_end(out);
}

bool wire_put_refusal(struct buf *out, const struct refusal *r)
{
    put_head(out, WIRE_REFUSAL);
    put(out, r->reason, 4);
    put(out, 0, 4);
    put(out, r->a, 8);
    put(out, r->b, 8);
    return put_end(out);
}

bool wire_put_report(struct buf *out, const struct extract_sandbox_report *r)
{
    uint32_t denied = 0;
    for (size_t i = 0; i < r->n_probes; i++)
        denied |= (uint32_t)r->probes[i].denied << i;
    put_head(out, WIRE_REPORT);
    put(out, (uint64_t)r->landlock_abi, 4);
    put(out,
        (uint64_t)r->seccomp | (uint64_t)r->own_network << 1 | (uint64_t)r->pdf_reader << 2 |
            (uint64_t)r->ocr << 3,
        4);
    put(out, r->n_probes, 4);
    put(out, denied, 4);
    return put_end(out);
}

size_t wire_max_bytes(size_t max_text)
{
    return HEAD_BYTES + DOCUMENT_BYTES + TITLE_MAX_BYTES + max_text +
           (size_t)BLOCKS_MAX * BLOCK_BYTES + PARTS_BYTES_MAX +
           (size_t)DOC_PARTS_MAX * (PART_BYTES + PART_NAME_MAX) + END_BYTES;
}

/* ---- reading -------------------------------------------------------------------------------- */

struct cursor {
    const unsigned char *p;
    size_t left;
    bool ok; /* false: asked for more than there is; everything read since is zero */
};

static uint64_t get(struct cursor *c, size_t n_bytes)
{
    if (!c->ok || c->left < n_bytes) {
        c->ok = false;
        return 0;
    }
    uint64_t v = 0;
    for (size_t i = 0; i < n_bytes; i++)
        v |= (uint64_t)c->p[i] << 8 * i;
    c->p += n_bytes;
    c->left -= n_bytes;
    return v;
}

static struct span get_bytes(struct cursor *c, uint64_t len)
{
    if (!c->ok || len > c->left) {
        c->ok = false;
        return (struct span){ 0 };
    }
    struct span s = { (const char *)c->p, (size_t)len };
    c->p += len;
    c->left -= (size_t)len;
    return s;
}

bool wire_kind_of(struct span in, enum wire_kind *out)
{
    struct cursor c = { (const unsigned char *)in.ptr, in.len, true };
    struct span m = get_bytes(&c, sizeof(magic));
    uint64_t kind = get(&c, 4);
    if (!c.ok || memcmp(m.ptr, magic, sizeof(magic)) != 0 || kind < WIRE_DOCUMENT ||
        kind > WIRE_REPORT)
        return false;
    *out = (enum wire_kind)kind;
    return true;
}

static struct cursor body_of(struct span in, enum wire_kind kind)
{
    enum wire_kind found;
    struct cursor c = { (const unsigned char *)in.ptr, in.len, true };
    if (!wire_kind_of(in, &found) || found != kind)
        c.ok = false;
    get_bytes(&c, HEAD_BYTES);
    return c;
}

/* The end mark, and nothing after it. */
static bool at_end(struct cursor *c)
{
    struct span m = get_bytes(c, sizeof(end_mark));
    return c->ok && memcmp(m.ptr, end_mark, sizeof(end_mark)) == 0 && c->left == 0;
}

static bool text_is_clean(struct span s, bool newlines)
{
    if (!utf8_valid(s))
        return false;
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        if (c == 0x7F || (c < 0x20 && !(newlines && (c == '\n' || c == '\t'))))
            return false;
        if (c == 0xC2 &&
            (unsigned char)s.ptr[i + 1] < 0xA0) /* U+0080..9F; valid, so there is a next byte */
            return false;
    }
    return true;
}

static bool box_is_sane(const float box[4])
{
    for (int i = 0; i < 4; i++)
        if (!isfinite(box[i]) || fabsf(box[i]) > 1e6f)
            return false;
    return box[0] <= box[2] && box[1] <= box[3];
}

static void get_block(struct cursor *c, struct block *b, uint64_t *kind)
{
    *kind = get(c, 4);
    b->page = (uint32_t)get(c, 4);
    b->para = (uint32_t)get(c, 4);
    for (int i = 0; i < 4; i++)
        b->box[i] = f32_from_bits((uint32_t)get(c, 4));
    get(c, 4);
    b->start = get(c, 8);
    b->end = get(c, 8);
}

/* Block i must follow the one before it after an empty line and lie inside the text. */
static const char *block_check(const struct document *d, size_t i, uint64_t kind)
{
    struct block *b = &d->blocks[i];
    size_t expected = i ? d->blocks[i - 1].end + 2 : 0;
    if (kind > BLOCK_HEADER)
        return "block kind";
    b->kind = (enum block_kind)kind;
    if (b->start != expected || b->end <= b->start || b->end > d->text_len)
        return "block range";
    if (i && memcmp(d->text + expected - 2, "\n\n", 2) != 0)
        return "block separator";
    if (b->para != i + 1)
        return "paragraph number";
    if (b->page > d->n_pages || (d->n_pages && b->page == 0) || (i && b->page < b[-1].page))
        return "page number";
    return box_is_sane(b->box) ? NULL : "block box";
}

static const char *get_blocks(struct cursor *c, struct document *d, size_t n)
{
    d->blocks = calloc(n, sizeof(*d->blocks));
    if (!d->blocks)
        return "memory";
    for (size_t i = 0; i < n; i++) {
        uint64_t kind;
        get_block(c, &d->blocks[i], &kind);
        d->n_blocks = i + 1;
        const char *wrong = block_check(d, i, kind);
        if (wrong)
            return wrong;
    }
    return d->blocks[n - 1].end == d->text_len ? NULL : "text after the last block";
}

/* Their names become paths of documents, so they are looked at as closely as text. */
static const char *get_parts(struct cursor *c, struct document *d, size_t n)
{
    size_t total = 0;
    d->parts = n ? calloc(n, sizeof(*d->parts)) : NULL;
    if (n && !d->parts)
        return "memory";
    for (size_t i = 0; i < n; i++) {
        uint64_t name_len = get(c, 8), len = get(c, 8);
        if (!c->ok || name_len > PART_NAME_MAX || len > PARTS_BYTES_MAX - total)
            return "part size";
        struct span name = get_bytes(c, name_len), bytes = get_bytes(c, len);
        if (!c->ok || !part_name_is_safe(name))
            return "part name";
        for (size_t k = 0; k < i; k++)
            if (span_eq_str(name, d->parts[k].name))
                return "part name";
        struct doc_part *p = &d->parts[d->n_parts++];
        p->name = strndup(name.ptr, name.len);
        p->ptr = malloc(bytes.len ? bytes.len : 1);
        if (!p->name || !p->ptr)
            return "memory";
        if (bytes.len)
            memcpy(p->ptr, bytes.ptr, bytes.len);
        p->len = bytes.len;
        total += bytes.len;
    }
    return NULL;
}

static const char *get_document(struct cursor *c, size_t max_text, struct document *d)
{
    uint64_t format = get(c, 4);
    uint64_t n_pages = get(c, 4);
    uint64_t title_len = get(c, 8);
    uint64_t text_len = get(c, 8);
    uint64_t n_blocks = get(c, 8);
    uint64_t n_parts = get(c, 8);
    if (format < DOC_TEXT || format > DOC_PPT)
        return "format";
    if (n_pages > PAGES_MAX)
        return "page count";
    if (title_len > TITLE_MAX_BYTES)
        return "title length";
    if (!text_len || text_len > max_text || text_len > c->left)
        return "text length";
    if (!n_blocks || n_blocks > BLOCKS_MAX || n_blocks > c->left / BLOCK_BYTES)
        return "block count";
    if (n_parts > DOC_PARTS_MAX)
        return "part count";

    struct span title = get_bytes(c, title_len);
    struct span text = get_bytes(c, text_len);
    if (!c->ok || c->left < n_blocks * BLOCK_BYTES + END_BYTES)
        return "message length";
    if (!text_is_clean(title, false))
        return "title";
    if (!text_is_clean(text, true))
        return "text";

    d->format = (enum doc_format)format;
    d->n_pages = (uint32_t)n_pages;
    d->text = strndup(text.ptr, text.len);
    d->title = title.len ? strndup(title.ptr, title.len) : NULL;
    d->text_len = text.len;
    if (!d->text || (title.len && !d->title))
        return "memory";
    const char *wrong = get_blocks(c, d, (size_t)n_blocks);
    if (!wrong)
        wrong = get_parts(c, d, (size_t)n_parts);
    if (wrong)
        return wrong;
    return at_end(c) ? NULL : "end mark";
}

bool wire_get_document(struct span in, size_t max_text, struct document *out, const char **what)
{
    *out = (struct document){ 0 };
    struct cursor c = body_of(in, WIRE_DOCUMENT);
    *what = c.ok ? get_document(&c, max_text, out) : "header";
    if (*what)
        document_deinit(out);
    return !*what;
}

bool wire_get_refusal(struct span in, struct refusal *out, const char **what)
{
    struct cursor c = body_of(in, WIRE_REFUSAL);
    uint64_t reason = get(&c, 4);
    get(&c, 4);
    out->a = get(&c, 8);
    out->b = get(&c, 8);
    out->reason = REASON_INTERNAL;
    *what = NULL;
    if (!at_end(&c))
        *what = "length";
    else if (reason <= REASON_NONE || reason >= REASON_COUNT)
        *what = "reason";
    else
        out->reason = (enum reason)reason;
    return !*what;
}

bool wire_get_report(struct span in, struct extract_sandbox_report *out, const char **what)
{
    struct cursor c = body_of(in, WIRE_REPORT);
    uint64_t abi = get(&c, 4), flags = get(&c, 4), n = get(&c, 4), denied = get(&c, 4);
    *out = (struct extract_sandbox_report){ 0 };
    *what = NULL;
    if (!at_end(&c))
        *what = "length";
    else if (n != SANDBOX_PROBES || abi > 1000)
        *what = "counts";
    if (*what)
        return false;
    out->landlock_abi = (int)abi;
    out->seccomp = flags & 1;
    out->own_network = flags & 2;
    out->pdf_reader = flags & 4;
    out->ocr = flags & 8;
    out->n_probes = n;
    for (size_t i = 0; i < n; i++)
        out->probes[i].denied = denied >> i & 1;
    return true;
}
