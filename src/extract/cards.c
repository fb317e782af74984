/* Lines of calendars and address files; see cards.h.
 *
 * Folding is undone in bytes, before anything is decoded: writers fold inside characters. Then quoted-printable or base64,
 * if the line says so (vCard 2.1), and then the character set: what the line names, else UTF-8 if it is that, else a guess. */
#include "extract/cards.h"

#include <string.h>
#include <strings.h>

#include "base/base64.h"
#include "base/size.h"
#include "base/utf8.h"

bool card_is(struct span name, const char *wanted)
{
    return name.len == strlen(wanted) && strncasecmp(name.ptr, wanted, name.len) == 0;
}

struct span card_param(const struct card_line *l, const char *name)
{
    for (size_t i = 0; i < l->n_params; i++)
        if (card_is(l->params[i].name, name))
            return l->params[i].value;
    return (struct span){ 0 };
}

/* Older cards write the encoding without its name: "NOTE;QUOTED-PRINTABLE:". */
static bool has_word(const struct card_line *l, const char *word)
{
    for (size_t i = 0; i < l->n_params; i++)
        if (!l->params[i].name.len && card_is(l->params[i].value, word))
            return true;
    return false;
}

/* ---- one line ------------------------------------------------------------------------------- */

/* A line as it stands there, without its end, which may be CR LF, LF or CR. */
static struct span physical(struct card_reader *r)
{
    size_t from = r->at;
    while (r->at < r->in.len && r->in.ptr[r->at] != '\n' && r->in.ptr[r->at] != '\r')
        r->at++;
    struct span s = span_sub(r->in, from, r->at);
    if (r->at < r->in.len && r->in.ptr[r->at] == '\r')
        r->at++;
    if (r->at < r->in.len && r->in.ptr[r->at] == '\n')
        r->at++;
    return s;
}

/* White space begins the next line; empty lines that a careless program left before it are passed over. */
static bool is_folded(struct card_reader *r)
{
    size_t at = r->at;
    while (at < r->in.len && (r->in.ptr[at] == '\r' || r->in.ptr[at] == '\n'))
        at++;
    bool folded = at < r->in.len && (r->in.ptr[at] == ' ' || r->in.ptr[at] == '\t');
    if (folded)
        r->at = at;
    return folded;
}

/* Quoted-printable values of vCard 2.1 go on after a line that ends in '='. */
static bool says_quoted(struct span line)
{
    size_t colon = MIN(span_find(line, SPAN(":"), 0), line.len);
    static const char word[] = "QUOTED-PRINTABLE";
    for (size_t i = 0; i + sizeof(word) - 1 <= colon; i++)
        if (strncasecmp(line.ptr + i, word, sizeof(word) - 1) == 0)
            return true;
    return false;
}

static void unfold(struct card_reader *r)
{
    buf_clear(&r->line);
    buf_append_span(&r->line, physical(r));
    bool quoted = says_quoted(buf_span(&r->line));
    while (r->at < r->in.len && !r->line.failed) {
        bool soft = quoted && r->line.len && r->line.ptr[r->line.len - 1] == '=';
        if (!soft && !is_folded(r))
            break;
        if (soft)
            r->line.len--;
        else
            r->at++;
        buf_append_span(&r->line, physical(r));
    }
}

/* Up to one of 'marks' outside of quotes. */
static struct span until(struct span s, size_t *at, const char *marks)
{
    size_t from = *at;
    bool quoted = false;
    for (; *at < s.len && (quoted || !s.ptr[*at] || !strchr(marks, s.ptr[*at])); ++*at)
        quoted ^= s.ptr[*at] == '"';
    return span_sub(s, from, *at);
}

static struct span unquoted(struct span s)
{
    s = span_trim(s);
    if (s.len >= 2 && s.ptr[0] == '"' && s.ptr[s.len - 1] == '"')
        s = span_sub(s, 1, s.len - 1);
    return s;
}

static bool line_split(struct span s, struct card_line *out)
{
    size_t at = 0;
    *out = (struct card_line){ .name = span_trim(until(s, &at, ";:")) };
    size_t dot = span_find(out->name, SPAN("."), 0);
    if (dot != SIZE_MAX)
        out->name = span_sub(out->name, dot + 1, out->name.len);
    while (at < s.len && s.ptr[at] == ';') {
        at++;
        struct span p = until(s, &at, ";:");
        size_t eq = span_find(p, SPAN("="), 0);
        if (out->n_params == CARD_PARAMS_MAX)
            continue;
        struct card_param *to = &out->params[out->n_params++];
        if (eq != SIZE_MAX)
            *to = (struct card_param){ span_trim(span_sub(p, 0, eq)),
                                       unquoted(span_sub(p, eq + 1, p.len)) };
        else
            *to = (struct card_param){ .value = span_trim(p) };
    }
    if (at >= s.len || !out->name.len)
        return false;
    out->value = span_sub(s, at + 1, s.len);
    return true;
}

