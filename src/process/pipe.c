/* pipe.c -- an end's life after it was opened: given on, locked, closed; and how the other end is. */
#include "process/pipe.h"

#include <stdlib.h>
#include <string.h>

#include "bus/bus.h"

bool pti_end_change(_Atomic uint64_t *at, uint64_t *word, enum pti_end end, enum pti_end_state to)
{
    uint32_t was = pti_end_half(*word, end);
    for (;;) {
        uint64_t changed = pti_end_with(*word, end, to);
        if (pti_cas(at, word, changed)) {
            *word = changed;
            return true;
        }
        if (pti_end_half(*word, end) != was)
            return false;
    }
}

enum ptq_err pti_pipe_check(const ptq_pipe *pipe)
{
    if (pipe == NULL)
        return PTQ_EINVAL;
    return pti_queue_check(pipe->in != NULL ? pipe->in : pipe->out);
}

/* The other end puts where we get. */
static bool has_right(ptq_pipe *pipe, enum ptq_side side)
{
    return side == PTQ_SIDE_GET ? pti_queue_is_held(pipe->in, PTQ_SIDE_PUT) : pti_queue_is_held(pipe->out, PTQ_SIDE_GET);
}

unsigned pti_pipe_look(ptq_pipe *pipe, enum ptq_side side, uint64_t *ret_word)
{
    enum pti_end other = pti_end_other(pipe->end);
    uint64_t word = pti_load_seq(pipe->word);
    /* Law 1: read, looked, changed, in this order. */
    if (pti_end_state(word, other) == PTI_END_HELD && !has_right(pipe, side))
        (void)pti_end_change(pipe->word, &word, other, PTI_END_DEAD);
    if (ret_word != NULL)
        *ret_word = word;
    return pti_end_state(word, other);
}

enum ptq_err ptq_pipe_peer(ptq_pipe *pipe, enum ptq_pipe_peer *ret_peer)
{
    enum ptq_err err = pti_pipe_check(pipe);
    if (err != PTQ_OK || ret_peer == NULL)
        return err != PTQ_OK ? err : PTQ_EINVAL;
    unsigned state = pti_pipe_look(pipe, pipe->in != NULL ? PTQ_SIDE_GET : PTQ_SIDE_PUT, NULL);
    if (state > PTI_END_DEAD)
        return PTQ_ECORRUPT;
    *ret_peer = (enum ptq_pipe_peer)state;
    return PTQ_OK;
}
_Static_assert((int)PTI_END_FREE == PTQ_PIPE_NOBODY && (int)PTI_END_HELD == PTQ_PIPE_THERE && (int)PTI_END_CLOSED == PTQ_PIPE_CLOSED &&
                   (int)PTI_END_DEAD == PTQ_PIPE_DIED, "the word's states are the public ones");

const char *ptq_pipe_name(const ptq_pipe *pipe)
{
    return pipe != NULL ? pipe->name : "";
}

/* -- given on ------------------------------------------------------------------------------------------------- */

static enum ptq_err set_locked(ptq_pipe *pipe, bool locked)
{
    enum ptq_err err = pti_pipe_check(pipe);
    if (err != PTQ_OK)
        return err;
    if (pipe->end == PTI_ANCHOR)
        return locked ? PTQ_OK : PTQ_EPERM;
    pti_store_seq(&pipe->locked, locked);
    return PTQ_OK;
}

enum ptq_err ptq_pipe_lock(ptq_pipe *pipe)
{
    return set_locked(pipe, true);
}

enum ptq_err ptq_pipe_unlock(ptq_pipe *pipe)
{
    return set_locked(pipe, false);
}

void pti_pipe_drop(ptq_pipe *pipe)
{
    if (pipe == NULL)
        return;
    ptq_queue *gate = pipe->end == PTI_POINT ? pipe->in : pipe->out, *rest = pipe->end == PTI_POINT ? pipe->out : pipe->in;
    ptq_queue_close(rest);
    ptq_queue_close(gate);
    pti_bus_drop(pipe->bus);
    free(pipe);
}

enum ptq_err ptq_pipe_give(ptq_pipe *point, char *buffer, size_t size)
{
    enum ptq_err err = pti_pipe_check(point);
    if (err != PTQ_OK)
        return err;
    if (point->end == PTI_ANCHOR || pti_load_seq(&point->locked))
        return PTQ_EPERM;
    err = buffer != NULL ? ptq_queue_ref(point->in, buffer, size) : PTQ_EINVAL;
    if (err != PTQ_OK)
        return err;
    uint64_t word = pti_load_seq(point->word);
    if (pti_end_state(word, PTI_POINT) != PTI_END_HELD || !pti_end_change(point->word, &word, PTI_POINT, PTI_END_FREE))
        return PTQ_ECORRUPT; /* it is ours: nobody else changes it */
    pti_pipe_drop(point);
    return PTQ_OK;
}

/* -- closed --------------------------------------------------------------------------------------------------- */

static enum ptq_err end_way(ptq_queue *queue)
{
    enum ptq_err err = queue != NULL ? ptq_end(queue) : PTQ_OK;
    return err == PTQ_EALREADY ? PTQ_OK : err;
}

enum ptq_err pti_pipe_end_both(ptq_pipe *pipe)
{
    enum ptq_err out = end_way(pipe->out), in = end_way(pipe->in);
    return pipe->in != NULL ? in : out;
}

/* Without a descriptor to spare the queues cannot be removed before they are closed: then behind that, without force, so that nothing
 * is taken that somebody has made meanwhile. */
void pti_pipe_drop_last(ptq_pipe *pipe)
{
    ptq_bus *bus = pti_bus_hold(pipe->bus);
    char name[sizeof pipe->name];
    memcpy(name, pipe->name, sizeof name);
    enum ptq_err err = ptq_pipe_unlink(bus, name, true);
    pti_pipe_drop(pipe);
    if (err != PTQ_OK)
        err = ptq_pipe_unlink(bus, name, false); /* what is left is gc's */
    pti_bus_drop(bus);
}

void ptq_pipe_close(ptq_pipe *pipe)
{
    uint64_t word;
    bool last = false;
    if (pti_pipe_check(pipe) != PTQ_OK) { /* NULL, or a child's copy */
        pti_pipe_drop(pipe);
        return;
    }
    (void)pti_pipe_look(pipe, pipe->in != NULL ? PTQ_SIDE_GET : PTQ_SIDE_PUT, &word);
    if (pti_end_state(word, pipe->end) == PTI_END_HELD && pti_end_change(pipe->word, &word, pipe->end, PTI_END_CLOSED)) {
        pti_pipe_end_both(pipe); /* if we die before it, the word tells all the same */
        last = pti_end_is_over(word, pti_end_other(pipe->end)); /* law 4: `word` is what this very change made */
    }
    if (last)
        pti_pipe_drop_last(pipe);
    else
        pti_pipe_drop(pipe);
}
