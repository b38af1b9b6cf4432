/* test_version_1.c -- a home of version 1, as it was recorded: it is spoken to as that version spoke, and understood. */
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/time.h"
#include "bus/bus.h"
#include "net/kit.h"
#include "net/raw.h"
#include "os/clock.h"
#include "queue/header.h"
#include "remote/call.h"
#include "remote/remote.h"
#include "unit/wire/conversation.h"
#include "wire/record.h"

#define A_DAY_US (UINT64_C(86400) * 1000000)

static struct conversation recorded;

static int read_conversation(void **state)
{
    (void)state;
    conversation_read(&recorded, RECORDED);
    return 0;
}

/* ---- the home, by hand ---- */

struct home {
    struct raw raw;
    char url[64];
    int listener;
};

/* As recorded, but for who is meant. */
static void say(struct home *home, const char *name, uint32_t channel, uint64_t number)
{
    struct pti_frame frame = conversation_find(&recorded, '<', name);

    frame.channel = channel;
    frame.number = number;
    raw_say(&home->raw, &frame);
}

/* The next frame, which must be of version 1 in all that is not inside it. */
static struct pti_frame hear(struct home *home, enum pti_frame_type type)
{
    struct pti_frame frame;

    raw_expect(&home->raw, type, &frame);
    assert_int_equal(frame.version, 1);
    assert_int_equal(frame.flags, 0);
    return frame;
}

/* What was recorded is said, byte by byte. */
static struct pti_frame hear_recorded(struct home *home, const char *name)
{
    struct pti_frame expected = conversation_find(&recorded, '>', name), frame = hear(home, expected.type);

    assert_int_equal(frame.length, expected.length);
    if (frame.length > 0)
        assert_memory_equal(frame.payload, expected.payload, frame.length);
    return frame;
}

/* A link comes, and is greeted. */
static void welcome(struct home *home, bool known)
{
    struct pti_frame frame = conversation_find(&recorded, '<', "hello");
    struct pti_hello asked = raw_hear_hello(&home->raw, home->listener), hello;

    assert_int_equal(asked.version_min, 1);
    assert_ok(pti_hello_unpack(frame.payload, frame.length, &hello));
    memcpy(hello.session, asked.session, sizeof hello.session);
    hello.known = known;
    raw_say_hello(&home->raw, &hello, PTI_FRAME_REPLY);
}

static void answer(struct home *home, const struct pti_frame *frame, enum ptq_err code)
{
    raw_say_result(&home->raw, frame->channel, frame->number, code, 0);
}

/* ---- the far side: a thread, whose answers are looked at when it is done ---- */

struct far {
    struct ptt_scratch dir;
    char peers[96];
    const char *url;
    ptq_bus *bus;
    struct pti_port *port;
    enum ptq_err (*talk)(struct far *far);
    enum ptq_err answer;
    pthread_t thread;
    /* what was answered */
    enum ptq_err codes[8];
    uint64_t values[8];
    struct ptq_queue_stats stats;
    bool quiet, readable;
    enum ptq_err doubted, retried;
};

static void *run(void *context)
{
    struct far *far = context;
    struct ptq_bus_options options = {.dir = far->dir.dir, .peers = far->peers, .node = "far"};

    far->answer = ptq_bus_open("test", &options, &far->bus);
    if (far->answer == PTQ_OK)
        far->answer = far->talk(far);
    if (far->bus != NULL)
        ptq_bus_close(far->bus);
    return NULL;
}

static void start(struct home *home, struct far *far, enum ptq_err (*talk)(struct far *far))
{
    *home = (struct home){.listener = -1};
    memset(far, 0, sizeof *far);
    ptt_scratch_init_dir(&far->dir);
    home->listener = raw_listen(home->url, sizeof home->url);
    snprintf(far->peers, sizeof far->peers, "old=%s", home->url);
    far->url = home->url;
    far->talk = talk;
    assert_int_equal(pthread_create(&far->thread, NULL, run, far), 0);
}

