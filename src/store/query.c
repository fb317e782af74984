/* store/query.c: see query.h. */
#include "store/query.h"

#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "base/utf8.h"
#include "store/compound.h"
#include "store/stem.h"
#include "store/store_priv.h"
#include "store/terms.h"

struct query {
    struct kt_matter *m;
    struct buf words;   /* "a" OR "b" ... */
    struct buf stops;   /* the same, of stop words */
    struct buf phrases; /* "a b" AND "c d" ... */
    struct buf phrase;  /* the one being read */
    size_t n_terms;
    sqlite3_stmt *vocab;
    bool vocab_failed;
};

/* No term holds a quotation mark (terms.c makes them of letters, digits and joiners), but this must
 * not depend on it. */
static void append_quoted(struct buf *out, struct span s)
{
    buf_append_char(out, '"');
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] == '"')
            buf_append_char(out, '"');
        buf_append_char(out, s.ptr[i]);
    }
    buf_append_char(out, '"');
}

/* Each term once: typing a word twice does not make it twice as important. */
static void append_or(struct query *q, struct buf *out, struct span term)
{
    struct buf quoted = { 0 };
    append_quoted(&quoted, term);
    bool fits = !quoted.failed && q->n_terms < LIMIT_QUERY_TERMS;
    if (fits && span_find(buf_span(out), buf_span(&quoted), 0) == SIZE_MAX) {
        if (out->len)
            buf_append_str(out, " OR ");
        buf_append_span(out, buf_span(&quoted));
        q->n_terms++;
    }
    out->failed = out->failed || quoted.failed;
    buf_deinit(&quoted);
}

static bool in_vocabulary(void *ctx, const char *stem, size_t len)
{
    struct query *q = ctx;
    sqlite3_bind_text64(q->vocab, 1, stem, len, SQLITE_STATIC, SQLITE_UTF8);
    int rc = sqlite3_step(q->vocab);
    q->vocab_failed = q->vocab_failed || (rc != SQLITE_ROW && rc != SQLITE_DONE);
    sqlite3_reset(q->vocab);
    return rc == SQLITE_ROW;
}

static void add_parts(struct query *q, const struct term *t)
{
    struct compound_part parts[COMPOUND_MAX_PARTS];
    size_t n = compound_split(parts, t->word, t->word_len, in_vocabulary, q);
    for (size_t i = 0; i < n; i++) {
        char stem[COMPOUND_MAX_BYTES];
        memcpy(stem, t->word + parts[i].start, parts[i].len);
        append_or(q, &q->words, (struct span){ stem, stem_word(stem, parts[i].len) });
    }
}

static void add_word(void *ctx, const struct term *t)
{
    struct query *q = ctx;
    append_or(q, t->stop ? &q->stops : &q->words, (struct span){ t->ptr, t->len });
    if (t->word && !t->stop)
        add_parts(q, t);
}

static void add_phrase_term(void *ctx, const struct term *t)
{
    struct query *q = ctx;
    if (t->same_place || q->n_terms >= LIMIT_QUERY_TERMS)
        return;
    if (q->phrase.len)
        buf_append_char(&q->phrase, ' ');
    buf_append(&q->phrase, t->ptr, t->len);
    q->n_terms++;
}

static void add_phrase(struct query *q, struct span text)
{
    buf_clear(&q->phrase);
    terms_each(text, add_phrase_term, q);
    if (!q->phrase.len)
        return;
    if (q->phrases.len)
        buf_append_str(&q->phrases, " AND ");
    append_quoted(&q->phrases, buf_span(&q->phrase));
}

/* The length of a quotation mark at s[at], 0 if there is none. */
static size_t quotation_mark(struct span s, size_t at)
{
    static const char *const MARKS[] = { "\"", "„", "“", "”", "»", "«" };
    for (size_t i = 0; i < ARRAY_LEN(MARKS); i++)
        if (span_starts(span_sub(s, at, s.len), span_of(MARKS[i])))
            return strlen(MARKS[i]);
    return 0;
}

static size_t next_mark(struct span s, size_t at)
{
    while (at < s.len && !quotation_mark(s, at))
        at++;
    return at;
}

/* Words up to a mark, then a phrase up to the next; a mark that is never closed is no mark. */
static void read_query(struct query *q, struct span s)
{
    size_t at = 0;
    while (at < s.len) {
        size_t open = next_mark(s, at);
        size_t inside = open + quotation_mark(s, open);
        size_t close = open < s.len ? next_mark(s, inside) : s.len;
        terms_each(span_sub(s, at, open), add_word, q);
        if (open >= s.len)
            return;
        struct span quoted = span_sub(s, inside, close);
        if (close < s.len)
            add_phrase(q, quoted);
        else
            terms_each(quoted, add_word, q);
        at = close < s.len ? close + quotation_mark(s, close) : s.len;
    }
}

static void write_expression(struct query *q, struct buf *out)
{
    const struct buf *words = q->words.len || q->phrases.len ? &q->words : &q->stops;
    if (!q->phrases.len) {
        buf_append_span(out, buf_span(words));
        return;
    }
    buf_printf(out, "(%.*s)", (int)q->phrases.len, q->phrases.ptr);
    /* the phrases decide who is in; the words beside them only help the order */
    if (words->len)
        buf_printf(out, " AND ((%.*s) OR %.*s)", (int)q->phrases.len, q->phrases.ptr,
                   (int)words->len, words->ptr);
}

enum kt_status query_build(struct kt_matter *m, struct span query, struct buf *out,
                           struct kt_error *err)
{
    struct query q = { .m = m };
    enum kt_status st = db_prepare(&q.vocab, m, "SELECT 1 FROM terms_vocab WHERE term = ?1", err);
    if (st)
        return st;
    read_query(&q, span_sub(query, 0, LIMIT_QUERY_BYTES));
    write_expression(&q, out);
    if (q.vocab_failed)
        st = db_fail(m, "read the vocabulary", err);
    else if (q.words.failed || q.stops.failed || q.phrases.failed || q.phrase.failed || out->failed)
        st = kt_fail(err, KT_E_NOMEM, "store: out of memory for a query");
    sqlite3_finalize(q.vocab);
    buf_deinit(&q.words);
    buf_deinit(&q.stops);
    buf_deinit(&q.phrases);
    buf_deinit(&q.phrase);
    return st;
}
