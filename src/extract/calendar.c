/* Calendars (.ics), RFC 5545 and its forerunner: one block an appointment, task, note or free-busy list, its fields named in
 * plain words and always in the same order. Times stand as they were written, with their time zone's name; a repetition as a
 * sentence. Definitions of time zones are not shown, nor alarms; files that are attached become parts. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/size.h"
#include "base/utf8.h"
#include "extract/cards.h"

/* ---- times ---------------------------------------------------------------------------------- */

static bool is_digits(struct span s, size_t from, size_t n)
{
    for (size_t i = from; i < from + n; i++)
        if (i >= s.len || s.ptr[i] < '0' || s.ptr[i] > '9')
            return false;
    return true;
}

/* "20260302T140000Z" as "2026-03-02 14:00 UTC"; what is no time stays as it is. */
static void time_put(struct buf *out, struct span s, struct span zone)
{
    s = span_trim(s);
    bool has_time = s.len >= 15 && (s.ptr[8] == 'T' || s.ptr[8] == 't') && is_digits(s, 9, 6);
    if (!is_digits(s, 0, 8) || (s.len != 8 && !has_time)) {
        buf_append_span(out, s);
        return;
    }
    buf_printf(out, "%.4s-%.2s-%.2s", s.ptr, s.ptr + 4, s.ptr + 6);
    if (!has_time)
        return;
    buf_printf(out, " %.2s:%.2s", s.ptr + 9, s.ptr + 11);
    if (s.ptr[13] != '0' || s.ptr[14] != '0')
        buf_printf(out, ":%.2s", s.ptr + 13);
    if (s.len > 15 && (s.ptr[15] == 'Z' || s.ptr[15] == 'z'))
        buf_append_str(out, " UTC");
    else if (zone.len)
        buf_printf(out, " (%.*s)", (int)MIN(zone.len, (size_t)100), zone.ptr);
}

/* "P1DT2H30M" as "1 day 2 hours 30 minutes". */
static void duration_put(struct buf *out, struct span s)
{
    static const struct {
        char mark;
        bool after_t;
        const char *word;
    } units[] = { { 'W', false, "week" },
                  { 'D', false, "day" },
                  { 'H', true, "hour" },
                  { 'M', true, "minute" },
                  { 'S', true, "second" } };
    s = span_trim(s);
    size_t at = s.len && (s.ptr[0] == '-' || s.ptr[0] == '+');
    struct buf text = { 0 };
    bool after_t = false, ok = at < s.len && (s.ptr[at] == 'P' || s.ptr[at] == 'p');
    for (at++; ok && at < s.len;) {
        if (s.ptr[at] == 'T' || s.ptr[at] == 't') {
            after_t = true;
            at++;
            continue;
        }
        size_t from = at, unit = 0;
        while (at < s.len && s.ptr[at] >= '0' && s.ptr[at] <= '9')
            at++;
        while (unit < ARRAY_LEN(units) && (at >= s.len || (s.ptr[at] & ~0x20) != units[unit].mark ||
                                           units[unit].after_t != after_t))
            unit++;
        ok = at > from && at - from < 10 && unit < ARRAY_LEN(units);
        if (ok && !(at - from == 1 && s.ptr[from] == '0'))
            buf_printf(&text, "%s%.*s %s%s", text.len ? " " : "", (int)(at - from), s.ptr + from,
                       units[unit].word, at - from == 1 && s.ptr[from] == '1' ? "" : "s");
        at++;
    }
    buf_append_span(out, ok && text.len ? buf_span(&text) : s);
    buf_deinit(&text);
}

/* A period "start/end" or "start/duration", or a time. */
static void period_put(struct buf *out, struct span s, struct span zone)
{
    size_t slash = span_find(s, SPAN("/"), 0);
    time_put(out, span_sub(s, 0, slash), zone);
    if (slash == SIZE_MAX)
        return;
    struct span end = span_sub(s, slash + 1, s.len);
    if (end.len && (end.ptr[0] == 'P' || end.ptr[0] == 'p')) {
        buf_append_str(out, " for ");
        duration_put(out, end);
    } else {
        buf_append_str(out, " to ");
        time_put(out, end, zone);
    }
}

static void times_put(struct buf *out, const struct card_line *l)
{
    struct span piece;
    for (size_t at = 0; card_piece(l->value, ',', &at, &piece);) {
        if (out->len)
            buf_append_str(out, ", ");
        period_put(out, piece, card_param(l, "TZID"));
    }
}

/* ---- repetition ----------------------------------------------------------------------------- */

