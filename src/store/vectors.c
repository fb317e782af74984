/* store/vectors.c: see vectors.h. */
#include "store/vectors.h"

#include <math.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "store/store_priv.h"

/* The int8 order is nearly right: so many candidates for each wanted hit are read exactly. */
enum { CANDIDATES_PER_HIT = 3, CANDIDATES_MIN = 64, SCAN_BLOCK = 1024 };

void vec_cache_drop(struct vec_cache *c)
{
    free(c->q);
    free(c->scale);
    free(c->chunk_id);
    *c = (struct vec_cache){ 0 };
}

void vec_quantize(int8_t *q, float *scale, const float *v, size_t dim)
{
    float amax = 0;
    for (size_t i = 0; i < dim; i++)
        amax = fmaxf(amax, fabsf(v[i]));
    float inv = amax > 0 ? 127 / amax : 0;
    for (size_t i = 0; i < dim; i++)
        q[i] = (int8_t)lrintf(v[i] * inv);
    *scale = amax / 127;
}

/* ---- storing ---- */

static enum kt_status store_int8(struct kt_matter *m, int64_t doc_id, int64_t first_chunk,
                                 const struct kt_doc_put *d, struct kt_error *err)
{
    size_t n_bytes, scales = d->n_chunks * sizeof(float);
    if (!size_mul(&n_bytes, d->n_chunks, d->dim + sizeof(float)) || n_bytes > LIMIT_TEXT_BYTES)
        return kt_fail(err, KT_E_LIMIT,
                       "store: %zu vectors of %zu numbers are more than one document may have",
                       d->n_chunks, d->dim);
    uint8_t *blob = malloc(n_bytes);
    if (!blob)
        return kt_fail(err, KT_E_NOMEM, "store: out of memory for %zu vectors", d->n_chunks);
    for (size_t i = 0; i < d->n_chunks; i++) {
        float scale;
        vec_quantize((int8_t *)blob + scales + i * d->dim, &scale, d->vectors + i * d->dim, d->dim);
        memcpy(blob + i * sizeof(float), &scale, sizeof(float));
    }
    sqlite3_stmt *q;
    enum kt_status st = db_prepare(
        &q, m, "INSERT INTO vectors(doc_id, first_chunk, n, q) VALUES(?1,?2,?3,?4)", err);
    if (!st) {
        sqlite3_bind_int64(q, 1, doc_id);
        sqlite3_bind_int64(q, 2, first_chunk);
        sqlite3_bind_int64(q, 3, (sqlite3_int64)d->n_chunks);
        sqlite3_bind_blob64(q, 4, blob, n_bytes, SQLITE_STATIC);
        st = db_run(m, q, "store vectors", err);
        sqlite3_finalize(q);
    }
    free(blob);
    return st;
}

static enum kt_status store_exact(struct kt_matter *m, int64_t first_chunk,
                                  const struct kt_doc_put *d, struct kt_error *err)
{
    uint16_t *half = malloc(d->dim * sizeof(*half));
    if (!half)
        return kt_fail(err, KT_E_NOMEM, "store: out of memory");
    sqlite3_stmt *q;
    enum kt_status st =
        db_prepare(&q, m, "INSERT INTO vectors_exact(chunk_id, v) VALUES(?1,?2)", err);
    for (size_t i = 0; i < d->n_chunks && !st; i++) {
        m->kernels.f32_to_f16(half, d->vectors + i * d->dim, d->dim);
        sqlite3_bind_int64(q, 1, first_chunk + (sqlite3_int64)i);
        sqlite3_bind_blob64(q, 2, half, d->dim * sizeof(*half), SQLITE_STATIC);
        st = db_run(m, q, "store vectors", err);
    }
    sqlite3_finalize(q);
    free(half);
    return st;
}

enum kt_status vec_store(struct kt_matter *m, int64_t doc_id, int64_t first_chunk,
                         const struct kt_doc_put *d, struct kt_error *err)
{
    enum kt_status st = store_int8(m, doc_id, first_chunk, d, err);
    return st ? st : store_exact(m, first_chunk, d, err);
}

