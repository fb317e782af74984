/* bench/search_quality: how often the right passage is among the first 1 or 5.
 *
 *     search_quality PASSAGES.tsv QUERIES.tsv [PASSAGES.f32 QUERIES.f32 DIM]
 *
 * PASSAGES.tsv: one passage a line (its number is the line's). QUERIES.tsv: the right passage's
 * number, a tab, the question. With the two files of vectors (little-endian float32, one row a
 * line) dense and hybrid search are measured too. Prints recall at 1 and 5 for plain FTS5
 * (unicode61, the words OR-ed) and for each mode of the store. */
#include <math.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/files.h"
#include "base/span.h"
#include "kontor/store.h"

struct line {
    size_t passage;
    struct span text;
};

static struct kt_error err;

static void check(enum kt_status st)
{
    if (!st)
        return;
    fprintf(stderr, "search_quality: %s\n", err.text);
    exit(1);
}

static struct line *read_lines(const char *path, bool numbered, size_t *n, struct buf *file)
{
    check(file_read(file, path, 1u << 30, &err));
    struct line *lines = NULL;
    size_t at = 0;
    *n = 0;
    while (at < file->len) {
        size_t end = span_find(buf_span(file), SPAN("\n"), at);
        end = end == SIZE_MAX ? file->len : end;
        lines = realloc(lines, (*n + 1) * sizeof(*lines));
        if (!lines)
            exit(1);
        struct line l = { *n, span_sub(buf_span(file), at, end) };
        if (numbered) {
            char *rest;
            l.passage = strtoul(l.text.ptr, &rest, 10);
            l.text = span_sub(l.text, (size_t)(rest + 1 - l.text.ptr), l.text.len);
        }
        lines[(*n)++] = l;
        at = end + 1;
    }
    return lines;
}

static float *read_vectors(const char *path, size_t n)
{
    struct buf b = { 0 };
    check(file_read(&b, path, 1u << 30, &err));
    if (b.len != n * sizeof(float)) {
        fprintf(stderr, "%s: %zu bytes, expected %zu\n", path, b.len, n * sizeof(float));
        exit(1);
    }
    return (float *)(void *)buf_take(&b);
}

static void report(const char *name, size_t at1, size_t at5, size_t n, double seconds)
{
    printf("%-10s  R@1 %.3f  R@5 %.3f   %zu questions, %.2f ms each\n", name,
           (double)at1 / (double)n, (double)at5 / (double)n, n, 1e3 * seconds / (double)n);
}

/* ---- plain FTS5, for comparison ---- */

static void must(int rc)
{
    if (rc == SQLITE_OK || rc == SQLITE_DONE || rc == SQLITE_ROW)
        return;
    fprintf(stderr, "SQLite: %s\n", sqlite3_errstr(rc));
    exit(1);
}

/* The words of a question between quotation marks, OR-ed. */
static void plain_query(struct buf *out, struct span q)
{
    buf_clear(out);
    for (size_t i = 0; i < q.len;) {
        size_t from = i;
        while (i < q.len && !strchr(" ?.,;:!\"'()-", q.ptr[i]))
            i++;
        if (i > from)
            buf_printf(out, "%s\"%.*s\"", out->len ? " OR " : "", (int)(i - from), q.ptr + from);
        i++;
    }
}

static void plain(const struct line *p, size_t n_p, const struct line *q, size_t n_q)
{
    sqlite3 *db;
    sqlite3_stmt *s;
    must(sqlite3_open(":memory:", &db));
    must(sqlite3_exec(db, "CREATE VIRTUAL TABLE t USING fts5(x)", NULL, NULL, NULL));
    must(sqlite3_prepare_v2(db, "INSERT INTO t(rowid, x) VALUES(?1, ?2)", -1, &s, NULL));
    for (size_t i = 0; i < n_p; i++) {
        sqlite3_bind_int64(s, 1, (sqlite3_int64)i);
        sqlite3_bind_text(s, 2, p[i].text.ptr, (int)p[i].text.len, SQLITE_STATIC);
        must(sqlite3_step(s));
        sqlite3_reset(s);
    }
    sqlite3_finalize(s);
    must(sqlite3_prepare_v2(db, "SELECT rowid FROM t WHERE t MATCH ?1 ORDER BY rank LIMIT 5", -1,
                            &s, NULL));
    size_t at1 = 0, at5 = 0;
    struct buf expr = { 0 };
    uint64_t start = clock_now_ns();
    for (size_t i = 0; i < n_q; i++) {
        plain_query(&expr, q[i].text);
        sqlite3_bind_text(s, 1, expr.ptr, (int)expr.len, SQLITE_STATIC);
        int rc;
        for (int rank = 0; (rc = sqlite3_step(s)) == SQLITE_ROW; rank++)
            if ((size_t)sqlite3_column_int64(s, 0) == q[i].passage) {
                at1 += rank == 0;
                at5++;
            }
        must(rc);
        sqlite3_reset(s);
    }
    report("plain", at1, at5, n_q, (double)(clock_now_ns() - start) * 1e-9);
    buf_deinit(&expr);
    sqlite3_finalize(s);
    sqlite3_close(db);
}

