#include "constrain/trie.h"

#include <stdlib.h>
#include <string.h>

#include "constrain/slice.h"

/* A token while sorting; the first eight bytes decide nearly every comparison. */
struct entry {
    uint64_t head;
    struct span bytes;
    int32_t id;
};

static uint64_t head_of(struct span s)
{
    uint64_t h = 0;
    for (size_t i = 0; i < 8; i++)
        h = h << 8 | (i < s.len ? (uint8_t)s.ptr[i] : 0);
    return h;
}

static int by_bytes(const void *pa, const void *pb)
{
    const struct entry *a = pa, *b = pb;
    if (a->head != b->head)
        return a->head < b->head ? -1 : 1;
    size_t n = a->bytes.len < b->bytes.len ? a->bytes.len : b->bytes.len;
    int c = memcmp(a->bytes.ptr, b->bytes.ptr, n);
    if (c)
        return c;
    if (a->bytes.len != b->bytes.len)
        return a->bytes.len < b->bytes.len ? -1 : 1;
    return (a->id > b->id) - (a->id < b->id);
}

static size_t common_prefix(struct span a, struct span b)
{
    size_t n = 0;
    while (n < a.len && n < b.len && a.ptr[n] == b.ptr[n])
        n++;
    return n;
}

/* The tokens that may be produced and write something, sorted. */
static size_t gather(struct token_trie *v, struct entry *entries, const uint64_t *samplable)
{
    size_t n = 0;
    for (size_t id = 0; id < v->n_vocab; id++) {
        v->same[id] = -1;
        if (!mask_has(samplable, id))
            continue;
        struct span s = v->bytes(v->ctx, (int32_t)id);
        if (s.len == 0)
            mask_set(v->silent, id);
        else if (s.len <= TOKEN_BYTES_MAX)
            entries[n++] = (struct entry){ head_of(s), s, (int32_t)id };
    }
    qsort(entries, n, sizeof(*entries), by_bytes);
    return n;
}

static size_t count_nodes(const struct entry *entries, size_t n)
{
    size_t n_nodes = 0;
    struct span prev = { 0 };
    for (size_t i = 0; i < n; i++) {
        n_nodes += entries[i].bytes.len - common_prefix(prev, entries[i].bytes);
        prev = entries[i].bytes;
    }
    return n_nodes;
}

static void build(struct token_trie *v, const struct entry *entries, size_t n)
{
    uint32_t path[TOKEN_BYTES_MAX]; /* nodes from the root to the last one made */
    size_t depth = 0, n_nodes = 0;
    struct span prev = { 0 };
    for (size_t i = 0; i < n; i++) {
        struct span s = entries[i].bytes;
        size_t shared = common_prefix(prev, s);
        if (shared == s.len) { /* sorted: then it equals the one before */
            v->same[entries[i].id] = v->nodes[path[depth - 1]].token;
            v->nodes[path[depth - 1]].token = entries[i].id;
            v->nodes[path[depth - 1]].twins = true;
            continue;
        }
        while (depth > shared)
            v->nodes[path[--depth]].end = (uint32_t)n_nodes;
        while (depth < s.len) {
            v->nodes[n_nodes] = (struct trie_node){ .token = -1,
                                                    .depth = (uint16_t)(depth + 1),
                                                    .byte = (uint8_t)s.ptr[depth] };
            path[depth++] = (uint32_t)n_nodes++;
        }
        v->nodes[path[depth - 1]].token = entries[i].id;
        prev = s;
    }
    while (depth > 0)
        v->nodes[path[--depth]].end = (uint32_t)n_nodes;
    v->n_nodes = n_nodes;
}

enum kt_status token_trie_create(struct token_trie **out, size_t n_vocab, token_bytes_fn bytes,
                                 const void *ctx, const uint64_t *samplable, const int32_t *stops,
                                 size_t n_stops, struct kt_error *err)
{
    *out = NULL;
    struct token_trie *v = calloc(1, sizeof(*v));
    struct entry *entries = calloc(n_vocab + 1, sizeof(*entries));
    if (v) {
        pthread_mutex_init(&v->lock, NULL);
        v->n_vocab = n_vocab;
        v->bytes = bytes;
        v->ctx = ctx;
        v->same = calloc(n_vocab + 1, sizeof(*v->same));
        v->silent = calloc(mask_words(n_vocab) + 1, sizeof(*v->silent));
        v->stops = calloc(mask_words(n_vocab) + 1, sizeof(*v->stops));
    }
    if (v && entries && v->same && v->silent && v->stops) {
        for (size_t i = 0; i < n_stops; i++)
            if (stops[i] >= 0 && (size_t)stops[i] < n_vocab &&
                mask_has(samplable, (size_t)stops[i]))
                mask_set(v->stops, (size_t)stops[i]);
        size_t n = gather(v, entries, samplable);
        size_t n_nodes = count_nodes(entries, n);
        if (n_nodes < UINT32_MAX)
            v->nodes = calloc(n_nodes + 1, sizeof(*v->nodes));
        if (v->nodes) {
            build(v, entries, n);
            *out = v;
        }
    }
    free(entries);
    if (*out)
        return KT_OK;
    token_trie_destroy(v);
    return kt_fail(err, KT_E_NOMEM, "constraint: out of memory for a vocabulary of %zu", n_vocab);
}

void token_trie_destroy(struct token_trie *v)
{
    if (!v)
        return;
    slices_deinit(v);
    pthread_mutex_destroy(&v->lock);
    free(v->nodes);
    free(v->same);
    free(v->silent);
    free(v->stops);
    free(v);
}
