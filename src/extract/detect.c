/* Which format a file is in: by what it begins with, and by its name where that cannot tell. */
#include "extract/extract_priv.h"

#include <string.h>
#include <strings.h>

#include "base/files.h"
#include "base/size.h"
#include "base/utf8.h"
#include "extract/cfb.h"
#include "extract/mapi.h"
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
          "an old file of another program, kept as Office once did"),
    MAGIC("GIF8", "a picture of a kind that is not read; save it as PNG"),
    MAGIC("BM\0", "a picture of a kind that is not read; save it as PNG"),
    MAGIC("%!PS", "a PostScript file"),
    MAGIC("\x7F"
          "ELF",
          "a program"),
    MAGIC("MZ\x90", "a program"),
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
    { ".mht", DOC_MHTML, NULL },
    { ".mhtml", DOC_MHTML, NULL },
    { ".ics", DOC_CALENDAR, NULL },
    { ".vcs", DOC_CALENDAR, NULL },
    { ".vcf", DOC_CONTACTS, NULL },
    { ".tar", DOC_ARCHIVE, NULL },
    { ".svg", DOC_UNKNOWN, "a picture" },
    { ".ps", DOC_UNKNOWN, "a PostScript file" },
    { ".p7s", DOC_UNKNOWN, "an electronic signature" },
    { ".pkcs7", DOC_UNKNOWN, "an electronic signature" },
    { ".css", DOC_UNKNOWN, "a style sheet" },
    { ".js", DOC_UNKNOWN, "a program" },
};

const char *doc_format_name(enum doc_format f)
{
    static const char *const names[] = {
        [DOC_UNKNOWN] = "unknown", [DOC_TEXT] = "text",         [DOC_MARKDOWN] = "markdown",
        [DOC_HTML] = "html",       [DOC_PDF] = "pdf",           [DOC_RTF] = "rtf",
        [DOC_DOCX] = "docx",       [DOC_XLSX] = "xlsx",         [DOC_PPTX] = "pptx",
        [DOC_ODT] = "odt",         [DOC_ODS] = "ods",           [DOC_ODP] = "odp",
        [DOC_ZIP] = "zip",         [DOC_MAIL] = "mail",         [DOC_MAILBOX] = "mailbox",
        [DOC_PICTURE] = "picture", [DOC_MHTML] = "mhtml",       [DOC_OUTLOOK] = "msg",
        [DOC_TNEF] = "tnef",       [DOC_CALENDAR] = "calendar", [DOC_CONTACTS] = "contacts",
        [DOC_ARCHIVE] = "archive", [DOC_INVOICE] = "invoice",   [DOC_XJUSTIZ] = "xjustiz",
        [DOC_CSV] = "csv", [DOC_DOC] = "doc", [DOC_XLS] = "xls", [DOC_PPT] = "ppt",
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

static bool starts(struct span s, const char *with)
{
    size_t n = strlen(with);
    return s.len >= n && strncasecmp(s.ptr, with, n) == 0;
}

/* A mail has no mark to begin with: only lines of a head, of which one is written by mail programs alone. */
static enum doc_format starts_mail(struct span head)
{
    static const char *const marks[] = { "MIME-Version:", "Message-ID:", "Received:",
                                         "Delivered-To:", "Return-Path:" };
    bool marked = false, page = false, sent = false;
    for (size_t at = 0; at < head.len;) {
        size_t end = MIN(span_find(head, SPAN("\n"), at), head.len), colon = 0;
        struct span line = span_sub(head, at, end);
        if (span_trim(line).len == 0)
            break;
        while (colon < line.len && line.ptr[colon] > ' ' && line.ptr[colon] != ':')
            colon++;
        bool folded = at && (line.ptr[0] == ' ' || line.ptr[0] == '\t');
        bool whole = end < head.len;
        if (whole && !folded && (colon == 0 || colon >= line.len || line.ptr[colon] != ':'))
            return DOC_UNKNOWN;
        for (size_t i = 0; i < ARRAY_LEN(marks); i++)
            marked |= starts(line, marks[i]);
        sent |= starts(line, "From:") || starts(line, "Date:") || starts(line, "Subject:");
        page |= starts(line, "Snapshot-Content-Location:") || starts(line, "From: \"Saved by") ||
                starts(line, "From: <Saved by");
        at = end + 1;
    }
    return !marked || !sent ? DOC_UNKNOWN : page ? DOC_MHTML : DOC_MAIL;
}

/* What begins with words that nothing else begins with. */
static enum doc_format starts_card(struct span head)
{
    if (span_starts(head, SPAN("\xEF\xBB\xBF")))
        head = span_sub(head, 3, head.len);
    head = span_trim(head);
    if (starts(head, "BEGIN:VCALENDAR"))
        return DOC_CALENDAR;
    return starts(head, "BEGIN:VCARD") ? DOC_CONTACTS : DOC_UNKNOWN;
}

/* gzip, bzip2, xz, zstd, 7z, and tar, whose mark stands at the end of its first block. */
static bool is_packed(struct span head)
{
    static const struct span begins[] = {
        { "\x1F\x8B\x08", 3 },
        { "\xFD"
          "7zXZ\0",
          6 },
        { "\x28\xB5\x2F\xFD", 4 },
        { "7z\xBC\xAF\x27\x1C", 6 },
    };
    for (size_t i = 0; i < ARRAY_LEN(begins); i++)
        if (span_starts(head, begins[i]))
            return true;
    bool bzip2 = span_starts(head, SPAN("BZh")) && span_eq_str(span_sub(head, 4, 10), "1AY&SY");
    return bzip2 || span_eq_str(span_sub(head, 257, 262), "ustar");
}

/* A compound file that is called a message. */
static bool is_outlook(struct span head, const char *path)
{
    return cfb_directory_at(head) &&
           (strcasecmp(path_ext(path), ".msg") == 0 || strcasecmp(path_ext(path), ".oft") == 0);
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
    if (tnef_is(head))
        return DOC_TNEF;
    if (is_packed(head))
        return DOC_ARCHIVE;
    if (is_outlook(head, path))
        return DOC_OUTLOOK;
    for (size_t i = 0; i < ARRAY_LEN(magics); i++)
        if (span_starts(head, (struct span){ magics[i].bytes, magics[i].len })) {
            *why_not = magics[i].is;
            return DOC_UNKNOWN;
        }

    enum doc_format tree = tree_format(long_head);
    if (tree != DOC_UNKNOWN)
        return tree;
    enum doc_format card = starts_card(head);
    if (card != DOC_UNKNOWN)
        return card;
    const struct ext *e = ext_find(path);
    if (e && e->format == DOC_UNKNOWN)
        *why_not = e->is;
    if (e && e->format != DOC_TEXT && e->format != DOC_CSV)
        return e->format;
    if (starts_html(head)) /* what many a program exports under the name of a table */
        return DOC_HTML;
    enum doc_format mail = e && e->format == DOC_CSV ? DOC_UNKNOWN : starts_mail(head);
    if (mail != DOC_UNKNOWN)
        return mail;
    if (e)
        return e->format;
    if (surely_text(head))
        return DOC_TEXT;
    *why_not = "a kind of file that is not known";
    return DOC_UNKNOWN;
}
