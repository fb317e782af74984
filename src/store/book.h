/* store/book.h: a small encrypted file of the home's own: rows that belong to no matter.
 *
 * One noun: a book, one SQLite3 Multiple Ciphers file under the home's key for its purpose (store/subkey.h). Small and rarely
 * written: one connection, rollback journal, deleted rows overwritten, every write on the disk before it counts.
 *
 * Thread-safe, statement by statement; other processes may write to the same book. */
#ifndef STORE_BOOK_H
#define STORE_BOOK_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "kontor/store.h"

struct book;
struct sqlite3_stmt;

struct book_layout {
    const char *file;    /* in the home */
    const char *purpose; /* of its key, a fixed text */
    const char *schema;  /* SQL that makes the tables */
    int version;         /* of the layout, from 1 */
};
KT_MUST_CHECK enum kt_status book_open(struct book **out, const struct kt_store *s,
                                       const struct book_layout *layout, struct kt_error *err);
void book_close(struct book *b);

struct bind {
    enum { BIND_END, BIND_INT, BIND_TEXT, BIND_BLOB } kind;
    int64_t i;
    const char *text; /* NULL: SQL's NULL */
    const uint8_t *blob;
    size_t len;
};
#define B_INT(v)     ((struct bind){ .kind = BIND_INT, .i = (v) })
#define B_TEXT(v)    ((struct bind){ .kind = BIND_TEXT, .text = (v) })
#define B_BLOB(p, n) ((struct bind){ .kind = BIND_BLOB, .blob = (p), .len = (n) })
#define B_END        ((struct bind){ .kind = BIND_END })
/* Run one statement with its values; *n_changed may be NULL. KT_E_EXISTS: a row that may be there once is there. */
KT_MUST_CHECK enum kt_status book_run(struct book *b, size_t *n_changed, struct kt_error *err,
                                      const char *sql, ...);
/* Rows of a query, one call each, under the book's lock. fn returns false to end. */
typedef bool (*row_fn)(void *ctx, struct sqlite3_stmt *row);
KT_MUST_CHECK enum kt_status book_rows(struct book *b, row_fn fn, void *ctx, struct kt_error *err,
                                       const char *sql, ...);

#endif
