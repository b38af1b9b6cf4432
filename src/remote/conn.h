/* conn.h -- one session with a home, shared by all handles of this process that lead there; it outlives its links.
 *
 *      DOWN --dial--> DIALLING --up--> GREETING --HELLO--> UP --+
 *        ^---------------- the link ended, or was silent -------+
 *
 * Threads.  Callers, the link's events and the ticker all take `mutex`; fill takes the outbox's own.  Order:
 * conn->mutex, then link_mutex, then what link.c and outbox.c lock.  The link's down event takes none: it leaves word
 * and pokes the ticker, which is the only one to dial and to free links.
 *
 * Law: what was asked is kept, with its number, until its answer came.  A new link of the same session asks again for
 * what has no answer; the home knows numbers that it has seen.  A session that the home does not know any more begins
 * again (epoch + 1): leases are lost, puts that were on their way are in doubt, the rest is asked anew.
 */
#ifndef PTQ_REMOTE_CONN_H
#define PTQ_REMOTE_CONN_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/queue.h>

#include <ptq/version.h>

#include "queue/port.h"
#include "remote/link.h"
#include "remote/outbox.h"
#include "remote/proof.h"
#include "wire/assembly.h"
#include "wire/envelope.h"
#include "wire/record.h"

#define PTI_LINK_DEADLINE_MS 3000 /* silent for so long: the link is down */
#define PTI_PING_MS 1000
#define PTI_WAKES_MOST 64

enum pti_conn_state { PTI_CONN_DOWN = 0, PTI_CONN_DIALLING, PTI_CONN_GREETING, PTI_CONN_UP };
enum pti_remote_state { PTI_REMOTE_SHUT = 0, PTI_REMOTE_OPENING, PTI_REMOTE_OPEN, PTI_REMOTE_FAILED };

struct pti_remote;

struct pti_conn {
    TAILQ_ENTRY(pti_conn) listed; /* with `users`, under the mutex of the list in conn.c */
    unsigned users;
    char url[256];
    char node[64];                /* of the bus that asked for it first: what HELLO tells, for a log to read */
    bool insecure;
    char keys[400];               /* the folder of who we are; "": nobody, and the home need not prove who it is */
    bool can_prove;               /* there is a key in it, when we first dialled */
    char expected[PTI_KEY_NAME];  /* who the home is to be; "": whoever has a key for us */
    struct pti_ticker *ticker;
    _Atomic bool dropped;         /* the link's last event came */

    pthread_mutex_t link_mutex;   /* who kicks against who frees */
    struct pti_link *link;

    pthread_mutex_t mutex;        /* the rest */
    enum pti_conn_state state;
    bool parting;                 /* we said GOAWAY, for it is not who it is to be */
    bool leaving;                 /* the home said GOAWAY: nothing new over this link */
    uint8_t session[PTI_SESSION_BYTES];
    uint64_t epoch;               /* sessions that the home has begun for us */
    uint64_t greetings;           /* HELLOs said */
    uint8_t said[640];            /* the last of them */
    size_t said_size;
    uint8_t nonce[PTI_NONCE_BYTES];
    uint32_t proven;              /* over this link the home has proven who it is, for this version; 0: not yet */
    struct pti_hello home;        /* its HELLO; zero before the first */
    struct pti_outbox outbox;
    struct pti_remote *remotes;   /* uthash by channel */
    uint32_t last_channel;
    uint32_t *orphans;            /* channels that were closed while the home could not be told */
    size_t orphan_count;
    int64_t down_since, heard, pinged, up_since, redial_at;
    unsigned failures;            /* dials in a row that led to nothing; for the pause */
    unsigned attempts;            /* links that ended, ever; for those who wait for the first */
    bool spoken;                  /* over this link the home has said something */
    int64_t mute_since;           /* since then it has taken links and ended them without a word; 0: it has not */
    enum ptq_err refusal;         /* the home said no, in so many words; else PTQ_OK */
    char reason[400];             /* why it is down */
    char misfit[96];              /* ... because of versions */
    uint64_t rtt_ns;
    struct {
        bool gather, one;         /* answers are being read: but for one, who sleeps is woken when the mutex is free */
        unsigned count;
        _Atomic uint32_t *words[PTI_WAKES_MOST];
    } wakes;
    int64_t echoed;               /* when the newest PING that came back was sent */
};

/* With the mutex: why it is down, for whoever asked.  What one link carried wrongly says nothing of a home that was spoken to before. */
static inline enum ptq_err pti_conn_refusal(const struct pti_conn *conn)
{
    bool was_noise = conn->refusal == PTQ_EPROTO && conn->home.incarnation != 0;

    return conn->refusal != PTQ_OK && !was_noise ? conn->refusal : PTQ_EUNREACHABLE;
}

/* The session with the home at `url`, made and dialled where there is none, as who the bus says that we are. */
enum ptq_err pti_conn_hold(ptq_bus *bus, const char *url, struct ptq_error *error, struct pti_conn **ret_conn);
/* The round trip of its last PING; 0: not known, or the link is down. */
uint64_t pti_conn_rtt(struct pti_conn *conn);
/* The last to let go says good-bye, up to `deadline`. */
void pti_conn_drop(struct pti_conn *conn, int64_t deadline);

/* With conn->mutex held: joins, or leaves.  A remote that is not `bare` is opened as its `asked` says. */
enum ptq_err pti_conn_join(struct pti_conn *conn, struct pti_remote *remote);
void pti_conn_leave(struct pti_conn *conn, struct pti_remote *remote, bool home_knows);
/* Asks the home (again) to open it. */
void pti_conn_open_channel(struct pti_conn *conn, struct pti_remote *remote);

/* Something was pushed.  With or without conn->mutex. */
void pti_conn_kick(struct pti_conn *conn);

/* Ends the link for `reason`; the session goes on over the next one.  Without conn->mutex. */
void pti_conn_break(struct pti_conn *conn, const char *reason);

/* The reader (reader.c): takes in one frame.  PTQ_EPROTO or PTQ_EVERSION with a sentence. */
enum ptq_err pti_conn_read(struct pti_conn *conn, struct pti_link *link, const struct pti_frame *frame,
                           const char **ret_reason);

/* greeting.c: says HELLO; takes in a frame of channel 0.  With conn->mutex held. */
void pti_conn_greet(struct pti_conn *conn);
enum ptq_err pti_conn_read_control(struct pti_conn *conn, struct pti_link *link, const struct pti_frame *frame,
                                   const char **ret_reason);

/* What happens to a remote when its session is up, is down, or has begun again (call.c). */
void pti_remote_resume(struct pti_remote *remote);
void pti_remote_suspend(struct pti_remote *remote);
void pti_remote_restart(struct pti_remote *remote);

#endif
