/* store/marks.c: see marks.h. */
#include "store/marks.h"

#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "store/terms.h"

enum { PART_MIN = 5 };

struct marking {
    const struct query_plan *p;
    struct buf found; /* struct kt_mark[] */
};

static bool phrase_has(struct span phrase, struct span term)
{
    for (size_t at = 0; (at = span_find(phrase, term, at)) != SIZE_MAX; at++) {
        size_t end = at + term.len;
        if ((at == 0 || phrase.ptr[at - 1] == ' ') && (end == phrase.len || phrase.ptr[end] == ' '))
            return true;
    }
    return false;
}

static bool is_asked_for(const struct query_plan *p, const struct term *t)
{
    struct span term = { t->ptr, t->len }, word = { t->word, t->word_len };
    for (size_t i = 0; i < p->n; i++) {
        struct span asked = { p->terms[i].text, p->terms[i].len };
        if (span_eq(asked, term) ||
            (t->word && asked.len >= PART_MIN && word.len >= asked.len + PART_MIN - 1 &&
             span_find(word, asked, 0) != SIZE_MAX))
            return true;
    }
    for (size_t i = 0; i < p->n_phrases; i++)
        if (phrase_has(buf_span(&p->phrases[i]), term))
            return true;
    return false;
}

/* A value is found after the pieces it is made of: it takes their place. */
static void mark(void *ctx, const struct term *t)
{
    struct marking *m = ctx;
    if (!t->len || !is_asked_for(m->p, t))
        return;
    size_t n = m->found.len / sizeof(struct kt_mark);
    struct kt_mark new = { t->start, t->end }, last;
    for (; n; n--) {
        memcpy(&last, m->found.ptr + (n - 1) * sizeof(last), sizeof(last));
        if (last.end <= new.start)
            break;
        new.start = MIN(new.start, last.start);
        new.end = MAX(new.end, last.end);
    }
    m->found.len = n * sizeof(new);
    buf_append(&m->found, &new, sizeof(new));
}

bool marks_find(const struct query_plan *p, struct span text, struct kt_mark **out, size_t *n)
{
    struct marking m = { .p = p };
    terms_each(text, mark, &m);
    *n = m.found.len / sizeof(struct kt_mark);
    *out = NULL;
    bool failed = m.found.failed;
    if (*n && !failed)
        *out = (struct kt_mark *)(void *)buf_take(&m.found);
    buf_deinit(&m.found);
    return !failed && (!*n || *out);
}
