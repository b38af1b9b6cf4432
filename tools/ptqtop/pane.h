/* pane.h -- lines of text with their looks, gathered once a frame and scrolled afterwards. */
#ifndef PTQTOP_PANE_H
#define PTQTOP_PANE_H

#include "screen.h"

struct pane {
    struct pane_line {
        char *text;
        attr_t look;
    } *lines; /* owned */
    size_t count, room;
};

struct pane *pane_new(void); /* NULL: no memory; all others take NULL */
void pane_free(struct pane *pane);
__attribute__((format(printf, 3, 4))) void pane_add(struct pane *pane, attr_t look, const char *format, ...);
/* A line of parts with two spaces between them, broken there where it is wider than that. */
__attribute__((format(printf, 4, 5))) void pane_add_parts(struct pane *pane, attr_t look, int width, const char *format, ...);
void pane_draw(const struct pane *pane, size_t from, int x, int width);

/* detail.c: what is told of a queue. */
void detail_facts(const struct screen *screen, const struct row *row, int width, struct pane *pane);
void detail_trends(const struct screen *screen, const struct row *row, int width, struct pane *pane);
void detail_people(const struct screen *screen, const struct watched *queue, int width, struct pane *pane);
void detail_waits(const struct screen *screen, const struct watched *queue, int width, struct pane *pane);
void detail_messages(const struct screen *screen, const struct watched *queue, struct pane *pane);

#endif
