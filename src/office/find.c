/* office/find.c: passages for a query: the store's search, with the query's vector when there is an embedding model, and with
 * a reranker's second look at the best of them when one is given. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "base/status.h"
#include "kontor/office.h"

enum { RERANK_MIN = 32 }; /* passages a reranker looks at, or as many as are wanted */

/* The words alone: field:value would pull the vector to itself. None left: no vector. */
static enum kt_status embed_words(struct kt_engine *e, const char *words, float **out, size_t *dim,
                                  struct kt_error *err)
{
    struct kt_engine_info info;
    *out = NULL;
    *dim = 0;
    if (!e || !words[0])
        return KT_OK;
    kt_engine_info(e, &info);
    *dim = info.d_model;
    *out = malloc(info.d_model * sizeof(**out));
    if (!*out)
        return kt_fail(err, KT_E_NOMEM, "out of memory for the question's vector");
    return kt_embed_queries(e, NULL, &words, 1, *out, err);
}

static int by_rerank(const void *a, const void *b)
{
    const struct kt_hit *x = a, *y = b;
    if (x->rerank_score != y->rerank_score)
        return x->rerank_score > y->rerank_score ? -1 : 1;
    return x->score > y->score ? -1 : x->score < y->score;
}

static enum kt_status rerank(struct kt_engine *e, const char *words, struct kt_hit *hits, size_t n,
                             struct kt_error *err)
{
    const char **texts = calloc(n + 1, sizeof(*texts));
    float *scores = calloc(n + 1, sizeof(*scores));
    enum kt_status st =
        texts && scores ? KT_OK : kt_fail(err, KT_E_NOMEM, "out of memory for ranking");
    for (size_t i = 0; i < n && !st; i++)
        texts[i] = hits[i].text;
    if (!st)
        st = kt_rerank(e, words, texts, n, scores, err);
    for (size_t i = 0; i < n && !st; i++)
        hits[i].rerank_score = (double)scores[i];
    if (!st)
        qsort(hits, n, sizeof(*hits), by_rerank);
    free(texts);
    free(scores);
    return st;
}

/* The array stays as long as it was; what is behind the k best is freed. */
static void keep_best(struct kt_hit **hits, size_t *n, size_t k)
{
    if (*n <= k)
        return;
    struct kt_hit *rest = malloc((*n - k) * sizeof(*rest));
    if (!rest)
        return; /* more than asked for is no harm */
    memcpy(rest, *hits + k, (*n - k) * sizeof(*rest));
    kt_hits_free(rest, *n - k);
    *n = k;
}

enum kt_status kt_office_find(struct kt_matter *m, const char *query,
                              const struct kt_find_options *o, struct kt_hit **out, size_t *n,
                              struct kt_error *err)
{
    size_t k = o->k ? o->k : 10, dim = 0;
    char *words = kt_query_words(query);
    float *vector = NULL;
    *out = NULL;
    *n = 0;
    enum kt_status st = words ? KT_OK : kt_fail(err, KT_E_NOMEM, "out of memory for a query");
    if (!st && o->mode != KT_SEARCH_LEXICAL)
        st = embed_words(o->embedder, words, &vector, &dim, err);
    bool second = o->reranker && !st && words[0];
    if (!st) {
        struct kt_search_request rq = { .query = query,
                                        .vector = vector,
                                        .dim = dim,
                                        .mode = o->mode,
                                        .k = second ? MAX(k, (size_t)RERANK_MIN) : k,
                                        .filter = o->filter,
                                        .explain = o->explain };
        st = kt_matter_search(m, &rq, out, n, err);
    }
    if (!st && second && *n > 1)
        st = rerank(o->reranker, words, *out, *n, err);
    if (!st)
        keep_best(out, n, k);
    free(vector);
    free(words);
    if (st) {
        kt_hits_free(*out, *n);
        *out = NULL;
        *n = 0;
        if (o->explain)
            kt_explanation_deinit(o->explain);
    }
    return st;
}

enum kt_status kt_office_search(struct kt_matter *m, const char *query, enum kt_search_mode mode,
                                size_t k, struct kt_engine *embedder, struct kt_hit **out,
                                size_t *n, struct kt_error *err)
{
    struct kt_find_options o = { .embedder = embedder, .mode = mode, .k = k };
    return kt_office_find(m, query, &o, out, n, err);
}
