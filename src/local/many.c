/* many.c -- acks of many messages by one entering. */
#include "local/verbs.h"
#include "ring/ring.h"

/* Still one of those that the caller handed in: who is named twice is settled by then. */
static bool is_next(const struct pti_port *port, const struct ptq_msg *msg)
{
    return msg && msg->state == PTI_MSG_LEASED && msg->port == port;
}

static enum ptq_err ack_one(struct pti_place *place, struct ptq_msg *msg)
{
    enum ptq_err err = PTQ_OK;

    if (__builtin_expect(msg->lane != place->number, 0))
        err = pti_ring_adopt(&place->lane, msg->block, &msg->word); /* another thread's becomes ours first */
    if (err == PTQ_OK)
        err = pti_ring_ack(&place->lane, msg->block, msg->word);
    pti_local_msg_free(place, msg);
    return err;
}

enum ptq_err pti_local_ack_many(struct pti_port *port, struct ptq_msg *const *msgs, size_t count, size_t *ret_count)
{
    struct pti_local *local = pti_local_of(port);
    struct pti_place *place;
    enum ptq_err err = pti_local_enter(local, &place), answer;
    size_t done = 0, some;

    *ret_count = 1; /* as of one that is acked alone: what could not be entered has taken nothing */
    if (__builtin_expect(err != PTQ_OK, 0))
        return err;
    while (done < count && is_next(port, msgs[done])) {
        some = 1;
        if (msgs[done]->unit)
            answer = pti_unit_ack_many(local, place, msgs + done, count - done, &some);
        else
            answer = ack_one(place, msgs[done]);
        err = err == PTQ_OK ? answer : err;
        done += some;
    }
    pti_local_leave(place);
    *ret_count = done;
    return err;
}
