/* netns.c -- two network namespaces with a cable between them. */
#include "net/netns.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define SKIPPED 77

static const char *const addresses[2] = {"10.77.0.1", "10.77.0.2"};

static void skip_scene(const char *why)
{
    printf("skipped: %s\n", why);
    fflush(stdout);
    _exit(SKIPPED);
}

void netns_need(const char *program)
{
    char command[100], why[140];

    snprintf(command, sizeof command, "command -v %s >/dev/null 2>&1", program);
    snprintf(why, sizeof why, "there is no program '%s' here (tools/dev/packages says in which package it is)", program);
    if (system(command) != 0)
        skip_scene(why);
}

struct command {
    const char *text;
    int fd;
};

static int run_command(void *context)
{
    struct command *command = context;

    if (setns(command->fd, CLONE_NEWNET) != 0)
        return 126;
    execl("/bin/sh", "sh", "-c", command->text, (char *)NULL);
    return 127;
}

void netns_run(struct netns *ns, enum netns_side side, const char *format, ...)
{
    char text[600];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    struct command command = {text, ns->fds[side]};
    int status = ptt_reap(ptt_fork(run_command, &command), PTT_LONG);
    if (status == -1 || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
        fail_msg("'%s' failed: status %d", text, status);
}

void netns_filter_nothing(struct netns *ns, enum netns_side side)
{
    netns_run(ns, side, "nft flush ruleset");
}

void netns_filter(struct netns *ns, enum netns_side side, const char *match, const char *verdict)
{
    netns_run(ns, side,
              "nft -f - <<'END'\nflush ruleset\ntable ip t {\n chain c {\n  type filter hook input priority 0;\n"
              "  iif cable meta l4proto tcp %s %s\n }\n}\nEND\n",
              match, verdict);
}

static int new_namespace(void)
{
    if (unshare(CLONE_NEWNET) != 0)
        skip_scene("network namespaces need root, and a kernel that has them");
    int fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

static void lay_cable(struct netns *ns)
{
    netns_run(ns, NETNS_HOME, "ip link add cable type veth peer name cable netns /proc/%d/fd/%d", (int)getpid(),
              ns->fds[NETNS_FAR]);
    for (int side = 0; side < 2; side++)
        netns_run(ns, side, "ip link set lo up && ip addr add %s/24 dev cable && ip link set cable up", addresses[side]);
}

static const char *const grace[] = {"--grace", "1s", NULL};

void netns_go_through_bridge(struct netns *ns)
{
    struct net *net = &ns->net;

    net_near_start(&ns->near, net, NULL);
    ptq_bus_close(net->there);
    net->there = net_open_way(net, net->peers, "bridge");
}

/* Law: nng has not begun in this process, so that its threads will all be in the far namespace. */
static int run_scene(void *context)
{
    void (*scene)(struct netns *ns) = *(void (**)(struct netns *))context;
    struct netns ns = {0};
    struct net *net = &ns.net;

    netns_need("ip");
    netns_need("tc");
    setenv("PTQ_INSECURE", "1", 1);
    ns.fds[NETNS_FAR] = new_namespace();
    ns.fds[NETNS_HOME] = new_namespace();
    lay_cable(&ns);
    ptt_scratch_init_dir(&net->home);
    ptt_scratch_init_dir(&net->far);
    net->here = ptt_scratch_open(&net->home);
    snprintf(net->url, sizeof net->url, "tcp://%s:7400", addresses[NETNS_HOME]);
    net_bridge_start(net, grace);
    assert_int_equal(setns(ns.fds[NETNS_FAR], CLONE_NEWNET), 0);
    snprintf(net->peers, sizeof net->peers, "home=%s", net->url);
    net->there = net_open_far(net, net->peers);
    scene(&ns);
    net_bridge_kill(&ns.near);
    net_fini(net);
    return 0;
}

void netns_case(void (*scene)(struct netns *ns))
{
    int status = ptt_reap(ptt_fork(run_scene, &scene), 3 * PTT_LONG);

    if (status != -1 && WIFEXITED(status) && WEXITSTATUS(status) == SKIPPED)
        skip();
    if (status == -1)
        fail_msg("the scene did not end within %d ms", 3 * PTT_LONG);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        fail_msg("the scene failed: status %d", status);
}
