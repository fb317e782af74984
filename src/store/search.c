/* store/search.c: lexical and dense search, and one list from both.
 *
 * Lexical: FTS5's BM25 (k1 = 1.2, b = 0.75) over the terms of terms.c, compound parts at
 * PART_WEIGHT. Dense: exact scan (vectors.c). Fusion: each stage's score as a share of its best
 * one, weighted and added: score = LEXICAL_SHARE * bm25 / best bm25 + (1 - LEXICAL_SHARE) * max(0,
 * cosine) / best cosine so a list in which both agree starts at 1. The cosine of a chunk that only
 * the words found is computed too. Reciprocal ranks, the usual way, throw the distances away: with
 * an embedding model that is weak in the language of the question they lose to the words alone
 * (XQuAD de-de, R@1: words 0.912, ranks 0.755, this 0.916; docs/STORE.md). Equal scores stand in
 * the order the chunks were stored, so that a query always gives the same list. */
#include <math.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "store/query.h"
#include "store/store_priv.h"

enum { DEPTH_MIN = 100 };
static const double PART_WEIGHT = 0.5;
static const double LEXICAL_SHARE = 0.6;

struct candidate {
    int64_t chunk_id;
    int lexical_rank, dense_rank;
    double lexical_score, dense_score, score;
};

/* What a search works on; grows with the stages, at most two depths long. */
struct ranking {
    struct candidate *c; /* [2 * depth] */
    size_t n, depth;
};

static struct candidate *candidate_for(struct ranking *r, int64_t chunk_id)
{
    for (size_t i = 0; i < r->n; i++)
        if (r->c[i].chunk_id == chunk_id)
            return &r->c[i];
    r->c[r->n] = (struct candidate){ .chunk_id = chunk_id };
    return &r->c[r->n++];
}

static enum kt_status lexical(struct kt_matter *m, struct span query, struct ranking *r,
                              struct kt_error *err)
{
    struct buf expr = { 0 };
    sqlite3_stmt *q = NULL;
    enum kt_status st = query_build(m, query, &expr, err);
    if (st || !expr.len) {
        buf_deinit(&expr);
        return st;
    }
    st = db_prepare(&q, m,
                    "SELECT rowid, bm25(terms, 1.0, ?3) AS s FROM terms WHERE terms MATCH ?1 "
                    "ORDER BY s, rowid LIMIT ?2",
                    err);
    if (!st) {
        sqlite3_bind_text64(q, 1, expr.ptr, expr.len, SQLITE_STATIC, SQLITE_UTF8);
        sqlite3_bind_int64(q, 2, (sqlite3_int64)r->depth);
        sqlite3_bind_double(q, 3, PART_WEIGHT);
        int rc, rank = 0;
        while ((rc = sqlite3_step(q)) == SQLITE_ROW) {
            struct candidate *c = candidate_for(r, sqlite3_column_int64(q, 0));
            c->lexical_rank = ++rank;
            c->lexical_score = -sqlite3_column_double(q, 1);
        }
        if (rc != SQLITE_DONE)
            st = db_fail(m, "search", err);
    }
    sqlite3_finalize(q);
    buf_deinit(&expr);
    return st;
}

/* Vectors of another length than the matter's come from another model: an answer would be nonsense.
 */
static enum kt_status check_dim(struct kt_matter *m, size_t dim, bool *none, struct kt_error *err)
{
    char *known;
    enum kt_status st = meta_get(m, "dim", &known, err);
    if (st)
        return st;
    *none = !known;
    if (known && strtoul(known, NULL, 10) != dim)
        st = kt_fail(
            err, KT_E_USAGE,
            "%s: the query's vector has %zu numbers, the matter's have %s; use the embedding "
            "model the matter was indexed with",
            m->dir, dim, known);
    free(known);
    return st;
}

/* The cosines of what the words found: [n] of the candidates, in their order. */
static enum kt_status cosines_of(struct kt_matter *m, const float *v, size_t dim, struct ranking *r,
                                 struct kt_error *err)
{
    struct vec_hit *hits = calloc(r->n + 1, sizeof(*hits));
    if (!hits)
        return kt_fail(err, KT_E_NOMEM, "store: out of memory");
    for (size_t i = 0; i < r->n; i++)
        hits[i].chunk_id = r->c[i].chunk_id;
    enum kt_status st = vec_cosines(m, v, dim, hits, r->n, err);
    for (size_t i = 0; i < r->n && !st; i++)
        r->c[i].dense_score = (double)hits[i].cosine;
    free(hits);
    return st;
}

