/* extract/fields.h: XML files whose elements are the fields of a form: an invoice, a message of a court.
 *
 * A 'field' has a label, a path in each of the two syntaxes its form may come in, and perhaps a standard's term (BT-1). A
 * 'group' says where the paths of its fields begin, and may stand there often (the lines of an invoice). What is written is one line a
 * field, "Label (BT-1, Zeile 6): value", with the line of the XML, one block a group. What no field led to is written at the
 * end with its path, so that nothing that stands in the file is not found. */
#ifndef EXTRACT_FIELDS_H
#define EXTRACT_FIELDS_H

#include "extract/tree.h"

enum field_kind {
    FIELD_TEXT,
    FIELD_AMOUNT,   /* with its currency; two decimals or more */
    FIELD_QUANTITY, /* with its unit                           */
    FIELD_PERCENT,
    FIELD_DATE,
    FIELD_ACCOUNT,   /* IBAN, and also in groups of four     */
    FIELD_TYPE,      /* of invoice: 380, 381 ...             */
    FIELD_VAT,       /* a category of VAT: S, AE ...         */
    FIELD_MEANS,     /* of payment: 58, 59 ...               */
    FIELD_FILE,      /* a file inside, in Base64             */
    FIELD_REFERENCE, /* of a court: "12 C 34/26" out of its elements */
    FIELD_NAME,      /* of a person, out of its elements     */
};

struct field {
    const char *term, *label; /* term "": it has none */
    enum field_kind kind;
    const char *path,
        *other; /* in the first syntax, in the second; NULL: not in it. "A/@b" is A's attribute b. */
};

struct field_group {
    const char *term, *label;   /* label NULL: without a heading */
    const char *path, *other;   /* from the root */
    const struct field *fields; /* ends with a NULL label */
    bool once;                  /* one heading for all of them together */
};

struct form {
    struct builder *b;
    struct tree t;
    bool other; /* the second syntax */
    /* Elements that are no field, and say nothing by themselves: { parent, name } ...; ends with NULL. */
    const char *const (*told)[2];
    struct span currency; /* of amounts that do not say theirs */

    /* while reading */
    const struct field_group *group;
    const struct field *field;
    const char *heading; /* the last one written */
    const char *attr;
    bool any; /* the block has a line already */
};

/* 'groups' ends with NULL fields. */
void form_groups(struct form *f, const struct field_group *groups);
void form_rest(struct form *f);
/* The document's title and first heading; takes what 's' holds. */
void form_title(struct form *f, struct buf *s);

/* ---- shown.c: a value as it is written, and as people write it -------------------------------- */

/* 'unit': of an amount its currency, of a quantity its unit. */
void shown_value(struct buf *out, enum field_kind kind, struct span value, struct span unit);
/* The second alone, of a number: "1.234,50"; decimals that are zero go down to n_decimals, and missing ones come. */
void shown_number(struct buf *out, struct span s, size_t n_decimals);

#endif
