/* test_wake.c -- a waker meets a sleeper who has announced itself and is not asleep yet.
 *
 * pti_futex_wake is wrapped (--wrap), so that a test can act at the very moment of the wake.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>

#include <cmocka.h>

#include "ring/wait.h"

int __real_pti_futex_wake(_Atomic uint32_t *word, int count);
int __wrap_pti_futex_wake(_Atomic uint32_t *word, int count);

static uint32_t at_wake;    /* the word as it was when the wake was made */
static bool arm_at_wake;    /* somebody else announces itself at that moment */
static uint32_t armed_then;
static unsigned wakes;

int __wrap_pti_futex_wake(_Atomic uint32_t *word, int count)
{
    wakes++;
    at_wake = pti_load_seq(word);
    if (arm_at_wake)
        armed_then = pti_wait_arm(word, PTI_WAIT_SLEEPER);
    return __real_pti_futex_wake(word, count);
}

static int set_up(void **state)
{
    (void)state;
    arm_at_wake = false;
    wakes = 0;
    return 0;
}

static void a_wake_that_meets_nobody_keeps_who_has_armed_from_sleeping(void **state)
{
    struct pti_ring ring = {.segment = {.fd = -1, .writable = true}};
    _Atomic uint32_t word = 0;
    (void)state;

    uint32_t armed = pti_wait_arm(&word, PTI_WAIT_SLEEPER);
    pti_wait_signal(&ring, &word, armed, false);

    assert_int_equal(wakes, 1);
    assert_int_not_equal(at_wake, armed); /* a futex_wait(word, armed) that comes after the wake would not sleep */
    assert_true(at_wake & PTI_WAIT_SLEEPER); /* whoever publishes meanwhile wakes too: this waker may have been stopped */
    assert_false(pti_load_seq(&word) & PTI_WAIT_BITS);
}

static void who_arms_during_a_wake_keeps_its_bit(void **state)
{
    struct pti_ring ring = {.segment = {.fd = -1, .writable = true}};
    _Atomic uint32_t word = 0;
    (void)state;
    arm_at_wake = true;

    uint32_t armed = pti_wait_arm(&word, PTI_WAIT_SLEEPER);
    pti_wait_signal(&ring, &word, armed, true);

    assert_int_equal(pti_load_seq(&word), armed_then);
    assert_true(pti_load_seq(&word) & PTI_WAIT_SLEEPER);
}

static void a_waker_that_comes_second_wakes_and_leaves_the_bits(void **state)
{
    struct pti_ring ring = {.segment = {.fd = -1, .writable = true}};
    _Atomic uint32_t word = 0;
    (void)state;

    uint32_t seen = pti_wait_arm(&word, PTI_WAIT_SLEEPER);
    uint32_t armed = pti_wait_arm(&word, PTI_WAIT_SLEEPER);
    pti_wait_signal(&ring, &word, seen, false);

    assert_int_equal(wakes, 1);
    assert_int_equal(pti_load_seq(&word), armed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_wake_that_meets_nobody_keeps_who_has_armed_from_sleeping, set_up),
        cmocka_unit_test_setup(who_arms_during_a_wake_keeps_its_bit, set_up),
        cmocka_unit_test_setup(a_waker_that_comes_second_wakes_and_leaves_the_bits, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
