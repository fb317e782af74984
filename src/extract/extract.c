/* The parent's side: open the file, find its format, start a worker for it, take the result apart.
 *
 *   extract_file: child_input_open (so that a vanished file is our clear error) -> detect.c ->
 *       child_run (src/sandbox) -> wire.c */
#include "extract/extract_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/files.h"
#include "base/size.h"
#include "extract/cfb.h"
#include "extract/ocr.h"
#include "extract/old.h"
#include "extract/pages.h"
#include "sandbox/child.h"

static const struct child_words WORDS = {
    .noun = "document",
    .use = "index",
    .advice = "split the document, or print it to a new PDF",
    .split = "split the document",
};

struct settings { /* the options with their defaults filled in */
    const char *path;
    uint32_t timeout_ms;
    size_t memory_bytes, output_bytes;
    bool (*cancelled)(void *ctx);
    void *ctx;
    char *folder; /* for LibreOffice; NULL: it is not asked */
};

void document_deinit(struct document *d)
{
    free(d->text);
    free(d->blocks);
    free(d->title);
    doc_parts_free(d->parts, d->n_parts);
    *d = (struct document){ 0 };
}

static struct settings settings_of(const struct extract_options *o)
{
    static const struct extract_options defaults;
    if (!o)
        o = &defaults;
    return (struct settings){
        .path = o->worker_path ? o->worker_path : "/proc/self/exe",
        .timeout_ms = o->timeout_ms ? o->timeout_ms : EXTRACT_TIMEOUT_MS,
        .memory_bytes = o->memory_bytes ? o->memory_bytes : EXTRACT_MEMORY_BYTES,
        .output_bytes = o->output_bytes ? o->output_bytes : EXTRACT_OUTPUT_BYTES,
        .cancelled = o->cancelled,
        .ctx = o->ctx,
    };
}

/* ---- the file ------------------------------------------------------------------------------- */

/* A compound file says in its directory, which may stand anywhere, what it is: DOC_UNKNOWN when that says nothing. A package
 * that is locked in one is a DOC_PACKAGE. */
static enum doc_format compound_format(int fd, struct span head)
{
    char bytes[DETECT_HEAD_BYTES];
    uint64_t at = cfb_directory_at(head);
    ssize_t n = at ? pread(fd, bytes, sizeof(bytes), (off_t)at) : 0;
    struct span directory = { bytes, n > 0 ? (size_t)n : 0 };
    if (cfb_directory_names(directory, "__properties_version1.0"))
        return DOC_OUTLOOK;
    return old_is_protected(directory) ? DOC_PACKAGE : old_format(directory);
}

static enum kt_status input_detect(enum doc_format *out, int fd, const struct stat *st,
                                   const char *path, struct kt_error *err)
{
    char head[DETECT_HEAD_BYTES];
    ssize_t n = pread(fd, head, sizeof(head), 0);
    if (n < 0)
        return kt_fail_errno(err, errno, "%s: cannot be read", path);
    if (n == 0)
        return kt_fail(err, KT_E_UNSUPPORTED, "%s: the file is empty; nothing to index", path);
    const char *why_not;
    struct span begin = { head, (size_t)n };
    *out = compound_format(fd, begin);
    if (*out == DOC_PACKAGE)
        return refusal_fail(err, path, &(struct refusal){ REASON_OLD_PASSWORD, 0, 0 });
    if (*out == DOC_UNKNOWN)
        *out = detect_format(begin, path, &why_not);
    if (*out == DOC_UNKNOWN)
        return kt_fail(err, KT_E_UNSUPPORTED, "%s: this is %s; " EXTRACT_FORMATS " are read", path,
                       why_not);
    if (*out != DOC_PDF &&
        (uint64_t)st->st_size > INPUT_MAX_BYTES) /* before anything is read of it */
        return refusal_fail(err, path,
                            &(struct refusal){ REASON_FILE_TOO_LARGE, INPUT_MAX_BYTES, 0 });
    return KT_OK;
}

/* ---- the result ----------------------------------------------------------------------------- */

static enum kt_status result_bad(const char *name, const char *what, struct kt_error *err)
{
    return kt_fail(
        err, KT_E_FORMAT,
        "%s: the reading process sent a result with a wrong %s; the document is hostile, or the "
        "program is not of one version",
        name, what);
}

