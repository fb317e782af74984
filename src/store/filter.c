/* store/filter.c: see filter.h. One pass over the documents, compared in C, because names are compared as search compares words
 * (fold.h): from:mueller finds Müller. What is attached to a mail has the mail's sender and date. */
#include "store/filter.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/size.h"
#include "base/utf8.h"
#include "store/fold.h"
#include "store/store_priv.h"

/* ---- collecting what is asked for ------------------------------------------------------------ */

static struct syntax_item *more(struct filter *f, enum syntax_field field, const char *value)
{
    struct syntax_item *it = &f->items[f->n++];
    *it = (struct syntax_item){ .field = field, .value = span_trim(span_of(value)) };
    return it;
}

static enum kt_status add_types(struct filter *f, const char *type, struct kt_error *err)
{
    struct syntax_item *it = more(f, FIELD_TYPE, type);
    struct span name;
    size_t at = 0, n = 0;
    for (; syntax_next_name(it->value, &at, &name); n++)
        if (!syntax_formats(name))
            return kt_fail(err, KT_E_USAGE,
                           "search: '%.*s' is no type of file; pdf, word, excel, powerpoint, mail, "
                           "picture, text, html and others are",
                           (int)MIN(name.len, (size_t)60), name.ptr);
    return n ? KT_OK : kt_fail(err, KT_E_USAGE, "search: the type of file is empty");
}

static enum kt_status add_period(struct filter *f, const char *value, bool since,
                                 struct kt_error *err)
{
    char first[11], last[11];
    struct syntax_item *it = more(f, FIELD_DATE, value);
    if (!syntax_period(it->value, first, last))
        return kt_fail(err, KT_E_USAGE,
                       "search: '%.40s' is no date; write 2024, 2024-03 or 2024-03-12", value);
    memcpy(since ? it->since : it->until, since ? first : last, sizeof(first));
    return KT_OK;
}

enum kt_status filter_add_request(struct filter *f, const struct kt_search_filter *rq,
                                  struct kt_error *err)
{
    enum kt_status st = KT_OK;
    if (rq->sender)
        more(f, FIELD_SENDER, rq->sender);
    if (rq->path)
        more(f, FIELD_PATH, rq->path);
    if (rq->type)
        st = add_types(f, rq->type, err);
    if (!st && rq->since)
        st = add_period(f, rq->since, true, err);
    if (!st && rq->until)
        st = add_period(f, rq->until, false, err);
    return st;
}

void filter_add_syntax(struct filter *f, const struct syntax *s)
{
    for (size_t i = 0; i < s->n; i++)
        if (s->items[i].field != FIELD_WORD)
            f->items[f->n++] = s->items[i];
}

void filter_describe(const struct filter *f, struct buf *out)
{
    static const char *const NAMES[] = { "", "from", "to", "type", "path", "title", "date" };
    for (size_t i = 0; i < f->n; i++) {
        const struct syntax_item *it = &f->items[i];
        buf_printf(out, "%s%s%s: ", i ? "; " : "", it->not ? "not " : "", NAMES[it->field]);
        if (it->field == FIELD_DATE)
            buf_printf(out, "%s..%s", it->since, it->until);
        else
            buf_append_span(out, it->value);
    }
}

/* ---- comparing ------------------------------------------------------------------------------- */

static bool is_word_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (unsigned char)c >= 0x80;
}

/* As words are folded, marks between them kept: "Müller & Co." -> "muller & co." */
static void fold_text(struct buf *out, struct span s)
{
    buf_clear(out);
    for (size_t at = 0, n; at < s.len; at += n) {
        int32_t cp = utf8_decode(s.ptr + at, s.len - at, &n);
        char folded[FOLD_MAX_BYTES];
        size_t len = cp < 0 ? 0 : fold_char(folded, cp);
        if (len)
            buf_append(out, folded, len);
        else
            buf_append(out, s.ptr + at, n);
    }
    size_t to = 0;
    for (size_t at = 0; at < out->len;) {
        size_t end = at;
        while (end < out->len && is_word_byte(out->ptr[end]))
            end++;
        size_t n = fold_umlauts(out->ptr + at, end - at);
        memmove(out->ptr + to, out->ptr + at, n);
        to += n;
        for (at = end; at < out->len && !is_word_byte(out->ptr[at]); at++)
            out->ptr[to++] = out->ptr[at];
    }
    out->len = to;
}

