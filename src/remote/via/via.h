/* via.h -- queues of other hosts through the ptqbridge of this one: the program's side, and where the bridge begins to serve.
 *
 * The program has no thread, no link and no nng for it: it puts requests into a queue of its bus and gets answers from
 * another.  Whoever of its threads waits takes answers for all (the leader); the others sleep until theirs is there or the
 * lead is free.
 */
#ifndef PTQ_REMOTE_VIA_VIA_H
#define PTQ_REMOTE_VIA_VIA_H

#include <pthread.h>
#include <sys/queue.h>

#include "base/atomic.h"
#include "bus/out.h"
#include "remote/via/ask.h"

/* open_remote and ask_remote of struct pti_carriers: by a link of this process, or through the bridge, as the handle, the bus
 * and what this process may do say. */
enum ptq_err pti_far_open(ptq_bus *bus, const char *url, const char *run, const char *name, const struct pti_open *open,
                          struct ptq_error *error, struct pti_port **ret_port);
void pti_far_ask(ptq_bus *bus, const char *run, const char *name, bool making, struct pti_asked *asked, size_t count);

/* ---- the bridge's side (service.c): serves the programs of `bus`, by threads of its own.  stop: answers what is under way. */
struct pti_via_service;
typedef void pti_via_log(void *context, const char *line);
enum ptq_err pti_via_serve(ptq_bus *bus, pti_via_log *log, void *log_context, struct pti_via_service **ret_service);
/* Of several bridges of a bus it is the one that serves: the others wait until it ends. */
bool pti_via_is_serving(struct pti_via_service *service);
void pti_via_stop(struct pti_via_service *service); /* NULL is fine */
/* Handles of programs now, and the threads that do what they ask; from any thread. */
void pti_via_count(struct pti_via_service *service, unsigned *ret_handles, unsigned *ret_workers);

/* ---- the program's side, between open.c, caller.c and port.c */

/* A leased message or a loan, with its bytes behind it. */
struct pti_via_message {
    struct ptq_msg msg; /* first */
    uint64_t lease, epoch;
    TAILQ_ENTRY(pti_via_message) listed;
    _Alignas(16) uint8_t bytes[];
};

/* One request that was asked and is not answered. */
struct pti_via_call {
    TAILQ_ENTRY(pti_via_call) listed;
    TAILQ_ENTRY(pti_via_call) putting; /* a put, from its first asking to its end */
    struct pti_ask ask;
    bool done;          /* under the mutex: the answer is there, or it never will be */
    bool sent;
    bool lost;          /* the bridge that was asked is gone */
    bool unknown;       /* ... was not there any more: nothing was done */
    uint32_t code;
    uint64_t value;
    uint8_t *bytes;     /* behind the head of the answer; free() */
    size_t size;
    uint32_t count;
    uint32_t interrupts_seen;
    /* what is behind the head of the request */
    const void *body;   /* as it is; NULL: puts */
    size_t body_size;
    const struct pti_put *puts;
};

/* A put of this thread is in doubt. */
struct pti_via_doubt {
    TAILQ_ENTRY(pti_via_doubt) listed;
    int thread;
    uint64_t key; /* 0: it cannot be asked about any more */
    size_t size;
    uint32_t crc;
};

struct pti_via {
    struct pti_port port; /* first */
    ptq_bus *bus;
    struct pti_port *ask, *answer;
    struct pti_port *_Atomic bells[2]; /* NULL: no descriptor was asked for */
    uint8_t client[PTI_CLIENT_BYTES];
    struct pti_ask_open asked;
    struct pti_ask_opened opened;
    bool claimed;
    struct pti_port *outbox; /* PTQ_ACK_LOCAL: what is put stands there; else NULL */
    struct pti_out_map out;
    struct pti_via_pipe *pipe; /* PTQ_PIPELINE; else NULL */
    _Atomic uint64_t refused_seen;
    _Atomic bool ended;

    pthread_mutex_t opening; /* one thread (re)opens */
    pthread_mutex_t mutex;   /* of all that follows; never held in a call on a queue */
    bool connected;
    uint64_t epoch;          /* of the bridge's side: grows each time it is opened */
    bool claim_lost;
    bool is_led;
    uint64_t last_number, last_key;
    TAILQ_HEAD(, pti_via_call) calls, puts;
    TAILQ_HEAD(, pti_via_message) messages;
    TAILQ_HEAD(, pti_via_doubt) doubts;
    char reason[300];        /* why the last call could not be done */

    _Atomic uint32_t word;   /* something happened: followers look again */
    _Atomic uint32_t inside, interrupts, interrupts_seen;
    _Atomic bool closing;
};

static inline struct pti_via *pti_via_of(struct pti_port *port)
{
    return (struct pti_via *)(void *)port;
}

extern const struct pti_port_ops pti_via_ops;

/* caller.c: asks and waits.  The call's code is its answer where this is PTQ_OK and it is not lost; else PTQ_EINTR,
 * PTQ_EUNREACHABLE (not asked, or nobody will say), and nothing of it is under way but what a lease's return undoes. */
enum ptq_err pti_via_run(struct pti_via *via, struct pti_via_call *call, int64_t deadline, bool may_interrupt);
/* The same in steps.  begin: asked, and listed until end (not listed, if it fails); poll: takes what answers are there, for whomever;
 * wait: until it is answered: PTQ_TIMEDOUT, PTQ_EINTR, and it is still asked.  call->done, under the mutex, says that it was answered. */
enum ptq_err pti_via_begin(struct pti_via *via, struct pti_via_call *call, int64_t deadline);
void pti_via_poll(struct pti_via *via);
enum ptq_err pti_via_wait(struct pti_via *via, struct pti_via_call *call, int64_t until);
void pti_via_end(struct pti_via *via, struct pti_via_call *call);
/* Asks, and lets the answer be nobody's. */
void pti_via_tell(struct pti_via *via, const struct pti_ask *ask, const void *body, size_t size);
/* The bridge knows this handle, or is told of it now, within 3 s.  PTQ_EUNREACHABLE, or what opening answers. */
enum ptq_err pti_via_connect(struct pti_via *via, int64_t patience_ns, struct ptq_error *error);
void pti_via_wake(struct pti_via *via);
/* port.c */
void pti_via_ring(struct pti_port *bell);

struct pti_via_message *pti_via_message_new(struct pti_via *via, size_t size);
void pti_via_message_free(struct pti_via *via, struct pti_via_message *message);

/* doubt.c: before a put: gives it its key, new or, of one that is in doubt, the same again (PTI_ASK_AGAIN).  PTQ_EINVAL: it says so
 * and is another; PTQ_EINDOUBT: nobody can be asked any more.  And after it: what its caller is told. */
enum ptq_err pti_via_doubt_look(struct pti_via *via, struct pti_via_call *call, bool retry);
enum ptq_err pti_via_doubt_judge(struct pti_via *via, struct pti_via_call *call, bool resumes, enum ptq_err answer);
/* A put of many callers' messages, which nobody asks about by himself: it has a key from now on; and not any more. */
void pti_via_doubt_name(struct pti_via *via, struct pti_via_call *call);
void pti_via_doubt_end(struct pti_via *via, struct pti_via_call *call);
/* With the mutex held: no key up to here will be asked again. */
uint64_t pti_via_settled(const struct pti_via *via);
void pti_via_doubts_free(struct pti_via *via);

/* open.c */
void pti_via_free(struct pti_via *via);

#endif
