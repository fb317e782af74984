/* engine/cache_file.c: checkpoints in sealed files.
 *
 *   cache-<set, 32 hex>-<id, 16 hex>.kc     a file of the set; -<id>.tmp while it is written
 *     0   "KTCACHE1"
 *     8   u32 bytes of the sealed head, u32 0
 *    16   24 bytes: header of libsodium's secretstream (XChaCha20-Poly1305)
 *    40   the head, one message: struct head below, the tokens [n] i32, the images [n_seen]; its additional
 *         data is the file's name, so that a file that was renamed is not taken for another
 *     ..  the body in messages of BLOCK bytes, the last one shorter and tagged as the last: rows of keys and
 *         values of positions [n_base, n) as model_state_each_row() visits them, the recurrent and convolution
 *         state, the logits [n_vocab] f32 if there are any
 *
 * All numbers are little-endian; hosts of another kind read and write nothing. The seal is the checksum: what was
 * cut, changed or written by somebody else does not open. Rows that are in the file of 'base' are not in this one. */
#include "engine/cache_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/files.h"
#include "base/size.h"
#include "kontor/version.h"

enum {
    BLOCK = 1 << 18,
    SEALED = BLOCK + crypto_secretstream_xchacha20poly1305_ABYTES,
    TOKENS_MAX = 1 << 22, /* more than any model was trained for */
    OTHERS_DAYS = 30,     /* files of other models and users that nobody touched */
    KEY = crypto_secretstream_xchacha20poly1305_KEYBYTES,
};
static const char MAGIC[8] = { 'K', 'T', 'C', 'A', 'C', 'H', 'E', '1' };
/* Numbers of this program: a version that computes others counts it up. */
static const char NUMBERS[] = "kontor cache 1 " KT_VERSION;
static_assert((int)KEY == (int)KT_CACHE_KEY_BYTES, "the key of a cache");
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "files are written as memory has them");

struct head {
    uint32_t kv, recurrent;
    uint64_t n, n_base, n_seen, n_logits;
    uint32_t next_position, reserved;
    char base[FILE_ID_HEX];
};
static_assert(sizeof(struct head) == 64, "no padding");

struct image {
    uint64_t start, vector0;
    uint8_t key[32];
};

/* ---- sets ------------------------------------------------------------------------------------- */

enum kt_status cache_set_create(struct cache_set **out, const char *dir, const uint8_t *key,
                                const struct digest *fingerprint, const char *scope,
                                uint64_t bytes_max, struct kt_error *err)
{
    *out = NULL;
    if (sodium_init() < 0)
        return kt_fail(err, KT_E_INTERNAL, "cache: libsodium does not start");
    struct cache_set *s = calloc(1, sizeof(*s));
    if (s) {
        s->n_users = 1;
        s->dir = strdup(dir);
        s->key = sodium_malloc(KEY);
        s->bytes_max = bytes_max;
    }
    if (!s || !s->dir || !s->key) {
        cache_set_destroy(s);
        return kt_fail(err, KT_E_NOMEM, "cache: out of memory");
    }
    memcpy(s->key, key, KEY);
    uint8_t id[SET_ID_HEX / 2];
    crypto_generichash_state h;
    crypto_generichash_init(&h, s->key, KEY, sizeof(id));
    crypto_generichash_update(&h, (const uint8_t *)NUMBERS, sizeof(NUMBERS));
    crypto_generichash_update(&h, fingerprint->bytes, sizeof(fingerprint->bytes));
    crypto_generichash_update(&h, (const uint8_t *)scope, strlen(scope));
    crypto_generichash_final(&h, id, sizeof(id));
    sodium_bin2hex(s->id, sizeof(s->id), id, sizeof(id));
    *out = s;
    return KT_OK;
}

void cache_set_destroy(struct cache_set *s)
{
    if (!s)
        return;
    sodium_free(s->key);
    free(s->dir);
    free(s);
}

/* The name's parts; false: it is no file of a cache. */
static bool parse_name(const char *name, char set[static SET_ID_HEX + 1],
                       char id[static FILE_ID_HEX + 1], bool *unfinished)
{
    char end[8] = "";
    int n = 0;
    if (sscanf(name, "cache-%32[0-9a-f]-%16[0-9a-f]%7s%n", set, id, end, &n) != 3 || name[n] ||
        strlen(set) != SET_ID_HEX || strlen(id) != FILE_ID_HEX)
        return false;
    *unfinished = strcmp(end, ".tmp") == 0;
    return *unfinished || strcmp(end, ".kc") == 0;
}

