/* Reading compound files; see cfb.h.
 *
 *   header (512 bytes)   sector size, where the tables begin
 *   FAT                  for every sector the next one of its chain; its own sectors are listed in the header and, from
 *                        the 110th on, in the DIFAT's chain
 *   directory            a chain of entries of 128 bytes: name, kind, links to left, right and child, first sector, size
 *   mini stream          the root's chain: streams below 4,096 bytes in sectors of 64, with a table of their own
 *
 * A sector number n stands for the bytes from (n + 1) * sector size on. */
#include "extract/cfb.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/size.h"
#include "base/utf8.h"

enum {
    HEADER_BYTES = 512,
    ENTRY_BYTES = 128,
    HEADER_DIFAT = 109,
    MINI_SHIFT = 6,
    MINI_CUTOFF = 4096,
};
#define SECTOR_LAST 0xFFFFFFFAu /* above: marks, not numbers */
#define SECTOR_FREE 0xFFFFFFFFu

struct cfb {
    struct span file;
    unsigned shift; /* of a sector: 9 or 12 */
    uint32_t n_sectors;
    uint32_t *fat;     /* [n_sectors] */
    uint32_t *minifat; /* [n_minifat] */
    size_t n_minifat;
    struct buf mini; /* the mini stream */
    struct cfb_entry *entries;
    uint32_t n_entries;
    uint64_t budget; /* bytes that may still be read out */
};

static uint32_t u16_at(struct span s, size_t at)
{
    return span_le(s, at, 2);
}

static uint32_t u32_at(struct span s, size_t at)
{
    return span_le(s, at, 4);
}

static bool damaged(struct refusal *why, uint64_t step)
{
    *why = (struct refusal){ REASON_CFB_DAMAGED, step, 0 };
    return false;
}

static bool nomem(struct refusal *why)
{
    *why = (struct refusal){ REASON_NOMEM, 0, 0 };
    return false;
}

/* ---- sectors -------------------------------------------------------------------------------- */

/* The bytes of a sector; the last one of a file may be cut short. */
static struct span sector(const struct cfb *c, uint32_t n)
{
    size_t at = ((size_t)n + 1) << c->shift;
    return span_sub(c->file, at, at + ((size_t)1 << c->shift));
}

/* Appends a chain: 'size' bytes, or, with SIZE_MAX, to its end. */
static bool chain_read(const struct cfb *c, uint32_t start, size_t size, struct buf *out,
                       struct refusal *why)
{
    size_t left = size;
    uint32_t steps = 0;
    for (uint32_t n = start; left && n <= SECTOR_LAST; n = c->fat[n]) {
        if (n >= c->n_sectors || steps++ >= c->n_sectors)
            return damaged(why, 3);
        struct span s = sector(c, n);
        s = span_sub(s, 0, left);
        buf_append_span(out, s);
        if (size != SIZE_MAX)
            left -= s.len;
        if (s.len == 0)
            break;
    }
    if (out->failed)
        return nomem(why);
    return size == SIZE_MAX || left == 0 || damaged(why, 4);
}

static bool mini_read(const struct cfb *c, uint32_t start, size_t size, struct buf *out,
                      struct refusal *why)
{
    size_t steps = 0, left = size;
    for (uint32_t n = start; left && n <= SECTOR_LAST; n = c->minifat[n]) {
        if (n >= c->n_minifat || steps++ >= c->n_minifat)
            return damaged(why, 5);
        size_t at = (size_t)n << MINI_SHIFT;
        struct span s = span_sub(buf_span(&c->mini), at, at + MIN(left, (size_t)1 << MINI_SHIFT));
        buf_append_span(out, s);
        left -= s.len;
        if (s.len == 0)
            break;
    }
    if (out->failed)
        return nomem(why);
    return left == 0 || damaged(why, 6);
}

/* ---- opening -------------------------------------------------------------------------------- */

static bool header_read(struct cfb *c, struct refusal *why)
{
    struct span f = c->file;
    if (f.len < HEADER_BYTES || !span_starts(f, SPAN("\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1")))
        return damaged(why, 1);
    c->shift = u16_at(f, 30);
    if ((c->shift != 9 && c->shift != 12) || u16_at(f, 32) != MINI_SHIFT)
        return damaged(why, 1);
    size_t bytes = (size_t)1 << c->shift;
    size_t n =
        f.len > bytes ? (f.len - 1) / bytes : 0; /* without the header's, the last may be cut */
    if (n == 0 || n > SECTOR_LAST)
        return damaged(why, 1);
    c->n_sectors = (uint32_t)n;
    return true;
}

/* The i-th sector of the FAT says what follows sectors [i * per, i * per + per). */
static bool fat_sector(struct cfb *c, size_t i, uint32_t n)
{
    size_t per = (size_t)1 << (c->shift - 2);
    if (n >= c->n_sectors)
        return false;
    struct span s = sector(c, n);
    for (size_t k = 0; 4 * k + 4 <= s.len && i * per + k < c->n_sectors; k++)
        c->fat[i * per + k] = u32_at(s, 4 * k);
    return true;
}

