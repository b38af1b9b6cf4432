/* peers.c -- ptq peers: the other hosts that this bus knows, and how they are. */
#include <string.h>
#include <time.h>

#include "commands.h"
#include "common/report.h"
#include "common/table.h"
#include "common/text.h"

struct peers_options {
    bool json, queues;
};

static const struct tool_option peers_options[] = {
    {'q', "queues", TOOL_FLAG, offsetof(struct peers_options, queues), NULL, "also name the queues that each serves to us"},
    {0, "json", TOOL_FLAG, offsetof(struct peers_options, json), NULL, "one JSON object a line"},
    {0}};

const struct tool_usage peers_usages[] = {
    {.name = "peers",
     .operands = "",
     .summary = "show the other hosts that this bus knows, and how they are",
     .text = "Shows the other hosts: those of --peers or PTQ_PEERS, else those that the ptqbridge of this host has published.  Each is asked now, all at once, for "
             "three seconds at most: whether it is up, how long one question and its answer take, and which queues it has.  SINCE and "
             "BRIDGE are what the ptqbridge of this host says, which keeps a link to each of its peers; '-' where it has none.\n\n"
             "The exit code is 8 if one of them is not up.",
     .examples = "ptq peers\nptq peers --queues\nPTQ_PEERS=east=tcp://127.0.0.1:7500 ptq peers --json",
     .options = peers_options},
    {0}};

struct listing {
    const struct peers_options *options;
    struct tool_table table;
    bool one_down;
    int code;
};

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- JSON ---- */

static void add_watched(json_t *object, const struct ptq_peer *peer)
{
    if (!peer->watched)
        return;
    json_object_set_new(object, "bridge_up", json_boolean(peer->watched_up));
    if (peer->watched_since_ms > 0)
        tool_set_number(object, "bridge_since_unix_ms", (uint64_t)peer->watched_since_ms);
}

static int print_json(const struct ptq_peer *peer)
{
    char url[600], why[800];
    json_t *object = json_pack("{s:i, s:o, s:o, s:b, s:s}", "v", 1, "peer", tool_text_json(peer->node), "url",
                               tool_text_json(tool_hide_user(peer->url, url, sizeof url)), "up", peer->answer == PTQ_OK, "answer", ptq_err_name(peer->answer));
    json_t *queues = json_array();

    if (object == NULL || queues == NULL)
        return tool_fail(PTQ_ENOMEM, peer->node, "no memory to print it");
    if (peer->answer == PTQ_OK)
        tool_set_number(object, "rtt_us", (peer->rtt_ns + 500) / 1000);
    else
        json_object_set_new(object, "why", tool_text_json(tool_hide_user(peer->why, why, sizeof why)));
    add_watched(object, peer);
    for (size_t i = 0; i < peer->queue_count; i++)
        json_array_append_new(queues, tool_text_json(peer->queues[i]));
    if (peer->answer == PTQ_OK)
        json_object_set_new(object, "queues", queues);
    else
        json_decref(queues);
    return tool_print_json(object, stdout);
}

/* ---- a table ---- */

static const struct tool_column columns[] = {{"PEER", true},  {"URL", true},     {"STATE", true}, {"RTT", false},
                                             {"SINCE", false}, {"BRIDGE", true}, {"QUEUES", false}};

static void add_since(struct tool_table *table, const struct ptq_peer *peer)
{
    char age[16];
    int64_t since = peer->watched && peer->watched_since_ms > 0 ? now_ms() - peer->watched_since_ms : -1;

    tool_table_cell(table, "%s", since >= 0 ? tool_age((uint64_t)since, age) : "-");
    tool_table_cell(table, "%s", !peer->watched ? "-" : peer->watched_up ? "up" : "down");
}

static void add_row(struct tool_table *table, const struct ptq_peer *peer)
{
    char url[600];

    tool_table_cell(table, "%s", peer->node);
    tool_table_cell(table, "%s", tool_hide_user(peer->url, url, sizeof url));
    tool_table_cell(table, "%s", peer->answer == PTQ_OK ? "up" : "down");
    if (peer->answer == PTQ_OK)
        tool_table_cell(table, "%.1fms", (double)peer->rtt_ns / 1e6);
    else
        tool_table_cell(table, "-");
    add_since(table, peer);
    if (peer->answer == PTQ_OK)
        tool_table_cell(table, "%zu", peer->queue_count);
    else
        tool_table_cell(table, "-");
}

static bool on_peer(const struct ptq_peer *peer, void *context)
{
    struct listing *listing = context;
    char why[800];

    listing->one_down = listing->one_down || peer->answer != PTQ_OK;
    if (listing->options->json) {
        listing->code = print_json(peer);
        return listing->code == TOOL_OK;
    }
    if (peer->answer != PTQ_OK)
        tool_error(peer->node, "%s - see that its ptqbridge runs, and that this is its address", tool_hide_user(peer->why, why, sizeof why));
    if (!listing->options->queues) {
        add_row(&listing->table, peer);
        return true;
    }
    char safe[600];
    for (size_t i = 0; i < peer->queue_count; i++)
        printf("%s@%s\n", tool_escape(peer->queues[i], strlen(peer->queues[i]), safe, sizeof safe), peer->node);
    return true;
}

int cmd_peers(int argc, char **argv)
{
    struct peers_options options = {0};
    struct listing listing = {.options = &options};
    ptq_bus *bus = NULL;

    tool_read_operands(peers_usages, argc, argv, &options, 0, 0);
    int code = open_bus(&bus);
    if (code != TOOL_OK)
        return code;
    tool_table_init(&listing.table, columns, sizeof columns / sizeof columns[0]);
    enum ptq_err err = ptq_bus_look_at_peers(bus, on_peer, &listing);
    if (err == PTQ_OK && !options.json && !options.queues)
        tool_table_print(&listing.table, stdout);
    tool_table_fini(&listing.table);
    if (err != PTQ_OK)
        code = tool_fail(err, ptq_bus_path(bus), "cannot look at its peers: %s", ptq_strerror(err));
    else
        code = listing.code != TOOL_OK ? listing.code : listing.one_down ? TOOL_UNREACHABLE : TOOL_OK;
    ptq_bus_close(bus);
    int finished = tool_finish();
    return code != TOOL_OK ? code : finished;
}
