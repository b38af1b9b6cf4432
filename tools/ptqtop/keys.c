/* keys.c -- what the keys of ptqtop do. */
#include "screen.h"

enum { KEY_ESCAPE = 27 };

static bool has_cursor(const struct screen *screen)
{
    return screen->cover == COVER_NONE && (top_options.view == VIEW_QUEUES || (top_options.view == VIEW_POOLS && screen->frame != NULL &&
                                                                               screen->frame->pool_count > 1));
}

/* In a list the first line that is drawn; drawing keeps it in bounds. */
static void move_to(struct screen *screen, long row)
{
    long count = screen->frame == NULL ? 0 : (long)(top_options.view == VIEW_POOLS ? screen->frame->pool_count : screen->frame->count);

    if (screen->cover == COVER_COLUMNS) {
        screen->chooser = row < 0 ? 0 : row >= COLUMNS ? COLUMNS - 1 : (int)row;
        return;
    }
    if (!has_cursor(screen)) {
        screen->from = row > 0 ? (size_t)row : 0;
        return;
    }
    if (row >= count)
        row = count - 1;
    if (row < 0)
        row = 0;
    screen->selected = (size_t)row;
    screen->selected_name[0] = '\0';
    if (screen->frame != NULL)
        keep_selection(screen); /* takes the name at this row: Enter may be the next key */
}

static void move_sideways(struct screen *screen, bool right)
{
    bool fits = top_options.view != VIEW_POOLS && (top_options.view != VIEW_QUEUES || !screen->chosen);

    if (right && !screen->wide && fits)
        screen->wide = true;
    else if (right)
        screen->left += screen->left < 400 ? 8 : 0;
    else if (screen->left == 0)
        screen->wide = false;
    else
        screen->left -= screen->left < 8 ? screen->left : 8;
}

static void move_key(struct screen *screen, int key)
{
    long row = screen->cover == COVER_COLUMNS ? screen->chooser : has_cursor(screen) ? (long)screen->selected : (long)screen->from;
    long page = body_lines() > 3 ? body_lines() - 2 : 1;

    switch (key) {
    case KEY_DOWN:
    case 'j':
        move_to(screen, row + 1);
        break;
    case KEY_UP:
    case 'k':
        move_to(screen, row - 1);
        break;
    case KEY_NPAGE:
        move_to(screen, row + page);
        break;
    case KEY_PPAGE:
        move_to(screen, row - page);
        break;
    case KEY_HOME:
    case 'g':
        move_to(screen, 0);
        break;
    case KEY_END:
    case 'G':
        move_to(screen, 1L << 40);
        break;
    case KEY_RIGHT:
    case 'l':
    case KEY_LEFT:
    case 'h':
        move_sideways(screen, key == KEY_RIGHT || key == 'l');
        break;
    default:
        break;
    }
}

/* What a view alone needs is looked at as long as it is shown: at once, and then with each frame. */
static void show_view(struct screen *screen, enum view view)
{
    screen->anew |= (int)view != top_options.view;
    if ((int)view != top_options.view) {
        screen->from = screen->selected = screen->top = 0;
        screen->left = 0;
        screen->wide = false;
        screen->selected_name[0] = '\0';
    }
    top_options.view = view;
    screen->cover = COVER_NONE;
    if (screen->frame != NULL)
        keep_selection(screen);
}

static void show_cover(struct screen *screen, enum cover cover)
{
    screen->from = 0;
    screen->cover = screen->cover == cover ? COVER_NONE : cover;
}

static void show_chooser(struct screen *screen)
{
    if (!screen->chosen && screen->frame != NULL)
        columns_all(screen->frame->pool_count > 0, screen->look, &screen->picked);
    show_cover(screen, COVER_COLUMNS);
}

static void sort_by(int step)
{
    top_options.sort = (top_options.sort + step + COLUMNS) % COLUMNS;
    column_tree = false;
}

static void change_delay(double factor)
{
    double delay = top_options.delay * factor;

    top_options.delay = delay < 0.1 ? 0.1 : delay > 3600 ? 3600 : delay;
}

