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
 */
#include "remote/mover.h"

#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

#include "base/time.h"
#include "os/event.h"
#include "queue/header.h"
#include "queue/queue.h"
#include "remote/call.h"
#include "remote/port.h"
#include "remote/remote.h"
#include "remote/step.h"
#include "wire/bytes.h"

#define TAKE_MOST 64
#define BYTES_MOST (UINT64_C(16) << 20) /* in flight */
#define ALONE_BYTES (48u << 10)         /* what is larger goes in pieces, and may be told to come again */
#define TELL_AFTER 32u                  /* positions that are acked, until the home is told */
#define LEFT_MOST 256
#define REST_NS (250 * PTI_NS_PER_MS)
#define AGAIN_NS PTI_NS_PER_S
#define LOOK_MS 500
#define LOOK_DOWN_MS 50
#define DRAIN_NS PTI_NS_PER_S
#define CLOSE_NS PTI_NS_PER_S
#define NEVER_ASKED UINT64_MAX

/* What shares a position. */
struct load {
    TAILQ_ENTRY(load) listed;
    struct pti_mover *mover;
    uint64_t position;
    struct ptq_msg **msgs;
    struct pti_put *puts;
    size_t count, room, bytes;
    struct pti_call *call; /* NULL: not under way */
    _Atomic bool answered;
    uint64_t asked_at;     /* how often the home had forgotten, when it was asked first */
    bool asked;            /* by this mover */
    enum ptq_err code;
    uint64_t value;
};
TAILQ_HEAD(loads, load);

struct pti_mover {
    struct pti_move move;
    char source_name[PTQ_NAME_MAX + 32], url[256], run[PTQ_NAME_MAX + 1], name[PTQ_NAME_MAX + 1];
    uint8_t stream[16];
    struct pti_port *source, *target;
    int source_fd, event;
    pthread_t thread;
    _Atomic bool stopping;

    /* the thread's own */
    struct loads flying, left;
    struct load *open;      /* the last that was taken, which may not be whole */
    unsigned count, left_count, under_way;
    uint64_t bytes;
    bool stalled;           /* something came back: nothing is started until all are answered */
    bool dry;               /* there was nothing to be taken, when it was looked at last */
    int64_t take_at, start_at; /* not before */
    uint64_t forgets;       /* of handles of the target that were closed */
    uint64_t settled;       /* the position of what was acked last */
    unsigned untold;        /* acked, and the home was not told */
    bool idle_said;

    /* under the mutex of the target's connection */
    uint64_t keyed_at;      /* 1 + how often it had forgotten, when it answered a put last */

    char last_said[300];
    _Atomic uint64_t moved, refused;
    _Atomic unsigned in_flight;
    _Atomic bool connected;
};

