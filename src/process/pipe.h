/* pipe.h -- a pipe: two queues, and one word that says how its two ends are.
 *
 *   "<name>.point"   to the point:  the anchor is its exclusive producer, the point its exclusive getter
 *   "<name>.anchor"  to the anchor: the other way round; missing where the pipe is one way
 *
 *   word   anchor: state:4 | one way:1 | 0:3 | lives:24     point: state:4 | 0:4 | lives:24
 *          in the memory of "<name>.point" (ring/layout.h), 0 at first
 *
 *        FREE --open--> HELD --give--> FREE        HELD --close--> CLOSED       HELD --its owner died--> DEAD
 *
 * Laws:
 *   1. An end is HELD only while its owner has the locks of its exclusive rights: they are locked before, and let go after.  So whoever
 *      reads HELD, finds a lock free, and then changes this same word (its lives tell) to DEAD, has found a dead one: the living are
 *      never taken for dead, and nobody has to stop anybody to find out.
 *   2. The right to get from "<name>.point" is the gate to the point: locked first, let go last.
 *   3. The anchor becomes HELD once, when all is made: before that there is no pipe.
 *   4. CLOSED and DEAD are for ever.  Whoever makes the second end so by his CAS, he alone, removes the queues: the way to the anchor
 *      first, while he has the other open.  So nobody can have made a new pipe of that name by then.
 */
#ifndef PTQ_PROCESS_PIPE_H
#define PTQ_PROCESS_PIPE_H

#include <ptq/pipe.h>

#include "base/atomic.h"
#include "queue/queue.h"

#define PTI_PIPE_TO_POINT ".point"
#define PTI_PIPE_TO_ANCHOR ".anchor"

enum pti_end { PTI_ANCHOR = 0, PTI_POINT = 1 };
enum pti_end_state { PTI_END_FREE = 0, PTI_END_HELD = 1, PTI_END_CLOSED = 2, PTI_END_DEAD = 3 };

struct ptq_pipe {
    ptq_bus *bus;            /* held */
    ptq_queue *out, *in;     /* NULL: the pipe is one way, and not this */
    _Atomic uint64_t *word;
    enum pti_end end;
    _Atomic bool locked;
    _Atomic int64_t looked_ns[2]; /* for the dead, by who asks and does not wait; enum ptq_side */
    _Atomic bool polls;           /* the descriptor for what comes in was asked for: each answer of "nothing" is followed by silence */
    char name[PTQ_PIPE_NAME_MAX + 1];
};

#define PTI_PIPE_ONE_WAY UINT64_C(16)

static inline unsigned pti_end_shift(enum pti_end end) { return end == PTI_POINT ? 32 : 0; }
static inline uint32_t pti_end_half(uint64_t word, enum pti_end end) { return (uint32_t)(word >> pti_end_shift(end)); }
static inline unsigned pti_end_state(uint64_t word, enum pti_end end) { return pti_end_half(word, end) & 15; }
static inline uint32_t pti_end_lives(uint64_t word, enum pti_end end) { return pti_end_half(word, end) >> 8; }
static inline bool pti_end_is_over(uint64_t word, enum pti_end end)
{
    return pti_end_state(word, end) == PTI_END_CLOSED || pti_end_state(word, end) == PTI_END_DEAD;
}
static inline enum pti_end pti_end_other(enum pti_end end) { return end == PTI_ANCHOR ? PTI_POINT : PTI_ANCHOR; }

/* The word with this end in another state; HELD is one more life. */
static inline uint64_t pti_end_with(uint64_t word, enum pti_end end, enum pti_end_state state)
{
    uint32_t half = (pti_end_half(word, end) & ~15u) + (state == PTI_END_HELD ? 256 : 0);
    return (word & ~(UINT64_C(0xffffffff) << pti_end_shift(end))) | (uint64_t)(half | (uint32_t)state) << pti_end_shift(end);
}

/* From a word in which this end is `from`: changes it, whatever becomes of the other end meanwhile.  False: the end is not as it was.
 * *word is what was read last; on success what stands there now. */
bool pti_end_change(_Atomic uint64_t *at, uint64_t *word, enum pti_end end, enum pti_end_state to);

/* PTQ_EINVAL, PTQ_EFORKED. */
enum ptq_err pti_pipe_check(const ptq_pipe *pipe);

/* How the other end is: if its owner is dead it is DEAD from now on.  `side`: of which queue the lock is looked at; *ret_word may be NULL. */
unsigned pti_pipe_look(ptq_pipe *pipe, enum ptq_side side, uint64_t *ret_word);

/* END both ways: what wakes those who sleep.  The answer of the way in; PTQ_OK: it is there, whoever said it. */
enum ptq_err pti_pipe_end_both(ptq_pipe *pipe);

/* Lets go of both queues, in the order of law 2, and frees the memory. */
void pti_pipe_drop(ptq_pipe *pipe);

/* The same, and removes the queues, which are the caller's to remove (law 4). */
void pti_pipe_drop_last(ptq_pipe *pipe);

#endif
