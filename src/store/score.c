/* store/score.c: see score.h. */
#include "store/score.h"

#include <math.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "store/store_priv.h"

enum {
    SCORE_ROWS = 20000,
    DF_MAX = 1 << 16,
    SAMPLE_FROM = 100000, /* chunks of a matter in which common terms are counted by sample */
    SAMPLE_RANGES = 8,
    SAMPLE_IDS = 8192, /* of each range */
    SAMPLE_COMMON =
        2048, /* so many in the sample: common, and the sample says how common to a few percent */
};
static const double PART_WEIGHT = 0.5, K1 = 1.2, B = 0.75;

/* ---- how many chunks hold it ----------------------------------------------------------------- */

void df_cache_drop(struct df_cache *c)
{
    free(c->entries);
    *c = (struct df_cache){ 0 };
}

static uint64_t hash_of(struct span s)
{
    uint64_t h = 14695981039346656037u; /* FNV-1a */
    for (size_t i = 0; i < s.len; i++)
        h = (h ^ (unsigned char)s.ptr[i]) * 1099511628211u;
    return h ? h : 1;
}

static struct df_entry *df_slot(struct df_cache *c, uint64_t hash)
{
    size_t i = (size_t)hash & (c->cap - 1);
    while (c->entries[i].hash && c->entries[i].hash != hash)
        i = (i + 1) & (c->cap - 1);
    return &c->entries[i];
}

static void df_remember(struct df_cache *c, uint64_t hash, uint64_t n)
{
    if (!c->entries) {
        c->cap = DF_MAX;
        c->entries = calloc(c->cap, sizeof(*c->entries));
        if (!c->entries)
            c->cap = 0;
    }
    if (!c->cap || c->n >= c->cap / 2) /* full: what comes now is counted again each time */
        return;
    struct df_entry *e = df_slot(c, hash);
    c->n += !e->hash;
    *e = (struct df_entry){ hash, n };
}

/* The table that counts is a view on the index in this connection's own memory. */
static enum kt_status open_counts(struct kt_matter *m, struct kt_error *err)
{
    if (m->has_counts)
        return KT_OK;
    enum kt_status st = db_exec(m, "PRAGMA query_only=OFF", "prepare", err);
    if (!st)
        st = db_exec(
            m, "CREATE VIRTUAL TABLE IF NOT EXISTS temp.counts USING fts5vocab(main, terms, row)",
            "prepare", err);
    if (m->access == KT_READ) {
        enum kt_status back = db_exec(m, "PRAGMA query_only=ON", "prepare", st ? NULL : err);
        st = st ? st : back;
    }
    m->has_counts = !st;
    return st;
}

static enum kt_status count_with(struct kt_matter *m, const char *sql, struct span arg, uint64_t *n,
                                 struct kt_error *err)
{
    sqlite3_stmt *q;
    *n = 0;
    enum kt_status st = db_prepare(&q, m, sql, err);
    if (st)
        return st;
    sqlite3_bind_text64(q, 1, arg.ptr, arg.len, SQLITE_STATIC, SQLITE_UTF8);
    int rc = sqlite3_step(q);
    if (rc == SQLITE_ROW)
        *n = (uint64_t)sqlite3_column_int64(q, 0);
    else if (rc != SQLITE_DONE)
        st = db_fail(m, "search", err);
    sqlite3_finalize(q);
    return st;
}

enum kt_status df_cache_check(struct kt_matter *m, struct kt_error *err)
{
    uint64_t version;
    enum kt_status st = count_with(m, "PRAGMA data_version", SPAN(""), &version, err);
    if (st || (int64_t)version == m->counts.version)
        return st;
    df_cache_drop(&m->counts);
    m->counts.version = (int64_t)version;
    return KT_OK;
}

/* How many chunks hold a term, told from eight ranges of ids; *n stays 0 when it is not common in them. Counting all would be a
 * pass over the longest lists there are, to learn a logarithm to more than two digits. */
