/* A value as it is written there, and behind " = " as people write and search for it: "1234.5 EUR = 1.234,50 EUR",
 * "20261130 = 30.11.2026", an IBAN in groups of four, codes as words. What is not written as the standard says stands
 * there as it is. */
#include <string.h>

#include "base/size.h"
#include "extract/fields.h"

struct word {
    const char *code, *word;
};

static const char *word_of(const struct word *list, struct span code)
{
    for (; list->code; list++)
        if (span_eq_str(code, list->code))
            return list->word;
    return NULL;
}

static const struct word types[] = {
    { "326", "Teilrechnung" },
    { "325", "Proformarechnung" },
    { "380", "Rechnung" },
    { "381", "Gutschrift (Storno, Korrektur zu Ihren Gunsten)" },
    { "384", "Rechnungskorrektur" },
    { "386", "Vorauszahlungsrechnung" },
    { "389", "Gutschrift des Leistungsempfängers (selbst ausgestellte Rechnung)" },
    { "457", "Storno" },
    { "875", "Abschlagsrechnung (Bau)" },
    { "876", "Teilschlussrechnung (Bau)" },
    { "877", "Schlussrechnung (Bau)" },
    { NULL, NULL },
};

static const struct word vats[] = {
    { "S", "Umsatzsteuer" },
    { "Z", "Nullsatz" },
    { "E", "steuerbefreit" },
    { "AE", "Umkehrung der Steuerschuldnerschaft (Reverse Charge)" },
    { "K", "innergemeinschaftliche Lieferung" },
    { "G", "Ausfuhr" },
    { "O", "nicht steuerbar" },
    { "L", "Steuer der Kanarischen Inseln" },
    { "M", "Steuer von Ceuta und Melilla" },
    { NULL, NULL },
};

static const struct word means[] = {
    { "10", "bar" },
    { "20", "Scheck" },
    { "30", "Überweisung" },
    { "31", "Lastschrift" },
    { "42", "Zahlung auf Bankkonto" },
    { "48", "Karte" },
    { "49", "Lastschrift" },
    { "54", "Kreditkarte" },
    { "55", "Debitkarte" },
    { "57", "Dauerauftrag" },
    { "58", "SEPA-Überweisung" },
    { "59", "SEPA-Lastschrift" },
    { "68", "Bezahldienst im Netz" },
    { "97", "Verrechnung" },
    { NULL, NULL },
};

