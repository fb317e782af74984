/* pdftotext's -bbox-layout output: pages, blocks, lines and words with their boxes, as XHTML.
 *
 *   <page width height> <flow> <block xMin yMin xMax yMax> <line ...> <word xMin yMin xMax
 * yMax>text</word>
 *
 * This file takes the stream apart and collects one page at a time; what the page means is
 * layout.c's business. poppler writes control characters of broken fonts as they are, which no XML
 * parser takes, so the stream is repaired before expat sees it. */
#include "extract/extract_priv.h"

#include <errno.h>
#include <expat.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "base/utf8.h"

struct word_place {
    float x0, x1;
    size_t start, end; /* of page.text */
};

struct bbox {
    struct builder *b;
    struct layout *layout;
    XML_Parser xml;
    size_t depth;
    struct buf torn;  /* bytes of a character cut by the end of a piece */
    struct buf clean; /* the piece, repaired */
    bool in_word, in_title;
    struct buf title, word;
    struct rect word_box;
    struct word_place *words; /* [n_words]: those of the last line */
    size_t n_words, cap_words;
    struct page page;
};

static bool grow(void **p, size_t n, size_t *cap, size_t size)
{
    if (n < *cap)
        return true;
    size_t more = *cap ? 2 * *cap : 64, bytes;
    void *q = size_mul(&bytes, more, size) ? realloc(*p, bytes) : NULL;
    if (!q)
        return false;
    *p = q;
    *cap = more;
    return true;
}

/* ---- elements ------------------------------------------------------------------------------- */

/* A plain decimal number of points, clamped to sense; locale plays no part. */
static float number(const char *s)
{
    bool minus = *s == '-';
    s += minus;
    float v = 0, scale = 1;
    bool fraction = false;
    for (; (*s >= '0' && *s <= '9') || *s == '.'; s++) {
        if (*s == '.') {
            fraction = true;
            continue;
        }
        if (fraction)
            scale *= 0.1f;
        v = fraction ? v + scale * (float)(*s - '0') : v * 10 + (float)(*s - '0');
        if (v > 1e5f)
            return minus ? -1e5f : 1e5f;
    }
    return minus ? -v : v;
}

static float attr_number(const XML_Char **attrs, const char *name)
{
    for (size_t i = 0; attrs[i]; i += 2)
        if (strcmp(attrs[i], name) == 0)
            return number(attrs[i + 1]);
    return 0;
}

static struct rect rect_of(const XML_Char **attrs)
{
    struct rect r = { attr_number(attrs, "xMin"), attr_number(attrs, "yMin"),
                      attr_number(attrs, "xMax"), attr_number(attrs, "yMax") };
    r.x1 = fmaxf(r.x0, r.x1);
    r.y1 = fmaxf(r.y0, r.y1);
    return r;
}

static void page_begin(struct bbox *x, const XML_Char **attrs)
{
    if (x->b->n_pages >= PAGES_MAX) {
        builder_refuse(x->b, REASON_TEXT_TOO_LONG, x->b->max_text, 0);
        return;
    }
    x->b->n_pages++;
    x->page.width = attr_number(attrs, "width");
}

static void page_end(struct bbox *x)
{
    struct page *p = &x->page;
    if (builder_ok(x->b))
        layout_page(x->layout, p);
    buf_clear(&p->text);
    p->n_lines = p->n_blocks = 0;
}

static void block_begin(struct bbox *x, const XML_Char **attrs)
{
    struct page *p = &x->page;
    if (!grow((void **)&p->blocks, p->n_blocks, &p->cap_blocks, sizeof(*p->blocks)))
        builder_refuse(x->b, REASON_NOMEM, 0, 0);
    else
        p->blocks[p->n_blocks++] = (struct page_block){ rect_of(attrs), p->n_lines, 0 };
}

static void line_begin(struct bbox *x, const XML_Char **attrs)
{
    struct page *p = &x->page;
    if (!p->n_blocks)
        return;
    if (!grow((void **)&p->lines, p->n_lines, &p->cap_lines, sizeof(*p->lines))) {
        builder_refuse(x->b, REASON_NOMEM, 0, 0);
        return;
    }
    size_t at = p->text.len;
    x->n_words = 0;
    p->lines[p->n_lines++] = (struct page_line){
        .box = rect_of(attrs), .start = at, .end = at, .block = p->n_blocks - 1
    };
    p->blocks[p->n_blocks - 1].n++;
}

