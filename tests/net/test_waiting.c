/* test_waiting.c -- calls that sleep for a queue of another host, and its descriptors: who is woken, and by what. */
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/time.h"
#include "net/both.h"

static void a_get_that_waits_is_woken_by_a_put_at_the_home(void **state)
{
    struct both q = both_open("woken", NULL);
    pthread_t thread;
    void *result;
    (void)state;

    for (int i = 0; i < 50; i++) {
        assert_int_equal(pthread_create(&thread, NULL, both_put_later, q.here), 0);
        both_assert_get(q.there, "later");
        pthread_join(thread, &result);
        assert_non_null(result);
    }

    both_close(&q);
}

static void a_put_that_waits_gets_the_room_that_a_get_makes(void **state)
{
    struct both q = both_open("room", &(struct ptq_queue_options){.capacity = 1});
    pthread_t thread;
    void *result;
    (void)state;

    assert_ok(ptq_put(q.here, "first", 5, PTQ_NOWAIT));
    assert_int_equal(pthread_create(&thread, NULL, both_put_later, q.there), 0);
    both_assert_get(q.here, "first");
    both_assert_get(q.here, "later");
    pthread_join(thread, &result);
    assert_non_null(result);

    both_close(&q);
}

struct waiting {
    ptq_queue *queue;
    _Atomic int answer;
    _Atomic uint64_t tid;
};

static void *wait_for_message(void *context)
{
    struct waiting *waiting = context;
    ptq_msg *msg;

    atomic_store(&waiting->tid, (uint64_t)gettid());
    atomic_store(&waiting->answer, (int)ptq_get(waiting->queue, PTQ_FOREVER, &msg));
    return NULL;
}

static void start_waiting(struct waiting *waiting, pthread_t *thread)
{
    assert_int_equal(pthread_create(thread, NULL, wait_for_message, waiting), 0);
    assert_true(ptt_wait_word(&waiting->tid, 1, PTT_LONG));
    assert_true(ptt_wait_sleeping(getpid(), (pid_t)waiting->tid, PTT_LONG));
}

static void interrupt_ends_every_call_that_sleeps(void **state)
{
    struct both q = both_open("interrupt", NULL);
    struct waiting waiting[3] = {{q.there, -1, 0}, {q.there, -1, 0}, {q.there, -1, 0}};
    pthread_t threads[3];
    (void)state;

    for (int i = 0; i < 3; i++)
        start_waiting(&waiting[i], &threads[i]);
    ptq_interrupt(q.there);
    for (int i = 0; i < 3; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(waiting[i].answer, PTQ_EINTR);
    }
    ptq_msg *msg;
    assert_answer(PTQ_TIMEDOUT, ptq_get(q.there, 20, &msg)); /* once */
    ptq_interrupt(q.there);
    assert_answer(PTQ_EINTR, ptq_get(q.there, PTQ_FOREVER, &msg)); /* the next one that sleeps */

    both_close(&q);
}

static void note_signal(int number)
{
    (void)number;
}

static void a_signal_handler_ends_a_call_that_sleeps(void **state)
{
    struct both q = both_open("signal", NULL);
    struct waiting waiting = {q.there, -1, 0};
    struct sigaction action = {.sa_handler = note_signal, .sa_flags = SA_RESTART}, before;
    pthread_t thread;
    (void)state;

    sigaction(SIGUSR1, &action, &before);
    start_waiting(&waiting, &thread);
    while (waiting.answer == -1) {
        pthread_kill(thread, SIGUSR1);
        sched_yield();
    }
    pthread_join(thread, NULL);
    sigaction(SIGUSR1, &before, NULL);
    assert_int_equal(waiting.answer, PTQ_EINTR);

    both_close(&q);
}

static void closing_ends_the_calls_inside(void **state)
{
    struct both q = both_open("closing", NULL);
    struct waiting waiting = {q.there, -1, 0};
    pthread_t thread;
    (void)state;

    start_waiting(&waiting, &thread);
    ptq_queue_close(q.there);
    pthread_join(thread, NULL);
    assert_int_equal(waiting.answer, PTQ_EINTR);

    ptq_queue_close(q.here);
}

/* ---- descriptors ---- */

struct asked {
    ptq_queue *queue;
    enum ptq_side side;
    int fd;
};

/* It may be readable for nothing, as word of an older change is under way: but the answers bring it to rest. */
static bool has_come_to_rest(void *context)
{
    const struct asked *asked = context;
    ptq_msg *msg;

    if (asked->side == PTQ_SIDE_GET)
        assert_answer(PTQ_EMPTY, ptq_get(asked->queue, PTQ_NOWAIT, &msg));
    else
        assert_answer(PTQ_FULL, ptq_put(asked->queue, "y", 1, PTQ_NOWAIT));
    return !ptt_wait_readable(asked->fd, 0);
}

static void a_descriptor_is_readable_when_there_is_something_to_get(void **state)
{
    struct both q = both_open("fd", NULL);
    int fd, again;
    (void)state;

    assert_ok(ptq_queue_fd(q.there, PTQ_SIDE_GET, &fd));
    assert_ok(ptq_queue_fd(q.there, PTQ_SIDE_GET, &again));
    assert_int_equal(fd, again);
    struct asked asked = {q.there, PTQ_SIDE_GET, fd};
    for (int i = 0; i < 20; i++) {
        assert_true(ptt_wait_until(has_come_to_rest, &asked, PTT_LONG));
        assert_ok(ptq_put(q.here, "x", 1, PTQ_NOWAIT));
        assert_true(ptt_wait_readable(fd, PTT_LONG));
        both_assert_get(q.there, "x");
    }
    assert_ok(ptq_end(q.here));
    assert_true(ptt_wait_readable(fd, PTT_LONG));

    both_close(&q);
}

static void a_descriptor_is_readable_when_there_is_room(void **state)
{
    struct both q = both_open("fdput", &(struct ptq_queue_options){.capacity = 1});
    int fd;
    (void)state;

    assert_ok(ptq_queue_fd(q.there, PTQ_SIDE_PUT, &fd));
    struct asked asked = {q.there, PTQ_SIDE_PUT, fd};
    for (int i = 0; i < 20; i++) {
        assert_ok(ptq_put(q.there, "x", 1, PTQ_NOWAIT));
        assert_true(ptt_wait_until(has_come_to_rest, &asked, PTT_LONG));
        both_assert_get(q.here, "x");
        assert_true(ptt_wait_readable(fd, PTT_LONG));
    }

    both_close(&q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_get_that_waits_is_woken_by_a_put_at_the_home),
        cmocka_unit_test(a_put_that_waits_gets_the_room_that_a_get_makes),
        cmocka_unit_test(interrupt_ends_every_call_that_sleeps),
        cmocka_unit_test(a_signal_handler_ends_a_call_that_sleeps),
        cmocka_unit_test(closing_ends_the_calls_inside),
        cmocka_unit_test(a_descriptor_is_readable_when_there_is_something_to_get),
        cmocka_unit_test(a_descriptor_is_readable_when_there_is_room),
    };

    return cmocka_run_group_tests(tests, hosts_start, hosts_end);
}
