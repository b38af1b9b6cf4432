/* test_pipe.c -- a pipe: two ends, each of one owner, in order both ways; handed over, found by name, closed. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <ptq/ptq.h>

#include "support/ptt.h"

#define OPTIONS(...) (&(struct ptq_pipe_options){__VA_ARGS__})

static void send_number(ptq_pipe *pipe, uint64_t number)
{
    assert_ok(ptq_pipe_send(pipe, &number, sizeof number, PTT_LONG));
}

static void expect_number(ptq_pipe *pipe, uint64_t expected)
{
    uint64_t number = 0;
    size_t size = 0;
    assert_ok(ptq_pipe_recv(pipe, &number, sizeof number, PTT_LONG, &size));
    assert_int_equal(size, sizeof number);
    assert_int_equal(number, expected);
}

static void expect_answer(ptq_pipe *pipe, enum ptq_err answer, int timeout_ms)
{
    uint64_t number = 0;
    size_t size = 0;
    assert_answer(answer, ptq_pipe_recv(pipe, &number, sizeof number, timeout_ms, &size));
}

static void messages_go_both_ways_in_order(void **state)
{
    struct ptt_scratch *scratch = *state;
    ptq_pipe *anchor, *point;

    assert_ok(ptq_pipe_pair(scratch->bus, NULL, &anchor, &point));
    for (uint64_t i = 0; i < 500; i++) {
        send_number(anchor, i);
        send_number(point, 1000 + i);
    }
    for (uint64_t i = 0; i < 500; i++) {
        expect_number(point, i);
        expect_number(anchor, 1000 + i);
    }
    expect_answer(anchor, PTQ_EMPTY, PTQ_NOWAIT);
    expect_answer(point, PTQ_TIMEDOUT, 5);

    ptq_pipe_close(anchor);
    ptq_pipe_close(point);
    assert_int_equal(ptt_scratch_files(scratch, NULL), 0);
}

static void a_one_way_pipe_goes_one_way(void **state)
{
    struct ptt_scratch *scratch = *state;
    ptq_pipe *anchor, *point;
    ptq_msg *msg;
    int fd;

    assert_ok(ptq_pipe_pair(scratch->bus, OPTIONS(.one_way = true), &anchor, &point));
    send_number(anchor, 7);
    expect_number(point, 7);
    expect_answer(anchor, PTQ_EPERM, PTQ_NOWAIT);
    assert_answer(PTQ_EPERM, ptq_pipe_get(anchor, PTQ_NOWAIT, &msg));
    assert_answer(PTQ_EPERM, ptq_pipe_fd(anchor, PTQ_SIDE_GET, &fd));
    assert_answer(PTQ_EPERM, ptq_pipe_send(point, "x", 1, PTQ_NOWAIT));
    assert_answer(PTQ_EPERM, ptq_pipe_loan(point, 1, PTQ_NOWAIT, &msg));
    assert_answer(PTQ_EPERM, ptq_pipe_end(point));
    assert_answer(PTQ_EPERM, ptq_pipe_fd(point, PTQ_SIDE_PUT, &fd));
    send_number(anchor, 8);
    ptq_pipe_close(anchor);
    expect_number(point, 8);
    expect_answer(point, PTQ_END, PTQ_FOREVER);
    ptq_pipe_close(point);
    assert_int_equal(ptt_scratch_files(scratch, NULL), 0);
}

static void messages_of_all_sizes_are_whole(void **state)
{
    struct ptt_scratch *scratch = *state;
    static const size_t sizes[] = {0, 1, 47, 64, 4095, 65536, 1 << 20, 3 << 20};
    size_t count = sizeof sizes / sizeof *sizes, size = 0;
    unsigned char *out = malloc(3 << 20), *in = malloc(3 << 20);
    ptq_pipe *anchor, *point;
    ptq_msg *msg;

    assert_ok(ptq_pipe_pair(scratch->bus, OPTIONS(.item_size = 3 << 20, .capacity = 8), &anchor, &point));
    for (size_t i = 0; i < count; i++) {
        memset(out, (int)i + 1, sizes[i]);
        assert_ok(ptq_pipe_send(anchor, sizes[i] ? out : NULL, sizes[i], PTT_LONG));
    }
    for (size_t i = 0; i < count; i++) {
        if (sizes[i] > 0) {
            assert_answer(PTQ_EMSGSIZE, ptq_pipe_recv(point, in, sizes[i] - 1, PTT_LONG, &size));
            assert_int_equal(size, sizes[i]);
        }
        assert_ok(ptq_pipe_recv(point, in, 3 << 20, PTT_LONG, &size));
        assert_int_equal(size, sizes[i]);
        memset(out, (int)i + 1, sizes[i]);
        assert_memory_equal(in, out, size);
    }
    assert_answer(PTQ_EMSGSIZE, ptq_pipe_send(anchor, out, (3 << 20) + 1, PTT_LONG));
    assert_ok(ptq_pipe_loan(point, 100, PTT_LONG, &msg)); /* and without a copy */
    memcpy(ptq_msg_buffer(msg), "written in place", 16);
    assert_answer(PTQ_EINVAL, ptq_pipe_publish(anchor, msg, 16, PTT_LONG)); /* it is the other end's */
    assert_ok(ptq_pipe_publish(point, msg, 16, PTT_LONG));
    assert_ok(ptq_pipe_get(anchor, PTT_LONG, &msg));
    assert_int_equal(ptq_msg_size(msg), 16);
    assert_memory_equal(ptq_msg_data(msg), "written in place", 16);
    assert_ok(ptq_ack(msg));
    ptq_pipe_close(point);
    ptq_pipe_close(anchor);
    free(in);
    free(out);
}

