/* main.c -- ptqbridge: serves the queues of this host to others: words and signals around <ptq/bridge.h>. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <ptq/bridge.h>
#include <ptq/version.h>

#include "common/option.h"
#include "common/say.h"

struct values {
    struct tool_texts listen, peers, exports, imports, denies, renames, moves;
    const char *dir, *run, *node, *print;
    bool all_runs, insecure, quiet, verbose, version;
    int grace_ms, drain_ms;
    uint64_t ready_fd;
};
static struct values values;

#define FIELD(name) offsetof(struct values, name)
static const struct tool_option options[] = {
    {'l', "listen", TOOL_TEXTS, FIELD(listen), "URL",
     "serve here: tcp://127.0.0.1:7400 (port 0: any), ipc:///path, ws://127.0.0.1:7401/ptq; repeatable"},
    {'p', "peer", TOOL_TEXTS, FIELD(peers), "NAME=URL",
     "another host: which queues it has is published in this bus, for processes without PTQ_PEERS; repeatable"},
    {0, "export", TOOL_TEXTS, FIELD(exports), "GLOB", "serve these queues of this bus and no others; repeatable"},
    {0, "import", TOOL_TEXTS, FIELD(imports), "GLOB",
     "of the queues of peers, let processes of this host find these by their bare names, and no others; repeatable"},
    {0, "deny", TOOL_TEXTS, FIELD(denies), "GLOB", "neither export nor import these, whatever else is said; repeatable"},
    {0, "rename", TOOL_TEXTS, FIELD(renames), "HERE=THERE",
     "what is called HERE in this bus is called THERE by other hosts; one * in both, or in none, as '*=east.*'; repeatable"},
    {0, "move", TOOL_TEXTS, FIELD(moves), "GLOB=PEER",
     "carry the messages of these queues to their namesakes at a peer, or at an address; where several fit, to the first that a message has "
     "not been at; repeatable"},
    {0, "dir", TOOL_TEXT, FIELD(dir), "DIR", "where buses live; else $PTQ_DIR, else /dev/shm/ptq-UID"},
    {0, "run", TOOL_TEXT, FIELD(run), "NAME", "which bus; else $PTQ_RUN, else \"default\""},
    {0, "all-runs", TOOL_FLAG, FIELD(all_runs), NULL, "serve the other buses of the directory too"},
    {0, "node", TOOL_TEXT, FIELD(node), "NAME", "the name of this host; else $PTQ_NODE, else its host name"},
    {0, "insecure", TOOL_FLAG, FIELD(insecure), NULL,
     "listen on and dial plain addresses beyond the loopback: anybody on that wire can read, put and get"},
    {0, "grace", TOOL_MS, FIELD(grace_ms), "MS", "how long a silent session keeps its leases; 10s"},
    {0, "drain", TOOL_MS, FIELD(drain_ms), "MS", "after SIGTERM, how long leases may still be settled; 5s"},
    {0, "ready-fd", TOOL_COUNT, FIELD(ready_fd), "FD",
     "write a line to this descriptor, and close it, when it is listening"},
    {'q', "quiet", TOOL_FLAG, FIELD(quiet), NULL, "log errors and warnings only"},
    {'v', "verbose", TOOL_FLAG, FIELD(verbose), NULL, "log every channel too"},
    {0, "print", TOOL_TEXT, FIELD(print), "WHAT", "print man, list or completion, and leave"},
    {'V', "version", TOOL_FLAG, FIELD(version), NULL, "show the version"},
    {0}};
#undef FIELD

const struct tool_program tool_program = {"ptqbridge", options, &values, false};

static const struct tool_usage usage = {
    .name = "ptqbridge",
    .operands = "",
    .summary = "serve the queues of this host to others",
    .text =
        "Other hosts open a queue of this bus by PTQ_PEERS=name=URL and its bare name, by name@node, or by "
        "ptq://host:port/run/name, and use it by the same calls.  What a peer that went away had leased is redelivered "
        "after the grace; a bridge that is killed returns all leases at once, and may be started again at any time.\n\n"
        "SIGTERM and SIGINT drain: nothing new is begun, leases may be settled for a while; a second one does not "
        "wait.  "
        "The log goes to standard error, one line each: time, level, component, pairs.  When it is ready it says "
        "\"ptqbridge: listening on URL\" there, with the real port.",
    .examples = "ptqbridge --listen tcp://127.0.0.1:7400\n"
                "ptqbridge --run demo --listen tcp://127.0.0.1:0 --listen ipc:///run/user/1000/ptq.sock\n"
                "ptqbridge --listen tcp://127.0.0.1:7400 --peer east=tcp://127.0.0.1:7500\n"
                "ptqbridge --listen tcp://127.0.0.1:7400 --export 'jobs-*' --deny '*-private' --rename '*=east.*'",
    .options = options};

/* ---- the log ---- */

