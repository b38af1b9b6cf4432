/* link_address.c -- who is at the other end of a link, by its address. */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "remote/link_own.h"

void pti_link_peer(struct pti_link *link, char *buffer, size_t size)
{
    nng_sockaddr address;
    char text[INET6_ADDRSTRLEN] = "?";
    const char *scheme = link->tls ? "tls+tcp" : "tcp";

    if (link->stream == NULL || nng_stream_get_addr(link->stream, NNG_OPT_REMADDR, &address) != 0) {
        snprintf(buffer, size, "?");
    } else if (address.s_family == NNG_AF_INET) {
        inet_ntop(AF_INET, &address.s_in.sa_addr, text, sizeof text);
        snprintf(buffer, size, "%s://%s:%u", scheme, text, ntohs(address.s_in.sa_port));
    } else if (address.s_family == NNG_AF_INET6) {
        inet_ntop(AF_INET6, address.s_in6.sa_addr, text, sizeof text);
        snprintf(buffer, size, "%s://[%s]:%u", scheme, text, ntohs(address.s_in6.sa_port));
    } else if (address.s_family == NNG_AF_IPC) {
        uint64_t pid = 0;
        (void)nng_stream_get_uint64(link->stream, NNG_OPT_IPC_PEER_PID, &pid);
        snprintf(buffer, size, "ipc:pid=%llu", (unsigned long long)pid);
    } else {
        snprintf(buffer, size, "%s:%s", link->tls ? "wss" : "ws", link->near ? "loopback" : "?");
    }
}

void pti_link_origin(struct pti_link *link, char *buffer, size_t size)
{
    nng_sockaddr address = {0};
    char text[INET6_ADDRSTRLEN] = "?";

    if (link->stream == NULL || nng_stream_get_addr(link->stream, NNG_OPT_REMADDR, &address) != 0) {
        snprintf(buffer, size, "?");
    } else if (address.s_family == NNG_AF_INET) {
        inet_ntop(AF_INET, &address.s_in.sa_addr, text, sizeof text);
        snprintf(buffer, size, "%s", text);
    } else if (address.s_family == NNG_AF_INET6) {
        uint8_t net[16] = {0};
        memcpy(net, &address.s_in6.sa_addr, 8);
        inet_ntop(AF_INET6, net, text, sizeof text);
        snprintf(buffer, size, "%s/64", text);
    } else if (address.s_family == NNG_AF_IPC) {
        uint64_t uid = 0;
        (void)nng_stream_get_uint64(link->stream, NNG_OPT_IPC_PEER_UID, &uid);
        snprintf(buffer, size, "uid:%llu", (unsigned long long)uid);
    } else {
        snprintf(buffer, size, "ws"); /* nng 1.5.2 does not tell */
    }
}

bool pti_link_is_loopback(const nng_sockaddr *address)
{
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    const uint8_t *at = (const uint8_t *)address->s_in6.sa_addr;

    if (address->s_family == NNG_AF_INET)
        return ntohl(address->s_in.sa_addr) >> 24 == 127;
    return address->s_family == NNG_AF_INET6 &&
           (memcmp(at, &in6addr_loopback, 16) == 0 || (memcmp(at, mapped, 12) == 0 && at[12] == 127));
}

bool pti_link_is_near(struct pti_link *link)
{
    nng_sockaddr address = {0};

    if (link->near)
        return true;
    if (link->stream == NULL || nng_stream_get_addr(link->stream, NNG_OPT_REMADDR, &address) != 0)
        return false;
    return pti_link_is_loopback(&address) || address.s_family == NNG_AF_IPC;
}

bool pti_link_uid(struct pti_link *link, uint64_t *ret_uid)
{
    nng_sockaddr address = {0};

    return link->stream != NULL && nng_stream_get_addr(link->stream, NNG_OPT_REMADDR, &address) == 0 && address.s_family == NNG_AF_IPC &&
           nng_stream_get_uint64(link->stream, NNG_OPT_IPC_PEER_UID, ret_uid) == 0;
}
