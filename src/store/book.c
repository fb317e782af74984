/* store/book.c: see book.h. */
#include "store/book.h"

#include <pthread.h>
#include <sodium.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/files.h"
#include "store/subkey.h"

enum { WAIT_MS = 5000 };

struct book {
    pthread_mutex_t lock; /* guards the connection */
    sqlite3 *db;
    char *path;
};

static enum kt_status book_fail(struct book *b, struct kt_error *err)
{
    int rc = sqlite3_extended_errcode(b->db);
    enum kt_status st = (rc & 0xFF) == SQLITE_BUSY       ? KT_E_BUSY
                        : (rc & 0xFF) == SQLITE_FULL     ? KT_E_NOSPACE
                        : (rc & 0xFF) == SQLITE_NOMEM    ? KT_E_NOMEM
                        : (rc & 0xFF) == SQLITE_NOTADB   ? KT_E_KEY
                        : (rc & 0xFF) == SQLITE_IOERR    ? KT_E_IO
                        : rc == SQLITE_CONSTRAINT_UNIQUE ? KT_E_EXISTS
                                                         : KT_E_INTERNAL;
    return kt_fail(err, st, "%s: %s (SQLite %d)", b->path, sqlite3_errstr(rc), rc);
}

static void bind_all(sqlite3_stmt *q, va_list ap)
{
    for (int i = 1;; i++) {
        struct bind v = va_arg(ap, struct bind);
        switch (v.kind) {
        case BIND_END:
            return;
        case BIND_INT:
            sqlite3_bind_int64(q, i, v.i);
            break;
        case BIND_TEXT:
            sqlite3_bind_text(q, i, v.text, -1, SQLITE_STATIC);
            break;
        case BIND_BLOB:
            sqlite3_bind_blob(q, i, v.blob, (int)v.len, SQLITE_STATIC);
            break;
        }
    }
}

static enum kt_status run_locked(struct book *b, row_fn fn, void *ctx, size_t *n_changed,
                                 struct kt_error *err, const char *sql, va_list ap)
{
    sqlite3_stmt *q = NULL;
    enum kt_status st = KT_OK;
    if (sqlite3_prepare_v2(b->db, sql, -1, &q, NULL) != SQLITE_OK)
        return book_fail(b, err);
    bind_all(q, ap);
    int rc;
    bool more = true;
    while (more && (rc = sqlite3_step(q)) == SQLITE_ROW)
        more = fn ? fn(ctx, q) : true;
    if (more && rc != SQLITE_DONE)
        st = book_fail(b, err);
    if (n_changed)
        *n_changed = (size_t)sqlite3_changes64(b->db);
    sqlite3_finalize(q);
    return st;
}

enum kt_status book_run(struct book *b, size_t *n_changed, struct kt_error *err, const char *sql,
                        ...)
{
    va_list ap;
    va_start(ap, sql);
    pthread_mutex_lock(&b->lock);
    enum kt_status st = run_locked(b, NULL, NULL, n_changed, err, sql, ap);
    pthread_mutex_unlock(&b->lock);
    va_end(ap);
    return st;
}

enum kt_status book_rows(struct book *b, row_fn fn, void *ctx, struct kt_error *err,
                         const char *sql, ...)
{
    va_list ap;
    va_start(ap, sql);
    pthread_mutex_lock(&b->lock);
    enum kt_status st = run_locked(b, fn, ctx, NULL, err, sql, ap);
    pthread_mutex_unlock(&b->lock);
    va_end(ap);
    return st;
}

static bool take_int(void *ctx, sqlite3_stmt *row)
{
    *(int64_t *)ctx = sqlite3_column_int64(row, 0);
    return false;
}

