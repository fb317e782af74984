/* store/vectors.h: nearest vectors by exact scan.
 *
 * Two forms of every vector. int8 (127 = the vector's largest value, one scale each) stands in
 * memory, loaded by the first search and kept until the matter changes; the scan over it is exact
 * integer arithmetic and picks candidates. The f16 form of those is then read from the database and
 * gives the cosine that is reported. */
#ifndef STORE_VECTORS_H
#define STORE_VECTORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct kt_matter;
struct kt_doc_put;
struct allowed;

struct vec_cache {
    bool loaded;
    bool stale;           /* this handle has put something since */
    int64_t data_version; /* PRAGMA data_version when it was loaded */
    int64_t last_doc;     /* documents up to it are in */
    char stamp
        [96]; /* of removals and embedder: as long as it is the same, nothing went that is in */
    size_t n, dim, cap;
    int8_t *q;         /* [n, dim] */
    float *scale;      /* [n] */
    int64_t *chunk_id; /* [n] */
};
void vec_cache_drop(struct vec_cache *c);

struct vec_hit {
    int64_t chunk_id;
    float cosine;
};

/* scale and q [dim] of v [dim]. */
void vec_quantize(int8_t *q, float *scale, const float *v, size_t dim);
/* Store a document's vectors; part of the caller's transaction. first_chunk: chunk ids are
 * consecutive. */
KT_MUST_CHECK enum kt_status vec_store(struct kt_matter *m, int64_t doc_id, int64_t first_chunk,
                                       const struct kt_doc_put *d, struct kt_error *err);
/* The best *n <= n_max vectors among the chunks allowed for v [dim], best first, equal ones by chunk id; *out is heap. */
KT_MUST_CHECK enum kt_status vec_search(struct kt_matter *m, const float *v, size_t dim,
                                        size_t n_max, const struct allowed *allowed,
                                        struct vec_hit **out, size_t *n, struct kt_error *err);

/* The exact cosine of each hit's chunk; 0 for one that has no vector. */
KT_MUST_CHECK enum kt_status vec_cosines(struct kt_matter *m, const float *v, size_t dim,
                                         struct vec_hit *hits, size_t n, struct kt_error *err);

#endif
