/* test_places.c -- directories and processes that lack something: space, inodes, write access, /proc, O_TMPFILE, inotify, limits.
 *
 * Each is an answer with a sentence, or works by another way; none is a signal or a hang.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <ptq/metrics.h>

#include "hosts/hosts.h"

/* ---- what a bus must be able to do, wherever it lies ---- */

static int hold_in_child(void *context)
{
    struct hosts *h = context;
    ptq_bus *bus = NULL;
    ptq_queue *queue = NULL;
    ptq_msg *msg = NULL;

    HOSTS_OK(h, hosts_bus(h->argument, &bus));
    HOSTS_OK(h, hosts_queue(bus, "tasks", NULL, &queue));
    HOSTS_OK(h, ptq_put(queue, "held", 4, PTQ_NOWAIT));
    HOSTS_OK(h, ptq_get(queue, PTQ_NOWAIT, &msg));
    atomic_store(&h->page->words[0], 1);
    for (;;)
        pause();
}

static int put_in_child(void *context)
{
    struct hosts *h = context;
    ptq_bus *bus = NULL;
    ptq_queue *queue = NULL;

    HOSTS_OK(h, hosts_bus(h->argument, &bus));
    HOSTS_OK(h, hosts_queue(bus, "tasks", NULL, &queue));
    atomic_store(&h->page->words[1], 1);
    if (!ptt_wait_word(&h->page->words[2], 1, PTT_LONG))
        return hosts_wrong(h, "nobody waits");
    HOSTS_OK(h, ptq_put(queue, "sent", 4, PTT_LONG));
    for (;;)
        pause();
}

/* Death, descriptors, long sleeps, gc: in the directory `dir`. */
static int use_bus(struct hosts *h, const char *dir)
{
    struct ptq_gc_report report;
    ptq_bus *bus = NULL;
    ptq_queue *queue = NULL;
    ptq_msg *msg = NULL;
    int fd = -1;

    h->argument = dir;
    HOSTS_OK(h, hosts_bus(dir, &bus));
    HOSTS_OK(h, hosts_queue(bus, "tasks", NULL, &queue));
    HOSTS_OK(h, ptq_queue_fd(queue, PTQ_SIDE_GET, &fd));
    HOSTS_ANSWER(h, PTQ_EMPTY, ptq_get(queue, PTQ_NOWAIT, &msg));

    pid_t holder = ptt_fork(hold_in_child, h);
    HOSTS_TRUE(h, ptt_wait_word(&h->page->words[0], 1, PTT_LONG));
    ptt_kill(holder);
    HOSTS_TRUE(h, ptt_wait_readable(fd, PTT_LONG));
    HOSTS_OK(h, ptq_get(queue, PTT_LONG, &msg));
    HOSTS_TRUE(h, ptq_msg_redelivered(msg));
    HOSTS_OK(h, ptq_ack(msg));

    pid_t putter = ptt_fork(put_in_child, h);
    HOSTS_TRUE(h, ptt_wait_word(&h->page->words[1], 1, PTT_LONG));
    HOSTS_ANSWER(h, PTQ_TIMEDOUT, ptq_get(queue, 400, &msg)); /* beyond the first slice of sleep */
    atomic_store(&h->page->words[2], 1);
    HOSTS_OK(h, ptq_get(queue, PTT_LONG, &msg));
    HOSTS_OK(h, ptq_ack(msg));
    ptt_kill(putter);

    ptq_queue_close(queue);
    HOSTS_OK(h, ptq_bus_gc(bus, false, &report));
    HOSTS_TRUE(h, report.removed == 1 && report.live == 0);
    ptq_bus_close(bus);
    return 0;
}

static int on_overlay(void *context)
{
    struct hosts *h = context;

    if (!hosts_own_mounts() || mount("tmpfs", "/mnt", "tmpfs", 0, "size=16m") != 0)
        return hosts_cannot(h, "no mounts: %s", strerror(errno));
    HOSTS_TRUE(h, mkdir("/mnt/low", 0755) == 0 && mkdir("/mnt/up", 0755) == 0 && mkdir("/mnt/work", 0755) == 0 &&
                      mkdir("/mnt/all", 0755) == 0);
    if (mount("overlay", "/mnt/all", "overlay", 0, "lowerdir=/mnt/low,upperdir=/mnt/up,workdir=/mnt/work") != 0)
        return hosts_cannot(h, "no overlay here: %s", strerror(errno));
    return use_bus(h, "/mnt/all/bus");
}

