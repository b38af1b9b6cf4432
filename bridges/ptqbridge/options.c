/* options.c -- the one table of what ptqbridge can be told. */
#include "options.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/say.h"

#define ONE(name) offsetof(struct values, name)
#define SWITCH(name) offsetof(struct switches, name)
#define ALONE NULL, NULL, SETTING_SWITCH

const struct setting settings[] = {
    {"listen", "url", SETTING_VALUES,
     {'l', "listen", TOOL_TEXTS, ONE(listen), "URL",
      "serve here: tcp://127.0.0.1:7400 (port 0: any), ipc:///path, ws://127.0.0.1:7401/ptq; repeatable"}, NULL, 0, NULL},
    {"link", "url", SETTING_NAMED,
     {'p', "peer", TOOL_TEXTS, ONE(peers), "NAME=URL",
      "another host: which queues it has is published in this bus, for processes without PTQ_PEERS; repeatable"}, NULL, 0, NULL},
    {"export", NULL, SETTING_NAMES,
     {0, "export", TOOL_TEXTS, ONE(exports), "GLOB", "serve these queues of this bus and no others; repeatable"}, NULL, 0, NULL},
    {"import", NULL, SETTING_NAMES,
     {0, "import", TOOL_TEXTS, ONE(imports), "GLOB",
      "of the queues of peers, let processes of this host find these by their bare names, and no others; repeatable"}, NULL, 0, NULL},
    {"deny", "queue", SETTING_LISTED,
     {0, "deny", TOOL_TEXTS, ONE(denies), "GLOB", "neither export nor import these, whatever else is said; repeatable"}, NULL, 0, NULL},
    {"rename", NULL, SETTING_PAIRS,
     {0, "rename", TOOL_TEXTS, ONE(renames), "HERE=THERE",
      "what is called HERE in this bus is called THERE by other hosts; one * in both, or in none, as '*=east.*'; repeatable"}, NULL, 0, NULL},
    {"move", NULL, SETTING_PAIRS,
     {0, "move", TOOL_TEXTS, ONE(moves), "GLOB=PEER",
      "carry the messages of these queues to their namesakes at a peer, or at an address; where several fit, to the first that a message has "
      "not been at; repeatable"}, NULL, 0, NULL},
    {"bridge", "dir", SETTING_ONE,
     {0, "dir", TOOL_TEXT, ONE(dir), "DIR", "where buses live"}, "/dev/shm/ptq-UID", SETTING_FIXED, "PTQ_DIR"},
    {"bridge", "run", SETTING_ONE, {0, "run", TOOL_TEXT, ONE(run), "NAME", "which bus"}, "default", SETTING_FIXED, "PTQ_RUN"},
    {"bridge", "all-runs", SETTING_ONE,
     {0, "all-runs", TOOL_FLAG, ONE(all_runs), NULL, "serve the other buses of the directory too"}, "no", 0, NULL},
    {"bridge", "node", SETTING_ONE,
     {0, "node", TOOL_TEXT, ONE(node), "NAME", "the name of this host"}, "the host name", SETTING_FIXED, "PTQ_NODE"},
    {"bridge", "keys", SETTING_ONE,
     {0, "keys", TOOL_TEXT, ONE(keys), "DIR",
      "who this host is to others, who have to prove who they are: the folder that keygen made for it"}, "none", SETTING_FIXED, "PTQ_KEYS"},
    {"bridge", "rules", SETTING_ONE,
     {0, "rules", TOOL_TEXT, ONE(rules), "FILE",
      "who may do what, in lines IDENTITY QUEUES RIGHTS as 'west jobs-* put,get'; what none allows is denied"},
     "with keys the file rules in their folder, else everybody may do everything", 0, NULL},
    {"bridge", "insecure", SETTING_ONE,
     {0, "insecure", TOOL_FLAG, ONE(insecure), NULL,
      "listen on and dial plain addresses beyond the loopback: anybody on that wire can read, put and get"}, "no", SETTING_FIXED,
     "PTQ_INSECURE"},
    {"bridge", "grace", SETTING_ONE,
     {0, "grace", TOOL_MS, ONE(grace_ms), "MS", "how long a silent session keeps its leases"}, "10s", 0, NULL},
    {"bridge", "drain", SETTING_ONE,
     {0, "drain", TOOL_MS, ONE(drain_ms), "MS", "after SIGTERM, how long leases may still be settled"}, "5s", 0, NULL},
    {"bridge", "http", SETTING_ONE,
     {0, "http", TOOL_TEXT, ONE(http), "ADDRESS",
      "tell /healthz, /readyz, /metrics and /status here: 127.0.0.1:9417 (port 0: any), [::1]:9417 or unix:/path; nobody is asked who he is, "
      "so beyond the loopback only with --insecure"}, NULL, SETTING_FIXED, NULL},
    {"bridge", "log-level", SETTING_ONE,
     {0, "log-level", TOOL_CHOICE, ONE(log_level), "error|warning|info|debug", "what is logged: this, and what is worse"}, "info", 0, NULL},
    {"bridge", "log-format", SETTING_ONE,
     {0, "log-format", TOOL_CHOICE, ONE(log_format), "text|json|journal",
      "lines for people, objects for programs, or lines that begin with a priority, for the journal"}, "text", 0, NULL},
    {"bridge", "status-file", SETTING_ONE,
     {0, "status-file", TOOL_TEXT, ONE(status_file), "FILE", "where SIGUSR1 writes what the bridge does, as a JSON object"}, "the log", 0, NULL},
    {"limits", "max-links", SETTING_ONE,
     {0, "max-links", TOOL_COUNT, ONE(limits.links), "N",
      "connections at once"}, "4096", 0, NULL},
    {"limits", "max-peer-links", SETTING_ONE,
     {0, "max-peer-links", TOOL_COUNT, ONE(limits.peer_links), "N",
      "connections of one peer, who is an address or a user"}, "2048", 0, NULL},
    {"limits", "max-strangers", SETTING_ONE,
     {0, "max-strangers", TOOL_COUNT, ONE(limits.strangers), "N",
      "connections that have not said who they are, for which they have 5 s; a new one takes the place of the oldest"}, "1024", 0, NULL},
    {"limits", "max-peer-strangers", SETTING_ONE,
     {0, "max-peer-strangers", TOOL_COUNT, ONE(limits.peer_strangers), "N",
      "connections of one peer that have not said who they are"}, "256", 0, NULL},
    {"limits", "max-sessions", SETTING_ONE,
     {0, "max-sessions", TOOL_COUNT, ONE(limits.sessions), "N",
      "conversations, also those whose link broke"}, "8192", 0, NULL},
    {"limits", "max-peer-sessions", SETTING_ONE,
     {0, "max-peer-sessions", TOOL_COUNT, ONE(limits.peer_sessions), "N",
      "conversations of one peer"}, "4096", 0, NULL},
    {"limits", "max-queues", SETTING_ONE,
     {0, "max-queues", TOOL_COUNT, ONE(limits.queues), "N",
      "queues that other hosts have open; each handle counts"}, "16384", 0, NULL},
    {"limits", "max-peer-queues", SETTING_ONE,
     {0, "max-peer-queues", TOOL_COUNT, ONE(limits.peer_queues), "N",
      "queues that one peer has open"}, "8192", 0, NULL},
    {"limits", "max-leases", SETTING_ONE,
     {0, "max-leases", TOOL_COUNT, ONE(limits.leases), "N",
      "messages that other hosts have leased"}, "4194304", 0, NULL},
    {"limits", "max-peer-leases", SETTING_ONE,
     {0, "max-peer-leases", TOOL_COUNT, ONE(limits.peer_leases), "N",
      "messages that one peer has leased"}, "2097152", 0, NULL},
    {"limits", "max-bytes", SETTING_ONE,
     {0, "max-bytes", TOOL_SIZE, ONE(limits.bytes), "BYTES",
      "memory for puts that wait or come in pieces; beyond it they wait at their senders"}, "256M", 0, NULL},
    {"limits", "max-peer-bytes", SETTING_ONE,
     {0, "max-peer-bytes", TOOL_SIZE, ONE(limits.peer_bytes), "BYTES",
      "memory for the puts of one peer that wait or come in pieces"}, "192M", 0, NULL},
    {"limits", "max-streams", SETTING_ONE,
     {0, "max-streams", TOOL_COUNT, ONE(limits.streams), "N",
      "handles of other hosts whose puts are known, for 10 minutes after their link broke"}, "65536, which is the most there can be", 0, NULL},
    {"limits", "max-peer-streams", SETTING_ONE,
     {0, "max-peer-streams", TOOL_COUNT, ONE(limits.peer_streams), "N",
      "handles of one peer whose puts are known"}, "32768", 0, NULL},
    {"limits", "max-requests", SETTING_ONE,
     {0, "max-requests", TOOL_COUNT, ONE(limits.requests), "N",
      "requests whose answers were not received yet"}, "2097152", 0, NULL},
    {"limits", "max-peer-requests", SETTING_ONE,
     {0, "max-peer-requests", TOOL_COUNT, ONE(limits.peer_requests), "N",
      "requests of one peer whose answers were not received yet"}, "1048576", 0, NULL},
    {"limits", "max-dials", SETTING_ONE,
     {0, "max-dials", TOOL_COUNT, ONE(limits.dials), "N",
      "new connections a second; ten times as many at once"}, "250", 0, NULL},
    {"limits", "max-peer-dials", SETTING_ONE,
     {0, "max-peer-dials", TOOL_COUNT, ONE(limits.peer_dials), "N",
      "new connections a second from one peer, ten times as many at once; one that said nonsense counts for up to 64"}, "100", 0, NULL},
    {"limits", "max-vain", SETTING_ONE,
     {0, "max-vain", TOOL_COUNT, ONE(limits.vain), "N",
      "thousandths of a core for what brings no message, as listings, and opening what is not there; beyond it who asks is read less often"}, "100", 0, NULL},
    {"limits", "max-peer-vain", SETTING_ONE,
     {0, "max-peer-vain", TOOL_COUNT, ONE(limits.peer_vain), "N",
      "thousandths of a core for what brings no message to one peer"}, "60", 0, NULL},
    {"limits", "max-opens", SETTING_ONE,
     {0, "max-opens", TOOL_COUNT, ONE(limits.opens), "N",
      "queues that are opened a second, twenty times as many at once; beyond it who opens is read less often"}, "1000", 0, NULL},
    {"limits", "max-peer-opens", SETTING_ONE,
     {0, "max-peer-opens", TOOL_COUNT, ONE(limits.peer_opens), "N",
      "queues that one peer opens a second, twenty times as many at once"}, "500", 0, NULL},
    {"limits", "max-peer-rate", SETTING_ONE,
     {0, "max-peer-rate", TOOL_SIZE, ONE(limits.peer_rate), "BYTES",
      "bytes a second that are read from one peer"}, "as many as come", 0, NULL},
    {"limits", "max-peer-request-rate", SETTING_ONE,
     {0, "max-peer-request-rate", TOOL_COUNT, ONE(limits.peer_request_rate), "N",
      "requests a second that are read from one peer"}, "as many as come", 0, NULL},
    {ALONE, {'c', "config", TOOL_TEXT, SWITCH(config), "FILE", "read this, and what FILE.d holds: ptq-bridge.conf(5)"}, NULL, 0,
     "PTQ_BRIDGE_CONFIG"},
    {ALONE, {0, "check", TOOL_FLAG, SWITCH(check), NULL, "say whether all of that is right, and leave"}, NULL, 0, ""},
    {ALONE, {0, "dump-config", TOOL_FLAG, SWITCH(dump_config), NULL,
      "show each value and where it comes from, as a file of the same meaning, and leave"}, NULL, 0, ""},
    {ALONE, {0, "ready-fd", TOOL_COUNT, SWITCH(ready_fd), "FD",
      "write a line to this descriptor, and close it, when it is listening"}, NULL, 0, ""},
    {ALONE, {'q', "quiet", TOOL_FLAG, SWITCH(quiet), NULL, "the same as --log-level warning"}, NULL, 0, ""},
    {ALONE, {'v', "verbose", TOOL_FLAG, SWITCH(verbose), NULL, "the same as --log-level debug"}, NULL, 0, ""},
    {ALONE, {'V', "version", TOOL_FLAG, SWITCH(version), NULL, "show the version"}, NULL, 0, ""},
    {0}};
