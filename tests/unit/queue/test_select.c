/* test_select.c -- what ptq_wait_any and descriptors do where the kernel or the user's limits refuse something, how often a
 * sleeper wakes, and that a wake which was another's is handed on.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "support/ptt.h"

#include <ptq/ptq.h>

#define WAITV 449

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static ptq_queue *open_queue(ptq_bus *bus, const char *name)
{
    struct ptq_queue_options options = {.capacity = 16, .item_size = 64, .max_endpoints = 16};
    ptq_queue *queue = NULL;

    if (ptq_queue_open(bus, name, &options, &queue) != PTQ_OK)
        abort();
    return queue;
}

static void put_byte(ptq_queue *queue) { assert_ok(ptq_put(queue, "x", 1, PTQ_NOWAIT)); }

static bool recv_byte(ptq_queue *queue)
{
    char byte;
    size_t size = 0;

    return ptq_recv(queue, &byte, 1, PTQ_NOWAIT, &size) == PTQ_OK;
}

/* ---- a child that waits for two queues, having given something up */

struct hindered {
    const char *dir;
    bool (*hinder)(void);
    bool by_descriptor; /* poll() on ptq_queue_fd instead of ptq_wait_any */
    struct ptt_page *page; /* words: 0 its tid, 1 messages it got */
};

static int wait_hindered(void *context)
{
    struct hindered *h = context;
    struct ptq_bus_options options = {.dir = h->dir};
    struct ptq_wait waits[2];
    ptq_bus *bus = NULL;
    int fds[2];

    if (ptq_bus_open("test", &options, &bus) != PTQ_OK)
        return 1;
    for (int i = 0; i < 2; i++)
        waits[i] = (struct ptq_wait){.queue = open_queue(bus, i == 0 ? "a" : "b")};
    if (!h->hinder())
        return 77;
    for (int i = 0; h->by_descriptor && i < 2; i++)
        if (ptq_queue_fd(waits[i].queue, PTQ_SIDE_GET, &fds[i]) != PTQ_OK)
            return 2;
    h->page->words[0] = (uint64_t)syscall(SYS_gettid);
    while (h->page->words[1] < 6) {
        size_t first = 0;
        if (h->by_descriptor) {
            first = h->page->words[1] % 2;
            if (!ptt_wait_readable(fds[first], PTT_LONG))
                return 3;
        } else if (ptq_wait_any(waits, 2, PTT_LONG, &first) != PTQ_OK) {
            return 4;
        }
        if (recv_byte(waits[first].queue))
            h->page->words[1]++;
    }
    return 0;
}

static void six_messages_arrive(struct ptt_scratch *scratch, bool (*hinder)(void), bool by_descriptor)
{
    struct hindered h = {scratch->dir, hinder, by_descriptor, ptt_page_new()};
    ptq_queue *queues[2] = {open_queue(scratch->bus, "a"), open_queue(scratch->bus, "b")};
    pid_t child = ptt_fork(wait_hindered, &h);

    for (uint64_t i = 0; i < 6; i++) {
        while (!ptt_wait_word(&h.page->words[0], 1, 20))
            if (waitpid(child, NULL, WNOHANG) == child) {
                print_message("this machine does not let it be hindered\n");
                ptq_queue_close(queues[0]);
                ptq_queue_close(queues[1]);
                skip();
            }
        assert_true(ptt_wait_word(&h.page->words[1], i, PTT_LONG));
        assert_true(ptt_wait_sleeping(child, (pid_t)h.page->words[0], PTT_LONG));
        put_byte(queues[i % 2]);
    }
    ptt_assert_exit(child, 0, PTT_LONG);
    ptq_queue_close(queues[0]);
    ptq_queue_close(queues[1]);
    ptt_page_free(h.page);
}

static bool filter_waitv(unsigned answer)
{
    return ptt_deny(WAITV, 0, (int)answer) && syscall(WAITV, NULL, 0, 0, NULL, 0) == -1 && errno == (int)answer;
}

static bool lack_waitv(void) { return filter_waitv(ENOSYS); }
static bool forbid_waitv(void) { return filter_waitv(EPERM); }

static bool spend_descriptors(void)
{
    struct rlimit limit = {64, 64};

    setrlimit(RLIMIT_NOFILE, &limit);
    while (dup(0) >= 0)
        ;
    return errno == EMFILE;
}

static bool spend_descriptors_and_lack_waitv(void) { return lack_waitv() && spend_descriptors(); }

