/* What stands on a PDF's page, to blocks: paragraphs, list items, table rows, headings.
 *
 * poppler gives blocks of lines in its reading order; a block is a column of lines that belong
 * together. From that:
 *
 *  Paragraphs. A poppler block is cut where the gap between lines is larger than the lines ask for,
 * where their height changes, and at bullets. Lines are joined by a space, unless the next line's
 * first word would still have fit: then the author ended the line (addresses, invoices), and a
 * newline stays.
 *
 *  Hyphens at a line's end. "Miet-" + "vertrag" was divided by the typesetter and is joined; before
 * a capital or a digit the hyphen belongs to the word ("Miet-" + "Vertrag") and stays; before
 * "und", "oder" it is that of an elided word ("Vor- und Nachname") and stays with its space.
 *
 *  Lists. Bullets and numbers that poppler put into a column of their own are given back to their
 * lines. A bullet is dropped, since the block's kind says it; a number stays.
 *
 *  Tables. poppler reads a table column by column, which tears a sum from its label. Short lines of
 * different blocks that stand beside each other in at least two rows, aligned, are a table: its
 * rows become blocks, cells joined by " | ".
 *
 *  Headings are known at the end only: what is set higher than most of the document.
 *
 * Pages of more than ORDERED_LINES_MAX lines are taken as poppler gives them: finding lists and
 * tables compares lines with each other. */
#include "extract/extract_priv.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "base/utf8.h"

enum {
    HEIGHT_BUCKETS = 400, /* quarter points: line heights up to 100 */
    ORDERED_LINES_MAX = 4000,
    NONE = -1,
};

struct note {   /* what was found out about a line */
    int marker; /* the line with this line's bullet or number, or NONE       */
    int row;    /* the table row it is a cell of, or NONE                    */
    bool used;  /* written already, or part of another line                  */
};

struct row {
    size_t first, n; /* of cells[] */
    struct rect box;
    bool table;     /* one of at least two rows */
    bool continues; /* second lines of cells of the row above */
};

struct layout {
    struct builder *b;
    const struct page *p;
    struct note *notes; /* [p->n_lines] */
    size_t *cells;      /* [n_cells] lines, by row, left to right */
    size_t n_cells;
    struct row *rows; /* [n_rows], top to bottom */
    size_t n_rows, cap_lines;

    float *heights; /* [n_heights]: one for each block kept */
    size_t n_heights, cap_heights;
    size_t chars_of_height[HEIGHT_BUCKETS];
};

/* ---- lines ---------------------------------------------------------------------------------- */

static struct span line_text(const struct page *p, size_t i)
{
    return span_sub(buf_span(&p->text), p->lines[i].start, p->lines[i].end);
}

static float height(const struct rect *r)
{
    return r->y1 - r->y0;
}

/* They stand beside each other: at least half of the lower one's height in common. */
static bool same_row(const struct rect *a, const struct rect *b)
{
    float common = fminf(a->y1, b->y1) - fmaxf(a->y0, b->y0);
    return common > 0.5f * fminf(height(a), height(b));
}

static void rect_add(struct rect *r, const struct rect *with)
{
    r->x0 = fminf(r->x0, with->x0);
    r->y0 = fminf(r->y0, with->y0);
    r->x1 = fmaxf(r->x1, with->x1);
    r->y1 = fmaxf(r->y1, with->y1);
}

/* ---- hyphens -------------------------------------------------------------------------------- */

static bool is_upper_or_digit(int32_t cp)
{
    if (cp < 0x80)
        return (cp >= 'A' && cp <= 'Z') || (cp >= '0' && cp <= '9');
    return (cp >= 0xC0 && cp <= 0xDE) || (cp >= 0x391 && cp <= 0x3A9) ||
           (cp >= 0x410 && cp <= 0x42F);
}

