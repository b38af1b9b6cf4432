/* test_doubt.c -- puts whose fate a broken link or a dead home leaves open: asked under their numbers, or flagged. */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net/raw.h"
#include "net/world.h"
#include "wire/record.h"

/* ---- a home by hand, and one who puts to it ---- */

struct putter {
    struct ptt_scratch far;
    char peers[96];
    int listener;
    int timeout_ms;
    bool changed; /* the retry has other bytes */
    _Atomic uint64_t in_doubt, may_retry;
    enum ptq_err first, second;
    pthread_t thread;
};

static const struct pti_opened numbered = {.capacity = 64, .item_size = 64, .credit_bytes = 65536, .run = "test",
                                           .node = "raw", .streams = true};

static enum ptq_err put_again(struct putter *putter, ptq_queue *queue)
{
    struct ptq_put_options options = {.flags = PTQ_RETRY};

    return ptq_put_with(queue, putter->changed ? "other" : "bytes", 5, &options, PTT_LONG);
}

static void *put_once_and_again(void *context)
{
    struct putter *putter = context;
    struct ptq_bus_options options = {.dir = putter->far.dir, .peers = putter->peers, .node = "far"};
    ptq_queue *queue;
    ptq_bus *bus;

    putter->first = ptq_bus_open("test", &options, &bus);
    if (putter->first != PTQ_OK)
        return NULL;
    putter->first = ptq_queue_open(bus, "byhand@raw", NULL, &queue);
    if (putter->first == PTQ_OK) {
        putter->first = ptq_put(queue, "bytes", 5, putter->timeout_ms);
        if (putter->first == PTQ_EINDOUBT) {
            atomic_store(&putter->in_doubt, 1);
            ptt_wait_word(&putter->may_retry, 1, PTT_LONG);
            putter->second = put_again(putter, queue);
        }
        ptq_queue_close(queue);
    }
    ptq_bus_close(bus);
    return NULL;
}

static void putter_start(struct putter *putter, int timeout_ms)
{
    char url[64];

    memset(putter, 0, sizeof *putter);
    putter->timeout_ms = timeout_ms;
    putter->second = PTQ_EEXIST; /* not tried */
    ptt_scratch_init_dir(&putter->far);
    putter->listener = raw_listen(url, sizeof url);
    snprintf(putter->peers, sizeof putter->peers, "raw=%s", url);
    assert_int_equal(pthread_create(&putter->thread, NULL, put_once_and_again, putter), 0);
}

static void putter_end(struct putter *putter)
{
    pthread_join(putter->thread, NULL);
    close(putter->listener);
    ptt_scratch_fini(&putter->far);
}

static void say_opened(struct raw *raw, uint32_t channel, const struct pti_opened *opened)
{
    uint8_t bytes[PTI_CONTROL_BYTES];
    size_t size = pti_opened_pack(opened, bytes, sizeof bytes);

    raw_say(raw, &(struct pti_frame){.type = PTI_FRAME_OPEN, .flags = PTI_FRAME_REPLY, .channel = channel,
                                     .length = (uint32_t)size, .payload = bytes});
}

static struct pti_open_message hear_open(struct raw *raw, const struct pti_opened *opened)
{
    struct pti_open_message asked;
    struct pti_frame frame;

    raw_expect(raw, PTI_FRAME_OPEN, &frame);
    assert_ok(pti_open_unpack(frame.payload, frame.length, &asked));
    say_opened(raw, frame.channel, opened);
    return asked;
}

struct heard {
    uint32_t channel;
    uint64_t number, ack;
    uint16_t flags;
    bool flagged;
};

static struct heard hear_put(struct raw *raw)
{
    struct pti_record_cursor cursor;
    struct pti_record record;
    struct pti_frame frame;
    uint32_t timeout;

    raw_expect(raw, PTI_FRAME_PUT, &frame);
    assert_ok(pti_read_put(frame.payload, frame.length, &timeout, &cursor));
    assert_ok(pti_read_record(&cursor, &record));
    assert_int_equal(record.size, 5);
    return (struct heard){frame.channel, frame.number, frame.ack, frame.flags, record.redelivered};
}

static void answer(struct raw *raw, struct heard heard, enum ptq_err code)
{
    raw_say_result(raw, heard.channel, heard.number, code, 1);
    raw_serve_end(raw);
    raw_close(raw);
}

/* The home dies with a put under way; its next life says whether it knows the stream. */
static struct heard die_and_live_again(struct putter *putter, const struct pti_opened *next, struct heard *ret_first,
                                       struct raw *raw)
{
    putter_start(putter, PTT_LONG);
    raw_welcome(raw, putter->listener, 7, false);
    struct pti_open_message before = hear_open(raw, &numbered);
    *ret_first = hear_put(raw);
    raw_close(raw);
    raw_welcome(raw, putter->listener, 9, false);
    struct pti_open_message after = hear_open(raw, next);
    assert_memory_equal(after.stream, before.stream, sizeof after.stream);
    assert_int_equal(after.first, ret_first->number);
    return hear_put(raw);
}

static void the_next_life_of_a_home_is_asked_under_the_same_number(void **state)
{
    struct pti_opened knows = numbered;
    struct putter putter;
    struct heard first;
    struct raw raw;
    (void)state;

    knows.stream_known = true;
    struct heard second = die_and_live_again(&putter, &knows, &first, &raw);
    answer(&raw, second, PTQ_OK);
    putter_end(&putter);
    assert_int_equal(second.number, first.number);
    assert_false(second.flagged);
    assert_ok(putter.first);
}

