/* pipe_open.c -- a pipe is made, its point is opened, and it is removed by name. */
#include "process/pipe.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "base/time.h"
#include "bus/bus.h"

#define ENDPOINTS 64u
#define HERE "@self"   /* of this host, whatever peers there are */
#define TRIES 8        /* others make and remove one of that name at the same time */
#define LOOK_FIRST_NS (1 * PTI_NS_PER_MS) /* between two tries to open, doubled up to: */
#define LOOK_LAST_NS (64 * PTI_NS_PER_MS)
#define ROLE(out) (PTQ_WATCH_PEERS | ((out) ? PTQ_EXCLUSIVE | PTQ_PRODUCER : PTQ_CONSUMER))

typedef char queue_name[PTQ_NAME_MAX + 16];

static const char *name_of(queue_name buffer, const char *pipe, enum pti_end to, const char *where)
{
    (void)snprintf(buffer, sizeof(queue_name), "%s%s%s", pipe, to == PTI_POINT ? PTI_PIPE_TO_POINT : PTI_PIPE_TO_ANCHOR, where);
    return buffer;
}

static bool name_is_valid(const char *name)
{
    return pti_name_is_valid(name) && strlen(name) <= PTQ_PIPE_NAME_MAX;
}

static ptq_pipe *new_end(ptq_bus *bus, enum pti_end end)
{
    ptq_pipe *pipe = calloc(1, sizeof *pipe);
    if (pipe == NULL)
        return NULL;
    pipe->bus = pti_bus_hold(bus);
    pipe->end = end;
    pti_store_relaxed(&pipe->locked, end == PTI_ANCHOR);
    return pipe;
}

/* `out`: this end sends by it.  Its place in `pipe` is filled. */
static enum ptq_err open_queue(ptq_pipe *pipe, const char *name, struct ptq_queue_options *options, bool out)
{
    options->flags = ROLE(out);
    return ptq_queue_open(pipe->bus, name, options, out ? &pipe->out : &pipe->in);
}

/* -- removed by name ------------------------------------------------------------------------------------------ */

enum ptq_err ptq_pipe_unlink(ptq_bus *bus, const char *name, bool force)
{
    queue_name queue;
    if (bus == NULL || name == NULL || !name_is_valid(name))
        return PTQ_EINVAL;
    enum pti_end first = force ? PTI_ANCHOR : PTI_POINT; /* law 4; without force the gate tells whether somebody is there */
    enum ptq_err err = ptq_queue_unlink(bus, name_of(queue, name, first, ""), force);
    if (err != PTQ_OK)
        return err;
    err = ptq_queue_unlink(bus, name_of(queue, name, pti_end_other(first), ""), force);
    return err == PTQ_EBUSY ? PTQ_OK : err; /* without force: that one is of a newer pipe */
}

/* -- made ----------------------------------------------------------------------------------------------------- */

/* Of a pipe that is there: has nobody an end of it, and is there nothing for whoever opens its point? */
static bool is_left(ptq_pipe *probe)
{
    struct ptq_queue_stats stats;
    uint64_t word = pti_load_seq(probe->word);
    if (pti_queue_is_held(probe->in, PTQ_SIDE_PUT) || pti_queue_is_held(probe->in, PTQ_SIDE_GET))
        return false;
    if (pti_end_is_over(word, PTI_POINT) || pti_end_state(word, PTI_POINT) == PTI_END_HELD || pti_end_lives(word, PTI_ANCHOR) == 0)
        return true;
    return ptq_queue_stats(probe->in, &stats) == PTQ_OK && stats.ready == 0;
}

/* Removes one of that name that owners left who are gone.  PTQ_EEXIST: it is not so; PTQ_EBUSY: somebody looks at it just now. */
static enum ptq_err replace(ptq_bus *bus, const char *name)
{
    queue_name queue;
    struct ptq_queue_options options = {.mode = PTQ_ATTACH};
    ptq_pipe *probe = new_end(bus, PTI_POINT);
    if (probe == NULL)
        return PTQ_ENOMEM;
    enum ptq_err err = ptq_queue_open(bus, name_of(queue, name, PTI_POINT, HERE), &options, &probe->in);
    if (err == PTQ_OK) {
        probe->word = pti_queue_word(probe->in);
        err = probe->word != NULL && is_left(probe) ? PTQ_OK : PTQ_EEXIST;
    }
    pti_pipe_drop(probe);
    if (err == PTQ_OK) /* without force: whoever opened it meanwhile keeps it */
        err = ptq_queue_unlink(bus, name_of(queue, name, PTI_POINT, ""), false);
    return err == PTQ_ENOENT || err == PTQ_EGONE ? PTQ_OK : err;
}