static struct span rule_part(struct span rule, const char *name)
{
    struct span piece;
    for (size_t at = 0; card_piece(rule, ';', &at, &piece);) {
        size_t eq = span_find(piece, SPAN("="), 0);
        if (eq != SIZE_MAX && card_is(span_sub(piece, 0, eq), name))
            return span_sub(piece, eq + 1, piece.len);
    }
    return (struct span){ 0 };
}

/* "MO" as "Monday", "-1FR" as "last Friday", "2TU" as "2nd Tuesday". */
static void weekday_put(struct buf *out, struct span s)
{
    static const char *const days[] = { "MOMonday", "TUTuesday",  "WEWednesday", "THThursday",
                                        "FRFriday", "SASaturday", "SUSunday" };
    static const char *const ends[] = { "th", "st", "nd", "rd" };
    struct span number = span_sub(s, 0, s.len > 2 ? s.len - 2 : 0);
    struct span day = span_sub(s, number.len, s.len);
    bool back = number.len && number.ptr[0] == '-';
    if (number.len && (number.ptr[0] == '-' || number.ptr[0] == '+'))
        number = span_sub(number, 1, number.len);
    size_t i = 0;
    while (i < ARRAY_LEN(days) && !(day.len == 2 && strncasecmp(days[i], day.ptr, 2) == 0))
        i++;
    if (i == ARRAY_LEN(days) || number.len > 2 || !is_digits(number, 0, number.len)) {
        buf_append_span(out, s);
        return;
    }
    if (back && span_eq_str(number, "1"))
        buf_append_str(out, "last ");
    else if (number.len)
        buf_printf(out, "%.*s%s %s", (int)number.len, number.ptr,
                   number.len == 1 && number.ptr[0] < '4' ? ends[number.ptr[0] - '0'] : "th",
                   back ? "to last " : "");
    buf_append_str(out, days[i] + 2);
}

static void month_put(struct buf *out, struct span s)
{
    static const char *const months[] = { "January",   "February", "March",    "April",
                                          "May",       "June",     "July",     "August",
                                          "September", "October",  "November", "December" };
    unsigned n = 0;
    for (size_t i = 0; i < s.len && i < 2 && is_digits(s, i, 1); i++)
        n = 10 * n + (unsigned)(s.ptr[i] - '0');
    if (s.len <= 2 && n >= 1 && n <= 12)
        buf_append_str(out, months[n - 1]);
    else
        buf_append_span(out, s);
}

static void plain_put(struct buf *out, struct span s)
{
    buf_append_span(out, s);
}

static void list_put(struct buf *out, const char *before, struct span list,
                     void (*put)(struct buf *, struct span))
{
    struct span piece;
    bool first = true;
    for (size_t at = 0; list.len && card_piece(list, ',', &at, &piece); first = false) {
        buf_append_str(out, first ? before : ", ");
        put(out, piece);
    }
}

/* "FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,WE;COUNT=10" as "every 2 weeks on Monday, Wednesday, 10 times". */
static void rule_put(struct buf *out, struct span rule, struct span zone)
{
    static const struct {
        const char *freq, *unit;
    } known[] = { { "SECONDLY", "second" }, { "MINUTELY", "minute" }, { "HOURLY", "hour" },
                  { "DAILY", "day" },       { "WEEKLY", "week" },     { "MONTHLY", "month" },
                  { "YEARLY", "year" } };
    struct span freq = rule_part(rule, "FREQ"), every = rule_part(rule, "INTERVAL");
    struct span count = rule_part(rule, "COUNT"), end = rule_part(rule, "UNTIL");
    size_t i = 0;
    while (i < ARRAY_LEN(known) && !card_is(freq, known[i].freq))
        i++;
    if (i == ARRAY_LEN(known)) {
        buf_append_span(out, rule);
        return;
    }
    if (every.len && !span_eq_str(every, "1"))
        buf_printf(out, "every %.*s %ss", (int)MIN(every.len, (size_t)9), every.ptr, known[i].unit);
    else
        buf_printf(out, "every %s", known[i].unit);
    list_put(out, " in ", rule_part(rule, "BYMONTH"), month_put);
    list_put(out, " on ", rule_part(rule, "BYDAY"), weekday_put);
    list_put(out, " on day ", rule_part(rule, "BYMONTHDAY"), plain_put);
    list_put(out, " on day of the year ", rule_part(rule, "BYYEARDAY"), plain_put);
    list_put(out, " in week ", rule_part(rule, "BYWEEKNO"), plain_put);
    list_put(out, " at hour ", rule_part(rule, "BYHOUR"), plain_put);
    list_put(out, " at minute ", rule_part(rule, "BYMINUTE"), plain_put);
    list_put(out, ", of these number ", rule_part(rule, "BYSETPOS"), plain_put);
    if (end.len) {
        buf_append_str(out, " until ");
        time_put(out, end, zone);
    }
    if (count.len)
        buf_printf(out, ", %.*s times", (int)MIN(count.len, (size_t)9), count.ptr);
}

