/* run_bar.c -- how far ptq pool run is: one line on a terminal, nothing elsewhere. */
#include "run_bar.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "common/clock.h"

enum { WIDTH_MOST = 200 };

static unsigned width_of_terminal(void)
{
    struct winsize size;

    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col < 20)
        return 80;
    return size.ws_col < WIDTH_MOST ? size.ws_col : WIDTH_MOST;
}

void run_bar_open(struct run_bar *bar, bool picture, bool eta)
{
    const char *terminal = getenv("TERM");

    *bar = (struct run_bar){.picture = picture, .began_ms = tool_now_ms()};
    bar->shown = (picture || eta) && isatty(STDERR_FILENO) && terminal != NULL && strcmp(terminal, "dumb") != 0;
}

static void write_time(char *text, size_t size, double seconds)
{
    if (seconds < 60)
        snprintf(text, size, "%.0fs", seconds);
    else if (seconds < 3600)
        snprintf(text, size, "%dm%02ds", (int)seconds / 60, (int)seconds % 60);
    else
        snprintf(text, size, "%.0fh%02dm", seconds / 3600 - 0.5, (int)(seconds / 60) % 60);
}

static void draw_picture(char *line, size_t length, unsigned width, double part)
{
    unsigned room = width > length + 3 ? width - (unsigned)length - 3 : 0;

    if (room < 8)
        return;
    line[length++] = ' ';
    line[length++] = '[';
    for (unsigned i = 0; i + 2 < room; i++)
        line[length++] = i < (unsigned)(part * (room - 2)) ? '#' : '.';
    line[length++] = ']';
    line[length] = '\0';
}

void run_bar_draw(struct run_bar *bar, uint64_t done, uint64_t failed, uint64_t total, bool now)
{
    char line[WIDTH_MOST + 64] = "", left[32] = "", bad[40] = "";
    int64_t ms = tool_now_ms();
    uint64_t all = done + bar->skipped;

    if (!bar->shown || (!now && ms - bar->drawn_ms < RUN_BAR_MS))
        return;
    bar->drawn_ms = ms;
    double seconds = (double)(ms - bar->began_ms) / 1000, part = total > 0 ? (double)all / (double)total : 0;
    if (failed > 0)
        snprintf(bad, sizeof bad, ", %" PRIu64 " failed", failed);
    if (total > 0 && done > 0 && all <= total) {
        write_time(left, sizeof left, seconds * (double)(total - all) / (double)done);
        snprintf(line, sizeof line, "%3.0f%% %" PRIu64 "/%" PRIu64 ", %s left%s", 100 * part, all, total, left, bad);
    } else if (total > 0) {
        snprintf(line, sizeof line, "%3.0f%% %" PRIu64 "/%" PRIu64 "%s", 100 * part, all, total, bad);
    } else {
        snprintf(line, sizeof line, "%" PRIu64 " done, %.3g/s%s", all, seconds > 0 ? (double)done / seconds : 0, bad);
    }
    if (bar->picture && total > 0 && all <= total)
        draw_picture(line, strlen(line), width_of_terminal(), part);
    line[width_of_terminal() - 1] = '\0';
    fprintf(stderr, "\r%s\033[K", line);
    fflush(stderr);
    bar->on_screen = true;
}

void run_bar_hide(struct run_bar *bar)
{
    if (!bar->on_screen)
        return;
    fputs("\r\033[K", stderr);
    fflush(stderr);
    bar->on_screen = false;
}
