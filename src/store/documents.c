/* store/documents.c: documents found, read and renamed, and whose vectors they carry. put.c brings
 * them in, take.c out. */
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "store/store_priv.h"

const char *kt_doc_state_name(enum kt_doc_state s)
{
    switch (s) {
    case KT_DOC_INDEXED:
        return "indexed";
    case KT_DOC_SKIPPED:
        return "skipped";
    case KT_DOC_FAILED:
        return "failed";
    }
    return "unknown";
}

void kt_doc_info_deinit(struct kt_doc_info *d)
{
    free(d->path);
    free(d->reason);
    free(d->title);
    free(d->format);
    *d = (struct kt_doc_info){ 0 };
}

/* "/a/b/" means "/a/b"; the root is the empty prefix. Heap. */
char *document_folder(const char *path)
{
    size_t n = strlen(path);
    while (n && path[n - 1] == '/')
        n--;
    return strndup(path, n);
}

enum kt_status document_check_path(const char *path, struct kt_error *err)
{
    if (!path || !*path || strlen(path) > LIMIT_PATH_BYTES)
        return kt_fail(err, KT_E_USAGE, "store: a document's path has 1 to %d bytes",
                       LIMIT_PATH_BYTES);
    return KT_OK;
}

/* ---- text ---- */

enum kt_status text_slice(struct kt_matter *m, int64_t doc_id, size_t start, size_t end,
                          struct buf *out, struct kt_error *err)
{
    if (start >= end)
        return KT_OK;
    sqlite3_stmt *q;
    enum kt_status st = db_prepare(
        &q, m, "SELECT text FROM segments WHERE doc_id=?1 AND seq BETWEEN ?2 AND ?3 ORDER BY seq",
        err);
    if (st)
        return st;
    size_t at = start / SEGMENT_BYTES * SEGMENT_BYTES, first = out->len;
    sqlite3_bind_int64(q, 1, doc_id);
    sqlite3_bind_int64(q, 2, (sqlite3_int64)(start / SEGMENT_BYTES));
    sqlite3_bind_int64(q, 3, (sqlite3_int64)((end - 1) / SEGMENT_BYTES));
    int rc;
    while ((rc = sqlite3_step(q)) == SQLITE_ROW) {
        struct span piece = { sqlite3_column_blob(q, 0), (size_t)sqlite3_column_bytes(q, 0) };
        buf_append_span(out, span_sub(piece, start > at ? start - at : 0, end - at));
        at += SEGMENT_BYTES;
    }
    if (rc != SQLITE_DONE)
        st = db_fail(m, "read text", err);
    else if (out->failed)
        st = kt_fail(err, KT_E_NOMEM, "store: out of memory for %zu bytes of text", end - start);
    else if (out->len - first != end - start)
        st = kt_fail(err, KT_E_NOTFOUND,
                     "store: the document has no bytes [%zu, %zu); it was changed or removed",
                     start, end);
    sqlite3_finalize(q);
    return st;
}

enum kt_status kt_matter_text(struct kt_matter *m, int64_t doc_id, size_t start, size_t end,
                              char **out, struct kt_error *err)
{
    *out = NULL;
    if (start > end || end > LIMIT_TEXT_BYTES)
        return kt_fail(err, KT_E_USAGE, "store: bytes [%zu, %zu) are no part of a text", start,
                       end);
    struct buf b = { 0 };
    enum kt_status st = text_slice(m, doc_id, start, end, &b, err);
    if (!st && start == end)
        buf_append(&b, "", 0);
    if (!st && !(*out = b.len ? buf_take(&b) : strdup("")))
        st = kt_fail(err, KT_E_NOMEM, "store: out of memory");
    buf_deinit(&b);
    return st;
}

/* A row of start, stop, page, para, box. */
static enum kt_status read_place(sqlite3_stmt *q, struct kt_place *out, struct kt_matter *m,
                                 struct kt_error *err)
{
    if (sqlite3_column_bytes(q, 4) != sizeof(out->box))
        return db_fail(m, "read a place", err);
    out->start = (size_t)sqlite3_column_int64(q, 0);
    out->end = (size_t)sqlite3_column_int64(q, 1);
    out->page = (uint32_t)sqlite3_column_int64(q, 2);
    out->para = (uint32_t)sqlite3_column_int64(q, 3);
    memcpy(out->box, sqlite3_column_blob(q, 4), sizeof(out->box));
    return KT_OK;
}

