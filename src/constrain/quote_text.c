/* constrain/quote_text.c: the sources, made comparable byte by byte, and the sorted places where a
 * quotation may start. Because the places are sorted by the text that follows, those that share any
 * beginning are one interval. */
#include "constrain/quote_text.h"

#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "base/utf8.h"

bool quote_is_space(int32_t cp)
{
    return (cp >= 0x09 && cp <= 0x0D) || cp == 0x20 || cp == 0x85 || cp == 0xA0 || cp == 0x1680 ||
           (cp >= 0x2000 && cp <= 0x200A) || cp == 0x2028 || cp == 0x2029 || cp == 0x202F ||
           cp == 0x205F || cp == 0x3000;
}

bool quote_is_mark(int32_t cp)
{
    switch (cp) {
    case '`':
    case 0xAB:   /* « */
    case 0xB4:   /* acute accent, typed as an apostrophe or mark */
    case 0xBB:   /* » */
    case 0x2018: /* left single; closes in German */
    case 0x201A:
    case 0x201B:
    case 0x201C:
    case 0x201D:
    case 0x201E:
    case 0x201F:
    case 0x2039: /* single guillemets */
    case 0x203A:
    case 0x2E42:
    case 0xFF02: /* full-width " */
    case 0xFF07:
        return true;
    default: /* heavy ornaments; CJK corner brackets; CJK double primes */
        return (cp >= 0x275B && cp <= 0x2760) || (cp >= 0x300C && cp <= 0x300F) ||
               (cp >= 0x301D && cp <= 0x301F) || (cp >= 0x1F676 && cp <= 0x1F678);
    }
}

static void put(struct quote_text *t, uint8_t byte, size_t origin)
{
    t->bytes[t->n] = byte;
    t->origin[t->n++] = (uint32_t)origin;
}

static void put_source(struct quote_text *t, const char *s, size_t len, bool no_backslash)
{
    size_t space_at = SIZE_MAX, n = 0;
    for (size_t i = 0; i < len; i += n) {
        int32_t cp = utf8_decode(s + i, len - i, &n);
        if (cp >= 0 && quote_is_space(cp)) {
            space_at = space_at == SIZE_MAX ? i : space_at;
            continue;
        }
        bool wall = cp < 0x20 || cp == 0x7F || cp == '"' || quote_is_mark(cp) ||
                    (cp == '\\' && no_backslash);
        if (t->bytes[t->n - 1] != 0) {
            if (wall)
                put(t, 0, i);
            else if (space_at != SIZE_MAX)
                put(t, ' ', space_at);
        }
        space_at = SIZE_MAX;
        for (size_t k = 0; !wall && k < n; k++)
            put(t, (uint8_t)s[i + k], i + k);
    }
    if (t->bytes[t->n - 1] != 0)
        put(t, 0, len);
}

/* Bytes of the opening character at p that a quotation may leave out, 0 if it is none. */
static size_t opening(const uint8_t *p)
{
    return *p && strchr("([{'*_", *p) ? 1 : 0;
}

/* The same for the closing character that ends before p; there are at least 'len' bytes before it.
 */
static size_t closing(const uint8_t *p, size_t len)
{
    if (len >= 1 && p[-1] && strchr(".,;:!?)]}'*_", p[-1]))
        return 1;
    return len >= 3 && memcmp(p - 3, "\xE2\x80\xA6", 3) == 0 ? 3 : 0; /* the ellipsis */
}

