/* draw_detail.c -- one queue on the whole screen: figures, trends, how long messages waited, who is attached, what is in it. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "common/text.h"
#include "pane.h"

struct pane *pane_new(void)
{
    return calloc(1, sizeof(struct pane));
}

void pane_free(struct pane *pane)
{
    for (size_t i = 0; pane != NULL && i < pane->count; i++)
        free(pane->lines[i].text);
    if (pane != NULL)
        free(pane->lines);
    free(pane);
}

void pane_add(struct pane *pane, attr_t look, const char *format, ...)
{
    char text[1024], safe[2048];
    va_list arguments;

    if (pane == NULL)
        return;
    if (pane->count == pane->room) {
        size_t room = pane->room == 0 ? 64 : 2 * pane->room;
        struct pane_line *lines = realloc(pane->lines, room * sizeof *lines);
        if (lines == NULL)
            return;
        pane->lines = lines;
        pane->room = room;
    }
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    char *copy = strdup(tool_escape(text, strlen(text), safe, sizeof safe));
    if (copy != NULL)
        pane->lines[pane->count++] = (struct pane_line){.text = copy, .look = look};
}

void pane_add_parts(struct pane *pane, attr_t look, int width, const char *format, ...)
{
    char text[1024], line[1024] = "";
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    for (char *at = text; *at != '\0';) {
        const char *end = strstr(at, "  ");
        size_t size = end != NULL ? (size_t)(end - at) : strlen(at), used = strlen(line);
        if (used > 0 && tool_width(line, SIZE_MAX) + 2 + tool_width(at, size) > width) {
            pane_add(pane, look, "%s", line);
            used = (size_t)snprintf(line, sizeof line, "%s", "  ");
        } else if (used > 0)
            used = strlen(strcat(line, "  "));
        snprintf(line + used, sizeof line - used, "%.*s", (int)size, at);
        for (at += size; *at == ' ';)
            at++;
    }
    pane_add(pane, look, "%s", line);
}

void pane_draw(const struct pane *pane, size_t from, int x, int width)
{
    for (int y = 0; pane != NULL && y < body_lines() && from + (size_t)y < pane->count; y++) {
        const struct pane_line *line = &pane->lines[from + (size_t)y];
        draw_part(header_lines() + y, x, line->text, 0, x + width, line->look);
    }
}

void detail_free(struct screen *screen)
{
    pane_free(screen->left_pane);
    pane_free(screen->right_pane);
    screen->left_pane = screen->right_pane = NULL;
    screen->pane_frame = 0;
}

#define TWO_PANES 140 /* columns from which on there are two beside each other */

/* Of a pool: its jobs. */
static const struct watched *find_queue(const struct screen *screen, const struct row *row)
{
    char name[PTQ_NAME_MAX + 8];

    snprintf(name, sizeof name, "%s%s", row->name, row->is_pool ? ".jobs" : "");
    return watcher_find(screen->watcher, name);
}

static void gather(struct screen *screen, const struct row *row)
{
    bool two = COLS >= TWO_PANES;
    int width = two ? COLS / 2 - 1 : COLS;
    const struct watched *queue = find_queue(screen, row);

    detail_free(screen);
    screen->pane_frame = screen->frame->number;
    screen->pane_columns = COLS;
    screen->left_pane = pane_new();
    screen->right_pane = two ? pane_new() : NULL;
    struct pane *right = two ? screen->right_pane : screen->left_pane;
    detail_facts(screen, row, width, screen->left_pane);
    detail_trends(screen, row, width, screen->left_pane);
    if (queue == NULL)
        return;
    if (two)
        detail_people(screen, queue, width, screen->left_pane);
    detail_waits(screen, queue, width, right);
    if (!two)
        detail_people(screen, queue, width, screen->left_pane);
    detail_messages(screen, queue, right);
}

void draw_detail(struct screen *screen)
{
    const struct row *row = selected_row(screen);

    if (row == NULL) {
        draw_text(header_lines(), "the queue is gone", A_BOLD);
        return;
    }
    if (screen->pane_frame != screen->frame->number || screen->pane_columns != COLS)
        gather(screen, row);
    size_t lines = screen->left_pane != NULL ? screen->left_pane->count : 0;
    if (screen->right_pane != NULL && screen->right_pane->count > lines)
        lines = screen->right_pane->count;
    if (screen->from + (size_t)body_lines() > lines)
        screen->from = lines > (size_t)body_lines() ? lines - (size_t)body_lines() : 0;
    pane_draw(screen->left_pane, screen->from, 0, screen->right_pane != NULL ? COLS / 2 - 1 : COLS);
    pane_draw(screen->right_pane, screen->from, COLS / 2 + 1, COLS - COLS / 2 - 1);
}
