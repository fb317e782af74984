/* constrain/schema_number.c: numbers, exactly: decimals that are compared digit by digit, and automata that read a number as
 * text and know at its end how it compares with a bound, or what its remainder is.
 *
 * Whoever reads the JSON may keep numbers as doubles. 15 digits survive that, and their order does: where there are
 * bounds, numbers with a fraction have at most 15 digits (or as many as a bound has), so that 9.99999999999999999 is
 * not written where 10 is excluded. Negative zero is not written. */
#include "constrain/schema_priv.h"

#include <string.h>

#include "base/size.h"

enum { DIGITS_DOUBLE = 15, DIGITS_WHOLE = 18, DIGITS_MOST = 320, EXPONENT_MOST = 400 };

/* ---- decimals ----------------------------------------------------------------------------------- */

bool decimal_read(struct compilation *c, struct decimal *out, struct span text)
{
    char *digit = sc_alloc(c, text.len + 1, 1);
    size_t n = 0, i = 0;
    long point = 0, exponent = 0;
    bool fraction = false;
    *out = (struct decimal){ 0 };
    if (!digit)
        return false;
    out->negative = text.len && text.ptr[0] == '-';
    for (i = out->negative; i < text.len && (text.ptr[i] | 0x20) != 'e'; i++) {
        if (text.ptr[i] == '.') {
            fraction = true;
            continue;
        }
        if (n == 0 && text.ptr[i] == '0') {
            point -= fraction;
            continue;
        }
        digit[n++] = text.ptr[i];
        point += !fraction;
    }
    bool minus = false;
    for (i++; i < text.len; i++) {
        minus = minus || text.ptr[i] == '-';
        if (text.ptr[i] >= '0' && text.ptr[i] <= '9')
            exponent = MIN(exponent * 10 + (text.ptr[i] - '0'), 1000000L);
    }
    while (n && digit[n - 1] == '0')
        n--;
    out->digit = digit;
    out->n_digits = n;
    out->negative = out->negative && n;
    out->point = n ? point + (minus ? -exponent : exponent) : 0;
    if (out->point > EXPONENT_MOST || out->point < -EXPONENT_MOST || n > DIGITS_MOST) {
        sc_fail(c, KT_E_LIMIT, NULL, NULL, "a number beyond what doubles can tell");
        return false;
    }
    return true;
}

static int compare_size(const struct decimal *a, const struct decimal *b)
{
    if (!a->n_digits || !b->n_digits)
        return (a->n_digits > 0) - (b->n_digits > 0);
    if (a->point != b->point)
        return a->point < b->point ? -1 : 1;
    int d = memcmp(a->digit, b->digit, MIN(a->n_digits, b->n_digits));
    return d ? (d < 0 ? -1 : 1) : (a->n_digits > b->n_digits) - (a->n_digits < b->n_digits);
}

int decimal_compare(const struct decimal *a, const struct decimal *b)
{
    if (a->negative != b->negative)
        return a->negative ? -1 : 1;
    return a->negative ? -compare_size(a, b) : compare_size(a, b);
}

bool decimal_is_whole(const struct decimal *d)
{
    return d->n_digits == 0 || (long)d->n_digits <= d->point;
}

/* The digit at 10^place. */
static char digit_at(const struct decimal *d, long place)
{
    long i = d->point - 1 - place;
    return i >= 0 && i < (long)d->n_digits ? d->digit[i] : '0';
}

/* Digits before the point, at least one, and behind it. */
static size_t n_before(const struct decimal *d)
{
    return d->n_digits && d->point > 0 ? (size_t)d->point : 1;
}

static size_t n_behind(const struct decimal *d)
{
    return decimal_is_whole(d) ? 0 : (size_t)((long)d->n_digits - d->point);
}

void decimal_write(struct buf *out, const struct decimal *d)
{
    if (d->negative)
        buf_append_char(out, '-');
    for (size_t i = n_before(d); i-- > 0;)
        buf_append_char(out, digit_at(d, (long)i));
    if (n_behind(d))
        buf_append_char(out, '.');
    for (size_t i = 0; i < n_behind(d); i++)
        buf_append_char(out, digit_at(d, -1 - (long)i));
}

bool decimal_u64(const struct decimal *d, uint64_t max, uint64_t *out)
{
    if (d->negative || !decimal_is_whole(d) || d->point > 18)
        return false;
    *out = 0;
    for (size_t i = n_before(d); i-- > 0;)
        *out = *out * 10 + (uint64_t)(digit_at(d, (long)i) - '0');
    return *out <= max;
}

/* ---- automata of number texts ------------------------------------------------------------------- */

