/* pipe.c -- peer: a pipe, one write a message; a consumer that is alone reads as much as there is. */
#include "shape.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

#define ROOM (1 << 20)

static struct {
    int fd[2];
    unsigned char *bytes; /* read and not yet handed out; NULL: each message is read by itself */
    size_t begin, end;
} lines[PEER_LINES];

static void peer_prepare(struct bench *bench, unsigned line)
{
    bool many = bench->options.producers + bench->options.consumers > 2;
    if (many && bench->options.size > PIPE_BUF)
        bench_fail("several writers: messages up to %d bytes, which are written whole", PIPE_BUF);
    if (pipe2(lines[line].fd, O_CLOEXEC) != 0)
        bench_fail("pipe: %s", strerror(errno));
    fcntl(lines[line].fd[1], F_SETPIPE_SZ, ROOM); /* as large as it may be */
    lines[line].bytes = many || bench->options.size > ROOM ? NULL : malloc(ROOM);
}

static void peer_open(struct bench *bench, unsigned line, bool producer)
{
    (void)bench;
    close(lines[line].fd[producer ? 0 : 1]);
}

static inline bool peer_put(unsigned line, const void *bytes, size_t size)
{
    for (size_t done = 0; done < size;) {
        ssize_t written = write(lines[line].fd[1], (const char *)bytes + done, size - done);
        if (written < 0)
            bench_fail("write: %s", strerror(errno));
        done += (size_t)written;
    }
    return true;
}

static size_t read_some(unsigned line, void *bytes, size_t size)
{
    ssize_t got = read(lines[line].fd[0], bytes, size);
    if (got <= 0)
        bench_fail("read: %s", got == 0 ? "the pipe ended early" : strerror(errno));
    return (size_t)got;
}

static inline bool peer_get(unsigned line, void *bytes, size_t size)
{
    if (lines[line].bytes == NULL) {
        for (size_t done = 0; done < size;)
            done += read_some(line, (char *)bytes + done, size - done);
        return true;
    }
    while (lines[line].end - lines[line].begin < size) {
        memmove(lines[line].bytes, lines[line].bytes + lines[line].begin, lines[line].end - lines[line].begin);
        lines[line].end -= lines[line].begin;
        lines[line].begin = 0;
        lines[line].end += read_some(line, lines[line].bytes + lines[line].end, ROOM - lines[line].end);
    }
    memcpy(bytes, lines[line].bytes + lines[line].begin, size);
    lines[line].begin += size;
    return true;
}

static void peer_close(unsigned line, bool producer)
{
    close(lines[line].fd[producer]);
}

int main(int argc, char **argv)
{
    struct bench bench = {.name = "Pipe"};
    return peer_main(&bench, argc, argv, true, 8u << 20);
}
