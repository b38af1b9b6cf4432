/* test_futex.c -- sleeping and waking between processes, deadlines, signals, membarrier. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "base/time.h"
#include "os/futex.h"
#include "support/ptt.h"

/* The futex word lives in the first word of the page; the second tells what the sleeper got, plus one. */
static _Atomic uint32_t *futex_word(struct ptt_page *page)
{
    return (_Atomic uint32_t *)(void *)&page->words[0];
}

static int sleep_in_child(void *context)
{
    struct ptt_page *page = context;

    int got = pti_futex_wait(futex_word(page), 0, PTI_DEADLINE_NEVER);
    pti_store_release(&page->words[1], (uint64_t)got + 1);
    return 0;
}

static void a_wake_reaches_a_sleeper_in_another_process(void **state)
{
    struct ptt_page *page = ptt_page_new();

    (void)state;
    pid_t child = ptt_fork(sleep_in_child, page);
    assert_true(ptt_wait_sleeping(child, child, PTT_LONG));
    while (pti_futex_wake(futex_word(page), 1) == 0)
        ; /* asleep, but perhaps not yet in the wait */

    ptt_assert_exit(child, 0, PTT_LONG);
    assert_int_equal(pti_load_acquire(&page->words[1]), 1);
    ptt_page_free(page);
}

static void a_changed_word_is_not_slept_on(void **state)
{
    _Atomic uint32_t word = 5;

    (void)state;
    assert_int_equal(pti_futex_wait(&word, 4, PTI_DEADLINE_NEVER), EAGAIN);
}

static void a_deadline_is_absolute(void **state)
{
    _Atomic uint32_t word = 0;
    int64_t deadline = pti_now_ns() + 20 * PTI_NS_PER_MS;

    (void)state;
    assert_int_equal(pti_futex_wait(&word, 0, deadline), ETIMEDOUT);
    assert_true(pti_now_ns() >= deadline);
    assert_int_equal(pti_futex_wait(&word, 0, deadline), ETIMEDOUT);
    assert_int_equal(pti_futex_wait(&word, 0, PTI_DEADLINE_NOW), ETIMEDOUT);
}

static void take_signal(int number)
{
    (void)number;
}

static int sleep_with_handler(void *context)
{
    struct sigaction action = {.sa_handler = take_signal};

    sigaction(SIGUSR1, &action, NULL);
    return sleep_in_child(context);
}

static void a_signal_handler_ends_the_sleep(void **state)
{
    struct ptt_page *page = ptt_page_new();

    (void)state;
    pid_t child = ptt_fork(sleep_with_handler, page);
    assert_true(ptt_wait_sleeping(child, child, PTT_LONG));
    kill(child, SIGUSR1);

    ptt_assert_exit(child, 0, PTT_LONG);
    assert_int_equal(pti_load_acquire(&page->words[1]), EINTR + 1);
    ptt_page_free(page);
}

static void a_wake_without_sleepers_wakes_none(void **state)
{
    _Atomic uint32_t word = 0;

    (void)state;
    errno = E2BIG;
    assert_int_equal(pti_futex_wake(&word, 1), 0);
    assert_int_equal(errno, E2BIG);
}

static void a_barrier_works_where_it_registered(void **state)
{
    (void)state;
    if (!pti_membarrier_register()) {
        print_message("this kernel has no membarrier\n");
        skip();
    }
    assert_true(pti_membarrier_register());
    assert_true(pti_membarrier());
    assert_true(pti_membarrier_private());
    assert_true(pti_membarrier_private());
}

/* Dekker over a barrier on one side only: both at 0 must never be seen. */
static struct {
    _Atomic uint32_t x, y, round, arrived;
    uint32_t saw_x;
} dekker;

enum { ROUNDS = 20000, MOST_MS = 1500, LAST_ROUND = -1 };

/* True when it has come; false when there will be no more. */
static bool wait_round(uint32_t round)
{
    for (uint32_t spins = 0; pti_load_acquire(&dekker.round) < round; spins++) {
        if (spins % 1000 == 999)
            sched_yield();
        pti_pause();
    }
    return pti_load_acquire(&dekker.round) != (uint32_t)LAST_ROUND;
}

static void *run_light_side(void *context)
{
    (void)context;
    for (uint32_t round = 1; wait_round(round); round++) {
        pti_store_relaxed(&dekker.y, round); /* the other side pays the barrier */
        dekker.saw_x = pti_load_relaxed(&dekker.x);
        pti_store_release(&dekker.arrived, round);
    }
    return NULL;
}

