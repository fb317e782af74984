/* store/originals.c: files that came by an upload are kept as they came, beside the matter's database.
 *
 * What lies in a folder is not kept: the folder is the truth, and the index follows it. An upload has no folder to go back to, so
 * that the matter is the only place where it can be read again by a better reader, or by a person who wants the file.
 *
 * One file each, <32 hex digits>.orig in the matter's folder:
 *     8 bytes   "KTORIG1\n"
 *     24        nonce
 *     n + 16    the file, XChaCha20-Poly1305 with the first 8 bytes as associated data
 * under a key of its own, which is a row of the database (table originals) and nowhere else. So taking the row out, which the
 * scrub makes traceless (scrub.c), makes the file unreadable whatever becomes of its blocks on the medium; then it is unlinked.
 *
 * The order of steps: file and folder are flushed, then the row is committed. What a crash leaves between is a file without a row,
 * swept when the matter is next opened for writing and after each removal. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/files.h"
#include "store/store_priv.h"

static const unsigned char MAGIC[8] = { 'K', 'T', 'O', 'R', 'I', 'G', '1', '\n' };
static const char SUFFIX[] = ".orig";

enum {
    NAME_HEX = 32,
    NONCE = crypto_aead_xchacha20poly1305_ietf_NPUBBYTES,
    TAG = crypto_aead_xchacha20poly1305_ietf_ABYTES,
    HEAD = 8 + NONCE,
};

/* Matters of earlier versions have no such table until they are written to. */
enum kt_status originals_prepare(struct kt_matter *m, struct kt_error *err)
{
    if (m->access == KT_WRITE) {
        enum kt_status st =
            db_exec(m,
                    "CREATE TABLE IF NOT EXISTS originals("
                    "  doc_id INTEGER PRIMARY KEY REFERENCES documents(id) ON DELETE CASCADE,"
                    "  file TEXT NOT NULL, key BLOB NOT NULL, size INTEGER NOT NULL)",
                    "make the table of originals", err);
        m->has_originals = st == KT_OK;
        return st ? st : originals_sweep(m, err);
    }
    sqlite3_stmt *q;
    enum kt_status st =
        db_prepare(&q, m, "SELECT 1 FROM sqlite_master WHERE name = 'originals'", err);
    if (!st)
        m->has_originals = sqlite3_step(q) == SQLITE_ROW;
    sqlite3_finalize(q);
    return st;
}

static char *path_of(const struct kt_matter *m, const char *file)
{
    return path_join(m->dir, file);
}

/* ---- sweeping -------------------------------------------------------------------------------- */

static bool is_original(const char *name)
{
    return strlen(name) == NAME_HEX + strlen(SUFFIX) &&
           strspn(name, "0123456789abcdef") == NAME_HEX && strcmp(name + NAME_HEX, SUFFIX) == 0;
}

static enum kt_status has_row(struct kt_matter *m, sqlite3_stmt *q, const char *name, bool *out,
                              struct kt_error *err)
{
    sqlite3_bind_text(q, 1, name, -1, SQLITE_STATIC);
    int rc = sqlite3_step(q);
    *out = rc == SQLITE_ROW;
    enum kt_status st =
        rc == SQLITE_ROW || rc == SQLITE_DONE ? KT_OK : db_fail(m, "read originals", err);
    sqlite3_reset(q);
    return st;
}

enum kt_status originals_sweep(struct kt_matter *m, struct kt_error *err)
{
    sqlite3_stmt *q = NULL;
    struct dirent *e;
    if (!m->has_originals)
        return KT_OK;
    enum kt_status st = db_prepare(&q, m, "SELECT 1 FROM originals WHERE file = ?1", err);
    DIR *d = st ? NULL : opendir(m->dir);
    if (!st && !d)
        st = kt_fail_errno(err, errno, "%s: cannot read the folder", m->dir);
    while (!st && (e = readdir(d))) {
        bool needed = true;
        if (!is_original(e->d_name))
            continue;
        st = has_row(m, q, e->d_name, &needed, err);
        if (!st && !needed && unlinkat(dirfd(d), e->d_name, 0) && errno != ENOENT)
            st = kt_fail_errno(err, errno, "%s/%s: cannot remove", m->dir, e->d_name);
    }
    if (d)
        closedir(d);
    sqlite3_finalize(q);
    return st;
}

/* ---- keeping --------------------------------------------------------------------------------- */

static enum kt_status write_sealed(const char *path, const uint8_t key[static KEY_BYTES],
                                   const void *bytes, size_t n, struct kt_error *err)
{
    uint8_t *sealed = malloc(HEAD + n + TAG);
    if (!sealed)
        return kt_fail(err, KT_E_NOMEM, "store: out of memory for a file of %zu bytes", n);
    memcpy(sealed, MAGIC, sizeof(MAGIC));
    randombytes_buf(sealed + sizeof(MAGIC), NONCE);
    crypto_aead_xchacha20poly1305_ietf_encrypt(sealed + HEAD, NULL, bytes, n, MAGIC, sizeof(MAGIC),
                                               NULL, sealed + sizeof(MAGIC), key);
    enum kt_status st = file_replace(path, sealed, HEAD + n + TAG, 0600, err);
    free(sealed);
    return st;
}

