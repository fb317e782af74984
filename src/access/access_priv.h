/* access/access_priv.h: what the files of this folder share. */
#ifndef ACCESS_ACCESS_PRIV_H
#define ACCESS_ACCESS_PRIV_H

#include <pthread.h>

#include "access/access.h"
#include "base/status.h"

struct sqlite3;
struct sqlite3_stmt;

enum {
    HASH_BYTES = 32,
    SESSION_S = 7 * 24 * 3600,  /* a session ends after a week */
    SESSION_IDLE_S = 12 * 3600, /* or when it was not used for so long */
    PASSWORD_MIN = 10,
    PASSWORD_MAX = 1024,
    LABEL_MAX = 64,
    KEYS_PER_USER = 64,
    FAILURES_KEPT = 512, /* names and addresses with a failed login lately */
    LOGINS_AT_ONCE = 2,  /* each takes 64 MiB */
};

struct failure {
    uint64_t who; /* keyed hash of a name or an address; 0: free */
    unsigned n;
    int64_t until, last;
};

struct access {
    pthread_mutex_t lock; /* guards the connection */
    struct sqlite3 *db;
    char *path;
    uint8_t pepper[16];         /* of this run, for the hashes below */
    pthread_mutex_t login_lock; /* guards what follows */
    pthread_cond_t login_free;
    unsigned n_logins;
    struct failure failures[FAILURES_KEPT];
};

/* ---- db.c: every one takes the lock itself, or says that it is held ---- */
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
/* Run one statement with its values; *n_changed may be NULL. Takes the lock. */
KT_MUST_CHECK enum kt_status book_run(struct access *a, size_t *n_changed, struct kt_error *err,
                                      const char *sql, ...);
/* Rows of a query, one call each, under the lock. fn returns false to end. */
typedef bool (*row_fn)(void *ctx, struct sqlite3_stmt *row);
KT_MUST_CHECK enum kt_status book_rows(struct access *a, row_fn fn, void *ctx, struct kt_error *err,
                                       const char *sql, ...);

/* ---- credentials.c ---- */
/* A fresh secret "PREFIX" and 43 letters, and its hash. */
void secret_make(char out[static ACCESS_SECRET_MAX], uint8_t hash[static HASH_BYTES],
                 const char *prefix);
void secret_hash(uint8_t hash[static HASH_BYTES], struct span secret);

#endif
