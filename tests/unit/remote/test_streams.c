/* test_streams.c -- rows of streams: kept over processes, read back after a kill, bounded, let go by the clock. */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/time.h"
#include "bus/bus.h"
#include "os/clock.h"
#include "queue/port.h"
#include "remote/streams.h"
#include "support/ptt.h"

#define ID ((const uint8_t *)"a stream of a te")
#define KEY(n) ((struct pti_stream_key){.number = (n)})

static struct pti_port *open_port(ptq_bus *bus)
{
    struct pti_open open = {.options = {.capacity = 64, .item_size = 64}};
    struct ptq_error error = {0};
    struct pti_port *port;

    if (pti_carriers.open_local(bus, "q", &open, &error, &port) != PTQ_OK)
        fail_msg("%s", error.text);
    return port;
}

static void close_port(struct pti_port *port) { port->ops->close(port, PTI_DEADLINE_NOW); }

static struct pti_streams *open_streams(ptq_bus *bus)
{
    struct pti_streams *streams;

    assert_ok(pti_streams_open(bus, &streams));
    return streams;
}

static enum ptq_err try_find(struct pti_streams *streams, const uint8_t id[16], const struct pti_port *port,
                             struct pti_stream **ret_stream, bool *ret_known)
{
    struct pti_stream_asker asker = {.stream = id, .queue = "q", .queue_id = port->id, .has_put = true};

    return pti_stream_find(streams, &asker, ret_stream, ret_known);
}

static struct pti_stream *find(struct pti_streams *streams, const uint8_t id[16], const struct pti_port *port, bool *ret_known)
{
    struct pti_stream *stream;

    assert_ok(try_find(streams, id, port, &stream, ret_known));
    return stream;
}

enum kill_at { AT_CONFIRMED, AT_INTENT, AT_REFUSED, AT_PUT, AT_FACT };

struct life {
    ptq_bus *bus;
    const struct ptt_scratch *scratch;
    enum kill_at at;
    uint64_t number;
    size_t batch;
};

static enum ptq_err put_noted(struct pti_port *port, size_t count, uint32_t stream, uint64_t serial, uint64_t *ret_position)
{
    struct pti_put puts[8];

    for (size_t i = 0; i < 8; i++)
        puts[i] = (struct pti_put){.data = "message", .size = 7, .stream = stream, .number = serial};
    return count == 1 ? port->ops->put(port, puts, PTI_DEADLINE_NOW, ret_position)
                      : port->ops->put_many(port, puts, count, PTI_DEADLINE_NOW, ret_position);
}

/* A bridge that is killed at this step of the put of this number. */
static int serve_and_die(void *context)
{
    const struct life *life = context;
    ptq_bus *bus = ptt_scratch_open(life->scratch);
    struct pti_port *port = open_port(bus);
    struct pti_streams *streams;
    struct pti_stream *stream;
    uint64_t position, serial;
    uint32_t tag;
    bool known;

    if (pti_streams_open(bus, &streams) != PTQ_OK || pti_streams_why(streams) != NULL ||
        try_find(streams, ID, port, &stream, &known) != PTQ_OK ||
        pti_stream_done(stream, KEY(life->number), &position))
        return 1;
    if (life->at >= AT_INTENT)
        pti_stream_intend(stream, KEY(life->number), &tag, &serial);
    if (life->at == AT_REFUSED && put_noted(port, 5, tag, serial, &position) != PTQ_FULL)
        return 3;
    if (life->at >= AT_PUT && put_noted(port, life->batch, tag, serial, &position) != PTQ_OK)
        return 4;
    if (life->at >= AT_FACT)
        pti_stream_fact(stream, KEY(life->number), position);
    return raise(SIGKILL);
}

