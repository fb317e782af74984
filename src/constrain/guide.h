/* constrain/guide.h: an answer that is written with a grammar: which tokens may follow, and what became of it.
 *
 * A token may follow if its bytes lead on in the automaton, over as many of the grammar's parts as they touch. Stop
 * tokens may follow where a text of the grammar ends; other tokens that write nothing never. A grammar's states all lead
 * to an end, so that some token may follow as long as the vocabulary has one for each byte.
 *
 * Masks are kept for the configurations met last. One owner. */
#ifndef CONSTRAIN_GUIDE_H
#define CONSTRAIN_GUIDE_H

#include "base/span.h"
#include "constrain/trie.h"
#include "kontor/constrain.h"

struct guide;

struct guide_options {
    bool thinking, may_think;              /* as for the automaton */
    bool ignore_stops;                     /* stop tokens never follow */
    const struct kt_quote_source *quotes;  /* [n_quotes] copied */
    size_t n_quotes, quote_min, quote_max; /* 0: 1 and 400 */
};

/* The vocabulary and the grammar must outlive it. */
KT_MUST_CHECK enum kt_status guide_create(struct guide **out, struct token_trie *v,
                                          const struct kt_grammar *g, const struct guide_options *o,
                                          struct kt_error *err);
void guide_destroy(struct guide *u);

/* mask: [mask_words(n_vocab)]; *any: there is one. KT_E_LIMIT: too ambiguous. */
KT_MUST_CHECK enum kt_status guide_mask(struct guide *u, uint64_t *mask, bool *any,
                                        struct kt_error *err);
KT_MUST_CHECK bool guide_accept(struct guide *u,
                                int32_t id); /* false: not allowed, nothing changed */
KT_MUST_CHECK bool guide_accept_bytes(struct guide *u, struct span bytes);
/* Why nothing is allowed any more, if it is for lack of memory or too much ambiguity. */
enum kt_status guide_status(const struct guide *u, struct kt_error *err);
bool guide_may_end(const struct guide *u);
bool guide_ended(const struct guide *u); /* nothing can follow */

/* As quote_allows(), quote_forced(), quote_ahead(). */
size_t guide_allows(struct guide *u, const int32_t *ids, size_t n);
int32_t guide_forced(struct guide *u, const int32_t *ids, size_t n);
size_t guide_ahead(struct guide *u, char *out, size_t n_max);

/* The answer ends, with its first text_len bytes kept. */
void guide_end(struct guide *u, size_t text_len);
const struct kt_quote *guide_quotes(const struct guide *u, size_t *n);
bool guide_failed(const struct guide *u); /* ran out of memory while recording one */

/* Nodes of the vocabulary's tree that the last mask looked at; 0: it was kept. */
size_t guide_nodes_walked(const struct guide *u);

#endif
