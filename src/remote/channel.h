/* channel.h -- one open queue of a session, at the home; what is asked of it, and what is held. */
#ifndef PTQ_REMOTE_CHANNEL_H
#define PTQ_REMOTE_CHANNEL_H

#include <sys/queue.h>
#include <uthash.h>

#include "queue/port.h"
#include "remote/outbox.h"
#include "remote/streams.h"
#include "wire/assembly.h"
#include "wire/envelope.h"
#include "wire/record.h"

struct pti_session;
struct pti_channel;
struct pti_server;

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
    struct pti_stream_key key; /* of a put: its name in the stream, by this number or by its source */
    uint32_t note;             /* ... and what it is noted as while it is tried */
    uint64_t serial;
    int64_t deadline, arrived;
    uint32_t code;
    uint64_t value;
    char *why;        /* of a code that does not say enough; NULL, and after it was said */
    uint8_t *payload; /* of a put that waits: a copy */
    size_t payload_size;
    uint64_t starved; /* how much it was that there was no memory for; 0: there was */
    uint32_t starved_loan; /* what a loan was asked for; 0: it was memory that was missing */
    struct ptq_msg *loan;  /* of a large put that waits, or is tried: all of it is there */
    struct pti_record loan_record; /* what it is; its header_bytes are ours */
    uint8_t *await; /* of an AWAIT: a copy */
    size_t await_size;
    uint32_t max;     /* of a take */
    bool more;        /* take_more */
    bool chained;     /* of a put: PTI_FRAME_CHAINED */
    bool packs;       /* ... its messages may share leases */
    struct pti_lease **leases; /* what it got; NULL where it was settled */
    uint32_t lease_count, settled;
    uint8_t head[8], record[PTI_MESSAGE_RECORD + PTI_RECORD_MORE];
    TAILQ_ENTRY(pti_request) listed;  /* all, in the order in which they came */
    TAILQ_ENTRY(pti_request) waiting; /* in one of the lists of those that wait */
};
TAILQ_HEAD(pti_requests, pti_request);

/* A large message on its way into a loan, piece by piece. */
struct pti_large {
    struct ptq_msg *loan; /* NULL: none */
    uint64_t number;
    size_t at;
    struct pti_record record; /* its header_bytes are a copy, to be freed */
    uint32_t timeout;
};

/* One open queue of a session: an endpoint of this process. */
struct pti_channel {
    struct pti_session *session;
    uint32_t id;
    UT_hash_handle hh;
    struct pti_port *port;
    char name[PTQ_NAME_MAX + 1], run[PTQ_NAME_MAX + 1];
    char here[PTQ_NAME_MAX + 1]; /* what it is called in our bus */
    uint32_t thing; /* 0 a queue; a share, a log: remote/share.h */
    unsigned rights; /* of its session, on this queue: PTQ_RIGHT_... */
    struct pti_lane lane;
    struct pti_assembly assembly;
    struct pti_stream *stream; /* of its puts; NULL: their numbers are known to this session alone */
    bool stream_known;         /* as its opener was told */
    bool lost_stream;          /* another channel has it by now: nothing may be put here */
    bool unordered;            /* its keys are of a program's puts, each of which waits for itself */
    struct {
        enum ptq_err code; /* PTQ_OK: none */
        uint64_t number;   /* its key */
    } held;                    /* of puts that are carried in order the first that there was no memory for */
    struct pti_requests requests;
    struct pti_requests takes, puts, claims; /* those that wait */
    struct pti_requests starved;             /* puts that there was no memory for: their bytes are gone */
    unsigned request_count;
    unsigned request_room; /* for so many it may ask; taken from the cap in blocks */
    uint64_t highest, received; /* numbers: seen; answered and known to be received */
    uint64_t undone; /* the first chained put that was not done; 0: none.  Those behind it are not done either */
    struct pti_lease *leases;
    uint64_t buffered; /* bytes of puts that wait */
    uint64_t gathered; /* bytes of what comes in pieces */
    int64_t gathered_at; /* when the last piece came */
    struct {
        uint64_t number; /* 0: nothing is thrown away */
        uint64_t size, most;
        uint32_t timeout;
        uint32_t code;  /* the answer, when all of it came; 0: it waits, to come again */
        uint32_t large; /* what a loan was asked for; 0: it was memory that was missing */
    } shed; /* what comes in pieces, and cannot be kept */
    struct pti_large large;
    uint64_t credit;   /* as it was told last */
    bool watched[2];   /* NOTIFY is owed */
    int fds[2];        /* of the port; -1: not asked for yet */
    bool armed[2];     /* in the epoll set for reading */
    bool closed;       /* properly, by its opener */
    bool due;          /* in the server's list of those to be looked at */
    bool ready[2];
    TAILQ_ENTRY(pti_channel) due_listed;
};

#define PTI_CARRIER_PROGRAM 4u

/* ---- channel.c */
/* Its puts go in one after the other. */
bool pti_channel_is_ordered(const struct pti_channel *channel);
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
struct pti_lease *pti_channel_lease(struct pti_channel *channel, uint64_t position, uint32_t sub, uint32_t deliveries);

/* ---- bind.c */
/* Finds the stream that is asked for, if one is, and takes it over from a session that has it still.  `here`: what the queue is called on
 * this bus.  PTQ_EAGAIN, PTQ_EBUSY, PTQ_ENOMEM, with a sentence. */
