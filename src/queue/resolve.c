/* resolve.c -- from a name to its home: this host, or another.
 *
 * Law: a queue is made here by its bare name only when every peer has said that it has none, so that nobody makes a
 * second one because the home of the first was silent.
 */
#include "queue/resolve.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/time.h"
#include "queue/address.h"
#include "queue/null.h"

#define LOOK_NS (20 * PTI_NS_PER_MS)

static bool is_here(ptq_bus *bus, const char *name)
{
    char file[PTI_FILE_NAME_MAX];

    pti_segment_file(name, file, sizeof file);
    return faccessat(bus->dirfd, file, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* How the name led there, before what the carrier found out. */
static void tell_way(struct pti_port *port, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void tell_way(struct pti_port *port, const char *format, ...)
{
    char way[sizeof port->why], told[sizeof port->why];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(way, sizeof way, format, arguments);
    va_end(arguments);
    snprintf(told, sizeof told, "%s", port->why);
    snprintf(port->why, sizeof port->why, "%.*s%s%.*s", (int)sizeof port->why / 2, way, told[0] != '\0' ? "; " : "",
             (int)sizeof port->why / 2 - 4, told);
}

static const char *source_of_peers(const ptq_bus *bus)
{
    return bus->peer_count > 0 ? "PTQ_PEERS" : "the ptqbridge of this host";
}

static enum ptq_err open_there(ptq_bus *bus, const char *url, const char *run, const char *name,
                               const struct pti_open *open, struct ptq_error *error, struct pti_port **ret_port)
{
    if (pti_carriers.open_remote == NULL)
        return pti_error(error, PTQ_EINVAL,
                         "queue '%s' is at '%s', but this ptq was built without links to other hosts", name, url);
    return pti_carriers.open_remote(bus, url, run, name, open, error, ret_port);
}

static enum ptq_err open_at_node(ptq_bus *bus, const struct pti_address *address, const struct pti_open *open,
                                 struct ptq_error *error, struct pti_port **ret_port)
{
    struct pti_peer *peers;
    size_t count, i = 0;

    if (strcmp(address->node, "self") == 0)
        return pti_carriers.open_local(bus, address->name, open, error, ret_port);
    enum ptq_err answer = pti_resolve_peers(bus, &peers, &count);
    if (answer != PTQ_OK)
        return pti_error(error, answer, "queue '%s': out of memory", address->name);
    while (i < count && strcmp(peers[i].node, address->node) != 0)
        i++;
    if (i < count) {
        answer = open_there(bus, peers[i].url, bus->run, address->name, open, error, ret_port);
        if (answer == PTQ_OK)
            tell_way(*ret_port, "it was asked for at node '%s', known from %s", address->node, source_of_peers(bus));
    } else if (strcmp(address->node, bus->node) == 0) { /* a peer may bear our name: two buses of one host */
        answer = pti_carriers.open_local(bus, address->name, open, error, ret_port);
    } else {
        answer = pti_error(
            error, PTQ_ENOENT,
            "queue '%s@%s': no peer is called '%s'; name it in PTQ_PEERS (name=url) or start ptqbridge with --peer",
            address->name, address->node, address->node);
    }
    free(peers);
    return answer;
}

/* What all peers said. */
struct asked {
    const struct pti_peer *has; /* the first that has it */
    const struct pti_peer *has_too;
    const struct pti_peer *silent;
    struct ptq_error silence;
};

static void ask_all(ptq_bus *bus, const char *name, const struct pti_peer *peers, size_t count, struct asked *asked)
{
    memset(asked, 0, sizeof *asked);
    for (size_t i = 0; i < count; i++) {
        struct ptq_error error = {0};
        enum ptq_err answer = pti_carriers.ask_remote(bus, peers[i].url, bus->run, name, &error);
        if (answer == PTQ_OK && asked->has != NULL)
            asked->has_too = &peers[i];
        else if (answer == PTQ_OK)
            asked->has = &peers[i];
        else if (answer != PTQ_ENOENT && asked->silent == NULL) {
            asked->silent = &peers[i];
            asked->silence = error;
            asked->silence.code = answer;
        }
    }
}

static enum ptq_err tell_silence(const struct asked *asked, const char *name, struct ptq_error *error)
{
    enum ptq_err code =
        asked->silence.code == PTQ_EPERM || asked->silence.code == PTQ_EFORKED || asked->silence.code == PTQ_EINVAL
            ? asked->silence.code
            : PTQ_EUNREACHABLE;

    return pti_error(
        error, code,
        "queue '%s' is not here, and peer '%s' does not say whether it has it (%.250s); wait for it, or write "
        "'%s@self' for a queue of this host",
        name, asked->silent->node, asked->silence.text, name);
}

/* The only peer need not be asked first: opening what is there already asks and answers in one. */
static enum ptq_err open_at_only_peer(ptq_bus *bus, const char *name, const struct pti_peer *peer,
                                      const struct pti_open *attach, struct ptq_error *error,
                                      struct pti_port **ret_port)
{
    struct asked asked = {.silent = peer};
    enum ptq_err answer = open_there(bus, peer->url, bus->run, name, attach, &asked.silence, ret_port);

    asked.silence.code = answer;
    if (answer == PTQ_OK)
        tell_way(*ret_port, "it is not here, and the only peer '%s', known from %s, has it", peer->node, source_of_peers(bus));
    if (answer == PTQ_EUNREACHABLE || answer == PTQ_EPROTO)
        return tell_silence(&asked, name, error);
    return answer == PTQ_OK ? PTQ_OK : pti_error(error, answer, "%s", asked.silence.text);
}

/* Here is none.  PTQ_ENOENT: and nowhere else. */
static enum ptq_err open_elsewhere(ptq_bus *bus, const char *name, const struct pti_peer *peers, size_t count,
                                   const struct pti_open *open, struct ptq_error *error, struct pti_port **ret_port)
{
    struct pti_open attach = *open;
    struct asked asked;

    attach.options.mode = PTQ_ATTACH; /* never made anew there because it went meanwhile */
    if (count == 1 && open->options.mode != PTQ_CREATE)
        return open_at_only_peer(bus, name, &peers[0], &attach, error, ret_port);
    ask_all(bus, name, peers, count, &asked);
    if (asked.has_too != NULL)
        return pti_error(error, PTQ_EEXIST,
                         "queue '%s' is at '%s' and at '%s'; write '%s@%s' or '%s@%s' to say which is meant", name,
                         asked.has->node, asked.has_too->node, name, asked.has->node, name, asked.has_too->node);
    if (asked.has == NULL)
        return asked.silent != NULL ? tell_silence(&asked, name, error)
                                    : pti_error(error, PTQ_ENOENT, "there is no queue '%s', here or at %zu peer%s",
                                                name, count, count == 1 ? "" : "s");
    if (open->options.mode == PTQ_CREATE)
        return pti_error(error, PTQ_EEXIST, "queue '%s' exists already, at '%s'; write '%s@self' for another one here",
                         name, asked.has->node, name);
    enum ptq_err answer = open_there(bus, asked.has->url, bus->run, name, &attach, error, ret_port);
    if (answer == PTQ_OK)
        tell_way(*ret_port, "it is not here, and of %zu peers, known from %s, '%s' has it", count, source_of_peers(bus),
                 asked.has->node);
    return answer;
}

static enum ptq_err open_once(ptq_bus *bus, const char *name, const struct pti_peer *peers, size_t count,
                              const struct pti_open *open, struct ptq_error *error, struct pti_port **ret_port)
{
    if (is_here(bus, name))
        return pti_carriers.open_local(bus, name, open, error, ret_port);
    enum ptq_err answer = open_elsewhere(bus, name, peers, count, open, error, ret_port);
    if (answer == PTQ_ENOENT && open->options.mode != PTQ_ATTACH)
        answer = pti_carriers.open_local(bus, name, open, error, ret_port);
    return answer;
}

/* It may come into being here or there, and a silent peer may speak again. */
static enum ptq_err open_bare(ptq_bus *bus, const char *name, const struct pti_peer *peers, size_t count,
                              const struct pti_open *open, struct ptq_error *error, struct pti_port **ret_port)
{
    struct pti_open look = *open;
    int64_t until = open->options.wait_ms != 0 ? pti_deadline(open->options.wait_ms) : 0;
    struct timespec nap = {.tv_nsec = LOOK_NS};
    enum ptq_err answer;

    look.options.wait_ms = 0;
    while ((answer = open_once(bus, name, peers, count, &look, error, ret_port)) != PTQ_OK) {
        bool may_pass = answer == PTQ_EUNREACHABLE || answer == PTQ_EBUSY ||
                        (answer == PTQ_ENOENT && open->options.mode == PTQ_ATTACH);
        if (!may_pass || pti_now_ns() >= until)
            break;
        nanosleep(&nap, NULL);
    }
    return answer;
}

enum ptq_err pti_resolve_open(ptq_bus *bus, const char *name, const struct pti_open *open, struct ptq_error *error,
                              struct pti_port **ret_port)
{
    struct pti_address address;
    struct pti_peer *peers = NULL;
    struct pti_open view;
    size_t count = 0;
    if (strcmp(name, PTI_NULL_NAME) == 0)
        return pti_null_open(ret_port) == PTQ_OK ? PTQ_OK : pti_error(error, PTQ_ENOMEM, "queue '%s': out of memory", name);
    enum ptq_err answer = pti_address_read(name, error, &address);

    if (answer != PTQ_OK)
        return answer;
    if (address.letters) {
        if (open->options.mode == PTQ_CREATE)
            return pti_error(error, PTQ_EINVAL, "'%.300s' is a view, which is not created: create queue '%s'", name, address.name);
        if (open->options.flags & PTQ_PRODUCER)
            return pti_error(error, PTQ_EINVAL, "'%.300s' is a view: there are no producers of it", name);
        view = *open;
        view.letters = true;
        view.options.mode = PTQ_ATTACH;
        open = &view;
        name = address.name;
    }
    if (address.url[0] != '\0')
        answer = open_there(bus, address.url, address.run, address.name, open, error, ret_port);
    if (address.url[0] != '\0' && answer == PTQ_OK)
        tell_way(*ret_port, "it was asked for by its address");
    if (address.url[0] != '\0')
        return answer;
    if (address.node[0] != '\0')
        return open_at_node(bus, &address, open, error, ret_port);
    if (pti_carriers.ask_remote != NULL && pti_resolve_peers(bus, &peers, &count) != PTQ_OK)
        return pti_error(error, PTQ_ENOMEM, "queue '%s': out of memory", name);
    answer = count == 0 ? pti_carriers.open_local(bus, name, open, error, ret_port)
                        : open_bare(bus, name, peers, count, open, error, ret_port);
    free(peers);
    return answer;
}
