/* PDF, read by poppler's programs, each in a process of its own (program.h): pdftotext for the text layer, and, for scans,
 * pdftoppm, which draws one page for who recognises its text (ocr.c). Poppler is GPL and stays separate programs. */
#include "extract/extract_priv.h"

#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

#include "base/size.h"
#include "extract/program.h"

const char *const pdf_readable[] = { "/etc/fonts", "/usr/share/fonts", "/usr/share/poppler",
                                     "/usr/share/fontconfig", NULL };

const char *pdf_program(void)
{
    static const char *const places[] = { "/usr/bin/pdftotext", "/usr/local/bin/pdftotext",
                                          "/bin/pdftotext", NULL };
    return program_find(places);
}

static const char *drawing_program(void)
{
    static const char *const places[] = { "/usr/bin/pdftoppm", "/usr/local/bin/pdftoppm",
                                          "/bin/pdftoppm", NULL };
    return program_find(places);
}

static struct walls walls_for(const struct walls *w, const char *program)
{
    struct walls mine = *w;
    mine.kind = WALLS_PROGRAM;
    mine.program = program;
    mine.readable = pdf_readable;
    return mine;
}

bool pdf_start(struct program_run *p, const struct walls *w, struct refusal *why)
{
    struct walls mine = walls_for(w, pdf_program());
    char name[] = "pdftotext", enc[] = "-enc", utf8[] = "UTF-8", layout[] = "-bbox-layout";
    char input[] = "fd://3", output[] = "-"; /* 3: WORKER_INPUT_FD */
    char *const argv[] = { name, enc, utf8, layout, input, output, NULL };
    if (mine.program)
        return program_start(p, &mine, argv, -1, false, why);
    *why = (struct refusal){ REASON_PDF_MISSING, 0, 0 };
    return false;
}

bool pdf_draw(struct program_run *p, const struct walls *w, uint32_t page, struct refusal *why)
{
    struct walls mine = walls_for(w, drawing_program());
    char number[16], dpi[16];
    snprintf(number, sizeof(number), "%u", page);
    snprintf(dpi, sizeof(dpi), "%d", OCR_DPI);
    char name[] = "pdftoppm", first[] = "-f", last[] = "-l", r[] = "-r", gray[] = "-gray";
    char input[] = "fd://3";
    char *const argv[] = { name, first, number, last, number, r, dpi, gray, input, NULL };
    if (mine.program)
        return program_start(p, &mine, argv, -1, true, why);
    *why = (struct refusal){ REASON_PDF_MISSING, 0, 0 };
    return false;
}

enum reason pdf_complaint(struct span errors)
{
    static const struct {
        struct span says;
        enum reason reason;
    } known[] = {
        { SPAN("Incorrect password"), REASON_PDF_PASSWORD },
        { SPAN("Unsupported security handler"), REASON_PDF_PASSWORD },
        { SPAN("Unsupported version/revision"), REASON_PDF_PASSWORD },
        { SPAN("Copying of text from this document is not allowed"), REASON_PDF_COPYING },
        { SPAN("Out of memory"), REASON_NOMEM },
        { SPAN("bad_alloc"), REASON_NOMEM },
        { SPAN("Bogus memory allocation"), REASON_NOMEM },
    };
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (span_find(errors, known[i].says, 0) != SIZE_MAX)
            return known[i].reason;
    return REASON_PDF_DAMAGED;
}

static void judge_end(struct builder *b, int status, struct span errors)
{
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return;
    enum reason complaint = pdf_complaint(errors);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
        builder_refuse(b, REASON_INTERNAL, 4, 0);
    else if (WIFEXITED(status))
        builder_refuse(b, complaint, (uint64_t)WEXITSTATUS(status), 0);
    else if (WTERMSIG(status) == SIGXCPU || WTERMSIG(status) == SIGKILL)
        builder_refuse(b, REASON_PDF_CPU, 0, 0);
    else if (WTERMSIG(status) == SIGABRT && complaint == REASON_NOMEM)
        builder_refuse(b, REASON_NOMEM, 0, 0);
    else
        builder_refuse(b, REASON_PDF_CRASH, (uint64_t)WTERMSIG(status), 0);
}

static bool feed(void *ctx, struct span piece)
{
    return bbox_feed(ctx, piece, false);
}

void pdf_pump(struct program_run *p, struct builder *b)
{
    struct buf errors = { 0 };
    struct bbox *x = bbox_create(b);
    int status = 0;
    if (!x)
        builder_refuse(b, REASON_NOMEM, 0, 0);
    if (x && program_pump(p, b, feed, x, &errors, &status))
        judge_end(b, status, buf_span(&errors)); /* how it ended explains output that breaks off */
    if (x && builder_ok(b) && bbox_feed(x, (struct span){ 0 }, true))
        bbox_finish(x);
    bbox_destroy(x);
    buf_deinit(&errors);
}
