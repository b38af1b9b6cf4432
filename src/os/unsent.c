/* unsent.c -- how much of what a tcp connection was given may wait in the kernel before it is sent.
 *
 * The kernel takes megabytes, at once, from a program whose peer is slow; then whatever has more haste stands behind them, and no
 * order in the program's own lanes helps.  nng keeps its descriptors to itself, so the connection is looked for by its addresses.
 */
#include "os/unsent.h"

#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GUESSES 64

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

/* A connection that was made a moment ago has most often the highest number below the lowest that is free. */
static int guess(const struct sockaddr *here, const struct sockaddr *there)
{
    int free_one = fcntl(0, F_DUPFD_CLOEXEC, 0);

    if (free_one < 0)
        return -1;
    close(free_one);
    for (int fd = free_one - 1; fd >= 0 && fd > free_one - GUESSES; fd--) {
        if (is_between(fd, here, there))
            return fd;
    }
    return -1;
}

static int look_everywhere(const struct sockaddr *here, const struct sockaddr *there)
{
    DIR *descriptors = opendir("/proc/self/fd");
    struct dirent *entry;
    int found = -1;

    while (descriptors != NULL && found < 0 && (entry = readdir(descriptors)) != NULL) {
        int fd = atoi(entry->d_name);
        if (entry->d_name[0] != '.' && is_between(fd, here, there))
            found = fd;
    }
    if (descriptors != NULL)
        closedir(descriptors);
    return found;
}

void pti_unsent_limit(const struct sockaddr *here, const struct sockaddr *there, uint32_t bytes)
{
    int fd = guess(here, there);

    if (fd < 0)
        fd = look_everywhere(here, there);
    if (fd >= 0)
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &bytes, sizeof bytes);
}
