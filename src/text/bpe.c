/* Byte-pair merging: from single bytes, always the pair that was learnt first, the leftmost of
 * equal ones, until none is left.
 *
 * A piece is usually a word of a few bytes, where looking through all pairs again after each merge
 * is the fastest there is. But a piece may also be a whole file of base64, so longer ones keep
 * their pairs in a heap ordered by (rank, position): O(n log n) whatever the text. Both roads give
 * the same ids. */
#include "text/tok_priv.h"

#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
#include "base/size.h"
#include "base/utf8.h"

/* Up to here the simple road is at most as slow as the heap. */
enum { SHORT_PIECE = 32 };

/* ---- the byte spelling ----------------------------------------------------------------------- */

/* Bytes that print are themselves, the other 68 are U+0100 and up, in order. */
static bool prints(int b)
{
    return (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
}

/* The byte that a character of the spelling stands for, or -1. */
static int byte_of(int32_t cp)
{
    if (cp < 0x100)
        return cp >= 0 && prints(cp) ? cp : -1;
    if (cp < 0x100 + 33) /* 0..32 */
        return cp - 0x100;
    if (cp < 0x100 + 67) /* 127..160 */
        return cp - (0x100 + 33) + 127;
    return cp == 0x100 + 67 ? 173 : -1;
}

bool byte_level_undo(struct buf *out, struct span spelled)
{
    size_t before = out->len, n_bytes;
    for (size_t i = 0; i < spelled.len; i += n_bytes) {
        int b = byte_of(utf8_decode(spelled.ptr + i, spelled.len - i, &n_bytes));
        if (b < 0) {
            out->len = before;
            return false;
        }
        buf_append_char(out, (char)b);
    }
    return true;
}

/* ---- merges ---------------------------------------------------------------------------------- */

static size_t hash_pair(int32_t left, int32_t right)
{
    uint64_t h = ((uint64_t)(uint32_t)left << 32 | (uint32_t)right) * 0x9E3779B97F4A7C15u;
    return (size_t)(h >> 24);
}

/* The slot of a pair, or the free one where it would go. */
static size_t slot_of(const struct bpe *b, int32_t left, int32_t right)
{
    size_t i = hash_pair(left, right) & b->mask;
    while (b->slots[i]) {
        const struct merge *m = &b->merges[b->slots[i] - 1];
        if (m->left == left && m->right == right)
            break;
        i = (i + 1) & b->mask;
    }
    return i;
}

#define NO_RANK UINT32_MAX

static uint32_t rank_of(const struct bpe *b, int32_t left, int32_t right)
{
    return b->slots[slot_of(b, left, right)] - 1u; /* an empty slot gives NO_RANK */
}

enum kt_status bpe_init(struct bpe *b, const struct vocab *v, size_t n_merges, struct kt_error *err)
{
    if (n_merges > VOCAB_MAX)
        return kt_fail(err, KT_E_LIMIT, "tokenizer: %zu merges, at most %d are read", n_merges,
                       VOCAB_MAX);
    size_t n_slots = 16;
    while (n_slots < 2 * n_merges)
        n_slots *= 2;
    b->merges = calloc(n_merges ? n_merges : 1, sizeof(*b->merges));
    b->slots = calloc(n_slots, sizeof(*b->slots));
    b->mask = n_slots - 1;
    if (!b->merges || !b->slots)
        return kt_fail(err, KT_E_NOMEM, "tokenizer: out of memory");
    for (int byte = 0; byte < 256; byte++) {
        char c = (char)byte;
        b->byte_id[byte] = vocab_find(v, (struct span){ &c, 1 }, false);
        if (b->byte_id[byte] >= 0 && v->flags[b->byte_id[byte]] & TOKEN_CONTROL)
            return kt_fail(err, KT_E_FORMAT,
                           "tokenizer: byte 0x%02x is control token %d; any text could make it",
                           byte, (int)b->byte_id[byte]);
    }
    return KT_OK;
}

enum kt_status bpe_add(struct bpe *b, const struct vocab *v, struct span left, struct span right,
                       struct kt_error *err)
{
    char joined[256], *bytes = joined;
    size_t len = left.len + right.len, rank = b->n_merges;
    if (len > TOKEN_BYTES_MAX)
        return kt_fail(err, KT_E_LIMIT, "tokenizer: merge %zu makes a token of %zu bytes", rank,
                       len);
    if (len > sizeof(joined) && !(bytes = malloc(len)))
        return kt_fail(err, KT_E_NOMEM, "tokenizer: out of memory");
    if (left.len)
        memcpy(bytes, left.ptr, left.len);
    if (right.len)
        memcpy(bytes + left.len, right.ptr, right.len);
    struct merge m = { vocab_find(v, left, false), vocab_find(v, right, false),
                       vocab_find(v, (struct span){ bytes, len }, false) };
    if (bytes != joined)
        free(bytes);
    if (m.left < 0 || m.right < 0 || m.out < 0)
        return kt_fail(err, KT_E_FORMAT,
                       "tokenizer: merge %zu names a token that is not in the vocabulary", rank);

    b->merges[b->n_merges++] = m;
    if (v->flags[m.out] & TOKEN_CONTROL)
        return KT_OK;
    b->slots[slot_of(b, m.left, m.right)] = (uint32_t)rank + 1; /* of equal pairs the last counts */
    return KT_OK;
}

void bpe_deinit(struct bpe *b)
{
    free(b->merges);
    free(b->slots);
    *b = (struct bpe){ 0 };
}

/* ---- merging --------------------------------------------------------------------------------- */

static bool scratch_reserve(struct bpe_scratch *s, size_t n)
{
    if (n <= s->cap)
        return true;
    size_t cap = n + n / 2;
    bpe_scratch_deinit(s);
    s->ids = malloc(cap * sizeof(*s->ids));
    s->prev = malloc(cap * sizeof(*s->prev));
    s->next = malloc(cap * sizeof(*s->next));
    s->heap = malloc(3 * cap * sizeof(*s->heap));
    if (!s->ids || !s->prev || !s->next || !s->heap)
        return false;
    s->cap = cap;
    return true;
}

void bpe_scratch_deinit(struct bpe_scratch *s)
{
    free(s->ids);
    free(s->prev);
    free(s->next);
    free(s->heap);
    *s = (struct bpe_scratch){ 0 };
}

/* Bytes to symbols. Bytes the vocabulary lacks are left out, as the reference does. */
static size_t start_symbols(const struct bpe *b, int32_t *ids, struct span piece)
{
    size_t n = 0;
    for (size_t i = 0; i < piece.len; i++) {
        int32_t id = b->byte_id[(unsigned char)piece.ptr[i]];
        if (id >= 0)
            ids[n++] = id;
    }
    return n;
}

static bool encode_short(const struct bpe *b, struct token_vec *out, struct span piece)
{
    int32_t ids[SHORT_PIECE];
    uint32_t rank[SHORT_PIECE]; /* of the pair (i, i + 1) */
    size_t n = start_symbols(b, ids, piece);
    for (size_t i = 0; i + 1 < n; i++)
        rank[i] = rank_of(b, ids[i], ids[i + 1]);
    while (n > 1) {
        size_t best = 0;
        for (size_t i = 1; i + 1 < n; i++) {
            if (rank[i] < rank[best])
                best = i;
        }
        if (rank[best] == NO_RANK)
            break;
        ids[best] = b->merges[rank[best]].out;
        n--;
        memmove(ids + best + 1, ids + best + 2, (n - best - 1) * sizeof(*ids));
        memmove(rank + best, rank + best + 1, (n - best - 1) * sizeof(*rank));
        if (best + 1 < n)
            rank[best] = rank_of(b, ids[best], ids[best + 1]);
        if (best > 0)
            rank[best - 1] = rank_of(b, ids[best - 1], ids[best]);
    }
    for (size_t i = 0; i < n; i++) {
        if (!token_vec_push(out, ids[i]))
            return false;
    }
    return true;
}

static void heap_down(uint64_t *heap, size_t n, size_t i)
{
    uint64_t x = heap[i];
    for (size_t child; (child = 2 * i + 1) < n; i = child) {
        child += child + 1 < n && heap[child + 1] < heap[child];
        if (x <= heap[child])
            break;
        heap[i] = heap[child];
    }
    heap[i] = x;
}

static void heap_push(uint64_t *heap, size_t *n, uint64_t x)
{
    size_t i = (*n)++;
    for (size_t parent; i && heap[parent = (i - 1) / 2] > x; i = parent)
        heap[i] = heap[parent];
    heap[i] = x;
}

static uint64_t heap_pop(uint64_t *heap, size_t *n)
{
    uint64_t top = heap[0];
    heap[0] = heap[--*n];
    if (*n)
        heap_down(heap, *n, 0);
    return top;
}

/* The end of the list. A symbol merged into its left neighbour has id -1. */
#define END UINT32_MAX

static void push_pair(const struct bpe *b, struct bpe_scratch *s, size_t *n_heap, uint32_t left)
{
    uint32_t right = s->next[left];
    if (right == END)
        return;
    uint32_t rank = rank_of(b, s->ids[left], s->ids[right]);
    if (rank != NO_RANK)
        heap_push(s->heap, n_heap, (uint64_t)rank << 32 | left);
}

static bool encode_long(const struct bpe *b, struct bpe_scratch *s, struct token_vec *out,
                        struct span piece)
{
    if (!scratch_reserve(s, piece.len))
        return false;
    size_t n = start_symbols(b, s->ids, piece), n_heap = 0;
    for (size_t i = 0; i < n; i++) {
        s->prev[i] = i ? (uint32_t)i - 1 : END;
        s->next[i] = i + 1 < n ? (uint32_t)i + 1 : END;
    }
    for (size_t i = 0; i < n; i++) {
        uint32_t rank = i + 1 < n ? rank_of(b, s->ids[i], s->ids[i + 1]) : NO_RANK;
        if (rank != NO_RANK)
            s->heap[n_heap++] = (uint64_t)rank << 32 | i;
    }
    for (size_t i = n_heap / 2; i-- > 0;)
        heap_down(s->heap, n_heap, i);

    /* Each merge takes one symbol away and pushes at most two pairs, so 3n entries are enough. */
    while (n_heap) {
        uint64_t top = heap_pop(s->heap, &n_heap);
        const struct merge *m = &b->merges[top >> 32];
        uint32_t left = (uint32_t)top, right = s->next[left];
        if (s->ids[left] != m->left || right == END || s->ids[right] != m->right)
            continue; /* one of the two has become something else since */
        s->ids[left] = m->out;
        s->ids[right] = -1;
        s->next[left] = s->next[right];
        if (s->next[left] != END)
            s->prev[s->next[left]] = left;
        push_pair(b, s, &n_heap, left);
        if (s->prev[left] != END)
            push_pair(b, s, &n_heap, s->prev[left]);
    }
    for (uint32_t i = n ? 0 : END; i != END; i = s->next[i]) {
        if (!token_vec_push(out, s->ids[i]))
            return false;
    }
    return true;
}

bool bpe_encode(const struct bpe *b, const struct vocab *v, struct bpe_scratch *s,
                struct token_vec *out, struct span piece)
{
    if (b->whole_first) {
        int32_t id = vocab_find(v, piece, false);
        if (id >= 0 && !(v->flags[id] & (TOKEN_CONTROL | TOKEN_ADDED)))
            return token_vec_push(out, id);
    }
    if (piece.len <= SHORT_PIECE)
        return encode_short(b, out, piece);
    return encode_long(b, s, out, piece);
}