static bool is_lower(int32_t cp)
{
    if (cp < 0x80)
        return cp >= 'a' && cp <= 'z';
    return (cp >= 0xDF && cp <= 0xFF && cp != 0xF7) ||
           (cp >= 0x100 && !is_upper_or_digit(cp) && cp < 0x2000) || (cp >= 0xFB00 && cp <= 0xFB06);
}

static size_t hyphen_len(struct span s)
{
    if (span_ends(s, SPAN("-")))
        return 1;
    if (span_ends(s, SPAN("\u00AD")))
        return 2;
    return span_ends(s, SPAN("\u2010")) ? 3 : 0;
}

static bool is_letter_before(struct span s, size_t hyphen)
{
    if (s.len <= hyphen)
        return false;
    unsigned char c = (unsigned char)s.ptr[s.len - hyphen - 1];
    return c >= 0x80 || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* "Vor- und Nachname", "pre- and post-war": the first part of a pair keeps its hyphen and its
 * space. */
static bool is_conjunction(struct span s)
{
    static const char *const words[] = { "und",   "oder", "bzw.", "beziehungsweise",
                                         "sowie", "bis",  "and",  "or",
                                         "to",    "noch" };
    size_t n = 0;
    while (n < s.len && s.ptr[n] != ' ')
        n++;
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (span_eq_str(span_sub(s, 0, n), words[i]))
            return true;
    return false;
}

enum join { JOIN_SPACE, JOIN_NEWLINE, JOIN_DROP_HYPHEN, JOIN_KEEP_HYPHEN };

static enum join word_join(struct span line, struct span next)
{
    size_t hyphen = hyphen_len(line), n;
    if (!hyphen || !next.len || !is_letter_before(line, hyphen) || is_conjunction(next))
        return JOIN_SPACE;
    int32_t cp = utf8_decode(next.ptr, next.len, &n);
    if (is_lower(cp))
        return JOIN_DROP_HYPHEN;
    return is_upper_or_digit(cp) ? JOIN_KEEP_HYPHEN : JOIN_SPACE;
}

/* ---- bullets and numbers -------------------------------------------------------------------- */

/* The bytes of a bullet at the beginning of s, with the space after it; 0: none. */
static size_t bullet_len(struct span s)
{
    static const struct span bullets[] = { { "\u2022", 3 }, { "\u25CF", 3 }, { "\u25AA", 3 },
                                           { "\u25E6", 3 }, { "\u25A0", 3 }, { "\uF0B7", 3 },
                                           { "\uF0A7", 3 }, { "\u2013", 3 }, { "-", 1 } };
    for (size_t i = 0; i < ARRAY_LEN(bullets); i++) {
        size_t n = bullets[i].len;
        if (span_starts(s, bullets[i]) && (s.len == n || s.ptr[n] == ' '))
            return MIN(n + 1, s.len);
    }
    return 0;
}

/* "8. April": a date, not the eighth point. */
static bool is_month(struct span s)
{
    static const char *const names[] = { "Jan", "Feb", "M\u00E4rz", "Mar", "Apr", "Mai",
                                         "May", "Jun", "Jul",       "Aug", "Sep", "Okt",
                                         "Oct", "Nov", "Dez",       "Dec" };
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (span_starts(s, span_of(names[i])))
            return true;
    return false;
}

/* "12.", "3)", "a)", "(4)" at the beginning, followed by a space or nothing. */
static size_t number_len(struct span s)
{
    bool open = span_starts(s, SPAN("("));
    size_t i = open, n = 0;
    while (i + n < s.len && n < 3 && s.ptr[i + n] >= '0' && s.ptr[i + n] <= '9')
        n++;
    bool digits = n > 0;
    if (!digits && i < s.len && s.ptr[i] >= 'a' && s.ptr[i] <= 'z')
        n = 1;
    i += n;
    if (!n || i >= s.len || !(s.ptr[i] == ')' || (digits && !open && s.ptr[i] == '.')))
        return 0;
    i++;
    if (i < s.len && (s.ptr[i] != ' ' || is_month(span_sub(s, i + 1, s.len))))
        return 0;
    return MIN(i + 1, s.len);
}

static bool is_marker_alone(struct span s)
{
    return s.len && (bullet_len(s) == s.len || number_len(s) == s.len);
}

static bool is_item(const struct layout *l, size_t i)
{
    struct span s = line_text(l->p, i);
    return l->notes[i].marker != NONE || bullet_len(s) || number_len(s);
}

/* The nearest line to the right of marker i, in another block and within reach; NONE when there is
 * none. */
static int marker_partner(const struct layout *l, size_t i)
{
    const struct page *p = l->p;
    const struct rect *m = &p->lines[i].box;
    float reach = 4 * height(m), best = reach;
    int found = NONE;
    for (size_t k = 0; k < p->n_lines; k++) {
        const struct rect *r = &p->lines[k].box;
        float gap = r->x0 - m->x1;
        if (p->lines[k].block != p->lines[i].block && gap >= 0 && gap < best && same_row(m, r)) {
            best = gap;
            found = (int)k;
        }
    }
    return found;
}

/* A block of nothing but markers: each goes to its line, if each has one. */
static void markers_give(struct layout *l, const struct page_block *k)
{
    for (size_t i = k->first; i < k->first + k->n; i++)
        if (!is_marker_alone(line_text(l->p, i)) || marker_partner(l, i) == NONE)
            return;
    for (size_t i = k->first; i < k->first + k->n; i++) {
        int partner = marker_partner(l, i);
        if (l->notes[partner].marker != NONE || l->notes[partner].used)
            continue;
        l->notes[partner].marker = (int)i;
        l->notes[i].used = true;
    }
}

/* ---- tables --------------------------------------------------------------------------------- */

/* Short lines, unlike prose: few words, or not filling their column. */
static bool is_cell_like(const struct page *p, const struct page_block *k)
{
    float width = k->box.x1 - k->box.x0, fill = 0;
    size_t words = 0;
    if (!k->n || width <= 0 || width > 0.45f * p->width)
        return false;
    for (size_t i = k->first; i < k->first + k->n; i++) {
        words += p->lines[i].n_words;
        fill += (p->lines[i].box.x1 - p->lines[i].box.x0) / width;
    }
    return words <= 3 * k->n || (words <= 6 * k->n && (k->n < 3 || fill < 0.8f * (float)k->n));
}

static const struct page *sorting; /* qsort() has no context; a worker has one thread */

static int by_top(const void *a, const void *b)
{
    const struct rect *x = &sorting->lines[*(const size_t *)a].box;
    const struct rect *y = &sorting->lines[*(const size_t *)b].box;
    float mx = x->y0 + x->y1, my = y->y0 + y->y1;
    return (mx > my) - (mx < my);
}

static int by_left(const void *a, const void *b)
{
    float x = sorting->lines[*(const size_t *)a].box.x0,
          y = sorting->lines[*(const size_t *)b].box.x0;
    return (x > y) - (x < y);
}

static void cells_collect(struct layout *l)
{
    const struct page *p = l->p;
    l->n_cells = 0;
    for (size_t k = 0; k < p->n_blocks; k++) {
        if (!is_cell_like(p, &p->blocks[k]))
            continue;
        for (size_t i = p->blocks[k].first; i < p->blocks[k].first + p->blocks[k].n; i++)
            if (!l->notes[i].used && l->notes[i].marker == NONE)
                l->cells[l->n_cells++] = i;
    }
    sorting = p;
    qsort(l->cells, l->n_cells, sizeof(*l->cells), by_top);
}

static void rows_group(struct layout *l)
{
    const struct page *p = l->p;
    l->n_rows = 0;
    for (size_t c = 0; c < l->n_cells; c++) {
        const struct rect *r = &p->lines[l->cells[c]].box;
        struct row *last = l->n_rows ? &l->rows[l->n_rows - 1] : NULL;
        if (last && same_row(&p->lines[l->cells[last->first]].box, r)) {
            rect_add(&last->box, r);
            last->n++;
        } else {
            l->rows[l->n_rows++] = (struct row){ .first = c, .n = 1, .box = *r };
        }
    }
    for (size_t i = 0; i < l->n_rows; i++)
        qsort(l->cells + l->rows[i].first, l->rows[i].n, sizeof(*l->cells), by_left);
}

static bool aligned(const struct rect *a, const struct rect *b)
{
    enum { SLACK = 4 }; /* points */
    return fabsf(a->x0 - b->x0) < SLACK || fabsf(a->x1 - b->x1) < SLACK ||
           fabsf(a->x0 + a->x1 - b->x0 - b->x1) < 2 * SLACK;
}

/* Two rows belong to one table: near, and two columns of one continue in the other. */
static bool rows_belong(const struct layout *l, const struct row *a, const struct row *b)
{
    if (a->n < 2 || b->n < 2 || b->box.y0 - a->box.y1 > 2 * height(&a->box))
        return false;
    size_t n = 0;
    for (size_t i = 0; i < a->n; i++)
        for (size_t k = 0; k < b->n; k++)
            if (aligned(&l->p->lines[l->cells[a->first + i]].box,
                        &l->p->lines[l->cells[b->first + k]].box)) {
                n++;
                break;
            }
    return n >= 2;
}

/* Which cell of row a has its second line in line i; a->n: none. */
static size_t cell_continued(const struct layout *l, const struct row *a, size_t i)
{
    const struct page_line *below = &l->p->lines[i];
    for (size_t c = 0; c < a->n; c++) {
        const struct page_line *above = &l->p->lines[l->cells[a->first + c]];
        if (above->block == below->block && fabsf(above->box.x0 - below->box.x0) < 2)
            return c;
    }
    return a->n;
}

/* Row b holds nothing but second lines of row a's cells, close below them. */
static bool row_continues(const struct layout *l, const struct row *a, const struct row *b)
{
    if (b->n >= a->n || b->box.y0 - a->box.y1 > 0.1f * height(&a->box))
        return false;
    for (size_t c = 0; c < b->n; c++)
        if (cell_continued(l, a, l->cells[b->first + c]) == a->n)
            return false;
    return true;
}

/* The row below r that continues its table; n_rows: none. Lines of something else may lie between,
 * as an address beside a letter's reference numbers does. */
static size_t row_next(const struct layout *l, size_t r)
{
    enum { BETWEEN_MAX = 2 };
    for (size_t next = r + 1; next < l->n_rows && next <= r + 1 + BETWEEN_MAX; next++)
        if (rows_belong(l, &l->rows[r], &l->rows[next]))
            return next;
    return l->n_rows;
}

static void tables_find(struct layout *l)
{
    cells_collect(l);
    rows_group(l);
    for (size_t i = 0; i < l->n_rows; i++) {
        size_t next = row_next(l, i);
        if (next < l->n_rows)
            l->rows[i].table = l->rows[next].table = true;
    }
    for (size_t i = 1; i < l->n_rows; i++)
        l->rows[i].continues = l->rows[i - 1].table && !l->rows[i - 1].continues &&
                               !l->rows[i].table && row_continues(l, &l->rows[i - 1], &l->rows[i]);
    for (size_t i = 0; i < l->n_rows; i++)
        for (size_t c = 0; l->rows[i].table && c < l->rows[i].n; c++)
            l->notes[l->cells[l->rows[i].first + c]].row = (int)i;
}

/* ---- writing -------------------------------------------------------------------------------- */

static void height_note(struct layout *l, float h, size_t chars)
{
    if (l->n_heights == l->cap_heights) {
        size_t cap = l->cap_heights ? 2 * l->cap_heights : 64;
        float *p = realloc(l->heights, cap * sizeof(*p)); /* at most 2 * BLOCKS_MAX */
        if (!p) {
            builder_refuse(l->b, REASON_NOMEM, 0, 0);
            return;
        }
        l->heights = p;
        l->cap_heights = cap;
    }
    l->heights[l->n_heights++] = h;
    size_t bucket = h > 0 ? MIN((size_t)(h * 4), (size_t)HEIGHT_BUCKETS - 1) : 0;
    l->chars_of_height[bucket] += chars;
}

static void block_begin(struct layout *l, enum block_kind kind, const struct rect *r)
{
    builder_begin(l->b, kind);
    l->b->now.page = l->b->n_pages;
    l->b->now.box[0] = r->x0;
    l->b->now.box[1] = r->y0;
    l->b->now.box[2] = r->x1;
    l->b->now.box[3] = r->y1;
}

static void block_end(struct layout *l, float line_height)
{
    if (!builder_end(l->b))
        return;
    const struct block *kept = &l->b->blocks[l->b->n_blocks - 1];
    height_note(l, line_height, kept->end - kept->start);
}

static void cell_write(struct layout *l, size_t line)
{
    builder_text(l->b, line_text(l->p, line));
    l->notes[line].used = true;
}

static void row_write(struct layout *l, size_t r)
{
    const struct row *row = &l->rows[r];
    const struct row *below =
        r + 1 < l->n_rows && l->rows[r + 1].continues ? &l->rows[r + 1] : NULL;
    struct rect box = row->box;
    if (below)
        rect_add(&box, &below->box);
    block_begin(l, BLOCK_TABLE_ROW, &box);
    for (size_t c = 0; c < row->n; c++) {
        if (c)
            builder_text(l->b, SPAN(" | "));
        cell_write(l, l->cells[row->first + c]);
        for (size_t k = 0; below && k < below->n; k++)
            if (cell_continued(l, row, l->cells[below->first + k]) == c) {
                builder_char(l->b, ' ');
                cell_write(l, l->cells[below->first + k]);
            }
    }
    block_end(l, l->p->lines[l->cells[row->first]].letter);
}

/* All rows of the table that line i is in. */
static void table_write(struct layout *l, size_t i)
{
    size_t from = (size_t)l->notes[i].row;
    for (size_t before = from; before-- > 0 && from - before <= 3;)
        if (row_next(l, before) == from)
            from = before;
    for (size_t r = from; r < l->n_rows && builder_ok(l->b); r = row_next(l, r))
        row_write(l, r);
}

/* Would the next line's first word have fit at the end of this one? Half a line's height is a wide
 * space. */
static bool ended_early(const struct page *p, size_t i)
{
    const struct page_line *a = &p->lines[i], *next = &p->lines[i + 1];
    return !same_row(&a->box, &next->box) &&
           a->box.x1 + height(&a->box) * 0.5f + next->first_word < p->blocks[a->block].box.x1;
}

/* An address, a signature, the head of a letter: short lines, each of which the author ended. */
static bool is_verse(const struct page *p, const struct page_block *k)
{
    float width = k->box.x1 - k->box.x0, fill = 0;
    size_t words = 0, n = 0;
    for (size_t i = k->first; i < k->first + k->n; i++) {
        words += p->lines[i].n_words;
        fill += p->lines[i].box.x1 - p->lines[i].box.x0;
        n += i == k->first || !same_row(&p->lines[i - 1].box, &p->lines[i].box);
    }
    return words <= 4 * n && width < 0.5f * p->width && fill < 0.85f * width * (float)n;
}

/* The least gap between two lines of a block: how its lines are spaced. */
static float line_gap(const struct page *p, const struct page_block *k)
{
    float least = 1e6f;
    for (size_t i = k->first + 1; i < k->first + k->n; i++)
        if (!same_row(&p->lines[i - 1].box, &p->lines[i].box))
            least = fminf(least, p->lines[i].box.y0 - p->lines[i - 1].box.y1);
    return least;
}

/* A number at a line's beginning may be the sentence's own ("bis zum" / "31. August"): an item
 * follows a line that ended. */
static bool starts_item(const struct layout *l, size_t i)
{
    struct span s = line_text(l->p, i), before = line_text(l->p, i - 1);
    if (l->notes[i].marker != NONE || bullet_len(s))
        return true;
    return number_len(s) && (ended_early(l->p, i - 1) ||
                             (before.len && strchr(".:;,!?", before.ptr[before.len - 1])));
}

static bool starts_paragraph(const struct layout *l, size_t i, float gap)
{
    const struct page_line *now = &l->p->lines[i], *before = &l->p->lines[i - 1];
    if (same_row(&before->box, &now->box)) /* a wide gap in a justified line */
        return false;
    return now->box.y0 - before->box.y1 > gap + 0.4f * before->letter ||
           fabsf(now->letter - before->letter) > 0.25f * before->letter || starts_item(l, i);
}

static void line_write(struct layout *l, size_t i, bool last, bool verse)
{
    const struct page *p = l->p;
    struct span s = line_text(p, i);
    if (last) {
        builder_text(l->b, s);
        return;
    }
    bool beside = same_row(&p->lines[i].box, &p->lines[i + 1].box);
    enum join j = beside ? JOIN_SPACE : word_join(s, line_text(p, i + 1));
    if (j == JOIN_DROP_HYPHEN)
        s.len -= hyphen_len(s);
    builder_text(l->b, s);
    if (j == JOIN_SPACE)
        builder_char(l->b, !beside && (verse || ended_early(p, i)) ? '\n' : ' ');
}

/* Lines [from, to) of one poppler block, none of them used, as one block of ours. */
static void paragraph_write(struct layout *l, size_t from, size_t to)
{
    const struct page *p = l->p;
    struct rect r = p->lines[from].box;
    for (size_t i = from + 1; i < to; i++)
        rect_add(&r, &p->lines[i].box);
    int marker = l->notes[from].marker;
    if (marker != NONE)
        rect_add(&r, &p->lines[marker].box);
    block_begin(l, is_item(l, from) ? BLOCK_LIST_ITEM : BLOCK_PARAGRAPH, &r);
    if (marker != NONE && !bullet_len(line_text(p, (size_t)marker))) {
        builder_text(l->b, line_text(p, (size_t)marker));
        builder_char(l->b, ' ');
    }
    bool verse = is_verse(p, &p->blocks[p->lines[from].block]);
    for (size_t i = from; i < to && builder_ok(l->b); i++)
        line_write(l, i, i + 1 == to, verse);
    size_t bullet = bullet_len(buf_span(&l->b->raw));
    if (bullet && bullet < l->b->raw.len)
        memset(l->b->raw.ptr, ' ', bullet);
    block_end(l, p->lines[from].letter);
}

static void block_write(struct layout *l, const struct page_block *k)
{
    size_t end = k->first + k->n;
    float gap = line_gap(l->p, k);
    for (size_t i = k->first; i < end && builder_ok(l->b);) {
        if (!l->notes[i].used && l->notes[i].row != NONE)
            table_write(l, i);
        if (l->notes[i].used) {
            i++;
            continue;
        }
        size_t to = i + 1;
        while (to < end && !l->notes[to].used && l->notes[to].row == NONE &&
               !starts_paragraph(l, to, gap))
            to++;
        paragraph_write(l, i, to);
        i = to;
    }
}

/* poppler begins a new block where a raised note mark makes a line higher. Block b goes on where
 * block a ends: close below, flush left, same letters, and a's last line is full. */
static bool blocks_flow(const struct layout *l, const struct page_block *a,
                        const struct page_block *b)
{
    const struct page *p = l->p;
    if (!a->n || !b->n || is_item(l, b->first))
        return false;
    const struct page_line *last = &p->lines[a->first + a->n - 1], *next = &p->lines[b->first];
    float gap = next->box.y0 - last->box.y1;
    float room = a->n > 1 ? line_gap(p, a) : 0.4f * last->letter;
    return fabsf(a->box.x0 - b->box.x0) < 2 && gap > -0.5f * last->letter &&
           gap < room + 0.2f * last->letter &&
           fabsf(next->letter - last->letter) < 0.1f * last->letter &&
           last->box.x1 > 0.75f * p->width && last->n_words > 3;
}

static void blocks_merge(struct layout *l, struct page *p)
{
    size_t into = 0;
    for (size_t k = 1; k < p->n_blocks; k++) {
        if (!blocks_flow(l, &p->blocks[into], &p->blocks[k])) {
            p->blocks[++into] = p->blocks[k];
        } else {
            p->blocks[into].n += p->blocks[k].n;
            rect_add(&p->blocks[into].box, &p->blocks[k].box);
        }
        for (size_t i = 0; i < p->blocks[into].n; i++)
            p->lines[p->blocks[into].first + i].block = into;
    }
    p->n_blocks = p->n_blocks ? into + 1 : 0;
}

static bool layout_reserve(struct layout *l, size_t n)
{
    if (n <= l->cap_lines)
        return true;
    free(l->notes);
    free(l->cells);
    free(l->rows);
    l->notes = calloc(n, sizeof(*l->notes));
    l->cells = calloc(n, sizeof(*l->cells));
    l->rows = calloc(n, sizeof(*l->rows));
    l->cap_lines = l->notes && l->cells && l->rows ? n : 0;
    return l->cap_lines > 0;
}

void layout_page(struct layout *l, struct page *p)
{
    if (!p->n_lines)
        return;
    if (!layout_reserve(l, p->n_lines)) {
        builder_refuse(l->b, REASON_NOMEM, 0, 0);
        return;
    }
    l->p = p;
    for (size_t i = 0; i < p->n_lines; i++)
        l->notes[i] = (struct note){ NONE, NONE, false };
    if (p->n_lines <= ORDERED_LINES_MAX) {
        blocks_merge(l, p);
        for (size_t k = 0; k < p->n_blocks; k++)
            markers_give(l, &p->blocks[k]);
        tables_find(l);
    }
    for (size_t k = 0; k < p->n_blocks && builder_ok(l->b); k++)
        block_write(l, &p->blocks[k]);
}

/* ---- headings ------------------------------------------------------------------------------- */

/* The line height that most of the text is set in. */
static float body_height(const struct layout *l)
{
    size_t all = 0, seen = 0;
    for (size_t i = 0; i < HEIGHT_BUCKETS; i++)
        all += l->chars_of_height[i];
    for (size_t i = 0; i < HEIGHT_BUCKETS; i++) {
        seen += l->chars_of_height[i];
        if (seen * 2 > all)
            return (float)i / 4;
    }
    return 0;
}

void layout_finish(struct layout *l)
{
    enum { HEADING_BYTES_MAX = 200 };
    float body = body_height(l);
    for (size_t i = 0; i < l->b->n_blocks && i < l->n_heights; i++) {
        struct block *k = &l->b->blocks[i];
        bool tall = l->heights[i] >= 1.15f * body + 0.25f; /* and more than the buckets' rounding */
        bool may_be = k->kind == BLOCK_PARAGRAPH || k->kind == BLOCK_LIST_ITEM; /* "1. Purpose" */
        if (may_be && tall && k->end - k->start <= HEADING_BYTES_MAX)
            k->kind = BLOCK_HEADING;
    }
}

struct layout *layout_create(struct builder *b)
{
    struct layout *l = calloc(1, sizeof(*l));
    if (l)
        l->b = b;
    return l;
}

void layout_destroy(struct layout *l)
{
    if (!l)
        return;
    free(l->notes);
    free(l->cells);
    free(l->rows);
    free(l->heights);
    free(l);
}
