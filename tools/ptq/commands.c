/* commands.c -- the commands of ptq, in the order in which help shows them. */
#include "commands.h"

const struct command commands[] = {
    {cmd_version, version_usages},
#if PTQ_WITH_POOL
    {cmd_pool, pool_usages},
#endif
#if PTQ_WITH_BENCH
    {cmd_bench, bench_usages},
#endif
    {cmd_completion, completion_usages},
    {cmd_help, help_usages},
    {NULL, NULL}};