#undef ONE
#undef SWITCH
#undef ALONE

enum { ROWS_MOST = sizeof settings / sizeof settings[0] };
static struct tool_option rows[ROWS_MOST];              /* those with a name on the command line */
static const struct setting *sources[ROWS_MOST];
static char helps[ROWS_MOST][400];

const struct tool_program tool_program = {"ptqbridge",
                                          rows,
                                          NULL,
                                          .exits = 1u << TOOL_OK | 1u << TOOL_ERROR | 1u << TOOL_USAGE | 1u << TOOL_PERMISSION,
                                          .heeds = TOOL_HEEDS_PTQBRIDGE};

static const struct tool_usage usage = {
    .name = "ptqbridge",
    .operands = "",
    .summary = "serve the queues of this host to others",
    .text =
        "Other hosts open a queue of this bus by PTQ_PEERS=name=URL and its bare name, by name@node, or by "
        "ptq://host:port/run/name, and use it by the same calls.  What a peer that went away had leased is redelivered "
        "after the grace; a bridge that is killed returns all leases at once, and may be started again at any time.\n\n"
        "Each of these may also stand in a file (--config) or in the environment, as PTQ_BRIDGE_GRACE does for --grace; the command "
        "line goes before the environment, and that before the file.  A list is taken whole from one of them.\n\n"
        "SIGTERM and SIGINT drain: nothing new is begun, leases may be settled for a while; a second one does not "
        "wait.  "
        "The log goes to standard error, one line each: time, level, component, pairs.  When it is ready it says "
        "\"ptqbridge: listening on URL\" there, with the real port.\n\n"
        "ptqbridge keygen makes the keys and certificates by which hosts know each other: ptqbridge keygen --help.",
    .examples = "ptqbridge --listen tcp://127.0.0.1:7400\n"
                "ptqbridge --run demo --listen tcp://127.0.0.1:0 --listen ipc:///run/user/1000/ptq.sock\n"
                "ptqbridge --listen tcp://127.0.0.1:7400 --peer east=tcp://127.0.0.1:7500\n"
                "ptqbridge --listen tcp://127.0.0.1:7400 --export 'jobs-*' --deny '*-private' --rename '*=east.*'\n"
                "ptqbridge --config /etc/ptq/ptq-bridge.conf --check\n"
                "ptqbridge keygen /root/ptq-keys east west",
    .options = rows};

