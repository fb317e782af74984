/* Rich Text (.rtf), as Word, WordPad and the programs of courts and authorities write it.
 *
 * RTF is groups in braces, control words (\word, perhaps a number, perhaps one space), control symbols, and text. A group
 * keeps what is set in it for itself. Some groups hold no text of the document (fonts, colours, pictures ...): a known list, and
 * every one that begins with \* and is not known.
 *
 *   \par, \sect, \page, \row    end a block; \line a line, \tab and \cell white space
 *   \trowd ... \cell ... \row   a table's row: cells joined by " | "
 *   \sN, \outlinelevelN         a heading, if the style sheet calls style N so, or the level is below 9
 *   \'hh                        a byte of the document's (or the font's) code page; \uN a UTF-16 unit, after which \ucN
 *                               characters repeat it for old readers
 *   \v, \deleted                hidden and deleted text: dropped
 *   {\footnote ...}             after the text; {\header ...} where it stands, {\footer ...} at the end, as header blocks
 *
 * Not read: fields' instructions (their results are), pictures, embedded objects, form data.
 *
 * Outlook keeps HTML mails as RTF with the HTML inside ([MS-OXRTFEX]): its tags in groups {\*\htmltagN ...}, its text as it
 * is, and between \htmlrtf and \htmlrtf0 what only readers of RTF should see. rtf_html() gives that HTML back. */
#include "extract/extract_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "base/utf8.h"
#include "extract/cells.h"

enum {
    FONTS_MAX = 1024,
    STYLES_MAX = 1024,
    WORD_MAX = 32, /* letters of a control word, as the format says */
};

enum destination {
    DEST_TEXT,
    DEST_SKIP,
    DEST_FONTS,
    DEST_STYLES,
    DEST_TITLE,
    DEST_NOTE,
    DEST_HEADER,
    DEST_FOOTER,
};

struct group {
    enum destination dest;
    bool hidden;
    bool in_table, heading, list; /* the paragraph */
    unsigned codepage;            /* of \'hh */
    unsigned uc;                  /* characters to pass over after \u */
    bool no_html;                 /* between \htmlrtf and \htmlrtf0 */
};

struct rtf {
    struct builder *b;
    struct span in;
    size_t at;
    struct group *groups; /* [RTF_DEPTH_MAX] */
    size_t n_groups;
    struct group g; /* the innermost one */

    unsigned document_codepage;
    unsigned font_codepages[FONTS_MAX]; /* 0: the document's */
    unsigned font;                      /* being defined */
    bool heading_styles[STYLES_MAX];
    unsigned style;  /* being defined */
    struct buf name; /* of the style, or the title */

    struct buf bytes; /* of \'hh, until something else comes: a character may have two */
    uint32_t high;    /* first half of a pair of \u; 0: none */
    size_t to_skip;   /* characters that repeat a \u */
    struct buf text;  /* of the block, UTF-8 */
    struct buf notes; /* each ended with a zero */
    struct buf header, footer;
    struct cells row;
    bool first_in_group, star;
    bool as_html; /* 'text' becomes the HTML inside, and there are no blocks */
};

static bool is_dropped(const struct rtf *d)
{
    return d->as_html ? d->g.no_html : d->g.hidden;
}

static struct buf *sink(struct rtf *d)
{
    switch (d->g.dest) {
    case DEST_TEXT:
        return &d->text;
    case DEST_NOTE:
        return &d->notes;
    case DEST_HEADER:
        return &d->header;
    case DEST_FOOTER:
        return &d->footer;
    case DEST_STYLES:
    case DEST_TITLE:
        return &d->name;
    case DEST_SKIP:
    case DEST_FONTS:
        break;
    }
    return NULL;
}

static void put(struct rtf *d, struct span s)
{
    struct buf *out = sink(d);
    if (!out || is_dropped(d))
        return;
    builder_collect(d->b, out, s);
}

static void put_codepoint(struct rtf *d, uint32_t cp)
{
    char utf8[UTF8_MAX_BYTES];
    put(d, (struct span){ utf8, utf8_encode(utf8, (int32_t)cp) });
}