/* Kinds of characters: 0 what stands in no number, then these, then the digits. */
enum { K_OTHER, K_MINUS, K_POINT, K_DIGIT, N_KINDS = K_DIGIT + 10 };

static struct dfa *table(struct compilation *c, size_t n_states)
{
    static const uint32_t CUTS[] = { 0,   '-', '.', '/', '0', '1',     '2',    '3',   '4',
                                     '5', '6', '7', '8', '9', '9' + 1, 0xD800, 0xE000 };
    static const uint16_t KINDS[] = { K_OTHER,     K_MINUS,     K_POINT,     K_OTHER,
                                      K_DIGIT,     K_DIGIT + 1, K_DIGIT + 2, K_DIGIT + 3,
                                      K_DIGIT + 4, K_DIGIT + 5, K_DIGIT + 6, K_DIGIT + 7,
                                      K_DIGIT + 8, K_DIGIT + 9, K_OTHER,     NO_KIND,
                                      K_OTHER };
    struct dfa *d = sc_alloc(c, 1, sizeof(*d));
    if (!d)
        return NULL;
    *d = (struct dfa){
        .n_cuts = ARRAY_LEN(CUTS), .n_kinds = N_KINDS, .n_states = n_states, .start = 1
    };
    d->cut = sc_alloc(c, d->n_cuts, sizeof(*d->cut));
    d->kind_of = sc_alloc(c, d->n_cuts, sizeof(*d->kind_of));
    d->next = sc_alloc(c, n_states * N_KINDS, sizeof(*d->next));
    d->accepts = sc_alloc(c, n_states, sizeof(*d->accepts));
    if (c->st)
        return NULL;
    memcpy(d->cut, CUTS, sizeof(CUTS));
    memcpy(d->kind_of, KINDS, sizeof(KINDS));
    return d;
}

static void arrow(struct dfa *d, size_t from, size_t kind, size_t to)
{
    d->next[from * N_KINDS + kind] = (uint32_t)to;
}

enum { LESS = 1, EQUAL = 2, MORE = 4 };

/* How the size of a number compares: the digits before the point are counted and compared on the way, as there are no
 * leading zeros; those behind it are compared until they differ. */
struct comparing {
    const struct decimal *b;
    size_t n_int, n_frac; /* digits of the bound */
    size_t base;          /* its first state     */
};

static size_t int_state(const struct comparing *m, size_t k, int r)
{
    return m->base + (k - 1) * 3 + (size_t)r; /* k: 1 ... n_int + 1; r: 0 less, 1 equal, 2 more */
}

static size_t frac_state(const struct comparing *m, size_t j) /* equal so far */
{
    return m->base + (m->n_int + 1) * 3 + j;
}

static size_t decided_state(const struct comparing *m, int r)
{
    return frac_state(m, m->n_frac + 1) + (r == 2);
}

static size_t n_compare_states(const struct comparing *m)
{
    return (m->n_int + 1) * 3 + m->n_frac + 1 + 2;
}

static int against(char digit, char bound)
{
    return digit < bound ? 0 : digit == bound ? 1 : 2;
}

/* States of one sign; ok[r]: is it accepted when the size is less, equal, more? 'from' reads the first digit. */
static void add_compare(struct dfa *d, const struct comparing *m, size_t from, const bool ok[3])
{
    for (char x = '0'; x <= '9'; x++) {
        size_t kind = K_DIGIT + (size_t)(x - '0');
        arrow(d, from, kind, int_state(m, 1, against(x, digit_at(m->b, (long)m->n_int - 1))));
        for (size_t k = 1; k <= m->n_int + 1; k++) {
            for (int r = 0; r < 3; r++) {
                bool more = k >= m->n_int; /* more digits than the bound has */
                int next =
                    more || r != 1 ? r : against(x, digit_at(m->b, (long)(m->n_int - 1 - k)));
                arrow(d, int_state(m, k, r), kind, int_state(m, more ? m->n_int + 1 : k + 1, next));
            }
        }
        for (size_t j = 0; j <= m->n_frac; j++) {
            int r = against(x, digit_at(m->b, -1 - (long)j));
            size_t equal = frac_state(m, MIN(j + 1, m->n_frac));
            arrow(d, frac_state(m, j), kind, r == 1 ? equal : decided_state(m, r));
        }
        arrow(d, decided_state(m, 0), kind, decided_state(m, 0));
        arrow(d, decided_state(m, 2), kind, decided_state(m, 2));
    }
    for (size_t k = 1; k <= m->n_int + 1; k++) {
        for (int r = 0; r < 3; r++) {
            int whole = k < m->n_int ? 0 : k > m->n_int ? 2 : r;
            arrow(d, int_state(m, k, r), K_POINT,
                  whole == 1 ? frac_state(m, 0) : decided_state(m, whole));
            d->accepts[int_state(m, k, r)] = ok[whole == 1 && m->n_frac ? 0 : whole];
        }
    }
    for (size_t j = 0; j <= m->n_frac; j++)
        d->accepts[frac_state(m, j)] = ok[j < m->n_frac ? 0 : 1];
    d->accepts[decided_state(m, 0)] = ok[0];
    d->accepts[decided_state(m, 2)] = ok[2];
}

