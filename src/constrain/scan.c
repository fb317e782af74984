/* constrain/scan.c: what the parsers of grammars and of regular expressions share: places, escapes, classes,
 * repetitions. */
#include "constrain/ast.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"
#include "constrain/limits.h"

enum kt_status scan_fail(struct scan *s, enum kt_status st, size_t at, const char *fmt, ...)
{
    if (s->st)
        return s->st;
    char what[KT_ERROR_TEXT_MAX];
    va_list args;
    va_start(args, fmt);
    vsnprintf(what, sizeof(what), fmt, args);
    va_end(args);
    size_t line = 1, start = 0;
    for (size_t i = 0; s->lines && i < at && i < s->text.len; i++) {
        if (s->text.ptr[i] == '\n') {
            line++;
            start = i + 1;
        }
    }
    size_t column = utf8_count(span_sub(s->text, start, at)) + 1;
    if (s->lines)
        s->st = kt_fail(s->err, st, "grammar: line %zu, column %zu: %s", line, column, what);
    else
        s->st = kt_fail(s->err, st, "regular expression: character %zu: %s", column, what);
    return s->st;
}

bool scan_more(const struct scan *s)
{
    return !s->st && s->i < s->text.len;
}

char scan_peek(const struct scan *s)
{
    return scan_more(s) ? s->text.ptr[s->i] : 0;
}

bool scan_take(struct scan *s, char c)
{
    if (!scan_more(s) || s->text.ptr[s->i] != c)
        return false;
    s->i++;
    return true;
}

uint32_t scan_char(struct scan *s)
{
    size_t n;
    if (!scan_more(s)) {
        scan_fail(s, KT_E_FORMAT, s->i, "it ends where something must follow");
        return 0;
    }
    int32_t cp = utf8_decode(s->text.ptr + s->i, s->text.len - s->i, &n);
    if (cp < 0) {
        scan_fail(s, KT_E_FORMAT, s->i, "this is not UTF-8");
        return 0;
    }
    s->i += n;
    return (uint32_t)cp;
}

static int hex_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* n hexadecimal digits. */
static uint32_t hex(struct scan *s, size_t n, size_t at)
{
    uint32_t v = 0;
    for (size_t i = 0; i < n; i++) {
        int d = hex_of(scan_peek(s));
        if (d < 0) {
            scan_fail(s, KT_E_FORMAT, at, "the escape wants %zu hexadecimal digits", n);
            return 0;
        }
        v = v << 4 | (uint32_t)d;
        s->i++;
    }
    return v;
}

static uint32_t hex_in_braces(struct scan *s, size_t at)
{
    uint32_t v = 0;
    do {
        v = v << 4 | hex(s, 1, at);
        if (v > CHAR_MAX_CP) {
            scan_fail(s, KT_E_FORMAT, at, "there is no such character, the last is \\u{10FFFF}");
            return 0;
        }
    } while (scan_more(s) && scan_peek(s) != '}');
    if (!scan_take(s, '}'))
        scan_fail(s, KT_E_FORMAT, at, "the escape has no closing }");
    return v;
}

/* After \u: four digits, or two times four for what UTF-16 writes as two. */
static uint32_t unicode_escape(struct scan *s, size_t at)
{
    if (scan_take(s, '{'))
        return hex_in_braces(s, at);
    uint32_t v = hex(s, 4, at);
    bool high = v >= 0xD800 && v <= 0xDBFF;
    if (high && s->i + 1 < s->text.len && s->text.ptr[s->i] == '\\' &&
        s->text.ptr[s->i + 1] == 'u') {
        s->i += 2;
        uint32_t low = hex(s, 4, at);
        if (low >= 0xDC00 && low <= 0xDFFF)
            return 0x10000 + ((v - 0xD800) << 10 | (low - 0xDC00));
        v = low >= 0xD800 ? low : v;
    }
    return v;
}

