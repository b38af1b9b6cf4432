/* progress.c -- how far long work is, on a terminal and only there. */
#include "progress.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/text.h"

enum { EVERY_MS = 200 };

bool progress_is_seen(void)
{
    struct stat about;

    return isatty(STDOUT_FILENO) || (fstat(STDOUT_FILENO, &about) == 0 && (S_ISFIFO(about.st_mode) || S_ISSOCK(about.st_mode)));
}

void progress_begin(struct progress *progress, const char *verb, bool busy)
{
    const char *terminal = getenv("TERM");

    *progress = (struct progress){.verb = verb, .began_ms = tool_now_ms()};
    progress->on = !busy && isatty(STDERR_FILENO) && terminal != NULL && strcmp(terminal, "dumb") != 0;
    progress->next_ms = progress->began_ms + EVERY_MS;
}

void progress_show(struct progress *progress, uint64_t messages, uint64_t bytes, uint64_t of)
{
    int64_t now;
    char size[16], percent[16] = "";

    if (!progress->on || (now = tool_now_ms()) < progress->next_ms)
        return;
    progress->next_ms = now + EVERY_MS;
    if (of > 0 || progress->count > 0)
        snprintf(percent, sizeof percent, ", %u %%",
                 (unsigned)(of > 0 ? 100.0 * (double)bytes / (double)of : 100.0 * (double)messages / (double)progress->count));
    fprintf(stderr, "\r%llu messages %s, %s%s, %.0f a second\033[K\r", (unsigned long long)messages, progress->verb, tool_human(bytes, 1024, size), percent,
            1000.0 * (double)messages / (double)(now - progress->began_ms));
}

void progress_hide(const struct progress *progress)
{
    if (progress->on)
        fputs("\r\033[K", stderr);
}

void progress_end(struct progress *progress)
{
    progress_hide(progress);
    progress->on = false;
}
