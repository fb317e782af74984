/* store/put.c: documents in. What is handed over is checked first; then one transaction takes out
 * what stood under the path and puts in text, places, chunks, terms and vectors. */
#include <math.h>
#include <stdio.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "base/utf8.h"
#include "store/facts.h"
#include "store/index.h"
#include "store/store_priv.h"

/* ---- what a caller may hand over ---- */

static bool char_boundary(const struct kt_doc_put *d, size_t at)
{
    return at == d->text_len || !utf8_is_continuation(d->text[at]);
}

static bool place_ok(const struct kt_doc_put *d, const struct kt_place *p)
{
    return p->start <= p->end && p->end <= d->text_len && char_boundary(d, p->start) &&
           char_boundary(d, p->end) && isfinite(p->box[0]) && isfinite(p->box[1]) &&
           isfinite(p->box[2]) && isfinite(p->box[3]);
}

static enum kt_status check_places(const struct kt_doc_put *d, const struct kt_place *p, size_t n,
                                   const char *what, struct kt_error *err)
{
    if (n > LIMIT_PLACES)
        return kt_fail(err, KT_E_LIMIT, "%s: %zu %s, at most %d; split the file", d->path, n, what,
                       LIMIT_PLACES);
    for (size_t i = 0; i < n; i++)
        if (!place_ok(d, &p[i]) || (i && p[i].start < p[i - 1].start))
            return kt_fail(
                err, KT_E_USAGE,
                "%s: place %zu of the %s is [%zu, %zu) in %zu bytes of text, expected whole "
                "characters in order",
                d->path, i, what, p[i].start, p[i].end, d->text_len);
    return KT_OK;
}

static enum kt_status check_vectors(const struct kt_doc_put *d, struct kt_error *err)
{
    if (!d->vectors)
        return KT_OK;
    if (d->dim < 1 || d->dim > LIMIT_DIM)
        return kt_fail(err, KT_E_USAGE, "%s: vectors of %zu numbers, expected 1 to %d", d->path,
                       d->dim, LIMIT_DIM);
    for (size_t i = 0; i < d->n_chunks * d->dim; i++)
        if (!(fabsf(d->vectors[i]) <= 1.01f))
            return kt_fail(err, KT_E_USAGE, "%s: vector %zu is not of length 1 (a value of %g)",
                           d->path, i / d->dim, (double)d->vectors[i]);
    return KT_OK;
}

static bool short_text_ok(const char *s)
{
    return !s || (strlen(s) <= LIMIT_SHORT_TEXT && utf8_valid(span_of(s)));
}

static enum kt_status check_put(const struct kt_doc_put *d, struct kt_error *err)
{
    enum kt_status st = document_check_path(d->path, err);
    if (st)
        return st;
    if (d->text_len > LIMIT_TEXT_BYTES)
        return kt_fail(err, KT_E_LIMIT, "%s: %zu bytes of text, at most %d; split the file",
                       d->path, d->text_len, LIMIT_TEXT_BYTES);
    if (d->state == KT_DOC_INDEXED ? !d->text || !utf8_valid((struct span){ d->text, d->text_len })
                                   : d->text || d->n_chunks || d->n_blocks)
        return kt_fail(err, KT_E_USAGE,
                       "%s: an indexed document has UTF-8 text, any other has none", d->path);
    if (!short_text_ok(d->title) || !short_text_ok(d->format) || !short_text_ok(d->reason))
        return kt_fail(err, KT_E_USAGE,
                       "%s: title, format and reason are UTF-8 of at most %d bytes", d->path,
                       LIMIT_SHORT_TEXT);
    st = check_places(d, d->blocks, d->n_blocks, "blocks", err);
    if (!st)
        st = check_places(d, d->chunks, d->n_chunks, "chunks", err);
    return st ? st : check_vectors(d, err);
}

/* ---- putting in ---- */

static void bind_text(sqlite3_stmt *q, int i, const char *s)
{
    if (s)
        sqlite3_bind_text(q, i, s, -1, SQLITE_STATIC);
}