/* Numbers that compare with b in one of the ways of 'mask'. */
static const struct dfa *compared(struct compilation *c, const struct decimal *b, unsigned mask)
{
    struct comparing plus = { .b = b, .n_int = n_before(b), .n_frac = n_behind(b), .base = 3 };
    struct comparing minus = plus;
    minus.base = plus.base + n_compare_states(&plus);
    struct dfa *d = table(c, minus.base + n_compare_states(&minus));
    if (!d)
        return NULL;
    bool less = mask & LESS, equal = mask & EQUAL, more = mask & MORE;
    bool as_is[3] = { less, equal, more }, turned[3] = { more, equal, less },
         all_less[3] = { less, less, less }, all_more[3] = { more, more, more };
    arrow(d, 1, K_MINUS, 2);
    add_compare(d, &plus, 1, b->negative ? all_more : as_is);
    add_compare(d, &minus, 2, b->negative ? turned : all_less);
    return dfa_small(c, d);
}

/* factor = p / 10^q. */
static bool factor_of(struct compilation *c, const struct js *factor, uint64_t *p, size_t *q)
{
    struct decimal f;
    if (!decimal_read(c, &f, factor->text))
        return false;
    *q = n_behind(&f);
    f.point += (long)*q;
    return decimal_u64(&f, UINT64_MAX / 32, p) && *p > 0 && *q < 64;
}

/* r x 10^n mod p. */
static uint64_t shifted(uint64_t r, size_t n, uint64_t p)
{
    for (r %= p; n > 0; n--)
        r = r * 10 % p;
    return r;
}

bool number_is_multiple(struct compilation *c, struct span number, const struct js *factor)
{
    uint64_t p, r = 0;
    size_t q;
    struct decimal d;
    if (!decimal_read(c, &d, number))
        return false;
    if (!factor_of(c, factor, &p, &q)) {
        sc_fail(c, KT_E_LIMIT, factor, NULL, "a factor with too many digits");
        return false;
    }
    if (n_behind(&d) > q)
        return false;
    for (long place = (long)n_before(&d) - 1; place >= -(long)q; place--)
        r = (r * 10 + (uint64_t)(digit_at(&d, place) - '0')) % p;
    return r == 0;
}

static const struct dfa *multiples(struct compilation *c, const struct js *factor)
{
    uint64_t p;
    size_t q;
    if (!factor_of(c, factor, &p, &q) || p * (q + 2) > SCHEMA_FACTOR_MAX) {
        sc_fail(
            c, KT_E_LIMIT, factor, NULL,
            "the remainder of this factor takes more than %d states; use a smaller or rounder one",
            SCHEMA_FACTOR_MAX);
        return NULL;
    }
    /* 1 the start, 2 behind a minus, 3 + r before the point, then p for each number of digits behind it. */
    struct dfa *d = table(c, 3 + p * (q + 2));
    if (!d)
        return NULL;
    arrow(d, 1, K_MINUS, 2);
    for (uint64_t r = 0; r < p; r++) {
        d->accepts[3 + r] = shifted(r, q, p) == 0;
        arrow(d, 3 + r, K_POINT, 3 + p + r);
        for (size_t f = 0; f <= q; f++)
            d->accepts[3 + p * (f + 1) + r] = shifted(r, q - f, p) == 0;
        for (uint64_t x = 0; x < 10; x++) {
            uint64_t next = (r * 10 + x) % p;
            arrow(d, 3 + r, K_DIGIT + x, 3 + next);
            for (size_t f = 0; f < q; f++)
                arrow(d, 3 + p * (f + 1) + r, K_DIGIT + x, 3 + p * (f + 2) + next);
        }
        arrow(d, 3 + p * (q + 1) + r, K_DIGIT, 3 + p * (q + 1) + r);
    }
    for (uint64_t x = 0; x < 10; x++) {
        arrow(d, 1, K_DIGIT + x, 3 + x % p);
        arrow(d, 2, K_DIGIT + x, 3 + x % p);
    }
    return dfa_small(c, d);
}

