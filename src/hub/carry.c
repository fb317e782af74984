/* Copying with a hash, for export and import. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "hub/carry_priv.h"

void carrier_say(const struct carrier *c, const char *fmt, ...)
{
    char text[KT_ERROR_TEXT_MAX];
    va_list ap;
    if (!c->w || !c->w->say)
        return;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    c->w->say(c->w->ctx, text);
}

enum kt_status carry_fail_write(int errnum, const char *path, struct kt_error *err)
{
    if (errnum == EFBIG)
        return kt_fail(err, KT_E_NOSPACE,
                       "%s: that disk takes no file as large as this; FAT32 ends at 4 GB, exFAT "
                       "and NTFS do not",
                       path);
    return kt_fail_errno(err, errnum, "%s: cannot write", path);
}

static enum kt_status write_all(int fd, const unsigned char *p, size_t n, const char *name,
                                struct kt_error *err)
{
    while (n) {
        ssize_t did = write(fd, p, n);
        if (did < 0 && errno == EINTR)
            continue;
        if (did < 0)
            return carry_fail_write(errno, name, err);
        p += did;
        n -= (size_t)did;
    }
    return KT_OK;
}

enum kt_status carry_bytes(struct carrier *c, int in, const char *in_name, int out,
                           const char *out_name, uint64_t n, struct hasher *h, struct kt_error *err)
{
    enum { STEP = 1 << 20 };
    unsigned char *step = malloc(STEP);
    enum kt_status st = step ? KT_OK : kt_fail(err, KT_E_NOMEM, "out of memory");
    while (!st && n > 0) {
        ssize_t got = read(in, step, n < STEP ? (size_t)n : STEP);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            st = kt_fail_errno(err, errno, "%s: cannot read", in_name);
        else if (got == 0)
            st = kt_fail(err, KT_E_FORMAT, "%s: ends too early; was it copied whole?", in_name);
        if (st)
            break;
        hasher_add(h, step, (size_t)got);
        if (out >= 0)
            st = write_all(out, step, (size_t)got, out_name, err);
        n -= (uint64_t)got;
        c->done += (uint64_t)got;
        if (!st && c->w && c->w->on_bytes && c->w->on_bytes(c->w->ctx, c->done, c->total, c->file))
            st = kt_fail(err, KT_E_CANCELLED, "stopped");
    }
    free(step);
    return st;
}

enum kt_status carry_open(int *fd, uint64_t *bytes, const char *path, struct kt_error *err)
{
    struct stat sb;
    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (*fd < 0)
        return kt_fail_errno(err, errno, "%s: cannot open", path);
    if (fstat(*fd, &sb) == 0 && S_ISREG(sb.st_mode)) {
        *bytes = (uint64_t)sb.st_size;
        return KT_OK;
    }
    close(*fd);
    *fd = -1;
    return kt_fail(err, KT_E_UNSUPPORTED, "%s: not a regular file", path);
}

enum kt_status carry_room(const char *dir, uint64_t bytes, struct kt_error *err)
{
    struct statvfs fs;
    if (statvfs(dir, &fs) != 0)
        return kt_fail_errno(err, errno, "%s: cannot ask for its free space", dir);
    uint64_t room = (uint64_t)fs.f_bavail * fs.f_frsize;
    if (room >= bytes)
        return KT_OK;
    return kt_fail(err, KT_E_NOSPACE, "%s: %.2f GB are needed, %.2f GB are free", dir,
                   (double)bytes / 1e9, (double)room / 1e9);
}