/* ---- loading ---- */

static enum kt_status one_number(int64_t *out, struct kt_matter *m, const char *sql,
                                 struct kt_error *err)
{
    sqlite3_stmt *q;
    enum kt_status st = db_prepare(&q, m, sql, err);
    if (st)
        return st;
    if (sqlite3_step(q) == SQLITE_ROW)
        *out = sqlite3_column_int64(q, 0);
    else
        st = db_fail(m, "read", err);
    sqlite3_finalize(q);
    return st;
}

/* One document's row appended to the cache; the blob must be exactly as long as n and dim say. */
static bool take_row(struct vec_cache *c, size_t cap, sqlite3_stmt *q)
{
    int64_t first = sqlite3_column_int64(q, 0), n = sqlite3_column_int64(q, 1);
    const uint8_t *blob = sqlite3_column_blob(q, 2);
    size_t n_bytes = (size_t)sqlite3_column_bytes(q, 2);
    if (n < 1 || (uint64_t)n > cap - c->n || !blob ||
        n_bytes != (size_t)n * (c->dim + sizeof(float)))
        return false;
    memcpy(c->scale + c->n, blob, (size_t)n * sizeof(float));
    memcpy(c->q + c->n * c->dim, blob + (size_t)n * sizeof(float), (size_t)n * c->dim);
    for (int64_t i = 0; i < n; i++)
        c->chunk_id[c->n++] = first + i;
    return true;
}

static enum kt_status load_rows(struct kt_matter *m, struct vec_cache *c, size_t cap,
                                struct kt_error *err)
{
    sqlite3_stmt *q;
    enum kt_status st =
        db_prepare(&q, m, "SELECT first_chunk, n, q FROM vectors ORDER BY first_chunk", err);
    if (st)
        return st;
    int rc;
    while (!st && (rc = sqlite3_step(q)) == SQLITE_ROW)
        if (!take_row(c, cap, q))
            st = kt_fail(err, KT_E_FORMAT,
                         "%s: the stored vectors do not fit their own sizes; index again", m->dir);
    if (!st && rc != SQLITE_DONE)
        st = db_fail(m, "read vectors", err);
    sqlite3_finalize(q);
    return st;
}

static enum kt_status cache_load(struct kt_matter *m, size_t dim, struct kt_error *err)
{
    struct vec_cache c = { .dim = dim };
    int64_t total = 0;
    enum kt_status st = one_number(&c.data_version, m, "PRAGMA data_version", err);
    if (!st && m->vectors.loaded && m->vectors.data_version == c.data_version)
        return KT_OK;
    if (!st)
        st = one_number(&total, m, "SELECT coalesce(sum(n), 0) FROM vectors", err);
    if (st)
        return st;
    size_t cap = (size_t)total, n_bytes;
    if (total < 0 || !size_mul(&n_bytes, cap + 1, dim))
        return kt_fail(err, KT_E_FORMAT,
                       "%s: the stored vectors do not fit their own sizes; index again", m->dir);
    vec_cache_drop(&m->vectors);
    c.q = malloc(n_bytes);
    c.scale = malloc((cap + 1) * sizeof(*c.scale));
    c.chunk_id = malloc((cap + 1) * sizeof(*c.chunk_id));
    st = c.q && c.scale && c.chunk_id
             ? load_rows(m, &c, cap, err)
             : kt_fail(err, KT_E_NOMEM, "store: out of memory for %zu vectors", cap);
    if (st) {
        vec_cache_drop(&c);
        return st;
    }
    c.loaded = true;
    m->vectors = c;
    return KT_OK;
}

/* ---- searching ---- */

/* Best first; equal ones in the order they were stored, so that the same query always gives the
 * same list. */
