/* store/db.c: SQLite with our settings, and its errors in our words.
 *
 * Cipher: ChaCha20-Poly1305 (the default of SQLite3 Multiple Ciphers), because every page carries
 * an authentication tag (a changed byte is an error, never a wrong answer) and because it is fast
 * on machines without AES instructions. The key is 32 random bytes handed over raw: there is no
 * passphrase to stretch at this level.
 *
 * Invariants: (1) write-ahead log, synchronous=FULL: what was acknowledged survives kill -9 and
 * power loss. (2) One writer, and only the writer checkpoints; readers are query_only and leave the
 * log alone even when they close last. (3) After a failed fsync nothing more is written through
 * that handle: what the disk holds is unknown, and a second fsync would report success for data
 * that is gone. */
#include <errno.h>
#include <sodium.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/files.h"
#include "store/store_priv.h"

static enum kt_status status_of(sqlite3 *db, int rc)
{
    int sys = db ? sqlite3_system_errno(db) : 0;
    switch (rc & 0xFF) {
    case SQLITE_NOMEM:
        return KT_E_NOMEM;
    case SQLITE_FULL:
        return KT_E_NOSPACE;
    case SQLITE_IOERR:
        return rc == SQLITE_IOERR_NOMEM                         ? KT_E_NOMEM
               : sys == ENOSPC || sys == EDQUOT || sys == EFBIG ? KT_E_NOSPACE
                                                                : KT_E_IO;
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
    case SQLITE_READONLY:
        return sys == ENOSPC || sys == EDQUOT ? KT_E_NOSPACE : KT_E_IO;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return KT_E_BUSY;
    case SQLITE_NOTADB:
    case SQLITE_CORRUPT:
        return KT_E_FORMAT;
    case SQLITE_TOOBIG:
        return KT_E_LIMIT;
    default:
        return KT_E_INTERNAL;
    }
}

static const char *advice(enum kt_status st)
{
    switch (st) {
    case KT_E_NOMEM:
        return "close other programs";
    case KT_E_NOSPACE:
        return "nothing was lost; make room and run it again";
    case KT_E_BUSY:
        return "another process holds it; try again when that is done";
    case KT_E_FORMAT:
        return "the file was changed or damaged outside Kontor; restore it from a backup or index "
               "again";
    case KT_E_IO:
        return "nothing acknowledged was lost; check the disk and run it again";
    default:
        return "please report this";
    }
}

static enum kt_status fail_with(struct kt_error *err, sqlite3 *db, int rc, const char *who,
                                const char *doing)
{
    enum kt_status st = status_of(db, rc);
    return kt_fail(err, st, "%s: %s: %s (SQLite %d); %s", who, doing, sqlite3_errstr(rc), rc,
                   advice(st));
}

enum kt_status db_fail(struct kt_matter *m, const char *doing, struct kt_error *err)
{
    int rc = sqlite3_extended_errcode(m->db);
    if (rc == SQLITE_IOERR_FSYNC || rc == SQLITE_IOERR_DIR_FSYNC)
        m->broken = true;
    if (rc == SQLITE_OK || rc == SQLITE_ROW || rc == SQLITE_DONE)
        rc = SQLITE_ERROR;
    return fail_with(err, m->db, rc, m->dir, doing);
}

enum kt_status db_exec(struct kt_matter *m, const char *sql, const char *doing,
                       struct kt_error *err)
{
    return sqlite3_exec(m->db, sql, NULL, NULL, NULL) == SQLITE_OK ? KT_OK : db_fail(m, doing, err);
}

enum kt_status db_prepare(sqlite3_stmt **out, struct kt_matter *m, const char *sql,
                          struct kt_error *err)
{
    *out = NULL;
    return sqlite3_prepare_v2(m->db, sql, -1, out, NULL) == SQLITE_OK ? KT_OK
                                                                      : db_fail(m, "prepare", err);
}

enum kt_status db_run(struct kt_matter *m, sqlite3_stmt *q, const char *doing, struct kt_error *err)
{
    enum kt_status st = KT_OK;
    if (sqlite3_step(q) != SQLITE_DONE)
        st = db_fail(m, doing, err);
    sqlite3_reset(q);
    sqlite3_clear_bindings(q);
    return st;
}

enum kt_status db_begin(struct kt_matter *m, struct kt_error *err)
{
    if (m->access != KT_WRITE)
        return kt_fail(err, KT_E_USAGE, "%s: opened for reading; open it for writing", m->dir);
    if (m->broken)
        return kt_fail(
            err, KT_E_IO,
            "%s: an earlier write could not be made safe, so nothing more is written; check "
            "the disk and open it again",
            m->dir);
    return db_exec(m, "BEGIN IMMEDIATE", "begin", err);
}

enum kt_status db_end(struct kt_matter *m, enum kt_status st, struct kt_error *err)
{
    if (!st)
        st = db_exec(m, "COMMIT", "commit", err);
    /* after some errors SQLite has rolled back by itself */
    if (st && !sqlite3_get_autocommit(m->db))
        sqlite3_exec(m->db, "ROLLBACK", NULL, NULL, NULL);
    return st;
}

/* ---- opening ---- */

static int give_key(sqlite3 *db, const uint8_t key[static KEY_BYTES])
{
    char text[4 + 2 * KEY_BYTES + 1] = "raw:";
    sodium_bin2hex(text + 4, 2 * KEY_BYTES + 1, key, KEY_BYTES);
    int rc = sqlite3_key(db, text, (int)strlen(text));
    sodium_memzero(text, sizeof(text));
    return rc;
}

