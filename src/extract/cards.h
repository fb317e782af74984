/* extract/cards.h: the lines that calendars (iCalendar, RFC 5545) and addresses (vCard, RFC 6350 and the older 3.0 and 2.1)
 * are made of: "group.NAME;PARAM=value:text", folded over further lines that begin with white space. */
#ifndef EXTRACT_CARDS_H
#define EXTRACT_CARDS_H

#include "extract/extract_priv.h"

enum { CARD_PARAMS_MAX = 24 };

struct card_param {
    struct span name,
        value; /* value without quotes; older cards have bare words: their name is empty */
};
struct card_line {
    struct span name; /* without its group, as it is written */
    struct card_param params[CARD_PARAMS_MAX];
    size_t n_params;
    struct span value; /* escaped, in UTF-8; bytes for a value in base64 */
    bool is_binary;
};

struct card_reader {
    struct builder *b;
    struct span in;
    size_t at;
    struct buf line, value; /* what the last line handed out points into */
};

/* The next line; false: none, or refused. Good until the next call. */
bool card_next(struct card_reader *r, struct card_line *out);
void card_reader_deinit(struct card_reader *r);
/* The whole file as lines: UTF-16 decoded, anything else as it is (each line says its own). False: refused. */
bool card_reader_init(struct card_reader *r, struct builder *b, struct span file, struct buf *utf8);

bool card_is(struct span name, const char *wanted); /* in any case */
/* A parameter's value; empty: not there. */
struct span card_param(const struct card_line *l, const char *name);
/* Append a text without its escapes ("\n" "\," "\;"). */
void card_unescape(struct buf *out, struct span s);
/* The next of several texts, which 'mark' separates unless it is escaped; *at moves behind it. False: no more. */
bool card_piece(struct span s, char mark, size_t *at, struct span *piece);

/* A field on its way to a block: "Name: value" on a line of its own, if there is a value. */
void card_field(struct builder *b, const char *name, struct span value);

/* The entries of a calendar in blocks, one each; how many. For a calendar that is part of a mail, too. */
size_t calendar_entries(struct builder *b, struct span file);

#endif
