/* doubtful.c -- between a pool and its queue of jobs: answers that go astray. */
#include "doubtful.h"

#include "pool/pool.h"

static struct {
    const struct pti_port_ops *real;
    struct pti_port_ops ops;
    enum doubtful_kind kind;
    unsigned every, retries, count, astray;
    unsigned left;     /* retries that will not tell either; with `asked`: one is in doubt */
    bool asked, is_in; /* and is in, at */
    uint64_t at;
} doubtful;

static enum ptq_err retry(struct pti_port *port, struct ptq_msg *loan, const struct pti_put *put, int64_t deadline, uint64_t *ret_position)
{
    if (doubtful.left > 0) {
        doubtful.left--;
        return PTQ_EINDOUBT;
    }
    if (!doubtful.is_in) {
        enum ptq_err err = doubtful.real->publish(port, loan, put, deadline, ret_position);
        doubtful.asked = false; /* done, or surely not */
        return err;
    }
    doubtful.asked = false;
    *ret_position = doubtful.at;
    doubtful.real->abort(port, loan);
    return PTQ_OK;
}

/* The bytes of the loan, in another block. */
static enum ptq_err put_copy(struct pti_port *port, struct ptq_msg *loan, const struct pti_put *like)
{
    struct pti_put put = *like;
    put.data = loan->data;
    return doubtful.real->put(port, &put, PTI_DEADLINE_NOW, &doubtful.at);
}

static enum ptq_err publish(struct pti_port *port, struct ptq_msg *loan, const struct pti_put *put, int64_t deadline, uint64_t *ret_position)
{
    if (doubtful.asked && put->retry)
        return retry(port, loan, put, deadline, ret_position);
    doubtful.asked = false; /* given up */
    if (++doubtful.count % doubtful.every != 0)
        return doubtful.real->publish(port, loan, put, deadline, ret_position);
    enum doubtful_kind kind = doubtful.kind == DOUBTFUL_BY_TURNS ? (enum doubtful_kind)(doubtful.astray % 3) : doubtful.kind;
    enum ptq_err err = kind == DOUBTFUL_DONE ? put_copy(port, loan, put) : PTQ_OK;
    if (err != PTQ_OK)
        return err;
    doubtful.astray++;
    if (kind == DOUBTFUL_INTERRUPTED)
        return PTQ_EINTR;
    doubtful.asked = true;
    doubtful.is_in = kind == DOUBTFUL_DONE;
    doubtful.left = doubtful.retries;
    return PTQ_EINDOUBT;
}

void doubtful_begin(struct pools *pools, enum doubtful_kind kind, unsigned every, unsigned retries)
{
    struct pti_port *port = pools->pool->jobs->port;
    doubtful.real = port->ops;
    doubtful.ops = *port->ops;
    doubtful.ops.publish = publish;
    doubtful.kind = kind;
    doubtful.every = every;
    doubtful.retries = retries;
    doubtful.count = doubtful.astray = 0;
    doubtful.asked = false;
    port->ops = &doubtful.ops;
}

unsigned doubtful_end(struct pools *pools)
{
    pools->pool->jobs->port->ops = doubtful.real;
    return doubtful.astray;
}
