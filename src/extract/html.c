/* HTML: what a reader would see, in blocks.
 *
 * libxml2's HTML parser gives events (start, text, end) and no tree is built, so memory does not
 * grow with the page. It is told to fetch nothing; HTML knows no entities of its own making. Depth
 * is counted here.
 *
 * Block elements end blocks. A table row is one block, its cells joined by " | "; a table inside a
 * cell, or a heading in one, shows that the outer table is only layout: its cells are then ordinary
 * blocks. Script, style and templates are dropped. Text that a style sheet would hide is kept:
 * nobody here reads style sheets. */
#include "extract/extract_priv.h"

#include <libxml/HTMLparser.h>
#include <libxml/parserInternals.h>
#include <limits.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/size.h"

enum elem_class {
    ELEM_INLINE,
    ELEM_BLOCK,
    ELEM_HEADING,
    ELEM_ITEM,
    ELEM_TABLE,
    ELEM_ROW,
    ELEM_CELL,
    ELEM_PRE,
    ELEM_BREAK,
    ELEM_SKIP,
    ELEM_TITLE,
};

struct elem {
    const char *name;
    enum elem_class class;
};

static const struct elem elems[] = {
    { "p", ELEM_BLOCK },       { "div", ELEM_BLOCK },     { "td", ELEM_CELL },
    { "th", ELEM_CELL },       { "tr", ELEM_ROW },        { "li", ELEM_ITEM },
    { "br", ELEM_BREAK },      { "table", ELEM_TABLE },   { "h1", ELEM_HEADING },
    { "h2", ELEM_HEADING },    { "h3", ELEM_HEADING },    { "h4", ELEM_HEADING },
    { "h5", ELEM_HEADING },    { "h6", ELEM_HEADING },    { "ul", ELEM_BLOCK },
    { "ol", ELEM_BLOCK },      { "pre", ELEM_PRE },       { "textarea", ELEM_PRE },
    { "script", ELEM_SKIP },   { "style", ELEM_SKIP },    { "template", ELEM_SKIP },
    { "svg", ELEM_SKIP },      { "object", ELEM_SKIP },   { "iframe", ELEM_SKIP },
    { "noframes", ELEM_SKIP }, { "title", ELEM_TITLE },   { "blockquote", ELEM_BLOCK },
    { "section", ELEM_BLOCK }, { "article", ELEM_BLOCK }, { "header", ELEM_BLOCK },
    { "footer", ELEM_BLOCK },  { "main", ELEM_BLOCK },    { "aside", ELEM_BLOCK },
    { "nav", ELEM_BLOCK },     { "figure", ELEM_BLOCK },  { "figcaption", ELEM_BLOCK },
    { "address", ELEM_BLOCK }, { "form", ELEM_BLOCK },    { "fieldset", ELEM_BLOCK },
    { "legend", ELEM_BLOCK },  { "dl", ELEM_BLOCK },      { "dt", ELEM_BLOCK },
    { "dd", ELEM_BLOCK },      { "thead", ELEM_BLOCK },   { "tbody", ELEM_BLOCK },
    { "tfoot", ELEM_BLOCK },   { "caption", ELEM_BLOCK }, { "hr", ELEM_BLOCK },
    { "details", ELEM_BLOCK }, { "summary", ELEM_BLOCK }, { "center", ELEM_BLOCK },
    { "option", ELEM_BLOCK },  { "body", ELEM_BLOCK },    { "head", ELEM_BLOCK },
};

struct html {
    struct builder *b;
    htmlParserCtxtPtr ctxt;
    size_t depth;
    size_t n_skip; /* dropped elements we are inside of */
    size_t n_pre;
    bool in_title;
    struct buf title;
    enum block_kind kind; /* of the next block */
    bool in_row;          /* text goes into a table row's block */
    size_t n_cells;
    bool row_has_text, cell_has_text, break_due;
};

