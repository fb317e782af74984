/* Characters: classes and normal forms. */
#include "text/unicode.h"

#include <stdlib.h>
#include <string.h>

#include <utf8proc.h>

#include "base/compiler.h"
#include "base/size.h"
#include "base/utf8.h"

/* ---- classes --------------------------------------------------------------------------------- */

static enum char_class class_of_ascii(int32_t cp)
{
    if ((cp >= 'a' && cp <= 'z') || (cp >= 'A' && cp <= 'Z'))
        return CC_LETTER;
    if (cp >= '0' && cp <= '9')
        return CC_NUMBER;
    if (cp == '\r' || cp == '\n')
        return CC_NEWLINE;
    if (cp == ' ' || (cp >= '\t' && cp <= '\f'))
        return CC_SPACE;
    return CC_OTHER;
}

enum char_class unicode_class(int32_t cp)
{
    if (cp < 0x80)
        return class_of_ascii(cp);
    switch (utf8proc_category(cp)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
        return CC_LETTER;
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
        return CC_MARK;
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO:
        return CC_NUMBER;
    case UTF8PROC_CATEGORY_ZS:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
        return CC_SPACE;
    default:
        return cp == 0x85 ? CC_SPACE : CC_OTHER;
    }
}

enum char_class unicode_class_at(const char *s, size_t len, size_t *n_bytes)
{
    if (KT_LIKELY((unsigned char)*s < 0x80)) {
        *n_bytes = 1;
        return class_of_ascii((unsigned char)*s);
    }
    int32_t cp = utf8_decode(s, len, n_bytes);
    if (cp < 0) {
        *n_bytes = 1;
        return CC_OTHER;
    }
    return unicode_class(cp);
}

/* ---- code points that grow ------------------------------------------------------------------- */

static bool cp_vec_reserve(struct cp_vec *v, size_t more)
{
    if (v->cap - v->n >= more)
        return true;
    size_t cap = v->n + more + v->cap / 2 + 16, bytes;
    if (!size_mul(&bytes, cap, sizeof(*v->cps)))
        return false;
    int32_t *cps = realloc(v->cps, bytes);
    if (!cps)
        return false;
    v->cps = cps;
    v->cap = cap;
    return true;
}

bool cp_vec_push(struct cp_vec *v, int32_t cp)
{
    if (v->n == v->cap && !cp_vec_reserve(v, 1))
        return false;
    v->cps[v->n++] = cp;
    return true;
}

void cp_vec_deinit(struct cp_vec *v)
{
    free(v->cps);
    *v = (struct cp_vec){ 0 };
}

/* ---- normal forms ---------------------------------------------------------------------------- */

static int combining_class(int32_t cp)
{
    return cp < 0x300 ? 0 : utf8proc_get_property(cp)->combining_class;
}

bool unicode_decompose(struct cp_vec *v, int32_t cp)
{
    if (cp < 0xC0)
        return cp_vec_push(v, cp);
    enum { LONGEST = 8 }; /* canonical decompositions have at most 4 code points */
    if (!cp_vec_reserve(v, LONGEST))
        return false;
    int boundary = 0;
    utf8proc_ssize_t n = utf8proc_decompose_char(cp, v->cps + v->n, LONGEST,
                                                 UTF8PROC_DECOMPOSE | UTF8PROC_STABLE, &boundary);
    if (NEVER(n < 0 || n > LONGEST))
        return cp_vec_push(v, cp);
    v->n += (size_t)n;
    return true;
}

/* Sort a run of marks by class, equal ones keeping their order: a counting sort, for the run may be
 * the whole text. */
static bool sort_marks(int32_t *run, size_t n)
{
    size_t start[257] = { 0 };
    for (size_t i = 0; i < n; i++)
        start[combining_class(run[i]) + 1]++;
    for (size_t c = 1; c < ARRAY_LEN(start); c++)
        start[c] += start[c - 1];
    int32_t *sorted = malloc(n * sizeof(*sorted));
    if (!sorted)
        return false;
    for (size_t i = 0; i < n; i++)
        sorted[start[combining_class(run[i])]++] = run[i];
    memcpy(run, sorted, n * sizeof(*run));
    free(sorted);
    return true;
}

