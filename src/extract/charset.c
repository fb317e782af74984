/* Bytes to UTF-8, when nobody says what they are.
 *
 * In this order, the first that fits:
 *   1. a byte order mark: UTF-8, UTF-16, UTF-32;
 *   2. zeros in every second byte: UTF-16 without a mark;
 *   3. well-formed UTF-8;
 *   4. mostly UTF-8 with stray bytes (files glued together): line by line, what is not UTF-8 is
 * Windows-1252;
 *   5. the charset the document names, when we know it;
 *   6. only bytes that German, English and French letters use in Windows-1252: that;
 *   7. what uchardet guesses. Its ISO-8859-1 is taken as Windows-1252, which is the same plus
 * quotes, dashes, the euro. What holds zeros or too many control characters in the end is not text,
 * whatever its name says.
 *
 * iconv loads its tables from files, and the worker may not open any once it reads: so
 * charset_prepare() opens one converter for each charset that documents of offices come in, before
 * the walls go up. */
#include "extract/extract_priv.h"

#include <errno.h>
#include <iconv.h>
#include <string.h>
#include <strings.h>
#include <uchardet.h>

#include "base/size.h"
#include "base/utf8.h"

struct charset {
    const char *names; /* our name first, then aliases as HTML and uchardet write them; spaces
                          around each */
    iconv_t cd;
};

#define NOT_OPEN ((iconv_t)-1)

static struct charset charsets[] = {
    { " WINDOWS-1252 CP1252 X-CP1252 ISO-8859-1 ISO8859-1 ISO_8859-1 LATIN1 L1 US-ASCII ASCII ",
      NOT_OPEN },
    { " ISO-8859-15 ISO8859-15 LATIN-9 LATIN9 ", NOT_OPEN },
    { " ISO-8859-2 ISO8859-2 LATIN2 ", NOT_OPEN },
    { " WINDOWS-1250 CP1250 X-CP1250 ", NOT_OPEN },
    { " WINDOWS-1251 CP1251 X-CP1251 ", NOT_OPEN },
    { " WINDOWS-1253 CP1253 ", NOT_OPEN },
    { " WINDOWS-1254 CP1254 ISO-8859-9 ", NOT_OPEN },
    { " WINDOWS-1255 CP1255 ", NOT_OPEN },
    { " WINDOWS-1256 CP1256 ", NOT_OPEN },
    { " WINDOWS-1257 CP1257 ", NOT_OPEN },
    { " WINDOWS-1258 CP1258 ", NOT_OPEN },
    { " ISO-8859-3 ", NOT_OPEN },
    { " ISO-8859-4 ", NOT_OPEN },
    { " ISO-8859-5 ", NOT_OPEN },
    { " ISO-8859-6 ", NOT_OPEN },
    { " ISO-8859-7 ", NOT_OPEN },
    { " ISO-8859-8 ", NOT_OPEN },
    { " ISO-8859-10 ", NOT_OPEN },
    { " ISO-8859-13 ", NOT_OPEN },
    { " ISO-8859-16 ", NOT_OPEN },
    { " KOI8-R ", NOT_OPEN },
    { " KOI8-U ", NOT_OPEN },
    { " IBM850 CP850 ", NOT_OPEN },
    { " IBM852 CP852 ", NOT_OPEN },
    { " IBM855 CP855 ", NOT_OPEN },
    { " IBM866 CP866 ", NOT_OPEN },
    { " MACINTOSH MAC-CENTRALEUROPE X-MAC-ROMAN ", NOT_OPEN },
    { " MAC-CYRILLIC X-MAC-CYRILLIC ", NOT_OPEN },
    { " SHIFT_JIS SJIS SHIFT-JIS WINDOWS-31J ", NOT_OPEN },
    { " EUC-JP ", NOT_OPEN },
    { " GB18030 GBK GB2312 ", NOT_OPEN },
    { " BIG5 ", NOT_OPEN },
    { " EUC-KR ", NOT_OPEN },
    { " UHC ", NOT_OPEN },
    { " TIS-620 ISO-8859-11 ", NOT_OPEN },
};

static struct span first_name(const struct charset *c)
{
    const char *end = strchr(c->names + 1, ' ');
    return (struct span){ c->names + 1, (size_t)(end - c->names - 1) };
}

static void prepare(struct charset *c)
{
    char name[32];
    struct span s = first_name(c);
    if (c->cd != NOT_OPEN || s.len >= sizeof(name))
        return;
    memcpy(name, s.ptr, s.len);
    name[s.len] = '\0';
    c->cd = iconv_open("UTF-8", name);
}

void charset_prepare(void)
{
    for (size_t i = 0; i < ARRAY_LEN(charsets); i++)
        prepare(&charsets[i]);
}

void charset_prepare_one(struct span name)
{
    for (size_t i = 0; i < ARRAY_LEN(charsets); i++)
        if (span_eq(first_name(&charsets[i]), name))
            prepare(&charsets[i]);
}