/* The way to the point, exclusively: whoever made it has the name. */
static enum ptq_err make_gate(ptq_pipe *anchor, struct ptq_queue_options *queue)
{
    queue_name name;
    name_of(name, anchor->name, PTI_POINT, HERE);
    for (int i = 0; i < TRIES; i++) {
        enum ptq_err err = open_queue(anchor, name, queue, true);
        if (err != PTQ_EEXIST)
            return err;
        err = replace(anchor->bus, anchor->name);
        if (err == PTQ_EBUSY && i + 1 < TRIES) {
            (void)clock_nanosleep(CLOCK_MONOTONIC, 0, &(struct timespec){.tv_nsec = LOOK_FIRST_NS}, NULL);
            continue;
        }
        if (err == PTQ_EEXIST || err == PTQ_EBUSY)
            return pti_error(queue->error, PTQ_EEXIST, "pipe '%s' exists, and somebody has an end of it, or messages wait in it for who opens its "
                             "point; choose another name, or remove it with ptq_pipe_unlink", anchor->name);
        if (err != PTQ_OK)
            return pti_error(queue->error, err, "pipe '%s': what is left of an earlier one of that name cannot be removed: %s", anchor->name,
                             ptq_strerror(err));
    }
    return pti_error(queue->error, PTQ_EEXIST, "pipe '%s' is made and removed by others; choose another name", anchor->name);
}

/* Nobody else is there to have it. */
static enum ptq_err claim(ptq_pipe *pipe, struct ptq_error *error)
{
    enum ptq_err err = pti_queue_claim(pipe->in, PTI_DEADLINE_NOW);
    return err == PTQ_OK ? err : pti_error(error, err, "pipe '%s': the right to receive cannot be had: %s", pipe->name, ptq_strerror(err));
}

/* What is there of that name is left over, for the gate is ours. */
static enum ptq_err make_back(ptq_pipe *anchor, struct ptq_queue_options *queue)
{
    queue_name name;
    enum ptq_err err = ptq_queue_unlink(anchor->bus, name_of(name, anchor->name, PTI_ANCHOR, ""), true);
    if (err == PTQ_OK)
        err = open_queue(anchor, name_of(name, anchor->name, PTI_ANCHOR, HERE), queue, false);
    return err == PTQ_OK ? claim(anchor, queue->error) : err;
}

/* The point, for its maker: nobody else locks it as long as there is no pipe. */
static enum ptq_err make_point(const ptq_pipe *anchor, ptq_pipe *point, struct ptq_error *error)
{
    queue_name name;
    struct ptq_queue_options queue = {.mode = PTQ_ATTACH, .error = error};
    enum ptq_err err = open_queue(point, name_of(name, anchor->name, PTI_POINT, HERE), &queue, false);
    if (err == PTQ_OK && anchor->in != NULL)
        err = open_queue(point, name_of(name, anchor->name, PTI_ANCHOR, HERE), &queue, true);
    if (err != PTQ_OK)
        return err;
    memcpy(point->name, anchor->name, sizeof point->name);
    point->word = pti_queue_word(point->in);
    return claim(point, error);
}

/* `point` may be NULL. */
static enum ptq_err make_ends(ptq_pipe *anchor, ptq_pipe *point, const struct ptq_pipe_options *o)
{
    struct ptq_queue_options queue = {.mode = PTQ_CREATE, .capacity = o->capacity, .item_size = o->item_size, .file_mode = o->file_mode,
                                      .group = o->group, .max_endpoints = o->max_endpoints != 0 ? o->max_endpoints : ENDPOINTS,
                                      .ephemeral = true, .max_deliveries = PTQ_NEVER, .error = o->error};
    enum ptq_err err = make_gate(anchor, &queue);
    if (err != PTQ_OK)
        return err;
    if (!o->one_way)
        err = make_back(anchor, &queue);
    if (err == PTQ_OK && point != NULL)
        err = make_point(anchor, point, o->error);
    if (err != PTQ_OK)
        return err;
    uint64_t word = pti_end_with(o->one_way ? PTI_PIPE_ONE_WAY : 0, PTI_ANCHOR, PTI_END_HELD);
    anchor->word = pti_queue_word(anchor->out);
    pti_store_seq(anchor->word, point != NULL ? pti_end_with(word, PTI_POINT, PTI_END_HELD) : word); /* law 3 */
    return PTQ_OK;
}

static bool choose_name(const char *asked, char *name, size_t size)
{
    uint64_t number[2];
    if (asked != NULL) {
        (void)snprintf(name, size, "%s", asked);
        return true;
    }
    if (getrandom(number, sizeof number, 0) != (ssize_t)sizeof number)
        return false;
    (void)snprintf(name, size, "pipe-%016llx%016llx", (unsigned long long)number[0], (unsigned long long)number[1]);
    return true;
}

