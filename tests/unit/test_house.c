/* The wall around a server: what it must forbid and what it must leave.
 *
 * Each case runs in a child that has a listening socket, a connection, and a second thread from before the wall, and
 * then tries one way out. All of them worked in the child before: the same attempts are made without the wall, and
 * must succeed, or the case would show nothing. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/compiler.h"
#include "base/size.h"
#include "sandbox/house.h"

static struct around {
    int listener, client, accepted; /* TCP on loopback */
    int datagram[2];                /* local, connected */
    int service;                    /* a local datagram socket that is somebody else's */
    struct sockaddr_in address;
    struct sockaddr_un service_address;
} a;

static void surroundings(void)
{
    socklen_t len = sizeof(a.address);
    a.address =
        (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    a.listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(a.listener, (struct sockaddr *)&a.address, len), 0);
    assert_int_equal(listen(a.listener, 128), 0);
    assert_int_equal(getsockname(a.listener, (struct sockaddr *)&a.address, &len), 0);
    a.client = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(a.client, (struct sockaddr *)&a.address, sizeof(a.address)), 0);
    a.accepted = accept(a.listener, NULL, NULL);
    assert_true(a.accepted >= 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM, 0, a.datagram), 0);
    static int n;
    a.service_address = (struct sockaddr_un){ .sun_family = AF_UNIX };
    snprintf(a.service_address.sun_path + 1, sizeof(a.service_address.sun_path) - 1,
             "kontor-house-%ld-%d", (long)getpid(), n++);
    a.service = socket(AF_UNIX, SOCK_DGRAM, 0);
    assert_int_equal(
        bind(a.service, (struct sockaddr *)&a.service_address, sizeof(a.service_address)), 0);
}

/* ---- ways out: 0 when it worked --------------------------------------------------------------- */

static int result(long rc)
{
    return rc >= 0 ? 0 : errno;
}

static int tcp(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    return fd < 0 ? errno : result(connect(fd, (struct sockaddr *)&a.address, sizeof(a.address)));
}

static int udp(void)
{
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    return fd < 0 ? errno
                  : result(sendto(fd, "x", 1, 0, (struct sockaddr *)&a.address, sizeof(a.address)));
}

static int six(void)
{
    return result(socket(AF_INET6, SOCK_DGRAM, 0));
}

static int local_socket(void)
{
    return result(socket(AF_UNIX, SOCK_STREAM, 0));
}

/* A connection that somebody made is turned into one to somewhere else. */
static int again(void)
{
    struct sockaddr none = { .sa_family = AF_UNSPEC };
    if (connect(a.accepted, &none, sizeof(none)))
        return errno;
    return result(connect(a.accepted, (struct sockaddr *)&a.address, sizeof(a.address)));
}

static int datagrams(void)
{
    int pair[2];
    return result(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair));
}

static int seqpackets(void)
{
    int pair[2];
    return result(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair));
}

/* A connected local datagram socket may name another receiver. */
static int readdressed(void)
{
    return result(sendto(a.datagram[0], "x", 1, 0, (struct sockaddr *)&a.service_address,
                         sizeof(a.service_address)));
}

static int ring(void)
{
    struct {
        uint32_t words[30];
    } params = { 0 };
    return result(syscall(SYS_io_uring_setup, 1, &params));
}

static int into_another(void)
{
    char byte = 1;
    struct iovec here = { &byte, 1 }, there = { &byte, 1 };
    return result(syscall(SYS_process_vm_writev, getpid(), &here, 1, &there, 1, 0));
}

#ifndef KT_ASAN
/* The hands of a process without the wall; here one of its own children plays it. */
static int traced(void)
{
    pid_t pid = fork();
    if (pid == 0) {
        pause();
        _exit(0);
    }
    int e = result(syscall(SYS_ptrace, 0x4206 /* PTRACE_SEIZE */, pid, 0, 0));
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    return e;
}
#endif

