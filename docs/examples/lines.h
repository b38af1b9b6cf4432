/* lines.h -- lines from the standard input into one queue, messages of another to the standard output: what poll.c, epoll.c,
 * libuv.c and libevent.c have in common.  What differs is who waits.
 *
 * Rules of a descriptor of ptq: watch it for reading, also that of the put side; do not read from it; when it is readable, ask
 * with PTQ_NOWAIT.  It stays readable until a call answers PTQ_EMPTY (or PTQ_FULL), so one may stop before.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <ptq/ptq.h>

struct lines {
    ptq_bus *bus;
    ptq_queue *out, *in;
    int put_fd, get_fd;
    char bytes[4096]; /* read, and not put yet */
    size_t used;
    bool is_full;     /* there is a line, and no room for it: watch put_fd and not the standard input */
    bool is_read;     /* the standard input is at its end */
    bool has_ended;   /* the other side is */
};

static inline void must(enum ptq_err answer, const char *what)
{
    if (answer == PTQ_OK)
        return;
    fprintf(stderr, "%s: %s\n", what, ptq_strerror(answer));
    exit(1);
}

static inline void lines_open(struct lines *l, int argc, char **argv)
{
    struct ptq_queue_options small = {.capacity = 16, .item_size = sizeof l->bytes};

    if (argc != 3) {
        fprintf(stderr, "usage: %s OUT IN - lines go to the queue OUT, and come from the queue IN\n", argv[0]);
        exit(2);
    }
    must(ptq_bus_open("lines", NULL, &l->bus), "bus lines");
    must(ptq_queue_open(l->bus, argv[1], &small, &l->out), argv[1]);
    must(ptq_queue_open(l->bus, argv[2], &small, &l->in), argv[2]);
    must(ptq_queue_fd(l->out, PTQ_SIDE_PUT, &l->put_fd), argv[1]);
    must(ptq_queue_fd(l->in, PTQ_SIDE_GET, &l->get_fd), argv[2]);
}

/* put_fd is readable, or there are new lines: puts what finds room. */
static inline void lines_put(struct lines *l)
{
    char *newline;

    l->is_full = false;
    while (!l->is_full && (newline = memchr(l->bytes, '\n', l->used)) != NULL) {
        size_t size = (size_t)(newline - l->bytes) + 1;
        enum ptq_err answer = ptq_put(l->out, l->bytes, size, PTQ_NOWAIT);
        l->is_full = answer == PTQ_FULL;
        if (l->is_full)
            return;
        must(answer, "put");
        l->used -= size;
        memmove(l->bytes, newline + 1, l->used);
    }
    if (l->is_read)
        must(ptq_end(l->out), "end");
}

/* The standard input is readable. */
static inline void lines_read(struct lines *l)
{
    size_t room = sizeof l->bytes - 1 - l->used;
    ssize_t got = read(STDIN_FILENO, l->bytes + l->used, room);

    if (room == 0) {
        fprintf(stderr, "a line is longer than %zu bytes\n", sizeof l->bytes - 1);
        exit(1);
    }
    if (got <= 0) {
        l->is_read = true;
        if (l->used > 0) /* the last line has no end */
            l->bytes[l->used++] = '\n';
    } else {
        l->used += (size_t)got;
    }
    lines_put(l);
}

/* get_fd is readable. */
static inline void lines_get(struct lines *l)
{
    char line[sizeof l->bytes];
    size_t size;
    enum ptq_err answer;

    while ((answer = ptq_recv(l->in, line, sizeof line, PTQ_NOWAIT, &size)) == PTQ_OK)
        fwrite(line, 1, size, stdout);
    fflush(stdout);
    l->has_ended = answer == PTQ_END;
    if (!l->has_ended && answer != PTQ_EMPTY)
        must(answer, "recv");
}

static inline bool lines_wants_input(const struct lines *l) { return !l->is_full && !l->is_read; }
static inline bool lines_is_done(const struct lines *l) { return l->is_read && !l->is_full && l->has_ended; }

static inline void lines_close(struct lines *l)
{
    ptq_queue_close(l->out);
    ptq_queue_close(l->in);
    ptq_bus_close(l->bus);
}
