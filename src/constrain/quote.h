/* constrain/quote.h: output whose quotations cannot be wrong.
 *
 * An automaton over the bytes of the output. Outside quotation marks any text passes that holds no
 * other quotation mark than ("). After an opening mark only bytes pass that continue at least one
 * place of the given sources, and the closing mark only at the end of a word. Tokens are judged
 * whole, through as many states as they have bytes: a token may end a sentence, close the quotation
 * and open a bracket.
 *
 *   outside  --  any well-formed character but the marks below  -->  outside
 *   outside  --  "  , not right after a word or a closing mark   -->  inside, at every word start
 * of every source inside   --  a byte that some live place has next            -->  inside, with
 * the places that have it inside   --  "  , some live place ends a word here and the quotation has
 * min_bytes  -->  outside
 *
 * Inside, from max_bytes on, the first word end leaves the closing mark as the only choice. A place
 * is live only where min_bytes can be reached, so there is no dead end as long as the vocabulary
 * has a token for every byte; should it lack one, the mask comes out empty and the caller ends the
 * answer.
 *
 * Words are what white space separates. A quotation starts at one, or behind its opening brackets
 * ("(wie" -> wie), and ends with one, or before its closing brackets and punctuation ("Ende)." ->
 * Ende), but never inside: "20.000" is not quoted as 20, nor "-5" as 5. Sources are read with every
 * run of white space as one space; quotations are written so. Parts of a source with quotation
 * marks, control characters, ill-formed UTF-8 or words above QUOTE_WORD_MAX bytes are walls: no
 * quotation crosses them.
 *
 * Marks that never come out: " other than as described, the typographic ones of all kinds, ` and
 * the acute accent; ' and its curly form only right after a letter or digit, as apostrophes.
 *
 * Knows nothing of models: vocabulary in, masks out. The live places are one interval of a sorted
 * array of word starts (a suffix array of words), so that a state is a few integers and a step a
 * binary search. */
#ifndef CONSTRAIN_QUOTE_H
#define CONSTRAIN_QUOTE_H

#include "constrain/quote_text.h"
#include "constrain/trie.h"

/* ---- the automaton of one answer ----------------------------------------------------------- */

struct quote;

struct quote_options {
    size_t min_bytes, max_bytes; /* 0: 1 and 400 */
    bool start_inside;
};

/* Copies the sources. The vocabulary must outlive the automaton. KT_E_USAGE: min above max;
 * KT_E_LIMIT: more text than the bounds above. Starting inside with nothing that could be quoted
 * allows no token. */
KT_MUST_CHECK enum kt_status quote_create(struct quote **out, const struct token_trie *v,
                                          const struct kt_quote_source *sources, size_t n_sources,
                                          const struct quote_options *opts, struct kt_error *err);
void quote_destroy(struct quote *q);

/* mask: [mask_words(n_vocab)], set to the tokens allowed now. False when there is none. */
bool quote_mask(struct quote *q, uint64_t *mask);
/* The token was produced. False, and nothing has changed, when it is not allowed. */
KT_MUST_CHECK bool quote_accept(struct quote *q, int32_t id);
/* The same for bytes. */
KT_MUST_CHECK bool quote_accept_bytes(struct quote *q, struct span bytes);

/* Guesses. How many of the ids would be allowed one after the other, from now; tokens that write nothing
 * are not. Changes nothing. */
size_t quote_allows(const struct quote *q, const int32_t *ids, size_t n);
/* Inside a quotation that can only be at a few places: up to n_max bytes of what follows at the first of
 * them, whole characters. Returns how many; 0: outside, too many places, or the end. */
size_t quote_ahead(const struct quote *q, char *out, size_t n_max);

/* The only token that may follow after these, which quote_allows() all; -1: there are several, or none. */
int32_t quote_forced(const struct quote *q, const int32_t *ids, size_t n);

/* Offset of the mark of the quotation that is open now (0 if the answer started inside), or
 * SIZE_MAX. */
size_t quote_open_at(const struct quote *q);

/* The answer ends here with 'text_len' of its bytes kept (at most those accepted). An open
 * quotation is cut back to its last possible end: the text is then its first *keep bytes, followed
 * by a closing mark if *close. If it had none yet, it goes altogether, with its opening mark. */
void quote_end(struct quote *q, struct span text, size_t *keep, bool *close);

/* The quotations closed so far, in order; borrowed until the next call that changes q. */
const struct kt_quote *quote_list(const struct quote *q, size_t *n);
bool quote_failed(const struct quote *q); /* ran out of memory while recording one */

#endif
