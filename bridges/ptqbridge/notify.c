/* notify.c -- what ptqbridge tells systemd: sd_notify, by hand.  One datagram to the socket that NOTIFY_SOCKET names, by a path or, with
 * an @ in front, in the abstract name space. */
#include "notify.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

bool notify(const char *format, ...)
{
    const char *name = getenv("NOTIFY_SOCKET");
    size_t length = name != NULL ? strlen(name) : 0;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char words[600];
    va_list arguments;

    if (length < 2 || length > sizeof address.sun_path || (name[0] != '/' && name[0] != '@'))
        return false;
    va_start(arguments, format);
    vsnprintf(words, sizeof words, format, arguments);
    va_end(arguments);
    memcpy(address.sun_path, name, length);
    address.sun_path[0] = name[0] == '@' ? '\0' : '/';
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return false;
    ssize_t sent = sendto(fd, words, strlen(words), MSG_NOSIGNAL, (const struct sockaddr *)&address,
                          (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length));
    close(fd);
    return sent > 0;
}

bool notify_reloading(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return notify("RELOADING=1\nMONOTONIC_USEC=%lld", (long long)now.tv_sec * 1000000 + now.tv_nsec / 1000);
}

int notify_watchdog_ms(void)
{
    const char *pid = getenv("WATCHDOG_PID"), *text = getenv("WATCHDOG_USEC");
    long long microseconds = text != NULL ? strtoll(text, NULL, 10) : 0;

    if (microseconds <= 0 || (pid != NULL && strtoll(pid, NULL, 10) != getpid()))
        return -1;
    microseconds /= 2000;
    return microseconds < 1 ? 1 : microseconds > 86400000 ? 86400000 : (int)microseconds;
}
