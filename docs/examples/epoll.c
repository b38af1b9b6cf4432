/* epoll.c -- the standard input, a queue that may be full and a queue that may be empty, in one epoll set.
 *
 *     seq 3 | ./lines_epoll there there
 *     1
 *     2
 *     3
 *
 * (epoll takes no ordinary files: cat file | ./lines_epoll ...)
 */
#include <sys/epoll.h>

#include "lines.h"

/* In the set, or not: one that is only masked would still tell of its hang-up, again and again. */
static void watch(int set, int fd, bool wanted)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

    epoll_ctl(set, EPOLL_CTL_DEL, fd, NULL);
    if (wanted && epoll_ctl(set, EPOLL_CTL_ADD, fd, &event) != 0) {
        perror("epoll_ctl");
        exit(1);
    }
}

int main(int argc, char **argv)
{
    static struct lines lines;
    int set = epoll_create1(EPOLL_CLOEXEC);

    lines_open(&lines, argc, argv);
    while (!lines_is_done(&lines)) {
        struct epoll_event events[3];
        int count;

        watch(set, STDIN_FILENO, lines_wants_input(&lines));
        watch(set, lines.put_fd, lines.is_full); /* for reading, though we want to put */
        watch(set, lines.get_fd, !lines.has_ended);
        count = epoll_wait(set, events, 3, -1);
        for (int i = 0; i < count; i++) {
            if (events[i].data.fd == lines.get_fd)
                lines_get(&lines);
            else if (events[i].data.fd == lines.put_fd)
                lines_put(&lines);
            else if (lines_wants_input(&lines))
                lines_read(&lines);
        }
    }
    close(set);
    lines_close(&lines);
    return 0;
}
