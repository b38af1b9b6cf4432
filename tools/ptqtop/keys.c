/* keys.c -- what the keys of ptqtop do. */
#include "screen.h"

#include <string.h>

enum { KEY_ESCAPE = 27 };

static void select_row(struct screen *screen, long row)
{
    if (screen->view == VIEW_WORKERS) {
        screen->top_worker = row > 0 ? (size_t)row : 0; /* drawing keeps it in bounds */
        return;
    }
    long count = screen->frame != NULL ? (long)screen->frame->count : 0;

    if (row >= count)
        row = count - 1;
    if (row < 0)
        row = 0;
    screen->selected = (size_t)row;
    screen->selected_name[0] = '\0'; /* keep_selection takes the name at this row */
}

static void sort_by(struct screen *screen, int step)
{
    int count = screen->frame != NULL ? (int)top_columns_shown(screen->frame) : COLUMN_SEQ;

    top_options.sort = (top_options.sort + step + count) % count;
}

/* Typing the filter; true: the key was taken. */
static bool type_filter(struct screen *screen, int key)
{
    size_t length = strlen(screen->filter);

    if (!screen->typing)
        return false;
    if (key == KEY_RESIZE)
        return true;
    if (key == '\n' || key == '\r' || key == KEY_ENTER) {
        screen->typing = false;
    } else if (key == KEY_ESCAPE) {
        screen->typing = false;
        screen->filter[0] = '\0';
    } else if ((key == KEY_BACKSPACE || key == 127 || key == '\b') && length > 0) {
        screen->filter[length - 1] = '\0';
    } else if (key > ' ' && key < 127 && length + 1 < sizeof screen->filter) {
        screen->filter[length] = (char)key;
        screen->filter[length + 1] = '\0';
    }
    return true;
}

static void change_delay(double factor)
{
    double delay = top_options.delay * factor;

    top_options.delay = delay < 0.1 ? 0.1 : delay > 3600 ? 3600 : delay;
}

static void move_key(struct screen *screen, int key)
{
    bool workers = screen->view == VIEW_WORKERS;
    long row = (long)(workers ? screen->top_worker : screen->selected);
    long page = LINES - HEADER_LINES - 4 > 1 ? LINES - HEADER_LINES - 4 : 1;

    switch (key) {
    case KEY_DOWN:
    case 'j':
        select_row(screen, row + 1);
        break;
    case KEY_UP:
    case 'k':
        select_row(screen, row - 1);
        break;
    case KEY_NPAGE:
        select_row(screen, row + page);
        break;
    case KEY_PPAGE:
        select_row(screen, row - page);
        break;
    case KEY_HOME:
    case 'g':
        select_row(screen, 0);
        break;
    case KEY_END:
    case 'G':
        select_row(screen, 1L << 40);
        break;
    case KEY_RIGHT:
    case 'l':
        screen->left += screen->left < 400 ? 8 : 0;
        break;
    case KEY_LEFT:
    case 'h':
        screen->left -= screen->left < 8 ? screen->left : 8;
        break;
    default:
        break;
    }
}

/* Workers are looked at only while they are shown: at once, and then with each frame. */
static void show_workers(struct screen *screen, bool shown)
{
    screen->anew |= shown && !top_options.workers;
    top_options.workers = shown;
    screen->view = shown ? VIEW_WORKERS : VIEW_QUEUES;
}

bool screen_key(struct screen *screen, int key)
{
    if (type_filter(screen, key))
        return true;
    switch (key) {
    case 'q':
    case KEY_F(10):
        screen->leave = true;
        return false;
    case 'w':
    case '4':
    case '1':
        show_workers(screen, key == '4' || (key == 'w' && screen->view != VIEW_WORKERS));
        return false;
    case '?':
        screen->view = screen->view != VIEW_HELP ? VIEW_HELP : top_options.workers ? VIEW_WORKERS : VIEW_QUEUES;
        return false;
    case '\n':
    case '\r':
    case KEY_ENTER:
        if (screen->view == VIEW_QUEUES && screen->frame != NULL && screen->frame->count > 0)
            screen->view = VIEW_DETAIL;
        return false;
    case KEY_ESCAPE:
    case KEY_BACKSPACE:
        show_workers(screen, false);
        return false;
    case ' ':
    case 'p':
        screen->paused = !screen->paused;
        return !screen->paused;
    case '/':
    case '\\':
    case KEY_F(4):
        show_workers(screen, false);
        screen->typing = true;
        return false;
    case '<':
    case '>':
    case KEY_F(6):
        sort_by(screen, key == '<' ? -1 : 1);
        return true;
    case 'I':
    case 'r':
        top_options.reverse = !top_options.reverse;
        return true;
    case '+':
        change_delay(2);
        return false;
    case '-':
        change_delay(0.5);
        return false;
    default:
        move_key(screen, key);
        return false;
    }
}
