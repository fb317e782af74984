/* extract/attached.h: files inside PDF files, through poppler's pdfdetach behind walls of its own.
 *
 * The worker that reads a PDF also asks pdfdetach for the names of what is attached; they become the document's parts, still
 * empty. The parent then starts one more worker for each (DOC_ATTACHED, by number), which takes its bytes: a program
 * can be started only before a worker has read anything, so no worker can do both. */
#ifndef EXTRACT_ATTACHED_H
#define EXTRACT_ATTACHED_H

#include "extract/program.h"

/* Starts pdfdetach on the worker's input: for the names, or, with 'number' from 1, for the bytes of one. */
bool attached_start(struct program_run *p, const struct walls *w, uint32_t number,
                    struct refusal *why);
/* Takes the names in: a list item and an empty part each. What pdfdetach does wrong is said in a block. */
void attached_list(struct program_run *p, struct builder *b);
/* Takes the bytes in, as the document's only part. */
void attached_take(struct program_run *p, struct builder *b);
/* The names in pdfdetach's listing; exposed for its test. */
void attached_names(struct builder *b, struct span listing);

#endif