/* Word [a, b): note where a quotation may end in it; returns how many places it may start at. */
static size_t mark_word(struct quote_text *t, size_t a, size_t b, uint32_t *starts)
{
    if (b - a > QUOTE_WORD_MAX) {
        memset(t->bytes + a, 0, b - a);
        if (t->bytes[a - 1] == ' ') /* no live place may lead up to a wall through a space */
            t->bytes[a - 1] = 0;
        if (t->bytes[b] == ' ')
            t->bytes[b] = 0;
        return 0;
    }
    size_t n;
    for (size_t e = b; e > a; e -= n) {
        t->ends[e] = 1;
        n = closing(t->bytes + e, e - a);
        if (n == 0)
            break;
    }
    size_t n_starts = 0;
    for (size_t s = a; s < b; s += n) {
        starts[n_starts++] = (uint32_t)s;
        n = opening(t->bytes + s);
        if (n == 0)
            break;
    }
    return n_starts;
}

static void find_words(struct quote_text *t)
{
    size_t a = 1;
    for (size_t i = 1; i < t->n; i++) {
        if (t->bytes[i] != 0 && t->bytes[i] != ' ')
            continue;
        if (i > a)
            t->n_starts += mark_word(t, a, i, t->starts + t->n_starts);
        a = i + 1;
    }
}

/* Keep the starts from which min_bytes can be reached before the next wall. */
static void drop_short(struct quote_text *t, size_t min_bytes)
{
    size_t wall = t->n - 1, at = wall, kept = t->n_starts;
    for (size_t i = t->n_starts; i-- > 0;) {
        for (size_t s = t->starts[i]; at > s; at--)
            if (t->bytes[at - 1] == 0)
                wall = at - 1;
        if (wall - at >= min_bytes)
            t->starts[--kept] = (uint32_t)at;
    }
    t->n_starts -= kept;
    memmove(t->starts, t->starts + kept, t->n_starts * sizeof(*t->starts));
}

struct order {
    const uint8_t *bytes;
    size_t n_compared;
};

static int by_text(const void *pa, const void *pb, void *ctx)
{
    const struct order *o = ctx;
    uint32_t a = *(const uint32_t *)pa, b = *(const uint32_t *)pb;
    int c = strncmp((const char *)o->bytes + a, (const char *)o->bytes + b, o->n_compared);
    return c ? c : (a > b) - (a < b);
}

enum kt_status quote_text_init(struct quote_text *t, const struct kt_quote_source *sources,
                               size_t n_sources, size_t min_bytes, size_t max_bytes,
                               bool no_backslash, struct kt_error *err)
{
    memset(t, 0, sizeof(*t));
    size_t total = 2; /* the first wall, and room to look at the byte after the last */
    for (size_t i = 0; i < n_sources; i++)
        if (sources[i].text_len > QUOTE_SOURCE_MAX ||
            !size_add(&total, total, sources[i].text_len + 1) || total > QUOTE_SOURCE_MAX)
            return kt_fail(err, KT_E_LIMIT,
                           "quotations: the sources are larger than %d MB together",
                           QUOTE_SOURCE_MAX >> 20);
    t->bytes = calloc(total, 1);
    t->origin = calloc(total, sizeof(*t->origin));
    t->ends = calloc(total, 1);
    t->starts = calloc(total, sizeof(*t->starts)); /* each is a byte of its own */
    t->src_first = calloc(n_sources + 1, sizeof(*t->src_first));
    t->n_sources = n_sources;
    if (!t->bytes || !t->origin || !t->ends || !t->starts || !t->src_first) {
        quote_text_deinit(t);
        return kt_fail(err, KT_E_NOMEM, "quotations: out of memory for %zu bytes of sources",
                       total);
    }
    put(t, 0, 0);
    for (size_t i = 0; i < n_sources; i++) {
        t->src_first[i] = (uint32_t)t->n;
        put_source(t, sources[i].text, sources[i].text_len, no_backslash);
    }
    find_words(t);
    drop_short(t, min_bytes);
    /* No quotation grows further than this: max_bytes may fall into a word, which is then finished.
     */
    struct order o = { t->bytes, max_bytes + QUOTE_WORD_MAX + 2 };
    qsort_r(t->starts, t->n_starts, sizeof(*t->starts), by_text, &o);
    return KT_OK;
}

