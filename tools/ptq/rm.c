/* rm.c -- ptq rm: removes queues with all that is in them. */
#include "commands.h"
#include "names.h"

struct rm_options {
    bool force, all;
};

static const struct tool_option rm_options[] = {
    {'f', "force", TOOL_FLAG, offsetof(struct rm_options, force), NULL,
     "also where processes have it open (their calls fail from then on), or where it is damaged; one that is not there is fine"},
    {0, "all", TOOL_FLAG, offsetof(struct rm_options, all), NULL, "every queue, share and log of the bus, instead of QUEUE"},
    {0}};

const struct tool_usage rm_usages[] = {
    {.name = "rm",
     .operands = "[QUEUE]...",
     .summary = "remove queues, with all that is in them",
     .text = "Removes queues of this host with all the messages in them.  A queue that a living process has open is kept, unless "
             "--force is given.",
     .examples = "ptq rm tasks\nptq --run test rm --all --force",
     .options = rm_options},
    {0}};

static int remove_queue(ptq_bus *bus, const char *name, bool force)
{
    ptq_view *view = NULL;
    struct ptq_error error = {0};
    char text[600];

    enum ptq_err err = ptq_view_open(bus, name, &error, &view);
    ptq_view_close(view);
    if (err == PTQ_ENOENT && force)
        return TOOL_OK;
    if (err == PTQ_ENOENT)
        return tool_fail(err, name, "cannot remove it: no such queue on bus '%s' (%s) - see what there is: ptq ls", ptq_bus_run(bus), ptq_bus_path(bus));
    if (err == PTQ_EINVAL || err == PTQ_EPERM)
        return tool_fail(err, name, "cannot remove it: %s", adapt_text("queue", name, error.text, text, sizeof text));
    err = ptq_queue_unlink(bus, name, force);
    if (err == PTQ_EBUSY)
        return tool_fail(err, name, "cannot remove it: processes have it open - end them, or give --force (ptq info %s shows them)",
                         name);
    if (err == PTQ_ECORRUPT || err == PTQ_EVERSION)
        return tool_fail(err, name, "cannot remove it: %s - give --force to remove it all the same", ptq_strerror(err));
    return err == PTQ_OK ? TOOL_OK : tool_fail(err, name, "cannot remove it: %s", ptq_strerror(err));
}

/* What is no queue: by its own call. */
static int remove_other(ptq_bus *bus, const char *name, bool force, enum ptq_err (*unlink)(ptq_bus *bus, const char *name, bool force))
{
    enum ptq_err err = unlink(bus, name, force);

    if (err == PTQ_EBUSY)
        return tool_fail(err, name, "cannot remove it: processes have it open - end them, or give --force");
    return err == PTQ_OK ? TOOL_OK : tool_fail(err, name, "cannot remove it: %s", ptq_strerror(err));
}

static int remove_all(ptq_bus *bus, bool force)
{
    static const struct {
        const char *what;
        enum ptq_err (*list)(ptq_bus *bus, bool (*each)(const char *name, void *context), void *context);
        enum ptq_err (*unlink)(ptq_bus *bus, const char *name, bool force); /* NULL: a queue */
    } kinds[] = {{"queues", ptq_bus_list, NULL}, {"shares", ptq_share_list, ptq_share_unlink}, {"logs", ptq_log_list, ptq_log_unlink}};
    int code = TOOL_OK;

    for (size_t kind = 0; kind < sizeof kinds / sizeof *kinds; kind++) {
        struct names names;
        int listed = names_read_by(&names, bus, kinds[kind].what, kinds[kind].list);
        if (listed != TOOL_OK)
            code = listed;
        for (size_t i = 0; i < names.count; i++) {
            int one = kinds[kind].unlink == NULL ? remove_queue(bus, names.items[i], force)
                                                 : remove_other(bus, names.items[i], force, kinds[kind].unlink);
            if (one != TOOL_OK && one != TOOL_NO_QUEUE)
                code = one;
        }
        names_fini(&names);
    }
    return code;
}

int cmd_rm(int argc, char **argv)
{
    struct rm_options options = {0};
    int first = tool_read(rm_usages, argc, argv, &options);
    ptq_bus *bus = NULL;

    if (options.all && first < argc)
        return tool_misuse("rm", "--all is every queue: name none");
    if (!options.all && first == argc)
        return tool_misuse("rm", "which queue?");
    int code = open_bus(&bus);
    if (code == TOOL_OK && options.all)
        code = remove_all(bus, options.force);
    for (int i = first; bus != NULL && i < argc; i++) {
        int one = remove_queue(bus, argv[i], options.force);
        if (one != TOOL_OK)
            code = one;
    }
    ptq_bus_close(bus);
    return code;
}
