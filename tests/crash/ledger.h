/* ledger.h -- what was promised: written around each call by whoever makes it, read by the auditor after a death.
 *
 * A message is a number (its id) and a pattern.  Ids are given in the order of puts, by producer: SETUP before, VICTIM in the
 * traced process, PEER beside it.  The ledger lies in memory that the victim and the auditor share; a call that was begun
 * and has not returned is in doubt, and only that.
 */
#ifndef PTQ_TESTS_CRASH_LEDGER_H
#define PTQ_TESTS_CRASH_LEDGER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <ptq/ptq.h>

#define LEDGER_IDS 1024u
#define LEDGER_SETUP 0u
#define LEDGER_VICTIM 128u /* and of a second one, where there are two: */
#define LEDGER_SECOND 192u
#define LEDGER_PEER 256u

enum ledger_put { NOT_PUT, PUTTING, IS_PUT, PUT_REFUSED };
enum ledger_out { IS_IN, IS_LEASED, ACKING, IS_ACKED, NACKING, IS_NACKED, IS_BURIED, IS_PARKED };
/* IS_PARKED: put with so long a delay that it never comes.  What may be dropped is IS_IN: the queue's own count of drops must
 * say how many of those are missing. */

struct ledger_msg {
    union {
        _Atomic uint32_t lease; /* its fate, with the number of the lease that said so: of two holders the later one says */
        _Atomic uint8_t out;    /* its fate alone: the lowest byte, for single steps are x86-64's */
    };
    _Atomic uint8_t put;
    _Atomic uint16_t group; /* elements of one batch: 1 + its first id; else 0 */
};

struct ledger {
    _Atomic uint32_t phase;     /* 1: the calls of interest begin; 2: they are over */
    _Atomic uint32_t taking[3];    /* so many messages may be taken by the call under way, of each victim; of the peer */
    _Atomic uint32_t receiving[3]; /* ... and acked as well */
    _Atomic uint32_t ending;    /* 1: end was begun, 2: it returned */
    _Atomic uint32_t pausing;   /* 1: the queue may be paused, 2: it is */
    _Atomic uint32_t calls;     /* begun, for people */
    _Atomic uint32_t leases;    /* begun: their numbers */
    _Atomic uint32_t untaken;   /* may have gone back as if never taken, unflagged: recv's with too little room */
    _Atomic uint32_t turned;    /* messages without an id that went in and out before */
    _Atomic uint32_t drops;     /* a put may lease, too: the oldest to drop it, or what is not due or over */
    _Atomic uint32_t limited;   /* leases may run out: then another may have them beside a living holder */
    _Atomic uint32_t delays;    /* nacks with a delay: what is nacked need not be ready */
    _Atomic int32_t wrong;      /* a call answered what it must not: 1 + its answer; or: */
#define LEDGER_FOREIGN 1000     /* bytes that nobody put */
#define LEDGER_TAKEN 1001       /* a lease was taken from the living */
    struct ledger_msg msgs[LEDGER_IDS];
};

struct ledger *ledger_new(void);
void ledger_free(struct ledger *ledger);

/* Which bytes message `id` has, at most `max`; is that it?  -1: none of ours. */
size_t ledger_fill(void *buffer, uint32_t id, size_t max);
size_t ledger_size(uint32_t id, size_t max);
int ledger_id_of(const void *data, size_t size);

static inline uint32_t ledger_taking(const struct ledger *ledger) { return ledger->taking[0] + ledger->taking[1]; }
static inline uint32_t ledger_receiving(const struct ledger *ledger)
{
    return ledger->receiving[0] + ledger->receiving[1];
}

/* Calls with their entries.  Each answers what the call answered. */
struct ledger_actor {
    ptq_queue *queue;
    struct ledger *ledger;
    size_t item_size;
    unsigned who;  /* 1: the second victim, 2: the peer; else 0 */
    uint32_t next; /* id of the next put */
    ptq_msg *held[64];
    uint32_t held_ids[64], held_leases[64];
    size_t held_count;
};
enum ptq_err ledger_put(struct ledger_actor *actor);
enum ptq_err ledger_put_with(struct ledger_actor *actor, int64_t delay_ms, int64_t ttl_ms);
enum ptq_err ledger_put_over(struct ledger_actor *actor, size_t count); /* 1, or a batch, where the oldest is dropped for it */
enum ptq_err ledger_purge(struct ledger_actor *actor);
/* Gathered, and in doubt until the flush returns, all or none of them. */
enum ptq_err ledger_gather(struct ledger_actor *actor, size_t count);
enum ptq_err ledger_flush(struct ledger_actor *actor, size_t count);
enum ptq_err ledger_put_many(struct ledger_actor *actor, size_t count);
enum ptq_err ledger_loan(struct ledger_actor *actor, ptq_msg **ret_loan);
enum ptq_err ledger_publish(struct ledger_actor *actor, ptq_msg *loan);
enum ptq_err ledger_get(struct ledger_actor *actor); /* held[held_count++] */
enum ptq_err ledger_get_many(struct ledger_actor *actor, size_t max);
enum ptq_err ledger_get_at_least(struct ledger_actor *actor, size_t min, size_t max);
enum ptq_err ledger_ack(struct ledger_actor *actor, size_t which); /* of held */
enum ptq_err ledger_nack(struct ledger_actor *actor, size_t which, int delay_ms);
/* Settles a lease that was handed on before: that changes nothing. */
enum ptq_err ledger_settle_late(struct ledger_actor *actor, size_t which, bool ack);
enum ptq_err ledger_recv(struct ledger_actor *actor, size_t room);
enum ptq_err ledger_end(struct ledger_actor *actor);
void ledger_close(struct ledger_actor *actor); /* leases go back */

/* Notes an answer that must have been another. */
void ledger_expect(struct ledger_actor *actor, enum ptq_err expected, enum ptq_err got);

#endif