static enum kt_status count_sample(struct kt_matter *m, struct span term, uint64_t *n,
                                   struct kt_error *err)
{
    struct buf quoted = { 0 };
    sqlite3_stmt *q = NULL;
    uint64_t last = 0, found = 0, seen = 0;
    *n = 0;
    query_quote(&quoted, term);
    enum kt_status st = quoted.failed ? kt_fail(err, KT_E_NOMEM, "store: out of memory for a query")
                                      : count_with(m, "SELECT max(id) FROM chunks WHERE ?1 = ''",
                                                   SPAN(""), &last, err);
    if (!st)
        st = db_prepare(
            &q, m, "SELECT count(*) FROM terms WHERE terms MATCH ?1 AND rowid BETWEEN ?2 AND ?3",
            err);
    for (uint64_t i = 0; i < SAMPLE_RANGES && !st; i++) {
        uint64_t from = last / SAMPLE_RANGES * i + 1;
        sqlite3_bind_text64(q, 1, quoted.ptr, quoted.len, SQLITE_STATIC, SQLITE_UTF8);
        sqlite3_bind_int64(q, 2, (int64_t)from);
        sqlite3_bind_int64(q, 3, (int64_t)(from + SAMPLE_IDS - 1));
        if (sqlite3_step(q) == SQLITE_ROW)
            found += (uint64_t)sqlite3_column_int64(q, 0);
        else
            st = db_fail(m, "search", err);
        sqlite3_reset(q);
        seen += SAMPLE_IDS;
    }
    sqlite3_finalize(q);
    buf_deinit(&quoted);
    if (!st && found >= SAMPLE_COMMON)
        *n = (uint64_t)((double)found * (double)last / (double)seen);
    *n = MIN(*n, m->counts.n_all);
    return st;
}

static enum kt_status count_chunks(struct kt_matter *m, struct span term, bool phrase, uint64_t *n,
                                   struct kt_error *err)
{
    uint64_t hash = hash_of(term) ^ phrase;
    *n = 0;
    if (m->counts.entries) {
        struct df_entry *e = df_slot(&m->counts, hash ? hash : 1);
        if (e->hash) {
            *n = e->n;
            return KT_OK;
        }
    }
    struct buf quoted = { 0 };
    enum kt_status st;
    if (phrase) {
        query_quote(&quoted, term);
        st = quoted.failed ? kt_fail(err, KT_E_NOMEM, "store: out of memory for a query")
                           : count_with(m, "SELECT count(*) FROM terms WHERE terms MATCH ?1",
                                        buf_span(&quoted), n, err);
    } else {
        st = m->counts.n_all > SAMPLE_FROM ? count_sample(m, term, n, err) : KT_OK;
        if (!st && !*n)
            st = open_counts(m, err);
        if (!st && !*n)
            st = count_with(m, "SELECT doc FROM temp.counts WHERE term = ?1", term, n, err);
    }
    buf_deinit(&quoted);
    if (!st)
        df_remember(&m->counts, hash ? hash : 1, *n);
    return st;
}

/* ---- the function that FTS5 calls for a row -------------------------------------------------- */

/* The phrases of the expression that is running, in its order. */
struct scorer {
    const struct allowed *allowed;
    const int64_t *excluded;
    size_t n_excluded;
    int slot[LIMIT_QUERY_TERMS + 2 * PLAN_PHRASES]; /* -> score_result.terms; -1: counted already */
    double idf[LIMIT_QUERY_TERMS + 2 * PLAN_PHRASES];
    double tf[LIMIT_QUERY_TERMS + 2 * PLAN_PHRASES]; /* of the row */
    int n;
    double worst;  /* of as many hits as are wanted; below it nothing is */
    double *parts; /* [n_terms] of the last row; may be NULL */
    size_t n_terms;
    double avg_len;
    uint64_t n_rows;
};

static bool is_excluded(const struct scorer *s, int64_t id)
{
    size_t lo = 0, hi = s->n_excluded;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (s->excluded[mid] < id)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < s->n_excluded && s->excluded[lo] == id;
}

static int average_length(const Fts5ExtensionApi *api, Fts5Context *fts, double *out)
{
    sqlite3_int64 rows = 0, tokens = 0;
    int rc = api->xRowCount(fts, &rows);
    if (rc == SQLITE_OK)
        rc = api->xColumnTotalSize(fts, -1, &tokens);
    *out = rows > 0 && tokens > 0 ? (double)tokens / (double)rows : 1;
    return rc;
}

static int weighted_count(const Fts5ExtensionApi *api, Fts5Context *fts, int phrase, double *out)
{
    Fts5PhraseIter it;
    int col, off;
    *out = 0;
    int rc = api->xPhraseFirst(fts, phrase, &it, &col, &off);
    if (rc != SQLITE_OK)
        return rc;
    for (; col >= 0; api->xPhraseNext(fts, &it, &col, &off))
        *out += col == 0 ? 1 : PART_WEIGHT;
    return SQLITE_OK;
}