static void sweep(int dir_fd, const char *name, time_t older_than)
{
    struct stat sb;
    if (!fstatat(dir_fd, name, &sb, AT_SYMLINK_NOFOLLOW) && sb.st_mtime < older_than)
        unlinkat(dir_fd, name, 0);
}

void cache_set_each(const struct cache_set *s, void (*fn)(void *ctx, const char *id), void *ctx)
{
    DIR *d = opendir(s->dir);
    time_t now = time(NULL);
    for (struct dirent *e; d && (e = readdir(d));) {
        char set[SET_ID_HEX + 1], id[FILE_ID_HEX + 1];
        bool unfinished;
        if (!parse_name(e->d_name, set, id, &unfinished))
            continue;
        if (unfinished) /* another program may be writing it */
            sweep(dirfd(d), e->d_name, now - 3600);
        else if (strcmp(set, s->id) == 0)
            fn(ctx, id);
        else
            sweep(dirfd(d), e->d_name, now - OTHERS_DAYS * 86400);
    }
    if (d)
        closedir(d);
}

static void name_of(char name[static FILE_NAME_MAX], const struct cache_set *s, const char *id,
                    const char *end)
{
    snprintf(name, FILE_NAME_MAX, "cache-%s-%s.%s", s->id, id, end);
}

static char *path_of(const struct cache_set *s, const char *id, const char *end)
{
    char name[FILE_NAME_MAX];
    name_of(name, s, id, end);
    return path_join(s->dir, name);
}

void cache_file_remove(const struct cache_set *s, const char *id)
{
    char *path = path_of(s, id, "kc");
    if (path)
        unlink(path);
    free(path);
}

/* ---- writing ---------------------------------------------------------------------------------- */

struct writer {
    int fd;
    const char *path;
    crypto_secretstream_xchacha20poly1305_state stream;
    uint8_t *plain, *sealed; /* [BLOCK], [SEALED] */
    size_t n;
    uint64_t n_written;
};

static enum kt_status put_raw(struct writer *w, const void *p, size_t n, struct kt_error *err)
{
    w->n_written += n;
    return file_write_fd(w->fd, p, n, w->path, err);
}

static enum kt_status put_block(struct writer *w, bool last, struct kt_error *err)
{
    unsigned long long n;
    crypto_secretstream_xchacha20poly1305_push(
        &w->stream, w->sealed, &n, w->plain, w->n, NULL, 0,
        last ? crypto_secretstream_xchacha20poly1305_TAG_FINAL : 0);
    w->n = 0;
    return put_raw(w, w->sealed, (size_t)n, err);
}

static enum kt_status put_bytes(void *ctx, void *bytes, size_t n, struct kt_error *err)
{
    struct writer *w = ctx;
    enum kt_status st = KT_OK;
    for (const uint8_t *p = bytes; n && !st;) {
        size_t part = MIN(n, BLOCK - w->n);
        memcpy(w->plain + w->n, p, part);
        w->n += part;
        p += part;
        n -= part;
        if (w->n == BLOCK)
            st = put_block(w, false, err);
    }
    return st;
}