static bool write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool written = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

    if (fd >= 0)
        close(fd);
    return written;
}

/* In a user namespace of its own, whose limit is one: what is made there counts for the user outside too, so with a higher limit
 * the tests that run beside this one had none left. */
static bool spend_inotify(void)
{
    char map[64];
    unsigned uid = geteuid(), made = 0;

    snprintf(map, sizeof map, "%u %u 1", uid, uid);
    if (unshare(CLONE_NEWUSER) != 0 || !write_file("/proc/self/uid_map", map) ||
        !write_file("/proc/sys/user/max_inotify_instances", "1"))
        return false;
    while (made < 1000 && inotify_init1(IN_CLOEXEC) >= 0)
        made++;
    return made <= 1 && errno == EMFILE;
}

static void without_futex_waitv_it_waits_by_descriptors(void **state) { six_messages_arrive(*state, lack_waitv, false); }
static void a_sandbox_that_forbids_futex_waitv_is_no_error(void **state) { six_messages_arrive(*state, forbid_waitv, false); }
static void without_descriptors_it_waits_by_slices(void **state) { six_messages_arrive(*state, spend_descriptors, false); }
static void without_both_it_looks_by_slices(void **state)
{
    six_messages_arrive(*state, spend_descriptors_and_lack_waitv, false);
}
static void without_inotify_it_wakes_by_the_clock(void **state) { six_messages_arrive(*state, spend_inotify, false); }
static void without_inotify_a_descriptor_is_readable_by_the_clock(void **state)
{
    six_messages_arrive(*state, spend_inotify, true);
}

/* ---- idle */

static long times_woken(pid_t tid)
{
    char path[64], line[256];
    long count = -1;

    snprintf(path, sizeof path, "/proc/self/task/%d/status", (int)tid);
    FILE *file = fopen(path, "r");
    while (file != NULL && count < 0 && fgets(line, sizeof line, file) != NULL)
        sscanf(line, "voluntary_ctxt_switches: %ld", &count);
    if (file != NULL)
        fclose(file);
    return count;
}

#define MANY 200

struct sleeper {
    struct ptq_wait waits[MANY];
    size_t count, first;
    int timeout_ms;
    enum ptq_err answer;
    _Atomic uint64_t tid, done;
    int64_t done_ms;
    pthread_t thread;
};

static void *sleep_on_many(void *context)
{
    struct sleeper *s = context;

    s->tid = (uint64_t)syscall(SYS_gettid);
    s->answer = ptq_wait_any(s->waits, s->count, s->timeout_ms, &s->first);
    s->done_ms = now_ms();
    s->done = 1;
    return NULL;
}

static void start_sleeper(struct sleeper *s)
{
    s->tid = s->done = 0;
    assert_int_equal(pthread_create(&s->thread, NULL, sleep_on_many, s), 0);
    assert_true(ptt_wait_word(&s->tid, 1, PTT_LONG));
    assert_true(ptt_wait_sleeping(getpid(), (pid_t)s->tid, PTT_LONG));
}

static void join_sleeper(struct sleeper *s)
{
    if (!ptt_wait_word(&s->done, 1, PTT_LONG))
        abort(); /* it would run on in freed memory */
    pthread_join(s->thread, NULL);
}

/* More than the words that futex_waitv takes, and both sides. */
static struct sleeper *sleeper_on_many(struct ptt_scratch *scratch, size_t count)
{
    struct sleeper *s = calloc(1, sizeof *s);
    char name[16];

    assert_non_null(s);
    s->count = count;
    s->timeout_ms = PTQ_FOREVER;
    for (size_t i = 0; i < count; i++) {
        snprintf(name, sizeof name, "q%zu", i);
        s->waits[i].queue = open_queue(scratch->bus, name);
    }
    for (int i = 0; i < 16; i++)
        put_byte(s->waits[0].queue);
    s->waits[0].side = PTQ_SIDE_PUT; /* full */
    return s;
}

static void close_many(struct sleeper *s)
{
    for (size_t i = 0; i < s->count; i++)
        ptq_queue_close(s->waits[i].queue);
    free(s);
}

