/* say.c -- words for people: error lines, exit codes, colour. */
#include "say.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "option.h"
#include "text.h"

const char *const tool_exit_words[TOOL_EXITS] = {[TOOL_OK] = "ok",
                                                 [TOOL_ERROR] = "error",
                                                 [TOOL_USAGE] = "usage",
                                                 [TOOL_NO_QUEUE] = "no such queue",
                                                 [TOOL_EMPTY] = "empty or timed out",
                                                 [TOOL_FULL] = "full",
                                                 [TOOL_PERMISSION] = "permission",
                                                 [TOOL_VERSION] = "version mismatch",
                                                 [TOOL_UNREACHABLE] = "peer unreachable"};

int tool_exit_code(enum ptq_err err)
{
    switch (err) {
    case PTQ_OK:
        return TOOL_OK;
    case PTQ_EMPTY:
    case PTQ_TIMEDOUT:
        return TOOL_EMPTY;
    case PTQ_FULL:
        return TOOL_FULL;
    case PTQ_ENOENT:
    case PTQ_EGONE:
        return TOOL_NO_QUEUE;
    case PTQ_EINVAL:
        return TOOL_USAGE;
    case PTQ_EPERM:
        return TOOL_PERMISSION;
    case PTQ_EVERSION:
        return TOOL_VERSION;
    case PTQ_EUNREACHABLE:
    case PTQ_EINDOUBT:
        return TOOL_UNREACHABLE;
    default:
        return TOOL_ERROR;
    }
}

bool tool_colour(FILE *out)
{
    const char *term = getenv("TERM");
    const char *none = getenv("NO_COLOR");
    const char *force = getenv("CLICOLOR_FORCE");

    if (none != NULL && none[0] != '\0')
        return false;
    if (force != NULL && force[0] != '\0' && strcmp(force, "0") != 0)
        return true;
    if (term == NULL || strcmp(term, "dumb") == 0)
        return false;
    return isatty(fileno(out));
}

static void print_line(const char *subject, const char *format, va_list arguments)
{
    bool colour = tool_colour(stderr);
    char line[2048];
    char safe[4096];

    vsnprintf(line, sizeof line, format, arguments);
    fprintf(stderr, "%s%s:%s ", colour ? "\033[1;31m" : "", tool_program.name, colour ? "\033[0m" : "");
    if (subject != NULL)
        fprintf(stderr, "%s: ", tool_escape(subject, strlen(subject), safe, sizeof safe));
    fprintf(stderr, "%s\n", tool_escape(line, strlen(line), safe, sizeof safe));
}

void tool_error(const char *subject, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    print_line(subject, format, arguments);
    va_end(arguments);
}

/* What to do, where the line itself does not know better. */
static const char *advise(enum ptq_err err)
{
    switch (err) {
    case PTQ_EENDED:
        return "put into another queue, or remove this one when it is empty (ptq rm) and create it again";
    case PTQ_EMPTY:
    case PTQ_TIMEDOUT:
        return "wait longer, or see with ptq info who is attached";
    case PTQ_FULL:
        return "take something out, or wait longer";
    case PTQ_ENOENT:
        return "see what there is: ptq ls";
    case PTQ_EGONE:
        return "it was removed: open it again, or create it";
    case PTQ_EINVAL:
        return "see --help";
    case PTQ_EPERM:
        return "ask its owner to let you in (--mode, --group), or run as its owner";
    case PTQ_EVERSION:
        return "use one version of ptq for all of it: ptq version";
    case PTQ_EUNREACHABLE:
        return "see which hosts answer: ptq peers";
    case PTQ_EINDOUBT:
        return "look whether it has happened before you do it again";
    case PTQ_EEXIST:
    case PTQ_EMISMATCH:
        return "choose another name, or the properties that it has: ptq info";
    case PTQ_EBUSY:
        return "wait until its user has gone: ptq info names him";
    case PTQ_ECORRUPT:
        return "see what is wrong: ptq verify; then save what there is, and ptq rm --force";
    case PTQ_ENOMEM:
        return "end other programs, or raise the limits: ulimit -n for descriptors, ulimit -v for memory";
    case PTQ_ENOSPC:
        return "make room where the bus lives: ptq doctor tells where and how much";
    case PTQ_EDIED:
        return "see in the system's log what ended it, and begin again";
    default:
        return "see what this host lacks: ptq doctor";
    }
}

int tool_fail(enum ptq_err err, const char *subject, const char *format, ...)
{
    char text[2048];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    char *last = NULL;
    for (char *at = strstr(text, "; "); at != NULL; at = strstr(at + 2, "; "))
        last = at;
    if (!tool_program.commands || strstr(text, " - ") != NULL) /* the bridge has words of its own */
        tool_error(subject, "%s", text);
    else if (last != NULL) /* the library's sentences part it by a semicolon */
        tool_error(subject, "%.*s - %s", (int)(last - text), text, last + 2);
    else
        tool_error(subject, "%s - %s", text, advise(err));
    return tool_exit_code(err);
}

int tool_no_memory(void)
{
    tool_error(NULL, "out of memory - end other programs, or raise the limit: ulimit -v");
    return TOOL_ERROR;
}

int tool_misuse_code = TOOL_USAGE;

int tool_misuse(const char *command, const char *format, ...)
{
    char line[1024];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    if (command == NULL || strcmp(command, tool_program.name) == 0)
        tool_error(NULL, "%s - see: %s --help", line, tool_program.name);
    else
        tool_error(command, "%s - see: %s %s --help", line, tool_program.name, command);
    return tool_misuse_code;
}

/* A queue's file as descriptor 1 would take our words into its memory. */
void tool_begin(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) < 0)
            exit(TOOL_ERROR);
}

static int flush_words(const char *advice)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return TOOL_OK;
    tool_error(NULL, "cannot write to standard output: %s - %s", strerror(errno), advice);
    return TOOL_ERROR;
}

int tool_finish(void) { return flush_words("mend it, and call again"); }

int tool_finish_done(void) { return flush_words("what was asked is done all the same: do not call again for that"); }