static enum kt_status put_head(struct writer *w, const char *name, const struct cache_set *s,
                               const struct cache_file_head *h, const struct checkpoint_view *v,
                               size_t n_logits, struct kt_error *err)
{
    size_t len = sizeof(struct head) + h->n * sizeof(int32_t) + h->n_seen * sizeof(struct image);
    size_t sealed_len = len + crypto_secretstream_xchacha20poly1305_ABYTES;
    uint8_t *plain = calloc(1, len), *sealed = malloc(sealed_len);
    uint8_t begin[16 + crypto_secretstream_xchacha20poly1305_HEADERBYTES] = { 0 };
    enum kt_status st = plain && sealed && sealed_len <= UINT32_MAX
                            ? KT_OK
                            : kt_fail(err, KT_E_NOMEM, "cache: out of memory");
    if (!st) {
        struct head head = { .kv = h->types.kv,
                             .recurrent = h->types.recurrent,
                             .n = h->n,
                             .n_base = h->n_base,
                             .n_seen = h->n_seen,
                             .n_logits = n_logits,
                             .next_position = h->next_position };
        memcpy(head.base, h->base, strlen(h->base));
        memcpy(plain, &head, sizeof(head));
        memcpy(plain + sizeof(head), v->prefix.tokens, h->n * sizeof(int32_t));
        uint8_t *images = plain + sizeof(head) + h->n * sizeof(int32_t);
        for (size_t i = 0; i < h->n_seen; i++) {
            struct image im = { .start = v->prefix.seen[i].start,
                                .vector0 = v->prefix.seen[i].vector0 };
            memcpy(im.key, v->prefix.seen[i].key.bytes, sizeof(im.key));
            memcpy(images + i * sizeof(im), &im, sizeof(im));
        }
        uint32_t n32 = (uint32_t)sealed_len;
        memcpy(begin, MAGIC, sizeof(MAGIC));
        memcpy(begin + 8, &n32, sizeof(n32));
        crypto_secretstream_xchacha20poly1305_init_push(&w->stream, begin + 16, s->key);
        crypto_secretstream_xchacha20poly1305_push(&w->stream, sealed, NULL, plain, len,
                                                   (const uint8_t *)name, strlen(name), 0);
        st = put_raw(w, begin, sizeof(begin), err);
    }
    if (!st)
        st = put_raw(w, sealed, sealed_len, err);
    if (plain)
        sodium_memzero(plain, len);
    free(plain);
    free(sealed);
    return st;
}

static enum kt_status put_all(struct writer *w, const char *name, const struct cache_set *s,
                              const struct cache_file_head *h, const struct checkpoint_view *v,
                              size_t n_vocab, struct kt_error *err)
{
    size_t n_logits = v->logits ? n_vocab : 0;
    enum kt_status st = put_head(w, name, s, h, v, n_logits, err);
    if (!st)
        st = model_state_each_row(v->state, h->n_base, h->n, put_bytes, w, err);
    if (!st)
        st = model_state_each_rest(v->state, put_bytes, w, err);
    if (!st && n_logits) {
        union { /* put_bytes() does not change what it reads */
            const float *in;
            void *out;
        } logits = { v->logits };
        st = put_bytes(w, logits.out, n_logits * sizeof(float), err);
    }
    return st ? st : put_block(w, true, err);
}

enum kt_status cache_file_write(const struct cache_set *s, char id[static FILE_ID_HEX + 1],
                                const struct cache_file_head *h, const struct checkpoint_view *v,
                                size_t n_vocab, uint64_t *bytes, struct kt_error *err)
{
    uint8_t random[FILE_ID_HEX / 2];
    randombytes_buf(random, sizeof(random));
    sodium_bin2hex(id, FILE_ID_HEX + 1, random, sizeof(random));
    char name[FILE_NAME_MAX];
    name_of(name, s, id, "kc");
    char *tmp = path_of(s, id, "tmp"), *path = path_of(s, id, "kc");
    struct writer w = { .fd = -1, .path = tmp, .plain = malloc(BLOCK), .sealed = malloc(SEALED) };
    enum kt_status st = tmp && path && w.plain && w.sealed
                            ? KT_OK
                            : kt_fail(err, KT_E_NOMEM, "cache: out of memory");
    if (!st && (w.fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600)) < 0)
        st = kt_fail_errno(err, errno, "%s: cannot create the file", tmp);
    if (!st)
        st = put_all(&w, name, s, h, v, n_vocab, err);
    if (w.fd >= 0 && close(w.fd) && !st)
        st = kt_fail_errno(err, errno, "%s: cannot write", tmp);
    if (!st && rename(tmp, path))
        st = kt_fail_errno(err, errno, "%s: cannot rename", tmp);
    if (st && w.fd >= 0)
        unlink(tmp);
    if (w.plain)
        sodium_memzero(w.plain, BLOCK);
    sodium_memzero(&w.stream, sizeof(w.stream));
    free(w.plain);
    free(w.sealed);
    free(tmp);
    free(path);
    *bytes = w.n_written;
    return st;
}