static enum elem_class class_of(const xmlChar *name)
{
    for (size_t i = 0; i < ARRAY_LEN(elems); i++)
        if (strcmp((const char *)name, elems[i].name) == 0)
            return elems[i].class;
    return ELEM_INLINE;
}

static void block_flush(struct html *h)
{
    if (builder_end(h->b))
        h->kind = BLOCK_PARAGRAPH;
}

static void row_end(struct html *h)
{
    if (h->in_row && !h->row_has_text)
        builder_drop(h->b);
    h->in_row = false;
    block_flush(h);
}

static void row_begin(struct html *h)
{
    row_end(h);
    h->in_row = true;
    h->n_cells = 0;
    h->row_has_text = h->cell_has_text = h->break_due = false;
}

/* The row turned out to be layout: what it has so far is an ordinary block, and so is what follows.
 */
static void row_dissolve(struct html *h)
{
    if (!h->in_row)
        return;
    if (h->b->open)
        h->b->now.kind = BLOCK_PARAGRAPH;
    row_end(h);
}

static void cell_begin(struct html *h)
{
    if (!h->in_row) {
        block_flush(h);
        return;
    }
    if (!h->b->open)
        builder_begin(h->b, BLOCK_TABLE_ROW);
    if (h->n_cells++)
        builder_text(h->b, SPAN(" | "));
    h->cell_has_text = h->break_due = false;
}

/* Inside a row lines are separated, not ended: the newline waits for the cell's next text. */
static void line_break(struct html *h)
{
    if (h->in_row)
        h->break_due = h->cell_has_text;
    else if (h->b->open)
        builder_char(h->b, '\n');
}

static void block_edge(struct html *h)
{
    if (h->in_row)
        line_break(h);
    else
        block_flush(h);
}

static void elem_begin(struct html *h, enum elem_class class)
{
    switch (class) {
    case ELEM_BLOCK:
        block_edge(h);
        break;
    case ELEM_HEADING:
        row_dissolve(h);
        block_flush(h);
        h->kind = BLOCK_HEADING;
        break;
    case ELEM_ITEM:
        block_edge(h);
        h->kind = BLOCK_LIST_ITEM;
        break;
    case ELEM_TABLE:
        row_dissolve(h);
        block_flush(h);
        break;
    case ELEM_ROW:
        row_begin(h);
        break;
    case ELEM_CELL:
        cell_begin(h);
        break;
    case ELEM_PRE:
        block_edge(h);
        h->n_pre++;
        break;
    case ELEM_BREAK:
        line_break(h);
        break;
    case ELEM_TITLE:
        h->in_title = true;
        break;
    case ELEM_SKIP:
    case ELEM_INLINE:
        break;
    }
}

static void elem_end(struct html *h, enum elem_class class)
{
    switch (class) {
    case ELEM_BLOCK:
        block_edge(h);
        break;
    case ELEM_HEADING:
    case ELEM_ITEM:
        block_edge(h);
        h->kind = BLOCK_PARAGRAPH;
        break;
    case ELEM_TABLE:
    case ELEM_ROW:
        row_end(h);
        break;
    case ELEM_CELL:
        if (!h->in_row)
            block_flush(h);
        break;
    case ELEM_PRE:
        block_edge(h);
        h->n_pre -= h->n_pre > 0;
        break;
    case ELEM_TITLE:
        h->in_title = false;
        builder_title(h->b, buf_span(&h->title));
        buf_clear(&h->title);
        break;
    case ELEM_BREAK:
    case ELEM_SKIP:
    case ELEM_INLINE:
        break;
    }
}

static void stop_if_refused(struct html *h)
{
    if (!builder_ok(h->b))
        xmlStopParser(h->ctxt);
}

static void on_start(void *ctx, const xmlChar *name, const xmlChar **attrs)
{
    struct html *h = ctx;
    (void)attrs;
    if (++h->depth > HTML_DEPTH_MAX)
        builder_refuse(h->b, REASON_TOO_DEEP, HTML_DEPTH_MAX, 0);
    enum elem_class class = class_of(name);
    if (class == ELEM_SKIP)
        h->n_skip++;
    else if (!h->n_skip)
        elem_begin(h, class);
    stop_if_refused(h);
}

