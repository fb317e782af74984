/* access/users.c: users, their keys' labels, and rights. */
#include <sodium.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#include "access/access_priv.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/utf8.h"

static enum kt_status check_name(const char *name, struct kt_error *err)
{
    size_t n = name ? strlen(name) : 0;
    static const char FIRST[] = "abcdefghijklmnopqrstuvwxyz0123456789";
    bool ok = n >= 1 && n <= ACCESS_NAME_MAX && strchr(FIRST, name[0]) &&
              strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789._-@") == n;
    return ok ? KT_OK
              : kt_fail(
                    err, KT_E_USAGE,
                    "a user's name is 1 to %d of a-z 0-9 . _ - @ and begins with a letter or digit",
                    ACCESS_NAME_MAX);
}

static enum kt_status no_such_user(const char *name, struct kt_error *err)
{
    enum kt_status st = check_name(name, err);
    return st ? st : kt_fail(err, KT_E_NOTFOUND, "there is no user '%s'", name);
}

/* '*out' is what the book keeps, heap; NULL for no password. */
static enum kt_status hash_password(char **out, const char *password, struct kt_error *err)
{
    *out = NULL;
    if (!password)
        return KT_OK;
    size_t n = strlen(password);
    if (n > PASSWORD_MAX || utf8_count(span_of(password)) < PASSWORD_MIN)
        return kt_fail(err, KT_E_USAGE,
                       "a password has at least %d characters, and at most %d bytes", PASSWORD_MIN,
                       PASSWORD_MAX);
    *out = malloc(crypto_pwhash_STRBYTES);
    if (!*out || crypto_pwhash_str(*out, password, n, 3, 64u << 20)) {
        free(*out);
        *out = NULL;
        return kt_fail(err, KT_E_NOMEM, "not enough memory for a password (64 MiB)");
    }
    return KT_OK;
}

static bool take_id(void *ctx, sqlite3_stmt *row)
{
    *(int64_t *)ctx = sqlite3_column_int64(row, 0);
    return false;
}

int64_t user_id(struct access *a, const char *name)
{
    struct kt_error err;
    int64_t id = 0;
    return book_rows(a->book, take_id, &id, &err, "SELECT id FROM users WHERE name = ?1",
                     B_TEXT(name), B_END)
               ? 0
               : id;
}

static void note(struct access *a, int64_t subject)
{
    audit_note(a->audit, &(struct audit_event){ .kind = AUDIT_USER, .subject = subject });
}

enum kt_status access_user_add(struct access *a, const char *name, bool admin, const char *password,
                               struct kt_error *err)
{
    char *hash;
    enum kt_status st = check_name(name, err);
    if (!st)
        st = hash_password(&hash, password, err);
    if (st)
        return st;
    st = book_run(a->book, NULL, err,
                  "INSERT INTO users(name, admin, password, created) VALUES(?1, ?2, ?3, ?4)",
                  B_TEXT(name), B_INT(admin), B_TEXT(hash), B_INT(clock_unix_s()), B_END);
    free(hash);
    if (st == KT_E_EXISTS)
        st = kt_fail(err, KT_E_EXISTS, "there is a user '%s' already", name);
    if (!st)
        note(a, user_id(a, name));
    return st;
}

enum kt_status access_user_passwd(struct access *a, const char *name, const char *password,
                                  struct kt_error *err)
{
    char *hash;
    size_t n = 0;
    enum kt_status st = hash_password(&hash, password, err);
    if (st)
        return st;
    st = book_run(a->book, &n, err, "UPDATE users SET password = ?2 WHERE name = ?1", B_TEXT(name),
                  B_TEXT(hash), B_END);
    free(hash);
    if (!st && n == 0)
        return no_such_user(name, err);
    if (!st)
        note(a, user_id(a, name));
    return st ? st
              : book_run(a->book, NULL, err,
                         "DELETE FROM sessions WHERE user = (SELECT id FROM users WHERE name = ?1)",
                         B_TEXT(name), B_END);
}

enum kt_status access_user_remove(struct access *a, const char *name, struct kt_error *err)
{
    size_t n = 0;
    int64_t id = user_id(a, name);
    enum kt_status st =
        book_run(a->book, &n, err, "DELETE FROM users WHERE name = ?1", B_TEXT(name), B_END);
    if (!st && n)
        note(a, id);
    return !st && n == 0 ? no_such_user(name, err) : st;
}

struct listing {
    struct access_user *list;
    size_t n, cap;
    bool failed;
};