#define LINES_A_SECOND 50

/* At most so many lines a second: what a hostile peer provokes must not fill the disk.  How many were left out is said. */
static bool may_log(time_t now)
{
    static time_t second;
    static unsigned lines, left_out;

    if (now != second) {
        if (left_out > 0)
            fprintf(stderr, "level=warning component=log event=folded lines=%u\n", left_out);
        second = now;
        lines = left_out = 0;
    }
    if (++lines <= LINES_A_SECOND)
        return true;
    left_out++;
    return false;
}

static void write_log(void *context, enum ptq_bridge_level level, const char *line)
{
    static const char *const names[] = {"", "error", "warning", "info", "debug"};
    enum ptq_bridge_level most = values.verbose ? PTQ_BRIDGE_DEBUG
                                 : values.quiet ? PTQ_BRIDGE_WARNING
                                                : PTQ_BRIDGE_INFO;
    struct timespec now;
    struct tm parts;
    char when[32];
    (void)context;

    if (level > most)
        return;
    clock_gettime(CLOCK_REALTIME, &now);
    bool is_own = strncmp(line, "component=bridge ", 17) == 0; /* of the whole: no peer provokes it */
    if (!may_log(now.tv_sec) && !is_own)
        return;
    gmtime_r(&now.tv_sec, &parts);
    strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%S", &parts);
    fprintf(stderr, "%s.%03ldZ level=%s %s\n", when, now.tv_nsec / 1000000, names[level], line);
}

/* ---- signals ---- */

static ptq_bridge *bridge;

static void on_signal(int number)
{
    (void)number;
    ptq_bridge_stop(bridge);
}

static void catch_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};

    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
}

/* ---- main ---- */

static int print_table(const char *what)
{
    const struct tool_usage *const usages[] = {&usage, NULL};

    if (strcmp(what, "man") == 0)
        tool_man(&usage, stdout);
    else if (strcmp(what, "list") == 0)
        tool_list(&usage, stdout);
    else if (strcmp(what, "completion") == 0)
        tool_completion(usages, stdout);
    else
        return tool_misuse(NULL, "--print knows man, list and completion");
    return tool_finish();
}

static void say_ready(void)
{
    const char *url;

    for (size_t i = 0; (url = ptq_bridge_url(bridge, i)) != NULL; i++)
        fprintf(stderr, "ptqbridge: listening on %s\n", url);
    if (values.ready_fd == 0)
        return;
    dprintf((int)values.ready_fd, "listening on %s\n", ptq_bridge_url(bridge, 0));
    close((int)values.ready_fd);
}

static int serve(ptq_bus *bus)
{
    struct ptq_error error = {0};
    struct ptq_bridge_options bridge_options = {.listen = values.listen.items,
                                                .listen_count = values.listen.count,
                                                .peers = values.peers.items,
                                                .peer_count = values.peers.count,
                                                .exports = values.exports.items,
                                                .export_count = values.exports.count,
                                                .imports = values.imports.items,
                                                .import_count = values.imports.count,
                                                .denies = values.denies.items,
                                                .deny_count = values.denies.count,
                                                .renames = values.renames.items,
                                                .rename_count = values.renames.count,
                                                .moves = values.moves.items,
                                                .move_count = values.moves.count,
                                                .all_runs = values.all_runs,
                                                .grace_ms = values.grace_ms,
                                                .drain_ms = values.drain_ms,
                                                .log = write_log,
                                                .error = &error};
    enum ptq_err answer = ptq_bridge_open(bus, &bridge_options, &bridge);

    if (answer != PTQ_OK)
        return tool_fail(answer, NULL, "%s", error.text);
    catch_signals();
    say_ready();
    answer = ptq_bridge_run(bridge);
    ptq_bridge_close(bridge);
    return answer == PTQ_OK ? TOOL_OK : tool_fail(answer, NULL, "cannot go on: %s", ptq_strerror(answer));
}

int main(int argc, char **argv)
{
    struct ptq_error error = {0};
    ptq_bus *bus;

    tool_read_operands(&usage, argc, argv, &values, 0, 0);
    if (values.print != NULL)
        return print_table(values.print);
    if (values.version) {
        printf("ptqbridge %s, wire version %d\n", ptq_version(), PTQ_WIRE_VERSION);
        return tool_finish();
    }
    if (values.listen.count == 0)
        return tool_misuse(NULL, "where to listen? --listen tcp://127.0.0.1:7400");
    struct ptq_bus_options bus_options = {
        .dir = values.dir, .node = values.node, .peers = "", .insecure = values.insecure, .error = &error};
    enum ptq_err answer = ptq_bus_open(values.run, &bus_options, &bus);
    if (answer != PTQ_OK)
        return tool_fail(answer, NULL, "%s", error.text);
    int code = serve(bus);
    ptq_bus_close(bus);
    return code;
}