const struct tool_usage *make_usage(void)
{
    size_t count = 0;

    for (const struct setting *setting = settings; setting->form != 0; setting++) {
        if (setting->option.name == NULL)
            continue;
        snprintf(helps[count], sizeof helps[count], "%s%s%s%s", setting->option.help, setting->initial != NULL ? " (default: " : "",
                 setting->initial != NULL ? setting->initial : "", setting->initial != NULL ? ")" : "");
        rows[count] = setting->option;
        rows[count].help = helps[count];
        sources[count++] = setting;
    }
    return &usage;
}

const struct setting *setting_of(const struct tool_option *option)
{
    return sources[option - rows];
}

bool setting_environment(const struct setting *setting, char name[64])
{
    const char *flag = setting->option.name;

    if (setting->environment != NULL) {
        snprintf(name, 64, "%s", setting->environment);
        return name[0] != '\0';
    }
    if (flag == NULL)
        return false;
    snprintf(name, 64, "PTQ_BRIDGE_%s", flag);
    for (char *at = name; *at != '\0'; at++)
        *at = *at == '-' ? '_' : (char)toupper((unsigned char)*at);
    return true;
}

/* ---- the manual page of the file ---- */

static const char *value_of(const struct setting *setting)
{
    return setting->option.kind == TOOL_FLAG ? "yes|no" : setting->option.argument;
}

