/* access/access_priv.h: what the files of this folder share. */
#ifndef ACCESS_ACCESS_PRIV_H
#define ACCESS_ACCESS_PRIV_H

#include <pthread.h>

#include "access/access.h"
#include "audit/audit.h"
#include "base/status.h"
#include "store/book.h"

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
    struct book *book;
    struct audit *audit;        /* the home's */
    uint8_t pepper[16];         /* of this run, for the hashes below */
    pthread_mutex_t login_lock; /* guards what follows */
    pthread_cond_t login_free;
    unsigned n_logins;
    struct failure failures[FAILURES_KEPT];
};

/* ---- users.c ---- */
/* The user's id, 0 when there is none of that name. */
int64_t user_id(struct access *a, const char *name);
/* ---- credentials.c ---- */
/* A fresh secret "PREFIX" and 43 letters, and its hash. */
void secret_make(char out[static ACCESS_SECRET_MAX], uint8_t hash[static HASH_BYTES],
                 const char *prefix);
void secret_hash(uint8_t hash[static HASH_BYTES], struct span secret);

#endif
