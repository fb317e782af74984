/* PDF, read by poppler's pdftotext in a process of its own.
 *
 * The worker forks before it has read a byte: the child puts up the walls for pdftotext and becomes
 * it, the worker puts up the walls for a parser and reads the child's output from a pipe (bbox.c).
 * Neither can start anything else. pdftotext is GPL and stays a separate program; it gets the
 * document as an open descriptor, so it never learns its name. */
#include "extract/extract_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/size.h"
#include "sandbox/child.h"
#include "sandbox/walls.h"

enum { ERRORS_KEPT = 16 * 1024 };

const char *const pdf_readable[] = { "/etc/fonts", "/usr/share/fonts", "/usr/share/poppler",
                                     "/usr/share/fontconfig", NULL };

const char *pdf_program(void)
{
    static const char *const places[] = { "/usr/bin/pdftotext", "/usr/local/bin/pdftotext",
                                          "/bin/pdftotext" };
    for (size_t i = 0; i < ARRAY_LEN(places); i++)
        if (access(places[i], X_OK) == 0)
            return places[i];
    return NULL;
}

/* In the child. Exit status 127: the walls or the program failed. */
static _Noreturn void become_pdftotext(const struct walls *w, int out_fd, int err_fd)
{
    if (dup2(out_fd, STDOUT_FILENO) < 0 || dup2(err_fd, STDERR_FILENO) < 0)
        _exit(127);
    close(WORKER_RESULT_FD);
    fcntl(WORKER_INPUT_FD, F_SETFD, 0);
    signal(SIGPIPE, SIG_DFL); /* an ignored one would be inherited */
    char name[] = "pdftotext", enc[] = "-enc", utf8[] = "UTF-8", layout[] = "-bbox-layout";
    char input[] = "fd://3", output[] = "-"; /* 3: WORKER_INPUT_FD */
    char locale[] = "LC_ALL=C.UTF-8", home[] = "HOME=/nonexistent", zone[] = "TZ=UTC";
    char *const argv[] = { name, enc, utf8, layout, input, output, NULL };
    char *const env[] = { locale, home, zone, NULL };
    struct walls_state state;
    struct walls_failure why;
    if (walls_up(w, &state, &why))
        execve(w->program, argv, env);
    _exit(127);
}

bool pdf_start(struct pdf_reader *p, const struct walls *w, struct refusal *why)
{
    *p = (struct pdf_reader){ .pid = -1, .out_fd = -1, .err_fd = -1 };
    if (!w->program) {
        *why = (struct refusal){ REASON_PDF_MISSING, 0, 0 };
        return false;
    }
    int out[2], errs[2];
    if (pipe2(out, O_CLOEXEC) != 0 || pipe2(errs, O_CLOEXEC) != 0) {
        *why = (struct refusal){ REASON_INTERNAL, 1, (uint64_t)errno };
        return false;
    }
    p->pid = fork();
    if (p->pid == 0)
        become_pdftotext(w, out[1], errs[1]);
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

/* Both streams at once, so that a chatty stderr cannot block pdftotext. */
static void streams_take(struct pdf_reader *p, struct bbox *x, struct builder *b,
                         struct buf *errors)
{
    static char step[64 * 1024];
    struct pollfd fds[2] = { { p->out_fd, POLLIN, 0 }, { p->err_fd, POLLIN, 0 } };
    while (fds[0].fd >= 0 || fds[1].fd >= 0) {
        if (poll(fds, 2, -1) < 0 && errno != EINTR) {
            builder_refuse(b, REASON_INTERNAL, 3, (uint64_t)errno);
            return;
        }
        size_t n;
        if (fds[0].fd >= 0 && fds[0].revents) {
            if (!take(fds[0].fd, step, sizeof(step), &n))
                fds[0].fd = -1;
            else if (!bbox_feed(x, (struct span){ step, n }, false))
                return; /* refused; closing our end stops pdftotext */
        }
        if (fds[1].fd >= 0 && fds[1].revents) {
            if (!take(fds[1].fd, step, sizeof(step), &n))
                fds[1].fd = -1;
            buf_append(errors, step, MIN(n, ERRORS_KEPT - MIN(errors->len, (size_t)ERRORS_KEPT)));
        }
    }
}

enum reason pdf_complaint(struct span errors)
{
    static const struct {
        struct span says;
        enum reason reason;
    } known[] = {
        { SPAN("Incorrect password"), REASON_PDF_PASSWORD },
        { SPAN("Unsupported security handler"), REASON_PDF_PASSWORD },
        { SPAN("Unsupported version/revision"), REASON_PDF_PASSWORD },
        { SPAN("Copying of text from this document is not allowed"), REASON_PDF_COPYING },
        { SPAN("Out of memory"), REASON_NOMEM },
        { SPAN("bad_alloc"), REASON_NOMEM },
        { SPAN("Bogus memory allocation"), REASON_NOMEM },
    };
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (span_find(errors, known[i].says, 0) != SIZE_MAX)
            return known[i].reason;
    return REASON_PDF_DAMAGED;
}

static void judge_end(struct builder *b, int status, struct span errors)
{
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return;
    enum reason complaint = pdf_complaint(errors);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
        builder_refuse(b, REASON_INTERNAL, 4, 0);
    else if (WIFEXITED(status))
        builder_refuse(b, complaint, (uint64_t)WEXITSTATUS(status), 0);
    else if (WTERMSIG(status) == SIGXCPU || WTERMSIG(status) == SIGKILL)
        builder_refuse(b, REASON_PDF_CPU, 0, 0);
    else if (WTERMSIG(status) == SIGABRT && complaint == REASON_NOMEM)
        builder_refuse(b, REASON_NOMEM, 0, 0);
    else
        builder_refuse(b, REASON_PDF_CRASH, (uint64_t)WTERMSIG(status), 0);
}

void pdf_pump(struct pdf_reader *p, struct builder *b)
{
    struct buf errors = { 0 };
    struct bbox *x = bbox_create(b);
    if (x)
        streams_take(p, x, b, &errors);
    else
        builder_refuse(b, REASON_NOMEM, 0, 0);
    close(p->out_fd);
    close(p->err_fd);

    int status = 0;
    pid_t r;
    do
        r = waitpid((pid_t)p->pid, &status, 0);
    while (r < 0 && errno == EINTR);
    if (r < 0)
        builder_refuse(b, REASON_INTERNAL, 5, (uint64_t)errno);
    else
        judge_end(b, status, buf_span(&errors)); /* how it ended explains output that breaks off */
    if (x && builder_ok(b) && bbox_feed(x, (struct span){ 0 }, true))
        bbox_finish(x);
    bbox_destroy(x);
    buf_deinit(&errors);
}