static void print_term(const struct setting *setting)
{
    const char *argument = setting->option.argument;

    switch (setting->form) {
    case SETTING_NAMES:
        printf("*\\[%s* _GLOB_*\\]*", setting->section);
        return;
    case SETTING_PAIRS:
        printf("*\\[%s\\]* _%.*s_ = _%s_", setting->section, (int)strcspn(argument, "="), argument, strchr(argument, '=') + 1);
        return;
    case SETTING_VALUES:
    case SETTING_NAMED:
        printf("*\\[%s* _NAME_*\\]* *%s* = _%s_", setting->section, setting->key,
               setting->form == SETTING_NAMED ? strchr(argument, '=') + 1 : argument);
        return;
    default:
        printf("*\\[%s\\]* *%s* = _%s_", setting->section, setting->key, value_of(setting));
    }
}

static void print_key(const struct setting *setting)
{
    char name[64];
    bool flag = setting->option.name != NULL, named = setting_environment(setting, name);

    print_term(setting);
    fputs("\n\t", stdout);
    tool_print_sentence(setting->option.help, stdout);
    if (setting->initial != NULL) {
        fputs("\tWithout it: ", stdout);
        tool_print_words(setting->initial, stdout);
        puts(".");
    }
    if ((setting->marks & SETTING_FIXED) != 0)
        puts("\tA change waits for a restart.");
    if (flag || named)
        fputs("\tAlso ", stdout);
    if (flag)
        printf("*--%s*%s", setting->option.name, named ? ", " : ".");
    if (named)
        printf("*%s*.", name);
    puts("\n");
}

void print_keys(void)
{
    for (const struct setting *setting = settings; setting->form != 0; setting++)
        if (setting->section != NULL)
            print_key(setting);
}

/* Those with names of their own; all others are PTQ_BRIDGE_ and the option. */
void print_variables(void)
{
    char name[64];

    for (const struct setting *setting = settings; setting->form != 0; setting++)
        if (setting->environment != NULL && setting_environment(setting, name))
            printf("*%s*\n\tAs *--%s*.\n\n", name, setting->option.name);
    puts("*PTQ_BRIDGE_*_OPTION_\n\tEach other option by its name in capitals, as *PTQ_BRIDGE_GRACE* for *--grace*: *ptq-bridge.conf*(5).\n");
}
