/* extract/extract.h: from a file to blocks of text with places.
 *
 * Every document is read by a process of its own, the worker: this program started again with the
 * hidden command `extract-worker`, locked in before it sees a byte (no network, no files but the
 * one it was given, limits on time, memory and output; see src/sandbox). A hostile file costs one
 * document, never the index. The worker writes the result to a pipe; the parent checks every field
 * of it as hostile input too.
 *
 * Formats: decided by content first, by extension where content cannot tell. */
#ifndef EXTRACT_EXTRACT_H
#define EXTRACT_EXTRACT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"
#include "base/status.h"

enum block_kind {
    BLOCK_PARAGRAPH,
    BLOCK_HEADING,
    BLOCK_LIST_ITEM,
    BLOCK_TABLE_ROW,
    BLOCK_HEADER /* of a letter or mail */
};

struct block {
    enum block_kind kind;
    uint32_t page;     /* from 1: a page, a sheet, a slide; 0: the format has none   */
    uint32_t para;     /* from 1, counted through the document                      */
    float box[4];      /* x0, y0, x1, y1 in points from the page's top left; all 0: none */
    size_t start, end; /* bytes of document.text; blocks are in order, disjoint     */
};

enum doc_format {
    DOC_UNKNOWN,
    DOC_TEXT,
    DOC_MARKDOWN,
    DOC_HTML,
    DOC_PDF,
    DOC_RTF,
    DOC_DOCX,
    DOC_XLSX,
    DOC_PPTX,
    DOC_ODT,
    DOC_ODS,
    DOC_ODP,
    DOC_ZIP,      /* an archive: a list of names, and parts  */
    DOC_MAIL,     /* one message; what is attached are parts */
    DOC_MAILBOX,  /* messages one after the other, as parts  */
    DOC_MHTML,    /* a page that a browser saved             */
    DOC_OUTLOOK,  /* one message, as Outlook saves it; the same */
    DOC_TNEF,     /* winmail.dat; the same                   */
    DOC_CALENDAR, /* appointments and tasks                  */
    DOC_CONTACTS, /* addresses                               */
    DOC_ARCHIVE,  /* any but ZIP: a list of names, and parts */
    DOC_PICTURE,  /* text that was recognised in it          */
    DOC_INVOICE,  /* an electronic invoice: its XML          */
    DOC_XJUSTIZ,  /* a message between courts, authorities and lawyers: its XML */
    DOC_CSV,      /* a table as text                         */
    DOC_DOC,      /* Word, Excel, PowerPoint before 2007: what LibreOffice makes of it */
    DOC_XLS,
    DOC_PPT,
    DOC_PACKAGE, /* a ZIP file before the worker has looked inside; no document ever is of it */
    DOC_SCAN, /* one page of a PDF file whose text must be recognised; its document is a DOC_PDF */
    DOC_ATTACHED, /* one file inside a PDF file; its document is a DOC_PDF with that part */
};
const char *doc_format_name(enum doc_format f);
/* What a ZIP file may turn out to be: DOC_DOCX to DOC_ZIP. */
bool doc_format_is_package(enum doc_format f);
/* What can be read, for messages: "this is a picture; ... are read". */
#define EXTRACT_FORMATS                                                                            \
    "text, Markdown, HTML, PDF, RTF, Word, Excel and PowerPoint (.docx, .doc, .xlsx, .xls, ...), "           \
    "OpenDocument, tables (.csv), mail (.eml, .msg, .mbox, winmail.dat), saved pages (.mht), "     \
    "calendars (.ics), addresses (.vcf), electronic invoices, XJustiz, ZIP, tar and 7z archives "  \
    "and pictures of text"

/* A file inside the file: an attachment, a message of a mailbox, a file of an archive. */
struct doc_part {
    char *name; /* relative, its folders with '/', UTF-8; no two parts have the same */
    char *ptr;  /* [len] may be NULL when len is 0 */
    size_t len;
};

struct document {
    enum doc_format format;
    char *text; /* UTF-8, NFC, blocks separated by "\n\n"; no control characters but \n and \t */
    size_t text_len;
    struct block *blocks;
    size_t n_blocks;
    uint32_t n_pages;       /* 0: no pages                                               */
    char *title;            /* from the file's own metadata or first heading; may be NULL */
    struct doc_part *parts; /* [n_parts] */
    size_t n_parts;
};
void document_deinit(struct document *d);

struct extract_options {
    const char *worker_path;      /* the program to start; NULL: /proc/self/exe           */
    uint32_t timeout_ms;          /* 0: 60000                                              */
    size_t memory_bytes;          /* address space of the worker; 0: 1 GiB                 */
    size_t output_bytes;          /* text at most; 0: 64 MiB                               */
    bool (*cancelled)(void *ctx); /* asked while waiting; may be NULL                  */
    void *ctx;
};

/* KT_E_UNSUPPORTED: a kind of file we do not read (the document is "skipped"). KT_E_FORMAT,
 * KT_E_LIMIT, KT_E_TIMEOUT: broken, too large, or hanging (it "failed"); err says which, in words
 * for an office manager. KT_E_NOTFOUND: vanished. Thread-safe. */
KT_MUST_CHECK enum kt_status extract_file(struct document *out, const char *path,
                                          const struct extract_options *opts, struct kt_error *err);

/* The same for bytes that are not a file of their own: a part of another document. 'name' is for messages and, by its
 * ending, for the format; n is at least 1. */
KT_MUST_CHECK enum kt_status extract_memory(struct document *out, const char *name, const void *ptr,
                                            size_t n, const struct extract_options *opts,
                                            struct kt_error *err);

/* What the walls around the worker are on this machine, tried out by attempts to break them. For
 * `kontor doctor`. */
enum { SANDBOX_PROBES = 18 };
struct extract_sandbox_report {
    int landlock_abi; /* 0: this kernel has no Landlock; the system-call filter alone keeps files
                         away */
    bool seccomp;     /* the system-call filter is in force                            */
    bool own_network; /* the worker has a network namespace of its own, with nothing in it */
    bool pdf_reader;  /* pdftotext is installed                                        */
    bool ocr;         /* tesseract is installed                                        */
    size_t n_probes;
    struct {
        const char *name; /* "open a file"                                               */
        bool denied;
    } probes[SANDBOX_PROBES];
};
KT_MUST_CHECK enum kt_status extract_sandbox_report(struct extract_sandbox_report *out,
                                                    const struct extract_options *opts,
                                                    struct kt_error *err);

/* Is LibreOffice installed, which old Office files (.doc, .xls, .ppt) are read through? For all three of them. */
bool extract_has_libreoffice(void);

/* The worker's main: called by apps/kontor for `extract-worker`; talks on the fds it was started
 * with. Never returns to other work: the return value is the exit status. */
int extract_worker_main(int argc, char **argv);

#endif
