/* test_wakes.c -- no wake-up is missed: not when the publisher dies or stops at any instruction, nor when a holder does.
 *
 * A sleeper sleeps in a get, or polls the descriptor of the queue.  The publisher is killed at instruction i: what it
 * published must come out.  It is stopped there: the next publisher's message must come out.  Or the sleeper itself is
 * stopped at instruction i on its way to sleep, and a message is put: it must find it when it goes on, and others meanwhile.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "crash/scene.h"

#define SOON PTT_LONG /* no test waits so long unless a wake-up was missed */

enum way { BY_GET, BY_DESCRIPTOR, BY_LONG_GET, WAYS };
static const char *const way_names[] = {"in get", "in poll", "in a long get"};

struct stage {
    struct ptt_scratch scratch;
    struct ptt_page *page; /* words[0]: sleepers ready; [1]: messages got; [2]: stop; [3]: wrong answers */
    enum way way;
    ptq_queue *queue; /* the tester's own */
    ptq_view *view;
    unsigned missed, runs;
};

/* The victim's path: see test_stops.c. */
#define TRACK_MOST 20000
struct path {
    uint64_t count, places[TRACK_MOST];
    uint32_t times[TRACK_MOST];
};
static struct path path;

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- lives */

static ptq_queue *open_own(struct stage *stage, ptq_bus **ret_bus)
{
    ptq_queue *queue = NULL;

    *ret_bus = ptt_scratch_open(&stage->scratch);
    return ptq_queue_open(*ret_bus, SCENE_QUEUE, NULL, &queue) == PTQ_OK ? queue : NULL;
}

static void take(struct stage *stage, enum ptq_err err, ptq_msg *msg)
{
    if (err == PTQ_OK && ptq_ack(msg) == PTQ_OK)
        stage->page->words[1]++;
    else if (err != PTQ_EMPTY && err != PTQ_TIMEDOUT)
        stage->page->words[3] = 1 + (uint64_t)err;
}

static void sleep_once(struct stage *stage, ptq_queue *queue, int fd)
{
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    ptq_msg *msg = NULL;
    enum ptq_err err;

    if (fd < 0) {
        err = ptq_get(queue, PTQ_FOREVER, &msg);
    } else {
        poll(&wait, 1, -1);
        err = ptq_get(queue, PTQ_NOWAIT, &msg);
    }
    take(stage, err, msg);
}

/* Sleeps, takes, sleeps again, until it is told. */
static int live_as_sleeper(void *context)
{
    struct stage *stage = context;
    ptq_bus *bus = NULL;
    ptq_queue *queue = open_own(stage, &bus);
    int fd = -1;

    if (queue == NULL || (stage->way == BY_DESCRIPTOR && ptq_queue_fd(queue, PTQ_SIDE_GET, &fd) != PTQ_OK))
        return 1;
    stage->page->words[0]++;
    while (stage->page->words[2] == 0)
        sleep_once(stage, queue, fd);
    return 0;
}

/* A victim: one put. */
static int publish(void *context)
{
    struct stage *stage = context;
    ptq_bus *bus = NULL;
    ptq_queue *queue = open_own(stage, &bus);

    if (queue == NULL)
        return 1;
    victim_mark();
    return ptq_put(queue, "v", 1, PTQ_NOWAIT) == PTQ_OK ? 0 : 2;
}

/* A victim: sleeps until it has taken one message. */
static int sleep_until_one(void *context)
{
    struct stage *stage = context;
    ptq_bus *bus = NULL;
    ptq_queue *queue = open_own(stage, &bus);
    uint64_t before = stage->page->words[1];
    int fd = -1;

    if (queue == NULL || (stage->way == BY_DESCRIPTOR && ptq_queue_fd(queue, PTQ_SIDE_GET, &fd) != PTQ_OK))
        return 1;
    victim_mark();
    while (stage->page->words[1] == before && stage->page->words[3] == 0)
        sleep_once(stage, queue, fd);
    return 0;
}

/* ---- the stage */

static void set_stage(struct stage *stage, enum way way)
{
    struct ptq_queue_options options = {.capacity = 10, .item_size = 16, .max_endpoints = 8};

    *stage = (struct stage){.way = way, .page = ptt_page_new()};
    ptt_scratch_init(&stage->scratch);
    assert_ok(ptq_queue_open(stage->scratch.bus, SCENE_QUEUE, &options, &stage->queue));
    assert_ok(ptq_view_open(stage->scratch.bus, SCENE_QUEUE, NULL, &stage->view));
}

