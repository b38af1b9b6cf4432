/* test_pipe_random.c -- pipes used at random, their points given on, owners closed, killed and stopped: nothing is lost, doubled or out of
 * order, whoever is left learns how it ended, and nothing stays behind.
 *
 *   test_pipe_random [SECONDS]      PTT_SEED: the same again, as far as processes allow
 *
 * Numbers go both ways, each in a message whose size and bytes follow from it.  Who sends notes a number after its send, who receives before
 * the next one: so a killed one may have sent or got one more than he noted.
 */
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <ptq/ptq.h>

#include "support/ptt.h"

enum { ITEM = 3000, OWNERS = 5 };
enum { UP, DOWN }; /* to the anchor, to the point */
enum order { GO_ON = 0, GIVE, CLOSE, STAND_BY };

/* words of the page */
enum { SENT = 0, GOT = 2, WRONG = 8, ANCHOR_ORDER = 16, ANCHOR_ENDED, POINT_ORDER = 24, POINT_BEGAN, POINT_ENDED, REF = 64 };

struct round {
    struct ptt_scratch *scratch;
    struct ptt_page *page;
    uint64_t seed;
    bool one_way;
    unsigned capacity;
};

/* One side at work. */
struct side {
    struct ptt_page *page;
    ptq_pipe *pipe;
    int out, in; /* directions; -1: not this way */
    uint64_t random;
    ptq_msg *unacked;
};

static void wrong(struct ptt_page *page, uint64_t what)
{
    uint64_t none = 0;
    atomic_compare_exchange_strong(&page->words[WRONG], &none, what);
}

static size_t size_of(uint64_t number)
{
    return sizeof number + number * 7919 % (number % 16 == 0 ? ITEM - sizeof number : 90);
}

static void make(unsigned char *bytes, uint64_t number)
{
    memset(bytes, (int)(number % 251), size_of(number));
    memcpy(bytes, &number, sizeof number);
}

static bool is_made(const unsigned char *bytes, size_t size, uint64_t number)
{
    unsigned char expected[ITEM];
    make(expected, number);
    return size == size_of(number) && memcmp(bytes, expected, size) == 0;
}

static int timeout_of(struct side *side)
{
    static const int timeouts[] = {0, 0, 0, 1, 1, 20};
    return timeouts[ptt_random(&side->random) % 6];
}

static enum ptq_err send_next(struct side *side)
{
    unsigned char bytes[ITEM];
    _Atomic uint64_t *sent = &side->page->words[SENT + side->out];
    uint64_t number = atomic_load(sent) + 1;
    ptq_msg *loan;
    enum ptq_err err;

    if (ptt_random(&side->random) % 4 != 0) {
        make(bytes, number);
        err = ptq_pipe_send(side->pipe, bytes, size_of(number), timeout_of(side));
    } else {
        err = ptq_pipe_loan(side->pipe, size_of(number), timeout_of(side), &loan);
        if (err == PTQ_OK) {
            make(ptq_msg_buffer(loan), number);
            err = ptq_pipe_publish(side->pipe, loan, size_of(number), timeout_of(side));
            if (err != PTQ_OK)
                ptq_abort(loan);
        }
    }
    if (err == PTQ_OK)
        atomic_store(sent, number);
    return err;
}

static void note_got(struct side *side, const void *bytes, size_t size)
{
    _Atomic uint64_t *got = &side->page->words[GOT + side->in];
    uint64_t number = atomic_load(got) + 1;
    if (!is_made(bytes, size, number))
        wrong(side->page, 1000 + number);
    atomic_store(got, number);
}

static void settle(struct side *side)
{
    if (side->unacked == NULL)
        return;
    note_got(side, ptq_msg_data(side->unacked), ptq_msg_size(side->unacked));
    if (ptq_ack(side->unacked) != PTQ_OK)
        wrong(side->page, 2);
    side->unacked = NULL;
}

static enum ptq_err receive_next(struct side *side, int timeout_ms)
{
    unsigned char bytes[ITEM];
    size_t size;
    enum ptq_err err;

    settle(side);
    if (ptt_random(&side->random) % 3 == 0) /* acked later, or never */
        return ptq_pipe_get(side->pipe, timeout_ms, &side->unacked);
    err = ptq_pipe_recv(side->pipe, bytes, sizeof bytes, timeout_ms, &size);
    if (err == PTQ_OK)
        note_got(side, bytes, size);
    return err;
}