/* A file that was packed alone, without its name: it is called like the archive without its ending ("brief.txt.xz"). */
static enum kt_status part_rename(struct document *d, const char *name, struct kt_error *err)
{
    bool unnamed = d->format == DOC_ARCHIVE && d->n_parts == 1 &&
                   strcmp(d->parts[0].name, UNPACK_UNNAMED) == 0;
    const char *base = path_base(name);
    struct span wish = { base, strlen(base) - strlen(path_ext(base)) };
    if (!unnamed || !part_name_is_safe(wish))
        return KT_OK;
    char *copy = strndup(wish.ptr, wish.len);
    if (!copy)
        return kt_fail(err, KT_E_NOMEM, "%s: out of memory", name);
    free(d->parts[0].name);
    d->parts[0].name = copy;
    return KT_OK;
}

/* KT_E_INTERNAL without a message means: not a whole result, ask how the worker ended. */
static enum kt_status result_document(struct document *out, struct span in, enum doc_format format,
                                      const struct settings *s, const char *name,
                                      struct kt_error *err)
{
    const char *what;
    if (!wire_get_document(in, s->output_bytes, out, &what))
        return result_bad(name, what, err);
    if (format == DOC_SCAN || format == DOC_ATTACHED)
        format = DOC_PDF;
    bool as_asked =
        format == DOC_PACKAGE ? doc_format_is_package(out->format) : out->format == format;
    if (!as_asked) {
        document_deinit(out);
        return result_bad(name, "format", err);
    }
    return part_rename(out, name, err);
}

/* *n_pages: of a scan, which can be read page by page; 0: it is none. */
static enum kt_status result_refusal(struct span in, const char *name, uint32_t *n_pages,
                                     struct kt_error *err)
{
    struct refusal r;
    const char *what;
    if (!wire_get_refusal(in, &r, &what))
        return result_bad(name, what, err);
    *n_pages = r.reason == REASON_PDF_SCAN ? (uint32_t)MIN(r.a, (uint64_t)PAGES_MAX) : 0;
    return refusal_fail(err, name, &r);
}

static bool is_whole(struct span in)
{
    enum wire_kind kind;
    return span_ends(in, SPAN("KTXE")) && wire_kind_of(in, &kind);
}

static enum kt_status worker_run(struct buf *out, const struct settings *s, char *const argv[],
                                 int in_fd, const char *name, struct kt_error *err)
{
    struct child c = {
        .program = s->path,
        .argv = argv,
        .in_fd = in_fd,
        .name = name,
        .words = &WORDS,
        .timeout_ms = s->timeout_ms,
        .max_result =
            wire_max_bytes(s->output_bytes), /* parts are the exception; address space is free */
        .is_whole = is_whole,
        .cancelled = s->cancelled,
        .ctx = s->ctx,
    };
    return child_run(out, &c, err);
}

/* One worker, on the file (DOC_SCAN: on its page 'page'; DOC_ATTACHED: for its file of that number). */
static enum kt_status extract_once(struct document *out, int fd, enum doc_format format,
                                   uint32_t page, uint32_t *n_pages, const struct settings *s,
                                   const char *name, struct kt_error *err)
{
    char command[] = "extract-worker";
    char args[5][24];
    snprintf(args[0], sizeof(args[0]), "%d", (int)format);
    snprintf(args[1], sizeof(args[1]), "%zu", s->output_bytes);
    snprintf(args[2], sizeof(args[2]), "%zu", s->memory_bytes);
    snprintf(args[3], sizeof(args[3]), "%u", s->timeout_ms / 1000 + 1);
    snprintf(args[4], sizeof(args[4]), "%u", page);
    char program[] = "kontor";
    char *const argv[] = { program, command, args[0],   args[1], args[2],
                           args[3], args[4], s->folder, NULL };

    struct buf result = { 0 };
    *n_pages = 0;
    enum kt_status st = worker_run(&result, s, argv, fd, name, err);
    enum wire_kind kind = WIRE_REPORT;
    if (!st)
        wire_kind_of(buf_span(&result), &kind);
    if (!st && kind == WIRE_DOCUMENT)
        st = result_document(out, buf_span(&result), format, s, name, err);
    else if (!st && kind == WIRE_REFUSAL)
        st = result_refusal(buf_span(&result), name, n_pages, err);
    else if (!st)
        st = result_bad(name, "kind", err);
    buf_deinit(&result);
    return st;
}

/* Costs a page that cannot be read more than itself? */
static bool is_of_the_page(enum kt_status st)
{
    return st == KT_E_FORMAT || st == KT_E_LIMIT || st == KT_E_TIMEOUT;
}