static void a_bus_works_on_overlayfs(void **state) { hosts_run(*state, on_overlay); }

static int without_proc(void *context)
{
    struct hosts *h = context;

    if (!hosts_own_mounts() || umount2("/proc", MNT_DETACH) != 0)
        return hosts_cannot(h, "/proc cannot be taken away: %s", strerror(errno));
    return use_bus(h, h->bus);
}

static void a_bus_works_without_proc(void **state) { hosts_run(*state, without_proc); }

static int without_unnamed_files(void *context)
{
    struct hosts *h = context;

    if (!ptt_deny(SYS_openat, O_TMPFILE & ~O_DIRECTORY, EOPNOTSUPP))
        return hosts_cannot(h, "no seccomp: %s", strerror(errno));
    HOSTS_TRUE(h, open(h->dir, O_TMPFILE | O_RDWR, 0600) < 0 && errno == EOPNOTSUPP);
    return use_bus(h, h->bus);
}

static void a_bus_works_without_unnamed_files(void **state)
{
    struct hosts *h = *state;
    char run[200];

    hosts_run(h, without_unnamed_files);
    snprintf(run, sizeof run, "%s/test", h->bus);
    assert_int_equal(rmdir(run), 0); /* nothing is left in it */
}

static int without_inotify(void *context)
{
    struct hosts *h = context;
    int count = 0;

    HOSTS_TRUE(h, mkdir(h->bus, 0700) == 0 && chown(h->bus, 61007, 61007) == 0);
    HOSTS_TRUE(h, hosts_become(61007, 61007, NULL, 0));
    while (inotify_init1(IN_CLOEXEC) >= 0)
        count++;
    if (errno != EMFILE || count >= 1000)
        return hosts_cannot(h, "%d instances are not all: %s", count, strerror(errno));
    return use_bus(h, h->bus);
}

static void a_bus_works_where_no_inotify_instance_is_left(void **state) { hosts_run(*state, without_inotify); }

/* ---- read-only ---- */

static int look_read_only(void *context)
{
    struct hosts *h = context;
    struct ptq_queue_stats stats;
    ptq_bus *bus = NULL;
    ptq_queue *queue = NULL;
    ptq_view *view = NULL;

    HOSTS_OK(h, hosts_bus(h->bus, &bus));
    HOSTS_OK(h, hosts_queue(bus, "tasks", NULL, &queue));
    HOSTS_OK(h, ptq_put(queue, "x", 1, PTQ_NOWAIT));
    ptq_queue_close(queue);
    ptq_bus_close(bus);
    queue = NULL;
    if (!hosts_own_mounts() || mount(h->bus, h->bus, NULL, MS_BIND, NULL) != 0 ||
        mount(NULL, h->bus, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL) != 0)
        return hosts_cannot(h, "no mounts: %s", strerror(errno));

    HOSTS_OK(h, hosts_bus(h->bus, &bus));
    HOSTS_ANSWER(h, PTQ_EPERM, hosts_queue(bus, "tasks", NULL, &queue));
    HOSTS_SAYS(h, hosts_text, "'tasks'", "read-only", "watched", "mount it writable");
    HOSTS_ANSWER(h, PTQ_EPERM, hosts_queue(bus, "other", NULL, &queue));
    HOSTS_SAYS(h, hosts_text, "'other'", "read-only");
    HOSTS_OK(h, ptq_view_open(bus, "tasks", &hosts_error, &view));
    HOSTS_OK(h, ptq_view_stats(view, &stats));
    HOSTS_TRUE(h, stats.ready == 1);
    ptq_view_close(view);
    ptq_bus_close(bus);

    struct ptq_bus_options options = {.dir = h->bus, .error = &hosts_error};
    HOSTS_ANSWER(h, PTQ_EPERM, ptq_bus_open("another", &options, &bus));
    HOSTS_SAYS(h, hosts_text, "read-only", "PTQ_DIR");
    return 0;
}

static void a_read_only_bus_is_watched_and_not_used(void **state) { hosts_run(*state, look_read_only); }

/* ---- no inodes ---- */

