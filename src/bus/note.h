/* note.h -- what became of a put that a bridge had noted in a queue (ring/note.h), asked when that bridge is dead. */
#ifndef PTQ_BUS_NOTE_H
#define PTQ_BUS_NOTE_H

#include "bus/bus.h"

enum pti_fate {
    PTI_FATE_UNKNOWN = 0, /* the queue is gone, or cannot be looked into */
    PTI_FATE_DONE = 1,
    PTI_FATE_UNDONE = 2
};

/* Recovers whoever of the queue's users is dead, then looks for the note.  The queue must be the one of this id.  Whoever noted
 * must be dead.  Blocks for a second at most, while somebody else recovers.  *ret_position is set if it was done; 0: it has none. */
enum pti_fate pti_bus_fate(ptq_bus *bus, const char *queue, const uint8_t id[16], uint32_t stream, uint64_t serial,
                           uint64_t *ret_position);

#endif
