/* engine/quote_priv.h: the parts of the quote-span automaton (quote.h): the vocabulary's trie
 * (quote_vocab.c), the sources made comparable (quote_text.c), the states (quote.c). */
#ifndef ENGINE_QUOTE_PRIV_H
#define ENGINE_QUOTE_PRIV_H

#include "engine/quote.h"

/* Nodes in depth-first order: a node's children follow it, 'end' is the first node behind them all.
 */
struct quote_node {
    uint32_t end;
    int32_t token;  /* that ends here, or -1; more of the same bytes through same[] */
    uint16_t depth; /* bytes from the root, >= 1 */
    uint8_t byte;
};

struct quote_vocab {
    size_t n_vocab, n_nodes;
    struct quote_node *nodes;
    int32_t *same;    /* [n_vocab] the next id with the same bytes, or -1 */
    uint64_t *silent; /* bits: may be produced, writes nothing            */
    quote_bytes_fn bytes;
    const void *ctx;
};

/* All sources behind each other, white-space runs as one ' ', walls as 0 (also first and last). */
struct quote_text {
    uint8_t *bytes;   /* [n]                                                        */
    uint32_t *origin; /* [n] offset in its source                                   */
    uint8_t *ends;    /* [n] a quotation may end before this byte                   */
    size_t n;
    uint32_t *src_first; /* [n_sources] index of each source's first byte              */
    size_t n_sources;
    uint32_t *starts; /* [n_starts] where a quotation may start, sorted by what follows */
    size_t n_starts;
};

KT_MUST_CHECK enum kt_status
quote_text_init(struct quote_text *t, const struct kt_quote_source *sources, size_t n_sources,
                size_t min_bytes, size_t max_bytes, struct kt_error *err);
void quote_text_deinit(struct quote_text *t);
/* Which source byte 'idx' of the text belongs to. */
size_t quote_text_source(const struct quote_text *t, size_t idx);

/* Is this a mark that quotes (other than " and the apostrophes)? */
bool quote_is_mark(int32_t cp);
bool quote_is_space(int32_t cp);

#endif
