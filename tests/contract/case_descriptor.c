/* case_descriptor.c -- ptq_queue_fd under poll and epoll: readable whenever a call would not wait, level-triggered. */
#include <sys/epoll.h>
#include <unistd.h>

#include "contract/contract.h"

static int descriptor(ptq_queue *queue, enum ptq_side side)
{
    int fd = -1;

    assert_ok(ptq_queue_fd(queue, side, &fd));
    assert_true(fd >= 0);
    return fd;
}

static void the_get_side_is_readable_while_there_is_something(void **state)
{
    struct contract *c = *state;
    ptq_queue *here = contract_open(c, "tasks", NULL), *there = contract_open(c, "tasks", NULL);
    int fd = descriptor(here, PTQ_SIDE_GET);

    assert_true(contract_becomes_quiet(here, fd));
    for (uint64_t round = 0; round < 10; round++) {
        put_range(there, 0, 3);
        for (uint64_t i = 0; i < 3; i++) {
            assert_true(ptt_wait_readable(fd, PTT_LONG));
            assert_true(ptt_wait_readable(fd, PTT_LONG)); /* level-triggered */
            assert_int_equal(recv_number(here), i);
        }
        assert_true(contract_becomes_quiet(here, fd));
    }
    ptq_queue_close(here);
    ptq_queue_close(there);
}

static void it_is_readable_at_once_where_something_waits_already(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = contract_open(c, "tasks", NULL);

    put_number(queue, 1);
    assert_true(ptt_wait_readable(descriptor(queue, PTQ_SIDE_GET), PTT_LONG));
    assert_true(ptt_wait_readable(descriptor(queue, PTQ_SIDE_PUT), PTT_LONG));
    ptq_queue_close(queue);
}

static void the_put_side_is_readable_while_there_is_room(void **state)
{
    struct contract *c = *state;
    ptq_queue *here = contract_open_sized(c, "tasks", 2, 64), *there = contract_open(c, "tasks", NULL);
    int fd = descriptor(here, PTQ_SIDE_PUT);

    for (uint64_t round = 0; round < 10; round++) {
        for (uint64_t i = 0; i < 2; i++) {
            assert_true(ptt_wait_readable(fd, PTT_LONG));
            put_number(here, i);
        }
        bool quiet = false;
        for (int i = 0; i < 20 && !quiet; i++) {
            assert_answer(PTQ_FULL, ptq_put(here, "x", 1, PTQ_NOWAIT));
            quiet = !ptt_wait_readable(fd, 20);
        }
        assert_true(quiet);
        assert_int_equal(recv_number(there), 0);
        assert_true(ptt_wait_readable(fd, PTT_LONG));
        assert_int_equal(recv_number(there), 1);
    }
    ptq_queue_close(here);
    ptq_queue_close(there);
}

static void the_same_call_gives_the_same_descriptor(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = contract_open(c, "tasks", NULL);

    int get = descriptor(queue, PTQ_SIDE_GET), put = descriptor(queue, PTQ_SIDE_PUT);

    assert_int_equal(descriptor(queue, PTQ_SIDE_GET), get);
    assert_int_equal(descriptor(queue, PTQ_SIDE_PUT), put);
    assert_int_not_equal(get, put);
    ptq_queue_close(queue);
}

static void it_works_inside_an_epoll_of_the_callers(void **state)
{
    struct contract *c = *state;
    ptq_queue *queues[2] = {contract_open(c, "a", NULL), contract_open(c, "b", NULL)};
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event;

    assert_true(epoll >= 0);
    for (uint32_t i = 0; i < 2; i++) {
        int fd = descriptor(queues[i], PTQ_SIDE_GET);
        assert_true(contract_becomes_quiet(queues[i], fd));
        event = (struct epoll_event){.events = EPOLLIN, .data.u32 = i};
        assert_int_equal(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event), 0);
    }
    for (uint64_t round = 0; round < 20; round++) {
        uint32_t which = round % 3 == 0;
        put_number(queues[which], round);
        for (bool got = false; !got;) {
            assert_int_equal(epoll_wait(epoll, &event, 1, PTT_LONG), 1);
            ptq_msg *msg = NULL;
            if (ptq_get(queues[event.data.u32], PTQ_NOWAIT, &msg) != PTQ_OK)
                continue; /* spurious */
            assert_int_equal(event.data.u32, which);
            assert_int_equal(number_of(msg), round);
            assert_ok(ptq_ack(msg));
            got = true;
        }
    }
    close(epoll);
    ptq_queue_close(queues[0]);
    ptq_queue_close(queues[1]);
}

