/* Cutting a document into the units of search. */
#include "office/chunk.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "base/utf8.h"

/* What is written with a full stop in the middle of a sentence. Compared without case. */
static const char *const ABBREVIATIONS[] = {
    "abs", "art", "az",  "bzw", "ca",   "co",   "corp", "dr",  "etc",  "evtl",
    "ff",  "ggf", "hr",  "inc", "inkl", "jr",   "lit",  "ltd", "max",  "min",
    "mr",  "mrs", "ms",  "nr",  "no",   "prof", "rn",   "s",   "sog",  "sr",
    "st",  "str", "tel", "u",   "usw",  "vgl",  "vs",   "z",   "zzgl", "ziff",
    "d",   "e",   "g",   "i",   "a",    "b",    "o",    "h",   "fr",   "approx",
};

static bool is_abbreviation(const char *word, size_t len)
{
    char low[16];
    if (len == 0 || len >= sizeof(low))
        return false;
    for (size_t i = 0; i < len; i++)
        low[i] = (char)tolower((unsigned char)word[i]);
    low[len] = '\0';
    for (size_t i = 0; i < ARRAY_LEN(ABBREVIATIONS); i++) {
        if (strcmp(low, ABBREVIATIONS[i]) == 0)
            return true;
    }
    return false;
}

/* Is the full stop at 'dot' the end of a sentence? Decided by the word before it and the letter
 * after. */
static bool stop_ends_sentence(struct span t, size_t dot)
{
    size_t next = dot + 1;
    while (next < t.len && strchr("\"')]", t.ptr[next]))
        next++;
    if (next < t.len && t.ptr[next] != ' ' && t.ptr[next] != '\n')
        return false;                        /* 1.234,56 and www.example */
    if (t.ptr[dot] != '.' || next > dot + 1) /* a closing mark after the stop */
        return true;
    size_t word = dot;
    while (word > 0 &&
           (isalnum((unsigned char)t.ptr[word - 1]) || (unsigned char)t.ptr[word - 1] >= 0x80))
        word--;
    if (word == dot)
        return true;
    if (is_abbreviation(t.ptr + word, dot - word))
        return false;
    bool digits = true;
    for (size_t i = word; i < dot; i++)
        digits &= isdigit((unsigned char)t.ptr[i]) != 0;
    /* "am 12. März": an ordinal. "bis 2024." before a new line or at the end: a sentence. */
    if (digits && dot - word <= 2 && next < t.len && t.ptr[next] == ' ')
        return false;
    return true;
}

size_t sentence_end(struct span text, size_t from)
{
    for (size_t i = from; i < text.len; i++) {
        char c = text.ptr[i];
        if (c == '\n' && i + 1 < text.len && text.ptr[i + 1] == '\n')
            return i;
        if ((c == '.' || c == '!' || c == '?') && stop_ends_sentence(text, i)) {
            size_t end = i + 1;
            while (end < text.len && strchr("\"')]", text.ptr[end]))
                end++;
            return end;
        }
    }
    return text.len;
}

struct chunks {
    struct kt_place *items;
    size_t n, cap;
    bool failed;
};

static void push(struct chunks *c, const struct document *d, size_t start, size_t end,
                 const struct block *b)
{
    struct span s = span_sub((struct span){ d->text, d->text_len }, start, end);
    struct span t = span_trim(s);
    if (t.len == 0 || c->failed)
        return;
    start = (size_t)(t.ptr - d->text);
    end = start + t.len;
    if (c->n == c->cap) {
        size_t cap = c->cap ? c->cap * 2 : 64, bytes;
        struct kt_place *p = size_mul(&bytes, cap, sizeof(*p)) ? realloc(c->items, bytes) : NULL;
        if (!p) {
            c->failed = true;
            return;
        }
        c->items = p;
        c->cap = cap;
    }
    struct kt_place *p = &c->items[c->n++];
    *p = (struct kt_place){ .start = start, .end = end, .page = b->page, .para = b->para };
    memcpy(p->box, b->box, sizeof(p->box));
}

/* A hard cut for text without sentences: at the last space before 'limit', never inside a
 * character. */
static size_t cut_before(struct span t, size_t from, size_t limit)
{
    size_t cut = limit;
    while (cut > from + 1 && t.ptr[cut - 1] != ' ' && t.ptr[cut - 1] != '\n')
        cut--;
    if (cut > from + 1)
        return cut;
    cut = limit;
    while (cut > from + 1 && utf8_is_continuation(t.ptr[cut]))
        cut--;
    return cut;
}

