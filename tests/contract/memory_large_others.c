/* memory_large_others.c -- side files and other processes: killed, forked, short of memory and descriptors. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "contract/large.h"

/* ---- killed, forked */

static size_t size_of_number(uint64_t number) { return (size_t)(number * 700001 % LARGEST); }

/* Puts numbered messages of many sizes until it is killed, or `count` are in; words[0]: so many puts returned. */
static int put_for_ever(void *context)
{
    struct errand *errand = context;
    struct ptq_bus_options options = {.dir = errand->c->home.dir};
    unsigned char *bytes = malloc(LARGEST);
    ptq_queue *queue;
    ptq_bus *bus;

    if (ptq_bus_open("test", &options, &bus) != PTQ_OK || ptq_queue_open(bus, "tasks", NULL, &queue) != PTQ_OK)
        return 1;
    for (uint64_t i = errand->page->words[0]; i < errand->count; i++) {
        size_t size = 8 + size_of_number(i);

        contract_fill(bytes, size, i);
        memcpy(bytes, &i, 8);
        if (ptq_put(queue, bytes, size, PTT_LONG) != PTQ_OK)
            return 2;
        errand->page->words[0] = i + 1;
    }
    ptq_queue_close(queue);
    ptq_bus_close(bus);
    free(bytes);
    return 0;
}

static bool is_message(const ptq_msg *msg, uint64_t *ret_number)
{
    size_t size = ptq_msg_size(msg);
    unsigned char *expected = malloc(size + 1);
    bool same;

    memcpy(ret_number, ptq_msg_data(msg), 8);
    contract_fill(expected, size, *ret_number);
    memcpy(expected, ret_number, 8);
    same = size == 8 + size_of_number(*ret_number) && memcmp(expected, ptq_msg_data(msg), size) == 0;
    free(expected);
    return same;
}

static void what_one_process_puts_another_gets_whole(void **state)
{
    struct contract *c = *state;
    struct errand errand = {c, ptt_page_new(), 60};
    ptq_queue *queue = large_open(c, "tasks", 4);
    pid_t child = ptt_fork(put_for_ever, &errand);

    for (uint64_t i = 0; i < 60; i++) {
        ptq_msg *msg;
        uint64_t number;

        assert_ok(ptq_get(queue, PTT_LONG, &msg));
        assert_true(is_message(msg, &number));
        assert_int_equal(number, i);
        assert_ok(ptq_ack(msg));
    }
    ptt_assert_exit(child, 0, PTT_LONG);
    contract_verify(c, "tasks");
    ptq_queue_close(queue);
    ptt_page_free(errand.page);
}

/* Producers are killed at any point: every put that returned comes out whole, and none half. */
static void a_killed_producer_leaves_whole_messages_only(void **state)
{
    struct contract *c = *state;
    struct errand errand = {c, ptt_page_new(), UINT64_MAX};
    ptq_queue *queue = large_open(c, "tasks", 4);
    uint64_t seed = ptt_seed(), next = 0;

    for (int life = 0; life < 25; life++) {
        pid_t child = ptt_fork(put_for_ever, &errand);
        uint64_t kill_at = next + ptt_random(&seed) % 6, number;
        ptq_msg *msg;

        while (next <= kill_at) {
            assert_ok(ptq_get(queue, PTT_LONG, &msg));
            assert_true(is_message(msg, &number));
            assert_int_equal(number, next);
            assert_ok(ptq_ack(msg));
            next = number + 1;
        }
        usleep((useconds_t)(ptt_random(&seed) % 2000)); /* no waiting for anything: where it is killed is random */
        ptt_kill(child);
        uint64_t returned = errand.page->words[0];
        for (enum ptq_err err; (err = ptq_get(queue, PTQ_NOWAIT, &msg)) != PTQ_EMPTY;) {
            assert_ok(err);
            assert_true(is_message(msg, &number));
            assert_int_equal(number, next++);
            assert_ok(ptq_ack(msg));
        }
        assert_in_range(next, returned, returned + 1);
        errand.page->words[0] = next;
    }
    contract_verify(c, "tasks");
    struct sides sides;
    large_look_at_sides(c, "tasks", &sides);
    assert_in_range(sides.count, 1, 10); /* the blocks of the dead are used again, with their files */
    ptq_queue_close(queue);
    ptt_page_free(errand.page);
}

static int hold_one(void *context)
{
    struct errand *errand = context;
    struct ptq_bus_options options = {.dir = errand->c->home.dir};
    ptq_queue *queue;
    ptq_bus *bus;
    ptq_msg *msg;

    if (ptq_bus_open("test", &options, &bus) != PTQ_OK || ptq_queue_open(bus, "tasks", NULL, &queue) != PTQ_OK ||
        ptq_get(queue, PTT_LONG, &msg) != PTQ_OK)
        return 1;
    errand->page->words[0] = 1;
    pause();
    return 0;
}

static void a_killed_consumer_s_message_comes_again(void **state)
{
    struct contract *c = *state;
    struct errand errand = {c, ptt_page_new(), 0};
    ptq_queue *queue = large_open(c, "tasks", 4);
    ptq_msg *msg;

    large_put(queue, 3 * MIB, 9);
    pid_t child = ptt_fork(hold_one, &errand);
    assert_true(ptt_wait_word(&errand.page->words[0], 1, PTT_LONG));
    ptt_kill(child);

    assert_ok(ptq_get(queue, PTT_LONG, &msg));
    assert_true(ptq_msg_redelivered(msg));
    large_assert_is(msg, 3 * MIB, 9);
    assert_ok(ptq_ack(msg));
    ptq_queue_close(queue);
    ptt_page_free(errand.page);
}

