/* commands.h -- each command's entry and usage, as commands.c lists them. */
#ifndef PTQ_COMMANDS_H
#define PTQ_COMMANDS_H

#include "command.h"

#define PTQ_COMMAND(name)                  \
    int cmd_##name(int argc, char **argv); \
    extern const struct tool_usage name##_usages[]

PTQ_COMMAND(bench);
PTQ_COMMAND(completion);
PTQ_COMMAND(help);
PTQ_COMMAND(pool);
PTQ_COMMAND(version);

#endif