static void split_long_block(struct chunks *c, const struct document *d, const struct block *b)
{
    struct span t = span_sub((struct span){ d->text, d->text_len }, 0, b->end);
    size_t start = b->start, at = b->start;
    while (at < b->end) {
        size_t end = sentence_end(t, at);
        if (end > b->end)
            end = b->end;
        if (end - start > CHUNK_TARGET && at > start) {
            push(c, d, start, at, b);
            start = at;
        }
        if (end - start > CHUNK_MAX) { /* one sentence longer than a chunk */
            end = cut_before(t, start, start + CHUNK_MAX);
            push(c, d, start, end, b);
            start = end;
        }
        at = end > at ? end : at + 1;
    }
    push(c, d, start, b->end, b);
}

/* ---- running heads ----------------------------------------------------------------------------- */

/* "Handbook, page 3" on every page is no passage. A short block whose text, digits aside, stands on at least three
 * pages and a third of all is a running head or foot: only its first occurrence is kept. */
enum { RUNNING_HEAD_MAX = 160 };

static uint64_t shape_of(const struct document *d, const struct block *b)
{
    uint64_t h = 14695981039346656037u; /* FNV-1a, digits as one sign */
    for (size_t i = b->start; i < b->end; i++) {
        unsigned char c = (unsigned char)d->text[i];
        h = (h ^ (isdigit(c) ? '0' : c)) * 1099511628211u;
    }
    return h;
}

struct head {
    uint64_t shape;
    uint32_t page;
    size_t block;
};

static int by_shape_and_place(const void *x, const void *y)
{
    const struct head *a = x, *b = y;
    if (a->shape != b->shape)
        return a->shape < b->shape ? -1 : 1;
    return a->block < b->block ? -1 : a->block > b->block;
}

/* skip: [n_blocks], set for repeated heads. */
static bool find_running_heads(bool *skip, const struct document *d)
{
    if (d->n_pages < 3)
        return true;
    struct head *heads = calloc(d->n_blocks ? d->n_blocks : 1, sizeof(*heads));
    if (!heads)
        return false;
    size_t n = 0;
    for (size_t i = 0; i < d->n_blocks; i++) {
        const struct block *b = &d->blocks[i];
        if (b->end - b->start <= RUNNING_HEAD_MAX)
            heads[n++] = (struct head){ shape_of(d, b), b->page, i };
    }
    qsort(heads, n, sizeof(*heads), by_shape_and_place);
    for (size_t i = 0, end; i < n; i = end) {
        size_t pages = 1;
        for (end = i + 1; end < n && heads[end].shape == heads[i].shape; end++)
            pages += heads[end].page != heads[end - 1].page;
        for (size_t k = i + 1; k < end && pages >= 3 && pages * 3 >= d->n_pages; k++)
            skip[heads[k].block] = true;
    }
    free(heads);
    return true;
}

/* Does a chunk that is long enough already end after this block? Decided by the block's own text, for every other block: so
 * after an insertion the cuts fall where they fell before as soon as one does, and what follows is the same passages. */
enum { CHUNK_EARLIEST = CHUNK_TARGET / 2 };

static bool cuts_after(const struct document *d, const struct block *b)
{
    return shape_of(d, b) >> 40 & 1;
}

enum kt_status chunk_document(struct kt_place **out, size_t *n, const struct document *d,
                              struct kt_error *err)
{
    *out = NULL;
    *n = 0;
    struct chunks c = { 0 };
    const struct block *first = NULL; /* first block of the chunk being filled */
    const struct block *last = NULL;  /* and its last one */
    size_t end = 0;
    bool only_headings = true;
    bool *skip = calloc(d->n_blocks ? d->n_blocks : 1, sizeof(*skip));
    c.failed = !skip || !find_running_heads(skip, d);
    for (size_t i = 0; !c.failed && i < d->n_blocks; i++) {
        const struct block *b = &d->blocks[i];
        if (skip[i])
            continue;
        size_t len = b->end - b->start;
        bool heading = b->kind == BLOCK_HEADING;
        bool fits = first && b->page == first->page && end - first->start + len <= CHUNK_TARGET;
        bool cut = first && end - first->start >= CHUNK_EARLIEST && cuts_after(d, last);
        if (first && (!fits || cut || (heading && !only_headings)) &&
            !(only_headings && b->page == first->page && len <= CHUNK_MAX / 2)) {
            push(&c, d, first->start, end, first);
            first = NULL;
        }
        if (len > CHUNK_MAX) {
            if (first)
                push(&c, d, first->start, end, first);
            first = NULL;
            split_long_block(&c, d, b);
            continue;
        }
        if (!first) {
            first = b;
            only_headings = true;
        }
        only_headings &= heading;
        end = b->end;
        last = b;
    }
    if (first)
        push(&c, d, first->start, end, first);
    free(skip);
    if (c.failed) {
        free(c.items);
        return kt_fail(err, KT_E_NOMEM, "out of memory while cutting a document into passages");
    }
    *out = c.items;
    *n = c.n;
    return KT_OK;
}
