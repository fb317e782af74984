/* kept/kept.h: answers that are kept, so that a conversation can be gone on with by naming the last one.
 *
 * One noun: the kept answers, HOME/responses.db, encrypted with a key of the home's. An answer is a text of the caller's (JSON),
 * belongs to one user, and is found by nobody else. It goes when its user asks, after KEPT_DAYS, when newer ones need the room,
 * and with the user.
 *
 * Thread-safe; other processes (kontor user remove) may write at the same time. */
#ifndef KEPT_KEPT_H
#define KEPT_KEPT_H

#include <stddef.h>
#include <stdint.h>

#include "base/span.h"
#include "base/status.h"
#include "kontor/store.h"

struct kept;

enum {
    KEPT_DAYS = 30,
    KEPT_PER_USER = 2000,          /* answers; then the oldest go */
    KEPT_BYTES_PER_USER = 1 << 28, /* 256 MiB, images included; then the oldest go */
    KEPT_ID_MAX = 64,
};

/* What one user may have; 0: as above. */
struct kept_limits {
    size_t n, bytes;
};
/* 'limits' may be NULL. */
KT_MUST_CHECK enum kt_status kept_open(struct kept **out, const struct kt_store *s,
                                       const struct kept_limits *limits, struct kt_error *err);
void kept_close(struct kept *k);

/* 'id' is new. KT_E_LIMIT: larger than all of a user's may be. */
KT_MUST_CHECK enum kt_status kept_put(struct kept *k, int64_t user, const char *id,
                                      struct span text, struct kt_error *err);
/* *text is the caller's to free(), terminated. KT_E_NOTFOUND: none of this user's. */
KT_MUST_CHECK enum kt_status kept_get(struct kept *k, int64_t user, const char *id, char **text,
                                      size_t *len, struct kt_error *err);
/* KT_E_NOTFOUND as above. */
KT_MUST_CHECK enum kt_status kept_remove(struct kept *k, int64_t user, const char *id,
                                         struct kt_error *err);
/* Users that are not among these are gone, and theirs with them. */
KT_MUST_CHECK enum kt_status kept_only_users(struct kept *k, const int64_t *users, size_t n,
                                             struct kt_error *err);

#endif
