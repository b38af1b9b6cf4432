/* bus.c -- opening a bus: which run, which directory, which peers; the environment is asked here and nowhere else. */
#include "bus/bus.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bus/directory.h"

/* A set-uid program gets none of it.  An empty variable is an unset one. */
static const char *read_environment(const char *name)
{
    const char *value = secure_getenv(name);

    return value != NULL && value[0] != '\0' ? value : NULL;
}

static const char *choose(const char *given, const char *variable)
{
    return given != NULL ? given : read_environment(variable);
}

/* ---- this host ---- */

static void name_after_host(char node[static 64])
{
    char host[256] = "";

    if (gethostname(host, sizeof host - 1) != 0 || host[0] == '\0' || host[0] == '.')
        strcpy(host, "localhost");
    snprintf(node, 64, "%.63s", host);
    for (char *byte = node; *byte != '\0'; byte++) {
        if (!isalnum((unsigned char)*byte) && strchr("._-", *byte) == NULL)
            *byte = '-';
    }
}

static enum ptq_err set_node(ptq_bus *bus, const char *node, struct ptq_error *error)
{
    if (node == NULL) {
        name_after_host(bus->node);
        return PTQ_OK;
    }
    if (!pti_name_is_valid(node) || strlen(node) >= sizeof bus->node)
        return pti_error(error, PTQ_EINVAL,
                         "node name '%s' is not legal; use up to %zu of [A-Za-z0-9._-], not beginning with a dot (PTQ_NODE)",
                         node, sizeof bus->node - 1);
    strcpy(bus->node, node);
    return PTQ_OK;
}

#define OUTBOX_USUAL 65536u /* messages */
#define OUTBOX_MOST (1u << 22)

/* A switch of the environment: 0 or 1. */
static enum ptq_err read_switch(const char *name, bool given, bool *ret_on, struct ptq_error *error)
{
    const char *value = read_environment(name);

    if (value != NULL && strcmp(value, "0") != 0 && strcmp(value, "1") != 0)
        return pti_error(error, PTQ_EINVAL, "%s is '%s'; it may be 0 or 1", name, value);
    *ret_on = given || (value != NULL && strcmp(value, "1") == 0);
    return PTQ_OK;
}

static enum ptq_err read_debug(bool *ret_tells, struct ptq_error *error)
{
    const char *value = read_environment("PTQ_DEBUG");

    if (value != NULL && strcmp(value, "proto") != 0)
        return pti_error(error, PTQ_EINVAL, "PTQ_DEBUG is '%.40s'; it may be proto, or unset", value);
    *ret_tells = value != NULL;
    return PTQ_OK;
}

static enum ptq_err read_via(const char *given, enum pti_via_choice *ret_via, struct ptq_error *error)
{
    static const char *const words[] = {"auto", "direct", "bridge"};
    const char *word = choose(given, "PTQ_VIA");

    *ret_via = PTI_VIA_AUTO;
    for (int i = 0; word != NULL && i < 3; i++) {
        if (strcmp(word, words[i]) == 0) {
            *ret_via = (enum pti_via_choice)i;
            return PTQ_OK;
        }
    }
    return word == NULL ? PTQ_OK
                        : pti_error(error, PTQ_EINVAL, "PTQ_VIA is '%.100s'; it may be auto, direct or bridge", word);
}

static enum ptq_err read_outbox(uint32_t given, uint32_t *ret_outbox, struct ptq_error *error)
{
    const char *text = read_environment("PTQ_OUTBOX");
    char *end = NULL;
    unsigned long long value = text != NULL ? strtoull(text, &end, 10) : OUTBOX_USUAL;

    if (given == 0 && text != NULL && (*text < '0' || *text > '9' || *end != '\0' || value < 1 || value > OUTBOX_MOST))
        return pti_error(error, PTQ_EINVAL, "PTQ_OUTBOX is '%.100s'; it may be a number of messages from 1 to %u", text, OUTBOX_MOST);
    if (given > OUTBOX_MOST)
        return pti_error(error, PTQ_EINVAL, "an outbox of %u messages is too large: at most %u", given, OUTBOX_MOST);
    *ret_outbox = given != 0 ? given : (uint32_t)value;
    return PTQ_OK;
}

/* ---- the others ---- */