static bool better(const struct vec_hit *a, const struct vec_hit *b)
{
    return a->cosine > b->cosine || (a->cosine == b->cosine && a->chunk_id < b->chunk_id);
}

static int by_rank(const void *a, const void *b)
{
    return better(b, a) - better(a, b);
}

/* A heap whose root is the worst of the best seen so far. */
static void sift_down(struct vec_hit *heap, size_t n)
{
    for (size_t i = 0;;) {
        size_t worst = i;
        for (size_t child = 2 * i + 1; child <= 2 * i + 2 && child < n; child++)
            if (better(&heap[worst], &heap[child]))
                worst = child;
        if (worst == i)
            return;
        struct vec_hit t = heap[i];
        heap[i] = heap[worst];
        heap[worst] = t;
        i = worst;
    }
}

static void offer(struct vec_hit *heap, size_t *n, size_t cap, struct vec_hit h)
{
    if (*n < cap) {
        size_t i = (*n)++;
        heap[i] = h;
        while (i && better(&heap[(i - 1) / 2], &heap[i])) {
            struct vec_hit t = heap[i];
            heap[i] = heap[(i - 1) / 2];
            heap[(i - 1) / 2] = t;
            i = (i - 1) / 2;
        }
    } else if (better(&h, &heap[0])) {
        heap[0] = h;
        sift_down(heap, *n);
    }
}

static void scan(const struct kt_matter *m, const int8_t *query, const struct allowed *allowed,
                 struct vec_hit *heap, size_t *n, size_t cap)
{
    const struct vec_cache *c = &m->vectors;
    int32_t dots[SCAN_BLOCK];
    for (size_t at = 0; at < c->n; at += SCAN_BLOCK) {
        size_t count = MIN(c->n - at, (size_t)SCAN_BLOCK);
        m->kernels.scan_i8(dots, c->q + at * c->dim, query, c->dim, count);
        for (size_t i = 0; i < count; i++) {
            struct vec_hit h = { c->chunk_id[at + i], (float)dots[i] * c->scale[at + i] };
            if (*n == cap && !better(&h, &heap[0]))
                continue;
            if (allowed_has(allowed, h.chunk_id))
                offer(heap, n, cap, h);
        }
    }
}

/* The f16 row under q, already bound, as floats; *found is false when the chunk has no vector. */
static enum kt_status read_exact(struct kt_matter *m, sqlite3_stmt *q, uint16_t *half, float *exact,
                                 size_t dim, bool *found, struct kt_error *err)
{
    int rc = sqlite3_step(q);
    *found = rc == SQLITE_ROW;
    if (rc != SQLITE_ROW && rc != SQLITE_DONE)
        return db_fail(m, "read vectors", err);
    if (*found && (size_t)sqlite3_column_bytes(q, 0) != dim * sizeof(*half))
        return kt_fail(err, KT_E_FORMAT,
                       "%s: a stored vector has another size than the matter's; index again",
                       m->dir);
    if (*found) {
        memcpy(half, sqlite3_column_blob(q, 0), dim * sizeof(*half));
        m->kernels.f16_to_f32(exact, half, dim);
    }
    sqlite3_reset(q);
    return KT_OK;
}

enum kt_status vec_cosines(struct kt_matter *m, const float *v, size_t dim, struct vec_hit *hits,
                           size_t n, struct kt_error *err)
{
    float *exact = malloc(dim * sizeof(*exact));
    uint16_t *half = malloc(dim * sizeof(*half));
    sqlite3_stmt *q = NULL;
    enum kt_status st =
        exact && half ? db_prepare(&q, m, "SELECT v FROM vectors_exact WHERE chunk_id = ?1", err)
                      : kt_fail(err, KT_E_NOMEM, "store: out of memory");
    for (size_t i = 0; i < n && !st; i++) {
        bool found;
        sqlite3_bind_int64(q, 1, hits[i].chunk_id);
        st = read_exact(m, q, half, exact, dim, &found, err);
        if (!st)
            hits[i].cosine = found ? m->kernels.dot_f32(v, exact, dim) : 0;
    }
    sqlite3_finalize(q);
    free(half);
    free(exact);
    return st;
}

