/* Ed25519 by libsodium over a model's manifest. */
#include "hub/sign.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/files.h"
#include "hub/jread.h"

enum { SEED = crypto_sign_SEEDBYTES, FILE_BYTES = 8 + SEED + 32 };

static const char MAGIC[8] = "KTSIGN1\n";
/* So that a signature over a manifest can never be taken for one over something else. */
static const char DOMAIN[] = "kontor model manifest 1\n";

static enum kt_status no_memory(struct kt_error *err)
{
    return kt_fail(err, KT_E_NOMEM, "out of memory");
}

static enum kt_status load_seed(unsigned char seed[static SEED], const char *path,
                                struct kt_error *err)
{
    unsigned char hash[32];
    struct buf b = { 0 };
    enum kt_status st = file_read(&b, path, FILE_BYTES, err);
    if (!st) {
        crypto_generichash(hash, sizeof(hash), (const unsigned char *)b.ptr,
                           b.len >= 40 ? 40 : b.len, NULL, 0);
        if (b.len != FILE_BYTES || memcmp(b.ptr, MAGIC, 8) != 0 ||
            memcmp(b.ptr + 8 + SEED, hash, 32) != 0)
            st = kt_fail(err, KT_E_KEY,
                         "%s: damaged; restore it from a backup, or remove it and a new one is "
                         "made",
                         path);
        else
            memcpy(seed, b.ptr + 8, SEED);
    }
    if (b.ptr)
        sodium_memzero(b.ptr, b.cap);
    buf_deinit(&b);
    return st;
}

static enum kt_status make_seed(unsigned char seed[static SEED], const char *home, const char *path,
                                struct kt_error *err)
{
    unsigned char file[FILE_BYTES];
    randombytes_buf(seed, SEED);
    memcpy(file, MAGIC, 8);
    memcpy(file + 8, seed, SEED);
    crypto_generichash(file + 8 + SEED, 32, file, 8 + SEED, NULL, 0);
    enum kt_status st = dir_make(home, 0700, err);
    if (!st)
        st = file_replace(path, file, sizeof(file), 0600, err);
    sodium_memzero(file, sizeof(file));
    return st;
}

static bool whole_message(struct buf *out, struct span manifest)
{
    buf_append(out, DOMAIN, sizeof(DOMAIN) - 1);
    buf_append_span(out, manifest);
    return !out->failed;
}

enum kt_status sign_manifest(struct buf *out, char key[static SIGN_PUBLIC_HEX + 1],
                             const char *home, struct span manifest, struct kt_error *err)
{
    unsigned char seed[SEED], public_key[crypto_sign_PUBLICKEYBYTES];
    unsigned char secret[crypto_sign_SECRETKEYBYTES], sig[crypto_sign_BYTES];
    char hex[2 * crypto_sign_BYTES + 1];
    struct buf message = { 0 };
    char *path = path_join(home, "sign.key");
    enum kt_status st = !path               ? no_memory(err)
                        : file_exists(path) ? load_seed(seed, path, err)
                                            : make_seed(seed, home, path, err);
    if (!st && !whole_message(&message, manifest))
        st = no_memory(err);
    if (!st) {
        crypto_sign_seed_keypair(public_key, secret, seed);
        crypto_sign_detached(sig, NULL, (const unsigned char *)message.ptr, message.len, secret);
        sodium_bin2hex(key, SIGN_PUBLIC_HEX + 1, public_key, sizeof(public_key));
        sodium_bin2hex(hex, sizeof(hex), sig, sizeof(sig));
        buf_printf(out, "kontor-signature 1\nkey %s\nsignature %s\n", key, hex);
        if (out->failed)
            st = no_memory(err);
    }
    sodium_memzero(seed, sizeof(seed));
    sodium_memzero(secret, sizeof(secret));
    buf_deinit(&message);
    free(path);
    return st;
}

/* The next line if it is "word HEX" with n digits; advances *text. */
static bool take_hex(struct span *text, const char *word, char *hex, size_t n)
{
    size_t w = strlen(word);
    if (text->len < w + n + 2 || memcmp(text->ptr, word, w) != 0 || text->ptr[w] != ' ' ||
        text->ptr[w + 1 + n] != '\n')
        return false;
    memcpy(hex, text->ptr + w + 1, n);
    hex[n] = '\0';
    *text = span_sub(*text, w + n + 2, text->len);
    return hex_ok(hex, n);
}

enum kt_status sign_check(char key[static SIGN_PUBLIC_HEX + 1], struct span signature,
                          struct span manifest, const char *name, struct kt_error *err)
{
    static const struct span HEAD = { "kontor-signature 1\n", 19 };
    unsigned char public_key[crypto_sign_PUBLICKEYBYTES], sig[crypto_sign_BYTES];
    char hex[2 * crypto_sign_BYTES + 1];
    struct buf message = { 0 };
    struct span rest = span_sub(signature, HEAD.len, signature.len);
    bool ok = span_starts(signature, HEAD) && take_hex(&rest, "key", key, SIGN_PUBLIC_HEX) &&
              take_hex(&rest, "signature", hex, sizeof(hex) - 1) && rest.len == 0;
    if (!ok) {
        key[0] = '\0';
        return kt_fail(err, KT_E_KEY,
                       "%s: " SIGNATURE_FILE " is not a signature file; the model "
                       "was damaged or changed on the way",
                       name);
    }
    sodium_hex2bin(public_key, sizeof(public_key), key, SIGN_PUBLIC_HEX, NULL, NULL, NULL);
    sodium_hex2bin(sig, sizeof(sig), hex, sizeof(hex) - 1, NULL, NULL, NULL);
    enum kt_status st = KT_OK;
    if (!whole_message(&message, manifest))
        st = no_memory(err);
    else if (crypto_sign_verify_detached(sig, (const unsigned char *)message.ptr, message.len,
                                         public_key) != 0)
        st = kt_fail(err, KT_E_KEY,
                     "%s: the signature does not fit the manifest; the model was "
                     "damaged or changed on the way",
                     name);
    buf_deinit(&message);
    return st;
}
