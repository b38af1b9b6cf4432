/* members.c -- producers, consumers and visitors.  Before each call they write down what they are about to do. */
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "stress/chaos.h"

void chaos_violation(struct chaos *chaos, const char *format, ...)
{
    va_list arguments;

    if (chaos->violations++ > 0)
        return;
    va_start(arguments, format);
    vsnprintf(chaos->text, sizeof chaos->text, format, arguments);
    va_end(arguments);
}

uint64_t chaos_random(uint64_t *state)
{
    uint64_t x = (*state += UINT64_C(0x9e3779b97f4a7c15));

    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

static ptq_queue *open_named(struct chaos *chaos, const char *name, ptq_bus **ret_bus)
{
    struct ptq_error error = {0};
    struct ptq_bus_options bus_options = {.dir = chaos->dir, .error = &error};
    struct ptq_queue_options options = {.mode = PTQ_ATTACH, .wait_ms = 5000, .error = &error};
    ptq_queue *queue = NULL;

    if (ptq_bus_open("chaos", &bus_options, ret_bus) != PTQ_OK ||
        ptq_queue_open(*ret_bus, name, &options, &queue) != PTQ_OK) {
        chaos_violation(chaos, "an open answered %s: %s", ptq_err_name(error.code), error.text);
        _exit(1);
    }
    return queue;
}

static ptq_queue *open_queue(struct chaos *chaos, ptq_bus **ret_bus) { return open_named(chaos, CHAOS_QUEUE, ret_bus); }

/* ---- messages: a note and its number, over and over */

static uint32_t check_of(const struct chaos_note *note)
{
    return (note->producer + 1) * UINT32_C(2654435761) ^ note->number * UINT32_C(40503) ^ note->size;
}

static size_t write_message(unsigned char *bytes, uint32_t producer, uint32_t number, size_t item_size)
{
    size_t room = item_size - sizeof(struct chaos_note);
    struct chaos_note note = {.producer = producer, .number = number};

    note.size = (uint32_t)(sizeof note + number * 7u % (room < 200 ? room + 1 : 200));
    note.check = check_of(&note);
    memcpy(bytes, &note, sizeof note);
    memset(bytes + sizeof note, (int)(number & 255), note.size - sizeof note);
    return note.size;
}

static bool read_message(const unsigned char *bytes, size_t size, struct chaos_note *ret_note)
{
    if (size < sizeof *ret_note)
        return false;
    memcpy(ret_note, bytes, sizeof *ret_note);
    if (ret_note->size != size || ret_note->check != check_of(ret_note) || ret_note->producer >= CHAOS_PRODUCERS)
        return false;
    for (size_t i = sizeof *ret_note; i < size; i++)
        if (bytes[i] != (ret_note->number & 255))
            return false;
    return true;
}

/* ---- producers */

struct producer {
    struct chaos *chaos;
    struct chaos_member *me;
    ptq_queue *queue;
    _Atomic uint8_t *known;
    _Atomic uint32_t *next;
    unsigned char bytes[32][4096];
};

static bool is_refusal(enum ptq_err err)
{
    return err == PTQ_FULL || err == PTQ_TIMEDOUT || err == PTQ_EINTR || err == PTQ_ETOOBIG; /* a batch beyond the budget */
}

/* A number that was refused is not used again: it must never come. */
static void note_answer(struct producer *p, uint32_t first, uint32_t count, enum ptq_err err)
{
    for (uint32_t i = 0; i < count; i++)
        if (err == PTQ_OK)
            p->known[first + i] |= IS_PUT;
        else
            p->known[first + i] &= (uint8_t)~PUTTING;
    p->chaos->put += err == PTQ_OK ? count : 0;
    if (err != PTQ_OK && !is_refusal(err))
        chaos_violation(p->chaos, "a put answered %s", ptq_err_name(err));
}

static uint32_t draw_numbers(struct producer *p, uint32_t count)
{
    uint32_t first = *p->next;

    for (uint32_t i = 0; i < count; i++)
        p->known[first + i] |= PUTTING;
    *p->next = first + count;
    return first;
}

static void put_one(struct producer *p, int timeout_ms)
{
    uint32_t number = draw_numbers(p, 1);
    size_t size = write_message(p->bytes[0], p->me->number, number, p->chaos->options.item_size);

    struct ptq_put_options options = {.delay_ms = p->chaos->delays && number % 7 == 0 ? 1 + number % 20 : 0,
                                      .ttl_ms = number % 5 == 0 ? p->chaos->ttl_ms : 0};
    note_answer(p, number, 1,
                options.delay_ms + options.ttl_ms == 0 ? ptq_put(p->queue, p->bytes[0], size, timeout_ms)
                                                       : ptq_put_with(p->queue, p->bytes[0], size, &options, timeout_ms));
}

static void put_batch(struct producer *p, uint32_t count, int timeout_ms)
{
    struct ptq_bytes items[32];

    /* Drawn first: who is killed here leaves no numbers that its next life draws again. */
    uint32_t first = draw_numbers(p, count);
    p->me->batch_first = first;
    p->me->batch_count = count;
    for (uint32_t i = 0; i < count; i++)
        items[i] = (struct ptq_bytes){
            p->bytes[i], write_message(p->bytes[i], p->me->number, first + i, p->chaos->options.item_size)};
    note_answer(p, first, count, ptq_put_many(p->queue, items, count, timeout_ms, NULL));
    p->me->batch_count = 0;
    p->chaos->batches++;
}

static void publish_one(struct producer *p, bool give_up, int timeout_ms)
{
    ptq_msg *loan = NULL;

    if (ptq_loan(p->queue, p->chaos->options.item_size, timeout_ms, &loan) != PTQ_OK)
        return;
    uint32_t number = draw_numbers(p, 1);
    size_t size = write_message(ptq_msg_buffer(loan), p->me->number, number, p->chaos->options.item_size);
    enum ptq_err err = give_up ? PTQ_FULL : ptq_publish(loan, size, timeout_ms, NULL);
    if (err != PTQ_OK)
        ptq_abort(loan);
    note_answer(p, number, 1, err);
}

int chaos_produce(struct chaos *chaos, struct chaos_member *me)
{
    static struct producer p;
    ptq_bus *bus = NULL;
    uint64_t seed = chaos->seed ^ (uint64_t)getpid() << 20 ^ me->steps, capacity = chaos->options.capacity;

    p = (struct producer){
        .chaos = chaos, .me = me, .known = chaos->known[me->number], .next = &chaos->next[me->number]};
    p.queue = open_queue(chaos, &bus);
    while (!chaos->is_closing && *p.next + 64 < CHAOS_NUMBERS) {
        uint64_t roll = chaos_random(&seed) % 100;
        int timeout_ms = roll % 3 == 0 ? PTQ_NOWAIT : (int)(chaos_random(&seed) % 20);
        me->steps++;
        if (roll < 70)
            put_one(&p, timeout_ms);
        else if (roll < 85)
            put_batch(&p, 1 + (uint32_t)(chaos_random(&seed) % (capacity < 32 ? capacity : 32)), timeout_ms);
        else
            publish_one(&p, roll > 97, timeout_ms);
    }
    ptq_queue_close(p.queue);
    ptq_bus_close(bus);
    return 0;
}

/* ---- consumers */

struct consumer {
    struct chaos *chaos;
    struct chaos_member *me;
    ptq_queue *queue;
    uint32_t next[CHAOS_PRODUCERS]; /* the least number of each that may still come fresh */
    uint64_t seed;
};

/* NULL: it is none of ours. */
static _Atomic uint8_t *note_got(struct consumer *c, const void *data, size_t size, bool redelivered)
{
    struct chaos_note note;

    if (!read_message(data, size, &note) || note.number >= CHAOS_NUMBERS) {
        chaos_violation(c->chaos, "a message of %zu bytes is none that was put", size);
        return NULL;
    }
    _Atomic uint8_t *known = &c->chaos->known[note.producer][note.number];
    uint8_t before = atomic_fetch_or(known, IS_GOT);
    c->chaos->got++;
    c->chaos->again += redelivered;
    if (!(before & (PUTTING | IS_PUT)))
        chaos_violation(c->chaos, "message %u.%u was refused, and came", note.producer, note.number);
    if (before & IS_GOT && !redelivered)
        chaos_violation(c->chaos, "message %u.%u came twice in silence", note.producer, note.number);
    if (before & IS_ACKED)
        chaos_violation(c->chaos, "message %u.%u was acked, and came again", note.producer, note.number);
    if (!redelivered) {
        if (note.number < c->next[note.producer] && !c->chaos->delays)
            chaos_violation(c->chaos, "message %u.%u came after its %u", note.producer, note.number,
                            c->next[note.producer] - 1);
        c->next[note.producer] = note.number + 1;
    }
    return known;
}

static void ack_one(struct consumer *c, ptq_msg *msg, _Atomic uint8_t *known)
{
    *known |= ACKING;
    enum ptq_err err = ptq_ack(msg);
    if (err != PTQ_OK)
        chaos_violation(c->chaos, "an ack answered %s", ptq_err_name(err));
    *known |= IS_ACKED;
    c->chaos->acked++;
}

/* Acks, or now and then gives back; in any order. */
static void settle(struct consumer *c, ptq_msg **msgs, _Atomic uint8_t **known, size_t count)
{
    static const int delays[] = {0, 0, 0, 1, 20, PTQ_BACKOFF};

    for (; count > 0; count--) {
        size_t at = chaos_random(&c->seed) % count;
        uint64_t roll = chaos_random(&c->seed) % 100;
        if (known[at] != NULL && roll < 92) {
            ack_one(c, msgs[at], known[at]);
        } else {
            enum ptq_err err = ptq_nack(msgs[at], delays[roll % 6]);
            if (err != PTQ_OK)
                chaos_violation(c->chaos, "a nack answered %s", ptq_err_name(err));
        }
        msgs[at] = msgs[count - 1];
        known[at] = known[count - 1];
    }
}

static enum ptq_err get_some(struct consumer *c, size_t max, int timeout_ms)
{
    ptq_msg *msgs[8];
    _Atomic uint8_t *known[8];
    size_t count = 1;
    enum ptq_err err = max == 1 ? ptq_get(c->queue, timeout_ms, msgs)
                                : ptq_get_many(c->queue, msgs, 1, max, timeout_ms, &count);

    if (err != PTQ_OK)
        return err;
    for (size_t i = 0; i < count; i++)
        known[i] = note_got(c, ptq_msg_data(msgs[i]), ptq_msg_size(msgs[i]), ptq_msg_redelivered(msgs[i]));
    settle(c, msgs, known, count);
    return PTQ_OK;
}

/* Whether it was redelivered recv does not say: such messages are checked for loss only. */
static enum ptq_err recv_one(struct consumer *c, int timeout_ms)
{
    static unsigned char bytes[4096];
    size_t size = 0;
    struct chaos_note note;

    c->me->receiving = 1;
    enum ptq_err err = ptq_recv(c->queue, bytes, sizeof bytes, timeout_ms, &size);
    if (err == PTQ_OK) {
        if (read_message(bytes, size, &note))
            c->chaos->known[note.producer][note.number] |= IS_GOT | ACKING | IS_ACKED;
        else
            chaos_violation(c->chaos, "a message of %zu bytes is none that was put", size);
        c->chaos->got++;
        c->chaos->acked++;
    }
    c->me->receiving = 0;
    return err;
}

int chaos_consume(struct chaos *chaos, struct chaos_member *me)
{
    static struct consumer c;
    ptq_bus *bus = NULL;
    enum ptq_err err = PTQ_OK;

    c = (struct consumer){.chaos = chaos, .me = me, .seed = chaos->seed ^ (uint64_t)getpid() << 24 ^ me->steps};
    c.queue = open_queue(chaos, &bus);
    while (err != PTQ_END) {
        uint64_t roll = chaos_random(&c.seed) % 100;
        int timeout_ms = roll % 4 == 0 ? PTQ_NOWAIT : roll % 4 == 1 ? PTQ_FOREVER : (int)(chaos_random(&c.seed) % 30);
        me->steps++;
        err = roll < 60   ? get_some(&c, 1, timeout_ms)
              : roll < 90 ? get_some(&c, 2 + chaos_random(&c.seed) % 7, timeout_ms)
                          : recv_one(&c, timeout_ms);
        if (err != PTQ_OK && err != PTQ_EMPTY && err != PTQ_END && !is_refusal(err)) {
            chaos_violation(chaos, "a get answered %s", ptq_err_name(err));
            return 1;
        }
    }
    ptq_queue_close(c.queue);
    ptq_bus_close(bus);
    return 0;
}

/* ---- visitors: open, look, take and give back, close, collect */

static bool count_one(const struct ptq_view_msg *msg, void *context)
{
    uint32_t *left = context;

    return msg->size <= 4096 && --*left > 0;
}

static void note_finding(const char *finding, void *context) { snprintf(context, 200, "%s", finding); }

static void look_around(struct chaos *chaos, ptq_bus *bus)
{
    char finding[200] = "";
    struct ptq_verify_report report;
    struct ptq_queue_stats stats;
    uint32_t left = 20;
    ptq_view *view = NULL;

    if (ptq_view_open(bus, CHAOS_QUEUE, NULL, &view) != PTQ_OK) {
        chaos_violation(chaos, "a view was refused");
        return;
    }
    if (ptq_view_stats(view, &stats) != PTQ_OK || ptq_view_peek(view, count_one, &left) != PTQ_OK)
        chaos_violation(chaos, "looking failed");
    enum ptq_err err = ptq_view_verify(view, note_finding, finding, &report);
    if (err != PTQ_OK && err != PTQ_ECORRUPT)
        chaos_violation(chaos, "verify answered %s", ptq_err_name(err));
    if (report.findings > 0 && report.quiet)
        chaos_violation(chaos, "verify found %u faults in a quiet queue, such as: %s", report.findings, finding);
    ptq_view_close(view);
}

/* Purges and pauses; who is killed while it is paused leaves it to the next visitor. */
static void disturb_order(struct chaos *chaos, ptq_queue *queue, uint64_t roll)
{
    if (!chaos->may_drop)
        return;
    if (roll % 8 == 0 && ptq_queue_pause(queue, true) == PTQ_OK)
        usleep(roll >> 8 & 1023);
    if (ptq_queue_pause(queue, false) != PTQ_OK)
        chaos_violation(chaos, "resuming was refused");
    if (roll % 128 == 1 && ptq_queue_purge(queue, NULL) != PTQ_OK)
        chaos_violation(chaos, "a purge was refused");
}

int chaos_visit(struct chaos *chaos, struct chaos_member *me)
{
    uint64_t seed = chaos->seed ^ (uint64_t)getpid() << 22 ^ me->steps;
    struct ptq_gc_report report;
    ptq_bus *bus = NULL;

    while (!chaos->is_closing) {
        ptq_queue *queue = open_queue(chaos, &bus);
        ptq_msg *msg = NULL;
        me->steps++;
        if (ptq_get(queue, PTQ_NOWAIT, &msg) == PTQ_OK) {
            struct chaos_note note;
            if (read_message(ptq_msg_data(msg), ptq_msg_size(msg), &note))
                chaos->known[note.producer][note.number] |= IS_GOT;
            if (chaos_random(&seed) % 2 == 0 && ptq_nack(msg, 0) != PTQ_OK)
                chaos_violation(chaos, "a nack answered an error");
        }
        disturb_order(chaos, queue, chaos_random(&seed));
        if (chaos_random(&seed) % 4 == 0)
            look_around(chaos, bus);
        if (chaos_random(&seed) % 16 == 0 && ptq_bus_gc(bus, false, &report) != PTQ_OK)
            chaos_violation(chaos, "gc answered an error");
        ptq_queue_close(queue); /* the lease, if there is one, goes back */
        ptq_bus_close(bus);
        chaos->visits++;
        usleep(500);
    }
    return 0;
}

/* ---- tenders of dead letters */

/* NULL: it is none of ours. */
static _Atomic uint8_t *read_letter(struct chaos *chaos, const ptq_msg *msg)
{
    struct chaos_note note;

    if (read_message(ptq_msg_data(msg), ptq_msg_size(msg), &note) && note.number < CHAOS_NUMBERS) {
        _Atomic uint8_t *known = &chaos->known[note.producer][note.number];
        if (ptq_msg_deliveries(msg) <= chaos->options.max_deliveries)
            chaos_violation(chaos, "letter %u.%u died of %u deliveries", note.producer, note.number,
                            ptq_msg_deliveries(msg));
        if (*known & IS_ACKED)
            chaos_violation(chaos, "letter %u.%u was acked, and came again", note.producer, note.number);
        return known;
    }
    chaos_violation(chaos, "a letter of %zu bytes is none that was put", ptq_msg_size(msg));
    return NULL;
}

static void ack_letter(struct chaos *chaos, ptq_msg *msg, _Atomic uint8_t *known)
{
    *known |= IS_GOT | ACKING;
    enum ptq_err err = ptq_ack(msg);
    if (err != PTQ_OK)
        chaos_violation(chaos, "an ack of a letter answered %s", ptq_err_name(err));
    *known |= IS_ACKED;
    chaos->acked++;
}

static void tend_some(struct chaos *chaos, ptq_queue *letters, uint64_t *seed)
{
    ptq_msg *msgs[4];
    size_t count = 0;
    uint64_t roll = chaos_random(seed) % 100, kicked = 0;
    enum ptq_err err;

    if (roll < 30) {
        err = ptq_queue_kick(letters, chaos_random(seed) % 5, &kicked);
        chaos->kicked += kicked;
        if (err != PTQ_OK)
            chaos_violation(chaos, "a kick answered %s", ptq_err_name(err));
        return;
    }
    err = ptq_get_many(letters, msgs, 1, 1 + roll % 4, roll % 2 ? PTQ_NOWAIT : 20, &count);
    if (err != PTQ_OK && err != PTQ_EMPTY && !is_refusal(err))
        chaos_violation(chaos, "a get of letters answered %s", ptq_err_name(err));
    for (size_t i = 0; err == PTQ_OK && i < count; i++) {
        _Atomic uint8_t *known = read_letter(chaos, msgs[i]);
        if (known != NULL && chaos_random(seed) % 3 == 0)
            ack_letter(chaos, msgs[i], known);
        else if (chaos_random(seed) % 4 != 0) /* else it goes back when the view is closed */
            (void)ptq_nack(msgs[i], 0);
    }
}

int chaos_tend(struct chaos *chaos, struct chaos_member *me)
{
    uint64_t seed = chaos->seed ^ (uint64_t)getpid() << 21 ^ me->steps;

    while (!chaos->is_closing) {
        ptq_bus *bus = NULL;
        ptq_queue *letters = open_named(chaos, CHAOS_QUEUE PTQ_DEAD_SUFFIX, &bus);
        for (unsigned i = 0; i < 50 && !chaos->is_closing; i++) {
            me->steps++;
            tend_some(chaos, letters, &seed);
        }
        ptq_queue_close(letters);
        ptq_bus_close(bus);
    }
    return 0;
}

void chaos_empty_the_view(struct chaos *chaos)
{
    struct ptq_queue_stats stats;
    ptq_bus *bus = NULL;
    ptq_queue *letters = open_named(chaos, CHAOS_QUEUE PTQ_DEAD_SUFFIX, &bus);
    ptq_msg *msg = NULL;
    enum ptq_err err;

    while ((err = ptq_get(letters, PTQ_NOWAIT, &msg)) == PTQ_OK) {
        _Atomic uint8_t *known = read_letter(chaos, msg);
        if (known == NULL)
            break;
        ack_letter(chaos, msg, known);
    }
    if (err != PTQ_END) /* the queue has, and nobody is left */
        chaos_violation(chaos, "the view of dead letters ends with %s", ptq_err_name(err));
    if (ptq_queue_stats(letters, &stats) != PTQ_OK)
        chaos_violation(chaos, "stats failed");
    else if (!chaos->may_drop && stats.dropped != stats.dropped_by[PTQ_DROP_DEAD_OVERFLOW])
        chaos_violation(chaos, "messages were dropped, and not for too many letters");
    else
        chaos->dropped = stats.dropped;
    ptq_queue_close(letters);
    ptq_bus_close(bus);
}
