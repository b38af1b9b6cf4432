/* man.c -- the option tables as parts of manual pages, in the words of scdoc(5), and as lists: what --print shows at build time. */
#include <ctype.h>
#include <string.h>

#include "option.h"
#include "say.h"

enum { WORDS_WIDTH = 40, CODE_WIDTH = 68 }; /* of a line of an example, so that a page of 80 columns holds it */

/* Every variable that something here asks for, and who does.  What ptqbridge can be told has a table of its own. */
enum { EVERY_PROGRAM = TOOL_HEEDS_PTQ | TOOL_HEEDS_PTQTOP | TOOL_HEEDS_PTQBRIDGE, USERS = TOOL_HEEDS_PTQ | TOOL_HEEDS_LIBRARY };
static const struct {
    const char *name;
    unsigned heeds;
    const char *help;
} variables[] = {
    {"PTQ_RUN", USERS | TOOL_HEEDS_PTQTOP, "which bus, where nothing else says it (`--run`, ptq_bus_open) (default: the bus called default)"},
    {"PTQ_DIR", USERS | TOOL_HEEDS_PTQTOP, "where buses live, where nothing else says it (`--dir`) (default /dev/shm/ptq-UID)"},
    {"PTQ_PEERS", USERS, "other hosts, as name=url,name=url, where nothing else says it (`--peers`)"},
    {"PTQ_NODE", USERS | TOOL_HEEDS_PTQTOP, "this host's name, as in queue@node (default: the host name)"},
    {"PTQ_KEYS", USERS | TOOL_HEEDS_PTQTOP, "the folder that `ptqbridge keygen` made: who we are to other hosts (`--keys`)"},
    {"PTQ_INSECURE", USERS | TOOL_HEEDS_PTQTOP, "1: allow plain links beyond the loopback (`--insecure`)"},
    {"PTQ_VIA", USERS,
     "how queues of other hosts are reached: direct, by links of this process; bridge, through the ptqbridge that serves this run; auto, "
     "direct, but through the bridge in a child of a process that has links (default auto)"},
    {"PTQ_OUTBOX", USERS, "messages that an outbox holds, where this process makes it (default 65536)"},
    {"PTQ_GUARD", USERS, "1: a queue whose file somebody truncates answers with an error, instead of ending the process by SIGBUS"},
    {"PTQ_DEBUG", USERS,
     "proto: each job, result and piece of mail that a process of a pool sends or receives is a line on standard error, with its process"},
    {"PTQ_SECRETS", TOOL_HEEDS_LIBRARY, "a folder of secrets, where ptq_secret looks"},
    {"PTQ_SECRET_NAME", TOOL_HEEDS_LIBRARY, "the secret NAME itself, in capitals"},
    {"CREDENTIALS_DIRECTORY", TOOL_HEEDS_LIBRARY, "set by systemd: where ptq_secret looks, too"},
    {"TMPDIR", TOOL_HEEDS_PTQ, "where `ptq pool run` keeps large outputs until it is their turn (default /tmp)"},
    {"PTQ_QUEUE, PTQ_POSITION, PTQ_DELIVERIES, TRACEPARENT", TOOL_HEEDS_PTQ,
     "set for the command of `ptq get --exec`: the queue, the message's position, how often it was handed out, its trace"},
    {"PTQ_POOL, PTQ_TICKET, PTQ_TRIES", TOOL_HEEDS_PTQ,
     "set for the command of `ptq pool worker`: the pool, the ticket of its job, how often it was begun"},
    {"NOTIFY_SOCKET, WATCHDOG_USEC, WATCHDOG_PID", TOOL_HEEDS_PTQBRIDGE, "set by systemd: whom to tell that it listens and lives"},
    {"NO_COLOR", EVERY_PROGRAM, "any value but the empty one: no colours"},
    {"CLICOLOR_FORCE", EVERY_PROGRAM, "any value but the empty one and 0: colours, also where the output is no terminal"},
    {"TERM", EVERY_PROGRAM, "dumb: no colours, and no screen"}};

/* -- words ---------------------------------------------------------------------------------------------------- */

static size_t option_length(const char *text)
{
    size_t length = 2;

    if (strncmp(text, "--", 2) != 0 || !islower((unsigned char)text[2]))
        return 0;
    while (islower((unsigned char)text[length]) || (text[length] == '-' && islower((unsigned char)text[length + 1])))
        length++;
    return length;
}

