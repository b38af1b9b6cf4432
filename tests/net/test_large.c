/* test_large.c -- messages of hundreds of megabytes across hosts: once, whole, and nobody else behind them. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/time.h"
#include "net/world.h"

#define MIB (1u << 20)

/* Eight bytes in each page tell which page of which message they are of. */
static void mark(char *bytes, size_t size, uint64_t seed)
{
    for (size_t at = 0; at + 8 <= size; at += 4096) {
        uint64_t word = seed << 40 | at;
        memcpy(bytes + at, &word, sizeof word);
    }
    bytes[size - 1] = (char)seed;
}

static bool is_marked(const char *bytes, size_t size, uint64_t seed)
{
    for (size_t at = 0; at + 8 <= size; at += 4096) {
        uint64_t word = seed << 40 | at;
        if (memcmp(bytes + at, &word, sizeof word) != 0)
            return false;
    }
    return bytes[size - 1] == (char)seed;
}

static char *new_body(size_t size, uint64_t seed)
{
    char *bytes = calloc(size, 1);

    assert_non_null(bytes);
    mark(bytes, size, seed);
    return bytes;
}

static ptq_queue *open_large(ptq_bus *bus, const char *name, size_t size, uint64_t capacity)
{
    return net_open(bus, name,
                    &(struct ptq_queue_options){.item_size = (uint32_t)size, .capacity = capacity, .header_size = 64});
}

static void assert_next(ptq_queue *queue, size_t size, uint64_t seed)
{
    ptq_msg *msg;

    assert_ok(ptq_get(queue, 3 * PTT_LONG, &msg));
    assert_int_equal(ptq_msg_size(msg), size);
    assert_true(is_marked(ptq_msg_data(msg), size, seed));
    assert_false(ptq_msg_redelivered(msg));
    assert_ok(ptq_ack(msg));
}

static void a_message_of_a_gibibyte_goes_there_and_back(void **state)
{
    size_t size = PTQ_ITEM_MAX;
    struct net net;
    (void)state;

    net_init(&net, NULL);
    ptq_queue *here = open_large(net.here, "giant", size, 2), *far = open_large(net.there, "giant", size, 2);
    char *body = new_body(size, 7);
    assert_ok(ptq_put(far, body, size, 3 * PTT_LONG));
    free(body);
    assert_next(far, size, 7);
    struct ptq_queue_stats stats;
    assert_ok(ptq_queue_stats(here, &stats));
    assert_true(stats.put == 1 && stats.acked == 1 && stats.redelivered == 0);
    ptq_queue_close(far);
    ptq_queue_close(here);
    net_fini(&net);
}

struct putting {
    ptq_queue *queue;
    char *body;
    size_t size;
    _Atomic uint64_t done;
    enum ptq_err answer;
};

static void *put_it(void *context)
{
    struct putting *putting = context;

    putting->answer = ptq_put(putting->queue, putting->body, putting->size, 3 * PTT_LONG);
    atomic_store(&putting->done, 1);
    return NULL;
}

static void start_putting(struct putting *putting, ptq_queue *queue, size_t size, uint64_t seed, pthread_t *thread)
{
    *putting = (struct putting){.queue = queue, .body = new_body(size, seed), .size = size};
    assert_int_equal(pthread_create(thread, NULL, put_it, putting), 0);
}

static void small_ones_pass_by_large_ones_both_ways(void **state)
{
    size_t size = 200 * MIB;
    uint64_t by_put = 0, by_get = 0, one = 1;
    struct putting putting;
    pthread_t thread;
    struct net net;
    (void)state;

    net_init(&net, NULL);
    ptq_queue *large = open_large(net.there, "large@home", size, 2), *small = net_open(net.there, "small@home", NULL);
    start_putting(&putting, large, size, 1, &thread);
    for (; atomic_load(&putting.done) == 0; by_put++) {
        assert_ok(ptq_put(small, &one, sizeof one, PTT_LONG));
        assert_ok(ptq_recv(small, &one, sizeof one, PTT_LONG, &(size_t){0}));
    }
    pthread_join(thread, NULL);
    assert_ok(putting.answer);
    free(putting.body);

    start_putting(&putting, large, size, 2, &thread);
    assert_next(large, size, 1);
    for (; atomic_load(&putting.done) == 0; by_get++) {
        assert_ok(ptq_put(small, &one, sizeof one, PTT_LONG));
        assert_ok(ptq_recv(small, &one, sizeof one, PTT_LONG, &(size_t){0}));
    }
    pthread_join(thread, NULL);
    assert_ok(putting.answer);
    assert_next(large, size, 2);
    free(putting.body);
    print_message("%llu went by while one went, %llu while one was fetched\n", (unsigned long long)by_put, (unsigned long long)by_get);
    assert_true(by_put >= 2);
    ptq_queue_close(small);
    ptq_queue_close(large);
    net_fini(&net);
}

