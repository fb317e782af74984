/* Plain text: paragraphs are what stands between empty lines; lines stay lines.
 *
 * A mail or letter saved as text begins with lines like "Von: ..." and "Betreff: ..."; that block
 * becomes a BLOCK_HEADER, and its subject the title. Lines that begin with a bullet or a number
 * become list items, so that a long list is not one block. Nothing else is guessed. */
#include "extract/extract_priv.h"

#include <string.h>
#include <strings.h>

#include "base/size.h"

static struct span line_at(struct span s, size_t from, size_t *next)
{
    const char *nl = memchr(s.ptr + from, '\n', s.len - from);
    size_t end = nl ? (size_t)(nl - s.ptr) : s.len;
    *next = nl ? end + 1 : s.len;
    struct span line = span_sub(s, from, end);
    if (line.len && line.ptr[line.len - 1] == '\r')
        line.len--;
    return line;
}

static bool is_blank(struct span line)
{
    return span_trim(line).len == 0;
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* "Subject: ..." with a name of letters and hyphens. */
static size_t header_name_len(struct span line)
{
    size_t i = 0;
    while (i < line.len && (is_letter(line.ptr[i]) || (i && line.ptr[i] == '-')))
        i++;
    return i && i <= 30 && i + 1 < line.len && line.ptr[i] == ':' && line.ptr[i + 1] == ' ' ? i : 0;
}

static bool is_named(struct span line, const char *const *names)
{
    size_t n = header_name_len(line);
    for (; n && *names; names++)
        if (strlen(*names) == n && strncasecmp(line.ptr, *names, n) == 0)
            return true;
    return false;
}

/* The paragraph s is a mail's head: at least two lines, all "Name: value" or continuations, one of
 * them a known name. */
static bool is_mail_head(struct span s, struct span *subject)
{
    static const char *const known[] = { "From", "To", "Subject", "Von", "An", "Betreff", NULL };
    static const char *const titles[] = { "Subject", "Betreff", NULL };
    size_t n_known = 0, n_lines = 0;
    *subject = (struct span){ 0 };
    for (size_t i = 0; i < s.len;) {
        struct span line = line_at(s, i, &i);
        bool continued = n_lines && line.len && (line.ptr[0] == ' ' || line.ptr[0] == '\t');
        if (!continued && !header_name_len(line))
            return false;
        n_known += is_named(line, known);
        if (is_named(line, titles) && !subject->len)
            *subject = span_trim(span_sub(line, header_name_len(line) + 1, line.len));
        n_lines++;
    }
    return n_lines >= 2 && n_known >= 1;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* "- ", "* ", "• ", "– ", "1. ", "1) ", "a) " */
static bool is_list_line(struct span line)
{
    struct span s = span_trim(line);
    static const struct span bullets[] = {
        { "- ", 2 }, { "* ", 2 }, { "\u2022 ", 4 }, { "\u2013 ", 4 }
    };
    for (size_t i = 0; i < ARRAY_LEN(bullets); i++)
        if (span_starts(s, bullets[i]))
            return true;
    size_t n = 0;
    while (n < s.len && n < 3 && is_digit(s.ptr[n]))
        n++;
    if (n == 0 && s.len > 2 && is_letter(s.ptr[0]) && s.ptr[1] == ')')
        n = 1;
    return n && n + 1 < s.len && (s.ptr[n] == '.' || s.ptr[n] == ')') && s.ptr[n + 1] == ' ';
}

static void paragraph(struct builder *b, struct span s)
{
    builder_begin(b, BLOCK_PARAGRAPH);
    for (size_t i = 0; i < s.len && builder_ok(b);) {
        struct span line = line_at(s, i, &i);
        if (is_list_line(line))
            builder_begin(b, BLOCK_LIST_ITEM);
        builder_text(b, line);
        builder_char(b, '\n');
    }
    builder_end(b);
}

void text_parse(struct builder *b, struct span utf8)
{
    struct span subject;
    bool first = true;
    for (size_t i = 0; i < utf8.len && builder_ok(b);) {
        size_t start = i, next = i;
        if (is_blank(line_at(utf8, i, &next))) {
            i = next;
            continue;
        }
        while (i < utf8.len && !is_blank(line_at(utf8, i, &next)))
            i = next;
        struct span s = span_sub(utf8, start, i);
        if (first && is_mail_head(s, &subject)) {
            builder_begin(b, BLOCK_HEADER);
            builder_text(b, s);
            builder_end(b);
            builder_title(b, subject);
        } else {
            paragraph(b, s);
        }
        first = false;
    }
}
