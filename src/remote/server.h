/* server.h -- the home's side: links of others (guests), their sessions, a channel for each queue they opened.
 *
 * One thread, that of ptq_bridge_run, owns everything here but the inbox.  The events of links come on nng's threads
 * and only leave word in the inbox; a link's bytes are read, and answers made, by the one thread.  So a queue is
 * entered by one thread, as one endpoint a channel, and nothing here needs a lock.  It never sleeps in a call on a
 * queue: each is asked with PTI_DEADLINE_NOW, and what has to wait waits in the channel until the queue's descriptor
 * says that it is worth a try.
 */
#ifndef PTQ_REMOTE_SERVER_H
#define PTQ_REMOTE_SERVER_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/queue.h>
#include <uthash.h>

#include <ptq/bridge.h>

#include "bus/bus.h"
#include "queue/port.h"
#include "remote/link.h"
#include "remote/outbox.h"
#include "wire/assembly.h"
#include "wire/envelope.h"
#include "wire/record.h"

#define PTI_GUESTS_MOST 1024
#define PTI_SESSIONS_MOST 4096
#define PTI_REQUESTS_KEPT (4 * PTI_WIRE_REQUESTS) /* of one channel: unanswered, or not known to be received */
#define PTI_BUFFERED_MOST (UINT64_C(256) << 20)   /* puts that wait and what comes in pieces, of all sessions */
#define PTI_HELLO_MS 5000
#define PTI_SILENCE_MS 3000

struct pti_server;
struct pti_session;
struct pti_channel;

/* What waits for the one thread. */
enum pti_word { PTI_WORD_ACCEPTED = 1, PTI_WORD_READABLE = 2, PTI_WORD_DOWN = 4 };

/* A link of somebody else's. */
struct pti_guest {
    struct pti_server *server;
    struct pti_link *link;
    struct pti_session *session; /* NULL before HELLO */
    struct pti_outbox outbox;
    char name[96];
    int64_t accepted, heard, pinged;
    bool dirty;       /* has something to say since the last kick */
    bool doomed;      /* to be freed at the end of the round */
    char why[200];    /* then */
    bool farewell;    /* ... after its last words have gone */
    int64_t farewell_until;
    TAILQ_ENTRY(pti_guest) listed;
    /* under the server's inbox mutex */
    unsigned words;
    TAILQ_ENTRY(pti_guest) posted;
};

/* A conversation; it outlives its links for the grace. */
struct pti_session {
    struct pti_server *server;
    uint8_t id[PTI_SESSION_BYTES];
    UT_hash_handle hh;
    struct pti_guest *guest; /* NULL: down since down_since */
    int64_t down_since;
    uint64_t number;       /* for the log, and the streams of its channels */
    uint64_t request_bytes; /* what it is ready to receive at once */
    char node[64];
    struct pti_channel *channels;
};

/* A message that a session holds. */
struct pti_lease {
    struct {
        uint64_t position;
        uint64_t sub; /* deliveries:32 | sub:32 */
    } key;
    UT_hash_handle hh;
    struct ptq_msg *msg;
    struct pti_request *request; /* the take that got it; NULL once that is forgotten */
    size_t index;                /* in it */
};

enum pti_request_state { PTI_REQUEST_NEW = 0, PTI_REQUEST_WAITING = 1, PTI_REQUEST_DONE = 2 };

/* What was asked under one number, and its answer until the other side has it. */
struct pti_request {
    struct pti_out out; /* first: MESSAGES */
    struct pti_channel *channel;
    uint64_t number;
    uint8_t type;
    enum pti_request_state state;
    int64_t deadline, arrived;
    uint32_t code;
    uint64_t value;
    uint8_t *payload; /* of a put that waits: a copy */
    size_t payload_size;
    uint32_t max;     /* of a take */
    bool more;        /* take_more */
    struct pti_lease **leases; /* what it got; NULL where it was settled */
    uint32_t lease_count, settled;
    uint8_t head[8], record[PTI_MESSAGE_RECORD + PTI_RECORD_MORE];
    TAILQ_ENTRY(pti_request) listed;  /* all, in the order in which they came */
    TAILQ_ENTRY(pti_request) waiting; /* in one of the lists of those that wait */
};
TAILQ_HEAD(pti_requests, pti_request);

/* One open queue of a session: an endpoint of this process. */
struct pti_channel {
    struct pti_session *session;
    uint32_t id;
    UT_hash_handle hh;
    struct pti_port *port;
    char name[PTQ_NAME_MAX + 1], run[PTQ_NAME_MAX + 1];
    struct pti_lane lane;
    struct pti_assembly assembly;
    struct pti_requests requests;
    struct pti_requests takes, puts, claims; /* those that wait */
    unsigned request_count;
    uint64_t highest, received; /* numbers: seen; answered and known to be received */
    struct pti_lease *leases;
    uint64_t buffered; /* bytes of puts that wait */
    uint64_t gathered; /* bytes of what comes in pieces */
    uint64_t credit;   /* as it was told last */
    bool watched[2];   /* NOTIFY is owed */
    int fds[2];        /* of the port; -1: not asked for yet */
    bool armed[2];     /* in the epoll set for reading */
    bool due;          /* in the server's list of those to be looked at */
    bool ready[2];
    TAILQ_ENTRY(pti_channel) due_listed;
};