static enum ptq_err wait_readable(struct side *side)
{
    int fd;
    enum ptq_err err = ptq_pipe_fd(side->pipe, PTQ_SIDE_GET, &fd);
    if (err == PTQ_OK && poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, 5) < 0)
        return PTQ_ESYS;
    return err;
}

static bool is_ordinary(enum ptq_err err)
{
    return err == PTQ_OK || err == PTQ_EMPTY || err == PTQ_FULL || err == PTQ_TIMEDOUT;
}

/* Until it is ordered to stop, or the other end is over: how. */
static enum ptq_err work(struct side *side, const _Atomic uint64_t *order)
{
    enum ptq_err err = PTQ_OK;
    while (atomic_load(order) == GO_ON && is_ordinary(err)) {
        unsigned choice = (unsigned)(ptt_random(&side->random) % 16);
        if (choice == 0 && side->in >= 0)
            err = wait_readable(side);
        else if (side->in < 0 || (choice < 9 && side->out >= 0))
            err = send_next(side);
        else
            err = receive_next(side, timeout_of(side));
    }
    return is_ordinary(err) ? PTQ_OK : err;
}

/* What is left there, to the answer that ends it. */
static enum ptq_err receive_rest(struct side *side)
{
    enum ptq_err err;
    if (side->in < 0)
        return PTQ_OK;
    while ((err = receive_next(side, PTT_LONG)) == PTQ_OK)
        ;
    return err;
}

/* The other end is over: to its last message, and closed. */
static enum ptq_err outlive(struct side *side)
{
    enum ptq_err err;
    if (side->in >= 0) {
        err = receive_rest(side);
    } else {
        while (is_ordinary(err = send_next(side)))
            ;
    }
    settle(side);
    ptq_pipe_close(side->pipe);
    return err;
}

/* -- the owners ------------------------------------------------------------------------------------------------- */

static int be_anchor(void *context)
{
    struct round *round = context;
    struct ptt_page *page = round->page;
    ptq_bus *bus = ptt_scratch_open(round->scratch);
    struct side side = {.page = page, .out = DOWN, .in = round->one_way ? -1 : UP, .random = round->seed * 31 + 1};
    struct ptq_pipe_options options = {.name = "p", .one_way = round->one_way, .capacity = round->capacity, .item_size = ITEM};

    if (ptq_pipe_pair(bus, &options, &side.pipe, NULL) != PTQ_OK)
        return 1;
    enum ptq_err err = work(&side, &page->words[ANCHOR_ORDER]);
    if (atomic_load(&page->words[ANCHOR_ORDER]) == CLOSE) {
        settle(&side);
        ptq_pipe_close(side.pipe);
    } else {
        err = outlive(&side);
    }
    atomic_store(&page->words[ANCHOR_ENDED], 1 + (uint64_t)err);
    ptq_bus_close(bus);
    return 0;
}

static int be_point(void *context)
{
    struct round *round = context;
    struct ptt_page *page = round->page;
    ptq_bus *bus = ptt_scratch_open(round->scratch);
    struct side side = {.page = page, .out = round->one_way ? -1 : UP, .in = DOWN, .random = round->seed * 37 + 5};
    char *ref = (char *)(void *)&page->words[REF];

    if (ptq_pipe_open(bus, ref[0] != '\0' ? ref : "p", &(struct ptq_pipe_open_options){.wait_ms = PTT_LONG}, &side.pipe) != PTQ_OK)
        return 1;
    atomic_store(&page->words[POINT_BEGAN], 1);
    enum ptq_err err = work(&side, &page->words[POINT_ORDER]);
    uint64_t order = atomic_load(&page->words[POINT_ORDER]);
    if (err != PTQ_OK || order == STAND_BY) {
        err = outlive(&side);
    } else if (order == GIVE) {
        if (ptt_random(&side.random) % 2 == 0)
            settle(&side);
        if (ptq_pipe_give(side.pipe, ref, PTQ_REF_SIZE) != PTQ_OK)
            return 2;
    } else {
        settle(&side);
        ptq_pipe_close(side.pipe);
    }
    atomic_store(&page->words[POINT_ENDED], 1 + (uint64_t)err);
    ptq_bus_close(bus);
    return 0;
}

/* -- one pipe's life -------------------------------------------------------------------------------------------- */

static void rest_us(uint64_t us)
{
    (void)nanosleep(&(struct timespec){.tv_nsec = (long)us * 1000}, NULL); /* how long somebody works is left to chance */
}

