/* Tables as text (.csv, .tsv): RFC 4180, and what programs in German offices write.
 *
 * The delimiter is found in the first records: tab, semicolon, bar or comma, in this order the first that gives nearly all
 * records the same number of cells (where a comma stands in every amount, it would do, too, and comes last). Excel's first
 * line "sep=;" is obeyed. A cell in quotes may hold delimiters, line breaks and doubled quotes; where a quote is never
 * closed, quotes are taken for letters. Each record is a row, its cells as they are written. What has no delimiter is read as
 * text. */
#include <string.h>

#include "base/size.h"
#include "extract/cells.h"

enum { SAMPLE_RECORDS = 100 };

struct csv {
    struct span s;
    size_t at;
    char delimiter;
    bool quotes; /* mean something */
};

enum cell_end { CELL_NEXT, CELL_RECORD, CELL_FILE };

static bool at_line_end(const struct csv *c)
{
    return c->at < c->s.len && (c->s.ptr[c->at] == '\n' || c->s.ptr[c->at] == '\r');
}

/* Past "\r\n", "\n" or "\r". */
static void line_end_skip(struct csv *c)
{
    char first = c->s.ptr[c->at++];
    if (first == '\r' && c->at < c->s.len && c->s.ptr[c->at] == '\n')
        c->at++;
}

/* The inside of a quoted cell; false: the quote is not closed. 'out' may be NULL. */
static bool quoted_read(struct csv *c, struct builder *b, struct buf *out)
{
    for (c->at++;;) {
        size_t end = span_find(c->s, SPAN("\""), c->at);
        if (end == SIZE_MAX)
            return false;
        if (out)
            builder_collect(b, out, span_sub(c->s, c->at, end));
        c->at = end + 1;
        if (c->at >= c->s.len || c->s.ptr[c->at] != '"')
            return true;
        if (out)
            builder_collect(b, out, SPAN("\""));
        c->at++;
    }
}

/* One cell into 'out' (may be NULL), and what comes behind it. */
static enum cell_end cell_read(struct csv *c, struct builder *b, struct buf *out)
{
    if (c->quotes && c->at < c->s.len && c->s.ptr[c->at] == '"' && !quoted_read(c, b, out))
        c->at = c->s.len;
    size_t from = c->at;
    while (c->at < c->s.len && c->s.ptr[c->at] != c->delimiter && !at_line_end(c))
        c->at++;
    if (out)
        builder_collect(b, out, span_sub(c->s, from, c->at));
    if (c->at >= c->s.len)
        return CELL_FILE;
    if (at_line_end(c)) {
        line_end_skip(c);
        return c->at < c->s.len ? CELL_RECORD : CELL_FILE;
    }
    c->at++;
    return CELL_NEXT;
}

/* Does every quote that opens a cell close? With one that does not, the rest of the file would be one cell. */
static bool quotes_close(struct csv c)
{
    for (c.quotes = true; c.at < c.s.len;) {
        if (c.s.ptr[c.at] == '"' && !quoted_read(&c, NULL, NULL))
            return false;
        c.quotes = false;
        cell_read(&c, NULL, NULL);
        c.quotes = true;
    }
    return true;
}

/* Of the first records, the share in percent that have the number of cells which most of them have; 0: that is one. */
static size_t consistency(struct csv c)
{
    size_t n_records = 0, counts[SAMPLE_RECORDS], best = 0;
    for (enum cell_end end = CELL_RECORD; end != CELL_FILE && n_records < SAMPLE_RECORDS;) {
        size_t from = c.at, n = 0;
        do {
            n++;
            end = cell_read(&c, NULL, NULL);
        } while (end == CELL_NEXT);
        if (n > 1 || span_trim(span_sub(c.s, from, c.at)).len) /* not an empty line */
            counts[n_records++] = n;
    }
    for (size_t i = 0; i < n_records; i++) {
        size_t same = 0;
        for (size_t k = 0; k < n_records; k++)
            same += counts[k] == counts[i];
        if (counts[i] > 1)
            best = MAX(best, same);
    }
    return n_records ? 100 * best / n_records : 0;
}

/* 0: none. */
static char delimiter_find(struct csv c)
{
    static const char all[] = { '\t', ';', '|', ',' };
    size_t best = 0;
    char found = 0;
    for (size_t i = 0; i < sizeof(all); i++) {
        c.delimiter = all[i];
        c.quotes = quotes_close(c);
        size_t share = consistency(c);
        if (share >= 90)
            return all[i];
        if (share > best) {
            best = share;
            found = all[i];
        }
    }
    return best >= 40 ? found : 0; /* exports begin with lines about themselves */
}

/* "sep=;", which Excel reads and writes. */
static bool delimiter_said(struct csv *c)
{
    if (!span_starts(c->s, SPAN("sep=")) || c->s.len < 6)
        return false;
    c->delimiter = c->s.ptr[4];
    c->at = 5;
    if (!at_line_end(c))
        return false;
    line_end_skip(c);
    return true;
}

void csv_parse(struct builder *b, struct span utf8)
{
    struct csv c = { .s = utf8 };
    if (!delimiter_said(&c)) {
        c.at = 0;
        c.delimiter = delimiter_find(c);
    }
    if (!c.delimiter) {
        text_parse(b, utf8);
        return;
    }
    c.quotes = quotes_close(c);
    struct cells row = { 0 };
    struct buf cell = { 0 };
    enum cell_end end = c.at < c.s.len ? CELL_RECORD : CELL_FILE;
    while (end != CELL_FILE && builder_ok(b)) {
        do {
            buf_clear(&cell);
            cells_begin(&row);
            end = cell_read(&c, b, &cell);
            cells_text(&row, buf_span(&cell));
        } while (end == CELL_NEXT && builder_ok(b));
        cells_end(&row, b, 0);
    }
    cells_deinit(&row);
    buf_deinit(&cell);
}