static enum kt_status dense(struct kt_matter *m, const float *v, size_t dim, struct ranking *r,
                            struct kt_error *err)
{
    bool none;
    struct vec_hit *hits = NULL;
    size_t n = 0;
    enum kt_status st = check_dim(m, dim, &none, err);
    if (st || none)
        return st;
    st = cosines_of(m, v, dim, r, err);
    if (!st)
        st = vec_search(m, v, dim, r->depth, &hits, &n, err);
    for (size_t i = 0; i < n; i++) {
        struct candidate *c = candidate_for(r, hits[i].chunk_id);
        c->dense_rank = (int)i + 1;
        c->dense_score = (double)hits[i].cosine;
    }
    free(hits);
    return st;
}

static int by_score(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;
    if (x->score != y->score)
        return x->score > y->score ? -1 : 1;
    if (x->dense_score != y->dense_score) /* shares of negative cosines are all 0 */
        return x->dense_score > y->dense_score ? -1 : 1;
    return x->chunk_id < y->chunk_id ? -1 : x->chunk_id > y->chunk_id;
}

static double share(double score, double best)
{
    return score > 0 && best > 0 ? score / best : 0;
}

static void fuse(struct ranking *r, bool both)
{
    double best_lexical = 0, best_dense = 0;
    for (size_t i = 0; i < r->n; i++) {
        best_lexical = fmax(best_lexical, r->c[i].lexical_score);
        best_dense = fmax(best_dense, r->c[i].dense_score);
    }
    for (size_t i = 0; i < r->n; i++) {
        struct candidate *c = &r->c[i];
        double words = share(c->lexical_score, best_lexical),
               vectors = share(c->dense_score, best_dense);
        c->score = both ? LEXICAL_SHARE * words + (1 - LEXICAL_SHARE) * vectors : words + vectors;
    }
    qsort(r->c, r->n, sizeof(*r->c), by_score);
}

/* ---- from candidates to hits ---- */

static void hit_deinit(struct kt_hit *h)
{
    free(h->path);
    free(h->title);
    free(h->text);
}

void kt_hits_free(struct kt_hit *hits, size_t n)
{
    for (size_t i = 0; i < n; i++)
        hit_deinit(&hits[i]);
    free(hits);
}

static enum kt_status fill_hit(struct kt_hit *h, struct kt_matter *m, sqlite3_stmt *q,
                               const struct candidate *c, struct kt_error *err)
{
    *h = (struct kt_hit){ .doc_id = sqlite3_column_int64(q, 0),
                          .score = c->score,
                          .lexical_rank = c->lexical_rank,
                          .dense_rank = c->dense_rank,
                          .lexical_score = c->lexical_score,
                          .dense_score = c->dense_score };
    const char *path = (const char *)sqlite3_column_text(q, 1),
               *title = (const char *)sqlite3_column_text(q, 2);
    h->path = strdup(path ? path : "");
    h->title = title ? strdup(title) : NULL;
    h->place.start = (size_t)sqlite3_column_int64(q, 3);
    h->place.end = (size_t)sqlite3_column_int64(q, 4);
    h->place.page = (uint32_t)sqlite3_column_int64(q, 5);
    h->place.para = (uint32_t)sqlite3_column_int64(q, 6);
    if (sqlite3_column_bytes(q, 7) == sizeof(h->place.box))
        memcpy(h->place.box, sqlite3_column_blob(q, 7), sizeof(h->place.box));
    enum kt_status st =
        !h->path || (title && !h->title) ? kt_fail(err, KT_E_NOMEM, "store: out of memory") : KT_OK;
    if (!st)
        st = kt_matter_text(m, h->doc_id, h->place.start, h->place.end, &h->text, err);
    h->text_len = h->place.end - h->place.start;
    if (st)
        hit_deinit(h);
    return st;
}

