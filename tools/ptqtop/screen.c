/* screen.c -- ptqtop on a terminal: the loop of looking, drawing and keys. */
#include "screen.h"

#include <langinfo.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "away.h"
#include "common/say.h"
#include "restore.h"

#define TICK 0.1 /* seconds between two marks of a lane, while lanes are shown */

bool screen_possible(void)
{
    const char *term = getenv("TERM");

    return isatty(STDIN_FILENO) && isatty(STDOUT_FILENO) && term != NULL && term[0] != '\0' && strcmp(term, "dumb") != 0;
}

static double now_seconds(void)
{
    return (double)clock_ns(CLOCK_MONOTONIC) / 1e9;
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

static bool has_ticks(const struct screen *screen)
{
    return top_options.view == VIEW_POOLS && !screen->paused && screen->cover == COVER_NONE && screen->frame != NULL && screen->frame->pool_count > 0;
}

/* A frame if it is time for one; *due: when the next is. */
static enum ptq_err look_in_time(struct screen *screen, double *due)
{
    if (!screen->anew && now_seconds() < *due) {
        if (has_ticks(screen))
            watcher_workers(screen->watcher);
        return PTQ_OK;
    }
    *due = now_seconds() + top_options.delay;
    if (screen->paused && !screen->anew)
        return PTQ_OK;
    screen->anew = false;
    enum ptq_err err = look(screen);
    if (err == PTQ_OK && ++screen->frames == top_options.count)
        screen->leave = true;
    return err;
}

/* 0: the terminal is gone. */
static bool wait_for_key(const struct screen *screen, double due)
{
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    double left = screen->anew ? 0 : due - now_seconds();

    left = left < 3600 ? left : 3600;
    if (has_ticks(screen) && left > TICK)
        left = TICK;
    int ready = poll(&input, 1, left > 0 ? (int)(left * 1000) + 1 : 0);
    return ready <= 0 || !(input.revents & (POLLHUP | POLLERR | POLLNVAL));
}

static enum ptq_err loop(struct screen *screen)
{
    double due = now_seconds();

    while (!screen->leave && !restore_wanted()) {
        enum ptq_err err = look_in_time(screen, &due);
        if (err != PTQ_OK)
            return err;
        screen_draw(screen);
        if (!wait_for_key(screen, due))
            break;
        read_keys(screen); /* also after a signal: a new size comes as a key */
    }
    return PTQ_OK;
}

static void begin_colours(struct screen *screen)
{
    static const struct {
        enum paint pair;
        short colour;
    } pairs[] = {{PAINT_HEAD, COLOR_CYAN}, {PAINT_WARN, COLOR_YELLOW}, {PAINT_ALARM, COLOR_RED},
                 {PAINT_GOOD, COLOR_GREEN}, {PAINT_DIM, -1}, {PAINT_TAB, COLOR_CYAN}};

    screen->colour = tool_colour(stdout) && has_colors();
    if (!screen->colour)
        return;
    start_color();
    use_default_colors();
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++)
        init_pair((short)pairs[i].pair, pairs[i].colour, -1);
}

static void begin_screen(struct screen *screen)
{
    const char *wrong;

    top_options.ascii |= strcmp(nl_langinfo(CODESET), "UTF-8") != 0;
    if (top_options.ascii)
        screen->look = LOOK_ASCII_BARS;
    if (top_options.filter != NULL)
        snprintf(screen->filter, sizeof screen->filter, "%s", top_options.filter);
    screen->chosen = top_options.columns != NULL && columns_read(top_options.columns, &screen->picked, &wrong);
    screen->watcher->thrifty = true;
    screen->watcher->frame.workers.wave = true;
    screen->watcher->frame.workers.rate_window_ns = 900000000;
    away_wait(screen->watcher->away, false);
}

static void begin_terminal(struct screen *screen)
{
    restore_arm();
    cbreak();
    noecho();
    nonl();
    keypad(stdscr, TRUE);
    nodelay(stdscr, TRUE);
    set_escdelay(50);
    curs_set(0);
    begin_colours(screen);
    restore_guard();
}

int screen_run(struct watcher *watcher)
{
    struct screen screen = {.watcher = watcher, .look = LOOK_BARS};

    restore_prepare();
    SCREEN *terminal = newterm(NULL, stdout, stdin);
    if (terminal == NULL)
        return -1;
    begin_screen(&screen);
    begin_terminal(&screen);
    enum ptq_err err = loop(&screen);
    endwin();
    delscreen(terminal);
    detail_free(&screen);
    restore_disarm();
    if (err != PTQ_OK)
        return tool_fail(err, NULL, "cannot list queues: %s", ptq_strerror(err));
    return TOOL_OK;
}
