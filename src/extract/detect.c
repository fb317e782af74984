/* Which format a file is in: by what it begins with, and by its name where that cannot tell. */
#include "extract/extract_priv.h"

#include <string.h>
#include <strings.h>

#include "base/files.h"
#include "base/size.h"
#include "base/utf8.h"
#include "extract/tree.h"

struct magic {
    const char *bytes;
    size_t len;
    const char *is; /* completes "this is ..." */
};

#define MAGIC(bytes, is)                                                                           \
    {                                                                                              \
        bytes, sizeof(bytes) - 1, is                                                               \
    }

static const struct magic magics[] = {
    MAGIC("\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1",
          "an old Office file (.doc, .xls, .ppt, .msg), or one protected by a password"),
    MAGIC("GIF8", "a picture of a kind that is not read; save it as PNG"),
    MAGIC("BM\0", "a picture of a kind that is not read; save it as PNG"),
    MAGIC("%!PS", "a PostScript file"),
    MAGIC("\x7F"
          "ELF",
          "a program"),
    MAGIC("MZ\x90", "a program"),
    MAGIC("\x1F\x8B", "a compressed file"),
    MAGIC("BZh", "a compressed file"),
    MAGIC("\xFD"
          "7zXZ",
          "a compressed file"),
    MAGIC("7z\xBC\xAF", "an archive"),
    MAGIC("Rar!", "an archive"),
    MAGIC("SQLite format 3", "a database"),
    MAGIC("OggS", "a sound or video file"),
    MAGIC("ID3", "a sound or video file"),
    MAGIC("RIFF", "a sound, video or picture file"),
};

struct ext {
    const char *ext;
    enum doc_format format;
    const char *is; /* when DOC_UNKNOWN */
};

static const struct ext exts[] = {
    { ".txt", DOC_TEXT, NULL },
    { ".text", DOC_TEXT, NULL },
    { ".asc", DOC_TEXT, NULL },
    { ".csv", DOC_CSV, NULL },
    { ".tsv", DOC_CSV, NULL },
    { ".md", DOC_MARKDOWN, NULL },
    { ".markdown", DOC_MARKDOWN, NULL },
    { ".html", DOC_HTML, NULL },
    { ".htm", DOC_HTML, NULL },
    { ".xhtml", DOC_HTML, NULL },
    { ".pdf", DOC_PDF, NULL },
    { ".docx", DOC_PACKAGE, NULL },
    { ".docm", DOC_PACKAGE, NULL },
    { ".dotx", DOC_PACKAGE, NULL },
    { ".xlsx", DOC_PACKAGE, NULL },
    { ".xlsm", DOC_PACKAGE, NULL },
    { ".pptx", DOC_PACKAGE, NULL },
    { ".pptm", DOC_PACKAGE, NULL },
    { ".odt", DOC_PACKAGE, NULL },
    { ".ods", DOC_PACKAGE, NULL },
    { ".odp", DOC_PACKAGE, NULL },
    { ".rtf", DOC_RTF, NULL },
    { ".zip", DOC_PACKAGE, NULL },
    { ".eml", DOC_MAIL, NULL },
    { ".mbox", DOC_MAILBOX, NULL },
    { ".svg", DOC_UNKNOWN, "a picture" },
    { ".ps", DOC_UNKNOWN, "a PostScript file" },
    { ".css", DOC_UNKNOWN, "a style sheet" },
    { ".js", DOC_UNKNOWN, "a program" },
};

const char *doc_format_name(enum doc_format f)
{
    static const char *const names[] = {
        [DOC_UNKNOWN] = "unknown", [DOC_TEXT] = "text",       [DOC_MARKDOWN] = "markdown",
        [DOC_HTML] = "html",       [DOC_PDF] = "pdf",         [DOC_RTF] = "rtf",
        [DOC_DOCX] = "docx",       [DOC_XLSX] = "xlsx",       [DOC_PPTX] = "pptx",
        [DOC_ODT] = "odt",         [DOC_ODS] = "ods",         [DOC_ODP] = "odp",
        [DOC_ZIP] = "zip",         [DOC_MAIL] = "mail",       [DOC_MAILBOX] = "mailbox",
        [DOC_PICTURE] = "picture", [DOC_INVOICE] = "invoice", [DOC_XJUSTIZ] = "xjustiz",
        [DOC_CSV] = "csv",
    };
    return (size_t)f < ARRAY_LEN(names) ? names[f] : names[DOC_UNKNOWN];
}

