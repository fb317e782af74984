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

enum {
    SIMILAR_MAX = 3,
    SIMILAR_COMMON_MIN = 5,
    SIMILAR_COMMON_PERCENT = 60, /* of the longer word */
    RANGE_PREFIX = 2,
    PHRASE_BYTES = 4096,
};

struct query {
    struct kt_matter *m;
    struct query_plan *plan;
    sqlite3_stmt *vocab, *range;
    bool vocab_failed;
};

/* No term holds a quotation mark (terms.c makes them of letters, digits and joiners), but this must
 * not depend on it. */
void query_quote(struct buf *out, struct span s)
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
static void add_term(struct query *q, struct span term, enum plan_kind kind)
{
    struct query_plan *p = q->plan;
    if (p->n_read >= LIMIT_QUERY_TERMS || p->n == LIMIT_QUERY_TERMS || !term.len ||
        term.len > LIMIT_TERM_BYTES)
        return;
    for (size_t i = 0; i < p->n; i++)
        if (span_eq((struct span){ p->terms[i].text, p->terms[i].len }, term))
            return;
    struct plan_term *t = &p->terms[p->n++];
    memcpy(t->text, term.ptr, term.len);
    t->len = term.len;
    t->kind = kind;
    p->n_read++;
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

/* The pieces of a compound word, as far as the matter knows them. */
static size_t add_parts(struct query *q, const struct term *t)
{
    struct compound_part parts[COMPOUND_MAX_PARTS];
    size_t n = compound_split(parts, t->word, t->word_len, in_vocabulary, q);
    for (size_t i = 0; i < n; i++) {
        char stem[COMPOUND_MAX_BYTES];
        memcpy(stem, t->word + parts[i].start, parts[i].len);
        add_term(q, (struct span){ stem, stem_word(stem, parts[i].len) }, PLAN_PART);
    }
    return n;
}

/* ---- words the matter does not know ---- */

/* German and English spell what they share a little differently: Kommission, commission; Zentrum,
 * centre. */
static size_t respell(char out[static LIMIT_TERM_BYTES], struct span s)
{
    size_t n = 0;
    for (size_t i = 0; i < s.len && n < LIMIT_TERM_BYTES; i++) {
        char c = s.ptr[i];
        if (c == 'p' && i + 1 < s.len && s.ptr[i + 1] == 'h') {
            c = 'f';
            i++;
        }
        out[n++] = (char)(c == 'k' || c == 'z' ? 'c' : c == 'y' ? 'i' : c);
    }
    return n;
}

struct similar {
    char term[LIMIT_TERM_BYTES];
    size_t len, common;
};

static size_t common_beginning(struct span a, struct span b)
{
    char x[LIMIT_TERM_BYTES], y[LIMIT_TERM_BYTES];
    size_t n = MIN(respell(x, a), respell(y, b)), i = 0;
    while (i < n && x[i] == y[i])
        i++;
    return i;
}

/* Keep the SIMILAR_MAX terms with the longest common beginning. */
static void keep_similar(struct similar best[static SIMILAR_MAX], struct span word,
                         struct span term)
{
    size_t common = common_beginning(word, term), longest = MAX(word.len, term.len);
    if (common < SIMILAR_COMMON_MIN || 100 * common < SIMILAR_COMMON_PERCENT * longest ||
        term.len > LIMIT_TERM_BYTES)
        return;
    for (size_t i = 0; i < SIMILAR_MAX; i++) {
        if (common < best[i].common || (common == best[i].common && term.len >= best[i].len))
            continue;
        memmove(&best[i + 1], &best[i], (SIMILAR_MAX - 1 - i) * sizeof(best[0]));
        best[i] = (struct similar){ .len = term.len, .common = common };
        memcpy(best[i].term, term.ptr, term.len);
        return;
    }
}

static void scan_range(struct query *q, struct similar best[static SIMILAR_MAX], struct span word,
                       struct span prefix)
{
    char above[LIMIT_TERM_BYTES];
    memcpy(above, prefix.ptr, prefix.len);
    above[prefix.len - 1]++;
    sqlite3_bind_text64(q->range, 1, prefix.ptr, prefix.len, SQLITE_STATIC, SQLITE_UTF8);
    sqlite3_bind_text64(q->range, 2, above, prefix.len, SQLITE_STATIC, SQLITE_UTF8);
    int rc;
    while ((rc = sqlite3_step(q->range)) == SQLITE_ROW)
        keep_similar(best, word,
                     (struct span){ (const char *)sqlite3_column_text(q->range, 0),
                                    (size_t)sqlite3_column_bytes(q->range, 0) });
    q->vocab_failed = q->vocab_failed || rc != SQLITE_DONE;
    sqlite3_reset(q->range);
}

/* A word that stands nowhere in the matter finds nothing; the nearest that do may: the same word in
 * the other language, another ending, a slip of the pen near the end. Words of three letters in
 * common are too little for that. */
static void add_similar(struct query *q, const struct term *t)
{
    struct similar best[SIMILAR_MAX + 1] = { 0 };
    struct span word = { t->ptr, t->len };
    if (t->len < SIMILAR_COMMON_MIN)
        return;
    char prefix[RANGE_PREFIX];
    memcpy(prefix, t->ptr, RANGE_PREFIX);
    scan_range(q, best, word, (struct span){ prefix, RANGE_PREFIX });
    /* the other spelling of the first letter */
    static const char OTHER[][2] = { { 'k', 'c' }, { 'c', 'k' }, { 'z', 'c' }, { 'c', 'z' } };
    for (size_t i = 0; i < ARRAY_LEN(OTHER); i++) {
        if (t->ptr[0] != OTHER[i][0])
            continue;
        prefix[0] = OTHER[i][1];
        scan_range(q, best, word, (struct span){ prefix, RANGE_PREFIX });
    }
    for (size_t i = 0; i < SIMILAR_MAX; i++)
        if (best[i].len)
            add_term(q, (struct span){ best[i].term, best[i].len }, PLAN_SIMILAR);
}

static void add_word(void *ctx, const struct term *t)
{
    struct query *q = ctx;
    add_term(q, (struct span){ t->ptr, t->len }, t->stop ? PLAN_STOP : PLAN_WORD);
    if (!t->word || t->stop)
        return;
    size_t n_parts = add_parts(q, t);
    if (!n_parts && !in_vocabulary(q, t->ptr, t->len))
        add_similar(q, t);
}

static void add_phrase_term(void *ctx, const struct term *t)
{
    struct buf *phrase = ctx;
    if (t->same_place)
        return;
    if (phrase->len)
        buf_append_char(phrase, ' ');
    buf_append(phrase, t->ptr, t->len);
}

void query_phrase(struct buf *out, struct span text)
{
    terms_each(text, add_phrase_term, out);
}

static void add_phrase(struct query *q, struct span text)
{
    struct query_plan *p = q->plan;
    if (p->n_phrases == PLAN_PHRASES)
        return;
    query_phrase(&p->phrases[p->n_phrases], span_sub(text, 0, PHRASE_BYTES));
    p->n_phrases += p->phrases[p->n_phrases].len > 0;
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

/* Stop words count only when there is nothing else. */
static void drop_stops(struct query_plan *p)
{
    size_t n = 0;
    for (size_t i = 0; i < p->n; i++)
        if (p->terms[i].kind != PLAN_STOP)
            p->terms[n++] = p->terms[i];
    if (n || p->n_phrases)
        p->n = n;
}

enum kt_status query_plan(struct query_plan *out, struct kt_matter *m, struct span query,
                          struct kt_error *err)
{
    memset(out, 0, sizeof(*out));
    struct query q = { .m = m, .plan = out };
    enum kt_status st = db_prepare(&q.vocab, m, "SELECT 1 FROM words WHERE stem = ?1", err);
    if (!st)
        st = db_prepare(&q.range, m, "SELECT stem FROM words WHERE stem >= ?1 AND stem < ?2", err);
    if (!st) {
        read_query(&q, span_sub(query, 0, LIMIT_QUERY_BYTES));
        drop_stops(out);
        if (q.vocab_failed)
            st = db_fail(m, "read the vocabulary", err);
    }
    for (size_t i = 0; i < PLAN_PHRASES && !st; i++)
        if (out->phrases[i].failed)
            st = kt_fail(err, KT_E_NOMEM, "store: out of memory for a query");
    sqlite3_finalize(q.vocab);
    sqlite3_finalize(q.range);
    return st;
}

void query_plan_deinit(struct query_plan *p)
{
    for (size_t i = 0; i < PLAN_PHRASES; i++)
        buf_deinit(&p->phrases[i]);
}