static int without_inodes(void *context)
{
    struct hosts *h = context;
    ptq_bus *bus = NULL;
    ptq_queue *queues[8] = {NULL};
    enum ptq_err err = PTQ_OK;
    int count = 0;

    if (!hosts_own_mounts() || mount("tmpfs", "/mnt", "tmpfs", 0, "size=8m,nr_inodes=5,mode=0700") != 0)
        return hosts_cannot(h, "no mounts: %s", strerror(errno));
    HOSTS_OK(h, hosts_bus("/mnt/bus", &bus));
    for (; err == PTQ_OK && count < 8; count++) {
        char name[16];
        snprintf(name, sizeof name, "q%d", count);
        err = hosts_queue(bus, name, NULL, &queues[count]);
    }
    HOSTS_TRUE(h, count == 3 && err == PTQ_ENOSPC); /* /mnt, bus, test, q0, q1 */
    HOSTS_SAYS(h, hosts_text, "'q2'", "no inode", "/mnt", "nr_inodes");
    HOSTS_OK(h, ptq_put(queues[0], "x", 1, PTQ_NOWAIT));
    for (int i = 0; i < count; i++)
        ptq_queue_close(queues[i]);
    HOSTS_OK(h, ptq_queue_unlink(bus, "q1", false));
    HOSTS_OK(h, hosts_queue(bus, "q2", NULL, &queues[2]));
    ptq_queue_close(queues[2]);
    ptq_bus_close(bus);
    struct ptq_bus_options options = {.dir = "/mnt/bus", .error = &hosts_error};
    HOSTS_ANSWER(h, PTQ_ENOSPC, ptq_bus_open("another", &options, &bus));
    HOSTS_SAYS(h, hosts_text, "/mnt/bus", "inode");
    return 0;
}

static void without_inodes_create_is_enospc_and_says_so(void **state) { hosts_run(*state, without_inodes); }

/* ---- limits of the process ---- */

static int with_small_files(void *context)
{
    struct hosts *h = context;
    struct rlimit limit = {64 << 10, 64 << 10};
    ptq_bus *bus = NULL;
    ptq_queue *queue = NULL;

    HOSTS_OK(h, hosts_bus(h->bus, &bus));
    HOSTS_OK(h, hosts_queue(bus, "made-before", NULL, &queue));
    ptq_queue_close(queue);
    queue = NULL;
    HOSTS_TRUE(h, setrlimit(RLIMIT_FSIZE, &limit) == 0);
    HOSTS_ANSWER(h, PTQ_ENOMEM, hosts_queue(bus, "tasks", NULL, &queue)); /* not SIGXFSZ */
    HOSTS_SAYS(h, hosts_text, "'tasks'", "65536", "ulimit -f");
    HOSTS_OK(h, hosts_queue(bus, "made-before", NULL, &queue));
    HOSTS_OK(h, ptq_put(queue, "x", 1, PTQ_NOWAIT));
    ptq_queue_close(queue);
    queue = NULL;
    limit.rlim_cur = limit.rlim_max = 0;
    HOSTS_TRUE(h, setrlimit(RLIMIT_FSIZE, &limit) == 0);
    HOSTS_ANSWER(h, PTQ_ENOMEM, hosts_queue(bus, "made-before", NULL, &queue));
    HOSTS_SAYS(h, hosts_text, "'made-before'", "ulimit -f");
    ptq_bus_close(bus);
    return 0;
}

static void a_limit_of_file_size_is_an_answer_and_no_signal(void **state) { hosts_run(*state, with_small_files); }

static rlim_t used_address_space(void)
{
    unsigned long pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");

    if (file == NULL || fscanf(file, "%lu", &pages) != 1)
        pages = 0;
    if (file != NULL)
        fclose(file);
    return (rlim_t)pages * 4096;
}

static int with_small_memory(void *context)
{
    struct hosts *h = context;
    struct ptq_queue_options large = {.capacity = 100000};
    ptq_bus *bus = NULL;
    ptq_queue *queue = NULL;

    HOSTS_OK(h, hosts_bus(h->bus, &bus));
    rlim_t used = used_address_space();
    if (used == 0 || used > (rlim_t)1 << 36)
        return hosts_cannot(h, "a sanitizer's address space cannot be limited");
    struct rlimit limit = {used + (32 << 20), used + (32 << 20)};
    HOSTS_TRUE(h, setrlimit(RLIMIT_AS, &limit) == 0);
    HOSTS_ANSWER(h, PTQ_ENOMEM, hosts_queue(bus, "large", &large, &queue));
    HOSTS_SAYS(h, hosts_text, "'large'", "ulimit -v");
    HOSTS_OK(h, hosts_queue(bus, "small", NULL, &queue));
    HOSTS_OK(h, ptq_put(queue, "x", 1, PTQ_NOWAIT));
    ptq_queue_close(queue);
    HOSTS_ANSWER(h, PTQ_OK, ptq_queue_unlink(bus, "small", false));
    ptq_bus_close(bus);
    return 0;
}

