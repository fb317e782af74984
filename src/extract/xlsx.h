/* extract/xlsx.h: what a cell shows, from what it holds. */
#ifndef EXTRACT_XLSX_H
#define EXTRACT_XLSX_H

#include "base/span.h"

/* What of a number format we keep to: what makes a number findable as it stands on the screen, without the parts that
 * depend on the reader's language (the order of a date, the marks between thousands). */
struct cell_format {
    enum { CELL_GENERAL, CELL_NUMBER, CELL_DATE, CELL_TIME, CELL_DATE_TIME, CELL_TEXT } kind;
    int decimals; /* of CELL_NUMBER */
    bool percent;
    char unit[12]; /* a currency that the format writes, UTF-8; "" if none */
};

/* The built-in formats have numbers and no text; id is one of them (others: general). */
struct cell_format cell_format_builtin(unsigned id);
/* "#,##0.00 [$EUR]" and the like. */
struct cell_format cell_format_parse(struct span code);
/* The number 'v' (decimal text) as the cell shows it: dates as 2026-05-01, times as 08:30; what is no number stays as it
 * is. from_1904: the workbook counts days from 1904. */
void cell_number(struct buf *out, struct span v, const struct cell_format *f, bool from_1904);

#endif
