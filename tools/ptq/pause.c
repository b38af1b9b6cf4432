/* pause.c -- ptq pause and ptq resume: nobody gets, for a while. */
#include "commands.h"

const struct tool_usage pause_usages[] = {
    {.name = "pause",
     .operands = "QUEUE",
     .summary = "let nobody get from a queue until it is resumed",
     .text = "From now on every get, of anybody, finds the queue empty; puts, acks and nacks go on.  It stays so until ptq resume, "
             "whoever paused it; ptq info says so, and ptq ls shows the flag P."},
    {0}};

const struct tool_usage resume_usages[] = {
    {.name = "resume",
     .operands = "QUEUE",
     .summary = "end a pause",
     .text = "Lets the queue give its messages again, and wakes whoever waits for one.  A queue that is not paused is fine."},
    {0}};

static int set_pause(const struct tool_usage *usages, int argc, char **argv, bool pause)
{
    int first = tool_read_operands(usages, argc, argv, NULL, 1, 1);
    ptq_queue *queue = NULL;
    ptq_bus *bus = NULL;

    int code = open_bus(&bus);
    if (code == TOOL_OK)
        code = open_queue(bus, argv[first], NULL, &queue);
    if (code == TOOL_OK) {
        enum ptq_err err = ptq_queue_pause(queue, pause);
        if (err != PTQ_OK)
            code = fail_queue(queue, err, 0, pause ? "cannot pause it" : "cannot resume it");
    }
    ptq_queue_close(queue);
    ptq_bus_close(bus);
    return code;
}

int cmd_pause(int argc, char **argv) { return set_pause(pause_usages, argc, argv, true); }

int cmd_resume(int argc, char **argv) { return set_pause(resume_usages, argc, argv, false); }
