/* api/uploads.c: files that are sent: indexed, kept as they came, given back, read again. The right to the matter was decided in
 * routes.c. */
#include <stdlib.h>
#include <string.h>

#include "api/api_priv.h"
#include "api/spool.h"
#include "base/files.h"
#include "kontor/office.h"

/* A file's name and nothing that could be a path. The name was decoded as UTF-8. */
static bool is_file_name(const char *name)
{
    size_t n = strlen(name);
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)name[i] < 0x20 || name[i] == 0x7F || name[i] == '/' || name[i] == '\\')
            return false;
    return n >= 1 && n <= 255 && name[0] != '.';
}

static void reply_uploaded(struct call *c, const char *path, const struct kt_add_report *r)
{
    const struct kt_add_item *refused = r->n_skipped ? r->skipped : r->n_failed ? r->failed : NULL;
    reply_json(c, 200,
               json_pack("{s:b,s:s,s:s?}", "indexed", (int)(r->n_indexed > 0), "path", path,
                         "reason", refused ? refused->reason : NULL));
}

/* Index 'bytes' as the document at 'path', and keep them with it. Answers. */
static void put_and_keep(struct call *c, const char *path, struct span bytes)
{
    struct spool s = { 0 };
    struct kt_matter *m = NULL;
    struct kt_error err;
    struct kt_add_report r = { 0 };
    struct kt_add_options o = { .embedder = desk_embed(c->desk),
                                .embedder_id = c->crew->embedder_id };
    enum kt_status st = spool_write(&s, path_base(path), bytes, &err);
    if (st) {
        reply_kt_error(c, &err);
    } else if (write_begin(c, &m)) {
        st = kt_office_put(m, path, s.path, &o, &r, &err);
        if (!st)
            st = kt_matter_keep(m, path, bytes.ptr, bytes.len, &err);
        write_end(c, m);
        if (st)
            reply_kt_error(c, &err);
        else
            reply_uploaded(c, path, &r);
    }
    kt_add_report_deinit(&r);
    spool_remove(&s);
}

void handle_document_upload(struct call *c)
{
    const char *name = http_query(c->rq, "name");
    struct span body = http_body(c->rq);
    if (!name || !is_file_name(name) || body.len == 0) {
        reply_error(c, 400, NULL, "invalid_value", "name",
                    "an upload needs ?name= with the file's name (1 to 255 bytes, no path, no dot "
                    "in front), and a body");
        return;
    }
    char *path = path_join("/upload", name);
    if (path)
        put_and_keep(c, path, body);
    else
        reply_error(c, 503, NULL, NULL, NULL, "out of memory");
    free(path);
}

/* ---- kept files ------------------------------------------------------------------------------- */

struct kept_file {
    char *path;
    uint8_t *bytes;
    size_t n;
};

/* False after an answer. */
static bool kept_file_read(struct call *c, struct kept_file *f)
{
    struct kt_matter *m = NULL;
    struct kt_error err;
    int64_t id;
    *f = (struct kept_file){ 0 };
    if (!document_named(c, &id))
        return false;
    enum kt_status st = matter_take(&m, c, &err);
    if (!st)
        st = document_path(&f->path, m, id, &err);
    if (!st)
        st = kt_matter_original(m, id, &f->bytes, &f->n, &err);
    matter_give(c, m);
    if (st == KT_E_NOTFOUND && f->path)
        reply_error(c, 404, NULL, "not_found", "document",
                    "this document's file is not kept: it lies in a folder, or was sent before "
                    "files were kept; "
                    "send it again, or index the folder");
    else if (st)
        reply_kt_error(c, &err);
    return st == KT_OK;
}

static void kept_file_free(struct kept_file *f)
{
    free(f->path);
    free(f->bytes);
}

/* A name as a header may carry it (RFC 8187): what is not plain is escaped. */
static void append_name(struct buf *b, const char *name)
{
    static const char PLAIN[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~";
    for (; *name; name++)
        if (strchr(PLAIN, *name))
            buf_append_char(b, *name);
        else
            buf_printf(b, "%%%02X", (unsigned char)*name);
}

/* To be saved, never to be shown: what a document holds must not run in the page's origin. */
void handle_document_file(struct call *c)
{
    struct kept_file f;
    struct buf name = { 0 };
    if (kept_file_read(c, &f)) {
        buf_append_str(&name, "attachment; filename*=UTF-8''");
        append_name(&name, path_base(f.path));
        if (!name.failed)
            http_field(c->rq, "Content-Disposition", name.ptr);
        http_reply(c->rq, 200, "application/octet-stream", (const char *)f.bytes, f.n);
    }
    buf_deinit(&name);
    kept_file_free(&f);
}

void handle_document_reindex(struct call *c)
{
    struct kept_file f;
    if (!params_check(c, NULL, 0))
        return;
    if (kept_file_read(c, &f))
        put_and_keep(c, f.path, (struct span){ (const char *)f.bytes, f.n });
    kept_file_free(&f);
}
