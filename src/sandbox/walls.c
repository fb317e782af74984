/* The walls: see walls.h.
 *
 *                             parser                        program
 *   limits (rlimit)           processor time, memory, no file may grow, few descriptors, no core file
 *   user                      never root: nobody, and no capability left; no new privileges by any exec
 *   network (namespace)       an empty one, where the kernel lets us make it
 *   files (Landlock)          none                          read: libraries, its tables
 *   execution (Landlock)      none                          itself and the loader
 *   system calls (seccomp)    memory, read, write, exit;    the same and opening for reading, executing
 *                             the rest fails, and those     once; the rest fails
 *                             of an attack kill
 *
 * seccomp is required: without it nothing is read. Landlock (Linux 5.13) and the namespaces are used
 * when they are there; `kontor doctor` says what is.
 *
 * Under the sanitizers the limit on memory is left out: their shadows reserve terabytes. */
#include "sandbox/walls.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <link.h>
#include <linux/capability.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/compiler.h"
#include "base/size.h"
#include "sandbox/landlock.h"

#if defined(KT_ASAN) || defined(__SANITIZE_THREAD__)
#define SHADOW_MEMORY 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define SHADOW_MEMORY 1
#endif
#endif

/* Where putting up the walls failed; the number goes into the message. */
enum step { STEP_LIMITS = 1, STEP_USER, STEP_PRIVILEGES, STEP_LANDLOCK, STEP_SECCOMP };

static bool fail(struct walls_failure *why, enum step step, int errnum)
{
    *why = (struct walls_failure){ step, errnum };
    return false;
}

/* ---- limits --------------------------------------------------------------------------------- */

static bool limit(int what, rlim_t soft, rlim_t hard)
{
    struct rlimit now;
    if (getrlimit((__rlimit_resource_t)what, &now) != 0)
        return false;
    hard = MIN(hard, now.rlim_max);
    struct rlimit r = { MIN(soft, hard), hard };
    return setrlimit((__rlimit_resource_t)what, &r) == 0;
}

/* The largest file a program may make in its folder. */
#define FOLDER_FILE_BYTES ((rlim_t)512 * 1024 * 1024)

static bool limits_up(const struct walls *w)
{
    rlim_t file = w->folder ? FOLDER_FILE_BYTES : 0, descriptors = w->folder ? 512 : 64;
    bool ok = limit(RLIMIT_CORE, 0, 0) && limit(RLIMIT_FSIZE, file, file) &&
              limit(RLIMIT_NOFILE, descriptors, descriptors);
    if (w->cpu_s) /* at the soft limit SIGXCPU, which names the cause; a second later SIGKILL */
        ok = ok && limit(RLIMIT_CPU, w->cpu_s, w->cpu_s + 1);
#ifndef SHADOW_MEMORY
    if (w->memory_bytes)
        ok = ok && limit(RLIMIT_AS, w->memory_bytes, w->memory_bytes);
#endif
    return ok;
}

/* ---- user and namespaces -------------------------------------------------------------------- */

enum { NOBODY = 65534 };

/* An empty network of our own: as root directly, else through a user namespace. Not every kernel or
 * container permits it; seccomp forbids sockets anyway. */
static bool network_away(void)
{
    int spaces = CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS;
    return unshare(spaces) == 0 || unshare(CLONE_NEWUSER | spaces) == 0;
}

/* Would nobody be shut out of the file that is opened again? */
static bool must_stay(const struct walls *w)
{
    struct stat st;
    return w->reopen_fd > 0 && fstat(w->reopen_fd, &st) == 0 && !(st.st_mode & S_IROTH);
}

/* A pipe belongs to who made it, and is opened again as who we become. */
static bool pipe_open_to_all(void)
{
    struct stat st;
    if (fstat(STDOUT_FILENO, &st) == 0 && S_ISFIFO(st.st_mode))
        return fchmod(STDOUT_FILENO, S_IWUSR | S_IWGRP | S_IWOTH) == 0;
    errno = EINVAL; /* anything else would not be ours alone */
    return false;
}

