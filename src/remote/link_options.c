/* link_options.c -- what is asked of the kernel for the socket of a link. */
#include <arpa/inet.h>
#include <string.h>

#include "os/unsent.h"
#include "remote/link_own.h"

#define UNSENT_MOST (128u << 10)

static bool read_address(nng_stream *stream, const char *which, struct sockaddr_storage *ret_address)
{
    nng_sockaddr address = {0};
    struct sockaddr_in *in = (void *)ret_address;
    struct sockaddr_in6 *in6 = (void *)ret_address;

    memset(ret_address, 0, sizeof *ret_address);
    if (nng_stream_get_addr(stream, which, &address) != 0)
        return false;
    if (address.s_family == NNG_AF_INET) {
        *in = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = address.s_in.sa_port};
        in->sin_addr.s_addr = address.s_in.sa_addr;
    } else if (address.s_family == NNG_AF_INET6) {
        *in6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = address.s_in6.sa_port};
        memcpy(&in6->sin6_addr, address.s_in6.sa_addr, sizeof in6->sin6_addr);
    }
    return ret_address->ss_family != AF_UNSPEC;
}

void pti_link_set_options(nng_stream *stream)
{
    nng_stream_set_bool(stream, NNG_OPT_TCP_NODELAY, true);
    nng_stream_set_bool(stream, NNG_OPT_TCP_KEEPALIVE, true);
}

void pti_link_limit_unsent(nng_stream *stream)
{
    struct sockaddr_storage here, there;

    if (read_address(stream, NNG_OPT_LOCADDR, &here) && read_address(stream, NNG_OPT_REMADDR, &there))
        pti_unsent_limit((struct sockaddr *)&here, (struct sockaddr *)&there, UNSENT_MOST);
}

/* Scar: the descriptor is looked for among all, which a stranger's link is not worth: with 1,000 open, half a millisecond. */
void pti_link_settle(struct pti_link *link)
{
    if (link->stream != NULL)
        pti_link_limit_unsent(link->stream);
}
