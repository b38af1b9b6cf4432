/* byhand.c -- a home that dies at a step, and a far side made of frames. */
#include "net/byhand.h"

#include <sched.h>
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
#include "net/dying.h"
#include "net/kit.h"
#include "base/bytes.h"
#include "wire/record.h"

/* ---- the bridge */

static int serve(void *context)
{
    struct hand_home *home = context;
    const char *listen = home->listen[0] != '\0' ? home->listen : "tcp://127.0.0.1:0";
    struct ptq_bridge_options options = {.listen = &listen, .listen_count = 1,
                                         .grace_ms = home->grace_ms != 0 ? home->grace_ms : 60000};
    ptq_bus *bus = ptt_scratch_open(&home->scratch);
    ptq_bridge *bridge;
    struct ptq_error error = {0};

    dying_begin();
    if (home->prepare != NULL)
        home->prepare();
    options.error = &error;
    if (ptq_bridge_open(bus, &options, &bridge) != PTQ_OK) {
        fprintf(stderr, "%s\n", error.text);
        return 1;
    }
    dprintf(home->out, "%s\n", ptq_bridge_url(bridge, 0));
    close(home->out);
    return ptq_bridge_run(bridge) == PTQ_OK ? 0 : 1;
}

void hand_start_bridge(struct hand_home *home, enum pti_step step, unsigned nth)
{
    int ends[2];

    if (home->starts != NULL)
        home->starts(home, false);
    assert_int_equal(pipe(ends), 0);
    home->out = ends[1];
    dying_at(step, nth);
    home->bridge = ptt_fork(serve, home);
    close(ends[1]);
    net_read_line(ends[0], home->url, sizeof home->url);
    close(ends[0]);
    assert_true(home->url[0] != '\0');
    if (home->starts != NULL)
        home->starts(home, true);
}

/* ---- the far side */

static uint32_t batch_of(const struct hand_far *far, uint64_t number) { return number % 3 == 0 ? far->kind->third : 1; }
static uint32_t value_of(uint64_t number, uint32_t i) { return (uint32_t)(3 * (number - 1) + i + 1); }

void hand_hang_up(struct hand_far *far)
{
    if (far->up)
        raw_close(&far->raw);
    far->up = false;
}

/* The next frame of this type; false: the link is gone, and with it the bridge. */
bool hand_await(struct hand_far *far, enum pti_frame_type type, struct pti_frame *ret_frame)
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
    hand_hang_up(far);
    far->lost = true;
    return false;
}

/* A home that dies while it is spoken to may reset the link. */
static void say_piece(struct hand_far *far, uint8_t type, uint16_t flags, uint64_t number, const void *payload, size_t size)
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

void hand_say(struct hand_far *far, uint8_t type, uint64_t number, const void *payload, size_t size)
{
    const uint8_t *at = payload;

    for (; size > PTI_WIRE_PIECE_BYTES; at += PTI_WIRE_PIECE_BYTES, size -= PTI_WIRE_PIECE_BYTES)
        say_piece(far, type, PTI_FRAME_MORE, number, at, PTI_WIRE_PIECE_BYTES);
    say_piece(far, type, 0, number, at, size);
}

bool hand_say_hello(struct hand_far *far)
{
    struct pti_hello hello = {.version_min = 1, .version_max = PTQ_WIRE_VERSION, .limits = pti_limits_own()};
    struct pti_frame frame;

    assert_int_equal(getrandom(hello.session, sizeof hello.session, 0), sizeof hello.session);
    raw_dial(&far->raw, far->home->url);
    far->up = true;
    raw_say_hello(&far->raw, &hello, 0);
    if (!hand_await(far, PTI_FRAME_HELLO, &frame))
        return false;
    far->raw.version = PTQ_WIRE_VERSION;
    return true;
}

static void say_open(struct hand_far *far)
{
    struct pti_open_message open = {
        .name = "steps", .mode = PTQ_ATTACH, .placed = far->kind->placed, .first = far->sent > 0 ? far->ack + 1 : 0};
    uint8_t bytes[PTI_CONTROL_BYTES];

    memcpy(open.stream, far->stream, sizeof open.stream);
    hand_say(far, PTI_FRAME_OPEN, 0, bytes, pti_open_pack(&open, bytes, sizeof bytes));
}

