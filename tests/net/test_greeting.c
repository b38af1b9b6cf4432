/* test_greeting.c -- which session a link goes on with: greetings that come late, again, or to another life of the home. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/time.h"
#include "net/both.h"
#include "net/raw.h"
#include "remote/conn.h"
#include "wire/record.h"

/* ---- said to a home, frame by frame ---- */

static struct pti_hello greet(struct raw *raw, uint8_t session, uint64_t attempt, uint64_t generation)
{
    struct pti_hello hello = {.version_min = 1, .version_max = 2, .session = {session}, .limits = pti_limits_own(),
                              .attempt = attempt, .generation = generation, .resume = generation != 0};
    struct pti_frame frame;

    raw_dial(raw, net.url);
    raw_say_hello(raw, &hello, 0);
    raw_expect(raw, PTI_FRAME_HELLO, &frame);
    assert_ok(pti_hello_unpack(frame.payload, frame.length, &hello));
    assert_int_equal(hello.version, 2);
    raw->version = 2;
    return hello;
}

static void open_channel(struct raw *raw, const char *name)
{
    struct pti_open_message open = {.capacity = 16};
    uint8_t bytes[PTI_CONTROL_BYTES];
    struct pti_frame frame;

    strcpy(open.name, name);
    size_t size = pti_open_pack(&open, bytes, sizeof bytes);
    raw_say(raw, &(struct pti_frame){.type = PTI_FRAME_OPEN, .channel = 1, .length = (uint32_t)size, .payload = bytes});
    raw_expect(raw, PTI_FRAME_OPEN, &frame);
}

static void assert_put(struct raw *raw, uint64_t number)
{
    struct pti_record record = {.size = 1};
    struct pti_result result;
    struct pti_frame frame;
    uint8_t bytes[64];

    pti_write_put_head(bytes, 1, 0);
    size_t size = PTI_PUT_HEAD + pti_write_put_record(bytes + PTI_PUT_HEAD, &record);
    bytes[size++] = 'x';
    raw_say(raw, &(struct pti_frame){.type = PTI_FRAME_PUT, .channel = 1, .number = number, .length = (uint32_t)size,
                                     .payload = bytes});
    raw_expect(raw, PTI_FRAME_RESULT, &frame);
    pti_read_result(frame.payload, 0, &result);
    assert_int_equal(result.number, number);
    assert_int_equal(result.code, PTQ_OK);
}

static uint64_t count_puts(const char *name)
{
    ptq_queue *queue = net_open(net.here, name, &(struct ptq_queue_options){.mode = PTQ_ATTACH});
    struct ptq_queue_stats stats;

    assert_ok(ptq_queue_stats(queue, &stats));
    ptq_queue_close(queue);
    return stats.put;
}

/* Its first link was given up for silence; its bytes come when the session lives over another. */
static void a_greeting_that_comes_late_ends_its_link_and_not_the_session(void **state)
{
    struct pti_hello late = {.version_min = 1, .version_max = 2, .session = {41}, .limits = pti_limits_own(),
                             .attempt = 1};
    struct raw first, second, third;
    struct pti_frame frame;
    (void)state;

    raw_dial(&first, net.url);
    struct pti_hello home = greet(&second, 41, 2, 0);
    assert_false(home.known);
    assert_true(home.generation != 0);
    open_channel(&second, "late");
    assert_put(&second, 1);

    raw_say_hello(&first, &late, 0);
    raw_expect(&first, PTI_FRAME_ERROR, &frame);
    assert_false(raw_next(&first, &frame));
    raw_close(&first);

    assert_put(&second, 2);
    home = greet(&third, 41, 3, home.generation);
    assert_true(home.known);
    assert_put(&third, 2); /* the same, asked again: answered and not done again */
    assert_put(&third, 3);
    assert_int_equal(count_puts("late"), 3);
    raw_close(&second);
    raw_close(&third);
}

