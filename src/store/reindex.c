/* store/reindex.c: the index made again from the stored texts, because this program analyses text
 * differently from the one that made it (TERMS_VERSION). One transaction: after a crash the old
 * index stands. */
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "store/index.h"
#include "store/store_priv.h"
#include "store/terms.h"

static enum kt_status reindex_chunk(struct kt_matter *m, sqlite3_stmt *update, sqlite3_stmt *index,
                                    int64_t id, struct span text, struct kt_error *err)
{
    struct buf parts = { 0 };
    index_parts(m, text, &parts);
    sqlite3_bind_int64(update, 1, id);
    sqlite3_bind_text64(update, 2, parts.ptr ? parts.ptr : "", parts.len, SQLITE_STATIC,
                        SQLITE_UTF8);
    enum kt_status st = parts.failed ? kt_fail(err, KT_E_NOMEM, "store: out of memory")
                                     : db_run(m, update, "index", err);
    if (!st)
        st = index_row(m, index, id, text, buf_span(&parts), err);
    buf_deinit(&parts);
    return st;
}

/* All chunks of one document, whose text is whole in 'text'. */
static enum kt_status reindex_document(struct kt_matter *m, sqlite3_stmt *rows,
                                       sqlite3_stmt *update, sqlite3_stmt *index, int64_t doc_id,
                                       const struct buf *text, struct kt_error *err)
{
    enum kt_status st = index_count_words(m, buf_span(text), 1, err);
    sqlite3_bind_int64(rows, 1, doc_id);
    int rc = SQLITE_DONE;
    while (!st && (rc = sqlite3_step(rows)) == SQLITE_ROW)
        st = reindex_chunk(m, update, index, sqlite3_column_int64(rows, 0),
                           span_sub(buf_span(text), (size_t)sqlite3_column_int64(rows, 1),
                                    (size_t)sqlite3_column_int64(rows, 2)),
                           err);
    if (!st && rc != SQLITE_DONE)
        st = db_fail(m, "read chunks", err);
    sqlite3_reset(rows);
    return st;
}

static enum kt_status reindex_documents(struct kt_matter *m, struct kt_error *err)
{
    sqlite3_stmt *docs = NULL, *rows = NULL, *update = NULL, *index = NULL;
    enum kt_status st = db_prepare(
        &docs, m, "SELECT id, text_len FROM documents WHERE text_len > 0 ORDER BY id", err);
    if (!st)
        st = db_prepare(&rows, m,
                        "SELECT id, start, stop FROM chunks WHERE doc_id = ?1 ORDER BY seq", err);
    if (!st)
        st = db_prepare(&update, m, "UPDATE chunks SET parts = ?2 WHERE id = ?1", err);
    if (!st)
        st = index_prepare_put(&index, m, err);
    int rc = SQLITE_DONE;
    while (!st && (rc = sqlite3_step(docs)) == SQLITE_ROW) {
        struct buf text = { 0 };
        int64_t id = sqlite3_column_int64(docs, 0);
        st = text_slice(m, id, 0, (size_t)sqlite3_column_int64(docs, 1), &text, err);
        if (!st)
            st = reindex_document(m, rows, update, index, id, &text, err);
        buf_deinit(&text);
    }
    if (!st && rc != SQLITE_DONE)
        st = db_fail(m, "read documents", err);
    sqlite3_finalize(docs);
    sqlite3_finalize(rows);
    sqlite3_finalize(update);
    sqlite3_finalize(index);
    return st;
}

enum kt_status matter_reindex(struct kt_matter *m, struct kt_error *err)
{
    enum kt_status st = db_begin(m, err);
    if (st)
        return st;
    st = db_exec(m, "INSERT INTO terms(terms) VALUES('delete-all'); DELETE FROM words;",
                 "index again", err);
    if (!st)
        st = reindex_documents(m, err);
    if (!st)
        st = meta_set(m, "analysis", TERMS_VERSION, err);
    return db_end(m, st, err);
}