static void note_opened(struct hand_far *far, const struct pti_frame *frame, struct pti_opened *opened)
{
    assert_ok(pti_opened_unpack(frame->payload, frame->length, opened));
    assert_true(opened->streams);
    if (!opened->stream_known && far->sent > far->ack) {
        far->resync_to = far->sent;
        far->resyncs++;
    }
}

bool hand_open(struct hand_far *far)
{
    struct pti_opened opened;
    struct pti_frame frame;

    say_open(far);
    if (!hand_await(far, PTI_FRAME_OPEN, &frame))
        return false;
    note_opened(far, &frame, &opened);
    return true;
}

bool hand_try_open(struct hand_far *far, struct pti_opened *ret_opened, struct pti_error_message *ret_error)
{
    struct pti_frame frame;

    say_open(far);
    while (raw_next(&far->raw, &frame)) {
        if (frame.type == PTI_FRAME_OPEN) {
            note_opened(far, &frame, ret_opened);
            return true;
        }
        if (frame.type == PTI_FRAME_ERROR) {
            assert_ok(pti_error_unpack(frame.payload, frame.length, ret_error));
            return false;
        }
    }
    fail_msg("the home ended the link over an OPEN");
    return false;
}

/* The link ended, for it killed itself. */
void hand_reap_bridge(struct hand_home *home)
{
    int status = ptt_reap(home->bridge, PTT_LONG);

    if (status == -1 || !WIFSIGNALED(status))
        fail_msg("the home ended the link and lives, or did not die of a signal: %d", status);
    home->kills++;
    home->bridge = 0;
}

void hand_connect(struct hand_far *far)
{
    while (!far->up) {
        if (far->lost) {
            hand_reap_bridge(far->home);
            hand_start_bridge(far->home, PTI_STEPS, 0);
        }
        far->lost = false;
        (void)!(hand_say_hello(far) && hand_open(far));
    }
}

static void say_put(struct hand_far *far, uint64_t number)
{
    static uint8_t bytes[HAND_LARGE_BYTES + 64];
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
    if (far->kind->packs)
        say_piece(far, PTI_FRAME_PUT, PTI_FRAME_CHAINED, number, bytes, size);
    else
        hand_say(far, placed ? PTI_FRAME_PLACE : PTI_FRAME_PUT, number, bytes, size);
}

