/* test_steps.c -- the home's bridge is killed at each of its steps: nothing is lost, nothing comes twice without a flag.
 *
 * The bridge runs in a forked child, which kills itself at the n-th time that it comes by a step.  The far side is frames by
 * hand: what was asked and not answered is asked again of the next bridge under the same number, as a new session.
 */
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <unistd.h>

#include <ptq/bridge.h>
#include <ptq/version.h>

#include "base/time.h"
#include "net/kit.h"
#include "net/raw.h"
#include "remote/step.h"
#include "support/ptt.h"
#include "wire/bytes.h"
#include "wire/record.h"

#define MOST_PUTS 8u
#define MOST (3 * MOST_PUTS)
#define NTH_MOST 6u /* times that somebody comes by a step */
#define LARGE_BYTES (PTI_WIRE_LARGE_BYTES + PTI_WIRE_PIECE_BYTES)

/* What is asked: requests 1 to `puts`, then takes of one message, each settled. */
static const struct kind {
    const char *name;
    bool placed;
    unsigned puts, takes, window; /* window: how many are asked before the first is answered */
    uint32_t third;               /* each third put is a batch of so many */
    uint32_t size;
} kinds[] = {
    {"single puts and batches, one by one", false, 8, 3, 1, 3, 4},
    {"single puts and batches, five at a time", false, 8, 3, 5, 3, 4},
    {"places", true, 6, 2, 3, 1, 4},
    {"large messages in pieces", false, 3, 1, 2, 1, LARGE_BYTES},
};

/* ---- the bridge */

static enum pti_step kill_step;
static _Atomic unsigned kill_in; /* 0: never */

static void die_at(enum pti_step step)
{
    if (step == kill_step && atomic_load(&kill_in) > 0 && atomic_fetch_sub(&kill_in, 1) == 1)
        raise(SIGKILL);
}

struct home {
    struct ptt_scratch scratch;
    pid_t bridge;
    char url[128];
    int out;
    unsigned kills;
};

static int serve(void *context)
{
    struct home *home = context;
    const char *listen = "tcp://127.0.0.1:0";
    struct ptq_bridge_options options = {.listen = &listen, .listen_count = 1, .grace_ms = 60000};
    ptq_bus *bus = ptt_scratch_open(&home->scratch);
    ptq_bridge *bridge;

    pti_store_relaxed(&pti_step_hook, die_at);
    if (ptq_bridge_open(bus, &options, &bridge) != PTQ_OK)
        return 1;
    dprintf(home->out, "%s\n", ptq_bridge_url(bridge, 0));
    close(home->out);
    return ptq_bridge_run(bridge) == PTQ_OK ? 0 : 1;
}

static void start_bridge(struct home *home, enum pti_step step, unsigned nth)
{
    int ends[2];
    size_t length = 0;

    assert_int_equal(pipe(ends), 0);
    home->out = ends[1];
    kill_step = step;
    atomic_store(&kill_in, nth);
    home->bridge = ptt_fork(serve, home);
    close(ends[1]);
    while (length + 1 < sizeof home->url && read(ends[0], home->url + length, 1) == 1 && home->url[length] != '\n')
        length++;
    home->url[length] = '\0';
    close(ends[0]);
    assert_true(length > 0);
}

/* ---- the far side */

struct far {
    struct home *home;
    const struct kind *kind;
    uint64_t head; /* where the first is placed */
    struct raw raw;
    bool up, lost;
    uint8_t stream[PTI_STREAM_BYTES];
    uint64_t ack;
    uint64_t resync_to; /* requests up to here are flagged: the home did not know what became of them */
    uint64_t sent;
    bool answered[MOST_PUTS + 1];
    unsigned unflagged[MOST + 1], came[MOST + 1];
    bool settled[MOST + 1], in_doubt[MOST + 1];
    unsigned resyncs;
};

static uint32_t batch_of(const struct far *far, uint64_t number) { return number % 3 == 0 ? far->kind->third : 1; }
static uint32_t value_of(uint64_t number, uint32_t i) { return (uint32_t)(3 * (number - 1) + i + 1); }

static void hang_up(struct far *far)
{
    if (far->up)
        raw_close(&far->raw);
    far->up = false;
}