/* The bytes collected so far, in the code page they were written in. */
static void bytes_flush(struct rtf *d)
{
    if (d->high) {
        d->high = 0;
        put_codepoint(d, 0xFFFD);
    }
    if (!d->bytes.len)
        return;
    char label[32];
    struct buf utf8 = { 0 };
    snprintf(label, sizeof(label), "WINDOWS-%u", d->g.codepage);
    if (!charset_convert(&utf8, buf_span(&d->bytes), span_of(label)))
        builder_refuse(d->b, REASON_NOMEM, 0, 0);
    put(d, buf_span(&utf8));
    buf_deinit(&utf8);
    buf_clear(&d->bytes);
}

static void byte(struct rtf *d, char c)
{
    if (d->to_skip) {
        d->to_skip--;
        return;
    }
    if (sink(d) && !is_dropped(d))
        buf_append_char(&d->bytes, c);
    builder_holds(d->b, &d->bytes);
}

static void unicode(struct rtf *d, int n)
{
    uint32_t unit = (uint32_t)(n < 0 ? n + 65536 : n) & 0xFFFF;
    uint32_t high = d->high;
    if (unit >= 0xDC00 && unit < 0xE000 && high) {
        d->high = 0;
        bytes_flush(d);
        put_codepoint(d, 0x10000 + ((high - 0xD800) << 10) + (unit - 0xDC00));
    } else {
        bytes_flush(d);
        if (unit >= 0xD800 && unit < 0xDC00)
            d->high = unit;
        else
            put_codepoint(d, unit >= 0xDC00 && unit < 0xE000 ? 0xFFFD : unit);
    }
    d->to_skip = d->g.uc;
}

/* ---- blocks --------------------------------------------------------------------------------- */

static void block_end(struct rtf *d)
{
    bytes_flush(d);
    if (d->g.dest != DEST_TEXT || d->as_html) {
        put(d, SPAN("\n"));
        return;
    }
    struct span s = buf_span(&d->text);
    if (d->g.in_table) {
        if (s.len)
            buf_append_char(&d->text, '\n');
        return;
    }
    builder_begin(d->b, d->g.heading ? BLOCK_HEADING
                        : d->g.list  ? BLOCK_LIST_ITEM
                                     : BLOCK_PARAGRAPH);
    builder_text(d->b, s);
    builder_end(d->b);
    buf_clear(&d->text);
}

static void cell_end(struct rtf *d)
{
    bytes_flush(d);
    if (d->g.dest != DEST_TEXT || d->as_html)
        return;
    cells_begin(&d->row);
    cells_text(&d->row, span_trim(buf_span(&d->text)));
    buf_clear(&d->text);
}

static void row_end(struct rtf *d)
{
    bytes_flush(d);
    if (d->g.dest != DEST_TEXT || d->as_html)
        return;
    cells_end(&d->row, d->b, 0);
    buf_clear(&d->text);
}

/* ---- the tables of fonts and styles --------------------------------------------------------- */

/* What \fcharsetN stands for; 0: the document's own. */
static unsigned charset_codepage(int n)
{
    static const struct {
        int charset;
        unsigned codepage;
    } known[] = { { 0, 1252 },   { 161, 1253 }, { 162, 1254 }, { 163, 1258 }, { 177, 1255 },
                  { 178, 1256 }, { 186, 1257 }, { 204, 1251 }, { 238, 1250 } };
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (known[i].charset == n)
            return known[i].codepage;
    return 0;
}

/* "heading 1;" and what German Word calls it. */
static bool is_heading_name(struct span s)
{
    static const char *const begins[] = { "heading ", "Heading ", "\u00DCberschrift ", "Title",
                                          "Titel" };
    s = span_trim(s);
    for (size_t i = 0; i < ARRAY_LEN(begins); i++)
        if (span_starts(s, span_of(begins[i])))
            return true;
    return false;
}

static void style_name_end(struct rtf *d)
{
    bytes_flush(d);
    if (d->style < STYLES_MAX)
        d->heading_styles[d->style] = is_heading_name(buf_span(&d->name));
    buf_clear(&d->name);
    d->style = 0;
}

/* ---- control words -------------------------------------------------------------------------- */