static enum kt_status put_document(struct kt_matter *m, const struct kt_doc_put *d, int64_t *doc_id,
                                   struct kt_error *err)
{
    sqlite3_stmt *q;
    enum kt_status st =
        db_prepare(&q, m,
                   "INSERT INTO documents(path, state, reason, title, format, hash, size, "
                   "mtime_ns, n_pages, n_chunks, text_len) "
                   "VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11)",
                   err);
    if (st)
        return st;
    bind_text(q, 1, d->path);
    sqlite3_bind_int(q, 2, (int)d->state);
    bind_text(q, 3, d->reason);
    bind_text(q, 4, d->title);
    bind_text(q, 5, d->format);
    sqlite3_bind_blob(q, 6, d->hash, sizeof(d->hash), SQLITE_STATIC);
    sqlite3_bind_int64(q, 7, d->size);
    sqlite3_bind_int64(q, 8, d->mtime_ns);
    sqlite3_bind_int64(q, 9, d->n_pages);
    sqlite3_bind_int64(q, 10, (sqlite3_int64)d->n_chunks);
    sqlite3_bind_int64(q, 11, (sqlite3_int64)d->text_len);
    st = db_run(m, q, "store a document", err);
    sqlite3_finalize(q);
    *doc_id = sqlite3_last_insert_rowid(m->db);
    return st;
}

static enum kt_status put_segments(struct kt_matter *m, const struct kt_doc_put *d, int64_t doc_id,
                                   struct kt_error *err)
{
    sqlite3_stmt *q;
    enum kt_status st =
        db_prepare(&q, m, "INSERT INTO segments(doc_id, seq, text) VALUES(?1,?2,?3)", err);
    for (size_t at = 0; at < d->text_len && !st; at += SEGMENT_BYTES) {
        sqlite3_bind_int64(q, 1, doc_id);
        sqlite3_bind_int64(q, 2, (sqlite3_int64)(at / SEGMENT_BYTES));
        sqlite3_bind_blob64(q, 3, d->text + at, MIN(d->text_len - at, (size_t)SEGMENT_BYTES),
                            SQLITE_STATIC);
        st = db_run(m, q, "store text", err);
    }
    sqlite3_finalize(q);
    return st;
}

static void bind_place(sqlite3_stmt *q, int i, const struct kt_place *p)
{
    sqlite3_bind_int64(q, i, (sqlite3_int64)p->start);
    sqlite3_bind_int64(q, i + 1, (sqlite3_int64)p->end);
    sqlite3_bind_int64(q, i + 2, p->page);
    sqlite3_bind_int64(q, i + 3, p->para);
    sqlite3_bind_blob(q, i + 4, p->box, sizeof(p->box), SQLITE_STATIC);
}

static enum kt_status put_blocks(struct kt_matter *m, const struct kt_doc_put *d, int64_t doc_id,
                                 struct kt_error *err)
{
    sqlite3_stmt *q;
    enum kt_status st = db_prepare(&q, m,
                                   "INSERT INTO blocks(doc_id, seq, start, stop, page, para, box) "
                                   "VALUES(?1,?2,?3,?4,?5,?6,?7)",
                                   err);
    for (size_t i = 0; i < d->n_blocks && !st; i++) {
        sqlite3_bind_int64(q, 1, doc_id);
        sqlite3_bind_int64(q, 2, (sqlite3_int64)i);
        bind_place(q, 3, &d->blocks[i]);
        st = db_run(m, q, "store places", err);
    }
    sqlite3_finalize(q);
    return st;
}

static enum kt_status next_chunk_id(struct kt_matter *m, int64_t *out, struct kt_error *err)
{
    *out = 0;
    sqlite3_stmt *q;
    enum kt_status st = db_prepare(&q, m, "SELECT coalesce(max(id), 0) + 1 FROM chunks", err);
    if (st)
        return st;
    if (sqlite3_step(q) == SQLITE_ROW)
        *out = sqlite3_column_int64(q, 0);
    else
        st = db_fail(m, "read chunks", err);
    sqlite3_finalize(q);
    return st;
}