static bool fat_read(struct cfb *c, struct refusal *why)
{
    size_t bytes, per = (size_t)1 << (c->shift - 2);
    if (!size_mul(&bytes, c->n_sectors, sizeof(*c->fat)))
        return damaged(why, 2);
    c->fat = malloc(bytes);
    if (!c->fat)
        return nomem(why);
    memset(c->fat, 0xFF, bytes); /* SECTOR_FREE */
    size_t n_fat = MIN((size_t)u32_at(c->file, 44), (c->n_sectors + per - 1) / per), i = 0;
    for (; i < n_fat && i < HEADER_DIFAT; i++)
        if (!fat_sector(c, i, u32_at(c->file, 76 + 4 * i)))
            return damaged(why, 2);
    uint32_t difat = u32_at(c->file, 68);
    while (i < n_fat) { /* each step of it gives at least one sector of the FAT, so that it ends */
        struct span s = { 0 };
        if (difat < c->n_sectors)
            s = sector(c, difat);
        if (s.len < (size_t)1 << c->shift)
            return damaged(why, 2);
        for (size_t k = 0; k + 1 < per && i < n_fat; k++, i++)
            if (!fat_sector(c, i, u32_at(s, 4 * k)))
                return damaged(why, 2);
        difat = u32_at(s, 4 * (per - 1));
    }
    return true;
}

static bool minifat_read(struct cfb *c, struct refusal *why)
{
    struct buf table = { 0 };
    bool ok = chain_read(c, u32_at(c->file, 60), SIZE_MAX, &table, why);
    size_t n = table.len / 4;
    if (ok && n) {
        c->minifat = malloc(4 * n);
        ok = c->minifat || nomem(why);
    }
    for (size_t i = 0; ok && i < n; i++)
        c->minifat[i] = u32_at(buf_span(&table), 4 * i);
    c->n_minifat = ok ? n : 0;
    buf_deinit(&table);
    return ok;
}

/* ---- the directory -------------------------------------------------------------------------- */

/* UTF-16 of at most CFB_NAME_MAX units with its length in bytes, the final zero counted. */
static void name_read(char *out, struct span entry)
{
    size_t n_units = MIN(u16_at(entry, 64) / 2, (uint32_t)CFB_NAME_MAX + 1), len = 0;
    for (size_t i = 0; i < n_units; i++) {
        uint32_t u = u16_at(entry, 2 * i);
        if (u == 0)
            break;
        if (u >= 0xD800 && u < 0xE000)
            u = 0xFFFD;
        char utf8[UTF8_MAX_BYTES];
        size_t n = utf8_encode(utf8, (int32_t)u);
        if (len + n > 3 * CFB_NAME_MAX)
            break;
        memcpy(out + len, utf8, n);
        len += n;
    }
    out[len] = '\0';
}

struct links {
    uint32_t left, right, child;
};

static void entry_read(struct cfb_entry *e, struct links *l, struct span s, bool big)
{
    name_read(e->name, s);
    unsigned type = (unsigned char)s.ptr[66];
    e->is_storage = type == 1 || type == 5;
    *l = (struct links){ u32_at(s, 68), u32_at(s, 72), u32_at(s, 76) };
    if (type != 1 && type != 2 && type != 5)
        l->child = CFB_NONE;
    e->start = u32_at(s, 116);
    e->size = u32_at(s, 120) | (big ? (uint64_t)u32_at(s, 124) << 32 : 0);
    e->parent = e->first = e->next = CFB_NONE;
}

/* The children of a storage hang in a binary tree by name: walked from left to right, each entry once in the whole file. */
static bool children_link(struct cfb *c, const struct links *links, bool *seen, uint32_t *stack,
                          uint32_t storage, struct refusal *why)
{
    struct cfb_entry *e = c->entries;
    uint32_t now = links[storage].child, last = CFB_NONE;
    size_t n = 0;
    while (n || now < c->n_entries) {
        while (now < c->n_entries && !seen[now]) {
            seen[now] = true;
            stack[n++] = now;
            now = links[now].left;
        }
        if (!n)
            break;
        uint32_t i = stack[--n];
        e[i].parent = storage;
        e[i].depth = e[storage].depth + 1;
        if (e[i].depth > CFB_DEPTH_MAX) {
            *why = (struct refusal){ REASON_TOO_DEEP, CFB_DEPTH_MAX, 0 };
            return false;
        }
        if (last == CFB_NONE)
            e[storage].first = i;
        else
            e[last].next = i;
        last = i;
        now = links[i].right;
        if (now < c->n_entries && seen[now])
            now = CFB_NONE;
    }
    return true;
}

