/* test_map.c -- maps: results stand in the order of the items, failures in their own places, and nothing is left for the next one. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <ptq/map.h>

#include "base/time.h"
#include "doubtful.h"
#include "pool/pool.h"
#include "pools.h"

enum { ITEMS = 300 };
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) /* they keep what was freed */
enum { GROWTH_KIB = 1 << 20 };
#else
enum { GROWTH_KIB = 512 };
#endif

/* Items "0", "1", ...; or what a test puts instead. */
struct row {
    char text[ITEMS][40];
    struct ptq_bytes items[ITEMS];
};

static void set_item(struct row *row, size_t at, const char *text)
{
    snprintf(row->text[at], sizeof row->text[at], "%s", text);
    row->items[at] = (struct ptq_bytes){row->text[at], strlen(row->text[at])};
}

static void fill_row(struct row *row)
{
    for (size_t i = 0; i < ITEMS; i++) {
        char number[16];
        snprintf(number, sizeof number, "%zu", i);
        set_item(row, i, number);
    }
}

static void assert_item(const struct row *row, const struct ptq_map_item *item, size_t index)
{
    if (item->code != PTQ_OK)
        fail_msg("item %zu: %s: %s", index, ptq_err_name(item->code), item->text);
    assert_int_equal(item->index, index);
    assert_int_equal(item->size, row->items[index].size);
    assert_memory_equal(item->data, row->items[index].data, item->size);
    assert_int_equal((uintptr_t)item->data % 16, 0);
    assert_string_equal(item->text, "");
}

static void assert_row(const struct row *row, const struct ptq_map_item *items, size_t count)
{
    for (size_t i = 0; i < count; i++)
        assert_item(row, &items[i], i);
}

/* The pool holds nothing of an earlier map. */
static void assert_clean(struct pools *pools)
{
    uint64_t ticket = pools_submit(pools, "echo", "fresh");
    pools_expect(pools, ticket, "fresh");
}

static void a_map_gives_the_results_in_the_order_of_the_items(void **state)
{
    static const uint32_t chunks[] = {0, 1, 7, 1000};
    struct pools pools;
    struct row row;
    (void)state;
    pools_init(&pools, &(struct ptq_pool_options){.window = 8}, 0);
    pools_spawn(&pools, 3);
    fill_row(&row);

    for (size_t i = 0; i < sizeof chunks / sizeof *chunks; i++) {
        struct ptq_map_options options = {.chunk = chunks[i]};
        struct ptq_map_item *items = NULL;
        assert_ok(ptq_pool_map(pools.pool, "spin", row.items, ITEMS, &options, &items));
        assert_row(&row, items, ITEMS);
        ptq_map_free(items);
    }
    assert_clean(&pools);
    pools_fini(&pools);
}

static void without_a_task_it_is_the_default_one(void **state)
{
    struct pools pools;
    struct row row;
    struct ptq_map_item *items;
    (void)state;
    pools_init(&pools, NULL, 0);
    assert_ok(ptq_pool_spawn(pools.pool, &(struct ptq_spawn_options){.count = 2, .exec = "/bin/cat"}));
    fill_row(&row);

    assert_ok(ptq_pool_map(pools.pool, NULL, row.items, 5, NULL, &items));

    assert_row(&row, items, 5);
    ptq_map_free(items);
    pools_fini(&pools);
}

static void an_empty_map_is_empty(void **state)
{
    struct pools pools;
    struct ptq_map_item *items = (struct ptq_map_item *)&pools;
    (void)state;
    pools_init(&pools, NULL, 0); /* and nobody works for it */
    assert_ok(ptq_pool_map(pools.pool, "echo", NULL, 0, NULL, &items));
    assert_null(items);
    ptq_map_free(items);
    pools_fini(&pools);
}

static void the_first_failure_in_order_ends_it_and_the_next_map_reads_nothing_stale(void **state)
{
    static const uint32_t chunks[] = {1, 4};
    struct pools pools;
    struct row row;
    (void)state;
    pools_init(&pools, &(struct ptq_pool_options){.window = 8}, 0);
    pools_spawn(&pools, 2);

    for (unsigned round = 0; round < 6; round++) {
        struct ptq_error error = {0};
        struct ptq_map_options options = {.error = &error, .chunk = chunks[round % 2]};
        struct ptq_map_item *items = NULL;
        for (size_t i = 0; i < ITEMS; i++)
            set_item(&row, i, i == 17 || i == 19 ? "f" : "g");
        assert_answer(PTQ_EFAILED, ptq_pool_map(pools.pool, "plan", row.items, ITEMS, &options, &items));
        assert_null(items);
        ptt_assert_says(error.text, "item 17");
        ptt_assert_says(error.text, "run 1 failed");
        fill_row(&row);
        assert_ok(ptq_pool_map(pools.pool, "echo", row.items, 50, NULL, &items));
        assert_row(&row, items, 50);
        ptq_map_free(items);
    }
    assert_clean(&pools);
    pools_fini(&pools);
}

