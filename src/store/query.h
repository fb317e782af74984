/* store/query.h: the words of a question -> the terms and phrases to look for. */
#ifndef STORE_QUERY_H
#define STORE_QUERY_H

#include <stddef.h>

#include "base/span.h"
#include "base/status.h"
#include "store/limits.h"

struct kt_matter;

enum plan_kind {
    PLAN_WORD,
    PLAN_PART,    /* of a compound word that was typed */
    PLAN_SIMILAR, /* stands in the matter, for a word that does not */
    PLAN_STOP,    /* a stop word; used when there is nothing else */
};

struct plan_term {
    char text[LIMIT_TERM_BYTES];
    size_t len;
    enum plan_kind kind;
};

enum { PLAN_PHRASES = 16 };

struct query_plan {
    struct plan_term terms[LIMIT_QUERY_TERMS];
    size_t n;
    struct buf phrases[PLAN_PHRASES]; /* each: terms with spaces between them */
    size_t n_phrases;
    size_t n_read; /* terms read so far, for the limit */
};

/* Any of the terms may match (BM25 ranks); text in quotation marks ("...", „...“, »...«) must stand
 * there as written, up to folding and endings. Stop words are dropped unless nothing else is left. */
KT_MUST_CHECK enum kt_status query_plan(struct query_plan *out, struct kt_matter *m,
                                        struct span query, struct kt_error *err);
void query_plan_deinit(struct query_plan *p);

/* The terms of a text, those that stand at a place of their own, with spaces between them: a phrase. */
void query_phrase(struct buf *out, struct span text);
/* For FTS5: between quotation marks, so that nothing typed is ever its syntax. */
void query_quote(struct buf *out, struct span s);

#endif