enum kt_status kt_matter_place(struct kt_matter *m, int64_t doc_id, size_t offset,
                               struct kt_place *out, struct kt_error *err)
{
    *out = (struct kt_place){ 0 };
    sqlite3_stmt *q;
    enum kt_status st =
        db_prepare(&q, m,
                   "SELECT start, stop, page, para, box FROM blocks "
                   "WHERE doc_id=?1 AND start<=?2 ORDER BY start DESC, seq DESC LIMIT 1",
                   err);
    if (st)
        return st;
    sqlite3_bind_int64(q, 1, doc_id);
    sqlite3_bind_int64(q, 2, (sqlite3_int64)offset);
    int rc = sqlite3_step(q);
    if (rc == SQLITE_ROW) {
        st = read_place(q, out, m, err);
    } else if (rc == SQLITE_DONE) {
        st = kt_fail(err, KT_E_NOTFOUND, "store: no block of document %lld holds byte %zu",
                     (long long)doc_id, offset);
    } else {
        st = db_fail(m, "read places", err);
    }
    sqlite3_finalize(q);
    return st;
}

/* The subquery finds the block that holds 'start', so that only what is asked for is looked at. */
enum kt_status kt_matter_blocks(struct kt_matter *m, int64_t doc_id, size_t start, size_t end,
                                size_t n_max, struct kt_place **out, size_t *n,
                                struct kt_error *err)
{
    *out = NULL;
    *n = 0;
    if (start > end || end > LIMIT_TEXT_BYTES || n_max == 0 || n_max > LIMIT_TEXT_BYTES)
        return kt_fail(err, KT_E_USAGE, "store: bytes [%zu, %zu) are no part of a text", start,
                       end);
    sqlite3_stmt *q;
    enum kt_status st =
        db_prepare(&q, m,
                   "SELECT start, stop, page, para, box FROM blocks WHERE doc_id=?1 AND "
                   "start>=coalesce((SELECT max(start) FROM blocks WHERE doc_id=?1 AND "
                   "start<=?2),0) AND start<?3 AND stop>?2 ORDER BY start, seq LIMIT ?4",
                   err);
    if (st)
        return st;
    struct kt_place *list = calloc(n_max, sizeof(*list));
    if (!list)
        st = kt_fail(err, KT_E_NOMEM, "store: out of memory for %zu places", n_max);
    sqlite3_bind_int64(q, 1, doc_id);
    sqlite3_bind_int64(q, 2, (sqlite3_int64)start);
    sqlite3_bind_int64(q, 3, (sqlite3_int64)end);
    sqlite3_bind_int64(q, 4, (sqlite3_int64)n_max);
    int rc = SQLITE_DONE;
    while (!st && *n < n_max && (rc = sqlite3_step(q)) == SQLITE_ROW)
        st = read_place(q, &list[(*n)++], m, err);
    if (!st && rc != SQLITE_ROW && rc != SQLITE_DONE)
        st = db_fail(m, "read places", err);
    sqlite3_finalize(q);
    if (st || *n == 0) {
        free(list);
        list = NULL;
        *n = 0;
    }
    *out = list;
    return st;
}

/* ---- finding ---- */

#define DOC_COLUMNS                                                                                \
    "SELECT id, path, state, reason, title, format, hash, size, mtime_ns, n_pages, n_chunks, "     \
    "EXISTS(SELECT 1 FROM vectors WHERE doc_id = documents.id), "

/* A query of documents that ends with 'rest'. A matter of an earlier version has no table of originals. */
static enum kt_status prepare_docs(sqlite3_stmt **q, struct kt_matter *m, const char *rest,
                                   struct kt_error *err)
{
    struct buf sql = { 0 };
    buf_printf(&sql, "%s%s FROM documents%s", DOC_COLUMNS,
               m->has_originals ? "EXISTS(SELECT 1 FROM originals WHERE doc_id = documents.id)"
                                : "0",
               rest);
    enum kt_status st = sql.failed ? kt_fail(err, KT_E_NOMEM, "store: out of memory")
                                   : db_prepare(q, m, sql.ptr, err);
    buf_deinit(&sql);
    return st;
}

