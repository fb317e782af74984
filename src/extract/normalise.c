/* One block's text, made clean.
 *
 * What a document shows and what it stores differ in ways that would spoil search and quotes:
 * letters in pieces (a + umlaut dots), fi as one glyph, soft hyphens, invisible characters, five
 * kinds of space. After this file they do not: a quote found by a reader's eyes is found by
 * comparing bytes. It is also a wall: characters that nobody sees (zero-width, direction overrides,
 * "tags") are a way to hide words from the reader and show them to a model; they are dropped.
 *
 * One pass: decode, map each character (map_char), write words, and put those words into NFC that
 * need it. Characters below U+0300 are NFC as they stand, so German and English text takes the
 * short way. */
#include "extract/extract_priv.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "base/utf8.h"

enum { MAP_DROP = -1, MAP_SPACE = -2, MAP_NEWLINE = -3 };

struct writer {
    struct buf *out;
    size_t start; /* of the block in out                                             */
    size_t word;  /* of the word being written                                       */
    bool word_needs_nfc;
    bool keep_layout;
    bool newline_due;
    struct buf gap; /* layout kept: the white space since the last character           */
    bool space_due;
    uint32_t n_nonstarters;
};

static bool in(int32_t cp, int32_t first, int32_t last)
{
    return cp >= first && cp <= last;
}

static bool is_space(int32_t cp)
{
    return cp == ' ' || cp == '\t' || cp == 0xA0 || cp == 0x1680 || in(cp, 0x2000, 0x200A) ||
           cp == 0x202F || cp == 0x205F || cp == 0x3000;
}

static bool is_newline(int32_t cp)
{
    return in(cp, '\n', '\r') || cp == 0x85 || cp == 0x2028 || cp == 0x2029;
}

/* Without a glyph of their own: joiners, marks of direction, fillers, variation selectors, tags,
 * object marks, noncharacters, private use. */
static bool is_invisible(int32_t cp)
{
    return cp == 0xAD || cp == 0x34F || cp == 0x61C || cp == 0x180E || in(cp, 0x200B, 0x200F) ||
           in(cp, 0x202A, 0x202E) || in(cp, 0x2060, 0x206F) || in(cp, 0xFE00, 0xFE0F) ||
           cp == 0xFEFF || in(cp, 0xFFF9, 0xFFFC) || in(cp, 0xFDD0, 0xFDEF) ||
           (cp & 0xFFFE) == 0xFFFE || in(cp, 0xE000, 0xF8FF) || cp >= 0xE0000;
}

/* Bullets of the Symbol and Wingdings fonts, which word processors store in the private-use area.
 */
static bool is_symbol_bullet(int32_t cp)
{
    return cp == 0xF0B7 || cp == 0xF0A7 || cp == 0xF0D8 || cp == 0xF076 || cp == 0xF0FC ||
           cp == 0xF06E || cp == 0xF0A8;
}

static int32_t map_char(int32_t cp)
{
    if (in(cp, 0x21, 0x7E))
        return cp;
    if (is_newline(cp))
        return MAP_NEWLINE;
    if (is_space(cp))
        return MAP_SPACE;
    if (cp < 0x20 || in(cp, 0x7F, 0x9F))
        return MAP_DROP;
    if (is_symbol_bullet(cp))
        return 0x2022;
    return is_invisible(cp) ? MAP_DROP : cp;
}

/* Latin ligatures, U+FB00 to U+FB06. */
static const char *ligature(int32_t cp)
{
    static const char *const letters[] = { "ff", "fi", "fl", "ffi", "ffl", "st", "st" };
    return in(cp, 0xFB00, 0xFB06) ? letters[cp - 0xFB00] : NULL;
}

static bool word_end(struct writer *w)
{
    struct buf *out = w->out;
    size_t len = out->len - w->word;
    if (w->word_needs_nfc && len) {
        utf8proc_uint8_t *nfc = NULL;
        utf8proc_ssize_t n =
            utf8proc_map((const utf8proc_uint8_t *)out->ptr + w->word, (utf8proc_ssize_t)len, &nfc,
                         UTF8PROC_STABLE | UTF8PROC_COMPOSE);
        if (n < 0 || !nfc) {
            free(nfc);
            return false;
        }
        out->len = w->word;
        buf_append(out, nfc, (size_t)n);
        free(nfc);
    }
    w->word = out->len;
    w->word_needs_nfc = false;
    return !out->failed;
}

/* White space is written when a character follows it: so there is none at either end. */
static bool gap_write(struct writer *w)
{
    if (!w->newline_due && !w->space_due)
        return true;
    if (!word_end(w))
        return false;
    if (w->out->len > w->start) { /* not at the very beginning */
        if (w->newline_due)
            buf_append_char(w->out, '\n');
        if (w->keep_layout)
            buf_append(w->out, w->gap.ptr, w->gap.len);
        else if (!w->newline_due)
            buf_append_char(w->out, ' ');
    }
    w->newline_due = w->space_due = false;
    buf_clear(&w->gap);
    w->word = w->out->len;
    return !w->out->failed && !w->gap.failed;
}

static void space(struct writer *w, int32_t cp)
{
    w->space_due = true;
    if (w->keep_layout)
        buf_append_char(&w->gap, cp == '\t' ? '\t' : ' ');
}

static void newline(struct writer *w)
{
    w->newline_due = true;
    buf_clear(&w->gap);
}

static bool put_char(struct writer *w, int32_t cp)
{
    if (cp >= 0x300) {
        bool nonstarter = utf8proc_get_property(cp)->combining_class != 0;
        w->n_nonstarters = nonstarter ? w->n_nonstarters + 1 : 0;
        if (w->n_nonstarters > NONSTARTERS_MAX)
            return true;
    } else {
        w->n_nonstarters = 0;
    }
    if (!gap_write(w))
        return false;
    if (cp >= 0x300) /* the gap may have begun a new word */
        w->word_needs_nfc = true;
    const char *letters = ligature(cp);
    char bytes[UTF8_MAX_BYTES];
    if (letters)
        buf_append_str(w->out, letters);
    else
        buf_append(w->out, bytes, utf8_encode(bytes, cp));
    return !w->out->failed;
}

bool normalise(struct buf *out, struct span s, bool keep_layout)
{
    struct writer w = {
        .out = out, .start = out->len, .word = out->len, .keep_layout = keep_layout
    };
    bool ok = true;
    for (size_t i = 0, n; ok && i < s.len; i += n) {
        int32_t cp = utf8_decode(s.ptr + i, s.len - i, &n);
        int32_t c = cp < 0 ? 0xFFFD : map_char(cp);
        if (c == MAP_SPACE)
            space(&w, cp);
        else if (c == MAP_NEWLINE)
            newline(&w);
        else if (c != MAP_DROP)
            ok = put_char(&w, c);
    }
    ok = ok && word_end(&w);
    buf_deinit(&w.gap);
    return ok;
}
