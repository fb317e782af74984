/* OpenDocument: texts (.odt), spreadsheets (.ods), presentations (.odp).
 *
 * One vocabulary for all three, in content.xml. Read, in this order: what the page headers of styles.xml say, the content,
 * notes, page footers.
 *
 *   text:h, text:p       a heading (also a paragraph in the style "Title"), a paragraph; a list item inside text:list
 *   text:s, text:tab, text:line-break      white space
 *   table:table          in a sheet a page of its own with its name as a heading; rows become blocks, cells joined by " | ",
 *                        as the document shows them; a nested table flows into its cell
 *   draw:page            a page; presentation:notes its notes, after what it shows
 *   text:note            its body after the content, its number is left out
 *   office:annotation    a comment: after its sheet; in texts and slides dropped, as Word's are
 *   text:tracked-changes what was deleted, and ruby text, page numbers: dropped
 *
 * Not read: charts, embedded documents, macros. A protected file keeps its content encrypted, which is said. */
#include <string.h>

#include "base/size.h"
#include "extract/cells.h"
#include "extract/paras.h"
#include "extract/xml.h"

struct odf {
    struct xml *x;
    struct builder *b;
    enum doc_format format;

    struct paras paras;
    size_t list_depth, table_depth;
    struct cells row;
    size_t cell_repeat, row_repeat;
    struct buf cell;   /* the text of the cell being read, for its repeats */
    struct buf notes;  /* bodies of notes, each ended with a zero */
    size_t note_depth; /* inside a note's body, or a comment; its element's depth, 0: not */
    uint32_t page;
    size_t title_depth;     /* inside a slide's title; its frame's depth, 0: not */
    size_t furniture_depth; /* inside a header or footer of styles.xml; 0: not */
    const char *furniture;  /* "header" or "footer": which of them is read now */
};

/* ---- paragraphs ----------------------------------------------------------------------------- */

static void emit(struct odf *d, enum block_kind kind, struct span text)
{
    if (d->format != DOC_ODT && d->page == 0) /* before the first sheet or slide */
        d->page = d->b->n_pages = 1;
    builder_begin(d->b, d->furniture_depth ? BLOCK_HEADER : kind);
    d->b->now.page = d->page;
    builder_text(d->b, text);
    builder_end(d->b);
}

static void para_end(struct odf *d)
{
    const struct paragraph *p = paras_end(&d->paras, d->b);
    if (!p)
        return;
    struct span text = buf_span(&p->text);
    if (d->note_depth) {
        buf_append_span(&d->notes, text);
        buf_append_char(&d->notes, '\n');
    } else if (d->table_depth && span_trim(text).len) {
        if (d->cell.len)
            buf_append_char(&d->cell, '\n');
        buf_append_span(&d->cell, text);
    } else if (!d->table_depth) {
        emit(d,
             p->heading || d->title_depth ? BLOCK_HEADING
             : d->list_depth              ? BLOCK_LIST_ITEM
                                          : BLOCK_PARAGRAPH,
             text);
    }
}

/* ---- notes ---------------------------------------------------------------------------------- */

static void note_begin(struct odf *d)
{
    if (!d->note_depth)
        d->note_depth = d->x->depth;
}

static void note_end(struct odf *d)
{
    d->note_depth = 0;
    buf_append_char(&d->notes, '\0');
}

static void notes_flush(struct odf *d)
{
    struct span s = buf_span(&d->notes);
    if (!builder_holds(d->b, &d->notes))
        return;
    for (size_t at = 0; at < s.len;) {
        size_t end = span_find(s, (struct span){ "", 1 }, at);
        end = MIN(end, s.len);
        emit(d, BLOCK_PARAGRAPH, span_sub(s, at, end));
        at = end + 1;
    }
    buf_clear(&d->notes);
}

/* ---- tables --------------------------------------------------------------------------------- */

static void cell_end(struct odf *d)
{
    struct span text = buf_span(&d->cell);
    size_t n = text.len ? MIN(d->cell_repeat, (size_t)ODF_REPEAT_MAX) : 0;
    if (!builder_holds(d->b, &d->cell))
        return;
    for (size_t i = 0; i < n; i++) {
        cells_begin(&d->row);
        cells_text(&d->row, text);
    }
    cells_skip(&d->row, d->cell_repeat - n);
    buf_clear(&d->cell);
}

/* A row that repeats stands there as often, up to a bound: the last cells of a column may be filled down. */
static void row_end(struct odf *d)
{
    if (!builder_holds(d->b, &d->row.row))
        return;
    size_t n = d->row.row.len ? MIN(d->row_repeat, (size_t)ODF_REPEAT_MAX) : 0;
    enum block_kind kind =
        d->row.n == 1 && d->format != DOC_ODS ? BLOCK_PARAGRAPH : BLOCK_TABLE_ROW;
    for (size_t i = 0; i < n; i++)
        emit(d, kind, buf_span(&d->row.row));
    cells_clear(&d->row);
}

