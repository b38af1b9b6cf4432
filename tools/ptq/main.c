/* main.c -- ptq, the bus on the command line: globals, then the command. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "commands.h"
#include "run_task.h"

struct globals globals;

static const struct tool_option global_options[] = {
    {0, "run", TOOL_TEXT, offsetof(struct globals, run), "NAME", "which bus (default $PTQ_RUN, else the bus called default)"},
    {0, "dir", TOOL_TEXT, offsetof(struct globals, dir), "DIR", "where buses live (default $PTQ_DIR, else /dev/shm/ptq-UID)"},
    {0, "peers", TOOL_TEXT, offsetof(struct globals, peers), "NAME=URL,...", "other hosts (default $PTQ_PEERS)"},
    {0, "keys", TOOL_TEXT, offsetof(struct globals, keys), "DIR",
     "who we are to other hosts: the folder that ptqbridge keygen made (default $PTQ_KEYS)"},
    {0, "insecure", TOOL_FLAG, offsetof(struct globals, insecure), NULL,
     "allow plain links beyond loopback; so does PTQ_INSECURE=1"},
    {0}};

const struct tool_program tool_program = {
    "ptq", global_options, &globals, .commands = true, .exits = (1u << TOOL_EXITS) - 1, .heeds = TOOL_HEEDS_PTQ};

static const struct tool_usage overview = {.name = "ptq", .operands = "COMMAND [ARGUMENT]...", .summary = ""};

static const struct command *find_command(const char *name)
{
    for (const struct command *command = commands; command->run != NULL; command++)
        if (strcmp(command->usages->name, name) == 0 || strncmp(command->usages->name, name, strlen(name)) == 0)
            if (strcspn(command->usages->name, " ") == strlen(name))
                return command;
    return NULL;
}

int main(int argc, char **argv)
{
    static char help[] = "help", version[] = "version";

    if (argc > 1 && strcmp(argv[1], "--ptq-worker") == 0)
        run_task_register();     /* and in pool_run.c: nobody else knows tasks */
    ptq_worker_main(argc, argv); /* returns, but in a worker that `ptq pool` started */
    tool_begin();
    if (argc == 3 && strcmp(argv[1], "--print") == 0) /* for pages and completion, at build time */
        return print_part(argv[2]);
    signal(SIGPIPE, SIG_IGN); /* what was not written is not acknowledged: see get.c */
    if (argc > 1 && strcmp(argv[1], "--help") == 0)
        argv[1] = help;
    if (argc > 1 && strcmp(argv[1], "--version") == 0)
        argv[1] = version;

    int first = tool_read_globals(&overview, argc, argv);
    if (first >= argc)
        return tool_misuse(NULL, "which command?");
    const struct command *command = find_command(argv[first]);
    if (command == NULL)
        return tool_misuse(NULL, "'%s' is not a command", argv[first]);
    return command->run(argc - first, argv + first);
}
