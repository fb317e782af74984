/* text/unicode.h: what tokenizers need to know about characters. The tables are utf8proc's (Unicode
 * 15); the rules on top of them are here: classes, normal forms in linear time, and BERT's idea of
 * a word.
 *
 * utf8proc's own normalisation sorts a run of combining marks by exchanging neighbours, so a
 * hostile text of one letter and a million accents would take hours. Ours sorts such a run with a
 * counting sort. */
#ifndef TEXT_UNICODE_H
#define TEXT_UNICODE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"
#include "base/status.h"

enum char_class {
    CC_OTHER = 0, /* symbols, punctuation, controls, unassigned, and bytes that are not UTF-8 */
    CC_LETTER,    /* L* */
    CC_MARK,      /* M* */
    CC_NUMBER,    /* N* */
    CC_SPACE,     /* White_Space, but for the two below */
    CC_NEWLINE,   /* CR and LF */
};

enum char_class unicode_class(int32_t cp);
/* The character at s[0..len), len > 0; an ill-formed byte is one CC_OTHER of one byte. */
enum char_class unicode_class_at(const char *s, size_t len, size_t *n_bytes);

/* Append the normal form of 's'. Ill-formed bytes are copied as they are and end a sequence. False:
 * out of memory (out->failed is set too). */
KT_MUST_CHECK bool unicode_nfc(struct buf *out, struct span s);
/* Could NFC change anything here? False for every text below U+0300; cheap. */
bool unicode_nfc_is_safe(struct span s);

/* Canonical decomposition of code points in place of *cps (heap, grown as needed), marks in
 * canonical order. */
struct cp_vec {
    int32_t *cps;
    size_t n, cap;
};
KT_MUST_CHECK bool cp_vec_push(struct cp_vec *v, int32_t cp);
void cp_vec_deinit(struct cp_vec *v);
/* Append cp's canonical decomposition; call unicode_reorder() after the last one. */
KT_MUST_CHECK bool unicode_decompose(struct cp_vec *v, int32_t cp);
KT_MUST_CHECK bool unicode_reorder(struct cp_vec *v);

#endif
