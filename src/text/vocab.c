/* A vocabulary: the bytes of every token, and the way back from bytes to ids. */
#include "text/tok_priv.h"

#include <stdlib.h>
#include <string.h>

#include "base/size.h"

bool vocab_init(struct vocab *v, size_t n)
{
    *v = (struct vocab){ .n = n };
    v->start = calloc(n ? n : 1, sizeof(*v->start));
    v->len = calloc(n ? n : 1, sizeof(*v->len));
    v->flags = calloc(n ? n : 1, sizeof(*v->flags));
    return v->start && v->len && v->flags;
}

void vocab_deinit(struct vocab *v)
{
    buf_deinit(&v->text);
    free(v->start);
    free(v->len);
    free(v->flags);
    free(v->all.slots);
    free(v->added.slots);
    *v = (struct vocab){ 0 };
}

bool vocab_set(struct vocab *v, size_t id, struct span bytes, unsigned flags)
{
    assert(id < v->n);
    if (bytes.len > TOKEN_BYTES_MAX || v->text.len > UINT32_MAX - bytes.len)
        return false;
    v->start[id] = (uint32_t)v->text.len;
    v->len[id] = (uint32_t)bytes.len;
    v->flags[id] = (uint8_t)(flags | TOKEN_EXISTS);
    buf_append_span(&v->text, bytes);
    return !v->text.failed;
}

struct span vocab_bytes(const struct vocab *v, size_t id)
{
    if (id >= v->n || !v->len[id])
        return (struct span){ 0 };
    return (struct span){ v->text.ptr + v->start[id], v->len[id] };
}

/* ---- maps ------------------------------------------------------------------------------------ */

/* FNV-1a, finished by a multiply so that the low bits depend on all. Collisions made on purpose
 * cost time while loading only, and a model file that wants to be slow can simply be large. */
static uint64_t hash_begin(bool cont)
{
    return 0xCBF29CE484222325u ^ cont;
}

static uint64_t hash_byte(uint64_t h, char c)
{
    return (h ^ (unsigned char)c) * 0x100000001B3u;
}

static size_t hash_end(uint64_t h)
{
    return (size_t)((h * 0x9E3779B97F4A7C15u) >> 20);
}

static size_t hash_bytes(struct span s, bool cont)
{
    uint64_t h = hash_begin(cont);
    for (size_t i = 0; i < s.len; i++)
        h = hash_byte(h, s.ptr[i]);
    return hash_end(h);
}

static bool continues(const struct vocab *v, size_t id)
{
    return v->flags[id] & TOKEN_CONTINUES;
}

/* The slot where these bytes are, or the free one where they would go. */
static size_t slot_from(const struct vocab *v, const struct id_map *m, size_t hash,
                        struct span bytes, bool cont)
{
    size_t i = hash & m->mask;
    while (m->slots[i]) {
        size_t id = m->slots[i] - 1;
        if (continues(v, id) == cont && span_eq(vocab_bytes(v, id), bytes))
            break;
        i = (i + 1) & m->mask;
    }
    return i;
}

static size_t slot_of(const struct vocab *v, const struct id_map *m, struct span bytes, bool cont)
{
    return slot_from(v, m, hash_bytes(bytes, cont), bytes, cont);
}

static bool map_init(struct id_map *m, size_t n)
{
    size_t n_slots = 16;
    while (n_slots < 2 * n)
        n_slots *= 2;
    m->slots = calloc(n_slots, sizeof(*m->slots));
    m->mask = n_slots - 1;
    return m->slots;
}

static int32_t map_find(const struct vocab *v, const struct id_map *m, struct span bytes, bool cont)
{
    if (!m->slots)
        return -1;
    return (int32_t)m->slots[slot_of(v, m, bytes, cont)] - 1;
}

static void map_add(struct vocab *v, struct id_map *m, size_t id)
{
    size_t slot = slot_of(v, m, vocab_bytes(v, id), continues(v, id));
    if (!m->slots[slot]) /* of equal ones the first counts */
        m->slots[slot] = (uint32_t)id + 1;
}

static bool is_word(const struct vocab *v, size_t id)
{
    return v->flags[id] & TOKEN_EXISTS && !(v->flags[id] & TOKEN_UNUSED) && v->len[id];
}

bool vocab_index(struct vocab *v)
{
    size_t n_added = 0;
    for (size_t id = 0; id < v->n; id++)
        n_added += is_word(v, id) && v->flags[id] & TOKEN_ADDED;
    if (!map_init(&v->all, v->n) || !map_init(&v->added, n_added))
        return false;
    for (size_t id = 0; id < v->n; id++) {
        if (!is_word(v, id) || v->flags[id] & TOKEN_ADDED)
            continue;
        map_add(v, &v->all, id);
        v->word_len_max = MAX(v->word_len_max, v->len[id]);
    }
    for (size_t id = 0; id < v->n; id++) { /* after the others, which come first among equal ones */
        if (!is_word(v, id) || !(v->flags[id] & TOKEN_ADDED))
            continue;
        map_add(v, &v->all, id);
        if (v->len[id] > ADDED_BYTES_MAX)
            continue;
        map_add(v, &v->added, id);
        v->added_len_max = MAX(v->added_len_max, v->len[id]);
        v->added_first[(unsigned char)*vocab_bytes(v, id).ptr] = 1;
    }
    return true;
}

int32_t vocab_find(const struct vocab *v, struct span bytes, bool cont)
{
    return map_find(v, &v->all, bytes, cont);
}

int32_t vocab_find_added(const struct vocab *v, struct span bytes)
{
    return map_find(v, &v->added, bytes, false);
}

/* The longest token at the start of s, growing the hash byte by byte, so that all lengths together
 * cost one pass. Control tokens count only where they are looked for, in the map of added tokens.
 */
static int32_t longest(const struct vocab *v, const struct id_map *m, struct span s, bool cont,
                       size_t len_max, bool control)
{
    int32_t found = -1;
    uint64_t h = hash_begin(cont);
    for (size_t len = 1; len <= MIN(s.len, len_max); len++) {
        h = hash_byte(h, s.ptr[len - 1]);
        size_t slot = slot_from(v, m, hash_end(h), span_sub(s, 0, len), cont);
        if (m->slots[slot] && (control || !(v->flags[m->slots[slot] - 1] & TOKEN_CONTROL)))
            found = (int32_t)m->slots[slot] - 1;
    }
    return found;
}

int32_t vocab_match_added(const struct vocab *v, struct span s)
{
    if (!s.len || !v->added_first[(unsigned char)*s.ptr])
        return -1;
    return longest(v, &v->added, s, false, v->added_len_max, true);
}

int32_t vocab_match_word(const struct vocab *v, struct span s, bool cont)
{
    int32_t id = vocab_find(v, s, cont); /* most words are a token as a whole */
    if (id >= 0 && !(v->flags[id] & TOKEN_CONTROL))
        return id;
    return longest(v, &v->all, s, cont, v->word_len_max, false);
}
