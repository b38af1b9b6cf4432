/* typing.c -- text that is typed into the last line: a filter, or what is searched for. */
#include <string.h>

#include "screen.h"

enum { KEY_ESCAPE = 27 };

/* The cursor goes to the next name that has it, from the one behind it on and around. */
static void search(struct screen *screen, bool onwards)
{
    const struct frame *frame = screen->frame;

    for (size_t i = 0; frame != NULL && screen->search[0] != '\0' && i < frame->count; i++) {
        size_t at = (screen->selected + i + (onwards ? 1 : 0)) % frame->count;
        if (strstr(frame->rows[at]->name, screen->search) == NULL)
            continue;
        screen->selected = at;
        screen->selected_name[0] = '\0';
        keep_selection(screen);
        return;
    }
    if (screen->search[0] != '\0')
        snprintf(screen->said, sizeof screen->said, "no name has '%s' in it", screen->search);
}

static void end(struct screen *screen, bool given_up, char *text)
{
    if (given_up)
        text[0] = '\0';
    screen->typing = TYPING_NOTHING;
}

bool type_key(struct screen *screen, int key)
{
    char *text = screen->typing == TYPING_FILTER ? screen->filter : screen->search;
    size_t length = strlen(text);

    if (screen->typing == TYPING_NOTHING) {
        if (key == 'n' && screen->cover == COVER_NONE && top_options.view == VIEW_QUEUES)
            search(screen, true);
        return key == 'n';
    }
    bool searching = screen->typing == TYPING_SEARCH;
    if (key == KEY_RESIZE)
        return true;
    if (key == '\n' || key == '\r' || key == KEY_ENTER)
        end(screen, false, text);
    else if (key == KEY_ESCAPE)
        end(screen, true, text);
    else if ((key == KEY_BACKSPACE || key == 127 || key == '\b') && length > 0)
        text[length - 1] = '\0';
    else if (key > ' ' && key < 127 && length < PTQ_NAME_MAX) {
        text[length] = (char)key;
        text[length + 1] = '\0';
    }
    if (searching)
        search(screen, false);
    return true;
}
