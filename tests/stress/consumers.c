/* consumers.c -- of the chaos: who takes, acks and gives back, in any order; in time, or, where leases run out, too late. */
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "stress/chaos.h"

struct consumer {
    struct chaos *chaos;
    struct chaos_member *me;
    ptq_queue *queue;
    uint32_t next[CHAOS_PRODUCERS]; /* the least number of each that may still come fresh */
    int fd;                         /* -1: this one waits in its calls */
    struct history_writer writer;
    uint64_t seed;
};

/* Something taken and not yet settled. */
struct held {
    ptq_msg *msg;
    _Atomic uint8_t *known; /* NULL: it is none of ours */
    uint32_t value;
};

static void check_order(struct consumer *c, const struct chaos_note *note)
{
    /* Of a pack that somebody was killed with, what he was not given comes without a flag, and late. */
    if (note->number < c->next[note->producer] && !c->chaos->delays && !c->chaos->packs)
        chaos_violation(c->chaos, "message %u.%u came after its %u", note->producer, note->number, c->next[note->producer] - 1);
    c->next[note->producer] = note->number + 1;
}

static void note_got(struct consumer *c, ptq_msg *msg, struct held *ret_held)
{
    bool redelivered = ptq_msg_redelivered(msg);
    struct chaos_note note;

    *ret_held = (struct held){.msg = msg, .value = HISTORY_NOBODY};
    if (!chaos_read(ptq_msg_data(msg), ptq_msg_size(msg), &note)) {
        chaos_violation(c->chaos, "a message of %zu bytes is none that was put", ptq_msg_size(msg));
        return;
    }
    ret_held->known = &c->chaos->known[note.producer][note.number];
    ret_held->value = chaos_value(note.producer, note.number);
    uint8_t before = atomic_fetch_or(ret_held->known, IS_GOT);
    c->chaos->got++;
    c->chaos->again += redelivered;
    if (!(before & (PUTTING | IS_PUT)))
        chaos_violation(c->chaos, "message %u.%u was refused, and came", note.producer, note.number);
    /* Who is stopped in his get for longer than the lease lasts gets it when another has had it, flagged, and has acked it. */
    if (before & IS_GOT && !redelivered && !c->chaos->options.lease_ms)
        chaos_violation(c->chaos, "message %u.%u came twice in silence", note.producer, note.number);
    if (before & IS_ACKED && !c->chaos->options.lease_ms && !c->chaos->packs) /* there an ack that overtook another is not yet one */
        chaos_violation(c->chaos, "message %u.%u was acked, and came again", note.producer, note.number);
    if (!redelivered)
        check_order(c, &note);
}

/* An answer to an ack or a nack that is in order. */
static bool is_settled(struct consumer *c, enum ptq_err err, const char *what)
{
    bool may_be_lost = c->chaos->options.lease_ms != 0 || c->chaos->packs;

    c->chaos->late += err == PTQ_ELEASELOST;
    if (err != PTQ_OK && !(err == PTQ_ELEASELOST && may_be_lost))
        chaos_violation(c->chaos, "%s answered %s", what, ptq_err_name(err));
    return err == PTQ_OK;
}

static void ack_one(struct consumer *c, const struct held *held)
{
    struct history_event *event = history_begin(&c->writer, HISTORY_ACK, 0, held->value);

    *held->known |= ACKING;
    enum ptq_err err = ptq_ack(held->msg);
    history_end(event, err);
    if (!is_settled(c, err, "an ack"))
        return; /* it stays in doubt: another may be acking it */
    *held->known |= IS_ACKED;
    c->chaos->acked++;
}

static void give_back(struct consumer *c, const struct held *held, int delay_ms)
{
    struct history_event *event = held->known ? history_begin(&c->writer, HISTORY_NACK, delay_ms ? HISTORY_DELAYED : 0, held->value) : NULL;
    enum ptq_err err = ptq_nack(held->msg, delay_ms);

    if (event)
        history_end(event, err);
    (void)is_settled(c, err, "a nack");
}

/* Longer than a lease lasts; what it reads must stay as it is. */
static void dawdle(struct consumer *c, const struct held *held)
{
    struct chaos_note note;

    usleep((useconds_t)(1000 * (1 + chaos_random(&c->seed) % (2 * c->chaos->options.lease_ms))));
    if (held->known != NULL && !chaos_read(ptq_msg_data(held->msg), ptq_msg_size(held->msg), &note))
        chaos_violation(c->chaos, "a message changed under its reader");
}

