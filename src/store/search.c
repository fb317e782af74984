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
#include "store/marks.h"
#include "store/query.h"
#include "store/store_priv.h"
#include "store/syntax.h"

enum { DEPTH_MIN = 100 };
static const double LEXICAL_SHARE = 0.6;

struct candidate {
    int64_t chunk_id;
    int lexical_rank, dense_rank;
    double lexical_score, dense_score, score;
    size_t parts_row; /* of the score's parts */
};

/* What a search works on; grows with the stages, at most two depths long. */
struct ranking {
    struct candidate *c; /* [2 * depth] */
    size_t n, depth;
};

/* A request, read: what is looked for, among which chunks, and what was found on the way. */
struct searching {
    struct kt_matter *m;
    const struct kt_search_request *rq;
    struct syntax syntax;
    struct query_plan plan;
    struct filter filter;
    struct allowed allowed;
    struct buf excluded; /* int64_t[], sorted */
    struct score_result words;
    struct ranking ranking;
    double best_lexical, best_dense;
    size_t k;
};

static struct candidate *candidate_for(struct ranking *r, int64_t chunk_id)
{
    for (size_t i = 0; i < r->n; i++)
        if (r->c[i].chunk_id == chunk_id)
            return &r->c[i];
    r->c[r->n] = (struct candidate){ .chunk_id = chunk_id };
    return &r->c[r->n++];
}