static void two_handles_of_a_process_are_both_told(void **state)
{
    struct contract *c = *state;
    ptq_queue *a = contract_open(c, "tasks", NULL), *b = contract_open(c, "tasks", NULL);
    int fds[2] = {descriptor(a, PTQ_SIDE_GET), descriptor(b, PTQ_SIDE_GET)};

    for (uint64_t i = 0; i < 10; i++) {
        assert_true(contract_becomes_quiet(a, fds[0]));
        assert_true(contract_becomes_quiet(b, fds[1]));
        put_number(a, i);
        assert_true(ptt_wait_readable(fds[i % 2], PTT_LONG));
        assert_true(ptt_wait_readable(fds[1 - i % 2], PTT_LONG));
        assert_int_equal(recv_number(i % 2 ? a : b), i);
    }
    ptq_queue_close(a);
    ptq_queue_close(b);
}

static void an_end_makes_it_readable(void **state)
{
    struct contract *c = *state;
    ptq_queue *here = contract_open_sized(c, "tasks", 1, 64), *there = contract_open(c, "tasks", NULL);
    int fd = descriptor(here, PTQ_SIDE_GET);

    put_number(there, 1);
    ptq_msg *msg = get_number(there, 1);
    assert_true(contract_becomes_quiet(here, fd));
    assert_ok(ptq_end(there));
    assert_get(PTQ_EMPTY, here);   /* the lease holds it back */
    assert_ok(ptq_ack(msg));
    for (bool ended = false; !ended;) {
        assert_true(ptt_wait_readable(fd, PTT_LONG));
        enum ptq_err err = ptq_get(here, PTQ_NOWAIT, &msg);
        assert_true(err == PTQ_END || err == PTQ_EMPTY);
        ended = err == PTQ_END;
    }
    assert_true(ptt_wait_readable(fd, PTT_LONG)); /* and stays: a get would not wait */
    ptq_queue_close(here);
    ptq_queue_close(there);
}

static void removal_makes_it_readable(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = contract_open(c, "tasks", NULL);
    int fd = descriptor(queue, PTQ_SIDE_GET);

    assert_true(contract_becomes_quiet(queue, fd));
    assert_ok(ptq_queue_unlink(c->home.bus, "tasks", true));
    assert_true(ptt_wait_readable(fd, PTT_LONG));
    assert_get(PTQ_EGONE, queue);
    ptq_queue_close(queue);
}

static void a_nack_makes_it_readable_at_once_or_when_due(void **state)
{
    struct contract *c = *state;
    ptq_queue *here = contract_open(c, "tasks", NULL), *there = contract_open(c, "tasks", NULL);
    int fd = descriptor(here, PTQ_SIDE_GET);

    put_number(there, 1);
    ptq_msg *msg = get_number(there, 1);
    assert_true(contract_becomes_quiet(here, fd));
    assert_ok(ptq_nack(msg, 0));
    assert_true(ptt_wait_readable(fd, PTT_LONG));
    msg = get_number(here, 1);
    assert_ok(ptq_nack(msg, 60));
    for (msg = NULL; msg == NULL;) {
        enum ptq_err err = ptq_get(here, PTQ_NOWAIT, &msg);
        assert_true(err == PTQ_OK || err == PTQ_EMPTY);
        if (err == PTQ_EMPTY)
            assert_true(ptt_wait_readable(fd, PTT_LONG));
    }
    assert_ok(ptq_ack(msg));
    ptq_queue_close(here);
    ptq_queue_close(there);
}