bool doc_format_is_package(enum doc_format f)
{
    return f >= DOC_DOCX && f <= DOC_ZIP;
}

static bool starts_html(struct span head)
{
    static const char *const starts[] = { "<!doctype html", "<html", "<head", "<body" };
    if (span_starts(head, SPAN("\xEF\xBB\xBF")))
        head = span_sub(head, 3, head.len);
    head = span_trim(head);
    for (size_t i = 0; i < ARRAY_LEN(starts); i++) {
        size_t n = strlen(starts[i]);
        if (head.len >= n && strncasecmp(head.ptr, starts[i], n) == 0)
            return true;
    }
    return false;
}

/* For names that say nothing: text only if it is beyond doubt, UTF-8 (or with a mark of UTF-16)
 * without controls. */
static bool surely_text(struct span head)
{
    if (span_starts(head, SPAN("\xFF\xFE")) || span_starts(head, SPAN("\xFE\xFF")))
        return true;
    size_t torn = utf8_torn_tail(head);
    if (!utf8_valid(span_sub(head, 0, head.len - torn)))
        return false;
    for (size_t i = 0; i < head.len; i++) {
        unsigned char c = (unsigned char)head.ptr[i];
        if (c < 0x20 && !strchr("\t\n\f\r", c))
            return false;
        if (c == 0)
            return false;
    }
    return true;
}

static const struct ext *ext_find(const char *path)
{
    const char *ext = path_ext(path);
    for (size_t i = 0; i < ARRAY_LEN(exts); i++)
        if (strcasecmp(exts[i].ext, ext) == 0)
            return &exts[i];
    return NULL;
}

/* Pictures that tesseract reads. */
static bool is_picture(struct span head)
{
    static const struct span begins[] = {
        { "\x89PNG\r\n", 6 },
        { "\xFF\xD8\xFF", 3 },
        { "II*\0", 4 },
        { "MM\0*", 4 },
    };
    for (size_t i = 0; i < ARRAY_LEN(begins); i++)
        if (span_starts(head, begins[i]))
            return true;
    return span_starts(head, SPAN("RIFF")) && span_eq_str(span_sub(head, 8, 12), "WEBP");
}

enum doc_format detect_format(struct span head, const char *path, const char **why_not)
{
    enum { MOST_SAY_SO_IN = 4096 }; /* only XML may need more */
    struct span long_head = head;
    head = span_sub(head, 0, MOST_SAY_SO_IN);
    *why_not = NULL;
    if (span_find(span_sub(head, 0, 1024), SPAN("%PDF-"), 0) != SIZE_MAX)
        return DOC_PDF;
    if (span_starts(head, SPAN("PK\3\4")) || span_starts(head, SPAN("PK\5\6")))
        return DOC_PACKAGE; /* the worker looks inside and says which, or what else it is */
    if (span_starts(head, SPAN("{\\rtf")))
        return DOC_RTF;
    if (is_picture(head))
        return DOC_PICTURE;
    for (size_t i = 0; i < ARRAY_LEN(magics); i++)
        if (span_starts(head, (struct span){ magics[i].bytes, magics[i].len })) {
            *why_not = magics[i].is;
            return DOC_UNKNOWN;
        }

    enum doc_format tree = tree_format(long_head);
    if (tree != DOC_UNKNOWN)
        return tree;
    const struct ext *e = ext_find(path);
    if (e && e->format == DOC_UNKNOWN)
        *why_not = e->is;
    if (e && e->format != DOC_TEXT && e->format != DOC_CSV)
        return e->format;
    if (starts_html(head)) /* what many a program exports under the name of a table */
        return DOC_HTML;
    if (e)
        return e->format;
    if (surely_text(head))
        return DOC_TEXT;
    *why_not = "a kind of file that is not known";
    return DOC_UNKNOWN;
}