static bool is_known_node(const ptq_bus *bus, const char *node)
{
    for (size_t i = 0; i < bus->peer_count; i++) {
        if (strcmp(bus->peers[i].node, node) == 0)
            return true;
    }
    return false;
}

/* One "name=url". */
static enum ptq_err add_peer(ptq_bus *bus, const char *text, size_t length, struct ptq_error *error)
{
    struct pti_peer peer;
    const char *equals = memchr(text, '=', length);
    size_t name_length = equals == NULL ? 0 : (size_t)(equals - text);
    size_t url_length = equals == NULL ? 0 : length - name_length - 1;

    if (name_length == 0 || name_length >= sizeof peer.node || url_length == 0 || url_length >= sizeof peer.url)
        return pti_error(error, PTQ_EINVAL, "peer '%.*s' is not of the form name=url (PTQ_PEERS)", (int)length, text);
    snprintf(peer.node, sizeof peer.node, "%.*s", (int)name_length, text);
    snprintf(peer.url, sizeof peer.url, "%.*s", (int)url_length, equals + 1);
    if (!pti_name_is_valid(peer.node) || strstr(peer.url, "://") == NULL || strstr(peer.url, "://") == peer.url)
        return pti_error(error, PTQ_EINVAL,
                         "peer '%.*s' is not of the form name=url, as in 'east=tcp://10.0.0.2:7400' (PTQ_PEERS)",
                         (int)length, text);
    if (is_known_node(bus, peer.node))
        return pti_error(error, PTQ_EINVAL, "peer '%s' is named twice (PTQ_PEERS)", peer.node);
    bus->peers[bus->peer_count++] = peer;
    return PTQ_OK;
}

static size_t count_parts(const char *list)
{
    size_t count = 1;

    for (; *list != '\0'; list++)
        count += *list == ',';
    return count;
}

static enum ptq_err set_peers(ptq_bus *bus, const char *list, struct ptq_error *error)
{
    enum ptq_err answer = PTQ_OK;

    if (list == NULL)
        return PTQ_OK;
    bus->peers = calloc(count_parts(list), sizeof *bus->peers);
    if (bus->peers == NULL)
        return pti_error(error, PTQ_ENOMEM, "no memory for the list of peers");
    while (*list != '\0' && answer == PTQ_OK) {
        list += strspn(list, " \t\n,");
        size_t part = strcspn(list, ","), length = part;
        while (length > 0 && strchr(" \t\n", list[length - 1]) != NULL)
            length--;
        if (length > 0)
            answer = add_peer(bus, list, length, error);
        list += part;
    }
    return answer;
}

/* Law: homes are only added, in front, until the bus is freed: so they are read without a lock. */
enum ptq_err pti_bus_note_home(ptq_bus *bus, const char *node, const char *url)
{
    struct pti_home *home = calloc(1, sizeof *home);

    if (home == NULL)
        return PTQ_ENOMEM;
    snprintf(home->peer.node, sizeof home->peer.node, "%s", node);
    snprintf(home->peer.url, sizeof home->peer.url, "%s", url);
    home->next = pti_load_relaxed(&bus->homes);
    while (!pti_cas(&bus->homes, &home->next, home))
        ;
    return PTQ_OK;
}

struct naming {
    const char *url;
    char *node;
};

static bool compare_url(const char *node, const char *url, void *context)
{
    struct naming *naming = context;

    if (strcmp(url, naming->url) != 0)
        return true;
    snprintf(naming->node, 64, "%.63s", node);
    return false;
}

void pti_bus_name_home(ptq_bus *bus, const char *url, char ret_node[64])
{
    struct naming naming = {url, ret_node};

    ret_node[0] = '\0';
    for (const struct pti_home *home = pti_load_acquire(&bus->homes); home != NULL; home = home->next) {
        if (!compare_url(home->peer.node, home->peer.url, &naming))
            return;
    }
    (void)!ptq_bus_list_peers(bus, compare_url, &naming);
}

/* ---- open, close ---- */

static enum ptq_err set_run(ptq_bus *bus, const char *run, struct ptq_error *error)
{
    const char *name = choose(run, "PTQ_RUN");

    if (name == NULL)
        name = "default";
    if (!pti_name_is_valid(name))
        return pti_error(error, PTQ_EINVAL,
                         "run name '%s' is not legal; use up to %d of [A-Za-z0-9._-], not beginning with a dot", name,
                         PTQ_NAME_MAX);
    strcpy(bus->run, name);
    return PTQ_OK;
}

