/* store/query.h: a question typed by a person -> an FTS5 expression. */
#ifndef STORE_QUERY_H
#define STORE_QUERY_H

#include "base/span.h"
#include "base/status.h"

struct kt_matter;

/* Append the expression for 'query' to out; nothing is appended when the query holds nothing to
 * search for.
 *
 * Any of the words may match (BM25 ranks); text in quotation marks ("...", „...“, »...«) must stand
 * there as written, up to folding and endings. Stop words are dropped unless nothing else is left.
 * Nothing typed is ever FTS5 syntax: every term is quoted. */
KT_MUST_CHECK enum kt_status query_build(struct kt_matter *m, struct span query, struct buf *out,
                                         struct kt_error *err);

#endif
