/* office/notify.h: is anything going on below these folders? inotify, without saying what: the run that follows finds out. */
#ifndef OFFICE_NOTIFY_H
#define OFFICE_NOTIFY_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

struct notify {
    int fd;
    bool
        blind; /* some folder cannot be watched (a network share, no watches left): look through it now and then */
};

KT_MUST_CHECK enum kt_status notify_open(struct notify *n, struct kt_error *err);
void notify_close(struct notify *n);
/* Watch every folder at and below the paths, also those that are new since the last time. Comes before a run: what changes after it
 * is seen here, what changed before it is seen by the run. */
void notify_arm(struct notify *n, const char *const *paths, size_t n_paths);
/* Wait at most timeout_ms; true: something changed, or events were lost. Hidden files and lock files do not count. */
bool notify_wait(struct notify *n, int timeout_ms);

#endif