static void on_end(void *ctx, const xmlChar *name)
{
    struct html *h = ctx;
    h->depth -= h->depth > 0;
    enum elem_class class = class_of(name);
    if (class == ELEM_SKIP)
        h->n_skip -= h->n_skip > 0;
    else if (!h->n_skip)
        elem_end(h, class);
    stop_if_refused(h);
}

static bool is_white(char c)
{
    return c == ' ' || c == '\n' || c == '\t' || c == '\r' || c == '\f';
}

/* Outside <pre> a line's end is a space. */
static void text_flow(struct html *h, struct span s)
{
    size_t from = 0;
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] != '\n' && s.ptr[i] != '\r')
            continue;
        builder_text(h->b, span_sub(s, from, i));
        builder_char(h->b, ' ');
        from = i + 1;
    }
    builder_text(h->b, span_sub(s, from, s.len));
}

static void on_text(void *ctx, const xmlChar *ch, int len)
{
    struct html *h = ctx;
    struct span s = { (const char *)ch, len > 0 ? (size_t)len : 0 };
    if (h->n_skip || !s.len)
        return;
    if (h->in_title) {
        if (h->title.len < 4 * (size_t)TITLE_MAX_BYTES)
            buf_append_span(&h->title, s);
        return;
    }
    bool white = true;
    for (size_t i = 0; white && i < s.len; i++)
        white = is_white(s.ptr[i]);
    if (!h->b->open && white)
        return; /* indentation of the source */
    if (!h->b->open) {
        builder_begin(h->b, h->in_row ? BLOCK_TABLE_ROW : h->kind);
        h->b->keep_layout = h->n_pre > 0 && !h->in_row;
    }
    if (!white && h->in_row) {
        if (h->break_due)
            builder_char(h->b, '\n');
        h->break_due = false;
        h->row_has_text = h->cell_has_text = true;
    }
    if (h->n_pre)
        builder_text(h->b, s);
    else
        text_flow(h, s);
    stop_if_refused(h);
}

static void on_message(void *ctx, const char *fmt, ...)
{
    (void)ctx; /* pages are full of errors; none of them matters here */
    (void)fmt;
}

/* libxml2 2.9 does not survive a failed allocation: it goes round in circles. So the first one that
 * fails leaves the parser by a jump. What the parser held is lost, with the worker, a moment later.
 */
static jmp_buf no_memory;
static bool no_memory_armed;

static void *checked(void *p)
{
    if (!p && no_memory_armed) {
        no_memory_armed = false;
        longjmp(no_memory, 1);
    }
    return p;
}

static void *xml_malloc(size_t n)
{
    return checked(malloc(n));
}

static void *xml_realloc(void *p, size_t n)
{
    return checked(realloc(p, n));
}

static char *xml_strdup(const char *s)
{
    return checked(strdup(s));
}

void html_prepare(void)
{
    static bool done;
    if (done)
        return;
    done = true;
    xmlMemSetup(free, xml_malloc, xml_realloc, xml_strdup);
    xmlInitParser();
}

static htmlParserCtxtPtr parser_create(struct html *h, struct span s)
{
    htmlParserCtxtPtr c = htmlCreateMemoryParserCtxt(s.ptr, (int)s.len);
    if (!c)
        return NULL;
    htmlCtxtUseOptions(c, HTML_PARSE_RECOVER | HTML_PARSE_NONET | HTML_PARSE_NOERROR |
                              HTML_PARSE_NOWARNING | HTML_PARSE_IGNORE_ENC);
    memset(c->sax, 0, sizeof(*c->sax));
    c->sax->startElement = on_start;
    c->sax->endElement = on_end;
    c->sax->characters = on_text;
    c->sax->ignorableWhitespace = on_text;
    c->sax->cdataBlock = on_text;
    c->sax->warning = on_message;
    c->sax->error = on_message;
    c->sax->fatalError = on_message;
    c->userData = h;
    h->ctxt = c;
    xmlSwitchEncoding(c, XML_CHAR_ENCODING_UTF8);
    return c;
}