static void what_a_home_forgot_comes_flagged(void **state)
{
    struct putter putter;
    struct heard first;
    struct raw raw;
    (void)state;

    struct heard second = die_and_live_again(&putter, &numbered, &first, &raw);
    answer(&raw, second, PTQ_OK);
    putter_end(&putter);
    assert_false(first.flagged);
    assert_true(second.flagged);
    assert_ok(putter.first);
}

/* As a home without streams, until the far side has gone.  Who closes with his OPEN under way may say good-bye before it. */
static void serve_plainly(struct raw *raw, const struct pti_opened *plain)
{
    struct pti_frame frame;

    while (raw_next(raw, &frame)) {
        if (frame.type == PTI_FRAME_OPEN)
            say_opened(raw, frame.channel, plain);
        else if (frame.type == PTI_FRAME_CLOSE)
            raw_say_result(raw, frame.channel, frame.number, PTQ_OK, 0);
        else
            assert_int_equal(frame.type, PTI_FRAME_GOAWAY); /* nothing is put again */
    }
}

static void without_streams_it_is_in_doubt_and_cannot_be_asked(void **state)
{
    struct pti_opened plain = numbered;
    struct putter putter;
    struct raw raw;
    (void)state;

    plain.streams = false;
    putter_start(&putter, PTT_LONG);
    atomic_store(&putter.may_retry, 1);
    raw_welcome(&raw, putter.listener, 7, false);
    hear_open(&raw, &plain);
    hear_put(&raw);
    raw_close(&raw);
    raw_welcome(&raw, putter.listener, 9, false);
    serve_plainly(&raw, &plain);
    raw_close(&raw);
    putter_end(&putter);
    assert_answer(PTQ_EINDOUBT, putter.first);
    assert_answer(PTQ_EVERSION, putter.second);
}

/* Up to where the caller has given up: the link is down, and stays so for 3 s. */
static struct heard leave_in_doubt(struct putter *putter, struct raw *raw)
{
    putter_start(putter, 10);
    raw_welcome(raw, putter->listener, 7, false);
    hear_open(raw, &numbered);
    struct heard heard = hear_put(raw);
    raw_close(raw);
    assert_true(ptt_wait_word(&putter->in_doubt, 1, PTT_LONG));
    return heard;
}

/* The first that waits to be welcomed may be a link that was given up since: then the next. */
static void welcome_until_called_off(struct raw *raw, int listener, struct pti_frame *ret_frame)
{
    for (;;) {
        raw_welcome(raw, listener, 7, true);
        while (raw_next(raw, ret_frame)) {
            if (ret_frame->type == PTI_FRAME_CANCEL)
                return;
        }
        raw_close(raw);
    }
}

/* The same, for a home that began anew: until it is asked for the queue. */
static void welcome_until_opened(struct raw *raw, int listener)
{
    struct pti_frame frame;

    for (;;) {
        raw_welcome(raw, listener, 9, false);
        while (raw_next(raw, &frame)) {
            if (frame.type == PTI_FRAME_OPEN) {
                say_opened(raw, frame.channel, &numbered);
                return;
            }
        }
        raw_close(raw);
    }
}

static void what_is_in_doubt_is_asked_again_under_its_number(void **state)
{
    struct putter putter;
    struct raw raw;
    (void)state;

    struct heard first = leave_in_doubt(&putter, &raw);
    atomic_store(&putter.may_retry, 1);
    struct pti_frame frame;
    welcome_until_called_off(&raw, putter.listener, &frame); /* of the first: it must not happen later by itself */
    assert_int_equal(frame.number, first.number);
    struct heard second = hear_put(&raw);
    answer(&raw, second, PTQ_OK);
    putter_end(&putter);
    assert_int_equal(second.number, first.number);
    assert_true((second.flags & PTI_FRAME_RETRY) != 0);
    assert_true(second.ack < first.number);
    assert_false(second.flagged);
    assert_ok(putter.second);
}

static void what_is_in_doubt_and_was_forgotten_comes_flagged(void **state)
{
    struct putter putter;
    struct raw raw;
    (void)state;

    struct heard first = leave_in_doubt(&putter, &raw);
    welcome_until_opened(&raw, putter.listener);
    atomic_store(&putter.may_retry, 1);
    struct heard second = hear_put(&raw);
    answer(&raw, second, PTQ_OK);
    putter_end(&putter);
    assert_int_equal(second.number, first.number);
    assert_true(second.flagged);
    assert_ok(putter.second);
}

static void a_retry_of_something_else_is_refused(void **state)
{
    struct putter putter;
    struct raw raw;
    (void)state;

    leave_in_doubt(&putter, &raw);
    putter.changed = true;
    atomic_store(&putter.may_retry, 1);
    putter_end(&putter);
    assert_answer(PTQ_EINVAL, putter.second);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_next_life_of_a_home_is_asked_under_the_same_number),
        cmocka_unit_test(what_a_home_forgot_comes_flagged),
        cmocka_unit_test(without_streams_it_is_in_doubt_and_cannot_be_asked),
        cmocka_unit_test(what_is_in_doubt_is_asked_again_under_its_number),
        cmocka_unit_test(what_is_in_doubt_and_was_forgotten_comes_flagged),
        cmocka_unit_test(a_retry_of_something_else_is_refused),
    };

    return ptt_run_beside(tests, sizeof tests / sizeof *tests, 3);
}
