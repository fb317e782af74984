/* store/documents.c: documents in, out, and read back. Every change is one transaction. */
#include <math.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "base/utf8.h"
#include "store/index.h"
#include "store/store_priv.h"
#include "store/terms.h"

const char *kt_doc_state_name(enum kt_doc_state s)
{
    switch (s) {
    case KT_DOC_INDEXED:
        return "indexed";
    case KT_DOC_SKIPPED:
        return "skipped";
    case KT_DOC_FAILED:
        return "failed";
    }
    return "unknown";
}

void kt_doc_info_deinit(struct kt_doc_info *d)
{
    free(d->path);
    free(d->reason);
    free(d->title);
    free(d->format);
    *d = (struct kt_doc_info){ 0 };
}

/* ---- what a caller may hand over ---- */

static bool char_boundary(const struct kt_doc_put *d, size_t at)
{
    return at == d->text_len || ((unsigned char)d->text[at] & 0xC0) != 0x80;
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

static enum kt_status check_path(const char *path, struct kt_error *err)
{
    if (!path || !*path || strlen(path) > LIMIT_PATH_BYTES)
        return kt_fail(err, KT_E_USAGE, "store: a document's path has 1 to %d bytes",
                       LIMIT_PATH_BYTES);
    return KT_OK;
}

static enum kt_status check_put(const struct kt_doc_put *d, struct kt_error *err)
{
    enum kt_status st = check_path(d->path, err);
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

/* ---- text ---- */

enum kt_status text_slice(struct kt_matter *m, int64_t doc_id, size_t start, size_t end,
                          struct buf *out, struct kt_error *err)
{
    if (start >= end)
        return KT_OK;
    sqlite3_stmt *q;
    enum kt_status st = db_prepare(
        &q, m, "SELECT text FROM segments WHERE doc_id=?1 AND seq BETWEEN ?2 AND ?3 ORDER BY seq",
        err);
    if (st)
        return st;
    size_t at = start / SEGMENT_BYTES * SEGMENT_BYTES, first = out->len;
    sqlite3_bind_int64(q, 1, doc_id);
    sqlite3_bind_int64(q, 2, (sqlite3_int64)(start / SEGMENT_BYTES));
    sqlite3_bind_int64(q, 3, (sqlite3_int64)((end - 1) / SEGMENT_BYTES));
    int rc;
    while ((rc = sqlite3_step(q)) == SQLITE_ROW) {
        struct span piece = { sqlite3_column_blob(q, 0), (size_t)sqlite3_column_bytes(q, 0) };
        buf_append_span(out, span_sub(piece, start > at ? start - at : 0, end - at));
        at += SEGMENT_BYTES;
    }
    if (rc != SQLITE_DONE)
        st = db_fail(m, "read text", err);
    else if (out->failed)
        st = kt_fail(err, KT_E_NOMEM, "store: out of memory for %zu bytes of text", end - start);
    else if (out->len - first != end - start)
        st = kt_fail(err, KT_E_NOTFOUND,
                     "store: the document has no bytes [%zu, %zu); it was changed or removed",
                     start, end);
    sqlite3_finalize(q);
    return st;
}

enum kt_status kt_matter_text(struct kt_matter *m, int64_t doc_id, size_t start, size_t end,
                              char **out, struct kt_error *err)
{
    *out = NULL;
    if (start > end || end > LIMIT_TEXT_BYTES)
        return kt_fail(err, KT_E_USAGE, "store: bytes [%zu, %zu) are no part of a text", start,
                       end);
    struct buf b = { 0 };
    enum kt_status st = text_slice(m, doc_id, start, end, &b, err);
    if (!st && start == end)
        buf_append(&b, "", 0);
    if (!st && !(*out = b.len ? buf_take(&b) : strdup("")))
        st = kt_fail(err, KT_E_NOMEM, "store: out of memory");
    buf_deinit(&b);
    return st;
}

enum kt_status kt_matter_place(struct kt_matter *m, int64_t doc_id, size_t offset,
                               struct kt_place *out, struct kt_error *err)
{
    *out = (struct kt_place){ 0 };
    sqlite3_stmt *q;
    enum kt_status st =
        db_prepare(&q, m,
                   "SELECT start, stop, page, para, box FROM blocks "
                   "WHERE doc_id=?1 AND start<=?2 ORDER BY start DESC, seq DESC LIMIT 1",
                   err);
    if (st)
        return st;
    sqlite3_bind_int64(q, 1, doc_id);
    sqlite3_bind_int64(q, 2, (sqlite3_int64)offset);
    int rc = sqlite3_step(q);
    if (rc == SQLITE_ROW && sqlite3_column_bytes(q, 4) == sizeof(out->box)) {
        out->start = (size_t)sqlite3_column_int64(q, 0);
        out->end = (size_t)sqlite3_column_int64(q, 1);
        out->page = (uint32_t)sqlite3_column_int64(q, 2);
        out->para = (uint32_t)sqlite3_column_int64(q, 3);
        memcpy(out->box, sqlite3_column_blob(q, 4), sizeof(out->box));
    } else if (rc == SQLITE_DONE || rc == SQLITE_ROW) {
        st = kt_fail(err, KT_E_NOTFOUND, "store: no block of document %lld holds byte %zu",
                     (long long)doc_id, offset);
    } else {
        st = db_fail(m, "read places", err);
    }
    sqlite3_finalize(q);
    return st;
}

/* ---- taking out ---- */

/* A chunk row together with the text around it, for putting it into the index or taking it out. */
struct chunk_row {
    int64_t id;
    size_t start, end;
    struct span parts;
};

static enum kt_status take_chunks(struct kt_matter *m, int64_t doc_id, const struct buf *text,
                                  struct kt_error *err)
{
    sqlite3_stmt *rows = NULL, *take = NULL;
    enum kt_status st =
        db_prepare(&rows, m, "SELECT id, start, stop, parts FROM chunks WHERE doc_id=?1", err);
    if (!st)
        st = index_prepare_take(&take, m, err);
    if (!st)
        sqlite3_bind_int64(rows, 1, doc_id);
    int rc = SQLITE_DONE;
    while (!st && (rc = sqlite3_step(rows)) == SQLITE_ROW) {
        struct span parts = { (const char *)sqlite3_column_text(rows, 3),
                              (size_t)sqlite3_column_bytes(rows, 3) };
        struct span body = span_sub(buf_span(text), (size_t)sqlite3_column_int64(rows, 1),
                                    (size_t)sqlite3_column_int64(rows, 2));
        st = index_row(m, take, sqlite3_column_int64(rows, 0), body, parts, err);
    }
    if (!st && rc != SQLITE_DONE)
        st = db_fail(m, "read chunks", err);
    sqlite3_finalize(rows);
    sqlite3_finalize(take);
    return st;
}

static enum kt_status doc_text_len(struct kt_matter *m, int64_t doc_id, size_t *out,
                                   struct kt_error *err)
{
    *out = 0;
    sqlite3_stmt *q;
    enum kt_status st = db_prepare(&q, m, "SELECT text_len FROM documents WHERE id=?1", err);
    if (st)
        return st;
    sqlite3_bind_int64(q, 1, doc_id);
    int rc = sqlite3_step(q);
    if (rc == SQLITE_ROW)
        *out = (size_t)sqlite3_column_int64(q, 0);
    else if (rc != SQLITE_DONE)
        st = db_fail(m, "read", err);
    sqlite3_finalize(q);
    return st;
}

static enum kt_status take_document(struct kt_matter *m, int64_t doc_id, struct kt_error *err)
{
    struct buf text = { 0 };
    size_t len;
    enum kt_status st = doc_text_len(m, doc_id, &len, err);
    if (!st)
        st = text_slice(m, doc_id, 0, len, &text, err);
    if (!st)
        st = take_chunks(m, doc_id, &text, err);
    buf_deinit(&text);
    sqlite3_stmt *q = NULL;
    if (!st)
        st = db_prepare(&q, m, "DELETE FROM documents WHERE id=?1", err);
    if (!st) {
        sqlite3_bind_int64(q, 1, doc_id);
        st = db_run(m, q, "remove", err);
    }
    sqlite3_finalize(q);
    return st;
}

/* The documents at or below 'path': ids[n], heap. '0' is the character after '/'. */
static const char AT_OR_BELOW[] =
    " WHERE ?1 IS NULL OR path = ?1 OR (path > ?1 || '/' AND path < ?1 || '0')";

/* "/a/b/" means "/a/b"; the root is the empty prefix. Heap. */
static char *folder_prefix(const char *path)
{
    size_t n = strlen(path);
    while (n && path[n - 1] == '/')
        n--;
    return strndup(path, n);
}

static enum kt_status ids_below(struct kt_matter *m, const char *path, bool exact, int64_t **ids,
                                size_t *n, struct kt_error *err)
{
    *ids = NULL;
    *n = 0;
    struct buf sql = { 0 }, found = { 0 };
    buf_printf(&sql, "SELECT id FROM documents%s", exact ? " WHERE path = ?1" : AT_OR_BELOW);
    sqlite3_stmt *q = NULL;
    enum kt_status st = sql.failed ? kt_fail(err, KT_E_NOMEM, "store: out of memory")
                                   : db_prepare(&q, m, sql.ptr, err);
    if (!st && path)
        sqlite3_bind_text(q, 1, path, -1, SQLITE_STATIC);
    int rc = SQLITE_DONE;
    while (!st && (rc = sqlite3_step(q)) == SQLITE_ROW) {
        int64_t id = sqlite3_column_int64(q, 0);
        buf_append(&found, &id, sizeof(id));
    }
    if (!st && rc != SQLITE_DONE)
        st = db_fail(m, "read", err);
    if (!st && found.failed)
        st = kt_fail(err, KT_E_NOMEM, "store: out of memory");
    sqlite3_finalize(q);
    buf_deinit(&sql);
    if (st) {
        buf_deinit(&found);
        return st;
    }
    *n = found.len / sizeof(int64_t);
    *ids = (int64_t *)(void *)buf_take(&found);
    return KT_OK;
}

/* Take out every document that ids_below() finds, and note that a scrub is due. */
static enum kt_status take_below(struct kt_matter *m, const char *path, bool exact, size_t *n_taken,
                                 struct kt_error *err)
{
    int64_t *ids;
    enum kt_status st = ids_below(m, path, exact, &ids, n_taken, err);
    for (size_t i = 0; i < *n_taken && !st; i++)
        st = take_document(m, ids[i], err);
    if (!st && *n_taken)
        st = meta_set(m, "scrub", "1", err);
    free(ids);
    return st;
}

enum kt_status kt_matter_remove(struct kt_matter *m, const char *path, size_t *n_removed,
                                struct kt_error *err)
{
    *n_removed = 0;
    char *prefix = path ? folder_prefix(path) : NULL;
    if (path && !prefix)
        return kt_fail(err, KT_E_NOMEM, "store: out of memory");
    enum kt_status st = db_begin(m, err);
    size_t n = 0;
    if (!st)
        st = db_end(m, take_below(m, prefix, false, &n, err), err);
    free(prefix);
    if (st)
        return st;
    vec_cache_drop(&m->vectors);
    wordset_deinit(&m->words);
    m->words_loaded = false;
    *n_removed = n;
    m->scrub_pending = m->scrub_pending || n;
    return m->scrub_pending ? matter_scrub(m, err) : KT_OK;
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
    enum kt_status st = index_learn(m, text, err);
    if (!st)
        st = db_prepare(&row, m,
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

static enum kt_status put_all(struct kt_matter *m, const struct kt_doc_put *d, bool *replaced,
                              struct kt_error *err)
{
    size_t n_taken = 0;
    int64_t doc_id = 0, first_chunk = 0;
    enum kt_status st = take_below(m, d->path, true, &n_taken, err);
    if (!st)
        st = put_document(m, d, &doc_id, err);
    if (!st)
        st = put_segments(m, d, doc_id, err);
    if (!st)
        st = put_blocks(m, d, doc_id, err);
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
    st = db_end(m, put_all(m, d, &replaced, err), err);
    if (st)
        return st;
    m->scrub_pending = m->scrub_pending || replaced;
    vec_cache_drop(&m->vectors);
    return KT_OK;
}

/* ---- finding ---- */

#define DOC_COLUMNS                                                                                \
    "SELECT id, path, state, reason, title, format, hash, size, mtime_ns, n_pages, n_chunks, "     \
    "EXISTS(SELECT 1 FROM vectors WHERE doc_id = documents.id) FROM documents"

static char *column_dup(sqlite3_stmt *q, int i, bool *failed)
{
    if (sqlite3_column_type(q, i) == SQLITE_NULL)
        return NULL;
    const char *s = (const char *)sqlite3_column_text(q, i);
    char *copy = s ? strdup(s) : NULL;
    *failed = *failed || !copy;
    return copy;
}

static enum kt_status read_doc(struct kt_doc_info *d, sqlite3_stmt *q, struct kt_error *err)
{
    bool failed = false;
    *d = (struct kt_doc_info){ .id = sqlite3_column_int64(q, 0),
                               .state = (enum kt_doc_state)sqlite3_column_int(q, 2),
                               .size = sqlite3_column_int64(q, 7),
                               .mtime_ns = sqlite3_column_int64(q, 8),
                               .n_pages = (uint32_t)sqlite3_column_int64(q, 9),
                               .n_chunks = (uint32_t)sqlite3_column_int64(q, 10),
                               .has_vectors = sqlite3_column_int(q, 11) != 0 };
    d->path = column_dup(q, 1, &failed);
    d->reason = column_dup(q, 3, &failed);
    d->title = column_dup(q, 4, &failed);
    d->format = column_dup(q, 5, &failed);
    if (sqlite3_column_bytes(q, 6) == sizeof(d->hash))
        memcpy(d->hash, sqlite3_column_blob(q, 6), sizeof(d->hash));
    if (!failed)
        return KT_OK;
    kt_doc_info_deinit(d);
    return kt_fail(err, KT_E_NOMEM, "store: out of memory");
}

static enum kt_status find_one(struct kt_matter *m, sqlite3_stmt *q, struct kt_doc_info *out,
                               const char *what, struct kt_error *err)
{
    enum kt_status st;
    int rc = sqlite3_step(q);
    if (rc == SQLITE_ROW)
        st = read_doc(out, q, err);
    else if (rc == SQLITE_DONE)
        st = kt_fail(err, KT_E_NOTFOUND, "%s: not in this matter", what);
    else
        st = db_fail(m, "read documents", err);
    sqlite3_finalize(q);
    return st;
}

enum kt_status kt_matter_find(struct kt_matter *m, const char *path, struct kt_doc_info *out,
                              struct kt_error *err)
{
    *out = (struct kt_doc_info){ 0 };
    sqlite3_stmt *q;
    enum kt_status st = db_prepare(&q, m, DOC_COLUMNS " WHERE path = ?1", err);
    if (st)
        return st;
    sqlite3_bind_text(q, 1, path, -1, SQLITE_STATIC);
    return find_one(m, q, out, path, err);
}

enum kt_status kt_matter_find_hash(struct kt_matter *m, const uint8_t hash[32],
                                   struct kt_doc_info *out, struct kt_error *err)
{
    *out = (struct kt_doc_info){ 0 };
    sqlite3_stmt *q;
    enum kt_status st =
        db_prepare(&q, m, DOC_COLUMNS " WHERE hash = ?1 AND state = 0 ORDER BY id LIMIT 1", err);
    if (st)
        return st;
    sqlite3_bind_blob(q, 1, hash, 32, SQLITE_STATIC);
    return find_one(m, q, out, "a document with this content", err);
}

enum kt_status kt_matter_each(struct kt_matter *m, const char *path, kt_doc_fn fn, void *ctx,
                              struct kt_error *err)
{
    struct buf sql = { 0 };
    char *prefix = path ? folder_prefix(path) : NULL;
    buf_printf(&sql, "%s%s ORDER BY path", DOC_COLUMNS, AT_OR_BELOW);
    sqlite3_stmt *q = NULL;
    enum kt_status st = sql.failed || (path && !prefix)
                            ? kt_fail(err, KT_E_NOMEM, "store: out of memory")
                            : db_prepare(&q, m, sql.ptr, err);
    if (!st && prefix)
        sqlite3_bind_text(q, 1, prefix, -1, SQLITE_STATIC);
    bool more = true;
    int rc = SQLITE_DONE;
    while (!st && more && (rc = sqlite3_step(q)) == SQLITE_ROW) {
        struct kt_doc_info d;
        st = read_doc(&d, q, err);
        if (!st) {
            more = fn(ctx, &d);
            kt_doc_info_deinit(&d);
        }
    }
    if (!st && more && rc != SQLITE_DONE)
        st = db_fail(m, "read documents", err);
    sqlite3_finalize(q);
    buf_deinit(&sql);
    free(prefix);
    return st;
}

/* ---- renaming ---- */

static enum kt_status rename_row(struct kt_matter *m, const char *from, const char *to,
                                 int64_t size, int64_t mtime_ns, struct kt_error *err)
{
    sqlite3_stmt *q;
    enum kt_status st =
        db_prepare(&q, m, "UPDATE documents SET path=?2, size=?3, mtime_ns=?4 WHERE path=?1", err);
    if (st)
        return st;
    sqlite3_bind_text(q, 1, from, -1, SQLITE_STATIC);
    sqlite3_bind_text(q, 2, to, -1, SQLITE_STATIC);
    sqlite3_bind_int64(q, 3, size);
    sqlite3_bind_int64(q, 4, mtime_ns);
    st = db_run(m, q, "rename", err);
    sqlite3_finalize(q);
    if (!st && sqlite3_changes(m->db) != 1)
        st = kt_fail(err, KT_E_NOTFOUND, "%s: not in this matter", from);
    return st;
}

enum kt_status kt_matter_rename(struct kt_matter *m, const char *from, const char *to, int64_t size,
                                int64_t mtime_ns, struct kt_error *err)
{
    enum kt_status st = check_path(to, err);
    if (!st)
        st = db_begin(m, err);
    if (st)
        return st;
    size_t n_taken = 0;
    if (strcmp(from, to))
        st = take_below(m, to, true, &n_taken, err);
    if (!st)
        st = rename_row(m, from, to, size, mtime_ns, err);
    if (!st)
        st = meta_set(m, "scrub", "1", err); /* the old path is a trace too */
    st = db_end(m, st, err);
    if (!st)
        m->scrub_pending = true;
    if (!st && n_taken)
        vec_cache_drop(&m->vectors);
    return st;
}

/* ---- the embedder ---- */

enum kt_status kt_matter_embedder(struct kt_matter *m, char out[static 65], struct kt_error *err)
{
    out[0] = 0;
    char *id;
    enum kt_status st = meta_get(m, "embedder", &id, err);
    if (!st && id && strlen(id) <= 64)
        memcpy(out, id, strlen(id) + 1);
    free(id);
    return st;
}

enum kt_status kt_matter_set_embedder(struct kt_matter *m, const char *id, struct kt_error *err)
{
    size_t n = strlen(id);
    if (n > 64 || strspn(id, "0123456789abcdefABCDEF") != n)
        return kt_fail(err, KT_E_USAGE, "store: an embedder's id is at most 64 hex digits");
    char now[65];
    enum kt_status st = kt_matter_embedder(m, now, err);
    if (st || !strcmp(now, id))
        return st;
    st = db_begin(m, err);
    if (st)
        return st;
    st = db_exec(
        m, "DELETE FROM vectors; DELETE FROM vectors_exact; DELETE FROM meta WHERE key='dim';",
        "drop vectors", err);
    if (!st)
        st = meta_set(m, "embedder", id, err);
    if (!st)
        st = meta_set(m, "scrub", "1", err);
    st = db_end(m, st, err);
    if (!st) {
        m->scrub_pending = true;
        vec_cache_drop(&m->vectors);
    }
    return st;
}

/* ---- another way of analysing ---- */

static enum kt_status reindex_chunks(struct kt_matter *m, struct kt_error *err)
{
    sqlite3_stmt *rows = NULL, *update = NULL, *index = NULL;
    enum kt_status st =
        db_prepare(&rows, m, "SELECT id, doc_id, start, stop FROM chunks ORDER BY id", err);
    if (!st)
        st = db_prepare(&update, m, "UPDATE chunks SET parts=?2 WHERE id=?1", err);
    if (!st)
        st = index_prepare_put(&index, m, err);
    int rc = SQLITE_DONE;
    while (!st && (rc = sqlite3_step(rows)) == SQLITE_ROW) {
        struct buf text = { 0 }, parts = { 0 };
        int64_t id = sqlite3_column_int64(rows, 0);
        st = text_slice(m, sqlite3_column_int64(rows, 1), (size_t)sqlite3_column_int64(rows, 2),
                        (size_t)sqlite3_column_int64(rows, 3), &text, err);
        if (!st)
            st = index_learn(m, buf_span(&text), err);
        if (!st) {
            index_parts(m, buf_span(&text), &parts);
            sqlite3_bind_int64(update, 1, id);
            sqlite3_bind_text64(update, 2, parts.ptr ? parts.ptr : "", parts.len, SQLITE_STATIC,
                                SQLITE_UTF8);
            st = parts.failed ? kt_fail(err, KT_E_NOMEM, "store: out of memory")
                              : db_run(m, update, "index", err);
        }
        if (!st)
            st = index_row(m, index, id, buf_span(&text), buf_span(&parts), err);
        buf_deinit(&text);
        buf_deinit(&parts);
    }
    if (!st && rc != SQLITE_DONE)
        st = db_fail(m, "read chunks", err);
    sqlite3_finalize(rows);
    sqlite3_finalize(update);
    sqlite3_finalize(index);
    return st;
}

enum kt_status matter_reindex(struct kt_matter *m, struct kt_error *err)
{
    enum kt_status st = db_begin(m, err);
    if (st)
        return st;
    st = db_exec(m, "INSERT INTO terms(terms) VALUES('delete-all')", "index again", err);
    if (!st)
        st = reindex_chunks(m, err);
    if (!st)
        st = meta_set(m, "analysis", TERMS_VERSION, err);
    return db_end(m, st, err);
}
