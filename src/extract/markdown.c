/* Markdown: the text a reader of the rendered page would see, in blocks.
 *
 * Line by line, as CommonMark's block structure asks for, with one line of look-ahead (tables,
 * underlined headings). Kept: headings, paragraphs, list items (with their numbers), table rows as
 * cells joined by " | ", code as it stands, front matter's title. Marks of emphasis go, links and
 * pictures give their text. Not read: reference definitions, HTML tags, comments, what link targets
 * say.
 *
 * All look-ahead inside a line is bounded (SPAN_MAX), so a line of a million brackets takes linear
 * time. */
#include "extract/extract_priv.h"

#include <string.h>
#include <strings.h>

#include "base/size.h"
#include "base/utf8.h"

enum { SPAN_MAX = 2000, INLINE_DEPTH_MAX = 4, QUOTE_DEPTH_MAX = 16, FRONT_MATTER_LINES = 200 };

struct md {
    struct builder *b;
    struct span s; /* the whole text */
    size_t at;     /* the next line  */
    char fence;    /* '`' or '~' inside fenced code, else 0 */
    size_t fence_len;
    bool in_comment;
    bool in_table;
};

/* ---- lines ---------------------------------------------------------------------------------- */

static struct span line_peek(const struct md *m, size_t *next)
{
    if (m->at >= m->s.len) {
        *next = m->s.len;
        return (struct span){ 0 };
    }
    const char *p = m->s.ptr + m->at;
    const char *nl = memchr(p, '\n', m->s.len - m->at);
    size_t len = nl ? (size_t)(nl - p) : m->s.len - m->at;
    *next = m->at + len + (nl != NULL);
    if (len && p[len - 1] == '\r')
        len--;
    return (struct span){ p, len };
}

static struct span line_take(struct md *m)
{
    return line_peek(m, &m->at);
}

static size_t indent_of(struct span s)
{
    size_t i = 0;
    while (i < s.len && (s.ptr[i] == ' ' || s.ptr[i] == '\t'))
        i++;
    return i;
}

static size_t run_of(struct span s, size_t from, char c)
{
    size_t n = 0;
    while (from + n < s.len && s.ptr[from + n] == c)
        n++;
    return n;
}

static bool is_alnum(unsigned char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c >= 0x80;
}

/* ---- inside a line -------------------------------------------------------------------------- */

static void inline_text(struct builder *b, struct span s, int depth);

/* The offset after the bracket that closes the one at 'from', or 0. */
static size_t bracket_end(struct span s, size_t from, char open, char close)
{
    size_t depth = 0;
    size_t end = MIN(s.len, from + SPAN_MAX);
    for (size_t i = from; i < end; i++) {
        if (s.ptr[i] == '\\')
            i++;
        else if (s.ptr[i] == open)
            depth++;
        else if (s.ptr[i] == close && --depth == 0)
            return i + 1;
    }
    return 0;
}

/* [text](target), [text][ref], ![alt](target), [^note]: writes the text, returns what was used; 0:
 * not a link. */
static size_t inline_link(struct builder *b, struct span s, size_t at, int depth)
{
    size_t end = depth < INLINE_DEPTH_MAX ? bracket_end(s, at, '[', ']') : 0;
    if (!end)
        return 0;
    if (end - at > 3 && s.ptr[at + 1] == '^')
        return end - at;
    size_t after = end;
    if (end < s.len && s.ptr[end] == '(')
        after = bracket_end(s, end, '(', ')');
    else if (end < s.len && s.ptr[end] == '[')
        after = bracket_end(s, end, '[', ']');
    if (!after || after == end)
        return 0;
    inline_text(b, span_sub(s, at + 1, end - 1), depth + 1);
    return after - at;
}

static size_t inline_code(struct builder *b, struct span s, size_t at)
{
    size_t n = run_of(s, at, '`');
    size_t end = MIN(s.len, at + SPAN_MAX);
    for (size_t i = at + n; i < end;) {
        size_t k = run_of(s, i, '`');
        if (k == n) {
            builder_text(b, span_sub(s, at + n, i));
            return i + k - at;
        }
        i += k ? k : 1;
    }
    return 0;
}

