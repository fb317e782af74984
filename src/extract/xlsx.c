/* Spreadsheets (.xlsx): SpreadsheetML.
 *
 * The workbook lists its sheets in order; each is a page. A sheet gives its name as a heading, then its rows, cells joined
 * by " | ", as they are shown: texts from the table of shared strings, numbers and dates by the cell's format. Then what
 * stands in its drawings' text boxes, and its comments. Hidden sheets, rows and columns are read: their text is there to
 * be found.
 *
 * Not read: formulas (their last results are), charts, pivot tables' own copies of the data, headers and footers for
 * printing, macros. */
#include "extract/xlsx.h"

#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "extract/cells.h"
#include "extract/drawing.h"
#include "extract/xml.h"

struct sheet {
    char *name, *id; /* id: of its relationship */
};

struct number_format {
    unsigned id;
    struct cell_format format;
};

struct xlsx {
    struct xml *x;
    struct builder *b;
    struct sheet *sheets; /* [PARTS_MAX] */
    size_t n_sheets;
    bool from_1904;

    struct buf strings; /* the shared strings, one after the other */
    size_t *ends;       /* [n_strings] where each ends */
    size_t n_strings, cap_strings;

    struct number_format *named; /* [n_named] of styles.xml */
    size_t n_named, cap_named;
    struct cell_format *styles; /* [n_styles] by the number a cell has */
    size_t n_styles, cap_styles;
    bool in_cell_styles;

    uint32_t page; /* the sheet being read, from 1 */
    struct cells row;
    struct buf value; /* of the cell, shared string or comment being read */
    size_t column;    /* the next cell's, from 0 */
    unsigned style;
    char type; /* 'n' number, 's' shared string, 'b' yes or no, 't' text */
    bool in_value;
};

/* Room for one more. */
static bool grow(struct builder *b, void **list, size_t n, size_t *cap, size_t size, size_t most)
{
    if (n < *cap)
        return true;
    if (n >= most)
        return builder_refuse(b, REASON_TOO_MANY_BLOCKS, most, 0);
    size_t more = MIN(*cap ? 2 * *cap : (size_t)64, most);
    void *p = realloc(*list, more * size); /* 'most' times 'size' is far below SIZE_MAX */
    if (!p)
        return builder_refuse(b, REASON_NOMEM, 0, 0);
    *list = p;
    *cap = more;
    return true;
}

/* ---- the workbook --------------------------------------------------------------------------- */

static void workbook_start(void *ctx, enum xml_ns ns, const char *name, const char **attrs)
{
    struct xlsx *d = ctx;
    if (ns != NS_SHEET)
        return;
    if (strcmp(name, "workbookPr") == 0) {
        const char *v = xml_attr(attrs, "date1904");
        d->from_1904 = strcmp(v, "1") == 0 || strcmp(v, "true") == 0;
    } else if (strcmp(name, "sheet") == 0 && d->n_sheets < PARTS_MAX) {
        struct sheet *s = &d->sheets[d->n_sheets++];
        s->name = strdup(xml_attr(attrs, "name"));
        s->id = strdup(xml_attr_rel(attrs));
        if (!s->name || !s->id)
            builder_refuse(d->b, REASON_NOMEM, 0, 0);
    }
}

/* ---- shared strings ------------------------------------------------------------------------- */

static void strings_start(void *ctx, enum xml_ns ns, const char *name, const char **attrs)
{
    struct xlsx *d = ctx;
    (void)attrs;
    if (ns != NS_SHEET)
        return;
    if (strcmp(name, "t") == 0)
        d->in_value = true;
    else if (strcmp(name, "rPh") == 0) /* how a Japanese word is read */
        xml_skip(d->x);
}

static void strings_end(void *ctx, enum xml_ns ns, const char *name)
{
    struct xlsx *d = ctx;
    if (ns != NS_SHEET)
        return;
    if (strcmp(name, "t") == 0)
        d->in_value = false;
    else if (strcmp(name, "si") == 0 && builder_holds(d->b, &d->strings) &&
             grow(d->b, (void **)&d->ends, d->n_strings, &d->cap_strings, sizeof(*d->ends),
                  SHEET_STRINGS_MAX))
        d->ends[d->n_strings++] = d->strings.len;
}

static void strings_text(void *ctx, struct span s)
{
    struct xlsx *d = ctx;
    if (!d->in_value)
        return;
    if (d->strings.len > 4 * (size_t)BLOCK_RAW_MAX - s.len)
        builder_refuse(d->b, REASON_TEXT_TOO_LONG, 4 * (size_t)BLOCK_RAW_MAX, 0);
    else
        buf_append_span(&d->strings, s);
}

