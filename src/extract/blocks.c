/* Collecting the blocks of one document.
 *
 * Parsers say begin, text, text, end; this file cleans the text (normalise.c), lays the blocks one
 * after the other with an empty line between them, and stops everything at the first refusal.
 * Inside a block there is never an empty line, so cutting the finished text at "\n\n" gives back
 * exactly the blocks. */
#include "extract/extract_priv.h"

#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "base/utf8.h"

void builder_init(struct builder *b, size_t max_text)
{
    *b = (struct builder){ .max_text = max_text };
}

void builder_deinit(struct builder *b)
{
    buf_deinit(&b->text);
    buf_deinit(&b->raw);
    buf_deinit(&b->title);
    free(b->blocks);
    doc_parts_free(b->parts, b->n_parts);
    *b = (struct builder){ 0 };
}

bool builder_refuse(struct builder *b, enum reason reason, uint64_t a, uint64_t c)
{
    if (builder_ok(b))
        b->refusal = (struct refusal){ reason, a, c };
    return false;
}

bool builder_holds(struct builder *b, const struct buf *own)
{
    if (own->failed)
        builder_refuse(b, REASON_NOMEM, 0, 0);
    return builder_ok(b);
}

bool builder_collect(struct builder *b, struct buf *to, struct span s)
{
    if (s.len > BLOCK_RAW_MAX || to->len > BLOCK_RAW_MAX - s.len)
        return builder_refuse(b, REASON_TEXT_TOO_LONG, BLOCK_RAW_MAX, 0);
    buf_append_span(to, s);
    return builder_holds(b, to);
}

void builder_begin(struct builder *b, enum block_kind kind)
{
    builder_end(b);
    b->open = true;
    b->keep_layout = false;
    b->now = (struct block){ .kind = kind };
}

void builder_text(struct builder *b, struct span s)
{
    if (!builder_ok(b) || !s.len)
        return;
    if (!b->open)
        builder_begin(b, BLOCK_PARAGRAPH);
    builder_collect(b, &b->raw, s);
}

void builder_char(struct builder *b, char c)
{
    builder_text(b, (struct span){ &c, 1 });
}

static bool blocks_reserve(struct builder *b)
{
    if (b->n_blocks < b->cap_blocks)
        return true;
    if (b->n_blocks >= BLOCKS_MAX)
        return builder_refuse(b, REASON_TOO_MANY_BLOCKS, BLOCKS_MAX, 0);
    size_t cap = b->cap_blocks ? 2 * b->cap_blocks : 64;
    struct block *p = realloc(b->blocks, cap * sizeof(*p)); /* cap <= BLOCKS_MAX: no overflow */
    if (!p)
        return builder_refuse(b, REASON_NOMEM, 0, 0);
    b->blocks = p;
    b->cap_blocks = cap;
    return true;
}

static void text_cut(struct builder *b, size_t len)
{
    b->text.len = len;
    if (b->text.ptr)
        b->text.ptr[len] = '\0';
}

bool builder_end(struct builder *b)
{
    bool had = b->open && b->raw.len;
    b->open = false;
    if (!had || !builder_ok(b) || !blocks_reserve(b)) {
        buf_clear(&b->raw);
        return false;
    }
    size_t before = b->text.len;
    if (b->n_blocks)
        buf_append_str(&b->text, "\n\n");
    size_t start = b->text.len;
    bool ok = normalise(&b->text, buf_span(&b->raw), b->keep_layout) && !b->text.failed;
    buf_clear(&b->raw);
    if (!ok)
        return builder_refuse(b, REASON_NOMEM, 0, 0);
    if (b->text.len == start) {
        text_cut(b, before);
        return false;
    }
    if (b->text.len > b->max_text)
        return builder_refuse(b, REASON_TEXT_TOO_LONG, b->max_text, 0);
    b->now.start = start;
    b->now.end = b->text.len;
    b->now.para = (uint32_t)b->n_blocks + 1;
    b->blocks[b->n_blocks++] = b->now;
    return true;
}

void builder_drop(struct builder *b)
{
    b->open = false;
    buf_clear(&b->raw);
}

void builder_undo(struct builder *b)
{
    if (!b->n_blocks)
        return;
    b->n_blocks--;
    text_cut(b, b->n_blocks ? b->blocks[b->n_blocks - 1].end : 0);
}

/* One line, cut at a character boundary. */
void builder_title(struct builder *b, struct span s)
{
    if (!builder_ok(b) || b->title.len)
        return;
    if (!normalise(&b->title, span_sub(s, 0, 4 * TITLE_MAX_BYTES), false)) {
        builder_refuse(b, REASON_NOMEM, 0, 0);
        return;
    }
    if (!b->title.len)
        return;
    size_t len = MIN(b->title.len, (size_t)TITLE_MAX_BYTES);
    if (len < b->title.len)
        while (len && utf8_is_continuation(b->title.ptr[len]))
            len--;
    b->title.len = len;
    b->title.ptr[len] = '\0';
    for (size_t i = 0; i < len; i++)
        if (b->title.ptr[i] == '\n')
            b->title.ptr[i] = ' ';
}

static void title_from_heading(struct builder *b)
{
    for (size_t i = 0; i < b->n_blocks && !b->title.len; i++)
        if (b->blocks[i].kind == BLOCK_HEADING)
            builder_title(b, span_sub(buf_span(&b->text), b->blocks[i].start, b->blocks[i].end));
}

bool builder_finish(struct builder *b, struct document *out, enum doc_format format)
{
    *out = (struct document){ 0 };
    builder_end(b);
    if (!builder_ok(b))
        return false;
    if (!b->n_blocks)
        return builder_refuse(b, REASON_NO_TEXT, 0, 0);
    title_from_heading(b);
    if (!builder_ok(b))
        return false;
    size_t text_len = b->text.len; /* buf_take empties the buffer */
    *out = (struct document){
        .format = b->format != DOC_UNKNOWN ? b->format : format,
        .text_len = text_len,
        .text = buf_take(&b->text),
        .blocks = b->blocks,
        .n_blocks = b->n_blocks,
        .n_pages = b->n_pages,
        .title = b->title.len ? buf_take(&b->title) : NULL,
        .parts = b->parts,
        .n_parts = b->n_parts,
    };
    b->parts = NULL;
    b->n_parts = b->cap_parts = 0;
    b->blocks = NULL;
    b->n_blocks = b->cap_blocks = 0;
    return true;
}
