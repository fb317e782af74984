/* A row of a table; see cells.h. */
#include "extract/cells.h"

#include "base/size.h"

void cells_skip(struct cells *c, size_t n)
{
    c->n += n;
    c->n_gap += n;
}

void cells_begin(struct cells *c)
{
    c->n++;
    c->n_gap++; /* until it has text */
    c->has_text = false;
}

void cells_text(struct cells *c, struct span s)
{
    if (!c->has_text && !span_trim(s).len)
        return;
    if (!c->has_text) {
        size_t n_bars = MIN(c->n_gap - (c->n_gap == c->n), (size_t)CELLS_GAP_MAX);
        for (size_t i = 0; i < n_bars; i++)
            buf_append_str(&c->row, " | ");
        c->n_gap = 0;
        c->has_text = true;
    }
    buf_append_span(&c->row, s);
}

void cells_line(struct cells *c)
{
    if (c->has_text)
        buf_append_char(&c->row, '\n');
}

void cells_clear(struct cells *c)
{
    buf_clear(&c->row);
    c->n = c->n_gap = 0;
    c->has_text = false;
}

void cells_end(struct cells *c, struct builder *b, uint32_t page)
{
    if (builder_holds(b, &c->row) && c->row.len) {
        builder_begin(b, BLOCK_TABLE_ROW);
        b->now.page = page;
        builder_text(b, buf_span(&c->row));
        builder_end(b);
    }
    cells_clear(c);
}

void cells_deinit(struct cells *c)
{
    buf_deinit(&c->row);
}
