/* UTF-8, decoded strictly. */
#include "base/utf8.h"

#include <string.h>

/* What the second byte may be, by first byte: this excludes overlong forms, surrogates and >
 * U+10FFFF (Unicode table 3-7). The later bytes are always 80..BF. */
static bool second_range(unsigned char lead, unsigned char *lo, unsigned char *hi)
{
    *lo = 0x80;
    *hi = 0xBF;
    if (lead == 0xE0)
        *lo = 0xA0;
    else if (lead == 0xED)
        *hi = 0x9F;
    else if (lead == 0xF0)
        *lo = 0x90;
    else if (lead == 0xF4)
        *hi = 0x8F;
    return lead >= 0xC2 && lead <= 0xF4;
}

int32_t utf8_decode(const char *s, size_t len, size_t *n_bytes)
{
    const unsigned char *p = (const unsigned char *)s;
    if (p[0] < 0x80) {
        *n_bytes = 1;
        return p[0];
    }
    unsigned char lo, hi;
    *n_bytes = 1;
    if (!second_range(p[0], &lo, &hi))
        return UTF8_BAD;
    size_t want = p[0] >= 0xF0 ? 4 : p[0] >= 0xE0 ? 3 : 2;
    int32_t cp = p[0] & (0xFF >> (want + 1));
    for (size_t i = 1; i < want; i++) {
        if (i == len) {
            *n_bytes = len;
            return UTF8_TORN;
        }
        if (p[i] < lo || p[i] > hi) {
            *n_bytes = i;
            return UTF8_BAD;
        }
        cp = cp << 6 | (p[i] & 0x3F);
        lo = 0x80;
        hi = 0xBF;
    }
    *n_bytes = want;
    return cp;
}

size_t utf8_encode(char out[static UTF8_MAX_BYTES], int32_t cp)
{
    if (cp < 0x80) {
        out[0] = (char)cp;
        return 1;
    }
    if (cp < 0x800) {
        out[0] = (char)(0xC0 | cp >> 6);
        out[1] = (char)(0x80 | (cp & 0x3F));
        return 2;
    }
    if (cp < 0x10000) {
        out[0] = (char)(0xE0 | cp >> 12);
        out[1] = (char)(0x80 | (cp >> 6 & 0x3F));
        out[2] = (char)(0x80 | (cp & 0x3F));
        return 3;
    }
    out[0] = (char)(0xF0 | cp >> 18);
    out[1] = (char)(0x80 | (cp >> 12 & 0x3F));
    out[2] = (char)(0x80 | (cp >> 6 & 0x3F));
    out[3] = (char)(0x80 | (cp & 0x3F));
    return 4;
}

bool utf8_valid(struct span s)
{
    size_t n;
    for (size_t i = 0; i < s.len; i += n) {
        if (utf8_decode(s.ptr + i, s.len - i, &n) < 0)
            return false;
    }
    return true;
}

size_t utf8_count(struct span s)
{
    size_t n, count = 0;
    for (size_t i = 0; i < s.len; i += n, count++)
        utf8_decode(s.ptr + i, s.len - i, &n);
    return count;
}

void utf8_repair(struct buf *out, struct span s)
{
    size_t n;
    for (size_t i = 0; i < s.len; i += n) {
        if (utf8_decode(s.ptr + i, s.len - i, &n) < 0)
            buf_append_str(out, "\xEF\xBF\xBD");
        else
            buf_append(out, s.ptr + i, n);
    }
}

size_t utf8_torn_tail(struct span s)
{
    for (size_t back = 1; back <= 3 && back <= s.len; back++) {
        size_t n;
        const char *p = s.ptr + s.len - back;
        if (utf8_is_continuation(*p))
            continue;
        return utf8_decode(p, back, &n) == UTF8_TORN ? back : 0;
    }
    return 0;
}
