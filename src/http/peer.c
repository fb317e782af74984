/* http/peer.c: whose program is at the other end of a connection on this machine?
 *
 * The kernel lists every TCP socket with its owner in /proc/self/net/tcp and tcp6; the client's is the one whose own
 * address and port are our peer's, and whose peer's port is ours. Only sockets in the state "established" (01) are
 * believed: a closed one that lingers is listed as root's. */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "http/http_priv.h"

/* An address as the kernel prints it there: 32-bit words as they lie in memory. */
static void print_words(char *out, const void *address, size_t n_words)
{
    for (size_t i = 0; i < n_words; i++) {
        uint32_t word;
        memcpy(&word, (const char *)address + 4 * i, sizeof(word));
        snprintf(out + 8 * i, 9, "%08X", word);
    }
}

struct looking {
    char address[33];
    char mark[8]; /* stands in every line that could be meant; there may be thousands of others */
    unsigned peer_port, own_port;
    size_t n_found;
    unsigned uid;
    bool disputed; /* two sockets fit, with two owners: nobody is believed */
};

static void look_at(struct looking *l, const char *line)
{
    char local[33], remote[33];
    if (!strstr(line, l->mark))
        return;
    unsigned local_port, remote_port, state, uid;
    if (sscanf(line, " %*u: %32[0-9A-F]:%x %32[0-9A-F]:%x %x %*x:%*x %*x:%*x %*x %u", local,
               &local_port, remote, &remote_port, &state, &uid) != 6)
        return;
    if (local_port != l->peer_port || remote_port != l->own_port || state != 1 ||
        strcmp(local, l->address) != 0)
        return;
    l->disputed = l->disputed || (l->n_found && l->uid != uid);
    l->uid = uid;
    l->n_found++;
}

static void look_in(struct looking *l, const char *table)
{
    char line[512];
    FILE *f = fopen(table, "re");
    while (f && fgets(line, sizeof(line), f))
        look_at(l, line);
    if (f)
        fclose(f);
}

bool http_peer_uid(const struct http_request *rq, unsigned *uid)
{
    const struct conn *c = rq->conn;
    struct looking l = { .peer_port = c->peer_port, .own_port = c->own_port };
    struct in6_addr six;
    struct in_addr four;
    snprintf(l.mark, sizeof(l.mark), ":%04X ", c->peer_port & 0xFFFF);
    if (inet_pton(AF_INET, c->peer, &four) == 1) {
        print_words(l.address, &four, 1);
        look_in(&l, "/proc/self/net/tcp");
        /* a client may have said the same address in the longer form */
        memset(&six, 0, sizeof(six));
        six.s6_addr[10] = six.s6_addr[11] = 0xFF;
        memcpy(six.s6_addr + 12, &four, 4);
    } else if (inet_pton(AF_INET6, c->peer, &six) != 1) {
        return false;
    }
    print_words(l.address, &six, 4);
    look_in(&l, "/proc/self/net/tcp6");
    *uid = l.uid;
    return l.n_found && !l.disputed;
}
