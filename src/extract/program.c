/* Starting a program behind walls, and reading what it writes; see program.h. */
#include "extract/program.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/size.h"
#include "sandbox/child.h"

enum { ERRORS_KEPT = 16 * 1024 };

const char *program_find(const char *const *places)
{
    for (; *places; places++)
        if (access(*places, X_OK) == 0)
            return *places;
    return NULL;
}

/* In the child. Exit status 127: the walls or the program failed. */
static _Noreturn void become(const struct walls *w, char *const argv[], int in_fd, int out_fd,
                             int err_fd)
{
    if (dup2(out_fd, STDOUT_FILENO) < 0 || dup2(err_fd, STDERR_FILENO) < 0)
        _exit(127);
    if (in_fd >= 0 && dup2(in_fd, STDIN_FILENO) < 0)
        _exit(127);
    close(WORKER_RESULT_FD);
    fcntl(WORKER_INPUT_FD, F_SETFD, in_fd >= 0 ? FD_CLOEXEC : 0);
    signal(SIGPIPE, SIG_DFL); /* an ignored one would be inherited */
    char locale[] = "LC_ALL=C.UTF-8", home[] = "HOME=/nonexistent", zone[] = "TZ=UTC";
    char temp[96], office_home[96], svp[] = "SAL_USE_VCLPLUGIN=svp",
                                    arenas[] = "MALLOC_ARENA_MAX=2";
    char threads[] = "OMP_THREAD_LIMIT=1"; /* what recognises text would start some */
    snprintf(temp, sizeof(temp), "TMPDIR=%s", w->folder ? w->folder : "");
    snprintf(office_home, sizeof(office_home), "HOME=%s", w->folder ? w->folder : "");
    char *const plain[] = { locale, home, zone, threads, NULL };
    char *const with_folder[] = { locale, office_home, temp, zone, svp, arenas, NULL };
    char *const *env = w->folder ? with_folder : plain;
    struct walls_state state;
    struct walls_failure why;
    if (walls_up(w, &state, &why))
        execve(w->program, argv, env);
    _exit(127);
}

bool program_start(struct program_run *p, const struct walls *w, char *const argv[], int in_fd,
                   bool quiet, struct refusal *why)
{
    *p = (struct program_run){ .pid = -1, .out_fd = -1, .err_fd = -1 };
    int out[2], errs[2] = { -1, -1 };
    if (quiet)
        errs[1] = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (pipe2(out, O_CLOEXEC) != 0 || (quiet ? errs[1] < 0 : pipe2(errs, O_CLOEXEC) != 0)) {
        *why = (struct refusal){ REASON_INTERNAL, 1, (uint64_t)errno };
        return false;
    }
    p->pid = fork();
    if (p->pid == 0)
        become(w, argv, in_fd, out[1], errs[1]);
    close(out[1]);
    close(errs[1]);
    p->out_fd = out[0];
    p->err_fd = errs[0];
    if (p->pid < 0)
        *why = (struct refusal){ REASON_INTERNAL, 2, (uint64_t)errno };
    return p->pid > 0;
}

/* One read of whatever has come; false at the end of the stream. */
static bool take(int fd, char *step, size_t size, size_t *n)
{
    ssize_t r;
    do
        r = read(fd, step, size);
    while (r < 0 && errno == EINTR);
    *n = r > 0 ? (size_t)r : 0;
    return r > 0;
}

/* Both streams at once, so that a chatty stderr cannot block the program. */
static bool streams_take(struct program_run *p, struct builder *b, program_fn fn, void *ctx,
                         struct buf *errors)
{
    static char step[64 * 1024];
    struct pollfd fds[2] = { { p->out_fd, POLLIN, 0 }, { p->err_fd, POLLIN, 0 } };
    while (fds[0].fd >= 0 || fds[1].fd >= 0) {
        if (poll(fds, 2, -1) < 0 && errno != EINTR)
            return builder_refuse(b, REASON_INTERNAL, 3, (uint64_t)errno);
        size_t n;
        if (fds[0].fd >= 0 && fds[0].revents) {
            if (!take(fds[0].fd, step, sizeof(step), &n))
                fds[0].fd = -1;
            else if (!fn(ctx, (struct span){ step, n }))
                return true; /* refused; closing our end stops the program */
        }
        if (fds[1].fd >= 0 && fds[1].revents) {
            if (!take(fds[1].fd, step, sizeof(step), &n))
                fds[1].fd = -1;
            buf_append(errors, step, MIN(n, ERRORS_KEPT - MIN(errors->len, (size_t)ERRORS_KEPT)));
        }
    }
    return true;
}

bool program_pump(struct program_run *p, struct builder *b, program_fn fn, void *ctx,
                  struct buf *errors, int *status)
{
    bool ok = streams_take(p, b, fn, ctx, errors);
    close(p->out_fd);
    if (p->err_fd >= 0)
        close(p->err_fd);
    pid_t r;
    do
        r = waitpid((pid_t)p->pid, status, 0);
    while (r < 0 && errno == EINTR);
    return r < 0 ? builder_refuse(b, REASON_INTERNAL, 5, (uint64_t)errno) : ok;
}