/* ---- reading ---------------------------------------------------------------------------------- */

struct cache_reader {
    int fd;
    char *path;
    crypto_secretstream_xchacha20poly1305_state stream;
    uint8_t *plain, *sealed;
    size_t at, n; /* of plain */
    bool ended;
};

static enum kt_status damaged(const struct cache_reader *r, struct kt_error *err)
{
    return kt_fail(err, KT_E_FORMAT, "%s: damaged, or not this program's; it is not used", r->path);
}

/* Up to n bytes; short only at the end of the file. */
static enum kt_status get_raw(struct cache_reader *r, uint8_t *p, size_t n, size_t *got,
                              struct kt_error *err)
{
    for (*got = 0; *got < n;) {
        ssize_t k = read(r->fd, p + *got, n - *got);
        if (k < 0 && errno == EINTR)
            continue;
        if (k < 0)
            return kt_fail_errno(err, errno, "%s: cannot read", r->path);
        if (k == 0)
            break;
        *got += (size_t)k;
    }
    return KT_OK;
}

static enum kt_status get_block(struct cache_reader *r, struct kt_error *err)
{
    size_t got;
    unsigned long long n;
    unsigned char tag;
    enum kt_status st = get_raw(r, r->sealed, SEALED, &got, err);
    if (st)
        return st;
    if (r->ended || got < crypto_secretstream_xchacha20poly1305_ABYTES ||
        crypto_secretstream_xchacha20poly1305_pull(&r->stream, r->plain, &n, &tag, r->sealed, got,
                                                   NULL, 0))
        return damaged(r, err);
    r->ended = tag == crypto_secretstream_xchacha20poly1305_TAG_FINAL;
    r->at = 0;
    r->n = (size_t)n;
    return KT_OK;
}

enum kt_status cache_file_bytes(void *ctx, void *bytes, size_t n, struct kt_error *err)
{
    struct cache_reader *r = ctx;
    for (uint8_t *p = bytes; n;) {
        if (r->at == r->n) {
            enum kt_status st = get_block(r, err);
            if (st)
                return st;
            if (r->n == 0)
                return damaged(r, err);
        }
        size_t part = MIN(n, r->n - r->at);
        memcpy(p, r->plain + r->at, part);
        r->at += part;
        p += part;
        n -= part;
    }
    return KT_OK;
}

static bool hex16(const char *s)
{
    for (size_t i = 0; i < FILE_ID_HEX; i++)
        if (!strchr("0123456789abcdef", s[i]) || !s[i])
            return false;
    return true;
}

/* The head as it came out of its seal. */
static enum kt_status take_head(struct cache_reader *r, const uint8_t *plain, size_t len,
                                struct cache_file_head *h, int32_t **tokens, struct seen_run **seen,
                                struct kt_error *err)
{
    struct head head;
    memcpy(&head, plain, sizeof(head));
    static const char NONE[FILE_ID_HEX];
    bool based = memcmp(head.base, NONE, sizeof(NONE)) != 0;
    if (head.kv > KV_Q8 || head.recurrent > STATE_BF16 || head.n == 0 || head.n > TOKENS_MAX ||
        head.n_seen > head.n || head.n_base >= head.n || based != (head.n_base > 0) ||
        (based && !hex16(head.base)) || head.reserved ||
        len != sizeof(head) + head.n * sizeof(int32_t) + head.n_seen * sizeof(struct image))
        return damaged(r, err);
    *h = (struct cache_file_head){ .types = { (enum kv_type)head.kv,
                                              (enum state_type)head.recurrent },
                                   .n = (size_t)head.n,
                                   .n_base = (size_t)head.n_base,
                                   .n_seen = (size_t)head.n_seen,
                                   .has_logits = head.n_logits != 0,
                                   .next_position = head.next_position };
    if (based)
        memcpy(h->base, head.base, FILE_ID_HEX);
    *tokens = malloc(h->n * sizeof(**tokens));
    *seen = calloc(h->n_seen + 1, sizeof(**seen));
    if (!*tokens || !*seen)
        return kt_fail(err, KT_E_NOMEM, "cache: out of memory");
    memcpy(*tokens, plain + sizeof(head), h->n * sizeof(**tokens));
    const uint8_t *images = plain + sizeof(head) + h->n * sizeof(int32_t);
    for (size_t i = 0; i < h->n_seen; i++) {
        struct image im;
        memcpy(&im, images + i * sizeof(im), sizeof(im));
        if (im.start >= head.n || (i && im.start <= (*seen)[i - 1].start))
            return damaged(r, err);
        (*seen)[i].start = (size_t)im.start;
        (*seen)[i].vector0 = (size_t)im.vector0;
        memcpy((*seen)[i].key.bytes, im.key, sizeof(im.key));
    }
    return KT_OK;
}

