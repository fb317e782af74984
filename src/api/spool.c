/* api/spool.c: see spool.h. */
#include "api/spool.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
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

static void remove_folder(const char *dir)
{
    DIR *d = opendir(dir);
    struct dirent *e;
    while (d && (e = readdir(d)))
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            unlinkat(dirfd(d), e->d_name, 0);
    if (d)
        closedir(d);
    rmdir(dir);
}

void spool_remove(struct spool *s)
{
    if (s->dir[0])
        remove_folder(s->dir);
    free(s->path);
    *s = (struct spool){ 0 };
}

void spool_sweep(void)
{
    DIR *d = opendir("/dev/shm");
    struct dirent *e;
    while (d && (e = readdir(d))) {
        struct stat sb;
        char path[300];
        long pid = 0;
        if (sscanf(e->d_name, "kontor-%ld-", &pid) != 1 || pid <= 1 || kill((pid_t)pid, 0) == 0 ||
            errno != ESRCH || fstatat(dirfd(d), e->d_name, &sb, AT_SYMLINK_NOFOLLOW) ||
            !S_ISDIR(sb.st_mode) || sb.st_uid != geteuid())
            continue;
        snprintf(path, sizeof(path), "/dev/shm/%s", e->d_name);
        remove_folder(path);
    }
    if (d)
        closedir(d);
}
