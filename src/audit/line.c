/* audit/line.c: the shape of a line, the hash over it, the sealed head, and which files there are. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "audit/audit_priv.h"
#include "base/files.h"
#include "base/span.h"

static const char LEAD[] = "{\"n\":", TAIL[] = ",\"hash\":\"", END[] = "\"}";
enum { TAIL_LEN = sizeof(TAIL) - 1 + AUDIT_HASH_HEX + sizeof(END) - 1, NUMBER_DIGITS = 19 };

static bool read_number(const char *s, size_t len, uint64_t *n, size_t *n_digits)
{
    size_t i = 0;
    for (*n = 0; i < len && i < NUMBER_DIGITS && s[i] >= '0' && s[i] <= '9'; i++)
        *n = *n * 10 + (uint64_t)(s[i] - '0');
    *n_digits = i;
    return i > 0 && (s[0] != '0' || i == 1);
}

static bool read_hash(const char *hex, struct audit_hash *out)
{
    size_t n;
    const char *end;
    return !sodium_hex2bin(out->bytes, sizeof(out->bytes), hex, AUDIT_HASH_HEX, NULL, &n, &end) &&
           n == sizeof(out->bytes) && end == hex + AUDIT_HASH_HEX &&
           strspn(hex, "0123456789abcdef") >= AUDIT_HASH_HEX; /* one way to write it */
}

bool audit_line_split(const char *line, size_t len, uint64_t *n, size_t *body_len,
                      struct audit_hash *hash)
{
    size_t lead = sizeof(LEAD) - 1, n_digits;
    if (len < lead + 1 + TAIL_LEN || memcmp(line, LEAD, lead) != 0)
        return false;
    *body_len = len - TAIL_LEN;
    const char *tail = line + *body_len;
    return read_number(line + lead, *body_len - lead, n, &n_digits) &&
           !memcmp(tail, TAIL, sizeof(TAIL) - 1) && read_hash(tail + sizeof(TAIL) - 1, hash) &&
           !memcmp(line + len - (sizeof(END) - 1), END, sizeof(END) - 1);
}

struct audit_hash audit_hash_of(const uint8_t *key, const struct audit_hash *before,
                                const char *body, size_t body_len)
{
    struct audit_hash h;
    crypto_generichash_state state;
    crypto_generichash_init(&state, key, AUDIT_KEY_BYTES, sizeof(h.bytes));
    crypto_generichash_update(&state, before->bytes, sizeof(before->bytes));
    crypto_generichash_update(&state, (const uint8_t *)body, body_len);
    crypto_generichash_final(&state, h.bytes, sizeof(h.bytes));
    return h;
}

