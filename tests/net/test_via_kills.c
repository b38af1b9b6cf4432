/* test_via_kills.c -- the bridge that a program goes through is killed at each of its steps, at random, and stopped: nothing is lost,
 * nothing comes twice without a flag, and what is in doubt is decided by PTQ_RETRY.
 *
 * That bridge runs in a forked child, which kills itself at the n-th time that it comes by a step; another then takes its place.  The
 * program is a process of its own, without a link, which writes down what it was told.
 */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <ptq/bridge.h>

#include "base/time.h"
#include "net/dying.h"
#include "net/kit.h"

#define NTH_MOST 6u /* times that somebody comes by a step */
#define SINGLES 6u
#define MOST (SINGLES + 3)

static const char *const grace[] = {"--grace", "200ms", NULL};

/* ---- the bridge of the program's host */

struct near {
    struct net *net;
    pid_t bridge;
    int out;
    unsigned kills;
};

static ptq_bus *open_far(const struct net *net, const char *way)
{
    return net_open_way(net, net->peers, way);
}

static int serve(void *context)
{
    struct near *near = context;
    const char *listen = "tcp://127.0.0.1:0";
    struct ptq_bridge_options options = {.listen = &listen, .listen_count = 1, .grace_ms = 60000};
    ptq_bus *bus = open_far(near->net, NULL);
    ptq_bridge *bridge;

    dying_begin();
    if (ptq_bridge_open(bus, &options, &bridge) != PTQ_OK)
        return 1;
    close(near->out);
    return ptq_bridge_run(bridge) == PTQ_OK ? 0 : 1;
}

static void near_start(struct near *near, enum pti_step step, unsigned nth)
{
    int ends[2];
    char byte;

    assert_int_equal(pipe(ends), 0);
    near->out = ends[1];
    dying_at(step, nth);
    near->bridge = ptt_fork(serve, near);
    close(ends[1]);
    assert_int_equal(read(ends[0], &byte, 1), 0); /* it serves, or is dead */
    close(ends[0]);
}

/* ---- the program */

struct book {
    _Atomic unsigned put[MOST + 1]; /* 1 + the last answer; 0: never tried */
    _Atomic unsigned came[MOST + 1], unflagged[MOST + 1], acked[MOST + 1];
    _Atomic unsigned doubts, ended;
};

struct program {
    const struct net *net;
    struct book *book;
};

static void note(struct book *book, ptq_msg *msg, uint32_t *ret_value)
{
    uint32_t value = 0;

    if (ptq_msg_size(msg) == sizeof value)
        memcpy(&value, ptq_msg_data(msg), sizeof value);
    *ret_value = value <= MOST ? value : 0;
    book->came[*ret_value]++;
    book->unflagged[*ret_value] += !ptq_msg_redelivered(msg);
}

/* Until it is decided. */
static enum ptq_err put_surely(struct book *book, ptq_queue *queue, uint32_t value)
{
    enum ptq_err answer = ptq_put(queue, &value, sizeof value, PTT_LONG);

    while (answer == PTQ_EINDOUBT) {
        book->doubts++;
        answer = ptq_put_with(queue, &value, sizeof value, &(struct ptq_put_options){.flags = PTQ_RETRY}, PTT_LONG);
    }
    return answer;
}

static int put_all(struct book *book, ptq_queue *queue)
{
    uint32_t batch[3];
    struct ptq_bytes items[3];

    for (uint32_t value = 1; value <= SINGLES; value++) {
        enum ptq_err answer = put_surely(book, queue, value);
        book->put[value] = 1 + (unsigned)answer;
        if (answer != PTQ_OK)
            return 10;
    }
    for (uint32_t i = 0; i < 3; i++) {
        batch[i] = SINGLES + 1 + i;
        items[i] = (struct ptq_bytes){&batch[i], sizeof batch[i]};
    }
    enum ptq_err answer = ptq_put_many(queue, items, 3, PTT_LONG, NULL);
    while (answer == PTQ_EINDOUBT) {
        book->doubts++;
        answer = ptq_put_many_with(queue, items, 3, &(struct ptq_put_options){.flags = PTQ_RETRY}, PTT_LONG);
    }
    for (uint32_t i = 0; i < 3; i++)
        book->put[SINGLES + 1 + i] = 1 + (unsigned)answer;
    return answer == PTQ_OK ? 0 : 11;
}

