/* test_realtime.c -- somebody sets the clock, by a day: no link, lease, delay or time to live notices. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "base/time.h"
#include "net/world.h"

#define DAY 86400

static _Atomic int64_t *shift; /* seconds, of all processes of this case */
static int clock_fd;

/* A file without a name: it ends with its processes, however they end. */
static void start_clock(void)
{
    char path[64];

    clock_fd = memfd_create("clock", MFD_CLOEXEC);
    snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)getpid(), clock_fd);
    assert_true(clock_fd >= 0 && ftruncate(clock_fd, sizeof *shift) == 0);
    shift = mmap(NULL, sizeof *shift, PROT_READ | PROT_WRITE, MAP_SHARED, clock_fd, 0);
    assert_true(shift != MAP_FAILED);
    setenv("PTT_CLOCK", path, 1);
}

/* For longer than a silence may last: so whatever goes by the clock has had its time. */
static void work_on(ptq_queue *far)
{
    int64_t until = pti_now_ns() + 3500 * PTI_NS_PER_MS;
    uint64_t number = 0, got;
    size_t size;

    while (pti_now_ns() < until) {
        number++;
        assert_ok(ptq_put(far, &number, sizeof number, PTT_LONG));
        assert_ok(ptq_recv(far, &got, sizeof got, PTT_LONG, &size));
        assert_int_equal(got, number);
    }
}

static void set_the_clock(int64_t by)
{
    struct ptq_put_options late = {.delay_ms = 600}, lasting = {.ttl_ms = 3600 * 1000};
    struct ptq_queue_stats stats;
    struct world world;
    ptq_msg *held, *msg;

    start_clock();
    world_init(&world, NULL);
    ptq_queue *far = net_open(world.bus, "work@home", NULL), *leases = net_open(world.bus, "leases@home", NULL);
    ptq_queue *delays = net_open(world.bus, "delays@home", NULL), *lives = net_open(world.bus, "lives@home", NULL);
    assert_ok(ptq_put(leases, "held", 4, PTT_LONG));
    assert_ok(ptq_get(leases, PTT_LONG, &held));
    assert_ok(ptq_put_with(lives, "lasting", 7, &lasting, PTT_LONG));
    int64_t put_at = pti_now_ns();
    assert_ok(ptq_put_with(delays, "late", 4, &late, PTT_LONG));
    time_t before = time(NULL);
    atomic_store(shift, by);
    assert_true(llabs((long long)(time(NULL) - before) - by) < 1000); /* it was set */

    assert_ok(ptq_get(delays, PTT_LONG, &msg));
    assert_true(pti_now_ns() - put_at >= 590 * PTI_NS_PER_MS);
    assert_ok(ptq_ack(msg));
    work_on(far);
    assert_ok(ptq_ack(held));
    assert_ok(ptq_get(lives, PTQ_NOWAIT, &msg));
    assert_ok(ptq_ack(msg));
    assert_ok(ptq_queue_stats(leases, &stats));
    assert_true(stats.acked == 1 && stats.redelivered == 0);
    assert_int_equal(world.proxy.links, 1);
    ptq_queue_close(lives);
    ptq_queue_close(delays);
    ptq_queue_close(leases);
    ptq_queue_close(far);
    world_fini(&world);
    close(clock_fd);
}

static void a_clock_that_is_set_forward_by_a_day_is_not_noticed(void **state)
{
    (void)state;
    set_the_clock(DAY);
}

static void a_clock_that_is_set_back_by_a_day_is_not_noticed(void **state)
{
    (void)state;
    set_the_clock(-DAY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_clock_that_is_set_forward_by_a_day_is_not_noticed),
        cmocka_unit_test(a_clock_that_is_set_back_by_a_day_is_not_noticed),
    };

    if (getenv("LD_PRELOAD") == NULL) {
        puts("skipped: without the preloaded clock (ctest sets it, but not under a sanitizer) nobody moves the time");
        return 77;
    }
    return ptt_run_beside(tests, sizeof tests / sizeof *tests, 2);
}
