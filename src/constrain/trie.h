/* constrain/trie.h: a vocabulary as a tree of bytes, made once a tokenizer: what may follow is found by one forward
 * walk that skips whatever an automaton refuses. */
#ifndef CONSTRAIN_TRIE_H
#define CONSTRAIN_TRIE_H

#include <pthread.h>

#include "base/span.h"
#include "base/status.h"
#include "constrain/mask.h"

enum {
    TOKEN_BYTES_MAX = 256, /* longer tokens are not produced under a constraint */
    TRIE_SLICES_MAX = 16,
};

typedef struct span (*token_bytes_fn)(const void *ctx, int32_t id);

/* Nodes in depth-first order: a node's children follow it, 'end' is the first node behind them all.
 */
struct trie_node {
    uint32_t end;
    int32_t token;  /* that ends here, or -1; more of the same bytes through same[] */
    uint16_t depth; /* bytes from the root, >= 1 */
    uint8_t byte;
    bool twins; /* there are more of the same bytes */
};

struct slice;

struct token_trie {
    size_t n_vocab, n_nodes;
    struct trie_node *nodes;
    int32_t *same;    /* [n_vocab] the next id with the same bytes, or -1 */
    uint64_t *silent; /* bits: may be produced, writes nothing            */
    uint64_t *stops;  /* bits: ends the answer                            */
    token_bytes_fn bytes;
    const void *ctx;

    pthread_mutex_t lock; /* guards what follows: made when first needed (slice.h) */
    struct slice *slices[TRIE_SLICES_MAX];
    size_t n_acquired;
};

/* 'bytes' gives a token's bytes (empty: it writes nothing). 'samplable': bits of ids that may be produced. 'stops':
 * those that end an answer. Thread-safe. About 25 bytes of memory a byte of vocabulary. */
KT_MUST_CHECK enum kt_status token_trie_create(struct token_trie **out, size_t n_vocab,
                                               token_bytes_fn bytes, const void *ctx,
                                               const uint64_t *samplable, const int32_t *stops,
                                               size_t n_stops, struct kt_error *err);
void token_trie_destroy(struct token_trie *v);

#endif