static int use_inherited(void *context)
{
    ptq_msg *msg;

    return ptq_put(context, "x", 1, PTQ_NOWAIT) == PTQ_EFORKED && ptq_loan(context, MIB, PTQ_NOWAIT, &msg) == PTQ_EFORKED ? 0 : 1;
}

static void a_forked_child_touches_nothing(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = large_open(c, "tasks", 4);

    large_put(queue, MIB, 9);
    ptt_assert_exit(ptt_fork(use_inherited, queue), 0, PTT_LONG);
    large_get(queue, MIB, 9);
    ptq_queue_close(queue);
}

/* ---- limits of a process */

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1 /* and needs the address space itself */
#else
#define SANITIZED 0
#endif

static int get_without_address_space(void *context)
{
    struct errand *errand = context;
    struct ptq_bus_options options = {.dir = errand->c->home.dir};
    struct rlimit limit, tight;
    ptq_queue *queue;
    ptq_bus *bus;
    ptq_msg *msg;

    if (ptq_bus_open("test", &options, &bus) != PTQ_OK || ptq_queue_open(bus, "tasks", NULL, &queue) != PTQ_OK)
        return 1;
    getrlimit(RLIMIT_AS, &limit);
    tight = limit;
    tight.rlim_cur = 1; /* nothing more can be mapped */
    setrlimit(RLIMIT_AS, &tight);
    enum ptq_err first = ptq_get(queue, PTQ_NOWAIT, &msg), put = ptq_put(queue, errand->page, MIB, PTQ_NOWAIT);
    setrlimit(RLIMIT_AS, &limit);
    if (first != PTQ_ENOMEM)
        return 2;
    if (put != PTQ_ENOMEM)
        return 3;
    limit.rlim_cur = 0;
    getrlimit(RLIMIT_NOFILE, &limit);
    tight = limit;
    tight.rlim_cur = 3;
    setrlimit(RLIMIT_NOFILE, &tight);
    first = ptq_get(queue, PTQ_NOWAIT, &msg);
    setrlimit(RLIMIT_NOFILE, &limit);
    if (first != PTQ_ENOMEM)
        return 4;
    if (ptq_get(queue, PTQ_NOWAIT, &msg) != PTQ_OK || ptq_msg_redelivered(msg) || ptq_msg_deliveries(msg) != 1)
        return 5; /* as if it had not been taken */
    if (!contract_is_filled(ptq_msg_data(msg), MIB, 1) || ptq_ack(msg) != PTQ_OK)
        return 6;
    ptq_queue_close(queue);
    ptq_bus_close(bus);
    return 0;
}

static void without_address_space_or_descriptors_it_is_enomem_and_the_message_stays(void **state)
{
    struct contract *c = *state;
    struct errand errand = {c, NULL, 0};
    ptq_queue *queue;

    if (SANITIZED)
        skip();
    queue = large_open(c, "tasks", 4);
    errand.page = malloc(MIB);
    memset(errand.page, 1, MIB);
    large_put(queue, MIB, 1);
    ptt_assert_exit(ptt_fork(get_without_address_space, &errand), 0, PTT_LONG);
    contract_verify(c, "tasks");
    free(errand.page);
    ptq_queue_close(queue);
}

static int use_after_closefrom(void *context)
{
    struct errand *errand = context;
    struct ptq_bus_options options = {.dir = errand->c->home.dir};
    ptq_queue *queue;
    ptq_bus *bus;

    if (ptq_bus_open("test", &options, &bus) != PTQ_OK || ptq_queue_open(bus, "tasks", NULL, &queue) != PTQ_OK)
        return 1;
    for (int fd = 3; fd < 64; fd++)
        close(fd);
    int root = open("/", O_RDONLY | O_DIRECTORY); /* takes a number that was ours */
    (void)root;
    unsigned char *bytes = malloc(2 * MIB);
    contract_fill(bytes, 2 * MIB, 4);
    if (ptq_put(queue, bytes, 2 * MIB, PTQ_NOWAIT) != PTQ_OK)
        return 2;
    return 0;
}

static void closed_descriptors_do_not_lead_it_astray(void **state)
{
    struct contract *c = *state;
    struct errand errand = {c, NULL, 0};
    ptq_queue *queue = large_open(c, "tasks", 4);

    for (uint64_t i = 0; i < 1; i++)
        large_put(queue, 100, i); /* the segment has its memory */
    ptt_assert_exit(ptt_fork(use_after_closefrom, &errand), 0, PTT_LONG);
    large_get(queue, 100, 0);
    large_get(queue, 2 * MIB, 4);
    ptq_queue_close(queue);
}

static const struct contract_case large_others_cases[] = {
    CONTRACT_CASE(what_one_process_puts_another_gets_whole),
    CONTRACT_CASE(a_killed_producer_leaves_whole_messages_only),
    CONTRACT_CASE(a_killed_consumer_s_message_comes_again),
    CONTRACT_CASE(a_forked_child_touches_nothing),
    CONTRACT_CASE(without_address_space_or_descriptors_it_is_enomem_and_the_message_stays),
    CONTRACT_CASE(closed_descriptors_do_not_lead_it_astray),
};
CONTRACT_GROUP(large_others);