static enum kt_status fill_hits(struct kt_matter *m, const struct ranking *r, size_t k,
                                struct kt_hit **out, size_t *n, struct kt_error *err)
{
    size_t count = MIN(k, r->n);
    struct kt_hit *hits = calloc(count + 1, sizeof(*hits));
    if (!hits)
        return kt_fail(err, KT_E_NOMEM, "store: out of memory");
    sqlite3_stmt *q;
    enum kt_status st =
        db_prepare(&q, m,
                   "SELECT d.id, d.path, d.title, c.start, c.stop, c.page, c.para, c.box "
                   "FROM chunks c JOIN documents d ON d.id = c.doc_id WHERE c.id = ?1",
                   err);
    size_t filled = 0;
    for (; filled < count && !st; filled++) {
        sqlite3_bind_int64(q, 1, r->c[filled].chunk_id);
        int rc = sqlite3_step(q);
        if (rc == SQLITE_DONE)
            st = kt_fail(err, KT_E_FORMAT,
                         "%s: the index names a chunk that is not there; index again", m->dir);
        else if (rc != SQLITE_ROW)
            st = db_fail(m, "read chunks", err);
        else
            st = fill_hit(&hits[filled], m, q, &r->c[filled], err);
        sqlite3_reset(q);
        if (st)
            break;
    }
    sqlite3_finalize(q);
    if (st) {
        kt_hits_free(hits, filled);
        return st;
    }
    *out = hits;
    *n = count;
    return KT_OK;
}

/* ---- the search ---- */

static enum kt_status check_request(const struct kt_search_request *rq, struct kt_error *err)
{
    if (rq->mode == KT_SEARCH_DENSE && !rq->vector)
        return kt_fail(err, KT_E_USAGE,
                       "search: dense search needs the query's vector; give an embedding model");
    if (rq->vector && (rq->dim < 1 || rq->dim > LIMIT_DIM))
        return kt_fail(err, KT_E_USAGE, "search: a vector of %zu numbers, expected 1 to %d",
                       rq->dim, LIMIT_DIM);
    for (size_t i = 0; rq->vector && i < rq->dim; i++)
        if (!isfinite(rq->vector[i]))
            return kt_fail(err, KT_E_USAGE,
                           "search: number %zu of the query's vector is not finite", i);
    if (rq->k > LIMIT_HITS)
        return kt_fail(err, KT_E_LIMIT, "search: %zu hits asked for, at most %d", rq->k,
                       LIMIT_HITS);
    if (!rq->query && rq->mode != KT_SEARCH_DENSE)
        return kt_fail(err, KT_E_USAGE, "search: no query");
    return KT_OK;
}

static enum kt_status run_stages(struct kt_matter *m, const struct kt_search_request *rq,
                                 struct ranking *r, size_t k, struct kt_hit **out, size_t *n,
                                 struct kt_error *err)
{
    enum kt_status st = KT_OK;
    if (rq->mode != KT_SEARCH_DENSE)
        st = lexical(m, span_of(rq->query), r, err);
    if (!st && rq->mode != KT_SEARCH_LEXICAL && rq->vector)
        st = dense(m, rq->vector, rq->dim, r, err);
    if (st)
        return st;
    fuse(r, rq->mode == KT_SEARCH_HYBRID && rq->vector);
    return fill_hits(m, r, k, out, n, err);
}

enum kt_status kt_matter_search(struct kt_matter *m, const struct kt_search_request *rq,
                                struct kt_hit **out, size_t *n, struct kt_error *err)
{
    *out = NULL;
    *n = 0;
    enum kt_status st = check_request(rq, err);
    if (st)
        return st;
    size_t k = rq->k ? rq->k : 10;
    struct ranking r = { .depth = MAX((size_t)DEPTH_MIN, 3 * k) };
    r.c = calloc(2 * r.depth, sizeof(*r.c));
    if (!r.c)
        return kt_fail(err, KT_E_NOMEM, "store: out of memory");
    /* one state of the matter for all stages, also while another process writes */
    st = db_exec(m, "BEGIN", "search", err);
    if (!st) {
        st = run_stages(m, rq, &r, k, out, n, err);
        sqlite3_exec(m->db, "COMMIT", NULL, NULL, NULL);
    }
    free(r.c);
    return st;
}