/* cell_size_check: a damaged page is found when read. negative cache_size units are KiB: up to 48
 * MiB of pages, decrypted, once searches have read so many; with 16 a search in a large matter decrypts its inner pages anew. */
#define COMMON_SETTINGS                                                                            \
    "PRAGMA trusted_schema=OFF; PRAGMA cell_size_check=ON; PRAGMA secure_delete=ON; PRAGMA "       \
    "foreign_keys=ON;"                                                                             \
    "PRAGMA synchronous=FULL; PRAGMA temp_store=MEMORY; PRAGMA cache_size=-49152;"

static int settings(sqlite3 *db, enum kt_access access, bool create)
{
    int rc = sqlite3_exec(db, COMMON_SETTINGS, NULL, NULL, NULL);
    if (rc == SQLITE_OK && create)
        rc = sqlite3_exec(db, "PRAGMA journal_mode=WAL;", NULL, NULL, NULL);
    if (rc == SQLITE_OK && access == KT_READ) {
        sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
        rc = sqlite3_exec(db, "PRAGMA query_only=ON; PRAGMA wal_autocheckpoint=0;", NULL, NULL,
                          NULL);
    }
    return rc;
}

static enum kt_status check_version(sqlite3 *db, const char *who, struct kt_error *err)
{
    sqlite3_stmt *q = NULL;
    int version = -1;
    int rc = sqlite3_prepare_v2(db, "PRAGMA user_version", -1, &q, NULL);
    if (rc == SQLITE_OK && (rc = sqlite3_step(q)) == SQLITE_ROW) {
        version = sqlite3_column_int(q, 0);
        rc = SQLITE_OK;
    }
    sqlite3_finalize(q);
    if (rc != SQLITE_OK)
        return fail_with(err, db, sqlite3_extended_errcode(db), who, "open");
    if (version != SCHEMA_VERSION)
        return kt_fail(err, KT_E_UNSUPPORTED,
                       "%s: layout %d, this program reads %d; use the program that made it", who,
                       version, SCHEMA_VERSION);
    return KT_OK;
}

static enum kt_status make_schema(sqlite3 *db, const char *who, struct kt_error *err)
{
    char version[64];
    snprintf(version, sizeof(version), "PRAGMA user_version=%d", SCHEMA_VERSION);
    if (sqlite3_exec(db, "BEGIN", NULL, NULL, NULL) == SQLITE_OK &&
        sqlite3_exec(db, schema_sql, NULL, NULL, NULL) == SQLITE_OK &&
        sqlite3_exec(db, version, NULL, NULL, NULL) == SQLITE_OK &&
        sqlite3_exec(db, "COMMIT", NULL, NULL, NULL) == SQLITE_OK)
        return KT_OK;
    return fail_with(err, db, sqlite3_extended_errcode(db), who, "make the tables");
}

enum kt_status db_open(sqlite3 **out, const char *path, const uint8_t key[static KEY_BYTES],
                       enum kt_access access, bool create, const char *who, struct kt_error *err)
{
    *out = NULL;
    if (!create && !file_exists(path))
        return kt_fail(err, KT_E_NOTFOUND,
                       "%s: missing, although its key is there; restore it from a backup", path);
    sqlite3 *db = NULL;
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_EXRESCODE | (create ? SQLITE_OPEN_CREATE : 0);
    int rc = sqlite3_open_v2(path, &db, flags, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_busy_timeout(db, BUSY_MS);
    if (rc == SQLITE_OK) {
        sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
        rc = give_key(db, key);
    }
    if (rc == SQLITE_OK)
        rc = settings(db, access, create);
    if (rc == SQLITE_OK)
        rc = fts_register_tokenizer(db);
    enum kt_status st = KT_OK;
    if (rc != SQLITE_OK)
        st = fail_with(err, db, rc, who, "open");
    else if (create)
        st = make_schema(db, who, err);
    if (!st)
        st = check_version(db, who, err);
    if (st) {
        sqlite3_close_v2(db);
        return st;
    }
    *out = db;
    return KT_OK;
}

/* ---- facts ---- */

enum kt_status meta_get(struct kt_matter *m, const char *key, char **out, struct kt_error *err)
{
    *out = NULL;
    sqlite3_stmt *q;
    enum kt_status st = db_prepare(&q, m, "SELECT value FROM meta WHERE key = ?1", err);
    if (st)
        return st;
    sqlite3_bind_text(q, 1, key, -1, SQLITE_STATIC);
    int rc = sqlite3_step(q);
    if (rc == SQLITE_ROW) {
        const unsigned char *v = sqlite3_column_text(q, 0);
        *out = v ? strdup((const char *)v) : NULL;
        if (!*out)
            st = kt_fail(err, KT_E_NOMEM, "store: out of memory");
    } else if (rc != SQLITE_DONE) {
        st = db_fail(m, "read", err);
    }
    sqlite3_finalize(q);
    return st;
}

enum kt_status meta_set(struct kt_matter *m, const char *key, const char *value,
                        struct kt_error *err)
{
    sqlite3_stmt *q;
    enum kt_status st =
        db_prepare(&q, m, "INSERT OR REPLACE INTO meta(key, value) VALUES(?1, ?2)", err);
    if (st)
        return st;
    sqlite3_bind_text(q, 1, key, -1, SQLITE_STATIC);
    sqlite3_bind_text(q, 2, value, -1, SQLITE_STATIC);
    st = db_run(m, q, "write", err);
    sqlite3_finalize(q);
    return st;
}
