/* office/support.h: do the files answer this question at all?
 *
 * Two witnesses, neither of which is trusted alone: how much of the question's own words the best passage holds
 * (lexical), and how near its vector is (the embedding model). Their weighted sum goes through a logistic function;
 * weights and threshold were fitted on answerable and unanswerable questions (docs/ASK.md has the figures and the
 * command that measures them again). Without an embedder the threshold is the one fitted for words alone. A chat model
 * that is large enough to be asked has the last word: an answer that quotes nothing is "not supported".
 */
#ifndef OFFICE_SUPPORT_H
#define OFFICE_SUPPORT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/span.h"

enum { TERMS_MAX = 64, TERM_BYTES = 48 };

/* The question's content words: folded (lower case, ä/ae/a alike), without function words of German
 * and English. */
struct question_terms {
    size_t n;
    struct question_term {
        char text[TERM_BYTES]; /* what must be found, as the index spells it */
        float weight;
        bool exact; /* numbers, file numbers: found as they are */
    } items[TERMS_MAX];
};
void terms_of_question(struct question_terms *out, struct span question);

/* Terms that stand in nearly every passage found say little about which one answers: weigh them
 * down by how many of the n texts hold them. */
void terms_weigh(struct question_terms *t, const struct span *texts, size_t n);

/* Weight share of the terms that stand in 'text', 0..1; 0 without terms. */
float terms_coverage(const struct question_terms *t, struct span text);

struct support {
    float coverage; /* of the best passage */
    float cosine;   /* of the best passage; NAN without an embedder */
    float score;    /* 0..1 */
    bool supported; /* score >= 0.5 */
};
void support_decide(struct support *s);

#endif