static struct charset *charset_find(struct span label)
{
    char padded[40];
    if (!label.len || label.len > sizeof(padded) - 3)
        return NULL;
    padded[0] = ' ';
    for (size_t i = 0; i < label.len; i++) {
        char c = label.ptr[i];
        if (c <= ' ' || c > '~')
            return NULL;
        padded[i + 1] = c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
    }
    padded[label.len + 1] = ' ';
    padded[label.len + 2] = '\0';
    for (size_t i = 0; i < ARRAY_LEN(charsets); i++)
        if (charsets[i].cd != NOT_OPEN && strstr(charsets[i].names, padded))
            return &charsets[i];
    return NULL;
}

/* A byte that has no meaning becomes U+FFFD; *n_bad counts them. */
static bool convert(struct buf *out, struct span in, const struct charset *c, size_t *n_bad)
{
    char *p = (char *)(uintptr_t)in.ptr; /* iconv does not write to it */
    size_t left = in.len;
    iconv(c->cd, NULL, NULL, NULL, NULL);
    while (left) {
        char step[4096];
        char *q = step;
        size_t room = sizeof(step);
        size_t r = iconv(c->cd, &p, &left, &q, &room);
        int e = errno;
        buf_append(out, step, (size_t)(q - step));
        if (r != (size_t)-1 || e == E2BIG)
            continue;
        buf_append_str(out, "\xEF\xBF\xBD"); /* EILSEQ, or EINVAL: torn at the end */
        (*n_bad)++;
        p++;
        left--;
    }
    return !out->failed;
}

/* ---- UTF-16 and UTF-32 ---------------------------------------------------------------------- */

static uint32_t unit_at(const unsigned char *p, size_t width, bool big)
{
    uint32_t u = 0;
    for (size_t i = 0; i < width; i++)
        u |= (uint32_t)p[big ? width - 1 - i : i] << 8 * i;
    return u;
}

static bool wide_decode(struct buf *out, struct span in, size_t width, bool big, size_t *n_bad)
{
    const unsigned char *p = (const unsigned char *)in.ptr;
    size_t n = in.len / width;
    for (size_t i = 0; i < n; i++) {
        uint32_t u = unit_at(p + i * width, width, big);
        if (width == 2 && u >= 0xD800 && u < 0xDC00 && i + 1 < n) {
            uint32_t low = unit_at(p + (i + 1) * width, width, big);
            if (low >= 0xDC00 && low < 0xE000) {
                u = 0x10000 + ((u - 0xD800) << 10) + (low - 0xDC00);
                i++;
            }
        }
        if ((u >= 0xD800 && u < 0xE000) || u > 0x10FFFF) {
            u = 0xFFFD;
            (*n_bad)++;
        }
        char bytes[UTF8_MAX_BYTES];
        buf_append(out, bytes, utf8_encode(bytes, (int32_t)u));
    }
    return !out->failed;
}

/* Zeros in one half of the byte pairs and hardly any in the other: 2 = little, 1 = big, 0 =
 * neither. */
static int utf16_unmarked(struct span in)
{
    size_t n = MIN(in.len, (size_t)4096) / 2, even = 0, odd = 0;
    for (size_t i = 0; i < n; i++) {
        even += in.ptr[2 * i] == 0;
        odd += in.ptr[2 * i + 1] == 0;
    }
    if (n < 2)
        return 0;
    if (odd >= n / 2 && even <= n / 50)
        return 2;
    return even >= n / 2 && odd <= n / 50 ? 1 : 0;
}

/* ---- eight bits ----------------------------------------------------------------------------- */

/* Windows-1252 as German, English and French offices type it: umlauts, sharp s, accents, section
 * sign, euro, degree, quotes, dashes, bullets, hard space and soft hyphen. */
static bool is_western(struct span s)
{
    static const char letters[] = "\xC4\xD6\xDC\xE4\xF6\xFC\xDF\xA7\x80\xB0\x84\x93\x94\x82\x91\x92"
                                  "\x96\x97\x85\xE9\xE8\xEA\xE0\xE2\xE7\xAB\xBB\xA0\xAD\x95\xB7";
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.ptr[i] >= 0x80 && !memchr(letters, s.ptr[i], sizeof(letters) - 1))
            return false;
    return true;
}

static bool has_c1(struct span s) /* 0x80..0x9F: letters in Windows charsets, nothing in ISO ones */
{
    for (size_t i = 0; i < s.len; i++)
        if (((unsigned char)s.ptr[i] & 0xE0) == 0x80)
            return true;
    return false;
}

