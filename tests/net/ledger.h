/* ledger.h -- what was promised, and what came: puts and gets that are written down. */
#ifndef PTQ_TESTS_NET_LEDGER_H
#define PTQ_TESTS_NET_LEDGER_H

#include <stdatomic.h>
#include <stdint.h>

#include "net/kit.h"

#define LEDGER_MOST 20000

struct ledger {
    ptq_queue *queue;
    uint64_t count;                    /* messages to put */
    _Atomic uint64_t open_to;          /* it puts no further for now; at first `count` */
    unsigned char put[LEDGER_MOST + 1];       /* an enum ptq_err + 1; 0: never tried */
    unsigned char seen[LEDGER_MOST + 1];      /* how often it came */
    unsigned char unflagged[LEDGER_MOST + 1]; /* how often it came as if for the first time */
    _Atomic uint64_t done, acked, lost_leases, in_doubt, refused;
};

struct ledger *ledger_new(ptq_queue *queue, uint64_t count); /* free() */

/* Threads, given a ledger: puts 1 to `count`; gets until the end. */
void *ledger_produce(void *context);
void *ledger_consume(void *context);

/* Of one whose open_to was 0 before its thread began: lets it put so many more, and returns when it has put some of them, so that what
 * is done then is done in the midst of them, however fast it is. */
void ledger_go_on(struct ledger *put, uint64_t portion);

/* Nothing that was promised is missing, nothing came that was never put, and what came twice said so, or was in doubt.
 */
void ledger_assert(const struct ledger *put, const struct ledger *got);

#endif