static const struct word units[] = {
    { "ANN", "Jahre" },   { "C62", "Stück" },   { "DAY", "Tage" },   { "EA", "Stück" },
    { "GRM", "g" },       { "H87", "Stück" },   { "HAR", "ha" },     { "HUR", "Stunden" },
    { "KGM", "kg" },      { "KMT", "km" },      { "KWH", "kWh" },    { "LS", "pauschal" },
    { "LTR", "l" },       { "MIN", "Minuten" }, { "MMK", "mm²" },    { "MMT", "mm" },
    { "MON", "Monate" },  { "MTK", "m²" },      { "MTQ", "m³" },     { "MTR", "m" },
    { "NAR", "Stück" },   { "NPR", "Paar" },    { "P1", "Prozent" }, { "PCE", "Stück" },
    { "SET", "Satz" },    { "TNE", "t" },       { "WEE", "Wochen" }, { "XBX", "Kisten" },
    { "XCT", "Kartons" }, { "XPK", "Pakete" },  { "XPP", "Stück" },  { NULL, NULL },
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* "-1234.50": where its point is, and that it is nothing else. */
static bool number_of(struct span s, size_t *whole_from, size_t *point)
{
    size_t i = s.len && (s.ptr[0] == '-' || s.ptr[0] == '+');
    *whole_from = i;
    while (i < s.len && is_digit(s.ptr[i]))
        i++;
    *point = i;
    bool has_whole = i > *whole_from;
    if (i < s.len && s.ptr[i] == '.')
        for (i++; i < s.len && is_digit(s.ptr[i]);)
            i++;
    return has_whole && i == s.len;
}

void shown_number(struct buf *out, struct span s, size_t n_decimals)
{
    size_t from, point;
    if (!number_of(s, &from, &point)) {
        buf_append_span(out, s);
        return;
    }
    while (from + 1 < point && s.ptr[from] == '0')
        from++;
    if (s.ptr[0] == '-')
        buf_append_char(out, '-');
    for (size_t i = from; i < point; i++) {
        buf_append_char(out, s.ptr[i]);
        if ((point - i - 1) % 3 == 0 && i + 1 < point)
            buf_append_char(out, '.');
    }
    struct span decimals = span_sub(s, point + 1, s.len);
    while (decimals.len > n_decimals && decimals.ptr[decimals.len - 1] == '0')
        decimals.len--;
    if (decimals.len || n_decimals)
        buf_append_char(out, ',');
    buf_append_span(out, decimals);
    for (size_t i = decimals.len; i < n_decimals; i++)
        buf_append_char(out, '0');
}

/* 2026-11-30 and 20261130 */
static void date_shown(struct buf *out, struct span s)
{
    bool compact = s.len == 8;
    size_t month = compact ? 4 : 5, day = compact ? 6 : 8;
    bool ok = compact || (s.len >= 10 && s.ptr[4] == '-' && s.ptr[7] == '-');
    for (size_t i = 0; ok && i < day + 2; i++)
        ok = is_digit(s.ptr[i]) || (!compact && (i == 4 || i == 7));
    if (ok)
        buf_printf(out, " = %.2s.%.2s.%.4s", s.ptr + day, s.ptr + month, s.ptr);
}

static void account_shown(struct buf *out, struct span s)
{
    bool grouped = s.len >= 15 && s.len <= 34 && is_digit(s.ptr[2]) && is_digit(s.ptr[3]);
    for (size_t i = 0; grouped && i < s.len; i++)
        grouped = is_digit(s.ptr[i]) || (s.ptr[i] >= 'A' && s.ptr[i] <= 'Z');
    if (!grouped)
        return;
    buf_append_str(out, " =");
    for (size_t i = 0; i < s.len; i++) {
        if (i % 4 == 0)
            buf_append_char(out, ' ');
        buf_append_char(out, s.ptr[i]);
    }
}

static void code_shown(struct buf *out, const struct word *list, struct span s)
{
    const char *word = word_of(list, s);
    if (word)
        buf_printf(out, " = %s", word);
}

static void unit_put(struct buf *out, struct span unit)
{
    if (!unit.len)
        return;
    buf_append_char(out, ' ');
    buf_append_span(out, unit);
}

static void quantity_shown(struct buf *out, struct span s, struct span unit)
{
    const char *word = word_of(units, unit);
    buf_append_str(out, " = ");
    shown_number(out, s, 0);
    unit_put(out, word ? span_of(word) : unit);
}

/* "19 %" and "5.50 % = 5,5 %" */
static void percent_shown(struct buf *out, struct span s)
{
    struct buf typed = { 0 };
    shown_number(&typed, s, 0);
    buf_append_str(out, " %");
    if (!span_eq(buf_span(&typed), s))
        buf_printf(out, " = %s %%", typed.ptr ? typed.ptr : "");
    out->failed = out->failed || typed.failed;
    buf_deinit(&typed);
}

void shown_value(struct buf *out, enum field_kind kind, struct span value, struct span unit)
{
    buf_append_span(out, value);
    switch (kind) {
    case FIELD_AMOUNT:
        unit_put(out, unit);
        buf_append_str(out, " = ");
        shown_number(out, value, 2);
        unit_put(out, unit);
        break;
    case FIELD_QUANTITY:
        unit_put(out, unit);
        quantity_shown(out, value, unit);
        break;
    case FIELD_PERCENT:
        percent_shown(out, value);
        break;
    case FIELD_DATE:
        date_shown(out, value);
        break;
    case FIELD_ACCOUNT:
        account_shown(out, value);
        break;
    case FIELD_TYPE:
        code_shown(out, types, value);
        break;
    case FIELD_VAT:
        code_shown(out, vats, value);
        break;
    case FIELD_MEANS:
        code_shown(out, means, value);
        break;
    case FIELD_TEXT:
    case FIELD_FILE:
    case FIELD_REFERENCE:
    case FIELD_NAME:
        break;
    }
}