/* One page's text, recognised in a worker of its own: a page that cannot be read costs that page, and is said in its place; one
 * with nothing on it adds nothing. */
static enum kt_status page_recognise(struct pages_join *j, int fd, uint32_t page,
                                     const struct settings *s, const char *name,
                                     struct kt_error *err)
{
    struct document d = { 0 };
    uint32_t none;
    enum kt_status st;
    if (lseek(fd, 0, SEEK_SET) != 0)
        st = kt_fail_errno(err, errno, "%s: cannot be read", name);
    else
        st = extract_once(&d, fd, DOC_SCAN, page, &none, s, name, err);
    if (!st)
        st = pages_join_add(j, &d, page, name, err);
    else if (is_of_the_page(st))
        st = pages_join_unread(j, page, name, err);
    else if (st == KT_E_UNSUPPORTED) /* nothing on it */
        st = KT_OK;
    document_deinit(&d);
    return st;
}

static enum kt_status extract_scan(struct document *out, int fd, uint32_t n_pages,
                                   const struct settings *s, const char *name, struct kt_error *err)
{
    struct pages_join j = { .max_text = s->output_bytes };
    enum kt_status st = KT_OK;
    if (!ocr_program())
        return refusal_fail(err, name, &(struct refusal){ REASON_OCR_MISSING, 0, 0 });
    if (n_pages > OCR_PAGES_MAX)
        return refusal_fail(err, name,
                            &(struct refusal){ REASON_OCR_PAGES, n_pages, OCR_PAGES_MAX });
    for (uint32_t page = 1; page <= n_pages && !st; page++)
        st = page_recognise(&j, fd, page, s, name, err);
    if (!st)
        st = pages_join_take(&j, out, n_pages, name, err);
    pages_join_deinit(&j);
    return st;
}

/* Pages [*next, to) of a PDF, which have no text: scans, or empty. *n counts them. */
static enum kt_status recognise_between(struct pages_join *j, int fd, uint32_t *next, uint32_t to,
                                        uint32_t *n, const struct settings *s, const char *name,
                                        struct kt_error *err)
{
    enum kt_status st = KT_OK;
    for (; *next < to && !st; (*next)++)
        st = ++*n <= OCR_PAGES_MAX ? page_recognise(j, fd, *next, s, name, err)
                                   : pages_join_unread(j, *next, name, err);
    return st;
}

/* A PDF with a text layer whose scanned pages stand between the others: those without a block are recognised, each in its
 * place. */
static enum kt_status extract_mixed(struct document *d, int fd, const struct settings *s,
                                    const char *name, struct kt_error *err)
{
    struct pages_join j = { .max_text = s->output_bytes };
    struct document whole = { 0 };
    uint32_t next = 1, n = 0;
    enum kt_status st = KT_OK;
    for (size_t i = 0; i < d->n_blocks && !st; i++) {
        const struct block *b = &d->blocks[i];
        uint32_t page = b->page;
        bool printed = b->box[2] != 0 || b->box[3] != 0; /* names of attachments are not */
        st = recognise_between(&j, fd, &next, page + !printed, &n, s, name, err);
        if (!st)
            st = pages_join_block(&j, d, i, name, err);
        next = MAX(next, page + 1);
    }
    if (!st)
        st = recognise_between(&j, fd, &next, d->n_pages + 1, &n, s, name, err);
    if (!st && n)
        st = pages_join_take(&j, &whole, d->n_pages, name, err);
    if (!st && n) {
        free(whole.title); /* a scanned page's: the file's own is better */
        whole.title = d->title;
        whole.parts = d->parts;
        whole.n_parts = d->n_parts;
        free(d->text);
        free(d->blocks);
        *d = whole;
    }
    pages_join_deinit(&j);
    return st;
}

/* The bytes of what is inside a PDF, whose names its document has; each in a worker of its own. One that cannot be taken out
 * stays empty. */
