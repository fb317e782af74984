/* The XML parts of a package, through expat; see xml.h. */
#include "extract/xml.h"

#include <errno.h>
#include <expat.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"

/* ---- names and attributes ------------------------------------------------------------------- */

/* expat gives "namespace|name". Office writes one of two namespaces, by the standard's "transitional" or "strict" form. */
static const char *local_name(const XML_Char *full, enum xml_ns *ns)
{
    static const struct {
        const char *uri;
        enum xml_ns ns;
    } known[] = {
        { "http://schemas.openxmlformats.org/wordprocessingml/2006/main|", NS_W },
        { "http://purl.oclc.org/ooxml/wordprocessingml/main|", NS_W },
        { "http://schemas.openxmlformats.org/markup-compatibility/2006|", NS_MC },
        { "http://schemas.openxmlformats.org/officeDocument/2006/math|", NS_M },
        { "http://purl.oclc.org/ooxml/officeDocument/math|", NS_M },
        { "http://schemas.openxmlformats.org/spreadsheetml/2006/main|", NS_SHEET },
        { "http://purl.oclc.org/ooxml/spreadsheetml/main|", NS_SHEET },
        { "http://schemas.openxmlformats.org/presentationml/2006/main|", NS_SLIDE },
        { "http://purl.oclc.org/ooxml/presentationml/main|", NS_SLIDE },
        { "http://schemas.openxmlformats.org/drawingml/2006/main|", NS_DRAWING },
        { "http://purl.oclc.org/ooxml/drawingml/main|", NS_DRAWING },
        { "urn:oasis:names:tc:opendocument:xmlns:office:1.0|", NS_ODF_OFFICE },
        { "urn:oasis:names:tc:opendocument:xmlns:text:1.0|", NS_ODF_TEXT },
        { "urn:oasis:names:tc:opendocument:xmlns:table:1.0|", NS_ODF_TABLE },
        { "urn:oasis:names:tc:opendocument:xmlns:drawing:1.0|", NS_ODF_DRAW },
        { "urn:oasis:names:tc:opendocument:xmlns:style:1.0|", NS_ODF_STYLE },
    };
    *ns = NS_OTHER;
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (strncmp(full, known[i].uri, strlen(known[i].uri)) == 0) {
            *ns = known[i].ns;
            break;
        }
    const char *bar = strrchr(full, '|');
    return bar ? bar + 1 : full;
}

const char *xml_attr(const char **attrs, const char *name)
{
    for (size_t i = 0; attrs[i]; i += 2) {
        const char *bar = strrchr(attrs[i], '|');
        if (strcmp(bar ? bar + 1 : attrs[i], name) == 0)
            return attrs[i + 1];
    }
    return "";
}

const char *xml_attr_rel(const char **attrs)
{
    static const char end[] = "elationships|id"; /* of both namespaces */
    for (size_t i = 0; attrs[i]; i += 2) {
        size_t len = strlen(attrs[i]);
        if (len >= sizeof(end) - 1 && strcmp(attrs[i] + len - (sizeof(end) - 1), end) == 0)
            return attrs[i + 1];
    }
    return "";
}

size_t xml_attr_number(const char **attrs, const char *name, size_t most, size_t otherwise)
{
    const char *s = xml_attr(attrs, name);
    size_t n = 0;
    if (!*s)
        return otherwise;
    for (; *s; s++) {
        if (*s < '0' || *s > '9')
            return otherwise;
        n = n * 10 + (size_t)(*s - '0');
        if (n > most)
            return most;
    }
    return n;
}

void xml_skip(struct xml *x)
{
    x->skip_from = x->depth;
}

/* ---- one part through expat ----------------------------------------------------------------- */

static void stop_if_refused(struct xml *x)
{
    if (!builder_ok(x->b))
        XML_StopParser(x->parser, XML_FALSE);
}

static void on_start(void *ctx, const XML_Char *full, const XML_Char **attrs)
{
    struct xml *x = ctx;
    enum xml_ns ns;
    const char *name = local_name(full, &ns);
    if (++x->depth > XML_DEPTH_MAX)
        builder_refuse(x->b, REASON_TOO_DEEP, XML_DEPTH_MAX, 0);
    if (builder_ok(x->b) && !x->skip_from && x->handlers->start)
        x->handlers->start(x->ctx, ns, name, attrs);
    stop_if_refused(x);
}

static void on_end(void *ctx, const XML_Char *full)
{
    struct xml *x = ctx;
    enum xml_ns ns;
    const char *name = local_name(full, &ns);
    if (x->skip_from) {
        if (x->skip_from == x->depth)
            x->skip_from = 0;
    } else if (builder_ok(x->b) && x->handlers->end) {
        x->handlers->end(x->ctx, ns, name);
    }
    x->depth--;
    stop_if_refused(x);
}

static void on_text(void *ctx, const XML_Char *s, int len)
{
    struct xml *x = ctx;
    if (builder_ok(x->b) && !x->skip_from && x->handlers->text)
        x->handlers->text(x->ctx, (struct span){ s, (size_t)len });
    stop_if_refused(x);
}

static void on_doctype(void *ctx, const XML_Char *name, const XML_Char *sysid,
                       const XML_Char *pubid, int has_internal)
{
    struct xml *x = ctx;
    (void)name, (void)sysid, (void)pubid, (void)has_internal;
    builder_refuse(x->b, REASON_XML_DOCTYPE, XML_GetCurrentLineNumber(x->parser), 0);
    stop_if_refused(x);
}

