/* store/syntax.c: see syntax.h. One pass over the query; a token that is syntax becomes an item, everything else is copied. */
#include "store/syntax.h"

#include <stdio.h>
#include <string.h>

#include "base/size.h"

static const struct {
    const char *name;
    enum syntax_field field;
    int side; /* of a date: 0 both, 1 from, 2 to */
} FIELDS[] = {
    { "from", FIELD_SENDER, 0 },
    { "von", FIELD_SENDER, 0 },
    { "sender", FIELD_SENDER, 0 },
    { "absender", FIELD_SENDER, 0 },
    { "to", FIELD_RECIPIENT, 0 },
    { "an", FIELD_RECIPIENT, 0 },
    { "empfänger", FIELD_RECIPIENT, 0 },
    { "type", FIELD_TYPE, 0 },
    { "typ", FIELD_TYPE, 0 },
    { "art", FIELD_TYPE, 0 },
    { "format", FIELD_TYPE, 0 },
    { "path", FIELD_PATH, 0 },
    { "pfad", FIELD_PATH, 0 },
    { "ordner", FIELD_PATH, 0 },
    { "folder", FIELD_PATH, 0 },
    { "datei", FIELD_PATH, 0 },
    { "file", FIELD_PATH, 0 },
    { "title", FIELD_TITLE, 0 },
    { "titel", FIELD_TITLE, 0 },
    { "subject", FIELD_TITLE, 0 },
    { "betreff", FIELD_TITLE, 0 },
    { "date", FIELD_DATE, 0 },
    { "datum", FIELD_DATE, 0 },
    { "since", FIELD_DATE, 1 },
    { "after", FIELD_DATE, 1 },
    { "seit", FIELD_DATE, 1 },
    { "ab", FIELD_DATE, 1 },
    { "until", FIELD_DATE, 2 },
    { "before", FIELD_DATE, 2 },
    { "bis", FIELD_DATE, 2 },
};

/* Names of kinds of files; several formats may be one kind to an office. */
static const struct {
    const char *name;
    const char *formats[4];
} TYPES[] = {
    { "pdf", { "pdf" } },
    { "word", { "docx", "odt", "doc", "rtf" } },
    { "excel", { "xlsx", "ods", "xls", "csv" } },
    { "powerpoint", { "pptx", "odp", "ppt" } },
    { "mail", { "mail", "msg" } },
    { "email", { "mail", "msg" } },
    { "e-mail", { "mail", "msg" } },
    { "eml", { "mail" } },
    { "nachricht", { "mail", "msg" } },
    { "bild", { "picture" } },
    { "picture", { "picture" } },
    { "image", { "picture" } },
    { "scan", { "picture" } },
    { "foto", { "picture" } },
    { "tabelle", { "xlsx", "ods", "xls", "csv" } },
    { "spreadsheet", { "xlsx", "ods", "xls", "csv" } },
    { "docx", { "docx" } },
    { "doc", { "doc", "docx" } },
    { "xlsx", { "xlsx" } },
    { "xls", { "xls", "xlsx" } },
    { "pptx", { "pptx" } },
    { "ppt", { "ppt", "pptx" } },
    { "odt", { "odt" } },
    { "ods", { "ods" } },
    { "odp", { "odp" } },
    { "rtf", { "rtf" } },
    { "html", { "html" } },
    { "markdown", { "markdown" } },
    { "md", { "markdown" } },
    { "text", { "text" } },
    { "txt", { "text" } },
    { "csv", { "csv" } },
    { "msg", { "msg" } },
    { "ics", { "calendar" } },
    { "calendar", { "calendar" } },
    { "kalender", { "calendar" } },
    { "vcf", { "contacts" } },
    { "contacts", { "contacts" } },
    { "kontakte", { "contacts" } },
    { "invoice", { "invoice" } },
    { "e-rechnung", { "invoice" } },
    { "xrechnung", { "invoice" } },
    { "xjustiz", { "xjustiz" } },
    { "bea", { "xjustiz" } },
    { "archive", { "zip", "archive" } },
    { "archiv", { "zip", "archive" } },
    { "mhtml", { "mhtml" } },
    { "zip", { "zip" } },
    { "mbox", { "mailbox" } },
    { "mailbox", { "mailbox" } },
};

