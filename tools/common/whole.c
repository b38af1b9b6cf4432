/* whole.c -- a file, whole or not at all. */
#include "common/whole.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static bool write_all(int fd, const char *text, size_t size)
{
    while (size > 0) {
        ssize_t part = write(fd, text, size);
        if (part < 0 && errno != EINTR)
            return false;
        text += part > 0 ? part : 0;
        size -= part > 0 ? (size_t)part : 0;
    }
    return true;
}

int whole_write(const char *path, const char *text, size_t size, const char *end, mode_t mode)
{
    char part[4200];

    if (snprintf(part, sizeof part, "%s.part", path) >= (int)sizeof part)
        return ENAMETOOLONG;
    int fd = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);
    if (fd < 0)
        return errno;
    int failed = write_all(fd, text, size) && write_all(fd, end, strlen(end)) ? 0 : errno;
    if (close(fd) != 0 && failed == 0)
        failed = errno;
    if (failed == 0 && rename(part, path) != 0)
        failed = errno;
    if (failed != 0)
        unlink(part);
    return failed;
}
