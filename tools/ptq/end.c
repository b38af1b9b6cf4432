/* end.c -- ptq end: the producers' word that nothing more will come. */
#include "commands.h"

const struct tool_usage end_usages[] = {
    {.name = "end",
     .operands = "QUEUE",
     .summary = "say that nothing more will be put",
     .text = "Ends a queue: every later put, of anybody, fails; those who get take what is there and are then told that this was "
             "all.  It cannot be undone.  A queue that was ended before is fine."},
    {0}};

int cmd_end(int argc, char **argv)
{
    int first = tool_read_operands(end_usages, argc, argv, NULL, 1, 1);
    ptq_queue *queue = NULL;
    ptq_bus *bus = NULL;

    int code = open_bus(&bus);
    if (code == TOOL_OK)
        code = open_queue(bus, argv[first], NULL, &queue);
    if (code == TOOL_OK) {
        enum ptq_err err = ptq_end(queue);
        if (err != PTQ_OK && err != PTQ_EALREADY)
            code = fail_queue(queue, err, 0, "cannot end it");
    }
    ptq_queue_close(queue);
    ptq_bus_close(bus);
    return code;
}
