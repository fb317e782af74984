/* store/vectors.c: see vectors.h. */
#include "store/vectors.h"

#include <inttypes.h>
#include <math.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/pool.h"
#include "base/size.h"
#include "store/store_priv.h"

/* The int8 order is nearly right: so many candidates for each wanted hit are read exactly. */
enum {
    CANDIDATES_PER_HIT = 3,
    CANDIDATES_MIN = 64,
    SCAN_BLOCK = 1024,
    SCAN_THREADS = 16,
    SCAN_ALONE_BYTES = 16 << 20
};

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

/* Room for so many more; what is there stays also on failure. */
static bool cache_reserve(struct vec_cache *c, size_t more)
{
    size_t cap = c->n + more, n_bytes;
    if (cap <= c->cap)
        return true;
    if (c->cap) /* grown before: it will again */
        cap += cap / 8;
    if (!size_mul(&n_bytes, cap + 1, c->dim))
        return false;
    int8_t *q = realloc(c->q, n_bytes);
    c->q = q ? q : c->q;
    float *scale = realloc(c->scale, (cap + 1) * sizeof(*scale));
    c->scale = scale ? scale : c->scale;
    int64_t *id = realloc(c->chunk_id, (cap + 1) * sizeof(*id));
    c->chunk_id = id ? id : c->chunk_id;
    if (!q || !scale || !id)
        return false;
    c->cap = cap;
    return true;
}

/* One document's row appended to the cache; the blob must be exactly as long as n and dim say. */
static enum kt_status take_row(struct kt_matter *m, sqlite3_stmt *q, struct kt_error *err)
{
    struct vec_cache *c = &m->vectors;
    int64_t first = sqlite3_column_int64(q, 0), n = sqlite3_column_int64(q, 1);
    const uint8_t *blob = sqlite3_column_blob(q, 2);
    size_t n_bytes = (size_t)sqlite3_column_bytes(q, 2);
    if (n < 1 || n > LIMIT_PLACES || !blob || n_bytes != (size_t)n * (c->dim + sizeof(float)))
        return kt_fail(err, KT_E_FORMAT,
                       "%s: the stored vectors do not fit their own sizes; index again", m->dir);
    if (!cache_reserve(c, (size_t)n))
        return kt_fail(err, KT_E_NOMEM, "store: out of memory for %zu vectors", c->n + (size_t)n);
    memcpy(c->scale + c->n, blob, (size_t)n * sizeof(float));
    memcpy(c->q + c->n * c->dim, blob + (size_t)n * sizeof(float), (size_t)n * c->dim);
    for (int64_t i = 0; i < n; i++)
        c->chunk_id[c->n++] = first + i;
    c->last_doc = MAX(c->last_doc, sqlite3_column_int64(q, 3));
    return KT_OK;
}

static enum kt_status load_rows(struct kt_matter *m, struct kt_error *err)
{
    sqlite3_stmt *q;
    enum kt_status st = db_prepare(
        &q, m, "SELECT first_chunk, n, q, doc_id FROM vectors WHERE doc_id > ?1 ORDER BY doc_id",
        err);
    if (st)
        return st;
    sqlite3_bind_int64(q, 1, m->vectors.last_doc);
    int rc;
    while (!st && (rc = sqlite3_step(q)) == SQLITE_ROW)
        st = take_row(m, q, err);
    if (!st && rc != SQLITE_DONE)
        st = db_fail(m, "read vectors", err);
    sqlite3_finalize(q);
    return st;
}

static enum kt_status read_stamp(struct kt_matter *m, char out[static 96], struct kt_error *err)
{
    char *taken = NULL, *embedder = NULL;
    enum kt_status st = meta_get(m, "taken", &taken, err);
    if (!st)
        st = meta_get(m, "embedder", &embedder, err);
    if (!st)
        snprintf(out, 96, "%.24s/%.64s", taken ? taken : "", embedder ? embedder : "");
    free(taken);
    free(embedder);
    return st;
}

/* Documents' ids only grow and a document's vectors never change, so what was added since is behind the last one; after a removal
 * all is read again. */
