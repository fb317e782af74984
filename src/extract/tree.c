/* XML files in memory; see tree.h. */
#include "extract/tree.h"

#include <errno.h>
#include <expat.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"

/* ---- building ------------------------------------------------------------------------------- */

struct growing {
    struct tree *t;
    struct builder *b;
    XML_Parser parser;
    uint32_t at;  /* the open element; TREE_NONE before the root */
    size_t depth; /* of it, from 1 */
};

static bool stop(struct growing *g, enum reason reason, uint64_t a)
{
    builder_refuse(g->b, reason, a, 0);
    XML_StopParser(g->parser, XML_FALSE);
    return false;
}

static bool room(struct growing *g, void **list, size_t n, size_t *cap, size_t size)
{
    if (n < *cap)
        return true;
    if (n >= TREE_NODES_MAX)
        return stop(g, REASON_TOO_MANY_BLOCKS, TREE_NODES_MAX);
    size_t more = MIN(*cap ? 2 * *cap : (size_t)256, (size_t)TREE_NODES_MAX);
    void *p = realloc(*list, more * size); /* TREE_NODES_MAX times a node is far below SIZE_MAX */
    if (!p)
        return stop(g, REASON_NOMEM, 0);
    *list = p;
    *cap = more;
    return true;
}

/* Names repeat, but seldom make much of a file: each stands there once more. */
static uint32_t name_keep(struct growing *g, const char *full)
{
    const char *bar = strrchr(full, '|');
    struct buf *names = &g->t->names;
    size_t at = names->len;
    const char *name = bar ? bar + 1 : full;
    if (at > TREE_NAMES_MAX || strlen(name) > TREE_NAMES_MAX) {
        stop(g, REASON_TEXT_TOO_LONG, TREE_NAMES_MAX);
        return 0;
    }
    buf_append(names, name, strlen(name) + 1);
    if (names->failed)
        stop(g, REASON_NOMEM, 0);
    return (uint32_t)at;
}

static void attrs_keep(struct growing *g, const XML_Char **attrs)
{
    struct tree *t = g->t;
    for (size_t i = 0; attrs[i] && builder_ok(g->b); i += 2) {
        if (!room(g, (void **)&t->attrs, t->n_attrs, &t->cap_attrs, sizeof(*t->attrs)))
            return;
        struct tree_attr *a = &t->attrs[t->n_attrs++];
        *a = (struct tree_attr){ name_keep(g, attrs[i]), t->text.len };
        builder_collect(g->b, &t->text, (struct span){ attrs[i + 1], strlen(attrs[i + 1]) + 1 });
    }
}

static void on_start(void *ctx, const XML_Char *name, const XML_Char **attrs)
{
    struct growing *g = ctx;
    struct tree *t = g->t;
    if (++g->depth > XML_DEPTH_MAX) {
        stop(g, REASON_TOO_DEEP, XML_DEPTH_MAX);
        return;
    }
    if (!room(g, (void **)&t->nodes, t->n_nodes, &t->cap_nodes, sizeof(*t->nodes)))
        return;
    uint32_t mine = (uint32_t)t->n_nodes++;
    struct tree_node *n = &t->nodes[mine];
    *n = (struct tree_node){
        .parent = g->at,
        .first = TREE_NONE,
        .last = TREE_NONE,
        .next = TREE_NONE,
        .line = (uint32_t)MIN(XML_GetCurrentLineNumber(g->parser), (XML_Size)UINT32_MAX),
        .first_attr = (uint32_t)t->n_attrs,
    };
    if (g->at != TREE_NONE) {
        struct tree_node *p = &t->nodes[g->at];
        if (p->last != TREE_NONE)
            t->nodes[p->last].next = mine;
        else
            p->first = mine;
        p->last = mine;
    }
    n->name = name_keep(g, name);
    attrs_keep(g, attrs);
    n->n_attrs = (uint32_t)t->n_attrs - n->first_attr;
    n->text = t->text.len;
    g->at = mine;
}

static void on_end(void *ctx, const XML_Char *name)
{
    struct growing *g = ctx;
    (void)name;
    if (!builder_ok(g->b))
        return;
    g->at = g->t->nodes[g->at].parent;
    g->depth--;
}

/* Text between elements is layout in the formats read here. */
static void on_text(void *ctx, const XML_Char *s, int len)
{
    struct growing *g = ctx;
    struct tree_node *n = &g->t->nodes[g->at];
    if (!builder_ok(g->b) || n->first != TREE_NONE)
        return;
    if (builder_collect(g->b, &g->t->text, (struct span){ s, (size_t)len }))
        n->text_len += (size_t)len;
    else
        XML_StopParser(g->parser, XML_FALSE);
}

