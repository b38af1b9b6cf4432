/* scenario.c -- open, put in every way, get in every way, wait, look, close, collect. */
#include "faults/scenario.h"

#include <poll.h>
#include <string.h>

#include <ptq/metrics.h>
#include <ptq/ptq.h>

static struct scenario *now;

static bool failed(enum ptq_err err)
{
    if (err == PTQ_OK || err == PTQ_EMPTY || err == PTQ_TIMEDOUT)
        return false;
    now->errors++;
    return true;
}

static void note_stuck(uint32_t call)
{
    if (now->stuck == 0)
        now->stuck = call;
}

static void check_text(const struct ptq_error *error) { now->mute += error->text[0] == 0; }

static ptq_bus *open_bus(const char *dir)
{
    struct ptq_error error = {0};
    struct ptq_bus_options options = {.dir = dir, .error = &error};
    ptq_bus *bus = NULL;

    if (!failed(ptq_bus_open("faults", &options, &bus)))
        return bus;
    check_text(&error);
    if (failed(ptq_bus_open("faults", &options, &bus)))
        note_stuck(1);
    return bus;
}

static ptq_queue *open_as(ptq_bus *bus, const char *name, struct ptq_queue_options *options)
{
    struct ptq_error error = {0};
    ptq_queue *queue = NULL;

    options->error = &error;
    if (!failed(ptq_queue_open(bus, name, options, &queue)))
        return queue;
    check_text(&error);
    if (failed(ptq_queue_open(bus, name, options, &queue)))
        note_stuck(2);
    return queue;
}

static ptq_queue *open_queue(ptq_bus *bus)
{
    struct ptq_queue_options options = {.capacity = 16, .item_size = 100, .max_endpoints = 8};

    return open_as(bus, "q", &options);
}

static void note_put(uint32_t value, enum ptq_err err) { now->put[value] = failed(err) ? PUT_REFUSED : PUT_OK; }

static void put_one(ptq_queue *queue, uint32_t value)
{
    now->put[value] = PUT_BEGUN;
    note_put(value, ptq_put(queue, &value, sizeof value, PTQ_NOWAIT));
}

static void put_batch(ptq_queue *queue, uint32_t first)
{
    uint32_t values[3] = {first, first + 1, first + 2};
    struct ptq_bytes items[3] = {{&values[0], 4}, {&values[1], 4}, {&values[2], 4}};
    enum ptq_err err;

    for (int i = 0; i < 3; i++)
        now->put[values[i]] = PUT_BEGUN;
    err = ptq_put_many(queue, items, 3, PTQ_NOWAIT, NULL);
    for (int i = 0; i < 3; i++)
        note_put(values[i], err);
}

static void put_loan(ptq_queue *queue, uint32_t value)
{
    ptq_msg *loan;

    if (failed(ptq_loan(queue, 64, PTQ_NOWAIT, &loan)))
        return;
    memcpy(ptq_msg_buffer(loan), &value, sizeof value);
    now->put[value] = PUT_BEGUN;
    note_put(value, ptq_publish(loan, sizeof value, PTQ_NOWAIT, NULL));
    if (now->put[value] == PUT_REFUSED)
        ptq_abort(loan);
}

static uint32_t value_of(ptq_msg *msg)
{
    uint32_t value = 0;

    memcpy(&value, ptq_msg_data(msg), ptq_msg_size(msg) < 4 ? ptq_msg_size(msg) : 4);
    return value % SCENARIO_VALUES;
}

static void ack(ptq_msg *msg)
{
    uint32_t value = value_of(msg);

    if (!failed(ptq_ack(msg)))
        now->acked[value]++;
}

static void get_some(ptq_queue *queue)
{
    ptq_msg *msg, *msgs[2];
    size_t count;

    if (ptq_get(queue, PTQ_NOWAIT, &msg) == PTQ_OK)
        ack(msg);
    if (ptq_get(queue, PTQ_NOWAIT, &msg) == PTQ_OK)
        failed(ptq_nack(msg, 0));
    if (ptq_get_many(queue, msgs, 1, 2, PTQ_NOWAIT, &count) == PTQ_OK)
        for (size_t i = 0; i < count; i++)
            ack(msgs[i]);
}

static void drain_some(ptq_queue *queue)
{
    uint32_t value;
    size_t size;
    int left = 2 * SCENARIO_VALUES;
    enum ptq_err err = PTQ_OK;

    while (left-- > 0 && (err == PTQ_OK || err == PTQ_EINTR)) {
        err = ptq_recv(queue, &value, sizeof value, 1, &size);
        if (!failed(err) && err == PTQ_OK)
            now->acked[value % SCENARIO_VALUES]++;
    }
}

static void poll_both(ptq_queue *queue)
{
    for (int side = 0; side < 2; side++) {
        struct pollfd fd = {.events = POLLIN};

        if (!failed(ptq_queue_fd(queue, (enum ptq_side)side, &fd.fd)))
            (void)!poll(&fd, 1, 0);
    }
}

