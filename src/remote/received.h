/* received.h -- answers that came out of turn: the home need not keep them until `ack` has passed them.
 *
 * One call that waits for ever holds `ack` below everything that is asked after it.  So numbers above `ack` whose answers
 * came are told one by one, in RECEIVED.  They are kept here until an answer shows that the home has read that frame: a
 * link that breaks before makes them due again.
 */
#ifndef PTQ_REMOTE_RECEIVED_H
#define PTQ_REMOTE_RECEIVED_H

#include <stddef.h>
#include <stdint.h>

#define PTI_RECEIVED_DUE 64u  /* so many are worth a frame */
#define PTI_RECEIVED_MOST 512u /* in one frame */

struct pti_received_one {
    uint64_t number, said_before; /* the number of the next request that was asked after it was said */
};

struct pti_received {
    struct pti_received_one *ones; /* in the order in which they came: those that were said first */
    size_t count, said, room;
};

/* The answer to `number` came, which lies above `ack`.  Without memory the home keeps it for longer. */
void pti_received_add(struct pti_received *received, uint64_t number);
/* An answer to `number` came: the home has read what was said before that was asked. */
void pti_received_confirm(struct pti_received *received, uint64_t number);
/* The link is gone: what was said on it may not have been read. */
void pti_received_unsay(struct pti_received *received);
/* The payload of a RECEIVED frame into `bytes`, of 8 * PTI_RECEIVED_MOST: all that lie above `ack`, if at least `least` wait to be
 * said; 0: nothing to say.  `next` is the number that will be asked next. */
size_t pti_received_say(struct pti_received *received, uint64_t ack, uint64_t next, size_t least, uint8_t *bytes);
void pti_received_fini(struct pti_received *received);

#endif
