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
    unsigned char put[LEDGER_MOST + 1];       /* an enum ptq_err + 1; 0: never tried */
    unsigned char seen[LEDGER_MOST + 1];      /* how often it came */
    unsigned char unflagged[LEDGER_MOST + 1]; /* how often it came as if for the first time */
    _Atomic uint64_t done, acked, lost_leases, in_doubt, refused;
};

struct ledger *ledger_new(ptq_queue *queue, uint64_t count); /* free() */

/* Threads, given a ledger: puts 1 to `count`; gets until the end. */
void *ledger_produce(void *context);
void *ledger_consume(void *context);

/* Nothing that was promised is missing, nothing came that was never put, and what came twice said so, or was in doubt.
 */
void ledger_assert(const struct ledger *put, const struct ledger *got);

#endif
