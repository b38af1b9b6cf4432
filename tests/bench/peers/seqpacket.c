/* seqpacket.c -- peer: a pair of AF_UNIX SOCK_SEQPACKET sockets, a send and a recv a message. */
#include "shape.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#define ROOM (4 << 20)

static int lines[PEER_LINES][2];

static void peer_prepare(struct bench *bench, unsigned line)
{
    (void)bench;
    int room = ROOM;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, lines[line]) != 0)
        bench_fail("socketpair: %s", strerror(errno));
    if (setsockopt(lines[line][1], SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof room) != 0)
        setsockopt(lines[line][1], SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
}

static void peer_open(struct bench *bench, unsigned line, bool producer)
{
    (void)bench;
    close(lines[line][!producer]);
}

static inline bool peer_put(unsigned line, const void *bytes, size_t size)
{
    if (send(lines[line][1], bytes, size, MSG_NOSIGNAL) != (ssize_t)size)
        bench_fail("send of %zu bytes: %s", size, strerror(errno));
    return true;
}

static inline bool peer_get(unsigned line, void *bytes, size_t size)
{
    ssize_t got = recv(lines[line][0], bytes, size, 0);
    if (got != (ssize_t)size)
        bench_fail("recv: %zd bytes: %s", got, strerror(errno));
    return true;
}

static void peer_close(unsigned line, bool producer)
{
    close(lines[line][producer]);
}

int main(int argc, char **argv)
{
    struct bench bench = {.name = "SOCK_SEQPACKET pair"};
    return peer_main(&bench, argc, argv, true, 1u << 20);
}
