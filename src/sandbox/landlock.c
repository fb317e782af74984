/* sandbox/landlock.c: see landlock.h. */
#include "sandbox/landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

struct landlock_path {
    uint64_t allowed;
    int32_t fd;
} __attribute__((packed));

#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_add_rule       445
#define SYS_landlock_restrict_self  446
#endif

int landlock_abi(void)
{
    long abi = syscall(SYS_landlock_create_ruleset, NULL, (size_t)0, 1u /* ask for the version */);
    return abi > 0 ? (int)abi : 0;
}

struct landlock_attr landlock_all(int abi)
{
    struct landlock_attr a = { .fs = LL_FS_V1 };
    if (abi >= 2)
        a.fs |= LL_FS_REFER;
    if (abi >= 3)
        a.fs |= LL_FS_TRUNCATE;
    if (abi >= 4)
        a.net = LL_NET_TCP;
    if (abi >= 5)
        a.fs |= LL_FS_IOCTL_DEV;
    if (abi >= 6)
        a.scoped = LL_SCOPE_SOCKET_SIGNAL;
    return a;
}

/* Files that live in memory only are not Landlock's business, and not its kind. */
bool landlock_allow_fd(int ruleset, int fd, uint64_t rights)
{
    struct stat st;
    bool dir = fstat(fd, &st) == 0 && S_ISDIR(st.st_mode);
    struct landlock_path rule = { dir ? rights : rights & ~(uint64_t)LL_READ_DIR, fd };
    return syscall(SYS_landlock_add_rule, ruleset, 1 /* path beneath */, &rule, 0u) == 0 ||
           errno == EBADFD;
}

bool landlock_allow(int ruleset, const char *path, uint64_t rights)
{
    int fd = open(path, O_PATH | O_CLOEXEC);
    if (fd < 0)
        return true;
    bool ok = landlock_allow_fd(ruleset, fd, rights);
    close(fd);
    return ok;
}

int landlock_begin(const struct landlock_attr *attr)
{
    return (int)syscall(SYS_landlock_create_ruleset, attr, sizeof(*attr), 0u);
}

bool landlock_end(int ruleset, bool ok)
{
    ok = ok && syscall(SYS_landlock_restrict_self, ruleset, 0u) == 0;
    int e = errno;
    close(ruleset);
    errno = e;
    return ok;
}
