/* DrawingML: a:p is a paragraph, a:t its text, a:tbl a table; see drawing.h. */
#include "extract/drawing.h"

#include <string.h>

#include "base/size.h"
#include "extract/cells.h"

struct drawing {
    struct xml *x;
    uint32_t page;
    size_t table_depth;
    struct cells row;
    struct buf para;
    bool title, list, in_text;
};

static bool is_text(enum xml_ns ns, const char *name)
{
    return (ns == NS_DRAWING || ns == NS_M) && strcmp(name, "t") == 0;
}

/* Placeholders of a slide: what the shape is for. */
static void placeholder(struct drawing *d, const char *type)
{
    d->title = strcmp(type, "title") == 0 || strcmp(type, "ctrTitle") == 0;
}

static bool is_dropped(enum xml_ns ns, const char *name, const char **attrs)
{
    if (ns == NS_MC)
        return strcmp(name, "Fallback") == 0; /* repeats what mc:Choice says */
    return ns == NS_DRAWING && strcmp(name, "fld") == 0 &&
           strcmp(xml_attr(attrs, "type"), "slidenum") == 0;
}

static void on_start(void *ctx, enum xml_ns ns, const char *name, const char **attrs)
{
    struct drawing *d = ctx;
    if (is_dropped(ns, name, attrs)) {
        xml_skip(d->x);
    } else if (is_text(ns, name)) {
        d->in_text = true;
    } else if (ns == NS_SLIDE) {
        if (strcmp(name, "sp") == 0)
            d->title = false;
        else if (strcmp(name, "ph") == 0)
            placeholder(d, xml_attr(attrs, "type"));
    } else if (ns != NS_DRAWING) {
        return;
    } else if (strcmp(name, "p") == 0) {
        buf_clear(&d->para);
        d->list = false;
    } else if (strcmp(name, "br") == 0) {
        buf_append_char(&d->para, '\n');
    } else if (strcmp(name, "buChar") == 0 || strcmp(name, "buAutoNum") == 0) {
        d->list = true;
    } else if (strcmp(name, "tbl") == 0) {
        d->table_depth++;
    } else if (strcmp(name, "tc") == 0) {
        cells_begin(&d->row);
    }
}

static void para_end(struct drawing *d)
{
    struct span s = buf_span(&d->para);
    if (!builder_holds(d->x->b, &d->para))
        return;
    if (d->table_depth && span_trim(s).len) {
        cells_line(&d->row);
        cells_text(&d->row, s);
    } else if (!d->table_depth) {
        builder_begin(d->x->b, d->title  ? BLOCK_HEADING
                               : d->list ? BLOCK_LIST_ITEM
                                         : BLOCK_PARAGRAPH);
        d->x->b->now.page = d->page;
        builder_text(d->x->b, s);
        builder_end(d->x->b);
    }
    buf_clear(&d->para);
}

static void on_end(void *ctx, enum xml_ns ns, const char *name)
{
    struct drawing *d = ctx;
    if (is_text(ns, name))
        d->in_text = false;
    else if (ns != NS_DRAWING)
        return;
    else if (strcmp(name, "p") == 0)
        para_end(d);
    else if (strcmp(name, "tr") == 0)
        cells_end(&d->row, d->x->b, d->page);
    else if (strcmp(name, "tbl") == 0)
        d->table_depth -= d->table_depth > 0;
}

static void on_text(void *ctx, struct span s)
{
    struct drawing *d = ctx;
    if (d->in_text)
        builder_collect(d->x->b, &d->para, s);
}

bool drawing_parse(struct xml *x, const char *part, uint32_t page)
{
    static const struct xml_handlers handlers = { on_start, on_end, on_text };
    struct drawing d = { .x = x, .page = page };
    bool ok = xml_read(x, part, &handlers, &d);
    cells_deinit(&d.row);
    buf_deinit(&d.para);
    return ok;
}
