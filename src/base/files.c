/* Reading and writing files so that nothing is half there. */
#include "base/files.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/size.h"

enum { READ_STEP = 256 * 1024, LARGE_PAGES_FROM = 16 << 20 };

static enum kt_status open_regular(int *fd, size_t *size, const char *path, struct kt_error *err)
{
    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* NONBLOCK: do not hang on a FIFO */
    if (*fd < 0)
        return kt_fail_errno(err, errno, "%s: cannot open", path);
    struct stat st;
    if (fstat(*fd, &st) != 0) {
        int e = errno;
        close(*fd);
        return kt_fail_errno(err, e, "%s: cannot stat", path);
    }
    if (!S_ISREG(st.st_mode)) {
        close(*fd);
        return kt_fail(err, KT_E_UNSUPPORTED, "%s: not a regular file", path);
    }
    *size = (size_t)st.st_size;
    return KT_OK;
}

enum kt_status file_map_open(struct file_map *out, const char *path, struct kt_error *err)
{
    *out = (struct file_map){ 0 };
    int fd;
    size_t size;
    enum kt_status st = open_regular(&fd, &size, path, err);
    if (st)
        return st;
    if (size == 0) {
        close(fd);
        return KT_OK;
    }
    void *p = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
    int e = errno;
    close(fd);
    if (p == MAP_FAILED)
        return kt_fail_errno(err, e, "%s: cannot map %zu bytes", path, size);
#ifdef MADV_HUGEPAGE
    /* A file that is not in memory yet is then read into pages of 2 MiB, where the file system can.
     * Walking a model's weights in pages of 4 KiB costs a third of the memory's speed, more in a
     * virtual machine. Advice only: it may fail. */
    if (size >= LARGE_PAGES_FROM)
        (void)madvise(p, size, MADV_HUGEPAGE);
#endif
    out->data = p;
    out->size = size;
    return KT_OK;
}

void file_map_close(struct file_map *m)
{
    if (m->data)
        munmap((void *)(uintptr_t)m->data, m->size);
    *m = (struct file_map){ 0 };
}

enum kt_status file_read_fd(struct buf *out, int fd, const char *name, size_t max_bytes,
                            struct kt_error *err)
{
    size_t start = out->len;
    for (;;) {
        if (!buf_reserve(out, READ_STEP))
            return kt_fail(err, KT_E_NOMEM, "%s: out of memory while reading", name);
        ssize_t n = read(fd, out->ptr + out->len, READ_STEP);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return kt_fail_errno(err, errno, "%s: cannot read", name);
        if (n == 0)
            break;
        out->len += (size_t)n;
        if (out->len - start > max_bytes)
            return kt_fail(err, KT_E_LIMIT, "%s: larger than %zu bytes", name, max_bytes);
    }
    out->ptr[out->len] = '\0';
    return KT_OK;
}

enum kt_status file_read(struct buf *out, const char *path, size_t max_bytes, struct kt_error *err)
{
    if (strcmp(path, "-") == 0)
        return file_read_fd(out, STDIN_FILENO, "standard input", max_bytes, err);
    int fd;
    size_t size;
    enum kt_status st = open_regular(&fd, &size, path, err);
    if (st)
        return st;
    st = file_read_fd(out, fd, path, max_bytes, err);
    close(fd);
    return st;
}

enum kt_status file_write_fd(int fd, const void *ptr, size_t len, const char *name,
                             struct kt_error *err)
{
    const char *p = ptr;
    while (len) {
        ssize_t n = write(fd, p, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return kt_fail_errno(err, errno, "%s: cannot write", name);
        p += n;
        len -= (size_t)n;
    }
    return KT_OK;
}

static enum kt_status sync_parent(const char *path, struct kt_error *err)
{
    const char *slash = strrchr(path, '/');
    char *dir = slash ? strndup(path, slash == path ? 1 : (size_t)(slash - path)) : strdup(".");
    if (!dir)
        return kt_fail(err, KT_E_NOMEM, "%s: out of memory", path);
    enum kt_status st = KT_OK;
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) != 0)
        st = kt_fail_errno(err, errno, "%s: cannot sync the folder", dir);
    if (fd >= 0)
        close(fd);
    free(dir);
    return st;
}

