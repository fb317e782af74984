/* Numbers and dates of a spreadsheet as text; see xlsx.h. */
#include "extract/xlsx.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"

enum { DECIMALS_MAX = 15, SECONDS_A_DAY = 86400, DAY_MAX = 2958465 /* the end of 9999 */ };

/* ---- formats -------------------------------------------------------------------------------- */

struct cell_format cell_format_builtin(unsigned id)
{
    static const struct {
        unsigned from, to;
        struct cell_format f;
    } known[] = {
        { 1, 1, { CELL_NUMBER, 0, false, "" } },      { 2, 2, { CELL_NUMBER, 2, false, "" } },
        { 3, 3, { CELL_NUMBER, 0, false, "" } },      { 4, 4, { CELL_NUMBER, 2, false, "" } },
        { 9, 9, { CELL_NUMBER, 0, true, "" } },       { 10, 10, { CELL_NUMBER, 2, true, "" } },
        { 14, 17, { CELL_DATE, 0, false, "" } },      { 18, 21, { CELL_TIME, 0, false, "" } },
        { 22, 22, { CELL_DATE_TIME, 0, false, "" } }, { 27, 31, { CELL_DATE, 0, false, "" } },
        { 32, 35, { CELL_TIME, 0, false, "" } },      { 36, 36, { CELL_DATE, 0, false, "" } },
        { 37, 38, { CELL_NUMBER, 0, false, "" } },    { 39, 40, { CELL_NUMBER, 2, false, "" } },
        { 45, 47, { CELL_TIME, 0, false, "" } },      { 49, 49, { CELL_TEXT, 0, false, "" } },
        { 50, 58, { CELL_DATE, 0, false, "" } },
    };
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (id >= known[i].from && id <= known[i].to)
            return known[i].f;
    return (struct cell_format){ .kind = CELL_GENERAL };
}

/* What a format's code asks for, letter by letter. */
struct asked {
    bool day, month_or_minute, clock, digits, exponent, text;
    int decimals;
    bool after_point, percent;
    char unit[12];
};

/* A currency among the words a format writes: its sign or its three letters. */
static void unit_find(struct asked *a, struct span words)
{
    static const char *const units[] = { "\u20AC", "$", "\u00A3", "EUR", "USD", "CHF", "GBP" };
    for (size_t i = 0; i < ARRAY_LEN(units) && !a->unit[0]; i++)
        if (span_find(words, span_of(units[i]), 0) != SIZE_MAX)
            snprintf(a->unit, sizeof(a->unit), "%s", units[i]);
}

/* "[$EUR-407]" is a currency, "[h]" hours beyond a day, "[Red]" and conditions show nothing. */
static void bracket(struct asked *a, struct span in)
{
    if (in.len && in.ptr[0] == '$') {
        size_t end = span_find(in, SPAN("-"), 0);
        unit_find(a, span_sub(in, 1, MIN(end, in.len)));
    } else if (in.len && strchr("hHmMsS", in.ptr[0])) {
        a->clock = true;
    }
}

static void letter(struct asked *a, char c)
{
    if (strchr("dDyY", c))
        a->day = true;
    else if (strchr("mM", c))
        a->month_or_minute = true;
    else if (strchr("hHsS", c))
        a->clock = true;
    else if (c == 'E' || c == 'e')
        a->exponent = true;
    else if (c == '@')
        a->text = true;
    else if (c == '%')
        a->percent = true;
    else if (c == '.')
        a->after_point = true;
    else if (strchr("0#?", c)) {
        a->digits = true;
        a->decimals += a->after_point && a->decimals < DECIMALS_MAX;
    }
}

static struct asked ask(struct span code)
{
    struct asked a = { 0 };
    for (size_t i = 0; i < code.len && code.ptr[i] != ';'; i++) {
        char c = code.ptr[i], closing = c == '"' ? '"' : c == '[' ? ']' : '\0';
        if (c == '\\' || c == '_' || c == '*') {
            i++;
        } else if (closing) {
            size_t from = ++i;
            while (i < code.len && code.ptr[i] != closing)
                i++;
            struct span in = span_sub(code, from, i);
            if (closing == ']')
                bracket(&a, in);
            else
                unit_find(&a, in);
        } else if (c && (unsigned char)c < 0x80 && c != '$') {
            letter(&a, c);
        }
    }
    unit_find(&a, code);
    return a;
}

