/* The parent's side: open the file, start a worker for it, wait, judge what comes back.
 *
 *   extract_file: stat, open (so that a vanished file is our clear error) -> detect.c ->
 * worker_start
 *       -> worker_wait (poll; timeout, cancellation) -> worker_end (kills the group, reaps) ->
 * wire.c
 *
 * Worth knowing:
 *  - The worker is started with posix_spawn, which is safe while other threads run: nothing of ours
 * executes between fork and exec.
 *  - It leads a process group of its own, and ending a worker always kills the group, so that
 * pdftotext never outlives it. The group is killed before the leader is reaped: until then its
 * number cannot be reused.
 *  - A complete result that checks out is taken whatever the exit status is; otherwise the status
 * tells the cause: the filter (SIGSYS), the time (SIGXCPU), the memory, a crash. */
#include "extract/extract_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
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

struct settings { /* the options with their defaults filled in */
    const char *path;
    uint32_t timeout_ms;
    size_t memory_bytes, output_bytes;
    bool (*cancelled)(void *ctx);
    void *ctx;
};

void document_deinit(struct document *d)
{
    free(d->text);
    free(d->blocks);
    free(d->title);
    *d = (struct document){ 0 };
}

static struct settings settings_of(const struct extract_options *o)
{
    static const struct extract_options defaults;
    if (!o)
        o = &defaults;
    return (struct settings){
        .path = o->worker_path ? o->worker_path : "/proc/self/exe",
        .timeout_ms = o->timeout_ms ? o->timeout_ms : EXTRACT_TIMEOUT_MS,
        .memory_bytes = o->memory_bytes ? o->memory_bytes : EXTRACT_MEMORY_BYTES,
        .output_bytes = o->output_bytes ? o->output_bytes : EXTRACT_OUTPUT_BYTES,
        .cancelled = o->cancelled,
        .ctx = o->ctx,
    };
}

/* ---- the file ------------------------------------------------------------------------------- */

static const char *kind_name(mode_t mode)
{
    return S_ISDIR(mode)    ? "a folder"
           : S_ISFIFO(mode) ? "a named pipe"
           : S_ISSOCK(mode) ? "a socket"
                            : "a device";
}

static enum kt_status check_regular(const struct stat *st, const char *path, struct kt_error *err)
{
    if (!S_ISREG(st->st_mode))
        return kt_fail(err, KT_E_UNSUPPORTED, "%s: this is %s, expected a document", path,
                       kind_name(st->st_mode));
    if (st->st_size == 0)
        return kt_fail(err, KT_E_UNSUPPORTED, "%s: the file is empty; nothing to index", path);
    return KT_OK;
}

/* Looks before it opens: opening a device can do things. And after, because the name may have
 * changed hands. */
static enum kt_status input_open(int *fd, struct stat *st, const char *path, struct kt_error *err)
{
    *fd = -1;
    if (stat(path, st) != 0)
        return kt_fail_errno(err, errno, "%s: cannot be found or looked at", path);
    enum kt_status status = check_regular(st, path, err);
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
        status = check_regular(st, path, err);
    if (status) {
        close(*fd);
        *fd = -1;
    }
    return status;
}

static enum kt_status input_detect(enum doc_format *out, int fd, const struct stat *st,
                                   const char *path, struct kt_error *err)
{
    char head[DETECT_HEAD_BYTES];
    ssize_t n = pread(fd, head, sizeof(head), 0);
    if (n < 0)
        return kt_fail_errno(err, errno, "%s: cannot be read", path);
    if (n == 0)
        return kt_fail(err, KT_E_UNSUPPORTED, "%s: the file is empty; nothing to index", path);
    const char *why_not;
    *out = detect_format((struct span){ head, (size_t)n }, path, &why_not);
    if (*out == DOC_UNKNOWN)
        return kt_fail(err, KT_E_UNSUPPORTED,
                       "%s: this is %s; text, Markdown, HTML, PDF and Word (.docx) are read", path,
                       why_not);
    if (*out != DOC_PDF &&
        (uint64_t)st->st_size > INPUT_MAX_BYTES) /* before anything is read of it */
        return refusal_fail(err, path,
                            &(struct refusal){ REASON_FILE_TOO_LARGE, INPUT_MAX_BYTES, 0 });
    return KT_OK;
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

static enum kt_status worker_start(struct worker *w, const struct settings *s, char *const argv[],
                                   int in_fd, const char *name, struct kt_error *err)
{
    *w = (struct worker){ .pid = -1, .result_fd = -1 };
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) != 0)
        return kt_fail_errno(err, errno, "%s: no pipe for the reading process", name);
    int e = spawn_high(&w->pid, s->path, argv, in_fd, fds[1]);
    close(fds[1]);
    if (e) {
        close(fds[0]);
        return kt_fail(err, KT_E_IO, "%s: the reading process %s could not be started: %s", name,
                       s->path, strerror(e));
    }
    w->result_fd = fds[0];
    fcntl(w->result_fd, F_SETFL, O_NONBLOCK);
    w->deadline_ns = clock_now_ns() + (uint64_t)s->timeout_ms * 1000000u;
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

