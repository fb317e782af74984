/* Fields of a form to blocks; see fields.h. */
#include "extract/fields.h"

#include <string.h>

#include "base/base64.h"
#include "base/size.h"

static void line_put(struct form *f, const char *label, const char *term, uint32_t node,
                     struct span value)
{
    struct buf s = { 0 };
    if (f->any)
        buf_append_char(&s, '\n');
    buf_printf(&s, "%s (%s%sZeile %u): ", label, term, *term ? ", " : "", f->t.nodes[node].line);
    buf_append_span(&s, value);
    if (builder_holds(f->b, &s))
        builder_text(f->b, buf_span(&s));
    f->any = true;
    buf_deinit(&s);
}

/* ---- a file inside -------------------------------------------------------------------------- */

static void file_take(struct form *f, uint32_t node)
{
    struct span text = tree_text(&f->t, node), name = span_of(tree_attr(&f->t, node, "filename"));
    struct buf bytes = { 0 };
    if (!base64_decode(&bytes, text)) /* or memory is short, which the part would find, too */
        line_put(f, "Datei", "BT-125", node, SPAN("[nicht lesbar / unreadable]"));
    else {
        line_put(f, f->field->label, f->field->term, node, name);
        if (bytes.len)
            builder_part(f->b, name, buf_span(&bytes));
    }
    buf_deinit(&bytes);
}

/* ---- fields --------------------------------------------------------------------------------- */

/* BT-111 is the amount of VAT in another currency than the invoice's. */
static const char *term_of(const struct form *f, uint32_t node)
{
    const char *currency = tree_attr(&f->t, node, "currencyID");
    if (strcmp(f->field->term, "BT-110") == 0 && *currency && !span_eq_str(f->currency, currency))
        return "BT-111";
    return f->field->term;
}

static struct span unit_of(const struct form *f, uint32_t node)
{
    bool amount = f->field->kind == FIELD_AMOUNT;
    struct span unit = span_of(tree_attr(&f->t, node, amount ? "currencyID" : "unitCode"));
    return amount && !unit.len ? f->currency : unit;
}

struct joined {
    const struct tree *t;
    struct buf *out;
    const char *before; /* the next piece, if any stands before it */
};

static void join_piece(void *ctx, uint32_t node)
{
    struct joined *j = ctx;
    struct span s = tree_text(j->t, node);
    j->t->nodes[node].used = true;
    if (!s.len)
        return;
    if (j->out->len)
        buf_append_str(j->out, j->before);
    buf_append_span(j->out, s);
}

/* What is said in several elements, in the order people write it. */
static void join(const struct form *f, uint32_t node, struct buf *out)
{
    static const struct {
        const char *path, *before;
    } reference[] = { { "vorsatz", " " },        { "sachgebietsschluessel", " " },
                      { "zusatzkennung", " " },  { "abteilung", " " },
                      { "register/code", " " },  { "register", " " },
                      { "laufendeNummer", " " }, { "jahr", "/" },
                      { "zusatz", " " } },
      name[] = { { "titel", " " },
                 { "vorname", " " },
                 { "namensvorsatz", " " },
                 { "nachname", " " },
                 { "namenszusatz", " " } };
    struct joined j = { .t = &f->t, .out = out };
    bool is_name = f->field->kind == FIELD_NAME;
    size_t n = is_name ? ARRAY_LEN(name) : ARRAY_LEN(reference);
    for (size_t i = 0; i < n; i++) {
        j.before = is_name ? name[i].before : reference[i].before;
        tree_each(&f->t, node, is_name ? name[i].path : reference[i].path, join_piece, &j);
    }
}

static void joined_put(struct form *f, uint32_t node)
{
    struct buf s = { 0 };
    join(f, node, &s);
    if (builder_holds(f->b, &s) && s.len)
        line_put(f, f->field->label, f->field->term, node, buf_span(&s));
    buf_deinit(&s);
}

