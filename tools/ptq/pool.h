/* pool.h -- what the subcommands of ptq pool share. */
#ifndef PTQ_TOOL_POOL_H
#define PTQ_TOOL_POOL_H

#include "command.h"

/* Opens a pool of the bus; TOOL_OK, or it has said why and gives the exit code. */
int open_pool(ptq_bus *bus, const char *name, const struct ptq_pool_options *options, ptq_pool **ret_pool);

/* Says "cannot DO: why - what to do" about `pool`, and gives the exit code. */
int fail_pool(ptq_pool *pool, enum ptq_err err, const char *what);

/* pool_run.c: its options, and the subcommand. */
extern const struct tool_option pool_run_options[];
int pool_run(int argc, char **argv);

#endif
