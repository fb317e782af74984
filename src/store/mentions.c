/* store/mentions.c: every document that passes, and every place where a phrase stands. What is listed here is complete: the index
 * says which documents hold the phrase's rarest word, and their texts are read from beginning to end. */
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "store/filter.h"
#include "store/query.h"
#include "store/store_priv.h"
#include "store/terms.h"

/* ---- documents ------------------------------------------------------------------------------- */

struct listing {
    struct kt_document_line *lines;
    size_t n, cap;
};

static bool list_line(void *ctx, const struct filter_doc *d)
{
    struct listing *l = ctx;
    if (l->n == l->cap) {
        size_t cap = l->cap ? 2 * l->cap : 64;
        struct kt_document_line *p = realloc(l->lines, cap * sizeof(*p));
        if (!p)
            return false;
        l->lines = p;
        l->cap = cap;
    }
    struct kt_document_line *line = &l->lines[l->n++];
    *line = (struct kt_document_line){ .id = d->id,
                                       .path = strdup(d->path),
                                       .title = d->title ? strdup(d->title) : NULL,
                                       .format = strdup(d->format ? d->format : ""),
                                       .sender = strdup(d->sender),
                                       .n_pages = d->n_pages };
    memcpy(line->date, d->date, sizeof(line->date));
    return line->path && line->format && line->sender && (!d->title || line->title);
}

void kt_document_lines_free(struct kt_document_line *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        free(list[i].path);
        free(list[i].title);
        free(list[i].format);
        free(list[i].sender);
    }
    free(list);
}

static enum kt_status read_filters(struct filter *f, struct syntax *s, const char *query,
                                   const struct kt_search_filter *filter, struct kt_error *err)
{
    *f = (struct filter){ 0 };
    syntax_read(s, span_sub(span_of(query), 0, LIMIT_QUERY_BYTES));
    filter_add_syntax(f, s);
    return filter ? filter_add_request(f, filter, err) : KT_OK;
}

enum kt_status kt_matter_documents(struct kt_matter *m, const char *query,
                                   const struct kt_search_filter *filter,
                                   struct kt_document_line **out, size_t *n, struct kt_error *err)
{
    struct filter f;
    struct syntax syntax;
    struct listing l = { 0 };
    *out = NULL;
    *n = 0;
    enum kt_status st = read_filters(&f, &syntax, query, filter, err);
    if (!st)
        st = filter_each(m, &f, list_line, &l, err);
    syntax_deinit(&syntax);
    if (st) {
        kt_document_lines_free(l.lines, l.n);
        return st;
    }
    *out = l.lines;
    *n = l.n;
    return KT_OK;
}

/* ---- what is looked for ---------------------------------------------------------------------- */

enum { SOUGHT_MAX = 32 };

struct sought {
    char terms[SOUGHT_MAX][LIMIT_TERM_BYTES]; /* in a row */
    size_t lens[SOUGHT_MAX], n;
    char whole
        [LIMIT_TERM_BYTES]; /* the one value that all of it is: an IBAN, a file number; whole_len 0: none */
    size_t whole_len;
    size_t text_len;
    bool too_long;
};

static void read_sought(void *ctx, const struct term *t)
{
    struct sought *s = ctx;
    if (t->same_place && t->start == 0 && t->end == s->text_len) {
        memcpy(s->whole, t->ptr, t->len);
        s->whole_len = t->len;
    }
    if (t->same_place)
        return;
    if (s->n == SOUGHT_MAX) {
        s->too_long = true;
        return;
    }
    memcpy(s->terms[s->n], t->ptr, t->len);
    s->lens[s->n++] = t->len;
}

/* ---- reading a text -------------------------------------------------------------------------- */

struct reading {
    const struct sought *s;
    size_t starts[SOUGHT_MAX]; /* of the last places, as a ring */
    bool equal[SOUGHT_MAX][SOUGHT_MAX];
    size_t at; /* places read */
    size_t last_end;
    struct buf found; /* struct kt_mark[] */
};

static void found(struct reading *r, size_t start, size_t end)
{
    if (start < r->last_end) /* the same words once more, as a value */
        return;
    struct kt_mark m = { start, end };
    buf_append(&r->found, &m, sizeof(m));
    r->last_end = end;
}

/* The phrase ends at this place when the last n places are its words in a row. */
static void check_window(struct reading *r, const struct term *t)
{
    size_t n = r->s->n;
    if (r->at < n)
        return;
    for (size_t i = 0; i < n; i++)
        if (!r->equal[(r->at - n + i) % SOUGHT_MAX][i])
            return;
    found(r, r->starts[(r->at - n) % SOUGHT_MAX], t->end);
}

/* A place's first term moves the window on; what else stands there are other ways to read it. */
static void read_term(void *ctx, const struct term *t)
{
    struct reading *r = ctx;
    const struct sought *s = r->s;
    if (t->same_place && !r->at)
        return;
    size_t slot = (t->same_place ? r->at - 1 : r->at) % SOUGHT_MAX;
    if (!t->same_place) {
        r->at++;
        r->starts[slot] = t->start;
    }
    for (size_t i = 0; i < s->n; i++) {
        bool equal = t->len == s->lens[i] && !memcmp(t->ptr, s->terms[i], t->len);
        r->equal[slot][i] = equal || (t->same_place && r->equal[slot][i]);
        if (equal &&
            t->start < r->starts[slot]) /* "1 234,56": the value begins before its last piece */
            r->starts[slot] = t->start;
    }
    check_window(r, t);
    if (s->whole_len && t->len == s->whole_len && !memcmp(t->ptr, s->whole, t->len))
        found(r, t->start, t->end);
}

/* ---- the search ------------------------------------------------------------------------------ */