static void field_put(void *ctx, uint32_t node)
{
    struct form *f = ctx;
    struct tree_node *n = &f->t.nodes[node];
    struct span value = tree_text(&f->t, node);
    struct buf shown = { 0 };
    if (f->attr) {
        value = span_of(tree_attr(&f->t, node, f->attr));
    } else {
        if (n->used)
            return;
        n->used = true;
    }
    bool is_joined = f->field->kind == FIELD_REFERENCE || f->field->kind == FIELD_NAME;
    if (is_joined && n->first != TREE_NONE)
        joined_put(f, node);
    if (!value.len)
        return;
    if (f->field->kind == FIELD_FILE) {
        file_take(f, node);
        return;
    }
    shown_value(&shown, f->field->kind, value, unit_of(f, node));
    const char *scheme = tree_attr(&f->t, node, "schemeID");
    if (!f->attr && *scheme && f->field->kind == FIELD_TEXT)
        buf_printf(&shown, " [%s]", scheme);
    if (builder_holds(f->b, &shown))
        line_put(f, f->field->label, term_of(f, node), node, buf_span(&shown));
    buf_deinit(&shown);
}

static void field_read(struct form *f, uint32_t from)
{
    const char *path = f->other ? f->field->other : f->field->path;
    if (!path)
        return;
    const char *at = strstr(path, "/@");
    char elements[64];
    f->attr = NULL;
    if (at) {
        size_t len = MIN((size_t)(at - path), sizeof(elements) - 1);
        memcpy(elements, path, len);
        elements[len] = '\0';
        path = elements;
        f->attr = at + 2;
    }
    tree_each(&f->t, from, path, field_put, f);
}

static void heading_put(struct form *f)
{
    const struct field_group *g = f->group;
    if (!g->label || (g->once && f->heading == g->label))
        return;
    builder_begin(f->b, BLOCK_HEADING);
    builder_text(f->b, span_of(g->label));
    if (*g->term) {
        builder_text(f->b, SPAN(" ("));
        builder_text(f->b, span_of(g->term));
        builder_text(f->b, SPAN(")"));
    }
    builder_end(f->b);
    f->heading = g->label;
}

static void group_read(void *ctx, uint32_t node)
{
    struct form *f = ctx;
    if (!builder_ok(f->b))
        return;
    const char *before = f->heading;
    heading_put(f);
    bool has_heading = f->heading != before;
    builder_begin(f->b, BLOCK_PARAGRAPH);
    f->any = false;
    for (f->field = f->group->fields; f->field->label; f->field++)
        field_read(f, node);
    if (!builder_end(f->b) && has_heading && builder_ok(f->b)) {
        builder_undo(f->b);
        f->heading = before;
    }
}

/* ---- the rest ------------------------------------------------------------------------------- */

static bool is_told_already(const struct form *f, uint32_t node)
{
    uint32_t parent = f->t.nodes[node].parent;
    for (size_t i = 0; f->told && f->told[i][0]; i++)
        if (strcmp(tree_name(&f->t, parent), f->told[i][0]) == 0 &&
            strcmp(tree_name(&f->t, node), f->told[i][1]) == 0)
            return true;
    return false;
}

static void path_put(struct buf *out, const struct tree *t, uint32_t node)
{
    uint32_t up[XML_DEPTH_MAX];
    size_t n = 0;
    for (; node != TREE_NONE && n < ARRAY_LEN(up); node = t->nodes[node].parent)
        up[n++] = node;
    while (n-- > 1) { /* without the root */
        buf_append_str(out, tree_name(t, up[n - 1]));
        if (n > 1)
            buf_append_char(out, '/');
    }
}

void form_title(struct form *f, struct buf *s)
{
    if (builder_holds(f->b, s)) {
        builder_title(f->b, buf_span(s));
        builder_begin(f->b, BLOCK_HEADING);
        builder_text(f->b, buf_span(s));
        builder_end(f->b);
    }
    buf_deinit(s);
}

void form_rest(struct form *f)
{
    bool any = false;
    for (uint32_t i = 1; i < f->t.n_nodes && builder_ok(f->b); i++) {
        struct span value = tree_text(&f->t, i);
        if (f->t.nodes[i].used || !value.len || is_told_already(f, i))
            continue;
        if (!any) {
            builder_begin(f->b, BLOCK_HEADING);
            builder_text(f->b, SPAN("Weitere Angaben / other entries"));
        }
        any = true;
        struct buf path = { 0 };
        path_put(&path, &f->t, i);
        builder_begin(f->b, BLOCK_LIST_ITEM);
        f->any = false;
        if (builder_holds(f->b, &path))
            line_put(f, path.ptr, "", i, value);
        builder_end(f->b);
        buf_deinit(&path);
    }
}

void form_groups(struct form *f, const struct field_group *groups)
{
    for (f->group = groups; f->group->fields; f->group++) {
        const char *path = f->other ? f->group->other : f->group->path;
        if (path)
            tree_each(&f->t, 0, path, group_read, f);
    }
}