/* The counts of this row, and the most it can score: that of a chunk of no length. */
static int count_row(const Fts5ExtensionApi *api, Fts5Context *fts, struct scorer *s, double *most)
{
    int rc = SQLITE_OK;
    *most = 0;
    for (int i = 0; i < s->n && rc == SQLITE_OK; i++) {
        if (s->slot[i] < 0)
            continue;
        rc = weighted_count(api, fts, i, &s->tf[i]);
        *most += s->idf[i] * s->tf[i] * (K1 + 1) / (s->tf[i] + K1 * (1 - B));
    }
    return rc;
}

static double score_counts(struct scorer *s, int len)
{
    double score = 0, norm = K1 * (1 - B + B * (double)len / s->avg_len);
    for (int i = 0; i < s->n; i++) {
        if (s->slot[i] < 0)
            continue;
        double part = s->idf[i] * s->tf[i] * (K1 + 1) / (s->tf[i] + norm);
        score += part;
        if (s->parts)
            s->parts[s->slot[i]] = part;
    }
    return score;
}

/* NULL for a row that is not to be found, or cannot be among the best: the length of most need not be looked up. */
static void score_row(const Fts5ExtensionApi *api, Fts5Context *fts, sqlite3_context *ctx,
                      int n_args, sqlite3_value **args)
{
    (void)n_args, (void)args;
    struct scorer *s = *(struct scorer **)api->xUserData(fts);
    int64_t id = api->xRowid(fts);
    double most;
    if (!allowed_has(s->allowed, id) || is_excluded(s, id))
        return;
    s->n_rows++;
    int len = 0, rc = count_row(api, fts, s, &most);
    if (rc == SQLITE_OK && most < s->worst)
        return;
    if (rc == SQLITE_OK && s->avg_len <= 0)
        rc = average_length(api, fts, &s->avg_len);
    if (rc == SQLITE_OK)
        rc = api->xColumnSize(fts, -1, &len);
    if (rc == SQLITE_OK)
        sqlite3_result_double(ctx, score_counts(s, len));
    else
        sqlite3_result_error_code(ctx, rc);
}

static enum kt_status register_function(struct kt_matter *m, struct kt_error *err)
{
    if (m->has_score)
        return KT_OK;
    fts5_api *api = NULL;
    sqlite3_stmt *q;
    enum kt_status st = db_prepare(&q, m, "SELECT fts5(?1)", err);
    if (st)
        return st;
    sqlite3_bind_pointer(q, 1, (void *)&api, "fts5_api_ptr", NULL);
    sqlite3_step(q);
    sqlite3_finalize(q);
    if (!api || api->xCreateFunction(api, "kontor_score", &m->scorer, score_row, NULL) != SQLITE_OK)
        return db_fail(m, "search", err);
    m->has_score = true;
    return KT_OK;
}

/* ---- expressions ----------------------------------------------------------------------------- */

struct searching {
    struct kt_matter *m;
    const struct query_plan *plan;
    struct score_result *out;
    struct scorer scorer;
    size_t order[LIMIT_QUERY_TERMS]; /* terms, the rarest first */
    size_t depth;
};

static void use(struct searching *s, int slot)
{
    s->scorer.slot[s->scorer.n] = slot;
    s->scorer.idf[s->scorer.n] = slot < 0 ? 0 : s->out->terms[slot].idf;
    s->scorer.n++;
}

static void write_phrases(struct searching *s, struct buf *e, bool counted)
{
    for (size_t i = 0; i < s->plan->n_phrases; i++) {
        buf_append_str(e, i ? " AND " : "");
        query_quote(e, buf_span(&s->plan->phrases[i]));
        use(s, counted ? (int)i : -1);
    }
}

/* Terms [from, to) of the order, any of them. */
static void write_terms(struct searching *s, struct buf *e, size_t from, size_t to, bool counted)
{
    for (size_t i = from; i < to; i++) {
        const struct plan_term *t = &s->plan->terms[s->order[i]];
        buf_append_str(e, i > from ? " OR " : "");
        query_quote(e, (struct span){ t->text, t->len });
        use(s, counted ? (int)(s->plan->n_phrases + s->order[i]) : -1);
    }
}

/* Phrases decide who is in, words beside them only help the order. Without phrases the n_first rarest terms decide. */
static void write_expression(struct searching *s, struct buf *e, size_t n_first)
{
    size_t n = s->plan->n;
    buf_clear(e);
    s->scorer.n = 0;
    if (s->plan->n_phrases) {
        buf_append_char(e, '(');
        write_phrases(s, e, true);
        buf_append_char(e, ')');
        if (!n)
            return;
        buf_append_str(e, " AND ((");
        write_phrases(s, e, false);
        buf_append_str(e, ") OR ");
        write_terms(s, e, 0, n, true);
        buf_append_char(e, ')');
        return;
    }
    buf_append_char(e, '(');
    write_terms(s, e, 0, n_first, true);
    buf_append_char(e, ')');
    if (n_first == n)
        return;
    buf_append_str(e, " AND (");
    write_terms(s, e, 0, n_first, false);
    buf_append_str(e, " OR ");
    write_terms(s, e, n_first, n, true);
    buf_append_char(e, ')');
}