static void where_failures_are_collected_each_item_has_its_own(void **state)
{
    static const uint32_t chunks[] = {1, 5};
    struct pools pools;
    struct row row;
    (void)state;
    pools_init(&pools, &(struct ptq_pool_options){.window = 8, .item_size = 64}, 0);
    pools_spawn(&pools, 2);
    for (size_t i = 0; i < 40; i++)
        set_item(&row, i, i % 7 == 3 ? "t" : "fg");
    static const char large[100] = "g";
    row.items[20] = (struct ptq_bytes){large, sizeof large};

    for (unsigned round = 0; round < 2; round++) {
        struct ptq_call_options once = {.retries = 1, .retry_on = PTQ_RETRY_ON(PTQ_EFAILED)};
        struct ptq_map_options options = {.flags = PTQ_MAP_COLLECT, .chunk = chunks[round], .call = &once};
        struct ptq_map_item *items = NULL;
        assert_ok(ptq_pool_map(pools.pool, "plan", row.items, 40, &options, &items));
        for (size_t i = 0; i < 40; i++) {
            if (i == 20) {
                assert_answer(PTQ_EMSGSIZE, items[i].code);
            } else if (i % 7 == 3) {
                assert_answer(PTQ_TIMEDOUT, items[i].code);
                assert_string_equal(items[i].text, "run 1 failed");
                assert_int_equal(items[i].size, 0);
            } else {
                assert_item(&row, &items[i], i);
                assert_int_equal(items[i].tries, 2);
            }
        }
        ptq_map_free(items);
    }
    assert_clean(&pools);
    pools_fini(&pools);
}

static void of_a_chunk_only_the_item_that_kills_its_worker_fails(void **state)
{
    struct pools pools;
    struct row row;
    struct ptq_map_item *items = NULL;
    struct ptq_map_options options = {.flags = PTQ_MAP_COLLECT, .chunk = 10};
    (void)state;
    pools_init(&pools, &(struct ptq_pool_options){.window = 4, .lives = 2}, 0);
    assert_ok(ptq_pool_spawn(pools.pool, &(struct ptq_spawn_options){.count = 2, .crash_limit = 100}));
    for (size_t i = 0; i < ITEMS; i++)
        set_item(&row, i, i == 33 ? "dd" : i == 155 ? "dg" : "g");

    assert_ok(ptq_pool_map(pools.pool, "plan", row.items, ITEMS, &options, &items));
    for (size_t i = 0; i < ITEMS; i++) {
        if (i == 33)
            assert_answer(PTQ_EDIED, items[i].code);
        else
            assert_item(&row, &items[i], i);
    }
    ptq_map_free(items);
    assert_clean(&pools);
    pools_fini(&pools);
}

static void what_does_not_fit_in_a_chunks_result_is_done_by_itself(void **state)
{
    struct pools pools;
    struct row row;
    struct ptq_map_item *items = NULL;
    struct ptq_map_options options = {.flags = PTQ_MAP_COLLECT, .chunk = 10};
    (void)state;
    pools_init(&pools, &(struct ptq_pool_options){.window = 4, .result_size = 600}, 0);
    pools_spawn(&pools, 2);
    for (size_t i = 0; i < 40; i++)
        set_item(&row, i, i == 25 ? "601" : "400"); /* one a result */

    assert_ok(ptq_pool_map(pools.pool, "big", row.items, 40, &options, &items));
    for (size_t i = 0; i < 40; i++) {
        assert_answer(i == 25 ? PTQ_EMSGSIZE : PTQ_OK, items[i].code);
        assert_int_equal(items[i].size, i == 25 ? 0 : 400);
    }
    ptq_map_free(items);
    assert_clean(&pools);
    pools_fini(&pools);
}

/* -- streams -------------------------------------------------------------------------------------------------- */

struct source {
    uint64_t next, end, pulled;
    enum ptq_err last;
};

static enum ptq_err pull(void *user, struct ptq_bytes *ret_item)
{
    struct source *source = user;
    if (source->next == source->end)
        return source->last;
    source->pulled = source->next++;
    *ret_item = (struct ptq_bytes){&source->pulled, sizeof source->pulled};
    return PTQ_OK;
}