uint32_t scan_escape(struct scan *s)
{
    size_t at = s->i - 1;
    char c = scan_peek(s);
    uint32_t v = 0;
    if (!scan_more(s)) {
        scan_fail(s, KT_E_FORMAT, at, "a backslash and nothing after it");
        return 0;
    }
    s->i++;
    switch (c) {
    case 'n':
        return '\n';
    case 'r':
        return '\r';
    case 't':
        return '\t';
    case 'f':
        return '\f';
    case 'v':
        return '\v';
    case '0':
        if (scan_peek(s) >= '0' && scan_peek(s) <= '9')
            scan_fail(s, KT_E_UNSUPPORTED, at, "octal escapes are not supported; write \\xHH");
        return 0;
    case 'x':
        return hex(s, 2, at);
    case 'u':
        v = unicode_escape(s, at);
        break;
    case 'U':
        v = hex(s, 8, at);
        break;
    case 'c':
        c = scan_peek(s);
        if ((c | 0x20) < 'a' || (c | 0x20) > 'z')
            scan_fail(s, KT_E_FORMAT, at, "\\c wants a letter");
        s->i++;
        return (uint32_t)c & 0x1F;
    default:
        if ((c >= '!' && c <= '/') || (c >= ':' && c <= '@') || (c >= '[' && c <= '`') ||
            (c >= '{' && c <= '~') || c == ' ')
            return (uint32_t)c;
        scan_fail(s, KT_E_UNSUPPORTED, at, "an escape that is not known");
        return 0;
    }
    if (v > CHAR_MAX_CP || (v >= 0xD800 && v <= 0xDFFF))
        scan_fail(s, KT_E_FORMAT, at, "the escape stands for no character");
    return v;
}

/* One member of a class: *cp, or (true) a class of its own, which is added. */
static bool class_member(struct scan *s, struct charset *set, uint32_t *cp)
{
    if (!scan_take(s, '\\')) {
        if (s->lines && scan_peek(s) == '\n')
            scan_fail(s, KT_E_FORMAT, s->i, "the line ends inside a class; write \\n");
        *cp = scan_char(s);
        return false;
    }
    if (scan_more(s) && charset_add_escape(set, scan_peek(s))) {
        s->i++;
        return true;
    }
    if (scan_peek(s) == 'b') { /* a backspace, in classes only */
        s->i++;
        *cp = '\b';
        return false;
    }
    if (scan_peek(s) == 'p' || scan_peek(s) == 'P')
        scan_fail(s, KT_E_UNSUPPORTED, s->i - 1,
                  "\\p{...} is not supported; write the characters' ranges");
    *cp = scan_escape(s);
    return false;
}

void scan_class(struct scan *s, struct charset *set)
{
    size_t open = s->i - 1;
    bool negated = scan_take(s, '^');
    while (scan_more(s) && scan_peek(s) != ']') {
        size_t at = s->i;
        uint32_t lo = 0, hi = 0;
        bool whole = class_member(s, set, &lo);
        bool range =
            s->i + 1 < s->text.len && s->text.ptr[s->i] == '-' && s->text.ptr[s->i + 1] != ']';
        if (!range) {
            if (!whole)
                charset_add(set, lo, lo);
            continue;
        }
        s->i++;
        if (class_member(s, set, &hi) || whole)
            scan_fail(s, KT_E_FORMAT, at,
                      "a range from or to a class; write \\- for the character");
        if (hi < lo)
            scan_fail(s, KT_E_FORMAT, at, "a range that ends before it begins");
        charset_add(set, lo, hi);
    }
    if (!scan_take(s, ']'))
        scan_fail(s, KT_E_FORMAT, open, "the class has no closing ]");
    charset_settle(set);
    if (negated)
        charset_negate(set);
}

static uint32_t count(struct scan *s)
{
    size_t at = s->i;
    uint32_t v = 0;
    while (scan_peek(s) >= '0' && scan_peek(s) <= '9') {
        v = v * 10 + (uint32_t)(scan_peek(s) - '0');
        if (v > GRAMMAR_COUNT_MAX) {
            scan_fail(s, KT_E_LIMIT, at, "a count above %d", GRAMMAR_COUNT_MAX);
            return 0;
        }
        s->i++;
    }
    if (s->i == at)
        scan_fail(s, KT_E_FORMAT, at,
                  "a number is expected here, as in {2,5}; \\{ is the character");
    return v;
}

bool scan_repeat(struct scan *s, uint32_t *min, uint32_t *max)
{
    size_t at = s->i;
    switch (scan_peek(s)) {
    case '*':
    case '+':
    case '?':
        *min = s->text.ptr[at] == '+';
        *max = s->text.ptr[at] == '?' ? 1 : REPEAT_ENDLESS;
        s->i++;
        return true;
    case '{':
        break;
    default:
        return false;
    }
    s->i++;
    *min = *max = count(s);
    if (scan_take(s, ','))
        *max = scan_peek(s) == '}' ? REPEAT_ENDLESS : count(s);
    if (!scan_take(s, '}'))
        scan_fail(s, KT_E_FORMAT, at, "the count has no closing }");
    if (*max < *min)
        scan_fail(s, KT_E_FORMAT, at, "at least %u times and at most %u", *min, *max);
    return !s->st;
}