/* -- handed over ---------------------------------------------------------------------------------------------- */

struct echo {
    const struct ptt_scratch *scratch;
    const char *name;
};

/* Opens the point as another process does, and adds one to each number until the end. */
static int echo_numbers(void *context)
{
    struct echo *echo = context;
    ptq_bus *bus = ptt_scratch_open(echo->scratch);
    ptq_pipe *point;
    uint64_t number;
    size_t size;
    enum ptq_err err = ptq_pipe_open(bus, echo->name, &(struct ptq_pipe_open_options){.wait_ms = PTT_LONG}, &point);

    if (err != PTQ_OK)
        return 1;
    while ((err = ptq_pipe_recv(point, &number, sizeof number, PTT_LONG, &size)) == PTQ_OK) {
        number++;
        if (ptq_pipe_send(point, &number, sizeof number, PTT_LONG) != PTQ_OK)
            return 2;
    }
    ptq_pipe_close(point);
    ptq_bus_close(bus);
    return err == PTQ_END ? 0 : 3;
}

static void talk_to_child(struct ptt_scratch *scratch, ptq_pipe *anchor, const char *name)
{
    struct echo echo = {scratch, name};
    pid_t child = ptt_fork(echo_numbers, &echo);

    for (uint64_t i = 0; i < 100; i++) {
        send_number(anchor, i * 10);
        expect_number(anchor, i * 10 + 1);
    }
    assert_ok(ptq_pipe_end(anchor));
    assert_answer(PTQ_EALREADY, ptq_pipe_end(anchor));
    assert_answer(PTQ_EENDED, ptq_pipe_send(anchor, "x", 1, PTT_LONG));
    expect_answer(anchor, PTQ_END, PTT_LONG);
    ptt_assert_exit(child, 0, PTT_LONG);
    ptq_pipe_close(anchor);
    assert_int_equal(ptt_scratch_files(scratch, NULL), 0);
}

static void a_point_is_given_to_a_child(void **state)
{
    struct ptt_scratch *scratch = *state;
    ptq_pipe *anchor, *point;
    char ref[PTQ_REF_SIZE];

    assert_ok(ptq_pipe_pair(scratch->bus, NULL, &anchor, &point));
    assert_ok(ptq_pipe_give(point, ref, sizeof ref));
    talk_to_child(scratch, anchor, ref);
}

static void a_point_is_found_by_name(void **state)
{
    struct ptt_scratch *scratch = *state;
    ptq_pipe *anchor;

    assert_ok(ptq_pipe_pair(scratch->bus, OPTIONS(.name = "control"), &anchor, NULL));
    assert_string_equal(ptq_pipe_name(anchor), "control");
    talk_to_child(scratch, anchor, "control");
}

