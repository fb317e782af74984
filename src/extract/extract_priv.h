/* extract/extract_priv.h: what the files of this folder share.
 *
 * Three nouns. A 'builder' collects the blocks of one document, cleans their text and keeps the
 * bounds. A 'refusal' is why a document cannot be read: a code and two numbers, never a sentence,
 * because the one who refuses has read hostile bytes; the sentence is made by the parent
 * (reason.c). The 'wire' is how a finished document or a refusal travels from the worker to the
 * parent. */
#ifndef EXTRACT_EXTRACT_PRIV_H
#define EXTRACT_EXTRACT_PRIV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"
#include "base/status.h"
#include "extract/extract.h"
#include "extract/limits.h"

/* ---- reason.c: why a document cannot be read ------------------------------------------------ */

/* The comment says what the numbers a and b of the refusal mean. */
enum reason {
    REASON_NONE,
    REASON_NOMEM,           /* the worker's memory is used up                                   */
    REASON_TEXT_TOO_LONG,   /* a: bytes allowed                                                 */
    REASON_TOO_MANY_BLOCKS, /* a: blocks allowed                                               */
    REASON_FILE_TOO_LARGE,  /* a: bytes allowed                                                 */
    REASON_READ,            /* a: errno                                                         */
    REASON_NO_TEXT,         /* well-formed, and nothing to read in it                           */
    REASON_NOT_TEXT,        /* a: offset of the byte that settled it                            */
    REASON_TOO_DEEP,        /* a: levels allowed                                                */
    REASON_PDF_MISSING,     /* pdftotext is not installed                                       */
    REASON_PDF_PASSWORD,    /* encrypted                                                        */
    REASON_PDF_COPYING,     /* its owner forbids taking text out                                */
    REASON_PDF_DAMAGED,     /* pdftotext could not open it; a: its exit status                  */
    REASON_PDF_CRASH,       /* pdftotext died of signal a                                       */
    REASON_PDF_CPU,         /* pdftotext used up its processor time                             */
    REASON_PDF_OUTPUT,      /* pdftotext's output is not what we know; a: line                  */
    REASON_PDF_SCAN,        /* a: pages; none has a text layer                                  */
    REASON_ZIP_DAMAGED,     /* a: libzip's error code                                           */
    REASON_ZIP_ENTRIES,     /* a: entries found, b: allowed                                     */
    REASON_ZIP_NAME,        /* a: index of the entry with a name that leaves the archive         */
    REASON_ZIP_DUPLICATE,   /* a: index of the second entry of the same name                    */
    REASON_ZIP_ENCRYPTED,   /* a: index                                                         */
    REASON_ZIP_METHOD,      /* a: index, b: compression method                                  */
    REASON_ZIP_BOMB,        /* a: bytes unpacked or declared so far, b: bytes packed             */
    REASON_ZIP_SIZE,        /* a: index of an entry that unpacks to more than it declares        */
    REASON_OOXML_OTHER,     /* a ZIP, or another Office document; a: enum other_kind             */
    REASON_XML_SYNTAX,      /* a: line, b: expat's error code                                   */
    REASON_XML_DOCTYPE,     /* a: line                                                          */
    REASON_PARTS,           /* a: bytes of parts allowed, b: how many parts                    */
    REASON_MAIL_MISSING,    /* the library that reads mail is not installed                     */
    REASON_MAIL_DAMAGED,    /* no message in it                                                 */
    REASON_CFB_DAMAGED,     /* a compound file (.msg); a: step                                  */
    REASON_MSG_OTHER,       /* a compound file without a message in it                          */
    REASON_UNPACK_MISSING,  /* the library that reads tar and 7z is not installed               */
    REASON_UNPACK_DAMAGED,  /* not an archive it reads, or cut off; a: files read before        */
    REASON_UNPACK_LOCKED,   /* an archive protected by a password                               */
    REASON_CARDS_DAMAGED,   /* no entry in a calendar or address file                           */
    REASON_OLD_MISSING,     /* LibreOffice is not installed; a: for text, sheets, slides        */
    REASON_OLD_FAILED,      /* LibreOffice made nothing of it; a: its exit status, 256 + signal */
    REASON_OLD_CPU,         /* LibreOffice used up its processor time                           */
    REASON_OLD_PASSWORD,    /* a newer Office file, protected                                   */
    REASON_OCR_MISSING,     /* tesseract, or its data for a language, is not installed          */
    REASON_OCR_FAILED,      /* tesseract could not read the picture; a: its status              */
    REASON_OCR_PAGES,       /* a: pages of the scan, b: allowed                                 */
    REASON_OCR_CPU,         /* tesseract used up its processor time                             */
    REASON_WALLS,           /* the sandbox could not be put up; a: step, b: errno               */
    REASON_INTERNAL,        /* a: where                                                         */
    REASON_COUNT
};

