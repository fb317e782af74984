/* hub/address.h: may a download connect to this address?
 *
 * A redirect, or a name that resolves to a surprise, must not turn a download into a request to a
 * router, a printer or another service of the house (SSRF, DNS rebinding). Public addresses only,
 * except for the one host that a person named as their hub. */
#ifndef HUB_ADDRESS_H
#define HUB_ADDRESS_H

#include <stdbool.h>
#include <sys/socket.h>

/* False for loopback, private, link-local, shared, multicast, reserved and unspecified addresses,
 * also inside IPv6 (mapped, NAT64, 6to4), and for anything that is not IP. */
bool address_is_public(const struct sockaddr *sa);
/* The same for a host as it stands in a URL (brackets around IPv6 allowed). True for names that are
 * not literal addresses, except localhost. Also understands the old spellings of IPv4 ("127.1",
 * "0x7f000001", "2130706433"), as resolvers do. */
bool host_may_be_public(const char *host);

#endif
