/* Say to which network a client belongs, as a number; twin of key_of() in connections/policies/client_address.py. */

#include "policies.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

/* Return the first bits of a number, from 1 to 64, or none. */
static uint64_t
masked(uint64_t number, int bits)
{
    return bits <= 0 ? 0 : bits >= 64 ? number : number & (UINT64_MAX << (64 - bits));
}

static uint64_t
key_of_network(uint64_t high, uint64_t low, uint64_t version)
{
    return mixed(mixed(low ^ version) ^ high);
}

static uint64_t
key_of_four(uint32_t address, int prefix)
{
    return key_of_network(0, masked((uint64_t)address << 32, prefix) >> 32, 4);
}

static uint64_t
eight_bytes(const unsigned char *bytes)
{
    uint64_t number = 0;
    for (int place = 0; place < 8; place++) {
        number = number << 8 | bytes[place];
    }
    return number;
}

static uint64_t
key_of_six(const unsigned char *address, int ipv4_prefix, int ipv6_prefix)
{
    uint64_t high = eight_bytes(address), low = eight_bytes(address + 8);
    if (high == 0 && low >> 32 == 0xFFFF) { /* it is one of IPv4 */
        return key_of_four((uint32_t)low, ipv4_prefix);
    }
    return key_of_network(masked(high, ipv6_prefix), masked(low, ipv6_prefix - 64), 6);
}

/* Find the number for an address; 0: it tells nothing. */
int
key_of_address(const struct sockaddr *address, int ipv4_prefix, int ipv6_prefix, uint64_t *key)
{
    if (address->sa_family == AF_INET) {
        *key = key_of_four(ntohl(((const struct sockaddr_in *)address)->sin_addr.s_addr), ipv4_prefix);
    }
    else if (address->sa_family == AF_INET6) {
        *key = key_of_six(((const struct sockaddr_in6 *)address)->sin6_addr.s6_addr, ipv4_prefix, ipv6_prefix);
    }
    return address->sa_family == AF_INET || address->sa_family == AF_INET6;
}

/* The same, for an address as Python says it. */
int
key_of_text(const char *host, int ipv4_prefix, int ipv6_prefix, uint64_t *key)
{
    char text[INET6_ADDRSTRLEN];
    size_t size = strcspn(host, "%"); /* a zone follows */
    struct in_addr four;
    unsigned char six[16];
    if (size >= sizeof text) {
        return 0;
    }
    memcpy(text, host, size);
    text[size] = '\0';
    if (inet_pton(AF_INET, text, &four) == 1) {
        *key = key_of_four(ntohl(four.s_addr), ipv4_prefix);
        return 1;
    }
    if (inet_pton(AF_INET6, text, six) == 1) {
        *key = key_of_six(six, ipv4_prefix, ipv6_prefix);
        return 1;
    }
    return 0;
}