static bool on_piece(void *ctx, struct span piece, bool last)
{
    struct xml *x = ctx;
    errno = 0;
    if (XML_Parse(x->parser, piece.ptr, (int)piece.len, last) == XML_STATUS_OK)
        return true;
    enum XML_Error e = XML_GetErrorCode(x->parser);
    if (e == XML_ERROR_NO_MEMORY || errno == ENOMEM) /* expat does not always say so */
        return builder_refuse(x->b, REASON_NOMEM, 0, 0);
    return builder_refuse(x->b, REASON_XML_SYNTAX, XML_GetCurrentLineNumber(x->parser),
                          (uint64_t)e);
}

bool xml_read(struct xml *x, const char *part, const struct xml_handlers *h, void *ctx)
{
    if (!builder_ok(x->b) || !package_has(x->pkg, part))
        return builder_ok(x->b);
    x->parser = XML_ParserCreateNS(NULL, '|');
    if (!x->parser)
        return builder_refuse(x->b, REASON_NOMEM, 0, 0);
    x->depth = x->skip_from = 0;
    x->handlers = h;
    x->ctx = ctx;
    XML_SetUserData(x->parser, x);
    XML_SetElementHandler(x->parser, on_start, on_end);
    XML_SetCharacterDataHandler(x->parser, on_text);
    XML_SetStartDoctypeDeclHandler(x->parser, on_doctype);
    struct refusal why;
    if (!package_read(x->pkg, part, on_piece, x, &why) && why.reason != REASON_NONE)
        builder_refuse(x->b, why.reason, why.a, why.b);
    XML_ParserFree(x->parser);
    x->parser = NULL;
    return builder_ok(x->b);
}

/* ---- relationships -------------------------------------------------------------------------- */

struct rels_reading {
    struct xml *x;
    struct rels *r;
    const char *part;
    const char *const *wanted;
};

static bool is_wanted(const char *type, const char *const *wanted)
{
    const char *slash = strrchr(type, '/');
    for (; slash && *wanted; wanted++)
        if (strcmp(slash + 1, *wanted) == 0)
            return true;
    return false;
}

/* The part that 'target' means, seen from the folder of 'from' ("word/document.xml"); heap. */
static char *part_resolve(const char *from, const char *target)
{
    struct buf out = { 0 };
    const char *slash = strrchr(from, '/');
    size_t folder = slash ? (size_t)(slash - from) + 1 : 0;
    if (target[0] == '/') {
        target++;
        folder = 0;
    }
    while (strncmp(target, "../", 3) == 0) {
        target += 3;
        if (folder)
            folder--;
        while (folder && from[folder - 1] != '/')
            folder--;
    }
    while (strncmp(target, "./", 2) == 0)
        target += 2;
    buf_append(&out, from, folder);
    buf_append_str(&out, target);
    return buf_take(&out);
}

static void rel_free(struct rel *r)
{
    free(r->id);
    free(r->type);
    free(r->target);
}

static void rels_start(void *ctx, enum xml_ns ns, const char *name, const char **attrs)
{
    struct rels_reading *g = ctx;
    (void)ns;
    const char *type = xml_attr(attrs, "Type");
    if (strcmp(name, "Relationship") != 0 || g->r->n >= PARTS_MAX || !is_wanted(type, g->wanted) ||
        strcmp(xml_attr(attrs, "TargetMode"), "External") == 0)
        return;
    struct rel *r = &g->r->list[g->r->n];
    r->id = strdup(xml_attr(attrs, "Id"));
    r->type = strdup(strrchr(type, '/') + 1);
    r->target = part_resolve(g->part, xml_attr(attrs, "Target"));
    if (r->id && r->type && r->target) {
        g->r->n++;
        return;
    }
    rel_free(r);
    builder_refuse(g->x->b, REASON_NOMEM, 0, 0);
}

bool rels_read(struct xml *x, struct rels *r, const char *part, const char *const *wanted)
{
    static const struct xml_handlers handlers = { .start = rels_start };
    struct rels_reading g = { x, r, part, wanted };
    struct buf name = { 0 };
    const char *slash = strrchr(part, '/');
    size_t folder = slash ? (size_t)(slash - part) + 1 : 0;
    r->n = 0;
    buf_append(&name, part, folder);
    buf_append_str(&name, "_rels/");
    buf_append_str(&name, part + folder);
    buf_append_str(&name, ".rels");
    bool ok = builder_holds(x->b, &name) && xml_read(x, name.ptr, &handlers, &g);
    buf_deinit(&name);
    return ok;
}

void rels_deinit(struct rels *r)
{
    for (size_t i = 0; i < r->n; i++)
        rel_free(&r->list[i]);
    r->n = 0;
}

static char *copy(struct xml *x, const char *s)
{
    char *c = strdup(s);
    if (!c)
        builder_refuse(x->b, REASON_NOMEM, 0, 0);
    return c;
}

char *rels_part(struct xml *x, const struct rels *r, const char *type, size_t n)
{
    for (size_t i = 0; i < r->n; i++)
        if (strcmp(r->list[i].type, type) == 0 && n-- == 0)
            return copy(x, r->list[i].target);
    return NULL;
}

char *rels_by_id(struct xml *x, const struct rels *r, const char *id)
{
    for (size_t i = 0; i < r->n; i++)
        if (strcmp(r->list[i].id, id) == 0)
            return copy(x, r->list[i].target);
    return NULL;
}
