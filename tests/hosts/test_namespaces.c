/* test_namespaces.c -- containers that share nothing but PTQ_DIR: not the PIDs, not the paths, not the clock. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "hosts/hosts.h"

/* ---- PIDs and mounts ---- */

enum { PID_ONE = 0, PID_TWO = 1, READY_ONE = 2, GO_ON = 3, MESSAGES = 1000 };

static const char *const paths[] = {"/mnt/bus", "/mnt/somewhere/else"};

static int put_numbers(struct hosts *h)
{
    ptq_bus *bus = NULL;
    ptq_queue *queue = NULL;

    HOSTS_OK(h, hosts_bus(paths[0], &bus));
    HOSTS_OK(h, hosts_queue(bus, "tasks", NULL, &queue));
    for (uint64_t i = 0; i < MESSAGES; i++)
        HOSTS_OK(h, ptq_put(queue, &i, sizeof i, PTT_LONG));
    HOSTS_OK(h, ptq_end(queue));
    ptq_queue_close(queue);
    ptq_bus_close(bus);
    return 0;
}

static int get_numbers(struct hosts *h)
{
    ptq_bus *bus = NULL;
    ptq_queue *queue = NULL;
    ptq_msg *msg = NULL;

    HOSTS_OK(h, hosts_bus(paths[1], &bus));
    HOSTS_OK(h, hosts_queue(bus, "tasks", NULL, &queue));
    for (uint64_t i = 0; i < MESSAGES; i++) {
        HOSTS_OK(h, ptq_get(queue, PTT_LONG, &msg));
        HOSTS_TRUE(h, ptq_msg_size(msg) == sizeof i && memcmp(ptq_msg_data(msg), &i, sizeof i) == 0);
        HOSTS_OK(h, ptq_ack(msg));
    }
    HOSTS_ANSWER(h, PTQ_END, ptq_get(queue, PTT_LONG, &msg));
    ptq_queue_close(queue);
    ptq_bus_close(bus);
    return 0;
}

static int contain_putter(void *h)
{
    return hosts_contain(h, ((struct hosts *)h)->bus, paths[0], put_numbers, &((struct hosts *)h)->page->words[PID_ONE]);
}

static int contain_getter(void *h)
{
    return hosts_contain(h, ((struct hosts *)h)->bus, paths[1], get_numbers, &((struct hosts *)h)->page->words[PID_TWO]);
}

static void containers_that_share_the_directory_share_its_queues(void **state)
{
    struct hosts *h = *state;

    assert_int_equal(mkdir(h->bus, 0700), 0);
    pid_t getter = hosts_start(h, contain_getter);
    pid_t putter = hosts_start(h, contain_putter);

    hosts_judge(h, putter);
    hosts_judge(h, getter);
}

/* Holds one lease until it is killed. */
static int hold_one(struct hosts *h)
{
    ptq_bus *bus = NULL;
    ptq_queue *queue = NULL;
    ptq_msg *msg = NULL;

    HOSTS_OK(h, hosts_bus(paths[0], &bus));
    HOSTS_OK(h, hosts_queue(bus, "tasks", NULL, &queue));
    HOSTS_OK(h, ptq_put(queue, "work", 4, PTQ_NOWAIT));
    HOSTS_OK(h, ptq_get(queue, PTQ_NOWAIT, &msg));
    atomic_store(&h->page->words[READY_ONE], 1);
    for (;;)
        pause();
}

/* Sleeps for the same message; its process has the same number as the holder's. */
static int wait_for_it(struct hosts *h)
{
    struct ptq_gc_report report;
    ptq_bus *bus = NULL;
    ptq_queue *queue = NULL;
    ptq_msg *msg = NULL;

    HOSTS_OK(h, hosts_bus(paths[1], &bus));
    HOSTS_OK(h, hosts_queue(bus, "tasks", NULL, &queue));
    HOSTS_OK(h, ptq_bus_gc(bus, true, &report));
    HOSTS_TRUE(h, report.live == 1 && report.recovered == 0 && report.removed == 0); /* the living are left alone */
    HOSTS_ANSWER(h, PTQ_EMPTY, ptq_get(queue, PTQ_NOWAIT, &msg));
    atomic_store(&h->page->words[GO_ON], 1);
    HOSTS_OK(h, ptq_get(queue, PTT_LONG, &msg));
    HOSTS_TRUE(h, ptq_msg_redelivered(msg) && ptq_msg_deliveries(msg) == 2);
    HOSTS_OK(h, ptq_ack(msg));
    ptq_queue_close(queue);
    HOSTS_OK(h, ptq_bus_gc(bus, false, &report));
    HOSTS_TRUE(h, report.removed == 1);
    ptq_bus_close(bus);
    return 0;
}

