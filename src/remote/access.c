/* access.c -- which addresses may be used: plain links beyond this host only by request. */
#include "remote/access.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "bus/bus.h"

static bool is_loopback(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET)
        return ntohl(((const struct sockaddr_in *)(const void *)address)->sin_addr.s_addr) >> 24 == 127;
    return address->sa_family == AF_INET6 &&
           IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)(const void *)address)->sin6_addr);
}

/* Every address that the name stands for. */
static bool is_loopback_host(const char *host)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list;
    bool near = true;

    if (getaddrinfo(host, NULL, &hints, &list) != 0)
        return false;
    for (const struct addrinfo *at = list; at != NULL; at = at->ai_next)
        near = near && is_loopback(at->ai_addr);
    freeaddrinfo(list);
    return near;
}

/* "host:port", "[v6]:port", "*:port", ":port" */
static bool split_host(const char *text, char *host, size_t size)
{
    const char *colon = strrchr(text, ':'), *begin = text, *end = colon;
    char *rest;

    if (colon == NULL || colon[1] < '0' || colon[1] > '9')
        return false;
    unsigned long port = strtoul(colon + 1, &rest, 10);
    if (port > 65535 || *rest != '\0')
        return false;
    if (*begin == '[') {
        if (colon == text + 1 || colon[-1] != ']')
            return false;
        begin++;
        end--;
        if (begin == end)
            return false;
    }
    return (size_t)snprintf(host, size, "%.*s", (int)(end - begin), begin) < size;
}

static enum ptq_err check_tcp(const char *what, const char *url, const char *text, bool insecure,
                              struct ptq_error *error)
{
    char host[256];

    if (!split_host(text, host, sizeof host))
        return pti_error(error, PTQ_EINVAL, "cannot %s '%s': it is not of the form tcp://host:port", what, url);
    if (insecure)
        return PTQ_OK;
    if (host[0] == '\0' || strcmp(host, "*") == 0 || !is_loopback_host(host))
        return pti_error(
            error, PTQ_EPERM,
            "cannot %s '%s': it is beyond the loopback, and the link would be neither encrypted nor checked; "
            "use 127.0.0.1, or, on a wire that you trust, say --insecure (PTQ_INSECURE=1)",
            what, url);
    return PTQ_OK;
}

enum ptq_err pti_access_check(const char *what, const char *url, bool insecure, struct ptq_error *error)
{
    if (strncmp(url, "tcp://", 6) == 0)
        return check_tcp(what, url, url + 6, insecure, error);
    if (strncmp(url, "ipc://", 6) == 0) {
        if (url[6] == '/' && strlen(url + 6) < sizeof((struct sockaddr_un *)0)->sun_path)
            return PTQ_OK;
        return pti_error(error, PTQ_EINVAL,
                         "cannot %s '%s': after ipc:// comes an absolute path of less than %zu bytes", what, url,
                         sizeof((struct sockaddr_un *)0)->sun_path);
    }
    return pti_error(error, PTQ_EINVAL, "cannot %s '%s': ptq speaks tcp://host:port and ipc:///path", what, url);
}