/* ---- what an atom says ------------------------------------------------------------------------- */

/* The texts of numbers of these types, of at most n_digits digits. */
static const struct dfa *texts(struct compilation *c, unsigned types, size_t n_digits)
{
    struct span pattern = types == T_INTEGER ? SPAN("^(0|-?[1-9][0-9]*)$")
                          : types == T_FRACTION
                              ? SPAN("^-?(0|[1-9][0-9]*)\\.[0-9]*[1-9]$")
                              : SPAN("^(0|-?[1-9][0-9]*|(0|-?[1-9][0-9]*)\\.[0-9]+|"
                                     "-0\\.[0-9]*[1-9])$");
    const struct dfa *d = regex_dfa(c, pattern, NULL, NULL, NULL);
    struct dfa *few = table(c, n_digits + 2);
    if (!d || !few)
        return NULL;
    for (size_t s = 1; s < n_digits + 2; s++) {
        few->accepts[s] = true;
        arrow(few, s, K_MINUS, s);
        arrow(few, s, K_POINT, s);
        for (size_t x = 0; x < 10 && s <= n_digits; x++)
            arrow(few, s, K_DIGIT + x, s + 1);
    }
    return dfa_and(c, d, few, NULL, "a number");
}

struct limits {
    struct compilation *c;
    const struct dfa *d;
    size_t n_digits;
    bool measure; /* the first of two rounds: how many digits, and is there anything? */
    bool any;
};

static void limit(struct limits *l, struct span number, unsigned mask, const struct js *at)
{
    struct decimal b;
    if (!decimal_read(l->c, &b, number))
        return;
    l->any = true;
    if (l->measure)
        l->n_digits = MAX(l->n_digits, n_before(&b) + n_behind(&b) + 1);
    else if (l->d)
        l->d = dfa_and(l->c, l->d, compared(l->c, &b, mask), at, "the limits of a number");
}

static void factor(struct limits *l, const struct js *f, bool is_not)
{
    l->any = true;
    if (l->measure || !l->d)
        return;
    const struct dfa *d = multiples(l->c, f);
    l->d = dfa_and(l->c, l->d, is_not ? dfa_not(l->c, d) : d, f, "multipleOf with limits");
}

static void limits_of(struct limits *l, const struct js *node)
{
    static const struct {
        const char *key;
        unsigned mask;
    } KEYS[] = { { "minimum", EQUAL | MORE },
                 { "maximum", EQUAL | LESS },
                 { "exclusiveMinimum", MORE },
                 { "exclusiveMaximum", LESS } };
    for (size_t i = 0; i < ARRAY_LEN(KEYS); i++) {
        const struct js *v = js_get(node, KEYS[i].key);
        if (v)
            limit(l, v->text, KEYS[i].mask, v);
    }
    const struct js *m = js_get(node, "multipleOf"), *format = js_get(node, "format");
    if (m)
        factor(l, m, false);
    const char *min, *max;
    if (format && format_limits(format->text, &min, &max)) {
        limit(l, span_of(min), EQUAL | MORE, format);
        limit(l, span_of(max), EQUAL | LESS, format);
    }
    const struct js_made *made = node->made;
    if (made && made->no_factor)
        factor(l, made->no_factor, true);
    for (size_t i = 0; made && made->not_in && i < made->not_in->n_items; i++) {
        const struct js *v = made->not_in->item[i];
        if (v->kind == JS_NUMBER)
            limit(l, v->text, LESS | MORE, node);
    }
}

const struct dfa *number_dfa(struct compilation *c, const struct atom *a, bool *is_free)
{
    unsigned types = a->types & T_NUMBER;
    struct limits l = { .c = c,
                        .n_digits = types == T_INTEGER ? DIGITS_WHOLE : DIGITS_DOUBLE,
                        .measure = true };
    for (const struct occ *o = a->occs; o; o = o->next)
        limits_of(&l, o->node);
    *is_free = !l.any && types != T_FRACTION;
    if (*is_free || c->st)
        return NULL;
    if (c->parameters && types & T_INTEGER && l.n_digits > DIGITS_WHOLE + 1)
        sc_fail(c, KT_E_LIMIT, a->occs->node, NULL,
                "a whole number of more than %d digits cannot be read back from a call",
                DIGITS_WHOLE);
    l.measure = false;
    l.d = texts(c, types, l.n_digits);
    for (const struct occ *o = a->occs; o && !c->st; o = o->next)
        limits_of(&l, o->node);
    return c->st ? NULL : l.d;
}