/* Equal but for the case of ASCII letters. */
static bool same_name(struct span a, const char *name)
{
    if (a.len != strlen(name))
        return false;
    for (size_t i = 0; i < a.len; i++) {
        char c = a.ptr[i];
        if ((c >= 'A' && c <= 'Z' ? c + 32 : c) != name[i])
            return false;
    }
    return true;
}

const char *const *syntax_formats(struct span name)
{
    for (size_t i = 0; i < ARRAY_LEN(TYPES); i++)
        if (same_name(name, TYPES[i].name))
            return TYPES[i].formats;
    return NULL;
}

bool syntax_next_name(struct span list, size_t *at, struct span *name)
{
    while (*at < list.len && (list.ptr[*at] == ',' || list.ptr[*at] == ' '))
        ++*at;
    size_t from = *at;
    while (*at < list.len && list.ptr[*at] != ',' && list.ptr[*at] != ' ')
        ++*at;
    *name = span_sub(list, from, *at);
    return name->len > 0;
}

static bool types_known(struct span list)
{
    struct span name;
    size_t at = 0, n = 0;
    for (; syntax_next_name(list, &at, &name); n++)
        if (!syntax_formats(name))
            return false;
    return n > 0;
}

/* ---- dates ----------------------------------------------------------------------------------- */

/* Numbers with one kind of mark between them. */
static size_t read_numbers(struct span s, unsigned v[static 3], size_t lens[static 3], char *mark)
{
    size_t n = 0, at = 0;
    *mark = 0;
    for (;;) {
        size_t from = at;
        if (n == 3)
            return 0;
        for (v[n] = 0; at < s.len && at - from < 4 && s.ptr[at] >= '0' && s.ptr[at] <= '9'; at++)
            v[n] = v[n] * 10 + (unsigned)(s.ptr[at] - '0');
        lens[n] = at - from;
        if (!lens[n])
            return 0;
        n++;
        if (at == s.len)
            return n;
        if ((s.ptr[at] != '-' && s.ptr[at] != '.' && s.ptr[at] != '/') ||
            (*mark && *mark != s.ptr[at]))
            return 0;
        *mark = s.ptr[at++];
    }
}

bool syntax_period(struct span s, char first[static 11], char last[static 11])
{
    unsigned v[3], y, m = 0, d = 0;
    size_t lens[3], n;
    char mark;
    n = read_numbers(s, v, lens, &mark);
    if (!n)
        return false;
    bool year_first = lens[0] == 4;
    y = year_first ? v[0] : v[n - 1];
    if ((!year_first && lens[n - 1] != 4) || y < 1900 || y > 2999)
        return false;
    if (n > 1)
        m = year_first ? v[1] : v[n - 2];
    if (n > 2)
        d = year_first ? v[2] : v[0];
    if ((n > 1 && (m < 1 || m > 12)) || (n > 2 && (d < 1 || d > 31)))
        return false;
    /* days are compared as text: the 31st is the end of any month */
    snprintf(first, 11, "%04u-%02u-%02u", y % 10000, (m ? m : 1) % 100, (d ? d : 1) % 100);
    snprintf(last, 11, "%04u-%02u-%02u", y % 10000, (m ? m : 12) % 100, (d ? d : 31) % 100);
    return true;
}

static bool read_range(struct syntax_item *it, int side)
{
    char first[11], last[11];
    size_t dots = span_find(it->value, SPAN(".."), 0);
    if (side == 0 && dots != SIZE_MAX) {
        struct span a = span_sub(it->value, 0, dots),
                    b = span_sub(it->value, dots + 2, it->value.len);
        if ((!a.len && !b.len) || (a.len && !syntax_period(a, it->since, last)))
            return false;
        return !b.len || syntax_period(b, first, it->until);
    }
    if (!syntax_period(it->value, first, last))
        return false;
    if (side != 2)
        memcpy(it->since, first, sizeof(first));
    if (side != 1)
        memcpy(it->until, last, sizeof(last));
    return true;
}

