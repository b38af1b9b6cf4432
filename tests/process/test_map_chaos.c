/* test_map_chaos.c -- who maps, who waits for futures, and workers are killed at random: what comes out is in order and right, each
 * item once or an error in its place, and it never hangs.
 *
 *   pool_map_chaos [SECONDS]     2 by default
 *
 * One process at a time maps, and drops what its predecessor left; another round waits for futures.
 */
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <ptq/map.h>

#include "base/time.h"
#include "pool/pool.h"
#include "pools.h"

enum { WORKERS = 3, FUTURES = 12, BY_HAND = 10 };
static int seconds = 2;

struct ledger {
    struct ptt_scratch *scratch;
    _Atomic uint64_t items, failures; /* that came out, over all mappers */
    _Atomic uint64_t enough, lives;   /* of mappers begun */
};

static ptq_pool *open_pool(struct ledger *ledger)
{
    ptq_pool *pool = NULL;
    ptq_bus *bus = ptt_scratch_open(ledger->scratch);
    struct ptq_pool_options options = {.mode = PTQ_ATTACH, .lives = 200};
    return ptq_pool_open(bus, "pool", &options, &pool) == PTQ_OK ? pool : NULL;
}

struct source {
    struct ledger *ledger;
    uint64_t next, pulled[2];
};

static enum ptq_err pull(void *user, struct ptq_bytes *ret_item)
{
    struct source *source = user;
    if (atomic_load(&source->ledger->enough) != 0)
        return PTQ_END;
    source->pulled[0] = source->next++;
    source->pulled[1] = ~source->pulled[0];
    *ret_item = (struct ptq_bytes){source->pulled, sizeof source->pulled};
    return PTQ_OK;
}

static int look_at(struct ledger *ledger, const struct ptq_map_item *item, uint64_t due)
{
    uint64_t number[2] = {0};
    if (item->index != due)
        return BY_HAND;
    if (item->code == PTQ_OK) {
        if (item->size != sizeof number)
            return BY_HAND + 1;
        memcpy(number, item->data, sizeof number);
        if (number[0] != due || number[1] != ~due)
            return BY_HAND + 2;
    } else {
        if (item->code != PTQ_EDIED && item->code != PTQ_ELOST)
            return BY_HAND + 3;
        atomic_fetch_add(&ledger->failures, 1);
    }
    atomic_fetch_add(&ledger->items, 1);
    return 0;
}

static int map_items(void *context)
{
    struct ledger *ledger = context;
    struct source source = {.ledger = ledger};
    static const uint32_t chunks[] = {1, 3, 16};
    struct ptq_map_options options = {.flags = PTQ_MAP_COLLECT | PTQ_MAP_DROP_OTHERS,
                                      .chunk = chunks[atomic_fetch_add(&ledger->lives, 1) % 3]};
    ptq_pool *pool = open_pool(ledger);
    ptq_imap *imap = NULL;
    struct ptq_map_item item;
    int fault = 0;
    if (pool == NULL || ptq_imap_begin(pool, "spin", pull, &source, &options, &imap) != PTQ_OK)
        return 2;
    enum ptq_err err = PTQ_OK;
    for (uint64_t due = 0; fault == 0; due++) {
        err = ptq_imap_next(imap, PTQ_FOREVER, &item);
        if (err != PTQ_OK)
            break;
        fault = look_at(ledger, &item, due);
    }
    if (fault == 0 && err != PTQ_END)
        return 100 + (int)err;
    ptq_imap_end(imap);
    ptq_pool_close(pool);
    return fault;
}

