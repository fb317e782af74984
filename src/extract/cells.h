/* extract/cells.h: a row of a table, cell by cell, on its way to a block.
 *
 * Cells stand in one line with " | " between them; an empty cell keeps its place, so that a column stays a column. Empty
 * cells at the end are dropped, a row of nothing leaves no block. Lines inside a cell stay. */
#ifndef EXTRACT_CELLS_H
#define EXTRACT_CELLS_H

#include "extract/extract_priv.h"

/* Empty cells between two with text that are kept; a sheet's next column may be the 16,384th. */
enum { CELLS_GAP_MAX = 16 };

struct cells {
    struct buf row;
    size_t n;      /* cells begun                                 */
    size_t n_gap;  /* empty ones since the last one with text     */
    bool has_text; /* the cell being written                      */
};

/* n empty cells, of which CELLS_GAP_MAX at most will show. */
void cells_skip(struct cells *c, size_t n);
void cells_begin(struct cells *c);
/* Part of the cell's text. */
void cells_text(struct cells *c, struct span s);
/* A further paragraph of the same cell: a new line, if it has text already. */
void cells_line(struct cells *c);
void cells_clear(struct cells *c);
/* The row as a block of 'b' on page 'page', if it has text; then empty again. */
void cells_end(struct cells *c, struct builder *b, uint32_t page);
void cells_deinit(struct cells *c);

#endif
