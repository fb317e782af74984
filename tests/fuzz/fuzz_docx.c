/* Any bytes as a Word document. What begins like a ZIP is taken as the whole container; anything
 * else becomes the main part of one, or (after a first byte of 's', 'r', 'h') its styles, its
 * relationships, a header: mutations would seldom get past the checksums otherwise. */
#include <stdlib.h>
#include <string.h>
#include <zip.h>

#include "fuzz/check_document.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REL(type, target)                                                                          \
    "<Relationship Id=\"i\" Type=\"http://x/" type "\" Target=\"" target "\"/>"

static const char rels_root[] =
    "<Relationships>" REL("officeDocument", "word/d.xml") "</Relationships>";
static const char rels_main[] =
    "<Relationships>" REL("styles", "s.xml") REL("header", "h.xml") "</Relationships>";
static const char body[] =
    "<w:document xmlns:w=\"http://schemas.openxmlformats.org/wordprocessingml/2006/main\"><w:body>"
    "<w:p><w:pPr><w:pStyle w:val=\"A\"/></w:pPr><w:r><w:t>x</w:t></w:r></w:p></w:body>"
    "</w:document>";

static void add(zip_t *z, const char *name, const void *ptr, size_t len)
{
    zip_source_t *s = zip_source_buffer(z, ptr, len, 0);
    zip_int64_t i = s ? zip_file_add(z, name, s, 0) : -1;
    if (i < 0 || zip_set_file_compression(z, (zip_uint64_t)i, ZIP_CM_STORE, 0) != 0)
        abort();
}

static struct buf wrap(const uint8_t *data, size_t size)
{
    zip_source_t *src = zip_source_buffer_create(NULL, 0, 0, NULL);
    if (!src)
        abort();
    zip_source_keep(src);
    zip_t *z = zip_open_from_source(src, ZIP_TRUNCATE, NULL);
    if (!z)
        abort();
    char which = size ? (char)data[0] : 0;
    bool part = which == 's' || which == 'r' || which == 'h';
    add(z, "_rels/.rels", rels_root, strlen(rels_root));
    if (which != 'r')
        add(z, "word/_rels/d.xml.rels", rels_main, strlen(rels_main));
    if (part)
        add(z, "word/d.xml", body, strlen(body));
    add(z,
        which == 's'   ? "word/s.xml"
        : which == 'r' ? "word/_rels/d.xml.rels"
        : which == 'h' ? "word/h.xml"
                       : "word/d.xml",
        data + part, size - part);
    if (zip_close(z) != 0 || zip_source_open(src) != 0)
        abort();
    struct buf out = { 0 };
    char step[4096];
    for (zip_int64_t n; (n = zip_source_read(src, step, sizeof(step))) > 0;)
        buf_append(&out, step, (size_t)n);
    zip_source_close(src);
    zip_source_free(src);
    return out;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf made = { 0 };
    struct span file = { (const char *)data, size };
    if (!span_starts(file, SPAN("PK"))) {
        made = wrap(data, size);
        file = buf_span(&made);
    }
    struct builder b;
    builder_init(&b, (size_t)1 << 20);
    docx_parse(&b, file);
    check_document(&b, DOC_DOCX);
    builder_deinit(&b);
    buf_deinit(&made);
    return 0;
}
