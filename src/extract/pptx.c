/* Presentations (.pptx): PresentationML.
 *
 * The presentation lists its slides in order; each is a page. A slide gives what stands in its shapes (drawing.c), then the
 * text of its diagrams, then its speaker's notes. Hidden slides are read.
 *
 * Not read: masters and layouts (what they say stands on every slide), charts, comments, embedded files, macros. */
#include <stdlib.h>
#include <string.h>

#include "extract/drawing.h"
#include "extract/xml.h"

struct pptx {
    struct xml *x;
    const struct rels *main;
    uint32_t n_slides;
    char *slides[PARTS_MAX]; /* their parts, in order */
};

static void slides_start(void *ctx, enum xml_ns ns, const char *name, const char **attrs)
{
    struct pptx *d = ctx;
    if (ns != NS_SLIDE || strcmp(name, "sldId") != 0 || d->n_slides >= PARTS_MAX)
        return;
    char *part = rels_by_id(d->x, d->main, xml_attr_rel(attrs));
    if (part)
        d->slides[d->n_slides++] = part;
}

static void parts_of(struct xml *x, const struct rels *r, const char *type, uint32_t page)
{
    for (size_t n = 0; builder_ok(x->b); n++) {
        char *part = rels_part(x, r, type, n);
        if (!part)
            return;
        drawing_parse(x, part, page);
        free(part);
    }
}

static void slide_parse(struct xml *x, const char *part, uint32_t page)
{
    static const char *const wanted[] = { "diagramData", "notesSlide", NULL };
    struct rels r;
    if (rels_read(x, &r, part, wanted) && drawing_parse(x, part, page)) {
        parts_of(x, &r, "diagramData", page);
        parts_of(x, &r, "notesSlide", page);
    }
    rels_deinit(&r);
}

const char *const pptx_rels[] = { "slide", NULL };

void pptx_parse(struct xml *x, const char *main, const struct rels *r)
{
    static const struct xml_handlers handlers = { .start = slides_start };
    struct pptx *d = calloc(1, sizeof(*d));
    if (!d) {
        builder_refuse(x->b, REASON_NOMEM, 0, 0);
        return;
    }
    d->x = x;
    d->main = r;
    xml_read(x, main, &handlers, d);
    x->b->n_pages = d->n_slides;
    for (uint32_t i = 0; i < d->n_slides; i++) {
        if (builder_ok(x->b))
            slide_parse(x, d->slides[i], i + 1);
        free(d->slides[i]);
    }
    free(d);
}
