/* ref.c -- the text form of a handle, which may be sent inside a message, and the way back.
 *
 *      ptq:///run/name@node#id                  it is on shared memory where it was written
 *      ptq://host:port/run/name@node#id         it was seen over a link; ptq+ipc:// and ptq+ws:// likewise
 *
 * Law: the id decides.  It is drawn when a queue is made, so no other queue of that name, in another directory, on
 * another host, or made after it was removed, is ever taken for it.  Where the id is found on shared memory, that is
 * the shortest way, whatever the directory is called there and whichever way the writer went.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bus/bus.h"
#include "queue/address.h"
#include "queue/queue.h"
#include "queue/resolve.h"

#define LOCAL_SCHEME "ptq:///"

/* A reference, taken apart. */
struct ref {
    char address[600]; /* without node and id; "" where it is on shared memory */
    char run[PTQ_NAME_MAX + 1];
    char name[PTQ_NAME_MAX + 16];
    char node[64];
    uint8_t id[16];
    const char *text;
};

/* ---- writing */

enum ptq_err ptq_queue_ref(ptq_queue *queue, char *buffer, size_t size)
{
    char text[PTQ_REF_SIZE], id[33];
    const struct pti_port *port = queue ? queue->port : NULL;
    const char *scheme = "ptq://", *where = "";
    int length;

    if (!port || !buffer)
        return queue && buffer ? PTQ_EFORKED : PTQ_EINVAL;
    for (size_t i = 0; i < sizeof port->id; i++)
        snprintf(id + 2 * i, 3, "%02x", port->id[i]);
    if (port->url)
        scheme = pti_address_scheme(port->url, &where);
    if (!scheme)
        return PTQ_EINVAL;
    length = port->is_null ? snprintf(text, sizeof text, "%s", queue->name)
                           : snprintf(text, sizeof text, "%s%s/%s/%s@%s#%s", scheme, where, port->run,
                                      queue->name, port->node, id);
    if (length < 0 || (size_t)length >= sizeof text || (size_t)length >= size)
        return PTQ_EMSGSIZE;
    memcpy(buffer, text, (size_t)length + 1);
    return PTQ_OK;
}

/* ---- reading */

static bool read_id(const char *text, uint8_t id[16])
{
    for (size_t i = 0; i < 16; i++, text += 2) {
        char digits[3] = {text[0], text[0] ? text[1] : '\0', '\0'};
        unsigned byte;
        if (strspn(digits, "0123456789abcdef") != 2 || sscanf(digits, "%2x", &byte) != 1)
            return false;
        id[i] = (uint8_t)byte;
    }
    return *text == '\0';
}

static bool copy(char *to, size_t room, const char *from, const char *end)
{
    if ((size_t)(end - from) >= room)
        return false;
    memcpy(to, from, (size_t)(end - from));
    to[end - from] = '\0';
    return true;
}

/* The last of everything counts: a socket's path may hold what it likes. */
static bool read_ref(const char *text, struct ref *ref)
{
    const char *id = strrchr(text, '#'), *name, *run, *node;

    memset(ref, 0, sizeof *ref);
    ref->text = text;
    if (!id || strlen(text) >= PTQ_REF_SIZE || !read_id(id + 1, ref->id))
        return false;
    for (name = id; name > text && name[-1] != '/'; name--)
        ;
    for (run = name > text ? name - 1 : text; run > text && run[-1] != '/'; run--)
        ;
    node = memchr(name, '@', (size_t)(id - name));
    if (name - text < 2 || run == text || !node || !copy(ref->run, sizeof ref->run, run, name - 1) ||
        !copy(ref->name, sizeof ref->name, name, node) || !copy(ref->node, sizeof ref->node, node + 1, id) ||
        !pti_name_is_valid(ref->run) || !pti_name_is_valid(ref->node))
        return false;
    if (run == text + strlen(LOCAL_SCHEME) && strncmp(text, LOCAL_SCHEME, strlen(LOCAL_SCHEME)) == 0)
        return true;
    return copy(ref->address, sizeof ref->address, text, node);
}

/* ---- the way back */

static enum ptq_err check_id(const struct ref *ref, ptq_queue *queue)
{
    static const uint8_t unknown[16]; /* a home that does not tell it */

    return memcmp(queue->port->id, ref->id, sizeof ref->id) == 0 || memcmp(queue->port->id, unknown, sizeof unknown) == 0
               ? PTQ_OK
               : PTQ_EGONE;
}

static enum ptq_err open_checked(ptq_bus *bus, const char *address, const struct ref *ref, const struct pti_open *open,
                                 ptq_queue **ret_queue)
{
    ptq_queue *queue;
    enum ptq_err err = pti_queue_open(bus, address, open, &queue);

    if (err != PTQ_OK)
        return err;
    err = check_id(ref, queue);
    if (err != PTQ_OK) {
        ptq_queue_close(queue);
        return pti_error(open->options.error, err,
                         "the queue '%s' that '%s' means was removed; another one bears its name now", ref->name, ref->text);
    }
    *ret_queue = queue;
    return PTQ_OK;
}