static int contain_holder(void *h)
{
    return hosts_contain(h, ((struct hosts *)h)->bus, paths[0], hold_one, &((struct hosts *)h)->page->words[PID_ONE]);
}

static int contain_waiter(void *h)
{
    return hosts_contain(h, ((struct hosts *)h)->bus, paths[1], wait_for_it, &((struct hosts *)h)->page->words[PID_TWO]);
}

static void a_container_that_is_killed_leaves_its_message_to_another(void **state)
{
    struct hosts *h = *state;

    assert_int_equal(mkdir(h->bus, 0700), 0);
    pid_t holder = hosts_start(h, contain_holder);
    if (!ptt_wait_word(&h->page->words[READY_ONE], 1, PTT_LONG)) {
        hosts_judge(h, holder);
        fail_msg("the holder did not begin");
    }
    pid_t waiter = hosts_start(h, contain_waiter);
    ptt_wait_word(&h->page->words[GO_ON], 1, PTT_LONG);
    for (int word = PID_ONE; word <= PID_TWO; word++) /* who forked them may come to say so after they have begun */
        assert_true(ptt_wait_word(&h->page->words[word], 1, PTT_LONG));
    pid_t inner = (pid_t)atomic_load(&h->page->words[PID_TWO]);
    ptt_wait_sleeping(inner, inner, PTT_LONG);

    assert_int_equal(kill((pid_t)atomic_load(&h->page->words[PID_ONE]), SIGKILL), 0);

    ptt_assert_exit(holder, 128 + SIGKILL, PTT_LONG);
    hosts_judge(h, waiter);
}

/* ---- the clock ---- */

enum { NACKED_AT = 8, DELAY_MS = 400 };

static bool write_text(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool written = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

    if (fd >= 0)
        close(fd);
    return written;
}