/* What one document is compared with. */
struct comparing {
    const struct filter *f;
    struct buf wanted[SYNTAX_ITEMS + 6]; /* folded, item by item */
    struct buf field;
};

static bool holds(struct comparing *c, size_t item, const char *text)
{
    fold_text(&c->field, span_of(text));
    return span_find(buf_span(&c->field), buf_span(&c->wanted[item]), 0) != SIZE_MAX;
}

static bool is_of_type(struct span list, const char *format)
{
    struct span name;
    for (size_t at = 0; syntax_next_name(list, &at, &name);) {
        const char *const *formats = syntax_formats(name);
        for (size_t i = 0; formats && i < 4 && formats[i]; i++)
            if (format && !strcmp(format, formats[i]))
                return true;
    }
    return false;
}

static bool in_period(const struct syntax_item *it, const char *date)
{
    return date[0] && (!it->since[0] || strcmp(date, it->since) >= 0) &&
           (!it->until[0] || strcmp(date, it->until) <= 0);
}

static bool passes(struct comparing *c, const struct filter_doc *d, const char *recipients)
{
    for (size_t i = 0; i < c->f->n; i++) {
        const struct syntax_item *it = &c->f->items[i];
        bool ok = it->field == FIELD_SENDER      ? holds(c, i, d->sender)
                  : it->field == FIELD_RECIPIENT ? holds(c, i, recipients)
                  : it->field == FIELD_TYPE      ? is_of_type(it->value, d->format)
                  : it->field == FIELD_PATH      ? holds(c, i, d->path)
                  : it->field == FIELD_TITLE     ? holds(c, i, d->title ? d->title : "")
                                                 : in_period(it, d->date);
        if (ok == it->not )
            return false;
    }
    return true;
}

/* ---- the pass -------------------------------------------------------------------------------- */

/* The mails met so far, by path, for what is attached to them. */
struct mail_list {
    struct mail_row {
        char *path, *sender, *recipients, date[11];
    } * rows;
    size_t n, cap;
};

static bool mail_remember(struct mail_list *l, const char *path, const char *sender,
                          const char *recipients, const char *date)
{
    if (l->n == l->cap) {
        size_t cap = l->cap ? 2 * l->cap : 64;
        struct mail_row *p = realloc(l->rows, cap * sizeof(*p));
        if (!p)
            return false;
        l->rows = p;
        l->cap = cap;
    }
    struct mail_row *r = &l->rows[l->n++];
    *r = (struct mail_row){ strdup(path), strdup(sender), strdup(recipients), "" };
    snprintf(r->date, sizeof(r->date), "%.10s", date);
    return r->path && r->sender && r->recipients;
}

/* The mail that the document at 'path' is attached to; NULL. */
static const struct mail_row *mail_above(const struct mail_list *l, const char *path)
{
    for (const char *slash = strrchr(path, '/'); slash && slash > path;) {
        size_t len = (size_t)(slash - path), lo = 0, hi = l->n;
        while (lo < hi) {
            size_t mid = (lo + hi) / 2;
            int c = strncmp(l->rows[mid].path, path, len);
            c = c ? c : l->rows[mid].path[len] != 0;
            if (c == 0)
                return &l->rows[mid];
            if (c < 0)
                lo = mid + 1;
            else
                hi = mid;
        }
        do
            slash--;
        while (slash > path && *slash != '/');
    }
    return NULL;
}

static void mail_list_deinit(struct mail_list *l)
{
    for (size_t i = 0; i < l->n; i++) {
        free(l->rows[i].path);
        free(l->rows[i].sender);
        free(l->rows[i].recipients);
    }
    free(l->rows);
}

static void day_of(char out[static 11], int64_t ns)
{
    time_t t = (time_t)(ns / 1000000000);
    struct tm tm;
    if (!gmtime_r(&t, &tm) || !strftime(out, 11, "%Y-%m-%d", &tm))
        out[0] = 0;
}

static const char *column(sqlite3_stmt *q, int i)
{
    const char *s = (const char *)sqlite3_column_text(q, i);
    return s ? s : "";
}

