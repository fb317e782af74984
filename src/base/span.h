/* base/span.h: borrowed bytes, and bytes that grow.
 *
 * A span points into somebody else's memory and says how long it is; it is not terminated. A buf
 * owns its memory, always keeps a terminating zero after 'len' for C's sake, and remembers the
 * first failed allocation, so that a writer checks once at the end instead of after every append.
 */
#ifndef BASE_SPAN_H
#define BASE_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct span {
    const char *ptr; /* may be NULL when len is 0 */
    size_t len;      /* bytes */
};

/* A span over a string literal. */
#define SPAN(lit) ((struct span){ (lit), sizeof(lit) - 1 })

struct span span_of(const char *s); /* strlen(); NULL gives the empty span */
struct span span_sub(struct span s, size_t from, size_t to); /* clamped to s */
struct span span_trim(struct span s);                        /* ASCII white space off both ends */
bool span_eq(struct span a, struct span b);
bool span_eq_str(struct span a, const char *s);
bool span_starts(struct span s, struct span prefix);
bool span_ends(struct span s, struct span suffix);
/* The number of n <= 8 bytes from 'at' on, the lowest first; bytes behind the end are 0. */
uint64_t span_le(struct span s, size_t at, size_t n);
/* Offset of the first occurrence of 'needle' at or after 'from', or SIZE_MAX. Empty needle: 'from'.
 */
size_t span_find(struct span s, struct span needle, size_t from);

struct buf {
    char *ptr;  /* NULL until the first append; then always followed by a zero byte */
    size_t len; /* bytes, without the zero */
    size_t cap;
    bool failed; /* an append ran out of memory; 'ptr' holds what came before */
};

void buf_append(struct buf *b, const void *ptr, size_t len);
void buf_append_span(struct buf *b, struct span s);
void buf_append_str(struct buf *b, const char *s);
void buf_append_char(struct buf *b, char c);
void buf_printf(struct buf *b, const char *fmt, ...) KT_PRINTF(2, 3);
bool buf_reserve(struct buf *b, size_t more); /* room for 'more' bytes without another allocation */
void buf_clear(struct buf *b);                /* len = 0, memory kept */
struct span buf_span(const struct buf *b);
/* The bytes as a heap string, the caller's to free(); the buf is empty afterwards. NULL after a
 * failure. */
char *buf_take(struct buf *b);
void buf_deinit(struct buf *b);

#endif