static enum kt_status extract_attached(struct document *out, int fd, const struct settings *s,
                                       const char *name, struct kt_error *err)
{
    size_t total = 0;
    for (size_t i = 0; i < out->n_parts; i++) {
        struct document d = { 0 };
        uint32_t none;
        if (lseek(fd, 0, SEEK_SET) != 0)
            return kt_fail_errno(err, errno, "%s: cannot be read", name);
        enum kt_status st =
            extract_once(&d, fd, DOC_ATTACHED, (uint32_t)i + 1, &none, s, name, err);
        if (st && !is_of_the_page(st))
            return st;
        if (!st && d.n_parts == 1) {
            struct doc_part *from = &d.parts[0], *to = &out->parts[i];
            free(to->ptr);
            to->ptr = from->ptr;
            to->len = from->len;
            from->ptr = NULL;
            total += to->len;
        }
        document_deinit(&d);
        if (total > PARTS_BYTES_MAX)
            return refusal_fail(err, name,
                                &(struct refusal){ REASON_PARTS, PARTS_BYTES_MAX, i + 1 });
    }
    return KT_OK;
}

/* An old Office file: LibreOffice makes another of it, which is read. */
static enum kt_status extract_old(struct document *out, int fd, enum doc_format format,
                                  const struct settings *s, const char *name, struct kt_error *err)
{
    struct settings with_folder = *s;
    struct document said = { 0 };
    uint32_t none;
    int made = -1;
    enum kt_status st = old_folder_make(&with_folder.folder, fd, name, err);
    if (!st)
        st = extract_once(&said, fd, format, 0, &none, &with_folder, name, err);
    if (!st)
        st = old_folder_open(&made, with_folder.folder, format, name, err);
    if (!st)
        st = extract_once(out, made, DOC_PACKAGE, 0, &none, s, name, err);
    if (!st)
        out->format = format;
    if (made >= 0)
        close(made);
    document_deinit(&said);
    old_folder_remove(with_folder.folder);
    return st;
}

static enum kt_status extract_open(struct document *out, int fd, const struct stat *file,
                                   const struct settings *s, const char *name, struct kt_error *err)
{
    enum doc_format format;
    uint32_t n_pages = 0;
    enum kt_status st = input_detect(&format, fd, file, name, err);
    if (!st && old_is(format))
        return extract_old(out, fd, format, s, name, err);
    if (!st)
        st = extract_once(out, fd, format, 0, &n_pages, s, name, err);
    if (st && n_pages)
        return extract_scan(out, fd, n_pages, s, name, err);
    if (!st && format == DOC_PDF && out->n_blocks && ocr_program())
        st = extract_mixed(out, fd, s, name, err);
    if (!st && format == DOC_PDF)
        st = extract_attached(out, fd, s, name, err);
    if (st)
        document_deinit(out);
    return st;
}

enum kt_status extract_file(struct document *out, const char *path,
                            const struct extract_options *opts, struct kt_error *err)
{
    *out = (struct document){ 0 };
    struct settings s = settings_of(opts);
    int fd;
    struct stat st;
    enum kt_status status = child_input_open(&fd, &st, path, &WORDS, err);
    if (status)
        return status;
    status = extract_open(out, fd, &st, &s, path, err);
    close(fd);
    return status;
}

enum kt_status extract_memory(struct document *out, const char *name, const void *ptr, size_t n,
                              const struct extract_options *opts, struct kt_error *err)
{
    *out = (struct document){ 0 };
    struct settings s = settings_of(opts);
    struct stat st = { .st_size = (off_t)n };
    int fd = memfd_create("part", MFD_CLOEXEC);
    if (fd < 0)
        return kt_fail_errno(err, errno, "%s: no memory for it", name);
    enum kt_status status = file_write_fd(fd, ptr, n, name, err);
    if (!status && lseek(fd, 0, SEEK_SET) != 0)
        status = kt_fail_errno(err, errno, "%s: cannot be read", name);
    if (!status)
        status = extract_open(out, fd, &st, &s, name, err);
    close(fd);
    return status;
}

enum kt_status extract_sandbox_report(struct extract_sandbox_report *out,
                                      const struct extract_options *opts, struct kt_error *err)
{
    *out = (struct extract_sandbox_report){ 0 };
    struct settings s = settings_of(opts);
    char program[] = "kontor", command[] = "extract-worker", self_test[] = "--self-test";
    char *const argv[] = { program, command, self_test, NULL };
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return kt_fail_errno(err, errno, "/dev/null: cannot be opened");
    struct buf result = { 0 };
    enum kt_status st = worker_run(&result, &s, argv, fd, "sandbox", err);
    close(fd);
    const char *what;
    if (!st && !wire_get_report(buf_span(&result), out, &what))
        st = result_bad("sandbox", what, err);
    for (size_t i = 0; !st && i < out->n_probes; i++)
        out->probes[i].name = sandbox_probe_names[i];
    buf_deinit(&result);
    return st;
}
