/* Any bytes as an Office package. What begins like a ZIP is taken as the whole container; anything else becomes one part of
 * a sound one, which part its first byte says: mutations would seldom get past the checksums otherwise. */
#include <stdlib.h>
#include <string.h>
#include <zip.h>

#include "base/size.h"
#include "fuzz/check_document.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REL(id, type, target)                                                                      \
    "<Relationship Id=\"" id "\" Type=\"http://x/" type "\" Target=\"" target "\"/>"
#define RELS(list)  "<Relationships>" list "</Relationships>"
#define OOXML(kind) "http://schemas.openxmlformats.org/" kind "/2006/main"
#define R_NS        "xmlns:r=\"http://schemas.openxmlformats.org/officeDocument/2006/relationships\""
#define ODF(kind)   "application/vnd.oasis.opendocument." kind

/* The parts of a package in turn: name, content. NULL in place of the content: the input. */
struct package_parts {
    char which; /* the first byte; 0: any other */
    const char *parts[14];
};

#define WORD_ROOT "_rels/.rels", RELS(REL("i", "officeDocument", "word/d.xml"))
#define WORD_RELS                                                                                  \
    "word/_rels/d.xml.rels", RELS(REL("s", "styles", "s.xml") REL("h", "header", "h.xml"))
#define WORD_BODY                                                                                  \
    "word/d.xml", "<w:document xmlns:w=\"" OOXML(                                                  \
                      "wordprocessingml") "\"><w:body><w:p><w:pPr>"                                \
                                          "<w:pStyle "                                             \
                                          "w:val=\"A\"/></w:pPr><w:r><w:t>x</w:t></w:r></w:p></"   \
                                          "w:body></w:document>"
#define SHEET_ROOT "_rels/.rels", RELS(REL("i", "officeDocument", "xl/w.xml"))
#define SHEET_RELS                                                                                 \
    "xl/_rels/w.xml.rels", RELS(REL("a", "worksheet", "s.xml") REL("b", "sharedStrings", "t.xml")  \
                                    REL("c", "styles", "f.xml"))
#define SHEET_BOOK                                                                                 \
    "xl/w.xml",                                                                                    \
        "<workbook xmlns=\"" OOXML("spreadsheetml") "\" " R_NS "><sheets><sheet name=\"N\" "       \
                                                    "r:id=\"a\"/></sheets></workbook>"
#define SHEET_ROWS                                                                                 \
    "xl/s.xml", "<worksheet xmlns=\"" OOXML(                                                       \
                    "spreadsheetml") "\"><row><c r=\"B1\" t=\"s\"><v>0</v>"                        \
                                     "</c><c s=\"1\"><v>45000.5</v></c></row></worksheet>"
#define SLIDE_ROOT "_rels/.rels", RELS(REL("i", "officeDocument", "ppt/p.xml"))
#define SLIDE_RELS "ppt/_rels/p.xml.rels", RELS(REL("a", "slide", "s.xml"))
#define SLIDE_SHOW                                                                                 \
    "ppt/p.xml",                                                                                   \
        "<p:presentation xmlns:p=\"" OOXML(                                                        \
            "presentationml") "\" " R_NS "><p:sldIdLst>"                                           \
                              "<p:sldId id=\"1\" r:id=\"a\"/></p:sldIdLst></p:presentation>"

static const struct package_parts kinds[] = {
    { 's', { WORD_ROOT, WORD_RELS, WORD_BODY, "word/s.xml", NULL } },
    { 'r', { WORD_ROOT, WORD_BODY, "word/_rels/d.xml.rels", NULL } },
    { 'h', { WORD_ROOT, WORD_RELS, WORD_BODY, "word/h.xml", NULL } },
    { 'x', { SHEET_ROOT, SHEET_RELS, SHEET_BOOK, "xl/s.xml", NULL } },
    { 'w', { SHEET_ROOT, SHEET_RELS, SHEET_ROWS, "xl/w.xml", NULL } },
    { 't', { SHEET_ROOT, SHEET_RELS, SHEET_BOOK, SHEET_ROWS, "xl/t.xml", NULL } },
    { 'f', { SHEET_ROOT, SHEET_RELS, SHEET_BOOK, SHEET_ROWS, "xl/f.xml", NULL } },
    { 'p', { SLIDE_ROOT, SLIDE_RELS, SLIDE_SHOW, "ppt/s.xml", NULL } },
    { 'o', { "mimetype", ODF("text"), "content.xml", NULL } },
    { 'c', { "mimetype", ODF("spreadsheet"), "content.xml", NULL } },
    { 'i', { "mimetype", ODF("presentation"), "content.xml", NULL } },
    { 0, { WORD_ROOT, WORD_RELS, "word/d.xml", NULL } },
};

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
    const struct package_parts *k = kinds;
    while (k->which && (size == 0 || k->which != (char)data[0]))
        k++;
    size_t skip = k->which != 0;
    for (size_t i = 0; i < ARRAY_LEN(k->parts) && k->parts[i]; i += 2) {
        if (k->parts[i + 1])
            add(z, k->parts[i], k->parts[i + 1], strlen(k->parts[i + 1]));
        else
            add(z, k->parts[i], data + skip, size - skip);
    }
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
    office_parse(&b, file);
    check_document(&b, DOC_PACKAGE);
    builder_deinit(&b);
    buf_deinit(&made);
    return 0;
}
