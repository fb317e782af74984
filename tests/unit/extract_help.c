/* See extract_help.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <zip.h>

#include "extract_help.h"

static char *shape_of(const struct builder *b)
{
    struct buf out = { 0 };
    for (size_t i = 0; i < b->n_blocks; i++) {
        struct span s = span_sub(buf_span(&b->text), b->blocks[i].start, b->blocks[i].end);
        buf_append_str(&out, i ? "\n" : "");
        buf_append_char(&out, "phlrm"[b->blocks[i].kind]);
        if (b->blocks[i].page && b->format != DOC_UNKNOWN)
            buf_printf(&out, "%u", b->blocks[i].page);
        buf_append_char(&out, ' ');
        for (size_t k = 0; k < s.len; k++)
            buf_append_char(&out, s.ptr[k] == '\n' ? '/' : s.ptr[k]);
    }
    if (!builder_ok(b))
        buf_printf(&out, "refused %d", (int)b->refusal.reason);
    return out.len ? buf_take(&out) : strdup("");
}

void expect(struct builder *b, const char *what, const char *expected)
{
    builder_end(b);
    char *found = shape_of(b);
    if (strcmp(found, expected) != 0)
        fail_msg("%s\n--- expected\n%s\n--- found\n%s", what, expected, found);
    free(found);
}

void expect_blocks(enum doc_format format, struct span in, const char *expected)
{
    struct builder b;
    builder_init(&b, ROOM);
    parse_memory(&b, format, in);
    expect(&b, in.ptr, expected);
    builder_deinit(&b);
}

struct buf zip_of(const struct part *parts, size_t n)
{
    zip_error_t e;
    zip_error_init(&e);
    zip_source_t *src = zip_source_buffer_create(NULL, 0, 0, &e);
    zip_source_keep(src);
    zip_t *z = zip_open_from_source(src, ZIP_TRUNCATE, &e);
    assert_non_null(z);
    for (size_t i = 0; i < n; i++)
        assert_true(zip_file_add(z, parts[i].name,
                                 zip_source_buffer(z, parts[i].ptr, parts[i].len, 0), 0) >= 0);
    assert_int_equal(zip_close(z), 0);
    struct buf out = { 0 };
    assert_int_equal(zip_source_open(src), 0);
    char step[65536];
    for (zip_int64_t r; (r = zip_source_read(src, step, sizeof(step))) > 0;)
        buf_append(&out, step, (size_t)r);
    zip_source_close(src);
    zip_source_free(src);
    return out;
}
