/* office/fit.c: see fit.h. */
#include "office/fit.h"

#include <string.h>

#include "base/size.h"
#include "base/utf8.h"

/* Three quarters of the window, as much before the sentence as behind it where the text allows it. */
static bool narrow(struct shown *w, const struct kt_hit *h, const struct sentence *best)
{
    size_t from = (size_t)(best->text.ptr - h->text), to = from + best->text.len;
    size_t len = w->end - w->start, keep = MAX(len / 4 * 3, best->text.len);
    if (keep >= len)
        return false;
    size_t spare = (keep - best->text.len) / 2;
    w->start = MAX(w->start, from > spare ? from - spare : 0);
    w->end = MIN(w->end, MIN(to + spare, h->text_len));
    while (w->start < from && utf8_is_continuation(h->text[w->start]))
        w->start++;
    while (w->end > to && w->end < h->text_len && utf8_is_continuation(h->text[w->end]))
        w->end--;
    return w->end - w->start < len;
}

bool shown_less(struct shown *list, size_t *n, const struct kt_hit *hits,
                const struct sentence *best)
{
    if (*n == 1)
        return narrow(&list[0], &hits[list[0].hit], best);
    size_t at = *n - 1;
    if (list[at].hit == best->hit)
        at--;
    memmove(list + at, list + at + 1, (--*n - at) * sizeof(*list));
    return true;
}