/* Takes three, one after the other; gives the second back first. */
static int take_some(struct book *book, ptq_queue *queue)
{
    for (unsigned taken = 0; taken < 3;) {
        ptq_msg *msg;
        uint32_t value;
        if (ptq_get(queue, PTT_LONG, &msg) != PTQ_OK)
            return 20;
        note(book, msg, &value);
        if (taken == 1 && !ptq_msg_redelivered(msg)) {
            (void)!ptq_nack(msg, 0);
            continue;
        }
        enum ptq_err answer = ptq_ack(msg);
        if (answer == PTQ_OK)
            book->acked[value]++;
        else if (answer != PTQ_ELEASELOST && answer != PTQ_EINDOUBT)
            return 21;
        taken += answer == PTQ_OK;
    }
    return 0;
}

static int run_program(void *context)
{
    struct program *program = context;
    ptq_bus *bus = open_far(program->net, "bridge");
    ptq_queue *queue;
    struct ptq_queue_stats stats;

    /* the first word that is said of a handle: whose bridge dies then is told so */
    int64_t until = pti_deadline(PTT_LONG);
    while (ptq_queue_open(bus, "kills@home", &(struct ptq_queue_options){.wait_ms = PTT_LONG}, &queue) != PTQ_OK) {
        if (pti_now_ns() >= until)
            return 29;
        usleep(5000);
    }
    int code = put_all(program->book, queue);
    if (code == 0)
        code = take_some(program->book, queue);
    if (code == 0 && ptq_queue_stats(queue, &stats) != PTQ_OK)
        code = 30;
    ptq_queue_close(queue);
    ptq_bus_close(bus);
    program->book->ended = 1;
    return code;
}

/* ---- one run */

static struct {
    unsigned runs, kills, doubts;
} totals;

static void drain(struct book *book, ptq_queue *queue)
{
    struct ptq_queue_stats stats;
    ptq_msg *msg;
    uint32_t value;

    assert_ok(ptq_queue_stats(queue, &stats));
    while (stats.ready + stats.leased + stats.delayed > 0) {
        assert_ok(ptq_get(queue, PTT_LONG, &msg)); /* what a dead bridge held comes after the grace */
        note(book, msg, &value);
        if (book->acked[value]++ > 0)
            fail_msg("message %u was acked, and comes again", value);
        assert_ok(ptq_ack(msg));
        assert_ok(ptq_queue_stats(queue, &stats));
    }
}

static void assert_all_there(const struct book *book)
{
    assert_int_equal(book->came[0], 0);
    for (unsigned value = 1; value <= MOST; value++) {
        bool promised = book->put[value] == 1 + PTQ_OK, doubt = book->put[value] == 1 + PTQ_EINDOUBT;
        if (promised && book->came[value] == 0)
            fail_msg("message %u was promised and is lost", value);
        if (promised && book->unflagged[value] > 1)
            fail_msg("message %u came %u times without a flag", value, book->unflagged[value]);
        if (!promised && !doubt && book->came[value] > 0)
            fail_msg("message %u was not put, and came", value);
    }
}

struct pair {
    pid_t program;
    struct near *near;
    int status;
};

/* A bridge that has died meanwhile is replaced. */
static bool program_ended(void *context)
{
    struct pair *pair = context;
    int status;

    if (waitpid(pair->near->bridge, &status, WNOHANG) == pair->near->bridge) {
        pair->near->kills++;
        near_start(pair->near, PTI_STEPS, 0);
    }
    return waitpid(pair->program, &pair->status, WNOHANG) == pair->program;
}

