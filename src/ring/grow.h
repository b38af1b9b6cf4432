/* grow.h -- open units: a pack that stands in the ring already, and grows as long as nobody has leased it.
 *
 *      n       CLOSED | bytes of all messages | records
 *              records + 1      CAS by its producer: the record is in the queue
 *              CLOSED           by who leased it, before anything else: from then on it is a pack like any other
 *
 * Laws:
 *   1. A record is committed by one CAS of n, which fails once the unit is closed: so a put that returned is in the queue, and
 *      whoever leases the unit gets it.  Nobody needs to be woken: the unit was told of when it was published, and an entry that
 *      nobody has taken is what a woken consumer finds.
 *   2. A producer writes into a unit that may have been closed, taken and acked behind its back.  So a unit stands in a block of its
 *      producer's own extent: that comes home to it and to nobody else while it lives.
 *   3. Nothing is added to a unit that has an entry behind it: puts keep their order with those of others, and with END.
 *   4. No counter knows of a unit's records while its kind is UNIT: they are put, and if it was leased once, taken.  Who closes it
 *      counts both by `admitted`, and then takes UNIT off: decided by that, under his lease (op ADMIT).
 *   5. An open unit of a dead producer needs no recovery: it is an entry of the ring, and its next taker closes it.
 * Model: unit.pml.
 */
#ifndef PTQ_RING_GROW_H
#define PTQ_RING_GROW_H

#include "ring/pack.h"

/* What a producer knows of the unit that it published last.  Private. */
struct pti_growing {
    struct pti_block *b; /* NULL: none */
    uint64_t position, n;
    uint32_t block, at;  /* where the next record goes */
    uint32_t room;       /* records that capacity allows, by the last look */
    uint32_t most;       /* records in a unit */
};

/* Publishes an own block whose first record is filled, of `bytes`, as an open unit.  As pti_ring_publish. */
enum ptq_err pti_grow_begin(struct pti_lane *lane, struct pti_growing *unit, uint32_t block, uint64_t before, uint32_t bytes,
                            uint64_t *ret_position);

/* The place for one more record; NULL: another entry is needed for it. */
struct pti_record *pti_grow_room(struct pti_lane *lane, struct pti_growing *unit, uint32_t bytes);

/* The record that was filled there is in the queue.  False: it is not, a consumer was faster. */
bool pti_grow_commit(struct pti_lane *lane, struct pti_growing *unit, uint32_t bytes);

/* It is no longer added to. */
void pti_grow_stop(struct pti_lane *lane, struct pti_growing *unit);

#endif
