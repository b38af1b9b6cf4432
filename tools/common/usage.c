/* usage.c -- the option tables as help. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "option.h"
#include "say.h"

enum { HELP_COLUMN = 28, HELP_WIDTH = 100 };

const struct tool_option tool_help_option = {'h', "help", TOOL_FLAG, 0, NULL, "show this"};

/* Prints words with line breaks, so that every line begins at `column`; the cursor is there already. */
static void print_wrapped(const char *text, int column, int width, FILE *out)
{
    int at = column;

    while (*text != '\0') {
        int word = (int)strcspn(text, " ");
        if (at > column && at + 1 + word > width) {
            fprintf(out, "\n%*s", column, "");
            at = column;
        }
        at += fprintf(out, "%s%.*s", at > column ? " " : "", word, text);
        text += word;
        text += strspn(text, " ");
    }
    fputc('\n', out);
}

static void print_paragraphs(const char *text, FILE *out)
{
    char paragraph[2048];

    while (*text != '\0') {
        const char *end = strstr(text, "\n\n");
        int length = end != NULL ? (int)(end - text) : (int)strlen(text);
        snprintf(paragraph, sizeof paragraph, "%.*s", length, text);
        print_wrapped(paragraph, 0, HELP_WIDTH, out);
        text += end != NULL ? length + 2 : length;
        if (*text != '\0')
            fputc('\n', out);
    }
}

static void print_option(const struct tool_option *option, FILE *out)
{
    char left[160];
    char letter[8] = "    ";

    if (option->letter != 0)
        snprintf(letter, sizeof letter, "-%c, ", option->letter);
    snprintf(left, sizeof left, "  %s--%s%s%s", letter, option->name, option->argument != NULL ? " " : "",
             option->argument != NULL ? option->argument : "");
    if (strlen(left) + 2 > HELP_COLUMN)
        fprintf(out, "%s\n%*s", left, HELP_COLUMN, "");
    else
        fprintf(out, "%-*s", HELP_COLUMN, left);
    print_wrapped(option->help, HELP_COLUMN, HELP_WIDTH, out);
}

void tool_help_options(const struct tool_option *options, FILE *out)
{
    for (const struct tool_option *option = options; option != NULL && option->name != NULL; option++)
        print_option(option, out);
}

static void print_heading(const char *text, FILE *out)
{
    bool bold = tool_colour(out);

    fprintf(out, "\n%s%s:%s\n", bold ? "\033[1m" : "", text, bold ? "\033[0m" : "");
}

static bool is_program(const struct tool_usage *usage)
{
    return strcmp(usage->name, tool_program.name) == 0;
}

/* How values are written, by what an option is. */
static const struct {
    enum tool_kind kind;
    const char *argument, *help;
} values[] = {{TOOL_COUNT, "N", "a number; k, M, G stand for thousands: 10k"},
              {TOOL_SIZE, "BYTES", "a number; K, M, G stand for 1024s: 64K"},
              {TOOL_MS, "MS", "milliseconds, or with a unit: 500ms, 2s, 5m"},
              {TOOL_SECONDS, "SECS", "seconds, or parts of one: 0.5"},
              {TOOL_RATE, "RATE", "a number a second, or parts of one: 0.5; k, M, G stand for thousands"},
              {TOOL_OCTAL, "BITS", "an octal number: 0640"}};

static bool has_kind(const struct tool_option *options, enum tool_kind kind, const char *argument)
{
    for (const struct tool_option *option = options; option != NULL && option->name != NULL; option++)
        if (option->kind == kind && strcmp(option->argument, argument) == 0)
            return true;
    return false;
}

bool tool_value(const struct tool_option *options, size_t index, const char **ret_argument, const char **ret_help)
{
    if (index >= sizeof values / sizeof values[0])
        return false;
    *ret_argument = has_kind(options, values[index].kind, values[index].argument) ? values[index].argument : NULL;
    *ret_help = values[index].help;
    return true;
}

static void print_values(const struct tool_option *options, FILE *out)
{
    const char *argument, *help;
    bool begun = false;

    for (size_t i = 0; tool_value(options, i, &argument, &help); i++) {
        if (argument == NULL)
            continue;
        if (!begun)
            print_heading("Values", out);
        begun = true;
        fprintf(out, "  %-*s%s\n", HELP_COLUMN - 2, argument, help);
    }
}

/* A summary stands in a list without capital and full stop; by itself it is a sentence. */
static void print_summary(const char *summary, FILE *out)
{
    char sentence[256];

    snprintf(sentence, sizeof sentence, "%c%s.", toupper((unsigned char)summary[0]), summary + 1);
    print_wrapped(sentence, 0, HELP_WIDTH, out);
}

void tool_help(const struct tool_usage *usage, FILE *out)
{
    bool has_options = usage->options != NULL && usage->options->name != NULL;

    fprintf(out, "usage: %s%s%s%s%s%s\n\n", tool_program.name, is_program(usage) ? "" : " ",
            is_program(usage) ? "" : usage->name, has_options ? " [OPTION]..." : "",
            usage->operands[0] != '\0' ? " " : "", usage->operands);
    if (usage->text == NULL)
        print_summary(usage->summary, out);
    else
        print_paragraphs(usage->text, out);
    if (has_options) {
        print_heading("Options", out);
        tool_help_options(usage->options, out);
        print_values(usage->options, out);
    }
    print_heading("Everywhere", out);
    if (tool_program.commands)
        tool_help_options(tool_program.globals, out);
    print_option(&tool_help_option, out);
    if (usage->examples != NULL) {
        print_heading("Examples", out);
        for (const char *line = usage->examples; *line != '\0'; line += strcspn(line, "\n"), line += *line == '\n')
            fprintf(out, "  %.*s\n", (int)strcspn(line, "\n"), line);
    }
}