static bool take_row(struct comparing *c, struct mail_list *mails, sqlite3_stmt *q, filter_fn fn,
                     void *ctx)
{
    struct filter_doc d = { .id = sqlite3_column_int64(q, 0),
                            .path = column(q, 1),
                            .title = (const char *)sqlite3_column_text(q, 2),
                            .format = (const char *)sqlite3_column_text(q, 3),
                            .n_chunks = (uint32_t)sqlite3_column_int64(q, 5),
                            .n_pages = (uint32_t)sqlite3_column_int64(q, 6),
                            .first_chunk = sqlite3_column_int64(q, 7),
                            .sender = column(q, 8),
                            .text_len = (size_t)sqlite3_column_int64(q, 11) };
    const char *recipients = column(q, 9), *date = column(q, 10);
    if (sqlite3_column_type(q, 8) != SQLITE_NULL) {
        if (!mail_remember(mails, d.path, d.sender, recipients, date))
            return false;
    } else {
        const struct mail_row *above = mail_above(mails, d.path);
        if (above) {
            d.sender = above->sender;
            recipients = above->recipients;
            date = above->date;
        }
    }
    if (date[0])
        snprintf(d.date, sizeof(d.date), "%.10s", date);
    else
        day_of(d.date, sqlite3_column_int64(q, 4));
    return !passes(c, &d, recipients) || fn(ctx, &d);
}

enum kt_status filter_each(struct kt_matter *m, const struct filter *f, filter_fn fn, void *ctx,
                           struct kt_error *err)
{
    struct comparing c = { .f = f };
    struct mail_list mails = { 0 };
    sqlite3_stmt *q = NULL;
    for (size_t i = 0; i < f->n; i++)
        fold_text(&c.wanted[i], f->items[i].value);
    enum kt_status st = db_prepare(
        &q, m,
        "SELECT d.id, d.path, d.title, d.format, d.mtime_ns, d.n_chunks, d.n_pages, c.id, "
        "f.sender, f.recipients, f.date, d.text_len FROM documents d "
        "CROSS JOIN chunks c ON c.doc_id = d.id AND c.seq = 0 LEFT JOIN mails f ON f.doc_id = d.id "
        "ORDER BY d.path",
        err);
    int rc = SQLITE_DONE;
    while (!st && (rc = sqlite3_step(q)) == SQLITE_ROW)
        if (!take_row(&c, &mails, q, fn, ctx) || c.field.failed)
            st = kt_fail(err, KT_E_NOMEM, "store: out of memory for a filter");
    if (!st && rc != SQLITE_DONE)
        st = db_fail(m, "read documents", err);
    sqlite3_finalize(q);
    for (size_t i = 0; i < f->n; i++)
        buf_deinit(&c.wanted[i]);
    buf_deinit(&c.field);
    mail_list_deinit(&mails);
    return st;
}

/* ---- chunks ---------------------------------------------------------------------------------- */

static bool allow(void *ctx, const struct filter_doc *d)
{
    struct allowed *a = ctx;
    if (a->n == a->cap) {
        size_t cap = a->cap ? 2 * a->cap : 64;
        struct chunk_range *p = realloc(a->ranges, cap * sizeof(*p));
        if (!p)
            return false;
        a->ranges = p;
        a->cap = cap;
    }
    a->ranges[a->n++] = (struct chunk_range){ d->first_chunk, d->n_chunks };
    return true;
}

static int by_first(const void *a, const void *b)
{
    const struct chunk_range *x = a, *y = b;
    return (x->first > y->first) - (x->first < y->first);
}

enum kt_status filter_chunks(struct kt_matter *m, const struct filter *f, struct allowed *out,
                             struct kt_error *err)
{
    *out = (struct allowed){ .all = f->n == 0 };
    if (out->all)
        return KT_OK;
    enum kt_status st = filter_each(m, f, allow, out, err);
    if (out->n)
        qsort(out->ranges, out->n, sizeof(*out->ranges), by_first);
    return st;
}

bool allowed_has(const struct allowed *a, int64_t chunk_id)
{
    if (a->all)
        return true;
    size_t lo = 0, hi = a->n; /* the last range that begins at or before it */
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (a->ranges[mid].first <= chunk_id)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo && chunk_id < a->ranges[lo - 1].first + a->ranges[lo - 1].n;
}

void allowed_deinit(struct allowed *a)
{
    free(a->ranges);
    *a = (struct allowed){ 0 };
}
