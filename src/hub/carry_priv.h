/* hub/carry_priv.h: what export.c and import.c share: copying with a hash, and being watched. */
#ifndef HUB_CARRY_PRIV_H
#define HUB_CARRY_PRIV_H

#include "hub/carry.h"

struct carrier {
    const struct carry_watch *w;
    uint64_t done, total;
    const char *file; /* the present one, for the watcher */
};

void carrier_say(const struct carrier *c, const char *fmt, ...) KT_PRINTF(2, 3);

/* n bytes from 'in' to 'out' (-1: only hashed), added to h. */
KT_MUST_CHECK enum kt_status carry_bytes(struct carrier *c, int in, const char *in_name, int out,
                                         const char *out_name, uint64_t n, struct hasher *h,
                                         struct kt_error *err);
/* A regular file for reading; *bytes is its size. */
KT_MUST_CHECK enum kt_status carry_open(int *fd, uint64_t *bytes, const char *path,
                                        struct kt_error *err);
/* Fails with KT_E_NOSPACE when the disk of 'dir' has less. */
KT_MUST_CHECK enum kt_status carry_room(const char *dir, uint64_t bytes, struct kt_error *err);
/* A write that failed, with what usually helps. */
KT_MUST_CHECK enum kt_status carry_fail_write(int errnum, const char *path, struct kt_error *err);

#endif
