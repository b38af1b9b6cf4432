/* option.h -- one table of options a command, from which come parsing, help, the man page and completion.
 *
 * A program defines `tool_program`; a command has a `struct tool_usage`.  -h and --help belong to every command, and so do the
 * program's globals, before or after the command's name.
 */
#ifndef TOOL_OPTION_H
#define TOOL_OPTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* What an option is, and which type its field in the values struct has. */
enum tool_kind {
    TOOL_FLAG = 1, /* bool: becomes true */
    TOOL_TEXT,     /* const char *: borrowed from argv */
    TOOL_COUNT,    /* uint64_t from 1: digits, and k M G for thousands */
    TOOL_LIMIT,    /* the same from 0 */
    TOOL_SIZE,     /* uint64_t from 1: digits, and K M G for 1024s */
    TOOL_MS,       /* int: milliseconds, or with a unit ms s m; "forever" or -1: PTQ_FOREVER */
    TOOL_SECONDS,  /* double, above 0 */
    TOOL_RATE,     /* double, above 0: how many a second; and k M G for thousands */
    TOOL_OCTAL,    /* uint32_t: permission bits */
    TOOL_TEXTS,    /* struct tool_texts: may be given several times */
    TOOL_CHOICE,   /* int: which of the words of `argument`, "raw|line|json", from 0 */
    TOOL_FORMAT    /* struct tool_format: the same, or, in place of the last word, a text with a % or a backslash */
};

struct tool_format {
    int word;         /* from 0; the last one: it is `text` */
    const char *text; /* borrowed from argv; NULL: a word was given */
};

enum { TOOL_TEXTS_MAX = 64 };
struct tool_texts {
    const char *items[TOOL_TEXTS_MAX]; /* borrowed from argv */
    size_t count;
};

struct tool_option {
    char letter;          /* 0: it has none */
    const char *name;     /* without the dashes; NULL ends a table */
    enum tool_kind kind;
    size_t field;         /* offsetof in the command's values struct */
    const char *argument; /* how help names its value; NULL for a flag */
    const char *help;     /* one sentence, lower case, without a full stop */
};

/* A command as help, man page and completion show it. */
struct tool_usage {
    const char *name;     /* "put", or "pool run"; for a program without commands its own name */
    const char *operands; /* "QUEUE [DATA|-]"; may be "" */
    const char *summary;  /* one line, lower case, without a full stop; NULL ends an array */
    const char *text;     /* paragraphs, parted by an empty line; may be NULL */
    const char *examples; /* lines of shell; may be NULL */
    const struct tool_option *options;
};

/* Which variables of the environment a program heeds: a table in man.c. */
enum tool_heeds { TOOL_HEEDS_PTQ = 1, TOOL_HEEDS_PTQTOP = 2, TOOL_HEEDS_PTQBRIDGE = 4, TOOL_HEEDS_LIBRARY = 8 };

struct tool_program {
    const char *name; /* "ptq": how its errors begin */
    const struct tool_option *globals;
    void *values; /* of the globals */
    bool commands; /* the first operand is a command, which has the globals beside its own options */
    unsigned exits; /* which codes of enum tool_exit it ends with: 1u << code */
    enum tool_heeds heeds;
};
extern const struct tool_program tool_program; /* each program defines it */

/* Reads the options of argv (argv[0] is skipped) into `values`, whose defaults the caller has set.  Returns the index of
 * the first operand; argv is sorted so that the operands come last.  Ends the process after --help (0) and for what
 * it cannot understand (2). */
int tool_read(const struct tool_usage *usage, int argc, char **argv, void *values);

/* As tool_read, but tells each option as it stands on the command line, in its order, and stores nothing.  `text` is NULL for a
 * flag. */
typedef void tool_seen(const struct tool_option *option, const char *text, void *context);
int tool_scan(const struct tool_usage *usage, int argc, char **argv, tool_seen *seen, void *context);

/* One value as its option wants it, into `values`; false: it is none.  wants: what it should have been, in words. */
bool tool_store(const struct tool_option *option, const char *text, void *values);
const char *tool_wants(const struct tool_option *option);

/* Reads the globals that stand before the command; returns the index of the command, or argc. */
int tool_read_globals(const struct tool_usage *overview, int argc, char **argv);

/* As tool_read, and checks the number of operands: fewer than `least` or more than `most` end the process (2). */
int tool_read_operands(const struct tool_usage *usage, int argc, char **argv, void *values, int least, int most);

/* usage.c, completion.c: the same tables as text.  The array of usages ends with NULL. */
extern const struct tool_option tool_help_option; /* what every command has */
void tool_help(const struct tool_usage *usage, FILE *out);
void tool_help_options(const struct tool_option *options, FILE *out);
/* How the values of these options are written, one by one: *ret_argument is NULL where none of them has such a value.  false: no more. */
bool tool_value(const struct tool_option *options, size_t index, const char **ret_argument, const char **ret_help);
void tool_completion(const struct tool_usage *const *usages, FILE *out);

/* man.c: `PROGRAM --print WHAT`, which stands in no help: parts of manual pages for the build, in the form of scdoc(5), "options"
 * "globals" "commands" "examples" "exits" "environment", "library" (the environment of libptq); "list" of all options,
 * "command<TAB>--option<TAB>letter<TAB>argument" a line; "completion".  The exit code. */
int tool_print(const char *what, const struct tool_usage *const *usages);
void tool_print_words(const char *text, FILE *out);
void tool_print_sentence(const char *text, FILE *out); /* of a table, where it begins small and has no full stop */

#endif
