/* pipe_talk.c -- messages through a pipe: the queues' own calls, and what the other end's fate makes of their answers. */
#include <time.h>

#include "base/time.h"
#include "process/pipe.h"

#define LOOK_PUT_NS (50 * PTI_NS_PER_MS) /* between two looks for the dead by who sends and has room, */
#define LOOK_GET_NS (5 * PTI_NS_PER_MS)  /* and by who asks again and again whether there is something */
#define NOBODY_MS 50                  /* between two looks while nobody has the other end: who comes and dies in between is noticed so */

/* One call that may look again. */
struct call {
    ptq_pipe *pipe;
    enum ptq_side side;
    int timeout_ms;
    int64_t deadline;
    bool waited;
    bool ended; /* both ways were ended by this call, because the other end is over */
};

static struct call begin(ptq_pipe *pipe, enum ptq_side side, int timeout_ms)
{
    return (struct call){.pipe = pipe, .side = side, .timeout_ms = timeout_ms, .deadline = pti_deadline(timeout_ms)};
}

/* The first try of a call with a deadline asks once: only who waits needs the clock. */
static int first_timeout(int timeout_ms)
{
    return timeout_ms > 0 ? PTQ_NOWAIT : timeout_ms;
}

/* The answer is the first try's, and there is time. */
static bool has_only_asked(struct call *call, enum ptq_err answer)
{
    bool first = call->timeout_ms > 0 && !call->waited && (answer == PTQ_EMPTY || answer == PTQ_FULL);
    call->waited = true;
    return first;
}

/* For the next try. */
static int timeout_of(const struct call *call)
{
    if (call->timeout_ms <= 0)
        return call->timeout_ms;
    int64_t left = call->deadline - pti_now_ns();
    return left <= 0 ? PTQ_NOWAIT : (int)((left + PTI_NS_PER_MS - 1) / PTI_NS_PER_MS);
}

static enum ptq_err fate(struct call *call, unsigned state)
{
    if (state == PTI_END_DEAD)
        return PTQ_EDIED;
    return call->side == PTQ_SIDE_GET ? PTQ_END : PTQ_EENDED;
}

/* The other end is over: what it sent is in, so END behind it is the end. */
static enum ptq_err end_both(struct call *call)
{
    call->ended = true;
    return pti_pipe_end_both(call->pipe);
}

/* Nobody has the other end yet, or he is just opening or leaving it. */
static enum ptq_err wait_for_somebody(struct call *call)
{
    ptq_pipe *pipe = call->pipe;
    struct ptq_wait wait = {.queue = call->side == PTQ_SIDE_GET ? pipe->in : pipe->out, .side = call->side};
    int left = timeout_of(call);
    if (left == PTQ_NOWAIT)
        return PTQ_TIMEDOUT;
    enum ptq_err err = ptq_wait_any(&wait, 1, left > 0 && left < NOBODY_MS ? left : NOBODY_MS, NULL);
    return err == PTQ_TIMEDOUT ? PTQ_OK : err;
}

/* A look costs a system call, a coarse clock a few nanoseconds. */
static bool is_time(ptq_pipe *pipe, enum ptq_side side, int64_t every_ns)
{
    struct timespec time;
    (void)clock_gettime(CLOCK_MONOTONIC_COARSE, &time);
    int64_t now = time.tv_sec * PTI_NS_PER_S + time.tv_nsec;
    if (now - pti_load_relaxed(&pipe->looked_ns[side]) < every_ns)
        return false;
    pti_store_relaxed(&pipe->looked_ns[side], now); /* a hint */
    return true;
}

/* What a queue's answer means here.  PTQ_OK: ask it again. */
static enum ptq_err judge(struct call *call, enum ptq_err answer)
{
    unsigned state;
    switch (answer) {
    case PTQ_END:
    case PTQ_EENDED:
        state = pti_pipe_look(call->pipe, call->side, NULL);
        if (call->side == PTQ_SIDE_GET && (state == PTI_END_CLOSED || state == PTI_END_DEAD))
            (void)end_both(call); /* it may have said END before it died: from now on no send of ours is taken either */
        return fate(call, state);
    case PTQ_EMPTY:
        if (call->timeout_ms == PTQ_NOWAIT && !pti_load_relaxed(&call->pipe->polls) && !is_time(call->pipe, PTQ_SIDE_GET, LOOK_GET_NS))
            return answer;
        __attribute__((fallthrough));
    case PTQ_FULL:
    case PTQ_ENOPEERS:
        state = pti_pipe_look(call->pipe, call->side, NULL);
        break;
    default:
        return answer;
    }
    if (state > PTI_END_DEAD)
        return PTQ_ECORRUPT;
    if (state == PTI_END_CLOSED || state == PTI_END_DEAD) {
        if (!call->ended)
            return end_both(call);
        return answer == PTQ_EMPTY ? answer : fate(call, state); /* EMPTY: what this end gave back with a delay is not due */
    }
    if (answer != PTQ_ENOPEERS)
        return call->timeout_ms == PTQ_NOWAIT ? answer : PTQ_TIMEDOUT;
    return wait_for_somebody(call);
}

static enum ptq_err check(const ptq_pipe *pipe, enum ptq_side side)
{
    enum ptq_err err = pti_pipe_check(pipe);
    if (err == PTQ_OK && (side == PTQ_SIDE_GET ? pipe->in : pipe->out) == NULL)
        return PTQ_EPERM;
    return err;
}

