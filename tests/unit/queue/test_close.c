/* test_close.c -- a handle is closed while another thread is in a call: what it did inside is done, and nothing that was freed is touched. */
#include <pthread.h>
#include <stdatomic.h>

#include <ptq/ptq.h>

#include "support/ptt.h"

#include "base/time.h"
#include "queue/port.h"
#include "queue/queue.h"

#define A_WHILE_NS (50 * PTI_NS_PER_MS)

/* The carrier's table, with a pause behind its calls: as long as closing lasts, or a while where closing waits for us. */
static struct {
    const struct pti_port_ops *ops;
    atomic_bool is_inside, is_closed, was_closed_in_between;
    bool is_warming;
    unsigned pauses, fast;
} carrier;

static struct pti_port_ops slow;

static bool is_closed(void *context)
{
    (void)context;
    return atomic_load(&carrier.is_closed);
}

static void pause_behind(int64_t ns)
{
    if (carrier.is_warming)
        return;
    carrier.pauses++;
    atomic_store(&carrier.is_inside, true);
    (void)ptt_wait_until(is_closed, NULL, (int)(ns / PTI_NS_PER_MS));
    atomic_store(&carrier.was_closed_in_between, atomic_load(&carrier.is_closed));
}

static enum ptq_err slow_take(struct pti_port *port, size_t max, int64_t deadline, struct ptq_msg **msgs, size_t *ret_count)
{
    enum ptq_err err = carrier.ops->take(port, max, deadline, msgs, ret_count);

    if (err == PTQ_OK)
        pause_behind((int64_t)PTT_LONG * PTI_NS_PER_MS);
    return err;
}

static bool slow_fast_take(struct pti_port *port, struct ptq_msg **ret_msg)
{
    bool done = carrier.ops->fast_take != NULL && carrier.ops->fast_take(port, ret_msg);

    carrier.fast += done;
    if (done)
        pause_behind((int64_t)PTT_LONG * PTI_NS_PER_MS);
    return done;
}

static enum ptq_err slow_take_more(struct pti_port *port, size_t max, int64_t deadline, struct ptq_msg **msgs, size_t *ret_count)
{
    enum ptq_err err;

    atomic_store(&carrier.is_inside, true);
    err = carrier.ops->take_more(port, max, deadline, msgs, ret_count);
    pause_behind(A_WHILE_NS);
    return err;
}

static ptq_queue *open_slow(ptq_bus *bus, const struct pti_port_ops *with)
{
    ptq_queue *queue;

    assert_ok(ptq_queue_open(bus, "q", NULL, &queue));
    carrier.ops = queue->port->ops;
    atomic_store(&carrier.is_inside, false);
    atomic_store(&carrier.is_closed, false);
    carrier.pauses = carrier.fast = 0;
    slow = *carrier.ops;
    if (with->take)
        slow.take = with->take;
    if (with->fast_take)
        slow.fast_take = with->fast_take;
    if (with->take_more)
        slow.take_more = with->take_more;
    queue->port->ops = &slow;
    return queue;
}

struct getter {
    ptq_queue *queue;
    size_t min;
    unsigned before; /* so many are got first: a thread has the short way once it is known */
    enum ptq_err answer;
};

static void *get(void *context)
{
    struct getter *getter = context;
    ptq_msg *msgs[8];
    size_t count;

    carrier.is_warming = true;
    for (unsigned i = 0; i < getter->before; i++) {
        assert_ok(ptq_put(getter->queue, "x", 1, PTQ_NOWAIT));
        assert_ok(ptq_get(getter->queue, PTQ_NOWAIT, msgs));
        assert_ok(ptq_ack(msgs[0]));
    }
    if (getter->min == 0)
        assert_ok(ptq_put(getter->queue, "x", 1, PTQ_NOWAIT));
    carrier.is_warming = false;
    carrier.fast = 0;
    getter->answer = getter->min == 0 ? ptq_get(getter->queue, PTQ_FOREVER, msgs)
                                      : ptq_get_many(getter->queue, msgs, getter->min, 8, PTQ_FOREVER, &count);
    return NULL;
}

static bool is_inside(void *context)
{
    (void)context;
    return atomic_load(&carrier.is_inside);
}

static void close_meanwhile(struct getter *getter)
{
    pthread_t thread;

    assert_int_equal(pthread_create(&thread, NULL, get, getter), 0);
    assert_true(ptt_wait_until(is_inside, NULL, PTT_LONG));
    ptq_queue_close(getter->queue);
    atomic_store(&carrier.is_closed, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(carrier.pauses, 1);
}

static void assert_redelivered(ptq_bus *bus, size_t count)
{
    ptq_queue *queue;
    ptq_msg *msg;

    assert_ok(ptq_queue_open(bus, "q", NULL, &queue));
    for (size_t i = 0; i < count; i++) {
        assert_ok(ptq_get(queue, PTQ_NOWAIT, &msg));
        assert_ok(ptq_ack(msg));
    }
    assert_answer(PTQ_EMPTY, ptq_get(queue, PTQ_NOWAIT, &msg));
    ptq_queue_close(queue);
}

static void a_get_whose_handle_is_closed_at_its_end_touches_it_no_more(void **state)
{
    struct ptt_scratch *scratch = *state;

    for (unsigned before = 0; before < 6; before += 5) {
        struct getter getter = {.before = before};
        getter.queue = open_slow(scratch->bus, &(struct pti_port_ops){.take = slow_take, .fast_take = slow_fast_take});
        close_meanwhile(&getter);
        assert_ok(getter.answer);
        assert_int_equal(carrier.fast, before > 0);
        assert_true(atomic_load(&carrier.was_closed_in_between));
        assert_redelivered(scratch->bus, 1);
    }
}

static void a_get_of_many_that_waits_for_more_gives_back_what_it_has_before_the_handle_is_freed(void **state)
{
    struct ptt_scratch *scratch = *state;
    struct getter getter = {.queue = open_slow(scratch->bus, &(struct pti_port_ops){.take_more = slow_take_more}), .min = 5};

    for (int i = 0; i < 3; i++)
        assert_ok(ptq_put(getter.queue, "x", 1, PTQ_NOWAIT));
    close_meanwhile(&getter);

    assert_answer(PTQ_EINTR, getter.answer);
    assert_false(atomic_load(&carrier.was_closed_in_between));
    assert_redelivered(scratch->bus, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_get_whose_handle_is_closed_at_its_end_touches_it_no_more, ptt_setup_scratch, ptt_teardown_scratch),
        cmocka_unit_test_setup_teardown(a_get_of_many_that_waits_for_more_gives_back_what_it_has_before_the_handle_is_freed, ptt_setup_scratch,
                                        ptt_teardown_scratch),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
