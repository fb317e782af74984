/* api/spool.h: bytes of a request as files, for readers that are given files.
 *
 * They lie in memory (/dev/shm), in a folder of their own that nobody else may enter, for as long as they are read: nothing of a
 * request is ever in the clear on a disk. */
#ifndef API_SPOOL_H
#define API_SPOOL_H

#include "base/span.h"
#include "base/status.h"

struct spool {
    char dir[64];
    char *path; /* of the last file */
};

/* One more file, in the spool's folder, which the first one makes. 'name' has no '/'. */
KT_MUST_CHECK enum kt_status spool_write(struct spool *s, const char *name, struct span bytes,
                                         struct kt_error *err);
/* The folder with everything in it. Also after a failure, and of an empty spool. */
void spool_remove(struct spool *s);
/* What servers that were killed left there. */
void spool_sweep(void);

#endif