static char *column_dup(sqlite3_stmt *q, int i, bool *failed)
{
    if (sqlite3_column_type(q, i) == SQLITE_NULL)
        return NULL;
    const char *s = (const char *)sqlite3_column_text(q, i);
    char *copy = s ? strdup(s) : NULL;
    *failed = *failed || !copy;
    return copy;
}

static enum kt_status read_doc(struct kt_doc_info *d, sqlite3_stmt *q, struct kt_error *err)
{
    bool failed = false;
    *d = (struct kt_doc_info){ .id = sqlite3_column_int64(q, 0),
                               .state = (enum kt_doc_state)sqlite3_column_int(q, 2),
                               .size = sqlite3_column_int64(q, 7),
                               .mtime_ns = sqlite3_column_int64(q, 8),
                               .n_pages = (uint32_t)sqlite3_column_int64(q, 9),
                               .n_chunks = (uint32_t)sqlite3_column_int64(q, 10),
                               .has_vectors = sqlite3_column_int(q, 11) != 0,
                               .has_original = sqlite3_column_int(q, 12) != 0 };
    d->path = column_dup(q, 1, &failed);
    d->reason = column_dup(q, 3, &failed);
    d->title = column_dup(q, 4, &failed);
    d->format = column_dup(q, 5, &failed);
    if (sqlite3_column_bytes(q, 6) == sizeof(d->hash))
        memcpy(d->hash, sqlite3_column_blob(q, 6), sizeof(d->hash));
    if (!failed)
        return KT_OK;
    kt_doc_info_deinit(d);
    return kt_fail(err, KT_E_NOMEM, "store: out of memory");
}

static enum kt_status find_one(struct kt_matter *m, sqlite3_stmt *q, struct kt_doc_info *out,
                               const char *what, struct kt_error *err)
{
    enum kt_status st;
    int rc = sqlite3_step(q);
    if (rc == SQLITE_ROW)
        st = read_doc(out, q, err);
    else if (rc == SQLITE_DONE)
        st = kt_fail(err, KT_E_NOTFOUND, "%s: not in this matter", what);
    else
        st = db_fail(m, "read documents", err);
    sqlite3_finalize(q);
    return st;
}

enum kt_status kt_matter_find(struct kt_matter *m, const char *path, struct kt_doc_info *out,
                              struct kt_error *err)
{
    *out = (struct kt_doc_info){ 0 };
    sqlite3_stmt *q;
    enum kt_status st = prepare_docs(&q, m, " WHERE path = ?1", err);
    if (st)
        return st;
    sqlite3_bind_text(q, 1, path, -1, SQLITE_STATIC);
    return find_one(m, q, out, path, err);
}

enum kt_status kt_matter_find_hash(struct kt_matter *m, const uint8_t hash[32],
                                   struct kt_doc_info *out, struct kt_error *err)
{
    *out = (struct kt_doc_info){ 0 };
    sqlite3_stmt *q;
    enum kt_status st =
        prepare_docs(&q, m, " WHERE hash = ?1 AND state = 0 ORDER BY id LIMIT 1", err);
    if (st)
        return st;
    sqlite3_bind_blob(q, 1, hash, 32, SQLITE_STATIC);
    return find_one(m, q, out, "a document with this content", err);
}

enum kt_status kt_matter_each(struct kt_matter *m, const char *path, kt_doc_fn fn, void *ctx,
                              struct kt_error *err)
{
    char *prefix = path ? document_folder(path) : NULL;
    sqlite3_stmt *q = NULL;
    enum kt_status st = path && !prefix
                            ? kt_fail(err, KT_E_NOMEM, "store: out of memory")
                            : prepare_docs(&q, m, DOCUMENTS_AT_OR_BELOW " ORDER BY path", err);
    if (!st && prefix)
        sqlite3_bind_text(q, 1, prefix, -1, SQLITE_STATIC);
    bool more = true;
    int rc = SQLITE_DONE;
    while (!st && more && (rc = sqlite3_step(q)) == SQLITE_ROW) {
        struct kt_doc_info d;
        st = read_doc(&d, q, err);
        if (!st) {
            more = fn(ctx, &d);
            kt_doc_info_deinit(&d);
        }
    }
    if (!st && more && rc != SQLITE_DONE)
        st = db_fail(m, "read documents", err);
    sqlite3_finalize(q);
    free(prefix);
    return st;
}