struct mentioning {
    struct kt_matter *m;
    struct sought sought;
    struct buf docs; /* int64_t[], sorted: may hold it */
    struct buf list; /* struct kt_mention[] */
    size_t n_max;
    uint64_t n_all;
    enum kt_status st;
    struct kt_error *err;
};

static int by_id(const void *a, const void *b)
{
    int64_t x, y;
    memcpy(&x, a, sizeof(x));
    memcpy(&y, b, sizeof(y));
    return (x > y) - (x < y);
}

static enum kt_status add_documents(struct mentioning *c, struct span term, struct kt_error *err)
{
    struct buf e = { 0 };
    sqlite3_stmt *q = NULL;
    query_quote(&e, term);
    enum kt_status st =
        e.failed
            ? kt_fail(err, KT_E_NOMEM, "store: out of memory for a query")
            : db_prepare(&q, c->m,
                         "SELECT DISTINCT c.doc_id FROM terms t JOIN chunks c ON c.id = t.rowid "
                         "WHERE terms MATCH ?1",
                         err);
    if (!st) {
        sqlite3_bind_text64(q, 1, e.ptr, e.len, SQLITE_STATIC, SQLITE_UTF8);
        int rc;
        while ((rc = sqlite3_step(q)) == SQLITE_ROW) {
            int64_t id = sqlite3_column_int64(q, 0);
            buf_append(&c->docs, &id, sizeof(id));
        }
        st = rc != SQLITE_DONE ? db_fail(c->m, "search", err)
             : c->docs.failed  ? kt_fail(err, KT_E_NOMEM, "store: out of memory")
                               : KT_OK;
    }
    sqlite3_finalize(q);
    buf_deinit(&e);
    return st;
}

/* The longest word is taken for the rarest: any will do, since the texts decide. */
static enum kt_status find_documents(struct mentioning *c, struct kt_error *err)
{
    const struct sought *s = &c->sought;
    size_t best = 0;
    for (size_t i = 1; i < s->n; i++)
        if (s->lens[i] > s->lens[best])
            best = i;
    enum kt_status st = add_documents(c, (struct span){ s->terms[best], s->lens[best] }, err);
    if (!st && s->whole_len)
        st = add_documents(c, (struct span){ s->whole, s->whole_len }, err);
    if (!st && c->docs.len)
        qsort(c->docs.ptr, c->docs.len / sizeof(int64_t), sizeof(int64_t), by_id);
    return st;
}

static enum kt_status add_mentions(struct mentioning *c, int64_t doc_id, const struct reading *r)
{
    size_t n = r->found.len / sizeof(struct kt_mark);
    enum kt_status st = KT_OK;
    c->n_all += n;
    for (size_t i = 0; i < n && !st && c->list.len / sizeof(struct kt_mention) < c->n_max; i++) {
        struct kt_mark k;
        struct kt_place p;
        memcpy(&k, r->found.ptr + i * sizeof(k), sizeof(k));
        st = kt_matter_place(c->m, doc_id, k.start, &p, c->err);
        if (st == KT_E_NOTFOUND) { /* a text without places */
            p = (struct kt_place){ 0 };
            st = KT_OK;
        }
        struct kt_mention mention = { doc_id, k.start, k.end, p.page, p.para };
        buf_append(&c->list, &mention, sizeof(mention));
    }
    return st;
}

static bool read_document(void *ctx, const struct filter_doc *d)
{
    struct mentioning *c = ctx;
    if (c->st || !c->docs.len ||
        !bsearch(&d->id, c->docs.ptr, c->docs.len / sizeof(int64_t), sizeof(int64_t), by_id))
        return true;
    struct reading r = { .s = &c->sought };
    char *text = NULL;
    c->st = kt_matter_text(c->m, d->id, 0, d->text_len, &text, c->err);
    if (!c->st) {
        terms_each((struct span){ text, d->text_len }, read_term, &r);
        c->st = add_mentions(c, d->id, &r);
    }
    bool ok = !r.found.failed && !c->list.failed;
    buf_deinit(&r.found);
    free(text);
    return ok;
}

enum kt_status kt_matter_mentions(struct kt_matter *m, const char *phrase,
                                  const struct kt_search_filter *filter, size_t n_max,
                                  struct kt_mention **out, size_t *n, uint64_t *n_all,
                                  struct kt_error *err)
{
    *out = NULL;
    *n = 0;
    *n_all = 0;
    struct filter f = { 0 };
    struct span text = span_trim(span_of(phrase));
    struct mentioning *c = calloc(1, sizeof(*c));
    if (!c)
        return kt_fail(err, KT_E_NOMEM, "store: out of memory");
    c->m = m;
    c->n_max = n_max;
    c->err = err;
    c->sought.text_len = text.len;
    terms_each(text, read_sought, &c->sought);
    enum kt_status st = filter ? filter_add_request(&f, filter, err) : KT_OK;
    if (!st && c->sought.too_long)
        st = kt_fail(err, KT_E_LIMIT, "search: a phrase of more than %d words", SOUGHT_MAX);
    if (!st && c->sought.n)
        st = db_exec(m, "BEGIN", "search", err);
    if (!st && c->sought.n) {
        st = find_documents(c, err);
        if (!st)
            st = filter_each(m, &f, read_document, c, err);
        st = c->st ? c->st : st;
        sqlite3_exec(m->db, "COMMIT", NULL, NULL, NULL);
    }
    if (!st) {
        *n = c->list.len / sizeof(struct kt_mention);
        *n_all = c->n_all;
        *out = *n ? (struct kt_mention *)(void *)buf_take(&c->list) : NULL;
    }
    buf_deinit(&c->docs);
    buf_deinit(&c->list);
    free(c);
    return st;
}