static bool list_row(void *ctx, sqlite3_stmt *row)
{
    struct listing *l = ctx;
    if (l->n == l->cap) {
        size_t cap = l->cap ? 2 * l->cap : 16;
        struct access_user *list = realloc(l->list, cap * sizeof(*list));
        if (!list) {
            l->failed = true;
            return false;
        }
        l->list = list;
        l->cap = cap;
    }
    struct access_user *u = &l->list[l->n++];
    *u = (struct access_user){ .id = sqlite3_column_int64(row, 0),
                               .admin = sqlite3_column_int(row, 2),
                               .has_password = sqlite3_column_int(row, 3),
                               .n_keys = (size_t)sqlite3_column_int64(row, 4),
                               .n_matters = (size_t)sqlite3_column_int64(row, 5) };
    const char *name = (const char *)sqlite3_column_text(row, 1);
    strncpy(u->name, name ? name : "", ACCESS_NAME_MAX);
    return true;
}

enum kt_status access_user_list(struct access *a, struct access_user **out, size_t *n,
                                struct kt_error *err)
{
    struct listing l = { 0 };
    *out = NULL;
    *n = 0;
    enum kt_status st =
        book_rows(a->book, list_row, &l, err,
                  "SELECT id, name, admin, password IS NOT NULL, (SELECT count(*) FROM keys WHERE "
                  "user = users.id),"
                  " (SELECT count(*) FROM rights WHERE user = users.id) FROM users ORDER BY name",
                  B_END);
    if (!st && l.failed)
        st = kt_fail(err, KT_E_NOMEM, "access: out of memory");
    if (st) {
        free(l.list);
        return st;
    }
    *out = l.list;
    *n = l.n;
    return KT_OK;
}

static bool take_size(void *ctx, sqlite3_stmt *row)
{
    *(size_t *)ctx = (size_t)sqlite3_column_int64(row, 0);
    return false;
}

enum kt_status access_n_users(struct access *a, size_t *n, struct kt_error *err)
{
    *n = 0;
    return book_rows(a->book, take_size, n, err, "SELECT count(*) FROM users", B_END);
}

/* ---- rights ---------------------------------------------------------------------------------- */

enum kt_status access_grant(struct access *a, const char *user, const char *matter_id,
                            enum access_right right, struct kt_error *err)
{
    size_t n = 0, known = 0;
    enum kt_status st =
        book_rows(a->book, take_size, &known, err, "SELECT count(*) FROM users WHERE name = ?1",
                  B_TEXT(user), B_END);
    if (!st && !known)
        st = no_such_user(user, err);
    if (st)
        return st;
    st = right == ACCESS_NONE
             ? book_run(a->book, &n, err,
                        "DELETE FROM rights WHERE matter = ?2 AND user = (SELECT id FROM users "
                        "WHERE name = ?1)",
                        B_TEXT(user), B_TEXT(matter_id), B_END)
             : book_run(
                   a->book, &n, err,
                   "INSERT OR REPLACE INTO rights(user, matter, may) SELECT id, ?2, ?3 FROM users"
                   " WHERE name = ?1",
                   B_TEXT(user), B_TEXT(matter_id), B_INT(right), B_END);
    if (!st)
        audit_note(a->audit, &(struct audit_event){ .kind = AUDIT_RIGHT,
                                                    .matter = matter_id,
                                                    .subject = user_id(a, user),
                                                    .count = (uint64_t)right });
    if (!st)
        log_event(LOG_WARN, "access.granted", LOG_WORD("user", user), LOG_WORD("matter", matter_id),
                  LOG_I64("right", right), LOG_END);
    return st;
}

enum kt_status access_right(struct access *a, const struct identity *who, const char *matter_id,
                            enum access_right *out, struct kt_error *err)
{
    size_t may = ACCESS_NONE;
    *out = ACCESS_NONE;
    if (who->user == 0) { /* 'local': there are no users to be kept apart */
        *out = ACCESS_WRITE;
        return KT_OK;
    }
    enum kt_status st = book_rows(a->book, take_size, &may, err,
                                  "SELECT may FROM rights WHERE user = ?1 AND matter = ?2",
                                  B_INT(who->user), B_TEXT(matter_id), B_END);
    if (!st && (may == ACCESS_READ || may == ACCESS_WRITE))
        *out = (enum access_right)may;
    return st;
}

enum kt_status access_forget_matter(struct access *a, const char *matter_id, struct kt_error *err)
{
    return book_run(a->book, NULL, err, "DELETE FROM rights WHERE matter = ?1", B_TEXT(matter_id),
                    B_END);
}