/* Chunks that hold all terms. */
static void write_all(struct searching *s, struct buf *e)
{
    s->scorer.n = 0;
    for (size_t i = 0; i < s->plan->n; i++) {
        buf_append_str(e, i ? " AND " : "");
        write_terms(s, e, i, i + 1, true);
    }
}

/* ---- collecting ------------------------------------------------------------------------------ */

static bool better(const struct score_hit *a, const struct score_hit *b)
{
    return a->score > b->score || (a->score == b->score && a->chunk_id < b->chunk_id);
}

/* Insertion into a sorted list of at most 'depth': most rows are worse than its last. */
static void offer(struct searching *s, struct score_hit h)
{
    struct score_result *r = s->out;
    if (r->n == s->depth && !better(&h, &r->hits[r->n - 1]))
        return;
    size_t lo = 0, hi = r->n;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (better(&r->hits[mid], &h))
            lo = mid + 1;
        else
            hi = mid;
    }
    size_t keep = MIN(r->n, s->depth - 1), nt = r->n_terms;
    memmove(&r->hits[lo + 1], &r->hits[lo], (keep - lo) * sizeof(h));
    r->hits[lo] = h;
    if (r->parts) {
        memmove(r->parts + (lo + 1) * nt, r->parts + lo * nt, (keep - lo) * nt * sizeof(double));
        memcpy(r->parts + lo * nt, s->scorer.parts, nt * sizeof(double));
    }
    r->n = keep + 1;
    if (r->n == s->depth)
        s->scorer.worst = r->hits[r->n - 1].score;
}

/* all: only chunks that hold all terms. */
static enum kt_status run(struct searching *s, size_t n_first, bool all, struct kt_error *err)
{
    struct buf e = { 0 };
    sqlite3_stmt *q = NULL;
    if (all)
        write_all(s, &e);
    else
        write_expression(s, &e, n_first);
    s->out->n = 0;
    s->scorer.worst = 0;
    enum kt_status st =
        e.failed
            ? kt_fail(err, KT_E_NOMEM, "store: out of memory for a query")
            : db_prepare(&q, s->m,
                         "SELECT rowid, kontor_score(terms) FROM terms WHERE terms MATCH ?1", err);
    if (!st) {
        sqlite3_bind_text64(q, 1, e.ptr, e.len, SQLITE_STATIC, SQLITE_UTF8);
        int rc;
        while ((rc = sqlite3_step(q)) == SQLITE_ROW)
            if (sqlite3_column_type(q, 1) != SQLITE_NULL)
                offer(s, (struct score_hit){ sqlite3_column_int64(q, 0),
                                             sqlite3_column_double(q, 1) });
        if (rc != SQLITE_DONE)
            st = db_fail(s->m, "search", err);
    }
    sqlite3_finalize(q);
    buf_deinit(&e);
    return st;
}

/* ---- weighing -------------------------------------------------------------------------------- */

static enum kt_status weigh(struct searching *s, struct kt_error *err)
{
    const struct query_plan *p = s->plan;
    struct score_result *r = s->out;
    struct df_cache *c = &s->m->counts;
    enum kt_status st = df_cache_check(s->m, err);
    if (!st && !c->knows_all)
        st = count_with(s->m, "SELECT sum(n_chunks) FROM documents WHERE ?1 = ''", SPAN(""),
                        &c->n_all, err);
    c->knows_all = !st;
    r->n_terms = p->n_phrases + p->n;
    for (size_t i = 0; i < r->n_terms && !st; i++) {
        bool phrase = i < p->n_phrases;
        const struct plan_term *t = phrase ? NULL : &p->terms[i - p->n_phrases];
        struct span text = phrase ? buf_span(&p->phrases[i]) : (struct span){ t->text, t->len };
        uint64_t n = 0;
        st = count_chunks(s->m, text, phrase, &n, err);
        double idf = log(((double)c->n_all - (double)n + 0.5) / ((double)n + 0.5));
        r->terms[i] = (struct score_term){ n, idf > 0 ? idf : 1e-6 }; /* as FTS5 does */
    }
    return st;
}