/* Of its own: what of the queues has been touched is not counted. */
static long resident_kib(void)
{
    long pages = 0, shared = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%*s %ld %ld", &pages, &shared), 2);
    fclose(file);
    return (pages - shared) * (sysconf(_SC_PAGESIZE) / 1024);
}

static void run_stream(struct pools *pools, uint64_t count, uint32_t chunk)
{
    struct source source = {.end = UINT64_MAX, .last = PTQ_END};
    struct ptq_map_options options = {.chunk = chunk};
    struct ptq_map_item item;
    ptq_imap *imap = NULL;
    long before = 0;

    assert_ok(ptq_imap_begin(pools->pool, "echo", pull, &source, &options, &imap));
    for (uint64_t i = 0; i < count; i++) {
        uint64_t number;
        assert_ok(ptq_imap_next(imap, PTT_LONG, &item));
        assert_int_equal(item.index, i);
        memcpy(&number, item.data, sizeof number);
        assert_int_equal(number, i);
        if (source.next - i > (uint64_t)chunk * 40)
            fail_msg("%llu items were pulled ahead", (unsigned long long)(source.next - i));
        if (i == count / 4)
            before = resident_kib();
    }
    if (resident_kib() - before > GROWTH_KIB)
        fail_msg("%ld KiB more than at a quarter of the way", resident_kib() - before);
    ptq_imap_end(imap);
}

static void an_endless_input_is_pulled_as_the_window_allows_and_needs_no_more_memory(void **state)
{
    struct pools pools;
    (void)state;
    pools_init(&pools, &(struct ptq_pool_options){.window = 16}, 0);
    pools_spawn(&pools, 2);
    run_stream(&pools, 20000, 1);
    run_stream(&pools, 200000, 64);
    assert_clean(&pools);
    pools_fini(&pools);
}

static void an_input_that_fails_ends_the_stream_behind_the_results_before_it(void **state)
{
    struct pools pools;
    struct source source = {.end = 5, .last = PTQ_ENOENT};
    struct ptq_map_item item;
    ptq_imap *imap = NULL;
    (void)state;
    pools_init(&pools, NULL, 0);
    pools_spawn(&pools, 1);

    assert_ok(ptq_imap_begin(pools.pool, "echo", pull, &source, NULL, &imap));
    for (uint64_t i = 0; i < 5; i++)
        assert_ok(ptq_imap_next(imap, PTT_LONG, &item));
    assert_answer(PTQ_ENOENT, ptq_imap_next(imap, PTT_LONG, &item));
    assert_answer(PTQ_END, ptq_imap_next(imap, PTT_LONG, &item));
    ptq_imap_end(imap);
    pools_fini(&pools);
}

static void a_stream_that_is_left_early_leaves_nothing(void **state)
{
    struct pools pools;
    (void)state;
    pools_init(&pools, &(struct ptq_pool_options){.window = 8}, 0);
    pools_spawn(&pools, 2);
    for (unsigned round = 0; round < 20; round++) {
        struct source source = {.end = 1000, .last = PTQ_END};
        struct ptq_map_options options = {.chunk = 1 + round % 3};
        struct ptq_map_item item;
        ptq_imap *imap = NULL;
        assert_ok(ptq_imap_begin(pools.pool, "spin", pull, &source, &options, &imap));
        for (unsigned i = 0; i < round; i++)
            assert_ok(ptq_imap_next(imap, PTT_LONG, &item));
        ptq_imap_end(imap);
    }
    assert_clean(&pools);
    pools_fini(&pools);
}

static void a_stream_may_be_asked_without_waiting(void **state)
{
    struct pools pools;
    struct row row;
    struct ptq_map_item item;
    struct source source = {.end = 3, .last = PTQ_END};
    ptq_imap *imap = NULL;
    unsigned got = 0;
    enum ptq_err err;
    (void)state;
    pools_init(&pools, NULL, 0);
    pools_spawn(&pools, 1);
    fill_row(&row);

    assert_ok(ptq_imap_begin(pools.pool, "echo", pull, &source, NULL, &imap));
    int64_t deadline = pti_now_ns() + PTT_LONG * PTI_NS_PER_MS;
    while ((err = ptq_imap_next(imap, PTQ_NOWAIT, &item)) != PTQ_END && pti_now_ns() < deadline) {
        assert_true(err == PTQ_OK || err == PTQ_EMPTY);
        got += err == PTQ_OK;
    }
    assert_int_equal(got, 3);
    ptq_imap_end(imap);
    pools_fini(&pools);
}

