/* api/passage.c: the text around a place, for whoever wants to read a citation where it stands. The right to the
 * matter was decided in routes.c.
 *
 * What comes back are the document's own blocks (paragraphs, table cells) with their pages and byte ranges, as many as
 * have text near the place. The caller marks the place by its bytes and asks again, further on, for more. */
#include <stdlib.h>
#include <string.h>

#include "api/api_priv.h"
#include "base/utf8.h"

enum {
    AROUND_BYTES = 3000, /* before and after: about a page */
    PLACE_BYTES = 16384, /* of a place; what is longer is shown from its start */
    BLOCK_BYTES = 4096,  /* longer blocks are shown in part */
    BLOCKS_MAX = 1000,
    OFFSET_MAX = 1 << 30,
};

/* Of the query; 'out' keeps its value when it is absent. False after an answer. */
static bool query_offset(struct call *c, const char *name, size_t *out)
{
    const char *text = http_query(c->rq, name);
    if (!text)
        return true;
    size_t n = strlen(text);
    unsigned long long x = n && n <= 10 && strspn(text, "0123456789") == n
                               ? strtoull(text, NULL, 10)
                               : OFFSET_MAX + 1ull;
    if (x > OFFSET_MAX) {
        reply_error(c, 400, NULL, "invalid_value", name, "'%s' takes a whole number from 0 to %d",
                    name, OFFSET_MAX);
        return false;
    }
    *out = (size_t)x;
    return true;
}

struct window {
    size_t start, end; /* bytes that are wanted */
    size_t shown_start, shown_end;
};

/* Characters that the edges of the window cut in two are left out. */
static json_t *block_json(const struct kt_place *p, const char *text, size_t len, size_t at)
{
    size_t skip = 0;
    while (skip < len && skip < UTF8_MAX_BYTES && utf8_is_continuation(text[skip]))
        skip++;
    len -= utf8_torn_tail((struct span){ text, len });
    len = len > skip ? len - skip : 0;
    return json_pack("{s:I,s:I,s:I,s:I,s:o}", "start", (json_int_t)(at + skip), "end",
                     (json_int_t)(at + skip + len), "page", (json_int_t)p->page, "paragraph",
                     (json_int_t)p->para, "text", text_json(text + skip, len));
}

static enum kt_status add_block(json_t *list, struct kt_matter *m, int64_t doc,
                                const struct kt_place *p, struct window *w, struct kt_error *err)
{
    char *text;
    bool is_long = p->end - p->start > BLOCK_BYTES;
    size_t start = is_long ? MAX(p->start, w->start) : p->start;
    size_t end = is_long ? MIN(p->end, w->end) : p->end;
    if (start >= end)
        return KT_OK;
    enum kt_status st = kt_matter_text(m, doc, start, end, &text, err);
    if (st)
        return st;
    json_array_append_new(list, block_json(p, text, end - start, start));
    w->shown_start = MIN(w->shown_start, start);
    w->shown_end = MAX(w->shown_end, end);
    free(text);
    return KT_OK;
}

static enum kt_status collect(struct kt_matter *m, const struct kt_doc_info *d, struct window *w,
                              json_t *list, size_t *text_end, struct kt_error *err)
{
    struct kt_place *blocks = NULL, last;
    size_t n = 0;
    enum kt_status st = kt_matter_blocks(m, d->id, w->start, w->end, BLOCKS_MAX, &blocks, &n, err);
    for (size_t i = 0; i < n && !st; i++)
        st = add_block(list, m, d->id, &blocks[i], w, err);
    free(blocks);
    if (!st)
        st = kt_matter_place(m, d->id, OFFSET_MAX, &last, err);
    if (!st)
        *text_end = last.end;
    return st;
}

static json_t *passage_json(const struct kt_doc_info *d, const struct window *w, size_t text_end,
                            json_t *blocks)
{
    bool any = json_array_size(blocks) > 0;
    return json_pack("{s:I,s:s,s:s?,s:s?,s:I,s:b,s:b,s:o}", "document", (json_int_t)d->id, "path",
                     d->path, "title", d->title, "format", d->format, "pages",
                     (json_int_t)d->n_pages, "earlier", (int)(any && w->shown_start > 0), "later",
                     (int)(any && w->shown_end < text_end), "blocks", blocks);
}

void handle_passage(struct call *c)
{
    const char *path = http_query(c->rq, "path");
    size_t start = 0, end = 0, text_end = 0;
    if (!path || !*path) {
        reply_error(c, 400, NULL, "missing_required_parameter", "path",
                    "say which document: &path=, as search and ask give it");
        return;
    }
    if (!query_offset(c, "start", &start))
        return;
    end = start;
    if (!query_offset(c, "end", &end))
        return;
    if (end < start) {
        reply_error(c, 400, NULL, "invalid_value", "end", "'end' lies before 'start'");
        return;
    }
    struct window w = {
        .start = start > AROUND_BYTES ? start - AROUND_BYTES : 0,
        .end = MIN(MIN(end, start + PLACE_BYTES) + AROUND_BYTES, (size_t)OFFSET_MAX),
        .shown_start = SIZE_MAX,
    };
    struct kt_matter *m = NULL;
    struct kt_doc_info d = { 0 };
    struct kt_error err;
    json_t *blocks = json_array();
    enum kt_status st = matter_take(&m, c, &err);
    if (!st)
        st = kt_matter_find(m, path, &d, &err);
    if (!st && d.state != KT_DOC_INDEXED)
        st = kt_fail(&err, KT_E_NOTFOUND, "this document was not read, so there is no text of it");
    if (!st)
        st = collect(m, &d, &w, blocks, &text_end, &err);
    if (!st)
        kt_matter_note(m, KT_DEED_READ, d.id, json_array_size(blocks));
    matter_give(c, m);
    if (st) {
        json_decref(blocks);
        if (st == KT_E_NOTFOUND) /* the store's words name a path */
            reply_error(c, 404, NULL, "not_found", "path",
                        "there is no such text in this matter; it was changed or removed");
        else
            reply_kt_error(c, &err);
    } else {
        reply_json(c, 200, passage_json(&d, &w, text_end, blocks));
    }
    kt_doc_info_deinit(&d);
}
