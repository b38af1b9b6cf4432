/* version.c -- ptq version: three versions that move apart. */
#include "commands.h"

const struct tool_usage version_usages[] = {
    {.name = "version",
     .operands = "",
     .summary = "show the versions of library, layout and wire",
     .text = "Shows the version of this program and of the library it runs with, of the layout of queues in memory, and of "
             "the wire."},
    {0}};

int cmd_version(int argc, char **argv)
{
    tool_read_operands(version_usages, argc, argv, NULL, 0, 0);
    printf("ptq %s (library %s, layout %d, wire %d)\n", PTQ_VERSION, ptq_version(), PTQ_LAYOUT_VERSION, PTQ_WIRE_VERSION);
    return tool_finish();
}
