/* store/index.c: see index.h. Two columns: 'body' has every term of the chunk, 'parts' the pieces
 * of its compound words, which count for less (search.c) and never disturb a phrase. */
#include "store/index.h"

#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "store/compound.h"
#include "store/fts.h"
#include "store/stem.h"
#include "store/store_priv.h"
#include "store/terms.h"

enum kt_status index_prepare_put(sqlite3_stmt **out, struct kt_matter *m, struct kt_error *err)
{
    return db_prepare(out, m, "INSERT INTO terms(rowid, body, parts) VALUES(?1, ?2, ?3)", err);
}

enum kt_status index_prepare_take(sqlite3_stmt **out, struct kt_matter *m, struct kt_error *err)
{
    return db_prepare(
        out, m, "INSERT INTO terms(terms, rowid, body, parts) VALUES('delete', ?1, ?2, ?3)", err);
}

static void write_term(void *ctx, const struct term *t)
{
    struct buf *out = ctx;
    if (t->same_place)
        buf_append_char(out, FTS_SAME_PLACE);
    buf_append(out, t->ptr, t->len);
    buf_append_char(out, ' ');
}

enum kt_status index_row(struct kt_matter *m, sqlite3_stmt *q, int64_t chunk_id, struct span text,
                         struct span parts, struct kt_error *err)
{
    struct buf body = { 0 };
    terms_each(text, write_term, &body);
    enum kt_status st = KT_OK;
    if (body.failed) {
        st = kt_fail(err, KT_E_NOMEM, "store: out of memory for the terms of a chunk");
    } else {
        sqlite3_bind_int64(q, 1, chunk_id);
        sqlite3_bind_text64(q, 2, body.ptr ? body.ptr : "", body.len, SQLITE_STATIC, SQLITE_UTF8);
        sqlite3_bind_text64(q, 3, parts.ptr ? parts.ptr : "", parts.len, SQLITE_STATIC,
                            SQLITE_UTF8);
        st = db_run(m, q, "index", err);
    }
    buf_deinit(&body);
    return st;
}

/* ---- vocabulary ---- */

/* A document's distinct stems, one after the other, each ended by a zero. */
struct collecting {
    struct wordset seen;
    struct buf stems;
    bool failed;
};

static void collect_stem(void *ctx, const struct term *t)
{
    struct collecting *c = ctx;
    if (!t->word || t->word_len < 4 || t->len < 3 || t->same_place ||
        wordset_has(&c->seen, t->ptr, t->len))
        return;
    c->failed = c->failed || !wordset_add(&c->seen, t->ptr, t->len);
    buf_append(&c->stems, t->ptr, t->len);
    buf_append_char(&c->stems, 0);
}

static enum kt_status load_words(struct kt_matter *m, struct kt_error *err)
{
    if (m->words_loaded)
        return KT_OK;
    sqlite3_stmt *q;
    enum kt_status st = db_prepare(&q, m, "SELECT stem FROM words", err);
    if (st)
        return st;
    int rc;
    while (!st && (rc = sqlite3_step(q)) == SQLITE_ROW) {
        const char *stem = (const char *)sqlite3_column_text(q, 0);
        if (!stem || !wordset_add(&m->words, stem, (size_t)sqlite3_column_bytes(q, 0)))
            st = kt_fail(err, KT_E_NOMEM, "store: out of memory for the vocabulary");
    }
    if (!st && rc != SQLITE_DONE)
        st = db_fail(m, "read the vocabulary", err);
    sqlite3_finalize(q);
    m->words_loaded = !st;
    return st;
}

static enum kt_status count_in(struct kt_matter *m, const struct buf *stems, struct kt_error *err)
{
    sqlite3_stmt *q;
    enum kt_status st = db_prepare(&q, m,
                                   "INSERT INTO words(stem, n) VALUES(?1, 1) "
                                   "ON CONFLICT(stem) DO UPDATE SET n = n + 1",
                                   err);
    for (size_t at = 0; at < stems->len && !st; at += strlen(stems->ptr + at) + 1) {
        const char *stem = stems->ptr + at;
        sqlite3_bind_text(q, 1, stem, -1, SQLITE_STATIC);
        st = db_run(m, q, "count words", err);
        if (!st && !wordset_add(&m->words, stem, strlen(stem)))
            st = kt_fail(err, KT_E_NOMEM, "store: out of memory for the vocabulary");
    }
    sqlite3_finalize(q);
    return st;
}

static enum kt_status count_out(struct kt_matter *m, const struct buf *stems, struct kt_error *err)
{
    sqlite3_stmt *last = NULL, *less = NULL;
    enum kt_status st = db_prepare(&last, m, "DELETE FROM words WHERE stem = ?1 AND n < 2", err);
    if (!st)
        st = db_prepare(&less, m, "UPDATE words SET n = n - 1 WHERE stem = ?1", err);
    for (size_t at = 0; at < stems->len && !st; at += strlen(stems->ptr + at) + 1) {
        sqlite3_bind_text(last, 1, stems->ptr + at, -1, SQLITE_STATIC);
        sqlite3_bind_text(less, 1, stems->ptr + at, -1, SQLITE_STATIC);
        st = db_run(m, last, "count words", err);
        if (!st && !sqlite3_changes(m->db))
            st = db_run(m, less, "count words", err);
    }
    sqlite3_finalize(last);
    sqlite3_finalize(less);
    return st;
}

enum kt_status index_count_words(struct kt_matter *m, struct span text, int by,
                                 struct kt_error *err)
{
    enum kt_status st = load_words(m, err);
    if (st)
        return st;
    struct collecting c = { 0 };
    terms_each(text, collect_stem, &c);
    st = c.failed || c.stems.failed
             ? kt_fail(err, KT_E_NOMEM, "store: out of memory for the words of a document")
             : (by > 0 ? count_in : count_out)(m, &c.stems, err);
    wordset_deinit(&c.seen);
    buf_deinit(&c.stems);
    return st;
}

struct splitting {
    const struct wordset *words;
    struct buf *out;
};

static bool in_words(void *ctx, const char *stem, size_t len)
{
    return wordset_has(ctx, stem, len);
}

static void split_term(void *ctx, const struct term *t)
{
    struct splitting *s = ctx;
    struct compound_part parts[COMPOUND_MAX_PARTS];
    if (!t->word)
        return;
    size_t n = compound_split(parts, t->word, t->word_len, in_words, (void *)s->words);
    for (size_t i = 0; i < n; i++) {
        char stem[COMPOUND_MAX_BYTES];
        memcpy(stem, t->word + parts[i].start, parts[i].len);
        buf_append(s->out, stem, stem_word(stem, parts[i].len));
        buf_append_char(s->out, ' ');
    }
}

void index_parts(struct kt_matter *m, struct span text, struct buf *out)
{
    struct splitting s = { &m->words, out };
    terms_each(text, split_term, &s);
}