/* Groups that hold none of the document's text, or text of another kind. */
static bool destination(struct rtf *d, const char *word)
{
    static const struct {
        const char *word;
        enum destination dest;
    } known[] = {
        { "fonttbl", DEST_FONTS },
        { "stylesheet", DEST_STYLES },
        { "title", DEST_TITLE },
        { "footnote", DEST_NOTE },
        { "header", DEST_HEADER },
        { "headerl", DEST_HEADER },
        { "headerr", DEST_HEADER },
        { "headerf", DEST_HEADER },
        { "footer", DEST_FOOTER },
        { "footerl", DEST_FOOTER },
        { "footerr", DEST_FOOTER },
        { "footerf", DEST_FOOTER },
        { "colortbl", DEST_SKIP },
        { "info", DEST_SKIP },
        { "pict", DEST_SKIP },
        { "object", DEST_SKIP },
        { "fldinst", DEST_SKIP },
        { "listtable", DEST_SKIP },
        { "listoverridetable", DEST_SKIP },
        { "revtbl", DEST_SKIP },
        { "rsidtbl", DEST_SKIP },
        { "generator", DEST_SKIP },
        { "xmlnstbl", DEST_SKIP },
        { "themedata", DEST_SKIP },
        { "datastore", DEST_SKIP },
        { "latentstyles", DEST_SKIP },
        { "filetbl", DEST_SKIP },
        { "annotation", DEST_SKIP },
        { "atnid", DEST_SKIP },
        { "atnauthor", DEST_SKIP },
        { "bkmkstart", DEST_SKIP },
        { "bkmkend", DEST_SKIP },
        { "nonshppict", DEST_SKIP },
        { "ftnsep", DEST_SKIP },
        { "ftnsepc", DEST_SKIP },
        { "ftncn", DEST_SKIP },
        { "xe", DEST_SKIP },
        { "tc", DEST_SKIP },
        { "pntxta", DEST_SKIP },
        { "pntxtb", DEST_SKIP },
    };
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (strcmp(known[i].word, word) == 0) {
            bool inside_skipped = d->g.dest == DEST_SKIP && known[i].dest != DEST_TITLE;
            d->g.dest = inside_skipped ? DEST_SKIP : known[i].dest;
            if (d->g.dest == DEST_TITLE || d->g.dest == DEST_STYLES)
                buf_clear(&d->name);
            return true;
        }
    return false;
}

static void paragraph_word(struct rtf *d, const char *word, int n, bool has_n)
{
    if (strcmp(word, "pard") == 0)
        d->g.heading = d->g.list = d->g.in_table = false;
    else if (strcmp(word, "intbl") == 0)
        d->g.in_table = true;
    else if (strcmp(word, "outlinelevel") == 0)
        d->g.heading = has_n && n >= 0 && n < 9;
    else if (strcmp(word, "ls") == 0)
        d->g.list = n > 0;
    else if (strcmp(word, "s") == 0 && d->g.dest == DEST_STYLES)
        d->style = (unsigned)n;
    else if (strcmp(word, "s") == 0)
        d->g.heading = n >= 0 && n < STYLES_MAX && d->heading_styles[n];
}

static bool block_word(struct rtf *d, const char *word)
{
    if (strcmp(word, "par") == 0 || strcmp(word, "sect") == 0 || strcmp(word, "page") == 0)
        block_end(d);
    else if (strcmp(word, "cell") == 0 || strcmp(word, "nestcell") == 0)
        cell_end(d);
    else if (strcmp(word, "row") == 0 || strcmp(word, "nestrow") == 0)
        row_end(d);
    else
        return false;
    return true;
}

static bool character_word(struct rtf *d, const char *word)
{
    static const struct {
        const char *word, *text;
    } known[] = {
        { "tab", "\t" },        { "line", "\n" },          { "emdash", "\u2014" },
        { "endash", "\u2013" }, { "bullet", "\u2022" },    { "lquote", "\u2018" },
        { "rquote", "\u2019" }, { "ldblquote", "\u201C" }, { "rdblquote", "\u201D" },
        { "emspace", " " },     { "enspace", " " },        { "qmspace", " " },
        { "lbr", "\n" },
    };
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (strcmp(known[i].word, word) == 0) {
            bytes_flush(d);
            put(d, span_of(known[i].text));
            return true;
        }
    return false;
}

static void font_word(struct rtf *d, const char *word, int n)
{
    if (strcmp(word, "f") == 0 && d->g.dest == DEST_FONTS) {
        d->font = n >= 0 && n < FONTS_MAX ? (unsigned)n : 0;
    } else if (strcmp(word, "f") == 0 && n >= 0 && n < FONTS_MAX) {
        bytes_flush(d);
        d->g.codepage = d->font_codepages[n] ? d->font_codepages[n] : d->document_codepage;
    } else if (strcmp(word, "fcharset") == 0 && d->g.dest == DEST_FONTS) {
        d->font_codepages[d->font] = charset_codepage(n);
    } else if (strcmp(word, "ansicpg") == 0 && n > 0) {
        d->document_codepage = d->g.codepage = (unsigned)n;
    }
}