static struct span string_at(const struct xlsx *d, struct span index)
{
    size_t i = 0;
    index = span_trim(index);
    for (size_t k = 0; k < index.len; k++) {
        if (index.ptr[k] < '0' || index.ptr[k] > '9' || i > SHEET_STRINGS_MAX)
            return (struct span){ 0 };
        i = i * 10 + (size_t)(index.ptr[k] - '0');
    }
    if (!index.len || i >= d->n_strings)
        return (struct span){ 0 };
    return span_sub(buf_span(&d->strings), i ? d->ends[i - 1] : 0, d->ends[i]);
}

/* ---- formats -------------------------------------------------------------------------------- */

static struct cell_format format_by_id(const struct xlsx *d, unsigned id)
{
    for (size_t i = 0; i < d->n_named; i++)
        if (d->named[i].id == id)
            return d->named[i].format;
    return cell_format_builtin(id);
}

static void styles_start(void *ctx, enum xml_ns ns, const char *name, const char **attrs)
{
    struct xlsx *d = ctx;
    if (ns != NS_SHEET)
        return;
    unsigned id = (unsigned)xml_attr_number(attrs, "numFmtId", UINT16_MAX, 0);
    if (strcmp(name, "cellXfs") == 0) {
        d->in_cell_styles = true;
    } else if (strcmp(name, "numFmt") == 0) {
        if (grow(d->b, (void **)&d->named, d->n_named, &d->cap_named, sizeof(*d->named),
                 SHEET_STYLES_MAX))
            d->named[d->n_named++] =
                (struct number_format){ id,
                                        cell_format_parse(span_of(xml_attr(attrs, "formatCode"))) };
    } else if (d->in_cell_styles && strcmp(name, "xf") == 0) {
        if (grow(d->b, (void **)&d->styles, d->n_styles, &d->cap_styles, sizeof(*d->styles),
                 SHEET_STYLES_MAX))
            d->styles[d->n_styles++] = format_by_id(d, id);
    }
}

static void styles_end(void *ctx, enum xml_ns ns, const char *name)
{
    struct xlsx *d = ctx;
    if (ns == NS_SHEET && strcmp(name, "cellXfs") == 0)
        d->in_cell_styles = false;
}

/* ---- a sheet -------------------------------------------------------------------------------- */

/* "BC12" -> 54; SIZE_MAX when it is no reference. */
static size_t column_of(const char *ref)
{
    size_t n = 0, len = 0;
    for (; ref[len] >= 'A' && ref[len] <= 'Z' && len < 3; len++)
        n = n * 26 + (size_t)(ref[len] - 'A') + 1;
    return len && ref[len] >= '0' && ref[len] <= '9' ? n - 1 : SIZE_MAX;
}

static void cell_start(struct xlsx *d, const char **attrs)
{
    const char *type = xml_attr(attrs, "t");
    size_t column = column_of(xml_attr(attrs, "r"));
    if (column != SIZE_MAX && column > d->column) {
        cells_skip(&d->row, column - d->column);
        d->column = column;
    }
    d->column++;
    d->style = (unsigned)xml_attr_number(attrs, "s", SHEET_STYLES_MAX, 0);
    d->type = strcmp(type, "s") == 0                    ? 's'
              : strcmp(type, "b") == 0                  ? 'b'
              : *type == '\0' || strcmp(type, "n") == 0 ? 'n'
                                                        : 't';
    cells_begin(&d->row);
    buf_clear(&d->value);
}

static void cell_end(struct xlsx *d)
{
    static const struct cell_format general = { .kind = CELL_GENERAL };
    struct buf shown = { 0 };
    struct span v = buf_span(&d->value);
    if (d->type == 's')
        v = string_at(d, v);
    else if (d->type == 'b')
        v = span_eq_str(span_trim(v), "1") ? SPAN("TRUE") : v.len ? SPAN("FALSE") : v;
    else if (d->type == 'n') {
        cell_number(&shown, v, d->style < d->n_styles ? &d->styles[d->style] : &general,
                    d->from_1904);
        v = buf_span(&shown);
    }
    if (builder_holds(d->b, &d->value) && builder_holds(d->b, &shown))
        cells_text(&d->row, v);
    buf_deinit(&shown);
}

static void sheet_start(void *ctx, enum xml_ns ns, const char *name, const char **attrs)
{
    struct xlsx *d = ctx;
    if (ns != NS_SHEET)
        return;
    if (strcmp(name, "row") == 0)
        d->column = 0;
    else if (strcmp(name, "c") == 0)
        cell_start(d, attrs);
    else if (strcmp(name, "v") == 0 || strcmp(name, "t") == 0)
        d->in_value = true;
    else if (strcmp(name, "rPh") == 0)
        xml_skip(d->x);
}