/* Acks, or now and then gives back; in any order. */
static void settle(struct consumer *c, struct held *held, size_t count)
{
    static const int delays[] = {0, 0, 0, 1, 20, PTQ_BACKOFF};

    for (; count > 0; count--) {
        size_t at = chaos_random(&c->seed) % count;
        uint64_t roll = chaos_random(&c->seed) % 100;
        if (c->chaos->options.lease_ms && chaos_random(&c->seed) % 64 == 0)
            dawdle(c, &held[at]);
        if (held[at].known != NULL && roll < 92)
            ack_one(c, &held[at]);
        else
            give_back(c, &held[at], delays[roll % 6]);
        held[at] = held[count - 1];
    }
}

static enum ptq_err get_some(struct consumer *c, size_t max, int timeout_ms)
{
    struct history_event *event = history_begin(&c->writer, HISTORY_GET, 0, HISTORY_NOBODY);
    struct held held[8];
    ptq_msg *msgs[8];
    size_t count = 1;
    enum ptq_err err = max == 1 ? ptq_get(c->queue, timeout_ms, msgs)
                                : ptq_get_many(c->queue, msgs, 1, max, timeout_ms, &count);

    for (size_t i = 0; err == PTQ_OK && i < count; i++) {
        note_got(c, msgs[i], &held[i]);
        history_took(&c->writer, event, i == 0, held[i].value, msgs[i], 0);
    }
    history_end(event, err);
    if (err == PTQ_OK)
        settle(c, held, count);
    return err;
}

/* Whether it was redelivered recv does not say: such messages are checked for loss only. */
static enum ptq_err recv_one(struct consumer *c, int timeout_ms)
{
    static unsigned char bytes[4096];
    struct history_event *event = history_begin(&c->writer, HISTORY_RECV, 0, HISTORY_NOBODY);
    size_t size = 0;
    struct chaos_note note;

    c->me->receiving = 1;
    enum ptq_err err = ptq_recv(c->queue, bytes, sizeof bytes, timeout_ms, &size);
    if (err == PTQ_OK) {
        if (chaos_read(bytes, size, &note)) {
            c->chaos->known[note.producer][note.number] |= IS_GOT | ACKING | IS_ACKED;
            event->value = chaos_value(note.producer, note.number);
        } else {
            chaos_violation(c->chaos, "a message of %zu bytes is none that was put", size);
        }
        c->chaos->got++;
        c->chaos->acked++;
    }
    history_end(event, err);
    c->me->receiving = 0;
    return err;
}

/* With a descriptor: asks once, and sleeps in poll for as long as it takes. */
static void wait_for_message(struct consumer *c)
{
    struct pollfd wait = {.fd = c->fd, .events = POLLIN};

    c->me->polls = 1;
    (void)poll(&wait, 1, -1);
    c->me->polls = 0;
}

static enum ptq_err take_something(struct consumer *c)
{
    uint64_t roll = chaos_random(&c->seed) % 100;
    int timeout_ms = c->fd >= 0      ? PTQ_NOWAIT
                     : roll % 4 == 0 ? PTQ_NOWAIT
                     : roll % 4 == 1 ? PTQ_FOREVER
                                     : (int)(chaos_random(&c->seed) % 30);
    enum ptq_err err = roll < 60   ? get_some(c, 1, timeout_ms)
                       : roll < 90 ? get_some(c, 2 + chaos_random(&c->seed) % 7, timeout_ms)
                                   : recv_one(c, timeout_ms);

    if (err == PTQ_EMPTY && c->fd >= 0)
        wait_for_message(c);
    return err;
}

int chaos_consume(struct chaos *chaos, struct chaos_member *me)
{
    static struct consumer c;
    ptq_bus *bus = NULL;
    enum ptq_err err = PTQ_OK;

    c = (struct consumer){.chaos = chaos, .me = me, .fd = -1, .seed = chaos->seed ^ (uint64_t)getpid() << 24 ^ me->steps};
    c.queue = chaos_open(chaos, CHAOS_QUEUE, &bus);
    chaos_live(chaos, me, &c.writer);
    if (me->waits_in_poll && ptq_queue_fd(c.queue, PTQ_SIDE_GET, &c.fd) != PTQ_OK)
        chaos_violation(chaos, "a get descriptor was refused");
    while (err != PTQ_END) {
        me->steps++;
        err = take_something(&c);
        if (err != PTQ_OK && err != PTQ_EMPTY && err != PTQ_END && !chaos_is_refusal(err)) {
            chaos_violation(chaos, "a get answered %s", ptq_err_name(err));
            return 1;
        }
    }
    return chaos_close(chaos, c.queue, bus);
}