static void end(struct home *home, struct far *far)
{
    pthread_join(far->thread, NULL);
    close(home->listener);
    ptt_scratch_fini(&far->dir);
    assert_ok(far->answer);
}

static enum ptq_err open_recorded(struct far *far)
{
    struct pti_open open = {.options = {.capacity = 16, .item_size = 4096, .header_size = 64}};

    return pti_remote_open(far->bus, far->url, NULL, "recorded", &open, NULL, &far->port);
}

static void open_queue(struct home *home)
{
    welcome(home, false);
    struct pti_frame frame = hear_recorded(home, "open");
    assert_int_equal(frame.channel, 1);
    say(home, "opened", frame.channel, 0);
}

static void hear_farewell(struct home *home)
{
    struct pti_frame frame = hear_recorded(home, "close");

    answer(home, &frame, PTQ_OK);
    hear_recorded(home, "goaway");
    raw_close(&home->raw);
}

/* ---- puts ---- */

static const uint8_t some_headers[8] = {3, 'k', 'e', 'y', 1, 'v', 0, 0};
static const struct pti_put plain = {.data = "plain", .size = 5};

static struct pti_put rich_put(void)
{
    return (struct pti_put){.data = "later", .size = 5, .kind = 3, .type = 70000, .ttl = 0x1234, .headers = 2,
                            .header_bytes = some_headers, .due_us = (uint64_t)pti_host_ns() / 1000 + A_DAY_US};
}

static void post(struct pti_call *call, void *context)
{
    (void)call;
    sem_post(context);
}

static struct pti_call *place_call(struct pti_remote *remote, const struct pti_put *put, int64_t deadline)
{
    struct pti_call *call = pti_call_new(remote, PTI_FRAME_PLACE);

    pti_write_place_head(call->head, 77, 0);
    pti_call_set_head(call, PTI_PLACE_HEAD, 8);
    pti_call_set_puts(call, put, 1);
    call->deadline = deadline;
    return call;
}

/* The four that were recorded, all under way before the first is answered. */
static enum ptq_err put_four(struct far *far)
{
    enum ptq_err err = open_recorded(far);
    struct pti_remote *remote = err == PTQ_OK ? pti_remote_of(far->port) : NULL;
    struct pti_put rich = rich_put(), two[2] = {plain, rich};
    struct pti_call *calls[4];
    sem_t answered;

    if (err != PTQ_OK)
        return err;
    sem_init(&answered, 0, 0);
    calls[0] = pti_call_for_put(remote, &plain, 1, PTI_DEADLINE_NOW);
    calls[1] = pti_call_for_put(remote, two, 2, pti_deadline(250));
    calls[2] = pti_call_for_put(remote, &plain, 1, PTI_DEADLINE_NEVER);
    calls[3] = place_call(remote, &rich, pti_deadline(250));
    for (int i = 0; i < 4; i++)
        err = err == PTQ_OK ? pti_call_start(calls[i], post, &answered) : err;
    for (int i = 0; i < 4 && err == PTQ_OK; i++) {
        sem_wait(&answered);
    }
    for (int i = 0; i < 4; i++) {
        far->codes[i] = calls[i]->code;
        far->values[i] = calls[i]->value;
        pti_call_free(calls[i]);
    }
    far->port->ops->close(far->port, pti_deadline(PTT_LONG));
    return err;
}

static void assert_rich(struct pti_record_cursor *cursor)
{
    struct pti_record record;

    assert_ok(pti_read_record(cursor, &record));
    assert_memory_equal(record.body, "later", 5);
    assert_true(record.kind == 3 && record.type == 70000 && record.ttl == 0x1234 && record.headers == 2);
    assert_memory_equal(record.header_bytes, some_headers, 8);
    assert_true(record.delay_us <= A_DAY_US && record.delay_us > A_DAY_US - UINT64_C(60000000));
    assert_false(record.redelivered);
}

