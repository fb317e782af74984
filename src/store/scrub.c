/* store/scrub.c: after a removal, nothing of it may be left: not in an index segment, a free page,
 * or the log.
 *
 * A transaction that takes something out also writes meta 'scrub'; matter_scrub() removes that note
 * as its last act. So a scrub that was interrupted, also by kill -9, is done when the matter is
 * next opened for writing.
 *   1. FTS5 rewrites its segments: with secure-delete the postings are gone already, but the keys
 *      that lead to a segment's pages may still carry a removed word's beginning. 'optimize' alone
 *      does nothing when there is only one segment, so a row is added, which makes a second, and
 *      taken out again.
 *   2. Everything is copied into fresh pages (VACUUM). secure_delete zeroes what is freed, but a
 * page that was rebalanced keeps stale copies of its cells between the live ones (seen by
 *      test_remove_leaves_nothing); fresh pages have none. The copy is made in memory, so that
 * nothing of it is ever in a temporary file: a removal needs as much memory as the matter is large.
 *   3. The log is written back and cut to nothing. */
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#include "store/store_priv.h"

/* A reader in the middle of a search holds the log back; it is waited for, for BUSY_MS. */
static enum kt_status checkpoint(struct kt_matter *m, struct kt_error *err)
{
    int rc = sqlite3_wal_checkpoint_v2(m->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    if (rc == SQLITE_OK)
        return KT_OK;
    if ((rc & 0xFF) == SQLITE_BUSY)
        return kt_fail(
            err, KT_E_BUSY,
            "%s: removed, but another process still reads an older state, so traces stay in "
            "the log until the next write; end it and run this again",
            m->dir);
    return db_fail(m, "checkpoint", err);
}

/* Row 0: chunks begin at 1. */
static const char REWRITE_INDEX[] =
    "INSERT INTO terms(rowid, body, parts) VALUES(0, 'x', '');"
    "INSERT INTO terms(terms) VALUES('optimize');"
    "INSERT INTO terms(terms, rowid, body, parts) VALUES('delete', 0, 'x', '');";

enum kt_status matter_scrub(struct kt_matter *m, struct kt_error *err)
{
    matter_forget_caches(m); /* what a model made of the documents */
    enum kt_status st = db_begin(m, err);
    if (st)
        return st;
    st = db_end(m, db_exec(m, REWRITE_INDEX, "rewrite the index", err), err);
    if (!st)
        st = db_exec(m, "VACUUM", "copy into fresh pages", err);
    if (!st)
        st = checkpoint(m, err);
    if (!st)
        st = db_exec(m, "DELETE FROM meta WHERE key='scrub'", "finish the removal", err);
    if (!st)
        st = checkpoint(m, err);
    if (!st) {
        m->scrub_pending = false;
        matter_note(m, AUDIT_ERASED, 0, 1);
    }
    return st;
}

enum kt_status matter_plain_image(struct kt_matter *m, uint8_t **out, size_t *n,
                                  struct kt_error *err)
{
    sqlite3_int64 size = 0;
    unsigned char *image = sqlite3_serialize(m->db, "main", &size, 0);
    *out = image ? malloc((size_t)size + 1) : NULL;
    *n = (size_t)size;
    if (*out)
        memcpy(*out, image, (size_t)size);
    sqlite3_free(image);
    return *out ? KT_OK : kt_fail(err, KT_E_NOMEM, "store: cannot export the database image");
}

/* ---- checking ---- */

static enum kt_status expect_text(struct kt_matter *m, const char *sql, const char *expected,
                                  const char *what, struct kt_error *err)
{
    sqlite3_stmt *q;
    enum kt_status st = db_prepare(&q, m, sql, err);
    if (st)
        return st;
    int rc = sqlite3_step(q);
    if (rc != SQLITE_ROW) {
        st = db_fail(m, what, err);
    } else {
        const char *found = (const char *)sqlite3_column_text(q, 0);
        if (!found || strcmp(found, expected))
            st = kt_fail(err, KT_E_FORMAT, "%s: %s: found %s, expected %s", m->dir, what,
                         found ? found : "nothing", expected);
    }
    sqlite3_finalize(q);
    return st;
}

static const struct {
    const char *what, *sql, *expected;
} CHECKS[] = {
    { "pages", "PRAGMA integrity_check", "ok" },
    { "rows without their document", "SELECT count(*) FROM pragma_foreign_key_check", "0" },
    { "chunks without a row in the index",
      "SELECT count(*) FROM chunks WHERE id NOT IN (SELECT id FROM terms_docsize)", "0" },
    { "index rows without a chunk",
      "SELECT count(*) FROM terms_docsize WHERE id NOT IN (SELECT id FROM chunks)", "0" },
    { "documents with another number of chunks than they say",
      "SELECT count(*) FROM documents d WHERE n_chunks != (SELECT count(*) FROM chunks WHERE "
      "doc_id = d.id)",
      "0" },
    { "documents with another length of text than they say",
      "SELECT count(*) FROM documents d WHERE text_len != "
      "(SELECT coalesce(sum(length(text)), 0) FROM segments WHERE doc_id = d.id)",
      "0" },
    { "vectors without their exact form",
      "SELECT (SELECT coalesce(sum(n), 0) FROM vectors) - (SELECT count(*) FROM vectors_exact)",
      "0" },
};

enum kt_status matter_check(struct kt_matter *m, struct kt_error *err)
{
    enum kt_status st = KT_OK;
    for (size_t i = 0; i < sizeof(CHECKS) / sizeof(CHECKS[0]) && !st; i++)
        st = expect_text(m, CHECKS[i].sql, CHECKS[i].expected, CHECKS[i].what, err);
    if (!st && m->access == KT_WRITE)
        st = db_exec(m, "INSERT INTO terms(terms) VALUES('integrity-check')", "index", err);
    return st;
}
