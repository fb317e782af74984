/* Word documents (.docx): WordprocessingML, streamed through expat.
 *
 * The container's relationships lead from the package to the main part, and from it to styles,
 * headers, footers and notes. Read, in this order: page headers, the body, footnotes and endnotes,
 * page footers.
 *
 *   w:p   a block; a heading when its style (or a style that one is based on) has an outline level
 * or is named "heading N" or "Title"; a list item when it has a numbering w:tr  a block, its cells
 * joined by " | "; nested tables flow into their cell; a row of one cell is a paragraph w:t   text;
 * w:tab and w:br white space; insertions kept, deletions and moved-away text dropped mc:Fallback is
 * dropped: it repeats what mc:Choice says
 *
 * Not read: numbers that Word computes ("1.", "(a)", page numbers), comments, field codes, charts,
 * embedded files. A DOCTYPE anywhere refuses the document: Word writes none, and entity bombs need
 * one. expat does not recurse, and depth is bounded here. */
#include "extract/extract_priv.h"

#include <errno.h>
#include <expat.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"

enum ns { NS_OTHER, NS_W, NS_MC, NS_M };

struct style {
    char *id, *based_on;
    bool heading, list;
};

struct rel {
    char *type, *target;
};

struct paragraph {
    struct buf text;
    bool heading, list;
};

struct docx {
    struct builder *b;
    struct package *pkg;
    struct style *styles;
    size_t n_styles, cap_styles;
    struct rel rels[DOCX_PARTS_MAX];
    size_t n_rels;

    XML_Parser xml; /* of the part being read */
    size_t depth;
    size_t skip_from; /* depth of the dropped element we are inside of; 0: none */
    bool in_text;     /* inside w:t */
    bool furniture;   /* a page header or footer: BLOCK_HEADER, repeated ones once */
    bool root_is_document, seen_root;
    struct paragraph paras[DOCX_PARA_DEPTH_MAX]; /* text boxes stand inside paragraphs */
    size_t n_paras;
    size_t table_depth;
    struct buf row;
    size_t n_cells;
    bool cell_has_text;
    struct style *style; /* being defined, in styles.xml */
    struct buf title;
    bool in_title;
};

/* ---- names and attributes ------------------------------------------------------------------- */

/* expat gives "namespace|name". Word writes one of two namespaces, by the standard's "transitional"
 * or "strict" form. */
static const char *local_name(const XML_Char *full, enum ns *ns)
{
    static const struct {
        const char *uri;
        enum ns ns;
    } known[] = {
        { "http://schemas.openxmlformats.org/wordprocessingml/2006/main|", NS_W },
        { "http://purl.oclc.org/ooxml/wordprocessingml/main|", NS_W },
        { "http://schemas.openxmlformats.org/markup-compatibility/2006|", NS_MC },
        { "http://schemas.openxmlformats.org/officeDocument/2006/math|", NS_M },
        { "http://purl.oclc.org/ooxml/officeDocument/math|", NS_M },
    };
    *ns = NS_OTHER;
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (strncmp(full, known[i].uri, strlen(known[i].uri)) == 0)
            *ns = known[i].ns;
    const char *bar = strrchr(full, '|');
    return bar ? bar + 1 : full;
}

/* By local name: the attributes we read have the same meaning in any namespace they come in. */
static const char *attr(const XML_Char **attrs, const char *name)
{
    for (size_t i = 0; attrs[i]; i += 2) {
        const char *bar = strrchr(attrs[i], '|');
        if (strcmp(bar ? bar + 1 : attrs[i], name) == 0)
            return attrs[i + 1];
    }
    return "";
}

/* ---- one part through expat ----------------------------------------------------------------- */

static void stop_if_refused(struct docx *d)
{
    if (!builder_ok(d->b))
        XML_StopParser(d->xml, XML_FALSE);
}

