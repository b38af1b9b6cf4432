/* audit.h -- a stranger opens what was left, drains it, and compares it with the ledger. */
#ifndef PTQ_TESTS_CRASH_AUDIT_H
#define PTQ_TESTS_CRASH_AUDIT_H

#include "crash/ledger.h"

/* One message as it came. */
struct audit_msg {
    uint32_t id, sub;
    uint64_t position;
    bool redelivered;
};

/* What the peer of a stopped victim got and acked while the victim lived. */
struct audit_seen {
    struct audit_msg msgs[LEDGER_IDS];
    size_t count;
};

struct audit {
    const struct ledger *ledger;
    uint64_t capacity;
    size_t item_size;
    uint64_t blocks;        /* as audit_blocks said of the sound queue; 0: not asked */
    bool lenient;           /* a peer took and put meanwhile: the victim's calls may answer anything */
    bool packed;            /* beside a peer: of a pack that came back the rest bears no flag, and while the victim lives another may come first */
    bool two_deaths;        /* two had died before what was seen, and the peer may have noticed one after the other */
    bool dead_before;       /* what was seen, was seen after the victim's death */
    const struct audit_seen *seen; /* may be NULL */
    uint64_t dropped, delayed, dead; /* as the queue counts them when it is drained */
    char text[400];         /* what is wrong */
};

/* Opens queue `name`, which recovers it, drains it to the last message and compares.  True: all promises were kept.  Else
 * audit->text says which was not.  Afterwards the queue is empty and closed. */
bool audit_queue(struct audit *audit, ptq_bus *bus, const char *name);

/* Gets and acks all there is, as the peer. */
bool audit_take(struct audit *audit, ptq_queue *queue, struct audit_seen *seen, int timeout_ms, enum ptq_err *ret_last);

/* How many messages an empty queue can hold when all are leased: its blocks. */
uint64_t audit_blocks(ptq_bus *bus, ptq_queue *queue, uint64_t capacity);

#endif