static enum kt_status cache_load(struct kt_matter *m, size_t dim, struct kt_error *err)
{
    struct vec_cache *c = &m->vectors;
    int64_t version = 0, total = 0;
    char stamp[96];
    enum kt_status st = one_number(&version, m, "PRAGMA data_version", err);
    if (st || (c->loaded && !c->stale && c->data_version == version))
        return st;
    st = read_stamp(m, stamp, err);
    if (st)
        return st;
    if (!c->loaded || c->dim != dim || strcmp(c->stamp, stamp) != 0) {
        vec_cache_drop(c);
        c->dim = dim;
        memcpy(c->stamp, stamp, sizeof(stamp));
        st = one_number(&total, m, "SELECT coalesce(sum(n), 0) FROM vectors", err);
        if (!st && (total < 0 || !cache_reserve(c, (size_t)total)))
            st = kt_fail(err, KT_E_NOMEM, "store: out of memory for %" PRId64 " vectors", total);
    }
    if (!st)
        st = load_rows(m, err);
    if (st) {
        vec_cache_drop(c);
        return st;
    }
    c->loaded = true;
    c->stale = false;
    c->data_version = version;
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

/* One search's pass over the vectors: a heap for each thread, put together at the end. The order of hits is total, so the result does
 * not depend on who scanned what. */
struct scanning {
    const struct kt_matter *m;
    const int8_t *query;
    const struct allowed *allowed;
    struct vec_hit *heaps; /* [threads, cap] */
    size_t n[SCAN_THREADS], cap;
};

static void scan_range(void *ctx, size_t from, size_t to, size_t thread)
{
    struct scanning *s = ctx;
    const struct vec_cache *c = &s->m->vectors;
    struct vec_hit *heap = s->heaps + thread * s->cap;
    size_t *n = &s->n[thread];
    int32_t dots[SCAN_BLOCK];
    for (size_t at = from; at < to; at += SCAN_BLOCK) {
        size_t count = MIN(to - at, (size_t)SCAN_BLOCK);
        s->m->kernels.scan_i8(dots, c->q + at * c->dim, s->query, c->dim, count);
        for (size_t i = 0; i < count; i++) {
            struct vec_hit h = { c->chunk_id[at + i], (float)dots[i] * c->scale[at + i] };
            if (*n == s->cap && !better(&h, &heap[0]))
                continue;
            if (allowed_has(s->allowed, h.chunk_id))
                offer(heap, n, s->cap, h);
        }
    }
}

/* Threads only for matters so large that a pass takes longer than waking them; without them it is the same. */
static struct pool *scan_pool(struct kt_matter *m)
{
    if (m->vectors.n * m->vectors.dim < SCAN_ALONE_BYTES)
        return NULL;
    struct kt_error ignored;
    if (!m->pool && pool_create(&m->pool, 0, &ignored))
        m->pool = NULL;
    if (m->pool && pool_threads(m->pool) > SCAN_THREADS) {
        pool_destroy(m->pool);
        m->pool = NULL;
        if (pool_create(&m->pool, SCAN_THREADS, &ignored))
            m->pool = NULL;
    }
    return m->pool;
}

/* The best cap of all, in heap order of no use to anybody: the caller sorts. */
static enum kt_status scan(struct kt_matter *m, const int8_t *query, const struct allowed *allowed,
                           struct vec_hit *heap, size_t *n, size_t cap, struct kt_error *err)
{
    struct pool *pool = scan_pool(m);
    size_t n_threads = pool_threads(pool), bytes;
    struct scanning s = { .m = m, .query = query, .allowed = allowed, .cap = cap };
    if (!size_mul(&bytes, n_threads * cap, sizeof(*s.heaps)) || !(s.heaps = malloc(bytes)))
        return kt_fail(err, KT_E_NOMEM, "store: out of memory");
    pool_for(pool, m->vectors.n, SCAN_BLOCK, scan_range, &s);
    for (size_t t = 0; t < n_threads; t++)
        for (size_t i = 0; i < s.n[t]; i++)
            offer(heap, n, cap, s.heaps[t * cap + i]);
    free(s.heaps);
    return KT_OK;
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
        st = scan(m, query, allowed, heap, n, cap, err);
        if (!st)
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