static void a_barrier_orders_the_plain_stores_of_others(void **state)
{
    pthread_t thread;
    unsigned both_missed = 0;
    int64_t end = pti_now_ns() + MOST_MS * PTI_NS_PER_MS;

    (void)state;
    if (!pti_membarrier_register())
        skip();
    assert_int_equal(pthread_create(&thread, NULL, run_light_side, NULL), 0);
    for (uint32_t round = 1; round <= ROUNDS && pti_now_ns() < end; round++) {
        pti_store_release(&dekker.round, round);
        pti_store_relaxed(&dekker.x, round);
        pti_membarrier();
        uint32_t saw_y = pti_load_relaxed(&dekker.y);
        while (pti_load_acquire(&dekker.arrived) < round)
            sched_yield();
        both_missed += saw_y < round && dekker.saw_x < round;
    }
    pti_store_release(&dekker.round, (uint32_t)LAST_ROUND);
    pthread_join(thread, NULL);

    assert_int_equal(both_missed, 0);
}

/* ---- many words */

static int sleep_on_two(void *context)
{
    struct ptt_page *page = context;
    struct pti_futex_word words[] = {{(_Atomic uint32_t *)(void *)&page->words[2], 7}, {futex_word(page), 0}};
    bool handled = false;

    int got = pti_futex_wait_any(words, 2, pti_now_ns() + 20 * PTI_NS_PER_S, &handled);
    pti_store_release(&page->words[1], (uint64_t)got + 1);
    return handled;
}

static void a_wake_of_one_of_many_words_reaches_the_sleeper(void **state)
{
    struct ptt_page *page = ptt_page_new();

    (void)state;
    page->words[2] = 7;
    pid_t child = ptt_fork(sleep_on_two, page);
    while (pti_load_acquire(&page->words[1]) == 0 && pti_futex_wake(futex_word(page), 1) == 0)
        ;
    ptt_assert_exit(child, 0, PTT_LONG);
    uint64_t answer = pti_load_acquire(&page->words[1]) - 1;
    ptt_page_free(page);
    if (answer == ENOSYS)
        skip();
    assert_int_equal(answer, 0);
}

static void do_nothing(int signal) { (void)signal; }

struct signaller {
    pid_t tid; /* of who is to sleep on word */
    pthread_t thread;
    _Atomic uint32_t *word;
};

static void *signal_and_wake(void *context)
{
    struct signaller *signaller = context;

    if (!ptt_wait_sleeping(getpid(), signaller->tid, PTT_LONG))
        return context;
    pthread_kill(signaller->thread, SIGUSR1);
    pti_store_release(signaller->word, 4);
    pti_futex_wake(signaller->word, 1);
    return NULL;
}

/* Without holding the signal back the kernel would start the call again, and nobody would be told. */
static void a_handler_with_sa_restart_is_told_of_when_many_words_were_slept_on(void **state)
{
    struct sigaction restart = {.sa_handler = do_nothing, .sa_flags = SA_RESTART}, before;
    _Atomic uint32_t a = 1, b = 2;
    struct pti_futex_word words[] = {{&a, 1}, {&b, 2}};
    bool handled = true;

    (void)state;
    int got = pti_futex_wait_any(words, 2, pti_now_ns() + PTI_NS_PER_MS, &handled);
    if (got == ENOSYS)
        skip();
    assert_int_equal(got, ETIMEDOUT);
    assert_false(handled);
    b = 3;
    assert_int_equal(pti_futex_wait_any(words, 2, pti_now_ns() + PTI_NS_PER_S, &handled), EAGAIN);
    b = 2;
    assert_int_equal(sigaction(SIGUSR1, &restart, &before), 0);
    struct signaller signaller = {gettid(), pthread_self(), &b};
    pthread_t thread;
    void *failed;
    assert_int_equal(pthread_create(&thread, NULL, signal_and_wake, &signaller), 0);
    (void)pti_futex_wait_any(words, 2, PTI_DEADLINE_NEVER, &handled);
    pthread_join(thread, &failed);
    assert_null(failed);
    assert_true(handled);
    sigaction(SIGUSR1, &before, NULL);
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        cmocka_unit_test(a_wake_reaches_a_sleeper_in_another_process),
        cmocka_unit_test(a_changed_word_is_not_slept_on),
        cmocka_unit_test(a_deadline_is_absolute),
        cmocka_unit_test(a_signal_handler_ends_the_sleep),
        cmocka_unit_test(a_wake_of_one_of_many_words_reaches_the_sleeper),
        cmocka_unit_test(a_handler_with_sa_restart_is_told_of_when_many_words_were_slept_on),
        cmocka_unit_test(a_wake_without_sleepers_wakes_none),
        cmocka_unit_test(a_barrier_works_where_it_registered),
        cmocka_unit_test(a_barrier_orders_the_plain_stores_of_others),
    };

    return cmocka_run_group_tests(cases, NULL, NULL);
}
