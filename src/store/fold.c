/* store/fold.c: see fold.h. utf8proc does the Unicode work; the few letters that Unicode does not
 * take apart but people do are in a table. */
#include "store/fold.h"

#include <string.h>
#include <utf8proc.h>

#include "base/size.h"
#include "base/utf8.h"

static const struct {
    int32_t cp;
    const char *folded;
} WHOLE[] = {
    { 0xE6, "ae" }, { 0xF8, "o" }, { 0x153, "oe" }, { 0x142, "l" },
    { 0x111, "d" }, { 0xF0, "d" }, { 0xFE, "th" },  { 0x131, "i" },
};

static size_t fold_rest(char out[static FOLD_MAX_BYTES], int32_t cp)
{
    for (size_t i = 0; i < ARRAY_LEN(WHOLE); i++) {
        if (WHOLE[i].cp == cp) {
            size_t n = strlen(WHOLE[i].folded);
            memcpy(out, WHOLE[i].folded, n);
            return n;
        }
    }
    return utf8_encode(out, cp);
}

static int is_alnum(int32_t c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z');
}

size_t fold_char(char out[static FOLD_MAX_BYTES], int32_t cp)
{
    if (cp < 0x80) {
        out[0] = (char)(cp >= 'A' && cp <= 'Z' ? cp + 32 : cp);
        return 1;
    }
    utf8proc_int32_t parts[32];
    int boundary = 0;
    utf8proc_ssize_t n =
        utf8proc_decompose_char(cp, parts, (utf8proc_ssize_t)ARRAY_LEN(parts),
                                UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT | UTF8PROC_CASEFOLD |
                                    UTF8PROC_STRIPMARK | UTF8PROC_IGNORE,
                                &boundary);
    if (n < 0 || n > (utf8proc_ssize_t)ARRAY_LEN(parts))
        return utf8_encode(out, cp);
    size_t len = 0;
    for (utf8proc_ssize_t i = 0; i < n && len + UTF8_MAX_BYTES <= FOLD_MAX_BYTES; i++)
        if (parts[i] >= 0x80 ||
            is_alnum(parts[i])) /* "⑴" takes brackets apart too, a ligature of words spaces */
            len += fold_rest(out + len, parts[i]);
    return len;
}

static int is_vowel(char c)
{
    return c && strchr("aeiouy", c) != NULL;
}

size_t fold_umlauts(char *word, size_t len)
{
    size_t n = 0;
    for (size_t i = 0; i < len; i++) {
        char c = word[i];
        word[n++] = c;
        int can = (c == 'a' || c == 'o' || c == 'u') && i + 2 < len && word[i + 1] == 'e';
        /* what came before, as typed: word[n - 2] is already folded, but a dropped e was never kept
         * there */
        int before_ok = i == 0 || (!is_vowel(word[n - 2]) && word[n - 2] != 'q');
        if (can && before_ok)
            i++;
    }
    return n;
}
