/* Writing compound files, for a message that is taken out of another one; see cfb.h.
 *
 * Version 4: sectors of 4,096 bytes, so that the header has room for the whole list of the FAT's sectors up to 456 MiB and
 * no DIFAT is needed. In the file: header, streams of 4,096 bytes or more, the mini stream, its table, the directory, the
 * FAT. The tree of names of a storage is balanced and all black, which readers accept. */
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "base/utf8.h"
#include "extract/cfb.h"

enum { SHIFT = 12, SECTOR = 1 << SHIFT, MINI = 64, CUTOFF = 4096, FAT_MAX = 100, UNITS = 32 };
#define END_OF_CHAIN 0xFFFFFFFEu
#define FAT_SECTOR   0xFFFFFFFDu
#define FREE_SECTOR  0xFFFFFFFFu

struct node {
    uint16_t name[UNITS]; /* ends with 0 */
    size_t n_units;
    bool is_storage;
    uint32_t parent, left, right, child, start;
    char *ptr;
    size_t len;
};

struct cfb_writer {
    struct node *nodes;
    size_t n, cap;
};

static bool name_set(struct node *d, const char *name)
{
    struct span s = span_of(name);
    for (size_t at = 0, n; at < s.len; at += n) {
        int32_t cp = utf8_decode(s.ptr + at, s.len - at, &n);
        if (cp < 0 || cp > 0xFFFF || d->n_units == UNITS - 1)
            return false;
        d->name[d->n_units++] = (uint16_t)cp;
    }
    return d->n_units > 0;
}

static uint32_t node_add(struct cfb_writer *w, uint32_t parent, const char *name, bool is_storage,
                         struct span bytes)
{
    struct node d = { .is_storage = is_storage,
                      .parent = parent,
                      .left = CFB_NONE,
                      .right = CFB_NONE,
                      .child = CFB_NONE,
                      .len = bytes.len };
    if (w->n >= CFB_ENTRIES_MAX || !name_set(&d, name))
        return CFB_NONE;
    if (w->n == w->cap) {
        size_t cap = w->cap ? 2 * w->cap : 32;
        struct node *p = realloc(w->nodes, cap * sizeof(*p)); /* cap <= 2 * CFB_ENTRIES_MAX */
        if (!p)
            return CFB_NONE;
        w->nodes = p;
        w->cap = cap;
    }
    if (bytes.len) {
        d.ptr = malloc(bytes.len);
        if (!d.ptr)
            return CFB_NONE;
        memcpy(d.ptr, bytes.ptr, bytes.len);
    }
    w->nodes[w->n] = d;
    return (uint32_t)w->n++;
}

struct cfb_writer *cfb_writer_create(void)
{
    struct cfb_writer *w = calloc(1, sizeof(*w));
    if (w && node_add(w, CFB_NONE, "Root Entry", true, (struct span){ 0 }) == CFB_ROOT)
        return w;
    cfb_writer_destroy(w);
    return NULL;
}

void cfb_writer_destroy(struct cfb_writer *w)
{
    for (size_t i = 0; w && i < w->n; i++)
        free(w->nodes[i].ptr);
    if (w)
        free(w->nodes);
    free(w);
}

uint32_t cfb_writer_storage(struct cfb_writer *w, uint32_t parent, const char *name)
{
    return node_add(w, parent, name, true, (struct span){ 0 });
}

uint32_t cfb_writer_stream(struct cfb_writer *w, uint32_t parent, const char *name,
                           struct span bytes)
{
    return node_add(w, parent, name, false, bytes);
}

/* ---- the trees of names --------------------------------------------------------------------- */

struct place {
    const struct node *node;
    uint32_t i;
};

static uint16_t upper(uint16_t u)
{
    return u >= 'a' && u <= 'z' ? (uint16_t)(u - 'a' + 'A') : u;
}

/* By storage, then as the format orders names: shorter ones first. */
static int by_place(const void *a, const void *b)
{
    const struct node *x = ((const struct place *)a)->node, *y = ((const struct place *)b)->node;
    if (x->parent != y->parent)
        return x->parent < y->parent ? -1 : 1;
    if (x->n_units != y->n_units)
        return x->n_units < y->n_units ? -1 : 1;
    for (size_t i = 0; i < x->n_units; i++)
        if (upper(x->name[i]) != upper(y->name[i]))
            return upper(x->name[i]) < upper(y->name[i]) ? -1 : 1;
    return 0;
}

/* As deep as the logarithm of how many there are. */
static uint32_t tree_build(struct node *nodes, const struct place *p, size_t n)
{
    if (n == 0)
        return CFB_NONE;
    size_t mid = n / 2;
    uint32_t top = p[mid].i;
    nodes[top].left = tree_build(nodes, p, mid);
    nodes[top].right = tree_build(nodes, p + mid + 1, n - mid - 1);
    return top;
}

static bool trees_build(struct cfb_writer *w)
{
    struct place *p = calloc(w->n, sizeof(*p));
    if (!p)
        return false;
    for (size_t i = 0; i < w->n; i++)
        p[i] = (struct place){ &w->nodes[i], (uint32_t)i };
    qsort(p, w->n, sizeof(*p), by_place); /* the root is last: its parent is CFB_NONE */
    for (size_t from = 0, to; from + 1 < w->n; from = to) {
        uint32_t parent = p[from].node->parent;
        for (to = from; to < w->n && p[to].node->parent == parent;)
            to++;
        w->nodes[parent].child = tree_build(w->nodes, p + from, to - from);
    }
    free(p);
    return true;
}

/* ---- bytes ---------------------------------------------------------------------------------- */

