/* guard.c -- the operations of a guarded handle: what was done in memory that is not there any more did not happen.
 *
 * The guard (os/guard.h) put zeroes in the place of what was truncated, so that the call came to its end; here its answer is
 * replaced.  From then on pti_local_enter refuses every call.
 */
#include "local/lane.h"
#include "local/verbs.h"

static struct pti_port_ops guarded;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static enum ptq_err put(struct pti_port *port, const struct pti_put *put, int64_t deadline, uint64_t *ret_position)
{
    return pti_local_judge(port, pti_local_of(port)->ops->put(port, put, deadline, ret_position));
}

static enum ptq_err put_many(struct pti_port *port, const struct pti_put *puts, size_t count, int64_t deadline,
                             uint64_t *ret_position)
{
    return pti_local_judge(port, pti_local_of(port)->ops->put_many(port, puts, count, deadline, ret_position));
}

static enum ptq_err loan(struct pti_port *port, uint32_t size, int64_t deadline, struct ptq_msg **ret_loan)
{
    return pti_local_judge(port, pti_local_of(port)->ops->loan(port, size, deadline, ret_loan));
}

static enum ptq_err publish(struct pti_port *port, struct ptq_msg *loaned, const struct pti_put *put, int64_t deadline,
                            uint64_t *ret_position)
{
    return pti_local_judge(port, pti_local_of(port)->ops->publish(port, loaned, put, deadline, ret_position));
}

static enum ptq_err place(struct pti_port *port, uint64_t position, const struct pti_put *put, int64_t deadline)
{
    return pti_local_judge(port, pti_local_of(port)->ops->place(port, position, put, deadline));
}

static enum ptq_err end(struct pti_port *port) { return pti_local_judge(port, pti_local_of(port)->ops->end(port)); }

static enum ptq_err take(struct pti_port *port, size_t max, int64_t deadline, struct ptq_msg **msgs, size_t *ret_count)
{
    return pti_local_judge(port, pti_local_of(port)->ops->take(port, max, deadline, msgs, ret_count));
}

static enum ptq_err recv(struct pti_port *port, void *buffer, size_t size, int64_t deadline, size_t *ret_size)
{
    return pti_local_judge(port, pti_local_of(port)->ops->recv(port, buffer, size, deadline, ret_size));
}

static enum ptq_err take_more(struct pti_port *port, size_t max, int64_t deadline, struct ptq_msg **msgs, size_t *ret_count)
{
    return pti_local_judge(port, pti_local_of(port)->ops->take_more(port, max, deadline, msgs, ret_count));
}

static enum ptq_err ack(struct pti_port *port, struct ptq_msg *msg)
{
    return pti_local_judge(port, pti_local_of(port)->ops->ack(port, msg));
}

static enum ptq_err ack_many(struct pti_port *port, struct ptq_msg *const *msgs, size_t count, size_t *ret_count)
{
    return pti_local_judge(port, pti_local_of(port)->ops->ack_many(port, msgs, count, ret_count));
}

static enum ptq_err nack(struct pti_port *port, struct ptq_msg *msg, int delay_ms)
{
    return pti_local_judge(port, pti_local_of(port)->ops->nack(port, msg, delay_ms));
}

static enum ptq_err untake(struct pti_port *port, struct ptq_msg *msg)
{
    return pti_local_judge(port, pti_local_of(port)->ops->untake(port, msg));
}

static enum ptq_err place_loan(struct pti_port *port, struct ptq_msg *loan, uint64_t position, const struct pti_put *put)
{
    return pti_local_judge(port, pti_local_of(port)->ops->place_loan(port, loan, position, put));
}

static enum ptq_err limit(struct pti_port *port, uint64_t limit)
{
    return pti_local_judge(port, pti_local_of(port)->ops->limit(port, limit));
}

static enum ptq_err head(struct pti_port *port, uint64_t *ret_position)
{
    return pti_local_judge(port, pti_local_of(port)->ops->head(port, ret_position));
}

static enum ptq_err census(struct pti_port *port, uint64_t position, bool *ret_lost)
{
    return pti_local_judge(port, pti_local_of(port)->ops->census(port, position, ret_lost));
}

static enum ptq_err flush(struct pti_port *port, int64_t deadline)
{
    return pti_local_judge(port, pti_local_of(port)->ops->flush ? pti_local_of(port)->ops->flush(port, deadline) : PTQ_OK);
}

static enum ptq_err stats(struct pti_port *port, struct ptq_queue_stats *ret_stats)
{
    return pti_local_judge(port, pti_local_of(port)->ops->stats(port, ret_stats));
}

static void make_table(void)
{
    guarded = pti_local_ops;
    guarded.put = put;
    guarded.put_many = put_many;
    guarded.loan = loan;
    guarded.publish = publish;
    guarded.place = place;
    guarded.place_loan = place_loan;
    guarded.end = end;
    guarded.take = take;
    guarded.take_more = take_more;
    guarded.recv = recv;
    guarded.ack = ack;
    guarded.ack_many = ack_many;
    guarded.nack = nack;
    guarded.untake = untake;
    guarded.limit = limit;
    guarded.head = head;
    guarded.census = census;
    guarded.stats = stats;
    guarded.flush = flush;
}

const struct pti_port_ops *pti_local_guarded(void)
{
    pthread_once(&once, make_table);
    return &guarded;
}
