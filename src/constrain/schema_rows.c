/* constrain/schema_rows.c: see schema_rows.h. */
#include "constrain/schema_rows.h"

#include <string.h>

static uint64_t hash_row(const uint32_t *row, size_t len)
{
    uint64_t h = 0x9E3779B97F4A7C15u ^ len;
    for (size_t i = 0; i < len; i++)
        h = (h ^ row[i]) * 0x100000001B3u, h ^= h >> 29;
    return h;
}

static void rehash(struct compilation *c, struct rows *t)
{
    t->n_slots = t->n_slots ? t->n_slots * 2 : 64;
    t->slot = sc_alloc(c, t->n_slots, sizeof(*t->slot));
    for (size_t i = 0; t->slot && i < t->n; i++) {
        size_t k = hash_row(t->row[i], t->len[i]) & (t->n_slots - 1);
        while (t->slot[k])
            k = (k + 1) & (t->n_slots - 1);
        t->slot[k] = (uint32_t)i + 1;
    }
}

uint32_t row_number(struct compilation *c, struct rows *t, const uint32_t *row, size_t len)
{
    if (t->n * 2 >= t->n_slots)
        rehash(c, t);
    if (c->st)
        return 0;
    size_t k = hash_row(row, len) & (t->n_slots - 1);
    for (; t->slot[k]; k = (k + 1) & (t->n_slots - 1)) {
        size_t i = t->slot[k] - 1;
        if (t->len[i] == len && (len == 0 || memcmp(t->row[i], row, len * sizeof(*row)) == 0))
            return (uint32_t)i;
    }
    if (t->n == t->cap) {
        size_t cap = t->cap ? t->cap * 2 : 32;
        const uint32_t **rows = sc_alloc(c, cap, sizeof(*rows));
        size_t *lens = sc_alloc(c, cap, sizeof(*lens));
        if (!rows || !lens)
            return 0;
        if (t->n) {
            memcpy(rows, t->row, t->n * sizeof(*rows));
            memcpy(lens, t->len, t->n * sizeof(*lens));
        }
        t->row = rows;
        t->len = lens;
        t->cap = cap;
    }
    uint32_t *copy = sc_alloc(c, len + 1, sizeof(*copy));
    if (!copy)
        return 0;
    if (len)
        memcpy(copy, row, len * sizeof(*row));
    t->row[t->n] = copy;
    t->len[t->n] = len;
    t->slot[k] = (uint32_t)++t->n;
    return (uint32_t)t->n - 1;
}
