/* run_bar.h -- how far ptq pool run is: one line on a terminal, nothing elsewhere. */
#ifndef PTQ_TOOL_RUN_BAR_H
#define PTQ_TOOL_RUN_BAR_H

#include <stdbool.h>
#include <stdint.h>

struct run_bar {
    bool shown;    /* --bar or --eta, and standard error is a terminal */
    bool picture;  /* --bar */
    bool on_screen;
    int64_t began_ms, drawn_ms;
    uint64_t skipped; /* done by an earlier run */
};

enum { RUN_BAR_MS = 200 };

void run_bar_open(struct run_bar *bar, bool picture, bool eta);
/* Draws it, now and then.  total: 0: not known. */
void run_bar_draw(struct run_bar *bar, uint64_t done, uint64_t failed, uint64_t total, bool now);
/* Takes it away: something else is written to the terminal. */
void run_bar_hide(struct run_bar *bar);

#endif
