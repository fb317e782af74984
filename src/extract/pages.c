/* Pages joined into a document; see pages.h. */
#include "extract/pages.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"

static enum kt_status add_block(struct pages_join *j, const struct block *b, struct span text,
                                uint32_t page, const char *name, struct kt_error *err)
{
    if (j->n_blocks == j->cap_blocks) {
        size_t cap = j->cap_blocks ? 2 * j->cap_blocks : 64, bytes;
        struct block *p = size_mul(&bytes, cap, sizeof(*p)) ? realloc(j->blocks, bytes) : NULL;
        if (!p)
            return kt_fail(err, KT_E_NOMEM, "%s: out of memory for its pages", name);
        j->blocks = p;
        j->cap_blocks = cap;
    }
    if (j->n_blocks >= BLOCKS_MAX || text.len > j->max_text - MIN(j->text.len, j->max_text))
        return refusal_fail(err, name, &(struct refusal){ REASON_TEXT_TOO_LONG, j->max_text, 0 });
    if (j->n_blocks)
        buf_append_str(&j->text, "\n\n");
    struct block *mine = &j->blocks[j->n_blocks++];
    *mine = *b;
    mine->page = page;
    mine->para = (uint32_t)j->n_blocks;
    mine->start = j->text.len;
    buf_append_span(&j->text, text);
    mine->end = j->text.len;
    return j->text.failed ? kt_fail(err, KT_E_NOMEM, "%s: out of memory for its pages", name)
                          : KT_OK;
}

enum kt_status pages_join_add(struct pages_join *j, const struct document *d, uint32_t page,
                              const char *name, struct kt_error *err)
{
    enum kt_status st = KT_OK;
    struct span text = { d->text, d->text_len };
    for (size_t i = 0; i < d->n_blocks && !st; i++)
        st = add_block(j, &d->blocks[i], span_sub(text, d->blocks[i].start, d->blocks[i].end), page,
                       name, err);
    if (!st && !j->title && d->title && !(j->title = strdup(d->title)))
        st = kt_fail(err, KT_E_NOMEM, "%s: out of memory for its pages", name);
    j->n_read++;
    return st;
}

enum kt_status pages_join_block(struct pages_join *j, const struct document *d, size_t i,
                                const char *name, struct kt_error *err)
{
    const struct block *b = &d->blocks[i];
    struct span text = { d->text, d->text_len };
    j->n_read += i == 0;
    return add_block(j, b, span_sub(text, b->start, b->end), b->page, name, err);
}

enum kt_status pages_join_unread(struct pages_join *j, uint32_t page, const char *name,
                                 struct kt_error *err)
{
    struct block b = { .kind = BLOCK_PARAGRAPH };
    char text[96];
    int n = snprintf(text, sizeof(text), "[Seite %u nicht lesbar / page %u could not be read]",
                     page, page);
    return add_block(j, &b, (struct span){ text, (size_t)n }, page, name, err);
}

enum kt_status pages_join_take(struct pages_join *j, struct document *out, uint32_t n_pages,
                               const char *name, struct kt_error *err)
{
    if (!j->n_read)
        return kt_fail(err, KT_E_UNSUPPORTED,
                       "%s: a scan, and no text was recognised in it; scan it again in gray with "
                       "300 dpi if there is some",
                       name);
    size_t len = j->text.len;
    *out = (struct document){ .format = DOC_PDF,
                              .text = buf_take(&j->text),
                              .text_len = len,
                              .blocks = j->blocks,
                              .n_blocks = j->n_blocks,
                              .n_pages = n_pages,
                              .title = j->title };
    j->blocks = NULL;
    j->title = NULL;
    return KT_OK;
}

void pages_join_deinit(struct pages_join *j)
{
    buf_deinit(&j->text);
    free(j->blocks);
    free(j->title);
    *j = (struct pages_join){ 0 };
}