static enum kt_status get_head(struct cache_reader *r, const struct cache_set *s, const char *name,
                               struct cache_file_head *h, int32_t **tokens, struct seen_run **seen,
                               uint64_t file_bytes, struct kt_error *err)
{
    uint8_t begin[16 + crypto_secretstream_xchacha20poly1305_HEADERBYTES];
    size_t got;
    uint32_t sealed_len;
    enum kt_status st = get_raw(r, begin, sizeof(begin), &got, err);
    if (st)
        return st;
    memcpy(&sealed_len, begin + 8, sizeof(sealed_len));
    if (got < sizeof(begin) || memcmp(begin, MAGIC, sizeof(MAGIC)) != 0 ||
        sealed_len > file_bytes ||
        sealed_len < sizeof(struct head) + crypto_secretstream_xchacha20poly1305_ABYTES ||
        crypto_secretstream_xchacha20poly1305_init_pull(&r->stream, begin + 16, s->key))
        return damaged(r, err);
    uint8_t *sealed = malloc(sealed_len), *plain = malloc(sealed_len);
    unsigned long long len = 0;
    if (!sealed || !plain)
        st = kt_fail(err, KT_E_NOMEM, "cache: out of memory");
    if (!st)
        st = get_raw(r, sealed, sealed_len, &got, err);
    if (!st && (got < sealed_len || crypto_secretstream_xchacha20poly1305_pull(
                                        &r->stream, plain, &len, NULL, sealed, got,
                                        (const uint8_t *)name, strlen(name))))
        st = damaged(r, err);
    if (!st)
        st = take_head(r, plain, (size_t)len, h, tokens, seen, err);
    if (plain)
        sodium_memzero(plain, (size_t)len);
    free(plain);
    free(sealed);
    return st;
}

enum kt_status cache_file_open(struct cache_reader **out, const struct cache_set *s, const char *id,
                               struct cache_file_head *h, int32_t **tokens, struct seen_run **seen,
                               uint64_t *bytes, struct kt_error *err)
{
    *out = NULL;
    *tokens = NULL;
    *seen = NULL;
    char name[FILE_NAME_MAX];
    name_of(name, s, id, "kc");
    struct cache_reader *r = calloc(1, sizeof(*r));
    if (!r)
        return kt_fail(err, KT_E_NOMEM, "cache: out of memory");
    r->fd = -1;
    r->path = path_of(s, id, "kc");
    r->plain = malloc(BLOCK);
    r->sealed = malloc(SEALED);
    struct stat sb = { 0 };
    enum kt_status st =
        r->path && r->plain && r->sealed ? KT_OK : kt_fail(err, KT_E_NOMEM, "cache: out of memory");
    if (!st && ((r->fd = open(r->path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK)) < 0 ||
                fstat(r->fd, &sb)))
        st = kt_fail_errno(err, errno, "%s: cannot open", r->path);
    if (!st && !S_ISREG(sb.st_mode))
        st = damaged(r, err);
    *bytes = (uint64_t)sb.st_size;
    if (!st)
        st = get_head(r, s, name, h, tokens, seen, *bytes, err);
    if (st) {
        free(*tokens);
        free(*seen);
        *tokens = NULL;
        *seen = NULL;
        cache_file_close(r);
        return st;
    }
    *out = r;
    return KT_OK;
}

void cache_file_close(struct cache_reader *r)
{
    if (!r)
        return;
    if (r->fd >= 0)
        close(r->fd);
    if (r->plain)
        sodium_memzero(r->plain, BLOCK);
    sodium_memzero(&r->stream, sizeof(r->stream));
    free(r->plain);
    free(r->sealed);
    free(r->path);
    free(r);
}