static enum kt_status worker_wait(struct worker *w, const struct settings *s, struct buf *out,
                                  const char *name, struct kt_error *err)
{
    size_t max = wire_max_bytes(s->output_bytes);
    bool too_long = false;
    for (;;) {
        if (s->cancelled && s->cancelled(s->ctx))
            return kt_fail(err, KT_E_CANCELLED, "%s: cancelled", name);
        uint64_t now = clock_now_ns();
        if (now >= w->deadline_ns)
            return kt_fail(
                err, KT_E_TIMEOUT,
                "%s: reading took longer than %u s and was stopped; split the document, or "
                "print it to a new PDF",
                name, (s->timeout_ms + 999) / 1000);
        uint64_t left_ms = (w->deadline_ns - now) / 1000000u + 1;
        struct pollfd p = { w->result_fd, POLLIN, 0 };
        int r = poll(&p, 1, (int)MIN(left_ms, (uint64_t)POLL_STEP_MS));
        if (r < 0 && errno != EINTR)
            return kt_fail_errno(err, errno, "%s: waiting for the reading process", name);
        if (r > 0 && !result_take(w->result_fd, out, max, &too_long))
            break;
    }
    if (out->failed)
        return kt_fail(err, KT_E_NOMEM, "%s: out of memory", name);
    if (too_long)
        return kt_fail(err, KT_E_FORMAT,
                       "%s: the reading process wrote more than %zu bytes; the document is hostile",
                       name, max);
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
static enum kt_status judge_end(const struct worker *w, int status, const struct settings *s,
                                const char *name, struct kt_error *err)
{
    if (w->killed)
        return kt_fail(
            err, KT_E_FORMAT,
            "%s: the reading process closed its pipe without a result; the document is damaged "
            "or hostile",
            name);
    int sig = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    switch (sig) {
    case 0:
        return kt_fail(
            err, KT_E_FORMAT,
            "%s: the reading process ended (status %d) without a whole result; the document is "
            "damaged or hostile, or %s is not this program",
            name, WEXITSTATUS(status), s->path);
    case SIGSYS:
        return kt_fail(
            err, KT_E_FORMAT,
            "%s: while reading it, the process tried what no reader does and was stopped; "
            "treat the document as hostile",
            name);
    case SIGXCPU:
        return kt_fail(err, KT_E_TIMEOUT,
                       "%s: reading used up its processor time (%u s); split the document", name,
                       (s->timeout_ms + 999) / 1000);
    case SIGKILL:
        return kt_fail(
            err, KT_E_LIMIT,
            "%s: the system killed the reading process, most likely for want of memory; close "
            "other programs and try again",
            name);
    default:
        return kt_fail(
            err, KT_E_FORMAT,
            "%s: the reading process crashed on it (signal %d) and was contained; the document "
            "is damaged or hostile",
            name, sig);
    }
}

/* ---- the result ----------------------------------------------------------------------------- */

static enum kt_status result_bad(const char *name, const char *what, struct kt_error *err)
{
    return kt_fail(
        err, KT_E_FORMAT,
        "%s: the reading process sent a result with a wrong %s; the document is hostile, or the "
        "program is not of one version",
        name, what);
}

/* KT_E_INTERNAL without a message means: not a whole result, ask how the worker ended. */
static enum kt_status result_document(struct document *out, struct span in, enum doc_format format,
                                      const struct settings *s, const char *name,
                                      struct kt_error *err)
{
    const char *what;
    if (!wire_get_document(in, s->output_bytes, out, &what))
        return result_bad(name, what, err);
    if (out->format != format) {
        document_deinit(out);
        return result_bad(name, "format", err);
    }
    return KT_OK;
}

static enum kt_status result_refusal(struct span in, const char *name, struct kt_error *err)
{
    struct refusal r;
    const char *what;
    if (!wire_get_refusal(in, &r, &what))
        return result_bad(name, what, err);
    return refusal_fail(err, name, &r);
}

static bool is_whole(struct span in)
{
    return span_ends(in, SPAN("KTXE"));
}

/* Start, wait, end. On KT_OK 'out' holds a message that begins and ends like one of ours. */
static enum kt_status worker_run(struct buf *out, const struct settings *s, char *const argv[],
                                 int in_fd, const char *name, struct kt_error *err)
{
    struct worker w;
    enum kt_status st = worker_start(&w, s, argv, in_fd, name, err);
    if (st)
        return st;
    st = worker_wait(&w, s, out, name, err);
    int status = worker_end(&w, st != KT_OK);
    if (st)
        return st;
    enum wire_kind kind;
    if (is_whole(buf_span(out)) && wire_kind_of(buf_span(out), &kind))
        return KT_OK;
    return judge_end(&w, status, s, name, err);
}

static enum kt_status extract_open(struct document *out, int fd, enum doc_format format,
                                   const struct settings *s, const char *name, struct kt_error *err)
{
    char command[] = "extract-worker";
    char args[4][24];
    snprintf(args[0], sizeof(args[0]), "%d", (int)format);
    snprintf(args[1], sizeof(args[1]), "%zu", s->output_bytes);
    snprintf(args[2], sizeof(args[2]), "%zu", s->memory_bytes);
    snprintf(args[3], sizeof(args[3]), "%u", s->timeout_ms / 1000 + 1);
    char program[] = "kontor";
    char *const argv[] = { program, command, args[0], args[1], args[2], args[3], NULL };

    struct buf result = { 0 };
    enum kt_status st = worker_run(&result, s, argv, fd, name, err);
    enum wire_kind kind = WIRE_REPORT;
    if (!st)
        wire_kind_of(buf_span(&result), &kind);
    if (!st && kind == WIRE_DOCUMENT)
        st = result_document(out, buf_span(&result), format, s, name, err);
    else if (!st && kind == WIRE_REFUSAL)
        st = result_refusal(buf_span(&result), name, err);
    else if (!st)
        st = result_bad(name, "kind", err);
    buf_deinit(&result);
    return st;
}

enum kt_status extract_file(struct document *out, const char *path,
                            const struct extract_options *opts, struct kt_error *err)
{
    *out = (struct document){ 0 };
    struct settings s = settings_of(opts);
    int fd;
    struct stat st;
    enum kt_status status = input_open(&fd, &st, path, err);
    if (status)
        return status;
    enum doc_format format;
    status = input_detect(&format, fd, &st, path, err);
    if (!status)
        status = extract_open(out, fd, format, &s, path, err);
    close(fd);
    return status;
}

enum kt_status extract_sandbox_report(struct extract_sandbox_report *out,
                                      const struct extract_options *opts, struct kt_error *err)
{
    *out = (struct extract_sandbox_report){ 0 };
    struct settings s = settings_of(opts);
    char program[] = "kontor", command[] = "extract-worker", self_test[] = "--self-test";
    char *const argv[] = { program, command, self_test, NULL };
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return kt_fail_errno(err, errno, "/dev/null: cannot be opened");
    struct buf result = { 0 };
    enum kt_status st = worker_run(&result, &s, argv, fd, "sandbox", err);
    close(fd);
    const char *what;
    if (!st && !wire_get_report(buf_span(&result), out, &what))
        st = result_bad("sandbox", what, err);
    for (size_t i = 0; !st && i < out->n_probes; i++)
        out->probes[i].name = sandbox_probe_names[i];
    buf_deinit(&result);
    return st;
}
