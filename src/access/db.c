/* access/db.c: the book's tables. */
#include <sodium.h>
#include <stdlib.h>

#include "access/access_priv.h"
#include "store/subkey.h"

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

static const struct book_layout LAYOUT = { "access.db", "kontor access book 1", SCHEMA, 1 };

enum kt_status access_open(struct access **out, const struct kt_store *s, struct kt_error *err)
{
    *out = NULL;
    struct access *a = calloc(1, sizeof(*a));
    if (!a)
        return kt_fail(err, KT_E_NOMEM, "access: out of memory");
    pthread_mutex_init(&a->login_lock, NULL);
    pthread_cond_init(&a->login_free, NULL);
    randombytes_buf(a->pepper, sizeof(a->pepper));
    a->audit = store_audit(s);
    enum kt_status st = book_open(&a->book, s, &LAYOUT, err);
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
    book_close(a->book);
    pthread_mutex_destroy(&a->login_lock);
    pthread_cond_destroy(&a->login_free);
    free(a);
}
