/* commands.c -- the commands of ptq, in the order in which help shows them. */
#include "commands.h"

#include <stdio.h>
#include <string.h>

const struct command commands[] = {
    {cmd_ls, ls_usages},
    {cmd_info, info_usages},
    {cmd_stats, stats_usages},
    {cmd_create, create_usages},
    {cmd_put, put_usages},
    {cmd_get, get_usages},
    {cmd_peek, peek_usages},
    {cmd_tail, tail_usages},
    {cmd_record, record_usages},
    {cmd_replay, replay_usages},
    {cmd_trace, trace_usages},
    {cmd_end, end_usages},
    {cmd_purge, purge_usages},
    {cmd_kick, kick_usages},
    {cmd_pause, pause_usages},
    {cmd_resume, resume_usages},
    {cmd_rm, rm_usages},
    {cmd_gc, gc_usages},
    {cmd_check, check_usages},
    {cmd_verify, verify_usages},
    {cmd_doctor, doctor_usages},
    {cmd_peers, peers_usages},
    {cmd_pool, pool_usages},
    {cmd_share, share_usages},
    {cmd_log, log_usages},
    {cmd_bench, bench_usages},
    {cmd_completion, completion_usages},
    {cmd_version, version_usages},
    {cmd_help, help_usages},
    {NULL, NULL}};

static const char *second_word(const struct tool_usage *usage)
{
    return strchr(usage->name, ' ') + 1;
}

int run_subcommand(const char *command, const struct tool_usage *usages, int (*const *subcommands)(int argc, char **argv), int argc,
                   char **argv)
{
    char all[200] = "";

    for (size_t i = 0; argc > 1 && usages[i].summary != NULL; i++)
        if (strcmp(argv[1], second_word(&usages[i])) == 0)
            return subcommands[i](argc - 1, argv + 1);
    for (size_t i = 0, length = 0; usages[i].summary != NULL && length < sizeof all; i++)
        length += (size_t)snprintf(all + length, sizeof all - length, "%s%s", i > 0 ? ", " : "", second_word(&usages[i]));
    if (argc < 2)
        return tool_misuse(command, "which of %s?", all);
    if (strcmp(argv[1], "--help") != 0 && strcmp(argv[1], "-h") != 0)
        return tool_misuse(command, "'%s' is none of %s", argv[1], all);
    for (const struct tool_usage *usage = usages; usage->summary != NULL; usage++) {
        tool_help(usage, stdout);
        if (usage[1].summary != NULL)
            putchar('\n');
    }
    return tool_finish();
}
