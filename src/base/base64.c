#include "base/base64.h"

int base64_value(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

bool base64_decode(struct buf *out, struct span s)
{
    uint32_t bits = 0;
    size_t n = 0, n_pad = 0; /* n: characters that count */
    buf_reserve(out, s.len / 4 * 3);
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        if (c == ' ' || c == '\n' || c == '\r' || c == '\t')
            continue;
        if (c == '=') {
            n_pad++;
            continue;
        }
        int v = base64_value(c);
        if (v < 0 || n_pad)
            return false;
        bits = bits << 6 | (uint32_t)v;
        /* of four characters each but the first completes a byte: after the second 4 bits are left over, then 2, then 0 */
        size_t nth = ++n % 4;
        if (nth != 1)
            buf_append_char(out, (char)(bits >> (nth == 2 ? 4 : nth == 3 ? 2 : 0) & 0xFF));
    }
    return n % 4 != 1 && n_pad < 3;
}