static void a_pool_that_was_stopped_ends_the_stream(void **state)
{
    struct pools pools;
    struct source source = {.end = UINT64_MAX, .last = PTQ_END};
    struct ptq_map_options options = {.window = 4};
    struct ptq_map_item item;
    ptq_imap *imap = NULL;
    enum ptq_err err = PTQ_OK;
    (void)state;
    pools_init(&pools, NULL, 0);
    pools_spawn(&pools, 1);

    assert_ok(ptq_imap_begin(pools.pool, "echo", pull, &source, &options, &imap));
    assert_ok(ptq_imap_next(imap, PTT_LONG, &item));
    assert_ok(ptq_pool_stop(pools.pool));
    unsigned got = 0;
    while ((err = ptq_imap_next(imap, PTT_LONG, &item)) == PTQ_OK)
        got++;
    assert_answer(PTQ_EENDED, err);
    assert_in_range(got, 1, 8);
    ptq_imap_end(imap);
    pools_fini(&pools);
}

/* -- time ----------------------------------------------------------------------------------------------------- */

static void when_the_whole_time_is_over_the_rest_is_cancelled(void **state)
{
    struct pools pools;
    struct row row;
    struct ptq_map_item *items = NULL;
    struct ptq_map_options options = {.total_ms = 300}; /* enough where nobody looks how far it came */
    (void)state;
    pools_init(&pools, &(struct ptq_pool_options){.window = 8}, 0);
    pools_spawn(&pools, 2);
    fill_row(&row);
    assert_clean(&pools); /* by now a worker works */
    for (unsigned round = 0; round < 2; round++) {
        const char *gate = round == 0 ? "gat0" : "gat1"; /* that nobody opens in time */
        set_item(&row, 2, gate);
        options.flags = round == 0 ? 0 : PTQ_MAP_COLLECT;
        options.total_ms = round == 0 ? 300 : 2500;
        enum ptq_err err = ptq_pool_map(pools.pool, "gate-or-echo", row.items, 20, &options, &items);
        assert_answer(round == 0 ? PTQ_TIMEDOUT : PTQ_OK, err);
        pools_open_gate(&pools, gate); /* it may not even have come to it, and then never runs */
        if (round == 0)
            continue;
        assert_row(&row, items, 2);
        assert_answer(PTQ_TIMEDOUT, items[2].code);
        assert_item(&row, &items[3], 3); /* done behind it */
        ptq_map_free(items);
    }
    assert_clean(&pools);
    pools_fini(&pools);
}

static enum ptq_err gate_or_echo(ptq_task *task, const void *data, size_t size)
{
    const struct pti_task *gate = pti_task_find("gate", 4);
    return size == 4 && memcmp(data, "gat", 3) == 0 ? gate->fn(task, data, size) : ptq_task_result(task, data, size);
}

static enum ptq_err own_ticket(ptq_task *task, const void *data, size_t size)
{
    uint64_t ticket = ptq_task_ticket(task);
    (void)data;
    (void)size;
    return ptq_task_result(task, &ticket, sizeof ticket);
}

static enum ptq_err none(void *user, struct ptq_bytes *ret_item)
{
    (void)user;
    (void)ret_item;
    return PTQ_END;
}

static void items_may_be_dealt_out_evenly_to_the_workers(void **state)
{
    static const uint64_t jobs[10] = {0, 0, 0, 0, 1, 1, 1, 1, 2, 2};
    struct pools pools;
    struct row row;
    struct ptq_map_item *items = NULL;
    struct ptq_map_options options = {.chunk = PTQ_CHUNK_EVEN};
    ptq_imap *imap;
    (void)state;
    pools_init(&pools, NULL, 0);
    pools_spawn(&pools, 3);
    fill_row(&row);

    assert_ok(ptq_pool_map(pools.pool, "own-ticket", row.items, 10, &options, &items));
    uint64_t first, ticket;
    memcpy(&first, items[0].data, sizeof first);
    for (size_t i = 0; i < 10; i++) {
        memcpy(&ticket, items[i].data, sizeof ticket);
        assert_int_equal(ticket - first, jobs[i]);
    }
    ptq_map_free(items);
    assert_answer(PTQ_EINVAL, ptq_imap_begin(pools.pool, "own-ticket", none, NULL, &options, &imap));
    pools_fini(&pools);
}