static enum ptq_err make(ptq_bus *bus, const struct ptq_pipe_options *o, ptq_pipe **ret_anchor, ptq_pipe **ret_point)
{
    ptq_pipe *anchor = new_end(bus, PTI_ANCHOR), *point = ret_point != NULL ? new_end(bus, PTI_POINT) : NULL;
    enum ptq_err err = PTQ_OK;
    if (anchor == NULL || (ret_point != NULL && point == NULL))
        err = pti_error(o->error, PTQ_ENOMEM, "out of memory");
    else if (!choose_name(o->name, anchor->name, sizeof anchor->name))
        err = pti_error(o->error, PTQ_ESYS, "the system has no random bytes for a name; choose one");
    else
        err = make_ends(anchor, point, o);
    if (err != PTQ_OK) {
        pti_pipe_drop(point);
        if (anchor != NULL && anchor->out != NULL) /* the gate is ours */
            pti_pipe_drop_last(anchor);
        else
            pti_pipe_drop(anchor);
        return err;
    }
    *ret_anchor = anchor;
    if (ret_point != NULL)
        *ret_point = point;
    return PTQ_OK;
}

enum ptq_err ptq_pipe_pair(ptq_bus *bus, const struct ptq_pipe_options *options, ptq_pipe **ret_anchor, ptq_pipe **ret_point)
{
    static const struct ptq_pipe_options none;
    const struct ptq_pipe_options *o = options != NULL ? options : &none;
    if (bus == NULL || ret_anchor == NULL)
        return pti_error(o->error, PTQ_EINVAL, "a pipe needs a bus and a place for its anchor");
    if (o->name != NULL && !name_is_valid(o->name))
        return pti_error(o->error, PTQ_EINVAL, "'%.200s' is no name of a pipe: 1 to %d of A-Z a-z 0-9 . _ -, not beginning with a dot",
                         o->name, PTQ_PIPE_NAME_MAX);
    if (o->item_size > PTQ_ITEM_MAX)
        return pti_error(o->error, PTQ_EINVAL, "item_size %u is too large: at most %u", o->item_size, PTQ_ITEM_MAX);
    return make(bus, o, ret_anchor, ret_point);
}

/* -- opened --------------------------------------------------------------------------------------------------- */

struct opening {
    const char *name; /* as it was asked for */
    int64_t deadline, pause_ns;
    struct ptq_error *error;
};

/* What it answered is `err`, which stays so after the deadline.  PTQ_OK: try again. */
static enum ptq_err wait_a_little(struct opening *opening, enum ptq_err err)
{
    int64_t now = pti_now_ns(), until = now + opening->pause_ns;
    if (now >= opening->deadline)
        return err;
    until = until < opening->deadline ? until : opening->deadline;
    struct timespec time = {.tv_sec = until / PTI_NS_PER_S, .tv_nsec = until % PTI_NS_PER_S};
    opening->pause_ns = opening->pause_ns < LOOK_LAST_NS ? 2 * opening->pause_ns : LOOK_LAST_NS;
    if (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL) == EINTR)
        return pti_error(opening->error, PTQ_EINTR, "a signal handler ran while pipe '%.200s' was waited for", opening->name);
    return PTQ_OK;
}

static enum ptq_err none_there(const struct opening *opening)
{
    return pti_error(opening->error, PTQ_ENOENT, "there is no pipe '%.200s' on this host in this run; make it with ptq_pipe_pair, or wait for it "
                     "with wait_ms", opening->name);
}

/* Its bare name, from the queue's. */
static bool take_name(ptq_pipe *point)
{
    const char *queue = ptq_queue_name(point->in);
    size_t length = strlen(queue), suffix = strlen(PTI_PIPE_TO_POINT);
    if (length <= suffix || length - suffix > PTQ_PIPE_NAME_MAX || strcmp(queue + length - suffix, PTI_PIPE_TO_POINT) != 0)
        return false;
    memcpy(point->name, queue, length - suffix);
    return true;
}

static enum ptq_err open_gate(ptq_pipe *point, const struct opening *opening)
{
    queue_name name;
    bool is_ref = strchr(opening->name, '#') != NULL;
    struct ptq_queue_options options = {.mode = PTQ_ATTACH, .error = opening->error};
    if (!is_ref && !name_is_valid(opening->name))
        return pti_error(opening->error, PTQ_EINVAL, "'%.200s' is no name of a pipe, nor what ptq_pipe_give wrote", opening->name);
    if (!is_ref)
        name_of(name, opening->name, PTI_POINT, HERE);
    enum ptq_err err = open_queue(point, is_ref ? opening->name : name, &options, false);
    if (err == PTQ_ENOENT)
        return none_there(opening);
    if (err != PTQ_OK)
        return err;
    point->word = pti_queue_word(point->in);
    if (point->word == NULL || !take_name(point))
        return pti_error(opening->error, PTQ_EINVAL, "'%.200s' is no pipe of this host; pipes do not reach others", opening->name);
    return PTQ_OK;
}