/* <https://...> and <name@host> give their address, other tags nothing. */
static size_t inline_tag(struct builder *b, struct span s, size_t at)
{
    size_t end = MIN(s.len, at + SPAN_MAX / 4);
    if (at + 1 >= s.len ||
        !(is_alnum((unsigned char)s.ptr[at + 1]) || strchr("/!?", s.ptr[at + 1])))
        return 0;
    const char *close = memchr(s.ptr + at, '>', end - at);
    if (!close)
        return 0;
    struct span in = span_sub(s, at + 1, (size_t)(close - s.ptr));
    if (span_find(in, SPAN("://"), 0) != SIZE_MAX ||
        (span_find(in, SPAN("@"), 0) != SIZE_MAX && span_find(in, SPAN(" "), 0) == SIZE_MAX))
        builder_text(b, in);
    else if (in.len >= 2 && strncasecmp(in.ptr, "br", 2) == 0)
        builder_char(b, '\n');
    return in.len + 2;
}

static size_t inline_entity(struct builder *b, struct span s, size_t at)
{
    static const struct {
        struct span name, text;
    } known[] = {
        { { "&amp;", 5 }, { "&", 1 } },        { { "&lt;", 4 }, { "<", 1 } },
        { { "&gt;", 4 }, { ">", 1 } },         { { "&quot;", 6 }, { "\"", 1 } },
        { { "&nbsp;", 6 }, { " ", 1 } },       { { "&sect;", 6 }, { "\u00A7", 2 } },
        { { "&auml;", 6 }, { "\u00E4", 2 } },  { { "&ouml;", 6 }, { "\u00F6", 2 } },
        { { "&uuml;", 6 }, { "\u00FC", 2 } },  { { "&Auml;", 6 }, { "\u00C4", 2 } },
        { { "&Ouml;", 6 }, { "\u00D6", 2 } },  { { "&Uuml;", 6 }, { "\u00DC", 2 } },
        { { "&szlig;", 7 }, { "\u00DF", 2 } }, { { "&euro;", 6 }, { "\u20AC", 3 } },
        { { "&ndash;", 7 }, { "\u2013", 3 } }, { { "&mdash;", 7 }, { "\u2014", 3 } },
    };
    struct span rest = span_sub(s, at, s.len);
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (span_starts(rest, known[i].name)) {
            builder_text(b, known[i].text);
            return known[i].name.len;
        }
    return 0;
}

/* A run of * or _ that opens or closes emphasis has text on at least one side; _ inside a word is a
 * letter. */
static size_t inline_emphasis(struct span s, size_t at)
{
    char c = s.ptr[at];
    size_t n = run_of(s, at, c);
    unsigned char before = at ? (unsigned char)s.ptr[at - 1] : ' ';
    unsigned char after = at + n < s.len ? (unsigned char)s.ptr[at + n] : ' ';
    if (before <= ' ' && after <= ' ')
        return 0;
    if (c == '_' && is_alnum(before) && is_alnum(after))
        return 0;
    return n;
}

/* Tries to read markup at s[at]; 0: it is text. */
static size_t inline_mark(struct builder *b, struct span s, size_t at, int depth)
{
    switch (s.ptr[at]) {
    case '[':
        return inline_link(b, s, at, depth);
    case '!':
        if (at + 1 < s.len && s.ptr[at + 1] == '[') {
            size_t n = inline_link(b, s, at + 1, depth);
            return n ? n + 1 : 0;
        }
        return 0;
    case '`':
        return inline_code(b, s, at);
    case '<':
        return inline_tag(b, s, at);
    case '&':
        return inline_entity(b, s, at);
    case '*':
    case '_':
        return inline_emphasis(s, at);
    case '~':
        return run_of(s, at, '~') == 2 ? 2 : 0;
    default:
        return 0;
    }
}

static void inline_text(struct builder *b, struct span s, int depth)
{
    size_t plain = 0; /* where text not yet written begins */
    for (size_t i = 0; i < s.len && builder_ok(b);) {
        if (s.ptr[i] == '\\' && i + 1 < s.len && !is_alnum((unsigned char)s.ptr[i + 1])) {
            builder_text(b, span_sub(s, plain, i));
            plain = i + 1;
            i += 2;
            continue;
        }
        if (!strchr("[!`<&*_~", s.ptr[i]) || s.ptr[i] == '\0') {
            i++;
            continue;
        }
        builder_text(b, span_sub(s, plain, i));
        plain = i;
        size_t used = inline_mark(b, s, i, depth);
        size_t step = used ? used : MAX(run_of(s, i, s.ptr[i]), (size_t)1);
        if (used)
            plain = i + used;
        i += step;
    }
    builder_text(b, span_sub(s, plain, s.len));
}