static void the_death_of_a_holder_makes_it_readable(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = contract_open(c, "tasks", NULL);
    int fd = descriptor(queue, PTQ_SIDE_GET);

    for (uint64_t i = 0; i < 5; i++) {
        struct ptt_page *page = contract_page_new();
        ptq_msg *msg = NULL;
        put_number(queue, i);
        pid_t child = contract_child(c, "hold-leases", "tasks", page, 1);
        assert_true(ptt_wait_word(&page->words[0], 1, PTT_LONG));
        assert_true(contract_becomes_quiet(queue, fd));
        ptt_kill(child);
        while (msg == NULL) {
            assert_true(ptt_wait_readable(fd, PTT_LONG));
            enum ptq_err err = ptq_get(queue, PTQ_NOWAIT, &msg);
            assert_true(err == PTQ_OK || err == PTQ_EMPTY);
        }
        assert_int_equal(number_of(msg), i);
        assert_true(ptq_msg_redelivered(msg));
        assert_ok(ptq_ack(msg));
        contract_page_free(page);
    }
    ptq_queue_close(queue);
    contract_verify(c, "tasks");
}

static void a_stream_through_poll_with_random_drains_never_stalls(void **state)
{
    struct contract *c = *state;
    uint64_t count = c->carrier->remote ? 2000 : 100000, next = 0, seed = ptt_seed();
    ptq_queue *queue = contract_open_sized(c, "tasks", 50, 64);
    int fd = descriptor(queue, PTQ_SIDE_GET);
    pid_t child = contract_child(c, "put-numbers", "tasks", NULL, count);

    while (next < count) {
        if (!ptt_wait_readable(fd, PTT_LONG))
            fail_msg("stalled at %llu with %llu ready", (unsigned long long)next,
                     (unsigned long long)contract_stats(queue).ready);
        for (uint64_t drain = 1 + ptt_random(&seed) % 70; drain > 0; drain--) {
            uint64_t number = 0;
            size_t size = 0;
            enum ptq_err err = ptq_recv(queue, &number, sizeof number, PTQ_NOWAIT, &size);
            if (err == PTQ_EMPTY)
                break;
            assert_ok(err);
            assert_int_equal(number, next++);
        }
    }
    ptt_assert_exit(child, 0, PTT_LONG);
    assert_true(contract_becomes_quiet(queue, fd));
    ptq_queue_close(queue);
    contract_verify(c, "tasks");
}

static void descriptors_are_gone_with_their_handle(void **state)
{
    struct contract *c = *state;
    struct ptt_traces before;
    ptq_queue *keep = contract_open(c, "tasks", NULL);

    for (int i = 0; i < 30; i++) {
        ptq_queue *queue = contract_open(c, "tasks", NULL);
        descriptor(queue, PTQ_SIDE_GET);
        descriptor(queue, PTQ_SIDE_PUT);
        ptq_queue_close(queue);
        if (i == 0)
            ptt_traces_take(&before);
    }
    ptt_traces_assert_none_left(&before);
    ptq_queue_close(keep);
}

static const struct contract_case descriptor_cases[] = {
    CONTRACT_CASE(the_get_side_is_readable_while_there_is_something),
    CONTRACT_CASE(it_is_readable_at_once_where_something_waits_already),
    CONTRACT_CASE(the_put_side_is_readable_while_there_is_room),
    CONTRACT_CASE(the_same_call_gives_the_same_descriptor),
    CONTRACT_CASE(it_works_inside_an_epoll_of_the_callers),
    CONTRACT_CASE(two_handles_of_a_process_are_both_told),
    CONTRACT_CASE(an_end_makes_it_readable),
    CONTRACT_CASE(removal_makes_it_readable),
    CONTRACT_CASE(a_nack_makes_it_readable_at_once_or_when_due),
    CONTRACT_CASE(the_death_of_a_holder_makes_it_readable),
    CONTRACT_CASE(a_stream_through_poll_with_random_drains_never_stalls),
    CONTRACT_CASE(descriptors_are_gone_with_their_handle),
};
CONTRACT_GROUP(descriptor);
