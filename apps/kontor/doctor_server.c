/* kontor doctor: what `kontor serve` would meet: its addresses, its certificate, its users, its folders. */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/files.h"
#include "base/size.h"
#include "doctor.h"
#include "open.h"

enum { WARN_DAYS = 21, DAY_S = 86400 };

/* ---- who listens there? ------------------------------------------------------------------------ */

/* The inode of the socket that listens on a port, as the kernel lists it; 0: none. */
static unsigned long listener_inode(const char *table, unsigned port)
{
    char line[512];
    unsigned long found = 0;
    FILE *f = fopen(table, "re");
    while (f && !found && fgets(line, sizeof(line), f)) {
        unsigned p, state;
        unsigned long inode;
        if (sscanf(line, " %*u: %*[0-9A-F]:%x %*[0-9A-F]:%*x %x %*x:%*x %*x:%*x %*x %*u %*u %lu",
                   &p, &state, &inode) == 3 &&
            p == port && state == 0x0A)
            found = inode;
    }
    if (f)
        fclose(f);
    return found;
}

static bool has_socket(const char *pid, unsigned long inode)
{
    char path[64], link[64], wanted[64];
    snprintf(path, sizeof(path), "/proc/%.20s/fd", pid);
    snprintf(wanted, sizeof(wanted), "socket:[%lu]", inode);
    DIR *d = opendir(path);
    const struct dirent *e;
    bool found = false;
    while (d && !found && (e = readdir(d))) {
        ssize_t n = readlinkat(dirfd(d), e->d_name, link, sizeof(link) - 1);
        found = n > 0 && (size_t)n == strlen(wanted) && memcmp(link, wanted, (size_t)n) == 0;
    }
    if (d)
        closedir(d);
    return found;
}

/* The name of the program; "" when it cannot be seen (another account's, as a rule). */
static void name_of_listener(unsigned port, char out[static 64])
{
    unsigned long inode = listener_inode("/proc/self/net/tcp", port);
    if (!inode)
        inode = listener_inode("/proc/self/net/tcp6", port);
    out[0] = 0;
    DIR *d = inode ? opendir("/proc") : NULL;
    const struct dirent *e;
    while (d && !out[0] && (e = readdir(d))) {
        if (!isdigit((unsigned char)e->d_name[0]) || !has_socket(e->d_name, inode))
            continue;
        char path[64];
        snprintf(path, sizeof(path), "/proc/%.20s/comm", e->d_name);
        FILE *f = fopen(path, "re");
        if (f && fgets(out, 64, f))
            out[strcspn(out, "\n")] = 0;
        if (f)
            fclose(f);
    }
    if (d)
        closedir(d);
}

static void check_taken(struct checkup *c, const char *address)
{
    char name[64], next[128];
    unsigned port = (unsigned)strtoul(strrchr(address, ':') + 1, NULL, 10);
    name_of_listener(port, name);
    if (strcmp(name, "kontor") == 0) {
        doctor_say(c, FINE, "address", NULL, "%s: kontor serves there", address);
        return;
    }
    snprintf(next, sizeof(next), "end %s, or serve elsewhere: --listen 127.0.0.1:%u",
             name[0] ? name : "that program", port == 8080 ? 8081 : 8080);
    doctor_say(c, BAD, "address", next, "%s is taken by %s", address,
               name[0] ? name : "a program of another account");
}

static void check_address(struct checkup *c, const char *address)
{
    int e = http_try_listen(address);
    switch (e) {
    case 0:
        doctor_say(c, FINE, "address", NULL, "%s can be had", address);
        return;
    case -1:
        doctor_say(c, BAD, "address", "write numbers: 127.0.0.1:8080, 0.0.0.0:443 or [::1]:8080",
                   "'%s' is no address", address);
        return;
    case EADDRINUSE:
        check_taken(c, address);
        return;
    case EACCES:
        doctor_say(c, BAD, "address",
                   "start it by packaging/kontor.service, which may, or choose a port above 1023",
                   "%s: this account may not listen on a port below 1024", address);
        return;
    case EADDRNOTAVAIL:
        doctor_say(c, BAD, "address", "`ip address` lists those of this machine; 0.0.0.0 means all",
                   "%s is not an address of this machine", address);
        return;
    default:
        doctor_say(c, BAD, "address", "choose another with --listen", "%s: %s", address,
                   strerror(e));
    }
}

/* ---- what others need ---------------------------------------------------------------------------- */

static void check_key_file(struct checkup *c, const char *key)
{
    struct stat st;
    if (stat(key, &st) == 0 && (st.st_mode & 037))
        doctor_say(c, BAD, "certificate", "chmod 640 that file, with the server's group, or 600",
                   "others of this machine may read the private key %s", key);
}