static void links_that_are_cut_in_a_large_one_carry_it_once(void **state)
{
    size_t size = 30 * MIB;
    uint64_t seed = ptt_seed();
    struct putting putting;
    struct world world;
    pthread_t thread;
    ptq_msg *msg;
    (void)state;

    world_init(&world, NULL);
    ptq_queue *far = open_large(world.bus, "cut@home", size, 4);
    for (uint64_t i = 0; i < 4; i++) {
        atomic_store(&world.proxy.cut_after, 1 + (int64_t)(ptt_random(&seed) % (25 * MIB)));
        start_putting(&putting, far, size, i, &thread);
        pthread_join(thread, NULL);
        assert_ok(putting.answer);
        free(putting.body);
    }
    assert_true(world.proxy.faults >= 4);
    for (uint64_t i = 0; i < 4; i++) {
        atomic_store(&world.proxy.cut_after, 1 + (int64_t)(ptt_random(&seed) % (25 * MIB)));
        assert_next(far, size, i);
    }
    assert_answer(PTQ_EMPTY, ptq_get(far, PTQ_NOWAIT, &msg));
    ptq_queue_close(far);
    world_fini(&world);
}

static void a_large_one_waits_for_its_place(void **state)
{
    size_t size = 3 * MIB;
    struct putting putting;
    pthread_t thread;
    struct net net;
    (void)state;

    net_init(&net, NULL);
    ptq_queue *here = open_large(net.here, "full", size, 1), *far = open_large(net.there, "full", size, 1);
    char *body = new_body(size, 1);
    for (int i = 0; i < 4; i++)
        assert_answer(i == 0 ? PTQ_OK : PTQ_FULL, ptq_put(far, body, size, PTQ_NOWAIT));
    assert_answer(PTQ_TIMEDOUT, ptq_put(far, body, size, 300));
    start_putting(&putting, far, size, 2, &thread);
    assert_false(ptt_wait_word(&putting.done, 1, 300));
    assert_next(here, size, 1);
    pthread_join(thread, NULL);
    assert_ok(putting.answer);
    assert_next(here, size, 2);
    assert_answer(PTQ_EMSGSIZE, ptq_put(far, body, size + 1, PTQ_NOWAIT));
    assert_ok(ptq_end(here));
    assert_answer(PTQ_EENDED, ptq_put(far, body, size, PTT_LONG));
    free(putting.body);
    free(body);
    ptq_queue_close(far);
    ptq_queue_close(here);
    net_fini(&net);
}

static void what_stands_beside_a_large_one_comes_with_it(void **state)
{
    size_t size = 2 * MIB + 3;
    struct ptq_header header = {"name", "value", 5};
    struct ptq_put_options options = {.headers = &header, .header_count = 1, .delay_ms = 50};
    const void *value;
    size_t length;
    struct net net;
    ptq_msg *msg;
    (void)state;

    net_init(&net, NULL);
    ptq_queue *far = open_large(net.there, "beside@home", size, 2);
    char *body = new_body(size, 9);
    int64_t due = pti_now_ns() + 50 * PTI_NS_PER_MS;
    assert_ok(ptq_put_with(far, body, size, &options, PTT_LONG));
    enum ptq_err answer = ptq_get(far, PTQ_NOWAIT, &msg);
    if (answer == PTQ_EMPTY)
        answer = ptq_get(far, PTT_LONG, &msg);
    assert_ok(answer);
    assert_true(pti_now_ns() >= due);
    assert_true(ptq_msg_size(msg) == size && is_marked(ptq_msg_data(msg), size, 9));
    value = ptq_msg_header(msg, "name", &length);
    assert_true(value != NULL && length == 5 && memcmp(value, "value", 5) == 0);
    assert_ok(ptq_nack(msg, 0));
    assert_ok(ptq_get(far, PTT_LONG, &msg));
    assert_true(ptq_msg_redelivered(msg) && is_marked(ptq_msg_data(msg), size, 9));
    assert_ok(ptq_ack(msg));
    free(body);
    ptq_queue_close(far);
    net_fini(&net);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_of_a_gibibyte_goes_there_and_back),
        cmocka_unit_test(small_ones_pass_by_large_ones_both_ways),
        cmocka_unit_test(links_that_are_cut_in_a_large_one_carry_it_once),
        cmocka_unit_test(a_large_one_waits_for_its_place),
        cmocka_unit_test(what_stands_beside_a_large_one_comes_with_it),
    };

    return ptt_run_beside(tests, sizeof tests / sizeof *tests, 3);
}