/* Only the offender of a chunk is late, and the others are done again by themselves. */
static void of_a_chunk_only_the_item_that_takes_too_long_times_out(void **state)
{
    struct pools pools;
    struct row row;
    struct ptq_map_item *items = NULL;
    struct ptq_call_options call = {.timeout_ms = 150, .retries = 1, .retry_on = PTQ_RETRY_ON(PTQ_TIMEDOUT)};
    struct ptq_map_options options = {.chunk = 8, .flags = PTQ_MAP_COLLECT, .call = &call};
    (void)state;
    pools_init(&pools, &(struct ptq_pool_options){.window = 4}, 0);
    pools_spawn(&pools, 2);
    fill_row(&row);
    set_item(&row, 13, "gat2"); /* that nobody opens */

    assert_ok(ptq_pool_map(pools.pool, "gate-or-echo", row.items, 40, &options, &items));
    for (size_t i = 0; i < 40; i++) {
        if (i == 13)
            assert_answer(PTQ_TIMEDOUT, items[i].code);
        else
            assert_item(&row, &items[i], i);
    }
    ptq_map_free(items);
    assert_clean(&pools);
    pools_fini(&pools);
}

static void a_map_goes_no_faster_than_its_rate(void **state)
{
    struct pools pools;
    struct row row;
    struct ptq_map_item *items = NULL;
    struct ptq_map_options options = {.per_second = 200};
    (void)state;
    pools_init(&pools, NULL, 0);
    pools_spawn(&pools, 2);
    fill_row(&row);

    int64_t start = pti_now_ns();
    assert_ok(ptq_pool_map(pools.pool, "echo", row.items, 21, &options, &items));
    assert_true(pti_now_ns() - start >= 95 * PTI_NS_PER_MS);
    assert_row(&row, items, 21);
    ptq_map_free(items);
    pools_fini(&pools);
}

static int64_t own_cpu_ns(void)
{
    struct timespec used;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
    return used.tv_sec * PTI_NS_PER_S + used.tv_nsec;
}

/* One map of a handle with a rate, never faster than that; true: it reached it, and slept in between.  A machine that has other things to
 * do may be late; one try of many that was not shows that nothing in the map is. */
static bool reaches_rate(double per_second, uint64_t window, size_t count, int least_ms, int enough_ms)
{
    struct row row;
    struct pools pools;
    struct ptq_map_item *items = NULL;
    struct ptq_map_options options = {.window = window};
    fill_row(&row);
    pools_init(&pools, &(struct ptq_pool_options){.per_second = per_second}, 0);
    pools_spawn(&pools, 2);

    assert_clean(&pools); /* one works: its start is not counted */
    int64_t start = pti_now_ns(), used = own_cpu_ns();
    assert_ok(ptq_pool_map(pools.pool, "echo", row.items, count, &options, &items));
    int64_t took = (pti_now_ns() - start) / PTI_NS_PER_MS, worked = (own_cpu_ns() - used) / PTI_NS_PER_MS;
    assert_true(took >= least_ms);
    assert_row(&row, items, count);
    ptq_map_free(items);
    pools_fini(&pools);
    return took <= enough_ms && worked <= enough_ms / 4;
}

/* The rate of the handle: neither slower by half, nor by trying again and again. */
static void a_map_reaches_the_rate_of_its_pool_and_sleeps_meanwhile(void **state)
{
    static const struct {
        double per_second;
        uint64_t window;
        size_t count;
        int least_ms;
    } cases[] = {{200, 0, 41, 185}, {100, 1, 21, 185}, {2000, 0, 281, 125}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bool reached = false;
        for (unsigned tries = 0; tries < 50 && !reached; tries++)
            reached = reaches_rate(cases[i].per_second, cases[i].window, cases[i].count, cases[i].least_ms, 2 * cases[i].least_ms);
        assert_true(reached);
    }
}

/* Nine that were behind the killer are done again, each an item more. */
static void items_that_are_done_again_keep_to_the_rate(void **state)
{
    struct pools pools;
    struct row row;
    struct ptq_map_item *items = NULL;
    struct ptq_map_options options = {.per_second = 100, .chunk = 10, .call = &(struct ptq_call_options){.retries = 0}};
    (void)state;
    pools_init(&pools, NULL, 0);
    pools_spawn(&pools, 2);
    for (size_t i = 0; i < 20; i++)
        set_item(&row, i, i == 0 ? "dg" : "gg");

    int64_t start = pti_now_ns();
    assert_ok(ptq_pool_map(pools.pool, "plan", row.items, 20, &options, &items));
    assert_true(pti_now_ns() - start >= 285 * PTI_NS_PER_MS);
    assert_row(&row, items, 20);
    ptq_map_free(items);
    pools_fini(&pools);
}