static void check_certificate(struct checkup *c)
{
    const struct serve_options *o = &c->serve;
    struct http_certificate x;
    struct kt_error err;
    int64_t now = clock_unix_s();
    if (http_certificate_look(&x, o->cert, o->key, o->hosts.items, o->hosts.n, &err)) {
        doctor_say(
            c, BAD, "certificate",
            access(o->cert, R_OK) || access(o->key, R_OK)
                ? "let this account read both files: chgrp, chmod 640"
                : "give the chain (own certificate first) as cert and its own key as key, both PEM",
            "%s", err.text);
        return;
    }
    check_key_file(c, o->key);
    long long days = (x.until_unix - now) / DAY_S;
    if (x.until_unix <= now)
        doctor_say(c, BAD, "certificate",
                   "renew it, put the files in place, systemctl reload kontor",
                   "it ended %lld days ago", (long long)(now - x.until_unix) / DAY_S);
    else if (x.from_unix > now)
        doctor_say(c, BAD, "certificate", "look at this machine's clock, or wait",
                   "it is not valid yet, for %lld hours", (long long)(x.from_unix - now) / 3600);
    else if (x.other_name)
        doctor_say(c, BAD, "certificate", "have one made for that name, or correct --host",
                   "it is not for %s: browsers will refuse it", x.other_name);
    else if (days < WARN_DAYS)
        doctor_say(c, NOTE, "certificate",
                   "renew it, put the files in place, systemctl reload kontor",
                   "it ends in %lld days", days);
    else
        doctor_say(c, FINE, "certificate", NULL, "good for %lld days", days);
}

/* How many users, and how many of them can log in or send a key; false: the home does not open, which is said
 * elsewhere. */
static bool count_users(size_t *n_users, size_t *n_able, size_t *n_admins)
{
    struct opened o;
    struct access *book = NULL;
    struct kt_error err;
    struct access_user *list = NULL;
    *n_users = *n_able = *n_admins = 0;
    if (!file_exists(cli_home()))
        return true;
    if (open_store(&o, &err))
        return false;
    bool ok = access_open(&book, o.store, &err) == KT_OK &&
              access_user_list(book, &list, n_users, &err) == KT_OK;
    for (size_t i = 0; ok && i < *n_users; i++) {
        *n_able += list[i].has_password || list[i].n_keys;
        *n_admins += list[i].admin;
    }
    free(list);
    access_close(book);
    opened_close(&o);
    return ok;
}

static void check_users(struct checkup *c, bool others)
{
    size_t n, n_able, n_admins;
    if (!count_users(&n, &n_able, &n_admins))
        return;
    if (n == 0)
        doctor_say(c, others ? BAD : FINE, "users",
                   others ? "kontor user add NAME --admin --password" : NULL,
                   others ? "none, and others can reach this server: it will not start"
                          : "none: it serves this account of this machine, and nobody else");
    else if (n_able == 0)
        doctor_say(c, BAD, "users", "kontor user passwd NAME --password, or kontor user key NAME",
                   "%zu, and none has a password or a key: nobody can come in", n);
    else if (n_admins == 0)
        doctor_say(c, NOTE, "users", "kontor user add NAME --admin --password",
                   "%zu, and none is an administrator: nobody can give rights in the browser", n);
    else
        doctor_say(c, FINE, "users", NULL, "%zu, %zu of them administrators", n, n_admins);
}

static void check_roots(struct checkup *c)
{
    for (size_t i = 0; i < c->serve.roots.n; i++) {
        const char *root = c->serve.roots.items[i];
        struct stat st;
        if (stat(root, &st) != 0 || !S_ISDIR(st.st_mode))
            doctor_say(
                c, BAD, "folder",
                "correct --root, or make that folder visible to the service (BindReadOnlyPaths=)",
                "%s: no such folder for this account", root);
        else if (access(root, R_OK | X_OK) != 0)
            doctor_say(c, BAD, "folder", "let the server's account read it (a group, or setfacl)",
                       "%s: this account may not read it", root);
        else
            doctor_say(c, FINE, "folder", NULL, "%s can be indexed by administrators", root);
    }
}

void doctor_server(struct checkup *c)
{
    static const char *const DEFAULT_LISTEN[] = { "127.0.0.1:8080" };
    const struct serve_options *o = &c->serve;
    size_t n = o->listen.n ? o->listen.n : 1;
    const char *const *listen = o->listen.n ? o->listen.items : DEFAULT_LISTEN;
    bool beyond = false;
    for (size_t i = 0; i < n; i++) {
        check_address(c, listen[i]);
        beyond = beyond || (http_try_listen(listen[i]) != -1 && !http_is_loopback(listen[i]));
    }
    if (o->cert)
        check_certificate(c);
    else if (beyond)
        doctor_say(c, BAD, "certificate",
                   "give --cert and --key, or listen on 127.0.0.1 behind a proxy that has them",
                   "none, and others are to reach this server: it will not start");
    check_users(c, beyond || o->hosts.n);
    check_roots(c);
}
