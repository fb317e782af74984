/* ZIP archives that are no Office document: the names of their files, which can be searched for, and the files themselves
 * as parts. The container was checked when it was opened (package.c). Left out: folders, what begins with a dot, and what
 * Finder and Explorer add of their own.
 *
 * In what a lawyers' mailbox (beA) or a court hands out, xjustiz_nachricht.xml says what each file is: its name there stands
 * beside the file's in the list, "1_2.pdf (Klageschrift)". */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/utf8.h"
#include "extract/tree.h"

bool archive_is_noise(const char *name)
{
    static const char *const files[] = { "Thumbs.db", "desktop.ini" };
    size_t len = strlen(name);
    const char *last = strrchr(name, '/');
    last = last ? last + 1 : name;
    if (!len || name[len - 1] == '/' || name[0] == '.' || strstr(name, "/.") ||
        strncmp(name, "__MACOSX/", 9) == 0)
        return true;
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
        if (strcasecmp(last, files[i]) == 0)
            return true;
    return false;
}

/* What XJustiz calls the files. */
struct naming {
    struct tree t;
    uint32_t files[DOC_PARTS_MAX]; /* elements 'dokument' */
    size_t n;
};

struct taking {
    struct builder *b;
    struct buf bytes;
};

static bool take(void *ctx, struct span piece, bool last)
{
    struct taking *t = ctx;
    (void)last;
    if (piece.len > PARTS_BYTES_MAX - t->bytes.len)
        return builder_refuse(t->b, REASON_PARTS, PARTS_BYTES_MAX, t->b->n_parts + 1);
    buf_append_span(&t->bytes, piece);
    return builder_holds(t->b, &t->bytes);
}

/* Names that are not UTF-8 come from Windows, which wrote them in the code page of its console. */
static bool name_decode(struct buf *out, const char *name)
{
    struct span s = span_of(name);
    if (!utf8_valid(s))
        return charset_convert(out, s, ARCHIVE_CHARSET);
    buf_append_span(out, s);
    return !out->failed;
}

static void naming_add(void *ctx, uint32_t node)
{
    struct naming *n = ctx;
    if (n->n < DOC_PARTS_MAX)
        n->files[n->n++] = node;
}

static const char *base_name(const char *name)
{
    const char *slash = strrchr(name, '/');
    return slash ? slash + 1 : name;
}

/* From the message in the archive, if there is one that can be read. What is wrong with it is said when it is read as a
 * document itself. */
static void naming_read(struct naming *n, struct builder *b, struct package *p)
{
    for (size_t i = 0; i < package_count(p) && builder_ok(b); i++) {
        if (strcasecmp(base_name(package_name(p, i)), "xjustiz_nachricht.xml") != 0)
            continue;
        struct builder own;
        builder_init(&own, b->max_text);
        struct taking t = { .b = &own };
        struct refusal why;
        if (package_read_at(p, i, take, &t, &why) && tree_read(&n->t, &own, buf_span(&t.bytes)))
            tree_each(&n->t, 0, "schriftgutobjekte/**/dokument", naming_add, n);
        buf_deinit(&t.bytes);
        builder_deinit(&own);
        return;
    }
}

static struct span name_in_message(const struct naming *n, const char *file)
{
    static const char own[] = "xjustiz.fachspezifischeDaten";
    char path[64];
    for (size_t i = 0; i < n->n; i++) {
        snprintf(path, sizeof(path), "%s/datei/dateiname", own);
        if (!span_eq_str(tree_value(&n->t, n->files[i], path), base_name(file)))
            continue;
        snprintf(path, sizeof(path), "%s/anzeigename", own);
        return tree_value(&n->t, n->files[i], path);
    }
    return (struct span){ 0 };
}

static bool is_signature(const char *name)
{
    size_t len = strlen(name);
    return (len > 4 && strcasecmp(name + len - 4, ".p7s") == 0) ||
           (len > 6 && strcasecmp(name + len - 6, ".pkcs7") == 0);
}

static void list_put(struct builder *b, const struct naming *n, struct span name)
{
    struct span said = name_in_message(n, name.ptr); /* a buffer's: ends with a zero */
    if (!said.len && is_signature(name.ptr))
        said = SPAN("Signatur / signature");
    builder_begin(b, BLOCK_LIST_ITEM);
    builder_text(b, name);
    if (said.len) {
        builder_text(b, SPAN(" ("));
        builder_text(b, said);
        builder_text(b, SPAN(")"));
    }
    builder_end(b);
}

static void file_take(struct builder *b, struct package *p, const struct naming *n, size_t i)
{
    struct taking t = { .b = b };
    struct buf shown = { 0 };
    struct refusal why;
    if (!name_decode(&shown, package_name(p, i))) {
        builder_refuse(b, REASON_NOMEM, 0, 0);
    } else if (!package_read_at(p, i, take, &t, &why)) {
        if (why.reason != REASON_NONE)
            builder_refuse(b, why.reason, why.a, why.b);
    } else {
        list_put(b, n, buf_span(&shown));
        if (t.bytes.len)
            builder_part(b, buf_span(&shown), buf_span(&t.bytes));
    }
    buf_deinit(&t.bytes);
    buf_deinit(&shown);
}

void archive_parse(struct builder *b, struct package *p)
{
    struct naming *n = calloc(1, sizeof(*n));
    if (!n)
        builder_refuse(b, REASON_NOMEM, 0, 0);
    else
        naming_read(n, b, p);
    for (size_t i = 0; i < package_count(p) && builder_ok(b); i++)
        if (!archive_is_noise(package_name(p, i)))
            file_take(b, p, n, i);
    if (n)
        tree_deinit(&n->t);
    free(n);
}