static void say(struct pti_mover *mover, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The same is said once. */
static void say(struct pti_mover *mover, const char *format, ...)
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

/* ---- loads ---- */

static void free_load(struct load *load)
{
    pti_call_free(load->call);
    free(load->msgs);
    free(load->puts);
    free(load);
}

static bool grow(struct load *load)
{
    size_t room = load->room > 0 ? 2 * load->room : 1;

    if (load->count < load->room)
        return true;
    struct ptq_msg **msgs = realloc(load->msgs, room * sizeof *msgs);
    if (msgs != NULL)
        load->msgs = msgs;
    struct pti_put *puts = msgs != NULL ? realloc(load->puts, room * sizeof *puts) : NULL;
    if (puts == NULL)
        return false;
    load->puts = puts;
    load->room = room;
    return true;
}

static uint16_t ttl_left(struct pti_mover *mover, const struct ptq_msg *msg)
{
    return mover->source->ops->left != NULL ? mover->source->ops->left(mover->source, msg) : 0;
}

static struct pti_put put_of(struct pti_mover *mover, const struct ptq_msg *msg)
{
    return (struct pti_put){.data = msg->size > 0 ? msg->data : NULL,
                            .size = msg->size,
                            .kind = msg->kind,
                            .type = msg->type,
                            .ttl = ttl_left(mover, msg),
                            .headers = msg->headers,
                            .header_bytes = msg->headers > 0 ? pti_headers_of(msg) : NULL};
}

static void add_message(struct pti_mover *mover, struct load *load, struct ptq_msg *msg, const struct pti_put *put)
{
    size_t bytes = put->size + 4u * put->headers + 32;

    load->msgs[load->count] = msg;
    load->puts[load->count++] = *put;
    load->bytes += bytes;
    mover->bytes += bytes;
    if (msg->redelivered)
        load->asked_at = 0; /* by a mover before this one, perhaps */
}

/* Back to its place: flagged, if it was asked, else as if it had not been taken. */
static void give_back(struct pti_mover *mover, struct load *load)
{
    const struct pti_port_ops *ops = mover->source->ops;

    while (load->count > 0) {
        struct ptq_msg *msg = load->msgs[--load->count];
        if (mover->move.left != NULL)
            mover->move.left(mover->move.context, msg);
        if (load->asked)
            (void)!ops->nack(mover->source, msg, 0);
        else
            (void)!ops->untake(mover->source, msg);
    }
}

static void drop_load(struct pti_mover *mover, struct load *load)
{
    TAILQ_REMOVE(&mover->flying, load, listed);
    mover->count--;
    mover->bytes -= load->bytes;
    pti_store_relaxed(&mover->in_flight, mover->count);
    if (mover->open == load)
        mover->open = NULL;
    free_load(load);
}

/* ---- from the source ---- */

static struct load *new_load(struct pti_mover *mover, struct ptq_msg *msg, struct pti_put *put)
{
    struct load *load = calloc(1, sizeof *load);

    if (load == NULL || !grow(load)) {
        free(load);
        return NULL;
    }
    load->mover = mover;
    load->position = msg->position;
    load->asked_at = NEVER_ASKED;
    if (mover->move.look == NULL || mover->move.look(mover->move.context, msg, put) == PTI_MOVE_GO) {
        TAILQ_INSERT_TAIL(&mover->flying, load, listed);
        pti_store_relaxed(&mover->in_flight, ++mover->count);
    } else {
        TAILQ_INSERT_TAIL(&mover->left, load, listed);
        mover->left_count++;
    }
    return load;
}

/* False: no memory. */
static bool take_in(struct pti_mover *mover, struct ptq_msg *msg)
{
    struct pti_put put = put_of(mover, msg);
    struct load *load = mover->open;

    if (load != NULL && load->position == msg->position) {
        if (!grow(load))
            return false;
        if (mover->move.look != NULL)
            (void)mover->move.look(mover->move.context, msg, &put);
    } else if ((load = mover->open = new_load(mover, msg, &put)) == NULL) {
        return false;
    }
    add_message(mover, load, msg, &put);
    return true;
}

/* What is left where it is goes back, the last first, and is not looked at for a while. */
static void return_left(struct pti_mover *mover)
{
    struct load *load;

    if (TAILQ_EMPTY(&mover->left))
        return;
    while ((load = TAILQ_LAST(&mover->left, loads)) != NULL) {
        TAILQ_REMOVE(&mover->left, load, listed);
        mover->bytes -= load->bytes;
        give_back(mover, load);
        free_load(load);
    }
    mover->left_count = 0;
    mover->take_at = pti_now_ns() + REST_NS;
}

/* So many more may be taken: a good part of all, or none. */
static unsigned count_room(const struct pti_mover *mover)
{
    unsigned room = mover->move.in_flight - mover->count;

    if (mover->count >= mover->move.in_flight || mover->bytes >= BYTES_MOST || mover->left_count >= LEFT_MOST)
        return 0;
    return 4 * room < mover->move.in_flight ? 0 : room < TAKE_MOST ? room : TAKE_MOST;
}

/* There is no room, and the last that was taken may have more of its batch behind it. */
static bool is_whole(struct pti_mover *mover, struct ptq_msg *msg)
{
    if (msg->position == mover->open->position)
        return false;
    (void)!mover->source->ops->untake(mover->source, msg);
    return true;
}

/* A batch comes into being as a whole: where less was taken than was asked for, what was taken is whole. */
static void end_taking(struct pti_mover *mover)
{
    mover->open = NULL;
    return_left(mover);
}

/* True: something was taken. */
static bool take_some(struct pti_mover *mover)
{
    struct pti_port *source = mover->source;
    struct ptq_msg *msgs[TAKE_MOST];
    size_t count = 0, done = 0, room = count_room(mover), most = room > 0 ? room : 1;

    if (mover->stalled || (mover->open == NULL && room == 0) || pti_now_ns() < mover->take_at || !pti_load_relaxed(&mover->connected))
        return false;
    enum ptq_err err = source->ops->take(source, most, PTI_DEADLINE_NOW, msgs, &count);
    mover->dry = err != PTQ_OK;
    if (err == PTQ_OK && room == 0 && is_whole(mover, msgs[0])) {
        end_taking(mover);
        return true;
    }
    if (err == PTQ_OK)
        pti_step(PTI_STEP_MOVE_LEASED);
    else if (err != PTQ_EMPTY && err != PTQ_END)
        mover->take_at = pti_now_ns() + REST_NS;
    while (done < count && take_in(mover, msgs[done]))
        done++;
    for (size_t i = count; i > done; i--)
        (void)!source->ops->untake(source, msgs[i - 1]);
    if (done < count)
        mover->take_at = pti_now_ns() + REST_NS; /* no memory */
    if (done < most)
        end_taking(mover);
    if (done > 0)
        mover->idle_said = false;
    return done > 0;
}

/* ---- to the target ---- */

static uint64_t count_forgets(struct pti_mover *mover)
{
    struct pti_remote *remote = pti_remote_of(mover->target);

    pthread_mutex_lock(&remote->conn->mutex);
    uint64_t forgets = mover->forgets + remote->forgotten;
    pthread_mutex_unlock(&remote->conn->mutex);
    return forgets;
}

/* With the connection's mutex held, on any thread. */
static void on_answer(struct pti_call *call, void *context)
{
    struct load *load = context;
    struct pti_mover *mover = load->mover;

    if (call->code == PTQ_OK && call->keyed)
        mover->keyed_at = 1 + mover->forgets + call->remote->forgotten;
    pti_store_release(&load->answered, true);
    pti_event_set(mover->event);
}

static bool is_end(const struct load *load)
{
    return load->msgs[0]->kind == PTI_KIND_END;
}

static bool goes_alone(const struct load *load)
{
    return load->bytes > ALONE_BYTES || is_end(load);
}

static struct pti_call *make_end(struct pti_mover *mover)
{
    struct pti_call *call = pti_call_new(pti_remote_of(mover->target), PTI_FRAME_CALL);

    if (call == NULL)
        return NULL;
    call->verb = PTI_CALL_END;
    pti_write_call(call->head, &(struct pti_call_message){PTI_CALL_END, 0, 0});
    pti_call_set_head(call, PTI_CALL_BYTES, 4);
    return call;
}

static struct pti_call *make_put(struct pti_mover *mover, struct load *load)
{
    struct pti_call *call = pti_call_for_put(pti_remote_of(mover->target), load->puts, load->count, PTI_DEADLINE_NEVER);
    uint64_t forgets = count_forgets(mover);

    if (call == NULL)
        return NULL;
    pti_call_set_key(call, load->position, 0);
    for (size_t i = 0; i < load->count; i++)
        load->puts[i].ttl = ttl_left(mover, load->msgs[i]);
    call->flagged = load->asked_at != NEVER_ASKED && forgets > load->asked_at;
    for (size_t i = 0; mover->move.keeps_flag && i < load->count; i++)
        call->flagged |= load->msgs[i]->redelivered;
    if (load->asked_at == NEVER_ASKED)
        load->asked_at = forgets;
    return call;
}

static bool may_pass(enum ptq_err code)
{
    return code == PTQ_EAGAIN || code == PTQ_ENOMEM || code == PTQ_ENOSPC || code == PTQ_FULL || code == PTQ_TIMEDOUT ||
           code == PTQ_EINTR || code == PTQ_EINDOUBT || code == PTQ_EUNREACHABLE || code == PTQ_EVERSION ||
           code == PTQ_EPROTO || code == PTQ_ESYS || code == PTQ_EBUSY || code == PTQ_EFORKED || code == PTQ_EGONE ||
           code == PTQ_ENOENT;
}

static void take_answer(struct pti_mover *mover, struct load *load, enum ptq_err code, uint64_t value)
{
    load->code = code == PTQ_EALREADY && is_end(load) ? PTQ_OK : code;
    load->value = value;
    mover->stalled |= load->code != PTQ_OK;
}

static void start(struct pti_mover *mover, struct load *load)
{
    load->call = is_end(load) ? make_end(mover) : make_put(mover, load);
    enum ptq_err err = load->call != NULL ? pti_call_start(load->call, on_answer, load) : PTQ_ENOMEM;
    if (err == PTQ_OK) {
        load->asked = true;
        mover->under_way++;
        pti_step(PTI_STEP_MOVE_ASKED);
        return;
    }
    pti_call_free(load->call);
    load->call = NULL;
    take_answer(mover, load, err, 0);
    pti_store_release(&load->answered, true);
}

static void start_some(struct pti_mover *mover)
{
    struct load *load;
    bool alone = false;

    TAILQ_FOREACH(load, &mover->flying, listed) {
        if (mover->stalled || alone || load == mover->open || pti_now_ns() < mover->start_at)
            return;
        if (pti_load_acquire(&load->answered))
            continue;
        if (load->call == NULL) {
            if (goes_alone(load) && mover->under_way > 0)
                return;
            start(mover, load);
        }
        alone = goes_alone(load);
    }
}

/* ---- answers ---- */

/* Calls that came back; which need not be in order. */
static void collect(struct pti_mover *mover)
{
    struct load *load;

    TAILQ_FOREACH(load, &mover->flying, listed) {
        if (load->call == NULL || !pti_load_acquire(&load->answered))
            continue;
        take_answer(mover, load, load->call->code, load->call->value);
        pti_call_free(load->call);
        load->call = NULL;
        mover->under_way--;
        pti_step(PTI_STEP_MOVE_ANSWERED);
    }
}

static void ack(struct pti_mover *mover, struct load *load)
{
    const struct pti_port_ops *ops = mover->source->ops;
    size_t done = 0, count;

    while (done < load->count) {
        count = 1;
        enum ptq_err err = ops->ack_many != NULL ? ops->ack_many(mover->source, load->msgs + done, load->count - done, &count)
                                                 : ops->ack(mover->source, load->msgs[done]);
        if (err != PTQ_OK)
            say(mover, "event=ack_failed queue=%s position=%llu why=%s", mover->source_name, (unsigned long long)load->position,
                ptq_err_name(err));
        done += count;
    }
    load->count = 0;
    mover->settled = load->position;
    mover->untold++;
    pti_step(PTI_STEP_MOVE_ACKED);
}

/* Refused for good: what was saved elsewhere leaves the source.  False: the rest is asked again. */
static bool let_go(struct pti_mover *mover, struct load *load)
{
    size_t saved = 0, count;

    say(mover, "event=refused queue=%s target=%s why=%s", mover->source_name, mover->name, ptq_err_name(load->code));
    if (!is_end(load)) {
        while (saved < load->count && (mover->move.moved == NULL ||
                                       mover->move.moved(mover->move.context, load->msgs[saved], load->code, 0) == PTI_MOVED_ACK))
            saved++;
    } else {
        saved = load->count;
    }
    pti_fetch_add_seq(&mover->refused, saved);
    pti_step(PTI_STEP_MOVE_SETTLED);
    if (saved == load->count) {
        ack(mover, load);
        return true;
    }
    for (size_t i = 0; i < saved; i++)
        (void)!mover->source->ops->ack(mover->source, load->msgs[i]);
    count = load->count - saved;
    memmove(load->msgs, load->msgs + saved, count * sizeof load->msgs[0]);
    memmove(load->puts, load->puts + saved, count * sizeof load->puts[0]);
    load->count = count;
    return false;
}

static void tell_moved(struct pti_mover *mover, struct load *load)
{
    for (size_t i = 0; mover->move.moved != NULL && !is_end(load) && i < load->count; i++)
        (void)mover->move.moved(mover->move.context, load->msgs[i], PTQ_OK, load->value);
    if (!is_end(load))
        pti_fetch_add_seq(&mover->moved, load->count);
    pti_step(PTI_STEP_MOVE_SETTLED);
}

/* Law 2.  True: something left. */
static bool settle_some(struct pti_mover *mover)
{
    struct load *load;
    bool any = false;

    collect(mover);
    while ((load = TAILQ_FIRST(&mover->flying)) != NULL && load->call == NULL && pti_load_acquire(&load->answered)) {
        if (load->code != PTQ_OK && (may_pass(load->code) || !let_go(mover, load)))
            break;
        if (load->code == PTQ_OK) {
            tell_moved(mover, load);
            ack(mover, load);
        }
        drop_load(mover, load);
        any = true;
    }
    return any;
}

/* All are answered: what came back is asked again, in its order, after a rest. */
static void begin_again(struct pti_mover *mover)
{
    struct load *load;
    bool again = false;

    if (!mover->stalled || mover->under_way > 0)
        return;
    mover->stalled = false;
    TAILQ_FOREACH(load, &mover->flying, listed) {
        if (!pti_load_acquire(&load->answered) || load->code == PTQ_OK)
            continue;
        if (may_pass(load->code) && !again)
            say(mover, "event=waiting queue=%s target=%s why=%s", mover->source_name, mover->name, ptq_err_name(load->code));
        again = true;
        pti_store_release(&load->answered, false);
    }
    if (again)
        mover->start_at = pti_now_ns() + AGAIN_NS;
}

/* ---- what the home, and others, may know ---- */

static uint64_t lowest(const struct pti_mover *mover)
{
    const struct load *load;
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

    if (mover->dry && mover->target != NULL && pti_load_relaxed(&mover->connected) && !mover->stalled && count_room(mover) > 0 && now >= mover->take_at)
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
        say(mover, "event=connected queue=%s target=%s", mover->source_name, mover->target->where);
        return true;
    }
    mover->target = NULL;
    say(mover, "event=waiting queue=%s target=%s url=%s why=\"%.120s\"", mover->source_name, mover->name, mover->url, error.text);
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

    if (mover->move.claims && source->ops->claim(source, pti_now_ns() + REST_NS) != PTQ_OK)
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
    bool settled = settle_some(mover);

    begin_again(mover);
    tell_settled(mover, settled);
    if (has_failed(mover)) {
        close_target(mover, true);
        return;
    }
    bool took = take_some(mover);
    start_some(mover);
    if (!settled && !took)
        wait_for_news(mover, (pti_load_relaxed(&mover->connected) ? LOOK_MS : LOOK_DOWN_MS) * PTI_NS_PER_MS);
}