static enum kt_status put_chunk(struct kt_matter *m, sqlite3_stmt *row, sqlite3_stmt *index,
                                int64_t doc_id, int64_t id, size_t seq, const struct kt_place *p,
                                struct span text, struct kt_error *err)
{
    struct buf parts = { 0 };
    index_parts(m, text, &parts);
    if (parts.failed)
        return buf_deinit(&parts),
               kt_fail(err, KT_E_NOMEM, "store: out of memory for the terms of a chunk");
    sqlite3_bind_int64(row, 1, id);
    sqlite3_bind_int64(row, 2, doc_id);
    sqlite3_bind_int64(row, 3, (sqlite3_int64)seq);
    bind_place(row, 4, p);
    sqlite3_bind_text64(row, 9, parts.ptr ? parts.ptr : "", parts.len, SQLITE_STATIC, SQLITE_UTF8);
    enum kt_status st = db_run(m, row, "store chunks", err);
    if (!st)
        st = index_row(m, index, id, text, buf_span(&parts), err);
    buf_deinit(&parts);
    return st;
}

static enum kt_status put_chunks(struct kt_matter *m, const struct kt_doc_put *d, int64_t doc_id,
                                 int64_t first, struct kt_error *err)
{
    sqlite3_stmt *row = NULL, *index = NULL;
    struct span text = { d->text, d->text_len };
    enum kt_status st =
        db_prepare(&row, m,
                   "INSERT INTO chunks(id, doc_id, seq, start, stop, page, para, box, parts) "
                   "VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9)",
                   err);
    if (!st)
        st = index_prepare_put(&index, m, err);
    for (size_t i = 0; i < d->n_chunks && !st; i++)
        st = put_chunk(m, row, index, doc_id, first + (int64_t)i, i, &d->chunks[i],
                       span_sub(text, d->chunks[i].start, d->chunks[i].end), err);
    sqlite3_finalize(row);
    sqlite3_finalize(index);
    return st;
}

/* All vectors of a matter have one length: the first ones set it. */
static enum kt_status agree_on_dim(struct kt_matter *m, size_t dim, struct kt_error *err)
{
    char *known, text[24];
    enum kt_status st = meta_get(m, "dim", &known, err);
    if (st)
        return st;
    snprintf(text, sizeof(text), "%zu", dim);
    if (!known)
        st = meta_set(m, "dim", text, err);
    else if (strcmp(known, text))
        st =
            kt_fail(err, KT_E_USAGE,
                    "%s: vectors of %zu numbers, this matter has %s; set its embedder first, which "
                    "drops the old ones",
                    m->dir, dim, known);
    free(known);
    return st;
}

static enum kt_status put_all(struct kt_matter *m, const struct kt_doc_put *d, int64_t *id,
                              bool *replaced, struct kt_error *err)
{
    size_t n_taken = 0;
    int64_t doc_id = 0, first_chunk = 0;
    enum kt_status st = documents_take(m, d->path, true, &n_taken, err);
    if (!st)
        st = put_document(m, d, &doc_id, err);
    *id = doc_id;
    if (!st)
        st = put_segments(m, d, doc_id, err);
    if (!st && d->text_len)
        st = index_count_words(m, (struct span){ d->text, d->text_len }, 1, err);
    if (!st)
        st = put_blocks(m, d, doc_id, err);
    if (!st)
        st = facts_put(m, doc_id, d->format, (struct span){ d->text, d->text_len }, err);
    if (!st)
        st = next_chunk_id(m, &first_chunk, err);
    if (!st && d->n_chunks)
        st = put_chunks(m, d, doc_id, first_chunk, err);
    if (!st && d->n_chunks && d->vectors)
        st = agree_on_dim(m, d->dim, err);
    if (!st && d->n_chunks && d->vectors)
        st = vec_store(m, doc_id, first_chunk, d, err);
    *replaced = n_taken > 0;
    return st;
}

enum kt_status kt_matter_put(struct kt_matter *m, const struct kt_doc_put *d, struct kt_error *err)
{
    enum kt_status st = check_put(d, err);
    if (!st)
        st = db_begin(m, err);
    if (st)
        return st;
    bool replaced = false;
    int64_t id = 0;
    st = db_end(m, put_all(m, d, &id, &replaced, err), err);
    if (st)
        return st;
    matter_note(m, AUDIT_STORED, id, d->n_chunks);
    m->scrub_pending = m->scrub_pending || replaced;
    if (replaced)
        vec_cache_drop(&m->vectors);
    m->vectors.stale = true;
    df_cache_drop(&m->counts);
    return replaced ? originals_sweep(m, err) : KT_OK;
}