/* True: it was killed there. */
static bool run_killed_at(struct net *net, enum pti_step step, unsigned nth)
{
    struct ptt_page *page = ptt_page_new();
    struct book *book = (struct book *)(void *)page->words;
    struct program program = {net, book};
    struct near near = {.net = net};

    _Static_assert(sizeof(struct book) <= sizeof page->words, "the book has a page");
    ptq_queue *here = net_open(net->here, "kills", NULL);
    near_start(&near, step, nth);
    pid_t child = ptt_fork(run_program, &program);
    struct pair pair = {.program = child, .near = &near};
    if (!ptt_wait_until(program_ended, &pair, PTT_LONG)) {
        ptt_kill(child);
        fail_msg("the program does not come to its end; killed at step %u the %u. time", step, nth);
    }
    if (!WIFEXITED(pair.status) || WEXITSTATUS(pair.status) != 0)
        fail_msg("the program ended with %d; killed at step %u the %u. time", pair.status, step, nth);
    ptt_kill(near.bridge);
    drain(book, here);
    assert_all_there(book);
    totals.runs++;
    totals.kills += near.kills;
    totals.doubts += book->doubts;
    ptq_queue_close(here);
    assert_ok(ptq_queue_unlink(net->here, "kills", true));
    ptt_page_free(page);
    return near.kills > 0;
}

/* W33 */
static void a_bridge_killed_at_any_step_loses_and_doubles_nothing(void **state)
{
    struct net net;
    (void)state;

    net_init(&net, grace);
    for (enum pti_step step = PTI_STEP_VIA_READ; step <= PTI_STEP_VIA_CLOSED; step++) {
        unsigned nth = 1;
        while (nth <= NTH_MOST && run_killed_at(&net, step, nth))
            nth++;
        if (nth == 1)
            fail_msg("nobody comes by step %u", step);
    }
    print_message("runs=%u kills=%u lost=0 doubled=0 in_doubt=%u, all decided\n", totals.runs, totals.kills, totals.doubts);
    net_fini(&net);
}

/* ---- a queue that is made while the bridge dies */

struct making {
    const struct net *net;
    int wait_ms;
    _Atomic uint64_t *answer; /* 1 + it, in a page */
};

static int make(void *context)
{
    const struct making *making = context;
    struct ptq_queue_options options = {.mode = PTQ_CREATE, .wait_ms = making->wait_ms};
    ptq_bus *bus = open_far(making->net, "bridge");
    ptq_queue *queue;

    enum ptq_err answer = ptq_queue_open(bus, "made@home", &options, &queue);
    *making->answer = 1 + (uint64_t)answer;
    if (answer == PTQ_OK && ptq_put(queue, "one", 3, PTT_LONG) != PTQ_OK)
        return 1;
    if (answer == PTQ_OK)
        ptq_queue_close(queue);
    ptq_bus_close(bus);
    return 0;
}

/* What its maker was told; the bridge that lives in the end was asked something by another after that. */
static enum ptq_err make_killed_at(struct net *net, enum pti_step step, int wait_ms, bool *ret_killed)
{
    struct ptt_page *page = ptt_page_new();
    struct making making = {net, wait_ms, &page->words[0]};
    struct near near = {.net = net};
    ptq_queue *queue;

    near_start(&near, step, 1);
    struct pair pair = {.program = ptt_fork(make, &making), .near = &near};
    if (!ptt_wait_until(program_ended, &pair, PTT_LONG)) {
        ptt_kill(pair.program);
        fail_msg("who makes a queue does not come to his end; killed at step %u", step);
    }
    if (!WIFEXITED(pair.status) || WEXITSTATUS(pair.status) != 0)
        fail_msg("who makes a queue ended with %d; killed at step %u", pair.status, step);
    enum ptq_err answer = (enum ptq_err)(*making.answer - 1);
    ptq_bus *bus = open_far(net, "bridge");
    while (ptq_queue_open(bus, "others@home", NULL, &queue) != PTQ_OK)
        (void)program_ended(&pair); /* which sees to the bridge */
    ptq_queue_close(queue);
    ptq_bus_close(bus);
    ptt_kill(near.bridge);
    *ret_killed = near.kills > 0;
    ptt_page_free(page);
    return answer;
}

static void assert_is_made(struct net *net, enum pti_step step, const char *text)
{
    ptq_queue *queue;
    ptq_msg *msg;

    if (ptq_queue_open(net->here, "made", &(struct ptq_queue_options){.mode = PTQ_ATTACH}, &queue) != PTQ_OK)
        fail_msg("killed at step %u: it was not made", step);
    if (text != NULL) {
        assert_ok(ptq_get(queue, PTT_LONG, &msg));
        assert_memory_equal(ptq_msg_data(msg), text, strlen(text));
        assert_ok(ptq_ack(msg));
    }
    assert_answer(PTQ_EMPTY, ptq_get(queue, PTQ_NOWAIT, &msg));
    ptq_queue_close(queue);
}