static void sheet_end(void *ctx, enum xml_ns ns, const char *name)
{
    struct xlsx *d = ctx;
    if (ns != NS_SHEET)
        return;
    if (strcmp(name, "row") == 0)
        cells_end(&d->row, d->b, d->page);
    else if (strcmp(name, "c") == 0)
        cell_end(d);
    else if (strcmp(name, "v") == 0 || strcmp(name, "t") == 0)
        d->in_value = false;
}

static void value_text(void *ctx, struct span s)
{
    struct xlsx *d = ctx;
    if (d->in_value)
        builder_collect(d->b, &d->value, s);
}

/* ---- comments ------------------------------------------------------------------------------- */

static void comments_end(void *ctx, enum xml_ns ns, const char *name)
{
    struct xlsx *d = ctx;
    sheet_end(ctx, ns, name);
    if (ns != NS_SHEET || strcmp(name, "comment") != 0 || !builder_holds(d->b, &d->value))
        return;
    builder_begin(d->b, BLOCK_PARAGRAPH);
    d->b->now.page = d->page;
    builder_text(d->b, buf_span(&d->value));
    builder_end(d->b);
    buf_clear(&d->value);
}

/* ---- the document --------------------------------------------------------------------------- */

static const struct xml_handlers workbook_handlers = { .start = workbook_start };
static const struct xml_handlers strings_handlers = { strings_start, strings_end, strings_text };
static const struct xml_handlers styles_handlers = { styles_start, styles_end, NULL };
static const struct xml_handlers sheet_handlers = { sheet_start, sheet_end, value_text };
static const struct xml_handlers comments_handlers = { sheet_start, comments_end, value_text };

static void part_read(struct xlsx *d, const char *part, const struct xml_handlers *h)
{
    d->in_value = d->in_cell_styles = false;
    d->column = 0;
    cells_clear(&d->row);
    buf_clear(&d->value);
    xml_read(d->x, part, h, d);
}

static void sheet_parse(struct xlsx *d, const struct sheet *s, const struct rels *main)
{
    static const char *const wanted[] = { "comments", "drawing", NULL };
    char *part = rels_by_id(d->x, main, s->id);
    struct rels r = { .n = 0 };
    if (part && rels_read(d->x, &r, part, wanted)) {
        builder_begin(d->b, BLOCK_HEADING);
        d->b->now.page = d->page;
        builder_text(d->b, span_of(s->name));
        builder_end(d->b);
        part_read(d, part, &sheet_handlers);
        char *drawing = rels_part(d->x, &r, "drawing", 0);
        char *comments = rels_part(d->x, &r, "comments", 0);
        if (drawing)
            drawing_parse(d->x, drawing, d->page);
        if (comments)
            part_read(d, comments, &comments_handlers);
        free(drawing);
        free(comments);
    }
    free(part);
    rels_deinit(&r);
}

static void xlsx_deinit(struct xlsx *d)
{
    for (size_t i = 0; i < d->n_sheets; i++) {
        free(d->sheets[i].name);
        free(d->sheets[i].id);
    }
    free(d->sheets);
    buf_deinit(&d->strings);
    free(d->ends);
    free(d->named);
    free(d->styles);
    cells_deinit(&d->row);
    buf_deinit(&d->value);
}

static void optional_part(struct xlsx *d, const struct rels *r, const char *type,
                          const struct xml_handlers *h)
{
    char *part = rels_part(d->x, r, type, 0);
    if (part)
        part_read(d, part, h);
    free(part);
}

const char *const xlsx_rels[] = { "worksheet", "sharedStrings", "styles", NULL };

void xlsx_parse(struct xml *x, const char *main, const struct rels *r)
{
    struct xlsx d = { .x = x, .b = x->b };
    d.sheets = calloc(PARTS_MAX, sizeof(*d.sheets));
    if (!d.sheets) {
        builder_refuse(x->b, REASON_NOMEM, 0, 0);
        return;
    }
    part_read(&d, main, &workbook_handlers);
    optional_part(&d, r, "styles", &styles_handlers);
    optional_part(&d, r, "sharedStrings", &strings_handlers);
    x->b->n_pages = (uint32_t)d.n_sheets;
    for (size_t i = 0; i < d.n_sheets && builder_ok(x->b); i++) {
        d.page = (uint32_t)i + 1;
        sheet_parse(&d, &d.sheets[i], r);
    }
    xlsx_deinit(&d);
}
