/* help.c -- ptq help, ptq completion, and what pages are made of: what the tables say. */
#include <string.h>

#include "commands.h"

const struct tool_usage help_usages[] = {{.name = "help",
                                          .operands = "[COMMAND]...",
                                          .summary = "show all commands, or one",
                                          .text = "Shows all commands, or what one does: `ptq help put` is `ptq put --help`."},
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
    tool_help_options((const struct tool_option[]){tool_help_option, {.name = "version", .help = "as ptq version"}, {0}}, stdout);
    printf("\n`ptq COMMAND --help` shows one command; man ptq shows all, and man 7 ptq says what the words mean.\n\nExit codes:\n");
    for (int code = 0; code < TOOL_EXITS; code++)
        printf("  %d %s%s", code, tool_exit_words[code], code == TOOL_EXITS - 1 || code == TOOL_EMPTY ? "\n" : ",");
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
    int first = tool_read_operands(help_usages, argc, argv, NULL, 0, 2);

    if (first < argc)
        return print_commands(argc - first, argv + first);
    print_overview();
    return tool_finish();
}

int print_part(const char *what)
{
    const struct tool_usage *usages[128] = {NULL};
    size_t count = 0;

    for (const struct command *command = commands; command->run != NULL; command++)
        for (const struct tool_usage *usage = command->usages; usage->summary != NULL && count < 127; usage++)
            usages[count++] = usage;
    return tool_print(what, usages);
}

int cmd_completion(int argc, char **argv)
{
    int first = tool_read_operands(completion_usages, argc, argv, NULL, 1, 1);

    if (strcmp(argv[first], "bash") != 0)
        return tool_misuse(completion_usages->name, "'%s' is not known: bash is", argv[first]);
    return print_part("completion");
}
