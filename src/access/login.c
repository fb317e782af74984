/* access/login.c: a name, a password, and how often one may try.
 *
 * After FREE failures of a name or from an address the next try is looked at only after WAIT_MIN_S seconds; each
 * further failure doubles that, up to a quarter of an hour. The counts live in memory: a restart forgets them, and whoever
 * can restart the server needs no password. A name that does not exist costs the same time as one that
 * does. */
#include <sodium.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "access/access_priv.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/size.h"

enum { FREE = 5, WAIT_MIN_S = 5, WAIT_MAX_S = 900, FORGET_S = 3600 };

static uint64_t hash_of(const struct access *a, char kind, const char *text)
{
    uint64_t h;
    uint8_t bytes[ACCESS_NAME_MAX + 2] = { (uint8_t)kind };
    size_t n = MIN(strlen(text), (size_t)ACCESS_NAME_MAX);
    memcpy(bytes + 1, text, n);
    crypto_shorthash((uint8_t *)&h, bytes, n + 1, a->pepper);
    return h | 1;
}

/* The entry of 'who', or the one to replace: the longest unused. login_lock is held. */
static struct failure *entry_of(struct access *a, uint64_t who)
{
    struct failure *old = &a->failures[0];
    for (size_t i = 0; i < FAILURES_KEPT; i++) {
        struct failure *f = &a->failures[i];
        if (f->who == who)
            return f;
        if (f->last < old->last)
            old = f;
    }
    *old = (struct failure){ .who = who };
    return old;
}

static unsigned must_wait(struct access *a, uint64_t who, int64_t now)
{
    struct failure *f = entry_of(a, who);
    if (now - f->last > FORGET_S)
        f->n = 0;
    return f->until > now ? (unsigned)(f->until - now) : 0;
}

static void count_failure(struct access *a, uint64_t who, int64_t now)
{
    struct failure *f = entry_of(a, who);
    f->n++;
    f->last = now;
    if (f->n >= FREE)
        f->until =
            now + (f->n - FREE < 10 ? MIN(WAIT_MIN_S << (f->n - FREE), WAIT_MAX_S) : WAIT_MAX_S);
}

/* The right password: the try that was counted was none. Earlier failures stay counted, or whoever has one
 * password could guess at another for ever. */
static void take_back(struct access *a, uint64_t who)
{
    struct failure *f = entry_of(a, who);
    f->n -= f->n > 0;
    f->until = 0;
}

struct found {
    struct identity *who;
    char hash[crypto_pwhash_STRBYTES]; /* terminated */
};

static bool take_user(void *ctx, sqlite3_stmt *row)
{
    struct found *f = ctx;
    *f->who = (struct identity){ .user = sqlite3_column_int64(row, 0),
                                 .admin = sqlite3_column_int(row, 2) };
    const char *name = (const char *)sqlite3_column_text(row, 1);
    const char *hash = (const char *)sqlite3_column_text(row, 3);
    strncpy(f->who->name, name ? name : "", ACCESS_NAME_MAX);
    snprintf(f->hash, sizeof(f->hash), "%s", hash ? hash : "");
    return false;
}

/* Of nobody: what a name that does not exist is compared with. */
static const char NOBODY[] = "$argon2id$v=19$m=65536,t=3,p=1$AAAAAAAAAAAAAAAAAAAAAA$"
                             "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

static bool is_right(struct access *a, const char *hash, const char *password)
{
    char padded[crypto_pwhash_STRBYTES] = { 0 };
    memcpy(padded, hash[0] ? hash : NOBODY, strlen(hash[0] ? hash : NOBODY));
    pthread_mutex_lock(&a->login_lock);
    while (a->n_logins >= LOGINS_AT_ONCE)
        pthread_cond_wait(&a->login_free, &a->login_lock);
    a->n_logins++;
    pthread_mutex_unlock(&a->login_lock);
    bool ok = crypto_pwhash_str_verify(padded, password, strlen(password)) == 0 && hash[0];
    pthread_mutex_lock(&a->login_lock);
    a->n_logins--;
    pthread_cond_signal(&a->login_free);
    pthread_mutex_unlock(&a->login_lock);
    return ok;
}

static enum kt_status begin_session(struct access *a, char token[static ACCESS_SECRET_MAX],
                                    struct identity *who, struct kt_error *err)
{
    uint8_t hash[HASH_BYTES], unused[HASH_BYTES];
    int64_t now = clock_unix_s();
    secret_make(token, hash, "");
    secret_make(who->csrf, unused, "");
    who->by_session = true;
    enum kt_status st =
        book_run(a->book, NULL, err, "DELETE FROM sessions WHERE created < ?1 OR used < ?2",
                 B_INT(now - SESSION_S), B_INT(now - SESSION_IDLE_S), B_END);
    return st ? st
              : book_run(a->book, NULL, err,
                         "INSERT INTO sessions(hash, user, csrf, created, used) VALUES(?1, ?2, ?3, "
                         "?4, ?4)",
                         B_BLOB(hash, sizeof(hash)), B_INT(who->user), B_TEXT(who->csrf),
                         B_INT(now), B_END);
}

enum kt_status access_login(struct access *a, const char *name, const char *password,
                            const char *peer, char token[static ACCESS_SECRET_MAX],
                            struct identity *out, unsigned *wait_s, struct kt_error *err)
{
    uint64_t by_name = hash_of(a, 'n', name), by_peer = hash_of(a, 'p', peer);
    int64_t now = clock_unix_s();
    /* A failure is counted before it is known to be one, and taken back: so many tries at once count as
     * many, too. */
    pthread_mutex_lock(&a->login_lock);
    *wait_s = MAX(must_wait(a, by_name, now), must_wait(a, by_peer, now));
    if (!*wait_s) {
        count_failure(a, by_name, now);
        count_failure(a, by_peer, now);
    }
    pthread_mutex_unlock(&a->login_lock);
    if (*wait_s)
        return kt_fail(err, KT_E_TIMEOUT, "too many failed logins; wait %u seconds", *wait_s);
    struct found f = { .who = out };
    *out = (struct identity){ 0 };
    enum kt_status st = book_rows(a->book, take_user, &f, err,
                                  "SELECT id, name, admin, password FROM users WHERE name = ?1",
                                  B_TEXT(name), B_END);
    if (st)
        return st;
    bool right = strlen(password) <= PASSWORD_MAX && is_right(a, f.hash, password);
    sodium_memzero(f.hash, sizeof(f.hash));
    if (right) {
        pthread_mutex_lock(&a->login_lock);
        take_back(a, by_name);
        take_back(a, by_peer);
        pthread_mutex_unlock(&a->login_lock);
        audit_note(a->audit, &(struct audit_event){ .kind = AUDIT_LOGIN, .subject = out->user });
        return begin_session(a, token, out, err);
    }
    audit_note(a->audit,
               &(struct audit_event){ .kind = AUDIT_LOGIN_REFUSED, .subject = out->user });
    *out = (struct identity){ 0 };
    log_event(LOG_WARN, "access.login_failed", LOG_END);
    return kt_fail(err, KT_E_KEY, "wrong name or password");
}