static void on_doctype(void *ctx, const XML_Char *name, const XML_Char *sysid,
                       const XML_Char *pubid, int has_internal)
{
    struct docx *d = ctx;
    (void)name, (void)sysid, (void)pubid, (void)has_internal;
    builder_refuse(d->b, REASON_XML_DOCTYPE, XML_GetCurrentLineNumber(d->xml), 0);
    stop_if_refused(d);
}

static bool on_piece(void *ctx, struct span piece, bool last)
{
    struct docx *d = ctx;
    errno = 0;
    if (XML_Parse(d->xml, piece.ptr, (int)piece.len, last) == XML_STATUS_OK)
        return true;
    enum XML_Error e = XML_GetErrorCode(d->xml);
    if (e == XML_ERROR_NO_MEMORY || errno == ENOMEM) /* expat does not always say so */
        return builder_refuse(d->b, REASON_NOMEM, 0, 0);
    return builder_refuse(d->b, REASON_XML_SYNTAX, XML_GetCurrentLineNumber(d->xml), (uint64_t)e);
}

/* False: refused. A part that is not there is none; the main part's absence was noticed before. */
static bool part_parse(struct docx *d, const char *name, XML_StartElementHandler start,
                       XML_EndElementHandler end, XML_CharacterDataHandler text)
{
    if (!builder_ok(d->b) || !package_has(d->pkg, name))
        return builder_ok(d->b);
    d->xml = XML_ParserCreateNS(NULL, '|');
    if (!d->xml)
        return builder_refuse(d->b, REASON_NOMEM, 0, 0);
    d->depth = d->skip_from = 0;
    d->in_text = d->seen_root = false;
    XML_SetUserData(d->xml, d);
    XML_SetElementHandler(d->xml, start, end);
    XML_SetCharacterDataHandler(d->xml, text);
    XML_SetStartDoctypeDeclHandler(d->xml, on_doctype);
    struct refusal why;
    if (!package_read(d->pkg, name, on_piece, d, &why) && why.reason != REASON_NONE)
        builder_refuse(d->b, why.reason, why.a, why.b);
    XML_ParserFree(d->xml);
    d->xml = NULL;
    return builder_ok(d->b);
}

static bool depth_enter(struct docx *d)
{
    if (++d->depth > XML_DEPTH_MAX)
        builder_refuse(d->b, REASON_TOO_DEEP, XML_DEPTH_MAX, 0);
    stop_if_refused(d);
    return builder_ok(d->b);
}

static bool buf_ok(struct docx *d, const struct buf *b)
{
    if (b->failed)
        builder_refuse(d->b, REASON_NOMEM, 0, 0);
    return builder_ok(d->b);
}

/* ---- relationships -------------------------------------------------------------------------- */

static void rels_clear(struct docx *d)
{
    for (size_t i = 0; i < d->n_rels; i++) {
        free(d->rels[i].type);
        free(d->rels[i].target);
    }
    d->n_rels = 0;
}

static bool is_wanted_rel(const char *type)
{
    static const char *const wanted[] = { "officeDocument", "core-properties", "styles",  "header",
                                          "footer",         "footnotes",       "endnotes" };
    const char *slash = strrchr(type, '/');
    for (size_t i = 0; slash && i < ARRAY_LEN(wanted); i++)
        if (strcmp(slash + 1, wanted[i]) == 0)
            return true;
    return false;
}

static void rels_start(void *ctx, const XML_Char *full, const XML_Char **attrs)
{
    struct docx *d = ctx;
    enum ns ns;
    if (!depth_enter(d) || strcmp(local_name(full, &ns), "Relationship") != 0)
        return;
    if (d->n_rels >= DOCX_PARTS_MAX || !is_wanted_rel(attr(attrs, "Type")) ||
        strcmp(attr(attrs, "TargetMode"), "External") == 0)
        return;
    struct rel *r = &d->rels[d->n_rels];
    r->type = strdup(strrchr(attr(attrs, "Type"), '/') + 1);
    r->target = strdup(attr(attrs, "Target"));
    if (!r->type || !r->target) {
        free(r->type);
        free(r->target);
        builder_refuse(d->b, REASON_NOMEM, 0, 0);
        return;
    }
    d->n_rels++;
}

