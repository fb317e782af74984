/* store/keys.c: secrets on disk.
 *
 * master.key, 152 bytes, mode 0600 (integers little-endian):
 *      0  8   "KTMASTER"
 *      8  4   version, 1
 *     12  4   kind: 0 the key itself, 1 the key sealed under a passphrase
 *     16  8   argon2id: passes                    (0 for kind 0)
 *     24  8   argon2id: memory in bytes           (0 for kind 0)
 *     32 16   argon2id: salt                      (random, unused, for kind 0)
 *     48 24   nonce                               (random, unused, for kind 0)
 *     72 32   the key, or its ciphertext
 *    104 16   kind 1: authentication tag over ciphertext and bytes [0, 72); kind 0: zeros
 *    120 32   BLAKE2b-256 of bytes [0, 120): tells a damaged file from a wrong passphrase
 *
 * A passphrase never becomes the master key: it unlocks a random one, so it can be changed without
 * touching the matters.
 *
 * matters/<id>/matter.key, 412 bytes:
 *      0  8   "KTMATTER"
 *      8  4   version, 1
 *     12 24   nonce, 36 48 the sealed database key      (32 + tag)
 *     84 24   nonce, 108 272 the sealed name            (256, zero-padded so that its length tells
 * nothing, + tag) 380 32   BLAKE2b-256 of bytes [0, 380) Both seals are XChaCha20-Poly1305 under
 * the master key; the associated data is magic, version, matter id and a word ("key", "name"), so
 * that no file can be moved to another matter and no seal to the other's place. */
#include "store/keys.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/files.h"
#include "base/size.h"
#include "store/limits.h"

enum {
    MASTER_BYTES = 152,
    MATTER_BYTES = 412,
    NAME_FIELD = 256,
    TAG = crypto_aead_xchacha20poly1305_ietf_ABYTES,
    NONCE = crypto_aead_xchacha20poly1305_ietf_NPUBBYTES,
};
/* What new passphrases get (64 MiB, 3 passes: half a second on a slow core), and the most a file
 * may ask of us. */
enum { ARGON_PASSES = 3, ARGON_PASSES_MAX = 16 };
static const uint64_t ARGON_MEMORY = 64u << 20, ARGON_MEMORY_MAX = 1u << 30;

static const char MASTER_MAGIC[8] = "KTMASTER";
static const char MATTER_MAGIC[8] = "KTMATTER";

uint8_t *key_alloc(void)
{
    return sodium_init() < 0 ? NULL : sodium_malloc(KEY_BYTES);
}

void key_free(uint8_t *key)
{
    sodium_free(key);
}

static void put_u32(uint8_t *p, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        p[i] = (uint8_t)(v >> 8 * i);
}

static void put_u64(uint8_t *p, uint64_t v)
{
    for (int i = 0; i < 8; i++)
        p[i] = (uint8_t)(v >> 8 * i);
}

static uint32_t get_u32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint64_t get_u64(const uint8_t *p)
{
    return get_u32(p) | (uint64_t)get_u32(p + 4) << 32;
}

/* Read a key file of exactly 'n' bytes whose last 32 are the hash of the others. */
static enum kt_status key_file_read(uint8_t *out, size_t n, const char *path,
                                    const char magic[static 8], struct kt_error *err)
{
    struct buf b = { 0 };
    enum kt_status st = file_read(&b, path, 4096, err);
    if (st == KT_E_LIMIT)
        st = kt_fail(err, KT_E_KEY,
                     "%s: larger than a key file, expected %zu bytes; restore it from a backup",
                     path, n);
    uint8_t hash[32];
    if (!st && b.len != n)
        st = kt_fail(
            err, KT_E_KEY,
            "%s: %zu bytes, expected %zu: the key file is damaged; restore it from a backup", path,
            b.len, n);
    if (!st) {
        memcpy(out, b.ptr, n);
        crypto_generichash(hash, sizeof(hash), out, n - 32, NULL, 0);
        if (memcmp(out, magic, 8) || sodium_memcmp(hash, out + n - 32, 32))
            st = kt_fail(err, KT_E_KEY,
                         "%s: checksum does not match: the key file is damaged; restore it from a "
                         "backup",
                         path);
        else if (get_u32(out + 8) != 1)
            st = kt_fail(err, KT_E_UNSUPPORTED,
                         "%s: version %u, this program reads 1; use a newer one", path,
                         get_u32(out + 8));
    }
    if (b.ptr)
        sodium_memzero(b.ptr, b.cap);
    buf_deinit(&b);
    return st;
}

static void hash_tail(uint8_t *file, size_t n)
{
    crypto_generichash(file + n - 32, 32, file, n - 32, NULL, 0);
}

/* ---- master key ---- */

