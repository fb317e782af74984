/* pdftotext's -bbox-layout output: pages, blocks, lines and words with their boxes, as XHTML.
 *
 *   <page width height> <flow> <block xMin yMin xMax yMax> <line ...> <word xMin yMin xMax
 * yMax>text</word>
 *
 * A poppler block is a column of lines that belong together; it becomes one or more blocks of ours.
 * A new one begins at a gap between lines that is larger than the lines themselves ask for, and at
 * a bullet. Lines are joined by a space, unless the next line's first word would still have fit:
 * then the author ended the line (addresses, invoices), and a newline stays.
 *
 * Hyphens at a line's end (word_join): "Miet-" + "vertrag" was divided by the typesetter and is
 * joined; before a capital or a digit the hyphen belongs to the word ("Miet-" + "Vertrag") and
 * stays; before "und", "oder" it is the hyphen of an elided word ("Vor- und Nachname") and stays
 * with its space.
 *
 * Headings are known at the end only: what is set higher than most of the document, by line height.
 *
 * poppler writes control characters of broken fonts as they are, which no XML parser takes, so the
 * stream is repaired before expat sees it (repair). */
#include "extract/extract_priv.h"

#include <expat.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "base/utf8.h"

enum { HEIGHT_BUCKETS = 400 }; /* quarter points: line heights up to 100 */

struct rect {
    float x0, y0, x1, y1;
};

struct line {
    struct rect box;
    size_t start, end; /* in block_text */
    float first_word;  /* width of the line's first word */
};

struct bbox {
    struct builder *b;
    XML_Parser xml;
    size_t depth;
    struct buf torn; /* bytes of a character cut by the end of a piece */
    struct buf clean;
    bool in_word, in_title;
    struct buf title;
    struct rect word_box, block_box;
    struct buf word;

    struct buf block_text; /* the words of the poppler block, lines one after the other */
    struct line *lines;    /* [n_lines] */
    size_t n_lines, cap_lines;

    float *heights; /* [n_heights]: one for each block kept */
    size_t n_heights, cap_heights;
    size_t chars_of_height[HEIGHT_BUCKETS];
};

/* ---- growing arrays
 * --------------------------------------------------------------------------------------- */

static void *grow(void *p, size_t n, size_t *cap, size_t size)
{
    if (n < *cap)
        return p;
    size_t more = *cap ? 2 * *cap : 64, bytes;
    void *q = size_mul(&bytes, more, size) ? realloc(p, bytes) : NULL;
    if (q)
        *cap = more;
    return q;
}

/* ---- text of a block
 * -------------------------------------------------------------------------------------------- */

static bool is_upper_or_digit(int32_t cp)
{
    if (cp < 0x80)
        return (cp >= 'A' && cp <= 'Z') || (cp >= '0' && cp <= '9');
    return (cp >= 0xC0 && cp <= 0xDE) || (cp >= 0x391 && cp <= 0x3A9) ||
           (cp >= 0x410 && cp <= 0x42F);
}

static bool is_lower(int32_t cp)
{
    if (cp < 0x80)
        return cp >= 'a' && cp <= 'z';
    return (cp >= 0xDF && cp <= 0xFF && cp != 0xF7) ||
           (cp >= 0x100 && !is_upper_or_digit(cp) && cp < 0x2000) || (cp >= 0xFB00 && cp <= 0xFB06);
}

static size_t hyphen_len(struct span s)
{
    if (span_ends(s, SPAN("-")))
        return 1;
    if (span_ends(s, SPAN("\u00AD")))
        return 2;
    return span_ends(s, SPAN("\u2010")) ? 3 : 0;
}