static void document_parse(struct html *h, struct span utf8)
{
    htmlParserCtxtPtr c = parser_create(h, utf8);
    if (!c) {
        builder_refuse(h->b, REASON_NOMEM, 0, 0);
        return;
    }
    htmlParseDocument(c);
    row_end(h);
    builder_title(h->b, buf_span(&h->title)); /* a <title> that is never closed */
    htmlFreeParserCtxt(c);
}

/* A function of its own: what changes between setjmp() and the jump must not be its local. */
static void document_guard(struct html *h, struct span utf8)
{
    if (setjmp(no_memory) == 0) {
        no_memory_armed = true;
        document_parse(h, utf8);
    } else {
        builder_refuse(h->b, REASON_NOMEM, 0, 0);
    }
    no_memory_armed = false;
}

/* Word and Outlook write "<![if !supportLists]>" and "<![endif]>", which browsers pass over and libxml2 gives out as text. */
static bool conditions_drop(struct buf *out, struct span s)
{
    for (size_t at = 0; at < s.len;) {
        size_t next = MIN(span_find(s, SPAN("<!["), at), s.len);
        buf_append_span(out, span_sub(s, at, next));
        struct span rest = span_sub(s, next, s.len);
        bool is_one = span_starts(rest, SPAN("<![if ")) || span_starts(rest, SPAN("<![endif]"));
        size_t end = is_one ? span_find(span_sub(rest, 0, 256), SPAN(">"), 0) : SIZE_MAX;
        at = next;
        if (end != SIZE_MAX) {
            at += end + 1;
        } else if (rest.len) {
            buf_append_span(out, span_sub(rest, 0, 3));
            at += MIN(rest.len, (size_t)3);
        }
    }
    return !out->failed;
}

void html_parse(struct builder *b, struct span utf8)
{
    struct html h = { .b = b, .kind = BLOCK_PARAGRAPH };
    struct buf plain = { 0 };
    if (span_find(utf8, SPAN("<![if "), 0) != SIZE_MAX) {
        if (!conditions_drop(&plain, utf8))
            builder_refuse(b, REASON_NOMEM, 0, 0);
        utf8 = buf_span(&plain);
    }
    if (utf8.len > INT_MAX)
        builder_refuse(b, REASON_FILE_TOO_LARGE, INPUT_MAX_BYTES, 0);
    else if (utf8.len && builder_ok(b))
        document_guard(&h, utf8);
    buf_deinit(&plain);
    if (h.title.failed)
        builder_refuse(b, REASON_NOMEM, 0, 0);
    buf_deinit(&h.title);
}

/* ---- charset -------------------------------------------------------------------------------- */

enum { CHARSET_WITHIN = 2048 };

static bool is_label_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == ':' || c == '.';
}

/* <meta charset="x"> and <meta http-equiv content="...; charset=x"> look alike from the equals sign
 * on. */
struct span html_charset(struct span file)
{
    struct span head = span_sub(file, 0, CHARSET_WITHIN);
    for (size_t i = 0; i + 8 < head.len; i++) {
        if (strncasecmp(head.ptr + i, "charset", 7) != 0)
            continue;
        size_t at = i + 7;
        while (at < head.len && is_white(head.ptr[at]))
            at++;
        if (at >= head.len || head.ptr[at] != '=')
            continue;
        at++;
        while (at < head.len &&
               (is_white(head.ptr[at]) || head.ptr[at] == '"' || head.ptr[at] == '\''))
            at++;
        size_t end = at;
        while (end < head.len && is_label_char(head.ptr[end]))
            end++;
        return span_sub(head, at, end);
    }
    return (struct span){ 0 };
}
