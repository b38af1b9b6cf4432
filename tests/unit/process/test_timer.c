/* test_timer.c -- times counted: golden numbers, defined answers when empty, percentiles; in shared memory beside a writer that dies. */
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "process/record.h"
#include "process/timer.h"
#include "support/ptt.h"

static struct pti_times *shared_times(void)
{
    void *page = mmap(NULL, sizeof(struct pti_times), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(page != MAP_FAILED);
    return page;
}

static bool is_near(double value, double wanted, double part)
{
    return fabs(value - wanted) <= part * wanted + 1e-9;
}

static void an_empty_timer_has_defined_answers(void **state)
{
    struct pti_times *times = shared_times();
    struct ptq_timer timer;

    (void)state;
    pti_times_get(times, &timer);
    assert_int_equal(timer.count, 0);
    assert_int_equal(timer.recent, 0);
    assert_int_equal(timer.min_ns, 0);
    assert_int_equal(timer.max_at, 0);
    assert_true(isnan(timer.mean_ns) && isnan(timer.stdev_ns) && isnan(timer.variance));
    assert_true(isnan(ptq_timer_percentile(&timer, 50)));
    munmap(times, sizeof *times);
}

static void one_time_has_a_mean_and_no_deviation(void **state)
{
    struct ptq_timer timer = {.count = 0};

    (void)state;
    ptq_timer_add(&timer, 1000);
    assert_true(is_near(timer.mean_ns, 1000, 0));
    assert_true(isnan(timer.stdev_ns) && isnan(timer.variance));
    assert_true(is_near(ptq_timer_percentile(&timer, 50), 1000, 0)); /* never beyond what was seen */
    assert_true(isnan(ptq_timer_percentile(&timer, -0.1)));
    assert_true(isnan(ptq_timer_percentile(&timer, 100.1)));
    assert_true(isnan(ptq_timer_percentile(&timer, NAN)));
}

static void golden_numbers(void **state)
{
    const uint64_t taken[] = {2, 4, 4, 4, 5, 5, 7, 9};
    struct pti_times *times = shared_times();
    struct ptq_timer shared, own = {.count = 0};

    (void)state;
    for (unsigned i = 0; i < 8; i++) {
        pti_times_add(times, taken[i]);
        ptq_timer_add(&own, taken[i]);
    }
    pti_times_get(times, &shared);
    for (const struct ptq_timer *timer = &shared;; timer = &own) {
        assert_int_equal(timer->count, 8);
        assert_int_equal(timer->total_ns, 40);
        assert_int_equal(timer->last_ns, 9);
        assert_true(is_near(timer->mean_ns, 5, 1e-12));
        assert_true(is_near(timer->variance, 32.0 / 7, 1e-12));
        assert_true(is_near(timer->stdev_ns, sqrt(32.0 / 7), 1e-12));
        assert_int_equal(timer->min_ns, 2);
        assert_int_equal(timer->min_at, 1);
        assert_int_equal(timer->max_ns, 9);
        assert_int_equal(timer->max_at, 8);
        assert_true(is_near(ptq_timer_percentile(timer, 0), 2, 0));
        assert_true(is_near(ptq_timer_percentile(timer, 50), 4, 0));
        assert_true(is_near(ptq_timer_percentile(timer, 75), 5, 0));
        assert_true(is_near(ptq_timer_percentile(timer, 100), 9, 0));
        assert_int_equal(timer->recent, 8);
        assert_int_equal(timer->recent_ns[0], 9);
        assert_int_equal(timer->recent_ns[7], 2);
        if (timer == &own)
            break;
    }
    munmap(times, sizeof *times);
}

static void a_stopwatch_counts_laps_without_their_pauses(void **state)
{
    struct ptq_stopwatch stopwatch = {.started_ns = 0};
    struct ptq_timer timer = {.count = 0};
    uint64_t lap, rest;

    (void)state;
    assert_answer(PTQ_ENOTSTARTED, ptq_stopwatch_stop(&stopwatch, &timer, &lap));
    assert_answer(PTQ_ENOTSTARTED, ptq_stopwatch_pause(&stopwatch));
    assert_ok(ptq_stopwatch_start(&stopwatch));
    assert_answer(PTQ_EALREADY, ptq_stopwatch_start(&stopwatch));
    assert_answer(PTQ_EALREADY, ptq_stopwatch_resume(&stopwatch));
    usleep(2000);
    assert_ok(ptq_stopwatch_pause(&stopwatch));
    assert_answer(PTQ_EALREADY, ptq_stopwatch_pause(&stopwatch));
    int64_t before = stopwatch.paused_ns - stopwatch.started_ns;
    usleep(2000);
    assert_ok(ptq_stopwatch_lap(&stopwatch, &timer, &lap)); /* what it had when the pause began, whenever it is asked */
    assert_true(lap == (uint64_t)before && lap >= 2000000);
    usleep(2000);
    assert_ok(ptq_stopwatch_lap(&stopwatch, &timer, &rest)); /* pauses all the time */
    assert_int_equal(rest, 0);
    assert_ok(ptq_stopwatch_resume(&stopwatch));
    assert_ok(ptq_stopwatch_stop(&stopwatch, &timer, NULL));
    assert_int_equal(timer.count, 3);
    assert_int_equal(timer.max_ns, lap);
    assert_answer(PTQ_ENOTSTARTED, ptq_stopwatch_lap(&stopwatch, &timer, NULL));
}

static int by_size(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static void percentiles_are_right_to_a_thirtysecond_from_ns_to_hours(void **state)
{
    enum { COUNT = 20000 };
    static uint64_t all[COUNT];
    struct ptq_timer timer = {.count = 0};
    uint64_t seed = ptt_seed();

    (void)state;
    for (unsigned i = 0; i < COUNT; i++) {
        all[i] = ptt_random(&seed) >> (21 + ptt_random(&seed) % 40);
        ptq_timer_add(&timer, all[i]);
    }
    qsort(all, COUNT, sizeof *all, by_size);
    for (double percent = 1; percent < 100; percent += 1) {
        uint64_t wanted = all[(unsigned)ceil(COUNT * percent / 100) - 1];
        assert_true(is_near(ptq_timer_percentile(&timer, percent), (double)wanted, 1.0 / 32));
    }
    assert_int_equal(timer.recent, PTQ_TIMER_RECENT);
}

static void a_time_beyond_all_buckets_is_counted_in_the_last(void **state)
{
    struct ptq_timer timer = {.count = 0};

    (void)state;
    ptq_timer_add(&timer, UINT64_MAX);
    ptq_timer_add(&timer, 0);
    assert_int_equal(timer.bucket[PTQ_TIMER_BUCKETS - 1], 1);
    assert_int_equal(timer.bucket[0], 1);
    assert_int_equal(timer.max_ns, UINT64_MAX);
}

_Noreturn static int add_for_ever(void *times)
{
    for (;;)
        pti_times_add(times, 7);
}

static void a_reader_beside_a_writer_that_is_killed_sees_whole_sums(void **state)
{
    struct pti_times *times = shared_times();
    struct ptq_timer timer = {.count = 0};
    uint64_t before = 0;

    (void)state;
    for (unsigned death = 0; death < 20; death++) {
        pid_t writer = ptt_fork(add_for_ever, times);
        for (unsigned i = 0; i < 200 || timer.count == before; i++) {
            pti_times_get(times, &timer);
            assert_true(timer.total_ns == 7 * timer.count && (timer.count == 0 || (timer.min_ns == 7 && timer.max_ns == 7)));
        }
        ptt_kill(writer);
        pti_times_get(times, &timer);
        assert_true(timer.total_ns == 7 * timer.count && timer.count >= before);
        before = timer.count;
    }
    munmap(times, sizeof *times);
}

/* -- bytes that are replaced as a whole ----------------------------------------------------------------------- */

#define LARGE (1u << 20)

static int write_for_ever(void *context)
{
    static unsigned char bytes[LARGE];
    struct pti_record *record = context;
    for (unsigned char value = 1;; value++) {
        memset(bytes, value, sizeof bytes);
        if (!pti_twin_write(record, &record->checkpoint, &record->places.checkpoint, bytes, sizeof bytes - value))
            return 1;
    }
}

static void assert_whole(const struct pti_record *record)
{
    size_t size;
    const unsigned char *bytes = pti_twin_read(record, &record->checkpoint, &record->places.checkpoint, &size);
    assert_non_null(bytes);
    assert_int_equal(size, LARGE - bytes[0]);
    assert_int_equal(memcmp(bytes, bytes + 1, size - 1), 0);
}

static void a_writer_killed_in_the_middle_leaves_the_bytes_before_whole(void **state)
{
    struct pti_record *record;
    size_t size;
    struct pti_places places;
    int fd;
    uint64_t seed = ptt_seed(), turn = 0;

    (void)state;
    assert_int_equal(pti_record_new(0, LARGE, 10, &places, &fd, &record), 0);
    assert_null(pti_twin_read(record, &record->checkpoint, &record->places.checkpoint, &size));
    for (unsigned death = 0; death < 30; death++) {
        pid_t writer = ptt_fork(write_for_ever, record);
        assert_true(ptt_wait_word(&record->checkpoint.turn, turn + 2, PTT_LONG));
        usleep((useconds_t)(ptt_random(&seed) % 1000)); /* anywhere */
        ptt_kill(writer);
        assert_whole(record);
        turn = atomic_load(&record->checkpoint.turn);
    }
    assert_false(pti_twin_write(record, &record->checkpoint, &record->places.checkpoint, record, LARGE + 64));
    assert_whole(record);
    atomic_store(&record->checkpoint.size[0], UINT64_MAX); /* nonsense is nothing */
    atomic_store(&record->checkpoint.size[1], UINT64_MAX);
    assert_null(pti_twin_read(record, &record->checkpoint, &record->places.checkpoint, &size));
    pti_record_free(&places, fd, record);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_timer_has_defined_answers),
        cmocka_unit_test(one_time_has_a_mean_and_no_deviation),
        cmocka_unit_test(golden_numbers),
        cmocka_unit_test(a_stopwatch_counts_laps_without_their_pauses),
        cmocka_unit_test(percentiles_are_right_to_a_thirtysecond_from_ns_to_hours),
        cmocka_unit_test(a_time_beyond_all_buckets_is_counted_in_the_last),
        cmocka_unit_test(a_reader_beside_a_writer_that_is_killed_sees_whole_sums),
        cmocka_unit_test(a_writer_killed_in_the_middle_leaves_the_bytes_before_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
