/* resident.c -- /proc/<pid>/statm. */
#include "os/resident.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

uint64_t pti_resident_bytes(pid_t pid)
{
    char path[48], text[128];
    unsigned long pages = 0;

    (void)snprintf(path, sizeof path, pid != 0 ? "/proc/%d/statm" : "/proc/self/statm", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd >= 0 ? read(fd, text, sizeof text - 1) : -1;
    if (fd >= 0)
        (void)close(fd);
    if (length <= 0)
        return 0;
    text[length] = '\0';
    if (sscanf(text, "%*u %lu", &pages) != 1)
        return 0;
    return (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
}