/* ---- renaming ---- */

static enum kt_status rename_row(struct kt_matter *m, const char *from, const char *to,
                                 int64_t size, int64_t mtime_ns, struct kt_error *err)
{
    sqlite3_stmt *q;
    enum kt_status st =
        db_prepare(&q, m, "UPDATE documents SET path=?2, size=?3, mtime_ns=?4 WHERE path=?1", err);
    if (st)
        return st;
    sqlite3_bind_text(q, 1, from, -1, SQLITE_STATIC);
    sqlite3_bind_text(q, 2, to, -1, SQLITE_STATIC);
    sqlite3_bind_int64(q, 3, size);
    sqlite3_bind_int64(q, 4, mtime_ns);
    st = db_run(m, q, "rename", err);
    sqlite3_finalize(q);
    if (!st && sqlite3_changes(m->db) != 1)
        st = kt_fail(err, KT_E_NOTFOUND, "%s: not in this matter", from);
    return st;
}

static int64_t id_of_path(struct kt_matter *m, const char *path)
{
    sqlite3_stmt *q;
    struct kt_error err;
    if (db_prepare(&q, m, "SELECT id FROM documents WHERE path = ?1", &err))
        return 0;
    sqlite3_bind_text(q, 1, path, -1, SQLITE_STATIC);
    int64_t id = sqlite3_step(q) == SQLITE_ROW ? sqlite3_column_int64(q, 0) : 0;
    sqlite3_finalize(q);
    return id;
}

enum kt_status kt_matter_rename(struct kt_matter *m, const char *from, const char *to, int64_t size,
                                int64_t mtime_ns, struct kt_error *err)
{
    enum kt_status st = document_check_path(to, err);
    if (!st)
        st = db_begin(m, err);
    if (st)
        return st;
    size_t n_taken = 0;
    if (strcmp(from, to))
        st = documents_take(m, to, true, &n_taken, err);
    if (!st)
        st = rename_row(m, from, to, size, mtime_ns, err);
    if (!st)
        st = meta_set(m, "scrub", "1", err); /* the old path is a trace too */
    st = db_end(m, st, err);
    if (!st)
        m->scrub_pending = true;
    if (!st && n_taken)
        matter_forget(m);
    if (!st && strcmp(from, to))
        matter_note(m, AUDIT_RENAMED, id_of_path(m, to), 1);
    return st;
}

/* ---- the embedder ---- */

enum kt_status kt_matter_embedder(struct kt_matter *m, char out[static 65], struct kt_error *err)
{
    out[0] = 0;
    char *id;
    enum kt_status st = meta_get(m, "embedder", &id, err);
    if (!st && id && strlen(id) <= 64)
        memcpy(out, id, strlen(id) + 1);
    free(id);
    return st;
}

enum kt_status kt_matter_set_embedder(struct kt_matter *m, const char *id, struct kt_error *err)
{
    size_t n = strlen(id);
    if (n > 64 || strspn(id, "0123456789abcdefABCDEF") != n)
        return kt_fail(err, KT_E_USAGE, "store: an embedder's id is at most 64 hex digits");
    char now[65];
    enum kt_status st = kt_matter_embedder(m, now, err);
    if (st || !strcmp(now, id))
        return st;
    st = db_begin(m, err);
    if (st)
        return st;
    st = db_exec(
        m, "DELETE FROM vectors; DELETE FROM vectors_exact; DELETE FROM meta WHERE key='dim';",
        "drop vectors", err);
    if (!st)
        st = meta_set(m, "embedder", id, err);
    if (!st)
        st = meta_set(m, "scrub", "1", err);
    st = db_end(m, st, err);
    if (!st) {
        m->scrub_pending = true;
        matter_forget(m);
    }
    return st;
}