static enum kt_status stretch(uint8_t *kek, const uint8_t *file, const char *passphrase,
                              const char *path, struct kt_error *err)
{
    uint64_t passes = get_u64(file + 16), memory = get_u64(file + 24);
    if (passes < 1 || passes > ARGON_PASSES_MAX || memory < 8192 || memory > ARGON_MEMORY_MAX)
        return kt_fail(
            err, KT_E_KEY,
            "%s: asks for %llu passes over %llu bytes, at most %d over %llu are allowed; "
            "restore it from a backup",
            path, (unsigned long long)passes, (unsigned long long)memory, ARGON_PASSES_MAX,
            (unsigned long long)ARGON_MEMORY_MAX);
    if (crypto_pwhash(kek, KEY_BYTES, passphrase, strlen(passphrase), file + 32, passes,
                      (size_t)memory, crypto_pwhash_ALG_ARGON2ID13))
        return kt_fail(err, KT_E_NOMEM,
                       "%s: not enough memory for the passphrase (%llu MiB); close other programs",
                       path, (unsigned long long)(memory >> 20));
    return KT_OK;
}

static enum kt_status master_seal(uint8_t file[static MASTER_BYTES], const uint8_t *key,
                                  const char *passphrase, const char *path, struct kt_error *err)
{
    memset(file, 0, MASTER_BYTES);
    memcpy(file, MASTER_MAGIC, 8);
    put_u32(file + 8, 1);
    put_u32(file + 12, passphrase != NULL);
    randombytes_buf(file + 32, 16 + NONCE);
    enum kt_status st = KT_OK;
    if (passphrase) {
        put_u64(file + 16, ARGON_PASSES);
        put_u64(file + 24, ARGON_MEMORY);
        uint8_t kek[KEY_BYTES];
        st = stretch(kek, file, passphrase, path, err);
        if (!st)
            crypto_aead_xchacha20poly1305_ietf_encrypt(file + 72, NULL, key, KEY_BYTES, file, 72,
                                                       NULL, file + 48, kek);
        sodium_memzero(kek, sizeof(kek));
    } else {
        memcpy(file + 72, key, KEY_BYTES);
    }
    hash_tail(file, MASTER_BYTES);
    return st;
}

static enum kt_status master_unseal(uint8_t *out, const uint8_t file[static MASTER_BYTES],
                                    const char *passphrase, const char *path, struct kt_error *err)
{
    uint32_t kind = get_u32(file + 12);
    if (kind > 1)
        return kt_fail(err, KT_E_UNSUPPORTED,
                       "%s: kind %u of key, this program knows 0 and 1; use a newer one", path,
                       kind);
    if (kind == 0) {
        if (passphrase)
            return kt_fail(err, KT_E_KEY,
                           "%s: this home has no passphrase, but one was given; open it without",
                           path);
        memcpy(out, file + 72, KEY_BYTES);
        return KT_OK;
    }
    if (!passphrase)
        return kt_fail(err, KT_E_KEY, "%s: this home is locked by a passphrase and none was given",
                       path);
    uint8_t kek[KEY_BYTES];
    enum kt_status st = stretch(kek, file, passphrase, path, err);
    if (!st && crypto_aead_xchacha20poly1305_ietf_decrypt(
                   out, NULL, NULL, file + 72, KEY_BYTES + TAG, file, 72, file + 48, kek))
        st = kt_fail(err, KT_E_KEY, "%s: wrong passphrase; type it again", path);
    sodium_memzero(kek, sizeof(kek));
    return st;
}

/* A home with matters but without its key must not get a fresh one: that would hide the loss. */
static bool has_matters(const char *home)
{
    char *dir = path_join(home, "matters");
    bool there = dir && file_exists(dir);
    free(dir);
    return there;
}

enum kt_status master_key_load(uint8_t *out, const char *home, const char *passphrase,
                               struct kt_error *err)
{
    char *path = path_join(home, "master.key");
    if (!path)
        return kt_fail(err, KT_E_NOMEM, "store: out of memory");
    uint8_t file[MASTER_BYTES];
    enum kt_status st;
    if (file_exists(path)) {
        st = key_file_read(file, sizeof(file), path, MASTER_MAGIC, err);
        if (!st)
            st = master_unseal(out, file, passphrase, path, err);
    } else if (has_matters(home)) {
        st = kt_fail(err, KT_E_KEY,
                     "%s: missing, but there are matters that need it; restore it from a backup",
                     path);
    } else {
        randombytes_buf(out, KEY_BYTES);
        st = master_seal(file, out, passphrase, path, err);
        if (!st)
            st = file_replace(path, file, sizeof(file), 0600, err);
    }
    sodium_memzero(file, sizeof(file));
    free(path);
    return st;
}