static void word_end(struct bbox *x)
{
    struct page *p = &x->page;
    x->in_word = false;
    if (x->word.failed)
        builder_refuse(x->b, REASON_NOMEM, 0, 0);
    struct span w = span_trim(buf_span(&x->word));
    if (!p->n_lines || !w.len)
        return;
    struct page_line *l = &p->lines[p->n_lines - 1];
    if (l->n_words++) {
        buf_append_char(&p->text, ' ');
    } else {
        l->first_word = x->word_box.x1 - x->word_box.x0;
        l->letter = x->word_box.y1 - x->word_box.y0;
    }
    size_t start = p->text.len;
    buf_append_span(&p->text, w);
    l->end = p->text.len;
    if (grow((void **)&x->words, x->n_words, &x->cap_words, sizeof(*x->words)))
        x->words[x->n_words++] =
            (struct word_place){ x->word_box.x0, x->word_box.x1, start, l->end };
    else
        builder_refuse(x->b, REASON_NOMEM, 0, 0);
    if (p->text.failed)
        builder_refuse(x->b, REASON_NOMEM, 0, 0);
    else if (p->text.len > BLOCK_RAW_MAX)
        builder_refuse(x->b, REASON_TEXT_TOO_LONG, BLOCK_RAW_MAX, 0);
}

/* A line without a word is none. */
static void line_end(struct bbox *x)
{
    struct page *p = &x->page;
    if (!p->n_lines || p->lines[p->n_lines - 1].n_words)
        return;
    p->blocks[p->lines[--p->n_lines].block].n--;
}

/* The line's words [from, to) as a line of their own. Its box is around all of them: on a page that lies on its head the
 * first word stands at the right. */
static void line_append(struct bbox *x, const struct page_line *whole, size_t from, size_t to)
{
    struct page *p = &x->page;
    if (!grow((void **)&p->lines, p->n_lines, &p->cap_lines, sizeof(*p->lines))) {
        builder_refuse(x->b, REASON_NOMEM, 0, 0);
        return;
    }
    struct page_line piece = *whole;
    const struct word_place *first = &x->words[from], *last = &x->words[to - 1];
    piece.box.x0 = first->x0;
    piece.box.x1 = fmaxf(first->x0, first->x1);
    for (size_t i = from; i < to; i++) {
        piece.box.x0 = fminf(piece.box.x0, x->words[i].x0);
        piece.box.x1 = fmaxf(piece.box.x1, x->words[i].x1);
    }
    piece.start = first->start;
    piece.end = last->end;
    piece.n_words = to - from;
    piece.first_word = first->x1 - first->x0;
    p->lines[p->n_lines++] = piece;
    p->blocks[piece.block].n++;
}

/* poppler joins cells of a table's row into one line when they are near. A block of a single line
 * is taken apart where the gap between words is as wide as the letters are high; prose has more
 * lines, and smaller gaps. */
static void block_end(struct bbox *x)
{
    struct page *p = &x->page;
    if (!p->n_lines || !p->n_blocks || p->blocks[p->n_blocks - 1].n != 1 || !x->n_words)
        return;
    struct page_line whole = p->lines[p->n_lines - 1];
    p->blocks[whole.block].n--;
    p->n_lines--;
    size_t from = 0;
    for (size_t i = 1; i <= x->n_words && builder_ok(x->b); i++) {
        bool gap = i < x->n_words && x->words[i].x0 - x->words[i - 1].x1 > 0.85f * whole.letter;
        if (i < x->n_words && !gap)
            continue;
        line_append(x, &whole, from, i);
        from = i;
    }
}

static void stop_if_refused(struct bbox *x)
{
    if (!builder_ok(x->b))
        XML_StopParser(x->xml, XML_FALSE);
}

static void on_start(void *ctx, const XML_Char *name, const XML_Char **attrs)
{
    struct bbox *x = ctx;
    if (++x->depth > XML_DEPTH_MAX)
        builder_refuse(x->b, REASON_TOO_DEEP, XML_DEPTH_MAX, 0);
    if (strcmp(name, "word") == 0) {
        x->in_word = true;
        x->word_box = rect_of(attrs);
        buf_clear(&x->word);
    } else if (strcmp(name, "line") == 0) {
        line_begin(x, attrs);
    } else if (strcmp(name, "block") == 0) {
        block_begin(x, attrs);
    } else if (strcmp(name, "page") == 0) {
        page_begin(x, attrs);
    } else if (strcmp(name, "title") == 0) {
        x->in_title = true;
    }
    stop_if_refused(x);
}