static void a_pipe_that_is_not_made_yet_is_waited_for(void **state)
{
    struct ptt_scratch *scratch = *state;
    struct echo echo = {scratch, "later"};
    pid_t child = ptt_fork(echo_numbers, &echo);
    ptq_pipe *anchor;

    assert_ok(ptq_pipe_pair(scratch->bus, OPTIONS(.name = "later"), &anchor, NULL));
    send_number(anchor, 1);
    expect_number(anchor, 2);
    ptq_pipe_close(anchor);
    ptt_assert_exit(child, 0, PTT_LONG);
    assert_int_equal(ptt_scratch_files(scratch, NULL), 0);
}

static void a_point_has_one_owner(void **state)
{
    struct ptt_scratch *scratch = *state;
    ptq_pipe *anchor, *point, *other;
    struct ptq_error error = {0};
    char ref[PTQ_REF_SIZE];

    assert_ok(ptq_pipe_pair(scratch->bus, OPTIONS(.name = "one"), &anchor, &point));
    assert_answer(PTQ_EBUSY, ptq_pipe_open(scratch->bus, "one", &(struct ptq_pipe_open_options){.error = &error}, &other));
    ptt_assert_says(error.text, "somebody has the point of pipe 'one'");
    assert_answer(PTQ_EBUSY, ptq_pipe_open(scratch->bus, "one", &(struct ptq_pipe_open_options){.wait_ms = 20}, &other));
    assert_ok(ptq_pipe_give(point, ref, sizeof ref));
    assert_ok(ptq_pipe_open(scratch->bus, ref, NULL, &other));
    assert_answer(PTQ_EBUSY, ptq_pipe_open(scratch->bus, ref, NULL, &point));
    send_number(other, 1);
    expect_number(anchor, 1);
    ptq_pipe_close(other);
    assert_answer(PTQ_EENDED, ptq_pipe_open(scratch->bus, ref, NULL, &point));
    ptq_pipe_close(anchor);
    assert_answer(PTQ_ENOENT, ptq_pipe_open(scratch->bus, "one", NULL, &point));
}

static void what_is_locked_does_not_change_hands(void **state)
{
    struct ptt_scratch *scratch = *state;
    ptq_pipe *anchor, *point;
    char ref[PTQ_REF_SIZE], small[8];

    assert_ok(ptq_pipe_pair(scratch->bus, NULL, &anchor, &point));
    assert_answer(PTQ_EPERM, ptq_pipe_give(anchor, ref, sizeof ref));
    assert_ok(ptq_pipe_lock(anchor));
    assert_answer(PTQ_EPERM, ptq_pipe_unlock(anchor));
    assert_ok(ptq_pipe_lock(point));
    assert_answer(PTQ_EPERM, ptq_pipe_give(point, ref, sizeof ref));
    assert_ok(ptq_pipe_unlock(point));
    assert_answer(PTQ_EMSGSIZE, ptq_pipe_give(point, small, sizeof small));
    assert_answer(PTQ_EINVAL, ptq_pipe_give(point, NULL, 0));
    send_number(point, 5); /* it is still ours */
    assert_ok(ptq_pipe_give(point, ref, sizeof ref));
    expect_number(anchor, 5);
    ptq_pipe_close(anchor);
    assert_ok(ptq_pipe_open(scratch->bus, ref, NULL, &point));
    ptq_pipe_close(point);
}

