/* queue.h -- a queue handle as the rooms above see it: the public calls, and what pools and servers need besides. */
#ifndef PTQ_QUEUE_QUEUE_H
#define PTQ_QUEUE_QUEUE_H

#include <ptq/queue.h>

#include "queue/port.h"

struct ptq_queue {
    struct pti_port *port;
    ptq_bus *bus;
    char name[PTQ_NAME_MAX + 8]; /* with "!dead", where it is that view */
};

/* Every call asks it first: PTQ_EINVAL, PTQ_EFORKED. */
static inline enum ptq_err pti_queue_check(const ptq_queue *queue)
{
    if (!queue)
        return PTQ_EINVAL;
    return queue->port ? PTQ_OK : PTQ_EFORKED;
}

/* ptq_queue_open with the options that only rooms may ask for. */
enum ptq_err pti_queue_open(ptq_bus *bus, const char *name, const struct pti_open *open, ptq_queue **ret_queue);

/* As the operations of port.h, with the checks of the public calls (fork, size, NULL); timeouts as deadlines. */
enum ptq_err pti_queue_put(ptq_queue *queue, const struct pti_put *put, int64_t deadline, uint64_t *ret_position);
enum ptq_err pti_queue_put_many(ptq_queue *queue, const struct pti_put *puts, size_t count, int64_t deadline,
                                uint64_t *ret_position);
enum ptq_err pti_queue_loan(ptq_queue *queue, size_t size, int64_t deadline, ptq_msg **ret_loan);

/* ptq_publish_with of what has a type: its hash, and a header that is put beside the others where there is room for it. */
struct pti_typed {
    uint32_t type;
    const struct ptq_header *header;
};
enum ptq_err pti_publish_typed(ptq_msg *loan, size_t size, const struct ptq_put_options *options,
                               const struct pti_typed *typed, int64_t deadline);

enum ptq_err pti_queue_take(ptq_queue *queue, size_t max, int64_t deadline, ptq_msg **msgs, size_t *ret_count);
enum ptq_err pti_queue_untake(ptq_msg *msg);
enum ptq_err pti_queue_place(ptq_queue *queue, uint64_t position, const struct pti_put *put, int64_t deadline);
/* Results that were written in place: placed at `position`, or where nothing is placed, put.  The loan is taken with PTQ_OK and PTQ_ELATE.
 * can_lend: is there such a way to this queue? */
bool pti_queue_can_lend(const ptq_queue *queue);
enum ptq_err pti_queue_hand_in(ptq_msg *loan, uint64_t position, const struct pti_put *put, int64_t deadline);
enum ptq_err pti_queue_limit(ptq_queue *queue, uint64_t limit);
enum ptq_err pti_queue_head(ptq_queue *queue, uint64_t *ret_position);
enum ptq_err pti_queue_census(ptq_queue *queue, uint64_t position, bool *ret_lost);
/* False also where that is not known from here. */
bool pti_queue_is_placed(ptq_queue *queue, uint64_t position);
/* Of ptq_queue_stats.consumers, how many are threads of this handle, also such as have ended; false: not known. */
bool pti_queue_own_consumers(ptq_queue *queue, uint32_t *ret_count);
enum ptq_err pti_queue_claim(ptq_queue *queue, int64_t deadline);
/* Of a queue of this host; NULL: it is none.  Good until close. */
_Atomic uint64_t *pti_queue_word(ptq_queue *queue);
bool pti_queue_is_held(ptq_queue *queue, enum ptq_side side);

/* A process that had this queue open is known to have died: puts right at once what it left. */
void pti_queue_sweep(ptq_queue *queue);

/* Serial comparison of positions: negative, 0, positive as a is before, at, after b. */
int64_t pti_position_compare(uint64_t a, uint64_t b);

#endif