enum other_kind { OTHER_ZIP, OTHER_OPENDOCUMENT, OTHER_EPUB, OTHER_COUNT };

struct refusal {
    enum reason reason; /* REASON_NONE: not refused */
    uint64_t a, b;
};

/* The sentence and the status for a refusal; 'name' is the document's path. */
enum kt_status refusal_fail(struct kt_error *err, const char *name, const struct refusal *r);

/* ---- blocks.c: collecting blocks ------------------------------------------------------------ */

struct builder {
    struct doc_part *parts; /* [n_parts] */
    size_t n_parts, cap_parts, parts_bytes;
    struct buf text;      /* finished blocks, cleaned                                   */
    struct block *blocks; /* [n_blocks]                                                 */
    size_t n_blocks, cap_blocks;
    struct buf raw;   /* the block being written, as it came                        */
    struct buf title; /* cleaned; empty: none                                       */
    struct block now; /* kind, page and box of the block being written              */
    bool open;
    bool keep_layout; /* the block being written keeps its runs of spaces (code)    */
    uint32_t n_pages;
    enum doc_format format; /* which kind of package it turned out to be; DOC_UNKNOWN: no package */
    size_t max_text;        /* bytes of text allowed                                      */
    struct refusal refusal; /* the first reason to stop; after it everything is a no-op */
};

void builder_init(struct builder *b, size_t max_text);
void builder_deinit(struct builder *b);
/* Start a block; one that is open is ended first. */
void builder_begin(struct builder *b, enum block_kind kind);
/* Append UTF-8 (ill-formed parts become U+FFFD) to the open block; opens a paragraph when none is.
 */
void builder_text(struct builder *b, struct span s);
void builder_char(struct builder *b, char c);
/* Clean the open block's text and keep it; a block without text leaves no trace. Returns whether
 * one was kept. */
bool builder_end(struct builder *b);
/* Forget the open block. */
void builder_drop(struct builder *b);
/* Forget the last block kept. */
void builder_undo(struct builder *b);
/* Candidate for the title: the first one that is not empty wins. */
void builder_title(struct builder *b, struct span s);
/* Stop: the first refusal wins. Always returns false. */
bool builder_refuse(struct builder *b, enum reason reason, uint64_t a, uint64_t c);
static inline bool builder_ok(const struct builder *b)
{
    return b->refusal.reason == REASON_NONE;
}
/* A file inside this one. The name is made safe, and told apart from those there are. */
bool builder_part(struct builder *b, struct span name, struct span bytes);
/* A line that says that the last part is attached. */
void builder_part_shown(struct builder *b);
/* A relative path as extract.h promises it: what the parent checks. */
bool part_name_is_safe(struct span name);
void doc_parts_free(struct doc_part *parts, size_t n);
/* Append to a buffer of the parser's own, within the bounds of a block's text. False: refused. */
bool builder_collect(struct builder *b, struct buf *to, struct span s);
/* Has such a buffer everything that was appended? If not: out of memory, refused. Nor when refused before. */
bool builder_holds(struct builder *b, const struct buf *own);
/* End the last block and hand the result over; refuses a document without text. On success 'out'
 * owns it. */
bool builder_finish(struct builder *b, struct document *out, enum doc_format format);

/* ---- normalise.c: one block's text ---------------------------------------------------------- */

/* Append s to 'out' as clean text: UTF-8, NFC, ligatures as letters, no soft hyphens, zero-width or
 * direction-changing characters, no control characters but \n; white space single and none at the
 * ends of lines, at most one empty line in a row. With keep_layout, runs of spaces and tabs inside
 * lines stay. False: out of memory. */