/* ---- tokens ---------------------------------------------------------------------------------- */

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* From s[at] to the next space, or inside quotation marks when it begins with one that is closed. *end: behind it. */
static struct span read_value(struct span s, size_t at, size_t *end)
{
    static const char *const OPEN[] = { "\"", "„", "“", "»" }, *const CLOSE[] = { "\"", "“", "”",
                                                                                  "«" };
    for (size_t i = 0; i < ARRAY_LEN(OPEN); i++) {
        if (!span_starts(span_sub(s, at, s.len), span_of(OPEN[i])))
            continue;
        size_t inside = at + strlen(OPEN[i]), close = span_find(s, span_of(CLOSE[i]), inside);
        if (close == SIZE_MAX)
            break;
        *end = close + strlen(CLOSE[i]);
        return span_sub(s, inside, close);
    }
    *end = at;
    while (*end < s.len && !is_space(s.ptr[*end]))
        ++*end;
    return span_sub(s, at, *end);
}

static bool read_field(struct syntax_item *it, struct span s, size_t at, size_t *end)
{
    for (size_t i = 0; i < ARRAY_LEN(FIELDS); i++) {
        size_t n = strlen(FIELDS[i].name);
        if (at + n >= s.len || s.ptr[at + n] != ':' ||
            !same_name(span_sub(s, at, at + n), FIELDS[i].name))
            continue;
        it->field = FIELDS[i].field;
        it->value = span_trim(read_value(s, at + n + 1, end));
        if (!it->value.len)
            return false;
        if (it->field == FIELD_TYPE)
            return types_known(it->value);
        return it->field != FIELD_DATE || read_range(it, FIELDS[i].side);
    }
    return false;
}

/* A dash before a word or a quotation; before a number it is a sign, before a space a dash. */
static bool read_excluded(struct syntax_item *it, struct span s, size_t at, size_t *end)
{
    it->field = FIELD_WORD;
    it->value = span_trim(read_value(s, at, end));
    char c = it->value.len ? it->value.ptr[0] : 0;
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (unsigned char)c >= 0x80;
}

/* "Privatpersonen und -organisationen": there the dash stands for what the words have in common. */
static bool goes_on(struct span s, size_t at)
{
    static const char *const WORDS[] = { "und", "oder", "bzw.", "sowie", "and", "or", "/", "&" };
    struct span before = span_trim(span_sub(s, 0, at));
    size_t from = before.len;
    while (from && !is_space(before.ptr[from - 1]))
        from--;
    struct span last = span_sub(before, from, before.len);
    for (size_t i = 0; i < ARRAY_LEN(WORDS); i++)
        if (same_name(last, WORDS[i]))
            return true;
    return span_ends(last, SPAN(",")) || span_ends(last, SPAN("-"));
}

static bool read_item(struct syntax *out, struct span s, size_t at, size_t *end)
{
    if (out->n == SYNTAX_ITEMS)
        return false;
    struct syntax_item it = { .not = s.ptr[at] == '-' };
    size_t from = at + it.not ;
    if (from >= s.len || is_space(s.ptr[from]))
        return false;
    if (!read_field(&it, s, from, end)) {
        bool not = it.not ;
        it = (struct syntax_item){ .not = not };
        if (!not || goes_on(s, at) || !read_excluded(&it, s, from, end))
            return false;
    }
    out->items[out->n++] = it;
    return true;
}

void syntax_read(struct syntax *out, struct span s)
{
    memset(out, 0, sizeof(*out));
    for (size_t at = 0; at < s.len;) {
        size_t end = at;
        if (is_space(s.ptr[at])) {
            buf_append_char(&out->words, ' ');
            at++;
        } else if ((at == 0 || is_space(s.ptr[at - 1])) && read_item(out, s, at, &end)) {
            at = end;
        } else {
            read_value(s, at, &end); /* a phrase whole: what looks like syntax in it is its text */
            end = MAX(end, at + 1);
            buf_append(&out->words, s.ptr + at, end - at);
            at = end;
        }
    }
}

void syntax_deinit(struct syntax *s)
{
    buf_deinit(&s->words);
}