/* What is under way may still be answered. */
static void drain(struct pti_mover *mover)
{
    int64_t until = pti_now_ns() + DRAIN_NS;

    end_taking(mover);
    while (mover->under_way > 0 && pti_now_ns() < until) {
        if (!settle_some(mover))
            wait_for_news(mover, 20 * PTI_NS_PER_MS);
    }
    (void)settle_some(mover);
}

static void stop_load(struct pti_mover *mover, struct load *load)
{
    if (load->call != NULL) {
        enum ptq_err code = pti_call_stop(&load->call);
        take_answer(mover, load, code, code == PTQ_OK && load->call != NULL ? load->call->value : 0);
        pti_call_free(load->call);
        load->call = NULL;
        pti_store_release(&load->answered, true);
    }
    if (pti_load_acquire(&load->answered) && load->code == PTQ_OK) {
        tell_moved(mover, load);
        ack(mover, load);
    }
}

/* Law 4: while something goes back that was asked the home is to remember. */
static void land(struct pti_mover *mover)
{
    struct load *load, *next;
    bool keeps = false;

    TAILQ_FOREACH(load, &mover->flying, listed)
        stop_load(mover, load);
    for (load = TAILQ_FIRST(&mover->flying); load != NULL; load = next) {
        next = TAILQ_NEXT(load, listed);
        keeps |= load->count > 0;
        if (load->count == 0)
            drop_load(mover, load);
    }
    if (mover->target != NULL && mover->untold > 0)
        tell_home(mover);
    while ((load = TAILQ_LAST(&mover->flying, loads)) != NULL) {
        give_back(mover, load);
        drop_load(mover, load);
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
            wait_for_news(mover, AGAIN_NS);
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

void pti_mover_poke(struct pti_mover *mover) { pti_event_set(mover->event); }

void pti_mover_look(struct pti_mover *mover, struct pti_mover_state *ret_state)
{
    *ret_state = (struct pti_mover_state){.connected = pti_load_relaxed(&mover->connected),
                                          .moved = pti_load_relaxed(&mover->moved),
                                          .refused = pti_load_relaxed(&mover->refused),
                                          .in_flight = pti_load_relaxed(&mover->in_flight)};
}

struct pti_port *pti_mover_source(struct pti_mover *mover) { return mover->source; }
