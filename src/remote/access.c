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

static enum ptq_err check_tcp(const char *what, const char *url, const char *text, bool far,
                              struct ptq_error *error)
{
    char host[256];

    if (!split_host(text, host, sizeof host))
        return pti_error(error, PTQ_EINVAL, "cannot %s '%s': it is not of the form %s", what, url,
                         url[0] == 'w' ? "ws://host:port/path" : "tcp://host:port");
    if (far)
        return PTQ_OK;
    if (host[0] == '\0' || strcmp(host, "*") == 0 || !is_loopback_host(host))
        return pti_error(
            error, PTQ_EPERM,
            "cannot %s '%s': it is beyond the loopback, and the link would be neither encrypted nor checked; "
            "use 127.0.0.1, or keys or tls (ptqbridge keygen; --keys, PTQ_KEYS), or, on a wire that you trust, say --insecure (PTQ_INSECURE=1)",
            what, url);
    return PTQ_OK;
}

/* Law: where a ws link led cannot be seen (nng 1.5.2), so a name that somebody might point elsewhere will not do. */
bool pti_access_is_near_ws(const char *url)
{
    struct in6_addr v6;
    struct in_addr v4;
    char host[256], where[256];

    snprintf(where, sizeof where, "%.*s", (int)strcspn(url + 5, "/"), url + 5);
    if (!split_host(where, host, sizeof host))
        return false;
    return (inet_pton(AF_INET, host, &v4) == 1 && ntohl(v4.s_addr) >> 24 == 127) ||
           (inet_pton(AF_INET6, host, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6));
}

bool pti_access_is_tls(const char *url)
{
    return strncmp(url, "tls+tcp://", 10) == 0 || strncmp(url, "wss://", 6) == 0;
}

/* Where it leads does not matter: who is there has to have a certificate. */
static enum ptq_err check_tls(const char *what, const char *url, struct ptq_error *error)
{
    const char *host = strstr(url, "://") + 3;
    char where[256], name[256];

    snprintf(where, sizeof where, "%.*s", url[0] == 'w' ? (int)strcspn(host, "/") : 255, host);
    if (strlen(host) < sizeof where && split_host(where, name, sizeof name))
        return PTQ_OK;
    return pti_error(error, PTQ_EINVAL, "cannot %s '%.200s': it is not of the form %s", what, url,
                     url[0] == 'w' ? "wss://host:port/path" : "tls+tcp://host:port");
}

static enum ptq_err check_ws(const char *what, const char *url, bool far, struct ptq_error *error)
{
    char where[256];
    size_t length = strcspn(url + 5, "/");

    if (length >= sizeof where)
        return pti_error(error, PTQ_EINVAL, "cannot %s '%.60s...': it is too long", what, url);
    snprintf(where, sizeof where, "%.*s", (int)length, url + 5);
    enum ptq_err answer = check_tcp(what, url, where, far, error);
    if (answer != PTQ_OK || far || pti_access_is_near_ws(url))
        return answer;
    return pti_error(error, PTQ_EPERM,
                     "cannot %s '%s': with ws:// the loopback is said by its address, 127.0.0.1 or [::1], for where a name "
                     "leads is not told; or say --insecure (PTQ_INSECURE=1)",
                     what, url);
}

enum ptq_err pti_access_check(const char *what, const char *url, bool far, struct ptq_error *error)
{
    if (strncmp(url, "tcp://", 6) == 0)
        return check_tcp(what, url, url + 6, far, error);
    if (pti_access_is_tls(url))
        return check_tls(what, url, error);
    if (strncmp(url, "ipc://", 6) == 0) {
        if (url[6] == '/' && strlen(url + 6) < sizeof((struct sockaddr_un *)0)->sun_path)
            return PTQ_OK;
        return pti_error(error, PTQ_EINVAL,
                         "cannot %s '%s': after ipc:// comes an absolute path of less than %zu bytes", what, url,
                         sizeof((struct sockaddr_un *)0)->sun_path);
    }
    if (strncmp(url, "ws://", 5) == 0)
        return check_ws(what, url, far, error);
    return pti_error(error, PTQ_EINVAL, "cannot %s '%s': ptq speaks tcp://host:port, tls+tcp://host:port, ipc:///path, ws://host:port/path and "
                     "wss://host:port/path",
                     what, url);
}
