/* bus.h -- a bus as other rooms see it: its directory, its carriers, its peers. */
#ifndef PTQ_BUS_BUS_H
#define PTQ_BUS_BUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <ptq/bus.h>
#include <ptq/queue.h>

#include "base/atomic.h"

/* What the file of a share, and of a log, is called behind its name (share/layout.h); the number is that of the layout. */
#define PTI_SHARE_SUFFIX "~s1"
#define PTI_LOG_SUFFIX "~g1"

struct pti_port;
struct pti_open;

/* One other host, from PTQ_PEERS or ptq_bus_options.peers. */
struct pti_peer {
    char node[64];
    char url[256];
};

/* The same, as the bridge of this process was told: they are not looked for queues, but known by name. */
struct pti_home {
    struct pti_peer peer;
    struct pti_home *next;
};

/* How queues of other hosts are reached where a handle does not say. */
enum pti_via_choice { PTI_VIA_AUTO = 0, PTI_VIA_DIRECT = 1, PTI_VIA_BRIDGE = 2 };

struct ptq_bus {
    char run[PTQ_NAME_MAX + 1];
    char node[64];
    char path[400]; /* <dir>/<run>: absolute */
    int dirfd;      /* of path, O_CLOEXEC */
    bool insecure;
    char keys[400]; /* the folder of who we are to other hosts; "": nobody */
    struct pti_home *_Atomic homes; /* whom a bridge of this process was told of; only ever added to */
    bool guard;     /* a truncated segment answers PTQ_ECORRUPT instead of raising SIGBUS */
    bool tells;     /* pools and processes tell what goes in and out: tell.c */
    enum pti_via_choice via;
    uint32_t outbox; /* messages in one that is made */
    struct pti_peer *peers;
    size_t peer_count;
    _Atomic uint32_t holders; /* its user, and every queue that was opened through it */
};

/* A queue outlives ptq_bus_close: it holds its bus, and drops it when it is closed itself.  drop: NULL is fine. */
ptq_bus *pti_bus_hold(ptq_bus *bus);
void pti_bus_drop(ptq_bus *bus);

/* Whoever answers at `url` is to be `node`. */
enum ptq_err pti_bus_note_home(ptq_bus *bus, const char *node, const char *url);
/* Who is to answer at `url`, by what this bus was told, or by what its bridge has published; "": nobody said so. */
void pti_bus_name_home(ptq_bus *bus, const char *url, char ret_node[64]);

/* What the bridge of this host knows of its peers, published in the directory of the bus: remote/keeper.c writes it, and
 * queue/peers.c reads it. */
#define PTI_PEERS_FILE "~peers"
#define PTI_NAMES_MS 10000  /* which queues they have: believed for so long after it was heard */
#define PTI_PEERS_MS 600000 /* who they are: for so long after the bridge said so last */

/* One peer that is asked, and what it says. */
struct pti_asked {
    const char *url;
    enum ptq_err answer; /* PTQ_OK: it has it; PTQ_ENOENT: not; PTQ_EUNREACHABLE, ... */
    bool has_id;
    uint8_t id[16];      /* of its bus: bus/node.h */
    struct ptq_error error;
};

/* One peer that is looked at, and what it says of itself. */
struct pti_looked {
    const char *url;
    enum ptq_err answer;
    uint64_t rtt_ns;
    char (*names)[PTQ_NAME_MAX + 1]; /* free() */
    size_t count;
    struct ptq_error error;
};

/* A carrier opens a queue by its bare name (local) or a full address (remote).  Plugged in by src/ptq.c, the one file that
 * knows every room; a build without nng has no remote carrier. */
struct pti_carriers {
    enum ptq_err (*open_local)(ptq_bus *bus, const char *name, const struct pti_open *open, struct ptq_error *error,
                               struct pti_port **ret_port);
    /* url: where the home serves ("tcp://host:port"); run: NULL for the one it serves. */
    enum ptq_err (*open_remote)(ptq_bus *bus, const char *url, const char *run, const char *name,
                                const struct pti_open *open, struct ptq_error *error, struct pti_port **ret_port);
    /* Have these a queue of that name?  All are asked at once, and none is waited for longer than the link's own deadline.
     * `making`: the asker is about to make it, or has just made it. */
    void (*ask_remote)(ptq_bus *bus, const char *run, const char *name, bool making, struct pti_asked *asked, size_t count);
    /* How far away are these, and which queues have they in the run of this bus? */
    void (*look_remote)(ptq_bus *bus, struct pti_looked *looked, size_t count);
};
extern const struct pti_carriers pti_carriers;

/* Is it a legal name of a queue or a run? */
bool pti_name_is_valid(const char *name);

/* Fills *error (may be NULL) and answers `code`: printf for what, on what, why, what to do. */
enum ptq_err pti_error(struct ptq_error *error, enum ptq_err code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The file of a queue: "<name>~v2".  `size` at least PTI_FILE_NAME_MAX. */
#define PTI_FILE_NAME_MAX (PTQ_NAME_MAX + 32)
void pti_segment_file(const char *name, char *buffer, size_t size);

/* A queue of that name in another memory layout, of an older or newer ptq: its layout, and its file.  0: none.
 * They are never opened, only named, and removed on request. */
int pti_segment_other_layout(ptq_bus *bus, const char *name, char *file, size_t size);

/* A line on standard error: "ptq[<pid>] <room> <name>: ...".  Where bus->tells. */
void pti_bus_tell(const char *room, const char *name, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
