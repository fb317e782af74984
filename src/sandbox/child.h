/* sandbox/child.h: the parent's side of a locked-in process: open a hostile file, start a worker for
 * it, wait, judge how it ended.
 *
 * The worker is a program (this one, as a rule) started with arguments that make it read descriptor 3,
 * write its result to descriptor 4 and lock itself in before it reads (walls.h). It knows the file by
 * its descriptor only. Worth knowing:
 *  - It is started with posix_spawn, which is safe while other threads run: nothing of ours executes
 *    between fork and exec.
 *  - It leads a process group of its own, and ending a worker always kills the group, so that a program
 *    it started never outlives it. The group is killed before the leader is reaped: until then its
 *    number cannot be reused.
 *  - A complete result is taken whatever the exit status is; otherwise the status tells the cause: the
 *    filter (SIGSYS), the time (SIGXCPU), the memory, a crash. */
#ifndef SANDBOX_CHILD_H
#define SANDBOX_CHILD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/span.h"
#include "base/status.h"

enum { WORKER_INPUT_FD = 3, WORKER_RESULT_FD = 4 };

/* How messages speak of what is read. */
struct child_words {
    const char *noun;   /* "document"                                      */
    const char *use;    /* "index": an empty file is "nothing to index"    */
    const char *advice; /* what to do about one that takes too long        */
    const char *split;  /* the same in short, when the processor time is up */
};

struct child {
    const char *program; /* NULL: /proc/self/exe */
    char *const *argv;
    int in_fd;
    const char *name; /* the file's, for messages */
    const struct child_words *words;
    uint32_t timeout_ms;
    size_t max_result;                    /* bytes */
    bool (*is_whole)(struct span result); /* begins and ends like a result */
    bool (*cancelled)(void *ctx);         /* asked while waiting; may be NULL */
    void *ctx;
};

/* Open a regular file that is not empty, looking before and after. *fd is the caller's to close. */
KT_MUST_CHECK enum kt_status child_input_open(int *fd, struct stat *st, const char *path,
                                              const struct child_words *words,
                                              struct kt_error *err);

/* Start, wait, end. On KT_OK 'out' holds a whole result, of which nothing has been checked but its
 * ends. Thread-safe. */
KT_MUST_CHECK enum kt_status child_run(struct buf *out, const struct child *c,
                                       struct kt_error *err);

/* The worker's side: has the parent's pipe a reader? Arranges to die with the parent. */
bool worker_parent_is_there(void);
/* Write to the result's descriptor; false when nobody reads. */
bool worker_send(struct span s);
/* A whole number of at most 'max', written in digits. */
bool worker_number(const char *s, uint64_t max, uint64_t *out);

#endif