enum kt_status vec_search(struct kt_matter *m, const float *v, size_t dim, size_t n_max,
                          const struct allowed *allowed, struct vec_hit **out, size_t *n,
                          struct kt_error *err)
{
    *out = NULL;
    *n = 0;
    enum kt_status st = cache_load(m, dim, err);
    if (st)
        return st;
    size_t cap = MIN(m->vectors.n, MAX(n_max * CANDIDATES_PER_HIT, (size_t)CANDIDATES_MIN));
    struct vec_hit *heap = malloc((cap + 1) * sizeof(*heap));
    int8_t *query = malloc(dim);
    if (!heap || !query) {
        st = kt_fail(err, KT_E_NOMEM, "store: out of memory");
    } else if (cap) {
        float scale; /* of the query: the same for all, so it does not change the order */
        vec_quantize(query, &scale, v, dim);
        scan(m, query, allowed, heap, n, cap);
        st = vec_cosines(m, v, dim, heap, *n, err);
    }
    free(query);
    if (st) {
        free(heap);
        *n = 0;
        return st;
    }
    qsort(heap, *n, sizeof(*heap), by_rank);
    *n = MIN(*n, n_max);
    *out = heap;
    return KT_OK;
}

/* ---- taking over ---- */

/* One chunk with its vector; *go_on as fn says. */
static enum kt_status hand_over(struct kt_matter *m, sqlite3_stmt *q, kt_vector_fn fn, void *ctx,
                                bool *go_on, struct kt_error *err)
{
    struct buf text = { 0 };
    size_t n_bytes = (size_t)sqlite3_column_bytes(q, 4), dim = n_bytes / sizeof(uint16_t);
    uint16_t *half = malloc(n_bytes + 1);
    float *v = malloc((dim + 1) * sizeof(*v));
    enum kt_status st = half && v ? KT_OK : kt_fail(err, KT_E_NOMEM, "store: out of memory");
    if (!st)
        st = text_slice(m, sqlite3_column_int64(q, 0), (size_t)sqlite3_column_int64(q, 2),
                        (size_t)sqlite3_column_int64(q, 3), &text, err);
    if (!st && dim) {
        memcpy(half, sqlite3_column_blob(q, 4), dim * sizeof(*half));
        m->kernels.f16_to_f32(v, half, dim);
        *go_on = fn(ctx, (const char *)sqlite3_column_text(q, 1), text.ptr ? text.ptr : "",
                    text.len, v, dim);
    }
    buf_deinit(&text);
    free(v);
    free(half);
    return st;
}

enum kt_status kt_matter_vectors(struct kt_matter *m, const char *path, kt_vector_fn fn, void *ctx,
                                 struct kt_error *err)
{
    char *below = path ? document_folder(path) : NULL;
    if (path && !below)
        return kt_fail(err, KT_E_NOMEM, "store: out of memory");
    sqlite3_stmt *q;
    enum kt_status st =
        db_prepare(&q, m,
                   "SELECT d.id, d.title, c.start, c.stop, v.v FROM (SELECT id, title FROM "
                   "documents" DOCUMENTS_AT_OR_BELOW
                   ") d JOIN chunks c ON c.doc_id = d.id JOIN vectors_exact v ON v.chunk_id = c.id",
                   err);
    if (!st && below)
        sqlite3_bind_text(q, 1, below, -1, SQLITE_STATIC);
    int rc = SQLITE_DONE;
    bool go_on = true;
    while (!st && go_on && (rc = sqlite3_step(q)) == SQLITE_ROW)
        st = hand_over(m, q, fn, ctx, &go_on, err);
    if (!st && rc != SQLITE_DONE && rc != SQLITE_ROW)
        st = db_fail(m, "read vectors", err);
    sqlite3_finalize(q);
    free(below);
    return st;
}
