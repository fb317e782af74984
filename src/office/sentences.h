/* office/sentences.h: which sentence of the passages answers the question?
 *
 * Every sentence of the best passages gets a few plain measurements and a weighted sum of them; the
 * weights were fitted on the sample questions (bench/ask_sentences.c prints the measurements,
 * bench/ask_fit.py fits; docs/ASK.md has the figures). No model writes anything here; an embedding
 * model, when there is one, supplies one of the measurements. */
#ifndef OFFICE_SENTENCES_H
#define OFFICE_SENTENCES_H

#include "kontor/engine.h"
#include "kontor/store.h"
#include "office/support.h"

enum { SENTENCES_MAX = 256 };

/* What is measured of a sentence. */
enum sentence_feature {
    SF_OWN,     /* share of the question's terms in it                              */
    SF_NEAR,    /* the same with the sentence before and after                      */
    SF_PASSAGE, /* the same for its whole passage                                   */
    SF_HIT,     /* its passage's search score, relative to the best                 */
    SF_COSINE,  /* its vector's nearness to the question's; 0 without an embedder   */
    SF_KIND,  /* 1 when it holds what the question asks for: a number, a date, a name; 0.5 when that
                 is unclear */
    SF_SHORT, /* 1 for a fragment: a heading, a lone date                         */
    SF_COUNT,
};

struct sentence {
    size_t hit;        /* index of its passage                */
    size_t start, end; /* bytes of the document's text        */
    struct span text;  /* inside the passage's text           */
    float feature[SF_COUNT];
    float score;
};

struct sentences {
    size_t n;
    struct sentence items[SENTENCES_MAX]; /* best first */
};

/* Sentences of hits [0, n_hits). 'terms' as weighed by terms_weigh(). */
KT_MUST_CHECK enum kt_status sentences_rank(struct sentences *out, struct span question,
                                            const struct question_terms *terms,
                                            const struct kt_hit *hits, size_t n_hits,
                                            struct kt_engine *embedder, struct kt_error *err);

#endif
