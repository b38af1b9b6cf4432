/* producers.c -- of the chaos: who puts, in every way there is.  Before each call they write down what they are about to do. */
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "stress/chaos.h"

#define BATCH_MOST 32

struct producer {
    struct chaos *chaos;
    struct chaos_member *me;
    ptq_queue *queue;
    _Atomic uint8_t *known;
    _Atomic uint32_t *next;
    uint32_t gathered; /* since the last flush: from this number on */
    int fd;            /* -1: this one waits in its calls */
    struct history_writer writer;
    struct history_event *events[BATCH_MOST];
    unsigned char bytes[BATCH_MOST][4096];
};

static bool gathers(const struct producer *p) { return p->chaos->packs && !p->chaos->units; }

/* A number that was refused is not used again: it must never come.  What is only gathered stays in doubt until a flush. */
static void note_answer(struct producer *p, uint32_t first, uint32_t count, bool is_gathered, enum ptq_err err)
{
    for (uint32_t i = 0; i < count; i++) {
        history_end(p->events[i], err);
        if (err != PTQ_OK)
            p->known[first + i] &= (uint8_t)~PUTTING;
        else if (!is_gathered)
            p->known[first + i] |= IS_PUT;
    }
    p->chaos->put += err == PTQ_OK ? count : 0;
    if (err != PTQ_OK && !chaos_is_refusal(err))
        chaos_violation(p->chaos, "a put answered %s", ptq_err_name(err));
}

static uint32_t draw_numbers(struct producer *p, uint32_t count, unsigned flags)
{
    uint32_t first = *p->next;

    for (uint32_t i = 0; i < count; i++)
        p->known[first + i] |= PUTTING;
    *p->next = first + count;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t value = chaos_value(p->me->number, first + i);
        p->events[i] = i == 0 ? history_begin(&p->writer, HISTORY_PUT, flags, value)
                              : history_begin_more(&p->writer, p->events[0], value);
    }
    return first;
}

static void put_one(struct producer *p, int timeout_ms)
{
    uint32_t next = *p->next;
    struct ptq_put_options options = {.delay_ms = p->chaos->delays && next % 7 == 0 ? 1 + next % 20 : 0,
                                      .ttl_ms = next % 5 == 0 ? p->chaos->ttl_ms : 0};
    bool is_plain = options.delay_ms + options.ttl_ms == 0, is_packed = is_plain && gathers(p);
    bool is_shared = is_plain && p->chaos->units && p->me->number == 0;
    uint32_t number = draw_numbers(p, 1, (options.delay_ms ? HISTORY_DELAYED : 0u) | (is_packed ? HISTORY_PACKED : 0u) |
                                             (is_shared ? HISTORY_SHARED : 0u));
    size_t size = chaos_write(p->bytes[0], p->me->number, number, p->chaos->options.item_size);

    note_answer(p, number, 1, is_packed,
                is_plain ? ptq_put(p->queue, p->bytes[0], size, timeout_ms)
                         : ptq_put_with(p->queue, p->bytes[0], size, &options, timeout_ms));
}

static void put_batch(struct producer *p, uint32_t count, int timeout_ms)
{
    struct ptq_bytes items[BATCH_MOST];

    /* Drawn first: who is killed here leaves no numbers that its next life draws again. */
    uint32_t first = draw_numbers(p, count, HISTORY_BATCH | (gathers(p) || p->chaos->units ? HISTORY_SHARED : 0u));
    p->me->batch_first = first;
    p->me->batch_count = count;
    for (uint32_t i = 0; i < count; i++)
        items[i] = (struct ptq_bytes){
            p->bytes[i], chaos_write(p->bytes[i], p->me->number, first + i, p->chaos->options.item_size)};
    note_answer(p, first, count, false, ptq_put_many(p->queue, items, count, timeout_ms, NULL));
    p->me->batch_count = 0;
    p->chaos->batches++;
}

static void publish_one(struct producer *p, bool give_up, int timeout_ms)
{
    uint32_t number = draw_numbers(p, 1, 0);
    ptq_msg *loan = NULL;
    enum ptq_err err = ptq_loan(p->queue, p->chaos->options.item_size, timeout_ms, &loan);

    if (err == PTQ_OK) {
        size_t size = chaos_write(ptq_msg_buffer(loan), p->me->number, number, p->chaos->options.item_size);
        err = give_up ? PTQ_EINTR : ptq_publish(loan, size, timeout_ms, NULL);
        if (err != PTQ_OK)
            ptq_abort(loan);
    }
    note_answer(p, number, 1, false, err);
}

/* What was gathered is promised from now on. */
static bool flush(struct producer *p, int timeout_ms)
{
    struct history_event *event = history_begin(&p->writer, HISTORY_FLUSH, 0, HISTORY_NOBODY);
    enum ptq_err err = ptq_flush(p->queue, timeout_ms);

    history_end(event, err);
    if (err != PTQ_OK && !chaos_is_refusal(err))
        chaos_violation(p->chaos, "a flush answered %s", ptq_err_name(err));
    if (err != PTQ_OK)
        return false;
    for (; p->gathered < *p->next; p->gathered++)
        if (p->known[p->gathered] & PUTTING)
            p->known[p->gathered] |= IS_PUT;
    return true;
}

static void wait_for_room(struct producer *p)
{
    struct pollfd wait = {.fd = p->fd, .events = POLLIN};

    if (p->fd >= 0)
        (void)poll(&wait, 1, 50); /* it may be closing time */
}

static void put_something(struct producer *p, uint64_t *seed)
{
    uint64_t roll = chaos_random(seed) % 100, capacity = p->chaos->options.capacity;
    int timeout_ms = p->fd >= 0 || roll % 3 == 0 ? PTQ_NOWAIT : (int)(chaos_random(seed) % 20);

    if (roll < 70 || p->chaos->singles)
        put_one(p, timeout_ms);
    else if (roll < 85)
        put_batch(p, 1 + (uint32_t)(chaos_random(seed) % (capacity < BATCH_MOST ? capacity : BATCH_MOST)), timeout_ms);
    else if (gathers(p) && roll < 95)
        (void)flush(p, timeout_ms);
    else
        publish_one(p, roll > 97, timeout_ms);
    if (p->fd >= 0 && chaos_random(seed) % 8 == 0)
        wait_for_room(p);
}

int chaos_produce(struct chaos *chaos, struct chaos_member *me)
{
    static struct producer p;
    ptq_bus *bus = NULL;
    uint64_t seed = chaos->seed ^ (uint64_t)getpid() << 20 ^ me->steps;

    p = (struct producer){
        .chaos = chaos, .me = me, .known = chaos->known[me->number], .next = &chaos->next[me->number], .fd = -1};
    p.gathered = *p.next;
    p.queue = chaos_open_with(chaos, CHAOS_QUEUE, chaos->units && me->number == 0 ? PTQ_EXCLUSIVE : 0, &bus);
    chaos_live(chaos, me, &p.writer);
    if (me->waits_in_poll && ptq_queue_fd(p.queue, PTQ_SIDE_PUT, &p.fd) != PTQ_OK)
        chaos_violation(chaos, "a put descriptor was refused");
    while (!chaos->is_closing && *p.next + 64 < CHAOS_NUMBERS && !history_is_filling(chaos->history)) {
        me->steps++;
        put_something(&p, &seed);
    }
    while (gathers(&p) && chaos->violations == 0 && !flush(&p, 20))
        ;
    return chaos_close(chaos, p.queue, bus);
}