struct cell_format cell_format_parse(struct span code)
{
    struct asked a = ask(code);
    struct cell_format f = { .kind = CELL_GENERAL };
    if (code.len >= 7 && memcmp(code.ptr, "General", 7) == 0)
        return f;
    if (a.day || (a.month_or_minute && !a.clock && !a.digits))
        f.kind = a.clock ? CELL_DATE_TIME : CELL_DATE;
    else if (a.clock)
        f.kind = CELL_TIME;
    else if (a.digits && !a.exponent)
        f = (struct cell_format){ .kind = CELL_NUMBER,
                                  .decimals = a.decimals,
                                  .percent = a.percent };
    else if (a.text)
        f.kind = CELL_TEXT;
    if (f.kind == CELL_NUMBER)
        memcpy(f.unit, a.unit, sizeof(f.unit));
    return f;
}

/* ---- values --------------------------------------------------------------------------------- */

/* Year, month and day of the n-th day after 1970-01-01, by the civil calendar of 400 years. */
static void civil(int64_t n, int *y, int *m, int *d)
{
    n += 719468; /* from 0000-03-01 */
    int64_t era = (n >= 0 ? n : n - 146096) / 146097;
    int64_t doe = n - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    int64_t mp = (5 * doy + 2) / 153;
    *d = (int)(doy - (153 * mp + 2) / 5 + 1);
    *m = (int)(mp < 10 ? mp + 3 : mp - 9);
    *y = (int)(yoe + era * 400 + (*m <= 2));
}

/* Excel's day 60 is the 29th of February 1900, which never was: days before it count from one day later. */
static int64_t days_since_1970(int64_t serial, bool from_1904)
{
    enum { EPOCH_1900 = 25569, EPOCH_1904 = 24107 };
    if (from_1904)
        return serial - EPOCH_1904;
    return serial - EPOCH_1900 + (serial < 60);
}

static void put_general(struct buf *out, double x)
{
    if (fabs(x) < 1e18 && x == floor(x))
        buf_printf(out, "%.0f", x);
    else
        buf_printf(out, "%.15g", x); /* 0.1 + 0.2 is shown as 0.3 */
}

static void put_number(struct buf *out, double x, const struct cell_format *f)
{
    buf_printf(out, "%.*f", f->decimals, f->percent ? x * 100 : x);
    if (f->percent)
        buf_append_str(out, " %");
    if (f->unit[0]) {
        buf_append_char(out, ' ');
        buf_append_str(out, f->unit);
    }
}

static void put_time(struct buf *out, double x, const struct cell_format *f, bool from_1904)
{
    int64_t day = (int64_t)floor(x);
    int64_t s = (int64_t)floor((x - floor(x)) * SECONDS_A_DAY + 0.5);
    day += s / SECONDS_A_DAY;
    s %= SECONDS_A_DAY;
    if (f->kind != CELL_TIME) {
        int y, m, d;
        civil(days_since_1970(day, from_1904), &y, &m, &d);
        buf_printf(out, "%04d-%02d-%02d", y, m, d);
        if (f->kind == CELL_DATE || s == 0)
            return;
        buf_append_char(out, ' ');
        day = 0;
    }
    buf_printf(out, "%02d:%02d", (int)(day * 24 + s / 3600), (int)(s / 60 % 60));
    if (s % 60)
        buf_printf(out, ":%02d", (int)(s % 60));
}

void cell_number(struct buf *out, struct span v, const struct cell_format *f, bool from_1904)
{
    char text[64], *end;
    v = span_trim(v);
    if (v.len == 0 || v.len >= sizeof(text)) {
        buf_append_span(out, v);
        return;
    }
    memcpy(text, v.ptr, v.len);
    text[v.len] = '\0';
    double x = strtod(text, &end);
    if (*end || !isfinite(x) || fabs(x) > 1e300) {
        buf_append_span(out, v);
        return;
    }
    bool is_time = f->kind == CELL_DATE || f->kind == CELL_TIME || f->kind == CELL_DATE_TIME;
    if (is_time && x >= 0 && x <= DAY_MAX)
        put_time(out, x, f, from_1904);
    else if (f->kind == CELL_NUMBER && fabs(x) < 1e15)
        put_number(out, x, f);
    else
        put_general(out, x);
}