/* A program it starts, here the shell, has the wall around it, too. */
static int by_a_program(void)
{
    char command[128];
    snprintf(command, sizeof(command), "exec 2>/dev/null 3<>/dev/tcp/127.0.0.1/%u",
             (unsigned)ntohs(a.address.sin_port));
    pid_t pid = fork();
    if (pid == 0) {
        execl("/bin/bash", "bash", "-c", command, (char *)NULL);
        _exit(127);
    }
    int status = 0;
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static const struct {
    const char *name;
    int (*try)(void);
    bool may_lack; /* without the wall it works only on some kernels */
} WAYS[] = {
    { "TCP", tcp, false },
    { "UDP", udp, false },
    { "IPv6", six, true },
    { "a local socket", local_socket, false },
    { "an accepted connection, turned around", again, false },
    { "a pair of datagram sockets", datagrams, false },
    { "a pair of sequenced packet sockets", seqpackets, false },
    { "another receiver", readdressed, false },
    { "io_uring", ring, true },
    { "another process' memory", into_another, false },
#ifndef KT_ASAN /* needs it itself */
    { "tracing another process", traced, true },
#endif
    { "a program", by_a_program, false },
};

/* ---- with and without the wall ---------------------------------------------------------------- */

struct early {
    pthread_barrier_t barrier;
    int (*try)(void);
    int error;
};

/* A thread that was there before the wall. */
static void *early_main(void *ctx)
{
    struct early *e = ctx;
    pthread_barrier_wait(&e->barrier);
    e->error = e->try();
    return NULL;
}

static int attempt(int (*try)(void), bool wall)
{
    int out[2];
    assert_int_equal(pipe(out), 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct early e = { .try = try };
        pthread_t thread;
        pthread_barrier_init(&e.barrier, NULL, 2);
        pthread_create(&thread, NULL, early_main, &e);
        struct kt_error err;
        int errors[2] = { -1, -1 };
        if (!wall || house_wall_up(&err) == KT_OK) {
            pthread_barrier_wait(&e.barrier);
            pthread_join(thread, NULL);
            errors[0] = e.error;
            errors[1] = wall ? try() : e.error;
        }
        _exit(write(out[1], errors, sizeof(errors)) == (ssize_t)sizeof(errors) ? 0 : 1);
    }
    close(out[1]);
    int errors[2] = { -2, -2 };
    assert_int_equal(read(out[0], errors, sizeof(errors)), sizeof(errors));
    close(out[0]);
    waitpid(pid, NULL, 0);
    assert_int_equal(errors[0], errors[1]);
    return errors[0];
}

static void test_ways_out(void **state)
{
    (void)state;
    surroundings();
    for (size_t i = 0; i < ARRAY_LEN(WAYS); i++) {
        int open = attempt(WAYS[i].try, false), shut = attempt(WAYS[i].try, true);
        if (open != 0 && !WAYS[i].may_lack)
            fail_msg("%s: failed without the wall, too (%d): nothing was tried", WAYS[i].name,
                     open);
        if (shut != EACCES && shut != ENOSYS && !(WAYS[i].try == by_a_program && shut == 1))
            fail_msg("%s: %d with the wall, expected EACCES", WAYS[i].name, shut);
    }
}

/* What a server does all day. */
static int serve_somebody(void)
{
    char byte = 0;
    int pair[2];
    int fd = accept(a.listener, NULL, NULL);
    struct iovec v = { &byte, 1 };
    struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1 };
    if (fd < 0 || recv(fd, &byte, 1, 0) != 1 || send(fd, &byte, 1, MSG_NOSIGNAL) != 1 ||
        sendmsg(fd, &m, MSG_NOSIGNAL) != 1 ||
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
        return errno ? errno : -3;
    if (write(pair[0], "x", 1) != 1 || send(a.datagram[0], "READY=1", 7, 0) != 7)
        return errno;
    close(fd);
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    int status = -1;
    waitpid(pid, &status, 0);
    return status;
}

static void test_what_stays(void **state)
{
    (void)state;
    surroundings();
    /* two clients, in the queue already: one for each of the two tries */
    for (int i = 0; i < 2; i++) {
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        assert_int_equal(connect(fd, (struct sockaddr *)&a.address, sizeof(a.address)), 0);
        assert_int_equal(send(fd, "a", 1, 0), 1);
    }
    assert_int_equal(attempt(serve_somebody, true), 0);
}

/* ---- where it may write ---- */

static char inside[64], outside[64];

static int write_to(const char *folder, const char *name)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    return fd < 0 ? errno : result(write(fd, "x", 1));
}

static void test_where_it_may_write(void **state)
{
    (void)state;
    strcpy(inside, "/tmp/kontor-inside-XXXXXX");
    strcpy(outside, "/tmp/kontor-outside-XXXXXX");
    assert_non_null(mkdtemp(inside));
    assert_non_null(mkdtemp(outside));
    assert_int_equal(write_to(outside, "there"), 0);
    assert_int_equal(write_to(inside, "a"), 0);
    pid_t pid = fork();
    if (pid == 0) {
        const char *const folders[] = { inside, "/no/such/folder", NULL };
        char there[128], from[128], to[128], sub[128];
        int abi = 0;
        struct kt_error err;
        snprintf(there, sizeof(there), "%s/there", outside);
        snprintf(from, sizeof(from), "%s/a", inside);
        snprintf(to, sizeof(to), "%s/sub/b", inside);
        snprintf(sub, sizeof(sub), "%s/sub", inside);
        if (house_writes_up(folders, &abi, &err))
            _exit(100);
        if (abi < 2)
            _exit(0); /* this kernel cannot, and nothing is promised */
        if (write_to(outside, "new") != EACCES || write_to(outside, "there") != EACCES)
            _exit(1);
        if (unlink(there) == 0 || mkdir("/tmp/kontor-house-dir", 0700) == 0 ||
            rename(from, there) == 0)
            _exit(2);
        if (abi >= 3 && truncate(there, 0) == 0)
            _exit(3);
        if (write_to(inside, "a") || mkdir(sub, 0700) || rename(from, to) || unlink(to) ||
            rmdir(sub))
            _exit(4);
        int fd = open(there, O_RDONLY), null = open("/dev/null", O_WRONLY);
        char byte = 0;
        if (fd < 0 || null < 0 || read(fd, &byte, 1) != 1 || byte != 'x')
            _exit(5);
        if (abi >= 4 && tcp() != EACCES)
            _exit(6);
        _exit(0);
    }
    int status = -1;
    waitpid(pid, &status, 0);
    assert_int_equal(WEXITSTATUS(status), 0);
    char path[128];
    snprintf(path, sizeof(path), "%s/there", outside);
    unlink(path);
    rmdir(outside);
    snprintf(path, sizeof(path), "%s/a", inside);
    unlink(path);
    rmdir(inside);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_ways_out),
                                        cmocka_unit_test(test_what_stays),
                                        cmocka_unit_test(test_where_it_may_write) };
    return cmocka_run_group_tests_name("house", tests, NULL, NULL);
}
