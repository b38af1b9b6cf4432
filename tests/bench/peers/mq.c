/* mq.c -- peer: a POSIX message queue, as deep as this user may make it. */
#include "shape.h"

#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <stdio.h>
#include <unistd.h>

static mqd_t lines[PEER_LINES];

static void peer_prepare(struct bench *bench, unsigned line)
{
    char name[64];
    snprintf(name, sizeof name, "/ptq-bench.%d.%u", (int)getpid(), line);
    struct mq_attr attr = {.mq_maxmsg = 1024, .mq_msgsize = (long)bench->options.size};
    while ((lines[line] = mq_open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600, &attr)) == (mqd_t)-1) {
        if (attr.mq_maxmsg <= 4)
            bench_fail("mq_open: %s", strerror(errno));
        attr.mq_maxmsg = attr.mq_maxmsg > 10 ? 10 : 4; /* what everybody may have */
    }
    mq_unlink(name); /* roles inherit it */
}

static void peer_open(struct bench *bench, unsigned line, bool producer)
{
    (void)bench, (void)line, (void)producer;
}

static inline bool peer_put(unsigned line, const void *bytes, size_t size)
{
    if (mq_send(lines[line], bytes, size, 0) != 0)
        bench_fail("mq_send: %s", strerror(errno));
    return true;
}

static inline bool peer_get(unsigned line, void *bytes, size_t size)
{
    if (mq_receive(lines[line], bytes, size, NULL) != (ssize_t)size)
        bench_fail("mq_receive: %s", strerror(errno));
    return true;
}

static void peer_close(unsigned line, bool producer)
{
    (void)producer;
    mq_close(lines[line]);
}

int main(int argc, char **argv)
{
    struct bench bench = {.name = "POSIX message queue"};
    return peer_main(&bench, argc, argv, true, 8192);
}
