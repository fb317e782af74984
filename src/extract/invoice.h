/* extract/invoice.h: electronic invoices by the terms of EN 16931, whatever the syntax. Amounts stay the strings they are; where
 * they are compared, they become whole numbers of millionths, never floats. */
#ifndef EXTRACT_INVOICE_H
#define EXTRACT_INVOICE_H

#include "extract/fields.h"

/* UBL first, CII second; ends with NULL fields. */
extern const struct field_group invoice_groups[];

/* Millionths. False: no number, more decimals or larger than that. */
bool money_parse(struct span s, int64_t *out);
/* Blocks that name the rules of the standard (BR-CO-10 to BR-CO-16) that the document breaks; none when it breaks none. */
void invoice_sums(struct builder *b, const struct tree *t, bool cii);

#endif