static void put_letter(char letter, bool first, FILE *out)
{
    if (strchr("\\*_", letter) != NULL || (first && strchr(";#-.[]|:`", letter) != NULL))
        fputc('\\', out);
    fputc(letter, out);
}

/* One paragraph: what stands between backticks becomes bold, and so do options; several blanks become one. */
static void put_words(const char *text, size_t length, FILE *out)
{
    const char *end = text + length;
    bool bold = false;

    for (const char *at = text; at < end; at++) {
        size_t option = at == text || strchr(" (", at[-1]) != NULL ? option_length(at) : 0;
        if (*at == '`') {
            fputc('*', out);
            bold = !bold;
        } else if (*at == ' ' && at > text && at[-1] == ' ') {
            continue;
        } else if (option > 0 && !bold) {
            fprintf(out, "*%.*s*", (int)option, at);
            at += option - 1;
        } else {
            put_letter(*at, at == text, out);
        }
    }
}

void tool_print_words(const char *text, FILE *out)
{
    put_words(text, strlen(text), out);
}

void tool_print_sentence(const char *text, FILE *out)
{
    if (islower((unsigned char)text[0]) && (islower((unsigned char)text[1]) || text[1] == ' ' || text[1] == ',')) {
        fputc(toupper((unsigned char)text[0]), out);
        text++;
    }
    put_words(text, strlen(text), out);
    fputs(".\n", out);
}

static void put_paragraphs(const char *text, FILE *out)
{
    for (const char *end; *text != '\0'; text = *end != '\0' ? end + 2 : end) {
        end = strstr(text, "\n\n");
        if (end == NULL)
            end = text + strlen(text);
        put_words(text, (size_t)(end - text), out);
        fputs("\n\n", out);
    }
}

/* Where a line of shell may be broken so that it fits: the last blank outside of quotes; 0: nowhere. */
static size_t find_break(const char *line, size_t length)
{
    char quote = '\0';
    size_t found = 0;

    for (size_t i = 1; i < length && (i < CODE_WIDTH || found == 0); i++) {
        if (quote != '\0')
            quote = line[i] == quote ? '\0' : quote;
        else if (line[i] == '\'' || line[i] == '"')
            quote = line[i];
        else if (line[i] == ' ')
            found = i;
    }
    return found;
}

/* Backslashes are doubled in scdoc's literal text, and nothing else means anything there. */
static void put_literal(const char *line, size_t length, FILE *out)
{
    for (size_t i = 0; i < length; i++)
        fputs(line[i] == '\\' ? "\\\\" : (char[]){line[i], '\0'}, out);
}

static void put_examples(const char *text, FILE *out)
{
    fputs("```\n", out);
    for (const char *line = text; *line != '\0'; line += *line == '\n') {
        size_t length = strcspn(line, "\n");
        const char *end = line + length;
        while (length > CODE_WIDTH) {
            size_t at = find_break(line, length);
            if (at == 0)
                break;
            put_literal(line, at, out);
            fputs(line[at - 1] == '|' ? "\n    " : " \\\\\n    ", out);
            line += at + 1;
            length -= at + 1;
        }
        put_literal(line, length, out);
        fputc('\n', out);
        line = end;
    }
    fputs("```\n\n", out);
}

/* -- options and commands --------------------------------------------------------------------------------------- */

/* Long lists of words, one|two|three, get blanks, so that they can be broken. */
static void put_argument(const char *text, FILE *out)
{
    bool wide = strlen(text) > WORDS_WIDTH;

    fputc('_', out);
    for (; *text != '\0'; text++)
        if (*text == '|' && wide)
            fputs(" | ", out);
        else
            put_letter(*text, false, out);
    fputc('_', out);
}

static void put_option(const struct tool_option *option, FILE *out)
{
    if (option->letter != 0)
        fprintf(out, "*-%c*, ", option->letter);
    fprintf(out, "*--%s*", option->name);
    if (option->argument != NULL) {
        fputc(' ', out);
        put_argument(option->argument, out);
    }
    fputs("\n\t", out);
    tool_print_sentence(option->help, out);
    fputc('\n', out);
}

static void put_options(const struct tool_option *options, FILE *out)
{
    for (const struct tool_option *option = options; option != NULL && option->name != NULL; option++)
        put_option(option, out);
}