static bool user_down(const struct walls *w)
{
    if (w->reopen_out && !pipe_open_to_all())
        return false;
    if (geteuid() == 0 && !must_stay(w)) {
        /* may fail where the container maps no other user: then root without capabilities */
        if (setgroups(0, NULL) == 0 && setresgid(NOBODY, NOBODY, NOBODY) == 0 &&
            setresuid(NOBODY, NOBODY, NOBODY) != 0)
            return false;
    }
    struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
    struct __user_cap_data_struct none[2] = { { 0 }, { 0 } };
    return syscall(SYS_capset, &head, none) == 0;
}

/* ---- Landlock ------------------------------------------------------------------------------- */

/* The dynamic loader, as our own program names it: the kernel opens it to execute any other
 * program. */
static const char *loader_path(void)
{
    const ElfW(Phdr) *ph = (const ElfW(Phdr) *)getauxval(AT_PHDR);
    size_t n = getauxval(AT_PHNUM);
    uintptr_t base = 0;
    const char *interp = NULL;
    for (size_t i = 0; ph && i < n; i++)
        if (ph[i].p_type == PT_PHDR)
            base = (uintptr_t)ph - ph[i].p_vaddr;
    for (size_t i = 0; ph && i < n; i++)
        if (ph[i].p_type == PT_INTERP)
            interp = (const char *)(base + ph[i].p_vaddr);
    return interp;
}

static bool landlock_allow_program(int ruleset, const struct walls *w)
{
    static const char *const libraries[] = {
        "/lib",           "/lib64",           "/usr/lib",  "/usr/lib64",
        "/usr/local/lib", "/etc/ld.so.cache", "/dev/null",
    };
    bool ok = landlock_allow(ruleset, w->program, LL_READ_FILE | LL_EXECUTE);
    const char *loader = loader_path();
    if (loader)
        ok = ok && landlock_allow(ruleset, loader, LL_READ_FILE | LL_EXECUTE);
    for (size_t i = 0; i < ARRAY_LEN(libraries); i++)
        ok = ok && landlock_allow(ruleset, libraries[i], LL_READ_FILE | LL_READ_DIR);
    if (w->reopen_fd > 0)
        ok = ok && landlock_allow_fd(ruleset, w->reopen_fd, LL_READ_FILE);
    if (w->folder)
        ok = ok && landlock_allow(ruleset, w->folder,
                                  landlock_all(landlock_abi()).fs &
                                      ~(uint64_t)(LL_EXECUTE | LL_FS_IOCTL_DEV));
    for (const char *const *path = w->readable; path && *path; path++)
        ok = ok && landlock_allow(ruleset, *path, LL_READ_FILE | LL_READ_DIR);
    return ok;
}

static bool landlock_up(const struct walls *w, int *abi)
{
    *abi = landlock_abi();
    if (*abi == 0) {
        errno = ENOSYS;
        return !w->reopen_out && !w->folder;
    }
    struct landlock_attr a = landlock_all(*abi);
    int ruleset = landlock_begin(&a);
    if (ruleset < 0)
        return false;
    bool ok = w->kind != WALLS_PROGRAM || landlock_allow_program(ruleset, w);
    return landlock_end(ruleset, ok);
}

/* ---- seccomp -------------------------------------------------------------------------------- */

/* What memory, reading, writing and ending need, in glibc of 2022 to 2026, with and without
 * sanitizers. */
static const int calls_common[] = {
    SCMP_SYS(read),
    SCMP_SYS(write),
    SCMP_SYS(readv),
    SCMP_SYS(writev),
    SCMP_SYS(pread64),
    SCMP_SYS(lseek),
    SCMP_SYS(fstat),
    SCMP_SYS(close),
    SCMP_SYS(munmap),
    SCMP_SYS(mremap),
    SCMP_SYS(madvise),
    SCMP_SYS(brk),
    SCMP_SYS(futex),
    SCMP_SYS(exit),
    SCMP_SYS(exit_group),
    SCMP_SYS(rt_sigreturn),
    SCMP_SYS(rt_sigaction),
    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(sigaltstack),
    SCMP_SYS(getpid),
    SCMP_SYS(gettid),
    SCMP_SYS(clock_gettime),
    SCMP_SYS(gettimeofday),
    SCMP_SYS(getrandom),
    SCMP_SYS(poll),
    SCMP_SYS(ppoll),
    SCMP_SYS(wait4),
    SCMP_SYS(sched_yield),
    SCMP_SYS(restart_syscall),
    SCMP_SYS(getrusage),
    SCMP_SYS(sched_getaffinity),
};