static void bin(struct rtf *d, int n)
{
    size_t len = n > 0 ? (size_t)n : 0;
    d->at += MIN(len, d->in.len - d->at);
}

/* What only RTF with HTML inside has. */
static bool html_word(struct rtf *d, const char *word, int n, bool has_n)
{
    if (!d->as_html)
        return false;
    if (d->star && strcmp(word, "htmltag") == 0) {
        d->g.dest = DEST_TEXT;
    } else if (d->first_in_group &&
               strcmp(word, "pntext") == 0) { /* a list's bullet, which HTML has of its own */
        d->g.dest = DEST_SKIP;
    } else if (strcmp(word, "htmlrtf") == 0) {
        bytes_flush(d);
        d->g.no_html = !has_n || n != 0;
    } else {
        return false;
    }
    return true;
}

static void control_word(struct rtf *d, const char *word, int n, bool has_n)
{
    if (d->to_skip) { /* stands for one of the characters that repeat a \u */
        d->to_skip--;
        return;
    }
    if (html_word(d, word, n, has_n))
        return;
    bool known = (d->first_in_group || d->star) && destination(d, word);
    if (d->star && !known && strcmp(word, "shpinst") != 0 && strcmp(word, "shppict") != 0)
        d->g.dest = DEST_SKIP;
    if (known || d->star)
        return;
    if (strcmp(word, "u") == 0)
        unicode(d, n);
    else if (strcmp(word, "uc") == 0)
        d->g.uc = n >= 0 && n < 16 ? (unsigned)n : 1;
    else if (strcmp(word, "bin") == 0)
        bin(d, n);
    else if (strcmp(word, "v") == 0 || strcmp(word, "deleted") == 0) {
        bytes_flush(d);
        d->g.hidden = !has_n || n != 0;
    } else if (strcmp(word, "plain") == 0) {
        bytes_flush(d);
        d->g.hidden = false;
    } else if (!block_word(d, word) && !character_word(d, word)) {
        paragraph_word(d, word, n, has_n);
        font_word(d, word, n);
    }
}

static void control_symbol(struct rtf *d, char c)
{
    if (c == '\'') {
        int value = 0;
        for (int i = 0; i < 2 && d->at < d->in.len; i++, d->at++) {
            const char *hex = "0123456789abcdef0123456789ABCDEF";
            char h = d->in.ptr[d->at];
            const char *p = h ? strchr(hex, h) : NULL;
            if (!p)
                break;
            value = value * 16 + (int)((p - hex) % 16);
        }
        byte(d, (char)value);
        return;
    }
    if (d->to_skip) {
        d->to_skip--;
        return;
    }
    bytes_flush(d);
    if (c == '~')
        put(d, SPAN("\u00A0"));
    else if (c == '_')
        put(d, SPAN("-"));
    else if (c == '\n' || c == '\r')
        block_end(d);
    else if (c == '\\' || c == '{' || c == '}')
        byte(d, c);
}

/* ---- the stream ----------------------------------------------------------------------------- */

static void control(struct rtf *d)
{
    char word[WORD_MAX + 1];
    size_t len = 0;
    long n = 0;
    bool has_n = false, negative = false;
    const char *p = d->in.ptr;
    if (d->at >= d->in.len)
        return;
    char c = p[d->at];
    if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))) {
        d->at++;
        if (c == '*')
            d->star = true;
        else
            control_symbol(d, c);
        return;
    }
    while (d->at < d->in.len && len < WORD_MAX &&
           ((p[d->at] >= 'a' && p[d->at] <= 'z') || (p[d->at] >= 'A' && p[d->at] <= 'Z')))
        word[len++] = p[d->at++];
    word[len] = '\0';
    if (d->at < d->in.len && p[d->at] == '-') {
        negative = true;
        d->at++;
    }
    for (; d->at < d->in.len && p[d->at] >= '0' && p[d->at] <= '9'; d->at++) {
        has_n = true;
        if (n < 100000000)
            n = n * 10 + (p[d->at] - '0');
    }
    if (d->at < d->in.len && p[d->at] == ' ')
        d->at++;
    control_word(d, word, (int)(negative ? -n : n), has_n);
    d->star = false;
}