/* How values are written, of the options of all these. */
static void put_values(const struct tool_usage *const *usages, FILE *out)
{
    const char *argument, *found = NULL, *help;

    fputs("Values of options are written so:\n\n", out);
    for (size_t i = 0; tool_value(NULL, i, &argument, &help); i++, found = NULL) {
        for (const struct tool_usage *const *usage = usages; *usage != NULL && found == NULL; usage++)
            if (tool_value((*usage)->options, i, &argument, &help))
                found = argument;
        if (found == NULL)
            continue;
        fprintf(out, "_%s_\n\t", found);
        tool_print_sentence(help, out);
        fputc('\n', out);
    }
}

static void put_command(const struct tool_usage *usage, FILE *out)
{
    bool has_options = usage->options != NULL && usage->options->name != NULL;

    fprintf(out, "## %s %s\n\n*%s %s*%s", tool_program.name, usage->name, tool_program.name, usage->name,
            has_options ? " [_OPTION_]..." : "");
    if (usage->operands[0] != '\0') {
        fputc(' ', out);
        tool_print_words(usage->operands, out);
    }
    fputs("\n\n", out);
    if (usage->text != NULL)
        put_paragraphs(usage->text, out);
    else
        tool_print_sentence(usage->summary, out);
    fputc('\n', out);
    put_options(usage->options, out);
    if (usage->examples != NULL)
        put_examples(usage->examples, out);
}

/* "command<TAB>--option<TAB>letter<TAB>argument" a line */
static void list_options(const char *command, const struct tool_option *options, FILE *out)
{
    for (const struct tool_option *option = options; option != NULL && option->name != NULL; option++)
        fprintf(out, "%s\t--%s\t%c\t%s\n", command, option->name, option->letter != 0 ? option->letter : '-',
                option->argument != NULL ? option->argument : "-");
}

/* -- what a page asks for --------------------------------------------------------------------------------------- */

static void print_options(const struct tool_usage *const *usages, FILE *out)
{
    put_options(usages[0]->options, out);
    put_option(&tool_help_option, out);
    put_values(usages, out);
}

static void print_globals(const struct tool_usage *const *usages, FILE *out)
{
    put_options(tool_program.globals, out);
    put_option(&tool_help_option, out);
    put_values(usages, out);
}

static void print_commands(const struct tool_usage *const *usages, FILE *out)
{
    for (; *usages != NULL; usages++)
        put_command(*usages, out);
}

static void print_examples(const struct tool_usage *const *usages, FILE *out)
{
    put_examples(usages[0]->examples, out);
}

static void print_exits(const struct tool_usage *const *usages, FILE *out)
{
    (void)usages;
    for (int code = 0; code < TOOL_EXITS; code++)
        if ((tool_program.exits & 1u << code) != 0) {
            fprintf(out, "*%d*\n\t", code);
            tool_print_sentence(tool_exit_words[code], out);
            fputc('\n', out);
        }
}

static void put_environment(unsigned heeds, FILE *out)
{
    for (size_t i = 0; i < sizeof variables / sizeof variables[0]; i++)
        if ((variables[i].heeds & heeds) != 0) {
            fputc('*', out);
            tool_print_words(variables[i].name, out);
            fputs("*\n\t", out);
            tool_print_sentence(variables[i].help, out);
            fputc('\n', out);
        }
}

static void print_environment(const struct tool_usage *const *usages, FILE *out)
{
    (void)usages;
    put_environment(tool_program.heeds, out);
}

static void print_library_environment(const struct tool_usage *const *usages, FILE *out)
{
    (void)usages;
    put_environment(TOOL_HEEDS_LIBRARY, out);
}

static void print_list(const struct tool_usage *const *usages, FILE *out)
{
    for (; *usages != NULL; usages++)
        list_options((*usages)->name, (*usages)->options, out);
}

int tool_print(const char *what, const struct tool_usage *const *usages)
{
    static const struct {
        const char *name;
        void (*print)(const struct tool_usage *const *usages, FILE *out);
    } parts[] = {{"options", print_options},   {"globals", print_globals}, {"commands", print_commands},
                 {"examples", print_examples}, {"exits", print_exits},     {"environment", print_environment},
                 {"list", print_list},         {"completion", tool_completion}, {"library", print_library_environment}};

    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        if (strcmp(what, parts[i].name) == 0) {
            parts[i].print(usages, stdout);
            return tool_finish();
        }
    return tool_misuse(NULL, "--print does not know '%s'", what);
}
