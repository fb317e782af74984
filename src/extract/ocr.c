/* Text in pictures, recognised by tesseract in a process of its own (program.h): pictures as they are, and pages of scanned
 * PDF files as pdftoppm draws them.
 *
 * tesseract's table (one line for each page, block, paragraph, line and word, with its box in pixels and how sure it is)
 * becomes what pdftotext writes, and goes the same way (bbox.c): so paragraphs over line ends, lists, tables and headings
 * are found in scans as in other PDF files, each with its box. Words it is not sure of are left out: a search finds
 * none of them, and a quotation would be wrong. */
#include "extract/extract_priv.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/size.h"
#include "extract/ocr.h"
#include "extract/program.h"
#include "sandbox/child.h"

enum {
    COLUMNS = 12,
    SURE_FROM = 30, /* per cent; print is above 80 as a rule, what is none below 20 */
    LINE_MAX_BYTES = 64 * 1024,
    LONG_SIDE_PT = 842, /* of A4: a picture does not say how large it is */
};

/* ---- the table ------------------------------------------------------------------------------ */

struct ocr_table *ocr_table_create(struct builder *b, int dpi)
{
    struct ocr_table *t = calloc(1, sizeof(*t));
    struct bbox *x = t ? bbox_create(b) : NULL;
    if (!x) {
        free(t);
        return NULL;
    }
    *t = (struct ocr_table){ .b = b, .x = x, .dpi = dpi, .scale = 1 };
    buf_append_str(&t->out, "<doc>");
    return t;
}

void ocr_table_destroy(struct ocr_table *t)
{
    if (!t)
        return;
    bbox_destroy(t->x);
    buf_deinit(&t->line);
    buf_deinit(&t->out);
    free(t);
}

static void close_to(struct ocr_table *t, int level)
{
    static const char *const ends[] = { "", "</page>", "", "</block>", "</line>" };
    for (; t->level >= level; t->level--)
        if (t->level < 5)
            buf_append_str(&t->out, ends[t->level]);
}

static void put_box(struct ocr_table *t, const char *name, const double *v)
{
    buf_printf(&t->out, "<%s xMin=\"%.3f\" yMin=\"%.3f\" xMax=\"%.3f\" yMax=\"%.3f\">", name,
               v[0] * t->scale, v[1] * t->scale, (v[0] + v[2]) * t->scale,
               (v[1] + v[3]) * t->scale);
}

static void put_word(struct ocr_table *t, const double *v, struct span word)
{
    put_box(t, "word", v);
    for (size_t i = 0; i < word.len; i++) {
        char c = word.ptr[i];
        if (c == '<')
            buf_append_str(&t->out, "&lt;");
        else if (c == '&')
            buf_append_str(&t->out, "&amp;");
        else
            buf_append_char(&t->out, c);
    }
    buf_append_str(&t->out, "</word>");
}

static void put_page(struct ocr_table *t, const double *v)
{
    double longer = MAX(v[2], v[3]);
    t->scale = t->dpi ? 72.0 / t->dpi : longer > 0 ? LONG_SIDE_PT / longer : 1;
    buf_printf(&t->out, "<page width=\"%.3f\" height=\"%.3f\">", v[2] * t->scale, v[3] * t->scale);
}

/* level page block paragraph line word left top width height sure text */
static void row(struct ocr_table *t, struct span line)
{
    struct span columns[COLUMNS];
    double v[4];
    size_t at = 0;
    for (int i = 0; i < COLUMNS; i++) {
        size_t to = i + 1 < COLUMNS ? span_find(line, SPAN("\t"), at) : line.len;
        if (to == SIZE_MAX)
            return;
        columns[i] = span_sub(line, at, to);
        at = to + 1;
    }
    int level = columns[0].len == 1 ? columns[0].ptr[0] - '0' : 0;
    if (level < 1 || level > 5) /* the head */
        return;
    for (int i = 0; i < 4; i++) /* spans end in a tab, which ends a number */
        v[i] = MIN(MAX(strtod(columns[6 + i].ptr, NULL), 0.0), 1e5);
    close_to(t, level);
    t->level = level;
    if (level == 1)
        put_page(t, v);
    else if (level == 3) /* paragraphs: what poppler calls a block */
        put_box(t, "block", v);
    else if (level == 4)
        put_box(t, "line", v);
    else if (level == 5 && strtod(columns[10].ptr, NULL) >= SURE_FROM)
        put_word(t, v, columns[11]);
}

