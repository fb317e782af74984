/* extract/drawing.h: text in shapes, which slides are made of and sheets may have. */
#ifndef EXTRACT_DRAWING_H
#define EXTRACT_DRAWING_H

#include "extract/xml.h"

/* A part's shapes in the order they stand in, to blocks on page 'page': titles as headings, paragraphs, what has a bullet
 * of its own as list items, tables as rows. Slide numbers are left out. False: refused. */
bool drawing_parse(struct xml *x, const char *part, uint32_t page);

#endif
