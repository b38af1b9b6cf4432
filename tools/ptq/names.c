/* names.c -- the names of a bus's local queues, kept. */
#include "names.h"

#include <stdlib.h>
#include <string.h>

#include "common/say.h"

static bool keep_name(const char *name, void *context)
{
    struct names *names = context;

    if (names->count == names->room) {
        size_t room = names->room == 0 ? 64 : 2 * names->room;
        char **items = realloc(names->items, room * sizeof *items);
        if (items == NULL)
            return !(names->failed = true);
        names->items = items;
        names->room = room;
    }
    char *copy = strdup(name);
    if (copy == NULL)
        return !(names->failed = true);
    names->items[names->count++] = copy;
    return true;
}

int names_read(struct names *names, ptq_bus *bus)
{
    *names = (struct names){0};
    enum ptq_err err = ptq_bus_list(bus, keep_name, names);
    if (names->failed)
        err = PTQ_ENOMEM;
    return err == PTQ_OK ? TOOL_OK : tool_fail(err, ptq_bus_path(bus), "cannot list queues: %s", ptq_strerror(err));
}

void names_fini(struct names *names)
{
    for (size_t i = 0; i < names->count; i++)
        free(names->items[i]);
    free(names->items);
    *names = (struct names){0};
}