static pid_t start_point(struct round *round)
{
    round->seed++;
    atomic_store(&round->page->words[POINT_BEGAN], 0);
    atomic_store(&round->page->words[POINT_ENDED], 0);
    atomic_store(&round->page->words[POINT_ORDER], GO_ON);
    pid_t pid = ptt_fork(be_point, round);
    assert_true(ptt_wait_word(&round->page->words[POINT_BEGAN], 1, PTT_LONG));
    return pid;
}

/* What one way brought: all that was noted as sent; one more if its sender was killed, one less noted if its receiver was. */
static void check_way(struct ptt_page *page, int way, bool to_the_end, bool sender_killed)
{
    uint64_t sent = page->words[SENT + way], got = page->words[GOT + way];
    if (to_the_end)
        assert_in_range(got, sent, sent + sender_killed);
    else
        assert_true(got <= sent + 1);
}

static void end_by_point(struct round *round, pid_t anchor, pid_t point, bool kill)
{
    struct ptt_page *page = round->page;
    if (kill) {
        ptt_kill(point);
    } else {
        atomic_store(&page->words[POINT_ORDER], CLOSE);
        ptt_assert_exit(point, 0, PTT_LONG);
    }
    atomic_store(&page->words[ANCHOR_ORDER], STAND_BY);
    ptt_assert_exit(anchor, 0, PTT_LONG);
    assert_int_equal(page->words[ANCHOR_ENDED] - 1, kill ? PTQ_EDIED : round->one_way ? PTQ_EENDED : PTQ_END);
    if (!round->one_way)
        check_way(page, UP, true, kill);
    check_way(page, DOWN, false, false);
}

static void end_by_anchor(struct round *round, pid_t anchor, pid_t point, bool kill)
{
    struct ptt_page *page = round->page;
    if (kill) {
        ptt_kill(anchor);
    } else {
        atomic_store(&page->words[ANCHOR_ORDER], CLOSE);
        ptt_assert_exit(anchor, 0, PTT_LONG);
    }
    if (point == 0)
        point = start_point(round);
    atomic_store(&page->words[POINT_ORDER], STAND_BY);
    ptt_assert_exit(point, 0, PTT_LONG);
    assert_int_equal(page->words[POINT_ENDED] - 1, kill ? PTQ_EDIED : PTQ_END);
    check_way(page, DOWN, true, kill);
    check_way(page, UP, false, false);
}

static void live(struct round *round, uint64_t *random)
{
    pid_t anchor = ptt_fork(be_anchor, round), point = start_point(round);
    unsigned owners = (unsigned)(ptt_random(random) % OWNERS);

    for (unsigned i = 0; i < owners; i++) {
        rest_us(ptt_random(random) % 3000);
        if (ptt_random(random) % 4 == 0) {
            pid_t stopped = ptt_random(random) % 2 ? anchor : point;
            ptt_stop(stopped);
            rest_us(ptt_random(random) % 3000);
            ptt_continue(stopped);
        }
        atomic_store(&round->page->words[POINT_ORDER], GIVE);
        ptt_assert_exit(point, 0, PTT_LONG);
        point = 0;
        if (i + 1 < owners || ptt_random(random) % 2)
            point = start_point(round);
    }
    rest_us(ptt_random(random) % 3000);
    bool kill = ptt_random(random) % 2;
    if (point != 0 && ptt_random(random) % 2)
        end_by_point(round, anchor, point, kill);
    else
        end_by_anchor(round, anchor, point, kill);
    assert_int_equal(round->page->words[WRONG], 0);
    assert_int_equal(ptt_scratch_files(round->scratch, NULL), 0);
}

static int seconds = 2;

static void ends_used_at_random_lose_and_double_nothing(void **state)
{
    uint64_t random = ptt_seed();
    struct timespec now;
    unsigned rounds = 0;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    for (time_t end = now.tv_sec + seconds; now.tv_sec < end; (void)clock_gettime(CLOCK_MONOTONIC, &now)) {
        struct round round = {.scratch = *state, .page = ptt_page_new(), .seed = ptt_random(&random)};
        round.one_way = ptt_random(&random) % 3 == 0;
        round.capacity = 1 + (unsigned)(ptt_random(&random) % 20);
        live(&round, &random);
        ptt_page_free(round.page);
        rounds++;
    }
    print_message("%u pipes\n", rounds);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(ends_used_at_random_lose_and_double_nothing, ptt_setup_scratch, ptt_teardown_scratch),
    };
    if (argc > 1)
        seconds = atoi(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
