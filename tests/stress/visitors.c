/* visitors.c -- of the chaos: who comes and goes, who looks, and who tends the dead letters. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "stress/chaos.h"

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
static void pause_queue(struct chaos *chaos, struct history_writer *writer, ptq_queue *queue, bool pause)
{
    struct history_event *event = history_begin(writer, pause ? HISTORY_PAUSE : HISTORY_RESUME, 0, HISTORY_NOBODY);
    enum ptq_err err = ptq_queue_pause(queue, pause);

    history_end(event, err);
    if (err != PTQ_OK)
        chaos_violation(chaos, "pausing or resuming was refused");
}

static void disturb_order(struct chaos *chaos, struct history_writer *writer, ptq_queue *queue, uint64_t roll)
{
    if (!chaos->may_drop)
        return;
    if (roll % 8 == 0) {
        pause_queue(chaos, writer, queue, true);
        usleep(roll >> 8 & 1023);
    }
    pause_queue(chaos, writer, queue, false);
    if (roll % 128 == 1 && ptq_queue_purge(queue, NULL) != PTQ_OK)
        chaos_violation(chaos, "a purge was refused");
}

static void take_and_return(struct chaos *chaos, struct history_writer *writer, ptq_queue *queue, uint64_t roll)
{
    struct history_event *event = history_begin(writer, HISTORY_GET, 0, HISTORY_NOBODY);
    struct chaos_note note;
    ptq_msg *msg = NULL;
    enum ptq_err err = ptq_get(queue, PTQ_NOWAIT, &msg);

    if (err == PTQ_OK && chaos_read(ptq_msg_data(msg), ptq_msg_size(msg), &note)) {
        history_took(writer, event, true, chaos_value(note.producer, note.number), msg, 0);
        chaos->known[note.producer][note.number] |= IS_GOT;
    }
    history_end(event, err);
    if (err != PTQ_OK || roll % 2 != 0)
        return; /* the lease, if there is one, goes back with the handle */
    err = ptq_nack(msg, 0);
    if (err != PTQ_OK && !(err == PTQ_ELEASELOST && chaos->options.lease_ms))
        chaos_violation(chaos, "a nack answered %s", ptq_err_name(err));
}

int chaos_visit(struct chaos *chaos, struct chaos_member *me)
{
    uint64_t seed = chaos->seed ^ (uint64_t)getpid() << 22 ^ me->steps;
    struct history_writer writer;
    struct ptq_gc_report report;
    ptq_bus *bus = NULL;

    chaos_live(chaos, me, &writer);
    while (!chaos->is_closing) {
        ptq_queue *queue = chaos_open(chaos, CHAOS_QUEUE, &bus);
        me->steps++;
        take_and_return(chaos, &writer, queue, chaos_random(&seed));
        disturb_order(chaos, &writer, queue, chaos_random(&seed));
        if (chaos_random(&seed) % 4 == 0)
            look_around(chaos, bus);
        if (chaos_random(&seed) % 16 == 0 && ptq_bus_gc(bus, false, &report) != PTQ_OK)
            chaos_violation(chaos, "gc answered an error");
        if (chaos_close(chaos, queue, bus) != 0)
            return 1;
        chaos->visits++;
        usleep(500);
    }
    return 0;
}

/* ---- tenders of dead letters */

/* NULL: it is none of ours. */
static _Atomic uint8_t *read_letter(struct chaos *chaos, const ptq_msg *msg, uint32_t *ret_value)
{
    struct chaos_note note;

    if (chaos_read(ptq_msg_data(msg), ptq_msg_size(msg), &note)) {
        *ret_value = chaos_value(note.producer, note.number);
        _Atomic uint8_t *known = &chaos->known[note.producer][note.number];
        /* A record of a pack comes once more for want of a block. */
        if (ptq_msg_deliveries(msg) < chaos->options.max_deliveries ||
            (ptq_msg_deliveries(msg) > chaos->options.max_deliveries && !chaos->packs))
            chaos_violation(chaos, "letter %u.%u died of %u deliveries", note.producer, note.number,
                            ptq_msg_deliveries(msg));
        if (*known & IS_ACKED && !chaos->packs && !chaos->options.lease_ms)
            chaos_violation(chaos, "letter %u.%u was acked, and came again", note.producer, note.number);
        return known;
    }
    chaos_violation(chaos, "a letter of %zu bytes is none that was put", ptq_msg_size(msg));
    return NULL;
}

static void ack_letter(struct chaos *chaos, struct history_writer *writer, ptq_msg *msg, _Atomic uint8_t *known, uint32_t value)
{
    struct history_event *event = history_begin(writer, HISTORY_ACK, 0, value);

    *known |= IS_GOT | ACKING;
    enum ptq_err err = ptq_ack(msg);
    history_end(event, err);
    if (err == PTQ_ELEASELOST && chaos->options.lease_ms)
        return;
    if (err != PTQ_OK)
        chaos_violation(chaos, "an ack of a letter answered %s", ptq_err_name(err));
    *known |= IS_ACKED;
    chaos->acked++;
}

