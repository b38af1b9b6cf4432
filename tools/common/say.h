/* say.h -- words for people: error lines, exit codes, colour.  Words go to standard error, data to standard output.
 *
 * An error line is `ptq: tasks: cannot put 5000 bytes: item_size is 4096 - create the queue with --item-size 8192`:
 * what failed, on what, why, and after the dash what to do.
 */
#ifndef TOOL_SAY_H
#define TOOL_SAY_H

#include <stdbool.h>
#include <stdio.h>

#include <ptq/err.h>

enum tool_exit {
    TOOL_OK = 0,
    TOOL_ERROR = 1,
    TOOL_USAGE = 2,
    TOOL_NO_QUEUE = 3,
    TOOL_EMPTY = 4, /* or timed out */
    TOOL_FULL = 5,
    TOOL_PERMISSION = 6,
    TOOL_VERSION = 7,
    TOOL_UNREACHABLE = 8,
    TOOL_EXITS
};
extern const char *const tool_exit_words[TOOL_EXITS];

/* The exit code of a ptq answer. */
int tool_exit_code(enum ptq_err err);

/* One error line about `subject` (a queue, a file; NULL: none).  Control characters are escaped. */
__attribute__((format(printf, 2, 3))) void tool_error(const char *subject, const char *format, ...);

/* The same, and returns the exit code of `err`.  Where the line does not say what to do, what is to be done about such an `err` in general
 * is added; a library's sentence says it behind its last semicolon. */
__attribute__((format(printf, 3, 4))) int tool_fail(enum ptq_err err, const char *subject, const char *format, ...);

/* The line for that, and TOOL_ERROR. */
int tool_no_memory(void);

/* What a wrong call exits with: TOOL_USAGE, but for a command whose codes mean something else. */
extern int tool_misuse_code;

/* The same for a wrong call of `command`; adds where to look; returns tool_misuse_code. */
__attribute__((format(printf, 2, 3))) int tool_misuse(const char *command, const char *format, ...);

/* Shall `out` be coloured?  NO_COLOR, CLICOLOR_FORCE, TERM=dumb, and whether it is a terminal decide. */
bool tool_colour(FILE *out);

/* To be called first: where standard input, output or error is closed, puts a file there that can neither be read nor written, so
 * that nothing else is opened in its place. */
void tool_begin(void);

/* Flushes standard output: TOOL_OK, or says why not and answers TOOL_ERROR.  To be called last by every command.  tool_finish_done: by one
 * that has changed something, which nobody should do once more for the sake of its words. */
int tool_finish(void);
int tool_finish_done(void);

#endif