/* The home's answer was lost with the link: the far side has nothing there, and is told so. */
static void a_session_of_another_generation_is_not_gone_on_with(void **state)
{
    struct raw first, second, third;
    (void)state;

    uint64_t generation = greet(&first, 42, 1, 0).generation;
    struct pti_hello home = greet(&second, 42, 2, 0);
    assert_false(home.known);
    assert_int_not_equal(home.generation, generation);
    home = greet(&third, 42, 3, generation);
    assert_false(home.known);
    open_channel(&third, "another");
    assert_put(&third, 1);
    raw_close(&first);
    raw_close(&second);
    raw_close(&third);
}

/* ---- heard from a far side, frame by frame ---- */

struct opening {
    char peers[96];
    enum ptq_err answer;
    _Atomic uint64_t may_close;
    pthread_t thread;
};

static void *open_and_close(void *context)
{
    struct opening *opening = context;
    ptq_bus *bus = net_open_far(&net, opening->peers);
    ptq_queue *queue;

    opening->answer = ptq_queue_open(bus, "heard@raw", &(struct ptq_queue_options){.wait_ms = PTT_LONG}, &queue);
    if (opening->answer == PTQ_OK) {
        ptt_wait_word(&opening->may_close, 1, PTT_LONG);
        ptq_queue_close(queue);
    }
    ptq_bus_close(bus);
    return NULL;
}

static void each_greeting_says_how_often_it_was_tried_and_which_session_it_knows(void **state)
{
    struct opening opening = {.may_close = 0};
    struct raw raw;
    char url[64];
    (void)state;

    int listener = raw_listen(url, sizeof url);
    snprintf(opening.peers, sizeof opening.peers, "raw=%s", url);
    pthread_create(&opening.thread, NULL, open_and_close, &opening);
    struct pti_hello hello = raw_hear_hello(&raw, listener);
    uint64_t attempt = hello.attempt;
    assert_true(attempt > 0 && hello.generation == 0 && !hello.resume);
    hello.version = 2;
    hello.incarnation = 5;
    hello.generation = 77;
    raw_say_hello(&raw, &hello, PTI_FRAME_REPLY);
    raw.version = 2;
    raw_serve_open(&raw, NULL);
    raw_close(&raw);

    hello = raw_hear_hello(&raw, listener);
    assert_true(hello.attempt > attempt && hello.generation == 77 && hello.resume);
    hello.version = 2;
    hello.incarnation = 5;
    hello.known = true;
    raw_say_hello(&raw, &hello, PTI_FRAME_REPLY);
    raw.version = 2;
    atomic_store(&opening.may_close, 1);
    raw_serve_end(&raw);
    pthread_join(opening.thread, NULL);
    assert_ok(opening.answer);
    raw_close(&raw);
    close(listener);
}

/* It dials as soon as there is one: what its first HELLO tells of the host is known before. */
static void a_link_says_whose_it_is_from_its_first_greeting_on(void **state)
{
    char url[64];
    int listener = raw_listen(url, sizeof url);
    struct ptq_error error = {0};
    struct pti_conn *conn;
    struct raw raw;
    (void)state;

    for (int i = 0; i < 3; i++) {
        assert_ok(pti_conn_hold(net.there, url, &error, &conn));
        struct pti_hello hello = raw_hear_hello(&raw, listener);
        assert_string_equal(hello.node, "far");
        raw_close(&raw);
        pti_conn_drop(conn, PTI_DEADLINE_NOW);
    }
    close(listener);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_greeting_that_comes_late_ends_its_link_and_not_the_session),
        cmocka_unit_test(a_session_of_another_generation_is_not_gone_on_with),
        cmocka_unit_test(each_greeting_says_how_often_it_was_tried_and_which_session_it_knows),
        cmocka_unit_test(a_link_says_whose_it_is_from_its_first_greeting_on),
    };

    return cmocka_run_group_tests(tests, hosts_start, hosts_end);
}
