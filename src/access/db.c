/* access/db.c: the book's file.
 *
 * HOME/access.db: SQLite3 Multiple Ciphers under the home's key for this purpose (store/subkey.h). Small and
 * rarely written: one connection, rollback journal, every write on the disk before it counts. */
#include <errno.h>
#include <sodium.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "access/access_priv.h"
#include "base/files.h"
#include "store/subkey.h"

enum { BOOK_VERSION = 1, BUSY_MS = 5000 };

static const char SCHEMA[] =
    "CREATE TABLE users(id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE,"
    " admin INTEGER NOT NULL, password TEXT, created INTEGER NOT NULL) STRICT;"
    "CREATE TABLE keys(id INTEGER PRIMARY KEY, user INTEGER NOT NULL REFERENCES users ON DELETE "
    "CASCADE,"
    " label TEXT NOT NULL, hash BLOB NOT NULL UNIQUE, created INTEGER NOT NULL, UNIQUE(user, "
    "label)) STRICT;"
    "CREATE TABLE sessions(hash BLOB PRIMARY KEY, user INTEGER NOT NULL REFERENCES users ON DELETE "
    "CASCADE,"
    " csrf TEXT NOT NULL, created INTEGER NOT NULL, used INTEGER NOT NULL) STRICT;"
    "CREATE TABLE rights(user INTEGER NOT NULL REFERENCES users ON DELETE CASCADE, matter TEXT NOT "
    "NULL,"
    " may INTEGER NOT NULL, PRIMARY KEY(user, matter)) STRICT;";

static enum kt_status book_fail(struct access *a, struct kt_error *err)
{
    int rc = sqlite3_extended_errcode(a->db);
    enum kt_status st = (rc & 0xFF) == SQLITE_BUSY       ? KT_E_BUSY
                        : (rc & 0xFF) == SQLITE_FULL     ? KT_E_NOSPACE
                        : (rc & 0xFF) == SQLITE_NOMEM    ? KT_E_NOMEM
                        : (rc & 0xFF) == SQLITE_NOTADB   ? KT_E_KEY
                        : (rc & 0xFF) == SQLITE_IOERR    ? KT_E_IO
                        : rc == SQLITE_CONSTRAINT_UNIQUE ? KT_E_EXISTS
                                                         : KT_E_INTERNAL;
    return kt_fail(err, st, "%s: %s (SQLite %d)", a->path, sqlite3_errstr(rc), rc);
}

static void bind_all(sqlite3_stmt *q, va_list ap)
{
    for (int i = 1;; i++) {
        struct bind b = va_arg(ap, struct bind);
        switch (b.kind) {
        case BIND_END:
            return;
        case BIND_INT:
            sqlite3_bind_int64(q, i, b.i);
            break;
        case BIND_TEXT:
            sqlite3_bind_text(q, i, b.text, -1, SQLITE_STATIC);
            break;
        case BIND_BLOB:
            sqlite3_bind_blob(q, i, b.blob, (int)b.len, SQLITE_STATIC);
            break;
        }
    }
}

static enum kt_status run_locked(struct access *a, row_fn fn, void *ctx, size_t *n_changed,
                                 struct kt_error *err, const char *sql, va_list ap)
{
    sqlite3_stmt *q = NULL;
    enum kt_status st = KT_OK;
    if (sqlite3_prepare_v2(a->db, sql, -1, &q, NULL) != SQLITE_OK)
        return book_fail(a, err);
    bind_all(q, ap);
    int rc;
    bool more = true;
    while (more && (rc = sqlite3_step(q)) == SQLITE_ROW)
        more = fn ? fn(ctx, q) : true;
    if (more && rc != SQLITE_DONE)
        st = book_fail(a, err);
    if (n_changed)
        *n_changed = (size_t)sqlite3_changes64(a->db);
    sqlite3_finalize(q);
    return st;
}

enum kt_status book_run(struct access *a, size_t *n_changed, struct kt_error *err, const char *sql,
                        ...)
{
    va_list ap;
    va_start(ap, sql);
    pthread_mutex_lock(&a->lock);
    enum kt_status st = run_locked(a, NULL, NULL, n_changed, err, sql, ap);
    pthread_mutex_unlock(&a->lock);
    va_end(ap);
    return st;
}

enum kt_status book_rows(struct access *a, row_fn fn, void *ctx, struct kt_error *err,
                         const char *sql, ...)
{
    va_list ap;
    va_start(ap, sql);
    pthread_mutex_lock(&a->lock);
    enum kt_status st = run_locked(a, fn, ctx, NULL, err, sql, ap);
    pthread_mutex_unlock(&a->lock);
    va_end(ap);
    return st;
}