static void kick_some(struct chaos *chaos, struct history_writer *writer, ptq_queue *letters, uint64_t most)
{
    struct history_event *event = history_begin(writer, HISTORY_KICK, 0, HISTORY_NOBODY);
    uint64_t kicked = 0;
    enum ptq_err err = ptq_queue_kick(letters, most, &kicked);

    history_end(event, err);
    chaos->kicked += kicked;
    if (err != PTQ_OK)
        chaos_violation(chaos, "a kick answered %s", ptq_err_name(err));
}

static void tend_some(struct chaos *chaos, struct history_writer *writer, ptq_queue *letters, uint64_t *seed)
{
    ptq_msg *msgs[4];
    _Atomic uint8_t *known[4];
    uint32_t values[4];
    size_t count = 0;
    uint64_t roll = chaos_random(seed) % 100;

    if (roll < 30) {
        kick_some(chaos, writer, letters, chaos_random(seed) % 5);
        return;
    }
    struct history_event *event = history_begin(writer, HISTORY_GET, HISTORY_LETTER, HISTORY_NOBODY);
    enum ptq_err err = ptq_get_many(letters, msgs, 1, 1 + roll % 4, roll % 2 ? PTQ_NOWAIT : 20, &count);
    for (size_t i = 0; err == PTQ_OK && i < count; i++) {
        known[i] = read_letter(chaos, msgs[i], &values[i]);
        if (known[i])
            history_took(writer, event, i == 0, values[i], msgs[i], HISTORY_LETTER);
    }
    history_end(event, err);
    if (err != PTQ_OK && err != PTQ_EMPTY && !chaos_is_refusal(err))
        chaos_violation(chaos, "a get of letters answered %s", ptq_err_name(err));
    for (size_t i = 0; err == PTQ_OK && i < count; i++) {
        if (known[i] != NULL && chaos_random(seed) % 3 == 0)
            ack_letter(chaos, writer, msgs[i], known[i], values[i]);
        else if (chaos_random(seed) % 4 != 0) /* else it goes back when the view is closed */
            (void)ptq_nack(msgs[i], 0);
    }
}

int chaos_tend(struct chaos *chaos, struct chaos_member *me)
{
    uint64_t seed = chaos->seed ^ (uint64_t)getpid() << 21 ^ me->steps;
    struct history_writer writer;

    chaos_live(chaos, me, &writer);
    while (!chaos->is_closing) {
        ptq_bus *bus = NULL;
        ptq_queue *letters = chaos_open(chaos, CHAOS_QUEUE PTQ_DEAD_SUFFIX, &bus);
        for (unsigned i = 0; i < 50 && !chaos->is_closing; i++) {
            me->steps++;
            tend_some(chaos, &writer, letters, &seed);
        }
        if (chaos_close(chaos, letters, bus) != 0)
            return 1;
    }
    return 0;
}

void chaos_empty_the_view(struct chaos *chaos, struct history_writer *writer)
{
    struct ptq_queue_stats stats = {0};
    struct ptq_gc_report report;
    ptq_bus *bus = NULL;
    ptq_queue *letters = chaos_open(chaos, CHAOS_QUEUE PTQ_DEAD_SUFFIX, &bus);
    ptq_msg *msg = NULL;
    enum ptq_err err;

    for (;;) {
        struct history_event *event = history_begin(writer, HISTORY_GET, HISTORY_LETTER, HISTORY_NOBODY);
        uint32_t value = 0;
        err = ptq_get(letters, PTQ_NOWAIT, &msg);
        _Atomic uint8_t *known = err == PTQ_OK ? read_letter(chaos, msg, &value) : NULL;
        if (known)
            history_took(writer, event, true, value, msg, HISTORY_LETTER);
        history_end(event, err);
        if (!known)
            break;
        ack_letter(chaos, writer, msg, known, value);
        chaos->buried++;
    }
    if (err != PTQ_END) /* the queue has, and nobody is left */
        chaos_violation(chaos, "the view of dead letters ends with %s", ptq_err_name(err));
    if (ptq_queue_stats(letters, &stats) != PTQ_OK)
        chaos_violation(chaos, "stats failed");
    else if (!chaos->may_drop && stats.dropped != stats.dropped_by[PTQ_DROP_DEAD_OVERFLOW])
        chaos_violation(chaos, "messages were dropped, and not for too many letters");
    if (ptq_bus_gc(bus, false, &report) != PTQ_OK) /* blocks that were acked to the dead go home */
        chaos_violation(chaos, "the last gc answered an error");
    memcpy(chaos->dropped_by, stats.dropped_by, sizeof chaos->dropped_by);
    chaos->dropped = stats.dropped;
    (void)chaos_close(chaos, letters, bus);
}