static void assert_is_not_made(struct net *net, enum pti_step step)
{
    ptq_queue *queue;

    if (ptq_queue_open(net->here, "made", &(struct ptq_queue_options){.mode = PTQ_ATTACH}, &queue) != PTQ_ENOENT)
        fail_msg("killed at step %u: it was made, and its maker was told that nobody was asked", step);
}

static const enum pti_step opening[] = {PTI_STEP_VIA_READ, PTI_STEP_VIA_OPENED, PTI_STEP_VIA_DONE, PTI_STEP_VIA_POSTED, PTI_STEP_VIA_ACKED};

static void who_makes_a_queue_and_waits_has_it_whenever_the_bridge_is_killed(void **state)
{
    struct net net;
    bool killed;
    (void)state;

    net_init(&net, grace);
    for (size_t i = 0; i < sizeof opening / sizeof opening[0]; i++) {
        assert_answer(PTQ_OK, make_killed_at(&net, opening[i], PTT_LONG, &killed));
        assert_true(killed);
        assert_is_made(&net, opening[i], "one");
        assert_ok(ptq_queue_unlink(net.here, "made", true));
    }
    net_fini(&net);
}

static void who_makes_a_queue_and_does_not_wait_is_told_no_lie(void **state)
{
    struct net net;
    bool killed;
    (void)state;

    net_init(&net, grace);
    for (size_t i = 0; i < sizeof opening / sizeof opening[0]; i++) {
        enum ptq_err answer = make_killed_at(&net, opening[i], 0, &killed);

        assert_true(killed);
        if (answer == PTQ_OK)
            assert_is_made(&net, opening[i], "one");
        else if (answer == PTQ_EUNREACHABLE)
            assert_is_not_made(&net, opening[i]);
        else
            assert_int_equal(answer, PTQ_EINDOUBT);
        assert_ok(ptq_queue_unlink(net.here, "made", true));
    }
    net_fini(&net);
}

/* ---- at random, and stopped */

#define PRODUCERS 3
#define EACH 400u

struct crowd {
    const struct net *net;
    _Atomic uint64_t *done, *open_to;               /* in a page: puts that are decided, and may be begun */
    _Atomic unsigned char came[PRODUCERS][EACH], unflagged[PRODUCERS][EACH], acked[PRODUCERS][EACH];
    _Atomic unsigned doubts, refused, taken;
};

struct worker {
    struct crowd *crowd;
    ptq_queue *queue;
    uint32_t number;
};

static void *produce(void *context)
{
    struct worker *worker = context;

    for (uint32_t i = 0; i < EACH; i++) {
        uint32_t value[2] = {worker->number, i};
        ptt_wait_word(worker->crowd->open_to, atomic_load(worker->crowd->done) + 1, 3 * PTT_LONG);
        enum ptq_err answer = ptq_put(worker->queue, value, sizeof value, PTT_LONG);
        while (answer == PTQ_EINDOUBT) {
            worker->crowd->doubts++;
            answer = ptq_put_with(worker->queue, value, sizeof value, &(struct ptq_put_options){.flags = PTQ_RETRY}, PTT_LONG);
        }
        worker->crowd->refused += answer != PTQ_OK;
        atomic_fetch_add(worker->crowd->done, 1);
    }
    return NULL;
}

static void *consume(void *context)
{
    struct worker *worker = context;
    struct crowd *crowd = worker->crowd;
    enum ptq_err answer;
    ptq_msg *msg;

    while ((answer = ptq_get(worker->queue, PTT_LONG, &msg)) != PTQ_END && answer != PTQ_TIMEDOUT) {
        uint32_t value[2] = {0, 0};
        if (answer != PTQ_OK)
            continue;
        memcpy(value, ptq_msg_data(msg), sizeof value);
        crowd->came[value[0]][value[1]]++;
        crowd->unflagged[value[0]][value[1]] += !ptq_msg_redelivered(msg);
        if (ptq_ack(msg) == PTQ_OK)
            crowd->acked[value[0]][value[1]]++;
    }
    return NULL;
}