static void look(ptq_bus *bus, ptq_queue *queue)
{
    struct ptq_queue_stats stats;
    struct ptq_verify_report report;
    ptq_view *view;

    failed(ptq_queue_stats(queue, &stats));
    if (failed(ptq_view_open(bus, "q", NULL, &view)))
        return;
    if (ptq_view_verify(view, NULL, NULL, &report) == PTQ_ECORRUPT)
        note_stuck(3);
    ptq_view_close(view);
}

/* ---- a queue with times, headers, a lease limit and dead letters */

static void put_with_all(ptq_queue *queue)
{
    struct ptq_header header = {.name = "kind", .value = "note", .size = 4};
    struct ptq_put_options headed = {.headers = &header, .header_count = 1, .ttl_ms = 600000}, later = {.delay_ms = 1};
    uint32_t values[5] = {12, 13, 14, 15, 16};
    struct ptq_bytes items[3] = {{&values[2], 4}, {&values[3], 4}, {&values[4], 4}};
    enum ptq_err err;

    for (uint32_t i = 0; i < 5; i++)
        now->put[values[i]] = PUT_BEGUN;
    note_put(12, ptq_put_with(queue, &values[0], 4, &headed, PTQ_NOWAIT));
    note_put(13, ptq_put_with(queue, &values[1], 4, &later, PTQ_NOWAIT));
    err = ptq_put_many_with(queue, items, 3, &headed, PTQ_NOWAIT);
    for (uint32_t i = 2; i < 5; i++)
        note_put(values[i], err);
}

/* One becomes a dead letter, is looked at, and is kicked back. */
static void bury_and_kick(ptq_bus *bus, ptq_queue *queue)
{
    struct ptq_queue_options options = {.mode = PTQ_ATTACH};
    uint64_t count;
    ptq_msg *msg;
    ptq_queue *dead;

    if (ptq_get(queue, PTQ_NOWAIT, &msg) == PTQ_OK)
        failed(ptq_nack(msg, 0));
    if (ptq_get(queue, PTQ_NOWAIT, &msg) == PTQ_OK)
        ack(msg);
    dead = open_as(bus, "w" PTQ_DEAD_SUFFIX, &options);
    if (dead && ptq_get(dead, PTQ_NOWAIT, &msg) == PTQ_OK)
        failed(ptq_nack(msg, 0));
    failed(ptq_queue_kick(queue, 0, &count));
    ptq_queue_close(dead);
}

static void stop_and_go(ptq_queue *queue)
{
    struct ptq_wait waits[2] = {{.queue = queue, .side = PTQ_SIDE_GET}, {.queue = queue, .side = PTQ_SIDE_PUT}};
    size_t first;

    failed(ptq_queue_pause(queue, true));
    failed(ptq_wait_any(waits, 1, 1, &first));
    if (failed(ptq_queue_pause(queue, false)) && failed(ptq_queue_pause(queue, false)))
        note_stuck(4);
    failed(ptq_wait_any(waits, 2, 1, &first));
}

static void pass_a_reference(ptq_bus *bus, ptq_queue *queue)
{
    char ref[512];
    ptq_queue *again;
    ptq_msg *msg;

    if (failed(ptq_queue_ref(queue, ref, sizeof ref)) || failed(ptq_queue_from_ref(bus, ref, NULL, &again)))
        return;
    if (ptq_get(again, PTQ_NOWAIT, &msg) == PTQ_OK)
        ack(msg);
    ptq_queue_close(again);
}

static void run_with_all(ptq_bus *bus)
{
    struct ptq_queue_options options = {
        .capacity = 8, .item_size = 100, .max_endpoints = 8, .header_size = 64, .max_deliveries = 1, .lease_ms = 600000};
    ptq_queue *queue = open_as(bus, "w", &options);

    if (!queue)
        return;
    put_with_all(queue);
    bury_and_kick(bus, queue);
    stop_and_go(queue);
    pass_a_reference(bus, queue);
    ptq_queue_close(queue);
}

/* ---- packs, and what is purged */

static void run_packs(ptq_bus *bus)
{
    struct ptq_queue_options options = {
        .capacity = 8, .item_size = 100, .max_endpoints = 8, .pack_size = 1024, .flags = PTQ_PIPELINE};
    uint32_t values[3] = {20, 21, 22};
    ptq_queue *queue = open_as(bus, "p", &options);
    uint64_t count;
    ptq_msg *msg;

    if (!queue)
        return;
    for (uint32_t i = 0; i < 3; i++) {
        now->put[values[i]] = PUT_BEGUN;
        if (failed(ptq_put(queue, &values[i], 4, PTQ_NOWAIT)))
            now->put[values[i]] = PUT_REFUSED;
    }
    if (!failed(ptq_flush(queue, PTQ_NOWAIT)))
        for (uint32_t i = 0; i < 3; i++)
            if (now->put[values[i]] == PUT_BEGUN)
                now->put[values[i]] = PUT_OK;
    if (ptq_get(queue, PTQ_NOWAIT, &msg) == PTQ_OK)
        ack(msg);
    ptq_queue_close(queue);

    queue = open_as(bus, "p", &options);
    if (!queue)
        return;
    for (uint32_t i = 0; i < 3; i++)
        if (now->put[values[i]] == PUT_OK && now->acked[values[i]] == 0)
            now->put[values[i]] = PUT_BEGUN; /* purged, or not */
    failed(ptq_queue_purge(queue, &count));
    ptq_queue_close(queue);
}

