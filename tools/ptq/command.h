/* command.h -- what the commands of ptq share: the table they stand in, the globals, opening things.
 *
 * To add a command: a file with its `struct tool_usage NAME_usages[]` (ended by {0}; several for a command with
 * subcommands such as "pool run") and `int cmd_NAME(int argc, char **argv)` (argv[0] is the command's name; returns an exit code
 * of say.h), a line in commands.c, and the file in CMakeLists.txt.
 */
#ifndef PTQ_COMMAND_H
#define PTQ_COMMAND_H

#include <ptq/ptq.h>

#include "common/option.h"
#include "common/say.h"

struct command {
    int (*run)(int argc, char **argv);
    const struct tool_usage *usages; /* ended by one without a summary */
};
extern const struct command commands[]; /* ended by one without run */

/* A command of two words, "pool run": runs the one that argv[1] names, shows help of all of them, or says which there are. */
int run_subcommand(const char *command, const struct tool_usage *usages, int (*const *subcommands)(int argc, char **argv), int argc,
                   char **argv);

/* --run, --dir, --peers; NULL where they were not given: the library looks at the environment then. */
struct globals {
    const char *run;
    const char *dir;
    const char *peers;
    const char *keys;
    bool insecure;
};
extern struct globals globals;

/* Opens the bus of the globals.  TOOL_OK, or it has said why and gives the exit code. */
int open_bus(ptq_bus **ret_bus);

/* The library's sentences name the thing, a "queue" or a "share", and part what to do by a semicolon; our lines begin with the name,
 * and have a dash. */
const char *adapt_text(const char *kind, const char *name, const char *text, char *buffer, size_t room);

/* Opens a queue of it; `options` may be NULL: it must exist.  TOOL_OK, or it has said why and gives the exit code. */
int open_queue(ptq_bus *bus, const char *name, const struct ptq_queue_options *options, ptq_queue **ret_queue);

/* A command on one queue that exists: opens bus and queue, does the work, closes both, flushes.  Its exit code. */
int with_queue(const char *name, int (*work)(ptq_queue *queue, void *context), void *context);

/* Opens a read-only view of a local queue; as open_queue. */
int open_view(ptq_bus *bus, const char *name, ptq_view **ret_view);

/* The same, but a queue that may be on another host is fine: *ret_view stays NULL. */
int find_view(ptq_bus *bus, const char *name, ptq_view **ret_view);

/* Says "cannot DO: why - what to do" about `queue`, and gives the exit code.  `size` is the message's where it matters. */
int fail_queue(ptq_queue *queue, enum ptq_err err, size_t size, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

#endif
