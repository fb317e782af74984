/* kept/kept.c: see kept.h. */
#include "kept/kept.h"

#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "store/book.h"

struct kept {
    struct book *book;
    struct kept_limits limits;
};

static const char SCHEMA[] =
    "CREATE TABLE answers(seq INTEGER PRIMARY KEY AUTOINCREMENT, user INTEGER NOT NULL, id TEXT "
    "NOT NULL,"
    " created INTEGER NOT NULL, text BLOB NOT NULL, UNIQUE(user, id)) STRICT;"
    "CREATE INDEX answers_created ON answers(created);";
static const struct book_layout LAYOUT = { "responses.db", "kontor kept answers 1", SCHEMA, 1 };

enum { DAY_S = 24 * 3600 };

enum kt_status kept_open(struct kept **out, const struct kt_store *s,
                         const struct kept_limits *limits, struct kt_error *err)
{
    *out = NULL;
    struct kept *k = calloc(1, sizeof(*k));
    if (!k)
        return kt_fail(err, KT_E_NOMEM, "kept answers: out of memory");
    k->limits = limits ? *limits : (struct kept_limits){ 0 };
    k->limits.n = k->limits.n ? k->limits.n : KEPT_PER_USER;
    k->limits.bytes = k->limits.bytes ? k->limits.bytes : KEPT_BYTES_PER_USER;
    enum kt_status st = book_open(&k->book, s, &LAYOUT, err);
    if (st) {
        kept_close(k);
        return st;
    }
    *out = k;
    return KT_OK;
}

void kept_close(struct kept *k)
{
    if (!k)
        return;
    book_close(k->book);
    free(k);
}

/* What is too old, of all; and of this user what a new text of 'len' bytes leaves no room for. */
static enum kt_status make_room(struct kept *k, int64_t user, size_t len, struct kt_error *err)
{
    enum kt_status st = book_run(k->book, NULL, err, "DELETE FROM answers WHERE created < ?1",
                                 B_INT(clock_unix_s() - (int64_t)KEPT_DAYS * DAY_S), B_END);
    if (st)
        return st;
    return book_run(k->book, NULL, err,
                    "DELETE FROM answers WHERE seq IN (SELECT seq FROM (SELECT seq,"
                    " row_number() OVER newest AS n, sum(length(text)) OVER newest AS bytes FROM "
                    "answers WHERE user = ?1"
                    " WINDOW newest AS (ORDER BY seq DESC)) WHERE n >= ?2 OR bytes > ?3)",
                    B_INT(user), B_INT((int64_t)k->limits.n),
                    B_INT((int64_t)(k->limits.bytes - len)), B_END);
}

enum kt_status kept_put(struct kept *k, int64_t user, const char *id, struct span text,
                        struct kt_error *err)
{
    if (text.len > k->limits.bytes)
        return kt_fail(err, KT_E_LIMIT,
                       "an answer of %zu bytes is too large to be kept (%zu at most)", text.len,
                       k->limits.bytes);
    enum kt_status st = make_room(k, user, text.len, err);
    return st ? st
              : book_run(k->book, NULL, err,
                         "INSERT INTO answers(user, id, created, text) VALUES(?1, ?2, ?3, ?4)",
                         B_INT(user), B_TEXT(id), B_INT(clock_unix_s()),
                         B_BLOB((const uint8_t *)text.ptr, text.len), B_END);
}

struct taking {
    char *text;
    size_t len;
    bool found;
};

static bool take_text(void *ctx, sqlite3_stmt *row)
{
    struct taking *t = ctx;
    const void *bytes = sqlite3_column_blob(row, 0);
    t->found = true;
    t->len = (size_t)sqlite3_column_bytes(row, 0);
    t->text = malloc(t->len + 1);
    if (t->text && bytes)
        memcpy(t->text, bytes, t->len);
    if (t->text)
        t->text[t->len] = 0;
    return false;
}

static enum kt_status not_found(struct kt_error *err)
{
    return kt_fail(err, KT_E_NOTFOUND, "there is no such response (any more)");
}

enum kt_status kept_get(struct kept *k, int64_t user, const char *id, char **text, size_t *len,
                        struct kt_error *err)
{
    struct taking t = { 0 };
    *text = NULL;
    *len = 0;
    enum kt_status st = book_rows(
        k->book, take_text, &t, err,
        "SELECT text FROM answers WHERE user = ?1 AND id = ?2 AND created >= ?3", B_INT(user),
        B_TEXT(id), B_INT(clock_unix_s() - (int64_t)KEPT_DAYS * DAY_S), B_END);
    if (st || !t.found) {
        free(t.text);
        return st ? st : not_found(err);
    }
    if (!t.text)
        return kt_fail(err, KT_E_NOMEM, "kept answers: out of memory");
    *text = t.text;
    *len = t.len;
    return KT_OK;
}

enum kt_status kept_remove(struct kept *k, int64_t user, const char *id, struct kt_error *err)
{
    size_t n = 0;
    enum kt_status st =
        book_run(k->book, &n, err, "DELETE FROM answers WHERE user = ?1 AND id = ?2", B_INT(user),
                 B_TEXT(id), B_END);
    return st || n ? st : not_found(err);
}

struct users {
    const int64_t *list;
    size_t n;
    int64_t gone; /* the first that is not in the list; -1: none */
};

static bool look_for_gone(void *ctx, sqlite3_stmt *row)
{
    struct users *u = ctx;
    int64_t user = sqlite3_column_int64(row, 0);
    for (size_t i = 0; i < u->n; i++)
        if (u->list[i] == user)
            return true;
    u->gone = user;
    return false;
}

enum kt_status kept_only_users(struct kept *k, const int64_t *users, size_t n, struct kt_error *err)
{
    for (;;) {
        struct users u = { users, n, -1 };
        enum kt_status st =
            book_rows(k->book, look_for_gone, &u, err, "SELECT DISTINCT user FROM answers", B_END);
        if (st || u.gone < 0)
            return st;
        st = book_run(k->book, NULL, err, "DELETE FROM answers WHERE user = ?1", B_INT(u.gone),
                      B_END);
        if (st)
            return st;
    }
}