static void what_waits_goes_with_the_point(void **state)
{
    struct ptt_scratch *scratch = *state;
    enum ptq_pipe_peer peer;
    ptq_pipe *anchor, *point;
    ptq_msg *first, *second;
    char ref[PTQ_REF_SIZE];

    assert_ok(ptq_pipe_pair(scratch->bus, NULL, &anchor, &point));
    for (uint64_t i = 1; i <= 5; i++)
        send_number(anchor, i);
    expect_number(point, 1);
    assert_ok(ptq_pipe_get(point, PTQ_NOWAIT, &first)); /* got, and not acked */
    assert_ok(ptq_pipe_get(point, PTQ_NOWAIT, &second));
    assert_ok(ptq_pipe_give(point, ref, sizeof ref));
    assert_ok(ptq_pipe_peer(anchor, &peer));
    assert_int_equal(peer, PTQ_PIPE_NOBODY);
    expect_answer(anchor, PTQ_EMPTY, PTQ_NOWAIT);
    expect_answer(anchor, PTQ_TIMEDOUT, 5);
    send_number(anchor, 6);
    assert_ok(ptq_pipe_open(scratch->bus, ref, NULL, &point));
    assert_ok(ptq_pipe_peer(anchor, &peer));
    assert_int_equal(peer, PTQ_PIPE_THERE);
    for (uint64_t i = 2; i <= 6; i++)
        expect_number(point, i);
    send_number(point, 9);
    expect_number(anchor, 9);
    ptq_pipe_close(point);
    assert_ok(ptq_pipe_peer(anchor, &peer));
    assert_int_equal(peer, PTQ_PIPE_CLOSED);
    ptq_pipe_close(anchor);
}

static void a_closed_anchor_leaves_what_it_sent_to_who_opens_the_point(void **state)
{
    struct ptt_scratch *scratch = *state;
    ptq_pipe *anchor, *point;
    char ref[PTQ_REF_SIZE];

    assert_ok(ptq_pipe_pair(scratch->bus, NULL, &anchor, &point));
    send_number(anchor, 1);
    assert_ok(ptq_pipe_give(point, ref, sizeof ref));
    send_number(anchor, 2);
    ptq_pipe_close(anchor);
    assert_ok(ptq_pipe_open(scratch->bus, ref, NULL, &point));
    expect_number(point, 1);
    expect_number(point, 2);
    expect_answer(point, PTQ_END, PTQ_FOREVER);
    assert_answer(PTQ_EENDED, ptq_pipe_send(point, "x", 1, PTQ_FOREVER));
    ptq_pipe_close(point);
    assert_int_equal(ptt_scratch_files(scratch, NULL), 0);
}

/* -- closed --------------------------------------------------------------------------------------------------- */

static void a_closed_end_is_told_behind_what_it_sent(void **state)
{
    struct ptt_scratch *scratch = *state;
    ptq_pipe *anchor, *point;

    assert_ok(ptq_pipe_pair(scratch->bus, NULL, &anchor, &point));
    send_number(point, 1);
    send_number(point, 2);
    send_number(anchor, 3); /* nobody will get it */
    ptq_pipe_close(point);
    assert_answer(PTQ_EENDED, ptq_pipe_send(anchor, "x", 1, PTQ_FOREVER));
    expect_number(anchor, 1);
    expect_number(anchor, 2);
    expect_answer(anchor, PTQ_END, PTQ_FOREVER);
    expect_answer(anchor, PTQ_END, PTQ_NOWAIT);
    ptq_pipe_close(anchor);
    assert_int_equal(ptt_scratch_files(scratch, NULL), 0);
}

static void an_end_that_only_listens_goes_on_listening(void **state)
{
    struct ptt_scratch *scratch = *state;
    ptq_pipe *anchor, *point;

    assert_ok(ptq_pipe_pair(scratch->bus, NULL, &anchor, &point));
    send_number(anchor, 1);
    assert_ok(ptq_pipe_end(anchor));
    expect_number(point, 1);
    expect_answer(point, PTQ_END, PTQ_FOREVER);
    for (uint64_t i = 0; i < 10; i++)
        send_number(point, i);
    for (uint64_t i = 0; i < 10; i++)
        expect_number(anchor, i);
    ptq_pipe_close(point);
    ptq_pipe_close(anchor);
}

struct sleeper {
    ptq_pipe *pipe;
    bool sends;
    _Atomic uint64_t tid, answer; /* answer: + 1 */
};