static void table_begin(struct odf *d, const char **attrs)
{
    if (d->table_depth++ || d->format != DOC_ODS)
        return;
    d->page++;
    d->b->n_pages = d->page;
    emit(d, BLOCK_HEADING, span_of(xml_attr(attrs, "name")));
}

static void table_start(struct odf *d, const char *name, const char **attrs)
{
    if (strcmp(name, "table") == 0) {
        table_begin(d, attrs);
    } else if (d->table_depth != 1) {
        return;
    } else if (strcmp(name, "table-row") == 0) {
        d->row_repeat = xml_attr_number(attrs, "number-rows-repeated", 1 << 20, 1);
    } else if (strcmp(name, "table-cell") == 0 || strcmp(name, "covered-table-cell") == 0) {
        d->cell_repeat = xml_attr_number(attrs, "number-columns-repeated", 1 << 14, 1);
        buf_clear(&d->cell);
    }
}

static void table_end(struct odf *d, const char *name)
{
    if (strcmp(name, "table") == 0) {
        d->table_depth -= d->table_depth > 0;
        if (!d->table_depth && d->format == DOC_ODS)
            notes_flush(d);
    } else if (d->table_depth != 1)
        return;
    else if (strcmp(name, "table-cell") == 0 || strcmp(name, "covered-table-cell") == 0)
        cell_end(d);
    else if (strcmp(name, "table-row") == 0)
        row_end(d);
}

/* ---- elements ------------------------------------------------------------------------------- */

static bool is_dropped(const struct odf *d, enum xml_ns ns, const char *name)
{
    static const char *const dropped[] = { "tracked-changes", "note-citation", "ruby-text",
                                           "page-number",     "page-count",    "sequence-decls" };
    if (ns == NS_ODF_OFFICE)
        return strcmp(name, "annotation") == 0 && d->format != DOC_ODS;
    for (size_t i = 0; ns == NS_ODF_TEXT && i < ARRAY_LEN(dropped); i++)
        if (strcmp(name, dropped[i]) == 0)
            return true;
    return false;
}

static void spaces(struct odf *d, const char **attrs)
{
    for (size_t n = xml_attr_number(attrs, "c", 100, 1); n > 0; n--)
        paras_text(&d->paras, d->b, SPAN(" "));
}

static void text_start(struct odf *d, const char *name, const char **attrs)
{
    if (strcmp(name, "p") == 0)
        paras_begin(&d->paras, d->b, strcmp(xml_attr(attrs, "style-name"), "Title") == 0);
    else if (strcmp(name, "h") == 0)
        paras_begin(&d->paras, d->b, true);
    else if (strcmp(name, "s") == 0)
        spaces(d, attrs);
    else if (strcmp(name, "tab") == 0)
        paras_text(&d->paras, d->b, SPAN("\t"));
    else if (strcmp(name, "line-break") == 0)
        paras_text(&d->paras, d->b, SPAN("\n"));
    else if (strcmp(name, "list") == 0)
        d->list_depth++;
    else if (strcmp(name, "note-body") == 0)
        note_begin(d);
}

static void text_end(struct odf *d, const char *name)
{
    if (strcmp(name, "p") == 0 || strcmp(name, "h") == 0)
        para_end(d);
    else if (strcmp(name, "list") == 0)
        d->list_depth -= d->list_depth > 0;
}

static void on_start(void *ctx, enum xml_ns ns, const char *name, const char **attrs)
{
    struct odf *d = ctx;
    if (is_dropped(d, ns, name)) {
        xml_skip(d->x);
    } else if (ns == NS_ODF_TEXT) {
        text_start(d, name, attrs);
    } else if (ns == NS_ODF_TABLE) {
        table_start(d, name, attrs);
    } else if (ns == NS_ODF_OFFICE && strcmp(name, "annotation") == 0) {
        note_begin(d);
    } else if (ns == NS_ODF_DRAW && strcmp(name, "page") == 0) {
        d->page++;
        d->b->n_pages = d->page;
    } else if (ns == NS_ODF_DRAW && strcmp(name, "frame") == 0 && !d->title_depth &&
               strcmp(xml_attr(attrs, "class"), "title") == 0) {
        d->title_depth = d->x->depth;
    }
}

