/* test_no_barrier.c -- where a sandbox refuses membarrier, an ack may be overlooked: so nobody sleeps long for one. */
#include <errno.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <ptq/ptq.h>

#include "support/ptt.h"

#include "bus/attach.h"
#include "ring/ring.h"

/* The process in which the message is leased, and then acked without waking anybody. */
struct holder {
    struct pti_ring ring;
    struct pti_lane lane;
    uint32_t block;
    uint64_t word;
};

static void hold_the_last_message(struct ptt_scratch *scratch, struct holder *h)
{
    struct pti_attach ask = {.geometry = {.capacity = 4, .item_size = 64}};
    struct pti_meta meta = {.size = 4};
    uint64_t before, position;
    uint32_t block;

    assert_ok(pti_attach(scratch->bus, "q", &ask, NULL, &h->ring, &h->lane));
    assert_ok(pti_block_alloc(&h->lane, &block, &before));
    pti_block_fill(&h->lane, block, &meta, 0, 0);
    assert_ok(pti_ring_publish(&h->lane, block, before, &position));
    assert_ok(pti_ring_take(&h->lane, &h->block, &h->word));
    assert_ok(pti_ring_end(&h->lane));
}

static void let_go(struct holder *h)
{
    pti_lane_unregister(&h->lane);
    pti_ring_fini(&h->ring);
}

static bool refuse_membarrier(void)
{
    return ptt_deny(SYS_membarrier, 0, ENOSYS) && syscall(SYS_membarrier, 0, 0, 0) == -1 && errno == ENOSYS;
}

static int try_to_refuse(void *context)
{
    (void)context;
    return refuse_membarrier() ? 0 : 1;
}

/* An emulator of user programs has no filters. */
static void skip_without_filters(void)
{
    if (ptt_reap(ptt_fork(try_to_refuse, NULL), PTT_LONG) == 0)
        return;
    print_message("skipped: system calls cannot be refused here\n");
    skip();
}

static ptq_queue *open_sandboxed(struct ptt_scratch *scratch)
{
    ptq_queue *queue = NULL;

    if (!refuse_membarrier())
        _exit(7);
    assert_ok(ptq_queue_open(ptt_scratch_open(scratch), "q", NULL, &queue));
    return queue;
}

static int sleep_for_the_end(void *context)
{
    ptq_msg *msg = NULL;

    return ptq_get(open_sandboxed(context), PTQ_FOREVER, &msg) == PTQ_END ? 0 : 1;
}

static int poll_for_the_end(void *context)
{
    ptq_queue *queue = open_sandboxed(context);
    struct pollfd readable = {.events = POLLIN};
    enum ptq_err err;
    ptq_msg *msg = NULL;

    assert_ok(ptq_queue_fd(queue, PTQ_SIDE_GET, &readable.fd));
    while ((err = ptq_get(queue, PTQ_NOWAIT, &msg)) == PTQ_EMPTY)
        if (poll(&readable, 1, PTT_LONG) != 1)
            return 2;
    return err == PTQ_END ? 0 : 1;
}

static bool is_descriptor_armed(void *context)
{
    struct holder *h = context;

    return pti_load_relaxed(&h->ring.hints->get_wait) & PTI_WAIT_DESCRIPTOR;
}

/* What an ack leaves that looked at the wait word a moment too early. */
static void ack_unheard(struct ptt_scratch *scratch, int (*wait)(void *context))
{
    struct holder h;
    pid_t pid;

    skip_without_filters();
    hold_the_last_message(scratch, &h);
    pid = ptt_fork(wait, scratch);
    assert_true(ptt_wait_until(is_descriptor_armed, &h, PTT_LONG));
    assert_true(ptt_wait_sleeping(pid, pid, PTT_LONG));

    pti_block_free(&h.lane, h.block, pti_word_position(h.word));

    ptt_assert_exit(pid, 0, PTT_LONG / 2);
    let_go(&h);
}

static void a_sleeper_finds_an_ack_that_nobody_told_of(void **state) { ack_unheard(*state, sleep_for_the_end); }
static void a_descriptor_tells_of_an_ack_that_nobody_told_of(void **state) { ack_unheard(*state, poll_for_the_end); }

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_sleeper_finds_an_ack_that_nobody_told_of, ptt_setup_scratch, ptt_teardown_scratch),
        cmocka_unit_test_setup_teardown(a_descriptor_tells_of_an_ack_that_nobody_told_of, ptt_setup_scratch, ptt_teardown_scratch),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
