/* clock.c -- the clock that all processes of this host share. */
#include "os/clock.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/atomic.h"
#include "base/time.h"

static _Atomic int64_t offset_ns; /* of this process, all its threads: relaxed, it orders nothing */

/* "monotonic  <seconds> <nanoseconds>", one line a clock. */
static bool read_offset(int64_t *ret_ns)
{
    char text[256];
    long long seconds, nanoseconds;
    int fd = open("/proc/self/timens_offsets", O_RDONLY | O_CLOEXEC);
    ssize_t length = fd < 0 ? -1 : read(fd, text, sizeof text - 1);

    if (fd >= 0)
        close(fd);
    if (length <= 0)
        return false;
    text[length] = '\0';
    const char *line = strstr(text, "monotonic");
    if (line == NULL || sscanf(line, "monotonic %lld %lld", &seconds, &nanoseconds) != 2)
        return false;
    *ret_ns = (int64_t)seconds * PTI_NS_PER_S + nanoseconds;
    return true;
}

/* The file tells of the namespace of children to come; after unshare(CLONE_NEWTIME) that is not one's own. */
static bool is_for_children(void)
{
    char own[64], children[64];
    ssize_t own_length = readlink("/proc/self/ns/time", own, sizeof own);
    ssize_t children_length = readlink("/proc/self/ns/time_for_children", children, sizeof children);

    return own_length > 0 && children_length > 0 &&
           (own_length != children_length || memcmp(own, children, (size_t)own_length) != 0);
}

void pti_host_clock_refresh(void)
{
    int64_t found;

    if (!read_offset(&found) || found == pti_load_relaxed(&offset_ns) || is_for_children())
        return;
    pti_store_relaxed(&offset_ns, found);
}

int64_t pti_host_ns(void) { return pti_now_ns() - pti_load_relaxed(&offset_ns); }

int64_t pti_host_to_own_ns(int64_t host_ns) { return host_ns + pti_load_relaxed(&offset_ns); }

int64_t pti_own_to_host_ns(int64_t own_ns) { return own_ns - pti_load_relaxed(&offset_ns); }
