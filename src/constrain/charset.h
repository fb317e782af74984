/* constrain/charset.h: sets of characters, as sorted ranges of code points. Surrogates, which UTF-8 cannot write, are
 * never in one. */
#ifndef CONSTRAIN_CHARSET_H
#define CONSTRAIN_CHARSET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct char_range {
    uint32_t lo, hi; /* both in it */
};

/* Zero is the empty set. Ranges are sorted, apart and not adjacent after charset_settle(). */
struct charset {
    struct char_range *ranges;
    size_t n, cap;
    bool failed; /* out of memory */
};

enum { CHAR_MAX_CP = 0x10FFFF };

void charset_add(struct charset *c, uint32_t lo, uint32_t hi);
void charset_add_set(struct charset *c, const struct charset *other);
/* Sorts and joins. After this the functions below may be called. */
void charset_settle(struct charset *c);
void charset_negate(struct charset *c); /* settled before and after */
bool charset_has(const struct charset *c, uint32_t cp);
/* How many characters it holds. */
size_t charset_size(const struct charset *c);
void charset_deinit(struct charset *c);

/* \d \w \s as ECMAScript has them; 'which' in either case, the upper one negated. False: no such class. */
bool charset_add_escape(struct charset *c, char which);

#endif