static void on_end(void *ctx, const XML_Char *name)
{
    struct bbox *x = ctx;
    x->depth--;
    if (strcmp(name, "word") == 0)
        word_end(x);
    else if (strcmp(name, "line") == 0)
        line_end(x);
    else if (strcmp(name, "block") == 0)
        block_end(x);
    else if (strcmp(name, "page") == 0)
        page_end(x);
    else if (strcmp(name, "title") == 0)
        x->in_title = false;
    stop_if_refused(x);
}

static void on_text(void *ctx, const XML_Char *s, int len)
{
    struct bbox *x = ctx;
    if (x->in_word)
        buf_append(&x->word, s, (size_t)len);
    else if (x->in_title && x->title.len < 4 * (size_t)TITLE_MAX_BYTES)
        buf_append(&x->title, s, (size_t)len);
}

/* ---- the stream ----------------------------------------------------------------------------- */

/* What XML forbids (controls, ill-formed UTF-8, U+FFFE, U+FFFF) becomes a space; a character cut
 * off at the end waits. */
static void repair(struct bbox *x, struct span s, bool last)
{
    buf_clear(&x->clean);
    for (size_t i = 0, n; i < s.len; i += n) {
        unsigned char c = (unsigned char)s.ptr[i];
        n = 1;
        if (c >= 0x20 && c < 0x80) {
            buf_append_char(&x->clean, (char)c);
            continue;
        }
        int32_t cp = utf8_decode(s.ptr + i, s.len - i, &n);
        if (cp == UTF8_TORN && !last) {
            buf_append_span(&x->torn, span_sub(s, i, s.len));
            return;
        }
        bool ok =
            cp == '\n' || cp == '\r' || cp == '\t' || (cp >= 0x80 && cp != 0xFFFE && cp != 0xFFFF);
        if (ok)
            buf_append(&x->clean, s.ptr + i, n);
        else
            buf_append_char(&x->clean, ' ');
    }
}

bool bbox_feed(struct bbox *x, struct span s, bool last)
{
    struct buf whole = { 0 };
    if (x->torn.len) {
        buf_append_span(&whole, buf_span(&x->torn));
        buf_append_span(&whole, s);
        s = buf_span(&whole);
        buf_clear(&x->torn);
    }
    repair(x, s, last);
    bool ok = !whole.failed && !x->clean.failed && !x->torn.failed;
    buf_deinit(&whole);
    if (!ok)
        return builder_refuse(x->b, REASON_NOMEM, 0, 0);
    if (!builder_ok(x->b))
        return false;
    errno = 0;
    if (XML_Parse(x->xml, x->clean.ptr, (int)x->clean.len, last) == XML_STATUS_OK)
        return builder_ok(x->b);
    bool nomem = XML_GetErrorCode(x->xml) == XML_ERROR_NO_MEMORY || errno == ENOMEM;
    return builder_refuse(x->b, nomem ? REASON_NOMEM : REASON_PDF_OUTPUT,
                          XML_GetCurrentLineNumber(x->xml), 0);
}

void bbox_finish(struct bbox *x)
{
    struct builder *b = x->b;
    if (!builder_ok(b))
        return;
    if (!b->n_blocks) {
        builder_refuse(b, b->n_pages ? REASON_PDF_SCAN : REASON_PDF_DAMAGED, b->n_pages, 0);
        return;
    }
    layout_finish(x->layout);
    if (x->title.failed)
        builder_refuse(b, REASON_NOMEM, 0, 0);
    builder_title(b, buf_span(&x->title));
}

struct bbox *bbox_create(struct builder *b)
{
    struct bbox *x = calloc(1, sizeof(*x));
    if (!x)
        return NULL;
    x->b = b;
    x->layout = layout_create(b);
    x->xml = XML_ParserCreate("UTF-8");
    if (!x->layout || !x->xml) {
        bbox_destroy(x);
        return NULL;
    }
    XML_SetUserData(x->xml, x);
    XML_SetElementHandler(x->xml, on_start, on_end);
    XML_SetCharacterDataHandler(x->xml, on_text);
    return x;
}

void bbox_destroy(struct bbox *x)
{
    if (!x)
        return;
    layout_destroy(x->layout);
    if (x->xml)
        XML_ParserFree(x->xml);
    buf_deinit(&x->torn);
    buf_deinit(&x->clean);
    buf_deinit(&x->title);
    buf_deinit(&x->word);
    buf_deinit(&x->page.text);
    free(x->words);
    free(x->page.lines);
    free(x->page.blocks);
    free(x);
}