static struct charset *charset_guess(struct span in)
{
    if (is_western(in))
        return charset_find(SPAN("WINDOWS-1252"));
    struct charset *found = NULL;
    uchardet_t det = uchardet_new();
    if (det && uchardet_handle_data(det, in.ptr, MIN(in.len, (size_t)1 << 20)) == 0) {
        uchardet_data_end(det);
        found = charset_find(span_of(uchardet_get_charset(det)));
    }
    if (det)
        uchardet_delete(det);
    if (!found || (has_c1(in) && strncmp(found->names, " ISO-8859-", 10) == 0))
        found = charset_find(SPAN("WINDOWS-1252"));
    return found;
}

/* How many ill-formed parts, and how many characters of more than one byte. */
static void utf8_survey(struct span s, size_t *n_bad, size_t *n_wide)
{
    *n_bad = *n_wide = 0;
    for (size_t i = 0, n; i < s.len; i += n) {
        if ((unsigned char)s.ptr[i] < 0x80) {
            n = 1;
            continue;
        }
        if (utf8_decode(s.ptr + i, s.len - i, &n) < 0)
            ++*n_bad;
        else
            ++*n_wide;
    }
}

static bool decode_by_line(struct buf *out, struct span in, size_t *n_bad)
{
    const struct charset *legacy = charset_find(SPAN("WINDOWS-1252"));
    for (size_t i = 0; i < in.len;) {
        const char *nl = memchr(in.ptr + i, '\n', in.len - i);
        size_t end = nl ? (size_t)(nl - in.ptr) + 1 : in.len;
        struct span line = span_sub(in, i, end);
        if (!legacy || utf8_valid(line))
            buf_append_span(out, line);
        else
            convert(out, line, legacy, n_bad);
        i = end;
    }
    return !out->failed;
}

/* ---- the decision --------------------------------------------------------------------------- */

/* Zeros, and control characters that no text file has, in the first megabyte of the result: more
 * than one in 200 is a program, a picture, a database. A single zero settles it: text has none. */
static bool looks_like_text(struct span s, size_t n_bad, uint64_t *at)
{
    size_t n = MIN(s.len, (size_t)1 << 20), odd = 0;
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        bool control = c < 0x20 && c != '\n' && c != '\r' && c != '\t' && c != '\f' && c != 0x1A;
        if (!control)
            continue;
        *at = i;
        if (c == 0 || ++odd > n / 200 + 1)
            return false;
    }
    *at = 0;
    return n_bad <= s.len / 20 + 1;
}

static bool decode(struct buf *out, struct span in, struct span label, size_t *n_bad)
{
    if (span_starts(in, SPAN("\xEF\xBB\xBF"))) {
        utf8_repair(out, span_sub(in, 3, in.len));
        return !out->failed;
    }
    if (span_starts(in, SPAN("\xFF\xFE\0\0")))
        return wide_decode(out, span_sub(in, 4, in.len), 4, false, n_bad);
    if (span_starts(in, SPAN("\0\0\xFE\xFF")))
        return wide_decode(out, span_sub(in, 4, in.len), 4, true, n_bad);
    if (span_starts(in, SPAN("\xFF\xFE")))
        return wide_decode(out, span_sub(in, 2, in.len), 2, false, n_bad);
    if (span_starts(in, SPAN("\xFE\xFF")))
        return wide_decode(out, span_sub(in, 2, in.len), 2, true, n_bad);
    int utf16 = utf16_unmarked(in);
    if (utf16)
        return wide_decode(out, in, 2, utf16 == 1, n_bad);

    size_t bad, wide;
    utf8_survey(in, &bad, &wide);
    if (!bad) {
        buf_append_span(out, in);
        return !out->failed;
    }
    const struct charset *named = charset_find(label);
    if (!named && wide > bad / 4)
        return decode_by_line(out, in, n_bad);
    const struct charset *c = named ? named : charset_guess(in);
    if (c)
        return convert(out, in, c, n_bad);
    utf8_repair(out, in); /* no tables at all: an installation without gconv */
    *n_bad += bad;
    return !out->failed;
}

bool charset_decode(struct buf *out, struct span in, struct span label, struct refusal *why)
{
    size_t start = out->len, n_bad = 0;
    if (!decode(out, in, label, &n_bad)) {
        *why = (struct refusal){ REASON_NOMEM, 0, 0 };
        return false;
    }
    uint64_t at;
    if (!looks_like_text(span_sub(buf_span(out), start, out->len), n_bad, &at)) {
        *why = (struct refusal){ REASON_NOT_TEXT, at, 0 };
        return false;
    }
    return true;
}

bool charset_utf16(struct buf *out, struct span in)
{
    size_t n_bad = 0;
    return wide_decode(out, in, 2, false, &n_bad);
}

bool charset_convert(struct buf *out, struct span in, struct span label)
{
    const struct charset *c = charset_find(label);
    size_t n_bad = 0;
    if (!c)
        c = charset_find(SPAN("WINDOWS-1252"));
    if (c)
        return convert(out, in, c, &n_bad);
    utf8_repair(out, in);
    return !out->failed;
}
