/* Starting and judging a locked-in process: see child.h. */
#include "sandbox/child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "base/size.h"

enum { POLL_STEP_MS = 50, EXIT_GRACE_MS = 2000, FIRST_FREE_FD = 16, READ_STEP = 64 * 1024 };

struct worker {
    pid_t pid;
    int result_fd;
    uint64_t deadline_ns;
    bool killed; /* by us */
};

/* ---- the file ------------------------------------------------------------------------------- */

static const char *kind_name(mode_t mode)
{
    return S_ISDIR(mode)    ? "a folder"
           : S_ISFIFO(mode) ? "a named pipe"
           : S_ISSOCK(mode) ? "a socket"
                            : "a device";
}

static enum kt_status check_regular(const struct stat *st, const char *path,
                                    const struct child_words *words, struct kt_error *err)
{
    if (!S_ISREG(st->st_mode))
        return kt_fail(err, KT_E_UNSUPPORTED, "%s: this is %s, expected a %s", path,
                       kind_name(st->st_mode), words->noun);
    if (st->st_size == 0)
        return kt_fail(err, KT_E_UNSUPPORTED, "%s: the file is empty; nothing to %s", path,
                       words->use);
    return KT_OK;
}

/* Looks before it opens: opening a device can do things. And after, because the name may have
 * changed hands. */
enum kt_status child_input_open(int *fd, struct stat *st, const char *path,
                                const struct child_words *words, struct kt_error *err)
{
    *fd = -1;
    if (stat(path, st) != 0)
        return kt_fail_errno(err, errno, "%s: cannot be found or looked at", path);
    enum kt_status status = check_regular(st, path, words, err);
    if (status)
        return status;
    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (*fd < 0) {
        int e = errno;
        return kt_fail_errno(err, e, "%s: cannot be opened%s", path,
                             e == EACCES ? " (ask its owner for the right to read it)" : "");
    }
    if (fstat(*fd, st) != 0)
        status = kt_fail_errno(err, errno, "%s: cannot be looked at", path);
    else
        status = check_regular(st, path, words, err);
    if (status) {
        close(*fd);
        *fd = -1;
    }
    return status;
}

/* ---- starting ------------------------------------------------------------------------------- */