/* What a dead one left, first: it is nobody's. */
static int wait_for_futures(void *context)
{
    struct ledger *ledger = context;
    ptq_future *futures[FUTURES] = {0};
    ptq_pool *pool = open_pool(ledger);
    uint64_t next = 0, due = 0;
    if (pool == NULL)
        return 2;
    for (;;) {
        bool over = atomic_load(&ledger->enough) != 0;
        ptq_result *other;
        ptq_future **at = &futures[due % FUTURES];
        while (ptq_pool_get(pool, PTQ_NOWAIT, &other) == PTQ_OK)
            ptq_result_done(other);
        while (!over && next < due + FUTURES) {
            uint64_t data[2] = {next, ~next};
            enum ptq_err err = ptq_pool_submit_future(pool, "spin", data, sizeof data, NULL, 20, &futures[next % FUTURES]);
            if (err != PTQ_OK && err != PTQ_TIMEDOUT && err != PTQ_EAGAIN)
                return 100 + (int)err;
            if (err != PTQ_OK)
                break;
            next++;
        }
        if (due == next) {
            if (over)
                break;
            continue;
        }
        const ptq_result *result;
        if (due % 5 == 4)
            (void)ptq_future_cancel(*at);
        enum ptq_err err = ptq_future_wait(*at, 50, &result);
        if (err == PTQ_TIMEDOUT || err == PTQ_EAGAIN || err == PTQ_EBUSY)
            continue;
        if (err != PTQ_OK && err != PTQ_EABORTED)
            return 100 + (int)err;
        if (err == PTQ_OK) {
            struct ptq_map_item item = {.index = due, .code = ptq_result_code(result), .data = ptq_result_data(result),
                                        .size = ptq_result_size(result)};
            int fault = look_at(ledger, &item, due);
            if (fault != 0)
                return fault;
        }
        ptq_future_free(*at);
        due++;
    }
    ptq_pool_close(pool);
    return 0;
}

static bool is_over(pid_t pid)
{
    siginfo_t info = {0};
    return waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == pid;
}

static void run_chaos(int (*role)(void *context), uint64_t window, uint64_t capacity)
{
    struct pools pools;
    uint64_t random = ptt_seed();
    unsigned kills[2] = {0};
    struct ledger *ledger = mmap(NULL, sizeof *ledger, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(ledger != MAP_FAILED);
    pools_init(&pools, &(struct ptq_pool_options){.window = window, .capacity = capacity, .item_size = 1024, .result_size = 1024}, 0);
    ledger->scratch = &pools.scratch;
    pid_t caller = ptt_fork(role, ledger);
    assert_ok(ptq_pool_spawn(pools.pool, &(struct ptq_spawn_options){.count = WORKERS, .crash_limit = 1000000}));

    int64_t end = pti_now_ns() + seconds * PTI_NS_PER_S / 2;
    while (pti_now_ns() < end) {
        int64_t pids[WORKERS];
        assert_answer(PTQ_TIMEDOUT, ptq_pool_supervise(pools.pool, 1 + (int)(ptt_random(&random) % 40)));
        size_t alive = ptq_pool_worker_pids(pools.pool, pids, WORKERS);
        if (alive < 2) /* in a pause after deaths without work */
            continue;
        if (ptt_random(&random) % 8 != 0) {
            kill((pid_t)pids[ptt_random(&random) % alive], SIGKILL);
            kills[0]++;
        } else if (!is_over(caller)) {
            ptt_kill(caller);
            kills[1]++;
            caller = ptt_fork(role, ledger);
        }
    }
    uint64_t before = atomic_load(&ledger->items);
    int64_t deadline = pti_now_ns() + PTT_LONG * PTI_NS_PER_MS;
    while (atomic_load(&ledger->items) < before + 20 && !is_over(caller) && pti_now_ns() < deadline) /* it goes on */
        assert_answer(PTQ_TIMEDOUT, ptq_pool_supervise(pools.pool, 10));
    assert_true(is_over(caller) || atomic_load(&ledger->items) >= before + 20);
    atomic_store(&ledger->enough, 1);
    while (!is_over(caller) && pti_now_ns() < deadline)
        assert_answer(PTQ_TIMEDOUT, ptq_pool_supervise(pools.pool, 10));
    ptt_assert_exit(caller, 0, PTT_LONG);
    print_message("%llu items came out, %llu of them as errors; killed: %u workers, %u callers\n",
                  (unsigned long long)ledger->items, (unsigned long long)ledger->failures, kills[0], kills[1]);
    pools_fini(&pools);
    munmap(ledger, sizeof *ledger);
}

static void mappers_and_workers_are_killed_and_maps_are_right(void **state)
{
    (void)state;
    run_chaos(map_items, 16, 64);
}

static void holders_of_futures_and_workers_are_killed_and_futures_are_right(void **state)
{
    (void)state;
    run_chaos(wait_for_futures, 32, 64);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mappers_and_workers_are_killed_and_maps_are_right),
        cmocka_unit_test(holders_of_futures_and_workers_are_killed_and_futures_are_right),
    };
    pools_register();
    ptq_worker_main(argc, argv);
    if (argc > 1)
        seconds = atoi(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