/* -- in ------------------------------------------------------------------------------------------------------- */

/* Who has room is told nothing by the queue: so now and then he looks. */
static void look_sometimes(ptq_pipe *pipe)
{
    if (!is_time(pipe, PTQ_SIDE_PUT, LOOK_PUT_NS))
        return;
    unsigned state = pti_pipe_look(pipe, PTQ_SIDE_PUT, NULL);
    if (state == PTI_END_CLOSED || state == PTI_END_DEAD)
        pti_pipe_end_both(pipe);
}

enum ptq_err ptq_pipe_send(ptq_pipe *pipe, const void *data, size_t size, int timeout_ms)
{
    enum ptq_err err = check(pipe, PTQ_SIDE_PUT);
    if (err != PTQ_OK)
        return err;
    look_sometimes(pipe);
    err = ptq_put(pipe->out, data, size, first_timeout(timeout_ms));
    if (__builtin_expect(err == PTQ_OK, 1))
        return err;
    struct call call = begin(pipe, PTQ_SIDE_PUT, timeout_ms);
    while (err != PTQ_OK && (has_only_asked(&call, err) || (err = judge(&call, err)) == PTQ_OK))
        err = ptq_put(pipe->out, data, size, timeout_of(&call));
    return err;
}

enum ptq_err ptq_pipe_loan(ptq_pipe *pipe, size_t size, int timeout_ms, ptq_msg **ret_loan)
{
    enum ptq_err err = check(pipe, PTQ_SIDE_PUT);
    if (err != PTQ_OK)
        return err;
    err = ptq_loan(pipe->out, size, first_timeout(timeout_ms), ret_loan);
    struct call call = begin(pipe, PTQ_SIDE_PUT, timeout_ms);
    while (err != PTQ_OK && (has_only_asked(&call, err) || (err = judge(&call, err)) == PTQ_OK))
        err = ptq_loan(pipe->out, size, timeout_of(&call), ret_loan);
    return err;
}

enum ptq_err ptq_pipe_publish(ptq_pipe *pipe, ptq_msg *loan, size_t size, int timeout_ms)
{
    enum ptq_err err = check(pipe, PTQ_SIDE_PUT);
    if (err != PTQ_OK)
        return err;
    if (loan == NULL || loan->queue != pipe->out)
        return PTQ_EINVAL;
    look_sometimes(pipe);
    err = ptq_publish(loan, size, first_timeout(timeout_ms), NULL);
    struct call call = begin(pipe, PTQ_SIDE_PUT, timeout_ms);
    while (err != PTQ_OK && (has_only_asked(&call, err) || (err = judge(&call, err)) == PTQ_OK))
        err = ptq_publish(loan, size, timeout_of(&call), NULL);
    return err;
}

enum ptq_err ptq_pipe_end(ptq_pipe *pipe)
{
    enum ptq_err err = check(pipe, PTQ_SIDE_PUT);
    return err == PTQ_OK ? ptq_end(pipe->out) : err;
}

/* -- out ------------------------------------------------------------------------------------------------------ */

enum ptq_err ptq_pipe_recv(ptq_pipe *pipe, void *buffer, size_t size, int timeout_ms, size_t *ret_size)
{
    enum ptq_err err = check(pipe, PTQ_SIDE_GET);
    if (err != PTQ_OK)
        return err;
    err = ptq_recv(pipe->in, buffer, size, first_timeout(timeout_ms), ret_size);
    if (__builtin_expect(err == PTQ_OK, 1))
        return err;
    struct call call = begin(pipe, PTQ_SIDE_GET, timeout_ms);
    while (err != PTQ_OK && (has_only_asked(&call, err) || (err = judge(&call, err)) == PTQ_OK))
        err = ptq_recv(pipe->in, buffer, size, timeout_of(&call), ret_size);
    return err;
}

enum ptq_err ptq_pipe_get(ptq_pipe *pipe, int timeout_ms, ptq_msg **ret_msg)
{
    enum ptq_err err = check(pipe, PTQ_SIDE_GET);
    if (err != PTQ_OK)
        return err;
    err = ptq_get(pipe->in, first_timeout(timeout_ms), ret_msg);
    struct call call = begin(pipe, PTQ_SIDE_GET, timeout_ms);
    while (err != PTQ_OK && (has_only_asked(&call, err) || (err = judge(&call, err)) == PTQ_OK))
        err = ptq_get(pipe->in, timeout_of(&call), ret_msg);
    return err;
}

/* -- around --------------------------------------------------------------------------------------------------- */

enum ptq_err ptq_pipe_fd(ptq_pipe *pipe, enum ptq_side side, int *ret_fd)
{
    enum ptq_err err = check(pipe, side);
    if (err == PTQ_OK && side == PTQ_SIDE_GET)
        pti_store_relaxed(&pipe->polls, true); /* seen by who was given the descriptor */
    return err == PTQ_OK ? ptq_queue_fd(side == PTQ_SIDE_GET ? pipe->in : pipe->out, side, ret_fd) : err;
}

void ptq_pipe_interrupt(ptq_pipe *pipe)
{
    if (pipe == NULL)
        return;
    ptq_interrupt(pipe->in);
    ptq_interrupt(pipe->out);
}