static void plant_tree(void)
{
    column_tree = !column_tree;
    if (column_tree)
        top_options.sort = COLUMN_QUEUE;
}

static void set_baseline(struct screen *screen)
{
    watcher_baseline(screen->watcher, screen->frame->baseline_ms == 0);
    snprintf(screen->said, sizeof screen->said, "%s",
             screen->frame->baseline_ms != 0 ? "rates and waits are told since now" : "rates are told since the frame before, waits since ever");
}

/* Keys of the choice of columns; true: it was one. */
static bool choose(struct screen *screen, int key)
{
    if (screen->cover != COVER_COLUMNS || (key != ' ' && key != 'a'))
        return false;
    screen->chosen = key == ' ';
    if (screen->chosen)
        columns_toggle(&screen->picked, screen->chooser);
    else if (screen->frame != NULL)
        columns_all(screen->frame->pool_count > 0, screen->look, &screen->picked);
    return true;
}

/* Keys that change what is shown of the frame: true, it was one, *ret_anew: rows are other ones. */
static bool change_key(struct screen *screen, int key, bool *ret_anew)
{
    *ret_anew = false;
    switch (key) {
    case '<':
    case '>':
    case KEY_F(6):
        sort_by(key == '<' ? -1 : 1);
        return *ret_anew = true;
    case 'I':
    case 'r':
        top_options.reverse = !top_options.reverse;
        return *ret_anew = true;
    case 't':
        plant_tree();
        return *ret_anew = true;
    case 'u':
        column_units = (column_units + 1) % 3;
        return true;
    case '+':
        change_delay(2);
        return true;
    case '-':
        change_delay(0.5);
        return true;
    case 'z':
        set_baseline(screen);
        screen->anew = true;
        return true;
    case 's':
        save_frame(screen);
        return true;
    case ' ':
    case 'p':
        screen->paused = !screen->paused;
        return *ret_anew = !screen->paused, true;
    default:
        return false;
    }
}

static void show_key(struct screen *screen, int key)
{
    switch (key) {
    case 'q':
    case KEY_F(10):
        screen->leave = true;
        break;
    case '1':
    case '2':
    case '3':
    case '4':
    case '5':
        show_view(screen, (enum view)(key - '1'));
        break;
    case 'w':
        show_view(screen, top_options.view == VIEW_POOLS ? VIEW_QUEUES : VIEW_POOLS);
        break;
    case '?':
        show_cover(screen, COVER_HELP);
        break;
    case 'c':
        show_chooser(screen);
        break;
    case '\n':
    case '\r':
    case KEY_ENTER:
        if (has_cursor(screen) && selected_row(screen) != NULL)
            show_cover(screen, COVER_DETAIL);
        screen->pane_frame = 0;
        break;
    case KEY_ESCAPE:
    case KEY_BACKSPACE:
        if (screen->cover == COVER_NONE)
            show_view(screen, VIEW_QUEUES);
        screen->cover = COVER_NONE;
        screen->from = 0;
        break;
    case '/':
    case '\\':
    case KEY_F(4):
        show_view(screen, top_options.view == VIEW_LINKS || top_options.view == VIEW_EVENTS ? VIEW_QUEUES : (enum view)top_options.view);
        screen->typing = key == '/' ? TYPING_SEARCH : TYPING_FILTER;
        if (key == '/')
            screen->search[0] = '\0';
        break;
    case 'P':
    case 'D':
        wish_for(screen, key == 'P' ? WISH_PAUSE : WISH_PURGE);
        break;
    default:
        move_key(screen, key);
        break;
    }
}

bool screen_key(struct screen *screen, int key)
{
    bool anew = false;

    if (key != KEY_RESIZE)
        screen->said[0] = '\0';
    if (screen->wish != WISH_NOTHING) {
        answer_wish(screen, key);
        return false;
    }
    if (type_key(screen, key))
        return true;
    if (screen->frame != NULL && (choose(screen, key) || change_key(screen, key, &anew)))
        return anew;
    show_key(screen, key);
    return false;
}
