/* mover.c -- carries the messages of a queue of this bus to another home.
 *
 *      source --take--> loads, in order --start--> the home answers --ack, in order--> gone, and the home may forget the fact
 *
 * Laws.
 * 1. Nothing is acked at the source before its home has answered that it is there, or it was saved elsewhere.
 * 2. Loads are acked in the order in which they were leased, and the home is told only of positions below all that are leased.
 * 3. Before the first lease what a dead mover held is back in its place: a position that the home is told to forget never comes again.
 * 4. What was asked and is not known to be there is asked again by its key; flagged, if the home has forgotten the stream since.
 * 5. A large load, and the end, go alone: nothing may overtake them while they wait.
 * 6. Of several movers of one source one takes at a time, and what it leaves is back before another does: else that would pass it.
 */
#include "remote/mover_own.h"

#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "os/event.h"
#include "queue/queue.h"
#include "remote/port.h"
#include "remote/remote.h"
#include "base/bytes.h"

#define TELL_AFTER 32u                  /* positions that are acked, until the home is told */
#define LOOK_MS 500
#define LOOK_DOWN_MS 50
#define DRAIN_NS PTI_NS_PER_S
#define CLOSE_NS PTI_NS_PER_S

/* The same is said once. */
void pti_mover_say(struct pti_mover *mover, const char *format, ...)
{
    char line[sizeof mover->last_said];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    if (strcmp(line, mover->last_said) == 0)
        return;
    memcpy(mover->last_said, line, sizeof line);
    if (mover->move.said != NULL)
        mover->move.said(mover->move.context, line);
}

/* ---- what the home, and others, may know ---- */

static uint64_t lowest(const struct pti_mover *mover)
{
    const struct pti_load *load;
    uint64_t low = mover->settled + 1;
    bool any = false;

    TAILQ_FOREACH(load, &mover->flying, listed) {
        if (!any || pti_position_compare(load->position, low) < 0)
            low = load->position;
        any = true;
    }
    return low;
}

/* The home need not know any more what is gone from the source.  Only of a stream that it knows as keyed. */
static void tell_home(struct pti_mover *mover)
{
    struct pti_remote *remote = pti_remote_of(mover->target);
    struct pti_conn *conn = remote->conn;
    uint8_t bytes[8];

    pti_store64(bytes, lowest(mover) - 1);
    mover->untold = 0;
    pthread_mutex_lock(&conn->mutex);
    if (conn->state == PTI_CONN_UP && remote->state == PTI_REMOTE_OPEN && remote->streamed &&
        mover->keyed_at == 1 + mover->forgets + remote->forgotten)
        (void)!pti_outbox_push_copy(&conn->outbox, &remote->lane, PTI_FRAME_RECEIVED, PTI_FRAME_KEYED, 0, bytes, sizeof bytes);
    pthread_mutex_unlock(&conn->mutex);
    pti_conn_kick(conn);
}

static void tell_settled(struct pti_mover *mover, bool any)
{
    uint64_t head;

    if (mover->untold >= TELL_AFTER || (mover->untold > 0 && mover->count == 0))
        tell_home(mover);
    if (mover->move.settled == NULL)
        return;
    if (any)
        mover->move.settled(mover->move.context, lowest(mover) - 1);
    if (mover->dry && mover->count == 0 && !mover->idle_said && mover->source->ops->head(mover->source, &head) == PTQ_OK) {
        mover->move.settled(mover->move.context, head - 1); /* taken by nobody else, and nothing is held */
        mover->idle_said = true;
    }
}

/* ---- the thread ---- */

static void wait_for_news(struct pti_mover *mover, int64_t at_most_ns)
{
    int64_t now = pti_now_ns(), until = now + at_most_ns;
    struct pollfd fds[2] = {{.fd = mover->event, .events = POLLIN}, {.fd = -1, .events = POLLIN}};

    if (mover->dry && mover->target != NULL && pti_load_relaxed(&mover->connected) && !mover->stalled && pti_mover_room(mover) > 0 && now >= mover->take_at)
        fds[1].fd = mover->source_fd;
    if (mover->take_at > now && mover->take_at < until)
        until = mover->take_at;
    if (mover->start_at > now && mover->start_at < until)
        until = mover->start_at;
    (void)!poll(fds, 2, (int)((until - now + PTI_NS_PER_MS - 1) / PTI_NS_PER_MS));
    pti_event_clear(mover->event);
}