void quote_text_deinit(struct quote_text *t)
{
    free(t->bytes);
    free(t->origin);
    free(t->ends);
    free(t->starts);
    free(t->src_first);
    memset(t, 0, sizeof(*t));
}

size_t quote_text_source(const struct quote_text *t, size_t idx)
{
    size_t lo = 0, hi = t->n_sources; /* the last source whose first byte is not behind idx */
    while (hi - lo > 1) {
        size_t mid = lo + (hi - lo) / 2;
        if (t->src_first[mid] <= idx)
            lo = mid;
        else
            hi = mid;
    }
    return lo;
}

/* ---- places ---------------------------------------------------------------------------------- */

bool quote_text_has_places(const struct quote_text *t)
{
    return t->n_starts > 0;
}

struct quote_place quote_place_all(const struct quote_text *t)
{
    return (struct quote_place){ .hi = (uint32_t)t->n_starts };
}

uint32_t quote_place_that_ends(const struct quote_text *t, const struct quote_place *p)
{
    uint32_t first = 0;
    for (uint32_t i = p->lo; i < p->hi; i++) {
        uint32_t at = t->starts[i];
        if (t->ends[at + p->depth] && (first == 0 || at < first))
            first = at;
    }
    return first;
}

bool quote_place_may_end(const struct quote_text *t, const struct quote_place *p, size_t min_bytes)
{
    if (p->depth < min_bytes)
        return false;
    for (uint32_t i = p->lo; i < p->hi; i++)
        if (t->ends[t->starts[i] + p->depth])
            return true;
    return false;
}

int quote_place_only_byte(const struct quote_text *t, const struct quote_place *p)
{
    if (p->lo >= p->hi)
        return -1;
    uint8_t first =
        t->bytes[t->starts[p->lo] + p->depth]; /* sorted: those between are equal, too */
    return first && first == t->bytes[t->starts[p->hi - 1] + p->depth] ? first : -1;
}

bool quote_place_goes_on(const struct quote_text *t, const struct quote_place *p)
{
    /* Sorted by what follows: if any has more, the last has; a wall is 0. */
    return p->lo < p->hi && t->bytes[t->starts[p->hi - 1] + p->depth] != 0;
}

/* The first of starts[lo..p->hi) whose next byte is at least 'byte'. */
static uint32_t lower_bound(const struct quote_text *t, const struct quote_place *p, uint32_t lo,
                            unsigned byte)
{
    uint32_t hi = p->hi;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (t->bytes[t->starts[mid] + p->depth] < byte)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

bool quote_place_step(const struct quote_text *t, struct quote_place *p, uint8_t byte)
{
    if (byte == 0)
        return false;
    p->lo = lower_bound(t, p, p->lo, byte);
    p->hi = lower_bound(t, p, p->lo, byte + 1u);
    p->depth++;
    return p->lo < p->hi;
}

/* ---- comparing
 * ----------------------------------------------------------------------------------- */

/* Next character of *s at *i, every run of white space as one ' '; -1 at the end. */
static int32_t next_char(struct span s, size_t *i)
{
    size_t n;
    bool space = false;
    while (*i < s.len) {
        int32_t cp = utf8_decode(s.ptr + *i, s.len - *i, &n);
        if (cp < 0 || !quote_is_space(cp)) {
            if (space)
                return ' ';
            *i += n;
            return cp < 0 ? 0x110000 : cp; /* ill-formed equals nothing but ill-formed */
        }
        space = true;
        *i += n;
    }
    return space ? ' ' : -1;
}

bool kt_quote_matches(const char *a, size_t a_len, const char *b, size_t b_len)
{
    size_t i = 0, k = 0;
    int32_t x, y;
    do {
        x = next_char((struct span){ a, a_len }, &i);
        y = next_char((struct span){ b, b_len }, &k);
    } while (x == y && x >= 0);
    return x == y;
}