static enum kt_status put_row(struct kt_matter *m, int64_t doc_id, const char *file,
                              const uint8_t key[static KEY_BYTES], size_t n, struct kt_error *err)
{
    sqlite3_stmt *q;
    enum kt_status st = db_prepare(
        &q, m, "INSERT OR REPLACE INTO originals(doc_id, file, key, size) VALUES(?1,?2,?3,?4)",
        err);
    if (st)
        return st;
    sqlite3_bind_int64(q, 1, doc_id);
    sqlite3_bind_text(q, 2, file, -1, SQLITE_STATIC);
    sqlite3_bind_blob(q, 3, key, KEY_BYTES, SQLITE_STATIC);
    sqlite3_bind_int64(q, 4, (sqlite3_int64)n);
    st = db_run(m, q, "keep a file", err);
    sqlite3_finalize(q);
    return st;
}

enum kt_status kt_matter_keep(struct kt_matter *m, const char *path, const void *bytes, size_t n,
                              struct kt_error *err)
{
    struct kt_doc_info d;
    uint8_t random[NAME_HEX / 2], *key = NULL;
    char file[NAME_HEX + sizeof(SUFFIX)];
    if (n > LIMIT_ORIGINAL_BYTES)
        return kt_fail(err, KT_E_LIMIT, "%s: %zu bytes, files of at most %d are kept", path, n,
                       LIMIT_ORIGINAL_BYTES);
    enum kt_status st = kt_matter_find(m, path, &d, err);
    if (st)
        return st;
    int64_t id = d.id;
    kt_doc_info_deinit(&d);
    randombytes_buf(random, sizeof(random));
    sodium_bin2hex(file, NAME_HEX + 1, random, sizeof(random));
    memcpy(file + NAME_HEX, SUFFIX, sizeof(SUFFIX));
    char *to = path_of(m, file);
    key = key_alloc();
    st = key && to ? KT_OK : kt_fail(err, KT_E_NOMEM, "store: out of memory");
    if (!st) {
        randombytes_buf(key, KEY_BYTES);
        st = write_sealed(to, key, bytes, n, err);
    }
    if (!st)
        st = db_begin(m, err);
    if (!st)
        st = db_end(m, put_row(m, id, file, key, n, err), err);
    if (st && to)
        unlink(to);
    key_free(key);
    free(to);
    return st;
}

/* ---- giving back ----------------------------------------------------------------------------- */

static enum kt_status open_sealed(const char *path, const uint8_t *key, size_t n, struct buf *out,
                                  struct kt_error *err)
{
    struct buf sealed = { 0 };
    unsigned long long len = 0;
    enum kt_status st = file_read(&sealed, path, (size_t)LIMIT_ORIGINAL_BYTES + HEAD + TAG, err);
    if (!st && (sealed.len != HEAD + n + TAG || memcmp(sealed.ptr, MAGIC, sizeof(MAGIC)) != 0))
        st = kt_fail(err, KT_E_FORMAT, "%s: has %zu bytes, expected %zu; restore it from a backup",
                     path, sealed.len, HEAD + n + TAG);
    if (!st && !buf_reserve(out, n + 1))
        st = kt_fail(err, KT_E_NOMEM, "store: out of memory for a file of %zu bytes", n);
    if (!st && crypto_aead_xchacha20poly1305_ietf_decrypt(
                   (unsigned char *)out->ptr, &len, NULL, (unsigned char *)sealed.ptr + HEAD,
                   n + TAG, MAGIC, sizeof(MAGIC), (unsigned char *)sealed.ptr + sizeof(MAGIC), key))
        st =
            kt_fail(err, KT_E_FORMAT, "%s: was changed or damaged; restore it from a backup", path);
    out->len = st ? 0 : (size_t)len;
    buf_deinit(&sealed);
    return st;
}

enum kt_status kt_matter_original(struct kt_matter *m, int64_t doc_id, uint8_t **bytes, size_t *n,
                                  struct kt_error *err)
{
    sqlite3_stmt *q = NULL;
    struct buf out = { 0 };
    char *path = NULL;
    *bytes = NULL;
    *n = 0;
    if (!m->has_originals)
        return kt_fail(err, KT_E_NOTFOUND, "no file is kept for this document");
    enum kt_status st =
        db_prepare(&q, m, "SELECT file, key, size FROM originals WHERE doc_id = ?1", err);
    if (st)
        return st;
    sqlite3_bind_int64(q, 1, doc_id);
    int rc = sqlite3_step(q);
    const char *file = rc == SQLITE_ROW ? (const char *)sqlite3_column_text(q, 0) : NULL;
    int64_t size = rc == SQLITE_ROW ? sqlite3_column_int64(q, 2) : 0;
    if (rc == SQLITE_DONE)
        st = kt_fail(err, KT_E_NOTFOUND, "no file is kept for this document");
    else if (rc != SQLITE_ROW)
        st = db_fail(m, "read originals", err);
    else if (!file || !is_original(file) || sqlite3_column_bytes(q, 1) != KEY_BYTES || size < 0 ||
             size > LIMIT_ORIGINAL_BYTES)
        st = kt_fail(err, KT_E_FORMAT, "%s: a row of originals is damaged", m->dir);
    else if (!(path = path_of(m, file)))
        st = kt_fail(err, KT_E_NOMEM, "store: out of memory");
    if (!st)
        st = open_sealed(path, sqlite3_column_blob(q, 1), (size_t)size, &out, err);
    sqlite3_finalize(q);
    free(path);
    if (!st) {
        *n = out.len;
        *bytes = (uint8_t *)buf_take(&out);
        matter_note(m, AUDIT_FETCHED, doc_id, 1);
    }
    buf_deinit(&out);
    return st;
}
