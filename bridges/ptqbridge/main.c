/* main.c -- ptqbridge: serves the queues of this host to others: a thin program around <ptq/bridge.h>. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <ptq/version.h>

#include "common/say.h"
#include "config.h"
#include "keygen.h"
#include "log.h"
#include "serve.h"

/* For the pages and completion, at build time. */
static int print_part(const struct tool_usage *usage, const char *what)
{
    const struct tool_usage *const usages[] = {usage, NULL};

    if (strcmp(what, "keys") == 0)
        print_keys();
    else if (strcmp(what, "variables") == 0)
        print_variables();
    else
        return tool_print(what, usages);
    return tool_finish();
}

static const char *config_path(const struct switches *switches)
{
    const char *path = switches->config != NULL ? switches->config : getenv("PTQ_BRIDGE_CONFIG");

    return path != NULL && path[0] != '\0' ? path : NULL;
}

static int run(const struct switches *switches, const struct config *told)
{
    struct config config = {0};
    int code = config_load(&config, told, config_path(switches)) ? serve_check(&config, switches->check) : TOOL_USAGE;
    bool right = code == TOOL_OK;

    if (switches->dump_config) {
        config_dump(&config);
        code = tool_finish() == TOOL_OK ? code : TOOL_ERROR;
    } else if (switches->check) {
        if (right)
            puts("the configuration is right");
        code = tool_finish() == TOOL_OK ? code : TOOL_ERROR;
    } else if (right && config.values.listen.count == 0) {
        code = tool_misuse(NULL, "where to listen? --listen tcp://127.0.0.1:7400");
    } else if (right) {
        code = serve(&config, switches, told, config_path(switches));
    }
    config_fini(&config);
    return code;
}

int main(int argc, char **argv)
{
    const struct tool_usage *usage = make_usage();
    struct switches switches = {0};
    struct config told = {0};

    tool_begin();
    if (argc > 1 && strcmp(argv[1], "keygen") == 0)
        return keygen(argc - 1, argv + 1);
    if (argc == 3 && strcmp(argv[1], "--print") == 0)
        return print_part(usage, argv[2]);
    config_read_flags(&told, usage, argc, argv, &switches);
    if (switches.version) {
        printf("ptqbridge %s, wire version %d\n", ptq_version(), PTQ_WIRE_VERSION);
        return tool_finish();
    }
    int code = run(&switches, &told);
    config_fini(&told);
    return code;
}
