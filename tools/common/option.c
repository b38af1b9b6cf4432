/* option.c -- reads a command line by its table. */
#include "option.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include <ptq/queue.h>

#include "say.h"

enum { OPTIONS_MAX = 96, LONG_ONLY = 256 /* values of options without a letter begin here */ };

/* The tables of one command line, joined, as getopt wants them. */
struct joined {
    const struct tool_option *options[OPTIONS_MAX];
    void *values[OPTIONS_MAX];
    struct option longs[OPTIONS_MAX + 2];
    char letters[2 * OPTIONS_MAX + 8];
    size_t count;
};

static void append_letter(struct joined *joined, char letter, bool has_argument)
{
    size_t length = strlen(joined->letters);

    joined->letters[length] = letter;
    joined->letters[length + 1] = has_argument ? ':' : '\0';
    joined->letters[length + 2] = '\0';
}

static void join_table(struct joined *joined, const struct tool_option *options, void *values)
{
    for (const struct tool_option *option = options; option != NULL && option->name != NULL; option++) {
        size_t i = joined->count;

        if (i == OPTIONS_MAX)
            abort(); /* our own table is too long */
        joined->options[i] = option;
        joined->values[i] = values;
        joined->longs[i] = (struct option){.name = option->name,
                                           .has_arg = option->kind == TOOL_FLAG ? no_argument : required_argument,
                                           .val = LONG_ONLY + (int)i};
        if (option->letter != 0)
            append_letter(joined, option->letter, option->kind != TOOL_FLAG);
        joined->count++;
    }
}

/* `order` is "+" to stop at the first operand, else "". */
static void join(struct joined *joined, const char *order, const struct tool_option *options, void *values)
{
    *joined = (struct joined){0};
    strcat(strcpy(joined->letters, order), ":");
    join_table(joined, options, values);
    if (tool_program.commands) /* else they are all in its own table */
        join_table(joined, tool_program.globals, tool_program.values);
    append_letter(joined, 'h', false);
    joined->longs[joined->count] = (struct option){.name = "help", .val = 'h'};
}

static const struct tool_option *find_option(const struct joined *joined, int value, void **ret_values)
{
    for (size_t i = 0; i < joined->count; i++) {
        bool by_letter = joined->options[i]->letter != 0 && value == joined->options[i]->letter;
        if (value != LONG_ONLY + (int)i && !by_letter)
            continue;
        *ret_values = joined->values[i];
        return joined->options[i];
    }
    return NULL;
}

/* -- values --------------------------------------------------------------------------------------------------- */

static bool scale_number(const char *text, unsigned step, uint64_t *ret_number)
{
    static const char units[] = "kmgt";
    char *rest;

    if (text[0] < '0' || text[0] > '9')
        return false;
    errno = 0;
    uint64_t number = strtoull(text, &rest, 10);
    if (errno != 0)
        return false;
    if (*rest != '\0') {
        const char *unit = strchr(units, *rest | 0x20);
        if (unit == NULL || rest[1] != '\0')
            return false;
        for (const char *u = units; u <= unit; u++)
            if (__builtin_mul_overflow(number, step, &number))
                return false;
    }
    *ret_number = number;
    return true;
}

static bool read_ms(const char *text, int *ret_ms)
{
    static const struct {
        const char *name;
        double factor;
    } units[] = {{"", 1}, {"ms", 1}, {"s", 1000}, {"m", 60000}};
    char *rest;

    if (strcmp(text, "forever") == 0 || strcmp(text, "-1") == 0) {
        *ret_ms = PTQ_FOREVER;
        return true;
    }
    if ((text[0] < '0' || text[0] > '9') && text[0] != '.')
        return false;
    double value = strtod(text, &rest);
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (strcmp(rest, units[i].name) != 0)
            continue;
        if (!(value * units[i].factor <= INT_MAX))
            return false;
        *ret_ms = (int)(value * units[i].factor);
        return true;
    }
    return false;
}

static bool read_seconds(const char *text, double *ret_seconds)
{
    char *rest;
    double value = strtod(text, &rest);

    if (rest == text || *rest != '\0' || !(value > 0) || !(value <= 86400))
        return false;
    *ret_seconds = value;
    return true;
}

static bool read_rate(const char *text, double *ret_rate)
{
    char *rest;
    double value = strtod(text, &rest);
    const char *units = "kMG", *unit = *rest != '\0' ? strchr(units, *rest) : NULL;

    if (rest == text || (*rest != '\0' && (unit == NULL || rest[1] != '\0')))
        return false;
    for (const char *u = units; unit != NULL && u <= unit; u++)
        value *= 1000;
    if (!(value > 0) || !(value <= 1e9))
        return false;
    *ret_rate = value;
    return true;
}

static bool read_octal(const char *text, uint32_t *ret_bits)
{
    char *rest;
    unsigned long bits = strtoul(text, &rest, 8);

    if (text[0] < '0' || text[0] > '7' || *rest != '\0' || bits > 0777)
        return false;
    *ret_bits = (uint32_t)bits;
    return true;
}

static bool read_choice(const char *words, const char *text, int *ret_choice)
{
    size_t length = strlen(text);

    for (int choice = 0; length > 0; choice++) {
        size_t word = strcspn(words, "|");
        if (word == length && strncmp(words, text, length) == 0) {
            *ret_choice = choice;
            return true;
        }
        if (words[word] == '\0')
            return false;
        words += word + 1;
    }
    return false;
}

