/* access/access.h: who may do what.
 *
 * One noun: the access book, HOME/access.db, encrypted with a key of the home's. It knows users (a role,
 * perhaps a password), their API keys and sessions (stored as hashes), and which matters each may read or
 * write. Everything about rights is decided here, by access_right() and the identity's role.
 *
 *   member   the matters they were given
 *   admin    the same, and: users, keys, rights, making and destroying matters. No look into matters
 *            that were not given to them; they may give them to themselves, and that is logged.
 *
 * While the book has no users, the program is one person's: on a loopback address the account that runs
 * it is 'local', who may do everything (decided where connections are known, in api/routes.c).
 *
 * Thread-safe; other processes (kontor user) may write to the book at the same time. */
#ifndef ACCESS_ACCESS_H
#define ACCESS_ACCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"
#include "kontor/store.h"

struct access;

enum { ACCESS_NAME_MAX = 64, ACCESS_SECRET_MAX = 64 };

struct identity {
    int64_t user; /* 0: local */
    char name[ACCESS_NAME_MAX + 1];
    bool admin;
    bool by_session; /* a browser: its requests need the token below */
    char csrf[ACCESS_SECRET_MAX];
};

enum access_right { ACCESS_NONE, ACCESS_READ, ACCESS_WRITE };

KT_MUST_CHECK enum kt_status access_open(struct access **out, const struct kt_store *s,
                                         struct kt_error *err);
void access_close(struct access *a);

/* ---- users ---- */

/* Names: 1..64 of a-z 0-9 . _ - @, beginning with a letter or digit. 'password' NULL: none, keys only; else
 * at least 10 characters. KT_E_EXISTS. */
KT_MUST_CHECK enum kt_status access_user_add(struct access *a, const char *name, bool admin,
                                             const char *password, struct kt_error *err);
/* NULL takes the password away. Ends the user's sessions. */
KT_MUST_CHECK enum kt_status access_user_passwd(struct access *a, const char *name,
                                                const char *password, struct kt_error *err);
/* With keys, sessions and rights. KT_E_NOTFOUND. */
KT_MUST_CHECK enum kt_status access_user_remove(struct access *a, const char *name,
                                                struct kt_error *err);
struct access_user {
    int64_t id;
    char name[ACCESS_NAME_MAX + 1];
    bool admin, has_password;
    size_t n_keys, n_matters;
};
/* *out is the caller's to free(). */
KT_MUST_CHECK enum kt_status access_user_list(struct access *a, struct access_user **out, size_t *n,
                                              struct kt_error *err);
KT_MUST_CHECK enum kt_status access_n_users(struct access *a, size_t *n, struct kt_error *err);

/* ---- keys, for programs ---- */

/* The key itself is only ever in 'secret'; the book keeps a hash. 'label' tells keys apart. */
KT_MUST_CHECK enum kt_status
access_key_create(struct access *a, const char *user, const char *label,
                  char secret[static ACCESS_SECRET_MAX], struct kt_error *err);
KT_MUST_CHECK enum kt_status access_key_remove(struct access *a, const char *user,
                                               const char *label, struct kt_error *err);
/* KT_E_KEY: nobody's. */
KT_MUST_CHECK enum kt_status access_by_key(struct access *a, struct span key, struct identity *out,
                                           struct kt_error *err);

/* ---- sessions, for browsers ---- */

/* KT_E_KEY: wrong name or password (which of the two is not said, nor to be measured); KT_E_TIMEOUT: too
 * many failures, *wait_s says how long to wait. 'peer' is the client's address. Takes half a second; at most
 * two at once. */
KT_MUST_CHECK enum kt_status access_login(struct access *a, const char *name, const char *password,
                                          const char *peer, char token[static ACCESS_SECRET_MAX],
                                          struct identity *out, unsigned *wait_s,
                                          struct kt_error *err);
KT_MUST_CHECK enum kt_status access_by_session(struct access *a, struct span token,
                                               struct identity *out, struct kt_error *err);
KT_MUST_CHECK enum kt_status access_logout(struct access *a, struct span token,
                                           struct kt_error *err);

/* ---- matters ---- */

/* ACCESS_NONE takes the right away. */
KT_MUST_CHECK enum kt_status access_grant(struct access *a, const char *user, const char *matter_id,
                                          enum access_right right, struct kt_error *err);
/* The one place where a right is decided. */
KT_MUST_CHECK enum kt_status access_right(struct access *a, const struct identity *who,
                                          const char *matter_id, enum access_right *out,
                                          struct kt_error *err);
/* A matter was destroyed. */
KT_MUST_CHECK enum kt_status access_forget_matter(struct access *a, const char *matter_id,
                                                  struct kt_error *err);

#endif
