/* commands.h -- each command's entry and usage, as commands.c lists them. */
#ifndef PTQ_COMMANDS_H
#define PTQ_COMMANDS_H

#include "command.h"

#define PTQ_COMMAND(name)                  \
    int cmd_##name(int argc, char **argv); \
    extern const struct tool_usage name##_usages[]

PTQ_COMMAND(bench);
PTQ_COMMAND(check);
PTQ_COMMAND(completion);
PTQ_COMMAND(create);
PTQ_COMMAND(doctor);
PTQ_COMMAND(end);
PTQ_COMMAND(get);
PTQ_COMMAND(gc);
PTQ_COMMAND(help);
PTQ_COMMAND(info);
PTQ_COMMAND(kick);
PTQ_COMMAND(ls);
PTQ_COMMAND(pause);
PTQ_COMMAND(peek);
PTQ_COMMAND(peers);
PTQ_COMMAND(pool);
PTQ_COMMAND(put);
PTQ_COMMAND(purge);
PTQ_COMMAND(record);
PTQ_COMMAND(replay);
PTQ_COMMAND(resume);
PTQ_COMMAND(rm);
PTQ_COMMAND(share);
PTQ_COMMAND(log);
PTQ_COMMAND(stats);
PTQ_COMMAND(tail);
PTQ_COMMAND(trace);
PTQ_COMMAND(verify);
PTQ_COMMAND(version);

/* A part of the manual page, as tool_print: help.c. */
int print_part(const char *what);

#endif
