/* test_watch_many.c -- many threads share one inotify instance: no wake-up is lost, whoever reads it.
 *
 * The pattern is the product's: a writer changes a counter, then touches the file; a sleeper drains, looks at the counter,
 * and sleeps only if it has seen nothing new.  A lost event is a sleep that never ends.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/atomic.h"
#include "base/time.h"
#include "os/watch.h"
#include "support/ptt.h"

enum { LANES = 6, SHARERS = 2, CHURNERS = 2, ROUNDS = 4000 };

struct lane {
    char path[128];
    int fd;
    _Atomic uint64_t written; /* by the writer, before it touches */
    _Atomic uint64_t seen[SHARERS];
    struct pti_waiter *waiter[SHARERS];
};

struct sleeper {
    struct lane *lane;
    int index;
    int failed;
};

static struct lane lanes[LANES];
static _Atomic bool is_over;

static void setup_lanes(const struct ptt_scratch *scratch)
{
    pti_store_release(&is_over, false);
    for (int i = 0; i < LANES; i++) {
        struct lane *lane = &lanes[i];
        snprintf(lane->path, sizeof lane->path, "%s/lane%d", scratch->dir, i);
        lane->fd = open(lane->path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
        assert_true(lane->fd >= 0);
        pti_store_release(&lane->written, 0);
        for (int k = 0; k < SHARERS; k++) {
            pti_store_release(&lane->seen[k], 0);
            assert_int_equal(pti_waiter_new(&lane->waiter[k]), 0);
            assert_int_equal(pti_waiter_watch(lane->waiter[k], lane->path, PTI_WATCH_MODIFY), 0);
        }
    }
}

static void teardown_lanes(void)
{
    for (int i = 0; i < LANES; i++) {
        for (int k = 0; k < SHARERS; k++)
            pti_waiter_free(lanes[i].waiter[k]);
        close(lanes[i].fd);
    }
}

static void *run_sleeper(void *context)
{
    struct sleeper *sleeper = context;
    struct lane *lane = sleeper->lane;
    struct pti_waiter *waiter = lane->waiter[sleeper->index];
    uint64_t seen = 0;

    while (seen < ROUNDS && sleeper->failed == 0) {
        pti_waiter_drain(waiter);
        uint64_t now = pti_load_acquire(&lane->written);
        if (now == seen)
            sleeper->failed = pti_waiter_sleep(waiter, pti_now_ns() + 3 * PTT_LONG * PTI_NS_PER_MS);
        seen = now;
        pti_store_release(&lane->seen[sleeper->index], seen);
    }
    return NULL;
}

/* Waits for both sleepers of the lane every other round, so that many sleeps are real. */
static void *run_writer(void *context)
{
    struct lane *lane = context;

    for (uint64_t round = 1; round <= ROUNDS; round++) {
        pti_store_release(&lane->written, round);
        if (pwrite(lane->fd, "x", 1, 0) != 1)
            return lane;
        if (round % 2 == 0) {
            for (int k = 0; k < SHARERS; k++) {
                if (!ptt_wait_word(&lane->seen[k], round, 3 * PTT_LONG))
                    return lane;
            }
        }
    }
    return NULL;
}

/* Waiters that come and go beside the others, on their files. */
static void *run_churner(void *context)
{
    unsigned turn = 0;

    while (!pti_load_acquire(&is_over)) {
        struct pti_waiter *waiter = NULL;
        if (pti_waiter_new(&waiter) != 0)
            return context;
        if (pti_waiter_watch(waiter, lanes[turn++ % LANES].path, PTI_WATCH_MODIFY | PTI_WATCH_CLOSE_WRITE) != 0)
            return context;
        pti_waiter_sleep(waiter, pti_now_ns() + PTI_NS_PER_MS);
        pti_waiter_drain(waiter);
        pti_waiter_free(waiter);
    }
    return NULL;
}

static void run_all(void (*beside)(void))
{
    pthread_t writers[LANES], sleepers[LANES][SHARERS], churners[CHURNERS];
    struct sleeper contexts[LANES][SHARERS];
    void *failed_writers = NULL, *failed_churners = NULL, *result;

    for (int i = 0; i < LANES; i++) {
        for (int k = 0; k < SHARERS; k++) {
            contexts[i][k] = (struct sleeper){&lanes[i], k, 0};
            assert_int_equal(pthread_create(&sleepers[i][k], NULL, run_sleeper, &contexts[i][k]), 0);
        }
        assert_int_equal(pthread_create(&writers[i], NULL, run_writer, &lanes[i]), 0);
    }
    for (int i = 0; i < CHURNERS; i++)
        assert_int_equal(pthread_create(&churners[i], NULL, run_churner, &is_over), 0);
    beside();
    for (int i = 0; i < LANES; i++) {
        pthread_join(writers[i], &result);
        failed_writers = result != NULL ? result : failed_writers;
        for (int k = 0; k < SHARERS; k++)
            pthread_join(sleepers[i][k], NULL);
    }
    pti_store_release(&is_over, true);
    for (int i = 0; i < CHURNERS; i++) {
        pthread_join(churners[i], &result);
        failed_churners = result != NULL ? result : failed_churners;
    }

    assert_null(failed_writers);
    assert_null(failed_churners);
    for (int i = 0; i < LANES; i++) {
        for (int k = 0; k < SHARERS; k++)
            assert_int_equal(contexts[i][k].failed, 0);
    }
}

static void do_nothing(void)
{
}

static void no_wake_up_is_lost_between_many_threads(void **state)
{
    struct ptt_traces before;

    ptt_traces_take(&before);
    setup_lanes(*state);

    run_all(do_nothing);

    teardown_lanes();
    ptt_traces_assert_none_left(&before);
}

static int look_for_inherited(void *context)
{
    (void)context;
    for (int i = 0; i < LANES; i++) {
        for (int k = 0; k < SHARERS; k++) {
            pti_waiter_poke(lanes[i].waiter[k]);
            if (fcntl(pti_waiter_fd(lanes[i].waiter[k]), F_GETFD) >= 0)
                return 1;
            pti_waiter_free(lanes[i].waiter[k]);
        }
    }
    return 0;
}

static void fork_many_times(void)
{
    for (int i = 0; i < 100; i++)
        ptt_assert_exit(ptt_fork(look_for_inherited, NULL), 0, PTT_LONG);
}

static void forks_beside_them_lose_none_and_block_none(void **state)
{
    setup_lanes(*state);

    run_all(fork_many_times);

    teardown_lanes();
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, ptt_setup_scratch, ptt_teardown_scratch)

int main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(no_wake_up_is_lost_between_many_threads),
        CASE(forks_beside_them_lose_none_and_block_none),
    };

    return cmocka_run_group_tests(cases, NULL, NULL);
}