/* Nothing is lost, nothing comes twice, and nothing is left for the next one. */
static void items_whose_submission_is_in_doubt_or_interrupted_come_out_once(void **state)
{
    static const struct {
        enum doubtful_kind kind;
        unsigned retries, flags;
        uint32_t chunk;
    } cases[] = {{DOUBTFUL_NOT_DONE, 0, 0, 1}, {DOUBTFUL_DONE, 0, 0, 1},    {DOUBTFUL_INTERRUPTED, 0, 0, 1},
                 {DOUBTFUL_DONE, 2, 0, 1},     {DOUBTFUL_BY_TURNS, 1, 0, 3}, {DOUBTFUL_DONE, 1, PTQ_MAP_DROP_OTHERS, 1}};
    struct row row;
    (void)state;
    fill_row(&row);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct pools pools;
        struct ptq_map_item *items = NULL;
        struct ptq_map_options options = {.chunk = cases[i].chunk, .flags = cases[i].flags};
        pools_init(&pools, &(struct ptq_pool_options){.window = 4}, 0);
        pools_spawn(&pools, 2);
        doubtful_begin(&pools, cases[i].kind, 5, cases[i].retries);
        assert_ok(ptq_pool_map(pools.pool, "echo", row.items, 40, &options, &items));
        assert_in_range(doubtful_end(&pools), 2, 40);
        assert_row(&row, items, 40);
        ptq_map_free(items);
        assert_clean(&pools);
        pools_fini(&pools);
    }
}

/* A worker dies over each of two items, so all of their chunks are sent again, by twos and threes astray. */
static void items_that_are_done_again_come_out_once_whatever_is_in_doubt(void **state)
{
    struct pools pools;
    struct row row;
    struct ptq_map_item *items = NULL;
    struct ptq_map_options options = {.chunk = 5};
    (void)state;
    pools_init(&pools, &(struct ptq_pool_options){.window = 4}, 0);
    pools_spawn(&pools, 2);
    for (size_t i = 0; i < 20; i++)
        set_item(&row, i, i == 3 || i == 11 ? "dg" : "gg");
    doubtful_begin(&pools, DOUBTFUL_BY_TURNS, 2, 1);
    assert_ok(ptq_pool_map(pools.pool, "plan", row.items, 20, &options, &items));
    assert_in_range(doubtful_end(&pools), 4, 40);
    assert_row(&row, items, 20);
    ptq_map_free(items);
    assert_clean(&pools);
    pools_fini(&pools);
}

static void a_stream_that_is_left_in_doubt_leaves_no_doubt_behind(void **state)
{
    struct pools pools;
    struct ptq_map_item item;
    ptq_imap *imap;
    (void)state;
    pools_init(&pools, &(struct ptq_pool_options){.window = 4}, 0);
    struct ptq_map_options options = {.flags = PTQ_MAP_DROP_OTHERS};
    doubtful_begin(&pools, DOUBTFUL_DONE, 1, 1000);
    struct source source = {.end = 10, .last = PTQ_END};
    assert_ok(ptq_imap_begin(pools.pool, "echo", pull, &source, &options, &imap));
    assert_answer(PTQ_EMPTY, ptq_imap_next(imap, PTQ_NOWAIT, &item));
    ptq_imap_end(imap);
    assert_int_equal(doubtful_end(&pools), 1);
    assert_int_equal(pools.pool->claims.doubts, 0);
    pools_spawn(&pools, 1);
    ptq_result *result = pools_get(&pools); /* it was in, and is nobody's */
    assert_answer(PTQ_OK, ptq_result_code(result));
    assert_ok(ptq_result_done(result));
    pools_fini(&pools);
}

/* -- others --------------------------------------------------------------------------------------------------- */

static void what_others_submitted_is_kept_for_a_plain_get(void **state)
{
    struct pools pools;
    struct row row;
    struct ptq_map_item *items = NULL;
    (void)state;
    pools_init(&pools, &(struct ptq_pool_options){.window = 8}, 0);
    pools_spawn(&pools, 2);
    fill_row(&row);

    uint64_t ticket = pools_submit(&pools, "echo", "other");
    assert_ok(ptq_pool_map(pools.pool, "echo", row.items, 5, NULL, &items));
    assert_row(&row, items, 5);
    ptq_map_free(items);
    pools_expect(&pools, ticket, "other");
    for (unsigned i = 0; i < 20; i++)
        (void)pools_submit(&pools, "echo", "too many");
    struct ptq_error error = {0};
    struct ptq_map_options tell = {.error = &error};
    assert_answer(PTQ_EAGAIN, ptq_pool_map(pools.pool, "echo", row.items, 50, &tell, &items));
    ptt_assert_says(error.text, "ptq_result_done");
    for (unsigned i = 0; i < 20; i++)
        ptq_result_done(pools_get(&pools));
    assert_clean(&pools);
    pools_fini(&pools);
}