static enum kt_status lexical(struct searching *s, struct kt_error *err)
{
    struct ranking *r = &s->ranking;
    enum kt_status st = score_search(
        &s->words, s->m, &s->plan, &s->allowed, (const int64_t *)(void *)s->excluded.ptr,
        s->excluded.len / sizeof(int64_t), r->depth, s->k, s->rq->explain != NULL, err);
    for (size_t i = 0; i < s->words.n && !st; i++) {
        struct candidate *c = candidate_for(r, s->words.hits[i].chunk_id);
        c->lexical_rank = (int)i + 1;
        c->lexical_score = s->words.hits[i].score;
        c->parts_row = i;
    }
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

static int by_id(const void *a, const void *b)
{
    int64_t x, y;
    memcpy(&x, a, sizeof(x));
    memcpy(&y, b, sizeof(y));
    return (x > y) - (x < y);
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

static bool is_excluded(const struct buf *excluded, int64_t id)
{
    return excluded->len &&
           bsearch(&id, excluded->ptr, excluded->len / sizeof(id), sizeof(id), by_id) != NULL;
}

static enum kt_status dense(struct searching *s, struct kt_error *err)
{
    struct kt_matter *m = s->m;
    const float *v = s->rq->vector;
    size_t dim = s->rq->dim;
    struct ranking *r = &s->ranking;
    bool none;
    struct vec_hit *hits = NULL;
    size_t n = 0;
    enum kt_status st = check_dim(m, dim, &none, err);
    if (st || none)
        return st;
    st = cosines_of(m, v, dim, r, err);
    if (!st)
        st = vec_search(m, v, dim, r->depth, &s->allowed, &hits, &n, err);
    for (size_t i = 0; i < n; i++) {
        if (is_excluded(&s->excluded, hits[i].chunk_id))
            continue;
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

static void fuse(struct searching *s, bool both)
{
    struct ranking *r = &s->ranking;
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
    s->best_lexical = best_lexical;
    s->best_dense = best_dense;
}

/* ---- from candidates to hits ---- */

static void hit_deinit(struct kt_hit *h)
{
    free(h->path);
    free(h->title);
    free(h->text);
    free(h->marks);
    free(h->term_scores);
}

void kt_hits_free(struct kt_hit *hits, size_t n)
{
    for (size_t i = 0; i < n; i++)
        hit_deinit(&hits[i]);
    free(hits);
}

/* What the words did: where they stand, and each term's part of the score. */
static enum kt_status fill_words(struct kt_hit *h, const struct searching *s,
                                 const struct candidate *c, struct kt_error *err)
{
    size_t n = s->plan.n_phrases + s->plan.n;
    bool ok = marks_find(&s->plan, (struct span){ h->text, h->text_len }, &h->marks, &h->n_marks);
    if (ok && s->rq->explain) {
        h->term_scores = calloc(n + 1, sizeof(double));
        ok = h->term_scores != NULL;
        if (ok && c->lexical_rank && s->words.parts)
            memcpy(h->term_scores, s->words.parts + c->parts_row * n, n * sizeof(double));
    }
    return ok ? KT_OK : kt_fail(err, KT_E_NOMEM, "store: out of memory");
}

static enum kt_status fill_hit(struct kt_hit *h, const struct searching *s, sqlite3_stmt *q,
                               const struct candidate *c, struct kt_error *err)
{
    struct kt_matter *m = s->m;
    *h = (struct kt_hit){ .doc_id = sqlite3_column_int64(q, 0),
                          .score = c->score,
                          .lexical_rank = c->lexical_rank,
                          .dense_rank = c->dense_rank,
                          .lexical_score = c->lexical_score,
                          .dense_score = c->dense_score,
                          .rerank_score = NAN };
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
    if (!st)
        st = fill_words(h, s, c, err);
    if (st)
        hit_deinit(h);
    return st;
}

static enum kt_status fill_hits(const struct searching *s, struct kt_hit **out, size_t *n,
                                struct kt_error *err)
{
    struct kt_matter *m = s->m;
    const struct ranking *r = &s->ranking;
    size_t count = MIN(s->k, r->n);
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
            st = fill_hit(&hits[filled], s, q, &r->c[filled], err);
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

/* ---- reading a request ----------------------------------------------------------------------- */

/* A query that is nothing but exclusions names nothing to look for: it is words. */
static void read_words(struct searching *s)
{
    bool positive = span_trim(buf_span(&s->syntax.words)).len > 0;
    for (size_t i = 0; i < s->syntax.n; i++)
        positive = positive || s->syntax.items[i].field != FIELD_WORD;
    if (positive)
        return;
    syntax_deinit(&s->syntax);
    s->syntax = (struct syntax){ 0 };
    buf_append_str(&s->syntax.words, s->rq->query ? s->rq->query : "");
}

static enum kt_status find_excluded(struct searching *s, struct kt_error *err)
{
    enum kt_status st = KT_OK;
    for (size_t i = 0; i < s->syntax.n && !st; i++) {
        struct buf phrase = { 0 };
        if (s->syntax.items[i].field == FIELD_WORD)
            query_phrase(&phrase, s->syntax.items[i].value);
        if (phrase.failed)
            st = kt_fail(err, KT_E_NOMEM, "store: out of memory for a query");
        else if (phrase.len)
            st = score_chunks_with(s->m, buf_span(&phrase), &s->excluded, err);
        buf_deinit(&phrase);
    }
    if (!st && s->excluded.len)
        qsort(s->excluded.ptr, s->excluded.len / sizeof(int64_t), sizeof(int64_t), by_id);
    return st;
}

static enum kt_status read_request(struct searching *s, struct kt_error *err)
{
    syntax_read(&s->syntax, span_sub(span_of(s->rq->query), 0, LIMIT_QUERY_BYTES));
    read_words(s);
    if (s->syntax.words.failed)
        return kt_fail(err, KT_E_NOMEM, "store: out of memory for a query");
    filter_add_syntax(&s->filter, &s->syntax);
    enum kt_status st = filter_add_request(&s->filter, &s->rq->filter, err);
    if (!st)
        st = filter_chunks(s->m, &s->filter, &s->allowed, err);
    if (!st)
        st = find_excluded(s, err);
    if (!st)
        st = query_plan(&s->plan, s->m, buf_span(&s->syntax.words), err);
    return st;
}

/* ---- the search ------------------------------------------------------------------------------ */

/* Only filters: the beginnings of the documents they let through, the last stored first. */
static void list_documents(struct searching *s)
{
    struct ranking *r = &s->ranking;
    for (size_t i = s->allowed.n; i-- > 0 && r->n < r->depth;) {
        int64_t id = s->allowed.ranges[i].first;
        if (!is_excluded(&s->excluded, id))
            *candidate_for(r, id) = (struct candidate){ .chunk_id = id };
    }
}

static bool has_words(const struct searching *s)
{
    return s->plan.n || s->plan.n_phrases;
}

static enum kt_status run_stages(struct searching *s, struct kt_hit **out, size_t *n,
                                 struct kt_error *err)
{
    const struct kt_search_request *rq = s->rq;
    enum kt_status st = read_request(s, err);
    bool only_filters = !st && !has_words(s) && s->filter.n && rq->mode != KT_SEARCH_DENSE;
    if (!st && only_filters)
        list_documents(s);
    if (!st && !only_filters && rq->mode != KT_SEARCH_DENSE)
        st = lexical(s, err);
    if (!st && !only_filters && rq->mode != KT_SEARCH_LEXICAL && rq->vector)
        st = dense(s, err);
    if (st)
        return st;
    if (!only_filters)
        fuse(s, rq->mode == KT_SEARCH_HYBRID && rq->vector);
    return fill_hits(s, out, n, err);
}

static const char *kind_name(const struct query_plan *p, size_t i)
{
    static const char *const NAMES[] = { "word", "part", "similar", "stop" };
    return i < p->n_phrases ? "phrase" : NAMES[p->terms[i - p->n_phrases].kind];
}

static enum kt_status explain(const struct searching *s, struct kt_explanation *x,
                              struct kt_error *err)
{
    const struct query_plan *p = &s->plan;
    struct buf filters = { 0 };
    bool both = s->rq->mode == KT_SEARCH_HYBRID && s->rq->vector;
    *x = (struct kt_explanation){
        .n_terms = p->n_phrases + p->n,
        .n_let_through = s->allowed.n,
        .n_scored = s->words.n_rows,
        .exact = s->words.exact,
        .lexical_share = both ? LEXICAL_SHARE : s->rq->mode != KT_SEARCH_DENSE,
        .best_lexical = s->best_lexical,
        .best_dense = s->best_dense,
    };
    x->dense_share = 1 - x->lexical_share;
    filter_describe(&s->filter, &filters);
    for (size_t i = 0; i < s->syntax.n; i++)
        if (s->syntax.items[i].field == FIELD_WORD) {
            buf_append_str(&filters, filters.len ? "; not: " : "not: ");
            buf_append_span(&filters, s->syntax.items[i].value);
        }
    x->filters = filters.len ? buf_take(&filters) : strdup("");
    x->terms = calloc(x->n_terms + 1, sizeof(*x->terms));
    bool ok = x->filters && x->terms;
    for (size_t i = 0; i < x->n_terms && ok; i++) {
        struct span text = i < p->n_phrases ? buf_span(&p->phrases[i])
                                            : (struct span){ p->terms[i - p->n_phrases].text,
                                                             p->terms[i - p->n_phrases].len };
        x->terms[i] = (struct kt_explained_term){ .text = strndup(text.ptr, text.len),
                                                  .kind = kind_name(p, i),
                                                  .n_chunks = s->words.terms[i].n_chunks,
                                                  .idf = s->words.terms[i].idf };
        ok = x->terms[i].text != NULL;
    }
    buf_deinit(&filters);
    if (ok)
        return KT_OK;
    kt_explanation_deinit(x);
    return kt_fail(err, KT_E_NOMEM, "store: out of memory");
}

void kt_explanation_deinit(struct kt_explanation *x)
{
    for (size_t i = 0; i < x->n_terms && x->terms; i++)
        free(x->terms[i].text);
    free(x->terms);
    free(x->filters);
    *x = (struct kt_explanation){ 0 };
}

static void searching_free(struct searching *s)
{
    syntax_deinit(&s->syntax);
    query_plan_deinit(&s->plan);
    allowed_deinit(&s->allowed);
    buf_deinit(&s->excluded);
    score_result_deinit(&s->words);
    free(s->ranking.c);
    free(s);
}

enum kt_status kt_matter_search(struct kt_matter *m, const struct kt_search_request *rq,
                                struct kt_hit **out, size_t *n, struct kt_error *err)
{
    *out = NULL;
    *n = 0;
    if (rq->explain)
        *rq->explain = (struct kt_explanation){ 0 };
    enum kt_status st = check_request(rq, err);
    if (st)
        return st;
    struct searching *s = calloc(1, sizeof(*s));
    if (!s)
        return kt_fail(err, KT_E_NOMEM, "store: out of memory");
    s->m = m;
    s->rq = rq;
    s->k = rq->k ? rq->k : 10;
    s->words.exact = true;
    s->ranking.depth = MAX((size_t)DEPTH_MIN, 3 * s->k);
    s->ranking.c = calloc(2 * s->ranking.depth, sizeof(*s->ranking.c));
    st = s->ranking.c ? db_exec(m, "BEGIN", "search", err)
                      : kt_fail(err, KT_E_NOMEM, "store: out of memory");
    /* one state of the matter for all stages, also while another process writes */
    if (!st) {
        st = run_stages(s, out, n, err);
        sqlite3_exec(m->db, "COMMIT", NULL, NULL, NULL);
    }
    if (!st && rq->explain)
        st = explain(s, rq->explain, err);
    searching_free(s);
    if (st) {
        kt_hits_free(*out, *n);
        *out = NULL;
        *n = 0;
    } else {
        matter_note(m, AUDIT_SEARCHED, 0, *n);
    }
    return st;
}

char *kt_query_words(const char *query)
{
    struct syntax s;
    syntax_read(&s, span_of(query));
    struct span words = span_trim(buf_span(&s.words));
    char *out = s.words.failed ? NULL : strndup(words.len ? words.ptr : "", words.len);
    syntax_deinit(&s);
    return out;
}
