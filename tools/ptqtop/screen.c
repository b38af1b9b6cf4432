/* screen.c -- ptqtop on a terminal: the loop of looking, drawing and keys. */
#include "screen.h"

#include <langinfo.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/say.h"
#include "restore.h"

bool screen_possible(void)
{
    const char *term = getenv("TERM");

    return isatty(STDIN_FILENO) && isatty(STDOUT_FILENO) && term != NULL && term[0] != '\0' && strcmp(term, "dumb") != 0;
}

static double now_seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static enum ptq_err look(struct screen *screen)
{
    top_options.filter = screen->filter;
    return watcher_look(screen->watcher, &screen->frame);
}

static void read_keys(struct screen *screen)
{
    bool anew = false;
    int key;

    while ((key = getch()) != ERR)
        anew |= screen_key(screen, key);
    if (anew && screen->frame != NULL)
        watcher_arrange(screen->watcher);
}

static enum ptq_err loop(struct screen *screen)
{
    double due = now_seconds();

    while (!screen->leave && !restore_wanted()) {
        double left = screen->anew ? 0 : due - now_seconds();
        if (left <= 0) {
            if (!screen->paused || screen->anew) {
                screen->anew = false;
                enum ptq_err err = look(screen);
                if (err != PTQ_OK)
                    return err;
                if (++screen->frames == top_options.count)
                    screen->leave = true;
            }
            due = now_seconds() + top_options.delay;
            left = top_options.delay;
        }
        screen_draw(screen);
        struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
        int ready = poll(&input, 1, (int)(left * 1000) + 1);
        if (ready > 0 && (input.revents & (POLLHUP | POLLERR | POLLNVAL)))
            break; /* the terminal is gone */
        read_keys(screen); /* also after a signal: a new size comes as a key */
    }
    return PTQ_OK;
}

static void begin_colours(struct screen *screen)
{
    screen->colour = tool_colour(stdout) && has_colors();
    if (!screen->colour)
        return;
    start_color();
    use_default_colors();
    init_pair(PAINT_HEAD, COLOR_CYAN, -1);
    init_pair(PAINT_WARN, COLOR_YELLOW, -1);
    init_pair(PAINT_ALARM, COLOR_RED, -1);
}

int screen_run(struct watcher *watcher)
{
    struct screen screen = {.watcher = watcher, .look = LOOK_BARS, .view = top_options.workers ? VIEW_WORKERS : VIEW_QUEUES};

    screen.endpoints = calloc(ENDPOINTS_MAX, sizeof *screen.endpoints);
    if (screen.endpoints == NULL)
        return tool_fail(PTQ_ENOMEM, NULL, "out of memory");
    if (top_options.ascii || strcmp(nl_langinfo(CODESET), "UTF-8") != 0)
        screen.look = LOOK_ASCII_BARS;
    if (top_options.filter != NULL)
        snprintf(screen.filter, sizeof screen.filter, "%s", top_options.filter);
    restore_prepare();
    SCREEN *terminal = newterm(NULL, stdout, stdin);
    if (terminal == NULL) {
        free(screen.endpoints);
        return -1;
    }
    restore_arm();
    cbreak();
    noecho();
    nonl();
    keypad(stdscr, TRUE);
    nodelay(stdscr, TRUE);
    set_escdelay(50);
    curs_set(0);
    begin_colours(&screen);

    enum ptq_err err = loop(&screen);
    endwin();
    delscreen(terminal);
    free(screen.endpoints);
    restore_disarm();
    if (err != PTQ_OK)
        return tool_fail(err, NULL, "cannot list queues: %s", ptq_strerror(err));
    return TOOL_OK;
}