static void what_a_dead_program_left_can_be_dropped(void **state)
{
    struct pools pools;
    struct row row;
    struct ptq_map_item *items = NULL;
    struct ptq_map_options alone = {.flags = PTQ_MAP_DROP_OTHERS};
    (void)state;
    pools_init(&pools, &(struct ptq_pool_options){.window = 8}, 0);
    pools_spawn(&pools, 2);
    fill_row(&row);

    for (unsigned i = 0; i < 20; i++)
        (void)pools_submit(&pools, "echo", "left");
    assert_ok(ptq_pool_map(pools.pool, "echo", row.items, 50, &alone, &items));
    assert_row(&row, items, 50);
    ptq_map_free(items);
    assert_clean(&pools);
    pools_fini(&pools);
}

static void two_streams_on_one_handle_take_turns(void **state)
{
    struct pools pools;
    struct source sources[2] = {{.end = 200, .last = PTQ_END}, {.end = 200, .last = PTQ_END}};
    struct ptq_map_options options = {.window = 3};
    struct ptq_map_item item;
    ptq_imap *imaps[2];
    (void)state;
    pools_init(&pools, &(struct ptq_pool_options){.window = 8}, 0);
    pools_spawn(&pools, 2);

    for (unsigned i = 0; i < 2; i++)
        assert_ok(ptq_imap_begin(pools.pool, "spin", pull, &sources[i], &options, &imaps[i]));
    for (uint64_t i = 0; i < 400; i++) {
        assert_ok(ptq_imap_next(imaps[i % 2], PTT_LONG, &item));
        assert_int_equal(item.index, i / 2);
    }
    for (unsigned i = 0; i < 2; i++) {
        assert_answer(PTQ_END, ptq_imap_next(imaps[i], PTT_LONG, &item));
        ptq_imap_end(imaps[i]);
    }
    pools_fini(&pools);
}

static void inline_it_runs_without_workers(void **state)
{
    struct pools pools;
    struct row row;
    struct ptq_map_item *items = NULL;
    struct ptq_error error = {0};
    struct ptq_call_options once = {.retries = 1};
    struct ptq_map_options options = {.flags = PTQ_MAP_INLINE, .error = &error, .call = &once};
    (void)state;
    pools_init(&pools, NULL, 0);
    fill_row(&row);

    assert_ok(ptq_pool_map(pools.pool, "echo", row.items, ITEMS, &options, &items));
    assert_row(&row, items, ITEMS);
    ptq_map_free(items);
    set_item(&row, 0, "fg");
    set_item(&row, 1, "ff");
    assert_answer(PTQ_EFAILED, ptq_pool_map(pools.pool, "plan", row.items, 2, &options, &items));
    ptt_assert_says(error.text, "item 1: run 2 failed");
    assert_answer(PTQ_ENOTASK, ptq_pool_map(pools.pool, "nobody-knows", row.items, 2, &options, &items));
    pools_fini(&pools);
}

/* -- several arguments ---------------------------------------------------------------------------------------- */

static enum ptq_err multiply(ptq_task *task, const void *data, size_t size)
{
    int64_t a, b;
    const char *unit;
    enum ptq_err err = ptq_args_read(data, size, "iit", &a, &b, &unit);
    if (err != PTQ_OK)
        return ptq_task_fail(task, err, "two numbers and a unit are wanted");
    char text[64];
    return ptq_task_result(task, text, (size_t)snprintf(text, sizeof text, "%lld %s", (long long)(a * b), unit));
}

