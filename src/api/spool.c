/* api/spool.c: see spool.h. */
#include "api/spool.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/files.h"

enum kt_status spool_write(struct spool *s, const char *name, struct span bytes,
                           struct kt_error *err)
{
    if (!s->dir[0]) {
        snprintf(s->dir, sizeof(s->dir), "/dev/shm/kontor-%ld-XXXXXX", (long)getpid());
        if (!mkdtemp(s->dir)) {
            s->dir[0] = 0;
            return kt_fail_errno(err, errno, "/dev/shm: no folder for what was sent");
        }
    }
    free(s->path);
    s->path = path_join(s->dir, name);
    if (!s->path)
        return kt_fail(err, KT_E_NOMEM, "out of memory");
    int fd = open(s->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return kt_fail_errno(err, errno, "/dev/shm: no file for what was sent");
    enum kt_status st = file_write_fd(fd, bytes.ptr, bytes.len, "what was sent", err);
    close(fd);
    return st;
}

void spool_remove(struct spool *s)
{
    DIR *d = s->dir[0] ? opendir(s->dir) : NULL;
    struct dirent *e;
    while (d && (e = readdir(d)))
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            unlinkat(dirfd(d), e->d_name, 0);
    if (d)
        closedir(d);
    if (s->dir[0])
        rmdir(s->dir);
    free(s->path);
    *s = (struct spool){ 0 };
}
