/* redial.h -- how long to wait before a home is dialled again.
 *
 * Full jitter: anywhere between now and a bound, so that the many who lost one home do not come back at once.  The bound doubles with
 * each dial that led to nothing, from 50 ms to 2 s; it begins small again only after a link that was good for a while.  A home that
 * greets, but whose links do not last, is there: it is asked more often than one that is away, and not as often as one that is well.
 */
#ifndef PTQ_REMOTE_REDIAL_H
#define PTQ_REMOTE_REDIAL_H

#include <stdbool.h>
#include <stdint.h>

#define PTI_REDIAL_FIRST_MS 50
#define PTI_REDIAL_MOST_MS 2000
#define PTI_REDIAL_FLAPPING 2u /* failures that a home that greets is worth at most: 200 ms */
#define PTI_REDIAL_GOOD_MS 5000

/* `random`: any 32 bits. */
int64_t pti_redial_pause_ns(unsigned failures, uint32_t random);
/* After a link that was up for `up_ns`, or that never was. */
unsigned pti_redial_count(unsigned failures, bool was_up, int64_t up_ns);

#endif
