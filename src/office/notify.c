/* Watching folders with inotify; see notify.h. */
#include "office/notify.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/files.h"
#include "base/size.h"

enum { DEPTH_MAX = 64 };

static const uint32_t EVENTS = IN_CREATE | IN_DELETE | IN_MODIFY | IN_CLOSE_WRITE | IN_MOVED_FROM |
                               IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR |
                               IN_EXCL_UNLINK | IN_DONT_FOLLOW;

/* What others do on these is not seen by this kernel (magic numbers from statfs(2)). */
static bool is_remote(const char *path)
{
    static const uint32_t TYPES[] = {
        0x6969,     /* NFS */
        0x517B,     /* SMB */
        0xFF534D42, /* CIFS */
        0xFE534D42, /* SMB2 */
        0x65735546, /* FUSE: sshfs and others */
        0x01021997, /* 9P: shares of a virtual machine */
        0x00C36400, /* Ceph */
        0x5346414F, /* AFS */
    };
    struct statfs fs;
    if (statfs(path, &fs) != 0)
        return false;
    for (size_t i = 0; i < ARRAY_LEN(TYPES); i++)
        if ((uint32_t)fs.f_type == TYPES[i])
            return true;
    return false;
}

enum kt_status notify_open(struct notify *n, struct kt_error *err)
{
    *n = (struct notify){ .fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK) };
    return n->fd >= 0 ? KT_OK : kt_fail_errno(err, errno, "cannot watch folders (inotify)");
}

void notify_close(struct notify *n)
{
    if (n->fd >= 0)
        close(n->fd);
    n->fd = -1;
}

static void watch_tree(struct notify *n, const char *dir, int depth)
{
    if (inotify_add_watch(n->fd, dir, EVENTS) < 0) {
        n->blind |= errno == ENOSPC || errno == ENOMEM; /* a vanished folder is no loss */
        if (errno != EACCES)
            return;
    }
    DIR *d = depth < DEPTH_MAX ? opendir(dir) : NULL;
    struct dirent *e;
    while (d && (e = readdir(d))) {
        struct stat sb;
        if (e->d_name[0] == '.' || (e->d_type != DT_DIR && e->d_type != DT_UNKNOWN))
            continue;
        char *path = path_join(dir, e->d_name);
        if (!path)
            n->blind = true;
        else if (e->d_type == DT_DIR || (lstat(path, &sb) == 0 && S_ISDIR(sb.st_mode)))
            watch_tree(n, path, depth + 1);
        free(path);
    }
    if (d)
        closedir(d);
}

void notify_arm(struct notify *n, const char *const *paths, size_t n_paths)
{
    n->blind = false;
    for (size_t i = 0; i < n_paths; i++) {
        struct stat sb;
        char *real = realpath(paths[i], NULL);
        if (!real || stat(real, &sb) != 0) {
            n->blind = true; /* not there now; nothing would say that it has come */
            free(real);
            continue;
        }
        n->blind |= is_remote(real);
        if (!S_ISDIR(sb.st_mode)) { /* a file is exchanged by a rename: its folder is watched */
            char *slash = strrchr(real, '/');
            slash[slash == real] = '\0';
            if (inotify_add_watch(n->fd, real, EVENTS) < 0)
                n->blind = true;
        } else {
            watch_tree(n, real, 0);
        }
        free(real);
    }
}

static bool counts(const struct inotify_event *e)
{
    if (e->mask & IN_IGNORED)
        return false;
    return !e->len || (e->name[0] != '.' && strncmp(e->name, "~$", 2) != 0);
}

bool notify_wait(struct notify *n, int timeout_ms)
{
    struct pollfd p = { .fd = n->fd, .events = POLLIN };
    _Alignas(struct inotify_event) char buf[16384];
    bool changed = false;
    if (poll(&p, 1, timeout_ms) <= 0)
        return false;
    for (ssize_t got; (got = read(n->fd, buf, sizeof(buf))) > 0;) {
        const struct inotify_event *e;
        for (char *at = buf; at < buf + got; at += sizeof(*e) + e->len) {
            e = (const struct inotify_event *)(void *)at;
            changed |= counts(e);
        }
    }
    return changed;
}