static void *sleep_in_call(void *context)
{
    struct sleeper *sleeper = context;
    uint64_t number = 0;
    size_t size;
    enum ptq_err err;
    atomic_store(&sleeper->tid, (uint64_t)gettid());
    if (sleeper->sends)
        while ((err = ptq_pipe_send(sleeper->pipe, &number, sizeof number, PTQ_FOREVER)) == PTQ_OK)
            ;
    else
        err = ptq_pipe_recv(sleeper->pipe, &number, sizeof number, PTQ_FOREVER, &size);
    atomic_store(&sleeper->answer, (uint64_t)err + 1);
    return NULL;
}

static pthread_t begin_to_sleep(struct sleeper *sleeper)
{
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, sleep_in_call, sleeper), 0);
    assert_true(ptt_wait_word(&sleeper->tid, 1, PTT_LONG));
    assert_true(ptt_wait_sleeping(getpid(), (pid_t)sleeper->tid, PTT_LONG));
    return thread;
}

static void a_close_wakes_who_sleeps(void **state)
{
    struct ptt_scratch *scratch = *state;
    for (int sends = 0; sends < 2; sends++) {
        ptq_pipe *anchor, *point;
        assert_ok(ptq_pipe_pair(scratch->bus, OPTIONS(.capacity = 2), &anchor, &point));
        struct sleeper sleeper = {.pipe = anchor, .sends = sends};
        pthread_t thread = begin_to_sleep(&sleeper);
        ptq_pipe_close(point);
        assert_true(ptt_wait_word(&sleeper.answer, 1, PTT_LONG));
        pthread_join(thread, NULL);
        assert_int_equal(sleeper.answer - 1, sends ? PTQ_EENDED : PTQ_END);
        ptq_pipe_close(anchor);
    }
}

static void an_interrupt_wakes_who_sleeps(void **state)
{
    struct ptt_scratch *scratch = *state;
    for (int gave = 0; gave < 2; gave++) {
        char ref[PTQ_REF_SIZE];
        ptq_pipe *anchor, *point;
        assert_ok(ptq_pipe_pair(scratch->bus, NULL, &anchor, &point));
        if (gave)
            assert_ok(ptq_pipe_give(point, ref, sizeof ref));
        struct sleeper sleeper = {.pipe = anchor};
        pthread_t thread = begin_to_sleep(&sleeper);
        ptq_pipe_interrupt(anchor);
        assert_true(ptt_wait_word(&sleeper.answer, 1, PTT_LONG));
        pthread_join(thread, NULL);
        assert_int_equal(sleeper.answer - 1, PTQ_EINTR);
        if (gave)
            assert_ok(ptq_pipe_open(scratch->bus, ref, NULL, &point));
        ptq_pipe_close(point);
        ptq_pipe_close(anchor);
    }
}

static void a_full_pipe_makes_its_sender_wait(void **state)
{
    struct ptt_scratch *scratch = *state;
    ptq_pipe *anchor, *point;

    assert_ok(ptq_pipe_pair(scratch->bus, OPTIONS(.capacity = 3), &anchor, &point));
    for (uint64_t i = 0; i < 3; i++)
        send_number(anchor, i);
    assert_answer(PTQ_FULL, ptq_pipe_send(anchor, "x", 1, PTQ_NOWAIT));
    assert_answer(PTQ_TIMEDOUT, ptq_pipe_send(anchor, "x", 1, 5));
    expect_number(point, 0);
    send_number(anchor, 3);
    for (uint64_t i = 1; i <= 3; i++)
        expect_number(point, i);
    ptq_pipe_close(point);
    ptq_pipe_close(anchor);
}

/* -- descriptors ---------------------------------------------------------------------------------------------- */

static void a_descriptor_tells_messages_and_the_end(void **state)
{
    struct ptt_scratch *scratch = *state;
    ptq_pipe *anchor, *point;
    int fd;

    assert_ok(ptq_pipe_pair(scratch->bus, NULL, &anchor, &point));
    assert_ok(ptq_pipe_fd(anchor, PTQ_SIDE_GET, &fd));
    expect_answer(anchor, PTQ_EMPTY, PTQ_NOWAIT);
    assert_false(ptt_wait_readable(fd, 0));
    send_number(point, 1);
    assert_true(ptt_wait_readable(fd, PTT_LONG));
    expect_number(anchor, 1);
    expect_answer(anchor, PTQ_EMPTY, PTQ_NOWAIT);
    ptq_pipe_close(point);
    assert_true(ptt_wait_readable(fd, PTT_LONG));
    expect_answer(anchor, PTQ_END, PTQ_NOWAIT);
    ptq_pipe_close(anchor);
}