/* Some writers escape the marks between its parts. */
static void rule_unescape_put(struct buf *out, struct span rule, struct span zone)
{
    struct buf plain = { 0 };
    card_unescape(&plain, rule);
    rule_put(out, buf_span(&plain), zone);
    out->failed |= plain.failed;
    buf_deinit(&plain);
}

/* ---- one entry ------------------------------------------------------------------------------ */

enum how { AS_TEXT, AS_TIME, AS_DURATION, AS_RULE, AS_PERSON, AS_WORD };

static const struct field {
    const char *property, *name;
    enum how how;
} fields[] = {
    { "SUMMARY", "", AS_TEXT },
    { "DTSTART", "Start", AS_TIME },
    { "DTEND", "End", AS_TIME },
    { "DUE", "Due", AS_TIME },
    { "DURATION", "Duration", AS_DURATION },
    { "COMPLETED", "Completed", AS_TIME },
    { "PERCENT-COMPLETE", "Percent done", AS_TEXT },
    { "RRULE", "Repeats", AS_RULE },
    { "RDATE", "Also on", AS_TIME },
    { "EXDATE", "Except on", AS_TIME },
    { "EXRULE", "Except", AS_RULE },
    { "RECURRENCE-ID", "Instead of", AS_TIME },
    { "LOCATION", "Location", AS_TEXT },
    { "ORGANIZER", "Organizer", AS_PERSON },
    { "ATTENDEE", "Attendees", AS_PERSON },
    { "STATUS", "Status", AS_WORD },
    { "CLASS", "Class", AS_WORD },
    { "PRIORITY", "Priority", AS_TEXT },
    { "CATEGORIES", "Categories", AS_TEXT },
    { "RESOURCES", "Resources", AS_TEXT },
    { "CONTACT", "Contact", AS_TEXT },
    { "URL", "Address", AS_TEXT },
    { "FREEBUSY", "Busy", AS_TIME },
    { "DESCRIPTION", "Description", AS_TEXT },
    { "COMMENT", "Comment", AS_TEXT },
};

struct entry {
    const char *kind;
    size_t depth;   /* 0: outside of one; components inside it are passed over */
    size_t n_lines; /* taken */
    struct buf values[ARRAY_LEN(fields)];
};

/* "Anna Beispiel <anna@example.org>, declined" */
static void person_put(struct buf *out, const struct card_line *l)
{
    static const char mailto[] = "mailto:";
    struct span address = span_trim(l->value), name = card_param(l, "CN");
    struct span answer = card_param(l, "PARTSTAT");
    if (address.len >= sizeof(mailto) - 1 &&
        strncasecmp(address.ptr, mailto, sizeof(mailto) - 1) == 0)
        address = span_sub(address, sizeof(mailto) - 1, address.len);
    if (name.len && utf8_valid(name) && !span_eq(name, address)) {
        buf_append_span(out, name);
        buf_append_str(out, " <");
        buf_append_span(out, address);
        buf_append_char(out, '>');
    } else {
        buf_append_span(out, address);
    }
    if (card_is(answer, "ACCEPTED") || card_is(answer, "DECLINED") ||
        card_is(answer, "TENTATIVE") || card_is(answer, "DELEGATED")) {
        buf_append_str(out, " (");
        for (size_t i = 0; i < answer.len; i++)
            buf_append_char(out, (char)(answer.ptr[i] | 0x20));
        buf_append_char(out, ')');
    }
}

static void word_put(struct buf *out, struct span s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        buf_append_char(out, c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c == '-' ? ' ' : c);
    }
}

static void field_add(struct builder *b, struct buf *out, enum how how, const struct card_line *l)
{
    struct buf text = { 0 };
    if (how == AS_TIME)
        times_put(&text, l);
    else if (how == AS_DURATION)
        duration_put(&text, l->value);
    else if (how == AS_RULE)
        rule_unescape_put(&text, l->value, card_param(l, "TZID"));
    else if (how == AS_PERSON)
        person_put(&text, l);
    else if (how == AS_WORD)
        word_put(&text, l->value);
    else
        card_unescape(&text, l->value);
    if (out->len && text.len)
        buf_append_str(out, how == AS_TEXT ? "\n" : ", ");
    builder_holds(b, &text);
    builder_collect(b, out, buf_span(&text));
    buf_deinit(&text);
}