static void on_doctype(void *ctx, const XML_Char *name, const XML_Char *sysid,
                       const XML_Char *pubid, int has_internal)
{
    struct growing *g = ctx;
    (void)name, (void)sysid, (void)pubid, (void)has_internal;
    stop(g, REASON_XML_DOCTYPE, XML_GetCurrentLineNumber(g->parser));
}

bool tree_read(struct tree *t, struct builder *b, struct span file)
{
    enum { STEP = 1 << 20 };
    *t = (struct tree){ 0 };
    struct growing g = { .t = t, .b = b, .at = TREE_NONE };
    g.parser = XML_ParserCreateNS(NULL, '|');
    if (!g.parser)
        return builder_refuse(b, REASON_NOMEM, 0, 0);
    XML_SetUserData(g.parser, &g);
    XML_SetElementHandler(g.parser, on_start, on_end);
    XML_SetCharacterDataHandler(g.parser, on_text);
    XML_SetStartDoctypeDeclHandler(g.parser, on_doctype);
    enum XML_Status ok = XML_STATUS_OK;
    errno = 0;
    for (size_t at = 0; ok == XML_STATUS_OK && at <= file.len; at += STEP) {
        struct span step = span_sub(file, at, at + STEP);
        ok = XML_Parse(g.parser, step.ptr, (int)step.len, at + STEP > file.len);
    }
    if (ok != XML_STATUS_OK) {
        enum XML_Error e = XML_GetErrorCode(g.parser);
        if (e == XML_ERROR_NO_MEMORY || errno == ENOMEM)
            builder_refuse(b, REASON_NOMEM, 0, 0);
        builder_refuse(b, REASON_XML_SYNTAX, XML_GetCurrentLineNumber(g.parser), (uint64_t)e);
    }
    XML_ParserFree(g.parser);
    return builder_ok(b);
}

void tree_deinit(struct tree *t)
{
    buf_deinit(&t->names);
    buf_deinit(&t->text);
    free(t->nodes);
    free(t->attrs);
    *t = (struct tree){ 0 };
}

/* ---- looking -------------------------------------------------------------------------------- */

const char *tree_name(const struct tree *t, uint32_t node)
{
    return t->names.ptr + t->nodes[node].name;
}

struct span tree_text(const struct tree *t, uint32_t node)
{
    const struct tree_node *n = &t->nodes[node];
    if (n->first != TREE_NONE)
        return (struct span){ 0 };
    return span_trim(span_sub(buf_span(&t->text), n->text, n->text + n->text_len));
}

const char *tree_attr(const struct tree *t, uint32_t node, const char *name)
{
    const struct tree_node *n = &t->nodes[node];
    for (size_t i = n->first_attr; i < (size_t)n->first_attr + n->n_attrs; i++)
        if (strcmp(t->names.ptr + t->attrs[i].name, name) == 0)
            return t->text.ptr + t->attrs[i].value;
    return "";
}

static void walk(const struct tree *t, uint32_t from, struct span path, tree_fn fn, void *ctx);

static void take_first(void *ctx, uint32_t node)
{
    uint32_t *first = ctx;
    if (*first == TREE_NONE)
        *first = node;
}

static struct span first_text(const struct tree *t, uint32_t from, struct span path)
{
    uint32_t first = TREE_NONE;
    walk(t, from, path, take_first, &first);
    return first == TREE_NONE ? (struct span){ 0 } : tree_text(t, first);
}

/* "TaxScheme/ID=VAT" */
static bool condition_holds(const struct tree *t, uint32_t node, struct span c)
{
    size_t eq = MIN(span_find(c, SPAN("="), 0), c.len);
    struct span want = span_sub(c, eq + 1, c.len), what = span_sub(c, 0, eq), is;
    bool negated = what.len && what.ptr[what.len - 1] == '!';
    what.len -= negated;
    if (what.len && what.ptr[0] == '@') {
        char name[32] = { 0 };
        memcpy(name, what.ptr + 1, MIN(what.len - 1, sizeof(name) - 1));
        is = span_of(tree_attr(t, node, name));
    } else {
        is = first_text(t, node, what);
    }
    return span_eq(is, want) != negated;
}

static bool name_fits(struct span names, const char *name)
{
    for (size_t at = 0; at <= names.len;) {
        size_t end = MIN(span_find(names, SPAN("|"), at), names.len);
        if (span_eq_str(span_sub(names, at, end), name))
            return true;
        at = end + 1;
    }
    return false;
}

/* One step of a path: its names, its conditions, and what is left. */
struct step {
    struct span names, conditions, rest;
};

