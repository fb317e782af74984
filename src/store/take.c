/* store/take.c: documents out. The index has no copy of the text, so a chunk is taken out of it by
 * handing over exactly the terms that were put in: from the stored text, and the compound parts
 * stored with the chunk. */
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "store/index.h"
#include "store/store_priv.h"

static enum kt_status take_chunks(struct kt_matter *m, int64_t doc_id, const struct buf *text,
                                  struct kt_error *err)
{
    sqlite3_stmt *rows = NULL, *take = NULL;
    enum kt_status st =
        db_prepare(&rows, m, "SELECT id, start, stop, parts FROM chunks WHERE doc_id=?1", err);
    if (!st)
        st = index_prepare_take(&take, m, err);
    if (!st)
        sqlite3_bind_int64(rows, 1, doc_id);
    int rc = SQLITE_DONE;
    while (!st && (rc = sqlite3_step(rows)) == SQLITE_ROW) {
        struct span parts = { (const char *)sqlite3_column_text(rows, 3),
                              (size_t)sqlite3_column_bytes(rows, 3) };
        struct span body = span_sub(buf_span(text), (size_t)sqlite3_column_int64(rows, 1),
                                    (size_t)sqlite3_column_int64(rows, 2));
        st = index_row(m, take, sqlite3_column_int64(rows, 0), body, parts, err);
    }
    if (!st && rc != SQLITE_DONE)
        st = db_fail(m, "read chunks", err);
    sqlite3_finalize(rows);
    sqlite3_finalize(take);
    return st;
}

static enum kt_status doc_text_len(struct kt_matter *m, int64_t doc_id, size_t *out,
                                   struct kt_error *err)
{
    *out = 0;
    sqlite3_stmt *q;
    enum kt_status st = db_prepare(&q, m, "SELECT text_len FROM documents WHERE id=?1", err);
    if (st)
        return st;
    sqlite3_bind_int64(q, 1, doc_id);
    int rc = sqlite3_step(q);
    if (rc == SQLITE_ROW)
        *out = (size_t)sqlite3_column_int64(q, 0);
    else if (rc != SQLITE_DONE)
        st = db_fail(m, "read", err);
    sqlite3_finalize(q);
    return st;
}

static enum kt_status take_document(struct kt_matter *m, int64_t doc_id, struct kt_error *err)
{
    struct buf text = { 0 };
    size_t len;
    enum kt_status st = doc_text_len(m, doc_id, &len, err);
    if (!st)
        st = text_slice(m, doc_id, 0, len, &text, err);
    if (!st)
        st = take_chunks(m, doc_id, &text, err);
    if (!st && text.len)
        st = index_count_words(m, buf_span(&text), -1, err);
    buf_deinit(&text);
    sqlite3_stmt *q = NULL;
    if (!st)
        st = db_prepare(&q, m, "DELETE FROM documents WHERE id=?1", err);
    if (!st) {
        sqlite3_bind_int64(q, 1, doc_id);
        st = db_run(m, q, "remove", err);
    }
    sqlite3_finalize(q);
    return st;
}

/* The documents at or below 'path', or only the one at it: ids[n], heap. */
static enum kt_status ids_below(struct kt_matter *m, const char *path, bool exact, int64_t **ids,
                                size_t *n, struct kt_error *err)
{
    *ids = NULL;
    *n = 0;
    struct buf sql = { 0 }, found = { 0 };
    buf_printf(&sql, "SELECT id FROM documents%s",
               exact ? " WHERE path = ?1" : DOCUMENTS_AT_OR_BELOW);
    sqlite3_stmt *q = NULL;
    enum kt_status st = sql.failed ? kt_fail(err, KT_E_NOMEM, "store: out of memory")
                                   : db_prepare(&q, m, sql.ptr, err);
    if (!st && path)
        sqlite3_bind_text(q, 1, path, -1, SQLITE_STATIC);
    int rc = SQLITE_DONE;
    while (!st && (rc = sqlite3_step(q)) == SQLITE_ROW) {
        int64_t id = sqlite3_column_int64(q, 0);
        buf_append(&found, &id, sizeof(id));
    }
    if (!st && rc != SQLITE_DONE)
        st = db_fail(m, "read", err);
    if (!st && found.failed)
        st = kt_fail(err, KT_E_NOMEM, "store: out of memory");
    sqlite3_finalize(q);
    buf_deinit(&sql);
    if (st) {
        buf_deinit(&found);
        return st;
    }
    *n = found.len / sizeof(int64_t);
    *ids = (int64_t *)(void *)buf_take(&found);
    return KT_OK;
}

/* Take them out; which they were is the caller's to free(). */
static enum kt_status take_all(struct kt_matter *m, const char *path, bool exact, int64_t **ids,
                               size_t *n_taken, struct kt_error *err)
{
    enum kt_status st = ids_below(m, path, exact, ids, n_taken, err);
    for (size_t i = 0; i < *n_taken && !st; i++)
        st = take_document(m, (*ids)[i], err);
    if (!st && *n_taken)
        st = meta_set(m, "scrub", "1", err);
    if (!st && *n_taken) /* what others have in memory is no longer all there (vectors.c) */
        st = db_exec(m,
                     "INSERT INTO meta(key, value) VALUES('taken', '1') "
                     "ON CONFLICT(key) DO UPDATE SET value = value + 1",
                     "remove", err);
    return st;
}

enum kt_status documents_take(struct kt_matter *m, const char *path, bool exact, size_t *n_taken,
                              struct kt_error *err)
{
    int64_t *ids;
    enum kt_status st = take_all(m, path, exact, &ids, n_taken, err);
    free(ids);
    return st;
}

enum kt_status kt_matter_remove_deferred(struct kt_matter *m, const char *path, size_t *n_removed,
                                         struct kt_error *err)
{
    *n_removed = 0;
    char *prefix = path ? document_folder(path) : NULL;
    if (path && !prefix)
        return kt_fail(err, KT_E_NOMEM, "store: out of memory");
    enum kt_status st = db_begin(m, err);
    int64_t *ids = NULL;
    size_t n = 0;
    if (!st)
        st = db_end(m, take_all(m, prefix, false, &ids, &n, err), err);
    free(prefix);
    if (!st) {
        matter_forget(m);
        wordset_deinit(&m->words);
        m->words_loaded = false;
        *n_removed = n;
        m->scrub_pending = m->scrub_pending || n;
        for (size_t i = 0; i < n; i++)
            matter_note(m, AUDIT_REMOVED, ids[i], 1);
        st = originals_sweep(m, err);
    }
    free(ids);
    return st;
}

enum kt_status kt_matter_remove(struct kt_matter *m, const char *path, size_t *n_removed,
                                struct kt_error *err)
{
    enum kt_status st = kt_matter_remove_deferred(m, path, n_removed, err);
    return !st && m->scrub_pending ? matter_scrub(m, err) : st;
}