static void sort_terms(struct searching *s)
{
    const struct score_term *t = s->out->terms + s->plan->n_phrases;
    for (size_t i = 0; i < s->plan->n; i++) {
        size_t at = i;
        for (; at && t[s->order[at - 1]].n_chunks > t[i].n_chunks; at--)
            s->order[at] = s->order[at - 1];
        s->order[at] = i;
    }
}

/* How many of the rarest terms hold no more than SCORE_ROWS chunks together, at least one; then on to the next that is in any. */
static size_t first_terms(const struct searching *s, size_t *rows)
{
    const struct score_term *t = s->out->terms + s->plan->n_phrases;
    size_t n = 0;
    *rows = 0;
    while (n < s->plan->n && (*rows == 0 || *rows + t[s->order[n]].n_chunks <= SCORE_ROWS))
        *rows += (size_t)t[s->order[n++]].n_chunks;
    return n;
}

/* The most that a chunk can score which holds none of the first n terms. */
static double most_without(const struct searching *s, size_t n)
{
    double sum = 0;
    for (size_t i = n; i < s->plan->n; i++)
        sum += s->out->terms[s->plan->n_phrases + s->order[i]].idf * (K1 + 1);
    return sum;
}

static enum kt_status search(struct searching *s, size_t k, struct kt_error *err)
{
    const struct query_plan *p = s->plan;
    enum kt_status st = weigh(s, err);
    if (st)
        return st;
    sort_terms(s);
    size_t rows, n = first_terms(s, &rows);
    /* behind a filter the rare words' chunks may all be shut out */
    if (p->n_phrases || !s->scorer.allowed->all)
        n = p->n;
    st = run(s, n, false, err);
    s->out->exact =
        n == p->n || (s->out->n >= k && s->out->hits[k - 1].score >= most_without(s, n));
    s->out->n_rows = s->scorer.n_rows;
    return st;
}

enum kt_status score_search(struct score_result *out, struct kt_matter *m,
                            const struct query_plan *plan, const struct allowed *allowed,
                            const int64_t *excluded, size_t n_excluded, size_t depth, size_t k,
                            bool parts, struct kt_error *err)
{
    *out = (struct score_result){ .exact = true };
    if (!plan->n && !plan->n_phrases)
        return KT_OK;
    size_t n_terms = plan->n + plan->n_phrases;
    struct searching s = { .m = m, .plan = plan, .out = out, .depth = depth };
    s.scorer.allowed = allowed;
    s.scorer.excluded = excluded;
    s.scorer.n_excluded = n_excluded;
    s.scorer.n_terms = n_terms;
    out->hits = malloc((depth + 1) * sizeof(*out->hits));
    if (parts) {
        out->parts = calloc((depth + 1) * n_terms, sizeof(double));
        s.scorer.parts = calloc(n_terms, sizeof(double));
    }
    enum kt_status st = !out->hits || (parts && (!out->parts || !s.scorer.parts))
                            ? kt_fail(err, KT_E_NOMEM, "store: out of memory")
                            : register_function(m, err);
    m->scorer = &s.scorer;
    if (!st)
        st = search(&s, MIN(k, depth), err);
    m->scorer = NULL;
    free(s.scorer.parts);
    if (st)
        score_result_deinit(out);
    return st;
}

void score_result_deinit(struct score_result *r)
{
    free(r->hits);
    free(r->parts);
    r->hits = NULL;
    r->parts = NULL;
    r->n = 0;
}

enum kt_status score_chunks_with(struct kt_matter *m, struct span phrase, struct buf *out,
                                 struct kt_error *err)
{
    struct buf e = { 0 };
    sqlite3_stmt *q = NULL;
    query_quote(&e, phrase);
    enum kt_status st =
        e.failed
            ? kt_fail(err, KT_E_NOMEM, "store: out of memory for a query")
            : db_prepare(&q, m, "SELECT rowid FROM terms WHERE terms MATCH ?1 ORDER BY rowid", err);
    if (!st) {
        sqlite3_bind_text64(q, 1, e.ptr, e.len, SQLITE_STATIC, SQLITE_UTF8);
        int rc;
        while ((rc = sqlite3_step(q)) == SQLITE_ROW) {
            int64_t id = sqlite3_column_int64(q, 0);
            buf_append(out, &id, sizeof(id));
        }
        if (rc != SQLITE_DONE)
            st = db_fail(m, "search", err);
        else if (out->failed)
            st = kt_fail(err, KT_E_NOMEM, "store: out of memory for a query");
    }
    sqlite3_finalize(q);
    buf_deinit(&e);
    return st;
}
