/* memory_fork.c -- fork: the child gets PTQ_EFORKED from what it inherited, may open its own, and its life and death mean
 * nothing to the parent's.
 */
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "contract/contract.h"

struct family {
    struct contract *c;
    ptq_queue *queue;
    ptq_msg *leased, *loan;
    struct ptt_page *page;
    int which;
};

/* Each call on an inherited handle: words[i] = 1 + its answer. */
static int use_inherited(void *context)
{
    struct family *family = context;
    _Atomic uint64_t *words = family->page->words;
    struct ptq_queue_stats stats;
    ptq_msg *msg = NULL;
    char buffer[8];
    size_t size = 0;
    int fd = -1, i = 0;
    ptq_queue *queue = family->queue;

    words[i++] = 1 + ptq_put(queue, "x", 1, PTQ_FOREVER);
    words[i++] = 1 + ptq_put_position(queue, "x", 1, PTQ_FOREVER, &(uint64_t){0});
    words[i++] = 1 + ptq_put_many(queue, &(struct ptq_bytes){"x", 1}, 1, PTQ_FOREVER, NULL);
    words[i++] = 1 + ptq_loan(queue, 1, PTQ_FOREVER, &msg);
    words[i++] = 1 + ptq_publish(family->loan, 1, PTQ_FOREVER, NULL);
    words[i++] = 1 + ptq_get(queue, PTQ_FOREVER, &msg);
    words[i++] = 1 + ptq_get_many(queue, &msg, 1, 1, PTQ_FOREVER, &size);
    words[i++] = 1 + ptq_recv(queue, buffer, sizeof buffer, PTQ_FOREVER, &size);
    words[i++] = 1 + ptq_queue_stats(queue, &stats);
    words[i++] = 1 + ptq_queue_fd(queue, PTQ_SIDE_GET, &fd);
    words[i++] = 1 + ptq_end(queue);
    ptq_interrupt(queue);
    if (family->which == 0)
        words[i++] = 1 + ptq_ack(family->leased);
    else
        words[i++] = 1 + ptq_nack(family->leased, 0);
    ptq_abort(family->loan);
    ptq_queue_close(queue);
    words[511] = 1;
    return 0;
}

/* W23 */
static void a_child_gets_eforked_from_every_inherited_handle(void **state)
{
    struct contract *c = *state;
    struct family family = {.c = c, .page = ptt_page_new()};
    uint64_t number = 3;

    family.queue = contract_open(c, "tasks", NULL);
    put_number(family.queue, 1);
    put_number(family.queue, 2);
    family.leased = get_number(family.queue, 1);
    assert_ok(ptq_loan(family.queue, 8, PTQ_NOWAIT, &family.loan));
    memcpy(ptq_msg_buffer(family.loan), &number, 8);
    for (family.which = 0; family.which < 2; family.which++) {
        memset(family.page, 0, sizeof *family.page);
        ptt_assert_exit(ptt_fork(use_inherited, &family), 0, PTT_LONG);
        for (int i = 0; i < 12; i++)
            if (family.page->words[i] != 1 + PTQ_EFORKED)
                fail_msg("call %d answered %s", i, ptq_err_name((enum ptq_err)(family.page->words[i] - 1)));
        assert_int_equal(family.page->words[511], 1);
    }

    /* The parent goes on as if nothing had been. */
    assert_ok(ptq_publish(family.loan, 8, PTQ_NOWAIT, NULL));
    assert_int_equal(contract_stats(family.queue).leased, 1);
    assert_ok(ptq_ack(family.leased));
    assert_int_equal(recv_number(family.queue), 2);
    assert_int_equal(recv_number(family.queue), 3);
    ptq_queue_close(family.queue);
    ptt_page_free(family.page);
    contract_verify(c, "tasks");
}