static void clear_stage(struct stage *stage)
{
    ptq_view_close(stage->view);
    ptq_queue_close(stage->queue);
    ptt_scratch_fini(&stage->scratch);
    ptt_page_free(stage->page);
}

static pid_t start_sleeper(struct stage *stage)
{
    uint64_t ready = stage->page->words[0] + 1;
    pid_t pid = ptt_fork(live_as_sleeper, stage);

    assert_true(ptt_wait_word(&stage->page->words[0], ready, PTT_LONG));
    return pid;
}

static void end_sleeper(struct stage *stage, pid_t pid)
{
    stage->page->words[2] = 1;
    ptt_kill(pid);
    assert_int_equal(stage->page->words[3], 0);
}

static void wait_until_asleep(struct stage *stage, pid_t pid)
{
    assert_true(ptt_wait_sleeping(pid, pid, PTT_LONG));
    if (stage->way == BY_LONG_GET)
        usleep(300000); /* its first slice is over then; if not, the other way is tested once more */
}

/* Records where the victim's instructions stand, until it sleeps (for the `sleeps`-th time) or is over. */
static void follow(struct stage *stage, int (*work)(void *), int sleeps)
{
    struct victim victim;

    path.count = 0;
    victim_start(&victim, work, stage);
    while (path.count < TRACK_MOST && victim_step_within(&victim, sleeps > 1 ? 600 : 100)) {
        uint64_t place = victim_place(&victim);
        uint32_t times = 1;
        for (uint64_t i = path.count; i-- > 0 && times == 1;)
            if (path.places[i] == place)
                times = path.times[i] + 1; /* at 3 it stays */
        if (times > 2)
            continue; /* a turn of a loop like those before */
        path.times[path.count] = times;
        path.places[path.count++] = place;
    }
    victim_kill(&victim);
    assert_true(path.count > 20);
}

static bool nothing_is_ready(void *context)
{
    struct stage *stage = context;
    struct ptq_queue_stats stats = {0};

    assert_ok(ptq_view_stats(stage->view, &stats));
    return stats.ready == 0;
}

static void miss(struct stage *stage, const char *what, uint64_t at)
{
    if (stage->missed++ < 10)
        print_error("sleeper %s: %s at instruction %llu of %llu: a message lies beside it\n", way_names[stage->way], what,
                    (unsigned long long)at, (unsigned long long)path.count);
    ptq_msg *msg = NULL;
    while (ptq_get(stage->queue, PTQ_NOWAIT, &msg) == PTQ_OK) /* so that the next run begins clean */
        assert_ok(ptq_ack(msg));
}

static uint64_t stride_of(const struct stage *stage)
{
    if (getenv("PTQ_CRASH_ALL") != NULL)
        return 1;
    return stage->way == BY_LONG_GET ? path.count / 12 + 1 : path.count / 150 + 1;
}

/* ---- publishers that die or stop */

static void kill_publisher(struct stage *stage, pid_t sleeper, uint64_t at)
{
    struct victim victim;

    wait_until_asleep(stage, sleeper);
    victim_start(&victim, publish, stage);
    victim_run_to(&victim, path.places[at], path.times[at], PTQ_FOREVER);
    victim_kill(&victim);
    if (!ptt_wait_until(nothing_is_ready, stage, SOON))
        miss(stage, "publisher killed", at);
    stage->runs++;
}

static void stop_publisher(struct stage *stage, pid_t sleeper, uint64_t at)
{
    struct victim victim;

    wait_until_asleep(stage, sleeper);
    uint64_t got = stage->page->words[1];
    victim_start(&victim, publish, stage);
    victim_run_to(&victim, path.places[at], path.times[at], PTQ_FOREVER);
    assert_ok(ptq_put(stage->queue, "p", 1, PTQ_NOWAIT));
    if (!ptt_wait_word(&stage->page->words[1], got + 1, SOON) || !ptt_wait_until(nothing_is_ready, stage, SOON))
        miss(stage, "publisher stopped", at);
    victim_kill(&victim);
    if (!ptt_wait_until(nothing_is_ready, stage, SOON))
        miss(stage, "publisher stopped and killed", at);
    stage->runs++;
}