struct pti_served_bus {
    ptq_bus *bus;
    bool owned;
    struct pti_served_bus *next;
};

struct pti_directory_keeper; /* learns and publishes the directories of peers */

struct pti_server {
    struct ptq_bridge_options options; /* listen, peers, error are not kept */
    ptq_bus *bus;
    struct pti_served_bus *buses; /* the first is `bus` */
    uint64_t incarnation;
    struct pti_listener **listeners;
    size_t listener_count;
    struct pti_directory_keeper *keeper;

    pthread_mutex_t inbox_mutex;
    TAILQ_HEAD(, pti_guest) inbox;
    _Atomic unsigned guest_count;
    int wake_fd, poll_fd;
    _Atomic unsigned stops; /* how often it was asked to stop */

    TAILQ_HEAD(, pti_guest) guests;
    struct pti_session *sessions;
    TAILQ_HEAD(, pti_channel) due;
    uint64_t session_count_ever;
    uint64_t buffered; /* of all channels, what comes in pieces included */
    int64_t next_deadline; /* of requests that wait; may be too early */
    bool draining;
    int64_t drain_until;
    struct pti_put *puts; /* scratch */
    size_t put_room;
    struct ptq_msg **msgs;
    size_t msg_room;
};

/* ---- server.c */
void pti_server_log(struct pti_server *server, enum ptq_bridge_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The bus of a run ("": the usual one), opened where it is missing and `make`; NULL: not served, or not there. */
ptq_bus *pti_server_bus(struct pti_server *server, const char *run, bool make);
/* Somebody waits until then. */
void pti_server_remind(struct pti_server *server, int64_t when);

/* ---- guest.c */
struct pti_guest *pti_guest_new(struct pti_server *server, struct pti_link *link);
void pti_guest_start(struct pti_guest *guest);
void pti_guest_read(struct pti_guest *guest);
void pti_guest_ping(struct pti_guest *guest, int64_t now);
/* Says why, closes, and lets the session wait for the next link; freed at the end of the round. */
void pti_guest_refuse(struct pti_guest *guest, enum ptq_err code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void pti_guest_doom(struct pti_guest *guest, const char *why);
void pti_guest_free(struct pti_guest *guest);
/* Pushes a control message to channel 0 or to a lane. */
void pti_guest_push(struct pti_guest *guest, struct pti_lane *lane, uint8_t type, uint16_t flags, uint64_t number,
                   const void *bytes, size_t size);

/* ---- session.c */
struct pti_session *pti_session_find(struct pti_server *server, const uint8_t id[PTI_SESSION_BYTES]);
struct pti_session *pti_session_new(struct pti_server *server, const struct pti_hello *hello);
void pti_session_attach(struct pti_session *session, struct pti_guest *guest);
void pti_session_detach(struct pti_session *session); /* the link is gone */
void pti_session_free(struct pti_session *session, const char *why);

/* ---- channel.c */
void pti_channel_open(struct pti_session *session, const struct pti_frame *frame);
void pti_channel_free(struct pti_channel *channel);
struct pti_channel *pti_channel_find(struct pti_session *session, uint32_t id);
/* A descriptor of it is readable: it is looked at in this round. */
void pti_channel_mark(struct pti_channel *channel, enum ptq_side side);
void pti_channel_look(struct pti_channel *channel);
/* The descriptor of this side is watched while somebody waits for it. */
void pti_channel_arm(struct pti_channel *channel, enum ptq_side side);
void pti_channel_expire(struct pti_channel *channel, int64_t now);
void pti_channel_release(struct pti_channel *channel); /* draining: who waits is told to ask again */
/* After a change of what waits: grants less where much waits in all, and more again. */
void pti_channel_grant(struct pti_channel *channel);
/* After a change of its assembly. */
void pti_channel_count_gathered(struct pti_channel *channel);
struct pti_lease *pti_channel_lease(struct pti_channel *channel, uint64_t position, uint32_t sub, uint32_t deliveries);

/* ---- serve.c: one frame of a channel.  PTQ_EPROTO with a sentence. */
enum ptq_err pti_serve(struct pti_channel *channel, const struct pti_frame *frame, const char **ret_reason);

/* ---- request.c */
/* What was asked for the first time: does it, or lets it wait.  PTQ_EPROTO with a sentence; then it is the caller's to
 * free. */
enum ptq_err pti_request_serve(struct pti_request *request, const uint8_t *payload, size_t size,
                               const char **ret_reason);
/* Says what is known, if there is somebody to say it to. */
void pti_request_answer(struct pti_request *request);
void pti_request_finish(struct pti_request *request, uint32_t code, uint64_t value);
void pti_request_free(struct pti_request *request);
/* Tries again what waits.  PTQ_EMPTY: there is nothing for others that wait likewise; PTQ_FULL: it goes on waiting. */
enum ptq_err pti_request_try(struct pti_request *request);

/* ---- keeper.c */
enum ptq_err pti_keeper_start(ptq_bus *bus, const char *const *peers, size_t count, struct ptq_error *error,
                              struct pti_directory_keeper **ret_keeper);
void pti_keeper_stop(struct pti_directory_keeper *keeper);

/* What is published: "<directory of the bus>/~peers". */
#define PTI_PEERS_FILE "~peers"

#endif