static void hear_place(struct home *home, struct pti_frame *ret_frame)
{
    struct pti_record_cursor cursor;
    uint64_t position;
    uint32_t timeout;

    *ret_frame = hear(home, PTI_FRAME_PLACE);
    assert_int_equal(ret_frame->number, 4);
    assert_ok(pti_read_place(ret_frame->payload, ret_frame->length, &position, &timeout, &cursor));
    assert_int_equal(position, 77);
    assert_rich(&cursor);
}

static void puts_are_said_as_it_said_them(void **state)
{
    struct pti_frame frame, pieces[2];
    struct pti_record_cursor cursor;
    struct pti_record record;
    struct home home;
    struct far far;
    uint32_t timeout;
    (void)state;

    start(&home, &far, put_four);
    open_queue(&home);
    frame = hear_recorded(&home, "put");
    assert_true(frame.number == 1 && frame.ack == 0);
    frame = hear(&home, PTI_FRAME_PUT);
    assert_ok(pti_read_put(frame.payload, frame.length, &timeout, &cursor));
    assert_true(cursor.count == 2 && timeout > 0 && timeout <= 250);
    assert_ok(pti_read_record(&cursor, &record));
    assert_memory_equal(record.body, "plain", 5);
    assert_rich(&cursor);
    frame = hear(&home, PTI_FRAME_PUT);
    pieces[0] = conversation_find(&recorded, '>', "put.piece");
    pieces[1] = conversation_find(&recorded, '>', "put.last-piece");
    assert_int_equal(frame.length, pieces[0].length + pieces[1].length);
    assert_memory_equal(frame.payload, pieces[0].payload, pieces[0].length);
    assert_memory_equal(frame.payload + pieces[0].length, pieces[1].payload, pieces[1].length);
    hear_place(&home, &frame);
    say(&home, "credit", 1, 0);
    say(&home, "result", 1, 0); /* OK, FULL, OK, and ask the last again */
    hear_place(&home, &frame);
    assert_int_equal(frame.ack, 3);
    answer(&home, &frame, PTQ_ELATE);
    hear_farewell(&home);
    end(&home, &far);

    assert_ok(far.codes[0]);
    assert_answer(PTQ_FULL, far.codes[1]);
    assert_ok(far.codes[2]);
    assert_int_equal(far.values[2], UINT64_C(1) << 40);
    assert_answer(PTQ_ELATE, far.codes[3]);
}

/* ---- takes, settlements, questions ---- */

static enum ptq_err settle_two(struct far *far, struct ptq_msg **msgs, size_t count)
{
    const struct pti_port_ops *ops = far->port->ops;
    bool as_recorded = count == 2 && msgs[0]->position == 5 && !msgs[0]->redelivered && msgs[1]->position == 6 &&
                       msgs[1]->sub == 1 && msgs[1]->redelivered && msgs[1]->deliveries == 2 && msgs[1]->headers == 2 &&
                       msgs[1]->size == 5 && memcmp(msgs[1]->data, "later", 5) == 0 &&
                       memcmp(pti_headers_of(msgs[1]), some_headers, 8) == 0;

    if (!as_recorded)
        return PTQ_EPROTO;
    enum ptq_err err = ops->ack(far->port, msgs[0]);
    return err == PTQ_OK ? ops->nack(far->port, msgs[1], 1500) : err;
}

static void look_at_side(struct far *far)
{
    struct pollfd side = {.events = POLLIN};

    if (far->port->ops->fd(far->port, PTQ_SIDE_PUT, &side.fd) != PTQ_OK)
        return;
    far->codes[0] = far->port->ops->put(far->port, &plain, PTI_DEADLINE_NOW, &far->values[0]);
    far->readable = poll(&side, 1, PTT_LONG) == 1;
}

static enum ptq_err take_and_ask(struct far *far)
{
    enum ptq_err err = open_recorded(far);
    const struct pti_port_ops *ops = err == PTQ_OK ? far->port->ops : NULL;
    struct ptq_msg *msgs[2];
    size_t count = 0;
    bool lost;

