/* names.c -- names of what is on a bus, kept. */
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

int names_read_by(struct names *names, ptq_bus *bus, const char *what,
                  enum ptq_err (*list)(ptq_bus *bus, bool (*each)(const char *name, void *context), void *context))
{
    *names = (struct names){0};
    enum ptq_err err = list(bus, keep_name, names);
    if (names->failed)
        err = PTQ_ENOMEM;
    return err == PTQ_OK ? TOOL_OK : tool_fail(err, ptq_bus_path(bus), "cannot list %s: %s", what, ptq_strerror(err));
}

int names_read(struct names *names, ptq_bus *bus) { return names_read_by(names, bus, "queues", ptq_bus_list); }

void names_fini(struct names *names)
{
    for (size_t i = 0; i < names->count; i++)
        free(names->items[i]);
    free(names->items);
    *names = (struct names){0};
}
