/* hub/hash.h: SHA-256 of large files, while they arrive or from the disk, by OpenSSL: with the
 * processor's own instructions it is three times libsodium's speed (PERFORMANCE.md), and a model is
 * hashed whole. */
#ifndef HUB_HASH_H
#define HUB_HASH_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct hasher;

/* NULL when out of memory. Also computes git's blob id (SHA-1 over a header with the length) when
 * git_bytes is not UINT64_MAX: a hub names small files by it. */
struct hasher *hasher_create(uint64_t git_bytes);
void hasher_destroy(struct hasher *h);
void hasher_add(struct hasher *h, const void *data, size_t len);
/* Hex and a zero. The hasher is then of no more use. 'git' may be NULL. */
void hasher_end(struct hasher *h, char sha256[static 65], char *git /* [41] */);

/* Called every few MB; true stops with KT_E_CANCELLED. */
typedef bool (*hash_watch_fn)(void *ctx, uint64_t n_bytes_more);

/* Add the first n bytes that 'fd' has from its current offset. KT_E_FORMAT when it has fewer. */
KT_MUST_CHECK enum kt_status hash_fd(struct hasher *h, int fd, uint64_t n, const char *name,
                                     hash_watch_fn watch, void *ctx, struct kt_error *err);
/* The whole file. */
KT_MUST_CHECK enum kt_status hash_file(char sha256[static 65], uint64_t *bytes, const char *path,
                                       hash_watch_fn watch, void *ctx, struct kt_error *err);

#endif