enum ptq_err pti_channel_bind(struct pti_channel *channel, const struct pti_open_message *asked, const char *here,
                              struct pti_streams *streams, struct ptq_error *error);
/* Lets it go: for good, if it was closed, else to be asked for again. */
void pti_channel_unbind(struct pti_channel *channel, bool ended);

/* ---- serve.c: one frame of a channel.  PTQ_EPROTO with a sentence. */
enum ptq_err pti_serve(struct pti_channel *channel, const struct pti_frame *frame, const char **ret_reason);

/* ---- gather.c: what comes in pieces.  As pti_assembly_add, but PTQ_EMPTY also for a piece that is thrown away, and for the
 * last of them: its request waits until there is memory, and then the other side is told to send it again. */
enum ptq_err pti_gather(struct pti_channel *channel, const struct pti_frame *frame, const uint8_t **ret_payload,
                        size_t *ret_size, const char **ret_reason);
/* Forgets what was gathered, and what starved: it comes again, over the next link. */
void pti_gather_clear(struct pti_channel *channel);
/* The rest of what begins with this frame is thrown away; then it is answered `code`, or, with 0, waits to come again. */
enum ptq_err pti_gather_shed(struct pti_channel *channel, const struct pti_frame *frame, uint32_t code, uint32_t large,
                             const char **ret_reason);
/* Once a round: lets those that starved come again as far as there is memory; ends links whose pieces stand still meanwhile. */
void pti_gather_feed(struct pti_server *server, int64_t now);
/* serve.c, for it: a request under this frame's number; NULL: it was asked before, and that was seen to. */
enum ptq_err pti_serve_begin(struct pti_channel *channel, const struct pti_frame *frame, struct pti_request **ret_request,
                             const char **ret_reason);

bool pti_serve_knows(struct pti_channel *channel, uint64_t number); /* it was asked before, and is kept */
/* Has a put of this key taken effect, asked by another session, or of another bridge?  Law: this is asked before each put. */
bool pti_serve_is_done(struct pti_channel *channel, struct pti_stream_key key, uint64_t *ret_position);

/* ---- large.c: messages that are written into their place in the queue as they come.  is: does a large one begin here?
 * begin, add: a piece, as pti_gather.  PTQ_ENOENT: it is to be put together in memory. */
bool pti_large_is(const struct pti_channel *channel, const struct pti_frame *frame);
enum ptq_err pti_large_begin(struct pti_channel *channel, const struct pti_frame *frame, const char **ret_reason);
enum ptq_err pti_large_add(struct pti_channel *channel, const struct pti_frame *frame, const char **ret_reason);
void pti_large_clear(struct pti_channel *channel);
/* Puts what stands in the request's loan. */
enum ptq_err pti_large_try(struct pti_request *request, uint64_t *ret_position);
void pti_large_drop(struct pti_request *request); /* its loan, if it has one */
/* Is there a loan of so many bytes now? */
enum ptq_err pti_large_probe(struct pti_channel *channel, uint32_t size);

/* ---- request.c */
/* What was asked for the first time: does it, or lets it wait.  PTQ_EPROTO with a sentence; then it is the caller's to
 * free. */
enum ptq_err pti_request_serve(struct pti_request *request, const uint8_t *payload, size_t size,
                               const char **ret_reason);
/* Says what is known, if there is somebody to say it to. */
void pti_request_answer(struct pti_request *request);
void pti_request_finish(struct pti_request *request, uint32_t code, uint64_t value);
/* Before it is finished: the sentence that its caller is to read. */
void pti_request_because(struct pti_request *request, const char *why);
void pti_request_free(struct pti_request *request);
/* Tries again what waits.  PTQ_EMPTY: there is nothing for others that wait likewise; PTQ_FULL: it goes on waiting. */
enum ptq_err pti_request_try(struct pti_request *request);
/* Law: asked before each try.  A chained put behind one that was not done: then it is answered so, and this is true. */
bool pti_request_is_behind(struct pti_request *request);
/* Until when it may wait. */
int64_t pti_request_deadline(uint32_t timeout);
/* It waits until this side of the queue is worth a try. */
void pti_request_wait(struct pti_request *request, enum ptq_side side);
/* An array that has room for `count` things of this size; false: no memory, and it is as before. */
bool pti_make_room(void **array, size_t *room, size_t count, size_t size);

/* ---- enter.c: PUT and PLACE.  serve: done, or it waits; PTQ_EPROTO with a sentence.  try: the queue's answer. */
enum ptq_err pti_enter_serve(struct pti_request *request, const uint8_t *payload, size_t size, const char **ret_reason);
/* A loan that was filled; it is taken only on success. */
enum ptq_err pti_enter_loaned(struct pti_request *request, struct ptq_msg *loan, const struct pti_record *record,
                              uint64_t *ret_position);
enum ptq_err pti_enter_try(struct pti_request *request, const uint8_t *payload, size_t size, uint64_t *ret_position);

/* ---- leave.c: TAKE and SETTLE, likewise; say: sends what a take got. */
enum ptq_err pti_leave_serve(struct pti_request *request, const uint8_t *payload, size_t size, const char **ret_reason);
enum ptq_err pti_leave_try(struct pti_request *request);
enum ptq_err pti_leave_settle(struct pti_request *request, const uint8_t *payload, size_t size,
                              const char **ret_reason);
void pti_request_say_messages(struct pti_request *request);

#endif
