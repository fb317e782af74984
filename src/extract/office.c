/* A ZIP package is opened, and handed to the parser of the kind of document it holds: Word, Excel, PowerPoint (by the
 * main part that the package's relationships name), or OpenDocument (by its mimetype); any other is an archive. The title comes from the
 * properties that all of one family share. */
#include "extract/extract_priv.h"

#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "extract/xml.h"

struct title {
    struct buf text;
    bool in;
};

static void title_start(void *ctx, enum xml_ns ns, const char *name, const char **attrs)
{
    struct title *t = ctx;
    (void)ns, (void)attrs;
    t->in = strcmp(name, "title") == 0;
}

static void title_end(void *ctx, enum xml_ns ns, const char *name)
{
    struct title *t = ctx;
    (void)ns, (void)name;
    t->in = false;
}

static void title_text(void *ctx, struct span s)
{
    struct title *t = ctx;
    if (t->in && t->text.len < 4 * (size_t)TITLE_MAX_BYTES)
        buf_append_span(&t->text, s);
}

static void title_read(struct xml *x, const char *part)
{
    static const struct xml_handlers handlers = { title_start, title_end, title_text };
    struct title t = { 0 };
    if (xml_read(x, part, &handlers, &t) && builder_holds(x->b, &t.text))
        builder_title(x->b, buf_span(&t.text));
    buf_deinit(&t.text);
}

struct kind {
    const char *folder; /* where the main part lies: what tells the three apart */
    enum doc_format format;
    const char *const *wanted;
    void (*parse)(struct xml *x, const char *main, const struct rels *r);
};

static void ooxml_parse(struct xml *x, const char *main)
{
    static const struct kind kinds[] = {
        { "xl/", DOC_XLSX, xlsx_rels, xlsx_parse },
        { "ppt/", DOC_PPTX, pptx_rels, pptx_parse },
        { "", DOC_DOCX, docx_rels, docx_parse },
    };
    const struct kind *k = kinds;
    while (strncmp(main, k->folder, strlen(k->folder)) != 0)
        k++;
    x->b->format = k->format;
    struct rels r;
    if (rels_read(x, &r, main, k->wanted))
        k->parse(x, main, &r);
    rels_deinit(&r);
}

static void package_parse(struct xml *x)
{
    static const char *const wanted[] = { "officeDocument", "core-properties", NULL };
    struct rels r;
    if (!rels_read(x, &r, "", wanted)) {
        rels_deinit(&r);
        return;
    }
    char *main = rels_part(x, &r, "officeDocument", 0);
    char *core = rels_part(x, &r, "core-properties", 0);
    if (core)
        title_read(x, core);
    if (main && package_has(x->pkg, main)) {
        ooxml_parse(x, main);
    } else if (!main && package_has(x->pkg, "content.xml") && package_has(x->pkg, "mimetype")) {
        title_read(x, "meta.xml");
        x->b->format = odf_parse(x);
    } else if (package_has(x->pkg, "META-INF/container.xml")) {
        builder_refuse(x->b, REASON_OOXML_OTHER, OTHER_EPUB, 0);
    } else if (main ||
               package_has(x->pkg, "[Content_Types].xml")) { /* meant to be one, and is not */
        builder_refuse(x->b, REASON_OOXML_OTHER, OTHER_ZIP, 0);
    } else {
        x->b->format = DOC_ZIP;
        archive_parse(x->b, x->pkg);
    }
    free(main);
    free(core);
    rels_deinit(&r);
}

void office_parse(struct builder *b, struct span file)
{
    struct refusal why;
    struct xml x = { .b = b, .pkg = package_open(file, &why) };
    if (x.pkg)
        package_parse(&x);
    else
        builder_refuse(b, why.reason, why.a, why.b);
    package_close(x.pkg);
}
