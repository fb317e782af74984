/* access/credentials.c: keys and sessions: random secrets, of which the book keeps hashes.
 *
 * A secret has 256 random bits, so a fast hash is enough: there is nothing to guess. Looking one up by its
 * hash takes no time that depends on how much of it was right. */
#include <sodium.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

#include "access/access_priv.h"
#include "base/clock.h"
#include "base/log.h"

void secret_hash(uint8_t hash[static HASH_BYTES], struct span secret)
{
    crypto_generichash(hash, HASH_BYTES, (const uint8_t *)secret.ptr, secret.len,
                       (const uint8_t *)"kontor secret", 13);
}

void secret_make(char out[static ACCESS_SECRET_MAX], uint8_t hash[static HASH_BYTES],
                 const char *prefix)
{
    uint8_t random[32];
    char text[48];
    randombytes_buf(random, sizeof(random));
    sodium_bin2base64(text, sizeof(text), random, sizeof(random),
                      sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    snprintf(out, ACCESS_SECRET_MAX, "%s%s", prefix, text);
    secret_hash(hash, span_of(out));
    sodium_memzero(random, sizeof(random));
    sodium_memzero(text, sizeof(text));
}

static bool take_size(void *ctx, sqlite3_stmt *row)
{
    *(size_t *)ctx = (size_t)sqlite3_column_int64(row, 0);
    return false;
}

static bool is_label(const char *s)
{
    size_t n = s ? strlen(s) : 0;
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)s[i] < 0x20 || s[i] == 0x7F)
            return false;
    return n >= 1 && n <= LABEL_MAX;
}

enum kt_status access_key_create(struct access *a, const char *user, const char *label,
                                 char secret[static ACCESS_SECRET_MAX], struct kt_error *err)
{
    uint8_t hash[HASH_BYTES];
    size_t n = 0, n_keys = 0;
    if (!is_label(label))
        return kt_fail(err, KT_E_USAGE, "a key's label is 1 to %d bytes of text", LABEL_MAX);
    enum kt_status st =
        book_rows(a->book, take_size, &n_keys, err,
                  "SELECT count(*) FROM keys WHERE user = (SELECT id FROM users WHERE name = ?1)",
                  B_TEXT(user), B_END);
    if (!st && n_keys >= KEYS_PER_USER)
        st = kt_fail(err, KT_E_LIMIT, "this user has %zu keys, more are not given; remove one",
                     n_keys);
    if (st)
        return st;
    secret_make(secret, hash, "kt-");
    st = book_run(a->book, &n, err,
                  "INSERT INTO keys(user, label, hash, created) SELECT id, ?2, ?3, ?4 FROM users "
                  "WHERE name = ?1",
                  B_TEXT(user), B_TEXT(label), B_BLOB(hash, sizeof(hash)), B_INT(clock_unix_s()),
                  B_END);
    if (st == KT_E_EXISTS)
        st = kt_fail(err, KT_E_EXISTS,
                     "this user has a key of that label; remove it or choose another");
    if (!st && n == 0)
        st = kt_fail(err, KT_E_NOTFOUND, "there is no such user");
    if (st)
        sodium_memzero(secret, ACCESS_SECRET_MAX);
    else
        audit_note(a->audit, &(struct audit_event){
                                 .kind = AUDIT_KEY, .subject = user_id(a, user), .count = 1 });
    return st;
}

enum kt_status access_key_remove(struct access *a, const char *user, const char *label,
                                 struct kt_error *err)
{
    size_t n = 0;
    enum kt_status st = book_run(
        a->book, &n, err,
        "DELETE FROM keys WHERE label = ?2 AND user = (SELECT id FROM users WHERE name = ?1)",
        B_TEXT(user), B_TEXT(label), B_END);
    if (!st && n)
        audit_note(a->audit,
                   &(struct audit_event){ .kind = AUDIT_KEY, .subject = user_id(a, user) });
    return !st && n == 0 ? kt_fail(err, KT_E_NOTFOUND, "there is no such key") : st;
}

struct finding {
    struct identity *who;
    bool found;
};

/* id, name, admin[, csrf] */
static bool take_identity(void *ctx, sqlite3_stmt *row)
{
    struct finding *f = ctx;
    struct identity *who = f->who;
    *who = (struct identity){ .user = sqlite3_column_int64(row, 0),
                              .admin = sqlite3_column_int(row, 2) };
    const char *name = (const char *)sqlite3_column_text(row, 1);
    strncpy(who->name, name ? name : "", ACCESS_NAME_MAX);
    if (sqlite3_column_count(row) > 3) {
        const char *csrf = (const char *)sqlite3_column_text(row, 3);
        who->by_session = true;
        strncpy(who->csrf, csrf ? csrf : "", ACCESS_SECRET_MAX - 1);
    }
    f->found = true;
    return false;
}

enum kt_status access_by_key(struct access *a, struct span key, struct identity *out,
                             struct kt_error *err)
{
    uint8_t hash[HASH_BYTES];
    struct finding f = { .who = out };
    secret_hash(hash, key);
    enum kt_status st = book_rows(a->book, take_identity, &f, err,
                                  "SELECT users.id, users.name, users.admin FROM keys JOIN users ON"
                                  " users.id = keys.user WHERE keys.hash = ?1",
                                  B_BLOB(hash, sizeof(hash)), B_END);
    return !st && !f.found ? kt_fail(err, KT_E_KEY, "this key is not known here") : st;
}

enum kt_status access_by_session(struct access *a, struct span token, struct identity *out,
                                 struct kt_error *err)
{
    uint8_t hash[HASH_BYTES];
    struct finding f = { .who = out };
    int64_t now = clock_unix_s();
    secret_hash(hash, token);
    enum kt_status st = book_rows(
        a->book, take_identity, &f, err,
        "SELECT users.id, users.name, users.admin, sessions.csrf FROM sessions JOIN users ON"
        " users.id = sessions.user WHERE sessions.hash = ?1 AND sessions.created > ?2 AND"
        " sessions.used > ?3",
        B_BLOB(hash, sizeof(hash)), B_INT(now - SESSION_S), B_INT(now - SESSION_IDLE_S), B_END);
    if (!st && !f.found)
        return kt_fail(err, KT_E_KEY, "this session has ended; log in again");
    if (st)
        return st;
    /* noted to the minute: a write for every request would be felt. What cannot be noted (the disk is full) makes
     * the session end earlier, and is no reason to refuse this request. */
    st = book_run(a->book, NULL, err,
                  "UPDATE sessions SET used = ?2 WHERE hash = ?1 AND used < ?2 - 60",
                  B_BLOB(hash, sizeof(hash)), B_INT(now), B_END);
    if (st)
        log_event(LOG_WARN, "access.session_not_noted", LOG_I64("status", st), LOG_END);
    return KT_OK;
}

enum kt_status access_logout(struct access *a, struct span token, struct kt_error *err)
{
    uint8_t hash[HASH_BYTES];
    secret_hash(hash, token);
    enum kt_status st = book_run(a->book, NULL, err, "DELETE FROM sessions WHERE hash = ?1",
                                 B_BLOB(hash, sizeof(hash)), B_END);
    if (!st)
        audit_note(a->audit, &(struct audit_event){ .kind = AUDIT_LOGOUT });
    return st;
}
