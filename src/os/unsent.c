/* unsent.c -- how much of what a tcp connection was given may wait in the kernel before it is sent.
 *
 * The kernel takes megabytes, at once, from a program whose peer is slow; then whatever has more haste stands behind them, and no
 * order in the program's own lanes helps.  nng keeps its descriptors to itself, so the connection is looked for by its addresses.
 */
#include "os/unsent.h"

#include <dirent.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static bool is_same(const struct sockaddr *a, const struct sockaddr *b)
{
    const struct sockaddr_in *a4 = (const void *)a, *b4 = (const void *)b;
    const struct sockaddr_in6 *a6 = (const void *)a, *b6 = (const void *)b;

    if (a->sa_family != b->sa_family)
        return false;
    if (a->sa_family == AF_INET)
        return a4->sin_port == b4->sin_port && a4->sin_addr.s_addr == b4->sin_addr.s_addr;
    return a->sa_family == AF_INET6 && a6->sin6_port == b6->sin6_port &&
           memcmp(&a6->sin6_addr, &b6->sin6_addr, sizeof a6->sin6_addr) == 0;
}

/* Peers differ, where all that were accepted have one address here. */
static bool is_between(int fd, const struct sockaddr *here, const struct sockaddr *there)
{
    struct sockaddr_storage name;
    socklen_t size = sizeof name;

    if (getpeername(fd, (struct sockaddr *)&name, &size) != 0 || !is_same((struct sockaddr *)&name, there))
        return false;
    size = sizeof name;
    return getsockname(fd, (struct sockaddr *)&name, &size) == 0 && is_same((struct sockaddr *)&name, here);
}

void pti_unsent_limit(const struct sockaddr *here, const struct sockaddr *there, uint32_t bytes)
{
    DIR *descriptors = opendir("/proc/self/fd");
    struct dirent *entry;
    bool found = false;

    while (descriptors != NULL && !found && (entry = readdir(descriptors)) != NULL) {
        int fd = atoi(entry->d_name);
        found = entry->d_name[0] != '.' && is_between(fd, here, there);
        if (found)
            (void)setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &bytes, sizeof bytes);
    }
    if (descriptors != NULL)
        closedir(descriptors);
}
