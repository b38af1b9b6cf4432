/* listen.c -- addresses of pages: read, held against the loopback, bound. */
#include "common/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 1024 /* those who come at once wait there, and are not lost */

struct address {
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        struct sockaddr_un local;
    };
    socklen_t size;
};

/* Where the sentence goes. */
struct why {
    char *text;
    size_t size;
};

__attribute__((format(printf, 3, 4))) static enum ptq_err no(const struct why *why, enum ptq_err answer, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(why->text, why->size, format, arguments);
    va_end(arguments);
    return answer;
}

/* ---- reading ---- */

static bool read_port(const char *text, in_port_t *ret_port)
{
    char *end;
    unsigned long port = strtoul(text, &end, 10);

    if (text[0] < '0' || text[0] > '9' || *end != '\0' || port > 65535)
        return false;
    *ret_port = htons((in_port_t)port);
    return true;
}

/* Numbers only, and "localhost": a name that is looked up may be anybody's. */
static bool read_host(const char *text, size_t length, struct address *address)
{
    char host[64];

    snprintf(host, sizeof host, "%.*s", (int)(length < sizeof host ? length : sizeof host - 1), text);
    if (strcmp(host, "localhost") == 0)
        snprintf(host, sizeof host, "127.0.0.1");
    if (inet_pton(AF_INET, host, &address->v4.sin_addr) == 1) {
        address->v4.sin_family = AF_INET;
        address->size = sizeof address->v4;
        return true;
    }
    if (length < 2 || host[0] != '[' || host[strlen(host) - 1] != ']')
        return false;
    host[strlen(host) - 1] = '\0';
    address->v6.sin6_family = AF_INET6;
    address->size = sizeof address->v6;
    return inet_pton(AF_INET6, host + 1, &address->v6.sin6_addr) == 1;
}

static bool is_loopback(const struct address *address)
{
    if (address->any.sa_family == AF_INET)
        return ntohl(address->v4.sin_addr.s_addr) >> 24 == 127;
    return address->any.sa_family == AF_UNIX || IN6_IS_ADDR_LOOPBACK(&address->v6.sin6_addr);
}

static enum ptq_err read_path(const char *path, const struct why *why, struct address *address)
{
    size_t size = strlen(path);

    if (path[0] != '/' || size >= sizeof address->local.sun_path)
        return no(why, PTQ_EINVAL, "'unix:%s': the path of a socket begins with / and has at most %zu bytes", path,
                  sizeof address->local.sun_path - 1);
    address->local.sun_family = AF_UNIX;
    memcpy(address->local.sun_path, path, size + 1);
    address->size = sizeof address->local;
    return PTQ_OK;
}

static enum ptq_err read_address(const char *text, bool insecure, const struct why *why, struct address *ret_address)
{
    const char *colon = strrchr(text, ':');
    struct address address;
    in_port_t port = 0;

    memset(&address, 0, sizeof address);
    if (strncmp(text, "unix:", 5) == 0) {
        enum ptq_err answer = read_path(text + 5, why, &address);
        if (answer != PTQ_OK)
            return answer;
    } else if (colon == NULL || !read_host(text, (size_t)(colon - text), &address) || !read_port(colon + 1, &port)) {
        return no(why, PTQ_EINVAL, "'%s' is no address for pages: say it as 127.0.0.1:9417, [::1]:9417 or unix:/path", text);
    }
    if (!is_loopback(&address) && !insecure)
        return no(why, PTQ_EPERM, "'%s' is beyond the loopback, where anybody could read the pages: use 127.0.0.1 with a proxy that "
                                  "checks who asks, or, on a wire that you trust, say --insecure (PTQ_INSECURE=1)", text);
    if (address.any.sa_family == AF_INET)
        address.v4.sin_port = port;
    else if (address.any.sa_family == AF_INET6)
        address.v6.sin6_port = port;
    *ret_address = address;
    return PTQ_OK;
}

enum ptq_err listen_check(const char *text, bool insecure, char *why, size_t why_size)
{
    struct address address;

    return read_address(text, insecure, &(struct why){why, why_size}, &address);
}

/* ---- binding ---- */

/* What stands at the path.  Only what is certainly a dead one's is taken away: a socket that the kernel has nobody for. */
static enum ptq_err clear_path(const char *text, const struct address *address, const struct why *why)
{
    struct stat status;