/* The results that come, until this one's. */
bool hand_await_result(struct hand_far *far, uint64_t number, struct pti_result *ret_result)
{
    struct pti_frame frame;

    while (hand_await(far, PTI_FRAME_RESULT, &frame)) {
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

static void advance_ack(struct hand_far *far)
{
    while (far->ack < far->kind->puts && far->answered[far->ack + 1])
        far->ack++;
}

void hand_put_all(struct hand_far *far)
{
    struct pti_result result;
    unsigned puts = far->kind->puts, window = far->kind->window;

    while (far->ack < puts) {
        uint64_t first = far->ack + 1, last = first + window - 1 < puts ? first + window - 1 : puts;
        hand_connect(far);
        for (uint64_t n = first; n <= last; n++)
            if (!far->answered[n])
                say_put(far, n);
        while (first <= last && (far->answered[first] || hand_await_result(far, first, &result)))
            first++;
        advance_ack(far);
    }
}

/* ---- taking */

static void note(struct hand_far *far, const struct pti_record *record, uint32_t *ret_value)
{
    uint32_t value;

    assert_int_equal(record->size, far->kind->size);
    memcpy(&value, record->body, sizeof value);
    assert_in_range(value, 1, HAND_MOST);
    far->came[value]++;
    far->unflagged[value] += !record->redelivered;
    *ret_value = value;
}

/* One message, and all its pieces; of its body no more than the first. */
static bool await_message(struct hand_far *far, struct pti_record *ret_record)
{
    static uint8_t head[256];
    struct pti_frame frame;
    size_t body_at;

    if (!hand_await(far, PTI_FRAME_MESSAGES, &frame))
        return false;
    memcpy(head, frame.payload, frame.length < sizeof head ? frame.length : sizeof head);
    assert_true(pti_read_beginning(head, frame.length < sizeof head ? frame.length : sizeof head, true, ret_record, &body_at));
    ret_record->body = head + body_at;
    while (frame.flags & PTI_FRAME_MORE) {
        if (!hand_await(far, PTI_FRAME_MESSAGES, &frame))
            return false;
    }
    return true;
}

void hand_take_some(struct hand_far *far)
{
    uint64_t number = far->kind->puts;
    uint32_t value;

    for (unsigned taken = 0; taken < far->kind->takes;) {
        struct pti_take take = {.max = 1, .timeout = 20000};
        uint8_t bytes[64];
        struct pti_record record;
        struct pti_result result;

        hand_connect(far);
        pti_write_take(bytes, &take);
        hand_say(far, PTI_FRAME_TAKE, ++number, bytes, PTI_TAKE_BYTES);
        if (!await_message(far, &record))
            continue;
        note(far, &record, &value);
        struct pti_settle settle = {
            .position = record.position, .sub = record.sub, .deliveries = record.deliveries, .verb = PTI_SETTLE_ACK};
        pti_write_settle(bytes, &settle);
        far->in_doubt[value] = true;
        hand_say(far, PTI_FRAME_SETTLE, ++number, bytes, PTI_SETTLE_BYTES);
        if (!hand_await_result(far, number, &result))
            continue;
        assert_int_equal(result.code, PTQ_OK);
        far->in_doubt[value] = false;
        far->settled[value] = true;
        taken++;
    }
}

/* Waits while a bridge has the rest of a pack, of which it was asked for less, or a killed one had. */
static bool get_next(ptq_queue *queue, ptq_msg **ret_msg)
{
    int64_t until = pti_now_ns() + PTT_LONG * PTI_NS_PER_MS;
    struct ptq_queue_stats stats;

    for (;;) {
        if (ptq_get(queue, PTQ_NOWAIT, ret_msg) == PTQ_OK)
            return true;
        assert_ok(ptq_queue_stats(queue, &stats));
        if (stats.ready + stats.leased == 0 || pti_now_ns() > until)
            return false;
        sched_yield();
    }
}

/* What is left, on the home's own host. */
void hand_drain(struct hand_far *far, ptq_queue *queue)
{
    ptq_msg *msg;

    while (far->kind->packs ? get_next(queue, &msg) : ptq_get(queue, PTQ_NOWAIT, &msg) == PTQ_OK) {
        uint32_t value;
        struct pti_record record = {.body = ptq_msg_data(msg),
                                    .size = (uint32_t)ptq_msg_size(msg),
                                    .redelivered = ptq_msg_redelivered(msg)};
        note(far, &record, &value);
        if (far->settled[value] && far->resyncs == 0) /* else this is its second copy */
            fail_msg("message %u was acked, and comes again", value);
        far->settled[value] = true;
        assert_ok(ptq_ack(msg));
    }
}

void hand_assert_all_there(const struct hand_far *far)
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

/* ---- all of it */

ptq_queue *hand_open_queue(ptq_bus *bus, const struct hand_kind *kind)
{
    struct ptq_queue_options options = {.capacity = 32, .item_size = kind->size, .max_endpoints = 8, .prefault = kind->size < 4096,
                                        .pack_size = kind->packs ? 2 * 16 : 0};

    return kind->placed ? net_open_pool(bus, "steps", true, 32) : net_open(bus, "steps", &options);
}

void hand_begin(struct hand_far *far, struct hand_home *home, const struct hand_kind *kind, ptq_queue *queue)
{
    *far = (struct hand_far){.home = home, .kind = kind};
    if (kind->placed)
        assert_ok(pti_queue_head(queue, &far->head));
    assert_int_equal(getrandom(far->stream, sizeof far->stream, 0), sizeof far->stream);
}

void hand_close(struct hand_far *far)
{
    struct pti_result result;

    hand_connect(far);
    hand_say(far, PTI_FRAME_CLOSE, 1000, "", 0);
    (void)hand_await_result(far, 1000, &result);
    hand_hang_up(far);
}

unsigned hand_run(struct hand_home *home, const struct hand_kind *kind, enum pti_step step, unsigned nth)
{
    static struct hand_far far;
    ptq_bus *bus = ptt_scratch_open(&home->scratch);
    ptq_queue *queue = hand_open_queue(bus, kind);
    struct ptq_queue_stats stats;

    hand_begin(&far, home, kind, queue);
    hand_start_bridge(home, step, nth);
    hand_put_all(&far);
    hand_take_some(&far);
    hand_close(&far);
    if (far.lost)
        hand_reap_bridge(home);
    else
        ptt_kill(home->bridge);
    hand_drain(&far, queue);
    hand_assert_all_there(&far);
    assert_ok(ptq_queue_stats(queue, &stats));
    assert_int_equal(stats.put, stats.acked);
    ptq_queue_close(queue);
    ptq_bus_close(bus);
    return far.resyncs;
}