bool unicode_reorder(struct cp_vec *v)
{
    size_t from = 0;
    bool sorted = true;
    int last = 0;
    for (size_t i = 0; i <= v->n; i++) {
        int cc = i < v->n ? combining_class(v->cps[i]) : 0;
        if (cc) {
            sorted = sorted && cc >= last;
            last = cc;
            continue;
        }
        if (!sorted && !sort_marks(v->cps + from, i - from))
            return false;
        from = i + 1;
        sorted = true;
        last = 0;
    }
    return true;
}

/* Append the NFC of a well-formed piece. 'v' is scratch. */
static bool nfc_piece(struct buf *out, struct span s, struct cp_vec *v)
{
    v->n = 0;
    size_t n_bytes;
    for (size_t i = 0; i < s.len; i += n_bytes) {
        if (!unicode_decompose(v, utf8_decode(s.ptr + i, s.len - i, &n_bytes)))
            return false;
    }
    if (!unicode_reorder(v))
        return false;
    utf8proc_ssize_t n = utf8proc_normalize_utf32(v->cps, (utf8proc_ssize_t)v->n,
                                                  UTF8PROC_COMPOSE | UTF8PROC_STABLE);
    for (utf8proc_ssize_t i = 0; i < n; i++) {
        char c[UTF8_MAX_BYTES];
        buf_append(out, c, utf8_encode(c, v->cps[i]));
    }
    return !out->failed;
}

bool unicode_nfc_is_safe(struct span s)
{
    /* U+0300, the first code point that NFC can change or move, begins with 0xCC. */
    for (size_t i = 0; i < s.len; i++) {
        if ((unsigned char)s.ptr[i] >= 0xCC)
            return false;
    }
    return true;
}

/* NFC can only touch bytes from 0xCC on, together with what stands before them back to the last
 * ASCII character: ASCII never combines with what comes before it. Everything else is copied in one
 * go. This is the end of what can be copied at 'from', and *piece_end the end of what must be
 * looked at after it. */
static size_t plain_end(struct span s, size_t from, size_t *piece_end)
{
    size_t i = from;
    while (i < s.len && (unsigned char)s.ptr[i] < 0xCC)
        i++;
    *piece_end = i;
    if (i == s.len)
        return i;
    size_t start = i;
    while (start > from && (unsigned char)s.ptr[start - 1] >= 0x80)
        start--;
    start -= start > from;
    while (*piece_end < s.len && (unsigned char)s.ptr[*piece_end] >= 0x80)
        (*piece_end)++;
    return start;
}

/* Normalise the well-formed stretches of a piece, copy the rest. */
static bool nfc_stretches(struct buf *out, struct span s, struct cp_vec *v)
{
    size_t from = 0, n_bytes;
    for (size_t i = 0; i < s.len;) {
        if (utf8_decode(s.ptr + i, s.len - i, &n_bytes) >= 0) {
            i += n_bytes;
            continue;
        }
        if (!nfc_piece(out, span_sub(s, from, i), v))
            return false;
        buf_append(out, s.ptr + i, n_bytes);
        i += n_bytes;
        from = i;
    }
    return nfc_piece(out, span_sub(s, from, s.len), v);
}

bool unicode_nfc(struct buf *out, struct span s)
{
    struct cp_vec v = { 0 };
    bool ok = true;
    for (size_t i = 0; ok && i < s.len;) {
        size_t piece_end, plain = plain_end(s, i, &piece_end);
        buf_append_span(out, span_sub(s, i, plain));
        if (plain < piece_end)
            ok = nfc_stretches(out, span_sub(s, plain, piece_end), &v);
        i = piece_end;
    }
    cp_vec_deinit(&v);
    return ok && !out->failed;
}
