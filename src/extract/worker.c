/* The worker: one process, one document.
 *
 *   started by extract.c -> prepare (tables, converters) -> walls_up -> read -> parse -> write the
 * result -> exit
 *
 * Everything that needs the outside world happens before the walls go up; the first byte of the
 * document is read after. Exit status 0: a result was written, which may be a refusal. */
#include "extract/extract_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/size.h"
#include "extract/attached.h"
#include "extract/ocr.h"
#include "extract/old.h"
#include "extract/tree.h"
#include "sandbox/child.h"
#include "sandbox/walls.h"

enum { WORKER_DONE = 0, WORKER_USAGE = 2, WORKER_BROKEN = 70 };

struct job {
    enum doc_format format;
    size_t max_text;
    struct walls walls;
    uint32_t page;      /* of a DOC_SCAN, from 1; of a DOC_ATTACHED its number */
    const char *folder; /* of an old Office file's LibreOffice */
    bool self_test;
};

/* extract-worker FORMAT TEXT_BYTES MEMORY_BYTES CPU_SECONDS PAGE [FOLDER], or extract-worker --self-test */
static bool job_parse(struct job *j, int argc, char **argv)
{
    *j = (struct job){ 0 };
    if (argc > 1 &&
        strcmp(argv[1], "extract-worker") == 0) { /* the program's name is still in front */
        argc--;
        argv++;
    }
    if (argc == 2 && strcmp(argv[1], "--self-test") == 0)
        return j->self_test = true;
    uint64_t format, text, memory, cpu, page;
    if (argc == 7)
        j->folder = argv[6];
    if (argc < 6 || argc > 7 || !worker_number(argv[1], DOC_ATTACHED, &format) ||
        !worker_number(argv[2], SIZE_MAX / 4, &text) ||
        !worker_number(argv[3], SIZE_MAX / 4, &memory) || !worker_number(argv[4], 1000000, &cpu) ||
        !worker_number(argv[5], PAGES_MAX, &page))
        return false;
    j->format = (enum doc_format)format;
    j->max_text = (size_t)text;
    j->page = (uint32_t)page;
    j->walls = (struct walls){ .kind = WALLS_PARSER,
                               .cpu_s = (uint32_t)cpu,
                               .memory_bytes = (size_t)memory };
    return format != DOC_UNKNOWN;
}

static bool send_refusal(const struct refusal *r)
{
    struct buf out = { 0 };
    bool ok = wire_put_refusal(&out, r) && worker_send(buf_span(&out));
    buf_deinit(&out);
    return ok;
}

static bool send_document(const struct document *d)
{
    struct buf out = { 0 };
    bool ok = wire_put_document(&out, d);
    if (!ok) {
        buf_deinit(&out);
        return send_refusal(&(struct refusal){ REASON_NOMEM, 0, 0 });
    }
    ok = worker_send(buf_span(&out));
    buf_deinit(&out);
    return ok;
}

static bool input_read(struct buf *in, struct builder *b)
{
    enum { STEP = 256 * 1024 };
    for (;;) {
        if (!buf_reserve(in, STEP))
            return builder_refuse(b, REASON_NOMEM, 0, 0);
        ssize_t n = read(WORKER_INPUT_FD, in->ptr + in->len, STEP);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return builder_refuse(b, REASON_READ, (uint64_t)errno, 0);
        if (n == 0)
            return true;
        in->len += (size_t)n;
        if (in->len > INPUT_MAX_BYTES)
            return builder_refuse(b, REASON_FILE_TOO_LARGE, INPUT_MAX_BYTES, 0);
    }
}

/* Formats that say themselves what their bytes are. */
static bool parse_bytes(struct builder *b, enum doc_format format, struct span file)
{
    static void (*const parsers[])(struct builder * b, struct span file) = {
        [DOC_PACKAGE] = office_parse,    [DOC_RTF] = rtf_parse,
        [DOC_MAIL] = mail_parse,         [DOC_MAILBOX] = mailbox_parse,
        [DOC_MHTML] = mhtml_parse,       [DOC_OUTLOOK] = msg_parse,
        [DOC_TNEF] = tnef_parse,         [DOC_CALENDAR] = calendar_parse,
        [DOC_CONTACTS] = contacts_parse, [DOC_ARCHIVE] = unpack_parse,
        [DOC_INVOICE] = invoice_parse,   [DOC_XJUSTIZ] = xjustiz_parse,
    };
    bool known = (size_t)format < ARRAY_LEN(parsers) && parsers[format];
    if (known)
        parsers[format](b, file);
    return known;
}

void parse_memory(struct builder *b, enum doc_format format, struct span file)
{
    if (parse_bytes(b, format, file))
        return;
    struct buf utf8 = { 0 };
    struct span label = format == DOC_HTML ? html_charset(file) : (struct span){ 0 };
    struct refusal why;
    if (!charset_decode(&utf8, file, label, &why))
        builder_refuse(b, why.reason, why.a, why.b);
    else if (format == DOC_HTML)
        html_parse(b, buf_span(&utf8));
    else if (format == DOC_MARKDOWN)
        markdown_parse(b, buf_span(&utf8));
    else if (format == DOC_CSV)
        csv_parse(b, buf_span(&utf8));
    else
        text_parse(b, buf_span(&utf8));
    buf_deinit(&utf8);
}

