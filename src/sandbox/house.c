/* The wall around a server: see house.h.
 *
 * A filter of system calls (seccomp), which the kernel applies to every thread and every child and which nobody can
 * take off again. Everything is allowed but
 *
 *   socket, connect, bind          no new way out, of any family: a local service could pass things on
 *   socketpair                     connected streams only (the inner end of TLS): datagrams could be readdressed
 *   sendto                         only without an address
 *   sendmsg, sendmmsg              not with MSG_FASTOPEN, which connects; what is left to name is the other end
 *   io_uring                       does all of the above without being seen here
 *   ptrace, process_vm_writev, pidfd_getfd    another process of this user has no wall: its hands and its sockets
 *   setns                          another process' network
 *
 * All that remains to write to are connections that others made, files, and the service manager's socket, which was
 * connected before. Calls of the other instruction sets of the processor (32 bit) end the process. */
#include "sandbox/house.h"

#include <errno.h>
#include <seccomp.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/compiler.h"
#include "base/size.h"
#include "sandbox/landlock.h"

static const int calls_outwards[] = {
    SCMP_SYS(socket),      SCMP_SYS(connect), SCMP_SYS(bind), SCMP_SYS(process_vm_writev),
    SCMP_SYS(pidfd_getfd), SCMP_SYS(setns),
#ifndef KT_ASAN /* which looks for leaks by tracing its own threads */
    SCMP_SYS(ptrace),
#endif
};
/* Libraries take this answer for an older kernel and go on without. */
static const int calls_ring[] = { SCMP_SYS(io_uring_setup), SCMP_SYS(io_uring_enter),
                                  SCMP_SYS(io_uring_register) };

enum { FASTOPEN = 0x20000000, TYPE_MASK = 0xF };

static bool deny(scmp_filter_ctx ctx, int errnum, const int *calls, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        int rc = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(errnum), calls[i], 0);
        if (rc != 0 && rc != -EDOM) /* EDOM: this machine has no such call */
            return false;
    }
    return true;
}

static bool deny_where(scmp_filter_ctx ctx, int call, struct scmp_arg_cmp where)
{
    return seccomp_rule_add_array(ctx, SCMP_ACT_ERRNO(EACCES), call, 1, &where) == 0;
}

static bool deny_addresses(scmp_filter_ctx ctx)
{
    struct scmp_arg_cmp fastopen = { 2, SCMP_CMP_MASKED_EQ, FASTOPEN, FASTOPEN };
    struct scmp_arg_cmp fastopen_many = { 3, SCMP_CMP_MASKED_EQ, FASTOPEN, FASTOPEN };
    bool ok = deny_where(ctx, SCMP_SYS(sendto), (struct scmp_arg_cmp){ 4, SCMP_CMP_NE, 0, 0 }) &&
              deny_where(ctx, SCMP_SYS(sendto),
                         (struct scmp_arg_cmp){ 3, SCMP_CMP_MASKED_EQ, FASTOPEN, FASTOPEN }) &&
              deny_where(ctx, SCMP_SYS(sendmsg), fastopen) &&
              deny_where(ctx, SCMP_SYS(sendmmsg), fastopen_many);
    /* of the sixteen values that a type can have, all but one */
    for (unsigned type = 0; type <= TYPE_MASK && ok; type++)
        if (type != SOCK_STREAM)
            ok = deny_where(ctx, SCMP_SYS(socketpair),
                            (struct scmp_arg_cmp){ 1, SCMP_CMP_MASKED_EQ, TYPE_MASK, type });
    return ok;
}

static int filter_up(void)
{
    scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);
    if (!ctx)
        return ENOMEM;
    bool ok = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_TSYNC, 1) == 0 &&
              deny(ctx, EACCES, calls_outwards, ARRAY_LEN(calls_outwards)) &&
              deny(ctx, ENOSYS, calls_ring, ARRAY_LEN(calls_ring)) && deny_addresses(ctx);
    int rc = ok ? seccomp_load(ctx) : -EINVAL;
    seccomp_release(ctx);
    return -rc;
}

/* Would the kernel still do it? The descriptor is none, so a call that is let through fails with another error. */
static bool holds(void)
{
    errno = 0;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0) {
        close(fd);
        return false;
    }
    struct sockaddr none = { .sa_family = AF_UNSPEC };
    return errno == EACCES && connect(-1, &none, sizeof(none)) < 0 && errno == EACCES;
}

enum kt_status house_wall_up(struct kt_error *err)
{
    int e = filter_up();
    if (e)
        return kt_fail_errno(err, e,
                             "the kernel does not let this process forbid itself outgoing "
                             "connections (seccomp); a kernel with seccomp is needed to serve");
    if (!holds())
        return kt_fail(err, KT_E_UNSUPPORTED,
                       "the wall against outgoing connections was put up but does not hold; a "
                       "kernel whose seccomp works is needed to serve");
    return KT_OK;
}

/* ---- where it may write ---------------------------------------------------------------------- */

enum kt_status house_writes_up(const char *const *folders, int *abi, struct kt_error *err)
{
    *abi = landlock_abi();
    if (*abi < 2)
        return KT_OK;
    struct landlock_attr a = landlock_all(*abi);
    a.fs &= ~(uint64_t)(LL_EXECUTE | LL_READ_FILE | LL_READ_DIR | LL_FS_IOCTL_DEV);
    a.net &= LL_NET_CONNECT;
    a.scoped = 0; /* the workers are this process' children, and are ended by it */
    int ruleset = landlock_begin(&a);
    bool ok = ruleset >= 0;
    for (const char *const *folder = folders; *folder && ok; folder++)
        ok = landlock_allow(ruleset, *folder, a.fs);
    ok = ok && landlock_allow(ruleset, "/dev/null", LL_WRITE_FILE);
    ok = ok && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0;
    if (ruleset < 0 || !landlock_end(ruleset, ok))
        return kt_fail_errno(err, errno,
                             "the kernel has Landlock but does not let this process forbid itself "
                             "to write elsewhere");
    return KT_OK;
}