    if (lstat(address->local.sun_path, &status) != 0)
        return errno == ENOENT ? PTQ_OK : no(why, PTQ_ESYS, "cannot listen on '%s': %s", text, strerror(errno));
    if (!S_ISSOCK(status.st_mode))
        return no(why, PTQ_ESYS, "cannot listen on '%s': that file is no socket; choose another path", text);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int failed = fd < 0 || connect(fd, &address->any, address->size) != 0 ? errno : 0;
    if (fd >= 0)
        close(fd);
    if (failed == 0 || failed == EAGAIN || failed == EPROTOTYPE) /* EPROTOTYPE: he does not take connections, but he is there */
        return no(why, PTQ_ESYS, "cannot listen on '%s': somebody listens there already", text);
    if (failed != ECONNREFUSED)
        return no(why, PTQ_ESYS, "cannot listen on '%s': a socket is there, and whether somebody uses it cannot be seen: %s; choose another "
                                 "path, or take it away", text, strerror(failed));
    if (unlink(address->local.sun_path) != 0 && errno != ENOENT)
        return no(why, PTQ_ESYS, "cannot listen on '%s': a dead one's socket is there, and cannot be taken away: %s", text, strerror(errno));
    return PTQ_OK;
}

static enum ptq_err bind_socket(struct listen *listener, const char *text, const struct address *address, const struct why *why)
{
    const int yes = 1;
    struct stat status;
    enum ptq_err answer = address->any.sa_family == AF_UNIX ? clear_path(text, address, why) : PTQ_OK;

    if (answer != PTQ_OK)
        return answer;
    if (address->any.sa_family == AF_UNIX)
        (void)fchmod(listener->fd, 0600); /* the file that bind makes has this mode */
    else
        setsockopt(listener->fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(listener->fd, &address->any, address->size) != 0 || listen(listener->fd, BACKLOG) != 0)
        return no(why, PTQ_ESYS, "cannot listen on '%s': %s%s", text, strerror(errno),
                  errno == EADDRINUSE ? "; choose another port, or 0 for any" : "");
    if (address->any.sa_family == AF_UNIX && stat(address->local.sun_path, &status) == 0) {
        snprintf(listener->path, sizeof listener->path, "%s", address->local.sun_path);
        listener->device = status.st_dev;
        listener->inode = status.st_ino;
    }
    return PTQ_OK;
}

static void write_url(struct listen *listener, const char *text)
{
    struct address address;
    char host[INET6_ADDRSTRLEN];

    memset(&address, 0, sizeof address);
    address.size = sizeof address.v6;
    snprintf(listener->url, sizeof listener->url, "%s", text);
    if (getsockname(listener->fd, &address.any, &address.size) != 0)
        return;
    if (address.any.sa_family == AF_INET)
        snprintf(listener->url, sizeof listener->url, "http://%s:%u", inet_ntop(AF_INET, &address.v4.sin_addr, host, sizeof host),
                 ntohs(address.v4.sin_port));
    else if (address.any.sa_family == AF_INET6)
        snprintf(listener->url, sizeof listener->url, "http://[%s]:%u",
                 inet_ntop(AF_INET6, &address.v6.sin6_addr, host, sizeof host), ntohs(address.v6.sin6_port));
}

enum ptq_err listen_open(const char *text, bool insecure, char *why_text, size_t why_size, struct listen *ret_listen)
{
    const struct why why = {why_text, why_size};
    struct listen listener = {.fd = -1};
    struct address address;
    enum ptq_err answer = read_address(text, insecure, &why, &address);

    if (answer != PTQ_OK)
        return answer;
    listener.fd = socket(address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (listener.fd < 0)
        return no(&why, PTQ_ESYS, "cannot listen on '%s': %s", text, strerror(errno));
    answer = bind_socket(&listener, text, &address, &why);
    if (answer != PTQ_OK) {
        close(listener.fd);
        return answer;
    }
    write_url(&listener, text);
    *ret_listen = listener;
    return PTQ_OK;
}

void listen_close(struct listen *listener)
{
    struct stat status;

    close(listener->fd);
    if (listener->path[0] != '\0' && stat(listener->path, &status) == 0 && status.st_dev == listener->device &&
        status.st_ino == listener->inode)
        unlink(listener->path);
}
