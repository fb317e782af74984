/* extract/ocr.h: text in pictures, through tesseract. */
#ifndef EXTRACT_OCR_H
#define EXTRACT_OCR_H

#include "extract/program.h"

/* Where tesseract is, or NULL. */
const char *ocr_program(void);
/* Starts it on the picture that in_fd gives. */
bool ocr_start(struct program_run *p, const struct walls *w, int in_fd, struct refusal *why);
/* All it writes to blocks of 'b', whose boxes are in points: dpi pixels an inch, or, when that is 0, as if the longer side were
 * A4's. */
void ocr_pump(struct program_run *p, struct builder *b, int dpi);

/* Its table alone, piece by piece; for the fuzzer, too. */
struct ocr_table {
    struct builder *b;
    struct bbox *x;
    int dpi, level;
    double scale;    /* points a pixel */
    struct buf line; /* begun */
    struct buf out;  /* not yet fed to x */
};
struct ocr_table *ocr_table_create(struct builder *b, int dpi); /* NULL: out of memory */
bool ocr_table_feed(struct ocr_table *t, struct span s);        /* false: refused */
void ocr_table_finish(struct ocr_table *t);
void ocr_table_destroy(struct ocr_table *t);

#endif