static void live_until(const struct ptt_scratch *scratch, enum kill_at at, uint64_t number, size_t batch)
{
    struct life life = {.scratch = scratch, .at = at, .number = number, .batch = batch};
    int status = ptt_reap(ptt_fork(serve_and_die, &life), PTT_LONG);

    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static uint64_t ready(struct pti_port *port)
{
    struct ptq_queue_stats stats;

    assert_ok(port->ops->stats(port, &stats));
    return stats.ready;
}

/* ---- read back */

static void what_a_killed_bridge_did_is_known_and_what_it_did_not_is_not(void **state)
{
    struct ptt_scratch *scratch = *state;
    struct pti_port *port = open_port(scratch->bus);
    uint64_t position, there = 0, number = 0;
    bool known;

    for (size_t batch = 1; batch <= 3; batch++) {
        for (enum kill_at at = AT_CONFIRMED; at <= AT_FACT; at++) {
            if (at == AT_REFUSED)
                continue;
            live_until(scratch, at, ++number, batch);
            struct pti_streams *streams = open_streams(scratch->bus);
            struct pti_stream *stream = find(streams, ID, port, &known);
            bool done = pti_stream_done(stream, KEY(number), &position);
            there += done ? batch : 0;
            assert_true(known);
            assert_int_equal(done, at >= AT_PUT);
            assert_int_equal(ready(port), there);
            pti_streams_close(streams);
        }
    }
    close_port(port);
}

static void the_position_of_a_put_is_known_after_a_kill(void **state)
{
    struct ptt_scratch *scratch = *state;
    struct pti_port *port = open_port(scratch->bus);
    struct ptq_msg *msg;
    uint64_t position;
    size_t count;
    bool known;

    live_until(scratch, AT_PUT, 1, 1);
    assert_ok(port->ops->take(port, 1, PTI_DEADLINE_NOW, &msg, &count));
    uint64_t at = msg->position;
    assert_ok(port->ops->ack(port, msg));
    struct pti_streams *streams = open_streams(scratch->bus);
    assert_true(pti_stream_done(find(streams, ID, port, &known), KEY(1), &position));
    assert_int_equal(position, at);
    pti_streams_close(streams);
    close_port(port);
}

/* Whoever takes over the dead bridge's entry counts on in it. */
static void a_stranger_in_the_entry_does_not_make_a_fact(void **state)
{
    struct ptt_scratch *scratch = *state;
    struct pti_port *keeper = open_port(scratch->bus);
    uint64_t position;
    bool known;

    live_until(scratch, AT_INTENT, 1, 1);
    live_until(scratch, AT_PUT, 2, 1);
    for (int lives = 0; lives < 6; lives++) {
        struct pti_port *strangers[4];
        for (int i = 0; i < 4; i++) {
            strangers[i] = open_port(scratch->bus);
            assert_ok(put_noted(strangers[i], 1, 0, 0, &position));
        }
        for (int i = 0; i < 4; i++)
            close_port(strangers[i]);
    }
    struct pti_streams *streams = open_streams(scratch->bus);
    struct pti_stream *stream = find(streams, ID, keeper, &known);
    assert_false(pti_stream_done(stream, KEY(1), &position));
    assert_true(pti_stream_done(stream, KEY(2), &position));
    pti_streams_close(streams);
    close_port(keeper);
}

static void a_put_that_found_no_room_is_no_fact(void **state)
{
    struct ptt_scratch *scratch = *state;
    struct pti_port *port = open_port(scratch->bus);
    uint64_t position;
    bool known;

    for (int i = 0; i < 60; i++)
        assert_ok(put_noted(port, 1, 0, 0, &position));
    live_until(scratch, AT_REFUSED, 1, 1);
    struct pti_streams *streams = open_streams(scratch->bus);
    struct pti_stream *stream = find(streams, ID, port, &known);
    assert_true(known);
    assert_false(pti_stream_done(stream, KEY(1), &position));
    pti_streams_close(streams);
    close_port(port);
}

static void a_queue_that_is_gone_makes_its_stream_unknown(void **state)
{
    struct ptt_scratch *scratch = *state;
    struct pti_port *port = open_port(scratch->bus);
    bool known;

    live_until(scratch, AT_PUT, 1, 1);
    close_port(port);
    assert_ok(ptq_queue_unlink(scratch->bus, "q", true));
    port = open_port(scratch->bus);
    struct pti_streams *streams = open_streams(scratch->bus);
    (void)find(streams, ID, port, &known);
    assert_false(known);
    pti_streams_close(streams);
    close_port(port);
}

static void a_stream_is_not_known_before_its_sender_knew_it(void **state)
{
    struct ptt_scratch *scratch = *state;
    struct pti_port *port = open_port(scratch->bus);
    uint64_t position;
    bool known;

    struct pti_streams *streams = open_streams(scratch->bus);
    (void)find(streams, ID, port, &known);
    assert_false(known);
    pti_streams_close(streams);
    streams = open_streams(scratch->bus);
    struct pti_stream *stream = find(streams, ID, port, &known); /* the answer to the first OPEN may never have come */
    assert_false(known);
    assert_false(pti_stream_done(stream, KEY(1), &position));
    (void)find(streams, ID, port, &known);
    assert_true(known);
    pti_streams_close(streams);
    close_port(port);
}

/* It cannot have asked for anything that is not here. */
static void a_stream_that_has_put_nothing_is_known_at_once(void **state)
{
    struct ptt_scratch *scratch = *state;
    struct pti_port *port = open_port(scratch->bus);
    struct pti_stream_asker asker = {.stream = ID, .queue = "q", .queue_id = port->id};
    struct pti_streams *streams = open_streams(scratch->bus);
    struct pti_stream *stream;
    bool known = false;

    assert_ok(pti_stream_find(streams, &asker, &stream, &known));
    assert_true(known);
    pti_streams_close(streams);
    streams = open_streams(scratch->bus);
    (void)find(streams, ID, port, &known);
    assert_true(known);
    pti_streams_close(streams);
    close_port(port);
}

/* ---- facts */

static void add(struct pti_stream *stream, uint64_t number, uint32_t sub)
{
    struct pti_stream_key key = {number, sub};
    uint64_t serial;
    uint32_t tag;

    pti_stream_intend(stream, key, &tag, &serial);
    pti_stream_fact(stream, key, number * 10 + sub);
}

static void facts_are_kept_until_they_were_received(void **state)
{
    struct ptt_scratch *scratch = *state;
    struct pti_port *port = open_port(scratch->bus);
    struct pti_streams *streams = open_streams(scratch->bus);
    uint64_t position;
    bool known;
    struct pti_stream *stream = find(streams, ID, port, &known);

    for (uint64_t n = 1; n <= PTI_STREAM_FACTS; n++)
        add(stream, n, 0);
    pti_stream_forget(stream, KEY(200));
    add(stream, 321, 0);
    assert_false(pti_stream_done(stream, KEY(200), &position));
    assert_true(pti_stream_done(stream, KEY(321), &position));
    assert_int_equal(position, 3210);
    pti_stream_received(stream, 319);
    assert_false(pti_stream_done(stream, KEY(319), &position));
    pti_streams_close(streams);

    streams = open_streams(scratch->bus);
    stream = find(streams, ID, port, &known);
    assert_true(pti_stream_done(stream, KEY(320), &position) && pti_stream_done(stream, KEY(321), &position));
    assert_false(pti_stream_done(stream, KEY(319), &position) || pti_stream_done(stream, KEY(322), &position));
    assert_int_equal(pti_stream_floor(stream), 319);
    add(stream, 400, 2);
    assert_true(pti_stream_done(stream, (struct pti_stream_key){400, 2}, &position));
    assert_false(pti_stream_done(stream, (struct pti_stream_key){400, 1}, &position));
    pti_stream_close(stream);
    stream = find(streams, ID, port, &known);
    assert_false(known || pti_stream_done(stream, KEY(321), &position));
    pti_stream_close(stream);
    pti_streams_close(streams);
    assert_int_not_equal(faccessat(scratch->bus->dirfd, PTI_STREAMS_FILE, F_OK, 0), 0); /* it goes with its last row */
    close_port(port);
}

/* More than can be kept: nothing is refused, but the next bridge does not believe the row, until all that was received. */
static void a_row_that_overflows_is_not_believed(void **state)
{
    struct ptt_scratch *scratch = *state;
    struct pti_port *port = open_port(scratch->bus);
    struct pti_streams *streams = open_streams(scratch->bus);
    uint64_t position;
    bool known;
    struct pti_stream *stream = find(streams, ID, port, &known);

    for (uint64_t n = 1; n <= PTI_STREAM_FACTS + 1; n++) {
        assert_false(pti_stream_done(stream, KEY(n), &position));
        add(stream, n, 0);
    }
    pti_stream_received(stream, 320);
    assert_false(pti_stream_done(stream, KEY(400), &position));
    (void)find(streams, ID, port, &known);
    assert_false(known);
    pti_stream_received(stream, 321);
    assert_false(pti_stream_done(stream, KEY(400), &position));
    (void)find(streams, ID, port, &known);
    assert_true(known);
    pti_stream_close(stream);
    pti_streams_close(streams);
    close_port(port);
}

/* ---- bounds */

static void a_stream_is_kept_for_ten_minutes(void **state)
{
    struct ptt_scratch *scratch = *state;
    struct pti_port *port = open_port(scratch->bus);
    struct pti_streams *streams = open_streams(scratch->bus);
    int64_t now = pti_host_ns();
    bool known;
    struct pti_stream *stream = find(streams, ID, port, &known), *live = find(streams, ID + 1, port, &known);

    add(stream, 1, 0);
    pti_stream_leave(stream, now);
    pti_streams_expire(streams, now + PTI_STREAM_KEPT_NS - 1);
    assert_int_equal(pti_streams_count(streams), 2);
    pti_streams_expire(streams, now + PTI_STREAM_KEPT_NS);
    assert_int_equal(pti_streams_count(streams), 1);
    pti_stream_close(live); /* which is never let go by the clock */
    pti_streams_close(streams);
    close_port(port);
}

static void there_is_an_end_to_streams(void **state)
{
    struct ptt_scratch *scratch = *state;
    struct pti_port *port = open_port(scratch->bus);
    struct pti_streams *streams = open_streams(scratch->bus);
    struct pti_stream *stream, *first = NULL;
    uint8_t id[16] = {1};
    bool known;

    for (uint32_t n = 0; n < PTI_STREAMS_MOST; n++) {
        memcpy(id + 4, &n, sizeof n);
        stream = find(streams, id, port, &known);
        first = first != NULL ? first : stream;
    }
    assert_answer(PTQ_EAGAIN, try_find(streams, ID, port, &stream, &known));
    pti_stream_close(first);
    assert_ok(try_find(streams, ID, port, &stream, &known));
    pti_streams_close(streams);
    close_port(port);
}

static void a_second_bridge_keeps_its_rows_to_itself_until_the_first_ends(void **state)
{
    struct ptt_scratch *scratch = *state;
    struct pti_port *port = open_port(scratch->bus);
    struct pti_streams *first = open_streams(scratch->bus);
    bool known;
    (void)find(first, ID + 1, port, &known);
    struct pti_streams *second = open_streams(scratch->bus);
    int64_t until = pti_host_ns() + INT64_C(20000000000);
    uint64_t position;

    assert_null(pti_streams_why(first));
    assert_non_null(strstr(pti_streams_why(second), "another bridge"));
    add(find(second, ID, port, &known), 1, 0);
    assert_true(pti_stream_done(find(second, ID, port, &known), KEY(1), &position));
    add(find(first, ID + 1, port, &known), 7, 0);
    (void)pti_stream_done(find(first, ID + 1, port, &known), KEY(7), &position);
    pti_streams_close(first);
    while (pti_streams_why(second) != NULL && pti_host_ns() < until)
        (void)find(second, ID, port, &known);
    assert_null(pti_streams_why(second));
    assert_true(pti_stream_done(find(second, ID, port, &known), KEY(1), &position));
    assert_true(pti_stream_done(find(second, ID + 1, port, &known), KEY(7), &position));
    pti_streams_close(second);
    close_port(port);
}

static void a_damaged_file_is_made_anew(void **state)
{
    struct ptt_scratch *scratch = *state;
    struct pti_port *port = open_port(scratch->bus);
    bool known;

    live_until(scratch, AT_FACT, 1, 1);
    int fd = openat(scratch->bus->dirfd, PTI_STREAMS_FILE, O_RDWR | O_CLOEXEC);
    assert_int_equal(pwrite(fd, "garbage!", 8, 0), 8);
    close(fd);
    struct pti_streams *streams = open_streams(scratch->bus);
    assert_null(pti_streams_why(streams));
    struct pti_stream *stream = find(streams, ID, port, &known);
    assert_false(known);
    pti_stream_close(stream);
    pti_streams_close(streams);
    fd = openat(scratch->bus->dirfd, PTI_STREAMS_FILE, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(write(fd, "x", 1), 1);
    close(fd);
    streams = open_streams(scratch->bus);
    assert_null(pti_streams_why(streams));
    pti_streams_close(streams);
    close_port(port);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, ptt_setup_scratch, ptt_teardown_scratch)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(what_a_killed_bridge_did_is_known_and_what_it_did_not_is_not),
        CASE(the_position_of_a_put_is_known_after_a_kill),
        CASE(a_stranger_in_the_entry_does_not_make_a_fact),
        CASE(a_put_that_found_no_room_is_no_fact),
        CASE(a_queue_that_is_gone_makes_its_stream_unknown),
        CASE(a_stream_is_not_known_before_its_sender_knew_it),
        CASE(a_stream_that_has_put_nothing_is_known_at_once),
        CASE(facts_are_kept_until_they_were_received),
        CASE(a_row_that_overflows_is_not_believed),
        CASE(a_stream_is_kept_for_ten_minutes),
        CASE(there_is_an_end_to_streams),
        CASE(a_second_bridge_keeps_its_rows_to_itself_until_the_first_ends),
        CASE(a_damaged_file_is_made_anew),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
