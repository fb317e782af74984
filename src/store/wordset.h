/* store/wordset.h: a set of words, kept as 64-bit hashes: eight bytes a word, and no word to leak.
 */
#ifndef STORE_WORDSET_H
#define STORE_WORDSET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct wordset {
    uint64_t *slots; /* 0: free; length is a power of two */
    size_t n_slots, n;
    uint8_t key[16]; /* drawn with the first slots */
};

/* False when out of memory; the set is then as before. */
bool wordset_add(struct wordset *w, const char *word, size_t len);
bool wordset_has(const struct wordset *w, const char *word, size_t len);
void wordset_deinit(struct wordset *w);

#endif