static void close_target(struct pti_mover *mover, bool keeps)
{
    struct pti_remote *remote = pti_remote_of(mover->target);

    remote->keeps_stream = keeps;
    mover->forgets += remote->forgotten;
    mover->target->ops->close(mover->target, pti_now_ns() + CLOSE_NS);
    mover->target = NULL;
    pti_store_relaxed(&mover->connected, false);
}

static bool open_target(struct pti_mover *mover)
{
    struct ptq_error error = {0};
    struct pti_open open = mover->move.open;

    open.stream = mover->stream;
    enum ptq_err err = pti_remote_open(mover->move.bus, mover->url, mover->run[0] != '\0' ? mover->run : NULL, mover->name, &open,
                                       &error, &mover->target);
    if (err == PTQ_OK && !mover->target->remote) {
        mover->target->ops->close(mover->target, PTI_DEADLINE_NOW);
        snprintf(error.text, sizeof error.text, "its home has the memory of this bus: nothing is to be carried");
        err = PTQ_EINVAL;
    }
    if (err == PTQ_OK) {
        pti_mover_say(mover, "event=connected queue=%s target=%s", mover->source_name, mover->target->where);
        return true;
    }
    mover->target = NULL;
    pti_mover_say(mover, "event=waiting queue=%s target=%s url=%s why=\"%.120s\"", mover->source_name, mover->name, mover->url, error.text);
    return false;
}

/* The handle is of no use any more: the queue is opened anew by its name, if it is there, or comes again. */
static bool has_failed(struct pti_mover *mover)
{
    struct pti_remote *remote = pti_remote_of(mover->target);

    pthread_mutex_lock(&remote->conn->mutex);
    bool failed = remote->state == PTI_REMOTE_FAILED;
    pti_store_relaxed(&mover->connected, remote->conn->state == PTI_CONN_UP && remote->state == PTI_REMOTE_OPEN);
    pthread_mutex_unlock(&remote->conn->mutex);
    return failed && mover->under_way == 0;
}

/* Law 3. */
static bool get_ready(struct pti_mover *mover)
{
    struct pti_port *source = mover->source;
    struct ptq_queue_stats stats;

    enum ptq_err claimed = mover->move.claims ? source->ops->claim(source, pti_now_ns() + PTI_MOVER_REST_NS) : PTQ_OK;

    if (claimed != PTQ_OK && claimed != PTQ_EBUSY && claimed != PTQ_TIMEDOUT && claimed != PTQ_EINTR)
        wait_for_news(mover, PTI_MOVER_REST_NS); /* it was taken away: whoever started us sees to that */
    if (claimed != PTQ_OK)
        return false;
    for (;;) {
        source->ops->sweep(source);
        if (source->ops->stats(source, &stats) == PTQ_OK && stats.dead_endpoints == 0)
            return true;
        if (pti_load_seq(&mover->stopping))
            return false;
        wait_for_news(mover, 10 * PTI_NS_PER_MS);
    }
}

static void run_round(struct pti_mover *mover)
{
    bool settled = pti_mover_settle_some(mover);

    pti_mover_begin_again(mover);
    tell_settled(mover, settled);
    if (has_failed(mover)) {
        pti_mover_return_left(mover);
        close_target(mover, true);
        return;
    }
    bool took = pti_mover_take_some(mover);
    pti_mover_start_some(mover);
    if (!settled && !took)
        wait_for_news(mover, (pti_load_relaxed(&mover->connected) ? LOOK_MS : LOOK_DOWN_MS) * PTI_NS_PER_MS);
}

/* What is under way may still be answered. */
static void drain(struct pti_mover *mover)
{
    int64_t until = pti_now_ns() + DRAIN_NS;

    pti_mover_end_taking(mover);
    while (mover->under_way > 0 && pti_now_ns() < until) {
        if (!pti_mover_settle_some(mover))
            wait_for_news(mover, 20 * PTI_NS_PER_MS);
    }
    (void)pti_mover_settle_some(mover);
}

static void stop_load(struct pti_mover *mover, struct pti_load *load)
{
    if (load->call != NULL) {
        enum ptq_err code = pti_call_stop(&load->call);
        pti_mover_take_answer(mover, load, code, code == PTQ_OK && load->call != NULL ? load->call->value : 0);
        pti_call_free(load->call);
        load->call = NULL;
        pti_store_release(&load->answered, true);
    }
    if (pti_load_acquire(&load->answered) && load->code == PTQ_OK) {
        pti_mover_tell_moved(mover, load);
        pti_mover_ack(mover, load);
    }
}