/* ---- blocks --------------------------------------------------------------------------------- */

static bool is_rule(struct span s)
{
    size_t n = 0;
    char c = s.len ? s.ptr[0] : 0;
    if (c != '-' && c != '*' && c != '_')
        return false;
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] == c)
            n++;
        else if (s.ptr[i] != ' ' && s.ptr[i] != '\t')
            return false;
    }
    return n >= 3;
}

static bool is_underline(struct span s)
{
    s = span_trim(s);
    return s.len && (s.ptr[0] == '=' || s.ptr[0] == '-') && run_of(s, 0, s.ptr[0]) == s.len;
}

/* |---|:--:| and the like */
static bool is_table_rule(struct span s)
{
    bool dash = false, bar = false;
    for (size_t i = 0; i < s.len; i++) {
        dash |= s.ptr[i] == '-';
        bar |= s.ptr[i] == '|';
        if (!strchr("|-: \t", s.ptr[i]) || s.ptr[i] == '\0')
            return false;
    }
    return dash && bar;
}

/* The bytes of a list marker with its space, or 0; *keep is how much of it is text (a number). */
static size_t list_marker(struct span s, size_t *keep)
{
    *keep = 0;
    if (s.len >= 2 && strchr("-+*", s.ptr[0]) && s.ptr[0] && (s.ptr[1] == ' ' || s.ptr[1] == '\t'))
        return 2;
    size_t n = 0;
    while (n < s.len && n < 9 && s.ptr[n] >= '0' && s.ptr[n] <= '9')
        n++;
    if (!n || n + 1 >= s.len || (s.ptr[n] != '.' && s.ptr[n] != ')') || s.ptr[n + 1] != ' ')
        return 0;
    *keep = n + 2;
    return n + 2;
}

static void table_row(struct builder *b, struct span s)
{
    s = span_trim(s);
    if (span_starts(s, SPAN("|")))
        s = span_sub(s, 1, s.len);
    if (span_ends(s, SPAN("|")) && !span_ends(s, SPAN("\\|")))
        s.len--;
    builder_begin(b, BLOCK_TABLE_ROW);
    for (size_t i = 0, cell = 0; i <= s.len; i++) {
        if (i < s.len && s.ptr[i] == '\\') {
            i++;
            continue;
        }
        if (i < s.len && s.ptr[i] != '|')
            continue;
        if (cell)
            builder_text(b, SPAN(" | "));
        inline_text(b, span_trim(span_sub(s, cell, i)), 0);
        cell = i + 1;
    }
    builder_end(b);
}

static void heading(struct builder *b, struct span s, size_t level)
{
    s = span_trim(span_sub(s, level, s.len));
    size_t n = s.len;
    while (n && s.ptr[n - 1] == '#')
        n--;
    if (n < s.len && (n == 0 || s.ptr[n - 1] == ' ')) /* a closing run of # stands by itself */
        s.len = n;
    builder_begin(b, BLOCK_HEADING);
    inline_text(b, s, 0);
    builder_end(b);
}

/* Fenced code: true while the line belongs to it. */
static bool fence_line(struct md *m, struct span line, struct span s)
{
    char c = s.len ? s.ptr[0] : 0;
    size_t n = c == '`' || c == '~' ? run_of(s, 0, c) : 0;
    if (m->fence) {
        if (c == m->fence && n >= m->fence_len && span_trim(span_sub(s, n, s.len)).len == 0) {
            builder_end(m->b);
            m->fence = 0;
            return true;
        }
        builder_text(m->b, line);
        builder_char(m->b, '\n');
        return true;
    }
    if (n < 3 || (c == '`' && memchr(s.ptr + n, '`', s.len - n)))
        return false;
    builder_begin(m->b, BLOCK_PARAGRAPH);
    m->b->keep_layout = true;
    m->fence = c;
    m->fence_len = n;
    return true;
}

