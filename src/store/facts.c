/* store/facts.c: see facts.h. The head is hostile like everything in a document: it is read line by line up to the first empty
 * line, HEAD_MAX bytes at most, and a date that is none is left out. */
#include "store/facts.h"

#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

#include "base/size.h"
#include "base/utf8.h"
#include "store/store_priv.h"

enum { HEAD_MAX = 16384, FIELD_MAX = 1000 };

bool mail_facts_apply(const char *format)
{
    return format && (!strcmp(format, "mail") || !strcmp(format, "msg"));
}

/* At most FIELD_MAX bytes, whole characters. */
static struct span clipped(struct span s)
{
    size_t n = MIN(s.len, (size_t)FIELD_MAX);
    while (n && n < s.len && utf8_is_continuation(s.ptr[n]))
        n--;
    return (struct span){ s.ptr, n };
}

/* The value when the line begins with the name, and the field was not met before. */
static void take_field(struct span *field, struct span line, const char *name)
{
    if (!field->len && span_starts(line, span_of(name)))
        *field = clipped(span_trim(span_sub(line, strlen(name), line.len)));
}

static size_t digits_at(struct span s, size_t at, unsigned *value)
{
    size_t n = 0;
    *value = 0;
    while (n < 4 && at + n < s.len && s.ptr[at + n] >= '0' && s.ptr[at + n] <= '9')
        *value = *value * 10 + (unsigned)(s.ptr[at + n++] - '0');
    return n;
}

/* "Mon, 12 Mar 2024 10:00:00 +0100" and "2024-03-12T10:00" */
static void read_date(char out[static 11], struct span s)
{
    static const char MONTHS[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    unsigned y = 0, m = 0, d = 0;
    size_t at = 0, n;
    while (at < s.len && (s.ptr[at] < '0' || s.ptr[at] > '9'))
        at++;
    n = digits_at(s, at, &d);
    if (n == 4 && at + 10 <= s.len && s.ptr[at + 4] == '-' && s.ptr[at + 7] == '-') {
        y = d;
        digits_at(s, at + 5, &m);
        digits_at(s, at + 8, &d);
    } else if (n == 1 || n == 2) {
        at += n;
        while (at < s.len && (s.ptr[at] == ' ' || s.ptr[at] == '-'))
            at++;
        for (size_t i = 0; i < 12 && at + 3 <= s.len; i++)
            if (!strncmp(s.ptr + at, MONTHS + 3 * i, 3))
                m = (unsigned)i + 1;
        while (at < s.len && (s.ptr[at] < '0' || s.ptr[at] > '9'))
            at++;
        if (digits_at(s, at, &y) == 2)
            y += y < 70 ? 2000 : 1900;
    }
    if (y >= 1900 && y <= 2999 && m >= 1 && m <= 12 && d >= 1 && d <= 31)
        snprintf(out, 11, "%04u-%02u-%02u", y % 10000, m % 100, d % 100);
}

void mail_facts_read(struct mail_facts *out, struct span text)
{
    *out = (struct mail_facts){ 0 };
    struct span head = span_sub(text, 0, HEAD_MAX), date = { 0 };
    for (size_t at = 0; at < head.len;) {
        size_t end = span_find(head, SPAN("\n"), at);
        struct span line = span_sub(head, at, end == SIZE_MAX ? head.len : end);
        if (!line.len)
            break;
        take_field(&out->sender, line, "From:");
        take_field(&out->recipients, line, "To:");
        take_field(&date, line, "Date:");
        at += line.len + 1;
    }
    read_date(out->date, date);
}

/* ---- the table ------------------------------------------------------------------------------- */

static enum kt_status put_row(struct kt_matter *m, sqlite3_stmt *q, int64_t doc_id,
                              struct span text, struct kt_error *err)
{
    struct mail_facts f;
    mail_facts_read(&f, text);
    sqlite3_bind_int64(q, 1, doc_id);
    sqlite3_bind_text64(q, 2, f.sender.len ? f.sender.ptr : "", f.sender.len, SQLITE_STATIC,
                        SQLITE_UTF8);
    sqlite3_bind_text64(q, 3, f.recipients.len ? f.recipients.ptr : "", f.recipients.len,
                        SQLITE_STATIC, SQLITE_UTF8);
    sqlite3_bind_text(q, 4, f.date, -1, SQLITE_STATIC);
    return db_run(m, q, "store a mail's head", err);
}

#define PUT "INSERT OR REPLACE INTO mails(doc_id, sender, recipients, date) VALUES(?1,?2,?3,?4)"

enum kt_status facts_put(struct kt_matter *m, int64_t doc_id, const char *format, struct span text,
                         struct kt_error *err)
{
    sqlite3_stmt *q;
    if (!mail_facts_apply(format) || !text.len)
        return KT_OK;
    enum kt_status st = db_prepare(&q, m, PUT, err);
    if (!st)
        st = put_row(m, q, doc_id, text, err);
    sqlite3_finalize(q);
    return st;
}

static enum kt_status fill(struct kt_matter *m, struct kt_error *err)
{
    sqlite3_stmt *docs = NULL, *put = NULL;
    enum kt_status st = db_prepare(
        &docs, m,
        "SELECT id, text_len FROM documents WHERE format IN ('mail', 'msg') AND text_len > 0", err);
    if (!st)
        st = db_prepare(&put, m, PUT, err);
    int rc = SQLITE_DONE;
    while (!st && (rc = sqlite3_step(docs)) == SQLITE_ROW) {
        struct buf head = { 0 };
        int64_t id = sqlite3_column_int64(docs, 0);
        size_t len = (size_t)sqlite3_column_int64(docs, 1);
        st = text_slice(m, id, 0, MIN(len, (size_t)HEAD_MAX), &head, err);
        if (!st)
            st = put_row(m, put, id, buf_span(&head), err);
        buf_deinit(&head);
    }
    if (!st && rc != SQLITE_DONE)
        st = db_fail(m, "read documents", err);
    sqlite3_finalize(docs);
    sqlite3_finalize(put);
    return st;
}

static enum kt_status make(struct kt_matter *m, struct kt_error *err)
{
    enum kt_status st = db_begin(m, err);
    if (st)
        return st;
    st = db_exec(m,
                 "CREATE TABLE mails("
                 "  doc_id INTEGER PRIMARY KEY REFERENCES documents(id) ON DELETE CASCADE,"
                 "  sender TEXT NOT NULL, recipients TEXT NOT NULL, date TEXT NOT NULL)",
                 "make the table of mails", err);
    if (!st)
        st = fill(m, err);
    return db_end(m, st, err);
}

enum kt_status facts_prepare(struct kt_matter *m, struct kt_error *err)
{
    sqlite3_stmt *q;
    enum kt_status st = db_prepare(&q, m, "SELECT 1 FROM sqlite_master WHERE name = 'mails'", err);
    bool there = !st && sqlite3_step(q) == SQLITE_ROW;
    sqlite3_finalize(q);
    if (st || there)
        return st;
    if (m->access == KT_WRITE)
        return make(m, err);
    return kt_fail(err, KT_E_UNSUPPORTED,
                   "matter '%s': indexed by another version of Kontor; add anything to it once, "
                   "which brings the index up to date",
                   m->name);
}