/* Law 4: while something goes back that was asked the home is to remember. */
static void land(struct pti_mover *mover)
{
    struct pti_load *load, *next;
    bool keeps = false;

    TAILQ_FOREACH(load, &mover->flying, listed)
        stop_load(mover, load);
    for (load = TAILQ_FIRST(&mover->flying); load != NULL; load = next) {
        next = TAILQ_NEXT(load, listed);
        keeps |= load->count > 0;
        if (load->count == 0)
            pti_mover_drop(mover, load);
    }
    if (mover->target != NULL && mover->untold > 0)
        tell_home(mover);
    while ((load = TAILQ_LAST(&mover->flying, pti_loads)) != NULL) {
        pti_mover_give_back(mover, load);
        pti_mover_drop(mover, load);
    }
    if (mover->target != NULL)
        close_target(mover, keeps);
}

static void *carry(void *context)
{
    struct pti_mover *mover = context;
    bool ready = false;

    while (!ready && !pti_load_seq(&mover->stopping))
        ready = get_ready(mover);
    while (!pti_load_seq(&mover->stopping)) {
        if (mover->target != NULL || open_target(mover))
            run_round(mover);
        else
            wait_for_news(mover, PTI_MOVER_AGAIN_NS);
    }
    if (mover->target != NULL)
        drain(mover);
    land(mover);
    return NULL;
}

/* ---- life ---- */

static void free_mover(struct pti_mover *mover)
{
    if (mover->source != NULL)
        mover->source->ops->close(mover->source, PTI_DEADLINE_NOW);
    if (mover->event >= 0)
        close(mover->event);
    free(mover);
}

static void fill_mover(struct pti_mover *mover, const struct pti_move *move)
{
    mover->move = *move;
    snprintf(mover->source_name, sizeof mover->source_name, "%s", move->source);
    snprintf(mover->url, sizeof mover->url, "%s", move->url);
    snprintf(mover->run, sizeof mover->run, "%s", move->run != NULL ? move->run : "");
    snprintf(mover->name, sizeof mover->name, "%s", move->name);
    mover->move.open.options.error = NULL;
    mover->move.open.options.spec = NULL;
    mover->move.open.options.group = NULL;
    mover->move.in_flight = move->in_flight > 0 && move->in_flight < PTI_MOVE_MOST ? move->in_flight : PTI_MOVE_MOST;
    mover->event = -1;
    TAILQ_INIT(&mover->flying);
    TAILQ_INIT(&mover->left);
}

enum ptq_err pti_mover_start(const struct pti_move *move, struct ptq_error *error, struct pti_mover **ret_mover)
{
    struct pti_mover *mover = calloc(1, sizeof *mover);
    struct pti_open open = {.options = {.mode = PTQ_ATTACH, .flags = PTQ_CONSUMER}};

    if (mover == NULL)
        return pti_error(error, PTQ_ENOMEM, "no memory to carry queue '%s'", move->source);
    fill_mover(mover, move);
    enum ptq_err err = pti_carriers.open_local(move->bus, move->source, &open, error, &mover->source);
    if (err == PTQ_OK) {
        memcpy(mover->stream, move->stream != NULL ? move->stream : mover->source->id, sizeof mover->stream);
        bool made = pti_event_new(false, &mover->event) == 0 &&
                    mover->source->ops->fd(mover->source, PTQ_SIDE_GET, &mover->source_fd) == PTQ_OK &&
                    pthread_create(&mover->thread, NULL, carry, mover) == 0;
        if (!made)
            err = pti_error(error, PTQ_ENOMEM, "no descriptors or threads to carry queue '%s'", move->source);
    }
    if (err != PTQ_OK) {
        free_mover(mover);
        return err;
    }
    *ret_mover = mover;
    return PTQ_OK;
}

void pti_mover_stop(struct pti_mover *mover)
{
    if (mover == NULL)
        return;
    pti_store_seq(&mover->stopping, true);
    pti_event_set(mover->event);
    pthread_join(mover->thread, NULL);
    free_mover(mover);
}


void pti_mover_look(struct pti_mover *mover, struct pti_mover_state *ret_state)
{
    *ret_state = (struct pti_mover_state){.connected = pti_load_relaxed(&mover->connected),
                                          .moved = pti_load_relaxed(&mover->moved),
                                          .refused = pti_load_relaxed(&mover->refused),
                                          .in_flight = pti_load_relaxed(&mover->in_flight)};
}

struct pti_port *pti_mover_source(struct pti_mover *mover) { return mover->source; }