    if (err == PTQ_OK)
        err = ops->take_more(far->port, 2, pti_deadline(250), msgs, &count);
    if (err == PTQ_OK)
        err = settle_two(far, msgs, count);
    if (err != PTQ_OK)
        return err;
    far->codes[1] = ops->census(far->port, 101, &lost);
    far->codes[2] = ops->limit(far->port, 102);
    far->codes[3] = ops->kick(far->port, 105, &far->values[3]);
    far->codes[4] = ops->stats(far->port, &far->stats);
    look_at_side(far);
    ops->close(far->port, pti_deadline(PTT_LONG));
    return PTQ_OK;
}

static void answer_recorded(struct home *home, const char *name)
{
    struct pti_frame frame = hear_recorded(home, name);

    answer(home, &frame, PTQ_OK);
}

static void takes_and_questions_are_said_as_it_said_them(void **state)
{
    struct pti_frame frame;
    struct pti_take take;
    struct home home;
    struct far far;
    (void)state;

    start(&home, &far, take_and_ask);
    open_queue(&home);
    frame = hear(&home, PTI_FRAME_TAKE);
    assert_ok(pti_read_take(frame.payload, frame.length, &take));
    assert_int_equal(take.max, 2);
    assert_false(take.more); /* it would be taken for a number of messages */
    say(&home, "messages", frame.channel, frame.number);
    answer_recorded(&home, "settle.ack");
    answer_recorded(&home, "settle.nack");
    answer_recorded(&home, "call.census");
    answer_recorded(&home, "call.limit");
    answer_recorded(&home, "call.kick");
    frame = hear_recorded(&home, "stats");
    say(&home, "stats", frame.channel, frame.number);
    frame = hear_recorded(&home, "put");
    answer(&home, &frame, PTQ_FULL);
    frame = hear_recorded(&home, "watch");
    say(&home, "notify", frame.channel, 0);
    hear_farewell(&home);
    end(&home, &far);

    assert_answer(PTQ_FULL, far.codes[0]);
    for (int i = 1; i < 5; i++)
        assert_ok(far.codes[i]);
    assert_true(far.readable);
    assert_true(far.stats.put == 8 && far.stats.acked == 9 && far.stats.ended && far.stats.dropped_by[0] == 30);
}

/* ---- what came with version 2 ---- */

static enum ptq_err put_much_beside_a_take(struct far *far)
{
    enum ptq_err err = open_recorded(far);
    struct ptq_msg *msg;
    uint64_t position;
    sem_t answered;

    if (err != PTQ_OK)
        return err;
    sem_init(&answered, 0, 0);
    struct pti_call *take = pti_call_for_take(pti_remote_of(far->port), 1, &msg, PTI_DEADLINE_NEVER);
    err = pti_call_start(take, post, &answered);
    for (unsigned i = 0; i < 2 * PTI_RECEIVED_DUE && err == PTQ_OK; i++)
        err = far->port->ops->put(far->port, &plain, PTI_DEADLINE_NOW, &position);
    far->codes[0] = far->port->ops->put(far->port, &plain, pti_deadline(PTT_LONG), &position);
    far->doubted = far->port->ops->put(far->port, &plain, pti_deadline(PTT_LONG), &position);
    struct pti_put again = plain;
    again.retry = true;
    far->retried = far->port->ops->put(far->port, &again, PTI_DEADLINE_NOW, &position);
    sem_wait(&answered);
    far->codes[1] = take->code;
    pti_call_free(take);
    far->port->ops->close(far->port, pti_deadline(PTT_LONG));
    return err;
}

static void hear_take(struct home *home, struct pti_frame *ret_frame)
{
    *ret_frame = hear_recorded(home, "take.waits");
    assert_int_equal(ret_frame->number, 1);
}