static void asleep_it_never_wakes_by_itself(void **state)
{
    const size_t counts[] = {2, 20};

    for (int round = 0; round < 2; round++) {
        struct sleeper *s = sleeper_on_many(*state, counts[round]);
        start_sleeper(s);
        assert_false(ptt_wait_word(&s->done, 1, 400)); /* its slice is over: it sleeps for good */
        assert_true(ptt_wait_sleeping(getpid(), (pid_t)s->tid, PTT_LONG));
        long before = times_woken((pid_t)s->tid);
        assert_false(ptt_wait_word(&s->done, 1, 700));
        assert_int_equal(times_woken((pid_t)s->tid), before);

        assert_true(recv_byte(s->waits[0].queue));
        join_sleeper(s);
        assert_ok(s->answer);
        assert_int_equal(s->first, 0);
        while (recv_byte(s->waits[0].queue))
            ;
        close_many(s);
    }
}

static void two_hundred_queues_are_waited_for_at_once(void **state)
{
    struct rlimit limit;

    getrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_max < 1200)
        skip();
    struct rlimit more = {limit.rlim_max, limit.rlim_max};
    setrlimit(RLIMIT_NOFILE, &more);
    struct sleeper *s = sleeper_on_many(*state, MANY);
    for (int i = 0; i < 4; i++) {
        size_t which = (size_t)(1 + 66 * i);
        start_sleeper(s);
        put_byte(s->waits[which].queue);
        join_sleeper(s);
        assert_ok(s->answer);
        assert_int_equal(s->first, which);
        assert_true(recv_byte(s->waits[which].queue));
    }
    close_many(s);
    setrlimit(RLIMIT_NOFILE, &limit);
}

/* ---- the wake that is another's */

struct getter {
    ptq_queue *queue;
    _Atomic uint64_t tid, done;
    int64_t done_ms;
    enum ptq_err answer;
    pthread_t thread;
};

static void *get_one(void *context)
{
    struct getter *g = context;
    char byte;
    size_t size = 0;

    g->tid = (uint64_t)syscall(SYS_gettid);
    g->answer = ptq_recv(g->queue, &byte, 1, PTT_LONG, &size);
    g->done_ms = now_ms();
    g->done = 1;
    return NULL;
}

/* A sleeper on two queues goes to sleep first, so that FUTEX_WAKE picks it, and takes nothing; the message is the getter's, and not
 * only when his slice of 250 ms is over.  On a busy machine the sleeper may have gone on to descriptors: most rounds count. */
static void who_leaves_with_a_wake_hands_it_on(void **state)
{
    struct ptt_scratch *scratch = *state;
    struct sleeper s = {.count = 2, .timeout_ms = PTQ_FOREVER};
    int prompt = 0;

    s.waits[0].queue = open_queue(scratch->bus, "a");
    s.waits[1].queue = open_queue(scratch->bus, "b");
    for (int i = 0; i < 9; i++) {
        struct getter g = {.queue = open_queue(scratch->bus, "a")};
        start_sleeper(&s);
        assert_int_equal(pthread_create(&g.thread, NULL, get_one, &g), 0);
        assert_true(ptt_wait_word(&g.tid, 1, PTT_LONG));
        assert_true(ptt_wait_sleeping(getpid(), (pid_t)g.tid, PTT_LONG));
        int64_t began = now_ms();
        put_byte(s.waits[0].queue);
        assert_true(ptt_wait_word(&g.done, 1, PTT_LONG));
        pthread_join(g.thread, NULL);
        assert_ok(g.answer);
        prompt += g.done_ms - began < 120;
        put_byte(s.waits[1].queue); /* where the getter was faster, the other sleeps on */
        join_sleeper(&s);
        assert_ok(s.answer);
        assert_true(recv_byte(s.waits[1].queue));
        ptq_queue_close(g.queue);
    }
    assert_true(prompt >= 5);
    ptq_queue_close(s.waits[0].queue);
    ptq_queue_close(s.waits[1].queue);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, ptt_setup_scratch, ptt_teardown_scratch)
    const struct CMUnitTest cases[] = {
        CASE(without_futex_waitv_it_waits_by_descriptors),
        CASE(a_sandbox_that_forbids_futex_waitv_is_no_error),
        CASE(without_descriptors_it_waits_by_slices),
        CASE(without_both_it_looks_by_slices),
        CASE(without_inotify_it_wakes_by_the_clock),
        CASE(without_inotify_a_descriptor_is_readable_by_the_clock),
        CASE(asleep_it_never_wakes_by_itself),
        CASE(two_hundred_queues_are_waited_for_at_once),
        CASE(who_leaves_with_a_wake_hands_it_on),
    };
    return cmocka_run_group_tests(cases, NULL, NULL);
}