/* [id]: target */
static bool is_definition(struct span s)
{
    if (!span_starts(s, SPAN("[")) || span_starts(s, SPAN("[^")))
        return false;
    size_t end = bracket_end(s, 0, '[', ']');
    return end && end + 1 < s.len && s.ptr[end] == ':' && s.ptr[end + 1] == ' ';
}

static bool comment_line(struct md *m, struct span s)
{
    if (!m->in_comment && !span_starts(s, SPAN("<!--")))
        return false;
    m->in_comment = span_find(s, SPAN("-->"), 0) == SIZE_MAX;
    return true;
}

static void paragraph_line(struct md *m, struct span line, struct span s)
{
    struct builder *b = m->b;
    if (!b->open)
        builder_begin(b, BLOCK_PARAGRAPH);
    bool hard = span_ends(line, SPAN("  ")) || span_ends(s, SPAN("\\"));
    if (span_ends(s, SPAN("\\")))
        s.len--;
    inline_text(b, span_trim(s), 0);
    builder_char(b, hard ? '\n' : ' ');
}

static bool table_line(struct md *m, struct span s)
{
    bool bar = s.len && memchr(s.ptr, '|', s.len);
    size_t next;
    if (m->in_table && bar) {
        if (!is_table_rule(s))
            table_row(m->b, s);
        return true;
    }
    m->in_table = bar && is_table_rule(line_peek(m, &next));
    if (m->in_table)
        table_row(m->b, s);
    return m->in_table;
}

/* One line outside code and comments; s is it without indentation and quote marks. */
static void block_line(struct md *m, struct span line, struct span s)
{
    struct builder *b = m->b;
    size_t level = run_of(s, 0, '#'), keep;
    if (s.len == 0) {
        builder_end(b);
        m->in_table = false;
    } else if (b->open && b->now.kind == BLOCK_PARAGRAPH && is_underline(s)) {
        b->now.kind = BLOCK_HEADING;
        builder_end(b);
    } else if (is_rule(s)) {
        builder_end(b);
    } else if (level >= 1 && level <= 6 && (level == s.len || s.ptr[level] == ' ')) {
        heading(b, s, level);
    } else if (table_line(m, s) || is_definition(s)) {
        /* done there; a definition says nothing to a reader */
    } else if (list_marker(s, &keep)) {
        size_t n = list_marker(s, &keep);
        builder_begin(b, BLOCK_LIST_ITEM);
        builder_text(b, span_sub(s, 0, keep));
        paragraph_line(m, line, span_sub(s, n, s.len));
    } else {
        paragraph_line(m, line, s);
    }
}

static void front_matter(struct md *m)
{
    size_t start = m->at;
    if (!span_eq(span_trim(line_take(m)), SPAN("---"))) {
        m->at = start;
        return;
    }
    struct span title = { 0 };
    for (int i = 0; i < FRONT_MATTER_LINES && m->at < m->s.len; i++) {
        struct span line = line_take(m);
        if (span_eq(span_trim(line), SPAN("---")) || span_eq(span_trim(line), SPAN("..."))) {
            builder_title(m->b, title);
            return;
        }
        if (span_starts(line, SPAN("title:"))) {
            title = span_trim(span_sub(line, 6, line.len));
            if (title.len >= 2 && (title.ptr[0] == '"' || title.ptr[0] == '\'') &&
                title.ptr[title.len - 1] == title.ptr[0])
                title = span_sub(title, 1, title.len - 1);
        }
    }
    m->at = start; /* no end: it was a rule */
}

void markdown_parse(struct builder *b, struct span utf8)
{
    struct md m = { .b = b, .s = utf8 };
    front_matter(&m);
    while (m.at < m.s.len && builder_ok(b)) {
        struct span line = line_take(&m);
        struct span s = span_sub(line, indent_of(line), line.len);
        if (fence_line(&m, line, s))
            continue;
        for (int i = 0; i < QUOTE_DEPTH_MAX && span_starts(s, SPAN(">")); i++)
            s = span_sub(s, 1 + indent_of(span_sub(s, 1, s.len)), s.len);
        if (!comment_line(&m, s))
            block_line(&m, line, s);
    }
    builder_end(b);
}