static bool flush(struct ocr_table *t, bool last)
{
    if (!builder_holds(t->b, &t->line) || !builder_holds(t->b, &t->out))
        return false;
    bool ok = bbox_feed(t->x, buf_span(&t->out), last);
    buf_clear(&t->out);
    return ok;
}

bool ocr_table_feed(struct ocr_table *t, struct span s)
{
    for (size_t at = 0; at < s.len;) {
        size_t end = MIN(span_find(s, SPAN("\n"), at), s.len);
        buf_append_span(&t->line, span_sub(s, at, end));
        if (t->line.len > LINE_MAX_BYTES)
            return builder_refuse(t->b, REASON_OCR_FAILED, 0, 0);
        if (end < s.len) {
            if (t->line.len)
                row(t, buf_span(&t->line));
            buf_clear(&t->line);
        }
        at = end + 1;
    }
    return flush(t, false);
}

void ocr_table_finish(struct ocr_table *t)
{
    close_to(t, 1);
    buf_append_str(&t->out, "</doc>");
    if (!flush(t, true))
        return;
    if (t->b->n_blocks)
        bbox_finish(t->x);
    else
        builder_refuse(t->b, REASON_NO_TEXT, 0, 0);
}

/* ---- the program ---------------------------------------------------------------------------- */

static const char tessdata[] = "/usr/share/tesseract-ocr/5/tessdata";
static const char *const readable[] = { "/usr/share/tesseract-ocr", NULL };

const char *ocr_program(void)
{
    static const char *const places[] = { "/usr/bin/tesseract", "/usr/local/bin/tesseract", NULL };
    return program_find(places);
}

static bool has_language(const char *name)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/%s.traineddata", tessdata, name);
    return access(path, R_OK) == 0;
}

bool ocr_start(struct program_run *p, const struct walls *w, int in_fd, struct refusal *why)
{
    struct walls mine = *w;
    mine.kind = WALLS_PROGRAM;
    mine.program = ocr_program();
    mine.readable = readable;
    const char *languages = has_language("deu") && has_language("eng") ? "deu+eng"
                            : has_language("deu")                      ? "deu"
                            : has_language("eng")                      ? "eng"
                                                                       : NULL;
    if (!mine.program || !languages) {
        *why = (struct refusal){ REASON_OCR_MISSING, 0, 0 };
        return false;
    }
    char name[] = "tesseract", in[] = "stdin", out[] = "stdout", l[] = "-l", lang[16];
    char mode[] = "--psm", how[] = "1", table[] = "tsv"; /* 1: finds out which way is up */
    snprintf(lang, sizeof(lang), "%s", languages);
    if (!has_language("osd"))
        how[0] = '3';
    char *const argv[] = { name, in, out, l, lang, mode, how, table, NULL };
    return program_start(p, &mine, argv, in_fd, true, why);
}

static bool feed(void *ctx, struct span piece)
{
    return ocr_table_feed(ctx, piece);
}

void ocr_pump(struct program_run *p, struct builder *b, int dpi)
{
    struct buf errors = { 0 };
    struct ocr_table *t = ocr_table_create(b, dpi);
    int status = 0;
    if (!t)
        builder_refuse(b, REASON_NOMEM, 0, 0);
    if (t && program_pump(p, b, feed, t, &errors, &status)) {
        if (WIFSIGNALED(status) && (WTERMSIG(status) == SIGXCPU || WTERMSIG(status) == SIGKILL))
            builder_refuse(b, REASON_OCR_CPU, 0, 0);
        else if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
            builder_refuse(b, REASON_OCR_FAILED, (uint64_t)status, 0);
    }
    if (t && builder_ok(b))
        ocr_table_finish(t);
    ocr_table_destroy(t);
    buf_deinit(&errors);
}