static void a_limit_of_address_space_is_an_answer(void **state) { hosts_run(*state, with_small_memory); }

static int with_few_descriptors(void *context)
{
    struct hosts *h = context;
    ptq_bus *bus = NULL;
    ptq_queue *queue = NULL;

    HOSTS_OK(h, hosts_bus(h->bus, &bus));
    int lowest = dup(0);
    close(lowest);
    struct rlimit limit = {(rlim_t)lowest, (rlim_t)lowest + 64};
    HOSTS_TRUE(h, setrlimit(RLIMIT_NOFILE, &limit) == 0);
    HOSTS_ANSWER(h, PTQ_ENOMEM, hosts_queue(bus, "tasks", NULL, &queue));
    HOSTS_SAYS(h, hosts_text, "'tasks'", "descriptors", "ulimit -n");
    ptq_bus *other = NULL;
    HOSTS_ANSWER(h, PTQ_ENOMEM, hosts_bus(h->bus, &other));
    HOSTS_SAYS(h, hosts_text, h->bus, "ulimit -n");
    ptq_bus_close(bus);
    return 0;
}

static void a_limit_of_descriptors_is_named(void **state) { hosts_run(*state, with_few_descriptors); }

/* ---- taken away under living users ---- */

static int sleep_for_one(void *context)
{
    struct hosts *h = context;
    ptq_bus *bus = NULL;
    ptq_queue *queue = NULL;
    ptq_msg *msg = NULL;

    HOSTS_OK(h, hosts_bus(h->bus, &bus));
    HOSTS_OK(h, hosts_queue(bus, "tasks", NULL, &queue));
    HOSTS_ANSWER(h, PTQ_TIMEDOUT, ptq_get(queue, 300, &msg)); /* its descriptor is made: the next sleep is a long one */
    atomic_store(&h->page->words[0], 1);
    HOSTS_ANSWER(h, PTQ_EGONE, ptq_get(queue, PTQ_FOREVER, &msg));
    HOSTS_ANSWER(h, PTQ_EGONE, ptq_put(queue, "x", 1, PTQ_NOWAIT));
    ptq_queue_close(queue);
    ptq_bus_close(bus);
    return 0;
}

static bool unlink_segment(struct hosts *h)
{
    char path[200];

    snprintf(path, sizeof path, "%s/test/tasks~v%d", h->bus, PTQ_LAYOUT_VERSION);
    return unlink(path) == 0;
}

static void a_sleeper_learns_that_its_queue_was_unlinked(void **state)
{
    struct hosts *h = *state;

    for (int early = 0; early < 2; early++) {
        atomic_store(&h->page->words[0], 0);
        pid_t sleeper = hosts_start(h, sleep_for_one);
        if (!ptt_wait_word(&h->page->words[0], 1, PTT_LONG))
            hosts_judge(h, sleeper);
        if (early == 0)
            assert_true(ptt_wait_sleeping(sleeper, sleeper, PTT_LONG));
        assert_true(unlink_segment(h));
        hosts_judge(h, sleeper);
    }
}