/* The child's descriptors: nothing on 0 to 2, the document on 3, the pipe on 4, and no others. */
static int spawn_files(posix_spawn_file_actions_t *fa, int in_fd, int out_fd)
{
    int e = posix_spawn_file_actions_addopen(fa, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    e = e ? e : posix_spawn_file_actions_addopen(fa, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
#ifndef KT_ASAN /* a sanitizer's findings must be seen */
    e = e ? e : posix_spawn_file_actions_addopen(fa, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
#endif
    e = e ? e : posix_spawn_file_actions_adddup2(fa, in_fd, WORKER_INPUT_FD);
    e = e ? e : posix_spawn_file_actions_adddup2(fa, out_fd, WORKER_RESULT_FD);
    return e ? e : posix_spawn_file_actions_addclosefrom_np(fa, WORKER_RESULT_FD + 1);
}

static int spawn_attrs(posix_spawnattr_t *at)
{
    sigset_t all, none;
    sigfillset(&all);
    sigemptyset(&none);
    int e = posix_spawnattr_setflags(at, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF |
                                             POSIX_SPAWN_SETSIGMASK);
    e = e ? e : posix_spawnattr_setpgroup(at, 0);
    e = e ? e : posix_spawnattr_setsigdefault(at, &all);
    return e ? e : posix_spawnattr_setsigmask(at, &none);
}

static int spawn(pid_t *pid, const char *program, char *const argv[], int in_fd, int out_fd)
{
    static char path[] = "PATH=/usr/bin:/bin", locale[] = "LC_ALL=C.UTF-8";
    char *const env[] = { path, locale, NULL };
    posix_spawn_file_actions_t fa;
    posix_spawnattr_t at;
    int e = posix_spawn_file_actions_init(&fa);
    if (e)
        return e;
    e = posix_spawnattr_init(&at);
    if (!e) {
        e = spawn_files(&fa, in_fd, out_fd);
        e = e ? e : spawn_attrs(&at);
        e = e ? e : posix_spawn(pid, program, &fa, &at, argv, env);
        posix_spawnattr_destroy(&at);
    }
    posix_spawn_file_actions_destroy(&fa);
    return e;
}

/* The descriptors are moved up first: dup2 onto 3 and 4 in the child must not overwrite one
 * another. */
static int spawn_high(pid_t *pid, const char *program, char *const argv[], int in_fd, int out_fd)
{
    int in_high = fcntl(in_fd, F_DUPFD_CLOEXEC, FIRST_FREE_FD);
    int out_high = fcntl(out_fd, F_DUPFD_CLOEXEC, FIRST_FREE_FD);
    int e = in_high < 0 || out_high < 0 ? errno : spawn(pid, program, argv, in_high, out_high);
    if (in_high >= 0)
        close(in_high);
    if (out_high >= 0)
        close(out_high);
    return e;
}

static enum kt_status worker_start(struct worker *w, const struct child *c, struct kt_error *err)
{
    const char *program = c->program ? c->program : "/proc/self/exe", *name = c->name;
    *w = (struct worker){ .pid = -1, .result_fd = -1 };
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) != 0)
        return kt_fail_errno(err, errno, "%s: no pipe for the reading process", name);
    int e = spawn_high(&w->pid, program, c->argv, c->in_fd, fds[1]);
    close(fds[1]);
    if (e) {
        close(fds[0]);
        return kt_fail(err, KT_E_IO, "%s: the reading process %s could not be started: %s", name,
                       program, strerror(e));
    }
    w->result_fd = fds[0];
    fcntl(w->result_fd, F_SETFL, O_NONBLOCK);
    w->deadline_ns = clock_now_ns() + (uint64_t)c->timeout_ms * 1000000u;
    return KT_OK;
}

/* ---- waiting -------------------------------------------------------------------------------- */

/* Takes what is there. True: more may come. */
static bool result_take(int fd, struct buf *out, size_t max, bool *too_long)
{
    if (!buf_reserve(out, READ_STEP))
        return false;
    ssize_t n = read(fd, out->ptr + out->len, READ_STEP);
    if (n < 0)
        return errno == EINTR || errno == EAGAIN;
    out->len += (size_t)n;
    *too_long = out->len > max;
    return n > 0 && !*too_long;
}

static enum kt_status worker_wait(struct worker *w, const struct child *c, struct buf *out,
                                  struct kt_error *err)
{
    const char *name = c->name;
    bool too_long = false;
    for (;;) {
        if (c->cancelled && c->cancelled(c->ctx))
            return kt_fail(err, KT_E_CANCELLED, "%s: cancelled", name);
        uint64_t now = clock_now_ns();
        if (now >= w->deadline_ns)
            return kt_fail(err, KT_E_TIMEOUT,
                           "%s: reading took longer than %u s and was stopped; %s", name,
                           (c->timeout_ms + 999) / 1000, c->words->advice);
        uint64_t left_ms = (w->deadline_ns - now) / 1000000u + 1;
        struct pollfd p = { w->result_fd, POLLIN, 0 };
        int r = poll(&p, 1, (int)MIN(left_ms, (uint64_t)POLL_STEP_MS));
        if (r < 0 && errno != EINTR)
            return kt_fail_errno(err, errno, "%s: waiting for the reading process", name);
        if (r > 0 && !result_take(w->result_fd, out, c->max_result, &too_long))
            break;
    }
    if (out->failed)
        return kt_fail(err, KT_E_NOMEM, "%s: out of memory", name);
    if (too_long)
        return kt_fail(err, KT_E_FORMAT,
                       "%s: the reading process wrote more than %zu bytes; the %s is hostile", name,
                       c->max_result, c->words->noun);
    return KT_OK;
}

/* Give a worker that has closed its pipe a moment to end by itself, then end its whole group. 0
 * when the status is not to be had (somebody else reaped it). */
static int worker_end(struct worker *w, bool at_once)
{
    uint64_t until = clock_now_ns() + (uint64_t)EXIT_GRACE_MS * 1000000u;
    siginfo_t info = { 0 };
    while (!at_once && clock_now_ns() < until) {
        info.si_pid = 0;
        if (waitid(P_PID, (id_t)w->pid, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid)
            break;
        nanosleep(&(struct timespec){ 0, 500000 }, NULL);
    }
    w->killed = !info.si_pid;
    kill(-w->pid, SIGKILL);
    int status = 0;
    pid_t r;
    do
        r = waitpid(w->pid, &status, 0);
    while (r < 0 && errno == EINTR);
    close(w->result_fd);
    return r == w->pid ? status : 0;
}

/* No result, or a broken one: the way it ended says why. */
static enum kt_status judge_end(const struct worker *w, int status, const struct child *c,
                                struct kt_error *err)
{
    const char *name = c->name, *noun = c->words->noun;
    if (w->killed)
        return kt_fail(
            err, KT_E_FORMAT,
            "%s: the reading process closed its pipe without a result; the %s is damaged "
            "or hostile",
            name, noun);
    int sig = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    switch (sig) {
    case 0:
        return kt_fail(
            err, KT_E_FORMAT,
            "%s: the reading process ended (status %d) without a whole result; the %s is "
            "damaged or hostile, or %s is not this program",
            name, WEXITSTATUS(status), noun, c->program ? c->program : "/proc/self/exe");
    case SIGSYS:
        return kt_fail(
            err, KT_E_FORMAT,
            "%s: while reading it, the process tried what no reader does and was stopped; "
            "treat the %s as hostile",
            name, noun);
    case SIGXCPU:
        return kt_fail(err, KT_E_TIMEOUT, "%s: reading used up its processor time (%u s); %s", name,
                       (c->timeout_ms + 999) / 1000, c->words->split);
    case SIGKILL:
        return kt_fail(err, KT_E_LIMIT,
                       "%s: the system killed the reading process, most likely for want of memory; "
                       "close other programs and try again",
                       name);
    default:
        return kt_fail(
            err, KT_E_FORMAT,
            "%s: the reading process crashed on it (signal %d) and was contained; the %s "
            "is damaged or hostile",
            name, sig, noun);
    }
}

enum kt_status child_run(struct buf *out, const struct child *c, struct kt_error *err)
{
    struct worker w;
    enum kt_status st = worker_start(&w, c, err);
    if (st)
        return st;
    st = worker_wait(&w, c, out, err);
    int status = worker_end(&w, st != KT_OK);
    if (st)
        return st;
    return c->is_whole(buf_span(out)) ? KT_OK : judge_end(&w, status, c, err);
}

/* ---- the worker's side ---------------------------------------------------------------------- */

/* Also when the parent died before we could ask for that: then nobody reads the pipe. */
bool worker_parent_is_there(void)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    struct pollfd p = { WORKER_RESULT_FD, POLLOUT, 0 };
    return poll(&p, 1, 0) >= 0 && !(p.revents & (POLLERR | POLLNVAL));
}

bool worker_send(struct span s)
{
    while (s.len) {
        ssize_t n = write(WORKER_RESULT_FD, s.ptr, s.len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        s = span_sub(s, (size_t)n, s.len);
    }
    return true;
}

bool worker_number(const char *s, uint64_t max, uint64_t *out)
{
    char *end;
    errno = 0;
    unsigned long long v = strtoull(s, &end, 10);
    *out = v;
    return *s >= '0' && *s <= '9' && *end == '\0' && errno == 0 && v <= max;
}