/* ---- a message in a file of its own */

static void run_large(ptq_bus *bus)
{
    static unsigned char bytes[3u << 20];
    struct ptq_queue_options options = {.capacity = 2, .item_size = 4u << 20, .max_endpoints = 4};
    ptq_queue *queue = open_as(bus, "l", &options);
    ptq_msg *msg;

    if (!queue)
        return;
    for (uint32_t value = 18; value < 20; value++) {
        memcpy(bytes, &value, sizeof value);
        now->put[value] = PUT_BEGUN;
        note_put(value, ptq_put(queue, bytes, value == 18 ? sizeof bytes : sizeof value, PTQ_NOWAIT));
    }
    if (ptq_get(queue, PTQ_NOWAIT, &msg) == PTQ_OK)
        ack(msg);
    ptq_queue_close(queue);
}

void scenario_run(const char *dir, struct scenario *s)
{
    struct ptq_gc_report report;
    ptq_bus *bus;
    ptq_queue *queue;

    now = s;
    bus = open_bus(dir);
    queue = bus ? open_queue(bus) : NULL;
    if (queue) {
        for (uint32_t value = 1; value <= 5; value++)
            put_one(queue, value);
        put_batch(queue, 6);
        put_loan(queue, 9);
        poll_both(queue);
        get_some(queue);
        look(bus, queue);
        drain_some(queue);
        put_one(queue, 10);
        put_one(queue, 11);
        ptq_queue_close(queue);
        queue = open_queue(bus);
        if (queue) {
            get_some(queue);
            ptq_queue_close(queue);
        }
        run_with_all(bus);
        run_packs(bus);
        run_large(bus);
        failed(ptq_bus_gc(bus, false, &report));
    }
    ptq_bus_close(bus);
    s->done = 1;
}

/* ---- afterwards */

static uint32_t found[SCENARIO_VALUES];

static const char *drain(ptq_bus *bus, const char *name)
{
    struct ptq_queue_options options = {.mode = PTQ_ATTACH};
    ptq_queue *queue;
    ptq_msg *msg;
    enum ptq_err err = ptq_queue_open(bus, name, &options, &queue);

    if (err == PTQ_ENOENT)
        return NULL; /* it was never made, or was collected empty */
    if (err != PTQ_OK)
        return "a stranger cannot open the queue";
    while ((err = ptq_get(queue, PTQ_NOWAIT, &msg)) == PTQ_OK) {
        found[value_of(msg)]++;
        err = ptq_ack(msg);
        if (err != PTQ_OK)
            break;
    }
    ptq_queue_close(queue);
    return err == PTQ_EMPTY ? NULL : "a stranger cannot drain the queue";
}

static const char *verify(ptq_bus *bus, const char *name)
{
    struct ptq_verify_report report = {0};
    ptq_view *view;
    enum ptq_err err = ptq_view_open(bus, name, NULL, &view);

    if (err == PTQ_ENOENT)
        return NULL;
    if (err != PTQ_OK)
        return "a stranger cannot look at the queue";
    err = ptq_view_verify(view, NULL, NULL, &report);
    ptq_view_close(view);
    return err == PTQ_OK && report.quiet && report.imbalance == 0 ? NULL : "verify finds something";
}

const char *scenario_audit(const char *dir, struct scenario *s)
{
    static const char *const queues[] = {"q", "w", "w" PTQ_DEAD_SUFFIX, "p", "l"};
    struct ptq_bus_options options = {.dir = dir};
    const char *wrong = NULL;
    ptq_bus *bus;

    if (ptq_bus_open("faults", &options, &bus) != PTQ_OK)
        return "a stranger cannot open the bus";
    memset(found, 0, sizeof found);
    for (size_t i = 0; i < sizeof queues / sizeof *queues && !wrong; i++) {
        wrong = drain(bus, queues[i]);
        if (!wrong && strchr(queues[i], '!') == NULL)
            wrong = verify(bus, queues[i]);
    }
    ptq_bus_close(bus);
    for (uint32_t value = 1; value < SCENARIO_VALUES && !wrong; value++) {
        uint32_t seen = s->acked[value] + found[value];

        if (s->put[value] == PUT_OK && seen == 0)
            wrong = "a message was lost";
        else if (seen > 1)
            wrong = "a message was doubled";
        else if ((s->put[value] == NOT_PUT || s->put[value] == PUT_REFUSED) && seen > 0)
            wrong = "a refused message is in the queue";
    }
    if (!wrong && s->stuck != 0)
        wrong = "a failure stuck";
    if (!wrong && s->mute != 0)
        wrong = "an error came without a text";
    return wrong;
}
