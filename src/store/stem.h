/* store/stem.h: the endings of German and English words come off, lightly. */
#ifndef STORE_STEM_H
#define STORE_STEM_H

#include <stddef.h>

/* The stem of a folded word is its first n bytes, perhaps with the last one changed (party, parties
 * -> parti). Returns n. One rule set serves both languages, so a text needs no language guess and a
 * query none either. */
size_t stem_word(char *word, size_t len);

#endif