static int check(const struct crowd *crowd)
{
    int bad = crowd->refused > 0;

    for (unsigned p = 0; p < PRODUCERS; p++) {
        for (unsigned i = 0; i < EACH; i++) {
            bool wrong = crowd->came[p][i] == 0 || crowd->unflagged[p][i] > 1 || crowd->acked[p][i] > 1;
            if (wrong && bad++ < 5)
                fprintf(stderr, "message %u of %u came %u times, %u without a flag, and was acked %u times\n", i, p,
                        crowd->came[p][i], crowd->unflagged[p][i], crowd->acked[p][i]);
        }
    }
    return bad;
}

/* Three threads put and two take through one handle: all is decided here, in the process that was told. */
static int run_crowd(void *context)
{
    struct crowd *crowd = context;
    ptq_bus *bus = open_far(crowd->net, "bridge");
    ptq_queue *queue = net_open(bus, "crowd@home", NULL);
    struct worker workers[PRODUCERS + 2];
    pthread_t threads[PRODUCERS + 2];

    for (uint32_t i = 0; i < PRODUCERS + 2; i++) {
        workers[i] = (struct worker){crowd, queue, i};
        pthread_create(&threads[i], NULL, i < PRODUCERS ? produce : consume, &workers[i]);
    }
    for (uint32_t i = 0; i < PRODUCERS; i++)
        pthread_join(threads[i], NULL);
    net_end(queue);
    for (uint32_t i = PRODUCERS; i < PRODUCERS + 2; i++)
        pthread_join(threads[i], NULL);
    ptq_queue_close(queue);
    ptq_bus_close(bus);
    if (crowd->doubts > 0)
        fprintf(stderr, "in_doubt=%u, all decided\n", crowd->doubts);
    return check(crowd) > 0;
}

static void run_beside(void (*spoil)(struct near *near, uint64_t *seed), unsigned least)
{
    static struct crowd crowd;
    struct ptt_page *page = ptt_page_new();
    uint64_t seed = ptt_seed(), count = PRODUCERS * EACH;
    unsigned spoilt = 0;
    struct net net;
    int status;

    net_init(&net, grace);
    struct near near = {.net = &net};
    near_start(&near, PTI_STEPS, 0);
    memset(&crowd, 0, sizeof crowd);
    crowd.net = &net;
    crowd.done = &page->words[0];
    crowd.open_to = &page->words[64];
    pid_t child = ptt_fork(run_crowd, &crowd);
    for (uint64_t portion = count / (least + 4); atomic_load(crowd.open_to) < count; spoilt++) {
        uint64_t from = atomic_fetch_add(crowd.open_to, portion); /* however late this process comes, they have not ended */
        uint64_t at = from + 1 + ptt_random(&seed) % (portion / 2);
        assert_true(ptt_wait_word(crowd.done, at < count ? at : count, PTT_LONG));
        spoil(&near, &seed);
    }
    status = ptt_reap(child, PTT_LONG);
    if (status == -1 || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
        fail_msg("the program ended with %d", status);
    assert_true(spoilt >= least);
    ptt_kill(near.bridge);
    ptt_page_free(page);
    net_fini(&net);
}

static void kill_and_replace(struct near *near, uint64_t *seed)
{
    (void)seed;
    ptt_kill(near->bridge);
    near_start(near, PTI_STEPS, 0);
}

static void stop_for_a_while(struct near *near, uint64_t *seed)
{
    ptt_stop(near->bridge);
    usleep((useconds_t)(ptt_random(seed) % 50000));
    ptt_continue(near->bridge);
}

static void a_bridge_killed_at_random_loses_and_doubles_nothing(void **state)
{
    (void)state;
    run_beside(kill_and_replace, 10);
}

static void a_bridge_that_is_stopped_now_and_then_loses_and_doubles_nothing(void **state)
{
    (void)state;
    run_beside(stop_for_a_while, 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_bridge_killed_at_any_step_loses_and_doubles_nothing),
        cmocka_unit_test(who_makes_a_queue_and_waits_has_it_whenever_the_bridge_is_killed),
        cmocka_unit_test(who_makes_a_queue_and_does_not_wait_is_told_no_lie),
        cmocka_unit_test(a_bridge_killed_at_random_loses_and_doubles_nothing),
        cmocka_unit_test(a_bridge_that_is_stopped_now_and_then_loses_and_doubles_nothing),
    };

    return ptt_run_beside(tests, sizeof tests / sizeof *tests, 2);
}
