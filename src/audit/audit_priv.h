/* audit/audit_priv.h: what writing and verifying share: the shape of a line, its hash, the head. */
#ifndef AUDIT_AUDIT_PRIV_H
#define AUDIT_AUDIT_PRIV_H

#include <pthread.h>
#include <stdbool.h>

#include "audit/audit.h"

struct audit_hash {
    uint8_t bytes[32];
};

/* Where the chain is: the number of the last line (0: none yet) and its hash (zeros). */
struct audit_link {
    uint64_t n;
    struct audit_hash hash;
};

enum { AUDIT_SEAL_EVERY = 64 };

struct audit {
    pthread_mutex_t lock; /* guards the rest; between processes it is the lock file */
    char *dir;
    uint8_t *key;         /* locked memory */
    struct audit_link at; /* the last line known here */
    uint64_t sealed_n;    /* the head's number, as last read or written here */
    uint64_t n_lost;      /* since the last line that could be written */
    uint64_t max_bytes;   /* of a file, before another one begins */
    bool knows_head;
    bool seals; /* false: the head was taken away or changed, and no new one is to hide that */
};

/* A line is {"n":N,...,"hash":"<64 hex>"}: everything before ,"hash" is what is hashed. */
bool audit_line_split(const char *line, size_t len, uint64_t *n, size_t *body_len,
                      struct audit_hash *hash);
struct audit_hash audit_hash_of(const uint8_t *key, const struct audit_hash *before,
                                const char *body, size_t body_len);
bool audit_hash_eq(const struct audit_hash *a, const struct audit_hash *b);

/* The lock between processes; close() lets go. -1: it cannot be had (no folder that can be written). */
int audit_lock(const char *dir, bool may_write);

/* The head. *found: there is one, and it is sealed with this key; a file that is not is KT_E_FORMAT. */
KT_MUST_CHECK enum kt_status audit_head_read(struct audit_link *out, bool *found, const char *dir,
                                             const uint8_t *key, struct kt_error *err);
KT_MUST_CHECK enum kt_status audit_head_write(const struct audit_link *at, const char *dir,
                                              const uint8_t *key, struct kt_error *err);

/* The record's files in order of their first lines, audit.log last. Heap, each and all. */
KT_MUST_CHECK enum kt_status audit_files(char ***out, size_t *n, const char *dir,
                                         struct kt_error *err);
void audit_files_free(char **files, size_t n);

#endif
