/* base/files.h: reading and writing files so that nothing is half there.
 *
 * Messages name the path. None of these follow a relative path outside what the caller gave. */
#ifndef BASE_FILES_H
#define BASE_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"
#include "base/status.h"

/* A whole file mapped read-only. 'data' is NULL for an empty file. */
struct file_map {
    const uint8_t *data;
    size_t size; /* bytes */
};

/* Map 'path'. Refuses directories and devices. A file that is truncated afterwards by somebody else
 * makes reads fault (SIGBUS): callers that map files of others say so. */
KT_MUST_CHECK enum kt_status file_map_open(struct file_map *out, const char *path,
                                           struct kt_error *err);
void file_map_close(struct file_map *m);

/* Append the file's bytes to 'out'; KT_E_LIMIT when it is larger than max_bytes. '-' is stdin. */
KT_MUST_CHECK enum kt_status file_read(struct buf *out, const char *path, size_t max_bytes,
                                       struct kt_error *err);
/* Read 'fd' to its end. 'name' is for messages. */
KT_MUST_CHECK enum kt_status file_read_fd(struct buf *out, int fd, const char *name,
                                          size_t max_bytes, struct kt_error *err);
/* Write everything, retrying short writes and EINTR. */
KT_MUST_CHECK enum kt_status file_write_fd(int fd, const void *ptr, size_t len, const char *name,
                                           struct kt_error *err);
/* Replace 'path' as one step: temporary file beside it, fsync, rename, fsync of the folder. After a
 * failure or a crash the old content is still there. 'mode' as for open(2). */
KT_MUST_CHECK enum kt_status file_replace(const char *path, const void *ptr, size_t len,
                                          unsigned mode, struct kt_error *err);
/* mkdir -p; existing folders are fine. */
KT_MUST_CHECK enum kt_status dir_make(const char *path, unsigned mode, struct kt_error *err);
bool file_exists(const char *path);

/* SHA-256 of a file (libsodium), as 64 hex digits and a zero. */
KT_MUST_CHECK enum kt_status file_sha256(char hex[static 65], const char *path,
                                         struct kt_error *err);

/* "a/b", or "b" when it is absolute; heap, NULL when out of memory. */
char *path_join(const char *a, const char *b);
/* The part after the last '/'. Points into path. */
const char *path_base(const char *path);
/* The extension with its dot in the base name, or "". Points into path. */
const char *path_ext(const char *path);

#endif