static void a_task_may_have_several_arguments(void **state)
{
    struct pools pools;
    struct ptq_args lists[3] = {{0}};
    struct ptq_bytes bytes[3];
    struct ptq_map_item *items = NULL;
    struct ptq_map_options options = {.flags = PTQ_MAP_COLLECT};
    (void)state;
    pools_init(&pools, NULL, 0);
    pools_spawn(&pools, 1);
    for (int i = 0; i < 3; i++) {
        ptq_args_i64(&lists[i], -i);
        if (i != 1)
            ptq_args_i64(&lists[i], 21);
        ptq_args_text(&lists[i], "m");
        assert_ok(ptq_args_done(&lists[i], &bytes[i]));
    }

    assert_ok(ptq_pool_map(pools.pool, "multiply", bytes, 3, &options, &items));
    assert_int_equal(items[2].size, 5);
    assert_memory_equal(items[2].data, "-42 m", 5);
    assert_answer(PTQ_EINVAL, items[1].code);
    assert_string_equal(items[1].text, "two numbers and a unit are wanted");
    ptq_map_free(items);
    for (int i = 0; i < 3; i++)
        ptq_args_fini(&lists[i]);
    pools_fini(&pools);
}

static void options_that_make_no_sense_are_refused_with_a_sentence(void **state)
{
    struct pools pools;
    struct ptq_error error = {0};
    struct ptq_call_options shrinking = {.backoff = 0.5};
    const struct ptq_map_options wrong[] = {{.flags = 64, .error = &error},         {.chunk = 70000, .error = &error},
                                            {.per_second = -1, .error = &error},    {.call = &shrinking, .error = &error},
                                            {.total_ms = UINT32_MAX, .error = &error}};
    struct source source = {.end = 1, .last = PTQ_END};
    ptq_imap *imap = NULL;
    (void)state;
    pools_init(&pools, NULL, 0);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        error.text[0] = 0;
        assert_answer(PTQ_EINVAL, ptq_imap_begin(pools.pool, "echo", pull, &source, &wrong[i], &imap));
        ptt_assert_says(error.text, "cannot begin a map");
    }
    assert_answer(PTQ_EINVAL, ptq_imap_begin(pools.pool, "no/name", pull, &source, NULL, &imap));
    pools_fini(&pools);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_map_gives_the_results_in_the_order_of_the_items),
        cmocka_unit_test(without_a_task_it_is_the_default_one),
        cmocka_unit_test(an_empty_map_is_empty),
        cmocka_unit_test(the_first_failure_in_order_ends_it_and_the_next_map_reads_nothing_stale),
        cmocka_unit_test(where_failures_are_collected_each_item_has_its_own),
        cmocka_unit_test(of_a_chunk_only_the_item_that_kills_its_worker_fails),
        cmocka_unit_test(what_does_not_fit_in_a_chunks_result_is_done_by_itself),
        cmocka_unit_test(an_endless_input_is_pulled_as_the_window_allows_and_needs_no_more_memory),
        cmocka_unit_test(an_input_that_fails_ends_the_stream_behind_the_results_before_it),
        cmocka_unit_test(a_stream_that_is_left_early_leaves_nothing),
        cmocka_unit_test(a_stream_may_be_asked_without_waiting),
        cmocka_unit_test(a_pool_that_was_stopped_ends_the_stream),
        cmocka_unit_test(when_the_whole_time_is_over_the_rest_is_cancelled),
        cmocka_unit_test(of_a_chunk_only_the_item_that_takes_too_long_times_out),
        cmocka_unit_test(items_may_be_dealt_out_evenly_to_the_workers),
        cmocka_unit_test(a_map_goes_no_faster_than_its_rate),
        cmocka_unit_test(a_map_reaches_the_rate_of_its_pool_and_sleeps_meanwhile),
        cmocka_unit_test(items_that_are_done_again_keep_to_the_rate),
        cmocka_unit_test(items_whose_submission_is_in_doubt_or_interrupted_come_out_once),
        cmocka_unit_test(items_that_are_done_again_come_out_once_whatever_is_in_doubt),
        cmocka_unit_test(a_stream_that_is_left_in_doubt_leaves_no_doubt_behind),
        cmocka_unit_test(what_others_submitted_is_kept_for_a_plain_get),
        cmocka_unit_test(what_a_dead_program_left_can_be_dropped),
        cmocka_unit_test(two_streams_on_one_handle_take_turns),
        cmocka_unit_test(inline_it_runs_without_workers),
        cmocka_unit_test(a_task_may_have_several_arguments),
        cmocka_unit_test(options_that_make_no_sense_are_refused_with_a_sentence),
    };
    pools_register();
    if (ptq_task_register("multiply", multiply, NULL) != PTQ_OK || ptq_task_register("gate-or-echo", gate_or_echo, NULL) != PTQ_OK ||
        ptq_task_register("own-ticket", own_ticket, NULL) != PTQ_OK)
        return 1;
    ptq_worker_main(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