static void group_begin(struct rtf *d)
{
    bytes_flush(d);
    d->to_skip = 0;
    if (d->n_groups == RTF_DEPTH_MAX) {
        builder_refuse(d->b, REASON_TOO_DEEP, RTF_DEPTH_MAX, 0);
        return;
    }
    d->groups[d->n_groups++] = d->g;
}

/* Blocks of kind 'kind' from texts that a zero, or (furniture) a line, ends. */
static void give(struct rtf *d, struct buf *from, char end, enum block_kind kind)
{
    struct span s = buf_span(from);
    builder_holds(d->b, from);
    for (size_t at = 0; at < s.len && builder_ok(d->b);) {
        size_t to = MIN(span_find(s, (struct span){ &end, 1 }, at), s.len);
        builder_begin(d->b, kind);
        builder_text(d->b, span_sub(s, at, to));
        builder_end(d->b);
        at = to + 1;
    }
    buf_clear(from);
}

static void group_end(struct rtf *d)
{
    bytes_flush(d);
    d->to_skip = 0;
    if (!d->n_groups)
        return;
    struct group outer = d->groups[--d->n_groups];
    if (d->g.dest == DEST_STYLES && outer.dest == DEST_STYLES)
        style_name_end(d);
    else if (d->g.dest == DEST_TITLE && outer.dest != DEST_TITLE)
        builder_title(d->b, buf_span(&d->name));
    else if (d->g.dest == DEST_NOTE && outer.dest != DEST_NOTE)
        buf_append_char(&d->notes, '\0');
    else if (d->g.dest == DEST_HEADER && outer.dest != DEST_HEADER)
        give(d, &d->header, '\n', BLOCK_HEADER);
    d->g = outer;
}

static void stream(struct rtf *d)
{
    while (d->at < d->in.len && builder_ok(d->b)) {
        char c = d->in.ptr[d->at++];
        bool control_follows = c == '\\';
        if (c == '{')
            group_begin(d);
        else if (c == '}')
            group_end(d);
        else if (control_follows)
            control(d);
        else if (c != '\r' && c != '\n' && c != '\0')
            byte(d, c);
        /* a destination's word is the first of its group, perhaps after \* */
        d->first_in_group = c == '{' || (control_follows && d->star);
    }
}

static void rtf_close(struct rtf *d)
{
    if (!d)
        return;
    buf_deinit(&d->name);
    buf_deinit(&d->bytes);
    buf_deinit(&d->text);
    buf_deinit(&d->notes);
    buf_deinit(&d->header);
    buf_deinit(&d->footer);
    cells_deinit(&d->row);
    free(d->groups);
    free(d);
}

static struct rtf *rtf_open(struct builder *b, struct span file)
{
    struct rtf *d = calloc(1, sizeof(*d));
    if (d)
        d->groups = calloc(RTF_DEPTH_MAX, sizeof(*d->groups));
    if (!d || !d->groups) {
        rtf_close(d);
        builder_refuse(b, REASON_NOMEM, 0, 0);
        return NULL;
    }
    d->b = b;
    d->in = file;
    d->document_codepage = 1252;
    d->g = (struct group){ .codepage = 1252, .uc = 1 };
    return d;
}

void rtf_parse(struct builder *b, struct span file)
{
    struct rtf *d = rtf_open(b, file);
    if (!d)
        return;
    stream(d);
    d->g = (struct group){ .codepage = d->document_codepage, .uc = 1 };
    d->g.in_table = false;
    cells_end(&d->row, b, 0); /* of a file that was cut off */
    block_end(d);
    give(d, &d->notes, '\0', BLOCK_PARAGRAPH);
    give(d, &d->footer, '\n', BLOCK_HEADER);
    rtf_close(d);
}

bool rtf_html(struct builder *b, struct span file, struct buf *html)
{
    enum { SAID_WITHIN = 1024 }; /* among the first words, the specification says */
    if (span_find(span_sub(file, 0, SAID_WITHIN), SPAN("\\fromhtml1"), 0) == SIZE_MAX)
        return false;
    struct rtf *d = rtf_open(b, file);
    if (!d)
        return false;
    d->as_html = true;
    stream(d);
    bytes_flush(d);
    *html = d->text;
    d->text = (struct buf){ 0 };
    rtf_close(d);
    return builder_ok(b);
}