static int open_its_own(void *context)
{
    struct family *family = context;
    struct ptq_bus_options options = {.dir = family->c->dir};
    ptq_bus *bus = NULL;
    ptq_queue *queue = NULL;
    uint64_t number = 0;
    size_t size = 0;

    if (ptq_bus_open("test", &options, &bus) != PTQ_OK || ptq_queue_open(bus, "tasks", NULL, &queue) != PTQ_OK)
        return 1;
    if (ptq_recv(queue, &number, sizeof number, PTT_LONG, &size) != PTQ_OK || number != 1)
        return 2;
    number = 2;
    if (ptq_put(queue, &number, sizeof number, PTQ_NOWAIT) != PTQ_OK)
        return 3;
    if (family->which == 0)
        ptq_queue_close(queue);
    if (family->which == 1)
        exit(0); /* with atexit handlers and destructors, and everything still open */
    return 0;
}

static void a_child_may_open_its_own(void **state)
{
    struct contract *c = *state;
    struct family family = {.c = c};
    ptq_queue *queue = contract_open(c, "tasks", NULL);

    for (family.which = 0; family.which < 3; family.which++) {
        put_number(queue, 1);
        ptt_assert_exit(ptt_fork(open_its_own, &family), 0, PTT_LONG);
        assert_int_equal(recv_number(queue), 2);
    }
    ptq_queue_close(queue);
    contract_verify(c, "tasks");
}

static int do_nothing(void *context)
{
    (void)context;
    return 0;
}

static void the_exit_of_a_child_does_not_end_the_parents_leases(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = contract_open(c, "tasks", NULL), *other = contract_open(c, "tasks", NULL);

    put_number(queue, 1);
    ptq_msg *msg = get_number(queue, 1);
    ptt_assert_exit(ptt_fork(do_nothing, NULL), 0, PTT_LONG);

    ptq_msg *none = NULL;
    assert_answer(PTQ_TIMEDOUT, ptq_get(other, 300, &none)); /* looks for the dead meanwhile */
    assert_int_equal(contract_stats(other).leased, 1);
    assert_ok(ptq_ack(msg));
    ptq_queue_close(queue);
    ptq_queue_close(other);
    contract_verify(c, "tasks");
}

/* A parent that leases, forks, and dies while its child lives. */
static int parent_dies(void *context)
{
    struct family *family = context;
    struct ptq_bus_options options = {.dir = family->c->dir};
    ptq_bus *bus = NULL;
    ptq_queue *queue = NULL;
    ptq_msg *msg = NULL;

    if (ptq_bus_open("test", &options, &bus) != PTQ_OK || ptq_queue_open(bus, "tasks", NULL, &queue) != PTQ_OK ||
        ptq_get(queue, PTT_LONG, &msg) != PTQ_OK)
        return 1;
    pid_t child = fork();
    if (child == 0) {
        family->page->words[0] = (uint64_t)getpid();
        ptt_wait_word(&family->page->words[1], 1, 2 * PTT_LONG); /* longer than its parent's heir is waited for */
        _exit(0);
    }
    ptt_wait_word(&family->page->words[0], 1, PTT_LONG);
    return 0; /* by _exit: nothing is closed but by the kernel */
}

static void a_child_that_lives_on_does_not_keep_its_dead_parent_alive(void **state)
{
    struct contract *c = *state;
    struct family family = {.c = c, .page = ptt_page_new()};
    ptq_queue *queue = contract_open(c, "tasks", NULL);

    put_number(queue, 1);
    ptt_assert_exit(ptt_fork(parent_dies, &family), 0, PTT_LONG);
    ptq_msg *msg = get_number(queue, 1);

    assert_true(ptq_msg_redelivered(msg));
    assert_ok(ptq_ack(msg));
    family.page->words[1] = 1;
    ptq_queue_close(queue);
    ptt_page_free(family.page);
    contract_verify(c, "tasks");
}

static const struct contract_case fork_cases[] = {
    CONTRACT_CASE(a_child_gets_eforked_from_every_inherited_handle),
    CONTRACT_CASE(a_child_may_open_its_own),
    CONTRACT_CASE(the_exit_of_a_child_does_not_end_the_parents_leases),
    CONTRACT_CASE(a_child_that_lives_on_does_not_keep_its_dead_parent_alive),
};
CONTRACT_GROUP(fork);