/* The next frame of this type; false: the link is gone, and with it the bridge. */
static bool await(struct far *far, enum pti_frame_type type, struct pti_frame *ret_frame)
{
    while (raw_next(&far->raw, ret_frame)) {
        if (ret_frame->type == PTI_FRAME_ERROR) {
            struct pti_error_message error = {0};
            assert_ok(pti_error_unpack(ret_frame->payload, ret_frame->length, &error));
            fail_msg("the home says: %s", error.text);
        }
        if (ret_frame->type == type)
            return true;
    }
    hang_up(far);
    far->lost = true;
    return false;
}

/* A home that dies while it is spoken to may reset the link. */
static void say_piece(struct far *far, uint8_t type, uint16_t flags, uint64_t number, const void *payload, size_t size)
{
    static uint8_t bytes[PTI_FRAME_HEADER + PTI_WIRE_PIECE_BYTES];
    struct pti_frame frame = {.type = type,
                              .flags = flags,
                              .channel = 1,
                              .number = number,
                              .ack = far->ack,
                              .length = (uint32_t)size,
                              .version = PTQ_WIRE_VERSION};

    memcpy(bytes + PTI_FRAME_HEADER, payload, size);
    pti_frame_seal(bytes, &frame);
    (void)!write(far->raw.fd, bytes, PTI_FRAME_HEADER + size);
}

static void say(struct far *far, uint8_t type, uint64_t number, const void *payload, size_t size)
{
    const uint8_t *at = payload;

    for (; size > PTI_WIRE_PIECE_BYTES; at += PTI_WIRE_PIECE_BYTES, size -= PTI_WIRE_PIECE_BYTES)
        say_piece(far, type, PTI_FRAME_MORE, number, at, PTI_WIRE_PIECE_BYTES);
    say_piece(far, type, 0, number, at, size);
}

static bool say_hello(struct far *far)
{
    struct pti_hello hello = {.version_min = 1, .version_max = PTQ_WIRE_VERSION, .limits = pti_limits_own()};
    struct pti_frame frame;

    assert_int_equal(getrandom(hello.session, sizeof hello.session, 0), sizeof hello.session);
    raw_dial(&far->raw, far->home->url);
    far->up = true;
    raw_say_hello(&far->raw, &hello, 0);
    if (!await(far, PTI_FRAME_HELLO, &frame))
        return false;
    far->raw.version = PTQ_WIRE_VERSION;
    return true;
}

static bool say_open(struct far *far)
{
    struct pti_open_message open = {
        .name = "steps", .mode = PTQ_ATTACH, .placed = far->kind->placed, .first = far->sent > 0 ? far->ack + 1 : 0};
    uint8_t bytes[PTI_CONTROL_BYTES];
    struct pti_opened opened;
    struct pti_frame frame;

    memcpy(open.stream, far->stream, sizeof open.stream);
    say(far, PTI_FRAME_OPEN, 0, bytes, pti_open_pack(&open, bytes, sizeof bytes));
    if (!await(far, PTI_FRAME_OPEN, &frame))
        return false;
    assert_ok(pti_opened_unpack(frame.payload, frame.length, &opened));
    if (!opened.stream_known && far->sent > far->ack) {
        far->resync_to = far->sent;
        far->resyncs++;
    }
    return true;
}

/* The link ended, for it killed itself. */
static void reap_bridge(struct home *home)
{
    int status = ptt_reap(home->bridge, PTT_LONG);

    if (status == -1 || !WIFSIGNALED(status))
        fail_msg("the home ended the link and lives, or did not die of a signal: %d", status);
    home->kills++;
    home->bridge = 0;
}

static void connect_again(struct far *far)
{
    while (!far->up) {
        if (far->lost) {
            reap_bridge(far->home);
            start_bridge(far->home, PTI_STEPS, 0);
        }
        far->lost = false;
        (void)!(say_hello(far) && say_open(far));
    }
}

static void say_put(struct far *far, uint64_t number)
{
    static uint8_t bytes[LARGE_BYTES + 64];
    bool placed = far->kind->placed;
    size_t size = placed ? PTI_PLACE_HEAD : PTI_PUT_HEAD;

    if (placed)
        pti_write_place_head(bytes, far->head + number - 1, 20000);
    else
        pti_write_put_head(bytes, batch_of(far, number), 20000);
    for (uint32_t i = 0; i < batch_of(far, number); i++) {
        uint32_t value = value_of(number, i);
        struct pti_record record = {.size = far->kind->size, .redelivered = number <= far->resync_to};
        size += pti_write_put_record(bytes + size, &record);
        memset(bytes + size, (int)value, record.size);
        memcpy(bytes + size, &value, sizeof value);
        size += record.size;
    }
    if (number > far->sent)
        far->sent = number;
    say(far, placed ? PTI_FRAME_PLACE : PTI_FRAME_PUT, number, bytes, size);
}

