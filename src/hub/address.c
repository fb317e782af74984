/* Which addresses are the public Internet. The lists are IANA's special-purpose registries for IPv4
 * and IPv6 (RFC 6890 and its successors), as far as they are not globally reachable. */
#include "hub/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <string.h>

#include "base/size.h"

struct block4 {
    uint32_t net;
    int bits;
};

static const struct block4 NOT_PUBLIC4[] = {
    { 0x00000000, 8 },  /* 0.0.0.0/8 this network          */
    { 0x0A000000, 8 },  /* 10.0.0.0/8 private              */
    { 0x64400000, 10 }, /* 100.64.0.0/10 carrier NAT       */
    { 0x7F000000, 8 },  /* 127.0.0.0/8 loopback            */
    { 0xA9FE0000, 16 }, /* 169.254.0.0/16 link-local       */
    { 0xAC100000, 12 }, /* 172.16.0.0/12 private           */
    { 0xC0000000, 24 }, /* 192.0.0.0/24 IETF protocols     */
    { 0xC0000200, 24 }, /* 192.0.2.0/24 documentation      */
    { 0xC0586300, 24 }, /* 192.88.99.0/24 6to4 relays      */
    { 0xC0A80000, 16 }, /* 192.168.0.0/16 private          */
    { 0xC6120000, 15 }, /* 198.18.0.0/15 benchmarks        */
    { 0xC6336400, 24 }, /* 198.51.100.0/24 documentation   */
    { 0xCB007100, 24 }, /* 203.0.113.0/24 documentation    */
    { 0xE0000000, 4 },  /* 224.0.0.0/4 multicast           */
    { 0xF0000000, 4 },  /* 240.0.0.0/4 reserved, broadcast */
};

static bool public4(uint32_t a)
{
    for (size_t i = 0; i < ARRAY_LEN(NOT_PUBLIC4); i++) {
        if ((a ^ NOT_PUBLIC4[i].net) >> (32 - NOT_PUBLIC4[i].bits) == 0)
            return false;
    }
    return true;
}

static uint32_t be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static bool public6(const uint8_t a[static 16])
{
    static const uint8_t ZERO[12];
    if (memcmp(a, ZERO, 10) == 0 && a[10] == 0xFF && a[11] == 0xFF) /* ::ffff:a.b.c.d */
        return public4(be32(a + 12));
    if (be32(a) == 0x0064FF9B && memcmp(a + 4, ZERO, 8) == 0) /* 64:ff9b::a.b.c.d, NAT64 */
        return public4(be32(a + 12));
    if (a[0] == 0x20 && a[1] == 0x02) /* 2002:abcd::, 6to4 */
        return public4(be32(a + 2));
    /* 2000::/3 is all that is given out; of it 2001::/23 is for protocols (Teredo and others) and
     * 2001:db8::/32 and 3fff::/20 are for documents. */
    if ((a[0] & 0xE0) != 0x20)
        return false;
    if (a[0] == 0x20 && a[1] == 0x01 && (a[2] & 0xFE) == 0)
        return false;
    return be32(a) != 0x20010DB8 && !(a[0] == 0x3F && a[1] == 0xFF && (a[2] & 0xF0) == 0);
}

bool address_is_public(const struct sockaddr *sa)
{
    if (sa->sa_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, sa, sizeof(in));
        return public4(ntohl(in.sin_addr.s_addr));
    }
    if (sa->sa_family == AF_INET6) {
        struct sockaddr_in6 in6;
        memcpy(&in6, sa, sizeof(in6));
        return public6(in6.sin6_addr.s6_addr);
    }
    return false;
}

static bool is_localhost(const char *host)
{
    static const char NAME[] = "localhost";
    size_t n = strlen(host), m = sizeof(NAME) - 1;
    while (n > 0 && host[n - 1] == '.')
        n--;
    return n >= m && strncasecmp(host + n - m, NAME, m) == 0 && (n == m || host[n - m - 1] == '.');
}

bool host_may_be_public(const char *host)
{
    char plain[64];
    size_t n = strlen(host);
    if (is_localhost(host))
        return false;
    if (n >= 2 && host[0] == '[' && host[n - 1] == ']') {
        host++;
        n -= 2;
    }
    struct in_addr v4;
    struct in6_addr v6;
    if (n >= sizeof(plain))
        return true; /* longer than any literal address */
    memcpy(plain, host, n);
    plain[n] = '\0';
    if (strchr(plain, ':')) {
        char *zone = strchr(plain, '%');
        if (zone)
            *zone = '\0';
        return inet_pton(AF_INET6, plain, &v6) == 1 && public6(v6.s6_addr);
    }
    return inet_aton(plain, &v4) == 0 || public4(ntohl(v4.s_addr));
}
