/* poll.c -- the standard input, a queue that may be full and a queue that may be empty, in one poll().
 *
 *     seq 3 | ./lines_poll there there
 *     1
 *     2
 *     3
 */
#include <poll.h>

#include "lines.h"

int main(int argc, char **argv)
{
    static struct lines lines;

    lines_open(&lines, argc, argv);
    while (!lines_is_done(&lines)) {
        struct pollfd fds[] = {
            {.fd = lines_wants_input(&lines) ? STDIN_FILENO : -1, .events = POLLIN}, /* poll passes over -1 */
            {.fd = lines.is_full ? lines.put_fd : -1, .events = POLLIN},             /* for reading, though we want to put */
            {.fd = lines.has_ended ? -1 : lines.get_fd, .events = POLLIN},
        };

        if (poll(fds, 3, -1) < 0)
            continue; /* a signal */
        if (fds[0].revents != 0)
            lines_read(&lines);
        if (fds[1].revents != 0)
            lines_put(&lines);
        if (fds[2].revents != 0)
            lines_get(&lines);
    }
    lines_close(&lines);
    return 0;
}
