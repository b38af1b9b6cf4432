/* test_large.c -- killed with a side file in the making: before and behind each call of the kernel, and between them.
 *
 * A victim lends, publishes, gets and acks messages that need side files, and is killed somewhere.  What had returned is in the
 * queue and whole, nothing is half, the next message goes through, and removing the queue leaves no file.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <ptq/metrics.h>
#include <ptq/ptq.h>

#include "crash/step.h"
#include "support/ptt.h"

#define SMALL 5000u
#define MIDDLE 100000u
#define GROWN 300000u
#define QUEUE "large"

enum { PUBLISHED, SETTLED, DONE };

struct run {
    struct ptt_scratch scratch;
    struct ptt_page *page; /* words: how much of it returned */
    uint64_t deaths;
};

static void write_ends(unsigned char *bytes, size_t size)
{
    memcpy(bytes, &size, sizeof size);
    memcpy(bytes + size - sizeof size, &size, sizeof size);
}

static bool is_whole(const ptq_msg *msg)
{
    const unsigned char *bytes = ptq_msg_data(msg);
    size_t size = ptq_msg_size(msg);

    return (size == SMALL || size == MIDDLE || size == GROWN) && memcmp(bytes, &size, sizeof size) == 0 &&
           memcmp(bytes + size - sizeof size, &size, sizeof size) == 0;
}

/* The loan is longer than what is published, as loans are. */
static bool lend_and_publish(ptq_queue *queue, size_t size)
{
    ptq_msg *loan;

    if (ptq_loan(queue, size + 100, PTQ_NOWAIT, &loan) != PTQ_OK)
        return false;
    write_ends(ptq_msg_buffer(loan), size);
    return ptq_publish(loan, size, PTQ_NOWAIT, NULL) == PTQ_OK;
}

static int be_victim(void *context)
{
    struct run *run = context;
    ptq_bus *bus = ptt_scratch_open(&run->scratch);
    ptq_queue *queue;
    ptq_msg *msg;

    if (ptq_queue_open(bus, QUEUE, NULL, &queue) != PTQ_OK)
        return 1;
    victim_mark();
    if (!lend_and_publish(queue, SMALL)) /* makes a file */
        return 2;
    run->page->words[PUBLISHED] = 1;
    if (!lend_and_publish(queue, MIDDLE)) /* and another */
        return 3;
    run->page->words[PUBLISHED] = 2;
    if (ptq_get(queue, PTQ_NOWAIT, &msg) != PTQ_OK || ptq_ack(msg) != PTQ_OK)
        return 4;
    run->page->words[SETTLED] = 1;
    if (!lend_and_publish(queue, GROWN)) /* the first one grows */
        return 5;
    run->page->words[PUBLISHED] = 3;
    run->page->words[DONE] = 1;
    return 0;
}

static void start(struct run *run, struct victim *victim)
{
    ptq_queue *queue;

    memset(run->page, 0, sizeof *run->page);
    assert_ok(ptq_queue_open(run->scratch.bus, QUEUE,
                             &(struct ptq_queue_options){.capacity = 4, .item_size = 2u << 20, .max_endpoints = 4}, &queue));
    ptq_queue_close(queue);
    victim_start(victim, be_victim, run);
}

/* After the death: what is in it, that it goes on, that nothing stays. */
static void look(struct run *run, const char *where, uint64_t at)
{
    uint64_t published = run->page->words[PUBLISHED], settled = run->page->words[SETTLED], count = 0;
    struct ptq_verify_report report;
    ptq_queue *queue;
    ptq_view *view;
    ptq_msg *msg;

    run->deaths++;
    assert_ok(ptq_queue_open(run->scratch.bus, QUEUE, NULL, &queue));
    for (enum ptq_err err; (err = ptq_get(queue, PTQ_NOWAIT, &msg)) != PTQ_EMPTY; count++) {
        if (err != PTQ_OK)
            fail_msg("%s %llu: a get answers %s", where, (unsigned long long)at, ptq_err_name(err));
        if (!is_whole(msg))
            fail_msg("%s %llu: a message of %zu bytes is not whole", where, (unsigned long long)at, ptq_msg_size(msg));
        assert_ok(ptq_ack(msg));
    }
    /* One call may have been under way. */
    if (count + settled + 1 < published || count + settled > published + 1)
        fail_msg("%s %llu: %llu published, %llu settled, %llu found", where, (unsigned long long)at,
                 (unsigned long long)published, (unsigned long long)settled, (unsigned long long)count);
    for (size_t i = 0; i < 2; i++) {
        assert_true(lend_and_publish(queue, GROWN));
        assert_ok(ptq_get(queue, PTQ_NOWAIT, &msg));
        assert_true(is_whole(msg) && ptq_msg_size(msg) == GROWN);
        assert_ok(ptq_ack(msg));
    }
    assert_ok(ptq_view_open(run->scratch.bus, QUEUE, NULL, &view));
    assert_ok(ptq_view_verify(view, NULL, NULL, &report));
    ptq_view_close(view);
    ptq_queue_close(queue);
    assert_in_range(ptt_scratch_files(&run->scratch, NULL), 2, 3 + 1);
    assert_ok(ptq_queue_unlink(run->scratch.bus, QUEUE, false));
    assert_int_equal(ptt_scratch_files(&run->scratch, NULL), 0);
}

static void init(struct run *run)
{
    *run = (struct run){.page = ptt_page_new()};
    if (!victim_is_possible()) {
        print_message("skipped: no single steps here\n");
        ptt_page_free(run->page);
        skip();
    }
    ptt_scratch_init(&run->scratch);
}

static void fini(struct run *run)
{
    ptt_scratch_fini(&run->scratch);
    ptt_page_free(run->page);
}

static void around_each_call_of_the_kernel(void **state)
{
    struct run run;
    bool over = false;

    (void)state;
    init(&run);
    for (uint64_t n = 1; !over; n++)
        for (int behind = 0; behind < 2 && !over; behind++) {
            struct victim victim;

            start(&run, &victim);
            over = !victim_run_to_call(&victim, n, behind);
            if (!over || !victim.over)
                victim_kill(&victim);
            look(&run, behind ? "behind call" : "before call", n);
        }
    print_message("  %llu deaths\n", (unsigned long long)run.deaths);
    assert_true(run.deaths > 30);
    fini(&run);
}

/* Steps `most` instructions, or until it is through; how many these were. */
static uint64_t step_to(struct run *run, uint64_t most)
{
    struct victim victim;
    uint64_t steps = 0;

    start(run, &victim);
    while (steps < most && run->page->words[DONE] == 0 && victim_step(&victim))
        steps++;
    if (!victim.over)
        victim_kill(&victim);
    look(run, "at instruction", steps);
    return steps;
}

static void between_them(void **state)
{
    struct run run;
    uint64_t seed, all;

    (void)state;
    init(&run);
    seed = ptt_seed();
    all = step_to(&run, UINT64_MAX);
    for (unsigned i = 0; i < 12; i++)
        step_to(&run, ptt_random(&seed) % all);
    print_message("  %llu deaths in %llu instructions\n", (unsigned long long)run.deaths, (unsigned long long)all);
    fini(&run);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(around_each_call_of_the_kernel),
        cmocka_unit_test(between_them),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
