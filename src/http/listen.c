/* http/listen.c: addresses, and the sockets that listen on them. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/size.h"
#include "http/http_priv.h"

/* "127.0.0.1:80" or "[::1]:80"; numbers only, so that no name service decides where we listen. */
static bool parse_address(const char *text, struct sockaddr_storage *out, socklen_t *len)
{
    char host[64];
    const char *colon = strrchr(text, ':');
    if (!colon || (size_t)(colon - text) >= sizeof(host))
        return false;
    char *end;
    unsigned long port = strtoul(colon + 1, &end, 10);
    if (end == colon + 1 || *end || port > 65535 || colon[1] == '-' || colon[1] == '+')
        return false;
    memcpy(host, text, (size_t)(colon - text));
    host[colon - text] = 0;
    *out = (struct sockaddr_storage){ 0 };
    size_t n = strlen(host);
    if (n > 2 && host[0] == '[' && host[n - 1] == ']') {
        struct sockaddr_in6 *a = (struct sockaddr_in6 *)out;
        host[n - 1] = 0;
        a->sin6_family = AF_INET6;
        a->sin6_port = htons((uint16_t)port);
        *len = sizeof(*a);
        return inet_pton(AF_INET6, host + 1, &a->sin6_addr) == 1;
    }
    struct sockaddr_in *a = (struct sockaddr_in *)out;
    a->sin_family = AF_INET;
    a->sin_port = htons((uint16_t)port);
    *len = sizeof(*a);
    return inet_pton(AF_INET, host, &a->sin_addr) == 1;
}

static bool is_loopback_address(const struct sockaddr_storage *a)
{
    if (a->ss_family == AF_INET6)
        return IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)a)->sin6_addr);
    if (a->ss_family == AF_INET)
        return ntohl(((const struct sockaddr_in *)a)->sin_addr.s_addr) >> 24 == 127;
    return a->ss_family == AF_UNIX;
}

bool http_is_loopback(const char *address)
{
    struct sockaddr_storage a;
    socklen_t len;
    return parse_address(address, &a, &len) && is_loopback_address(&a);
}

bool http_fd_is_loopback(int fd)
{
    struct sockaddr_storage a = { 0 };
    socklen_t len = sizeof(a);
    return getsockname(fd, (struct sockaddr *)&a, &len) == 0 && is_loopback_address(&a);
}

/* A socket that listens; -1, and errno says why (0: it is no address). */
static int listening_socket(const char *address)
{
    struct sockaddr_storage a;
    socklen_t len;
    errno = 0;
    if (!parse_address(address, &a, &len)) {
        errno = 0;
        return -1;
    }
    int one = 1, fd = socket(a.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (a.ss_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
    if (bind(fd, (struct sockaddr *)&a, len) || listen(fd, 1024)) {
        int e = errno;
        close(fd);
        errno = e;
        return -1;
    }
    return fd;
}

int http_try_listen(const char *address)
{
    int fd = listening_socket(address);
    if (fd < 0)
        return errno ? errno : -1;
    close(fd);
    return 0;
}

static enum kt_status listen_on(int *out, const char *address, struct kt_error *err)
{
    *out = listening_socket(address);
    if (*out >= 0)
        return KT_OK;
    if (errno == 0)
        return kt_fail(err, KT_E_USAGE,
                       "'%s' is not an address to listen on; expected 127.0.0.1:8080 or [::1]:8080",
                       address);
    return kt_fail_errno(err, errno, "%s: cannot listen there%s", address,
                         errno == EADDRINUSE ? " (`kontor doctor` says who does)" : "");
}

static unsigned port_of(int fd)
{
    struct sockaddr_storage a;
    socklen_t len = sizeof(a);
    if (getsockname(fd, (struct sockaddr *)&a, &len))
        return 0;
    return a.ss_family == AF_INET6  ? ntohs(((struct sockaddr_in6 *)&a)->sin6_port)
           : a.ss_family == AF_INET ? ntohs(((struct sockaddr_in *)&a)->sin_port)
                                    : 0;
}

/* A descriptor a connection, three while it works with TLS: take what the system allows. */
static void raise_descriptors(void)
{
    struct rlimit r;
    if (getrlimit(RLIMIT_NOFILE, &r) == 0 && r.rlim_cur < r.rlim_max) {
        r.rlim_cur = MIN(r.rlim_max, (rlim_t)16384);
        setrlimit(RLIMIT_NOFILE, &r);
    }
}

enum kt_status gate_open(struct http_server *s, struct kt_error *err)
{
    raise_descriptors();
    s->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    s->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (s->epoll_fd < 0 || s->wake_fd < 0)
        return kt_fail_errno(err, errno, "http: no event queue");
    struct epoll_event ev = { .events = EPOLLIN, .data.ptr = &s->wake_fd };
    epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, s->wake_fd, &ev);
    const struct http_options *o = &s->opts;
    s->listeners = calloc(o->n_listen + o->n_listen_fds + 1, sizeof(*s->listeners));
    if (!s->listeners)
        return kt_fail(err, KT_E_NOMEM, "http: out of memory");
    for (size_t i = 0; i < o->n_listen + o->n_listen_fds; i++) {
        int fd = -1;
        if (i < o->n_listen) {
            enum kt_status st = listen_on(&fd, o->listen[i], err);
            if (st)
                return st;
        } else {
            fd = o->listen_fds[i - o->n_listen];
            fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
            fcntl(fd, F_SETFD, FD_CLOEXEC);
        }
        s->listeners[s->n_listeners] =
            (struct listener){ .fd = fd, .inherited = i >= o->n_listen, .port = port_of(fd) };
        ev.data.ptr = &s->listeners[s->n_listeners++];
        epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, fd, &ev);
    }
    return KT_OK;
}
