/* remote.c -- the remote carriers: a far bus that shares nothing with the home but a ptqbridge, over tcp, ipc, ws or tls; by a link
 * of its own, or through a ptqbridge of its own. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "contract/contract.h"
#include "net/keys.h"

#define GRACE "300" /* ms: a lease of the dead comes again after it */

/* ---- tls, with keys: made once a process ---- */

static struct keys keys;

static void forget_keys(void)
{
    keys_free(&keys);
}

static bool has_keys(const struct contract *c)
{
    if (strcmp(c->carrier->name, "tls") != 0)
        return false;
    const char *made = getenv("CONTRACT_KEYS"); /* we are a child of who made them */
    if (made != NULL) {
        snprintf(keys.scratch.dir, sizeof keys.scratch.dir, "%s", made);
    } else if (keys.scratch.dir[0] == '\0') {
        keys_make(&keys, (const char *const[]){"home", "far", NULL});
        setenv("CONTRACT_KEYS", keys.scratch.dir, 1);
        atexit(forget_keys);
    }
    return true;
}

static void open_bus(struct contract *c)
{
    struct ptq_error error = {0};
    struct ptq_bus_options options = {.dir = c->dir, .peers = c->peers, .node = "far", .error = &error,
                                      .keys = has_keys(c) ? keys_path(&keys, "far", NULL) : NULL};

    if (ptq_bus_open("test", &options, &c->bus) != PTQ_OK)
        fail_msg("%s", error.text);
}

static const char *const *home_options(const struct contract *c)
{
    static const char *options[] = {"--grace", GRACE "ms", NULL, NULL, NULL};

    if (has_keys(c)) {
        options[2] = "--keys";
        options[3] = keys_path(&keys, "home", NULL);
    }
    return options;
}

static void start_home(struct contract *c)
{
    const char *const *options = home_options(c);
    struct net net = {.home = c->home};
    struct ptt_scratch far;

    ptt_scratch_init_dir(&far);
    if (strcmp(c->carrier->name, "ipc") == 0)
        snprintf(net.url, sizeof net.url, "ipc://%s/socket", c->home.dir);
    else if (strcmp(c->carrier->name, "ws") == 0)
        snprintf(net.url, sizeof net.url, "ws://127.0.0.1:0/ptq");
    else if (has_keys(c))
        snprintf(net.url, sizeof net.url, "tls+tcp://127.0.0.1:0");
    snprintf(c->dir, sizeof c->dir, "%s", far.dir);
    net_bridge_start(&net, options);
    c->bridge = net.bridge;
    snprintf(c->peers, sizeof c->peers, "home=%s", net.url);
}

static void start_remote(struct contract *c)
{
    start_home(c);
    open_bus(c);
}

static void stop_remote(struct contract *c)
{
    struct ptt_scratch far = {0};

    ptt_kill(c->bridge);
    snprintf(far.dir, sizeof far.dir, "%s", c->dir);
    ptt_scratch_fini(&far);
}

static void restart_home(struct contract *c)
{
    const char *const *options = home_options(c);
    struct net net = {.home = c->home};

    ptt_kill(c->bridge);
    snprintf(net.url, sizeof net.url, "%s", strchr(c->peers, '=') + 1);
    net_bridge_start(&net, options);
    c->bridge = net.bridge;
}

/* ---- through the ptqbridge of the far bus: no link and no thread in this process ---- */

/* The far host, for the kit. */
static struct net far_host(const struct contract *c)
{
    struct net net = {.bridge = 0};

    snprintf(net.far.dir, sizeof net.far.dir, "%s", c->dir);
    return net;
}

static void open_bridged(struct contract *c)
{
    struct net net = far_host(c);

    c->bus = net_open_way(&net, c->peers, "bridge");
}

static void start_bridged(struct contract *c)
{
    start_home(c);
    struct net near, net = far_host(c);
    net_near_start(&near, &net, NULL);
    c->near = near.bridge;
    open_bridged(c);
}

static void stop_bridged(struct contract *c)
{
    ptt_kill(c->near);
    stop_remote(c);
}

const struct contract_carrier contract_bridge = {.name = "bridge",
                                                 .remote = true,
                                                 .bridge = true,
                                                 .suffix = "@home",
                                                 .start = start_bridged,
                                                 .attach = open_bridged,
                                                 .stop = stop_bridged,
                                                 .restart_home = restart_home};

#define CARRIER(of)                                                                                                    \
    {                                                                                                                  \
        .name = of, .remote = true, .suffix = "@home", .start = start_remote, .attach = open_bus, .stop = stop_remote,                 \
        .restart_home = restart_home                                                                                   \
    }
const struct contract_carrier contract_remote = CARRIER("remote"); /* tcp */
const struct contract_carrier contract_ipc = CARRIER("ipc");
const struct contract_carrier contract_ws = CARRIER("ws");
const struct contract_carrier contract_tls = CARRIER("tls"); /* and keys */
