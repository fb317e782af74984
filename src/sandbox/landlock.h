/* sandbox/landlock.h: the kernel's Landlock, by number: Debian 12's headers know only its first version.
 *
 * A ruleset says which kinds of access it handles, allows some of them beneath some paths, and then binds this thread and
 * what it starts from then on, for good. */
#ifndef SANDBOX_LANDLOCK_H
#define SANDBOX_LANDLOCK_H

#include <stdbool.h>
#include <stdint.h>

struct landlock_attr {
    uint64_t fs, net, scoped;
};

enum {
    LL_EXECUTE = 1 << 0,
    LL_WRITE_FILE = 1 << 1,
    LL_READ_FILE = 1 << 2,
    LL_READ_DIR = 1 << 3,
    LL_FS_V1 = (1 << 13) - 1,   /* everything version 1 can forbid  */
    LL_FS_REFER = 1 << 13,      /* version 2: links between folders */
    LL_FS_TRUNCATE = 1 << 14,   /* version 3                        */
    LL_FS_IOCTL_DEV = 1 << 15,  /* version 5                        */
    LL_NET_CONNECT = 2,         /* version 4                        */
    LL_NET_TCP = 3,             /* version 4: bind and connect      */
    LL_SCOPE_SOCKET_SIGNAL = 3, /* version 6                        */
};

/* The version this kernel has; 0: none. */
int landlock_abi(void);
/* Everything that version can forbid. */
struct landlock_attr landlock_all(int abi);
/* A ruleset, or -1. */
int landlock_begin(const struct landlock_attr *attr);
bool landlock_allow_fd(int ruleset, int fd, uint64_t rights);
/* A path that is not there needs no permission. */
bool landlock_allow(int ruleset, const char *path, uint64_t rights);
/* Bind this thread if 'ok', and close the ruleset. errno is kept. */
bool landlock_end(int ruleset, bool ok);

#endif
