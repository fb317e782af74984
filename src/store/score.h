/* store/score.h: BM25 over the chunks that hold words of a query.
 *
 * The formula is FTS5's own (k1 = 1.2, b = 0.75), compound parts at PART_WEIGHT; score.c only asks fewer chunks. A question of
 * six words in a matter of a million chunks names one or two rare words and some that stand in every third chunk: reading all of
 * those says nothing that the rare ones do not. So the terms are sorted by how many chunks hold them, chunks are found by the
 * rarest ones up to SCORE_ROWS, and the common ones only add to the scores of those (WAND's idea, Broder et al. 2003, without its
 * posting lists). A chunk that only holds common words cannot score more than the sum of their largest contributions; when that
 * is less than the worst of what is asked for, the list is exact, and score_result.exact says so. */
#ifndef STORE_SCORE_H
#define STORE_SCORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "store/filter.h"
#include "store/query.h"

struct kt_matter;

struct score_hit {
    int64_t chunk_id;
    double score;
};

struct score_term { /* what the score is made of: the plan's phrases first, then its terms */
    uint64_t n_chunks;
    double idf;
};

struct score_result {
    struct score_hit *hits; /* best first; equal ones by chunk */
    size_t n;
    struct score_term terms[LIMIT_QUERY_TERMS + PLAN_PHRASES];
    double *parts; /* [n, n_terms] what each of them adds to each hit; NULL unless asked for */
    size_t n_terms;
    uint64_t n_rows; /* chunks whose score was computed */
    bool exact;
};

/* The best 'depth' chunks, exact as far as the best 'k' when that is possible (see above). excluded: chunk ids, sorted. */
KT_MUST_CHECK enum kt_status
score_search(struct score_result *out, struct kt_matter *m, const struct query_plan *plan,
             const struct allowed *allowed, const int64_t *excluded, size_t n_excluded,
             size_t depth, size_t k, bool parts, struct kt_error *err);
void score_result_deinit(struct score_result *r);
/* The chunks that hold the phrase (terms with spaces between them), by id; *out is heap. */
KT_MUST_CHECK enum kt_status score_chunks_with(struct kt_matter *m, struct span phrase,
                                               struct buf *out, struct kt_error *err);

/* How many chunks hold a term, remembered until the matter changes. */
struct df_cache {
    int64_t version; /* PRAGMA data_version when it was begun */
    bool knows_all;
    uint64_t n_all; /* chunks of the matter */
    struct df_entry {
        uint64_t hash, n; /* hash 0: free */
    } * entries;
    size_t n, cap;
};
void df_cache_drop(struct df_cache *c);
/* Forget it when another process has written since. */
KT_MUST_CHECK enum kt_status df_cache_check(struct kt_matter *m, struct kt_error *err);

#endif