static enum ptq_err damaged(const ptq_pipe *point, const struct opening *opening)
{
    return pti_error(opening->error, PTQ_ECORRUPT, "pipe '%s': its memory holds what no pipe writes", point->name);
}

/* With the gate in hand: is the point to be had?  If its last owner died, it is dead from now on. */
static enum ptq_err judge(ptq_pipe *point, const struct opening *opening)
{
    uint64_t word = pti_load_seq(point->word);
    switch (pti_end_state(word, PTI_POINT)) {
    case PTI_END_FREE:
        return PTQ_OK;
    case PTI_END_CLOSED:
        return pti_error(opening->error, PTQ_EENDED, "the point of pipe '%s' was closed", point->name);
    case PTI_END_HELD:
        (void)pti_end_change(point->word, &word, PTI_POINT, PTI_END_DEAD); /* who had it had the gate, too */
        __attribute__((fallthrough));
    case PTI_END_DEAD:
        return pti_error(opening->error, PTQ_EDIED, "whoever had the point of pipe '%s' died", point->name);
    default:
        return damaged(point, opening);
    }
}

/* As long as there is no pipe (law 3) the gate's lock is left alone: its maker may be about to take it. */
static enum ptq_err claim_gate(ptq_pipe *point, const struct opening *opening)
{
    if (pti_end_lives(pti_load_seq(point->word), PTI_ANCHOR) == 0)
        return none_there(opening);
    enum ptq_err err = pti_queue_claim(point->in, PTI_DEADLINE_NOW);
    if (err == PTQ_OK || (err == PTQ_EBUSY && pti_end_is_over(pti_load_seq(point->word), PTI_POINT))) /* it is let go in a moment */
        return judge(point, opening);
    if (err == PTQ_EBUSY)
        return pti_error(opening->error, err, "somebody has the point of pipe '%s'; wait until it is given, with wait_ms", point->name);
    return pti_error(opening->error, err, "the point of pipe '%s' cannot be had: %s", point->name, ptq_strerror(err));
}

static enum ptq_err take_point(ptq_pipe *point, const struct opening *opening)
{
    queue_name name;
    struct ptq_queue_options options = {.mode = PTQ_ATTACH, .error = opening->error};
    enum ptq_err err = claim_gate(point, opening);
    uint64_t word = pti_load_seq(point->word);
    if (err == PTQ_OK && !(word & PTI_PIPE_ONE_WAY))
        err = open_queue(point, name_of(name, point->name, PTI_ANCHOR, HERE), &options, true);
    if (err != PTQ_OK)
        return err;
    return pti_end_change(point->word, &word, PTI_POINT, PTI_END_HELD) ? PTQ_OK : damaged(point, opening); /* law 2: it is ours to change */
}

static enum ptq_err try_open(ptq_bus *bus, const struct opening *opening, ptq_pipe **ret_point)
{
    ptq_pipe *point = new_end(bus, PTI_POINT);
    if (point == NULL)
        return pti_error(opening->error, PTQ_ENOMEM, "out of memory");
    enum ptq_err err = open_gate(point, opening);
    if (err == PTQ_OK)
        err = take_point(point, opening);
    if (err != PTQ_OK) {
        pti_pipe_drop(point);
        return err;
    }
    *ret_point = point;
    return PTQ_OK;
}

enum ptq_err ptq_pipe_open(ptq_bus *bus, const char *name, const struct ptq_pipe_open_options *options, ptq_pipe **ret_point)
{
    int wait_ms = options != NULL ? options->wait_ms : 0;
    struct opening opening = {.name = name, .deadline = pti_deadline(wait_ms), .pause_ns = LOOK_FIRST_NS,
                              .error = options != NULL ? options->error : NULL};
    if (bus == NULL || name == NULL || ret_point == NULL)
        return pti_error(opening.error, PTQ_EINVAL, "a pipe needs a bus, a name and a place for its point");
    for (;;) {
        enum ptq_err err = try_open(bus, &opening, ret_point);
        if (err != PTQ_ENOENT && err != PTQ_EBUSY)
            return err;
        err = wait_a_little(&opening, err);
        if (err != PTQ_OK)
            return err;
    }
}