bool audit_hash_eq(const struct audit_hash *a, const struct audit_hash *b)
{
    return sodium_memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

/* ---- the head: {"n":N,"hash":"<of the last line>","seal":"<of all that>"} -------------------- */

static const char SEAL[] = ",\"seal\":\"";
enum { SEAL_LEN = sizeof(SEAL) - 1 + AUDIT_HASH_HEX + sizeof(END) - 1, HEAD_MAX = 256 };

/* What a head is sealed with can be no line's hash: lines begin behind another hash. */
static struct audit_hash seal_of(const uint8_t *key, const char *body, size_t body_len)
{
    static const struct audit_hash mark = { "kontor audit head" };
    return audit_hash_of(key, &mark, body, body_len);
}

static bool parse_head(const char *text, size_t len, const uint8_t *key, struct audit_link *out)
{
    struct audit_hash seal, wanted;
    size_t lead = sizeof(LEAD) - 1, n_digits;
    if (len && text[len - 1] == '\n')
        len--;
    if (len < lead + 1 + SEAL_LEN || memcmp(text, LEAD, lead) != 0)
        return false;
    size_t body_len = len - SEAL_LEN;
    if (!read_number(text + lead, body_len - lead, &out->n, &n_digits) ||
        body_len != lead + n_digits + sizeof(TAIL) - 1 + AUDIT_HASH_HEX + 1 ||
        memcmp(text + lead + n_digits, TAIL, sizeof(TAIL) - 1) != 0 ||
        !read_hash(text + lead + n_digits + sizeof(TAIL) - 1, &out->hash) ||
        memcmp(text + body_len, SEAL, sizeof(SEAL) - 1) != 0 ||
        !read_hash(text + body_len + sizeof(SEAL) - 1, &seal))
        return false;
    wanted = seal_of(key, text, body_len);
    return audit_hash_eq(&seal, &wanted);
}

enum kt_status audit_head_read(struct audit_link *out, bool *found, const char *dir,
                               const uint8_t *key, struct kt_error *err)
{
    *out = (struct audit_link){ 0 };
    *found = false;
    char *path = path_join(dir, "head");
    struct buf text = { 0 };
    enum kt_status st = path ? file_read(&text, path, HEAD_MAX, err)
                             : kt_fail(err, KT_E_NOMEM, "audit: out of memory");
    if (st == KT_E_NOTFOUND) {
        st = KT_OK;
    } else if (!st) {
        *found = parse_head(text.ptr ? text.ptr : "", text.len, key, out);
        if (!*found)
            st = kt_fail(err, KT_E_FORMAT, "%s: was changed, or belongs to another home", path);
    }
    buf_deinit(&text);
    free(path);
    return st;
}

enum kt_status audit_head_write(const struct audit_link *at, const char *dir, const uint8_t *key,
                                struct kt_error *err)
{
    char hex[AUDIT_HASH_HEX + 1];
    struct buf text = { 0 };
    sodium_bin2hex(hex, sizeof(hex), at->hash.bytes, sizeof(at->hash.bytes));
    buf_printf(&text, "%s%llu%s%s\"", LEAD, (unsigned long long)at->n, TAIL, hex);
    struct audit_hash seal = seal_of(key, text.ptr ? text.ptr : "", text.len);
    sodium_bin2hex(hex, sizeof(hex), seal.bytes, sizeof(seal.bytes));
    buf_printf(&text, "%s%s%s\n", SEAL, hex, END);
    char *path = path_join(dir, "head");
    enum kt_status st = path && !text.failed ? file_replace(path, text.ptr, text.len, 0600, err)
                                             : kt_fail(err, KT_E_NOMEM, "audit: out of memory");
    free(path);
    buf_deinit(&text);
    return st;
}

/* ---- the folder ----------------------------------------------------------------------------- */

int audit_lock(const char *dir, bool may_write)
{
    struct kt_error err;
    char *path = path_join(dir, "lock");
    int fd = -1;
    if (path && may_write && dir_make(dir, 0700, &err) == KT_OK)
        fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    else if (path && !may_write)
        fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    free(path);
    while (fd >= 0 && flock(fd, may_write ? LOCK_EX : LOCK_SH)) {
        if (errno == EINTR)
            continue;
        close(fd);
        fd = -1;
    }
    return fd;
}

/* ---- files ----------------------------------------------------------------------------------- */

/* audit-<number>.log; 0: it is none of ours. */
static uint64_t first_of(const char *name)
{
    uint64_t n;
    size_t n_digits, lead = strlen("audit-");
    if (strncmp(name, "audit-", lead) != 0 ||
        !read_number(name + lead, strlen(name + lead), &n, &n_digits))
        return 0;
    return strcmp(name + lead + n_digits, ".log") == 0 ? n : 0;
}

static int by_first(const void *a, const void *b)
{
    uint64_t x = first_of(path_base(*(char *const *)a)), y = first_of(path_base(*(char *const *)b));
    return (x > y) - (x < y);
}

static bool push(char ***list, size_t *n, char *path)
{
    char **more = path ? realloc(*list, (*n + 1) * sizeof(**list)) : NULL;
    if (!more) {
        free(path);
        return false;
    }
    *list = more;
    more[(*n)++] = path;
    return true;
}

enum kt_status audit_files(char ***out, size_t *n, const char *dir, struct kt_error *err)
{
    *out = NULL;
    *n = 0;
    DIR *d = opendir(dir);
    if (!d && errno != ENOENT)
        return kt_fail_errno(err, errno, "%s: cannot be read", dir);
    bool ok = true;
    for (struct dirent *e; ok && d && (e = readdir(d));)
        if (first_of(e->d_name))
            ok = push(out, n, path_join(dir, e->d_name));
    if (d)
        closedir(d);
    if (ok && *n)
        qsort(*out, *n, sizeof(**out), by_first);
    char *last = path_join(dir, "audit.log");
    if (last && !file_exists(last))
        free(last);
    else
        ok = push(out, n, last) && ok;
    if (ok)
        return KT_OK;
    audit_files_free(*out, *n);
    *out = NULL;
    *n = 0;
    return kt_fail(err, KT_E_NOMEM, "audit: out of memory");
}

void audit_files_free(char **files, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(files[i]);
    free(files);
}