bool normalise(struct buf *out, struct span s, bool keep_layout);

/* ---- charset.c: bytes to UTF-8 -------------------------------------------------------------- */

/* Opens the tables that conversion needs (iconv loads them from files), so that none is opened
 * later. Call before the walls go up; not thread-safe; may be called more than once. */
void charset_prepare(void);
/* The same for one, by our own name for it: all take a millisecond. */
void charset_prepare_one(struct span name);
/* What old Windows programs wrote names in archives in. */
#define ARCHIVE_CHARSET SPAN("IBM850")
/* Append 'in' as UTF-8 to 'out'. 'label' is what the document says of itself ("iso-8859-1"; may be
 * empty): used when the bytes do not say otherwise. Refuses what is not text. */
bool charset_decode(struct buf *out, struct span in, struct span label, struct refusal *why);

/* The same when 'label' is known to be right; one we do not have is taken as Windows-1252. False: out of memory. */
bool charset_convert(struct buf *out, struct span in, struct span label);

/* UTF-16, little end first. False: out of memory. */
bool charset_utf16(struct buf *out, struct span in);

/* ---- one parser a format: text.c markdown.c html.c rtf.c office.c bbox.c ---------------------------- */

/* All take the whole file, give blocks to 'b', and say through b->refusal what is wrong. They do no
 * system calls beyond memory, so they are called as they are by unit tests and fuzzers. */
void text_parse(struct builder *b, struct span utf8);
void markdown_parse(struct builder *b, struct span utf8);
void html_parse(struct builder *b, struct span utf8);
void rtf_parse(struct builder *b, struct span file);
/* The HTML that Outlook has hidden in RTF, as UTF-8. False: there is none, or refused. */
bool rtf_html(struct builder *b, struct span file, struct buf *html);
/* Word, Excel, PowerPoint, OpenDocument: whichever the package holds, which b->format then says; an archive when it is
 * none. */
void office_parse(struct builder *b, struct span file);
struct package;
void archive_parse(struct builder *b, struct package *p);
/* A table as text: fields between commas, semicolons, tabs or bars. */
void csv_parse(struct builder *b, struct span utf8);
/* Is a file of this name in an archive nothing of its author's? */
bool archive_is_noise(const char *name);
void mail_parse(struct builder *b, struct span file);
void mailbox_parse(struct builder *b, struct span file);
/* A page that a browser or Word saved (.mht): the pages in it. */
void mhtml_parse(struct builder *b, struct span file);
void msg_parse(struct builder *b, struct span file);
void tnef_parse(struct builder *b, struct span file);
void calendar_parse(struct builder *b, struct span file);
void contacts_parse(struct builder *b, struct span file);
/* tar, 7z, and what gzip, bzip2, xz or zstd packed. */
void unpack_parse(struct builder *b, struct span file);
/* What a file is called that was packed alone and has no name; the parent, who knows what the archive is called, knows
 * better. */
#define UNPACK_UNNAMED "content"
/* Once, before the walls: libarchive. Without it such files are refused. */
void unpack_prepare(void);
/* Once, before the walls: GMime. Without it mail is refused. */
void mail_prepare(void);
/* The charset a page declares in its first bytes, or the empty span. */
struct span html_charset(struct span file);
/* Once, before the walls: libxml2's own tables. */
void html_prepare(void);

/* ---- package.c: the ZIP container of Office documents --------------------------------------- */

struct package;
/* Opens and checks the container. 'file' must outlive it. NULL: *why says what is wrong. */
struct package *package_open(struct span file, struct refusal *why);
void package_close(struct package *p);
bool package_has(const struct package *p, const char *name);
size_t package_count(const struct package *p);
const char *package_name(const struct package *p,
                         size_t i); /* as it stands there; folders end in '/' */
/* Unpacks a part in pieces, counting. fn returns false to stop. False: *why (REASON_NONE when fn
 * stopped it). */
typedef bool (*package_fn)(void *ctx, struct span piece, bool last);
bool package_read(struct package *p, const char *name, package_fn fn, void *ctx,
                  struct refusal *why);
