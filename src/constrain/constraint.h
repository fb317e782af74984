/* constrain/constraint.h: what one answer may be, whatever the kind: a grammar's text (guide.h), or free text whose
 * quotations are true (quote.h). All that generation needs to know. One owner. */
#ifndef CONSTRAIN_CONSTRAINT_H
#define CONSTRAIN_CONSTRAINT_H

#include "base/span.h"
#include "constrain/trie.h"
#include "kontor/constrain.h"

struct constraint;

struct constraint_options {
    const struct kt_grammar *grammar; /* NULL: free text with quotations                        */
    bool thinking, may_think;         /* with a grammar: in a thought; or one may come first    */
    const struct kt_quote_source *quotes;  /* [n_quotes] copied */
    size_t n_quotes, quote_min, quote_max; /* lengths; 0: 1 and 400 */
    bool start_in_quote;                   /* without a grammar */
    bool ignore_stops;                     /* with a grammar: stop tokens never follow */
};

/* The vocabulary and the grammar must outlive it. */
KT_MUST_CHECK enum kt_status constraint_create(struct constraint **out, struct token_trie *v,
                                               const struct constraint_options *o,
                                               struct kt_error *err);
void constraint_destroy(struct constraint *c);

/* mask: [mask_words(n_vocab)], set to the tokens allowed now. *any: there is one; if not, the vocabulary has none for
 * what must follow, and the answer ends. */
KT_MUST_CHECK enum kt_status constraint_mask(struct constraint *c, uint64_t *mask, bool *any,
                                             struct kt_error *err);
/* The token was produced. KT_E_INTERNAL, and nothing has changed, when it is not allowed; KT_E_LIMIT, KT_E_NOMEM. */
KT_MUST_CHECK enum kt_status constraint_accept(struct constraint *c, int32_t id,
                                               struct kt_error *err);
/* Nothing can follow. */
bool constraint_ended(const struct constraint *c);

/* Guesses: how many of the ids would be allowed one after the other, from now; tokens that write nothing are not. */
size_t constraint_allows(struct constraint *c, const int32_t *ids, size_t n);
/* The only token that may follow after these, which constraint_allows() all; -1: there are several, or none. */
int32_t constraint_forced(struct constraint *c, const int32_t *ids, size_t n);
/* Up to n_max bytes of what follows, as far as it is likely; *certain: nothing else can. Whole characters. */
size_t constraint_ahead(struct constraint *c, char *out, size_t n_max, bool *certain);

/* 'end', or less: the bytes of the text that can no longer be taken back. */
size_t constraint_certain(const struct constraint *c, size_t end);
/* The answer ends here with 'text' of its bytes kept (at most those accepted): what is left are the first *keep bytes,
 * and a closing mark if *close. */
void constraint_end(struct constraint *c, struct span text, size_t *keep, bool *close);
/* The quotations, in order; borrowed until the next call that changes c. */
const struct kt_quote *constraint_quotes(const struct constraint *c, size_t *n);
bool constraint_failed(const struct constraint *c); /* ran out of memory while recording one */

#endif
