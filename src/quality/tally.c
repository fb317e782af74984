#include "quality/tally.h"

#include <stdlib.h>
#include <string.h>

#include "base/size.h"

static struct span key_of(const struct question *q, enum tally_by by)
{
    if (by == TALLY_ALL)
        return (struct span){ "", 0 };
    return by == TALLY_SUBJECT ? q->subject : q->language;
}

static int compare(struct span a, struct span b)
{
    size_t n = MIN(a.len, b.len);
    int c = n ? memcmp(a.ptr, b.ptr, n) : 0;
    return c ? c : (a.len > b.len) - (a.len < b.len);
}

static int by_name(const void *a, const void *b)
{
    return compare(((const struct tally *)a)->name, ((const struct tally *)b)->name);
}

enum kt_status tally(const struct suite *s, const int8_t *chosen, enum tally_by by,
                     struct tally **out, size_t *n, struct kt_error *err)
{
    size_t n_rows = 0, n_merged = 0;
    struct tally *rows = calloc(s->n + 1, sizeof(*rows));
    if (!rows)
        return kt_fail(err, KT_E_NOMEM, "eval: out of memory");
    for (size_t i = 0; i < s->n; i++) {
        if (chosen[i] == CHOSEN_NOT_YET)
            continue;
        rows[n_rows++] = (struct tally){ .name = key_of(&s->list[i], by),
                                         .n = 1,
                                         .n_right = chosen[i] == (int)s->list[i].answer,
                                         .n_none = chosen[i] == CHOSEN_NONE };
    }
    qsort(rows, n_rows, sizeof(*rows), by_name);
    for (size_t i = 0; i < n_rows; i++) {
        if (n_merged == 0 || compare(rows[n_merged - 1].name, rows[i].name) != 0) {
            rows[n_merged++] = rows[i];
            continue;
        }
        rows[n_merged - 1].n++;
        rows[n_merged - 1].n_right += rows[i].n_right;
        rows[n_merged - 1].n_none += rows[i].n_none;
    }
    *out = rows;
    *n = n_merged;
    return KT_OK;
}