enum kt_status file_replace(const char *path, const void *ptr, size_t len, unsigned mode,
                            struct kt_error *err)
{
    struct buf tmp = { 0 };
    buf_printf(&tmp, "%s.%ld.tmp", path, (long)getpid());
    if (tmp.failed) {
        buf_deinit(&tmp);
        return kt_fail(err, KT_E_NOMEM, "%s: out of memory", path);
    }
    enum kt_status st = KT_OK;
    int fd = open(tmp.ptr, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);
    if (fd < 0) {
        st = kt_fail_errno(err, errno, "%s: cannot create", tmp.ptr);
        buf_deinit(&tmp);
        return st;
    }
    st = file_write_fd(fd, ptr, len, tmp.ptr, err);
    if (!st && fsync(fd) != 0)
        st = kt_fail_errno(err, errno, "%s: cannot sync", tmp.ptr);
    if (close(fd) != 0 && !st)
        st = kt_fail_errno(err, errno, "%s: cannot close", tmp.ptr);
    if (!st && rename(tmp.ptr, path) != 0)
        st = kt_fail_errno(err, errno, "%s: cannot rename into place", path);
    if (st)
        unlink(tmp.ptr);
    else
        st = sync_parent(path, err);
    buf_deinit(&tmp);
    return st;
}

enum kt_status dir_make(const char *path, unsigned mode, struct kt_error *err)
{
    char *p = strdup(path);
    if (!p)
        return kt_fail(err, KT_E_NOMEM, "%s: out of memory", path);
    enum kt_status st = KT_OK;
    for (char *s = p + 1;; s++) {
        if (*s != '/' && *s != '\0')
            continue;
        char kept = *s;
        *s = '\0';
        if (mkdir(p, mode) != 0 && errno != EEXIST)
            st = kt_fail_errno(err, errno, "%s: cannot create the folder", p);
        *s = kept;
        if (st || kept == '\0')
            break;
    }
    struct stat sb;
    if (!st && (stat(path, &sb) != 0 || !S_ISDIR(sb.st_mode)))
        st = kt_fail(err, KT_E_EXISTS, "%s: exists and is not a folder", path);
    free(p);
    return st;
}

bool file_exists(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0;
}

enum kt_status file_sha256(char hex[static 65], const char *path, struct kt_error *err)
{
    int fd;
    size_t size;
    enum kt_status st = open_regular(&fd, &size, path, err);
    if (st)
        return st;
    unsigned char *step = malloc(READ_STEP);
    if (!step) {
        close(fd);
        return kt_fail(err, KT_E_NOMEM, "%s: out of memory", path);
    }
    crypto_hash_sha256_state h;
    crypto_hash_sha256_init(&h);
    for (;;) {
        ssize_t n = read(fd, step, READ_STEP);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            st = kt_fail_errno(err, errno, "%s: cannot read", path);
        if (n <= 0)
            break;
        crypto_hash_sha256_update(&h, step, (unsigned long long)n);
    }
    unsigned char digest[crypto_hash_sha256_BYTES];
    crypto_hash_sha256_final(&h, digest);
    sodium_bin2hex(hex, 65, digest, sizeof(digest));
    free(step);
    close(fd);
    return st;
}

char *path_join(const char *a, const char *b)
{
    struct buf out = { 0 };
    if (b[0] != '/') {
        buf_append_str(&out, a);
        if (out.len && out.ptr[out.len - 1] != '/')
            buf_append_char(&out, '/');
    }
    buf_append_str(&out, b);
    return buf_take(&out);
}

const char *path_base(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

const char *path_ext(const char *path)
{
    const char *base = path_base(path);
    const char *dot = strrchr(base, '.');
    return dot && dot != base ? dot : "";
}