/* -- threads, forks ------------------------------------------------------------------------------------------- */

#define THREADS 4
#define EACH 2000

static void *send_many(void *context)
{
    ptq_pipe *pipe = context;
    for (uint64_t i = 1; i <= EACH; i++)
        if (ptq_pipe_send(pipe, &i, sizeof i, PTT_LONG) != PTQ_OK)
            return context;
    return NULL;
}

static void *receive_many(void *context)
{
    ptq_pipe *pipe = context;
    uint64_t number, sum = 0;
    size_t size;
    for (int i = 0; i < EACH; i++) {
        if (ptq_pipe_recv(pipe, &number, sizeof number, PTT_LONG, &size) != PTQ_OK)
            return NULL;
        sum += number;
    }
    return (void *)(uintptr_t)sum; // NOLINT
}

static void threads_share_an_end(void **state)
{
    struct ptt_scratch *scratch = *state;
    pthread_t senders[THREADS], receivers[THREADS];
    uint64_t sum = 0;
    void *result;
    ptq_pipe *anchor, *point;

#if defined(__SANITIZE_THREAD__) /* blind to what goes from one mapping to another: first all is sent, then all is received */
    bool at_once = false;
#else
    bool at_once = true;
#endif
    assert_ok(ptq_pipe_pair(scratch->bus, OPTIONS(.capacity = at_once ? 50 : THREADS * EACH), &anchor, &point));
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&senders[i], NULL, send_many, anchor), 0);
        if (at_once)
            assert_int_equal(pthread_create(&receivers[i], NULL, receive_many, point), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(senders[i], &result);
        assert_null(result);
    }
    for (int i = 0; i < THREADS && !at_once; i++)
        assert_int_equal(pthread_create(&receivers[i], NULL, receive_many, point), 0);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(receivers[i], &result);
        sum += (uintptr_t)result;
    }
    assert_int_equal(sum, (uint64_t)THREADS * EACH * (EACH + 1) / 2);
    ptq_pipe_close(point);
    ptq_pipe_close(anchor);
}

static int use_inherited(void *context)
{
    ptq_pipe **ends = context;
    char ref[PTQ_REF_SIZE];
    enum ptq_pipe_peer peer;
    size_t size;
    int wrong = 0;
    wrong += ptq_pipe_send(ends[0], "x", 1, 0) != PTQ_EFORKED;
    wrong += ptq_pipe_recv(ends[1], ref, 1, 0, &size) != PTQ_EFORKED;
    wrong += ptq_pipe_give(ends[1], ref, sizeof ref) != PTQ_EFORKED;
    wrong += ptq_pipe_lock(ends[1]) != PTQ_EFORKED;
    wrong += ptq_pipe_peer(ends[0], &peer) != PTQ_EFORKED;
    ptq_pipe_interrupt(ends[0]);
    ptq_pipe_close(ends[0]);
    ptq_pipe_close(ends[1]);
    return wrong;
}

static void a_forked_child_is_told_so_and_disturbs_nothing(void **state)
{
    struct ptt_scratch *scratch = *state;
    ptq_pipe *ends[2];

    assert_ok(ptq_pipe_pair(scratch->bus, NULL, &ends[0], &ends[1]));
    send_number(ends[0], 1);
    ptt_assert_exit(ptt_fork(use_inherited, ends), 0, PTT_LONG);
    expect_number(ends[1], 1);
    send_number(ends[1], 2);
    expect_number(ends[0], 2);
    ptq_pipe_close(ends[1]);
    ptq_pipe_close(ends[0]);
}

struct knocker {
    const struct ptt_scratch *scratch;
    struct ptt_page *page; /* words: it may end; how often it was let in; an answer that makes no sense */
};

