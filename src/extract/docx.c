/* Word documents (.docx): WordprocessingML.
 *
 * The main part's relationships lead to styles, headers, footers and notes. Read, in this order:
 * page headers, the body, footnotes and endnotes, page footers.
 *
 *   w:p   a block; a heading when its style (or a style that one is based on) has an outline level
 * or is named "heading N" or "Title"; a list item when it has a numbering w:tr  a block, its cells
 * joined by " | "; nested tables flow into their cell; a row of one cell is a paragraph w:t   text;
 * w:tab and w:br white space; insertions kept, deletions and moved-away text dropped mc:Fallback is
 * dropped: it repeats what mc:Choice says
 *
 * Not read: numbers that Word computes ("1.", "(a)", page numbers), comments, field codes, charts,
 * embedded files. */
#include "extract/extract_priv.h"

#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "extract/cells.h"
#include "extract/paras.h"
#include "extract/xml.h"

struct style {
    char *id, *based_on;
    bool heading, list;
};

struct docx {
    struct builder *b;
    struct xml *x;
    struct style *styles;
    size_t n_styles, cap_styles;

    bool in_text;   /* inside w:t */
    bool furniture; /* a page header or footer: BLOCK_HEADER, repeated ones once */
    bool root_is_document, seen_root;
    struct paras paras;
    size_t table_depth;
    struct cells row;
    struct style *style; /* being defined, in styles.xml */
};

/* ---- styles --------------------------------------------------------------------------------- */

static struct style *style_find(struct docx *d, const char *id)
{
    for (size_t i = 0; i < d->n_styles; i++)
        if (strcmp(d->styles[i].id, id) == 0)
            return &d->styles[i];
    return NULL;
}

static void style_add(struct docx *d, const char *id)
{
    d->style = NULL;
    if (d->n_styles >= DOCX_STYLES_MAX)
        return;
    if (d->n_styles == d->cap_styles) {
        size_t cap = d->cap_styles ? 2 * d->cap_styles : 64;
        struct style *p = realloc(d->styles, cap * sizeof(*p)); /* cap <= 2 * DOCX_STYLES_MAX */
        if (!p) {
            builder_refuse(d->b, REASON_NOMEM, 0, 0);
            return;
        }
        d->styles = p;
        d->cap_styles = cap;
    }
    struct style *s = &d->styles[d->n_styles];
    *s = (struct style){ .id = strdup(id) };
    if (!s->id) {
        builder_refuse(d->b, REASON_NOMEM, 0, 0);
        return;
    }
    d->n_styles++;
    d->style = s;
}

static bool is_outline(const char *value) /* 0 to 8; 9 is body text */
{
    return value[0] >= '0' && value[0] <= '8' && value[1] == '\0';
}

static void styles_start(void *ctx, enum xml_ns ns, const char *name, const char **attrs)
{
    struct docx *d = ctx;
    if (ns != NS_W)
        return;
    const char *val = xml_attr(attrs, "val");
    if (strcmp(name, "style") == 0) {
        if (strcmp(xml_attr(attrs, "type"), "paragraph") == 0)
            style_add(d, xml_attr(attrs, "styleId"));
        else
            d->style = NULL;
    } else if (!d->style) {
        return;
    } else if (strcmp(name, "name") == 0) {
        d->style->heading |= strncmp(val, "heading ", 8) == 0 || strcmp(val, "Title") == 0;
    } else if (strcmp(name, "basedOn") == 0 && !d->style->based_on) {
        d->style->based_on = strdup(val);
    } else if (strcmp(name, "outlineLvl") == 0) {
        d->style->heading |= is_outline(val);
    } else if (strcmp(name, "numId") == 0) {
        d->style->list |= strcmp(val, "0") != 0;
    }
}

static void style_apply(struct docx *d, struct paragraph *p, const char *id)
{
    enum { CHAIN_MAX = 10 };
    const struct style *s = style_find(d, id);
    for (int i = 0; s && i < CHAIN_MAX; i++) {
        p->heading |= s->heading;
        p->list |= s->list;
        s = s->based_on ? style_find(d, s->based_on) : NULL;
    }
}

/* ---- paragraphs and rows -------------------------------------------------------------------- */

static void emit(struct docx *d, enum block_kind kind, struct span text)
{
    builder_begin(d->b, d->furniture ? BLOCK_HEADER : kind);
    builder_text(d->b, text);
    if (!builder_end(d->b) || !d->furniture)
        return;
    const struct builder *b = d->b; /* each section has its own header part, mostly the same */
    const struct block *last = &b->blocks[b->n_blocks - 1];
    struct span all = buf_span(&b->text);
    struct span mine = span_sub(all, last->start, last->end);
    for (size_t i = 0; i + 1 < b->n_blocks && i < (size_t)DOCX_FURNITURE_MAX; i++)
        if (b->blocks[i].kind == BLOCK_HEADER &&
            span_eq(mine, span_sub(all, b->blocks[i].start, b->blocks[i].end))) {
            builder_undo(d->b);
            return;
        }
}

static bool has_text(struct span s)
{
    return span_trim(s).len > 0;
}

static void para_end(struct docx *d)
{
    const struct paragraph *p = paras_end(&d->paras, d->b);
    if (!p)
        return;
    struct span text = buf_span(&p->text);
    if (d->table_depth && has_text(text)) {
        cells_line(&d->row);
        cells_text(&d->row, text);
        builder_holds(d->b, &d->row.row);
    } else if (!d->table_depth) {
        emit(d, p->heading ? BLOCK_HEADING : p->list ? BLOCK_LIST_ITEM : BLOCK_PARAGRAPH, text);
    }
}