/* No RECEIVED, no stream, no PTQ_RETRY; what it forgot with its session is in doubt, as ever. */
static void nothing_that_it_does_not_know_is_said_to_it(void **state)
{
    struct pti_frame frame, take;
    struct pti_open_message again;
    struct home home;
    struct far far;
    (void)state;

    start(&home, &far, put_much_beside_a_take);
    open_queue(&home);
    hear_take(&home, &take);
    for (unsigned i = 0; i < 2 * PTI_RECEIVED_DUE; i++) {
        frame = hear_recorded(&home, "put");
        answer(&home, &frame, PTQ_OK);
    }
    frame = hear(&home, PTI_FRAME_PUT);
    uint64_t number = frame.number;
    raw_close(&home.raw);
    welcome(&home, true); /* the session lives: under the same numbers */
    hear_take(&home, &take);
    frame = hear(&home, PTI_FRAME_PUT);
    assert_int_equal(frame.number, number);
    answer(&home, &frame, PTQ_OK);
    frame = hear(&home, PTI_FRAME_PUT);
    raw_close(&home.raw);
    welcome(&home, false); /* and here it does not */
    frame = hear(&home, PTI_FRAME_OPEN);
    assert_ok(pti_open_unpack(frame.payload, frame.length, &again));
    static const uint8_t none[sizeof again.stream];
    assert_true(memcmp(again.stream, none, sizeof none) == 0 && again.first == 0 && again.carrier == 0 && !again.resync);
    assert_int_equal(again.mode, PTQ_ATTACH);
    say(&home, "opened", frame.channel, 0);
    hear_take(&home, &take);
    answer(&home, &take, PTQ_END);
    hear_farewell(&home);
    end(&home, &far);

    assert_ok(far.codes[0]);
    assert_answer(PTQ_END, far.codes[1]);
    assert_answer(PTQ_EINDOUBT, far.doubted);
    assert_answer(PTQ_EVERSION, far.retried);
}

static enum ptq_err take_some_more(struct far *far)
{
    enum ptq_err err = open_recorded(far);
    struct ptq_msg *msgs[2];
    size_t count;

    if (err != PTQ_OK)
        return err;
    far->codes[0] = far->port->ops->take_more(far->port, 2, PTI_DEADLINE_NEVER, msgs, &count);
    far->port->ops->close(far->port, pti_deadline(PTT_LONG));
    return PTQ_OK;
}

/* A home that is set back to an older version is asked again in that one. */
static void a_home_that_becomes_older_is_asked_as_it_understands(void **state)
{
    static const struct pti_opened opened = {.capacity = 16, .window = 8, .item_size = 4096, .credit_bytes = 65536, .placed = true,
                                             .run = "test", .node = "raw", .id = "a queue, 16 byt"};
    struct pti_frame frame;
    struct pti_take take;
    struct home home;
    struct far far;
    (void)state;

    start(&home, &far, take_some_more);
    raw_welcome(&home.raw, home.listener, 7, false);
    raw_serve_open(&home.raw, &opened);
    raw_expect(&home.raw, PTI_FRAME_TAKE, &frame);
    assert_ok(pti_read_take(frame.payload, frame.length, &take));
    assert_true(frame.version == 2 && take.more);
    raw_close(&home.raw);
    welcome(&home, false);
    frame = hear(&home, PTI_FRAME_OPEN);
    say(&home, "opened", frame.channel, 0);
    frame = hear(&home, PTI_FRAME_TAKE);
    assert_ok(pti_read_take(frame.payload, frame.length, &take));
    assert_true(take.max == 2 && !take.more);
    answer(&home, &frame, PTQ_END);
    hear_farewell(&home);
    end(&home, &far);

    assert_answer(PTQ_END, far.codes[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(puts_are_said_as_it_said_them),
        cmocka_unit_test(takes_and_questions_are_said_as_it_said_them),
        cmocka_unit_test(nothing_that_it_does_not_know_is_said_to_it),
        cmocka_unit_test(a_home_that_becomes_older_is_asked_as_it_understands),
    };

    return cmocka_run_group_tests(tests, read_conversation, NULL);
}
