/* libevent.c -- the standard input, a queue that may be full and a queue that may be empty, in a loop of libevent.
 *
 *     seq 3 | ./lines_libevent there there
 *     1
 *     2
 *     3
 */
#include <event2/event.h>

#include "lines.h"

static struct lines lines;
static struct event *input, *room, *messages;

static void watch(struct event *event, bool wanted)
{
    if (wanted)
        event_add(event, NULL);
    else
        event_del(event); /* the loop ends when nothing is watched */
}

static void on_event(evutil_socket_t fd, short what, void *context)
{
    struct event *event = *(struct event **)context;

    (void)fd;
    (void)what;
    if (event == input)
        lines_read(&lines);
    else if (event == room)
        lines_put(&lines);
    else
        lines_get(&lines);
    watch(input, lines_wants_input(&lines));
    watch(room, lines.is_full);
    watch(messages, !lines.has_ended);
}

static struct event *begin(struct event_base *base, int fd, struct event **event, bool wanted)
{
    *event = event_new(base, fd, EV_READ | EV_PERSIST, on_event, event); /* room, too, is told by reading */
    if (*event == NULL || (wanted && event_add(*event, NULL) != 0)) {
        fprintf(stderr, "libevent cannot watch descriptor %d\n", fd);
        exit(1);
    }
    return *event;
}

int main(int argc, char **argv)
{
    struct event_base *base = event_base_new();

    lines_open(&lines, argc, argv);
    begin(base, STDIN_FILENO, &input, true);
    begin(base, lines.put_fd, &room, false);
    begin(base, lines.get_fd, &messages, true);
    event_base_dispatch(base);
    event_free(input);
    event_free(room);
    event_free(messages);
    event_base_free(base);
    lines_close(&lines);
    return 0;
}