/* Runs `work` in a process whose CLOCK_MONOTONIC is `seconds` ahead (or behind). */
static int shift_clock(struct hosts *h, long seconds, int (*work)(struct hosts *h))
{
    char text[64];
    int status = 0;

    snprintf(text, sizeof text, "monotonic %ld 0\n", seconds);
    if (unshare(CLONE_NEWTIME) != 0 || !write_text("/proc/self/timens_offsets", text))
        return hosts_cannot(h, "no time namespaces here: %s", strerror(errno));
    pid_t pid = fork();
    if (pid == 0)
        _exit(work(h));
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* By a clock that is not moved. */
static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_BOOTTIME, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Gives one back with a delay, and leaves another in the queue, stamped by this clock. */
static int nack_later(struct hosts *h)
{
    ptq_bus *bus = NULL;
    ptq_queue *queue = NULL;
    ptq_msg *msg = NULL;

    HOSTS_OK(h, hosts_bus(h->bus, &bus));
    HOSTS_OK(h, hosts_queue(bus, "tasks", NULL, &queue));
    HOSTS_OK(h, ptq_put(queue, "later", 5, PTQ_NOWAIT));
    HOSTS_OK(h, ptq_get(queue, PTQ_NOWAIT, &msg));
    atomic_store(&h->page->words[NACKED_AT], (uint64_t)now_ms());
    HOSTS_OK(h, ptq_nack(msg, DELAY_MS));
    ptq_queue_close(queue);
    ptq_bus_close(bus);
    return 0;
}

/* It comes when it is due by this clock: not at once, not in a day, and the sleeper is not woken for nothing. */
static int get_in_time(struct hosts *h)
{
    ptq_bus *bus = NULL;
    ptq_queue *queue = NULL;
    ptq_msg *msg = NULL;
    int64_t begun = now_ms(), took;

    HOSTS_OK(h, hosts_bus(h->bus, &bus));
    HOSTS_OK(h, hosts_queue(bus, "tasks", NULL, &queue));
    enum ptq_err answer = ptq_get(queue, PTQ_NOWAIT, &msg);
    HOSTS_OK(h, answer == PTQ_EMPTY ? ptq_get(queue, 10000, &msg) : answer);
    took = now_ms() - begun;
    int64_t since = now_ms() - (int64_t)atomic_load(&h->page->words[NACKED_AT]);
    if (since < DELAY_MS - 1 || took > 8000)
        return hosts_wrong(h, "a delay of %d ms took %lld, %lld of them here", DELAY_MS, (long long)since, (long long)took);
    HOSTS_OK(h, ptq_ack(msg));
    ptq_queue_close(queue);
    ptq_bus_close(bus);
    return 0;
}

static int nack_ahead_get_here(void *context)
{
    struct hosts *h = context;
    pid_t pid = fork();

    if (pid == 0)
        _exit(shift_clock(h, 86400, nack_later));
    int status = 0;
    waitpid(pid, &status, 0);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        return WIFEXITED(status) ? WEXITSTATUS(status) : hosts_wrong(h, "the giver died");
    return get_in_time(h);
}

static int nack_here_get_ahead(void *context)
{
    struct hosts *h = context;
    int answer = nack_later(h);

    return answer != 0 ? answer : shift_clock(h, 86400, get_in_time);
}

static int nack_here_get_behind(void *context)
{
    struct hosts *h = context;
    int answer = nack_later(h);

    return answer != 0 ? answer : shift_clock(h, -20, get_in_time);
}

static void a_delay_of_a_container_whose_clock_is_ahead_is_kept_here(void **state) { hosts_run(*state, nack_ahead_get_here); }

static void a_delay_of_here_is_kept_in_a_container_whose_clock_is_ahead(void **state)
{
    hosts_run(*state, nack_here_get_ahead);
}

static void a_delay_of_here_is_kept_in_a_container_whose_clock_is_behind(void **state)
{
    hosts_run(*state, nack_here_get_behind);
}

/* The first message of a queue bears its put time. */
static int put_stamped(struct hosts *h)
{
    struct ptq_queue_options all = {.stamps = PTQ_STAMPS_ALL};
    ptq_bus *bus = NULL;
    ptq_queue *queue = NULL;

    HOSTS_OK(h, hosts_bus(h->bus, &bus));
    HOSTS_OK(h, hosts_queue(bus, "tasks", &all, &queue));
    HOSTS_OK(h, ptq_put(queue, "x", 1, PTQ_NOWAIT));
    ptq_queue_close(queue);
    ptq_bus_close(bus);
    return 0;
}

static int look_at_age(struct hosts *h)
{
    struct ptq_queue_stats stats;
    ptq_bus *bus = NULL;
    ptq_queue *queue = NULL;

    HOSTS_OK(h, hosts_bus(h->bus, &bus));
    HOSTS_OK(h, hosts_queue(bus, "tasks", NULL, &queue));
    HOSTS_OK(h, ptq_queue_stats(queue, &stats));
    if (stats.oldest_ms > 60000)
        return hosts_wrong(h, "a message of this minute is %llu ms old", (unsigned long long)stats.oldest_ms);
    ptq_queue_close(queue);
    ptq_bus_close(bus);
    return 0;
}

static int age_across_clocks(void *context)
{
    struct hosts *h = context;
    int answer = put_stamped(h);

    return answer != 0 ? answer : shift_clock(h, 86400, look_at_age);
}

static void an_age_is_the_same_by_every_clock(void **state) { hosts_run(*state, age_across_clocks); }

int main(void)
{
    const struct CMUnitTest cases[] = {
        HOSTS_CASE(containers_that_share_the_directory_share_its_queues),
        HOSTS_CASE(a_container_that_is_killed_leaves_its_message_to_another),
        HOSTS_CASE(a_delay_of_a_container_whose_clock_is_ahead_is_kept_here),
        HOSTS_CASE(a_delay_of_here_is_kept_in_a_container_whose_clock_is_ahead),
        HOSTS_CASE(a_delay_of_here_is_kept_in_a_container_whose_clock_is_behind),
        HOSTS_CASE(an_age_is_the_same_by_every_clock),
    };

    hosts_need_root();
    return cmocka_run_group_tests(cases, NULL, NULL);
}
