/* base/utf8.h: UTF-8, decoded strictly (RFC 3629: no surrogates, no overlong forms, at most
 * U+10FFFF). */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"

enum { UTF8_BAD = -1, UTF8_TORN = -2, UTF8_MAX_BYTES = 4 };

/* The code point at s[0..len), its length in *n_bytes. Ill-formed: UTF8_BAD, and *n_bytes is how
 * much to skip (the maximal subpart, as Unicode 3.9 recommends). A correct beginning cut off by
 * 'len': UTF8_TORN, *n_bytes = len. len must be > 0. */
int32_t utf8_decode(const char *s, size_t len, size_t *n_bytes);
/* Writes 1..4 bytes, returns how many. cp must be a scalar value. */
size_t utf8_encode(char out[static UTF8_MAX_BYTES], int32_t cp);
/* A byte that only stands inside a character: no text is cut before it. */
static inline bool utf8_is_continuation(char c)
{
    return ((unsigned char)c & 0xC0) == 0x80;
}
bool utf8_valid(struct span s);
size_t utf8_count(struct span s); /* code points; each ill-formed part counts as one */
/* Append s with every ill-formed part replaced by U+FFFD. */
void utf8_repair(struct buf *out, struct span s);
/* How many bytes at the end of s are the beginning of a character that is not complete yet (0..3).
 */
size_t utf8_torn_tail(struct span s);

#endif