/* The results that come, until this one's. */
static bool await_result(struct far *far, uint64_t number, struct pti_result *ret_result)
{
    struct pti_frame frame;

    while (await(far, PTI_FRAME_RESULT, &frame)) {
        size_t count;
        bool found = false;
        assert_ok(pti_read_results(frame.length, &count));
        for (size_t i = 0; i < count; i++) {
            struct pti_result result;
            pti_read_result(frame.payload, i, &result);
            if (result.number <= far->kind->puts) {
                assert_int_equal(result.code, PTQ_OK);
                far->answered[result.number] = true;
            }
            if (result.number == number) {
                *ret_result = result;
                found = true;
            }
        }
        if (found)
            return true;
    }
    return false;
}

static void advance_ack(struct far *far)
{
    while (far->ack < far->kind->puts && far->answered[far->ack + 1])
        far->ack++;
}

static void put_all(struct far *far)
{
    struct pti_result result;
    unsigned puts = far->kind->puts, window = far->kind->window;

    while (far->ack < puts) {
        uint64_t first = far->ack + 1, last = first + window - 1 < puts ? first + window - 1 : puts;
        connect_again(far);
        for (uint64_t n = first; n <= last; n++)
            if (!far->answered[n])
                say_put(far, n);
        while (first <= last && (far->answered[first] || await_result(far, first, &result)))
            first++;
        advance_ack(far);
    }
}

/* ---- taking */

static void note(struct far *far, const struct pti_record *record, uint32_t *ret_value)
{
    uint32_t value;

    assert_int_equal(record->size, far->kind->size);
    memcpy(&value, record->body, sizeof value);
    assert_in_range(value, 1, MOST);
    far->came[value]++;
    far->unflagged[value] += !record->redelivered;
    *ret_value = value;
}

/* One message, and all its pieces; of its body no more than the first. */
static bool await_message(struct far *far, struct pti_record *ret_record)
{
    static uint8_t head[256];
    struct pti_frame frame;
    size_t body_at;

    if (!await(far, PTI_FRAME_MESSAGES, &frame))
        return false;
    memcpy(head, frame.payload, frame.length < sizeof head ? frame.length : sizeof head);
    assert_true(pti_read_beginning(head, frame.length < sizeof head ? frame.length : sizeof head, true, ret_record, &body_at));
    ret_record->body = head + body_at;
    while (frame.flags & PTI_FRAME_MORE) {
        if (!await(far, PTI_FRAME_MESSAGES, &frame))
            return false;
    }
    return true;
}

static void take_some(struct far *far)
{
    uint64_t number = far->kind->puts;
    uint32_t value;

    for (unsigned taken = 0; taken < far->kind->takes;) {
        struct pti_take take = {.max = 1, .timeout = 20000};
        uint8_t bytes[64];
        struct pti_record record;
        struct pti_result result;

        connect_again(far);
        pti_write_take(bytes, &take);
        say(far, PTI_FRAME_TAKE, ++number, bytes, PTI_TAKE_BYTES);
        if (!await_message(far, &record))
            continue;
        note(far, &record, &value);
        struct pti_settle settle = {
            .position = record.position, .sub = record.sub, .deliveries = record.deliveries, .verb = PTI_SETTLE_ACK};
        pti_write_settle(bytes, &settle);
        far->in_doubt[value] = true;
        say(far, PTI_FRAME_SETTLE, ++number, bytes, PTI_SETTLE_BYTES);
        if (!await_result(far, number, &result))
            continue;
        assert_int_equal(result.code, PTQ_OK);
        far->in_doubt[value] = false;
        far->settled[value] = true;
        taken++;
    }
}

/* What is left, on the home's own host. */
static void drain(struct far *far, ptq_queue *queue)
{
    ptq_msg *msg;

    while (ptq_get(queue, PTQ_NOWAIT, &msg) == PTQ_OK) {
        uint32_t value;
        struct pti_record record = {.body = ptq_msg_data(msg),
                                    .size = (uint32_t)ptq_msg_size(msg),
                                    .redelivered = ptq_msg_redelivered(msg)};
        note(far, &record, &value);
        if (far->settled[value])
            fail_msg("message %u was acked, and comes again", value);
        far->settled[value] = true;
        assert_ok(ptq_ack(msg));
    }
}

