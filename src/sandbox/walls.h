/* sandbox/walls.h: the walls around a process that reads something hostile.
 *
 * Two kinds of process, two sets of walls. A parser holds the file in memory and needs nothing but the
 * descriptors it was started with. A program of somebody else's must be loaded: it may read its
 * libraries and the tables named to us, execute itself, and nothing else.
 *
 * A process locks itself in, for good, after it has prepared what it needs from outside and before it
 * has seen a byte of the file. */
#ifndef SANDBOX_WALLS_H
#define SANDBOX_WALLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum walls_kind { WALLS_PARSER, WALLS_PROGRAM };

struct walls {
    enum walls_kind kind;
    uint32_t cpu_s;      /* 0: no limit */
    size_t memory_bytes; /* 0: no limit */
    /* of a program */
    const char
        *program; /* the one that may be executed; the pointer itself is part of the filter */
    const char *const *readable; /* files and folders it reads besides libraries; ends with NULL */
    bool threads;                /* it may start threads */
    int reopen_fd; /* a descriptor it opens again by name, for reading; 0: none. Where we are root and
                      only root may read that file, the program stays root, without capabilities. */
    bool reopen_out; /* it opens its standard output, a pipe, again by name, for writing. Only Landlock keeps it from
                        creating files then: without it the walls do not go up. */
    const char *folder; /* one of its own, where it may write, make, rename and remove files, and listen to itself by a local
                           socket; NULL: none. Needs Landlock, like reopen_out. */
};
struct walls_state { /* what stands now */
    int landlock_abi;
    bool own_network;
};
struct walls_failure {
    int step, errnum;
};

/* Single-threaded processes only. False: *why says at which step; the process must then not go on. */
bool walls_up(const struct walls *w, struct walls_state *state, struct walls_failure *why);

#endif