static bool take_int(void *ctx, sqlite3_stmt *row)
{
    *(int64_t *)ctx = sqlite3_column_int64(row, 0);
    return false;
}

/* Two processes may open a new home at once: one makes the tables, the other waits and finds them. */
static enum kt_status make_tables(struct access *a, struct kt_error *err)
{
    int64_t version = -1;
    enum kt_status st = book_run(a, NULL, err, "BEGIN IMMEDIATE", B_END);
    if (!st)
        st = book_rows(a, take_int, &version, err, "PRAGMA user_version", B_END);
    if (!st && version == 0) {
        char set[48];
        snprintf(set, sizeof(set), "PRAGMA user_version=%d", BOOK_VERSION);
        if (sqlite3_exec(a->db, SCHEMA, NULL, NULL, NULL) != SQLITE_OK ||
            sqlite3_exec(a->db, set, NULL, NULL, NULL) != SQLITE_OK)
            st = book_fail(a, err);
    } else if (!st && version != BOOK_VERSION) {
        st = kt_fail(err, KT_E_UNSUPPORTED,
                     "%s: layout %lld, this program reads %d; use a newer one", a->path,
                     (long long)version, BOOK_VERSION);
    }
    if (!st && sqlite3_exec(a->db, "COMMIT", NULL, NULL, NULL) != SQLITE_OK)
        st = book_fail(a, err);
    if (st && !sqlite3_get_autocommit(a->db))
        sqlite3_exec(a->db, "ROLLBACK", NULL, NULL, NULL);
    return st;
}

static enum kt_status give_key(struct access *a, const struct kt_store *s, struct kt_error *err)
{
    uint8_t *key = key_alloc();
    enum kt_status st = key ? store_subkey(key, s, "kontor access book 1", err)
                            : kt_fail(err, KT_E_NOMEM, "out of memory");
    if (!st) {
        char text[4 + 2 * KEY_BYTES + 1] = "raw:";
        sodium_bin2hex(text + 4, 2 * KEY_BYTES + 1, key, KEY_BYTES);
        if (sqlite3_key(a->db, text, (int)strlen(text)) != SQLITE_OK)
            st = book_fail(a, err);
        sodium_memzero(text, sizeof(text));
    }
    key_free(key);
    return st;
}

static const char SETTINGS[] =
    "PRAGMA trusted_schema=OFF; PRAGMA cell_size_check=ON; PRAGMA secure_delete=ON;"
    "PRAGMA foreign_keys=ON; PRAGMA synchronous=FULL; PRAGMA temp_store=MEMORY;";

static enum kt_status book_open(struct access *a, const struct kt_store *s, struct kt_error *err)
{
    a->path = path_join(store_home(s), "access.db");
    if (!a->path)
        return kt_fail(err, KT_E_NOMEM, "access: out of memory");
    mode_t before = umask(0077);
    int rc = sqlite3_open_v2(
        a->path, &a->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_EXRESCODE, NULL);
    umask(before);
    if (rc != SQLITE_OK)
        return kt_fail(err, KT_E_IO, "%s: cannot open: %s", a->path, sqlite3_errstr(rc));
    sqlite3_busy_timeout(a->db, BUSY_MS);
    sqlite3_db_config(a->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    enum kt_status st = give_key(a, s, err);
    if (!st && sqlite3_exec(a->db, SETTINGS, NULL, NULL, NULL) != SQLITE_OK)
        st = book_fail(a, err);
    return st ? st : make_tables(a, err);
}

enum kt_status access_open(struct access **out, const struct kt_store *s, struct kt_error *err)
{
    *out = NULL;
    struct access *a = calloc(1, sizeof(*a));
    if (!a)
        return kt_fail(err, KT_E_NOMEM, "access: out of memory");
    pthread_mutex_init(&a->lock, NULL);
    pthread_mutex_init(&a->login_lock, NULL);
    pthread_cond_init(&a->login_free, NULL);
    randombytes_buf(a->pepper, sizeof(a->pepper));
    enum kt_status st = book_open(a, s, err);
    if (st) {
        access_close(a);
        return st;
    }
    *out = a;
    return KT_OK;
}

void access_close(struct access *a)
{
    if (!a)
        return;
    if (a->db)
        sqlite3_close_v2(a->db);
    pthread_mutex_destroy(&a->lock);
    pthread_mutex_destroy(&a->login_lock);
    pthread_cond_destroy(&a->login_free);
    free(a->path);
    free(a);
}