static enum ptq_err set_directory(ptq_bus *bus, const struct ptq_bus_options *options)
{
    char usual[64];
    const char *dir = choose(options->dir, "PTQ_DIR");
    bool chosen = dir != NULL;

    if (chosen && dir[0] == '\0')
        return pti_error(options->error, PTQ_EINVAL, "the bus directory is named by an empty text");
    snprintf(usual, sizeof usual, "/dev/shm/ptq-%u", (unsigned)geteuid());
    return pti_directory_open(chosen ? dir : usual, bus->run, chosen, options->error, bus->path, sizeof bus->path,
                              &bus->dirfd);
}

/* Absolute, for the program may go elsewhere before it dials.  Whether it is good is seen by who needs it. */
static enum ptq_err set_keys(ptq_bus *bus, const char *keys, struct ptq_error *error)
{
    char *whole = keys != NULL ? realpath(keys, NULL) : NULL;
    const char *path = whole != NULL ? whole : keys != NULL ? keys : "";
    bool fits = strlen(path) < sizeof bus->keys;

    if (fits)
        strcpy(bus->keys, path);
    free(whole);
    return fits ? PTQ_OK : pti_error(error, PTQ_EINVAL, "the path of the folder of keys '%.60s...' is too long (PTQ_KEYS)", keys);
}

static enum ptq_err set_up(ptq_bus *bus, const char *run, const struct ptq_bus_options *options)
{
    enum ptq_err answer = set_run(bus, run, options->error);

    if (answer == PTQ_OK)
        answer = read_switch("PTQ_INSECURE", options->insecure, &bus->insecure, options->error);
    if (answer == PTQ_OK)
        answer = set_keys(bus, choose(options->keys, "PTQ_KEYS"), options->error);
    if (answer == PTQ_OK)
        answer = read_switch("PTQ_GUARD", options->guard, &bus->guard, options->error);
    if (answer == PTQ_OK)
        answer = read_debug(&bus->tells, options->error);
    if (answer == PTQ_OK)
        answer = read_via(options->via, &bus->via, options->error);
    if (answer == PTQ_OK)
        answer = read_outbox(options->outbox, &bus->outbox, options->error);
    if (answer == PTQ_OK)
        answer = set_node(bus, choose(options->node, "PTQ_NODE"), options->error);
    if (answer == PTQ_OK)
        answer = set_peers(bus, choose(options->peers, "PTQ_PEERS"), options->error);
    if (answer == PTQ_OK)
        answer = set_directory(bus, options);
    return answer;
}

enum ptq_err ptq_bus_open(const char *run, const struct ptq_bus_options *options, ptq_bus **ret_bus)
{
    static const struct ptq_bus_options no_options;
    const struct ptq_bus_options *given = options != NULL ? options : &no_options;

    if (ret_bus == NULL)
        return pti_error(given->error, PTQ_EINVAL, "ptq_bus_open: ret_bus is NULL");
    ptq_bus *bus = calloc(1, sizeof *bus);
    if (bus == NULL)
        return pti_error(given->error, PTQ_ENOMEM, "no memory for a bus");
    bus->dirfd = -1;
    pti_store_relaxed(&bus->holders, 1); /* nobody else sees it yet */
    enum ptq_err answer = set_up(bus, run, given);
    if (answer != PTQ_OK) {
        ptq_bus_close(bus);
        return answer;
    }
    *ret_bus = bus;
    return PTQ_OK;
}

ptq_bus *pti_bus_hold(ptq_bus *bus)
{
    pti_fetch_add_seq(&bus->holders, 1);
    return bus;
}

void pti_bus_drop(ptq_bus *bus)
{
    if (bus == NULL || pti_fetch_add_seq(&bus->holders, -1u) != 1)
        return;
    if (bus->dirfd >= 0)
        close(bus->dirfd);
    for (struct pti_home *home = pti_load_relaxed(&bus->homes), *next; home != NULL; home = next) {
        next = home->next;
        free(home);
    }
    free(bus->peers);
    free(bus);
}

void ptq_bus_close(ptq_bus *bus)
{
    pti_bus_drop(bus);
}

const char *ptq_bus_run(const ptq_bus *bus)
{
    return bus->run;
}

const char *ptq_bus_path(const ptq_bus *bus)
{
    return bus->path;
}