static bool read_format(const char *words, const char *text, struct tool_format *ret_format)
{
    const char *last = strrchr(words, '|') + 1;
    int number = 0;

    if (strpbrk(text, "%\\") == NULL) {
        if (strcmp(text, last) == 0 || !read_choice(words, text, &number))
            return false;
        *ret_format = (struct tool_format){number, NULL};
        return true;
    }
    read_choice(words, last, &number);
    *ret_format = (struct tool_format){number, text};
    return true;
}

static bool add_text(struct tool_texts *texts, const char *text)
{
    if (texts->count == TOOL_TEXTS_MAX)
        return false;
    texts->items[texts->count++] = text;
    return true;
}

bool tool_store(const struct tool_option *option, const char *text, void *values)
{
    void *field = (char *)values + option->field;
    uint64_t number;

    switch (option->kind) {
    case TOOL_FLAG:
        *(bool *)field = true;
        return true;
    case TOOL_TEXT:
        *(const char **)field = text;
        return true;
    case TOOL_TEXTS:
        return add_text(field, text);
    case TOOL_COUNT:
    case TOOL_LIMIT:
    case TOOL_SIZE:
        if (!scale_number(text, option->kind == TOOL_SIZE ? 1024 : 1000, &number) || (number == 0 && option->kind != TOOL_LIMIT))
            return false;
        *(uint64_t *)field = number;
        return true;
    case TOOL_MS:
        return read_ms(text, field);
    case TOOL_SECONDS:
        return read_seconds(text, field);
    case TOOL_RATE:
        return read_rate(text, field);
    case TOOL_OCTAL:
        return read_octal(text, field);
    case TOOL_CHOICE:
        return read_choice(option->argument, text, field);
    case TOOL_FORMAT:
        return read_format(option->argument, text, field);
    }
    return false;
}

const char *tool_wants(const struct tool_option *option)
{
    switch (option->kind) {
    case TOOL_COUNT:
        return "a number from 1, such as 32 or 10k";
    case TOOL_LIMIT:
        return "a number from 0, such as 32 or 10k";
    case TOOL_SIZE:
        return "bytes from 1, such as 4096 or 64K";
    case TOOL_MS:
        return "milliseconds, 5s, 2m or forever";
    case TOOL_SECONDS:
        return "seconds above 0";
    case TOOL_RATE:
        return "a number above 0 and at most 1G, such as 100, 0.5 or 10k";
    case TOOL_OCTAL:
        return "permission bits in octal, such as 0660";
    case TOOL_TEXTS:
        return "given too often";
    case TOOL_CHOICE:
    case TOOL_FORMAT:
        return option->argument;
    default:
        return "something else";
    }
}

/* -- the command line ----------------------------------------------------------------------------------------- */

static _Noreturn void refuse_value(const char *command, const struct tool_option *option, const char *text)
{
    exit(tool_misuse(command, "--%s cannot be '%s': it is %s%s", option->name, text, option->kind == TOOL_CHOICE || option->kind == TOOL_FORMAT ? "one of " : "",
                     tool_wants(option)));
}

static _Noreturn void refuse_option(const char *command, int found, char **argv)
{
    const char *text = argv[optind - 1];

    if (found == ':' && optopt >= LONG_ONLY)
        exit(tool_misuse(command, "%s needs a value", text));
    if (found == ':')
        exit(tool_misuse(command, "-%c needs a value", optopt));
    if (optopt >= LONG_ONLY)
        exit(tool_misuse(command, "%s takes no value", text));
    if (optopt >= '0' && optopt <= '9')
        exit(tool_misuse(command, "unknown option -%c: put -- before a number or text that begins with a dash", optopt));
    if (optopt != 0)
        exit(tool_misuse(command, "unknown option -%c", optopt));
    exit(tool_misuse(command, "unknown option %s", text));
}

/* Tells `seen`, or, without it, stores. */
static int read_line(const struct tool_usage *usage, struct joined *joined, int argc, char **argv, tool_seen *seen, void *context)
{
    int found;

    optind = 0; /* glibc and musl: begin afresh */
    opterr = 0;
    while ((found = getopt_long(argc, argv, joined->letters, joined->longs, NULL)) != -1) {
        void *values = NULL;

        if (found == 'h') {
            tool_help(usage, stdout);
            exit(tool_finish());
        }
        if (found == '?' || found == ':')
            refuse_option(usage->name, found, argv);
        const struct tool_option *option = find_option(joined, found, &values);
        if (seen != NULL)
            seen(option, option->kind == TOOL_FLAG ? NULL : optarg, context);
        else if (!tool_store(option, optarg, values))
            refuse_value(usage->name, option, optarg);
    }
    return optind;
}

int tool_read(const struct tool_usage *usage, int argc, char **argv, void *values)
{
    struct joined joined;

    join(&joined, "", usage->options, values);
    return read_line(usage, &joined, argc, argv, NULL, NULL);
}

int tool_scan(const struct tool_usage *usage, int argc, char **argv, tool_seen *seen, void *context)
{
    struct joined joined;

    join(&joined, "", usage->options, NULL);
    return read_line(usage, &joined, argc, argv, seen, context);
}

int tool_read_globals(const struct tool_usage *overview, int argc, char **argv)
{
    struct joined joined;

    join(&joined, "+", tool_program.globals, tool_program.values);
    return read_line(overview, &joined, argc, argv, NULL, NULL);
}

int tool_read_operands(const struct tool_usage *usage, int argc, char **argv, void *values, int least, int most)
{
    int first = tool_read(usage, argc, argv, values);

    if (argc - first < least)
        exit(tool_misuse(usage->name, "too few arguments: %s %s %s", tool_program.name, usage->name, usage->operands));
    if (argc - first > most)
        exit(tool_misuse(usage->name, "'%s' is one argument too many: %s %s %s", argv[first + most], tool_program.name,
                         usage->name, usage->operands));
    return first;
}
