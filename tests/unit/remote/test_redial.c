/* test_redial.c -- how long to wait before a home is dialled again, by a clock of our own. */
#include "support/ptt.h"

#include "base/time.h"
#include "remote/redial.h"

#define MS PTI_NS_PER_MS
#define CLIENTS 1000

static uint64_t seed = 20261121;

static uint32_t draw(void)
{
    return (uint32_t)(ptt_random(&seed) >> 32);
}

static void the_bound_doubles_up_to_two_seconds(void **state)
{
    static const int64_t bounds[] = {50, 100, 200, 400, 800, 1600, 2000, 2000, 2000};
    (void)state;

    for (unsigned failures = 0; failures < 9; failures++) {
        assert_int_equal(pti_redial_pause_ns(failures, 0), 0);
        int64_t most = pti_redial_pause_ns(failures, UINT32_MAX);
        assert_true(most < bounds[failures] * MS && most > (bounds[failures] - 1) * MS);
    }
    assert_true(pti_redial_pause_ns(UINT32_MAX, UINT32_MAX) < 2000 * MS);
}

/* No tenth of the time is asked by more than a fifth of those who lost one home together. */
static void those_who_lost_one_home_do_not_come_back_at_once(void **state)
{
    unsigned tenths[10] = {0};
    (void)state;

    for (int i = 0; i < CLIENTS; i++)
        tenths[pti_redial_pause_ns(4, draw()) * 10 / (800 * MS)]++;
    for (int i = 0; i < 10; i++)
        assert_true(tenths[i] > CLIENTS / 20 && tenths[i] < CLIENTS / 5);
}

static void it_begins_small_again_only_after_a_good_while(void **state)
{
    (void)state;

    assert_int_equal(pti_redial_count(5, false, 0), 6);
    assert_int_equal(pti_redial_count(1, true, 5000 * MS), 2);
    assert_int_equal(pti_redial_count(2, true, 5000 * MS), 2);
    assert_int_equal(pti_redial_count(2, true, 5001 * MS), 0);
    assert_int_equal(pti_redial_count(60, true, 1), 2); /* it is there */
}

/* How often one client dials within a minute of the simulated clock, by how long each link lasts; below 0: there is none. */
static unsigned dials_a_minute(int64_t lasts)
{
    unsigned failures = 0, dials = 0;

    for (int64_t now = 0; now < 60000 * MS; dials++) {
        now += lasts > 0 ? lasts : 0;
        failures = pti_redial_count(failures, lasts >= 0, lasts);
        now += pti_redial_pause_ns(failures, draw());
    }
    return dials;
}

static void a_home_that_is_away_is_asked_once_a_second_and_one_that_flaps_ten_times(void **state)
{
    uint64_t away = 0, flapping = 0, good = 0;
    (void)state;

    for (int i = 0; i < CLIENTS; i++) {
        away += dials_a_minute(-1);
        flapping += dials_a_minute(0);
        good += dials_a_minute(6000 * MS);
    }
    assert_true(away > 50 * CLIENTS && away < 75 * CLIENTS);
    assert_true(flapping > 500 * CLIENTS && flapping < 700 * CLIENTS);
    assert_true(good >= 10 * CLIENTS && good < 12 * CLIENTS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_bound_doubles_up_to_two_seconds),
        cmocka_unit_test(those_who_lost_one_home_do_not_come_back_at_once),
        cmocka_unit_test(it_begins_small_again_only_after_a_good_while),
        cmocka_unit_test(a_home_that_is_away_is_asked_once_a_second_and_one_that_flaps_ten_times),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