static void on_end(void *ctx, enum xml_ns ns, const char *name)
{
    struct odf *d = ctx;
    if (d->note_depth == d->x->depth)
        note_end(d);
    else if (d->title_depth == d->x->depth)
        d->title_depth = 0;
    if (ns == NS_ODF_TEXT)
        text_end(d, name);
    else if (ns == NS_ODF_TABLE)
        table_end(d, name);
}

static void on_text(void *ctx, struct span s)
{
    struct odf *d = ctx;
    paras_text(&d->paras, d->b, s);
}

/* ---- headers and footers -------------------------------------------------------------------- */

static void furniture_start(void *ctx, enum xml_ns ns, const char *name, const char **attrs)
{
    struct odf *d = ctx;
    if (!d->furniture_depth && ns == NS_ODF_STYLE && strcmp(name, d->furniture) == 0)
        d->furniture_depth = d->x->depth;
    else if (d->furniture_depth)
        on_start(ctx, ns, name, attrs);
}

static void furniture_end(void *ctx, enum xml_ns ns, const char *name)
{
    struct odf *d = ctx;
    if (d->furniture_depth == d->x->depth)
        d->furniture_depth = 0;
    else if (d->furniture_depth)
        on_end(ctx, ns, name);
}

static void furniture_text(void *ctx, struct span s)
{
    struct odf *d = ctx;
    if (d->furniture_depth)
        on_text(ctx, s);
}

/* ---- the document --------------------------------------------------------------------------- */

struct head {
    char bytes[128];
    size_t len;
};

static bool take_head(void *ctx, struct span piece, bool last)
{
    struct head *h = ctx;
    (void)last;
    size_t n = MIN(piece.len, sizeof(h->bytes) - h->len);
    memcpy(h->bytes + h->len, piece.ptr, n);
    h->len += n;
    return true;
}

static enum doc_format kind_of(struct xml *x)
{
    static const struct {
        const char *type;
        enum doc_format format;
    } kinds[] = {
        { "application/vnd.oasis.opendocument.text", DOC_ODT },
        { "application/vnd.oasis.opendocument.spreadsheet", DOC_ODS },
        { "application/vnd.oasis.opendocument.presentation", DOC_ODP },
    };
    struct head h = { .len = 0 };
    struct refusal why;
    if (!package_read(x->pkg, "mimetype", take_head, &h, &why)) {
        builder_refuse(x->b, why.reason, why.a, why.b);
        return DOC_UNKNOWN;
    }
    struct span type = span_trim((struct span){ h.bytes, h.len });
    if (span_ends(type, SPAN("-template")))
        type.len -= strlen("-template");
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        if (span_eq_str(type, kinds[i].type))
            return kinds[i].format;
    builder_refuse(x->b, REASON_OOXML_OTHER,
                   span_find(type, SPAN("opendocument"), 0) != SIZE_MAX ? OTHER_OPENDOCUMENT
                   : span_starts(type, SPAN("application/epub"))        ? OTHER_EPUB
                                                                        : OTHER_ZIP,
                   0);
    return DOC_UNKNOWN;
}

static void manifest_start(void *ctx, enum xml_ns ns, const char *name, const char **attrs)
{
    struct odf *d = ctx;
    (void)ns, (void)attrs;
    if (strcmp(name, "encryption-data") == 0)
        builder_refuse(d->b, REASON_ZIP_ENCRYPTED, 0, 0);
}

static void part_read(struct odf *d, const char *part, const struct xml_handlers *h)
{
    d->paras.n = d->list_depth = d->table_depth = 0;
    d->note_depth = d->furniture_depth = d->title_depth = 0;
    d->cell_repeat = d->row_repeat = 1;
    cells_clear(&d->row);
    xml_read(d->x, part, h, d);
}

static void furniture_read(struct odf *d, const char *which)
{
    static const struct xml_handlers handlers = { furniture_start, furniture_end, furniture_text };
    if (d->format != DOC_ODT)
        return;
    d->furniture = which;
    part_read(d, "styles.xml", &handlers);
}

static void document_parse(struct odf *d)
{
    static const struct xml_handlers manifest = { .start = manifest_start };
    static const struct xml_handlers content = { on_start, on_end, on_text };
    part_read(d, "META-INF/manifest.xml", &manifest);
    furniture_read(d, "header");
    part_read(d, "content.xml", &content);
    notes_flush(d);
    furniture_read(d, "footer");
}

enum doc_format odf_parse(struct xml *x)
{
    struct odf d = { .x = x, .b = x->b, .format = kind_of(x) };
    if (builder_ok(x->b))
        document_parse(&d);
    paras_deinit(&d.paras);
    cells_deinit(&d.row);
    buf_deinit(&d.cell);
    buf_deinit(&d.notes);
    return d.format;
}
