/* store/fold.h: letters that mean the same become the same bytes.
 *
 * Case, marks, ligatures and width vanish ("STRASSE" = "Straße", "ﬁle" = "file"), and a German
 * umlaut is found however it was typed: "Müller" = "Mueller" = "Muller". Both documents and queries
 * pass through here, so the folded form never has to be readable, only equal. */
#ifndef STORE_FOLD_H
#define STORE_FOLD_H

#include <stddef.h>
#include <stdint.h>

enum { FOLD_MAX_BYTES = 32 };

/* The folded form of one code point: 0 (ignorable, or a mark) to FOLD_MAX_BYTES bytes of UTF-8. */
size_t fold_char(char out[static FOLD_MAX_BYTES], int32_t cp);

/* In a folded word, write ae, oe, ue as a, o, u where they can stand for an umlaut: after a
 * consonant that is not q, or at the beginning, and not at the end ("neue", "Steuer", "Quelle",
 * "Value" stay). Returns the new length. */
size_t fold_umlauts(char *word, size_t len);

#endif