/* Storages from the root down; 'queue' has room for every entry. */
static bool tree_link(struct cfb *c, const struct links *links, struct refusal *why)
{
    bool *seen = calloc(c->n_entries, sizeof(*seen));
    uint32_t *stack = calloc(c->n_entries, sizeof(*stack));
    uint32_t *queue = calloc(c->n_entries, sizeof(*queue));
    bool ok = (seen && stack && queue) || nomem(why);
    uint32_t n = 0;
    if (ok) {
        seen[CFB_ROOT] = true;
        queue[n++] = CFB_ROOT;
    }
    for (uint32_t at = 0; ok && at < n; at++) {
        ok = children_link(c, links, seen, stack, queue[at], why);
        for (uint32_t i = c->entries[queue[at]].first; ok && i != CFB_NONE; i = c->entries[i].next)
            if (c->entries[i].is_storage)
                queue[n++] = i;
    }
    free(seen);
    free(stack);
    free(queue);
    return ok;
}

static bool directory_read(struct cfb *c, struct refusal *why)
{
    struct buf bytes = { 0 };
    struct links *links = NULL;
    bool ok = chain_read(c, u32_at(c->file, 48), SIZE_MAX, &bytes, why);
    size_t n = bytes.len / ENTRY_BYTES;
    if (ok && (n == 0 || n > CFB_ENTRIES_MAX))
        ok = damaged(why, 7);
    if (ok) {
        c->entries = calloc(n, sizeof(*c->entries));
        links = calloc(n, sizeof(*links));
        ok = (c->entries && links) || nomem(why);
    }
    for (size_t i = 0; ok && i < n; i++)
        entry_read(&c->entries[i], &links[i],
                   span_sub(buf_span(&bytes), i * ENTRY_BYTES, (i + 1) * ENTRY_BYTES),
                   c->shift == 12);
    c->n_entries = ok ? (uint32_t)n : 0;
    ok = ok && tree_link(c, links, why);
    free(links);
    buf_deinit(&bytes);
    return ok;
}

static bool ministream_read(struct cfb *c, struct refusal *why)
{
    const struct cfb_entry *root = &c->entries[CFB_ROOT];
    if (!c->n_minifat)
        return true;
    if (root->size > c->file.len)
        return damaged(why, 8);
    return chain_read(c, root->start, (size_t)root->size, &c->mini, why);
}

struct cfb *cfb_open(struct span file, struct refusal *why)
{
    *why = (struct refusal){ 0 };
    struct cfb *c = calloc(1, sizeof(*c));
    if (!c) {
        nomem(why);
        return NULL;
    }
    c->file = file;
    c->budget = (uint64_t)CFB_READ_FACTOR * file.len;
    if (header_read(c, why) && fat_read(c, why) && minifat_read(c, why) && directory_read(c, why) &&
        ministream_read(c, why))
        return c;
    cfb_close(c);
    return NULL;
}

void cfb_close(struct cfb *c)
{
    if (!c)
        return;
    free(c->fat);
    free(c->minifat);
    free(c->entries);
    buf_deinit(&c->mini);
    free(c);
}

const struct cfb_entry *cfb_entry(const struct cfb *c, uint32_t i)
{
    return &c->entries[i];
}

uint32_t cfb_child(const struct cfb *c, uint32_t storage, const char *name)
{
    for (uint32_t i = c->entries[storage].first; i != CFB_NONE; i = c->entries[i].next)
        if (strcasecmp(c->entries[i].name, name) == 0)
            return i;
    return CFB_NONE;
}

bool cfb_read(struct cfb *c, uint32_t stream, struct buf *out, struct refusal *why)
{
    const struct cfb_entry *e = &c->entries[stream];
    *why = (struct refusal){ 0 };
    if (e->size > c->file.len || e->size > c->budget)
        return damaged(why, 9);
    c->budget -= e->size;
    if (e->size < MINI_CUTOFF)
        return mini_read(c, e->start, (size_t)e->size, out, why);
    return chain_read(c, e->start, (size_t)e->size, out, why);
}

/* ---- for telling what a file is ------------------------------------------------------------- */

uint64_t cfb_directory_at(struct span head)
{
    if (head.len < HEADER_BYTES || !span_starts(head, SPAN("\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1")))
        return 0;
    unsigned shift = u16_at(head, 30);
    return shift == 9 || shift == 12 ? ((uint64_t)u32_at(head, 48) + 1) << shift : 0;
}

bool cfb_directory_names(struct span directory, const char *name)
{
    for (size_t at = 0; at + ENTRY_BYTES <= directory.len; at += ENTRY_BYTES) {
        char found[3 * CFB_NAME_MAX + 1];
        name_read(found, span_sub(directory, at, at + ENTRY_BYTES));
        if (strcasecmp(found, name) == 0)
            return true;
    }
    return false;
}