static int knock(void *context)
{
    struct knocker *knocker = context;
    ptq_bus *bus = ptt_scratch_open(knocker->scratch);
    while (atomic_load(&knocker->page->words[0]) == 0) {
        ptq_pipe *point;
        enum ptq_err err = ptq_pipe_open(bus, "door", NULL, &point);
        if (err == PTQ_OK) {
            atomic_fetch_add(&knocker->page->words[1], 1);
            ptq_pipe_close(point);
        } else if (err != PTQ_ENOENT && err != PTQ_EBUSY && err != PTQ_EENDED && err != PTQ_EGONE) {
            atomic_store(&knocker->page->words[2], 1 + (uint64_t)err);
        }
    }
    ptq_bus_close(bus);
    return 0;
}

static void who_looks_for_a_point_does_not_disturb_its_maker(void **state)
{
    struct ptt_scratch *scratch = *state;
    struct knocker knocker = {scratch, ptt_page_new()};
    pid_t pid = ptt_fork(knock, &knocker);

    for (int i = 0; i < 300; i++) {
        ptq_pipe *anchor, *point;
        assert_ok(ptq_pipe_pair(scratch->bus, OPTIONS(.name = "door", .one_way = i % 2), &anchor, &point));
        ptq_pipe_close(i % 4 < 2 ? anchor : point);
        ptq_pipe_close(i % 4 < 2 ? point : anchor);
    }
    atomic_store(&knocker.page->words[0], 1);
    ptt_assert_exit(pid, 0, PTT_LONG);
    assert_int_equal(knocker.page->words[1], 0); /* both ends were their maker's from the first moment on */
    assert_int_equal(knocker.page->words[2], 0);
    assert_int_equal(ptt_scratch_files(scratch, NULL), 0);
    ptt_page_free(knocker.page);
}

/* -- bad input ------------------------------------------------------------------------------------------------ */

static void bad_names_and_arguments_are_refused(void **state)
{
    struct ptt_scratch *scratch = *state;
    struct ptq_error error = {0};
    ptq_pipe *anchor, *point = NULL;
    char name[PTQ_PIPE_NAME_MAX + 2];
    ptq_queue *queue;

    memset(name, 'n', sizeof name);
    name[PTQ_PIPE_NAME_MAX + 1] = '\0';
    assert_answer(PTQ_EINVAL, ptq_pipe_pair(NULL, NULL, &anchor, &point));
    assert_answer(PTQ_EINVAL, ptq_pipe_pair(scratch->bus, NULL, NULL, &point));
    assert_answer(PTQ_EINVAL, ptq_pipe_pair(scratch->bus, OPTIONS(.name = "a/b", .error = &error), &anchor, &point));
    ptt_assert_says(error.text, "no name of a pipe");
    assert_answer(PTQ_EINVAL, ptq_pipe_pair(scratch->bus, OPTIONS(.name = ""), &anchor, &point));
    assert_answer(PTQ_EINVAL, ptq_pipe_pair(scratch->bus, OPTIONS(.name = name), &anchor, &point));
    assert_answer(PTQ_EINVAL, ptq_pipe_pair(scratch->bus, OPTIONS(.item_size = PTQ_ITEM_MAX + 1), &anchor, &point));
    name[PTQ_PIPE_NAME_MAX] = '\0';
    assert_ok(ptq_pipe_pair(scratch->bus, OPTIONS(.name = name), &anchor, &point));
    assert_answer(PTQ_EEXIST, ptq_pipe_pair(scratch->bus, OPTIONS(.name = name, .error = &error), &anchor, &point));
    ptt_assert_says(error.text, "somebody has an end of it");
    ptq_pipe_close(anchor);
    ptq_pipe_close(point);
    point = NULL;
    assert_answer(PTQ_ENOENT, ptq_pipe_open(scratch->bus, "none", &(struct ptq_pipe_open_options){.error = &error}, &point));
    ptt_assert_says(error.text, "there is no pipe 'none'");
    assert_answer(PTQ_EINVAL, ptq_pipe_open(scratch->bus, "no name", NULL, &point));
    assert_answer(PTQ_EINVAL, ptq_pipe_open(scratch->bus, "pipe@node", NULL, &point));
    assert_ok(ptq_queue_open(scratch->bus, "plain", NULL, &queue));
    assert_ok(ptq_queue_ref(queue, name, sizeof name));
    assert_answer(PTQ_EINVAL, ptq_pipe_open(scratch->bus, name, &(struct ptq_pipe_open_options){.error = &error}, &point));
    ptt_assert_says(error.text, "is no pipe of this host");
    ptq_queue_close(queue);
    assert_null(point);
    assert_answer(PTQ_EINVAL, ptq_pipe_send(NULL, "x", 1, 0));
    assert_answer(PTQ_EINVAL, ptq_pipe_unlink(scratch->bus, "a b", false));
    ptq_pipe_close(NULL);
    ptq_pipe_interrupt(NULL);
}

