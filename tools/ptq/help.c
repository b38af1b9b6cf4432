/* help.c -- ptq help and ptq completion: what the tables say. */
#include <string.h>

#include "commands.h"

struct help_options {
    bool man, man_globals, list;
};

static const struct tool_option help_options[] = {
    {0, "man", TOOL_FLAG, offsetof(struct help_options, man), NULL, "print the commands as the man page has them"},
    {0, "man-globals", TOOL_FLAG, offsetof(struct help_options, man_globals), NULL, "and the global options"},
    {0, "list", TOOL_FLAG, offsetof(struct help_options, list), NULL, "print every command and option, a line each"},
    {0}};

const struct tool_usage help_usages[] = {{.name = "help",
                                          .operands = "[COMMAND]...",
                                          .summary = "show all commands, or one",
                                          .text = "Shows all commands, or what one does: `ptq help put` is `ptq put --help`.",
                                          .options = help_options},
                                         {0}};

const struct tool_usage completion_usages[] = {
    {.name = "completion",
     .operands = "bash",
     .summary = "print a script that completes commands, options and queues",
     .text = "Prints completion for bash: commands, options, their values, and the names of queues.",
     .examples = "source <(ptq completion bash)"},
    {0}};

static void print_overview(void)
{
    printf("usage: ptq COMMAND [ARGUMENT]...\n\nThe message bus on the command line.\n\nCommands:\n");
    for (const struct command *command = commands; command->run != NULL; command++)
        for (const struct tool_usage *usage = command->usages; usage->summary != NULL; usage++)
            printf("  %-14s %s\n", usage->name, usage->summary);
    printf("\nEverywhere:\n");
    tool_help_options(tool_program.globals, stdout);
    printf("\n`ptq COMMAND --help` shows one command.  Exit codes: 0 ok, 1 error, 2 usage, 3 no such queue, 4 empty or\n"
           "timed out, 5 full, 6 permission, 7 version mismatch, 8 peer unreachable.\n");
}

static void each_usage(void (*print)(const struct tool_usage *usage, FILE *out))
{
    for (const struct command *command = commands; command->run != NULL; command++)
        for (const struct tool_usage *usage = command->usages; usage->summary != NULL; usage++)
            print(usage, stdout);
}

/* "pool run" may be given as two words; "pool" alone shows all that begins so. */
static int print_commands(int argc, char **argv)
{
    char name[64];
    int found = 0;

    snprintf(name, sizeof name, "%s%s%s", argv[0], argc > 1 ? " " : "", argc > 1 ? argv[1] : "");
    for (const struct command *command = commands; command->run != NULL; command++)
        for (const struct tool_usage *usage = command->usages; usage->summary != NULL; usage++) {
            size_t length = strlen(name);
            if (strncmp(usage->name, name, length) != 0 || (usage->name[length] != '\0' && usage->name[length] != ' '))
                continue;
            if (found++ > 0)
                putchar('\n');
            tool_help(usage, stdout);
        }
    if (found == 0)
        return tool_misuse(NULL, "'%s' is not a command", name);
    return tool_finish();
}

int cmd_help(int argc, char **argv)
{
    const struct tool_usage everywhere = {.name = "ptq", .operands = "", .summary = "", .options = tool_program.globals};
    struct help_options values = {0};
    int first = tool_read_operands(help_usages, argc, argv, &values, 0, 2);

    if (values.man_globals)
        tool_man(&everywhere, stdout);
    else if (values.man)
        each_usage(tool_man);
    else if (values.list)
        each_usage(tool_list);
    else if (first < argc)
        return print_commands(argc - first, argv + first);
    else
        print_overview();
    return tool_finish();
}

int cmd_completion(int argc, char **argv)
{
    int first = tool_read_operands(completion_usages, argc, argv, NULL, 1, 1);
    const struct tool_usage *usages[128] = {NULL};
    size_t count = 0;

    if (strcmp(argv[first], "bash") != 0)
        return tool_misuse(completion_usages->name, "'%s' is not known: bash is", argv[first]);
    for (const struct command *command = commands; command->run != NULL; command++)
        for (const struct tool_usage *usage = command->usages; usage->summary != NULL && count < 127; usage++)
            usages[count++] = usage;
    tool_completion(usages, stdout);
    return tool_finish();
}
