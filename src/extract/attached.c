/* Files inside PDF files; see attached.h.
 *
 * pdfdetach writes a file it takes out to a name it is given, never to its output. It is given its output's name in /proc; the
 * walls let it open that and create nothing (sandbox/walls.h, reopen_out). The PDF it opens again, too: pdftotext reads it at the
 * same time, and two programs with one descriptor share the place they read at. */
#include "extract/attached.h"

#include <stdio.h>
#include <sys/wait.h>

#include "base/size.h"
#include "sandbox/child.h"

bool attached_start(struct program_run *p, const struct walls *w, uint32_t number,
                    struct refusal *why)
{
    static const char *const places[] = { "/usr/bin/pdfdetach", "/usr/local/bin/pdfdetach",
                                          "/bin/pdfdetach", NULL };
    struct walls mine = *w;
    mine.kind = WALLS_PROGRAM;
    mine.program = program_find(places);
    mine.readable = pdf_readable;
    mine.reopen_fd = WORKER_INPUT_FD;
    mine.reopen_out = number > 0;
    char n[16];
    snprintf(n, sizeof(n), "%u", number);
    char name[] = "pdfdetach", enc[] = "-enc", utf8[] = "UTF-8", list[] = "-list", save[] = "-save";
    char to[] = "-o", output[] = "/proc/self/fd/1", input[] = "/proc/self/fd/3";
    char *const names[] = { name, enc, utf8, list, input, NULL };
    char *const bytes[] = { name, enc, utf8, save, n, to, output, input, NULL };
    if (mine.program)
        return program_start(p, &mine, number ? bytes : names, -1, true, why);
    *why = (struct refusal){ REASON_PDF_MISSING, 0, 0 };
    return false;
}

/* "12: name" -> 12 and where the name begins; 0: no such line. */
static size_t number_of(struct span line, size_t *name)
{
    size_t n = 0, i = 0;
    for (; i < line.len && i < 6 && line.ptr[i] >= '0' && line.ptr[i] <= '9'; i++)
        n = n * 10 + (size_t)(line.ptr[i] - '0');
    *name = i + 2;
    return i && i + 1 < line.len && line.ptr[i] == ':' && line.ptr[i + 1] == ' ' ? n : 0;
}

/* A name may hold line breaks, and then something that looks like the next line: numbers have to come in their order, and a
 * part is the one of its number. */
void attached_names(struct builder *b, struct span listing)
{
    size_t next = 1;
    for (size_t at = 0; at < listing.len && builder_ok(b) && next <= ATTACHED_MAX;) {
        size_t end = MIN(span_find(listing, SPAN("\n"), at), listing.len), from;
        struct span line = span_sub(listing, at, end);
        at = end + 1;
        if (number_of(line, &from) != next)
            continue;
        next++;
        struct span name = span_sub(line, from, line.len);
        builder_begin(b, BLOCK_LIST_ITEM);
        b->now.page = b->n_pages; /* where the text ends */
        builder_text(b, SPAN("Anlage / attachment: "));
        builder_text(b, name);
        builder_end(b);
        builder_part(b, name, (struct span){ 0 });
    }
}

struct taking {
    struct builder *b;
    struct buf bytes;
    size_t most;
};

static bool take(void *ctx, struct span piece)
{
    struct taking *t = ctx;
    if (piece.len > t->most - t->bytes.len)
        return builder_refuse(t->b, REASON_PARTS, PARTS_BYTES_MAX, 1);
    buf_append_span(&t->bytes, piece);
    return builder_holds(t->b, &t->bytes);
}

static bool ended_well(int status)
{
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

void attached_list(struct program_run *p, struct builder *b)
{
    struct taking t = { .b = b, .most = ATTACHED_LIST_MAX };
    struct buf errors = { 0 };
    int status = 0;
    if (program_pump(p, b, take, &t, &errors, &status) && builder_ok(b)) {
        if (ended_well(status)) {
            attached_names(b, buf_span(&t.bytes));
        } else {
            builder_begin(b, BLOCK_PARAGRAPH);
            b->now.page = b->n_pages;
            builder_text(b, SPAN("[Anlagen nicht lesbar / attachments could not be read]"));
            builder_end(b);
        }
    }
    buf_deinit(&errors);
    buf_deinit(&t.bytes);
}

void attached_take(struct program_run *p, struct builder *b)
{
    struct taking t = { .b = b, .most = PARTS_BYTES_MAX };
    struct buf errors = { 0 };
    int status = 0;
    if (program_pump(p, b, take, &t, &errors, &status) && builder_ok(b)) {
        if (!ended_well(status))
            builder_refuse(b, REASON_PDF_DAMAGED,
                           WIFEXITED(status) ? (uint64_t)WEXITSTATUS(status) : 0, 0);
        builder_text(b, SPAN("1")); /* no document is without text */
        builder_part(b, SPAN("1"), buf_span(&t.bytes));
    }
    buf_deinit(&errors);
    buf_deinit(&t.bytes);
}
