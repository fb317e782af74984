/* Attempts to break out of the walls, for `kontor doctor`: what src/sandbox promises, tried on this
 * machine in child processes. */
#include "extract/extract_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "extract/ocr.h"
#include "sandbox/walls.h"

const char *const sandbox_probe_names[SANDBOX_PROBES] = {
    "parser: open a file for reading",
    "parser: create a file",
    "parser: open a socket",
    "parser: connect a socket it was given",
    "parser: execute a program",
    "parser: start a process",
    "parser: trace its parent",
    "parser: signal its parent",
    "parser: truncate a file by name",
    "parser: make memory executable",
    "pdftotext: open a file that is not its own",
    "pdftotext: create a file",
    "pdftotext: open a socket",
    "pdftotext: execute another program",
    "pdfdetach: create a file",
    "pdfdetach: write to a file that is there",
    "LibreOffice: create a file outside its folder",
    "LibreOffice: speak to another program",
};

static char probe_program[64]; /* the pointer the filter knows; its content changes after the walls
                                  are up */

static bool attempt(size_t i, int sock)
{
    struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = 9 };
    const struct sockaddr_un local = { .sun_family = AF_UNIX, .sun_path = "/run/systemd/notify" };
    static char name[] = "/bin/true";
    char *const argv[] = { name, NULL };
    switch (i) {
    case 0:
    case 10:
        return open("/etc/passwd", O_RDONLY) >= 0;
    case 1:
    case 11:
    case 14:
    case 16:
        return open("/tmp/kontor-probe", O_WRONLY | O_CREAT, 0600) >= 0;
    case 2:
    case 12:
        return socket(AF_INET, SOCK_STREAM, 0) >= 0;
    case 3:
        return connect(sock, (struct sockaddr *)&sa, sizeof(sa)) == 0 || errno != EPERM;
    case 4:
        return execve(name, argv, NULL) == 0;
    case 5:
        return fork() >= 0;
    case 6:
        return ptrace(PTRACE_ATTACH, getppid(), NULL, NULL) == 0;
    case 7:
        return kill(getppid(), 0) == 0;
    case 8:
        return truncate("/tmp/kontor-probe", 0) == 0 || (errno != EPERM && errno != EACCES);
    case 9:
        return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) !=
               MAP_FAILED;
    case 15:
        return open("/dev/full", O_WRONLY) >= 0;
    case 17:
        sock = socket(AF_UNIX, SOCK_STREAM, 0);
        return connect(sock, (const struct sockaddr *)&local, sizeof(local)) == 0 || errno != EPERM;
    default:
        memcpy(probe_program, name, sizeof(name));
        return execve(probe_program, argv, NULL) == 0; /* on success the exit status is true's: 0 */
    }
}

/* Exit status 0 means it got out; 1 that it was denied, as does death by the filter. */
static bool probe_denied(size_t i)
{
    int sock = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool reopen_out = i == 14 || i == 15, has_folder = i >= 16;
    pid_t pid = fork();
    if (pid == 0) {
        int fds[2];
        if (reopen_out && (pipe(fds) != 0 || dup2(fds[1], STDOUT_FILENO) < 0))
            _exit(0);
        struct walls w = {
            .kind = i < 10 ? WALLS_PARSER : WALLS_PROGRAM,
            .program = probe_program,
            .readable = pdf_readable,
            .reopen_out = reopen_out,
            .threads = has_folder,
            .folder = has_folder ? "/nonexistent" : NULL,
        };
        struct walls_state state;
        struct walls_failure why;
        if (!walls_up(&w, &state, &why))
            _exit(i >= 14 ? 1 : 2); /* without Landlock these programs are never started */
        _exit(attempt(i, sock) ? 0 : 1);
    }
    if (sock >= 0)
        close(sock);
    int status;
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        return false;
    return (WIFEXITED(status) && WEXITSTATUS(status) == 1) ||
           (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
}

void sandbox_probe(struct extract_sandbox_report *out)
{
    const char *program = pdf_program();
    *out = (struct extract_sandbox_report){ .n_probes = SANDBOX_PROBES,
                                            .pdf_reader = program != NULL,
                                            .ocr = ocr_program() != NULL };
    strncpy(probe_program, program ? program : "/usr/bin/pdftotext", sizeof(probe_program) - 1);
    for (size_t i = 0; i < SANDBOX_PROBES; i++) {
        out->probes[i].name = sandbox_probe_names[i];
        out->probes[i].denied = probe_denied(i);
    }
    struct walls w = { .kind = WALLS_PARSER };
    struct walls_state state;
    struct walls_failure why;
    out->seccomp = walls_up(&w, &state, &why);
    out->landlock_abi = state.landlock_abi;
    out->own_network = state.own_network;
}
