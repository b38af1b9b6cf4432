/* usage.c -- the option tables as help, as a man page's sections, and as a list. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "option.h"
#include "say.h"

enum { HELP_COLUMN = 28, HELP_WIDTH = 100 };

/* -- help ----------------------------------------------------------------------------------------------------- */

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

void tool_help(const struct tool_usage *usage, FILE *out)
{
    const struct tool_option help = {'h', "help", TOOL_FLAG, 0, NULL, "show this"};
    bool has_options = usage->options != NULL && usage->options->name != NULL;

    fprintf(out, "usage: %s%s%s%s%s%s\n\n", tool_program.name, is_program(usage) ? "" : " ",
            is_program(usage) ? "" : usage->name, has_options ? " [OPTION]..." : "",
            usage->operands[0] != '\0' ? " " : "", usage->operands);
    if (usage->text == NULL)
        print_wrapped(usage->summary, 0, HELP_WIDTH, out);
    else
        print_paragraphs(usage->text, out);
    if (has_options) {
        print_heading("Options", out);
        tool_help_options(usage->options, out);
    }
    print_heading("Everywhere", out);
    if (tool_program.commands)
        tool_help_options(tool_program.globals, out);
    print_option(&help, out);
    if (usage->examples != NULL) {
        print_heading("Examples", out);
        for (const char *line = usage->examples; *line != '\0'; line += strcspn(line, "\n"), line += *line == '\n')
            fprintf(out, "  %.*s\n", (int)strcspn(line, "\n"), line);
    }
}

/* -- the man page --------------------------------------------------------------------------------------------- */

/* Text for mdoc: backslashes and leading dots and quotes are made harmless; with `sentences` each begins a line. */
static void print_mdoc(const char *text, bool sentences, FILE *out)
{
    bool start = true;

    for (; *text != '\0'; start = *text++ == '\n') {
        if (sentences && *text == '.' && text[1] == ' ') {
            fputs(".\n", out);
            text += strspn(text + 1, " ");
            continue;
        }
        if (start && (*text == '.' || *text == '\''))
            fputs("\\&", out);
        if (*text == '\\')
            fputs("\\e", out);
        else if (*text == '-')
            fputs("\\-", out);
        else
            fputc(*text, out);
    }
}

static void print_mdoc_paragraphs(const char *text, FILE *out)
{
    for (const char *end; *text != '\0'; text = *end != '\0' ? end + 2 : end) {
        char paragraph[2048];
        end = strstr(text, "\n\n");
        if (end == NULL)
            end = text + strlen(text);
        snprintf(paragraph, sizeof paragraph, "%.*s", (int)(end - text), text);
        print_mdoc(paragraph, true, out);
        fputs(*end != '\0' ? "\n.Pp\n" : "\n", out);
    }
}

static void print_mdoc_options(const struct tool_option *options, FILE *out)
{
    if (options == NULL || options->name == NULL)
        return;
    fputs(".Bl -tag -width Ds\n", out);
    for (const struct tool_option *option = options; option->name != NULL; option++) {
        fputs(".It ", out);
        if (option->letter != 0)
            fprintf(out, "Fl %c , ", option->letter);
        fprintf(out, "Fl Fl %s", option->name);
        if (option->argument != NULL)
            fprintf(out, " Ar %s", option->argument);
        fputc('\n', out);
        print_mdoc(option->help, true, out);
        fputs(".\n", out);
    }
    fputs(".El\n", out);
}

void tool_man(const struct tool_usage *usage, FILE *out)
{
    if (is_program(usage)) {
        print_mdoc_options(usage->options, out);
        return;
    }
    fprintf(out, ".Ss %s %s", tool_program.name, usage->name);
    if (usage->operands[0] != '\0')
        fprintf(out, " %s", usage->operands);
    fputc('\n', out);
    print_mdoc_paragraphs(usage->text != NULL ? usage->text : usage->summary, out);
    print_mdoc_options(usage->options, out);
    if (usage->examples == NULL)
        return;
    fputs(".Bd -literal -offset indent\n", out);
    print_mdoc(usage->examples, false, out);
    fputs("\n.Ed\n", out);
}

/* -- lists ---------------------------------------------------------------------------------------------------- */

void tool_list(const struct tool_usage *usage, FILE *out)
{
    for (const struct tool_option *option = usage->options; option != NULL && option->name != NULL; option++)
        fprintf(out, "%s\t--%s\t%c\t%s\n", usage->name, option->name, option->letter != 0 ? option->letter : '-',
                option->argument != NULL ? option->argument : "-");
}