static struct step step_of(struct span path)
{
    size_t end = 0, names = SIZE_MAX, inside = 0;
    for (; end < path.len && (inside || path.ptr[end] != '/'); end++) {
        if (path.ptr[end] == '[' && inside++ == 0 && names == SIZE_MAX)
            names = end;
        inside -= path.ptr[end] == ']';
    }
    names = MIN(names, end);
    return (struct step){ span_sub(path, 0, names), span_sub(path, names, end),
                          span_sub(path, end + 1, path.len) };
}

static bool conditions_hold(const struct tree *t, uint32_t node, struct span c)
{
    while (c.len) {
        size_t end = MIN(span_find(c, SPAN("]"), 0), c.len);
        if (!condition_holds(t, node, span_sub(c, 1, end)))
            return false;
        c = span_sub(c, end + 1, c.len);
    }
    return true;
}

/* Nodes are numbered as they come, so that a subtree is a range. */
static uint32_t subtree_end(const struct tree *t, uint32_t node)
{
    for (; node != TREE_NONE; node = t->nodes[node].parent)
        if (t->nodes[node].next != TREE_NONE)
            return t->nodes[node].next;
    return (uint32_t)t->n_nodes;
}

/* The depth is that of our own path. */
static void walk(const struct tree *t, uint32_t from, struct span path, tree_fn fn, void *ctx)
{
    if (!path.len) {
        fn(ctx, from);
        return;
    }
    struct step s = step_of(path);
    if (span_eq_str(s.names, ".")) {
        if (conditions_hold(t, from, s.conditions))
            walk(t, from, s.rest, fn, ctx);
        return;
    }
    if (span_eq_str(s.names, "**")) {
        uint32_t end = subtree_end(t, from);
        for (uint32_t n = from; n < end; n++)
            walk(t, n, s.rest, fn, ctx);
        return;
    }
    for (uint32_t n = t->nodes[from].first; n != TREE_NONE; n = t->nodes[n].next)
        if (name_fits(s.names, tree_name(t, n)) && conditions_hold(t, n, s.conditions))
            walk(t, n, s.rest, fn, ctx);
}

void tree_each(const struct tree *t, uint32_t from, const char *path, tree_fn fn, void *ctx)
{
    walk(t, from, span_of(path), fn, ctx);
}

uint32_t tree_find(const struct tree *t, uint32_t from, const char *path)
{
    uint32_t first = TREE_NONE;
    walk(t, from, span_of(path), take_first, &first);
    return first;
}

struct span tree_value(const struct tree *t, uint32_t from, const char *path)
{
    return first_text(t, from, span_of(path));
}

/* ---- the root, for detection ---------------------------------------------------------------- */

/* What begins with "<NAME": past the declaration and comments. */
static struct span root_tag(struct span s)
{
    if (span_starts(s, SPAN("\xEF\xBB\xBF")))
        s = span_sub(s, 3, s.len);
    for (s = span_trim(s); s.len > 1 && s.ptr[0] == '<'; s = span_trim(s)) {
        struct span close = SPAN("?>");
        if (span_starts(s, SPAN("<!--")))
            close = SPAN("-->");
        else if (s.ptr[1] != '?')
            return s;
        size_t end = span_find(s, close, 2);
        if (end == SIZE_MAX)
            break;
        s = span_sub(s, end + close.len, s.len);
    }
    return (struct span){ 0 };
}

enum doc_format tree_format(struct span head)
{
    static const struct {
        const char *root, *ns;
        enum doc_format format;
    } known[] = {
        { "Invoice", "urn:oasis:names:specification:ubl:schema:xsd:Invoice-2", DOC_INVOICE },
        { "CreditNote", "urn:oasis:names:specification:ubl:schema:xsd:CreditNote-2", DOC_INVOICE },
        { "CrossIndustryInvoice",
          "urn:un:unece:uncefact:data:standard:CrossIndustryInvoice:", DOC_INVOICE },
        { "CrossIndustryDocument", "urn:ferd:CrossIndustryDocument:invoice:", DOC_INVOICE },
        { "nachricht.*", "http://www.xjustiz.de", DOC_XJUSTIZ },
    };
    struct span s = root_tag(head);
    size_t end = 1, name = 1;
    for (; end < s.len && !strchr(" \t\r\n/>", s.ptr[end]); end++)
        if (s.ptr[end] == ':')
            name = end + 1;
    struct span root = span_sub(s, name, end);
    for (size_t i = 0; s.len && i < ARRAY_LEN(known); i++) {
        struct span want = span_of(known[i].root);
        bool fits = span_ends(want, SPAN(".*")) ? span_starts(root, span_sub(want, 0, want.len - 1))
                                                : span_eq(root, want);
        if (fits && span_find(s, span_of(known[i].ns), end) != SIZE_MAX)
            return known[i].format;
    }
    return DOC_UNKNOWN;
}
