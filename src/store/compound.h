/* store/compound.h: German writes several words as one; this takes them apart again.
 *
 * Mietvertragsänderung -> Miet, Vertrag, Änderung. A part is a word the caller knows (the matter's
 * own vocabulary and a short list of common heads); between parts stands nothing, or one of s, es,
 * n, en, er, e. */
#ifndef STORE_COMPOUND_H
#define STORE_COMPOUND_H

#include <stdbool.h>
#include <stddef.h>

enum { COMPOUND_MIN_BYTES = 8, COMPOUND_MAX_BYTES = 64, COMPOUND_MAX_PARTS = 5 };

struct compound_part {
    size_t start, len; /* bytes of the word */
};

/* 'known' is asked about folded, stemmed words. Returns the number of parts, 0 when the word does
 * not come apart. */
typedef bool (*known_fn)(void *ctx, const char *stem, size_t len);
size_t compound_split(struct compound_part parts[static COMPOUND_MAX_PARTS], const char *word,
                      size_t len, known_fn known, void *ctx);

#endif
