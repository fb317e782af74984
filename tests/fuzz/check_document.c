/* The parent refuses a document that breaks a promise of extract.h, because a worker may have been
 * taken over. A worker that has not been must never be refused so: whatever the parsers make of
 * hostile bytes goes through the same judge here. */
#include "fuzz/check_document.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void die(const char *what, const char *detail)
{
    fprintf(stderr, "%s: %s\n", what, detail);
    abort();
}

static void check_refusal(const struct refusal *r)
{
    struct kt_error err = { 0 };
    if (r->reason <= REASON_NONE || r->reason >= REASON_COUNT)
        die("refused", "without a reason");
    if (r->reason == REASON_INTERNAL || r->reason == REASON_WALLS)
        die("refused", "for a reason no document can be");
    if (refusal_fail(&err, "input", r) == KT_OK || strncmp(err.text, "input: ", 7) != 0)
        die("refused", "without a sentence");
}

void check_document(struct builder *b, enum doc_format format)
{
    struct document d, back;
    if (!builder_finish(b, &d, format)) {
        check_refusal(&b->refusal);
        return;
    }
    struct buf wire = { 0 };
    const char *what;
    if (!wire_put_document(&wire, &d))
        die("document", "could not be sent");
    if (!wire_get_document(buf_span(&wire), b->max_text, &back, &what))
        die("document refused for its", what);
    if (strcmp(back.text, d.text) != 0 || back.n_blocks != d.n_blocks || back.n_parts != d.n_parts)
        die("document", "changed on its way");
    for (size_t i = 0; i < d.n_blocks; i++) { /* cutting the text at empty lines gives the blocks */
        struct span s =
            span_sub((struct span){ d.text, d.text_len }, d.blocks[i].start, d.blocks[i].end);
        if (span_find(s, SPAN("\n\n"), 0) != SIZE_MAX || span_trim(s).len != s.len)
            die("block", "with an empty line inside, or white space at an end");
    }
    document_deinit(&back);
    document_deinit(&d);
    buf_deinit(&wire);
}
