#include <string.h>
#include <strings.h>

#include "base/size.h"
#include "quality/suite_priv.h"

/* Which column is what; SIZE_MAX: none. */
struct columns {
    size_t question, answer, subject, language;
    size_t choice[CHOICES_MAX], n_choices;
};

static bool is_named(struct span field, const char *name)
{
    struct span f = span_trim(field);
    return f.len == strlen(name) && strncasecmp(f.ptr, name, f.len) == 0;
}

static size_t named(const struct span *fields, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++) {
        if (is_named(fields[i], name))
            return i;
    }
    return SIZE_MAX;
}

/* False: the first row is no row of names. */
static bool columns_by_name(struct columns *c, const struct span *fields, size_t n)
{
    c->question = named(fields, n, "question");
    c->answer = named(fields, n, "answer");
    c->subject = named(fields, n, "subject");
    c->language = named(fields, n, "language");
    if (c->question == SIZE_MAX || c->answer == SIZE_MAX)
        return false;
    for (c->n_choices = 0; c->n_choices < CHOICES_MAX; c->n_choices++) {
        const char letter[2] = { (char)('A' + c->n_choices), '\0' };
        c->choice[c->n_choices] = named(fields, n, letter);
        if (c->choice[c->n_choices] == SIZE_MAX)
            break;
    }
    return true;
}

static void columns_by_place(struct columns *c, size_t n)
{
    *c = (struct columns){ .answer = n - 1, .subject = SIZE_MAX, .language = SIZE_MAX };
    c->n_choices = MIN(n - 2, (size_t)CHOICES_MAX);
    for (size_t i = 0; i < c->n_choices; i++)
        c->choice[i] = i + 1;
}

static struct span at(const struct span *fields, size_t n, size_t idx)
{
    return idx < n ? fields[idx] : (struct span){ 0 };
}

static enum kt_status add_row(struct suite *s, const struct columns *c, const struct span *fields,
                              size_t n, const struct file_facts *f, size_t row,
                              struct kt_error *err)
{
    struct question *q = suite_push(s, f);
    if (!q)
        return kt_fail(err, KT_E_NOMEM, "%s: out of memory", f->path);
    q->text = at(fields, n, c->question);
    for (size_t i = 0; i < c->n_choices; i++) {
        struct span v = at(fields, n, c->choice[i]);
        if (span_trim(v).len == 0 && i >= 2) /* questions with fewer choices leave them empty */
            break;
        q->choices[q->n_choices++] = v;
    }
    if (c->subject < n)
        q->subject = fields[c->subject];
    if (c->language < n)
        q->language = fields[c->language];
    if (!letter_of(span_trim(at(fields, n, c->answer)), &q->answer))
        return kt_fail(err, KT_E_FORMAT, "%s: record %zu: the answer is no letter from A to Z",
                       f->path, row);
    return question_finish(q, f, row, err);
}

enum kt_status suite_add_csv(struct suite *s, struct span text, const struct file_facts *f,
                             struct kt_error *err)
{
    struct span fields[CSV_FIELDS_MAX];
    struct columns c;
    bool has_names = false;
    const char *error;
    size_t n, pos = 0, row = 1;
    for (; csv_next(text, &pos, &s->memory, fields, &n, &error); row++) {
        if (row == 1 && (has_names = columns_by_name(&c, fields, n)))
            continue;
        if (!has_names) {
            if (n < 4)
                return kt_fail(err, KT_E_FORMAT,
                               "%s: record %zu: %zu fields, expected a question, at least two "
                               "choices and a letter",
                               f->path, row, n);
            columns_by_place(&c, n);
        }
        enum kt_status st = add_row(s, &c, fields, n, f, row, err);
        if (st)
            return st;
    }
    return error ? kt_fail(err, KT_E_FORMAT, "%s: record %zu: %s", f->path, row, error) : KT_OK;
}
