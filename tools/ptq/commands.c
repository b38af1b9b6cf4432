/* commands.c -- the commands of ptq, in the order in which help shows them. */
#include "commands.h"

const struct command commands[] = {
    {cmd_ls, ls_usages},
    {cmd_info, info_usages},
    {cmd_stats, stats_usages},
    {cmd_create, create_usages},
    {cmd_put, put_usages},
    {cmd_get, get_usages},
    {cmd_peek, peek_usages},
    {cmd_end, end_usages},
    {cmd_purge, purge_usages},
    {cmd_kick, kick_usages},
    {cmd_pause, pause_usages},
    {cmd_resume, resume_usages},
    {cmd_rm, rm_usages},
    {cmd_gc, gc_usages},
    {cmd_verify, verify_usages},
    {cmd_doctor, doctor_usages},
    {cmd_peers, peers_usages},
    {cmd_pool, pool_usages},
    {cmd_bench, bench_usages},
    {cmd_completion, completion_usages},
    {cmd_version, version_usages},
    {cmd_help, help_usages},
    {NULL, NULL}};