static void run_publishers(enum way way)
{
    static struct stage stage;

    set_stage(&stage, way);
    follow(&stage, publish, 1);
    ptq_msg *msg = NULL;
    while (ptq_get(stage.queue, PTQ_NOWAIT, &msg) == PTQ_OK)
        assert_ok(ptq_ack(msg));
    pid_t sleeper = start_sleeper(&stage);
    for (uint64_t at = 0; at < path.count; at += stride_of(&stage)) {
        kill_publisher(&stage, sleeper, at);
        stop_publisher(&stage, sleeper, at);
    }
    end_sleeper(&stage, sleeper);
    print_message("  publishers, sleeper %-14s %4llu instructions, %4u runs, %u missed\n", way_names[way],
                  (unsigned long long)path.count, stage.runs, stage.missed);
    assert_int_equal(stage.missed, 0);
    clear_stage(&stage);
}

/* ---- sleepers that stop */

#define LATE 200 /* ms: less than a slice; nobody died, so nothing may have waited for one */

/* The stopped one goes on and takes it; how many milliseconds later, or -1 if it stood elsewhere. */
static int64_t stop_sleeper_once(struct stage *stage, uint64_t at)
{
    struct victim victim;

    victim_start(&victim, sleep_until_one, stage);
    /* Now and then its way is another, as when somebody has just looked for the dead: then it is asleep by now. */
    if (!victim_run_to(&victim, path.places[at], path.times[at], stage->way == BY_LONG_GET ? 600 : 50))
        return -1;
    uint64_t got = stage->page->words[1];
    assert_ok(ptq_put(stage->queue, "p", 1, PTQ_NOWAIT));
    int64_t start = now_ms();
    victim_let_go(&victim);
    if (!ptt_wait_word(&stage->page->words[1], got + 1, SOON))
        miss(stage, "sleeper stopped", at);
    int64_t took = now_ms() - start;
    if (!victim_wait(&victim, PTT_LONG)) /* its exit is no matter: on a busy machine the kernel takes down its inotify for seconds */
        ptt_kill(victim.pid);
    stage->runs++;
    return took;
}

static void stop_sleeper(struct stage *stage, uint64_t at)
{
    for (int tries = 0; tries < 4; tries++) /* a busy machine is late once or twice, not always */
        if (stop_sleeper_once(stage, at) < LATE)
            return;
    miss(stage, "sleeper stopped, and woken only by its slice,", at);
}

/* Another sleeper gets it while this one stands. */
static void stop_beside_another(struct stage *stage, pid_t other, uint64_t at)
{
    struct victim victim;

    assert_true(ptt_wait_sleeping(other, other, PTT_LONG));
    uint64_t got = stage->page->words[1];
    victim_start(&victim, sleep_until_one, stage);
    if (!victim_run_to(&victim, path.places[at], path.times[at], stage->way == BY_LONG_GET ? 600 : 50))
        return;
    assert_ok(ptq_put(stage->queue, "p", 1, PTQ_NOWAIT));
    if (!ptt_wait_word(&stage->page->words[1], got + 1, SOON))
        miss(stage, "another sleeper stopped", at);
    victim_kill(&victim);
    if (!ptt_wait_until(nothing_is_ready, stage, SOON))
        miss(stage, "sleeper stopped and killed", at);
    stage->runs++;
}

static void run_sleepers(enum way way)
{
    static struct stage stage;

    set_stage(&stage, way);
    follow(&stage, sleep_until_one, way == BY_LONG_GET ? 2 : 1);
    for (uint64_t at = 0; at < path.count; at += stride_of(&stage))
        stop_sleeper(&stage, at);
    pid_t other = start_sleeper(&stage);
    for (uint64_t at = 0; at < path.count; at += stride_of(&stage))
        stop_beside_another(&stage, other, at);
    end_sleeper(&stage, other);
    print_message("  sleepers, %-24s %4llu instructions, %4u runs, %u missed\n", way_names[way],
                  (unsigned long long)path.count, stage.runs, stage.missed);
    assert_int_equal(stage.missed, 0);
    clear_stage(&stage);
}

/* W5 W25 */
static void no_wake_is_missed_when_a_publisher_dies_or_stops(void **state)
{
    (void)state;
    if (!victim_is_possible()) {
        print_message("skipped: no single steps here\n");
        skip();
    }
    for (enum way way = 0; way < WAYS; way++)
        run_publishers(way);
}

/* W15 W25 */
static void no_wake_is_missed_when_a_sleeper_stops(void **state)
{
    (void)state;
    if (!victim_is_possible()) {
        print_message("skipped: no single steps here\n");
        skip();
    }
    for (enum way way = 0; way < WAYS; way++)
        run_sleepers(way);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(no_wake_is_missed_when_a_publisher_dies_or_stops),
                                       cmocka_unit_test(no_wake_is_missed_when_a_sleeper_stops)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