/* A file inside the calendar. */
static void attach(struct builder *b, const struct card_line *l)
{
    struct span name = card_param(l, "FILENAME");
    if (!name.len)
        name = card_param(l, "X-FILENAME");
    if (!l->value.len)
        return;
    struct buf plain = { 0 };
    for (size_t i = 0; i < name.len; i++)
        buf_append_char(&plain, name.ptr[i] == '/' ? '_' : name.ptr[i]);
    if (builder_holds(b, &plain) && builder_part(b, buf_span(&plain), l->value))
        builder_part_shown(b);
    buf_deinit(&plain);
}

static void entry_begin(struct entry *e, const char *kind)
{
    e->kind = kind;
    e->depth = 1;
    e->n_lines = 0;
    for (size_t i = 0; i < ARRAY_LEN(fields); i++)
        buf_clear(&e->values[i]);
}

static void entry_line(struct builder *b, struct entry *e, const struct card_line *l)
{
    if (e->n_lines++ >= CARD_FIELDS_MAX)
        return;
    for (size_t i = 0; i < ARRAY_LEN(fields); i++)
        if (card_is(l->name, fields[i].property) && !l->is_binary)
            field_add(b, &e->values[i], fields[i].how, l);
}

static void entry_end(struct builder *b, struct entry *e)
{
    builder_begin(b, BLOCK_PARAGRAPH);
    if (e->values[0].len)
        card_field(b, e->kind, buf_span(&e->values[0]));
    else
        card_field(b, "", span_of(e->kind));
    for (size_t i = 1; i < ARRAY_LEN(fields); i++)
        card_field(b, fields[i].name, buf_span(&e->values[i]));
    builder_end(b);
    e->depth = 0;
}

/* ---- the calendar --------------------------------------------------------------------------- */

static const char *kind_of(struct span component)
{
    static const struct {
        const char *name, *kind;
    } known[] = { { "VEVENT", "Event" },
                  { "VTODO", "Task" },
                  { "VJOURNAL", "Note" },
                  { "VFREEBUSY", "Free and busy times" } };
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (card_is(component, known[i].name))
            return known[i].kind;
    return NULL;
}

/* The calendar's own name stands before its entries. */
static void calendar_line(struct builder *b, const struct card_line *l)
{
    if (!card_is(l->name, "X-WR-CALNAME") && !card_is(l->name, "NAME"))
        return;
    struct buf text = { 0 };
    card_unescape(&text, l->value);
    builder_holds(b, &text);
    builder_begin(b, BLOCK_HEADING);
    builder_text(b, buf_span(&text));
    builder_end(b);
    builder_title(b, buf_span(&text));
    buf_deinit(&text);
}

size_t calendar_entries(struct builder *b, struct span file)
{
    struct card_reader r;
    struct card_line l;
    struct entry e = { 0 };
    struct buf utf8 = { 0 };
    size_t n = 0, other = 0; /* depth of components that are no entries: time zones */
    bool ok = card_reader_init(&r, b, file, &utf8);
    while (ok && card_next(&r, &l)) {
        struct span component = span_trim(l.value);
        bool begins = card_is(l.name, "BEGIN"), ends = card_is(l.name, "END");
        bool whole = card_is(component, "VCALENDAR");
        const char *kind = kind_of(component);
        if (begins && e.depth == 0 && kind) {
            entry_begin(&e, kind);
            other = 0;
        } else if (begins && !whole && e.depth) {
            e.depth++;
        } else if (begins && !whole) {
            other++;
        } else if (ends && e.depth == 1) {
            entry_end(b, &e);
            n++;
        } else if (ends && e.depth) {
            e.depth--;
        } else if (ends && other) {
            other--;
        } else if (e.depth == 1 && card_is(l.name, "ATTACH") && l.is_binary) {
            attach(b, &l);
        } else if (e.depth == 1) {
            entry_line(b, &e, &l);
        } else if (!e.depth && !other) {
            calendar_line(b, &l);
        }
    }
    if (e.depth && builder_ok(b)) { /* of a file that was cut off */
        entry_end(b, &e);
        n++;
    }
    if (n == 1)
        builder_title(b, buf_span(&e.values[0]));
    for (size_t i = 0; i < ARRAY_LEN(fields); i++)
        buf_deinit(&e.values[i]);
    card_reader_deinit(&r);
    buf_deinit(&utf8);
    return n;
}

void calendar_parse(struct builder *b, struct span file)
{
    size_t n = calendar_entries(b, file);
    if (!n && span_find(file, SPAN("VCALENDAR"), 0) == SIZE_MAX)
        builder_refuse(b, REASON_CARDS_DAMAGED, 0, 0);
}