bool package_read_at(struct package *p, size_t i, package_fn fn, void *ctx, struct refusal *why);

/* ---- layout.c: what stands on a page, to blocks --------------------------------------------- */

struct rect {
    float x0, y0, x1, y1; /* points from the page's top left */
};
struct page_line {
    struct rect box;
    size_t start, end; /* of page.text: the line's words, a space between them */
    size_t n_words;
    float first_word; /* width of the first word             */
    float letter;     /* its height: a raised note mark makes its line higher, but not this */
    size_t block;     /* index into page.blocks              */
};
struct page_block {
    struct rect box;
    size_t first, n; /* lines */
};
struct page {
    float width;
    struct buf text;
    struct page_line *lines; /* [n_lines], block by block in poppler's reading order */
    size_t n_lines, cap_lines;
    struct page_block *blocks; /* [n_blocks] */
    size_t n_blocks, cap_blocks;
};
struct layout;
struct layout *layout_create(struct builder *b); /* NULL: out of memory */
/* Joins blocks of 'p' that poppler took apart. */
void layout_page(struct layout *l, struct page *p);
/* After the last page: finds the headings. */
void layout_finish(struct layout *l);
void layout_destroy(struct layout *l);

/* pdftotext's -bbox-layout output, as it arrives. */
struct bbox;
struct bbox *bbox_create(struct builder *b);              /* NULL: out of memory */
bool bbox_feed(struct bbox *x, struct span s, bool last); /* false: see the builder's refusal */
void bbox_finish(struct bbox *x);                         /* headings, scan check */
void bbox_destroy(struct bbox *x);

/* The format parsers behind one door, for a file in memory (all but PDF). */
void parse_memory(struct builder *b, enum doc_format format, struct span file);

/* ---- pdf.c: poppler's programs, behind their own walls --------------------------------------- */

struct walls;
struct program_run;
/* Where pdftotext is, or NULL. */
const char *pdf_program(void);
/* What poppler's programs read besides the document and their libraries; ends with NULL. */
extern const char *const pdf_readable[];
/* Starts pdftotext on the worker's input, inside walls of its own. Call before this process reads a
 * byte. */
bool pdf_start(struct program_run *p, const struct walls *w, struct refusal *why);
/* The same with pdftoppm, which draws one page, from 1. */
bool pdf_draw(struct program_run *p, const struct walls *w, uint32_t page, struct refusal *why);
/* Takes in all of pdftotext's output, then judges how it ended. */
void pdf_pump(struct program_run *p, struct builder *b);
/* Which of pdftotext's complaints 'errors' holds; exposed for its test. */
enum reason pdf_complaint(struct span errors);

/* ---- probe.c: do the walls hold? ------------------------------------------------------------ */

extern const char *const sandbox_probe_names[SANDBOX_PROBES];
/* Try to break the walls in child processes; single-threaded processes only. */
void sandbox_probe(struct extract_sandbox_report *out);

/* ---- detect.c: which format ----------------------------------------------------------------- */

/* 'head' is the beginning of the file, 'path' gives the extension. DOC_UNKNOWN: *why_not says what
 * it is instead, as a literal that completes "this is ...". */
enum doc_format detect_format(struct span head, const char *path, const char **why_not);

/* ---- wire.c: the result over the pipe ------------------------------------------------------- */

enum wire_kind { WIRE_DOCUMENT = 1, WIRE_REFUSAL = 2, WIRE_REPORT = 3 };

/* The most bytes a message for this much text can have. */
size_t wire_max_bytes(size_t max_text);
bool wire_put_document(struct buf *out, const struct document *d);
bool wire_put_refusal(struct buf *out, const struct refusal *r);
bool wire_put_report(struct buf *out, const struct extract_sandbox_report *r);
/* Which message 'in' holds, by its first bytes; false: none of ours. */
bool wire_kind_of(struct span in, enum wire_kind *out);
/* Take a message apart, trusting nothing in it. False: *what names the field that is wrong. */
bool wire_get_document(struct span in, size_t max_text, struct document *out, const char **what);
bool wire_get_refusal(struct span in, struct refusal *out, const char **what);
bool wire_get_report(struct span in, struct extract_sandbox_report *out, const char **what);

#endif
