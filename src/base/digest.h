/* base/digest.h: a fingerprint of bytes (BLAKE2b, 256 bits, libsodium): who knows two contents with the same one
 * has broken it. For telling contents apart in memory; nothing on disk depends on it. */
#ifndef BASE_DIGEST_H
#define BASE_DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct digest {
    uint8_t bytes[32];
};

/* Of 'head' followed by 'body'. */
struct digest digest_of(const void *head, size_t head_len, const void *body, size_t body_len);

static inline bool digest_eq(const struct digest *a, const struct digest *b)
{
    return memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

#endif