static void row_end(struct docx *d)
{
    if (d->table_depth != 1 || !builder_holds(d->b, &d->row.row))
        return;
    emit(d, d->row.n == 1 ? BLOCK_PARAGRAPH : BLOCK_TABLE_ROW, buf_span(&d->row.row));
    cells_clear(&d->row);
}

/* w:sym: a character by its code in a symbol font; normalise() knows the usual bullets. */
static void symbol(struct docx *d, const char *hex)
{
    unsigned long cp = strtoul(hex, NULL, 16);
    if (cp >= 0xF000 && cp <= 0xF0FF) {
        char utf8[3] = { (char)0xEF, (char)(0x80 | (cp >> 6 & 0x3F)), (char)(0x80 | (cp & 0x3F)) };
        paras_text(&d->paras, d->b, (struct span){ utf8, sizeof(utf8) });
    }
}

/* ---- the body ------------------------------------------------------------------------------- */

static bool is_dropped(const char *name, enum xml_ns ns)
{
    if (ns == NS_MC)
        return strcmp(name, "Fallback") == 0;
    return ns == NS_W && (strcmp(name, "del") == 0 || strcmp(name, "moveFrom") == 0);
}

static void body_property(struct docx *d, const char *name, const char **attrs)
{
    struct paragraph *p = paras_now(&d->paras);
    const char *val = xml_attr(attrs, "val");
    if (!p)
        return;
    if (strcmp(name, "pStyle") == 0)
        style_apply(d, p, val);
    else if (strcmp(name, "outlineLvl") == 0)
        p->heading = is_outline(val);
    else if (strcmp(name, "numId") == 0)
        p->list = strcmp(val, "0") != 0;
}

static void body_start(void *ctx, enum xml_ns ns, const char *name, const char **attrs)
{
    struct docx *d = ctx;
    if (!d->seen_root) {
        d->seen_root = true;
        d->root_is_document = ns == NS_W && strcmp(name, "document") == 0;
    }
    if (is_dropped(name, ns)) {
        xml_skip(d->x);
    } else if (strcmp(name, "t") == 0 && (ns == NS_W || ns == NS_M)) {
        d->in_text = true;
    } else if (ns != NS_W) {
        return;
    } else if (strcmp(name, "p") == 0) {
        paras_begin(&d->paras, d->b, false);
    } else if (strcmp(name, "tab") == 0 || strcmp(name, "ptab") == 0) {
        if (!xml_attr(attrs, "pos")[0]) /* a tab stop's definition has a position */
            paras_text(&d->paras, d->b, SPAN("\t"));
    } else if (strcmp(name, "br") == 0 || strcmp(name, "cr") == 0) {
        paras_text(&d->paras, d->b, SPAN("\n"));
    } else if (strcmp(name, "noBreakHyphen") == 0) {
        paras_text(&d->paras, d->b, SPAN("-"));
    } else if (strcmp(name, "sym") == 0) {
        symbol(d, xml_attr(attrs, "char"));
    } else if (strcmp(name, "tbl") == 0) {
        d->table_depth++;
    } else if (strcmp(name, "tc") == 0) {
        if (d->table_depth == 1)
            cells_begin(&d->row);
    } else {
        body_property(d, name, attrs);
    }
}

static void body_end(void *ctx, enum xml_ns ns, const char *name)
{
    struct docx *d = ctx;
    if (strcmp(name, "t") == 0)
        d->in_text = false;
    else if (ns != NS_W)
        return;
    else if (strcmp(name, "p") == 0)
        para_end(d);
    else if (strcmp(name, "tr") == 0)
        row_end(d);
    else if (strcmp(name, "tbl") == 0)
        d->table_depth -= d->table_depth > 0;
}

static void body_text(void *ctx, struct span s)
{
    struct docx *d = ctx;
    if (d->in_text)
        paras_text(&d->paras, d->b, s);
}

/* ---- the document --------------------------------------------------------------------------- */

static const struct xml_handlers styles_handlers = { .start = styles_start };
static const struct xml_handlers body_handlers = { body_start, body_end, body_text };

static bool body_parse(struct docx *d, const char *part)
{
    d->paras.n = d->table_depth = 0;
    d->in_text = d->seen_root = false;
    return xml_read(d->x, part, &body_handlers, d);
}

static void parts_parse(struct docx *d, const struct rels *r, const char *type, bool furniture)
{
    d->furniture = furniture;
    for (size_t n = 0; builder_ok(d->b); n++) {
        char *part = rels_part(d->x, r, type, n);
        if (!part)
            break;
        body_parse(d, part);
        free(part);
    }
    d->furniture = false;
}

static void docx_deinit(struct docx *d)
{
    for (size_t i = 0; i < d->n_styles; i++) {
        free(d->styles[i].id);
        free(d->styles[i].based_on);
    }
    free(d->styles);
    paras_deinit(&d->paras);
    cells_deinit(&d->row);
}

const char *const docx_rels[] = { "styles", "header", "footer", "footnotes", "endnotes", NULL };

void docx_parse(struct xml *x, const char *main, const struct rels *r)
{
    struct docx d = { .b = x->b, .x = x };
    char *styles = rels_part(x, r, "styles", 0);
    if (styles)
        xml_read(x, styles, &styles_handlers, &d);
    free(styles);
    parts_parse(&d, r, "header", true);
    if (body_parse(&d, main) && !d.root_is_document)
        builder_refuse(d.b, REASON_OOXML_OTHER, OTHER_ZIP, 0);
    parts_parse(&d, r, "footnotes", false);
    parts_parse(&d, r, "endnotes", false);
    parts_parse(&d, r, "footer", true);
    docx_deinit(&d);
}