/* Two processes may open a new home at once: one makes the tables, the other waits and finds them. */
static enum kt_status make_tables(struct book *b, const struct book_layout *l, struct kt_error *err)
{
    int64_t version = -1;
    enum kt_status st = book_run(b, NULL, err, "BEGIN IMMEDIATE", B_END);
    if (!st)
        st = book_rows(b, take_int, &version, err, "PRAGMA user_version", B_END);
    if (!st && version == 0) {
        char set[48];
        snprintf(set, sizeof(set), "PRAGMA user_version=%d", l->version);
        if (sqlite3_exec(b->db, l->schema, NULL, NULL, NULL) != SQLITE_OK ||
            sqlite3_exec(b->db, set, NULL, NULL, NULL) != SQLITE_OK)
            st = book_fail(b, err);
    } else if (!st && version != l->version) {
        st = kt_fail(err, KT_E_UNSUPPORTED,
                     "%s: layout %lld, this program reads %d; use a newer one", b->path,
                     (long long)version, l->version);
    }
    if (!st && sqlite3_exec(b->db, "COMMIT", NULL, NULL, NULL) != SQLITE_OK)
        st = book_fail(b, err);
    if (st && !sqlite3_get_autocommit(b->db))
        sqlite3_exec(b->db, "ROLLBACK", NULL, NULL, NULL);
    return st;
}

static enum kt_status give_key(struct book *b, const struct kt_store *s, const char *purpose,
                               struct kt_error *err)
{
    uint8_t *key = key_alloc();
    enum kt_status st =
        key ? store_subkey(key, s, purpose, err) : kt_fail(err, KT_E_NOMEM, "out of memory");
    if (!st) {
        char text[4 + 2 * KEY_BYTES + 1] = "raw:";
        sodium_bin2hex(text + 4, 2 * KEY_BYTES + 1, key, KEY_BYTES);
        if (sqlite3_key(b->db, text, (int)strlen(text)) != SQLITE_OK)
            st = book_fail(b, err);
        sodium_memzero(text, sizeof(text));
    }
    key_free(key);
    return st;
}

static const char SETTINGS[] =
    "PRAGMA trusted_schema=OFF; PRAGMA cell_size_check=ON; PRAGMA secure_delete=ON;"
    "PRAGMA foreign_keys=ON; PRAGMA synchronous=FULL; PRAGMA temp_store=MEMORY;";

static enum kt_status open_file(struct book *b, const struct kt_store *s,
                                const struct book_layout *l, struct kt_error *err)
{
    b->path = path_join(store_home(s), l->file);
    if (!b->path)
        return kt_fail(err, KT_E_NOMEM, "%s: out of memory", l->file);
    mode_t before = umask(0077);
    int rc = sqlite3_open_v2(
        b->path, &b->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_EXRESCODE, NULL);
    umask(before);
    if (rc != SQLITE_OK)
        return kt_fail(err, KT_E_IO, "%s: cannot open: %s", b->path, sqlite3_errstr(rc));
    sqlite3_busy_timeout(b->db, WAIT_MS);
    sqlite3_db_config(b->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    enum kt_status st = give_key(b, s, l->purpose, err);
    if (!st && sqlite3_exec(b->db, SETTINGS, NULL, NULL, NULL) != SQLITE_OK)
        st = book_fail(b, err);
    return st ? st : make_tables(b, l, err);
}

enum kt_status book_open(struct book **out, const struct kt_store *s,
                         const struct book_layout *layout, struct kt_error *err)
{
    *out = NULL;
    struct book *b = calloc(1, sizeof(*b));
    if (!b)
        return kt_fail(err, KT_E_NOMEM, "%s: out of memory", layout->file);
    pthread_mutex_init(&b->lock, NULL);
    enum kt_status st = open_file(b, s, layout, err);
    if (st) {
        book_close(b);
        return st;
    }
    *out = b;
    return KT_OK;
}

void book_close(struct book *b)
{
    if (!b)
        return;
    if (b->db)
        sqlite3_close_v2(b->db);
    pthread_mutex_destroy(&b->lock);
    free(b->path);
    free(b);
}
