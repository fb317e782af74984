/* ZIP archives that are no Office document: the names of their files, which can be searched for, and the files themselves
 * as parts. The container was checked when it was opened (package.c). Left out: folders, what begins with a dot, and what
 * Finder and Explorer add of their own. */
#include <string.h>
#include <strings.h>

#include "base/utf8.h"
#include "extract/extract_priv.h"

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

static void file_take(struct builder *b, struct package *p, size_t i)
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
        builder_begin(b, BLOCK_LIST_ITEM);
        builder_text(b, buf_span(&shown));
        builder_end(b);
        if (t.bytes.len)
            builder_part(b, buf_span(&shown), buf_span(&t.bytes));
    }
    buf_deinit(&t.bytes);
    buf_deinit(&shown);
}

void archive_parse(struct builder *b, struct package *p)
{
    for (size_t i = 0; i < package_count(p) && builder_ok(b); i++)
        if (!archive_is_noise(package_name(p, i)))
            file_take(b, p, i);
}