static void assert_all_there(const struct far *far)
{
    for (uint64_t n = 1; n <= far->kind->puts; n++) {
        for (uint32_t i = 0; i < batch_of(far, n); i++) {
            uint32_t value = value_of(n, i);
            if (far->came[value] == 0)
                fail_msg("message %u is lost", value);
            if (far->unflagged[value] > 1)
                fail_msg("message %u came %u times without a flag", value, far->unflagged[value]);
            if (!far->settled[value] && !far->in_doubt[value])
                fail_msg("message %u was not settled", value);
        }
    }
}

/* ---- */

static struct {
    unsigned runs, kills, resyncs;
} totals;

static ptq_queue *open_queue(ptq_bus *bus, const struct kind *kind)
{
    return kind->placed ? net_open_pool(bus, "steps", true, 32)
                        : net_open(bus, "steps", &(struct ptq_queue_options){.capacity = 64, .item_size = kind->size});
}

/* True: it was killed there. */
static bool run_killed_at(enum pti_step step, unsigned nth, const struct kind *kind)
{
    static struct far far;
    struct home home = {0};
    struct pti_result result;

    ptt_scratch_init_dir(&home.scratch);
    ptq_bus *bus = ptt_scratch_open(&home.scratch);
    ptq_queue *queue = open_queue(bus, kind);
    far = (struct far){.home = &home, .kind = kind};
    if (kind->placed)
        assert_ok(pti_queue_head(queue, &far.head));
    assert_int_equal(getrandom(far.stream, sizeof far.stream, 0), sizeof far.stream);
    start_bridge(&home, step, nth);
    put_all(&far);
    take_some(&far);
    connect_again(&far);
    say(&far, PTI_FRAME_CLOSE, 1000, "", 0);
    (void)await_result(&far, 1000, &result);
    hang_up(&far);
    if (far.lost)
        reap_bridge(&home);
    else
        ptt_kill(home.bridge);
    drain(&far, queue);
    assert_all_there(&far);
    struct ptq_queue_stats stats;
    assert_ok(ptq_queue_stats(queue, &stats));
    assert_int_equal(stats.put, stats.acked);
    totals.runs++;
    totals.kills += home.kills;
    totals.resyncs += far.resyncs;
    ptq_queue_close(queue);
    ptq_bus_close(bus);
    ptt_scratch_fini(&home.scratch);
    return home.kills > 0;
}

/* The home has known the stream since before anything was put, so that nothing needs a flag. */
static void kill_at_every_step(const struct kind *kind)
{
    memset(&totals, 0, sizeof totals);
    for (enum pti_step step = PTI_STEP_HELLO_READ; step <= PTI_STEP_CLOSE_READ; step++) {
        unsigned nth = 1;
        while (nth <= NTH_MOST && run_killed_at(step, nth, kind))
            nth++;
        if (nth == 1 && (step != PTI_STEP_PIECE_READ || kind->size > PTI_WIRE_LARGE_BYTES))
            fail_msg("nobody comes by step %u", step);
    }
    print_message("%s: runs=%u kills=%u lost=0 doubled=0 asked_as_new=%u\n", kind->name, totals.runs, totals.kills, totals.resyncs);
    assert_int_equal(totals.resyncs, 0);
}

static void a_bridge_killed_at_any_step_of_puts_loses_and_doubles_nothing(void **state)
{
    (void)state;
    kill_at_every_step(&kinds[0]);
}

static void a_bridge_killed_at_any_step_of_many_puts_at_once_loses_and_doubles_nothing(void **state)
{
    (void)state;
    kill_at_every_step(&kinds[1]);
}

static void a_bridge_killed_at_any_step_of_places_loses_and_doubles_nothing(void **state)
{
    (void)state;
    kill_at_every_step(&kinds[2]);
}

static void a_bridge_killed_at_any_step_of_large_messages_loses_and_doubles_nothing(void **state)
{
    (void)state;
    kill_at_every_step(&kinds[3]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_bridge_killed_at_any_step_of_puts_loses_and_doubles_nothing),
        cmocka_unit_test(a_bridge_killed_at_any_step_of_many_puts_at_once_loses_and_doubles_nothing),
        cmocka_unit_test(a_bridge_killed_at_any_step_of_places_loses_and_doubles_nothing),
        cmocka_unit_test(a_bridge_killed_at_any_step_of_large_messages_loses_and_doubles_nothing),
    };

    signal(SIGPIPE, SIG_IGN);
    return ptt_run_beside(tests, sizeof tests / sizeof *tests, 4);
}