static void a_pipe_is_removed_by_name(void **state)
{
    struct ptt_scratch *scratch = *state;
    ptq_pipe *anchor, *point;

    assert_ok(ptq_pipe_unlink(scratch->bus, "gone", false));
    assert_ok(ptq_pipe_pair(scratch->bus, OPTIONS(.name = "gone"), &anchor, &point));
    assert_answer(PTQ_EBUSY, ptq_pipe_unlink(scratch->bus, "gone", false));
    assert_ok(ptq_pipe_unlink(scratch->bus, "gone", true));
    assert_answer(PTQ_EGONE, ptq_pipe_send(anchor, "x", 1, PTQ_FOREVER));
    expect_answer(point, PTQ_EGONE, PTQ_FOREVER);
    ptq_pipe_close(anchor);
    ptq_pipe_close(point);
    assert_int_equal(ptt_scratch_files(scratch, NULL), 0);
}

static void no_descriptor_thread_or_mapping_is_left(void **state)
{
    struct ptt_scratch *scratch = *state;
    struct ptt_traces before;
    ptq_pipe *anchor, *point;
    char ref[PTQ_REF_SIZE];

    for (int i = 0; i < 3; i++) {
        if (i == 1)
            ptt_traces_take(&before);
        assert_ok(ptq_pipe_pair(scratch->bus, NULL, &anchor, &point));
        expect_answer(anchor, PTQ_TIMEDOUT, 300);
        assert_ok(ptq_pipe_give(point, ref, sizeof ref));
        expect_answer(anchor, PTQ_TIMEDOUT, 60);
        assert_ok(ptq_pipe_open(scratch->bus, ref, NULL, &point));
        assert_answer(PTQ_EBUSY, ptq_pipe_open(scratch->bus, ref, NULL, &(ptq_pipe *){NULL}));
        ptq_pipe_close(point);
        ptq_pipe_close(anchor);
    }
    ptt_traces_assert_none_left(&before);
    assert_int_equal(ptt_scratch_files(scratch, NULL), 0);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, ptt_setup_scratch, ptt_teardown_scratch)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(messages_go_both_ways_in_order),
        CASE(a_one_way_pipe_goes_one_way),
        CASE(messages_of_all_sizes_are_whole),
        CASE(a_point_is_given_to_a_child),
        CASE(a_point_is_found_by_name),
        CASE(a_pipe_that_is_not_made_yet_is_waited_for),
        CASE(a_point_has_one_owner),
        CASE(what_is_locked_does_not_change_hands),
        CASE(what_waits_goes_with_the_point),
        CASE(a_closed_anchor_leaves_what_it_sent_to_who_opens_the_point),
        CASE(a_closed_end_is_told_behind_what_it_sent),
        CASE(an_end_that_only_listens_goes_on_listening),
        CASE(a_close_wakes_who_sleeps),
        CASE(an_interrupt_wakes_who_sleeps),
        CASE(a_full_pipe_makes_its_sender_wait),
        CASE(a_descriptor_tells_messages_and_the_end),
        CASE(threads_share_an_end),
        CASE(a_forked_child_is_told_so_and_disturbs_nothing),
        CASE(who_looks_for_a_point_does_not_disturb_its_maker),
        CASE(bad_names_and_arguments_are_refused),
        CASE(a_pipe_is_removed_by_name),
        CASE(no_descriptor_thread_or_mapping_is_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