/* Who never sleeps, on either side; and who only has a descriptor. */
static int learn_awake(void *context)
{
    struct hosts *h = context;
    struct ptq_queue_options roomy = {.capacity = 100000, .item_size = 8};
    ptq_bus *bus = NULL;
    ptq_queue *putter = NULL, *getter = NULL, *fresh = NULL;
    ptq_msg *msg = NULL;
    enum ptq_err err = PTQ_OK;
    int fd = -1, puts = 0;

    HOSTS_OK(h, hosts_bus(h->bus, &bus));
    HOSTS_OK(h, hosts_queue(bus, "tasks", &roomy, &putter));
    HOSTS_TRUE(h, unlink_segment(h));
    while (err == PTQ_OK && puts++ < 5000)
        err = ptq_put(putter, "x", 1, PTQ_NOWAIT);
    HOSTS_TRUE(h, err == PTQ_EGONE && puts > 1);
    ptq_queue_close(putter);

    HOSTS_OK(h, hosts_queue(bus, "tasks", &roomy, &putter));
    HOSTS_OK(h, hosts_queue(bus, "tasks", &roomy, &getter));
    HOSTS_TRUE(h, unlink_segment(h));
    HOSTS_OK(h, hosts_queue(bus, "tasks", NULL, &fresh)); /* another queue of that name: the two never meet */
    do
        err = ptq_get(getter, PTQ_NOWAIT, &msg);
    while (err == PTQ_EMPTY);
    HOSTS_TRUE(h, err == PTQ_EGONE);
    HOSTS_ANSWER(h, PTQ_EGONE, ptq_put(putter, "x", 1, PTQ_NOWAIT)); /* one noticed, and all know */
    HOSTS_OK(h, ptq_put(fresh, "x", 1, PTQ_NOWAIT));
    ptq_queue_close(putter);
    ptq_queue_close(getter);

    HOSTS_OK(h, ptq_get(fresh, PTQ_NOWAIT, &msg));
    HOSTS_OK(h, ptq_ack(msg));
    HOSTS_OK(h, ptq_queue_fd(fresh, PTQ_SIDE_GET, &fd));
    HOSTS_ANSWER(h, PTQ_EMPTY, ptq_get(fresh, PTQ_NOWAIT, &msg));
    HOSTS_TRUE(h, !ptt_wait_readable(fd, 0) && unlink_segment(h));
    for (int i = 0; i < 3; i++) {
        HOSTS_TRUE(h, ptt_wait_readable(fd, PTT_LONG));
        err = ptq_get(fresh, PTQ_NOWAIT, &msg);
        if (err == PTQ_EGONE)
            break;
    }
    HOSTS_TRUE(h, err == PTQ_EGONE);
    ptq_queue_close(fresh);
    ptq_bus_close(bus);
    return 0;
}

static void who_is_awake_learns_that_its_queue_was_unlinked(void **state) { hosts_run(*state, learn_awake); }

static int lose_directory(void *context)
{
    struct hosts *h = context;
    ptq_bus *bus = NULL, *again = NULL;
    ptq_queue *queue = NULL, *other = NULL;
    ptq_msg *msg = NULL;
    char path[200];

    HOSTS_OK(h, hosts_bus(h->bus, &bus));
    HOSTS_OK(h, hosts_queue(bus, "tasks", NULL, &queue));
    HOSTS_TRUE(h, unlink_segment(h));
    snprintf(path, sizeof path, "%s/test", h->bus);
    HOSTS_TRUE(h, rmdir(path) == 0 && rmdir(h->bus) == 0);
    HOSTS_ANSWER(h, PTQ_EGONE, ptq_get(queue, 2000, &msg));
    HOSTS_ANSWER(h, PTQ_EGONE, hosts_queue(bus, "tasks", NULL, &other));
    HOSTS_SAYS(h, hosts_text, "'tasks'", path, "removed", "open it anew");
    HOSTS_ANSWER(h, PTQ_EGONE,
                 hosts_queue(bus, "tasks", &(struct ptq_queue_options){.mode = PTQ_ATTACH, .wait_ms = 100}, &other));
    HOSTS_OK(h, hosts_bus(h->bus, &again));
    HOSTS_OK(h, hosts_queue(again, "tasks", NULL, &other));
    HOSTS_OK(h, ptq_put(other, "x", 1, PTQ_NOWAIT));
    ptq_queue_close(other);
    ptq_queue_close(queue);
    ptq_bus_close(again);
    ptq_bus_close(bus);
    return 0;
}

static void a_bus_whose_directory_was_removed_says_so(void **state) { hosts_run(*state, lose_directory); }

int main(void)
{
    const struct CMUnitTest cases[] = {
        HOSTS_CASE(a_bus_works_on_overlayfs),
        HOSTS_CASE(a_bus_works_without_proc),
        HOSTS_CASE(a_bus_works_without_unnamed_files),
        HOSTS_CASE(a_bus_works_where_no_inotify_instance_is_left),
        HOSTS_CASE(a_read_only_bus_is_watched_and_not_used),
        HOSTS_CASE(without_inodes_create_is_enospc_and_says_so),
        HOSTS_CASE(a_limit_of_file_size_is_an_answer_and_no_signal),
        HOSTS_CASE(a_limit_of_address_space_is_an_answer),
        HOSTS_CASE(a_limit_of_descriptors_is_named),
        HOSTS_CASE(a_sleeper_learns_that_its_queue_was_unlinked),
        HOSTS_CASE(who_is_awake_learns_that_its_queue_was_unlinked),
        HOSTS_CASE(a_bus_whose_directory_was_removed_says_so),
    };

    hosts_need_root();
    return cmocka_run_group_tests(cases, NULL, NULL);
}