/* Whatever is loaded from files later is loaded now. */
static void prepare(enum doc_format format)
{
    bool outlook = format == DOC_OUTLOOK || format == DOC_TNEF;
    bool mail = format == DOC_MAIL || format == DOC_MHTML;
    if (format == DOC_TEXT || format == DOC_MARKDOWN || format == DOC_HTML || format == DOC_RTF ||
        format == DOC_CSV || format == DOC_CALENDAR || format == DOC_CONTACTS || mail || outlook)
        charset_prepare();
    if (format == DOC_PACKAGE || format == DOC_ARCHIVE)
        charset_prepare_one(ARCHIVE_CHARSET);
    if (format == DOC_HTML || mail || outlook)
        html_prepare();
    if (mail)
        mail_prepare();
    if (format == DOC_ARCHIVE)
        unpack_prepare();
}

/* The programs a document needs, started before the walls go up. */
struct programs {
    struct program_run text;     /* whose output is read */
    struct program_run draw;     /* whose output the other one reads */
    struct program_run attached; /* of a PDF: what is inside it */
};

static bool programs_start(struct programs *p, const struct job *j, struct refusal *why)
{
    *p = (struct programs){ .draw.pid = -1 };
    if (j->format == DOC_PDF)
        return pdf_start(&p->text, &j->walls, why) &&
               attached_start(&p->attached, &j->walls, 0, why);
    if (j->format == DOC_ATTACHED)
        return attached_start(&p->attached, &j->walls, j->page, why);
    if (old_is(j->format))
        return j->folder && old_start(&p->text, &j->walls, j->format, j->folder, why);
    if (j->format == DOC_PICTURE)
        return ocr_start(&p->text, &j->walls, WORKER_INPUT_FD, why);
    if (j->format != DOC_SCAN)
        return true;
    if (!pdf_draw(&p->draw, &j->walls, j->page, why))
        return false;
    bool ok = ocr_start(&p->text, &j->walls, p->draw.out_fd, why);
    close(p->draw.out_fd);
    return ok;
}

static void document_read(struct programs *p, const struct job *j, struct builder *b)
{
    struct buf in = { 0 };
    if (j->format == DOC_PDF) {
        pdf_pump(&p->text, b);
        if (builder_ok(b))
            attached_list(&p->attached, b);
    } else if (j->format == DOC_ATTACHED)
        attached_take(&p->attached, b);
    else if (old_is(j->format))
        old_pump(&p->text, b);
    else if (j->format == DOC_PICTURE || j->format == DOC_SCAN)
        ocr_pump(&p->text, b, j->format == DOC_SCAN ? OCR_DPI : 0);
    else if (input_read(&in, b))
        parse_memory(b, j->format, buf_span(&in));
    buf_deinit(&in);
}

static int run(const struct job *j)
{
    struct refusal why = { 0 };
    struct programs programs;
    prepare(j->format);
    if (!programs_start(&programs, j, &why))
        return send_refusal(&why) ? WORKER_DONE : WORKER_BROKEN;
    struct walls_state state;
    struct walls_failure failed;
    if (!walls_up(&j->walls, &state, &failed)) {
        why = (struct refusal){ REASON_WALLS, (uint64_t)failed.step, (uint64_t)failed.errnum };
        return send_refusal(&why) ? WORKER_DONE : WORKER_BROKEN;
    }

    struct builder b;
    builder_init(&b, j->max_text);
    document_read(&programs, j, &b);
    struct document d;
    bool of_a_pdf = j->format == DOC_SCAN || j->format == DOC_ATTACHED;
    enum doc_format format = of_a_pdf ? DOC_PDF : j->format;
    bool sent = builder_finish(&b, &d, format) ? send_document(&d) : send_refusal(&b.refusal);
    document_deinit(&d);
    builder_deinit(&b);
    return sent ? WORKER_DONE : WORKER_BROKEN;
}

static int self_test(void)
{
    struct extract_sandbox_report r;
    sandbox_probe(&r);
    struct buf out = { 0 };
    bool ok = wire_put_report(&out, &r) && worker_send(buf_span(&out));
    buf_deinit(&out);
    return ok ? WORKER_DONE : WORKER_BROKEN;
}

int extract_worker_main(int argc, char **argv)
{
    struct job j;
    signal(SIGPIPE, SIG_IGN);
    if (!job_parse(&j, argc, argv) || fcntl(WORKER_RESULT_FD, F_GETFD) < 0) {
        fprintf(
            stderr,
            "kontor extract-worker: started by kontor itself to read one document; not by hand\n");
        return WORKER_USAGE;
    }
    if (!worker_parent_is_there())
        _exit(WORKER_BROKEN);
    _exit(j.self_test ? self_test()
                      : run(&j)); /* no handlers at exit: they are none of a locked-in process */
}
