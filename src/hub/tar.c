/* tar headers, written and read strictly. */
#include "hub/tar.h"

#include <stdio.h>
#include <string.h>

#include "hub/limits.h"

size_t tar_padding(uint64_t bytes)
{
    return (size_t)((TAR_BLOCK - bytes % TAR_BLOCK) % TAR_BLOCK);
}

/* The sum of all bytes, those of the checksum itself counted as spaces. */
static unsigned checksum(const unsigned char *b)
{
    unsigned sum = 0;
    for (size_t i = 0; i < TAR_BLOCK; i++)
        sum += i >= 148 && i < 156 ? ' ' : b[i];
    return sum;
}

/* Eleven octal digits, or 0x80 and eleven bytes, most significant first. */
static void put_size(unsigned char *at, uint64_t n)
{
    if (n < (uint64_t)1 << 33) {
        char text[13];
        snprintf(text, sizeof(text), "%011llo", (unsigned long long)n);
        memcpy(at, text, 12);
        return;
    }
    memset(at, 0, 12);
    at[0] = 0x80;
    for (int i = 0; i < 8; i++)
        at[11 - i] = (unsigned char)(n >> 8 * i);
}

/* Split so that name <= 100 and prefix <= 155 bytes, at a slash. */
static bool put_name(unsigned char *b, const char *name)
{
    size_t n = strlen(name);
    if (n <= 100) {
        memcpy(b, name, n);
        return n > 0;
    }
    for (size_t i = n > 101 ? n - 101 : 0; i < n && i <= 155; i++) {
        if (name[i] == '/' && i > 0 && n - i - 1 > 0) {
            memcpy(b + 345, name, i);
            memcpy(b, name + i + 1, n - i - 1);
            return true;
        }
    }
    return false;
}

bool tar_header(unsigned char block[static TAR_BLOCK], const char *name, uint64_t bytes)
{
    char text[9];
    memset(block, 0, TAR_BLOCK);
    if (!put_name(block, name))
        return false;
    memcpy(block + 100, "0000644", 8);
    memcpy(block + 108, "0000000", 8); /* nobody's machine shows in it */
    memcpy(block + 116, "0000000", 8);
    put_size(block + 124, bytes);
    memcpy(block + 136, "00000000000", 12);
    block[156] = '0';
    memcpy(block + 257, "ustar\00000", 8);
    snprintf(text, sizeof(text), "%06o", checksum(block));
    memcpy(block + 148, text, 7);
    block[155] = ' ';
    return true;
}

static bool get_octal(uint64_t *out, const unsigned char *at, size_t n)
{
    uint64_t v = 0;
    size_t i = 0;
    while (i < n && at[i] == ' ')
        i++;
    size_t first = i;
    for (; i < n && at[i] >= '0' && at[i] <= '7'; i++) {
        if (v >> 60)
            return false;
        v = v << 3 | (uint64_t)(at[i] - '0');
    }
    *out = v;
    return i > first && (i == n || at[i] == '\0' || at[i] == ' ');
}

static bool get_size(uint64_t *out, const unsigned char *at)
{
    if (at[0] != 0x80)
        return get_octal(out, at, 12);
    uint64_t v = 0;
    for (int i = 1; i < 12; i++) {
        if (v >> 56)
            return false;
        v = v << 8 | at[i];
    }
    *out = v;
    return true;
}

static size_t field_len(const unsigned char *at, size_t max)
{
    const unsigned char *end = memchr(at, 0, max);
    return end ? (size_t)(end - at) : max;
}

enum tar_kind tar_parse(struct tar_member *out, const unsigned char block[static TAR_BLOCK])
{
    static const unsigned char ZERO[TAR_BLOCK];
    uint64_t sum;
    *out = (struct tar_member){ .bytes = 0 };
    if (memcmp(block, ZERO, TAR_BLOCK) == 0)
        return TAR_END;
    if (memcmp(block + 257, "ustar", 5) != 0 || !get_octal(&sum, block + 148, 8) ||
        sum != checksum(block) || (block[156] != '0' && block[156] != '\0') ||
        !get_size(&out->bytes, block + 124) || out->bytes > HUB_FILE_BYTES_MAX)
        return TAR_BAD;
    size_t prefix = field_len(block + 345, 155), name = field_len(block, 100);
    if (name == 0 || prefix + 1 + name > TAR_NAME_MAX)
        return TAR_BAD;
    size_t at = 0;
    if (prefix) {
        memcpy(out->name, block + 345, prefix);
        out->name[prefix] = '/';
        at = prefix + 1;
    }
    memcpy(out->name + at, block, name);
    out->name[at + name] = '\0';
    return TAR_FILE;
}