/* What loading and running a program needs on top. Opening is for reading only, see below. */
static const int calls_program[] = {
    SCMP_SYS(stat),
    SCMP_SYS(lstat),
    SCMP_SYS(newfstatat),
    SCMP_SYS(statx),
    SCMP_SYS(fstatfs),
    SCMP_SYS(statfs),
    SCMP_SYS(readlink),
    SCMP_SYS(readlinkat),
    SCMP_SYS(getdents64),
    SCMP_SYS(getcwd),
    SCMP_SYS(getuid),
    SCMP_SYS(geteuid),
    SCMP_SYS(getgid),
    SCMP_SYS(getegid),
    SCMP_SYS(arch_prctl),
    SCMP_SYS(set_tid_address),
    SCMP_SYS(set_robust_list),
    SCMP_SYS(rseq),
    SCMP_SYS(uname),
    SCMP_SYS(sysinfo),
    SCMP_SYS(dup),
    SCMP_SYS(mmap),
    SCMP_SYS(mprotect),
};

/* What a program with a folder of its own does there, and with its own threads. It may not connect: sockets of others have
 * names in the file system, which Landlock does not guard. */
static const int calls_folder[] = {
    SCMP_SYS(mkdir),     SCMP_SYS(mkdirat),  SCMP_SYS(rmdir),        SCMP_SYS(unlink),
    SCMP_SYS(unlinkat),  SCMP_SYS(rename),   SCMP_SYS(renameat),     SCMP_SYS(renameat2),
    SCMP_SYS(ftruncate), SCMP_SYS(pwrite64), SCMP_SYS(fsync),        SCMP_SYS(fdatasync),
    SCMP_SYS(flock),     SCMP_SYS(fchmod),   SCMP_SYS(utimensat),    SCMP_SYS(fallocate),
    SCMP_SYS(fadvise64), SCMP_SYS(eventfd2), SCMP_SYS(pipe2),        SCMP_SYS(dup2),
    SCMP_SYS(dup3),      SCMP_SYS(getppid),  SCMP_SYS(nanosleep),    SCMP_SYS(clock_nanosleep),
    SCMP_SYS(pselect6),  SCMP_SYS(select),   SCMP_SYS(listen),       SCMP_SYS(accept),
    SCMP_SYS(accept4),   SCMP_SYS(bind),     SCMP_SYS(shutdown),     SCMP_SYS(getsockname),
    SCMP_SYS(times),     SCMP_SYS(mincore),  SCMP_SYS(clock_getres), SCMP_SYS(fcntl),
};

/* A parser that tries one of these is not a parser any more. */
static const int calls_fatal[] = {
    SCMP_SYS(execve),  SCMP_SYS(execveat),
    SCMP_SYS(fork),    SCMP_SYS(vfork),
    SCMP_SYS(clone),   SCMP_SYS(clone3),
    SCMP_SYS(socket),  SCMP_SYS(connect),
    SCMP_SYS(ptrace),  SCMP_SYS(process_vm_readv),
    SCMP_SYS(mount),   SCMP_SYS(process_vm_writev),
    SCMP_SYS(unshare), SCMP_SYS(setns),
    SCMP_SYS(bpf),     SCMP_SYS(io_uring_setup),
};

static bool allow_list(scmp_filter_ctx ctx, uint32_t action, const int *calls, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        int rc = seccomp_rule_add(ctx, action, calls[i], 0);
        if (rc != 0 && rc != -EDOM) /* EDOM: this machine has no such call */
            return false;
    }
    return true;
}

#define ALL_BITS UINT64_MAX

/* Allow 'call' where argument 'arg', masked, equals 'value'. */
static bool allow_if(scmp_filter_ctx ctx, int call, unsigned arg, uint64_t mask, uint64_t value)
{
    struct scmp_arg_cmp cond = {
        .arg = arg, .op = SCMP_CMP_MASKED_EQ, .datum_a = mask, .datum_b = value
    };
    return seccomp_rule_add_array(ctx, SCMP_ACT_ALLOW, call, 1, &cond) == 0;
}

/* Memory, but never executable; a signal, but only to itself (abort); a limit, but only looked at.
 */