/* The bus of the reference's run, beside this one; it is not made if it is not there. */
static enum ptq_err find_run(ptq_bus *bus, const char *run, ptq_bus **ret_bus)
{
    char dir[sizeof bus->path], beside[PTQ_NAME_MAX + 8];
    const char *slash = strrchr(bus->path, '/');
    struct ptq_bus_options options = {.dir = dir, .peers = "", .node = bus->node};

    if (strcmp(run, bus->run) == 0) {
        *ret_bus = pti_bus_hold(bus);
        return PTQ_OK;
    }
    snprintf(beside, sizeof beside, "../%s", run);
    if (!slash || faccessat(bus->dirfd, beside, X_OK, AT_SYMLINK_NOFOLLOW) != 0)
        return PTQ_ENOENT;
    copy(dir, sizeof dir, bus->path, slash);
    return ptq_bus_open(run, &options, ret_bus);
}

static enum ptq_err open_on_shared_memory(ptq_bus *bus, const struct ref *ref, const struct pti_open *open,
                                          ptq_queue **ret_queue)
{
    struct pti_open at_once = *open;
    char address[sizeof ref->name + 8];
    ptq_bus *beside;
    enum ptq_err err = find_run(bus, ref->run, &beside);

    if (err != PTQ_OK)
        return err;
    at_once.options.wait_ms = 0;
    snprintf(address, sizeof address, "%s@self", ref->name);
    err = open_checked(beside, address, ref, &at_once, ret_queue);
    if (err == PTQ_OK)
        (*ret_queue)->bus = bus;
    ptq_bus_close(beside);
    return err;
}

/* The address under which this bus reaches the reference's node; false: no peer is called so. */
static bool address_of_node(ptq_bus *bus, const struct ref *ref, char *address, size_t size)
{
    struct pti_peer *peers = NULL;
    size_t count = 0, i = 0;
    const char *scheme, *where;

    if (pti_resolve_peers(bus, &peers, &count) != PTQ_OK)
        return false;
    while (i < count && strcmp(peers[i].node, ref->node) != 0)
        i++;
    scheme = i < count ? pti_address_scheme(peers[i].url, &where) : NULL;
    if (scheme)
        snprintf(address, size, "%s%s/%s/%s", scheme, where, ref->run, ref->name);
    free(peers);
    return scheme != NULL;
}

static enum ptq_err nowhere(ptq_bus *bus, const struct ref *ref, enum ptq_err err, struct ptq_error *error)
{
    if (err != PTQ_ENOENT)
        return err; /* the sentence is there */
    if (strcmp(ref->node, bus->node) != 0)
        return pti_error(error, err,
                         "the queue of '%s' is not in run '%s' here, and no peer is called '%s'; name it in PTQ_PEERS (name=url), "
                         "or use the PTQ_DIR of that host",
                         ref->text, ref->run, ref->node);
    return pti_error(error, err,
                     "the queue of '%s' is not in run '%s' beside '%s'; it was removed, or is in another PTQ_DIR of this host",
                     ref->text, ref->run, bus->path);
}

static enum ptq_err open_ref(ptq_bus *bus, const struct ref *ref, const struct pti_open *open, ptq_queue **ret_queue)
{
    char address[sizeof ref->address];
    enum ptq_err here = open_on_shared_memory(bus, ref, open, ret_queue);

    if (here == PTQ_OK)
        return here;
    if (ref->address[0] != '\0')
        return open_checked(bus, ref->address, ref, open, ret_queue);
    if (strcmp(ref->node, bus->node) != 0 && pti_carriers.open_remote && address_of_node(bus, ref, address, sizeof address))
        return open_checked(bus, address, ref, open, ret_queue);
    return nowhere(bus, ref, here, open->options.error);
}

enum ptq_err ptq_queue_from_ref(ptq_bus *bus, const char *text, const struct ptq_queue_options *options,
                                ptq_queue **ret_queue)
{
    struct pti_open open = {0};
    struct ref ref;

    if (options)
        open.options = *options;
    open.options.mode = PTQ_ATTACH;
    if (!bus || !text || !ret_queue)
        return pti_error(open.options.error, PTQ_EINVAL, "a reference needs a bus, a text and a place for its handle");
    if (!strchr(text, '#')) /* a name or an address: whatever has it */
        return ptq_queue_open(bus, text, &open.options, ret_queue);
    if (!read_ref(text, &ref))
        return pti_error(open.options.error, PTQ_EINVAL,
                         "'%.300s' is no reference to a queue; take what ptq_queue_ref wrote, whole", text);
    return open_ref(bus, &ref, &open, ret_queue);
}
