/* libuv.c -- the standard input, a queue that may be full and a queue that may be empty, in a loop of libuv.
 *
 *     seq 3 | ./lines_libuv there there
 *     1
 *     2
 *     3
 */
#include <uv.h>

#include "lines.h"

static struct lines lines;
static uv_poll_t input, room, messages;

static void on_event(uv_poll_t *handle, int status, int events);

static void watch(uv_poll_t *handle, bool wanted)
{
    if (wanted)
        uv_poll_start(handle, UV_READABLE, on_event); /* room, too, is told by reading */
    else
        uv_poll_stop(handle); /* the loop ends when nothing is watched */
}

static void on_event(uv_poll_t *handle, int status, int events)
{
    (void)status; /* an error of the standard input is its end: read tells */
    (void)events;
    if (handle == &input && lines_wants_input(&lines))
        lines_read(&lines);
    else if (handle == &room && lines.is_full)
        lines_put(&lines);
    else if (handle == &messages)
        lines_get(&lines);
    watch(&input, lines_wants_input(&lines));
    watch(&room, lines.is_full);
    watch(&messages, !lines.has_ended);
}

static void begin(uv_poll_t *handle, int fd, bool wanted)
{
    int error = uv_poll_init(uv_default_loop(), handle, fd);

    if (error != 0) {
        fprintf(stderr, "libuv cannot watch descriptor %d: %s\n", fd, uv_strerror(error));
        exit(1);
    }
    watch(handle, wanted);
}

int main(int argc, char **argv)
{
    lines_open(&lines, argc, argv);
    begin(&input, STDIN_FILENO, true);
    begin(&room, lines.put_fd, false);
    begin(&messages, lines.get_fd, true);
    uv_run(uv_default_loop(), UV_RUN_DEFAULT);
    uv_close((uv_handle_t *)&input, NULL);
    uv_close((uv_handle_t *)&room, NULL);
    uv_close((uv_handle_t *)&messages, NULL);
    uv_run(uv_default_loop(), UV_RUN_DEFAULT);
    uv_loop_close(uv_default_loop());
    lines_close(&lines);
    return 0;
}