/* ---- ours ---- */

static void fill(struct kt_matter *m, const struct line *p, size_t n, const float *vectors,
                 size_t dim)
{
    for (size_t i = 0; i < n; i++) {
        char path[32];
        snprintf(path, sizeof(path), "%zu", i);
        struct kt_place whole = { .end = p[i].text.len };
        struct kt_doc_put d = { .path = path,
                                .text = p[i].text.ptr,
                                .text_len = p[i].text.len,
                                .chunks = &whole,
                                .n_chunks = 1,
                                .vectors = vectors ? vectors + i * dim : NULL,
                                .dim = dim };
        check(kt_matter_put(m, &d, &err));
    }
}

static void measure(struct kt_matter *m, const char *name, enum kt_search_mode mode,
                    const struct line *q, size_t n, const float *vectors, size_t dim)
{
    size_t at1 = 0, at5 = 0;
    uint64_t start = clock_now_ns();
    for (size_t i = 0; i < n; i++) {
        char *text = strndup(q[i].text.ptr, q[i].text.len);
        struct kt_search_request rq = { .query = text,
                                        .vector = vectors ? vectors + i * dim : NULL,
                                        .dim = dim,
                                        .mode = mode,
                                        .k = 5 };
        struct kt_hit *hits;
        size_t n_hits;
        check(kt_matter_search(m, &rq, &hits, &n_hits, &err));
        for (size_t k = 0; k < n_hits; k++)
            if (strtoul(hits[k].path, NULL, 10) == q[i].passage) {
                at1 += k == 0;
                at5++;
            }
        kt_hits_free(hits, n_hits);
        free(text);
    }
    report(name, at1, at5, n, (double)(clock_now_ns() - start) * 1e-9);
}

int main(int argc, char **argv)
{
    if (argc != 3 && argc != 6) {
        fprintf(stderr,
                "usage: search_quality PASSAGES.tsv QUERIES.tsv [PASSAGES.f32 QUERIES.f32 DIM]\n");
        return 2;
    }
    struct buf pf = { 0 }, qf = { 0 };
    size_t n_p, n_q, dim = argc == 6 ? strtoul(argv[5], NULL, 10) : 0;
    struct line *p = read_lines(argv[1], false, &n_p, &pf),
                *q = read_lines(argv[2], true, &n_q, &qf);
    float *pv = dim ? read_vectors(argv[3], n_p * dim) : NULL,
          *qv = dim ? read_vectors(argv[4], n_q * dim) : NULL;
    plain(p, n_p, q, n_q);

    char home[] = "/tmp/kontor-quality-XXXXXX";
    struct kt_store *s;
    struct kt_matter *m;
    if (!mkdtemp(home))
        return 1;
    check(kt_store_open(&s, home, NULL, &err));
    check(kt_matter_open(&m, s, KT_DEFAULT_MATTER, KT_WRITE, &err));
    fill(m, p, n_p, pv, dim);
    measure(m, "lexical", KT_SEARCH_LEXICAL, q, n_q, NULL, 0);
    if (dim) {
        measure(m, "dense", KT_SEARCH_DENSE, q, n_q, qv, dim);
        measure(m, "hybrid", KT_SEARCH_HYBRID, q, n_q, qv, dim);
    }
    kt_matter_close(m);
    check(kt_matter_destroy(s, KT_DEFAULT_MATTER, &err));
    kt_store_close(s);
    free(p);
    free(q);
    free(pv);
    free(qv);
    buf_deinit(&pf);
    buf_deinit(&qf);
    fprintf(stderr, "the empty home stays in %s\n", home);
    return 0;
}
