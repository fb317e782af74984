/* SHA-256 of large files. */
#include "hub/hash.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct hasher {
    EVP_MD_CTX *sha256, *git;
};

struct hasher *hasher_create(uint64_t git_bytes)
{
    struct hasher *h = calloc(1, sizeof(*h));
    if (!h)
        return NULL;
    h->sha256 = EVP_MD_CTX_new();
    bool ok = h->sha256 && EVP_DigestInit_ex(h->sha256, EVP_sha256(), NULL);
    if (ok && git_bytes != UINT64_MAX) {
        char head[40];
        int n = snprintf(head, sizeof(head), "blob %llu", (unsigned long long)git_bytes);
        h->git = EVP_MD_CTX_new();
        ok = h->git && EVP_DigestInit_ex(h->git, EVP_sha1(), NULL) &&
             EVP_DigestUpdate(h->git, head, (size_t)n + 1); /* with its zero */
    }
    if (!ok) {
        hasher_destroy(h);
        return NULL;
    }
    return h;
}

void hasher_destroy(struct hasher *h)
{
    if (!h)
        return;
    EVP_MD_CTX_free(h->sha256);
    EVP_MD_CTX_free(h->git);
    free(h);
}

void hasher_add(struct hasher *h, const void *data, size_t len)
{
    EVP_DigestUpdate(h->sha256, data, len);
    if (h->git)
        EVP_DigestUpdate(h->git, data, len);
}

void hasher_end(struct hasher *h, char sha256[static 65], char *git)
{
    unsigned char digest[EVP_MAX_MD_SIZE] = { 0 };
    EVP_DigestFinal_ex(h->sha256, digest, NULL);
    sodium_bin2hex(sha256, 65, digest, 32);
    if (git && h->git) {
        EVP_DigestFinal_ex(h->git, digest, NULL);
        sodium_bin2hex(git, 41, digest, 20);
    }
}

enum kt_status hash_fd(struct hasher *h, int fd, uint64_t n, const char *name, hash_watch_fn watch,
                       void *ctx, struct kt_error *err)
{
    enum { STEP = 1 << 20 };
    unsigned char *step = malloc(STEP);
    enum kt_status st = step ? KT_OK : kt_fail(err, KT_E_NOMEM, "%s: out of memory", name);
    while (!st && n > 0) {
        ssize_t got = read(fd, step, n < STEP ? (size_t)n : STEP);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            st = kt_fail_errno(err, errno, "%s: cannot read", name);
        else if (got == 0)
            st = kt_fail(err, KT_E_FORMAT, "%s: %llu bytes shorter than it should be", name,
                         (unsigned long long)n);
        if (st)
            break;
        hasher_add(h, step, (size_t)got);
        n -= (uint64_t)got;
        if (watch && watch(ctx, (uint64_t)got))
            st = kt_fail(err, KT_E_CANCELLED, "%s: stopped", name);
    }
    free(step);
    return st;
}

enum kt_status hash_file(char sha256[static 65], uint64_t *bytes, const char *path,
                         hash_watch_fn watch, void *ctx, struct kt_error *err)
{
    struct stat sb;
    sha256[0] = '\0';
    *bytes = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return kt_fail_errno(err, errno, "%s: cannot open", path);
    struct hasher *h = hasher_create(UINT64_MAX);
    enum kt_status st = KT_OK;
    if (!h)
        st = kt_fail(err, KT_E_NOMEM, "%s: out of memory", path);
    else if (fstat(fd, &sb) != 0)
        st = kt_fail_errno(err, errno, "%s: cannot stat", path);
    else if (!S_ISREG(sb.st_mode))
        st = kt_fail(err, KT_E_UNSUPPORTED, "%s: not a regular file", path);
    if (!st) {
        *bytes = (uint64_t)sb.st_size;
        st = hash_fd(h, fd, *bytes, path, watch, ctx, err);
    }
    if (!st)
        hasher_end(h, sha256, NULL);
    hasher_destroy(h);
    close(fd);
    return st;
}