static bool allow_parser(scmp_filter_ctx ctx)
{
    return allow_if(ctx, SCMP_SYS(mmap), 2, PROT_EXEC, 0) &&
           allow_if(ctx, SCMP_SYS(mprotect), 2, PROT_EXEC, 0) &&
           /* fstat() of newer libraries; with an empty path it names only what is open */
           allow_if(ctx, SCMP_SYS(newfstatat), 3, AT_EMPTY_PATH, AT_EMPTY_PATH);
}

/* Threads of its own, by the old call whose flags the filter can see; of the new one glibc is told that
 * there is none. */
static bool allow_threads(scmp_filter_ctx ctx)
{
    return allow_if(ctx, SCMP_SYS(clone), 0, CLONE_THREAD, CLONE_THREAD) &&
           seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0) == 0;
}

/* May a file be read, is it there? A program with a folder does not hear that any may be written: LibreOffice would put its
 * socket into /tmp, where the walls stop it, instead of the folder. */
static bool allow_asking(scmp_filter_ctx ctx, bool has_folder)
{
    uint64_t mask = has_folder ? W_OK : 0;
    return allow_if(ctx, SCMP_SYS(access), 1, mask, 0) &&
           allow_if(ctx, SCMP_SYS(faccessat), 2, mask, 0) &&
           allow_if(ctx, SCMP_SYS(faccessat2), 2, mask, 0);
}

/* Only local sockets. */
static bool allow_folder(scmp_filter_ctx ctx)
{
    return allow_list(ctx, SCMP_ACT_ALLOW, calls_folder, ARRAY_LEN(calls_folder)) &&
           allow_if(ctx, SCMP_SYS(socket), 0, ALL_BITS, AF_UNIX) &&
           allow_if(ctx, SCMP_SYS(socketpair), 0, ALL_BITS, AF_UNIX);
}

static bool allow_program(scmp_filter_ctx ctx, const struct walls *w)
{
    enum { WRITING = O_WRONLY | O_RDWR | O_CREAT | O_TRUNC | O_APPEND };
    return allow_list(ctx, SCMP_ACT_ALLOW, calls_program, ARRAY_LEN(calls_program)) &&
           allow_asking(ctx, w->folder != NULL) && (!w->threads || allow_threads(ctx)) &&
           (!w->folder || allow_folder(ctx)) &&
           allow_if(ctx, SCMP_SYS(openat), 2, w->reopen_out || w->folder ? 0 : WRITING, 0) &&
           allow_if(ctx, SCMP_SYS(execve), 0, ALL_BITS, (uintptr_t)w->program);
}

static int seccomp_up(const struct walls *w)
{
    scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    if (!ctx)
        return ENOMEM;
    pid_t self = getpid();
    bool ok = allow_list(ctx, SCMP_ACT_ALLOW, calls_common, ARRAY_LEN(calls_common)) &&
              allow_if(ctx, SCMP_SYS(tgkill), 0, ALL_BITS, (uint64_t)self) &&
              allow_if(ctx, SCMP_SYS(prlimit64), 2, ALL_BITS, 0) &&
              allow_if(ctx, SCMP_SYS(fcntl), 1, ALL_BITS, F_GETFL);
    if (w->kind == WALLS_PROGRAM)
        ok = ok && allow_program(ctx, w);
    else
        ok = ok && allow_parser(ctx) &&
             allow_list(ctx, SCMP_ACT_KILL_PROCESS, calls_fatal, ARRAY_LEN(calls_fatal));
    int rc = ok ? seccomp_load(ctx) : -EINVAL;
    seccomp_release(ctx);
    return -rc;
}

/* ---- all of it ------------------------------------------------------------------------------ */

/* The order matters: namespaces while there is the right to, then the user, then Landlock, which
 * needs files, and the filter, after which none of this is possible. */
bool walls_up(const struct walls *w, struct walls_state *state, struct walls_failure *why)
{
    *state = (struct walls_state){ .own_network = network_away() };
    if (!limits_up(w))
        return fail(why, STEP_LIMITS, errno);
    if (!user_down(w))
        return fail(why, STEP_USER, errno);
    /* Changing the user clears the wish to die with the parent, so it comes after. */
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
        return fail(why, STEP_PRIVILEGES, errno);
    if (!landlock_up(w, &state->landlock_abi))
        return fail(why, STEP_LANDLOCK, errno);
    int e = seccomp_up(w);
    return e == 0 ? true : fail(why, STEP_SECCOMP, e);
}
