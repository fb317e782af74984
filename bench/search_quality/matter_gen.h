/* bench/search_quality/matter_gen.h: the documents of a made-up office, as many as are wanted, the same every time.
 *
 * What matters for the speed of a search is like in real matters: words follow Zipf's law over 150,000 forms, two of five are
 * stop words, each document has a topic whose words come again and again, names, dates, amounts and file numbers stand in
 * between, a third are mails with a head. A chunk's vector is its topic's with noise around it. */
#ifndef BENCH_MATTER_GEN_H
#define BENCH_MATTER_GEN_H

#include <stddef.h>

#include "base/rng.h"
#include "base/span.h"
#include "kontor/store.h"

enum { GEN_CHUNKS = 25, GEN_WORDS = 110 };

struct gen_doc {
    char path[96], title[64];
    const char *format;
    struct buf text;
    struct kt_place chunks[GEN_CHUNKS];
    float *vectors; /* [GEN_CHUNKS, dim] */
};

/* Document 'number'; to be freed with gen_free(). */
void gen_document(struct gen_doc *out, size_t number, size_t dim);
void gen_free(struct gen_doc *d);
/* A question whose answer stands in a chunk of document 'number': two to five of the chunk's words, among stop words; its
 * vector [dim] is near the chunk's. *chunk: which it is. */
void gen_question(struct buf *out, float *vector, size_t *chunk, size_t number, size_t dim,
                  struct rng *r);

#endif