static bool is_letter_before(struct span s, size_t hyphen)
{
    if (s.len <= hyphen)
        return false;
    unsigned char c = (unsigned char)s.ptr[s.len - hyphen - 1];
    return c >= 0x80 || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* "Vor- und Nachname", "pre- and post-war": the first part of a pair keeps its hyphen and its
 * space. */
static bool is_conjunction(struct span s)
{
    static const char *const words[] = { "und",   "oder", "bzw.", "beziehungsweise",
                                         "sowie", "bis",  "and",  "or",
                                         "to",    "noch" };
    size_t n = 0;
    while (n < s.len && s.ptr[n] != ' ')
        n++;
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (span_eq_str(span_sub(s, 0, n), words[i]))
            return true;
    return false;
}

enum join { JOIN_SPACE, JOIN_NEWLINE, JOIN_DROP_HYPHEN, JOIN_KEEP_HYPHEN };

static enum join word_join(struct span line, struct span next)
{
    size_t hyphen = hyphen_len(line), n;
    if (!hyphen || !next.len || !is_letter_before(line, hyphen) || is_conjunction(next))
        return JOIN_SPACE;
    int32_t cp = utf8_decode(next.ptr, next.len, &n);
    if (is_lower(cp))
        return JOIN_DROP_HYPHEN;
    return is_upper_or_digit(cp) ? JOIN_KEEP_HYPHEN : JOIN_SPACE;
}

static struct span line_text(const struct bbox *x, size_t i)
{
    return span_sub(buf_span(&x->block_text), x->lines[i].start, x->lines[i].end);
}

static float height(const struct line *l)
{
    return l->box.y1 - l->box.y0;
}

/* Would the first word of the next line have fit at the end of this one? Half a line's height is a
 * wide space. */
static bool ended_early(const struct bbox *x, size_t i)
{
    const struct line *l = &x->lines[i], *next = &x->lines[i + 1];
    return l->box.x1 + height(l) * 0.5f + next->first_word < x->block_box.x1;
}

static bool is_bullet(struct span s)
{
    static const struct span bullets[] = { { "\u2022", 3 }, { "\u25CF", 3 }, { "\u25AA", 3 },
                                           { "\uF0B7", 3 }, { "\uF0A7", 3 }, { "\u2013 ", 4 },
                                           { "- ", 2 },     { "\u25E6", 3 } };
    for (size_t i = 0; i < ARRAY_LEN(bullets); i++)
        if (span_starts(s, bullets[i]) && s.len > bullets[i].len)
            return true;
    size_t n = 0;
    while (n < s.len && n < 3 && s.ptr[n] >= '0' && s.ptr[n] <= '9')
        n++;
    if (n == 0 && s.len > 2 && s.ptr[0] >= 'a' && s.ptr[0] <= 'z' && s.ptr[1] == ')')
        n = 1;
    return n && n + 1 < s.len && (s.ptr[n] == '.' || s.ptr[n] == ')') && s.ptr[n + 1] == ' ';
}

static bool starts_paragraph(const struct bbox *x, size_t i)
{
    const struct line *l = &x->lines[i], *before = &x->lines[i - 1];
    float gap = l->box.y0 - before->box.y1;
    if (gap > 0.5f * height(before) || fabsf(height(l) - height(before)) > 0.25f * height(before))
        return true;
    return is_bullet(line_text(x, i));
}

static void rect_add(struct rect *r, const struct rect *with)
{
    r->x0 = fminf(r->x0, with->x0);
    r->y0 = fminf(r->y0, with->y0);
    r->x1 = fmaxf(r->x1, with->x1);
    r->y1 = fmaxf(r->y1, with->y1);
}

static void lines_join(struct bbox *x, size_t from, size_t to)
{
    for (size_t i = from; i < to && builder_ok(x->b); i++) {
        struct span s = line_text(x, i);
        if (i + 1 == to) {
            builder_text(x->b, s);
            break;
        }
        enum join j = word_join(s, line_text(x, i + 1));
        if (j == JOIN_DROP_HYPHEN)
            s.len -= hyphen_len(s);
        builder_text(x->b, s);
        if (j == JOIN_SPACE)
            builder_char(x->b, ended_early(x, i) ? '\n' : ' ');
    }
}

static void height_note(struct bbox *x, float h, size_t chars)
{
    float *p = grow(x->heights, x->n_heights, &x->cap_heights, sizeof(*x->heights));
    if (!p) {
        builder_refuse(x->b, REASON_NOMEM, 0, 0);
        return;
    }
    x->heights = p;
    x->heights[x->n_heights++] = h;
    size_t bucket = h > 0 ? MIN((size_t)(h * 4), (size_t)HEIGHT_BUCKETS - 1) : 0;
    x->chars_of_height[bucket] += chars;
}

static void paragraph(struct bbox *x, size_t from, size_t to)
{
    struct builder *b = x->b;
    struct rect r = x->lines[from].box;
    for (size_t i = from + 1; i < to; i++)
        rect_add(&r, &x->lines[i].box);
    builder_begin(b, is_bullet(line_text(x, from)) ? BLOCK_LIST_ITEM : BLOCK_PARAGRAPH);
    b->now.page = b->n_pages;
    b->now.box[0] = r.x0;
    b->now.box[1] = r.y0;
    b->now.box[2] = r.x1;
    b->now.box[3] = r.y1;
    lines_join(x, from, to);
    if (builder_end(b)) {
        const struct block *kept = &b->blocks[b->n_blocks - 1];
        height_note(x, height(&x->lines[from]), kept->end - kept->start);
    }
}

static void block_end(struct bbox *x)
{
    size_t from = 0;
    for (size_t i = 1; i < x->n_lines; i++)
        if (starts_paragraph(x, i)) {
            paragraph(x, from, i);
            from = i;
        }
    if (x->n_lines)
        paragraph(x, from, x->n_lines);
    x->n_lines = 0;
    buf_clear(&x->block_text);
}

/* ---- elements
 * ---------------------------------------------------------------------------------------------------------
 */

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

static struct rect rect_of(const XML_Char **attrs)
{
    struct rect r = { 0 };
    for (size_t i = 0; attrs[i]; i += 2) {
        float v = number(attrs[i + 1]);
        if (strcmp(attrs[i], "xMin") == 0)
            r.x0 = v;
        else if (strcmp(attrs[i], "yMin") == 0)
            r.y0 = v;
        else if (strcmp(attrs[i], "xMax") == 0)
            r.x1 = v;
        else if (strcmp(attrs[i], "yMax") == 0)
            r.y1 = v;
    }
    r.x1 = fmaxf(r.x0, r.x1);
    r.y1 = fmaxf(r.y0, r.y1);
    return r;
}

static void line_begin(struct bbox *x, const XML_Char **attrs)
{
    struct line *p = grow(x->lines, x->n_lines, &x->cap_lines, sizeof(*x->lines));
    if (!p) {
        builder_refuse(x->b, REASON_NOMEM, 0, 0);
        return;
    }
    x->lines = p;
    size_t at = x->block_text.len;
    x->lines[x->n_lines++] = (struct line){ rect_of(attrs), at, at, 0 };
}

static void word_end(struct bbox *x)
{
    x->in_word = false;
    struct line *l = x->n_lines ? &x->lines[x->n_lines - 1] : NULL;
    struct span w = span_trim(buf_span(&x->word));
    if (!l || !w.len)
        return;
    if (l->end > l->start)
        buf_append_char(&x->block_text, ' ');
    else
        l->first_word = x->word_box.x1 - x->word_box.x0;
    buf_append_span(&x->block_text, w);
    l->end = x->block_text.len;
    if (x->block_text.failed || x->word.failed)
        builder_refuse(x->b, REASON_NOMEM, 0, 0);
    else if (x->block_text.len > BLOCK_RAW_MAX)
        builder_refuse(x->b, REASON_TEXT_TOO_LONG, BLOCK_RAW_MAX, 0);
}

static void line_end(struct bbox *x)
{
    if (x->n_lines && x->lines[x->n_lines - 1].end == x->lines[x->n_lines - 1].start)
        x->n_lines--; /* without a word it is none */
}

static void page_begin(struct bbox *x)
{
    if (x->b->n_pages >= PAGES_MAX)
        builder_refuse(x->b, REASON_TEXT_TOO_LONG, x->b->max_text, 0);
    else
        x->b->n_pages++;
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
        block_end(x);
        x->block_box = rect_of(attrs);
    } else if (strcmp(name, "page") == 0) {
        page_begin(x);
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
    else if (strcmp(name, "block") == 0 || strcmp(name, "page") == 0)
        block_end(x);
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

/* ---- the stream
 * ---------------------------------------------------------------------------------------------------------
 */

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
            buf_clear(&x->torn);
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
    if (XML_Parse(x->xml, x->clean.ptr, (int)x->clean.len, last) == XML_STATUS_OK)
        return builder_ok(x->b);
    bool nomem = XML_GetErrorCode(x->xml) == XML_ERROR_NO_MEMORY;
    return builder_refuse(x->b, nomem ? REASON_NOMEM : REASON_PDF_OUTPUT,
                          XML_GetCurrentLineNumber(x->xml), 0);
}

/* The line height that most of the text is set in. */
static float body_height(const struct bbox *x)
{
    size_t all = 0, seen = 0;
    for (size_t i = 0; i < HEIGHT_BUCKETS; i++)
        all += x->chars_of_height[i];
    for (size_t i = 0; i < HEIGHT_BUCKETS; i++) {
        seen += x->chars_of_height[i];
        if (seen * 2 > all)
            return (float)i / 4;
    }
    return 0;
}

void bbox_finish(struct bbox *x)
{
    enum { HEADING_BYTES_MAX = 200 };
    struct builder *b = x->b;
    if (!builder_ok(b))
        return;
    if (!b->n_blocks) {
        builder_refuse(b, b->n_pages ? REASON_PDF_SCAN : REASON_PDF_DAMAGED, b->n_pages, 0);
        return;
    }
    float body = body_height(x);
    for (size_t i = 0; i < b->n_blocks && i < x->n_heights; i++) {
        struct block *k = &b->blocks[i];
        bool tall = x->heights[i] >= 1.15f * body + 0.25f; /* and more than the buckets' rounding */
        if (k->kind == BLOCK_PARAGRAPH && tall && k->end - k->start <= HEADING_BYTES_MAX)
            k->kind = BLOCK_HEADING;
    }
    builder_title(b, buf_span(&x->title));
}

struct bbox *bbox_create(struct builder *b)
{
    struct bbox *x = calloc(1, sizeof(*x));
    if (!x)
        return NULL;
    x->b = b;
    x->xml = XML_ParserCreate("UTF-8");
    if (!x->xml) {
        free(x);
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
    XML_ParserFree(x->xml);
    buf_deinit(&x->torn);
    buf_deinit(&x->clean);
    buf_deinit(&x->title);
    buf_deinit(&x->word);
    buf_deinit(&x->block_text);
    free(x->lines);
    free(x->heights);
    free(x);
}