static void put(struct buf *b, uint64_t v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        buf_append_char(b, i < sizeof(v) ? (char)(v >> 8 * i & 0xFF) : '\0');
}

static void pad(struct buf *b, size_t unit)
{
    while (!b->failed && b->len % unit)
        buf_append_char(b, '\0');
}

struct image { /* everything after the header, and the table of what follows what */
    struct buf data, fat;
};

/* Appends a chain; its first sector. */
static uint32_t chain(struct image *m, struct span s)
{
    if (!s.len)
        return END_OF_CHAIN;
    size_t first = m->data.len >> SHIFT, n = (s.len + SECTOR - 1) >> SHIFT;
    buf_append_span(&m->data, s);
    pad(&m->data, SECTOR);
    for (size_t i = 1; i <= n; i++)
        put(&m->fat, i == n ? END_OF_CHAIN : first + i, 4);
    return (uint32_t)first;
}

static void streams_place(struct cfb_writer *w, struct image *m, struct buf *mini,
                          struct buf *minifat)
{
    for (size_t i = 1; i < w->n; i++) {
        struct node *d = &w->nodes[i];
        d->start = END_OF_CHAIN;
        if (d->len >= CUTOFF) {
            d->start = chain(m, (struct span){ d->ptr, d->len });
        } else if (d->len) {
            size_t first = mini->len / MINI, n = (d->len + MINI - 1) / MINI;
            d->start = (uint32_t)first;
            buf_append(mini, d->ptr, d->len);
            pad(mini, MINI);
            for (size_t k = 1; k <= n; k++)
                put(minifat, k == n ? END_OF_CHAIN : first + k, 4);
        }
    }
}

static void directory_put(struct buf *out, const struct cfb_writer *w)
{
    for (size_t i = 0; i < w->n; i++) {
        const struct node *d = &w->nodes[i];
        for (size_t k = 0; k < UNITS; k++)
            put(out, d->name[k], 2);
        put(out, 2 * (d->n_units + 1), 2);
        put(out, i == CFB_ROOT ? 5 : d->is_storage ? 1 : 2, 1);
        put(out, 1, 1); /* black */
        put(out, d->left, 4);
        put(out, d->right, 4);
        put(out, d->child, 4);
        put(out, 0, 36); /* class, state, times */
        put(out, d->is_storage && i != CFB_ROOT ? 0 : d->start, 4);
        put(out, d->len, 8);
    }
    pad(out, SECTOR);
}

struct header {
    uint32_t directory, n_directory, minifat, n_minifat, fat, n_fat;
};

static void header_put(struct buf *out, const struct header *h)
{
    buf_append_span(out, SPAN("\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1"));
    put(out, 0, 16);
    put(out, 0x3E, 2);
    put(out, 4, 2);
    put(out, 0xFFFE, 2);
    put(out, SHIFT, 2);
    put(out, 6, 2);
    put(out, 0, 6);
    put(out, h->n_directory, 4);
    put(out, h->n_fat, 4);
    put(out, h->directory, 4);
    put(out, 0, 4);
    put(out, CUTOFF, 4);
    put(out, h->n_minifat ? h->minifat : END_OF_CHAIN, 4);
    put(out, h->n_minifat, 4);
    put(out, END_OF_CHAIN, 4); /* no DIFAT */
    put(out, 0, 4);
    for (uint32_t i = 0; i < 109; i++)
        put(out, i < h->n_fat ? h->fat + i : FREE_SECTOR, 4);
    pad(out, SECTOR);
}

/* The FAT lists its own sectors, too. */
static bool fat_place(struct image *m, struct header *h)
{
    size_t per = SECTOR / 4, n_others = m->fat.len / 4, n = 1;
    while (n * per < n_others + n)
        n++;
    if (n > FAT_MAX)
        return false;
    h->fat = (uint32_t)n_others;
    h->n_fat = (uint32_t)n;
    for (size_t i = 0; i < n; i++)
        put(&m->fat, FAT_SECTOR, 4);
    while (m->fat.len % SECTOR && !m->fat.failed)
        put(&m->fat, FREE_SECTOR, 4);
    buf_append_span(&m->data, buf_span(&m->fat));
    return true;
}

bool cfb_writer_finish(struct cfb_writer *w, struct buf *out)
{
    struct image m = { 0 };
    struct buf mini = { 0 }, minifat = { 0 }, directory = { 0 };
    struct header h = { 0 };
    bool ok = trees_build(w);
    if (ok) {
        streams_place(w, &m, &mini, &minifat);
        w->nodes[CFB_ROOT].len = mini.len;
        w->nodes[CFB_ROOT].start = chain(&m, buf_span(&mini));
        while (minifat.len % SECTOR && !minifat.failed)
            put(&minifat, FREE_SECTOR, 4);
        h.minifat = chain(&m, buf_span(&minifat));
        h.n_minifat = (uint32_t)(minifat.len / SECTOR);
        directory_put(&directory, w);
        h.directory = chain(&m, buf_span(&directory));
        h.n_directory = (uint32_t)(directory.len / SECTOR);
        ok = fat_place(&m, &h);
    }
    ok = ok && !mini.failed && !minifat.failed && !directory.failed && !m.data.failed &&
         !m.fat.failed;
    if (ok) {
        header_put(out, &h);
        buf_append_span(out, buf_span(&m.data));
        ok = !out->failed;
    }
    buf_deinit(&m.data);
    buf_deinit(&m.fat);
    buf_deinit(&mini);
    buf_deinit(&minifat);
    buf_deinit(&directory);
    return ok;
}