/* ---- matter key ---- */

static size_t associated(uint8_t ad[static 64], const uint8_t *file, const char *id,
                         const char *what)
{
    memcpy(ad, file, 12);
    memcpy(ad + 12, id, MATTER_ID_HEX);
    size_t n = strlen(what);
    memcpy(ad + 12 + MATTER_ID_HEX, what, n);
    return 12 + MATTER_ID_HEX + n;
}

static void seal(uint8_t *at, const uint8_t *plain, size_t n, const uint8_t *file, const char *id,
                 const char *what, const uint8_t *master)
{
    uint8_t ad[64];
    size_t ad_len = associated(ad, file, id, what);
    randombytes_buf(at, NONCE);
    crypto_aead_xchacha20poly1305_ietf_encrypt(at + NONCE, NULL, plain, n, ad, ad_len, NULL, at,
                                               master);
}

static bool unseal(uint8_t *plain, const uint8_t *at, size_t n, const uint8_t *file, const char *id,
                   const char *what, const uint8_t *master)
{
    uint8_t ad[64];
    size_t ad_len = associated(ad, file, id, what);
    return crypto_aead_xchacha20poly1305_ietf_decrypt(plain, NULL, NULL, at + NONCE, n + TAG, ad,
                                                      ad_len, at, master) == 0;
}

enum kt_status matter_key_create(uint8_t *out, const char *dir, const char *id, const char *name,
                                 const uint8_t *master, struct kt_error *err)
{
    char *path = path_join(dir, "matter.key");
    if (!path)
        return kt_fail(err, KT_E_NOMEM, "store: out of memory");
    uint8_t file[MATTER_BYTES] = { 0 };
    uint8_t field[NAME_FIELD] = { 0 };
    size_t name_len = strlen(name);
    memcpy(field, name, MIN(name_len, (size_t)LIMIT_NAME_BYTES));
    memcpy(file, MATTER_MAGIC, 8);
    put_u32(file + 8, 1);
    randombytes_buf(out, KEY_BYTES);
    seal(file + 12, out, KEY_BYTES, file, id, "key", master);
    seal(file + 84, field, NAME_FIELD, file, id, "name", master);
    hash_tail(file, MATTER_BYTES);
    enum kt_status st = file_replace(path, file, sizeof(file), 0600, err);
    free(path);
    return st;
}

enum kt_status matter_key_load(uint8_t *out, char **name, const char *dir, const char *id,
                               const uint8_t *master, struct kt_error *err)
{
    char *path = path_join(dir, "matter.key");
    if (!path)
        return kt_fail(err, KT_E_NOMEM, "store: out of memory");
    uint8_t file[MATTER_BYTES], field[NAME_FIELD + 1] = { 0 };
    enum kt_status st = key_file_read(file, sizeof(file), path, MATTER_MAGIC, err);
    if (!st && ((out && !unseal(out, file + 12, KEY_BYTES, file, id, "key", master)) ||
                !unseal(field, file + 84, NAME_FIELD, file, id, "name", master)))
        st = kt_fail(
            err, KT_E_KEY,
            "%s: the master key does not open it: wrong master.key or a file of another home",
            path);
    if (!st && name && !(*name = strdup((char *)field)))
        st = kt_fail(err, KT_E_NOMEM, "store: out of memory");
    free(path);
    return st;
}

enum kt_status matter_key_destroy(const char *dir, struct kt_error *err)
{
    char *path = path_join(dir, "matter.key"), *gone = path_join(dir, "matter.key.gone");
    uint8_t noise[MATTER_BYTES];
    randombytes_buf(noise, sizeof(noise));
    enum kt_status st = path && gone ? KT_OK : kt_fail(err, KT_E_NOMEM, "store: out of memory");
    /* under another name first: whoever is killed below leaves a matter without a key, which is one that is being
     * destroyed, and not one whose key is damaged */
    if (!st && rename(path, gone) && errno != ENOENT)
        st = kt_fail_errno(err, errno, "%s: cannot take the key away", path);
    int fd = st ? -1 : open(gone, O_WRONLY | O_CLOEXEC);
    if (!st && fd < 0 && errno != ENOENT)
        st = kt_fail_errno(err, errno, "%s: cannot open the key to destroy it", gone);
    if (fd >= 0) {
        st = file_write_fd(fd, noise, sizeof(noise), gone, err);
        if (!st && fsync(fd))
            st = kt_fail_errno(err, errno, "%s: cannot flush the destroyed key", gone);
        close(fd);
        if (!st && unlink(gone))
            st = kt_fail_errno(err, errno, "%s: cannot remove the destroyed key", gone);
    }
    free(path);
    free(gone);
    return st;
}
