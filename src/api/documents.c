/* api/documents.c: the documents of a matter: listed, indexed, sent, taken out. The right to the matter was decided in
 * routes.c. */
#include <stdlib.h>
#include <string.h>

#include "api/api_priv.h"
#include "kontor/office.h"

static bool add_document(void *ctx, const struct kt_doc_info *d)
{
    json_t *list = ctx;
    json_array_append_new(
        list, json_pack("{s:I,s:s,s:s,s:s?,s:s?,s:s?,s:I,s:I,s:I,s:b}", "id", (json_int_t)d->id,
                        "path", d->path, "state", kt_doc_state_name(d->state), "reason", d->reason,
                        "title", d->title, "format", d->format, "pages", (json_int_t)d->n_pages,
                        "chunks", (json_int_t)d->n_chunks, "bytes", (json_int_t)d->size, "has_file",
                        (int)d->has_original));
    return true;
}

void handle_documents(struct call *c)
{
    struct kt_matter *m;
    struct kt_error err;
    json_t *list = json_array();
    enum kt_status st = matter_take(&m, c, &err);
    if (!st)
        st = kt_matter_each(m, NULL, add_document, list, &err);
    matter_give(c, m);
    if (st) {
        json_decref(list);
        reply_kt_error(c, &err);
        return;
    }
    reply_json(c, 200, json_pack("{s:o}", "documents", list));
}

struct path_of_id {
    int64_t id;
    char *path;
};

static bool find_path(void *ctx, const struct kt_doc_info *d)
{
    struct path_of_id *f = ctx;
    if (d->id == f->id)
        f->path = strdup(d->path);
    return !f->path;
}

bool document_named(struct call *c, int64_t *id)
{
    const char *text = http_param(c->rq, "document");
    bool ok = *text && strlen(text) <= 18 && strspn(text, "0123456789") == strlen(text);
    *id = ok ? strtoll(text, NULL, 10) : 0;
    if (!ok)
        reply_error(c, 404, NULL, "not_found", "document", "there is no such document");
    return ok;
}

enum kt_status document_path(char **out, struct kt_matter *m, int64_t id, struct kt_error *err)
{
    struct path_of_id f = { .id = id };
    enum kt_status st = kt_matter_each(m, NULL, find_path, &f, err);
    if (!st && !f.path)
        st = kt_fail(err, KT_E_NOTFOUND, "there is no such document");
    *out = f.path;
    return st;
}

void handle_document_remove(struct call *c)
{
    struct kt_matter *m = NULL;
    struct kt_error err;
    char *path = NULL;
    size_t n_removed = 0;
    int64_t id;
    if (!document_named(c, &id) || !write_begin(c, &m))
        return;
    enum kt_status st = document_path(&path, m, id, &err);
    if (!st)
        st = kt_matter_remove(m, path, &n_removed, &err);
    write_end(c, m);
    crew_forget(c->crew, c->matter);
    free(path);
    if (st)
        reply_kt_error(c, &err);
    else
        reply_json(c, 200,
                   json_pack("{s:I,s:b}", "id", (json_int_t)id, "removed", (int)(n_removed > 0)));
}

/* Folders of the server are indexed only below those that it was started with. */
static bool is_below_a_root(const struct api *a, const char *path, char **real)
{
    *real = realpath(path, NULL);
    for (size_t i = 0; *real && i < a->opts.n_roots; i++) {
        char *root = realpath(a->opts.roots[i], NULL);
        size_t n = root && strcmp(root, "/") != 0 ? strlen(root) : 0;
        bool below = root && strncmp(*real, root, n) == 0 && ((*real)[n] == '/' || (*real)[n] == 0);
        free(root);
        if (below)
            return true;
    }
    free(*real);
    *real = NULL;
    return false;
}

static bool go_on(void *ctx, size_t n_done, size_t n_total, const char *path)
{
    struct call *c = ctx;
    (void)path;
    return event_send(
        c, "progress",
        json_pack("{s:I,s:I}", "done", (json_int_t)n_done, "total", (json_int_t)n_total));
}

static json_t *items_json(const struct kt_add_item *items, size_t n)
{
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(
            list, json_pack("{s:s,s:s}", "path", items[i].path, "reason", items[i].reason));
    return list;
}

void handle_document_add(struct call *c)
{
    static const struct param PARAMS[] = { { "path", PARAM_USED, NULL, NULL } };
    const char *path = NULL;
    char *real = NULL;
    if (!params_check(c, PARAMS, ARRAY_LEN(PARAMS)) || !param_required(c, "path") ||
        !param_string(c, "path", &path))
        return;
    if (!is_below_a_root(c->api, path, &real)) {
        reply_error(c, 403, NULL, "forbidden", "path",
                    "only what lies below a folder that the server was started with (--root) can "
                    "be indexed");
        return;
    }
    struct kt_matter *m = NULL;
    struct kt_error err;
    struct kt_add_report r = { 0 };
    struct kt_add_options o = { .embedder = desk_embed(c->desk),
                                .embedder_id = c->crew->embedder_id,
                                .on_progress = go_on,
                                .ctx = c };
    if (write_begin(c, &m)) {
        http_stream_begin(c->rq);
        enum kt_status st = kt_office_add(m, (const char *const *)&real, 1, &o, &r, &err);
        write_end(c, m);
        if (st)
            event_send(c, "error",
                       error_json(STYLE_OPENAI, status_of(st), NULL, NULL, NULL, err.text,
                                  http_id(c->rq)));
        else
            event_send(c, "done",
                       json_pack("{s:I,s:I,s:I,s:I,s:o,s:o}", "indexed", (json_int_t)r.n_indexed,
                                 "unchanged", (json_int_t)r.n_unchanged, "renamed",
                                 (json_int_t)r.n_renamed, "removed", (json_int_t)r.n_removed,
                                 "skipped", items_json(r.skipped, r.n_skipped), "failed",
                                 items_json(r.failed, r.n_failed)));
    }
    kt_add_report_deinit(&r);
    free(real);
}