/* ---- its value ------------------------------------------------------------------------------ */

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static void unquote_printable(struct buf *out, struct span s)
{
    for (size_t i = 0; i < s.len; i++) {
        int high = -1, low = -1;
        if (s.ptr[i] == '=' && i + 2 < s.len) {
            high = hex(s.ptr[i + 1]);
            low = hex(s.ptr[i + 2]);
        }
        if (high < 0 || low < 0) {
            buf_append_char(out, s.ptr[i]);
            continue;
        }
        buf_append_char(out, (char)(high << 4 | low));
        i += 2;
    }
}

static void unbase64(struct buf *out, struct span s)
{
    uint32_t bits = 0;
    unsigned n = 0;
    for (size_t i = 0; i < s.len && s.ptr[i] != '='; i++) {
        int v = base64_value(s.ptr[i]);
        if (v < 0)
            continue;
        bits = bits << 6 | (uint32_t)v;
        n += 6;
        if (n >= 8) {
            n -= 8;
            buf_append_char(out, (char)(bits >> n & 0xFF));
        }
    }
}

/* The value decoded into r->value. A value that is no text is left empty. */
static void value_decode(struct card_reader *r, struct card_line *l)
{
    struct span encoding = card_param(l, "ENCODING");
    struct buf bytes = { 0 };
    struct refusal why;
    buf_clear(&r->value);
    bool base64 = card_is(encoding, "BASE64") || card_is(encoding, "B") || has_word(l, "BASE64");
    if (base64) {
        unbase64(&r->value, l->value);
        l->is_binary = true;
    } else if (card_is(encoding, "QUOTED-PRINTABLE") || has_word(l, "QUOTED-PRINTABLE")) {
        unquote_printable(&bytes, l->value);
        if (!charset_decode(&r->value, buf_span(&bytes), card_param(l, "CHARSET"), &why))
            buf_clear(&r->value);
    } else if (utf8_valid(l->value)) {
        buf_append_span(&r->value, l->value);
    } else if (!charset_decode(&r->value, l->value, card_param(l, "CHARSET"), &why)) {
        buf_clear(&r->value);
    }
    builder_holds(r->b, &bytes);
    builder_holds(r->b, &r->value);
    buf_deinit(&bytes);
    l->value = buf_span(&r->value);
}

bool card_next(struct card_reader *r, struct card_line *out)
{
    while (r->at < r->in.len && builder_ok(r->b)) {
        unfold(r);
        if (!builder_holds(r->b, &r->line))
            return false;
        if (!line_split(buf_span(&r->line), out))
            continue;
        value_decode(r, out);
        return builder_ok(r->b);
    }
    return false;
}

bool card_reader_init(struct card_reader *r, struct builder *b, struct span file, struct buf *utf8)
{
    struct refusal why;
    *r = (struct card_reader){ .b = b, .in = file };
    if (span_starts(file, SPAN("\xFF\xFE")) || span_starts(file, SPAN("\xFE\xFF"))) {
        if (!charset_decode(utf8, file, (struct span){ 0 }, &why))
            return builder_refuse(b, why.reason, why.a, why.b);
        r->in = buf_span(utf8);
    } else if (span_starts(file, SPAN("\xEF\xBB\xBF"))) {
        r->in = span_sub(file, 3, file.len);
    }
    return true;
}

void card_reader_deinit(struct card_reader *r)
{
    buf_deinit(&r->line);
    buf_deinit(&r->value);
}

/* ---- text ----------------------------------------------------------------------------------- */

void card_unescape(struct buf *out, struct span s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        if (c == '\\' && i + 1 < s.len) {
            c = s.ptr[++i];
            if (c == 'n' || c == 'N')
                c = '\n';
            else if (c != '\\' && c != ',' && c != ';' && c != ':' && c != '"')
                buf_append_char(out, '\\'); /* a Windows path in a file that escapes nothing */
        }
        buf_append_char(out, c);
    }
}

bool card_piece(struct span s, char mark, size_t *at, struct span *piece)
{
    if (*at > s.len)
        return false;
    size_t from = *at, i = from;
    for (; i < s.len && s.ptr[i] != mark; i++)
        if (s.ptr[i] == '\\' && i + 1 < s.len)
            i++;
    i = MIN(i, s.len);
    *piece = span_sub(s, from, i);
    *at = i + 1;
    return true;
}

void card_field(struct builder *b, const char *name, struct span value)
{
    value = span_trim(value);
    if (!value.len)
        return;
    if (b->open && b->raw.len)
        builder_char(b, '\n');
    builder_text(b, span_of(name));
    if (*name)
        builder_text(b, SPAN(": "));
    builder_text(b, value);
}
