/* store/syntax.h: what a query says beside its words.
 *
 *     from:weber  von:"Anna Weber"  to:kanzlei  type:pdf  typ:mail,pdf  path:2024/miete  title:rechnung
 *     date:2024   date:2024-01..2024-06   datum:12.03.2024   since:2024-03  seit:2024  until:2024-05  bis:31.05.2024
 *     -word   -"two words"   -type:pdf
 *
 * Field names are German and English, in any case, directly before a colon and a value. What does not mean anything (date:soon,
 * type:horse, a name that is no field, a dash with a space behind it) is words like any others: no query is an error. */
#ifndef STORE_SYNTAX_H
#define STORE_SYNTAX_H

#include <stdbool.h>
#include <stddef.h>

#include "base/span.h"

enum syntax_field {
    FIELD_WORD, /* only with 'not': chunks that hold this are left out */
    FIELD_SENDER,
    FIELD_RECIPIENT,
    FIELD_TYPE,
    FIELD_PATH,
    FIELD_TITLE,
    FIELD_DATE,
};

enum { SYNTAX_ITEMS = 24 };

struct syntax_item {
    enum syntax_field field;
    bool not ;
    struct span value;         /* as typed, without quotation marks */
    char since[11], until[11]; /* FIELD_DATE: the days at the ends, "" where it is open */
};

struct syntax {
    struct buf words; /* the query without all of that; quotation marks stay */
    struct syntax_item items[SYNTAX_ITEMS];
    size_t n;
};
/* Items point into 'query'. words.failed when memory is short. */
void syntax_read(struct syntax *out, struct span query);
void syntax_deinit(struct syntax *s);
/* The first and last day of "2024", "2024-03", "2024-03-12", "03.2024", "12.03.2024"; false for anything else. */
bool syntax_period(struct span s, char first[static 11], char last[static 11]);
/* The formats that a name of a kind of file means ("word" is docx and odt); NULL: none. */
const char *const *syntax_formats(struct span name);
/* "mail, pdf": the next name of the list from *at on; false at its end. */
bool syntax_next_name(struct span list, size_t *at, struct span *name);

#endif
