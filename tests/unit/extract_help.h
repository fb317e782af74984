/* For tests of the parsers: what blocks come out of what goes in.
 *
 * A case's expected result is one string: the blocks joined by "\n", each with its kind's letter in
 * front (p paragraph, h heading, l list item, r table row, m head of a letter or mail), in a package then its page if it has one, newlines
 * inside a block as "/". So a failure shows both sides whole. */
#ifndef EXTRACT_HELP_H
#define EXTRACT_HELP_H

#include "extract/extract_priv.h"

enum { ROOM = 1 << 20 };

void expect(struct builder *b, const char *what, const char *expected);
/* The parser through the same door as the worker's, so that decoding is part of it. */
void expect_blocks(enum doc_format format, struct span in, const char *expected);

struct part {
    const char *name;
    const void *ptr;
    size_t len;
};

#define PART(name, s)                                                                              \
    {                                                                                              \
        name, s, strlen(s)                                                                         \
    }

/* A ZIP in memory; names may repeat only in the sense that libzip permits, so duplicates differ in
 * case. The caller's. */
struct buf zip_of(const struct part *parts, size_t n);

#endif