static void leave(void *ctx, const XML_Char *full)
{
    struct docx *d = ctx;
    (void)full;
    d->depth--;
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

/* The n-th part of a type, resolved; heap, NULL when there is none. */
static char *rel_part(struct docx *d, const char *from, const char *type, size_t n)
{
    for (size_t i = 0; i < d->n_rels; i++)
        if (strcmp(d->rels[i].type, type) == 0 && n-- == 0) {
            char *part = part_resolve(from, d->rels[i].target);
            if (!part)
                builder_refuse(d->b, REASON_NOMEM, 0, 0);
            return part;
        }
    return NULL;
}

/* "word/document.xml" -> "word/_rels/document.xml.rels" */
static bool rels_read(struct docx *d, const char *part)
{
    rels_clear(d);
    struct buf name = { 0 };
    const char *slash = strrchr(part, '/');
    size_t folder = slash ? (size_t)(slash - part) + 1 : 0;
    buf_append(&name, part, folder);
    buf_append_str(&name, "_rels/");
    buf_append_str(&name, part + folder);
    buf_append_str(&name, ".rels");
    bool ok = buf_ok(d, &name) && part_parse(d, name.ptr, rels_start, leave, NULL);
    buf_deinit(&name);
    return ok;
}

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

static void styles_start(void *ctx, const XML_Char *full, const XML_Char **attrs)
{
    struct docx *d = ctx;
    enum ns ns;
    const char *name = local_name(full, &ns);
    if (!depth_enter(d) || ns != NS_W)
        return;
    const char *val = attr(attrs, "val");
    if (strcmp(name, "style") == 0) {
        if (strcmp(attr(attrs, "type"), "paragraph") == 0)
            style_add(d, attr(attrs, "styleId"));
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

static struct paragraph *para_now(struct docx *d)
{
    return d->n_paras ? &d->paras[d->n_paras - 1] : NULL;
}

static void para_begin(struct docx *d)
{
    if (d->n_paras == DOCX_PARA_DEPTH_MAX) {
        builder_refuse(d->b, REASON_TOO_DEEP, DOCX_PARA_DEPTH_MAX, 0);
        return;
    }
    struct paragraph *p = &d->paras[d->n_paras++];
    buf_clear(&p->text);
    p->heading = p->list = false;
}

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
    for (size_t i = 0; i + 1 < b->n_blocks && i < 10 * (size_t)DOCX_PARTS_MAX; i++)
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
    struct paragraph *p = para_now(d);
    if (!p || !buf_ok(d, &p->text))
        return;
    struct span text = buf_span(&p->text);
    d->n_paras--;
    if (d->table_depth && has_text(text)) {
        if (d->cell_has_text)
            buf_append_char(&d->row, '\n');
        buf_append_span(&d->row, text);
        d->cell_has_text = true;
        buf_ok(d, &d->row);
    } else if (!d->table_depth) {
        emit(d, p->heading ? BLOCK_HEADING : p->list ? BLOCK_LIST_ITEM : BLOCK_PARAGRAPH, text);
    }
}

static void cell_begin(struct docx *d)
{
    if (d->table_depth != 1)
        return;
    if (d->n_cells++)
        buf_append_str(&d->row, " | ");
    d->cell_has_text = false;
}

static void row_end(struct docx *d)
{
    if (d->table_depth != 1 || !buf_ok(d, &d->row))
        return;
    struct span s = buf_span(&d->row);
    bool any = false;
    for (size_t i = 0; !any && i < s.len; i++)
        any = !strchr(" |\t\n", s.ptr[i]) || s.ptr[i] == '\0';
    if (any)
        emit(d, d->n_cells == 1 ? BLOCK_PARAGRAPH : BLOCK_TABLE_ROW, s);
    buf_clear(&d->row);
    d->n_cells = 0;
    d->cell_has_text = false;
}

static void para_append(struct docx *d, const char *s, size_t len)
{
    struct paragraph *p = para_now(d);
    if (!p)
        return;
    if (p->text.len + len > BLOCK_RAW_MAX)
        builder_refuse(d->b, REASON_TEXT_TOO_LONG, BLOCK_RAW_MAX, 0);
    else
        buf_append(&p->text, s, len);
}

/* w:sym: a character by its code in a symbol font; normalise() knows the usual bullets. */
static void symbol(struct docx *d, const char *hex)
{
    unsigned long cp = strtoul(hex, NULL, 16);
    if (cp >= 0xF000 && cp <= 0xF0FF) {
        char utf8[3] = { (char)0xEF, (char)(0x80 | (cp >> 6 & 0x3F)), (char)(0x80 | (cp & 0x3F)) };
        para_append(d, utf8, sizeof(utf8));
    }
}

/* ---- the body ------------------------------------------------------------------------------- */

static bool is_dropped(const char *name, enum ns ns)
{
    if (ns == NS_MC)
        return strcmp(name, "Fallback") == 0;
    return ns == NS_W && (strcmp(name, "del") == 0 || strcmp(name, "moveFrom") == 0);
}

static void body_property(struct docx *d, const char *name, const XML_Char **attrs)
{
    struct paragraph *p = para_now(d);
    const char *val = attr(attrs, "val");
    if (!p)
        return;
    if (strcmp(name, "pStyle") == 0)
        style_apply(d, p, val);
    else if (strcmp(name, "outlineLvl") == 0)
        p->heading = is_outline(val);
    else if (strcmp(name, "numId") == 0)
        p->list = strcmp(val, "0") != 0;
}

static void body_start(void *ctx, const XML_Char *full, const XML_Char **attrs)
{
    struct docx *d = ctx;
    enum ns ns;
    const char *name = local_name(full, &ns);
    if (!depth_enter(d) || d->skip_from)
        return;
    if (!d->seen_root) {
        d->seen_root = true;
        d->root_is_document = ns == NS_W && strcmp(name, "document") == 0;
    }
    if (is_dropped(name, ns)) {
        d->skip_from = d->depth;
    } else if (strcmp(name, "t") == 0 && (ns == NS_W || ns == NS_M)) {
        d->in_text = true;
    } else if (ns != NS_W) {
        return;
    } else if (strcmp(name, "p") == 0) {
        para_begin(d);
    } else if (strcmp(name, "tab") == 0 || strcmp(name, "ptab") == 0) {
        if (!attr(attrs, "pos")[0]) /* a tab stop's definition has a position */
            para_append(d, "\t", 1);
    } else if (strcmp(name, "br") == 0 || strcmp(name, "cr") == 0) {
        para_append(d, "\n", 1);
    } else if (strcmp(name, "noBreakHyphen") == 0) {
        para_append(d, "-", 1);
    } else if (strcmp(name, "sym") == 0) {
        symbol(d, attr(attrs, "char"));
    } else if (strcmp(name, "tbl") == 0) {
        d->table_depth++;
    } else if (strcmp(name, "tc") == 0) {
        cell_begin(d);
    } else {
        body_property(d, name, attrs);
    }
    stop_if_refused(d);
}

static void body_end(void *ctx, const XML_Char *full)
{
    struct docx *d = ctx;
    enum ns ns;
    const char *name = local_name(full, &ns);
    size_t depth = d->depth--;
    if (d->skip_from) {
        if (depth == d->skip_from)
            d->skip_from = 0;
        return;
    }
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
    stop_if_refused(d);
}

static void body_text(void *ctx, const XML_Char *s, int len)
{
    struct docx *d = ctx;
    if (d->in_text && !d->skip_from)
        para_append(d, s, (size_t)len);
    stop_if_refused(d);
}

/* ---- title ---------------------------------------------------------------------------------- */

static void title_start(void *ctx, const XML_Char *full, const XML_Char **attrs)
{
    struct docx *d = ctx;
    enum ns ns;
    (void)attrs;
    if (depth_enter(d))
        d->in_title = strcmp(local_name(full, &ns), "title") == 0;
}

static void title_end(void *ctx, const XML_Char *full)
{
    struct docx *d = ctx;
    (void)full;
    d->depth--;
    d->in_title = false;
}

static void title_text(void *ctx, const XML_Char *s, int len)
{
    struct docx *d = ctx;
    if (d->in_title && d->title.len < 4 * (size_t)TITLE_MAX_BYTES)
        buf_append(&d->title, s, (size_t)len);
}

/* ---- the document --------------------------------------------------------------------------- */

static void parts_parse(struct docx *d, const char *main, const char *type, bool furniture)
{
    d->furniture = furniture;
    for (size_t n = 0; builder_ok(d->b); n++) {
        char *part = rel_part(d, main, type, n);
        if (!part)
            break;
        part_parse(d, part, body_start, body_end, body_text);
        d->n_paras = d->table_depth = 0;
        free(part);
    }
    d->furniture = false;
}

static enum other_kind other_of(const struct package *p, const char *main)
{
    if (main && strncmp(main, "xl/", 3) == 0)
        return OTHER_SHEET;
    if (main && strncmp(main, "ppt/", 4) == 0)
        return OTHER_SLIDES;
    if (package_has(p, "META-INF/container.xml"))
        return OTHER_EPUB;
    return package_has(p, "content.xml") ? OTHER_OPENDOCUMENT : OTHER_ZIP;
}

static void main_parse(struct docx *d, const char *main)
{
    if (!rels_read(d, main))
        return;
    char *styles = rel_part(d, main, "styles", 0);
    if (styles)
        part_parse(d, styles, styles_start, leave, NULL);
    free(styles);
    parts_parse(d, main, "header", true);
    if (part_parse(d, main, body_start, body_end, body_text) && !d->root_is_document)
        builder_refuse(d->b, REASON_OOXML_OTHER, OTHER_ZIP, 0);
    parts_parse(d, main, "footnotes", false);
    parts_parse(d, main, "endnotes", false);
    parts_parse(d, main, "footer", true);
}

static void document_parse(struct docx *d)
{
    if (!rels_read(d, ""))
        return;
    char *main = rel_part(d, "", "officeDocument", 0);
    char *core = rel_part(d, "", "core-properties", 0);
    bool word = main && package_has(d->pkg, main) && strncmp(main, "xl/", 3) != 0 &&
                strncmp(main, "ppt/", 4) != 0;
    if (!word)
        builder_refuse(d->b, REASON_OOXML_OTHER, other_of(d->pkg, main), 0);
    if (core && part_parse(d, core, title_start, title_end, title_text) && buf_ok(d, &d->title))
        builder_title(d->b, buf_span(&d->title));
    if (word)
        main_parse(d, main);
    free(main);
    free(core);
}

static void docx_deinit(struct docx *d)
{
    rels_clear(d);
    for (size_t i = 0; i < d->n_styles; i++) {
        free(d->styles[i].id);
        free(d->styles[i].based_on);
    }
    free(d->styles);
    for (size_t i = 0; i < DOCX_PARA_DEPTH_MAX; i++)
        buf_deinit(&d->paras[i].text);
    buf_deinit(&d->row);
    buf_deinit(&d->title);
    package_close(d->pkg);
}

void docx_parse(struct builder *b, struct span file)
{
    struct docx d = { .b = b };
    struct refusal why;
    d.pkg = package_open(file, &why);
    if (d.pkg)
        document_parse(&d);
    else
        builder_refuse(b, why.reason, why.a, why.b);
    docx_deinit(&d);
}
