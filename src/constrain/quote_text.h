/* constrain/quote_text.h: the sources of quotations, made comparable byte by byte, and a place in them. */
#ifndef CONSTRAIN_QUOTE_TEXT_H
#define CONSTRAIN_QUOTE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "kontor/constrain.h"

enum {
    QUOTE_WORD_MAX =
        256, /* bytes; a longer "word" is a table of figures or a blob, nobody quotes it */
    QUOTE_SOURCE_MAX = 1 << 28, /* bytes of all sources together: offsets are 32 bits */
    QUOTE_LEN_MAX = 1 << 16,    /* largest max_bytes    */
};

/* All sources behind each other, white-space runs as one ' ', walls as 0 (also first and last). */
struct quote_text {
    uint8_t *bytes;   /* [n]                                                        */
    uint32_t *origin; /* [n] offset in its source                                   */
    uint8_t *ends;    /* [n] a quotation may end before this byte                   */
    size_t n;
    uint32_t *src_first; /* [n_sources] index of each source's first byte              */
    size_t n_sources;
    uint32_t *starts; /* [n_starts] where a quotation may start, sorted by what follows */
    size_t n_starts;
};

/* no_backslash: backslashes are walls, too. */
KT_MUST_CHECK enum kt_status
quote_text_init(struct quote_text *t, const struct kt_quote_source *sources, size_t n_sources,
                size_t min_bytes, size_t max_bytes, bool no_backslash, struct kt_error *err);
void quote_text_deinit(struct quote_text *t);
/* Which source byte 'idx' of the text belongs to. */
size_t quote_text_source(const struct quote_text *t, size_t idx);

/* ---- places ---- */

/* Where a quotation can be after 'depth' bytes of it: starts[lo..hi). */
struct quote_place {
    uint32_t lo, hi, depth;
};
bool quote_text_has_places(const struct quote_text *t);
struct quote_place quote_place_all(const struct quote_text *t);
/* Move by one byte of a quotation; false when none has it, *p is then of no use. */
bool quote_place_step(const struct quote_text *t, struct quote_place *p, uint8_t byte);
/* Does a word end here, and is the quotation long enough? */
bool quote_place_may_end(const struct quote_text *t, const struct quote_place *p, size_t min_bytes);
/* The byte that all places have next, or -1. */
int quote_place_only_byte(const struct quote_text *t, const struct quote_place *p);
/* Does any place have more text? */
bool quote_place_goes_on(const struct quote_text *t, const struct quote_place *p);
/* The first place where a word ends now, or 0 (the text begins with a wall, never a place). */
uint32_t quote_place_that_ends(const struct quote_text *t, const struct quote_place *p);

/* Is this a mark that quotes (other than " and the apostrophes)? */
bool quote_is_mark(int32_t cp);
bool quote_is_space(int32_t cp);

#endif
